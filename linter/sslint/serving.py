"""The servers of one host, and the programs that own a port beside them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from sslint.edges import Edge
from sslint.kept import Parts
from sslint.reasons import Code, Reason
from sslint.regex import is_number
from sslint.servers import servers
from sslint.servers.interface import Context
from sslint.servers.model import ServerReading
from sslint.targets import Target
from sslint.tree import Status, Tree
from sslint.values import dataclass, field, replace

if TYPE_CHECKING:
    from sslint.firewalls.docker import Publication
    from sslint.network import HostFacts
    from sslint.servers.interface import Server
    from sslint.servers.programs.contained import Container, Containers


@dataclass(slots=True)
class Served:
    """What was read of all that listens on a host."""

    readings: list[ServerReading] = field(default_factory=list)
    programs: list[ServerReading] = field(default_factory=list)
    published: list[Publication] = field(default_factory=list)  # by containers
    containers: Containers | None = None  # that publish them, if any

    def of(self, server: str) -> ServerReading | None:
        """Return what was read of a server."""
        return next((r for r in self.readings if r.server == server), None)


def read(target: Target, network: HostFacts, parts: Parts) -> Served:
    """Read the servers and the programs of a host, but for the parts that are known."""
    tree = target.tree
    found = Served()
    if tree.root is None and tree.names("/") == ["given"]:
        return found  # rulesets and documents, and no server's files
    for server in servers():
        if any(_may_hold(tree, directory) for directory in server.directories):
            reader = partial(_read, target, network, server)
            reading = parts.read(server.name, tree, network, reader)
            found.readings += [reading] if reading is not None else []
    found.readings += _lacking(target, network, found)
    programs = parts.read("programs", tree, network, _programs)
    unread, found.programs, found.published, found.containers = programs
    found.readings += [one for one in unread if not _is_off(network, one.server)]
    return found


def _programs(
    tree: Tree,
) -> tuple[list[ServerReading], list[ServerReading], list[Publication], Containers | None]:
    """Return the programs that may serve TLS, those that do not, and what containers publish."""
    from sslint.firewalls.docker import Publication
    from sslint.servers import programs
    from sslint.servers.programs import containers

    unread, known = programs.read_unread(tree), programs.read_programs(tree)
    published: list[Publication] = []
    mounted: list[Container] = []
    with Edge(tree, "compose:", "/"):
        for one in containers.publications(tree):
            if isinstance(one, Publication):
                tree.budgets.spend("published")
                published.append(one)
            else:
                mounted.append(one)
    if not mounted:
        return unread, known, published, None
    from sslint.servers.programs.contained import Containers

    return unread, known, published, Containers(mounted)


def _may_hold(tree: Tree, path: str) -> bool:
    """Tell whether a path is there, or is a link to what was not given."""
    return tree.exists(path) or tree.link_target(path) is not None


def _lacking(target: Target, network: HostFacts, found: Served) -> Iterator[ServerReading]:
    """Yield the servers whose directory is there, and whose main file is not or is not readable."""
    tree = target.tree
    for server in servers():
        path = server.entries[0]
        recognised = server.including or server.loose  # else its reader says what it lacks
        if recognised is None or tree.is_excluded(path):
            continue
        unreadable = tree.status(path) is Status.UNKNOWN
        linked = tree.link_target(server.directory) is not None  # to what was not given
        there = unreadable or linked or tree.names(server.directory)
        if found.of(server.name) is not None or not there or _is_off(network, server.name):
            continue  # if it is off: what another package left in its directory
        if unreadable:
            tree.try_read(path)  # which reports it
        said = f"{tree.name(path)} {'cannot be read' if unreadable else 'is missing'}"
        if linked and not unreadable and not tree.exists(server.directory):
            said = f"{tree.name(server.directory)} is a symbolic link to what was not given"
        code = Code.UNREADABLE if unreadable else Code.NOT_GIVEN
        yield ServerReading(server.name, gaps=[Reason(code, None, said)])


def unit_states(network: HostFacts, server: str) -> set[str]:
    """Return whether the units of a server or program start at boot, each state once."""
    from sslint.servers import programs

    known = next((one.units for one in servers() if one.name == server), ())
    units = known or programs.units(server) or (server,)
    return {network.unit_state(unit) for unit in units}


def _is_off(network: HostFacts, server: str) -> bool:
    """Tell whether none of a server's units starts at boot."""
    return unit_states(network, server) <= {"disabled", "masked"}


def _read(target: Target, network: HostFacts, server: Server, tree: Tree) -> ServerReading | None:
    """Read a server; one whose unit does not start at boot may not listen at all."""
    with Edge(tree, f"{server.name}:", server.directory) as edge:
        version = _version(target, network, server)
        installed = server.name in target.versions or network.lists_packages
        reading = server.read(tree, Context(version, network, installed))
        if reading is not None and not server.counts_sockets:
            tree.budgets.spend("sockets", len(reading.endpoints))
    if edge.reason:
        reading = ServerReading(server.name, gaps=[Reason(edge.code, edge.location, edge.reason)])
    if reading is not None:
        reading.refusals += _without_ipv6(network, server, reading)
    if reading is not None and _is_off(network, server.name):
        reading.enabled = False
        reason = f"{server.units[0]}.service is not enabled"
        reading.endpoints = [
            replace(endpoint, certain=False, reasons=(*endpoint.reasons, reason))
            for endpoint in reading.endpoints
        ]
    return reading


def _without_ipv6(network: HostFacts, server: Server, reading: ServerReading) -> Iterator[Reason]:
    """Yield why a server does not start where the kernel has no sockets of IPv6."""
    needs = server.needs_ipv6
    if needs is None or not any(":" in one.address for one in reading.endpoints):
        return
    if (place := network.no_ipv6_sockets) is None:
        return
    for one in needs(reading):
        if one.certain and ":" in one.address:
            said = f"it listens on [{one.address}], and {place.path}:{place.line} disables IPv6"
            yield Reason(Code.REFUSED, one.location, said)
            return


def _version(target: Target, network: HostFacts, server: Server) -> tuple[int, ...] | None:
    """Return a server's version: as configured, else as the tree's package lists say."""
    given = target.versions.get(server.name)
    text = given if given is not None else network.package_version(server.package)
    if text is None:
        return None
    parts = text.split(".")[:8]
    return tuple(int(p) for p in parts if is_number(p) and len(p) < 10) or None
