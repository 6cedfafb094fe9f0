"""The text of lighttpd.conf as blocks of values, as configparser.y and config_tokenizer take it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from sslint.regex import is_number, regex
from sslint.source import Location, SourceFile
from sslint.values import dataclass, field

MAX_DEPTH = 20  # of blocks and of included files
MAX_VALUE = 1_000  # characters of what is joined; variables may double each other
MAX_NUMBER = 1 << 31
_TOKEN = regex(
    r"""[ \t\r\xa0]+|\#[^\n]*|(?P<string>"(?:[^"\\]|\\"?)*")|(?P<word>[A-Za-z0-9._-]+)"""
    r"""|(?P<other>[:+]=|[=!][=~^$>]|[^ ])""",
    re.VERBOSE | re.DOTALL,
)
_BUILT_IN = ("var.CWD", "var.PID")
_ASSIGN = ("=", ":=", "+=")

Value = str | int | None  # None: a list, or not known


@dataclass(frozen=True, slots=True)
class Token:
    """A word, a string (with its quotes) or a sign, and the line that it is on."""

    kind: str
    text: str
    line: int


@dataclass(slots=True, eq=False)
class Block:
    """The global block, or that of a condition. `socket`: what the server's socket has to be."""

    where: Location
    parent: Block | None = None
    is_socket: bool = False
    socket: Value = None
    values: dict[str, Value] = field(default_factory=dict)
    places: dict[str, Location] = field(default_factory=dict)
    inner: dict[tuple[object, ...], Block] = field(default_factory=dict)

    def find(self, key: str) -> Value:
        """Return a value of this block or of one around it; None if it is not known."""
        block: Block | None = self
        while block is not None:
            if key in block.values:
                return block.values[key]
            block = block.parent
        return None


class RefusedError(Exception):
    """lighttpd ends at this place of its configuration."""

    def __init__(self, where: Location, text: str) -> None:
        super().__init__(text)
        self.where = where
        self.text = text


class Including:
    """Who reads what is included; `missing`: it could not be read, and may set anything."""

    missing = False

    def include(self, value: Value, block: Block, where: Location) -> None:
        """Read files into a block."""

    def include_shell(self, value: Value, block: Block, where: Location) -> None:
        """Read what a command prints into a block."""


def parse(file: SourceFile, block: Block, including: Including) -> None:
    """Read a file into a block. Raise RefusedError where lighttpd ends."""
    _Parser(file, including).statements(block, 0)


def added(first: Value, second: Value) -> Value:
    """Return what `+` makes of two values: numbers are added, else texts are joined."""
    if first is None or second is None:
        return None
    if isinstance(first, int) and isinstance(second, int):
        return first + second if first + second < MAX_NUMBER else None
    joined = f"{first}{second}"
    return joined if len(joined) <= MAX_VALUE else None


def _tokens(text: str) -> Iterator[Token]:
    line = 1
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup
        if kind is not None:
            yield Token(kind, match[0], line)
        line += match[0].count("\n")
    yield Token("end", "", line)


