"""Text to tokens, as nft's scanner cuts it."""

from __future__ import annotations

import re

from sslint.firewalls.errors import RulesetError
from sslint.regex import regex
from sslint.source import SourceFile

# A token is its own text: punctuation, a word, a number, an address, a quoted string with its
# opening and closing quote, "\n", and "" at the end of the input. As in the scanner, a line that
# holds nothing but a comment belongs to the line feed before it, so it may stand inside a list.
_HEX = "[0-9a-fA-F]{1,4}"
_WORD = r"[A-Za-z_.][A-Za-z0-9/\-_.]*"
# A comment needs a line end: nft refuses a file whose last line is a comment without one.
# The commonest tokens stand first, where nothing longer could begin like them.
_TOKEN = regex(
    rf"""(?:[ \t]|\\\n)*+
    (?:\#[^\n]*+(?=\n))?
    (
      [g-zG-Z_][A-Za-z0-9/\-_.]*+(?![*\\])
    | [{{}},;]
    | [0-9]++(?![.:A-Za-z])
    | \n(?:[ \t]*\#[^\n]*\n)*
    | (?:{_HEX}:){{7}}{_HEX}
    | (?:{_HEX}(?::{_HEX}){{0,6}})?::(?:(?:[fF]{{4}}:)?[0-9]{{1,3}}(?:\.[0-9]{{1,3}}){{3}}
        |{_HEX}(?::{_HEX}){{0,6}})?
    | (?:[0-9a-fA-F]{{1,2}}:){{5}}[0-9a-fA-F]{{1,2}}(?![0-9a-fA-F])
    | [0-9]{{1,3}}(?:\.[0-9]{{1,3}}){{3}}
    | 8021(?:ad|q)
    | (?=[0-9]+[dhms])(?:[0-9]+d)?(?:[0-9]+h)?(?:[0-9]+m(?!s))?(?:[0-9]+s)?(?:[0-9]+ms)?(?<=[dhms])
    | {_HEX}:{_HEX}(?=[ \t\n:\-}},])
    | 0[xX][0-9a-fA-F]+
    | [0-9]+
    | "[^"]*"
    | (?:{_WORD})?\\\*(?:{_WORD})?
    | {_WORD}\*
    | (?!\.(?![A-Za-z0-9/\-_.])){_WORD}
    | [=!<>]=|<<|>>
    | [()\[\]:/*@$=+\-<>!&|^.]
    )?""",
    re.VERBOSE,
)

# Words that are operators wherever they stand.
OPERATORS = {
    "eq": "==",
    "ne": "!=",
    "lt": "<",
    "gt": ">",
    "le": "<=",
    "ge": ">=",
    "and": "&",
    "or": "|",
    "xor": "^",
    "lshift": "<<",
    "rshift": ">>",
    "not": "!",
}


def tokens_of(file: SourceFile) -> tuple[list[str], list[int]]:
    """Return a file's tokens and where each starts. Raise RulesetError at what is none."""
    text = file.text
    tokens: list[str] = []
    starts: list[int] = []
    length = len(text)
    operators = OPERATORS
    for match in _TOKEN.finditer(text, _leading_comments(text)):
        lexeme = match[1]
        if lexeme is None:
            if match.end() < length:
                _refuse(file, match.end())
            break
        if lexeme[0] == "\n":
            lexeme = "\n"
        elif lexeme in operators:
            lexeme = operators[lexeme]
        tokens.append(lexeme)
        starts.append(match.start(1))
    tokens += ("", "")  # two, so that a look at the token after next needs no care
    starts += (length, length)
    return tokens, starts


def _leading_comments(text: str) -> int:
    match = re.match(r"(?:[ \t]*#[^\n]*\n)*", text)
    return match.end() if match else 0


def _refuse(file: SourceFile, position: int) -> None:
    char = file.text[position]
    if char == "\r":
        raise RulesetError("CRLF line ends, which nft refuses", file.span(position, position + 1))
    shown = char if char.isprintable() else repr(char)
    raise RulesetError(f"unexpected {shown}", file.span(position, position + 1))
