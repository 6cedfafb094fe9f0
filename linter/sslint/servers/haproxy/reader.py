"""HAProxy: the addresses that it binds (configuration.txt, 4.2 `bind`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sslint.network.hosts import Hosts
from sslint.reasons import Code, Reason
from sslint.regex import is_number, regex
from sslint.servers.haproxy.words import UNKNOWN, Environment, in_address, port_range, split
from sslint.servers.interface import Context
from sslint.servers.listening import (
    MAX_PORTS,
    Listener,
    collect,
    conflicts,
    files,
    lines,
    not_known,
)
from sslint.servers.model import Knows, ServerReading, Tls, Upstream
from sslint.source import Location, SourceFile
from sslint.tree import Tree
from sslint.values import dataclass, field, replace

NAME = "haproxy"
MAINS = (
    "/etc/haproxy/haproxy.cfg",
    "/usr/local/etc/haproxy/haproxy.cfg",
    "/usr/local/etc/haproxy.conf",
)
STARTED = "/etc/default/haproxy"  # Debian's unit takes its environment of it
_SECTIONS = regex(
    r"(global|defaults|frontend|backend|listen|peers|program|resolvers|mailers|ring|cache|userlist"
    r"|http-errors|log-forward|fcgi-app|crt-store|traces|acme)\Z"
)
_BINDING = ("frontend", "listen", "backend", "peers", "log-forward")
_ASSIGNMENT = regex(r"\s*([A-Za-z_]\w*)=(?:\"([^\"]*)\"|'([^']*)'|(\S*))\s*\Z")
_HELLO = regex(r"\breq[._]ssl_(sni|hello_type|ver|ec_ext|alpn)\b")  # looked at, undecrypted
_NO_INTERNET = ("unix", "uxst", "uxdg", "abns", "abnsz", "fd", "sockpair", "rhttp")
_WITH_NAMES = ("alpn", "ca-file", "crl-file", "crt", "group", "guid-prefix", "id", "interface",
               "name", "namespace", "proto", "user")  # fmt: skip
_IN_CONDITION = "an .if decides whether it is opened"
_MAY_NOT_BE_READ = "whether it is read is unknown"
_COMPUTED = "*"
_ASKED = regex(r"(?:no-)?(?:ssl|send-proxy)(?:\Z|-v2)|disabled\Z")
_LOCAL_PEER = "it is opened where the section names this host as a peer"


@dataclass(slots=True)
class _Bind:
    location: Location
    keyword: str
    words: list[str]
    doubts: tuple[str, ...]
    may_differ: bool  # it has variables that may have other values


@dataclass(slots=True)
class _Section:
    """A section of the configuration that may bind, or that has defaults for the others.

    `servers`: their statements with the options that default-server gives them. `uses`: names of
    backends, _COMPUTED for one that a request decides.
    """

    kind: str = ""
    name: str = ""
    mode: str = "tcp"
    binds: list[_Bind] = field(default_factory=list)
    servers: list[tuple[_Bind, list[str]]] = field(default_factory=list)
    options: list[str] = field(default_factory=list)
    uses: set[str] = field(default_factory=set)
    disabled: bool = False
    looks_at_hello: bool = False


def read(tree: Tree, context: Context) -> ServerReading | None:
    """Read HAProxy; None if the tree has no socket of it.

    A `bind` without `ssl` in TCP mode takes what comes: whether that is TLS is not known.
    """
    knows = Knows(tls=False, certificates=False, sites=False)
    config = _Config(tree)
    sections: list[_Section] = []
    refusals: list[Reason] = []
    listeners = _listeners(tree, context, config, sections, refusals)
    reading = collect(tree, NAME, listeners, mains=MAINS[:1], knows=knows)
    if reading is not None:
        reading.refusals += refusals
        reading.upstreams = list(_upstreams(sections))
    if reading is not None and not config.reuses_ports:
        reading.conflicts = list(conflicts(reading.endpoints))
        reading.refusals += [conflict.reason for conflict in reading.conflicts]
    return reading


def _listeners(
    tree: Tree,
    context: Context,
    config: _Config,
    sections: list[_Section],
    refusals: list[Reason],
) -> Iterator[Listener]:
    """Read the files, keep the sections that are not disabled, and yield what they bind."""
    hosts = Hosts(tree)
    for file, doubt in _files(tree, context):
        for section in config.sections(file, doubt):
            if not section.disabled:
                sections.append(section)
                for bind in section.binds:
                    yield from _bound(section, bind, hosts, refusals)


def _files(tree: Tree, context: Context) -> Iterator[tuple[SourceFile, tuple[str, ...]]]:
    """Yield files and why they may not be read: Debian's unit passes no conf.d, Fedora's does."""
    for file in files(tree, *MAINS):
        yield file, ()
    distribution = context.distribution[0]
    arguments = next(iter(files(tree, STARTED)), None)
    given = arguments is not None and "/etc/haproxy/conf.d" in arguments.text
    if distribution in ("debian", "ubuntu") and not given:
        return
    certain = given or distribution in ("rhel", "fedora")
    for file in files(tree, "/etc/haproxy/conf.d/*.cfg"):
        yield file, () if certain else (_MAY_NOT_BE_READ,)


class _Config:
    """What is read so far: the environment, and the sections of defaults by name."""

    def __init__(self, tree: Tree) -> None:
        self._environment = Environment()
        self._defaults = {"": _Section()}  # "": the last one
        self._conditions = 0
        self.reuses_ports = True
        for file in files(tree, STARTED):
            for _, text in lines(file):
                if match := _ASSIGNMENT.match(text):
                    value = next((one for one in match.groups()[1:] if one is not None), "")
                    self._environment.assign(match[1], value, sure=True)

    def sections(self, file: SourceFile, doubt: tuple[str, ...]) -> Iterator[_Section]:
        """Yield the sections of a file, each when it is complete."""
        section = _Section()
        for index, text in lines(file):
            used: set[str] = set()
            parts = split(text, self._environment, used)
            keyword, rest = (parts[0], parts[1:]) if parts else ("", [])
            if keyword in (".if", ".endif"):
                self._conditions += 1 if keyword == ".if" else -1
            elif _SECTIONS.match(keyword):
                yield section
                section = self._begun(keyword, rest)
            elif section.kind == "global":
                self._global(keyword, rest)
            if keyword == "mode" and rest:
                section.mode = rest[0]
            elif keyword in ("disabled", "enabled") and not rest:
                section.disabled = keyword == "disabled"
            elif keyword in ("use_backend", "default_backend") and rest:
                section.uses.add(_COMPUTED if "%[" in rest[0] else rest[0])
            elif keyword == "default-server":
                section.options = _told([*section.options, *rest])
            elif keyword == "server" and len(rest) > 1:
                rest[1] = in_address(rest[1], self._environment, used)
                doubts = (*doubt, *self._doubts(used))
                server = _Bind(file.at(index), keyword, rest, doubts, bool(used))
                section.servers.append((server, _told([*section.options, *rest[2:]])))
            elif rest and _binds(section.kind, keyword, rest):
                said = rest[1:] if keyword == "stats" else rest
                said[0] = in_address(said[0], self._environment, used)
                doubts = (*doubt, *self._doubts(used))
                section.binds.append(_Bind(file.at(index), keyword, said, doubts, bool(used)))
            if _HELLO.search(text):
                section.looks_at_hello = True
        yield section

    def _doubts(self, used: Iterable[str]) -> Iterator[str]:
        if self._conditions > 0:
            yield _IN_CONDITION
        for name in sorted(used):
            yield f"the environment may have another {name}"

    def _global(self, keyword: str, rest: list[str]) -> None:
        environment = self._environment
        sure = self._conditions <= 0
        if keyword == "noreuseport":
            self.reuses_ports = False
        elif keyword == "setenv" and len(rest) > 1:
            environment.assign(rest[0], rest[1], sure=sure)
        elif keyword == "presetenv" and len(rest) > 1:
            if rest[0] not in environment.values:
                environment.assign(rest[0], rest[1], sure=sure and rest[0] in environment.unset)
        elif keyword == "unsetenv":
            for name in rest:
                environment.remove(name)
        elif keyword == "resetenv":
            for name in set(environment.values) - set(rest):
                environment.remove(name)

    def _begun(self, kind: str, rest: list[str]) -> _Section:
        """Return a new section: `frontend NAME`, `frontend NAME from DEFAULTS`."""
        name = rest[0] if rest and rest[0] != "from" else ""
        after = rest[1:] if name else rest
        chosen = after[1] if after[:1] == ["from"] and len(after) > 1 else None
        if kind in ("defaults", "log-forward", "peers"):
            like = self._defaults.get(chosen or "", _Section()) if chosen else _Section()
        else:
            like = self._defaults.get(chosen or "", self._defaults[""])
        section = _Section(kind, name, like.mode, disabled=like.disabled)
        section.options, section.uses = [*like.options], {*like.uses}
        if kind == "defaults":
            self._defaults[""] = self._defaults[name] = section
        return section


def _binds(kind: str, keyword: str, rest: list[str]) -> bool:
    """Tell whether a statement opens sockets."""
    if kind == "global":
        return keyword == "stats" and rest[0] == "socket" and len(rest) > 1
    return (keyword == "bind" and kind in _BINDING) or (
        keyword == "dgram-bind" and kind == "log-forward"
    )


def _bound(
    section: _Section, bind: _Bind, hosts: Hosts, refusals: list[Reason]
) -> Iterator[Listener]:
    """Yield the sockets of a statement, or refuse to start where it names no port."""
    address, options = bind.words[0], _options(bind.words[1:])
    doubts = bind.doubts
    for name in ("interface", "namespace"):
        if name in options:
            doubts = (*doubts, f"it is in the {name} {options[name]} alone")
    if section.kind == "peers":
        doubts = (*doubts, _LOCAL_PEER)
    if bind.may_differ or UNKNOWN in address:
        yield not_known(NAME, bind.location, bind.location.text.strip())
    if UNKNOWN in address:
        return
    datagram = bind.keyword == "dgram-bind"
    idle = section.kind == "backend"  # it accepts connections, and answers none
    for spec in address.split(","):
        family, _, rest = spec.rpartition("@")
        if rest.startswith("/") or family.rpartition("+")[2] in _NO_INTERNET:
            continue
        quic = family.startswith("quic")
        secure = "ssl" in options or quic
        host, colon, text = rest.rpartition(":")
        if not (colon and text) and not bind.doubts and not bind.may_differ:
            said = f"`{spec}` names no port: it takes a colon, as in `:443`"
            refusals.append(Reason(Code.REFUSED, bind.location, said))
        opened = port_range(text)
        if opened is None:
            yield not_known(NAME, bind.location, bind.location.text.strip())
            continue
        mode = section.mode if section.kind in ("frontend", "listen", "backend") else "log"
        addresses = _addresses(host, family, hosts)
        reasons = doubts
        if len(addresses) > 1:
            reasons = (*doubts, f"it is one of the addresses of {host}")
        made = Listener(
            NAME,
            "h3" if quic else _protocol(mode, secure=secure),
            opened[0],
            bind.location,
            transport="udp" if quic or datagram else "tcp",
            tls="none" if datagram else "unknown" if idle else _tls(mode, secure=secure),
            service=section.name,
            certain=not reasons,
            reasons=reasons,
            ipv6only="v6only" in options,
            passthrough=not secure and section.looks_at_hello,
            proxy_protocol="accept-proxy" in options,
        )
        for port in range(opened[0], min(opened[1], opened[0] + MAX_PORTS) + 1):
            for each in addresses:
                yield replace(made, host=each, port=port)


def _upstreams(sections: list[_Section]) -> Iterator[Upstream]:
    """Yield the servers that requests are passed on to, of which all is known."""
    uses = {name for one in sections if one.kind in ("frontend", "listen") for name in one.uses}
    for section in sections:
        used = section.name in uses or _COMPUTED in uses
        if section.kind == "listen" or (section.kind == "backend" and used):
            for said, options in section.servers:
                address = said.words[1].rpartition("@")[2]
                if said.doubts or "disabled" in options or address.startswith("/"):
                    continue
                host, _, port = address.rpartition(":")
                yield Upstream(
                    0,
                    _scheme(section.mode, secure=_last(options, "ssl")),
                    host.strip("[]") or None,
                    int(port) if port_range(port) is not None and is_number(port) else None,
                    said.location,
                    proxy_protocol=_last(options, "send-proxy"),
                    passes_tls=section.mode != "http",
                )


def _told(words: list[str]) -> list[str]:
    """Return those of a server's options that are asked for, each once for the last time."""
    asked = (word for word in reversed(words) if _ASKED.match(word))
    return list(dict.fromkeys(asked))[::-1]


