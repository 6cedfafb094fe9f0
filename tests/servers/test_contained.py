"""Servers whose configuration a compose file mounts into a container: who reaches them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sslint import cli
from sslint.host import Socket, read
from sslint.servers.programs.containers import MAX_PUBLISHED
from sslint.targets import Target
from tests.support import tree_of

NGINX = """events {}
http {
  server {
    listen 443 ssl;
    listen [::]:443 ssl;
    listen 443 quic;
    ssl_certificate /etc/ssl/a.pem;
    ssl_certificate_key /etc/ssl/a.key;
  }
}
"""
COMPOSE = """services:
  web:
    image: nginx
    volumes: ["../../etc/nginx:/etc/nginx:ro"]
    ports: [%s]
%s"""
SHUT = "*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n-A INPUT -i lo -j ACCEPT\n%sCOMMIT\n"
WEB = "-A INPUT -p tcp --dport 443 -j ACCEPT\n"


def sockets(
    ports: str, rules: str = "", more: str = "", compose: str = COMPOSE
) -> dict[str, Socket]:
    """Return the sockets of a host that drops what comes to itself, by transport and family."""
    files = {
        "etc/nginx/nginx.conf": NGINX,
        "srv/app/compose.yaml": compose % (ports, more),
        "etc/iptables/rules.v4": SHUT % rules,
        "etc/iptables/rules.v6": SHUT % "",
    }
    found = read(Target("h", tree_of(files)))
    names = {("tcp", "0.0.0.0"): "tcp4", ("tcp", "::"): "tcp6", ("udp", "0.0.0.0"): "udp4"}
    return {names[s.endpoint.transport, s.endpoint.address]: s for s in found.sockets}


@pytest.mark.parametrize(
    ("ports", "rules", "tcp", "udp"),
    [
        ('"443:443"', "", "open", "closed"),
        ('"443:443", "443:443/udp"', "", "open", "open"),
        ('"8443:443"', "", "open", "closed"),  # INPUT is not asked about what Docker forwards
        ('"8443:443"', WEB, "open", "closed"),
        ('"80-90:435-445"', "", "open", "closed"),
        ('"8443:443", "443:80"', WEB, "open", "closed"),
        ('"127.0.0.1:443:443"', WEB, "closed", "closed"),
        ('"${PORT}:443"', WEB, "unknown", "closed"),
        ('"443:443", "$EXTRA"', "", "unknown", "unknown"),
        ('"443"', WEB, "unknown", "closed"),
        ('"not.an.address:443:443"', WEB, "unknown", "closed"),
    ],
)
def test_who_reaches_it(ports: str, rules: str, tcp: str, udp: str) -> None:
    found = sockets(ports, rules)
    assert [found[name].ipv4.verdict for name in ("tcp4", "udp4")] == [tcp, udp]  # type: ignore[union-attr]


def test_what_is_not_published_says_where() -> None:
    (reason,) = sockets('"443:443"')["udp4"].ipv4.reasons  # type: ignore[union-attr]
    assert reason == "srv/app/compose.yaml:5: container web does not publish udp/443"


def test_dockers_proxy_is_reached_over_ipv6_where_input_lets_it() -> None:
    assert sockets('"443:443"')["tcp6"].ipv6.verdict == "closed"  # type: ignore[union-attr]
    assert sockets('"198.51.100.7:443:443"')["tcp6"].ipv6 is None


@pytest.mark.parametrize(
    ("address", "scope"),
    [("", "any"), ("127.0.0.1:", "loopback"), ("10.0.0.5:", "private"), ("8.8.8.8:", "any")],
)
def test_its_scope_is_that_of_the_address_it_is_published_on(address: str, scope: str) -> None:
    assert sockets(f'"{address}443:443"')["tcp4"].scope == scope


@pytest.mark.parametrize(
    "compose",
    [
        COMPOSE.replace("../../etc/nginx:/etc/nginx:ro", "../../etc/nginx:/backup"),
        COMPOSE.replace("../../etc/nginx:/etc/nginx:ro", "config:/etc/nginx"),
        COMPOSE.replace("../../etc/nginx:/etc/nginx:ro", "/etc/nginx:/etc/nginx"),
        COMPOSE.replace("../../etc/nginx", "../../etc/nginx-old"),
        COMPOSE.replace("image: nginx", "network_mode: host"),
        COMPOSE.replace("[%s]", '["9000:9000"] #%s'),
    ],
)
def test_what_is_no_container_of_it(compose: str) -> None:
    found = sockets('"443:443"', WEB, compose=compose)
    assert {one.container for one in found.values()} == {None}


def test_two_containers_with_one_configuration_are_one() -> None:
    other = COMPOSE[COMPOSE.index("  web:") :].replace("web", "udp") % ('"443:443/udp"', "")
    found = sockets('"443:443"', more=other)
    assert [found[name].ipv4.verdict for name in ("tcp4", "udp4")] == ["open", "open"]  # type: ignore[union-attr]


BASE = COMPOSE % ('"80:80", "443:443"', "")
QUIC = "services:\n  web:\n    ports: ['443:443/udp']\n"


@pytest.mark.parametrize(
    ("beside", "udp"),
    [
        ({"compose.prod.yaml": QUIC}, "unknown"),
        ({"compose.prod.yaml": QUIC.replace("443:443/udp", "$PORTS")}, "unknown"),
        ({"compose.override.yaml": QUIC}, "open"),
        ({"compose.prod.yaml": BASE.replace('"443:443"', '"443:443", "443:443/udp"')}, "unknown"),
        ({"compose.prod.yaml": BASE}, "closed"),  # neither of them publishes it
        ({"compose.prod.yaml": QUIC.replace("443:", "8443:")}, "unknown"),
        ({"compose.prod.yaml": QUIC.replace("443:", "8443:").replace("web", "b")}, "closed"),
        ({"../prod.yaml": QUIC}, "closed"),
    ],
)
def test_what_a_file_beside_it_may_publish_is_not_known(beside: dict[str, str], udp: str) -> None:
    """`docker compose -f compose.yaml -f compose.prod.yaml` merges them."""
    assert beside_it(BASE, beside)["udp4"] == udp


def beside_it(compose: str, beside: dict[str, str]) -> dict[str, str]:
    """Return the verdicts over IPv4 with further files beside the compose file."""
    files = {"etc/nginx/nginx.conf": NGINX, "etc/iptables/rules.v4": SHUT % ""}
    files |= {f"srv/app/{name}": text for name, text in {"compose.yaml": compose, **beside}.items()}
    found = read(Target("h", tree_of(files))).sockets
    verdicts = {s.endpoint.transport: s.ipv4.verdict for s in found if s.ipv4 is not None}
    return {f"{transport}4": verdict for transport, verdict in verdicts.items()}


@pytest.mark.parametrize("extends", ["web", "{service: web}", "{file: compose.yaml, service: web}"])
def test_what_extends_it_may_publish_more(extends: str) -> None:
    more = f"  prod:\n    extends: {extends}\n    ports: ['443:443/udp']\n"
    assert sockets('"443:443"', more=more)["udp4"].ipv4.verdict == "unknown"  # type: ignore[union-attr]


def test_a_socket_of_files_in_two_containers_is_not_closed() -> None:
    """Each is a server of its own; the socket is shown at the first file that names it."""
    site = "server { listen 443 ssl; ssl_certificate /a.pem; ssl_certificate_key /a.key; }\n"
    container = (
        "  {0}:\n    image: nginx\n    volumes: ['../../etc/nginx/conf.d/{0}.conf:"
        "/etc/nginx/conf.d/{0}.conf']\n    ports: ['{1}']\n"
    )
    files = {
        "etc/nginx/nginx.conf": "events {} http { include /etc/nginx/conf.d/*.conf; }",
        "etc/nginx/conf.d/a.conf": site + "server { listen 80; }",
        "etc/nginx/conf.d/b.conf": site,
        "srv/compose.yaml": "services:\n"
        + container.format("a", "80:80")
        + container.format("b", "443:443"),
    }
    files["srv/compose.yaml"] = files["srv/compose.yaml"].replace("../../", "../")
    found = read(Target("h", tree_of(files))).sockets
    assert {s.endpoint.port: s.ipv4.verdict for s in found if s.ipv4}[443] == "unknown"


@pytest.mark.parametrize(
    ("front", "udp"),
    [("443:443/udp", "unknown"), ("$PORT:443/udp", "unknown"), ("8443:443/udp", "closed")],
)
def test_a_container_in_front_may_pass_its_clients_on(front: str, udp: str) -> None:
    """Traefik has the port on the host, and asks the others over Docker's network."""
    more = f"  traefik:\n    image: traefik\n    ports: ['{front}']\n"
    assert sockets('"443:443"', more=more)["udp4"].ipv4.verdict == udp  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "ports",
    ['"440-445"', '"444:${P}"', '"443:443/${PROTO}"', "{target: 443, protocol: $P}"],
)
def test_a_port_that_may_be_published_is_not_closed(ports: str) -> None:
    found = sockets(f'"443:443/udp", {ports}')
    assert found["tcp4"].ipv4.verdict == "unknown"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("volumes", "inside"),
    [
        ('"${PWD}/../../etc/nginx:/etc/nginx"', True),
        ("{type: bind, source: ../../etc/nginx, target: /etc/nginx}", True),
        ("{type: bind, source: x/../../../etc/nginx, target: /etc/nginx}", True),
        ("{type: volume, source: x/../../../etc/nginx, target: /etc/nginx}", False),
        ('"../../etc/nginx:/opt/app/nginx"', False),
        ('"../../etc/nginx:/opt/nginx/conf"', True),
        ('"../../etc/nginx:/etc/nginx", "../other:/etc/nginx/"', False),  # the last one counts
    ],
)
def test_where_it_is_mounted(volumes: str, inside: bool) -> None:
    compose = COMPOSE.replace('"../../etc/nginx:/etc/nginx:ro"', volumes)
    found = sockets('"443:443"', compose=compose)
    assert (found["tcp4"].container is not None) is inside


