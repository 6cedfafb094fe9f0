"""Exim: its own configuration, else what Debian's update-exim4.conf makes one of."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from sslint.regex import regex
from sslint.servers.listening import Listener, collect, files, lines, not_known, number
from sslint.servers.model import Knows, ServerReading, Tls
from sslint.source import Location, SourceFile
from sslint.tree import Tree
from sslint.values import dataclass, field, replace

NAME = "exim"
DEBIAN = "/etc/exim4/update-exim4.conf.conf"
OWN = ("/etc/exim4/exim4.conf", "/etc/exim/exim.conf", "/etc/exim.conf", "/usr/exim/configure")
MAX_VALUE = 10_000  # characters of a value whose macros are replaced
MAX_NESTING = 100  # of conditions
ADVERTISES = (4, 87)  # since then STARTTLS is announced to all by default
_SMTP = {25: "smtp", 465: "submissions", 587: "submission"}
_OPTION = regex(
    r"(daemon_smtp_ports?|tls_on_connect_ports|local_interfaces|tls_advertise_hosts)\s*=\s*(.*)"
)
_MACRO = regex(r"([A-Z]\w*)\s*(==?)\s*(.*)")
_RIVAL = "Debian installs Exim or Postfix, and what is removed leaves its files in /etc"
_IN_CONDITION = "a macro decides about it"


@dataclass(frozen=True, slots=True)
class _Option:
    """An option's value; `certain` False: a condition that is not known may leave it out."""

    value: str
    location: Location
    certain: bool = True


@dataclass(slots=True)
class _Main:
    """The main section, macros replaced (Exim's specification, 6.4 to 6.9).

    Whether a macro is defined that others make is not known: `DC...` of update-exim4.conf, and
    Exim's own `_...`.
    """

    first: Location
    macros: dict[str, str] = field(default_factory=dict)
    options: dict[str, _Option] = field(default_factory=dict)
    whole: bool = True  # no part of it is left out
    ended: bool = False

    def read(self, file: SourceFile) -> None:
        """Read a part of the configuration up to its first `begin`."""
        taken: list[bool | None] = []  # of each open condition; None: not known
        for index, text in lines(file):
            if re.match(r"begin\s", text) and False not in taken:
                self.ended = True
            if self.ended or len(taken) > MAX_NESTING:
                self.whole = self.whole and self.ended
                return
            if text.startswith("."):
                self._directive(text, taken)
            elif False not in taken:
                self._statement(text, file.at(index), certain=None not in taken)

    def _directive(self, text: str, taken: list[bool | None]) -> None:
        word, _, rest = text.partition(" ")
        if word in (".ifdef", ".ifndef"):
            truth = self._defined(rest.strip())
            taken.append(truth if word == ".ifdef" or truth is None else not truth)
        elif word in (".else", ".elifdef", ".elifndef") and taken:
            was = taken.pop()
            taken.append(None if was is None or word != ".else" else not was)
        elif word == ".endif" and taken:
            taken.pop()
        elif word.startswith(".include") and False not in taken:
            self.whole = False

    def _defined(self, name: str) -> bool | None:
        if name in self.macros:
            return True
        return None if name.startswith(("_", "DC", "UPEX")) else False

    def _statement(self, text: str, location: Location, *, certain: bool) -> None:
        macro, option = _MACRO.match(text), _OPTION.match(text)
        if macro:
            self.macros[macro[1]] = self._expand(macro[3])
        elif option:
            name = option[1] if option[1] != "daemon_smtp_port" else "daemon_smtp_ports"
            self.options[name] = _Option(self._expand(option[2]), location, certain)

    def _expand(self, text: str) -> str:
        return re.sub(r"[A-Z]\w*", lambda m: self.macros.get(m[0], m[0]), text)[:MAX_VALUE]


def read(tree: Tree, version: tuple[int, ...] | None = None) -> ServerReading | None:
    """Read Exim; None if the tree has no socket of it."""
    knows = Knows(tls=False, certificates=False, sites=False)
    return collect(tree, NAME, _listeners(tree, version), mains=(DEBIAN,), knows=knows)


