"""What two rulesets treat differently: who gets through to a port under one and not the other.

Both are asked about every port that one of them tells apart, over the same atoms of sources, so
that what is the same for all is found by comparing two numbers. Where the answer depends on which
of the host's addresses clients use, or from which port they come, it is asked for each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from sslint.budgets import ExhaustedError
from sslint.netfilter import addresses, interfaces
from sslint.netfilter.addresses import Sources, Universe
from sslint.netfilter.connections import MAX_SOURCE_PORT_CLASSES, Question, Sets
from sslint.netfilter.model import HostNetwork, Interval, Ruleset, Set
from sslint.netfilter.packet import CLIENT_PORTS, FIRST, RATED
from sslint.netfilter.reach import Firewall
from sslint.netfilter.trace import Packet
from sslint.netfilter.verdicts import Decision
from sslint.values import dataclass, replace

LAST_PORT = 65535
MAX_PORTS = 4_096  # classes of ports that are asked about
MAX_DESTINATIONS = 16  # addresses of rules that are asked about where the host's are not known
ANY_ADDRESS = {4: "198.51.100.1", 6: "2001:db8::1"}  # of this host, where none is known
MAX_NAMED = 1_024  # networks that rules name as destinations
OTHERS = "other addresses"
TRANSPORTS: tuple[Literal["tcp", "udp"], ...] = ("tcp", "udp")
FAMILIES: tuple[Literal[4, 6], ...] = (4, 6)
# Addresses that a host may have, of which no rule is likely to speak.
_ELSEWHERE = {
    4: ("198.51.100.1", "192.0.2.1", "203.0.113.1", "8.8.8.8", "100.100.100.100"),
    6: ("2001:db8::1", "2620:fe::fe", "2001:4860:4860::8888", "fd00::1"),
}


@dataclass(frozen=True, slots=True)
class Exposure:
    """Who reaches a range of ports: sets of atoms, as both firewalls have them.

    `limited` are those of the open that a rate may keep out for a while.
    """

    open: int
    possible: int
    limited: int = 0

    @property
    def known(self) -> int:
        """The sources of which it is certain whether they get in."""
        return self.open | ~self.possible


@dataclass(frozen=True, slots=True)
class Difference:
    """A range of ports that some sources reach under one ruleset and not under the other.

    `opens` and `closes` are the sources for which that is certain; `doubts` those of which
    something was known and is not, `settles` those of which it was not and is; of `unclear`
    neither ruleset says anything certain, and they are not the same. `limits` get in before and
    after, but only now at a limited rate, `frees` the other way round.
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
    unclear: Sources
    limits: Sources
    frees: Sources
    shut: Sources  # of the doubts and what settles: who does not get in where that is certain
    destinations: tuple[str, ...] = ()  # of the host's addresses; () means all
    source_ports: tuple[int, int] = CLIENT_PORTS
    old: Decision | None = None
    new: Decision | None = None

    @property
    def sets(self) -> tuple[Sources, ...]:
        """All sets of sources that differ, in the order of the fields."""
        some = (self.opens, self.closes, self.doubts, self.settles)
        return (*some, self.unclear, self.limits, self.frees)

    @property
    def may_open(self) -> bool:
        """Whether some that did not get in may do so now."""
        return bool(self.doubts.mask & self.shut.mask)


@dataclass(frozen=True, slots=True)
class _Masks:
    """The sets of a difference as numbers."""

    opens: int = 0
    closes: int = 0
    doubts: int = 0
    settles: int = 0
    unclear: int = 0
    limits: int = 0
    frees: int = 0
    shut: int = 0

    @property
    def changed(self) -> int:
        """Sources for which something differs, the same ones whichever side is the new one."""
        certain = self.opens | self.closes
        return certain or self.doubts | self.settles or self.limits | self.frees or self.unclear

    def within(self, mask: int) -> _Masks:
        """Return the parts of the sets that lie within a mask."""
        return _Masks(*(one & mask for one in _values(self)))

    def joined(self, other: _Masks) -> _Masks:
        """Return the sets together with those of another."""
        return _Masks(*(a | b for a, b in zip(_values(self), _values(other), strict=True)))


