"""stunnel: what its services accept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sslint.network.packages import Package
from sslint.servers.interface import Context, Server, needs_each

if TYPE_CHECKING:
    from sslint.servers.model import ServerReading
    from sslint.tree import Tree


def _read(tree: Tree, context: Context) -> ServerReading | None:
    from sslint.servers.stunnel.reader import read

    return read(tree)


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
    needs_ipv6=needs_each,
)
