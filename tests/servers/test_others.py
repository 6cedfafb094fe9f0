"""Who else owns a port: the small readers."""

from __future__ import annotations

import pytest

from sslint.network import read_network
from sslint.servers import servers
from sslint.servers.interface import Context
from sslint.servers.model import ServerReading
from sslint.servers.programs import read_programs, read_unread
from sslint.tree import Tree
from tests.support import tree_of

Socket = tuple[str, str, int, str]


def read_others(tree: Tree) -> list[ServerReading]:
    """Return what is read of all servers and programs."""
    context = Context(network=read_network(tree))
    found = [server.read(tree, context) for server in servers()]
    return [one for one in found if one] + read_unread(tree) + read_programs(tree)


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
        ("':${P}' ssl crt x", [("tcp", "0.0.0.0", 8443, "implicit")]),
        ("*:8000-8002", [("tcp", "0.0.0.0", p, "none") for p in (8000, 8001, 8002)]),
        ("/run/haproxy.sock", []),
        ("abns@x", []),
    ],
)
def test_haproxy(bind: str, expected: list[Socket]) -> None:
    text = "global\n  setenv P 8443\ndefaults\n  mode http # c\n"
    text += f"frontend x\n  bind {bind}\nbackend y\n"
    assert sockets({"/etc/haproxy/haproxy.cfg": text}, "haproxy") == expected


@pytest.mark.parametrize(
    ("bind", "ipv6only"),
    [("[::]:443", False), (":::443", False), ("ipv6@:443", False), ("[::]:443 v6only", True)],
)
def test_haproxy_takes_ipv4_on_an_ipv6_wildcard(bind: str, ipv6only: bool) -> None:
    files = {"/etc/haproxy/haproxy.cfg": f"frontend x\n bind {bind}\n"}
    (reading,) = read_others(tree_of(files))
    assert [(e.address, e.ipv6only) for e in reading.endpoints] == [("::", ipv6only)]


@pytest.mark.parametrize("bind", ["443", "ipv4@443", "127.0.0.1", "*", "quic4@443", ":80,443"])
def test_haproxy_does_not_start_with_a_port_without_a_colon(bind: str) -> None:
    files = {"/etc/haproxy/haproxy.cfg": f"frontend x\n bind {bind}\n bind :8443\n"}
    (reading,) = read_others(tree_of(files))
    assert [(one.location.line, "names no port" in one.text) for one in reading.refusals] == [
        (2, True)
    ]


@pytest.mark.parametrize(
    "lines", [" bind $P\n bind :1\n", " .if env(A)\n bind 443\n .endif\n bind :1\n"]
)
def test_haproxy_may_start_where_a_bind_may_be_another(lines: str) -> None:
    (reading,) = read_others(tree_of({"/etc/haproxy/haproxy.cfg": f"frontend x\n{lines}"}))
    assert not reading.refusals


def test_what_haproxy_binds_by_a_variable_is_unknown_and_not_nothing() -> None:
    files = {"/etc/haproxy/haproxy.cfg": "frontend x\n bind :${PORT} ssl crt y\n"}
    (reading,) = read_others(tree_of(files))
    assert not reading.complete
    assert reading.reasons == ["etc/haproxy/haproxy.cfg:2: bind :${PORT} ssl crt y is not known"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("frontend x\n bind '192.0.2.1:80'\n", {("192.0.2.1", 80, True)}),
        ("frontend x\n bind :\\x38\\x30#ssl\n", {("0.0.0.0", 80, True)}),
        ("frontend x\n bind stream+ipv6@:80\n", {("::", 80, True)}),
        ("frontend x\n bind uxst@/run/x\n bind :81\n", {("0.0.0.0", 81, True)}),
        (
            'global\n setenv A 1\n unsetenv A\nfrontend x\n bind ":${A-80}"\n',
            {("0.0.0.0", 80, True)},
        ),
        ('frontend x\n bind ":${A-80}"\n', {("0.0.0.0", 80, False)}),
        ("frontend x\n bind :${B}\n", {("0.0.0.0", 82, True)}),
        ('global\n presetenv A 80\nfrontend x\n bind ":$A"\n', {("0.0.0.0", 80, False)}),
        ("frontend x\n bind :80 interface eth1\n", {("0.0.0.0", 80, False)}),
        ("frontend x\n bind :80 namespace a\n", {("0.0.0.0", 80, False)}),
        ("frontend x\n bind localhost:80\n", {("127.0.0.1", 80, False), ("::1", 80, False)}),
        ("frontend x\n bind ipv4@localhost:80\n", {("127.0.0.1", 80, True)}),
        ("frontend x\n bind one:80\n", {("192.0.2.9", 80, True)}),
        (
            "frontend x\n bind localhost:80,:81\n",
            {("127.0.0.1", 80, False), ("::1", 80, False), ("0.0.0.0", 81, True)},
        ),
        ("global\n stats socket ipv4@192.0.2.1:9000 level admin\n", {("192.0.2.1", 9000, True)}),
        ("global\n stats socket /run/x\nfrontend x\n bind :1\n", {("0.0.0.0", 1, True)}),
        ("log-forward l\n dgram-bind :514\n", {("0.0.0.0", 514, True)}),
        ("peers p\n bind :1024\n", {("0.0.0.0", 1024, False)}),
        ("defaults\n disabled\ndefaults b\nfrontend x\n bind :80\n", {("0.0.0.0", 80, True)}),
        (
            "defaults a\n disabled\ndefaults b\n"
            "frontend y from a\n bind :1\nfrontend x\n bind :80\n",
            {("0.0.0.0", 80, True)},
        ),
        (
            "defaults\n disabled\nfrontend x\n bind :1\nfrontend y\n enabled\n bind :80\n",
            {("0.0.0.0", 80, True)},
        ),
    ],
)
def test_haproxy_in_its_own_words(text: str, expected: set[tuple[str, int, bool]]) -> None:
    files = {
        "/etc/haproxy/haproxy.cfg": text,
        "/etc/default/haproxy": "B=82\n",
        "/etc/hosts": "192.0.2.9 one\n127.0.0.1 localhost\n::1 localhost\n",
    }
    (reading,) = read_others(tree_of(files))
    assert {(e.address, e.port, e.certain) for e in reading.endpoints} == expected


