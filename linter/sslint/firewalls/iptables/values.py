"""Values as iptables' options spell them: numbers, marks, addresses, ports, protocols.

Each function takes the argument's text and raises RulesetError if the real one would refuse it.
Integers follow strtoul(3) with base 0, as libxtables does: 0x1f, 037 and 31 are one number.
"""

from __future__ import annotations

import re
import socket

from sslint.firewalls.errors import RulesetError
from sslint.netfilter.model import Interval, Intervals, UnknownValues
from sslint.network.services import port_number, protocol_number
from sslint.regex import regex

Family = int  # 4 or 6
ALL32 = 0xFFFFFFFF

_NUMBER = regex(r"0[xX][0-9a-fA-F]{1,16}|0[0-7]{0,24}|[1-9][0-9]{0,20}").fullmatch
_HOST_NAME = regex(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_.])?").fullmatch


def number(text: str) -> int | None:
    """Return what strtoul(3) reads from the whole text with base 0, else None."""
    if _NUMBER(text) is None:
        return None
    if text[0] == "0" and len(text) > 1 and text[1] not in "xX":
        return int(text, 8)
    return int(text, 0)


def integer(text: str, low: int = 0, high: int = ALL32) -> int:
    """Read an integer between two bounds."""
    value = number(text)
    if value is None or not low <= value <= high:
        raise RulesetError(f"`{text}' is not a number between {low} and {high}")
    return value


def integer_range(text: str, high: int) -> Interval:
    """Read `a`, `a:b`, `:b` or `a:`."""
    first, colon, last = text.partition(":")
    if not colon:
        value = integer(text, 0, high)
        return value, value
    low = integer(first, 0, high) if first else 0
    return low, integer(last, low, high) if last else high


def masked(text: str, high: int = ALL32) -> tuple[int, int]:
    """Read `value[/mask]`."""
    value, slash, mask = text.partition("/")
    return integer(value, 0, high), integer(mask, 0, high) if slash else high


def bounded(low: int, high: int) -> Intervals:
    """Return the set of the integers from `low` to `high`, empty if they are reversed."""
    return Intervals(((low, high),)) if low <= high else Intervals(())


def union(intervals: list[Interval]) -> Intervals:
    """Return the set that the intervals cover: sorted, disjoint, adjacent ones joined."""
    joined: list[Interval] = []
    for low, high in sorted(intervals):
        if joined and low <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(high, joined[-1][1]))
        elif low <= high:
            joined.append((low, high))
    return Intervals(tuple(joined))


# -- ports and protocols ----------------------------------------------------------------------


def port(text: str, protocol: str | None = None) -> int:
    """Read a port number or a service's name."""
    value = number(text)
    if value is None:
        value = port_number(text, protocol)
    if value is None or value > 65535:
        raise RulesetError(f"Port `{text}' is not known")
    return value


def port_range(text: str, protocol: str | None = None, separator: str = ":") -> Interval:
    """Read `a`, `a:b`, `:b` or `a:`; the bounds may be services' names."""
    first, colon, last = text.partition(separator)
    if not colon:
        value = port(text, protocol)
        return value, value
    low = port(first, protocol) if first else 0
    high = port(last, protocol) if last else 65535
    if low > high:
        raise RulesetError("invalid portrange (min > max)")
    return low, high


def protocol(text: str) -> int:
    """Read a protocol's number or name, in any case."""
    value = number(text)
    if value is None:
        value = protocol_number(text)
    if value is None or value > 255:
        raise RulesetError(f"unknown protocol `{text}'")
    return value


# -- addresses --------------------------------------------------------------------------------


def width(family: Family) -> int:
    """Return the bits of an address."""
    return 32 if family == 4 else 128


def numeric_address(text: str, family: Family) -> int | None:
    """Return an address as an integer, or None; `10.1` is 10.1.0.0 as in libxtables."""
    if family == 6:
        try:
            return int.from_bytes(socket.inet_pton(socket.AF_INET6, text), "big")
        except (OSError, ValueError):
            return None
    value = 0
    parts = text.split(".")
    if len(parts) > 4:
        return None
    for part in parts:
        byte = number(part)
        if byte is None or byte > 255:
            return None
        value = value << 8 | byte
    return value << 8 * (4 - len(parts))


def address(text: str, family: Family) -> int | UnknownValues:
    """Read an address; a host name is resolved when the rules are loaded, so it is unknown."""
    value = numeric_address(text, family)
    if value is not None:
        return value
    if _HOST_NAME(text) is None or re.fullmatch(r"[0-9.-]+", text) or len(text) > 253:
        raise RulesetError(f"host/network `{text}' not found")
    return UnknownValues(f"the name {text} is resolved when the rules are loaded")


def network_mask(text: str, family: Family) -> int:
    """Read a prefix length or a mask, contiguous or not."""
    bits = width(family)
    length = number(text)
    if length is not None and length <= bits:
        return (1 << bits) - (1 << (bits - length))
    if family == 6 or text.count(".") == 3:
        mask = numeric_address(text, family)
        if mask is not None:
            return mask
    raise RulesetError(f"invalid mask `{text}' specified")


def network(text: str, family: Family) -> tuple[int | UnknownValues, int]:
    """Read `address[/mask]` as (address with the mask applied, mask)."""
    host, slash, mask_text = text.partition("/")
    mask = network_mask(mask_text, family) if slash else (1 << width(family)) - 1
    if not host:
        raise RulesetError("an address is empty")
    value = address(host, family)
    return (value if isinstance(value, UnknownValues) else value & mask), mask


def contiguous(mask: int, family: Family) -> bool:
    """Tell whether a mask is a prefix."""
    inverse = mask ^ ((1 << width(family)) - 1)
    return inverse & (inverse + 1) == 0


def address_range(text: str, family: Family) -> Interval | UnknownValues:
    """Read `a-b` or a single address, numeric as the ranges of iprange and NAT must be."""
    first, dash, last = text.partition("-")
    low = numeric_address(first, family)
    high = numeric_address(last, family) if dash else low
    if low is None or high is None:
        raise RulesetError(f"Bad IP address `{text}'")
    return low, high


_MAC = regex(r"[0-9A-Fa-f]{1,2}(?::[0-9A-Fa-f]{1,2}){5}").fullmatch


def hardware_address(text: str) -> int:
    """Read a MAC address."""
    if _MAC(text) is None:
        raise RulesetError(f"Invalid MAC address `{text}'")
    return int("".join(part.zfill(2) for part in text.split(":")), 16)
