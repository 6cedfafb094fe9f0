from __future__ import annotations

import pytest

from sslint.firewalls.errors import RulesetError
from sslint.netfilter.model import (
    Assign,
    Intervals,
    Key,
    Limit,
    Match,
    Names,
    Nat,
    Notrack,
    SetRef,
    SetUpdate,
    Tproxy,
    Unknown,
    UnknownValues,
    Unmodelled,
    Verdict,
    VerdictMap,
)
from sslint.netfilter.reach import Firewall
from sslint.netfilter.trace import Packet, judge
from tests.firewalls import nft_places
from tests.firewalls.nft_models import read_text, rule_items


def match(name: str, *items: int | tuple[int, int], negate: bool = False, **key: object) -> Match:
    intervals = tuple(item if isinstance(item, tuple) else (item, item) for item in items)
    return Match((Key(name, **key),), Intervals(intervals), negate)  # type: ignore[arg-type]


def flag(name: str, bits: int, *, negate: bool = False) -> Match:
    return Match((Key(name),), Intervals(((bits, bits),)), negate, "any")


TEN = (0x0A000000, 0x0AFFFFFF)
ACCEPT = Verdict("accept")


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("tcp dport 443 accept", [match("tcp.dport", 443), ACCEPT]),
        ("tcp dport https accept", [match("tcp.dport", 443), ACCEPT]),
        ("tcp dport { 80, 443, 8000-8080 }", [match("tcp.dport", 80, 443, (8000, 8080))]),
        ("tcp dport { 80, 81, 443 }", [match("tcp.dport", (80, 81), 443)]),
        ("tcp dport != 22", [match("tcp.dport", 22, negate=True)]),
        ("tcp dport ne 22", [match("tcp.dport", 22, negate=True)]),
        ("tcp dport > 1023", [match("tcp.dport", (1024, 65535))]),
        ("tcp dport <= 1023", [match("tcp.dport", (0, 1023))]),
        ("tcp dport 1-1023", [match("tcp.dport", (1, 1023))]),
        ("th dport 53", [match("th.dport", 53)]),
        ("@th,16,16 53", [match("th.dport", 53)]),
        ("@th,16,16 0x35", [match("th.dport", 53)]),
        ("@nh,96,32 1", [match("payload.nh", 1, arg="96,32")]),
        ("ip saddr 10.0.0.0/8", [match("ip.saddr", TEN)]),
        ("ip saddr & 255.0.0.0 == 10.0.0.0", [match("ip.saddr", TEN)]),
        ("ip saddr { 10.0.0.0/9, 10.128.0.0/9 }", [match("ip.saddr", TEN)]),
        ("ip6 saddr ::1", [match("ip6.saddr", 1)]),
        ("ip protocol tcp", [match("ip.protocol", 6)]),
        ("ip6 nexthdr { tcp, udp }", [match("ip6.nexthdr", 6, 17)]),
        ("meta l4proto { tcp, udp } th dport 53",
         [match("meta.l4proto", 6, 17), match("th.dport", 53)]),
        ("meta l4proto { 33-55, 66-88 }", [match("meta.l4proto", (33, 55), (66, 88))]),
        ("meta l4proto { tcp } tcp dport 1", [match("meta.l4proto", 6), match("tcp.dport", 1)]),
        ("meta nfproto ipv6", [match("meta.nfproto", 10)]),
        ("meta protocol ip", [match("meta.protocol", 0x800)]),
        ("iifname eth0", [Match((Key("meta.iifname"),), Names(("eth0",)))]),
        ('meta iifname "eth*"', [Match((Key("meta.iifname"),), Names(("eth*",)))]),
        ("iif != lo", [Match((Key("meta.iif"),), Names(("lo",)), True)]),
        ("mark 0x10", [match("meta.mark", 16)]),
        ("meta mark & 0xff == 0x10", [match("meta.mark", 16, mask=255)]),
        ("meta mark and 0x1 == 0x1", [match("meta.mark", 1, mask=1)]),
        ("meta pkttype { host, broadcast }", [match("meta.pkttype", (0, 1))]),
        ("icmpv6 type nd-neighbor-solicit", [match("icmpv6.type", 135)]),
        ("ip dscp cs1", [match("ip.dscp", 8)]),
        ("fib daddr type local", [match("fib.daddr.type", 2)]),
        ("fib saddr . iif oif missing", [match("fib.saddr.oif", 0, arg="iif")]),
        ("fib saddr oif exists", [match("fib.saddr.oif", 1)]),
        ("exthdr frag missing", [match("exthdr.frag", 0)]),
        ("frag more-fragments 1", [match("exthdr.frag.more-fragments", 1)]),
        ("rt type 0", [match("exthdr.rt.type", 0)]),
        ("tcp option maxseg exists", [match("tcp.option.maxseg", 1)]),
        ("tcp option mss size 1-535", [match("tcp.option.maxseg.size", (1, 535))]),
        ("ct original proto-dst 443", [match("ct.original.proto-dst", 443)]),
        ("ct original ip daddr 10.0.0.0/8",
         [match("meta.nfproto", 2), match("ct.original.daddr", TEN)]),
        ("ip saddr . tcp dport { 10.0.0.0/8 . 22 }",
         [Match((Key("ip.saddr"), Key("tcp.dport")),
                ((Intervals((TEN,)), Intervals(((22, 22),))),))]),
        ("limit rate 10/minute accept", [Limit(True, "limit rate 10 / minute"), ACCEPT]),
        ("limit rate over 10 mbytes/second drop",
         [Limit(False, "limit rate over 10 mbytes/second"), Verdict("drop")]),
        ("ct count over 20 drop",
         [Limit(False, "ct count over 20", 20, tracked=True), Verdict("drop")]),
        ("counter packets 0 bytes 0 log prefix \"a b\" level info accept comment \"x\"", [ACCEPT]),
        ("notrack", [Notrack()]),
        ("queue num 0-3 bypass", [Verdict("queue", bypass=True)]),
        ("meta mark set 0x1", [Assign(Key("meta.mark"), xor=1)]),
        ("mark set ct mark and 0xff", [Assign(Key("meta.mark"), 255, 0, Key("ct.mark"))]),
        ("meta mark set mark or 0x1", [Assign(Key("meta.mark"), 0xFFFFFFFE, 1)]),
        ("meta mark set jhash ip saddr mod 2",
         [Assign(Key("meta.mark"), unknown="the value of jhash",
                 needs=(Key("jhash", arg="2,0"),))]),
        ("meta mark set tcp dport map { 80 : 1, 443 : 1 }",
         [match("tcp.dport", 80, 443), Assign(Key("meta.mark"), xor=1)]),
        ("meta hour 08:00-18:00 accept", [match("meta.hour", (28800, 64800)), ACCEPT]),
        ("goto d", [Verdict("goto", "d")]),
        ("numgen random mod 2 0", [match("numgen.random", 0, arg="2,0")]),
    ],
)  # fmt: skip
def test_rule(rule: str, expected: list[object]) -> None:
    assert list(rule_items(rule)) == expected


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        # nft(8): without an operator any of the bits, with == or != or in a set the whole value
        ("ct state new", flag("ct.state", 8)),
        ("ct state established,related", flag("ct.state", 6)),
        ("ct state ! established,related", flag("ct.state", 6, negate=True)),
        ("ct state == new", match("ct.state", 8)),
        ("ct state != established,related", match("ct.state", 6, negate=True)),
        ("ct state != { established, related }", match("ct.state", 2, 4, negate=True)),
        ("ct status dnat", flag("ct.status", 32)),
        ("ct status != dnat", match("ct.status", 32, negate=True)),
        ("tcp flags syn", flag("tcp.flags", 2)),
        ("tcp flags syn / syn,ack", match("tcp.flags", 2, mask=18)),
        ("tcp flags & (syn | ack) == syn", match("tcp.flags", 2, mask=18)),
        ("tcp flags & syn != 0", flag("tcp.flags", 2)),
        ("tcp flags & syn == 0", flag("tcp.flags", 2, negate=True)),
        ("tcp flags & (fin | syn) == 0", flag("tcp.flags", 3, negate=True)),
        ("tcp flags != syn / syn,ack", match("tcp.flags", 2, negate=True, mask=18)),
        ("tcp flags { syn, syn|ack }", match("tcp.flags", 2, 18)),
    ],
)
def test_bits(rule: str, expected: Match) -> None:
    assert rule_items(rule) == (expected,)