def test_the_name_ssl_does_not_make_haproxy_speak_tls() -> None:
    text = "defaults\n mode http\nfrontend x\n bind :80 name ssl\n bind :81 name a ssl crt b\n"
    found = sockets({"/etc/haproxy/haproxy.cfg": text}, "haproxy")
    assert [socket[3] for socket in found] == ["none", "implicit"]


def test_haproxy_that_does_not_share_ports_opens_each_once() -> None:
    text = "frontend x\n bind :80\n bind 192.0.2.1:80\n"
    for start, starts in (("", True), ("global\n noreuseport\n", False)):
        (reading,) = read_others(tree_of({"/etc/haproxy/haproxy.cfg": start + text}))
        assert reading.starts == starts


def test_haproxy_opens_what_is_enabled() -> None:
    text = (
        "frontend x\n disabled\n bind :1\n.if 0\nfrontend y\n bind :2\n.endif\n"
        "backend z\n bind :3\n"
    )
    (reading,) = read_others(tree_of({"/etc/haproxy/haproxy.cfg": text}))
    assert [(e.port, e.certain) for e in reading.endpoints] == [(2, False), (3, True)]


def test_debians_haproxy_reads_no_conf_d() -> None:
    files = {
        "/etc/haproxy/haproxy.cfg": "frontend x\n bind :1\n",
        "/etc/haproxy/conf.d/y.cfg": "frontend y\n bind :2\n",
    }
    found = read_others(tree_of(files))[0].endpoints
    assert [(e.port, e.certain) for e in found] == [(1, True), (2, False)]
    assert [s[2] for s in sockets({**files, "/etc/debian_version": "13.1\n"}, "haproxy")] == [1]
    extra = {
        "/etc/debian_version": "13\n",
        "/etc/default/haproxy": 'EXTRAOPTS="-f /etc/haproxy/conf.d"\n',
    }
    assert [s[2] for s in sockets({**files, **extra}, "haproxy")] == [1, 2]


def test_haproxy_in_tcp_mode_may_pass_tls_on() -> None:
    text = "defaults\n mode http\nlisten x\n bind :993\n mode tcp\n server y z:993\n"
    assert sockets({"/etc/haproxy/haproxy.cfg": text}, "haproxy") == [
        ("tcp", "0.0.0.0", 993, "unknown")
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (":8443 {\n tls /x.pem /x.key\n}\n", {("tcp", 8443), ("udp", 8443), ("tcp", 80)}),
        ("{\n auto_https off\n}\na.b:8443 {\n}\n", {("tcp", 8443), ("udp", 8443)}),
        ("a.b:8443 {\n}\n", {("tcp", 8443), ("udp", 8443), ("tcp", 80)}),
        ("{\n auto_https disable_redirects\n}\na.b {\n}\n", {("tcp", 443), ("udp", 443)}),
        ("example.org {\n respond x\n}\n", {("tcp", 443), ("udp", 443), ("tcp", 80)}),
        ("example.org\nrespond x\n", {("tcp", 443), ("udp", 443), ("tcp", 80)}),
        ("http://example.org, :8080 {\n}\n", {("tcp", 80), ("tcp", 8080)}),
        ("https://a.b:8443 {\n}\n", {("tcp", 8443), ("udp", 8443), ("tcp", 80)}),
        ("{\n auto_https off\n}\n:80 {\n}\n", {("tcp", 80)}),
        ("{\n https_port 4443\n}\na.b {\n}\n", {("tcp", 4443), ("udp", 4443), ("tcp", 80)}),
        ("(snippet) {\n x\n}\n", set()),
    ],
)
def test_caddy(text: str, expected: set[tuple[str, int]]) -> None:
    found = sockets({"/etc/caddy/Caddyfile": text}, "caddy")
    assert {(transport, port) for transport, _, port, _ in found} == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a.b {\n proxy / localhost:8080\n}\n", "proxy / is a directive of Caddy 1"),
        ("c.d {\n}\na.b {\n gzip\n}\n", "gzip is a directive of Caddy 1"),
        ("a.b\ngzip\nfastcgi / /run/php.sock php\n", "gzip is a directive of Caddy 1"),
        (
            "(all) {\n errors x.log\n}\na.b {\n import all\n}\n",
            "errors x.log is a directive of Caddy 1",
        ),
        ("a.b:80 {\n tls off\n}\n", "tls off is a directive of Caddy 1"),
        ("#!/bin/sh\nset -e\nexec caddy run\n", "a script, not a Caddyfile"),
    ],
)
def test_what_caddy_2_refuses_opens_no_sockets_of_it(text: str, why: str) -> None:
    (reading,) = read_others(tree_of({"/etc/caddy/Caddyfile": text}))
    assert reading.endpoints == []
    assert reading.starts
    assert why in str(reading.gaps[0])


