"""One pass over a ruleset: what its rules mention, and which chains each hook reaches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sslint.netfilter import addresses
from sslint.netfilter import model as m
from sslint.values import dataclass, field

MAX_DEPTH = 16  # NFT_JUMP_STACK_SIZE, include/net/netfilter/nf_tables.h

_ADDRESS_KEYS = {
    "ip.saddr": 4, "ip.daddr": 4, "ip6.saddr": 6, "ip6.daddr": 6,
    "ct.original.saddr": 0, "ct.original.daddr": 0, "ct.reply.saddr": 0, "ct.reply.daddr": 0,
}  # fmt: skip
_PORT_FIELDS = frozenset(("sport", "dport", "proto-src", "proto-dst"))
PORTS = frozenset(("tcp.dport", "tcp.sport", "udp.dport", "udp.sport", "th.dport", "th.sport"))
_INTERFACE_KEYS = frozenset(("meta.iifname", "meta.iif", "meta.sdifname"))


@dataclass(slots=True)
class Survey:
    """What rules mention. Ports are boundaries by hook; `nat_ports`: the ones that NAT matches.

    `destinations`: networks that incoming packets' destinations are compared with. `links`:
    networks that rules say to be behind an interface. `trusted`: interfaces of which everything is
    accepted. `port_sums`: a port is compared or written
    in a way that no boundary shows.
    """

    endpoints: dict[int, list[m.Interval]] = field(default_factory=lambda: {4: [], 6: []})
    destinations: dict[int, list[m.Interval]] = field(default_factory=lambda: {4: [], 6: []})
    interfaces: dict[str, None] = field(default_factory=dict)
    wildcards: dict[str, None] = field(default_factory=dict)
    trusted: set[str] = field(default_factory=set)
    source_ports: dict[str, set[int]] = field(default_factory=dict)
    destination_ports: dict[str, set[int]] = field(default_factory=dict)
    nat_ports: set[int] = field(default_factory=set)
    conntrack: set[int] = field(default_factory=set)  # families it is active for
    links: dict[int, list[tuple[m.Interval, str]]] = field(default_factory=lambda: {4: [], 6: []})
    nats: bool = False
    synproxy: bool = False
    rated: bool = False
    dynamic: bool = False
    broken: dict[str, None] = field(default_factory=dict)  # why nothing can be said
    scattered: bool = False  # an address mask that is not a prefix
    port_sums: bool = False
    each_address: bool = False  # each of the host's is another case, though no rule names it


@dataclass(slots=True)
class _Mentions:
    """What the rules of one chain jump to, and the ports they name: boundaries, or as written."""

    jumps: dict[str, None] = field(default_factory=dict)
    source_ports: set[int] = field(default_factory=set)
    destination_ports: set[int] = field(default_factory=set)
    destinations: dict[int, list[m.Interval]] = field(default_factory=lambda: {4: [], 6: []})
    named_ports: set[int] = field(default_factory=set)
    redirects: bool = False  # it may send a packet to another port
    leaves: bool = False  # it names interfaces by which packets leave
    enters: bool = False  # and by which they come
    trusted: set[str] = field(default_factory=set)


def survey(ruleset: m.Ruleset) -> Survey:
    """Look at every rule once."""
    found = Survey()
    for named in ruleset.ipsets.values():
        found.dynamic |= named.dynamic
    for table in ruleset.tables:
        for named in table.sets.values():
            found.dynamic |= named.dynamic
        mentions: dict[str, _Mentions] = {}
        for chain in table.chains.values():
            own = mentions[chain.name] = _Mentions()
            _chain(found, own, ruleset, table, chain)
            for rule in chain.rules if own.leaves else ():
                if len(rule.items) > 2:
                    _link(found, rule)
            for part in chain.parts if own.enters else ():
                if isinstance(part, m.Rule) and len(part.items) == 2:
                    _trusted(own, part)
            found.dynamic |= is_ban_chain(chain.name)
        for chain in table.chains.values():
            if chain.base is not None:
                for device in chain.base.devices:
                    _interface(found, device)
                if not table.dormant:
                    _reachable(found, mentions, table, chain)
    return found


def is_ban_chain(name: str) -> bool:
    """Tell whether a daemon adds bans to a chain of this name."""
    lowered = name.lower()
    return lowered.startswith(("f2b-", "fail2ban-", "crowdsec"))


def _families(table: m.Table) -> tuple[int, ...]:
    return {"ip": (4,), "ip6": (6,), "inet": (4, 6)}.get(table.family, ())


def _chain(
    found: Survey, own: _Mentions, ruleset: m.Ruleset, table: m.Table, chain: m.Chain
) -> None:
    """Look at the items of a chain's rules: what many rules share, once."""
    seen: set[int] = set()
    plain: dict[int, list[m.Interval]] = {}  # where addresses go, by the identity of their keys
    for rule in chain.parts:
        if isinstance(rule, m.Listing):
            _listing(found, own, ruleset, table, rule)
            continue
        for item in rule.items:
            if id(item) in seen:
                continue
            if isinstance(item, m.Match):
                endpoints = plain.get(id(item.keys))
                if endpoints is not None and isinstance(item.values, m.Intervals):
                    endpoints += item.values.items
                    continue
                key = item.keys[0]
                family = _ADDRESS_KEYS.get(key.name)
                if family and key == m.Key(key.name) and key.name.endswith("saddr"):
                    if len(item.keys) == 1:
                        plain[id(item.keys)] = found.endpoints[family]
                elif family is None and len(item.keys) == 1:
                    seen.add(id(item))
            elif isinstance(item, m.Verdict):
                seen.add(id(item))
            _items(found, own, ruleset, table, (item,))


