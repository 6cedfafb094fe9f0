"""stunnel: what its services accept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sslint.network.packages import Package
from sslint.servers.interface import Context, Server

if TYPE_CHECKING:
    from sslint.servers.model import Endpoint, ServerReading
    from sslint.tree import Tree


def _read(tree: Tree, context: Context) -> ServerReading | None:
    from sslint.servers.stunnel.reader import read

    return read(tree)


def of_one_service(one: Endpoint, other: Endpoint) -> bool:
    """Tell whether two sockets are of the same service, which needs but one of them."""
    return (one.location.path, one.service) == (other.location.path, other.service)


def _needs_ipv6(reading: ServerReading, endpoint: Endpoint) -> bool:
    """Tell whether the service has no socket of IPv4."""
    return all(":" in e.address for e in reading.endpoints if of_one_service(endpoint, e))


SERVER = Server(
    name="stunnel",
    title="stunnel",
    read=_read,
    directories=("/etc/stunnel",),
    entries=("/etc/stunnel/stunnel.conf",),
    marks=("stunnel",),
    package=Package(("stunnel4", "stunnel")),
    units=("stunnel4", "stunnel"),
    keeps_certificate=True,
    counts_sockets=True,
    needs_ipv6=_needs_ipv6,
)
