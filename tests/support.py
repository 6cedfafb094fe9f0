"""Shared helpers of the tests."""

from __future__ import annotations

from collections.abc import Mapping

from sslint.tree import Tree


def tree_of(files: Mapping[str, str]) -> Tree:
    """Return a tree that holds just these files, by host path ("/etc/x" or "etc/x")."""
    return Tree(None, overlay={"/" + path.lstrip("/"): text for path, text in files.items()})
