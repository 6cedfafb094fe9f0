"""What containers publish: who gets in, as measured with Docker beside each firewall."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from sslint import cli, engine
from sslint.checker import check
from sslint.host import Host, read
from sslint.targets import Target
from sslint.tree import Tree
from tests.support import tree_of

SOUND = Path(__file__).parents[1] / "sound"
COMPOSE = "srv/app/docker-compose.yml"
PUBLISH = 'services:\n  db:\n    image: x\n    ports:\n      - "%s"\n'
DROP = "*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n-A INPUT -i lo -j ACCEPT\n%sCOMMIT\n"
OPEN6 = "*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n"
NFT = """table inet f {
 chain i { type filter hook input priority 0; policy accept; }
 chain forwarded { type filter hook forward priority 0; policy drop;
  ct state established,related accept
  %s
 }
}
"""
UFW_DOCKER = """*filter
:ufw-user-forward - [0:0]
:DOCKER-USER - [0:0]
-A DOCKER-USER -j ufw-user-forward
-A DOCKER-USER -j RETURN -s 10.0.0.0/8
-A DOCKER-USER -j RETURN -s 172.16.0.0/12
-A DOCKER-USER -j RETURN -s 192.168.0.0/16
-A DOCKER-USER -j DROP -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -d 192.168.0.0/16
-A DOCKER-USER -j DROP -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -d 10.0.0.0/8
-A DOCKER-USER -j DROP -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -d 172.16.0.0/12
-A DOCKER-USER -j RETURN
COMMIT
"""
WANTS = "etc/systemd/system/multi-user.target.wants"
ALL_START = {
    f"{WANTS}/{name}.service": "" for name in ("cron", "docker", "nftables", "netfilter-persistent")
}
ZONE = '<zone%s><interface name="eth0"/><service name="ssh"/></zone>\n'


def ufw() -> dict[str, str]:
    """Return web-ufw's files; it allows 22, 80 and 443."""
    etc = SOUND / "web-ufw/etc"
    paths = [path for path in etc.rglob("*") if path.is_file() and "nginx" not in path.parts[-2:]]
    return {f"etc/{path.relative_to(etc)}": path.read_text() for path in paths}


def iptables(rules: str = "", six: str = DROP % "") -> dict[str, str]:
    return {"etc/iptables/rules.v4": DROP % rules, "etc/iptables/rules.v6": six}


def user(rule: str) -> str:
    return f":DOCKER-USER - [0:0]\n-A DOCKER-USER {rule} -j DROP\n"


def firewalld(target: str = "", options: str = "") -> dict[str, str]:
    return {
        "etc/firewalld/firewalld.conf": f"DefaultZone=mine\n{options}",
        "etc/firewalld/zones/mine.xml": ZONE % target,
    }


def host(files: dict[str, str], port: str = "5432:5432", compose: str = "") -> Host:
    tree = tree_of({COMPOSE: compose or PUBLISH % port, **files})
    return read(Target("h", tree, no_firewall=not files))


def verdicts(one: Host, port: int = 5432) -> tuple[str, str]:
    assert one.firewall is not None
    four, six = (one.firewall.reach_outer("tcp", port, family) for family in (4, 6))
    return four.verdict, six.verdict


