"""What a path is, as far as a tree can tell, and why one cannot be read."""

from __future__ import annotations

import errno
import os
from enum import Enum

from sslint.reasons import Code, about


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

    @classmethod
    def from_os(cls, path: str, error: OSError) -> TreeError:
        """Return what the system's error means for a path."""
        if error.errno == errno.ELOOP:
            return cls(path, "changed while it was read", Status.UNKNOWN, Code.UNREADABLE)
        missing = error.errno in (errno.ENOENT, errno.ENOTDIR)
        status = Status.ABSENT if missing else Status.UNKNOWN
        denied = error.errno in (errno.EACCES, errno.EPERM)
        code = Code.DENIED if denied else Code.UNREADABLE
        return cls(path, os.strerror(error.errno or 0), status, code)

    @classmethod
    def too_large(cls, path: str, limit: int) -> TreeError:
        """Return that a file holds more than `limit` bytes."""
        return cls(path, f"is larger than {limit >> 20} MiB", Status.UNKNOWN)
