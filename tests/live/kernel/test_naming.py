"""A ruleset gives the same verdicts in the tree, by --firewall and by `firewall:`.

Some more: `SSLINT_COUNT=200 .venv/bin/python -m pytest tests/live/kernel/test_naming.py`.
"""

from __future__ import annotations

import pytest

from tests.live.conftest import at_most, count, seed
from tests.live.kernel.naming import compare
from tests.live.kernel.test_kernel import COMMANDS, RESTORERS

PACKETS = 40
KINDS = ("nft", "iptables", "ip6tables", "ufw", "firewalld")


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=pytest.mark.live(*COMMANDS.get(kind, RESTORERS))) for kind in KINDS],
)
def test_random(kind: str) -> None:
    names = compare(kind, count(8), PACKETS, seed())
    print(names)
    assert not names.failures, f"{names}\n" + "\n".join(names.failures[:3])
    assert names.rulesets, f"the tools took none: {names}"
    assert names.unknown <= PACKETS * at_most(0.1, names.rulesets), str(names)
