"""docs/threat-model.md names tests that exist, and README's recipe follows it."""

from __future__ import annotations

import re
from pathlib import Path

from sslint.budgets import GROWING, LIMITS

TOP = Path(__file__).parent.parent
TEXT = (TOP / "docs/threat-model.md").read_text()


def test_every_promise_names_a_test_that_exists() -> None:
    rows = re.findall(
        r"^\| (?!promise|who|---)(.*) \| (.*) \|$",
        TEXT.split("What is promised")[1].split("What a run may use")[0],
        re.M,
    )
    assert len(rows) > 10
    for promise, holders in rows:
        named = re.findall(r"`((?:tests|schemas)/[^`]*)`", holders)
        assert named, promise
        assert all((TOP / path).exists() for path in named), holders


def test_the_recipe_takes_the_configuration_from_the_base() -> None:
    recipe = (TOP / "README.md").read_text().split("as a gate in CI")[1].split("pre-commit")[0]
    assert "--config-from origin/main" in recipe
    assert "docs/threat-model.md" in (TOP / "SECURITY.md").read_text()


def test_the_limits_are_listed() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([\d,]+)( \+)? \| (.*) \|$", TEXT, re.M)
    assert [(name, int(limit.replace(",", "")), bool(grows), of)
            for name, limit, grows, of in rows] == [
        (name, limit, name in GROWING, of) for name, (limit, of) in LIMITS.items()
    ]  # fmt: skip


def test_no_setting_of_the_tree_raises_a_limit() -> None:
    assert '"limit":' not in (TOP / "schemas/config.schema.json").read_text()
