"""Everything read about one host: its servers, its firewall, and who reaches which socket."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from sslint import announcements, certificates, renewal, serving
from sslint.announcements.model import Announced
from sslint.edges import Edge
from sslint.kept import Parts
from sslint.netfilter import addresses
from sslint.netfilter.model import Ruleset
from sslint.reasons import Problem
from sslint.renewal import Renewal
from sslint.servers import owners, server
from sslint.servers.model import CertificateRef, Endpoint, ServerReading
from sslint.targets import Target
from sslint.tree import Tree
from sslint.values import dataclass, field, replace

if TYPE_CHECKING:
    from sslint.ask import Expectation, Family
    from sslint.firewalls.docker import Publication
    from sslint.netfilter.no_ruleset import NoFirewall
    from sslint.netfilter.reach import Firewall
    from sslint.netfilter.trace import PortTrace
    from sslint.netfilter.verdicts import Reach
    from sslint.network import HostFacts
    from sslint.servers.programs.contained import Container, Containers
    from sslint.shipped import Shipped

    _Filter: TypeAlias = tuple[
        Ruleset, Ruleset | None, Firewall | NoFirewall | None, Firewall | None
    ]

Scope = Literal["any", "private", "loopback"]
SCOPES: tuple[Scope, ...] = ("any", "private", "loopback")  # the widest first


@dataclass(slots=True)
class Socket:
    """An endpoint and who reaches it, by family; None where the socket cannot take the family."""

    endpoint: Endpoint
    scope: Scope
    ipv4: Reach | None = None
    ipv6: Reach | None = None
    container: Container | None = None  # in which it listens

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
    containers: Containers | None = None  # that publish them, if any
    own_ruleset: Ruleset | None = None  # without what Docker is assumed to add for these
    running: Firewall | None = None  # the kernel's, beside that of the files
    shipped: Shipped | None = None  # what stands for files that the tree does not hold
    completed: list[str] = field(default_factory=list)  # which of them were read
    bare: Tree | None = None  # the files as they were before they were completed
    compared: bool = False  # with what another release ships
    parts: Parts = field(default_factory=Parts)  # what each part of it was read from
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
    with Edge(target.tree, "host:", "/") as edge:
        target.tree.budgets.spend("hosts")
    if edge.reason:
        host = Host(target.name, target, _network(replace(target, tree=Tree(None)), Parts()))
        _forget_firewall(host, edge.reason)
        return host
    return _read(target)


def reread(host: Host, texts: Mapping[str, str], executable: Collection[str] = ()) -> Host:
    """Read a host again with other texts in files at resolved paths, others made executable.

    What was read from other files alone is what it was.
    """
    paths = {*texts, *executable}
    known = host.parts.without(host.tree, paths)
    target = _edited(host.target, host.tree, texts, executable)
    if (
        known.has("network")
        and (known.has("shipped") or host.shipped is None)
        and not host.compared
        and certificates.keep(host.tree, target.tree, paths)
    ):
        releases = _fitting(target, known)
        other = _begin(target, known, host.shipped)
        if not list(_otherwise(other, releases, host.tree)):
            other.bare, other.completed = host.bare, host.completed
            _finish(other)
            other.differs = "firewall" in known.again and {*known.again} <= {"firewall", "shipped"}
            other.uses = host.uses if other.differs else None
            return other
    return _read(_edited(host.target, host.bare or host.tree, texts, executable))


def _edited(
    target: Target, tree: Tree, texts: Mapping[str, str], executable: Collection[str]
) -> Target:
    tree = tree.edited(texts)
    for path in executable:
        tree.make_executable(path)
    return replace(target, tree=tree)


def _read(target: Target) -> Host:
    parts = Parts()
    releases = _fitting(target, parts)
    return _read_completed(target, releases, parts) if releases else _finish(_begin(target, parts))


def _network(target: Target, parts: Parts, name: str = "network") -> HostFacts:
    from sslint.network import read_network

    with Edge(target.tree, "network:", "/etc"):
        return parts.read(
            name, target.tree, None, lambda tree: read_network(tree, addresses=target.addresses)
        )
    return read_network(Tree(None), addresses=target.addresses)


def _fitting(target: Target, parts: Parts) -> list[str]:
    """Return the releases of a distribution that may complete a host's files."""
    from sslint import shipped

    network = _network(target, parts)
    with Edge(target.tree, "what the distribution ships:", "/etc"):
        return parts.read(
            "shipped",
            target.tree,
            network,
            lambda tree: shipped.fitting(tree, network, target.versions),
        )
    return []


