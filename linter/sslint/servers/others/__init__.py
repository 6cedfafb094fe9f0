"""Who else owns a port: programs whose listeners matter, but whose TLS is not judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sslint.edges import Edge
from sslint.reasons import Code, Reason
from sslint.servers.model import ServerReading
from sslint.servers.others import apache, containers, host, mail, network, unread, web
from sslint.servers.others.common import Listener, endpoints, leads_away
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
# What the readers with a parser of their own read first.
_MAINS = (
    ("haproxy", "/etc/haproxy/haproxy.cfg"),
    ("apache", "/etc/apache2/apache2.conf"),
    ("apache", "/etc/httpd/conf/httpd.conf"),
    ("caddy", "/etc/caddy/Caddyfile"),
    ("lighttpd", "/etc/lighttpd/lighttpd.conf"),
    ("exim", "/etc/exim4/update-exim4.conf.conf"),
    ("stunnel", "/etc/stunnel/stunnel.conf"),
    ("cyrus", "/etc/cyrus.conf"),
)


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
        if (name in UNITS or name == "compose") and len(tree.problems) > before:
            program = "docker" if name == "compose" else name
            reading = readings.setdefault(program, ServerReading(program))
            for problem in tree.problems[before:]:
                reading.gaps.append(Reason(Code.UNREADABLE, None, problem.sentence))
    linked = ((name, path) for name, path in _MAINS if leads_away(tree, path))
    for name, path in (*unread.unreadable(tree), *linked):
        reading = readings.setdefault(name, ServerReading(name))
        said = f"{tree.name(path)} cannot be read"
        reading.gaps.append(Reason(Code.UNREADABLE, None, said))
    return list(readings.values())


def _add(tree: Tree, listener: Listener, readings: dict[str, ServerReading]) -> None:
    reading = readings.setdefault(listener.server, ServerReading(listener.server))
    if not listener.port:
        reading.gaps += [Reason(Code.UNKNOWN, None, reason) for reason in listener.reasons]
    found = list(endpoints(listener))
    tree.budgets.spend("sockets", len(found), listener.location)
    reading.endpoints += found
    path = listener.location.file.path
    if path not in reading.files:
        reading.files.append(path)
