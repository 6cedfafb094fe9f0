"""Docker's rules beside random rulesets: what is assumed of them decides as the kernel does.

Some more: `SSLINT_COUNT=200 .venv/bin/python -m pytest tests/live/kernel/test_docker.py`.
"""

from __future__ import annotations

import pytest

from tests.live.conftest import at_most, count, seed
from tests.live.kernel.docker import compare
from tests.live.kernel.test_kernel import COMMANDS, RESTORERS

PACKETS = 60
KINDS = ("nft", "iptables", "ufw", "firewalld")


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=pytest.mark.live(*COMMANDS.get(kind, RESTORERS))) for kind in KINDS],
)
def test_random(kind: str) -> None:
    found = compare(kind, count(10), PACKETS, seed())
    print(found)
    assert not found.failures, f"{found}\n" + "\n".join(found.failures[:3])
    assert found.accepted, str(found)
    assert found.unknown <= PACKETS * at_most(0.2, found.rulesets), str(found)