class _Parser:
    def __init__(self, file: SourceFile, including: Including) -> None:
        self._file = file
        self._including = including
        self._tokens = list(_tokens(file.text))
        self._next = 0
        self._in_global = False

    # -- tokens ----------------------------------------------------------------------------------

    def _peek(self) -> Token:
        return self._tokens[self._next]

    def _take(self, *texts: str) -> Token:
        """Return the next token. Raise RefusedError if it is none of the texts."""
        token = self._tokens[self._next]
        if token.kind == "end" or (texts and token.text not in texts):
            raise self._unexpected(token)
        self._next += 1
        return token

    def _unexpected(self, token: Token) -> RefusedError:
        end = "the end of the file" if token.kind == "end" else "the end of the line"
        said = f"syntax error at {token.text.strip()[:20] or end}"
        return RefusedError(self._file.at(token.line), said)

    def _skip_lines(self) -> None:
        while self._peek().text == "\n":
            self._next += 1

    # -- statements ------------------------------------------------------------------------------

    def statements(self, block: Block, depth: int) -> None:
        """Read statements up to the end of the file, or the brace that ends the block."""
        if depth > MAX_DEPTH:
            raise RefusedError(block.where, "too many blocks in each other")
        while True:
            self._skip_lines()
            token = self._peek()
            if token.kind == "end" or (token.text == "}" and depth):
                return
            if token.text == "$":
                self._condition(block, depth)
                continue
            self._take()
            where = self._file.at(token.line)
            if token.text == "global":
                self._global(block, depth)
            elif token.text == "include":
                self._including.include(self._expression(block), block, where)
            elif token.text == "include_shell":
                self._including.include_shell(self._expression(block), block, where)
            elif token.text in ("else", "elif", "elsif", "elseif"):
                self._otherwise(block, depth, where)
            elif token.text == "if":
                continue
            elif token.kind == "word":
                self._assign(token, block, where)
            else:
                raise self._unexpected(token)

    def _braces(self, block: Block, depth: int) -> None:
        self._skip_lines()
        self._take("{")
        self.statements(block, depth + 1)
        self._take("}")

    def _global(self, block: Block, depth: int) -> None:
        """Read `global { ... }`, which holds no conditions."""
        while block.parent is not None:
            block = block.parent
        outer, self._in_global = self._in_global, True
        self._braces(block, depth)
        self._in_global = outer

    def _otherwise(self, block: Block, depth: int, where: Location) -> None:
        """Read what follows `else`: another condition, or a block."""
        self._skip_lines()
        if self._peek().text == "if":
            self._take()
        if self._peek().text == "$":
            self._condition(block, depth)
        else:
            self._braces(Block(where, block), depth)

    def _condition(self, block: Block, depth: int) -> None:
        """Read `$VARIABLE["part"] == value { ... }`; the same again is the same block."""
        where = self._file.at(self._take("$").line)
        if self._in_global:
            raise RefusedError(where, "a condition stands inside of a global block")
        variable = self._take().text
        self._take("[")
        part = self._expression(block)
        self._take("]")
        sign = self._take("==", "!=", "=~", "!~", "=^", "=$").text
        value = self._expression(block)
        is_socket = (variable, part, sign) == ("SERVER", "socket", "==")
        key = (variable, part, sign, value)
        if key not in block.inner or value is None:
            block.inner[key] = Block(where, block, is_socket, value)
        self._braces(block.inner[key], depth)

    def _assign(self, name: Token, block: Block, where: Location) -> None:
        key = _key(name.text)
        sign = self._take(*_ASSIGN).text
        value = self._expression(block)
        if sign == "=" and key in block.values:
            first = block.places[key]
            raise RefusedError(where, f"{key} is set already ({first.path}:{first.line})")
        if sign == "+=" and key in block.values:
            value = added(block.values[key], value)
        elif sign == "+=":
            outer = block.find(key)
            value = added(outer, value) if outer is not None else value
        block.values[key] = value
        block.places[key] = where

    # -- values ----------------------------------------------------------------------------------

    def _expression(self, block: Block) -> Value:
        value = self._value(block)
        while self._peek().text == "+":
            self._take()
            value = added(value, self._value(block))
        return value

    def _value(self, block: Block) -> Value:
        token = self._take()
        if token.text == "(":
            self._list()
            return None
        if token.kind == "string":
            return token.text[1:-1].replace('\\"', '"')
        if token.kind != "word":
            raise self._unexpected(token)
        if is_number(token.text):
            return int(token.text) if len(token.text) < 10 else None
        return self._variable(_key(token.text), block, token)

    def _variable(self, key: str, block: Block, token: Token) -> Value:
        """Return a variable's value. Raise RefusedError if it certainly has none."""
        if key.startswith("env.") or key in _BUILT_IN:
            return None
        around: Block | None = block
        while around is not None and key not in around.values:
            around = around.parent
        if around is None and not self._including.missing:
            raise RefusedError(self._file.at(token.line), f"{token.text} is not set before")
        return around.values[key] if around is not None else None

    def _list(self) -> None:
        level = 1
        while level:
            level += {"(": 1, ")": -1}.get(self._take().text, 0)


def _key(name: str) -> str:
    return name if "." in name else f"var.{name}"


def all_of(block: Block) -> Iterable[Block]:
    """Yield the blocks of conditions in their order, those inside of others too."""
    for inner in block.inner.values():
        yield inner
        yield from all_of(inner)
