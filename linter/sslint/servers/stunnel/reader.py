"""stunnel: the `accept` sockets of its services (stunnel(8))."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from sslint.inifile import sections
from sslint.network.hosts import Hosts, scoped
from sslint.reasons import Code, Reason
from sslint.servers.listening import (
    Listener,
    collect,
    conflicts,
    files,
    number,
    shown,
    split_address,
)
from sslint.servers.model import Knows, ServerReading, Tls
from sslint.servers.stunnel import service_of
from sslint.source import Location, SourceFile
from sslint.tree import Tree
from sslint.values import dataclass, field, replace

NAME = "stunnel"
MAIN = "/etc/stunnel/stunnel.conf"
PARTS = "/etc/stunnel/conf.d"
MAX_DEPTH = 5
# Negotiated before TLS in a server; what else `protocol` names goes inside it.
_STARTTLS = frozenset({"cifs", "imap", "ldap", "nntp", "pgsql", "pop3", "smtp"})
_MAY_NOT_BE_READ = "no other file includes it"


@dataclass(slots=True)
class _Service:
    """A service, or the options above the first one, which are defaults of all."""

    name: str
    accepts: list[tuple[str, Location]] = field(default_factory=list)
    client: bool = False
    protocol: str = ""
    ipv6only: bool | None = None  # as an option says: it cannot be set for a socket of IPv4


def read(tree: Tree) -> ServerReading | None:
    """Read stunnel; None if the tree has no socket of it."""
    knows = Knows(certificates=False, sites=False)
    refusals: list[Reason] = []
    reading = collect(tree, NAME, _listeners(tree, refusals), mains=(MAIN,), knows=knows)
    if reading is not None:
        found = list(conflicts(reading.endpoints))
        # It ends where a service has no socket at all; of several it goes without one.
        sockets = Counter(map(service_of, reading.endpoints))
        alone = {e.location for e in reading.endpoints if sockets[service_of(e)] == 1}
        reading.conflicts = [one for one in found if one.second_location in alone]
        reading.refusals += [*refusals, *(conflict.reason for conflict in reading.conflicts)]
        lost = {(one.second, one.second_location) for one in found} - {
            (one.second, one.second_location) for one in reading.conflicts
        }
        reading.endpoints = [e for e in reading.endpoints if (shown(e), e.location) not in lost]
    return reading


def _listeners(tree: Tree, refusals: list[Reason]) -> Iterator[Listener]:
    """Yield the `accept` sockets: plain in client mode, else TLS."""
    hosts = Hosts(tree)
    seen: set[str] = set()
    for file in files(tree, "/etc/stunnel/*.conf"):
        for service in _services(tree, file, seen):
            yield from _opened(service, hosts, refusals)
    for file in files(tree, f"{PARTS}/*.conf"):
        if file.path not in seen:
            for service in _services(tree, file, seen):
                for one in _opened(service, hosts, []):
                    yield replace(one, certain=False, reasons=(_MAY_NOT_BE_READ,))


def _services(tree: Tree, file: SourceFile, seen: set[str]) -> Iterator[_Service]:
    """Yield the services of a file and what it includes, which goes on where it stands."""
    services = [_Service("")]
    _read(tree, file, services, seen, 0)
    yield from services[1:]


def _read(
    tree: Tree, file: SourceFile, services: list[_Service], seen: set[str], depth: int
) -> None:
    seen.add(file.path)
    for section in sections(file.text):
        if section.title:
            services.append(replace(services[0], name=section.title, accepts=[]))
        for entry in section.entries:
            service, key, value = services[-1], entry.key.lower(), entry.value
            if key == "client":
                service.client = value.lower() == "yes"
            elif key == "protocol":
                service.protocol = value.lower()
            elif key == "accept":
                service.accepts.append((value, file.at(entry.line)))
            elif key == "socket":
                option, _, on = value.partition("=")
                if option.replace(" ", "").lower() == "a:ipv6_v6only":
                    service.ipv6only = on.strip().lower() in ("yes", "1")
            elif key == "include" and depth < MAX_DEPTH:
                where = file.at(entry.line)
                for other in files(tree, f"{value.rstrip('/')}/*", location=where):
                    _read(tree, other, services, seen, depth + 1)


def _opened(service: _Service, hosts: Hosts, refusals: list[Reason]) -> Iterator[Listener]:
    """Yield the sockets of a service, or refuse to start where it certainly has none."""
    found = [
        one for spec, place in service.accepts for one in _sockets(service, spec, place, hosts)
    ]
    yield from found
    spec, location = service.accepts[-1] if service.accepts else ("/", None)
    if not found and not spec.startswith("/"):
        said = f"{spec} is not opened: a socket of IPv4 has no option IPV6_V6ONLY"
        refusals.append(Reason(Code.REFUSED, location, said))


def _sockets(service: _Service, spec: str, location: Location, hosts: Hosts) -> Iterator[Listener]:
    """Yield the sockets of `accept`: all addresses are tried, in the order of getaddrinfo(3).

    Of `0.0.0.0` and then `::` the second one cannot be opened.
    """
    if spec.startswith("/"):
        return
    host, port = split_address(spec)
    early = service.protocol in _STARTTLS
    tls: Tls = "none" if service.client else "starttls" if early else "implicit"
    made = Listener(
        NAME,
        service.protocol if early else "stream",
        number(port) or 0,
        location,
        tls=tls,
        service=service.name,
        ipv6only=bool(service.ipv6only),
    )
    if host in ("", "*"):
        address = "0.0.0.0" if service.ipv6only is None else "::"  # noqa: S104
        yield replace(made, host=address)
        return
    literal = scoped(host)
    found = [literal] if literal else hosts.addresses(host) or [host]
    for address in found:
        if service.ipv6only is None or ":" in address or address == host != literal:
            yield replace(made, host=address)
