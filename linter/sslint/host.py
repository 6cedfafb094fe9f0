"""Everything read about one host: its servers, its firewall, and who reaches which socket."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from sslint import announcements, renewal, serving
from sslint.announcements.model import Announced
from sslint.edges import Edge
from sslint.netfilter import addresses
from sslint.netfilter.model import Ruleset
from sslint.reasons import Problem
from sslint.renewal import Renewal
from sslint.servers import owners
from sslint.servers.model import CertificateRef, Endpoint, ServerReading
from sslint.targets import Target
from sslint.tree import Record, Tree
from sslint.values import dataclass, field, replace

if TYPE_CHECKING:
    from sslint.ask import Expectation, Family
    from sslint.firewalls.docker import Publication
    from sslint.netfilter.no_ruleset import NoFirewall
    from sslint.netfilter.reach import Firewall
    from sslint.netfilter.trace import PortTrace
    from sslint.netfilter.verdicts import Reach
    from sslint.network import HostFacts
    from sslint.shipped import Shipped

Scope = Literal["any", "private", "loopback"]


@dataclass(slots=True)
class Socket:
    """An endpoint and who reaches it, by family; None where the socket cannot take the family."""

    endpoint: Endpoint
    scope: Scope
    ipv4: Reach | None = None
    ipv6: Reach | None = None

    @property
    def reaches(self) -> tuple[Reach, ...]:
        """The answers for the families that the socket takes."""
        return tuple(reach for reach in (self.ipv4, self.ipv6) if reach is not None)


@dataclass(slots=True)
class Host:
    """One host as its files describe it."""

    name: str
    target: Target
    network: HostFacts
    readings: list[ServerReading] = field(default_factory=list)
    programs: list[ServerReading] = field(default_factory=list)  # that own a port, and no TLS
    ruleset: Ruleset = field(default_factory=Ruleset)
    firewall: Firewall | NoFirewall | None = None
    sockets: list[Socket] = field(default_factory=list)
    announced: Announced = field(default_factory=Announced)
    renewal: Renewal = field(default_factory=Renewal)
    published: list[Publication] = field(default_factory=list)  # by containers
    own_ruleset: Ruleset | None = None  # without what Docker is assumed to add for these
    running: Firewall | None = None  # the kernel's, beside that of the files
    shipped: Shipped | None = None  # what stands for files that the tree does not hold
    completed: list[str] = field(default_factory=list)  # which of them were read
    record: Record | None = None  # what all but the firewall was read from
    differs: bool = False  # by its firewall alone, from a host that was read before
    by_port: dict[tuple[str, int], list[Endpoint]] | None = None  # made when listeners are asked
    uses: dict[tuple[str | None, str | None], list[Any]] | None = None  # of pairs of certificates
    by_directory: dict[str, dict[str, CertificateRef]] | None = None  # who uses its certificates
    proxies: list[tuple[int, tuple[int, int]]] | None = None  # who is trusted to be one
    expected: list[tuple[Expectation, Mapping[Family, PortTrace]]] | None = None  # made when asked

    @property
    def tree(self) -> Tree:
        """The host's files."""
        return self.target.tree

    @property
    def now(self) -> datetime:
        """When certificates are judged."""
        return self.target.now or datetime.now(UTC)

    @property
    def problems(self) -> list[Problem]:
        """What could not be read or understood."""
        return self.target.tree.problems

    @property
    def assumptions(self) -> list[str]:
        """What the verdicts rest on beside the files, each once."""
        read = (text for reading in self.readings for text in reading.assumptions)
        reached = (text for s in self.sockets for r in s.reaches for text in r.assumptions)
        own = (*self.target.assumed, *self.completed, *self.ruleset.assumptions)
        return list(dict.fromkeys((*own, *read, *reached)))

    def reading(self, server: str) -> ServerReading | None:
        """Return what was read of a server."""
        return next((r for r in self.readings if r.server == server), None)


def read(target: Target) -> Host:
    """Read a host. What cannot be read stands in `problems`, and the rest is still read.

    A part of /etc is read together with what the distribution ships.
    """
    from sslint import shipped

    with Edge(target.tree, "host:", "/") as edge:
        target.tree.budgets.spend("hosts")
    if edge.reason:
        host = Host(target.name, target, _network(replace(target, tree=Tree(None))))
        _forget_firewall(host, edge.reason)
        return host
    network = _network(target)
    releases: list[str] = []
    with Edge(target.tree, "what the distribution ships:", "/etc"):
        releases = shipped.fitting(target.tree, network, target.versions)
    host = _read_completed(target, releases) if releases else _finish(_begin(target, network))
    host.record, target.tree.record = target.tree.record, Record()
    return host


