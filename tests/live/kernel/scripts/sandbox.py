"""Run a firewall script where it can do no harm, and save what it leaves in the kernel.

It runs in new user, mount, pid and network namespaces, in a root of its own that is read-only and
holds nothing but the firewall's tools, shells, and stubs under the names of all other commands. No
interface leads out. After a time limit everything in there is killed.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

TIMEOUT = 20  # seconds
TOOLS = {
    name: "xtables-nft-multi"
    for base in ("iptables", "ip6tables")
    for name in (base, f"{base}-nft", f"{base}-restore", f"{base}-save", f"{base}-nft-restore")
}
# Programs that only read and print, and that sslint knows.
READERS = ("cat", "seq", "basename", "dirname", "tee")
SHELLS = {"sh": "dash", "dash": "dash", "bash": "bash"}
KEYWORDS = frozenset(
    "if then elif else fi for while until do done case esac in function select time coproc".split()
)
WRAPPERS = {
    "sudo": 'while [ "${1#-}" != "$1" ]; do shift; done\nexec "$@"',
    "nohup": 'exec "$@"',
    "env": 'while case $1 in -*|*=*) true;; *) false;; esac; do shift; done\nexec "$@"',
    "which": 'while [ "${1#-}" != "$1" ]; do shift; done\ncommand -v "$@"',
    "id": 'case $1 in -u) echo 0;; -un) echo root;; *) echo "uid=0(root)";; esac',
    "whoami": "echo root",
}
BEHAVIOURS = (
    "exit 0",
    "exit 1",
    "echo 203.0.113.77",
    "echo eth0",
    "echo 1; exit 1",
    "echo yes; exit 0",
)

_INSIDE = """
set -e
mount --bind "$1" "$1"
for place in usr/lib usr/share; do
  mount --bind "/$place" "$1/$place"
  mount -o remount,bind,ro "$1/$place"
done
mount --bind /dev/null "$1/dev/null"
# Of /proc only the settings of the new network namespace can be written.
mount -t proc proc "$1/tmp"
mount -t proc proc "$1/proc"
mount -o remount,bind,ro "$1/proc"
mount --bind "$1/tmp/sys/net" "$1/proc/sys/net"
umount "$1/tmp"
for place in tmp run var; do mount -t tmpfs -o size=8m tmpfs "$1/$place"; done
cp -a "$1/etc" "$1/tmp/etc"
mount -t tmpfs -o size=8m tmpfs "$1/etc"
cp -a "$1/tmp/etc/." "$1/etc/"
mkdir -p "$1/var/log" "$1/var/lib" "$1/var/run" "$1/var/lock" "$1/etc/iptables" \
  "$1/etc/sysconfig" "$1/etc/network" "$1/etc/init.d"
mount -o remount,bind,ro "$1"
status=0
cd "$1"
env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root timeout -k 1 "$2" \
  chroot "$1" "$3" "$4" $5 </dev/null >"$6/said" 2>&1 || status=$?
echo "$status" >"$6/status"
iptables-nft-save >"$6/v4"
ip6tables-nft-save >"$6/v6"
ipset save >"$6/ipset"
for table in $(nft list tables | sed 's/^table //; s/ /,/'); do
  nft list table "${table%%,*}" "${table#*,}" >"$6/table.$table"
