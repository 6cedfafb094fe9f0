"""Edits of a server's own statements, as the rule that found something writes them.

A rule's `edit` is a list of alternatives, of which the first that fits is made. Each is a step or
a list of steps, done to the statement that the finding marks:

    {server: [NAME, ...]}       the finding must be about one of these servers, a list
    {has: TEXT}                 the statement must hold it
    {lacks: TEXT}               the statement must not hold it
    {holds: TEXT}               its file must, in a line that is no comment
    {sets: NAME}                its file must set it
    {every: TEXT, by: TEXT}     in all lines of its file that are no comments
    {replace: TEXT, by: TEXT}   within the statement, which must hold it
    {before: TEXT}, {after: TEXT}   a line beside it, indented as it is
    {copy: before|after, replace: TEXT, by: TEXT}   a line like it
    {block: TEXT}               the first line of the server block that it is in
    {set: NAME = VALUE, in: FILE}   a setting of a file beside it, added if it is not there;
                                `keep` are values that stay
    {change: NAME = VALUE}      a setting of the same file, which must be there
    {unset: NAME}               the same without a new value
    delete, cut                 its line; all from it to the end of its line
    comment, uncomment          options of master.cf that follow each other; an entry with its own
    {beside: TEXT, between: TEXT}   go on with the line that holds a text, between the lines above
                                and below that hold another
    serial                      the serial of its zone, raised (RFC 1982)
    executable                  the run bit of its file
    related                     go on with the first related place of the finding
    opens                       the edit lets somebody in who is kept out today

Fields are filled in as in its advice. Nothing of it is shown that is not proved.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sslint.engine import Finding, fill
from sslint.fixes.edits import (
    Edit,
    Fix,
    above_comments,
    delete,
    insert,
    is_whole_line,
    substitute,
)
from sslint.host import Host
from sslint.regex import regex
from sslint.source import Location, SourceFile

_BLOCK = regex(r"\s*server\s*\{\s*(?:#.*)?")
_SERIAL = regex(r"(?im)^[^;\n]*\bSOA\s+\S+\s+\S+[\s(]+(?:;[^\n]*\s+)*(\d{1,10})\b")
_OPTION = regex(r"#\s+-o\s")


class _UnfitError(Exception):
    """A step does not fit what stands there."""


def fix(host: Host, finding: Finding) -> Fix | None:
    """Return the first edit of the rule's that fits, None if there is none."""
    place = finding.span.location if finding.span is not None else None
    if place is None or place.file.secret:
        return None
    for alternative in finding.rule.document.get("edit", ()):
        steps = alternative if isinstance(alternative, list) else [alternative]
        try:
            edits = tuple(_Statement(host, finding, place).edits(steps))
        except _UnfitError:
            continue
        return Fix("", "opens" if "opens" in steps else "safe", edits)
    return None


_ARCHIVE = regex(r"/archive/([^/\s]+)/([a-z]+)\d+\.pem")


def live_path(_host: Host, finding: Finding) -> Fix | None:
    """Return the edits that name the symbolic links in live/ in place of files in archive/.

    A certificate and its key change together, or the next renewal would part them.
    """
    place = finding.span.location if finding.span is not None else None
    if place is None or place.file.secret:
        return None
    file = place.file
    pinned = _ARCHIVE.search(file.line(place.line))
    if pinned is None:
        return None
    lineage, edits, has_key = pinned[1], [], False
    for number in range(1, len(file.starts) + 1):
        line = file.line(number)
        if line.lstrip().startswith("#"):
            continue
        changed = _ARCHIVE.sub(lambda at: _live(at, lineage), line)
        has_key |= f"/live/{lineage}/privkey.pem" in changed
        if changed != line:
            edits.append(Edit(file.name, number, "replace", changed, file.path))
    return Fix("", "safe", tuple(edits)) if has_key else None


def _live(pinned: re.Match[str], lineage: str) -> str:
    return f"/live/{lineage}/{pinned[2]}.pem" if pinned[1] == lineage else pinned[0]


