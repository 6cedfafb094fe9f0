"""What a host says of the files that it lacks."""

from __future__ import annotations

import pytest

from sslint import checker, engine, host
from sslint.targets import Target, complete
from tests.cases import target
from tests.support import tree_of


def test_what_is_only_not_known_is_no_reason_not_to_start() -> None:
    files = {
        "/etc/dovecot/dovecot.conf": "!include_try /usr/share/dovecot/protocols.d/*.protocol\n"
        "!include conf.d/*.conf\n",
        "/etc/dovecot/conf.d/10-ssl.conf": "ssl = required\n"
        "ssl_cert = </etc/dovecot/cert.pem\nssl_key = </etc/dovecot/key.pem\n",
        "/etc/dovecot/other.pem": "",
        "/etc/sysconfig/network": "",
    }
    found = host.read(Target("host", tree_of(files)))
    (reading,) = found.readings
    assert not reading.starts
    assert found.problems
    assert not any("does not start" in problem.reason for problem in found.problems)


NGINX, DOVECOT = "/etc/nginx/nginx.conf", "/etc/dovecot/dovecot.conf"
MASTER = "/etc/postfix/master.cf"
OLD = "ssl = yes\nprotocols = imap\n"
NEW = "dovecot_config_version = 2.4.1\ndovecot_storage_version = 2.4.1\nprotocols = imap\n"


@pytest.mark.parametrize(
    "files",
    [
        # "service", "certificate" and "bind(" in what is quoted say nothing of the cause.
        {NGINX: "events {}\nhttp { server { listen 80; server_name *x.service; } }\n"},
        {NGINX: "events {}\nhttp { server { listen 80; server_name *x.certificate; } }\n"},
        {NGINX: 'events {}\nhttp { server { listen 80 "backlog=bind("; } }\n'},
        {NGINX: "events {}\nhttp { server { listen 80; listen 80; } }\n"},
        {DOVECOT: f"{OLD}ssl_dh = </etc/dovecot/dh.pem\n", "/etc/dovecot/other.pem": ""},
        {DOVECOT: NEW.replace("2.4.1", "service", 1)},
        {DOVECOT: "ssl = service\nprotocols = imap\n"},
        {MASTER: "25 inet n - y - - smtpd\n", "/etc/postfix/main.cf": "myhostname =\n"},
        {MASTER: "25 inet n - y - - smtpd\n[::1 inet n - y - - smtpd\n"},
    ],
    ids=range(9),
)
def test_a_server_that_does_not_start_is_never_green(files: dict[str, str]) -> None:
    found = checker.check([Target("host", tree_of(files))], engine.bundled())
    (reading,) = found.hosts[0].readings
    assert not reading.starts
    assert [f for f in found.findings if f.severity == "error"], reading.reasons


SITE = (
    "server { listen 443 ssl default_server; server_name x.org;\n"
    " ssl_certificate /c; ssl_certificate_key /k; }\n"
)
STOCK = "server {\n listen 80 default_server;\n index index.html index.nginx-debian.html;\n}\n"


def test_sites_whose_links_a_checkout_lost_are_taken_for_enabled() -> None:
    files = {
        "/etc/nginx/nginx.conf": "events {}\nhttp { include sites-enabled/*; }\n",
        "/etc/nginx/sites-available/shop": SITE,
        "/etc/nginx/sites-available/shop2": SITE,
        "/etc/nginx/sites-available/shop.bak": SITE.replace("443", "444"),
        "/etc/nginx/sites-available/default": STOCK,
    }
    found = host.read(Target("host", tree_of(files)))
    (reading,) = found.readings
    assert reading.complete
    assert reading.starts
    assert [e.port for e in reading.endpoints] == [443]
    assert "sites-enabled is missing" in found.assumptions[0]


