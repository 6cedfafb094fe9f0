"""The packet as the rules see it at one point of its way, and what each key reads from it."""

# Annotations are evaluated here: as texts, NamedTuple would compile each of them.
from typing import Any, Final, Literal, NamedTuple

from sslint.netfilter import addresses
from sslint.netfilter.model import CtState, FibType, Hook, HostNetwork, Key, PktType

TCP, UDP, ICMP, ICMPV6 = 6, 17, 1, 58
PROTOCOLS = {"tcp": TCP, "udp": UDP, "icmp": ICMP, "icmpv6": ICMPV6}
PORTED = {"tcp": 6, "udp": 17, "dccp": 33, "sctp": 132, "udplite": 136}
_WITH_PORTS = frozenset(PORTED.values())

# Ports
ANY_PORT: Final = -1  # a client's own: 1024-65535, not fixed
LOW_PORT: Final = -3  # any below those: 1-1023
NO_PORT: Final = -2
CLIENT_PORTS = (1024, 65535)

# Addresses of the near end that are not one number
THIS_HOST: Final = -1  # one of this host's addresses, it is not known which
SOLICITED_NODE: Final = -2  # this host's solicited-node multicast addresses
THIS_LINK: Final = -3  # this host's link-local address
KNOWN_HOST: Final = -4  # one of the addresses that this host is known to have

# Names in `written` that stand for more than one key
HEADERS: Final = "headers"  # what the packet itself holds
ANYTHING: Final = "anything"
TEMPLATE: Final = "ct template"  # conntrack was told of the packet before it looked at it

ARP: Final = 0  # the "family" of an ARP frame

# What counters and sets that rules fill hold
FIRST: Final = 0  # the first connection: rates at their start, sets with the contents on file
RATED: Final = 1  # a rate may be used up
BANNED: Final = 2  # rules or daemons may have added to sets

# What SYNPROXY makes of a packet
COOKIE: Final = 1  # the ACK of its handshake with a client
ANSWERED: Final = 2  # it took the packet, whose way ends there


class Why(NamedTuple):
    """Why a value is not known."""

    reason: str


class Range(NamedTuple):
    """A number somewhere in a range."""

    low: int
    high: int


class Symbol(NamedTuple):
    """A value that is not a number: MISSING is NFT_BREAK, the others stand for an address."""

    name: Literal["missing", "far", "here", "type of far", "route to far"]


MISSING = Symbol("missing")
FREE = Symbol("far")
LOCAL = Symbol("here")
FREE_TYPE = Symbol("type of far")
FREE_ROUTE = Symbol("route to far")

Value = int | str | Range | Why | Symbol


class Entry(NamedTuple):
    """What this packet put in a set (by id) or a list of xt_recent (by name), and how often.

    `limited`: the entry has a limit of its own, which at its start lets the rule go on if `first`.
    `gone`: this packet deleted it.
    """

    where: int | str
    keys: tuple[Key, ...] = ()
    values: tuple[Value, ...] = ()
    limited: bool = False
    first: bool = True
    times: int = 1
    gone: bool = False


class PacketState(NamedTuple):
    """All of a packet that rules read, but for the far end's address, which is free.

    `host` is the near address (the destination of an `inbound` packet); `original` is what
    (host, dport) were before NAT. None: not known. `added`: sets this packet's source was put in.
    """

    family: int
    proto: int
    sport: int
    dport: int
    host: int
    inbound: bool
    iif: str | None
    oif: str | None
    hook: Hook = "prerouting"
    flags: int = 0
    icmp_type: int = 0
    connection: int = CtState.NEW  # what conntrack will call it
    ours: bool = False  # the connection was begun by this host, as conntrack sees it
    ct: int = CtState.INVALID  # what `ct state` reads here
    tracked: bool = False
    notrack: bool = False
    status: int | None = 0
    mark: int | None = 0
    ctmark: int | None = 0
    original: tuple[int, int] | None = None
    translated: bool = False
    binding: tuple[int, int] | None = None  # where its connection is translated to
    multicast: bool = False
    hop_limit: int | None = None
    added: frozenset[Entry] = frozenset()
    written: tuple[tuple[str, int | None], ...] = ()  # what keys read, once written; None: unknown
    mangled: bool = False  # a field by which its connection is known was rewritten, not by NAT
    tproxy: int = 0
    synproxy: int = 0
    history: int = FIRST

    @property
    def port(self) -> int:
        """The near end's port: of the server."""
        return self.dport if self.inbound else self.sport

    @property
    def client_port(self) -> int:
        """The far end's port."""
        return self.sport if self.inbound else self.dport


