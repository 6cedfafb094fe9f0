"""The marks of templates: what one fills in is not known, and no reason that a server stops."""

from __future__ import annotations

from sslint.regex import regex
from sslint.source import Location

FILLED_IN = "a template fills this in"
# Jinja, Go, Mustache, ERB, and the marks that scripts replace; no syntax of a server has them.
_MARK = regex(r"(?<!\$)\{\{|\{%|<%|@[A-Z][A-Z0-9_]+@|__[A-Z][A-Z0-9_]+__|%%?[A-Z][A-Z0-9_]{2,60}%")


def has_mark(where: Location) -> bool:
    """Tell whether a template fills in something of a statement's first line."""
    return _MARK.search(where.file.line(where.line)) is not None
