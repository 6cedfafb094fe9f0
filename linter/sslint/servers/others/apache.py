"""Apache httpd: what it listens on, and where that is TLS for certain."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from sslint.servers.listening import Listener, files, lines, not_known, number, words
from sslint.servers.model import Tls
from sslint.source import Location, SourceFile
from sslint.tree import Status, Tree
from sslint.values import dataclass, field

MAX_DEPTH = 10
MAX_FILES = 2_000
MAINS = (
    "/etc/apache2/apache2.conf",
    "/etc/apache2/httpd.conf",
    "/etc/httpd/conf/httpd.conf",
    "/usr/local/apache2/conf/httpd.conf",
    "/usr/local/etc/apache24/httpd.conf",
)
# Compiled into Debian's and Fedora's; the others are loaded.
_BUILT_IN = frozenset(
    f"{name}_module"
    for name in (
        *("core", "http", "http_core", "so"),
        *("watchdog", "log_config", "logio", "version", "unixd"),
    )
)
_TLS_MODULES = {"ssl_module", "gnutls_module", "nss_module", "tls_module"}
_WILDCARDS = ("", "*", "_default_")
_IN_IFDEFINE = "it is inside an IfDefine"
_LOST = "the modules that are loaded are not in these files"


@dataclass(slots=True)
class _Host:
    """A virtual host: its addresses and what it says of TLS. The main server has no addresses."""

    specs: list[str]
    engine: str = ""  # the argument of SSLEngine in lower case
    certificate: bool = False
    certain: bool = True


@dataclass(slots=True)
class _Listen:
    spec: str
    protocol: str
    location: Location
    doubts: tuple[str, ...]


@dataclass(slots=True)
class _Apache:
    tree: Tree
    root: str
    loaded: set[str] = field(default_factory=set)
    listens: list[_Listen] = field(default_factory=list)
    hosts: list[_Host] = field(default_factory=list)
    main: _Host = field(default_factory=lambda: _Host([]))
    defined: dict[str, str] = field(default_factory=dict)
    lost: bool = False  # a directory that is included was not given
    files_read: int = 0

    def expand(self, text: str) -> str:
        """Put in what Define says; an unknown variable stays as it is."""
        return re.sub(r"\$\{(\w+)\}", lambda match: self.defined.get(match[1], match[0]), text)


def apache(tree: Tree) -> Iterator[Listener]:
    """Yield what Apache listens on; TLS is unknown where the first virtual host decides it."""
    for path in MAINS:
        file = tree.try_read(path, decisive=False)
        if file is None:
            continue
        root = posixpath.dirname(path)
        server = _Apache(tree, posixpath.dirname(root) if root.endswith("/conf") else root)
        _read(server, file, 0)
        if not server.listens:
            yield not_known("apache", file.at(1), "what Apache listens on")
        for listen in server.listens:
            yield _listener(server, listen)


def _listener(server: _Apache, listen: _Listen) -> Listener:
    host, _, text = listen.spec.rpartition(":")
    port = number(text) if text.isdigit() else None
    if port is None or "${" in host:
        return not_known("apache", listen.location, f"Listen {listen.spec}")
    tls = _tls(server, host, port, listen.protocol)
    return Listener(
        server="apache",
        protocol="http" if tls == "none" else "https",
        port=port,
        location=listen.location,
        host="::" if host in ("", "*") else host,  # one socket for both families on Linux
        tls=tls,
        certain=not listen.doubts,
        reasons=listen.doubts,
        ipv6only=False,
    )


def _tls(server: _Apache, host: str, port: int, protocol: str) -> Tls:
    """Say whether a port speaks TLS: certainly if all its virtual hosts do, at any address."""
    if not server.loaded & _TLS_MODULES and not server.lost:
        return "none"
    own = [h for h in server.hosts if any(_covers(spec, port) for spec in h.specs)]
    wide = all(_address(spec) in _WILDCARDS for h in own for spec in h.specs if _covers(spec, port))
    if own and wide and all(h.engine == "on" and h.certain for h in own) and host in ("", "*"):
        return "implicit"
    signs = any(h.engine not in ("", "off") or h.certificate for h in (*own, server.main))
    return "unknown" if signs or port == 443 or protocol == "https" else "none"


def _address(spec: str) -> str:
    return spec.rpartition(":")[0] if re.search(r":(\d+|\*)$", spec) else spec


def _covers(spec: str, port: int) -> bool:
    """Tell whether a virtual host's address is for a port; one with a variable may be."""
    match = re.search(r":(\d+|\*|\$\{\w+\})$", spec)
    return match is None or not match[1].isdigit() or int(match[1][:6]) == port


