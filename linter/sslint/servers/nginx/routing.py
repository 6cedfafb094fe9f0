"""What nginx does with a request: which server block and location answer it, and with what.

The order is that of nginx's phases: the server's rewrites, the location, its rewrites, access,
try_files, content (ngx_http_core_find_location, ngx_http_rewrite_module, ngx_http_core_try_files).
"""

from __future__ import annotations

import posixpath
import re
from typing import Literal

from sslint.budgets import spend
from sslint.regex import is_number, regex
from sslint.servers.interface import Answer
from sslint.servers.model import ServerReading
from sslint.servers.nginx import regex as pcre
from sslint.servers.nginx.blocks import Server
from sslint.servers.nginx.directive import Directive
from sslint.servers.nginx.listen import ANY_IPV4, ANY_IPV6
from sslint.servers.nginx.parsed import Nginx
from sslint.servers.nginx.sockets import Socket
from sslint.servers.nginx.syntax import unknown_includes
from sslint.values import dataclass, field, replace

_NOT_GIVEN = "a file that is included here was not given"
MAX_CYCLES = 10  # internal redirects, NGX_HTTP_MAX_URI_CHANGES
MAX_EXPANDED = 32_768  # characters: large_client_header_buffers holds so many, a URI no more
MAX_NESTING = 32  # of locations

_PASSES = ("proxy_pass", "grpc_pass", "fastcgi_pass", "uwsgi_pass", "scgi_pass", "memcached_pass")
_VARIABLE = regex(r"\$(?:\{([A-Za-z0-9_]+)\}|([A-Za-z_][A-Za-z0-9_]*|[0-9]))")
_CODE = regex(r"=?[0-9]{3}\Z")
_REWRITES = frozenset(("return", "rewrite", "if", "break", "set"))
_ANSWERS = frozenset((*_PASSES, "root", "alias"))


@dataclass(slots=True)
class _Request:
    server: Server
    variables: dict[str, str]
    uri: str
    cycles: int = 0
    captures: tuple[str, ...] = ()
    slash: bool = False  # nginx redirects to the same URI with a slash

    def expand(self, text: str) -> str | None:
        """Return a text with its variables replaced; None if one of them is not known."""
        known = True

        def value(match: re.Match[str]) -> str:
            nonlocal known
            name = match[1] or match[2]
            if is_number(name):
                number = int(name) - 1
                if 0 <= number < len(self.captures):
                    return self.captures[number]
            found = {"uri": self.uri, "document_uri": self.uri, **self.variables}.get(name)
            known = known and found is not None
            return found or ""

        spend("expansions", 1 + text.count("$"))
        expanded = _VARIABLE.sub(value, text)
        return expanded if known and len(expanded) <= MAX_EXPANDED else None


@dataclass(slots=True)
class _Level:
    """A location with the levels around it, innermost first; the server block is the last."""

    chain: list[Directive] = field(default_factory=list)

    def effective(self, name: str) -> list[Directive]:
        for block in self.chain:
            found = [d for d in block.block or () if d.name == name and d.args]
            if found:
                return found
        return []


def answer(
    reading: ServerReading, port: int, name: str, uri: str, *, address: str | None = None
) -> Answer:
    """Return what nginx does with `GET uri` for a host name on a TCP port.

    Without `address` the request comes to the wildcard, or else to the first address that is
    not loopback.
    """
    nginx = reading.config
    socket = _socket(nginx, port, address) if isinstance(nginx, Nginx) else None
    if socket is None or not isinstance(nginx, Nginx):
        return Answer("none", reason=f"no http server listens on tcp/{port}")
    server = socket.find(name)
    if server is None:
        return Answer("unknown", reason=f"which server block answers for {name} is not known")
    missing = server.includes()
    if missing:
        return Answer("unknown", server.number, missing[0].location, reason=_NOT_GIVEN)
    tls = bool(socket.flags & {"ssl"})
    variables = {
        "host": name,
        "http_host": name,
        "server_name": server.names[0] if server.names else "",
        "scheme": "https" if tls else "http",
        "https": "on" if tls else "",
        "server_port": str(port),
        "request_uri": uri,
        "request_method": "GET",
        "args": "",
        "query_string": "",
        "is_args": "",
        "http_x_forwarded_proto": "",
    }
    found = _serve(_Request(server, variables, uri), nginx.config.contexts["http"])
    return replace(found, site=server.number)


