"""What batches consist of: rules that match and end in a verdict, and listings of them.

A rule of a listing is made when somebody asks for it: what a packet meets is seen from the columns.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from itertools import chain, repeat
from typing import Any

from sslint.netfilter.addresses import Universe
from sslint.netfilter.model import Interval, Listing, Match, Rule
from sslint.values import dataclass, field

PLAIN = {"accept": "accept", "drop": "drop", "reject": "drop", "return": "return"}
"""What a plain rule does to a packet, by its verdict."""


@dataclass(frozen=True, slots=True)
class PlainRule:
    """A rule that only matches and then ends in a verdict: its guards, and its far addresses."""

    rule: Rule
    guards: tuple[int, ...]
    sources: tuple[Match, ...]


class Listed(Sequence[PlainRule]):
    """The rules of a listing from one number up to another, which compare the far address.

    All have the same verdict and the same guards; the first column has the addresses.
    """

    __slots__ = ("_end", "_start", "guards", "listing")

    def __init__(self, listing: Listing, guards: tuple[int, ...], start: int, end: int) -> None:
        self.listing = listing
        self.guards = guards
        self._start = start
        self._end = end

    def __len__(self) -> int:
        return self._end - self._start

    def __getitem__(self, number: Any) -> Any:
        if not 0 <= number < len(self):
            raise IndexError(number)
        rule = self.listing.rule(self._start + number)
        match = rule.items[self.listing.columns[0].place]
        return PlainRule(rule, self.guards, (match,))  # type: ignore[arg-type]

    @property
    def single(self) -> bool:
        """Whether each rule compares with one address."""
        column = self.listing.columns[0]
        return column.lows is column.highs

    def atoms(self, universe: Universe) -> Sequence[int]:
        """Return the atom that each rule takes, where it takes one."""
        lows = self.listing.columns[0].lows[self._start : self._end]
        return [*map(universe.places.__getitem__, lows)]

    def spans(self, universe: Universe) -> list[Interval]:
        """Return the atoms that each rule takes, from one up to another."""
        column = self.listing.columns[0]
        lows = column.lows[self._start : self._end]
        return universe.spans(lows, column.highs[self._start : self._end])

    def mask(self, universe: Universe) -> int:
        """Return the atoms that the rules take, as a mask."""
        if self.single:
            return universe.points(self.listing.columns[0].lows[self._start : self._end])
        return universe.joined(self.spans(universe))

    def chosen(self, kinds: Sequence[str]) -> bytes:
        """Return what each rule does, by the numbers of kinds."""
        table = bytes(kinds.index(PLAIN[verdict.kind]) for verdict in self.listing.verdicts)
        return self.listing.chosen[self._start : self._end].translate(table.ljust(256))

    def holds(self, wanted: Collection[int]) -> bool:
        """Tell whether one of the rules has one of some identities."""
        made = map(self.listing.made.get, range(self._start, self._end))
        return any(rule is not None and id(rule) in wanted for rule in made)


class PlainRules(Sequence[PlainRule]):
    """The rules of a batch."""

    __slots__ = ("_length", "_parts", "_starts")

    def __init__(self) -> None:
        self._parts: list[list[PlainRule] | Listed] = []
        self._starts: list[int] = []
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, number: Any) -> Any:
        place = bisect_right(self._starts, number) - 1
        return self._parts[place][number - self._starts[place]]

    def __iter__(self) -> Iterator[PlainRule]:
        return chain.from_iterable(self._parts)

    def append(self, plain: PlainRule) -> None:
        """Add a rule."""
        last = self._parts[-1] if self._parts else None
        if isinstance(last, list):
            last.append(plain)
        else:
            self._starts.append(self._length)
            self._parts.append([plain])
        self._length += 1

    def extend(self, listed: Listed) -> None:
        """Add the rules of a listing."""
        self._starts.append(self._length)
        self._parts.append(listed)
        self._length += len(listed)

    def guards(self) -> Iterator[tuple[int, ...]]:
        """Yield the guards of each rule."""
        for part in self._parts:
            if isinstance(part, list):
                yield from (plain.guards for plain in part)
            else:
                yield from repeat(part.guards, len(part))

    def holds(self, wanted: Collection[int]) -> bool:
        """Tell whether one of the rules has one of some identities."""
        return any(
            any(id(plain.rule) in wanted for plain in part)
            if isinstance(part, list)
            else part.holds(wanted)
            for part in self._parts
        )


@dataclass(slots=True)
class Group:
    """The rules of a batch that share all but the far address."""

    sources: list[tuple[Match, ...]] = field(default_factory=list)
    listed: list[Listed] = field(default_factory=list)
    every: bool = False
    mask: int | None = None


@dataclass(slots=True)
class PortIndex:
    """Which guards, and which rules by number, concern a packet, by the port that they name."""

    groups: dict[str, dict[int, list[tuple[int, ...]]]] = field(default_factory=dict)
    rules: dict[str, dict[int, list[int]]] = field(default_factory=dict)
    other_groups: list[tuple[int, ...]] = field(default_factory=list)
    other_rules: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Batch:
    """Consecutive plain rules with one verdict."""

    kind: str
    rules: PlainRules = field(default_factory=PlainRules)
    groups: dict[tuple[int, ...], Group] = field(default_factory=dict)
    by_port: PortIndex | None = None
    rejects: bool = False  # by some of its rules

    def extend(self, listed: Listed) -> None:
        """Add the rules of a listing."""
        self.rules.extend(listed)
        self.groups.setdefault(listed.guards, Group()).listed.append(listed)


@dataclass(slots=True)
class Turns:
    """The batches of a listing whose rules have one verdict and another by turns, in great number.

    `starts`: the number of the first rule of each batch, and of the one after the last.
    """

    listing: Listing
    guards: tuple[int, ...]
    starts: list[int]

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def kinds(self) -> set[str]:
        """What rules of the batches do."""
        chosen = set(self.listing.chosen[self.starts[0] : self.starts[-1]])
        return {PLAIN[self.listing.verdicts[number].kind] for number in chosen}

    def kind(self, number: int) -> str:
        """Return what the rules of a batch do."""
        return PLAIN[self.listing.verdicts[self.listing.chosen[self.starts[number]]].kind]

    def listed(self, first: int, after: int) -> Listed:
        """Return the rules of some batches."""
        return Listed(self.listing, self.guards, self.starts[first], self.starts[after])

    def batch(self, number: int) -> Batch:
        """Return a batch by its number."""
        made = Batch(self.kind(number))
        made.extend(self.listed(number, number + 1))
        return made
