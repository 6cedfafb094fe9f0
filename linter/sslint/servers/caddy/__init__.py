"""Caddy: the sites of a Caddyfile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sslint.network.packages import Package
from sslint.servers.interface import Context, Server

if TYPE_CHECKING:
    from sslint.servers.model import Endpoint, ServerReading
    from sslint.tree import Tree


def _read(tree: Tree, context: Context) -> ServerReading | None:
    from sslint.servers.caddy.reader import read

    return read(tree, context.version)


def _needs_ipv6(reading: ServerReading) -> list[Endpoint]:
    """Return the sockets that are needed: for all addresses Go falls back to IPv4."""
    return [one for one in reading.endpoints if one.address != "::" or one.ipv6only]


SERVER = Server(
    name="caddy",
    title="Caddy",
    read=_read,
    directories=("/etc/caddy",),
    entries=("/etc/caddy/Caddyfile",),
    mains=("/etc/caddy/Caddyfile",),
    marks=("caddy/Caddyfile",),
    package=Package(("caddy",)),
    units=("caddy", "caddy-api"),
    control=("caddy",),
    ports=(("tcp", 80), ("tcp", 443), ("udp", 443)),
    keeps_certificate=True,
    counts_sockets=True,
    needs_ipv6=_needs_ipv6,
)
