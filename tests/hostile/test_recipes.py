"""What is shipped for others to paste runs nothing of the tree that it is run in."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.test_integrations import TOP, git, step

MARK = "run-by-the-recipe"
# What Python, pip, a shell and git take from where they are started.
MODULES = (
    "venv",
    "pip",
    "ensurepip",
    "sitecustomize",
    "usercustomize",
    "sslint",
    "yaml",
    "os",
    "re",
)
PROGRAMS = ("git", "python3", "python", "pip", "sslint", "cp", "cat", "base64", "apt-get")
BACKEND = """
import base64, hashlib, zipfile

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    name = "sslint-0-py3-none-any.whl"
    files = {
        "start.py": PROGRAM,
        "sslint-0.dist-info/entry_points.txt": "[console_scripts]\\nsslint = start:start\\n",
        "sslint-0.dist-info/METADATA": "Metadata-Version: 2.1\\nName: sslint\\nVersion: 0\\n",
        "sslint-0.dist-info/WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
        "sslint-0.dist-info/RECORD": "",
    }
    with zipfile.ZipFile(f"{wheel_directory}/{name}", "w") as made:
        for path, text in files.items():
            made.writestr(path, text)
    return name
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Make what the recipes install, from no index: its program is the sslint under test."""
    made = tmp_path / "package"
    made.mkdir()
    (made / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "sslint"\nversion = "0"\n'
    )
    words = [sys.executable, "-I", "-m", "sslint"]
    program = f"import os, sys\ndef start(): os.execv({words[0]!r}, {words} + sys.argv[1:])\n"
    (made / "backend.py").write_text(f"PROGRAM = {program!r}\n{BACKEND}")
    return made


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Make a clone with a host, whose every file that a program might run leaves a mark."""
    origin = tmp_path / "origin"
    (origin / "etc/nginx").mkdir(parents=True)
    (origin / "etc/nginx/nginx.conf").write_text("events {}\n")
    git(origin, "init", "--quiet", "--initial-branch=main")
    git(origin, "add", ".")
    git(origin, "commit", "--quiet", "--message=x")
    git(tmp_path, "clone", "--quiet", str(origin), "clone")
    clone = tmp_path / "clone"
    mark = tmp_path / MARK
    touch = f"touch {shlex.quote(str(mark))}"
    for module in MODULES:
        (clone / f"{module}.py").write_text(f"open({str(mark)!r}, 'a').write(__name__)\n")
    hooks = [clone / ".git/hooks" / name for name in ("reference-transaction", "post-checkout")]
    hooks[0].parent.mkdir(exist_ok=True)
    for program in (*(clone / name for name in PROGRAMS), *hooks):
        program.write_text(f"#!/bin/sh\n{touch}\n")
        program.chmod(0o755)
    (clone / "pip.conf").write_text("[global]\nindex-url = http://127.0.0.1:1/\n")
    (clone / "pyproject.toml").write_text('[build-system]\nrequires = []\nbuild-backend = "venv"\n')
    with (clone / ".git/config").open("a") as config:
        config.write(
            f"[core]\n\tfsmonitor = {touch}; false\n\tsshCommand = {touch}; false\n"
            f"\thooksPath = {clone}/.git/hooks\n\tpager = {touch}\n\taskPass = {clone}/git\n"
            f"[credential]\n\thelper = !{touch}\n[gc]\n\tauto = 1\n"
            f'[remote "origin"]\n\tuploadpack = {touch}; git-upload-pack\n'
            f'[url "ext::{touch}"]\n\tinsteadOf = file://\n[protocol]\n\tallow = always\n'
        )
    return clone


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    """Return what a runner sets, without the network."""
    (tmp_path / "runner").mkdir(exist_ok=True)
    (tmp_path / "bin").mkdir(exist_ok=True)
    (tmp_path / "bin/apt-get").write_text("#!/bin/sh\n")
    (tmp_path / "bin/apt-get").chmod(0o755)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("GIT", "PYTHON", "CI"))}
    path = f"{tmp_path}/bin:{os.environ['PATH']}"
    return {**kept, "PATH": path, "PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", **more}


def test_a_mark_is_left_by_what_is_run(checkout: Path, tmp_path: Path) -> None:
    """The trap works: what the recipes must not do leaves the mark."""
    words = [sys.executable, "-m", "venv", str(tmp_path / "made")]
    subprocess.run(words, cwd=checkout, capture_output=True)
    assert (tmp_path / MARK).exists()
    (tmp_path / MARK).unlink()
    words = ["git", "fetch", "--quiet", "origin", "main"]
    subprocess.run(words, cwd=checkout, capture_output=True, env=environment(tmp_path))
    assert (tmp_path / MARK).exists()


