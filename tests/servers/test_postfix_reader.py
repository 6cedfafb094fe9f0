"""Postfix configurations read into sockets, TLS modes and certificates."""

from __future__ import annotations

import pytest

from sslint.servers.model import Endpoint, ServerReading
from sslint.servers.postfix.reader import read
from tests.support import tree_of

SMTP = "smtp inet n - y - - smtpd\n"


def reading(main: str, master: str = SMTP, **files: str) -> ServerReading:
    tree = tree_of(
        {
            "/etc/postfix/main.cf": main,
            "/etc/postfix/master.cf": master,
            **{f"/etc/postfix/{name}": text for name, text in files.items()},
        }
    )
    found = read(tree)
    assert found is not None
    return found


def sockets(found: ServerReading) -> list[tuple[str, int]]:
    return [(e.address, e.port) for e in found.endpoints]


def first(main: str, options: str = "") -> Endpoint:
    return reading(main, f"587 inet n - y - - smtpd {options}\n").endpoints[0]


def test_no_postfix() -> None:
    assert read(tree_of({"/etc/hosts": ""})) is None


# -- sockets --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("main", "expected"),
    [
        ("", ["0.0.0.0", "::"]),
        ("inet_protocols = ipv4\n", ["0.0.0.0"]),
        ("inet_protocols = ipv6, ipv4\n", ["0.0.0.0", "::"]),
        ("inet_protocols =\n", []),
        ("inet_interfaces = loopback-only\n", ["127.0.0.1", "::1"]),
        ("inet_interfaces = localhost\n", ["127.0.0.1", "::1"]),
        ("inet_interfaces = 192.0.2.1, [2001:DB8::1]\n", ["192.0.2.1", "2001:db8::1"]),
        ("own = 192.0.2.1\ninet_interfaces = ${own}\n", ["192.0.2.1"]),
        # mail_name is read after inet_protocols: still undefined, whatever postconf -x shows.
        ("inet_protocols = ${mail_name?ipv6}\n", []),
        ("inet_interfaces = ${mail_name?loopback-only}\n", ["127.0.0.1", "::1"]),
    ],
)
def test_addresses(main: str, expected: list[str]) -> None:
    found = reading(main)
    assert [e.address for e in found.endpoints] == expected
    assert found.starts
    assert found.complete


@pytest.mark.parametrize(
    ("main", "master"),
    [
        ("inet_interfaces = all, 127.0.0.1\n", SMTP),
        ("inet_interfaces =\n", SMTP),
        ("inet_protocols = ipv4\ninet_interfaces = ::1\n", SMTP),
        ("inet_protocols = IPV4\n", SMTP),
        ("inet_protocols = ipv4\n", "[::1]:25 inet n - y - - smtpd\n"),
        ("inet_protocols = ipv6\n", "127.0.0.1:25 inet n - y - - smtpd\n"),
        ("broken\n", SMTP),
        ("soft_bounce = maybe\n", SMTP),
        ("compatibility_level = x\n", SMTP),
        ("relayhost = MX\nmyhostname = mx\n", SMTP),
        ("", "smtp inet - - y - - smtpd\n"),
        ("", "25x inet n - y - - smtpd\n"),
    ],
)
def test_postfix_does_not_start(main: str, master: str) -> None:
    found = reading(main, master)
    assert not found.starts
    assert found.reasons


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("smtps", [("0.0.0.0", 465), ("::", 465)]),
        ("imaps", [("0.0.0.0", 993), ("::", 993)]),
        ("127.0.0.1:submission", [("127.0.0.1", 587)]),
        ("[::1]:2525", [("::1", 2525)]),
        ("::1:2525", [("::1", 2525)]),
        ("[IPv6:::1]:2525", [("::1", 2525)]),
        ("localhost:10025", [("127.0.0.1", 10025), ("::1", 10025)]),
        (":2525", [("0.0.0.0", 2525), ("::", 2525)]),
        ("99999", [("0.0.0.0", 34463), ("::", 34463)]),
    ],
)
def test_service_names(name: str, expected: list[tuple[str, int]]) -> None:
    assert sockets(reading("", f"{name} inet n - y - - smtpd\n")) == expected


