"""Where a host path leads within a tree: its root, what is laid over it, and links.

Nothing outside the root (or a mount) is looked at, whatever a link or `..` says.
"""

from __future__ import annotations

import errno
import os
import posixpath
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sslint.reasons import Code
from sslint.tree.door import Door, Place
from sslint.tree.paths import real_path
from sslint.tree.status import Status, TreeError

MAX_LINKS = 40  # the kernel's own bound, path_resolution(7)
MAX_PATH = 4096  # the kernel's own bound
# After so many looks into a directory it is listed, if it has no more names than that.
LOOKS = {5: 1_000, 1_000: 100_000}
EXCLUDED = "excluded by the configuration"


class Resolved(NamedTuple):
    """Where a path leads: `path` has no links, as far as it could be followed.

    `links` counts those that were followed. `why` says why an UNKNOWN one is not known.
    """

    path: str
    status: Status
    links: int = 0
    why: tuple[Code, str] | None = None


ROOT = Resolved("/", Status.DIRECTORY)


class Layers:
    """The files below `root`, the `mounts` over them (host path -> real path), and an overlay.

    `overlay` maps host paths to other contents, or to None for "removed". With `root` None only
    the mounts exist.
    """

    def __init__(self, root: Path | None, overlay: Mapping[str, str | None]) -> None:
        self._root = None if root is None else os.path.abspath(root)
        self.mounts: dict[str, Path] = {}
        self.overlay = {normal(path): text for path, text in overlay.items()}
        self._has_removed = None in self.overlay.values()
        self._made: dict[str, set[str]] = {}  # directories that lead to what is laid over the root
        self.excluded: tuple[Path, ...] = ()
        self.door = Door()
        self._resolved = {"/": ROOT}
        self._kinds: dict[str, dict[str, int] | int] = {}  # or how often it was looked into
        for path, text in self.overlay.items():
            if text is not None:
                self.make_directories(path)

    def __getstate__(self) -> dict[str, Any]:
        """Return what can be sent to another process: no open directories."""
        kept = {"_resolved": {"/": ROOT}, "_kinds": {}}
        return {**{k: v for k, v in self.__dict__.items() if k != "door"}, **kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Be what was sent, with a door of its own."""
        self.__dict__.update(state)
        self.door = Door()

    def remember(self, resolved: Mapping[str, Resolved]) -> None:
        """Take over where some paths lead."""
        self._resolved.update(resolved)

    def share(self, other: Layers) -> None:
        """Look at the disk as another one does."""
        self.door = other.door
        self.excluded = other.excluded

    def know(self, other: Layers) -> None:
        """Take over where paths lead, which what lies over this one has not changed."""
        self._resolved = dict(other._resolved)
        self._kinds = dict(other._kinds)

    def forget(self) -> None:
        """Forget where paths lead: something is laid over the tree."""
        self._resolved = {"/": ROOT}
        if self.mounts:
            self._kinds = {}

    def exclude(self, paths: Iterable[str]) -> None:
        """Leave out real files and directories: to this tree they are not known."""
        self.excluded = tuple(real_path(path) for path in paths if "\0" not in str(path))

    def copy(self, path: str, place: str) -> None:
        """Lay what is at a resolved path over another place, too."""
        for key, text in list(self.overlay.items()):
            if key == path or key.startswith(f"{path}/"):
                self.overlay[place + key.removeprefix(path)] = text
                self.make_directories(place + key.removeprefix(path))
        real = self.place(path)
        if real is not None:
            self.mounts[place] = Path(*real)

    def make_directories(self, path: str) -> list[str]:
        """Let the directories above a path exist, and return them."""
        made = []
        while path != "/":
            parent, name = posixpath.split(path)
            self._made.setdefault(parent, set()).add(name)
            made.append(parent)
            path = parent
        return made

    def names(self, directory: str, on_disk: set[str]) -> set[str]:
        """Return the names in a resolved directory, given those that it has on disk."""
        names = on_disk | self._made.get(directory, set())
        if self._has_removed:
            names = {n for n in names if self.overlay.get(below(directory, n), "") is not None}
        return names

    def place(self, path: str) -> Place | None:
        """Return where a host path without links lies on disk, None if nowhere."""
        if self.mounts:
            prefix = path
            while True:
                if prefix in self.mounts:
                    rest = path[len(prefix) :].lstrip("/")
                    top = str(self.mounts[prefix])
                    return (top, rest) if rest else posixpath.split(top)
                if prefix == "/":
                    break
                prefix = posixpath.dirname(prefix)
        return None if self._root is None else (self._root, path[1:])

    def status(self, path: str) -> Status:
        """Return what a path is."""
        known = self._resolved.get(path)
        return known.status if known is not None else self.resolve(normal(path)).status

    def resolve(self, path: str) -> Resolved:
        """Return where a normal path leads."""
        found = self._resolved.get(path)
        if found is not None:
            return found
        if len(path) > MAX_PATH:
            return Resolved(path, Status.ABSENT)
        whole, names = path, []
        while (found := self._resolved.get(path)) is None:
            path, _, name = path.rpartition("/")
            path = path or "/"
            names.append(name)
        for name in reversed(names):
            if found.status is Status.ABSENT:  # and so is what is below it
                self._resolved[whole] = found
                break
            path = below(path, name)
            found = self._resolved[path] = self._plain(found, name) or self._follow(found, name)
        return found

    def _plain(self, start: Resolved, name: str) -> Resolved | None:
        """Return a regular file in a directory that was listed; None for all else."""
        kinds = self._kinds.get(start.path)
        if not isinstance(kinds, dict) or kinds.get(name) != stat.S_IFREG or self.excluded:
            return None
        path = below(start.path, name)
        if start.status is not Status.DIRECTORY or path in self.overlay or path in self.mounts:
            return None
        return Resolved(path, Status.FILE, start.links)

    def _follow(self, start: Resolved, name: str) -> Resolved:
        """Walk on from a resolved path by a name, and by the links that it leads to."""
        current, status, links, _ = start
        if status is Status.UNKNOWN:
            return start
        if status is Status.DIRECTORY and name not in (".", ".."):  # nearly always no link
            path = below(current, name)
            found, target, why = self._look(path)
            if target is None:
                return Resolved(path, found, links, why)
        pending = [name]  # the next one last
        while pending:
            part = pending.pop()
            if part == ".":
                continue
            if part == "..":  # the root's parent is the root, as in a chroot
                current = posixpath.dirname(current)
                continue
            if status is not Status.DIRECTORY:
                return Resolved(current, Status.ABSENT, links)
            current = below(current, part)
            status, target, why = self._look(current)
            if status is Status.ABSENT or status is Status.UNKNOWN:
                return Resolved(current, status, links, why)
            if target is None:
                continue
            links += 1
            if links > MAX_LINKS:
                why = (Code.UNREADABLE, "too many symbolic links")
                return Resolved(current, Status.UNKNOWN, links, why)
            current = "/" if target.startswith("/") else posixpath.dirname(current)
            pending.extend(part for part in reversed(target.split("/")) if part)
        return Resolved(current, status, links)

    def _look(self, path: str) -> tuple[Status, str | None, tuple[Code, str] | None]:
        """Return what lies at a path in a resolved directory, its target if it is a link, and why.

        After a link the walk goes on from a directory, which is its status therefore.
        """
        if "\0" in path:
            return Status.ABSENT, None, None
        if path in self.overlay:
            return Status.ABSENT if self.overlay[path] is None else Status.FILE, None, None
        place = self.place(path)
        try:
            if place is None:
                raise FileNotFoundError(errno.ENOENT, "no such file")
            if self.excluded and self._is_excluded(Path(*place)):
                return Status.UNKNOWN, None, (Code.EXCLUDED, EXCLUDED)
            mode = self._mode(path, place)
            if stat.S_ISLNK(mode):
                return Status.DIRECTORY, self.door.readlink(place), None
        except OSError as error:
            if path in self._made:
                return Status.DIRECTORY, None, None
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
                return Status.ABSENT, None, None
            failed = TreeError.from_os(path, error)
            return Status.UNKNOWN, None, (failed.code, failed.reason)
        if stat.S_ISDIR(mode):
            return Status.DIRECTORY, None, None
        return Status.FILE if stat.S_ISREG(mode) else Status.OTHER, None, None

    def _mode(self, path: str, place: Place) -> int:
        """Return the type of what lies at a path in a resolved directory. Raise OSError.

        One listing of the directory answers for all that is looked for there.
        """
        if path not in self.mounts:
            directory, _, name = path.rpartition("/")
            found = self.kinds(directory or "/")
            if found is not None:
                kind = found.get(name)
                if kind is None:
                    raise FileNotFoundError(errno.ENOENT, "no such file")
                if kind:
                    return kind
        return self.door.lstat(place).st_mode

    def kinds(self, directory: str) -> dict[str, int] | None:
        """Return what lies on disk in a resolved directory: names with the type bits of a mode.

        None where it was not listed: a few looks cost less.
        """
        found = self._kinds.get(directory, 0)
        if not isinstance(found, int):
            return found
        looks = found + 1
        most = LOOKS.get(looks)
        place = self.place(directory) if most is not None else None
        listed = None
        if most is not None and place is not None:
            listed = self.door.kinds(place, most)
        self._kinds[directory] = looks if listed is None else listed
        return listed

    def listed(self, directory: str, kinds: dict[str, int]) -> None:
        """Take what lies in a resolved directory from one who listed it to the end."""
        self._kinds[directory] = kinds

    def _is_excluded(self, real: Path) -> bool:
        return any(path == real or path in real.parents for path in self.excluded)

    def link_target(self, path: str) -> str | None:
        """Return where a symlink points (one step, as an absolute host path), else None."""
        directory, _, name = path.rpartition("/")
        parent = self.resolve(directory or "/")
        if parent.status is not Status.DIRECTORY:
            return None
        whole = below(parent.path, name)
        if whole not in self.mounts:
            kinds = self.kinds(parent.path)
            if kinds is not None and kinds.get(name) != stat.S_IFLNK and kinds.get(name) != 0:
                return None
        place = self.place(whole)
        try:
            target = self.door.readlink(place) if place is not None else None
        except (OSError, ValueError):  # no link; a NUL byte in the name
            return None
        return None if target is None else normal(posixpath.join(parent.path, target))


def normal(path: str) -> str:
    """Return an absolute path without `.`, `..` and doubled slashes."""
    if path[:1] == "/" and path[-1:] != "/" and "//" not in path and "/." not in path:
        return path
    return "/" + posixpath.normpath("/" + path).lstrip("/")


def below(directory: str, name: str) -> str:
    """Return the path of a name in a directory."""
    return f"/{name}" if directory == "/" else f"{directory}/{name}"
