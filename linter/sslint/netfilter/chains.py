"""What a chain does to a packet, for all far addresses at once.

Every set is one of *possible* addresses: a source stands under each outcome that it may meet. What
certainly happens follows in the end: an address with no other outcome has that one for certain.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sslint.budgets import spend
from sslint.netfilter import addresses, nat, writes
from sslint.netfilter.batches import Batches, Crediting, Place
from sslint.netfilter.by_port import PortRules, port_rules
from sslint.netfilter.matching import Answer, Matching
from sslint.netfilter.model import (
    Assign,
    Chain,
    Constant,
    CtState,
    Element,
    Interval,
    Intervals,
    Key,
    Limit,
    Listing,
    Match,
    Nat,
    Notrack,
    Recent,
    Rule,
    Set,
    SetRef,
    SetUpdate,
    Synproxy,
    Table,
    TcpFlag,
    Tproxy,
    Unknown,
    Unmodelled,
    Verdict,
    VerdictMap,
)
from sslint.netfilter.notes import Note, Notes
from sslint.netfilter.packet import (
    ANSWERED,
    BANNED,
    COOKIE,
    MISSING,
    RATED,
    TCP,
    TEMPLATE,
    Entry,
    PacketState,
    Value,
)
from sslint.netfilter.runs import Batch, Turns
from sslint.netfilter.series import (
    MANY,
    Lot,
    Rest,
    Series,
    are_plain,
    deal,
    dealable,
    joined,
    lot_of,
)
from sslint.netfilter.survey import MAX_DEPTH, PORTS, is_ban_chain
from sslint.values import dataclass, field

Flow = dict[PacketState, int]
"""Which far addresses may be met in which state."""

MAX_REMEMBERED = 20_000  # outcomes of chains
MAX_VIEWS = 1_000  # parts of chains
MAX_STATES = 16  # states one chain may split a packet into
PASSED = 16  # rules about other ports that cost as much as one that is run
MAX_STEPS = 400_000  # rules one explanation may look at


@dataclass(slots=True)
class Outcome:
    """Where the far addresses may end up: accepted or returned (in which state), or dropped."""

    accept: Flow = field(default_factory=dict)
    returns: Flow = field(default_factory=dict)
    drop: int = 0


def add(flow: Flow, state: PacketState, mask: int) -> None:
    """Let more far addresses be met in a state."""
    if mask:
        flow[state] = flow.get(state, 0) | mask if flow else mask  # a state has a long hash


def few(flow: Flow) -> Flow:
    """Bound the states that a packet is split into: marks that are too many are not known."""
    if len(flow) <= MAX_STATES:
        return flow
    merged: Flow = {}
    written = tuple((name, None) for name in sorted({n for s in flow for n, _ in s.written}))
    for state, mask in flow.items():
        add(merged, state._replace(mark=None, ctmark=None, written=written), mask)
    return merged


Step = Series | Batch | Rule


class Evaluator:
    """Runs packets through chains; remembers the outcome of each chain for each packet state."""

    def __init__(self, matching: Matching) -> None:
        self.matching = matching
        self._views: dict[tuple[object, ...], list[Step]] = {}
        self._by_port: dict[int, PortRules | None] = {}  # of long chains
        self.batches = Batches(matching)
        self._outcomes: dict[tuple[int, PacketState], Outcome] = {}
        self._named: dict[int, tuple[Key, tuple[Interval, ...]] | None] = {}  # by rule
        self._asked: PacketState | None = None
        self._values: dict[str, Value] = {}  # what keys read of the state that was asked last
        self._steps = 0
        # What a step costs grows with the sets of addresses that it works on.
        self._weight = 1 + (max(one.atoms for one in matching.universes.values()) >> 13)

    # -- chains -----------------------------------------------------------------------------

    def outcome(self, table: Table, chain: Chain, state: PacketState, depth: int = 0) -> Outcome:
        """Return what a chain may do to a packet in this state, for all far addresses."""
        memo = (id(chain), state)
        known = self._outcomes.get(memo)
        if known is None:
            spend("states")
            full = self.matching.full(state)
            known = self.walk(table, chain, {state: full}, None, depth)
            self._outcomes[memo] = known
        return known

    def trim(self) -> None:
        """Forget what was remembered of packets once it is much."""
        if len(self._outcomes) > MAX_REMEMBERED or len(self.batches) > MAX_REMEMBERED:
            self._outcomes.clear()
            self.batches.forget()

    def explain(self, table: Table, chain: Chain, flow: Flow, notes: Notes) -> Outcome:
        """Return the same, and note what each rule did."""
        self._steps = 0
        return self.walk(table, chain, flow, notes, 0)

    def walk(
        self, table: Table, chain: Chain, flow: Flow, notes: Notes | None, depth: int
    ) -> Outcome:
        """Run a chain's rules one after the other."""
        out = Outcome()
        flow = dict(flow)
        for state in flow:
            if state.history == BANNED and depth and is_ban_chain(chain.name):
                out.drop |= flow[state]
                if notes is not None:
                    note = Note("unknown", flow[state], table, chain, None, state)
                    note.reason = f"the chain {chain.name} is filled with bans at run time"
                    notes.append(note)
        place = Place(table, chain, depth)
        steps = passed = 0
        for step in self._view(table, chain, flow):
            if not flow:
                break
            if isinstance(step, Rule) and self._passes_by(step, flow):
                passed += 1
                continue
            steps += len(flow)
            if type(step) is Batch:
                self._run_batch(step, place, flow, out, notes)
            elif type(step) is Series:
                steps += self._run_series(step, place, flow, out, notes)
            else:
                assert isinstance(step, Rule)
                following: Flow = {}
                for state, mask in flow.items():
                    run = _Run(self, table, chain, step, out, following, notes, depth)
                    run.run(state, mask)
                flow = few(following)
        spend("steps", steps * self._weight + passed // PASSED)
        for state, mask in flow.items():
            add(out.returns, state, mask)
        out.accept, out.returns = few(out.accept), few(out.returns)
        return out

    # -- batches ------------------------------------------------------------------------------

    def _view(self, table: Table, chain: Chain, flow: Flow) -> list[Step]:
        state = next(iter(flow))
        memo: tuple[object, ...] = (id(chain), state.family, state.inbound)
        known = self._views.get(memo)
        if known is not None:
            return known
        rules: Sequence[Rule | Listing] = chain.parts
        by_port = self._ports(chain)
        concerned = by_port.concerned(flow, self.batches.matching) if by_port is not None else None
        if by_port is not None and concerned is not None:
            memo = (*memo, tuple(concerned))  # which is not the whole chain, if it is empty
            known = self._views.get(memo)
            if len(self._views) > MAX_VIEWS:
                self._views.clear()
            rules = [by_port.rule(number) for number in concerned]
        if known is None:
            steps = self.batches.compile(table, rules, state.family, state.inbound)
            known = self._views[memo] = [*joined(steps, self.batches, state.family or 4)]
            self._named.update((id(one), _port_of(one)) for one in known if isinstance(one, Rule))
        return known

    def _passes_by(self, rule: Rule, flow: Flow) -> bool:
        """Tell, cheaply, that a rule is about another port: there may be one for each of many."""
        named = self._named[id(rule)]
        if named is None or len(flow) > 1:
            return False
        key, ports = named
        (state,) = flow
        if state is not self._asked:
            self._asked, self._values = state, {}
        value = self._values.get(key.name)
        if value is None:
            value = self._values[key.name] = self.matching.read(key, state)
        if isinstance(value, int):
            return not addresses.contains(ports, value)
        return value is MISSING

    def _ports(self, chain: Chain) -> PortRules | None:
        """Return which rules of a long chain packets may meet by their ports."""
        if id(chain) not in self._by_port:
            self._by_port[id(chain)] = port_rules(chain)
        return self._by_port[id(chain)]

    def _run_series(
        self, series: Series, place: Place, flow: Flow, out: Outcome, notes: Notes | None
    ) -> int:
        """Run batches one after the other, and together where that is the same; count the steps.

        So it is for one state, once more rules of a kind are noted than are told apart.
        """
        wanted = notes.wanted if notes is not None else frozenset()
        concerned = series.concerned(self.batches, flow)
        turns = [one for one in map(series.batches.__getitem__, concerned) if type(one) is Turns]
        if turns and not are_plain(self.batches, turns, flow, wanted):
            series = series.expanded(self.batches)
            concerned = series.concerned(self.batches, flow)
        run = _SeriesRun(self, place, flow, out, notes)
        lots = series.lots if turns or len(concerned) >= MANY else []
        for number in concerned:
            if not flow:
                break
            batch = series.batches[number]
            if isinstance(batch, Turns):
                run.turns(batch)
            else:
                run.batch(batch, lots[number] if lots else None, wanted)
        run.deal()
        return run.steps

    def _take(
        self, kind: str, state: PacketState, hit: int, sure: int, flow: Flow, out: Outcome
    ) -> None:
        """Give a batch's verdict to the far addresses that it hits, and leave the others."""
        if kind == "accept":
            add(out.accept, state, hit)
        elif kind == "drop":
            out.drop |= hit
        else:
            add(out.returns, state, hit)
        rest = flow[state] & ~sure
        if rest:
            flow[state] = rest
        else:
            del flow[state]

    def _run_batch(
        self, batch: Batch, place: Place, flow: Flow, out: Outcome, notes: Notes | None
    ) -> None:
        for state, mask in list(flow.items()):
            if state.mangled:  # its far address may not be the one that batches are made by
                self._run_each(batch, place, flow, state, out, notes)
                continue
            sure, maybe = self.batches.hits(batch, place.table, state)
            hit = mask & maybe
            if not hit:
                continue
            if notes is not None:
                self._steps += len(batch.rules)
                Crediting(self.batches, batch, place, state, notes).credit(mask, sure, maybe)
            self._take(batch.kind, state, hit, sure, flow, out)

    def _run_each(
        self,
        batch: Batch,
        place: Place,
        flow: Flow,
        state: PacketState,
        out: Outcome,
        notes: Notes | None,
    ) -> None:
        """Run a batch's rules one after the other for one state."""
        mask = flow.pop(state)
        spend("steps", len(batch.rules) * self._weight)
        for plain in batch.rules:
            left: Flow = {}
            rule = plain.rule
            _Run(self, place.table, place.chain, rule, out, left, notes, place.depth).run(
                state, mask
            )
            mask = left.get(state, 0)
            if not mask:
                return
        add(flow, state, mask)


class _SeriesRun:
    """A series run from batch to batch; `pending` are those that are dealt out next."""

    __slots__ = ("evaluator", "flow", "notes", "out", "pending", "place", "steps", "untold")

    def __init__(
        self, evaluator: Evaluator, place: Place, flow: Flow, out: Outcome, notes: Notes | None
    ) -> None:
        self.evaluator = evaluator
        self.place = place
        self.flow = flow
        self.out = out
        self.notes = notes
        self.pending: list[Lot | Rest] = []
        self.untold: set[str] = set()  # the kinds of which no more rules are told apart
        self.steps = 0

    def batch(self, batch: Batch, lot: Lot | None, wanted: Collection[int]) -> None:
        """Run a batch, or leave it pending where that is the same."""
        if lot is not None and len(self.flow) == 1 and self._is_untold(batch.kind):
            (state,) = self.flow
            plain = not wanted and not lot.guarded
            batches = self.evaluator.batches
            if not state.mangled and (plain or dealable(batches, lot, state, wanted)):
                self.pending.append(lot)
                return
        self.deal()
        if self.flow:
            self.steps += len(self.flow)
            self.evaluator._run_batch(batch, self.place, self.flow, self.out, self.notes)

    def turns(self, turns: Turns) -> None:
        """Run turns whose batches can all be dealt out: up to where no more rules are told."""
        kinds = turns.kinds
        for number in range(len(turns)):
            if not self.flow:
                return
            if all(map(self._is_untold, kinds)):
                self.pending.append(Rest(turns, number))
                return
            batch = turns.batch(number)
            (state, *_) = self.flow
            universe = self.evaluator.matching.universes[state.family or 4]
            self.batch(batch, lot_of(batch, universe), ())

    def _is_untold(self, kind: str) -> bool:
        if kind not in self.untold:
            (state,) = self.flow
            if self.notes is None or self.notes.full(self.place.chain, kind, state):
                self.untold.add(kind)
        return kind in self.untold

    def deal(self) -> None:
        """Run what is pending."""
        pending, self.pending = self.pending, []
        evaluator, number = self.evaluator, sum(map(len, pending))
        if number < MANY:
            self.steps += number
            for lot in pending:
                for batch in lot.batches():
                    evaluator._run_batch(batch, self.place, self.flow, self.out, self.notes)
            return
        self.steps += MANY
        ((state, mask),) = self.flow.items()
        for kind, dealt in deal(evaluator.batches, pending, state, mask).items():
            if self.notes is not None:
                evaluator._steps += dealt.rules
                self.notes.add(self.place.chain, kind, state, dealt.mask, dealt.rules)
            evaluator._take(kind, state, dealt.mask, dealt.mask, self.flow, self.out)


def _port_of(rule: Rule) -> tuple[Key, tuple[Interval, ...]] | None:
    """Return the key and the fewest ports that packets must have for a rule to do anything."""
    found: list[tuple[Key, tuple[Interval, ...]]] = []
    for item in rule.items:
        if not isinstance(item, Match):
            break
        key, values = item.keys[0], item.values
        plain = not item.negate and item.test == "in" and len(item.keys) == 1
        if plain and key == Key(key.name) and key.name in PORTS and isinstance(values, Intervals):
            found.append((key, values.items))
    return min(found, key=lambda one: sum(high - low for low, high in one[1]), default=None)


class _Run:
    """One rule run from left to right; a packet that stops matching goes on as it then is."""

    __slots__ = ("chain", "depth", "evaluator", "following", "notes", "out", "rule", "table")

    def __init__(
        self,
        evaluator: Evaluator,
        table: Table,
        chain: Chain,
        rule: Rule,
        out: Outcome,
        following: Flow,
        notes: Notes | None,
        depth: int,
    ) -> None:
        self.evaluator = evaluator
        self.table = table
        self.chain = chain
        self.rule = rule
        self.out = out
        self.following = following
        self.notes = notes
        self.depth = depth

    def run(self, state: PacketState, mask: int) -> None:
        """Run the rule for the far addresses in `mask`."""
        current: Flow = {state: mask}
        for item in self.rule.items:
            following: Flow = {}
            for now, possible in current.items():
                self._item(item, now, possible, following)
            current = following
            if not current:
                return
        for now, possible in current.items():
            add(self.following, now, possible)

    def _note(self, effect: str, mask: int, state: PacketState, reason: str = "") -> None:
        if self.notes is not None and mask:
            note = Note(effect, mask, self.table, self.chain, self.rule, state, reason, self.depth)
            self.notes.credit(note)

    def _answered(self, answer: Answer, state: PacketState, possible: int, onward: Flow) -> None:
        sure, maybe, reason = answer
        add(onward, state, possible & maybe)
        add(self.following, state, possible & ~sure)
        if sure != maybe:
            self._note("unknown", possible & maybe & ~sure, state, reason)

    def _item(self, item: object, state: PacketState, possible: int, onward: Flow) -> None:
        matching = self.evaluator.matching
        full = matching.full(state)
        if isinstance(item, Match):
            self._answered(matching.match(item, state, self.table), state, possible, onward)
        elif isinstance(item, Verdict):
            self._verdict(item, state, possible, onward)
        elif isinstance(item, Constant):
            answer = (full, full, "") if item.value else (0, 0, "")
            self._answered(answer, state, possible, onward)
        elif isinstance(item, Unknown):
            self._answered((0, full, item.reason), state, possible, onward)
        elif isinstance(item, Limit):
            self._answered(matching.limit(item, state), state, possible, onward)
        elif isinstance(item, VerdictMap):
            self._map(item, state, possible, onward)
        elif isinstance(item, Recent):
            self._recent(item, state, possible, onward)
        elif isinstance(item, (Assign, Notrack, Tproxy, SetUpdate)):
            self._rewrite(item, state, possible, onward)
        elif isinstance(item, Nat):
            self._translate(item, state, possible)
        elif isinstance(item, Synproxy):
            self._synproxy(state, possible, onward)
        elif isinstance(item, Unmodelled):
            after = writes.forget_all(state)
            self._undecided(item.reason, after, possible)
            add(onward, after, possible)
        else:
            raise TypeError(f"{type(item).__name__} is not modelled")

    def _recent(self, item: Recent, state: PacketState, possible: int, onward: Flow) -> None:
        """Ask a list of xt_recent; what matches is stamped again, or taken off."""
        answer = self.evaluator.matching.recent(item, state)
        held = frozenset(entry for entry in state.added if entry.where == item.name)
        times = max((entry.times for entry in held), default=0)
        after = state
        if item.action == "set" or (item.action == "update" and held and answer[0]):
            stamped = Entry(item.name, times=times + 1)
            after = state._replace(added=(state.added - held) | {stamped})
        elif item.action == "remove":
            after = state._replace(added=state.added - held)
        sure, maybe, reason = answer
        add(onward, after, possible & maybe)
        add(self.following, after, possible & ~sure)
        if sure != maybe:
            self._note("unknown", possible & maybe & ~sure, state, reason)

    def _undecided(self, reason: str, state: PacketState, possible: int) -> None:
        self._note("unknown", possible, state, reason)
        add(self.out.accept, state, possible)
        self.out.drop |= possible

    # -- verdicts ---------------------------------------------------------------------------

    def _verdict(self, verdict: Verdict, state: PacketState, possible: int, onward: Flow) -> None:
        """Apply a verdict; what it does not concern goes on to the next rule.

        After `continue` the statements behind it run (NFT_CONTINUE does not break a rule).
        """
        kind = verdict.kind
        if not possible:
            return
        if kind == "accept":
            add(self.out.accept, state, possible)
            self._note("accept", possible, state)
        elif kind in ("drop", "reject"):
            other_protocol = verdict.reject_protocol not in (None, state.proto)
            other_family = verdict.reject_family not in (None, state.family)
            if kind == "reject" and (other_protocol or other_family):
                add(self.following, state, possible)
                return
            self.out.drop |= possible
            self._note(kind, possible, state)
        elif kind == "return":
            add(self.out.returns, state, possible)
            self._note("return", possible, state)
        elif kind in ("jump", "goto"):
            self._jump(verdict, state, possible)
        elif kind == "queue":
            reason = "a program in user space decides"
            if verdict.bypass:
                reason += ", or none is running and the packet is accepted"
            self._undecided(reason, state, possible)
        else:
            add(onward, state, possible)

    def _jump(self, verdict: Verdict, state: PacketState, possible: int) -> None:
        callee = self.table.chains.get(verdict.chain)
        if callee is None or self.depth > 4 * MAX_DEPTH:
            self._undecided(f"the chain {verdict.chain} cannot be followed", state, possible)
            add(self.following, state, possible)
            return
        evaluator = self.evaluator
        outcome = evaluator.outcome(self.table, callee, state, self.depth + 1)
        if self.notes is not None:
            self._note(verdict.kind, possible, state, verdict.chain)
            passed = 0
            for mask in outcome.accept.values():
                passed |= mask & possible
            if evaluator._steps < MAX_STEPS and (passed or outcome.drop & possible):
                evaluator._steps += callee.length
                flow = {state: possible}
                outcome = evaluator.walk(self.table, callee, flow, self.notes, self.depth + 1)
            self._note("accepts through", passed, state, verdict.chain)
        for after, mask in outcome.accept.items():
            add(self.out.accept, after, mask & possible)
        self.out.drop |= outcome.drop & possible
        returns = self.following if verdict.kind == "jump" else self.out.returns
        for after, mask in outcome.returns.items():
            add(returns, after, mask & possible)

    def _map(self, item: VerdictMap, state: PacketState, possible: int, onward: Flow) -> None:
        matching = self.evaluator.matching
        values = [matching.read(key, state) for key in item.keys]
        if MISSING in values:
            add(self.following, state, possible)
            return
        entries, default, unknown = _entries(item, self.table)
        if unknown:
            self._undecided(unknown, state, possible)
            add(self.following, state, possible)
            return
        left = possible
        spend("steps", len(entries))
        for element, data in entries:
            sure, maybe, reason = matching.element(element, item.keys, values, state)
            if not left & maybe:
                continue
            if sure != maybe:
                self._note("unknown", left & maybe & ~sure, state, reason)
            if isinstance(data, Verdict):
                self._verdict(data, state, left & maybe, onward)
            left &= ~sure
            if not left:
                return
        if isinstance(default, Verdict):
            self._verdict(default, state, left, onward)
        else:
            add(self.following, state, left)

    def _synproxy(self, state: PacketState, possible: int, onward: Flow) -> None:
        """Answer a SYN and the ACK that fits; another ACK is lost (nft_synproxy_eval_v4)."""
        if state.proto != TCP:
            add(self.following, state, possible)
        elif state.flags & TcpFlag.SYN or state.synproxy == COOKIE:
            answered = state._replace(synproxy=ANSWERED)
            self._note("accept", possible, answered)
            add(self.out.accept, answered, possible)
        elif state.flags & TcpFlag.ACK:
            self._note("drop", possible, state, "SYNPROXY drops an ACK that is not of its own")
            self.out.drop |= possible
        else:
            add(onward, state, possible)

    # -- what rewrites the packet -------------------------------------------------------------

    def _rewrite(
        self,
        item: Assign | Notrack | Tproxy | SetUpdate,
        state: PacketState,
        possible: int,
        onward: Flow,
    ) -> None:
        if isinstance(item, Assign):
            network = self.evaluator.matching.network
            absent = writes.breaks(item, state, network)
            if absent is not False:
                add(self.following, state, possible)
            if absent:
                return
            after = writes.assign(item, state, network)
            if after != state:
                self._note("set", possible, after)
            if absent is None:
                self._note("unknown", possible, state, f"{item.unknown} may not be present")
            add(onward, after, possible)
        elif isinstance(item, Notrack):
            told = any(name == TEMPLATE for name, _ in state.written)
            if not state.tracked and state.ct == CtState.INVALID and not told:
                state = state._replace(notrack=True, ct=CtState.UNTRACKED)
                self._note("notrack", possible, state)
            add(onward, state, possible)
        elif isinstance(item, Tproxy):
            if state.proto != TCP and state.proto != 17:
                add(self.following, state, possible)
                return
            self._tproxy(item, state, possible, onward)
        else:
            self._update(item, state, possible, onward)

    def _tproxy(self, item: Tproxy, state: PacketState, possible: int, onward: Flow) -> None:
        port = item.port or state.dport
        self._note("tproxy", possible, state)
        reason = item.unknown or f"whether a transparent socket listens on port {port} is not known"
        self._note("unknown", possible, state, reason)
        if item.drops:
            self.out.drop |= possible
        else:
            add(self.following, state, possible)
        after = state._replace(tproxy=port, mangled=state.mangled or bool(item.unknown))
        add(onward, after, possible)

    def _update(self, item: SetUpdate, state: PacketState, possible: int, onward: Flow) -> None:
        matching = self.evaluator.matching
        full = matching.full(state)
        values = [matching.read(key, state) for key in item.keys]
        if MISSING in values:
            add(self.following, state, possible)
            return
        found = matching.set_of(self.table, item.set)
        limited = item.limited or (found is not None and found.limited)
        own = Entry(id(found), item.keys, tuple(values), limited, item.first)
        others = frozenset(entry for entry in state.added if entry[:3] != own[:3])
        if item.operation == "delete":  # whatever stands behind the key
            gone = own._replace(limited=False, first=True, gone=True)
            add(onward, state._replace(added=others | {gone}), possible)
            return
        added = state._replace(added=others | {own})
        sure = maybe = 0
        counted = limited or any(entry.limited for entry in state.added)
        if found is not None and (counted or found.adding):
            (sure, maybe, reason), entry = matching.held(found, item.keys, values, state)
            self._note("unknown", possible & maybe & ~sure, state, reason)
            kept = matching.kept(found, entry, sure, state)
            self._answered(kept, state, possible & maybe, onward)
        first = full if item.first else 0
        new = (first, first, "")
        if limited and state.history == RATED:
            new = (0, full, f"the rate kept in {item.set.name}")
        if found is not None and found.adding:
            new = (0, full, found.adding)
            add(self.following, state, possible & ~sure)
        self._answered(new, added, possible & ~sure, onward)

    def _translate(self, item: Nat, state: PacketState, possible: int) -> None:
        """Translate and end the nat base chain; what the map misses goes on."""
        left = possible
        for mask, sure, after, reason in nat.translations(
            item, state, possible, self.table, self.evaluator.matching
        ):
            add(self.out.accept, after, mask)
            self._note("nat", mask, after, reason)
            if reason:
                self._note("unknown", mask, after, reason)
                self.out.drop |= mask
            left &= ~sure
        add(self.following, state, left)


def run_rule(
    evaluator: Evaluator,
    table: Table,
    chain: Chain,
    rule: Rule,
    out: Outcome,
    following: Flow,
    flow: Flow,
) -> None:
    """Run one rule alone."""
    for state, mask in flow.items():
        _Run(evaluator, table, chain, rule, out, following, None, 0).run(state, mask)


def _entries(
    item: VerdictMap, table: Table
) -> tuple[list[tuple[Element, object]], object | None, str]:
    """Return a verdict map's entries, what `*` holds, and why they are not known."""
    if not isinstance(item.entries, SetRef):
        return list(item.entries), item.default, ""
    found: Set | None = table.sets.get(item.entries.name)
    if found is None:
        return [], None, f"the map {item.entries.name} is not in the files"
    if found.unknown or (found.elements and found.data is None):
        return [], None, found.unknown or f"the map {found.name} holds no verdicts"
    default = found.default if isinstance(found.default, Verdict) else item.default
    return list(zip(found.elements, found.data or [], strict=False)), default, ""
