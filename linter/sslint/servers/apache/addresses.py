"""Addresses as Apache writes them: those of Listen and of <VirtualHost>."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from sslint.netfilter import addresses
from sslint.regex import is_number, regex
from sslint.servers.apache.environment import UNKNOWN
from sslint.values import dataclass

ANY_IPV4 = "0.0.0.0"  # noqa: S104 - what Apache binds
ANY_IPV6 = "::"
WILDCARDS = (ANY_IPV4, ANY_IPV6)

Resolve = Callable[[str], tuple[str, ...] | None]
_PORT = regex(r"(?P<host>.+):(?P<port>[0-9]+)\Z", re.ASCII | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Spec:
    """`host:port` as apr_parse_addr_port takes it; None for what is not there."""

    host: str | None
    port: int | None


@lru_cache(1_000)
def parse(text: str) -> Spec | None:
    """Split an address; None if Apache refuses it."""
    if is_number(text):
        alone = _port(text)
        return Spec(None, alone) if alone is not None else None
    match = _PORT.match(text)
    host = match["host"] if match is not None else text
    port = _port(match["port"]) if match is not None else None
    if (match is not None and port is None) or (match is None and re.match(r":[0-9]+\Z", text)):
        return None
    if not host.startswith("["):
        return Spec(host, port)
    inner = host[1:-1].partition("%")[0]
    if not host.endswith("]") or ":" not in inner or canonical(inner) is None:
        return None
    return Spec(host[1:-1], port)


def _port(text: str) -> int | None:
    return int(text) if len(text) < 8 and 0 < int(text) < 65536 else None


def canonical(host: str) -> str | None:
    """Return an address in its shortest form; None for what is none."""
    try:
        family, number = addresses.parse(host.partition("%")[0])
    except ValueError:
        return None
    return addresses.show(family, number)


def resolved(host: str | None, resolve: Resolve) -> tuple[str, ...] | None:
    """Return the addresses of a host; () if it has none, None if that is not known."""
    if host is None:
        return WILDCARDS
    if UNKNOWN in host:
        return None
    literal = canonical(host)
    return (literal,) if literal is not None else resolve(host)
