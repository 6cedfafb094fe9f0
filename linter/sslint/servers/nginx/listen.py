"""nginx's `listen` statements: which addresses and ports, with which parameters.

Sources: ngx_parse_url (src/core/ngx_inet.c) and ngx_http_core_listen, ngx_stream_core_listen,
ngx_mail_core_listen.
"""

from __future__ import annotations

import re
from typing import Literal

from sslint.budgets import ExhaustedError
from sslint.regex import is_number, regex
from sslint.servers.hostnames import Resolver
from sslint.servers.model import Transport
from sslint.servers.nginx.directive import Directive
from sslint.servers.nginx.templates import FILLED_IN
from sslint.values import dataclass, field

Kind = Literal["http", "stream", "mail"]
Version = tuple[int, ...] | None

ANY_IPV4, ANY_IPV6 = "0.0.0.0", "::"  # noqa: S104
MAX_SOCKETS = 12_000  # of one statement
WILDCARDS = (ANY_IPV4, ANY_IPV6)

_COMMON = frozenset(("bind", "ssl", "proxy_protocol", "multipath"))
_SHARED = _COMMON | {"default_server", "deferred", "reuseport"}
_FLAGS: dict[Kind, frozenset[str]] = {
    "http": _SHARED | {"default", "http2", "quic"},
    "stream": _SHARED | {"udp"},
    "mail": _COMMON,
}
_SINCE = {"quic": (1, 25, 0), "multipath": (1, 29, 7)}
_SIZE = r"[0-9]+[kKmM]?"  # rarely seen: compiled only when it is
_DIGITS = regex(r"[0-9]+\Z")
_KEEPALIVE = r"(on|off|(?=.*[1-9])[0-9a-zA-Z]*(:[0-9a-zA-Z]*(:[0-9]*)?)?)"
_NUMERIC = r"(0[xX][0-9a-fA-F]+|[0-9]+)(\.(0[xX][0-9a-fA-F]+|[0-9]+)){0,3}"
# Parameters that give the address a socket of its own, besides those with a value.
_SETTERS = frozenset(("bind", "deferred", "reuseport", "multipath"))
# What contradicts UDP, each by its first word.
_NOT_UDP = frozenset(
    (
        "fastopen",
        "backlog",
        "deferred",
        "multipath",
        "ssl",
        "http2",
        "so_keepalive",
        "proxy_protocol",
    )
)


@dataclass(slots=True)
class Listen:
    """What a `listen` statement says; `directive` is the first that says it.

    `error`: nginx refuses it; `unknown`: its addresses are not known.

    `explicit`: it carries socket options (`bind`, `backlog=` ...). `unsure` are addresses
    that may or may not be among those a host name stands for.
    """

    directive: Directive
    transport: Transport = "tcp"
    addresses: list[tuple[str, int]] = field(default_factory=list)
    flags: frozenset[str] = frozenset()
    explicit: bool = False
    ipv6only: bool = True
    error: str | None = None
    unknown: str | None = None
    unsure: frozenset[str] = frozenset()


def parse_listen(directive: Directive, kind: Kind, version: Version, resolve: Resolver) -> Listen:
    """Parse one `listen` statement as this kind of block reads it.

    `resolve` returns the addresses of a host name with those that are not sure, or None.
    """
    listen = Listen(directive)
    if directive.block is not None:
        listen.error = 'directive "listen" is not terminated by ";"'
        return listen
    if not directive.args:
        listen.error = 'invalid number of arguments in "listen" directive'
        return listen
    if any(FILLED_IN in word for word in directive.args):
        listen.unknown = "a template fills in this listen directive"
        if FILLED_IN in directive.args[0] or not {"ssl", "quic"}.intersection(directive.args):
            return listen
        listen.unknown = None
    _parameters(listen, kind, version)
    if listen.error is None:
        _address(listen, directive.args[0], 80 if kind == "http" else 0, version, resolve)
    return listen


def _parameters(listen: Listen, kind: Kind, version: Version) -> None:
    flags = set()
    known = _FLAGS[kind]
    for parameter in listen.directive.args[1:]:
        if parameter in known:
            since = _SINCE.get(parameter)
            if since and version and version < since:
                listen.error = f'invalid parameter "{parameter}" before {_text(since)}'
                return
            flags.add("default_server" if parameter == "default" else parameter)
            listen.explicit |= parameter in _SETTERS
            continue
        if FILLED_IN in parameter:
            continue
        name, equals, value = parameter.partition("=")
        if kind == "http" and parameter == "spdy" and (version is None or version < (1, 25, 0)):
            continue  # superseded by http2 in 1.9.5; later versions warned, then refused it
        if name == "setfib" and equals:  # only where the kernel has several routing tables
            listen.explicit = True
            continue
        if not equals or not _valid(kind, name, value, listen):
            listen.error = f'invalid parameter "{parameter}"'
            return
        flags.add(name)
        listen.explicit |= name != "accept_filter"
    if "quic" in flags or "udp" in flags:
        listen.transport = "udp"
        if wrong := sorted(flags & _NOT_UDP):
            other = "quic" if "quic" in flags else "udp"
            listen.error = f'"{wrong[0]}" parameter is incompatible with "{other}"'
    listen.flags = frozenset(flags)


