"""nginx readings: sockets, TLS, certificates. What nginx does was measured with 1.26.3."""

from __future__ import annotations

from pathlib import Path

import pytest

from sslint.servers.headers import alternatives
from sslint.servers.model import Endpoint, ServerReading
from sslint.servers.nginx import reader as nginx
from sslint.tree import Tree
from tests.support import tree_of

PAIR = "ssl_certificate a.pem; ssl_certificate_key a.key;"


def read(
    text: str, *, version: tuple[int, ...] | None = (1, 26, 3), **files: str
) -> ServerReading:  # fmt: skip
    others = {"/" + name.replace("__", "/"): body for name, body in files.items()}
    tree = tree_of({"/etc/nginx/nginx.conf": f"events {{}}\n{text}\n", **others})
    reading = nginx.read(tree, version=version)
    assert reading is not None
    return reading


def http(*servers: str, outer: str = "", version: tuple[int, ...] | None = (1, 26, 3)) -> (
    ServerReading
):  # fmt: skip
    blocks = "\n".join(f"server {{ {server} }}" for server in servers)
    return read(f"http {{ {outer}\n{blocks} }}", version=version)


def shown(endpoint: Endpoint) -> str:
    host = f"[{endpoint.address}]" if ":" in endpoint.address else endpoint.address
    return f"{host}:{endpoint.port}/{endpoint.transport} {endpoint.protocol} {endpoint.tls}"


def test_no_nginx() -> None:
    assert nginx.read(tree_of({"/etc/hosts": ""})) is None


def test_other_places_are_found_in_order() -> None:
    tree = tree_of({"/usr/local/nginx/conf/nginx.conf": "events {} http { server { listen 81; } }"})
    reading = nginx.read(tree)
    assert reading is not None
    assert [e.port for e in reading.endpoints] == [81]
    assert reading.files == ["/usr/local/nginx/conf/nginx.conf"]


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        ("", ["0.0.0.0:80/tcp http none"]),
        ("listen 443;", ["0.0.0.0:443/tcp http none"]),
        ("listen *;", ["0.0.0.0:80/tcp http none"]),
        ("listen *:81;", ["0.0.0.0:81/tcp http none"]),
        ("listen 127.0.0.1;", ["127.0.0.1:80/tcp http none"]),
        ("listen 127.1:81;", ["127.0.0.1:81/tcp http none"]),
        ("listen [::];", ["[::]:80/tcp http none"]),
        ("listen [0:0::0]:81;", ["[::]:81/tcp http none"]),
        ("listen [2001:DB8::1]:443 ssl;", ["[2001:db8::1]:443/tcp https implicit"]),
        ("listen 443 ssl;", ["0.0.0.0:443/tcp https implicit"]),
        ("listen 443 quic;", ["0.0.0.0:443/udp h3 implicit"]),
        ("listen 80-81;", ["0.0.0.0:80/tcp http none", "0.0.0.0:81/tcp http none"]),
        ("listen unix:/run/x;", []),
        ("listen 443 http2;", ["0.0.0.0:443/tcp http none"]),
    ],
)
def test_listen_forms(listen: str, expected: list[str]) -> None:
    reading = http(listen + PAIR)
    assert [shown(e) for e in reading.endpoints] == expected
    assert reading.starts, reading.reasons
    assert reading.complete


