"""Why something is refused or not known: a code for programs and a sentence for people."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from sslint.values import dataclass

if TYPE_CHECKING:
    from sslint.source import Location


class Code(Enum):
    """What kind of reason it is. No program looks at the sentence beside it."""

    # A program certainly refuses its files,
    REFUSED = "refused"
    NO_CERTIFICATE = "no-certificate"  # for a certificate or key that is not there or not named,
    BIND_CONFLICT = "bind-conflict"  # for two sockets that cannot be opened beside each other,
    OLD_SETTING = "old-setting"  # for a setting that its version does not have,
    FILE_PREFIX = "file-prefix"  # for a file's contents where a path belongs,
    SERVICE_NAME = "service-name"  # for a port by a name that the host does not know.
    # Something is not known:
    UNKNOWN = "unknown"  # the files do not say it,
    NOT_GIVEN = "not-given"  # it lies outside of what was given,
    PACKAGES = "packages"  # files of packages decide it, and were not given,
    TEMPLATE = "template"  # a template fills it in,
    UNREADABLE = "unreadable"  # its file cannot be read,
    LIMIT = "limit"  # it is more than is read,
    BUG = "bug"  # sslint failed.


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason, and the line that it is about where there is one."""

    code: Code
    location: Location | None
    text: str

    def __str__(self) -> str:
        place = self.location
        return self.text if place is None else f"{place.path}:{place.line}: {self.text}"