def _last(options: list[str], name: str) -> bool:
    """Tell whether an option is on: it may be taken back (`no-ssl`), and has forms (`-v2`)."""
    on = False
    for option in options:
        if option == name or (name == "send-proxy" and option.startswith("send-proxy-")):
            on = True
        elif option in (f"no-{name}", f"no-{name}-v2"):
            on = False
    return on


def _scheme(mode: str, *, secure: bool) -> str:
    return ("https" if secure else "http") if mode == "http" else "tls" if secure else "tcp"


def _options(words: list[str]) -> dict[str, str]:
    """Return the options of a bind, and the words of those that take any."""
    found: dict[str, str] = {}
    given = iter(words)
    for word in given:
        found[word] = next(given, "") if word in _WITH_NAMES else ""
    return found


def _tls(mode: str, *, secure: bool) -> Tls:
    return "implicit" if secure else "none" if mode in ("http", "log") else "unknown"


def _protocol(mode: str, *, secure: bool) -> str:
    return "stream" if mode != "http" else "https" if secure else "http"


def _addresses(host: str, family: str, hosts: Hosts) -> list[str]:
    """Return the addresses: `*` and "" are IPv4; of a name HAProxy takes the first it is told."""
    host = host.strip("[]")
    six = family.endswith("6")
    if host in ("", "*"):
        return ["::" if six else "0.0.0.0"]  # noqa: S104
    return hosts.addresses(host, "6" if six else "4" if family.endswith("4") else "46") or [host]
