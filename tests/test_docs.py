"""The documentation says what the tool does."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from sslint import arguments, bundled, engine, targets, yamlfile
from sslint.cli import main
from sslint.reports import fields, markdown
from sslint.reports.rules import explain, table

TOP = Path(__file__).parent.parent
README = (TOP / "README.md").read_text()


def test_rule_pages_are_current() -> None:
    wanted = markdown.pages(engine.bundled())
    found = {path.name: path.read_text() for path in (TOP / "docs/rules").glob("*.md")}
    assert found == wanted, "run `make docs`"


def test_fields_are_current() -> None:
    assert bundled.schema_text("facts") == fields.schema(), "run `make docs`"
    assert (TOP / "docs/facts.md").read_text() == fields.manual(), "run `make docs`"


def test_keys_of_servers_are_current() -> None:
    assert bundled.schema_text("config") == fields.settings_schema(), "run `make docs`"


def test_every_field_is_explained() -> None:
    known = json.loads(bundled.schema_text("facts"))["$defs"]
    fields_ = [(k, *item) for k, one in known.items() for item in one.get("properties", {}).items()]
    assert [(kind, name) for kind, name, said in fields_ if not said["description"]] == []


REPORTS = (TOP / "docs/reports.md").read_text()
SHOWN = [
    (command.strip(), output.strip())
    for fence, block in re.findall(r"^(```+)\n(\$ sslint .*?)^\1$", README + REPORTS, re.M | re.S)
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


def test_every_format_is_shown() -> None:
    from sslint.arguments import REPORTS as FORMATS

    shown = {command.partition("--format ")[2].split(" ")[0] for command, _ in SHOWN}
    assert shown >= {*FORMATS} - {"text", "json", "sarif", "html"}, "too long, or the README's"
    for name in FORMATS:
        assert f"`{name}`" in REPORTS


def test_readme_shows_a_report_a_table_and_a_trace() -> None:
    assert {command.split()[0] for command, _ in SHOWN} == {"check", "endpoints", "trace"}


def test_readme_names_every_command_and_flag() -> None:
    _, commands = arguments.parsers()
    for name, command in commands.items():
        assert re.search(rf"sslint {name}\b", README), name
        for action in command._actions:
            known = [flag for flag in action.option_strings if flag not in ("-h", "--help")]
            named = [re.search(rf"(?<![\w-]){flag}(?![\w-])", README) for flag in known]
            assert not known or any(named), known


def test_readme_names_every_setting_and_kind_of_firewall() -> None:
    settings = README[README.index("### Settings") : README.index("## Trust")]
    for name in yamlfile.properties("config"):
        assert re.search(rf"`{name}`|^    {name}:", settings, re.M), name
    kinds = README[README.index("| kind |") : README.index("**Findings**")]
    assert re.findall(r"`([a-z0-9-]+)`", "".join(re.findall(r"^\| `.*?\|", kinds, re.M))) == [
        *targets.firewall_kinds(),
        "none",
    ]


def test_readme_explains_what_tables_show() -> None:
    for word in ("STARTTLS!", "?", "passed on", "limited", "unknown", "*Public*", "`via`"):
        assert word in README, word
    assert re.search(r"^\| status \|.*`trace` \|$", README, re.M)


def test_counts_of_rules_are_current() -> None:
    rules = engine.bundled()
    changelog = (TOP / "CHANGELOG.md").read_text()
    said = re.findall(r"(\d+) rules\b", README + changelog)
    assert said
    assert set(said) == {str(len(rules))}
    families = {8: "eight", 9: "nine", 10: "ten"}[len({rule.family for rule in rules})]
    assert f"{len(rules)} rules in {families} families" in changelog


def test_nothing_is_promised_that_is_not_there() -> None:
    """No release is on PyPI, no tag is set, and no site is served."""
    for name in ("README.md", "CONTRIBUTING.md"):
        text = (TOP / name).read_text()
        assert "pip install sslint" not in text
        assert not re.search(r"rev: v\d", text)
        assert not re.search(r"https?://(\S+\.)?sslint\.", text)
    for path in (TOP / "linter").rglob("*.py"):
        assert not re.search(r"https?://(\S+\.)?sslint\.", path.read_text()), path


def test_a_finding_names_the_page_of_its_rule(capsys: pytest.CaptureFixture[str]) -> None:
    main(["check", str(TOP / "examples/web-443-closed"), "--format", "json"])
    [finding] = json.loads(capsys.readouterr().out)["findings"]
    assert (TOP / finding["docs"]).is_file()


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


def test_the_design_names_what_there_is() -> None:
    root = Path(__file__).parents[1]
    package = root / "linter/sslint"
    text = (root / "docs/design.md").read_text()
    there = {path.relative_to(package).as_posix() for path in package.rglob("*.py")}
    names = {path.rpartition("/")[2] for path in there}
    for name in re.findall(r"`((?:[a-z_]+/)*[a-z_]+\.py)`", text):
        assert name in there or ("/" not in name and name in names), name
    code = "\n".join(path.read_text() for path in package.rglob("*.py"))
    for name in re.findall(r"`(?:[A-Z]\w+\.)?([A-Za-z_]{4,})`", text):
        assert re.search(rf"\b{name}\b", code), name
