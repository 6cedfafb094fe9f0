"""What keeps a finding quiet: comments in the checked files, and the baseline."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import cache
from typing import Literal

from sslint.engine import Finding, Rule, bundled
from sslint.errors import UsageError
from sslint.facts.ignores import Comment
from sslint.regex import regex
from sslint.result import Result, Stale
from sslint.source import Location, SourceFile
from sslint.tree import not_written, write_named

# After what starts a comment in any of the formats: zone files and .ini have `;`, XML its own.
_IGNORE = regex(r"(?:#|;|//|/\*|<!--)[ \t]*(sslint:[ \t]*ignore\b(?:\[([^\]\n]*)\])?)")
_ENDS = ("-->", "*/")


def mark_ignored(
    findings: Sequence[Finding],
    files: Iterable[SourceFile],
    rules: Sequence[Rule],
    *,
    reasons: bool = False,
) -> list[tuple[Comment, str]]:
    """Mark as silenced what a comment ignores, and return each name without use.

    A comment stands on the finding's line or on the line above. A comment after a value is part
    of the value in main.cf and master.cf, so there only the line above is looked at (postconf(5)).
    Of other than `rules` it is not known whether they fire. With `reasons` a comment without one
    counts for nothing.
    """
    every = [comment for file in files for comment in _comments(file, reasons)]
    if not every:
        return []
    comments = {
        (comment.place.file, comment.place.line): comment for comment in every if comment.counts
    }
    judged = {name for rule in rules for name in (rule.name, rule.family)}
    used: set[tuple[SourceFile, int, str]] = set()
    for finding in findings if comments else ():
        place = finding.span.location if finding.span is not None else None
        for line in () if place is None else _lines(place):
            assert place is not None
            comment = comments.get((place.file, line))
            for name in {finding.rule.name, finding.rule.family}.intersection(
                comment.names if comment is not None else ()
            ):
                used.add((place.file, line, name))
                finding.silenced, finding.excuse = True, comment.reason if comment else ""
    return [(comment, "") for comment in every if not comment.counts] + [
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


def _comments(file: SourceFile, reasons: bool) -> Iterator[Comment]:
    if "sslint:" not in file.text:
        return
    for match in _IGNORE.finditer(file.text):
        names = tuple(name.strip() for name in (match[2] or "").split(",") if name.strip())
        place = file.span(match.start(), match.end())
        reason = file.line(place.line)[place.column - 1 + len(match[0]) :]
        for end in _ENDS:
            reason = reason.partition(end)[0]
        reason = reason.strip()
        yield Comment(place, match[1], names, reason, bool(reason) or not reasons)


# -- baseline ---------------------------------------------------------------------------------


def apply_baseline(
    result: Result, name: str, data: bytes, *, reasons: bool = False, now: datetime | None = None
) -> None:
    """Take out of a result what a baseline has. Raise UsageError if it is none.

    An entry that expired before `now`, or that has no reason where `reasons` are required, does
    not count.
    """
    known = _entries(name, data)
    today = (now or datetime.now(UTC)).date().isoformat()
    counts: dict[str, Mapping[str, str]] = {}
    found = {finding.fingerprint for finding in result.findings}
    for fingerprint, entry in known.items():
        why = _stale(fingerprint in found, entry, reasons, today)
        if why is not None:
            result.stale.append(Stale(fingerprint, entry["what"], why))
        else:
            counts[fingerprint] = entry
    result.known = [finding for finding in result.findings if finding.fingerprint in counts]
    for finding in result.known:
        finding.excuse = counts[finding.fingerprint].get("reason", "")
    result.baselined = len(result.known)
    result.findings = [one for one in result.findings if one.fingerprint not in counts]


def _stale(
    found: bool, entry: Mapping[str, str], reasons: bool, today: str
) -> Literal["unused", "expired", "no-reason"] | None:
    if not found:
        return "unused"
    if entry.get("until", today) < today:
        return "expired"
    return "no-reason" if reasons and not entry.get("reason") else None


def _entries(name: str, data: bytes) -> dict[str, dict[str, str]]:
    """Return the entries of a baseline: what each is about, and its reason and last day."""
    import json

    try:
        found = {}
        for fingerprint, value in json.loads(data)["findings"].items():
            entry = {"what": value} if isinstance(value, str) else {**value}
            if not all(isinstance(text, str) for text in (fingerprint, *entry.values())):
                raise TypeError
            entry.setdefault("what", "")
            if "until" in entry:
                date.fromisoformat(entry["until"])
            found[fingerprint] = entry
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UsageError(f"baseline: {name}: is not an sslint baseline file") from None
    return found


def write_baseline(result: Result, path: str, old: bytes | None = None) -> None:
    """Write the findings of a result to a file, those of its baseline too.

    Reasons and days of the baseline `old` are kept, and what is stale in it is left out. Raise
    UsageError if the file cannot be written.
    """
    import json

    kept = {} if old is None else _entries(path, old)
    entries: dict[str, str | dict[str, str]] = {}
    for finding in (*result.known, *result.findings):
        what = f"{finding.rule.name}: {finding.fact.entity}"
        more = {k: v for k, v in kept.get(finding.fingerprint, {}).items() if k != "what"}
        expired = any(one.fingerprint == finding.fingerprint for one in result.stale)
        entries[finding.fingerprint] = what if expired or not more else {"what": what, **more}
    text = json.dumps({"version": 1, "findings": entries}, indent=2, sort_keys=True)
    try:
        write_named(path, text + "\n")
    except OSError as error:
        raise UsageError(f"write-baseline: {path}: {not_written(error)}") from None
