"""A confined, read-only view of a host's configuration tree.

Paths are the host's own: absolute POSIX paths such as `/etc/ssl/shop.pem`. An absolute
symlink target means the tree's root, as it does on the host after a chroot. Nothing outside the
root (or a mount) is ever opened, whatever a symlink or `..` says, and also when a directory is
exchanged for a link meanwhile. The tree is hostile input: only regular files are opened, without
blocking, and sizes, counts and depths are bounded.

No other module opens a file: what the user names goes through `read_named`, and what comes with
sslint through `read_bundled`.
"""

from __future__ import annotations

import errno
import os
import posixpath
import re
import stat
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import Enum
from functools import cache
from pathlib import Path
from posixpath import join
from typing import IO

from sslint import globs
from sslint.budgets import Budgets, ExhaustedError
from sslint.errors import UsageError
from sslint.reasons import Code, Problem, about
from sslint.regex import regex
from sslint.source import Location, SourceFile
from sslint.values import dataclass

MAX_FILE = 64 << 20  # bytes; 100,000 iptables rules are 10 MB
MAX_LINKS = 40  # the kernel's own bound, path_resolution(7)
MAX_DIRECTORY = 100_000  # entries
MAX_PATH = 4096  # the kernel's own bound
MAX_DESCRIPTORS = 64  # directories held open for one tree
# How files begin that a repository keeps encrypted.
_ENCRYPTED = {
    "git-crypt": b"\0GITCRYPT\0",
    "ansible-vault": b"$ANSIBLE_VAULT;",
    "age": b"age-encryption.org/v1",
    "age ": b"-----BEGIN AGE ENCRYPTED FILE-----",
    "PGP": b"-----BEGIN PGP MESSAGE-----",
    "OpenSSL": b"Salted__",
    "transcrypt": b"U2FsdGVkX1",
}
_SOPS = b"ENC[AES256_GCM,data:"
EXCLUDED = "excluded by the configuration"
_IMAGE = regex(r"^(Dockerfile|Containerfile)")


class Status(Enum):
    """What a path is, as far as this tree can tell."""

    FILE = "file"
    DIRECTORY = "directory"
    OTHER = "other"
    ABSENT = "absent"
    UNKNOWN = "unknown"  # not permitted, or outside what was given


class TreeError(Exception):
    """A path cannot be read; `status` says whether it is absent or unknown, `code` why."""

    def __init__(self, path: str, reason: str, status: Status, code: Code = Code.UNUSABLE) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason
        self.status = status
        self.code = Code.ABSENT if status is Status.ABSENT else code

    def of(self, name: str) -> str:
        """Say what is the matter with the path, which the reader knows as `name`."""
        return about(name, self.code, self.reason)


class _Door:
    """Open what lies below real directories that were resolved before, and follow no link.

    A directory is opened beneath its top by openat2(2), or part by part where the kernel or its
    sandbox has no such call, and kept; everything else is one name in such a directory. So what
    is exchanged for a link after it was resolved is refused and not followed.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], int] = {}  # (top, path below it), the oldest first

    def close(self) -> None:
        """Close the directories; what is asked next opens them again."""
        while self._kept:
            _close(self._kept.popitem()[1])

    def __del__(self) -> None:
        self.close()

    def directory(self, place: tuple[str, str]) -> int:
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
            if len(self._kept) >= MAX_DESCRIPTORS:
                os.close(self._kept.pop(next(key for key in self._kept if key != (top, ""))))
            self._kept[place] = descriptor
        return descriptor

    def at(self, place: tuple[str, str]) -> tuple[str, int]:
        """Return a path's last name and the descriptor of the directory it is in."""
        top, path = place
        parent, _, name = path.rpartition("/")
        return name or ".", self.directory((top, parent))

    def lstat(self, place: tuple[str, str]) -> os.stat_result:
        """Return what stat(2) says of a path; a link is not followed."""
        name, parent = self.at(place)
        return os.stat(name, dir_fd=parent, follow_symlinks=False)

    def readlink(self, place: tuple[str, str]) -> str:
        """Return where a link points."""
        name, parent = self.at(place)
        return os.readlink(name, dir_fd=parent)

    def open(self, place: tuple[str, str], flags: int = 0) -> int:
        """Return a new descriptor for reading, without blocking."""
        name, parent = self.at(place)
        return os.open(name, _READ | os.O_NOFOLLOW | flags, dir_fd=parent)


_close = os.close  # also when the interpreter goes down
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_PATH = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


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
    if "/" in path and (openat2 := _openat2()) is not None:
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
def _openat2() -> Callable[[int, str], int] | None:
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


