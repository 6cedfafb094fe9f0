"""What nft can look at in a packet, and the type of each.

A field that a packet lacks never matches, so its key says which protocols it depends on; `layer3`
and `layer4` are there because nft refuses a rule whose fields contradict each other.
"""

from __future__ import annotations

from functools import cache

from sslint.firewalls.nftables import datatypes as t
from sslint.firewalls.nftables.datatypes import DataType, Refused, integer
from sslint.netfilter.model import Key

ARP = 0x806


_PARTICULAR = (
    "ct.", "fib.", "geneve.", "ipsec.", "meta.broute", "meta.ibr", "meta.ipsec", "meta.nfproto",
    "meta.obr", "meta.sdif", "osf.", "route.", "socket.", "vxlan.",
)  # fmt: skip


class Field:
    """One thing to look at: its key in the model, its type and what it depends on.

    `layer3` is 4, 6 or ARP; `layer4` an IP protocol number. `presence`: it may be compared
    with `exists` and `missing`. `guard`: the address family that the key itself does not say.
    `hooks`: where it may be used, None for everywhere.
    """

    __slots__ = ("dtype", "guard", "hooks", "key", "layer3", "layer4", "plain", "presence")

    def __init__(
        self,
        name: str,
        dtype: DataType,
        layer3: int = 0,
        layer4: int = 0,
        *,
        arg: str = "",
        presence: bool = False,
        guard: int = 0,
    ) -> None:
        self.key = Key(name, arg=arg)
        self.dtype = dtype
        self.layer3 = layer3
        self.layer4 = layer4
        self.presence = presence
        self.guard = guard
        self.hooks: frozenset[str] | None = None
        # Nothing but its protocols decides whether a rule may look at it.
        self.plain = not guard and not name.startswith(_PARTICULAR)

    @property
    def weak(self) -> bool:
        """Whether it may stand in a table of the other address family (`icmp` in ip6)."""
        return self.layer4 in (1, 2, 58)


