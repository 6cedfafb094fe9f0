"""SARIF 2.1.0 as GitHub code scanning reads it (docs.github.com, "SARIF support").

GitHub uses the first location alone and identifies an alert by a hash that upload-sarif adds;
sslint's own fingerprint stands beside it. A message links related locations by their id.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sslint import __version__
from sslint.engine import Rule
from sslint.plain import clean
from sslint.reports.rows import Gap, Place, Row, gaps, page_of, rows

if TYPE_CHECKING:
    from sslint.host import Host
    from sslint.result import Result

SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
ROOT = "%SRCROOT%"
MAX_TEXT = 1024  # characters of a rule's description that GitHub takes
MAX_RELATED = 50
MAX_RESULTS = 25_000  # beyond which GitHub takes none of a run's results
LEVELS = {"error": "error", "warning": "warning", "info": "note"}
_PROBLEMS = {"error": "error", "warning": "warning", "info": "recommendation"}
# CVSS-like: what is open to the Internet that should not be. Other rules are not about security.
_SECURITY = {"exposure": "7.5"}


def report(result: Result) -> str:
    """Return the log with one run."""
    every = rows(result, quiet=True)
    found = every[:MAX_RESULTS]
    rules = list({row.rule.name: row.rule for row in found}.values())
    index = {rule.name: number for number, rule in enumerate(rules)}
    hosts = {host.name: host for host in result.hosts}
    missing = gaps(result)
    run = {
        "tool": {
            "driver": {
                "name": "sslint",
                "version": __version__,
                "semanticVersion": __version__,
                "rules": [_rule(rule) for rule in rules],
            }
        },
        "automationDetails": {"id": "sslint/"},
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {ROOT: {"description": {"text": "The top of the repository."}}},
        "invocations": [
            {
                "executionSuccessful": bool(result.hosts) and not result.incomplete,
                "toolExecutionNotifications": [
                    *(_notification(gap) for gap in missing),
                    *_left_out(len(every) - len(found)),
                ],
            }
        ],
        "results": [_result(row, index, hosts[row.key]) for row in found],
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _left_out(count: int) -> list[dict[str, Any]]:
    """Return a notification of results that GitHub has no room for, if there are such."""
    if not count:
        return []
    text = f"{count} more results are left out: GitHub takes {MAX_RESULTS} of a run."
    return [{"level": "warning", "message": {"text": text}, "descriptor": {"id": "too-many"}}]


def _rule(rule: Rule) -> dict[str, Any]:
    from sslint.reports.markdown import page
    from sslint.reports.rules import explain

    properties: dict[str, Any] = {
        "tags": list(dict.fromkeys(("tls", rule.family))),
        "precision": "high",
        "problem.severity": _PROBLEMS[rule.default_severity],
    }
    if rule.family in _SECURITY:
        properties |= {"security-severity": _SECURITY[rule.family]}
        properties["tags"].append("security")
    if page_of(rule):
        properties["docs"] = page_of(rule)
    return {
        "id": rule.name,
        "name": "".join(part.capitalize() for part in rule.name.split("-")),
        "shortDescription": {"text": _said(rule.summary)},
        "fullDescription": {"text": _said(rule.why or rule.summary)},
        "help": {"text": explain(rule), "markdown": clean_lines(page(rule))},
        "defaultConfiguration": {"level": LEVELS[rule.default_severity]},
        "properties": properties,
    }


def clean_lines(text: str) -> str:
    """Return text with its line feeds, and without what does harm."""
    return "\n".join(clean(line.expandtabs(4)) for line in text.split("\n"))


def _said(text: str) -> str:
    said = " ".join(clean(line) for line in text.split("\n")).strip()
    return said if len(said) <= MAX_TEXT else f"{said[: MAX_TEXT - 3]}..."


def _result(row: Row, index: Mapping[str, int], host: Host) -> dict[str, Any]:
    related = row.related[:MAX_RELATED]
    found: dict[str, Any] = {
        "ruleId": row.rule.name,
        "ruleIndex": index[row.rule.name],
        "level": LEVELS[row.severity],
        "message": {"text": _message(row, related)},
        "locations": [_location(row.place)],
        "partialFingerprints": {"sslint/v1": row.fingerprint},
        "properties": {"host": row.host, "entity": row.entity},
    }
    if related:
        found["relatedLocations"] = [
            {"id": number, **_location(place)} for number, place in enumerate(related, 1)
        ]
    flow = _flow(row, host)
    if flow:
        found["codeFlows"] = [flow]
    if row.kept is not None:
        kind = "inSource" if row.kept == "source" else "external"
        reason = {"justification": row.reason} if row.reason else {}
        found["suppressions"] = [{"kind": kind, "status": "accepted", **reason}]
    return found


def _message(row: Row, related: Sequence[Place]) -> str:
    """Return what is wrong, with a link to each place, what a client sees, and what to do."""
    parts = [_escaped(row.message)]
    for number, place in enumerate(related, 1):
        link = f"[{_escaped(place.file)}:{place.line}]({number})"
        parts.append(f"{link}: {_escaped(place.message)}" if place.message else link)
    parts += [f"clients: {_escaped(row.clients)}"] if row.clients else []
    parts += [f"fix: {_escaped(line)}" for line in row.remedy]
    return ".\n".join(parts) + "."


def _escaped(text: str) -> str:
    """Return text in which nothing is a link (SARIF 3.11.6)."""
    return text.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")


def _location(place: Place) -> dict[str, Any]:
    found: dict[str, Any] = {"physicalLocation": _physical(place)}
    if place.message:
        found["message"] = {"text": _escaped(place.message)}
    return found


def _physical(place: Place) -> dict[str, Any]:
    region: dict[str, Any] = {
        "startLine": place.line,
        "startColumn": place.column,
        "endLine": place.line,
        "endColumn": place.end,
    }
    if place.text:
        region["snippet"] = {"text": place.text}
    return {"artifactLocation": _artifact(place), "region": region}


def _artifact(place: Place) -> dict[str, str]:
    return {"uri": quote(place.file.lstrip("/") or "."), "uriBaseId": ROOT}


def _flow(row: Row, host: Host) -> dict[str, Any] | None:
    """Return the packet's way through the rules to the listener."""
    if row.finding is None or row.kept is not None or row.rule.family == "certificate":
        return None
    from sslint.reports.rows import placer
    from sslint.reports.way import way

    place = placer(host)
    steps = [
        place(turn.location, f"{turn.chain}: {turn.text}")
        for turn in way(host, row.finding)
        if turn.location is not None
    ]
    if not steps:
        return None
    steps.append(row.place)
    return {"threadFlows": [{"locations": [{"location": _location(step)} for step in steps]}]}


def _notification(gap: Gap) -> dict[str, Any]:
    return {
        "level": "error" if gap.decisive else "note",
        "message": {"text": f"not judged: {_escaped(gap.reason)}"},
        "descriptor": {"id": gap.code},
        "locations": [_location(gap.place)],
    }
