"""One statement of nginx's configuration."""

from __future__ import annotations

from sslint.source import Location, SourceFile
from sslint.values import dataclass

Place = tuple[int, int]
"""An offset: how far after the end of a group of the pattern; 0 is the start of the block."""


@dataclass(slots=True, eq=False)
class Part:
    """A statement of a shape: its words are the pattern's `group`, or `args` where that is 0.

    Of a group `args` are those of the block that was asked last, where they were `said`.
    """

    number: int
    name: str
    args: tuple[str, ...]
    group: int
    start: Place
    end: Place
    block: list[Part] | None = None
    said: str | None = None


@dataclass(slots=True, eq=False)
class Directive:
    """One statement: `block` is None for `name args;`. Offsets are those of the statement's
    first line's words, the `;` or `{` included."""

    name: str
    args: tuple[str, ...]
    file: SourceFile
    start: int
    end: int
    block: list[Directive] | None = None

    @property
    def location(self) -> Location:
        """Return the place of the statement, or of a block's first line."""
        return self.file.span(self.start, self.end)

    def words(self, one: Directive | Part) -> tuple[str, ...]:
        """Return the words of one of a block's statements, or of one around it."""
        return one.args

    def text(self, one: Directive | Part) -> str | None:
        """Return the words of one of a block's statements as written, if they are known so."""
        return None

    def place(self, one: Directive | Part) -> Location:
        """Return the place of one of a block's statements, or of one around it."""
        assert isinstance(one, Directive)
        return one.location

    def argument(self, text: str) -> Location:
        """Return the place of one argument as written, or of the whole statement."""
        found = self.file.text.find(text, self.start + len(self.name), self.end)
        return self.file.span(found, found + len(text)) if found >= 0 else self.location
