"""Server blocks that differ by names alone: one is parsed, the others are found by a pattern.

Thousands of sites are rolled out from one template. The pattern of a block is its text, in which
the words of statements that name a site may be any plain words, as many as there are. So what it
finds is parsed as the block was: a word and its length are all that may differ.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from sslint.servers.nginx.directive import Directive, Part
from sslint.source import Location, SourceFile
from sslint.values import dataclass, field

# Statements whose words change nothing about how they, or others, are read.
NAMING = frozenset(
    (
        "server_name",
        "ssl_certificate",
        "ssl_certificate_key",
        "root",
        "alias",
        "access_log",
        "error_log",
        "return",
        "proxy_pass",
        "fastcgi_pass",
    )
)
MAX_NESTED = 8  # blocks around a server block, and in it
_MAX_SHAPES = 8
_MAX_TEXT = 16_384  # characters of a block
_MAX_NAMES = 256  # characters of all words that may differ; twice as many elsewhere
_OFTEN = (16, 256, 4096)  # blocks with the same statements, after which it is worth a pattern
_SPACE = r"[ \t\r\n]++"
_PLAIN = r"[^\s;{}#\"'\\]++"

Told = tuple[str, str | None, tuple[str, ...]]
"""What a statement sets, by the name that rules have for it: name, value, words."""


@dataclass(slots=True, eq=False)
class Shape:
    """What blocks have in common.

    `size` are the characters of the block that was parsed, `block` the statements that are right in
    it, `named` the same by name.
    `routes` are its statements that send clients elsewhere, each with whether an `if` guards it;
    `asked` those that a rule asks for, each with what it says where that is the same in all blocks.
    """

    pattern: re.Pattern[str]
    size: int
    block: list[Part]
    named: dict[str, list[Part]] = field(default_factory=dict)
    routes: list[tuple[Part, bool]] | None = None
    asked: list[tuple[Part, Sequence[Told] | None]] | None = None


class Alike(Directive):
    """A server block that has a known shape. Its statements are made when they are asked for."""

    __slots__ = ("_groups", "_made", "shape")

    def __init__(self, shape: Shape, file: SourceFile, match: re.Match[str], end: int) -> None:
        self.name = "server"
        self.args = ()
        self.file = file
        self.start = match.start()
        self.end = end
        self.shape = shape
        self._groups = match
        self._made: dict[int, Directive] | None = None

    def __getattr__(self, name: str) -> list[Directive]:
        """Make all statements when the block is first asked for as a whole."""
        if name != "block":
            raise AttributeError(name)
        self.block = [self.statement(part) for part in self.shape.block]
        return self.block

    def words(self, part: Directive | Part) -> tuple[str, ...]:
        """Return the words of one part of the shape in this block."""
        if isinstance(part, Directive) or not part.group:
            return part.args
        text = self._groups[part.group]
        if text != part.said:
            part.said, part.args = text, tuple(text.split())
        return part.args

    def place(self, part: Directive | Part) -> Location:
        """Return where one part of the shape stands in this block."""
        if isinstance(part, Directive):
            return part.location
        return self.file.span(*self._offsets(part))

    def statement(self, part: Part) -> Directive:
        """Return what one part of the shape is in this block."""
        if self._made is None:
            self._made = {}
        found = self._made.get(part.number)
        if found is None:
            inner = part.block
            found = self._made[part.number] = Directive(
                part.name,
                self.words(part),
                self.file,
                *self._offsets(part),
                None if inner is None else [self.statement(one) for one in inner],
            )
        return found

    def _offsets(self, part: Part) -> tuple[int, int]:
        (after, distance), (behind, more) = part.start, part.end
        end = self._groups.end
        return (
            distance + (end(after) if after else self.start),
            more + (end(behind) if behind else self.start),
        )

    def named(self, name: str) -> list[Directive]:
        """Return the statements of one name."""
        parts = self.shape.named.get(name)
        return [self.statement(part) for part in parts] if parts else []


class Shapes:
    """The shapes of the server blocks of one configuration."""

    def __init__(self) -> None:
        self._shapes: list[Shape] = []
        self._seen: dict[tuple[str, ...], int] = {}

    def find(
        self, file: SourceFile, text: str, start: int, opened: int
    ) -> tuple[Alike, int] | None:
        """Return the block that starts at an offset, and where it ends, if it has a known shape.

        `opened` is the offset after its brace.
        """
        for shape in self._shapes:
            match = shape.pattern.match(text, start)
            if match is not None and match.end() - start < shape.size + _MAX_NAMES:
                return Alike(shape, file, match, opened), match.end()
        return None

    def learn(self, text: str, block: Directive, end: int) -> None:
        """See a block that was parsed, and ends at an offset."""
        names = tuple([directive.name for directive in block.block or ()])
        seen = self._seen[names] = self._seen.get(names, 0) + 1
        if seen in _OFTEN and end - block.start <= _MAX_TEXT:
            shape = _shape(text, block, end)
            if shape is not None:
                self._shapes = [shape, *self._shapes[: _MAX_SHAPES - 1]]


def _shape(text: str, block: Directive, end: int) -> Shape | None:
    """Return the shape of a block, None if what it says depends on more than its own text."""
    if "include" in text[block.start : end]:
        return None
    made = _Maker(text, block.start)
    parts = made.parts(block.block or [], 1)
    pattern = re.compile("".join(made.pieces) + re.escape(text[made.done : end]))
    match = pattern.match(text, block.start)
    names = match.groups() if match is not None else ()
    if made.nested > MAX_NESTED or match is None or sum(map(len, names)) > _MAX_NAMES:
        return None
    shape = Shape(pattern, end - block.start, parts)
    for part in parts:
        shape.named.setdefault(part.name, []).append(part)
    return shape


class _Maker:
    """Makes the pattern of a block, and the parts of its shape, along its text."""

    def __init__(self, text: str, start: int) -> None:
        self.text = text
        self.done = start
        self.pieces: list[str] = []
        self.nested = 0
        self.count = 0
        self.group, self.since = 0, start  # the last group, and where it ended

    def parts(self, statements: Sequence[Directive], depth: int) -> list[Part]:
        """Return the parts for statements in their order."""
        self.nested = max(self.nested, depth)
        return [self._part(directive, depth) for directive in statements]

    def _part(self, directive: Directive, depth: int) -> Part:
        start = self.group, directive.start - self.since
        number, group = self.count, 0
        self.count += 1
        naming = directive.name in NAMING and (depth == 1 or directive.name != "server_name")
        if naming and directive.block is None:
            group = self._words(directive)
        end = self.group, directive.end - self.since
        part = Part(number, directive.name, directive.args, group, start, end)
        if directive.block is not None:
            part.block = self.parts(directive.block, depth + 1)
        return part

    def _words(self, directive: Directive) -> int:
        """Let the words of a statement differ, and return their group; 0 if they are not plain."""
        count = len(directive.args) - 1
        more = "*+" if directive.name == "server_name" else f"{{{count}}}"
        words = f"{_PLAIN}(?:{_SPACE}{_PLAIN}){more}"
        found = re.compile(rf"({re.escape(directive.name)}{_SPACE})({words})[ \t\r\n]*+;").match(
            self.text, directive.start
        )
        if found is None or found.end() != directive.end:
            return 0
        if tuple(found[2].split()) != directive.args:
            return 0
        self.pieces += [re.escape(self.text[self.done : found.end(1)]), f"({words})"]
        self.group += 1
        self.done = self.since = found.end(2)
        return self.group
