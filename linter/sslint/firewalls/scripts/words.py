"""Read the words of a shell script, with their quotes and expansions, and here-documents."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from sslint.firewalls.scripts.syntax import (
    Arithmetic,
    Literal,
    NotFollowedError,
    Parameter,
    Part,
    Redirection,
    Substitution,
    Word,
)
from sslint.regex import regex
from sslint.source import SourceFile

if TYPE_CHECKING:
    from sslint.firewalls.scripts.syntax import Command

MAX_DEPTH = 40  # of commands, substitutions and quotes in each other
_PLAIN = regex(r"[^ \t\n;&|<>()\\'\"$`]+")
_DOUBLE = regex(r"[^\\\"$`]+")
_NAME = regex(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]+|[@*#?$!-]")
_BARE = regex(r"[A-Za-z_][A-Za-z0-9_]*|[0-9@*#?$!-]")
_EXPANSION = regex(r":[-=+?]|[-=+?]|##?|%%?")
_BASH_EXPANSION = regex(r"//?[#%]?|\^\^?|,,?|:|@")
# What a backslash between backquotes takes its meaning from.
_MARKS, _QUOTED_MARKS = regex(r"\\([$`\\])"), regex(r"\\([$`\\\"])")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"', "a": "\a", "e": "\x1b"}


class Characters:
    """The text and a position in it; reads words, and leaves commands to the parser."""

    def __init__(self, file: SourceFile, *, bash: bool, text: str | None = None) -> None:
        self.file = file
        self.text = file.text if text is None else text
        self.bash = bash
        self.position = 0
        self.depth = 0
        self.first_line = 1
        self._starts = file.starts if text is None else SourceFile("", "", self.text).starts

    def commands(self, ends: frozenset[str]) -> tuple[Command, ...]:
        """Return the commands up to the end; the parser does."""
        raise NotImplementedError

    # -- places -------------------------------------------------------------------------------

    def line(self) -> int:
        """Return the line of the position."""
        return bisect_right(self._starts, self.position) + self.first_line - 1

    def fail(self, reason: str) -> NoReturn:
        """Raise NotFollowedError at the position."""
        raise NotFollowedError(reason, self.file.at(self.line()))

    def bash_only(self, what: str) -> None:
        """Refuse what sh may take or not, whichever shell that is."""
        if not self.bash:
            self.fail(f"{what} is not in the language of sh")

    @contextmanager
    def nested(self) -> Iterator[None]:
        """Count the levels of nesting."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.fail("too many levels of nesting")
        yield
        self.depth -= 1

    def inner(self, text: str, line: int) -> Characters:
        """Return what reads a part of the text by itself; it starts on a line."""
        found = type(self)(self.file, bash=self.bash, text=text)
        found.first_line, found.depth = line, self.depth
        return found

    def at_end(self) -> bool:
        """Tell whether nothing is left."""
        return self.position >= len(self.text)

    def peek(self) -> str:
        """Return the next character, "" at the end."""
        return self.text[self.position : self.position + 1]

    def take(self, char: str, of: str) -> None:
        """Read one character that must be there."""
        self.blanks()
        if self.peek() != char:
            self.fail(f"`{char}' is missing, for {of}")
        self.position += 1

    def blanks(self) -> None:
        """Skip blanks, continued lines, and a comment."""
        text = self.text
        while self.position < len(text):
            char = text[self.position]
            if char in " \t":
                self.position += 1
            elif text.startswith("\\\n", self.position):
                self.position += 2
            elif char == "#" and (self.position == 0 or text[self.position - 1] in " \t\n;&|()"):
                end = text.find("\n", self.position)
                self.position = len(text) if end < 0 else end
            else:
                return

    # -- here-documents -----------------------------------------------------------------------

    def here_document(self, fd: int, tabs: bool, line: int) -> Redirection:
        """Read the delimiter of a here-document, and its text from the next line on."""
        start = self.position
        word = self.word()
        raw = self.text[start : self.position]
        delimiter = "".join(part.text for part in word if isinstance(part, Literal))
        end_of_line = self.text.find("\n", self.position)
        quoted = any(char in raw for char in "'\"\\")
        if end_of_line < 0:
            self.fail(f"the here-document does not end with {delimiter}")
        at = self._documents_end if self._documents_end > end_of_line else end_of_line + 1
        lines: list[str] = []
        body_line = bisect_right(self._starts, at) + self.first_line - 1
        while True:
            if at >= len(self.text):
                self.fail("the here-document does not end")
            end = self.text.find("\n", at)
            end = len(self.text) if end < 0 else end
            found = self.text[at:end]
            found = found.lstrip("\t") if tabs else found
            at = end + 1
            if found == delimiter:
                break
            lines.append(found)
        self._documents_end = at
        body = "".join(f"{one}\n" for one in lines)
        if quoted:
            return Redirection("<<", (Literal(body, True),), fd, body_line)
        return Redirection("<<", self.inner(body, body_line).quoted_text(""), fd, body_line)

    _documents_end = 0

    def newline(self) -> None:
        """Go past a newline, and past the here-documents that start behind it."""
        self.position += 1
        if self._documents_end > self.position:
            self.position = min(self._documents_end, len(self.text))

    # -- words --------------------------------------------------------------------------------

    def word(self) -> Word:
        """Read one word."""
        return self._word(_PLAIN, " \t\n;&|<>()")

    def pattern(self) -> Word:
        """Read the right side of a comparison in `[[`, where parentheses and `|` may stand."""
        return self._word(re.compile(r"[^ \t\n\\'\"$`]+"), " \t\n")

    def _word(self, plain: re.Pattern[str], ends: str) -> Word:
        parts: list[Part] = []
        start = self.position
        while self.position < len(self.text):
            char = self.text[self.position]
            if char in ends:
                break
            found = plain.match(self.text, self.position)
            if found:
                self.position = found.end()
                parts.append(Literal(found.group()))
            elif char == "\\":
                self.position += 2
                escaped = self.text[self.position - 1 : self.position]
                if escaped != "\n":
                    parts.append(Literal(escaped, True))
            elif char == "'":
                parts.append(self.single())
            elif char == '"':
                self.position += 1
                parts += self.quoted_text('"') or (Literal("", True),)
            elif char in "$`":
                parts += self.dollar(quoted=False)
            else:
                break
        if self.position == start:
            self.fail("a word is missing")
        return tuple(parts)

    def single(self) -> Literal:
        """Read a single-quoted text."""
        end = self.text.find("'", self.position + 1)
        if end < 0:
            self.fail("a quote is not closed")
        text = self.text[self.position + 1 : end]
        self.position = end + 1
        return Literal(text, True)

    def quoted_text(self, end: str) -> Word:
        """Read double-quoted text up to the quote, or a here-document up to its end."""
        parts: list[Part] = []
        with self.nested():
            while True:
                char = self.peek()
                if not char:
                    if end:
                        self.fail("a quote is not closed")
                    break
                if char == end:
                    self.position += 1
                    break
                found = _DOUBLE.match(self.text, self.position)
                if found:
                    self.position = found.end()
                    parts.append(Literal(found.group(), True))
                elif char == '"':
                    self.position += 1
                    parts.append(Literal('"', True))
                elif char == "\\":
                    following = self.text[self.position + 1 : self.position + 2]
                    self.position += 2
                    if following in ("$", "`", "\\") or (following == '"' and end):
                        parts.append(Literal(following, True))
                    elif following != "\n":
                        parts.append(Literal("\\" + following, True))
                else:
                    parts += self.dollar(quoted=True)
        return tuple(parts)

    # -- expansions ---------------------------------------------------------------------------

    def dollar(self, *, quoted: bool) -> list[Part]:
        """Read what a `$` or a backquote introduces."""
        text = self.text
        if text[self.position] == "`":
            return [self.backquoted(quoted)]
        if text.startswith("$((", self.position):
            start = self.position
            self.position += 3
            return [Arithmetic(self.arithmetic_text(start), quoted)]
        if text.startswith("$(", self.position):
            self.position += 2
            body = self.commands(frozenset())
            self.take(")", "`$('")
            return [Substitution(body, quoted)]
        if text.startswith("${", self.position):
            self.position += 2
            return [self.braced(quoted)]
        if text.startswith("$'", self.position) and not quoted:
            self.bash_only("`$''")
            return [self.escaped_quotes()]
        if text.startswith('$"', self.position) and not quoted:
            self.bash_only('`$"')
            self.position += 2
            return list(self.quoted_text('"')) or [Literal("", True)]
        found = _BARE.match(text, self.position + 1)
        if found is None:
            self.position += 1
            return [Literal("$", quoted)]
        self.position = found.end()
        return [Parameter(found.group(), quoted)]

    def backquoted(self, quoted: bool) -> Substitution:
        """Read a substitution between backquotes."""
        start = self.position + 1
        end = start
        while end < len(self.text) and self.text[end] != "`":
            end += 2 if self.text[end] == "\\" else 1
        if end >= len(self.text):
            self.fail("a backquote is not closed")
        marks = _QUOTED_MARKS if quoted else _MARKS
        text = marks.sub(r"\1", self.text[start:end])
        inner = self.inner(text, self.line())
        body = inner.commands(frozenset())
        if not inner.at_end():
            inner.fail(f"`{inner.peek()}' is not expected")
        self.position = end + 1
        return Substitution(body, quoted)

    def arithmetic_text(self, start: int | None = None) -> Word:
        """Read an arithmetic expression up to its `))`."""
        begin = self.position
        depth = 0
        end = begin
        while end < len(self.text):
            if self.text[end] == "(":
                depth += 1
            elif self.text[end] == ")":
                if depth == 0:
                    break
                depth -= 1
            end += 1
        if not self.text.startswith("))", end):
            self.position = begin if start is None else start
            self.fail("an arithmetic expression is not closed")
        word = self.inner(self.text[begin:end], self.line()).quoted_text("")
        self.position = end + 2
        return word

    def escaped_quotes(self) -> Literal:
        """Read `$'...'`."""
        found: list[str] = []
        self.position += 2
        while self.peek() != "'":
            if self.at_end():
                self.fail("a quote is not closed")
            char = self.peek()
            self.position += 1
            if char == "\\":
                escaped = _ESCAPES.get(self.peek())
                if escaped is None:
                    self.fail("an escape in `$'' is not read")
                char = escaped
                self.position += 1
            found.append(char)
        self.position += 1
        return Literal("".join(found), True)

    def bracketed(self) -> Word | None:
        """Read an index up to its `]`."""
        end = self.text.find("]", self.position)
        inner_text = self.text[self.position : end]
        if end < 0 or not re.fullmatch(r"[\w@*$+{}-]{1,60}", inner_text):
            return None
        line = self.line()
        self.position = end + 1
        return self.inner(inner_text, line).quoted_text("")

    def braced(self, quoted: bool) -> Parameter:
        """Read `${...}` from behind the brace."""
        text = self.text
        with self.nested():
            length = text.startswith("#", self.position) and not text.startswith(
                ("#}", "##", "#%", "#:", "#-"), self.position
            )
            indirect = text.startswith("!", self.position)
            self.position += length or indirect
            if indirect:
                self.bash_only("`${!'")
            found = _NAME.match(text, self.position)
            if found is None:
                self.fail("an expansion is not read")
            self.position = found.end()
            name, index = found.group(), None
            word: Word = ()
            if self.peek() == "[":
                self.bash_only("an array")
                self.position += 1
                index = self.bracketed()
                if index is None:
                    self.fail("an index is not read")
            operator = "#length" if length else "!" if indirect else ""
            matched = _EXPANSION.match(text, self.position)
            if matched is None and self.peek() != "}":
                matched = _BASH_EXPANSION.match(text, self.position)
                self.bash_only(f"an expansion of {name} with `{self.peek()}'")
            if matched is not None:
                if operator:
                    operator += " "
                operator += matched.group()
                self.position = matched.end()
                word = self.operand(quoted)
            if self.peek() != "}":
                self.fail("`${' is not closed")
            self.position += 1
        return Parameter(name, quoted, operator, word, index)

    def operand(self, quoted: bool) -> Word:
        """Read the word of `${name-word}`: up to the brace that closes it."""
        parts: list[Part] = []
        while self.peek() != "}":
            char = self.peek()
            if not char:
                self.fail("`${' is not closed")
            if char == "\\":
                self.position += 2
                parts.append(Literal(self.text[self.position - 1 : self.position], True))
            elif char == "'" and not quoted:
                parts.append(self.single())
            elif char == '"':
                self.position += 1
                parts += self.quoted_text('"') or (Literal("", True),)
            elif char in "$`":
                parts += self.dollar(quoted=quoted)
            else:
                end = self.position
                while end < len(self.text) and self.text[end] not in "}\\'\"$`":
                    end += 1
                end = max(end, self.position + 1)
                parts.append(Literal(self.text[self.position : end], quoted))
                self.position = end
        return tuple(parts)