@pytest.mark.parametrize(
    ("files", "port", "expected"),
    [
        ({}, "5432:5432", ("open", "open")),
        (iptables(), "5432:5432", ("open", "closed")),
        (iptables(six=OPEN6), "5432:5432", ("open", "open")),
        (ufw(), "5432:5432", ("open", "closed")),
        (ufw(), "443:5432", ("open", "open")),
        ({"etc/nftables.conf": NFT % ""}, "5432:5432", ("closed", "open")),
        ({"etc/nftables.conf": NFT % "ct status dnat accept"}, "5432:5432", ("open", "open")),
        ({"etc/nftables.conf": NFT % "tcp dport 80 accept"}, "5432:80", ("open", "open")),
        ({"etc/nftables.conf": NFT % "tcp dport 5432 accept"}, "5432:80", ("closed", "open")),
        ({"etc/nftables.conf": NFT % 'oifname "br-*" accept'}, "5432:80", ("open", "open")),
        (firewalld(), "5432:5432", ("open", "closed")),
        (firewalld(' target="DROP"'), "5432:5432", ("open", "closed")),
        (firewalld("", "StrictForwardPorts=yes\n"), "5432:5432", ("closed", "closed")),
        (iptables(user("-p tcp --dport 5432")), "5432:5432", ("closed", "closed")),
        (iptables(user("-p tcp --dport 443")), "443:80", ("open", "closed")),
        (iptables(user("-p tcp --dport 80")), "443:80", ("closed", "closed")),
        (
            iptables(user("-p tcp -m conntrack --ctorigdstport 4443")),
            "4443:443",
            ("closed", "closed"),
        ),
        (iptables(user("-d 172.16.0.0/12")), "5432:5432", ("closed", "closed")),
        (iptables("-A FORWARD -j DROP\n"), "5432:5432", ("open", "closed")),
        (iptables(), "127.0.0.1:5432:5432", ("closed", "closed")),
        (iptables(), "[::1]:5432:5432", ("closed", "closed")),
        (iptables(), "0.0.0.0:5432:5432", ("open", "closed")),
        (iptables(), "5432:5432/udp", ("closed", "closed")),
        (iptables(), "5430-5440:30-40", ("open", "closed")),
    ],
)
def test_who_reaches_a_published_port(
    files: dict[str, str], port: str, expected: tuple[str, str]
) -> None:
    found = host(files, port)
    number = int(port.split(":")[-2]) if "-" not in port else 5432
    assert verdicts(found, number) == expected
    assumed = [text for text in found.ruleset.assumptions if text.startswith("Docker runs")]
    assert len(assumed) == ("127.0.0.1" not in port and "::1" not in port)


def test_ufw_docker() -> None:
    files = ufw()
    files["etc/ufw/after.rules"] += UFW_DOCKER
    found = host(files)
    assert found.firewall is not None
    reach = found.firewall.reach_outer("tcp", 5432, 4)
    assert (reach.verdict, reach.public_share) == ("limited", 0)
    files["etc/ufw/user.rules"] = files["etc/ufw/user.rules"].replace(
        "### END RULES ###", "-A ufw-user-forward -p tcp --dport 80 -j ACCEPT\n### END RULES ###"
    )
    assert verdicts(host(files, "5432:80"))[0] == "open"  # the container's port


def test_a_published_address_is_that_address_alone() -> None:
    found = host(iptables(), "198.51.100.1:5432:5432")
    assert found.firewall is not None
    for address, verdict in (("198.51.100.1", "open"), ("198.51.100.2", "closed")):
        assert found.firewall.reach_outer("tcp", 5432, 4, address).verdict == verdict
    assert verdicts(found)[1] == "closed"


NETWORK = PUBLISH % "5432:5432" + "    networks: [n]\nnetworks:\n  n:%s\n"


