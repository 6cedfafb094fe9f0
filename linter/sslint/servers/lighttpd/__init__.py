"""lighttpd: what it listens on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sslint.network.packages import Package
from sslint.servers.interface import Context, Server

if TYPE_CHECKING:
    from sslint.servers.model import ServerReading
    from sslint.tree import Tree


def _read(tree: Tree, context: Context) -> ServerReading | None:
    from sslint.servers.lighttpd.reader import read

    return read(tree, context.no_ipv6)


SERVER = Server(
    name="lighttpd",
    title="lighttpd",
    read=_read,
    directories=("/etc/lighttpd",),
    entries=("/etc/lighttpd/lighttpd.conf",),
    package=Package(("lighttpd",)),
    units=("lighttpd",),
    ports=(("tcp", 80), ("tcp", 443)),
    keeps_certificate=True,
    counts_sockets=True,
)