def _values(masks: _Masks) -> tuple[int, ...]:
    some = (masks.opens, masks.closes, masks.doubts, masks.settles)
    return (*some, masks.unclear, masks.limits, masks.frees, masks.shut)


@dataclass(frozen=True, slots=True)
class _Asked:
    """Packets that are asked about together, from any client port or one."""

    transport: Literal["tcp", "udp"]
    family: Literal[4, 6]
    port: int
    destination: str = ""  # any that is known
    sport: int | None = None


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
    if old.network == new.network and _content(old.ruleset) == _content(new.ruleset):
        return
    for transport in TRANSPORTS:
        for family in families:
            pending: list[Difference] = []
            destinations = _destinations(old, new, family)
            for first, last in _port_classes(old, new):
                found = [
                    replace(one, last=last)
                    for one in _at(old, new, _Asked(transport, family, first), destinations)
                ]
                if pending and [_what(one) for one in found] == [_what(one) for one in pending]:
                    pending = [replace(one, last=last) for one in pending]
                else:
                    yield from pending
                    pending = found
            yield from pending


def _what(one: Difference) -> tuple[object, ...]:
    places = [by and (by.location, by.text) for by in (one.old, one.new)]
    where = (one.interfaces, one.destinations, one.source_ports, one.shut.mask)
    return (*(sources.mask for sources in one.sets), *places, *where)


def _content(ruleset: Ruleset) -> tuple[object, ...]:
    """Return what a ruleset says, wherever it is written."""
    return (
        [
            (
                table.family, table.name, table.dormant, table.origin, _sets(table.sets),
                [
                    (
                        chain.name, chain.order,
                        chain.base and replace(chain.base, policy_location=None),
                        [rule.items for rule in chain.rules],
                    )
                    for chain in table.chains.values()
                ],
            )
            for table in ruleset.tables
        ],
        _sets(ruleset.ipsets),
        [replace(one, location=None) for one in ruleset.missing],
        [replace(one, location=None) for one in ruleset.unknown_ports],
        ruleset.families,
        [_content(one) for one in ruleset.alternatives],
    )  # fmt: skip


def _sets(named: dict[str, Set]) -> list[Set]:
    return [replace(one, location=None) for one in named.values()]


# -- packets that are asked about apart ---------------------------------------------------------


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


def _destinations(
    old: Firewall, new: Firewall, family: Literal[4, 6]
) -> list[tuple[str, tuple[str, ...]]]:
    """Return an address of the host for each class that the rules tell apart, and what is in it.

    It is "" where all are alike, or where the host has other addresses than before: then each side
    is asked about its own. Where no address is known, those that rules name are asked about.
    """
    own = [firewall.connections.clients_use(family) for firewall in (old, new)]
    named = [*old.survey.destinations[family], *new.survey.destinations[family]]
    if own[0] != own[1] or len(named) > MAX_NAMED:
        return [("", ())]
    known = own[0] or _assumed(family, named)
    kinds: dict[tuple[int, ...], list[str]] = {}
    for address in known:
        kind = tuple(n for n, (low, high) in enumerate(named) if low <= address <= high)
        kinds.setdefault(kind, []).append(addresses.show(family, address))
    if len(kinds) < 2 or len(kinds) > MAX_DESTINATIONS:
        return [("", ())]
    return [
        (alike[0], tuple(alike) if kind or own[0] else (OTHERS,)) for kind, alike in kinds.items()
    ]


def _assumed(family: Literal[4, 6], named: Sequence[Interval]) -> list[int]:
    """Return an address of each network that rules name as destination, and one of no such."""
    groups = (addresses.MULTICAST, addresses.LOOPBACK, addresses.LINK_LOCAL)
    refused = [
        *addresses.NEVER_A_SOURCE[family],
        *(one for group in groups for one in group[family]),
    ]
    points = sorted({point for low, high in named for point in (low, high + 1)})
    others = (addresses.parse(text)[1] for text in _ELSEWHERE[family])
    inside = [point for point in points if addresses.contains(named, point)]
    outside = [address for address in others if not addresses.contains(named, address)]
    return [one for one in (*inside, *outside[:1]) if not addresses.contains(refused, one)]


