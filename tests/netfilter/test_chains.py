"""Control flow: what jumps, returns, maps and policies make of a packet."""

from __future__ import annotations

import pytest

from sslint.netfilter import chains
from sslint.netfilter.model import (
    Assign,
    Constant,
    Key,
    Limit,
    Match,
    Recent,
    Set,
    SetRef,
    SetUpdate,
    Unknown,
    Unmodelled,
    Verdict,
    VerdictMap,
)
from tests.netfilter.models import (
    ACCEPT,
    DROP,
    ESTABLISHED,
    REJECT,
    RETURN,
    chain,
    firewall,
    incoming,
    match,
    named,
    reach,
    rule,
    source,
    table,
    tcp,
    values,
    verdict,
)

HTTPS = tcp(443)


def test_first_match_wins() -> None:
    assert verdict(firewall(incoming(ESTABLISHED, (HTTPS, ACCEPT), (HTTPS, DROP)))) == "open"
    assert verdict(firewall(incoming(ESTABLISHED, (HTTPS, DROP), (HTTPS, ACCEPT)))) == "closed"


def test_return_and_end_of_a_chain_go_on_after_the_jump() -> None:
    for last in ((RETURN,), ()):
        rules = [last] if last else []
        callee = chain(
            "callee", (tcp(22), ACCEPT), *rules, (HTTPS, DROP) if last else (tcp(1), DROP)
        )
        caller = incoming(ESTABLISHED, (Verdict("jump", "callee"),), (HTTPS, ACCEPT))
        assert verdict(firewall(caller, callee)) == "open"


def test_return_in_a_base_chain_is_its_policy() -> None:
    assert verdict(firewall(incoming(ESTABLISHED, (HTTPS, RETURN), (HTTPS, ACCEPT)))) == "closed"
    opened = incoming((HTTPS, RETURN), (HTTPS, DROP), policy="accept")
    assert verdict(firewall(opened)) == "open"


def test_the_end_of_a_goto_returns_to_the_callers_caller() -> None:
    gone = chain("gone", (tcp(22), ACCEPT))
    middle = chain("middle", (Verdict("goto", "gone"),), (HTTPS, DROP))
    base = incoming(ESTABLISHED, (Verdict("jump", "middle"),), (HTTPS, ACCEPT))
    assert verdict(firewall(base, middle, gone)) == "open"
    direct = incoming(ESTABLISHED, (Verdict("goto", "gone"),), (HTTPS, ACCEPT))
    assert verdict(firewall(direct, gone)) == "closed"


def test_a_correlated_unknown_keeps_what_the_chain_excludes() -> None:
    inner = chain("inner", (source("10.0.0.0/8"), DROP), (HTTPS, ACCEPT))
    base = incoming(ESTABLISHED, (Unknown("a match"), Verdict("jump", "inner")))
    found = reach(firewall(base, inner))
    assert found.verdict == "unknown"
    assert "10.0.0.0/8" in found.closed
    assert found.reasons == ("a match",)


def test_a_verdict_map_misses_go_on_and_its_star_catches_what_has_the_key() -> None:
    entries = (((values(443),), ACCEPT), ((values(80),), Verdict("jump", "web")))
    web = chain("web", (ACCEPT,))
    vmap = VerdictMap((Key("tcp.dport"),), entries, DROP)
    judged = firewall(incoming(ESTABLISHED, (vmap,), (ACCEPT,)), web)
    assert [verdict(judged, port) for port in (443, 80, 25)] == ["open", "open", "closed"]
    assert verdict(judged, 443, transport="udp") == "open"  # UDP has no tcp dport
    missing = VerdictMap((Key("tcp.dport"),), entries)
    assert verdict(firewall(incoming(ESTABLISHED, (missing,), (ACCEPT,)), web), 25) == "open"


def test_a_named_verdict_map_with_concatenated_keys_and_intervals() -> None:
    keys = (Key("ip.saddr"), Key("tcp.dport"))
    found = Set(
        "m", ("ipv4_addr", "inet_service"),
        [(values("10.0.0.0/8"), values((400, 500))), (values("192.0.2.0/24"), values(443))],
        [DROP, ACCEPT],
    )  # fmt: skip
    base = incoming(ESTABLISHED, (VerdictMap(keys, SetRef("m")),))
    answer = reach(firewall(table(base, sets={"m": found})))
    assert answer.verdict == "limited"
    assert answer.open == ("192.0.2.0/24",)


