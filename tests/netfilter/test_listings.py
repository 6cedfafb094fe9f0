"""Rules that are read together are those that would be read one by one, and decide the same."""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import pytest

from sslint.firewalls import iptables
from sslint.firewalls.errors import RulesetError
from sslint.firewalls.iptables import dump
from sslint.netfilter import batches, by_port, chains, notes
from sslint.netfilter.model import Chain, Listing, Ruleset
from sslint.netfilter.reach import Firewall
from sslint.source import SourceFile

SEED = int(os.environ["SSLINT_SEED"])
HEAD = ["*filter", ":INPUT DROP [0:0]", ":FORWARD DROP [0:0]", ":OUTPUT ACCEPT [0:0]",
        ":own - [0:0]", "-A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT"]  # fmt: skip
TAIL = ["-A INPUT -p tcp -m tcp --dport 443 -j ACCEPT", "-A INPUT -j own", "COMMIT", ""]
SHAPES = (
    "-A INPUT -s {address} -j {target}",
    "-A own -s {address} -j {target}",
    "-A INPUT ! -s {address} -j {target}",
    "-A INPUT -s {address} -p tcp -m tcp --dport {port} -j {target}",
    "-A INPUT -s {address} -p tcp -m tcp --sport {port} --dport {port} -j {target}",
    "-A INPUT -p udp -m udp --dport {port} -j {target}",
    "-A INPUT -s {address} -d 192.0.2.1/32 -p tcp -m tcp --dport 443 -j {target}",
    "-A INPUT -s {address} -i eth0 -m conntrack --ctstate NEW -j {target}",
    "-A INPUT -d {address} -j {target}",
    "-A INPUT -s {address} -m mark --mark 0x1 -j {target}",
    '-A INPUT -s {address} -m comment --comment "a -s 1.2.3.4 -j b" -j {target}',
    "[1:2] -A INPUT -s {address} -j {target}",
)
TARGETS = ("ACCEPT", "DROP", "DROP", "RETURN", "own", "REJECT")


def _address(choose: random.Random) -> str:
    plain = f"8.0.{choose.randrange(4)}.{choose.randrange(32)}"
    return plain + choose.choice(("/32", "/32", "/32", "", "/30", "/255.255.255.254", "/0"))


def _lines(choose: random.Random) -> list[str]:
    """Return rows of lines that are alike, with others among them."""
    lines: list[str] = []
    for _ in range(choose.randrange(1, 6)):
        shape, other = choose.sample(SHAPES, 2)
        targets = choose.sample(TARGETS, choose.randrange(1, 4))
        plain = choose.random() < 0.6
        for _ in range(choose.randrange(1, 150)):
            line = other if not plain and choose.random() < 0.05 else shape
            address = f"8.0.{choose.randrange(4)}.{choose.randrange(64)}" if plain else ""
            port = choose.choice((443, 443, 80, choose.randrange(1, 65536)))
            lines.append(
                line.format(
                    address=address or _address(choose), port=port, target=choose.choice(targets)
                )
            )
            if line.startswith("-A own"):  # which no loop may lead to
                lines[-1] = lines[-1].replace("-j own", "-j DROP")
        lines += choose.choice(([], [], [""], ["# a comment"], ["-A INPUT -i lo -j ACCEPT"]))
    return [*HEAD, *lines, *TAIL]


def _read(text: str) -> Ruleset:
    ruleset = Ruleset()
    iptables.read(SourceFile("/rules.v4", "rules.v4", text), 4, into=ruleset)
    return ruleset


def _rules(ruleset: Ruleset) -> list[object]:
    chains = [chain for table in ruleset.tables for chain in table.chains.values()]
    return [
        (rule.items, rule.label, rule.location.line, rule.location.column, rule.location.end)
        for chain in chains
        for rule in chain.rules
    ]


