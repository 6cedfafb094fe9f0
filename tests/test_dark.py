"""Where nobody reaches a service, some finding is an error, whatever keeps them away.

Each case is how people have told it: a stock configuration and the one thing that went wrong.
"""

from __future__ import annotations

from typing import Any

import pytest

from sslint import engine
from sslint.checker import check
from tests.cases import SOUND, target

NFT, SITE = "etc/nftables.conf", "etc/nginx/sites-enabled/www"
DOVECOT, MASTER = "etc/dovecot/dovecot.conf", "etc/postfix/master.cf"
V4, V6 = "etc/iptables/rules.v4", "etc/iptables/rules.v6"
ZONE = "etc/firewalld/zones/public.xml"
LISTENS = (
    "    listen 443 ssl default_server;\n    listen [::]:443 ssl default_server;\n"
    "    listen 443 quic reuseport;\n    listen [::]:443 quic reuseport;\n"
)
ORACLE = (
    "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
    "-A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -p icmp -j ACCEPT\n"
    "-A INPUT -i lo -j ACCEPT\n"
    "-A INPUT -p tcp -m state --state NEW -m tcp --dport 22 -j ACCEPT\n"
    "-A INPUT -j REJECT --reject-with icmp-host-prohibited\nCOMMIT\n"
)
NO_USER_RULES = "*filter\n:ufw{0}-user-input - [0:0]\n### RULES ###\n### END RULES ###\nCOMMIT\n"

Edit = dict[str, Any]


def swap(path: str, old: str, new: str) -> Edit:
    return {"in": path, "replace": old, "by": new}


def write(path: str, text: str) -> Edit:
    return {"write": path, "text": text}


STORIES: dict[str, tuple[str, tuple[Edit, ...], str]] = {
    "ufw enabled, nothing allowed": (
        "web-ufw",
        (
            write("etc/ufw/user.rules", NO_USER_RULES.format("")),
            write("etc/ufw/user6.rules", NO_USER_RULES.format("6")),
        ),
        "tls-port-closed",
    ),
    "an image that admits ssh alone": ("web-iptables", (write(V4, ORACLE),), "tls-port-closed"),
    "an accept appended after the reject": (
        "web-iptables",
        (write(V4, ORACLE.replace("COMMIT", "-A INPUT -p tcp --dport 443 -j ACCEPT\nCOMMIT")),),
        "shadowed-accept",
    ),
    "an earlier ufw deny": (
        "web-ufw",
        (
            swap(
                "etc/ufw/user.rules",
                "### RULES ###\n",
                "### RULES ###\n\n### tuple ### deny any any 0.0.0.0/0 any 0.0.0.0/0 in\n"
                "-A ufw-user-input -j DROP\n",
            ),
        ),
        "shadowed-accept",
    ),
    "the firewall opens 143, Dovecot has 993": (
        "mail-nftables",
        (swap(NFT, "587, 993", "587, 143"),),
        "open-port-differs-from-listener",
    ),
    "993 is not opened": ("mail-nftables", (swap(NFT, "587, 993", "587"),), "tls-port-closed"),
    "the one submission port is not opened": (
        "mail-465-only",
        (
            swap(V4, "-A INPUT -p tcp -m tcp --dport 465 -j ACCEPT\n", ""),
            swap(V6, "-A INPUT -p tcp -m tcp --dport 465 -j ACCEPT\n", ""),
        ),
        "tls-port-closed",
    ),
    "ManageSieve is not opened": (
        "mail-nftables",
        (swap(DOVECOT, "protocols = imap", "protocols = imap sieve"),),
        "tls-port-closed",
    ),
    "opened in the running firewall alone": (
        "web-firewalld",
        (swap(ZONE, '  <service name="https"/>\n', ""),),
        "tls-port-closed",
    ),
    "opened in a zone without interface": (
        "web-firewalld",
        (
            swap(ZONE, '  <service name="https"/>\n', ""),
            write("etc/firewalld/zones/home.xml", '<zone>\n <service name="https"/>\n</zone>\n'),
        ),
        "firewalld-zone-inactive",
    ),
    "a second table drops": (
        "web-nftables",
        (
            {
                "in": NFT,
                "append": "table inet mine {\n chain input {\n"
                "  type filter hook input priority 10; policy drop;\n"
                "  ct state established,related accept\n  iif lo accept\n"
                "  meta l4proto { icmp, icmpv6 } accept\n  tcp dport 22 accept\n }\n}\n",
            },
        ),
        "verdict-conflict-between-tables",
    ),
    "IPv4 visitors and a listener with IPv6 alone": (
        "web-nftables",
        (
            swap(SITE, "    listen 443 ssl default_server;\n", ""),
            swap(SITE, "    listen 443 quic reuseport;\n", ""),
        ),
        "ipv6-only-listener",
    ),
    "a mail server on loopback": (
        "mail-nftables",
        (swap("etc/postfix/main.cf", "inet_interfaces = all", "inet_interfaces = loopback-only"),),
        "listener-loopback-only",
    ),
    "443 without ssl": (
        "web-nftables",
        (swap(SITE, "443 ssl", "443"), swap(SITE, LISTENS[-66:], "")),
        "tls-port-plaintext",
    ),
    "a certificate, an open 443, and no listener": (
        "web-nftables",
        (swap(SITE, LISTENS, "    listen 80;\n"),),
        "certificate-without-tls-listener",
    ),
    "a redirect to 443, which nothing serves": (
        "web-iptables",
        (
            swap("etc/nginx/nginx.conf", "listen 443 ssl;", "listen 127.0.0.1:4443;"),
            swap("etc/nginx/nginx.conf", "        listen [::]:443 ssl;\n", ""),
        ),
        "redirect-to-unserved-port",
    ),
    "465 is commented out": (
        "mail-nftables",
        (
            swap(
                MASTER, "submissions     inet  n       -       y       -       -       smtpd\n", ""
            ),
        ),
        "submission-disabled",
    ),
    "Dovecot without TLS": (
        "mail-nftables",
        (swap(DOVECOT, "ssl = required", "ssl = no"),),
        "dovecot-ssl-disabled",
    ),
}


@pytest.mark.parametrize("story", STORIES)
def test_a_dark_service_is_an_error(story: str) -> None:
    host, edits, rule = STORIES[story]
    assert (SOUND / host).is_dir()
    findings = check([target(host, edits)], engine.bundled()).findings
    errors = [finding.rule.name for finding in findings if finding.severity == "error"]
    assert rule in errors, [(f.rule.name, f.severity) for f in findings]