@pytest.mark.parametrize(
    "text",
    [
        "#!/usr/bin/caddy run --config\na.b {\n}\n",
        "a.b {\n handle_errors {\n  respond x\n }\n rate_limit 5\n}\n",
        "a.b {\n log {\n  proxy x\n }\n}\n",  # not a statement of the site
    ],
)
def test_what_caddy_2_or_its_plugins_take_is_read(text: str) -> None:
    found = sockets({"/etc/caddy/Caddyfile": text}, "caddy")
    assert {(transport, port) for transport, _, port, _ in found} == {
        ("tcp", 443),
        ("udp", 443),
        ("tcp", 80),
    }


def test_caddys_wildcards_take_both_families() -> None:
    files = {"/etc/caddy/Caddyfile": "a.b {\n bind 0.0.0.0\n}\n"}
    found = read_others(tree_of(files))[0].endpoints
    assert {(e.address, e.ipv6only) for e in found} == {("::", False)}


def test_lighttpd_as_debian_ships_it() -> None:
    text = 'server.port = 80\ninclude_shell "/usr/share/lighttpd/use-ipv6.pl " + server.port\n'
    assert sockets({"/etc/lighttpd/lighttpd.conf": text}, "lighttpd") == [
        ("tcp", "::", 80, "none"),
        ("tcp", "0.0.0.0", 80, "none"),
    ]


def test_lighttpd() -> None:
    text = (
        'server.port = 8080\n$SERVER["socket"] == ":443" {\n  ssl.engine = "enable"\n}\n'
        'server.bind = "127.0.0.1"\n'
    )
    assert sockets({"/etc/lighttpd/lighttpd.conf": text}, "lighttpd") == [
        ("tcp", "0.0.0.0", 443, "implicit"),
        ("tcp", "127.0.0.1", 8080, "none"),
    ]


SIX = 'server.use-ipv6 = "enable"\n'
DUAL = 'server.set-v6only = "disable"\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {("0.0.0.0", 80, True)}),
        (SIX, {("::", 80, True)}),
        (SIX + DUAL, {("::", 80, False)}),
        (SIX + 'server.bind = "*"\n', {("0.0.0.0", 80, True)}),
        ('server.bind = ""\n', {("0.0.0.0", 80, True)}),
        ('server.bind = "[::]"\n', {("::", 80, True)}),
        ('server.bind = "[::]"\nserver.v4mapped = "enable"\n', {("::", 80, False)}),
        ('server.bind = "[::]:8445"\nserver.port = 8080\n', {("::", 8445, True)}),
        ('server.bind = "/run/x.sock"\n$SERVER["socket"] == ":81" {}\n', {("0.0.0.0", 81, True)}),
        ("server.port = 80\nserver.port := 81\n", {("0.0.0.0", 81, True)}),
        (
            'server.port = 81\n$SERVER["socket"] == "[::1]" {}\n',
            {("::1", 81, True), ("0.0.0.0", 81, True)},
        ),
        ('$SERVER["socket"] == ":81" {\n' + SIX + "}\n", {("::", 81, True), ("0.0.0.0", 80, True)}),
        (
            DUAL + '$SERVER["socket"] == "[::]:81" {\nserver.set-v6only = "enable"\n}\n',
            {("::", 81, True), ("0.0.0.0", 80, True)},
        ),
        (
            '$SERVER["socket"] == "[::]:" + 81 {\n' + DUAL + "}\n",
            {("::", 81, False), ("0.0.0.0", 80, True)},
        ),
        (
            '$HTTP["host"] == "a" { $SERVER["socket"] == ":81" { } }\n',
            {("0.0.0.0", 81, True), ("0.0.0.0", 80, True)},
        ),
    ],
)
def test_lighttpd_with_which_families(text: str, expected: set[tuple[str, int, bool]]) -> None:
    (reading,) = read_others(tree_of({"/etc/lighttpd/lighttpd.conf": text}))
    assert {(e.address, e.port, e.ipv6only) for e in reading.endpoints} == expected
    assert reading.starts
    assert all(endpoint.certain for endpoint in reading.endpoints)


def test_lighttpd_has_tls_from_around_a_socket() -> None:
    text = (
        'ssl.engine = "enable"\n$SERVER["socket"] == ":81" { ssl.engine = "disable" }\n'
        '$SERVER["socket"] == ":444" {\n $HTTP["host"] == "a" { ssl.engine = "disable" }\n}\n'
    )
    assert sockets({"/etc/lighttpd/lighttpd.conf": text}, "lighttpd") == [
        ("tcp", "0.0.0.0", 81, "none"),
        ("tcp", "0.0.0.0", 444, "implicit"),
        ("tcp", "0.0.0.0", 443, "implicit"),
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            SIX + DUAL + '$SERVER["socket"] == "0.0.0.0:80" {\n}\n',
            "[::]:80 cannot be opened beside 0.0.0.0:80 (etc/lighttpd/lighttpd.conf:3)",
        ),
        ("server.port = 80\nserver.port = 81\n", "server.port is set already"),
        ("server.port = port\n", "port is not set before"),
        ("server.port 80\n", "syntax error at 80"),
        ('global {\n$SERVER["socket"] == ":81" { }\n}\n', "a condition stands inside"),
    ],
)
def test_lighttpd_does_not_start(text: str, why: str) -> None:
    (reading,) = read_others(tree_of({"/etc/lighttpd/lighttpd.conf": text}))
    (reason,) = reading.reasons
    assert why in reason


