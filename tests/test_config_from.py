"""`--config-from REV`: a stranger's configuration does not judge itself."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from sslint import bundled
from sslint.cli import main
from tests.cases import EXAMPLES

BROKEN = EXAMPLES / "web-443-closed/etc"
GIT = ("git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
RULE = """\
name: no-plain-http
severity: error
summary: Plain HTTP is served
each: endpoint
match: {port: 80}
message: "{entity} is served in plain text"
why: our policy
since: "0.1"
"""


def git(top: Path, *words: str) -> str:
    done = subprocess.run(
        [*GIT, "-C", str(top), *words], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def commit(top: Path) -> str:
    git(top, "add", "--all", "--force")
    git(top, "commit", "--quiet", "--allow-empty", "--message", "x")
    return git(top, "rev-parse", "HEAD")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Return a work tree whose first commit is called base, with a host that has findings."""
    top = tmp_path / "work"
    for path in BROKEN.rglob("*"):
        if path.is_file():
            place = top / "etc" / path.relative_to(BROKEN)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(path.read_bytes())
    git(top, "init", "--quiet", "--initial-branch=main")
    return top


def base(top: Path, **files: str) -> None:
    """Commit files as the base, and let the pull request start without them."""
    for name, text in files.items():
        place = top / name.replace("__", "/").replace("_", ".")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    commit(top)
    git(top, "branch", "base")


def check(capsys: pytest.CaptureFixture[str], top: Path, *more: str) -> tuple[int, dict[str, Any]]:
    code = main(["check", str(top), "--config-from", "base", "--format", "json", *more])
    out = capsys.readouterr().out
    report = json.loads(out) if out else {}
    if report:
        jsonschema.validate(report, json.loads(bundled.schema_text("report")))
    return code, report


@pytest.mark.parametrize(
    "setting",
    ["fail_on: never", "ignore: [reachability]", "exclude: [etc]", "firewall: none",
     "baseline: known.json", "select: [dns]", "expected_open: [443/tcp]", "no_ignores: false",
     "not_judged: [{code: certificates-unread, because: x}]"],
)  # fmt: skip
def test_what_a_pull_request_sets_does_not_count_and_is_shown(
    work: Path, capsys, setting: str
) -> None:
    base(work, _sslint_yaml="verbose: true\n")
    without = check(capsys, work)
    assert without[0] == 1
    assert without[1]["configuration"]["changes"] == []
    main(["check", str(work), "--write-baseline", str(work / "known.json")])
    capsys.readouterr()
    (work / ".sslint.yaml").write_text(f"verbose: true\n{setting}\n")
    commit(work)
    code, report = check(capsys, work)
    assert code == 1
    assert report["findings"] == without[1]["findings"]
    [change] = report["configuration"]["changes"]
    assert (change["key"], change["change"], change["line"]) == (setting.split(":")[0], "added", 2)
    assert change["path"] == ".sslint.yaml"


def test_the_text_report_names_what_would_change_and_no_value(work: Path, capsys) -> None:
    base(work, _sslint_yaml="fail_on: error\nnow: 2026-01-01\n")
    (work / ".sslint.yaml").write_text("fail_on: never\nignore: [reachability]\n")
    assert main(["check", str(work), "--config-from", "base"]) == 1
    out = capsys.readouterr().out
    assert (
        "configuration: .sslint.yaml of base; what the checked tree changes does not count" in out
    )
    assert "fail_on is changed" in out
    assert "ignore is added" in out
    assert "now is removed" in out
    assert "never" not in out


def test_a_configuration_that_is_not_there_at_the_base_is_none(work: Path, capsys) -> None:
    base(work)
    (work / ".sslint.yaml").write_text("fail_on: never\n")
    code, report = check(capsys, work)
    assert code == 1
    assert report["configuration"]["path"] is None
    assert [change["key"] for change in report["configuration"]["changes"]] == ["fail_on"]


@pytest.mark.parametrize("text", ["fail_on: [\n", "no: such\n"])
def test_a_configuration_that_is_broken_now_does_not_stop_the_check(
    work: Path, capsys, text: str
) -> None:
    base(work, _sslint_yaml="verbose: true\n")
    (work / ".sslint.yaml").write_text(text)
    code, report = check(capsys, work)
    assert code == 1
    assert report["configuration"]["changes"] == [
        {"key": None, "change": "changed", "path": None, "line": 0}
    ]


def test_the_baseline_and_the_rules_are_those_of_the_base(work: Path, capsys) -> None:
    main(["check", str(work), "--write-baseline", str(work / "known.json")])
    capsys.readouterr()
    base(work, _sslint_yaml="baseline: known.json\nrules: [lint]\n", lint__a_yaml=RULE)
    (work / "known.json").write_text('{"version": 1, "findings": {}}')
    (work / "lint/a.yaml").unlink()
    (work / "lint/b.yaml").write_text("no rule\n")
    code, report = check(capsys, work)
    assert {finding["rule"] for finding in report["findings"]} == {"no-plain-http"}
    assert report["summary"]["baselined"] > 0
    assert [c["key"] for c in report["configuration"]["changes"]] == ["baseline", "rules"]
    assert code == 1


