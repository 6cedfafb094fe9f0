"""What HAProxy, Caddy, stunnel and lighttpd bind, and where that is TLS, against their readers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sslint.servers import server
from sslint.servers.interface import Context
from sslint.servers.model import Endpoint
from sslint.tree import Tree
from tests.live.programs_lab import Case, Lab, lab
from tests.pki import key_pem, leaf, pem

pytestmark = pytest.mark.live("ss", "unshare", "ip")


@dataclass(frozen=True)
class Program:
    file: str  # of its directory
    command: tuple[str, ...]
    make: tuple[str, ...] = ()

    @property
    def directory(self) -> str:
        return f"/etc/{self.file.rpartition('/')[0]}"


PROGRAMS = {
    "haproxy": Program("haproxy/haproxy.cfg", ("haproxy", "-db", "-f", "/etc/haproxy/haproxy.cfg")),
    "caddy": Program("caddy/Caddyfile", ("caddy", "run", "--config", "/etc/caddy/Caddyfile")),
    "stunnel": Program("stunnel/a.conf", ("stunnel", "/etc/stunnel/a.conf")),
    "lighttpd": Program(
        "lighttpd/lighttpd.conf", ("lighttpd", "-D", "-f", "/etc/lighttpd/lighttpd.conf")
    ),
}
PAIR = " tls {dir}/cert.pem {dir}/key.pem\n"
BACK = "backend y\n server y 127.0.0.1:1\n"
TIMES = "defaults\n timeout connect 1s\n timeout client 1s\n timeout server 1s\n"
HTTP = TIMES + " mode http\n"
OFF = "{\n admin off\n"
NO_H3 = OFF + " servers {\n  protocols h1 h2\n }\n}\n"
SOCKET = '$SERVER["socket"] == "%s" {\n%s}\n'
ENGINE = 'ssl.engine = "enable"\n'
STUNNEL = "foreground = yes\npid =\ncert = {dir}/pair.pem\n"
LIGHTTPD = 'server.document-root = "/var"\nserver.modules += ("mod_openssl")\n'
LIGHTTPD += 'ssl.pemfile = "{dir}/pair.pem"\n'
CASES = (
    ("haproxy", HTTP + "frontend x\n bind :80\n bind :443 ssl crt {dir}/pair.pem\n"),
    ("haproxy", HTTP + "frontend x\n bind :::443 ssl crt {dir}/pair.pem\n"),
    ("haproxy", HTTP + "frontend x\n bind [::]:443 v6only ssl crt {dir}/pair.pem\n bind :443\n"),
    ("haproxy", HTTP + "frontend x\n bind *:8000-8002,192.0.2.10:8443\n bind ipv6@:8080\n"),
    ("haproxy", HTTP + "frontend x\n disabled\n bind :80\nlisten y\n bind 127.0.0.1:81\n"),
    ("haproxy", "global\n setenv P 8443\n" + HTTP + "frontend x\n bind :${P}\n"),
    (
        "haproxy",
        TIMES.replace("defaults", "defaults a")
        + " mode http\n"
        + TIMES.replace("defaults", "defaults b")
        + " mode tcp\n"
        "frontend x from a\n bind :80\nfrontend y from b\n bind :81\n default_backend y\n" + BACK,
    ),
    (
        "haproxy",
        "global\n limited-quic\n"
        + HTTP
        + "frontend x\n bind quic4@:443 ssl crt {dir}/pair.pem alpn h3\n bind :443\n",
    ),
    ("caddy", OFF + "}\n:80 {\n}\n"),
    ("caddy", OFF + "}\nwww.example.org {\n" + PAIR + "}\n"),
    ("caddy", OFF + " auto_https off\n}\nwww.example.org {\n" + PAIR + "}\n"),
    (
        "caddy",
        NO_H3 + "www.example.org:8443 {\n" + PAIR + "}\n",
    ),
    ("caddy", OFF + "}\n(s) {\n" + PAIR + " bind 192.0.2.10\n}\n:8443 {\n import s\n}\n"),
    (
        "caddy",
        OFF
        + " http_port 8080\n default_bind 192.0.2.11\n}\nhttp://a.example.org {\n}\n:9000 {\n}\n",
    ),
    (
        "caddy",
        OFF
        + "}\nhttp://a.example.org {\n bind tcp4/0.0.0.0\n}\n"
        + "http://b.example.org:81 {\n bind 0.0.0.0\n}\n",
    ),
    ("stunnel", STUNNEL + "[a]\naccept = 993\nconnect = 127.0.0.1:1\n"),
    ("stunnel", STUNNEL + "[a]\naccept = :::993\nconnect = 127.0.0.1:1\n"),
    (
        "stunnel",
        STUNNEL + "[a]\naccept = *:443\nconnect = 1\n[b]\naccept = 2001:db8::10:443\nconnect = 1\n",
    ),
    ("stunnel", STUNNEL + "client = yes\n[a]\naccept = 127.0.0.1:25\nconnect = 192.0.2.10:1\n"),
    ("stunnel", STUNNEL + "[a]\naccept = 8443\nconnect = 1\nprotocol = proxy\n"),
    ("lighttpd", 'server.document-root = "/var"\n'),
    ("lighttpd", LIGHTTPD + 'server.port = 443\nssl.engine = "enable"\n'),
    ("lighttpd", LIGHTTPD + 'ssl.engine = "enable"\n'),
    (
        "lighttpd",
        LIGHTTPD
        + "server.port = 80\n"
        + SOCKET % (":443", ENGINE + 'ssl.pemfile = "{dir}/pair.pem"\n')
        + SOCKET % ("[::]:443", ENGINE + 'ssl.pemfile = "{dir}/pair.pem"\n'),
    ),
    (
        "lighttpd",
        LIGHTTPD
        + 'server.bind = "127.0.0.1"\nserver.port = 8080\n'
        + SOCKET % ("192.0.2.10:81", ""),
    ),
)


@pytest.fixture(scope="module")
def laboratory() -> Iterator[Lab]:
    with lab() as running:
        yield running


def write_pair(directory: Path) -> None:
    """Write a pair under the names that the cases use."""
    chain = pem(leaf(("www.example.org",), self_signed=True))
    files = {"cert.pem": chain, "key.pem": key_pem(), "pair.pem": chain + key_pem()}
    for name, text in files.items():
        (directory / name).write_text(text)


@pytest.mark.parametrize(
    ("name", "text"),
    [pytest.param(*case, marks=pytest.mark.live(PROGRAMS[case[0]].command[0])) for case in CASES],
)
def test_what_is_bound_and_where_it_is_tls(
    name: str, text: str, tmp_path: Path, laboratory: Lab
) -> None:
    program = PROGRAMS[name]
    directory = tmp_path / "etc" / program.file.partition("/")[0]
    directory.mkdir(parents=True)
    write_pair(directory)
    config = text.replace("{dir}", program.directory)
    (directory / program.file.rpartition("/")[2]).write_text(config)
    known = server(name)
    assert known is not None
    reading = known.read(Tree(tmp_path), Context())
    assert reading is not None
    assert reading.complete, reading.reasons
    seen = laboratory.run(
        Case(str(directory), program.directory, list(program.command), ["www.example.org"])
    )
    assert seen["started"], seen["log"]
    expected = {socket_of(one) for one in reading.endpoints if one.certain}
    assert expected == {tuple(one) for one in seen["sockets"]}
    for address, port, answer in seen["answers"]:
        tls = tls_at(reading.endpoints, address, port)
        assert tls in ("unknown", "implicit" if answer["mode"] != "none" else "none"), (
            address,
            port,
        )


def socket_of(endpoint: Endpoint) -> tuple[str, str, int, bool]:
    dual = endpoint.address == "::" and not endpoint.ipv6only
    return endpoint.transport, endpoint.address, endpoint.port, dual


def tls_at(endpoints: list[Endpoint], address: str, port: int) -> str:
    """Return what is read of the socket that takes connections to an address."""
    wildcards = ("::",) if ":" in address else ("0.0.0.0", "::")
    for wanted in (address, *wildcards):
        for one in endpoints:
            if (one.transport, one.address, one.port) == ("tcp", wanted, port):
                return one.tls
    raise AssertionError(f"nothing is read at {address}:{port}")
