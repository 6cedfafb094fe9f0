"""Apache's configuration syntax: lines to words, and the statements that sections hold.

Lines are joined as ap_cfg_getline does it, words are those of ap_getword_conf (server/util.c).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sslint.regex import regex
from sslint.source import Location, SourceFile
from sslint.values import dataclass

# isspace() in the C locale; str.split() knows more.
SPACES = " \t\n\v\f\r"
_ODD = regex(r"[^\t-\r -~]")  # blanks that isspace() does not know among them
_WORD = regex(r"[^ \t\n\v\f\r]+")
_ESCAPED = {
    "": regex(r"\\(\\)"),
    '"': regex(r'\\([\\"])'),
    "'": regex(r"\\([\\'])"),
}

Expand = Callable[[str], str]


@dataclass(slots=True, eq=False)
class Directive:
    """One statement. `name` is in lower case, that of a section starts with `<`.

    `block` is None for what is no section. `doubt`: why it is not known whether the server reads
    it at all, "" if it certainly does.
    """

    name: str
    args: tuple[str, ...]
    file: SourceFile
    line: int
    block: list[Directive] | None = None
    doubt: str = ""
    column: int = 0  # of its first character; 0: not counted
    end: int = 0

    @property
    def location(self) -> Location:
        """Return the place of its first line."""
        if not self.column:
            return self.file.at(self.line)
        return Location(self.file, self.line, self.column, self.end)

    @property
    def value(self) -> str:
        """Return its first argument, or ""."""
        return self.args[0] if self.args else ""


@dataclass(frozen=True, slots=True)
class Line:
    """A logical line, stripped, and where it starts."""

    text: str
    file: SourceFile
    number: int
    column: int = 0  # 0: not counted

    @property
    def place(self) -> Location:
        """Return its place."""
        if not self.column:
            return self.file.at(self.number)
        return Location(self.file, self.number, self.column, self.column + len(self.text))


def lines(file: SourceFile) -> Iterator[Line]:
    """Yield the lines of a file, continued ones joined, comments and blank ones left out."""
    text = file.text
    if "\\\n" in text or "\r" in text or text.endswith("\\"):
        yield from _joined(file)
        return
    for number, part in enumerate(text.split("\n"), 1):
        bare = part.strip(SPACES)
        if bare and bare[0] != "#":
            yield Line(bare, file, number, part.index(bare[0]) + 1)


def _joined(file: SourceFile) -> Iterator[Line]:
    pending: list[str] = []
    first = 1
    text = file.text
    physical = text.split("\n")
    ended = text.endswith("\n")
    if ended:
        physical.pop()
    last = len(physical)
    for number, part in enumerate(physical, 1):
        closed = number < last or ended  # a line feed ends it
        if closed and part.endswith("\r"):
            part = part[:-1]
        if not pending:
            first = number
        if closed and part.endswith("\\"):
            pending.append(part[:-1])
            continue
        column = 0
        if pending:
            part = "".join((*pending, part)).strip(SPACES)
            pending = []
        else:
            bare = part.lstrip(SPACES)
            column = len(part) - len(bare) + 1
            part = bare.rstrip(SPACES)
        if part and part[0] != "#":
            yield Line(part, file, first, column)
    rest = "".join(pending).strip(SPACES)
    if rest and rest[0] != "#":
        yield Line(rest, file, first)


def _is_plain(text: str) -> bool:
    """Tell whether a text is words between blanks and nothing else."""
    if '"' in text or "$" in text or "\\" in text or "'" in text:
        return False
    return (text.isascii() and text.isprintable()) or _ODD.search(text) is None


def split(text: str, expand: Expand) -> tuple[str, list[str]]:
    """Return the name and the arguments of a statement."""
    if _is_plain(text):
        first, *rest = text.split()
        return first, rest
    word, after = next_word(text, expand)
    return word, words(after, expand)


def words(text: str, expand: Expand) -> list[str]:
    """Split the text after a directive's name; quotes keep blanks together and go away."""
    if _is_plain(text):
        return text.split()
    found = []
    rest = text.strip(SPACES)
    while rest:
        word, rest = next_word(rest, expand)
        found.append(word)
    return found


def next_word(text: str, expand: Expand) -> tuple[str, str]:
    """Return the first word and what follows it (ap_getword_conf)."""
    if _is_plain(text):
        word, _, rest = text.lstrip(SPACES).partition(" ")
        if "\t" not in word:
            return word, rest.lstrip(SPACES)
    text = text.lstrip(SPACES)
    if not text:
        return "", ""
    quote = text[0] if text[0] in "\"'" else ""
    if quote:
        end = 1
        while end < len(text) and text[end] != quote:
            end += 2 if text[end] == "\\" and text[end + 1 : end + 2] in (quote, "\\") else 1
        raw, rest = text[1:end], text[end + 1 :]
    else:
        match = _WORD.match(text)
        end = match.end() if match is not None else 0
        raw, rest = text[:end], text[end:]
    word = _ESCAPED[quote].sub(r"\1", raw) if "\\" in raw else raw
    return (expand(word) if "$" in word else word), rest.lstrip(SPACES)
