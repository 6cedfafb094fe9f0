"""The statements of an nginx configuration that rules ask for, with their places."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sslint.servers.model import Setting
from sslint.servers.nginx.blocks import Configuration, Server
from sslint.servers.nginx.directive import Directive, Part
from sslint.servers.nginx.semicolons import swallowed
from sslint.servers.nginx.shapes import Alike, Told

_WANTED = frozenset(
    (
        "ssl",
        "ssl_protocols",
        "ssl_ciphers",
        "ssl_stapling",
        "ssl_stapling_file",
        "ssl_stapling_verify",
        "ssl_trusted_certificate",
        "ssl_client_certificate",
        "ssl_verify_client",
        "ssl_reject_handshake",
        "ssl_preread",
        "proxy_ssl",
        "proxy_protocol",
        "set_real_ip_from",
        "real_ip_header",
        "http2",
        "http3",
        "http3_push",
        "starttls",
        "more_set_headers",
        "server_tokens",
    )
)
_PREFIXES = ("http2_push", "spdy_", "quic_", "http3_")
_LISTEN = ("http2", "http3", "spdy", "quic", "proxy_protocol")
_HEADERS = {"alt-svc": "Alt-Svc", "strict-transport-security": "Strict-Transport-Security"}
# The most frequent statements of a block that nobody asks for.
_SILENT = frozenset(
    (
        "root",
        "index",
        "return",
        "rewrite",
        "try_files",
        "ssl_certificate",
        "ssl_certificate_key",
        "access_log",
        "error_log",
        "include",
        "proxy_pass",
        "proxy_set_header",
        "proxy_redirect",
        "proxy_http_version",
        "fastcgi_pass",
        "fastcgi_param",
        "allow",
        "deny",
        "expires",
        "client_max_body_size",
    )
)
SWALLOWED = "server_name.swallowed"
MAX_DEPTH = 64


def settings(config: Configuration) -> list[Setting]:
    """Return every statement a rule may ask for; `scope` is the block it stands in."""
    found: list[Setting] = []
    sites = {id(server.directive): server for server in config.servers}
    for kind, context in config.contexts.items():
        for directive in context.block or ():
            if isinstance(directive, Alike) or (
                directive.name == "server" and directive.block is not None
            ):
                server = sites.pop(id(directive), None)
                if server is not None:  # of one that is included again
                    _of_block(server, found)
            else:
                _statement(directive, kind, None, 0, found)
    return found


def _of_block(server: Server, found: list[Setting]) -> None:
    """Find the statements of a server block."""
    block, site = server.directive, server.number
    if not isinstance(block, Alike) or server.swallows:
        _walk(block.block or [], "server", site, 0, found)
        return
    asked = block.shape.asked
    if asked is None:
        asked = block.shape.asked = list(_asked(block))
    for part, said in asked:
        if said is None:
            _statement(block.statement(part), "server", site, 0, found)
        for called, value, words in said or ():
            found.append(Setting("nginx", called, value, block.place(part), "server", words, site))


def _asked(block: Alike) -> Iterator[tuple[Part, Sequence[Told] | None]]:
    """Yield the statements of a shape that a rule may ask for, in any such block.

    Each with what it says, None where that stands in it.
    """
    for part in block.shape.block:
        found: list[Setting] = []
        if part.name not in _SILENT and part.name != "server_name":
            _statement(block.statement(part), "server", None, 0, found)
        if found:
            yield part, None if part.block is not None else _told(part.name, part.args)


def _walk(
    statements: list[Directive], scope: str, site: int | None, depth: int, found: list[Setting]
) -> None:
    if scope != "server" and any(d.name == "add_header" for d in statements):
        # add_header is inherited only where a block has none of its own (ngx_http_headers_module).
        first = next(d for d in statements if d.name == "add_header")
        found.append(Setting("nginx", "add_header", None, first.location, scope, first.args, site))
    for directive in statements:
        if directive.name not in _SILENT:
            _statement(directive, scope, site, depth, found)


def _statement(
    directive: Directive, scope: str, site: int | None, depth: int, found: list[Setting]
) -> None:
    name, args = directive.name, directive.args
    if directive.block is not None:
        if depth < MAX_DEPTH and name in ("location", "if", "limit_except"):
            _walk(directive.block, name, site, depth + 1, found)
        return
    for called, value, words in _told(name, args):
        found.append(Setting("nginx", called, value, directive.location, scope, words, site))


def _told(name: str, args: tuple[str, ...]) -> Sequence[Told]:
    """Return what a statement sets, by the names that rules have for it."""
    if name == "listen":
        return [(f"listen.{flag}", flag, args) for flag in _LISTEN if flag in args[1:]]
    if name in _WANTED or name.startswith(_PREFIXES):
        return ((name, args[0] if args else None, args),)
    if name == "server_name" and (place := swallowed(args)) is not None:
        return ((SWALLOWED, args[place], args),)
    if name == "add_header" and len(args) >= 2 and args[0].lower() in _HEADERS:
        return ((_HEADERS[args[0].lower()], args[1], args[1:]),)
    return ()


def header_dropped(server: Server, header: str) -> Directive | None:
    """Return the add_header by which `location /` loses a header that is set around it.

    add_header is inherited only where a block has none of its own (ngx_http_headers_module), or
    where `add_header_inherit merge` says so (nginx 1.29.3).
    """
    wanted = header.lower()
    for location in server.own("location"):
        if location.args != ("/",):
            continue
        own = [d for d in location.block or () if d.name == "add_header" and d.args]
        merged = server.value("add_header_inherit") == "merge" or any(
            d.name == "add_header_inherit" and d.args == ("merge",) for d in location.block or ()
        )
        if own and not merged and not any(d.args[0].lower() == wanted for d in own):
            return own[0]
    return None
