"""Where accepting rules have to stand for a port to open, proved by evaluating them there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from sslint.netfilter.chains import Flow, Outcome, run_rule
from sslint.netfilter.connections import Question
from sslint.netfilter.evaluation import Evaluation
from sslint.netfilter.explain import is_open, notes_of
from sslint.netfilter.model import (
    Chain,
    CtState,
    Intervals,
    Key,
    Limit,
    Match,
    Rule,
    Ruleset,
    Table,
    Verdict,
)
from sslint.netfilter.notes import Note
from sslint.netfilter.packet import ANSWERED, ICMPV6, PacketState
from sslint.source import Location
from sslint.values import dataclass, field, replace

MAX_RULES = 12

Family = Literal[4, 6]
Purpose = Literal["port", "source-port", "established", "neighbour-discovery"]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One rule to insert: at `index` of a chain, before the rule `before` (None: append).

    `purpose`: accept the port; packets from the port (an answer that is not tracked);
    established connections; neighbour discovery. `port` is the one that this chain sees, `only` the
    family that the rule is limited to.
    """

    table: Table = field(repr=False)
    chain: Chain = field(repr=False)
    index: int
    before: Rule | None = field(repr=False)
    location: Location
    purpose: Purpose
    transport: Literal["tcp", "udp"]
    port: int
    rule: Rule = field(repr=False)
    only: Literal[4, 6] | None = None


Places = Callable[[Note], Sequence[tuple[Chain, int]] | None]
"""Where a ruleset's owner would insert a rule against what closes; None: just before it."""
Closing = tuple[Note, Rule | None, str]
"""What shuts public sources out, the base chain's rule that leads to it, and the interface."""


def anywhere(_note: Note) -> None:
    """Return the places of a ruleset that is written by hand: a rule may stand in all of it."""


def suggest_open(
    firewall: Evaluation,
    transport: Literal["tcp", "udp"],
    port: int,
    *families: Family,
    places: Places = anywhere,
) -> tuple[Suggestion, ...] | None:
    """Return the rules that, inserted, open a port to the public; None if none do.

    Who is banned by a rule of their own stays out, and over another family no more get in where
    some do.
    """
    for apart in (False, True):
        made: list[Suggestion] | None = None
        current = firewall
        for family in families:
            found = _opened(firewall, current, transport, port, family, places, apart=apart)
            if found is not None:
                made = [*(made or ()), *found[0]]
                current = found[1]
        if made is None or _is_meant(firewall, current, transport, port, families):
            return None if made is None else tuple(made)
    return None


def _opened(
    firewall: Evaluation,
    start: Evaluation,
    transport: Literal["tcp", "udp"],
    port: int,
    family: Family,
    places: Places,
    *,
    apart: bool,
) -> tuple[list[Suggestion], Evaluation] | None:
    """Return the rules that open a port over one family, beside those of `start`, and what is then.

    `apart`: each is for this family alone.
    """
    if firewall.not_judged(family, None) is not None:
        return None
    made: list[Suggestion] = []
    current = start
    banned = _banned(firewall, transport, port, family)
    for _ in range(MAX_RULES):
        question = current.connections.question(transport, port, family, None, False)
        if is_open(current, question):
            return made, current
        closing = _widest(current, question)
        if closing is None or not _can_be_passed(closing[0]):
            return None
        note, top, iif = closing
        if note.mask & banned[iif]:
            return (made, current) if made else None
        only = family if apart and note.table.family == "inet" else None
        for chain, index in places(note) or (_before(current, note, top),):
            suggestion, ruleset = _insert(current, note, chain, index, transport, only)
            if any(_same(suggestion, other) for other in made):
                continue
            following = Evaluation(ruleset, firewall.network)
            if not _is_left(closing, _widest(following, question)):
                made.append(_original(suggestion, firewall))
                current = following
                break
        else:
            return None
    return None


def _is_left(one: Closing, other: Closing | None) -> bool:
    """Whether what closed a port still closes it to as many."""
    if other is None:
        return False
    (a, _, iif), (b, _, other_iif) = one, other
    return (a.rule is b.rule and a.chain.name == b.chain.name and a.stage == b.stage) and (
        a.mask == b.mask and iif == other_iif
    )


def _same(one: Suggestion, other: Suggestion) -> bool:
    return (one.table.name, one.chain.name, one.purpose, one.port, one.before is None) == (
        other.table.name, other.chain.name, other.purpose, other.port, other.before is None,
    ) and one.table.family == other.table.family  # fmt: skip


def _original(suggestion: Suggestion, firewall: Evaluation) -> Suggestion:
    """Say the place in the ruleset as it is on file."""
    for table in firewall.ruleset.tables:
        if (table.family, table.name, table.origin) != (
            suggestion.table.family, suggestion.table.name, suggestion.table.origin,
        ):  # fmt: skip
            continue
        chain = table.chains.get(suggestion.chain.name)
        if chain is None:
            continue
        index = len(chain.rules)
        for number, rule in enumerate(chain.rules):
            if rule is suggestion.before:
                index = number
                break
        else:
            if suggestion.before is not None:
                continue
        return replace(suggestion, table=table, chain=chain, index=index)
    return suggestion


def _widest(firewall: Evaluation, question: Question) -> Closing | None:
    """Return what shuts most of the public out where the port is closed first."""
    universe = firewall.universes[question.family]
    for iif in firewall.public:
        closing = list(_closing(firewall, question, iif))
        if closing:
            return max(closing, key=lambda one: universe.weight(one[0].mask & universe.public))
    return None


