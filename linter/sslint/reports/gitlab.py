"""GitLab's Code Quality report (docs.gitlab.com/ci/testing/code_quality)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sslint.reports.rows import Place, gaps, rows

if TYPE_CHECKING:
    from sslint.result import Result

SEVERITIES = {"error": "critical", "warning": "major", "info": "info"}


def report(result: Result) -> str:
    """Return the report: an array of one object a finding."""
    found = [
        _entry(row.rule.name, row.message, SEVERITIES[row.severity], row.place, row.fingerprint)
        for row in rows(result)
    ]
    found += [
        _entry(
            "not-judged",
            f"not judged: {gap.reason}",
            "critical",
            gap.place,
            _identity(gap.host, gap.reason),
        )
        for gap in gaps(result)
        if gap.decisive
    ]
    seen: dict[str, int] = {}
    for entry in found:  # GitLab drops the second of two alike
        number = seen[entry["fingerprint"]] = seen.get(entry["fingerprint"], 0) + 1
        if number > 1:
            entry["fingerprint"] += f"-{number}"
    return json.dumps(found, indent=2) + "\n"


def _entry(name: str, text: str, severity: str, place: Place, fingerprint: str) -> dict[str, Any]:
    return {
        "description": text,
        "check_name": name,
        "fingerprint": fingerprint,
        "severity": severity,
        "location": {"path": place.file, "lines": {"begin": place.line}},
    }


def _identity(*parts: str) -> str:
    import hashlib

    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()[:20]
