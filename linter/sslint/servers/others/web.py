"""HAProxy, Caddy and lighttpd: the addresses they bind."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from sslint.network.packages import Packages
from sslint.servers.model import Tls
from sslint.servers.others.common import Listener, files, lines, not_known, number, ports, words
from sslint.source import Location, SourceFile
from sslint.tree import Tree
from sslint.values import dataclass, field, replace

MAX_DEPTH = 10


# -- HAProxy (configuration.txt, 4.2 "bind") -----------------------------------------------------

_SECTIONS = re.compile(
    r"(global|defaults|frontend|backend|listen|peers|program|resolvers|mailers|ring|cache|userlist"
    r"|http-errors|log-forward|fcgi-app|crt-store|traces|acme)\Z"
)


_BINDING = ("frontend", "listen", "backend", "peers", "log-forward")
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?:-([^}]*))?\}|(\w+))")
_IN_CONDITION = "an .if decides whether it is opened"


@dataclass(slots=True)
class _Proxy:
    """A section of HAProxy's configuration that may bind."""

    name: str = ""
    mode: str = "tcp"
    binds: list[tuple[Location, list[str], tuple[str, ...]]] = field(default_factory=list)
    disabled: bool = False


def haproxy(tree: Tree) -> Iterator[Listener]:
    """Yield what HAProxy binds."""
    environment: dict[str, str] = {}
    default_mode = "tcp"
    for file, doubt in _haproxy_files(tree):
        section, proxy, conditions = "", _Proxy(), 0
        for index, text in lines(file):
            parts = words(text)
            if not parts:
                continue
            keyword, rest = parts[0], parts[1:]
            if keyword in (".if", ".endif"):
                conditions += 1 if keyword == ".if" else -1
            elif _SECTIONS.match(keyword):
                yield from _haproxy_binds(proxy, environment)
                section = keyword
                mode = "tcp" if section == "defaults" else default_mode
                proxy = _Proxy(rest[0] if rest else "", mode)
            elif keyword in ("setenv", "presetenv") and len(rest) > 1:
                environment[rest[0]] = rest[1]
            elif keyword == "mode" and rest:
                proxy.mode = rest[0]
                if section == "defaults":
                    default_mode = rest[0]
            elif keyword in ("disabled", "enabled"):
                proxy.disabled = keyword == "disabled"
            elif keyword == "bind" and rest and section in _BINDING:
                doubts = (*doubt, *((_IN_CONDITION,) if conditions > 0 else ()))
                proxy.binds.append((file.at(index), rest, doubts))
        yield from _haproxy_binds(proxy, environment)


def _haproxy_files(tree: Tree) -> Iterator[tuple[SourceFile, tuple[str, ...]]]:
    """Yield files and why they may not be read: Debian's unit passes no conf.d, Fedora's does."""
    for file in files(
        tree,
        "/etc/haproxy/haproxy.cfg",
        "/usr/local/etc/haproxy/haproxy.cfg",
        "/usr/local/etc/haproxy.conf",
    ):
        yield file, ()
    distribution = Packages(tree).distribution[0]
    arguments = next(iter(files(tree, "/etc/default/haproxy")), None)
    given = arguments is not None and "/etc/haproxy/conf.d" in arguments.text
    if distribution in ("debian", "ubuntu") and not given:
        return
    doubt = (
        () if given or distribution in ("rhel", "fedora") else ("whether it is read is unknown",)
    )
    for file in files(tree, "/etc/haproxy/conf.d/*.cfg"):
        yield file, doubt


