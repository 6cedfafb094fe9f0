"""A script as sslint reads it against what sh and the kernel make of it, packet by packet."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

from sslint.firewalls import ipset
from sslint.firewalls.errors import RulesetError
from sslint.firewalls.scripts import reader as scripts
from sslint.netfilter.model import Missing, Ruleset
from sslint.netfilter.reach import Firewall
from sslint.tree import Tree
from tests.live.kernel.generators import Case
from tests.live.kernel.generators.vocabulary import Vocabulary, routable
from tests.live.kernel.judge import NETWORK, firewall, judge
from tests.live.kernel.lab import Lab, Refused
from tests.live.kernel.packets import Packet
from tests.live.kernel.scripts import sandbox
from tests.support import tree_of


@dataclass
class Compared:
    """What became of one script."""

    name: str
    packets: int = 0
    accepted: int = 0
    unknown: int = 0
    wrong: list[str] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    note: str = ""  # why nothing was compared

    def __str__(self) -> str:
        share = 100 * self.unknown / max(1, self.packets)
        return (
            f"{self.name}: {self.packets} packets, {self.accepted} accepted, {len(self.wrong)} "
            f"wrong, {share:.0f} % unknown{'; ' + self.note if self.note else ''}"
        )


def read(tree: Tree, path: str) -> Ruleset:
    """Read a script as a host's only ruleset is read."""
    ruleset = Ruleset()
    try:
        if not scripts.read(tree, tree.read(path), ruleset):
            ruleset.families = {4, 6}
    except RulesetError as error:
        ruleset.missing.append(Missing(error.reason, (4, 6), error.location, may_open=True))
    ipset.resolve(ruleset)
    return ruleset


def compare(
    lab: Lab, name: str, files: Mapping[str, str], path: str, words: Vocabulary, packets: int,
    *, stubs: Sequence[int] = (0,), found: Compared | None = None,
) -> Compared:  # fmt: skip
    """Hold sslint's reading of a script against the kernel's, once for each seed of the stubs."""
    found = found or Compared(name)
    ruleset = read(tree_of(dict(files)), path)
    starts = any("with `start`" in text for text in ruleset.assumptions)
    ours = Firewall(ruleset, NETWORK)
    whole = "\n".join(files.values())
    for seed in stubs:
        shell = "bash" if sandbox.is_bash(files[path]) else "sh"
        saved = sandbox.run(
            files, path, shell=shell, arguments="start" if starts else "", seed=seed
        )
        if saved.status == 124 or saved.status == 137:
            found.note = "it does not end in time"
            continue
        if saved.status and any("run to its end" in text for text in ruleset.assumptions):
            found.note = (
                f"with stubs {seed} it gives up ({saved.status}), which is assumed not to be"
            )
            continue
        case = Case(dict(saved.rulesets), mentioned(words, whole, packets, ruleset))
        try:
            lab.load(case.rulesets)
        except Refused as refusal:
            found.note = f"what it leaves cannot be loaded again: {str(refusal)[:200]}"
            continue
        counts = _counts(case)
        accepted = lab.send(case.packets)
        theirs = firewall(case)
        for packet, passed in zip(case.packets, accepted, strict=True):
            verdict = judge(ours, packet)
            if counts and verdict.verdict != "unknown" and (verdict.verdict == "accept") != passed:
                lab.load(case.rulesets)  # a rate that the packets before have used up
                passed = lab.send([packet])[0]
            found.packets += 1
            found.accepted += passed
            if verdict.verdict == "unknown":
                found.unknown += 1
                found.reasons[verdict.reason or "no reason given"] += 1
            elif (verdict.verdict == "accept") != passed:
                by = f"{verdict.by.location}: {verdict.by.text}" if verdict.by else "nothing"
                found.wrong.append(
                    f"stubs {seed}: {packet}: kernel {'accepts' if passed else 'drops'}, sslint "
                    f"{verdict.verdict} by {by}; the saved ruleset: {judge(theirs, packet).verdict}"
                )
    return found


def _counts(case: Case) -> bool:
    """Tell whether a packet's verdict may depend on those before it."""
    return any(
        re.search(r"\b(limit|hashlimit|recent|connlimit|quota)\b", text)
        for text in case.rulesets.values()
    )


def mentioned(words: Vocabulary, text: str, count: int, ruleset: Ruleset) -> list[Packet]:
    """Return packets at the edges of the addresses and ports that a text mentions.

    They are of the families that sslint says something about.
    """
    for found in re.findall(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?:/\d{1,2})?", text)[:300]:
        try:
            network = ip_network(found, strict=False)
        except ValueError:
            continue
        words.ranges[4].append((int(network[0]), int(network[-1])))
    for found in re.findall(r"(?<![\w:])[0-9a-f]{1,4}:[0-9a-f:]{2,}(?:/\d{1,3})?", text)[:300]:
        try:
            network6 = ip_network(found, strict=False)
        except ValueError:
            continue
        if network6.version == 6:
            words.ranges[6].append((int(network6[0]), int(network6[-1])))
    for found in re.findall(r"(?<![\w.:/-])\d{1,5}(?![\w./])", text)[:300]:
        if 0 < int(found) < 65536:
            words.ports.append(int(found))
    if not words.ports:
        words.ports += [22, 80, 443]
    families = tuple(family for family in (4, 6) if family in ruleset.families) or (4, 6)
    words.families = families
    packets = words.packets(count)
    return [packet for packet in packets if routable(packet.family, int(ip_address(packet.src)))]
