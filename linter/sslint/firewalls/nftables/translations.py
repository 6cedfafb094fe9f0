"""snat, dnat, masquerade, redirect and tproxy."""

from __future__ import annotations

from typing import Literal, cast, get_args

from sslint.firewalls.nftables import datatypes as t
from sslint.firewalls.nftables.datatypes import DataType, Refused
from sslint.firewalls.nftables.operands import Operand, operand
from sslint.firewalls.nftables.rules import RuleBuilder
from sslint.firewalls.nftables.syntax import (
    Concat,
    Expression,
    Mapping,
    Prefix,
    Range,
    SetLiteral,
    SetName,
)
from sslint.firewalls.nftables.values import element, flatten, interval, single
from sslint.netfilter.model import (
    Element,
    Interval,
    Intervals,
    Names,
    Nat,
    NatTarget,
    SetRef,
    Tproxy,
    UnknownValues,
    Values,
)

Kind = Literal["dnat", "redirect", "snat", "masquerade"]
KINDS: dict[str, Kind] = {kind: kind for kind in get_args(Kind)}
Family = Literal[0, 4, 6]
_HOOKS = {
    "dnat": frozenset(("prerouting", "output")),
    "redirect": frozenset(("prerouting", "output")),
    "snat": frozenset(("input", "postrouting")),
    "masquerade": frozenset(("postrouting",)),
}
Entries = tuple[tuple[Element, NatTarget], ...]


def translate(
    builder: RuleBuilder,
    kind: Kind,
    address: Expression | None,
    port: Expression | None,
    family: Family = 0,
    *,
    prefix: bool = False,
) -> None:
    """Add a translation to an address, a port, both, or what a map says. Raise Refused."""
    if builder.family not in ("ip", "ip6", "inet"):
        raise Refused(f"{kind} is not supported in family {builder.family}")
    for part in (address, port):
        if part is not None:
            builder.look_at(part)
    family = _family(builder, family, address)
    builder.needs.append(("nat", _HOOKS[kind]))
    if kind in ("dnat", "snat") and address is not None and not family:
        raise Refused(f"specify `{kind} ip' or '{kind} ip6' in inet table to disambiguate")
    if port is None and isinstance(address, Mapping) and _gives_port(address):
        port_given = True
    else:
        port_given = port is not None or (kind == "redirect" and address is not None)
    if port_given and not builder.layer4 and not _has_protocol(builder):
        raise Refused("transport protocol mapping is only valid after transport protocol match")
    if kind == "redirect" and address is not None and port is None:
        address, port = None, address  # `redirect to 80` names the port
    if prefix:
        builder.add(Nat(kind, family=family, unknown="a prefix translated to a prefix"))
    elif isinstance(address, Mapping) or isinstance(port, Mapping):
        _by_map(builder, kind, address, port, family)
    else:
        dtype = _address_type(family)
        addresses, ports = _target(address, port, dtype)
        if isinstance(ports, UnknownValues):
            builder.add(Nat(kind, family=family, unknown=ports.reason))
        else:
            builder.add(Nat(kind, addresses, ports, family))
    builder.ended = True


def _gives_port(address: Mapping) -> bool:
    table = address.map
    return isinstance(table, SetLiteral) and any(
        isinstance(item.data, Concat) for item in table.items
    )


def _family(builder: RuleBuilder, family: Family, address: Expression | None) -> Family:
    own = {"ip": 4, "ip6": 6}.get(builder.family)
    if own:
        if family not in (0, own):
            raise Refused("conflicting network layer protocols specified")
        return cast(Family, own)
    if family == 0 and address is not None and builder.layer3 in (4, 6):
        family = cast(Family, builder.layer3)
    if family and builder.layer3 and builder.layer3 != family:
        raise Refused("conflicting network layer protocols specified")
    return family


def _has_protocol(builder: RuleBuilder) -> bool:
    """A match on several protocols (`meta l4proto { tcp, udp }`) is enough for a port."""
    return any(
        key.name in ("meta.l4proto", "ip.protocol", "ip6.nexthdr")
        for item in builder.items
        for key in getattr(item, "keys", ())
    )


def _address_type(family: Family) -> DataType:
    return t.IPV6 if family == 6 else t.IPV4


def _target(
    address: Expression | None, port: Expression | None, dtype: DataType
) -> tuple[Values | None, Interval | UnknownValues | None]:
    if isinstance(address, Concat) and len(address.items) == 2 and port is None:
        address, port = address.items
    addresses = None if address is None else _addresses(address, dtype)
    ports = None if port is None else _ports(port)
    return addresses, ports