def test_links_and_submodules_of_the_base_are_refused(work: Path, capsys) -> None:
    (work / ".sslint.yaml").symlink_to("etc/nginx/nginx.conf")
    base(work)
    (work / ".sslint.yaml").unlink()
    assert check(capsys, work)[0] == 2
    git(work, "rm", "--quiet", "--cached", ".sslint.yaml")
    oid = git(work, "rev-parse", "HEAD")
    git(work, "update-index", "--add", "--cacheinfo", f"160000,{oid},.sslint.yaml")
    git(work, "commit", "--quiet", "--message", "x")
    git(work, "branch", "--force", "base")
    assert check(capsys, work)[0] == 2


@pytest.mark.parametrize(
    "revision", ["none", "--help", "-p", "a b", "base\nHEAD", "", "HEAD:etc", "\0", "base:"]
)
def test_what_is_no_commit_is_refused(work: Path, capsys, revision: str) -> None:
    base(work)
    assert main(["check", str(work), f"--config-from={revision}"]) == 2
    assert "--config-from" in capsys.readouterr().err


def test_it_stands_alone(work: Path, capsys, tmp_path: Path) -> None:
    base(work)
    assert main(["check", str(work), "--config-from", "base", "--no-config"]) == 2
    assert main(["check", str(work), "--config-from", "base", "--config", "x"]) == 2
    (tmp_path / "plain/etc").mkdir(parents=True)
    assert main(["check", str(tmp_path / "plain"), "--config-from", "base"]) == 2
    assert "not a work tree of git" in capsys.readouterr().err


def test_git_runs_nothing_of_the_checked_tree(work: Path, capsys, monkeypatch) -> None:
    """Text conversions, filters, hooks, monitors, replaced objects and lazy fetches stay idle."""
    base(work, _sslint_yaml="verbose: true\n")
    ran = work.parent / "ran"
    program = work.parent / "program"
    program.write_text(f'#!/bin/sh\necho "$0 $*" >> {ran}\ncat\n')
    program.chmod(0o755)
    (work / ".gitattributes").write_text("* diff=evil filter=evil\n.sslint.yaml diff=evil\n")
    settings = {
        "diff.evil.textconv": program, "filter.evil.smudge": program, "filter.evil.clean": program,
        "filter.evil.process": program, "core.fsmonitor": program, "core.pager": program,
        "core.sshCommand": program, "core.editor": program, "core.hooksPath": work.parent,
        "remote.origin.url": f"ext::{program}", "remote.origin.promisor": "true",
        "extensions.partialClone": "origin", "protocol.ext.allow": "always",
        "core.askPass": program, "credential.helper": program, "core.gitProxy": program,
        "diff.external": program, "alias.cat-file": f"!{program}",
    }  # fmt: skip
    for hook in ("post-index-change", "fsmonitor-watchman", "reference-transaction"):
        (work.parent / hook).symlink_to(program)
    oid = git(work, "rev-parse", "base:.sslint.yaml")
    evil = subprocess.run(
        [*GIT, "-C", str(work), "hash-object", "-w", "--stdin"],
        input="fail_on: never\n", capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    git(work, "replace", oid, evil)
    for key, value in settings.items():
        git(work, "config", key, str(value))
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", str(program))
    monkeypatch.setenv("GIT_TRACE", str(work.parent / "trace"))
    ran.unlink(missing_ok=True)  # what git did of itself while the tree was made
    code, report = check(capsys, work)
    assert code == 1
    assert report["configuration"]["changes"] == []
    assert not ran.exists()
    assert not (work.parent / "trace").exists()
    assert main(["diff", str(work), "--against", "base", "--format", "json"]) in (0, 1, 3)
    assert "evil" not in capsys.readouterr().out
    assert not ran.exists()
    # an object that is missing is not fetched
    (work / f".git/objects/{oid[:2]}/{oid[2:]}").unlink()
    assert check(capsys, work)[0] == 2
    assert main(["diff", str(work), "--against", "base"]) == 2
    assert not ran.exists()


def test_it_is_asked_of_the_work_tree_and_none_above(work: Path, capsys) -> None:
    base(work)
    inner = work / "inner"
    (inner / ".git").mkdir(parents=True)
    (inner / "etc").mkdir()
    assert main(["check", str(inner), "--config-from", "base"]) == 2
    assert "git does not read" in capsys.readouterr().err


def test_a_path_below_has_the_configuration_above_it(work: Path, capsys, monkeypatch) -> None:
    base(work, _sslint_yaml="fail_on: never\n")
    (work / ".sslint.yaml").unlink()
    monkeypatch.chdir(work / "etc")
    assert main(["check", ".", "--config-from", "base"]) == 0
    assert "fail_on is removed" in capsys.readouterr().out
    monkeypatch.setenv("SSLINT_CONFIG_FROM", "base")
    assert main(["check", str(work / "etc")]) == 0
    assert os.environ["SSLINT_CONFIG_FROM"] == "base"


def test_what_a_pull_request_acknowledges_is_not_judged_for_it(work: Path, capsys) -> None:
    shutil.rmtree(work / "etc")
    nginx = "http { server { listen 443 ssl; ssl_certificate /a; ssl_certificate_key /b; } }\n"
    base(work, _sslint_yaml="verbose: true\n", etc__nginx__nginx_conf=f"events {{}}\n{nginx}")
    entry = "not_judged: [{code: no-firewall, because: x}]\n"
    (work / ".sslint.yaml").write_text(entry)
    commit(work)
    assert main(["check", str(work)]) == 0
    assert main(["check", str(work), "--config-from", "base"]) == 3
    assert main(["check", str(work), "--config-from", "HEAD"]) == 0