@pytest.mark.parametrize(
    ("listen", "reason"),
    [
        ("listen :::8444;", "invalid port"),
        ("listen 0;", "invalid port"),
        ("listen 65536;", "invalid port"),
        ("listen 82-81;", "invalid port"),
        ("listen [::1;", "invalid IPv6"),
        ("listen /x;", "invalid host"),
        ("listen :80;", "no host"),
        ("listen 443 ssl server_name a;", 'invalid parameter "server_name"'),
        ("listen 443 http3;", 'invalid parameter "http3"'),
        ("listen 443 spdy;", 'invalid parameter "spdy"'),
        ("listen 443 quic ssl;", "incompatible"),
        ("listen 443 quic proxy_protocol;", "incompatible"),
        ("listen 80 backlog=0;", "backlog"),
        ("listen 80 ipv6only=yes;", "ipv6only"),
        ("listen 80; listen *:80;", "a duplicate listen 0.0.0.0:80"),
        ("listen;", "number of arguments"),
        ("listen 80 {}", "not terminated"),
        ("location / { listen 80; }", ""),
    ],
)
def test_refused_listens(listen: str, reason: str) -> None:
    reading = http(listen + PAIR)
    if reason:
        assert not reading.starts
        assert reason in reading.reasons[0]


def test_flags_belong_to_the_address_and_port() -> None:
    reading = http(
        f"listen 443 ssl; listen 192.0.2.1:443; server_name a; {PAIR}",
        "listen 443; listen 443 quic; server_name b;",
        outer=PAIR,
    )
    assert [shown(e) for e in reading.endpoints] == [
        "0.0.0.0:443/tcp https implicit",
        "192.0.2.1:443/tcp http none",
        "0.0.0.0:443/udp h3 implicit",
    ]
    first = reading.endpoints[0]
    assert first.names == ("a", "b")
    assert str(first.location) == "etc/nginx/nginx.conf:3:10"
    assert dict(reading.endpoints[1].settings)["shares-socket-of"] == "0.0.0.0"
    assert [site.tls for site in reading.sites] == [True, True]


def test_the_statement_that_asks_for_tls_stands_for_the_socket() -> None:
    reading = http("listen 443;", "listen 443 ssl;", outer=PAIR)
    assert reading.endpoints[0].location.line == 4


@pytest.mark.parametrize(
    ("servers", "conflict"),
    [
        (["listen 443; listen [::]:443 ipv6only=off;"], ("0.0.0.0:443", "[::]:443")),
        (["listen 443; listen [::]:443;"], None),
        (["listen 443;", "listen 127.0.0.1:443 bind;"], ("0.0.0.0:443", "127.0.0.1:443")),
        (["listen 443;", "listen 127.0.0.1:443 backlog=9;"], ("0.0.0.0:443", "127.0.0.1:443")),
        (["listen 443;", "listen 127.0.0.1:443;"], None),
        (["listen 443 reuseport;", "listen 127.0.0.1:443 reuseport;"], None),
        (["listen 127.0.0.1:443; listen [::]:443 ipv6only=off;"], ("[::]:443", "127.0.0.1:443")),
        (["listen [::1]:443 bind; listen 443;"], None),
        (["listen 443 quic; listen 127.0.0.1:443 quic bind;"], None),
    ],
)
def test_bind_conflicts(servers: list[str], conflict: tuple[str, str] | None) -> None:
    reading = http(*servers, outer=PAIR)
    assert [(c.first, c.second) for c in reading.conflicts] == ([conflict] if conflict else [])
    assert reading.starts is (conflict is None)


def test_http_and_stream_on_one_port_conflict() -> None:
    reading = read(
        "http { server { listen 127.0.0.1:8443; } } stream { server { listen 8443; return x; } }"
    )
    assert [(c.first, c.second) for c in reading.conflicts] == [("0.0.0.0:8443", "127.0.0.1:8443")]


