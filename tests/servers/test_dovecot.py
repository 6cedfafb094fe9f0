"""Dovecot: sockets, TLS modes, certificates by name, and what keeps it from starting."""

from __future__ import annotations

import time

import pytest

from sslint.budgets import ExhaustedError
from sslint.servers.dovecot.reading import read
from sslint.servers.model import Dormant, Endpoint, ServerReading
from tests.support import WHOLE, tree_of

HEAD = "dovecot_config_version = 2.4.1\ndovecot_storage_version = 2.4.0\n"
PAIR = "ssl_server_cert_file = /etc/dovecot/a.pem\nssl_server_key_file = /etc/dovecot/a.key\n"
FILES = {"/etc/dovecot/a.pem": "a", "/etc/dovecot/a.key": "k", "/etc/dovecot/b.pem": "b"}


def modern(text: str, **files: str) -> ServerReading:
    return reading({"/etc/dovecot/dovecot.conf": HEAD + text, **files})


def old(text: str, **files: str) -> ServerReading:
    return reading({"/etc/dovecot/dovecot.conf": text, **files})


def reading(files: dict[str, str], version: tuple[int, ...] | None = None) -> ServerReading:
    found = read(tree_of({**FILES, **files}), version=version)
    assert found is not None
    return found


def sockets(found: ServerReading) -> set[tuple[str, str, int, str]]:
    return {(e.protocol, e.address, e.port, e.tls) for e in found.endpoints}


def ports(found: ServerReading) -> dict[int, str]:
    return {e.port: e.tls for e in found.endpoints}


def at(found: ServerReading, port: int) -> Endpoint:
    return next(e for e in found.endpoints if e.port == port)


def certificate(found: ServerReading, port: int, name: str = "") -> str | None:
    refs = at(found, port).certificates
    return next((r.path for r in refs if r.names == ((name,) if name else ())), None)


def meant(found: ServerReading) -> list[Dormant]:
    return [d for d in found.dormant if d.explicit or d.reason != "protocol-off"]


def dormant(found: ServerReading) -> set[tuple[str, int, str]]:
    return {(d.service, d.port, d.reason) for d in meant(found)}


def test_no_configuration_is_no_dovecot() -> None:
    assert read(tree_of({"/etc/hosts": ""})) is None


def test_a_part_of_conf_d_says_nothing_about_tls() -> None:
    main = "protocols = imap\n!include conf.d/*.conf\n"
    files = {"/etc/dovecot/dovecot.conf": main, "/etc/dovecot/conf.d/10-mail.conf": "a = b\n"}
    found = read(tree_of(files))
    assert found is not None
    assert not found.complete
    listener = "service imap-login {\n  inet_listener imaps {\n    ssl = yes\n  }\n}\n"
    files["/etc/dovecot/conf.d/10-master.conf"] = listener
    found = read(tree_of(files))
    assert found is not None
    assert not found.complete
    files["/etc/dovecot/conf.d/10-ssl.conf"] = "ssl = required\n"
    found = read(tree_of(files))
    assert found is not None
    assert found.complete


def test_other_place() -> None:
    found = read(tree_of({"/usr/local/etc/dovecot/dovecot.conf": HEAD + "protocols = imap\n"}))
    assert found is not None
    assert ports(found) == {143: "starttls", 993: "implicit"}


