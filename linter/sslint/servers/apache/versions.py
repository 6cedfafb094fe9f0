"""What IfVersion answers (mod_version.c)."""

from __future__ import annotations

from sslint.patterns import compile_pattern
from sslint.regex import is_number

# The versions that a host whose version is not known may have.
_EITHER = ((2, 4, 6), (2, 4, 99))


def compare(operator: str, wanted: str, version: tuple[int, ...] | None) -> bool | None:
    """Answer `<IfVersion operator wanted>`; None if it depends on a version that is not known."""
    candidates = _EITHER if version is None else ((*version, 0, 0)[:3],)
    found = {_answer(operator, wanted, candidate) for candidate in candidates}
    return found.pop() if len(found) == 1 else None


def _answer(operator: str, wanted: str, version: tuple[int, ...]) -> bool | None:
    negated = operator.startswith("!")
    operator = operator.removeprefix("!")
    text = wanted
    if operator == "~" or (operator in ("=", "==") and wanted[:1] == "/" and wanted[-1:] == "/"):
        pattern = wanted.strip("/") if operator != "~" else wanted
        compiled = compile_pattern(pattern)
        shown = ".".join(map(str, version))
        matched = compiled.matches(shown) if compiled is not None else None
        return matched if matched is None else matched is not negated
    parts = text.split(".")
    if not all(is_number(part) and len(part) < 8 for part in parts):
        return None
    other = (*(int(part) for part in parts), 0, 0)[:3]
    answers = {
        "=": version == other,
        "==": version == other,
        ">": version > other,
        ">=": version >= other,
        "<": version < other,
        "<=": version <= other,
    }
    found = answers.get(operator)
    return found if found is None else found is not negated
