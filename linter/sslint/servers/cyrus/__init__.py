"""Cyrus IMAP: the services of cyrus.conf."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sslint.network.packages import Package
from sslint.servers.interface import Context, Server

if TYPE_CHECKING:
    from sslint.servers.model import ServerReading
    from sslint.tree import Tree


def _read(tree: Tree, context: Context) -> ServerReading | None:
    from sslint.servers.cyrus.reader import read

    return read(tree)


SERVER = Server(
    name="cyrus",
    title="Cyrus IMAP",
    read=_read,
    directories=("/etc/cyrus.conf",),
    entries=("/etc/cyrus.conf",),
    package=Package(("cyrus-imapd",)),
    units=("cyrus-imapd", "cyrus-imap"),
    ports=tuple(("tcp", port) for port in (110, 143, 993, 995, 4190)),
    counts_sockets=True,
)
