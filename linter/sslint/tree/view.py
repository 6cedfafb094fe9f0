"""A host's files as its readers ask for them: texts, names, and what is known to be missing."""

from __future__ import annotations

import errno
import os
import posixpath
import re
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from posixpath import join
from typing import Any

from sslint import globs
from sslint.budgets import Budgets, ExhaustedError
from sslint.reasons import Code, Problem
from sslint.regex import regex
from sslint.source import Location, SourceFile
from sslint.tree.contents import not_its_text
from sslint.tree.door import MAX_FILE
from sslint.tree.layers import MAX_LINKS, Layers, Resolved, normal
from sslint.tree.paths import real_path
from sslint.tree.status import Status, TreeError

MAX_DIRECTORY = 100_000  # entries
_IMAGE = regex(r"^(Dockerfile|Containerfile)")
_NO_FILE = {
    Status.ABSENT: "no such file",
    Status.DIRECTORY: "is a directory",
    Status.OTHER: "is not a regular file",
}


class Record:
    """What a reading asked of a tree: the files whose contents it saw, and what it reported."""

    __slots__ = ("files", "problems")

    def __init__(self) -> None:
        self.files: set[str] = set()
        self.problems: dict[tuple[str, str], Problem] = {}


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
        self.base = base if base is not None else root
        self.problems: list[Problem] = []
        self.budgets = Budgets()
        self.record = Record()
        self.memo: dict[str, Any] = {}  # what others remember of it, by their own names
        self._layers = Layers(root, overlay or {})
        self._below_base = _below(self.base, root)
        self._names: dict[str, str] = {}  # of what was given as contents
        self.supposed: set[str] = set()  # host paths of what was given without being known
        self._read_from: dict[str, str] = {}  # the files that some of it came from
        self._executable: set[str] = set()
        self._partial: set[str] = set()  # directories of which the tree holds single entries
        self._files: dict[str, SourceFile] = {}
        self._unchanged: dict[str, SourceFile] = {}  # as the tree read them that this lies over
        self._listed: dict[str, list[str]] = {}
        self._subdirectories: dict[str, list[str]] = {}
        self._unlisted: set[str] = set()
        self._found: dict[tuple[str, str], bool] = {}  # by directory and pattern of a name
        self._reported: set[tuple[str, str]] = set()
        for path, real in (mounts or {}).items():
            self.mount(path, real)

    def __getstate__(self) -> dict[str, Any]:
        """Return what reports ask for, and what is read once: to be sent to another process."""
        asked = {path: self._layers.resolve(path) for path in self._files}
        kept = {"record": Record(), "_unchanged": {}, "_listed": {}, "_subdirectories": {}}
        return {**self.__dict__, **kept, "_found": {}, "_layers": (self._layers, asked)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Be what was sent."""
        self.__dict__.update(state)
        self._layers, asked = state["_layers"]
        self._layers.remember(asked)

    @property
    def mounts(self) -> Mapping[str, Path]:
        """The real files and directories that are laid over the root, by host path."""
        return self._layers.mounts

    @property
    def excluded(self) -> tuple[Path, ...]:
        """The real files and directories that the configuration leaves out."""
        return self._layers.excluded

    @property
    def live(self) -> bool:
        """Whether it is the root of the machine itself: what is not there does not exist."""
        return self.root == Path("/")

    @property
    def overlay(self) -> Mapping[str, str | None]:
        """The contents that stand for those of files, by host path; None for what is removed."""
        return self._layers.overlay

    def with_overlay(self, overlay: Mapping[str, str | None]) -> Tree:
        """Return the same tree with other contents for some paths."""
        contents = {**self._layers.overlay, **overlay}
        other = Tree(self.root, mounts=self.mounts, overlay=contents, base=self.base)
        other._names = self._names
        other.supposed |= self.supposed
        other._read_from = self._read_from
        other.budgets = self.budgets
        other._layers.share(self._layers)
        other._partial |= self._partial
        other._executable |= self._executable
        return other

    def edited(self, texts: Mapping[str, str]) -> Tree:
        """Return the same tree with other texts in files that it has, by their resolved paths.

        What was read or listed of the others is not read again.
        """
        other = self.with_overlay(texts)
        resolve = self._layers.resolve
        other._unchanged = {
            path: file for path, file in self._files.items() if resolve(path).path not in texts
        }
        other._layers.know(self._layers)
        other._listed = dict(self._listed)
        other._subdirectories = dict(self._subdirectories)
        other._unlisted = set(self._unlisted)
        return other

    def view(self) -> Tree:
        """Return the same tree with a record of its own: it has what is asked through this one."""
        other = Tree.__new__(Tree)
        other.__dict__.update(self.__dict__)
        other.record = Record()
        return other

    def mount(self, path: str, real: Path, *, partial: bool = False) -> None:
        """Lay one more real file or directory over the tree at a host path.

        It is opened where it is now: `real` is resolved, and no part of it may be a link. A
        `partial` directory may lack what the host's has: it lies beside what was named.
        """
        path = normal(path)
        self._layers.mounts[path] = Path(os.path.abspath(real))
        self._changed(path)
        if partial:
            self._partial.add(path)

    def vouch(self, directory: str) -> None:
        """Take a directory for whole although only single entries of it were given."""
        self._partial.discard(normal(directory))

    def lay(self, place: str, path: str) -> None:
        """Lay a file or directory of this tree over another host path. Raise TreeError."""
        self._layers.copy(self.resolve(path), place)
        self._changed(place)

    def give(self, path: str, name: str, data: bytes, real: str | None = None) -> None:
        """Lay contents over the tree that were read already, perhaps from the file `real`.

        Reports call them `name`.
        """
        path = normal(path)
        if real is not None:
            self._read_from[path] = real
        self._layers.overlay[path] = data.decode("utf-8", "surrogateescape")
        self._names[path] = name
        self._changed(path)

    def close(self) -> None:
        """Let go of the directories that are held open; what is read next opens them again."""
        self._layers.door.close()

    def exclude(self, paths: Iterable[str]) -> None:
        """Leave out real files and directories: to this tree they are not known."""
        self._layers.exclude(paths)

    def _changed(self, path: str) -> None:
        """Forget what was known of a path that something is laid over."""
        self._partial.update(self._layers.make_directories(path))
        self._layers.forget()
        self._listed.clear()
        self._subdirectories.clear()
        self._found.clear()
        for files in (self._files, self._unchanged):
            for known in [one for one in files if one == path or one.startswith(f"{path}/")]:
                del files[known]

    # -- what could not be read -------------------------------------------------------------

    def problem(
        self,
        where: Location | SourceFile | str,
        text: str,
        *,
        decisive: bool = True,
        subject: str = "",
        code: Code = Code.UNKNOWN,
    ) -> None:
        """Record something that could not be read or understood; the same one only once."""
        if code is Code.EXCLUDED:  # acknowledged by the configuration
            return
        if isinstance(where, Location):
            problem = Problem(where.path, text, where, decisive, subject, code)
            key = (str(where), problem.reason)
        else:
            path = where.name if isinstance(where, SourceFile) else self.name(where)
            problem = Problem(path, text, None, decisive, "", code)
            key = (path, text)
        self.record.problems.setdefault(key, problem)
        if key not in self._reported:
            self._reported.add(key)
            self.problems.append(problem)

    def repeat(self, record: Record) -> None:
        """Report what was reported before."""
        for key, problem in record.problems.items():
            if key not in self._reported:
                self._reported.add(key)
                self.problems.append(problem)

    def name(self, path: str) -> str:
        """Return what reports call a host path: relative to the host's root."""
        path = normal(path)
        if path in self._names:
            return self._names[path]
        if self._below_base is not None and not self._layers.mounts and path != "/":
            return self._below_base + path[1:]
        place = self._layers.place(path)
        if place is not None and self.base is not None:
            real, base = join(*place).rstrip("/") or "/", str(self.base)
            return "." if real == base else real.removeprefix(f"{base.rstrip('/')}/")
        return path.lstrip("/")

    def place_on_disk(self, path: str) -> str | None:
        """Return the real path of a file as it was resolved, None if the disk has no such file.

        No part of it was a link then: who opens it without following any meets no other file.
        """
        if path in self._read_from:
            return str(real_path(self._read_from[path]))
        try:
            resolved = self.resolve(path)
        except TreeError:
            return None
        place = self._layers.place(resolved)
        return None if place is None or resolved in self._layers.overlay else join(*place)

    def on_disk(self, path: str | None, name: str) -> str | None:
        """Return the absolute path that opens a file, given its host path if known and its name.

        None if the disk has no such file: an overlay, or something with a name of its own.
        """
        if path is None:
            named = os.path.join(self.base, name) if self.base is not None else name
            return named if os.path.isabs(named) and os.path.lexists(named) else None
        if path in self._read_from:
            return self._read_from[path]
        try:
            resolved = self.resolve(path)
        except TreeError:
            resolved = path
        place, own = self._layers.place(resolved), self._layers.place(normal(path))
        real = None if place is None else join(*place)
        direct = None if own is None else join(*own)
        if resolved in self._layers.overlay or real is None:
            return None
        # An absolute link means this tree's root, and leads elsewhere on disk.
        same = direct is not None and real_path(direct) == real_path(real)
        return direct if same else real

    def files(self) -> list[SourceFile]:
        """Return the text files that were read."""
        return list(self._files.values())

    # -- reading ----------------------------------------------------------------------------

    def read(self, path: str) -> SourceFile:
        """Return the text of a file; bytes that are not UTF-8 become surrogate escapes.

        Raise TreeError if it is absent, not regular, not permitted, too large, or leads outside.
        """
        path = normal(path)
        self.record.files.add(path)
        cached = self._files.get(path)
        if cached is None:
            cached = self._files[path] = self._unchanged.get(path) or self._read(path)
        return cached

    def _read(self, path: str) -> SourceFile:
        found = self._layers.resolve(path)
        text = self._layers.overlay.get(found.path)
        if text is None:
            text = self._bytes(path, found).decode("utf-8", "surrogateescape")
        return SourceFile(path, self.name(path), text)

    def try_read(self, path: str, *, decisive: bool = True) -> SourceFile | None:
        """Return a file, or None; report what is there but cannot be read."""
        try:
            return self.read(path)
        except TreeError as error:
            if error.status is not Status.ABSENT:
                self.problem(path, error.reason, decisive=decisive, code=error.code)
            return None

    def read_bytes(self, path: str) -> bytes:
        """Return the bytes of a file. Raise TreeError as `read` does."""
        path = normal(path)
        self.record.files.add(path)
        found = self._layers.resolve(path)
        text = self._layers.overlay.get(found.path)
        if text is not None:
            return text.encode("utf-8", "surrogateescape")
        return self._bytes(path, found)

    def _bytes(self, path: str, found: Resolved) -> bytes:
        if found.status is not Status.FILE:
            if found.status is Status.UNKNOWN:
                raise _not_known(path, found)
            raise TreeError(path, _NO_FILE[found.status], found.status)
        place = self._layers.place(found.path)
        assert place is not None
        try:
            data, details = self._layers.door.read(place, path, MAX_FILE)
            self.budgets.read((details.st_dev, details.st_ino), len(data))
        except OSError as error:
            raise TreeError.from_os(path, error) from None
        except ExhaustedError as error:
            raise TreeError(path, f"is not read: the run {error}", Status.UNKNOWN) from None
        reason = not_its_text(data)
        if reason:
            raise TreeError(path, reason, Status.UNKNOWN)
        return data

    def mode(self, path: str) -> int | None:
        """Return a file's permission bits, or None where they are not known."""
        details = self._details(path)
        if details is None:
            return None
        mode = stat.S_IMODE(details.st_mode)
        return mode | 0o111 if self._layers.resolve(normal(path)).path in self._executable else mode

    def make_executable(self, path: str) -> None:
        """Give a file the run bits, in this view alone."""
        self._executable.add(self._layers.resolve(normal(path)).path)

    def owner(self, path: str) -> tuple[int, int] | None:
        """Return a file's (user, group) ids where they are a host's own: in a tree that is /."""
        details = self._details(path) if self.live else None
        return None if details is None else (details.st_uid, details.st_gid)

    def _details(self, path: str) -> os.stat_result | None:
        self.record.files.add(normal(path))
        try:
            resolved = self.resolve(path)
            place = self._layers.place(resolved)
            if place is None or resolved in self._layers.overlay:
                return None
            return self._layers.door.lstat(place)
        except (OSError, TreeError):
            return None

    # -- what is there, and what is known to be missing ------------------------------------

    def status(self, path: str) -> Status:
        """Return what a path is. A path below a directory that was not given is UNKNOWN."""
        return self._layers.status(path)

    def is_excluded(self, path: str) -> bool:
        """Tell whether the configuration excludes a path: it is acknowledged not to be read."""
        why = self._layers.resolve(normal(path)).why
        return why is not None and why[0] is Code.EXCLUDED

    def exists(self, path: str) -> bool:
        """Tell whether the tree certainly has a path."""
        return self.status(path) in (Status.FILE, Status.DIRECTORY, Status.OTHER)

    def existing(self, paths: Iterable[str]) -> Iterator[str]:
        """Yield those of many paths that the tree certainly has."""
        absent: dict[str, bool] = {}  # the directories that they are in
        for path in paths:
            parent, _, name = path.rpartition("/")
            gone = absent.get(parent)
            if gone is None:
                known = parent == normal(parent) and self.status(parent) is Status.ABSENT
                gone = absent[parent] = known
            if not (gone and name != "..") and self.exists(path):
                yield path

    def holds(self, directory: str, *, within: str = "") -> bool:
        """Tell whether what is missing from a directory is missing on the host.

        That is so on the machine itself, and where the tree has the directory: of others a copy
        or a repository may well lack the whole. Below `within`, a package's own directory, it is
        enough that the tree has that one: git keeps no empty directories.
        """
        if self.live:
            return True
        resolved, status, *_ = self._layers.resolve(normal(directory))
        while status is Status.ABSENT and f"{directory}/".startswith(f"{within}/") and within:
            if directory == within:
                return False
            directory = posixpath.dirname(directory)
            resolved, status, *_ = self._layers.resolve(directory)
        if status is not Status.DIRECTORY:
            return False
        if resolved not in self._partial:
            return True
        place = self._layers.place(resolved)
        if place is None or resolved in self.mounts:
            return False
        try:
            return stat.S_ISDIR(self._layers.door.lstat(place).st_mode)
        except OSError:
            return False

    def absent(
        self, path: str, *, within: str = "", kin: re.Pattern[str] | None = None
    ) -> bool | None:
        """Tell whether a path is missing on the host; None where only this tree may lack it.

        What goes into an image meets there the files of other layers.
        `kin`: what is rarely committed is missing only where another file with such a name lies
        beside it. `within` is as in `holds`.
        """
        path = normal(path)
        status = self.status(path)
        if status is not Status.ABSENT:
            return None if status is Status.UNKNOWN else False
        directory = posixpath.dirname(self.destination(path))
        if path in self.mounts or not self.holds(directory, within=within):
            return None
        if self.live:
            return True
        if self._any("/", _IMAGE):
            return None
        if self.status(directory) is Status.DIRECTORY and not self.names(directory):
            return None  # a submodule that is not checked out
        return True if kin is None or self._any(directory, kin) else None

    def _any(self, directory: str, pattern: re.Pattern[str]) -> bool:
        """Tell whether a directory has a name that a pattern finds."""
        key = (directory, pattern.pattern)
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = any(map(pattern.search, self.names(directory)))
        return found

    def resolve(self, path: str) -> str:
        """Return a path with all symlinks resolved inside the root. Raise TreeError."""
        path = normal(path)
        found = self._layers.resolve(path)
        if found.status is Status.UNKNOWN:
            raise _not_known(path, found)
        if found.status is Status.ABSENT:
            raise TreeError(path, _NO_FILE[found.status], found.status)
        return found.path

    def lead_to(self, paths: Iterable[str], places: Collection[str]) -> bool:
        """Tell whether one of several paths leads to one of others that are resolved."""
        return any(
            found.path in places and found.status is not Status.UNKNOWN
            for found in map(self._layers.resolve, map(normal, paths))
        )

    def link_target(self, path: str) -> str | None:
        """Return where a symlink points (one step, as an absolute host path), else None."""
        return self._layers.link_target(normal(path))

    def destination(self, path: str) -> str:
        """Return where a path's last part leads once its links are followed, as far as they go."""
        for _ in range(MAX_LINKS):
            target = self.link_target(path)
            if target is None:
                break
            path = target
        return path

    # -- listing ---------------------------------------------------------------------------

    def names(self, path: str) -> list[str]:
        """Return the names in a directory in byte order; [] if it is none."""
        cached = self._listed.get(path)
        if cached is None:
            path = normal(path)
            cached = self._listed.get(path)
        if cached is not None:
            return cached
        found = self._layers.resolve(path)
        if found.status is not Status.DIRECTORY:
            self._listed[path] = []
            return []
        listed = sorted(self._layers.names(found.path, self._listing(path, found.path)))
        if not "".join(listed).isascii():
            listed.sort(key=os.fsencode)
        self._listed[path] = listed
        return listed

    def _listing(self, path: str, resolved: str) -> set[str]:
        kinds: dict[str, int] = {}
        place = self._layers.place(resolved)
        if place is None:
            return set()
        try:
            for name, kind in self._layers.door.entries(place):
                if len(kinds) >= MAX_DIRECTORY:
                    self.problem(path, "holds too many files", code=Code.UNUSABLE)
                    break
                self.budgets.spend("entries")
                kinds[name] = kind
                if kind == stat.S_IFDIR:
                    self._subdirectories.setdefault(resolved, []).append(name)
            else:
                self._layers.listed(resolved, kinds)
        except ExhaustedError as error:
            self._unlisted.add(path)
            said = f"is not read to its end: the run {error}"
            self.problem(path, said, code=Code.LIMIT)
        except OSError as error:
            if error.errno != errno.ENOENT:
                self._unlisted.add(path)
                failed = TreeError.from_os(path, error)
                self.problem(path, failed.reason, decisive=False, code=failed.code)
        return set(kinds)

    def listable(self, path: str) -> bool:
        """Tell whether what a directory holds is known; True for one that is not there."""
        path = normal(path)
        self.names(path)
        return path not in self._unlisted

    def subdirectories(self, path: str) -> list[str]:
        """Return the names in a directory that are directories themselves, and no links."""
        path = normal(path)
        self.names(path)
        return sorted(self._subdirectories.get(self._layers.resolve(path).path, ()))

    def glob(
        self, pattern: str, *, braces: bool = False, location: Location | None = None
    ) -> list[str]:
        """Return the host paths that match a glob(3) pattern, in byte order.

        Names that start with a dot are matched only by a pattern that does. `braces` adds
        GLOB_BRACE, which keeps the order of the alternatives. `location` is where the pattern is.
        """
        found: list[str] = []
        for alternative in globs.expand_braces(pattern) if braces else [pattern]:
            matches = self._glob(normal(alternative), location)
            plain = "".join(matches).isascii()
            found.extend(sorted(matches, key=None if plain else os.fsencode))
        return found

    def walk(self, path: str, *, depth: int = 8) -> Iterator[str]:
        """Yield the regular files below a directory, symlinked directories not followed."""
        for name in self.names(path):
            child = join(path, name)
            status = self.status(child)
            if status is Status.FILE:
                yield child
            elif status is Status.DIRECTORY and depth and self.link_target(child) is None:
                yield from self.walk(child, depth=depth - 1)

    def _glob(self, pattern: str, location: Location | None) -> list[str]:
        if not globs.is_pattern(pattern):
            literal = pattern.replace("\\", "")
            return [literal] if self.lexists(literal) else []
        parts = pattern.split("/")
        plain = next(at for at, part in enumerate(parts) if globs.is_pattern(part))
        found = ["/".join(parts[:plain]) or "/"[: pattern.startswith("/")]]
        for part in parts[plain:]:
            found = self._matches(found, part, location)
        return found

    def _matches(self, parents: list[str], last: str, location: Location | None) -> list[str]:
        """Return the paths below some directories whose last part matches a pattern."""
        if not globs.is_pattern(last):
            return [path for parent in parents if self.lexists(path := join(parent, last))]
        matches = globs.matcher(last)
        found: list[str] = []
        for parent in parents:
            below = [join(parent, name) for name in self.names(parent) if matches(name)]
            self.budgets.spend("matches", len(below), location)
            found += below
        return found

    def lexists(self, path: str) -> bool:
        """Tell whether the tree has a path, if only a link that leads nowhere."""
        return self.exists(path) or self.link_target(path) is not None


def _below(base: Path | None, root: Path | None) -> str | None:
    """Return what stands before the names below a root that lies in the base, None for others."""
    if root is None:
        return None
    top, start = f"{os.path.abspath(root).rstrip('/')}/", f"{str(base).rstrip('/')}/"
    return top.removeprefix(start) if top.startswith(start) else None


def _not_known(path: str, found: Resolved) -> TreeError:
    code, reason = found.why or (Code.UNKNOWN, "cannot be read")
    return TreeError(path, reason, Status.UNKNOWN, code)
