"""Rulesets made by hand, in few words."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

from sslint.netfilter.addresses import Interval
from sslint.netfilter.model import (
    Assign,
    Base,
    Chain,
    CtState,
    HostNetwork,
    Interface,
    Intervals,
    Key,
    Match,
    Names,
    Nat,
    Rule,
    RuleItem,
    Ruleset,
    Set,
    Source,
    Table,
    Verdict,
)
from sslint.netfilter.reach import Firewall, Reach
from sslint.source import Location, SourceFile

FILE = SourceFile("/etc/rules", "etc/rules", "\n" * 1000)
ACCEPT, DROP, REJECT, RETURN = (Verdict(k) for k in ("accept", "drop", "reject", "return"))
_line = 0


def here() -> Location:
    """Return a place of its own for each rule."""
    global _line
    _line = _line % 900 + 1
    return FILE.at(_line)


def values(*items: object) -> Intervals | Names:
    """Return numbers, ranges, addresses and networks, or names."""
    found: list[Interval] = []
    names: list[str] = []
    for item in items:
        if isinstance(item, int):
            found.append((int(item), int(item)))
        elif isinstance(item, tuple):
            found.append(item)
        elif isinstance(item, str) and "/" in item:
            net = ip_network(item)
            found.append((int(net.network_address), int(net.broadcast_address)))
        elif isinstance(item, str) and (":" in item or item.count(".") == 3):
            found.append((int(ip_address(item)), int(ip_address(item))))
        else:
            names.append(str(item))
    return Names(tuple(names)) if names else Intervals(tuple(sorted(found)))


def match(key: str, *items: object, negate: bool = False, **more: Any) -> Match:
    """Compare one key with values."""
    return Match((Key(key, **more),), values(*items), negate)


def bits(key: str, number: int, negate: bool = False) -> Match:
    """Test for common bits, as `ct state a,b` does."""
    return Match((Key(key),), Intervals(((number, number),)), negate, "any")


def tcp(*ports: object) -> Match:
    return match("tcp.dport", *ports)


def source(*items: object, negate: bool = False) -> Match:
    key = "ip6.saddr" if any(isinstance(i, str) and ":" in i for i in items) else "ip.saddr"
    return match(key, *items, negate=negate)


def states(*names: str) -> Match:
    number = 0
    for name in names:
        number |= getattr(CtState, name.upper())
    return bits("ct.state", number)


ESTABLISHED = (states("established", "related"), ACCEPT)
ND = (match("meta.l4proto", 58), ACCEPT)


def rule(*items: RuleItem) -> Rule:
    return Rule(tuple(items), here())


def chain(name: str, *rules: tuple[RuleItem, ...], **base: Any) -> Chain:
    made = Chain(name, here(), order=base.pop("order", 0))
    if base:
        kind = base.pop("type", "filter")
        policy = base.pop("policy", "accept")
        devices = base.pop("devices", ())
        made.base = Base(kind, base["hook"], base.get("priority", 0), policy, devices, here())
    made.rules = [rule(*items) for items in rules]
    return made


def incoming(*rules: tuple[RuleItem, ...], policy: str = "drop", **more: Any) -> Chain:
    return chain(more.pop("name", "input"), *rules, hook="input", policy=policy, **more)


def table(*chains: Chain, family: str = "inet", name: str = "filter", **more: Any) -> Table:
    made = Table(family, name, {c.name: c for c in chains}, **more)  # type: ignore[arg-type]
    for number, each in enumerate(chains):
        each.order = each.order or number
    return made


def ruleset(*tables: Table, **more: Any) -> Ruleset:
    return Ruleset(list(tables), sources=[Source("nft", "etc/rules")], families={4, 6}, **more)


def firewall(*parts: Chain | Table, network: HostNetwork | None = None, **more: Any) -> Firewall:
    """Return a firewall of tables; loose chains are one inet table."""
    chains = [part for part in parts if isinstance(part, Chain)]
    tables = [part for part in parts if isinstance(part, Table)]
    if chains:
        tables.insert(0, table(*chains))
    return Firewall(ruleset(*tables, **more), network)


def verdict(judged: Firewall, port: int = 443, family: int = 4, transport: str = "tcp") -> str:
    return judged.reach(transport, port, family).verdict  # type: ignore[arg-type]


def reach(judged: Firewall, port: int = 443, family: int = 4, transport: str = "tcp") -> Reach:
    return judged.reach(transport, port, family)  # type: ignore[arg-type]


def redirect(port: int | None, *matches: RuleItem) -> tuple[RuleItem, ...]:
    ports = None if port is None else (port, port)
    return (*matches, Nat("redirect", ports=ports))


def dnat(address: str | None, port: int | None, *matches: RuleItem) -> tuple[RuleItem, ...]:
    where = None if address is None else values(address)
    ports = None if port is None else (port, port)
    return (*matches, Nat("dnat", where, ports))


def nat_chain(*rules: tuple[RuleItem, ...], **more: Any) -> Chain:
    more.setdefault("priority", -100)
    more.setdefault("hook", "prerouting")
    return chain(more.pop("name", "pre"), *rules, type="nat", **more)


def mark(number: int, key: str = "meta.mark") -> Assign:
    return Assign(Key(key), 0, number)


def named(name: str, *elements: tuple[object, ...], **more: Any) -> Set:
    made = [tuple(f if not isinstance(f, str | int) else values(f) for f in e) for e in elements]
    return Set(name, ("any",), made, **more)  # type: ignore[arg-type]


def network(
    *own: str, public: str | None = None, interfaces: dict[str, tuple[str, ...]] | None = None
) -> HostNetwork:
    """Return what is known of a host: its addresses, and interfaces with `address/length`."""
    made = []
    for name, texts in (interfaces or {}).items():
        pairs = [(ip_address(t.partition("/")[0]), int(t.partition("/")[2])) for t in texts]
        made.append(
            Interface(
                name,
                tuple((int(a), n) for a, n in pairs if a.version == 4),
                tuple((int(a), n) for a, n in pairs if a.version == 6),
            )
        )
    parsed = [ip_address(text) for text in own]
    return HostNetwork(
        tuple(made),
        public,
        tuple(int(a) for a in parsed if a.version == 4),
        tuple(int(a) for a in parsed if a.version == 6),
    )
