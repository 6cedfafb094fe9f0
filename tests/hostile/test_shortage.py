"""What runs out, memory first, is said as such: no bug is blamed, and nothing is left unsaid."""

from __future__ import annotations

import resource
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from sslint import cli
from sslint.edges import Edge
from sslint.tree import Tree
from tests.cases import SOUND


class PanicException(BaseException):
    pass


SHORT = {
    "a_memory_error": MemoryError(),
    "a_c_library_that_fails_without_a_word": SystemError("returned NULL without setting an error"),
    "a_rust_library_that_panics": PanicException("memory allocation failed"),
    "a_library_that_is_not_mapped": ImportError("failed to map segment", name="_x", path="/x.so"),
    "a_system_call_without_memory": OSError(12, "Cannot allocate memory"),
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
