"""Every hostile tree ends soon, with a reason, and without a crash, a secret or a command.

Those that are only large are left to the live tests, which run all of them under strace as well.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile import running
from tests.hostile.registry import TREES

FACTOR = running.machine_factor()
QUICK = sorted(
    name for name, make in TREES.items() if make.__module__.rpartition(".")[2] != "sizes"
)


@pytest.mark.parametrize("name", QUICK)
def test_a_hostile_tree(name: str, tmp_path: Path) -> None:
    code, _, wrong = running.try_tree(name, tmp_path, running.SECONDS * FACTOR)
    assert not wrong, f"exit {code}"


def test_there_are_many() -> None:
    assert len(TREES) > 400