def _socket(nginx: Nginx, port: int, address: str | None) -> Socket | None:
    sockets = [
        s
        for s in nginx.table.sockets.values()
        if s.kind == "http" and s.transport == "tcp" and s.port == port
    ]
    if address is not None:
        wildcard = ANY_IPV6 if ":" in address else ANY_IPV4
        wanted = [s for s in sockets if s.address == address]
        wanted += [s for s in sockets if s.address == wildcard]
        wanted += [s for s in sockets if s.address == ANY_IPV6 and not s.ipv6only]
        return wanted[0] if wanted else None
    order = {ANY_IPV4: 0, ANY_IPV6: 1}
    sockets.sort(
        key=lambda s: (
            3 if s.address.startswith("127.") or s.address == "::1" else order.get(s.address, 2)
        )
    )
    return sockets[0] if sockets else None


def _serve(request: _Request, outer: Directive) -> Answer:
    block = request.server.directive
    decided = _rewrite(request, block)
    if isinstance(decided, Answer):
        return decided
    return _locate(request, outer)


def _locate(request: _Request, outer: Directive) -> Answer:
    """Find the location for the request's URI and let it answer."""
    while request.cycles <= MAX_CYCLES:
        block = request.server.directive
        chain: list[Directive] = [block, outer]
        if not _find(request, block, chain, 0):
            return Answer("unknown", reason="a location's regular expression cannot be judged")
        if request.slash:
            place = chain[0].location
            return Answer("redirect", location=place, url=request.uri + "/", status=301)
        for level in chain[:-2]:
            missing = unknown_includes(level.block or [])
            if missing:
                return Answer("unknown", location=missing[0].location, reason=_NOT_GIVEN)
        if chain[0] is not block:
            before = request.uri
            decided = _rewrite(request, chain[0])
            if isinstance(decided, Answer):
                return decided
            if request.uri != before and decided != "break":
                request.cycles += 1
                continue
        return _content(request, _Level(chain), outer)
    return Answer("return", location=request.server.directive.location, status=500)


def _find(request: _Request, block: Directive, chain: list[Directive], depth: int) -> bool:
    """Put the matching locations before `chain`; False if a pattern cannot be judged."""
    best: Directive | None = None
    best_length = -1
    locations = [d for d in block.block or () if d.name == "location" and d.block is not None]
    patterns = []
    slashed = None
    for location in locations:
        modifier, text = _modifier(location)
        if modifier == "=" and text == request.uri:
            chain.insert(0, location)
            return True
        if modifier in ("", "^~") and request.uri.startswith(text) and len(text) > best_length:
            best, best_length = location, len(text)
        elif modifier in ("~", "~*"):
            patterns.append((location, modifier, text))
        elif text == request.uri + "/" and any(d.name in _PASSES for d in location.block or ()):
            slashed = location
    if slashed is not None and (best is None or best_length < len(request.uri)):
        request.slash = True
        chain.insert(0, slashed)
        return True
    size = len(chain)
    if best is not None and depth < MAX_NESTING:
        chain.insert(0, best)
        if not _find(request, best, chain, depth + 1):
            return False
        # A nested exact or regular expression match is final; a nested prefix is not.
        nested = chain[: len(chain) - size - 1]
        if request.slash or any(_modifier(item)[0] in ("=", "~", "~*") for item in nested):
            return True
        if _modifier(best)[0] == "^~":
            return True
    for location, modifier, text in patterns:
        compiled = pcre.compile_pattern(text, modifier == "~*")
        found = compiled.find(request.uri) if compiled is not None else None
        if found is None:
            return False
        if found:
            del chain[: len(chain) - size]
            chain.insert(0, location)
            request.captures = _captures(found)
            return depth >= MAX_NESTING or _find(request, location, chain, depth + 1)
    return True


def _captures(found: tuple[str | None, ...] | bool) -> tuple[str, ...]:
    return tuple(group or "" for group in found) if isinstance(found, tuple) else ()


def _modifier(location: Directive) -> tuple[str, str]:
    """Split a location's words: `= /a`, `=/a`, `^~ /a`, `~* x`, `@name`, `/a`."""
    args = location.args
    if len(args) >= 2:
        return args[0], args[1]
    text = args[0] if args else "/"
    for modifier in ("=", "^~", "~*", "~"):
        if text.startswith(modifier):
            return modifier, text[len(modifier) :]
    return ("@", text) if text.startswith("@") else ("", text)


