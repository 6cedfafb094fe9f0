"""HAProxy, Apache, Caddy and lighttpd: the addresses they bind."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from sslint.servers.model import Tls
from sslint.servers.others.common import Listener, files, lines, number, ports, words
from sslint.source import Location, SourceFile
from sslint.tree import Tree
from sslint.values import dataclass, field

MAX_DEPTH = 10
MAX_FILES = 2_000


# -- HAProxy (configuration.txt, 4.2 "bind") -----------------------------------------------------

_SECTIONS = re.compile(
    r"(global|defaults|frontend|backend|listen|peers|program|resolvers|mailers|ring|cache|userlist"
    r"|http-errors|log-forward|fcgi-app|crt-store|traces|acme)\Z"
)


def haproxy(tree: Tree) -> Iterator[Listener]:
    """Yield what HAProxy binds."""
    section, mode, default_mode = "", "tcp", "tcp"
    for file in files(
        tree,
        "/etc/haproxy/haproxy.cfg",
        "/etc/haproxy/conf.d/*.cfg",
        "/usr/local/etc/haproxy/haproxy.cfg",
        "/usr/local/etc/haproxy.conf",
    ):
        pending: list[tuple[Location, list[str], str]] = []
        for index, text in lines(file):
            parts = words(text)
            if not parts:
                continue
            if _SECTIONS.match(parts[0]):
                yield from _haproxy_binds(pending, mode)
                pending = []
                section = parts[0]
                mode = "tcp" if section == "defaults" else default_mode
                name = parts[1] if len(parts) > 1 else ""
            elif parts[0] == "mode" and len(parts) > 1:
                mode = parts[1]
                if section == "defaults":
                    default_mode = mode
            elif parts[0] == "bind" and section in ("frontend", "listen", "peers", "log-forward"):
                pending.append((file.at(index), parts[1:], name))
        yield from _haproxy_binds(pending, mode)


def _haproxy_binds(binds: list[tuple[Location, list[str], str]], mode: str) -> Iterator[Listener]:
    for location, parts, name in binds:
        encrypted = "ssl" in parts[1:]
        for spec in parts[0].split(",") if parts else ():
            family, at, rest = spec.partition("@")
            if not at:
                family, rest = "", spec
            if rest.startswith("/") or family in ("unix", "abns", "fd", "sockpair"):
                continue
            quic = family.startswith(("quic", "udp"))
            host, _, port = rest.rpartition(":")
            tls: Tls = "implicit" if encrypted or quic else "none" if mode == "http" else "unknown"
            protocol = {"http": "https" if encrypted else "http"}.get(mode, "stream")
            for each in ports(port):
                listener = Listener(
                    server="haproxy",
                    protocol="h3" if quic else protocol,
                    port=each,
                    location=location,
                    host=_haproxy_host(host, family),
                    transport="udp" if quic else "tcp",
                    tls=tls,
                    service=name,
                    ipv6only="v4v6" not in parts[1:],
                )
                yield listener


def _haproxy_host(host: str, family: str) -> str:
    """Return the address; `*` and "" are IPv4 only in HAProxy, `::` is IPv6 only."""
    host = host.strip("[]")
    if host in ("", "*"):
        return "::" if family.endswith("6") else "0.0.0.0"  # noqa: S104
    return host


# -- Apache (mod_core, mpm_common: Listen) -------------------------------------------------------


@dataclass(slots=True)
class _Apache:
    tree: Tree
    root: str
    loaded: set[str] = field(default_factory=set)
    listens: list[tuple[str, str, Location, bool]] = field(default_factory=list)
    encrypted: set[int] = field(default_factory=set)  # ports of SSLEngine on
    files_read: int = 0


def apache(tree: Tree) -> Iterator[Listener]:
    """Yield what Apache listens on; a port is TLS if a virtual host on it has SSLEngine on."""
    for path in (
        "/etc/apache2/apache2.conf",
        "/etc/apache2/httpd.conf",
        "/etc/httpd/conf/httpd.conf",
        "/usr/local/apache2/conf/httpd.conf",
        "/usr/local/etc/apache24/httpd.conf",
    ):
        file = tree.try_read(path, decisive=False)
        if file is None:
            continue
        root = posixpath.dirname(path)
        server = _Apache(tree, posixpath.dirname(root) if root.endswith("/conf") else root)
        _apache_file(server, file, 0)
        for spec, protocol, location, certain in server.listens:
            host, _, port = spec.rpartition(":")
            each = number(port)
            if each is None:
                continue
            encrypted = protocol == "https" or each in server.encrypted
            yield Listener(
                server="apache",
                protocol="https" if encrypted else "http",
                port=each,
                location=location,
                host=host or "::",  # one socket for both families on Linux
                tls="implicit" if encrypted else "none",
                certain=certain,
                reasons=() if certain else ("it stands in an IfDefine",),
                ipv6only=False,
            )


def _apache_file(server: _Apache, file: SourceFile, depth: int) -> None:
    server.files_read += 1
    if depth > MAX_DEPTH or server.files_read > MAX_FILES:
        return
    skipped = 0  # depth of sections inside one whose condition is false
    certain = [True]
    hosts: list[list[str]] = []
    for index, text in lines(file):
        section = re.match(r"<(/?)(\w+)\s*([^>]*)>?", text)
        if section:
            closing, name, argument = section.groups()
            name = name.lower()
            if skipped:
                skipped += -1 if closing else 1
            elif closing:
                if name == "virtualhost" and hosts:
                    hosts.pop()
                if len(certain) > 1:
                    certain.pop()
            elif name == "ifmodule" and not _apache_module(server, argument):
                skipped = 1
            else:
                certain.append(certain[-1] and name != "ifdefine")
                if name == "virtualhost":
                    hosts.append(words(argument))
            continue
        if skipped:
            continue
        parts = words(text)
        directive = parts[0].lower() if parts else ""
        if directive == "loadmodule" and len(parts) > 1:
            server.loaded.add(parts[1])
        elif directive == "serverroot" and len(parts) > 1 and parts[1].startswith("/"):
            server.root = parts[1]
        elif directive in ("include", "includeoptional") and len(parts) > 1:
            _apache_include(server, parts[1], depth)
        elif directive == "listen" and len(parts) > 1:
            protocol = parts[2].lower() if len(parts) > 2 else ""
            server.listens.append((parts[1], protocol, file.at(index), certain[-1]))
        elif directive == "sslengine" and len(parts) > 1 and parts[1].lower() == "on":
            for spec in hosts[-1] if hosts else ():
                port = number(spec.rpartition(":")[2])
                if port is not None:
                    server.encrypted.add(port)


def _apache_include(server: _Apache, pattern: str, depth: int) -> None:
    path = posixpath.normpath(posixpath.join(server.root, pattern))
    directory = server.tree.names(path)
    targets = [posixpath.join(path, n) for n in directory] if directory else [path]
    for target in targets:
        for file in files(server.tree, target):
            _apache_file(server, file, depth + 1)


def _apache_module(server: _Apache, argument: str) -> bool:
    """Decide IfModule by the LoadModule lines so far; core's own modules count as loaded."""
    wanted = argument.strip().strip("\"'")
    negated = wanted.startswith("!")
    wanted = wanted.lstrip("!").strip()
    if wanted.startswith("mod_"):
        wanted = wanted.removeprefix("mod_").removesuffix(".c") + "_module"
    present = wanted in server.loaded or wanted in ("core.c", "so_module", "http_module")
    return present is not negated


