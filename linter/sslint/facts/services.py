"""Facts about services: all sockets of one server on one transport and port."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from sslint.engine import Span, Subject
from sslint.facts import alternatives, stock
from sslint.facts.endpoints import LISTENERS
from sslint.facts.fact import Places, field, of
from sslint.facts.managers import narrow_profile, owner
from sslint.facts.ports import EXPECTED_TLS, PortFact, Tls, Transport
from sslint.facts.proxies import only_proxies
from sslint.facts.reach import Reach, Verdict, blocking_spans, combined, deciding_spans
from sslint.host import Scope, listeners
from sslint.netfilter import addresses
from sslint.netfilter.verdicts import widest

if TYPE_CHECKING:
    from sslint.facts.collection import Facts
    from sslint.facts.managers import Profile
    from sslint.facts.redirects import Upstream
    from sslint.host import Socket
    from sslint.netfilter import verdicts
    from sslint.servers.model import Endpoint, ServerReading
    from sslint.servers.programs.contained import Container

# Ports that say nothing of what is served there.
ANY_PURPOSE = frozenset({8443, 9443})
WORLD = {"0.0.0.0/0": "internet-ipv4", "::/0": "internet-ipv6"}
MAX_NETWORKS = 3  # that a message names


def services(facts: Facts) -> list[Service]:
    """Return a fact for each (server, transport, port), in no order."""
    groups: dict[tuple[str, str, int], list[Socket]] = {}
    for socket in facts.host.sockets:
        endpoint = socket.endpoint
        key = (endpoint.server, endpoint.transport, endpoint.port)
        groups.setdefault(key, []).append(socket)
    return [Service(facts, sockets) for sockets in groups.values()]


class TlsByFamily(NamedTuple):
    """How TLS stands on the wildcard sockets of a port, where it is known."""

    ipv4: Tls | None = None
    "Over IPv4."
    ipv6: Tls | None = None
    "Over IPv6."


class Service(PortFact):
    """All sockets of one server on one transport and port."""

    source: Endpoint

    server: str
    "The server."
    service: str
    "The server's own word for it."
    protocol: str
    "As of an endpoint."
    transport: Transport
    "The transport."
    port: int
    "The port."
    tls_required: bool | None
    "No credentials before TLS."

    def __init__(self, facts: Facts, sockets: Sequence[Socket]) -> None:
        self.every = sockets
        self.sockets_shown = (
            [s for s in sockets if s.scope == "any"]
            or [s for s in sockets if s.scope == "private"]
            or sockets
        )
        first = self.sockets_shown[0].endpoint
        kinds = {s.endpoint.tls for s in self.sockets_shown}
        self._kind = (
            kinds.pop() if len(kinds) == 1 else "unknown" if "unknown" in kinds else "mixed"
        )
        said = LISTENERS[self._kind]
        if self.certificates:
            said += f", certificate {self.certificates[0]}"
        super().__init__(
            facts,
            first,
            f"{first.server} {first.transport}/{first.port}",
            Span(first.span or first.location, said),
            frozenset({(first.transport, first.port)}),
        )

    @property
    def subjects(self) -> frozenset[Subject]:
        """Its port, and what it has in common with others that are closed for one cause."""
        return self._subjects | self.facts.grouping.subjects.get(id(self), frozenset())

    @property
    def _key(self) -> tuple[Transport, int]:
        return self.transport, self.port

    @property
    def _reading(self) -> ServerReading | None:
        return self._host.reading(self.server)

    @property
    def _families(self) -> tuple[verdicts.Reach | None, verdicts.Reach | None]:
        shown = self.sockets_shown
        return widest(s.ipv4 for s in shown), widest(s.ipv6 for s in shown)

    # -- what it is ---------------------------------------------------------------------------

    program: str = of("server")
    "The server, for words that differ by server."

    @field
    def tls(self) -> Literal["implicit", "starttls", "none", "mixed"] | None:
        """How its sockets do TLS."""
        return None if self._kind == "unknown" else self._kind

    @field
    def offers_tls(self) -> bool | None:
        """Clients speak TLS there, at once or by STARTTLS, to this server or through it."""
        if self._kind != "unknown":
            return self._kind in ("implicit", "starttls")
        secure = EXPECTED_TLS.get(self.port) == "implicit"
        return (secure and self.passthrough) or None

    @field
    def names(self) -> tuple[str, ...]:
        """The names it answers for."""
        return tuple(dict.fromkeys(n for s in self.sockets_shown for n in s.endpoint.names))

    @field
    def scope(self) -> Scope:
        """The widest of its sockets' scopes."""
        return self.sockets_shown[0].scope

    @field
    def addresses(self) -> tuple[str, ...]:
        """The addresses of the sockets of that scope."""
        return tuple(s.endpoint.address for s in self.sockets_shown)

    @field
    def families(self) -> tuple[Literal[4, 6], ...]:
        """The families that its sockets take."""
        ipv4, ipv6 = self._families
        return (*((4,) if ipv4 is not None else ()), *((6,) if ipv6 is not None else ()))

    @field
    def certificates(self) -> tuple[str, ...]:
        """The paths of its certificates."""
        refs = (ref for s in self.sockets_shown for ref in s.endpoint.certificates)
        return tuple(dict.fromkeys(ref.path for ref in refs if ref.path))

    @field
    def certain(self) -> bool:
        """False: whether it is opened at all is not known."""
        return any(s.endpoint.certain for s in self.sockets_shown)

    @field
    def proxy_protocol(self) -> bool:
        """It expects the PROXY header."""
        return any(s.endpoint.proxy_protocol for s in self.sockets_shown)

    @field
    def passthrough(self) -> bool:
        """TLS is passed on undecrypted."""
        return any(s.endpoint.passthrough for s in self.sockets_shown)

    @field
    def settings(self) -> Mapping[str, str | None]:
        """Effective values of the server's settings that matter for the port."""
        return dict(self.source.settings)

    @field
    def standard_port(self) -> bool:
        """The number of the port says what is served there."""
        return self.port in EXPECTED_TLS and self.port not in ANY_PURPOSE

    explicit: bool
    """The configuration itself names the port, rather than the server's or the package's
    defaults."""

    @field
    def tls_over(self) -> TlsByFamily:
        """How TLS stands on its wildcard sockets, where it is known."""
        found: dict[str, Tls] = {}
        for socket in self.sockets_shown:
            endpoint = socket.endpoint
            if endpoint.tls != "unknown" and endpoint.address in ("0.0.0.0", "::"):  # noqa: S104
                found["ipv6" if ":" in endpoint.address else "ipv4"] = endpoint.tls
        return TlsByFamily(**found)

    @field
    def tls_differs_by_family(self) -> bool:
        """Over one family its wildcard sockets do TLS otherwise than over the other."""
        return len({*self.tls_over} - {None}) > 1

    @field
    def has_certificate(self) -> bool | None:
        """One of its sockets has a certificate; not known if one may be in what was not given."""
        if any(s.endpoint.certificates for s in self.sockets_shown):
            return True
        reading = self._reading
        known = reading is not None and reading.complete and reading.knows.certificates
        return False if known else None

    @field
    def lacks(self) -> Literal["certificate", "key"] | None:
        """What no handshake succeeds without: its certificate, or a key that stands apart."""
        if self.has_certificate is False:
            return "certificate"
        reading = self._reading
        if reading is None or not (reading.complete and reading.keys_apart):
            return None
        refs = [ref for s in self.sockets_shown for ref in s.endpoint.certificates]
        keyless = [ref.path and ref.key is None and ref.key_location is None for ref in refs]
        return "key" if keyless and all(keyless) else None

    @field
    def operator_certificate(self) -> bool | None:
        """The certificate is the operator's choice, not one that a package made for itself."""
        if self._reading is not None and not self._reading.knows.certificates:
            return None
        refs = (ref for s in self.sockets_shown for ref in s.endpoint.certificates)
        return stock.chosen_by_operator(self._host.tree, refs)

    @field
    def cleartext_logins(self) -> bool:
        """It certainly takes passwords before TLS."""
        return any(_takes_cleartext(s.endpoint) for s in self.sockets_shown)

    @field
    def rejects_handshake(self) -> bool:
        """A server block of the port has ssl_reject_handshake on."""
        return (self.server, self.port) in self.facts.rejecting

    @field
    def redirects(self) -> bool:
        """It redirects to another URL."""
        return self.transport == "tcp" and self.port in self.facts.demand.redirecting

    @field
    def sockets(self) -> Places:
        """Its other sockets."""
        return tuple(Span(s.endpoint.location, "the same port") for s in self.sockets_shown[1:])

    # -- the container it runs in -------------------------------------------------------------

    @property
    def _container(self) -> Container | None:
        return self.sockets_shown[0].container

    container: str | None = of("_container.service")
    "The service of a compose file into which its configuration is mounted."
    container_publishes: str | None = of("_container.published")
    "The ports of the container that the compose file publishes."

    @property
    def outer_ports(self) -> tuple[int, ...]:
        """The ports of the host by which clients come to it."""
        outside = self._container.outside(*self._key) if self._container is not None else None
        return tuple(dict.fromkeys(port for _, port in outside or ())) or (self.port,)

    @property
    def _outer(self) -> str:
        return ", ".join(f"{self.transport}/{port}" for port in self.outer_ports)

    @field
    def unpublished(self) -> bool:
        """It runs in a container, and the compose file certainly does not publish the port."""
        return self._container is not None and self._container.outside(*self._key) == []

    @field
    def container_at(self) -> Places:
        """What the container publishes."""
        found = self._container
        return (Span(found.location, f"publishes {found.published}"),) if found else ()

    # -- who reaches it -----------------------------------------------------------------------

    @field
    def reach(self) -> Reach:
        """Who reaches it."""
        return Reach(self._families)

    @field
    def decided_by(self) -> Places:
        """The lines that keep it closed."""
        return blocking_spans(self.reach.source, self._outer)

    @field
    def decided_by_ipv6(self) -> Places:
        """The lines that keep it closed over IPv6."""
        return blocking_spans(self.reach.source[1:], self._outer)

    @field
    def deciding(self) -> Places:
        """The lines that decide who reaches it."""
        return deciding_spans(self.reach.source)

    @field
    def enforced(self) -> bool:
        """The ruleset that decides is in force, rather than one of several that may be."""
        closing = {
            owner(decision.table)
            for socket in self.every
            if socket.scope != "loopback"
            for reach in socket.reaches
            for decision in reach.blocked_by
        }
        return not closing or bool(closing - self.facts.only_possible)

    @field
    def behind_proxies(self) -> bool:
        """Only proxies that a server trusts (set_real_ip_from and the like) reach
        it."""
        limited = self.reach.public == "limited"
        return limited and only_proxies(self._host, self.reach.open_to)

    @field
    def ipv4_elsewhere(self) -> bool:
        """It has no IPv4 socket, and NAT leads the IPv4 clients of the port away."""
        if 4 in self.families or self._host.firewall is None:
            return False
        reach = self._host.firewall.reach(self.transport, self.port, 4)
        return bool(reach.translated_by) and self.port not in reach.reached_as

    @field
    def other_owner(self) -> bool:
        """Another program listens on the port too."""
        return any(e.server != self.server for e in listeners(self._host, *self._key))

    @field
    def running(self) -> Verdict | None:
        """The verdict of the firewall that runs now, where it was asked."""
        running = self._host.running
        if running is None:
            return None
        found: list[str] = []
        for socket in self.sockets_shown:
            if socket.ipv4 is not None:
                found.append(running.reach(self.transport, self.port, 4).verdict)
            if socket.ipv6 is not None:
                found.append(running.reach(self.transport, self.port, 6).verdict)
        return combined(found)

    @field
    def drift(self) -> Literal["opens", "closes"] | None:
        """What becomes of the port at the next boot, where that is not what it is now."""
        if {self.running, self.reach.public} != {"open", "closed"}:
            return None
        return "closes" if self.running == "open" else "opens"

    # -- who is meant to ----------------------------------------------------------------------

    @field
    def internal(self) -> bool:
        """The configuration says that nobody outside is meant to reach it."""
        intent = self._host.target.intent
        return self._key in intent.internal or intent.expose.get(self._key) == ()

    @field
    def terminated_elsewhere(self) -> bool:
        """The configuration says that its TLS ends in front of this host."""
        return self._key in self._host.target.intent.terminated_elsewhere

    @field
    def for_some(self) -> bool:
        """The configuration says that it is meant for some networks alone."""
        return self._host.target.intent.expose.get(self._key) is not None

    @field
    def audience(self) -> str | None:
        """Who is meant to reach it, as configured: public, nobody, or networks."""
        intent = self._host.target.intent
        if self._key in intent.internal:
            return "nobody"
        if self._key not in intent.expose:
            return None
        networks = intent.expose[self._key]
        return "public" if networks is None else ", ".join(networks) or "nobody"

    @field
    def beyond_audience(self) -> tuple[str, ...] | None:
        """Networks that reach it and are not meant to: internet, internet-ipv4 or internet-ipv6
        for all, and some of the others."""
        intent = self._host.target.intent
        meant = () if self._key in intent.internal else intent.expose.get(self._key)
        if meant is None:
            return None
        allowed = [addresses.network(text) for text in meant]
        beyond = [
            text for text in self.reach.open_to if not _within(addresses.network(text), allowed)
        ]
        whole = [WORLD[text] for text in beyond if text in WORLD]
        named = [text for text in beyond if text not in WORLD][: MAX_NETWORKS - len(whole)]
        whole = ["internet"] if len(whole) == len(WORLD) else whole
        return (*whole, *named) or None

    # -- who expects it to be served ----------------------------------------------------------

    @field
    def attempted_ipv4(self) -> bool:
        """Some rule of the firewall accepts by naming this port over IPv4."""
        return any(4 in opening.families for opening in self._openings())

    @field
    def attempted_ipv6(self) -> bool:
        """Some rule of the firewall accepts by naming this port over IPv6."""
        return any(6 in opening.families for opening in self._openings())

    any_ipv6_attempted: bool = of("facts.demand.over_ipv6")
    "Some port is meant to be open over IPv6."

    @field
    def announced_ipv4(self) -> bool:
        """An A record points here for a name under which clients are told to use it."""
        return any(told.here and told.ipv4_here for told in self._announcements())

    @field
    def announced_ipv6(self) -> bool | None:
        """An AAAA record points here for a name under which clients are told to use it."""
        return any(told.here and told.ipv6_here for told in self._announcements()) or None

    @field
    def redirect_target(self) -> bool:
        """A redirect on this host sends clients to it."""
        redirects = self.facts.demand.redirects.get(self.port, ())
        return self.transport == "tcp" and any(r.own_name and not r.conditional for r in redirects)

    @field
    def upstream_target(self) -> bool:
        """This host's own proxy passes requests to it."""
        return any(one.local for one in self.facts.demand.upstreams.get(self.port, ()))

    @field
    def documents_given(self) -> bool:
        """Zone files or client documents were given."""
        return bool(self.facts.announcements)

    @field
    def told_anywhere(self) -> bool:
        """Some record, document, redirect or proxy mentions the port, or one that NAT maps to
        it."""
        demand = self.facts.demand
        outer = (port for reach in self.reach.source if reach for port in reach.reached_as)
        for port in dict.fromkeys((self.port, *outer)):
            told = demand.announcements.get((self.transport, port), ())
            if port in demand.redirects or port in demand.upstreams or any(t.here for t in told):
                return True
        return False

    @field
    def http01(self) -> bool:
        """A certificate is renewed over it by HTTP-01."""
        return self.port == 80 and any(lineage.http01 for lineage in self.facts.lineages)

    # -- other ports for the same clients -----------------------------------------------------

    @field
    def alternative_open(self) -> bool | None:
        """The same kind of service is offered with TLS on another port that those who are meant
        certainly reach. What one stream leads to, no other does."""
        if self.protocol == "stream":
            return False
        return self.facts.ways.beside(self, alternatives.kind_key(self))

    @field
    def server_open(self) -> bool | None:
        """Those who are meant certainly reach another TLS port of the same server."""
        return self.facts.ways.beside(self, ("server", self.server))

    @field
    def names_elsewhere(self) -> bool | None:
        """All the names of a web server's port are answered with TLS on other ports that are
        certainly open."""
        is_web = alternatives.kind_of(self) == "web"
        return self.facts.ways.answer_names(self) if is_web else None

    @property
    def _twins(self) -> Sequence[tuple[Service, bool | None]]:
        sibling = alternatives.IMPLICIT_SIBLING.get(self.port)
        return self.facts.ways.by_port.get(sibling, ()) if sibling is not None else ()

    @field
    def implicit_sibling_usable(self) -> bool | None:
        """Those who are meant certainly reach the implicit-TLS port of the same protocol."""
        return alternatives.any_of(truth for _, truth in self._twins)

    @field
    def implicit_sibling_open(self) -> bool:
        """The implicit-TLS port of the same protocol is certainly open."""
        return any(other.reach.public == "open" for other, _ in self._twins)

    @field
    def starttls_sibling_open(self) -> bool:
        """The STARTTLS port of the same protocol is certainly open."""
        sibling = alternatives.STARTTLS_SIBLING.get(self.port)
        found = self.facts.ways.by_port.get(sibling, ()) if sibling is not None else ()
        return any(other.reach.public == "open" for other, _ in found)

    @field
    def sibling_announced(self) -> bool:
        """Clients are told the implicit-TLS port of the same protocol."""
        return any(other.announced for other, _ in self._twins)

    # -- the PROXY header ---------------------------------------------------------------------

    @property
    def _knows_sites(self) -> bool:
        return self._reading is None or self._reading.knows.sites

    @property
    def _unfitting(self) -> list[Upstream]:
        """The proxies of this host that send the header unasked, or do not where it is asked."""
        if self.transport != "tcp":
            return []
        return self.facts.upstreams.where(
            lambda one: (
                one.port == self.port
                and bool(one.local)
                and one.target_known
                and one.sends_proxy_protocol != self.proxy_protocol
            )
        )

    @field
    def proxy_header(self) -> Literal["unexpected", "missing", "unexplained"] | None:
        """What is wrong with the PROXY header: a proxy of this host sends it unasked, or does not
        send it; or it is expected, and nothing says from which load balancer."""
        if self._unfitting:
            return "missing" if self.proxy_protocol else "unexpected"
        unexplained = self.proxy_protocol and self._knows_sites and not self.facts.trusts_proxies
        return "unexplained" if unexplained else None

    @field
    def proxy_senders(self) -> Places:
        """The proxies of this host that do not fit."""
        return tuple(one.span for one in self._unfitting if one.span is not None)

    # -- HTTP/3 -------------------------------------------------------------------------------

    @field
    def alt_svc(self) -> Literal["advertised", "dropped", "none"] | None:
        """Whether an Alt-Svc header tells clients of HTTP/3 on this port; dropped: `location /` has
        add_header statements of its own, and so loses it."""
        if self.protocol != "h3" or not self._knows_sites:
            return None
        if self.alt_svc_dropped_at:
            return "dropped"
        told = any(_names_http3(value, self.port) for value, _ in self._alternatives)
        return "advertised" if told else "none"

    @field
    def alt_svc_dropped_at(self) -> Places:
        """What drops the header."""
        web = self._reading.web if self._reading is not None else None
        if self.protocol != "h3" or web is None:
            return ()
        if any(scope == "location" for _, scope in self._alternatives):
            return ()
        place = web.dropped(self.port, "Alt-Svc", lambda value: _names_http3(value, self.port))
        said = "this add_header stops the inheritance of the others"
        return (Span(place, said),) if place is not None else ()

    @property
    def _alternatives(self) -> list[tuple[str, str]]:
        settings = self._reading.settings if self._reading is not None else ()
        return [(s.value, s.scope) for s in settings if s.name == "Alt-Svc" and s.value]

    @field
    def http3(self) -> Literal["on", "off"] | None:
        """`http3 on|off` as it is in effect."""
        if self.protocol != "h3" or not self._knows_sites:
            return None
        settings = self._reading.settings if self._reading is not None else ()
        return "off" if {s.value for s in settings if s.name == "http3"} == {"off"} else "on"

    @field
    def header_module(self) -> bool:
        """more_set_headers may announce what is not seen."""
        settings = self._reading.settings if self._reading is not None else ()
        return any(setting.name == "more_set_headers" for setting in settings)

    # -- ufw ----------------------------------------------------------------------------------

    narrow_profile: str | None = of("_profile.label")
    "A ufw application that is allowed for this server and lacks this port."
    narrow_profile_ports: tuple[str, ...] | None = of("_profile.shown")
    "The ports of that application."

    @field
    def profile_at(self) -> Places:
        """What allows that application."""
        found = self._profile
        return (Span(found.location, f"allows {found.label}"),) if found is not None else ()

    @field
    def _profile(self) -> Profile | None:
        return narrow_profile(self.facts.profiles, self.server, self._key)


def _takes_cleartext(endpoint: Endpoint) -> bool:
    """Tell whether a listener certainly takes passwords before TLS."""
    if endpoint.tls == "implicit" or endpoint.tls_required is not False:
        return False
    return endpoint.takes_passwords


def _names_http3(value: str, port: int) -> bool:
    """Tell whether an Alt-Svc value offers h3 on this port, or may: browsers know no draft of it.

    A variable may be any port, and another host's port is not ours to judge.
    """
    from sslint.servers.headers import alternatives

    return any(
        protocol == "h3" and (host != "" or number in (None, port))
        for protocol, host, number in alternatives(value)
    )


def _within(
    network: tuple[int, tuple[int, int]], allowed: Sequence[tuple[int, tuple[int, int]]]
) -> bool:
    family, (low, high) = network
    return any(f == family and a <= low and high <= b for f, (a, b) in allowed)
