"""What keeps a finding quiet: comments in the checked files, and the baseline."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING

from sslint.engine import Finding, bundled
from sslint.errors import UsageError
from sslint.facts.ignores import Comment
from sslint.source import Location, SourceFile
from sslint.tree import write_named

if TYPE_CHECKING:
    from sslint.checker import Result

_IGNORE = re.compile(r"#\s*(sslint:\s*ignore\b(?:\[([^\]\n]*)\])?)")


def mark_ignored(
    findings: Sequence[Finding], files: Iterable[SourceFile], judged: Container[str]
) -> list[tuple[Comment, str]]:
    """Mark as silenced what a comment ignores, and return each name without use.

    A comment stands on the finding's line or on the line above. A comment after a value is part
    of the value in main.cf and master.cf, so there only the line above is looked at (postconf(5)).
    `judged` are the names that had a chance: of other rules it is not known whether they fire.
    """
    comments = {
        (comment.place.file, comment.place.line): comment
        for file in files
        for comment in _comments(file)
    }
    used: set[tuple[SourceFile, int, str]] = set()
    for finding in findings:
        place = finding.span.location if finding.span is not None else None
        for line in () if place is None else _lines(place):
            assert place is not None
            comment = comments.get((place.file, line))
            for name in {finding.rule.name, finding.rule.family}.intersection(
                comment.names if comment is not None else ()
            ):
                used.add((place.file, line, name))
                finding.silenced, finding.excuse = True, comment.reason if comment else ""
    return [
        (comment, name)
        for comment in comments.values()
        for name in comment.names or ("",)
        if (comment.place.file, comment.place.line, name) not in used
        and (name in judged or name not in _known())
    ]


@cache
def _known() -> frozenset[str]:
    return frozenset(name for rule in bundled() for name in (rule.name, rule.family))


def _lines(place: Location) -> tuple[int, ...]:
    return (place.line - 1,) if place.path.endswith(".cf") else (place.line - 1, place.line)


def _comments(file: SourceFile) -> Iterator[Comment]:
    if "sslint:" not in file.text:
        return
    for match in _IGNORE.finditer(file.text):
        names = tuple(name.strip() for name in (match[2] or "").split(",") if name.strip())
        place = file.span(match.start(), match.end())
        reason = file.line(place.line)[place.column - 1 + len(match[0]) :]
        yield Comment(place, match[1], names, reason.strip())


# -- baseline ---------------------------------------------------------------------------------


def apply_baseline(result: Result, name: str, data: bytes) -> None:
    """Take out of a result what a baseline has. Raise UsageError if it is none."""
    import json

    try:
        known = set(json.loads(data)["findings"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UsageError(f"baseline: {name}: is not an sslint baseline file") from None
    kept = [finding for finding in result.findings if finding.fingerprint not in known]
    result.known = [finding for finding in result.findings if finding.fingerprint in known]
    result.baselined = len(result.known)
    result.findings = kept


def write_baseline(result: Result, path: str) -> None:
    """Write the findings of a result to a file. Raise UsageError if it cannot be written."""
    import json

    found = {f.fingerprint: f"{f.rule.name}: {f.fact.entity}" for f in result.findings}
    text = json.dumps({"version": 1, "findings": found}, indent=2, sort_keys=True)
    try:
        write_named(path, text + "\n")
    except OSError as error:
        raise UsageError(f"write-baseline: {path}: {error.strerror}") from None
