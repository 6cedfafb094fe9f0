"""The documentation says what the tool does."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from sslint import engine
from sslint.cli import main
from sslint.reports import markdown
from sslint.reports.rules import explain, table

TOP = Path(__file__).parent.parent
README = (TOP / "README.md").read_text()


def test_compiled_rules_are_current() -> None:
    assert engine.compiled_path().read_text() == markdown.compiled(), "run `make docs`"


def test_rule_pages_are_current() -> None:
    wanted = markdown.pages(engine.bundled())
    found = {path.name: path.read_text() for path in (TOP / "docs/rules").glob("*.md")}
    assert found == wanted, "run `make docs`"


SHOWN = [
    (command.strip(), output.strip())
    for block in re.findall(r"^```\n(\$ sslint .*?)^```$", README, re.M | re.S)
    for command, _, output in (part.partition("\n") for part in block.split("$ sslint ")[1:])
]


@pytest.mark.parametrize(("command", "output"), SHOWN, ids=[command for command, _ in SHOWN])
def test_readme_shows_what_is_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str, output: str
) -> None:
    monkeypatch.chdir(TOP)
    monkeypatch.delenv("COLUMNS", raising=False)
    main(shlex.split(command))
    assert capsys.readouterr().out.strip() == output, f"README: paste what `{command}` prints"


def test_readme_shows_a_report_a_table_and_a_trace() -> None:
    assert {command.split()[0] for command, _ in SHOWN} == {"check", "endpoints", "trace"}


def test_readme_names_every_command() -> None:
    for command in ("check", "endpoints", "trace", "explain", "rules"):
        assert re.search(rf"sslint {command}\b", README), command


def test_changelog_has_the_version() -> None:
    assert "## [Unreleased]" in (TOP / "CHANGELOG.md").read_text()


RULES = engine.bundled()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_the_manual_shows_no_placeholder(rule: engine.Rule) -> None:
    named = {
        field
        for template in (rule.message, rule.clients, rule.advice)
        for field in engine.placeholders(template)
    }
    shown = "\n".join([explain(rule), markdown.page(rule), table([rule])])
    for field in named:
        assert f"{{{field}" not in shown
        capitals = field.rsplit(".", 1)[-1].upper()
        assert not re.search(rf"\b{re.escape(capitals)}\b", shown), capitals
    told = {f for text in (rule.clients, rule.advice) for f in engine.placeholders(text)}
    assert told <= set(rule.words), "say in `words` what they mean"


def test_the_list_shows_the_range_of_severities() -> None:
    lines = {line.split()[0]: line for line in table(RULES).splitlines() if line}
    assert " error, warning, info " in lines["tls-port-closed"]