def _rewrite(
    request: _Request, block: Directive, inside: bool = False
) -> Answer | Literal["go", "break", "last"]:
    """Run the rewrite statements of one level in their order; inside an `if` there is no other."""
    for directive in block.block or ():
        if directive.name not in _REWRITES:
            continue
        if directive.name == "return" and directive.args:
            return _returned(request, directive)
        if directive.name == "break":
            return "break"
        if directive.name == "set" and len(directive.args) == 2:
            value = request.expand(directive.args[1])
            name = directive.args[0].lstrip("$")
            request.variables.pop(name, None)
            if value is not None:
                request.variables[name] = value
        if directive.name == "rewrite":
            decided = _rewritten(request, directive)
            if decided is not None:
                return decided
        if directive.name == "if" and directive.block is not None and not inside:
            taken = _condition(request, directive)
            names = {d.name for d in directive.block}
            if taken is None and names & (_REWRITES | _ANSWERS):
                reason = "depends on a condition that only a request decides"
                return Answer("unknown", location=directive.location, reason=reason)
            if taken and names & _ANSWERS:
                reason = "the `if` block becomes the location"
                return Answer("unknown", location=directive.location, reason=reason)
            if taken:
                inner = _rewrite(request, directive, inside=True)
                if inner != "go":
                    return inner
    return "go"


def _returned(request: _Request, directive: Directive) -> Answer:
    first = directive.args[0]
    if len(directive.args) == 1 and not _CODE.match(first):
        url = request.expand(first)
        return Answer("redirect", location=directive.location, url=url or first, status=302)
    status = int(first) if is_number(first) and len(first) < 4 else None
    if len(directive.args) > 1 and status in (301, 302, 303, 307, 308):
        url = request.expand(directive.args[1])
        return Answer(
            "redirect", location=directive.location, url=url or directive.args[1], status=status
        )
    return Answer("return", location=directive.location, status=status)


def _rewritten(request: _Request, directive: Directive) -> Answer | Literal["break", "last"] | None:
    """Apply one `rewrite`; None to go on with the next statement."""
    if len(directive.args) < 2:
        return None
    pattern, target = directive.args[:2]
    flag = directive.args[2] if len(directive.args) > 2 else ""
    compiled = pcre.compile_pattern(pattern)
    found = compiled.find(request.uri) if compiled is not None else None
    if found is None:
        return Answer("unknown", location=directive.location, reason=f"{pattern} is not judged")
    if not found:
        return None
    request.captures = _captures(found)
    absolute = target.startswith(("http://", "https://", "$scheme"))
    url = request.expand(target)
    if absolute or flag in ("redirect", "permanent"):
        status = 301 if flag == "permanent" else 302
        return Answer("redirect", location=directive.location, url=url or target, status=status)
    if url is None:
        return Answer("unknown", location=directive.location, reason=f"{target} is not known")
    request.uri = url.split("?", 1)[0]
    if flag == "break":
        return "break"
    return "last" if flag == "last" else None


def _condition(request: _Request, directive: Directive) -> bool | None:
    """Judge the condition of an `if`; None where only a request decides."""
    words = list(directive.args)
    if not words or not words[0].startswith("("):
        return None
    words[0] = words[0][1:]
    words[-1] = words[-1].removesuffix(")")
    words = [word for word in words if word]
    if len(words) == 1 and words[0].startswith("$"):
        value = request.expand(words[0])
        return None if value is None else value not in ("", "0")
    if len(words) != 3 or not words[0].startswith("$"):
        return None
    value, operator, text = request.expand(words[0]), words[1], words[2]
    if value is None:
        return None
    if operator in ("=", "!="):
        other = request.expand(text)
        return None if other is None else (value == other) is (operator == "=")
    if operator in ("~", "~*", "!~", "!~*"):
        matched = pcre.search(text, value, ignore_case=operator.endswith("*"))
        return None if matched is None else matched is not operator.startswith("!")
    return None


def _content(request: _Request, level: _Level, outer: Directive) -> Answer:
    """Run the access, try_files and content phases of a location."""
    inner = level.chain[0]
    place = inner.location
    if any(d.name == "internal" for d in inner.block or ()) and not request.cycles:
        return Answer("return", location=place, status=404)
    barred = _access(level)
    if barred is not None:
        return barred
    passes = next(
        (d for d in inner.block or () if d.name in _PASSES and d.args and inner.name == "location"),
        None,
    )
    if passes is not None:
        url = request.expand(passes.args[0]) or passes.args[0]
        return Answer("proxy", location=passes.location, url=url)
    served = _file(request, level)
    tries = [d for d in inner.block or () if d.name == "try_files" and d.args]
    return _tried(request, tries[0], served, outer) if tries else served