def reread(host: Host, target: Target, paths: Collection[str]) -> Host:
    """Read a host again in which the files at some resolved paths have other texts.

    If only the firewall was read from them, all else is what it was.
    """
    tree = host.tree
    record = host.record
    if record is None or any(tree.resolves_to(path, paths) for path in record.files):
        return read(target)
    from sslint import certificates

    target.tree.repeat(record)
    certificates.keep(tree, target.tree, paths)
    other = Host(
        host.name,
        target,
        host.network,
        host.readings,
        host.programs,
        announced=host.announced,
        renewal=host.renewal,
        published=host.published,
        shipped=host.shipped,
        completed=host.completed,
        differs=True,
        uses=host.uses,
    )
    _reach(other)
    target.tree.close()
    return other


def _network(target: Target) -> HostFacts:
    from sslint.network import read_network

    with Edge(target.tree, "network:", "/etc"):
        return read_network(target.tree, addresses=target.addresses)
    return read_network(Tree(None), addresses=target.addresses)


def _read_completed(target: Target, releases: Sequence[str]) -> Host:
    """Read a part of a host's /etc as each release completes it; keep what all agree on."""
    from sslint import shipped

    bare = target.tree.with_overlay({})
    laid = shipped.complete(target.tree, releases[0])
    host = _begin(target, _network(target))
    host.shipped = laid
    used = laid.used(target.tree)
    for release in releases[1:]:
        if used and shipped.differ(target.tree, used, releases[0], release):
            tree = bare.with_overlay({})
            shipped.complete(tree, release)
            other = replace(target, tree=tree)
            shipped.compare(host.readings, _begin(other, _network(other)).readings, releases)
            tree.close()
    _finish(host)
    host.completed = shipped.assumptions(target.tree, laid, releases)
    shipped.forget_dormant(target.tree, laid.files, host.readings)
    return host


def _begin(target: Target, network: HostFacts) -> Host:
    """Return a host of which the servers are read."""
    found = serving.read(target, network)
    return Host(
        target.name, target, network, found.readings, found.programs, published=found.published
    )


def _finish(host: Host) -> Host:
    """Read all else of a host, and who reaches its sockets."""
    tree, target = host.tree, host.target
    with tree.apart():
        _reach(host)
    with Edge(tree, "announcements:", "/etc"):
        host.announced = announcements.read(tree, target.announced, web_roots(host))
    with Edge(tree, "certbot:", "/etc/letsencrypt"):
        host.renewal = renewal.read(tree)
    tree.close()
    return host


def _reach(host: Host) -> None:
    """Read the firewall of a host, and say who reaches its sockets."""
    with Edge(host.tree, "firewall:", "/etc") as edge:
        _read_firewall(host)
        _reach_sockets(host)
    if edge.reason:
        _forget_firewall(host, edge.reason)
        _reach_sockets(host)


def _reach_sockets(host: Host) -> None:
    host.sockets = [
        _socket(host, endpoint) for reading in host.readings for endpoint in reading.endpoints
    ]


def only_relays(reading: ServerReading) -> bool:
    """Tell whether a mail server takes mail of this host alone: others may come to a container."""
    scopes = [scope_of(endpoint.address) for endpoint in reading.endpoints]
    mail = reading.server in owners("tcp", 25)
    return mail and bool(scopes) and set(scopes) == {"loopback"}


def web_roots(host: Host) -> list[str]:
    """Return the directories that web servers serve."""
    roots = (root for r in host.readings if r.web is not None for root in r.web.roots())
    return list(dict.fromkeys(roots))


def web_server(host: Host, port: int) -> ServerReading | None:
    """Return the web server that is asked on a TCP port: one that listens there, else any."""
    found = [reading for reading in host.readings if reading.web is not None]
    here = {endpoint.server for endpoint in listeners(host, "tcp", port)}
    return next((r for r in found if r.server in here), found[0] if found else None)


def _read_firewall(host: Host) -> None:
    from sslint.firewalls import discovery, unseen

    if host.target.no_firewall:
        host.ruleset.families = {4, 6}
        host.ruleset.assumptions.append("this host filters nothing (firewall: none, as configured)")
    else:
        host.ruleset = discovery.load(host.tree, host.network, host.target.firewall)
        if host.ruleset.empty and _is_unfiltered(host):
            host.ruleset.missing += unseen.scripts(host.tree, host.network)
        if host.ruleset.empty and _is_unfiltered(host):
            host.ruleset.families = {4, 6}
            host.ruleset.assumptions.append(_unfiltered(host))
    if host.ruleset.empty and not host.target.no_firewall:
        from sslint.netfilter.no_ruleset import NoFirewall

        host.firewall = NoFirewall(host.network.network, _asleep(host))
    else:
        from sslint.netfilter.reach import Firewall

        network = host.network.network
        if host.published:
            from sslint.firewalls import docker

            host.own_ruleset = host.ruleset
            host.ruleset = docker.assume(
                host.tree, host.network, host.ruleset, host.published, _taken(host)
            )
            host.ruleset.alternatives = [
                docker.assume(host.tree, host.network, one, host.published, _taken(host))
                for one in host.ruleset.alternatives
            ]
            network = replace(network, inner=(docker.BRIDGE,))
        host.firewall = Firewall(host.ruleset, network)
    if host.target.running is not None:
        from sslint.netfilter.reach import Firewall

        host.running = Firewall(host.target.running, host.network.network)


