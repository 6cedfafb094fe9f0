"""Runs of rules with one verdict, answered together: their order does not matter.

What of a rule does not depend on the far address (its guards) is answered once for each packet,
however many rules say it; what does is one set for all the rules that share their guards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from sslint.netfilter.matching import Matching
from sslint.netfilter.model import (
    Chain,
    Constant,
    Interval,
    Intervals,
    Key,
    Listing,
    Match,
    Names,
    Rule,
    SetRef,
    Table,
    Verdict,
)
from sslint.netfilter.notes import MAX_CREDITED, Note, Notes
from sslint.netfilter.packet import MISSING, PacketState, Range, free_keys
from sslint.netfilter.runs import PLAIN, Batch, Group, PlainRule, PortIndex, Turns
from sslint.values import dataclass

MANY = 64  # batches of a listing from which on they are left together
MAX_INDEXED = 16  # ports one guard may name, or rules a batch may have, to be looked at in a row
_TRUE, _FALSE = -1, -2  # the numbers of guards that are constant


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the ruleset a packet is; `depth` counts the jumps from the base chain."""

    table: Table
    chain: Chain
    depth: int


class Batches:
    """Makes batches of rules and answers them; remembers each guard's answer for each packet."""

    def __init__(self, matching: Matching) -> None:
        self.matching = matching
        self._guards: list[tuple[Match, Table]] = []
        self._numbers: dict[object, int] = {}
        self._keys: dict[int, tuple[tuple[Key, ...], int]] = {}  # by identity, with their number
        self._equal: dict[Key, int] = {}
        self._named: dict[int, tuple[str, Sequence[int]]] = {}  # what `ports` found, by guard
        self._answers: dict[PacketState, dict[int, bool | str]] = {}

    def __len__(self) -> int:
        return len(self._answers)

    def forget(self) -> None:
        """Forget what was remembered of packets."""
        self._answers.clear()

    # -- making ---------------------------------------------------------------------------------

    def compile(
        self, table: Table, parts: Iterable[Rule | Listing], family: int, inbound: bool
    ) -> list[Batch | Turns | Rule]:
        """Return a chain's rules in order, the plain ones in batches."""
        steps: list[Batch | Turns | Rule] = []
        free = free_keys(family, inbound)
        plain: PlainRule | None = None
        for rule in self._listings(table, parts, free, family, steps):
            if plain is not None and _is_next_of_a_list(rule, plain):
                plain = PlainRule(rule, plain.guards, rule.items[:1])  # type: ignore[arg-type]
            else:
                plain = self._plain(rule, table, free, family)
            if plain is None:
                steps.append(rule)
                continue
            last_item = rule.items[-1]
            assert isinstance(last_item, Verdict)
            last = _batch(steps, PLAIN[last_item.kind])
            last.rejects |= last_item.kind == "reject"
            last.rules.append(plain)
            if plain.guards and _FALSE in plain.guards:
                continue
            group = last.groups.get(plain.guards)
            if group is None:
                group = last.groups[plain.guards] = Group()
            if plain.sources:
                group.sources.append(plain.sources)
            else:
                group.every = True
        return steps

    def _listings(
        self,
        table: Table,
        parts: Iterable[Rule | Listing],
        free: frozenset[str],
        family: int,
        steps: list[Batch | Turns | Rule],
    ) -> Iterator[Rule]:
        """Put the batches of listings among the steps as they are, and yield all other rules."""
        for part in parts:
            if not isinstance(part, Listing):
                yield part
                continue
            first = part.rule(0)
            plain = self._plain(first, table, free, family)
            addresses = part.columns[0]
            if plain is None or len(part.columns) > 1 or addresses.negate:
                alike = False
            else:
                alike = plain.sources == (first.items[addresses.place],)
            if plain is None or not alike:
                yield from map(part.rule, range(len(part)))
                continue
            starts = _starts(part.chosen)
            turns = Turns(part, plain.guards, starts)
            last = len(turns) - 1
            several = last > MANY
            for number in (0,) if several else range(last):
                _batch(steps, turns.kind(number)).extend(turns.listed(number, number + 1))
            if several:  # the outermost may be one with what stands beside them
                steps.append(Turns(part, plain.guards, starts[1:-1]))
            _batch(steps, turns.kind(last)).extend(turns.listed(last, last + 1))

    def _plain(
        self, rule: Rule, table: Table, free: frozenset[str], family: int
    ) -> PlainRule | None:
        verdict = rule.items[-1] if rule.items else None
        if not isinstance(verdict, Verdict) or verdict.kind not in PLAIN:
            return None
        guards: list[int] = []
        sources: list[Match] = []
        for item in rule.items[:-1]:
            if type(item) is Match:
                keys = item.keys
                named = keys[0].name in free or (
                    len(keys) > 1 and any(key.name in free for key in keys)
                )
                if not named:
                    guards.append(self._number(item, table))
                elif self._is_same_in_every_state(item, table):
                    sources.append(item)
                else:
                    return None
            elif isinstance(item, Constant):
                guards.append(_TRUE if item.value else _FALSE)
            else:
                return None
        if verdict.reject_protocol is not None:
            number = verdict.reject_protocol
            concerned = Match((Key("meta.l4proto"),), Intervals(((number, number),)))
            guards.append(self._number(concerned, table))
        if verdict.reject_family not in (None, family):
            guards.append(_FALSE)
        return PlainRule(rule, tuple(guards), tuple(sources))

    def _is_same_in_every_state(self, match: Match, table: Table) -> bool:
        key = match.keys[0]
        if match.test != "in" or len(match.keys) != 1 or not key.name.startswith(("ip.", "ip6.")):
            return False
        if isinstance(match.values, SetRef):
            found = self.matching.set_of(table, match.values)
            return found is not None and not found.dynamic and not found.unknown
        return isinstance(match.values, Intervals) and key.mask is None

    def _number(self, match: Match, table: Table) -> int:
        """Give equal matches one number, so that each is answered once a packet."""
        values = match.values
        if len(match.keys) == 1 and isinstance(values, (Intervals, Names)):
            known_key = self._keys.get(id(match.keys))  # thousands of rules have the same
            if known_key is None:
                equal = self._equal.setdefault(match.keys[0], len(self._equal))
                known_key = self._keys[id(match.keys)] = match.keys, equal
            identity: object = (known_key[1], values.items, match.negate, match.test)
        else:
            identity = id(match)
        known = self._numbers.get(identity)
        if known is None:
            known = len(self._guards)
            self._guards.append((match, table))
            self._numbers[identity] = known
        return known

    # -- answering ------------------------------------------------------------------------------

    def answers(self, state: PacketState) -> dict[int, bool | str]:
        """Return what is known of the guards' answers for a packet."""
        answers = self._answers.get(state)
        if answers is None:
            answers = self._answers[state] = {_TRUE: True, _FALSE: False}
        return answers

    def guard(self, number: int, state: PacketState, answers: dict[int, bool | str]) -> bool | str:
        """Answer a guard: true, false, or why it is not known."""
        answer = answers.get(number)
        if answer is None:
            match, table = self._guards[number]
            sure, maybe, reason = self.matching.match(match, state, table)
            answer = bool(sure) if sure == maybe else reason or "it is not known"
            answers[number] = answer
        return answer

    def _index(self, batch: Batch) -> PortIndex:
        """Sort a batch by the ports that its rules name: thousands name one each."""
        if batch.by_port is None:
            index = batch.by_port = PortIndex()
            named = {guards: self.ports(guards) for guards in batch.groups}
            for guards, (name, ports) in named.items():
                for port in ports:
                    index.groups.setdefault(name, {}).setdefault(port, []).append(guards)
                if not name:
                    index.other_groups.append(guards)
            if not index.groups:
                return index
            for number, guards in enumerate(batch.rules.guards()):
                name, ports = named.get(guards) or self.ports(guards)
                for port in ports:
                    index.rules.setdefault(name, {}).setdefault(port, []).append(number)
                if not name:
                    index.other_rules.append(number)
        return batch.by_port

    def ports(self, guards: tuple[int, ...]) -> tuple[str, Sequence[int]]:
        """Return the first field among guards that must be one of a few ports, and those."""
        for number in guards:
            found = self._named.get(number)
            if found is None:
                found = self._named[number] = self._ports_of(number)
            if found[0]:
                return found
        return "", ()

    def _ports_of(self, number: int) -> tuple[str, Sequence[int]]:
        match = self._guards[number][0] if number >= 0 else None
        if match is None or match.negate or match.test != "in" or len(match.keys) != 1:
            return "", ()
        key, values = match.keys[0], match.values
        if not key.name.endswith((".dport", ".sport")) or not isinstance(values, Intervals):
            return "", ()
        if key.mask is not None or key.xor or key.shift:
            return "", ()
        if sum(high - low + 1 for low, high in values.items) > MAX_INDEXED:
            return "", ()
        return key.name, [p for low, high in values.items for p in range(low, high + 1)]

    def concerned(
        self, batch: Batch, state: PacketState
    ) -> tuple[Iterable[tuple[int, ...]], Sequence[int]]:
        """Return the groups and the rules of a batch that a packet's ports do not rule out."""
        if len(batch.rules) <= MAX_INDEXED:
            return batch.groups, range(len(batch.rules))
        index = self._index(batch)
        if not index.groups:
            return batch.groups, range(len(batch.rules))
        groups, rules = list(index.other_groups), list(index.other_rules)
        for name, by_port in index.groups.items():
            value = self.matching.read(Key(name), state)
            if isinstance(value, int):
                groups += by_port.get(value, ())
                rules += index.rules[name].get(value, ())
            elif isinstance(value, Range):
                for port in by_port:
                    if value.low <= port <= value.high:
                        groups += by_port[port]
                        rules += index.rules[name].get(port, ())
            elif value is not MISSING:
                return batch.groups, range(len(batch.rules))
        return dict.fromkeys(groups), sorted(set(rules))

    def hits(self, batch: Batch, table: Table, state: PacketState) -> tuple[int, int]:
        """Return the far addresses that certainly meet a batch, and that possibly do."""
        answers = self.answers(state)
        sure = maybe = 0
        for guards in self.concerned(batch, state)[0]:
            group = batch.groups[guards]
            certain = True
            for number in guards:
                answer = answers.get(number)
                if answer is None:
                    answer = self.guard(number, state, answers)
                if answer is False:
                    break
                if answer is not True:
                    certain = False
            else:
                if group.mask is None:
                    group.mask = self._mask(group, table, state)
                maybe |= group.mask
                if certain:
                    sure |= group.mask
        return sure, maybe

    def _mask(self, group: Group, table: Table, state: PacketState) -> int:
        """Return the far addresses of a group."""
        if group.every:
            return self.matching.full(state)
        mask = self.union(group.sources, table, state)
        for listed in group.listed:
            mask |= listed.mask(self.matching.universes[state.family or 4])
        return mask

    def union(self, several: Iterable[tuple[Match, ...]], table: Table, state: PacketState) -> int:
        """Return the far addresses of any of these rules."""
        result = 0
        intervals: list[Interval] = []
        for sources in several:
            first = sources[0]
            if len(sources) == 1 and not first.negate and isinstance(first.values, Intervals):
                intervals += first.values.items
            else:
                result |= self.sources(sources, table, state)
        return result | self.matching.universes[state.family or 4].mask(intervals)

    def sources(self, sources: Sequence[Match], table: Table, state: PacketState) -> int:
        """Return the far addresses of one rule."""
        mask = self.matching.full(state)
        for match in sources:
            mask &= self.matching.match(match, state, table)[0]
        return mask


