"""Compare nftables models: equal but for places, wording and matches that say nothing new."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby

from sslint.firewalls import nftables
from sslint.firewalls.nftables import nft_json
from sslint.netfilter import model as m
from sslint.source import SourceFile
from sslint.values import replace
from tests.support import tree_of

PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132, "dccp": 33, "udplite": 136, "icmp": 1, "icmpv6": 58}
FAMILIES = {"ip": 2, "icmp": 2, "ip6": 10, "icmpv6": 10, "exthdr": 10}


def read_text(text: str, files: Mapping[str, str] | None = None) -> m.Ruleset:
    ruleset = m.Ruleset()
    nftables.read(tree_of({"/listing.nft": text, **(files or {})}), "/listing.nft", ruleset)
    return ruleset


def read_json(text: str) -> m.Ruleset:
    ruleset = m.Ruleset()
    nft_json.read(SourceFile("/listing.json", "listing.json", text), ruleset)
    return ruleset


def rule_items(rule: str, family: str = "inet", base: str = "") -> tuple[object, ...]:
    """Read one rule of a chain and return its items."""
    text = f"table {family} t {{\n{base}\nchain c {{\n{rule}\n}}\nchain d {{\n}}\n}}\n"
    (table,) = read_text(text).tables
    (read,) = table.chains["c"].rules
    return read.items


def comparable(ruleset: m.Ruleset) -> dict[str, object]:
    """Return what two readings of one ruleset must have in common."""
    found: dict[str, object] = {}
    for table in ruleset.tables:
        for chain in table.chains.values():
            base = chain.base and replace(chain.base, policy_location=None)
            if base is not None:
                base = replace(base, devices=tuple(sorted(base.devices)))
            rules = [_rule(rule.items, table.family) for rule in chain.rules]
            found[f"{table.family} {table.name} chain {chain.name}"] = (base, rules)
        for held in table.sets.values():
            elements = (
                held.elements if held.data is None else zip(held.elements, held.data, strict=True)
            )
            contents = sorted(map(repr, elements))
            found[f"{table.family} {table.name} set {held.name}"] = (
                *(held.keys, contents, held.default, held.dynamic, bool(held.unknown)),
            )
        found[f"{table.family} {table.name}"] = table.dormant
    return found


def _rule(items: tuple[m.RuleItem, ...], family: str) -> list[object]:
    transport = ""
    found: list[object] = []
    items = tuple(item for item in items if not _left_out(item))
    for item in items:
        tested = _tested(item)
        if tested and tested[0] in ("meta.l4proto", "ip.protocol", "ip6.nexthdr"):
            transport = next((n for n, v in PROTOCOLS.items() if v == tested[1]), "")
        for key in getattr(item, "keys", ()):
            group = key.name.partition(".")[0]
            transport = group if group in PROTOCOLS else transport
        found.append(_item(item, transport))
    names = {
        key.name.partition(".")[0]
        for item in items
        if _tested(item)[:1] != ("meta.l4proto",)
        for key in getattr(item, "keys", ())
    }
    if transport in PROTOCOLS and any(
        key.name.startswith("th.") for item in items for key in getattr(item, "keys", ())
    ):
        names.add(transport)
    for item in items:  # what a reject depends on may stand in front of the rule or before it
        if isinstance(item, m.Verdict) and item.kind == "reject":
            names |= {"tcp"} if item.reject_protocol else set()
            names |= {"ip" if item.reject_family == 4 else "ip6"} if item.reject_family else set()
    shown = [
        shown for item, shown in zip(items, found, strict=True) if not _implied(item, names, family)
    ]
    return _sorted_matches(shown)


def _sorted_matches(items: list[object]) -> list[object]:
    """Sort neighbouring matches: nft puts those of one header in the order of their bytes."""
    found: list[object] = []
    for matching, group in groupby(items, lambda item: isinstance(item, m.Match)):
        run = list(group)
        found += sorted(run, key=repr) if matching else run
    return found


def _left_out(item: m.RuleItem) -> bool:
    return isinstance(item, m.Unknown) and "may leave out" in item.reason


def _item(item: m.RuleItem, transport: str) -> object:
    """Return an item without wording, and `th` as the protocol that is known."""
    if isinstance(item, m.Limit):
        return replace(item, text="")
    if isinstance(item, (m.Unknown, m.Unmodelled)):
        return type(item)
    keys = getattr(item, "keys", ())
    if transport and keys:
        keys = tuple(replace(k, name=k.name.replace("th.", f"{transport}.")) for k in keys)
        item = replace(item, keys=keys)  # type: ignore[call-arg]
    if isinstance(item, m.Match) and isinstance(item.values, tuple):
        return replace(item, values=tuple(sorted(item.values, key=repr)))
    if isinstance(item, m.VerdictMap) and isinstance(item.entries, tuple):
        return replace(item, entries=tuple(sorted(item.entries, key=repr)))
    if isinstance(item, m.Nat) and isinstance(item.mapping, tuple):
        return replace(item, mapping=tuple(sorted(item.mapping, key=repr)))
    return item


def _tested(item: m.RuleItem) -> tuple[str, int] | tuple[()]:
    """Return key and number of a comparison with one number."""
    if not isinstance(item, m.Match) or item.negate or len(item.keys) > 1:
        return ()
    values = item.values
    if not isinstance(values, m.Intervals) or len(values.items) != 1 or item.keys[0].mask:
        return ()
    low, high = values.items[0]
    return (item.keys[0].name, low) if low == high else ()


def _implied(item: m.RuleItem, names: set[str], family: str) -> bool:
    """Tell whether a test of the protocol says no more than the rule's other matches."""
    tested = _tested(item)
    if not tested:
        return False
    name, number = tested
    if name in ("meta.l4proto", "ip.protocol", "ip6.nexthdr"):
        return any(PROTOCOLS.get(word) == number for word in names)
    if name == "meta.nfproto":
        return any(FAMILIES.get(word) == number for word in names)
    if name in ("meta.protocol", "ether.type"):
        number = {0x800: 2, 0x86DD: 10}.get(number, 0)
        return any(FAMILIES.get(w) == number for w in names) or FAMILIES.get(family) == number
    return False
