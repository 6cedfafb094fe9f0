"""The real iptables-restore and the kernel, against what is read from the same text."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from sslint.firewalls import iptables
from sslint.firewalls.errors import RulesetError
from sslint.netfilter.model import Limit, RuleItem, Ruleset, Unknown, Unmodelled
from sslint.source import SourceFile
from tests.firewalls import iptables_refusals
from tests.firewalls.iptables_rules import ACCEPTED, REFUSED

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(
        os.geteuid() != 0 or shutil.which("iptables-nft-restore") is None,
        reason="needs root and iptables: apt-get install iptables",
    ),
]

# Loads every rule by itself in one namespace; prints whether it loaded, and the table then.
SCRIPT = r"""
while IFS='|' read -r exe table; do
    IFS= read -r command
    $exe-nft -t $table -F; $exe-nft -t $table -X
    if printf '*%s\n:c1 - [0:0]\n%s\nCOMMIT\n' "$table" "$command" |
        $exe-nft-restore 2>/dev/null >/dev/null; then echo "@ok"; else echo "@no"; fi
    $exe-nft-save -t $table 2>/dev/null
done
"""


def run(rules: list[tuple[int, str, str]]) -> list[tuple[bool, str]]:
    lines = [
        f"{'ip6tables' if family == 6 else 'iptables'}|{table}\n{command}"
        for family, table, command in rules
    ]
    result = subprocess.run(
        ["unshare", "-n", "bash", "-c", SCRIPT],
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    answers = result.stdout.split("@")[1:]
    return [(answer.startswith("ok"), answer.partition("\n")[2]) for answer in answers]


def model(text: str, family: int) -> dict[str, list[list[object]]]:
    ruleset = Ruleset()
    iptables.read(SourceFile("r", "r", text), 6 if family == 6 else 4, into=ruleset, strict=True)
    (table,) = ruleset.tables
    return {
        chain.name: [[comparable(item) for item in rule.items] for rule in chain.rules]
        for chain in table.chains.values()
    }


def comparable(item: RuleItem) -> object:
    """Leave out texts, which iptables-save words differently."""
    if isinstance(item, Limit):
        return Limit, item.first
    return type(item) if isinstance(item, Unknown | Unmodelled) else item


def test_what_is_taken_is_taken_and_saved_with_the_same_meaning() -> None:
    answers = run(ACCEPTED)
    assert len(answers) == len(ACCEPTED)
    for (family, table, command), (loaded, saved) in zip(ACCEPTED, answers, strict=True):
        assert loaded, command
        written = model(f"*{table}\n:c1 - [0:0]\n{command}\nCOMMIT\n", family)
        assert model(saved, family) == written, command


def test_what_is_refused_is_refused() -> None:
    answers = run(REFUSED)
    assert len(answers) == len(REFUSED)
    for (_, _, command), (loaded, _) in zip(REFUSED, answers, strict=True):
        assert not loaded, command


# Files as wholes: (text, loads)
FILES = {
    "empty": ("", True),
    "no final line feed": ("*filter\n:INPUT DROP\nCOMMIT", True),
    "no COMMIT": ("*filter\n:INPUT DROP [0:0]\n-A INPUT -j ACCEPT\n", False),
    "trailing comment": ("*filter\n-A INPUT -j ACCEPT # web\nCOMMIT\n", False),
    "indented comment": ("*filter\n  # web\nCOMMIT\n", False),
    "indented rule": ("*filter\n  -A INPUT -j ACCEPT\nCOMMIT\n", True),
    "indented COMMIT": ("*filter\n-A INPUT -j ACCEPT\n  COMMIT\n", False),
    "COMMIT and a space": ("*filter\n-A INPUT -j ACCEPT\nCOMMIT \n", False),
    "carriage returns": ("*filter\r\n:INPUT DROP [0:0]\r\nCOMMIT\r\n", False),
    "carriage return after a target": ("*filter\n-A INPUT -j ACCEPT\r\nCOMMIT\n", False),
    "rule outside": ("-A INPUT -j ACCEPT\n", False),
    "no such table": ("*foo\nCOMMIT\n", False),
    "two blocks": ("*filter\n-A INPUT -j DROP\nCOMMIT\n*filter\nCOMMIT\n", True),
    "table in table": ("*filter\n*nat\nCOMMIT\n", False),
    "unclosed quote": ('*filter\n-A INPUT -m comment --comment "a b\nCOMMIT\n', True),
    "policy of a user chain": ("*filter\n:c ACCEPT\nCOMMIT\n", True),
    "no policy": ("*filter\n:INPUT\nCOMMIT\n", False),
    "bad policy": ("*filter\n:INPUT REJECT\nCOMMIT\n", False),
    "nat policy": ("*nat\n:PREROUTING DROP [0:0]\nCOMMIT\n", True),
    "jump before the chain": ("*filter\n-A INPUT -j c\n:c - [0:0]\nCOMMIT\n", False),
    "loop": (
        "*filter\n:a - [0:0]\n:b - [0:0]\n-A a -j b\n-A b -j a\n-A INPUT -j a\nCOMMIT\n",
        False,
    ),
    "unreached loop": ("*filter\n:a - [0:0]\n:b - [0:0]\n-A a -j b\n-A b -j a\nCOMMIT\n", True),
    "goto loop": ("*filter\n:a - [0:0]\n-A a -g a\n-A INPUT -j a\nCOMMIT\n", False),
    "long chain name": ("*filter\n:" + "c" * 29 + " - [0:0]\nCOMMIT\n", False),
    "longest chain name": ("*filter\n:" + "c" * 28 + " - [0:0]\nCOMMIT\n", True),
    "chain with the name of a target": ("*filter\n:LOG - [0:0]\n-A INPUT -j LOG\nCOMMIT\n", True),
    "chain declared twice": ("*filter\n:c - [0:0]\n-A c -j DROP\n:c - [0:0]\nCOMMIT\n", True),
    "byte order mark": ("\ufeff*filter\nCOMMIT\n", False),
    "reject reached from PREROUTING": (
        "*mangle\n:c - [0:0]\n-A c -j REJECT\n-A PREROUTING -j c\nCOMMIT\n",
        False,
    ),
    "redirect reached from POSTROUTING": (
        "*nat\n:c - [0:0]\n-A c -p tcp -j REDIRECT --to-ports 1\n-A POSTROUTING -j c\nCOMMIT\n",
        False,
    ),
    "redirect in an unused chain": (
        "*nat\n:c - [0:0]\n-A c -p tcp -j REDIRECT --to-ports 1\nCOMMIT\n",
        True,
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_whole_files(name: str) -> None:
    text, loads = FILES[name]
    result = subprocess.run(
        ["unshare", "-n", "iptables-nft-restore"], input=text.encode(), capture_output=True
    )
    assert (result.returncode == 0) == loads, result.stderr
    ruleset = Ruleset()
    try:
        iptables.read(SourceFile("r", "r", text), 4, into=ruleset, strict=True)
        read = True
    except RulesetError:
        read = False
    assert read == loads


def test_what_iptables_refuses() -> None:
    script = ["ipset create s4 hash:ip; ipset create s6 hash:ip family inet6"]
    for family, legacy, text, _ in iptables_refusals.cases():
        text = text.replace(" s4 ", f" s{family} ")
        tool = f"ip{'6' if family == 6 else ''}tables-{'legacy' if legacy else 'nft'}-restore"
        script.append(f"printf '{text}' | {tool} >/dev/null 2>&1; echo $?")
    done = subprocess.run(
        ["unshare", "-n", "bash", "-c", "\n".join(script).replace("\nCOMMIT\n", "\\nCOMMIT\\n")],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = [line == "0" for line in done.stdout.split()]
    for (family, legacy, text, loads), found in zip(iptables_refusals.cases(), loaded, strict=True):
        assert found == loads, (family, legacy, text)