@pytest.mark.parametrize(
    ("servers", "reason"),
    [
        (["listen 80 default_server;", "listen 80 default;"], "duplicate default server"),
        (["listen 80 backlog=1;", "listen 80 reuseport;"], "duplicate listen options"),
        (["listen 443 ssl;", f"listen 443 ssl; {PAIR}"], 'no "ssl_certificate" is defined'),
        ([f"listen 443 ssl; {PAIR}", "listen 443 ssl;"], ""),
        (["listen 443 ssl; ssl_certificate a.pem;"], "ssl_certificate_key"),
        (["listen 443 ssl; ssl_reject_handshake on;"], ""),
        (["listen 443 ssl; ssl_reject_handshake on;", "listen 443 ssl;"], "ssl_certificate"),
        (["listen 443 ssl; ssl_reject_handshake on;", f"listen 443 ssl; {PAIR}"], ""),
        ([f"listen 443 quic; ssl_protocols TLSv1.2; {PAIR}"], "TLSv1.3"),
        (["listen 80; ssl on;"], "removed in 1.25.1"),
        (["listen 80; server_name *x;"], "server name"),
        (["listen 80; ssl_certificate a b;"], "number of arguments"),
    ],
)
def test_what_nginx_does_not_start_with(servers: list[str], reason: str) -> None:
    reading = http(*servers)
    assert reading.starts is (reason == ""), reading.reasons
    assert reason in "".join(reading.reasons)


def test_no_events_and_two_http_blocks() -> None:
    reading = nginx.read(tree_of({"/etc/nginx/nginx.conf": "http {}\nhttp {}"}))
    assert reading is not None
    assert not reading.starts
    assert len(reading.reasons) == 2


def test_certificates_by_name() -> None:
    reading = http(
        "listen 443 ssl; server_name a; ssl_certificate a.pem; ssl_certificate_key /k/a.key;",
        "listen 443 ssl; server_name b .c.test; ssl_certificate /b.pem; ssl_certificate b2.pem;"
        "ssl_certificate_key b.key; ssl_certificate_key b2.key;",
        "listen 443 ssl; server_name d;",
        "listen 443 ssl; server_name a e; ssl_certificate e.pem; ssl_certificate_key e.key;",
    )
    found = [(c.path, c.key, c.names) for c in reading.endpoints[0].certificates]
    assert found == [
        ("/etc/nginx/a.pem", "/k/a.key", ()),
        ("/b.pem", "/etc/nginx/b.key", ("b", "c.test", "*.c.test")),
        ("/etc/nginx/b2.pem", "/etc/nginx/b2.key", ("b", "c.test", "*.c.test")),
        ("/etc/nginx/e.pem", "/etc/nginx/e.key", ("e",)),
    ]
    answers = {
        name: [c.path for c in nginx.certificates_for(reading, reading.endpoints[0], name) or ()]
        for name in ("a", "x.y.c.test", "d", "e", "other", None)
    }
    assert answers == {
        "a": ["/etc/nginx/a.pem"],
        "x.y.c.test": ["/b.pem", "/etc/nginx/b2.pem"],
        "d": ["/etc/nginx/a.pem"],
        "e": ["/etc/nginx/e.pem"],
        "other": ["/etc/nginx/a.pem"],
        None: ["/etc/nginx/a.pem"],
    }
    assert [site.own_certificate for site in reading.sites] == [True, True, False, True]


def test_certificate_and_key_are_inherited_each_on_its_own() -> None:
    reading = http("listen 443 ssl; ssl_certificate own.pem;", outer=PAIR)
    certificate = reading.endpoints[0].certificates[0]
    assert (certificate.path, certificate.key) == ("/etc/nginx/own.pem", "/etc/nginx/a.key")
    assert reading.starts


@pytest.mark.parametrize("value", ["/x/$ssl_server_name.pem", "data:$cert"])
def test_certificates_in_variables_are_not_known(value: str) -> None:
    reading = http(f"listen 443 ssl; ssl_certificate {value}; ssl_certificate_key {value};")
    certificate = reading.endpoints[0].certificates[0]
    assert certificate.path is None
    assert certificate.key is None
    assert certificate.reason


def test_what_an_include_may_say_is_not_held_against_a_block() -> None:
    reading = http("listen 443 ssl; include /opt/ssl.conf;", "include /opt/listen.conf;")
    assert [shown(e) for e in reading.endpoints] == ["0.0.0.0:443/tcp https implicit"]
    certificate = reading.endpoints[0].certificates[0]
    assert certificate.path is None
    assert "/opt/ssl.conf" in certificate.reason
    assert reading.starts
    assert not reading.complete


