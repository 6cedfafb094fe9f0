"""Many batches in a row, as chains have them that accept and drop by turns.

A packet's port leaves few of them. Where all compare the far address alone, each address belongs to
the first batch that has it: they are dealt out in one pass, however many batches there are.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence

from sslint.netfilter.addresses import Universe
from sslint.netfilter.batches import MAX_INDEXED, Batches
from sslint.netfilter.model import Interval, Intervals, Key, Rule
from sslint.netfilter.packet import MISSING, PacketState
from sslint.netfilter.runs import Batch, Turns
from sslint.values import dataclass, field

MANY = 64  # batches that are dealt out together
KINDS = ("accept", "drop", "return")


@dataclass(slots=True)
class Lot:
    """A batch that compares the far address with plain intervals.

    `groups`: the guards of each of its groups, and the atoms that it takes, from one up to another.
    `single`: it has one rule, so that nobody need be told which did something.
    """

    batch: Batch
    owner: int
    groups: list[tuple[tuple[int, ...], list[Interval]]]
    single: bool
    guarded: bool

    def __len__(self) -> int:
        return 1

    def batches(self) -> tuple[Batch, ...]:
        """Return the batches that it is of."""
        return (self.batch,)


@dataclass(slots=True)
class Rest:
    """The batches of turns from one on."""

    turns: Turns
    first: int = 0

    def __len__(self) -> int:
        return len(self.turns) - self.first

    def batches(self) -> Iterator[Batch]:
        """Yield the batches that it is of."""
        return map(self.turns.batch, range(self.first, len(self.turns)))


@dataclass(slots=True)
class Series:
    """Batches in a row. `by_port`: those whose rules all name a port, by its field and number."""

    batches: list[Batch | Turns]
    universe: Universe
    by_port: dict[str, dict[int, list[int]]] = field(default_factory=dict)
    others: list[int] = field(default_factory=list)
    _lots: list[Lot | None] = field(default_factory=list)
    _expanded: Series | None = None

    @property
    def lots(self) -> list[Lot | None]:
        """The lots of the batches, None for what is none."""
        if not self._lots:
            self._lots = [
                None if isinstance(batch, Turns) else lot_of(batch, self.universe)
                for batch in self.batches
            ]
        return self._lots

    def expanded(self, batches: Batches) -> Series:
        """Return the same series with each batch apart."""
        if self._expanded is None:
            row: list[Batch | Turns] = []
            for step in self.batches:
                row += map(step.batch, range(len(step))) if isinstance(step, Turns) else [step]
            self._expanded = _series(row, batches, self.universe)
        return self._expanded

    def concerned(self, batches: Batches, states: Iterable[PacketState]) -> Sequence[int]:
        """Return the numbers of the batches that the ports of packets do not rule out."""
        found = set(self.others)
        for state in states if self.by_port else ():
            if state.mangled:
                return range(len(self.batches))
            for name, by_port in self.by_port.items():
                value = batches.matching.read(Key(name), state)
                if isinstance(value, int):
                    found.update(by_port.get(value, ()))
                elif value is not MISSING:
                    return range(len(self.batches))
        return sorted(found)


def joined(
    steps: Iterable[Batch | Turns | Rule], batches: Batches, family: int
) -> Iterator[Series | Batch | Rule]:
    """Join the batches of a chain that follow each other in great number."""
    row: list[Batch | Turns] = []
    for step in steps:
        if not isinstance(step, Rule):
            row.append(step)
            continue
        yield from _row(row, batches, family)
        yield step
        row = []
    yield from _row(row, batches, family)


def _row(row: list[Batch | Turns], batches: Batches, family: int) -> Sequence[Series | Batch]:
    few = [step for step in row if not isinstance(step, Turns)]
    if len(few) == len(row) <= MAX_INDEXED:
        return few
    return [_series(row, batches, batches.matching.universes[family])]


def _series(row: list[Batch | Turns], batches: Batches, universe: Universe) -> Series:
    series = Series(row, universe)
    for number, batch in enumerate(row):
        groups = (batch.guards,) if isinstance(batch, Turns) else batch.groups
        if () in groups:
            series.others.append(number)
            continue
        named = [batches.ports(guards) for guards in groups]
        if not all(name for name, _ in named):
            series.others.append(number)
            continue
        for name, ports in named:
            for port in ports:
                series.by_port.setdefault(name, {}).setdefault(port, []).append(number)
    return series


def lot_of(batch: Batch, universe: Universe) -> Lot | None:
    """Return the lot of a batch, if it compares the far address with plain intervals alone."""
    if batch.rejects:  # which is told apart from a drop
        return None
    groups = []
    places = universe.places
    for guards, group in batch.groups.items():
        spans: list[Interval] = []
        for sources in group.sources:
            match = sources[0]
            if len(sources) > 1 or match.negate or not isinstance(match.values, Intervals):
                return None
            for low, high in match.values.items:
                atom, end = places.get(low), places.get(high + 1)
                known = atom is not None and end is not None
                spans.append((atom, end) if known else universe.span(low, high))  # type: ignore[arg-type]
        if group.every:
            return None
        for listed in group.listed:
            spans += listed.spans(universe)
        groups.append((guards, spans))
    guarded = len(groups) > 1 or () not in batch.groups
    return Lot(batch, KINDS.index(batch.kind), groups, len(batch.rules) == 1, guarded)


def dealable(batches: Batches, lot: Lot, state: PacketState, wanted: Collection[int]) -> bool:
    """Tell whether a lot certainly takes some addresses, by rules of which none is `wanted`."""
    batch = lot.batch
    if wanted and ((batch.kind == "accept" and not lot.single) or batch.rules.holds(wanted)):
        return False
    if not lot.guarded:
        return True
    answers = batches.answers(state)
    return not any(
        isinstance(batches.guard(guard, state, answers), str)
        for guards, _ in lot.groups
        for guard in guards
    )


def are_plain(
    batches: Batches, turns: Iterable[Turns], flow: Collection[PacketState], wanted: Collection[int]
) -> bool:
    """Tell whether all that turns do to packets is to take addresses, by rules all alike."""
    if len(flow) != 1 or wanted:
        return False
    (state,) = flow
    answers = batches.answers(state)
    return not state.mangled and not any(
        isinstance(batches.guard(guard, state, answers), str)
        for one in turns
        for guard in one.guards
    )


@dataclass(slots=True)
class Dealt:
    """What batches of one kind do: to which far addresses, and by how many rules."""

    mask: int
    rules: int = 0


def deal(
    batches: Batches, lots: Iterable[Lot | Rest], state: PacketState, mask: int
) -> dict[str, Dealt]:
    """Give each of the far addresses in `mask` to the first of `dealable` lots that has it."""
    universe = batches.matching.universes[state.family or 4]
    digits = bin(mask)[:1:-1].ljust(universe.atoms, "0").encode()
    owners = bytearray(digits.translate(_FREE))
    # From each atom the way to the next that may be free: what is taken is passed over.
    following = list(range(universe.atoms + 1))
    outside = owners.find(_OUTSIDE)
    while outside >= 0:
        following[outside] += 1
        outside = owners.find(_OUTSIDE, outside + 1)
    rules = [0] * len(KINDS)
    answers = batches.answers(state)
    for lot in lots:
        if isinstance(lot, Rest):
            if all(batches.guard(one, state, answers) for one in lot.turns.guards):
                _deal_rest(lot, universe, owners, following, rules)
            continue
        taken = False
        for guards, spans in lot.groups:
            if not guards or all(batches.guard(one, state, answers) for one in guards):
                taken |= _take(spans, lot.owner, owners, following)
        if taken:
            first = 0 if lot.single else batches.concerned(lot.batch, state)[1][0]
            rules[lot.owner] += len(lot.batch.rules) - first
    backwards = owners[::-1]
    return {
        kind: Dealt(int(backwards.translate(_DIGITS[owner]), 2), rules[owner])
        for owner, kind in enumerate(KINDS)
        if rules[owner]
    }


def _deal_rest(
    rest: Rest, universe: Universe, owners: bytearray, following: list[int], rules: list[int]
) -> None:
    """Deal out the batches of turns, as `deal` does."""
    starts = rest.turns.starts[rest.first :]
    start = starts[0]
    listed = rest.turns.listed(rest.first, len(rest.turns))
    takers = listed.chosen(KINDS)
    late = []  # rules that have no address of their own
    if listed.single:
        atoms = zip(listed.atoms(universe), takers, strict=True)
        for number, (atom, owner) in enumerate(atoms, start):
            if owners[atom] == _NOBODY:
                owners[atom] = owner
            else:
                late.append(number)
    else:
        spans = zip(listed.spans(universe), takers, strict=True)
        for number, (span, owner) in enumerate(spans, start):
            if not _take((span,), owner, owners, following):
                late.append(number)
    for owner in range(len(KINDS)):
        rules[owner] += takers.count(owner)
    for batch, number in Counter(bisect_right(starts, number) - 1 for number in late).items():
        if number == starts[batch + 1] - starts[batch]:
            rules[takers[starts[batch] - start]] -= number


def _take(spans: Iterable[Interval], owner: int, owners: bytearray, following: list[int]) -> bool:
    """Give the free ones of some atoms an owner; tell whether any was free."""
    taken = False
    for start, end in spans:
        atom = start
        while atom < end:
            if following[atom] != atom:
                atom = _free(following, atom)
                continue
            if owners[atom] == _NOBODY:
                taken = True
                owners[atom] = owner
            atom += 1
            following[atom - 1] = atom
    return taken


def _free(following: list[int], atom: int) -> int:
    """Return the first free atom from one on."""
    while (after := following[atom]) != atom:
        following[atom] = following[after]
        atom = after
    return atom


_OUTSIDE, _NOBODY = 254, 255  # beside the numbers of owners
_FREE = bytes.maketrans(b"01", bytes((_OUTSIDE, _NOBODY)))
_DIGITS = [bytes(48 + (byte == owner) for byte in range(256)) for owner in range(len(KINDS))]