def _read_completed(target: Target, releases: Sequence[str], parts: Parts) -> Host:
    """Read a part of a host's /etc as each release completes it; keep what all agree on."""
    from sslint import shipped

    bare = target.tree.with_overlay({})
    laid = shipped.complete(target.tree, releases[0])
    host = _begin(target, parts, laid)
    for release in list(_otherwise(host, releases)):
        tree = bare.with_overlay({})
        shipped.complete(tree, release)
        other = _begin(replace(target, tree=tree), Parts(), laid)
        shipped.compare(host.readings, other.readings, releases)
        tree.close()
        host.compared = True
    _finish(host)
    host.bare, host.completed = bare, shipped.assumptions(target.tree, laid, releases)
    return host


def _otherwise(host: Host, releases: Sequence[str], before: Tree | None = None) -> Iterator[str]:
    """Yield the releases that ship other files than the host was read with.

    `before` is the tree that the host was read from in part.
    """
    from sslint import shipped

    if host.shipped is None:
        yield from releases
        return
    trees = [host.tree] if before is None else [host.tree, before]
    used = sorted({path for tree in trees for path in host.shipped.used(tree)})
    for release in releases[1:] if used else ():
        if shipped.differ(host.tree, used, releases[0], release):
            yield release


def _begin(target: Target, parts: Parts, laid: Shipped | None = None) -> Host:
    """Return a host of which the servers are read; `laid` is what its tree was completed with."""
    network = _network(target, parts, "network" if laid is None else "completed network")
    found = serving.read(target, network, parts)
    return Host(
        target.name,
        target,
        network,
        found.readings,
        found.programs,
        published=found.published,
        containers=found.containers,
        parts=parts,
        shipped=laid,
    )


def _finish(host: Host) -> Host:
    """Read all else of a host, and who reaches its sockets."""
    tree, target, parts = host.tree, host.target, host.parts
    _reach(host)
    with Edge(tree, "announcements:", "/etc"):
        roots = web_roots(host)
        host.announced = parts.read(
            "announcements",
            tree,
            roots,
            lambda view: announcements.read(view, target.announced, roots),
        )
    with Edge(tree, "certbot:", "/etc/letsencrypt"):
        host.renewal = parts.read("certbot", tree, None, renewal.read)
    if host.shipped is not None:
        from sslint import shipped

        shipped.forget_dormant(tree, host.shipped.files, host.readings)
    tree.close()
    return host


def _reach(host: Host) -> None:
    """Read the firewall of a host, and say who reaches its sockets."""
    with Edge(host.tree, "firewall:", "/etc") as edge:
        given = (host.network, host.published, _taken(host) if host.published else None)
        found = host.parts.read("firewall", host.tree, given, partial(_read_firewall, host))
        host.ruleset, host.own_ruleset, host.firewall, host.running = found
        _reach_sockets(host)
    if edge.reason:
        host.parts.forget("firewall")
        _forget_firewall(host, edge.reason)
        _reach_sockets(host)


def _reach_sockets(host: Host) -> None:
    host.sockets = []
    for reading in host.readings:
        containers = None
        if host.containers is not None:
            ports = {(e.transport, e.port) for e in reading.endpoints}
            containers = host.containers.serving(ports)
        host.sockets += [_socket(host, endpoint, containers) for endpoint in reading.endpoints]


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


