"""The rule language: three-valued, closed, and strict about what it is told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sslint import engine
from sslint.engine import Span, compile_rule, fill, order_causes, run
from sslint.errors import UsageError
from sslint.source import SourceFile


class Made(SimpleNamespace):
    """A fact of which nothing is known but what a test says."""

    span = None
    subjects = frozenset()

    def __getattr__(self, _name: str) -> None:
        return None


def service(port: int = 443, **fields: Any) -> Made:
    own = {"entity": f"nginx tcp/{port}", "subjects": frozenset({("tcp", port)})}
    return Made(**{"transport": "tcp", "port": port, **own, **fields})


def rule(**parts: Any) -> engine.Rule:
    document = {
        "name": "test-rule",
        "severity": "error",
        "summary": "s",
        "each": "service",
        "message": "m",
        "why": "w",
        **parts,
    }
    return compile_rule(document, "test")


def found(rules: list[engine.Rule], *services: Made) -> list[engine.Finding]:
    return run(rules, SimpleNamespace(services=services))


def fires(fact: Made, *others: Made, **parts: Any) -> bool:
    return fact in [finding.fact for finding in found([rule(**parts)], fact, *others)]


@pytest.mark.parametrize(
    ("condition", "value", "expected"),
    [
        (443, 443, True),
        ([80, 443], 443, True),
        ([80], 443, False),
        ({"not": 80}, 443, True),
        ({"lt": 1024}, 443, True),
        ({"gt": 1024}, 443, False),
        ({"exists": True}, 443, True),
        ({"exists": False}, None, True),
        (443, None, False),
        ({"not": 80}, None, False),
        ({"lt": 1024}, None, False),
    ],
)
def test_conditions(condition: Any, value: Any, expected: bool) -> None:
    assert fires(service(port=value), match={"port": condition}) is expected


def test_unknown_makes_neither_a_condition_nor_its_negation_true() -> None:
    fact = service(reach=Made())
    assert not fires(fact, match={"reach.public": "closed"})
    assert not fires(fact, match={"reach.public": {"not": "closed"}})
    assert not fires(fact, unless=[{"reach.public": "closed"}])


def test_either_needs_one() -> None:
    fact = service(announced=False, attempted=True)
    assert fires(fact, either=[{"announced": True}, {"attempted": True}])
    assert not fires(fact, either=[{"announced": True}])


def test_a_rule_asks_no_more_of_facts_that_its_first_conditions_exclude() -> None:
    class Udp(Made):
        @property
        def tls(self) -> None:
            raise AssertionError("it fires on no such port")

    facts = [service(), service(80), Udp(transport="udp", port=53, entity="53"), service()]
    https = rule(match={"transport": "tcp", "port": 443, "offers_tls": {"not": False}})
    quic = rule(match={"transport": "udp", "port": 443, "tls": "implicit"})
    assert not found([https], *facts)
    for fact in facts:
        fact.offers_tls = True
    assert [f.fact for f in found([https, quic, https], *facts)] == [facts[0], facts[3]] * 2


def test_a_field_that_is_a_mapping_has_no_value_that_a_rule_names() -> None:
    assert not fires(service(settings={"a": "b"}), match={"settings": "a", "port": 443})


def test_relation_compares_with_the_fact_that_is_looked_at() -> None:
    quic, tcp = service(transport="udp"), service()
    parts = {
        "match": {"transport": "udp"},
        "any_of": {"host.services": {"transport": "tcp", "port": {"same_as": "port"}}},
    }
    assert fires(quic, tcp, **parts)
    assert not fires(quic, service(port=8443), **parts)


def test_lists_are_asked_with_any_and_none() -> None:
    fact = service(names=["a.example", "b.example"])
    assert fires(fact, match={"names": {"any": "a.example"}})
    assert fires(fact, match={"names": {"any": {"matches": "^b"}}})
    assert fires(fact, match={"names": {"none": {"matches": "^c"}}})
    assert not fires(fact, match={"names": {"none": {"matches": "^b"}}})


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"match": {"prot": 443}}, "did you mean 'port'"),
        ({"match": {"reach.pubic": "open"}}, "did you mean 'public'"),
        ({"match": {"port": {"less": 5}}}, "unknown operator 'less'"),
        ({"any_of": {"host.service": {"port": 1}}}, "did you mean 'host.services'"),
        ({"mtach": {}}, "did you mean 'match'"),
        ({"severity": "fatal"}, "a severity is one of"),
        ({"message": "{prot}"}, "did you mean 'port'"),
        ({"each": "servce"}, "did you mean 'service'"),
        ({"match": {"tls": "implict"}}, "'implict' is none of .*, did you mean 'implicit'"),
        ({"match": {"tls": {"not": ["implict"]}}}, "did you mean 'implicit'"),
        ({"match": {"server": {"gt": 5}}}, "the operator needs integer or number"),
        ({"match": {"port": {"any": 443}}}, "the operator needs array"),
    ],
)
def test_a_malformed_rule_is_an_error_with_a_hint(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        rule(**parts)


def test_severity_takes_the_first_case_that_certainly_holds() -> None:
    cases = [{"when": {"announced": True}, "is": "error"}, "info"]
    assert found([rule(severity=cases)], service(announced=True))[0].severity == "error"
    assert found([rule(severity=cases)], service())[0].severity == "info"


def test_fill_joins_lists_and_says_what_is_not_known() -> None:
    fact = service(names=["a", "b"])
    assert fill("{entity}: {names} {tls}", fact) == "nginx tcp/443: a, b ?"


def test_a_consequence_is_folded_into_its_root() -> None:
    root = rule(name="root-cause")
    middle = rule(name="middle", consequence_of=["root-cause"])
    leaf = rule(name="leaf", severity="warning", consequence_of=["middle"])
    ordered = order_causes(found([leaf, middle, root], service(), service(port=80)))
    assert [(f.rule.name, f.fact.entity) for f in ordered] == [
        ("root-cause", "nginx tcp/443"),
        ("root-cause", "nginx tcp/80"),
    ]
    assert {f.rule.name for f in ordered[0].also_affects} == {"middle", "leaf"}


def test_without_its_cause_a_consequence_speaks() -> None:
    leaf = rule(name="leaf", consequence_of=["root-cause"])
    assert [f.rule.name for f in order_causes(found([leaf], service()))] == ["leaf"]


def test_select_names_what_it_does_not_know() -> None:
    with pytest.raises(UsageError, match="did you mean 'tls-port-closed'"):
        engine.select(engine.bundled(), ["tls-port-close"])
    wanted, deselected = engine.select(engine.bundled(), ["tls"])
    assert {r.family for r in wanted} == {"tls"}
    assert not deselected


def test_select_returns_the_ignored_rules_apart() -> None:
    wanted, deselected = engine.select(engine.bundled(), ["tls", "renewal"], ["renewal"])
    assert {r.family for r in wanted} == {"tls"}
    assert {r.family for r in deselected} == {"renewal"}


def test_a_silenced_cause_hides_its_consequences_and_a_silenced_consequence_only_itself() -> None:
    root = rule(name="root-cause", severity="warning")
    middle = rule(name="middle", consequence_of=["root-cause"])
    leaf = rule(name="leaf", severity="info", consequence_of=["middle"])
    three = found([leaf, middle, root], service())
    three[1].silenced = True
    [only] = order_causes(three)
    assert (only.rule.name, only.severity) == ("root-cause", "warning")
    assert [f.rule.name for f in only.also_affects] == ["leaf"]
    three = found([leaf, middle, root], service())
    three[2].silenced = True
    assert order_causes(three) == []


def test_words_say_what_a_code_means() -> None:
    words = {"tls": {"none": "in clear", "implicit": "over TLS"}, "port": "8443"}
    assert fill("{port} {tls}", service(tls="none"), words) == "443 in clear"
    assert fill("{port}", service(port=None), words) == "8443"
    assert engine.described("{port} {tls}", words) == "8443 in clear, or over TLS"
    words = {"tls": {"none": "in clear on {port}", "unknown": "somehow", "*": "with {tls}"}}
    assert fill("{tls}", service(tls="none"), words) == "in clear on 443"
    assert fill("{tls}", service(), words) == "somehow"
    assert fill("{tls}", service(tls="starttls"), words) == "with starttls"
    assert fill("{names|and}", service(names=["a", "b"]), {"names": {"a": "one"}}) == "one and b"


def test_a_field_in_the_words_of_a_rule_is_quoted_where_it_may_be_pasted() -> None:
    words = {"tls": {"none": "run `x {port}`"}}
    assert fill("{tls}", service(port="a;b", tls="none"), words, to_paste=True) == "run `x 'a;b'`"


def test_a_long_list_is_counted() -> None:
    names = [f"{letter}.example" for letter in "abcdefgh"]
    assert fill("{names|or}", service(names=names[:3])) == "a.example, b.example or c.example"
    assert fill("{names|or}", service(names=names[:1])) == "a.example"
    assert fill("reload {names|blank}", service(names=names[:2])) == "reload a.example b.example"
    assert fill("{names|and}", service(names=names)).endswith("e.example and 3 more")


def test_a_finding_stands_where_its_rule_says() -> None:
    file = SourceFile("/a", "a", "one\ntwo\n")
    here, there = Span(file.at(1), "first"), Span(file.at(2), "second")
    fact = service(span=here, sockets=(there,), deciding=())
    assert found([rule(at="sockets")], fact)[0].span is there
    assert found([rule(at="deciding")], fact)[0].span is here


def test_severities_are_listed_worst_first() -> None:
    cases = [{"when": {"port": 1}, "is": "error"}, {"when": {"port": 2}, "is": "warning"}, "info"]
    assert rule(severity=cases).possible == ("error", "warning", "info")
