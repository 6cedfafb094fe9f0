"""What keeps a finding quiet: comments in the checked files, and the baseline."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sslint.engine import Fact, Finding, Span
from sslint.errors import UsageError
from sslint.source import Location, SourceFile

if TYPE_CHECKING:
    from sslint.checker import Result

_IGNORE = re.compile(r"#\s*sslint:\s*ignore\[([^\]\n]*)\]")


def apply_ignores(
    findings: Sequence[Finding], files: Iterable[SourceFile]
) -> tuple[list[Finding], list[Fact]]:
    """Return the findings that no comment ignores, and a fact for each comment without use.

    A comment stands on the finding's line or on the line above. A comment after a value is part
    of the value in Postfix's files, so there only the line above is looked at (postconf(5)).
    """
    comments = {
        (place.file, place.line): (place, names)
        for file in files
        for place, names in _comments(file)
    }
    kept = []
    used: set[tuple[SourceFile, int, str]] = set()
    for finding in findings:
        place = finding.span.location if finding.span is not None else None
        lines = () if place is None else _lines(place)
        ignored = False
        for line in lines:
            assert place is not None
            _, names = comments.get((place.file, line), (place, ()))
            if finding.rule.name in names:
                used.add((place.file, line, finding.rule.name))
                ignored = True
        if not ignored:
            kept.append(finding)
    unused = [
        _unused(place, name)
        for place, names in comments.values()
        for name in names
        if (place.file, place.line, name) not in used
    ]
    return kept, unused


def _lines(place: Location) -> tuple[int, ...]:
    return (place.line - 1,) if place.path.endswith(".cf") else (place.line - 1, place.line)


def _comments(file: SourceFile) -> Iterator[tuple[Location, tuple[str, ...]]]:
    if "sslint:" not in file.text:
        return
    for match in _IGNORE.finditer(file.text):
        names = tuple(name.strip() for name in match.group(1).split(",") if name.strip())
        yield file.span(match.start(), match.end()), names


def _unused(place: Location, name: str) -> Fact:
    return Fact(
        kind="ignore",
        name=f"ignore {name}",
        values={"name": name},
        span=Span(place, "ignores nothing"),
    )


# -- baseline ---------------------------------------------------------------------------------


def apply_baseline(result: Result, path: str) -> None:
    """Take out of a result what a baseline has. Raise UsageError if it cannot be read."""
    import json

    from sslint.reports.data import fingerprint

    try:
        known = set(json.loads(Path(path).read_text(encoding="utf-8"))["findings"])
    except OSError as error:
        raise UsageError(f"baseline: {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UsageError(f"baseline: {path}: is no baseline of sslint") from None
    kept = [finding for finding in result.findings if fingerprint(finding) not in known]
    result.baselined = len(result.findings) - len(kept)
    result.findings = kept


def write_baseline(result: Result, path: str) -> None:
    """Write the findings of a result to a file. Raise UsageError if it cannot be written."""
    import json

    from sslint.reports.data import fingerprint

    found = {fingerprint(f): f"{f.rule.name}: {f.fact.name}" for f in result.findings}
    text = json.dumps({"version": 1, "findings": found}, indent=2, sort_keys=True)
    try:
        Path(path).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"write-baseline: {path}: {error.strerror}") from None