@pytest.mark.parametrize(
    ("files", "compose", "reason"),
    [
        ({}, PUBLISH % "5432:5432" + "    network_mode: host\n", "its network_mode is host"),
        ({}, NETWORK % " {external: true}", "its network n sets external"),
        ({}, NETWORK % " {enable_ipv6: true}", "its network n sets enable_ipv6"),
        ({}, NETWORK % " {internal: true}", "its network n sets internal"),
        ({}, NETWORK % " {driver: macvlan}", "its network n sets driver"),
        ({}, NETWORK.replace("  n:", "  m:") % "", "its network n is not in the file"),
        (
            {},
            PUBLISH % "5432:5432" + "networks:\n  default:\n    driver: overlay\n",
            "its network default sets driver",
        ),
        ({}, PUBLISH % "5432:5432" + "    deploy: {mode: global}\n", "deployed to a swarm"),
        ({}, PUBLISH % "5432:5432" + "    profiles: [x]\n", "it has profiles"),
        ({}, PUBLISH % "5430-5440:80", "Docker chooses its port from a range"),
        *(
            ({"etc/docker/daemon.json": json.dumps({key: value})}, "", f"daemon.json sets {key}")
            for key, value in (
                ("iptables", False),
                ("userland-proxy", False),
                ("ip6tables", True),
                ("ipv6", True),
                ("ip", "127.0.0.1"),
                ("firewall-backend", "nftables"),
                ("default-network-opts", {}),
            )
        ),
        ({"etc/docker/daemon.json": "{"}, "", "daemon.json is not JSON"),
        (
            {f"{WANTS}/netfilter-persistent.service": "", f"{WANTS}/ssh.service": ""},
            "",
            "docker.service is disabled",
        ),
        (
            {
                "etc/systemd/system/docker.service.d/x.conf": "[Service]\nExecStart=\n"
                "ExecStart=/usr/bin/dockerd --iptables=false\n"
            },
            "",
            "dockerd runs with --iptables=false",
        ),
        (
            {**ALL_START, "etc/nftables.conf": NFT % 'oifname "br-0123456789ab" accept'},
            "",
            "which etc/nftables.conf:5:3 names",
        ),
        (
            {**ALL_START, "etc/nftables.conf": NFT % "ip daddr 172.18.0.0/16 accept"},
            "",
            "which etc/nftables.conf:5:3 names",
        ),
        (
            {
                "etc/iptables/rules.v4": "*nat\n:PREROUTING ACCEPT\n:DOCKER -\n-A DOCKER -p tcp "
                "--dport 80 -j DNAT --to-destination 172.18.0.9:80\nCOMMIT\n" + DROP % ""
            },
            "",
            "the rules of Docker in the files do not publish it",
        ),
    ],
)  # fmt: skip
def test_anything_else_is_not_known(files: dict[str, str], compose: str, reason: str) -> None:
    found = host({**iptables(), **files}, compose=compose)
    assert found.firewall is not None
    for family in (4, 6):
        reach = found.firewall.reach_outer("tcp", 5432, 4 if family == 4 else 6)
        assert reach.verdict == "unknown"
        assert reason in reach.reasons[0]
    assert verdicts(found, 22) == ("closed", "closed")  # other ports are known as before
    rules = [rule for rule in engine.bundled() if rule.name == "docker-bypasses-firewall"]
    assert not check([found.target], rules).findings


def test_docker_s_own_rules_in_the_files_are_taken_as_they_are() -> None:
    rules = (
        "*nat\n:PREROUTING ACCEPT\n:DOCKER -\n"
        "-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER\n"
        "-A DOCKER -p tcp --dport 5432 -j DNAT --to-destination 172.18.0.9:80\nCOMMIT\n"
        "*filter\n:INPUT ACCEPT\n:FORWARD DROP\nCOMMIT\n"
    )
    found = host({"etc/iptables/rules.v4": rules})
    assert verdicts(found)[0] == "closed"
    assert not any(text.startswith("Docker runs") for text in found.ruleset.assumptions)


def test_a_range_is_one_publication() -> None:
    found = host(iptables(), "10000-60000:10000-60000/udp")
    assert len(found.published) == 1
    assert found.firewall is not None
    for port, verdict in ((9999, "closed"), (10000, "open"), (60000, "open"), (60001, "closed")):
        assert found.firewall.reach_outer("udp", port, 4).verdict == verdict
    shifted = host(iptables(), "10000-60000:1-50001")
    assert verdicts(shifted, 30000) == ("unknown", "unknown")
    assert verdicts(shifted, 9999) == ("closed", "closed")


def test_more_ports_than_are_followed_are_said() -> None:
    lines = "".join(f'      - "{port}:80"\n' for port in range(1000, 2000))
    found = host(iptables(), compose=PUBLISH % "80:80" + lines)
    assert len(found.published) == 256
    assert any(problem.decisive for problem in found.problems)


def test_a_plain_network_and_the_bridge_are_bridges() -> None:
    assert verdicts(host(iptables(), compose=NETWORK % ""))[0] == "open"
    bridge = PUBLISH % "5432:5432" + "    network_mode: bridge\n"
    closed = {"etc/nftables.conf": NFT % 'oifname "docker0" accept'}
    assert verdicts(host(closed, compose=bridge))[0] == "open"
    assert verdicts(host(closed))[0] == "closed"  # a project's bridge is another


def test_without_any_firewall_in_the_files_nothing_is_known() -> None:
    one = read(Target("h", tree_of({COMPOSE: PUBLISH % "5432:5432"})))
    assert one.ruleset.empty


