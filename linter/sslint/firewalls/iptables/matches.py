"""What iptables' matches mean, in the terms of the ruleset model.

A match may be a disjunction (`--ctstate NEW,DNAT`, `multiport --ports`). It is returned as a list
of alternatives that exclude each other; the rule is then read as that many rules.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import cast

from sslint.firewalls.errors import RulesetError
from sslint.firewalls.iptables import conntrack, counters, refusals, transport, values
from sslint.firewalls.iptables.arguments import Arguments, Extension
from sslint.firewalls.iptables.terms import Alternatives, compare, network
from sslint.netfilter.model import (
    Constant,
    FibType,
    Interval,
    Intervals,
    Key,
    Match,
    Names,
    PktType,
    RuleItem,
    SetRef,
    Unknown,
    UnknownValues,
)

MAX_ALTERNATIVES = 64

_L4PROTO = (Key("meta.l4proto"),)
_INTERFACES = {"in": (Key("meta.iifname"),), "out": (Key("meta.oifname"),)}


def rule_matches(arguments: Arguments) -> Alternatives:
    """Return a rule's matches: of the header first, then of each `-m` in order."""
    items = header(arguments)
    parts: list[Alternatives] = []
    for extension in arguments.matches:
        refusals.check(extension, arguments)
        alternatives = _extension(extension, arguments)
        if len(alternatives) == 1 and not parts:
            items += alternatives[0]
        else:
            parts.append(alternatives)
    if not parts:
        return [items]
    count = 1
    for part in parts:
        count *= len(part)
    if count > MAX_ALTERNATIVES:
        return [[*items, Unknown("the rule has too many alternatives")]]
    return [
        [*items, *(item for alternative in choice for item in alternative)]
        for choice in product(*parts)
    ]


def header(arguments: Arguments) -> list[RuleItem]:
    """Return the matches of -s, -d, -i, -o, -p and -f."""
    items: list[RuleItem] = []
    family = arguments.family
    if arguments.source is not None:
        items += addresses("saddr", *arguments.source, family)
    if arguments.destination is not None:
        items += addresses("daddr", *arguments.destination, family)
    if arguments.in_interface is not None:
        items += _interface("in", *arguments.in_interface)
    if arguments.out_interface is not None:
        items += _interface("out", *arguments.out_interface)
    if arguments.protocol is not None and arguments.protocol[0]:
        number, negate = arguments.protocol
        items.append(Match(_L4PROTO, Intervals(((number, number),)), negate))
    if arguments.fragment is not None:
        # conntrack puts fragments together before any filter sees them
        items.append(Constant(arguments.fragment, "a fragment of a packet"))
    return items


def addresses(field: str, text: str, negate: bool, family: int) -> list[RuleItem]:
    """Return the match of `-s` or `-d`: one network, or several separated by commas."""
    key = ("ip." if family == 4 else "ip6.") + field
    parts = text.split(",")
    if negate and len(parts) > 1:
        raise RulesetError("! not allowed with multiple source or destination IP addresses")
    networks = [values.network(part, family) for part in parts]
    if len(networks) == 1:
        return network(key, networks[0], negate, family)
    intervals: list[Interval] = []
    for value, mask in networks:
        if isinstance(value, UnknownValues):
            return [Match((Key(key),), value)]
        if not values.contiguous(mask, family):
            return [Match((Key(key),), UnknownValues(f"the masks in {text[:80]}"))]
        intervals.append((value, value | mask ^ ((1 << values.width(family)) - 1)))
    return [Match((Key(key),), values.union(intervals))]


def _interface(direction: str, name: str, negate: bool) -> list[RuleItem]:
    if name == "+":
        return [Constant(False, "! of every interface")] if negate else []
    if "*" in name or "\\" in name:  # iptables takes them literally, the model does not
        return [Unknown(f"the interface name {name}")]
    if name.endswith("+"):
        name = name[:-1] + "*"
    return [Match(_INTERFACES[direction], Names((name,)), negate)]


