"""What nft can look at in a packet, and the type of each.

A field that a packet lacks never matches, so its key says which protocols it depends on; `layer3`
and `layer4` are there because nft refuses a rule whose fields contradict each other.
"""

from __future__ import annotations

from functools import cache

from sslint.firewalls.nftables import datatypes as t
from sslint.firewalls.nftables.datatypes import DataType, Refused, integer
from sslint.netfilter.model import Key
from sslint.regex import is_number

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


@cache
def _typed(text: str) -> dict[str, DataType]:
    """Read `name=TYPE`: a type of datatypes.py, or an integer of so many bits."""
    pairs = (word.split("=") for word in text.split())
    return {
        name.replace("_", " "): integer(int(kind)) if is_number(kind) else getattr(t, kind.upper())
        for name, kind in pairs
    }


_HEADERS: dict[str, tuple[int, int, str]] = {
    # protocol: layer 3, layer 4, fields
    "ether": (0, 0, "saddr=ether daddr=ether type=ether_type"),
    "vlan": (0, 0, "id=12 dei=1 pcp=3 type=ether_type"),
    "arp": (
        ARP,
        0,
        "htype=16 ptype=ether_type hlen=8 plen=8 operation=arp_operation saddr_ether=ether "
        "daddr_ether=ether saddr_ip=ipv4 daddr_ip=ipv4",
    ),
    "ip": (
        4,
        0,
        "version=4 hdrlength=4 dscp=dscp ecn=ecn length=16 id=16 frag-off=16 ttl=8 "
        "protocol=protocol checksum=16 saddr=ipv4 daddr=ipv4",
    ),
    "ip6": (
        6,
        0,
        "version=4 dscp=dscp ecn=ecn flowlabel=20 length=16 nexthdr=protocol hoplimit=8 "
        "saddr=ipv6 daddr=ipv6",
    ),
    "icmp": (4, 1, "type=icmp_type code=icmp_code checksum=16 id=16 sequence=16 gateway=32 mtu=16"),
    "igmp": (4, 2, "type=igmp_type checksum=16 mrt=8 group=ipv4"),
    "icmpv6": (
        6,
        58,
        "type=icmpv6_type code=icmpv6_code checksum=16 parameter-problem=32 "
        "packet-too-big=32 mtu=32 id=16 sequence=16 max-delay=16 taddr=ipv6 "
        "daddr=ipv6",
    ),
    "tcp": (
        0,
        6,
        "sport=service dport=service sequence=32 ackseq=32 doff=4 reserved=4 "
        "flags=tcp_flags window=16 checksum=16 urgptr=16",
    ),
    "udp": (0, 17, "sport=service dport=service length=16 checksum=16"),
    "udplite": (0, 136, "sport=service dport=service csumcov=16 checksum=16"),
    "sctp": (0, 132, "sport=service dport=service vtag=32 checksum=32"),
    "dccp": (0, 33, "sport=service dport=service type=dccp_type"),
    "th": (0, 0, "sport=service dport=service"),
    "ah": (0, 51, "nexthdr=protocol hdrlength=8 reserved=16 spi=32 sequence=32"),
    "esp": (0, 50, "spi=32 sequence=32"),
    "comp": (0, 108, "nexthdr=protocol flags=8 cpi=16"),
    "gre": (0, 47, "flags=5 version=3 protocol=ether_type"),
    "vxlan": (0, 17, "vni=24 flags=8"),
    "geneve": (0, 17, "vni=24 type=ether_type"),
    "gretap": (0, 47, ""),
    # IPv6 extension headers
    "hbh": (6, 0, "nexthdr=protocol hdrlength=8"),
    "dst": (6, 0, "nexthdr=protocol hdrlength=8"),
    "frag": (6, 0, "nexthdr=protocol reserved=8 frag-off=13 reserved2=2 more-fragments=1 id=32"),
    "rt": (6, 0, "nexthdr=protocol hdrlength=8 type=8 seg-left=8"),
    "rt0": (6, 0, "addr=ipv6"),
    "rt2": (6, 0, "addr=ipv6"),
    "srh": (6, 0, "last-entry=8 flags=8 tag=16 sid=ipv6"),
    "mh": (6, 0, "nexthdr=protocol hdrlength=8 type=mh_type reserved=8 checksum=16"),
}
EXTENSION_HEADERS = frozenset(("hbh", "dst", "frag", "rt", "rt0", "rt2", "srh", "mh"))
TUNNELS = frozenset(("gre", "gretap", "vxlan", "geneve"))

_META = _typed(
    """
    length=32 protocol=ether_type priority=classid mark=mark iif=ifindex oif=ifindex
    iifname=ifname oifname=ifname iiftype=iftype oiftype=iftype skuid=uid skgid=gid nftrace=1
    rtclassid=realm secmark=32 nfproto=nfproto l4proto=protocol ibrname=ifname obrname=ifname
    pkttype=pkttype cpu=32 iifgroup=devgroup oifgroup=devgroup cgroup=32 random=32 ipsec=boolean
    iifkind=ifname oifkind=ifname ibrpvid=16 ibrvproto=ether_type time=date day=day hour=hour
    sdif=ifindex sdifname=ifname broute=1 ibrhwaddr=ether
    """
)
_META_ALIASES = {"ibriport": "ibrname", "obriport": "obrname", "secpath": "ipsec"}
META_UNQUALIFIED = frozenset(
    """
    mark iif iifname iiftype oif oifname oiftype skuid skgid nftrace rtclassid ibriport obriport
    ibrname obrname pkttype cpu iifgroup oifgroup cgroup time day hour
    """.split()
)

_CT = _typed(
    """
    state=ct_state direction=ct_direction status=ct_status mark=mark secmark=32 expiration=time
    helper=string label=ct_label l3proto=nfproto protocol=protocol proto-src=service
    proto-dst=service packets=64 bytes=64 avgpkt=64 zone=16 event=ct_event id=32 saddr=address
    daddr=address
    """
)


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
    dtype = _typed(found[2]).get(name) if found is not None else None
    if found is None or dtype is None:
        return None
    prefix = "exthdr." if protocol in EXTENSION_HEADERS else ""
    return Field(f"{prefix}{protocol}.{name}", dtype, found[0], found[1])


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
    found = Field(
        f"fib.{addresses[0]}.{name}", dtype, arg=" ".join(others), presence=result == "oif"
    )
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