def _listeners(tree: Tree, version: tuple[int, ...] | None) -> Iterator[Listener]:
    own = next(files(tree, *OWN), None)
    if own is not None:
        main = _Main(own.at(1))
        main.read(own)
    else:
        made = _debian(tree)
        if made is None:
            return
        main = made
    if not main.whole:
        yield not_known(NAME, main.first, "what it includes")
    found = _sockets(main, version)
    rival = own is None and not tree.live and tree.exists("/etc/postfix/main.cf")
    for each in found:
        yield replace(each, certain=False, reasons=(_RIVAL,)) if rival else each


def _debian(tree: Tree) -> _Main | None:
    """Return what update-exim4.conf(8) makes of Debian's files."""
    file = tree.try_read(DEBIAN, decisive=False)
    if file is None:
        return None
    main = _Main(file.at(1))
    said = None
    for index, text in lines(file):
        name, _, value = text.partition("=")
        value = value.strip().strip("'\"")
        if name.strip() == "dc_local_interfaces" and value:
            said = _Option(f"<; {value}", file.at(index))
            main.macros["MAIN_LOCAL_INTERFACES"] = said.value
    split = re.search(r"^dc_use_split_config='?true", file.text, re.M) is not None
    whole = ("/etc/exim4/exim4.conf.localmacros", "/etc/exim4/exim4.conf.template")
    given = False
    for other in files(tree, *(("/etc/exim4/conf.d/main/*",) if split else whole)):
        if not split or re.fullmatch(r"[\w-]+", posixpath.basename(other.path)):
            given = given or other.path != whole[0]
            main.read(other)
    if said is not None:
        main.options["local_interfaces"] = said
    if not given:  # what the package ships says the same of the ports, and of TLS nothing for sure
        main.options.setdefault("tls_advertise_hosts", _Option("?", file.at(1), certain=False))
    defaults = tree.try_read("/etc/default/exim4", decisive=False)
    for index, text in lines(defaults) if defaults is not None else ():
        match = re.match(r"SMTPLISTENEROPTIONS=['\"]?.*-oX\s+([^'\"]+)", text)
        if match and defaults is not None:
            main.options["daemon_smtp_ports"] = _Option(match.group(1), defaults.at(index))
    return main


def _sockets(main: _Main, version: tuple[int, ...] | None) -> Iterator[Listener]:
    options = main.options
    ports = options.get("daemon_smtp_ports", _Option("smtp", main.first))
    wrapped = options.get("tls_on_connect_ports", _Option("", ports.location))
    local = options.get("local_interfaces", _Option("", ports.location))
    implicit = {number(text) for text in _list(wrapped.value)}
    early = _starttls(options.get("tls_advertise_hosts"), version)
    certain = ports.certain and local.certain
    for host in _list(local.value) or [""]:
        own = re.fullmatch(r"\[([^\]]*)\]:(\d+)|((?:\d+\.){3}\d+)\.(\d+)", host)
        chosen = [own[2] or own[4]] if own else _list(ports.value)
        address = (own[1] or own[3]) if own else host
        for text in chosen:
            port = number(text)
            if port is None:
                yield not_known(NAME, ports.location, f"daemon_smtp_ports = {text}")
                continue
            tls: Tls = early if port not in implicit else "implicit"
            yield Listener(
                NAME,
                _SMTP.get(port, "smtp"),
                port,
                ports.location,
                host="::" if address == "::0" else address,
                tls=tls if wrapped.certain else "unknown",
                certain=certain,
                reasons=() if certain else (_IN_CONDITION,),
            )


def _starttls(hosts: _Option | None, version: tuple[int, ...] | None) -> Tls:
    """Tell whether STARTTLS is announced to everyone; it is without any certificate, too."""
    if hosts is None:
        return "unknown" if version is not None and version < ADVERTISES else "starttls"
    if not hosts.certain:
        return "unknown"
    return {"*": "starttls", "": "none"}.get(hosts.value.strip(), "unknown")  # type: ignore[return-value]


def _list(text: str) -> list[str]:
    """Split an Exim list: `<;` names another separator, a doubled one stands for itself."""
    separator = ":"
    match = re.match(r"\s*<\s*([^\w\s])", text)
    if match:
        separator, text = match.group(1), text[match.end() :]
    marked = text.replace(separator * 2, "\0")
    parts = [part.replace("\0", separator).strip() for part in marked.split(separator)]
    return [part for part in parts if part]
