"""Where accepting rules have to stand for a port to open, proved by evaluating them there."""

from __future__ import annotations

from typing import Literal

from sslint.netfilter.chains import Flow, Outcome, run_rule
from sslint.netfilter.evaluation import Evaluation
from sslint.netfilter.explain import is_open, notes_of
from sslint.netfilter.model import (
    Chain,
    CtState,
    Intervals,
    Key,
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

Purpose = Literal["port", "source-port", "established", "neighbour-discovery"]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One rule to insert: at `index` of a base chain, before the rule `before` (None: append).

    `purpose`: accept the port; packets from the port (an answer that is not tracked);
    established connections; neighbour discovery. `port` is the one that this chain sees.
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


def suggest_open(
    firewall: Evaluation, transport: Literal["tcp", "udp"], port: int, family: Literal[4, 6]
) -> tuple[Suggestion, ...] | None:
    """Return the rules that, inserted, open a port to the public; None if none do."""
    if firewall.not_judged(family, None) is not None:
        return None
    made: list[Suggestion] = []
    current = firewall
    for _ in range(MAX_RULES):
        question = current.connections.question(transport, port, family, None, False)
        if is_open(current, question):
            return tuple(made)
        found = _next(current, transport, port, family)
        if found is None:
            return None
        suggestion, ruleset = found
        if any(_same(suggestion, other) for other in made):
            return None
        made.append(_original(suggestion, firewall))
        current = Evaluation(ruleset, firewall.network)
    return None


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


def _next(
    firewall: Evaluation, transport: Literal["tcp", "udp"], port: int, family: Literal[4, 6]
) -> tuple[Suggestion, Ruleset] | None:
    """Find the first base chain that closes the port, and let it through there."""
    question = firewall.connections.question(transport, port, family, None, False)
    universe = firewall.universes[family]
    for iif in firewall.public:
        found = firewall.connections.sets(question, iif)
        shut_out = universe.public & ~found.sets.open
        if not shut_out or not found.reached:
            continue
        outer = port if port in found.reached else min(found.reached)
        top: Rule | None = None  # the rule of the base chain that leads to what is noted
        for note in notes_of(firewall, question, iif, outer):
            if note.depth == 0:
                top = note.rule
            if note.effect not in ("drop", "reject", "policy-drop") or not note.mask & shut_out:
                continue
            if note.state.synproxy == ANSWERED:  # no rule repairs its handshakes
                return None
            if note.base is None or note.base.base is None or note.base.base.type == "nat":
                return None
            return _insert(firewall, note, top, transport)
    return None


def _insert(
    firewall: Evaluation, note: Note, top: Rule | None, transport: Literal["tcp", "udp"]
) -> tuple[Suggestion, Ruleset]:
    table, base, state = note.table, note.base, note.state
    assert base is not None
    index = _place(firewall, table, base, note, top)
    purpose: Purpose
    if note.stage == "neighbour-discovery":
        purpose = "neighbour-discovery"
    elif state.ct == CtState.ESTABLISHED:
        purpose = "established"
    else:
        purpose = "port" if state.inbound else "source-port"
    before = base.rules[index] if index < len(base.rules) else None
    location = before.location if before is not None else base.location
    rule = Rule(_items(purpose, state), location)
    suggestion = Suggestion(
        table, base, index, before, location, purpose, transport, state.port, rule
    )
    chain = Chain(base.name, base.location, base.base, list(base.rules), base.order)
    chain.rules.insert(index, rule)
    copies = []
    for old in firewall.ruleset.tables:
        if old is table:
            copy = replace(old)
            copy.chains = {**old.chains, base.name: chain}
            copies.append(copy)
        else:
            copies.append(old)
    return suggestion, replace(firewall.ruleset, tables=copies)


def _items(purpose: Purpose, state: PacketState) -> tuple[Match | Verdict, ...]:
    def match(key: str, *values: int) -> Match:
        return Match((Key(key),), Intervals(tuple((value, value) for value in values)))

    accept = Verdict("accept")
    if purpose == "established":
        bits = CtState.ESTABLISHED | CtState.RELATED
        return (Match((Key("ct.state"),), Intervals(((bits, bits),)), test="any"), accept)
    if purpose == "neighbour-discovery":
        if state.family == 0:
            return (accept,)
        return (match("meta.l4proto", ICMPV6), match("icmpv6.type", 133, 134, 135, 136), accept)
    group = "tcp" if state.proto == 6 else "udp"
    key = f"{group}.dport" if state.inbound else f"{group}.sport"
    return (match("meta.l4proto", state.proto), match(key, state.port), accept)


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
            return index
    return len(base.rules)
