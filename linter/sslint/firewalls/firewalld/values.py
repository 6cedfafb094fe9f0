"""Ports, protocols and addresses as firewalld reads them (src/firewall/functions.py)."""

from __future__ import annotations

import re
import socket

from sslint.netfilter.model import Interval
from sslint.network.services import port_number, protocol_number
from sslint.regex import is_number, regex

TRANSPORTS = {"tcp": 6, "udp": 17, "sctp": 132, "dccp": 33}
_MAC = regex(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}")


def port_range(text: str) -> Interval | None:
    """Return a port or a range of ports, by number or name; None if firewalld refuses it."""
    if is_number(text):
        return _whole(_port(text))
    first, dash, second = text.partition("-")
    if dash and is_number(first) and is_number(second):
        low, high = _port(first), _port(second)
        # firewalld turns 90-80 round; it refuses nothing but numbers that are too big.
        return None if low is None or high is None else (min(low, high), max(low, high))
    # Names may hold dashes: every way to split them is tried, and two ways are one too many.
    found: list[Interval] = []
    parts = text.split("-")
    for count in range(min(len(parts), 8), 0, -1):
        low = _port("-".join(parts[:count]))
        if count == len(parts):
            if low is not None:
                return low, low
            continue
        high = _port("-".join(parts[count:]))
        if low is not None and high is not None:
            found.append((min(low, high), max(low, high)))
    return found[0] if len(found) == 1 else None


def _whole(port: int | None) -> Interval | None:
    return None if port is None else (port, port)


def _port(text: str) -> int | None:
    text = text.strip()
    if re.fullmatch(r"\+?\d{1,9}", text):
        return int(text) if int(text) <= 65535 else None
    return port_number(text)


def protocol(text: str) -> int | None:
    """Return a protocol's number; None if firewalld refuses it."""
    text = text.strip()
    if re.fullmatch(r"\d{1,9}", text):
        return int(text) if int(text) <= 255 else None
    # iptables knows more names than /etc/protocols has.
    return None if text in ("all", "icmp6", "icmpv6", "mh") else protocol_number(text)


def is_mac(text: str) -> bool:
    """Tell whether this is a MAC address."""
    return _MAC.fullmatch(text) is not None


def address(text: str, *, single: bool = False) -> tuple[int, Interval] | None:
    """Return (family, first and last address) of an address or, unless `single`, a network."""
    base, slash, mask = text.partition("/")
    if slash and (single or not base or not mask):
        return None
    for family, domain, bits in ((4, socket.AF_INET, 32), (6, socket.AF_INET6, 128)):
        bare = base.strip("[]") if family == 6 else base
        try:
            number = int.from_bytes(socket.inet_pton(domain, bare), "big")
        except (OSError, ValueError):
            continue
        length = _prefix(mask, family, bits) if slash else bits
        if length is None:
            return None
        size = 1 << (bits - length)
        first = number & ~(size - 1)
        return family, (first, first + size - 1)
    return None


def _prefix(mask: str, family: int, bits: int) -> int | None:
    if family == 4 and "." in mask:
        try:
            number = int.from_bytes(socket.inet_pton(socket.AF_INET, mask), "big")
        except (OSError, ValueError):
            return None
        inverse = number ^ 0xFFFFFFFF  # a netmask; a hostmask such as 0.0.0.255 counts as well
        if inverse & (inverse + 1) == 0:
            return 32 - inverse.bit_length()
        return 32 - number.bit_length() if number & (number + 1) == 0 else None
    if not re.fullmatch(r"\d{1,3}", mask) or int(mask) > bits:
        return None
    return int(mask)


def integer(text: str) -> int | None:
    """Return a number, decimal or with a prefix such as 0x; None if it is none."""
    if len(text) > 32:
        return None
    try:
        number = int(text, 0)
    except ValueError:
        return None
    return number if number >= 0 else None


def mark_value(text: str) -> tuple[int, int | None]:
    """Return the value and the mask of a mark that was checked."""
    value, slash, mask = text.partition("/")
    return integer(value) or 0, (integer(mask) or 0) if slash else None