def _listing(
    found: Survey, own: _Mentions, ruleset: m.Ruleset, table: m.Table, listing: m.Listing
) -> None:
    """Look at the rules of a listing by what they share, and by its columns."""
    columns = {column.place: column for column in listing.columns}
    for place, item in enumerate(listing.items):
        column = columns.get(place)
        if column is None:
            _items(found, own, ruleset, table, (item,))
        else:
            values = m.Intervals(tuple(zip(column.lows, column.highs, strict=True)))
            _plain(found, own, table, column.keys[0], values)


def _items(
    found: Survey,
    own: _Mentions,
    ruleset: m.Ruleset,
    table: m.Table,
    items: Iterable[m.RuleItem],
) -> None:
    """Look at items of rules, the most frequent first."""
    for item in items:
        if isinstance(item, m.Match):
            if isinstance(item.values, m.Intervals) and len(item.keys) == 1:
                _plain(found, own, table, item.keys[0], item.values)
                continue
            for key, values in compared(ruleset, table, item):
                _field(found, own, table, key, values)
        elif isinstance(item, m.Verdict):
            if item.kind in ("jump", "goto"):
                own.jumps[item.chain] = None
        elif isinstance(item, m.VerdictMap):
            for key, values in compared(ruleset, table, item):
                _field(found, own, table, key, values)
            for verdict in verdicts(ruleset, table, item):
                if verdict.kind in ("jump", "goto"):
                    own.jumps[verdict.chain] = None
        elif isinstance(item, m.Nat):
            found.nats = True
            # `dnat ip6` in an inet table asks for IPv6's tracking alone (nft_nat_init).
            found.conntrack.update(f for f in _families(table) if item.family in (0, f))
            found.each_address |= item.mask is not None  # NETMAP
            for key, values in compared(ruleset, table, item):
                _field(found, own, table, key, values)
        elif isinstance(item, m.Assign):
            for key in (item.key, item.source or item.key, *item.needs):
                found.port_sums |= key is not item.key and _is_port(key)
                if key.name.startswith("ct."):
                    found.conntrack.update(_families(table))
            own.redirects |= _is_port(item.key) or item.key.name.startswith("payload.")
        elif isinstance(item, m.Synproxy):
            found.synproxy = True
            found.conntrack.update(_families(table))
        elif isinstance(item, m.Tproxy):
            own.redirects = True
        elif isinstance(item, m.Limit):
            found.rated |= not item.generous
            if item.tracked:
                found.conntrack.update(_families(table))
        elif isinstance(item, m.Recent):
            found.rated |= item.hitcount > 1
            found.dynamic = True
        elif isinstance(item, m.SetUpdate):
            if any(key.name.startswith("ct.") for key in item.keys):
                found.conntrack.update(_families(table))
            found.rated |= item.limited
            found.dynamic = True
            for key, values in compared(ruleset, table, item):
                _field(found, own, table, key, values)


def _plain(found: Survey, own: _Mentions, table: m.Table, key: m.Key, values: m.Intervals) -> None:
    """Look at a comparison of one field with numbers."""
    if key.mask is not None or key.xor or key.shift:
        _field(found, own, table, key, values)
    elif family := _ADDRESS_KEYS.get(key.name):
        found.endpoints[family] += values.items
        if key.name.endswith("daddr"):
            own.destinations[family] += values.items
    elif key.name in PORTS:
        _port(own, key, values.items)
    elif key.name != "meta.l4proto":
        _field(found, own, table, key, values)


