"""A confined, read-only view of a host's configuration tree.

Paths are the host's own: absolute POSIX paths such as `/etc/nginx/nginx.conf`. An absolute
symlink target means the tree's root, as it does on the host after a chroot. Nothing outside the
root (or a mount) is ever opened, whatever a symlink or `..` says. The tree is hostile input:
only regular files are opened, without blocking, and sizes, counts and depths are bounded.
"""

from __future__ import annotations

import errno
import fnmatch
import os
import posixpath
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from itertools import pairwise
from pathlib import Path

from sslint.source import Location, Problem, SourceFile

MAX_FILE = 64 << 20  # bytes; 100,000 iptables rules are 10 MB
MAX_TOTAL = 512 << 20  # bytes read from one tree
MAX_FILES = 100_000
MAX_LINKS = 40  # the kernel's own bound, path_resolution(7)
MAX_DIRECTORY = 100_000  # entries
MAX_GLOB_BRACES = 1_000
EXCLUDED = "excluded by the configuration"


class Status(Enum):
    """What a path is, as far as this tree can tell."""

    FILE = "file"
    DIRECTORY = "directory"
    OTHER = "other"
    ABSENT = "absent"
    UNKNOWN = "unknown"  # not permitted, or outside what was given


class TreeError(Exception):
    """A path cannot be read; `status` says whether it is absent or unknown."""

    def __init__(self, path: str, reason: str, status: Status) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason
        self.status = status