def test_verdict_maps() -> None:
    (read,) = rule_items("tcp dport vmap { 22 : accept, 80-90 : jump d, * : drop }")
    assert read == VerdictMap(
        (Key("tcp.dport"),),
        (
            ((Intervals(((22, 22),)),), Verdict("accept")),
            ((Intervals(((80, 90),)),), Verdict("jump", "d")),
        ),
        Verdict("drop"),
    )
    base = "map m {\ntype inet_service : verdict\nelements = { 22 : accept, * : goto d }\n}"
    assert rule_items("tcp dport vmap @m", base=base) == (
        VerdictMap((Key("tcp.dport"),), SetRef("m")),
    )
    assert rule_items("meter m { ip saddr limit rate 10/second } accept")[0] == SetUpdate(
        SetRef("m"), (Key("ip.saddr"),), "add", True, True
    )


@pytest.mark.parametrize(
    ("family", "rule", "expected"),
    [
        ("ip", "reject", Verdict("reject", reject_family=4)),
        ("inet", "reject", Verdict("reject")),
        ("inet", "reject with icmp host-unreachable", Verdict("reject", reject_family=4)),
        ("inet", "reject with icmpv6 type no-route", Verdict("reject", reject_family=6)),
        ("inet", "reject with tcp reset", Verdict("reject", reject_protocol=6)),
    ],
)
def test_reject(family: str, rule: str, expected: Verdict) -> None:
    assert rule_items(rule, family)[-1] == expected


