"""What holds of every ruleset and host, whatever it says: properties, on random ones."""

from __future__ import annotations

import itertools
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sslint.checker import check
from sslint.engine import bundled
from sslint.firewalls import discovery
from sslint.netfilter.model import HostNetwork
from sslint.netfilter.reach import Firewall
from sslint.network import read_network
from sslint.reports.data import check_report
from sslint.targets import find
from sslint.tree import Tree
from tests import pki
from tests.cases import SOUND
from tests.fuzz import mutation, subjects
from tests.live.kernel.generators import generate, iptables, nft
from tests.live.kernel.generators.vocabulary import Vocabulary

V4, V6, SETS, NFT = "/given/firewall/0/v4", "/given/firewall/1/v6", "/given/firewall/2/sets", \
    "/given/firewall/0/nft"  # fmt: skip
PLACES = {"v4": V4, "v6": V6, "ipset": SETS, "nft": NFT}
KINDS = {V4: "iptables", V6: "ip6tables", SETS: "ipset", NFT: "nft"}
PORTS = (("tcp", 22), ("tcp", 80), ("tcp", 443), ("tcp", 993), ("udp", 443))
# What a rule leaves behind for chains, packets and rules that come after it.
WRITES = re.compile(r"mark set|label set|MARK|SET|recent|limit|quota|NOTRACK|notrack|NFLOG|TTL|HL"
                    r"|add @|update @|delete @|set (ip|th|tcp|meta)|TOS|DSCP|helper|-j CT|TEE"
                    r"|dup|fwd|connlimit|count|zone|dport set|daddr set|REDIRECT|DNAT|redirect"
                    r"|dnat|tproxy|TPROXY|SYNPROXY|synproxy|last|STRIP")  # fmt: skip


def random_ruleset(kind: str, seed: int) -> dict[str, str]:
    """Return the texts of a ruleset as the tests of the kernel make them, by place."""
    texts = generate(kind, seed, 0).rulesets
    return {PLACES[name]: text for name, text in texts.items()}


def answers(
    texts: dict[str, str], network: HostNetwork | None = None
) -> dict[tuple[str, int, int], tuple[str, frozenset[str], frozenset[str]]]:
    """Return verdict, open and closed sources of a few ports, by transport, port and family."""
    tree = Tree(None, overlay=texts)
    given = [(KINDS[place], place) for place in texts]
    ruleset = discovery.load(tree, read_network(Tree(None)), given)
    firewall = Firewall(ruleset, network)
    found = {}
    for (transport, port), family in itertools.product(PORTS, (4, 6)):
        reach = firewall.reach(transport, port, family)
        found[transport, port, family] = (reach.verdict, reach.open, reach.closed)
    return found


def is_within(part: tuple[str, ...], whole: tuple[str, ...]) -> bool:
    """Tell whether networks lie in others."""
    from ipaddress import collapse_addresses, ip_network

    both = [ip_network(text) for text in (*part, *whole)]
    return list(collapse_addresses(both)) == list(collapse_addresses(map(ip_network, whole)))


@pytest.mark.parametrize("seed", range(20))
def test_two_spellings_of_an_nft_ruleset_say_the_same(seed: int) -> None:
    text = random_ruleset("nft", seed)[NFT]
    lines = text.strip("\n").split("\n")
    spelled = [f"  {line} # comment" if line.endswith(("accept", "drop")) else line
               for line in lines]  # fmt: skip
    assert answers({NFT: "\n\n".join(spelled) + "\n"}) == answers({NFT: text})
    if not any(line.startswith("add ") for line in lines):
        assert answers({NFT: "\n".join(nft._as_commands(lines)) + "\n"}) == answers({NFT: text})


@pytest.mark.parametrize("seed", range(20))
def test_two_spellings_of_a_dump_say_the_same(seed: int) -> None:
    texts = random_ruleset("iptables", seed)
    spelled = {}
    for place, text in texts.items():
        tables = re.findall(r"^\*.*?^COMMIT\n", text, re.M | re.S)
        if place == SETS:
            spelled[place] = text
            continue
        assert tables
        joined = "# another order\n" + "".join(reversed(tables))
        spelled[place] = re.sub(r"^-A ", "[12:345] -A ", joined, flags=re.M)
    assert answers(spelled) == answers(texts)


def without_writes(text: str) -> str:
    """Return a ruleset without the rules that leave something behind."""
    kept = (
        line
        for line in text.split("\n")
        if line.startswith(
            ("set ", "map ", "type ", "table ", "chain ", ":", "add set ", "create ")
        )
        or not WRITES.search(line)
    )
    return "\n".join(kept)


NEVER = {
    V4: "-p tcp -m tcp --dport 443 -m multiport --dports 80,993 -j ",
    V6: "-p tcp -m tcp --dport 443 -m multiport --dports 80,993 -j ",
    NFT: "tcp dport 443 tcp dport 444 ",
}


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("kind", ["iptables", "ip6tables", "nft"])
def test_a_rule_that_nothing_reaches_changes_nothing(kind: str, seed: int) -> None:
    texts = random_ruleset(kind, seed)
    before = answers(texts)
    rnd = random.Random(seed)
    for place, text in texts.items():
        if place == SETS:
            continue
        lines = text.split("\n")
        if place == NFT:
            at = [n for n, line in enumerate(lines) if line.startswith("type ") and n]
            if "ingress" in text or not at:
                continue
            lines.insert(rnd.choice(at) + 1, NEVER[NFT] + rnd.choice(("accept", "drop")))
        else:
            table = lines.index("*filter")
            chain = rnd.choice(("INPUT", "OUTPUT"))
            end = lines.index("COMMIT", table)
            lines.insert(end, f"-A {chain} {NEVER[place]}{rnd.choice(('ACCEPT', 'DROP'))}")
            first = next((n for n in range(table, end) if lines[n].startswith("-A ")), end)
            lines.insert(first, f"-A {chain} {NEVER[place]}{rnd.choice(('ACCEPT', 'DROP'))}")
        texts[place] = "\n".join(lines)
    assert answers(texts) == before


