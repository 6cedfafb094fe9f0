"""All facts of a host: a property for each kind, and what several kinds are asked with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sslint.engine import Many
from sslint.facts.alternatives import Grouping, Ways
from sslint.facts.announcements import Announcement, Whereabouts, announcements, disagreements
from sslint.facts.certificates import Certificate, certificates
from sslint.facts.challenges import Challenge, challenges
from sslint.facts.conflicts import Conflict, conflicts
from sslint.facts.dormant import Dormant, dormant
from sslint.facts.endpoints import Endpoint, endpoints
from sslint.facts.expectations import Expected, expectations
from sslint.facts.fact import field
from sslint.facts.firewall import Breakage, Translation, WholeHost, breakages, hosts, translations
from sslint.facts.ignores import Comment, Ignore
from sslint.facts.managers import Manager, Profile, managers, only_possible, profiles
from sslint.facts.openings import Opening, openings
from sslint.facts.policies import Policy, policies
from sslint.facts.port_pairs import PortPair, port_pairs
from sslint.facts.ports import Demand, by_port
from sslint.facts.problems import Unread, problems
from sslint.facts.proxies import statements
from sslint.facts.published import Published, published
from sslint.facts.records import Record, records
from sslint.facts.redirects import Redirect, Upstream, redirects, secure_endpoints, upstreams
from sslint.facts.refusals import Refusal, refusals
from sslint.facts.renewal import Hook, Lineage, hooks, latest, lineages
from sslint.facts.services import Service, services
from sslint.facts.settings import Setting, settings
from sslint.facts.sites import Site, sites, unserved
from sslint.facts.sources import Lookalike, lookalikes
from sslint.facts.zones import Zone, zones

if TYPE_CHECKING:
    from datetime import datetime

    from sslint.certificates import Link
    from sslint.host import Host
    from sslint.netfilter.no_ruleset import NoFirewall
    from sslint.netfilter.reach import Firewall
    from sslint.renewal import Idle
    from sslint.servers import model
    from sslint.servers.model import CertificateRef


class Facts:
    """All facts of a host by kind, each kind made when it is first asked for and never changed."""

    def __init__(self, host: Host, unused: Sequence[tuple[Comment, str]] = ()) -> None:
        self.host = host
        self._unused = unused

    @field
    def started(self) -> Sequence[model.ServerReading]:
        """What was read of servers that nothing says not to start at boot: others do no harm."""
        return [reading for reading in self.host.readings if reading.enabled]

    # -- sockets and services -----------------------------------------------------------------

    @field
    def endpoints(self) -> list[Endpoint]:
        """Listening sockets."""
        return endpoints(self)

    @field
    def services(self) -> list[Service]:
        """The sockets of one server on one port together, those that speak for others first."""
        return self.grouping.order

    @field
    def port_pairs(self) -> list[PortPair]:
        """A closed service, and another port that is open."""
        return port_pairs(self)

    @field
    def dormant(self) -> list[Dormant]:
        """Listeners that are named or known but not opened."""
        return dormant(self)

    @field
    def conflicts(self) -> list[Conflict]:
        """Listeners that the kernel does not open beside each other."""
        return conflicts(self)

    @field
    def refusals(self) -> list[Refusal]:
        """Lines for which servers do not start."""
        return refusals(self)

    # -- what servers are told ----------------------------------------------------------------

    @field
    def sites(self) -> Many[Site]:
        """Server blocks."""
        return sites(self)

    @field
    def redirects(self) -> Many[Redirect]:
        """Redirects to other URLs."""
        return redirects(self)

    @field
    def upstreams(self) -> Many[Upstream]:
        """Places that requests are passed on to."""
        return upstreams(self)

    @field
    def settings(self) -> Many[Setting]:
        """Single statements."""
        return settings(self)

    # -- certificates and renewal -------------------------------------------------------------

    @field
    def certificates(self) -> list[Certificate]:
        """Pairs of certificate and key."""
        return certificates(self)

    @field
    def lineages(self) -> list[Lineage]:
        """Certificates that certbot renews."""
        return lineages(self)

    @field
    def challenges(self) -> list[Challenge]:
        """Web roots by which names are proved."""
        return challenges(self)

    @field
    def hooks(self) -> list[Hook]:
        """Scripts in certbot's hook directories."""
        return hooks(self)

    # -- what clients are told ----------------------------------------------------------------

    @field
    def announcements(self) -> list[Announcement]:
        """Places that send clients somewhere."""
        return announcements(self)

    @field
    def records(self) -> list[Record]:
        """DNS records."""
        return records(self)

    @field
    def policies(self) -> list[Policy]:
        """MTA-STS policies."""
        return policies(self)

    # -- the firewall -------------------------------------------------------------------------

    @field
    def openings(self) -> list[Opening]:
        """Rules that accept by naming a port."""
        return openings(self)

    @field
    def managers(self) -> list[Manager]:
        """Firewalls in force."""
        return managers(self)

    @field
    def breakages(self) -> list[Breakage]:
        """Packets after the first that are dropped."""
        return breakages(self)

    @field
    def translations(self) -> list[Translation]:
        """Ports that are sent to a loopback address."""
        return translations(self)

    @field
    def lookalikes(self) -> list[Lookalike]:
        """Networks of rules that accept, which only look private."""
        return lookalikes(self)

    @field
    def zones(self) -> list[Zone]:
        """Services and ports in firewalld's zones."""
        return zones(self)

    @field
    def published(self) -> list[Published]:
        """Ports that containers publish."""
        return published(self)

    # -- the host, and what is said about it --------------------------------------------------

    @field
    def hosts(self) -> list[WholeHost]:
        """The host as a whole."""
        return hosts(self)

    @field
    def problems(self) -> list[Unread]:
        """What could not be read."""
        return problems(self)

    @field
    def expectations(self) -> list[Expected]:
        """Entries of `expect` in the configuration."""
        return expectations(self)

    @field
    def ignores(self) -> list[Ignore]:
        """Comments that ignore nothing, once it is known what they could have ignored."""
        return [Ignore(self, comment, name) for comment, name in self._unused]

    # -- what several kinds are asked with ----------------------------------------------------

    @field
    def sent(self) -> dict[int, tuple[Sequence[CertificateRef], list[Link | None]]]:
        """The leaves of what servers send, by the identity of the references."""
        return {}

    @field
    def whereabouts(self) -> Whereabouts:
        """Which names are this host."""
        return Whereabouts(self.host)

    @field
    def demand(self) -> Demand:
        """What expects ports to be served."""
        return Demand(self)

    @field
    def grouping(self) -> Grouping:
        """The services in order, and which are closed for one cause."""
        from sslint.facts.alternatives import Grouping

        return Grouping(services(self))

    @field
    def ways(self) -> Ways:
        """The ports on which clients of a service may find it."""
        return Ways(self.services)

    @field
    def _by_port(self) -> Mapping[tuple[str, int | None], Service]:
        every = sorted(self.services, key=lambda service: service.certain)
        return {(service.transport, service.port): service for service in every}

    def service_on(self, transport: str, port: int | None) -> Service | None:
        """Return the service on a port, or to which NAT takes its clients.

        Of several it is the last, but none that may not be there before one that is.
        """
        key = (transport, port)
        return self._by_port.get(key) or self._by_outer_port.get(key)

    @field
    def _by_outer_port(self) -> Mapping[tuple[str, int | None], Service]:
        firewall = self.host.firewall
        if firewall is None or not firewall.translates:
            return {}
        return {
            (service.transport, outer): service
            for service in self.services
            for reach in service.reach.source
            for outer in (reach.reached_as if reach is not None else ())
            if outer != service.port
        }

    @field
    def tcp_endpoints(self) -> Mapping[int, list[model.Endpoint]]:
        """The listening TCP sockets of this host's servers, by port."""
        found: dict[int, list[model.Endpoint]] = {}
        for socket in self.host.sockets:
            if socket.endpoint.transport == "tcp":
                found.setdefault(socket.endpoint.port, []).append(socket.endpoint)
        return found

    @field
    def secure_endpoints(self) -> Mapping[tuple[str, int], list[model.Endpoint]]:
        """The TCP sockets that certainly have TLS, by server and port."""
        return secure_endpoints(self.host)

    @field
    def dormant_listeners(self) -> Mapping[tuple[str, int], list[model.Dormant]]:
        """What servers name and do not open, by port."""
        return by_port(listener for reading in self.host.readings for listener in reading.dormant)

    @field
    def serves_https(self) -> bool:
        """Whether this host serves https at all."""
        return any(s.tls in ("implicit", "mixed") and s.protocol == "https" for s in self.services)

    @field
    def without_sites(self) -> Sequence[model.ServerReading]:
        """What was read of servers and programs without what they answer for which name."""
        readings = (*self.host.readings, *self.host.programs)
        return [reading for reading in readings if not reading.knows.sites]

    @field
    def closed_ports(self) -> set[tuple[str, int]]:
        """The ports of services that nobody outside reaches."""
        return {
            (service.transport, service.port)
            for service in self.services
            if service.reach.public == "closed" and service.scope != "loopback"
        }

    @field
    def unserved(self) -> list[Opening]:
        """The openings of ports of the web with TLS on which nothing listens."""
        return unserved(self)

    @field
    def rejecting(self) -> set[tuple[str, int]]:
        """The servers and ports of blocks that reject handshakes."""
        return {
            (reading.server, listen[2])
            for reading in self.host.readings
            for site in reading.sites
            if site.rejects_handshake
            for listen in site.listens
        }

    @field
    def trusts_proxies(self) -> bool:
        """Whether a server names load balancers whose header it believes."""
        return any(s.name in statements() for r in self.host.readings for s in r.settings)

    @field
    def only_possible(self) -> frozenset[str]:
        """The managers of which the files do not tell whether they are in force."""
        return only_possible(self)

    @field
    def profiles(self) -> list[Profile]:
        """The ufw applications that are allowed."""
        return profiles(self.host)

    @field
    def without_docker(self) -> Firewall | NoFirewall:
        """The firewall that decides for what listens on the host itself."""
        host = self.host
        assert host.firewall is not None
        if host.own_ruleset is None or host.own_ruleset is host.ruleset:
            return host.firewall
        from sslint.netfilter.reach import Firewall

        return Firewall(host.own_ruleset, host.network.network)

    @field
    def latest_lineages(self) -> Mapping[object, tuple[datetime, str]]:
        """Of lineages for the same names, which expires last, and when."""
        return latest(self)

    @field
    def certbot_idle(self) -> Idle | None:
        """Why nothing starts certbot."""
        from sslint.renewal import idle

        return idle(self.host.tree, self.host.network.units)

    @field
    def disagreements(self) -> Mapping[int, Announcement]:
        """What is contradicted by another document, by identity."""
        return disagreements(self.announcements)
