"""What the picture of a host shows: services, who reaches them, and what decides it.

A row is a port of a server. Its lanes are the classes of clients, from the left as a packet goes:
who, the line of the firewall that decides, the listener, its certificate, what is published.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING, Literal, get_args

from sslint import ask
from sslint.errors import UsageError
from sslint.facts.told import told
from sslint.netfilter.connections import WILDCARDS
from sslint.netfilter.trace import PortTrace
from sslint.plain import clean
from sslint.ports import SERVICES
from sslint.reports.groups import group_of
from sslint.reports.page.certificates import Paper, papers
from sslint.reports.rows import Gap, Place, Row, placer
from sslint.reports.terminal import interfaces
from sslint.reports.way import Turn, port_of, turns
from sslint.values import dataclass, field, replace

if TYPE_CHECKING:
    from sslint.host import Host, Socket
    from sslint.netfilter.verdicts import Reach
    from sslint.ports import Transport

State = Literal["closed", "breach", "limited", "unknown", "open", "calm", "none"]
Standing = Literal["error", "warning", "info", "unknown", "sound", "quiet"]
STANDINGS: tuple[Standing, ...] = get_args(Standing)
Port = tuple[str, int]
MAX_SOURCES = 2  # networks that a lane names
MAX_NETWORKS = 4  # named networks that have a lane
MAX_ADDRESSES = 8  # of a port that have lanes of their own; the worst of them
HERE = "This host"
INTERNET = "Internet"
TITLES = {
    "http": "HTTP", "https": "HTTPS", "h3": "HTTP/3", "smtp": "SMTP", "submission": "Submission",
    "submissions": "Submissions", "imap": "IMAP", "imaps": "IMAPS", "pop3": "POP3",
    "pop3s": "POP3S", "sieve": "ManageSieve", "lmtp": "LMTP", "stream": "TCP stream",
}  # fmt: skip
_MODES = {"implicit": "TLS", "starttls": "STARTTLS", "none": "no TLS", "unknown": "TLS not known"}


@dataclass(frozen=True, slots=True)
class Lane:
    """One class of clients on its way; `families` such as (4, 6), `place` the line that decides."""

    who: str
    families: tuple[int, ...]
    state: State
    word: str
    why: str
    place: Place | None = None
    notes: tuple[str, ...] = ()
    turns: tuple[Turn, ...] = ()

    @property
    def over(self) -> str:
        """The address families in words."""
        return " and ".join(f"IPv{family}" for family in self.families)


@dataclass(slots=True)
class Service:
    """A port of a server, or a port where nothing listens (`places` is empty)."""

    transport: str
    port: int
    protocol: str
    server: str = ""
    mode: str = ""
    addresses: tuple[str, ...] = ()
    places: tuple[Place, ...] = ()
    lanes: tuple[Lane, ...] = ()
    papers: tuple[Paper, ...] = ()
    told: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    spot: Place | None = None  # where something says why nothing listens
    before: tuple[str, ...] = ()  # what stands in front of the host: a router, a load balancer
    starts: bool = True
    findings: list[Row] = field(default_factory=list)

    @property
    def title(self) -> str:
        """What people call it."""
        return TITLES.get(self.protocol, self.protocol or f"port {self.port}")

    @property
    def group(self) -> str:
        """What it belongs to."""
        return group_of(self.protocol)

    @property
    def standing(self) -> Standing:
        """How it stands: its worst finding, else whether it was judged and is open to anyone."""
        if self.findings:
            return min((row.severity for row in self.findings), key=STANDINGS.index)
        states = {lane.state for lane in self.lanes if lane.who != HERE}
        if "unknown" in states:
            return "unknown"
        return "sound" if states & {"open", "limited"} else "quiet"


@dataclass(slots=True)
class Picture:
    """All that the page shows of a host; `key` is its name as it is, `name` as it is shown."""

    key: str
    name: str
    now: datetime
    services: list[Service]
    findings: list[Row]
    gaps: list[Gap]
    papers: list[Paper]
    assumed: list[str]
    rulesets: list[str]

    @property
    def standing(self) -> Standing:
        """The worst of it all; what was not judged is worse than what is sound."""
        found: list[Standing] = [row.severity for row in self.findings]
        found += ["unknown"] if any(gap.decisive for gap in self.gaps) else []
        return min((*found, *(one.standing for one in self.services)), key=STANDINGS.index,
                   default="sound")  # fmt: skip


def picture(host: Host, findings: Sequence[Row], gaps: Sequence[Gap]) -> Picture:
    """Return the picture of a host; `findings` and `gaps` are its own."""
    maker = _Maker(host)
    services = [*maker.listening(), *maker.missing(findings)]
    for service in services:
        service.findings = [row for row in findings if _is_about(row, service)]
        service.lanes = tuple(_judged(lane, service) for lane in service.lanes)
    services.sort(key=lambda one: (STANDINGS.index(one.standing), one.port, one.transport))
    return Picture(
        key=host.name,
        name=clean(host.name),
        now=host.now,
        services=services,
        findings=list(findings),
        gaps=list(gaps),
        papers=maker.papers,
        assumed=[clean(text) for text in host.assumptions],
        rulesets=[clean(source.path) for source in host.ruleset.sources],
    )


def _is_about(row: Row, service: Service) -> bool:
    assert row.finding is not None
    subjects = row.finding.fact.subjects
    own = port_of(row.finding)
    if own is not None:
        return own == (service.transport, service.port)
    if (service.transport, service.port) in subjects and row.rule.family != "renewal":
        return True
    return any(("certificate", paper.real) in subjects for paper in service.papers)


def _judged(lane: Lane, service: Service) -> Lane:
    """Return a lane as it is drawn: closed is alarming where a finding says that it is wrong."""
    if lane.state == "closed" and (not service.findings or lane.who == HERE):
        return replace(lane, state="calm")
    exposed = any(
        row.rule.family == "exposure" or row.rule.name == "expose-violated"
        for row in service.findings
    )
    if exposed and lane.who == INTERNET and lane.state in ("open", "limited"):
        return replace(lane, state="breach")
    return lane


class _Maker:
    """Make the services of one host."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.place = placer(host)
        self.papers = papers(host)
        self.told = told(host)
        self.networks = dict(list(host.target.intent.networks.items())[:MAX_NETWORKS])

    # -- listeners --------------------------------------------------------------------------

    def listening(self) -> Iterator[Service]:
        """Yield the sockets, those of one server and port together."""

        def key(socket: Socket) -> tuple[str, str, int]:
            endpoint = socket.endpoint
            return (endpoint.server, endpoint.transport, endpoint.port)

        for _, some in groupby(sorted(self.host.sockets, key=key), key):
            yield self._service(list(some))

    def _service(self, sockets: Sequence[Socket]) -> Service:
        endpoint = sockets[0].endpoint
        port = (endpoint.transport, endpoint.port)
        reading = self.host.reading(endpoint.server)
        paths = dict.fromkeys(ref.path for s in sockets for ref in s.endpoint.certificates)
        modes = dict.fromkeys(_mode(socket) for socket in sockets)
        locations = dict.fromkeys(socket.endpoint.location for socket in sockets)
        protocol = "h3" if port == ("udp", 443) else endpoint.protocol
        local = all(socket.scope == "loopback" for socket in sockets)
        notes = dict.fromkeys(
            clean(text) for s in sockets if not s.endpoint.certain for text in s.endpoint.reasons
        )
        return Service(
            transport=endpoint.transport,
            port=endpoint.port,
            protocol=clean(protocol),
            server=endpoint.server,
            mode=" or ".join(modes),
            addresses=tuple(dict.fromkeys(clean(s.endpoint.address) for s in sockets)),
            places=tuple(self.place(where, "") for where in locations),
            lanes=tuple(self._lanes(sockets, local)),
            papers=tuple(paper for paper in self.papers if paper.real in paths),
            told=() if local else tuple(clean(text) for text in self.told.get(port, ())),
            notes=tuple(notes),
            before=self._before(port),
            starts=reading is None or reading.starts,
        )

    def _before(self, port: Port) -> tuple[str, ...]:
        intent = self.host.target.intent
        found = [f"router: {o[1]} → {i[1]}" for o, i in intent.nat.items() if i == port]
        if port in intent.terminated_elsewhere:
            found.append("TLS ends at a load balancer")
        return tuple(found)

    def _lanes(self, sockets: Sequence[Socket], local: bool) -> list[Lane]:
        if local:
            where = self.place(sockets[0].endpoint.location, "")
            families = tuple(
                f for f, one in ((4, "ipv4"), (6, "ipv6")) if any(getattr(s, one) for s in sockets)
            )
            return [Lane(HERE, families, "open", "this host only", "bound to loopback", where)]
        several = len({socket.endpoint.address for socket in sockets} - {*WILDCARDS}) > 1
        lanes: list[Lane] = []
        shown = sorted(sockets, key=_is_open)[:MAX_ADDRESSES]
        for family in ask.FAMILIES:
            for socket in shown:
                reach = socket.ipv4 if family == 4 else socket.ipv6
                if reach is not None:
                    lanes += self._of(socket, family, reach, several)
        return _telling(merged(lanes))

    def _of(
        self, socket: Socket, family: ask.Family, reach: Reach, several: bool
    ) -> Iterator[Lane]:
        endpoint = socket.endpoint
        port = (endpoint.transport, endpoint.port)
        wild = endpoint.address in WILDCARDS
        to = None if wild else endpoint.address
        trace = self._trace(port, family, to)
        if trace is not None:
            trace = replace(trace, reach=reach)
        lane = self._lane(INTERNET, port, family, reach, trace)
        if several:
            lane = replace(lane, notes=(f"to {clean(endpoint.address)}", *lane.notes))
        yield lane
        yield from self._named(port, family, to, reach)

    def _trace(self, port: Port, family: ask.Family, to: str | None) -> PortTrace | None:
        try:
            question = ask.ask(_transport(port), port[1], family=f"ipv{family}", destination=to)
            return ask.answers(self.host, question)[family]
        except (UsageError, ValueError):  # an address that is no address
            return None

    def _lane(
        self, who: str, port: Port, family: int, reach: Reach, trace: PortTrace | None
    ) -> Lane:
        what = f"{port[0]}/{port[1]}"
        if trace is None:
            trace = PortTrace(reach, (), "")
        why, where = ask.because(trace, what)
        if not why:
            why = "; ".join(reach.reasons)
        state: State = reach.verdict
        word: str = reach.verdict
        if reach.verdict == "limited" and reach.opened is not None:
            why = f"to {reach.opened.brief(MAX_SOURCES)}"
            if who == INTERNET and not reach.public_share:
                state, word, why = "closed", "closed to the Internet", f"open only {why}"
        notes = ["rate limited"] if reach.rate_limited else []
        notes += ["may be banned"] if reach.may_be_banned else []
        notes += [f"via {', '.join(map(clean, interfaces(reach.via)))}"] if reach.via else []
        return Lane(
            who,
            (family,),
            state,
            word,
            clean(why),
            None if where is None else self.place(where, ""),
            tuple(notes),
            tuple(turns(trace)),
        )

    def _named(
        self, port: Port, family: ask.Family, to: str | None, reach: Reach
    ) -> Iterator[Lane]:
        """Yield a lane for each named network, and where only some get in, for these."""
        meant = self.host.target.intent.expose.get(port) or ()
        for name in (*self.networks, *meant[:MAX_NETWORKS]):
            try:
                question = ask.ask(
                    _transport(port), port[1], source=name, destination=to, named=self.networks
                )
            except UsageError:
                continue
            if family not in question.families:
                continue
            trace = ask.answers(self.host, replace(question, families=(family,)))[family]
            yield self._lane(clean(name), port, family, trace.reach, trace)
        if reach.verdict == "limited" and not (self.networks or meant) and reach.opened:
            who = clean(reach.opened.brief(MAX_SOURCES))
            lets = [d for d in reach.decided_by if d.effect == "accept" and d.location]
            place = self.place(lets[0].location, "") if lets and lets[0].location else None
            why = clean(lets[0].text) if lets else ""
            yield Lane(who, (family,), "open", "open", why, place)

    # -- ports without a listener -----------------------------------------------------------

    def missing(self, findings: Sequence[Row]) -> Iterator[Service]:
        """Yield the ports that findings are about and that nothing opens."""
        opened = {(s.endpoint.transport, s.endpoint.port) for s in self.host.sockets}
        found: dict[tuple[Transport, int], Row] = {}
        for row in findings:
            port = port_of(row.finding) if row.finding is not None else None
            if port is not None and port not in opened:
                found.setdefault(port, row)
        for port, row in found.items():
            lanes = []
            for family in ask.FAMILIES:
                trace = self._trace(port, family, None)
                if trace is not None:
                    lanes.append(self._lane(INTERNET, port, family, trace.reach, trace))
            names = [name for name, number in SERVICES.items() if number == port[1]]
            known = [name for name in names if name in TITLES] or ["", *names]
            protocol = known[0] if port[0] == "tcp" else ""
            yield Service(
                *port,
                protocol=protocol,
                lanes=tuple(merged(lanes)),
                told=tuple(clean(text) for text in self.told.get(port, ())),
                notes=(row.place.message,) if row.place.message else (),
                spot=row.place if row.place.message else None,
                before=self._before(port),
            )


