"""Long chains whose rules name a port: only those that concern a packet are run."""

from __future__ import annotations

import random

import pytest

from sslint.firewalls import iptables
from sslint.netfilter import by_port
from sslint.netfilter.model import Ruleset
from sslint.netfilter.reach import Firewall
from sslint.tree import Tree

TARGETS = ("ACCEPT", "DROP", "ACCEPT", "DROP", "REJECT", "RETURN")
MATCHES = (
    "-m conntrack --ctstate NEW",
    "-m conntrack --ctstate RELATED,ESTABLISHED",
    "-m limit --limit 3/min",
    "-i lo",
    "-m set --match-set banned src",
    "! -d 192.0.2.1",
)


def _rule(choose: random.Random) -> str:
    words = ["-A INPUT"]
    if choose.random() < 0.6:
        negated = choose.choice(("", "", "! "))
        words.append(f"{negated}-s {choose.randrange(1, 6)}.0.0.0/{choose.choice((8, 9, 32))}")
    protocol = choose.choice(("tcp", "tcp", "udp"))
    if choose.random() < 0.95:
        words.append(f"-p {protocol}")
        if choose.random() < 0.9:
            ports = choose.choice(("80", "443", "8080", "400:500", str(choose.randrange(65536))))
            which = choose.choice(("--dport", "--dport", "--dport", "--sport"))
            words.append(f"-m {protocol} {choose.choice(('', '', '! '))}{which} {ports}")
    if choose.random() < 0.05:
        words.append(choose.choice(MATCHES))
    return " ".join([*words, f"-j {choose.choice(TARGETS)}"])


def _firewall(text: str) -> Firewall:
    ruleset = Ruleset()
    tree = Tree(None, overlay={"/rules.v4": text})
    iptables.read(tree.read("/rules.v4"), 4, into=ruleset)
    ruleset.families = {4}
    return Firewall(ruleset)


def _answers(text: str) -> list[object]:
    firewall = _firewall(text)
    found: list[object] = []
    for transport, port in (("tcp", 443), ("udp", 443), ("tcp", 80), ("tcp", 9)):
        traced = firewall.trace_port(transport, port, 4, None, None)
        reach = traced.reach
        found.append((reach.verdict, reach.open, reach.closed, reach.unknown, reach.reasons))
        found.append([(str(d.location), d.effect) for d in (*reach.decided_by, *reach.blocked_by)])
        found += [
            (s.effect, s.text, s.stage, s.more, s.sources and s.sources.cidrs) for s in traced.steps
        ]
    return found


@pytest.mark.parametrize("seed", range(60))
def test_rules_of_other_ports_change_nothing(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    choose = random.Random(seed)
    rules = [_rule(choose) for _ in range(choose.choice((6, 20, 60)))]
    policy = choose.choice(("ACCEPT", "DROP"))
    text = "\n".join(["*filter", f":INPUT {policy} [0:0]", *rules, "COMMIT", ""])
    wanted = _answers(text)
    monkeypatch.setattr(by_port, "LONG", 2)
    monkeypatch.setattr(by_port, "MOST", 60)
    assert _answers(text) == wanted


def test_a_rule_that_may_change_the_packet_keeps_all_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_port, "LONG", 1)
    lines = ["*filter", ":INPUT DROP [0:0]", ":own - [0:0]", "-A INPUT -p tcp --dport 1 -j DROP"]
    for last, known in (("-j ACCEPT", True), ("-j own", False), ("-j MARK --set-mark 1", False)):
        firewall = _firewall("\n".join([*lines, f"-A INPUT {last}", "COMMIT", ""]))
        chain = firewall.ruleset.tables[0].chains["INPUT"]
        assert (by_port.port_rules(chain) is not None) is known


def test_a_port_that_no_rule_names_leaves_the_rules_to_others() -> None:
    lines = ["*filter", ":INPUT DROP [0:0]", ":own - [0:0]", "-A INPUT -j own"]
    lines += [f"-A own -p tcp -m tcp --dport {port} -j ACCEPT" for port in range(1, 1100)]
    firewall = _firewall("\n".join([*lines, "COMMIT", ""]))
    verdicts = [firewall.reach("tcp", port, 4).verdict for port in (2000, 443)]
    assert verdicts == ["closed", "open"]
