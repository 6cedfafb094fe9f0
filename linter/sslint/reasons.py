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
    EXCLUDED = "excluded"  # the configuration excludes it,
    PACKAGES = "packages"  # files of packages decide it, and were not given,
    TEMPLATE = "template"  # a template fills it in,
    ABSENT = "absent"  # its file is not there,
    DENIED = "denied"  # its file may not be read by who runs this,
    UNREADABLE = "unreadable"  # its file cannot be read for another cause,
    UNUSABLE = "unusable"  # its file is not what it should be, as the sentence says of it,
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


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that could not be read or understood, and is therefore missing from the answer.

    `decisive`: it decides a socket or a ruleset in force, so the answer is incomplete (exit 3).
    `subject` is the file that could not be read, where `location` names it.
    """

    path: str
    text: str
    location: Location | None = None
    decisive: bool = True
    subject: str = ""
    code: Code = Code.UNKNOWN

    @property
    def reason(self) -> str:
        """What is the matter, without the place."""
        return about(self.subject, self.code, self.text) if self.subject else self.text

    @property
    def sentence(self) -> str:
        """What is the matter, with the place."""
        place = str(self.location or self.path)
        return f"{place}: {self.reason}" if self.subject else about(place, self.code, self.text)


def about(file: str, code: Code, text: str) -> str:
    """Say of a file what is the matter with it."""
    if code is Code.DENIED:
        return f"{file} cannot be read: permission denied"
    if code is Code.UNREADABLE:
        return f"{file} cannot be read: {text}"
    return f"{file} {text}" if code is Code.UNUSABLE else f"{file}: {text}"
