"""`ufw` commands in a script: what sslint takes them for is what the real ufw makes of them."""

from __future__ import annotations

import multiprocessing
import random
import shlex
import traceback
from concurrent.futures import ProcessPoolExecutor

import pytest

from sslint.netfilter.reach import Firewall
from tests.live.conftest import count, seed
from tests.live.kernel.generators import ufw
from tests.live.kernel.generators.vocabulary import Vocabulary
from tests.live.kernel.judge import NETWORK, judge
from tests.live.kernel.lab import Refused
from tests.live.kernel.managers import UfwLab
from tests.live.kernel.scripts.comparison import read
from tests.support import tree_of

PACKETS = 80
_labs: list[UfwLab] = []


def _one(number: int) -> tuple[int, int, list[str]]:
    """Return how many packets were compared, how many are unknown, and what differs."""
    words = Vocabulary(random.Random(f"ufw script {number}"))
    commands = ufw.rulesets(words)["ufw"]
    text = "#!/bin/sh\n" + "".join(
        f"ufw {shlex.join(shlex.split(line))}\n" for line in commands.splitlines()
    )
    path = "/etc/firewall.sh"
    try:
        ours = Firewall(read(tree_of({path: text + "ufw --force enable\n"}), path), NETWORK)
        if not _labs:
            _labs.append(UfwLab())
        _labs[0].load({"ufw": commands})
        packets = words.packets(PACKETS)
        accepted = _labs[0].send(packets)
        verdicts = [judge(ours, packet).verdict for packet in packets]
    except Refused:
        return 0, 0, []
    except Exception:
        return 0, 0, [f"{traceback.format_exc()}\n{text}"]
    wrong = [
        f"{packet}: {verdict}, kernel {passed}\n{text}"
        for packet, verdict, passed in zip(packets, verdicts, accepted, strict=True)
        if verdict != "unknown" and (verdict == "accept") != passed
    ]
    return len(packets), verdicts.count("unknown"), wrong


@pytest.mark.live("nft", "ufw", "ip")
def test_random_commands() -> None:
    first = seed() % 1_000_000_000
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        outcomes = list(pool.map(_one, range(first, first + count(12))))
    wrong = [text for _, _, texts in outcomes for text in texts[:2]]
    packets, unknown = (sum(one[index] for one in outcomes) for index in (0, 1))
    print(f"{packets} packets, {unknown} unknown, {len(wrong)} wrong")
    assert not wrong, "\n".join(wrong[:2])
    assert packets
    assert unknown < packets // 2
