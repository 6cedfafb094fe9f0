"""Facts about a port that the firewall opens beside the closed one on which a service listens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from sslint.engine import Span
from sslint.facts.alternatives import PORTS, kind_of
from sslint.facts.fact import Fact, Places, field, of
from sslint.facts.ports import Family, Transport, own_port
from sslint.facts.reach import Reach
from sslint.host import Scope, listeners
from sslint.netfilter.model import Intervals, Match, SetRef, VerdictMap
from sslint.netfilter.survey import fields
from sslint.values import dataclass

if TYPE_CHECKING:
    from sslint.facts.collection import Facts
    from sslint.facts.openings import Opening
    from sslint.facts.services import Service
    from sslint.host import Host

# The names of the services on the ports for submission.
_SUBMISSION = {465: "submissions", 587: "submission"}


@dataclass(frozen=True, slots=True)
class _Way:
    """Where the firewall leads the clients of a port of some kind: `outer` differs behind NAT."""

    outer: int
    port: int
    spans: tuple[Span, ...]


def port_pairs(facts: Facts) -> list[PortPair]:
    """Return a fact for each closed TLS service of whose kind another port is open to everyone."""
    found = []
    taken: set[int] = set()
    for service in facts.services:
        ports = PORTS.get(kind_of(service), ())
        if service.transport != "tcp" or not service.offers_tls:
            continue
        for family in service.reach.closed_families():
            ways = [
                *_translated(facts.host, service.port, ports, family),
                *_opened(facts, service.port, ports, family),
            ]
            way = next((way for way in ways if way.port not in taken), None)
            if way is not None:
                taken.add(way.port)
                found.append(PortPair(facts, service, way))
                break
    return found


class PortPair(Fact):
    """A TLS service that is closed, and another port for its kind of service that the firewall
    opens to everyone by name."""

    source: Service

    server: str
    protocol: str
    transport: Transport
    port: int
    "Where the service listens."
    scope: Scope
    certain: bool
    internal: bool
    terminated_elsewhere: bool
    for_some: bool
    upstream_target: bool
    alternative_open: bool | None
    enforced: bool
    reach: Reach
    decided_by: Places

    def __init__(self, facts: Facts, service: Service, way: _Way) -> None:
        own = service.port
        super().__init__(
            facts,
            service,
            f"{service.server} tcp/{own} and tcp/{way.outer}",
            service.span,
            service.subjects | {("tcp", way.outer), ("tcp", way.port)},
        )
        self._way = way

    program: str = of("source.server")
    "The server, for words that differ by server."
    opened: int = of("_way.outer")
    "The port that clients can reach."

    target: int = of("_way.port")
    "Where NAT leads the clients of that port; without NAT, the same port."

    @field
    def target_name(self) -> str:
        """The name of the mail service on that port, or its number."""
        return _SUBMISSION.get(self.target, str(self.target))

    @field
    def firewall(self) -> Literal["opens", "translates", "translates-away"]:
        """What the firewall does: it opens another port, or translates one to another, or the
        service's own port to one where it does not listen."""
        if self.opened == self.target:
            return "opens"
        return "translates-away" if self.opened == self.port else "translates"

    remedy: Literal["opens", "translates", "translates-away"] = of("firewall")
    "The same, for the words on what to do in the firewall."

    @field
    def own_port(self) -> Literal["open", "times-out", "rejected"]:
        """What clients see on the service's own port, if it is not the one that they can reach."""
        return "open" if self.opened == self.port else self.reach.outcome

    @field
    def listener(self) -> Literal["certain", "none"] | None:
        """Whether any program listens where clients are led."""
        if listeners(self._host, "tcp", self.target):
            return "certain"
        readings = (*self._host.readings, *self._host.programs)
        return "none" if all(reading.complete for reading in readings) else None

    @field
    def attempted(self) -> bool:
        """Some rule accepts by naming the service's own port."""
        return self.source.attempted and self.opened != self.port

    @field
    def configured_at(self) -> Places:
        """Where the service is configured."""
        return (self.span,) if self.span is not None else ()

    opened_at: Places = of("_way.spans")
    "The rules that open the other port, or translate it."


def _opened(facts: Facts, own: int, ports: Sequence[int], family: Family) -> Iterator[_Way]:
    """Yield the ports, of those of a kind, that a rule opens to everyone by name."""
    for port in ports:
        spans = [
            opening.span
            for opening in facts.demand.openings.get(("tcp", port), ())
            if port != own
            and opening.public
            and not opening.expected
            and family in opening.families
            and not _in_range(facts.host, opening)
            and opening.span is not None
            and opening.effective
        ]
        if spans and port != 80:
            yield _Way(port, port, tuple(spans))


def _in_range(host: Host, opening: Opening) -> bool:
    """Tell whether a rule opens a port as one of a range, which says nothing of that port."""
    return any(
        low < high and low <= opening.port <= high
        for one in opening.accepts
        for item in one.rule.items
        if isinstance(item, (Match, VerdictMap))
        for key, values in fields(host.ruleset, one.table, item.keys, _values(item))
        if key.name.endswith(".dport") and isinstance(values, Intervals)
        for low, high in values.items
    )


def _values(item: Match | VerdictMap) -> Any:
    if isinstance(item, Match):
        return item.values
    if isinstance(item.entries, SetRef):
        return item.entries
    return tuple(element for element, _ in item.entries)


def _translated(host: Host, own: int, ports: Sequence[int], family: Family) -> Iterator[_Way]:
    """Yield where NAT leads the clients of a kind's ports, if they are accepted there."""
    firewall = host.firewall
    assert firewall is not None
    if not any(
        c.base and c.base.type == "nat" for t in host.ruleset.tables for c in t.chains.values()
    ):
        return
    for outer in dict.fromkeys((*ports, own)):
        reach = firewall.reach("tcp", outer, family)
        target = own_port(host, reach, family) if outer not in reach.reached_as else None
        if target in (None, own, outer):
            continue
        if firewall.reach_outer("tcp", outer, family).verdict == "open":
            message = f"translates tcp/{outer} to tcp/{target}"
            yield _Way(
                outer,
                target,
                tuple(Span(d.location, message) for d in reach.translated_by if d.location),
            )