@pytest.mark.parametrize("seed", range(25))
def test_what_stands_after_an_end_changes_nothing(seed: int) -> None:
    texts = random_ruleset("iptables", seed)
    rnd = random.Random(seed)
    ended, longer = dict(texts), dict(texts)
    for place, text in texts.items():
        if place == SETS:
            continue
        lines = text.split("\n")
        end = lines.index("COMMIT", lines.index("*filter"))
        last = f"-A INPUT -j {rnd.choice(('ACCEPT', 'DROP'))}"
        words = Vocabulary(random.Random(f"after {seed}"))
        more = [
            iptables.Rules(words, 4 if place == V4 else 6).rule("filter", "INPUT", "INPUT", [])
            for _ in range(4)
        ]
        ended[place] = "\n".join([*lines[:end], last, *lines[end:]])
        longer[place] = "\n".join([*lines[:end], last, *more, *lines[end:]])
    assert answers(longer) == answers(ended)


def test_an_accept_never_closes() -> None:
    tried = 0
    for kind, seed in itertools.product(("iptables", "ip6tables", "nft"), range(25)):
        texts = {place: without_writes(text) for place, text in random_ruleset(kind, seed).items()}
        before = answers(texts)
        for place, text in texts.items():
            lines = text.split("\n")
            if place == NFT:
                at = [
                    n for n, line in enumerate(lines) if line.startswith("type filter hook input")
                ]
                for n in reversed(at):
                    lines.insert(n + 1, "tcp dport 443 accept")
            elif place != SETS:
                table = lines.index("*filter")
                end = lines.index("COMMIT", table)
                first = next((n for n in range(table, end) if lines[n].startswith("-A ")), end)
                lines.insert(first, "-A INPUT -p tcp -m tcp --dport 443 -j ACCEPT")
            texts[place] = "\n".join(lines)
        for key, (_, opened, closed) in answers(texts).items():
            assert is_within(before[key][1], opened), (kind, seed, key)
            assert is_within(closed, before[key][2]), (kind, seed, key)
        tried += any(verdict != "unknown" for verdict, _, _ in before.values())
    assert tried > 25


def test_what_a_set_holds_decides_nothing_where_it_is_not_known() -> None:
    tried = 0
    for seed in range(120):
        texts = random_ruleset("iptables", seed)
        if SETS not in texts or "match-set" not in texts.get(V4, "") + texts.get(V6, ""):
            continue
        known = answers(texts)
        del texts[SETS]
        for key, (verdict, opened, closed) in answers(texts).items():
            assert is_within(opened, known[key][1]), (seed, key)
            assert is_within(closed, known[key][2]), (seed, key)
            if verdict in ("open", "closed"):
                assert known[key][0] == verdict, (seed, key)
        tried += 1
    assert tried > 10


@pytest.mark.parametrize("seed", range(12))
def test_rulesets_are_read_in_any_order(seed: int) -> None:
    texts = random_ruleset("iptables", seed)
    found = [answers(dict(order)) for order in itertools.permutations(texts.items())]
    assert all(one == found[0] for one in found)


PARTS = ("etc/postfix/main.cf", "etc/postfix/master.cf", "etc/dovecot/dovecot.conf",
         "etc/nftables.conf", "etc/bind/db.example.org", "etc/nginx/nginx.conf")  # fmt: skip


def test_files_are_given_in_any_order() -> None:
    host = SOUND / "mail-announced"
    rnd = random.Random(1)
    reports = []
    for _ in range(8):
        paths = [str(host / part) for part in rnd.sample(PARTS, len(PARTS))]
        targets = find(paths)
        for target in targets:
            target.now = pki.NOW
        report = check_report(check(targets, bundled()))
        report["unread"] = sorted(report["unread"], key=str)
        reports.append(report)
    assert reports[0]["endpoints"]
    assert all(report == reports[0] for report in reports)


def test_files_are_found_in_any_order() -> None:
    """A directory lists its names as it likes."""
    rnd = random.Random(2)
    for name in subjects.SUBJECTS:
        subject = subjects.SUBJECTS[name]
        seeds = subjects.seeds(name, few=True)
        for _ in range(3):
            data = mutation.mutate(rnd, rnd.choice(seeds), seeds)
            files = list(subject.files(data).items())
            rnd.shuffle(files)
            first = subjects.report(subject, data)
            shuffled = subjects.Subject(
                name, subject.places, subject.read, dict(files), given=subject.given
            )
            assert subjects.report(shuffled, b"") == first


_DIGEST = """
import hashlib, random
from tests.fuzz import mutation, subjects
for name, subject in subjects.SUBJECTS.items():
    rnd, digest = random.Random("hash " + name), hashlib.sha256()
    seeds = subjects.seeds(name, few=True)
    for _ in range(3):
        data = mutation.mutate(rnd, rnd.choice(seeds), seeds)
        digest.update(subjects.report(subject, data).encode("utf-8", "surrogateescape"))
    print(name, digest.hexdigest())
"""


def test_reports_do_not_depend_on_the_hash_seed() -> None:
    said = set()
    for seed in ("0", "4242"):
        done = subprocess.run(
            [sys.executable, "-c", _DIGEST],
            env={**os.environ, "PYTHONHASHSEED": seed}, cwd=Path(__file__).parents[2],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        said.add(done.stdout)
    assert len(said) == 1, said
    assert len(said.pop().splitlines()) == len(subjects.SUBJECTS)
