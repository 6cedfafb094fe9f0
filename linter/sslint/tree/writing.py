"""Write files: below a directory of our own, and in place of those that a fix changes."""

from __future__ import annotations

import fcntl
import os
import posixpath
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from sslint.errors import UsageError
from sslint.regex import regex
from sslint.tree.door import MAX_FILE, READ, Door, Place
from sslint.tree.status import Status, TreeError
from sslint.values import dataclass


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


@dataclass(frozen=True, slots=True)
class Replacement:
    """Other contents for the regular file at a real path, which holds `text` now."""

    path: str
    text: str
    by: str
    executable: bool = False


class PartlyWrittenError(TreeError):
    """Some files hold their new contents, `changed`: they could not be put back."""

    def __init__(self, cause: TreeError, changed: Sequence[str]) -> None:
        super().__init__(cause.path, cause.reason, cause.status, cause.code)
        self.changed = tuple(changed)


def replace_files(changes: Iterable[Replacement]) -> None:
    """Put other contents into files, all of them or, if one cannot be changed, none.

    No part of a path may be a link, and no file may have other names. Each changes in one step.
    Owner, mode, label and access lists stay; `executable` lets those who may read it run it.
    Raise TreeError, also for a file that does not hold `text` any more.
    """
    door = Door()
    ready: list[_Prepared] = []
    try:
        for change in changes:
            try:
                ready.append(_prepare(door, change))
            except OSError as error:
                raise TreeError.from_os(change.path, error) from None
        for one in ready:
            one.check()
        for one in ready[:-1]:  # after the last one nothing can fail
            one.keep()
        _put(ready)
    finally:
        for one in ready:
            one.close()
        door.close()


def remove_remains(directories: Iterable[str]) -> None:
    """Remove the files that a killed run left in directories at real paths."""
    door = Door()
    for path in directories:
        with suppress(OSError):
            os.close(claim(door, os.path.split(path)))
    door.close()


def _put(ready: Sequence[_Prepared]) -> None:
    """Let all new contents take their files' places, or none. Raise TreeError."""
    done: list[_Prepared] = []
    try:
        for one in ready:
            one.put()
            done.append(one)
    except BaseException as error:  # an interrupt as well
        changed = [one.path for one in done if not one.put_back()]
        if changed and isinstance(error, TreeError):
            raise PartlyWrittenError(error, changed) from None
        raise


@dataclass(slots=True)
class _Prepared:
    """A file with its new contents beside it, in a directory that is held open."""

    path: str
    name: str
    parent: int
    details: os.stat_result
    beside: str
    kept: str

    def check(self) -> None:
        """Raise TreeError if the file is another now, or has changed."""
        try:
            now = os.stat(self.name, dir_fd=self.parent, follow_symlinks=False)
        except OSError as error:
            raise TreeError.from_os(self.path, error) from None
        if _version(now) != _version(self.details):
            raise _changed_meanwhile(self.path)

    def keep(self) -> None:
        """Give the file a second name, by which it can be put back. Raise TreeError."""
        here = {"src_dir_fd": self.parent, "dst_dir_fd": self.parent}
        try:
            os.link(self.name, self.kept, **here, follow_symlinks=False)
        except OSError as error:
            raise TreeError.from_os(self.path, error) from None

    def put(self) -> None:
        """Let the new contents take the file's place. Raise TreeError."""
        try:
            os.rename(self.beside, self.name, src_dir_fd=self.parent, dst_dir_fd=self.parent)
        except OSError as error:
            raise TreeError.from_os(self.path, error) from None

    def put_back(self) -> bool:
        """Let the file take its place again, and return whether it has."""
        try:
            os.rename(self.kept, self.name, src_dir_fd=self.parent, dst_dir_fd=self.parent)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Remove what is beside the file."""
        for name in (self.beside, self.kept):
            with suppress(OSError):
                os.unlink(name, dir_fd=self.parent)
        os.close(self.parent)


_OURS = regex(r"\.sslint-[0-9a-f]{16}")  # with no ending that a program looks for


def hidden_name() -> str:
    """Return a name for a file of ours that is there for a moment."""
    return f".sslint-{os.urandom(8).hex()}"


def claim(door: Door, place: Place) -> int:
    """Return a new descriptor of a directory, rid of what a killed run left there.

    Its lock says that a run is at work there, whose files are not removed. Raise OSError.
    """
    descriptor = door.open(place, os.O_DIRECTORY)
    with suppress(OSError):  # another run is at work, or the file system has no locks
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for name in filter(_OURS.fullmatch, os.listdir(descriptor)):
            with suppress(OSError):
                os.unlink(name, dir_fd=descriptor)
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    return descriptor


def _prepare(door: Door, change: Replacement) -> _Prepared:
    """Write a file's new contents beside it. Raise OSError or TreeError."""
    directory, name = posixpath.split(change.path)
    parent = claim(door, os.path.split(directory))
    beside = hidden_name()
    old = made = -1
    try:
        old = os.open(name, READ | os.O_NOFOLLOW, dir_fd=parent)
        details = os.fstat(old)
        _must_be_replaceable(change.path, details)
        with os.fdopen(os.dup(old), "rb") as stream:
            if stream.read(MAX_FILE + 1) != change.text.encode("utf-8", "surrogateescape"):
                raise _changed_meanwhile(change.path)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        made = os.open(beside, flags, 0o600, dir_fd=parent)
        with os.fdopen(made, "wb") as stream:
            stream.write(change.by.encode("utf-8", "surrogateescape"))
            stream.flush()
            _copy_rights(old, details, made, executable=change.executable)
            os.fsync(made)
        return _Prepared(change.path, name, parent, details, beside, hidden_name())
    except BaseException:
        if made >= 0:
            with suppress(OSError):
                os.unlink(beside, dir_fd=parent)
        os.close(parent)
        raise
    finally:
        if old >= 0:
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
