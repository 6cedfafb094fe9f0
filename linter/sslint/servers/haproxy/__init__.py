"""HAProxy: what it binds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sslint.network.packages import Package
from sslint.servers.interface import Context, Server, needs_each

if TYPE_CHECKING:
    from sslint.servers.model import ServerReading
    from sslint.tree import Tree


def _read(tree: Tree, context: Context) -> ServerReading | None:
    from sslint.servers.haproxy.reader import read

    return read(tree, context)


SERVER = Server(
    name="haproxy",
    title="HAProxy",
    read=_read,
    directories=("/etc/haproxy", "/usr/local/etc"),
    entries=("/etc/haproxy/haproxy.cfg",),
    mains=("/etc/haproxy/haproxy.cfg",),
    marks=("haproxy/haproxy.cfg",),
    package=Package(("haproxy",)),
    units=("haproxy",),
    ports=(("tcp", 80), ("tcp", 443)),
    keeps_certificate=True,
    counts_sockets=True,
    needs_ipv6=needs_each,
)
