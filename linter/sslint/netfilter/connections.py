"""A connection followed through the rules: the first packet, the answer, the next packet.

For all sources at once: who certainly gets an answer from a port, and who possibly does.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from sslint.netfilter import addresses, interfaces, synproxy
from sslint.netfilter.chains import Flow
from sslint.netfilter.hooks import CONFIRMED, Hooks, Log, doubt
from sslint.netfilter.model import CtState, CtStatus, TcpFlag
from sslint.netfilter.packet import (
    ANY_PORT,
    ARP,
    CLIENT_PORTS,
    FIRST,
    ICMPV6,
    NO_PORT,
    PROTOCOLS,
    RATED,
    SOLICITED_NODE,
    TCP,
    THIS_HOST,
    PacketState,
)
from sslint.values import dataclass, field

_MANGLED = "a rule rewrites the packet itself; whether the answer reaches the client is not known"
WILDCARDS = ("", "*", "0.0.0.0", "::")  # noqa: S104
MAX_SOURCE_PORT_CLASSES = 32
MAX_DESTINATIONS = 8
MAX_NAT_PORTS = 64


@dataclass(slots=True)
class Sets:
    """Sources that certainly reach a port, and those that possibly do."""

    open: int
    possible: int


@dataclass(slots=True)
class Found:
    """Who reaches a port by one interface, by which outer ports, and where NAT sends the others.

    `elsewhere` is by (address, port).
    """

    sets: Sets
    reached: dict[int, int]
    elsewhere: dict[tuple[int, int], int]


@dataclass(slots=True)
class Attempt:
    """Where packets to one outer port may end up."""

    possible: int = 0
    at_port: int = 0  # whose packets may be addressed to the listener once NAT is through
    elsewhere: dict[tuple[int, int], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Question:
    """One port over one family; `port` None: whatever answers at the outer port."""

    protocol: int
    outer: tuple[int, ...]
    port: int | None
    family: int
    destinations: tuple[int, ...]
    own: tuple[int, ...]


class Connections:
    """Follows connections through the hooks of one host."""

    def __init__(self, hooks: Hooks) -> None:
        self.hooks = hooks
        self.survey = hooks.survey
        self.matching = hooks.matching
        self.universes = hooks.matching.universes
        self._found: dict[tuple[Question, str, int], Found] = {}
        self._neighbours: dict[tuple[int, str, int, int], Sets] = {}
        self._used: dict[int, tuple[int, ...]] = {}  # by family
        self._port_classes: list[int] | None = None

    # -- questions ------------------------------------------------------------------------------

    def question(
        self, transport: str, port: int, family: int, address: str | None, outer: bool
    ) -> Question:
        """Put a question about a listener; `outer`: about a port as clients see it."""
        own = self.matching.network.own(family)
        destinations: tuple[int, ...]
        if address is None or address in WILDCARDS:
            destinations = self._destinations(family)
        else:
            destinations = (addresses.parse(address)[1],)
            own += destinations
        ports: tuple[int, ...] = (port,)
        if not outer:
            candidates = [p for p in sorted(self.survey.nat_ports) if p != port]
            ports += tuple(candidates[:MAX_NAT_PORTS])
        wanted = None if outer else port
        return Question(PROTOCOLS[transport], ports, wanted, family, destinations, own)

    def _destinations(self, family: int) -> tuple[int, ...]:
        """Return the addresses clients may use, one of each kind."""
        known = self._used.get(family)
        if known is None:
            known = self._used[family] = self._kinds(family)
        return known

    def _kinds(self, family: int) -> tuple[int, ...]:
        universe = self.universes[family]
        endpoints = self.survey.endpoints[family]
        kinds: dict[object, int] = {}
        for address in self.clients_use(family):
            kind = tuple(i for i, (a, b) in enumerate(endpoints) if a <= address <= b) or (
                universe.bit(address) if len(endpoints) > 10_000 else None
            )
            kinds.setdefault(address if self.survey.each_address else kind, address)
        return tuple(kinds.values())[:MAX_DESTINATIONS] or (THIS_HOST,)

    def clients_use(self, family: int) -> list[int]:
        """Return the addresses of this host that clients may use: public ones if known."""
        known = [
            address
            for address in self.matching.network.own(family)
            if not addresses.contains(addresses.LOOPBACK[family], address)
            and not (family == 6 and addresses.contains(addresses.LINK_LOCAL[6], address))
        ]
        return [a for a in known if addresses.contains(addresses.PUBLIC[family], a)] or known

    def start(
        self, question: Question, outer: int, destination: int, iif: str, **more: int
    ) -> PacketState:
        """Return the first packet of a connection to an outer port."""
        flags = TcpFlag.SYN if question.protocol == TCP else 0
        return PacketState(
            question.family, question.protocol, more.get("sport", ANY_PORT), outer, destination,
            True, iif, "", flags=flags, history=more.get("history", FIRST),
        )  # fmt: skip

    # -- one packet class after the other --------------------------------------------------------

    def attempt(self, start: PacketState, question: Question, log: Log) -> Attempt:
        """Follow a connection: the first packet, the answer, the next packet."""
        attempt = Attempt()
        full = self.universes[start.family].full
        own = (*question.own, start.host)
        log.stage = "new"
        arrival = self.hooks.arrive({start: full}, own, log)
        for state, mask in arrival.local.items():
            port = state.tproxy or state.dport
            if question.port is not None and not self._at(state, port, start, question):
                attempt.elsewhere[state.host, port] = (
                    attempt.elsewhere.get((state.host, port), 0) | mask
                )
                log.drop |= mask
                continue
            attempt.at_port |= mask
            self._converse(start, state, mask, own, attempt, log, True)
        for state, mask in arrival.forward.items():
            where = (state.host, state.dport)
            attempt.elsewhere[where] = attempt.elsewhere.get(where, 0) | mask
            if question.port is not None:
                log.drop |= mask
            else:
                attempt.at_port |= mask
                self._converse(start, state, mask, own, attempt, log, False)
        return attempt

    @staticmethod
    def _at(state: PacketState, port: int, start: PacketState, question: Question) -> bool:
        """Tell whether a packet has come to the listener that is asked about."""
        here = state.host < 0 or state.host == start.host or state.host in question.own
        return state.mangled or (here and port == question.port)

    def _converse(
        self,
        start: PacketState,
        first: PacketState,
        mask: int,
        own: tuple[int, ...],
        attempt: Attempt,
        log: Log,
        here: bool,
        *,
        proxied: bool = False,
    ) -> None:
        if first.mangled:
            self._doubt(mask, first, attempt, log)
            return
        if first.synproxy:
            delivered = synproxy.handshake(
                self.hooks, start, first, answer(first, True), mask, own, log, here
            )
            for server, passed in delivered.items():
                self._converse(start, server, passed, own, attempt, log, here, proxied=True)
            return
        log.stage = "answer"
        reply = answer(first, here)
        if here:
            left = self.hooks.leave({reply: mask}, log)
        else:
            left = self.hooks.pass_back({reply: mask}, log)
        following: Flow = {}
        for state, passed in left.items():
            if state.mangled:
                self._doubt(passed, state, attempt, log)
                continue
            if proxied and not state.tracked:
                synproxy.miss(log, passed)
                continue
            after = follow(start, first, state, self.matching.network.tcp_loose is not False)
            following[after] = following.get(after, 0) | passed
        log.stage = "established"
        for state, passed in following.items():
            arrival = self.hooks.arrive({state: passed}, own, log)
            for end, reached in (arrival.local if here else arrival.forward).items():
                if end.mangled:
                    self._doubt(reached, end, attempt, log)
                elif (end.tproxy or end.dport) == (first.tproxy or first.dport):
                    attempt.possible |= reached
                else:
                    log.drop |= reached

    @staticmethod
    def _doubt(mask: int, state: PacketState, attempt: Attempt, log: Log) -> None:
        """Leave open what becomes of a connection of which a rule has rewritten a packet."""
        attempt.possible |= mask
        log.drop |= mask
        doubt(log, mask, state, _MANGLED)

    def sets(self, question: Question, iif: str, history: int = FIRST) -> Found:
        """Return who reaches the port by an interface."""
        memo = (question, iif, history)
        known = self._found.get(memo)
        if known is None:
            known = self._found[memo] = self._sets(question, iif, history)
        return known

    def _sets(self, question: Question, iif: str, history: int) -> Found:
        every, some = self.universes[question.family].full, 0
        reached: dict[int, int] = {}
        elsewhere: dict[tuple[int, int], int] = {}
        for destination in question.destinations:
            certain = possible = 0
            for outer in question.outer:
                sets, at_port = self._outer(question, outer, destination, iif, history, elsewhere)
                certain |= sets.open
                possible |= sets.possible
                if at_port:
                    reached[outer] = reached.get(outer, 0) | at_port
            every &= certain
            some |= possible
        neighbours = self.neighbours(question, iif, history)
        sets = Sets(every & neighbours.open, some & neighbours.possible)
        return Found(sets, reached, elsewhere)

    def _outer(
        self,
        question: Question,
        outer: int,
        destination: int,
        iif: str,
        history: int,
        elsewhere: dict[tuple[int, int], int],
    ) -> tuple[Sets, int]:
        full = self.universes[question.family].full
        log = Log()
        start = self.start(question, outer, destination, iif, history=history)
        if (
            outer != question.port
            and question.port is not None
            and not self._arrives(start, question)
        ):
            return Sets(0, 0), 0
        attempt = self.attempt(start, question, log)
        certain, possible = attempt.possible & ~log.drop, attempt.possible
        at_port = attempt.at_port or self._arrives(start, question)
        if outer == question.outer[0]:
            for where, mask in attempt.elsewhere.items():
                elsewhere[where] = elsewhere.get(where, 0) | mask
        if certain != possible:
            classes = self.source_ports()
            if 1 < len(classes) <= MAX_SOURCE_PORT_CLASSES:
                certain, closed = full, full
                for sport in classes:
                    log = Log()
                    attempt = self.attempt(start._replace(sport=sport), question, log)
                    certain &= attempt.possible & ~log.drop
                    closed &= ~attempt.possible
                possible = full & ~closed
        return Sets(certain, possible), at_port

    def sets_from(self, question: Question, iif: str, sport: int, history: int = FIRST) -> Sets:
        """Return who reaches an outer port from one class of client ports (`source_ports`)."""
        every, some = self.universes[question.family].full, 0
        for destination in question.destinations:
            log = Log()
            start = self.start(
                question, question.outer[0], destination, iif, sport=sport, history=history
            )
            possible = self.attempt(start, question, log).possible
            every &= possible & ~log.drop
            some |= possible
        neighbours = self.neighbours(question, iif, history)
        return Sets(every & neighbours.open, some & neighbours.possible)

    def _arrives(self, start: PacketState, question: Question) -> int:
        """Return whose packets may be addressed to the listener once NAT is through."""
        full = self.universes[start.family].full
        log = Log(through=True)
        flow = self.hooks.run("prerouting", {start: full}, log)
        mask = 0
        for state, passed in flow.items():
            if question.port is None or self._at(
                state, state.tproxy or state.dport, start, question
            ):
                mask |= passed
        return mask

    def port_class(self, port: int) -> int:
        """Return the source port that stands for one in every rule's eyes."""
        if self.survey.port_sums:
            return port
        if self._port_classes is None:
            points = {0}
            for hooks in (self.survey.source_ports, self.survey.destination_ports):
                points.update(*hooks.values())
            self._port_classes = sorted(points)
        return self._port_classes[bisect_right(self._port_classes, port) - 1]

    def source_ports(self) -> tuple[int, ...]:
        """Return one port of each class of client ports that the rules tell apart."""
        if self.survey.port_sums:
            return ()
        low, high = CLIENT_PORTS
        points = {low, *self.far_ports()}
        return tuple(sorted(point for point in points if low <= point <= high))

    def far_ports(self) -> set[int]:
        """Return where rules begin to treat the far end's ports otherwise."""
        points: set[int] = set()
        for hook, ports in self.survey.source_ports.items():
            if hook in ("ingress", "prerouting", "input", "forward"):
                points |= ports
        for hook, ports in self.survey.destination_ports.items():
            if hook in ("output", "postrouting", "egress"):
                points |= ports
        return points

    # -- neighbour discovery ------------------------------------------------------------------

    def neighbours(self, question: Question, iif: str, history: int = FIRST) -> Sets:
        """Return `full` or 0: whether the router on the link finds this host, and it the router."""
        if history == RATED:  # a limit on ICMPv6 is none on a port's connections
            history = FIRST
        family = question.family
        full = self.universes[family].full
        if interfaces.is_point_to_point(iif):
            return Sets(full, full)
        destination = question.destinations[0]
        memo = (family, iif, destination, history)
        known = self._neighbours.get(memo)
        if known is None:
            known = Sets(full, full)
            for packet, far_mask, vital in self.neighbour_packets(
                family, iif, destination, history
            ):
                log = Log(stage="neighbour-discovery")
                passed = self.pass_neighbour(packet, far_mask, question.own, log)
                if far_mask & ~(passed & ~log.drop):
                    known.open = 0
                if not passed and vital:
                    known.possible = 0
            if family == 6 and known.open and self._only_by_link(question, iif, history):
                self.matching.assume("the router has a link-local address (RFC 4861)")
            self._neighbours[memo] = known
        return known

    def _only_by_link(self, question: Question, iif: str, history: int) -> bool:
        """Tell whether a router with a global address alone would not be found."""
        packets = self.neighbour_packets(6, iif, question.destinations[0], history)
        advertisement = [packet for packet, *_ in packets][-1]
        log, public = Log(), self.universes[6].public
        passed = self.pass_neighbour(advertisement, public, question.own, log)
        return bool(public & ~(passed & ~log.drop))

    def pass_neighbour(
        self, packet: PacketState, far_mask: int, own: tuple[int, ...], log: Log
    ) -> int:
        """Return the far addresses whose neighbour discovery packet may pass."""
        if packet.inbound:
            flow = self.hooks.arrive({packet: far_mask}, (*own, packet.host), log).local
        else:
            flow = self.hooks.leave({packet: far_mask}, log)
        passed = 0
        for state, mask in flow.items():
            passed |= mask
            # None counts whose hop limit is not 255 (ndisc_rcv).
            if state.mangled or dict(state.written).get("ip6.hoplimit", 255) != 255:
                log.drop |= mask
        return passed

    def neighbour_packets(
        self, family: int, iif: str, destination: int, history: int
    ) -> Iterator[tuple[PacketState, int, bool]]:
        """Yield the packets by which a router and this host find each other, with their far ends.

        Without the vital ones nothing gets out. The others are those by which the router looks for
        this host; it does not have to as long as it remembers who solicited it (RFC 4861, 7.2.3).
        """
        if family == 4:  # ARP meets arp and netdev tables only
            if not any(table.family in ("arp", "netdev") for table in self.hooks.ruleset.tables):
                return
            public = self.universes[4].full
            arp = PacketState(ARP, 0, NO_PORT, NO_PORT, destination, True, iif, "")
            yield arp, public, True
            yield arp._replace(inbound=False, iif="", oif=iif), public, True
            return
        universe = self.universes[6]
        links = universe.mask(addresses.LINK_LOCAL[6])
        solicited = universe.mask((addresses.SOLICITED_NODES,))
        incoming = PacketState(
            6, ICMPV6, NO_PORT, NO_PORT, destination, True, iif, "", hop_limit=255, history=history
        )
        outgoing = incoming._replace(inbound=False, iif="", oif=iif)
        yield incoming._replace(host=SOLICITED_NODE, icmp_type=135, multicast=True), links, False
        yield outgoing._replace(icmp_type=136), links, False
        # Linux solicits from the address of the packet that waits (ndisc_solicit)
        yield outgoing._replace(icmp_type=135, multicast=True), solicited, True
        yield incoming._replace(icmp_type=136), links, True


