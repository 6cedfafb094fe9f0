"""Run `python -m tests.same BASE [--seeds N]`, or `make same BASE=REV`.

A checkout of BASE is made in build/same, with an environment of its own. Both checkouts answer the
same questions about the same trees; each answer that differs is counted by kind, and the first few
of a kind are shown.
"""

from __future__ import annotations

import argparse
import collections
import difflib
import subprocess
import sys
import tempfile
from pathlib import Path

from tests import pki
from tests.same import trees

HERE = Path(__file__).resolve()
TOP = HERE.parents[2]
SHOWN = 3  # differences of a kind
LINES = 12  # of a difference


def checkout(revision: str) -> Path:
    """Return a checkout of a revision that is ready to run."""
    commit = _git("rev-parse", "--verify", revision + "^{commit}").strip()
    place = TOP / "build/same" / commit[:12]
    if not place.exists():
        _git("worktree", "prune")
        _git("worktree", "add", "--quiet", "--detach", str(place), commit)
    subprocess.run(["make", "--silent", "rules/compiled.json"], cwd=place, check=True)
    return place


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=TOP, check=True, text=True, capture_output=True)
    return done.stdout


def answers(checkout: Path, directory: Path, out: Path) -> subprocess.Popen[bytes]:
    """Start one checkout answering."""
    out.mkdir()
    python = checkout / ".venv/bin/python"
    script = HERE.parent / "answers.py"
    command = [python, "-I", script, directory, out, pki.NOW.isoformat()]
    return subprocess.Popen(command)


def by_kind(text: str) -> dict[str, str]:
    """Return the answers of one tree by kind."""
    parts = text.split("\x00")[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def compare(old: Path, new: Path) -> int:
    """Print each answer that differs, and return how many do."""
    counted: collections.Counter[str] = collections.Counter()
    asked = 0
    for path in sorted(old.iterdir()):
        before, after = (by_kind((side / path.name).read_text()) for side in (old, new))
        for kind in before:
            asked += 1
            if before[kind] == after.get(kind):
                continue
            family = kind.split()[0]
            counted[family] += 1
            if counted[family] <= SHOWN:
                print(f"\n{path.name}: {kind}")
                lines = difflib.unified_diff(
                    before[kind].splitlines(), after.get(kind, "").splitlines(), "old", "new", n=1
                )
                for line, _ in zip(lines, range(LINES), strict=False):
                    print("   ", line[:200])
    print(f"\n{asked} answers compared; different: {dict(counted) or 'none'}")
    return sum(counted.values())


def main() -> int:
    """Compare, and return 1 if anything differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.same", description=__doc__)
    parser.add_argument("base", help="the revision to compare with")
    parser.add_argument("--seeds", type=int, default=100, help="generated hosts (default: 100)")
    options = parser.parse_args()
    base = checkout(options.base)
    with tempfile.TemporaryDirectory() as work:
        directory = Path(work, "trees")
        directory.mkdir()
        print(f"{trees.write_all(directory, options.seeds)} trees", flush=True)
        old, new = Path(work, "old"), Path(work, "new")
        running = [answers(base, directory, old), answers(TOP, directory, new)]
        ended = [process.wait() for process in running]
        if any(ended):
            return 2
        return 1 if compare(old, new) else 0


if __name__ == "__main__":
    sys.exit(main())
