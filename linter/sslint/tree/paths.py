"""Where a path of this machine leads, and whether it stays where it belongs."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from sslint.errors import UsageError
from sslint.reasons import Code
from sslint.tree.status import Status, TreeError


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


def work_tree(start: Path) -> Path:
    """Return the top of the work tree that a directory lies in, else the directory itself."""
    start = real_path(start)
    for directory in (start, *start.parents):
        if os.path.exists(directory / ".git"):
            return directory
    return start


def is_there(path: Path) -> bool:
    """Tell whether a path is there, or is where one may not look."""
    try:
        os.lstat(path)
    except (OSError, ValueError) as error:
        return isinstance(error, PermissionError)
    return True
