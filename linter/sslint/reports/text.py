"""The text report: what not everyone reaches, each finding with the lines on both sides, a tally.

The worst comes last, above the prompt.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from sslint.engine import SEVERITIES, Finding, Span
from sslint.judged import tally
from sslint.plain import clean
from sslint.reports.table import endpoints_table, notes
from sslint.reports.terminal import Painter, Places, places
from sslint.values import replace
from sslint.yamlfile import dotted

if TYPE_CHECKING:
    from sslint.fixes import Edit, Fix
    from sslint.host import Host
    from sslint.result import Result, Stale
    from sslint.revisions import Proposed

MAX_WIDTH = 160  # characters of a source line that are shown
MIN_WIDTH = 40
MAX_EDITS = 3  # edits that are written out
MAX_RELATED = 3  # places beside a finding's own that are shown
MAX_ALSO = 20  # consequences of a finding that are shown


def check_text(
    result: Result,
    paint: Painter,
    *,
    width: int | None = None,
    verbose: bool = False,
    quiet: bool = False,
) -> str:
    """Return the report of `sslint check`.

    Source lines and the table are cut to `width` characters; `verbose` shows every endpoint,
    `quiet` the findings and the tally alone.
    """
    parts = [
        [] if quiet else endpoints_table(result.hosts, width, paint, only_closed=not verbose),
        [] if quiet else notes(result.hosts),
        _unread_certificates(result) if verbose else [],
        *_findings(result, paint, width),
    ]
    if result.stale:
        parts.append(_stale(result.stale))
    if result.proposed is not None:
        parts.append(_proposed(result.proposed))
    lines = [line for part in parts if part for line in (*part, "")]
    if result.findings and not quiet:
        worst = min(result.findings, key=_rank)
        lines.append(f"more about a rule: sslint explain {worst.rule.name}")
    lines += [_summary(result), clean(tally(result.judged))]
    return "\n".join(lines) + "\n"


def _findings(result: Result, paint: Painter, width: int | None) -> Iterable[list[str]]:
    """Yield the text of each finding: the host with the worst last, and its worst last."""
    found: dict[str, list[Finding]] = {}
    for finding in sorted(result.findings, key=_rank, reverse=True):
        found.setdefault(finding.host, []).append(finding)
    by_name = {host.name: host for host in result.hosts}
    for name, findings in sorted(found.items(), key=lambda item: -_rank(item[1][-1])):
        if len(result.hosts) > 1:
            yield [paint(f"== {clean(name)}", "bold")]
        shown = places(by_name[name].tree)
        for _, alike in groupby(findings, _place):
            yield _Finding(list(alike), shown, paint, width).lines(result.fixes)


def _unread_certificates(result: Result) -> list[str]:
    """Name each certificate that was not read."""
    several = len(result.hosts) > 1
    return [
        f"{f'{clean(one.host)}: ' if several else ''}certificate not read: {clean(path)}"
        for one in result.judged
        for gap in one.gaps
        for path in ((gap.reason,) if "" in gap.certificates else gap.certificates)
    ]


_STALE = {
    "unused": "is not found any more",
    "expired": "has expired, and is reported again",
    "no-reason": "has no reason, and is reported",
}


def _stale(stale: Sequence[Stale]) -> list[str]:
    """Say which entries of the baseline do not count."""
    lines = [f"baseline: {clean(one.what)} {_STALE[one.why]}" for one in stale]
    return [*lines, "--write-baseline removes such entries"]


def _proposed(proposed: Proposed) -> list[str]:
    """Say whose configuration counts, and what the checked tree would change of it."""
    counts = f"configuration: {proposed.path or 'none'} of {clean(proposed.revision)}"
    if not proposed.changes:
        return [f"{counts}; the checked tree changes nothing of it"]
    lines = [f"{counts}; what the checked tree changes does not count:"]
    for change in proposed.changes:
        place = f" ({clean(change.path)}:{change.line})" if change.line else ""
        what = dotted((change.key,)) if change.key else "its .sslint.yaml cannot be read"
        lines.append(f"  {what}{f' is {change.how}' if change.key else ''}{place}")
    return lines


def _rank(finding: Finding) -> int:
    """Return how bad a finding is; 0 is the worst."""
    return SEVERITIES.index(finding.severity)


def _place(finding: Finding) -> tuple[object, ...]:
    """Return what findings have in common that are shown as one, say the ports of one line."""
    entity = finding.fact.entity if finding.span is None else ""
    return finding.severity, finding.rule.name, finding.span, finding.related, entity


# -- one finding ----------------------------------------------------------------------------


class _Finding:
    """A finding in words, or several that a rule has for the same lines."""

    def __init__(
        self, alike: Sequence[Finding], shown: Places, paint: Painter, width: int | None
    ) -> None:
        self.alike = alike
        self.finding = finding = alike[0]
        self.shown = shown
        self.paint = paint
        own = [finding.span] if finding.span is not None else []
        self.spans = [*own, *finding.related[:MAX_RELATED]]
        self.digits = max((len(str(span.location.line)) for span in self.spans), default=1)
        room = MAX_WIDTH if width is None else max(MIN_WIDTH, width - self.digits - 3)
        self.width = min(MAX_WIDTH, room)

    def lines(self, fixes: Mapping[int, Fix]) -> list[str]:
        """Return the finding's lines. `fixes` are those of the run."""
        finding, paint, margin = self.finding, self.paint, " " * self.digits
        head = paint(f"{finding.severity}[{finding.rule.name}]", finding.severity)
        lines = [f"{head}: {paint(clean(one.message), 'bold')}" for one in self.alike]
        for span in self.spans:
            lines += self._excerpt(span, primary=span is self.spans[0])
        if len(finding.related) > MAX_RELATED:
            more = f"and {len(finding.related) - MAX_RELATED} more"
            lines.append(f"{margin} {paint(':::', 'gutter')} {more}")
        if not self.spans:
            name = finding.fact.entity
            where = self.shown(name) if finding.rule.each == "problem" else name
            lines.append(f"{margin} {paint('-->', 'gutter')} {clean(where)}")
        said = dict.fromkeys(
            note for one in self.alike for note in self._notes(one, fixes.get(id(one)))
        )
        if said:
            lines.append(f"{margin} {paint('|', 'gutter')}")
        bullet = paint("=", "gutter")
        lines += [f"{margin} {bullet} {paint(name, 'bold')}: {clean(text)}" for name, text in said]
        return lines

    def _notes(self, finding: Finding, fix: Fix | None) -> list[tuple[str, str]]:
        notes = [("clients", finding.clients)] if finding.clients else []
        if fix is None:
            notes += [("fix", finding.advice)] if finding.advice else []
        else:
            label = "fix (proved)" if fix.proved else "fix"
            edits = (replace(edit, path=self.shown(edit.path)) for edit in fix.edits)
            if fix.title and (finding.advice or not fix.edits):
                notes.append((label if not fix.edits else "fix", fix.title))
            notes += [(label, text) for text in _told(tuple(edits), fix)]
            notes += [("now", command) for command in fix.commands]
        others = list({(one.message, one.span): one for one in finding.also_affects}.values())
        also = [("also", self._consequence(other)) for other in others[:MAX_ALSO]]
        if len(others) > MAX_ALSO:
            more = f"{len(others) - MAX_ALSO:,} more; --format json has them all"
            also.append(("also", more))
        return notes + also

    def _consequence(self, other: Finding) -> str:
        if other.span is None:
            return other.message
        place = other.span.location
        return f"{other.message} ({self.shown(place.path)}:{place.line})"

    def _excerpt(self, span: Span, *, primary: bool) -> list[str]:
        place, paint, width = span.location, self.paint, self.width
        margin = " " * self.digits
        bar = paint("|", "gutter")
        arrow = paint("-->" if primary else ":::", "gutter")
        opens = self.shown(place.path)
        where = paint.link(f"{clean(opens)}:{place.line}:{place.column}", opens)
        raw = place.file.shown(place.line)
        # Cut first: a hostile line may be megabytes long.
        raw = raw[: place.column + 2 * MAX_WIDTH]
        before = clean(raw[: place.column - 1].expandtabs(8))
        end = place.end if place.end is not None else place.column + len(raw[place.column - 1 :])
        marked = clean(raw[place.column - 1 : end - 1].expandtabs(8))
        after = clean(raw[end - 1 :].expandtabs(8))
        if len(before) >= width:
            before = ""
        text = (before + marked + after)[:width]
        carets = ("^" if primary else "-") * max(1, min(len(marked), width - len(before)))
        number = paint(str(place.line).rjust(self.digits), "gutter")
        colour = self.finding.severity if primary else "gutter"
        label = paint(f"{carets} {clean(span.message)}".rstrip(), colour)
        return [
            f"{margin} {arrow} {where}",
            f"{margin} {bar}",
            f"{number} {bar} {text}".rstrip(),
            f"{margin} {bar} {' ' * len(before)}{label}",
        ]