_PLACES = {name: place for place, name in enumerate(PacketState._fields)}


def _replaced(state: PacketState, /, **changes: Any) -> PacketState:
    """Return a packet that differs in some fields, at a fifth of what NamedTuple takes for it."""
    fields: list[Any] = [*state]
    for name, value in changes.items():
        fields[_PLACES[name]] = value
    return tuple.__new__(PacketState, fields)


def at_hook(state: PacketState, hook: Hook) -> PacketState:
    """Return a packet at a hook, to which it comes far more often than other fields change."""
    place = _PLACES["hook"]
    fields: tuple[Any, ...] = (*state[:place], hook, *state[place + 1 :])
    return tuple.__new__(PacketState, fields)


PacketState._replace = _replaced  # type: ignore[method-assign, assignment]

# IPv6 extension headers of nft(8); a plain packet has none, so that their fields break.
_EXTENSIONS = frozenset(("hbh", "frag", "dst", "mh", "srh", "rt0", "rt2", "rt4", "auth", "vlan"))
# Headers that a packet has if it is of their protocol. AH is an extension header in IPv6, which
# the kernel looks behind: no packet is of its protocol there.
_PROTOCOL = {
    "igmp": 2, "gre": 47, "gretap": 47, "esp": 50, "ah": 51, "comp": 108, "vxlan": UDP,
    "geneve": UDP,
}  # fmt: skip
_ROUTING_HEADER = frozenset(("type", "nexthdr", "hdrlength", "seg-left"))
_DEPENDS = {
    "time": "the time of day", "hour": "the time of day", "day": "the day of the week",
    "cpu": "the processor", "skuid": "the socket's owner", "skgid": "the socket's owner",
    "cgroup": "the control group", "random": "chance", "iiftype": "the type of the interface",
    "oiftype": "the type of the interface", "iifgroup": "the group of the interface",
    "oifgroup": "the group of the interface", "iifkind": "the kind of the interface",
    "oifkind": "the kind of the interface",
}  # fmt: skip


def free_keys(family: int, inbound: bool) -> frozenset[str]:
    """Return the keys that read the far end's address."""
    prefix = "ip" if family == 4 else "ip6"
    near = "saddr" if inbound else "daddr"
    return frozenset(
        (
            f"{prefix}.{near}",
            "ct.original.saddr",
            "ct.original.daddr",
            "ct.reply.saddr",
            "ct.reply.daddr",
            f"fib.{near}.type",
            f"fib.{near}.oif",
        )
    )


def read(name: str, argument: str, state: PacketState, network: HostNetwork) -> Value:
    """Return what a key reads from a packet."""
    group, _, field = name.partition(".")
    if state.written:
        found = _written(name, group, field, state)
        if found is not None:
            return found
    if group == "meta":
        return _meta(field, state)
    if group in ("ip", "ip6"):
        if state.family != (4 if group == "ip" else 6):
            return MISSING
        return _ip(field, state)
    if group in PORTED or group == "th":
        return _transport(group, field, state)
    if group == "ct":
        return _conntrack(field, state)
    if group == "fib":
        return _fib(field, argument, state, network)
    if group in ("icmp", "icmpv6"):
        return _icmp(group, field, state)
    if group in ("numgen", "symhash") and argument:
        modulus, _, offset = argument.partition(",")
        return Range(int(offset), int(offset) + int(modulus) - 1)
    return _other(group, name, field, state)


_STAYS = frozenset(("iif", "oif", "iifname", "oifname", "nfproto", "sdif", "sdifname"))


def _written(name: str, group: str, field: str, state: PacketState) -> Value | None:
    """Return what a statement has made of a key, None if none has touched it."""
    if group in PORTED and field in ("sport", "dport") and state.proto == PORTED[group]:
        name = f"th.{field}"
    for key, value in state.written:
        if key == name:
            if value is None:
                return Why(f"a rule has rewritten {name.replace('.', ' ')}")
            return value
        if key == ANYTHING and not (group == "meta" and field in _STAYS) and group != "constant":
            return Why("an earlier rule may have rewritten anything")
        if key == HEADERS and (group not in ("meta", "ct", "constant") or name == "meta.l4proto"):
            return Why("an earlier rule has rewritten the packet's headers")
        if key == TEMPLATE and group == "ct" and not state.tracked and not state.notrack:
            # Until conntrack sees the packet it has the template, which is NEW (xt_ct_target).
            return CtState.NEW if field == "state" else Why("the packet has a conntrack template")
        if group == "fib" and key.endswith(field.partition(".")[0]) and key.startswith("ip"):
            return Why(f"a rule has rewritten {key.replace('.', ' ')}")
    return None