class Crediting:
    """Notes which rules of a batch did what; beyond a bound they are counted together."""

    def __init__(
        self, batches: Batches, batch: Batch, place: Place, state: PacketState, notes: Notes
    ) -> None:
        self.batches = batches
        self.batch = batch
        self.place = place
        self.state = state
        self.notes = notes
        self.answers = batches.answers(state)

    def credit(self, left: int, sure: int, maybe: int) -> None:
        """Note what the rules do to the far addresses `left`, of which `hits` meet the batch."""
        bounded = not (self.notes.wanted and self.batch.kind == "accept")
        universe = self.batches.matching.universes[self.state.family or 4]
        single = universe.starts[left.bit_length() - 1] if not left & (left - 1) else None
        credited = 0
        if self.notes.full(self.place.chain, self.batch.kind, self.state):
            credited = MAX_CREDITED
        together: list[PlainRule] = []
        every = any(group.every for group in self.batch.groups.values())
        for index in self.batches.concerned(self.batch, self.state)[1]:
            plain = self.batch.rules[index]
            if not left & maybe:
                return
            if bounded and credited >= MAX_CREDITED and not every and sure == maybe:
                self._note(plain, left & maybe, True, len(self.batch.rules) - index - 1)
                return
            answer = self._applies(plain)
            if answer is False or (single is not None and _elsewhere(plain.sources, single)):
                continue
            if bounded and credited >= MAX_CREDITED and plain.sources and answer is True:
                together.append(plain)
                continue
            left = self._together(together, left)
            hit = left
            if plain.sources:
                hit &= self.batches.sources(plain.sources, self.place.table, self.state)
            if hit:
                credited += 1
                self._note(plain, hit, answer, 0)
                if answer is True:
                    left &= ~hit
        self._together(together, left)

    def _applies(self, plain: PlainRule) -> bool | str:
        reason = ""
        for number in plain.guards:
            answer = self.batches.guard(number, self.state, self.answers)
            if answer is False:
                return False
            if answer is not True:
                reason = reason or answer
        return reason or True

    def _together(self, several: list[PlainRule], left: int) -> int:
        """Note what several rules did as one, and return the far addresses they leave."""
        if several:
            sources = (plain.sources for plain in several)
            hit = left & self.batches.union(sources, self.place.table, self.state)
            if hit:
                self._note(several[0], hit, True, len(several) - 1)
            left &= ~hit
            several.clear()
        return left

    def _note(self, plain: PlainRule, hit: int, answer: bool | str, more: int) -> None:
        place = self.place
        verdict = plain.rule.items[-1]
        rejects = isinstance(verdict, Verdict) and verdict.kind == "reject"
        effect = "reject" if rejects else self.batch.kind
        if isinstance(answer, str):
            self.notes.credit(
                Note("unknown", hit, place.table, place.chain, plain.rule, self.state, answer,
                     place.depth)
            )  # fmt: skip
        done = Note(
            effect, hit, place.table, place.chain, plain.rule, self.state, "", place.depth, more
        )
        self.notes.credit(done, apart=not plain.sources)