def _extension(extension: Extension, arguments: Arguments) -> Alternatives:
    if extension.options is None:
        words = " ".join([extension.name, *extension.words])
        return [[Unknown(f"-m {words[:120]} is not modelled")]]
    either = _EITHER.get(extension.name)
    if either is not None:
        return either(extension, arguments)
    plain = _PLAIN.get(extension.name)
    if plain is not None:
        return [plain(extension, arguments)]
    given = " ".join(
        f"{'! ' if one.negate else ''}--{name}"
        for name, several in extension.given.items()
        for one in several
    )
    why = _UNKNOWN.get(extension.name, "is not modelled")
    return [[Unknown(f"-m {extension.name} {given}".rstrip() + f" {why}")]]


_INCOMING = ("PREROUTING", "INPUT", "FORWARD")
_OUTGOING = ("FORWARD", "OUTPUT", "POSTROUTING")


# They look at the hook when a rule is made, and for iptables-nft that is the hook of the rule's own
# chain: behind a jump they load anywhere. The others name their hooks, which hold for every jump.
OWN_CHAIN_ALONE = frozenset(("-m addrtype", "-m devgroup", "-m policy", "SET", "TCPMSS"))


def base_chains(extension: Extension) -> tuple[str, ...]:
    """Return the base chains that the kernel lets a match be reached from; () is all of them."""
    given = extension.given
    if extension.name == "policy":
        return _INCOMING if str(given["dir"][0].value).lower() == "in" else _OUTGOING
    if extension.name == "addrtype" and "limit-iface-in" in given:
        return _INCOMING
    if extension.name == "addrtype" and "limit-iface-out" in given:
        return _OUTGOING
    if extension.name == "devgroup" and ("src-group" in given) != ("dst-group" in given):
        return _INCOMING if "src-group" in given else _OUTGOING
    return {
        "cgroup": ("INPUT", "OUTPUT", "POSTROUTING"),
        "mac": _INCOMING,
        "owner": ("OUTPUT", "POSTROUTING"),
        "rpfilter": ("PREROUTING",),
        "socket": ("PREROUTING", "INPUT"),
    }.get(extension.name, ())


_UNKNOWN = {
    "bpf": "runs a program on the packet",
    "cluster": "depends on the node of a cluster",
    "cpu": "depends on the processor",
    "geoip": "depends on the country of an address, which is not in the files",
    "nfacct": "depends on an accounting object",
    "osf": "guesses the client's operating system",
    "owner": "depends on the process that owns the socket",
    "rateest": "depends on a measured rate",
    "realm": "depends on the routing table",
    "socket": "depends on the open sockets",
    "string": "looks at the packet's contents",
    "u32": "looks at the packet's contents",
}


# -- addresses --------------------------------------------------------------------------------


def _iprange(extension: Extension, arguments: Arguments) -> list[RuleItem]:
    prefix = "ip" if arguments.family == 4 else "ip6"
    items: list[RuleItem] = []
    for name, field in ("src-range", "saddr"), ("dst-range", "daddr"):
        given = extension.first(name)
        if given is not None:
            found = values.address_range(str(given.value), arguments.family)
            assert not isinstance(found, UnknownValues)
            key = (Key(f"{prefix}.{field}"),)
            items.append(Match(key, values.bounded(*found), given.negate))
    if not items:
        raise RulesetError("iprange match: You must specify `--src-range' or `--dst-range'")
    return items


# In the order of linux/rtnetlink.h: the index is the type's number.
_ROUTED6 = (FibType.LOCAL, FibType.ANYCAST, FibType.UNREACHABLE)
_ROUTE_TYPES = (
    "UNSPEC",
    "UNICAST",
    "LOCAL",
    "BROADCAST",
    "ANYCAST",
    "MULTICAST",
    "BLACKHOLE",
    "UNREACHABLE",
    "PROHIBIT",
    "THROW",
    "NAT",
    "XRESOLVE",
)


def _addrtype(extension: Extension, arguments: Arguments) -> list[RuleItem]:
    limits = [
        direction
        for option, direction in (("limit-iface-in", "iif"), ("limit-iface-out", "oif"))
        if option in extension.given
    ]
    if len(limits) == 2:
        raise RulesetError("addrtype: --limit-iface-in and --limit-iface-out exclude each other")
    items: list[RuleItem] = []
    for name, field in ("src-type", "saddr"), ("dst-type", "daddr"):
        given = extension.first(name)
        if given is not None:
            kinds = _route_types(str(given.value))
            if arguments.family == 6:
                kinds = _route_types6(kinds)
            types = values.union([(kind, kind) for kind in kinds])
            key = Key(f"fib.{field}.type", arg="".join(limits))
            items.append(Match((key,), types, given.negate))
    if not items:
        raise RulesetError("addrtype: you must specify --src-type or --dst-type")
    return items


