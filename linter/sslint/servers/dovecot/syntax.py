"""The lines of a Dovecot configuration file, 2.3 and 2.4 (src/config/config-parser.c)."""

from __future__ import annotations

import re
from enum import Enum

from sslint.regex import regex
from sslint.source import Location, SourceFile
from sslint.values import dataclass

_SPACE = " \t\n\v\f\r"
_QUOTE_OR_HASH = regex(r"[\"'#]")
_KEY_END = regex(r"[= \t\v\f\r]")
_WORD_END = regex(r"[ \t\v\f\r]")


class Kind(Enum):
    """What a logical line is."""

    VALUE = "key = value"
    FILE = "key = <file"
    VARIABLE = "key = $other"
    OPEN = "section {"
    GROUP = "group @label name {"
    CLOSE = "}"
    INCLUDE = "!include"
    INCLUDE_TRY = "!include_try"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Line:
    """One logical line; `value` is the section's name, the file's path or what is wrong."""

    kind: Kind
    key: str
    value: str
    location: Location
    quoted: bool = False


class Reader:
    """Read the logical lines of one file; `pending` is a continued line's text so far.

    Text that a file ends with a backslash goes on in the next file that is read, and a comment
    or an empty line after a backslash discards what came before it: both as Dovecot does.
    """

    __slots__ = ("_end", "_first", "_lines", "_number", "file", "modern")

    def __init__(self, file: SourceFile, *, modern: bool) -> None:
        self.file = file
        self.modern = modern
        self._lines = file.text.split("\n")
        self._number = 0
        self._first = 0
        # What follows the last line feed is not a line if it is empty.
        self._end = len(self._lines) - (not self._lines[-1])

    def next(self, pending: list[str]) -> Line | None:
        """Return the next logical line, or None at the end of the file."""
        while self._number < self._end:
            text = self._lines[self._number].split("\0", 1)[0].strip(_SPACE)
            self._number += 1
            if not text or text[0] == "#":
                pending.clear()
                continue
            if not pending:
                self._first = self._number
            text = strip_comment(text).rstrip(_SPACE)
            if text.endswith("\\"):
                text = text[:-1].rstrip(_SPACE)
                if text:
                    pending.append(text)
                continue
            if pending:
                text = " ".join([*pending, text])
                pending.clear()
            return self._parse(text)
        return None

    def _parse(self, text: str) -> Line:
        kind, key, value, quoted = parse(text, modern=self.modern)
        raw = self._lines[self._first - 1]
        column = len(raw) - len(raw.lstrip(_SPACE)) + 1
        end = column + len(strip_comment(raw.strip(_SPACE)).rstrip(_SPACE))
        return Line(kind, key, value, Location(self.file, self._first, column, end), quoted)


def strip_comment(text: str) -> str:
    """Cut a line at the first `#` outside quotes; an open quote hides the rest of the line."""
    if "#" not in text:
        return text
    position = 0
    while found := _QUOTE_OR_HASH.search(text, position):
        if found[0] == "#":
            return text[: found.start()]
        position = found.end()
        while position < len(text) and text[position] != found[0]:
            position += 2 if text[position] == "\\" else 1
        if position >= len(text):
            return text
        position += 1
    return text


def parse(text: str, *, modern: bool) -> tuple[Kind, str, str, bool]:
    """Return (kind, key, value, quoted) of a logical line without comment and outer spaces."""
    key, rest = _key(text, modern)
    if key == "!include":
        return Kind.INCLUDE, key, rest, False
    if key == "!include_try":
        return Kind.INCLUDE_TRY, key, rest, False
    if rest.startswith("="):
        return _assignment(key, rest[1:].lstrip(_SPACE))
    if key == "}" and not rest:
        return Kind.CLOSE, key, "", False
    return _section(key, rest, modern)


def _key(text: str, modern: bool) -> tuple[str, str]:
    if modern and text.startswith('"'):
        position = 1
        while position < len(text) and text[position] != '"':
            position += 2 if text[position] == "\\" else 1
        return text[1:position], text[position + 1 :].lstrip(_SPACE)
    found = _KEY_END.search(text)
    end = found.start() if found else len(text)
    return text[:end], text[end:].lstrip(_SPACE)


def _assignment(key: str, value: str) -> tuple[Kind, str, str, bool]:
    if value.startswith("<"):
        return Kind.FILE, key, value[1:].lstrip(_SPACE), False
    quoted = value[:1] in ("'", '"')
    if not quoted and "$" in value:
        return Kind.VARIABLE, key, value, False
    if quoted and len(value) > 1 and value[0] == value[-1]:
        return Kind.VALUE, key, unescape(value[1:-1]), True
    return Kind.VALUE, key, value, False


def _section(key: str, rest: str, modern: bool) -> tuple[Kind, str, str, bool]:
    kind, name, quoted = Kind.OPEN, "", False
    if rest.startswith("{"):
        pass
    elif modern and key == "group":
        kind = Kind.GROUP
        key, rest = _word(rest)
        name, rest = _word(rest)
    elif rest.startswith('"'):
        name, closed, rest = rest[1:].partition('"')
        name, rest, quoted = unescape(name), rest.lstrip(_SPACE), True
        if not closed:
            rest = ""
    else:
        name, rest = _word(rest)
    if not rest.startswith("{"):
        return Kind.ERROR, key, "Expecting '{'", False
    if rest != "{":
        return Kind.ERROR, key, "Garbage after '{'", False
    return kind, key, name, quoted


def _word(text: str) -> tuple[str, str]:
    found = _WORD_END.search(text)
    end = found.start() if found else len(text)
    return text[:end], text[end:].lstrip(_SPACE)


def unescape(text: str) -> str:
    """Drop the backslash before any character (src/lib/strescape.c str_unescape)."""
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL) if "\\" in text else text