def _batch(steps: list[Batch | Turns | Rule], kind: str) -> Batch:
    """Return the batch that the next plain rule of a kind goes to."""
    last = steps[-1] if steps else None
    if not (type(last) is Batch and last.kind == kind):
        last = Batch(kind)
        steps.append(last)
    return last


def _starts(chosen: bytes) -> list[int]:
    """Return where the verdicts of a listing change: each start, and the end."""
    changes = [at for at, (one, other) in enumerate(pairwise(chosen), 1) if one != other]
    return [0, *changes, len(chosen)]


def _is_next_of_a_list(rule: Rule, last: PlainRule) -> bool:
    """Tell, cheaply, that a rule is the one before with another address or verdict: lists have
    thousands of them."""
    if len(rule.items) != 2 or len(last.sources) != 1 or len(last.rule.items) != 2:
        return False
    match, verdict = rule.items
    before, last_verdict = last.rule.items
    return (
        type(match) is Match
        and type(before) is Match
        and match.keys is before.keys
        and match.test == before.test
        and type(match.values) is Intervals
        and type(before.values) is Intervals
        and (verdict is last_verdict or (_is_simple(verdict) and _is_simple(last_verdict)))
    )


def _is_simple(item: object) -> bool:
    """Tell whether an item is a verdict on every packet that comes to it."""
    return type(item) is Verdict and item.kind in ("accept", "drop", "return")


def _elsewhere(sources: Sequence[Match], address: int) -> bool:
    """Tell, cheaply, that a rule's plain sources leave an address out."""
    for match in sources:
        values = match.values
        if isinstance(values, Intervals) and match.negate == any(
            low <= address <= high for low, high in values.items
        ):
            return True
    return False
