"""Facts about listeners that the kernel does not open beside each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sslint.engine import Span
from sslint.facts.fact import Fact, Places, field
from sslint.facts.ports import Transport
from sslint.serving import unit_states
from sslint.values import dataclass

if TYPE_CHECKING:
    from sslint.facts.collection import Facts
    from sslint.host import Host
    from sslint.servers.model import Endpoint, ServerReading
    from sslint.source import Location


@dataclass(frozen=True, slots=True)
class _Listener:
    server: str
    socket: str
    location: Location

    def __str__(self) -> str:
        return f"{self.server} {self.socket}"


@dataclass(frozen=True, slots=True)
class _Pair:
    transport: Transport
    port: int
    one: _Listener
    other: _Listener


def conflicts(facts: Facts) -> list[Conflict]:
    """Return a fact for each two listeners that the kernel does not open beside each other."""
    host = facts.host
    pairs = [
        _Pair(
            c.transport,
            c.port,
            _Listener(reading.server, c.first, c.first_location),
            _Listener(reading.server, c.second, c.second_location),
        )
        for reading in host.readings
        for c in reading.conflicts
    ]
    return [Conflict(facts, pair) for pair in (*pairs, *_between_servers(host))]


def _between_servers(host: Host) -> list[_Pair]:
    endpoints = [
        endpoint
        for reading in (*host.readings, *host.programs)
        for endpoint in reading.endpoints
        if endpoint.certain and not _is_assumed(host, reading)
    ]
    containers = any(endpoint.protocol == "container" for endpoint in endpoints)
    taken: dict[tuple[str, int, str], Endpoint] = {}
    found = []
    for endpoint in endpoints:
        for address in _overlapping(endpoint.address):
            other = taken.get((endpoint.transport, endpoint.port, address))
            if (
                other is not None
                and other.server != endpoint.server
                and not (containers and _in_container(host, other, endpoint))
            ):
                found.append(
                    _Pair(endpoint.transport, endpoint.port, _shown(other), _shown(endpoint))
                )
                break
        taken.setdefault((endpoint.transport, endpoint.port, endpoint.address), endpoint)
    return found


def _is_assumed(host: Host, reading: ServerReading) -> bool:
    """Tell whether a server's listeners rest on what is taken for granted, as enabled sites do.

    A repository may hold the parts of several hosts; what has a unit is this one's.
    """
    return bool(reading.assumptions) and "enabled" not in unit_states(host.network, reading.server)


def _in_container(host: Host, *endpoints: Endpoint) -> bool:
    """Tell whether one of the servers may run in a container that a compose file describes.

    Its configuration lies in the same repository; what runs on the host itself has a unit.
    """
    return any(
        endpoint.protocol != "container"
        and "enabled" not in unit_states(host.network, endpoint.server)
        for endpoint in endpoints
    )


def _overlapping(address: str) -> tuple[str, ...]:
    """Return the addresses that a socket on `address` cannot stand beside."""
    wildcard = "::" if ":" in address else "0.0.0.0"  # noqa: S104
    return (address,) if address == wildcard else (address, wildcard)


def _shown(endpoint: Endpoint) -> _Listener:
    address = f"[{endpoint.address}]" if ":" in endpoint.address else endpoint.address
    return _Listener(endpoint.server, f"{address}:{endpoint.port}", endpoint.location)


class Conflict(Fact):
    """Two listeners that the kernel does not open beside each other."""

    source: _Pair

    transport: Transport
    "The transport."
    port: int
    "The port."

    def __init__(self, facts: Facts, source: _Pair) -> None:
        one, other = source.one, source.other
        super().__init__(
            facts,
            source,
            f"{one.server} and {other.server} {source.transport}/{source.port}",
            Span(other.location, f"{other.server} listens on {other.socket}"),
            frozenset({(source.transport, source.port)}),
        )

    @field
    def first(self) -> str:
        """The one listener: the server and its address."""
        return str(self.source.one)

    @field
    def second(self) -> str:
        """The other."""
        return str(self.source.other)

    @field
    def same_server(self) -> bool:
        """Both are of one server."""
        return self.source.one.server == self.source.other.server

    @field
    def both_enabled(self) -> bool:
        """Nothing says that one of the programs does not start at boot."""
        both = (self.source.one.server, self.source.other.server)
        off = {"disabled", "masked"}
        return not any(unit_states(self._host.network, server) <= off for server in both)

    @field
    def second_place(self) -> Places:
        """Where the first is configured."""
        one = self.source.one
        return (Span(one.location, f"{one.server} listens on {one.socket}"),)