def _source_ports(old: Firewall, new: Firewall) -> list[tuple[int, int]]:
    """Return the ranges of client ports that neither firewall tells apart."""
    starts = {CLIENT_PORTS[0]}
    for firewall in (old, new):
        if firewall.survey.port_sums:
            return [CLIENT_PORTS]
        starts.update(firewall.connections.source_ports())
    ordered = sorted(starts)
    if len(ordered) > MAX_SOURCE_PORT_CLASSES:
        return [CLIENT_PORTS]
    return list(zip(ordered, [*(start - 1 for start in ordered[1:]), LAST_PORT], strict=True))


# -- one class of packets -----------------------------------------------------------------------


def _at(
    old: Firewall,
    new: Firewall,
    asked: _Asked,
    destinations: Sequence[tuple[str, tuple[str, ...]]],
) -> Iterator[Difference]:
    """Yield the differences at a class of ports: what is alike at several places is told once."""
    names = sorted({*old.public, *new.public, *old.others, *new.others})
    groups: dict[tuple[Exposure, Exposure], dict[int, list[str]]] = {}
    universe = new.universes[asked.family]
    relevant = universe.full & ~universe.never
    for number, (destination, _) in enumerate(destinations):
        one = replace(asked, destination=destination)
        for name in names:
            before = _exposure(old, one, _known_as(old, name))
            after = _exposure(new, one, _known_as(new, name))
            if before != after or relevant & ~before.known:
                by_place = groups.setdefault((before, after), {})
                by_place.setdefault(number, []).append(name)
    for (before, after), by_place in groups.items():
        alike: dict[tuple[str, ...], list[int]] = {}
        for number, some in by_place.items():
            alike.setdefault(tuple(some), []).append(number)
        for by, numbers in alike.items():
            where = () if len(by) == len(names) else by
            at = tuple(text for number in numbers for text in destinations[number][1])
            one = replace(asked, destination=destinations[numbers[0]][0])
            for masks, sports in _by_source_port(old, new, one, by[0], before, after):
                yield _difference(
                    old, new, replace(one, sport=sports[0]), by[0], masks.within(relevant),
                    interfaces=where, source_ports=sports,
                    destinations=() if len(numbers) == len(destinations) else at,
                )  # fmt: skip


def _by_source_port(
    old: Firewall, new: Firewall, asked: _Asked, iif: str, before: Exposure, after: Exposure
) -> Iterator[tuple[_Masks, tuple[int, int]]]:
    """Yield what differs, for each range of client ports where it depends on it."""
    universe = new.universes[asked.family]
    relevant = universe.full & ~universe.never
    masks = _masks(before, after)
    doubtful = relevant & ~(before.known & after.known)
    classes = _source_ports(old, new) if doubtful else []
    if len(classes) < 2:
        if masks.within(relevant).changed:
            yield masks, CLIENT_PORTS
        return
    certain = masks.within(~doubtful)
    runs: list[tuple[_Masks, tuple[int, int]]] = []
    for first, last in classes:
        one = replace(asked, sport=first)
        exposures = [_exposure(each, one, _known_as(each, iif)) for each in (old, new)]
        found = _masks(*exposures).within(doubtful & relevant)
        if runs and runs[-1][0] == found:
            runs[-1] = (found, (runs[-1][1][0], last))
        else:
            runs.append((found, (first, last)))
    if len(runs) == 1:
        runs = [(runs[0][0].joined(certain), CLIENT_PORTS)]
    elif certain.within(relevant).changed:
        yield certain, CLIENT_PORTS
    yield from (run for run in runs if run[0].within(relevant).changed)


