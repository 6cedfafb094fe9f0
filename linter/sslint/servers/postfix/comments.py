"""Services that master.cf only mentions in comments, and options left alive below them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from sslint.regex import regex
from sslint.servers.postfix.main_cf import BLANKS, LogicalLine
from sslint.servers.postfix.master_cf import MasterCf
from sslint.source import Location, SourceFile
from sslint.values import dataclass

# `#submission inet n - y - - smtpd`, `# 587 inet n ...`: prose rarely has such third and fourth
# words.
_SERVICE = regex(
    r"^[ \t]*#+[ \t]*(\S{1,255})[ \t]+(inet|unix|pass|fifo)[ \t]+[yn-][ \t]+[yn-][ \t]+[yn-][ \t]"
)


@dataclass(frozen=True, slots=True)
class CommentedService:
    """A service line that is commented out; `at` is its offset in the file."""

    name: str
    type: str
    location: Location
    at: int


@dataclass(frozen=True, slots=True)
class OrphanOptions:
    """`-o` lines whose own service line above is commented out: they belong to `owner`."""

    commented: CommentedService
    owner: LogicalLine | None
    location: Location


def commented_services(file: SourceFile) -> list[CommentedService]:
    """Return the commented service lines in file order."""
    found = []
    for number, start in enumerate(file.starts, 1):
        if "#" not in file.text[start : start + 80]:
            continue
        match = _SERVICE.match(file.line(number))
        if match:
            found.append(
                CommentedService(
                    match.group(1), match.group(2), file.at(number), start + match.start(1)
                )
            )
    return found


def orphan_options(master: MasterCf, commented: list[CommentedService]) -> Iterator[OrphanOptions]:
    """Yield the live option lines that stand below a commented service line."""
    places = [each.at for each in commented]
    lines = [(service.line, True) for service in master.services]
    lines += [(line, False) for line in master.stray]
    for line, owned in lines:
        for index, (text_at, file_at) in enumerate(line.pieces):
            if owned and index == 0:
                continue
            before = line.pieces[index - 1][1] if index else 0
            nearest = bisect_right(places, file_at) - 1
            piece_end = line.pieces[index + 1][0] if index + 1 < len(line.pieces) else None
            piece = line.text[text_at:piece_end]
            below = nearest >= 0 and places[nearest] > before
            if below and piece.lstrip(BLANKS).startswith("-o"):
                indent = len(piece) - len(piece.lstrip(BLANKS))
                place = line.span(text_at + indent, piece_end)
                yield OrphanOptions(commented[nearest], line if owned else None, place)
