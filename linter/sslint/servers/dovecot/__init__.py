"""Dovecot, 2.3 and 2.4: what it listens on, with which TLS and which certificates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sslint.servers.interface import Context, Server

if TYPE_CHECKING:
    from sslint.servers.interface import Including
    from sslint.servers.model import ServerReading
    from sslint.tree import Tree


def _read(tree: Tree, context: Context) -> ServerReading | None:
    from sslint.servers.dovecot.reading import read

    return read(tree, version=context.version)


def _including() -> Including:
    from sslint.servers.dovecot import loose

    return loose


SERVER = Server(
    name="dovecot",
    title="Dovecot",
    read=_read,
    directories=("/etc/dovecot", "/usr/local/etc/dovecot"),
    entries=("/etc/dovecot/dovecot.conf", "/usr/local/etc/dovecot/dovecot.conf"),
    mains=("/etc/dovecot/dovecot.conf",),
    included=("conf.d/*.conf",),
    folders=("conf.d",),
    including=_including,
    marks=("dovecot/dovecot.conf", "dovecot/conf.d"),
    packages=("dovecot-core", "dovecot"),
    units=("dovecot",),
    control=("dovecot", "doveadm"),
    ports=tuple(("tcp", port) for port in (110, 143, 993, 995, 4190)),
    keeps_certificate=True,
    key="dovecot.conf, or the directory that holds it.",
)
