"""What decides, step by step: for one packet, and for the clients of a port."""

from __future__ import annotations

from typing import Literal

from sslint.netfilter import addresses, explain
from sslint.netfilter.addresses import Sources
from sslint.netfilter.evaluation import Evaluation
from sslint.netfilter.hooks import Log
from sslint.netfilter.model import Chain, Rule, Table, TcpFlag
from sslint.netfilter.notes import Note, Notes
from sslint.netfilter.packet import NO_PORT, PORTED, PROTOCOLS, TCP, PacketState
from sslint.netfilter.verdicts import Decision, PacketVerdict, Reach, decision
from sslint.regex import is_number
from sslint.source import Location
from sslint.values import dataclass, field

__all__ = ["Packet", "PacketVerdict", "PortTrace", "Step", "judge", "trace_packet", "trace_port"]

_ECHO = {1: 8, 58: 128}
MAX_REMEMBERED = 100_000  # packets
_PORTED = frozenset((6, 17, 33, 132, 136))


@dataclass(frozen=True, slots=True)
class Packet:
    """The first packet of a connection to this host. Addresses are text; `iif` None: the public's.

    `proto` is a name (tcp, udp, icmp, icmpv6, sctp, esp ...) or a number.
    """

    proto: str | int
    src: str
    dst: str
    sport: int | None = None
    dport: int | None = None
    iif: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What one rule or policy did, and to which sources; None for a single packet."""

    stage: str
    hook: str
    priority: int
    table: Table = field(repr=False)
    chain: Chain = field(repr=False)
    rule: Rule | None = field(repr=False)
    location: Location | None
    text: str
    effect: str
    depth: int
    sources: Sources | None = None
    reason: str = ""
    more: int = 0


@dataclass(frozen=True, slots=True)
class PortTrace:
    """The answer for an outer port, and the steps on one interface that lead to it.

    `asked`: the sources that it is about, None for all.
    """

    reach: Reach
    steps: tuple[Step, ...]
    iif: str
    asked: Sources | None = None


_NUMBERS = {**PROTOCOLS, **PORTED, "gre": 47, "esp": 50, "ah": 51, "ipcomp": 108}


def _protocol(proto: str | int) -> int:
    if isinstance(proto, int):
        return proto
    if proto in _NUMBERS:
        return _NUMBERS[proto]
    if not is_number(str(proto)):
        raise ValueError("proto must be a protocol's number or one of " + ", ".join(_NUMBERS))
    return int(proto)


def _packet_state(firewall: Evaluation, packet: Packet, iif: str) -> tuple[PacketState, int]:
    """Return a packet's state and its source. Raise ValueError if it is not a packet."""
    family, source = addresses.parse(packet.src)
    other, destination = addresses.parse(packet.dst)
    if family != other:
        raise ValueError("source and destination are of different families")
    protocol = _protocol(packet.proto)
    for port in (packet.sport, packet.dport):
        if port is not None and not 0 <= port <= 65535:
            raise ValueError(f"{port} is not a port")
    ported = protocol in _PORTED
    sport = firewall.connections.port_class(packet.sport or 0) if ported else NO_PORT
    dport = (packet.dport or 0) if ported else NO_PORT
    state = PacketState(
        family, protocol, sport, dport, destination, True, iif, "",
        flags=TcpFlag.SYN if protocol == TCP else 0,
        icmp_type=_ECHO.get(protocol, 0),
        multicast=addresses.contains(addresses.MULTICAST[family], destination),
    )  # fmt: skip
    return state, source


def _alone(firewall: Evaluation, source: int, family: int) -> Evaluation:
    """Return a firewall that decides exactly for one source, where masks are scattered."""
    if not firewall.survey.scattered:
        return firewall
    alone = Evaluation(firewall.ruleset, firewall.network)
    alone.matching.exact = (family, source)
    return alone


def judge(firewall: Evaluation, packet: Packet) -> PacketVerdict:
    """Judge a packet alone, on every interface it may come in by."""
    results = [
        _judge(firewall, packet, iif)
        for iif in ((packet.iif,) if packet.iif is not None else firewall.public)
    ]
    if all(result.verdict == results[0].verdict for result in results):
        return results[0]
    shown = ", ".join(firewall.public)
    return PacketVerdict("unknown", None, f"it depends on the interface ({shown})")


def _judge(firewall: Evaluation, packet: Packet, iif: str) -> PacketVerdict:
    state, source = _packet_state(firewall, packet, iif)
    family = state.family
    transport = {PROTOCOLS[name]: name for name in ("tcp", "udp")}.get(_protocol(packet.proto), "")
    doubt = firewall.doubted(transport, packet.dport or 0, family)
    early = firewall.not_judged(family, None) or doubt
    if early is not None:
        return PacketVerdict("unknown", None, early.reasons[0])
    firewall = _alone(firewall, source, family)
    firewall.matching.client = False
    bit = firewall.universes[family].bit(source)
    known = firewall.judged.get((state, bit))
    if known is None:
        known = _decide(firewall, state, bit)
        if len(firewall.judged) < MAX_REMEMBERED:
            firewall.judged[state, bit] = known
    return known


