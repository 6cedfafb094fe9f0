"""The programs that take the reports: where one is missing a test is skipped, but never in CI."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

TOP = Path(__file__).parents[2]
NPM = TOP / "build/npm/node_modules"
MULTITOOL = NPM / "@microsoft/sarif-multitool-linux"
AXE = NPM / "axe-core/axe.min.js"


def missing(what: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing")
    pytest.skip(f"{what} is missing; .ci/run installs it")


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        missing(name)
    return str(found)


def module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError:
        missing(f"the Python package {name}")
        raise


def file(path: Path) -> Path:
    if not path.is_file():
        missing(path.name)
    return path


def run(
    *words: object, text: str = "", cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in words],
        input=text,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, **environment},
    )
