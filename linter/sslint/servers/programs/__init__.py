"""Programs that own a port and are no servers of the registry."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sslint.edges import Edge
from sslint.reasons import Code, Reason
from sslint.servers.listening import Listener, add
from sslint.servers.model import Endpoint, Knows, ServerReading
from sslint.servers.programs import containers, host, network, unread
from sslint.servers.programs.publishing import TLS_PORTS
from sslint.tree import Tree

Reader = Callable[[Tree], Iterator[Listener]]

# Of these the sockets are known, and no rule about TLS sees them.
_PROGRAMS: dict[str, Reader] = {
    "systemd": host.systemd,
    "openssh": host.openssh,
    "docker": host.docker,
    "compose": containers.compose,
    "wireguard": network.wireguard,
    "openvpn": network.openvpn,
    "named": network.bind,
    "unbound": network.unbound,
}


def units(program: str) -> tuple[str, ...]:
    """Return the units that start a program whose configuration is not read."""
    named = [unit for one in unread.PROGRAMS if one.name == program for unit in one.units]
    return tuple(named)


def read_programs(tree: Tree) -> list[ServerReading]:
    """Return one reading a program that has listeners; what is malformed is passed over."""
    readings = _Readings(tree, Knows(certificates=False, sites=False))
    for name, reader in _PROGRAMS.items():
        before = len(tree.problems)
        readings.add(name, reader)
        if name == "compose":  # a file that cannot be read may publish TLS
            for problem in tree.problems[before:]:
                readings.lack("docker", problem.sentence)
    return readings.found()


def read_unread(tree: Tree) -> list[ServerReading]:
    """Return one reading a program that may serve TLS, and of which no more is known."""
    readings = _Readings(tree, Knows(ports=False, tls=False, certificates=False, sites=False))
    readings.add("others", unread.unread)
    for name, path in unread.unreadable(tree):
        readings.lack(name, f"{tree.name(path)} cannot be read")
    return readings.found()


class _Readings:
    """Readings by program, made as their listeners come."""

    def __init__(self, tree: Tree, knows: Knows) -> None:
        self._tree = tree
        self._knows = knows
        self._found: dict[str, ServerReading] = {}

    def add(self, name: str, reader: Reader) -> None:
        """Add what a reader yields."""
        with Edge(self._tree, f"{name}:", "/etc"):
            for listener in reader(self._tree):
                add(self._tree, listener, self._of(listener.server))

    def lack(self, server: str, reason: str) -> None:
        """Say that a program may have listeners that are not known."""
        self._of(server).gaps.append(Reason(Code.UNREADABLE, None, reason))

    def found(self) -> list[ServerReading]:
        """Return the readings."""
        return list(self._found.values())

    def _of(self, server: str) -> ServerReading:
        return self._found.setdefault(server, ServerReading(server, knows=self._knows))


# Of these a listener that is not known may speak TLS.
MAY_SERVE_TLS = ("docker", "named", "unbound")


def may_serve_tls(endpoint: Endpoint) -> bool:
    """Tell whether a program that is no server may speak TLS on a port of its own."""
    if endpoint.server in ("named", "unbound"):
        return endpoint.tls != "none"
    if endpoint.server in ("docker", "systemd"):
        known = endpoint.tls == "unknown" and endpoint.port in TLS_PORTS
        return endpoint.tls == "implicit" or known
    return False
