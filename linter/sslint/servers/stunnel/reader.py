"""stunnel: the `accept` sockets of its services (stunnel(8))."""

from __future__ import annotations

from collections.abc import Iterator

from sslint.inifile import sections
from sslint.servers.listening import Listener, collect, files, number, split_address, words
from sslint.servers.model import Knows, ServerReading, Tls
from sslint.source import Location, SourceFile
from sslint.tree import Tree
from sslint.values import dataclass, field

NAME = "stunnel"
MAIN = "/etc/stunnel/stunnel.conf"
# Negotiated before TLS in a server; what else `protocol` names goes inside it.
_STARTTLS = frozenset({"cifs", "imap", "ldap", "nntp", "pgsql", "pop3", "smtp"})


@dataclass(slots=True)
class _Service:
    """A service, or the options above the first one, which are defaults of all."""

    name: str
    accepts: list[tuple[str, Location]] = field(default_factory=list)
    client: bool = False
    protocol: str = ""


def read(tree: Tree) -> ServerReading | None:
    """Read stunnel; None if the tree has no socket of it."""
    knows = Knows(certificates=False, sites=False)
    return collect(tree, NAME, _listeners(tree), mains=(MAIN,), knows=knows)


def _listeners(tree: Tree) -> Iterator[Listener]:
    """Yield the `accept` sockets: plain in client mode, else TLS."""
    for file in files(tree, "/etc/stunnel/*.conf", "/etc/stunnel/conf.d/*.conf"):
        for service in _services(file):
            for spec, location in service.accepts:
                yield _listener(service, spec, location)


def _services(file: SourceFile) -> Iterator[_Service]:
    defaults = _Service("")
    for section in sections(file.text):
        service = _Service(section.title, client=defaults.client) if section.title else defaults
        for entry in section.entries:
            if entry.key == "client":
                service.client = entry.value.lower() == "yes"
            elif entry.key == "protocol":
                service.protocol = entry.value.lower()
            elif entry.key == "accept":
                spec = next(iter(words(entry.value)), "")
                service.accepts.append((spec, file.at(entry.line)))
        yield service


def _listener(service: _Service, spec: str, location: Location) -> Listener:
    host, port = split_address(spec)
    early = service.protocol in _STARTTLS
    tls: Tls = "none" if service.client else "starttls" if early else "implicit"
    return Listener(
        NAME,
        service.protocol if early else "stream",
        number(port) or 0,
        location,
        host="0.0.0.0" if host in ("", "*") else host,  # noqa: S104
        tls=tls,
        service=service.name,
        ipv6only=host != "::",  # `:::443` takes both families, nothing else does
    )