class TestProtocols:
    def test_24_enables_nothing_by_itself(self) -> None:
        assert modern("ssl = yes\n").endpoints == []

    def test_23_enables_imap_pop3_and_lmtp(self) -> None:
        assert set(ports(old("ssl = yes\n"))) == {143, 993, 110, 995}

    def test_a_wildcard_is_two_sockets(self) -> None:
        assert sockets(modern("protocols = imap\n")) == {
            ("imap", "0.0.0.0", 143, "starttls"),
            ("imap", "::", 143, "starttls"),
            ("imaps", "0.0.0.0", 993, "implicit"),
            ("imaps", "::", 993, "implicit"),
        }

    def test_boolean_list_adds_and_removes(self) -> None:
        text = "protocols = pop3, imap\nprotocols {\n  sieve = yes\n  pop3 = no\n}\n"
        assert set(ports(modern(text))) == {143, 993, 4190}

    def test_a_later_list_replaces_all(self) -> None:
        text = "protocols {\n  imap = yes\n}\nprotocols = submission\n"
        assert set(ports(modern(text))) == {587, 465}

    def test_23_submission_has_no_465(self) -> None:
        assert set(ports(old("protocols = submission\n"))) == {587}

    def test_23_own_value_is_extended(self) -> None:
        assert set(ports(old("protocols = pop3\nprotocols = $protocols sieve\n"))) == {
            110,
            995,
            4190,
        }

    def test_23_old_protocol_names(self) -> None:
        assert set(ports(old("protocols = imaps managesieve\n"))) == {993, 4190}

    def test_unknown_protocol_is_refused(self) -> None:
        assert not modern("protocols = imap, nntp\n").starts

    def test_packaged_files_are_read_where_the_root_has_them(self) -> None:
        text = "!include_try /usr/share/dovecot/protocols.d/*.protocol\n"
        packaged = "/usr/share/dovecot/protocols.d/imapd.protocol"
        found = modern(text, **{packaged: "protocols {\n  imap = yes\n}\n"})
        assert set(ports(found)) == {143, 993}
        assert found.complete
        assert packaged in found.files

    def test_protocols_outside_the_tree_are_unknown_not_none(self) -> None:
        text = "!include_try /usr/share/dovecot/protocols.d/*.protocol\n"
        found = modern(text + "protocols {\n  sieve = yes\n}\n")
        assert not found.complete
        assert found.starts
        assert {e.port for e in found.endpoints if not e.certain} >= {143, 993, 110, 995}
        assert all(e.reasons for e in found.endpoints if not e.certain)
        assert at(found, 4190).certain

    @pytest.mark.parametrize("read", [modern, old], ids=["2.4", "2.3"])
    def test_debians_packages_show_in_conf_d_and_enable_their_protocols(self, read) -> None:
        text = "!include_try /usr/share/dovecot/protocols.d/*.protocol\n"
        files = {"/etc/dovecot/conf.d/20-imap.conf": "", "/etc/dovecot/conf.d/20-lmtp.conf": ""}
        found = read(text, **files)
        assert {e.port for e in found.endpoints if e.certain} == {143, 993}
        assert ports(found).keys() == {143, 993}
        assert not found.complete  # of a part of /etc
        (assumption,) = found.assumptions
        assert assumption == (
            "Debian's packages enable imap, lmtp (20-imap.conf, 20-lmtp.conf in "
            "etc/dovecot/conf.d); /usr/share/dovecot/protocols.d was not given"
        )

    @pytest.mark.parametrize("read", [modern, old], ids=["2.4", "2.3"])
    @pytest.mark.parametrize(
        ("sections", "expected"),
        [
            ("protocol imap {\n}\nprotocol pop3 {\n}\nprotocol lda {\n}\n", {143, 993, 110, 995}),
            (
                "service imap-login {\n inet_listener imap {\n  port = 0\n }\n}\n"
                "service managesieve-login {\n}\n",
                {993, 4190},
            ),
            ("service auth {\n}\n# protocol pop3 {\n", None),
        ],
    )
    def test_sections_show_which_packages_there_are(self, read, sections, expected) -> None:
        text = "!include_try /usr/share/dovecot/protocols.d/*.protocol\n"
        found = read(text + sections)
        assert not found.complete
        if expected is None:
            assert not any(e.certain for e in found.endpoints)
            return
        assert ports(found).keys() == expected
        assert all(e.certain for e in found.endpoints)
        assert "the sections in etc/dovecot/dovecot.conf" in found.assumptions[0]

    def test_the_stock_sections_of_conf_d_show_no_package(self) -> None:
        text = "!include_try /usr/share/dovecot/protocols.d/*.protocol\n!include conf.d/*.conf\n"
        stock = {"/etc/dovecot/conf.d/10-master.conf": "service pop3-login {\n}\n"}
        own = {"/etc/dovecot/conf.d/95-own.conf": "protocol imap {\n}\n"}
        assert not any(e.certain for e in old(text, **stock).endpoints)
        assert ports(old(text, **stock, **own)).keys() == {143, 993}

    def test_a_listener_whose_protocol_no_file_shows_is_not_known(self) -> None:
        text = "!include_try /usr/share/dovecot/protocols.d/*.protocol\n!include conf.d/*.conf\n"
        master = "service pop3-login {\n inet_listener pop3s {\n  port = 995\n }\n}\n"
        files = {"20-imap.conf": "", "10-master.conf": master}
        found = old(text, **{f"/etc/dovecot/conf.d/{name}": files[name] for name in files})
        assert {e.port: e.certain for e in found.endpoints} == {143: True, 993: True, 995: False}

    def test_dpkg_says_which_of_debians_protocols_there_are(self) -> None:
        text = "!include_try /usr/share/dovecot/protocols.d/*.protocol\n"
        stanza = "Package: {}\nStatus: {} ok {}\nVersion: 1:2.4.1+dfsg1-6\n\n"
        status = stanza.format("dovecot-core", "install", "installed")
        status += stanza.format("dovecot-pop3d", "deinstall", "config-files")
        status += stanza.format("dovecot-imapd", "install", "installed")
        left_over = {"/etc/dovecot/conf.d/20-pop3.conf": "", "/var/lib/dpkg/status": status}
        found = modern(text, **left_over)
        assert set(ports(found)) == {143, 993}
        assert found.complete
        assert "var/lib/dpkg/status" in found.assumptions[0]

    def test_what_replaces_the_packaged_list_rests_on_no_assumption(self) -> None:
        text = "!include_try /usr/share/dovecot/protocols.d/*.protocol\n"
        packaged = {"/etc/dovecot/conf.d/20-imap.conf": ""}
        assert modern(text + "protocols = pop3\n", **packaged).assumptions == []
        extended = old(text + "protocols = $protocols sieve\n", **packaged)
        assert {e.port for e in extended.endpoints if e.certain} >= {143, 993, 4190}
        assert extended.assumptions

    def test_a_list_set_whole_needs_no_packaged_files(self) -> None:
        text = "!include_try /usr/share/dovecot/protocols.d/*.protocol\nprotocols = imap\n"
        assert {e.certain for e in modern(text).endpoints} == {True}

    def test_23_debian_extends_an_empty_list(self) -> None:
        text = "!include_try /usr/share/dovecot/protocols.d/*.protocol\n"
        packaged = "/usr/share/dovecot/protocols.d/imapd.protocol"
        found = old(text, **{packaged: "protocols = $protocols imap\n"})
        assert set(ports(found)) == {143, 993}
        unknown = old(text + "protocols = $protocols sieve\n")
        assert at(unknown, 4190).certain
        assert not at(unknown, 143).certain


