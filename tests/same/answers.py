"""Ask the sslint of the running interpreter about each tree and write down what it prints.

`python answers.py TREES ANSWERS NOW` is run by the interpreter of each checkout in turn. It imports
nothing from the tests, so that both checkouts are asked the same questions.
"""

from __future__ import annotations

import contextlib
import gc
import io
import os
import re
import sys
from pathlib import Path

from sslint.cli import main

PORTS_TRACED = 10
_PORT = re.compile(r"(?:port|Port|listen|Listen|tcp|udp)[^\n]{0,12}?\b(\d{2,5})\b")


def ports(tree: Path) -> list[str]:
    """Return ports that the files of a tree name, their neighbours, and one other."""
    named: set[int] = set()
    for path in sorted(tree.rglob("*")):
        if path.is_file() and not path.is_symlink() and path.stat().st_size < 200_000:
            text = path.read_text("latin-1")
            named.update(int(digits) for digits in _PORT.findall(text)[:50])
    named = set(sorted(port for port in named if port < 65535)[: PORTS_TRACED // 2])
    asked = sorted({*named, *(port + 1 for port in named), 443, 40444})
    return [str(port) for port in asked]


def ask(*arguments: str) -> str:
    """Return what a command prints and how it ends."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code: object = main(list(arguments))
        except SystemExit as exit_:
            code = exit_.code
    return f"{out.getvalue()}\n{err.getvalue()}\nexit {code}\n"


def answers(before: str | None, tree: str, now: str) -> dict[str, str]:
    """Return the answers about a tree by kind; `before` is the tree to compare it with."""
    asked = {
        "check": ("check", "--format", "json", "--now", now, tree),
        "text": ("check", "-v", "--now", now, tree),
        "endpoints": ("endpoints", "--format", "json", tree),
        "fix": ("fix", "--allow-open", "--now", now, tree),
    }
    for port in ports(Path(tree)):
        asked[f"trace {port}"] = ("trace", "--format", "json", tree, port)
        asked[f"trace {port}/udp"] = ("trace", "-v", tree, port + "/udp")
    if before is not None:
        asked["diff"] = ("diff", "--format", "json", "--now", now, before, tree)
    return {kind: ask(*arguments) for kind, arguments in asked.items()}


def run(trees: Path, out: Path, now: str) -> None:
    """Write the answers about every tree into one file a tree."""
    os.chdir(trees)
    before = None
    for place in sorted(path for path in trees.iterdir() if path.is_dir()):
        found = answers(before, place.name, now)
        text = "".join(f"\x00{kind}\x00{answer}" for kind, answer in found.items())
        (out / place.name).write_text(text, errors="surrogateescape")
        before = place.name
        gc.collect()  # a command leaves this to the end of its process


if __name__ == "__main__":
    run(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve(), sys.argv[3])
