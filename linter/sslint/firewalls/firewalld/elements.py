"""firewalld's XML files as a flat run of tags, and what it refuses in them."""

from __future__ import annotations

from collections.abc import Iterator

from sslint.reasons import Code
from sslint.source import Location, SourceFile
from sslint.xmlfile import End, Start, XmlError, tags

__all__ = ["End", "InvalidFile", "NotRead", "Start", "check", "elements"]


class InvalidFile(Exception):  # noqa: N818 - it is firewalld that calls it an error
    """A file that firewalld refuses: it then loads nothing of the user's configuration."""

    code = Code.REFUSED

    def __init__(self, location: Location, reason: str) -> None:
        super().__init__(f"{location}: {reason}")
        self.location = location
        self.reason = reason


class NotRead(Exception):  # noqa: N818
    """A file that firewalld may accept and that is not read here."""

    def __init__(self, location: Location | None, reason: str, code: Code = Code.UNKNOWN) -> None:
        super().__init__(f"{location}: {reason}")
        self.location = location
        self.reason = reason
        self.code = code


def elements(file: SourceFile) -> Iterator[Start | End]:
    """Yield a file's tags in order. Raise InvalidFile if it is not well-formed."""
    try:
        return tags(file)
    except XmlError as error:
        if error.malformed:
            raise InvalidFile(error.location, error.reason) from None
        raise NotRead(error.location, error.reason, Code.LIMIT) from None


def check(
    event: Start,
    required: dict[str, tuple[str, ...]],
    optional: dict[str, tuple[str, ...]],
) -> None:
    """Refuse an unknown element, a missing attribute or an unknown one, as firewalld does."""
    name = event.name
    if name not in required and name not in optional:
        raise InvalidFile(event.location, f"unexpected element {name}")
    for attribute in required.get(name, ()):
        if attribute not in event.attributes:
            raise InvalidFile(event.location, f"{name} lacks the attribute {attribute}")
    for attribute in event.attributes:
        if attribute not in required.get(name, ()) and attribute not in optional.get(name, ()):
            raise InvalidFile(event.location, f"{name} has an unexpected attribute {attribute}")
