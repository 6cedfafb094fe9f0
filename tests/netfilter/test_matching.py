"""What each match makes of a first packet."""

from __future__ import annotations

import pytest

from sslint.netfilter.model import (
    Assign,
    CtState,
    FibType,
    Intervals,
    Key,
    Match,
    Names,
    PktType,
    RuleItem,
    SetRef,
    TcpFlag,
    UnknownValues,
)
from tests.netfilter.models import (
    ACCEPT,
    DROP,
    ESTABLISHED,
    ND,
    bits,
    chain,
    firewall,
    incoming,
    mark,
    match,
    named,
    network,
    reach,
    source,
    states,
    table,
    tcp,
    values,
    verdict,
)

SYN_ACK_RST_FIN = TcpFlag.SYN | TcpFlag.ACK | TcpFlag.RST | TcpFlag.FIN
NEW, EST, UNTRACKED = CtState.NEW, CtState.ESTABLISHED, CtState.UNTRACKED


def holds(*items: RuleItem, family: int = 4, transport: str = "tcp", **more: object) -> str:
    """Return "yes", "no" or "unknown": whether a first packet to port 443 meets the matches."""
    base = incoming(ESTABLISHED, ND, (*items, ACCEPT))
    answer = verdict(firewall(base, **more), 443, family, transport)  # type: ignore[arg-type]
    return {"open": "yes", "closed": "no"}.get(answer, answer)


@pytest.mark.parametrize(
    ("items", "over4", "over6"),
    [
        # A field that the packet has not got: the rule does not match, negated or not.
        ((match("udp.dport", 53, negate=True),), "no", "no"),
        ((match("ip.saddr", "192.0.2.1", negate=True),), "yes", "no"),
        ((match("ip6.saddr", "2001:db8::1", negate=True),), "no", "yes"),
        ((match("rt.type", 9, negate=True),), "no", "no"),
        ((match("exthdr.rt.type", 9, negate=True),), "no", "no"),
        ((match("tcp.option.mptcp.subtype", 9, negate=True),), "no", "no"),
        ((match("icmp.type", 8, negate=True),), "no", "no"),
        ((match("meta.l4proto", 17, negate=True),), "yes", "yes"),
        ((match("ct.status", 32, negate=True),), "yes", "yes"),
        ((match("ct.helper", "ftp", negate=True),), "no", "no"),
        # ... but an absent interface has the name "" and the index 0.
        ((match("meta.oifname", "lo", negate=True),), "yes", "yes"),
        ((match("meta.oif", "lo", negate=True),), "yes", "yes"),
        ((match("meta.oifgroup", 0, negate=True),), "no", "no"),
        # ... and what asks for absence is met.
        ((match("exthdr.frag", 0),), "no", "yes"),
        ((match("exthdr.frag", 1),), "no", "no"),
        ((match("tcp.option.mptcp", 0),), "yes", "yes"),
        # Protocols
        ((match("meta.l4proto", 6, 17), match("th.dport", 443)), "yes", "yes"),
        ((match("th.dport", 443),), "yes", "yes"),
        ((match("ip.protocol", 6), tcp(443)), "yes", "no"),
        ((match("ip6.nexthdr", 6), tcp(443)), "no", "yes"),
        ((match("meta.nfproto", 2),), "yes", "no"),
        ((match("meta.protocol", 0x86DD),), "no", "yes"),
        ((match("ip.version", 4),), "yes", "no"),
        # Ports
        ((tcp((0, 1023)),), "yes", "yes"),
        ((match("tcp.dport", 25, (80, 442), negate=True),), "yes", "yes"),
        ((match("tcp.sport", (1024, 65535)),), "yes", "yes"),
        ((match("tcp.sport", (0, 1023)),), "no", "no"),
        ((match("tcp.sport", 443),), "no", "no"),
        # Flags: the packet is a plain SYN
        ((Match((Key("tcp.flags", mask=SYN_ACK_RST_FIN),), values(TcpFlag.SYN)),), "yes", "yes"),
        ((Match((Key("tcp.flags", mask=SYN_ACK_RST_FIN),), values(TcpFlag.SYN), True),),
         "no", "no"),
        ((bits("tcp.flags", TcpFlag.SYN | TcpFlag.ACK),), "yes", "yes"),
        ((bits("tcp.flags", TcpFlag.RST | TcpFlag.ACK),), "no", "no"),
        # Connection tracking: bits, and whole values
        ((bits("ct.state", NEW | EST),), "yes", "yes"),
        ((bits("ct.state", EST),), "no", "no"),
        ((bits("ct.state", EST | CtState.RELATED, negate=True),), "yes", "yes"),
        ((match("ct.state", NEW, UNTRACKED),), "yes", "yes"),
        ((match("ct.state", EST | CtState.RELATED, negate=True),), "yes", "yes"),
        ((match("ct.direction", 0),), "yes", "yes"),
        ((match("ct.protocol", 6),), "yes", "yes"),
        ((match("ct.mark", 0),), "yes", "yes"),
        ((match("ct.zone", 0),), "yes", "yes"),
        ((match("ct.original.proto-dst", 443),), "yes", "yes"),
        ((bits("ct.status", 32),), "no", "no"),
        # Where it goes to
        ((match("fib.daddr.type", FibType.LOCAL),), "yes", "yes"),
        ((match("fib.daddr.type", FibType.UNICAST),), "no", "no"),
        ((match("fib.daddr.type", FibType.BROADCAST, FibType.MULTICAST),), "no", "no"),
        ((match("meta.pkttype", PktType.HOST),), "yes", "yes"),
        ((match("meta.pkttype", PktType.BROADCAST, PktType.MULTICAST),), "no", "no"),
        # Marks and fragments
        ((match("meta.mark", 0),), "yes", "yes"),
        ((match("meta.mark", 1),), "no", "no"),
        ((Match((Key("ip.frag-off", mask=0x1FFF),), values(0), True),), "no", "no"),
        # Sizes of a SYN
        ((match("meta.length", (0, 1500)),), "yes", "yes"),
        ((match("meta.length", (1000, 1500)),), "no", "no"),
        ((match("tcp.option.maxseg.size", (1, 535)),), "no", "no"),
        ((match("tcp.option.maxseg.size", (1, 535), negate=True),), "yes", "yes"),
        ((match("tcp.option.maxseg.size", (1, 1300)),), "unknown", "unknown"),
        ((match("tcp.option.maxseg", 1),), "unknown", "unknown"),
        ((match("ip.ttl", 64),), "unknown", "no"),
        ((match("tcp.window", 0),), "unknown", "unknown"),
    ],
)  # fmt: skip
def test_keys(items: tuple[RuleItem, ...], over4: str, over6: str) -> None:
    assert (holds(*items), holds(*items, family=6)) == (over4, over6)


