"""The load balancers and content networks that a server trusts to tell the client's address."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

from sslint.netfilter import addresses
from sslint.servers import servers

if TYPE_CHECKING:
    from sslint.host import Host

MAX_NETWORKS = 10_000


@cache
def statements() -> frozenset[str]:
    """Return the statements that name those whose header is believed."""
    return frozenset(name for server in servers() for name in server.trusting)


def only_proxies(host: Host, networks: Iterable[str]) -> bool:
    """Tell whether all public networks that reach a port are of proxies that a server trusts.

    The port is then closed to everyone else on purpose: clients come through the proxy.
    """
    if host.proxies is None:
        host.proxies = _trusted(host)
    trusted = host.proxies
    return bool(trusted) and all(
        any(family == f and a <= low and high <= b for f, (a, b) in trusted)
        for family, (low, high) in map(addresses.network, networks)
        if any(a <= high and low <= b for a, b in addresses.PUBLIC[family])
    )


def _trusted(host: Host) -> list[tuple[int, tuple[int, int]]]:
    """Return the networks that are trusted, neighbours joined as the firewall's answer has them."""
    found: dict[int, list[tuple[int, int]]] = {4: [], 6: []}
    for reading in host.readings:
        for setting in reading.settings:
            for word in (setting.value or "").split() if setting.name in statements() else ():
                try:
                    family, interval = addresses.network(word)
                except ValueError:  # a name, a socket, a variable
                    continue
                found[family].append(interval)
    return [
        (family, interval)
        for family, intervals in found.items()
        for interval in addresses.merge(sorted(intervals)[:MAX_NETWORKS])
    ]
