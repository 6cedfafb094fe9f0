"""Mutations that keep the shape of configuration: lines, words, numbers and parts of a file."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

from tests.fuzz.subjects import SEPARATOR

MAX_LENGTH = 8192
_WORD = re.compile(r"[\w./:-]+|[^\w\s]")
_NUMBER = re.compile(r"\d+")
_ODD = (
    "\0", "\r", "\t", "\x1b[2J", "\u202e", "\udcff", "\ufeff", "{", "}", "(", ")", "[", "]", '"',
    "'", "\\", "$", "${", "%", "#", ";", ",", "!", "=", "<", ">", "&", "*", "-", "--", "/", "@",
    "0", "-1", "65535", "65536", "4294967296", "9" * 30, "0x10", "1e9", "0.0.0.0/0", "::/0",
    "::ffff:1.2.3.4", "fe80::1%eth0", "٣", "²", "é", "a" * 300,
)  # fmt: skip


def mutate(rnd: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Return an input with one to four mutations; `others` lend their lines and words."""
    text = data.decode("utf-8", "surrogateescape")
    for _ in range(rnd.choice((1, 1, 2, 4))):
        other = rnd.choice(others).decode("utf-8", "surrogateescape")
        text = rnd.choice(_MUTATIONS)(rnd, text, other)
    return text[:MAX_LENGTH].encode("utf-8", "surrogateescape")


def _lines(rnd: random.Random, text: str, other: str) -> str:
    """Drop, double, move or borrow a line or several."""
    lines = text.split("\n")
    at = rnd.randrange(len(lines))
    upto = min(len(lines), at + rnd.choice((1, 1, 2, 5)))
    taken = lines[at:upto]
    kind = rnd.randrange(4)
    if kind == 0:
        del lines[at:upto]
    elif kind == 1:
        lines[at:at] = taken
    elif kind == 2:
        del lines[at:upto]
        place = rnd.randrange(len(lines) + 1)
        lines[place:place] = taken
    else:
        lent = other.split("\n")
        start = rnd.randrange(len(lent))
        lines[at:at] = lent[start : start + rnd.choice((1, 1, 3))]
    return "\n".join(lines)


def _words(rnd: random.Random, text: str, other: str) -> str:
    """Drop or double a word, or put a word of another input or an odd one there."""
    words = [match.span() for match in _WORD.finditer(text)]
    if not words:
        return text + rnd.choice(_ODD)
    start, end = rnd.choice(words)
    lent = _WORD.findall(other) or [""]
    new = rnd.choice(
        ("", text[start:end] + " " + text[start:end], rnd.choice(lent), rnd.choice(lent),
         rnd.choice(_ODD), text[start:end] + rnd.choice(_ODD))
    )  # fmt: skip
    return text[:start] + new + text[end:]


def _numbers(rnd: random.Random, text: str, other: str) -> str:
    numbers = [match.span() for match in _NUMBER.finditer(text)]
    if not numbers:
        return _words(rnd, text, other)
    start, end = rnd.choice(numbers)
    value = int(text[start:end][:40])
    new = rnd.choice((0, 1, value + 1, value - 1, -value, value * 2, 2**16, 2**32, 2**63, 10**25))
    return text[:start] + str(new) + text[end:]


def _characters(rnd: random.Random, text: str, other: str) -> str:
    at = rnd.randrange(len(text) + 1)
    if rnd.random() < 0.5:
        return text[:at] + rnd.choice(_ODD) + text[at:]
    return text[:at] + text[at + rnd.choice((1, 1, 3, 20)) :]


def _parts(rnd: random.Random, text: str, other: str) -> str:
    """Exchange a file for another input's, or two files."""
    parts, lent = text.split(SEPARATOR), other.split(SEPARATOR)
    at = rnd.randrange(len(parts))
    if rnd.random() < 0.7:
        parts[at] = lent[at % len(lent)]
    else:
        to = rnd.randrange(len(parts))
        parts[at], parts[to] = parts[to], parts[at]
    return SEPARATOR.join(parts)


def _ends(rnd: random.Random, text: str, other: str) -> str:
    """Cut an input, or go on with another."""
    at, to = rnd.randrange(len(text) + 1), rnd.randrange(len(other) + 1)
    return text[:at] if rnd.random() < 0.3 else text[:at] + other[to:]


_MUTATIONS: tuple[Callable[[random.Random, str, str], str], ...] = (
    _lines, _lines, _words, _words, _words, _numbers, _characters, _parts, _ends,
)  # fmt: skip
