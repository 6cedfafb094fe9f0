"""The whole way: hooks in order, connection tracking, translation, the way back, neighbours."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from sslint.netfilter.model import (
    Assign,
    Chain,
    CtStatus,
    HostNetwork,
    Intervals,
    Key,
    Match,
    Names,
    Nat,
    Notrack,
    RuleItem,
    Synproxy,
    TcpFlag,
    Tproxy,
)
from sslint.netfilter.reach import Reach
from sslint.netfilter.trace import Packet
from sslint.values import replace
from tests.netfilter.models import (
    ACCEPT,
    DROP,
    ESTABLISHED,
    ND,
    bits,
    chain,
    dnat,
    firewall,
    incoming,
    mark,
    match,
    nat_chain,
    network,
    reach,
    redirect,
    source,
    states,
    table,
    tcp,
    values,
    verdict,
)

HTTPS = (tcp(443), ACCEPT)


# -- base chains ----------------------------------------------------------------------------------


def test_accept_ends_only_its_base_chain() -> None:
    one = incoming((ACCEPT,), name="one", priority=-10)
    two = incoming(ESTABLISHED, name="two", priority=10)
    assert verdict(firewall(one, two)) == "closed"


@pytest.mark.parametrize(
    ("hook", "priority"),
    [("prerouting", -300), ("prerouting", -150), ("input", -150), ("input", 50), ("ingress", 0)],
)
def test_a_drop_anywhere_on_the_way_in_closes(hook: str, priority: int) -> None:
    family = "netdev" if hook == "ingress" else "inet"
    early = table(
        chain("early", (tcp(443), DROP), hook=hook, priority=priority, devices=("eth0",)),
        family=family, name="early",
    )  # fmt: skip
    judged = firewall(incoming(ESTABLISHED, HTTPS), early, network=network(public="eth0"))
    found = reach(judged)
    assert (found.verdict, found.stage) == ("closed", "new")
    assert found.decided_by[0].hook == hook


def test_legacy_and_native_tables_are_one_conjunction() -> None:
    legacy = table(incoming(), family="ip", name="filter", origin="iptables-legacy")
    judged = firewall(incoming(ESTABLISHED, ND, HTTPS), legacy)
    assert (verdict(judged), verdict(judged, family=6)) == ("closed", "open")


def test_a_dormant_table_is_not_asked() -> None:
    sleeping = table(incoming(), name="sleeping", dormant=True)
    assert verdict(firewall(incoming(ESTABLISHED, HTTPS), sleeping)) == "open"


def test_families_see_their_own() -> None:
    judged = firewall(table(incoming(), family="ip"), table(chain("x"), family="inet", name="i"))
    assert (verdict(judged), verdict(judged, family=6)) == ("closed", "open")
    bridge = firewall(table(incoming(), family="bridge"))
    assert verdict(bridge) == "open"


def test_ingress_is_per_device() -> None:
    ingress = chain("in", (tcp(443), DROP), hook="ingress", devices=("eth1",))
    early = table(ingress, family="netdev", name="n")
    judged = firewall(incoming(ESTABLISHED, HTTPS), early, network=network(public="eth0"))
    assert verdict(judged) == "open"


def test_at_equal_priority_the_chain_registered_last_runs_first() -> None:
    first = incoming((mark(1),), name="first", policy="accept", order=1)
    last = incoming((match("meta.mark", 1), DROP), name="last", policy="accept", order=2)
    assert verdict(firewall(first, last)) == "open"
    first.order, last.order = 2, 1
    assert verdict(firewall(first, last)) == "closed"


def test_the_first_nat_chain_registers_nat_at_every_hook() -> None:
    """Found by random rulesets: at equal priority what was registered first runs last."""
    nat = chain("nat", (mark(1),), type="nat", hook="input", priority=100, order=3)
    last = chain("last", (match("meta.mark", 1), DROP), hook="input", priority=100, order=2)
    early = chain("early", type="nat", hook="prerouting", priority=-100, order=1)
    tracked = chain("tracked", (states("new"), ACCEPT))
    assert verdict(firewall(nat, last, tracked)) == "closed"
    assert verdict(firewall(nat, last, tracked, early)) == "open"


# -- connection tracking --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("priority", "answer"), [(-300, "closed"), (-200, "closed"), (-199, "open")]
)
def test_before_conntrack_every_packet_is_invalid(priority: int, answer: str) -> None:
    early = chain("raw", (states("invalid"), DROP), hook="prerouting", priority=priority)
    assert verdict(firewall(early, incoming(ESTABLISHED, HTTPS))) == answer


def test_a_packet_with_a_template_is_new_before_conntrack() -> None:
    """Found by random rulesets: `CT --ctevents new`, then `--ctstate NEW -j DROP` in raw."""
    told = (Assign(Key("ct.template")),)
    for state, answer in (("new", "closed"), ("invalid", "open"), ("untracked", "open")):
        early = chain("raw", told, (states(state), DROP), hook="prerouting", priority=-300)
        assert verdict(firewall(early, incoming(ESTABLISHED, HTTPS))) == answer
    early = chain("raw", told, (Notrack(),), hook="prerouting", priority=-300)
    late = incoming((states("untracked"), DROP), ESTABLISHED, HTTPS)
    assert verdict(firewall(early, late)) == "open"


def test_the_first_zone_stays() -> None:
    """As of `CT --zone 1`, then `CT --zone 2`: a packet has one template."""
    packet = Packet("tcp", "203.0.113.9", "198.51.100.1", 40000, 443)
    zones = ((Assign(Key("ct.zone"), xor=1),), (Assign(Key("ct.zone"), xor=2),))
    early = chain("raw", *zones, hook="prerouting", priority=-300)
    for zone, answer in ((1, "drop"), (2, "accept")):
        judged = firewall(early, incoming((match("ct.zone", zone), DROP), HTTPS))
        assert judged.judge(packet).verdict == answer


@pytest.mark.parametrize(("limit", "answer"), [(64, "unknown"), (255, "open")])
def test_a_rewritten_hop_limit_ends_neighbour_discovery(limit: int, answer: str) -> None:
    """Found by random rulesets: `HL --hl-set 64` in mangle meets advertisements too."""
    rewrite = (Assign(Key("ip6.hoplimit"), xor=limit),)
    mangle = chain("mangle", rewrite, hook="input", priority=-150)
    judged = firewall(mangle, incoming(ND, ESTABLISHED, HTTPS))
    assert verdict(judged, family=6) == answer


def test_established_alone_opens_nothing() -> None:
    assert verdict(firewall(incoming(ESTABLISHED))) == "closed"


def test_the_next_packets_must_pass_too() -> None:
    found = reach(firewall(incoming((states("new"), *HTTPS))))
    assert (found.verdict, found.stage) == ("closed", "established")
    assert verdict(firewall(incoming(HTTPS))) == "open"


def test_the_answer_must_get_out() -> None:
    way_in = incoming(ESTABLISHED, HTTPS)
    out = chain("out", hook="output", policy="drop")
    found = reach(firewall(way_in, out))
    assert (found.verdict, found.stage) == ("closed", "answer")
    assert found.decided_by[0].hook == "output"
    for rule in (ESTABLISHED, (match("tcp.sport", 443), ACCEPT), (states("established"), ACCEPT)):
        assert verdict(firewall(way_in, chain("out", rule, hook="output", policy="drop"))) == "open"
    new = chain("out", (states("new"), ACCEPT), hook="output", policy="drop")
    assert verdict(firewall(way_in, new)) == "closed"
    post = chain("post", (match("tcp.sport", 443), DROP), hook="postrouting", priority=300)
    assert verdict(firewall(way_in, post)) == "closed"
    egress = chain("e", (match("tcp.sport", 443), DROP), hook="egress", devices=("eth0",))
    both = firewall(way_in, table(egress, family="netdev"), network=network(public="eth0"))
    assert verdict(both) == "closed"


def test_an_answer_may_be_restricted_by_its_destination() -> None:
    to = match("ip.daddr", "192.0.2.0/24")
    out = chain("out", (to, ACCEPT), hook="output", policy="drop")
    assert reach(firewall(incoming(ESTABLISHED, HTTPS), out)).open == ("192.0.2.0/24",)


def raw(hook: str) -> Chain:
    key = "tcp.dport" if hook == "prerouting" else "tcp.sport"
    return chain(f"raw-{hook}", (match(key, 443), Notrack()), hook=hook, priority=-300)


def test_untracked_packets_need_rules_that_ask_for_no_state() -> None:
    way_in = raw("prerouting")
    assert verdict(firewall(way_in, incoming(ESTABLISHED, (states("new"), *HTTPS)))) == "closed"
    assert verdict(firewall(way_in, incoming(ESTABLISHED, HTTPS))) == "open"
    assert verdict(firewall(way_in, incoming((states("untracked"), ACCEPT)))) == "open"
    marked = incoming((match("ct.mark", 0), ACCEPT))
    assert verdict(firewall(way_in, marked)) == "closed"  # every ct key but state breaks


def test_the_answer_to_an_untracked_syn_is_invalid() -> None:
    rules = (raw("prerouting"), incoming(HTTPS))
    out = chain("out", (states("invalid"), DROP), hook="output")
    assert verdict(firewall(*rules, out)) == "closed"
    strict = chain("out", ESTABLISHED, hook="output", policy="drop")
    assert verdict(firewall(*rules, strict)) == "closed"
    both = chain("out", (states("untracked"), ACCEPT), hook="output", policy="drop")
    assert verdict(firewall(*rules, raw("output"), both)) == "open"


def test_untracked_answers_leave_the_client_unknown_to_conntrack() -> None:
    rules = (raw("output"), incoming((states("new"), *HTTPS), ESTABLISHED))
    assert reach(firewall(*rules)).stage == "established"
    assert verdict(firewall(raw("output"), incoming(HTTPS))) == "open"


def test_notrack_by_source_splits_what_flows() -> None:
    early = chain("raw", (source("10.0.0.0/8"), Notrack()), hook="prerouting", priority=-300)
    found = reach(firewall(early, incoming(ESTABLISHED, (states("new"), *HTTPS))))
    assert (found.verdict, found.closed) == ("open", ("10.0.0.0/8",))


SYN = (bits("tcp.flags", TcpFlag.SYN), tcp(443), Notrack())
ANSWER = (states("invalid", "untracked"), tcp(443), Synproxy())
LOOPBACK = (match("meta.iifname", "lo"), ACCEPT)


def proxied(*rules: tuple[RuleItem, ...], loose: bool | None = False, **more: Any) -> Reach:
    """Return who reaches 443 where SYNs are not tracked and these rules stand in INPUT."""
    early = chain("raw", SYN, hook="prerouting", priority=-300)
    known = replace(network(), tcp_loose=loose)
    return reach(firewall(early, incoming(*rules), *more.get("also", ()), network=known))


def test_synproxy_opens_what_it_answers_and_lets_in_again() -> None:
    sound = (ESTABLISHED, LOOPBACK, ANSWER, (states("invalid"), DROP))
    assert proxied(*sound).verdict == "open"
    assert proxied(ESTABLISHED, ANSWER, HTTPS).verdict == "open"
    found = proxied(ESTABLISHED, ANSWER)
    assert (found.verdict, found.stage) == ("closed", "synproxy")  # its own SYN by the loopback
    assert proxied(LOOPBACK, ANSWER).stage == "established"
    confirmed = (bits("ct.status", CtStatus.CONFIRMED), ACCEPT)  # as it left
    assert proxied(ESTABLISHED, confirmed, ANSWER).verdict == "open"


def test_synproxy_needs_a_conntrack_that_is_not_loose() -> None:
    sound = (ESTABLISHED, LOOPBACK, ANSWER, HTTPS)
    reset = proxied(*sound, loose=True)
    assert (reset.verdict, reset.rejected) == ("closed", True)
    early = chain("raw", SYN, hook="prerouting", priority=-300)
    judged = firewall(early, incoming(*sound), network=replace(network(), tcp_loose=True))
    assert judged.suggest_open("tcp", 443, 4) is None  # a rule before it would leave it out
    unsaid = proxied(*sound, loose=None)
    assert unsaid.verdict == "unknown"
    assert "nf_conntrack_tcp_loose=0" in unsaid.reasons[0]
    by_interface = (match("meta.iifname", "eth0"), tcp(443), Synproxy())
    known = replace(network(public="eth0"), tcp_loose=True)
    assert verdict(firewall(incoming(ESTABLISHED, LOOPBACK, by_interface), network=known)) == "open"


def test_synproxy_loses_what_is_not_its_own() -> None:
    bare = (tcp(443), Synproxy())
    assert proxied(LOOPBACK, bare, HTTPS).verdict == "closed"  # the packets that follow
    looped = proxied(ESTABLISHED, (states("invalid", "untracked", "new"), *bare), HTTPS)
    assert looped.verdict == "closed"
    assert "answers the SYN" in looped.decided_by[0].reason
    untracked = chain("rawout", (match("tcp.sport", 443), Notrack()), hook="output", priority=-300)
    missed = proxied(ESTABLISHED, LOOPBACK, ANSWER, also=(untracked,))
    assert missed.verdict == "closed"
    assert "not tracked" in missed.decided_by[0].reason


def test_synproxy_ends_the_way_of_what_it_answers() -> None:
    first = incoming(ANSWER, policy="accept", name="early", priority=-10)
    judged = proxied(ESTABLISHED, LOOPBACK, also=(first,))
    assert judged.verdict == "open"


def test_each_chain_answers_its_own_sources() -> None:
    few = incoming((source("10.0.0.0/8"), *ANSWER), policy="accept", name="few", priority=-10)
    assert proxied(ESTABLISHED, LOOPBACK, ANSWER, also=(few,)).verdict == "open"


def test_synproxy_beside_a_translation_is_unknown() -> None:
    redirected = nat_chain(redirect(443, tcp(8443)))
    tracked = firewall(
        redirected, incoming(ESTABLISHED, LOOPBACK, (states("new"), tcp(443), Synproxy())),
        network=replace(network(public="eth0"), tcp_loose=True),
    )  # fmt: skip
    found = tracked.reach_outer("tcp", 8443, 4)
    assert found.verdict == "unknown"
    assert "translation" in found.reasons[0]


def test_the_answers_of_synproxy_pass_output() -> None:
    def through(*names: str) -> Reach:
        out = chain("out", (states(*names), ACCEPT), hook="output", policy="drop")
        return proxied(ESTABLISHED, LOOPBACK, ANSWER, also=(out,))

    assert through("established", "invalid", "new").verdict == "open"
    assert through("established", "new").stage == "synproxy"  # the SYN-ACK is INVALID
    assert through("established", "invalid").stage == "synproxy"  # the SYN to the server is NEW


def test_a_conntrack_that_is_not_loose_knows_no_later_packet() -> None:
    early = chain("raw", SYN, hook="prerouting", priority=-300)
    way_in = incoming((states("untracked"), *HTTPS), (states("new"), *HTTPS))
    for loose, answer in ((None, "open"), (True, "open"), (False, "closed")):
        known = replace(network(), tcp_loose=loose)
        assert verdict(firewall(early, way_in, network=known)) == answer


# -- translation ----------------------------------------------------------------------------------


def test_after_a_redirect_the_filter_sees_the_new_port() -> None:
    nat = nat_chain(redirect(8443, tcp(443)))
    judged = firewall(nat, incoming(ESTABLISHED, (tcp(8443), ACCEPT)))
    listener = reach(judged, 8443)
    assert (listener.verdict, listener.reached_as) == ("open", (443, 8443))
    assert listener.translated_by == ()
    stolen = reach(judged, 443)
    assert (stolen.verdict, stolen.reached_as) == ("closed", ())
    assert stolen.decided_by[0].effect == "translate"
    assert stolen.forwarded_to == (":8443",)
    assert judged.reach_outer("tcp", 443, 4).verdict == "open"
    old = firewall(nat, incoming(ESTABLISHED, HTTPS))
    assert reach(old, 8443).verdict == "closed"
    assert old.reach_outer("tcp", 443, 4).verdict == "closed"


def test_only_a_translated_port_is_open_by_the_outer_one() -> None:
    nat = nat_chain(redirect(8443, tcp(443)))
    admitted = incoming(ESTABLISHED, (bits("ct.status", 32), ACCEPT))
    found = reach(firewall(nat, admitted), 8443)
    assert (found.verdict, found.reached_as) == ("open", (443, 8443))
    original = incoming(ESTABLISHED, (match("ct.original.proto-dst", 443), ACCEPT))
    assert verdict(firewall(nat, original), 8443) == "open"


def test_raw_and_mangle_see_the_old_port_and_the_answer_has_the_new_one() -> None:
    nat = nat_chain(redirect(8443, tcp(443)))
    base = incoming(ESTABLISHED, (tcp(8443), ACCEPT))
    mangle = chain("mangle", (tcp(443), DROP), hook="prerouting", priority=-150)
    assert reach(firewall(mangle, nat, base), 8443).reached_as == (443, 8443)
    assert firewall(mangle, nat, base).reach_outer("tcp", 443, 4).verdict == "closed"
    out = chain("out", (match("tcp.sport", 443), ACCEPT), hook="output", policy="drop")
    assert verdict(firewall(nat, base, out), 8443) == "closed"
    out = chain("out", (match("tcp.sport", 8443), ACCEPT), hook="output", policy="drop")
    assert verdict(firewall(nat, base, out), 8443) == "open"


@pytest.mark.parametrize(("priority", "port"), [(50, 8443), (150, 443)])
def test_the_answers_port_is_translated_back_in_postrouting(priority: int, port: int) -> None:
    nat = nat_chain(redirect(8443, tcp(443)))
    base = incoming(ESTABLISHED, (bits("ct.status", 32), ACCEPT))
    post = chain("post", (match("tcp.sport", port), DROP), hook="postrouting", priority=priority)
    assert verdict(firewall(nat, base, post), 8443) == "closed"


def test_a_nat_base_chain_translates_at_its_hook_not_at_its_priority() -> None:
    nat = nat_chain(redirect(8443, tcp(443)), priority=-150)
    early = chain("early", (tcp(8443), DROP), hook="prerouting", priority=-120)
    base = incoming(ESTABLISHED, (tcp(8443), ACCEPT))
    assert firewall(nat, early, base).reach_outer("tcp", 443, 4).verdict == "open"


def test_the_first_to_translate_wins_and_accept_ends_only_one_chain() -> None:
    base = incoming(ESTABLISHED, (tcp(8443), ACCEPT))
    one = nat_chain((tcp(443), ACCEPT), name="one", priority=-110)
    two = nat_chain(redirect(8443, tcp(443)), name="two", priority=-100)
    three = nat_chain(redirect(9443, tcp(443)), name="three", priority=-90)
    assert firewall(one, two, three, base).reach_outer("tcp", 443, 4).verdict == "open"
    assert firewall(one, three, two, base).reach_outer("tcp", 443, 4).verdict == "open"


def test_untracked_packets_are_not_translated() -> None:
    nat = nat_chain(redirect(8443, tcp(443)))
    judged = firewall(raw("prerouting"), nat, incoming(HTTPS))
    assert verdict(judged, 443) == "open"


def test_a_redirect_by_source_splits_what_flows() -> None:
    nat = nat_chain(redirect(8443, source("10.0.0.0/8"), tcp(443)))
    judged = firewall(nat, incoming(ESTABLISHED, HTTPS, (tcp(8443), source("10.0.0.0/8"), ACCEPT)))
    found = reach(judged, 443)
    assert (found.verdict, found.closed) == ("open", ("10.0.0.0/8",))
    assert reach(judged, 8443).open == ("10.0.0.0/8",)


def test_a_drop_in_a_nat_chain_acts_only_with_conntrack() -> None:
    dropping = nat_chain((tcp(443), DROP))
    assert verdict(firewall(dropping, incoming(policy="accept"))) == "open"
    assert verdict(firewall(dropping, incoming(ESTABLISHED, HTTPS))) == "closed"
    strict = nat_chain(policy="drop")
    assert verdict(firewall(strict, incoming(ESTABLISHED, HTTPS))) == "closed"
    other = table(incoming(ESTABLISHED, policy="accept"), family="ip6", name="six")
    native = table(dropping, family="inet", name="nat")
    assert verdict(firewall(native, other)) == "open"
    assert verdict(firewall(native, other), family=6) == "closed"


def test_port_ranges_of_a_translation() -> None:
    base = incoming(ESTABLISHED, (tcp(8440), ACCEPT))
    spread = nat_chain((tcp(443), Nat("redirect", ports=(8440, 8450))))
    assert firewall(spread, base).reach_outer("tcp", 443, 4).verdict == "open"
    kept = nat_chain((tcp(8445), Nat("redirect", ports=(8440, 8450))))
    assert firewall(kept, base).reach_outer("tcp", 8445, 4).verdict == "closed"
    shifted = nat_chain((tcp((440, 450)), Nat("redirect", ports=(8437, 8447), port_shift=440)))
    assert firewall(shifted, base).reach_outer("tcp", 443, 4).verdict == "open"


def test_a_translation_map_by_port() -> None:
    entries = (((values(443),), (None, (8443, 8443))), ((values(80),), (None, (8080, 8080))))
    nat = nat_chain((Nat("redirect", keys=(Key("tcp.dport"),), mapping=entries),))
    judged = firewall(nat, incoming(ESTABLISHED, (tcp(8443), ACCEPT)))
    assert judged.reach_outer("tcp", 443, 4).verdict == "open"
    assert judged.reach_outer("tcp", 80, 4).verdict == "closed"
    assert judged.reach_outer("tcp", 25, 4).verdict == "closed"


def test_another_host_is_judged_on_the_way_through() -> None:
    docker = Match((Key("meta.oifname"),), Names(("docker0",)))
    nat = nat_chain(dnat("172.17.0.2", 443, tcp(8443)))
    accept = (match("ip.daddr", "172.17.0.2"), docker, tcp(443), ACCEPT)
    forward = chain("fwd", ESTABLISHED, accept, hook="forward", policy="drop")
    judged = firewall(table(nat, incoming(), forward, family="ip"))
    outer = judged.reach_outer("tcp", 8443, 4)
    assert (outer.verdict, outer.forwarded_to) == ("open", ("172.17.0.2:443",))
    assert outer.decided_by[0].hook == "forward"
    assert any("docker0" in text for text in outer.assumptions)
    assert reach(judged, 8443).verdict == "closed"  # no listener of this host is reached
    shut = chain("fwd", ESTABLISHED, hook="forward", policy="drop")
    judged = firewall(table(nat, incoming(policy="accept"), shut, family="ip"))
    assert judged.reach_outer("tcp", 8443, 4).verdict == "closed"
    no_return = chain("fwd", accept, hook="forward", policy="drop")
    judged = firewall(table(nat, incoming(), no_return, family="ip"))
    assert judged.reach_outer("tcp", 8443, 4).stage == "answer"


@pytest.mark.parametrize(
    ("own", "verdict"),
    [((), "unknown"), (("198.51.100.77",), "closed"), (("198.51.100.1",), "open")],
)
def test_a_rule_for_one_address_closes_the_port_at_no_other(
    own: tuple[str, ...], verdict: str
) -> None:
    """One of a host's addresses is a virtual machine's: the web server answers at the others."""
    moved = nat_chain(
        (match("ip.daddr", "198.51.100.77"), tcp(443), Nat("dnat", values("10.0.3.4")))
    )
    judged = firewall(moved, incoming(ESTABLISHED, HTTPS), network=network(*own))
    found = reach(judged)
    assert found.verdict == verdict
    if verdict == "unknown":
        assert found.reasons == ("it depends on which address of this host clients use",)


@pytest.mark.parametrize(
    ("network", "verdict"), [("198.51.100.0/24", "open"), ("104.16.0.0/13", "unknown")]
)
def test_a_wide_network_is_not_taken_for_this_hosts(network: str, verdict: str) -> None:
    """firewalld compares destinations with a zone's sources: those are of others."""
    found = reach(firewall(incoming(ESTABLISHED, (match("ip.daddr", network), *HTTPS))))
    assert found.verdict == verdict
    assert any("is this host" in text for text in (*found.assumptions, *found.reasons))


