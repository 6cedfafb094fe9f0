"""What of a host was judged: its TLS listeners by verdict, and what left the others without one.

A run that judged nothing must not pass for one that found nothing: `Judged.enough` says whether a
host's silence means anything (exit status 3 if not).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from typing import TYPE_CHECKING

from sslint.values import dataclass, field, replace

if TYPE_CHECKING:
    from sslint.host import Host, Socket
    from sslint.netfilter.verdicts import Reach
    from sslint.servers.model import Endpoint

MAX_REASONS = 3  # of one tally
MAX_PORTS = 4  # of one reason
VERDICTS = ("open", "limited", "closed")
COUNTS = (*VERDICTS, "not_opened", "unknown")
PASTE = "name one with --firewall, or set firewall: none"


class Why(Enum):
    """Why something was not judged; the values are part of the JSON report."""

    NO_FIREWALL = "no-firewall"  # no ruleset in the files, and nothing says that there is none
    FIREWALL_UNREAD = "firewall-unread"  # a manager, a script, a file that cannot be loaded
    UNDECIDED = "undecided"  # the rules leave it open
    LISTENER_UNCERTAIN = "listener-uncertain"  # whether it is opened is not known
    TLS_UNKNOWN = "tls-unknown"  # whether it speaks TLS is not known
    SERVER_UNREAD = "server-unread"  # its files are there and make no listener
    SERVER_INCOMPLETE = "server-incomplete"  # it may have TLS listeners that are not known
    TLS_UNREAD = "tls-unread"  # a program that may serve TLS, whose TLS is not read
    CERTIFICATES_UNREAD = "certificates-unread"  # who serves TLS, and with what is not read
    EXPECTATION = "expectation-undecided"  # whether a port is as the configuration expects
    UNCLAIMED = "unclaimed"  # a file by which something may serve TLS, and that no server has
    FILE_UNREAD = "file-unread"  # a file that decides a socket or a ruleset


# The ways out of exit status 3, where the reason does not name one.
_WAYS = {
    "--firewall FILE": (Why.FIREWALL_UNREAD,),
    "not_judged in .sslint.yaml": (
        Why.FIREWALL_UNREAD,
        Why.UNDECIDED,
        Why.LISTENER_UNCERTAIN,
        Why.TLS_UNKNOWN,
        Why.SERVER_UNREAD,
        Why.SERVER_INCOMPLETE,
        Why.TLS_UNREAD,
        Why.EXPECTATION,
    ),
    "exclude in .sslint.yaml": (Why.FILE_UNREAD,),
}
# These leave a host unjudged only if no listener has a verdict; what a certificate holds is no
# matter of who reaches a listener, and a file that decides is a problem of its own.
_IF_ALONE = (Why.LISTENER_UNCERTAIN, Why.SERVER_INCOMPLETE)
_NEVER = (Why.CERTIFICATES_UNREAD,)


@dataclass(frozen=True, slots=True)
class Gap:
    """One reason, and the TLS listeners that it leaves without a verdict ("tcp/443").

    `decisive`: the host is not judged for it. `certificates` are the paths of those that were not
    read, "" for one whose path is not known. `because`: the configuration acknowledges it.
    """

    why: Why
    reason: str
    listeners: int = 0
    ports: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()
    decisive: bool = False
    because: str = ""


@dataclass(frozen=True, slots=True)
class Judged:
    """What was judged of one host. A listener counts once for each family it takes.

    `counts`: by verdict, `not_opened` where its server certainly does not start. `enough` False:
    that nothing was found means nothing.
    """

    host: str
    counts: dict[str, int]
    gaps: tuple[Gap, ...]
    enough: bool
    refused: tuple[str, ...] = ()  # the servers that certainly do not start
    certificates: int = 0  # those that were read
    met: frozenset[int] = frozenset()  # the entries of `not_judged` that are about a gap

    @property
    def listeners(self) -> int:
        """The TLS listeners, with or without a verdict."""
        return sum(self.counts.values())

    @property
    def unread_certificates(self) -> int:
        """The certificates of these listeners that were not read."""
        return sum(len(gap.certificates) for gap in self.gaps)

    @property
    def unknown(self) -> int:
        """The TLS listeners without a verdict."""
        return self.counts["unknown"]


def judge(host: Host) -> Judged:
    """Say what of a host was judged."""
    counts = dict.fromkeys(COUNTS, 0)
    certificates = _Certificates(host)
    found: dict[tuple[Why, str], Counter[str]] = {}
    decided = False  # some listener has a verdict that rests on a ruleset
    for socket in host.sockets:
        endpoint = socket.endpoint
        if not _is_tls(endpoint) or not _is_read(host, endpoint) or _is_replaced(host, endpoint):
            continue
        port = _port(endpoint)
        certificates.add(socket)
        refused = not _starts(host, endpoint)
        for family, reach in ((4, socket.ipv4), (6, socket.ipv6)):
            if reach is None:
                continue
            if refused:
                counts["not_opened"] += 1
                decided = True
                continue
            why = _why(host, socket, reach, family)
            if why is None:
                counts[reach.verdict] += 1
                decided = decided or not _trivial(host, socket, family)
            elif (endpoint.transport, endpoint.port) not in host.target.intent.terminated_elsewhere:
                counts["unknown"] += 1
                found.setdefault(why, Counter())[port] += 1
    gaps = [Gap(*why, ports.total(), tuple(ports)) for why, ports in found.items()]
    gaps += _servers(host)
    gaps += _partly_read(host)
    gaps += certificates.gaps()
    gaps += _programs(host)
    gaps += _expectations(host)
    if not gaps and not any(counts.values()):
        gaps += _unclaimed(host)
    never = (*_NEVER, *_IF_ALONE) if decided else _NEVER
    gaps = [replace(gap, decisive=gap.why not in never) for gap in gaps]
    gaps, met = _acknowledged(host, gaps)
    gaps += [] if any(gap.decisive for gap in gaps) else _files(host)
    enough = not any(gap.decisive for gap in gaps)
    servers = tuple(reading.server for reading in host.readings if not reading.starts)
    return Judged(host.name, counts, tuple(gaps), enough, servers, len(certificates.read), met)


def tally(judged: Sequence[Judged]) -> str:
    """Return the sentence that says how much a run judged."""
    total = {verdict: sum(one.counts[verdict] for one in judged) for verdict in COUNTS}
    known = [f"{total[verdict]} {verdict}" for verdict in VERDICTS if total[verdict]]
    if total["not_opened"]:
        refused = dict.fromkeys(server for one in judged for server in one.refused)
        said = " and ".join(refused) + (" does not start" if len(refused) == 1 else " do not start")
        known.append(f"{total['not_opened']} not opened ({said})")
    count = sum(total.values())
    text = f"{count} TLS listener{'' if count == 1 else 's'}"
    if known:
        text += f": {', '.join(known)}"
    reasons = list(_reasons(judged))
    gaps = [gap for one in judged for gap in one.gaps]
    if reasons:
        more = len(reasons) - MAX_REASONS
        said = "; ".join(reasons[:MAX_REASONS]) + (f"; and {more} more" if more > 0 else "")
        unknown = sum(gap.listeners for gap in gaps if not gap.because)
        text += f"; {f'{unknown} ' if unknown and known else ''}not judged: {said}"
        needed = {gap.why for gap in gaps if gap.decisive}
        ways = [way for way, reasons in _WAYS.items() if needed.intersection(reasons)]
        text += f"; to settle it: {' or '.join(ways)}" if ways else ""
    unjudged = sum(not one.enough for one in judged)
    if unjudged and len(judged) > 1:
        text += f"; hosts: {len(judged) - unjudged} judged, {unjudged} not"
    accepted = sum(bool(gap.because) for gap in gaps)
    text += f"; acknowledged as not judged: {accepted}" if accepted else ""
    read = sum(one.certificates for one in judged)
    unread = sum(one.unread_certificates for one in judged)
    return f"{text}; certificates: {read} of {read + unread} read" if unread else text


# -- inside ---------------------------------------------------------------------------------------


def _is_tls(endpoint: Endpoint) -> bool:
    return endpoint.tls != "none" or endpoint.passthrough


def _is_read(host: Host, endpoint: Endpoint) -> bool:
    """Tell whether a listener's reader says what it is: a gap of its own tells of the others."""
    reading = host.reading(endpoint.server)
    if reading is None or reading.knows.tls:
        return True
    return reading.knows.ports and (endpoint.tls != "unknown" or endpoint.passthrough)


