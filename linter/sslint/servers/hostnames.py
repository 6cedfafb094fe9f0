"""What the files say of host names in `listen`, as nginx and Apache ask getaddrinfo(3) for them."""

from __future__ import annotations

from collections.abc import Callable

from sslint.network.hosts import Hosts
from sslint.tree import Tree

# The addresses of a name, and which of them are not sure; None for a name that is not known.
Resolver = Callable[[str], tuple[list[str], frozenset[str]] | None]


def resolver(tree: Tree) -> Resolver:
    """Return a function from a host name to its addresses and those that are not sure.

    AI_ADDRCONFIG asks for IPv4 alone where the host has no IPv6 beside loopback's.
    """
    names = Hosts(tree)

    def resolve(host: str) -> tuple[list[str], frozenset[str]] | None:
        both, alone = names.addresses(host), names.addresses(host, "4")
        if both is None or alone is None:
            return None
        found = list(dict.fromkeys((*both, *alone)))
        return found, frozenset(set(both) ^ set(alone))

    return resolve
