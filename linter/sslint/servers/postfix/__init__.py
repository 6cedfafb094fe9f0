"""Postfix: main.cf and master.cf into endpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sslint.servers.interface import Context, Server

if TYPE_CHECKING:
    from sslint.servers.interface import Loose
    from sslint.servers.model import ServerReading
    from sslint.tree import Tree


def _read(tree: Tree, context: Context) -> ServerReading | None:
    from sslint.servers.postfix.reader import read

    return read(tree, version=context.version)


def _loose() -> Loose:
    from sslint.servers.postfix import loose

    return loose


SERVER = Server(
    name="postfix",
    title="Postfix",
    read=_read,
    directories=("/etc/postfix",),
    entries=("/etc/postfix/main.cf",),
    mains=("/etc/postfix/main.cf", "/etc/postfix/master.cf"),
    loose=_loose,
    marks=("postfix/main.cf", "postfix/master.cf"),
    packages=("postfix",),
    units=("postfix",),
    control=("postfix",),
    ports=tuple(("tcp", port) for port in (25, 465, 587)),
    key="A directory with main.cf and master.cf.",
)