class _Statement:
    """The statement that a finding marks, and what becomes of it."""

    def __init__(self, host: Host, finding: Finding, place: Location) -> None:
        self.host = host
        self.finding = finding
        self.place = place
        self.file = place.file
        self.text = self.before = _marked(place)

    def edits(self, steps: Sequence[Any]) -> Iterator[Edit]:
        """Yield the edits of the steps. Raise _UnfitError."""
        for step in steps:
            if isinstance(step, str):
                yield from _WORDS[step](self) if step in _WORDS else ()
            elif "server" in step:
                self._must(getattr(self.finding.fact, "server", "") in step["server"])
            else:
                texts = {k: self._filled(text) for k, text in step.items() if k != "keep"}
                yield from self._step(texts, step.get("keep", ()))
        if self.text != self.before:
            yield substitute(self.place, self.text)

    def _filled(self, text: str) -> str:
        filled = fill(text, self.finding.fact, _codes(self.finding.rule.words))
        if not filled.isprintable() or filled.count("?") > text.count("?"):
            raise _UnfitError  # a field that is not known, or is not one word of a file
        return filled

    def _step(self, step: Mapping[str, str], kept: Sequence[str]) -> Iterator[Edit]:
        if "has" in step:
            self._must(step["has"] in self.text)
        elif "lacks" in step:
            self._must(step["lacks"] not in self.text)
        elif "holds" in step:
            self._must(any(self._lines_with(step["holds"])))
        elif "sets" in step:
            self._must(bool(_settings(self.file, step["sets"])))
        elif "every" in step:
            self._must(step["every"] in self.text)
            yield from self._every(step["every"], step["by"])
        elif "copy" in step:
            self._must(step["replace"] in self.text and is_whole_line(self.place))
            text = self.text.replace(step["replace"], step["by"], 1)
            after = step["copy"] == "after"
            yield insert(self.place if after else above_comments(self.place), text, after=after)
        elif "replace" in step:
            changed = _replaced(self.text, step["replace"], step["by"])
            self._must(changed is not None)
            self.text = changed or ""
        elif "before" in step or "after" in step:
            yield insert(self.place, step.get("before") or step["after"], after="after" in step)
        elif "beside" in step:
            self._go_to(step["beside"], step["between"])
        elif "block" in step:
            yield self._in_block(step["block"])
        elif "set" in step:
            yield from self._set(self._beside(step["in"]), step["set"], add=True, kept=kept)
        elif "change" in step:
            yield from self._set(self.file, step["change"], add=False)
        else:
            lines = _settings(self.file, step["unset"])
            self._must(len(lines) == 1)
            self._must(not _is_continued(self.file, lines[0]))
            yield delete(self.file, lines[0])

    @staticmethod
    def _must(fits: bool) -> None:
        if not fits:
            raise _UnfitError

    def _go_to(self, text: str, between: str) -> None:
        """Go on with a line near by. Raise _UnfitError if there is not just one."""
        found, last = [], len(self.file.starts)
        for numbers in (range(self.place.line, 0, -1), range(self.place.line + 1, last + 1)):
            for number in numbers:
                if between in self.file.line(number):
                    break
                found += [number] if text in self.file.line(number) else []
        self._must(len(found) == 1)
        self.place = self.file.at(found[0])
        self.text = self.before = _marked(self.place)

    def _in_block(self, text: str) -> Edit:
        closed = 0  # blocks that end between it and the statement
        for number in range(self.place.line - 1, 0, -1):
            line = self.file.line(number)
            if not closed and _BLOCK.fullmatch(line):
                own = self.file.line(self.place.line)
                indent = own[: len(own) - len(own.lstrip())]
                return Edit(self.file.name, number, "after", indent + text, self.file.path)
            code = line.partition("#")[0]
            closed += code.count("}") - code.count("{")
            if closed < 0:
                break
        raise _UnfitError

    def _beside(self, path: str) -> SourceFile:
        self._must(self.file.path.startswith(f"{posixpath.dirname(path)}/"))
        file = self.host.tree.try_read(path, decisive=False)
        if file is None or file.secret:
            raise _UnfitError
        return file

    def _set(
        self, file: SourceFile, setting: str, *, add: bool, kept: Sequence[str] = ()
    ) -> Iterator[Edit]:
        lines = _settings(file, setting.split()[0])
        if len(lines) == 1:
            self._must(not _is_continued(file, lines[0]))
            place = file.at(lines[0])
            _, equals, old = _parts(place.text)
            name, _, value = _parts(setting)
            if old not in (*kept, value):
                yield substitute(place, name + equals + value)
            return
        self._must(not lines and add)
        last = len(file.starts) - (file.text.endswith("\n"))
        yield Edit(file.name, last, "after", setting, file.path)

    def _lines_with(self, text: str) -> Iterator[int]:
        for number in range(1, len(self.file.starts) + 1):
            line = self.file.line(number)
            if text in line and not line.lstrip().startswith("#"):
                yield number

    def _every(self, text: str, by: str) -> Iterator[Edit]:
        for number in self._lines_with(text):
            changed = self.file.line(number).replace(text, by)
            yield Edit(self.file.name, number, "replace", changed, self.file.path)

    def delete(self) -> Iterator[Edit]:
        """Delete its line, if it has one to itself."""
        self._must(is_whole_line(self.place))
        self._must(not _is_continued(self.file, self.place.line))
        yield delete(self.file, self.place.line)

    def cut(self) -> Iterator[Edit]:
        """Delete all from it to the end of its line."""
        line = self.file.line(self.place.line)
        kept = line[: self.place.column - 1].rstrip()
        if kept:
            yield Edit(self.file.name, self.place.line, "replace", kept, self.file.path)
        else:
            yield delete(self.file, self.place.line)

    def comment(self) -> Iterator[Edit]:
        """Comment it out, and the options of master.cf that follow it."""
        number = self.place.line
        self._must(is_whole_line(self.place))
        while number == self.place.line or _OPTION.match(f"#{self.file.line(number)}"):
            text = f"#{self.file.line(number)}"
            yield Edit(self.file.name, number, "replace", text, self.file.path)
            number += 1

    def uncomment(self) -> Iterator[Edit]:
        """Take the comment sign from an entry of master.cf and from the options below it."""
        number = self.place.line
        self._must(self.file.line(number).startswith("#"))
        while number == self.place.line or _OPTION.match(self.file.line(number)):
            text = self.file.line(number)[1:]
            yield Edit(self.file.name, number, "replace", text, self.file.path)
            number += 1

    def related(self) -> Iterator[Edit]:
        """Go on with the first related place."""
        self._must(bool(self.finding.related))
        self.place = self.finding.related[0].location
        self.file = self.place.file
        self._must(not self.file.secret)
        self.text = self.before = _marked(self.place)
        yield from ()

    def serial(self) -> Iterator[Edit]:
        """Raise the serial of its zone, or no secondary server asks for the change."""
        found = list(_SERIAL.finditer(self.file.text))
        self._must(len(found) == 1)
        raised = (int(found[0][1]) + 1) % 2**32
        yield substitute(self.file.span(*found[0].span(1)), str(raised or 1))

    def executable(self) -> Iterator[Edit]:
        """Set the run bit of its file."""
        yield Edit(self.file.name, self.place.line, "executable", "", self.file.path)


