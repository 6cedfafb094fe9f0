"""All hostile trees in JSON, within bounds, as root or as nobody, with strace over all of it.

A batch is one process under strace that tries a share of the trees, each in a child of its own.
A run tries each batch as one of the two, by its seed; with SSLINT_COUNT set it tries all as both.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import sslint
from tests.hostile import running
from tests.hostile.registry import TREES
from tests.live.conftest import count, seed

BATCHES = 16
WHOLE = bool(count(0))
AS_ROOT = [batch for batch in range(BATCHES) if WHOLE or (batch + seed()) % 2]
AS_NOBODY = [batch for batch in range(BATCHES) if WHOLE or batch not in AS_ROOT]
NOBODY = "65534"
TOP = Path(sslint.__file__).parents[2]
OPENED = re.compile(r'^(?:open|openat|openat2|creat)\((?:(\w+)(?:<([^>]*)>)?, )?"((?:[^"\\]|\\.)*)".*= (\d+)<(.*)>$')  # fmt: skip
# What Python, its libraries and sslint themselves consist of.
OWN = tuple(
    str(Path(place).resolve())
    for place in (
        sys.prefix,
        sys.base_prefix,
        sysconfig.get_path("stdlib"),
        TOP,
        "/usr/lib",
        "/lib",
        "/lib64",
        "/usr/share/zoneinfo",
        "/etc/ld.so.cache",
        "/etc/locale.alias",
        "/etc/ssl/openssl.cnf",
        "/etc/localtime",
        "/proc/cpuinfo",
        "/sys/fs/cgroup",
        "/dev/null",
        "/usr/local/lib",
        "/usr/bin",
    )
)
# Python tries whether it may write where sslint then makes the directory that git is led to.
SCRATCH = re.compile(
    re.escape(tempfile.gettempdir())
    + r"/(?:[a-z0-9_]{8}|sslint-[a-z0-9_]{8}(?:/config|/objects|/refs)?)"
)
# A python in root's home is bound to where nobody may read it.
BIND = 'for n in python packages; do mount --bind "$1" "$0/$n"; shift; done; exec "$@"'


@pytest.mark.live("strace")
@pytest.mark.parametrize("batch", AS_ROOT)
def test_as_root(batch: int, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(TOP)}
    environment.pop("SSLINT_DEBUG", None)
    judge(tmp_path, batch, [sys.executable], environment, OWN)


@pytest.mark.live("strace", "unshare", "setpriv")
@pytest.mark.parametrize("batch", AS_NOBODY)
def test_as_nobody(batch: int) -> None:
    with tempfile.TemporaryDirectory(prefix="nobody") as name:
        place = Path(name)
        ground = place / "ground"
        for path in (place / "python", place / "packages", ground):
            path.mkdir()
        os.chmod(place, 0o755)
        os.chown(ground, int(NOBODY), int(NOBODY))
        code = readable_copy(place / "code")
        bind = ["unshare", "--mount", "sh", "-euc", BIND, name, sys.base_prefix,
                sysconfig.get_path("purelib")]  # fmt: skip
        user = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
                "--no-new-privs"]  # fmt: skip
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{code}:{place}/packages",
                       "LANG": "C.UTF-8"}  # fmt: skip
        own = (*OWN, *(str(place / part) for part in ("python", "packages", "code")))
        judge(ground, batch, [*bind, *user, f"{place}/python/bin/python3"], environment, own)


def readable_copy(code: Path) -> Path:
    """Copy the package as it is installed, and what the trees need of the tests."""
    unneeded = shutil.ignore_patterns("__pycache__", "live", "rules", "sound", "broken", "fuzz")
    shutil.copytree(TOP / "linter/sslint", code / "sslint", ignore=unneeded)
    shutil.copytree(TOP / "tests", code / "tests", symlinks=True, ignore=unneeded)
    for part in ("rules", "schemas"):
        shutil.copytree(TOP / part, code / "sslint" / part)
    for path in (code, *code.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)
    return code


def judge(
    ground: Path, batch: int, python: list[str], environment: dict[str, str], own: tuple[str, ...]
) -> None:
    """Try a share of the trees with a python, and hold each to all that is promised."""
    names = sorted(TREES)[batch::BATCHES]
    limit = running.SECONDS * running.machine_factor()
    strace = ["strace", "-ff", "--seccomp-bpf", "-y", "-qq", "-s", "4096", "-e",
              "trace=open,openat,openat2,creat", "-o", str(ground / "trace")]  # fmt: skip
    inside = python.index("setpriv") if "setpriv" in python else 0
    user = python[inside:-1] if inside else []
    tried = [*python[:inside], *user, *strace, python[-1], "-B", "-m", "tests.hostile.running"]
    done = subprocess.run(
        [*tried, str(ground), str(limit), *names],
        env=environment, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=60 + 4 * limit * len(names),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["name"] for one in results] == names
    skipped = [one["name"] for one in results if "skipped" in one]
    assert len(skipped) <= (len(names) // 10 if user else 0), skipped
    assert [wrong for one in results if (wrong := wrongs(one, ground, own))] == []


def wrongs(one: dict[str, Any], ground: Path, own: tuple[str, ...]) -> tuple[str, list[str]] | None:
    """Return the name of a tree and what was wrong with its run, None if nothing was."""
    if "skipped" in one:
        return None
    found = list(one["wrong"])
    traced = list(opened(ground / f"trace.{one['pid']}"))
    found += sorted({f"opens {path}" for path in traced if not is_own(path, one["root"], own)})
    if not traced:
        found.append("was not traced")
    return (one["name"], found) if found else None


def opened(log: Path) -> Iterator[str]:
    """Yield the paths of what was opened, as the kernel resolved them."""
    for line in log.read_text(errors="surrogateescape").splitlines():
        if (found := OPENED.match(line)) is not None:
            yield found[5].removesuffix(" (deleted)")


def is_own(path: str, root: str, own: tuple[str, ...]) -> bool:
    """Tell whether a path is below the root, above it on the way to it, or Python's own."""
    if path in {str(up) for up in Path(root).parents}:
        return True  # as a directory only, without reading it
    if path == f"{Path(root).parent}/said":  # where its words go
        return True
    if SCRATCH.fullmatch(path) and not os.path.lexists(path):
        return True
    if re.fullmatch(r"/proc/\d+/(cgroup|mountinfo)", path):  # how many threads a library may start
        return True
    return any(path == one or path.startswith(f"{one}/") for one in (root, *own))
