"""Files of a commit, read from git's objects alone.

`git cat-file` prints objects and does nothing else: no text conversion, filter, hook, file system
monitor or submodule of the checked tree runs, no object is replaced, and none is fetched.
"""

from __future__ import annotations

import os
import posixpath
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from sslint.errors import UsageError
from sslint.values import dataclass, field

MAX_DEPTH = 32
MAX_OBJECT = 16 << 20  # bytes, of a directory as well
_SECONDS = 60
_NAME = re.compile(r"[^\s\x00-\x1f\x7f-][^\s\x00-\x1f\x7f]{0,254}")
_OPTIONS = (
    "--no-replace-objects", "--no-pager",
    "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "protocol.allow=never",
    # Git maps a gigabyte of a pack at once, and this process may not have so much.
    "-c", "core.packedGitWindowSize=16m", "-c", "core.packedGitLimit=128m",
)  # fmt: skip
_SETTINGS = {
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",  # for a git before 2.45, which does not know the first
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}
_FILE, _DIRECTORY, _LINK = "file", "directory", "link"
_KINDS = {"100644": _FILE, "100755": _FILE, "100664": _FILE, "40000": _DIRECTORY, "120000": _LINK}


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a directory of a commit."""

    kind: str  # "other" for a submodule
    id: str


@dataclass(slots=True)
class Revision:
    """One commit of the work tree `top`; `name` is what the user calls it."""

    top: Path
    name: str
    id: str = ""
    _directories: dict[str, dict[str, Entry]] = field(default_factory=dict)

    def read(self, path: str, limit: int) -> bytes | None:
        """Return a file, None if there is none at this path. Raise UsageError for a link."""
        entry = self._entry(path)
        if entry is None or entry.kind == _DIRECTORY:
            return None
        if entry.kind != _FILE:
            what = "a symbolic link" if entry.kind == _LINK else "no file"
            raise UsageError(f"{self.called(path)}: is {what}")
        return self._object(entry.id, "blob", limit, path)

    def below(self, path: str, ending: str, limit: int) -> Iterator[tuple[str, bytes]]:
        """Yield a file, or those with such an ending below a directory. Raise UsageError."""
        entry = self._entry(path)
        if entry is None:
            raise UsageError(f"{self.called(path)}: no such file or directory")
        if entry.kind != _DIRECTORY:
            yield path, self.read(path, limit) or b""
            return
        for name, found in sorted(self._names(path).items()):
            child = posixpath.join(path, name)
            if found.kind == _DIRECTORY and child.count("/") < MAX_DEPTH:
                yield from self.below(child, ending, limit)
            elif name.endswith(ending):
                yield child, self.read(child, limit) or b""

    def called(self, path: str) -> str:
        """Return what messages call a file."""
        return f"{self.name}:{path}"

    def _entry(self, path: str) -> Entry | None:
        path = posixpath.normpath(path)
        if path == ".":
            return Entry(_DIRECTORY, "")
        directory, name = posixpath.split(path)
        return self._names(directory or ".").get(name)

    def _names(self, path: str) -> dict[str, Entry]:
        """Return what a directory holds, nothing if it is none."""
        if path not in self._directories:
            if path == ".":
                tree = f"{self.id}^{{tree}}"
            else:
                entry = self._entry(path)
                tree = entry.id if entry is not None and entry.kind == _DIRECTORY else ""
            data = self._object(tree, "tree", MAX_OBJECT, path) if tree else b""
            self._directories[path] = dict(_entries(data, len(self.id) // 2))
        return self._directories[path]

    def _object(self, name: str, kind: str, limit: int, path: str) -> bytes:
        found = _ask(self.top, "--batch-check", name).split()
        if len(found) != 3 or found[1] != kind.encode():
            raise UsageError(f"{self.called(path)}: cannot be read from git's objects")
        if int(found[2]) > limit:
            raise UsageError(f"{self.called(path)}: is larger than {limit >> 10} KiB")
        said = _ask(self.top, "--batch", found[0].decode())
        _, _, rest = said.partition(b"\n")
        return rest[: int(found[2])]


How = Literal["added", "changed", "removed"]


@dataclass(frozen=True, slots=True)
class Change:
    """A setting that the checked tree would change, and does not; `line` is in its own file."""

    key: str  # "" where its file cannot be read
    how: How
    path: str
    line: int = 0


@dataclass(frozen=True, slots=True)
class Proposed:
    """What the checked tree would change of the configuration of a commit, which counts."""

    revision: str
    commit: str
    path: str  # of that commit's file, "" if it has none
    changes: tuple[Change, ...]


def open_revision(top: Path, name: str) -> Revision:
    """Return a commit of a work tree. Raise UsageError."""
    if not os.path.exists(top / ".git"):
        raise UsageError(
            f"--config-from: {top}: is not a work tree of git", tip="run in a checkout of git"
        )
    if not _NAME.fullmatch(name):
        raise UsageError("--config-from: takes a commit, branch or tag")
    found = _ask(top, "--batch-check", f"{name}^{{commit}}").split()
    if len(found) != 3 or found[1] != b"commit":
        raise UsageError(
            f"--config-from: {name}: no such commit here",
            tip="fetch it before: git fetch --depth=1 origin BRANCH, and name FETCH_HEAD",
        )
    return Revision(top, name, found[0].decode())


def _ask(top: Path, how: str, name: str) -> bytes:
    """Return what `git cat-file` says of an object. Raise UsageError."""
    git = shutil.which("git")
    if git is None or not os.path.isabs(git):  # a relative PATH leads into the checked tree
        raise UsageError("--config-from: git is not installed")
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    try:
        done = subprocess.run(  # noqa: S603 - absolute path, fixed arguments, no shell
            [git, *_OPTIONS, "-C", str(top), "cat-file", how],
            input=os.fsencode(f"{name}\n"),
            capture_output=True,
            env={**kept, **_SETTINGS, "GIT_CEILING_DIRECTORIES": str(top.parent)},
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        raise UsageError("--config-from: git does not answer") from None
    if done.returncode != 0:
        raise UsageError(
            f"--config-from: git does not read {top}",
            tip=f"see what it says: git -C {top} cat-file -t HEAD",
        )
    return done.stdout


def _entries(data: bytes, length: int) -> Iterator[tuple[str, Entry]]:
    """Yield the entries of a tree object: `MODE NAME`, a zero byte, and so many bytes of an id."""
    at = 0
    while at < len(data):
        end = data.index(b"\0", at)
        mode, _, name = data[at:end].partition(b" ")
        identity = data[end + 1 : end + 1 + length].hex()
        at = end + 1 + length
        yield (
            os.fsdecode(name),
            Entry(_KINDS.get(mode.decode("ascii", "replace"), "other"), identity),
        )