# -- what the user names, and what is sslint's own ------------------------------------------------


def read_named(name: str, *, limit: int = MAX_FILE) -> bytes:
    """Return the bytes of what the user names: `-`, a pipe, /dev/fd/N, or any file, as named.

    Raise OSError, or TreeError if it holds more than `limit` bytes.
    """
    with open_named(name) as stream:
        data: bytes = stream.read(limit + 1)
    if len(data) > limit:
        raise TreeError(name, f"is larger than {limit >> 20} MiB", Status.UNKNOWN)
    return data


def read_found(path: Path, *, limit: int = MAX_FILE) -> tuple[bytes, int]:
    """Return the bytes and the owner of a regular file that was found and not named.

    No part of the path may be a link. Raise TreeError.
    """
    door = _Door()
    try:
        data, details = _read_regular(door, posixpath.split(path), str(path), limit)
    except OSError as error:
        found = _error(str(path), error)
        if error.errno == errno.ELOOP:
            found = TreeError(str(path), "is a symbolic link", found.status)
        raise found from None
    finally:
        door.close()
    return data, details.st_uid


def _read_regular(
    door: _Door, place: tuple[str, str], name: str, limit: int
) -> tuple[bytes, os.stat_result]:
    descriptor = door.open(place)
    try:
        details = os.fstat(descriptor)
        if not stat.S_ISREG(details.st_mode):
            raise TreeError(name, "is not a regular file", Status.OTHER)
        if details.st_size > limit:
            raise _too_large(name, limit)
        pieces, size, wanted = [], 0, details.st_size + 1
        while size <= limit and (piece := os.read(descriptor, wanted)):
            pieces.append(piece)
            size += len(piece)
            wanted = 1 << 16  # it has grown
    finally:
        os.close(descriptor)
    if size > limit:
        raise _too_large(name, limit)
    return b"".join(pieces), details


def _too_large(name: str, limit: int) -> TreeError:
    return TreeError(name, f"is larger than {limit >> 20} MiB", Status.UNKNOWN)


def files_below(path: Path, ending: str) -> list[Path]:
    """Return a file, or all files with such an ending below a directory."""
    if not path.is_dir():
        return [path]
    tree, found, pending = Tree(path), [], ["/"]
    while pending:
        directory = pending.pop()
        below = set(tree.subdirectories(directory))
        pending += [f"{directory}{name}/" for name in below]
        found += [
            path / directory[1:] / name
            for name in tree.names(directory)
            if name.endswith(ending) and name not in below
        ]
    tree.close()
    return sorted(found)


def kinds(path: Path) -> dict[str, str]:
    """Return the names in a directory at a resolved path: each a file, directory, link or other.

    There are none where it cannot be read.
    """
    found = {}
    with suppress(OSError), os.scandir(path) as entries:
        for entry in entries:
            follow = {"follow_symlinks": False}
            found[entry.name] = (
                "link" if entry.is_symlink()
                else "file" if entry.is_file(**follow)
                else "directory" if entry.is_dir(**follow)
                else "other"
            )  # fmt: skip
    return found


def head(path: Path, limit: int = 65536) -> str:
    """Return the beginning of a regular file at a resolved path, "" if it cannot be read."""
    door = _Door()
    try:
        with os.fdopen(door.open(posixpath.split(path)), "rb") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                return ""
            return stream.read(limit).decode("utf-8", "replace")
    except OSError:
        return ""
    finally:
        door.close()


def real_path(path: str | Path) -> Path:
    """Return where a path leads, as far as it is there. Raise UsageError if that never rests."""
    for _ in range(8):
        with suppress(OSError):  # readlink(2) of what was a link when it was looked at
            return Path(os.path.realpath(path))
    raise UsageError(f"{path}: changed while it was read")


def resolve(path: str | Path) -> Path:
    """Return where a path of this machine leads, all links followed. Raise TreeError."""
    text = str(path)
    if "\0" in text:
        raise TreeError(text, "no such file or directory", Status.ABSENT)
    real = str(real_path(text))
    if not os.path.lexists(real):
        raise TreeError(text, "no such file or directory", Status.ABSENT)
    if os.path.islink(real):  # realpath(3) gives up
        raise TreeError(text, "too many symbolic links", Status.UNKNOWN, Code.UNREADABLE)
    return Path(real)


