"""Exim: its own configuration, else what Debian's update-exim4.conf makes one of."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sslint.regex import is_number, regex
from sslint.servers.exim import debian
from sslint.servers.exim.main import Main, Option
from sslint.servers.listening import Listener, collect, conflicts, files, not_known, number
from sslint.servers.model import Knows, ServerReading, Tls
from sslint.tree import Tree
from sslint.values import replace

NAME = "exim"
OWN = ("/etc/exim4/exim4.conf", "/etc/exim/exim.conf", "/etc/exim.conf", "/usr/exim/configure")
ADVERTISES = (4, 87)  # since then STARTTLS is announced to all by default
WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - what it binds
_SMTP = {25: "smtp", 465: "submissions", 587: "submission"}
_OWN_PORT = regex(r"\[([^\]]*)\]:(\d+)|((?:\d+\.){3}\d+|[0-9a-fA-F:]+)\.(\d+)")
_RIVAL = "Debian installs Exim or Postfix, and what is removed leaves its files in /etc"
_IN_CONDITION = "a macro decides about it"


def read(tree: Tree, version: tuple[int, ...] | None = None) -> ServerReading | None:
    """Read Exim; None if the tree has no socket of it."""
    knows = Knows(tls=False, certificates=False, sites=False)
    listeners = _listeners(tree, version)
    reading = collect(tree, NAME, listeners, mains=(debian.CONF,), knows=knows)
    if reading is not None:
        # Measured with 4.98: it tries ten times, 30 seconds apart, and serves nobody meanwhile.
        reading.conflicts = list(conflicts(reading.endpoints))
        reading.refusals += [conflict.reason for conflict in reading.conflicts]
    return reading


def _listeners(tree: Tree, version: tuple[int, ...] | None) -> Iterator[Listener]:
    own = next(files(tree, *OWN), None)
    main = Main(tree, own.at(1)) if own is not None else debian.made(tree)
    if main is None:
        return
    if own is not None:
        main.read(own)
    _override(main, debian.override(tree))
    for gap in main.gaps:
        yield Listener(NAME, "", 0, main.first, certain=False, reasons=(str(gap),))
    rival = own is None and not tree.live and tree.exists("/etc/postfix/main.cf")
    for each in _sockets(main, version):
        yield replace(each, certain=False, reasons=(_RIVAL,)) if rival else each


def _override(main: Main, said: Option | None) -> None:
    """Put in what `-oX` says (exim(8)): items with a dot or colon are addresses, others ports."""
    items = split(said.value) if said is not None else []
    for name, chosen in (
        ("daemon_smtp_ports", [item for item in items if not re.search(r"[.:]", item)]),
        ("local_interfaces", [item for item in items if re.search(r"[.:]", item)]),
    ):
        if chosen and said is not None:
            main.options[name] = replace(said, value=f"<, {','.join(chosen)}")


def _sockets(main: Main, version: tuple[int, ...] | None) -> Iterator[Listener]:
    options = main.options
    ports = options.get("daemon_smtp_ports", Option("smtp", main.first))
    wrapped = options.get("tls_on_connect_ports", Option("", ports.location))
    local = options.get("local_interfaces", Option("", ports.location))
    no_ipv6 = options.get("disable_ipv6", Option("no", ports.location))
    implicit = {port_of(text) for text in split(wrapped.value)}
    early = _starttls(options.get("tls_advertise_hosts"), version)
    certain = ports.certain and local.certain and no_ipv6.certain
    for host in split(local.value) if "local_interfaces" in options else WILDCARDS:
        own = _OWN_PORT.fullmatch(host)
        chosen = [own[2] or own[4]] if own else split(ports.value)
        address = (own[1] or own[3]) if own else host
        if ":" in address and no_ipv6.value in ("yes", "true", ""):
            continue
        for text in chosen:
            port = number(text) if own else port_of(text)
            if port is None or not 0 < port < 65536:
                option, said = ("local_interfaces", local) if own else ("daemon_smtp_ports", ports)
                yield not_known(NAME, said.location, f"{option} = {host if own else text}")
                continue
            tls: Tls = early if port not in implicit else "implicit"
            yield Listener(
                NAME,
                _SMTP.get(port, "smtp"),
                port,
                local.location if own else ports.location,
                host="::" if address == "::0" else address,
                tls=tls if wrapped.certain else "unknown",
                certain=certain,
                reasons=() if certain else (_IN_CONDITION,),
            )


def _starttls(hosts: Option | None, version: tuple[int, ...] | None) -> Tls:
    """Tell whether STARTTLS is announced to everyone; it is without any certificate, too."""
    if hosts is None:
        return "unknown" if version is not None and version < ADVERTISES else "starttls"
    if not hosts.certain:
        return "unknown"
    items = split(hosts.value)
    return "starttls" if items == ["*"] else "unknown" if items else "none"


def split(text: str) -> list[str]:
    """Split an Exim list: `<;` names another separator, a doubled one stands for itself."""
    separator = ":"
    match = re.match(r"\s*<\s*([^\w\s])", text)
    if match:
        separator, text = match.group(1), text[match.end() :]
    marked = text.replace(separator * 2, "\0")
    parts = [part.replace("\0", separator).strip() for part in marked.split(separator)]
    return [part for part in parts if part]


def port_of(text: str) -> int | None:
    """Return a port as Exim reads it: a number in C's notation, or a service's name."""
    if not is_number(text[:1]):
        return number(text)
    match = re.fullmatch(r"0[xX]([0-9a-fA-F]{1,4})|(0[0-7]{0,6})|([1-9][0-9]{0,4})", text)
    if match is None:
        return None
    return int(match[1] or match[2] or match[3], 16 if match[1] else 8 if match[2] else 10)