def _is_replaced(host: Host, endpoint: Endpoint) -> bool:
    """Tell whether a server that nothing starts stands beside another that has its port."""
    from sslint.host import listeners

    reading = host.reading(endpoint.server)
    if reading is None or reading.enabled:
        return False
    here = listeners(host, endpoint.transport, endpoint.port)
    return any(other.certain and other.server != endpoint.server for other in here)


def _port(endpoint: Endpoint) -> str:
    return f"{endpoint.transport}/{endpoint.port}"


def _starts(host: Host, endpoint: Endpoint) -> bool:
    reading = host.reading(endpoint.server)
    return reading is None or reading.starts


def _trivial(host: Host, socket: Socket, family: int) -> bool:
    """Tell whether a listener is closed whatever the firewall does."""
    return socket.scope == "loopback" or (family == 6 and host.network.network.ipv6 is False)


def _why(host: Host, socket: Socket, reach: Reach, family: int) -> tuple[Why, str] | None:
    """Say why a listener has no verdict over a family; None if it has one."""
    if _trivial(host, socket, family):
        return None
    endpoint = socket.endpoint
    if not endpoint.certain:
        reason = endpoint.reasons[0] if endpoint.reasons else "its configuration does not say"
        return Why.LISTENER_UNCERTAIN, f"whether it is opened is not known: {reason}"
    if reach.verdict == "unknown":
        if host.ruleset.empty:
            asleep = getattr(host.firewall, "asleep", "")
            said = f"no firewall in force: {asleep}" if asleep else "no firewall in the files"
            return Why.NO_FIREWALL, f"{said} ({PASTE})"
        missing = [one for one in host.ruleset.missing if family in one.families]
        if missing:
            return Why.FIREWALL_UNREAD, missing[0].reason
        return Why.UNDECIDED, reach.reasons[0] if reach.reasons else "the rules do not decide it"
    if endpoint.tls == "unknown" and not endpoint.passthrough:
        reason = endpoint.reasons[0] if endpoint.reasons else "its configuration does not say"
        return Why.TLS_UNKNOWN, f"whether it speaks TLS is not known: {reason}"
    return None