def confined(text: str) -> Path:
    """Return where a PATH leads: a list of changed files may hold links that somebody put there.

    A link may not leave its work tree, or outside of one the etc/ or else the directory that holds
    it. Raise TreeError.
    """
    if "\0" in text:
        raise TreeError(text, "no such file or directory", Status.ABSENT)
    path, real = Path(os.path.abspath(text)), real_path(text)
    # All of them: the innermost may be what a link leads to.
    tops = [up for up in (path, *path.parents) if os.path.exists(up / ".git")]
    if not tops:
        tops = [up for up in path.parents if up.name == "etc"][:1]
    if not tops and path.is_symlink():
        tops = [path.parent]
    for top in tops:
        within = real_path(top)
        if real != within and within not in real.parents:
            raise TreeError(text, f"is a symbolic link that leaves {top}", Status.UNKNOWN)
    return real


def open_named(name: str) -> IO[bytes]:
    """Open what the user names, for reading; `-` is standard input. Raise OSError."""
    if name == "-":
        if sys.stdin is None:  # closed by who runs it
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return os.fdopen(os.dup(sys.stdin.fileno()), "rb")
    return open(name, "rb")


def is_stream(name: str) -> bool:
    """Tell whether what the user names is read once and from its start: `-`, a pipe, a terminal."""
    if name == "-":
        return True
    try:
        mode = os.stat(name).st_mode
    except (OSError, ValueError):
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def read_bundled(path: Path) -> str:
    """Return a text that comes with sslint."""
    with path.open(encoding="utf-8") as stream:
        return stream.read()


def write_named(path: str, text: str) -> None:
    """Write a file that the user names; a link there is not followed. Raise OSError."""
    follow = 0 if path.startswith("/dev/") else os.O_NOFOLLOW
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | follow
    with os.fdopen(os.open(path, flags, 0o666), "w", encoding="utf-8") as stream:
        stream.write(text)


@contextmanager
def scratch() -> Iterator[Path]:
    """Make a directory of our own, and remove it with all that was written into it."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="sslint-") as name:
        yield Path(name)


def write_new(
    path: Path, data: bytes, *, link: bool = False, executable: bool = False, size: int = 0
) -> None:
    """Write a file below a directory of ours, or a link, with the directories that it lies in.

    Raise UsageError if it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if link:
            path.symlink_to(os.fsdecode(data))
            return
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        mode = 0o755 if executable else 0o644
        with os.fdopen(os.open(path, flags, mode), "wb") as stream:
            stream.write(data)
            if size:
                stream.truncate(size)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path.name}: cannot be written: {error}") from None


def replace_named(path: str, text: str) -> None:
    """Write a file that the user names, at once: who reads it sees the old text or the new.

    What is no regular file (a pipe, /dev/stderr) is written to; a link there is not followed.
    Raise OSError.
    """
    try:
        regular = stat.S_ISREG(os.lstat(path).st_mode)
    except FileNotFoundError:
        regular = True
    if not regular:
        write_named(path, text)
        return
    beside = f"{path}.{os.getpid()}.new"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(beside, flags, 0o666)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write(text)
        os.replace(beside, path)
    except BaseException:
        os.unlink(beside)
        raise


@dataclass(frozen=True, slots=True)
class Replacement:
    """Other contents for the regular file at a real path, which holds `text` now."""

    path: str
    text: str
    by: str
    executable: bool = False


def replace_files(changes: Iterable[Replacement]) -> None:
    """Put other contents into files, all of them or, if one cannot be changed, none.

    No part of a path may be a link, and no file may have other names. Each changes in one step.
    Owner, mode, label and access lists stay; `executable` lets those who may read it run it.
    Raise TreeError, also for a file that does not hold `text` any more.
    """
    door = _Door()
    ready: list[_Prepared] = []
    try:
        for change in changes:
            try:
                ready.append(_prepare(door, change))
            except OSError as error:
                raise _error(change.path, error) from None
        for one in ready:
            one.check()
        for one in ready:
            one.put()
    finally:
        for one in ready:
            one.close()
        door.close()


@dataclass(slots=True)
class _Prepared:
    """A file with its new contents beside it, in a directory that is held open."""

    path: str
    name: str
    parent: int
    details: os.stat_result
    beside: str

    def check(self) -> None:
        """Raise TreeError if the file is another now, or has changed."""
        try:
            now = os.stat(self.name, dir_fd=self.parent, follow_symlinks=False)
        except OSError as error:
            raise _error(self.path, error) from None
        if _version(now) != _version(self.details):
            raise _changed_meanwhile(self.path)

    def put(self) -> None:
        """Let the new contents take the file's place. Raise TreeError."""
        try:
            os.rename(self.beside, self.name, src_dir_fd=self.parent, dst_dir_fd=self.parent)
        except OSError as error:
            raise _error(self.path, error) from None

    def close(self) -> None:
        """Remove what was not put in place."""
        with suppress(OSError):
            os.unlink(self.beside, dir_fd=self.parent)
        _close(self.parent)


