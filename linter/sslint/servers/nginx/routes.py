"""Where nginx sends clients and requests: redirects to other URLs, upstreams behind it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TypeVar

from sslint.regex import is_number, regex
from sslint.servers.model import Redirect, Upstream
from sslint.servers.nginx.blocks import Configuration, Server
from sslint.servers.nginx.directive import Directive, Part
from sslint.servers.nginx.listen import Kind
from sslint.servers.nginx.shapes import Alike

_URL = regex(r"(?:(https?)|(\$scheme)|(\$[A-Za-z0-9_{}]+))://([^/?#\s]*)")
_AUTHORITY = regex(r"(\[[0-9A-Fa-f:.]+\]|[^:]*)(?::(.*))?\Z", re.DOTALL)
# Variables that start a URL's path: `https://$host$request_uri`.
_PATH = regex(r"\$\{?(?:request_uri|uri|document_uri)\b|\$[0-9]")
_AUTHORITY_ENDS = regex(r"[/?#]")
_OWN_NAMES = {"$host", "$server_name", "$http_host", "${host}", "${server_name}", "${http_host}"}
_REDIRECT_CODES = ("301", "302", "303", "307", "308")
_DEFAULT_PORTS = {"http": 80, "https": 443, "grpc": 80, "grpcs": 443}
_GRPC = {"grpc": "http", "grpcs": "https"}
_REDIRECTS = frozenset(("return", "rewrite", "error_page"))
_ROUTES = _REDIRECTS | {"proxy_pass", "grpc_pass"}
_BLOCKS = frozenset(("location", "if", "limit_except"))
MAX_DEPTH = 64


Guarded = Sequence[tuple[Directive | Part, bool]]
Target = tuple[str | None, str | None, int | None]
Found = TypeVar("Found", Directive, Part)


def routes(server: Server) -> tuple[Guarded, Guarded]:
    """Return the statements of an http server block that send clients elsewhere, and requests.

    Each with whether an `if` guards it.
    """
    block = server.directive
    if isinstance(block, Alike):
        if block.shape.routes is None:
            parts: list[tuple[Part, bool]] = []
            _collect(block.shape.block, False, 0, parts)
            block.shape.routes = _sorted(parts)
        return block.shape.routes
    found: list[tuple[Directive, bool]] = []
    _collect(block.block or [], False, 0, found)
    return _sorted(found)


def _sorted(
    found: list[tuple[Found, bool]],
) -> tuple[list[tuple[Found, bool]], list[tuple[Found, bool]]]:
    """Return those that send clients elsewhere, and the others."""
    sending = [one for one in found if one[0].name in _REDIRECTS]
    return sending, [one for one in found if one[0].name not in _REDIRECTS]


def redirects(server: Server, statements: Guarded) -> list[Redirect]:
    """Return the redirects to an absolute URL among the statements that send clients elsewhere."""
    redirecting = []
    block = server.directive
    for said, conditional in statements:
        target = _target(said.name, block.words(said))
        found = _url(target) if target else None
        if found is not None:
            scheme, host, port, own = found
            redirecting.append(
                Redirect(server.number, scheme, host, port, block.place(said), conditional, own)
            )
    return redirecting


@lru_cache(maxsize=256)  # thousands of blocks say the same
def _url(target: str) -> tuple[str | None, str | None, int | None, bool] | None:
    """Return scheme, host and port of a URL, and whether it is the server's own name."""
    match = _URL.match(target)
    if match is None:
        return None
    scheme, _, _, authority = match.groups()
    host, port = _authority(_PATH.split(authority, maxsplit=1)[0])
    known = host if host and "$" not in host else None
    return scheme, known, _port(port, _DEFAULT_PORTS.get(scheme or "")), host in _OWN_NAMES


def _target(name: str, args: tuple[str, ...]) -> str | None:
    """Return the URL a statement redirects to, or None if it is not a redirect."""
    if name == "return" and args:
        if len(args) == 1:
            return args[0]
        return args[1] if args[0] in _REDIRECT_CODES else None
    if name == "rewrite" and len(args) >= 2:
        absolute = args[1].startswith(("http://", "https://", "$scheme"))
        return args[1] if absolute or "permanent" in args or "redirect" in args else None
    if name == "error_page" and len(args) >= 2:
        return args[-1]
    return None


