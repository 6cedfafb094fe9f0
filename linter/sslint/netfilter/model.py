"""The ruleset model: what every firewall format is read into, and all that the evaluator sees.

It is close to nftables' own: tables of chains and sets, rules of matches and statements that run
from left to right. iptables, ufw and firewalld are expressed in it without loss.

Values are integers, inclusive intervals of integers, or interface names. Addresses are the
integers of `ipaddress`; which family they belong to is said by the key they are compared with.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Literal, cast

from sslint.source import Location, SourceFile
from sslint.values import dataclass, field, replace

Interval = tuple[int, int]
"""An inclusive range of integers."""

# -- keys: what a match looks at --------------------------------------------------------------
# Named as in nft(8), with a dot: the evaluator knows these, every other key is unknown.
#
#   meta.nfproto meta.l4proto meta.protocol meta.mark meta.iifname meta.oifname meta.iif meta.oif
#   meta.iiftype meta.iifgroup meta.pkttype meta.length meta.priority meta.skuid ...
#   ip.saddr ip.daddr ip.protocol ip.ttl ip.version ip.dscp ip.frag-off ...
#   ip6.saddr ip6.daddr ip6.nexthdr ip6.hoplimit ...
#   tcp.sport tcp.dport tcp.flags udp.sport udp.dport sctp.dport dccp.dport udplite.dport
#   th.sport th.dport       (whatever has ports; no protocol guard)
#   icmp.type icmp.code icmpv6.type icmpv6.code
#   ct.state ct.status ct.mark ct.direction ct.l3proto ct.protocol ct.zone ct.label ct.helper
#   ct.original.saddr ct.original.daddr ct.original.proto-src ct.original.proto-dst
#       (ct.reply.* likewise; the address family is meta.nfproto's)
#   fib.daddr.type fib.saddr.type     (values: FibType; arg "iif"/"oif" where the lookup names it)
#   fib.saddr.oif     (the reverse path filter; value: an interface name, missing = no route back)
#   exthdr.NAME    (value 1 = exists; a plain packet has none)
#   constant     (0: under a mask of 0 and an xor it is a number in a concatenation)
#   ipset     (arg: the directions, "src,dst"; ipset.resolve replaces it once all sets are read)
#   Anything else: a key the evaluator answers with "unknown", e.g. "osf.name", "numgen.random".


class FibType(int, Enum):
    """Route types as fib and addrtype compare them (linux/rtnetlink.h RTN_*)."""

    UNSPEC = 0
    UNICAST = 1
    LOCAL = 2
    BROADCAST = 3
    ANYCAST = 4
    MULTICAST = 5
    BLACKHOLE = 6
    UNREACHABLE = 7
    PROHIBIT = 8


class CtState:
    """Bits of `ct state` (net/netfilter/nf_conntrack_common.h, as nft numbers them)."""

    INVALID = 1
    ESTABLISHED = 2
    RELATED = 4
    NEW = 8
    UNTRACKED = 64


class CtStatus:
    """Bits of `ct status` (IPS_*)."""

    EXPECTED = 1
    SEEN_REPLY = 2
    ASSURED = 4
    CONFIRMED = 8
    SNAT = 16
    DNAT = 32
    DYING = 512


class TcpFlag:
    """Bits of the TCP flags."""

    FIN, SYN, RST, PSH, ACK, URG, ECN, CWR = 1, 2, 4, 8, 16, 32, 64, 128


class PktType:
    """Values of `meta pkttype` (linux/if_packet.h)."""

    HOST, BROADCAST, MULTICAST, OTHER = 0, 1, 2, 3


@dataclass(frozen=True, slots=True)
class Key:
    """One field of a packet. With a mask the value compared is `((value & mask) ^ xor) >> shift`;
    a negative shift shifts to the left."""

    name: str
    mask: int | None = None
    xor: int = 0
    shift: int = 0
    arg: str = ""


@dataclass(frozen=True, slots=True)
class Intervals:
    """A set of integers: sorted, disjoint, inclusive intervals."""

    items: tuple[Interval, ...]


@dataclass(frozen=True, slots=True)
class Names:
    """A set of interface names (or other strings); a trailing `*` matches any rest."""

    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UnknownValues:
    """Values that are not in the input: a host name, an undefined set, a template."""

    reason: str


Values = Intervals | Names | UnknownValues


@dataclass(frozen=True, slots=True)
class SetRef:
    """The contents of a named set of the same table. For ipset sets, `table` is "" ."""

    name: str


Element = tuple[Values, ...]
"""One element of a set or map: one set of values for each key."""


# -- matches ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Match:
    """Compare the keys (a concatenation if several) with values.

    `test` "in": the value is among `values`. "any": the bits `values` (one integer, as
    Intervals(((bits, bits),))) have a bit in common with the value (`ct state a,b`, tcp flags).
    A packet without one of the keys never matches, negated or not (NFT_BREAK).
    `values` is Values for one key, a tuple of elements for a concatenation, or a set's name.
    """

    keys: tuple[Key, ...]
    values: Values | tuple[Element, ...] | SetRef
    negate: bool = False
    test: Literal["in", "any"] = "in"


@dataclass(frozen=True, slots=True)
class Unknown:
    """A match whose outcome the files do not decide; it may be true or false."""

    reason: str


@dataclass(frozen=True, slots=True)
class Constant:
    """A match that is always true or always false for the packets that are judged."""

    value: bool
    why: str = ""


MANY_CONNECTIONS = 50


@dataclass(frozen=True, slots=True)
class Limit:
    """A counter at its start: a rate, a quota, a number of connections.

    `first` is the outcome for the first packet of a first connection. The verdict of a port that
    depends on it carries `rate_limited`. `connections`: how many at once it counts to, if it does.
    `capacity`: the bytes of the longest packet that it lets pass at all, if it counts bytes.
    `tracked`: it counts by connections, so that the kernel tracks them. `growing`: it counts a
    connection's own packets, so that nothing is certain of the later ones.
    """

    first: bool
    text: str = ""
    connections: int = 0
    capacity: int | None = None
    tracked: bool = False
    growing: bool = False

    @property
    def generous(self) -> bool:
        """Tell whether no browser or mail program comes near it: they open ten at once."""
        return self.connections >= MANY_CONNECTIONS


@dataclass(frozen=True, slots=True)
class Recent:
    """xt_recent: a list of addresses that rules fill at run time, empty on the first connection.

    `hitcount` 0 means any hit. A `set` always matches and adds the source; what it added counts
    for later rules that the same packet meets.
    """

    name: str
    action: Literal["set", "rcheck", "update", "remove"]
    hitcount: int = 0
    negate: bool = False


# -- statements -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Verdict:
    """Decide the packet, or go on in another chain.

    `queue` hands it to user space: unknown, but with `bypass` and nobody listening it is accepted
    in this base chain. A reject may not apply: `reject with tcp reset` concerns TCP only
    (`reject_protocol` 6), `reject with icmp type` IPv4 only (`reject_family` 4 or 6); other
    packets fall through to the next rule.
    """

    kind: Literal["accept", "drop", "reject", "return", "jump", "goto", "continue", "queue"]
    chain: str = ""
    bypass: bool = False
    reject_protocol: int | None = None
    reject_family: int | None = None


@dataclass(frozen=True, slots=True)
class VerdictMap:
    """Look the keys up; the first matching entry's verdict applies, a miss goes on.

    `default` is the `*` entry: it catches packets that have the keys. `entries` may name a map.
    """

    keys: tuple[Key, ...]
    entries: tuple[tuple[Element, Verdict], ...] | SetRef
    default: Verdict | None = None


@dataclass(frozen=True, slots=True)
class Assign:
    """Write a key (meta.mark, ct.mark, meta.priority, ct.zone ...).

    "ct.template" is written by what gives a packet a template and no zone.

    new = (source & and_mask) ^ xor, where source is the key itself or `source`; `source` None
    with and_mask 0 is a constant. `unknown` means a value the files do not decide. A packet that
    lacks one of `needs` leaves the rule.
    """

    key: Key
    and_mask: int = 0
    xor: int = 0
    source: Key | None = None
    unknown: str = ""
    needs: tuple[Key, ...] = ()


@dataclass(frozen=True, slots=True)
class Notrack:
    """Exempt the packet from connection tracking."""


NatTarget = tuple[Values | None, Interval | None]
"""Addresses and ports to translate to; None keeps what the packet has."""


@dataclass(frozen=True, slots=True)
class Nat:
    """Translate and end the nat base chain.

    dnat: to `addresses` (None = keep) and `ports` (None = keep; an interval maps to its first
    port unless `port_shift` gives an iptables port-map base). redirect: to this host.
    `mapping` is `dnat to KEYS map {...}`: entries of element -> (addresses, ports); a miss goes on.
    `mask`: the bits that the translation changes (NETMAP), all of them if None.
    """

    kind: Literal["dnat", "redirect", "snat", "masquerade"]
    addresses: Values | None = None
    ports: Interval | None = None
    family: Literal[0, 4, 6] = 0
    keys: tuple[Key, ...] = ()
    mapping: tuple[tuple[Element, tuple[Values | None, Interval | None]], ...] | SetRef | None = (
        None
    )
    port_shift: int | None = None
    unknown: str = ""
    mask: int | None = None


@dataclass(frozen=True, slots=True)
class Tproxy:
    """Deliver to a local socket on `port` (None = the same); the packet keeps its destination.

    Without a transparent socket there the packet leaves the rule, or is dropped if it `drops`.
    """

    port: int | None = None
    address: int | None = None
    drops: bool = False
    unknown: str = ""


@dataclass(frozen=True, slots=True)
class Synproxy:
    """Answer the SYN here and open the connection once the client has acknowledged."""


@dataclass(frozen=True, slots=True)
class SetUpdate:
    """Add, update or delete the keys' value in a set at run time. It matches unless it fails.

    `first` is the outcome for a first connection (a meter with `limit rate over` is False).
    """

    set: SetRef
    keys: tuple[Key, ...]
    operation: Literal["add", "update", "delete"] = "add"
    first: bool = True
    limited: bool = False


@dataclass(frozen=True, slots=True)
class Unmodelled:
    """A statement or target whose effect is not modelled: it may accept, drop or go on, and may
    have written anything."""

    reason: str


RuleItem = (
    Match
    | Unknown
    | Constant
    | Limit
    | Recent
    | Verdict
    | VerdictMap
    | Assign
    | Notrack
    | Nat
    | Tproxy
    | Synproxy
    | SetUpdate
    | Unmodelled
)


@dataclass(frozen=True, slots=True)
class Rule:
    """Matches and statements, run from left to right until one does not match or a verdict falls.

    Counters, logs and comments are left out by the readers. `label` names the rule in the words
    of the manager that wrote it (a ufw application, a firewalld service), else "".
    """

    items: tuple[RuleItem, ...]
    location: Location
    label: str = ""

    @property
    def text(self) -> str:
        """The rule as written, one line."""
        return self.location.text


@dataclass(frozen=True, slots=True)
class Column:
    """The match of a listing's rules at one place: rule `i` compares from lows[i] to highs[i].

    Both are one sequence where each compares with a single number.
    """

    place: int
    keys: tuple[Key, ...]
    negate: bool
    lows: Sequence[int]
    highs: Sequence[int]

    def match(self, number: int) -> Match:
        """Return the match of one rule."""
        return Match(self.keys, Intervals(((self.lows[number], self.highs[number]),)), self.negate)


@dataclass(frozen=True, slots=True)
class Listing:
    """Rules of consecutive lines that differ in a few numbers and the verdict alone.

    `items` are those of one of them: matches of one key with numbers or names, then a plain
    verdict (accept, drop or return). `columns` replace some of the matches; `chosen` says by number
    which of the `verdicts` each rule ends in. `line` is the first one's, from 1. Rules that were
    asked for are in `made`, so that each is one object.
    """

    file: SourceFile
    line: int
    label: str
    items: tuple[RuleItem, ...]
    columns: tuple[Column, ...]
    verdicts: tuple[Verdict, ...]
    chosen: bytes
    made: dict[int, Rule] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.chosen)

    def rule(self, number: int) -> Rule:
        """Return a rule by its number, from 0."""
        made = self.made.get(number)
        if made is None:
            items = list(self.items)
            for column in self.columns:
                items[column.place] = column.match(number)
            items[-1] = self.verdicts[self.chosen[number]]
            line = self.line + number
            location = Location(self.file, line, 1, len(self.file.line(line)) + 1)
            made = self.made[number] = Rule(tuple(items), location, self.label)
        return made


Hook = Literal["ingress", "prerouting", "input", "forward", "output", "postrouting", "egress"]
ChainType = Literal["filter", "nat", "route"]
TableFamily = Literal["ip", "ip6", "inet", "netdev", "arp", "bridge"]

PRIORITIES = {  # nft(8), standard priority names
    "raw": -300,
    "mangle": -150,
    "dstnat": -100,
    "filter": 0,
    "security": 50,
    "srcnat": 100,
}
CONNTRACK_PRIORITY = -200
_ANYCAST = 127  # from this prefix length on a link has no anycast address (RFC 6164)


@dataclass(frozen=True, slots=True)
class Base:
    """How a base chain is attached. `policy_location` is where the policy is written."""

    type: ChainType
    hook: Hook
    priority: int
    policy: Literal["accept", "drop"] = "accept"
    devices: tuple[str, ...] = ()
    policy_location: Location | None = None


@dataclass(slots=True)
class Chain:
    """A chain of rules; a base chain if `base` is given. `order` is when it was registered.

    `parts` are its rules, in order, where those of a listing are not made. `listed` says that
    there are listings.
    """

    name: str
    location: Location
    base: Base | None = None
    parts: list[Rule | Listing] = field(default_factory=list)
    order: int = 0
    listed: bool = False

    @property
    def rules(self) -> list[Rule]:
        """All rules, to read and to change: from now on there are no listings."""
        if self.listed:
            self.parts = [*self.each()]
            self.listed = False
        return cast(list[Rule], self.parts)

    @rules.setter
    def rules(self, rules: list[Rule]) -> None:
        self.parts = cast(list[Rule | Listing], rules)
        self.listed = False

    @property
    def length(self) -> int:
        """How many rules there are."""
        if not self.listed:
            return len(self.parts)
        return sum(len(part) if type(part) is Listing else 1 for part in self.parts)

    def each(self) -> Iterator[Rule]:
        """Yield all rules."""
        for part in self.parts:
            if isinstance(part, Listing):
                yield from map(part.rule, range(len(part)))
            else:
                yield part

    def copy(self) -> Chain:
        """Return a chain whose rules can be changed without changing this one's."""
        return replace(self, parts=list(self.parts))