class Tree:
    """A host's files under `root`, with `mounts` (host path -> real path) laid over it.

    `overlay` maps host paths to other contents, or to None for "removed". With `root` None only
    the mounts exist. `base` is the directory that names in reports are relative to.
    """

    def __init__(
        self,
        root: Path | None,
        *,
        mounts: Mapping[str, Path] | None = None,
        overlay: Mapping[str, str | None] | None = None,
        base: Path | None = None,
    ) -> None:
        self.root = root
        self._root = None if root is None else str(root).rstrip("/")
        self.base = base if base is not None else root
        self.problems: list[Problem] = []
        self.mounts: dict[str, Path] = {}
        self.overlay = {posixpath.normpath(k): v for k, v in (overlay or {}).items()}
        self._made_directories: dict[str, set[str]] = {}
        for path, text in self.overlay.items():
            if text is not None:
                self._make_directories(path)
        for path, real in (mounts or {}).items():
            self.mount(path, real)
        self.excluded: tuple[Path, ...] = ()
        self._files: dict[str, SourceFile] = {}
        self._resolved: dict[str, tuple[str, Status]] = {}
        self._listed: dict[str, list[str]] = {}
        self._total = 0
        self._reported: set[tuple[str, str]] = set()

    @property
    def live(self) -> bool:
        """Whether it is the root of the machine itself: what is not there does not exist."""
        return self.root == Path("/")

    def with_overlay(self, overlay: Mapping[str, str | None]) -> Tree:
        """Return the same tree with other contents for some paths."""
        return Tree(
            self.root, mounts=self.mounts, overlay={**self.overlay, **overlay}, base=self.base
        )

    def mount(self, path: str, real: Path) -> None:
        """Lay one more real file or directory over the tree at a host path."""
        path = posixpath.normpath(path)
        self.mounts[path] = real
        self._make_directories(path)

    def exclude(self, paths: Iterable[str]) -> None:
        """Leave out real files and directories: to this tree they are not known."""
        self.excluded = tuple(Path(path).resolve() for path in paths)

    # -- what could not be read -------------------------------------------------------------

    def problem(
        self,
        where: Location | SourceFile | str,
        reason: str,
        *,
        decisive: bool = True,
        subject: str = "",
    ) -> None:
        """Record something that could not be read or understood; the same one only once."""
        if EXCLUDED in reason:  # acknowledged: whoever excluded it knows
            return
        if isinstance(where, Location):
            problem = Problem(where.path, reason, where, decisive, subject)
            key = (str(where), reason)
        else:
            path = where.name if isinstance(where, SourceFile) else self.name(where)
            problem = Problem(path, reason, None, decisive)
            key = (path, reason)
        if key not in self._reported:
            self._reported.add(key)
            self.problems.append(problem)

    def name(self, path: str) -> str:
        """Return what reports call a host path: relative to the host's root."""
        real = self._real(posixpath.normpath(path))
        if real is not None and self.base is not None:
            try:
                return Path(real).relative_to(self.base).as_posix()
            except ValueError:
                return Path(real).as_posix()
        return path.lstrip("/")

    def on_disk(self, path: str | None, name: str) -> str | None:
        """Return the absolute path that opens a file, given its host path if known and its name.

        None if the disk has no such file: an overlay, or something with a name of its own.
        """
        if path is None:
            named = os.path.join(self.base, name) if self.base is not None else name
            return named if os.path.isabs(named) and os.path.lexists(named) else None
        try:
            resolved = self.resolve(path)
        except TreeError:
            resolved = path
        real, direct = self._real(resolved), self._real(path)
        if resolved in self.overlay or real is None:
            return None
        # An absolute link means this tree's root, and leads elsewhere on disk.
        same = direct is not None and os.path.realpath(direct) == os.path.realpath(real)
        return direct if same else real

    def files(self) -> list[SourceFile]:
        """Return the text files that were read."""
        return list(self._files.values())

    # -- reading ----------------------------------------------------------------------------

    def read(self, path: str) -> SourceFile:
        """Return the text of a file; bytes that are not UTF-8 become surrogate escapes.

        Raise TreeError if it is absent, not regular, not permitted, too large, or leads outside.
        """
        path = posixpath.normpath(posixpath.join("/", path))
        cached = self._files.get(path)
        if cached is None:
            resolved = self.resolve(path)
            text = self.overlay.get(resolved)
            if text is None:
                text = self.read_bytes(path).decode("utf-8", "surrogateescape")
            cached = SourceFile(path, self.name(path), text)
            self._files[path] = cached
        return cached

    def try_read(self, path: str, *, decisive: bool = True) -> SourceFile | None:
        """Return a file, or None; report what is there but cannot be read."""
        try:
            return self.read(path)
        except TreeError as error:
            if error.status is not Status.ABSENT:
                self.problem(path, error.reason, decisive=decisive)
            return None

    def read_bytes(self, path: str) -> bytes:
        """Return the bytes of a file. Raise TreeError as `read` does."""
        path = posixpath.normpath(posixpath.join("/", path))
        resolved, status = self._resolve(path)
        if status is not Status.FILE:
            reasons = {
                Status.ABSENT: "no such file",
                Status.DIRECTORY: "is a directory",
                Status.OTHER: "is not a regular file",
            }
            if status is Status.UNKNOWN and resolved.startswith("!"):
                raise TreeError(path, resolved[1:], status)
            raise TreeError(path, reasons.get(status, "cannot be read"), status)
        text = self.overlay.get(resolved)
        if text is not None:
            return text.encode("utf-8", "surrogateescape")
        real = self._real(resolved)
        assert real is not None
        try:
            descriptor = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise _error(path, error) from None
        with os.fdopen(descriptor, "rb") as stream:
            details = os.fstat(descriptor)
            if not stat.S_ISREG(details.st_mode):
                raise TreeError(path, "is not a regular file", Status.OTHER)
            if details.st_size > MAX_FILE:
                raise TreeError(path, f"is larger than {MAX_FILE >> 20} MiB", Status.UNKNOWN)
            if self._total + details.st_size > MAX_TOTAL or len(self._files) >= MAX_FILES:
                raise TreeError(path, "the tree is too large to read whole", Status.UNKNOWN)
            try:
                data = stream.read(MAX_FILE + 1)
            except OSError as error:
                raise _error(path, error) from None
        self._total += len(data)
        return data

    def mode(self, path: str) -> int | None:
        """Return a file's permission bits, or None where they are not known."""
        try:
            resolved = self.resolve(path)
        except TreeError:
            return None
        real = self._real(resolved)
        if real is None or resolved in self.overlay:
            return None
        try:
            return stat.S_IMODE(os.lstat(real).st_mode)
        except OSError:
            return None

    def owner(self, path: str) -> tuple[int, int] | None:
        """Return a file's (user, group) ids where they are a host's own: in a tree that is /."""
        if self._root != "":
            return None
        try:
            details = os.lstat(self._real(self.resolve(path)) or "")
        except (OSError, TreeError):
            return None
        return details.st_uid, details.st_gid

    def status(self, path: str) -> Status:
        """Return what a path is. A path below a directory that was not given is UNKNOWN."""
        return self._resolve(posixpath.normpath(posixpath.join("/", path)))[1]

    def exists(self, path: str) -> bool:
        """Tell whether the tree certainly has a path."""
        return self.status(path) in (Status.FILE, Status.DIRECTORY, Status.OTHER)

    def resolve(self, path: str) -> str:
        """Return a path with all symlinks resolved inside the root. Raise TreeError."""
        path = posixpath.normpath(posixpath.join("/", path))
        resolved, status = self._resolve(path)
        if status is Status.UNKNOWN and resolved.startswith("!"):
            raise TreeError(path, resolved[1:], status)
        if status is Status.ABSENT:
            raise TreeError(path, "no such file", status)
        return resolved

    def link_target(self, path: str) -> str | None:
        """Return where a symlink points (one step, as an absolute host path), else None."""
        path = posixpath.normpath(posixpath.join("/", path))
        parent, _ = self._resolve(posixpath.dirname(path))
        if parent.startswith("!"):
            return None
        real = self._real(posixpath.join(parent, posixpath.basename(path)))
        try:
            target = os.readlink(real) if real is not None else None
        except (OSError, ValueError):  # no link; a NUL byte in the name
            return None
        return None if target is None else posixpath.normpath(posixpath.join(parent, target))

    def destination(self, path: str) -> str:
        """Return where a path's last part leads once its links are followed, as far as they go."""
        for _ in range(MAX_LINKS):
            target = self.link_target(path)
            if target is None:
                break
            path = target
        return path

    def names(self, path: str) -> list[str]:
        """Return the names in a directory in byte order; [] if it is none."""
        path = posixpath.normpath(posixpath.join("/", path))
        cached = self._listed.get(path)
        if cached is not None:
            return cached
        resolved, status = self._resolve(path)
        names: set[str] = set()
        if status is Status.DIRECTORY:
            real = self._real(resolved)
            if real is not None:
                try:
                    with os.scandir(real) as entries:
                        for count, entry in enumerate(entries):
                            if count >= MAX_DIRECTORY:
                                self.problem(path, "holds too many files")
                                break
                            names.add(entry.name)
                except OSError as error:
                    if error.errno != errno.ENOENT:
                        self.problem(path, os.strerror(error.errno or 0), decisive=False)
            names |= self._made_directories.get(resolved, set())
            names = {
                n for n in names if self.overlay.get(posixpath.join(resolved, n), "") is not None
            }
        listed = sorted(names, key=os.fsencode)
        self._listed[path] = listed
        return listed

    def glob(self, pattern: str, *, braces: bool = False) -> list[str]:
        """Return the host paths that match a glob(3) pattern, in byte order.

        Names that start with a dot are matched only by a pattern that does. `braces` adds
        GLOB_BRACE, which keeps the order of the alternatives.
        """
        found: list[str] = []
        for alternative in _expand_braces(pattern) if braces else [pattern]:
            matches = self._glob(posixpath.normpath(posixpath.join("/", alternative)))
            found.extend(sorted(matches, key=os.fsencode))
        return found

    def walk(self, path: str, *, depth: int = 8) -> Iterator[str]:
        """Yield the regular files below a directory, symlinked directories not followed."""
        for name in self.names(path):
            child = posixpath.join(path, name)
            status = self.status(child)
            if status is Status.FILE:
                yield child
            elif status is Status.DIRECTORY and depth and self.link_target(child) is None:
                yield from self.walk(child, depth=depth - 1)

    def _is_excluded(self, real: Path) -> bool:
        return any(path == real or path in real.parents for path in self.excluded)

    # -- inside -----------------------------------------------------------------------------

    def _make_directories(self, path: str) -> None:
        """Let the directories above a path exist."""
        while path != "/":
            parent, name = posixpath.split(path)
            self._made_directories.setdefault(parent, set()).add(name)
            path = parent

    def _real(self, path: str) -> str | None:
        """Return the real path that a host path without symlinks stands for."""
        if self.mounts:
            prefix = path
            while True:
                if prefix in self.mounts:
                    rest = path[len(prefix) :].lstrip("/")
                    return (
                        os.path.join(self.mounts[prefix], rest)
                        if rest
                        else str(self.mounts[prefix])
                    )
                if prefix == "/":
                    break
                prefix = posixpath.dirname(prefix)
        return None if self._root is None else self._root + path

    def _resolve(self, path: str) -> tuple[str, Status]:
        """Return (resolved path, status); an unknown one carries "!reason" as its path."""
        cached = self._resolved.get(path)
        if cached is None:
            cached = self._walk_links(path)
            self._resolved[path] = cached
        return cached

    def _walk_links(self, path: str) -> tuple[str, Status]:
        pending = [part for part in reversed(path.split("/")) if part]
        current = "/"
        status = Status.DIRECTORY
        links = 0
        while pending:
            part = pending.pop()
            if part == ".":
                continue
            if part == "..":  # the root's parent is the root, as in a chroot
                current = posixpath.dirname(current)
                continue
            if status is not Status.DIRECTORY:
                return current, Status.ABSENT
            current = posixpath.join(current, part)
            if "\0" in part:
                return current, Status.ABSENT
            if current in self.overlay:
                if self.overlay[current] is None:
                    return current, Status.ABSENT
                status = Status.FILE
                continue
            real = self._real(current)
            try:
                if real is None:
                    raise FileNotFoundError(errno.ENOENT, "no such file")
                if self.excluded and self._is_excluded(Path(real)):
                    return f"!{EXCLUDED}", Status.UNKNOWN
                details = os.lstat(real)
            except OSError as error:
                if current in self._made_directories:
                    status = Status.DIRECTORY
                    continue
                if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
                    return current, Status.ABSENT
                return f"!{os.strerror(error.errno or 0)}", Status.UNKNOWN
            if stat.S_ISLNK(details.st_mode):
                links += 1
                if links > MAX_LINKS:
                    return "!too many symbolic links", Status.UNKNOWN
                try:
                    target = os.readlink(real)
                except OSError as error:
                    return f"!{os.strerror(error.errno or 0)}", Status.UNKNOWN
                current = "/" if target.startswith("/") else posixpath.dirname(current)
                pending.extend(part for part in reversed(target.split("/")) if part)
                status = Status.DIRECTORY
            elif stat.S_ISDIR(details.st_mode):
                status = Status.DIRECTORY
            elif stat.S_ISREG(details.st_mode):
                status = Status.FILE
            else:
                status = Status.OTHER
        return current, status

    def _glob(self, pattern: str) -> list[str]:
        if not _is_pattern(pattern):
            literal = pattern.replace("\\", "")
            return [literal] if self._lexists(literal) else []
        directory, last = posixpath.split(pattern)
        parents = self._glob(directory) if _is_pattern(directory) else [directory]
        found = []
        if _is_pattern(last):
            match = re.compile(_translate(last)).match
            for parent in parents:
                found += [
                    posixpath.join(parent, name)
                    for name in self.names(parent)
                    if match(name) and (name[0] != "." or last[0] == ".")
                ]
        else:
            found = [
                path for parent in parents if self._lexists(path := posixpath.join(parent, last))
            ]
        return found

    def _lexists(self, path: str) -> bool:
        return self.exists(path) or self.link_target(path) is not None