def test_a_translation_to_this_hosts_own_address_stays_here() -> None:
    nat = nat_chain(dnat("10.0.0.5", 8443, tcp(443)))
    base = incoming(ESTABLISHED, (match("ip.daddr", "10.0.0.5"), tcp(8443), ACCEPT))
    judged = firewall(table(nat, base, family="ip"), network=network("203.0.113.9", "10.0.0.5"))
    assert judged.reach_outer("tcp", 443, 4).verdict == "open"
    assert 443 in reach(judged, 8443).reached_as


@pytest.mark.parametrize(
    ("localnet", "verdict"),
    [((), "closed"), ((("all", True),), "open"), ((("eth0", True),), "open"),
     ((("eth1", True),), "closed"), ((("", True),), "unknown")],
)  # fmt: skip
def test_dnat_to_the_loopback_is_a_martian(
    localnet: tuple[tuple[str, bool], ...], verdict: str
) -> None:
    moved = nat_chain((tcp(443), Nat("dnat", values("127.0.0.1"), (8443, 8443))))
    known = replace(network(public="eth0"), route_localnet=localnet)
    judged = firewall(moved, incoming((tcp(8443, 443), ACCEPT)), network=known)
    found = judged.reach_outer("tcp", 443, 4)
    assert found.verdict == verdict
    if verdict == "closed":
        assert "route_localnet=1" in found.blocked_by[0].reason


