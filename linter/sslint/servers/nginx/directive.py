"""One statement of nginx's configuration."""

from __future__ import annotations

from sslint.source import Location, SourceFile
from sslint.values import dataclass


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

    def argument(self, text: str) -> Location:
        """Return the place of one argument as written, or of the whole statement."""
        found = self.file.text.find(text, self.start + len(self.name), self.end)
        return self.file.span(found, found + len(text)) if found >= 0 else self.location
