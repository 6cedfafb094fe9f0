"""`ufw` commands in a script: what sslint takes them for is what the real ufw makes of them."""

from __future__ import annotations

import json
import random
import shlex
import subprocess
import traceback
from pathlib import Path

import pytest

from sslint.firewalls.scripts.ufw import Ufw
from sslint.firewalls.scripts.ufw_rules import Rule
from sslint.netfilter.reach import Firewall
from sslint.source import SourceFile
from tests.live.conftest import count, seed
from tests.live.kernel.generators import ufw
from tests.live.kernel.generators.vocabulary import Vocabulary
from tests.live.kernel.judge import NETWORK, judge
from tests.live.kernel.lab import Refused
from tests.live.kernel.managers import UfwLab
from tests.live.kernel.scripts.commands import Outcome, all_agree, all_written_alike, outcome
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


# -- the rules themselves: without the kernel, by the hundred -----------------------------------


def _commands(words: Vocabulary) -> list[list[str]]:
    """Return commands, in some scripts odd ones."""
    earlier: list[str] = []
    lines = [ufw.command(words, earlier) for _ in range(words.random.randint(1, 14))]
    share = words.random.choice((0, 0, 0.3))
    return [ufw.odd(words, line) if words.chance(share) else shlex.split(line) for line in lines]


def _tuple(rule: Rule) -> str:
    """Write a rule as ufw does in the comments of user.rules."""
    action = f"{'route:' if rule.forward else ''}{rule.action}{'_' if rule.log else ''}{rule.log}"
    fields = [action, rule.protocol, rule.port, rule.destination, rule.source_port, rule.source]
    if rule.application or rule.source_application:
        names = (rule.application, rule.source_application)
        fields += [name.replace(" ", "%20") or "-" for name in names]
    through = rule.interface_in or rule.interface_out
    if rule.interface_in and rule.interface_out:
        fields.append(f"in_{rule.interface_in}!out_{rule.interface_out}")
    else:
        fields.append(f"{rule.direction}_{through}" if through else rule.direction)
    if rule.comment:
        fields.append(f"comment={rule.comment.encode().hex()}")
    return " ".join(fields)


def _difference(commands: list[list[str]], theirs: dict[str, object]) -> str | None:
    """Return what sslint and ufw do not agree on, "" for nothing; None: sslint does not know."""
    ours = Ufw(tree_of({"/etc/hostname": "host\n"}))
    where = SourceFile("firewall.sh", "firewall.sh", "").at(1)
    statuses = [ours.run(words, where, "") for words in commands]
    told = theirs["statuses"]
    assert isinstance(told, list)
    for words, one, other in zip(commands, statuses, told, strict=True):
        if one is not None and one != other:
            return f"{words} exits with {other}, not {one}"
    if ours.lost is not None:
        return None
    rules = [[_tuple(rule) for rule in ours.kept.lists[family]] for family in (4, 6)]
    if rules != theirs["rules"]:
        return f"the rules are {theirs['rules']}, not {rules}"
    if ours.policies != theirs["policies"]:
        return f"the policies are {theirs['policies']}, not {ours.policies}"
    return ""


@pytest.mark.live("ufw")
def test_rules_are_those_that_ufw_writes() -> None:
    program = ["/usr/bin/python3", str(Path(__file__).with_name("ufw_files.py"))]
    scripts = [
        _commands(Vocabulary(random.Random(f"ufw rules {seed() % 1_000_000_000 + number}")))
        for number in range(count(40))
    ]
    text = "".join(json.dumps(one) + "\n" for one in scripts)
    done = subprocess.run(program, input=text, capture_output=True, text=True, check=True)
    all_written_alike(scripts, done.stdout.splitlines(), _difference)
