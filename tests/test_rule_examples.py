"""The examples on the pages of rules do what the pages say, where they are whole statements.

A `bad` one in the frame of its file makes the rule fire, and a `good` one in its place does not.
"""

from __future__ import annotations

import pytest

from sslint.checker import check
from sslint.engine import Finding
from sslint.targets import Target
from sslint.tree import Tree
from tests import pki
from tests.test_rules import RULES

NGINX = """events {}
http {
    server {
        server_name www.example.org;
        ssl_certificate /etc/ssl/www.pem;
        ssl_certificate_key /etc/ssl/www.key;
EXAMPLE
    }
}
"""
LISTENS = NGINX.replace("EXAMPLE", "listen 443 ssl; listen 8443 ssl;")
IPTABLES = "*filter\n:INPUT DROP [0:0]\n:OUTPUT ACCEPT [0:0]\nEXAMPLECOMMIT\n"
NFT = "table ip nat { chain prerouting { type nat hook prerouting priority -100;\nEXAMPLE}\n}\n"
MAIN = "compatibility_level = 3.6\nEXAMPLE"
SMTP = "smtp inet n - y - - smtpd\n"

# The files of each example, with the place where it stands.
HOSTS = {
    "alt-svc-missing-or-shadowed": {"etc/nginx/nginx.conf": NGINX},
    "alt-svc-port-mismatch": {
        "etc/nginx/nginx.conf": NGINX.replace("EXAMPLE", "listen 443 quic;\nEXAMPLE")
    },
    "http3-without-quic-listener": {"etc/nginx/nginx.conf": NGINX},
    "listen-bind-conflict": {"etc/nginx/nginx.conf": NGINX},
    "nginx-listen-http2": {"etc/nginx/nginx.conf": NGINX},
    "nginx-removed-directive": {"etc/nginx/nginx.conf": NGINX},
    "tls-flag-differs-by-family": {"etc/nginx/nginx.conf": NGINX},
    "tls-legacy-protocol": {
        "etc/nginx/nginx.conf": NGINX.replace("EXAMPLE", "listen 443 ssl;\nEXAMPLE")
    },
    "tls-port-plaintext": {"etc/nginx/nginx.conf": NGINX.replace("ssl_certificate /e", "# /e")},
    "shadowed-accept": {"etc/nginx/nginx.conf": LISTENS, "etc/iptables/rules.v4": IPTABLES},
    "verdict-conflict-between-tables": {
        "etc/nginx/nginx.conf": LISTENS,
        "etc/nftables.conf": "EXAMPLE",
    },
    "mistyped-private-network": {
        "etc/nginx/nginx.conf": LISTENS,
        "etc/iptables/rules.v4": IPTABLES,
    },
    "dnat-to-loopback": {"etc/nginx/nginx.conf": LISTENS, "etc/nftables.conf": NFT},
    "postfix-obsolete-tls-parameter": {"etc/postfix/main.cf": MAIN, "etc/postfix/master.cf": SMTP},
    "relayhost-smtps-without-wrappermode": {
        "etc/postfix/main.cf": MAIN,
        "etc/postfix/master.cf": SMTP,
    },
    "postfix-service-name": {
        "etc/postfix/main.cf": MAIN.replace("EXAMPLE", ""),
        "etc/postfix/master.cf": "EXAMPLE",
    },
    "starttls-port-wrapped": {
        "etc/postfix/main.cf": MAIN.replace("EXAMPLE", ""),
        "etc/postfix/master.cf": "EXAMPLE",
    },
    "submission-tls-not-enforced": {
        "etc/postfix/main.cf": MAIN.replace("EXAMPLE", ""),
        "etc/postfix/master.cf": "EXAMPLE",
    },
    "master-cf-orphan-options": {
        "etc/postfix/main.cf": MAIN.replace("EXAMPLE", ""),
        "etc/postfix/master.cf": "EXAMPLE",
    },
    "dovecot-24-legacy-setting": {"etc/dovecot/dovecot.conf": "EXAMPLE"},
    "dovecot-file-prefix": {"etc/dovecot/dovecot.conf": "dovecot_config_version = 2.4.1\nEXAMPLE"},
}


def found(rule: str, example: str) -> set[str]:
    files = {f"/{path}": text.replace("EXAMPLE", example) for path, text in HOSTS[rule].items()}
    for name in ("www", "shop"):
        files[f"/etc/ssl/{name}.pem"], files[f"/etc/ssl/{name}.key"] = pki.files(
            {"names": ["www.example.org"]}
        )
    versions = {"nginx": "1.26.0"}
    target = Target("host", Tree(None, overlay=files), now=pki.NOW, versions=versions)
    result = check([target], list(RULES.values()))

    def names(finding: Finding) -> set[str]:
        return {finding.rule.name}.union(*map(names, finding.also_affects))

    return set().union(*map(names, result.findings))


@pytest.mark.parametrize("name", sorted(HOSTS))
def test_the_bad_example_is_found_and_the_good_one_is_not(name: str) -> None:
    document = RULES[name].document
    assert name in found(name, document["bad"])
    assert name not in found(name, document["good"])
