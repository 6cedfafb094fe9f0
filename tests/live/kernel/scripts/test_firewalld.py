"""`firewall-cmd` commands in a script: sslint takes them for what firewalld makes of them."""

from __future__ import annotations

import multiprocessing
import random
import shlex
import traceback
from concurrent.futures import ProcessPoolExecutor

import pytest

from sslint.netfilter.reach import Firewall
from tests.live.conftest import count, seed
from tests.live.kernel.generators.vocabulary import Vocabulary
from tests.live.kernel.judge import NETWORK, judge
from tests.live.kernel.lab import Refused, run
from tests.live.kernel.managers import FirewalldLab
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


def _one(number: int) -> tuple[int, int, list[str]]:
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
    wrong = [
        f"{packet}: {verdict}, kernel {passed}\n{text}taken: {kept}"
        for packet, verdict, passed in zip(packets, verdicts, accepted, strict=True)
        if verdict != "unknown" and (verdict == "accept") != passed
    ]
    return len(packets), verdicts.count("unknown"), wrong


@pytest.mark.live("nft", "firewalld", "firewall-cmd", "dbus-daemon", "ip")
def test_random_commands() -> None:
    first = seed() % 1_000_000_000
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        outcomes = list(pool.map(_one, range(first, first + count(8))))
    wrong = [text for _, _, texts in outcomes for text in texts[:2]]
    packets, unknown = (sum(one[index] for one in outcomes) for index in (0, 1))
    print(f"{packets} packets, {unknown} unknown, {len(wrong)} wrong")
    assert not wrong, "\n".join(wrong[:2])
    assert packets
    assert unknown < packets // 2