def test_rejected_handshakes_are_served_nothing() -> None:
    reading = http(
        "listen 443 ssl default_server; ssl_reject_handshake on;",
        f"listen 443 ssl; server_name a; {PAIR}",
    )
    endpoint = reading.endpoints[0]
    assert [c.names for c in endpoint.certificates] == [("a",)]
    assert nginx.certificates_for(reading, endpoint, "b") == ()
    assert [s.rejects_handshake for s in reading.sites] == [True, False]


def test_name_precedence() -> None:
    reading = http(
        "listen 80; server_name _;",
        "listen 80; server_name ~^w;",
        "listen 80; server_name www.*;",
        "listen 80; server_name *.test;",
        "listen 80; server_name *.b.test;",
        "listen 80; server_name www.b.test;",
    )
    config = reading.config
    assert isinstance(config, nginx.Nginx)
    socket = config.socket("tcp", "192.0.2.1", 80)
    assert socket is not None
    answers = ["www.b.test", "x.b.test", "www.a.test", "www.org", "wx", "other", "WWW.B.TEST."]
    found = [socket.find(name) for name in answers]
    assert [server.number if server else None for server in found] == [5, 4, 3, 2, 1, 0, 5]


def test_default_server() -> None:
    reading = http("listen 80; listen 81;", "listen 81 default_server; listen 80;")
    assert [site.listens for site in reading.sites] == [
        (("tcp", "0.0.0.0", 80, True), ("tcp", "0.0.0.0", 81, False)),
        (("tcp", "0.0.0.0", 80, False), ("tcp", "0.0.0.0", 81, True)),
    ]


def test_host_names() -> None:
    text = "http { server { listen web:80; } }"
    reading = read(text, etc__hosts="192.0.2.7 web # x\n2001:db8::7\tWEB\n")
    assert [(e.address, e.certain) for e in reading.endpoints] == [
        ("192.0.2.7", True),
        ("2001:db8::7", False),
    ]
    reading = read(text)
    assert not reading.endpoints
    assert not reading.complete
    assert "web" in reading.reasons[0]
    reading = http("listen localhost:80;", "listen [::1]:80;")
    assert [(e.address, e.certain) for e in reading.endpoints] == [
        ("127.0.0.1", True),
        ("::1", True),
    ]
    assert reading.endpoints[1].reasons


def test_ipv6only() -> None:
    reading = http("listen [::]:80; listen [::]:81 ipv6only=off;")
    assert [e.ipv6only for e in reading.endpoints] == [True, False]


@pytest.mark.parametrize(
    ("version", "tls", "certain", "starts"),
    [
        ((1, 18, 0), "implicit", True, True),
        (None, "implicit", False, True),
        ((1, 25, 1), "none", True, False),
    ],
)
def test_ssl_on(version: tuple[int, ...] | None, tls: str, certain: bool, starts: bool) -> None:
    reading = http(f"listen 443; ssl on; {PAIR}", version=version)
    endpoint = reading.endpoints[0]
    assert (endpoint.tls, endpoint.certain, reading.starts) == (tls, certain, starts)


@pytest.mark.parametrize(
    ("text", "since"),
    [
        ("listen 443 quic;", (1, 25, 0)),
        ("listen 80; http2 on;", (1, 25, 1)),
        ("listen 80-82;", (1, 15, 10)),
        ("listen 443 ssl; ssl_reject_handshake on;", (1, 19, 4)),
    ],
)
def test_older_versions_refuse_newer_statements(text: str, since: tuple[int, ...]) -> None:
    assert http(text, outer=PAIR, version=since).starts
    assert http(text, outer=PAIR, version=None).starts
    assert not http(text, outer=PAIR, version=(1, 14, 2)).starts


