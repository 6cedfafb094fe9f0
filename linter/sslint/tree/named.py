"""Files of this machine: what the user names, what comes with sslint, and what is found beside."""

from __future__ import annotations

import errno
import os
import posixpath
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO

from sslint.tree.door import MAX_FILE, Door, Place
from sslint.tree.paths import real_path
from sslint.tree.status import TreeError
from sslint.tree.view import Tree


def read_named(name: str, *, limit: int = MAX_FILE) -> bytes:
    """Return the bytes of what the user names: `-`, a pipe, /dev/fd/N, or any file, as named.

    Raise OSError, or TreeError if it holds more than `limit` bytes.
    """
    with open_named(name) as stream:
        data: bytes = stream.read(limit + 1)
    if len(data) > limit:
        raise TreeError.too_large(name, limit)
    return data


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


def write_named(path: str, text: str) -> None:
    """Write a file that the user names; a link is followed as in `_place`. Raise OSError."""
    door = Door()
    try:
        name, parent = _parent(door, path)
        follow = os.O_NOFOLLOW if parent is not None else 0
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NONBLOCK | follow
        descriptor = os.open(name, flags, 0o666, dir_fd=parent)  # a pipe without a reader: ENXIO
    finally:
        door.close()
    os.set_blocking(descriptor, True)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as stream:
        stream.write(text)


def replace_named(path: str, text: str) -> None:
    """Write a file that the user names, at once: who reads it sees the old text or the new.

    What is no regular file (a pipe, /dev/stderr) is written to; a link is followed as in `_place`.
    Raise OSError.
    """
    from sslint.tree.writing import claim, hidden_name

    door = Door()
    try:
        name, parent = _parent(door, path)
        if parent is None or not _is_regular(name, parent):
            write_named(path, text)
            return
        held, beside = claim(door, _place(path)[0]), hidden_name()
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            descriptor = os.open(beside, flags, 0o666, dir_fd=held)
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as new:
                    new.write(text)
                os.replace(beside, name, src_dir_fd=held, dst_dir_fd=held)
            except BaseException:
                os.unlink(beside, dir_fd=held)
                raise
        finally:
            os.close(held)
    finally:
        door.close()


def _parent(door: Door, path: str) -> tuple[str, int | None]:
    """Return a name and its directory's descriptor; None for a device, which is opened by path."""
    if path.startswith(("/dev/", "/proc/")):
        return path, None
    directory, name = _place(path)
    return name, door.directory(directory)


def _place(path: str) -> tuple[Place, str]:
    """Return the directory that a named file is written to, and its name there.

    Links outside are the machine's own. Below the working directory, where the name is relative,
    and in a work tree, links are those of whoever wrote what is checked: none is followed.
    """
    directory, name = posixpath.split(os.path.abspath(path))
    here = "" if os.path.isabs(path) else os.getcwd()
    for parent in (*reversed(Path(directory).parents), Path(directory)):
        if str(parent) == here or os.path.lexists(parent / ".git"):
            below = Path(directory).relative_to(parent)
            return (str(real_path(parent)), "" if below == Path() else str(below)), name
    return (str(real_path(Path(directory))), ""), name


def _is_regular(name: str, parent: int) -> bool:
    """Tell whether a name is a regular file, or may become one."""
    try:
        return stat.S_ISREG(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return True


def not_written(error: OSError) -> str:
    """Say why a file that the user names cannot be written."""
    if error.errno == errno.ELOOP:
        return "is a link or leads through one, which is not followed; name the file itself"
    if error.errno == errno.ENXIO:
        return "is a pipe that no program reads"
    return os.strerror(error.errno or 0)


def read_bundled(path: Path) -> str:
    """Return a text that comes with sslint."""
    with path.open(encoding="utf-8") as stream:
        return stream.read()


# -- what was found, and not named -----------------------------------------------------------------


def read_found(path: Path, *, limit: int = MAX_FILE) -> tuple[bytes, int]:
    """Return the bytes and the owner of a regular file that was found and not named.

    No part of the path may be a link. Raise TreeError.
    """
    door = Door()
    try:
        data, details = door.read(posixpath.split(path), str(path), limit)
    except OSError as error:
        found = TreeError.from_os(str(path), error)
        if error.errno == errno.ELOOP:
            found = TreeError(str(path), "is a symbolic link", found.status)
        raise found from None
    finally:
        door.close()
    return data, details.st_uid


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
    door = Door()
    try:
        with os.fdopen(door.open(posixpath.split(path)), "rb") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                return ""
            return stream.read(limit).decode("utf-8", "replace")
    except OSError:
        return ""
    finally:
        door.close()
