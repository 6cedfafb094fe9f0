"""Hosts for the reports: one whose files are hostile, one with every kind of quiet finding."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.cases import EXAMPLES

CLOSED = EXAMPLES / "web-443-closed"
NAME = "'\"><script>alert(1)&|`a`[x](http:evil)@team #1 %0A::error::x,y ]]>"
TEXT = (
    "</script><img src=x onerror=alert(1)> ::error::owned ##[error]owned ]]> <!-- `` ``` "
    "@team [x](http://evil.example) http://evil.example www.evil.example {{7*7}} \x1b[31m \u202e"
)


def closed(path: Path) -> Path:
    """Copy the example whose port is closed to a directory of a repository; return it."""
    path.mkdir(parents=True, exist_ok=True)
    (path / ".git").mkdir()
    shutil.copytree(CLOSED / "etc", path / "web/etc")
    return path / "web"


def hostile(path: Path) -> Path:
    """Make a host whose names and lines try to be more than text; return its directory."""
    (path / ".git").mkdir(parents=True)
    root = path / NAME
    shutil.copytree(CLOSED / "etc", root / "etc")
    sites = root / "etc/nginx/sites-enabled"
    site = (sites / "shop").read_text().replace("443 ssl;", f"443 ssl; # {TEXT}")
    (sites / "shop").unlink()
    (sites / NAME).write_text(site)
    rules = root / "etc/nftables.conf"
    rules.write_text(rules.read_text().replace("policy drop;", f"policy drop; # {TEXT}"))
    return root
