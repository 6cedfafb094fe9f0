"""The rules that name a port to open it, and whether they do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Literal, TypeVar

from sslint.netfilter import explain
from sslint.netfilter.addresses import Sources
from sslint.netfilter.chains import Flow, Outcome, run_rule
from sslint.netfilter.connections import Question, Sets
from sslint.netfilter.evaluation import Evaluation
from sslint.netfilter.hooks import track
from sslint.netfilter.model import (
    Chain,
    Intervals,
    Match,
    Rule,
    SetRef,
    Table,
    Verdict,
    VerdictMap,
)
from sslint.netfilter.notes import Notes
from sslint.netfilter.packet import PacketState
from sslint.netfilter.survey import fields, verdicts
from sslint.netfilter.verdicts import Decision, decision
from sslint.source import Location
from sslint.values import dataclass, field

MAX_NAMED = 16  # ports one rule may name and still be said to name them
MAX_OPENINGS = 4096
MAX_RUNS = 512  # ports that are followed

T = TypeVar("T")
Transport = Literal["tcp", "udp"]


@dataclass(frozen=True, slots=True)
class Opening:
    """A rule that accepts a port by name, for `sources`.

    `effective`: some of them do get in through it. Those who are `closed` all the same are so by
    an earlier rule of the same base chain (`shadowed_by`), by other base chains (`blocked_by`), or
    by what later packets of the connection meet.
    """

    family: Literal[4, 6]
    transport: Transport
    port: int
    accepts: Sources
    location: Location
    text: str
    table: Table = field(repr=False)
    chain: Chain = field(repr=False)
    rule: Rule = field(repr=False)
    shut: Callable[[], Sources] = field(repr=False)
    told: Callable[[], _Told] = field(repr=False)  # what follows from the notes of its port

    @property
    def effective(self) -> bool:
        """Whether some source gets in through it."""
        return self.told().effective

    @property
    def shadowed_by(self) -> Decision | None:
        """What closes it in its own base chain."""
        return self.told().shadowed_by

    @property
    def blocked_by(self) -> tuple[Decision, ...]:
        """What closes it in other base chains."""
        return self.told().blocked_by

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources it accepts, as minimal CIDRs."""
        return self.accepts.cidrs

    @property
    def closed(self) -> tuple[str, ...]:
        """Who of them is closed all the same, as minimal CIDRs."""
        return self.shut().cidrs


@dataclass(frozen=True, slots=True)
class _Told:
    effective: bool
    shadowed_by: Decision | None
    blocked_by: tuple[Decision, ...]