def test_the_action_runs_nothing_of_the_checkout(
    checkout: Path, package: Path, tmp_path: Path
) -> None:
    here = environment(
        tmp_path,
        RUNNER_TEMP=str(tmp_path / "runner"),
        GITHUB_ACTION_PATH=str(package),
        GITHUB_OUTPUT=str(tmp_path / "output"),
        GITHUB_STEP_SUMMARY=str(tmp_path / "summary"),
        GITHUB_ACTIONS="true",
        GITHUB_BASE_REF="main",
        GITHUB_WORKSPACE=str(checkout),
        GITHUB_SERVER_URL=f"file://{tmp_path}",
        GITHUB_REPOSITORY="origin",
        CHECKED=".",
        FAIL_ON="error",
        SARIF_FILE="sslint.sarif",
        CONFIG_FROM=git(tmp_path / "origin", "rev-parse", "main").strip(),
    )
    for name in ("Install", "Base", "Check"):
        done = step(name, checkout, here)
        assert done.returncode == 0, done.stderr
        assert not (tmp_path / MARK).exists(), name
    assert re.search("^status=[013]$", (tmp_path / "output").read_text(), re.M)


def test_the_gitlab_job_runs_nothing_of_the_checkout(
    checkout: Path, package: Path, tmp_path: Path
) -> None:
    job = yaml.safe_load((TOP / "integrations/gitlab-ci.yml").read_text())["sslint"]
    # A runner joins them: what comes before is the same shell.
    script = "\n".join((*job["before_script"], *job["script"]))
    script = script.replace("/opt/sslint", shlex.quote(str(tmp_path / "opt")))
    here = environment(
        tmp_path,
        SSLINT=str(package),
        FAIL_ON="error",
        CI_PROJECT_DIR=str(checkout),
        CI_JOB_TOKEN="t",
        CI_MERGE_REQUEST_TARGET_BRANCH_NAME="main",
        CI_MERGE_REQUEST_PROJECT_URL=f"file://{tmp_path}/origin",
    )
    done = subprocess.run(
        ["sh", "-ec", script], cwd=checkout, env=here, capture_output=True, text=True
    )
    assert done.returncode in (0, 3), done.stderr
    assert (checkout / "sslint.html").exists()
    assert not (tmp_path / MARK).exists()


@pytest.mark.parametrize("name", ["Base", "gitlab"])
def test_no_object_is_written_through_a_link(checkout: Path, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    packs = checkout / ".git/objects/pack"
    packs.rename(outside)
    packs.symlink_to(outside)
    before = sorted(outside.iterdir())
    here = environment(
        tmp_path,
        RUNNER_TEMP=str(tmp_path / "runner"),
        GITHUB_OUTPUT=str(tmp_path / "output"),
        GITHUB_BASE_REF="main",
        GITHUB_WORKSPACE=str(checkout),
        GITHUB_SERVER_URL=f"file://{tmp_path}",
        GITHUB_REPOSITORY="origin",
        FAIL_ON="error",
        CI_PROJECT_DIR=str(checkout),
        CI_JOB_TOKEN="t",
        CI_MERGE_REQUEST_TARGET_BRANCH_NAME="main",
        CI_MERGE_REQUEST_PROJECT_URL=f"file://{tmp_path}/origin",
    )
    if name == "Base":
        assert step(name, checkout, here).returncode == 1
    else:
        [script] = yaml.safe_load((TOP / "integrations/gitlab-ci.yml").read_text())["sslint"][
            "script"
        ]
        assert subprocess.run(["sh", "-ec", script], cwd=checkout, env=here).returncode == 1
    assert sorted(outside.iterdir()) == before


def test_what_is_pasted_starts_python_apart_from_the_checkout() -> None:
    """`-I`: neither the directory it is started in nor PYTHONPATH has modules."""
    shipped = ("action.yml", "Containerfile", "README.md", ".pre-commit-hooks.yaml")
    files = [TOP / name for name in shipped]
    for place in ("integrations", "docs", ".github"):
        files += [path for path in (TOP / place).rglob("*") if path.suffix in (".md", ".yml")]
    started = {
        f"{path.relative_to(TOP)}: {found}"
        for path in files
        for found in re.findall(r"python3?\"? -(?!I\b).*", path.read_text())
    }
    assert not started