@pytest.mark.parametrize(
    ("localnet", "accepts", "verdict"),
    [((("all", True),), 8443, "open"), ((("all", True),), 22, "closed"), ((), 8443, "closed"),
     ((("", True),), 8443, "unknown")],
)  # fmt: skip
@pytest.mark.parametrize("known", [network(), network("203.0.113.9")])
def test_a_listener_on_the_loopback_is_reached_by_dnat(
    known: HostNetwork, localnet: tuple[tuple[str, bool], ...], accepts: int, verdict: str
) -> None:
    """With route_localnet, as `-j DNAT --to-destination 127.0.0.1:8443` needs it."""
    moved = nat_chain((tcp(443), Nat("dnat", values("127.0.0.1"), (8443, 8443))))
    judged = firewall(
        moved,
        incoming(ESTABLISHED, (tcp(accepts), ACCEPT)),
        network=replace(known, route_localnet=localnet),
    )
    found = judged.reach("tcp", 8443, 4, "127.0.0.1")
    assert found.verdict == verdict
    assert found.reached_as == (() if verdict == "closed" else (443,))
    assert judged.reach("tcp", 8080, 4, "127.0.0.1").verdict == "closed"


def test_redirect_is_to_no_loopback() -> None:
    moved = nat_chain((tcp(443), Nat("redirect", None, (8443, 8443))))
    judged = firewall(moved, incoming((tcp(8443), ACCEPT)), network=network(public="eth0"))
    assert judged.reach_outer("tcp", 443, 4).verdict == "open"


