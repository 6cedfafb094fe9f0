"""Arithmetic of the shell: integers, comparisons, and assignments (sh(1), Arithmetic Expansion)."""

from __future__ import annotations

import re
from collections.abc import Callable

from sslint.regex import is_number, regex

_TOKEN = regex(r"\s*(\d+|[A-Za-z_]\w*|\+\+|--|<<|>>|[-+*/%<>=!]=|&&|\|\||[-+*/%<>=!?:(),])")
_LEVELS: tuple[tuple[str, ...], ...] = (
    ("||",),
    ("&&",),
    ("==", "!="),
    ("<", "<=", ">", ">="),
    ("+", "-"),
    ("*", "/", "%"),
)
MAX_LENGTH = 1_000
MAX_DEPTH = 20  # of parentheses
MAX_TERMS = 200
_BITS = 1 << 63


class _NotReadError(Exception):
    """An expression that is not read, or a value that is not known."""


def evaluate(
    text: str, value: Callable[[str], object], assign: Callable[[str, str], None]
) -> int | None:
    """Return the value of an expression, None if it is not known.

    What it may assign without being read is set to an unknown value.
    """
    from sslint.firewalls.scripts.partial import HOLE

    try:
        if len(text) > MAX_LENGTH or text.count("(") > MAX_DEPTH:
            raise _NotReadError
        return _Expression(text, value, assign).run()
    except _NotReadError:
        if re.search(r"\+\+|--|(?<![<>=!])=(?!=)", text[:MAX_LENGTH]):
            for name in re.findall(r"[A-Za-z_]\w*", text[:MAX_LENGTH]):
                assign(name, HOLE)
        return None


class _Expression:
    def __init__(
        self, text: str, value: Callable[[str], object], assign: Callable[[str, str], None]
    ) -> None:
        self.tokens: list[str] = []
        position = 0
        text = text.strip()
        while position < len(text):
            found = _TOKEN.match(text, position)
            if found is None:
                raise _NotReadError
            self.tokens.append(found.group(1))
            position = found.end()
        self.value, self.assign = value, assign
        self.position = self.terms = 0

    def run(self) -> int:
        if not self.tokens:
            return 0
        found = self.assignment()
        if self.position < len(self.tokens):
            raise _NotReadError
        return found

    def peek(self) -> str:
        return self.tokens[self.position] if self.position < len(self.tokens) else ""

    def assignment(self) -> int:
        name = self.peek()
        following = self.tokens[self.position + 1 : self.position + 2]
        if re.match(r"[A-Za-z_]", name) and following and following[0] in (
            "=", "+=", "-=", "*=", "++", "--"
        ):  # fmt: skip
            self.position += 2
            operator = following[0]
            if operator in ("++", "--"):
                old = self.variable(name)
                self.assign(name, str(old + (1 if operator == "++" else -1)))
                return old
            found = self.level(0)
            if operator != "=":
                found = _apply(operator[0], self.variable(name), found)
            self.assign(name, str(found))
            return found
        return self.level(0)

    def level(self, number: int) -> int:
        if number == len(_LEVELS):
            return self.unary()
        found = self.level(number + 1)
        while self.peek() in _LEVELS[number]:
            operator = self.peek()
            self.position += 1
            found = _apply(operator, found, self.level(number + 1))
        return found

    def unary(self) -> int:
        word = self.peek()
        self.position += 1
        self.terms += 1
        if self.terms > MAX_TERMS:
            raise _NotReadError
        if word in ("-", "+", "!"):
            found = self.unary()
            return -found if word == "-" else int(not found) if word == "!" else found
        if word in ("++", "--") and re.match(r"[A-Za-z_]", self.peek()):
            name = self.peek()
            self.position += 1
            changed = self.variable(name) + (1 if word == "++" else -1)
            self.assign(name, str(changed))
            return changed
        if word == "(":
            found = self.level(0)
            if self.peek() != ")":
                raise _NotReadError
            self.position += 1
            return found
        if is_number(word):
            if len(word) > 18 or (len(word) > 1 and word[0] == "0"):
                raise _NotReadError
            return int(word)
        if re.match(r"[A-Za-z_]", word):
            return self.variable(word)
        raise _NotReadError

    def variable(self, name: str) -> int:
        held = self.value(name)
        if held is None or held == "":
            return 0
        if not isinstance(held, str) or not re.fullmatch(r"-?(0|[1-9]\d{0,17})", held):
            raise _NotReadError
        return int(held)


def _apply(operator: str, left: int, right: int) -> int:
    if operator in "/%":
        if right == 0:
            raise _NotReadError
        quotient = abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)
        return quotient if operator == "/" else left - right * quotient
    found = {
        "+": left + right,
        "-": left - right,
        "*": left * right,
        "<": left < right,
        "<=": left <= right,
        ">": left > right,
        ">=": left >= right,
        "==": left == right,
        "!=": left != right,
        "&&": bool(left and right),
        "||": bool(left or right),
    }[operator]
    if not -_BITS <= found < _BITS:
        raise _NotReadError
    return int(found)