done
"""


@dataclass
class Saved:
    """What a script left: texts by kind as `Lab.load` takes them, its exit status, what it said."""

    rulesets: dict[str, str]
    status: int
    said: str


class SandboxError(Exception):
    """The sandbox itself did not work."""


def run(
    files: Mapping[str, str], path: str, *, shell: str, arguments: str = "", seed: int = 0
) -> Saved:
    """Run one of the files, which lie where their paths say, with stubs of a seed."""
    with tempfile.TemporaryDirectory(prefix="sslint-script-") as name:
        root, out = Path(name) / "root", Path(name) / "out"
        out.mkdir()
        _furnish(root, files, random.Random(f"stubs {seed}"))
        command = [
            "unshare", "--user", "--map-root-user", "--mount", "--pid", "--net", "--ipc", "--uts",
            "--fork", "--kill-child", "sh", "-c", _INSIDE, "sandbox",
            str(root), str(TIMEOUT), f"/usr/bin/{SHELLS[shell]}", path, arguments, str(out),
        ]  # fmt: skip
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT + 40, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if done.returncode:
            raise SandboxError(done.stderr)
        texts = {one.name: one.read_text(errors="replace") for one in out.iterdir()}
    said, status = texts.pop("said", ""), int(texts.pop("status"))
    kept = {kind: text for kind, text in texts.items() if re.search(r"^[*a-z]", text, re.M)}
    for kind in ("v4", "v6"):
        if kind in kept:
            kept[kind] = "".join(
                f"{line}\n" for line in kept[kind].split("\n") if not line.startswith("# Warning")
            )
    own = [
        text
        for kind, text in sorted(texts.items())
        if kind.startswith("table.") and not _is_of_iptables(kind.removeprefix("table."), kept)
    ]
    kept = {kind: text for kind, text in kept.items() if not kind.startswith("table.")}
    return Saved({**kept, **({"nft": "".join(own)} if own else {})}, status, said)


def _is_of_iptables(table: str, kept: Mapping[str, str]) -> bool:
    """Tell whether iptables-save or ip6tables-save shows a table."""
    family, _, name = table.partition(",")
    text = kept.get({"ip": "v4", "ip6": "v6"}.get(family, ""), "")
    return f"*{name}\n" in text


def _furnish(root: Path, files: Mapping[str, str], words: random.Random) -> None:
    """Lay out the root: tools, stubs, files."""
    commands = root / "usr/bin"
    for place in (
        "usr/bin",
        "usr/lib",
        "usr/share",
        "dev",
        "proc",
        "tmp",
        "run",
        "var",
        "etc",
        "root",
    ):
        (root / place).mkdir(parents=True)
    for place in ("sbin", "usr/sbin", "usr/local/bin", "usr/local/sbin", "bin"):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).symlink_to("/usr/bin")
    (root / "lib").symlink_to("/usr/lib")
    (root / "lib64").symlink_to("/usr/lib64")
    (root / "usr/lib64").symlink_to("/usr/lib")
    (root / "dev/null").touch()
    for name in ("protocols", "services", "ethertypes", "nsswitch.conf"):
        if os.path.exists(f"/etc/{name}"):
            shutil.copy(f"/etc/{name}", root / "etc" / name)
    loader = Path("/usr/lib64")
    if loader.is_dir() and not loader.is_symlink():
        (root / "usr/lib64").unlink()
        shutil.copytree(loader, root / "usr/lib64")
    for name, program in {**TOOLS, "nft": "nft", "ipset": "ipset"}.items():
        target = commands / program
        if not target.exists():
            shutil.copy(f"/usr/sbin/{program}", target)
        if name != program:
            (commands / name).symlink_to(program)
    for name in (*READERS, "dash", "bash"):
        shutil.copy(f"/usr/bin/{name}", commands / name)
    (commands / "sh").symlink_to("dash")
    for name, text in WRAPPERS.items():
        _script(commands / name, text)
    behaviour = words.choice(BEHAVIOURS)
    names = {
        word
        for text in files.values()
        for word in re.findall(r"[A-Za-z_][\w.+-]*", text)
        if word not in KEYWORDS and len(word) < 40
    }
    stub = commands / ".stub"
    _script(stub, behaviour)
    for name in sorted(names):
        if not (commands / name).exists():
            (commands / name).symlink_to(".stub")
    for path, text in files.items():
        place = root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, errors="surrogateescape")
        place.chmod(0o755)


def _script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def is_bash(text: str) -> bool:
    """Tell whether a script's first line names bash."""
    return re.match(r"#!.*\bbash\b", text) is not None


def as_json(saved: Saved) -> str:
    """Return a record of a run."""
    return json.dumps({"status": saved.status, "rulesets": saved.rulesets})
