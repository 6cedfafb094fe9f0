"""Server blocks that differ by names alone: one is parsed, the others are found by a pattern.

Thousands of sites are rolled out from one template. The pattern of a block is its text, in which
the words of statements that name a site may be any plain words, as many as there are. So what it
finds is parsed as the block was: a word and its length are all that may differ.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from sslint.servers.nginx.directive import Directive, Part, Place
from sslint.servers.nginx.templates import has_marks
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
_MAX_BLOCKS = 4  # of a file that is known as a whole: no word of it is longer than 4096 bytes
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
    `routes` are its statements that send clients elsewhere, and those that send requests, each with
    whether an `if` guards it; `asked` those that a rule asks for, each with what it says.
    """

    pattern: re.Pattern[str]
    size: int
    block: list[Part]
    named: dict[str, list[Part]] = field(default_factory=dict)
    routes: tuple[list[tuple[Part, bool]], list[tuple[Part, bool]]] | None = None
    asked: list[tuple[Part, Sequence[Told] | None]] | None = None


class Alike(Directive):
    """A server block that has a known shape. Its statements are made when they are asked for."""

    __slots__ = ("_before", "_made", "match", "shape")

    def __init__(
        self, shape: Shape, file: SourceFile, match: re.Match[str], span: Place, before: int = 0
    ) -> None:
        """Make the block of a match that has so many groups `before` its own."""
        self.name = "server"
        self.args = ()
        self.file = file
        self.start, self.end = span
        self.shape = shape
        self.match = match
        self._before = before
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
        text = self.match[self._before + part.group]
        if text != part.said:
            part.said, part.args = text, tuple(text.split())
        return part.args

    def text(self, part: Directive | Part) -> str | None:
        """Return the words of one part as they are written, None where all blocks have the same."""
        group = 0 if isinstance(part, Directive) else part.group
        return self.match[self._before + group] if group else None

    def place(self, part: Directive | Part) -> Location:
        """Return where one part of the shape stands in this block."""
        if isinstance(part, Directive):
            return part.location
        start, end = self._offsets(part)
        return self.file.span(start, end)

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
        end, before = self.match.end, self._before
        return (
            distance + (end(before + after) if after else self.start),
            more + (end(before + behind) if behind else self.start),
        )

    def named(self, name: str) -> list[Directive]:
        """Return the statements of one name."""
        parts = self.shape.named.get(name)
        return [self.statement(part) for part in parts] if parts else []


@dataclass(slots=True, eq=False)
class Whole:
    """A file of blocks that have known shapes.

    Of each: where it starts, the length of its first line, and the groups before its own.
    """

    pattern: re.Pattern[str]
    size: int
    weight: int
    blocks: list[tuple[Shape, Place, int, int]]

    def made(self, file: SourceFile, match: re.Match[str]) -> list[Directive]:
        """Return the blocks of a file."""
        found: list[Directive] = []
        for shape, (after, distance), head, before in self.blocks:
            start = distance + (match.end(after) if after else 0)
            found.append(Alike(shape, file, match, (start, start + head), before))
        return found


class Shapes:
    """The shapes of the server blocks of one configuration."""

    def __init__(self) -> None:
        self._shapes: list[Shape] = []
        self._seen: dict[tuple[str, ...], int] = {}
        self._wholes: list[Whole] = []
        self._seen_whole: dict[tuple[Shape, ...], int] = {}

    def find(
        self, file: SourceFile, text: str, start: int, opened: int
    ) -> tuple[Alike, int] | None:
        """Return the block that starts at an offset, and where it ends, if it has a known shape.

        `opened` is the offset after its brace.
        """
        for shape in self._shapes:
            match = shape.pattern.match(text, start)
            if match is not None and match.end() - start < shape.size + _MAX_NAMES:
                return Alike(shape, file, match, (start, opened)), match.end()
        return None

    def whole(self, file: SourceFile) -> tuple[list[Directive], int] | None:
        """Return the statements of a file, and their weight, if another like it was learned."""
        text = file.text
        for known in self._wholes if text.isascii() else ():
            match = known.pattern.fullmatch(text)
            if match is not None and len(text) < known.size + _MAX_NAMES:
                if has_marks("".join(match.groups())):
                    return None  # a template fills in its words, as it does in no file learned
                return known.made(file, match), known.weight
        return None

    def learn_whole(self, file: SourceFile, statements: Sequence[Directive], weight: int) -> None:
        """See the statements of a file that nginx reads to its end without complaint."""
        blocks = [one for one in statements if isinstance(one, Alike) and one.file is file]
        if not 0 < len(blocks) == len(statements) <= _MAX_BLOCKS:
            return
        shapes = tuple([block.shape for block in blocks])
        seen = self._seen_whole[shapes] = self._seen_whole.get(shapes, 0) + 1
        if seen in _OFTEN and not has_marks(file.text):
            self._wholes = [_whole(file, blocks, weight), *self._wholes[: _MAX_SHAPES - 1]]

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


def _whole(file: SourceFile, blocks: Sequence[Alike], weight: int) -> Whole:
    """Return what a file has in common with others of the same shapes."""
    pieces: list[str] = []
    found = []
    done = groups = since = 0  # since where the last group ended
    for block in blocks:
        start = groups, block.start - since
        found.append((block.shape, start, block.end - block.start, groups))
        pieces += [re.escape(file.text[done : block.start]), block.shape.pattern.pattern]
        own = block.shape.pattern.groups
        done = block.match.end()
        if own:
            groups, since = groups + own, block.match.end(own)
    pieces.append(re.escape(file.text[done:]))
    return Whole(re.compile("".join(pieces)), len(file.text), weight, found)


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