def _other(group: str, name: str, field: str, state: PacketState) -> Value:
    if group == "exthdr":  # nft puts `meta nfproto ipv6` before it
        return MISSING if "." in field or state.family != 6 else 0
    if group in _EXTENSIONS or (group == "rt" and field in _ROUTING_HEADER):
        return MISSING
    if group in _PROTOCOL and state.proto != _PROTOCOL[group]:
        return MISSING
    if group == "constant":
        return 0
    if group == "arp":
        return Why("ARP fields are not modelled") if state.family == ARP else MISSING
    if name == "ether.type":
        return _ETHERTYPES[state.family]
    if group == "ether":
        return Why("link-layer addresses are not in the files")
    return Why(f"{name.replace('.', ' ')} is not modelled")


_ETHERTYPES = {4: 0x0800, 6: 0x86DD, ARP: 0x0806}


def _meta(field: str, state: PacketState) -> Value:
    if field == "l4proto":
        return state.proto if state.family != ARP else MISSING
    if field == "nfproto":
        return {4: 2, 6: 10, ARP: 3}[state.family]
    if field == "protocol":
        return _ETHERTYPES[state.family]
    if field in ("sdifname", "sdif"):  # the interface below a VRF
        return ""
    if field in ("iifname", "iif"):
        return state.iif if state.iif is not None else Why("the ingress interface is not known")
    if field in ("oifname", "oif"):
        return state.oif if state.oif is not None else Why("the egress interface is not known")
    if field == "mark":
        return state.mark if state.mark is not None else Why("the packet mark is not known")
    if field == "pkttype":
        return PktType.MULTICAST if state.multicast and state.inbound else PktType.HOST
    if field == "length":
        return _length(state)
    if field in ("iiftype", "iifgroup", "iifkind") and state.iif == "":
        return MISSING
    if field in ("oiftype", "oifgroup", "oifkind") and state.oif == "":
        return MISSING
    if field in _DEPENDS:
        return Why(f"meta {field}: it depends on {_DEPENDS[field]}")
    return Why(f"meta {field} is not modelled")


def _length(state: PacketState) -> Range:
    """Return the bytes of a packet from its IP header on: a SYN carries little or no data."""
    header = 20 if state.family == 4 else 40
    return Range(header + 20, 140) if state.proto == TCP else Range(header, 65535 + header)


def _near(host: int) -> Value:
    if host >= 0:
        return host
    if host == SOLICITED_NODE:
        return Range(*addresses.SOLICITED_NODES)
    if host == THIS_LINK:
        return Range(*addresses.LINK_LOCAL[6][0])
    return LOCAL


def _ip(field: str, state: PacketState) -> Value:
    if field in ("saddr", "daddr"):
        return FREE if (field == "saddr") == state.inbound else _near(state.host)
    if field in ("protocol", "nexthdr"):
        return state.proto
    if field == "version":
        return state.family
    if field in ("ttl", "hoplimit"):
        if state.hop_limit is not None:
            return state.hop_limit
        return Why("the hop limit depends on the client's distance")
    if field == "hdrlength":
        return 5
    if field == "frag-off":  # conntrack defragments before; a client may set DF
        return Why("the DF flag depends on the client")
    if field == "length":
        low, high = _length(state)
        return Range(low, high) if state.family == 4 else Range(low - 40, high - 40)
    if field.startswith("option."):  # a plain packet has none; nft asks its type by its presence
        return MISSING if field.count(".") > 1 and not field.endswith(".type") else 0
    return Why(f"ip {field} depends on the client")


def _port(port: int) -> Value:
    if port == LOW_PORT:
        return Range(1, CLIENT_PORTS[0] - 1)
    return Range(*CLIENT_PORTS) if port == ANY_PORT else port


def _transport(group: str, field: str, state: PacketState) -> Value:
    if state.family == ARP:
        return MISSING
    if group == "th":
        if state.proto not in _WITH_PORTS:
            return Why("th reads bytes that are not ports in this protocol")
    elif state.proto != PORTED[group]:  # an option's or chunk's presence is 0, its fields break
        return 0 if field.startswith(("option.", "chunk.")) and field.count(".") == 1 else MISSING
    if field == "dport":
        return _port(state.dport)
    if field == "sport":
        return _port(state.sport)
    if field == "flags" and group == "tcp":
        return state.flags
    if field.startswith("option."):
        return _option(field)
    return Why(f"{group} {field} depends on the client")