def test_tproxy_keeps_the_destination_port() -> None:
    pre = chain("pre", (tcp(443), Tproxy(8443), ACCEPT), hook="prerouting", priority=-150)
    judged = firewall(pre, incoming(HTTPS))
    found = reach(judged, 8443)
    assert found.reached_as == (443, 8443)
    assert found.verdict == "unknown"  # the kernel asks for a transparent socket
    assert "transparent socket" in found.reasons[0]


# -- neighbours -----------------------------------------------------------------------------------


def nd(*types: int) -> Match:
    return match("icmpv6.type", *types)


def test_ipv6_is_dead_without_neighbour_discovery() -> None:
    found = reach(firewall(incoming(ESTABLISHED, HTTPS)), family=6)
    assert (found.verdict, found.stage) == ("closed", "neighbour-discovery")
    assert reach(firewall(incoming(ESTABLISHED, HTTPS))).verdict == "open"


@pytest.mark.parametrize(
    ("items", "answer"),
    [
        ((nd(135, 136),), "open"),
        ((nd(135),), "closed"),
        ((nd(136),), "unknown"),
        ((match("meta.l4proto", 58),), "open"),
        ((match("meta.l4proto", 58), match("ip6.hoplimit", 255)), "open"),
        ((source("fe80::/10"), match("meta.l4proto", 58)), "open"),
        ((source("fe80::1"), match("meta.l4proto", 58)), "unknown"),
        ((source("2001:db8::/32"), match("meta.l4proto", 58)), "closed"),
        ((states("untracked"),), "open"),
        ((states("new"), match("meta.l4proto", 58)), "closed"),
    ],
)
def test_solicitations_and_advertisements_must_come_in(
    items: tuple[Match, ...], answer: str
) -> None:
    assert verdict(firewall(incoming(ESTABLISHED, HTTPS, (*items, ACCEPT))), family=6) == answer