def test_overrides_and_variables() -> None:
    base = PUBLISH % "${OUT:-5432}:${IN}"
    files = {"srv/app/.env": "IN=80\n"}
    assert verdicts(host({**iptables(), **files}, compose=base))[0] == "open"
    files["srv/app/.env"] += "OUT=6000\n"
    found = host({**iptables(), **files}, compose=base)
    assert (verdicts(found)[0], verdicts(found, 6000)[0]) == ("closed", "open")
    files["srv/app/compose.override.yml"] = (
        "services:\n  db:\n    ports: !override\n      - 127.0.0.1:6000:80\n"
    )
    assert verdicts(host({**iptables(), **files}, compose=base), 6000)[0] == "closed"


@pytest.mark.parametrize(
    ("port", "asked", "expected"),
    [
        ("${P}:5432", 5432, "unknown"),  # the one who starts it sets P
        ("${P}:5432", 1, "unknown"),
        ("${P}", 5432, "unknown"),
        ("${P:-6000}:5432", 5432, "closed"),
        ("${P:-6000}:5432", 6000, "open"),
        ("8${P}:5432", 8, "unknown"),
        ("${IP}:5432:5432", 5432, "unknown"),  # perhaps 127.0.0.1
        ("127.0.0.1:${P}:5432", 5432, "closed"),
        ("5432", 5432, "closed"),  # Docker takes a free port
        ("5432", 32768, "unknown"),
        ("${P}:5432", 22, "closed"),  # sshd has it
        ("${P}:5432/udp", 5432, "closed"),
    ],
)
def test_a_port_that_is_not_in_the_files_may_be_any_that_is_free(
    port: str, asked: int, expected: str
) -> None:
    files = {**iptables(), "etc/ssh/sshd_config": "Port 22\n"}
    assert verdicts(host(files, port), asked)[0] == expected


@pytest.mark.parametrize(
    ("files", "fires"),
    [
        (ufw(), True),
        (iptables(), True),
        (firewalld(), True),
        (iptables("-A INPUT -p tcp --dport 5432 -j ACCEPT\n"), False),
        (iptables(user("-p tcp --dport 5432")), False),
        (firewalld("", "StrictForwardPorts=yes\n"), False),
    ],
)
def test_check_and_trace_say_the_same(
    tmp_path: Path, files: dict[str, str], fires: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    for path, text in {COMPOSE: PUBLISH % "5432:5432", **files}.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    cli.main(["trace", str(tmp_path), "5432", "--format", "json"])
    traced = json.loads(capsys.readouterr().out)
    cli.main(["check", str(tmp_path), "--format", "json", "--select", "docker-bypasses-firewall"])
    checked = json.loads(capsys.readouterr().out)
    assert bool(checked["findings"]) == fires
    assert any(text.startswith("Docker runs") for text in traced["assumptions"])
    assert any(text.startswith("Docker runs") for text in checked["firewall"][0]["assumptions"])
    if fires:
        assert traced["ipv4"]["verdict"] == "open"
        assert traced["ipv6"]["verdict"] in ("closed", "unknown")
    cli.main(["trace", str(tmp_path), "5432", "--from", "203.0.113.9", "--format", "json"])
    packet = json.loads(capsys.readouterr().out)
    accepted = traced["ipv4"]["verdict"] == "open"
    assert (packet["verdict"] == "accept") == accepted
    assert packet["verdict"] != "unknown"


def test_a_web_server_of_the_same_port_is_asked_for_what_docker_does(tmp_path: Path) -> None:
    shutil.copytree(SOUND / "web-iptables", tmp_path / "h")
    root = tmp_path / "h"
    for name in ("rules.v4", "rules.v6"):
        rules = root / "etc/iptables" / name
        rules.write_text(rules.read_text().replace("80,443", "80"))
    shut = [s.ipv4 for s in read(Target("h", Tree(root))).sockets if s.endpoint.port == 443]
    assert [reach.verdict for reach in shut if reach is not None] == ["closed"]
    (root / "compose.yml").write_text(PUBLISH % "443:443")
    taken = [s.ipv4 for s in read(Target("h", Tree(root))).sockets if s.endpoint.port == 443]
    assert [reach.verdict for reach in taken if reach is not None] == ["open"]
