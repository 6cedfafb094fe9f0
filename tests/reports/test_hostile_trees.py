"""Hostile trees in every format: what each program that takes a report would stumble over."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from sslint.arguments import REPORTS
from sslint.cli import main
from tests.hostile import crashes, escapes, injections, secrets, sizes
from tests.hostile.registry import CANARIES, TREES, Ground
from tests.hostile.running import COMMANDS, is_format
from tests.reports import tools
from tests.reports.test_page import Read

assert all((crashes, escapes, injections, secrets, sizes))  # each fills TREES
MANY = {"nginx_includes_itself_by_a_pattern"}  # what makes many findings, some of them alike
NAMES = sorted(
    {name for name, make in TREES.items() if make.__module__ == injections.__name__}
    | {name for name in TREES if name.startswith("key_in_")}
    | {"braces_as_compose_yaml", "empty_files_of_firewalld", "main_cf_of_edges",
       "every_file_is_a_directory", "nul_in_names_of_files", "yaml_of_edges", *MANY}
)  # fmt: skip
COMMAND = re.compile(
    r"::(error|warning|notice) file=[^,:]+,line=\d+,endLine=\d+,col=\d+,endColumn=\d+,"
    r"title=[^,:]+::.+|\d+ more without an annotation: .*"
)
SAMPLE = re.compile(r'\w+(\{(\w+="([^"\\]|\\[\\"n])*",?)+\})? [-0-9.e+]+')


@pytest.fixture
def ground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ground:
    for name in ("GITHUB_ACTIONS", "COLUMNS", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return Ground(tmp_path)


def reports(ground: Ground, name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Write every report of a tree, and return those that were made."""
    try:
        words = TREES[name](ground) or ["check", str(ground.root)]
    except PermissionError as error:
        pytest.skip(f"only root makes this tree: {error}")
    if words[0] != "check":
        pytest.skip("it is not for check")
    monkeypatch.chdir(ground.root)
    out = ground.root.parent / "reports"
    out.mkdir()
    outputs = [word for one in REPORTS for word in ("--output", f"{one}={out}/{one}")]
    assert main([*words, *outputs]) in (0, 1, 2, 3)
    return {path.name: path.read_bytes().decode() for path in out.iterdir()}


@pytest.mark.parametrize("name", NAMES)
def test_no_report_is_spoilt(ground: Ground, monkeypatch, capsys, name: str) -> None:
    found = reports(ground, name, monkeypatch)
    for one, text in found.items():
        assert not [canary for canary in CANARIES if canary in text], one
        strange = {char for char in text if char not in "\n\ufe0f" and is_format(char)}
        assert not strange, one
        assert one == "github" or not COMMANDS.search(text), one
    if not found:  # wrong usage, or a tree that is none
        return
    for one in ("json", "sarif", "gitlab"):
        json.loads(found[one])
    ElementTree.fromstring(found["junit"])
    for line in found["github"].splitlines():
        assert COMMAND.fullmatch(line), line
    _is_page(found["html"])
    _are_series(found["prometheus"])
    entries = json.loads(found["gitlab"])
    prints = [entry["fingerprint"] for entry in entries]
    assert len(set(prints)) == len(prints)
    for entry in entries:
        assert entry["description"]
        assert entry["location"]["path"].strip("/") == entry["location"]["path"]


def _is_page(text: str) -> None:
    page = Read(text)
    assert page.tags.count("script") == 1
    assert len(set(page.ids)) == len(page.ids)
    assert {link.removeprefix("#") for link in page.links} <= set(page.ids)
    assert all(link.startswith("#m-") for link in page.loads)


def _are_series(text: str) -> None:
    lines = [line for line in text.splitlines() if not line.startswith("# ")]
    assert all(map(SAMPLE.fullmatch, lines))
    series = [line.rpartition(" ")[0] for line in lines]
    assert len(set(series)) == len(series)


def test_a_host_that_is_named_like_a_command_spoils_no_metrics(
    ground: Ground, monkeypatch, capsys
) -> None:
    found = reports(ground, "workflow_commands_as_hosts", monkeypatch)
    done = tools.run(tools.program("promtool"), "check", "metrics", text=found["prometheus"])
    assert (done.returncode, done.stderr) == (0, "")