def test_lighttpd_without_ipv6_opens_the_rest() -> None:
    grub = {"/etc/default/grub": "GRUB_CMDLINE_LINUX='ipv6.disable=1'\n"}
    text = SIX + DUAL + '$SERVER["socket"] == "0.0.0.0:80" {\n}\n'
    (reading,) = read_others(tree_of({"/etc/lighttpd/lighttpd.conf": text, **grub}))
    assert reading.starts
    assert [(e.address, e.ipv6only) for e in reading.endpoints] == [("0.0.0.0", True), ("::", True)]


def test_what_lighttpd_includes_and_is_not_given_may_bind_something_else() -> None:
    files = {"/etc/lighttpd/lighttpd.conf": 'include "missing.conf"\nserver.port = 80\n'}
    (reading,) = read_others(tree_of(files))
    assert [(e.port, e.certain) for e in reading.endpoints] == [(80, False)]
    files = {"/etc/lighttpd/lighttpd.conf": 'include "x/*.conf"\nserver.port = 80\n'}
    (reading,) = read_others(tree_of(files))
    assert [(e.port, e.certain) for e in reading.endpoints] == [(80, True)]


def test_exim_as_debian_splits_it() -> None:
    files = {
        "/etc/exim4/update-exim4.conf.conf": "dc_eximconfig_configtype='local'\n"
        "dc_local_interfaces='127.0.0.1 ; ::1.2525'\n",
        "/etc/default/exim4": "SMTPLISTENEROPTIONS='-oX 25:587'\n",
    }
    assert {s[1:3] for s in sockets(files, "exim")} >= {("127.0.0.1", 25), ("127.0.0.1", 587)}


def test_of_exim_and_postfix_one_is_installed() -> None:
    files = {
        "/etc/exim4/update-exim4.conf.conf": "dc_local_interfaces=''\n",
        "/etc/postfix/main.cf": "",
    }
    found = next(r for r in read_others(tree_of(files)) if r.server == "exim")
    assert [e.certain for e in found.endpoints] == [False, False]
    own = {"/etc/exim4/exim4.conf": "", "/etc/postfix/main.cf": ""}
    found = next(r for r in read_others(tree_of(own)) if r.server == "exim")
    assert found.endpoints[0].certain


def test_exim_reads_of_debians_split_files_what_update_exim4_conf_reads() -> None:
    files = {
        "/etc/exim4/update-exim4.conf.conf": "dc_use_split_config='true'\n",
        "/etc/exim4/exim4.conf.localmacros": "daemon_smtp_ports = 1\n",
        "/etc/exim4/conf.d/main/zz.conf": "daemon_smtp_ports = 2\n",
        "/etc/exim4/conf.d/main/01_ports": "daemon_smtp_ports = 25 : 465\n",
    }
    assert {s[2] for s in sockets(files, "exim")} == {25, 465}


def test_exim() -> None:
    text = (
        "daemon_smtp_ports = 25 : 465\ntls_on_connect_ports = 465\n"
        "local_interfaces = <; ::0 ; 192.0.2.1 ; [192.0.2.2]:26\nbegin acl\n"
        "daemon_smtp_ports = 1\n"
    )
    assert sockets({"/etc/exim4/exim4.conf": text}, "exim") == [
        ("tcp", "::", 25, "starttls"),
        ("tcp", "::", 465, "implicit"),
        ("tcp", "192.0.2.1", 25, "starttls"),
        ("tcp", "192.0.2.1", 465, "implicit"),
        ("tcp", "192.0.2.2", 26, "starttls"),
    ]


@pytest.mark.parametrize(
    ("text", "tls"),
    [
        ("", "starttls"),  # announced to all, with a certificate made in memory
        ("tls_advertise_hosts =\n", "none"),
        ("tls_advertise_hosts = *\n", "starttls"),
        ("tls_advertise_hosts = 192.0.2.0/24\n", "unknown"),
        ("A = *\ntls_advertise_hosts = A\n", "starttls"),
        (".ifdef A\ntls_advertise_hosts =\n.endif\n", "starttls"),
        (".ifndef A\ntls_advertise_hosts =\n.endif\n", "none"),
        ("A = 1\n.ifdef A\n.else\ntls_advertise_hosts =\n.endif\n", "starttls"),
        (".ifdef _HAVE_X\ntls_advertise_hosts =\n.endif\n", "unknown"),
    ],
)
def test_exim_announces_starttls(text: str, tls: str) -> None:
    found = sockets({"/etc/exim4/exim4.conf": text}, "exim")
    assert {s[3] for s in found} == {tls}


def test_exim_with_a_port_that_is_not_known_is_not_complete() -> None:
    (reading,) = read_others(tree_of({"/etc/exim4/exim4.conf": "daemon_smtp_ports = PORTS\n"}))
    assert not reading.complete


@pytest.mark.parametrize(
    ("text", "tls"),
    [
        ("defaults\n mode http\n", "none"),
        ("", "unknown"),
        ("defaults a\n mode http\ndefaults b\n", "unknown"),
        ("defaults a\n mode http\ndefaults b\n mode tcp\n", "unknown"),
    ],
)
def test_haproxy_in_which_mode(text: str, tls: str) -> None:
    files = {"/etc/haproxy/haproxy.cfg": f"{text}frontend x\n bind :443\n"}
    assert [s[3] for s in sockets(files, "haproxy")] == [tls]


