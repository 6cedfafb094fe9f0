"""main.cf: logical lines and the parameters they define (postconf(5), Postfix's readlline.c)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from sslint.regex import regex
from sslint.source import Location, SourceFile
from sslint.values import dataclass, field

BLANKS = " \t\n\v\f\r"  # isspace(3) in the C locale; Unicode spaces are text to Postfix


# Jinja, ERB and the like; `${{a} == {b} ? ...}` is Postfix's own.
TEMPLATE = regex(
    r"(?<!\$)\{\{|\{%|<%|\{#|@[A-Z][A-Z0-9_]+@|__[A-Z][A-Z0-9_]+__|%[A-Z][A-Z0-9_]+%"
    r"|^[A-Z][A-Z0-9]*_[A-Z0-9_]+$|\bPH_[A-Z0-9_]+\b|%\{[A-Za-z_][A-Za-z0-9_]*\}"
)
_STATEMENT = regex(r"\s*(?:\{%|<%)[-+=]?\s*(\w*)")
_OPENS = ("if", "for", "unless", "block", "macro", "with")


class Conditional:
    """Follows the statements of a template: what stands in a block may or may not be there."""

    def __init__(self) -> None:
        self.depth = 0
        self.seen = False

    def statement(self, text: str) -> bool:
        """Tell whether a line is a statement of the template, and enter or leave its block."""
        match = _STATEMENT.match(text)
        if match is None:
            return False
        self.seen = True
        word = match.group(1)
        if word in _OPENS or " do " in text or text.rstrip("%->} \t").endswith(" do"):
            self.depth += 1
        elif word.startswith("end"):
            self.depth = max(0, self.depth - 1)
        return True


@dataclass(frozen=True, slots=True)
class LogicalLine:
    """One logical line; `pieces` map offsets in `text` to offsets in the file."""

    file: SourceFile
    text: str
    pieces: tuple[tuple[int, int], ...]

    def span(self, start: int = 0, end: int | None = None) -> Location:
        """Return the location of text[start:end], cut at the end of its first physical line."""
        index = bisect_right(self.pieces, start, key=lambda piece: piece[0]) - 1
        text_at, file_at = self.pieces[index]
        stop = self.pieces[index + 1][0] if index + 1 < len(self.pieces) else len(self.text)
        stop = min(stop, len(self.text))  # a piece may lie behind a NUL, where the text ends
        end = stop if end is None else min(end, stop)
        while end > start and self.text[end - 1] in BLANKS:
            end -= 1
        return self.file.span(file_at + start - text_at, file_at + end - text_at)

    @property
    def stray(self) -> bool:
        """Tell whether it continues nothing: Postfix ignores it with a warning."""
        return self.text[:1] in BLANKS


def logical_lines(file: SourceFile) -> Iterator[LogicalLine]:
    """Yield the logical lines of main.cf or master.cf.

    A line that starts with white space continues the one before, and neither blank lines nor
    comment lines in between end it (readlline.c).
    """
    text = file.text
    parts: list[str] = []
    pieces: list[tuple[int, int]] = []
    length = 0
    start = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        line = text[start:end]
        bare = line.lstrip(BLANKS)
        if bare and bare[0] != "#":
            if line[0] not in BLANKS and parts:
                yield _joined(file, parts, pieces)
                parts, pieces, length = [], [], 0
            parts.append(line)
            pieces.append((length, start))
            length += len(line)
        start = end + 1
    if parts:
        yield _joined(file, parts, pieces)


def _joined(file: SourceFile, parts: list[str], pieces: list[tuple[int, int]]) -> LogicalLine:
    # Postfix works on C strings: what follows a null byte is not seen.
    return LogicalLine(file, "".join(parts).partition("\0")[0], tuple(pieces))


@dataclass(frozen=True, slots=True)
class Parameter:
    """One `name = value`, not yet expanded; `certain` False: a template decides about it."""

    name: str
    value: str
    location: Location
    certain: bool = True


@dataclass(slots=True)
class MainCf:
    """The parameters of a main.cf; a later definition overrides an earlier one.

    `fatal` is a line that no Postfix program gets past. `known` False: the file was not given.
    `template`: it is the template of a main.cf, with statements of its own.
    """

    parameters: dict[str, Parameter] = field(default_factory=dict)
    overridden: list[tuple[Parameter, Parameter]] = field(default_factory=list)
    fatal: tuple[Location, str] | None = None
    known: bool = True
    template: bool = False


def split_name_value(text: str) -> tuple[str, str, int] | str:
    """Split `name = value` as split_nameval.c does: (name, value, offset of the name), or an error.

    It serves main.cf and the `-o` options of master.cf alike.
    """
    start = len(text) - len(text.lstrip(BLANKS))
    end = start
    while end < len(text) and text[end] not in BLANKS and text[end] != "=":
        end += 1
    if end == start:
        return "missing attribute name"
    rest = text[end:].lstrip(BLANKS)
    if not rest.startswith("="):
        return "missing '=' after attribute name"
    return text[start:end], rest[1:].strip(BLANKS), start


def parse_main_cf(file: SourceFile) -> MainCf:
    """Read a main.cf."""
    main = MainCf()
    conditional = Conditional()
    for line in logical_lines(file):
        if line.stray or not line.text or conditional.statement(line.text):
            continue
        split = split_name_value(line.text)
        if isinstance(split, str) and TEMPLATE.search(line.text):
            conditional.seen = True
            continue
        if isinstance(split, str):
            main.fatal = main.fatal or (line.span(), split)
            continue
        name, value, start = split
        parameter = Parameter(name, value, line.span(start), not conditional.depth)
        previous = main.parameters.get(name)
        if previous is not None and previous.value != value:
            main.overridden.append((previous, parameter))
        main.parameters[name] = parameter
    main.template = conditional.seen
    return main
