"""Exim: the ports that it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sslint.network.packages import Package
from sslint.servers.interface import Context, Server

if TYPE_CHECKING:
    from sslint.servers.model import Endpoint, ServerReading
    from sslint.tree import Tree


def _read(tree: Tree, context: Context) -> ServerReading | None:
    from sslint.servers.exim.reader import read

    return read(tree, context.version)


def _needs_ipv6(reading: ServerReading) -> list[Endpoint]:
    """Return the sockets that are needed: `::` is not beside 0.0.0.0 (daemon.c)."""
    wide = {one.port for one in reading.endpoints if one.address == "0.0.0.0"}  # noqa: S104
    return [one for one in reading.endpoints if one.address != "::" or one.port not in wide]


SERVER = Server(
    name="exim",
    title="Exim",
    read=_read,
    directories=("/etc/exim4", "/etc/exim", "/etc/exim.conf", "/usr/exim"),
    entries=("/etc/exim4/exim4.conf",),
    marks=("exim4",),
    package=Package(("exim4-base", "exim")),
    units=("exim4", "exim"),
    ports=(("tcp", 25), ("tcp", 465), ("tcp", 587)),
    counts_sockets=True,
    needs_ipv6=_needs_ipv6,
)
