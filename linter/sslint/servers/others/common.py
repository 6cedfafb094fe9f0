"""What the small readers share: a listening socket, words, addresses."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from sslint.servers.model import Endpoint, Tls, Transport
from sslint.servers.postfix.sockets import address as ip_address
from sslint.source import Location, SourceFile
from sslint.tree import Status, Tree
from sslint.values import dataclass

WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - what the programs bind
MAX_PORTS = 2_000  # ports of one range

_LOOPBACK = {"localhost": ("127.0.0.1", "::1"), "ip6-localhost": ("::1",)}


@dataclass(frozen=True, slots=True)
class Listener:
    """A listening socket before it is known which addresses it is."""

    server: str
    protocol: str
    port: int
    location: Location
    host: str = ""  # "", "*": all addresses
    transport: Transport = "tcp"
    tls: Tls = "unknown"
    service: str = ""
    certain: bool = True
    reasons: tuple[str, ...] = ()
    ipv6only: bool = True


def not_known(server: str, location: Location, what: str) -> Listener:
    """Stand for listeners that the files do not show: the reading is not complete."""
    reason = f"{location.path}:{location.line}: {what[:80]} is not known"
    return Listener(server, "", 0, location, certain=False, reasons=(reason,))


def endpoints(listener: Listener) -> Iterator[Endpoint]:
    """Yield the sockets of a listener; none if its port or address cannot be one."""
    if not 0 < listener.port < 65536:
        return
    reasons = listener.reasons
    certain = listener.certain
    host = listener.host.strip("[]")
    if host in ("", "*"):
        addresses: tuple[str, ...] = WILDCARDS
    elif host.lower() in _LOOPBACK:
        addresses = _LOOPBACK[host.lower()]
    else:
        literal = ip_address(host)
        addresses = (literal,) if literal is not None else WILDCARDS
        if literal is None:
            certain, reasons = False, (*reasons, f"the address of {host[:80]} is not known")
    for address in addresses:
        yield Endpoint(
            server=listener.server,
            protocol=listener.protocol,
            transport=listener.transport,
            address=address,
            port=listener.port,
            tls=listener.tls,
            location=listener.location,
            ipv6only=listener.ipv6only,
            service=listener.service,
            certain=certain,
            reasons=reasons,
        )


def leads_away(tree: Tree, path: str) -> bool:
    """Tell whether a file, or the directory that holds it, is a link to what was not given."""
    links = (path, posixpath.dirname(path))
    return any(
        tree.status(link) is Status.ABSENT and tree.link_target(link) is not None for link in links
    )


def split_address(text: str) -> tuple[str, str]:
    """Split `port`, `host:port`, `[v6]:port`, `::port` at the last colon."""
    host, _, port = text.rpartition(":")
    return host, port


def number(text: str) -> int | None:
    """Return a port number, by number or by name, or None."""
    if text.isascii() and text.isdigit():
        return int(text) if len(text) < 6 and int(text) < 65536 else None
    from sslint.firewalls.services import port_number

    return port_number(text.lower()) if text else None


def ports(text: str) -> Iterator[int]:
    """Yield the ports of `80`, `8000-8010`; nothing for what is neither."""
    first, _, last = text.partition("-")
    low = number(first)
    high = number(last) if last else low
    if low is not None and high is not None:
        yield from range(low, min(high, low + MAX_PORTS) + 1)


def lines(file: SourceFile, comment: str = "#") -> Iterator[tuple[int, str]]:
    """Yield (number, text) of the lines that are neither blank nor comments, stripped."""
    for index in range(1, len(file.starts) + 1):
        text = file.line(index).strip()
        if text and text[0] not in comment:
            yield index, text


def words(text: str) -> list[str]:
    """Split at blanks; quotes keep blanks together and go away; an unquoted `#` ends it."""
    found: list[str] = []
    for match in re.finditer(r"""\s*((?:"[^"]*"|'[^']*'|[^\s"'#]|["'])+|#.*)""", text):
        word = match.group(1)
        if word.startswith("#"):
            break
        found.append(re.sub(r"""["']""", "", word))
    return found


def files(tree: Tree, *patterns: str) -> Iterator[SourceFile]:
    """Yield the readable files of glob patterns; what cannot be read is reported."""
    for pattern in patterns:
        for path in tree.glob(pattern) if any(c in pattern for c in "*?[") else [pattern]:
            file = tree.try_read(path, decisive=False)
            if file is not None:
                yield file
