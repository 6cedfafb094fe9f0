"""What renewal hooks do to services."""

from __future__ import annotations

import pytest

from sslint.hooks import effect


@pytest.mark.parametrize(
    ("text", "reloads", "opaque"),
    [
        ("systemctl reload nginx", {"nginx"}, False),
        ("systemctl reload nginx postfix dovecot.service", {"nginx", "postfix", "dovecot"}, False),
        ("service nginx reload || true", {"nginx"}, False),
        ("/etc/init.d/dovecot restart", {"dovecot"}, False),
        ("nginx -t && sudo /usr/sbin/nginx -s reload", {"nginx"}, False),
        ("for s in nginx dovecot; do systemctl reload $s; done", {"nginx", "dovecot"}, False),
        ("S=nginx\nsystemctl reload ${S}\n", {"nginx"}, False),
        ("if true; then doveadm reload; fi", {"dovecot"}, False),
        ("postfix reload", {"postfix"}, False),
        ("systemctl reload \\\n  nginx", {"nginx"}, False),
        ("# systemctl reload nginx", set(), False),
        ("true # systemctl reload nginx", set(), False),
        ("echo 'systemctl reload nginx'", set(), False),
        ("cat <<EOF\nsystemctl reload nginx\nEOF\n", set(), False),
        ("systemctl status nginx", set(), False),
        ("systemctl enable nginx", set(), False),
        ("systemctl stop nginx", set(), False),
        ("systemctl reload $unit", set(), True),
        ("/usr/local/bin/after-renewal", set(), True),
        ("docker restart nginx", set(), True),
        ("#!/usr/bin/python3\nos.system('x')", set(), True),
        ("systemctl reload 'nginx", set(), True),
    ],
)
def test_effect(text: str, reloads: set[str], opaque: bool) -> None:
    found = effect(text)
    assert (found.reloads, found.opaque) == (reloads, opaque)


def test_stopping_and_starting() -> None:
    assert effect("systemctl stop nginx").stops == {"nginx"}
    assert effect("service nginx start").starts == {"nginx"}
