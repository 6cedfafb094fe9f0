"""Markdown for a comment on a pull request, or for GITHUB_STEP_SUMMARY.

What comes from the files stays text: no link, no mention, no reference, no HTML.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sslint.engine import SEVERITIES
from sslint.judged import tally
from sslint.plain import clean
from sslint.regex import regex
from sslint.reports.rows import Gap, Place, Row, gaps, rows

if TYPE_CHECKING:
    from sslint.host import Host
    from sslint.result import Result

MAX_LENGTH = 60_000  # characters; a comment takes 65,536
MAX_LIST = 20_000  # characters of the table, and of the list of what was not judged
_MARKS = {"error": "❌", "warning": "⚠️", "info": "ℹ️"}
_MEANS = regex(r"([\\`*_{}\[\]<>#!|~&@])")
_BEGINS = regex(r"^(\d*)([-+=.)])")  # a list or a heading, where a block begins with it
# A mention, a reference and a bare address are found after the escapes are gone.
_JOINS = regex(r"(\\@|\\#|:(?=//)|(?i:www)(?=\.)|(?i:\bgh)(?=-\d))")
_JOINS_HTML = regex(r"(@|#|:(?=//)|(?i:www)(?=\.)|(?i:\bgh)(?=-\d))")


def report(result: Result) -> str:
    """Return the report; of very many findings the worst are shown whole, the rest in the table."""
    found, missing = rows(result), [gap for gap in gaps(result) if gap.decisive]
    several = len(result.hosts) > 1
    lines = [
        "## sslint",
        "",
        f"**{_headline(result, found)}** {text(clean(tally(result.judged)))}.",
        "",
    ]
    lines += _table(found, several)
    lines += _missing(missing)
    hosts = {host.name: host for host in result.hosts}
    length = _length(lines)
    for number, row in enumerate(found):
        details = _details(row, hosts[row.key])
        length += _length(details)
        if length > MAX_LENGTH:
            lines.append(f"{len(found) - number} more without details.")
            break
        lines += details
    return "\n".join(lines).rstrip() + "\n"


def _headline(result: Result, found: Sequence[Row]) -> str:
    counts = [(sum(row.severity == one for row in found), one) for one in SEVERITIES]
    said = [
        f"{number} {severity}{'s' if number != 1 and severity != 'info' else ''}"
        for number, severity in counts
        if number
    ]
    where = f"in {len(result.hosts)} host{'' if len(result.hosts) == 1 else 's'}"
    quiet = f", {result.ignored} ignored" if result.ignored else ""
    quiet += f", {len(result.known)} in the baseline" if result.known else ""
    return f"{', '.join(said) or 'No findings'} {where}{quiet}."


def _length(lines: Sequence[str]) -> int:
    return sum(len(line) + 1 for line in lines)


def _bounded(lines: Sequence[str]) -> list[str]:
    """Return the first of some lines, a line an item, and how many more there are."""
    length = 0
    kept: list[str] = []
    for line in lines:
        length += len(line) + 1
        if length > MAX_LIST:
            return [*kept, "", f"{len(lines) - len(kept)} more are not shown here."]
        kept.append(line)
    return kept


def _table(found: Sequence[Row], several: bool) -> list[str]:
    if not found:
        return []
    heads = ["", *(["host"] if several else []), "where", "finding", "rule"]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    rows = []
    for row in found:
        host = [text(row.host)] if several else []
        cells = [_MARKS[row.severity], *host, _cell(_where(row.place)), text(row.message)]
        rows.append(f"| {' | '.join([*cells, f'`{row.rule.name}`'])} |")
    return [*lines, *_bounded(rows), ""]


def _missing(missing: Sequence[Gap]) -> list[str]:
    if not missing:
        return []
    lines = [f"- {_code(_where(gap.place))}: {text(gap.reason)}" for gap in missing]
    return ["### Not judged", "", *_bounded(lines), ""]


def _details(row: Row, host: Host) -> list[str]:
    from sslint.reports.patch import diff

    head = f"{row.severity}: {_html(row.message)} (<code>{_html(_where(row.place))}</code>)"
    lines = ["<details>", f"<summary>{head}</summary>", ""]
    for place in (row.place, *row.related):
        if place.text:
            lines += [f"{_code(_where(place))} {text(place.message)}", *_fenced([place.text]), ""]
    lines += [f"Clients: {text(row.clients)}", ""] if row.clients else []
    change = diff(host.tree, row.fix) if row.fix is not None else []
    if row.remedy:
        lines += [f"Fix: {text(row.remedy[0])}", ""]
        lines += [*_fenced(row.remedy[1:], "sh"), ""] if row.remedy[1:] else []
    lines += [*_fenced(change, "diff"), ""] if change else []
    lines += [f"- {text(also)}" for also in row.also]
    return [*lines, "", "</details>", ""]


def _where(place: Place) -> str:
    return f"{place.file}:{place.line}"


def text(words: str) -> str:
    """Return words in which Markdown and GitHub find nothing to act on."""
    plain = _BEGINS.sub(r"\1\\\2", _MEANS.sub(r"\\\1", words))
    return _JOINS.sub(r"\1<!-- -->", plain)


def _code(words: str) -> str:
    """Return words as code."""
    ticks = "`" * (1 + max((len(run) for run in re.findall("`+", words)), default=0))
    pad = " " if "`" in words else ""
    return f"{ticks}{pad}{words}{pad}{ticks}"


def _cell(words: str) -> str:
    """Return words as code in a cell, which ends at a pipe, even after two backslashes."""
    return _code(words) if "|" not in words else f"<code>{text(words)}</code>"


def _html(words: str) -> str:
    from html import escape

    return _JOINS_HTML.sub(r"\1<!-- -->", escape(words, quote=False))


def _fenced(lines: Sequence[str], language: str = "") -> list[str]:
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{language}", *lines, fence]
