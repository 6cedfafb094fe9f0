"""`firewall-cmd` commands in a script: sslint takes them for what firewalld makes of them."""

from __future__ import annotations

import json
import multiprocessing
import random
import re
import shlex
import subprocess
import traceback
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from sslint.firewalls.scripts.firewalld import Firewalld
from sslint.firewalls.scripts.firewalld_zones import shipped
from sslint.netfilter.reach import Firewall
from sslint.source import SourceFile
from tests.live.conftest import count, seed
from tests.live.kernel.generators.vocabulary import Vocabulary
from tests.live.kernel.judge import NETWORK, judge
from tests.live.kernel.lab import Refused, run
from tests.live.kernel.managers import FirewalldLab
from tests.live.kernel.scripts.commands import Outcome, all_agree, all_written_alike, outcome
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
    all_agree(_one, 12)


# -- the zones themselves: without packets -------------------------------------------------------

_Tree = tuple[str, tuple[tuple[str, str], ...], frozenset[object]]


def _tree(element: ElementTree.Element) -> _Tree:
    """Return an element without the order of what is in it."""
    inner = frozenset(_tree(one) for one in element if one.tag not in ("short", "description"))
    attributes = {name: value.replace("True", "true") for name, value in element.attrib.items()}
    return element.tag, tuple(sorted(attributes.items())), inner


def _zone(text: str) -> _Tree:
    return _tree(ElementTree.fromstring(text))


def _difference(commands: list[list[str]], theirs: dict[str, Any]) -> str | None:
    """Return what sslint and firewalld do not agree on, "" for nothing; None: it is unknown."""
    ours = Firewalld(tree_of({"/etc/hostname": "host\n"}))
    where = SourceFile("firewall.sh", "firewall.sh", "").at(1)
    statuses = [ours.run(words, where) for words in commands]
    for words, one, other in zip(commands, statuses, theirs["statuses"], strict=True):
        # Which of two checks finds a source in another zone, and its number, is up to the zones'
        # order; whether a command succeeds is not.
        if one is not None and (one == 0) != (other == 0):
            return f"{words} exits with {other}, not {one}"
    if ours.lost is not None:
        return None
    zones = {name: _zone(zone.file()) for name, zone in ours.zones.items()}
    for name, text in theirs["zones"].items():
        if name not in zones or zones[name] != _zone(text):
            return f"{name} is {text}, not {ours.zones[name].file() if name in zones else ''}"
    for name in zones.keys() - theirs["zones"].keys():
        if zones[name] != _zone(shipped(name).file()):
            return f"{name} is not written"
    said = re.search(r"^DefaultZone=(\w+)", theirs["settings"], re.M)
    default = said[1] if said else "public"
    return "" if default == ours.default else f"the default zone is {default}, not {ours.default}"


def _answers(text: str) -> list[str]:
    FirewalldLab().load({})
    program = ["/usr/bin/python3", str(Path(__file__).with_name("firewalld_files.py"))]
    done = subprocess.run(program, input=text, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.live("nft", "firewalld", "firewall-cmd", "dbus-daemon", "ip")
def test_zones_are_those_that_firewalld_writes() -> None:
    scripts = []
    for number in range(count(24)):
        words = Vocabulary(random.Random(f"zones {seed() % 1_000_000_000 + number}"))
        earlier: list[str] = []
        lines = [_command(words, earlier) for _ in range(words.random.randint(1, 12))]
        scripts.append([shlex.split(line) for line in lines])
    text = "".join(json.dumps(one) + "\n" for one in scripts)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        answers = pool.submit(_answers, text).result()
    all_written_alike(scripts, answers, _difference)