def test_haproxy_chooses_its_defaults() -> None:
    text = "defaults a\n mode http\ndefaults b\n mode tcp\nfrontend x from a\n bind :443\n"
    assert [s[3] for s in sockets({"/etc/haproxy/haproxy.cfg": text}, "haproxy")] == ["none"]


def test_haproxy_that_looks_at_the_hello_passes_tls_on() -> None:
    text = "frontend x\n bind :443\n use_backend y if { req_ssl_sni -i a.example.org }\n"
    (reading,) = read_others(tree_of({"/etc/haproxy/haproxy.cfg": text}))
    assert [(e.tls, e.passthrough) for e in reading.endpoints] == [("unknown", True)]


@pytest.mark.parametrize(
    ("text", "udp"),
    [
        ("", [True]),
        ("{\n servers {\n  protocols h1 h2\n }\n}\n", []),
        ("{\n servers :443 {\n  protocols h1 h2\n }\n}\n", [False]),
    ],
)
def test_caddy_speaks_http3_unless_told_otherwise(text: str, udp: list[bool]) -> None:
    (reading,) = read_others(tree_of({"/etc/caddy/Caddyfile": text + "a.b {\n}\n"}))
    assert [e.certain for e in reading.endpoints if e.transport == "udp"] == udp


@pytest.mark.parametrize(
    ("bind", "expected"),
    [
        ("0.0.0.0", {("::", False)}),
        ("tcp4/0.0.0.0", {("0.0.0.0", True)}),
        ("tcp4/", {("0.0.0.0", True)}),
        ("TCP6/", {("::", True)}),
        ("tcp6/::", {("::", True)}),
        ("tcp/::", {("::", False)}),
        ("tcp6/[2001:db8::1]", {("2001:db8::1", True)}),
        ("::ffff:192.0.2.1", {("192.0.2.1", True)}),
        ("localhost", {("127.0.0.1", True)}),
        ("192.0.2.1 # bind", {("192.0.2.1", True)}),
        ("192.0.2.1\n bind `::1`", {("192.0.2.1", True), ("::1", True)}),
        ('unix//run/x "192.0.2.1"', {("192.0.2.1", True)}),
    ],
)
def test_caddy_binds(bind: str, expected: set[tuple[str, bool]]) -> None:
    files = {"/etc/caddy/Caddyfile": f"http://a {{\n bind {bind}\n}}\n", "/etc/hosts": ""}
    (reading,) = read_others(tree_of(files))
    assert {(e.address, e.ipv6only) for e in reading.endpoints} == expected


def test_caddys_proxy_with_tls_is_not_a_site_with_tls() -> None:
    text = ":8080 {\n reverse_proxy a {\n transport http {\n tls\n }\n }\n}\n"
    assert sockets({"/etc/caddy/Caddyfile": text}, "caddy") == [("tcp", "::", 8080, "none")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.b {\n bind 192.0.2.1\n}\n", {("192.0.2.1", True)}),
        (":8443 {\n tls /c /k\n bind 192.0.2.1 ::1\n}\n", {("192.0.2.1", True), ("::1", True)}),
        ("a.b {\n bind 192.0.2.1 ::1\n}\n", {("192.0.2.1", False), ("::1", False)}),
        ("a.b {\n bind 192.0.2.1\n}\n:80 {\n}\n", {("::", True)}),
        (
            "a.b {\n bind 192.0.2.1\n}\n:80 {\n bind ::1\n}\n",
            {("::1", True), ("192.0.2.1", False)},
        ),
        ("a.b {\n bind tcp4/\n}\n:80 {\n bind ::1\n}\n", {("0.0.0.0", True), ("::1", True)}),
    ],
)
def test_where_caddy_redirects(text: str, expected: set[tuple[str, bool]]) -> None:
    (reading,) = read_others(tree_of({"/etc/caddy/Caddyfile": text}))
    assert {(e.address, e.certain) for e in reading.endpoints if e.port == 80} == expected


def test_caddy_gives_snippets_arguments() -> None:
    for argument in ("{args.0}", "{args[0]}"):
        text = f"(s) {{\n bind {argument}\n}}\nhttp://a {{\n import s 192.0.2.1\n}}\n"
        assert [s[1] for s in sockets({"/etc/caddy/Caddyfile": text}, "caddy")] == ["192.0.2.1"]


@pytest.mark.parametrize(
    ("text", "certain"),
    [
        ("{$SITE} {\n}\n", {False}),
        ("{\n https_port {$P}\n}\na.b {\n}\n", {True}),  # that of plain HTTP alone
        ("import {$DIR}/x\na.b {\n}\n", {True}),
        ("import missing\na.b {\n}\n", {True}),
        ("a.b {\n bind {$IP}\n}\n", {False}),
    ],
)
def test_what_caddys_environment_decides_is_not_known(text: str, certain: set[bool]) -> None:
    (reading,) = read_others(tree_of({"/etc/caddy/Caddyfile": text}))
    assert {endpoint.certain for endpoint in reading.endpoints} == certain
    assert not reading.complete or certain == {False}