def test_a_verdict_map_that_is_not_in_the_input_is_unknown() -> None:
    base = incoming(ESTABLISHED, (VerdictMap((Key("tcp.dport"),), SetRef("gone")),))
    assert verdict(firewall(base)) == "unknown"


def test_reject_with_tcp_reset_lets_datagrams_fall_through() -> None:
    reset = Verdict("reject", reject_protocol=6)
    judged = firewall(incoming((reset,), policy="accept"))
    assert verdict(judged) == "closed"
    assert reach(judged).rejected
    assert verdict(judged, transport="udp") == "open"


def test_reject_of_one_family_lets_the_other_fall_through() -> None:
    judged = firewall(incoming((Verdict("reject", reject_family=4),), policy="accept"))
    assert (verdict(judged), verdict(judged, family=6)) == ("closed", "open")


@pytest.mark.parametrize("bypass", [False, True])
def test_queue_is_for_user_space_to_decide(bypass: bool) -> None:
    judged = firewall(incoming(ESTABLISHED, (Verdict("queue", bypass=bypass),)))
    assert verdict(judged) == "unknown"
    assert verdict(firewall(incoming((Verdict("queue"),), (HTTPS, ACCEPT)))) == "unknown"


def test_continue_and_constants() -> None:
    base = incoming(
        ESTABLISHED, (HTTPS, Verdict("continue")), (Constant(False), DROP),
        (Constant(True), HTTPS, ACCEPT),
    )  # fmt: skip
    assert verdict(firewall(base)) == "open"


def test_an_unmodelled_target_is_unknown_with_its_reason() -> None:
    found = reach(firewall(incoming(ESTABLISHED, (Unmodelled("target FOO"),))))
    assert found.verdict == "unknown"
    assert found.reasons == ("target FOO",)


def test_an_unmodelled_match_is_never_guessed() -> None:
    for key in ("osf.name", "numgen.random", "meta.hour", "ether.saddr", "socket.mark", "foo.bar"):
        judged = firewall(incoming(ESTABLISHED, (HTTPS, match(key, 1), ACCEPT)))
        found = reach(judged)
        assert found.verdict == "unknown"
        assert found.reasons
        negated = firewall(incoming(ESTABLISHED, (HTTPS, match(key, 1, negate=True), ACCEPT)))
        assert verdict(negated) == "unknown"
        assert (
            verdict(firewall(incoming(ESTABLISHED, (tcp(22), match(key, 1), ACCEPT)))) == "closed"
        )


def test_loops_and_deep_jumps_are_refused_not_followed() -> None:
    a = chain("a", (Verdict("jump", "b"),))
    b = chain("b", (Verdict("jump", "a"),))
    found = reach(firewall(incoming((Verdict("jump", "a"),)), a, b))
    assert found.verdict == "unknown"
    assert "circle" in found.reasons[0]
    # A circle that no base chain reaches does load.
    assert verdict(firewall(incoming(ESTABLISHED, (HTTPS, ACCEPT)), a, b)) == "open"
    links = [chain(f"c{n}", (Verdict("jump", f"c{n + 1}"),)) for n in range(20)]
    deep = firewall(incoming((Verdict("jump", "c0"),)), *links, chain("c20", (ACCEPT,)))
    assert "deep" in reach(deep).reasons[0]
    long = [chain(f"c{n}", (Verdict("jump", f"c{n + 1}"),)) for n in range(400)]
    longest = table(
        incoming((Verdict("jump", "c0"),)), *long, chain("c400", (ACCEPT,)),
        family="ip", origin="iptables-legacy",
    )  # fmt: skip
    assert verdict(firewall(longest)) == "unknown"
    missing = firewall(incoming((Verdict("jump", "nowhere"),)))
    assert "does not exist" in reach(missing).reasons[0]


def test_a_rate_opens_the_first_connection_and_is_told() -> None:
    limited = firewall(incoming(ESTABLISHED, (HTTPS, Limit(True, "limit"), ACCEPT)))
    found = reach(limited)
    assert (found.verdict, found.rate_limited) == ("open", True)
    over = firewall(incoming(ESTABLISHED, (Limit(False, "limit over"), DROP), (HTTPS, ACCEPT)))
    assert (reach(over).verdict, reach(over).rate_limited) == ("open", True)
    log = firewall(incoming(ESTABLISHED, (Limit(True, "limit"),), (HTTPS, ACCEPT)))
    assert not reach(log).rate_limited