def _valid(kind: Kind, name: str, value: str, listen: Listen) -> bool:
    if name == "ipv6only":
        listen.ipv6only = value == "on"
        return value in ("on", "off")
    if name == "backlog":
        return bool(_DIGITS.match(value)) and int(value[:20]) > 0
    if name in ("rcvbuf", "sndbuf"):
        return re.fullmatch(_SIZE, value) is not None
    if name == "so_keepalive":
        return re.fullmatch(_KEEPALIVE, value) is not None
    if name == "fastopen":
        return kind != "mail" and bool(_DIGITS.match(value))
    return name == "accept_filter" and kind != "mail"


def _address(listen: Listen, text: str, default: int, version: Version, resolve: Resolver) -> None:
    if text[:5].lower() == "unix:":
        if len(text) == 5:
            listen.error = "no path in the unix domain socket"
        return
    if text.startswith("["):
        inside, closed, rest = text[1:].partition("]")
        hosts = _inet6(inside)
        if not closed or "/" in rest or hosts is None or (rest and rest[0] != ":"):
            listen.error = f'invalid IPv6 address "{text}"'
            return
        port = rest[1:] if rest else None
    else:
        if "/" in text or "?" in text:
            listen.error = f'invalid host in "{text}"'
            return
        host, colon, after = text.partition(":")
        port = after if colon else None
        if not colon and (ports := _ports(text)) is not None:
            _expand(listen, [ANY_IPV4], ports, version)
            return
        if not colon and _DIGITS.match(text.split("-")[0]) and _DIGITS.match(text.split("-")[-1]):
            listen.error = f'invalid port in "{text}"'
            return
        if not host:
            reason = "no host" if port and _ports(port) else "invalid port"
            listen.error = f'{reason} in "{text}"'
            return
        hosts = _hosts(listen, host, version, resolve)
    ports = _ports(port) if port is not None else (default, default)
    if ports is None:
        listen.error = f'invalid port in "{text}"'
    elif hosts is not None:
        if port is None and not default:
            listen.unknown = "no port is given, so the kernel chooses one"
        else:
            _expand(listen, hosts, ports, version)


def _hosts(listen: Listen, host: str, version: Version, resolve: Resolver) -> list[str] | None:
    if host == "*":
        return [ANY_IPV4]
    literal = _inet4(host) or _numeric(host)
    if literal is not None:
        return [literal]
    resolved = resolve(host)
    if resolved is None:
        listen.unknown = f"the addresses of {host} are not in the files"
        return None
    hosts, listen.unsure = resolved
    if version is not None and version < (1, 15, 10):  # only the first address was used
        listen.unsure = frozenset(hosts) if len(hosts) > 1 else frozenset()
    return hosts


def _expand(listen: Listen, hosts: list[str], ports: tuple[int, int], version: Version) -> None:
    first, last = ports
    if first != last and version is not None and version < (1, 15, 10):
        listen.error = "port ranges are not known before 1.15.10"
        return
    count = len(hosts) * (last - first + 1)
    if count > MAX_SOCKETS:
        raise ExhaustedError(
            f"needs more than {MAX_SOCKETS:,} listening sockets", listen.directive.location
        )
    listen.addresses = [
        (host, port) for host in dict.fromkeys(hosts) for port in range(first, last + 1)
    ]


def _ports(text: str) -> tuple[int, int] | None:
    """Parse `443` or `8000-8002`; None if it is neither."""
    first, dash, last = text.partition("-")
    if not _DIGITS.match(first) or (dash and not _DIGITS.match(last)):
        return None
    low = int(first[:20])
    high = int(last[:20]) if dash else low
    return (low, high) if 1 <= low <= high <= 65535 else None


def _inet4(text: str) -> str | None:
    """Parse as ngx_inet_addr does: four decimal octets, an empty one is zero."""
    octets = text.split(".")
    if len(octets) != 4 or not all(o == "" or (is_number(o)) for o in octets):
        return None
    numbers = [int(o or 0) for o in octets]
    return ".".join(map(str, numbers)) if max(numbers) <= 255 else None


def _numeric(text: str) -> str | None:
    """Parse the short and hexadecimal forms that getaddrinfo(3) takes for addresses."""
    if not is_number(text[:1]) or re.fullmatch(_NUMERIC, text) is None:
        return None
    import socket

    try:
        return socket.inet_ntoa(socket.inet_aton(text))
    except (OSError, ValueError):
        return None


def _inet6(text: str) -> list[str] | None:
    if text == ANY_IPV6:
        return [text]
    import socket  # late: it costs more than a stock configuration, which needs no more than `::`

    try:
        return [socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, text))]
    except (OSError, ValueError):
        return None


def _text(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
