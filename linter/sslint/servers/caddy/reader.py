"""Caddy: the sites of a Caddyfile (caddyserver.com/docs/caddyfile)."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from itertools import chain

from sslint.network.hosts import Hosts, literal
from sslint.regex import regex
from sslint.servers.listening import Listener, collect, conflicts, files, lines, not_known, number
from sslint.servers.model import Knows, ServerReading
from sslint.source import Location, SourceFile
from sslint.tree import Tree
from sslint.values import dataclass, replace

NAME = "caddy"
MAIN = "/etc/caddy/Caddyfile"
MAX_DEPTH = 10
_SHARES_UDP = (2, 7)  # with SO_REUSEPORT (listen_unix.go), as it does TCP's before
MAX_LINE = 10_000  # characters, the arguments of an import put in
MAX_LINES = 10_000  # of a site, its snippets put in
_ADDRESS = regex(r"(?:(https?)://)?(\[[^\]]*\]|[^:/\s]*)(?::([0-9]{1,5}))?(?:/\S*)?\Z")
_WORD = regex(r'"((?:[^"\\]|\\.)*)"|`([^`]*)`|(#.*)|(\S+)')
_ARGUMENT = regex(r"\{args(?:\.([0-9]{1,3})|\[([0-9]{1,3})\])\}")
_ANY = ("0.0.0.0", "::")  # noqa: S104 - each takes both families
_OF_SOME = "the option servers names some listeners"
_ONE_OF = "at which addresses it redirects to HTTPS depends on the version"
# What Caddy 1 takes in a site and Caddy 2 refuses, unless a plugin brings a directive of the name.
_OF_CADDY_1 = frozenset(
    "browse errors expvar ext fastcgi gzip index internal limits markdown mime on pprof proxy"
    " request_id shutdown startup status timeouts websocket".split()
)
_TLS_OF_CADDY_1 = (["tls", "off"], ["tls", "self_signed"])
_SCRIPT = regex(r"#!(?!.*\bcaddy\b)")
_Network = tuple[str, str]  # the families "46", "4" or "6", and the address as it is written


@dataclass(frozen=True, slots=True)
class _Options:
    """What the global options say of every site. `quic` None: it depends on the listener."""

    plain: int
    secure: int
    redirects: bool
    quic: bool | None
    tcp: bool
    hosts: tuple[str, ...]


def read(tree: Tree, version: tuple[int, ...] | None = None) -> ServerReading | None:
    """Read Caddy; None if the tree has no socket of it."""
    knows = Knows(tls=False, certificates=False, sites=False)
    reading = collect(tree, NAME, _listeners(tree), mains=(MAIN,), knows=knows)
    if reading is not None and version is not None and version < _SHARES_UDP:
        quic = (endpoint for endpoint in reading.endpoints if endpoint.transport == "udp")
        reading.conflicts = list(conflicts(quic))
        reading.refusals += [conflict.reason for conflict in reading.conflicts]
    return reading


def _listeners(tree: Tree) -> Iterator[Listener]:
    """Yield the ports of a Caddyfile's sites: TLS (TCP and UDP), and 80 for its redirects."""
    file = tree.try_read(MAIN, decisive=False)
    if file is None:
        return
    if _SCRIPT.match(file.line(1)):
        yield _unread(file.at(1), "a script, not a Caddyfile")
        return
    blocks = list(_blocks(tree, file, 0))
    options = _options(next((body for header, body, _ in blocks if not header), []))
    snippets = {header[1:-1]: body for header, body, _ in blocks if header.startswith("(")}
    seen: set[tuple[str, int, str, bool]] = set()
    plain: set[_Network] = set()
    redirects: dict[str, dict[_Network, Listener]] = {}
    names = Hosts(tree)
    sites = []
    for header, own, location in blocks:
        if header.startswith(("(", "&(")) or not header:  # a snippet, a named route
            continue
        if header.startswith("import "):
            yield not_known(NAME, location, header)
            continue
        directory = posixpath.dirname(location.file.path)
        body = list(_with_imports(own, _Imports(tree, snippets, location), directory, 0))
        sites.append((header, body, location))
        old = _of_caddy_1(body)
        if old:
            yield _unread(location, f"{old} is a directive of Caddy 1, whose files are not read")
            return
    for header, body, location in sites:
        hosts = [host for parts in _top(body) if parts[0] == "bind" for host in parts[1:]]
        hosts = hosts or list(options.hosts)
        for address in re.split(r"[,\s]+", header):
            made = list(_site(address, options, body, location))
            sure = "{" not in address
            if not sure or not _ADDRESS.match(address):
                unknown = not_known(NAME, location, address)
                yield unknown
                made = [replace(one, certain=False, reasons=unknown.reasons) for one in made]
            for host in hosts or [""]:
                if host.startswith("unix"):
                    continue
                where = _network(host)
                for listener in made:
                    bound = _bound(listener, *where, names)
                    if listener.port == options.plain:
                        plain.add(where)
                    if _key(bound) not in seen:
                        seen.add(_key(bound))
                        yield bound
                if options.redirects and made and made[0].protocol != "http":
                    redirect = replace(made[0], protocol="http", transport="tcp", tls="none",
                                       port=options.plain, certain=sure, reasons=())  # fmt: skip
                    name = (_ADDRESS.match(address) or [""] * 3)[2].lower()
                    redirects.setdefault(name, {})[where] = _bound(redirect, *where, names)
    for listener in _opened(redirects, plain):
        if _key(listener) not in seen:
            seen.add(_key(listener))
            yield listener


