"""The documentation says what the tool does."""

from __future__ import annotations

import re
from pathlib import Path

from sslint import engine
from sslint.cli import main
from sslint.reports import markdown

TOP = Path(__file__).parent.parent


def test_compiled_rules_are_current() -> None:
    assert engine.compiled_path().read_text() == markdown.compiled(), "run `make docs`"


def test_rule_pages_are_current() -> None:
    wanted = markdown.pages(engine.bundled())
    found = {path.name: path.read_text() for path in (TOP / "docs/rules").glob("*.md")}
    assert found == wanted, "run `make docs`"


def test_readme_shows_the_report_of_an_example(capsys) -> None:
    readme = (TOP / "README.md").read_text()
    main(["check", str(TOP / "examples/web-443-closed")])
    report = capsys.readouterr().out
    assert report.strip() in readme, "paste the report of `sslint check examples/web-443-closed`"


def test_readme_names_every_command() -> None:
    readme = (TOP / "README.md").read_text()
    for command in ("check", "endpoints", "trace", "explain", "rules"):
        assert re.search(rf"sslint {command}\b", readme), command


def test_changelog_has_the_version() -> None:
    assert "## [Unreleased]" in (TOP / "CHANGELOG.md").read_text()