_PORTS = {"sport": t.SERVICE, "dport": t.SERVICE}
_HEADERS: dict[str, tuple[int, int, dict[str, DataType]]] = {
    # protocol: layer 3, layer 4, fields
    "ether": (0, 0, {"saddr": t.ETHER, "daddr": t.ETHER, "type": t.ETHER_TYPE}),
    "vlan": (
        0,
        0,
        {
            "id": integer(12),
            "dei": integer(1),
            "pcp": integer(3),
            "type": t.ETHER_TYPE,
        },
    ),
    "arp": (
        ARP,
        0,
        {
            "htype": integer(16),
            "ptype": t.ETHER_TYPE,
            "hlen": integer(8),
            "plen": integer(8),
            "operation": t.ARP_OPERATION,
            "saddr ether": t.ETHER,
            "daddr ether": t.ETHER,
            "saddr ip": t.IPV4,
            "daddr ip": t.IPV4,
        },
    ),
    "ip": (
        4,
        0,
        {
            "version": integer(4),
            "hdrlength": integer(4),
            "dscp": t.DSCP,
            "ecn": t.ECN,
            "length": integer(16),
            "id": integer(16),
            "frag-off": integer(16),
            "ttl": integer(8),
            "protocol": t.PROTOCOL,
            "checksum": integer(16),
            "saddr": t.IPV4,
            "daddr": t.IPV4,
        },
    ),
    "ip6": (
        6,
        0,
        {
            "version": integer(4),
            "dscp": t.DSCP,
            "ecn": t.ECN,
            "flowlabel": integer(20),
            "length": integer(16),
            "nexthdr": t.PROTOCOL,
            "hoplimit": integer(8),
            "saddr": t.IPV6,
            "daddr": t.IPV6,
        },
    ),
    "icmp": (
        4,
        1,
        {
            "type": t.ICMP_TYPE,
            "code": t.ICMP_CODE,
            "checksum": integer(16),
            "id": integer(16),
            "sequence": integer(16),
            "gateway": integer(32),
            "mtu": integer(16),
        },
    ),
    "igmp": (
        4,
        2,
        {
            "type": t.IGMP_TYPE,
            "checksum": integer(16),
            "mrt": integer(8),
            "group": t.IPV4,
        },
    ),
    "icmpv6": (
        6,
        58,
        {
            "type": t.ICMPV6_TYPE,
            "code": t.ICMPV6_CODE,
            "checksum": integer(16),
            "parameter-problem": integer(32),
            "packet-too-big": integer(32),
            "mtu": integer(32),
            "id": integer(16),
            "sequence": integer(16),
            "max-delay": integer(16),
            "taddr": t.IPV6,
            "daddr": t.IPV6,
        },
    ),
    "tcp": (
        0,
        6,
        {
            **_PORTS,
            "sequence": integer(32),
            "ackseq": integer(32),
            "doff": integer(4),
            "reserved": integer(4),
            "flags": t.TCP_FLAGS,
            "window": integer(16),
            "checksum": integer(16),
            "urgptr": integer(16),
        },
    ),
    "udp": (0, 17, {**_PORTS, "length": integer(16), "checksum": integer(16)}),
    "udplite": (0, 136, {**_PORTS, "csumcov": integer(16), "checksum": integer(16)}),
    "sctp": (0, 132, {**_PORTS, "vtag": integer(32), "checksum": integer(32)}),
    "dccp": (0, 33, {**_PORTS, "type": t.DCCP_TYPE}),
    "th": (0, 0, dict(_PORTS)),
    "ah": (
        0,
        51,
        {
            "nexthdr": t.PROTOCOL,
            "hdrlength": integer(8),
            "reserved": integer(16),
            "spi": integer(32),
            "sequence": integer(32),
        },
    ),
    "esp": (0, 50, {"spi": integer(32), "sequence": integer(32)}),
    "comp": (0, 108, {"nexthdr": t.PROTOCOL, "flags": integer(8), "cpi": integer(16)}),
    "gre": (0, 47, {"flags": integer(5), "version": integer(3), "protocol": t.ETHER_TYPE}),
    "vxlan": (0, 17, {"vni": integer(24), "flags": integer(8)}),
    "geneve": (0, 17, {"vni": integer(24), "type": t.ETHER_TYPE}),
    "gretap": (0, 47, {}),
    # IPv6 extension headers
    "hbh": (6, 0, {"nexthdr": t.PROTOCOL, "hdrlength": integer(8)}),
    "dst": (6, 0, {"nexthdr": t.PROTOCOL, "hdrlength": integer(8)}),
    "frag": (
        6,
        0,
        {
            "nexthdr": t.PROTOCOL,
            "reserved": integer(8),
            "frag-off": integer(13),
            "reserved2": integer(2),
            "more-fragments": integer(1),
            "id": integer(32),
        },
    ),
    "rt": (
        6,
        0,
        {
            "nexthdr": t.PROTOCOL,
            "hdrlength": integer(8),
            "type": integer(8),
            "seg-left": integer(8),
        },
    ),
    "rt0": (6, 0, {"addr": t.IPV6}),
    "rt2": (6, 0, {"addr": t.IPV6}),
    "srh": (
        6,
        0,
        {"last-entry": integer(8), "flags": integer(8), "tag": integer(16), "sid": t.IPV6},
    ),
    "mh": (
        6,
        0,
        {
            "nexthdr": t.PROTOCOL,
            "hdrlength": integer(8),
            "type": t.MH_TYPE,
            "reserved": integer(8),
            "checksum": integer(16),
        },
    ),
}
EXTENSION_HEADERS = frozenset(("hbh", "dst", "frag", "rt", "rt0", "rt2", "srh", "mh"))
TUNNELS = frozenset(("gre", "gretap", "vxlan", "geneve"))

