"""The words of a line of haproxy.cfg, with its quotes and variables (parse_line of tools.c)."""

from __future__ import annotations

import re

from sslint.regex import is_number, regex
from sslint.values import dataclass, field

_PIECE = regex(
    r"""(?P<blank>[ \t\r]+)|(?P<comment>\#.*)|(?P<single>'[^']*'?)|(?P<double>")"""
    r"""|\\(?P<hex>x[0-9A-Fa-f]{2})|\\(?P<escaped>.)|(?P<plain>[^ \t\r\#'"\\]+|\\)""",
    re.VERBOSE,
)
_QUOTED = regex(
    r"""(?P<end>")|\\(?P<hex>x[0-9A-Fa-f]{2})|\\(?P<escaped>.)"""
    r"""|\$\{(?P<braced>\w+)(?:\[\*\])?(?:-(?P<default>[^}]*))?\}|\$(?P<name>[A-Za-z_]\w*)"""
    r"""|(?P<plain>[^"\\$]+|[\\$])""",
    re.VERBOSE,
)
_IN_ADDRESS = regex(r"\$(?:\{(\w+)\}|([A-Za-z_]\w*))")
_LETTERS = {"n": "\n", "r": "\r", "t": "\t"}
UNKNOWN = "\0"  # in place of a value that is not known
MAX_VALUE = 1_000  # characters of a variable; one may double another
MAX_LINE = 60_000  # characters of a line, its variables put in


@dataclass(slots=True)
class Environment:
    """The variables that are known. `unsure`: what HAProxy is started with decides about them."""

    values: dict[str, str] = field(default_factory=dict)
    unsure: set[str] = field(default_factory=set)
    unset: set[str] = field(default_factory=set)

    def assign(self, name: str, value: str, *, sure: bool) -> None:
        """Give a variable a value; what is not sure may have another one."""
        self.values[name] = value if len(value) <= MAX_VALUE else UNKNOWN
        self.unset.discard(name)
        self.unsure.discard(name)
        if not sure:
            self.unsure.add(name)

    def remove(self, name: str) -> None:
        """Take a variable away."""
        self.values.pop(name, None)
        self.unset.add(name)

    def value(self, name: str, default: str | None, used: set[str]) -> str:
        """Return a variable's value, UNKNOWN if it has none; name those that are not sure."""
        if name in self.unsure or (name not in self.values and name not in self.unset):
            used.add(name)
        if name in self.values:
            return self.values[name]
        return UNKNOWN if default is None and name not in self.unset else default or ""


def split(text: str, environment: Environment, used: set[str]) -> list[str]:
    """Return the words; what is unquoted keeps its `$`, which is one in addresses alone.

    `used` gets the variables that may have another value.
    """
    found: list[str] = []
    word: str | None = None
    position, length = 0, 0
    while position < len(text) and length < MAX_LINE:
        match = _PIECE.match(text, position)
        if match is None or match.lastgroup == "comment":
            break
        position = match.end()
        if match.lastgroup == "blank":
            if word is not None:
                found.append(word)
            word = None
            continue
        piece = match[0]
        if match.lastgroup == "double":
            piece, position = _quoted(text, position, environment, used)
        elif match.lastgroup == "single":
            piece = piece.strip("'")
        elif match.lastgroup in ("hex", "escaped"):
            piece = _unescaped(match["hex"], match["escaped"])
        word = (word or "") + piece
        length += len(piece)
    return [*found, word] if word is not None else found


def _quoted(text: str, position: int, environment: Environment, used: set[str]) -> tuple[str, int]:
    """Return what stands between double quotes, and where it ends."""
    found = ""
    while len(found) < MAX_LINE and (match := _QUOTED.match(text, position)):
        position = match.end()
        kind = match.lastgroup
        if kind == "end":
            break
        if kind == "plain":
            if match[0] == "$" and text.startswith("{", position):  # which HAProxy refuses
                return found + UNKNOWN, len(text)
            found += match[0]
        elif kind in ("hex", "escaped"):
            found += _unescaped(match["hex"], match["escaped"])
        else:
            found += environment.value(match["braced"] or match["name"], match["default"], used)
    return found, position


def _unescaped(code: str | None, letter: str | None) -> str:
    if code is not None:
        return chr(int(code[1:], 16))
    return _LETTERS.get(letter or "", letter or "")


def in_address(text: str, environment: Environment, used: set[str]) -> str:
    """Return an address with its variables, which have no defaults there (env_expand)."""
    return _IN_ADDRESS.sub(lambda m: environment.value(m[1] or m[2], None, used), text)


def port_range(text: str) -> tuple[int, int] | None:
    """Return the first and last port of `80`, `8000-8010`; None for what is none."""
    first, dash, last = text.partition("-")
    if not is_number(first) or not is_number(last if dash else first) or len(text) > 13:
        return None
    low, high = int(first), int(last if dash else first)
    return (low, high) if 0 < low <= high < 65536 else None
