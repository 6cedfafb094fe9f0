"""The verdict, as the table of verdicts says, and who is named for it."""

from __future__ import annotations

import pytest

from sslint.netfilter.connections import Connections
from sslint.netfilter.model import (
    HostNetwork,
    Intervals,
    Key,
    Match,
    Missing,
    Names,
    Ruleset,
    Table,
    Unknown,
    Verdict,
)
from sslint.netfilter.reach import Firewall
from sslint.values import replace
from tests.netfilter.models import (
    ACCEPT,
    DROP,
    ESTABLISHED,
    ND,
    REJECT,
    Chain,
    chain,
    firewall,
    incoming,
    match,
    nat_chain,
    network,
    reach,
    redirect,
    ruleset,
    source,
    table,
    tcp,
    verdict,
)

HTTPS = tcp(443)


def iif(*names: str, negate: bool = False) -> Match:
    return Match((Key("meta.iifname"),), Names(names), negate)


@pytest.mark.parametrize(
    ("rules", "answer", "share"),
    [
        (((HTTPS, ACCEPT),), "open", 1.0),
        (((source("192.0.2.0/24"), DROP), (HTTPS, ACCEPT)), "open", 1.0),  # banned by name
        (((source("10.0.0.0/8", "192.168.0.0/16"), DROP), (HTTPS, ACCEPT)), "open", 1.0),
        (((source("96.0.0.0/6"), DROP), (HTTPS, ACCEPT)), "limited", 0.98),
        (((source("10.0.0.0/8"), HTTPS, ACCEPT),), "limited", 0.0),
        (((source("0.0.0.0/1"), HTTPS, ACCEPT),), "limited", 0.55),
        (((tcp(22), ACCEPT),), "closed", 0.0),
        (((source("127.0.0.0/8"), ACCEPT),), "closed", 0.0),
        (((HTTPS, Unknown("x"), ACCEPT),), "unknown", 0.0),
        (((source("10.0.0.0/8"), ACCEPT), (HTTPS, Unknown("x"), ACCEPT)), "unknown", 0.0),
        (((source("10.0.0.0/8"), ACCEPT), (source("8.0.0.0/8"), DROP),
          (HTTPS, Unknown("x"), ACCEPT)), "limited", 0.0),
        (((source("8.8.8.8"), Unknown("x"), DROP), (HTTPS, ACCEPT)), "open", 1.0),
    ],
)  # fmt: skip
def test_verdicts(rules: tuple[tuple[object, ...], ...], answer: str, share: float) -> None:
    found = reach(firewall(incoming(ESTABLISHED, *rules)))  # type: ignore[arg-type]
    assert found.verdict == answer
    assert found.public_share == pytest.approx(share, abs=0.02)


def test_the_three_sets_are_minimal_cidrs() -> None:
    base = incoming(
        ESTABLISHED, (source("192.0.2.0/25", "192.0.2.128/25"), DROP),
        (source("198.51.100.0/24"), Unknown("x"), DROP), (HTTPS, source("192.0.0.0/2"), ACCEPT),
    )  # fmt: skip
    found = reach(firewall(base))
    assert found.unknown == ("198.51.100.0/24",)
    assert "192.0.2.0/24" in found.closed
    assert "0.0.0.0/1" in found.closed


def test_no_firewall_at_all_is_unknown() -> None:
    found = reach(Firewall(Ruleset()))
    assert (found.verdict, found.reasons) == ("unknown", ("no firewall found",))
    assert found.unknown == ("0.0.0.0/0",)


def test_rules_for_one_family_leave_the_other_unknown() -> None:
    rules = ruleset(table(incoming(ESTABLISHED, (HTTPS, ACCEPT)), family="ip"))
    rules.families = {4}
    judged = Firewall(rules)
    assert (verdict(judged), verdict(judged, family=6)) == ("open", "unknown")
    assert judged.reach("tcp", 443, 6).reasons == ("no rules for IPv6 were found",)


def test_a_ruleset_that_is_whole_leaves_the_other_family_open() -> None:
    judged = firewall(table(incoming(ESTABLISHED), family="ip"))
    assert (verdict(judged), verdict(judged, family=6)) == ("closed", "open")


