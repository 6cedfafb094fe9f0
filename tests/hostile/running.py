"""Run the program on a hostile tree in a child with bounds, and say what it did wrong."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
import traceback
import unicodedata
from pathlib import Path

from sslint.budgets import last_stop
from sslint.cli import program
from tests.hostile import crashes, escapes, injections, secrets, sizes
from tests.hostile.registry import CANARIES, TREES, Ground

MEMORY = 2 << 30  # bytes of address space beside the parent's, as `ulimit -v` bounds it
SECONDS = 10.0  # of processor time, on a machine that counts to three million in 0.12 s
COMMANDS = re.compile(r"^\s*::[A-Za-z]|##\w*\[", re.M)
MODULES = {"crashes": crashes, "escapes": escapes, "injections": injections,
           "secrets": secrets, "sizes": sizes}  # fmt: skip


last_child = 0  # the process of the last run


def machine_factor() -> float:
    """Return how much slower this machine is than the one for which SECONDS is meant."""
    start = time.process_time()
    for _ in range(3_000_000):
        pass
    return max(1.0, (time.process_time() - start) / 0.12)


def address_space() -> int:
    """Return the bytes of address space that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def run(arguments: list[str], log: Path, limit: float) -> tuple[int, float, str]:
    """Return (exit status, seconds of processor time, what it said)."""
    global last_child
    sys.stdout.flush()
    sys.stderr.flush()
    bound = MEMORY + address_space()
    child = os.fork()
    if child == 0:
        code = 70
        try:
            out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(out, 1)
            os.dup2(out, 2)
            sys.stdout = open(1, "w", encoding="utf-8", closefd=False)
            sys.stderr = open(2, "w", encoding="utf-8", closefd=False)
            # The program's own bound is absolute, and this child has all of its parent's memory.
            resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
            last_stop.grow = lambda read: None  # type: ignore[method-assign]
            resource.setrlimit(resource.RLIMIT_CPU, (int(limit) + 1, int(limit) + 1))
            code = program(arguments)
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 71
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    last_child = child
    _, status, used = os.wait4(child, 0)
    code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    said = log.read_bytes().decode("utf-8", "surrogateescape")
    return code, used.ru_utime + used.ru_stime, said


def wrongs(code: int, seconds: float, said: str, limit: float) -> list[str]:
    """Return what a run did that it must not do."""
    found = []
    if code in (-signal.SIGXCPU, -signal.SIGKILL) or seconds > limit:
        found.append(f"takes {seconds:.1f} s")
    elif code not in (0, 1, 2, 3):
        found.append(f"ends with {code}: {(said.strip().splitlines() or [''])[-1][:200]}")
    if leaked := [canary for canary in CANARIES if canary in said]:
        at = said.index(leaked[0])
        found.append(f"leaks {said[max(0, at - 100) : at + 100]!r}")
    if strange := {c for c in said if c != "\n" and is_format(c)}:
        at = min(said.index(char) for char in strange)
        found.append(f"prints {said[max(0, at - 60) : at + 20]!a}")
    if command := COMMANDS.search(said):
        found.append(f"commands {said[command.start() : command.start() + 80]!r}")
    if not said.strip():
        found.append("gives no reason")
    return found


def is_format(char: str) -> bool:
    """Tell whether a character controls what shows it, and is none to read."""
    return unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")


def try_tree(name: str, directory: Path, limit: float, *more: str) -> tuple[int, float, list[str]]:
    """Write a tree, run the program in it, and return (exit status, seconds, what is wrong)."""
    ground = Ground(directory)
    arguments = TREES[name](ground) or ["check", str(ground.root)]
    before = os.getcwd()
    os.chdir(ground.root)
    try:
        code, seconds, said = run([*arguments, *more], directory / "said", 1.5 * limit)
    finally:
        os.chdir(before)
    return code, seconds, wrongs(code, seconds, said, limit)


def main() -> None:
    """Try trees one after the other and print a line of JSON for each: `DIRECTORY LIMIT NAME...`."""
    directory, limit, *names = sys.argv[1:]
    for name in names:
        place = Path(directory, name)
        place.mkdir()
        try:
            code, seconds, wrong = try_tree(name, place, float(limit), "--format", "json")
        except PermissionError as error:  # only root makes such a tree
            print(json.dumps({"name": name, "skipped": str(error)}), flush=True)
            continue
        root = str(place / "work")
        print(json.dumps({"name": name, "pid": last_child, "root": root, "code": code,
                          "seconds": seconds, "wrong": wrong}), flush=True)  # fmt: skip
        subprocess.run(["rm", "-rf", str(place)], check=False)


if __name__ == "__main__":
    main()