def _route_types(text: str) -> list[int]:
    types = []
    for name in text.split(","):
        found = [i for i, known in enumerate(_ROUTE_TYPES) if known.startswith(name.upper())]
        if not found or not name:
            raise RulesetError(f'addrtype: bad type "{name}"')
        types.append(found[0])
    return types


def _route_types6(kinds: list[int]) -> list[int]:
    """Return the types that ip6tables takes for these (xt_addrtype.c, match_type6).

    LOCAL, ANYCAST and UNREACHABLE ask the routing table; UNICAST and MULTICAST only look at the
    address, so that UNICAST holds for local addresses too and must hold beside LOCAL.
    """
    routed = [kind for kind in kinds if kind in _ROUTED6]
    if routed:
        return routed if FibType.MULTICAST not in kinds else []
    if FibType.UNICAST in kinds:
        others = (FibType.UNSPEC, FibType.MULTICAST)
        return [] if any(k in others for k in kinds) else [t for t in FibType if t not in others]
    return kinds


def _set(extension: Extension, arguments: Arguments) -> list[RuleItem]:
    given = extension.first("match-set", "set")
    if given is None:
        raise RulesetError("set: You must specify `--match-set' with proper arguments")
    item: RuleItem = Match(
        (Key("ipset", arg=set_directions(given.second)),), SetRef(str(given.value)), given.negate
    )
    counters = [name for name in extension.given if name.startswith(("packets-", "bytes-"))]
    if counters:
        return [item, Unknown(f"--{counters[0]} compares an element's counters")]
    if "return-nomatch" in extension.given:  # then only a `nomatch` element matches
        return [Unknown(f"--return-nomatch looks for the holes of the set {given.value}")]
    return [item]


def set_directions(text: str) -> str:
    """Check the directions of a set match, `src,dst`, one for each of the set's dimensions."""
    parts = text.split(",")
    if len(parts) > 6 or any(part not in ("src", "dst") for part in parts):
        raise RulesetError("directions must be either `src' or `dst', at most six of them")
    return text


def _mac(extension: Extension, arguments: Arguments) -> list[RuleItem]:
    given = extension.given["mac-source"][0]
    return [compare("ether.saddr", cast(int, given.value), negate=given.negate)]


def _rpfilter(extension: Extension, arguments: Arguments) -> list[RuleItem]:
    flags = ["mark"] if "validmark" in extension.given else []
    flags += [] if "loose" in extension.given else ["iif"]
    key = Key("fib.saddr.oif", arg=" ".join(flags))
    return [Match((key,), Intervals(((0, 0),)), "invert" not in extension.given)]


# -- numbers in the packet or beside it -------------------------------------------------------


def _masked(name: str) -> Callable[[Extension, Arguments], list[RuleItem]]:
    def build(extension: Extension, arguments: Arguments) -> list[RuleItem]:
        given = extension.given["mark"][0]
        value, mask = cast("tuple[int, int]", given.value)
        whole = mask == values.ALL32
        return [compare(name, value, negate=given.negate, mask=None if whole else mask)]

    return build


def _length(extension: Extension, arguments: Arguments) -> list[RuleItem]:
    given = extension.given["length"][0]
    low, high = cast(Interval, given.value)
    return [compare("meta.length", low, high, negate=given.negate)]


def _segment_size(extension: Extension, arguments: Arguments) -> list[RuleItem]:
    given = extension.given["mss"][0]
    if given.negate:  # it holds for a packet without the option (xt_tcpmss.c)
        return [Unknown("-m tcpmss ! --mss depends on what the client announces")]
    low, high = cast(Interval, given.value)
    return [compare("tcp.option.maxseg.size", low, high)]


