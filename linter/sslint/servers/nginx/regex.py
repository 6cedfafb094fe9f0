"""nginx's regular expressions (PCRE), tried on one short text, never at a hostile price."""

from __future__ import annotations

import re

from sslint import patterns
from sslint.patterns import Pattern
from sslint.regex import regex

# What PCRE and Python read differently.
_DIFFERENT = regex(r"\[\[:|\\[hHRKXpPgGzZQE]|\(\?[RP&0-9+|]|\(\*|\{,\d")


def compile_pattern(pattern: str, ignore_case: bool = False) -> Pattern | None:
    """Compile a pattern; None if it cannot be judged here."""
    if _DIFFERENT.search(pattern):
        return None
    # PCRE's `(?<name>` is Python's `(?P<name>`; `(?<=` and `(?<!` are the same in both.
    # `$` also matches before a final line feed in both; `(?i)` may stand inside in PCRE only.
    pattern = re.sub(r"\(\?<(?=[A-Za-z_])", "(?P<", pattern)
    return patterns.compile_pattern(pattern, ignore_case)


def search(pattern: str, text: str, *, ignore_case: bool = False) -> bool | None:
    """Tell whether a pattern is found in a text; None where it cannot be judged."""
    compiled = compile_pattern(pattern, ignore_case)
    return None if compiled is None else compiled.matches(text)