class TestListeners:
    def test_a_block_without_port_keeps_the_built_in_one(self) -> None:
        text = "service imap-login {\n  inet_listener imaps {\n  }\n  inet_listener new {\n  }\n}\n"
        assert set(ports(modern("protocols = imap\n" + text))) == {143, 993}

    def test_ports_addresses_and_tls_of_a_listener(self) -> None:
        text = """protocols = imap
listen = 127.0.0.1
service imap-login {
  inet_listener imap {
    port = 10143
    listen = 192.0.2.1, [2001:db8::1]
  }
  inet_listener more {
    port = 1993
    ssl = yes
  }
}
"""
        assert sockets(modern(text)) == {
            ("imap", "192.0.2.1", 10143, "starttls"),
            ("imap", "2001:db8::1", 10143, "starttls"),
            ("imaps", "127.0.0.1", 993, "implicit"),
            ("imaps", "127.0.0.1", 1993, "implicit"),
        }

    def test_imaps_without_ssl_is_cleartext_on_993(self) -> None:
        text = "service imap-login {\n  inet_listener imaps {\n    ssl = no\n  }\n}\n"
        found = modern("protocols = imap\n" + text)
        assert ("imap", "::", 993, "starttls") in sockets(found)

    def test_23_address_of_a_listener(self) -> None:
        text = "service pop3-login {\n  inet_listener pop3s {\n    address = 192.0.2.1 ::\n  }\n}\n"
        found = old("protocols = pop3\nlisten = *\n" + text)
        assert {(e.address, e.port) for e in found.endpoints} == {
            ("0.0.0.0", 110),
            ("192.0.2.1", 995),
            ("::", 995),
        }

    @pytest.mark.parametrize(
        "text",
        [
            "inet_listener_ssl = no\n",
            "service imap-login {\n  inet_listener_ssl = no\n}\n",
            "service/imap-login/inet_listener/imaps/ssl = no\n",
            "group @plain x {\n  inet_listener_ssl = no\n}\n@plain = x\n",
        ],
    )
    def test_prefixed_forms(self, text: str) -> None:
        assert ports(modern("protocols = imap\n" + text))[993] == "starttls"

    def test_the_listener_wins_over_the_service_and_the_root(self) -> None:
        text = """protocols = imap
inet_listener_ssl = no
service imap-login {
  inet_listener imaps {
    ssl = yes
  }
  inet_listener_ssl = no
}
"""
        assert ports(modern(text))[993] == "implicit"

    def test_port_zero(self) -> None:
        text = "service imap-login {\n  inet_listener imap {\n    port = 0\n  }\n}\n"
        found = modern("protocols = imap\n" + text)
        assert set(ports(found)) == {993}
        assert dormant(found) == {("imap", 143, "port-zero")}
        assert str(meant(found)[0].location) == "etc/dovecot/dovecot.conf:6:5"

    def test_haproxy(self) -> None:
        text = "service imap-login {\n  inet_listener imap {\n    haproxy = yes\n  }\n}\n"
        found = modern("protocols = imap\n" + text)
        assert at(found, 143).proxy_protocol
        assert at(found, 143).tls_required is None
        assert not at(found, 993).proxy_protocol

    def test_services_without_protocol_open_what_they_name(self) -> None:
        text = """service doveadm {
  inet_listener doveadm {
    port = 12345
  }
}
service auth {
  inet_listener x {
    port = 12346
    listen = ::1
  }
}
service nothing-to-run {
  inet_listener x {
    port = 12347
  }
}
service quota-status {
  executable = quota-status -p postfix
  inet_listener x {
    port = 12348
  }
}
"""
        assert ports(modern(text)) == {12345: "none", 12346: "none", 12348: "none"}

    def test_lmtp_announces_tls_only_with_a_certificate(self) -> None:
        text = "protocols = lmtp\nservice lmtp {\n  inet_listener x {\n    port = 24\n  }\n}\n"
        assert ports(modern(text)) == {24: "none"}
        assert ports(modern(text + PAIR)) == {24: "starttls"}

    def test_debian_opens_port_2000_for_old_sieve_clients(self) -> None:
        text = """protocols = sieve
service managesieve-login {
  inet_listener sieve_deprecated {
    port = 2000
  }
}
"""
        assert set(ports(modern(text))) == {4190, 2000}

    def test_a_service_whose_protocol_is_off_stays_closed(self) -> None:
        text = """protocols = imap
service pop3-login {
  inet_listener pop3s {
    port = 1995
  }
}
"""
        found = modern(text)
        assert set(ports(found)) == {143, 993}
        assert ("pop3s", 1995, "protocol-off") in dormant(found)
        assert {d.service for d in found.dormant if d.explicit} == {"pop3s"}

    def test_host_names_resolve_from_the_hosts_file(self) -> None:
        hosts = {"/etc/hosts": "127.0.0.1 localhost\n::1 localhost # here\n"}
        found = modern("protocols = imap\nlisten = localhost\n", **hosts)
        assert {e.address for e in found.endpoints} == {"127.0.0.1", "::1"}
        bare = modern("protocols = imap\nlisten = localhost\n")
        assert {e.address for e in bare.endpoints} == {"127.0.0.1", "::1"}
        assert bare.complete
        unknown = modern("protocols = imap\nlisten = mail.example.org\n")
        assert unknown.endpoints == []
        assert not unknown.complete


