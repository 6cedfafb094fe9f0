"""The certificates of a host as the page shows them: days left, and when they are renewed."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Literal

from sslint.reports.served import served
from sslint.values import dataclass

if TYPE_CHECKING:
    from sslint.host import Host

Health = Literal["expired", "soon", "good", "unknown"]


@dataclass(frozen=True, slots=True)
class Paper:
    """A certificate. `real` is its path as the configuration has it, `path` as it is shown.

    `renews` is when its renewal is due: a third of its lifetime before it expires, as certbot has
    it where nothing else is set.
    """

    real: str
    path: str
    names: tuple[str, ...]
    begins: datetime | None
    renews: datetime | None
    ends: datetime | None
    days: int | None
    due: bool
    ports: tuple[str, ...]

    @property
    def health(self) -> Health:
        """How it stands now."""
        if self.days is None:
            return "unknown"
        if self.days < 0:
            return "expired"
        return "soon" if self.due else "good"

    @property
    def left(self) -> str:
        """The days that are left in words."""
        if self.days is None:
            return "not in the files"
        unit = "day" if abs(self.days) == 1 else "days"
        return f"expired {-self.days} {unit} ago" if self.days < 0 else f"{self.days} {unit}"


def papers(host: Host) -> list[Paper]:
    """Return the certificates that a host serves."""
    found = []
    for one in served(host):
        renews = days = None
        if one.not_after is not None and one.begins is not None:
            renews = one.not_after - (one.not_after - one.begins) / 3
            days = (one.not_after - host.now).days
        found.append(
            Paper(
                real=one.real,
                path=one.path,
                names=one.names,
                begins=one.begins,
                renews=renews,
                ends=one.not_after,
                days=days,
                due=renews is not None and host.now >= renews,
                ports=one.ports,
            )
        )
    return found
