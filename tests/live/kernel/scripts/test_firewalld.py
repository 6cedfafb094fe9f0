"""`firewall-cmd` commands in a script: sslint takes them for what firewalld makes of them."""

from __future__ import annotations

import random
import re
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


def _command(words: Vocabulary, earlier: list[str]) -> str:
    """Return a command; now and then it undoes or repeats what another zone was told."""
    pick = words.random.choice
    zones = ("--zone=public", "--zone=drop", "--zone trusted", "--zone=home", "--zone=shop")
    zone = pick(("", "", "", *zones))
    if words.chance(0.05):
        return pick(
            (
                f"--set-default-zone={pick(('drop', 'home', 'public', 'shop'))}",
                "--permanent --new-zone=shop",
                "--reload",
                "--permanent --zone=public --query-service=http",
            )
        )
    edit = pick(earlier) if earlier and words.chance(0.25) else _edit(words)
    earlier.append(edit)
    if words.chance(0.3):
        edit = re.sub(r"--(add|remove|change)-(source|interface)", r"--change-\2", edit)
    elif words.chance(0.3):
        edit = edit.replace("--add-", "--remove-")
    options = ["--permanent", zone, edit]
    if words.chance(0.2):
        words.random.shuffle(options)
    return " ".join(filter(None, options))


def _edit(words: Vocabulary) -> str:
    """Return what is added to a zone, or its target."""
    pick = words.random.choice
    family = pick((4, 6))
    source = words.prefix(family)
    if words.chance(0.3):  # with bits of a host
        source = source.replace("0/", "1/")
    low, high = words.port_range()
    port = f"{pick((words.port(), f'{low}-{high}'))}/{pick(('tcp', 'tcp', 'udp'))}"
    action = pick(("accept", "accept", "drop", "reject"))
    rule = f'rule family="ipv{family}" source address="{source}"'
    number, transport = port.split("/")
    edits = (
        f"--add-port={port}",
        f"--add-port={port}",
        f"--add-port={port} --add-port={words.port()}/tcp",
        f"--add-port={words.port()}/{pick(('tcp', 'tpc'))} --add-port={words.port()}",
        f"--add-source-port={port}",
        f"--add-service={pick(('https', 'http', 'smtp', 'imaps', 'dns', 'ssh'))}",
        f"--remove-service={pick(('ssh', 'https', 'dhcpv6-client', 'nosuch'))}",
        f"--add-service http --add-service={pick(('https', 'smtp'))}",
        f"--add-service=http --add-port={words.port()}/tcp",  # which is refused
        f"--add-source={source}",
        f"--add-source={source}",
        f"--add-source={pick(('300.1.1.1', '::g', source))} --add-source={words.prefix(4)}",
        f"--set-target={pick(('ACCEPT', 'DROP', 'REJECT', 'default', 'drop'))}",
        "--add-interface=eth1",
        f"--add-protocol={pick(('tcp', 'udp', 'gre', '300'))}",
        pick(("--add-masquerade", "--add-forward", "--add-icmp-block-inversion")),
        f"--add-icmp-block={pick(('echo-request', 'neighbour-solicitation'))}",
        f"--add-forward-port=port={words.port()}:proto=tcp:toport={words.port()}",
        f"--add-rich-rule='{rule} {action}'",
        f"--add-rich-rule='{rule} port port={number} protocol={transport} {action}'",
        f"--add-rich-rule='rule service name={pick(('http', 'https'))} {action}'",
        f"--add-rich-rule='rule priority={pick((-1, 1))} port port={number} "
        f"protocol={transport} log prefix=x {action}'",
        f"--add-rich-rule='{rule.replace('address', 'not address')} {action}'",
    )
    return pick(edits)


def _one(number: int) -> Outcome:
    words = Vocabulary(random.Random(f"firewalld script {number}"))
    earlier: list[str] = []
    commands = [_command(words, earlier) for _ in range(words.random.randint(1, 9))]
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
