"""Expansion of `$name` and its conditional forms (postconf(5), Postfix's mac_expand.c)."""

from __future__ import annotations

import re
from collections.abc import Callable

from sslint.budgets import spend
from sslint.regex import is_number, regex

MAX_DEPTH = 100  # mac_expand.c gives up there
MAX_STEPS = 20_000  # references in one value: `a = $b$b`, `b = $c$c` ... is exponential
MAX_LENGTH = 1 << 20  # characters of one expanded value

_SPACE = " \t\r\n"
_PAIRED = regex(r"[(){}]")
_NAME = regex(r"[A-Za-z0-9_]*")
_OPERATORS = ("==", "!=", "<=", ">=", "<", ">")
_LEVEL = regex(r"\d{1,4}(\.\d{1,4}){0,2}\Z", re.ASCII)

Lookup = Callable[[str], "str | None"]


class ConfigurationError(Exception):
    """Postfix's program would stop with this message."""


class Unknown(Exception):  # noqa: N818 - not an error: a value the files do not decide
    """The files do not decide this value; the message says why."""


def expand(text: str, lookup: Lookup) -> str:
    """Expand all references, recursively; an undefined name is empty.

    One in capitals is a variable that a template fills in.

    `lookup` returns the raw value of a parameter, or None. Raise ConfigurationError where Postfix
    stops, and Unknown where a value would grow without bound.
    """
    if "$" not in text:
        return text
    expansion = _Expansion(lookup)
    expansion.parse(text, 0)
    return "".join(expansion.result)


class _Expansion:
    def __init__(self, lookup: Lookup) -> None:
        self.lookup = lookup
        self.result: list[str] = []
        self.length = 0
        self.steps = 0

    def parse(self, text: str, depth: int) -> None:
        """Expand literal text and references (mac_parse.c)."""
        self.length += len(text) >> 2  # what is read costs as well
        position = 0
        while position < len(text):
            dollar = text.find("$", position)
            if dollar < 0:
                self._append(text[position:])
                return
            self._append(text[position:dollar])
            position = dollar + 1
            opening = text[position : position + 1]
            if opening == "$":
                self._append("$")
                position += 1
                continue
            if opening in ("{", "(") and opening:
                end = _closing(text, position)
                body = text[position + 1 : end]
                position = end + 1
            else:
                match = _NAME.match(text, position)
                assert match is not None
                body = match.group()
                position = match.end()
            if not body:
                raise ConfigurationError(f'empty macro name: "{text[:80]}"')
            self._reference(body, depth)

    def _append(self, text: str) -> None:
        self.length += len(text)
        if self.length > MAX_LENGTH:
            raise Unknown("its expansion is too long")
        self.result.append(text)

    def _reference(self, body: str, depth: int) -> None:
        self.steps += 1
        spend("expansions")
        if self.steps > MAX_STEPS:
            raise Unknown("its expansion is too deep")
        if depth >= MAX_DEPTH:
            raise ConfigurationError(f'unreasonable macro call nesting: "{body[:80]}"')
        bare = body.lstrip(_SPACE)
        value: str | None
        if bare.startswith("{"):
            value, rest = self._relation(bare, depth)
            if rest and rest[0] not in "?:":
                raise ConfigurationError(f'"?" or ":" expected at "{rest[:20]}"')
        else:
            name, rest = _name(bare)
            value = self.lookup(name)
            if value is None and name.isupper() and name.isidentifier():
                raise Unknown("a template fills it in")  # no parameter is called so
        if not rest:
            if value:
                self.parse(value, depth + 1)
            return
        true, false = _branches(rest)
        chosen = true if value else false
        if chosen:
            self.parse(chosen, depth + 1)

    def _relation(self, text: str, depth: int) -> tuple[str, str]:
        left, rest = _payload(text)
        operator = next((o for o in _OPERATORS if rest.startswith(o)), None)
        run = len(rest) - len(rest.lstrip("<>!=?+-*/~&|%"))
        if operator is None or run != len(operator):
            raise ConfigurationError(f'operator expected at "{rest[:20]}"')
        rest = rest[run:]
        match = re.match(r"[A-Za-z0-9]*", rest)
        suffix = match.group() if match else ""
        if suffix not in ("", "level"):
            raise ConfigurationError(f'bad operator suffix "{suffix[:20]}"')
        rest = rest[len(suffix) :].lstrip(_SPACE)
        if not rest.startswith("{"):
            raise ConfigurationError(f'"{{expression}}" expected at "{rest[:20]}"')
        right, rest = _payload(rest)
        holds = _compare(
            self._operand(left, depth), operator, self._operand(right, depth), suffix == "level"
        )
        return ("true" if holds else ""), rest

    def _operand(self, text: str, depth: int) -> str:
        saved, self.result = self.result, []
        self.parse(text, depth + 1)
        value, self.result = "".join(self.result), saved
        return value