def _link(found: Survey, rule: m.Rule) -> None:
    """Learn where a network is: Docker names the bridge beside each container's address.

    `-d 172.17.0.2/32 ! -i docker0 -o docker0`, `-s 172.17.0.0/16 ! -o docker0 -j MASQUERADE`.
    """
    for item in rule.items:
        if not (isinstance(item, m.Match) and item.keys[0].name in ("meta.oifname", "meta.oif")):
            continue
        names = item.values.items if isinstance(item.values, m.Names) else ()
        if len(item.keys) != 1 or len(names) != 1 or names[0].endswith("*"):
            continue
        side = "saddr" if item.negate else "daddr"
        for other in rule.items:
            if not isinstance(other, m.Match) or other.negate or len(other.keys) != 1:
                continue
            group, _, field_name = other.keys[0].name.partition(".")
            if group not in ("ip", "ip6") or field_name != side or other.keys[0].mask is not None:
                continue
            family = 4 if group == "ip" else 6
            values = other.values.items if isinstance(other.values, m.Intervals) else ()
            if len(values) == 1 and addresses.overlaps(addresses.PRIVATE[family], *values[0]):
                found.links[family].append((values[0], names[0]))


def _trusted(own: _Mentions, rule: m.Rule) -> None:
    """Note the interfaces from which a rule takes everything, or all others nothing.

    `-A INPUT -i virbr0 -j ACCEPT`, `-A INPUT ! -i lan0 -j DROP`.
    """
    match, verdict = rule.items
    if not (isinstance(match, m.Match) and match.keys[0].name in _INTERFACE_KEYS):
        return
    if not (isinstance(match.values, m.Names) and isinstance(verdict, m.Verdict)):
        return
    if verdict.kind in (("drop", "reject") if match.negate else ("accept",)):
        own.trusted.update(match.values.items)


def _keys_of(
    entries: tuple[tuple[m.Element, object], ...] | m.SetRef,
) -> tuple[m.Element, ...] | m.SetRef:
    """Return what a map looks its keys up in."""
    return entries if isinstance(entries, m.SetRef) else tuple(element for element, _ in entries)


def compared(
    ruleset: m.Ruleset, table: m.Table, item: m.RuleItem
) -> Iterator[tuple[m.Key, m.Values]]:
    """Yield each key that a match or a map compares with each of the values."""
    if isinstance(item, m.Match):
        yield from fields(ruleset, table, item.keys, item.values)
    elif isinstance(item, m.VerdictMap):
        yield from fields(ruleset, table, item.keys, _keys_of(item.entries))
    elif isinstance(item, m.Nat) and item.mapping is not None:
        yield from fields(ruleset, table, item.keys, _keys_of(item.mapping))
    elif isinstance(item, m.SetUpdate):  # what a set holds already may be told from what is new
        yield from fields(ruleset, table, item.keys, item.set)


def compared_ports(ruleset: m.Ruleset) -> Iterator[tuple[str, tuple[m.Interval, ...]]]:
    """Yield the field and the values of all that rules compare with a packet's ports."""
    for one in ruleset.alternatives:
        yield from compared_ports(one)
    for table in ruleset.tables:
        for chain in table.chains.values():
            for rule in chain.rules:
                for item in rule.items:
                    for key, values in compared(ruleset, table, item):
                        if _is_port(key) and isinstance(values, m.Intervals):
                            yield key.name, values.items


def fields(
    ruleset: m.Ruleset,
    table: m.Table,
    keys: tuple[m.Key, ...],
    values: m.Values | tuple[tuple[m.Values, ...], ...] | m.SetRef,
) -> Iterator[tuple[m.Key, m.Values]]:
    """Yield each key with each of the values it is compared with."""
    if isinstance(values, m.SetRef):
        named: m.Set | None = table.sets.get(values.name) or ruleset.ipsets.get(values.name)
        if named is None:
            return
        for element in (*named.elements, *named.holes):
            yield from zip(keys, element, strict=False)
    elif isinstance(values, tuple):
        for element in values:
            yield from zip(keys, element, strict=False)
    elif keys:
        yield keys[0], values