def _tried(request: _Request, directive: Directive, served: Answer, outer: Directive) -> Answer:
    names = directive.args[:-1]
    fallback = _fallback(request, directive, outer)
    if any(request.expand(name) == request.uri for name in names):
        return replace(served, otherwise=fallback)
    return fallback


def _fallback(request: _Request, directive: Directive, outer: Directive) -> Answer:
    last = directive.args[-1]
    if last.startswith("="):
        status = int(last[1:]) if is_number(last[1:]) and len(last) < 5 else None
        return Answer("return", location=directive.location, status=status)
    if request.cycles >= MAX_CYCLES:
        return Answer("return", location=directive.location, status=500)
    if last.startswith("@"):
        return _named(request, last, directive, outer)
    target = request.expand(last)
    if target is None:
        return Answer("unknown", location=directive.location, reason=f"{last} is not known")
    # An internal redirect passes the server's rewrites again (ngx_http_handler).
    return _serve(replace(request, uri=target.split("?", 1)[0], cycles=request.cycles + 1), outer)


def _named(request: _Request, name: str, directive: Directive, outer: Directive) -> Answer:
    server = request.server.directive
    found = next(
        (d for d in server.block or () if d.name == "location" and d.args == (name,)), None
    )
    if found is None:
        return Answer("return", location=directive.location, status=500)
    inner = replace(request, cycles=request.cycles + 1)
    decided = _rewrite(inner, found)
    if isinstance(decided, Answer):
        return decided
    if inner.uri != request.uri and decided != "break":
        return _locate(inner, outer)
    return _content(inner, _Level([found, server, outer]), outer)


def _access(level: _Level) -> Answer | None:
    """Return what stands before the content for a client from anywhere, if anything does."""
    rules: list[Directive] = []
    for block in level.chain:
        rules = [d for d in block.block or () if d.name in ("allow", "deny") and d.args]
        if rules:
            break
    decided = next((d for d in rules if d.args[0] == "all"), None)
    denied = decided is not None and decided.name == "deny"
    login = None
    for name in ("auth_basic", "auth_request"):
        found = level.effective(name)
        if found and found[-1].args[0] != "off":
            login = login or found[-1]
    any_will_do = [d.args[0] for d in level.effective("satisfy")][-1:] == ["any"]
    if denied and decided is not None and not (any_will_do and login):
        return Answer("deny", location=decided.location, status=403)
    if login is not None and not (any_will_do and rules and not denied):
        return Answer("auth", location=login.location, status=401)
    return None


def _file(request: _Request, level: _Level) -> Answer:
    """Return the file on disk that a URI means."""
    for block in level.chain:
        for directive in reversed(block.block or []):
            if directive.name == "alias" and directive.args and block.name == "location":
                return _alias(request, block, directive)
            if directive.name == "root" and directive.args:
                root = request.expand(directive.args[0])
                path = posixpath.normpath(root + request.uri) if root else None
                known = root is not None and root.startswith("/")
                return Answer(
                    "file",
                    location=directive.location,
                    path=path if known else None,
                    root=root if known else None,
                    reason="" if known else f"{directive.args[0]} is not a known directory",
                )
    return Answer(
        "file",
        location=level.chain[0].location,
        reason="no root is set: the directory html of the package's prefix",
    )


def _alias(request: _Request, block: Directive, directive: Directive) -> Answer:
    modifier, prefix = _modifier(block)
    if modifier not in ("~", "~*") and not request.uri.startswith(prefix):
        return Answer(
            "unknown", location=directive.location, reason="an alias behind a rewritten URI"
        )
    base = request.expand(directive.args[0])
    if base is None or not base.startswith("/"):
        reason = f"{directive.args[0]} is not a known directory"
        return Answer("file", location=directive.location, reason=reason)
    rest = request.uri[len(prefix) :] if modifier in ("", "^~", "=") else ""
    # The directory that stands for the site's root, where the alias ends like the location.
    root = base.rstrip("/").removesuffix(prefix.rstrip("/")) if prefix.strip("/") else base
    same = prefix.strip("/") and base.rstrip("/").endswith(prefix.rstrip("/"))
    return Answer(
        "file",
        location=directive.location,
        path=posixpath.normpath(base + rest),
        root=(root or "/") if same else None,
    )
