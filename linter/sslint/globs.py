"""Patterns as glob(3) understands them."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import pairwise

from sslint.budgets import ExhaustedError

MAX_PATTERN = 4096  # characters
MAX_BRACES = 1_000  # alternatives of one pattern


def is_pattern(text: str) -> bool:
    """Tell whether a text has a character that glob(3) interprets."""
    return "*" in text or "?" in text or "[" in text


def matcher(pattern: str) -> Callable[[str], object]:
    """Return what tells whether a name matches a pattern without slashes.

    Names that start with a dot are matched only by a pattern that does.
    """
    if pattern == "*":
        return lambda name: not name.startswith(".")
    matches = _compiled(pattern).match
    if pattern.startswith("."):
        return matches
    return lambda name: not name.startswith(".") and matches(name)


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(pattern))


def expand_braces(pattern: str) -> Iterable[str]:
    """Expand `{a,b}` as glob(3) with GLOB_BRACE does, nested ones too. Raise ExhaustedError."""
    if len(pattern) > MAX_PATTERN:  # no path is as long
        return []
    results = [pattern]
    done: list[str] = []
    while results:
        if len(results) + len(done) > MAX_BRACES:
            raise ExhaustedError(f"has a pattern of more than {MAX_BRACES:,} alternatives")
        current = results.pop(0)
        start = current.find("{")
        depth, end, commas = 0, -1, []
        for index in range(start, len(current)) if start >= 0 else ():
            char = current[index]
            depth += (char == "{") - (char == "}")
            if char == "," and depth == 1:
                commas.append(index)
            if depth == 0:
                end = index
                break
        if end < 0:
            done.append(current)
            continue
        edges = [start, *commas, end]
        alternatives = [
            current[:start] + current[a + 1 : b] + current[end + 1 :] for a, b in pairwise(edges)
        ]
        results[:0] = alternatives
    return done