def test_a_missing_layer_makes_open_unknown_and_leaves_closed() -> None:
    missing = [Missing("iptables-legacy tables are not in the input")]
    opened = firewall(incoming(ESTABLISHED, (HTTPS, ACCEPT)), missing=missing)
    assert (reach(opened).verdict, reach(opened).reasons) == ("unknown", (missing[0].reason,))
    assert verdict(opened, 22) == "closed"
    assert reach(opened, 22).reasons == ()
    may_open = [Missing("before.rules is not in the input", may_open=True)]
    assert verdict(firewall(incoming(ESTABLISHED), missing=may_open)) == "unknown"
    six = [Missing("rules.v6 does not parse", families=(6,))]
    judged = firewall(incoming(ESTABLISHED, ND, (HTTPS, ACCEPT)), missing=six)
    assert (verdict(judged), verdict(judged, family=6)) == ("open", "unknown")


def test_a_socket_bound_to_loopback_is_closed() -> None:
    judged = firewall(incoming(policy="accept"))
    for family, address in ((4, "127.0.0.1"), (6, "::1")):
        found = judged.reach("tcp", 443, family, address)  # type: ignore[arg-type]
        assert (found.verdict, found.reasons) == ("closed", ("it is bound to loopback",))


def test_ipv6_that_is_disabled_is_closed() -> None:
    judged = firewall(incoming(policy="accept"), network=HostNetwork(ipv6=False))
    assert (verdict(judged), verdict(judged, family=6)) == ("open", "closed")


# -- interfaces


def test_the_default_routes_interface_is_the_public_one() -> None:
    base = incoming(ESTABLISHED, (iif("lan0"), ACCEPT), (iif("wan0"), HTTPS, ACCEPT))
    judged = firewall(base, network=network(public="wan0"))
    assert (verdict(judged), reach(judged).via) == ("open", ())
    assert (verdict(judged, 22), reach(judged, 22).via) == ("limited", ("lan0",))


def test_else_every_interface_that_is_named_and_not_virtual() -> None:
    base = incoming(ESTABLISHED, (iif("eth0"), HTTPS, ACCEPT), (iif("lo", "docker0"), ACCEPT))
    assert verdict(firewall(base)) == "open"
    two = incoming(
        ESTABLISHED, (iif("eth0", "eth1"), HTTPS, ACCEPT), (iif("eth1"), tcp(22), ACCEPT)
    )
    judged = firewall(two)
    assert (reach(judged).verdict, reach(judged).via) == ("open", ())
    assert (reach(judged, 22).verdict, reach(judged, 22).via) == ("limited", ("eth1",))


def test_a_virtual_interface_alone_is_limited_not_closed() -> None:
    base = incoming(ESTABLISHED, (iif("wg0"), HTTPS, ACCEPT), (iif("eth0"), tcp(22), ACCEPT))
    found = reach(firewall(base))
    assert (found.verdict, found.via) == ("limited", ("wg0",))


def test_an_interface_that_is_not_named_may_be_open() -> None:
    found = reach(firewall(incoming((iif("eth1"), DROP), policy="accept")))
    assert found.verdict == "limited"


@pytest.mark.parametrize(
    "base",
    [
        incoming(ESTABLISHED, (iif("vmi0"), ACCEPT)),
        incoming(ESTABLISHED, (iif("lo", "lan0"), ACCEPT), (iif("lan0"), tcp(22), ACCEPT)),
        incoming((iif("lan0", negate=True), DROP), policy="accept"),
        table(incoming((Verdict("jump", "user"),)), chain("user", (iif("lan0"), ACCEPT))),
    ],
)
def test_an_interface_that_is_trusted_is_not_taken_for_the_internet_s(
    base: Chain | Table,
) -> None:
    """It alone is named: the Internet may well be behind one that is not."""
    found = reach(firewall(base))
    assert found.verdict == "limited"
    assert found.via in (("vmi0",), ("lan0",))


