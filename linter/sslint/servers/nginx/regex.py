"""nginx's regular expressions (PCRE), tried on one short text, never at a hostile price."""

from __future__ import annotations

import re
import warnings
from functools import lru_cache
from typing import Any

MAX_PATTERN = 1_000  # characters
MAX_UNBOUNDED = 4  # repeats in a row: the price is the text's length to this power

# What PCRE and Python read differently.
_DIFFERENT = re.compile(r"\[\[:|\\[hHRKXpPgGzZQE]|\(\?[RP&0-9+|]|\(\*")


@lru_cache(maxsize=4096)
def compile_pattern(pattern: str, ignore_case: bool = False) -> re.Pattern[str] | None:
    """Compile a pattern; None if it cannot be judged here."""
    if len(pattern) > MAX_PATTERN or _DIFFERENT.search(pattern):
        return None
    # PCRE's `(?<name>` is Python's `(?P<name>`; `(?<=` and `(?<!` are the same in both.
    pattern = re.sub(r"\(\?<(?=[A-Za-z_])", "(?P<", pattern)
    # `$` also matches before a final line feed in both; `(?i)` may stand inside in PCRE only.
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            compiled = re.compile(pattern, re.IGNORECASE if ignore_case else 0)
            parsed = re._parser.parse(pattern)  # type: ignore[attr-defined]
    except (re.error, Warning, OverflowError, RecursionError, ValueError):
        return None
    return compiled if _unbounded(parsed, False) <= MAX_UNBOUNDED else None


def search(pattern: str, text: str, *, ignore_case: bool = False) -> bool | None:
    """Tell whether a pattern is found in a text; None where it cannot be judged."""
    compiled = compile_pattern(pattern, ignore_case)
    if compiled is None or len(text) > MAX_PATTERN:
        return None
    return compiled.search(text) is not None


def _unbounded(items: Any, inside: bool) -> int:
    """Count repeats that can match many lengths; a nested one counts as too many."""
    count = 0
    for operation, argument in items:
        name = str(operation)
        if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            least, most, body = argument
            many = int(most) > 1 and int(most) != int(least)
            if many and inside:
                return MAX_UNBOUNDED + 1
            count += many + _unbounded(body, inside or int(most) > 1)
        elif name == "BRANCH":
            count += sum(_unbounded(branch, inside) for branch in argument[1])
        elif name == "SUBPATTERN":
            count += _unbounded(argument[-1], inside)
        elif name in ("ASSERT", "ASSERT_NOT"):
            count += _unbounded(argument[1], inside)
        elif name == "ATOMIC_GROUP":
            count += _unbounded(argument, inside)
        elif name == "GROUPREF_EXISTS":
            return MAX_UNBOUNDED + 1
    return count
