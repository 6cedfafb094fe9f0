"""`ufw` commands in a script: what sslint takes them for is what the real ufw makes of them."""

from __future__ import annotations

import random
import shlex
import traceback

import pytest

from sslint.netfilter.reach import Firewall
from tests.live.kernel.generators import ufw
from tests.live.kernel.generators.vocabulary import Vocabulary
from tests.live.kernel.judge import NETWORK, judge
from tests.live.kernel.lab import Refused
from tests.live.kernel.managers import UfwLab
from tests.live.kernel.scripts.commands import Outcome, all_agree, outcome
from tests.live.kernel.scripts.comparison import read
from tests.support import tree_of

PACKETS = 80
_labs: list[UfwLab] = []


def _one(number: int) -> Outcome:
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
    return outcome(packets, verdicts, accepted, text)


@pytest.mark.live("nft", "ufw", "ip")
def test_random_commands() -> None:
    all_agree(_one, 12)
