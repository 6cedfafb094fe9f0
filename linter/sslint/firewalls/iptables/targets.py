"""What iptables' targets do, in the terms of the ruleset model."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal, cast

from sslint.firewalls.errors import RulesetError
from sslint.firewalls.iptables import options as tables
from sslint.firewalls.iptables import refusals, values
from sslint.firewalls.iptables.arguments import Arguments, Extension
from sslint.firewalls.iptables.matches import dscp_class, set_directions
from sslint.netfilter.model import (
    Assign,
    Interval,
    Intervals,
    Key,
    Nat,
    Notrack,
    RuleItem,
    SetRef,
    SetUpdate,
    Synproxy,
    Tproxy,
    Unmodelled,
    Verdict,
)

# Where the kernel lets a target stand: (tables, base chains); () is anywhere.
PLACES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "CHECKSUM": (("mangle",), ()),
    "CLASSIFY": ((), ("FORWARD", "OUTPUT", "POSTROUTING")),
    "CLUSTERIP": (("filter",), ("INPUT",)),
    "CONNSECMARK": (("mangle", "security"), ()),
    "CT": (("raw",), ()),
    "DNAT": (("nat",), ("PREROUTING", "OUTPUT")),
    "DNPT": (("mangle",), ("PREROUTING", "OUTPUT")),
    "DSCP": (("mangle",), ()),
    "ECN": (("mangle",), ()),
    "HL": (("mangle",), ()),
    "MASQUERADE": (("nat",), ("POSTROUTING",)),
    "NETMAP": (("nat",), ()),
    "NOTRACK": (("raw",), ()),
    "REDIRECT": (("nat",), ("PREROUTING", "OUTPUT")),
    "REJECT": (("filter",), ("INPUT", "FORWARD", "OUTPUT")),
    "SNAT": (("nat",), ("POSTROUTING", "INPUT")),
    "SNPT": (("mangle",), ("INPUT", "POSTROUTING")),
    "SYNPROXY": ((), ("INPUT", "FORWARD")),
    "TCPOPTSTRIP": (("mangle",), ()),
    "TOS": (("mangle",), ()),
    "TPROXY": (("mangle",), ("PREROUTING",)),
    "TTL": (("mangle",), ()),
}


def base_chains(target: Extension) -> tuple[str, ...]:
    """Return the base chains that the kernel lets a target be reached from; () is all of them."""
    if {"clamp-mss-to-pmtu", "map-prio", "map-queue"} & set(target.given):
        return ("FORWARD", "OUTPUT", "POSTROUTING")
    return PLACES.get(target.name, ((), ()))[1]


def rule_target(arguments: Arguments, table: str, chains: frozenset[str]) -> list[RuleItem]:
    """Return what a rule does with the packets it matches; [] for a rule that only counts.

    `chains` are the table's chains: one of them hides a target of its name.
    """
    name = arguments.jump
    if not name:
        return []
    if name in chains:
        if arguments.target is not None and (arguments.target.given or arguments.target.words):
            raise RulesetError(f"chain `{name}' takes no options")
        return [Verdict("goto" if arguments.goto else "jump", name)]
    target = arguments.target
    elsewhere = tables.target_options(name, 10 - arguments.family) is not None
    known = target is not None and not (elsewhere and target.options is None)
    if arguments.goto or not (known or name in tables.FOREIGN_TARGETS):
        raise RulesetError(f"Chain '{name}' does not exist")
    if target is None or target.options is None:
        words = " ".join([name, *(target.words if target else ())])
        return [Unmodelled(f"-j {words[:120]} is not modelled")]
    refusals.check(target, arguments)
    allowed = PLACES.get(name, ((), ()))[0]
    if allowed and table not in allowed:
        raise RulesetError(f"target {name} is only valid in the {allowed[0]} table")
    if "map-set" in target.given and table != "mangle":
        raise RulesetError("SET --map-set is only valid in the mangle table")
    return _TARGETS.get(name, _continue)(target, arguments)


Builder = Callable[[Extension, Arguments], list[RuleItem]]


def _continue(target: Extension, arguments: Arguments) -> list[RuleItem]:
    """Log, count or trace: the packet goes on unchanged as far as any match can see."""
    return []


_LEVELS = (
    "alert",
    "crit",
    "debug",
    "emerg",
    "error",
    "info",
    "notice",
    "panic",
    "warning",
)


def _log(target: Extension, arguments: Arguments) -> list[RuleItem]:
    given = target.first("log-level")
    if given is not None:
        level = str(given.value).lower()
        number = values.number(level)
        named = any(name.startswith(level) for name in _LEVELS) and level != ""
        if not named and (number is None or number > 7):
            raise RulesetError(f'log level "{given.value}" unknown')
    return []


def _audit(target: Extension, arguments: Arguments) -> list[RuleItem]:
    kind = str(target.given["type"][0].value)
    if kind not in ("accept", "drop", "reject"):
        raise RulesetError(f'Bad action type value "{kind}"')
    return []


def _tcpmss(target: Extension, arguments: Arguments) -> list[RuleItem]:
    if len(target.given) != 1 or arguments.only_protocol != 6:
        raise RulesetError("TCPMSS needs one option and -p tcp")
    return []


def _classify(target: Extension, arguments: Arguments) -> list[RuleItem]:
    text = str(target.given["set-class"][0].value)
    if re.fullmatch(r"[0-9a-fA-F]{1,4}:[0-9a-fA-F]{1,4}", text) is None:
        raise RulesetError(f'Bad class value "{text}"')
    return [Assign(Key("meta.priority"), unknown="CLASSIFY sets the class")]


def _verdict(kind: Literal["accept", "drop", "return"]) -> Builder:
    def build(target: Extension, arguments: Arguments) -> list[RuleItem]:
        return [Verdict(kind)]

    return build


# -- REJECT and the queues --------------------------------------------------------------------

# --reject-with: the name (its beginning does), and its short form.
_REJECT4 = (
    ("icmp-net-unreachable", "net-unreach"),
    ("icmp-host-unreachable", "host-unreach"),
    ("icmp-proto-unreachable", "proto-unreach"),
    ("icmp-port-unreachable", "port-unreach"),
    ("icmp-net-prohibited", "net-prohib"),
    ("icmp-host-prohibited", "host-prohib"),
    ("tcp-reset", "tcp-rst"),
    ("icmp-admin-prohibited", "admin-prohib"),
)
_REJECT6 = (
    ("icmp6-no-route", "no-route"),
    ("icmp6-adm-prohibited", "adm-prohibited"),
    ("icmp6-addr-unreachable", "addr-unreach"),
    ("icmp6-port-unreachable", "port-unreach"),
    ("tcp-reset", "tcp-reset"),
    ("icmp6-policy-fail", "policy-fail"),
    ("icmp6-reject-route", "reject-route"),
)


def _reject(target: Extension, arguments: Arguments) -> list[RuleItem]:
    given = target.first("reject-with")
    wanted = "port-unreach" if given is None else str(given.value).lower()
    for name, short in _REJECT4 if arguments.family == 4 else _REJECT6:
        if wanted and (name.startswith(wanted) or short.startswith(wanted)):
            if name != "tcp-reset":
                return [Verdict("reject")]
            if arguments.only_protocol != 6:
                raise RulesetError("REJECT --reject-with tcp-reset needs -p tcp")
            return [Verdict("reject", reject_protocol=6)]
    raise RulesetError(f'unknown reject type "{wanted}"')


def _queue(target: Extension, arguments: Arguments) -> list[RuleItem]:
    return [Verdict("queue", bypass="queue-bypass" in target.given)]


# -- NAT --------------------------------------------------------------------------------------


def _nat_ports(text: str, arguments: Arguments) -> tuple[Interval, int | None]:
    """Read `port[-port[/base]]`; names may only stand alone."""
    if arguments.protocol is None or arguments.protocol[0] not in (1, 6, 17, 33, 132):
        raise RulesetError("Need TCP, UDP, SCTP or DCCP with port specification")
    first, dash, rest = text.partition("-")
    if values.number(first) is None:
        first, dash = text, ""  # a name may have a dash in it
    if not dash:
        port = values.port(first)
        return (port, port), None
    last, slash, base = rest.partition("/")
    low, high = values.integer(first, 0, 65535), values.integer(last, 0, 65535)
    if high < low:
        raise RulesetError(f"Port range `{text}' funky")
    return (low, high), values.port(base) if slash else None


def _nat_target(
    text: str, arguments: Arguments
) -> tuple[Intervals | None, Interval | None, int | None]:
    """Read `[address[-address]][:ports]`, an IPv6 address with ports in brackets."""
    family = arguments.family
    addresses, colon, ports = text, "", ""
    if text.startswith("["):
        inside, bracket, rest = text[1:].partition("]")
        if not bracket or family == 4:
            raise RulesetError("Invalid address format")
        tail, colon, ports = rest.partition(":")
        addresses = inside + tail
    elif text.count(":") == 1:
        addresses, colon, ports = text.partition(":")
    interval, base = _nat_ports(ports, arguments) if colon else (None, None)
    if not addresses and colon:
        return None, interval, base
    first, dash, last = addresses.partition("-")
    if family == 6:
        first, last = first.strip("[]"), last.strip("[]")
    low = _strict_address(first, family)
    high = _strict_address(last, family) if dash else low
    return values.bounded(min(low, high), max(low, high)), interval, base


def _strict_address(text: str, family: int) -> int:
    value = values.numeric_address(text, family)
    if value is None or (family == 4 and text.count(".") != 3):
        raise RulesetError(f'Bad IP address "{text}"')
    return value


def _random(target: Extension, ports: Interval | None) -> str:
    wide = ports is not None and ports[0] != ports[1]
    return "--random picks the port" if wide and "random" in target.given else ""


def _family(arguments: Arguments) -> Literal[4, 6]:
    return 4 if arguments.family == 4 else 6


def _dnat(target: Extension, arguments: Arguments) -> list[RuleItem]:
    text = str(target.given["to-destination"][0].value)
    addresses, ports, base = _nat_target(text, arguments)
    return [
        Nat(
            "dnat",
            addresses,
            ports,
            _family(arguments),
            port_shift=base,
            unknown=_random(target, ports),
        )
    ]


def _snat(target: Extension, arguments: Arguments) -> list[RuleItem]:
    addresses, ports, _ = _nat_target(str(target.given["to-source"][0].value), arguments)
    return [Nat("snat", addresses, ports, _family(arguments))]


def _redirect(target: Extension, arguments: Arguments) -> list[RuleItem]:
    given = target.first("to-ports")
    ports, base = (None, None) if given is None else _nat_ports(str(given.value), arguments)
    if base is not None:
        raise RulesetError("Shifted portmap ranges not supported with this kernel")
    return [Nat("redirect", None, ports, _family(arguments), unknown=_random(target, ports))]


def _masquerade(target: Extension, arguments: Arguments) -> list[RuleItem]:
    given = target.first("to-ports")
    ports = _nat_ports(str(given.value), arguments)[0] if given else None
    return [Nat("masquerade", None, ports, _family(arguments))]


def _netmap(target: Extension, arguments: Arguments) -> list[RuleItem]:
    value, mask = cast("tuple[int, int]", target.given["to"][0].value)
    if not isinstance(value, int):
        return [Nat("dnat", None, None, _family(arguments), unknown="NETMAP to a name")]
    return [Nat("dnat", values.bounded(value, value), None, _family(arguments), mask=mask)]


# -- marks and tracking -----------------------------------------------------------------------


def _mark_operation(target: Extension) -> tuple[int, int] | None:
    """Return (bits cleared, bits flipped after that) of --set-mark and its relatives, or None."""
    for name in ("set-xmark", "set-mark"):
        given = target.first(name)
        if given is not None:
            value, mask = cast("tuple[int, int]", given.value)
            return (mask if name == "set-xmark" else mask | value), value
    if (given := target.first("and-mark")) is not None:
        return cast(int, given.value) ^ values.ALL32, 0
    if (given := target.first("or-mark")) is not None:
        return cast(int, given.value), cast(int, given.value)
    if (given := target.first("xor-mark")) is not None:
        return 0, cast(int, given.value)
    return None


def _mark(target: Extension, arguments: Arguments) -> list[RuleItem]:
    operation = _mark_operation(target)
    if operation is None or len(target.given) > 1:
        raise RulesetError("MARK: exactly one option must be given")
    cleared, flipped = operation
    return [Assign(Key("meta.mark"), cleared ^ values.ALL32, flipped)]


def _connmark(target: Extension, arguments: Arguments) -> list[RuleItem]:
    operation = _mark_operation(target)
    if operation is not None:
        return [Assign(Key("ct.mark"), operation[0] ^ values.ALL32, operation[1])]
    save = "save-mark" in target.given
    if save == ("restore-mark" in target.given):
        raise RulesetError("CONNMARK: exactly one operation must be given")
    masks = {
        name: cast(int, given.value) if (given := target.first(name, "mask")) else values.ALL32
        for name in ("ctmask", "nfmask")
    }
    mark, connection = Key("meta.mark"), Key("ct.mark")
    written, read = (connection, mark) if save else (mark, connection)
    written_mask = masks["ctmask" if save else "nfmask"]
    read_mask = masks["nfmask" if save else "ctmask"]
    if written_mask != values.ALL32 or any("shift" in name for name in target.given):
        return [Assign(written, unknown="CONNMARK combines two marks")]
    return [Assign(written, read_mask, 0, read)]


_EVENTS = frozenset(
    """
    new related destroy reply assured protoinfo helper mark natseqinfo secmark
    """.split()
)


def _ct(target: Extension, arguments: Arguments) -> list[RuleItem]:
    events = target.first("ctevents")
    if events is not None and not _EVENTS.issuperset(str(events.value).split(",")):
        raise RulesetError(f'Unknown event in "{events.value}"')
    if "notrack" in target.given:
        return [Notrack()]
    if not {"zone", "zone-orig", "zone-reply"} & target.given.keys():
        return [Assign(Key("ct.template", arg="xt"))]
    assigned = []
    for name in ("zone", "zone-orig", "zone-reply"):
        given = target.first(name)
        if given is not None:
            number = values.number(str(given.value))
            key = Key("ct.zone", arg="xt")
            if number is None and given.value != "mark":
                raise RulesetError(f"--{name}: `{given.value}' is not a zone")
            if number is None or name == "zone-reply":
                assigned.append(Assign(key, unknown="a zone taken from the mark"))
            else:
                assigned.append(Assign(key, 0, number))
    return [
        max(assigned, key=lambda one: bool(one.unknown))
    ]  # one template, whose zone is not known


def _notrack(target: Extension, arguments: Arguments) -> list[RuleItem]:
    return [Notrack()]


def _tproxy(target: Extension, arguments: Arguments) -> list[RuleItem]:
    if arguments.only_protocol not in (6, 17):
        raise RulesetError("TPROXY needs -p tcp or -p udp")
    port = cast(int, target.given["on-port"][0].value)
    items: list[RuleItem] = []
    mark = target.first("tproxy-mark")
    if mark is not None:
        value, mask = cast("tuple[int, int]", mark.value)
        if mask or value:
            items.append(Assign(Key("meta.mark"), mask ^ values.ALL32, value))
    address = target.first("on-ip")
    number = _strict_address(str(address.value), arguments.family) if address else None
    return [*items, Tproxy(port or None, number or None, drops=True)]


def _synproxy(target: Extension, arguments: Arguments) -> list[RuleItem]:
    if arguments.only_protocol != 6:
        raise RulesetError("SYNPROXY needs -p tcp")
    return [Synproxy()]


def _set(target: Extension, arguments: Arguments) -> list[RuleItem]:
    items: list[RuleItem] = []
    operations: tuple[tuple[str, Literal["add", "delete"]], ...] = (
        ("add-set", "add"),
        ("del-set", "delete"),
    )
    for name, operation in operations:
        given = target.first(name)
        if given is not None:
            key = Key("ipset", arg=set_directions(given.second))
            items.append(SetUpdate(SetRef(str(given.value)), (key,), operation))
    given = target.first("map-set")
    if given is not None:
        set_directions(given.second)
        if not {"map-mark", "map-prio", "map-queue"} & set(target.given):
            raise RulesetError("SET: --map-set needs --map-mark, --map-prio or --map-queue")
        items.append(Assign(Key("meta.mark"), unknown="SET --map-set writes what the set says"))
    if not items:
        raise RulesetError("SET: You must specify either `--add-set' or `--del-set'")
    return items


def _tee(target: Extension, arguments: Arguments) -> list[RuleItem]:
    values.address(str(target.given["gateway"][0].value), arguments.family)
    return []


def _hmark(target: Extension, arguments: Arguments) -> list[RuleItem]:
    if "hmark-rnd" not in target.given:
        raise RulesetError("--hmark-rnd is mandatory")
    return [Assign(Key("meta.mark"), unknown="HMARK writes a hash of the packet")]


def _dscp(target: Extension, arguments: Arguments) -> list[RuleItem]:
    key = Key("ip.dscp" if arguments.family == 4 else "ip6.dscp")
    if len(target.given) != 1:
        raise RulesetError("DSCP: exactly one option must be given")
    name, (given,) = next(iter(target.given.items()))
    code = cast(int, given.value) if name == "set-dscp" else dscp_class(str(given.value))
    return [Assign(key, 0, code)]


def _header_field(name4: str, name6: str) -> Builder:
    def build(target: Extension, arguments: Arguments) -> list[RuleItem]:
        if not target.given:
            raise RulesetError(f"{target.name}: an option must be given")
        key = Key(name4 if arguments.family == 4 else name6)
        return [Assign(key, unknown=f"{target.name} rewrites the header")]

    return build


def _unmodelled(target: Extension, arguments: Arguments) -> list[RuleItem]:
    return [Unmodelled(f"-j {target.name} is not modelled")]


_TARGETS: dict[str, Builder] = {
    "ACCEPT": _verdict("accept"),
    "CLUSTERIP": _unmodelled,
    "AUDIT": _audit,
    "CLASSIFY": _classify,
    "CONNMARK": _connmark,
    "LOG": _log,
    "TCPMSS": _tcpmss,
    "CT": _ct,
    "DNAT": _dnat,
    "DNPT": _unmodelled,
    "DROP": _verdict("drop"),
    "DSCP": _dscp,
    "HL": _header_field("ip.ttl", "ip6.hoplimit"),
    "HMARK": _hmark,
    "MARK": _mark,
    "MASQUERADE": _masquerade,
    "NETMAP": _netmap,
    "NFQUEUE": _queue,
    "NOTRACK": _notrack,
    "QUEUE": _queue,
    "REDIRECT": _redirect,
    "REJECT": _reject,
    "RETURN": _verdict("return"),
    "SET": _set,
    "SNAT": _snat,
    "SNPT": _unmodelled,
    "SYNPROXY": _synproxy,
    "TEE": _tee,
    "TOS": _header_field("ip.dscp", "ip6.dscp"),
    "TPROXY": _tproxy,
    "TTL": _header_field("ip.ttl", "ip6.hoplimit"),
}