def _field(found: Survey, own: _Mentions, table: m.Table, key: m.Key, values: m.Values) -> None:
    name = key.name
    own.leaves |= name in ("meta.oifname", "meta.oif")
    if name.startswith("fib.") and ("iif" in key.arg or "oif" in key.arg):
        found.each_address = True  # an address may be another interface's
    family = _ADDRESS_KEYS.get(name)
    if family is not None:
        if isinstance(values, m.Intervals):
            start = {one: len(found.endpoints[one]) for one in (4, 6)}
            _endpoints(found, family, key, values)
            if name.endswith("daddr"):
                for one in (4, 6):
                    own.destinations[one] += found.endpoints[one][start[one] :]
    elif name in _INTERFACE_KEYS:
        own.enters = True
        for item in values.items if isinstance(values, m.Names) else ():
            _interface(found, item)
    elif _is_port(key):
        found.port_sums |= key.mask is not None or bool(key.xor or key.shift)
        _port(own, key, values.items if isinstance(values, m.Intervals) else ())
    if name.startswith("ct."):
        found.conntrack.update(_families(table))


def _port(own: _Mentions, key: m.Key, ports: tuple[m.Interval, ...]) -> None:
    to_here = key.name.endswith(("dport", "proto-dst"))
    boundaries = own.destination_ports if to_here else own.source_ports
    for low, high in ports:
        boundaries.add(low)
        boundaries.add(high + 1)
        if to_here:
            own.named_ports.add(low)
            own.named_ports.add(high)


def _is_port(key: m.Key) -> bool:
    return key.name.rpartition(".")[2] in _PORT_FIELDS


def _endpoints(found: Survey, family: int, key: m.Key, values: m.Intervals) -> None:
    for one in (family,) if family else (4, 6):
        items: tuple[m.Interval, ...] | None = values.items
        if key.xor or key.shift:
            found.scattered = True
            continue
        if key.mask is not None:
            items = addresses.preimage(one, values.items, key.mask)
            if items is None:
                found.scattered = True
                continue
        last = addresses.LAST[one]
        found.endpoints[one] += [item for item in items or () if item[0] <= last]


def _interface(found: Survey, name: str) -> None:
    if not name or name == "*":
        return
    (found.wildcards if name.endswith("*") else found.interfaces)[name] = None


def _reachable(
    found: Survey, mentions: dict[str, _Mentions], table: m.Table, base: m.Chain
) -> None:
    """Follow the jumps of a base chain; note loops, missing chains, and the ports it looks at."""
    assert base.base is not None
    path = [(base, iter(mentions[base.name].jumps))]
    on_path = {base.name}
    depth: dict[str, int] = {base.name: 0}
    _ports(found, mentions[base.name], base.base)
    while path:
        chain, targets = path[-1]
        target = next(targets, None)
        if target is None:
            path.pop()
            on_path.discard(chain.name)
            continue
        if target in on_path:
            found.broken[f"the chain {target} jumps in a circle, so the rules cannot be loaded"] = (
                None
            )
            continue
        callee = table.chains.get(target)
        if callee is None:
            found.broken[f"the chain {target} does not exist, so the rules cannot be loaded"] = None
            continue
        if len(path) > MAX_DEPTH and table.origin != "iptables-legacy":
            found.broken[f"jumps nest more than {MAX_DEPTH} deep at the chain {target}"] = None
            continue
        if depth.get(target, -1) >= len(path):
            continue
        if target not in depth:
            _ports(found, mentions[target], base.base)
        depth[target] = len(path)
        if len(path) > 4 * MAX_DEPTH:
            found.broken[f"jumps nest too deep at the chain {target}"] = None
            continue
        on_path.add(target)
        path.append((callee, iter(mentions[target].jumps)))


def verdicts(ruleset: m.Ruleset, table: m.Table, item: m.VerdictMap) -> Iterator[m.Verdict]:
    """Yield the verdicts of a verdict map."""
    if item.default is not None:
        yield item.default
    if isinstance(item.entries, m.SetRef):
        named = table.sets.get(item.entries.name)
        for data in (*((named and named.data) or ()), named and named.default):
            if isinstance(data, m.Verdict):
                yield data
    else:
        for _, verdict in item.entries:
            yield verdict


def _ports(found: Survey, own: _Mentions, base: m.Base) -> None:
    """Add the ports that a chain names to those of the hook that reaches it, and whom it trusts."""
    found.source_ports.setdefault(base.hook, set()).update(own.source_ports)
    found.destination_ports.setdefault(base.hook, set()).update(own.destination_ports)
    if base.hook in ("ingress", "prerouting", "input"):
        for family, named in own.destinations.items():
            found.destinations[family] += named
    if base.hook == "input":
        found.trusted |= own.trusted
    if own.redirects or base.type == "nat":
        found.nat_ports |= own.named_ports