class TestTls:
    def test_ssl_no_removes_the_tls_listeners(self) -> None:
        text = """ssl = no
protocols = imap
service imap-login {
  inet_listener imaps {
    port = 993
    ssl = yes
  }
}
"""
        found = modern(text)
        assert ports(found) == {143: "none"}
        (gone,) = meant(found)
        assert (gone.service, gone.reason, gone.explicit) == ("imaps", "ssl-off", True)
        assert gone.location.line == 3
        assert gone.related is not None
        assert gone.related.line == 7

    def test_an_empty_block_is_no_wish(self) -> None:
        text = "service imap-login {\n  inet_listener imaps {\n  }\n}\n"
        found = modern("ssl = no\nprotocols = imap\n" + text)
        assert [d.explicit for d in meant(found)] == [False]

    def test_23_ssl_disable(self) -> None:
        assert set(ports(old("ssl_disable = yes\nprotocols = imap\n"))) == {143}

    def test_protocol_without_ssl_leaves_the_port_without_certificates(self) -> None:
        found = modern("protocols = imap\n" + PAIR + "protocol imap {\n  ssl = no\n}\n")
        assert ports(found) == {143: "none", 993: "implicit"}
        assert at(found, 993).certificates == ()

    @pytest.mark.parametrize(
        ("text", "required"),
        [
            ("", True),
            ("auth_allow_cleartext = yes\n", False),
            ("auth_allow_cleartext = no\n", True),
            ("ssl = required\n", True),
            ("auth_allow_cleartext = $ENV:CLEAR\n", None),
            ("protocol imap {\n  auth_allow_cleartext = yes\n}\n", False),
        ],
    )
    def test_credentials_before_tls(self, text: str, required: bool | None) -> None:
        found = modern("protocols = imap\n" + text)
        assert at(found, 143).tls_required is required
        assert at(found, 993).tls_required is True

    def test_23_credentials_before_tls(self) -> None:
        assert at(old("disable_plaintext_auth = no\n"), 143).tls_required is False
        assert at(old(""), 143).tls_required is True