@pytest.mark.parametrize(
    ("rule", "refused"),
    [
        ("ip6 saddr ::1 meta nfproto ipv4 ip6 saddr ::2 accept", True),
        ("ip6 saddr ::1 meta nfproto ipv4 ct l3proto ipv6 ip6 saddr ::2 accept", False),
        ("ip6 saddr ::1 ct l3proto ipv4 ip saddr 1.1.1.1 accept", False),
        ("ct l3proto ipv4 ip6 saddr ::2 accept", True),
        ("meta nfproto { ipv4, ipv6 } ip6 saddr ::2 accept", False),
        ("meta nfproto { ipv6, ipv4 } ip6 saddr ::2 accept", True),
        ("tcp dport 5 ct protocol udp tcp dport 6 accept", False),
        ("meta l4proto udp ct protocol tcp tcp dport 5 accept", True),
    ],
)
def test_the_last_family_told_counts(rule: str, refused: bool) -> None:
    """Each held against nft 1.1.3."""
    if refused:
        with pytest.raises(RulesetError):
            rule_items(rule, "inet")
    else:
        rule_items(rule, "inet")


def test_a_set_of_families_is_no_guard() -> None:
    items = rule_items("meta nfproto { ipv4, ipv6 } ip6 saddr != ::1 accept", "inet")
    assert any(isinstance(item, Unknown) for item in items)


def test_what_a_reject_depends_on_stands_in_front() -> None:
    assert rule_items("meta mark set 1 reject with tcp reset")[:2] == (
        match("meta.l4proto", 6),
        Assign(Key("meta.mark"), xor=1),
    )
    assert rule_items("counter reject with icmp host-unreachable")[0] == match("meta.nfproto", 2)
    assert len(rule_items("ip saddr 10.0.0.0/8 reject with icmp host-unreachable")) == 2
    assert len(rule_items("tcp dport 22 reject with tcp reset")) == 2
    # Of a set the last one counts, as written: no match on TCP is added, and UDP is dropped.
    listed = rule_items("meta l4proto { udp, tcp } reject with tcp reset")
    assert listed[-1] == Verdict("reject")
    assert len(listed) == 2


LAN = Intervals(((0x0A000001, 0x0A000001),))
HTTP = (Intervals(((80, 80),)),)


