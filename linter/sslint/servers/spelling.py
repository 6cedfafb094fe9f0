"""Names that are nearly another one: of these it is certain that they are misspelt."""

from __future__ import annotations

from collections.abc import Iterable

LEAST = 6  # letters of a name of which it can be told that one is wrong


def meant(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that one is but for a letter, or for two that have changed places."""
    if len(name) < LEAST:
        return None
    return next((each for each in known if len(each) >= LEAST and _is_nearly(name, each)), None)


def _is_nearly(name: str, known: str) -> bool:
    """Tell whether a letter is wrong, missing or too much, or two have changed places."""
    if abs(len(name) - len(known)) > 1:
        return False
    pairs = enumerate(zip(name, known, strict=False))
    start = next((i for i, (one, other) in pairs if one != other), min(len(name), len(known)))
    rest, right = name[start:], known[start:]
    swapped = rest[:2] == right[1::-1] and rest[2:] == right[2:]
    return swapped or rest[1:] == right[1:] or rest[1:] == right or rest == right[1:]