def _prepare(door: _Door, change: Replacement) -> _Prepared:
    """Write a file's new contents beside it. Raise OSError or TreeError."""
    name, directory = door.at(posixpath.split(change.path))
    beside = f".sslint-{os.urandom(8).hex()}"  # with no ending that a program looks for
    old = os.open(name, _READ | os.O_NOFOLLOW, dir_fd=directory)
    made = -1
    try:
        details = os.fstat(old)
        _must_be_replaceable(change.path, details)
        with os.fdopen(os.dup(old), "rb") as stream:
            if stream.read(MAX_FILE + 1) != change.text.encode("utf-8", "surrogateescape"):
                raise _changed_meanwhile(change.path)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        made = os.open(beside, flags, 0o600, dir_fd=directory)
        with os.fdopen(made, "wb") as stream:
            stream.write(change.by.encode("utf-8", "surrogateescape"))
            stream.flush()
            _copy_rights(old, details, made, executable=change.executable)
            os.fsync(made)
        return _Prepared(change.path, name, os.dup(directory), details, beside)
    except BaseException:
        if made >= 0:
            with suppress(OSError):
                os.unlink(beside, dir_fd=directory)
        raise
    finally:
        os.close(old)


def _must_be_replaceable(path: str, details: os.stat_result) -> None:
    if not stat.S_ISREG(details.st_mode):
        raise TreeError(path, "is not a regular file", Status.OTHER)
    if details.st_nlink > 1:
        raise TreeError(path, "has another name (a hard link) that would keep it", Status.UNKNOWN)


def _changed_meanwhile(path: str) -> TreeError:
    return TreeError(path, "was changed meanwhile", Status.UNKNOWN)


def _version(details: os.stat_result) -> tuple[int, ...]:
    found = details
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


_OF_THE_CONTENTS = ("security.ima", "security.evm")  # signatures, which the new contents lack


def _copy_rights(old: int, details: os.stat_result, made: int, *, executable: bool) -> None:
    """Give a new file the owner, the extended attributes and the mode of the one it replaces."""
    new = os.fstat(made)
    if (new.st_uid, new.st_gid) != (details.st_uid, details.st_gid):
        os.chown(made, details.st_uid, details.st_gid)
    if hasattr(os, "listxattr"):  # Linux alone
        for name in os.listxattr(old):
            if name not in _OF_THE_CONTENTS:
                os.setxattr(made, name, os.getxattr(old, name))
    mode = stat.S_IMODE(details.st_mode)
    os.chmod(made, mode | ((mode & 0o444) >> 2 if executable else 0))


