"""What the proof of a fix leaves out rests on no firewall."""

from __future__ import annotations

from typing import Any

import pytest

from sslint import engine, host
from sslint.facts.collection import Facts
from sslint.fixes.proof import asks_firewall
from tests.cases import Case
from tests.test_rules import CASES, RULES, _host

APART = [rule for rule in RULES.values() if not asks_firewall(rule)]


class Untouched:
    """A firewall that nobody may ask for anything."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(f"{name} of a firewall is asked for")


@pytest.mark.parametrize("case", [c for c in CASES if not asks_firewall(RULES[c.rule])], ids=str)
def test_a_rule_that_is_left_out_asks_for_no_firewall(case: Case) -> None:
    read = host.read(_host(case))
    read.firewall = read.ruleset = read.own_ruleset = read.running = Untouched()
    for socket in read.sockets:
        socket.ipv4 = socket.ipv6 = Untouched()
    facts = Facts(read)
    for rule in APART:
        for fact in getattr(facts, rule.collection):
            rule.test(fact, facts, None)
    read.tree.close()


def test_rules_of_the_user_may_ask_for_anything() -> None:
    document = RULES["ocsp-stapling-dead"].document
    assert not asks_firewall(RULES["ocsp-stapling-dead"])
    assert asks_firewall(engine.compile_rule(document, engine.OWN))
