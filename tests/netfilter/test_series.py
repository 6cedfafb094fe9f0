"""Many batches in a row do what each of them does one after the other, and cost little."""

from __future__ import annotations

import os
import random
import tracemalloc
from ipaddress import IPv4Address

import pytest

from sslint.netfilter import chains
from sslint.netfilter.model import RuleItem
from sslint.netfilter.reach import Firewall
from tests.netfilter.models import (
    ACCEPT,
    DROP,
    REJECT,
    firewall,
    incoming,
    match,
    source,
    tcp,
    verdict,
)

SEED = int(os.environ["SSLINT_SEED"])
MARK = match("meta.mark", 1)


def rules(count: int, seed: int) -> list[tuple[RuleItem, ...]]:
    """Return rules that accept and drop overlapping networks by turns, some by port or by mark."""
    choose = random.Random(seed)
    found: list[tuple[RuleItem, ...]] = []
    for number in range(count):
        length = choose.choice((13, 16, 20, 24, 24))
        network = (8 << 24 | choose.randrange(1 << 18)) >> (32 - length) << (32 - length)
        items: list[RuleItem] = [source(f"{IPv4Address(network)}/{length}")]
        guard = choose.random()
        if guard < 0.2:
            items.append(tcp(choose.choice((80, 443))))
        elif guard < 0.22:
            items.append(MARK)
        end = ACCEPT if number % 2 else choose.choice((DROP, DROP, DROP, DROP, REJECT))
        found.append((*items, end))
    return found


def answers(fire: Firewall) -> list[object]:
    reach = fire.reach("tcp", 443, 4)
    decided = [(d.text, d.effect) for d in reach.decided_by]
    unknown = reach.doubtful.cidrs if reach.doubtful else ()
    return [reach.verdict, reach.open, unknown, reach.reasons, decided]


@pytest.mark.parametrize("seed", range(SEED, SEED + 12))
def test_batches_that_are_dealt_out_do_what_they_do_one_after_the_other(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = rules(700, seed)
    together = answers(firewall(incoming(*made)))
    monkeypatch.setattr(chains, "MANY", 1 << 30)
    assert answers(firewall(incoming(*made))) == together


def test_twelve_thousand_turns_need_no_set_of_addresses_each() -> None:
    networks = (f"{IPv4Address(8 << 24 | number << 12)}/24" for number in range(12_000))
    made = [
        (source(network), DROP if number % 2 else ACCEPT) for number, network in enumerate(networks)
    ]
    tracemalloc.start()
    assert verdict(firewall(incoming(*made))) == "limited"
    assert tracemalloc.get_traced_memory()[1] < 24 << 20
    tracemalloc.stop()