def _told(edits: Sequence[Edit], fix: Fix) -> Iterable[str]:
    """Say the edits; of more than a few only where they are, and what shows them."""
    if len(edits) <= MAX_EDITS:
        return map(str, edits)
    if not fix.proved:  # `sslint fix` does not make them
        more = f"{len(edits) - MAX_EDITS:,} more; --format json has them all"
        return [*map(str, edits[:MAX_EDITS]), more]
    lines: dict[str, list[int]] = {}
    for edit in edits:
        lines.setdefault(edit.path, []).append(edit.line)
    places = (f"{path}, {_range(min(some), max(some))}" for path, some in lines.items())
    command = "sslint fix --allow-open" if fix.kind == "opens" else "sslint fix"
    return [f"{', '.join(places)}: {command} shows the edit"]


def _range(first: int, last: int) -> str:
    return f"line {first}" if first == last else f"lines {first} to {last}"


# -- the tally ------------------------------------------------------------------------------


def _summary(result: Result) -> str:
    counts = [
        _count(sum(f.severity == severity for f in result.findings), severity)
        for severity in SEVERITIES
    ]
    found = ", ".join(text for text in counts if text) or "no findings"
    files = {r for host in result.hosts for r in _files(host)}
    endpoints = sum(len(host.sockets) for host in result.hosts)
    rulesets = sum(len(host.ruleset.sources) for host in result.hosts)
    parts = [
        _count(len(files), "file"),
        _count(endpoints, "endpoint") or "no endpoint",
        _count(rulesets, "ruleset") or "no ruleset",
    ]
    where = _count(len(result.hosts), "host")
    tail = f"; {result.ignored} ignored" if result.ignored else ""
    tail += f"; {result.baselined} in the baseline" if result.baselined else ""
    unread = sum(problem.decisive for host in result.hosts for problem in host.problems)
    tail += f"; {_count(unread, 'place')} could not be read" if unread else ""
    return f"{found} in {where} ({', '.join(p for p in parts if p)}){tail}"


def _files(host: Host) -> Iterable[tuple[str, str]]:
    for reading in host.readings:
        for path in reading.files:
            yield host.name, path
    for source in host.ruleset.sources:
        yield host.name, source.path


def _count(number: int, noun: str) -> str:
    if not number:
        return ""
    plural = noun if number == 1 or noun == "info" else f"{noun}s"
    return f"{number} {plural}"