class TestCertificates:
    def test_global_pair_and_its_places(self) -> None:
        (ref,) = at(modern("protocols = imap\n" + PAIR), 993).certificates
        assert (ref.path, ref.key) == ("/etc/dovecot/a.pem", "/etc/dovecot/a.key")
        assert ref.location.line == 4
        assert ref.key_location is not None
        assert ref.key_location.line == 5

    def test_block_form_is_the_same(self) -> None:
        text = "ssl_server {\n  cert_file = a.pem\n  key_file = a.key\n}\nprotocols = imap\n"
        assert certificate(modern(text), 993) == "/etc/dovecot/a.pem"

    def test_names(self) -> None:
        text = f"""protocols = imap
{PAIR}
local_name mail.Example.org {{
  ssl_server_cert_file = /etc/dovecot/b.pem
}}
"""
        found = modern(text)
        assert certificate(found, 993) == "/etc/dovecot/a.pem"
        assert certificate(found, 993, "mail.example.org") == "/etc/dovecot/b.pem"
        assert at(found, 143).names == ("mail.example.org",)

    def test_the_last_matching_block_wins(self) -> None:
        text = f"""protocols = imap
{PAIR}
local_name a.example.org {{
  ssl_server_cert_file = /etc/dovecot/b.pem
}}
local_name *.example.org {{
  ssl_server_cert_file = /etc/dovecot/a.pem
}}
"""
        assert certificate(modern(text), 993, "a.example.org") == "/etc/dovecot/a.pem"

    def test_without_a_default_no_name_gets_one(self) -> None:
        text = "protocols = imap\nlocal_name x.org {\n  ssl_server_cert_file = a.pem\n}\n"
        assert at(modern(text), 993).certificates == ()

    def test_protocol_service_and_listener_blocks(self) -> None:
        b = "ssl_server_cert_file = /etc/dovecot/b.pem\n"
        head = "protocols = imap pop3\n" + PAIR
        assert certificate(modern(f"{head}protocol imap {{\n{b}}}\n"), 993) == "/etc/dovecot/b.pem"
        assert certificate(modern(f"{head}protocol imap {{\n{b}}}\n"), 995) == "/etc/dovecot/a.pem"
        service = f"service imap-login {{\n{b}}}\n"
        assert certificate(modern(head + service), 993) == "/etc/dovecot/b.pem"
        listener = f"service imap-login {{\n  inet_listener imaps {{\n{b}  }}\n}}\n"
        assert certificate(modern(head + listener), 993) == "/etc/dovecot/a.pem"

    def test_local_blocks_name_their_address(self) -> None:
        text = f"""protocols = imap
{PAIR}
local 192.0.2.0/24 {{
  ssl_server_cert_file = /etc/dovecot/b.pem
}}
"""
        refs = at(modern(text), 993).certificates
        assert [(r.path, r.address) for r in refs] == [
            ("/etc/dovecot/a.pem", ""),
            ("/etc/dovecot/b.pem", "192.0.2.0/24"),
        ]
        bound = modern(text + "listen = 192.0.2.7\n")
        assert certificate(bound, 993) == "/etc/dovecot/b.pem"

    def test_23_certificates(self) -> None:
        text = """ssl_cert = </etc/dovecot/a.pem
ssl_key = <a.key
ssl_alt_cert = </etc/dovecot/b.pem
local_name "x.org y.org" {
  ssl_cert = < /etc/dovecot/b.pem
}
"""
        found = old(text)
        refs = at(found, 993).certificates
        assert [(r.path, r.key) for r in refs[:2]] == [
            ("/etc/dovecot/a.pem", "/etc/dovecot/a.key"),
            ("/etc/dovecot/b.pem", None),
        ]
        assert certificate(found, 993, "y.org") == "/etc/dovecot/b.pem"

    def test_23_path_without_the_sign_that_reads_it(self) -> None:
        (ref,) = at(old("ssl_cert = /etc/dovecot/a.pem\n"), 993).certificates
        assert ref.path is None
        assert "`<`" in ref.reason

    def test_values_of_the_running_server_are_unknown(self) -> None:
        (ref,) = at(
            modern("protocols = imap\nssl_server_cert_file = $ENV:CERT\n"), 993
        ).certificates
        assert ref.path is None
        assert "$ENV:CERT" in ref.reason
        assert modern("ssl_server_cert_file = {{ certificate }}\n").starts