@pytest.mark.parametrize(("version", "starts"), [("2.6.2", False), ("2.7.6", True), (None, True)])
def test_caddys_quic_at_an_address_beside_all(version: str | None, starts: bool) -> None:
    text = "a.b {\n}\nc.d {\n bind 192.0.2.1\n}\n"
    context = Context(tuple(map(int, version.split("."))) if version else None)
    server = next(one for one in servers() if one.name == "caddy")
    reading = server.read(tree_of({"/etc/caddy/Caddyfile": text}), context)
    assert reading is not None
    assert reading.starts == starts


def test_caddys_sites_import_files() -> None:
    files = {
        "/etc/caddy/Caddyfile": "http://a {\n import common/*.conf\n import none/*\n}\n",
        "/etc/caddy/common/x.conf": "import y\n",
        "/etc/caddy/common/y": "bind 192.0.2.1\n",
    }
    assert sockets(files, "caddy") == [("tcp", "192.0.2.1", 80, "none")]


def test_caddy_puts_snippets_in() -> None:
    text = "(s) {\n tls /c /k\n bind 192.0.2.1\n}\n:8443 {\n import s\n}\n"
    assert ("tcp", "192.0.2.1", 8443, "implicit") in sockets(
        {"/etc/caddy/Caddyfile": text}, "caddy"
    )


def test_caddy_with_a_file_that_is_not_known_in_a_site() -> None:
    text = ":8443 {\n import other\n}\n"
    assert sockets({"/etc/caddy/Caddyfile": text}, "caddy") == [("tcp", "::", 8443, "unknown")]


@pytest.mark.parametrize(
    ("include", "tls"),
    [
        ('include "x.conf"', "implicit"),
        ('include "missing.conf"', "unknown"),
        ('include "none/*.conf"', "none"),
        ('include env.DIR + "/y.conf"', "unknown"),
        ('include_shell "cat /x"', "unknown"),
        ('include_shell "/usr/share/lighttpd/include-conf-enabled.pl"', "none"),
    ],
)
def test_lighttpd_reads_what_it_includes(include: str, tls: str) -> None:
    files = {
        "/etc/lighttpd/lighttpd.conf": f"server.port = 443\n{include}\n",
        "/etc/lighttpd/x.conf": 'ssl.engine = "enable"\n',
    }
    assert [s[3] for s in sockets(files, "lighttpd")] == [tls]


@pytest.mark.parametrize(
    ("protocol", "tls"), [("smtp", "starttls"), ("proxy", "implicit"), ("socks", "implicit")]
)
def test_stunnel_negotiates_before_tls_or_inside_it(protocol: str, tls: str) -> None:
    text = f"[a]\naccept = 443\nprotocol = {protocol}\n"
    assert [s[3] for s in sockets({"/etc/stunnel/a.conf": text}, "stunnel")] == [tls]


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


@pytest.mark.parametrize(
    ("options", "expected"),
    [  # measured with 3.10.2
        ("listen=143", {("tcp", "0.0.0.0"), ("tcp", "::")}),
        ('listen="143" proto="tcp4"', {("tcp", "0.0.0.0")}),
        ('listen="*:143" proto="tcp6"', {("tcp", "::")}),
        ('listen="143" proto="udp"', {("udp", "0.0.0.0"), ("udp", "::")}),
        ('listen="127.0.0.1:143" proto="tcp6"', set()),
        ('listen="143" proto="TCP4"', set()),
        ('listen="[::]:143"', {("tcp", "::")}),
        ('listen="one:143"', {("tcp", "192.0.2.9")}),
    ],
)
def test_cyrus_opens_what_proto_says(options: str, expected: set[tuple[str, str]]) -> None:
    files = {
        "/etc/cyrus.conf": f'SERVICES {{\n a cmd="imapd" {options}\n b listen="127.0.0.1:1"\n}}\n',
        "/etc/hosts": "192.0.2.9 one\n",
    }
    found = [s for s in sockets(files, "cyrus") if s[2] == 143]
    assert {(transport, address) for transport, address, _, _ in found} == expected


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


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("443", ("0.0.0.0", True)),
        ("*:443", ("0.0.0.0", True)),
        (":::443", ("::", False)),
        ("2001:db8::10:443", ("2001:db8::10", True)),
    ],
)
def test_stunnel_binds_ipv4_alone_but_for_the_ipv6_wildcard(accept: str, expected) -> None:
    files = {"/etc/stunnel/a.conf": f"cert = /x\n[a]\naccept = {accept}\nconnect = 80\n"}
    found = read_others(tree_of(files))[0].endpoints
    assert [(e.address, e.ipv6only) for e in found] == [expected]


ONE = "[a]\nconnect = 1\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{ONE}Accept = 443\n", {("0.0.0.0", 443, True)}),
        (f"{ONE}accept = localhost:443\n", {("127.0.0.1", 443, True), ("::1", 443, True)}),
        (f"{ONE}accept = /run/x\n[b]\naccept = 1\n", {("0.0.0.0", 1, True)}),
        (f"{ONE}accept = 443\nsocket = a:IPV6_V6ONLY=yes\n", {("::", 443, True)}),
        (f"{ONE}accept = 443\nsocket = a:IPV6_V6ONLY=no\n", {("::", 443, False)}),
        (f"socket = a:IPV6_V6ONLY=1\n{ONE}accept = :::443\n", {("::", 443, True)}),
        (f"{ONE}accept = :::443\n", {("::", 443, False)}),
        (f"include = /etc/stunnel/d\n{ONE}accept = 1\n", {("0.0.0.0", 1, True), ("::1", 2, True)}),
    ],
)
def test_stunnel_in_its_own_words(text: str, expected: set[tuple[str, int, bool]]) -> None:
    files = {"/etc/stunnel/a.conf": text, "/etc/stunnel/d/x": "[x]\naccept = ::1:2\n"}
    (reading,) = read_others(tree_of(files))
    assert {(e.address, e.port, e.ipv6only) for e in reading.endpoints} == expected
    assert reading.starts
    assert all(endpoint.certain for endpoint in reading.endpoints)


