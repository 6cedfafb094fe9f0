"""Caddy: the sites of a Caddyfile (caddyserver.com/docs/caddyfile)."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from sslint.regex import regex
from sslint.servers.listening import Listener, collect, files, lines, not_known, number, words
from sslint.servers.model import Knows, ServerReading
from sslint.source import Location, SourceFile
from sslint.tree import Tree
from sslint.values import dataclass, replace

NAME = "caddy"
MAIN = "/etc/caddy/Caddyfile"
MAX_DEPTH = 10
MAX_LINES = 10_000  # of a site, its snippets put in
_ADDRESS = regex(r"(?:(https?)://)?(\[[^\]]*\]|[^:/\s]*)(?::([0-9]{1,5}))?(?:/\S*)?\Z")
_ANY = ("", "0.0.0.0", "::", "[::]")  # noqa: S104 - each takes both families
_OF_SOME = "the option servers names some listeners"


@dataclass(frozen=True, slots=True)
class _Options:
    """What the global options say of every site. `quic` None: it depends on the listener."""

    plain: int
    secure: int
    redirects: bool
    quic: bool | None
    tcp: bool
    hosts: tuple[str, ...]


def read(tree: Tree) -> ServerReading | None:
    """Read Caddy; None if the tree has no socket of it."""
    knows = Knows(tls=False, certificates=False, sites=False)
    return collect(tree, NAME, _listeners(tree), mains=(MAIN,), knows=knows)


def _listeners(tree: Tree) -> Iterator[Listener]:
    """Yield the ports of a Caddyfile's sites: TLS (TCP and UDP), and 80 for its redirects."""
    file = tree.try_read(MAIN, decisive=False)
    if file is None:
        return
    blocks = list(_blocks(tree, file, 0))
    options = _options(next((body for header, body, _ in blocks if not header), []))
    if any(_is_plain(header, options) for header, _, _ in blocks if not header.startswith("(")):
        options = replace(options, redirects=False)  # the sites on that port have them, too
    snippets = {header[1:-1]: body for header, body, _ in blocks if header.startswith("(")}
    seen: set[tuple[str, int, str]] = set()
    for header, own, location in blocks:
        if header.startswith(("(", "&(")) or not header:  # a snippet, a named route
            continue
        body = list(_with_snippets(own, snippets, 0))[:MAX_LINES]
        hosts = _words_of(body, "bind") or list(options.hosts)
        for address in re.split(r"[,\s]+", header):
            if "{" in address or not _ADDRESS.match(address):
                yield not_known(NAME, location, address)
            for listener in _site(address, options, body, location):
                for host in hosts or [""]:
                    key = (host, listener.port, listener.transport)
                    if key not in seen and not host.startswith("unix/"):
                        seen.add(key)
                        yield _bound(listener, host)


def _is_plain(header: str, options: _Options) -> bool:
    """Tell whether one of a block's sites has the port of plain HTTP."""
    ends = (f":{options.plain}", f":{options.plain}/")
    return any(
        address.endswith(ends) or (address.startswith("http://") and address.count(":") == 1)
        for address in re.split(r"[,\s]+", header)
    )


def _bound(listener: Listener, host: str) -> Listener:
    """Give a listener its address; `tcp4/` and `tcp6/` are for one family."""
    network, slash, address = host.partition("/")
    if not slash:
        return replace(listener, host="::" if host in _ANY else host)
    return replace(listener, host=address, ipv6only=network.endswith("6"))


def _options(body: list[str]) -> _Options:
    automatic = _words_of(body, "auto_https")
    protocols = _words_of(body, "protocols")
    some = any(words(line)[:1] == ["servers"] and words(line)[1:] != ["{"] for line in body)
    quic = not protocols or "h3" in protocols
    return _Options(
        plain=_port(body, "http_port", 80),
        secure=_port(body, "https_port", 443),
        redirects="off" not in automatic and "disable_redirects" not in automatic,
        quic=None if some and not quic else quic,
        tcp=not protocols or bool({"h1", "h2"}.intersection(protocols)),
        hosts=tuple(_words_of(body, "default_bind")),
    )


def _words_of(body: list[str], name: str) -> list[str]:
    """Return what follows a directive, where it stands."""
    return next((words(line)[1:] for line in body if words(line)[:1] == [name]), [])


def _with_snippets(body: list[str], snippets: dict[str, list[str]], depth: int) -> Iterator[str]:
    """Yield the lines of a body, those of its snippets in place of `import`."""
    count = 0
    for line in body:
        name = (words(line)[1:2] or [""])[0] if words(line)[:1] == ["import"] else ""
        if name in snippets and depth < MAX_DEPTH:
            inner = _with_snippets(snippets[name], snippets, depth + 1)
        else:
            inner = iter((line,))
        for each in inner:
            yield each
            count += 1
            if count > MAX_LINES:
                return


def _blocks(tree: Tree, file: SourceFile, depth: int) -> Iterator[tuple[str, list[str], Location]]:
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
                for other in files(tree, base, location=file.at(index)):
                    yield from _blocks(tree, other, depth + 1)
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


def _port(options: list[str], name: str, default: int) -> int:
    said = _words_of(options, name)
    return (number(said[0]) if said else None) or default


def _site(
    address: str, options: _Options, body: list[str], location: Location
) -> Iterator[Listener]:
    match = _ADDRESS.match(address)
    if not address or not match:
        return
    scheme, host, port_text = match.groups()
    default = options.plain if scheme == "http" else options.secure
    port = int(port_text) if port_text else default
    named = bool(host) or port == options.secure
    own_tls = any(words(line)[:1] == ["tls"] for line in body)
    if scheme == "https" or (scheme is None and port != options.plain and (named or own_tls)):
        yield from _secure(port, options, location)
        return
    # A file that the site imports may have a `tls`.
    imported = any(words(line)[:1] == ["import"] for line in body)
    known = scheme == "http" or port == options.plain or not imported
    yield Listener(NAME, "http", port, location, tls="none" if known else "unknown", ipv6only=False)


def _secure(port: int, options: _Options, location: Location) -> Iterator[Listener]:
    """Yield the listeners of a site with TLS: HTTP/3 beside it, and the redirect to it."""
    reasons = () if options.quic is not None else (_OF_SOME,)
    tcp = Listener(NAME, "https", port, location, tls="implicit", ipv6only=False)
    if options.tcp:
        yield tcp
    else:  # before 2.11 there is a listener that speaks no TLS
        yield replace(tcp, tls="unknown", certain=False, reasons=("only HTTP/3 is enabled",))
    if options.quic is not False:
        yield replace(tcp, protocol="h3", transport="udp", certain=not reasons, reasons=reasons)
    if options.redirects:
        yield replace(tcp, protocol="http", port=options.plain, tls="none")