def _decide(firewall: Evaluation, state: PacketState, bit: int) -> PacketVerdict:
    family = state.family
    notes = Notes()
    passed, log = _follow(firewall, state, bit, notes)
    by = _last(firewall, notes, family, "accept", "policy-accept")
    blocked = _first(firewall, notes, family)
    doubt = next((n.reason for n in notes if n.effect == "unknown"), None)
    missing = [m for m in firewall.ruleset.missing if family in m.families]
    if (passed and log.drop & bit) or any(m.may_open for m in missing):
        reason = doubt or (missing[0].reason if missing else "it is not known")
        return PacketVerdict("unknown", blocked or by, reason)
    if not passed:
        verdict: Literal["drop", "reject"] = (
            "reject" if blocked is not None and blocked.effect == "reject" else "drop"
        )
        return PacketVerdict(verdict, blocked)
    if missing:
        return PacketVerdict("unknown", by, missing[0].reason)
    return PacketVerdict("accept", by)


def _follow(firewall: Evaluation, state: PacketState, bit: int, notes: Notes) -> tuple[bool, Log]:
    log = Log(notes=notes)
    own = (*firewall.network.own(state.family), state.host)
    arrival = firewall.hooks.arrive({state: bit}, own, log)
    firewall.evaluator.trim()
    return bool(arrival.local or arrival.forward), log


def _last(firewall: Evaluation, notes: Notes, family: int, *effects: str) -> Decision | None:
    chosen: Note | None = None
    for note in notes:
        base = note.base.base if note.base is not None else None
        if note.effect == effects[0] and base is not None and base.type != "nat":
            chosen = note
    if chosen is None:
        for note in notes:
            if note.effect in effects:
                chosen = note
    return None if chosen is None else decision(firewall.universes[family], chosen, chosen.mask)


def _first(firewall: Evaluation, notes: Notes, family: int) -> Decision | None:
    for note in notes:
        if note.effect in ("drop", "reject", "policy-drop"):
            return decision(firewall.universes[family], note, note.mask)
    return None


def trace_packet(firewall: Evaluation, packet: Packet) -> list[Step]:
    """Return what each rule does to a packet, in order."""
    iif = packet.iif if packet.iif is not None else firewall.public[0]
    state, source = _packet_state(firewall, packet, iif)
    firewall = _alone(firewall, source, state.family)
    notes = Notes()
    _follow(firewall, state, firewall.universes[state.family].bit(source), notes)
    return [_step(note, None) for note in notes if note.effect != "accepts through"]


def trace_port(
    firewall: Evaluation,
    transport: Literal["tcp", "udp"],
    port: int,
    family: Literal[4, 6],
    address: str | None,
    iif: str | None,
) -> PortTrace:
    """Return the answer for an outer port and the steps that lead to it."""
    if iif is not None:
        firewall = _on_interface(firewall, iif)
    answer = explain.reach(firewall, transport, port, family, address, outer=True)
    chosen = firewall.public[0]
    doubt = firewall.doubted(transport, port, family)
    if firewall.not_judged(family, address) is not None or doubt is not None:
        return PortTrace(answer, (), chosen)
    question = firewall.connections.question(transport, port, family, address, True)
    notes = explain.notes_of(firewall, question, chosen, port)
    universe = firewall.universes[family]
    relevant = universe.full & ~universe.never
    steps = tuple(
        _step(note, Sources(universe, note.mask))
        for note in notes
        if note.effect != "accepts through" and note.mask & relevant
    )
    return PortTrace(answer, steps, chosen)


def _on_interface(firewall: Evaluation, iif: str) -> Evaluation:
    """Return the same firewall, asked about one interface."""
    chosen = Evaluation(firewall.ruleset, firewall.network, firewall.apart)
    chosen.matching.exact = firewall.matching.exact
    chosen.public, chosen.others = (iif,), ()
    return chosen


def _step(note: Note, sources: Sources | None) -> Step:
    base = note.base.base if note.base is not None else None
    own = note.chain.base
    if note.rule is not None:
        location: Location | None = note.rule.location
    else:
        location = (own and own.policy_location) or note.chain.location
    text = location.shown if location is not None else ""
    return Step(
        note.stage, base.hook if base else "", base.priority if base else 0, note.table,
        note.chain, note.rule, location, text, note.effect, note.depth, sources, note.reason,
        note.more,
    )  # fmt: skip
