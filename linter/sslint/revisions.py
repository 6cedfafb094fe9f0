"""Files of a commit, read from git's objects alone.

`git cat-file` and `git rev-list` print objects and do nothing else: no text conversion, filter,
hook, file system monitor or submodule of the checked tree runs, no object is replaced, and none is
fetched. They work in a directory of ours that leads to the objects and names of the checked tree:
the configuration of a stranger's repository is not read, and neither are objects that lie elsewhere
(alternates).
"""

from __future__ import annotations

import os
import posixpath
import shutil
import stat
import subprocess
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from sslint.errors import UsageError
from sslint.regex import is_number, regex
from sslint.tree import MAX_FILE, head, kinds, real_path
from sslint.tree.writing import scratch, write_new
from sslint.values import dataclass, field

MAX_DEPTH = 32
MAX_OBJECT = 16 << 20  # bytes, of a directory as well
MAX_NAMES = 100_000  # of files and directories that are written
_PORTION = 16 << 20  # bytes of files that are held at a time
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
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}
_FILE, _DIRECTORY, _LINK = "file", "directory", "link"
_KINDS = {stat.S_IFREG: _FILE, stat.S_IFDIR: _DIRECTORY, stat.S_IFLNK: _LINK}
_NAMED = ("packed-refs", "shallow", "reftable", "logs")
_ENTRY = regex(rb"([0-7]{1,6}) ([^\0]+)\0")
_WORK_TREE = regex(r"(?m)^[ \t]*worktree[ \t]*=[ \t]*([^\s\"#;]+)[ \t\r]*$")
_EXTENSION = regex(
    r"(?mi)^[ \t]*(?:objectformat[ \t]*=[ \t]*sha256|refstorage[ \t]*=[ \t]*reftable)[ \t\r]*$"
)


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

    def has(self, path: str) -> bool:
        """Tell whether there is a file or directory at a path. Raise UsageError."""
        return self._entry(path) is not None

    def export(self, path: str, target: Path) -> None:
        """Write a file, or the files of a directory, to a place below a directory of ours.

        Links are made as they are, and what is larger than `MAX_OBJECT` as a file of that size
        without content, which nobody reads. Raise UsageError.
        """
        entry = self._entry(path)
        if entry is None:
            raise UsageError(f"{self.called(path)}: no such file or directory")
        if entry.kind != _DIRECTORY:
            places = {target.name: entry}
            target = target.parent
        else:
            target.mkdir(parents=True, exist_ok=True)
            places = dict(self._below(entry.id or f"{self.id}^{{tree}}", path))
        sizes = self._sizes([entry.id for entry in places.values()], path)
        if sum(min(size, MAX_OBJECT) for size in sizes) > MAX_EXPORT:
            raise UsageError(f"{self.called(path)}: holds more than {MAX_EXPORT >> 20} MiB")
        links: list[tuple[str, bytes]] = []
        for some in _portions(list(zip(places.items(), sizes, strict=True))):
            contents = self._objects([entry.id for _, entry in some], path)
            for (name, entry), data in zip(some, contents, strict=True):
                if entry.kind == _LINK:
                    links.append((name, data))
                else:
                    write_new(target / name, data, executable=entry.executable)
        for name, size in zip(places, sizes, strict=True):
            if size > MAX_OBJECT:
                write_new(target / name, b"", size=MAX_FILE + 1)
        # The links last: a tree may have a link and a directory of one name, and nothing is
        # written through it.
        for name, data in links:
            write_new(target / name, data, link=True)

    def _below(self, tree: str, path: str) -> Iterator[tuple[str, Entry]]:
        """Yield all files and links below a directory, by their path from there."""
        level = {"": tree}
        count = 0
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
                    count += 1
                    if count > MAX_NAMES:
                        raise UsageError(f"{self.called(path)}: holds over {MAX_NAMES:,} names")
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


def _portions(
    sized: Sequence[tuple[tuple[str, Entry], int]],
) -> Iterator[list[tuple[str, Entry]]]:
    """Yield the files that are not too large, as many at a time as may be held."""
    some: list[tuple[str, Entry]] = []
    held = 0
    for place, size in sized:
        if size > MAX_OBJECT:
            continue
        if some and held + size > _PORTION:
            yield some
            some, held = [], 0
        some.append(place)
        held += size
    if some:
        yield some


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
    if not os.path.exists(top / ".git") and not _is_bare(top):
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


def last_changed(revision: Revision, path: str) -> tuple[datetime, bool]:
    """Return when a file came to be as it is in a commit, and whether the history goes so far.

    Where it does not, the time is that of the oldest commit that is there. Raise UsageError.
    """
    said = _git(revision.top, "rev-list", "--max-count=1", "--timestamp", revision.id, "--", path)
    when, commit = said.split() if len(said.split()) == 2 else (b"", b"")
    if not is_number(when.decode("latin-1")) or len(when) > 11:
        raise UsageError(f"{revision.called(path)}: no commit has it")
    shallow = head(_repository(revision.top)[1] / "shallow", MAX_OBJECT).split()
    return datetime.fromtimestamp(int(when), UTC), commit.decode("latin-1") not in shallow


