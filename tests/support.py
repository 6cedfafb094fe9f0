"""Shared helpers of the tests."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from sslint.tree import Tree

# Rulesets that are not part of the project; tests that want them are skipped where they are absent.
CORPORA = Path(os.environ.get("SSLINT_CORPORA") or Path(__file__).parents[2] / "shared/corpora")


def tree_of(files: Mapping[str, str]) -> Tree:
    """Return a tree that holds just these files, by host path ("/etc/x" or "etc/x")."""
    return Tree(None, overlay={"/" + path.lstrip("/"): text for path, text in files.items()})
