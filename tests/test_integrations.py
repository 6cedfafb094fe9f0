"""Where sslint runs: what the action, the GitLab job, the timer and the role do, as they are."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from sslint.arguments import parse
from sslint.cli import main
from tests.cases import EXAMPLES

TOP = Path(__file__).parent.parent
PLACES = TOP / "integrations"


def git(here: Path, *words: str) -> str:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    done = subprocess.run(
        ["git", *who, *words], cwd=here, check=True, capture_output=True, text=True
    )
    return done.stdout


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Make a clone of a repository whose one host has a closed port."""
    origin = tmp_path / "origin"
    shutil.copytree(EXAMPLES / "web-443-closed/etc", origin / "web/etc")
    git(origin, "init", "--quiet", "--initial-branch=main")
    git(origin, "add", ".")
    git(origin, "commit", "--quiet", "--message=x")
    git(tmp_path, "clone", "--quiet", str(origin), "clone")
    return tmp_path / "clone"


def sslint(directory: Path) -> Path:
    """Make a directory whose bin/sslint is the one under test."""
    (directory / "bin").mkdir(parents=True)
    program = directory / "bin/sslint"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m sslint "$@"\n')
    program.chmod(0o755)
    return directory


def action() -> dict[str, dict[str, Any]]:
    document = yaml.safe_load((TOP / "action.yml").read_text())
    return {step["name"]: step for step in document["runs"]["steps"]}