def _hop_limit(extension: Extension, arguments: Arguments) -> list[RuleItem]:
    if len(extension.given) != 1:
        raise RulesetError(f"{extension.name}: exactly one option must be given")
    name, (given,) = next(iter(extension.given.items()))
    value = cast(int, given.value)
    key = (Key("ip.ttl" if arguments.family == 4 else "ip6.hoplimit"),)
    bounds = (value, value)
    if name.endswith("-lt"):
        bounds = (0, value - 1)
    elif name.endswith("-gt"):
        bounds = (value + 1, 255)
    return [Match(key, values.bounded(*bounds), given.negate)]


_DSCP_CLASSES = {
    "BE": 0, "EF": 46, **{f"CS{n}": n << 3 for n in range(8)},
    **{f"AF{c}{d}": c << 3 | d << 1 for c in range(1, 5) for d in range(1, 4)},
}  # fmt: skip


def dscp_class(name: str) -> int:
    """Return the code point of a class's name (RFC 2474, 2597, 3246)."""
    value = _DSCP_CLASSES.get(name.upper())
    if value is None:
        raise RulesetError(f"Invalid DSCP value `{name}'")
    return value


def _dscp(extension: Extension, arguments: Arguments) -> list[RuleItem]:
    if len(extension.given) != 1:
        raise RulesetError("dscp: exactly one option must be given")
    name, (given,) = next(iter(extension.given.items()))
    value = dscp_class(str(given.value)) if name == "dscp-class" else cast(int, given.value)
    family = "ip" if arguments.family == 4 else "ip6"
    return [compare(f"{family}.dscp", value, negate=given.negate)]


_TOS = (
    "minimize-delay",
    "maximize-throughput",
    "maximize-reliability",
    "minimize-cost",
    "normal-service",
)


def check_tos(text: str) -> None:
    """Raise RulesetError if a text is not a type of service, by name or as `value[/mask]`."""
    if text.lower() not in _TOS:
        values.masked(text, 255)


def _tos(extension: Extension, arguments: Arguments) -> list[RuleItem]:
    given = extension.given["tos"][0]
    check_tos(str(given.value))
    return [Unknown(f"--tos {given.value} depends on bits that the client chooses")]


def _pkttype(extension: Extension, arguments: Arguments) -> list[RuleItem]:
    given = extension.given["pkt-type"][0]
    kinds = {
        "unicast": PktType.HOST,
        "host": PktType.HOST,
        "broadcast": PktType.BROADCAST,
        "bcast": PktType.BROADCAST,
        "multicast": PktType.MULTICAST,
        "mcast": PktType.MULTICAST,
        "otherhost": PktType.OTHER,
    }
    kind = kinds.get(str(given.value).lower())
    if kind is None:
        raise RulesetError(f"Bad packet type '{given.value}'")
    return [compare("meta.pkttype", kind, negate=given.negate)]


def _devgroup(extension: Extension, arguments: Arguments) -> list[RuleItem]:
    items: list[RuleItem] = []
    for name, key in ("src-group", "meta.iifgroup"), ("dst-group", "meta.oifgroup"):
        given = extension.first(name)
        if given is None:
            continue
        text, _, mask_text = str(given.value).partition("/")
        value, mask = values.number(text), values.number(mask_text or "0xffffffff")
        if value is None or mask is None:
            items.append(Unknown(f"--{name} {given.value} names a group of interfaces"))
        else:
            whole = mask == values.ALL32
            items.append(compare(key, value, negate=given.negate, mask=None if whole else mask))
    if not items:
        raise RulesetError("devgroup match: You must specify either --src-group or --dst-group")
    return items


# -- what the first packet of a connection does not have --------------------------------------


def _absent(why: str) -> Callable[[Extension, Arguments], list[RuleItem]]:
    """Return a builder for matches that look for a header: without it even `!` is false."""

    def build(extension: Extension, arguments: Arguments) -> list[RuleItem]:
        return [Constant(False, why)]

    return build


def _spi(extension: Extension, arguments: Arguments) -> list[RuleItem]:
    if extension.name == "ah" and arguments.family == 6:
        return [Constant(False, "a packet with an authentication header")]
    if not extension.given:
        return []
    return [Unknown(f"-m {extension.name} compares a security parameter index")]


def _helper(extension: Extension, arguments: Arguments) -> list[RuleItem]:
    negate = extension.given["helper"][0].negate
    return [Constant(negate, "no helper expects a first connection")]


