"""Addresses as Dovecot resolves them: literals, wildcards, and names that /etc/hosts has."""

from __future__ import annotations

from sslint.network import hosts
from sslint.tree import Tree

_WILDCARDS = {"*": "0.0.0.0", "::": "::", "[::]": "::"}  # noqa: S104


class Resolver:
    """Resolve the addresses of listeners without asking any resolver."""

    def __init__(self, tree: Tree) -> None:
        self._hosts = hosts.Hosts(tree)

    def resolve(self, text: str) -> list[str] | None:
        """Return the addresses a listener binds for one that stands in `listen`, else None."""
        literal = _WILDCARDS.get(text) or hosts.literal(text)
        return [literal] if literal is not None else self._hosts.addresses(text)
