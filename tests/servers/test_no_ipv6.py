"""What is read of servers whose kernel has no sockets of IPv6 (tests/live has the real ones)."""

from __future__ import annotations

import pytest

from sslint.host import read
from sslint.targets import Target
from tests.support import tree_of

OTHERS = {
    "/etc/default/grub": 'GRUB_CMDLINE_LINUX="ipv6.disable=1"\n',
    "/etc/hosts": "2001:db8::2 six\n",
}
APACHE, CADDY = "/etc/apache2/apache2.conf", "/etc/caddy/Caddyfile"
EXIM, MASTER = "/etc/exim4/exim4.conf", "/etc/postfix/master.cf"


@pytest.mark.parametrize(
    ("path", "text", "starts"),
    [
        (APACHE, "Listen 443\n", True),
        (APACHE, "Listen *:443\n", True),
        (APACHE, "Listen 192.0.2.1:443\n", True),
        (APACHE, "Listen localhost:443\n", True),
        (APACHE, "Listen [::]:443\n", False),
        (APACHE, "Listen [2001:db8::1]:443\n", False),
        (APACHE, "Listen six:443\n", False),
        (APACHE, "Listen 443\nListen [::1]:444\n", False),
        (CADDY, "http://a {\n}\n", True),
        (CADDY, "http://a {\n bind ::\n}\n", True),
        (CADDY, "http://a {\n bind ::1\n}\n", False),
        (CADDY, "http://a {\n bind tcp6/::\n}\n", False),
        (EXIM, "", True),
        (EXIM, "local_interfaces = <; ::0 ; 0.0.0.0\n", True),
        (EXIM, "local_interfaces = <; ::0 ; 127.0.0.1\n", False),
        (EXIM, "local_interfaces = <; 0.0.0.0 ; ::1\n", False),
        (MASTER, "smtp inet n - y - - smtpd\n", True),
        (MASTER, "localhost:smtp inet n - y - - smtpd\n", True),
        (MASTER, "[::]:smtp inet n - y - - smtpd\n", False),
        (MASTER, "six:smtp inet n - y - - smtpd\n", False),
    ],
)
def test_which_start_without_ipv6(path: str, text: str, starts: bool) -> None:
    files = {path: text, **({"/etc/postfix/main.cf": ""} if path == MASTER else {})}
    found = read(Target("h", tree_of({**files, **OTHERS}))).readings
    assert [reading.starts for reading in found] == [starts]


def test_why_apache_does_not_start_without_ipv6() -> None:
    (reading,) = read(Target("h", tree_of({APACHE: "Listen [::1]:443\n", **OTHERS}))).readings
    assert reading.reasons == [
        "etc/apache2/apache2.conf:1: it listens on [::1], and etc/default/grub:1 disables IPv6"
    ]