class TestIncludes:
    def test_the_block_around_an_include_is_kept(self) -> None:
        text = "protocols = imap\nservice imap-login {\n  !include x/{a,b}.inc\n}\n"
        found = modern(
            text,
            **{
                "/etc/dovecot/x/a.inc": "inet_listener imap {\n  port = 1\n}\n",
                "/etc/dovecot/x/b.inc": "!include c.inc\n",
                "/etc/dovecot/x/c.inc": "inet_listener imaps {\n  port = 2\n}\n",
            },
        )
        assert ports(found) == {1: "starttls", 2: "implicit"}
        assert at(found, 2).location.path == "etc/dovecot/x/c.inc"

    def test_what_follows_an_include_comes_after_it(self) -> None:
        text = "!include a.conf\nssl = no\nprotocols = imap\n"
        found = modern(text, **{"/etc/dovecot/a.conf": "ssl = yes\n"})
        assert set(ports(found)) == {143}

    def test_no_match_is_fatal_unless_tried(self) -> None:
        other = {"/etc/dovecot/conf.d/README": ""}
        assert not modern("!include conf.d/*.conf\n", **other, **WHOLE).starts
        part = modern("!include conf.d/*.conf\n", **other)
        assert part.starts
        assert not part.complete
        assert modern("!include_try conf.d/*.conf\n", **other).starts

    def test_the_syntax_of_dovecot_1_is_not_judged(self) -> None:
        text = "protocols = imap\nprotocol imap {\n listen = *:143\n ssl_listen = *:993\n}\n"
        tree = tree_of({"/etc/dovecot/dovecot.conf": text})
        found = read(tree)
        assert found is not None
        assert not found.complete
        assert not any(problem.decisive for problem in tree.problems)

    def test_a_main_file_that_leaves_out_conf_d_may_be_a_part(self) -> None:
        excerpt = "mail_location = maildir:/var/vmail/%d/%n\n"
        beside = {"/etc/dovecot/conf.d/10-ssl.conf": "ssl = required\nssl_cert = </etc/d.pem\n"}
        found = old("protocols = imap\n" + excerpt, **beside)
        assert not found.complete
        assert "may be a part of the file" in str(found.gaps)
        assert old("protocols = imap\n" + excerpt).complete
        assert old("protocols = imap\nssl_cert = </etc/dovecot/a.pem\n", **beside).complete

    def test_a_directory_that_was_not_given_is_not_known(self) -> None:
        found = modern("!include conf.d/*.conf\n")
        assert found.starts
        assert not found.complete

    def test_a_continued_line_goes_on_in_the_next_file(self) -> None:
        text = "!include a.conf\n::1\nprotocols = imap\n"
        found = modern(text, **{"/etc/dovecot/a.conf": "listen = 127.0.0.1, \\\n"})
        assert {e.address for e in found.endpoints} == {"127.0.0.1", "::1"}

    def test_a_comment_ends_a_continued_line(self) -> None:
        assert not modern("listen = 127.0.0.1, \\\n# gone\n ::1\n").starts

    def test_a_loop_is_an_error(self) -> None:
        found = modern("!include a.conf\n", **{"/etc/dovecot/a.conf": "!include a.conf\n"})
        assert not found.starts
        assert "Recursive" in found.reasons[0]

    def test_a_doubling_chain_is_bounded(self) -> None:
        files = {
            f"/etc/dovecot/{n}.conf": f"!include {n + 1}.conf\n!include {n + 1}.conf\n"
            for n in range(40)
        }
        with pytest.raises(ExhaustedError, match="included files"):
            modern("!include 0.conf\n", **files, **{"/etc/dovecot/40.conf": "ssl = yes\n"})


