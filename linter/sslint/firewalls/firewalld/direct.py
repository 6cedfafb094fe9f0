"""direct.xml: iptables rules that firewalld adds beside its own, firewalld.direct(5).

With the nftables backend they stand in iptables' own chains, before firewalld's: a DROP is final
there and an ACCEPT opens nothing. With the iptables backend they come before the zones.
"""

from __future__ import annotations

import re
from typing import Literal

from sslint.firewalls.errors import RulesetError
from sslint.firewalls.firewalld.elements import End, InvalidFile, NotRead, Start, check, elements
from sslint.firewalls.firewalld.matches import NFPROTO, one
from sslint.netfilter.model import Chain, Rule, Ruleset, Table, Verdict
from sslint.source import Location, SourceFile
from sslint.tree import Tree
from sslint.values import dataclass, field, replace

PATH = "/etc/firewalld/direct.xml"
_ELEMENTS: dict[str, tuple[str, ...]] = {
    "direct": (),
    "chain": ("ipv", "table", "chain"),
    "rule": ("ipv", "table", "chain", "priority"),
    "passthrough": ("ipv",),
}
_BUILT_IN = {
    "security": ("INPUT", "OUTPUT", "FORWARD"),
    "raw": ("PREROUTING", "OUTPUT"),
    "mangle": ("PREROUTING", "POSTROUTING", "INPUT", "OUTPUT", "FORWARD"),
    "nat": ("PREROUTING", "POSTROUTING", "OUTPUT"),
    "filter": ("INPUT", "OUTPUT", "FORWARD"),
}


@dataclass(slots=True)
class _Part:
    """The direct rules of one family: chains, and (priority, arguments, place) by chain."""

    chains: dict[tuple[str, str], Location] = field(default_factory=dict)
    rules: dict[tuple[str, str], list[tuple[int, str, Location]]] = field(default_factory=dict)


def read(tree: Tree, backend: Literal["nftables", "iptables"], into: Ruleset) -> None:
    """Add the direct rules to `into`. Raise NotRead or InvalidFile."""
    file = tree.read(PATH)
    for family, part in _parts(file).items():
        tables = _tables(file, family, part)
        if backend == "nftables":
            into.tables += tables
        else:
            own = next(table for table in into.tables if table.name == "firewalld")
            for table in tables:
                _graft(own, table, family)


# -- reading ----------------------------------------------------------------------------------


def _parts(file: SourceFile) -> dict[Literal[4, 6], _Part]:
    parts: dict[Literal[4, 6], _Part] = {4: _Part(), 6: _Part()}
    opened: Start | None = None
    for event in elements(file):
        if isinstance(event, Start):
            check(event, _ELEMENTS, {})
            opened = event
            if event.name != "direct" and event.get("ipv") not in ("ipv4", "ipv6", "eb"):
                raise InvalidFile(event.location, "ipv is not ipv4, ipv6 or eb")
            continue
        _close(event, opened, parts)
    return {family: part for family, part in parts.items() if part.rules}


def _close(event: End, opened: Start | None, parts: dict[Literal[4, 6], _Part]) -> None:
    if opened is None or opened.name != event.name or opened.get("ipv") not in ("ipv4", "ipv6"):
        return
    part = parts[4 if opened.get("ipv") == "ipv4" else 6]
    text = " ".join(event.text.split("\n")).strip()
    if event.name == "passthrough":
        _passthrough(part, text, opened.location)
        return
    table, chain = opened.attributes["table"], opened.attributes["chain"]
    if table not in _BUILT_IN:
        raise InvalidFile(opened.location, f"{table} is not a table")
    if event.name == "chain":
        part.chains[table, chain] = opened.location
    elif event.name == "rule" and text:
        priority = opened.attributes["priority"]
        if not re.fullmatch(r"[+-]?\d{1,9}", priority.strip()):
            return  # firewalld logs it and goes on
        entry = (int(priority), text, opened.location)
        part.rules.setdefault((table, _bare(table, chain)), []).append(entry)


def _bare(table: str, chain: str) -> str:
    bare = chain.removesuffix("_direct")
    return bare if bare in _BUILT_IN[table] else chain