def answer(first: PacketState, here: bool) -> PacketState:
    """Return the answer to a first packet, as it leaves the socket it was delivered to."""
    tracked, tcp = first.tracked, first.proto == TCP
    if tracked:
        connection = CtState.ESTABLISHED
    else:  # no connection is known: a SYN-ACK begins none, a datagram begins one of ours
        connection = CtState.INVALID if tcp else CtState.NEW
    status = 0 if connection != CtState.ESTABLISHED else first.status
    if status is not None and connection == CtState.ESTABLISHED:
        status |= CONFIRMED
    return PacketState(
        first.family,
        first.proto,
        first.dport,
        first.sport,
        first.host,
        False,
        "" if here else first.oif,
        first.iif if here else "",
        hook="output" if here else "prerouting",
        flags=TcpFlag.SYN | TcpFlag.ACK if tcp else 0,
        connection=connection,
        ours=connection == CtState.NEW,
        status=status,
        ctmark=first.ctmark if tracked else 0,
        original=first.original,
        binding=first.original if tracked else None,
        added=first.added,
        written=of_connection(first) if tracked else (),
        history=first.history,
    )


def of_connection(state: PacketState) -> tuple[tuple[str, int | None], ...]:
    """Return what rules wrote to a packet's connection, which its other packets read too."""
    return tuple(pair for pair in state.written if pair[0].startswith("ct."))


def follow(start: PacketState, first: PacketState, reply: PacketState, loose: bool) -> PacketState:
    """Return the client's next packet. `loose`: conntrack takes an ACK for a new connection."""
    tcp = first.proto == TCP
    ours = False
    if first.tracked and not reply.notrack:
        connection = CtState.ESTABLISHED
    elif first.tracked:  # conntrack has seen the client's side alone
        connection = CtState.INVALID if tcp else CtState.NEW
    elif not tcp and reply.tracked:  # it answers what conntrack takes for ours
        connection, ours = CtState.ESTABLISHED, True
    else:
        connection = CtState.NEW if loose or not tcp else CtState.INVALID
    status = 0 if connection == CtState.NEW and not first.tracked else first.status
    if status is not None and connection == CtState.ESTABLISHED:
        status |= CONFIRMED | (CtStatus.ASSURED if tcp else 0)
    return start._replace(
        flags=TcpFlag.ACK if tcp else 0,
        connection=connection,
        ours=ours,
        status=status,
        ctmark=first.ctmark if first.tracked else reply.ctmark,
        binding=(first.host, first.dport) if first.original is not None else None,
        added=reply.added,
        written=of_connection(reply),
    )
