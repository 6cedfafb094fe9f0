"""lighttpd: server.port, and the sockets of its conditions."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from sslint.regex import regex
from sslint.servers.listening import Listener, collect, files, lines, not_known, number
from sslint.servers.model import Knows, ServerReading
from sslint.source import Location, SourceFile
from sslint.tree import Tree
from sslint.values import dataclass, field

NAME = "lighttpd"
MAIN = "/etc/lighttpd/lighttpd.conf"
ENABLED = "/etc/lighttpd/conf-enabled"
ANY = "0.0.0.0"  # noqa: S104
MAX_DEPTH = 10
_IPV6 = "use-ipv6.pl"  # Debian's: a socket for IPv6 beside that of server.port
_INCLUDE = regex(r"(include|include_shell)\s+(.{1,400})")
_SOCKET = regex(r'(?:else\s+)?\$SERVER\["socket"\]\s*==\s*"([^"]{1,255})"')
_VALUE = regex(r'server\.(port|bind)\s*:?=\s*"?([^"#]{1,255})')
_TLS = regex(r'ssl\.engine\s*:?=\s*"enable"')


@dataclass(slots=True)
class _Socket:
    spec: str
    location: Location
    secure: bool = False


@dataclass(slots=True)
class _Server:
    """What is read so far. `missing`: included, and not read: it may enable TLS anywhere."""

    where: Location
    port: int | None = 0  # 0: by its TLS; None: not known
    bind: str = ANY
    secure: bool = False
    sockets: list[_Socket] = field(default_factory=list)
    missing: bool = False
    files: set[str] = field(default_factory=set)


def read(tree: Tree) -> ServerReading | None:
    """Read lighttpd; None if the tree has no socket of it."""
    knows = Knows(tls=False, certificates=False, sites=False)
    return collect(tree, NAME, _listeners(tree), mains=(MAIN,), knows=knows)


def _listeners(tree: Tree) -> Iterator[Listener]:
    main = tree.try_read(MAIN, decisive=False)
    if main is None:
        return
    server = _Server(main.at(1))
    _read(tree, main, server, 0)
    for file in files(tree, f"{ENABLED}/*.conf"):  # by what a command prints
        _read(tree, file, server, MAX_DEPTH)
    if server.missing:
        yield not_known(NAME, server.where, "what it includes")
    port = (443 if server.secure else 80) if server.port == 0 else server.port
    yield _listener(server, server.bind, port or 0, server.where, secure=server.secure)
    for socket in server.sockets:
        host, _, text = socket.spec.rpartition(":")
        each = (port if text == "port" else number(text)) or 0
        yield _listener(server, host or ANY, each, socket.location, secure=socket.secure)


def _read(tree: Tree, file: SourceFile, server: _Server, depth: int) -> None:
    if file.path in server.files:
        return
    server.files.add(file.path)
    level = 0
    for index, text in lines(file):
        socket, value, include = _SOCKET.match(text), _VALUE.match(text), _INCLUDE.match(text)
        if socket:
            server.sockets.append(_Socket(socket[1], file.at(index)))
        elif value and level == 0 and value[1] == "port":
            server.port, server.where = number(value[2].strip()), file.at(index)
        elif value and level == 0:
            server.bind = value[2].strip()
        elif include:
            _include(tree, file.at(index), include, server, depth)
        if _TLS.search(text):
            if level == 0 and not socket:
                server.secure = True
            elif server.sockets:
                server.sockets[-1].secure = True
        level += text.count("{") - text.count("}")


def _include(
    tree: Tree, where: Location, include: re.Match[str], server: _Server, depth: int
) -> None:
    """Read what is included; what a command prints is known of Debian's commands alone."""
    kind, text = include.groups()
    if kind == "include_shell":
        if _IPV6 in text:
            server.sockets.append(_Socket("[::]:port", where, server.secure))
        elif "include-conf-enabled" not in text and "create-mime" not in text:
            server.missing = True
        return
    name = re.fullmatch(r'"([^"]*)"\s*(?:#.*)?', text)
    if name is None:  # put together of variables
        server.missing = True
        return
    path = posixpath.normpath(posixpath.join("/", posixpath.dirname(where.path), name[1]))
    if path.startswith(f"{ENABLED}/"):
        return  # which is read in any case
    found = list(files(tree, path, location=where)) if depth < MAX_DEPTH else []
    server.missing = server.missing or (not found and "*" not in path)
    for file in found:
        _read(tree, file, server, depth + 1)


def _listener(
    server: _Server, host: str, port: int, location: Location, *, secure: bool
) -> Listener:
    return Listener(
        NAME,
        "https" if secure else "http",
        port,
        location,
        host=host,
        tls="implicit" if secure else "unknown" if server.missing else "none",
    )