@pytest.mark.parametrize(
    ("protocols", "expected"), [("all", ["::1"]), ("ipv4", ["127.0.0.1"]), ("ipv6", ["::1"])]
)
def test_an_ipv6_loopback_stands_for_ipv4_where_that_is_asked_for_alone(
    protocols: str, expected: list[str]
) -> None:
    files = {
        "/etc/postfix/main.cf": f"inet_protocols = {protocols}\n",
        "/etc/postfix/master.cf": "six:2501 inet n - y - - smtpd\n",
        "/etc/hosts": "127.0.0.1 localhost\n::1 six\n",
    }
    found = read(tree_of(files))
    assert found is not None
    assert [e.address for e in found.endpoints] == expected


def test_the_tree_decides_about_service_names() -> None:
    files = {
        "/etc/postfix/main.cf": "",
        "/etc/postfix/master.cf": "smtpss inet n - y - - smtpd\n",
    }
    unsure = read(tree_of(files))
    assert unsure is not None
    assert (unsure.starts, unsure.complete) == (True, False)
    refused = read(tree_of({**files, "/etc/services": "smtp 25/tcp mail\n"}))
    assert refused is not None
    assert not refused.starts
    assert any(s.name == "master.cf.unknown-service" for s in refused.settings)
    known = read(tree_of({**files, "/etc/services": "x 2525/tcp smtpss # c\n"}))
    assert known is not None
    assert sockets(known) == [("0.0.0.0", 2525), ("::", 2525)]


def test_known_tcp_ports_moves_a_port() -> None:
    found = reading(
        "known_tcp_ports = a=submission = 2587, smtp = = 26\n", "submission inet n - y - - smtpd\n"
    )
    assert sockets(found)[0] == ("0.0.0.0", 2587)


def test_the_last_entry_with_a_resolved_name_counts() -> None:
    found = reading(
        "", "smtps inet n - y - - smtpd\nurd inet n - y - - smtpd -o smtpd_tls_wrappermode=yes\n"
    )
    assert [(e.service, e.port, e.tls) for e in found.endpoints] == [
        ("urd", 465, "implicit"),
        ("urd", 465, "implicit"),
    ]


def test_two_services_on_one_address_leave_the_tls_mode_open() -> None:
    found = reading(
        "inet_protocols = ipv4\n",
        "submission inet n - y - - smtpd\n"
        "0.0.0.0:587 inet n - y - - smtpd -o smtpd_tls_security_level=may\n",
    )
    assert [e.tls for e in found.endpoints] == ["unknown", "unknown"]
    assert "spread" in found.endpoints[0].reasons[0]


@pytest.mark.parametrize(
    ("value", "ports"),
    [
        ("inet", []),
        ("submission.inet", [25]),
        ("SUBMISSION/INET", [25]),
        ("587.inet", [25, 587]),
        ("submission", [25, 587]),
        ("!smtp/inet inet", [25]),
    ],
)
def test_master_service_disable(value: str, ports: list[int]) -> None:
    found = reading(
        f"inet_protocols = ipv4\nmaster_service_disable = {value}\n",
        SMTP + "submission inet n - y - - smtpd\n",
    )
    assert [e.port for e in found.endpoints] == ports
    if 587 not in ports:
        assert [d.reason for d in found.dormant if d.port == 587] == ["disabled"]


def test_a_name_that_only_dns_knows_leaves_it_incomplete() -> None:
    found = reading("", "mx.example.org:25 inet n - y - - smtpd\n")
    assert not found.complete
    assert not found.endpoints
    assert all(d.port != 25 for d in found.dormant)


# -- TLS ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("main", "options", "tls", "required"),
    [
        ("", "", "none", False),
        ("smtpd_tls_security_level = may\n", "", "starttls", False),
        ("smtpd_tls_security_level = MAY\n", "", "starttls", False),
        ("smtpd_tls_security_level = may\n", "-o smtpd_tls_security_level=none", "none", False),
        ("", "-o smtpd_tls_security_level=encrypt", "starttls", True),
        ("", "-o smtpd_tls_security_level=secure", "starttls", True),
        ("smtpd_use_tls = yes\n", "", "starttls", False),
        ("smtpd_enforce_tls = yes\n", "", "starttls", True),
        ("smtpd_use_tls = yes\nsmtpd_tls_security_level = none\n", "", "none", False),
        ("smtpd_tls_security_level = may\nsmtpd_tls_auth_only = yes\n", "", "starttls", True),
        ("", "-o smtpd_tls_wrappermode=yes", "implicit", True),
        ("smtpd_tls_security_level = bogus\n", "-o smtpd_tls_wrappermode=yes", "implicit", True),
        ("smtpd_discard_ehlo_keywords = STARTTLS\nsmtpd_use_tls=yes\n", "", "none", False),
        ("mua = encrypt\n", "-o smtpd_tls_security_level=$mua", "starttls", True),
        ("smtpd_tls_security_level = {{ level }}\n", "", "unknown", None),
        ("smtpd_tls_security_level = {{ x }}\n", "-o smtpd_tls_wrappermode=yes", "implicit", True),
        # read after smtpd_tls_security_level, so undefined there
        ("smtpd_tls_security_level = ${smtpd_tls_auth_only?encrypt}\n", "", "none", False),
    ],
)
def test_modes(main: str, options: str, tls: str, required: bool | None) -> None:
    endpoint = first(main, options)
    assert (endpoint.tls, endpoint.tls_required) == (tls, required)
    assert "broken" not in dict(endpoint.settings)


