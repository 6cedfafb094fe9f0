"""What a host says of the files that it lacks."""

from __future__ import annotations

from sslint import host
from sslint.targets import Target
from tests.support import tree_of


def test_what_is_only_not_known_is_no_reason_not_to_start() -> None:
    files = {
        "/etc/dovecot/dovecot.conf": "!include_try /usr/share/dovecot/protocols.d/*.protocol\n"
        "!include conf.d/*.conf\n",
        "/etc/dovecot/conf.d/10-ssl.conf": "ssl = required\nssl_dh = </etc/dovecot/dh.pem\n"
        "ssl_cert = </etc/dovecot/cert.pem\nssl_key = </etc/dovecot/key.pem\n",
        "/etc/dovecot/other.pem": "",
    }
    found = host.read(Target("host", tree_of(files)))
    (reading,) = found.readings
    assert not reading.starts
    assert found.problems
    assert not any("does not start" in problem.reason for problem in found.problems)


def test_links_to_sites_that_a_checkout_lost_leave_nginx_incomplete() -> None:
    files = {
        "/etc/nginx/nginx.conf": "events {}\nhttp { include sites-enabled/*; }\n",
        "/etc/nginx/sites-available/shop": "server { listen 443 ssl; }\n",
    }
    (reading,) = host.read(Target("host", tree_of(files))).readings
    assert not reading.complete


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
    said = [problem.reason for problem in found.problems if "does not start" in problem.reason]
    assert said == [
        'nginx does not start: invalid number of arguments in "proxy_set_header" directive'
    ]