def _ask(top: Path, how: str, *names: str) -> bytes:
    """Return what `git cat-file` says of objects. Raise UsageError."""
    return _git(top, "cat-file", how, told="".join(f"{name}\n" for name in names))


def _git(top: Path, *arguments: str, told: str = "") -> bytes:
    """Return what a command of git prints about a repository. Raise UsageError."""
    git = shutil.which("git")
    if git is None or not os.path.isabs(git):  # a relative PATH leads into the checked tree
        raise UsageError("git is not installed")
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    with scratch() as made:
        _lead_to(top, made)
        try:
            done = subprocess.run(  # noqa: S603 - absolute path, fixed arguments, no shell # nosec B603
                [git, *_OPTIONS, "-C", str(made), *arguments],
                input=os.fsencode(told),
                capture_output=True,
                env={**kept, **_SETTINGS, "GIT_DIR": str(made)},
                timeout=_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise UsageError("git does not answer") from None
        except OSError as error:
            raise UsageError(f"git cannot be run: {error.strerror}") from None
    if done.returncode != 0:
        raise UsageError(
            f"git does not read {top}",
            tip=f"see what it says: git -C {top} cat-file -t HEAD",
        )
    return done.stdout


def _is_bare(top: Path) -> bool:
    """Tell whether a directory is a repository without a work tree."""
    return not os.path.lexists(top / ".git") and {"HEAD", "objects", "refs"} <= kinds(top).keys()


def _lead_to(top: Path, made: Path) -> None:
    """Make a directory of ours a repository of a work tree's objects and names. Raise UsageError.

    Nothing in it leads to a link, a device or another repository.
    """
    own, common = _repository(top)
    extensions = [found[0].strip() for found in _EXTENSION.finditer(head(common / "config"))]
    config = ["[core]", "repositoryformatversion = 1", "[extensions]", *extensions, ""]
    write_new(made / "config", "\n".join(config).encode())
    (made / "refs").mkdir()
    (made / "objects").mkdir()
    for name, kind in kinds(own).items():
        if kind == _FILE and name.endswith("HEAD"):  # FETCH_HEAD, ORIG_HEAD
            write_new(made / name, head(own / name).encode())
    found = [(common / name, kind) for name, kind in kinds(common).items() if name in _NAMED]
    for directory in ("refs", "objects", "objects/pack"):
        if kinds((common / directory).parent).get(posixpath.basename(directory)) == _DIRECTORY:
            some = kinds(common / directory).items()
            found += [(common / directory / name, kind) for name, kind in some]
    for path, kind in found:
        place = path.relative_to(common).as_posix()
        if kind in (_FILE, _DIRECTORY) and place not in ("objects/info", "objects/pack"):
            write_new(made / place, os.fsencode(path), link=True)


def _repository(top: Path) -> tuple[Path, Path]:
    """Return the directories of a work tree's own HEAD, and of its objects and names.

    They are one, unless it is one of several work trees of a repository. Raise UsageError if they
    belong to another work tree: a stranger's .git may name any directory of this machine.
    """
    git = top if _is_bare(top) else top / ".git"
    if git.is_dir() and not git.is_symlink() and not os.path.lexists(git / "commondir"):
        return git, git
    own = real_path(top / head(git).removeprefix("gitdir:").strip())
    if not git.is_symlink() and git.is_file() and own != real_path(top):
        back = head(own / "gitdir").strip()
        common = real_path(own / (head(own / "commondir").strip() or "."))
        if back and real_path(own / back) == real_path(git) and own.parent == common / "worktrees":
            return own, common
        submodule = _WORK_TREE.search(head(own / "config"))
        if submodule and real_path(own / submodule[1]) == real_path(top):
            return own, own
    raise UsageError(f"{git}: leads to a repository that is not of this work tree")


def _entries(data: bytes, length: int) -> Iterator[tuple[str, Entry]]:
    """Yield the entries of a tree object: `MODE NAME`, a zero byte, and so many bytes of an id.

    Raise UsageError if it is none.
    """
    at = 0
    while at < len(data):
        found = _ENTRY.match(data, at)
        if found is None or found.end() + length > len(data):
            raise UsageError("git: a tree object is damaged")
        mode = int(found[1], 8)
        identity = data[found.end() : found.end() + length].hex()
        at = found.end() + length
        kind = _KINDS.get(stat.S_IFMT(mode), "other")
        yield os.fsdecode(found[2]), Entry(kind, identity, bool(mode & 0o111))
