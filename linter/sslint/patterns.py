"""Regular expressions that a tree or a rule holds, tried at a price that is known beforehand.

Python's `re` tries one way after the other, and what a stranger writes can make the ways as many
as he likes. So their number is bounded first, and where the bound is too high RE2 decides, whose
time grows with the text alone; what RE2 lacks or reads differently is not judged.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from sslint.regex import regex
from sslint.values import dataclass

MAX_PATTERN = 1_000  # characters
MAX_TEXT = 10_000
MAX_STEPS = 300_000  # of `re`, a hundredth of a second

Groups = tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class _Ways:
    """A bound of the ways to match a text of n characters: `factor` times (n + 1) ** `degree`."""

    factor: float
    degree: int

    def times(self, other: _Ways) -> _Ways:
        return _Ways(self.factor * other.factor, self.degree + other.degree)

    def plus(self, other: _Ways) -> _Ways:
        return _Ways(self.factor + other.factor, max(self.degree, other.degree))


_ONE = _Ways(1, 0)
_TOO_MANY = _Ways(float("inf"), 0)


class Pattern:
    """A compiled pattern. `ways` bounds what `re` may have to try."""

    __slots__ = ("_compiled", "_fallback", "_ways")

    def __init__(self, compiled: re.Pattern[str], ways: _Ways) -> None:
        self._compiled = compiled
        self._ways = ways
        self._fallback: Callable[[str], Groups | bool] | None = None

    def find(self, text: str) -> Groups | bool | None:
        """Return the groups of the first match, False without a match, None if it is not judged.

        A match without groups is True.
        """
        steps = self._ways.factor * float(len(text) + 1) ** (self._ways.degree + 1)
        if len(text) <= MAX_TEXT and steps <= MAX_STEPS:
            found = self._compiled.search(text)
            return found is not None and (found.groups() or True)
        if len(text) > MAX_TEXT or not (text.isascii() and text.isprintable()):
            return None
        if self._fallback is None:
            self._fallback = _linear(self._compiled)
        return self._fallback(text) if self._fallback is not None else None

    def matches(self, text: str) -> bool | None:
        """Tell whether the pattern is found in a text; None if it is not judged."""
        found = self.find(text)
        return found if found is None else found is not False


@lru_cache(maxsize=4096)
def compile_pattern(pattern: str, ignore_case: bool = False) -> Pattern | None:
    """Compile a pattern in the syntax of `re`; None if it is none, or too large to judge."""
    if len(pattern) > MAX_PATTERN:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            compiled = re.compile(pattern, re.IGNORECASE if ignore_case else 0)
            parsed = re._parser.parse(pattern)  # type: ignore[attr-defined]
    except (re.error, Warning, OverflowError, RecursionError, ValueError):
        return None
    return Pattern(compiled, _sequence(parsed))


# -- the bound --------------------------------------------------------------------------------


def _sequence(items: Any) -> _Ways:
    ways = _ONE
    for operation, argument in items:
        ways = ways.times(_item(str(operation), argument))
    return ways


def _item(name: str, argument: Any) -> _Ways:
    if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
        return _repeat(*argument)
    if name == "BRANCH":
        ways = _Ways(0, 0)
        for branch in argument[1]:
            ways = ways.plus(_sequence(branch))
        return ways
    if name == "SUBPATTERN":
        return _sequence(argument[-1])
    if name in ("ASSERT", "ASSERT_NOT"):
        return _sequence(argument[1])
    if name == "ATOMIC_GROUP":
        return _sequence(argument)
    if name == "GROUPREF_EXISTS":
        return _TOO_MANY
    return _ONE


def _repeat(least: Any, most: Any, body: Any) -> _Ways:
    low, high = int(least), int(most)  # the parser's "without end" is 2 ** 32 - 1
    inner = _sequence(body)
    if inner == _ONE and body.getwidth()[0] > 0:
        return _Ways(high - low + 1, 0) if high <= 100 else _Ways(1, 1)
    if high <= 1:
        return _ONE.plus(inner)
    if high <= 20 and inner.factor < 1e6:
        return _Ways((inner.factor + 1) ** high, inner.degree * high)
    return _TOO_MANY


# -- RE2 --------------------------------------------------------------------------------------

# What `re` and RE2 read differently, and neither rejects.
_DIFFERENT = regex(r"\{,\d|\[\[?:|\\B")


def _linear(compiled: re.Pattern[str]) -> Callable[[str], Groups | bool] | None:
    """Return the search of RE2 for a pattern; None where it is not installed or says another."""
    pattern = compiled.pattern
    if not pattern.isascii() or _DIFFERENT.search(pattern) or _may_repeat_nothing(pattern):
        return None
    try:
        import re2
    except ImportError:
        return None
    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = not compiled.flags & re.IGNORECASE
    try:
        other = re2.compile(pattern, options)
    except re2.error:
        return None

    def search(text: str) -> Groups | bool:
        found = other.search(text)
        return found is not None and (tuple(found.groups()) or True)

    return search


def _may_repeat_nothing(pattern: str) -> bool:
    """Tell whether a repeat may go round with nothing: engines disagree on its groups."""
    pending = [re._parser.parse(pattern)]  # type: ignore[attr-defined]
    while pending:
        for operation, argument in pending.pop():
            name = str(operation)
            if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
                if int(argument[1]) > 1 and argument[2].getwidth()[0] == 0:
                    return True
                pending.append(argument[2])
            elif name == "BRANCH":
                pending.extend(argument[1])
            elif name == "SUBPATTERN":
                pending.append(argument[-1])
    return False