@pytest.mark.parametrize(
    ("main", "options"),
    [
        ("smtpd_tls_security_level = dane\n", ""),
        ("smtpd_helo_required = true\n", ""),
        ("", "-o smtpd_tls_security_level = encrypt"),
        ("", "-o smtpd_tls_wrappermode= yes"),
        ("", "-o smtpd_tls_wrappermode=yes # wrapped"),
        ("smtpd_tls_security_level = ${\n", ""),
        ("smtpd_tls_security_level = $smtpd_tls_security_level\n", ""),
    ],
)
def test_sockets_without_a_banner(main: str, options: str) -> None:
    found = reading(main, f"587 inet n - y - - smtpd {options}\n")
    assert found.starts
    assert len(found.endpoints) == 2
    assert found.endpoints[0].tls == "none"
    assert dict(found.endpoints[0].settings)["broken"]


POSTSCREEN = "smtp inet n - y - 1 postscreen\nsmtpd pass - - y - - smtpd {}\n"


def test_postscreen_hands_clients_to_smtpd() -> None:
    found = reading(
        "smtpd_tls_security_level = may\npostscreen_upstream_proxy_protocol = haproxy\n",
        POSTSCREEN.format("-o smtpd_tls_security_level=encrypt"),
    )
    endpoint = found.endpoints[0]
    assert (endpoint.tls, endpoint.tls_required) == ("starttls", True)
    assert endpoint.proxy_protocol
    assert dict(endpoint.settings)["command"] == "postscreen"


def test_postscreen_speaking_itself_may_offer_something_else() -> None:
    found = reading(
        "smtpd_tls_security_level = may\npostscreen_tls_security_level = none\n"
        "postscreen_bare_newline_enable = yes\n",
        POSTSCREEN.format(""),
    )
    assert found.endpoints[0].tls == "unknown"


@pytest.mark.parametrize(
    "master",
    ["smtp inet n - y - 1 postscreen\n", POSTSCREEN.format("").replace(" 1 ", " - ")],
)
def test_postscreen_that_answers_nobody(master: str) -> None:
    assert dict(reading("", master).endpoints[0].settings)["broken"]


def test_other_programs_are_plain() -> None:
    endpoint = reading("", "10023 inet n n n - 0 spawn user=x argv=/y\n").endpoints[0]
    assert (endpoint.protocol, endpoint.tls) == ("spawn", "none")


# -- certificates ---------------------------------------------------------------------------


def test_certificates_in_pairs() -> None:
    endpoint = first(
        "smtpd_tls_security_level = may\nsmtpd_tls_cert_file = /a.crt\nsmtpd_tls_CAfile = /ca\n"
        "smtpd_tls_eccert_file = ec.pem\n",
        "-o smtpd_tls_key_file=/b.key",
    )
    rsa, ec = endpoint.certificates
    assert (rsa.path, rsa.key, rsa.issuer_files) == ("/a.crt", "/b.key", ("/ca",))
    assert rsa.location.line == 2
    assert rsa.key_location is not None
    assert rsa.key_location.path == "etc/postfix/master.cf"
    assert (ec.path, ec.key) == ("/var/spool/postfix/ec.pem", "/var/spool/postfix/ec.pem")