def test_what_is_forwarded_from_an_interface_does_not_make_it_trusted() -> None:
    base = incoming(ESTABLISHED, (iif("eth0"), HTTPS, ACCEPT))
    forward = chain("forward", (iif("eth0"), ACCEPT), hook="forward", policy="drop")
    assert verdict(firewall(base, forward)) == "open"


def test_no_packet_comes_in_by_a_member_of_a_bond() -> None:
    """What a rule accepts there reaches nobody: its packets are the bond's."""
    base = incoming(ESTABLISHED, (iif("ens18"), HTTPS, ACCEPT))
    members = HostNetwork(public="bond0", inner=("ens18",))
    assert verdict(firewall(base, network=members)) == "closed"


def test_a_wildcard_hides_interfaces() -> None:
    base = incoming(ESTABLISHED, (iif("eth0"), DROP), (iif("eth*"), HTTPS, ACCEPT))
    found = reach(firewall(base))
    assert (found.verdict, found.via) == ("limited", ("eth*",))


# -- who decides


def test_the_accepting_rule_decides_an_open_port() -> None:
    base = incoming(ESTABLISHED, (tcp(22), ACCEPT), (HTTPS, ACCEPT))
    (decision,) = reach(firewall(base)).decided_by
    assert (decision.rule, decision.effect) == (base.rules[2], "accept")
    assert decision.location == base.rules[2].location
    assert (decision.hook, decision.priority, decision.family) == ("input", 0, "inet")


def test_a_policy_decides_where_no_rule_does() -> None:
    base = incoming(ESTABLISHED)
    found = reach(firewall(base))
    (decision,) = found.decided_by
    assert (decision.rule, decision.effect) == (None, "policy-drop")
    assert base.base is not None
    assert decision.location == base.base.policy_location
    assert not found.rejected
    assert reach(firewall(incoming(ESTABLISHED, (REJECT,)))).rejected
    accepting = incoming(policy="accept")
    assert reach(firewall(accepting)).decided_by[0].effect == "policy-accept"


def test_every_base_chain_that_blocks_is_named() -> None:
    raw = chain("raw", (HTTPS, DROP), hook="prerouting", priority=-300, order=1)
    native = table(incoming(), name="native")
    out = chain("out", hook="output", policy="drop", order=9)
    found = reach(firewall(table(raw, incoming(ESTABLISHED), out), native))
    assert [d.effect for d in found.decided_by] == ["drop"]
    blocked = {(d.table.name, d.chain.name, d.stage) for d in found.blocked_by}
    assert {("filter", "raw", "new"), ("filter", "input", "new"), ("native", "input", "new"),
            ("filter", "out", "answer"), ("native", "input", "established")} <= blocked  # fmt: skip


def test_the_unknown_rule_is_named_with_its_reason() -> None:
    base = incoming(ESTABLISHED, (HTTPS, match("meta.skuid", 0), ACCEPT))
    found = reach(firewall(base))
    assert found.decided_by[0].rule == base.rules[1]
    assert found.decided_by[0].effect == "unknown"
    assert "owner" in found.reasons[0]


def test_decisions_carry_their_sources() -> None:
    base = incoming(ESTABLISHED, (source("10.0.0.0/8"), HTTPS, ACCEPT), (HTTPS, REJECT))
    found = reach(firewall(base))
    by_effect = {d.effect: d for d in found.decided_by}
    assert by_effect["accept"].sources == ("10.0.0.0/8",)
    assert "11.0.0.0/8" in by_effect["reject"].sources


# -- rules that name ports