def work_tree(start: Path) -> Path:
    """Return the top of the work tree that a directory lies in, else the directory itself."""
    start = real_path(start)
    for directory in (start, *start.parents):
        if os.path.exists(directory / ".git"):
            return directory
    return start


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
        self._root = None if root is None else os.path.abspath(root)
        self.base = base if base is not None else root
        self.problems: list[Problem] = []
        self.mounts: dict[str, Path] = {}
        self._names: dict[str, str] = {}  # of what was given as contents
        self._read_from: dict[str, str] = {}  # the files that some of it came from
        self.overlay = {_normal(path): text for path, text in (overlay or {}).items()}
        self._has_removed = None in self.overlay.values()
        self._made_directories: dict[str, set[str]] = {}
        self._executable: set[str] = set()
        self._partial: set[str] = set()  # directories of which the tree holds single entries
        self._door = _Door()
        self._files: dict[str, SourceFile] = {}
        self._unchanged: dict[str, SourceFile] = {}  # as the tree read them that this lies over
        self.record = Record()
        self._resolved: dict[str, tuple[str, Status, int]] = {}
        self._listed: dict[str, list[str]] = {}
        self._subdirectories: dict[str, list[str]] = {}
        self._found: dict[tuple[str, str], bool] = {}  # by directory and pattern of a name
        self._changed("/")
        for path, text in self.overlay.items():
            if text is not None:
                self._make_directories(path)
        for path, real in (mounts or {}).items():
            self.mount(path, real)
        self.excluded: tuple[Path, ...] = ()
        self._unlisted: set[str] = set()
        self.budgets = Budgets()
        self._reported: set[tuple[str, str]] = set()

    @property
    def live(self) -> bool:
        """Whether it is the root of the machine itself: what is not there does not exist."""
        return self.root == Path("/")

    def with_overlay(self, overlay: Mapping[str, str | None]) -> Tree:
        """Return the same tree with other contents for some paths."""
        other = Tree(
            self.root, mounts=self.mounts, overlay={**self.overlay, **overlay}, base=self.base
        )
        other._names = self._names
        other._read_from = self._read_from
        other.budgets = self.budgets
        other._door = self._door
        other.excluded = self.excluded
        other._partial |= self._partial
        other._executable |= self._executable
        return other

    def edited(self, texts: Mapping[str, str]) -> Tree:
        """Return the same tree with other texts in files that it has, by their resolved paths.

        What was read or listed of the others is not read again.
        """
        other = self.with_overlay(texts)
        other._unchanged = {
            path: file for path, file in self._files.items() if self._resolve(path)[0] not in texts
        }
        other._resolved = dict(self._resolved)
        other._listed = dict(self._listed)
        other._subdirectories = dict(self._subdirectories)
        other._unlisted = set(self._unlisted)
        return other

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Leave out of the record what is asked meanwhile."""
        record, self.record = self.record, Record()
        try:
            yield
        finally:
            self.record = record

    def mount(self, path: str, real: Path, *, partial: bool = False) -> None:
        """Lay one more real file or directory over the tree at a host path.

        It is opened where it is now: `real` is resolved, and no part of it may be a link. A
        `partial` directory may lack what the host's has: it lies beside what was named.
        """
        path = _normal(path)
        self.mounts[path] = Path(os.path.abspath(real))
        self._changed(path)
        if partial:
            self._partial.add(path)

    def vouch(self, directory: str) -> None:
        """Take a directory for whole although only single entries of it were given."""
        self._partial.discard(_normal(directory))

    def lay(self, place: str, path: str) -> None:
        """Lay a file or directory of this tree over another host path. Raise TreeError."""
        resolved = self.resolve(path)
        for key, text in list(self.overlay.items()):
            if key == resolved or key.startswith(f"{resolved}/"):
                self.overlay[place + key.removeprefix(resolved)] = text
                self._make_directories(place + key.removeprefix(resolved))
        real = self._place(resolved)
        if real is not None:
            self.mounts[place] = Path(*real)
        self._changed(place)

    def give(self, path: str, name: str, data: bytes, real: str | None = None) -> None:
        """Lay contents over the tree that were read already, perhaps from the file `real`.

        Reports call them `name`.
        """
        path = _normal(path)
        if real is not None:
            self._read_from[path] = real
        self.overlay[path] = data.decode("utf-8", "surrogateescape")
        self._names[path] = name
        self._changed(path)

    def subdirectories(self, path: str) -> list[str]:
        """Return the names in a directory that are directories themselves, and no links."""
        path = _normal(path)
        self.names(path)
        return sorted(self._subdirectories.get(self._resolve(path)[0], ()))

    def close(self) -> None:
        """Let go of the directories that are held open; what is read next opens them again."""
        self._door.close()

    def exclude(self, paths: Iterable[str]) -> None:
        """Leave out real files and directories: to this tree they are not known."""
        self.excluded = tuple(real_path(path) for path in paths if "\0" not in str(path))

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
        path = _normal(path)
        if path in self._names:
            return self._names[path]
        place = self._place(path)
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
        place = self._place(resolved)
        return None if place is None or resolved in self.overlay else join(*place)

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
        place, own = self._place(resolved), self._place(_normal(path))
        real = None if place is None else join(*place)
        direct = None if own is None else join(*own)
        if resolved in self.overlay or real is None:
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
        path = _normal(path)
        self.record.files.add(path)
        cached = self._files.get(path)
        if cached is None:
            cached = self._files[path] = self._unchanged.get(path) or self._read(path)
        return cached

    def _read(self, path: str) -> SourceFile:
        resolved, status = self._resolve(path)
        text = self.overlay.get(resolved)
        if text is None:
            text = self._bytes(path, resolved, status).decode("utf-8", "surrogateescape")
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
        path = _normal(path)
        self.record.files.add(path)
        resolved, status = self._resolve(path)
        text = self.overlay.get(resolved)
        if text is not None:
            return text.encode("utf-8", "surrogateescape")
        return self._bytes(path, resolved, status)

    def _bytes(self, path: str, resolved: str, status: Status) -> bytes:
        if status is not Status.FILE:
            reasons = {
                Status.ABSENT: "no such file",
                Status.DIRECTORY: "is a directory",
                Status.OTHER: "is not a regular file",
            }
            if status is Status.UNKNOWN and resolved.startswith("!"):
                raise _unresolved(path, resolved)
            raise TreeError(path, reasons.get(status, "cannot be read"), status)
        place = self._place(resolved)
        assert place is not None
        try:
            data, _ = _read_regular(self._door, place, path, MAX_FILE)
        except OSError as error:
            raise _error(path, error) from None
        self._spend(path, "bytes", len(data))
        self._spend(path, "files", 1)
        reason = _not_its_text(data)
        if reason:
            raise TreeError(path, reason, Status.UNKNOWN)
        return data

    def _spend(self, path: str, name: str, amount: int) -> None:
        try:
            self.budgets.spend(name, amount)
        except ExhaustedError as error:
            raise TreeError(path, f"is not read: the run {error}", Status.UNKNOWN) from None

    def mode(self, path: str) -> int | None:
        """Return a file's permission bits, or None where they are not known."""
        details = self._details(path)
        if details is None:
            return None
        mode = stat.S_IMODE(details.st_mode)
        return mode | 0o111 if self._resolve(_normal(path))[0] in self._executable else mode

    def make_executable(self, path: str) -> None:
        """Give a file the run bits, in this view alone."""
        self._executable.add(self._resolve(_normal(path))[0])

    def owner(self, path: str) -> tuple[int, int] | None:
        """Return a file's (user, group) ids where they are a host's own: in a tree that is /."""
        details = self._details(path) if self.live else None
        return None if details is None else (details.st_uid, details.st_gid)

    def _details(self, path: str) -> os.stat_result | None:
        self.record.files.add(_normal(path))
        try:
            resolved = self.resolve(path)
            place = self._place(resolved)
            if place is None or resolved in self.overlay:
                return None
            return self._door.lstat(place)
        except (OSError, TreeError):
            return None

    def status(self, path: str) -> Status:
        """Return what a path is. A path below a directory that was not given is UNKNOWN."""
        known = self._resolved.get(path)
        return known[1] if known is not None else self._resolve(_normal(path))[1]

    def is_excluded(self, path: str) -> bool:
        """Tell whether the configuration excludes a path: it is acknowledged not to be read."""
        resolved = self._resolve(_normal(path))[0]
        return resolved.startswith("!") and _unresolved(path, resolved).code is Code.EXCLUDED

    def exists(self, path: str) -> bool:
        """Tell whether the tree certainly has a path."""
        return self.status(path) in (Status.FILE, Status.DIRECTORY, Status.OTHER)

    def holds(self, directory: str, *, within: str = "") -> bool:
        """Tell whether what is missing from a directory is missing on the host.

        That is so on the machine itself, and where the tree has the directory: of others a copy
        or a repository may well lack the whole. Below `within`, a package's own directory, it is
        enough that the tree has that one: git keeps no empty directories.
        """
        if self.live:
            return True
        resolved, status = self._resolve(_normal(directory))
        while status is Status.ABSENT and f"{directory}/".startswith(f"{within}/") and within:
            if directory == within:
                return False
            directory = posixpath.dirname(directory)
            resolved, status = self._resolve(directory)
        if status is not Status.DIRECTORY:
            return False
        if resolved not in self._partial:
            return True
        place = self._place(resolved)
        if place is None or resolved in self.mounts:
            return False
        try:
            return stat.S_ISDIR(self._door.lstat(place).st_mode)
        except OSError:
            return False

    def absent(
        self, path: str, *, within: str = "", kin: re.Pattern[str] | None = None
    ) -> bool | None:
        """Tell whether a path is missing on the host; None where only this tree may lack it.

        What goes into an image meets there the files of other layers.
        `kin`: what is rarely committed is missing only where another file with such a name lies
        beside it, or nothing at all, for git keeps no empty directories. `within` is as in `holds`.
        """
        path = _normal(path)
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
        if kin is None or self._any(directory, kin):
            return True
        return True if not self.names(directory) and self.listable(directory) else None

    def _any(self, directory: str, pattern: re.Pattern[str]) -> bool:
        """Tell whether a directory has a name that a pattern finds."""
        key = (directory, pattern.pattern)
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = any(map(pattern.search, self.names(directory)))
        return found

    def resolve(self, path: str) -> str:
        """Return a path with all symlinks resolved inside the root. Raise TreeError."""
        path = _normal(path)
        resolved, status = self._resolve(path)
        if status is Status.UNKNOWN and resolved.startswith("!"):
            raise _unresolved(path, resolved)
        if status is Status.ABSENT:
            raise TreeError(path, "no such file", status)
        return resolved

    def resolves_to(self, path: str, places: Collection[str]) -> bool:
        """Tell whether a path leads to one of several that are resolved."""
        return self._resolve(_normal(path))[0] in places

    def link_target(self, path: str) -> str | None:
        """Return where a symlink points (one step, as an absolute host path), else None."""
        path = _normal(path)
        parent, _ = self._resolve(posixpath.dirname(path))
        if parent.startswith("!"):
            return None
        place = self._place(join(parent, posixpath.basename(path)))
        try:
            target = self._door.readlink(place) if place is not None else None
        except (OSError, ValueError):  # no link; a NUL byte in the name
            return None
        return None if target is None else _normal(join(parent, target))

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
        cached = self._listed.get(path)
        if cached is None:
            path = _normal(path)
            cached = self._listed.get(path)
        if cached is not None:
            return cached
        resolved, status = self._resolve(path)
        names: set[str] = set()
        if status is Status.DIRECTORY:
            names = self._listing(path, resolved)
            names |= self._made_directories.get(resolved, set())
            if self._has_removed:
                names = {n for n in names if self.overlay.get(join(resolved, n), "") is not None}
        listed = sorted(names)
        if not "".join(listed).isascii():
            listed.sort(key=os.fsencode)
        self._listed[path] = listed
        return listed

    def _listing(self, path: str, resolved: str) -> set[str]:
        names: set[str] = set()
        place = self._place(resolved)
        if place is None:
            return names
        try:
            descriptor = self._door.open(place, os.O_DIRECTORY)
            try:
                with os.scandir(descriptor) as entries:
                    for count, entry in enumerate(entries):
                        if count >= MAX_DIRECTORY:
                            self.problem(path, "holds too many files", code=Code.UNUSABLE)
                            break
                        try:
                            self.budgets.spend("entries")
                        except ExhaustedError as error:
                            self._unlisted.add(path)
                            said = f"is not read to its end: the run {error}"
                            self.problem(path, said, code=Code.LIMIT)
                            break
                        names.add(entry.name)
                        if entry.is_dir(follow_symlinks=False):
                            self._subdirectories.setdefault(resolved, []).append(entry.name)
            finally:
                os.close(descriptor)
        except OSError as error:
            if error.errno != errno.ENOENT:
                self._unlisted.add(path)
                found = _error(path, error)
                self.problem(path, found.reason, decisive=False, code=found.code)
        return names

    def listable(self, path: str) -> bool:
        """Tell whether what a directory holds is known; True for one that is not there."""
        path = _normal(path)
        self.names(path)
        return path not in self._unlisted

    def glob(
        self, pattern: str, *, braces: bool = False, location: Location | None = None
    ) -> list[str]:
        """Return the host paths that match a glob(3) pattern, in byte order.

        Names that start with a dot are matched only by a pattern that does. `braces` adds
        GLOB_BRACE, which keeps the order of the alternatives. `location` is where the pattern is.
        """
        found: list[str] = []
        for alternative in globs.expand_braces(pattern) if braces else [pattern]:
            matches = self._glob(_normal(alternative), location)
            found.extend(sorted(matches, key=os.fsencode))
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

    def _is_excluded(self, real: Path) -> bool:
        return any(path == real or path in real.parents for path in self.excluded)

    # -- inside -----------------------------------------------------------------------------

    def _changed(self, path: str) -> None:
        """Forget what was known of a path that something is laid over."""
        self._partial.update(self._make_directories(path))
        self._resolved = {"/": ("/", Status.DIRECTORY, 0)}
        self._listed.clear()
        self._subdirectories.clear()
        self._found.clear()
        for files in (self._files, self._unchanged):
            for known in [one for one in files if one == path or one.startswith(f"{path}/")]:
                del files[known]

    def _make_directories(self, path: str) -> list[str]:
        """Let the directories above a path exist, and return them."""
        made = []
        while path != "/":
            parent, name = posixpath.split(path)
            self._made_directories.setdefault(parent, set()).add(name)
            made.append(parent)
            path = parent
        return made

    def _place(self, path: str) -> tuple[str, str] | None:
        """Return the real top, and the path below it, of a host path without symlinks."""
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

    def _resolve(self, path: str) -> tuple[str, Status]:
        """Return (resolved path, status); an unknown one carries what `_why` makes as its path."""
        return self._resolve_counting(path)[:2]

    def _resolve_counting(self, path: str) -> tuple[str, Status, int]:
        """Return what `_resolve` does, and how many links were followed."""
        if len(path) > MAX_PATH:
            return path, Status.ABSENT, 0
        names = []
        while (found := self._resolved.get(path)) is None:
            path, _, name = path.rpartition("/")
            path = path or "/"
            names.append(name)
        for name in reversed(names):
            path = _below(path, name)
            found = self._resolved[path] = self._follow(*found, [name])
        return found

    def _follow(
        self, current: str, status: Status, links: int, pending: list[str]
    ) -> tuple[str, Status, int]:
        """Walk on from a resolved path by the `pending` names, the next one last."""
        if status is Status.UNKNOWN:
            return current, status, links
        while pending:
            part = pending.pop()
            if part == ".":
                continue
            if part == "..":  # the root's parent is the root, as in a chroot
                current = posixpath.dirname(current)
                continue
            if status is not Status.DIRECTORY:
                return current, Status.ABSENT, links
            current = _below(current, part)
            if "\0" in part:
                return current, Status.ABSENT, links
            if current in self.overlay:
                if self.overlay[current] is None:
                    return current, Status.ABSENT, links
                status = Status.FILE
                continue
            place = self._place(current)
            try:
                if place is None:
                    raise FileNotFoundError(errno.ENOENT, "no such file")
                if self.excluded and self._is_excluded(Path(*place)):
                    return _why(Code.EXCLUDED, EXCLUDED), Status.UNKNOWN, links
                mode = self._door.lstat(place).st_mode
                target = self._door.readlink(place) if stat.S_ISLNK(mode) else None
            except OSError as error:
                if current in self._made_directories:
                    status = Status.DIRECTORY
                    continue
                if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
                    return current, Status.ABSENT, links
                failed = _error(current, error)
                return _why(failed.code, failed.reason), Status.UNKNOWN, links
            if target is not None:
                links += 1
                if links > MAX_LINKS:
                    why = _why(Code.UNREADABLE, "too many symbolic links")
                    return why, Status.UNKNOWN, links
                current = "/" if target.startswith("/") else posixpath.dirname(current)
                pending.extend(part for part in reversed(target.split("/")) if part)
                status = Status.DIRECTORY
            elif stat.S_ISDIR(mode):
                status = Status.DIRECTORY
            elif stat.S_ISREG(mode):
                status = Status.FILE
            else:
                status = Status.OTHER
        return current, status, links

    def _glob(self, pattern: str, location: Location | None) -> list[str]:
        if not globs.is_pattern(pattern):
            literal = pattern.replace("\\", "")
            return [literal] if self.lexists(literal) else []
        directory, last = posixpath.split(pattern)
        parents = self._glob(directory, location) if globs.is_pattern(directory) else [directory]
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