_META: dict[str, DataType] = {
    "length": integer(32),
    "protocol": t.ETHER_TYPE,
    "priority": t.CLASSID,
    "mark": t.MARK,
    "iif": t.IFINDEX,
    "oif": t.IFINDEX,
    "iifname": t.IFNAME,
    "oifname": t.IFNAME,
    "iiftype": t.IFTYPE,
    "oiftype": t.IFTYPE,
    "skuid": t.UID,
    "skgid": t.GID,
    "nftrace": integer(1),
    "rtclassid": t.REALM,
    "secmark": integer(32),
    "nfproto": t.NFPROTO,
    "l4proto": t.PROTOCOL,
    "ibrname": t.IFNAME,
    "obrname": t.IFNAME,
    "pkttype": t.PKTTYPE,
    "cpu": integer(32),
    "iifgroup": t.DEVGROUP,
    "oifgroup": t.DEVGROUP,
    "cgroup": integer(32),
    "random": integer(32),
    "ipsec": t.BOOLEAN,
    "iifkind": t.IFNAME,
    "oifkind": t.IFNAME,
    "ibrpvid": integer(16),
    "ibrvproto": t.ETHER_TYPE,
    "time": t.DATE,
    "day": t.DAY,
    "hour": t.HOUR,
    "sdif": t.IFINDEX,
    "sdifname": t.IFNAME,
    "broute": integer(1),
    "ibrhwaddr": t.ETHER,
}
_META_ALIASES = {"ibriport": "ibrname", "obriport": "obrname", "secpath": "ipsec"}
META_UNQUALIFIED = frozenset(
    """
    mark iif iifname iiftype oif oifname oiftype skuid skgid nftrace rtclassid ibriport obriport
    ibrname obrname pkttype cpu iifgroup oifgroup cgroup time day hour
    """.split()
)

_CT: dict[str, DataType] = {
    "state": t.CT_STATE,
    "direction": t.CT_DIRECTION,
    "status": t.CT_STATUS,
    "mark": t.MARK,
    "secmark": integer(32),
    "expiration": t.TIME,
    "helper": t.STRING,
    "label": t.CT_LABEL,
    "l3proto": t.NFPROTO,
    "protocol": t.PROTOCOL,
    "proto-src": t.SERVICE,
    "proto-dst": t.SERVICE,
    "packets": integer(64),
    "bytes": integer(64),
    "avgpkt": integer(64),
    "zone": integer(16),
    "event": t.CT_EVENT,
    "id": integer(32),
    "saddr": t.ADDRESS,
    "daddr": t.ADDRESS,
}


# What a statement may write, beside the fields of headers and of TCP's options.
SETTABLE = frozenset(
    ("meta.mark", "meta.priority", "meta.nftrace", "meta.pkttype", "meta.secmark", "meta.broute",
     "ct.mark", "ct.zone", "ct.original.zone", "ct.reply.zone", "ct.label", "ct.event",
     "ct.secmark", "ct.helper", "th.sport", "th.dport")
)  # fmt: skip


def is_settable(key: Key) -> bool:
    """Tell whether `KEY set ...` is a statement."""
    group, _, field = key.name.partition(".")
    if key.name in SETTABLE or group == "payload":
        return True
    if group == "tcp" and field.startswith("option."):
        return True
    return group in _HEADERS and group not in ("vxlan", "geneve", "gretap") and "." not in field


_CT_DIRECTED = frozenset(
    """
    saddr daddr l3proto protocol proto-src proto-dst bytes packets avgpkt zone
    """.split()
)


@cache
def header(protocol: str, name: str) -> Field | None:
    """Return a field of a protocol's header, e.g. ("tcp", "dport"), or None."""
    found = _HEADERS.get(protocol)
    name = name.partition("[")[0]  # addr[1], sid[1]
    if (protocol, name) == ("vlan", "cfi"):
        name = "dei"
    if found is None or name not in found[2]:
        return None
    prefix = "exthdr." if protocol in EXTENSION_HEADERS else ""
    return Field(f"{prefix}{protocol}.{name}", found[2][name], found[0], found[1])