def _is_open(socket: Socket) -> bool:
    return all(reach.verdict == "open" for reach in socket.reaches)


def _transport(port: Port) -> Transport:
    return "udp" if port[0] == "udp" else "tcp"


def _mode(socket: Socket) -> str:
    endpoint = socket.endpoint
    if endpoint.passthrough:
        return "TLS passed on"
    if endpoint.transport == "udp" and endpoint.tls == "implicit":
        return "QUIC"
    required = endpoint.tls == "starttls" and endpoint.tls_required
    return _MODES[endpoint.tls] + (" required" if required else "")


def merged(lanes: Sequence[Lane]) -> list[Lane]:
    """Join the lanes of both families where the same line decides the same."""
    found: dict[tuple[object, ...], Lane] = {}
    for lane in lanes:
        key = (lane.who, lane.state, lane.why, lane.place, lane.notes)
        twin = found.get(key)
        if twin is None:
            found[key] = lane
        else:
            families = tuple(sorted({*twin.families, *lane.families}))
            found[key] = replace(twin, families=families)
    return list(found.values())


def _telling(lanes: Sequence[Lane]) -> list[Lane]:
    """Leave out the networks that fare as the Internet does, and put the worst first."""
    order = get_args(State)
    public = {
        (family, one.state) for one in lanes if one.who == INTERNET for family in one.families
    }
    told = [
        one
        for one in lanes
        if one.who == INTERNET or not {(family, one.state) for family in one.families} <= public
    ]
    return sorted(told, key=lambda one: (one.who != INTERNET, order.index(one.state)))


def grouped(services: Sequence[Service]) -> list[tuple[str, list[Service]]]:
    """Return the services by what they belong to, the group with the worst first."""
    found: dict[str, list[Service]] = {}
    for service in services:
        found.setdefault(service.group, []).append(service)
    return list(found.items())