def _closing(text: str, opening: int) -> int:
    """Return where the parenthesis or brace at `opening` closes; only its own kind counts."""
    left = text[opening]
    right = ")" if left == "(" else "}"
    level = 0
    for match in _PAIRED.finditer(text, opening):
        level += (match.group() == left) - (match.group() == right)
        if level == 0:
            return match.start()
    raise ConfigurationError(f'truncated macro reference: "{text[:80]}"')


def _payload(text: str) -> tuple[str, str]:
    """Return what stands in the braces that `text` starts with, and the rest without blanks."""
    level = 0
    for match in re.finditer(r"[{}]", text):
        level += 1 if match.group() == "{" else -1
        if level == 0:
            return text[1 : match.start()], text[match.end() :].lstrip(_SPACE)
    raise ConfigurationError(f'unbalanced {{}} in attribute expression: "{text[:80]}"')


def _name(body: str) -> tuple[str, str]:
    match = _NAME.match(body)
    assert match is not None
    rest = body[match.end() :].lstrip(_SPACE)
    if rest and rest[0] not in "?:":
        if rest[0] == "{":  # ${name{text}}, Postfix 3.12
            raise Unknown("it calls a function")
        raise ConfigurationError(f'attribute name syntax error at "{rest[:20]}"')
    return match.group(), rest


def _branches(rest: str) -> tuple[str, str]:
    """Return what `?` and `:` yield. Without braces, all that follows is one value."""
    true = ""
    if rest[0] == "?":
        after = rest[1:].lstrip(_SPACE)
        if not after.startswith("{"):
            return rest[1:], ""
        true, rest = _payload(after)
        if not rest:
            return true, ""
        if rest[0] != ":":
            raise ConfigurationError(f'":" expected at "{rest[:20]}"')
    after = rest[1:].lstrip(_SPACE)
    if not after.startswith("{"):
        return true, rest[1:]
    false, rest = _payload(after)
    if rest:
        raise ConfigurationError(f'unexpected input at "{rest[:20]}"')
    return true, false


def _compare(left: str, operator: str, right: str, level: bool) -> bool:
    a: object
    b: object
    if level:
        a, b = compatibility_level(left), compatibility_level(right)
    elif _digits(left) and _digits(right):
        a, b = int(left), int(right)
    else:
        a, b = left.encode("utf-8", "surrogateescape"), right.encode("utf-8", "surrogateescape")
    if operator == "==":
        return a == b
    if operator == "!=":
        return a != b
    less = a < b  # type: ignore[operator]
    return {"<": less, "<=": less or a == b, ">": not less and a != b, ">=": not less}[operator]


def _digits(text: str) -> bool:
    return is_number(text) and len(text) < 19


def compatibility_level(text: str) -> tuple[int, ...]:
    """Return a compatibility level as three numbers. Raise ConfigurationError if it is none."""
    if not _LEVEL.match(text):
        raise ConfigurationError(f'malformed compatibility level syntax: "{text[:40]}"')
    numbers = [int(part) for part in text.split(".")]
    return tuple(numbers + [0] * (3 - len(numbers)))
