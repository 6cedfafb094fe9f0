"""Source files and the places in them: every fact and every verdict points at one."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import Any

from sslint.plain import PRIVATE_KEY, remember_key

SMALL = 4096  # characters of a file of which lines are counted when they are asked for


class SourceFile:
    """One text file of a host.

    `path` is the file's path on that host (`/etc/ssl/shop.pem`), `name` what reports
    show (`etc/ssl/shop.pem`). Two source files are equal only if they are the same object.
    """

    __slots__ = ("_starts", "name", "path", "secret", "text")

    def __init__(self, path: str, name: str, text: str) -> None:
        self.path = path
        self.name = name
        self.text = text
        self.secret = PRIVATE_KEY in text
        if self.secret:
            remember_key(text)
        self._starts: list[int] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Be made again where it is sent, and have a key remembered there."""
        return SourceFile, (self.path, self.name, self.text)

    def __repr__(self) -> str:
        return f"SourceFile({self.name!r})"

    @property
    def starts(self) -> list[int]:
        """Offsets at which lines start; a line ends with a line feed and nothing else."""
        if self._starts is None:
            lengths = map(len, self.text.split("\n"))
            self._starts = list(accumulate(map((1).__add__, lengths), initial=0))[:-1]
        return self._starts

    def offset(self, line: int, column: int) -> int:
        """Return the offset of a place; a line that the file has not is counted from its end."""
        starts = self.starts
        if 1 <= line <= len(starts):
            return starts[line - 1] + column - 1
        return len(self.text) + line

    def line(self, number: int) -> str:
        """Return line `number` (from 1) without its line feed, or "" past the end."""
        starts = self.starts
        if not 1 <= number <= len(starts):
            return ""
        end = starts[number] - 1 if number < len(starts) else len(self.text)
        return self.text[starts[number - 1] : end].rstrip("\r")

    def shown(self, number: int) -> str:
        """Return a line as reports may show it: nothing of a file that holds a private key."""
        if self.secret:
            return "(this file holds a private key and is not shown)"
        return self.line(number)

    def span(self, start: int, end: int | None = None) -> Location:
        """Return the location of the character offsets `start` to `end` (exclusive).

        A span over several lines is cut at the end of its first line. Which line that is, is
        counted when it is asked.
        """
        found = Location.__new__(Location)
        found.file = self
        found._offsets = (start, end)
        return found

    def _count(self, start: int, end: int | None) -> tuple[int, int, int | None]:
        """Return line, column and end column of the offsets of a span."""
        text = self.text
        if self._starts is None and len(text) <= SMALL:  # counted faster than all are listed
            first = text.rfind("\n", 0, start) + 1
            line = text.count("\n", 0, first) + 1
        else:
            line = bisect_right(self.starts, start)
            first = self.starts[line - 1]
        column = start - first + 1
        if end is None:
            return line, column, None
        last = text.find("\n", start)
        last = len(text) if last < 0 else last
        return line, column, max(min(end, last) - first + 1, column)

    def at(self, line: int) -> Location:
        """Return the location of a whole line without its indentation (line from 1)."""
        text = self.line(line)
        bare = text.strip()
        column = len(text) - len(text.lstrip()) + 1
        return Location(self, line, column, column + len(bare))


class Location:
    """A place in a file: line and column from 1, `end` the column after the last character."""

    __slots__ = ("_offsets", "column", "end", "file", "line")

    file: SourceFile
    line: int
    column: int
    end: int | None
    _offsets: tuple[int, int | None] | None  # what `SourceFile.span` was given

    def __init__(
        self, file: SourceFile, line: int, column: int = 1, end: int | None = None
    ) -> None:
        self.file = file
        self.line = line
        self.column = column
        self.end = end
        self._offsets = None

    def __getattr__(self, name: str) -> int | None:
        """Count the line of a span when it is first asked for."""
        if name not in ("line", "column", "end") or self._offsets is None:
            raise AttributeError(name)
        self.line, self.column, self.end = self.file._count(*self._offsets)
        found: int | None = getattr(self, name)
        return found

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Location) or self.file is not other.file:
            return False
        own, its = self._offsets, other._offsets
        if own is not None and its is not None and own[0] != its[0]:
            return False  # no line needs to be counted
        return (self.line, self.column, self.end) == (other.line, other.column, other.end)

    def __hash__(self) -> int:
        offsets = self._offsets
        if offsets is not None:
            return hash((self.file, offsets[0]))
        return hash((self.file, self.file.offset(self.line, self.column)))

    def __repr__(self) -> str:
        return f"Location({self})"

    @property
    def path(self) -> str:
        """The file's name as reports show it, relative to the host's root."""
        return self.file.name

    @property
    def text(self) -> str:
        """The whole line the location is on, stripped."""
        return self.file.line(self.line).strip()

    @property
    def shown(self) -> str:
        """The line as reports may show it, stripped."""
        return self.file.shown(self.line).strip()

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"
