"""The hosts: sound ones with what they need to run, and the cases of the rules on them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from sslint import engine
from sslint.checker import check
from sslint.tree import Tree
from tests import cases
from tests.live.hosts.lab import HOST
from tests.live.hosts.trees import MASTER_CF

Edits = tuple[dict[str, Any], ...]
RULES = {rule.name: rule for rule in engine.bundled()}
CASES = {(case.rule, case.name): case for case in cases.load_cases() if case.fires}

MAIL_NAMES = ["mail.example.org", "autoconfig.example.org", "mta-sts.example.org"]
LOGINS = """
service auth {
  unix_listener /var/spool/postfix/private/auth {
    mode = 0666
  }
}
passdb static {
  password = secret
}
userdb static {
  fields {
    uid = nobody
    gid = nogroup
    home = /tmp
  }
}
"""
# There is no DNS, and what Postfix complains of must be seen.
ALONE = "smtpd_peername_lookup = no\nmaillog_file = /dev/stdout\n"


def certificate(lineage: str, *names: str, **kind: Any) -> dict[str, Any]:
    """Return the edit that puts a certificate and its key where certbot puts them."""
    live = f"etc/letsencrypt/live/{lineage}"
    spec = {"names": list(names), **kind}
    return {
        "certificate": spec, "chain": f"{live}/fullchain.pem", "key": f"{live}/privkey.pem"
    }  # fmt: skip


def _services() -> str:
    """Return the services that Postfix needs and that master.cf leaves out."""
    text = (cases.SOUND / "mail-announced/etc/postfix/master.cf").read_text()
    present = {tuple(line.split()[:2]) for line in text.splitlines()}
    lines = MASTER_CF.splitlines(keepends=True)
    return "".join(line for line in lines if tuple(line.split()[:2]) not in present)


RUNNABLE: dict[str, Edits] = {
    "web-nftables": (certificate("www.example.org", "www.example.org", "example.org"),),
    "web-iptables": (certificate("shop.example.org", "shop.example.org", "admin.example.org"),),
    "web-ufw": (certificate("shop.example.org", "shop.example.org"),),
    "web-certbot": (
        certificate("www.example.org", "www.example.org"),
        {"write": "var/www/acme/robots.txt", "text": ""},
        {"write": "var/www/html/index.html", "text": "shop"},
    ),
    "mail-announced": (
        certificate("mail.example.org", *MAIL_NAMES),
        {"in": "etc/postfix/main.cf", "append": ALONE},
        {"in": "etc/postfix/master.cf", "append": _services()},
        {"in": "etc/dovecot/dovecot.conf", "append": LOGINS},
        {"in": "etc/bind/db.example.org", "replace": "203.0.113.25", "by": HOST[4]},
        {"in": "etc/bind/db.example.org", "replace": "2001:db8::25", "by": HOST[6]},
    ),
}


def edits(rule: str, case: str) -> Edits:
    """Return the edits of a rule's case."""
    return CASES[rule, case].edits


def sound(host: str, directory: Path) -> Path:
    """Write a sound host and return its directory."""
    return _write(cases.target(host, RUNNABLE[host]).tree, directory)


def changed(rule: str, host: str, changes: Edits, fires: bool, directory: Path) -> Path:
    """Write a host with changes under which a rule fires, or not; on the sound one it does not."""
    before = cases.target(host, RUNNABLE[host])
    after = cases.target(host, RUNNABLE[host] + changes)
    assert not check([before], [RULES[rule]]).findings
    assert bool(check([after], [RULES[rule]]).findings) is fires, f"{rule}: {changes}"
    return _write(after.tree, directory)


def _write(tree: Tree, directory: Path) -> Path:
    assert tree.root is not None
    shutil.copytree(tree.root, directory)
    for name, text in tree.overlay.items():
        path = directory / name.lstrip("/")
        if text is None:
            path.unlink()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return directory
