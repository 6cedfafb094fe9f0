"""Names that are nearly another one: of these it is certain that they are misspelt."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

LEAST = 6  # letters of a name of which it can be told that one is wrong


def meant(name: str, known: frozenset[str]) -> str | None:
    """Return the known name that one is but for a letter, or for two that have changed places."""
    if not LEAST <= len(name) <= 100:
        return None
    index = _index(known)
    near = {each for part in _parts(name) for each in index.get(part, ())}
    return min((each for each in near if _is_nearly(name, each)), default=None)


@lru_cache(maxsize=64)
def _index(known: frozenset[str]) -> Mapping[str, list[str]]:
    """Return the names by what they are without one letter: nearly the same ones share it."""
    found: dict[str, list[str]] = {}
    for name in known:
        if len(name) >= LEAST:
            for part in _parts(name):
                found.setdefault(part, []).append(name)
    return found


def _parts(name: str) -> set[str]:
    return {name, *(name[:at] + name[at + 1 :] for at in range(len(name)))}


def _is_nearly(name: str, known: str) -> bool:
    """Tell whether a letter is wrong, missing or too much, or two have changed places."""
    if abs(len(name) - len(known)) > 1:
        return False
    pairs = enumerate(zip(name, known, strict=False))
    start = next((i for i, (one, other) in pairs if one != other), min(len(name), len(known)))
    rest, right = name[start:], known[start:]
    swapped = rest[:2] == right[1::-1] and rest[2:] == right[2:]
    return swapped or rest[1:] == right[1:] or rest[1:] == right or rest == right[1:]
