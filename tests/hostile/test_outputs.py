"""What is written stays where the user named it: links of the checked tree lead nowhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sslint.cli import main
from tests.cases import EXAMPLES

WRITERS = {
    "output": lambda path: ["check", "web", "--output", f"json={path}"],
    "baseline": lambda path: ["check", "web", "--write-baseline", path],
}


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A work tree with a host, and directories that are links out of it."""
    top, outside = tmp_path / "checkout", tmp_path / "outside"
    (outside / "deep").mkdir(parents=True)
    shutil.copytree(EXAMPLES / "web-443-closed", top / "web")
    (top / ".git").mkdir()
    (top / "reports").symlink_to(outside)
    (top / "a").mkdir()
    (top / "a/b").symlink_to("../../outside")
    monkeypatch.chdir(top)
    return top


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize(
    "path", ["reports/x", "reports/deep/x", "a/b/x", "{top}/reports/x", "{alias}/a/b/x"]
)
def test_a_directory_that_is_a_link_is_not_written_through(
    path: str, writer: str, checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alias = checkout.parent / "alias"
    alias.symlink_to("checkout")
    assert main(WRITERS[writer](path.format(top=checkout, alias=alias))) == 2
    assert "not followed" in capsys.readouterr().err
    assert [one.name for one in (checkout.parent / "outside").rglob("*")] == ["deep"]


def test_links_below_the_working_directory_need_no_work_tree(checkout: Path) -> None:
    (checkout / ".git").rmdir()
    assert main(WRITERS["output"]("reports/x")) == 2


@pytest.mark.parametrize("writer", WRITERS)
def test_links_of_the_machine_are_followed(writer: str, checkout: Path) -> None:
    (checkout.parent / "run").symlink_to("outside")
    assert main(WRITERS[writer](f"{checkout.parent}/run/x")) == 1
    assert main(WRITERS[writer]("../run/y")) == 1
    found = {one.name for one in (checkout.parent / "outside").iterdir()}
    assert found == {"deep", "x", "y"}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_pipe_that_nothing_reads_does_not_hang(writer: str, checkout: Path) -> None:
    os.mkfifo("pipe")
    done = subprocess.run(
        [sys.executable, "-m", "sslint", *WRITERS[writer]("pipe")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "is a pipe that no program reads" in done.stderr


def test_what_a_killed_run_left_beside_an_output_is_removed(checkout: Path) -> None:
    Path("out").mkdir()
    Path("out/.sslint-0123456789abcdef").touch()
    assert main(WRITERS["output"]("out/x")) == 1
    assert os.listdir("out") == ["x"]