def _servers(host: Host) -> Iterator[Gap]:
    """Yield the servers whose files are there and make no listener, or perhaps not all TLS ones."""
    for reading in host.readings:
        if not reading.reasons or not reading.knows.certificates:
            continue
        if not reading.starts and reading.endpoints:
            continue
        reason = reading.reasons[0]
        if not reading.endpoints:
            said = f"{reading.server} has no listener that is known: {reason}"
            yield Gap(Why.SERVER_UNREAD, said)
        elif not any(map(_is_tls, reading.endpoints)):
            yield Gap(Why.SERVER_INCOMPLETE, f"{reading.server} may have more listeners: {reason}")


def _partly_read(host: Host) -> Iterator[Gap]:
    """Yield the servers whose TLS or whose certificates are not read, and what may be more."""
    exempt = _read_ports(host) | host.target.intent.terminated_elsewhere
    for reading in host.readings:
        if reading.knows.certificates:
            continue
        outward = [e for e in reading.endpoints if _is_tls(e) and _is_outward(e, exempt)]
        outward = [endpoint for endpoint in outward if not _is_replaced(host, endpoint)]
        known: list[Endpoint] = []
        dark: list[Endpoint] = []
        for endpoint in outward:
            (known if _is_read(host, endpoint) else dark).append(endpoint)
        if dark:
            yield _unread(Why.TLS_UNREAD, f"the TLS of {reading.server}", dark)
        certified = [endpoint for endpoint in known if not endpoint.passthrough]
        if certified:
            what = f"the certificate of {reading.server}"
            yield replace(_unread(Why.CERTIFICATES_UNREAD, what, certified), certificates=("",))
        if not outward and not reading.complete:
            said = f"what {reading.server} listens on is not known: {reading.gaps[0]}"
            yield Gap(Why.TLS_UNREAD, said)


def _programs(host: Host) -> Iterator[Gap]:
    """Yield the programs that are no servers and may have TLS on a port of their own."""
    from sslint.servers.programs import MAY_SERVE_TLS, may_serve_tls

    exempt = _read_ports(host) | host.target.intent.terminated_elsewhere
    for reading in host.programs:
        found = [e for e in reading.endpoints if may_serve_tls(e) and _is_outward(e, exempt)]
        if found:
            yield _unread(Why.TLS_UNREAD, f"the TLS of {reading.server}", found)
        elif not reading.complete and reading.server in MAY_SERVE_TLS:
            said = f"what {reading.server} listens on is not known: {reading.gaps[0]}"
            yield Gap(Why.TLS_UNREAD, said)


def _unread(why: Why, what: str, endpoints: Sequence[Endpoint]) -> Gap:
    ports = tuple(dict.fromkeys(map(_port, endpoints)))
    return Gap(why, f"{what} on {_shown(ports)} is not read", ports=ports)


def _read_ports(host: Host) -> set[tuple[str, int]]:
    """Return the ports of TLS listeners that are read whole: what else is there is a proxy's."""
    return {
        (endpoint.transport, endpoint.port)
        for reading in host.readings
        if reading.knows.certificates
        for endpoint in reading.endpoints
        if _is_tls(endpoint)
    }


