"""What a fix is: edits of the host's files, commands, advice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

from sslint.source import Location, SourceFile
from sslint.values import dataclass, replace

Kind = Literal["safe", "opens", "advice"]


@dataclass(frozen=True, slots=True)
class Edit:
    """One edit of a file: insert `text` before or after `line`, replace the line, or delete it.

    `text` is a whole line or several, without the last line feed; "executable" sets the run bit.
    """

    path: str
    line: int
    action: Literal["before", "after", "replace", "delete", "executable"]
    text: str
    host_path: str = ""

    def __str__(self) -> str:
        if self.action == "executable":
            return f"chmod +x {self.path}"
        if self.action == "delete":
            return f"{self.path}, delete line {self.line}: {self.text.strip()}"
        return f"{self.path}, {self.action} line {self.line}: {self.text.strip()}"


@dataclass(frozen=True, slots=True)
class Fix:
    """The fix of a finding. `proved`: the edits remove the finding and add none."""

    title: str
    kind: Kind
    edits: tuple[Edit, ...] = ()
    commands: tuple[str, ...] = ()
    proved: bool = False


def together(fixes: Sequence[Fix]) -> Fix:
    """Return one fix with the edits and the commands of several, each once."""
    edits = dict.fromkeys(edit for fix in fixes for edit in fix.edits)
    commands = each(command for fix in fixes for command in fix.commands)
    title = ", ".join(dict.fromkeys(fix.title for fix in fixes))
    return replace(fixes[0], title=title, edits=tuple(edits), commands=commands)


def each(commands: Iterable[str]) -> tuple[str, ...]:
    """Return commands, each once for the last time: what loads a change comes after all of them."""
    return tuple(dict.fromkeys(reversed([*commands])))[::-1]


def insert(place: Location, text: str, *, after: bool = False) -> Edit:
    """Return the insertion of a line beside another, indented as that one."""
    line = place.file.line(place.line)
    indent = line[: len(line) - len(line.lstrip())]
    action: Literal["before", "after"] = "after" if after else "before"
    return Edit(place.path, place.line, action, indent + text, place.file.path)


def above_comments(place: Location) -> Location:
    """Return the first of the comment lines right above a line, which are about it, or the line."""
    line = place.line
    if place.text.startswith("#"):
        return place
    while place.file.line(line - 1).lstrip().startswith("#"):
        line -= 1
    return place.file.at(line) if line != place.line else place


def delete(file: SourceFile, line: int) -> Edit:
    """Return the deletion of a line."""
    return Edit(file.name, line, "delete", file.line(line), file.path)


def substitute(place: Location, text: str) -> Edit:
    """Return the replacement of what a location marks on its line."""
    line = place.file.line(place.line)
    end = len(line) if place.end is None else place.end - 1
    changed = line[: place.column - 1] + text + line[end:]
    return Edit(place.path, place.line, "replace", changed, place.file.path)


def is_whole_line(place: Location) -> bool:
    """Tell whether what a location marks is all that stands on its line, but for a comment."""
    line = place.file.line(place.line)
    if place.end is None or line[: place.column - 1].strip():
        return False
    rest = line[place.end - 1 :].strip()
    return not rest or (rest.startswith("#") and not place.path.endswith(".cf"))


def apply(text: str, edits: Iterable[Edit]) -> str:
    """Return a text with edits made; their lines are those of the text as it is.

    A last line without a line feed gets one if it is edited.
    """
    by_line = _by_line(edits)
    lines, ended = _split(text)
    made = [
        new
        for number, line in enumerate(lines, 1)
        for _, new in _changed(line, by_line.get(number, ()))
    ]
    return "\n".join(made) + ("\n" if made and (ended or len(lines) in by_line) else "")


def hunks(text: str, edits: Iterable[Edit], context: int = 3) -> Iterator[str]:
    """Yield the hunks of a unified diff that makes the edits, as diff(1) writes them."""
    by_line = _by_line(edit for edit in edits if edit.action != "executable")
    lines, ended = _split(text)
    grown = 0
    for first, last in _clusters(by_line, context, len(lines)):
        body: list[str] = []
        for number in range(first, last + 1):
            line = lines[number - 1]
            news = _changed(line, by_line.get(number, ()))
            if number == len(lines) and not ended:
                kept = number not in by_line
                body.append(f"{' ' if kept else '-'}{line}\n\\ No newline at end of file")
                body += [] if kept else [f"+{new}" for _, new in news]
                continue
            if (True, line) not in news:
                body.append(f"-{line}")
            body += [f"{' ' if kept else '+'}{new}" for kept, new in news]
        old = sum(line[0] in " -" for line in body)
        new = sum(line[0] in " +" for line in body)
        start = first + grown
        shown = "\n".join(_removed_first(body))
        yield f"@@ -{first},{old} +{start if new else start - 1},{new} @@\n{shown}\n"
        grown += new - old


def _removed_first(body: Iterable[str]) -> Iterator[str]:
    """Yield the lines of a hunk; of what changes together, what goes stands before what comes."""
    added: list[str] = []
    for line in body:
        if line[0] == "+":
            added.append(line)
            continue
        if line[0] == " ":
            yield from added
            added = []
        yield line
    yield from added


def _split(text: str) -> tuple[list[str], bool]:
    """Return the lines of a text, and whether the last one ends with a line feed."""
    lines = text.split("\n")
    ended = lines[-1] == ""
    return (lines[:-1] if ended else lines), ended


def _changed(line: str, edits: Iterable[Edit]) -> list[tuple[bool, str]]:
    """Return the lines that stand for a line once its edits are made, each with whether it is it.

    The order is that of the edits; a line of a file with CRLF gets neighbours with CRLF.
    """
    before: list[tuple[bool, str]] = []
    after: list[tuple[bool, str]] = []
    own = [(True, line)]
    end = "\r" if line.endswith("\r") else ""
    for edit in edits:
        new = [(False, part + end) for part in edit.text.split("\n")]
        if edit.action == "before":
            before += new
        elif edit.action == "after":
            after += new
        elif edit.action == "replace":
            own = new
        elif edit.action == "delete":
            own = []
    return [*before, *own, *after]


def _by_line(edits: Iterable[Edit]) -> dict[int, list[Edit]]:
    found: dict[int, list[Edit]] = defaultdict(list)
    for edit in dict.fromkeys(edits):
        found[edit.line].append(edit)
    return found


def _clusters(
    by_line: Mapping[int, Sequence[Edit]], context: int, total: int
) -> Iterator[tuple[int, int]]:
    """Yield the first and last lines of hunks: changed lines with what stands around them."""
    pending: tuple[int, int] | None = None
    for number in sorted(by_line):
        actions = {edit.action for edit in by_line[number]}
        first, last = max(1, number - context), min(total, number + context)
        if actions == {"before"}:  # the line itself is what stands around the new one
            last = min(total, number + context - 1)
        elif actions == {"after"}:
            first = max(1, number - context + 1)
        if pending is not None and first <= pending[1] + 1:
            pending = (pending[0], max(pending[1], last))
        else:
            if pending is not None:
                yield pending
            pending = (first, last)
    if pending is not None:
        yield pending
