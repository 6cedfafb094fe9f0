"""What two rulesets treat differently: who gets through to a port under one and not the other.

Both are asked about every port that one of them tells apart, over the same atoms of sources, so
that what is the same for all is found by comparing two numbers. Where the answer depends on which
of the host's addresses clients use, or from which port they come, it is asked for each.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from random import SystemRandom
from typing import Literal

from sslint.budgets import ExhaustedError
from sslint.netfilter import addresses, interfaces, survey
from sslint.netfilter.addresses import Sources, Universe
from sslint.netfilter.connections import MAX_SOURCE_PORT_CLASSES, Question, Sets
from sslint.netfilter.model import (
    Assign,
    Chain,
    HostNetwork,
    Interval,
    Intervals,
    Key,
    Match,
    Nat,
    RuleItem,
    Ruleset,
    Set,
    SetRef,
    Synproxy,
    Table,
    Tproxy,
    Verdict,
    VerdictMap,
)
from sslint.netfilter.packet import CLIENT_PORTS, FIRST, LOW_PORT, RATED
from sslint.netfilter.reach import Firewall
from sslint.netfilter.trace import Packet
from sslint.netfilter.verdicts import Decision
from sslint.values import dataclass, replace

LAST_PORT = 65535
ALL_PORTS = ((0, LAST_PORT),)
_PORTS = ("tcp.dport", "udp.dport", "th.dport")
MAX_PORTS = 16_384  # ranges of ports that rules tell apart
MAX_LOW_PORTS = 64  # ranges of source ports below 1024 that are asked about
MAX_DESTINATIONS = 16  # addresses of rules that are asked about where the host's are not known
ANY_ADDRESS = {4: "198.51.100.1", 6: "2001:db8::1"}  # of this host, where none is known
MAX_NAMED = 10_000  # networks that rules name
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
    touched = _touched(old, new)
    low = low_ports(old, new) or []
    for transport in TRANSPORTS:
        classes = [
            one
            for one in _port_classes(old, new, transport)
            if _meets(touched, one.first, one.last)
        ]
        for family in families:
            pending: list[Difference] = []
            destinations = _destinations(old, new, family)
            known: dict[int, list[Difference]] = {}
            for ports in classes:
                if ports.alike not in known:
                    asked = _Asked(transport, family, ports.first)
                    known[ports.alike] = [*_at(old, new, asked, destinations, low)]
                first, last = ports.first, ports.last
                found = [replace(one, first=first, last=last) for one in known[ports.alike]]
                follows = bool(pending) and pending[0].last == first - 1
                if follows and [_what(one) for one in found] == [_what(one) for one in pending]:
                    pending = [replace(one, last=last) for one in pending]
                else:
                    yield from pending
                    pending = found
            yield from pending


def _meets(merged: Sequence[Interval], low: int, high: int) -> bool:
    """Tell whether one of the intervals, which are in order, meets another one."""
    place = bisect_right(merged, high, key=itemgetter(0)) - 1
    return place >= 0 and low <= merged[place][1]


def _what(one: Difference) -> tuple[object, ...]:
    places = [by and (by.location, by.text) for by in (one.old, one.new)]
    where = (one.interfaces, one.destinations, one.source_ports, one.shut.mask)
    return (*(sources.mask for sources in one.sets), *places, *where)


def _content(ruleset: Ruleset, *, rules: bool = True) -> tuple[object, ...]:
    """Return what a ruleset says, wherever it is written; or all but its rules."""
    return (
        [
            (
                table.family, table.name, table.dormant, table.origin, _sets(table.sets),
                [
                    (
                        chain.name, chain.order,
                        chain.base and replace(chain.base, policy_location=None),
                        [rule.items for rule in chain.rules if rules],
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
        [_content(one, rules=rules) for one in ruleset.alternatives],
    )  # fmt: skip


def _sets(named: dict[str, Set]) -> list[Set]:
    return [replace(one, location=None) for one in named.values()]


# -- packets that no change touches -------------------------------------------------------------


def _touched(old: Firewall, new: Firewall) -> Sequence[Interval]:
    """Return the ports whose packets may meet a rule that only one side has.

    All others take the same way through the same rules. These are all ports where more differs
    than rules, or where rules send packets to other ports.
    """
    one, two = old.ruleset, new.ruleset
    if (
        old.network != new.network
        or one.alternatives
        or _moves_packets(one)
        or _moves_packets(two)
        or _content(one, rules=False) != _content(two, rules=False)
    ):
        return ALL_PORTS
    found: list[Interval] = []
    for before, after in zip(one.tables, two.tables, strict=True):
        outward = _outward(one, before) | _outward(two, after)
        for name, chain in before.chains.items():
            rules = _of_one_side(chain, after.chains[name])
            if rules and name in outward:  # the ports of answers are the clients'
                return ALL_PORTS
            for items in rules:
                found += _ports_of(items)
    return addresses.merge(found)


def _moves_packets(ruleset: Ruleset) -> bool:
    """Tell whether rules may send a packet to another port than its own."""
    return any(
        isinstance(item, (Tproxy, Synproxy))
        or (isinstance(item, Nat) and item.kind in ("dnat", "redirect"))
        or (isinstance(item, Assign) and not item.key.name.startswith(("meta.", "ct.")))
        for table in ruleset.tables
        for chain in table.chains.values()
        for rule in chain.rules
        for item in rule.items
    )


def _outward(ruleset: Ruleset, table: Table) -> set[str]:
    """Return the chains that packets of this host itself may pass."""
    outward = ("output", "postrouting", "egress")
    bases = [c for c in table.chains.values() if c.base is not None and c.base.hook in outward]
    return {chain.name for chain in _reached(ruleset, table, bases)}


def _reached(ruleset: Ruleset, table: Table, chains: Iterable[Chain]) -> list[Chain]:
    """Return chains and those that their rules lead to."""
    found = {chain.name: chain for chain in chains}
    pending = [*found.values()]
    while pending:
        for rule in pending.pop().rules:
            for item in rule.items:
                ends = [item] if isinstance(item, Verdict) else []
                if isinstance(item, VerdictMap):
                    ends += survey.verdicts(ruleset, table, item)
                for name in {end.chain for end in ends} - set(found):
                    if name in table.chains:
                        found[name] = table.chains[name]
                        pending.append(table.chains[name])
    return [*found.values()]


def _of_one_side(before: Chain, after: Chain) -> list[tuple[RuleItem, ...]]:
    """Return the rules between those that two chains begin and end with alike."""
    old, new = ([rule.items for rule in chain.rules] for chain in (before, after))
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    end = 0
    while end < min(len(old), len(new)) - start and old[-1 - end] == new[-1 - end]:
        end += 1
    return [*old[start : len(old) - end], *new[start : len(new) - end]]


def _ports_of(items: Sequence[RuleItem]) -> Sequence[Interval]:
    """Return the ports of packets that a rule does anything to."""
    for item in items:
        if not isinstance(item, Match):
            break
        key = item.keys[0]
        plain = len(item.keys) == 1 and key == Key(key.name) and key.name in _PORTS
        if plain and not item.negate and item.test == "in" and isinstance(item.values, Intervals):
            return item.values.items
    return ALL_PORTS


# -- packets that are asked about apart ---------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Ports:
    """A range of ports that neither firewall tells apart; ranges that are `alike` have a number."""

    first: int
    last: int
    alike: int


def _port_classes(old: Firewall, new: Firewall, transport: Literal["tcp", "udp"]) -> list[_Ports]:
    """Return the ranges of ports that neither firewall tells apart.

    The host's port is the destination of what comes in, and the source of the answers. Each
    comparison has a random number, and a range the sum of those that hold for it: equal sums mean
    that the same comparisons hold, but for a chance of one in 2**128. Raise ExhaustedError.
    """
    sides = [firewall.ruleset for firewall in (old, new)]
    random = SystemRandom()
    other = "udp." if transport == "tcp" else "tcp."
    compared = {
        one for side in sides for one in survey.compared_ports(side) if not one[0].startswith(other)
    }
    values = [items for _, items in compared]
    for side in sides:
        values += [tuple((port, port) for port in doubt.ports) for doubt in side.unknown_ports]
    changes: dict[int, int] = {1: 0}
    for items in values:
        number = random.getrandbits(128)  # nosec B311
        for low, high in items:
            changes[low] = changes.get(low, 0) + number
            changes[high + 1] = changes.get(high + 1, 0) - number
    starts = sorted(changes)
    found: list[_Ports] = []
    alike = 0
    for start, after in itertools.pairwise([*starts, LAST_PORT + 1]):
        alike += changes[start]
        if 1 <= start <= LAST_PORT:
            found.append(_Ports(start, min(after - 1, LAST_PORT), alike))
    # Where rules compute with a port, or more than one ruleset is asked, each range counts.
    if old.survey.port_sums or new.survey.port_sums or any(side.alternatives for side in sides):
        found = [replace(one, alike=number) for number, one in enumerate(found)]
    if len({one.alike for one in found}) > MAX_PORTS:
        raise ExhaustedError(f"the rules tell more than {MAX_PORTS:,} ranges of ports apart")
    return found


def _destinations(
    old: Firewall, new: Firewall, family: Literal[4, 6]
) -> list[tuple[str, tuple[str, ...]]]:
    """Return an address of the host for each class that the rules tell apart, and what is in it.

    It is "" where all are alike, or where the host has other addresses than before: then each side
    is asked about its own. Where no address is known, those that rules name are asked about.
    """
    own = [firewall.connections.clients_use(family) for firewall in (old, new)]
    if own[0] != own[1]:
        return [("", ())]
    if own[0]:
        # The near address is the source of the answers, too.
        named = [*old.survey.endpoints[family], *new.survey.endpoints[family]]
        known = [(address, addresses.show(family, address)) for address in own[0]]
    else:
        named = [*old.survey.destinations[family], *new.survey.destinations[family]]
        known = list(_assumed(family, named))
    if len(named) > MAX_NAMED or len(known) > MAX_NAMED:
        return [("", ())]
    kinds: dict[tuple[int, ...], list[tuple[int, str]]] = {}
    for address, text in known:
        kind = tuple(n for n, (low, high) in enumerate(named) if low <= address <= high)
        if old.survey.each_address or new.survey.each_address:
            kind = (address,)
        kinds.setdefault(kind, []).append((address, text))
    if len(kinds) < 2 or len(kinds) > MAX_DESTINATIONS:
        return [("", ())]
    return [
        (addresses.show(family, alike[0][0]), tuple(text for _, text in alike))
        for alike in kinds.values()
    ]


def _assumed(family: Literal[4, 6], named: Sequence[Interval]) -> Iterator[tuple[int, str]]:
    """Yield an address of each class that rules name as destination, and one of no such.

    Each with the class as text.
    """
    groups = (addresses.MULTICAST, addresses.LOOPBACK, addresses.LINK_LOCAL)
    refused = [
        *addresses.NEVER_A_SOURCE[family],
        *(one for group in groups for one in group[family]),
    ]
    points = sorted({point for low, high in named for point in (low, high + 1)})
    for low, after in itertools.pairwise(points):
        if addresses.contains(named, low) and not addresses.contains(refused, low):
            first, last = addresses.show(family, low), addresses.show(family, after - 1)
            yield low, first if first == last else f"{first}-{last}"
    for text in _ELSEWHERE[family] if points else ():
        address = addresses.parse(text)[1]
        if not addresses.contains(named, address):
            yield address, OTHERS
            return


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


def low_ports(old: Firewall, new: Firewall) -> list[tuple[int, int]] | None:
    """Return the ranges of ports below those of clients that a firewall tells from these.

    Whoever wants to may send from one of them. None: they are too many.
    """
    if old.survey.port_sums or new.survey.port_sums:
        return []
    points = old.connections.far_ports() | new.connections.far_ports()
    starts = sorted({1, *(point for point in points if 1 < point < CLIENT_PORTS[0])})
    if len(starts) == 1 and CLIENT_PORTS[0] not in points:
        return []
    if len(starts) > MAX_LOW_PORTS:
        return None
    return [(start, after - 1) for start, after in itertools.pairwise([*starts, CLIENT_PORTS[0]])]


# -- packets that are not asked about -----------------------------------------------------------


def unasked(old: Ruleset, new: Ruleset) -> list[str]:
    """Return what the rulesets may treat differently beside TCP and UDP to this host."""
    views = {
        "forwarded packets": (("forward",), False),
        "what this host sends": (("output", "postrouting", "egress"), False),
        "protocols other than TCP and UDP": (("ingress", "prerouting", "input"), True),
    }
    return [
        name for name, (hooks, others) in views.items()
        if _view(old, hooks, others=others) != _view(new, hooks, others=others)
    ]  # fmt: skip


def _view(ruleset: Ruleset, hooks: Sequence[str], *, others: bool) -> list[object]:
    """Return what packets meet at some hooks; `others`: those that are neither TCP nor UDP."""
    found: list[object] = []
    for table in ruleset.tables:
        for chain in table.chains.values():
            base = chain.base
            if base is None or base.hook not in hooks or table.dormant:
                continue
            rules = [
                rule.items
                for one in _reached(ruleset, table, [chain])
                for rule in one.rules
                if not (others and _is_of_ports(rule.items))
            ]
            if rules or base.policy != "accept":
                named = _sets(table.sets) if any(map(_asks_sets, rules)) else []
                found.append((table.family, base.hook, base.priority, base.policy, rules, named))
    return found


def _is_of_ports(items: Sequence[RuleItem]) -> bool:
    """Tell whether a rule does nothing to packets that are neither TCP nor UDP."""
    for item in items:
        if not isinstance(item, Match):
            return False
        key, values = item.keys[0], item.values
        if key.name.startswith(("tcp.", "udp.")):
            return True
        if key == Key("meta.l4proto") and isinstance(values, Intervals) and not item.negate:
            return all(low == high and low in (6, 17) for low, high in values.items)
    return False


def _asks_sets(items: Sequence[RuleItem]) -> bool:
    some = (getattr(item, name, None) for item in items for name in ("values", "entries"))
    return any(isinstance(one, SetRef) for one in some)


# -- one class of packets -----------------------------------------------------------------------


def _at(
    old: Firewall,
    new: Firewall,
    asked: _Asked,
    destinations: Sequence[tuple[str, tuple[str, ...]]],
    low: Sequence[tuple[int, int]],
) -> Iterator[Difference]:
    """Yield the differences at a class of ports: what is alike at several places is told once."""
    names = sorted({*old.public, *new.public, *old.others, *new.others})
    groups: dict[tuple[tuple[_Masks, tuple[int, int]], ...], dict[int, list[str]]] = {}
    universe = new.universes[asked.family]
    relevant = universe.full & ~universe.never
    for number, (destination, _) in enumerate(destinations):
        one = replace(asked, destination=destination)
        for name in names:
            before = _exposure(old, one, _known_as(old, name))
            after = _exposure(new, one, _known_as(new, name))
            runs: list[tuple[_Masks, tuple[int, int]]] = []
            if before != after or relevant & ~before.known:
                runs = [*_by_source_port(old, new, one, name, before, after)]
            usual = runs[0][0] if [sports for _, sports in runs] == [CLIENT_PORTS] else None
            runs += _from_low_ports(old, new, one, name, usual, low)
            if runs:
                found = tuple((masks.within(relevant), sports) for masks, sports in runs)
                by_place = groups.setdefault(found, {})
                by_place.setdefault(number, []).append(name)
    for found, by_place in groups.items():
        alike: dict[tuple[str, ...], list[int]] = {}
        for number, some in by_place.items():
            alike.setdefault(tuple(some), []).append(number)
        for by, numbers in alike.items():
            where = () if len(by) == len(names) else by
            at = tuple(text for number in numbers for text in destinations[number][1])
            one = replace(asked, destination=destinations[numbers[0]][0])
            for masks, sports in found:
                yield _difference(
                    old, new, replace(one, sport=sports[0]), by[0], masks,
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


def _from_low_ports(
    old: Firewall,
    new: Firewall,
    asked: _Asked,
    iif: str,
    usual: _Masks | None,
    classes: Sequence[tuple[int, int]],
) -> Iterator[tuple[_Masks, tuple[int, int]]]:
    """Yield what differs for source ports below those of clients, where it is not the usual.

    That is what differs for all ports of clients alike, if it does.
    """
    universe = new.universes[asked.family]
    relevant = universe.full & ~universe.never
    if len(classes) > 1:  # all at once, if that is certain
        one = replace(asked, sport=LOW_PORT)
        sides = [_exposure(each, one, _known_as(each, iif)) for each in (old, new)]
        if not relevant & ~(sides[0].known & sides[1].known):
            classes = [(1, CLIENT_PORTS[0] - 1)]
    runs: list[tuple[_Masks, tuple[int, int]]] = []
    for first, last in classes:
        one = replace(asked, sport=first)
        found = _masks(*(_exposure(each, one, _known_as(each, iif)) for each in (old, new)))
        found = found.within(relevant)
        if not found.changed or (usual is not None and found == usual.within(relevant)):
            continue
        if runs and runs[-1] == (found, (runs[-1][1][0], first - 1)):
            runs[-1] = (found, (runs[-1][1][0], last))
        else:
            runs.append((found, (first, last)))
    yield from runs


def compared(universe: Universe, old: tuple[int, int], new: tuple[int, int]) -> dict[str, Sources]:
    """Return how the sources of a port differ, by what happens to them; nothing if they do not.

    Each side: those that certainly get in, and those that possibly do.
    """
    masks = _masks(Exposure(*old), Exposure(*new)).within(universe.full & ~universe.never)
    if not masks.changed & ~masks.unclear:
        return {}
    found = {
        "opens": masks.opens, "closes": masks.closes, "doubts": masks.doubts,
        "settles": masks.settles, "shut": masks.shut,
    }  # fmt: skip
    return {name: Sources(universe, mask) for name, mask in found.items()}


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