_WORDS = {
    "delete": _Statement.delete,
    "cut": _Statement.cut,
    "comment": _Statement.comment,
    "uncomment": _Statement.uncomment,
    "executable": _Statement.executable,
    "related": _Statement.related,
    "serial": _Statement.serial,
}


def _marked(place: Location) -> str:
    line = place.file.line(place.line)
    return line[place.column - 1 : len(line) if place.end is None else place.end - 1]


def _replaced(text: str, old: str, by: str) -> str | None:
    """Return a text with a part replaced, however its equals sign is spaced; None without it."""
    if old in text:
        return text.replace(old, by, 1)
    name, equals, value = _parts(text)
    spaced = f"{name} = {value}"
    if not equals or old not in spaced:
        return None
    return spaced.replace(old, by, 1).replace(" = ", equals, 1)


def _parts(setting: str) -> tuple[str, str, str]:
    """Return a setting's name, its equals sign with the blanks around it, and its value."""
    name, equals, value = setting.partition("=")
    end, start = len(name.rstrip()), len(value) - len(value.lstrip())
    return name[:end], name[end:] + equals + value[:start], value[start:].rstrip()


def _settings(file: SourceFile, name: str) -> list[int]:
    """Return the lines of a file that set a name, each on a line of its own."""
    setting = re.compile(rf"\s*{re.escape(name)}\s*=")
    numbers = range(1, len(file.starts) + 1)
    return [number for number in numbers if setting.match(file.line(number))]


def _is_continued(file: SourceFile, number: int) -> bool:
    """Tell whether a setting goes on below its line, as postconf(5) has it."""
    if not file.path.endswith(".cf"):
        return False
    for below in range(number + 1, len(file.starts) + 1):
        line = file.line(below)
        if line.strip() and not line.startswith("#"):
            return line[0].isspace()
    return False


def _codes(words: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a rule's words but for those that stand for a value that is not known."""
    return {name: meaning for name, meaning in words.items() if not isinstance(meaning, str)}
