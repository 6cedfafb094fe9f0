"""tlsd, an example: what it listens on, with which certificate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sslint.network.packages import Package
from sslint.servers.interface import Context, Server

if TYPE_CHECKING:
    from sslint.servers.model import ServerReading
    from sslint.tree import Tree

MAIN = "/etc/tlsd/tlsd.conf"


def _read(tree: Tree, context: Context) -> ServerReading | None:
    from sslint.servers.tlsd.reader import read

    return read(tree, version=context.version)


SERVER = Server(
    name="tlsd",
    title="tlsd",
    read=_read,
    directories=("/etc/tlsd",),
    entries=(MAIN,),
    mains=(MAIN,),
    marks=("tlsd/tlsd.conf",),
    package=Package(("tlsd",)),
    units=("tlsd",),
    ports=(("tcp", 443),),
    keeps_certificate=True,
    counts_sockets=True,
)