def test_the_segment_size_of_usual_clients_is_assumed() -> None:
    small = match("tcp.option.maxseg.size", (1, 535))
    answer = reach(firewall(incoming(ESTABLISHED, ND, (small, DROP), (tcp(443), ACCEPT))))
    assert answer.verdict == "open"
    assert any("segment size (MSS) of 536 to 8960" in text for text in answer.assumptions)


def test_a_missing_field_does_not_match_even_in_a_concatenation() -> None:
    pair = Match((Key("ip.saddr"), Key("udp.dport")), ((values("0.0.0.0/0"), values(443)),), True)
    assert holds(pair) == "no"


def test_concatenations_are_cross_products() -> None:
    elements = (
        (values("192.0.2.0/24"), values((400, 450))),
        (values("10.0.0.0/8"), values(80)),
    )
    pair = Match((Key("ip.saddr"), Key("tcp.dport")), elements)
    found = reach(firewall(incoming(ESTABLISHED, (pair, ACCEPT))))
    assert found.open == ("192.0.2.0/24",)
    inverted = Match((Key("ip.saddr"), Key("tcp.dport")), elements, True)
    found = reach(firewall(incoming(ESTABLISHED, (inverted, ACCEPT))))
    assert found.closed == ("192.0.2.0/24",)


def test_an_ipset_asked_with_too_few_directions_never_matches() -> None:
    found = named("s", ("192.0.2.0/24", 6, 443))
    found.keys = ("ipset:hash:net,port", "inet")
    lookup = Match((Key("ip.saddr"),), SetRef("s"))
    negated = Match((Key("ip.saddr"),), SetRef("s"), True)
    for item, answer in ((lookup, "closed"), (negated, "open")):
        base = incoming(ESTABLISHED, (item, ACCEPT))
        assert verdict(firewall(table(base, family="ip"), ipsets={"s": found})) == answer


