"""What is to be said of any port: how clients start there, who listens, who expects it served."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

from sslint.engine import Span
from sslint.facts.fact import Fact, Places, field
from sslint.host import listeners, owner_of, scope_of
from sslint.netfilter import addresses

if TYPE_CHECKING:
    from sslint.facts.announcements import Announcement
    from sslint.facts.collection import Facts
    from sslint.facts.openings import Opening
    from sslint.facts.redirects import Redirect, Upstream
    from sslint.host import Host
    from sslint.netfilter import verdicts
    from sslint.servers.model import Endpoint, ServerReading

Transport = Literal["tcp", "udp"]
Family = Literal[4, 6]
Tls = Literal["implicit", "starttls", "none"]
Listener = Literal["certain", "loopback", "none"]

# How clients start on a port of this number: RFC 8314, RFC 9110 section 4.2, RFC 5804, RFC 3207.
EXPECTED_TLS: dict[int, Tls] = {
    **dict.fromkeys((443, 465, 993, 995, 8443, 9443), "implicit"),
    **dict.fromkeys((25, 110, 143, 587, 4190), "starttls"),
    80: "none",
}


def listening(host: Host, transport: str, port: int, owner: str | None = None) -> Listener | None:
    """Return whether any program listens on a port; None where it is not known.

    A port from which NAT takes the clients to another one is as that one; None if it takes them to
    another host. `owner` is the server that would, where the port alone does not say it.
    """
    found = listeners(host, transport, port) or _behind_nat(host, transport, port)
    if found is None:
        return None
    if any(e.certain and scope_of(e.address) != "loopback" for e in found):
        return "certain"
    if any(not e.certain for e in found):
        return None
    owner = owner_of(host, transport, port) or owner
    reading = host.reading(owner) if owner else None
    if reading is None or not all(r.complete for r in (*host.readings, *host.programs)):
        return None
    return "loopback" if found else "none"


def _behind_nat(host: Host, transport: str, port: int) -> list[Endpoint] | None:
    """Return what listens where NAT takes a port's clients; None if that is another host."""
    firewall = host.firewall
    if firewall is None or not firewall.translates or transport not in ("tcp", "udp"):
        return []
    kind: Transport = "udp" if transport == "udp" else "tcp"
    families: tuple[Family, ...] = (4, 6)
    found: list[Endpoint] = []
    for family in families:
        reach = firewall.reach(kind, port, family)
        if port in reach.reached_as or not reach.translated_by:
            continue
        target = own_port(host, reach, family)
        if target is None:
            return None
        found += listeners(host, transport, target)
    return found


def own_port(host: Host, reach: verdicts.Reach, family: Family) -> int | None:
    """Return the one port of this host that NAT leads to; None if there is another place."""
    if len(reach.forwarded_to) != 1:
        return None
    address, _, port = reach.forwarded_to[0].rpartition(":")
    own = host.network.network.own(family)
    if address and addresses.parse(address.strip("[]"))[1] not in own:
        return None
    return int(port)


def common_tls(endpoints: Iterable[Endpoint]) -> Tls | None:
    """Return how TLS stands on sockets, if on all of them alike."""
    kinds = {endpoint.tls for endpoint in endpoints}
    kind = kinds.pop() if len(kinds) == 1 else "unknown"
    return None if kind == "unknown" else kind


class _OnPort(Protocol):
    @property
    def transport(self) -> Transport: ...
    @property
    def port(self) -> int: ...


Found = TypeVar("Found", bound=_OnPort)
Port = tuple[str, int]


def by_port(facts: Iterable[Found]) -> dict[Port, list[Found]]:
    """Return facts by transport and port."""
    found: dict[Port, list[Found]] = {}
    for fact in facts:
        found.setdefault((fact.transport, fact.port), []).append(fact)
    return found


class Demand:
    """What expects ports to be served: firewall rules, records, redirects, proxies."""

    def __init__(self, facts: Facts) -> None:
        self.openings: dict[Port, list[Opening]] = by_port(facts.openings)
        self.announcements: dict[Port, list[Announcement]] = by_port(facts.announcements)
        # Of redirects and upstreams that are alike the first.
        self.redirects: dict[int | None, list[Redirect]] = {}
        for redirect in facts.redirects.firsts.values():
            self.redirects.setdefault(redirect.port, []).append(redirect)
        self.upstreams: dict[int | None, list[Upstream]] = {}
        for upstream in facts.upstreams.firsts.values():
            self.upstreams.setdefault(upstream.port, []).append(upstream)
        # The ports of the blocks that redirect.
        self.redirecting = {
            port
            for reading in facts.host.readings
            for listens in _redirecting(reading)
            for _, _, port, _ in listens
        }
        self.over_ipv6 = any(6 in opening.families for opening in facts.openings)


def _redirecting(reading: ServerReading) -> Iterable[Sequence[tuple[str, str, int, bool]]]:
    """Return the sockets of each block with a redirect; many blocks have the same ones."""
    sites = reading.sites
    found = [sites[one.site].listens for one in reading.redirects if one.site < len(sites)]
    return {id(listens): listens for listens in found}.values()


class PortFact(Fact):
    """A fact about one port of this host."""

    @property
    def transport(self) -> Transport:
        """The transport of the port."""
        raise NotImplementedError

    @property
    def port(self) -> int:
        """The port."""
        raise NotImplementedError

    @property
    def outer_ports(self) -> tuple[int, ...]:
        """The ports of the host by which clients come to it."""
        return (self.port,)

    def _openings(self) -> list[Opening]:
        return self.facts.demand.openings.get((self.transport, self.port), [])

    def _announcements(self) -> list[Announcement]:
        return self.facts.demand.announcements.get((self.transport, self.port), [])

    @field
    def attempted(self) -> bool:
        """Some rule of the firewall accepts by naming this port."""
        return bool(self._openings())

    @field
    def announced(self) -> bool:
        """Clients are told to use it."""
        return any(told.here for told in self._announcements())

    @field
    def opened_by(self) -> Places:
        """The rules of the firewall that name the port to open it."""
        said = f"opens {self.transport}/{self.port}"
        return tuple(Span(o.span.location, said) for o in self._openings() if o.span)

    @field
    def announced_by(self) -> Places:
        """Where the port is published for clients."""
        said = "it is published for clients"
        return tuple(Span(a.span.location, said) for a in self._announcements() if a.span)
