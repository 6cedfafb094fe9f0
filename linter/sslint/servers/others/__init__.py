"""Who else owns a port: programs whose listeners matter, but whose TLS is not judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sslint.edges import Edge
from sslint.servers.model import ServerReading
from sslint.servers.others import apache, containers, host, mail, network, unread, web
from sslint.servers.others.common import Listener, endpoints
from sslint.servers.others.tls import UNITS
from sslint.tree import Tree

_READERS: dict[str, Callable[[Tree], Iterator[Listener]]] = {
    "haproxy": web.haproxy,
    "apache": apache.apache,
    "caddy": web.caddy,
    "lighttpd": web.lighttpd,
    "exim": mail.exim,
    "cyrus": mail.cyrus,
    "stunnel": mail.stunnel,
    "systemd": host.systemd,
    "openssh": host.openssh,
    "docker": host.docker,
    "compose": containers.compose,
    "wireguard": network.wireguard,
    "openvpn": network.openvpn,
    "named": network.bind,
    "unbound": network.unbound,
    "": unread.unread,
}


def read_others(tree: Tree) -> list[ServerReading]:
    """Return one reading a program that has listeners; what is malformed is passed over.

    One whose files cannot all be read, or name what is not known, is not complete.
    """
    readings: dict[str, ServerReading] = {}
    for name, reader in _READERS.items():
        before = len(tree.problems)
        with Edge(tree, f"{name or 'others'}:", "/etc"):
            for listener in reader(tree):
                _add(tree, listener, readings)
        if name in UNITS and len(tree.problems) > before:
            reading = readings.setdefault(name, ServerReading(name))
            reading.complete = False
            reading.reasons += [f"{p.path}: {p.reason}" for p in tree.problems[before:]]
    for name, path in unread.unreadable(tree):
        reading = readings.setdefault(name, ServerReading(name))
        reading.complete = False
        reading.reasons.append(f"{tree.name(path)} cannot be read")
    return list(readings.values())


def _add(tree: Tree, listener: Listener, readings: dict[str, ServerReading]) -> None:
    reading = readings.setdefault(listener.server, ServerReading(listener.server))
    if not listener.port:
        reading.complete = False
        reading.reasons += listener.reasons
    found = list(endpoints(listener))
    tree.budgets.spend("sockets", len(found), listener.location)
    reading.endpoints += found
    path = listener.location.file.path
    if path not in reading.files:
        reading.files.append(path)
