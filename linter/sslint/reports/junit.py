"""JUnit XML as Jenkins, GitLab and Azure read it: a suite a host, a case a finding.

A finding that makes the run fail is a failure, another one a case that passes and says it; what was
not judged is an error, what is silenced a skipped case. A host without any of them has one case
that passes, so that no suite is empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr  # nosec B406

from sslint.plain import clean
from sslint.reports.rows import Gap, Row, gaps, rows

if TYPE_CHECKING:
    from sslint.result import Result


def report(result: Result) -> str:
    """Return the report."""
    found, missing = rows(result, quiet=True), [gap for gap in gaps(result) if gap.decisive]
    names = list(dict.fromkeys(clean(host.name) for host in result.hosts)) or ["sslint"]
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', "<testsuites>"]
    for name in names:
        own = [row for row in found if row.host == name]
        unjudged = [gap for gap in missing if gap.host == name]
        if not result.hosts:
            unjudged = []
        lines += _suite(name, own, unjudged, result)
    return "\n".join([*lines, "</testsuites>"]) + "\n"


def _suite(name: str, found: Sequence[Row], missing: Sequence[Gap], result: Result) -> list[str]:
    cases = [_case(row, fails=row.severity in result.failing) for row in found]
    cases += [_unjudged(gap) for gap in missing]
    errors = len(missing)
    if not result.hosts:
        cases, errors = [_error(name, "sslint", "nothing to check", "")], 1
    elif not cases:
        cases = [f'    <testcase classname={_quoted(name)} name="sslint"/>']
    quiet = sum(row.kept is not None for row in found)
    failures = sum(row.kept is None and row.severity in result.failing for row in found)
    counts = {"tests": len(cases), "failures": failures, "errors": errors}
    said = " ".join(f'{key}="{count}"' for key, count in {**counts, "skipped": quiet}.items())
    return [f"  <testsuite name={_quoted(name)} {said}>", *cases, "  </testsuite>"]


def _case(row: Row, *, fails: bool) -> str:
    place = f"{row.place.file}:{row.place.line}"
    if row.kept is not None:
        why = row.reason or ("in the baseline" if row.kept == "baseline" else "ignored")
        return _testcase(row.host, f"{row.rule.name} {place}", f"<skipped message={_quoted(why)}/>")
    text = [f"{row.place.file}:{row.place.line}:{row.place.column}: {row.message}"]
    text += [f"{one.file}:{one.line}:{one.column}: {one.message}" for one in row.related]
    text += [f"clients: {row.clients}"] if row.clients else []
    text += [f"fix: {line}" for line in row.remedy]
    said = escape("\n".join(text))
    settings = f"type={_quoted(row.severity)} message={_quoted(row.message)}"
    body = f"<failure {settings}>{said}</failure>" if fails else f"<system-out>{said}</system-out>"
    return _testcase(row.host, f"{row.rule.name} {place}", body)


def _unjudged(gap: Gap) -> str:
    place = f"{gap.place.file}:{gap.place.line}"
    return _error(gap.host, f"not judged: {gap.code} {place}", gap.reason, place)


def _error(host: str, name: str, reason: str, text: str) -> str:
    body = f'<error type="not judged" message={_quoted(reason)}>{escape(text)}</error>'
    return _testcase(host, name, body)


def _testcase(host: str, name: str, body: str) -> str:
    return f"    <testcase classname={_quoted(host)} name={_quoted(name)}>{body}</testcase>"


def _quoted(text: str) -> str:
    return quoteattr(text)
