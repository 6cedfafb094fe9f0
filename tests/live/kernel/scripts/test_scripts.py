"""Random firewall scripts: what sslint reads from them is what sh and the kernel make of them.

More: `SSLINT_COUNT=300 .venv/bin/python -m pytest tests/live/kernel/scripts`; one again:
SSLINT_SEED.
"""

from __future__ import annotations

import multiprocessing
import random
import traceback
from concurrent.futures import ProcessPoolExecutor

import pytest

from tests.live.conftest import at_most, count, seed
from tests.live.kernel.generators.vocabulary import Vocabulary
from tests.live.kernel.lab import Lab
from tests.live.kernel.scripts.comparison import Compared, compare
from tests.live.kernel.scripts.generator import PATH, generate

PACKETS = 60
_labs: list[Lab] = []


def _one(number: int) -> Compared:
    words = Vocabulary(random.Random(f"script {number}"))
    script = generate(words)
    try:
        if not _labs:
            _labs.append(Lab())
        found = compare(
            _labs[0], f"seed {number}", script.files, PATH, words, PACKETS, stubs=(0, number)
        )
    except Exception:
        found = Compared(f"seed {number}", wrong=[traceback.format_exc()])
    if found.wrong:
        texts = "\n".join(f"--- {path}\n{text}" for path, text in script.files.items())
        found.wrong.append(texts)
    return found


@pytest.mark.live("nft", "iptables-nft-restore", "ip6tables-nft-restore", "ipset", "ip", "unshare")
def test_random_scripts() -> None:
    first = seed() % 1_000_000_000
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        outcomes = list(pool.map(_one, range(first, first + count(40))))
    packets = sum(one.packets for one in outcomes)
    unknown = sum(one.unknown for one in outcomes)
    share = 100 * unknown / max(1, packets)
    print(f"{len(outcomes)} scripts, {packets} packets, {share:.1f} % unknown")
    wrong = [one for one in outcomes if one.wrong]
    shown = ["\n".join((str(one), *one.wrong[:2], one.wrong[-1])) for one in wrong[:2]]
    assert not wrong, "\n".join(shown)
    assert packets > 60 * len(outcomes) // 2
    most = max(one.packets for one in outcomes)
    assert unknown <= most * at_most(0.12, len(outcomes))
