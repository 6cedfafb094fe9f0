"""Who else owns a port: programs whose listeners matter, but whose TLS is not judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sslint.servers.model import ServerReading
from sslint.servers.others import host, mail, network, web
from sslint.servers.others.common import Listener, endpoints
from sslint.tree import Tree

_READERS: dict[str, Callable[[Tree], Iterator[Listener]]] = {
    "haproxy": web.haproxy,
    "apache": web.apache,
    "caddy": web.caddy,
    "lighttpd": web.lighttpd,
    "exim": mail.exim,
    "cyrus": mail.cyrus,
    "stunnel": mail.stunnel,
    "systemd": host.systemd,
    "openssh": host.openssh,
    "docker": host.docker,
    "compose": host.compose,
    "wireguard": network.wireguard,
    "openvpn": network.openvpn,
    "named": network.bind,
    "unbound": network.unbound,
}


def read_others(tree: Tree) -> list[ServerReading]:
    """Return one reading a program that has listeners; what is malformed is passed over."""
    readings: dict[str, ServerReading] = {}
    for reader in _READERS.values():
        for listener in reader(tree):
            reading = readings.setdefault(listener.server, ServerReading(listener.server))
            reading.endpoints += endpoints(listener)
            path = listener.location.file.path
            if path not in reading.files:
                reading.files.append(path)
    return list(readings.values())
