"""`firewall-cmd` commands in a script: sslint takes them for what firewalld makes of them."""

from __future__ import annotations

import random
import shlex
import traceback

import pytest

from sslint.netfilter.reach import Firewall
from tests.live.kernel.generators.vocabulary import Vocabulary
from tests.live.kernel.judge import NETWORK, judge
from tests.live.kernel.lab import Refused, run
from tests.live.kernel.managers import FirewalldLab
from tests.live.kernel.scripts.commands import Outcome, all_agree, outcome
from tests.live.kernel.scripts.comparison import read
from tests.support import tree_of

PACKETS = 60
_labs: list[FirewalldLab] = []


def _command(words: Vocabulary) -> str:
    pick = words.random.choice
    zone = pick(("", "", "", "--zone=public ", "--zone=drop ", "--zone trusted "))
    edit = pick(
        (
            f"--add-port={words.port()}/{pick(('tcp', 'udp'))}",
            f"--add-port={words.port()}/tcp",
            f"--add-service={pick(('https', 'http', 'smtp', 'imaps', 'dns', 'ssh'))}",
            f"--remove-service={pick(('ssh', 'https', 'dhcpv6-client'))}",
            f"--add-source={words.prefix(pick((4, 6)))}",
            f"--set-target={pick(('ACCEPT', 'DROP', 'REJECT', 'default'))}",
            "--add-interface=eth1",
            f"--remove-port={words.port()}/tcp",
        )
    )
    return f"--permanent {zone}{edit}"


def _one(number: int) -> Outcome:
    words = Vocabulary(random.Random(f"firewalld script {number}"))
    commands = [_command(words) for _ in range(words.random.randint(1, 8))]
    path = "/etc/firewall.sh"
    text = "".join(f"firewall-cmd {line}\n" for line in [*commands, "--reload"])
    try:
        if not _labs:
            _labs.append(FirewalldLab())
        lab = _labs[0]
        lab.load({})
        kept = []
        for line in commands:
            try:
                run("firewall-cmd", *shlex.split(line))
            except Refused:
                continue
            kept.append(line)
        run("firewall-cmd", "--reload")
        packets = words.packets(PACKETS)
        accepted = lab.send(packets)
        ours = Firewall(read(tree_of({path: "#!/bin/sh\n" + text}), path), NETWORK)
        verdicts = [judge(ours, packet).verdict for packet in packets]
    except Refused:
        return 0, 0, []
    except Exception:
        return 0, 0, [f"{traceback.format_exc()}\n{text}"]
    return outcome(packets, verdicts, accepted, f"{text}taken: {kept}")


@pytest.mark.live("nft", "firewalld", "firewall-cmd", "dbus-daemon", "ip")
def test_random_commands() -> None:
    all_agree(_one, 8)
