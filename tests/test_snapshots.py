"""The whole text report of the first case in which each rule fires: wording is reviewed like code.

SSLINT_UPDATE_SNAPSHOTS=1 writes them anew.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from sslint.checker import check
from sslint.reports.terminal import Painter
from sslint.reports.text import check_text
from tests.test_rules import CASES, RULES, _host

SNAPSHOTS = Path(__file__).with_name("snapshots")
FIRST = {case.rule: case for case in reversed(CASES) if case.fires}
HASH = re.compile(r"\b[0-9a-f]{64}\b")  # of a key that the tests make


@pytest.mark.parametrize("name", sorted(RULES))
def test_report(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(SNAPSHOTS.parents[1])
    result = check([_host(FIRST[name])], list(RULES.values()))
    text = HASH.sub("HASH", check_text(result, Painter(False)))
    path = SNAPSHOTS / f"{name}.txt"
    if os.environ.get("SSLINT_UPDATE_SNAPSHOTS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert path.is_file(), "SSLINT_UPDATE_SNAPSHOTS=1 pytest writes it"
    assert text == path.read_text(), "SSLINT_UPDATE_SNAPSHOTS=1 pytest writes it, if it is right"


def test_no_snapshot_is_left_of_a_rule_that_is_gone() -> None:
    assert {path.stem for path in SNAPSHOTS.iterdir()} == set(RULES)
