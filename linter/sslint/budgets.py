"""What one run may read and count before it says "not known": bounds against hostile input.

Counts decide, and not the clock, so that a report says the same on every machine. The limits are
set by `--limit` and SSLINT_LIMIT alone, never by what is checked.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from sslint.errors import UsageError
from sslint.values import dataclass, field

if TYPE_CHECKING:
    from sslint.source import Location

# name: (limit, what is counted)
LIMITS = {
    "bytes": (512 << 20, "bytes"),
    "files": (100_000, "files"),
    "entries": (1_000_000, "directory entries"),
    "matches": (200_000, "names that match a pattern"),
    "includes": (50_000, "included files"),
    "characters": (64 << 20, "characters of expanded variables"),
    "elements": (4_000_000, "elements of sets"),
    "sockets": (20_000, "listening sockets"),
    "states": (200_000, "states of packets in chains"),
    "zones": (20_000, "pairs of zones and policies"),
    "steps": (20_000_000, "steps of evaluation"),
    "seconds": (600, "seconds"),
    "memory": (8192, "MiB of memory"),
}


class ExhaustedError(Exception):
    """A limit is reached: the layer that is read is unknown. `location` is where, if known."""

    def __init__(self, reason: str, location: Location | None = None) -> None:
        super().__init__(reason)
        self.location = location


@dataclass(slots=True)
class Budgets:
    """What a run has used, and its limits, by name."""

    limits: dict[str, int] = field(default_factory=lambda: {k: v[0] for k, v in LIMITS.items()})
    used: dict[str, int] = field(default_factory=lambda: dict.fromkeys(LIMITS, 0))

    def spend(self, name: str, amount: int = 1, location: Location | None = None) -> None:
        """Count. Raise ExhaustedError if it is more than the limit."""
        used = self.used[name] = self.used[name] + amount
        if used > self.limits[name]:
            raise ExhaustedError(
                f"needs more than {self.limits[name]:,} {LIMITS[name][1]}", location
            )


def parse(given: Iterable[str]) -> Budgets:
    """Return the budgets of a run with the limits that flags or the environment change.

    Each is NAME=NUMBER. Raise UsageError.
    """
    budgets = Budgets()
    for text in given:
        name, _, number = text.partition("=")
        if name not in LIMITS:
            raise UsageError(f"--limit: unknown name {name!r}; it is one of {', '.join(LIMITS)}")
        if not (number.isascii() and number.isdecimal() and len(number) <= 18):
            raise UsageError(f"--limit: {name} takes a number")
        budgets.limits[name] = int(number)
    return budgets
