"""Random rulesets, one module a front end."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from tests.live.kernel.generators import firewalld, iptables, nft, ufw
from tests.live.kernel.generators.vocabulary import Vocabulary
from tests.live.kernel.packets import Packet


@dataclass
class Case:
    """A ruleset, as texts by kind (see `Lab.load`), and packets to hold against it.

    `files` are what a manager made of it, by host path.
    """

    rulesets: dict[str, str]
    packets: list[Packet] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)


KINDS = ("iptables", "ip6tables", "nft", "mixed", "ufw", "firewalld")


UNDECIDABLE = 0.05  # of the rulesets hold a match that files cannot decide
RARE = 0.3  # hold statements that write to the packet, and other rare ones


def generate(kind: str, seed: int, packets: int) -> Case:
    """Return the case that this kind and seed stand for."""
    words = Vocabulary(random.Random(f"{kind} {seed}"))
    words.undecidable = words.chance(UNDECIDABLE)
    words.rare = words.chance(RARE)
    rulesets: dict[str, str] = {}
    if kind in ("iptables", "ip6tables"):
        sets: dict[int, tuple[tuple[str, int], ...]] = {}
        if words.chance(0.3):
            rulesets["ipset"], sets = iptables.ipset(words)
        if words.chance(0.7):
            words.families = (4,) if kind == "iptables" else (6,)
        for family in words.families:
            rulesets[f"v{family}"] = iptables.ruleset(words, family, sets.get(family, ()))
    elif kind == "nft":
        rulesets["nft"] = nft.ruleset(words)
    elif kind == "ufw":
        rulesets = ufw.rulesets(words)
    elif kind == "firewalld":
        rulesets = firewalld.rulesets(words)
    else:
        for name in words.random.sample(("v4", "v6", "legacy4", "legacy6"), 2):
            rulesets[name] = iptables.ruleset(words, int(name[-1]), ())
        rulesets["nft"] = nft.ruleset(words)
    return Case(rulesets, words.packets(packets))