def test_openings_are_effective_shadowed_or_blocked() -> None:
    base = incoming(
        ESTABLISHED, (tcp(25), DROP), (tcp(25, 443), ACCEPT),
        (source("192.0.2.1"), tcp(22), ACCEPT), (tcp((1000, 2000)), ACCEPT),
    )  # fmt: skip
    other = table(incoming(ESTABLISHED, (tcp(22, 25), ACCEPT)), name="other", family="ip")
    judged = firewall(table(base), other)
    found = {(o.table.name, o.port): o for o in judged.openings() if o.family == 4}
    assert set(found) == {("filter", 25), ("filter", 443), ("filter", 22),
                          ("other", 22), ("other", 25)}  # fmt: skip
    smtp = found["filter", 25]
    assert not smtp.effective
    assert smtp.shadowed_by is not None
    assert smtp.shadowed_by.rule == base.rules[1]
    https = found["filter", 443]
    assert (https.effective, https.shadowed_by) == (False, None)
    assert https.blocked_by[0].table is other
    ssh = found["filter", 22]
    assert (ssh.effective, ssh.sources, ssh.closed) == (True, ("192.0.2.1/32",), ())


def test_an_accept_after_the_policys_rule_is_a_duplicate_where_the_port_is_open() -> None:
    base = incoming(ESTABLISHED, (ACCEPT,), (HTTPS, ACCEPT))
    (opening,) = [o for o in firewall(base).openings() if o.family == 4]
    assert (opening.effective, opening.closed) == (False, ())


def test_a_jump_to_a_chain_that_accepts_opens() -> None:
    limit = chain("limit-accept", (ACCEPT,))
    from sslint.netfilter.model import Verdict

    base = incoming(ESTABLISHED, (HTTPS, Verdict("jump", "limit-accept")))
    (opening,) = [o for o in firewall(base, limit).openings() if o.family == 4]
    assert (opening.port, opening.effective) == (443, True)
    assert firewall(incoming(ESTABLISHED, (HTTPS, DROP))).openings() == ()


# -- what would open it


def suggested(*parts: Chain, port: int = 443, family: int = 4) -> list[tuple[str, int, str]]:
    judged = firewall(*parts)
    found = judged.suggest_open("tcp", port, family)  # type: ignore[arg-type]
    assert found is not None
    return [(s.chain.name, s.index, s.purpose) for s in found]


def test_an_accept_goes_before_the_rule_that_drops() -> None:
    base = incoming(ESTABLISHED, (tcp(22), ACCEPT), (DROP,), (tcp(80), ACCEPT))
    assert suggested(base) == [("input", 2, "port")]
    assert suggested(incoming(ESTABLISHED, (tcp(22), ACCEPT))) == [("input", 2, "port")]


def test_all_base_chains_are_opened() -> None:
    out = chain("out", hook="output", policy="drop")
    found = suggested(incoming(ESTABLISHED, name="one"), incoming(name="two", priority=5), out)
    assert {(name, purpose) for name, _, purpose in found} == {
        ("one", "port"), ("two", "port"), ("out", "established"),
    }  # fmt: skip


def test_neighbour_discovery_is_opened_too() -> None:
    found = suggested(incoming(ESTABLISHED), family=6)
    assert {purpose for _, _, purpose in found} == {"port", "neighbour-discovery"}


def test_the_rule_stands_where_the_drop_is_even_below_a_jump() -> None:
    from sslint.netfilter.model import Verdict

    inner = chain("inner", (tcp(22), ACCEPT), (REJECT,))
    base = incoming(ESTABLISHED, (Verdict("jump", "inner"),), (tcp(443), ACCEPT))
    assert suggested(base, inner) == [("input", 1, "port")]


def test_what_is_accepted_is_not_logged_as_dropped() -> None:
    logged = (match("tcp.dport", 1),)  # a rule without a verdict
    base = incoming(ESTABLISHED, (tcp(22), ACCEPT), logged, (DROP,))
    assert suggested(base) == [("input", 2, "port")]
    assert suggested(incoming(ESTABLISHED, (tcp(22), ACCEPT), ())) == [("input", 2, "port")]


BANNED = source("203.0.113.0/24")


def test_an_accept_goes_behind_bans() -> None:
    bans = (BANNED, DROP)
    assert suggested(incoming(ESTABLISHED, bans, (tcp(22), ACCEPT))) == [("input", 3, "port")]
    assert suggested(incoming(ESTABLISHED, bans, (REJECT,))) == [("input", 2, "port")]