# -- Caddy (Caddyfile) ---------------------------------------------------------------------------


def caddy(tree: Tree) -> Iterator[Listener]:
    """Yield the ports of a Caddyfile's sites: 443 (TCP and UDP) and 80 unless an address says."""
    file = tree.try_read("/etc/caddy/Caddyfile", decisive=False)
    if file is None:
        return
    blocks = list(_caddy_blocks(tree, file, 0))
    options = next((body for header, body, _ in blocks if not header), [])
    plain = _caddy_port(options, "http_port", 80)
    secure = _caddy_port(options, "https_port", 443)
    automatic = not any(words(o)[:1] == ["auto_https"] and "off" in words(o) for o in options)
    seen: set[tuple[str, int, str]] = set()
    for header, body, location in blocks:
        if header.startswith("(") or not header:
            continue
        hosts = next((words(line)[1:] for line in body if words(line)[:1] == ["bind"]), [""])
        for address in re.split(r"[,\s]+", header):
            for listener in _caddy_site(address, plain, secure, automatic, location):
                for host in hosts or [""]:
                    key = (host, listener.port, listener.transport)
                    if key not in seen:
                        seen.add(key)
                        yield Listener(
                            **{
                                **{n: getattr(listener, n) for n in Listener.__slots__},
                                "host": host or "::",
                            }
                        )


