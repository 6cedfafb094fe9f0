"""Who else owns a port: the small readers."""

from __future__ import annotations

import pytest

from sslint.servers.others import read_others
from tests.support import tree_of

Socket = tuple[str, str, int, str]


def sockets(files: dict[str, str], server: str) -> list[Socket]:
    """Return (transport, address, port, TLS) of one server's sockets."""
    found = [r for r in read_others(tree_of(files)) if r.server == server]
    return [(e.transport, e.address, e.port, e.tls) for r in found for e in r.endpoints]


def test_nothing() -> None:
    assert read_others(tree_of({"/etc/hosts": ""})) == []


@pytest.mark.parametrize(
    ("bind", "expected"),
    [
        (":80", [("tcp", "0.0.0.0", 80, "none")]),
        ("*:443 ssl crt /etc/ssl/x.pem", [("tcp", "0.0.0.0", 443, "implicit")]),
        (":::443 v4v6 ssl", [("tcp", "::", 443, "implicit")]),
        (
            "192.0.2.1:80,[2001:db8::1]:81",
            [("tcp", "192.0.2.1", 80, "none"), ("tcp", "2001:db8::1", 81, "none")],
        ),
        ("ipv6@:80", [("tcp", "::", 80, "none")]),
        ("quic4@:443 ssl crt x", [("udp", "0.0.0.0", 443, "implicit")]),
        ("*:8000-8002", [("tcp", "0.0.0.0", p, "none") for p in (8000, 8001, 8002)]),
        ("/run/haproxy.sock", []),
        ("abns@x", []),
    ],
)
def test_haproxy(bind: str, expected: list[Socket]) -> None:
    text = f"global\n  daemon\ndefaults\n  mode http # c\nfrontend x\n  bind {bind}\nbackend y\n"
    assert sockets({"/etc/haproxy/haproxy.cfg": text}, "haproxy") == expected


def test_haproxy_in_tcp_mode_may_pass_tls_on() -> None:
    text = "defaults\n mode http\nlisten x\n bind :993\n mode tcp\n server y z:993\n"
    assert sockets({"/etc/haproxy/haproxy.cfg": text}, "haproxy") == [
        ("tcp", "0.0.0.0", 993, "unknown")
    ]


def test_apache() -> None:
    files = {
        "/etc/apache2/apache2.conf": "IncludeOptional mods-enabled/*.load\nInclude ports.conf\n"
        "IncludeOptional sites-enabled/*.conf\n",
        "/etc/apache2/mods-enabled/ssl.load": "LoadModule ssl_module /x.so\n",
        "/etc/apache2/ports.conf": "Listen 80\n<IfModule ssl_module>\n\tListen 443\n</IfModule>\n"
        "<IfModule mod_gnutls.c>\n<IfModule x>\n</IfModule>\n\tListen 444\n</IfModule>\n"
        "<IfDefine X>\nListen 127.0.0.1:8080\n</IfDefine>\n#Listen 81\nListen [::1]:82 https\n",
        "/etc/apache2/sites-enabled/x.conf": "<VirtualHost *:443>\nSSLEngine on\n</VirtualHost>\n",
        "/etc/apache2/sites-available/y.conf": "Listen 9999\n",
    }
    assert sockets(files, "apache") == [
        ("tcp", "::", 80, "none"),
        ("tcp", "::", 443, "implicit"),
        ("tcp", "127.0.0.1", 8080, "none"),
        ("tcp", "::1", 82, "implicit"),
    ]
    found = read_others(tree_of(files))[0].endpoints
    assert [e.certain for e in found] == [True, True, False, True]
    assert [e.ipv6only for e in found] == [False] * 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("example.org {\n respond x\n}\n", {("tcp", 443), ("udp", 443), ("tcp", 80)}),
        ("example.org\nrespond x\n", {("tcp", 443), ("udp", 443), ("tcp", 80)}),
        ("http://example.org, :8080 {\n}\n", {("tcp", 80), ("tcp", 8080)}),
        ("https://a.b:8443 {\n}\n", {("tcp", 8443), ("udp", 8443)}),
        ("{\n auto_https off\n}\n:80 {\n}\n", {("tcp", 80)}),
        ("{\n https_port 4443\n}\na.b {\n}\n", {("tcp", 4443), ("udp", 4443), ("tcp", 80)}),
        ("(snippet) {\n x\n}\n", set()),
    ],
)
def test_caddy(text: str, expected: set[tuple[str, int]]) -> None:
    found = sockets({"/etc/caddy/Caddyfile": text}, "caddy")
    assert {(transport, port) for transport, _, port, _ in found} == expected


