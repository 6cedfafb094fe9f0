"""All hostile trees, each as its own process under strace: nothing outside the tree is opened.

Also those that are only large, in JSON, and as a user who is not root.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

import sslint
from tests.hostile import running
from tests.hostile.registry import TREES, Ground

pytestmark = pytest.mark.live

FACTOR = running.machine_factor()
STRACE = shutil.which("strace")
OPENED = re.compile(r'^(?:\d+ +)?(?:open|openat|openat2|creat)\((?:(\w+)(?:<([^>]*)>)?, )?"((?:[^"\\]|\\.)*)".*= (\d+)<(.*)>$')  # fmt: skip
NOBODY = 65534
# What Python, its libraries and sslint themselves consist of.
OWN = tuple(
    str(Path(place).resolve())
    for place in (
        sys.prefix,
        sys.base_prefix,
        sysconfig.get_path("stdlib"),
        Path(sslint.__file__).parents[2],
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


@pytest.mark.parametrize("name", sorted(TREES))
def test_json_in_bounds(name: str, tmp_path: Path) -> None:
    code, _, wrong = running.try_tree(
        name, tmp_path, running.SECONDS * FACTOR, *(["--format", "json"])
    )
    assert not wrong, f"exit {code}"


@pytest.mark.skipif(STRACE is None, reason="strace is not installed")
@pytest.mark.parametrize("name", sorted(TREES))
def test_nothing_outside_is_opened(name: str, tmp_path: Path) -> None:
    ground = Ground(tmp_path)
    arguments = TREES[name](ground) or ["check", str(ground.root)]
    log = tmp_path / "trace"
    assert STRACE is not None
    done = subprocess.run(
        [STRACE, "-f", "-y", "-qq", "-e", "trace=open,openat,openat2,creat", "-o", str(log),
         sys.executable, "-I", "-m", "sslint", *arguments],
        cwd=ground.root, stdin=subprocess.DEVNULL, capture_output=True, timeout=300 * FACTOR,
    )  # fmt: skip
    assert done.returncode in (0, 1, 2, 3), done.stderr[-500:]
    outside = sorted({path for path in opened(log) if not is_own(path, ground.root)})
    assert outside == []


def opened(log: Path) -> Iterator[str]:
    """Yield the paths of what was opened, as the kernel resolved them."""
    for line in log.read_text(errors="surrogateescape").splitlines():
        if (found := OPENED.match(line)) is not None:
            yield found[5].removesuffix(" (deleted)")


def is_own(path: str, root: Path) -> bool:
    """Tell whether a path is below the root, above it on the way to it, or Python's own."""
    if path in {str(up) for up in root.parents}:
        return True  # as a directory only, without reading it
    if re.fullmatch(r"/proc/\d+/(cgroup|mountinfo)", path):  # how many threads a library may start
        return True
    return any(path == own or path.startswith(f"{own}/") for own in (str(root), *OWN))