def test_a_rate_of_icmpv6_limits_no_port() -> None:
    """Neighbour discovery may wait for it; a port's connections do not."""
    icmpv6 = match("meta.l4proto", 58)
    base = incoming(
        ESTABLISHED, (icmpv6, Limit(True, "limit"), ACCEPT), (icmpv6, DROP), (HTTPS, ACCEPT)
    )
    found = reach(firewall(base), family=6)
    assert (found.verdict, found.rate_limited) == ("open", False)


def test_recent_lists_are_empty_on_the_first_connection() -> None:
    limit = (
        (tcp(22), Recent("list", "set")),
        (tcp(22), Recent("list", "update", 6), DROP),
        (tcp(22), ACCEPT),
    )
    found = reach(firewall(incoming(ESTABLISHED, *limit)), 22)
    assert (found.verdict, found.rate_limited) == ("open", True)
    once = ((tcp(22), Recent("list", "set")), (tcp(22), Recent("list", "rcheck", 1), DROP))
    assert verdict(firewall(incoming(*once, policy="accept")), 22) == "closed"


def test_port_knocking_is_closed_with_its_reason() -> None:
    found = reach(firewall(incoming(ESTABLISHED, (HTTPS, Recent("knock", "rcheck"), ACCEPT))))
    assert found.verdict == "closed"
    assert any("knock" in reason for reason in found.reasons)
    allowed = named("allowed", ("192.0.2.9",), dynamic=True)
    allowed.elements.clear()
    lookup = Match((Key("ip.saddr"),), SetRef("allowed"))
    base = incoming(ESTABLISHED, (HTTPS, lookup, ACCEPT))
    found = reach(firewall(table(base, sets={"allowed": allowed})))
    assert found.verdict == "closed"
    assert any("knock" in reason for reason in found.reasons)


def test_bans_at_run_time_are_told() -> None:
    banned = named("banned", ("192.0.2.9",), dynamic=True)
    lookup = Match((Key("ip.saddr"),), SetRef("banned"))
    base = incoming(ESTABLISHED, (lookup, DROP), (HTTPS, ACCEPT))
    found = reach(firewall(table(base, sets={"banned": banned})))
    assert (found.verdict, found.may_be_banned) == ("open", True)
    assert found.closed == ("192.0.2.9/32",)
    jail = chain("f2b-sshd", (RETURN,))
    jailed = incoming(ESTABLISHED, (HTTPS, Verdict("jump", "f2b-sshd")), (HTTPS, ACCEPT))
    assert reach(firewall(jailed, jail)).may_be_banned
    assert not reach(firewall(incoming(ESTABLISHED, (HTTPS, ACCEPT)))).may_be_banned


def test_what_a_packet_adds_to_a_set_is_in_it_for_later_rules() -> None:
    seen = Set("seen", ("ipv4_addr",), [], dynamic=True)
    keys = (Key("ip.saddr"),)
    base = incoming(
        ESTABLISHED, (SetUpdate(SetRef("seen"), keys), ), (Match(keys, SetRef("seen")), ACCEPT)
    )  # fmt: skip
    assert verdict(firewall(table(base, sets={"seen": seen}))) == "open"
    meter = SetUpdate(SetRef("seen"), keys, first=False, limited=True)
    metered = incoming(ESTABLISHED, (meter, DROP), (HTTPS, ACCEPT))
    found = reach(firewall(table(metered, sets={"seen": seen})))
    assert (found.verdict, found.rate_limited) == ("open", True)


def test_an_entry_with_a_limit_of_its_own_is_asked_at_each_lookup() -> None:
    keys = (Key("ip.saddr"),)
    over = SetUpdate(SetRef("seen"), keys, "update", first=False, limited=True)
    seen = {"seen": Set("seen", ("ipv4_addr",), [], dynamic=True)}
    base = incoming(ESTABLISHED, (over, DROP), (HTTPS, Match(keys, SetRef("seen")), ACCEPT))
    found = reach(firewall(table(base, sets=seen)))
    assert found.verdict == "unknown"
    assert "limits of its own" in found.reasons[0]