def _option(field: str) -> Value:
    """Read a TCP option: those that most clients send may be there, others are not."""
    _, _, rest = field.partition(".")
    option, _, part = rest.partition(".")
    if option in ("maxseg", "sack-perm", "window", "timestamp", "eol", "nop"):
        return Why(f"whether a client sends the TCP option {option} is its own affair")
    return MISSING if part else 0


def _icmp(group: str, field: str, state: PacketState) -> Value:
    if state.proto != (ICMP if group == "icmp" else ICMPV6) or state.family == ARP:
        return MISSING
    if field == "type":
        return state.icmp_type
    if field == "code":
        return 0
    return Why(f"{group} {field} depends on the sender")


def _conntrack(field: str, state: PacketState) -> Value:
    if field == "state":
        return state.ct
    if not state.tracked:
        return MISSING
    if field == "status":
        return state.status if state.status is not None else Why("ct status is not known")
    if field == "mark":
        return state.ctmark if state.ctmark is not None else Why("the connection mark is not known")
    if field == "direction":
        return 0 if state.inbound != state.ours else 1
    if field == "l3proto":
        return 2 if state.family == 4 else 10
    if field == "protocol":
        return state.proto
    if field in ("zone", "label", "secmark"):
        return 0
    if field == "helper":
        return MISSING
    side, _, part = field.rpartition(".")
    if part in ("packets", "bytes", "avgpkt"):
        return _counted(side, part, state)
    if side in ("original", "reply"):
        return _tuple(side, part, state)
    return Why(f"ct {field} is not modelled")


def _counted(side: str, part: str, state: PacketState) -> Value:
    """Return what a connection has counted with its first packet; the others are not known.

    A rule that asks makes the kernel count (nft_ct_get_init), the packet itself among them.
    """
    if state.connection != CtState.NEW:
        return Why(f"ct {part} counts the packets of a connection")
    if side == "reply":
        return 0
    return 1 if part == "packets" else _length(state)


def _tuple(side: str, part: str, state: PacketState) -> Value:
    """Read the connection's own addresses and ports; the reply tuple is after NAT."""
    host, port = state.original or (state.host, state.port)
    if side == "reply":
        host, port = state.host, state.port
    to_near = (side == "original") != state.ours
    near, near_port = ("daddr", "proto-dst") if to_near else ("saddr", "proto-src")
    if part in ("saddr", "daddr"):
        return _near(host) if part == near else FREE
    if part in ("proto-src", "proto-dst"):
        if state.proto not in _WITH_PORTS:
            return Why("the protocol has no ports")
        return _port(port if part == near_port else state.client_port)
    return Why(f"ct {side} {part} is not modelled")


def _fib(field: str, argument: str, state: PacketState, network: HostNetwork) -> Value:
    if state.family == ARP:
        return MISSING
    if field == "saddr.oif":
        if not state.inbound or state.iif is None:
            return Why("reverse path lookups are modelled for incoming packets only")
        if "mark" in argument and state.mark != 0:
            return Why("whether a route depends on the packet mark is not in the files")
        return FREE_ROUTE
    address, _, result = field.partition(".")
    if result != "type" or address not in ("saddr", "daddr"):
        return Why(f"fib {field.replace('.', ' ')} is not modelled")
    by_interface = "iif" in argument or "oif" in argument
    if (address == "saddr") == state.inbound:
        return Why("fib with an interface is not modelled here") if by_interface else FREE_TYPE
    if state.host == SOLICITED_NODE or addresses.contains(
        addresses.MULTICAST[state.family], state.host
    ):
        return int(FibType.MULTICAST)
    if state.hook in ("forward", "postrouting") and state.iif:
        return int(FibType.UNICAST)
    if by_interface:
        return _local_to(state, network)
    if state.host < 0 or not (state.original or state.mangled):
        return int(FibType.LOCAL)
    return _type_of(state.host, state.family, network)


def _type_of(host: int, family: int, network: HostNetwork) -> Value:
    """Return the route type of an address that a rule has sent a packet to."""
    own = network.own(family)
    if host in own or addresses.contains(addresses.LOOPBACK[family], host):
        return int(FibType.LOCAL)
    if own and any(interface.addresses(family) for interface in network.interfaces):
        return int(FibType.UNICAST)
    return Why(f"whether {addresses.show(family, host)} is this host is not in the files")


def _local_to(state: PacketState, network: HostNetwork) -> Value:
    """Answer `fib daddr . iif type`: local only for addresses of the ingress interface."""
    for interface in network.interfaces:
        known = interface.addresses(state.family)
        if interface.name == state.iif and known and state.host >= 0:
            if any(address == state.host for address, _ in known):
                return int(FibType.LOCAL)
            return int(FibType.UNICAST)
    return Why("which addresses the ingress interface has is not known")
