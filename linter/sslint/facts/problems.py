"""Facts about what could not be read or understood."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sslint.engine import Span, enumerated
from sslint.facts.fact import Fact, field
from sslint.reasons import Code, about

if TYPE_CHECKING:
    from sslint.facts.collection import Facts
    from sslint.reasons import Problem


def problems(facts: Facts) -> list[Unread]:
    """Return a fact for each thing that could not be read or understood.

    Files of one directory that fail for the same reason are one.
    """
    groups: dict[tuple[object, ...], list[Problem]] = {}
    for problem in facts.host.problems:
        where = posixpath.dirname(problem.subject or ("" if problem.location else problem.path))
        key = (problem.location, where, problem.code, problem.text, problem.decisive)
        groups.setdefault(key, []).append(problem)
    return [Unread(facts, group) for group in groups.values()]


class Unread(Fact):
    """Something that could not be read or understood."""

    source: Problem

    path: str
    "The file."
    decisive: bool
    "It decides a socket or a ruleset."

    def __init__(self, facts: Facts, group: Sequence[Problem]) -> None:
        first, said = group[0], "the rest of the host is still checked"
        span = Span(first.location, said) if first.location is not None else None
        super().__init__(facts, first, first.path, span)
        self._group = group

    @field
    def reason(self) -> str:
        """What the reader says of it."""
        first, group = self.source, self._group
        if first.location is not None and not first.subject:
            return first.text
        if first.code is Code.DENIED:
            names = [self._host.tree.name(p.subject) if p.subject else p.path for p in group]
            return f"cannot read {enumerated(names)}: permission denied; run as root"
        return about(enumerated([p.subject or p.path for p in group]), first.code, first.text)
