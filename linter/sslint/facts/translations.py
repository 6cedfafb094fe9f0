"""Facts about the firewall's translations of addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sslint.engine import Span
from sslint.facts.fact import Loose
from sslint.netfilter.nothing import NoFirewall

if TYPE_CHECKING:
    from sslint.host import Host


def translations(host: Host) -> list[Loose]:
    """Return a fact for each port that a rule sends to a loopback address."""
    firewall = host.firewall
    if firewall is None or isinstance(firewall, NoFirewall):
        return []
    from sslint.netfilter.loopback import to_loopback

    return [
        Loose(
            entity=f"firewall {found.transport}/{found.port}",
            values={
                "transport": found.transport,
                "port": found.port,
                "to": f"{found.address}:{found.inner}",
                "inner_port": found.inner,
                "dropped": found.dropped,
            },
            span=Span(found.location, f"sends {found.transport}/{found.port} to {found.address}"),
            subjects=frozenset({(found.transport, found.port)}),
        )
        for found in to_loopback(firewall)
    ]