@dataclass(slots=True)
class Set:
    """A named set, map or verdict map.

    `elements` are the keys; in a map `data` holds, in the same order, a Verdict (verdict map), or
    (addresses, ports) for NAT, or Values. `unknown` says why the contents are not known.
    `dynamic`: rules or daemons fill it at run time (flags dynamic or timeout). `limited`: each
    element has a rate of its own. `adding` says why it may be that nothing can be added.
    """

    name: str
    keys: tuple[str, ...]  # nft types: ipv4_addr, inet_service ...
    elements: list[Element]
    data: list[object] | None = None
    default: object | None = None  # the `*` element's data, or True in a set
    dynamic: bool = False
    limited: bool = False
    adding: str = ""
    unknown: str = ""
    location: Location | None = None
    # ipset: which family and how the elements' fields are to be compared is said by `keys`:
    # "ipset:hash:net,port" ...; elements that are holes (nomatch) stand in `holes`.
    holes: list[Element] = field(default_factory=list)


@dataclass(slots=True)
class Table:
    """A table. `origin` names what loaded it, and which format a fix must use."""

    family: TableFamily
    name: str
    chains: dict[str, Chain] = field(default_factory=dict)
    sets: dict[str, Set] = field(default_factory=dict)
    dormant: bool = False
    origin: Literal["nft", "iptables", "iptables-legacy", "ufw", "firewalld"] = "nft"
    location: Location | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """Where a layer of the ruleset was read, and where it deletes what others have loaded."""

    kind: str  # iptables, ip6tables, nft, nft-json, ufw, firewalld, ipset, script
    path: str
    flushes: Location | None = None


