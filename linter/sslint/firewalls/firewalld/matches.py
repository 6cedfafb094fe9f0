"""firewalld's conditions as matches of the ruleset model."""

from __future__ import annotations

from sslint.firewalls.firewalld.elements import InvalidFile, NotRead
from sslint.firewalls.firewalld.objects import IpSet, Peer
from sslint.firewalls.firewalld.values import TRANSPORTS, address, is_mac, port_range, protocol
from sslint.netfilter import model as m
from sslint.source import Location

NFPROTO = {"ipv4": 2, "ipv6": 10}
ESTABLISHED = m.Match(
    (m.Key("ct.state"),), m.Intervals(((m.CtState.ESTABLISHED,) * 2, (m.CtState.RELATED,) * 2))
)
INVALID = m.Match((m.Key("ct.state"),), m.Intervals(((m.CtState.INVALID,) * 2,)), test="any")
ACCEPT = m.Verdict("accept")
DROP = m.Verdict("drop")
RETURN = m.Verdict("return")
REJECT = m.Verdict("reject")


def one(key: str, value: int) -> m.Match:
    """Match a key with one value."""
    return m.Match((m.Key(key),), m.Intervals(((value, value),)))


def interface(key: str, name: str) -> m.Match:
    """Match an interface; firewalld writes a wildcard as `eth+`."""
    if name.endswith("+"):
        name = name[:-1] + "*"
    return m.Match((m.Key(key),), m.Names((name,)))


def ports(protocol_name: str, side: str, interval: m.Interval) -> list[m.RuleItem]:
    """Match a transport protocol's source (`sport`) or destination ports."""
    if protocol_name in ("tcp", "udp"):
        return [m.Match((m.Key(f"{protocol_name}.{side}"),), m.Intervals((interval,)))]
    number = TRANSPORTS[protocol_name]
    return [one("meta.l4proto", number), m.Match((m.Key(f"th.{side}"),), m.Intervals((interval,)))]


def peer(side: str, value: Peer, ipsets: dict[str, IpSet]) -> m.RuleItem:
    """Match a rich rule's source (`saddr`) or destination (`daddr`)."""
    text = f"ipset:{value.value}" if value.kind == "ipset" else value.value
    return host(side, text, ipsets, negate=value.invert)


def host(side: str, text: str, ipsets: dict[str, IpSet], *, negate: bool = False) -> m.RuleItem:
    """Match an address, a network, a MAC address or `ipset:NAME`."""
    if text.startswith("ipset:"):
        return _member(side, ipsets[text[6:]], negate)
    if is_mac(text):
        return m.Unknown(f"the sender's MAC address is {'not ' if negate else ''}{text}")
    found = address(text)
    assert found is not None  # checked when the file was read
    family, interval = found
    key = m.Key(f"{'ip' if family == 4 else 'ip6'}.{side}")
    return m.Match((key,), m.Intervals((interval,)), negate)


def reject(kind: str) -> m.Verdict:
    """Return the verdict of a rich rule's reject, firewall/core/nftables.py."""
    if kind in ("", "port-unreach"):
        return REJECT
    if kind in ("tcp-reset", "tcp-rst"):
        return m.Verdict("reject", reject_protocol=6)
    six = kind.startswith("icmp6-") or kind in ("adm-prohibited", "addr-unreach", "no-route")
    return m.Verdict("reject", reject_family=6 if six else 4)


# -- ICMP -------------------------------------------------------------------------------------


def _numbered(text: str) -> dict[str, tuple[int, ...]]:
    """Read `name=type` and `name=type/code`."""
    pairs = (word.split("=") for word in text.split())
    return {name: tuple(map(int, numbers.split("/"))) for name, numbers in pairs}


# IANA ICMP and ICMPv6 parameters, as nftables.py maps them.
ICMP4 = _numbered(
    """
    communication-prohibited=3/13 destination-unreachable=3 echo-reply=0 echo-request=8
    fragmentation-needed=3/4 host-precedence-violation=3/14 host-prohibited=3/10 host-redirect=5/1
    host-unknown=3/7 host-unreachable=3/1 ip-header-bad=12/1 network-prohibited=3/8
    network-redirect=5/0 network-unknown=3/6 network-unreachable=3/0 parameter-problem=12
    port-unreachable=3/3 precedence-cutoff=3/15 protocol-unreachable=3/2 redirect=5
    required-option-missing=12/1 router-advertisement=9 router-solicitation=10 source-quench=4
    source-route-failed=3/5 time-exceeded=11 timestamp-reply=14 timestamp-request=13
    tos-host-redirect=5/3 tos-host-unreachable=3/12 tos-network-redirect=5/2
    tos-network-unreachable=3/11 ttl-zero-during-reassembly=11/1 ttl-zero-during-transit=11/0
    """
)
ICMP6 = _numbered(
    """
    address-unreachable=1/3 bad-header=4/0 beyond-scope=1/2 communication-prohibited=1/1
    destination-unreachable=1 echo-reply=129 echo-request=128 failed-policy=1/5
    mld-listener-done=132 mld-listener-query=130 mld-listener-report=131 mld2-listener-report=143
    neighbour-advertisement=136 neighbour-solicitation=135 no-route=1/0 packet-too-big=2
    parameter-problem=4 port-unreachable=1/4 redirect=137 reject-route=1/6
    router-advertisement=134 router-solicitation=133 time-exceeded=3
    ttl-zero-during-reassembly=3/1 ttl-zero-during-transit=3/0 unknown-header-type=4/1
    unknown-option=4/2
    """
)


