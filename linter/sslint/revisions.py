"""Files of a commit, read from git's objects alone.

`git cat-file` prints objects and does nothing else: no text conversion, filter, hook, file system
monitor or submodule of the checked tree runs, no object is replaced, and none is fetched.
"""

from __future__ import annotations

import os
import posixpath
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from sslint.errors import UsageError
from sslint.regex import regex
from sslint.tree import MAX_FILE, write_new
from sslint.values import dataclass, field

MAX_DEPTH = 32
MAX_OBJECT = 16 << 20  # bytes, of a directory as well
MAX_EXPORT = 256 << 20  # bytes of all files that are written
_SECONDS = 60
_NAME = regex(r"[^\s\x00-\x1f\x7f-][^\s\x00-\x1f\x7f]{0,254}")
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
    executable: bool = False


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

    def export(self, path: str, target: Path) -> None:
        """Write the files of a directory, or one file, below an empty directory of ours.

        Links are made as they are, and what is larger than `MAX_OBJECT` as a file of that size
        without content, which nobody reads. Raise UsageError.
        """
        entry = self._entry(path)
        if entry is None:
            raise UsageError(f"{self.called(path)}: no such file or directory")
        if entry.kind != _DIRECTORY:
            places = {posixpath.basename(path): entry}
        else:
            places = dict(self._below(entry.id or f"{self.id}^{{tree}}", path))
        sizes = self._sizes([entry.id for entry in places.values()], path)
        if sum(min(size, MAX_OBJECT) for size in sizes) > MAX_EXPORT:
            raise UsageError(f"{self.called(path)}: holds more than {MAX_EXPORT >> 20} MiB")
        small = [
            (name, entry)
            for (name, entry), size in zip(places.items(), sizes, strict=True)
            if size <= MAX_OBJECT
        ]
        contents = self._objects([entry.id for _, entry in small], path)
        found = [(name, entry, data) for (name, entry), data in zip(small, contents, strict=True)]
        for name, entry, data in found:
            if entry.kind == _FILE:
                write_new(target / name, data, executable=entry.executable)
        for name in places.keys() - {name for name, _ in small}:
            write_new(target / name, b"", size=MAX_FILE + 1)
        # The links last: a tree may have a link and a directory of one name, and nothing is
        # written through it.
        for name, entry, data in found:
            if entry.kind == _LINK:
                write_new(target / name, data, link=True)

    def _below(self, tree: str, path: str) -> Iterator[tuple[str, Entry]]:
        """Yield all files and links below a directory, by their path from there."""
        level = {"": tree}
        for _ in range(MAX_DEPTH):
            if not level:
                return
            following: dict[str, str] = {}
            found = self._objects(list(level.values()), path)
            for directory, data in zip(level, found, strict=True):
                for name, entry in _entries(data, len(self.id) // 2):
                    if name in ("", ".", "..", ".git") or "/" in name:
                        raise UsageError(f"{self.called(path)}: holds a name that is none")
                    place = posixpath.join(directory, name)
                    if entry.kind == _DIRECTORY:
                        following[place] = entry.id
                    elif entry.kind != "other":
                        yield place, entry
            level = following

    def _sizes(self, names: Sequence[str], path: str) -> list[int]:
        lines = _ask(self.top, "--batch-check", *names).splitlines()
        if len(lines) != len(names) or any(len(line.split()) != 3 for line in lines):
            raise UsageError(f"{self.called(path)}: cannot be read from git's objects")
        return [int(line.split()[2]) for line in lines]

    def _objects(self, names: Sequence[str], path: str) -> list[bytes]:
        if sum(sizes := self._sizes(names, path)) > MAX_EXPORT:
            raise UsageError(f"{self.called(path)}: holds more than {MAX_EXPORT >> 20} MiB")
        said, at, found = _ask(self.top, "--batch", *names), 0, []
        for size in sizes:
            at = said.index(b"\n", at) + 1
            found.append(said[at : at + size])
            at += size + 1
        return found

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


def open_revision(top: Path, name: str, flag: str = "--config-from") -> Revision:
    """Return a commit of a work tree, which `flag` names. Raise UsageError."""
    if not os.path.exists(top / ".git"):
        raise UsageError(
            f"{flag}: {top}: is not a work tree of git", tip="run in a checkout of git"
        )
    if not _NAME.fullmatch(name):
        raise UsageError(f"{flag}: takes a commit, branch or tag")
    found = _ask(top, "--batch-check", f"{name}^{{commit}}").split()
    if len(found) != 3 or found[1] != b"commit":
        raise UsageError(
            f"{flag}: {name}: no such commit here",
            tip="fetch it before: git fetch --depth=1 origin BRANCH, and name FETCH_HEAD",
        )
    return Revision(top, name, found[0].decode())


def _ask(top: Path, how: str, *names: str) -> bytes:
    """Return what `git cat-file` says of objects. Raise UsageError."""
    git = shutil.which("git")
    if git is None or not os.path.isabs(git):  # a relative PATH leads into the checked tree
        raise UsageError("git is not installed")
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    try:
        done = subprocess.run(  # noqa: S603 - absolute path, fixed arguments, no shell # nosec B603
            [git, *_OPTIONS, "-C", str(top), "cat-file", how],
            input=os.fsencode("".join(f"{name}\n" for name in names)),
            capture_output=True,
            env={**kept, **_SETTINGS, "GIT_CEILING_DIRECTORIES": str(top.parent)},
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        raise UsageError("git does not answer") from None
    if done.returncode != 0:
        raise UsageError(
            f"git does not read {top}",
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
            Entry(
                _KINDS.get(mode.decode("ascii", "replace"), "other"), identity, mode == b"100755"
            ),
        )
