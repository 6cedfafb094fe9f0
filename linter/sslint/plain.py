"""What is printed does no harm where it lands: no key, no control character, no command.

All text that comes from the input goes through `clean`, and every text report through `harmless`.
"""

from __future__ import annotations

import re

from sslint.regex import regex

PRIVATE_KEY = "PRIVATE KEY-----"
MIN_RUN = 40  # characters of base64 that may be a key
MIN_PIECE = 12  # characters of a line of a key that are recognised

_WORD = regex(r"[a-z0-9]*|[A-Z0-9]*|(?:[A-Z][a-z]+)+[0-9]*")  # as in the parts of a path
_RUN = regex(r"[A-Za-z0-9+/=]{40,}")
_PIECE = regex(r"[A-Za-z0-9]{12,}")
# GitHub's, Azure's and TeamCity's commands: at the start of a line, and anywhere in it.
_LINE_COMMAND = regex(r"^([ \t]*):(?=:[A-Za-z])", re.M)
_COMMAND = regex(r"##(?=\w{0,40}\[)")

_pieces: set[str] = set()  # of the private keys that were read in this process
_any_piece: re.Pattern[str] | None = None


def clean(text: str) -> str:
    """Return text without key material, control and format characters, and broken UTF-8.

    A character that cannot be shown is written as `\\x1b` or `\\u202e`.
    """
    if len(text) >= MIN_PIECE:
        text = _cut(text)
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def holds_key(text: str) -> bool:
    """Whether `clean` would cut key material out of a text."""
    return len(text) >= MIN_PIECE and _cut(text) != text


def harmless(report: str) -> str:
    """Return a report in which no line is a command to the program that records it."""
    if "##" in report:
        report = _COMMAND.sub(r"#\\u0023", report)
    return _LINE_COMMAND.sub(r"\1\\x3a", report) if "::" in report else report


def remember_key(text: str) -> None:
    """Let no line of the private keys in a text be shown from now on."""
    global _any_piece
    for block in text.split(PRIVATE_KEY)[1::2]:
        _pieces.update(_PIECE.findall(block[:100_000]))
    pieces = sorted(_pieces, key=len, reverse=True)[:10_000]
    _any_piece = re.compile("|".join(pieces)) if pieces else None


def _escape(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8
        code &= 0xFF
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _cut(text: str) -> str:
    if _any_piece is not None:
        text = _any_piece.sub(_hidden, text)
    if len(text) < MIN_RUN:
        return text
    return _RUN.sub(lambda found: _hidden(found) if _is_key(found[0]) else found[0], text)


def _is_key(run: str) -> bool:
    """Tell whether a run of base64 may be a key: it mixes cases and digits, and is not a path."""
    if not _is_mixed(run) or all(char in "0123456789abcdefABCDEF" for char in run):
        return False
    return "/" not in run or not all(map(_WORD.fullmatch, run.split("/")))


def _is_mixed(text: str) -> bool:
    return (
        any("a" <= char <= "z" for char in text)
        and any("A" <= char <= "Z" for char in text)
        and any("0" <= char <= "9" for char in text)
    )


def _hidden(found: re.Match[str]) -> str:
    return f"[{len(found[0])} characters hidden]"