class TestRefusals:
    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("ssl = YES\n", "Invalid value"),
            ("ssl_cert = </etc/dovecot/a.pem\n", "Unknown setting"),
            ("disable_plaintext_auth = no\n", "Unknown setting"),
            ("ssl_server_cert_file = </etc/dovecot/a.pem\n", "takes a path"),
            ("ssl_server_cert_file = /etc/dovecot/missing.pem\n", "no such file"),
            ("ssl = required\nauth_allow_cleartext = yes\n", "no effect"),
            ("service x {\n", "Missing '}'"),
            ("}\n", "Unexpected"),
            ("service x { y {\n", "Garbage"),
            ("service x{\n", "Expecting"),
            ("inet_listener_port = 70000\n", "Invalid port"),
            ("inet_listener_ssl = maybe\n", "Invalid boolean"),
            ("protocols {\n  imap = maybe\n}\n", "Invalid boolean"),
            ("local_name a b {\n}\n", "Expecting"),
            ('local_name "a b" {\n}\n', "Multiple names"),
            ("protocol imap {\n  local_name x {\n  }\n}\n", "not allowed"),
            ("service imap-login {\n  inet_listener {\n  }\n}\n", "missing section name"),
            ("listen = $SET:listen ::1\n", "can't be expanded"),
            ('listen = "*", "::"\n', "quotes"),
            ("protocols = imap\nlisten = *, 127.0.0.1\n", "beside"),
            ("inet_listener imaps {\n  port = 1\n}\nprotocols = imap pop3\n", "beside"),
        ],
    )
    def test_24_refuses(self, text: str, reason: str) -> None:
        found = modern(text)
        assert not found.starts
        assert any(reason in known for known in found.reasons), found.reasons

    def test_versions(self) -> None:
        conf = "/etc/dovecot/dovecot.conf"
        assert reading({conf: "ssl = yes\n"}, (2, 3, 21)).starts
        assert not reading({conf: "ssl = yes\n"}, (2, 4, 1)).starts
        assert not reading({conf: "ssl = yes\n" + HEAD}).starts
        assert not reading({conf: HEAD}, (2, 3, 21)).starts
        assert not reading({conf: HEAD.replace("2.4.1", "2.3.0")}).starts
        assert not reading({conf: "dovecot_config_version = 2.4.1\n"}).starts

    def test_a_missing_key_is_no_proof_in_a_copied_tree(self) -> None:
        text = PAIR.replace("a.key", "missing.key")
        assert modern(text).starts
        assert modern("ssl_server_cert_file = /etc/letsencrypt/live/x/cert.pem\n").starts

    def test_conflicts_name_both_sides(self) -> None:
        text = (
            "protocols = imap\nservice imap-login {\n  inet_listener x {\n    port = 143\n  }\n}\n"
        )
        (first, *_) = modern(text).conflicts
        assert (first.first, first.second) == ("0.0.0.0:143", "0.0.0.0:143")

    @pytest.mark.parametrize("line", ["{{ listeners }}", "{% if tls %}", "mail_uid = {{ uid }}"])
    def test_what_a_template_fills_in_is_no_error(self, line: str) -> None:
        tree = tree_of({**FILES, "/etc/dovecot/dovecot.conf": f"{HEAD}{line}\n"})
        found = read(tree)
        assert found is not None
        assert found.starts
        assert not any(problem.decisive for problem in tree.problems)


class TestSettings:
    def test_what_rules_ask_for(self) -> None:
        found = modern(
            "ssl_min_protocol = TLSv1\nremote 10.0.0.0/8 {\n  auth_allow_cleartext = yes\n}\n"
        )
        assert {(s.name, s.value, s.scope) for s in found.settings} >= {
            ("ssl_min_protocol", "TLSv1", ""),
            ("auth_allow_cleartext", "yes", "remote 10.0.0.0/8"),
        }

    def test_old_names_in_a_new_file(self) -> None:
        legacy = [s for s in modern("ssl_key = <x\n").settings if s.scope == "legacy"]
        assert [(s.name, s.arguments) for s in legacy] == [
            ("ssl_key", ("ssl_server_key_file = /path, without the prefix",))
        ]
        assert [s for s in old("ssl_key = <a.key\n").settings if s.scope == "legacy"] == []

    def test_an_address_that_2_4_refuses_says_what_is_meant(self) -> None:
        text = (
            "service lmtp {\n  inet_listener a {\n    address = 127.0.0.1\n    port = 24\n  }\n}\n"
        )
        found = modern(f"protocols = lmtp\n{text}")
        assert not found.starts
        assert {e.address for e in found.endpoints if e.port == 24} == {"127.0.0.1"}


