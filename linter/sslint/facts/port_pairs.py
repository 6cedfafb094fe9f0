"""Facts about a port that the firewall opens beside the closed one on which a service listens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from sslint.engine import Span
from sslint.facts.alternatives import PORTS, kind_of
from sslint.facts.fact import Loose
from sslint.host import listeners
from sslint.netfilter import addresses
from sslint.netfilter.model import Intervals, Match, SetRef, VerdictMap
from sslint.netfilter.survey import fields
from sslint.values import dataclass

if TYPE_CHECKING:
    from sslint.host import Host
    from sslint.netfilter.openings import Opening
    from sslint.netfilter.verdicts import Reach

Family = Literal[4, 6]


@dataclass(frozen=True, slots=True)
class _Way:
    """Where the firewall leads the clients of a port of some kind: `outer` differs behind NAT."""

    outer: int
    port: int
    spans: tuple[Span, ...]


def port_pairs(host: Host, facts: Mapping[str, Sequence[Loose]]) -> list[Loose]:
    """Return a fact for each closed TLS service of whose kind another port is open to everyone."""
    found = []
    taken: set[int] = set()
    for service in facts["service"]:
        ports = PORTS.get(kind_of(service), ())
        if service.values["transport"] != "tcp" or not service.values["offers_tls"]:
            continue
        for family in _closed_families(service):
            ways = [
                *_translated(host, service.values["port"], ports, family),
                *_opened(host, facts["opening"], service.values["port"], ports, family),
            ]
            way = next((way for way in ways if way.port not in taken), None)
            if way is not None:
                taken.add(way.port)
                found.append(_pair(host, service, way))
                break
    return found


def _closed_families(service: Loose) -> list[Family]:
    every: tuple[tuple[Family, str], ...] = ((4, "ipv4"), (6, "ipv6"))
    reach = service.values["reach"]
    return [f for f, key in every if reach[key] is not None and reach[key]["public"] == "closed"]


def _opened(
    host: Host, openings: Sequence[Loose], own: int, ports: Sequence[int], family: Family
) -> Iterator[_Way]:
    """Yield the ports, of those of a kind, that a rule opens to everyone by name."""
    for port in ports:
        spans = [
            fact.span
            for fact in openings
            if fact.values["port"] == port != own
            and fact.values["transport"] == "tcp"
            and fact.values["public"]
            and fact.values["effective"]
            and not fact.values["expected"]
            and family in fact.values["families"]
            and not _in_range(host, fact)
            and fact.span is not None
        ]
        if spans and port != 80:
            yield _Way(port, port, tuple(spans))


def _in_range(host: Host, opening: Loose) -> bool:
    """Tell whether a rule opens a port as one of a range, which says nothing of that port."""
    found: Sequence[Opening] = opening.source  # type: ignore[assignment]
    port = opening.values["port"]
    return any(
        low < high and low <= port <= high
        for one in found
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
        reach: Reach = firewall.reach("tcp", outer, family)
        target = _own_port(host, reach, family) if outer not in reach.reached_as else None
        if target in (None, own, outer):
            continue
        if firewall.reach_outer("tcp", outer, family).verdict == "open":
            message = f"translates tcp/{outer} to tcp/{target}"
            yield _Way(
                outer,
                target,
                tuple(Span(d.location, message) for d in reach.translated_by if d.location),
            )


def _own_port(host: Host, reach: Reach, family: Family) -> int | None:
    """Return the one port of this host that NAT leads to; None if there is another place."""
    if len(reach.forwarded_to) != 1:
        return None
    address, _, port = reach.forwarded_to[0].rpartition(":")
    own = host.network.network.own(family)
    if address and addresses.parse(address.strip("[]"))[1] not in own:
        return None
    return int(port)


def _listener(host: Host, port: int) -> str | None:
    """Tell whether any program listens on a port; None where it may."""
    if listeners(host, "tcp", port):
        return "certain"
    known = all(reading.complete for reading in (*host.readings, *host.programs))
    return "none" if known else None


def _pair(host: Host, service: Loose, way: _Way) -> Loose:
    values: dict[str, Any] = {
        key: service.values[key]
        for key in (
            "server", "protocol", "transport", "port", "scope", "certain", "reach", "internal",
            "terminated_elsewhere", "for_some", "attempted", "upstream_target",
            "alternative_open", "enforced",
        )
    }  # fmt: skip
    own, place = service.values["port"], service.span.location if service.span else None
    where = f" ({place.path}:{place.line})" if place is not None else ""
    values.update(
        {
            "opened": way.outer,
            "target": way.port,
            "listener": _listener(host, way.port),
            "attempted": service.values["attempted"] and way.outer != own,
            "does": _does(way),
            "sees": _sees(way, own, service.values["reach"]["outcome"]),
            "remedies": f"{_firewall_remedy(way, own)}, or {_server_remedy(service, way)}{where}",
        }
    )
    return Loose(
        entity=f"{service.values['server']} tcp/{own} and tcp/{way.outer}",
        values=values,
        span=service.span,
        spans={"opened_at": way.spans, "decided_by": service.spans["decided_by"]},
        subjects=service.subjects | {("tcp", way.outer), ("tcp", way.port)},
        source=service.source,
    )


def _does(way: _Way) -> str:
    if way.outer == way.port:
        return f"opens tcp/{way.port}"
    return f"translates tcp/{way.outer} to tcp/{way.port}"


def _sees(way: _Way, own: int, outcome: str) -> str:
    refused = f"connections to tcp/{way.outer} are refused"
    end = {"rejected": "are rejected at once", "times-out": "time out"}[outcome]
    return refused if way.outer == own else f"{refused}; those to tcp/{own} {end}"


def _firewall_remedy(way: _Way, own: int) -> str:
    if way.outer == own:
        return f"remove the translation of tcp/{own}"
    if way.outer == way.port:
        return f"open tcp/{own} in this firewall"
    return f"translate tcp/{way.outer} to tcp/{own}"


def _server_remedy(service: Loose, way: _Way) -> str:
    """Say how the service comes to listen where clients are led, in the words of its server."""
    server = service.values["server"]
    if server == "postfix":
        name = {465: "submissions", 587: "submission"}.get(way.port, str(way.port))
        return f"enable the service {name} in master.cf"
    if server == "dovecot":
        return f"set port = {way.port} in the inet_listener"
    return f"let {server} listen on tcp/{way.port}"