def _addresses(address: Expression, dtype: DataType) -> Values:
    if isinstance(address, (str, Prefix, Range)):
        return single(address, dtype)
    if operand(address) is not None:
        return UnknownValues("an address computed from the packet")
    raise Refused("expected an address")


def _ports(port: Expression) -> Interval | UnknownValues:
    if not isinstance(port, (str, Prefix, Range)):
        if operand(port) is not None:
            return UnknownValues("a port computed from the packet")
        raise Refused("expected a port")
    found = interval(port, t.SERVICE)
    if isinstance(found, str):
        raise Refused("expected a port")
    return found


def _by_map(
    builder: RuleBuilder,
    kind: Kind,
    address: Expression | None,
    port: Expression | None,
    family: Family,
) -> None:
    """`dnat to tcp dport map { 80 : 10.0.0.1 . 8080 }`; a miss goes on with the next rule."""
    table = address if isinstance(address, Mapping) else port
    assert isinstance(table, Mapping)
    other = port if table is address else address
    builder.look_at(table.key)
    key = operand(table.key)
    if key is None or isinstance(other, Mapping):
        builder.add(Nat(kind, family=family, unknown="addresses and ports from maps"))
        return
    keys, dtypes = key
    dtype = _address_type(family)
    if isinstance(table.map, SetName):
        builder.sets.append((table.map.name, dtypes, True))
        fixed_address, fixed_port = (None, other) if table is address else (other, None)
        addresses, ports = _target(fixed_address, fixed_port, dtype)
        if isinstance(ports, UnknownValues):
            builder.add(Nat(kind, family=family, unknown=ports.reason))
        else:
            mapping = SetRef(table.map.name)
            builder.add(Nat(kind, addresses, ports, family, keys, mapping))
        return
    if not isinstance(table.map, SetLiteral):
        raise Refused("a map is expected")
    builder.anonymous += 1
    entries = _entries(table.map, (keys, dtypes), table is address, other, dtype)
    if isinstance(entries, UnknownValues):
        builder.add(Nat(kind, family=family, keys=keys, unknown=entries.reason))
    else:
        builder.add(Nat(kind, None, None, family, keys, entries))


def _entries(
    table: SetLiteral,
    key: Operand,
    gives_address: bool,
    other: Expression | None,
    dtype: DataType,
) -> Entries | UnknownValues:
    entries: list[tuple[Element, NatTarget]] = []
    last: list[tuple[Element, NatTarget]] = []
    for item in flatten(table):
        if item.data is None:
            raise Refused("a set where a map is expected")
        if gives_address:
            addresses, ports = _target(item.data, other, dtype)
        else:
            addresses, ports = _target(other, item.data, dtype)
        if isinstance(ports, UnknownValues):
            return ports
        if item.key is None:  # `*`: the last element, after all the others
            last = [(tuple(map(_anything, key[1])), (addresses, ports))]
        else:
            entries.append((element(item.key, key[1]), (addresses, ports)))
    entries += last
    return tuple(dict.fromkeys(entries))


def _anything(dtype: DataType) -> Values:
    return Names(("*",)) if dtype.base == "string" else Intervals(((0, (1 << 128) - 1),))


def tproxy(
    builder: RuleBuilder,
    address: Expression | None,
    port: Expression | None,
    family: Family = 0,
) -> None:
    """Add `tproxy to ADDRESS:PORT`. Raise Refused."""
    if builder.family not in ("ip", "ip6", "inet"):
        raise Refused(f"tproxy is not supported in family {builder.family}")
    if not builder.layer4 and not _has_protocol(builder):
        raise Refused("Transparent proxy support requires transport protocol match")
    family = _family(builder, family, address)
    if address is not None and not family:
        raise Refused("specify `tproxy ip' or 'tproxy ip6' in inet table to disambiguate")
    if family and builder.family == "inet" and not builder.layer3:
        builder.look_at_family(family)
    builder.needs.append((None, frozenset(("prerouting",))))
    if isinstance(address, Mapping) or isinstance(port, Mapping):
        for part, dtype in ((address, _address_type(family)), (port, t.SERVICE)):
            if isinstance(part, Mapping):
                builder.lookup(part, dtype)
        builder.add(Tproxy(unknown="a map says where tproxy delivers"))
        return
    addresses, ports = _target(address, port, _address_type(family))
    if isinstance(ports, UnknownValues):
        builder.add(Tproxy(unknown=ports.reason))
        return
    known_address = None
    if isinstance(addresses, Intervals) and addresses.items[0][0] == addresses.items[0][1]:
        known_address = addresses.items[0][0]
    builder.add(Tproxy(ports[0] if ports else None, known_address))