def compared(universe: Universe, old: tuple[int, int], new: tuple[int, int]) -> dict[str, Sources]:
    """Return how the sources of a port differ, by what happens to them.

    Each side: those that certainly get in, and those that possibly do.
    """
    masks = _masks(Exposure(*old), Exposure(*new)).within(universe.full & ~universe.never)
    found = {
        "opens": masks.opens, "closes": masks.closes, "doubts": masks.doubts,
        "settles": masks.settles, "may_open": masks.doubts & masks.shut,
    }  # fmt: skip
    return {name: Sources(universe, mask) for name, mask in found.items() if mask}


def _masks(before: Exposure, after: Exposure) -> _Masks:
    stay = before.open & after.open
    return _Masks(
        opens=~before.possible & after.open,
        closes=before.open & ~after.possible,
        doubts=before.known & ~after.known,
        settles=~before.known & after.known,
        unclear=~before.known & ~after.known,
        limits=stay & ~before.limited & after.limited,
        frees=stay & before.limited & ~after.limited,
        shut=~before.possible & ~after.known | ~before.known & ~after.possible,
    )


def _difference(
    old: Firewall,
    new: Firewall,
    asked: _Asked,
    iif: str,
    masks: _Masks,
    *,
    interfaces: tuple[str, ...],
    source_ports: tuple[int, int],
    destinations: tuple[str, ...],
) -> Difference:
    universe = new.universes[asked.family]
    by: list[Decision | None] = [None, None]
    if masks.changed != masks.unclear:  # nothing decides what is not known
        by = [_deciding(one, asked, _known_as(one, iif), masks.changed) for one in (old, new)]
    return Difference(
        transport=asked.transport,
        family=asked.family,
        first=asked.port,
        last=asked.port,
        interfaces=interfaces,
        opens=Sources(universe, masks.opens),
        closes=Sources(universe, masks.closes),
        doubts=Sources(universe, masks.doubts),
        settles=Sources(universe, masks.settles),
        unclear=Sources(universe, masks.unclear),
        limits=Sources(universe, masks.limits),
        frees=Sources(universe, masks.frees),
        shut=Sources(universe, masks.shut),
        destinations=destinations,
        source_ports=source_ports,
        old=by[0],
        new=by[1],
    )


def _known_as(firewall: Firewall, iif: str) -> str:
    """Return the name of an interface, or that of those that a firewall does not name."""
    return iif if iif in (*firewall.public, *firewall.others) else interfaces.OTHER


def _exposure(firewall: Firewall, asked: _Asked, iif: str) -> Exposure:
    if firewall.network.ipv6 is False and asked.family == 6:
        return Exposure(0, 0)
    if firewall.not_judged(asked.family, None) or firewall.doubted(
        asked.transport, asked.port, asked.family
    ):
        return Exposure(0, firewall.universes[asked.family].full)
    sets = _gated(firewall, asked, iif, FIRST)
    limited = 0
    if firewall.survey.rated and sets.open:
        limited = sets.open & ~_gated(firewall, asked, iif, RATED).open
    return Exposure(sets.open, sets.possible, limited)


def _gated(firewall: Firewall, asked: _Asked, iif: str, history: int) -> Sets:
    question = _question(firewall, asked)
    if asked.sport is None:
        sets = firewall.connections.sets(question, iif, history).sets
    else:
        sets = firewall.connections.sets_from(question, iif, asked.sport, history)
    return firewall.gate(sets, asked.family)[0]


def _question(firewall: Firewall, asked: _Asked) -> Question:
    return firewall.connections.question(
        asked.transport, asked.port, asked.family, asked.destination or None, True
    )


def _deciding(firewall: Firewall, asked: _Asked, iif: str, mask: int) -> Decision | None:
    """Return what decides for one of the sources."""
    universe = firewall.universes[asked.family]
    public = mask & universe.public
    ((source, _), *_rest) = universe.intervals(public or mask, 1)
    own = _question(firewall, asked).destinations[0]
    destination = addresses.show(asked.family, own) if own >= 0 else ANY_ADDRESS[asked.family]
    packet = Packet(
        asked.transport, addresses.show(asked.family, source), destination,
        asked.sport or 50000, asked.port, iif,
    )  # fmt: skip
    return firewall.judge(packet).by
