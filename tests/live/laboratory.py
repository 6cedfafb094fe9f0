"""A laboratory: a program in namespaces of its own that answers a line with a line."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

TOP = Path(__file__).parents[2]


class Laboratory:
    """One laboratory, a module of the tests; several may run side by side."""

    def __init__(self, module: str, *spaces: str) -> None:
        spaces = ("-n", "-m", "--pid", "--fork", "--kill-child", *spaces)
        self.process = subprocess.Popen(
            ["unshare", *spaces, sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=TOP,
        )

    def ask(self, case: object) -> Any:
        """Give it a case and return the answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps(case), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the laboratory died")
        return json.loads(line)

    def close(self) -> None:
        """End it."""
        with self.process:  # which closes its pipes
            self.process.kill()


Lab = TypeVar("Lab", bound=Laboratory)


@contextlib.contextmanager
def running(lab: Lab) -> Iterator[Lab]:
    """End a laboratory when it is no longer needed."""
    try:
        yield lab
    finally:
        lab.close()
