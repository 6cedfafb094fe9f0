"""Ports as people write them: 443, 443/udp, https, https/udp."""

from __future__ import annotations

from typing import Literal, cast

from sslint.errors import UsageError
from sslint.regex import is_number, regex

Transport = Literal["tcp", "udp"]

# The names of what sslint is about, whatever /etc/services of this machine says.
SERVICES = {
    "ssh": 22,
    "smtp": 25,
    "http": 80,
    "pop3": 110,
    "imap": 143,
    "https": 443,
    "smtps": 465,
    "submissions": 465,
    "submission": 587,
    "domain-s": 853,
    "imaps": 993,
    "pop3s": 995,
    "sieve": 4190,
    "managesieve": 4190,
}
_SERVICE = regex(r"[a-z][a-z0-9+._-]{0,31}")


def parse(word: str) -> tuple[Transport, int]:
    """Return (transport, port) of a port or service with or without transport. Raise UsageError."""
    name, slash, given = word.partition("/")
    transport = cast("Transport", given if slash else "tcp")
    number = _number(name, transport) if transport in ("tcp", "udp") else None
    if number is None or not 1 <= number <= 65535:
        raise UsageError(f"{word!r} is not a port such as 443, 443/udp or https")
    return transport, number


def _number(name: str, transport: Transport) -> int | None:
    if is_number(name):
        return int(name) if len(name) <= 5 else None
    if name in SERVICES:
        return SERVICES[name]
    if _SERVICE.fullmatch(name) is None:
        return None
    from socket import getservbyname

    try:
        return getservbyname(name, transport)
    except OSError:
        return None