def test_lighttpd() -> None:
    text = (
        'server.port = 8080\n$SERVER["socket"] == ":443" {\n  ssl.engine = "enable"\n}\n'
        'server.bind = "127.0.0.1"\n'
    )
    assert sockets({"/etc/lighttpd/lighttpd.conf": text}, "lighttpd") == [
        ("tcp", "127.0.0.1", 8080, "none"),
        ("tcp", "0.0.0.0", 443, "implicit"),
    ]


def test_exim_as_debian_splits_it() -> None:
    files = {
        "/etc/exim4/update-exim4.conf.conf": "dc_local_interfaces='127.0.0.1 ; ::1.2525'\n",
        "/etc/default/exim4": "SMTPLISTENEROPTIONS='-oX 25:587'\n",
    }
    assert {s[1:3] for s in sockets(files, "exim")} >= {("127.0.0.1", 25), ("127.0.0.1", 587)}


def test_exim() -> None:
    text = (
        "daemon_smtp_ports = 25 : 465\ntls_on_connect_ports = 465\n"
        "local_interfaces = <; ::0 ; 192.0.2.1 ; [192.0.2.2]:26\nbegin acl\n"
        "daemon_smtp_ports = 1\n"
    )
    assert sockets({"/etc/exim4/exim4.conf": text}, "exim") == [
        ("tcp", "::", 25, "unknown"),
        ("tcp", "::", 465, "implicit"),
        ("tcp", "192.0.2.1", 25, "unknown"),
        ("tcp", "192.0.2.1", 465, "implicit"),
        ("tcp", "192.0.2.2", 26, "unknown"),
    ]


def test_cyrus() -> None:
    text = (
        'START {\n recover cmd="x" listen="1"\n}\nSERVICES {\n'
        ' imap cmd="imapd" listen="imap" prefork=0\n imaps cmd="imapd -s" listen="[::1]:imaps"\n'
        ' lmtp cmd="lmtpd" listen="/run/lmtp"\n}\n'
    )
    assert sockets({"/etc/cyrus.conf": text}, "cyrus") == [
        ("tcp", "0.0.0.0", 143, "unknown"),
        ("tcp", "::", 143, "unknown"),
        ("tcp", "::1", 993, "implicit"),
    ]


def test_stunnel() -> None:
    text = (
        "; c\ncert = /x\n[imaps]\naccept = 993\nconnect = 143\n"
        "[out]\nclient = yes\naccept = 127.0.0.1:2525\n[smtp]\naccept = :::25\nprotocol = smtp\n"
    )
    assert sockets({"/etc/stunnel/stunnel.conf": text}, "stunnel") == [
        ("tcp", "0.0.0.0", 993, "implicit"),
        ("tcp", "127.0.0.1", 2525, "none"),
        ("tcp", "::", 25, "starttls"),
    ]


SOCKET = "[Unit]\n[Socket]\nListenStream={}\n"


def test_systemd_sockets_without_enablement() -> None:
    files = {
        "/usr/lib/systemd/system/a.socket": SOCKET.format("19531"),
        "/usr/lib/systemd/system/b.socket": SOCKET.format("127.0.0.1:2000").replace(
            "Stream", "Datagram"
        ),
        "/usr/lib/systemd/system/c.socket": SOCKET.format("/run/x"),
    }
    assert sockets(files, "systemd") == [
        ("tcp", "::", 19531, "unknown"),
        ("udp", "127.0.0.1", 2000, "unknown"),
    ]


def test_openssh() -> None:
    files = {
        "/etc/ssh/sshd_config": "Include /etc/ssh/sshd_config.d/*.conf\nPort 22\n"
        "ListenAddress 192.0.2.1\nListenAddress [::1]:2022\nMatch User x\n  Port 1\n",
        "/etc/ssh/sshd_config.d/x.conf": "port=2222\n",
    }
    assert [s[1:3] for s in sockets(files, "openssh")] == [
        ("192.0.2.1", 2222),
        ("192.0.2.1", 22),
        ("::1", 2022),
    ]
    assert [s[1:3] for s in sockets({"/etc/ssh/sshd_config": ""}, "openssh")] == [
        ("0.0.0.0", 22),
        ("::", 22),
    ]


