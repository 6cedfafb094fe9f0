"""URLs in Apache's statements: their parts, and the variables that stand for the own name."""

from __future__ import annotations

import re
from functools import lru_cache

from sslint.regex import is_number, regex
from sslint.servers.apache.environment import UNKNOWN
from sslint.values import dataclass

_URL = regex(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*|%\{[^}]*\})://(?P<authority>[^/?#\s]*)")
_AUTHORITY = regex(r"(\[[0-9A-Fa-f:.]+\]|[^:]*)(?::(.*))?\Z", re.DOTALL)
# What starts the path of a URL that has no slash before it: `https://%{HTTP_HOST}%{REQUEST_URI}`.
_PATH = regex(r"%\{(?:REQUEST_URI|THE_REQUEST)\}|\$[0-9]")
_OWN = ("%{HTTP_HOST}", "%{SERVER_NAME}", "%{HTTP:HOST}")
PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443, "h2c": 80, "h2": 443}


@dataclass(frozen=True, slots=True)
class Url:
    """Scheme, host and port of a URL; None for what a variable decides. `own`: this name."""

    scheme: str | None
    host: str | None
    port: int | None
    own: bool


@lru_cache(1_000)
def parse(text: str) -> Url | None:
    """Return the parts of an absolute URL; None for what is none."""
    match = _URL.match(text)
    if match is None:
        return None
    scheme = match["scheme"].lower()
    known = None if "%" in scheme or UNKNOWN in scheme else scheme
    parts = _AUTHORITY.match(_PATH.split(match["authority"], maxsplit=1)[0])
    host, port = (parts[1].strip("[]"), parts[2]) if parts is not None else ("", None)
    own = host.upper() in _OWN
    variable = own or not host or any(mark in host for mark in ("%", "$", UNKNOWN))
    number = PORTS.get(known or "") if port is None else None
    if port is not None and is_number(port) and len(port) < 6:
        number = int(port)
    return Url(known, None if variable else host.lower(), number, own)
