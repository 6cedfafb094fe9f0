"""Annotations of GitHub Actions: workflow commands, the worst first.

GitHub shows ten of each kind a step (docs.github.com, "Limits for annotations"); what is left out
is counted in a line of the log.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from sslint.plain import harmless
from sslint.reports.rows import Place, Row, gaps, rows

if TYPE_CHECKING:
    from sslint.result import Result

SHOWN = 10  # annotations of a kind that GitHub shows a step
_KINDS = {"error": "error", "warning": "warning", "info": "notice"}
_DATA = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A"})
_PROPERTY = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A", ":": "%3A", ",": "%2C"})


def report(result: Result) -> str:
    """Return the commands, a line each."""
    found = [
        ("error", _command("error", gap.place, "sslint: not judged", gap.reason))
        for gap in gaps(result)
        if gap.decisive
    ]
    found += [_row(row) for row in rows(result)]
    lines, counts = [], Counter[str]()
    for kind, line in found:
        counts[kind] += 1
        if counts[kind] <= SHOWN:
            lines.append(line)
    more = sum(max(0, count - SHOWN) for count in counts.values())
    if more:
        lines.append(f"{more} more without an annotation: GitHub shows {SHOWN} of a kind a step")
    return "".join(f"{line}\n" for line in lines)


def _row(row: Row) -> tuple[str, str]:
    parts = [row.message]
    parts += [f"{place.file}:{place.line}: {place.message}" for place in row.related]
    parts += [f"clients: {row.clients}"] if row.clients else []
    parts += [f"fix: {line}" for line in row.remedy]
    kind = _KINDS[row.severity]
    return kind, _command(kind, row.place, f"sslint {row.rule.name}", "\n".join(parts))


def _command(kind: str, place: Place, title: str, text: str) -> str:
    settings = {
        "file": place.file,
        "line": str(place.line),
        "endLine": str(place.line),
        "col": str(place.column),
        "endColumn": str(place.end),
        "title": title,
    }
    said = ",".join(
        f"{key}={harmless(value).translate(_PROPERTY)}" for key, value in settings.items()
    )
    return f"::{kind} {said}::{harmless(text).translate(_DATA)}"