def _read_firewall(host: Host, tree: Tree) -> _Filter:
    """Read the firewall of a host through a view of its tree."""
    from sslint.firewalls import discovery, unseen

    if host.target.no_firewall:
        host.ruleset.families = {4, 6}
        host.ruleset.assumptions.append("this host filters nothing (firewall: none, as configured)")
    else:
        host.ruleset = discovery.load(tree, host.network, host.target.firewall)
        if host.ruleset.empty and _is_unfiltered(host):
            host.ruleset.missing += unseen.scripts(tree, host.network)
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
                tree, host.network, host.ruleset, host.published, _taken(host)
            )
            host.ruleset.alternatives = [
                docker.assume(tree, host.network, one, host.published, _taken(host))
                for one in host.ruleset.alternatives
            ]
            network = replace(network, inner=(*network.inner, docker.BRIDGE))
        host.firewall = Firewall(host.ruleset, network)
    if host.target.running is not None:
        from sslint.netfilter.reach import Firewall

        host.running = Firewall(host.target.running, host.network.network)
    return host.ruleset, host.own_ruleset, host.firewall, host.running


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


def _socket(host: Host, endpoint: Endpoint, containers: Containers | None) -> Socket:
    assert host.firewall is not None
    scope = scope_of(endpoint.address)
    socket = Socket(endpoint, scope)
    is_ipv6 = ":" in endpoint.address
    wildcard = endpoint.address in ("0.0.0.0", "::")  # noqa: S104
    takes_ipv4 = not is_ipv6 or (wildcard and not endpoint.ipv6only)
    if containers is not None and scope != "loopback":
        directories = known.directories if (known := server(endpoint.server)) else ()
        socket.container = containers.of(endpoint.location.file.name, directories)
    if socket.container is not None:
        outside = socket.container.outside(endpoint.transport, endpoint.port)
        bound = {scope_of(address) for address, _ in outside or ()}
        socket.scope = next((one for one in SCOPES if one in bound), scope)
        socket.ipv4 = _through(host, socket, outside, 4) if takes_ipv4 else None
        socket.ipv6 = _through(host, socket, outside, 6) if is_ipv6 else None
        return socket
    address = None if wildcard else endpoint.address
    if takes_ipv4:
        translated = address is None and _published(host, endpoint)
        ask = host.firewall.reach_outer if translated else host.firewall.reach
        socket.ipv4 = ask(endpoint.transport, endpoint.port, 4, address)
    if is_ipv6:
        socket.ipv6 = host.firewall.reach(endpoint.transport, endpoint.port, 6, address)
    return socket


def _through(
    host: Host, socket: Socket, outside: Collection[tuple[str, int]] | None, family: Family
) -> Reach | None:
    """Return who reaches a socket in a container: who gets to a port of the host that leads there.

    None: it is published on addresses of the other family alone. Docker takes IPv4 there by NAT;
    over IPv6 its proxy listens on the host (firewalls/docker.py).
    """
    from sslint.netfilter.verdicts import Reach, widest

    assert host.firewall is not None
    assert socket.container is not None
    endpoint, container = socket.endpoint, socket.container
    where = f"{container.location.path}:{container.location.line}"
    if outside is None:
        why = container.reason or "its ports are not known"
        return Reach("unknown", reasons=(f"{where}: container {container.service}: {why}",))
    ask = host.firewall.reach_outer if family == 4 else host.firewall.reach
    if not outside:
        port = f"{endpoint.transport}/{endpoint.port}"
        shut = f"{where}: container {container.service} does not publish {port}"
        return Reach("closed", reasons=(shut,))
    return widest(
        ask(endpoint.transport, port, family, address or None)
        for address, port in outside
        if not address or (":" in address) == (family == 6)
    )


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
