"""What one run may read and count before it says "not known": bounds against hostile input.

Counts decide, and not the clock, so that a report says the same on every machine. The limits are
set by `--limit` and SSLINT_LIMIT alone, never by what is checked.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING

from sslint.errors import UsageError
from sslint.regex import is_number
from sslint.values import dataclass, field

if TYPE_CHECKING:
    from sslint.source import Location

# name: (limit, what is counted)
LIMITS = {
    "hosts": (500, "hosts"),
    "bytes": (512 << 20, "bytes"),
    "files": (100_000, "files"),
    "entries": (1_000_000, "directory entries"),
    "matches": (200_000, "names that match a pattern"),
    "includes": (20_000, "included files"),
    "statements": (150_000, "statements"),
    "expansions": (500_000, "expanded variables, captures and rewrites"),
    "sockets": (12_000, "listening sockets"),
    "published": (20_000, "ports that containers publish"),
    "elements": (1_000_000, "set elements"),
    "ranges": (1_500_000, "ranges of addresses"),
    "pairs": (250_000, "pairs of firewalld zones and policies"),
    "states": (100_000, "states of packets in chains"),
    "steps": (1_500_000, "steps of evaluation"),
    "seconds": (7, "seconds of processor time"),
    "memory": (1024, "MiB of memory"),
}
# These hold for the first MiB of files, and as much again for each one more; time and memory
# grow in a way of their own.
GROWING = frozenset(
    ("hosts", "matches", "includes", "statements", "expansions", "elements", "ranges", "pairs",
     "states", "steps")
)  # fmt: skip


File = tuple[int, int]
"""What a file is whatever it is called: its device and inode."""


class ExhaustedError(Exception):
    """A limit is reached: the layer that is read is unknown. `location` is where, if known."""

    def __init__(self, reason: str, location: Location | None = None) -> None:
        super().__init__(reason)
        self.location = location


@dataclass(slots=True)
class Budgets:
    """What a run has used, and its limits, by name. All layers of all hosts count here.

    `refused` is how often a limit, the time or the memory did not allow for more. `met` are the
    sizes of the files that were read, by device and inode: what is read again raises no limit,
    whatever its names, links and hosts.
    """

    limits: dict[str, int] = field(default_factory=lambda: {k: v[0] for k, v in LIMITS.items()})
    used: dict[str, int] = field(default_factory=lambda: dict.fromkeys(LIMITS, 0))
    refused: int = 0
    met: dict[File, int] = field(default_factory=dict)
    fresh: int = 0  # bytes that were read for the first time

    def read(self, file: File, size: int) -> None:
        """Count a file that was read. Raise ExhaustedError as `spend` does."""
        self.meet({file: size})
        self.spend("bytes", size)
        self.spend("files")

    def meet(self, files: Mapping[File, int]) -> None:
        """Let files that are read for the first time raise the limits."""
        for file, size in files.items():
            if file not in self.met:
                self.met[file] = size
                self.fresh += size
        last_stop.grow(self.fresh)

    def spend(self, name: str, amount: int = 1, location: Location | None = None) -> None:
        """Count. Raise ExhaustedError, and count nothing, if it would be more than the limit."""
        used = self.used[name] + amount
        if used > self.limits[name] and used > self.allowed(name):
            self.refused += 1
            raise ExhaustedError(_lacking(name, self.allowed(name)), location)
        self.used[name] = used

    def allowed(self, name: str) -> int:
        """Return how much may be used by now."""
        more = self.fresh >> 20 if name in GROWING else 0
        return self.limits[name] * (1 + more)


def _lacking(name: str, allowed: int) -> str:
    return f"needs more than {allowed:,} {LIMITS[name][1]} (--limit {name}=NUMBER allows more)"


_current: ContextVar[Budgets | None] = ContextVar("budgets", default=None)


def spend(name: str, amount: int = 1, location: Location | None = None) -> None:
    """Count for the run that is under way; a reader that is used alone is in none."""
    budgets = _current.get()
    if budgets is not None:
        budgets.spend(name, amount, location)


def begin(budgets: Budgets | None) -> Token[Budgets | None]:
    """Let what follows count for a run. `end` takes what is returned."""
    return _current.set(budgets)


def end(token: Token[Budgets | None]) -> None:
    """Count again as before `begin`."""
    _current.reset(token)


class OutOfTimeError(BaseException):
    """The time is over, and what was raised for it before was caught."""


_FILES = "needs more open files than are allowed (ulimit -n)"
_DISK = "needs more space on the disk than is left"
_SHORT = {
    errno.ENOMEM: "needs more memory than is available",
    errno.EMFILE: _FILES,
    errno.ENFILE: _FILES,
    errno.EAGAIN: "needs more processes than are allowed",  # of fork(2)
    errno.ENOSPC: _DISK,
    errno.EDQUOT: _DISK,
}


def shortage(error: BaseException) -> str:
    """Say what a run lacks, where an error is how memory, files or processes run out; else "".

    A library in C may fail without a word, one in Rust panic, and a third not be loaded at all.
    """
    if isinstance(error, MemoryError):
        return _SHORT[errno.ENOMEM]
    if isinstance(error, OSError) and error.errno in _SHORT:
        return _SHORT[error.errno]
    if isinstance(error, SystemError) or type(error).__name__ == "PanicException":
        return "needs a library that failed, as one may that is short of memory"
    if isinstance(error, ImportError) and (error.path or "").endswith(".so"):
        return f"cannot load {error.name}: it needs more memory, or is not installed properly"
    return ""


def _taken() -> float:
    """Return the processor time, in seconds, of this process and of those of its that ended."""
    return sum(os.times()[:4])


class LastStop:
    """What ends a run that no count has ended: processor time and memory.

    Both grow with the files that were read, so that only what is out of all proportion is ended.
    """

    def __init__(self) -> None:
        self._budgets = Budgets()
        self._extra = self._before = 0.0
        self._bytes = self._stops = 0
        self._processes = 1
        self._address_space = False

    def start(self, budgets: Budgets) -> None:
        """Watch this process from now on; only a program may, not a library."""
        import signal

        self._budgets = budgets
        self._address_space = True
        signal.signal(signal.SIGPROF, lambda *_: self._tick())
        self.follow()
        self.grow(0)

    def follow(self) -> None:
        """Watch the time of this process, if only it was forked of one that is watched."""
        import signal

        if self._address_space:
            self._before = _taken()
            signal.setitimer(signal.ITIMER_PROF, 0.5, 0.5)

    def share(self, processes: int) -> None:
        """Let so many processes have the time of a run together, each its part."""
        self._processes = processes

    @property
    def is_over(self) -> bool:
        """Whether the time has ended something."""
        return self._stops > 0

    def use(self, budgets: Budgets) -> None:
        """Take the limits of a run."""
        self._budgets = budgets
        if self._address_space:
            self.grow(0)

    def stop(self) -> None:
        """Watch the time no longer."""
        import signal

        signal.setitimer(signal.ITIMER_PROF, 0)

    def grow(self, read: int) -> None:
        """Allow for so many bytes of files: 40 seconds and 512 MiB a MiB over the first.

        What was allowed is not taken back, but by 0.
        """
        before, self._bytes = self._bytes, max(self._bytes, read) if read else 0
        if not self._address_space or (read and self._bytes >> 20 == before >> 20):
            return
        import resource

        wanted = int(self._budgets.limits["memory"] + 512 * (self._bytes >> 20)) << 20
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        if hard != resource.RLIM_INFINITY:
            wanted = min(wanted, hard)
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))

    def _tick(self) -> None:
        seconds = self._budgets.limits["seconds"]
        allowed = (seconds + 40 * (self._bytes >> 20)) / self._processes + self._extra
        if _taken() - self._before > allowed:
            self._extra += 0.5
            self._stops += 1
            self._budgets.refused += 1
            said = _lacking("seconds", seconds)
            if self._stops > 3:
                raise OutOfTimeError(said)
            raise ExhaustedError(said)


last_stop = LastStop()


def parse(given: Iterable[str]) -> Budgets:
    """Return the budgets of a run with the limits that flags or the environment change.

    Each is NAME=NUMBER. Raise UsageError.
    """
    budgets = Budgets()
    for text in given:
        name, _, number = text.partition("=")
        if name not in LIMITS:
            raise UsageError(f"--limit: unknown name {name!r}; it is one of {', '.join(LIMITS)}")
        if not (is_number(number) and len(number) <= 18):
            raise UsageError(f"--limit: {name} takes a number")
        budgets.limits[name] = int(number)
    return budgets
