"""The same rulesets as text and as JSON, which no one here wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from sslint.netfilter.model import (
    Base,
    Chain,
    Intervals,
    Key,
    Match,
    Rule,
    Ruleset,
    Source,
    Table,
    Verdict,
)
from sslint.netfilter.reach import Firewall
from tests.firewalls.nft_models import comparable, read_json, read_text
from tests.support import CORPORA

PAIRS = sorted((CORPORA / "nft-pairs").glob("*.nft"))

pytestmark = pytest.mark.skipif(not PAIRS, reason=f"{CORPORA} has no nft-pairs/")


@pytest.fixture(params=PAIRS, ids=lambda path: path.stem)
def pair(request: pytest.FixtureRequest) -> tuple[Ruleset, Ruleset]:
    path: Path = request.param
    return read_text(path.read_text()), read_json(path.with_suffix(".json").read_text())


def test_models_are_equal(pair: tuple[Ruleset, Ruleset]) -> None:
    text, listing = pair
    assert comparable(text) == comparable(listing)


ESTABLISHED = Match((Key("ct.state"),), Intervals(((2, 2),)), test="any")


def hung(table: Table, chain: Chain) -> Ruleset:
    """Return a ruleset in which packets to this host go through one chain."""
    rule = Rule((Verdict("jump", chain.name),), chain.location)
    base = Base("filter", "input", 0, "drop")
    start = Chain("synthetic input", chain.location, base, [rule])
    chains = {name: held for name, held in table.chains.items() if held.base is None}
    chains |= {chain.name: Chain(chain.name, chain.location, None, chain.rules)}
    chains[start.name] = start
    # Established connections are let through, so that a chain's answer to a new one decides.
    passed = Rule((ESTABLISHED, Verdict("accept")), chain.location)
    start.rules.insert(0, passed)
    tables = [Table(table.family, table.name, chains, table.sets)]
    return Ruleset(tables=tables, sources=[Source("nft", "synthetic")], families={4, 6})


def verdicts(ruleset: Ruleset) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    for table in ruleset.tables:
        if table.family not in ("ip", "ip6", "inet"):
            continue
        for chain in sorted(table.chains.values(), key=lambda chain: chain.name):
            firewall = Firewall(hung(table, chain))
            for family in (4, 6):
                for transport, port in (("tcp", 22), ("tcp", 80), ("tcp", 443), ("udp", 53)):
                    reach = firewall.reach(transport, port, family)  # type: ignore[arg-type]
                    sets = (reach.open, reach.unknown, reach.rate_limited, reach.may_be_banned)
                    found.append((table.name, chain.name, family, port, reach.verdict, sets))
    return found


def test_verdicts_are_equal(pair: tuple[Ruleset, Ruleset]) -> None:
    text, listing = pair
    assert verdicts(text) == verdicts(listing)


def test_verdicts_are_of_every_kind() -> None:
    """An evaluator that answered nothing would make all verdicts equal."""
    seen = {found[4] for path in PAIRS for found in verdicts(read_text(path.read_text()))}
    assert seen >= {"open", "closed", "limited"}
