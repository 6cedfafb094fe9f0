"""What the stock validators accept in silence is a finding, with its rule's name and its line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sslint.checker import check
from tests.cases import target
from tests.test_rules import RULES

ROWS = yaml.safe_load(Path(__file__).with_name("measured.yaml").read_text())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["row"])
def test_row(row: dict[str, Any]) -> None:
    result = check([target(row["host"], tuple(row["edits"]))], list(RULES.values()))
    places = {
        f"{finding.rule.name} {finding.span.location.path}:{finding.span.location.line}"
        for finding in result.findings
        if finding.span is not None
    }
    assert f"{row['rule']} {row['at']}" in places