@dataclass(frozen=True, slots=True)
class Missing:
    """A layer that is known to exist and is not, or not wholly, in the input.

    It can only close more, unless `may_open` (it sits before a drop, or translates addresses).
    """

    reason: str
    families: tuple[int, ...] = (4, 6)
    location: Location | None = None
    may_open: bool = False


@dataclass(frozen=True, slots=True)
class Doubt:
    """Ports of this host of which it is not known what becomes of them."""

    transport: Literal["tcp", "udp"]
    ports: range
    reason: str
    location: Location | None = None
    families: tuple[int, ...] = (4, 6)


@dataclass(slots=True)
class Ruleset:
    """All layers of one host's firewall: the kernel asks every base chain of every table."""

    tables: list[Table] = field(default_factory=list)
    ipsets: dict[str, Set] = field(default_factory=dict)
    sources: list[Source] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    assumptions: list[str] = field(default_factory=list)
    # Families for which some source says something (or says "nothing"): rules.v4 alone is {4}.
    families: set[int] = field(default_factory=set)
    unknown_ports: list[Doubt] = field(default_factory=list)
    # What each manager loads by itself, where one of them is in force and not known which.
    alternatives: list[Ruleset] = field(default_factory=list)

    def add(self, part: Ruleset) -> None:
        """Add what another holds; a source or an assumption of both is there once."""
        self.tables += part.tables
        self.ipsets.update(part.ipsets)
        self.sources += [source for source in part.sources if source not in self.sources]
        self.missing += part.missing
        self.assumptions += [text for text in part.assumptions if text not in self.assumptions]
        self.families |= part.families

    @property
    def possible(self) -> bool:
        """Whether it is what a script would leave, and nothing says that it is loaded."""
        return any(source.kind == "script" for source in self.sources)

    @property
    def empty(self) -> bool:
        """Whether no firewall was found at all, and nothing says that there is none."""
        return not self.sources and not self.missing and not self.families