def _collect(
    statements: list[Found], conditional: bool, depth: int, found: list[tuple[Found, bool]]
) -> None:
    for one in statements:
        if one.name in _ROUTES:
            found.append((one, conditional))
        elif depth < MAX_DEPTH and one.name in _BLOCKS and one.block is not None:
            _collect(one.block, conditional or one.name == "if", depth + 1, found)


@lru_cache(maxsize=256)
def _authority(text: str) -> tuple[str, str | None]:
    match = _AUTHORITY.match(text)
    return (match[1].strip("[]").lower(), match[2]) if match else (text, None)


def _port(text: str | None, default: int | None) -> int | None:
    if text is None:
        return default
    return int(text) if is_number(text) and len(text) < 6 else None


class Groups:
    """The `upstream` blocks of one kind by name."""

    def __init__(self, config: Configuration, kind: Kind) -> None:
        self._blocks = {
            d.args[0].lower(): d
            for d in config.outer.get(kind, {}).get("upstream", [])
            if d.args and d.block is not None
        }
        self._targets: dict[tuple[str, str], Sequence[Target]] = {}

    def peers(self, target: str, default: int | None) -> Sequence[tuple[str | None, int | None]]:
        """Return host and port of each server that a target stands for; None = not known."""
        group = self._blocks.get(target.lower())
        if group is None:
            return (_peer(target, default),) if target[:5] != "unix:" else ()
        default = default and 80  # ngx_http_upstream_server: 80 whatever the scheme
        peers = (d.args[0] for d in group.block or () if d.name == "server" and d.args)
        return [_peer(peer, default) for peer in peers if not peer.startswith("unix:")]

    def targets(self, name: str, url: str) -> Sequence[Target]:
        """Return scheme, host and port of where a statement passes requests to a URL."""
        found = self._targets.get((name, url))
        if found is None:  # thousands of blocks say the same
            scheme, authority, default = _passed(name, url)
            if authority is None:
                found = ((None, None, None),)
            elif authority[:5] == "unix:":
                found = ()
            else:
                found = [(scheme, *peer) for peer in self.peers(authority, default)]
            self._targets[name, url] = found
        return found


def connections(server: Server, config: Configuration, groups: Groups) -> Iterator[Upstream]:
    """Yield where a stream server passes connections, upstream blocks and variables resolved.

    `groups` are those of its kind.
    """
    scheme, header = "tls" if server.on("proxy_ssl") else "tcp", server.on("proxy_protocol")
    for directive in server.own("proxy_pass"):
        for target in _values(directive, config):
            for host, port in groups.peers(target, None):
                yield Upstream(server.number, scheme, host, port, directive.location, header)


def requests(server: Server, groups: Groups, statements: Guarded) -> list[Upstream]:
    """Return where an http server passes requests by some of its statements.

    `groups` are those of its kind.
    """
    passing = []
    block = server.directive
    for said, _ in statements:
        if args := block.words(said):
            for scheme, host, port in groups.targets(said.name, args[0]):
                passing.append(Upstream(server.number, scheme, host, port, block.place(said)))
    return passing


def _passed(name: str, url: str) -> tuple[str | None, str | None, int | None]:
    """Return scheme, authority and default port of what a request is passed to.

    Without an authority it is not known.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        if name != "grpc_pass" or "$" in scheme:
            return None, None, None
        scheme, rest = "grpc", url
    if rest.startswith("unix:"):
        return None, rest, None
    authority = _AUTHORITY_ENDS.split(rest, maxsplit=1)[0]
    shown = None if "$" in scheme else _GRPC.get(scheme.lower(), scheme.lower())
    return shown, authority, _DEFAULT_PORTS.get(scheme.lower())


@lru_cache(maxsize=256)
def _peer(text: str, default: int | None) -> tuple[str | None, int | None]:
    host, port = _authority(text)
    known = None if "$" in host or not host else host
    return known, _port(port, default) if known else None


def _values(directive: Directive, config: Configuration) -> list[str]:
    """Return what a stream `proxy_pass` may name: all values of the map behind a variable."""
    if not directive.args:
        return []
    target = directive.args[0]
    if target.startswith("$"):
        for table in config.outer.get("stream", {}).get("map", []):
            if len(table.args) == 2 and table.args[1] == target and table.block is not None:
                return list(
                    dict.fromkeys(d.args[0] for d in table.block if d.args and d.name != "include")
                )
    return [target]