def test_sets_of_one_name_belong_to_their_tables() -> None:
    keys = (Key("ip.saddr"),)
    adds = table(
        incoming(ESTABLISHED, (SetUpdate(SetRef("seen"), keys), HTTPS, ACCEPT), policy="accept"),
        sets={"seen": Set("seen", ("ipv4_addr",), [], dynamic=True)},
    )
    other = Set("seen", ("ipv4_addr",), [(values("192.0.2.0/24"),)])
    drops = table(
        incoming((Match(keys, SetRef("seen")), DROP), policy="accept", priority=10),
        family="ip", name="other", sets={"seen": other},
    )  # fmt: skip
    found = reach(firewall(adds, drops))
    assert (found.verdict, found.closed) == ("open", ("192.0.2.0/24",))


def test_a_set_that_is_missing_or_unknown_is_not_guessed() -> None:
    lookup = Match((Key("ip.saddr"),), SetRef("absent"))
    found = reach(firewall(incoming(ESTABLISHED, (lookup, DROP), (HTTPS, ACCEPT))))
    assert found.verdict == "unknown"
    assert "absent" in found.reasons[0]
    hidden = Set("absent", ("ipv4_addr",), [], unknown="filled by a script")
    base = incoming(ESTABLISHED, (lookup, HTTPS, ACCEPT))
    found = reach(firewall(table(base, sets={"absent": hidden})))
    assert found.reasons == ("filled by a script",)
    empty = Set("absent", ("ipv4_addr",), [])
    base = incoming(ESTABLISHED, (lookup, HTTPS, ACCEPT))
    assert verdict(firewall(table(base, sets={"absent": empty}))) == "closed"


def test_the_most_specific_entry_of_an_ipset_decides() -> None:
    found = Set(
        "nets", ("ipset:hash:net", "inet"), [(values("10.0.0.0/8"),), (values("10.1.2.0/24"),)],
        holes=[(values("10.1.0.0/16"),)],
    )  # fmt: skip
    lookup = Match((Key("ip.saddr"),), SetRef("nets"))
    base = incoming(ESTABLISHED, (lookup, HTTPS, ACCEPT))
    judged = firewall(table(base, family="ip"), ipsets={"nets": found})
    answer = reach(judged)
    assert "10.1.2.0/24" in answer.open
    assert "10.2.0.0/15" in answer.open
    assert not any(block.startswith("10.1.0") for block in answer.open)


def test_a_rule_without_a_verdict_changes_nothing() -> None:
    assert verdict(firewall(incoming(ESTABLISHED, (HTTPS,), (HTTPS, ACCEPT)))) == "open"
    assert verdict(firewall(incoming(ESTABLISHED, (), (HTTPS, REJECT)))) == "closed"


def test_rules_with_the_same_verdict_are_told_apart() -> None:
    base = incoming(ESTABLISHED, policy="accept")
    banned = [rule(source(f"{n}.0.0.0/8"), DROP) for n in range(20, 80)]
    base.rules += banned
    found = reach(firewall(base))
    assert found.verdict == "limited"
    drops = [d for d in found.decided_by if d.effect == "drop"]
    assert drops
    assert all(d.rule in banned and len(d.sources) == 1 for d in drops)
    many = incoming(ESTABLISHED, policy="drop")
    many.rules += [rule(source(f"20.{n // 256}.{n % 256}.0/24"), DROP) for n in range(5000)]
    found = reach(firewall(many))
    assert found.verdict == "closed"
    assert found.decided_by[0].effect == "policy-drop"  # decides for most
    together = next(d for d in found.decided_by if d.more)
    assert together.more > 4000


def test_rules_about_other_ports_are_passed_by(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of rules that no batch takes may name one port each; a port may be rewritten."""
    run: list[int] = []
    each = chains._Run.run
    monkeypatch.setattr(chains._Run, "run", lambda one, *more: run.append(1) or each(one, *more))
    rate = Limit(True, "limit")
    many = [(tcp(port), rate, ACCEPT) for port in range(1000, 1200)]
    judged = firewall(incoming(ESTABLISHED, *many, policy="drop"))
    assert verdict(judged, 1150) == "open"
    assert len(run) < 20
    moved = Assign(Key("tcp.dport"), xor=1150)
    there = firewall(incoming(ESTABLISHED, (tcp(443), moved), *many, policy="drop"))
    assert reach(there, 443).verdict != "closed"