# -- the host around it -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface of the host; `addresses` are (address, prefix length) by family."""

    name: str
    addresses4: tuple[tuple[int, int], ...] = ()
    addresses6: tuple[tuple[int, int], ...] = ()
    virtual: bool = False

    def addresses(self, family: int) -> tuple[tuple[int, int], ...]:
        """Return (address, prefix length) of a family, 4 or 6."""
        return self.addresses4 if family == 4 else self.addresses6


@dataclass(frozen=True, slots=True)
class HostNetwork:
    """What is known of the host's interfaces and addresses; all may be empty.

    `public` names the default route's interface if it is known. `addresses` are this host's own
    (configuration, --host-ip), whatever the interface. `ipv6` False: the kernel has it disabled.
    By the interfaces of `inner` come containers alone, or nothing at all (members of a bridge or a
    bond, whose packets are the bridge's): who reaches what by them is not asked.
    `tcp_loose`: net.netfilter.nf_conntrack_tcp_loose, None where no file sets it.
    `route_localnet`: what files set it to, by name in net.ipv4.conf; "" if a script may.
    """

    interfaces: tuple[Interface, ...] = ()
    public: str | None = None
    addresses4: tuple[int, ...] = ()
    addresses6: tuple[int, ...] = ()
    ipv6: bool | None = None
    tcp_loose: bool | None = None
    route_localnet: tuple[tuple[str, bool], ...] = ()
    inner: tuple[str, ...] = ()

    def localnet(self, interface: str | None) -> bool | None:
        """Tell whether packets to 127.0.0.0/8 come in by an interface (ip-sysctl.rst)."""
        known = dict(self.route_localnet)
        own = known.get(interface or "all", known.get("default", False))
        if known.get("all") or own:
            return True
        return None if "" in known else False

    def own(self, family: int) -> tuple[int, ...]:
        """Return the addresses of a family that are known to be this host's, each once."""
        known = self.addresses4 if family == 4 else self.addresses6
        for interface in self.interfaces:
            known += tuple(address for address, _ in interface.addresses(family))
        return tuple(dict.fromkeys(known))

    def shared(self, family: int) -> set[int]:
        """Return the addresses at which every host of a link listens, or every router of it.

        Over IPv4 they are the broadcast addresses, over IPv6 the anycast addresses of routers
        (RFC 4291, 2.6.1): a host that forwards has them (net/ipv6/addrconf.c).
        """
        links = [link for interface in self.interfaces for link in interface.addresses(family)]
        if family == 4:
            return {0xFFFFFFFF, *(address | (1 << 32 - length) - 1 for address, length in links)}
        return {address & -1 << 128 - length for address, length in links if length < _ANYCAST}
