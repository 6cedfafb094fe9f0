"""Many batches in a row, as chains have them that accept and drop by turns.

A packet's port leaves few of them. Where all compare the far address alone, each address belongs to
the first batch that has it: they are dealt out in one pass, however many batches there are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from sslint.netfilter.addresses import Universe
from sslint.netfilter.batches import MAX_INDEXED, Batch, Batches
from sslint.netfilter.model import Interval, Intervals, Key, Rule, Verdict
from sslint.netfilter.packet import MISSING, PacketState
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


@dataclass(slots=True)
class Series:
    """Batches in a row. `by_port`: those whose rules all name a port, by its field and number."""

    batches: list[Batch]
    universe: Universe
    by_port: dict[str, dict[int, list[int]]] = field(default_factory=dict)
    others: list[int] = field(default_factory=list)
    _lots: list[Lot | None] = field(default_factory=list)

    @property
    def lots(self) -> list[Lot | None]:
        """The lots of the batches, None for what is none."""
        if not self._lots:
            self._lots = [_lot(batch, self.universe) for batch in self.batches]
        return self._lots

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
    steps: Iterable[Batch | Rule], batches: Batches, family: int
) -> Iterator[Series | Batch | Rule]:
    """Join the batches of a chain that follow each other in great number."""
    row: list[Batch] = []
    for step in steps:
        if isinstance(step, Batch):
            row.append(step)
            continue
        yield from _row(row, batches, family)
        yield step
        row = []
    yield from _row(row, batches, family)


def _row(row: list[Batch], batches: Batches, family: int) -> Sequence[Series | Batch]:
    if len(row) <= MAX_INDEXED:
        return row
    series = Series(row, batches.matching.universes[family])
    for number, batch in enumerate(row):
        if () in batch.groups:
            series.others.append(number)
            continue
        named = [batches.ports(guards) for guards in batch.groups]
        if not all(name for name, _ in named):
            series.others.append(number)
            continue
        for name, ports in named:
            for port in ports:
                series.by_port.setdefault(name, {}).setdefault(port, []).append(number)
    return [series]


def _lot(batch: Batch, universe: Universe) -> Lot | None:
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
        groups.append((guards, spans))
    for plain in batch.rules:
        verdict = plain.rule.items[-1]
        if isinstance(verdict, Verdict) and verdict.kind == "reject":  # told apart from a drop
            return None
    guarded = len(groups) > 1 or () not in batch.groups
    return Lot(batch, KINDS.index(batch.kind), groups, len(batch.rules) == 1, guarded)


def dealable(batches: Batches, lot: Lot, state: PacketState, wanted: Collection[int]) -> bool:
    """Tell whether a lot certainly takes some addresses, by rules of which none is `wanted`."""
    batch = lot.batch
    if wanted and (
        (batch.kind == "accept" and not lot.single)
        or any(id(plain.rule) in wanted for plain in batch.rules)
    ):
        return False
    if not lot.guarded:
        return True
    answers = batches.answers(state)
    return not any(
        isinstance(batches.guard(guard, state, answers), str)
        for guards, _ in lot.groups
        for guard in guards
    )


@dataclass(slots=True)
class Dealt:
    """What batches of one kind do: to which far addresses, and by how many rules."""

    mask: int
    rules: int = 0


def deal(batches: Batches, lots: Iterable[Lot], state: PacketState, mask: int) -> dict[str, Dealt]:
    """Give each of the far addresses in `mask` to the first of `dealable` lots that has it."""
    universe = batches.matching.universes[state.family or 4]
    digits = bin(mask)[:1:-1].ljust(universe.atoms, "0").encode()
    owners = bytearray(digits.translate(_FREE))
    # From each atom the way to the next that may be free: what is taken is passed over.
    following = [atom + (owner == _OUTSIDE) for atom, owner in enumerate(owners)]
    following.append(universe.atoms)
    rules = [0] * len(KINDS)
    answers = batches.answers(state)
    for lot in lots:
        owner = lot.owner
        taken = False
        for guards, spans in lot.groups:
            if guards and not all(batches.guard(one, state, answers) for one in guards):
                continue
            for atom, end in spans:
                while atom < end:
                    if following[atom] != atom:
                        atom = _free(following, atom)
                        continue
                    taken = True
                    owners[atom] = owner
                    atom += 1
                    following[atom - 1] = atom
        if taken:
            if lot.single:
                rules[owner] += 1
                continue
            first = batches.concerned(lot.batch, state)[1][0]
            rules[owner] += len(lot.batch.rules) - first
    backwards = owners[::-1]
    return {
        kind: Dealt(int(backwards.translate(_DIGITS[owner]), 2), rules[owner])
        for owner, kind in enumerate(KINDS)
        if rules[owner]
    }


def _free(following: list[int], atom: int) -> int:
    """Return the first free atom from one on."""
    while (after := following[atom]) != atom:
        following[atom] = following[after]
        atom = after
    return atom


_OUTSIDE, _NOBODY = 254, 255  # beside the numbers of owners
_FREE = bytes.maketrans(b"01", bytes((_OUTSIDE, _NOBODY)))
_DIGITS = [bytes(48 + (byte == owner) for byte in range(256)) for owner in range(len(KINDS))]
