"""Rulesets made to hang, to blow up or to confuse: an answer comes all the same, in little time."""

from __future__ import annotations

import time

import pytest

from sslint.netfilter.model import Intervals, Key, Match, Names, Rule, Unknown, Verdict
from sslint.netfilter.trace import Packet
from tests.netfilter.models import (
    ACCEPT,
    DROP,
    ESTABLISHED,
    chain,
    firewall,
    here,
    incoming,
    mark,
    match,
    reach,
    source,
    tcp,
    values,
    verdict,
)


def test_jumps_that_double_at_every_level_are_followed_once() -> None:
    levels = 15
    links = [
        chain(f"c{n}", *[(Verdict("jump", f"c{n + 1}"),)] * 8, (tcp(n + 1), ACCEPT))
        for n in range(levels)
    ]
    start = time.process_time()
    judged = firewall(
        incoming((Verdict("jump", "c0"),)), *links, chain(f"c{levels}", (tcp(9), DROP))
    )
    assert verdict(judged, 443) == "closed"
    assert verdict(judged, 9) == "closed"
    assert time.process_time() - start < 5


def test_marks_without_number_are_bounded() -> None:
    rules = [(Unknown("x"), mark(n)) for n in range(100)]
    chains = [
        chain(f"m{n}", *rules, hook="prerouting", priority=-150 + n, order=n) for n in range(3)
    ]
    start = time.process_time()
    answer = reach(firewall(*chains, incoming(ESTABLISHED, (match("meta.mark", 7), ACCEPT))))
    assert answer.verdict == "unknown"
    assert verdict(firewall(*chains, incoming(ESTABLISHED, (tcp(443), ACCEPT)))) == "open"
    assert time.process_time() - start < 8


def test_interfaces_without_number_are_bounded() -> None:
    rules = [
        (Match((Key("meta.iifname"),), Names((f"v{n}",))), tcp(443), ACCEPT) for n in range(2000)
    ]
    start = time.process_time()
    found = reach(firewall(incoming(ESTABLISHED, *rules)))
    assert found.verdict == "unknown"
    assert "interfaces" in found.reasons[0]
    assert time.process_time() - start < 5


def test_long_rulesets_are_quick() -> None:
    base = incoming(ESTABLISHED, policy="drop")
    for n in range(20_000):
        low = 0x14000000 + 256 * n
        banned = Match((Key("ip.saddr"),), Intervals(((low, low + 9),)))
        base.rules.append(Rule((banned, DROP if n % 2 else ACCEPT), here()))
    base.rules.append(Rule((tcp(443), ACCEPT), here()))
    start = time.process_time()
    judged = firewall(base)
    assert verdict(judged, 443) == "open"
    assert verdict(judged, 25) == "limited"
    assert time.process_time() - start < 6


def test_values_of_the_wrong_kind_are_unknown_or_false_never_a_crash() -> None:
    odd = (
        Match((Key("ip.saddr"),), Names(("eth0",))),
        Match((Key("tcp.dport"),), Names(("x",))),
        Match((Key("meta.iifname"),), values(1, 7)),
        Match((Key("meta.iifname"),), values(0)),
        Match((Key("ct.state"),), Names(("new",))),
        Match((Key("fib.saddr.oif"),), Names(("eth0",))),
        Match((Key("fib.daddr.oif"),), values(1)),
        Match((Key("ip.saddr"), Key("tcp.dport")), ((values("10.0.0.0/8"),),)),
        Match((Key("ip.saddr"),), ((values("10.0.0.0/8"), values(1)),)),
        Match((Key("ip.saddr", mask=0xFF0000FF),), values(1)),
        Match((Key("ip.saddr", shift=8),), values(1)),
        Match((Key("tcp.dport", mask=1),), values(1)),
        Match((Key("tcp.sport", mask=1),), values(1)),
        Match((Key("tcp.dport", shift=-3, xor=5),), values(1)),
        Match((Key(""),), values(1)),
        Match((Key("."),), values(1)),
        Match((Key("ct.original.nothing"),), values(1)),
        Match((Key("ip6.saddr"),), Intervals(((-5, 1 << 130),))),
        Match((Key("ip.saddr"),), Intervals(((5, 1),))),
    )
    for item in odd:
        for negate in (False, True):
            changed = Match(item.keys, item.values, negate)
            judged = firewall(incoming(ESTABLISHED, (changed, ACCEPT)))
            for family in (4, 6):
                verdict(judged, 443, family)
            judged.openings()
            judged.trace_port("tcp", 443, 4)
            judged.judge(Packet("udp", "203.0.113.1", "198.51.100.1", 5, 5))


def test_packets_that_are_none_are_a_value_error() -> None:
    judged = firewall(incoming())
    for packet in (
        Packet("tcp", "203.0.113.1", "2001:db8::1"),
        Packet("tcp", "x", "198.51.100.1"),
        Packet("nothing", "203.0.113.1", "198.51.100.1"),
        Packet("tcp", "203.0.113.1", "198.51.100.1", 1, 70000),
    ):
        with pytest.raises(ValueError, match=r"."):
            judged.judge(packet)


def test_every_protocol_is_judged() -> None:
    judged = firewall(
        incoming((match("icmp.type", 8), ACCEPT), (match("meta.l4proto", 47), ACCEPT))
    )
    for proto, answer in (("icmp", "accept"), (47, "accept"), ("132", "drop"), ("tcp", "drop")):
        packet = Packet(proto, "203.0.113.1", "198.51.100.1")
        assert judged.judge(packet).verdict == answer


def test_an_address_of_the_other_family_takes_nothing() -> None:
    judged = firewall(incoming(policy="accept"))
    assert judged.reach("tcp", 443, 4, "2001:db8::1").verdict == "closed"
    assert judged.reach("tcp", 443, 4, "::").verdict == "open"
    assert source("10.0.0.0/8").keys[0].name == "ip.saddr"
