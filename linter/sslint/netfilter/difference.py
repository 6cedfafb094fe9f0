"""What two rulesets treat differently: who gets through to a port under one and not the other.

Both are asked about every port that one of them tells apart, over the same atoms of sources, so
that what is the same for all is found by comparing two numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from sslint.budgets import ExhaustedError
from sslint.netfilter import addresses, interfaces
from sslint.netfilter.addresses import Sources
from sslint.netfilter.connections import Sets
from sslint.netfilter.model import HostNetwork, Interval, Ruleset
from sslint.netfilter.reach import Firewall
from sslint.netfilter.trace import Packet
from sslint.netfilter.verdicts import Decision
from sslint.values import dataclass, replace

LAST_PORT = 65535
MAX_PORTS = 4_096  # classes of ports that are asked about
ANY_ADDRESS = {4: "198.51.100.1", 6: "2001:db8::1"}  # of this host, where none is known
TRANSPORTS: tuple[Literal["tcp", "udp"], ...] = ("tcp", "udp")
FAMILIES: tuple[Literal[4, 6], ...] = (4, 6)


@dataclass(frozen=True, slots=True)
class Exposure:
    """Who reaches a range of ports: sets of atoms, as both firewalls have them."""

    open: int
    possible: int


@dataclass(frozen=True, slots=True)
class Difference:
    """A range of ports that some sources reach under one ruleset and not under the other.

    `opens` and `closes` are the sources for which that is certain; `doubts` those of which
    something was known and is not, `settles` those of which it was not and is.
    """

    transport: Literal["tcp", "udp"]
    family: Literal[4, 6]
    first: int
    last: int
    interfaces: tuple[str, ...]  # () means all that clients may come in by
    opens: Sources
    closes: Sources
    doubts: Sources
    settles: Sources
    old: Decision | None = None
    new: Decision | None = None


def pair(
    old: Ruleset,
    new: Ruleset,
    old_network: HostNetwork | None = None,
    new_network: HostNetwork | None = None,
) -> tuple[Firewall, Firewall]:
    """Return two firewalls whose sets of sources can be compared."""
    one, two = Firewall(old, old_network), Firewall(new, new_network)
    return Firewall(old, old_network, _told_apart(two)), Firewall(
        new, new_network, _told_apart(one)
    )


def _told_apart(firewall: Firewall) -> dict[int, list[Interval]]:
    """Return the networks by family that a firewall tells apart."""
    network = firewall.network
    return {
        family: [
            *firewall.survey.endpoints[family],
            *((address, address) for address in network.own(family)),
            *interfaces.links(network, family),
        ]
        for family in FAMILIES
    }


def differences(
    old: Firewall, new: Firewall, families: Sequence[Literal[4, 6]] = FAMILIES
) -> Iterator[Difference]:
    """Yield what differs between the firewalls of a `pair`, by transport, family and port.

    Raise ExhaustedError where they tell too many ports apart.
    """
    for transport in TRANSPORTS:
        for family in families:
            pending: list[Difference] = []
            for first, last in _port_classes(old, new):
                found = list(_at(old, new, transport, family, first, last))
                if pending and [_what(one) for one in found] == [_what(one) for one in pending]:
                    pending = [_longer(one, last) for one in pending]
                else:
                    yield from pending
                    pending = found
            yield from pending


def _what(one: Difference) -> tuple[object, ...]:
    sets = (one.opens.mask, one.closes.mask, one.doubts.mask, one.settles.mask)
    places = [by and (by.location, by.text) for by in (one.old, one.new)]
    return (*sets, *places, one.interfaces)


def _longer(one: Difference, last: int) -> Difference:
    return replace(one, last=last)


def _port_classes(old: Firewall, new: Firewall) -> list[tuple[int, int]]:
    """Return the ranges of ports that neither firewall tells apart."""
    starts = {1}
    for firewall in (old, new):
        for ports in firewall.survey.destination_ports.values():
            starts |= ports
        for port in firewall.survey.nat_ports:
            starts |= {port, port + 1}
        for doubt in firewall.ruleset.unknown_ports:
            for port in doubt.ports:
                starts |= {port, port + 1}
    ordered = sorted(port for port in starts if 1 <= port <= LAST_PORT)
    if len(ordered) > MAX_PORTS:
        raise ExhaustedError(f"the rules tell more than {MAX_PORTS:,} ranges of ports apart")
    ends = [*(start - 1 for start in ordered[1:]), LAST_PORT]
    return list(zip(ordered, ends, strict=True))


def _at(
    old: Firewall,
    new: Firewall,
    transport: Literal["tcp", "udp"],
    family: Literal[4, 6],
    first: int,
    last: int,
) -> Iterator[Difference]:
    """Yield the differences at a class of ports, one for each group of interfaces."""
    names = sorted({*old.public, *new.public, *old.others, *new.others})
    groups: dict[tuple[Exposure, Exposure], list[str]] = {}
    for name in names:
        before = _exposure(old, transport, family, first, _known_as(old, name))
        after = _exposure(new, transport, family, first, _known_as(new, name))
        if before != after:
            groups.setdefault((before, after), []).append(name)
    universe = new.universes[family]
    relevant = universe.full & ~universe.never
    for (before, after), some in groups.items():
        shut_before, shut_after = ~before.possible, ~after.possible
        known_before, known_after = before.open | shut_before, after.open | shut_after
        opens = shut_before & after.open & relevant
        closes = before.open & shut_after & relevant
        doubts = known_before & ~known_after & relevant
        settles = ~known_before & known_after & relevant
        changed = opens | closes or doubts | settles  # the same for either direction
        if changed:
            yield Difference(
                transport=transport,
                family=family,
                first=first,
                last=last,
                interfaces=() if len(some) == len(names) else tuple(some),
                opens=Sources(universe, opens),
                closes=Sources(universe, closes),
                doubts=Sources(universe, doubts),
                settles=Sources(universe, settles),
                old=_deciding(old, transport, family, first, _known_as(old, some[0]), changed),
                new=_deciding(new, transport, family, first, _known_as(new, some[0]), changed),
            )


def _known_as(firewall: Firewall, iif: str) -> str:
    """Return the name of an interface, or that of those that a firewall does not name."""
    return iif if iif in (*firewall.public, *firewall.others) else interfaces.OTHER


def _exposure(
    firewall: Firewall, transport: Literal["tcp", "udp"], family: Literal[4, 6], port: int, iif: str
) -> Exposure:
    if firewall.network.ipv6 is False and family == 6:
        return Exposure(0, 0)
    early = firewall.not_judged(family, None) or firewall.doubted(transport, port, family)
    if early is not None:
        return Exposure(0, firewall.universes[family].full)
    question = firewall.connections.question(transport, port, family, None, True)
    sets: Sets = firewall.connections.sets(question, iif).sets
    gated, _ = firewall.gate(sets, family)
    return Exposure(gated.open, gated.possible)


def _deciding(
    firewall: Firewall,
    transport: Literal["tcp", "udp"],
    family: Literal[4, 6],
    port: int,
    iif: str,
    mask: int,
) -> Decision | None:
    """Return what decides for one of the sources."""
    universe = firewall.universes[family]
    public = mask & universe.public
    ((source, _), *_rest) = universe.intervals(public or mask, 1)
    own = firewall.connections.question(transport, port, family, None, True).destinations[0]
    destination = addresses.show(family, own) if own >= 0 else ANY_ADDRESS[family]
    packet = Packet(transport, addresses.show(family, source), destination, 50000, port, iif)
    return firewall.judge(packet).by