KEY = "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize(
    ("files", "chain", "expected"),
    [
        ({}, "/a.pem", [("/a.pem", "/a.pem", ())]),
        ({}, "/privkey.pem, /fullchain.pem", [("/fullchain.pem", "/privkey.pem", ())]),
        (
            {"a": KEY + CERTIFICATE, "b": KEY + CERTIFICATE},
            "/etc/postfix/a /etc/postfix/b",
            [("/etc/postfix/a", "/etc/postfix/a", ()), ("/etc/postfix/b", "/etc/postfix/b", ())],
        ),
        (
            {"a": KEY, "b": CERTIFICATE, "c": CERTIFICATE * 2},
            "/etc/postfix/a,/etc/postfix/b,/etc/postfix/c",
            [("/etc/postfix/b", "/etc/postfix/a", ("/etc/postfix/c",))],
        ),
        (
            {"a": CERTIFICATE + KEY},
            "/etc/postfix/a",
            [("/etc/postfix/a", "/etc/postfix/a", ())],
        ),
    ],
)
def test_chain_files(
    files: dict[str, str], chain: str, expected: list[tuple[str, str, tuple[str, ...]]]
) -> None:
    found = reading(
        f"smtpd_tls_security_level = may\nsmtpd_tls_cert_file = /no\n"
        f"smtpd_tls_chain_files = {chain}\n",
        **files,
    )
    refs = found.endpoints[0].certificates
    assert [(c.path, c.key, c.chain_files) for c in refs] == expected


@pytest.mark.parametrize(
    "value",
    [
        "inline:{ A.example.org=/a.pem, { .sub.example.org = /k.key /b.pem } }",
        "hash:/etc/postfix/sni",
        "texthash:/etc/postfix/sni",
    ],
)
def test_names_of_an_sni_map(value: str) -> None:
    found = reading(
        "smtpd_tls_security_level = may\nsmtpd_tls_cert_file = /d.pem\n"
        f"tls_server_sni_maps = {value}\n",
        sni="# c\nA.example.org /a.pem\n.sub.example.org\n  /k.key, /b.pem\n",
    )
    refs = found.endpoints[0].certificates
    assert [(c.names, c.path, c.key) for c in refs] == [
        ((), "/d.pem", "/d.pem"),
        (("a.example.org",), "/a.pem", "/a.pem"),
        (("*.sub.example.org",), "/b.pem", "/k.key"),
    ]


def test_an_sni_map_alone_is_not_used_but_with_none() -> None:
    main = "smtpd_tls_security_level = may\ntls_server_sni_maps = inline:{a.b=/a.pem}\n"
    assert first(main).certificates == ()
    (ref,) = first(main + "smtpd_tls_cert_file = none\n").certificates
    assert ref.names == ("a.b",)


def test_an_sni_map_that_is_not_read_is_said() -> None:
    main = "smtpd_tls_security_level = may\nsmtpd_tls_cert_file = /a\n"
    assert first(main + "tls_server_sni_maps = mysql:/x\n").reasons


# -- what is not opened, and statements -----------------------------------------------------


def test_commented_services() -> None:
    found = reading(
        "",
        "# a word about submission inet services\n"
        + SMTP
        + "#127.0.0.1:submission inet n - y - - smtpd\n#submission inet n - y - - smtpd\n"
        + "#  -o smtpd_tls_security_level=encrypt\n",
    )
    assert [(d.port, d.service, d.reason, d.location.line) for d in found.dormant] == [
        (465, "submissions", "absent", 1),
        (587, "submission", "commented", 4),
    ]


def test_orphan_options() -> None:
    found = reading(
        "",
        SMTP
        + "#submission inet n - y - - smtpd\n  -o smtpd_tls_security_level=encrypt\n  -o a=b\n",
    )
    (orphan,) = [s for s in found.settings if s.name == "master.cf.orphan-options"]
    assert (orphan.value, orphan.scope, orphan.location.line) == ("smtp", "submission", 3)
    assert orphan.related is not None
    assert orphan.related.line == 2
    assert found.endpoints[0].tls == "starttls"


@pytest.mark.parametrize(
    "master",
    [
        "smtp inet n - y - - smtpd\n#smtp inet n - y - 1 postscreen\n  -o a=b\n",
        "smtp inet n - y - - smtpd\n  -o a=b\n#submission inet n - y - - smtpd\n#  -o c=d\n",
    ],
)
def test_options_that_are_no_orphans(master: str) -> None:
    assert not [s for s in reading("", master).settings if "orphan" in s.name]