def test_a_router_without_link_local_address_is_assumed_away() -> None:
    base = incoming(ESTABLISHED, HTTPS, (source("fe80::/10"), match("meta.l4proto", 58), ACCEPT))
    found = reach(firewall(base), family=6)
    assert found.verdict == "open"
    assert any("link-local" in text for text in found.assumptions)
    assert reach(firewall(incoming(ESTABLISHED, HTTPS, ND)), family=6).assumptions == ()


def test_neighbour_discovery_is_not_invalid() -> None:
    base = incoming((states("invalid"), DROP), ESTABLISHED, HTTPS, (nd(133, 134, 135, 136), ACCEPT))
    assert verdict(firewall(base), family=6) == "open"


def test_neighbour_discovery_must_get_out() -> None:
    way_in = incoming(ESTABLISHED, HTTPS, ND)
    shut = chain("out", ESTABLISHED, hook="output", policy="drop")
    found = reach(firewall(way_in, shut), family=6)
    assert (found.verdict, found.stage) == ("closed", "neighbour-discovery")
    half = chain("out", ESTABLISHED, (nd(136), ACCEPT), hook="output", policy="drop")
    assert verdict(firewall(way_in, half), family=6) == "closed"
    other = chain("out", ESTABLISHED, (nd(135), ACCEPT), hook="output", policy="drop")
    remembered = reach(firewall(way_in, other), family=6)
    assert remembered.verdict == "unknown"
    assert "while it remembers" in remembered.reasons[0]
    out = chain("out", ESTABLISHED, (nd(135, 136), ACCEPT), hook="output", policy="drop")
    assert verdict(firewall(way_in, out), family=6) == "open"