def test_nothing_is_suggested_that_lets_in_who_is_banned() -> None:
    from sslint.netfilter.model import Verdict

    inner = chain("inner", (BANNED, DROP), (tcp(22), ACCEPT), (DROP,))
    judged = firewall(incoming(ESTABLISHED, (Verdict("jump", "inner"),)), inner)
    assert judged.suggest_open("tcp", 443, 4) is None


def test_a_wide_ban_stays() -> None:
    half = (source("0.0.0.0/2"), DROP)
    assert suggested(incoming(ESTABLISHED, half)) == [("input", 2, "port")]
    assert firewall(incoming(ESTABLISHED, half, (ACCEPT,))).suggest_open("tcp", 443, 4) is None


def test_both_families_get_one_rule_where_one_will_do() -> None:
    base = incoming(ESTABLISHED, (source("203.0.113.0/24"), DROP), ND)
    (one,) = firewall(base).suggest_open("tcp", 443, 4, 6) or ()
    assert (one.index, one.only) == (3, None)


def test_a_rule_is_limited_to_a_family_where_it_would_let_in_who_is_banned_over_the_other() -> None:
    six = Match((Key("meta.nfproto"),), Intervals(((10, 10),)))
    base = incoming(ESTABLISHED, ND, (six, DROP), (BANNED, DROP))
    found = firewall(base).suggest_open("tcp", 443, 4, 6) or ()
    assert [(one.index, one.only) for one in found] == [(4, 4), (2, 6)]


def test_over_the_other_family_no_more_get_in_where_some_do() -> None:
    base = incoming(ESTABLISHED, ND, (source("203.0.113.0/24"), HTTPS, ACCEPT))
    (one,) = firewall(base).suggest_open("tcp", 443, 6) or ()
    assert one.only == 6
    (one,) = firewall(incoming(ESTABLISHED, ND)).suggest_open("tcp", 443, 6) or ()
    assert one.only is None


def test_a_stolen_port_cannot_be_opened_by_a_rule() -> None:
    nat = nat_chain(redirect(8443, tcp(443)))
    judged = firewall(nat, incoming(ESTABLISHED))
    assert judged.suggest_open("tcp", 443, 4) is None
    found = judged.suggest_open("tcp", 8443, 4)
    assert found is not None
    assert found[0].port == 8443


def test_what_is_not_known_cannot_be_opened() -> None:
    assert Firewall(Ruleset()).suggest_open("tcp", 443, 4) is None
    hidden = firewall(incoming(ESTABLISHED), missing=[Missing("another firewall")])
    assert hidden.suggest_open("tcp", 443, 4) is None


def test_the_addresses_that_clients_use_are_sorted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host with an address and 20,000 rules for sources took 6 ms for each port."""
    asked: list[int] = []
    use = Connections.clients_use
    monkeypatch.setattr(
        Connections, "clients_use", lambda one, family: asked.append(family) or use(one, family)
    )
    judged = firewall(incoming(ESTABLISHED, (tcp(443), ACCEPT)))
    for port in range(1, 40):
        verdict(judged, port)
    assert asked.count(4) < 5


def test_which_rules_decide_is_worked_out_when_it_is_asked() -> None:
    made = firewall(incoming((HTTPS, ACCEPT)))
    found = made.reach("tcp", 443, 4)
    assert (found.verdict, made.told) == ("open", {})
    assert [decision.effect for decision in found.decided_by] == ["accept"]
    assert made.told
    assert found.blocked_by == found.translated_by == ()
    assert (found.rejected, found.stage) == (False, "")
    assert replace(found, via=("eth0",)).decided_by == found.decided_by
    with pytest.raises(AttributeError):
        _ = found.missing  # type: ignore[attr-defined]


def test_a_glance_says_what_a_look_does() -> None:
    rules = incoming((HTTPS, ACCEPT), (tcp(80), REJECT))
    for port in (443, 80, 25):
        glanced = firewall(rules).glance(port, 4)
        looked = firewall(rules).reach("tcp", port, 4)
        assert glanced.verdict == looked.verdict
        assert [d.text for d in glanced.decided_by] == [d.text for d in looked.decided_by]
        assert glanced.rejected == looked.rejected