def _is_pattern(text: str) -> bool:
    return any(char in text for char in "*?[")


def _translate(pattern: str) -> str:
    return fnmatch.translate(pattern)


def _expand_braces(pattern: str) -> Iterable[str]:
    """Expand `{a,b}` as glob(3) with GLOB_BRACE does, nested ones too."""
    results = [pattern]
    done: list[str] = []
    while results:
        if len(results) + len(done) > MAX_GLOB_BRACES:
            return done
        current = results.pop(0)
        start = current.find("{")
        depth, end, commas = 0, -1, []
        for index in range(start, len(current)) if start >= 0 else ():
            char = current[index]
            depth += (char == "{") - (char == "}")
            if char == "," and depth == 1:
                commas.append(index)
            if depth == 0:
                end = index
                break
        if end < 0:
            done.append(current)
            continue
        edges = [start, *commas, end]
        alternatives = [
            current[:start] + current[a + 1 : b] + current[end + 1 :] for a, b in pairwise(edges)
        ]
        results[:0] = alternatives
    return done


def _error(path: str, error: OSError) -> TreeError:
    missing = error.errno in (errno.ENOENT, errno.ENOTDIR)
    status = Status.ABSENT if missing else Status.UNKNOWN
    if error.errno == errno.ELOOP:
        return TreeError(path, "changed while it was read", Status.UNKNOWN)
    return TreeError(path, os.strerror(error.errno or 0), status)
