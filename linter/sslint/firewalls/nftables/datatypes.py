"""nftables' data types: how a constant of each is written, and the number it stands for.

Names, widths and symbols are those `nft describe TYPE` prints (nft 1.1.3).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from socket import AF_INET6, inet_aton, inet_pton
from typing import Literal

from sslint.netfilter.model import UnknownValues
from sslint.network.services import port_number, protocol_number
from sslint.regex import is_number, regex


class Refused(Exception):  # noqa: N818 - nft refuses; the caller adds the place
    """The statement is one that nft does not load."""


Constant = int | str | UnknownValues
"""A number, a name (of an interface, a helper ...), or a value that only the host knows."""

Base = Literal["integer", "bitmask", "string"]


class DataType:
    """One data type: `bits` wide, with the words that stand for its values."""

    __slots__ = ("base", "bits", "name", "numbered", "other", "symbols")

    def __init__(
        self,
        name: str,
        bits: int,
        base: Base = "integer",
        symbols: Mapping[str, int] | None = None,
        other: Callable[[str], Constant | None] | None = None,
        *,
        numbered: bool = False,
    ) -> None:
        self.numbered = numbered  # a number stands for the bit of that number
        self.name = name
        self.bits = bits
        self.base = base
        self.symbols = symbols or {}
        self.other = other  # reads what is neither a symbol nor a number

    @property
    def top(self) -> int:
        """The largest value."""
        return (1 << self.bits) - 1

    def parse(self, lexeme: str) -> Constant:
        """Read one constant as it is written. Raise Refused."""
        text = lexeme[1:-1] if lexeme[0] == '"' else lexeme
        if self.base == "string":
            if not text or len(text.encode(errors="replace")) >= self.bits // 8:
                raise Refused(f"a name of 1 to {self.bits // 8 - 1} bytes is expected")
            return text if self.other is None else _some(self.other(text), text)
        value: Constant | None = self.symbols.get(text) if self.symbols else None
        if value is None:
            if is_number(text) and (text[0] != "0" or text == "0"):
                value = int(text) if len(text) < 40 else None
            elif self.other is not None:
                value = self.other(text)
        if value is None:
            value = number(text)
        if value is None:
            raise Refused(f'could not parse "{text}" as {self.name}')
        if self.numbered and isinstance(value, int):
            if value >= self.bits:
                raise Refused(f"bit {text} is beyond {self.name}")
            value = 1 << value
        if isinstance(value, int) and value >> self.bits:
            raise Refused(f"value {text} exceeds the range 0-{self.top} of {self.name}")
        return value


def _some(value: Constant | None, default: str) -> Constant:
    return default if value is None else value


_NUMBER = regex(r"0[xX][0-9a-fA-F]{1,32}|[0-9]{1,39}").fullmatch


def number(text: str) -> int | None:
    """Return a number as strtoull(3) with base 0 reads it, or None."""
    if not _NUMBER(text):
        return None
    if text[0] == "0" and len(text) > 1:
        if text[1] in "xX":
            return int(text, 16)
        digits = re.match("[0-7]*", text)
        assert digits is not None
        return int(digits.group(), 8)
    return int(text)


_DOTTED = regex(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}").fullmatch


def ipv4(text: str) -> Constant | None:
    """Read an IPv4 address; a host name is resolved when the rules are loaded."""
    if _DOTTED(text):
        try:
            return int.from_bytes(inet_aton(text), "big")
        except OSError:
            raise Refused(f'"{text}" is not an IPv4 address') from None
    if number(text) is not None:
        return None
    return _host(text)


def ipv6(text: str) -> Constant | None:
    """Read an IPv6 address; a host name is resolved when the rules are loaded."""
    if ":" in text:
        try:
            return int.from_bytes(inet_pton(AF_INET6, text), "big")
        except (OSError, ValueError):
            raise Refused(f'"{text}" is not an IPv6 address') from None
    if _DOTTED(text):
        raise Refused(f'"{text}" is not an IPv6 address')
    return _host(text)


def address(text: str) -> Constant | None:
    """Read an address of whichever family it is written in."""
    return ipv6(text) if ":" in text else ipv4(text)


def _host(text: str) -> UnknownValues:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", text):
        raise Refused(f'"{text}" is neither an address nor a host name')
    return UnknownValues(f"host name {text}, resolved when the rules are loaded")


_LINK_ADDRESS = regex(r"[0-9a-fA-F]{1,2}(?::[0-9a-fA-F]{1,2})*").fullmatch


def _link_address(text: str) -> int | None:
    if ":" not in text or not _LINK_ADDRESS(text):
        return None
    value = 0
    for part in text.split(":"):
        value = value << 8 | int(part, 16)
    return value


def _interface(text: str) -> Constant:
    if text == "*":
        raise Refused("All-wildcard strings are not supported")
    if "\\*" in text:
        return UnknownValues(f"interface name {text} with a literal *")
    return text


def _interface_index(text: str) -> Constant:
    if text == "1":
        return "lo"
    if is_number(text) and not int(text):  # no interface at all
        return ""
    if is_number(text):
        return UnknownValues(f"interface number {text}")
    return text


def _port(text: str) -> int | None:
    return None if is_number(text) else port_number(text)


def _protocol(text: str) -> int | None:
    return None if is_number(text) else protocol_number(text)


def _named(kind: str) -> Callable[[str], Constant | None]:
    """Return a reader for types whose names stand in a file of the host."""

    def read(text: str) -> Constant | None:
        if number(text) is not None:
            return None
        return UnknownValues(f"{kind} {text}")

    return read


_UNITS = {"w": 604_800_000, "d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_TIMESPEC = regex(r"([0-9]{1,20})(ms|[wdhms])")


def timespec(text: str) -> int | None:
    """Return a time such as 1d2h3m4s in seconds, or None."""
    if not re.fullmatch(r"(?:[0-9]{1,20}(?:ms|[wdhms]))+", text):
        return number(text)
    return sum(int(count) * _UNITS[unit] for count, unit in _TIMESPEC.findall(text)) // 1000


def _hour(text: str) -> int | None:
    if not (match := re.fullmatch(r"([0-9]{1,2}):([0-9]{1,2})(?::([0-9]{1,2}))?", text)):
        return None
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    if hours > 23 or minutes > 59 or seconds > 59:
        raise Refused(f'"{text}" is not an hour of the day')
    return hours * 3600 + minutes * 60 + seconds


_DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")


def _day(text: str) -> int | None:
    if is_number(text):
        if len(text) > 1 or text > "6":
            raise Refused(f"value {text} exceeds the range 0-6 of day")
        return int(text)
    lower = text.lower()
    found = [index for index, day in enumerate(_DAYS) if day.startswith(lower)]
    return found[0] if len(lower) >= 3 and found else None


def _date(text: str) -> Constant | None:
    from datetime import UTC, datetime

    for form in ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d"):
        try:
            return int(datetime.strptime(text, form).replace(tzinfo=UTC).timestamp())
        except ValueError:
            continue
    return None


_HANDLE = regex(r"([0-9a-fA-F]{0,4}):([0-9a-fA-F]{0,4})").fullmatch


def _class_id(text: str) -> int | None:
    if text == "none":
        return 0
    if text == "root":
        return 0xFFFFFFFF
    if match := _HANDLE(text):
        return int(match[1] or "0", 16) << 16 | int(match[2] or "0", 16)
    return None


def _valued(text: str) -> dict[str, int]:
    """Read `name=number`."""
    return {name: int(number) for name, number in (word.split("=") for word in text.split())}


def _counted(words: str) -> dict[str, int]:
    """Return words that stand for 0, 1, 2 and so on."""
    return {word: value for value, word in enumerate(words.split())}


def _flags(words: str) -> dict[str, int]:
    """Return words that stand for one bit each, the lowest first."""
    return {word: 1 << bit for word, bit in _counted(words).items()}


_ICMP_CODES = _valued(
    """
    net-unreachable=0 host-unreachable=1 prot-unreachable=2 port-unreachable=3 frag-needed=4
    net-prohibited=9 host-prohibited=10 admin-prohibited=13
    """
)
_ICMPV6_CODES = _valued(
    """
    no-route=0 admin-prohibited=1 addr-unreachable=3 port-unreachable=4 policy-fail=5 reject-route=6
    """
)
_ICMPX_CODES = _valued("port-unreachable=1 admin-prohibited=3 no-route=0 host-unreachable=2")
_ICMP_TYPES = _valued(
    """
    echo-reply=0 destination-unreachable=3 source-quench=4 redirect=5 echo-request=8
    router-advertisement=9 router-solicitation=10 time-exceeded=11 parameter-problem=12
    timestamp-request=13 timestamp-reply=14 info-request=15 info-reply=16 address-mask-request=17
    address-mask-reply=18
    """
)
_ICMPV6_TYPES = _valued(
    """
    destination-unreachable=1 packet-too-big=2 time-exceeded=3 parameter-problem=4 echo-request=128
    echo-reply=129 mld-listener-query=130 mld-listener-report=131 mld-listener-done=132
    mld-listener-reduction=132 nd-router-solicit=133 nd-router-advert=134 nd-neighbor-solicit=135
    nd-neighbor-advert=136 nd-redirect=137 router-renumbering=138 ind-neighbor-solicit=141
    ind-neighbor-advert=142 mld2-listener-report=143
    """
)
_DSCP = {f"cs{n}": n << 3 for n in range(8)} | {
    "df": 0,
    "be": 0,
    "lephb": 1,
    "va": 0x2C,
    "ef": 0x2E,
    **{f"af{c}{d}": c << 3 | d << 1 for c in range(1, 5) for d in range(1, 4)},
}


def integer(bits: int) -> DataType:
    """Return the type of a plain number of so many bits."""
    found = _INTEGERS.get(bits)
    if found is None:
        found = _INTEGERS[bits] = DataType("integer", bits)
    return found


_INTEGERS: dict[int, DataType] = {}

INTEGER = integer(32)
IPV4 = DataType("ipv4_addr", 32, other=ipv4)
IPV6 = DataType("ipv6_addr", 128, other=ipv6)
ADDRESS = DataType("integer", 128, other=address)  # of the family that earlier matches name
SERVICE = DataType("inet_service", 16, other=_port)
PROTOCOL = DataType("inet_proto", 8, symbols={"comp": 108, "icmpv6": 58}, other=_protocol)
ETHER = DataType("ether_addr", 48, other=_link_address)
NFPROTO = DataType("nf_proto", 8, symbols={"ipv4": 2, "ipv6": 10})
ETHER_TYPE = DataType(
    "ether_type",
    16,
    symbols={
        "ip": 0x800,
        "arp": 0x806,
        "ip6": 0x86DD,
        "8021q": 0x8100,
        "8021ad": 0x88A8,
        "vlan": 0x8100,
    },
)
IFNAME = DataType("ifname", 128, "string", other=_interface)
IFINDEX = DataType("iface_index", 128, "string", other=_interface_index)
STRING = DataType("string", 136, "string")
TEXT = DataType("string", 2048, "string")  # the name of an object
MARK = DataType("mark", 32, other=_named("mark"))
CT_STATE = DataType(
    "ct_state",
    32,
    "bitmask",
    {"invalid": 1, "established": 2, "related": 4, "new": 8, "untracked": 64},
)
CT_STATUS = DataType(
    "ct_status",
    32,
    "bitmask",
    {
        "expected": 1,
        "seen-reply": 2,
        "assured": 4,
        "confirmed": 8,
        "snat": 16,
        "dnat": 32,
        "dying": 512,
    },
)
CT_DIRECTION = DataType("ct_dir", 8, symbols={"original": 0, "reply": 1})
CT_LABEL = DataType("ct_label", 128, "bitmask", other=_named("connection label"), numbered=True)
CT_EVENT = DataType(
    "ct_event",
    32,
    "bitmask",
    _flags("new related destroy reply assured protoinfo helper mark seqadj secmark label"),
)
TCP_FLAGS = DataType(
    "tcp_flag",
    8,
    "bitmask",
    _flags("fin syn rst psh ack urg ecn cwr"),
)
ICMP_TYPE = DataType("icmp_type", 8, symbols=_ICMP_TYPES)
ICMPV6_TYPE = DataType("icmpv6_type", 8, symbols=_ICMPV6_TYPES)
ICMP_CODE = DataType("icmp_code", 8, symbols=_ICMP_CODES)
ICMPV6_CODE = DataType("icmpv6_code", 8, symbols=_ICMPV6_CODES)
ICMPX_CODE = DataType("icmpx_code", 8, symbols=_ICMPX_CODES)
FIB_TYPE = DataType(
    "fib_addrtype",
    32,
    symbols=_counted(
        """
        unspec unicast local broadcast anycast multicast blackhole unreachable prohibit
        """
    ),
)
PKTTYPE = DataType(
    "pkt_type",
    8,
    symbols={"host": 0, "unicast": 0, "broadcast": 1, "multicast": 2, "other": 3},
)
IFTYPE = DataType(
    "iface_type",
    16,
    symbols=_valued("ether=1 ppp=512 ipip=768 ipip6=769 loopback=772 sit=776 ipgre=778"),
)
DSCP = DataType("dscp", 6, symbols=_DSCP)
ECN = DataType("ecn", 2, symbols={"not-ect": 0, "ect1": 1, "ect0": 2, "ce": 3})
MPTCP = DataType(
    "integer",
    4,
    symbols=_counted(
        """
        mp-capable mp-join dss add-addr remove-addr mp-prio mp-fail mp-fastclose mp-tcprst
        """
    ),
)
FLAG = DataType("integer", 1)
BOOLEAN = DataType("boolean", 8, symbols={"exists": 1, "missing": 0})
REALM = DataType("realm", 32, symbols={"cosmos": 0}, other=_named("routing realm"))
DEVGROUP = DataType("devgroup", 32, symbols={"default": 0}, other=_named("interface group"))
CLASSID = DataType("classid", 32, other=_class_id)
UID = DataType("uid", 32, symbols={"root": 0}, other=_named("user"))
GID = DataType("gid", 32, symbols={"root": 0}, other=_named("group"))
CGROUP = DataType("cgroupsv2", 32768, "string")
TIME = DataType("time", 64, other=timespec)
DATE = DataType("time", 64, other=_date)
HOUR = DataType("hour", 32, other=_hour)
DAY = DataType("day", 8, other=_day)
ARP_OPERATION = DataType(
    "arp_op",
    16,
    symbols=_valued("request=1 reply=2 rrequest=3 rreply=4 inrequest=8 inreply=9 nak=10"),
)
IGMP_TYPE = DataType(
    "igmp_type",
    8,
    symbols=_valued(
        """
        membership-query=17 membership-report-v1=18 membership-report-v2=22 membership-report-v3=34
        leave-group=23
        """
    ),
)
DCCP_TYPE = DataType(
    "dccp_pkttype",
    4,
    symbols=_counted("request response data ack dataack closereq close reset sync syncack"),
)
MH_TYPE = DataType(
    "mh_type",
    8,
    symbols=_counted(
        """
        binding-refresh-request home-test-init careof-test-init home-test careof-test binding-update
        binding-acknowledgement binding-error fast-binding-update fast-binding-acknowledgement
        fast-binding-advertisement experimental-mobility-header home-agent-switch-message
        """
    ),
)

BY_NAME: dict[str, DataType] = {
    kind.name: kind
    for kind in (
        IPV4,
        IPV6,
        SERVICE,
        PROTOCOL,
        ETHER,
        NFPROTO,
        ETHER_TYPE,
        IFNAME,
        IFINDEX,
        STRING,
        MARK,
        CT_STATE,
        CT_STATUS,
        CT_DIRECTION,
        CT_LABEL,
        CT_EVENT,
        TCP_FLAGS,
        ICMP_TYPE,
        ICMPV6_TYPE,
        ICMP_CODE,
        ICMPV6_CODE,
        ICMPX_CODE,
        FIB_TYPE,
        PKTTYPE,
        IFTYPE,
        DSCP,
        ECN,
        BOOLEAN,
        REALM,
        DEVGROUP,
        CLASSID,
        UID,
        GID,
        CGROUP,
        HOUR,
        DAY,
        ARP_OPERATION,
        IGMP_TYPE,
        DCCP_TYPE,
        MH_TYPE,
        DataType("lladdr", 128, other=_link_address),
        DATE,
    )
}
"""What may stand after `type` in a set or a map."""
