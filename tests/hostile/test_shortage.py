"""What runs out, memory first, is said as such: no bug is blamed, and nothing is left unsaid."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from sslint import cli
from sslint.edges import Edge
from sslint.tree import Tree, door
from tests.cases import SOUND


class PanicException(BaseException):
    pass


SHORT = {
    "a_memory_error": MemoryError(),
    "a_c_library_that_fails_without_a_word": SystemError("returned NULL without setting an error"),
    "a_rust_library_that_panics": PanicException("memory allocation failed"),
    "a_library_that_is_not_mapped": ImportError("failed to map segment", name="_x", path="/x.so"),
    "a_system_call_without_memory": OSError(errno.ENOMEM, "Cannot allocate memory"),
}


@pytest.mark.parametrize("name", SHORT)
def test_the_program_says_it(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def starve(_: object) -> int:
        raise SHORT[name]

    monkeypatch.setitem(cli._COMMANDS, "rules", starve)
    monkeypatch.delenv("SSLINT_DEBUG")
    assert cli.main(["rules"]) == 3
    said = capsys.readouterr().err
    assert "memory" in said
    assert "bug" not in said


@pytest.mark.parametrize("name", SHORT)
def test_a_layer_is_unknown(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSLINT_DEBUG")
    tree = Tree(None)
    with Edge(tree, "firewall:", "/etc") as edge:
        raise SHORT[name]
    assert "memory" in edge.reason
    assert [(one.decisive, "memory" in one.reason) for one in tree.problems] == [(True, True)]


def test_a_bug_stays_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: object) -> int:
        raise ImportError("cannot import name 'x'", name="sslint", path="/sslint/__init__.py")

    monkeypatch.setitem(cli._COMMANDS, "rules", fail)
    monkeypatch.delenv("SSLINT_DEBUG")
    assert cli.main(["rules"]) == 4
    assert "This is a bug" in capsys.readouterr().err


@cache
def started() -> int:
    """Return the address space, in bytes, of a program that has not yet begun."""
    pages = "import sslint.cli; print(open('/proc/self/statm').read().split()[0])"
    done = subprocess.run([sys.executable, "-I", "-c", pages], capture_output=True, check=True)
    return int(done.stdout) * resource.getpagesize()


@pytest.mark.parametrize("mebibytes", [3, 12, 28, 52, 76])
def test_a_run_with_little_memory_ends_well(mebibytes: int) -> None:
    """A whole check takes about 85 MiB more than to start it."""
    size = (started() + (mebibytes << 20),) * 2
    done = subprocess.run(
        [sys.executable, "-I", "-m", "sslint", "check", str(Path(SOUND) / "mail-announced")],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, size),
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin"},
    )
    assert done.returncode in (0, 3), done.stderr
    assert done.returncode == 0 or "memory" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("mebibytes", [24, 32, 40, 48, 56, 63])
@pytest.mark.parametrize("words", [["check", "mail-announced"], ["rules"], ["--version"]])
def test_a_limit_that_no_run_keeps_is_said_first(words: list[str], mebibytes: int) -> None:
    size = (mebibytes << 20,) * 2
    done = subprocess.run(
        [sys.executable, "-I", "-m", "sslint", *words],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, size),
        capture_output=True,
        text=True,
        cwd=SOUND,
        env={"PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 3
    assert done.stderr == "sslint: needs more memory than is available\n"
    assert done.stdout == ""


# -- open files, processes, space on the disk ------------------------------------------------------


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a repository of 150 hosts, each of several directories."""
    made = tmp_path_factory.mktemp("many")
    for number in range(150):
        sites = made / f"host{number}/etc/nginx/sites-enabled"
        sites.mkdir(parents=True)
        (sites.parent / "nginx.conf").write_text("events {}\nhttp { include sites-enabled/*; }\n")
        (sites / "one").write_text("server { listen 80; }\n")
    return made


def run(most: int, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the program with so many descriptors, and no more."""
    return subprocess.run(
        [sys.executable, "-I", "-m", "sslint", *words],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (most, most)),
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin"},
    )


@pytest.mark.parametrize("jobs", ["1", "2", "150"])
def test_many_hosts_need_few_descriptors(many: Path, jobs: str) -> None:
    plenty, few = (run(most, "check", str(many), "--jobs", jobs) for most in (1024, 192))
    assert few.stdout == plenty.stdout
    assert (few.returncode, few.stderr) == (plenty.returncode, plenty.stderr)
    assert "150 hosts" in few.stdout


def test_all_trees_together_hold_few_directories(many: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    trees = [Tree(host) for host in many.iterdir()]
    for tree in trees:
        assert tree.read("/etc/nginx/sites-enabled/one").text
    assert len(os.listdir("/proc/self/fd")) - before <= door.MAX_DESCRIPTORS
    for tree in trees:
        assert tree.read("/etc/nginx/nginx.conf").text
        tree.close()
    assert len(os.listdir("/proc/self/fd")) <= before


@pytest.mark.parametrize("most", [6, 8, 12, 20, 40])
def test_a_run_without_descriptors_ends_well(many: Path, most: int) -> None:
    done = run(most, "check", str(many))
    assert done.returncode == 3, done.stdout
    assert "needs more open files than are allowed (ulimit -n)" in done.stdout + done.stderr
    assert "error" not in done.stdout


def test_no_process_for_git_is_status_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(subprocess, "run", refuse)
    assert cli.main(["check", ".", "--config-from", "main"]) == 3
    assert capsys.readouterr().err == (
        "sslint: git cannot be run: Resource temporarily unavailable\n"
    )


def test_a_wrong_usage_stays_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "no/such"]) == 2