def _taken(host: Host) -> set[tuple[str, int]]:
    """Return the ports that programs of the host itself certainly have."""
    return {
        (endpoint.transport, endpoint.port)
        for reading in (*host.readings, *host.programs)
        for endpoint in reading.endpoints
        if endpoint.certain and reading.server != "docker"
    }


def _is_unfiltered(host: Host) -> bool:
    """Tell whether the files show that the host starts no firewall at all."""
    from sslint.network.whole import firewall_units, is_whole_etc

    if not is_whole_etc(host.tree):
        return False
    started = firewall_units(host.network.units)
    inactive = {"ufw", "ufw.service"} if host.tree.exists("/etc/ufw/ufw.conf") else set()
    return not set(started) - inactive  # ufw's unit starts, and does nothing with ENABLED=no


def _unfiltered(host: Host) -> str:
    """Say why nothing is filtered, with the rulesets that lie in the tree and are not in force."""
    asleep = _asleep(host)
    why = "/etc is complete and starts no firewall" + (f"; {asleep}" if asleep else "")
    return f"this host filters nothing ({why})"


def _asleep(host: Host) -> str:
    """Name the rulesets that lie in the tree and are not in force, each with why."""
    from sslint.firewalls import discovery

    return "; ".join(
        f"{host.tree.name(one.path)}: {one.inactive}"
        for one in discovery.inactive(host.tree, host.network)
    )


def _forget_firewall(host: Host, reason: str) -> None:
    """Take the whole firewall for unknown."""
    from sslint.netfilter.model import Missing
    from sslint.netfilter.reach import Firewall

    missing = Missing(reason, (4, 6), None, may_open=True)
    host.ruleset = Ruleset(sources=host.ruleset.sources, missing=[missing])
    host.firewall = Firewall(host.ruleset, host.network.network)


# -- sockets ------------------------------------------------------------------------------------


def scope_of(address: str) -> Scope:
    """Return who can be meant by a socket bound to an address."""
    if address in ("0.0.0.0", "::", "*", ""):  # noqa: S104
        return "any"
    try:
        family, number = addresses.parse(address)
    except ValueError:
        return "any"
    if addresses.contains(addresses.LOOPBACK[family], number):
        return "loopback"
    # Documentation ranges stand for public addresses (addresses.PUBLIC has them).
    return "any" if addresses.contains(addresses.PUBLIC[family], number) else "private"


def _socket(host: Host, endpoint: Endpoint) -> Socket:
    assert host.firewall is not None
    scope = scope_of(endpoint.address)
    socket = Socket(endpoint, scope)
    wildcard = endpoint.address in ("0.0.0.0", "::")  # noqa: S104
    address = None if wildcard else endpoint.address
    is_ipv6 = ":" in endpoint.address
    if not is_ipv6 or (wildcard and not endpoint.ipv6only):
        translated = address is None and _published(host, endpoint)
        ask = host.firewall.reach_outer if translated else host.firewall.reach
        socket.ipv4 = ask(endpoint.transport, endpoint.port, 4, address)
    if is_ipv6:
        socket.ipv6 = host.firewall.reach(endpoint.transport, endpoint.port, 6, address)
    return socket


def _published(host: Host, endpoint: Endpoint) -> bool:
    """Tell whether a container publishes a port: Docker takes its clients there."""
    return any(
        one.takes(endpoint.transport, endpoint.port) and not one.loopback for one in host.published
    )


def owner_of(host: Host, transport: str, port: int) -> str | None:
    """Return the server that a port is known by: one that the host has, else the likeliest."""
    known = owners(transport, port)
    return next((name for name in known if host.reading(name)), known[0] if known else None)


def listeners(host: Host, transport: str, port: int) -> Sequence[Endpoint]:
    """Return every program's sockets on a port, those of the servers that are read first."""
    if host.by_port is None:
        host.by_port = {}
        for reading in (*host.readings, *host.programs):
            for endpoint in reading.endpoints:
                key = (endpoint.transport, endpoint.port)
                host.by_port.setdefault(key, []).append(endpoint)
    return host.by_port.get((transport, port), ())