def _caddy_blocks(
    tree: Tree, file: SourceFile, depth: int
) -> Iterator[tuple[str, list[str], Location]]:
    """Yield (header, lines of the body, place) of the top-level blocks."""
    header, level = "", 0
    body: list[str] = []
    where = file.at(1)
    for index, text in lines(file):
        parts = words(text)
        if not parts:
            continue
        if level == 0:
            if parts[0] == "import" and len(parts) > 1 and depth < MAX_DEPTH:
                base = posixpath.join(posixpath.dirname(file.path), parts[1])
                for other in files(tree, base):
                    yield from _caddy_blocks(tree, other, depth + 1)
                continue
            where = where if header else file.at(index)
            opens = text.endswith("{")
            header = f"{header} {text.rstrip('{').strip()}".strip()
            if opens:
                level, body = 1, []
            elif not header.endswith(","):
                # Without braces the first line is the address and the rest its only site.
                rest = [file.line(n).strip() for n in range(index + 1, len(file.starts) + 1)]
                yield header, rest, where
                return
            continue
        level += (parts[-1] == "{") - (parts[0] == "}")
        if level == 0:
            yield header, body, where
            header = ""
        else:
            body.append(text)


def _caddy_port(options: list[str], name: str, default: int) -> int:
    for line in options:
        parts = words(line)
        if parts[:1] == [name] and len(parts) > 1:
            return number(parts[1]) or default
    return default


def _caddy_site(
    address: str, plain: int, secure: int, automatic: bool, location: Location
) -> Iterator[Listener]:
    match = re.match(r"(?:(https?)://)?(\[[^\]]*\]|[^:/\s]*)(?::(\d{1,5}))?(?:/\S*)?$", address)
    if not address or not match:
        return
    scheme, host, port_text = match.groups()
    port = int(port_text) if port_text else plain if scheme == "http" else secure
    encrypted = scheme == "https" or (
        scheme is None and port != plain and (bool(host) or port == secure)
    )
    if encrypted and (automatic or scheme == "https" or port == secure):
        yield Listener("caddy", "https", port, location, tls="implicit", ipv6only=False)
        yield Listener(
            "caddy", "h3", port, location, transport="udp", tls="implicit", ipv6only=False
        )
        if automatic and port == secure:
            yield Listener("caddy", "http", plain, location, tls="none", ipv6only=False)
    else:
        yield Listener("caddy", "http", port, location, tls="none", ipv6only=False)


# -- lighttpd ------------------------------------------------------------------------------------


def lighttpd(tree: Tree) -> Iterator[Listener]:
    """Yield server.port and the sockets of lighttpd's configuration."""
    main = tree.try_read("/etc/lighttpd/lighttpd.conf", decisive=False)
    if main is None:
        return
    port, bind, where, encrypted = 80, "0.0.0.0", main.at(1), False  # noqa: S104
    sockets: list[tuple[str, Location, bool]] = []
    for file in (main, *files(tree, "/etc/lighttpd/conf-enabled/*.conf")):
        level = 0
        for index, text in lines(file):
            socket = re.match(r'\$SERVER\["socket"\]\s*==\s*"([^"]{1,255})"', text)
            value = re.match(r'server\.(port|bind)\s*:?=\s*"?([^"\s]{1,255})', text)
            if socket:
                sockets.append((socket.group(1), file.at(index), False))
            elif value and level == 0 and value.group(1) == "port":
                port, where = number(value.group(2)) or port, file.at(index)
            elif value and level == 0:
                bind = value.group(2)
            if re.search(r'ssl\.engine\s*=\s*"enable"', text):
                if level == 0 and not socket:
                    encrypted = True
                elif sockets:
                    sockets[-1] = (*sockets[-1][:2], True)
            level += text.count("{") - text.count("}")
    yield _lighttpd(bind, port, where, encrypted)
    for spec, location, secured in sockets:
        host, _, port_text = spec.rpartition(":")
        each = number(port_text)
        if each is not None:
            yield _lighttpd(host or "0.0.0.0", each, location, secured)  # noqa: S104


def _lighttpd(host: str, port: int, location: Location, encrypted: bool) -> Listener:
    return Listener(
        server="lighttpd",
        protocol="https" if encrypted else "http",
        port=port,
        location=location,
        host=host,
        tls="implicit" if encrypted else "none",
    )