def test_settings() -> None:
    found = reading(
        "smtpd_use_tls = yes\nsmtpd_use_tls = no\nrelayhost = [mx.example.org]:smtps\n"
        "myhostname = a.example.org\n",
        SMTP + "smtp unix - - n - - smtp -o smtp_tls_wrappermode=yes\n"
        "587 inet n - y - - smtpd -o smtpd_enforce_tls=yes\n",
    )
    by_name = {(s.name, s.scope): s for s in found.settings}
    assert by_name["smtpd_use_tls", ""].value == "no"
    assert by_name["main.cf.duplicate", ""].related is not None
    assert by_name["smtpd_enforce_tls", "587"].value == "yes"
    assert by_name["relay", ""].arguments[:3] == ("mx.example.org", "465", "yes")
    assert by_name["myhostname", ""].value == "a.example.org"


@pytest.mark.parametrize(
    ("options", "reason", "decisive"),
    [
        ("-o smtpd_tls_wrappermode=yes", "", False),
        ("-o { smtpd_tls_wrappermode = yes }", "", False),
        ("-o smtpd_tls_wrappermode = yes", "missing '=' after attribute name", True),
        ("-x", "invalid option: x", True),
        ("more", "unexpected command-line argument", True),
        ("-o{smtpd_tls_wrappermode=yes}", "has no effect", False),
        ('-o "smtpd_tls_wrappermode=yes"', "has no effect", False),
    ],
)
def test_options_not_taken_as_meant(options: str, reason: str, decisive: bool) -> None:
    master = f"465 inet n - y - - smtpd {options}\npipe unix - n n - - pipe flags=R argv=x\n"
    tree = tree_of({"/etc/postfix/main.cf": "", "/etc/postfix/master.cf": master})
    read(tree)
    if not reason:
        assert not tree.problems
        return
    (problem,) = tree.problems
    assert reason in problem.reason
    assert problem.decisive is decisive
    assert problem.location is not None
    assert problem.location.line == 1


@pytest.mark.parametrize(
    ("command", "broken"),
    [
        ("lmtp flags=O", False),
        ("smtp flags=DRX", False),
        ("smtp more", True),
        ("smtpd flags=O", True),
    ],
)
def test_the_flags_of_the_clients_are_no_mistake(command: str, broken: bool) -> None:
    master = f"relay unix - - n - - {command}\n"
    tree = tree_of({"/etc/postfix/main.cf": "", "/etc/postfix/master.cf": master})
    read(tree)
    assert bool(tree.problems) is broken


# -- instances and missing files ------------------------------------------------------------


def test_instances() -> None:
    found = reading(
        "multi_instance_directories = /etc/postfix-out, /etc/postfix-off, /etc/gone\n"
        "multi_instance_wrapper = x\ninet_protocols = ipv4\n",
        SMTP,
        **{
            "../postfix-out/main.cf": "multi_instance_enable = yes\ninet_interfaces = 192.0.2.7\n",
            "../postfix-out/master.cf": "587 inet n - y - - smtpd\n",
            "../postfix-off/main.cf": "",
            "../postfix-off/master.cf": "465 inet n - y - - smtpd\n",
        },
    )
    assert sockets(found) == [("0.0.0.0", 25), ("192.0.2.7", 587)]
    assert not found.complete
    assert found.endpoints[1].location.path == "etc/postfix-out/master.cf"


def test_master_cf_alone() -> None:
    found = read(tree_of({"/etc/postfix/master.cf": SMTP}))
    assert found is not None
    assert not found.complete
    assert [(e.tls, e.certain) for e in found.endpoints] == [("unknown", False)] * 2


def test_main_cf_alone() -> None:
    found = read(tree_of({"/etc/postfix/main.cf": "smtpd_use_tls = yes\n"}))
    assert found is not None
    assert not found.complete
    assert [s.name for s in found.settings] == ["smtpd_use_tls"]


@pytest.mark.parametrize("version", [(2, 8), (3, 3), (3, 10)])
def test_versions(version: tuple[int, ...]) -> None:
    tree = tree_of(
        {
            "/etc/postfix/main.cf": "smtpd_use_tls = yes\nsmtpd_tls_cert_file = /a\n"
            "smtpd_tls_chain_files = /b\n",
            "/etc/postfix/master.cf": SMTP,
        }
    )
    found = read(tree, version=version)
    assert found is not None
    assert len(found.endpoints) == (1 if version < (2, 9) else 2)
    path = found.endpoints[0].certificates[0].path
    assert path == ("/a" if version < (3, 4) else "/b")