@pytest.mark.parametrize(
    ("family", "rule", "expected"),
    [
        ("ip", "tcp dport 80 dnat to 10.0.0.1", Nat("dnat", LAN, None, 4)),
        ("ip", "tcp dport 80 dnat to 10.0.0.1:8080", Nat("dnat", LAN, (8080, 8080), 4)),
        ("inet", "tcp dport 80 dnat ip to 10.0.0.1:80-90", Nat("dnat", LAN, (80, 90), 4)),
        ("inet", "ip daddr 10.0.0.2 dnat to 10.0.0.1", Nat("dnat", LAN, None, 4)),
        ("ip6", "tcp dport 80 dnat to [::1]:81", Nat("dnat", Intervals(((1, 1),)), (81, 81), 6)),
        ("inet", "tcp dport 80 redirect to :8080", Nat("redirect", None, (8080, 8080))),
        ("inet", "tcp dport 80 redirect to 8080", Nat("redirect", None, (8080, 8080))),
        ("inet", "tcp dport 80 dnat to :8080 random", Nat("dnat", None, (8080, 8080))),
        ("inet", "masquerade fully-random", Nat("masquerade")),
        ("ip", "dnat to tcp dport map { 80 : 10.0.0.1 }",
         Nat("dnat", family=4, keys=(Key("tcp.dport"),), mapping=((HTTP, (LAN, None)),))),
        ("ip", "dnat ip to tcp dport map { 80 : 10.0.0.1 . 8080 }",
         Nat("dnat", family=4, keys=(Key("tcp.dport"),), mapping=((HTTP, (LAN, (8080, 8080))),))),
        ("ip", "dnat to 10.0.0.1 : tcp dport map { 80 : 8080 }",
         Nat("dnat", family=4, keys=(Key("tcp.dport"),), mapping=((HTTP, (LAN, (8080, 8080))),))),
        ("ip", "redirect to :tcp dport map { 80 : 8080 }",
         Nat("redirect", family=4, keys=(Key("tcp.dport"),),
             mapping=((HTTP, (None, (8080, 8080))),))),
    ],
)  # fmt: skip
def test_nat(family: str, rule: str, expected: Nat) -> None:
    assert rule_items(rule, family)[-1] == expected


def test_tproxy() -> None:
    assert rule_items("meta l4proto tcp tproxy to :50080")[-1] == Tproxy(50080)


def test_set_update() -> None:
    base = "set s {\ntype ipv4_addr\nflags dynamic\n}"
    rule = "update @s { ip saddr limit rate over 10/second } drop"
    assert rule_items(rule, base=base)[0] == SetUpdate(
        SetRef("s"), (Key("ip.saddr"),), "update", False, True
    )
    assert rule_items("meter m { ip saddr limit rate 10/second } accept")[0] == SetUpdate(
        SetRef("m"), (Key("ip.saddr"),), "add", True, True
    )


def test_what_only_the_host_knows() -> None:
    (read,) = rule_items("ip saddr backup.example.org")
    assert isinstance(read, Match)
    assert isinstance(read.values, UnknownValues)
    assert "backup.example.org" in read.values.reason
    assert isinstance(rule_items("fwd to eth0", "netdev")[0], Unmodelled)


def test_remnants_of_iptables() -> None:
    text = 'table ip filter {\nchain INPUT {\nxt match "recent" accept\nxt target "LOG"\n}\n}\n'
    (table,) = read_text(text).tables
    first, second = table.chains["INPUT"].rules
    assert isinstance(first.items[0], Unknown)
    assert second.items == ()
    assert table.origin == "iptables"


@pytest.mark.parametrize(
    ("family", "rule"),
    [
        ("inet", "tcp dport 70000"),
        ("inet", "tcp dport 90-80"),
        ("inet", "tcp dport nosuchservice"),
        ("inet", "tcp dport 22, 80"),
        ("inet", "tcp dport $ports"),
        ("inet", "tcp dport { }"),
        ("inet", "tcp dport 22 udp dport 53"),
        ("inet", "meta l4proto udp tcp dport 80"),
        ("inet", "meta l4proto { tcp, udp } tcp dport 80"),
        ("inet", "meta l4proto { tcp, udp } meta l4proto tcp tcp dport 80"),
        ("inet", "icmp type echo-request meta l4proto tcp tcp dport 80"),
        ("inet", "ip saddr 10.0.0.1 ip6 daddr ::1"),
        ("ip", "ip6 saddr ::1"),
        ("ip", "meta nfproto ipv4"),
        ("inet", "accept drop"),
        ("inet", "accept counter"),
        ("inet", "jump nowhere"),
        ("inet", "ip saddr @nothing"),
        ("inet", "tcp dport vmap { 22 : accept, 20-30 : drop }"),
        ("inet", "tcp dport 80 dnat to 10.0.0.1"),
        ("ip", "dnat to 10.0.0.1:80"),
        ("inet", "udp dport 53 reject with tcp reset"),
        ("inet", "meta l4proto { tcp, udp } reject with tcp reset"),
        ("netdev", "ct state new accept"),
        ("inet", 'iifname "sixteen-bytes-long"'),
        ("inet", "limit rate 10/second burst 5 bytes"),
        ("inet", "log level audit prefix \"x\""),
        ("inet", "ip saddr 10.0.0.0/33"),
        ("inet", "ip saddr 10.0.0.300"),
        ("inet", "ct state nonsense"),
    ],
)  # fmt: skip
def test_refused_rules(family: str, rule: str) -> None:
    with pytest.raises(RulesetError) as caught:
        rule_items(rule, family)
    assert caught.value.location is not None
    assert caught.value.location.line == 4


