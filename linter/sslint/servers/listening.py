"""What readers share that know a program by its listening sockets: words, ports, addresses."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator

from sslint.budgets import spend
from sslint.network.hosts import LOCALHOST, scoped
from sslint.reasons import Code, Reason
from sslint.regex import is_number
from sslint.servers.model import BindConflict, Endpoint, Knows, ServerReading, Tls, Transport
from sslint.source import Location, SourceFile
from sslint.tree import Status, Tree
from sslint.values import dataclass

WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - what the programs bind
MAX_PORTS = 2_000  # ports of one range

_LOOPBACK = {"localhost": LOCALHOST, "ip6-localhost": ("::1",)}


@dataclass(frozen=True, slots=True)
class Listener:
    """A listening socket before it is known which addresses it is."""

    server: str
    protocol: str
    port: int  # no port (0, 70000): what it listens on is not known
    location: Location
    host: str = ""  # "", "*": all addresses
    transport: Transport = "tcp"
    tls: Tls = "unknown"
    service: str = ""
    certain: bool = True
    reasons: tuple[str, ...] = ()
    ipv6only: bool = True
    passthrough: bool = False
    proxy_protocol: bool = False


def not_known(server: str, location: Location, what: str) -> Listener:
    """Stand for listeners that the files do not show: the reading is not complete."""
    reason = f"{location.path}:{location.line}: {what[:80]} is not known"
    return Listener(server, "", 0, location, certain=False, reasons=(reason,))


def endpoints(listener: Listener) -> Iterator[Endpoint]:
    """Yield the sockets of a listener whose port is one."""
    reasons = listener.reasons
    certain = listener.certain
    host = listener.host.strip("[]")
    if host in ("", "*"):
        addresses: tuple[str, ...] = WILDCARDS
    elif host.lower() in _LOOPBACK:
        addresses = _LOOPBACK[host.lower()]
    else:
        literal = scoped(host)
        if literal is not None and literal.startswith("::ffff:") and "." in literal:
            literal = None  # of IPv4, at a socket of IPv6: which packets reach it is not modelled
        addresses = (literal,) if literal is not None else WILDCARDS
        if literal is None:
            unknown = not_known(listener.server, listener.location, f"the address of {host}")
            certain, reasons = False, (*reasons, *unknown.reasons)
    for address in addresses:
        yield Endpoint(
            server=listener.server,
            protocol=listener.protocol,
            transport=listener.transport,
            address=address,
            port=listener.port,
            tls=listener.tls,
            location=listener.location,
            ipv6only=listener.ipv6only or address != "::",
            service=listener.service,
            certain=certain,
            reasons=reasons,
            passthrough=listener.passthrough,
            proxy_protocol=listener.proxy_protocol,
        )


def collect(
    tree: Tree,
    server: str,
    listeners: Iterable[Listener],
    *,
    mains: Iterable[str] = (),
    knows: Knows,
) -> ServerReading | None:
    """Return the reading of a program by its listeners; None where it has none.

    Where a file could not be read, or one of `mains` is a link to what was not given, more
    listeners may exist than are known.
    """
    before = len(tree.problems)
    reading = ServerReading(server, knows=knows)
    for listener in listeners:
        add(tree, listener, reading)
    said = [problem.sentence for problem in tree.problems[before:]]
    said += [f"{tree.name(path)} cannot be read" for path in mains if leads_away(tree, path)]
    reading.gaps += [Reason(Code.UNREADABLE, None, text) for text in said]
    return reading if reading.endpoints or reading.gaps else None


def add(tree: Tree, listener: Listener, reading: ServerReading) -> None:
    """Add the sockets of a listener to a reading, or that they are not known."""
    found: list[Endpoint] = []
    if 0 < listener.port < 65536:
        found = list(endpoints(listener))
    else:
        unknown = not_known(listener.server, listener.location, listener.location.text.strip())
        said = listener.reasons or unknown.reasons
        reading.gaps += [Reason(Code.UNKNOWN, None, reason) for reason in said]
    tree.budgets.spend("sockets", len(found), listener.location)
    reading.endpoints += found
    path = listener.location.file.path
    if path not in reading.files:
        reading.files.append(path)


def conflicts(endpoints: Iterable[Endpoint]) -> Iterator[BindConflict]:
    """Yield the sockets that certainly cannot be opened, another one before them has the port."""
    taken: dict[tuple[Transport, int], list[Endpoint]] = {}
    for one in endpoints:
        if not one.certain:
            continue
        others = taken.setdefault((one.transport, one.port), [])
        spend("steps", len(others), one.location)
        rival = next((other for other in others if _overlap(one, other)), None)
        if rival is not None:
            places = (rival.location, one.location)
            yield BindConflict(one.transport, one.port, shown(rival), shown(one), *places)
        others.append(one)


def _overlap(one: Endpoint, other: Endpoint) -> bool:
    """Tell whether the kernel refuses two sockets beside each other."""
    if one.address == other.address:
        return True
    for wide, narrow in ((one, other), (other, one)):
        if wide.address == "::" and (":" in narrow.address or not wide.ipv6only):
            return True
        if wide.address == WILDCARDS[0] and ":" not in narrow.address:
            return True
    return False


def shown(endpoint: Endpoint) -> str:
    """Return an address and a port as they are shown."""
    host = f"[{endpoint.address}]" if ":" in endpoint.address else endpoint.address
    return f"{host}:{endpoint.port}"


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
    if is_number(text):
        return int(text) if len(text) < 6 and int(text) < 65536 else None
    from sslint.network.services import port_number

    return port_number(text.lower()) if text else None


def ports(text: str) -> Iterator[int]:
    """Yield the ports of `80`, `8000-8010`; nothing for what is neither, as with a port 0."""
    first, _, last = text.partition("-")
    low = number(first)
    high = number(last) if last else low
    if low and high:
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


def files(tree: Tree, *patterns: str, location: Location | None = None) -> Iterator[SourceFile]:
    """Yield the readable files of glob patterns; what cannot be read is reported.

    `location` is where they are included, if they are.
    """
    for pattern in patterns:
        for path in tree.glob(pattern) if any(c in pattern for c in "*?[") else [pattern]:
            tree.budgets.spend("includes", 1, location)
            file = tree.try_read(path, decisive=False)
            if file is not None:
                tree.budgets.spend("statements", len(file.starts), location)
                yield file