def is_header(protocol: str) -> bool:
    """Tell whether a word begins a header field."""
    return protocol in _HEADERS


@cache
def meta(name: str) -> Field | None:
    """Return a meta key, or None."""
    name = _META_ALIASES.get(name, name)
    dtype = _META.get(name)
    return None if dtype is None else Field(f"meta.{name}", dtype, presence=name == "ipsec")


@cache
def ct(name: str, direction: str = "", family: int = 0) -> Field | None:
    """Return a conntrack key; `family` 4 or 6 for an address that says so, or the table's."""
    dtype = _CT.get(name)
    if dtype is None:
        return None
    if direction and name not in _CT_DIRECTED:
        return None
    prefix = f"{direction}." if direction else ""
    if name in ("saddr", "daddr"):
        if not direction:
            return None
        dtype = {4: t.IPV4, 6: t.IPV6}.get(family, t.ADDRESS)
        return Field(f"ct.{prefix}{name}", dtype, guard=family)
    return Field(f"ct.{prefix}{name}", dtype, presence=name == "label")


_FIB_ORDER = ("mark", "iif", "oif")


@cache
def fib(result: str, flags: tuple[str, ...]) -> Field:
    """Return a lookup in the routing table. Raise Refused for a combination nft refuses."""
    addresses = [flag for flag in flags if flag in ("saddr", "daddr")]
    others = [flag for flag in _FIB_ORDER if flag in flags]
    if set(flags) - {"saddr", "daddr", *_FIB_ORDER}:
        raise Refused("unknown fib flag")
    if len(addresses) != 1:
        raise Refused("fib: need either saddr or daddr")
    if "iif" in others and "oif" in others:
        raise Refused("fib: iif and oif are mutually exclusive")
    dtype = {"type": t.FIB_TYPE, "oif": t.IFINDEX, "oifname": t.IFNAME}.get(result)
    if dtype is None:
        raise Refused("unknown fib result")
    name = "type" if result == "type" else "oif"
    if name == "oif" and "oif" in others:
        raise Refused("fib: oif is not a key that can be looked up")
    found = Field(f"fib.{addresses[0]}.{name}", dtype, arg=" ".join(others), presence=name == "oif")
    # net/netfilter/nft_fib.c, nft_fib_validate
    if name == "oif" or "iif" in others:
        found.hooks = frozenset(("prerouting", "input", "forward"))
    elif "oif" in others:
        found.hooks = frozenset(("forward", "output", "postrouting"))
    return found


def presence(name: str, layer3: int = 0, layer4: int = 0) -> Field:
    """Return a test for something that may be absent: an extension header, an option."""
    return Field(name, t.BOOLEAN, layer3, layer4, presence=True)


def other(name: str, dtype: DataType = t.INTEGER, arg: str = "", layer4: int = 0) -> Field:
    """Return what is not in the packet or the connection: numgen, osf, a socket ..."""
    return Field(name, dtype, 0, layer4, arg=arg)


TCP_OPTIONS: dict[str, dict[str, DataType]] = {
    "echo": {},
    "eol": {},
    "fastopen": {},
    "md5sig": {},
    "mptcp": {"subtype": t.MPTCP},
    "maxseg": {"size": integer(16)},
    "nop": {},
    "sack-perm": {},
    "timestamp": {"tsval": integer(32), "tsecr": integer(32)},
    "window": {"count": integer(8)},
    "sack": {"left": integer(32), "right": integer(32)},
    "sack1": {"left": integer(32), "right": integer(32)},
    "sack2": {"left": integer(32), "right": integer(32)},
    "sack3": {"left": integer(32), "right": integer(32)},
}
TCP_OPTION_ALIASES = {
    "mss": "maxseg",
    "sack-permitted": "sack-perm",
    "noop": "nop",
    "sack0": "sack",
}
IP_OPTIONS = frozenset(("lsrr", "rr", "ssrr", "ra"))
IP_OPTION_FIELDS = {
    "type": integer(8),
    "length": integer(8),
    "value": integer(16),
    "ptr": integer(8),
    "addr": t.IPV4,
}