def test_stream() -> None:
    reading = read(
        "stream { " + PAIR + "upstream back { server 10.0.0.1:8443; }"
        "map $ssl_preread_server_name $to { a 10.0.0.2:443; default back; }"
        "server { listen 443; ssl_preread on; proxy_pass $to; }"
        "server { listen 53 udp; proxy_pass 10.0.0.9:53; }"
        "server { listen 6697 ssl; proxy_pass 127.0.0.1:6667; proxy_protocol on; }"
        "server { listen 9443; proxy_pass 127.0.0.1:6697; }"
        "server { listen 99; return x; } }"
    )
    assert reading.starts, reading.reasons
    assert [(shown(e), e.passthrough) for e in reading.endpoints] == [
        ("0.0.0.0:443/tcp stream unknown", True),
        ("0.0.0.0:53/udp stream none", False),
        ("0.0.0.0:6697/tcp stream implicit", False),
        ("0.0.0.0:9443/tcp stream implicit", True),
        ("0.0.0.0:99/tcp stream none", False),
    ]
    assert [(u.site, u.scheme, u.host, u.port, u.proxy_protocol) for u in reading.upstreams] == [
        (0, "tcp", "10.0.0.2", 443, False),
        (0, "tcp", "10.0.0.1", 8443, False),
        (1, "tcp", "10.0.0.9", 53, False),
        (2, "tcp", "127.0.0.1", 6667, True),
        (3, "tcp", "127.0.0.1", 6697, False),
    ]


def test_stream_servers_share_an_address_since_1_25_5() -> None:
    text = "stream { server { listen 99; return x; } server { listen 99; return y; } }"
    assert [read(text, version=v).starts for v in ((1, 26, 3), (1, 24, 0))] == [True, False]


def test_removed_statements() -> None:
    for statement in ("spdy_headers_comp 1;", "http3_push on;"):
        assert not http("listen 80;", outer=statement).starts
        assert http("listen 80;", outer=statement, version=None).starts
    assert http("listen 80;", outer="http2_push_preload on;").starts


@pytest.mark.parametrize(
    ("outer", "server", "said"),
    [
        ("gzip on; gzip off;", "", '"gzip" directive is duplicate'),
        ("", "location / { root /a; alias /b; }", '"alias" directive is duplicate'),
        ("client_max_body_size 2048mb;", "", 'invalid value "2048mb" in "client_max_body_size"'),
        ("keepalive_time 1h 30m;", "", 'invalid number of arguments in "keepalive_time" directive'),
        ("", "client_header_timeout 1m1h;", 'invalid value "1m1h" in "client_header_timeout"'),
        ("gzip_comp_level 10;", "", 'invalid value "10" in "gzip_comp_level" directive'),
        ("proxy_buffers 0 4k;", "", 'invalid value "0 4k" in "proxy_buffers" directive'),
        ("", "ssl_protocols TLSv1.4;", 'invalid value "TLSv1.4" in "ssl_protocols" directive'),
        ("worker_connections 9;", "", '"worker_connections" directive is not allowed in http'),
        ("", "location / { listen 80; }", '"listen" directive is not allowed in location'),
        ("", "if ($host) { root /a; }", '"root" directive is not allowed in if'),
        ("upstream u { server a; root /a; }", "", '"root" directive is not allowed in upstream'),
        ("", "servr_name a;", 'unknown directive "servr_name"; perhaps "server_name" is meant'),
        ("", "sevrer_name a;", 'unknown directive "sevrer_name"; perhaps "server_name" is meant'),
        ("max_headers 1; early_hints $x;", "", 'unknown directive "early_hints"'),
    ],
)
def test_what_a_form_does_not_take_is_refused(outer: str, server: str, said: str) -> None:
    reading = http(f"listen 80; {server}", outer=outer)
    assert len(reading.refusals) == 1
    assert said in reading.refusals[0].text


