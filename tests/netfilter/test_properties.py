"""Held against a second, naive reading: one packet, one rule after the other."""

from __future__ import annotations

import random
from ipaddress import ip_address, ip_network

import pytest

from sslint.netfilter.model import Chain, Intervals, Key, Match, Rule, RuleItem, Verdict
from sslint.netfilter.trace import Packet
from tests.netfilter.models import (
    ACCEPT,
    ESTABLISHED,
    chain,
    firewall,
    here,
    incoming,
    mark,
    match,
    nat_chain,
    redirect,
    source,
    table,
    tcp,
)

PORTS = (22, 80, 443, 8443)
NETS = ("10.0.0.0/8", "203.0.113.0/24", "203.0.113.128/25", "0.0.0.0/1", "198.51.100.7/32")


def random_match(rnd: random.Random) -> RuleItem:
    kind = rnd.randrange(5)
    if kind == 0:
        return source(*rnd.sample(NETS, 2), negate=rnd.random() < 0.3)
    if kind == 1:
        return tcp(*rnd.sample(PORTS, 2))
    if kind == 2:
        return match("meta.mark", rnd.randrange(3))
    if kind == 3:
        return match("tcp.sport", (1024, 30000), negate=rnd.random() < 0.5)
    pair = tuple(
        (Intervals(((int(ip_network(net)[0]), int(ip_network(net)[-1])),)),
         Intervals(((port, port),)))
        for net, port in zip(rnd.sample(NETS, 2), rnd.sample(PORTS, 2), strict=True)
    )  # fmt: skip
    return Match((Key("ip.saddr"), Key("tcp.dport")), pair, rnd.random() < 0.3)


def random_chain(rnd: random.Random, name: str, callees: list[str], **base: object) -> Chain:
    made = chain(name, **base)
    for _ in range(rnd.randrange(1, 7)):
        items: list[RuleItem] = [random_match(rnd) for _ in range(rnd.randrange(3))]
        if rnd.random() < 0.15:
            items.insert(rnd.randrange(len(items) + 1), mark(rnd.randrange(3)))
        kinds = ["accept", "drop", "return"] + ["jump", "goto"] * bool(callees)
        kind = rnd.choice(kinds)
        target = rnd.choice(callees) if kind in ("jump", "goto") else ""
        items.append(Verdict(kind, target))  # type: ignore[arg-type]
        made.rules.append(Rule(tuple(items), here()))
    return made


def random_chains(rnd: random.Random) -> list[Chain]:
    leaf = random_chain(rnd, "leaf", [])
    middle = random_chain(rnd, "middle", ["leaf"])
    chains = [leaf, middle]
    names = ["leaf", "middle"]
    for number in range(rnd.randrange(1, 3)):
        policy = rnd.choice(("accept", "drop"))
        hook = rnd.choice(("prerouting", "input", "input"))
        base = {"hook": hook, "priority": rnd.choice((-150, 0, 10)), "policy": policy}
        chains.append(random_chain(rnd, f"base{number}", names, order=number, **base))
    return chains


class Naive:
    """The kernel's loop, for one packet."""

    def __init__(self, chains: list[Chain], src: int, sport: int, dport: int) -> None:
        self.chains = {c.name: c for c in chains}
        self.fields = {"ip.saddr": src, "tcp.sport": sport, "tcp.dport": dport, "meta.mark": 0}

    def holds(self, item: Match) -> bool:
        values = [self.fields[key.name] for key in item.keys]
        elements = item.values if isinstance(item.values, tuple) else ((item.values,),)
        found = any(
            all(any(a <= v <= b for a, b in f.items) for f, v in zip(e, values, strict=True))  # type: ignore[union-attr]
            for e in elements  # type: ignore[union-attr]
        )
        return found != item.negate

    def run(self, name: str) -> str:
        """Return accept, drop, or return."""
        for rule in self.chains[name].rules:
            for item in rule.items:
                if isinstance(item, Match):
                    if not self.holds(item):
                        break
                elif isinstance(item, Verdict):
                    if item.kind in ("jump", "goto"):
                        result = self.run(item.chain)
                        if result != "return" or item.kind == "goto":
                            return result
                    else:
                        return item.kind
                else:
                    self.fields["meta.mark"] = item.xor  # type: ignore[union-attr]
        return "return"

    def judge(self) -> str:
        bases = [c for c in self.chains.values() if c.base is not None]
        hooks = {"prerouting": 0, "input": 1}
        bases.sort(key=lambda c: (hooks[c.base.hook], c.base.priority, -c.order))  # type: ignore[union-attr]
        for base in bases:
            result = self.run(base.name)
            if result == "drop" or (result == "return" and base.base.policy == "drop"):  # type: ignore[union-attr]
                return "drop"
        return "accept"