def test_hostile_text_never_raises() -> None:
    pieces = [
        "{",
        "}",
        "=",
        "<",
        "$",
        '"',
        "'",
        "\\",
        "#",
        "\n",
        "\0",
        "\t",
        "é",
        "!include ",
        "@g",
    ]
    text = "".join(pieces[(n * n + n // 7) % len(pieces)] for n in range(20_000))
    for head in ("", HEAD):
        reading({"/etc/dovecot/dovecot.conf": head + text})
    deep = "a {\n" * 5000
    assert not reading({"/etc/dovecot/dovecot.conf": HEAD + deep}).complete
    growing = "ssl_min_protocol = x\n" + "ssl_min_protocol = $SET:ssl_min_protocol" * 1 + " "
    growing += (
        "$SET:ssl_min_protocol\n"
        + "ssl_min_protocol = $SET:ssl_min_protocol $SET:ssl_min_protocol\n" * 60
    )
    reading({"/etc/dovecot/dovecot.conf": HEAD + growing})


def test_ten_thousand_names_are_quick() -> None:
    names = "".join(
        f"local_name h{n}.example.org {{\n  ssl_server_cert_file = /etc/dovecot/b.pem\n}}\n"
        for n in range(10_000)
    )
    start = time.process_time()
    found = modern("protocols = imap\n" + PAIR + names)
    assert len(at(found, 993).names) == 10_000
    assert time.process_time() - start < 10


def refused(text: str, version: tuple[int, ...] | None = None, *, head: str = HEAD) -> list[str]:
    found = reading({"/etc/dovecot/dovecot.conf": head + text}, version)
    return [reason.text for reason in found.refusals]


@pytest.mark.parametrize(
    "text",
    [
        "pop3_lock_session = maybe\n",
        "mail_max_userip_connections = 10k\n",
        "service imap-login {\n  process_min_avail = few\n}\n",
        "service imap-login {\n  vsz_limit = 1 gigabyte\n}\n",
        "service auth {\n  unix_listener auth-client {\n    mode = 0x660\n  }\n}\n",
        "mail_max_lock_timeout = 30\n",
        "protocol imap {\n  imap_idle_notify_interval = 2 minuets\n}\n",
        "mail_fsync = sometimes\n",
        "namespace inbox {\n  mailbox Drafts {\n    auto = yes\n  }\n}\n",
        "passdb static {\n  result_success = go\n}\n",
        "mail_plugins {\n  quota = on\n}\n",
        "ssl_server = yes\n",
        "service = imap\n",
        "passdb_fields = a\n",
        "local_name a.example {\n  auth_mechanisms = plain\n}\n",
        "mail_drivr = maildir\n",
        "namespce inbox {\n}\n",
        "replication_max_conns = 1\n",
    ],
)
def test_the_form_of_a_setting_is_refused(text: str) -> None:
    assert refused(text)


@pytest.mark.parametrize(
    "text",
    [
        "service imap-login {\n  process_limit = unlimited\n  vsz_limit = 1 GiB\n}\n",
        "mail_max_lock_timeout = 30 secs\n",
        "mail_max_lock_timeout = 2000ms\n",
        f"mail_max_lock_timeout = {'0' * 5000} secs\nmail_cache_max_size = {'0' * 5000}k\n",
        "imap_idle_notify_interval = %{env:IDLE}\n",
        "passdb static {\n  fields {\n    auto = 1 week\n  }\n}\n",
        "fts_xapian_partial = 3\n",
        "remote 192.0.2.0/24 {\n  auth_allow_cleartext = yes\n}\n",
        "group @g x {\n  mail_fsync = never\n}\n@g = x\n",
    ],
)
def test_the_form_of_a_setting_is_taken(text: str) -> None:
    assert refused(text) == []


def test_the_form_of_a_setting_depends_on_the_release() -> None:
    assert refused("mail_max_lock_timeout = 30\n", (2, 2, 36), head="") == []
    assert refused("mail_max_lock_timeout = 30\n", (2, 3, 21), head="") != []
    assert refused("mail_max_lock_timeout = 30\n", head="") == []
    assert refused("service a {\n  process_limit = unlimited\n}\n", head="") != []
    assert refused("plugin {\n  quota_grace = a\n  mail_drivr = x\n}\n", head="") == []
    assert refused("mail_driver = maildir\n", head="") != []
    any_cert = "ssl_server_request_client_cert = any-cert\n"
    assert refused(any_cert) == []
    assert refused(any_cert, (2, 4, 1)) != []
    assert refused(any_cert, (2, 4, 3)) == []


@pytest.mark.parametrize("line", ["pop3_lck_session = no\n", "pop3_lck_sess{}on = no\n"])
def test_ten_thousand_misspelt_names_are_quick(line: str) -> None:
    start = time.process_time()
    refused("".join(line.format(number) for number in range(10_000)))
    assert time.process_time() - start < 10
