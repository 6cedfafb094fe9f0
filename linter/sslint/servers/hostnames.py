"""What the files say of host names: /etc/hosts, as getaddrinfo(3) reads it."""

from __future__ import annotations

from collections.abc import Callable

from sslint.tree import Tree

# The addresses of a name, and which of them are not sure; None for a name that is not known.
Resolver = Callable[[str], tuple[list[str], frozenset[str]] | None]

_LOCALHOST = ["127.0.0.1", "::1"]


def resolver(tree: Tree) -> Resolver:
    """Return a function from a host name to its addresses and those that are not sure.

    IPv6 addresses are not sure: AI_ADDRCONFIG leaves them out where the host has no IPv6.
    """
    table: dict[str, list[str]] | None = None

    def resolve(host: str) -> tuple[list[str], frozenset[str]] | None:
        nonlocal table
        if table is None:
            table = _hosts(tree)
        found = table.get(host.lower().rstrip("."))
        if found is None and host.lower() == "localhost":
            found = _LOCALHOST
        if found is None:
            return None
        return found, frozenset(address for address in found if ":" in address)

    return resolve


def _hosts(tree: Tree) -> dict[str, list[str]]:
    import socket

    file = tree.try_read("/etc/hosts", decisive=False)
    table: dict[str, list[str]] = {}
    for line in file.text.split("\n") if file is not None else ():
        words = line.split("#", 1)[0].split()
        if len(words) < 2:
            continue
        family = socket.AF_INET6 if ":" in words[0] else socket.AF_INET
        try:
            address = socket.inet_ntop(family, socket.inet_pton(family, words[0]))
        except (OSError, ValueError):
            continue
        for name in words[1:]:
            known = table.setdefault(name.lower(), [])
            if address not in known:
                known.append(address)
    return table