@cache
def tcp_option(name: str, part: str | None) -> Field | None:
    """Return a TCP option or one of its fields, or None. nft adds no `meta l4proto tcp` to it."""
    name = TCP_OPTION_ALIASES.get(name, name)
    if name not in TCP_OPTIONS:
        kind = t.number(name)
        if kind is None or kind > 255:
            return None
    if part is None:
        return presence(f"tcp.option.{name}")
    dtype = integer(8) if part == "length" else TCP_OPTIONS.get(name, {}).get(part)
    return None if dtype is None else Field(f"tcp.option.{name}.{part}", dtype)


@cache
def ip_option(name: str, part: str | None) -> Field | None:
    """Return an IPv4 option or one of its fields, or None."""
    if name not in IP_OPTIONS:
        return None
    if part is None:
        return presence(f"ip.option.{name}", layer3=4)
    dtype = IP_OPTION_FIELDS.get(part)
    return None if dtype is None else Field(f"ip.option.{name}.{part}", dtype, 4)


@cache
def sctp_chunk(name: str, part: str | None) -> Field:
    """Return an SCTP chunk or one of its fields."""
    if part is None:
        return presence(f"sctp.chunk.{name}")
    return Field(f"sctp.chunk.{name}.{part}", integer(32))


_RAW_PORTS = {(0, 16): "th.sport", (16, 16): "th.dport"}
MAX_RAW_BITS = 2048


@cache
def raw(base: str, offset: int, length: int) -> Field:
    """Return raw payload, `@th,16,16`; the ports of a transport header are known."""
    if not 0 < length <= MAX_RAW_BITS:
        raise Refused("raw payload of that length")
    if base == "th" and (offset, length) in _RAW_PORTS:
        return Field(_RAW_PORTS[offset, length], integer(16))
    return Field(f"payload.{base}", integer(length), arg=f"{offset},{length}")


_RT = {
    "classid": t.REALM,
    "nexthop": t.ADDRESS,
    "mtu": integer(16),
    "ipsec": t.BOOLEAN,
}


@cache
def routing(name: str, family: int = 0) -> Field | None:
    """Return a property of the route, `rt mtu`, or None."""
    dtype = _RT.get(name)
    if dtype is None:
        return None
    if name == "nexthop":
        dtype = {4: t.IPV4, 6: t.IPV6}.get(family, t.ADDRESS)
    found = Field(f"route.{name}", dtype, presence=name == "ipsec")
    if name == "mtu":
        found.hooks = frozenset(("forward", "output", "postrouting"))
    return found


_SOCKET = {
    "transparent": t.FLAG,
    "wildcard": t.FLAG,
    "mark": t.MARK,
    "cgroupv2": t.CGROUP,
}


@cache
def socket(name: str) -> Field | None:
    """Return a property of the socket a packet belongs to, or None."""
    dtype = _SOCKET.get(name)
    return None if dtype is None else Field(f"socket.{name}", dtype)


@cache
def ipsec(direction: str, name: str, family: int = 0, number: int = 0) -> Field | None:
    """Return a property of the packet's IPsec transformation, or None."""
    dtypes = {"reqid": integer(32), "spi": integer(32)}
    dtypes["saddr"] = dtypes["daddr"] = {4: t.IPV4, 6: t.IPV6}.get(family, t.ADDRESS)
    dtype = dtypes.get(name)
    if dtype is None or direction not in ("in", "out") or number > 255:
        return None
    return Field(f"ipsec.{direction}.{name}", dtype, arg=str(number))