def _policy(extension: Extension, arguments: Arguments) -> list[RuleItem]:
    direction, kind = extension.first("dir"), extension.first("pol")
    if direction is None or str(direction.value).lower() not in ("in", "out"):
        raise RulesetError("policy match: neither --dir in nor --dir out specified")
    name = str(kind.value).lower() if kind is not None else "ipsec"
    if name not in ("none", "ipsec"):
        raise RulesetError(f'policy match: invalid policy "{name}"')
    if set(extension.given) - {"dir", "pol"}:
        return [Unknown("-m policy compares the IPsec policy")]
    if str(direction.value).lower() == "out":
        return [Unknown("-m policy --dir out depends on the IPsec policy")]
    return [compare("meta.ipsec", int(name == "ipsec"))]


def _ecn(extension: Extension, arguments: Arguments) -> list[RuleItem]:
    if not extension.given:
        raise RulesetError("ECN match: some option required")
    if set(extension.given) - {"ecn-ip-ect"} and arguments.only_protocol != 6:
        raise RulesetError("ECN match: a TCP flag needs -p tcp")
    return [Unknown("-m ecn depends on bits that the client chooses")]


def _statistic(extension: Extension, arguments: Arguments) -> list[RuleItem]:
    needed = {"random": ("probability",), "nth": ("every", "packet")}
    mode = str(extension.given["mode"][0].value)
    if mode not in needed:
        raise RulesetError(f'Bad mode "{mode}"')
    for name in needed[mode]:
        if name not in extension.given:
            raise RulesetError(f"--{name} must be specified when using {mode} mode")
    given = extension.given[needed[mode][0]][0]
    if mode == "nth" and given.value == 1:
        return [Constant(not given.negate, "every packet is the first of one")]
    if mode == "random":  # the kernel compares 31 random bits
        share = round(float(str(given.value)) * 0x80000000)
        if share in (0, 0x80000000):
            return [Constant((share > 0) ^ given.negate, "a probability of 0 or 1")]
    return [Unknown(f"-m statistic --mode {mode} is random or counts packets")]


def _time(extension: Extension, arguments: Arguments) -> list[RuleItem]:
    if refusals.always(extension):
        return []
    return [Unknown("-m time depends on the time of day")]


def _physdev(extension: Extension, arguments: Arguments) -> list[RuleItem]:
    if not extension.given:
        raise RulesetError("PHYSDEV: at least one option must be given")
    return [Unknown("-m physdev depends on the port of a bridge")]


_PLAIN: dict[str, Callable[[Extension, Arguments], list[RuleItem]]] = {
    "addrtype": _addrtype,
    "ah": _spi,
    "comment": lambda extension, arguments: [],  # of any length: the kernel holds 255 of it
    "connbytes": counters.connbytes,
    "connlimit": counters.connlimit,
    "connmark": _masked("ct.mark"),
    "dccp": transport.sctp_dccp,
    "devgroup": _devgroup,
    "dscp": _dscp,
    "ecn": _ecn,
    "dst": _absent("a packet with destination options"),
    "esp": _spi,
    "frag": _absent("a fragment of a packet"),
    "hashlimit": counters.hashlimit,
    "hbh": _absent("a packet with hop-by-hop options"),
    "helper": _helper,
    "hl": _hop_limit,
    "icmp": transport.icmp,
    "icmp6": transport.icmp,
    "ipcomp": _spi,
    "iprange": _iprange,
    "length": _length,
    "limit": counters.limit,
    "mac": _mac,
    "mark": _masked("meta.mark"),
    "physdev": _physdev,
    "pkttype": _pkttype,
    "policy": _policy,
    "quota": counters.quota,
    "recent": counters.recent,
    "rpfilter": _rpfilter,
    "rt": _absent("a packet with a routing header"),
    "sctp": transport.sctp_dccp,
    "set": _set,
    "srh": _absent("a packet with a segment routing header"),
    "statistic": _statistic,
    "tcp": transport.tcp,
    "tcpmss": _segment_size,
    "time": _time,
    "tos": _tos,
    "ttl": _hop_limit,
    "udp": transport.udp,
}

_EITHER: dict[str, Callable[[Extension, Arguments], Alternatives]] = {
    "conntrack": conntrack.conntrack,
    "multiport": transport.multiport,
    "state": conntrack.state,
}