def _read(server: _Apache, file: SourceFile, depth: int) -> None:
    server.files_read += 1
    if depth > MAX_DEPTH or server.files_read > MAX_FILES:
        return
    skipped = 0  # depth of sections inside one whose condition is false
    doubts: list[tuple[str, ...]] = [()]
    hosts: list[_Host] = []
    for index, text in lines(file):
        section = re.match(r"<(/?)(\w+)\s*([^>]*)>?", text)
        if section is None:
            if not skipped:
                host = hosts[-1] if hosts else server.main
                _directive(server, words(text), file.at(index), doubts[-1], host, depth)
            continue
        closing, name, argument = section.groups()
        name = name.lower()
        if skipped:
            skipped += -1 if closing else 1
        elif closing:
            if name == "virtualhost" and hosts:
                hosts.pop()
            if len(doubts) > 1:
                doubts.pop()
        elif name == "ifmodule" and not _has_module(server, argument) and not server.lost:
            skipped = 1
        else:
            doubts.append((*doubts[-1], *_doubt(server, name, argument)))
            if name == "virtualhost":
                specs = [server.expand(word) for word in words(argument)]
                hosts.append(_Host(specs, certain=not doubts[-1]))
                server.hosts.append(hosts[-1])


def _doubt(server: _Apache, name: str, argument: str) -> tuple[str, ...]:
    if name == "ifdefine":
        return (_IN_IFDEFINE,)
    return (_LOST,) if name == "ifmodule" and not _has_module(server, argument) else ()


def _directive(
    server: _Apache,
    parts: list[str],
    location: Location,
    doubts: tuple[str, ...],
    host: _Host,
    depth: int,
) -> None:
    directive = parts[0].lower() if parts else ""
    if len(parts) < 2:
        return
    if directive == "loadmodule":
        server.loaded.add(parts[1])
    elif directive == "define":
        server.defined[parts[1]] = parts[2] if len(parts) > 2 else ""
    elif directive == "serverroot" and parts[1].startswith("/"):
        server.root = parts[1]
    elif directive in ("include", "includeoptional"):
        _include(server, server.expand(parts[1]), depth)
    elif directive == "listen":
        protocol = parts[2].lower() if len(parts) > 2 else ""
        server.listens.append(_Listen(server.expand(parts[1]), protocol, location, doubts))
    elif directive == "sslengine":
        host.engine = parts[1].lower()
    elif directive == "sslcertificatefile":
        host.certificate = True


def _include(server: _Apache, pattern: str, depth: int) -> None:
    path = posixpath.normpath(posixpath.join(server.root, pattern))
    tree = server.tree
    if tree.status(path) is Status.DIRECTORY:
        targets = list(tree.walk(path))
    else:
        targets = tree.glob(path)
        directory = posixpath.dirname(path)
        given = tree.live or tree.status(directory) is Status.DIRECTORY
        server.lost = server.lost or (not targets and not given)
    for target in targets:
        for file in files(tree, target):
            _read(server, file, depth + 1)


def _has_module(server: _Apache, argument: str) -> bool:
    """Decide IfModule by the LoadModule lines so far: `x_module`, or its source file `mod_x.c`."""
    wanted = argument.strip().strip("\"'")
    negated = wanted.startswith("!")
    wanted = wanted.lstrip("!").strip()
    if wanted.endswith(".c"):
        wanted = wanted.removeprefix("mod_").removesuffix(".c") + "_module"
    return (wanted in server.loaded or wanted in _BUILT_IN) is not negated
