"""Addresses as Dovecot resolves them: literals, wildcards, and names that /etc/hosts has."""

from __future__ import annotations

import socket

from sslint.tree import Tree

_WILDCARDS = {"*": "0.0.0.0", "::": "::", "[::]": "::"}  # noqa: S104


class Resolver:
    """Resolve the addresses of listeners without asking any resolver."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self._hosts: dict[str, list[str]] | None = None

    def resolve(self, text: str) -> list[str] | None:
        """Return the addresses a listener binds for one that stands in `listen`, else None."""
        if text in _WILDCARDS:
            return [_WILDCARDS[text]]
        literal = _literal(text)
        if literal is not None:
            return [literal]
        if self._hosts is None:
            self._hosts = _hosts(self.tree)
        return self._hosts.get(text.lower())


def _literal(text: str) -> str | None:
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            return socket.inet_ntop(family, socket.inet_pton(family, text))
        except (OSError, ValueError):
            continue
    return None


def _hosts(tree: Tree) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    file = tree.try_read("/etc/hosts", decisive=False)
    for line in file.text.split("\n") if file is not None else ():
        words = line.partition("#")[0].split()
        address = _literal(words[0]) if words else None
        for name in words[1:] if address is not None else ():
            addresses = found.setdefault(name.lower(), [])
            if address is not None and address not in addresses:
                addresses.append(address)
    return found