def _passthrough(part: _Part, text: str, location: Location) -> None:
    """Take a plain `-A CHAIN ...` or `-I CHAIN ...`; they come after the rules."""
    found = re.fullmatch(r"(?:(?:-t|--table)\s+(\w+)\s+)?(-A|-I|-N)\s+(\S+)(?:\s+(.*))?", text)
    table = (found.group(1) or "filter") if found else ""
    if found is None or table not in _BUILT_IN or re.match(r"\d+\s", found.group(4) or ""):
        raise NotRead(location, f"the passthrough {text[:60]!r} is not read")
    if found.group(2) == "-N":
        part.chains[table, found.group(3)] = location
        return
    rules = part.rules.setdefault((table, found.group(3)), [])
    entry = (1 << 40, found.group(4) or "", location)
    if found.group(2) == "-A":
        rules.append(entry)
    else:
        rules.insert(0, (-(1 << 40), entry[1], location))


# -- to the model -----------------------------------------------------------------------------


def _tables(file: SourceFile, family: Literal[4, 6], part: _Part) -> list[Table]:
    """Write the rules as an iptables-save dump, read that, and put the XML's places back."""
    lines: list[str] = []
    places: list[Location] = []

    def write(line: str, location: Location | None = None) -> None:
        lines.append(line)
        places.append(location or file.at(1))

    used = dict.fromkeys(table for table, _ in (*part.chains, *part.rules))
    for table in used:
        write(f"*{table}")
        for chain in _BUILT_IN[table]:
            write(f":{chain} ACCEPT [0:0]")
        chains = dict.fromkeys(
            name for owner, name in (*part.chains, *part.rules) if owner == table
        )
        for chain in chains:
            if chain not in _BUILT_IN[table]:
                write(f":{chain} - [0:0]", part.chains.get((table, chain)))
        for (owner, chain), rules in part.rules.items():
            if owner == table:
                for _, text, location in sorted(rules, key=lambda rule: rule[0]):
                    write(f"-A {chain} {text}", location)
        write("COMMIT")
    dump = SourceFile(file.path, file.name, "\n".join([*lines, ""]))
    found = Ruleset()
    from sslint.firewalls import iptables

    try:
        iptables.read(dump, family, origin="firewalld", into=found)
    except RulesetError as error:
        line = error.location.line if error.location is not None else 1
        raise NotRead(places[min(line, len(places)) - 1], error.reason) from None
    for read_table in found.tables:
        for read_chain in read_table.chains.values():
            read_chain.location = places[read_chain.location.line - 1]
            read_chain.rules = [
                replace(rule, location=places[rule.location.line - 1], label="direct rule")
                for rule in read_chain.rules
            ]
    return found.tables


def _graft(own: Table, table: Table, family: Literal[4, 6]) -> None:
    """Hang iptables' chains into firewalld's table, guarded by their family."""
    prefix = f"direct{family}_{table.name}_"
    guard = one("meta.nfproto", NFPROTO["ipv4" if family == 4 else "ipv6"])
    for chain in table.chains.values():
        renamed = Chain(prefix + chain.name, chain.location, order=chain.order)
        for rule in chain.rules:
            items = tuple(
                replace(item, chain=prefix + item.chain)
                if isinstance(item, Verdict) and item.chain
                else item
                for item in rule.items
            )
            renamed.rules.append(replace(rule, items=items))
        own.chains[renamed.name] = renamed
        if chain.base is None or not chain.rules:
            continue
        jump = Rule((guard, Verdict("jump", chain=renamed.name)), chain.location)
        host = own.chains.get(f"{table.name}_{chain.name}")
        if host is None or host.base is None or host.base.hook != chain.base.hook:
            host = Chain(f"{table.name}_{chain.name}", chain.location, chain.base)
            host.order = len(own.chains) + 1
            own.chains[host.name] = host
        host.rules.insert(_before_policies(host), jump)


def _before_policies(chain: Chain) -> int:
    for index, rule in enumerate(chain.rules):
        last = rule.items[-1]
        if isinstance(last, Verdict) and last.chain.endswith("_POLICIES"):
            return index
    return len(chain.rules)