def _unread(location: Location, why: str) -> Listener:
    """Stand for all listeners of a file that Caddy 2 does not take."""
    return replace(
        not_known(NAME, location, ""), reasons=(f"{location.path}:{location.line}: {why}",)
    )


def _of_caddy_1(body: list[str]) -> str:
    """Return the first statement that only Caddy 1 takes, or "".

    Its ports would be the same, but not what it serves there: HTTP/3 only when asked, no TLS with
    `tls off`.
    """
    old = (w for w in _top(body) if w[0] in _OF_CADDY_1 or w in _TLS_OF_CADDY_1)
    return " ".join(next(old, [])[:2])


def _key(listener: Listener) -> tuple[str, int, str, bool]:
    return (listener.host, listener.port, listener.transport, listener.ipv6only)


def _opened(
    redirects: dict[str, dict[_Network, Listener]], plain: set[_Network]
) -> Iterator[Listener]:
    """Yield the listeners that redirect, by the name of the site (autohttps.go).

    A site on the port of plain HTTP answers in their place, where they are for the same families
    and both for all addresses or the same: older versions do not ask which addresses. They redirect
    a name at one of its addresses alone, newer ones at all.
    """
    unsure = []
    for name, found in redirects.items():
        for (family, host), listener in found.items():
            rivals = [other for network, other in plain if network == family]
            if host in rivals or "" in rivals or (rivals and host == ""):
                continue
            if not rivals and (not name or len(found) == 1):
                yield listener
            else:
                unsure.append(replace(listener, certain=False, reasons=(_ONE_OF,)))
    yield from unsure


def words(text: str) -> list[str]:
    """Split a line as Caddy's lexer does: quotes and backticks go round whole words."""
    found = []
    for match in _WORD.finditer(text):
        if match[3]:
            break
        found.append(next(one for one in match.groups() if one is not None))
    return found


def _top(body: list[str]) -> list[list[str]]:
    """Return the words of the statements that stand in no block inside of the body."""
    found = []
    level = 0
    for line in body:
        parts = words(line)
        if not parts:
            continue
        if level == 0:
            found.append(parts)
        level += (parts[-1] == "{") - (parts[0] == "}")
    return found


def _network(host: str) -> _Network:
    """Split what is bound: `tcp4/` and `tcp6/` are for one family."""
    network, slash, address = host.rpartition("/")
    family = network[-1:] if slash and network[-1:] in ("4", "6") else "46"
    return family, address.strip("[]")