@pytest.mark.parametrize(("text", "loads"), nft_places.cases())
def test_where_the_kernel_takes_a_statement(text: str, loads: bool) -> None:
    if loads:
        read_text(text)
    else:
        with pytest.raises(RulesetError):
            read_text(text)


def test_a_listing_may_name_a_chain_like_a_verdict() -> None:
    text = (
        "table ip filter {\n\tchain INPUT {\n\t\ttype filter hook input priority filter\n"
        "\t\ttcp dport 443 jump accept\n\t\tgoto reject\n\t}\n"
        "\tchain accept {\n\t\taccept\n\t}\n\tchain reject {\n\t\tdrop\n\t}\n}\n"
    )
    (table,) = read_text(text).tables
    first, second = table.chains["INPUT"].rules
    assert first.items[-1] == Verdict("jump", "accept")
    assert second.items == (Verdict("goto", "reject"),)


def test_places() -> None:
    text = (
        "table inet filter {\n"
        "\tchain input {\n"
        "\t\ttype filter hook input priority filter; policy drop;\n"
        "\t\ttcp dport { 80,\n"
        "\t\t\t443 } accept\n"
        "\t}\n"
        "}\n"
    )
    (table,) = read_text(text).tables
    chain = table.chains["input"]
    assert chain.base is not None
    assert chain.base.policy_location is not None
    assert str(chain.location) == "listing.nft:2:2"
    assert str(chain.base.policy_location) == "listing.nft:3:43"
    location = chain.rules[0].location
    assert (location.line, location.column, location.end) == (4, 3, 18)


@pytest.mark.parametrize(
    ("rule", "verdict"),
    [
        ("numgen random mod 2 { 0, 1 } accept", "accept"),
        ("numgen inc mod 2 offset 5 5-6 accept", "accept"),
        ("numgen inc mod 2 offset 5 < 5 accept", "drop"),
        ("numgen inc mod 2 vmap { 0-1 : accept }", "accept"),
        ("numgen inc mod 3 != 0-2 accept", "drop"),
        ("symhash mod 4 offset 10 10-13 accept", "accept"),
        ("symhash mod 1 1 accept", "drop"),
        ("numgen inc mod 2 0 accept", "unknown"),
        ("numgen inc mod 2 vmap { 0 : accept, 1 : drop }", "unknown"),
    ],
)
def test_a_number_that_is_made_lies_in_its_range(rule: str, verdict: str) -> None:
    base = "type filter hook input priority 0; policy drop;"
    firewall = Firewall(read_text(f"table inet t {{\nchain c {{\n{base}\n{rule}\n}}\n}}\n"))
    packet = Packet("tcp", "203.0.113.1", "198.51.100.1", 40000, 443)
    assert judge(firewall, packet).verdict == verdict


@pytest.mark.parametrize(
    ("rule", "verdict"),
    [
        ("ct packets 1 accept", "accept"),
        ("ct packets < 5 accept", "accept"),
        ("ct packets 0 accept", "drop"),
        ("ct original packets 1 accept", "accept"),
        ("ct reply packets 0 accept", "accept"),
        ("ct reply bytes > 0 accept", "drop"),
        ("ct bytes 0 accept", "drop"),
        ("ct bytes < 1000 accept", "accept"),
        ("ct avgpkt > 0 accept", "accept"),
        ("ct bytes < 60 accept", "unknown"),
    ],
)
def test_the_first_packet_of_a_connection_is_counted(rule: str, verdict: str) -> None:
    base = "type filter hook input priority 0; policy drop;"
    firewall = Firewall(read_text(f"table inet t {{\nchain c {{\n{base}\n{rule}\n}}\n}}\n"))
    packet = Packet("tcp", "203.0.113.1", "198.51.100.1", 40000, 443)
    assert judge(firewall, packet).verdict == verdict
