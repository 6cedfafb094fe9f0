"""Shared helpers of the tests."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from sslint.tree import Tree

# Rulesets that are not part of the project; tests that want them are skipped where they are absent.
CORPORA = Path(os.environ.get("SSLINT_CORPORA") or Path(__file__).parents[2] / "shared/corpora")


# What makes a tree a host's whole /etc, so that what is not in it is missing on the host.
WHOLE = {
    f"/etc/{name}": ""
    for name in (
        *("passwd", "group", "shadow", "hosts", "fstab", "profile", "shells", "debian_version"),
        "systemd/system/multi-user.target.wants/cron.service",
    )
}


def tree_of(files: Mapping[str, str]) -> Tree:
    """Return a tree that holds just these files, by host path ("/etc/x" or "etc/x")."""
    return Tree(None, overlay={"/" + path.lstrip("/"): text for path, text in files.items()})