def test_docker_and_compose() -> None:
    files = {
        "/etc/docker/daemon.json": '{"hosts": ["unix:///x", "tcp://0.0.0.0:2376"], '
        '"tlsverify": true}',
        "/opt/app/docker-compose.yml": "services:\n  web:\n    ports:\n"
        '      - "443:8443"\n      - 127.0.0.1:${PORT:-8080}:80\n      - "80"\n'
        '      - "53:53/udp"\n      - target: 25\n        published: "2525"\n'
        "        host_ip: 192.0.2.1\n      - 22:22\n",
        "/srv/compose.yaml": "services: [\n",
    }
    assert sockets(files, "docker") == [
        ("tcp", "0.0.0.0", 2376, "implicit"),
        ("tcp", "0.0.0.0", 443, "unknown"),
        ("tcp", "::", 443, "unknown"),
        ("tcp", "127.0.0.1", 8080, "unknown"),
        ("udp", "0.0.0.0", 53, "unknown"),
        ("udp", "::", 53, "unknown"),
        ("tcp", "192.0.2.1", 2525, "unknown"),
        ("tcp", "0.0.0.0", 22, "unknown"),
        ("tcp", "::", 22, "unknown"),
    ]


def test_tunnels() -> None:
    files = {
        "/etc/wireguard/wg0.conf": "[Interface]\nListenPort = 443\n[Peer]\nListenPort = 1\n",
        "/etc/openvpn/server/a.conf": "port 1195\nproto tcp-server\nserver 10.8.0.0 x\n",
        "/etc/openvpn/client.conf": "client\nremote x 1194\n",
    }
    assert {s[:3] for s in sockets(files, "wireguard")} == {
        ("udp", "0.0.0.0", 443),
        ("udp", "::", 443),
    }
    assert {s[:3] for s in sockets(files, "openvpn")} == {
        ("tcp", "0.0.0.0", 1195),
        ("tcp", "::", 1195),
    }


def test_name_servers() -> None:
    files = {
        "/etc/bind/named.conf": 'include "x";\n',
        "/etc/bind/named.conf.options": "options {\n listen-on port 853 tls t { any; };\n"
        " listen-on { 192.0.2.1; };\n listen-on-v6 { none; };\n};\n",
        "/etc/unbound/unbound.conf": "server:\n interface: 0.0.0.0@853\n interface: ::1\n",
    }
    assert {s[:3] for s in sockets(files, "named")} == {
        ("tcp", "0.0.0.0", 853),
        ("tcp", "192.0.2.1", 53),
        ("udp", "192.0.2.1", 53),
    }
    assert {s[:3] for s in sockets(files, "unbound")} == {
        ("tcp", "0.0.0.0", 853),
        ("tcp", "::1", 53),
        ("udp", "::1", 53),
    }


PATHS = (
    "/etc/haproxy/haproxy.cfg",
    "/etc/apache2/apache2.conf",
    "/etc/caddy/Caddyfile",
    "/etc/lighttpd/lighttpd.conf",
    "/etc/exim4/exim4.conf",
    "/etc/exim4/update-exim4.conf.conf",
    "/etc/cyrus.conf",
    "/etc/stunnel/x.conf",
    "/etc/systemd/system/x.socket",
    "/etc/ssh/sshd_config",
    "/etc/docker/daemon.json",
    "/opt/compose.yml",
    "/etc/wireguard/x.conf",
    "/etc/openvpn/x.conf",
    "/etc/bind/named.conf",
    "/etc/unbound/unbound.conf",
)
WORDS = (
    "bind Listen listen accept = : :443 ports: - { } \n [Socket] ListenStream= <IfModule </ \" ' # "
    "frontend x port server include * / .. ${ 99999999999999999999 \u0660 -1- \0 \udcff <; "
    "listen-on SERVICES daemon_smtp_ports services: &a *a !!python/object [ ]"
)


@pytest.mark.parametrize("path", PATHS)
def test_hostile_files_do_not_stop_it(path: str) -> None:
    import random

    rng = random.Random(path)
    words = WORDS.split(" ")
    for _ in range(25):
        text = " ".join(rng.choice(words) for _ in range(rng.randrange(80)))
        read_others(tree_of({path: text.replace(" \n", "\n")}))