def _answers(text: str) -> list[object]:
    """Return what is read of a text and what it decides, or why it is refused."""
    try:
        firewall = Firewall(_read(text))
    except RulesetError as error:
        return [str(error)]
    found: list[object] = []
    for transport, port in (("tcp", 443), ("tcp", 80), ("udp", 443)):
        reach = firewall.reach(transport, port, 4)  # type: ignore[arg-type]
        shown = [
            [(one.text, one.effect, str(one.location), one.sources, one.more) for one in each]
            for each in (reach.decided_by, reach.blocked_by, reach.translated_by)
        ]
        found += [reach.verdict, reach.opened.mask, reach.shut.mask, reach.reasons, shown]
    return [*found, *_rules(firewall.ruleset)]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Return what sets the number of lines from which on they are read together."""
    for module in (batches, chains):
        monkeypatch.setattr(module, "MANY", 4)
    monkeypatch.setattr(by_port, "LONG", 30)
    monkeypatch.setattr(notes, "MAX_CREDITED", 8)
    monkeypatch.setattr(batches, "MAX_CREDITED", 8)
    return lambda number: monkeypatch.setattr(dump, "MANY", number)


@pytest.mark.parametrize("seed", range(SEED, SEED + 150))
def test_what_is_read_together_is_what_is_read_one_by_one(
    seed: int, small: Callable[[int], None]
) -> None:
    choose = random.Random(seed)
    lines = _lines(choose)
    text = choose.choice(("\n", "\n", "\n", "\n", "\r\n")).join(lines)
    small(1 << 30)
    apart = _answers(text)
    small(choose.choice((1, 2, 5)))
    assert _answers(text) == apart


def _chain(*lines: str) -> Chain:
    ruleset = _read("\n".join([*HEAD, *lines, *TAIL]))
    return ruleset.tables[0].chains["INPUT"]


def test_rules_that_differ_in_their_numbers_and_verdict_are_a_listing() -> None:
    lines = [
        f"-A INPUT -s 8.0.{n >> 8}.{n & 255}/32 -p tcp -m tcp --dport {n + 1} -j "
        + ("DROP" if n % 3 else "ACCEPT")
        for n in range(500)
    ]
    parts = _chain(*lines).parts
    listings = [part for part in parts if isinstance(part, Listing)]
    assert len(listings) == 1
    assert len(listings[0]) > 400
    assert listings[0].rule(7) is listings[0].rule(7)


@pytest.mark.parametrize(
    "line",
    [
        "-A INPUT -s 8.0.0.999/32 -j DROP",
        "-A INPUT -s 8.0.0.1/33 -j DROP",
        "-A INPUT -s 8.0.0.1/32 -j DROP ",
        "-A INPUT -s 8.0.0.1/32  -j DROP",
        "-A INPUT -s 010.0.0.1/32 -j DROP",
        "-A INPUT -s 8.1 -j DROP",
        "-A INPUT -s 8.0.0.1/32 -j DROP -j DROP",
        "-A INPUT -s 8.0.0.1/32 -j NOWHERE",
        "-A INPUT -s 8.0.0.1/0 -j DROP",
        "-A INPUT -s ::1 -j DROP",
        "-A INPUT -s dead.beef -j DROP",
        "-A INPUT -s \u0668.0.0.1 -j DROP",
        "-I INPUT 3 -s 8.0.0.1/32 -j DROP",
        "-D INPUT -s 8.0.0.1/32 -j DROP",
        "-D INPUT 4",
        "-F INPUT",
        ":INPUT ACCEPT [0:0]",
        "COMMIT",
        "\r-A INPUT -s 8.0.0.1/32 -j DROP",
        "-A INPUT -s 8.0.0.1/32 -j DROP\x0b",
    ],
)
def test_a_line_that_is_not_quite_like_the_others_is_read_as_ever(
    line: str, small: Callable[[int], None]
) -> None:
    alike = [f"-A INPUT -s 8.0.0.{n}/32 -j DROP" for n in range(80)]
    text = "\n".join([*HEAD, *alike[:40], line, *alike[40:], *TAIL])
    small(1 << 30)
    apart = _answers(text)
    small(2)
    assert _answers(text) == apart