@pytest.mark.parametrize(
    "outer",
    [
        "client_max_body_size 8G; client_header_timeout '1h 30m'; keepalive_time 1d12h; gzip ON;",
        "limit_rate $rate; proxy_next_upstream error timeout http_429; proxy_cache_methods GET;",
        "subs_filter a b; geoip2_proxy a; brotli on; more_set_headers a; servername a;",
        "add_header a b; add_header c d; server_names_hash_max_size 064; ssl_session_timeout 1y;",
    ],
)
def test_what_a_form_takes_is_not_refused(outer: str) -> None:
    assert http("listen 80;", outer=outer).starts


def test_each_release_has_its_own_forms() -> None:
    early = "early_hints $x;"
    for version, starts in (((1, 28, 0), False), ((1, 29, 0), True), (None, True)):
        assert http("listen 80;", outer=early, version=version).starts is starts
    pools = "upstream u { server a; keepalive 4 local; }"
    for version, starts in (((1, 26, 3), False), ((1, 29, 7), True), (None, True)):
        assert http("listen 80;", outer=pools, version=version).starts is starts


def test_a_forgotten_semicolon_is_seen() -> None:
    for text in ("root /w\nindex x;", "location / { proxy_pass http://a\nroot /x; }"):
        reading = http(f"listen 80; {text}")
        assert "invalid number of arguments" in reading.reasons[0]


def test_mail() -> None:
    reading = read(
        "mail { auth_http 127.0.0.1:9; " + PAIR + "server { listen 993 ssl; listen 1143; }"
        "server { listen 110; starttls on; } server { listen 587; starttls only; }"
        "server { protocol smtp; listen 465 ssl; } server { listen 995 ssl; } }"
    )
    assert reading.starts, reading.reasons
    assert [(shown(e), e.tls_required) for e in reading.endpoints] == [
        ("0.0.0.0:993/tcp imaps implicit", True),
        ("0.0.0.0:1143/tcp imap none", False),
        ("0.0.0.0:110/tcp pop3 starttls", False),
        ("0.0.0.0:587/tcp submission starttls", True),
        ("0.0.0.0:465/tcp submissions implicit", True),
        ("0.0.0.0:995/tcp pop3s implicit", True),
    ]
    assert len(reading.endpoints[2].certificates) == 1


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("server { listen 993 ssl; }", "ssl_certificate"),
        ("starttls on; server { listen 143; }", "ssl_certificate"),
        ("server { listen 1143; }", "unknown mail protocol"),
        ("server { listen 143; } server { listen 143; }", "duplicate"),
        ("server { protocol imap; }", "no "),
    ],
)
def test_refused_mail_blocks(body: str, reason: str) -> None:
    reading = read("mail { auth_http 127.0.0.1:9; " + body + " }")
    assert not reading.starts
    assert reason in reading.reasons[0]


def test_redirects() -> None:
    reading = http(
        "listen 80; return 301 https://$host$request_uri;",
        "listen 80; server_name b; rewrite ^ https://$server_name:8443/x permanent;",
        "listen 80; server_name c; if ($scheme = http) { return https://c.test/; }",
        "listen 80; server_name d; error_page 497 =301 https://$http_host$request_uri;",
        "listen 80; server_name e; location / { return 302 $scheme://[2001:db8::1]:81/; }",
        "listen 80; server_name f; return 200 https://x/; rewrite ^/a /b last;",
        "listen 80; server_name g; return 301 https://www.$host:$server_port/;",
    )
    found = [
        (r.site, r.scheme, r.host, r.port, r.conditional, r.own_name) for r in reading.redirects
    ]
    assert found == [
        (0, "https", None, 443, False, True),
        (1, "https", None, 8443, False, True),
        (2, "https", "c.test", 443, True, False),
        (3, "https", None, 443, False, True),
        (4, None, "2001:db8::1", 81, False, False),
        (6, "https", None, None, False, False),
    ]


