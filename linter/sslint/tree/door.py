"""Open what lies below a directory, and follow no link: the one place where files are opened.

Only regular files are opened, without blocking, and no more is read than a bound says.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from _thread import _local  # threading.local, without what takes a millisecond to import
from collections.abc import Callable, Iterator
from functools import cache

from sslint.budgets import ExhaustedError, shortage
from sslint.tree.status import Status, TreeError

MAX_FILE = 64 << 20  # bytes; 100,000 iptables rules are 10 MB
MAX_DESCRIPTORS = 64  # directories held open, for all trees together

Place = tuple[str, str]  # a directory at a real path, and the path below it


class Door:
    """Open what lies below real directories that were resolved before, and follow no link.

    A directory is opened beneath its top by openat2(2), or part by part where the kernel or its
    sandbox has no such call, and kept for a while; everything else is one name in such a directory.
    So what is exchanged for a link after it was resolved is refused and not followed.
    """

    def __init__(self) -> None:
        self._kept: dict[Place, int] = {}  # (top, path below it)

    def close(self) -> None:
        """Close the directories; what is asked next opens them again."""
        while self._kept:
            descriptor = self._kept.popitem()[1]
            _held.by.pop(descriptor, None)
            _close(descriptor)

    def __del__(self) -> None:
        self.close()

    def directory(self, place: Place) -> int:
        """Return a descriptor of a directory, which stays the door's."""
        descriptor = self._kept.get(place)
        if descriptor is None:
            top, path = place
            try:
                if path:
                    descriptor = _open_beneath(self.directory((top, "")), path)
                else:
                    descriptor = _open_resolved(top)
            except NotADirectoryError:  # it was one, and is a link or a file now
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path) from None
            except OSError as error:
                raise _failed(error) from None
            if len(_held.by) >= MAX_DESCRIPTORS:
                oldest = next(iter(_held.by))
                kept, where = _held.by.pop(oldest)
                if kept.get(where) == oldest:
                    os.close(kept.pop(where))
            self._kept[place] = descriptor
            _held.by[descriptor] = self._kept, place
        return descriptor

    def at(self, place: Place) -> tuple[str, int]:
        """Return a path's last name and the descriptor of the directory it is in."""
        top, path = place
        parent, _, name = path.rpartition("/")
        return name or ".", self.directory((top, parent))

    def lstat(self, place: Place) -> os.stat_result:
        """Return what stat(2) says of a path; a link is not followed."""
        name, parent = self.at(place)
        return os.stat(name, dir_fd=parent, follow_symlinks=False)

    def readlink(self, place: Place) -> str:
        """Return where a link points."""
        name, parent = self.at(place)
        return os.readlink(name, dir_fd=parent)

    def open(self, place: Place, flags: int = 0) -> int:
        """Return a new descriptor for reading, without blocking."""
        name, parent = self.at(place)
        try:
            return os.open(name, READ | os.O_NOFOLLOW | flags, dir_fd=parent)
        except OSError as error:
            raise _failed(error) from None

    def entries(self, place: Place) -> Iterator[tuple[str, int]]:
        """Yield the names in a directory with the type bits of each one's mode, 0 if not known.

        Raise OSError.
        """
        descriptor = self.open(place, os.O_DIRECTORY)
        try:
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    yield entry.name, (
                        stat.S_IFREG if entry.is_file(follow_symlinks=False)
                        else stat.S_IFDIR if entry.is_dir(follow_symlinks=False)
                        else stat.S_IFLNK if entry.is_symlink()
                        else 0
                    )  # fmt: skip
        finally:
            os.close(descriptor)

    def kinds(self, place: Place, most: int) -> dict[str, int] | None:
        """Return the names in a directory with the type bits of each one's mode, 0 where not known.

        None where it cannot be read or has more than that.
        """
        found: dict[str, int] = {}
        try:
            for name, kind in self.entries(place):
                found[name] = kind
                if len(found) > most:
                    return None
        except OSError:
            return None
        return found

    def read(self, place: Place, name: str, limit: int) -> tuple[bytes, os.stat_result]:
        """Return the bytes of a regular file, which errors call `name`, and what fstat(2) says.

        Raise OSError, or TreeError if it is not regular or holds more than `limit` bytes.
        """
        descriptor = self.open(place)
        try:
            details = os.fstat(descriptor)
            if not stat.S_ISREG(details.st_mode):
                raise TreeError(name, "is not a regular file", Status.OTHER)
            if details.st_size > limit:
                raise TreeError.too_large(name, limit)
            pieces, size, wanted = [], 0, details.st_size + 1
            while size <= limit and (piece := os.read(descriptor, wanted)):
                pieces.append(piece)
                size += len(piece)
                if size == details.st_size:
                    break
                wanted = 1 << 16  # it has grown
        finally:
            os.close(descriptor)
        if size > limit:
            raise TreeError.too_large(name, limit)
        return b"".join(pieces), details


class _Held(_local):
    """The directories that the doors of a thread hold open, the oldest first."""

    def __init__(self) -> None:
        self.by: dict[int, tuple[dict[Place, int], Place]] = {}  # whose, and which


_held = _Held()
_close = os.close  # also when the interpreter goes down
READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_PATH = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def _failed(error: OSError) -> Exception:
    """Return an error, or that the run lacks what it takes to open anything."""
    lacking = error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
    return ExhaustedError(shortage(error)) if lacking else error


def _open_resolved(path: str) -> int:
    """Return a descriptor of a real directory of whose path no part is a link."""
    start = os.open("/", _PATH)
    if not path.strip("/"):
        return start
    try:
        return _open_beneath(start, path.strip("/"))
    finally:
        os.close(start)


def _open_beneath(start: int, path: str) -> int:
    """Return a descriptor of a directory below another; no part may be a link or `..`."""
    if "/" in path and (openat2 := openat2_call()) is not None:
        return openat2(start, path)
    current = start
    try:
        for part in path.split("/"):
            following = os.open(part, _PATH, dir_fd=current)
            if current != start:
                os.close(current)
            current = following
    except OSError:
        if current != start:
            os.close(current)
        raise
    return current


@cache
def openat2_call() -> Callable[[int, str], int] | None:
    """Return openat2(2) with RESOLVE_BENEATH and without links, None where there is none."""
    if not sys.platform.startswith("linux"):
        return None
    import ctypes

    number = 437  # on every architecture
    no_magic_links, no_symlinks, beneath = 0x02, 0x04, 0x08
    how = (ctypes.c_uint64 * 3)(_PATH, 0, no_magic_links | no_symlinks | beneath)
    call = ctypes.CDLL(None, use_errno=True).syscall

    def openat2(start: int, path: str) -> int:
        for _ in range(8):  # EAGAIN: something was renamed meanwhile
            found = int(call(number, start, os.fsencode(path), how, ctypes.sizeof(how)))
            if found >= 0 or ctypes.get_errno() != errno.EAGAIN:
                break
        if found < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)
        return found

    start = os.open("/", _PATH)
    try:
        os.close(openat2(start, "."))
    except OSError:  # an old kernel, or a sandbox that refuses it
        return None
    finally:
        os.close(start)
    return openat2