def _is_outward(
    endpoint: Endpoint, exempt: set[tuple[str, int]] | frozenset[tuple[str, int]]
) -> bool:
    from sslint.host import scope_of

    outward = scope_of(endpoint.address) != "loopback"
    return outward and (endpoint.transport, endpoint.port) not in exempt


def _unclaimed(host: Host) -> Iterator[Gap]:
    """Yield what may serve TLS beside all that was read, where that has no TLS listener."""
    from sslint import unclaimed

    if host.target.unclaimed is None:
        host.target.unclaimed = tuple(unclaimed.find(host))
    if host.target.unclaimed:
        tip = "describe the host in .sslint.yaml, or list it under exclude"
        yield Gap(Why.UNCLAIMED, f"{unclaimed.said(host.target.unclaimed)} ({tip})")


@dataclass(slots=True)
class _Certificates:
    """The certificates that listeners name, each once: those that were read, and the others.

    `unread` has for each the server that names it first, `ports` where each of these has any.
    """

    host: Host
    read: set[str | None] = field(default_factory=set)
    unread: dict[str | None, str] = field(default_factory=dict)
    ports: dict[str, dict[str, None]] = field(default_factory=dict)

    def add(self, socket: Socket) -> None:
        """Count those of a listener that other hosts reach."""
        from sslint.certificates import is_read

        endpoint = socket.endpoint
        for ref in endpoint.certificates if socket.scope != "loopback" else ():
            if ref.path in self.read:
                continue
            if ref.path not in self.unread and is_read(self.host.tree, ref):
                self.read.add(ref.path)
                continue
            server = self.unread.setdefault(ref.path, endpoint.server)
            self.ports.setdefault(server, {})[_port(endpoint)] = None

    def gaps(self) -> Iterator[Gap]:
        """Yield what was not read, by the server that names it."""
        for server, ports in self.ports.items():
            paths = [path or "" for path, first in self.unread.items() if first == server]
            named = _shown([path or "that a variable names" for path in paths])
            what, verb = ("certificates", "are") if len(paths) > 1 else ("certificate", "is")
            said = f"the {what} {named} of {server} on {_shown(tuple(ports))} {verb} not read"
            yield Gap(Why.CERTIFICATES_UNREAD, said, 0, tuple(ports), tuple(paths))


def _expectations(host: Host) -> Iterator[Gap]:
    """Yield the expectations of the configuration of which it is not known whether they hold."""
    if not host.target.expect:
        return
    from sslint import ask

    for one, answers in ask.expected(host):
        for trace in answers.values():
            if trace.reach.verdict == "unknown":
                why, _ = ask.because(trace, f"{one.question.transport}/{one.question.port}")
                said = f"whether {one.question.subject} is {one.expected} is not known"
                yield Gap(Why.EXPECTATION, f"{said}: {why}" if why else said)
                break


def _acknowledged(host: Host, gaps: Sequence[Gap]) -> tuple[list[Gap], frozenset[int]]:
    """Return gaps with what the configuration says of them, and the numbers of its entries."""
    import fnmatch

    said: list[Gap] = []
    met: set[int] = set()
    for gap in gaps:
        entries = {
            number: entry
            for number, entry in enumerate(host.target.intent.not_judged)
            if entry.code == gap.why.value
            and (not entry.ports or entry.ports.intersection(gap.ports))
            and fnmatch.fnmatchcase(host.name, entry.host)
        }
        met.update(entries)
        left = set(gap.ports).difference(*(entry.ports or gap.ports for entry in entries.values()))
        if entries and not left:
            because = next(iter(entries.values())).because
            gap = replace(gap, decisive=False, because=because)
        said.append(gap)
    return said, frozenset(met)


def _files(host: Host) -> list[Gap]:
    """Return what could not be read where nothing else says why the exit status is 3."""
    decisive = [problem for problem in host.problems if problem.decisive]
    return [Gap(Why.FILE_UNREAD, problem.sentence, decisive=True) for problem in decisive]


def _shown(ports: Sequence[str]) -> str:
    more = len(ports) - MAX_PORTS
    return ", ".join(ports[:MAX_PORTS]) + (f" and {more} more" if more > 0 else "")


def _reasons(judged: Iterable[Judged]) -> Iterator[str]:
    """Yield each reason once, with its hosts where a run has several."""
    hosts: dict[str, list[str]] = {}
    for one in judged:
        for gap in one.gaps:
            if gap.because or gap.why is Why.CERTIFICATES_UNREAD:  # they are counted
                continue
            hosts.setdefault(gap.reason, []).append(one.host)
    several = len(list(judged)) > 1
    for reason, names in hosts.items():
        yield f"{reason} ({_shown(list(dict.fromkeys(names)))})" if several else reason