def test_an_ipset_without_the_packets_protocol_matches_negated() -> None:
    found = named("s", ("192.0.2.0/24", 6, 443))
    found.keys = ("ipset:hash:net,port", "inet")
    keys = (Key("ip.saddr"), Key("meta.l4proto"), Key("tcp.dport"))
    base = incoming((Match(keys, SetRef("s"), True), ACCEPT), policy="drop")
    judged = firewall(table(base, family="ip"), ipsets={"s": found})
    assert verdict(judged, transport="udp") == "open"
    assert reach(judged).closed == ("192.0.2.0/24",)


def test_wildcards_of_interface_names() -> None:
    def by(*patterns: str, negate: bool = False) -> str:
        key = (Key("meta.iifname"),)
        base = incoming(ESTABLISHED, (Match(key, Names(patterns), negate), ACCEPT))
        return verdict(firewall(base, network=network(public="eth0")))

    assert by("eth*") == by("*") == by("eth0") == by("wlan0", "eth0") == "open"
    assert by("eth", negate=True) == by("lo", negate=True) == "open"
    assert by("eth") == "limited"  # by an interface of that name alone
    base = incoming(ESTABLISHED, (Match((Key("meta.iifname"),), Names(("eth",))), ACCEPT))
    assert reach(firewall(base, network=network(public="eth0"))).via == ("eth",)


def test_source_ports_split_where_rules_say() -> None:
    low, high = match("tcp.sport", (1024, 32767)), match("tcp.sport", (32768, 65535))
    both = firewall(incoming(ESTABLISHED, (low, ACCEPT), (high, ACCEPT)))
    assert verdict(both) == "open"
    found = reach(firewall(incoming(ESTABLISHED, (low, ACCEPT))))
    assert found.verdict == "unknown"
    assert "source port" in found.reasons[0]


def test_marks_are_carried_and_unknown_ones_stay_unknown() -> None:
    def through(item: RuleItem) -> str:
        pre = chain("pre", (tcp(443), item), hook="prerouting", priority=-150)
        return verdict(firewall(pre, incoming(ESTABLISHED, (match("meta.mark", 7), ACCEPT))))

    assert through(mark(7)) == "open"
    assert through(mark(8)) == "closed"
    assert through(Assign(Key("meta.mark"), unknown="it is random")) == "unknown"
    masked = Assign(Key("meta.mark"), 0xFFFFFFF0, 7)
    assert through(masked) == "open"


def test_a_mark_by_source_splits_what_flows() -> None:
    pre = chain("pre", (source("10.0.0.0/8"), mark(1)), hook="prerouting", priority=-150)
    base = incoming(ESTABLISHED, (match("meta.mark", 1), tcp(443), ACCEPT))
    assert reach(firewall(pre, base)).open == ("10.0.0.0/8",)


def test_an_assignment_before_a_failing_match_has_happened() -> None:
    base = incoming(ESTABLISHED, (mark(5), tcp(80), DROP), (match("meta.mark", 5), ACCEPT))
    assert verdict(firewall(base)) == "open"


def test_a_connection_mark_lives_on_to_the_next_packet() -> None:
    pre = chain(
        "pre",
        (states("new"), tcp(443), mark(9, "ct.mark")),
        (Assign(Key("meta.mark"), 0xFFFFFFFF, 0, Key("ct.mark")),),
        hook="prerouting",
        priority=-150,
    )
    assert verdict(firewall(pre, incoming((match("meta.mark", 9), ACCEPT)))) == "open"


@pytest.mark.parametrize(
    ("destination", "answer"),
    [("203.0.113.9", "yes"), ("10.0.0.5", "unknown"), ("224.0.0.1", "no"),
     ("192.168.1.255", "no"), ("255.255.255.255", "no"), ("127.0.0.1", "no"),
     ("0.0.0.0/0", "yes")],
)  # fmt: skip
def test_a_destination_that_is_not_known(destination: str, answer: str) -> None:
    assert holds(match("ip.daddr", destination)) == answer


