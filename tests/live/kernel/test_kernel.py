"""Random rulesets: sslint's verdict on every packet is the kernel's, or an honest unknown.

The full run is `SSLINT_COUNT=10000 .venv/bin/python -m pytest tests/live/kernel -k random`; the
same with a summary as it goes: `.venv/bin/python -m tests.live.kernel --count 10000 --kind nft`.
"""

from __future__ import annotations

import os
import re

import pytest

from tests.live.conftest import at_most, count, seed
from tests.live.kernel.campaign import REPORTS, SHARES, run

RULESETS = 400
PACKETS = 200
MOST_UNKNOWN = 0.01  # of the rulesets, beside those that no file can decide
REFUSED, REFUSED_MIXED = 0.02, 0.06  # of the rulesets, by the tools that load them
NOT_IN_FILES = (
    "the hop limit depends on",
    "whether clients use",
    "--quota",
    "meta iifgroup",
)
# Beside these: what a rule has rewritten, and fields that are the client's own affair.
UNDECIDED = re.compile(
    r"a rule has rewritten|an earlier rule (?:has|may have)|depends on the (?:client|packet's size)"
    r"|bits that the client chooses"
    r"|transparent socket|may not be there|meta\.length varies|a computed value|is not modelled"
    r"|th reads bytes|has other keys|route depends on the packet mark|mark is not known"
)
COMMANDS = {
    "ufw": ("ip", "nft", "iptables-nft-restore", "ufw"),
    "firewalld": ("ip", "nft", "firewalld", "firewall-cmd", "dbus-daemon"),
    "nft": ("ip", "nft"),
}
RESTORERS = ("ip", "nft", "iptables-nft-restore", "iptables-legacy-restore", "ipset")


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=pytest.mark.live(*COMMANDS.get(kind, RESTORERS))) for kind in SHARES],
)
def test_random(kind: str) -> None:
    rulesets = max(2, count(RULESETS) * SHARES[kind] // 100)
    summary = run(kind, rulesets, PACKETS, seed(), jobs=os.cpu_count() or 1)
    print(summary)
    shown = "\n".join(summary.failures[:REPORTS])
    assert not summary.failures, f"{summary}\nagain: --kind {kind} --seed N --count 1\n{shown}"
    refused = at_most(REFUSED_MIXED if kind == "mixed" else REFUSED, rulesets)
    assert rulesets - summary.rulesets <= refused, f"the kernel took too few: {summary}"
    by_nature = sum(
        n
        for why, n in summary.reasons.items()
        if why.startswith(NOT_IN_FILES) or UNDECIDED.search(why)
    )
    assert summary.unknown - by_nature <= PACKETS * at_most(MOST_UNKNOWN, summary.rulesets), (
        f"{summary}\n{summary.reasons.most_common(5)}"
    )
