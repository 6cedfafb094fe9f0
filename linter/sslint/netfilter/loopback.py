"""Rules that send connections from the network to 127.0.0.0/8, and whether any arrive."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from sslint.netfilter import addresses, explain
from sslint.netfilter.evaluation import Evaluation
from sslint.netfilter.model import Intervals, Listing, Match, Nat, Rule, Values
from sslint.netfilter.verdicts import Reach, widest
from sslint.source import Location
from sslint.values import dataclass, replace

MAX_PORTS = 16  # that one rule may name and still be said to name them
_LOOPBACK = addresses.LOOPBACK[4]


@dataclass(frozen=True, slots=True)
class ToLoopback:
    """A rule that sends a port to a loopback address. `dropped`: the kernel drops what it sends."""

    transport: Literal["tcp", "udp"]
    port: int
    address: str
    inner: int
    location: Location
    dropped: bool


def to_loopback(firewall: Evaluation) -> Iterator[ToLoopback]:
    """Yield the rules that translate a port they name to 127.0.0.0/8."""
    for table in firewall.ruleset.tables:
        if table.family == "ip6" or table.dormant:
            continue
        for chain in table.chains.values():
            for rule in chain.parts:
                if isinstance(rule, Listing):
                    continue
                item = rule.items[-1] if rule.items else None
                address = _loopback(item.addresses) if isinstance(item, Nat) else None
                if address is not None and isinstance(item, Nat):
                    yield from _ports(firewall, rule, item, addresses.show(4, address))


def reach(
    firewall: Evaluation, transport: Literal["tcp", "udp"], port: int, address: str
) -> Reach | None:
    """Return who reaches a listener on 127.0.0.0/8; None if no rule leads there.

    It works with route_localnet alone: without it the kernel drops what a rule sends.
    """
    if not addresses.contains(_LOOPBACK, addresses.parse(address)[1]):
        return None
    ways = [
        one.port
        for one in to_loopback(firewall)
        if (one.transport, one.inner, one.address) == (transport, port, address) and not one.dropped
    ]
    found = [(explain.reach(firewall, transport, way, 4, outer=True), way) for way in ways]
    best = widest(one for one, _ in found)
    if best is None:
        return None
    outer = tuple(sorted({way for one, way in found if one.verdict != "closed"}))
    return replace(best, reached_as=outer)


def _loopback(values: Values | None) -> int | None:
    if not isinstance(values, Intervals) or len(values.items) != 1:
        return None
    low, high = values.items[0]
    inside = addresses.contains(_LOOPBACK, low) and addresses.contains(_LOOPBACK, high)
    return low if inside else None


def _ports(firewall: Evaluation, rule: Rule, item: Nat, address: str) -> Iterator[ToLoopback]:
    protocols = {6, 17}
    ports: list[int] = []
    for match in rule.items:
        if not isinstance(match, Match) or match.negate or not isinstance(match.values, Intervals):
            continue
        name = match.keys[0].name
        numbers = [
            n
            for low, high in match.values.items
            for n in range(low, min(high, low + MAX_PORTS) + 1)
        ]
        if name == "meta.l4proto":
            protocols &= set(numbers)
        elif name.endswith(".dport"):
            protocols &= {"tcp": {6}, "udp": {17}}.get(name.partition(".")[0], protocols)
            ports = numbers
    for port in ports if len(ports) <= MAX_PORTS else ():
        for protocol in sorted(protocols):
            transport: Literal["tcp", "udp"] = "tcp" if protocol == 6 else "udp"
            reach = explain.reach(firewall, transport, port, 4, outer=True)
            dropped = any(d.rule is rule and d.effect == "drop" for d in reach.blocked_by)
            inner = item.ports[0] if item.ports else port
            yield ToLoopback(transport, port, address, inner, rule.location, dropped)