def test_a_destination_that_is_known_is_compared() -> None:
    known = network("203.0.113.9", "10.0.0.5")
    assert holds(match("ip.daddr", "203.0.113.9"), network=known) == "yes"
    assert holds(match("ip.daddr", "203.0.113.8"), network=known) == "no"
    base = incoming(ESTABLISHED, (match("ip.daddr", "10.0.0.5"), ACCEPT))
    judged = firewall(base, network=known)
    assert judged.reach("tcp", 443, 4, "10.0.0.5").verdict == "open"
    assert judged.reach("tcp", 443, 4, "203.0.113.9").verdict == "closed"


def test_an_assumption_about_the_destination_is_said() -> None:
    found = reach(firewall(incoming(ESTABLISHED, (match("ip.daddr", "203.0.113.9"), ACCEPT))))
    assert found.verdict == "open"
    assert any("203.0.113.9" in text for text in found.assumptions)


def test_several_addresses_of_this_host_may_differ() -> None:
    known = network("203.0.113.9", "203.0.113.10")
    base = incoming(ESTABLISHED, (match("ip.daddr", "203.0.113.9"), tcp(443), ACCEPT))
    judged = firewall(base, network=known)
    assert judged.reach("tcp", 443, 4, "203.0.113.9").verdict == "open"
    assert judged.reach("tcp", 443, 4, "203.0.113.10").verdict == "closed"
    assert judged.reach("tcp", 443, 4).verdict == "unknown"


def test_the_reverse_path_filter_passes_what_comes_by_the_default_route() -> None:
    missing = Match((Key("fib.saddr.oif", arg="iif"),), Intervals(((0, 0),)))
    assert verdict(firewall(incoming((missing, DROP), policy="accept"))) == "open"
    two = network(public="eth0", interfaces={"eth0": ("198.51.100.1/24",), "lan": ("10.1.0.1/16",)})
    found = reach(firewall(incoming((missing, DROP), policy="accept"), network=two))
    assert found.verdict == "open"
    assert found.closed == ("10.1.0.0/16",)


@pytest.mark.parametrize(
    ("iif", "source", "answer"),
    [("eth0", "fe80::5", "accept"), ("eth1", "fe80::5", "accept"),
     ("eth0", "fe80:1::5", "accept"), ("eth1", "fe80:1::5", "drop"), ("eth1", "2600::5", "accept")],
)  # fmt: skip
def test_a_link_local_source_is_looked_for_on_its_own_interface(
    iif: str, source: str, answer: str
) -> None:
    """Found by random rulesets: the default route's interface alone has a route to fe80:1::."""
    from sslint.netfilter.trace import Packet

    exists = Match((Key("fib.saddr.oif"),), Intervals(((1, 0xFFFFFFFF),)))
    two = network(public="eth0", interfaces={"eth0": ("2001:db8::1/64",), "eth1": ("fd20::1/64",)})
    judged = firewall(incoming((exists, ACCEPT)), network=two)
    packet = Packet("udp", source, "2001:db8::1", 40000, 443, iif=iif)
    assert judged.judge(packet).verdict == answer


def test_source_types() -> None:
    local = match("fib.saddr.type", FibType.LOCAL)
    own = network("203.0.113.9")
    found = reach(firewall(incoming((local, DROP), policy="accept"), network=own))
    assert (found.verdict, found.closed) == ("open", ("203.0.113.9/32",))
    multicast = match("fib.saddr.type", FibType.MULTICAST, FibType.BROADCAST)
    assert reach(firewall(incoming((multicast, DROP), policy="accept"))).closed == ()


def test_values_that_are_not_in_the_files() -> None:
    name = Match((Key("ip.saddr"),), UnknownValues("host.example is resolved at load time"))
    found = reach(firewall(incoming(ESTABLISHED, (name, tcp(443), ACCEPT))))
    assert found.verdict == "unknown"
    assert found.reasons == ("host.example is resolved at load time",)


def test_scattered_masks_are_exact_for_one_packet() -> None:
    from sslint.netfilter.trace import Packet

    odd = Match((Key("ip.saddr", mask=1),), values(1))
    judged = firewall(incoming((odd, ACCEPT)))
    assert verdict(judged) == "unknown"
    for last, answer in ((3, "accept"), (4, "drop")):
        packet = Packet("tcp", f"203.0.113.{last}", "198.51.100.1", 40000, 443)
        assert judged.judge(packet).verdict == answer
