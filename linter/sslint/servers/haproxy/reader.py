"""HAProxy: the addresses that it binds (configuration.txt, 4.2 `bind`)."""

from __future__ import annotations

from collections.abc import Iterator

from sslint.regex import regex
from sslint.servers.interface import Context
from sslint.servers.listening import Listener, collect, files, lines, not_known, ports, words
from sslint.servers.model import Knows, ServerReading, Tls
from sslint.source import Location, SourceFile
from sslint.tree import Tree
from sslint.values import dataclass, field

NAME = "haproxy"
MAINS = (
    "/etc/haproxy/haproxy.cfg",
    "/usr/local/etc/haproxy/haproxy.cfg",
    "/usr/local/etc/haproxy.conf",
)
_SECTIONS = regex(
    r"(global|defaults|frontend|backend|listen|peers|program|resolvers|mailers|ring|cache|userlist"
    r"|http-errors|log-forward|fcgi-app|crt-store|traces|acme)\Z"
)
_BINDING = ("frontend", "listen", "backend", "peers", "log-forward")
_VARIABLE = regex(r"\$(?:\{(\w+)(?:-([^}]*))?\}|(\w+))")
_HELLO = regex(r"\breq[._]ssl_(sni|hello_type|ver|ec_ext|alpn)\b")  # looked at, undecrypted
_IN_CONDITION = "an .if decides whether it is opened"
_MAY_NOT_BE_READ = "whether it is read is unknown"


@dataclass(slots=True)
class _Bind:
    location: Location
    words: list[str]
    doubts: tuple[str, ...]


@dataclass(slots=True)
class _Section:
    """A section of the configuration that may bind, or that has defaults for the others."""

    kind: str = ""
    name: str = ""
    mode: str = ""
    binds: list[_Bind] = field(default_factory=list)
    disabled: bool = False
    looks_at_hello: bool = False


def read(tree: Tree, context: Context) -> ServerReading | None:
    """Read HAProxy; None if the tree has no socket of it.

    A `bind` without `ssl` in TCP mode takes what comes: whether that is TLS is not known.
    """
    knows = Knows(tls=False, certificates=False, sites=False)
    return collect(tree, NAME, _listeners(tree, context), mains=MAINS[:1], knows=knows)


def _listeners(tree: Tree, context: Context) -> Iterator[Listener]:
    environment: dict[str, str] = {}
    modes = {"": "tcp"}  # of the sections of defaults, by name; "": the last one
    for file, doubt in _files(tree, context):
        for section in _sections(file, doubt, modes, environment):
            if not section.disabled:
                for bind in section.binds:
                    yield from _bound(section, bind, environment)


def _files(tree: Tree, context: Context) -> Iterator[tuple[SourceFile, tuple[str, ...]]]:
    """Yield files and why they may not be read: Debian's unit passes no conf.d, Fedora's does."""
    for file in files(tree, *MAINS):
        yield file, ()
    distribution = context.distribution[0]
    arguments = next(iter(files(tree, "/etc/default/haproxy")), None)
    given = arguments is not None and "/etc/haproxy/conf.d" in arguments.text
    if distribution in ("debian", "ubuntu") and not given:
        return
    certain = given or distribution in ("rhel", "fedora")
    for file in files(tree, "/etc/haproxy/conf.d/*.cfg"):
        yield file, () if certain else (_MAY_NOT_BE_READ,)


def _sections(
    file: SourceFile, doubt: tuple[str, ...], modes: dict[str, str], environment: dict[str, str]
) -> Iterator[_Section]:
    section, conditions = _Section(), 0
    for index, text in lines(file):
        parts = words(text)
        keyword, rest = (parts[0], parts[1:]) if parts else ("", [])
        if keyword in (".if", ".endif"):
            conditions += 1 if keyword == ".if" else -1
        elif _SECTIONS.match(keyword):
            yield section
            section = _begun(keyword, rest, modes)
        elif keyword in ("setenv", "presetenv") and len(rest) > 1:
            environment[rest[0]] = rest[1]
        elif keyword == "mode" and rest:
            section.mode = rest[0]
            if section.kind == "defaults":
                modes[""] = modes[section.name] = rest[0]
        elif keyword in ("disabled", "enabled"):
            section.disabled = keyword == "disabled"
        elif keyword == "bind" and rest and section.kind in _BINDING:
            doubts = (*doubt, *((_IN_CONDITION,) if conditions > 0 else ()))
            section.binds.append(_Bind(file.at(index), rest, doubts))
        elif _HELLO.search(text):
            section.looks_at_hello = True
    yield section


def _begun(kind: str, rest: list[str], modes: dict[str, str]) -> _Section:
    """Return a new section: `frontend NAME`, `frontend NAME from DEFAULTS`."""
    name = rest[0] if rest else ""
    if kind == "defaults":
        modes[""] = modes[name] = "tcp"
        return _Section(kind, name, "tcp")
    chosen = rest[2] if rest[1:2] == ["from"] and len(rest) > 2 else ""
    return _Section(kind, name, modes.get(chosen, ""))


def _bound(section: _Section, bind: _Bind, environment: dict[str, str]) -> Iterator[Listener]:
    first, options = bind.words[0], bind.words[1:]
    expanded = _VARIABLE.sub(
        lambda match: environment.get(match[1] or match[3], match[2] or match[0]), first
    )
    if "$" in expanded:
        yield not_known(NAME, bind.location, f"bind {first}")
        return
    for spec in expanded.split(","):
        family, at, rest = spec.partition("@")
        if not at:
            family, rest = "", spec
        if rest.startswith("/") or family in ("unix", "abns", "fd", "sockpair"):
            continue
        quic = family.startswith(("quic", "udp"))
        secure = "ssl" in options or quic
        host, _, port = rest.rpartition(":")
        opened = 0
        for opened in ports(port):
            yield Listener(
                NAME,
                "h3" if quic else _protocol(section.mode, secure=secure),
                opened,
                bind.location,
                host=_host(host, family),
                transport="udp" if quic else "tcp",
                tls=_tls(section.mode, secure=secure),
                service=section.name,
                certain=not bind.doubts,
                reasons=bind.doubts,
                ipv6only="v6only" in options,
                passthrough=not secure and section.looks_at_hello,
                proxy_protocol="accept-proxy" in options,
            )
        if not opened:
            yield not_known(NAME, bind.location, f"bind {first}")


def _tls(mode: str, *, secure: bool) -> Tls:
    return "implicit" if secure else "none" if mode == "http" else "unknown"


def _protocol(mode: str, *, secure: bool) -> str:
    return "stream" if mode != "http" else "https" if secure else "http"


def _host(host: str, family: str) -> str:
    """Return the address: `*` and "" are IPv4, and `::` takes both families unless v6only."""
    host = host.strip("[]")
    if host in ("", "*"):
        return "::" if family.endswith("6") else "0.0.0.0"  # noqa: S104
    return host