def test_hostile_bytes_do_not_stop_it() -> None:
    junk = "".join(chr(n) for n in range(256)) + "\udcff{${-o\n" * 50
    found = reading(junk, junk)
    assert not found.starts


def test_a_variable_in_capitals_is_a_templates() -> None:
    filled = "myhostname = $ENV_HOST\nsmtpd_tls_cert_file = ${ENV_CERT}\n"
    assert reading(filled).starts
    assert not reading("myhostname = $nothing\n").starts
    assert reading("SITE = mx.example.org\nmyhostname = $SITE\n").starts


# -- the form of parameters -----------------------------------------------------------------


def stops(main: str, master: str = SMTP) -> bool:
    return any("broken" in dict(e.settings) for e in reading(main, master).endpoints)


@pytest.mark.parametrize(
    "main",
    [
        "message_size_limit = 50M\n",
        "message_size_limit = 52428800 # 50 MiB\n",
        "line_length_limit = 100\n",
        "max_idle = 1y\n",
        "max_use =\n",
        "delay_logging_resolution_limit = 7\n",
        "service_throttle_time = 0\n",
        "queue_directory =\n",
        "default_verp_delimiters = +\n",
        "default_verp_delimiters = #=\n",
        "verp_delimiter_filter = x\n",
        "myorigin = example.org, example.net\n",
    ],
)
def test_a_value_that_master_does_not_take(main: str) -> None:
    assert not reading(main).starts


@pytest.mark.parametrize(
    "main",
    [
        "message_size_limit = 0\n",
        "max_idle = 100sec\n",
        "max_use = +5\n",
        "max_use = $own\nown = 5\n",
        "max_use = $default_process_limit\n",
        "in_flow_delay = 0\n",
        "default_verp_delimiters = -=\n",
        "smtp_connect_timeout = soon\n",  # read by smtp(8) alone
        "smtpd_recipient_limit = ${stress?{1}:{1000}}\n",
    ],
)
def test_a_value_that_postfix_takes(main: str) -> None:
    assert reading(main).starts
    assert not stops(main)


def test_a_value_that_a_daemon_does_not_take() -> None:
    postscreen = "smtp inet n - y - 1 postscreen\nsmtpd pass - - y - - smtpd\n"
    assert stops("smtpd_recipient_limit = many\n")
    assert stops("smtpd_recipient_limit = many\n", postscreen)  # it hands clients to smtpd
    assert stops("smtpd_timeout = 5 minutes\n")
    assert stops("", "smtp inet n - y - - smtpd -o max_use=x\n")
    assert not stops("postscreen_greet_wait = x\n")
    assert stops("postscreen_greet_wait = x\n", postscreen)
    assert stops("default_process_limit = 7\n", postscreen)  # postscreen_pre_queue_limit >= 10
    assert not stops("default_process_limit = 10\n", postscreen)


def test_a_name_that_is_not_utf8() -> None:
    files = {"/etc/postfix/main.cf": "myhostname = mail.e\udcffxample.org\nmail_name = caf\udce9\n"}
    found = read(tree_of({**files, "/etc/postfix/master.cf": "smtp inet n - y - - smtpd\n"}))
    assert found is not None
    assert [endpoint.port for endpoint in found.endpoints] == [25, 25]
    assert not found.refusals


@pytest.mark.parametrize(("facility", "starts"), [("mail", True), ("MAIL", False), ("1", False)])
def test_facilities_of_syslog(facility: str, starts: bool) -> None:
    files = {"/etc/postfix/main.cf": f"syslog_facility = {facility}\n"}
    found = read(tree_of({**files, "/etc/postfix/master.cf": "smtp inet n - y - - smtpd\n"}))
    assert found is not None
    assert found.starts is starts


def test_a_level_that_cannot_be_expanded_stops_a_wrapped_service() -> None:
    files = {"/etc/postfix/main.cf": "smtpd_tls_security_level = ${\n"}
    master = "submissions inet n - n - - smtpd -o smtpd_tls_wrappermode=yes\n"
    found = read(tree_of({**files, "/etc/postfix/master.cf": master}))
    assert found is not None
    assert all("broken" in dict(endpoint.settings) for endpoint in found.endpoints)
