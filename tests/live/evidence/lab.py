"""A host that runs behind its firewall, and two places to ask it from: outside and inside."""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

from tests.live.hosts.lab import enter, log_of, network, root_of, started

P = ParamSpec("P")
T = TypeVar("T")
ELSEWHERE = "192.0.2.9"  # a second address of the client, of another network
PATIENCE = 30.0  # seconds for a server to be ready, on a machine with other things to do


@dataclass(frozen=True, slots=True)
class Host:
    """A running host. `root` is its root directory, as it can be opened from outside."""

    root: Path
    process: subprocess.Popen[str]
    _outside: ThreadPoolExecutor
    _inside: ThreadPoolExecutor

    def outside(self, ask: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function as a client beyond the router."""
        return self._outside.submit(ask, *args, **kwargs).result()

    def inside(self, ask: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function in the host's own network namespace, but with our own files."""
        return self._inside.submit(ask, *args, **kwargs).result()

    def run(self, *command: str) -> str:
        """Run a command on the host and return its output. Raise CalledProcessError."""
        process = self.root.parent.name
        enter_host = ("nsenter", "--target", process, "--mount", "--pid", "--net")
        done = subprocess.run(
            [*enter_host, *command], check=True, capture_output=True, text=True, timeout=PATIENCE
        )
        return done.stdout

    def log(self) -> str:
        """Return what the host's programs printed."""
        return log_of(self.process)

    def until_listening(self, *ports: int) -> None:
        """Wait until something listens on each of these TCP ports."""
        until(lambda: set(ports) <= self.inside(_listening), lambda: f"{ports}\n{self.log()}")

    def until_logged(self, words: str) -> None:
        """Wait until a program has printed what the regular expression matches."""
        until(lambda: bool(re.search(words, self.log())), lambda: f"{words}\n{self.log()}")


@contextlib.contextmanager
def running(tree: Path) -> Iterator[Host]:
    """Start a tree's firewall and servers, with a router and a client around them."""
    with contextlib.ExitStack() as stack:
        inside = stack.enter_context(ThreadPoolExecutor(1))
        client = inside.submit(network, (ELSEWHERE,), stack).result()
        outside = ThreadPoolExecutor(4, initializer=enter, initargs=(client,))
        stack.enter_context(outside)
        process = inside.submit(stack.enter_context, started(tree)).result()
        yield Host(root_of(process), process, outside, inside)


def _listening() -> set[int]:
    ports = set()
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/thread-self/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                ports.add(int(fields[1].rpartition(":")[2], 16))
    return ports


def until(ready: Callable[[], bool], what: Callable[[], str] = str) -> None:
    """Wait until something is so. Raise TimeoutError with a word on what it was."""
    end = time.monotonic() + PATIENCE
    while not ready():
        if time.monotonic() > end:
            raise TimeoutError(what())
        time.sleep(0.02)