def _bound(listener: Listener, family: str, address: str, names: Hosts) -> Listener:
    """Give a listener its address: of a name's Go takes the first of IPv4, else the first."""
    if address in ("", *_ANY) and family == "46":
        return replace(listener, host="::")
    if address == "":
        return replace(listener, host=_ANY[family == "6"], ipv6only=family == "6")
    known = literal(address) or ""
    if known.startswith("::ffff:") and "." in known:
        return replace(listener, host=known.removeprefix("::ffff:"))
    found = names.addresses(address, family)
    if found:
        address = next((one for one in found if ":" not in one), found[0])
    return replace(listener, host=address, ipv6only=family == "6")


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


@dataclass(frozen=True, slots=True)
class _Imports:
    """What a site may import: snippets, and files."""

    tree: Tree
    snippets: dict[str, list[str]]
    where: Location

    def found(self, name: str, directory: str) -> Iterator[tuple[list[str], str]]:
        """Yield the lines that `import NAME` stands for, and where they look for files."""
        self.tree.budgets.spend("includes", 1, self.where)
        if name in self.snippets:
            snippet = self.snippets[name]
            self.tree.budgets.spend("statements", len(snippet), self.where)
            yield snippet, directory
            return
        path = posixpath.join(directory, name)
        for file in files(self.tree, path, location=self.where) if "{" not in path else ():
            yield [text for _, text in lines(file)], posixpath.dirname(file.path)


def _with_imports(body: list[str], imports: _Imports, directory: str, depth: int) -> Iterator[str]:
    """Yield the lines of a body, what is imported in place of `import`."""
    count = 0
    for line in body:
        parts = words(line)
        named = parts[:1] == ["import"] and len(parts) > 1 and depth < MAX_DEPTH
        found = list(imports.found(parts[1], directory)) if named else []
        inner: Iterator[str] = iter(() if found or (named and _is_pattern(parts[1])) else (line,))
        for given, place in found:
            put_in = [_with_arguments(each, parts[2:]) for each in given]
            inner = chain(inner, _with_imports(put_in, imports, place, depth + 1))
        for each in inner:
            yield each
            count += 1
            if count > MAX_LINES:
                return


def _is_pattern(path: str) -> bool:
    """Tell whether a path may mean no file at all."""
    return "*" in path and "{" not in path


def _with_arguments(line: str, arguments: list[str]) -> str:
    """Put the words after `import` in: {args.0}, {args[0]}."""

    def value(match: re.Match[str]) -> str:
        index = int(match[1] or match[2])
        return arguments[index] if index < len(arguments) else match[0]

    put_in = _ARGUMENT.sub(value, line)
    return put_in if len(put_in) <= MAX_LINE else line


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
                others = list(files(tree, base, location=file.at(index)))
                for other in others:
                    yield from _blocks(tree, other, depth + 1)
                if not others and not _is_pattern(base):
                    yield f"import {parts[1]}", [], file.at(index)
                continue
            where = where if header else file.at(index)
            opens = parts[-1] == "{"
            header = " ".join((header, *(parts[:-1] if opens else parts))).strip()
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
    return number(said[0]) or 0 if said else default


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
    own_tls = any(parts[0] == "tls" for parts in _top(body))
    if scheme == "https" or (scheme is None and port != options.plain and (named or own_tls)):
        yield from _secure(port, options, location)
        return
    # A file that the site imports may have a `tls`.
    imported = any(parts[0] == "import" for parts in _top(body))
    known = scheme == "http" or port == options.plain or not imported
    yield Listener(NAME, "http", port, location, tls="none" if known else "unknown", ipv6only=False)


def _secure(port: int, options: _Options, location: Location) -> Iterator[Listener]:
    """Yield the listeners of a site with TLS, HTTP/3 beside it."""
    reasons = () if options.quic is not None else (_OF_SOME,)
    tcp = Listener(NAME, "https", port, location, tls="implicit", ipv6only=False)
    if options.tcp:
        yield tcp
    else:  # before 2.11 there is a listener that speaks no TLS
        yield replace(tcp, tls="unknown", certain=False, reasons=("only HTTP/3 is enabled",))
    if options.quic is not False:
        yield replace(tcp, protocol="h3", transport="udp", certain=not reasons, reasons=reasons)