def _normal(path: str) -> str:
    """Return an absolute path without `.`, `..` and doubled slashes."""
    if path[:1] == "/" and path[-1:] != "/" and "//" not in path and "/." not in path:
        return path
    return "/" + posixpath.normpath("/" + path).lstrip("/")


def _below(directory: str, name: str) -> str:
    return f"/{name}" if directory == "/" else f"{directory}/{name}"


def _not_its_text(data: bytes) -> str:
    """Say what a repository keeps in place of a file's text, "" if that is its text."""
    for program, mark in _ENCRYPTED.items():
        if data.startswith(mark):
            return f"is encrypted with {program.strip()}"
    if _SOPS in data and re.search(rb"^[ \t]*\W?sops(\b|_)", data, re.M):
        return "is encrypted with sops"
    if data.startswith(b"version https://git-lfs.github.com/spec/"):
        return "is a pointer of Git LFS: its content was not fetched"
    return ""


def _error(path: str, error: OSError) -> TreeError:
    missing = error.errno in (errno.ENOENT, errno.ENOTDIR)
    status = Status.ABSENT if missing else Status.UNKNOWN
    if error.errno == errno.ELOOP:
        return TreeError(path, "changed while it was read", Status.UNKNOWN, Code.UNREADABLE)
    denied = error.errno in (errno.EACCES, errno.EPERM)
    code = Code.DENIED if denied else Code.UNREADABLE
    return TreeError(path, os.strerror(error.errno or 0), status, code)


def _why(code: Code, reason: str) -> str:
    """Return what stands for a path that cannot be resolved."""
    return f"!{code.value}!{reason}"


def _unresolved(path: str, why: str) -> TreeError:
    _, code, reason = why.split("!", 2)
    return TreeError(path, reason, Status.UNKNOWN, Code(code))
