"""The matches that look at ports, TCP flags and ICMP types."""

from __future__ import annotations

from typing import cast

from sslint.firewalls.errors import RulesetError
from sslint.firewalls.iptables import values
from sslint.firewalls.iptables.arguments import Arguments, Extension
from sslint.firewalls.iptables.icmp import type_and_code
from sslint.firewalls.iptables.terms import Alternatives, compare
from sslint.netfilter.model import Constant, Interval, Intervals, Key, Match, RuleItem, Unknown


def _ports(extension: Extension, arguments: Arguments) -> list[RuleItem]:
    prefix = "th" if arguments.protocol and arguments.protocol[1] else extension.name
    items: list[RuleItem] = []
    for names, field in (
        (("source-port", "sport"), "sport"),
        (("destination-port", "dport"), "dport"),
    ):
        if all(name in extension.given for name in names):
            raise RulesetError(f"--{names[0]} can only be given once")
        given = extension.first(*names)
        if given is not None:
            low, high = cast(Interval, given.value)
            if (low, high) != (0, 65535) or given.negate:
                items.append(compare(f"{prefix}.{field}", low, high, negate=given.negate))
    return items


_FLAGS = {"FIN": 1, "SYN": 2, "RST": 4, "PSH": 8, "ACK": 16, "URG": 32, "ALL": 63, "NONE": 0}


def _flags(text: str) -> int:
    bits = 0
    for name in text.split(","):
        if name.upper() not in _FLAGS:
            raise RulesetError(f"Unknown TCP flag `{name}'")
        bits |= _FLAGS[name.upper()]
    return bits


def tcp(extension: Extension, arguments: Arguments) -> list[RuleItem]:
    """Read `-m tcp`."""
    items = _ports(extension, arguments)
    syn, flags = extension.first("syn"), extension.first("tcp-flags")
    if syn is not None and flags is not None:
        raise RulesetError("Only one of `--syn' or `--tcp-flags' allowed")
    if syn is not None:
        items.append(compare("tcp.flags", 2, negate=syn.negate, mask=23))
    if flags is not None:
        mask = _flags(str(flags.value))
        items.append(compare("tcp.flags", _flags(flags.second), negate=flags.negate, mask=mask))
    option = extension.first("tcp-option")
    if option is not None:
        items.append(Unknown(f"--tcp-option {option.value} depends on what the client sends"))
    return items


def udp(extension: Extension, arguments: Arguments) -> list[RuleItem]:
    """Read `-m udp`."""
    return _ports(extension, arguments)


def sctp_dccp(extension: Extension, arguments: Arguments) -> list[RuleItem]:
    """Read `-m sctp` and `-m dccp`."""
    items = _ports(extension, arguments)
    for name in ("chunk-types", "dccp-types", "dccp-option"):
        if name in extension.given:
            items.append(Unknown(f"--{name} is not modelled"))
    return items


def multiport(extension: Extension, arguments: Arguments) -> Alternatives:
    """Read `-m multiport`; `--ports` is either port."""
    if len(extension.given) != 1:
        raise RulesetError("multiport expects one option")
    name, (given,) = next(iter(extension.given.items()))
    ports = _port_list(str(given.value), arguments.only_protocol)
    source = Match((Key("th.sport"),), ports, given.negate)
    destination = Match((Key("th.dport"),), ports, given.negate)
    if name in ("source-ports", "sports"):
        return [[source]]
    if name in ("destination-ports", "dports"):
        return [[destination]]
    if given.negate:
        return [[source, destination]]
    return [[source], [Match((Key("th.sport"),), ports, True), destination]]


def _port_list(text: str, protocol: int | None) -> Intervals:
    name = {6: "tcp", 17: "udp"}.get(protocol or 0)
    intervals: list[Interval] = []
    slots = 0
    for part in text.split(","):
        low, colon, high = part.partition(":")
        first = values.port(low, name)
        last = values.port(high, name) if colon else first
        slots += 2 if colon else 1
        if first >= last and colon:
            raise RulesetError("invalid portrange specified")
        intervals.append((first, last))
    if slots > 15:
        raise RulesetError("too many ports specified")
    return values.union(intervals)


def icmp(extension: Extension, arguments: Arguments) -> list[RuleItem]:
    """Read `-m icmp` and `-m icmp6`."""
    given = next(iter(extension.given.values()))[0]
    kind, low, high = type_and_code(str(given.value), arguments.family)
    prefix = "icmp" if arguments.family == 4 else "icmpv6"
    if kind == 255 and arguments.family == 4:
        return [Constant(False, "! of every ICMP type")] if given.negate else []
    if (low, high) == (0, 255):
        return [compare(f"{prefix}.type", kind, negate=given.negate)]
    if low != high:  # iptables-nft compares the first code only, iptables-legacy all
        return [Unknown(f"codes {low} to {high} of an ICMP type are compared")]
    element = (Intervals(((kind, kind),)), Intervals(((low, high),)))
    return [Match((Key(f"{prefix}.type"), Key(f"{prefix}.code")), (element,), given.negate)]