def _haproxy_binds(proxy: _Proxy, environment: dict[str, str]) -> Iterator[Listener]:
    for location, parts, doubts in () if proxy.disabled else proxy.binds:
        expanded = _VARIABLE.sub(
            lambda match: environment.get(match[1] or match[3], match[2] or match[0]), parts[0]
        )
        if "$" in expanded:
            yield not_known("haproxy", location, f"bind {parts[0]}")
            continue
        encrypted = "ssl" in parts[1:]
        for spec in expanded.split(","):
            family, at, rest = spec.partition("@")
            if not at:
                family, rest = "", spec
            if rest.startswith("/") or family in ("unix", "abns", "fd", "sockpair"):
                continue
            quic = family.startswith(("quic", "udp"))
            host, _, port = rest.rpartition(":")
            plain = proxy.mode == "http"
            tls: Tls = "implicit" if encrypted or quic else "none" if plain else "unknown"
            protocol = {"http": "https" if encrypted else "http"}.get(proxy.mode, "stream")
            for each in ports(port):
                yield Listener(
                    server="haproxy",
                    protocol="h3" if quic else protocol,
                    port=each,
                    location=location,
                    host=_haproxy_host(host, family),
                    transport="udp" if quic else "tcp",
                    tls=tls,
                    service=proxy.name,
                    certain=not doubts,
                    reasons=doubts,
                    ipv6only="v6only" in parts[1:],
                )


def _haproxy_host(host: str, family: str) -> str:
    """Return the address: `*` and "" are IPv4, and `::` takes both families unless v6only."""
    host = host.strip("[]")
    if host in ("", "*"):
        return "::" if family.endswith("6") else "0.0.0.0"  # noqa: S104
    return host


# -- Caddy (Caddyfile) ---------------------------------------------------------------------------


_CADDY_ANY = ("", "0.0.0.0", "::", "[::]")  # noqa: S104 - each takes both families


@dataclass(frozen=True, slots=True)
class _Caddy:
    """What the global options say of every site."""

    plain: int
    secure: int
    redirects: bool


def caddy(tree: Tree) -> Iterator[Listener]:
    """Yield the ports of a Caddyfile's sites: TLS (TCP and UDP), and 80 for its redirects."""
    file = tree.try_read("/etc/caddy/Caddyfile", decisive=False)
    if file is None:
        return
    blocks = list(_caddy_blocks(tree, file, 0))
    options = next((body for header, body, _ in blocks if not header), [])
    automatic = [
        word for line in options if words(line)[:1] == ["auto_https"] for word in words(line)
    ]
    settings = _Caddy(
        _caddy_port(options, "http_port", 80),
        _caddy_port(options, "https_port", 443),
        redirects="off" not in automatic and "disable_redirects" not in automatic,
    )
    seen: set[tuple[str, int, str]] = set()
    for header, body, location in blocks:
        if header.startswith("(") or not header:
            continue
        hosts = next((words(line)[1:] for line in body if words(line)[:1] == ["bind"]), [""])
        own = any(words(line)[:1] == ["tls"] for line in body)
        for address in re.split(r"[,\s]+", header):
            if "{" in address:
                yield not_known("caddy", location, address)
            for listener in _caddy_site(address, settings, own, location):
                for host in hosts or [""]:
                    key = (host, listener.port, listener.transport)
                    if key not in seen:
                        seen.add(key)
                        yield replace(listener, host="::" if host in _CADDY_ANY else host)


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
    address: str, settings: _Caddy, own_tls: bool, location: Location
) -> Iterator[Listener]:
    match = re.match(r"(?:(https?)://)?(\[[^\]]*\]|[^:/\s]*)(?::(\d{1,5}))?(?:/\S*)?$", address)
    if not address or not match:
        return
    scheme, host, port_text = match.groups()
    default = settings.plain if scheme == "http" else settings.secure
    port = int(port_text) if port_text else default
    encrypted = scheme == "https" or (
        scheme is None
        and port != settings.plain
        and (bool(host) or port == settings.secure or own_tls)
    )
    if not encrypted:
        yield Listener("caddy", "http", port, location, tls="none", ipv6only=False)
        return
    yield Listener("caddy", "https", port, location, tls="implicit", ipv6only=False)
    yield Listener("caddy", "h3", port, location, transport="udp", tls="implicit", ipv6only=False)
    if settings.redirects:
        yield Listener("caddy", "http", settings.plain, location, tls="none", ipv6only=False)


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
            if text.startswith("include_shell") and "use-ipv6.pl" in text:
                sockets.append((f"[::]:{port}", file.at(index), encrypted))
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
