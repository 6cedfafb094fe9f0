"""From source sets to an answer: the verdict, and the rules and policies that decide it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Literal

from sslint.netfilter import addresses
from sslint.netfilter.addresses import Sources
from sslint.netfilter.connections import Question, Sets
from sslint.netfilter.evaluation import Evaluation
from sslint.netfilter.hooks import Log
from sslint.netfilter.notes import Note, Notes
from sslint.netfilter.packet import BANNED, KNOWN_HOST, RATED, THIS_HOST
from sslint.netfilter.verdicts import Decision, Reach, ReachVerdict, Untold, decision
from sslint.values import replace

MAX_DECISIONS = 16
MAX_WEIGHED = 64
MAX_TOLD = 64  # runs whose notes are kept: a host's ports are asked for several times
MAX_INTERFACES = 4  # whose rules are told, where they differ
_CLOSING = frozenset(("drop", "reject", "policy-drop"))
_REMEMBERED = (
    "the router is not answered when it looks for this host, and finds it only while it remembers "
    "what this host itself has sent"
)
_ACCEPTING = frozenset(("accept", "policy-accept"))

Credit = tuple[Note, int]
"""A note, and the sources that it decides for."""


def reach(
    firewall: Evaluation,
    transport: Literal["tcp", "udp"],
    port: int,
    family: Literal[4, 6],
    address: str | None = None,
    *,
    outer: bool = False,
    brief: bool = False,
) -> Reach:
    """Return who reaches a listener on `address` (None or a wildcard: any) and `port`.

    `outer`: who gets through to whatever NAT puts behind it. `brief`: what a closed port's rules
    assume is of no interest.
    """
    early = firewall.not_judged(family, address) or firewall.doubted(transport, port, family)
    if early is not None:
        return early
    question = firewall.connections.question(transport, port, family, address, outer)
    answer = _answer(firewall, question, brief)
    if answer.verdict == "closed" and question.destinations == (THIS_HOST,):
        return _elsewhere(firewall, question) or answer
    return answer


def _elsewhere(firewall: Evaluation, question: Question) -> Reach | None:
    """Return the answer where a port is closed at an address that a rule names, and at no other.

    The rules speak of one public address, which is taken for this host's; of the others that it
    may have nothing is known.
    """
    family = question.family
    public = addresses.PUBLIC[family]
    if not any(addresses.overlaps(public, *one) for one in firewall.survey.destinations[family]):
        return None
    other = _answer(firewall, replace(question, destinations=(KNOWN_HOST,)), True)
    if other.verdict == "closed" or other.opened is None or other.doubtful is None:
        return None
    universe = firewall.universes[family]
    may = other.opened.mask | other.doubtful.mask
    reason = "it depends on which address of this host clients use"
    return Reach(
        "unknown",
        opened=Sources(universe, 0),
        shut=Sources(universe, universe.full & ~universe.never & ~may),
        doubtful=Sources(universe, may),
        decided_by=other.decided_by,
        reasons=(reason, *other.reasons),
        reached_as=other.reached_as,
        forwarded_to=other.forwarded_to,
        assumptions=other.assumptions,
    )


def _answer(firewall: Evaluation, question: Question, brief: bool) -> Reach:
    """Answer a question over all interfaces that clients may come in by."""
    family = question.family
    universe = firewall.universes[family]
    relevant = universe.full & ~universe.never
    by_interface: dict[str, Sets] = {}
    reached: dict[int, int] = {}
    elsewhere: dict[tuple[int, int], int] = {}
    reasons: list[str] = []
    for iif in firewall.public:
        found = firewall.connections.sets(question, iif)
        by_interface[iif], reasons = firewall.gate(found.sets, family)
        for port, mask in found.reached.items():
            reached[port] = reached.get(port, 0) | mask
        for where, mask in found.elsewhere.items():
            elsewhere[where] = elsewhere.get(where, 0) | mask
    verdict, via, sets = _joined(firewall, by_interface, family)
    if verdict == "closed":
        verdict, via, sets = _inner(firewall, question, by_interface)
    named = _names(elsewhere, family)
    doubtful = any(one.possible & ~one.open & relevant for one in by_interface.values())
    if verdict == "unknown" or doubtful or (verdict != "open" and not brief):
        story = _Story(firewall, question, by_interface, reached)
        for outer in sorted(reached):  # the doubt may be about another port that leads here
            if verdict != "unknown" or story.reasons:
                break
            story = _Story(firewall, question, by_interface, {outer: reached[outer]})
        reasons += story.reasons
        tell = partial(_told, story, verdict)
    else:
        tell = partial(_tell, firewall, question, by_interface, reached, verdict)
    if named and not reached:
        reasons.append(f"a rule sends its clients to {', '.join(named)}")
    if len(question.destinations) > 1 and sets.possible & ~sets.open & relevant:
        reasons.append("it depends on which address of this host clients use")
    limited, banned, knock = _later(firewall, question, sets)
    if knock:
        reasons.append(knock)
    return Untold(
        tell,
        verdict=verdict,
        opened=Sources(universe, sets.open),
        shut=Sources(universe, relevant & ~sets.possible),
        doubtful=Sources(universe, sets.possible & ~sets.open),
        public_share=firewall.verdict(sets, family)[1],
        rate_limited=limited,
        may_be_banned=banned,
        via=via,
        reasons=tuple(dict.fromkeys(reasons)),
        reached_as=tuple(sorted(reached)),
        forwarded_to=named,
        assumptions=tuple(firewall.matching.assumptions),
    )


def _tell(
    firewall: Evaluation,
    question: Question,
    by_interface: dict[str, Sets],
    reached: dict[int, int],
    verdict: ReachVerdict,
) -> Reach:
    return _told(_Story(firewall, question, by_interface, reached), verdict)


def _told(story: _Story, verdict: ReachVerdict) -> Reach:
    """Return which rules decide a verdict, and how."""
    shut = verdict in ("closed", "limited")
    return Reach(
        verdict,
        decided_by=story.decided_by(verdict),
        blocked_by=story.blocked_by if shut else (),
        translated_by=story.translated_by,
        rejected=shut and story.rejected,
        stage=story.stage if verdict == "closed" else "",
    )


def is_open(firewall: Evaluation, question: Question) -> bool:
    """Tell whether a port is open to the public, by whatever interface they come; not why."""
    by_interface = {
        iif: firewall.gate(firewall.connections.sets(question, iif).sets, question.family)[0]
        for iif in firewall.public
    }
    return _joined(firewall, by_interface, question.family)[0] == "open"


def _names(elsewhere: dict[tuple[int, int], int], family: int) -> tuple[str, ...]:
    shown = []
    for host, port in elsewhere:
        name = addresses.show(family, host) if host >= 0 else ""
        if family == 6 and name:
            name = f"[{name}]"
        shown.append(f"{name}:{port}")
    return tuple(shown)


def _joined(
    firewall: Evaluation, by_interface: dict[str, Sets], family: int
) -> tuple[ReachVerdict, tuple[str, ...], Sets]:
    """Join the classes of interfaces the public may come in by."""
    sets = list(by_interface.values())
    verdicts = [firewall.verdict(each, family)[0] for each in sets]
    if all(each == sets[0] for each in sets):
        return verdicts[0], (), sets[0]
    universe = firewall.universes[family]
    relevant = universe.full & ~universe.never
    certain = possible = 0
    for each in sets:
        certain |= each.open
        possible |= each.possible
    joined = Sets(certain, possible)
    via = tuple(name for name, each in by_interface.items() if each.open & relevant)
    if len(set(verdicts)) == 1:
        return verdicts[0], via if len(via) < len(sets) else (), joined
    if certain & relevant and ("closed" in verdicts or "limited" in verdicts):
        return "limited", via, joined
    return "unknown", via, joined


def _inner(
    firewall: Evaluation, question: Question, by_interface: dict[str, Sets]
) -> tuple[ReachVerdict, tuple[str, ...], Sets]:
    """Look at the interfaces that lead elsewhere: what is closed must be closed there too."""
    universe = firewall.universes[question.family]
    relevant = universe.full & ~universe.never
    certain = possible = 0
    through = []
    for iif in firewall.others:
        inner, _ = firewall.gate(firewall.connections.sets(question, iif).sets, question.family)
        if inner.possible & relevant:
            by_interface[iif] = inner
        if inner.open & relevant:
            through.append(iif)
        certain |= inner.open
        possible |= inner.possible
    if through:
        return "limited", tuple(through), Sets(certain, possible)
    return "unknown" if possible & relevant else "closed", (), Sets(certain, possible)


def _later(firewall: Evaluation, question: Question, sets: Sets) -> tuple[bool, bool, str]:
    """Return whether a rate or a ban may close the port later, and how a knock would open it."""
    universe = firewall.universes[question.family]
    relevant = universe.full & ~universe.never
    limited = banned = False
    knock = ""
    for iif in firewall.public:
        now = firewall.connections.sets(question, iif).sets.open & relevant
        if now and firewall.survey.rated:
            rated = firewall.connections.sets(question, iif, RATED).sets
            limited |= bool(now & ~rated.open)
        if not firewall.survey.dynamic:
            continue
        if now:
            filled = firewall.connections.sets(question, iif, BANNED).sets
            banned |= bool(now & ~filled.open)
        elif not sets.possible & relevant:
            filled = firewall.connections.sets(question, iif, BANNED).sets
            if filled.possible & relevant:
                knock = "it opens only after port knocking, or when a set is filled at run time"
    return limited, banned, knock


class _Story:
    """What decided: one run with all notes kept for each interface that is shown."""

    def __init__(
        self,
        firewall: Evaluation,
        question: Question,
        by_interface: dict[str, Sets],
        reached: dict[int, int],
    ) -> None:
        self.firewall = firewall
        self.question = question
        universe = firewall.universes[question.family]
        relevant = universe.full & ~universe.never
        outer = question.outer[0]
        if reached and outer not in reached:
            outer = min(reached)
        self.accepts: list[Credit] = []
        self.firsts: list[Credit] = []
        self.blocks: list[Credit] = []
        self.doubts: list[Credit] = []
        moved: list[Credit] = []
        told: list[Sets] = []
        for iif, sets in by_interface.items():
            if len(told) == MAX_INTERFACES or sets in told:
                continue
            told.append(sets)
            notes = notes_of(firewall, question, iif, outer)
            self._accepted(notes, sets.open & relevant)
            self._closed(notes, relevant & ~sets.possible)
            unknown = sets.possible & ~sets.open & relevant
            self.doubts += _within(notes, unknown, frozenset(("unknown",)))
            moved += [(n, n.mask) for n in notes if n.effect == "nat" and n.stage == "new"]
        self.translated_by = self._decisions(moved)
        self.firsts = self._widest_first(self.firsts)
        self.stage = self.firsts[0][0].stage if self.firsts else ""
        self.rejected = bool(self.firsts) and self.firsts[0][0].effect == "reject"
        self.blocked_by = self._decisions(self.blocks)
        self.reasons = list(dict.fromkeys(n.reason for n, _ in self.doubts if n.reason))
        self.stolen = not reached

    def _accepted(self, notes: Notes, certain: int) -> None:
        found = [
            (note, mask)
            for note, mask in _within(notes, certain, _ACCEPTING)
            if note.stage == "new" and _hook(note) in ("input", "forward")
        ]
        explicit = [credit for credit in found if credit[0].effect == "accept"]
        self.accepts += self._widest_first(explicit or found)

    def _closed(self, notes: Notes, closed: int) -> None:
        """Credit each closed source to what dropped it first, and to all that would drop it."""
        self.blocks += _within(notes, closed, _CLOSING)
        left = closed
        for note, mask in _within(notes, closed, _CLOSING):
            if mask & left:
                self.firsts.append((note, mask & left))
                left &= ~mask

    def _widest_first(self, found: list[Credit]) -> list[Credit]:
        """Put what decides for most of the public first."""
        universe = self.firewall.universes[self.question.family]
        if len(found) > MAX_WEIGHED:
            found = sorted(found, key=lambda pair: -pair[1].bit_count())[:MAX_WEIGHED]
        return sorted(found, key=lambda pair: -universe.weight(pair[1] & universe.public))

    def _decisions(self, pairs: Iterable[Credit]) -> tuple[Decision, ...]:
        merged: dict[tuple[int, int, str, str], Credit] = {}
        for note, mask in pairs:
            key = (id(note.rule), id(note.chain), note.effect, note.stage)
            old = merged.get(key)
            if old is None and len(merged) >= MAX_DECISIONS:
                continue
            merged[key] = (note, mask) if old is None else (old[0], old[1] | mask)
        family = self.question.family
        universe = self.firewall.universes[family]
        return tuple(decision(universe, note, mask) for note, mask in merged.values())

    def decided_by(self, verdict: ReachVerdict) -> tuple[Decision, ...]:
        """Return the rules and policies that decide the verdict."""
        moved = self.translated_by if self.stolen else ()
        if verdict == "open":
            return self._decisions(self.accepts)
        if verdict == "closed":
            return moved or self._decisions(self.firsts)
        if verdict == "limited":
            return self._decisions([*self.accepts, *self.firsts, *self.doubts])
        return moved or self._decisions([*self.doubts, *self.firsts, *self.accepts])


def _within(notes: Notes, mask: int, effects: frozenset[str]) -> list[Credit]:
    return [
        (note, note.mask & mask) for note in notes if note.effect in effects and note.mask & mask
    ]


def _hook(note: Note) -> str:
    base = note.base.base if note.base is not None else None
    return base.hook if base is not None else ""


def notes_of(
    firewall: Evaluation,
    question: Question,
    iif: str,
    outer: int,
    wanted: frozenset[int] = frozenset(),
) -> Notes:
    """Follow a connection once more and note all that rules did; what is dropped goes on.

    `wanted` are the ids of rules that must be told apart.
    """
    memo = (question, iif, outer, wanted)
    known = firewall.told.get(memo)
    if known is None and wanted:  # the same, where all rules are told apart
        known = firewall.told.get((question, iif, outer, frozenset()))
        known = None if known is not None and known.bounded else known
    if known is not None:
        return known
    notes = Notes(wanted)
    log = Log(notes=notes, through=True)
    destination = question.destinations[0]
    start = firewall.connections.start(question, outer, destination, iif)
    firewall.connections.attempt(start, question, log)
    neighbours = firewall.connections.neighbours(question, iif)
    if not neighbours.open:
        full = firewall.universes[question.family].full
        packets = firewall.connections.neighbour_packets(
            question.family, iif, destination, start.history
        )
        for packet, far_mask, vital in packets:
            kept = Log(notes=Notes(), through=True, stage="neighbour-discovery")
            firewall.connections.pass_neighbour(packet, far_mask, question.own, kept)
            for note in kept.notes or ():
                if note.effect in _CLOSING and not vital and neighbours.possible:
                    note.effect, note.reason = "unknown", _REMEMBERED
                if note.effect in _CLOSING or note.effect == "unknown":
                    note.mask = full  # it decides for everybody
                    notes.append(note)
    if len(firewall.told) < MAX_TOLD:
        firewall.told[memo] = notes
    return notes