@pytest.mark.parametrize(
    ("text", "starts"),
    [
        ("[a]\naccept = 1\n[b]\naccept = 192.0.2.1:1\n", False),
        ("[a]\naccept = 1\n[b]\naccept = 192.0.2.1:1\naccept = 2\n", True),
        ("[a]\naccept = 1\n[b]\naccept = ::1:1\n", True),
        ("[a]\naccept = :::1\n[b]\naccept = 1\n", False),
        ("[a]\naccept = 192.0.2.1:1\nsocket = a:IPV6_V6ONLY=no\n[b]\naccept = 2\n", False),
    ],
)
def test_stunnel_ends_where_a_service_has_no_socket(text: str, starts: bool) -> None:
    (reading,) = read_others(tree_of({"/etc/stunnel/a.conf": text}))
    assert reading.starts == starts


def test_stunnel_goes_without_a_socket_that_another_service_has() -> None:
    text = "[a]\naccept = 1\n[b]\naccept = 192.0.2.1:1\naccept = 2\n"
    found = sockets({"/etc/stunnel/a.conf": text}, "stunnel")
    assert [s[1:3] for s in found] == [("0.0.0.0", 1), ("0.0.0.0", 2)]


def test_stunnels_conf_d_is_read_where_it_is_included() -> None:
    files = {"/etc/stunnel/conf.d/a.conf": "[a]\naccept = 1\n"}
    for text, certain in (("", False), ("include = /etc/stunnel/conf.d\n", True)):
        (reading,) = read_others(tree_of({**files, "/etc/stunnel/s.conf": text}))
        assert [e.certain for e in reading.endpoints] == [certain]


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


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"/etc/vsftpd.conf": "listen=YES\nssl_enable=YES\nlisten_port=990\n"}, {("vsftpd", 990)}),
        ({"/etc/vsftpd.conf": "listen=YES\n#ssl_enable=YES\n"}, set()),
        ({"/etc/default/slapd": 'SLAPD_SERVICES="ldap:/// ldaps:///"\n'}, {("slapd", 636)}),
        ({"/etc/postgresql/17/main/postgresql.conf": "ssl = on\n"}, set()),  # loopback, as shipped
        (
            {"/etc/postgresql/17/main/postgresql.conf": "ssl = on\nlisten_addresses = '*'\n"},
            {("postgresql", 5432)},
        ),
        (
            {
                "/etc/postgresql/17/main/postgresql.conf": "ssl = on\n"
                "listen_addresses = 'localhost'   # what IP\n"
            },
            set(),
        ),
        ({"/etc/redis/redis.conf": "bind 127.0.0.1 -::1\ntls-port 6380\n"}, set()),
        ({"/etc/redis/redis.conf": "bind * -::*\ntls-port 6380\n"}, {("redis", 6380)}),
        ({"/etc/cups/cupsd.conf": "Listen localhost:631\nListen /run/cups/cups.sock\n"}, set()),
        ({"/etc/gitlab/gitlab.rb": "external_url 'https://git.example.org'\n"}, {("gitlab", 443)}),
    ],
)
def test_programs_without_a_reader_are_told_where_they_may_serve_tls(files, expected) -> None:
    found = [e for r in read_others(tree_of(files)) for e in r.endpoints]
    assert {(e.server, e.port) for e in found} == expected
    assert all(not e.certain and e.tls == "unknown" for e in found)


@pytest.mark.parametrize(
    ("server", "path", "text", "line"),
    [
        ("haproxy", "haproxy/haproxy.cfg", "frontend x\n bind :0\n", 2),
        ("haproxy", "haproxy/haproxy.cfg", "frontend x\n bind :443-99999\n", 2),
        ("lighttpd", "lighttpd/lighttpd.conf", "server.port = 99999\n", 1),
        ("lighttpd", "lighttpd/lighttpd.conf", f'server.port = "{"9" * 5000}"\n', 1),
        ("lighttpd", "lighttpd/lighttpd.conf", "server.port = env.P\n", 1),
        ("lighttpd", "lighttpd/lighttpd.conf", '\n$SERVER["socket"] == ":0" {\n}\n', 2),
        ("stunnel", "stunnel/a.conf", "cert = /x\n[a]\naccept = 0\n", 3),
        ("stunnel", "stunnel/a.conf", "cert = /x\n[a]\naccept = 127.0.0.1:99999\n", 3),
        ("caddy", "caddy/Caddyfile", ":99999 {\n}\n", 1),
        ("caddy", "caddy/Caddyfile", ":443-99999 {\n}\n", 1),
        ("caddy", "caddy/Caddyfile", "a.b:abc {\n}\n", 1),
        ("cyrus", "cyrus.conf", 'SERVICES {\n a cmd="imapd" listen="0"\n}\n', 2),
        ("cyrus", "cyrus.conf", 'SERVICES {\n a cmd="imapd" listen="99999"\n}\n', 2),
        ("docker", "docker/daemon.json", '{"hosts": ["tcp://0.0.0.0:99999"]}', 1),
        ("named", "bind/named.conf", "options {\nlisten-on tls x port 99999 { any; };\n};\n", 2),
        ("unbound", "unbound/unbound.conf", "server:\n interface: ::@99999\n", 2),
        ("unbound", "unbound/unbound.conf", "server:\n interface: ::\n port: 99999\n", 2),
        ("openvpn", "openvpn/server/a.conf", "tls-server\nport 99999\n", 2),
        ("openssh", "ssh/sshd_config", "Port 99999\n", 1),
        ("openssh", "ssh/sshd_config", "ListenAddress 192.0.2.1:99999\n", 1),
        ("wireguard", "wireguard/wg0.conf", "[Interface]\nListenPort = 99999\n", 2),
    ],
)
def test_a_port_that_cannot_be_one_is_said(server: str, path: str, text: str, line: int) -> None:
    """No listener is made of it, nor of a default in its place; most programs do not start."""
    found = read_others(tree_of({f"/etc/{path}": text, "/etc/hosts": ""}))
    (reading,) = (one for one in found if one.server == server)
    assert f"etc/{path}:{line}: " in str(reading.gaps[0])
    assert not [one for one in reading.endpoints if one.location.line == line]


