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


def service_of(endpoint: Endpoint) -> tuple[str, str | None]:
    """Return what sockets of the same service have in common; it needs but one of them."""
    return endpoint.location.path, endpoint.service


def _needs_ipv6(reading: ServerReading) -> list[Endpoint]:
    """Return the sockets of the services that have none of IPv4."""
    others = {service_of(one) for one in reading.endpoints if ":" not in one.address}
    return [one for one in reading.endpoints if service_of(one) not in others]


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