def icmp(family: str, name: str) -> list[m.RuleItem] | None:
    """Match an ICMP type of a family; None if nftables cannot express it."""
    table, key = (ICMP4, "icmp") if family == "ipv4" else (ICMP6, "icmpv6")
    numbers = table.get(name)
    if numbers is None:
        return None
    parts = zip((f"{key}.type", f"{key}.code"), numbers, strict=False)
    return [one(part, number) for part, number in parts]


# -- ipsets -----------------------------------------------------------------------------------


def ipset(source: IpSet) -> m.Set:
    """Return the nft set that firewalld fills from an ipset; bad entries are left out.

    Raise InvalidFile for entries that overlap, NotRead where the kernel may refuse them.
    """
    elements: dict[m.Element, Location] = {}
    for entry in source.entries:
        element = _entry(source, entry.value)
        if element is not None:
            elements.setdefault(element, entry.location)
    if source.fields in (["ip"], ["net"]):
        single = _disjoint(elements)
        listed: list[m.Element] = [(m.Intervals(tuple(single)),)] if single else []
    else:
        _check_concatenations(elements)
        listed = list(elements)
    unknown = "MAC addresses are not known here" if source.type == "hash:mac" else ""
    keys = tuple(field for field in source.fields for field in _TYPES.get(field, (field,)))
    return m.Set(
        source.name,
        keys,
        listed,
        dynamic=source.timeout,
        unknown=unknown,
        location=source.location,
    )


def _disjoint(elements: dict[m.Element, Location]) -> list[m.Interval]:
    """Merge intervals; nft refuses sets of which two overlap."""
    merged: list[m.Interval] = []
    found = [
        (values.items[0], location)
        for (values,), location in elements.items()
        if isinstance(values, m.Intervals)
    ]
    found.sort(key=lambda pair: pair[0])
    for (low, high), location in found:
        if merged and low <= merged[-1][1]:
            raise InvalidFile(location, "nft refuses it: entries of an ipset overlap")
        if merged and low == merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], high)
        else:
            merged.append((low, high))
    return merged


def _check_concatenations(elements: dict[m.Element, Location]) -> None:
    if len(elements) > MAX_COMPARED:
        return
    known = list(elements)
    for index, element in enumerate(known):
        for other in known[:index]:
            if all(_overlap(a, b) for a, b in zip(element, other, strict=True)):
                reason = "nft may refuse it: entries of an ipset overlap"
                raise NotRead(elements[element], reason)


def _overlap(one_value: m.Values, other: m.Values) -> bool:
    if isinstance(one_value, m.Intervals) and isinstance(other, m.Intervals):
        (low, high), (first, last) = one_value.items[0], other.items[0]
        return low <= last and first <= high
    return one_value == other


MAX_COMPARED = 1000  # entries of an ipset whose pairs are compared
_TYPES = {
    "ip": ("ip_addr",),
    "net": ("ip_addr",),
    "port": ("inet_proto", "inet_service"),
    "iface": ("ifname",),
    "mac": ("ether_addr",),
}


def _member(side: str, source: IpSet, negate: bool) -> m.RuleItem:
    keys: list[m.Key] = []
    near = side == "daddr"
    for field in source.fields:
        if field in ("ip", "net"):
            keys.append(m.Key(f"{'ip' if source.family == 4 else 'ip6'}.{side}"))
        elif field == "port":
            keys += [m.Key("meta.l4proto"), m.Key("th.dport" if near else "th.sport")]
        elif field == "iface":
            keys.append(m.Key("meta.oifname" if near else "meta.iifname"))
        elif field == "mark":
            keys.append(m.Key("meta.mark"))
        else:
            return m.Unknown(f"the sender's MAC address is in the ipset {source.name}")
    return m.Match(tuple(keys), m.SetRef(source.name), negate)


def _entry(source: IpSet, text: str) -> m.Element | None:
    parts = text.split(",")
    if len(parts) != len(source.fields):
        return None
    element: list[m.Values] = []
    for field, part in zip(source.fields, parts, strict=True):
        values = _entry_field(source, field, part)
        if values is None:
            return None
        element += values
    return tuple(element)


def _entry_field(source: IpSet, field: str, part: str) -> list[m.Values] | None:
    if field in ("ip", "net"):
        first, dash, last = part.partition("-")
        if part == "0.0.0.0" or part.endswith("/0") or (dash and "/" in last):  # noqa: S104
            return None  # IPSet.check_entry() of firewall/core/io/ipset.py
        if field == "ip" and source.family == 6 and (dash or "/" in part):
            return None
        low = address(first, single=bool(dash))
        high = address(last) if dash else low
        if low is None or high is None or {low[0], high[0]} != {source.family}:
            return None
        if low[1][0] > high[1][1]:
            return None
        return [m.Intervals(((low[1][0], high[1][1]),))]
    if field == "port":
        name, colon, port = part.partition(":")
        if not colon:
            name, port = "tcp", part
        number = protocol(name)
        if name in ("icmp", "icmpv6", "ipv6-icmp"):
            return [m.UnknownValues("ICMP types in an ipset"), m.UnknownValues("")]
        interval = port_range(port)
        if number is None or interval is None:
            return None
        return [m.Intervals(((number, number),)), m.Intervals((interval,))]
    if field == "mark":
        try:
            mark = int(part, 16) if part.startswith("0x") else int(part)
        except ValueError:
            return None
        return [m.Intervals(((mark, mark),))] if 0 <= mark <= 0xFFFFFFFF else None
    if field == "iface":
        return [m.Names((part,))] if part and len(part) <= 15 else None
    return [m.UnknownValues("a MAC address")]


def verdict_of(rule: m.Rule) -> m.Verdict | None:
    """Return a rule's final verdict, if it has one."""
    last = rule.items[-1] if rule.items else None
    return last if isinstance(last, m.Verdict) else None