def test_point_to_point_links_have_no_neighbours() -> None:
    judged = firewall(incoming(ESTABLISHED, HTTPS), network=network(public="ppp0"))
    assert verdict(judged, family=6) == "open"


def test_a_device_that_drops_arp_is_dead() -> None:
    strict = chain("in", (match("meta.protocol", 0x0800), ACCEPT), hook="ingress",
                   devices=("eth0",), policy="drop")  # fmt: skip
    parts = (incoming(ESTABLISHED, HTTPS), table(strict, family="netdev"))
    found = reach(firewall(*parts, network=network(public="eth0")))
    assert (found.verdict, found.stage) == ("closed", "neighbour-discovery")
    strict.rules[0] = chain("x", (match("meta.protocol", 0x0800, 0x0806), ACCEPT)).rules[0]
    assert verdict(firewall(*parts, network=network(public="eth0"))) == "open"


def test_an_index_of_an_absent_interface_is_zero() -> None:
    zero = Match((Key("meta.oif"),), Intervals(((0, 0),)))
    assert verdict(firewall(incoming(ESTABLISHED, (zero, tcp(443), ACCEPT)))) == "open"


@pytest.mark.parametrize(
    ("family", "own", "target", "verdict"),
    [(4, "198.51.100.9/24", "198.51.100.255", "unknown"),
     (4, "198.51.100.9/24", "198.51.100.254", "open"),
     (6, "2001:db8:1::9/64", "2001:db8:1::", "unknown"),
     (6, "2001:db8:1::/64", "2001:db8:1::", "open"),  # it is this host's own as well
     (6, "2001:db8:1::9/127", "2001:db8:1::8", "open")],
)  # fmt: skip
def test_dnat_to_an_address_of_many_hosts(
    family: Literal[4, 6], own: str, target: str, verdict: str
) -> None:
    moved = nat_chain((tcp(443), Nat("dnat", values(target), (8443, 8443))))
    known = network(public="eth0", interfaces={"eth0": (own,)})
    judged = firewall(moved, incoming((tcp(8443), ACCEPT), policy="accept"), network=known)
    assert judged.reach_outer("tcp", 443, family).verdict == verdict