def test_volumes_that_an_override_resets_are_not_mounted() -> None:
    override = "services:\n  web:\n    volumes: !override ['./a:/b']\n"
    shut = beside_it(BASE, {"compose.override.yaml": override})
    assert shut == beside_it(BASE.replace("volumes", "labels"), {})


def test_trace_names_the_container(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, text in {"etc/nginx/nginx.conf": NGINX, "srv/app/compose.yaml": COMPOSE}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text % ('"443:443"', "") if "%s" in text else text)
    cli.main(["trace", "443/udp", "--root", str(tmp_path)])
    said = capsys.readouterr().out
    assert "in the container web, which publishes tcp/443" in said


def test_a_fix_names_the_port_of_the_host(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {
        "etc/nginx/nginx.conf": NGINX.replace("    listen 443 quic;\n", ""),
        "srv/app/compose.yaml": COMPOSE % ('"8443:443"', ""),
        "etc/iptables/rules.v4": SHUT % "",
        "etc/iptables/rules.v6": SHUT % "-A INPUT -p ipv6-icmp -j ACCEPT\n",
    }
    files["etc/iptables/rules.v4"] = files["etc/iptables/rules.v4"].replace(
        "COMMIT", ":DOCKER-USER - [0:0]\n-A DOCKER-USER -j DROP\nCOMMIT"
    )
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    cli.main(["check", str(tmp_path), "--select", "tls-port-closed"])
    said = capsys.readouterr().out
    assert "no rule before the policy accepts tcp/8443" in said
    assert "= fix: accept tcp/8443\n" in said
    assert "--dport" not in said  # the next rule drops what Docker would translate


def test_a_port_and_what_stands_for_an_unknown_one_count_together() -> None:
    """The bound is on all that is followed, whatever it is; containers add nothing to it."""
    one = '"9000:9000"', '"${PORT}:443"'  # the second is a listener that is not known, too
    text = "services:\n" + "".join(
        f"  s{n}:\n    image: x\n    volumes: [./a:/etc/nginx]\n    ports: [{one[n % 2]}]\n"
        for n in range(MAX_PUBLISHED * 2 // 3 + 2)
    )
    found = read(Target("h", tree_of({"srv/app/compose.yaml": text})))
    assert any("more published ports" in problem.reason for problem in found.problems)
    fewer = text[: text.index("  s150:")]
    found = read(Target("h", tree_of({"srv/app/compose.yaml": fewer})))
    assert not any("more published ports" in problem.reason for problem in found.problems)
