"""Saved rulesets that lie where people keep them, and that nothing in the tree loads.

A repository seldom has the line that loads its ruleset. Where it has one ruleset of a kind and no
other firewall at all, that one is taken to be the host's; of several none is.
"""

from __future__ import annotations

from collections.abc import Iterator

from sslint.firewalls import commands
from sslint.firewalls.formats import detect
from sslint.firewalls.marks import ASIDE, DUMP, TABLE
from sslint.source import SourceFile
from sslint.tree import Status, Tree

_PLACES = (
    "/etc/iptables*",
    "/etc/ip6tables*",
    "/etc/iptables/*",
    "/etc/iptables.d/*",
    "/etc/network/ip*tables*",
    "/etc/network/*.rules",
    "/etc/firewall*",
    "/etc/firewall/*",
    "/etc/nftables.d/*",
    "/etc/nftables/*",
    "/etc/*.nft",
)


def find(tree: Tree) -> dict[str, list[SourceFile]]:
    """Return the rulesets that are kept in /etc, by kind."""
    found: dict[str, list[SourceFile]] = {}
    for file in _files(tree):
        if DUMP.search(file.text) or TABLE.search(file.text):
            kind = detect(file)
            if kind in ("iptables", "ip6tables", "nft") and not commands.is_empty(file):
                found.setdefault(kind, []).append(file)
    return found


def _files(tree: Tree) -> Iterator[SourceFile]:
    paths = dict.fromkeys(path for pattern in _PLACES for path in tree.glob(pattern))
    for path in paths:
        if not ASIDE.search(path.rpartition("/")[2]) and tree.status(path) is Status.FILE:
            file = tree.try_read(path, decisive=False)
            if file is not None:
                yield file