DOUBLED = "".join(f"(s{n}) {{\n import s{n + 1} {'{args[0]}' * 200}\n}}\n" for n in range(9))


@pytest.mark.parametrize(
    ("server", "path", "text"),
    [
        ("lighttpd", "lighttpd/lighttpd.conf", 'a = "x"\n' + "a += var.a\n" * 60),
        (
            "lighttpd",
            "lighttpd/lighttpd.conf",
            "a = 9\n" + "a += var.a\n" * 20_000 + 'b = a + ""\n',
        ),
        ("haproxy", "haproxy/haproxy.cfg", "global\n" + ' setenv A "x${A-x}${A-x}"\n' * 60),
        (
            "haproxy",
            "haproxy/haproxy.cfg",
            f"global\n setenv A {'x' * 900}\n setenv B {'$A' * 20_000}\n",
        ),
        ("caddy", "caddy/Caddyfile", DOUBLED + "(s9) {\n}\nhttp://a {\n import s0 xxxx\n}\n"),
    ],
)
def test_variables_that_double_each_other(server: str, path: str, text: str) -> None:
    """It takes neither the memory nor the time that their values would."""
    text += {"haproxy": "frontend x\n bind :1\n"}.get(server, "")
    found = read_others(tree_of({f"/etc/{path}": text}))
    assert [one.server for one in found] == [server]


def test_a_mapped_address_is_not_one_of_ipv6() -> None:
    files = {"/etc/haproxy/haproxy.cfg": "frontend x\n bind ::ffff:192.0.2.1:443\n"}
    (reading,) = read_others(tree_of(files))
    assert {e.certain for e in reading.endpoints} == {False}


@pytest.mark.parametrize("address", ["99999", "192.0.2.999", "no.such.name"])
@pytest.mark.parametrize(
    ("server", "path", "text"),
    [
        ("haproxy", "haproxy/haproxy.cfg", "frontend x\n bind ADDRESS:443\n"),
        ("lighttpd", "lighttpd/lighttpd.conf", 'server.port = 443\nserver.bind = "ADDRESS"\n'),
        ("stunnel", "stunnel/a.conf", "cert = /x\n[a]\naccept = ADDRESS:443\n"),
        ("caddy", "caddy/Caddyfile", ":443 {\n bind ADDRESS\n}\n"),
        ("cyrus", "cyrus.conf", 'SERVICES {\n a cmd="imapd" listen="ADDRESS:443"\n}\n'),
        ("exim", "exim4/exim4.conf", "local_interfaces = ADDRESS\n"),
    ],
)
def test_an_address_that_cannot_be_one_is_said(
    server: str, path: str, text: str, address: str
) -> None:
    found = read_others(tree_of({f"/etc/{path}": text.replace("ADDRESS", address)}))
    (reading,) = (one for one in found if one.server == server)
    assert {one.certain for one in reading.endpoints} == {False}
    (reason,) = reading.endpoints[0].reasons
    assert reason.startswith(f"etc/{path}:")
    assert reason.endswith(f": the address of {address} is not known")


HAPROXY_SERVERS = """defaults
  mode http
  default-server ssl send-proxy
frontend f
  bind :80
  default_backend a
  use_backend b if { path /b }
backend a
  server one 127.0.0.1:8080
  server two 127.0.0.1:8081 no-ssl no-send-proxy
  server gone 127.0.0.1:8082 disabled
backend b
  mode tcp
  default-server no-ssl
  server one "[::1]:8443" no-send-proxy send-proxy-v2
backend c
  server unused 127.0.0.1:1
listen l
  bind :81
  server socket unix@/run/x.sock
  server port 127.0.0.1
  server computed ${HERE}:8083
"""


def test_haproxy_passes_requests_on() -> None:
    tree = tree_of({"/etc/haproxy/haproxy.cfg": HAPROXY_SERVERS})
    (reading,) = [one for one in read_others(tree) if one.server == "haproxy"]
    found = [
        (one.scheme, one.host, one.port, one.proxy_protocol, one.passes_tls)
        for one in reading.upstreams
    ]
    assert found == [
        ("https", "127.0.0.1", 8080, True, False),
        ("http", "127.0.0.1", 8081, False, False),
        ("tcp", "::1", 8443, True, True),
        ("https", None, None, True, False),  # the port at which the client came
    ]