def test_upstreams() -> None:
    reading = http(
        "listen 80; location / { proxy_pass https://app:8443/x; }"
        "location /a { proxy_pass http://pool; }"
        "location /b { grpc_pass grpcs://10.0.0.3; }"
        "location /c { proxy_pass http://unix:/run/x:/; }"
        "location /d { proxy_pass $to; } location /e { proxy_pass http://$back:99; }",
        outer="upstream pool { server 10.0.0.1; server [::1]:81 weight=2; server unix:/x; }",
    )
    assert [(u.scheme, u.host, u.port) for u in reading.upstreams] == [
        ("https", "app", 8443),
        ("http", "10.0.0.1", 80),
        ("http", "::1", 81),
        ("https", "10.0.0.3", 443),
        (None, None, None),
        ("http", None, None),
    ]


def test_settings() -> None:
    reading = http(
        "listen 443 ssl http2; ssl_protocols TLSv1 TLSv1.2; add_header Alt-Svc 'h3=\":443\"; ma=1';"
        "location /x { add_header X y; }",
        outer=PAIR + "ssl_stapling on; http2_push_preload on; add_header A b;",
    )
    found = [(s.name, s.value, s.scope, s.site) for s in reading.settings]
    assert found == [
        ("ssl_stapling", "on", "http", None),
        ("http2_push_preload", "on", "http", None),
        ("listen.http2", "http2", "server", 0),
        ("ssl_protocols", "TLSv1", "server", 0),
        ("Alt-Svc", 'h3=":443"; ma=1', "server", 0),
        ("add_header", None, "location", 0),
    ]


@pytest.mark.parametrize(
    ("location", "dropped"),
    [
        ("location / { add_header X y; }", ("X", "y")),
        ("location / { add_header X y; add_header alt-svc z; }", None),
        ("location / { add_header X y; add_header_inherit merge; }", None),
        ("add_header_inherit merge; location / { add_header X y; }", None),
        ("location / { root /x; }", None),
        ("location /x { add_header X y; }", None),
    ],
)
def test_header_dropped(location: str, dropped: tuple[str, ...] | None) -> None:
    config = http(f"listen 443; add_header Alt-Svc a; {location}").config
    assert isinstance(config, nginx.Nginx)
    found = nginx.header_dropped(config.config.servers[0], "Alt-Svc")
    assert (found.args if found is not None else None) == dropped


def test_alternatives() -> None:
    value = 'h3=":443"; ma=86400, h3-29="alt.test:8443", h2="x:$port"'
    assert alternatives(value) == (
        ("h3", "", 443),
        ("h3-29", "alt.test", 8443),
        ("h2", "x", None),
    )
    assert alternatives("clear") == ()


def test_a_syntax_error_leaves_the_rest() -> None:
    tree = tree_of(
        {
            "/etc/nginx/nginx.conf": "events {}\nhttp { include sites/*; }",
            "/etc/nginx/sites/a": "server { listen 81; }\nserver { listen 82 }\n",
            "/etc/nginx/sites/b": "server { listen 83; }",
        }
    )
    reading = nginx.read(tree)
    assert reading is not None
    assert [e.port for e in reading.endpoints] == [81, 83]
    assert len(tree.problems) == 1
    assert not reading.complete
    assert not reading.starts
    assert str(tree.problems[0].location) == "etc/nginx/sites/a:2:20"


def test_files_that_were_given_are_read_though_their_directory_was_not(tmp_path: Path) -> None:
    main = tmp_path / "nginx.conf"
    main.write_text("events {}\nhttp { include sites-enabled/*; }\n")
    shop = tmp_path / "shop"
    shop.write_text("server { listen 443 ssl; server_name shop.example.org; }\n")
    places = {"/etc/nginx/nginx.conf": main, "/etc/nginx/sites-enabled/shop": shop}
    reading = nginx.read(Tree(None, mounts=places))
    assert reading is not None
    assert [endpoint.port for endpoint in reading.endpoints] == [443]
    assert not reading.complete