def _can_be_passed(note: Note) -> bool:
    """Tell whether an accept before it would help: no rule repairs SYNPROXY's handshakes."""
    base = note.base.base if note.base is not None else None
    return base is not None and base.type != "nat" and note.state.synproxy != ANSWERED


def _closing(firewall: Evaluation, question: Question, iif: str) -> Iterator[Closing]:
    """Yield what shuts public sources out, and the base chain's rule that leads to it."""
    found = firewall.connections.sets(question, iif)
    shut_out = firewall.universes[question.family].public & ~found.sets.open
    if not shut_out or not found.reached:
        return
    port = question.port
    outer = port if port is not None and port in found.reached else min(found.reached)
    top: Rule | None = None
    for note in notes_of(firewall, question, iif, outer):
        if note.depth == 0:
            top = note.rule
        if note.effect in ("drop", "reject", "policy-drop") and note.mask & shut_out:
            yield note, top, iif


def _banned(
    firewall: Evaluation, transport: Literal["tcp", "udp"], port: int, family: Family
) -> dict[str, int]:
    """Return by interface the sources that rules of their own shut out: no accept may let them in.

    Such a rule shuts out the smaller part of the public.
    """
    question = firewall.connections.question(transport, port, family, None, False)
    universe = firewall.universes[family]
    banned = dict.fromkeys(firewall.public, 0)
    for iif in firewall.public:
        shut: dict[int, int] = defaultdict(int)  # by rule: it may be met in several states
        for note, _, _ in _closing(firewall, question, iif):
            if note.effect != "policy-drop":
                shut[id(note.rule)] |= note.mask & universe.public
        for mask in shut.values():
            if 2 * universe.weight(mask) < universe.weight(universe.public):
                banned[iif] |= mask
    return banned


def _is_meant(
    before: Evaluation,
    after: Evaluation,
    transport: Literal["tcp", "udp"],
    port: int,
    families: Sequence[Family],
) -> bool:
    """Tell whether no more sources get in than are meant to."""
    every: tuple[Family, ...] = (4, 6)
    for family in every:
        question = before.connections.question(transport, port, family, None, False)
        banned = _banned(before, transport, port, family)
        for iif in before.public:
            was = before.connections.sets(question, iif).sets.open
            if was and family not in families:  # some are let in, and the others are not
                banned[iif] = ~was
            if after.connections.sets(question, iif).sets.open & banned[iif]:
                return False
    return True


def purpose_of(note: Note) -> Purpose:
    """Return which packets have to be accepted against what closes a port."""
    if note.stage == "neighbour-discovery":
        return "neighbour-discovery"
    if note.state.ct == CtState.ESTABLISHED:
        return "established"
    return "port" if note.state.inbound else "source-port"


def _before(firewall: Evaluation, note: Note, top: Rule | None) -> tuple[Chain, int]:
    """Return the place in the base chain where an accept is in time."""
    assert note.base is not None
    return note.base, _place(firewall, note.table, note.base, note, top)


def _insert(
    firewall: Evaluation,
    note: Note,
    into: Chain,
    index: int,
    transport: Literal["tcp", "udp"],
    only: Family | None,
) -> tuple[Suggestion, Ruleset]:
    table, state = note.table, note.state
    purpose = purpose_of(note)
    before = into.rules[index] if index < len(into.rules) else None
    location = before.location if before is not None else into.location
    rule = Rule(_items(purpose, state, only), location)
    suggestion = Suggestion(
        table, into, index, before, location, purpose, transport, state.port, rule, only
    )
    chain = Chain(into.name, into.location, into.base, list(into.rules), into.order)
    chain.rules.insert(index, rule)
    copies = []
    for old in firewall.ruleset.tables:
        if old is table:
            copy = replace(old)
            copy.chains = {**old.chains, into.name: chain}
            copies.append(copy)
        else:
            copies.append(old)
    return suggestion, replace(firewall.ruleset, tables=copies)


def _items(
    purpose: Purpose, state: PacketState, only: Family | None
) -> tuple[Match | Verdict, ...]:
    def match(key: str, *values: int) -> Match:
        return Match((Key(key),), Intervals(tuple((value, value) for value in values)))

    accept = Verdict("accept")
    limits = (match("meta.nfproto", 2 if only == 4 else 10),) if only is not None else ()
    if purpose == "established":
        bits = CtState.ESTABLISHED | CtState.RELATED
        state_of = Match((Key("ct.state"),), Intervals(((bits, bits),)), test="any")
        return (*limits, state_of, accept)
    if purpose == "neighbour-discovery":
        if state.family == 0:
            return (accept,)
        return (match("meta.l4proto", ICMPV6), match("icmpv6.type", 133, 134, 135, 136), accept)
    group = "tcp" if state.proto == 6 else "udp"
    key = f"{group}.dport" if state.inbound else f"{group}.sport"
    return (*limits, match("meta.l4proto", state.proto), match(key, state.port), accept)


def _place(firewall: Evaluation, table: Table, base: Chain, note: Note, top: Rule | None) -> int:
    """Return the index of the first rule of the base chain after which an accept is too late."""
    full = firewall.matching.full(note.state)
    assert base.base is not None
    for index, rule in enumerate(base.rules):
        out = Outcome()
        following: Flow = {}
        run_rule(firewall.evaluator, table, base, rule, out, following, {note.state: full})
        lost = out.drop
        if base.base.policy == "drop":
            for mask in out.returns.values():
                lost |= mask
        if lost & note.mask or rule is top:
            return _before_logging(base, index)
    return _before_logging(base, len(base.rules))


def _before_logging(base: Chain, index: int) -> int:
    """Return the place before the rules that only log or count what is closed next."""
    while index and all(isinstance(one, Match | Limit) for one in base.rules[index - 1].items):
        index -= 1
    return index