@pytest.mark.parametrize(
    "main", [{"/etc/nginx/nginx.conf": "events {}\nhttp { include sites-enabled/*; }\n"}, {}]
)
def test_what_a_site_includes_is_no_site(main: dict[str, str]) -> None:
    files = {
        **main,
        "/etc/nginx/sites-available/shop": SITE.replace(
            "ssl_certificate /c", "include /home/me/conf/options.conf;\n ssl_certificate /c"
        ),
        "/etc/nginx/sites-available/options.conf": "if ($request_method = PUT) { return 405; }\n",
    }
    tree = tree_of(files)
    complete(tree)
    (reading,) = host.read(Target("host", tree)).readings
    assert [e.port for e in reading.endpoints] == [443]
    assert not [text for text in reading.reasons if "not allowed" in text]


def test_an_empty_sites_enabled_enables_nothing() -> None:
    files = {
        "/etc/nginx/nginx.conf": "events {}\nhttp { include sites-enabled/*; }\n",
        "/etc/nginx/sites-available/shop": SITE,
        "/etc/nginx/sites-enabled/.gitkeep": "",
    }
    found = host.read(Target("host", tree_of(files)))
    assert not found.sockets
    assert not found.assumptions


def test_a_packaged_include_of_dovecot_that_a_checkout_lacks_is_not_missing() -> None:
    files = {
        "/etc/dovecot/dovecot.conf": "protocols = imap\n!include conf.d/10-auth.conf\n",
        "/etc/dovecot/conf.d/10-auth.conf": "!include auth-system.conf.ext\n",
    }
    found = host.read(Target("host", tree_of(files)))
    (reading,) = found.readings
    assert reading.starts
    assert not any(problem.decisive for problem in found.problems)


def test_what_was_not_given_is_no_reason_not_to_start() -> None:
    site = "server { listen 80; proxy_set_header A b c; include snippets/x.conf; }"
    files = {"/etc/nginx/nginx.conf": f"events {{}}\nhttp {{\n{site}\n}}\n"}
    found = host.read(Target("host", tree_of(files)))
    (reading,) = found.readings
    said = [refusal.text for refusal in reading.refusals]
    assert said == ['invalid number of arguments in "proxy_set_header" directive']


def _edited(found: host.Host, path: str, old: str, new: str) -> host.Host:
    texts = {path: found.tree.read(path).text.replace(old, new)}
    return host.reread(found, texts)


def _verdicts(found: host.Host) -> list[str]:
    return [reach.verdict for socket in found.sockets for reach in socket.reaches]


def test_an_edit_of_the_firewall_reads_the_firewall_alone() -> None:
    found = host.read(target("web-nftables"))
    spent = found.tree.budgets.used["files"]
    closed = _edited(found, "/etc/nftables.conf", "tcp dport { http, https } accept", "")
    assert closed.tree.budgets.used["files"] == spent
    assert all(mine is known for mine, known in zip(closed.readings, found.readings, strict=True))
    assert "closed" in _verdicts(closed)
    assert "closed" not in _verdicts(found)


def test_an_edit_of_a_server_reads_it_again_and_no_other_file() -> None:
    found = host.read(target("web-nftables"))
    spent = found.tree.budgets.used["files"]
    site = "/etc/nginx/sites-enabled/www"
    moved = _edited(found, site, "listen 443 ssl", "listen 8443 ssl")
    assert moved.tree.budgets.used["files"] == spent
    assert 8443 in {socket.endpoint.port for socket in moved.sockets}
    (before,), (after,) = found.readings, moved.readings
    assert before.config is not after.config


def test_what_was_reported_is_reported_of_the_edited_host_too() -> None:
    edits = ({"in": "etc/nginx/nginx.conf", "append": "include /etc/nginx/elsewhere/x.conf;\n"},)
    found = host.read(target("web-nftables", edits))
    edited = _edited(found, "/etc/nftables.conf", "tcp dport { http, https } accept", "bogus")
    said = [problem.sentence for problem in found.problems]
    assert said
    assert {*said} < {problem.sentence for problem in edited.problems}