def step(name: str, here: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a step of the action as its runner does."""
    found = action()[name]
    fixed = {k: v for k, v in found.get("env", {}).items() if "${{" not in v}
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", found["run"]],
        cwd=here,
        env={"TOKEN": "t", "CONFIG_FROM": "", **fixed, **environment},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("fail_on", "base", "status"), [("error", "", 1), ("never", "", 0), ("error", "main", 1)]
)
def test_the_action_keeps_the_status(
    clone: Path, tmp_path: Path, fail_on: str, base: str, status: int
) -> None:
    sslint(tmp_path / "runner/sslint")
    (clone / ".sslint.yaml").write_text("fail_on: never\nignore: [reachability]\n")
    if not base:
        (clone / ".sslint.yaml").unlink()
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("GIT")},
        "RUNNER_TEMP": str(tmp_path / "runner"),
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
        "GITHUB_ACTIONS": "true",
        "GITHUB_BASE_REF": base,
        "GITHUB_WORKSPACE": str(clone),
        "GITHUB_SERVER_URL": f"file://{tmp_path}",
        "GITHUB_REPOSITORY": "origin",
        "CHECKED": ".",
        "FAIL_ON": fail_on,
        "SARIF_FILE": "sslint.sarif",
    }
    if base:
        done = step("Base", clone, environment)
        assert done.returncode == 0, done.stderr
        commit = git(tmp_path / "origin", "rev-parse", "main")
        assert (tmp_path / "output").read_text() == f"commit={commit}"
        environment["CONFIG_FROM"] = commit.strip()
        (tmp_path / "output").unlink()
    done = step("Check", clone, environment)
    assert done.returncode == 0, done.stderr
    assert "\n::error file=web/etc/nginx/sites-enabled/shop,line=9" in done.stdout
    assert (tmp_path / "output").read_text() == f"status={status}\n"
    assert "| `tls-port-closed` |" in (tmp_path / "summary").read_text()
    assert '"ruleId": "tls-port-closed"' in (clone / "sslint.sarif").read_text()
    end = step("Status", clone, {**environment, "STATUS": str(status)})
    assert end.returncode == status


def test_no_input_is_part_of_a_script() -> None:
    for name, step in action().items():
        assert "${{" not in step.get("run", ""), name


@pytest.mark.parametrize(
    "file", ["action.yml", "integrations/github-workflow.yml", ".github/workflows/release.yml"]
)
def test_what_is_used_is_pinned_by_its_hash(file: str) -> None:
    used = re.findall(r"uses: (\S+)", (TOP / file).read_text())
    # Whoever pastes it names the commit; a place in what is checked out is the pull request's.
    assert all(re.search(r"@[0-9a-f]{40}$", one) or one == "OWNER/sslint@COMMIT" for one in used)
    assert used


def test_a_release_is_its_version() -> None:
    import sslint

    document = yaml.safe_load((TOP / ".github/workflows/release.yml").read_text())
    scripts = {step.get("name"): step.get("run") for step in document["jobs"]["build"]["steps"]}
    script = scripts["The tag is the version, and the changelog has it"].split("\n")[0]
    done = subprocess.run(
        ["bash", "-ec", f'{script}; echo "$version"'], cwd=TOP, capture_output=True, text=True
    )
    assert done.stdout.strip() == sslint.__version__


def test_the_notes_of_a_release_are_its_part_of_the_changelog(tmp_path: Path) -> None:
    document = yaml.safe_load((TOP / ".github/workflows/release.yml").read_text())
    scripts = {step.get("name"): step.get("run") for step in document["jobs"]["build"]["steps"]}
    (tmp_path / "CHANGELOG.md").write_text(
        "# C\n\n## [2.0.0]\n\n- b\n\n## [1.2.3] - x\n\n- a\n\n## [1.0.0]\n"
    )
    (tmp_path / "gh").write_text("#!/bin/sh\n")
    (tmp_path / "gh").chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "RUNNER_TEMP": str(tmp_path)}
    for version, notes in (("1.2.3", "\n- a\n\n"), ("2.0.0", "\n- b\n\n")):
        subprocess.run(
            ["bash", "-eo", "pipefail", "-c", scripts["Release"]],
            cwd=tmp_path,
            check=True,
            env={**environment, "GITHUB_REF_NAME": f"v{version}"},
        )
        assert (tmp_path / "notes.md").read_text() == notes


def test_the_gitlab_job_makes_its_reports(clone: Path, tmp_path: Path) -> None:
    job = yaml.safe_load((PLACES / "gitlab-ci.yml").read_text())["sslint"]
    program = sslint(tmp_path / "opt") / "bin/sslint"
    [script] = job["script"]
    script = script.replace("/opt/sslint/bin/sslint", shlex.quote(str(program)))
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("GIT")},
        **job["variables"],
        "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
        "CI_MERGE_REQUEST_PROJECT_URL": f"file://{tmp_path}/origin",
        "CI_JOB_TOKEN": "t",
        "CI_PROJECT_DIR": str(clone),
    }
    done = subprocess.run(["sh", "-ec", script], cwd=clone, env=environment, capture_output=True)
    assert done.returncode == 1, done.stderr
    reports = job["artifacts"]["reports"]
    for file in (reports["codequality"], reports["junit"], *job["artifacts"]["paths"]):
        assert (clone / file).stat().st_size > 100


def test_the_timer_runs_what_there_is() -> None:
    lines = (PLACES / "systemd/sslint.service").read_text().splitlines()
    [start] = [line for line in lines if line.startswith("ExecStart=")]
    words = shlex.split(start.removeprefix("ExecStart="))
    options = parse(words[1:], {})
    assert (options.paths, options.output[0].partition("=")[0]) == (["/etc"], "prometheus")


def test_the_role_runs_what_there_is() -> None:
    task = yaml.safe_load((PLACES / "ansible/roles/sslint/tasks/main.yml").read_text())[0]
    argv = task["ansible.builtin.command"]["argv"]
    words = [word for word in argv.split("'")[1::2] if word != "check"]
    assert parse(["check", "/etc", *words, "error"], {}).format == "json"


def test_the_report_of_all_hosts_asks_for_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    main(["check", str(EXAMPLES / "web-443-closed"), "--format", "json"])
    report = json.loads(capsys.readouterr().out)
    template = (PLACES / "ansible/roles/sslint/templates/sslint.txt.j2").read_text()
    found = {"report": report, "finding": report["findings"][0]}
    asked = set(re.findall(r"\b(report|finding)\.([a-z.]+)", template))
    assert len(asked) >= 7
    for name, path in asked:
        value: Any = found[name]
        for key in path.split("."):
            value = value[key]


def test_the_container_runs_as_nobody_in_particular() -> None:
    lines = (TOP / "Containerfile").read_text().splitlines()
    assert "USER 10001" in lines
    assert lines.index("USER 10001") < lines.index('ENTRYPOINT ["/opt/sslint/bin/sslint"]')


def test_every_package_is_in_the_wheel() -> None:
    """An editable install has what the wheel lacks."""
    import tomllib

    tools = tomllib.loads((TOP / "pyproject.toml").read_text())["tool"]["setuptools"]
    top = TOP / "linter/sslint"
    found = {
        ".".join(("sslint", *path.parent.relative_to(top).parts))
        for path in top.rglob("__init__.py")
    }
    assert {*tools["packages"]} == found | {"sslint.rules", "sslint.schemas"}
    data = {
        path.relative_to(top)
        for path in top.rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    known = tools["package-data"]
    for path in data:
        package = ".".join(("sslint", *path.parent.parts))
        assert any(path.match(pattern) for pattern in known[package]), path