@pytest.mark.parametrize("seed", range(60))
def test_packets_and_source_sets_agree_with_the_naive_reading(seed: int) -> None:
    rnd = random.Random(seed)
    chains = random_chains(rnd)
    judged = firewall(table(*chains, family="ip"))
    for _ in range(40):
        net = ip_network(rnd.choice((*NETS, "0.0.0.0/0")))
        src = int(net[0]) + rnd.randrange(net.num_addresses)
        sport, dport = rnd.choice((1024, 30000, 30001, 65535)), rnd.choice((*PORTS, 25))
        text = str(ip_address(src))
        answer = Naive(chains, src, sport, dport).judge()
        packet = Packet("tcp", text, "198.51.100.1", sport, dport)
        assert judged.judge(packet).verdict == answer
        question = judged.connections.question("tcp", dport, 4, None, False)
        start = judged.connections.start(question, dport, question.destinations[0], "*")
        arrival = judged.hooks.arrive(
            {start._replace(sport=sport): judged.universes[4].full}, (), _log()
        )
        bit = judged.universes[4].bit(src)
        passed = any(mask & bit for mask in arrival.local.values())
        assert passed == (answer == "accept")
        # a source that certainly reaches the port does so from every port of its own
        if judged.connections.sets(question, "*").sets.open & bit:
            assert answer == "accept"


def _log() -> object:
    from sslint.netfilter.hooks import Log

    return Log()


@pytest.mark.parametrize("seed", range(40))
def test_what_is_suggested_opens(seed: int) -> None:
    rnd = random.Random(1000 + seed)
    chains = random_chains(rnd)
    if rnd.random() < 0.3:
        chains.append(nat_chain(redirect(8443, tcp(443)), order=50))
    if rnd.random() < 0.5:
        chains.append(chain("out", hook="output", policy="drop", order=60))
    judged = firewall(table(*chains, family="ip"))
    for port in PORTS:
        found = judged.suggest_open("tcp", port, 4)
        if found is None:
            reach = judged.reach("tcp", port, 4)
            # A redirect takes it, or the accept would let in who is banned.
            assert reach.reached_as == () or any(map(_bans, chains))
            continue
        opened = [Chain(c.name, c.location, c.base, list(c.rules), c.order) for c in chains]
        by_name = {c.name: c for c in opened}
        for suggestion in reversed(found):
            rules = by_name[suggestion.chain.name].rules
            index = next((n for n, r in enumerate(rules) if r is suggestion.before), len(rules))
            rules.insert(index, suggestion.rule)
        reach = firewall(table(*opened, family="ip")).reach("tcp", port, 4)
        assert reach.verdict == "open" or 0.5 < reach.public_share < 1


def _bans(chain: Chain) -> bool:
    """Tell whether a chain may drop single networks, or lead them to what drops them."""
    kinds = ("drop", "jump", "goto")
    return any(
        isinstance(rule.items[-1], Verdict)
        and rule.items[-1].kind in kinds
        and "ip.saddr" in str(rule.items)
        for rule in chain.rules
    )


def test_the_plain_case_is_suggested() -> None:
    judged = firewall(incoming(ESTABLISHED, (tcp(22), ACCEPT)))
    assert judged.suggest_open("tcp", 443, 4)
