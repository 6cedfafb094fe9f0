"""Facts about comments that ignore nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from sslint.engine import Span
from sslint.facts.fact import Fact, field, of
from sslint.source import Location
from sslint.values import dataclass

if TYPE_CHECKING:
    from sslint.facts.collection import Facts


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment that ignores rules or families; without a name it ignores nothing.

    `counts` False: it has no reason, and the configuration requires one.
    """

    place: Location
    text: str
    names: tuple[str, ...]
    reason: str = ""
    counts: bool = True


class Ignore(Fact):
    """A comment that ignores a rule or family that says nothing there."""

    source: Comment

    def __init__(self, facts: Facts, source: Comment, name: str) -> None:
        span = Span(source.place, "ignores nothing")
        super().__init__(facts, source, f"ignore {name}".rstrip(), span)
        self._name = name

    name: str = of("_name")
    'The rule or family; "" where it names none.'
    comment: str = of("source.text")
    "The comment."

    @field
    def why(self) -> Literal["unused", "no-reason"]:
        """Why it suppresses nothing."""
        return "unused" if self.source.counts else "no-reason"
