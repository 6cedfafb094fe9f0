"""Templates of nginx's configuration: what is filled in later is not known, and no mistake.

What a template fills in becomes a variable to nginx's readers, which know that a variable's value
is not known. All offsets stay as they are.
"""

from __future__ import annotations

import re
from functools import cache

# Jinja, Go, Mustache, ERB, envsubst, and the marks that scripts replace. nginx's own `${host}` is
# in lower case, and Lua's tables have braces within their braces.
_TEMPLATE = (
    r"\{%[^\n]{0,300}?%\}|\{#[^\n]{0,300}?#\}|<%.{0,300}?%>|(?<!\$)\{\{[^{}\n]{0,300}\}\}"
    r"|\$\{[A-Z][A-Z0-9_]*(?:[:-][^{}\n]{0,200})?\}|%%?[A-Z][A-Z0-9_]{2,}%%?"
    r"|%\{[A-Za-z_][A-Za-z0-9_]*\}|@[A-Z][A-Z0-9_]+@|__[A-Z][A-Z0-9_]+__"
)
MAX_SIZE = 1 << 18  # characters of a file that may be a template
MAX_LINE = 1000  # characters of a line that are looked at
FILLED_IN = "$_"  # how a word begins, or goes on, that a template fills in
_STATEMENT = "include;"  # an include of nothing: what it stands for is not known


def has_marks(text: str) -> bool:
    """Tell whether a text may be a template: none has a part of one that lacks these."""
    return (
        "%" in text or "@" in text or "{{" in text or "${" in text or "__" in text or "{#" in text
    )


def masked(text: str) -> tuple[str, bool]:
    """Return a text whose template parts are variables, and whether it has any.

    A part that stands alone on its line may be any number of statements, or decide about those
    that follow.
    """
    if not has_marks(text) or len(text) > MAX_SIZE:
        return text, False
    seen = False

    def replace(match: re.Match[str]) -> str:
        nonlocal seen
        before = text[max(0, match.start() - MAX_LINE) : match.start()].rpartition("\n")[2]
        if "#" in before:
            return match[0]
        seen = True
        after = text[match.end() : match.end() + MAX_LINE].partition("\n")[0]
        return _hidden(match[0], alone=not before.strip() and not after.strip())

    return _pattern().sub(replace, text), seen


@cache
def _pattern() -> re.Pattern[str]:
    return re.compile(_TEMPLATE, re.DOTALL)


def _hidden(part: str, *, alone: bool) -> str:
    if alone or "\n" in part:
        blank = re.sub(r"[^\n]", " ", part)
        room = len(blank.split("\n", 1)[0])
        return _STATEMENT + blank[len(_STATEMENT) :] if room >= len(_STATEMENT) else blank
    return "$" + "_" * (len(part) - 1)
