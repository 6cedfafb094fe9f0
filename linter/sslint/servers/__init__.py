"""Server configuration: text to endpoints. One module or package a server, and a line here."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from sslint.servers.interface import Server

# In the order in which reports name them.
SERVERS = (
    "nginx",
    "apache",
    "postfix",
    "dovecot",
    "haproxy",
    "caddy",
    "lighttpd",
    "exim",
    "cyrus",
    "stunnel",
)


@cache
def servers() -> tuple[Server, ...]:
    """Return all servers; what reads them is not imported yet."""
    return tuple(import_module(f"{__name__}.{name}").SERVER for name in SERVERS)


def server(name: str) -> Server | None:
    """Return a server by its name."""
    return next((one for one in servers() if one.name == name), None)


@cache
def marks() -> tuple[str, ...]:
    """Return what shows that a directory is an etc/, relative to it."""
    return tuple(mark for one in servers() for mark in one.marks)


@cache
def tops() -> frozenset[str]:
    """Return the names in an etc/ that servers read."""
    found = [path for one in servers() for path in (*one.directories, *one.mains)]
    return frozenset(path.split("/")[2] for path in found if path.startswith("/etc/"))


@cache
def mains() -> dict[str, str]:
    """Return the places of the main files that are known by name alone, by that name."""
    return {place.rpartition("/")[2]: place for one in servers() for place in one.mains}


def owners(transport: str, port: int) -> tuple[str, ...]:
    """Return the servers that a port is known by, the likeliest first."""
    return tuple(one.name for one in servers() if (transport, port) in one.ports)