def openings(firewall: Evaluation) -> tuple[Opening, ...]:
    """Find every rule under an input hook that names a port to accept it."""
    candidates = list(islice(_candidates(firewall), MAX_OPENINGS))
    ports: dict[tuple[Transport, int, int], set[int]] = {}
    for one in candidates:
        ports.setdefault((one.transport, one.port, one.family), set()).add(id(one.rule))
    search = _Search(firewall, {port: frozenset(rules) for port, rules in ports.items()})
    found = (search.judge(one) for one in candidates)
    return tuple(opening for opening in found if opening is not None)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A rule that may open a port that it names."""

    table: Table
    base: Chain
    chain: Chain
    rule: Rule
    transport: Transport
    port: int
    family: Literal[4, 6]


def _candidates(firewall: Evaluation) -> Iterator[_Candidate]:
    seen: set[tuple[int, Transport, int, int]] = set()
    for table, base in firewall.hooks.bases():
        if base.base is None or base.base.hook != "input" or base.base.type == "nat":
            continue
        for chain in _chains(firewall, table, base):
            for rule in chain.rules:
                for transport, port in _named(firewall, table, rule):
                    for family in _families(table):
                        key = (id(rule), transport, port, family)
                        if key not in seen:
                            seen.add(key)
                            yield _Candidate(table, base, chain, rule, transport, port, family)


def _families(table: Table) -> tuple[Literal[4, 6], ...]:
    if table.family == "inet":
        return (4, 6)
    return (4,) if table.family == "ip" else (6,) if table.family == "ip6" else ()


def _chains(firewall: Evaluation, table: Table, base: Chain) -> Iterator[Chain]:
    waiting, seen = [base], {base.name}
    while waiting:
        chain = waiting.pop(0)
        yield chain
        for rule in chain.rules:
            for verdict in _verdicts(firewall, table, rule):
                callee = table.chains.get(verdict.chain)
                if callee is not None and callee.name not in seen:
                    seen.add(callee.name)
                    waiting.append(callee)


def _verdicts(firewall: Evaluation, table: Table, rule: Rule) -> Iterator[Verdict]:
    for item in rule.items:
        if isinstance(item, Verdict):
            yield item
        elif isinstance(item, VerdictMap):
            yield from verdicts(firewall.ruleset, table, item)


def _named(firewall: Evaluation, table: Table, rule: Rule) -> list[tuple[Transport, int]]:
    """Return the ports that an accepting (or jumping) rule names."""
    if not any(
        verdict.kind in ("accept", "jump", "goto") for verdict in _verdicts(firewall, table, rule)
    ):
        return []
    named: dict[tuple[Transport, int], None] = {}
    for item in rule.items:
        if isinstance(item, Match):
            if item.negate or item.test != "in":
                continue
            keys, values = item.keys, item.values
        elif isinstance(item, VerdictMap):
            keys = item.keys
            values = (
                item.entries
                if isinstance(item.entries, SetRef)
                else tuple(element for element, _ in item.entries)
            )
        else:
            continue
        if not any(key.name.endswith(".dport") for key in keys):
            continue
        ports = []
        for key, value in fields(firewall.ruleset, table, keys, values):
            if key.name.endswith(".dport") and isinstance(value, Intervals):
                ports += [(key.name.partition(".")[0], item) for item in value.items]
        if sum(high - low + 1 for _, (low, high) in ports) > MAX_NAMED:
            continue
        for group, (low, high) in ports:
            transports: tuple[Transport, ...] = ("tcp", "udp")
            for transport in transports:
                if group in (transport, "th"):
                    for port in range(low, high + 1):
                        named[transport, port] = None
    return list(named)


class _Search:
    """Judges candidates; the connections to a port are followed once for all of its rules."""

    def __init__(
        self, firewall: Evaluation, wanted: dict[tuple[Transport, int, int], frozenset[int]]
    ) -> None:
        self.firewall = firewall
        self.wanted = wanted
        self._runs: dict[tuple[Transport, int, int, str], Callable[[], Notes]] = {}

    def judge(self, one: _Candidate) -> Opening | None:
        """Judge one candidate; None if it accepts nobody."""
        firewall, family = self.firewall, one.family
        if firewall.not_judged(family, None) is not None:
            return None
        universe = firewall.universes[family]
        relevant = universe.full & ~universe.never
        question = firewall.connections.question(one.transport, one.port, family, None, False)
        views: list[tuple[str, int]] = []  # the interfaces where it accepts, and whom
        for iif in (*firewall.public, *firewall.others):
            start = firewall.connections.start(question, one.port, question.destinations[0], iif)
            accepted = _accepted(firewall, one.table, one.chain, one.rule, start) & relevant
            if accepted:
                views.append((iif, accepted))
        if not views:
            return None
        key = (one.transport, one.port, family)
        if (*key, views[0][0]) not in self._runs and len(self._runs) >= MAX_RUNS:
            return None
        for iif, _ in views:
            run = _once(partial(self._notes, question, one, iif))
            self._runs.setdefault((*key, iif), run)

        def sets(iif: str) -> Sets:
            return firewall.gate(firewall.connections.sets(question, iif).sets, family)[0]

        def told(view: tuple[str, int]) -> _Told:
            iif, accepted = view
            return self._told(one, self._runs[*key, iif](), accepted, sets(iif))

        def decisive() -> tuple[str, int]:
            """Return an interface by which some get in through it, or the first."""
            return next((view for view in views if told(view).effective), views[0])

        def shut() -> Sources:
            iif, accepted = chosen()
            return Sources(universe, accepted & ~sets(iif).possible)

        chosen = _once(decisive)
        return Opening(
            family, one.transport, one.port, Sources(universe, views[0][1]), one.rule.location,
            one.rule.text, one.table, one.chain, one.rule,
            _once(shut), _once(lambda: told(chosen())),
        )  # fmt: skip

    def _notes(self, question: Question, one: _Candidate, iif: str) -> Notes:
        wanted = self.wanted.get((one.transport, one.port, one.family), frozenset())
        return explain.notes_of(self.firewall, question, iif, one.port, wanted)

    def _told(self, one: _Candidate, notes: Notes, accepted: int, sets: Sets) -> _Told:
        through = 0
        for note in notes:
            if note.rule is one.rule and note.effect in ("accept", "accepts through"):
                through |= note.mask
        shadow, blocks = self._blocks(one, notes, accepted & ~sets.possible)
        return _Told(bool(through & sets.open & accepted), shadow, blocks)

    def _blocks(
        self, one: _Candidate, notes: Notes, closed: int
    ) -> tuple[Decision | None, tuple[Decision, ...]]:
        """Return what in its own base chain takes a candidate's sources, and what elsewhere."""
        shadow: Decision | None = None
        blocks: dict[tuple[int, int], Decision] = {}
        for note in notes:
            mask = note.mask & closed
            closes = note.effect in ("drop", "reject", "policy-drop")
            if not mask or not closes or note.stage != "new":
                continue
            if note.base is one.base:
                if shadow is None:
                    shadow = decision(self.firewall.universes[one.family], note, mask)
            else:
                place = (id(note.rule), id(note.chain))
                if place not in blocks:
                    blocks[place] = decision(self.firewall.universes[one.family], note, mask)
        return shadow, tuple(blocks.values())


def _once(make: Callable[[], T]) -> Callable[[], T]:
    """Return what makes something when it is first asked; functools.cache takes longer to make."""
    made: list[T] = []

    def get() -> T:
        if not made:
            made.append(make())
        return made[0]

    return get


def _accepted(
    firewall: Evaluation, table: Table, chain: Chain, rule: Rule, start: PacketState
) -> int:
    """Return the sources that a rule certainly accepts, itself or through the chain it jumps to."""
    state = track(start._replace(hook="input"))
    out = Outcome()
    following: Flow = {}
    full = firewall.matching.full(state)
    run_rule(firewall.evaluator, table, chain, rule, out, following, {state: full})
    accepted = 0
    for mask in out.accept.values():
        accepted |= mask
    last = rule.items[-1] if rule.items else None
    if isinstance(last, Verdict) and last.kind == "accept":
        return accepted
    for mask in (out.drop, *out.returns.values(), *following.values()):
        accepted &= ~mask
    return accepted
