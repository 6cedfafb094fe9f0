"""Facts about the firewall: the ports that its rules name, and who manages it."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from sslint.engine import Span, enumerated
from sslint.facts import coexistence
from sslint.facts.fact import Loose
from sslint.facts.services import listening
from sslint.host import only_relays, owner_of, unit_states
from sslint.netfilter import addresses
from sslint.reasons import Code, about

if TYPE_CHECKING:
    from sslint.host import Host
    from sslint.netfilter.nothing import NoFirewall
    from sslint.netfilter.openings import Opening
    from sslint.netfilter.reach import Decision, Firewall, Reach
    from sslint.reasons import Problem
    from sslint.servers.model import Endpoint
    from sslint.source import Location

UNNAMED_PORTS = (47001, 61999, 20011, 29)  # ask these what becomes of ports that no rule names
MOST = 0.99  # of the public sources: more is "everyone", but for those banned by name


def openings(host: Host) -> list[Loose]:
    """Return a fact for each rule and port that it names, its families together."""
    assert host.firewall is not None
    groups: dict[tuple[str, int, str, int], list[Opening]] = {}
    for opening in host.firewall.openings():
        place = opening.location
        key = (opening.transport, opening.port, place.path, place.line)
        groups.setdefault(key, []).append(opening)
    possible = coexistence.only_possible(host)
    return [_opening(host, group, possible) for group in groups.values()]


def _opening(host: Host, group: list[Opening], possible: frozenset[str]) -> Loose:
    first = group[0]
    transport, port = first.transport, first.port
    owner = owner_of(host, transport, port)
    reading = host.reading(owner) if owner else None
    shadowing = [
        o.shadowed_by for o in group if o.shadowed_by is not None and _covers(o.shadowed_by, o)
    ]
    blocking = [d for o in group for d in o.blocked_by if _covers(d, o)]
    dormant = [
        listener
        for r in host.readings
        for listener in r.dormant
        if (listener.transport, listener.port) == (transport, port)
    ]
    needed = any(o.closed for o in group)
    return Loose(
        entity=f"firewall {transport}/{port}",
        values={
            "transport": transport,
            "port": port,
            "families": [o.family for o in group],
            "family": first.family if len(group) == 1 else None,
            "kind": first.table.origin,
            "public": any(_public_share(o.family, o.sources) >= MOST for o in group),
            "effective": any(o.effective for o in group),
            "needed": needed,
            "shadowed": bool(shadowing) and not any(o.effective for o in group),
            "blocked_elsewhere": bool(blocking) and not shadowing,
            "enforced": not blocking
            or any(coexistence.owner(d.table) not in possible for d in blocking),
            "owner": owner,
            "owner_read": None
            if reading is None
            else reading.complete and not _lacks_services(host, owner),
            "listener": listening(host, transport, port),
            "dormant": dormant[0].reason if dormant else None,
            "translated": _translated(host, first),
            "both_transports": _for_both(first),
            "other_served": listening(host, "udp" if transport == "tcp" else "tcp", port)
            == "certain",
            "expected": (transport, port) in host.target.intent.expected_open
            or (transport, port) in host.target.intent.expose,
            "by": ", ".join(dict.fromkeys(_where(d) for d in (*shadowing, *blocking))),
        },
        span=Span(first.location, f"opens {transport}/{port}"),
        spans={
            "shadowed_by": _spans(shadowing, f"decides {transport}/{port} first"),
            "blocked_by": _spans(blocking, f"keeps {transport}/{port} closed"),
            "dormant_at": tuple(
                Span(d.location, f"{d.service} is not opened") for d in dormant[:1]
            ),
        },
        subjects=frozenset({(transport, port)}),
        source=tuple(group),
    )


def _lacks_services(host: Host, server: str | None) -> bool:
    """Tell whether Postfix is none that the ports are opened for.

    It relays this host's mail alone, or what it serves is said by a shipped file.
    """
    reading = host.reading("postfix") if server == "postfix" else None
    laid = host.shipped.files if host.shipped is not None else ()
    return reading is not None and ("/etc/postfix/master.cf" in laid or only_relays(reading))


def _for_both(opening: Opening) -> bool:
    """Tell whether one command opened TCP and UDP: `ufw allow https`."""
    if opening.table.origin != "ufw":
        return False
    from sslint.firewalls import ufw

    written = ufw.written(opening.location)
    return written is not None and written.both


def _translated(host: Host, opening: Opening) -> str | None:
    """Return where NAT sends the clients of a port, if they are then kept out."""
    assert host.firewall is not None
    reach = host.firewall.reach(opening.transport, opening.port, opening.family)
    if opening.port in reach.reached_as or not reach.translated_by:
        return None
    outer = host.firewall.reach_outer(opening.transport, opening.port, opening.family)
    return ", ".join(reach.forwarded_to) or "another port" if outer.verdict == "closed" else None


def _public_share(family: int, networks: Sequence[str]) -> float:
    """Return the part of the public addresses that lies in networks."""
    public = addresses.PUBLIC[family]
    total = sum(high - low + 1 for low, high in public)
    inside = 0
    for text in networks:
        _, (low, high) = addresses.network(text)
        inside += sum(min(high, b) - max(low, a) + 1 for a, b in public if a <= high and low <= b)
    return inside / total


def _covers(decision: Decision, opening: Opening) -> bool:
    """Tell whether a decision is about most sources of an opening, not about a few banned ones."""
    accepted = _size(opening.sources)
    return accepted > 0 and _size(decision.sources) / accepted > 1 - MOST


def _size(networks: Sequence[str]) -> int:
    return sum(high - low + 1 for _, (low, high) in map(addresses.network, networks))


def _where(decision: Decision) -> str:
    place = decision.location
    return decision.text if place is None else f"{place.path}:{place.line}"


def _spans(decisions: list[Decision], message: str) -> tuple[Span, ...]:
    spans = {
        (d.location.path, d.location.line): Span(d.location, message)
        for d in decisions
        if d.location is not None
    }
    return tuple(spans.values())


def hosts(host: Host) -> list[Loose]:
    """Return the fact of the host as a whole."""
    firewall = host.firewall
    assert firewall is not None
    named = {opening.port for opening in firewall.openings()}
    spare = [port for port in UNNAMED_PORTS if port not in named] or UNNAMED_PORTS
    ipv4, ipv6 = _default(firewall, spare, 4), _default(firewall, spare, 6)
    default = {"open": "accept", "closed": "drop"}
    policy = [d for d in ipv4.decided_by if d.location is not None]
    values = {
        "servers": [reading.server for reading in host.readings],
        "firewalls": [source.kind for source in host.ruleset.sources],
        "firewall_known": not host.ruleset.empty and not host.ruleset.missing,
        "ipv4_default": default.get(ipv4.verdict),
        "ipv6_default": default.get(ipv6.verdict),
        "ipv6_disabled": host.network.network.ipv6 is False,
        "ipv6_listeners": any(
            s.ipv6 is not None and s.scope != "loopback" and s.endpoint.certain
            for s in host.sockets
        ),
    }
    place = policy[0].location if policy else None
    span = (
        Span(place, f"default for IPv4: {default.get(ipv4.verdict, ipv4.verdict)}")
        if place
        else None
    )
    fact = Loose(host.name, values, span=span)
    accepts = [o for o in firewall.openings() if o.effective and o.family == 4]
    values["ipv4_accepts"] = bool(accepts)
    if accepts:
        fact.spans["accepts"] = (Span(accepts[0].location, "accepts a port that is already open"),)
    coexistence.add_host(host, fact)
    if fact.span is None and (places := fact.spans.get("allows") or fact.spans.get("accepts")):
        fact.span = places[0]
    return [fact]


def _default(firewall: Firewall | NoFirewall, ports: Sequence[int], family: Literal[4, 6]) -> Reach:
    """Return what becomes of a port that no rule names; a range of ports may take in some."""
    found = None
    for port in ports:
        reach = firewall.reach("tcp", port, family)
        if reach.verdict == "closed":
            return reach
        found = found or reach
    assert found is not None
    return found


def problems(host: Host) -> list[Loose]:
    """Return a fact for each thing that could not be read or understood.

    Files of one directory that fail for the same reason are one.
    """
    groups: dict[tuple[object, ...], list[Problem]] = {}
    for problem in host.problems:
        where = posixpath.dirname(problem.subject or ("" if problem.location else problem.path))
        key = (problem.location, where, problem.code, problem.text, problem.decisive)
        groups.setdefault(key, []).append(problem)
    return [_problem(host, group) for group in groups.values()]


def _problem(host: Host, group: Sequence[Problem]) -> Loose:
    first = group[0]
    named = [p.subject or p.path for p in group]
    if first.location is not None and not first.subject:
        reason = first.text
    elif first.code is Code.DENIED:
        names = [host.tree.name(p.subject) if p.subject else p.path for p in group]
        reason = f"cannot read {enumerated(names)}: permission denied; run as root"
    else:
        reason = about(enumerated(named), first.code, first.text)
    return Loose(
        entity=first.path,
        values={"path": first.path, "reason": reason, "decisive": first.decisive},
        span=Span(first.location, "the rest of the host is still checked")
        if first.location is not None
        else None,
    )


def conflicts(host: Host) -> list[Loose]:
    """Return a fact for each two listeners that the kernel does not open beside each other."""
    found = []
    for reading in host.readings:
        for conflict in reading.conflicts:
            found.append(
                _conflict(
                    host,
                    (reading.server, conflict.first, conflict.first_location),
                    (reading.server, conflict.second, conflict.second_location),
                    conflict.transport,
                    conflict.port,
                )
            )
    endpoints = [
        endpoint
        for reading in (*host.readings, *host.programs)
        for endpoint in reading.endpoints
        if endpoint.certain
    ]
    containers = any(endpoint.protocol == "container" for endpoint in endpoints)
    taken: dict[tuple[str, int, str], Endpoint] = {}
    for endpoint in endpoints:
        for address in _overlapping(endpoint.address):
            other = taken.get((endpoint.transport, endpoint.port, address))
            if (
                other is not None
                and other.server != endpoint.server
                and not (containers and _in_container(host, other, endpoint))
            ):
                found.append(
                    _conflict(
                        host,
                        (other.server, _shown(other), other.location),
                        (endpoint.server, _shown(endpoint), endpoint.location),
                        endpoint.transport,
                        endpoint.port,
                    )
                )
                break
        taken.setdefault((endpoint.transport, endpoint.port, endpoint.address), endpoint)
    return found


def _in_container(host: Host, *endpoints: Endpoint) -> bool:
    """Tell whether one of the servers may run in a container that a compose file describes.

    Its configuration lies in the same repository; what runs on the host itself has a unit.
    """
    return any(
        endpoint.protocol != "container" and "enabled" not in unit_states(host, endpoint.server)
        for endpoint in endpoints
    )


def _overlapping(address: str) -> tuple[str, ...]:
    """Return the addresses that a socket on `address` cannot stand beside."""
    wildcard = "::" if ":" in address else "0.0.0.0"  # noqa: S104
    return (address,) if address == wildcard else (address, wildcard)


def _shown(endpoint: Endpoint) -> str:
    address = f"[{endpoint.address}]" if ":" in endpoint.address else endpoint.address
    return f"{address}:{endpoint.port}"


def _conflict(
    host: Host,
    first: tuple[str, str, Location],
    second: tuple[str, str, Location],
    transport: str,
    port: int,
) -> Loose:
    return Loose(
        entity=f"{first[0]} and {second[0]} {transport}/{port}",
        values={
            "transport": transport,
            "port": port,
            "first": f"{first[0]} {first[1]}",
            "second": f"{second[0]} {second[1]}",
            "same_server": first[0] == second[0],
            "both_enabled": not any(
                unit_states(host, server) <= {"disabled", "masked"}
                for server in (first[0], second[0])
            ),
        },
        span=Span(second[2], f"{second[0]} listens on {second[1]}"),
        spans={"second_place": (Span(first[2], f"{first[0]} listens on {first[1]}"),)},
        subjects=frozenset({(transport, port)}),
    )
