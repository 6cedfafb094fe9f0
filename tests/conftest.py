"""What holds for every test: a bug is a traceback, only tree/ opens files, one seed a run."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from sslint import budgets
from sslint.engine import compiled

os.environ["SSLINT_DEBUG"] = "1"
os.environ.pop("GITHUB_ACTIONS", None)  # or each report of a text has annotations
# What is random replays from one seed, which all processes of a run share.
os.environ.setdefault("SSLINT_SEED", str(int.from_bytes(os.urandom(4), "big")))

TOP = Path(__file__).parents[1]
# What `make docs` lists.
OWN = (str(TOP / "rules"), str(TOP / "linter/sslint/facts"))
OPENING = ("open", "os.listdir", "os.scandir")
_opened: list[str] = []


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if event not in OPENING:
        return
    frame = sys._getframe(1)
    for _ in range(6):  # pathlib and the like stand between
        name = frame.f_code.co_filename
        if "importlib" in name or "/sslint/tree/" in name or name.endswith("/subprocess.py"):
            return
        if "/linter/sslint/" in name:
            if not str(arguments[0]).startswith((os.devnull, *OWN)):
                _opened.append(f"{name}:{frame.f_lineno}: {event} {arguments[0]!r}")
            return
        if frame.f_back is None:
            return
        frame = frame.f_back


sys.addaudithook(_watch)


def pytest_configure(config: pytest.Config) -> None:
    """Compile the rules as `make` does: what a run imports and takes is tested, too."""
    if not hasattr(config, "workerinput"):
        with suppress(OSError):  # of one who may not write there
            compiled.write(TOP / "rules", TOP / "rules")


def pytest_report_header() -> str:
    """Print the seed, which replays the run."""
    return f"random tests: SSLINT_SEED={os.environ['SSLINT_SEED']}"


@pytest.fixture(autouse=True)
def _no_run() -> None:
    """Let no test count for the run of the one before it, nor go without the collector of garbage.

    A run of the program ends without it, and its descriptors with it.
    """
    budgets.begin(None)
    gc.enable()


@pytest.fixture(autouse=True)
def _one_door() -> Iterator[None]:
    """Fail a test in which a module outside of tree/ opens something."""
    _opened.clear()
    yield
    assert not _opened
