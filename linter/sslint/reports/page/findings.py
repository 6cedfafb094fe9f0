"""The findings with their excerpts and fixes, the certificates in time, and what was not judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sslint.reports.page.certificates import Paper
from sslint.reports.page.fixes import remedy
from sslint.reports.page.markup import Markup, joined, tag
from sslint.reports.page.services import excerpt, mark_of
from sslint.reports.rows import Gap, Row

if TYPE_CHECKING:
    from sslint.tree import Tree

MAX_PLACES = 6
SPAN = timedelta(days=400)  # how far ahead the timeline looks at most
_TICKS = (0, 30, 90, 180, 365)


def findings(rows: Sequence[Row], host: str, tree: Tree, numbers: Mapping[int, int]) -> Markup:
    """Return each finding with both sides, what a client sees, and the fix as a diff."""
    if not rows:
        return tag("p", "No findings.")
    return joined(_finding(row, f"{host}-f{numbers[id(row)]}", tree) for row in rows)


def _finding(row: Row, key: str, tree: Tree) -> Markup:
    parts: list[object] = [
        tag("h4", mark_of(row.severity), " ", row.message),
        [excerpt(place) for place in (row.place, *row.related)[:MAX_PLACES]],
    ]
    more = len(row.related) + 1 - MAX_PLACES
    parts.append(tag("p", f"and {more} more places") if more > 0 else None)
    parts.append(tag("p", tag("b", "Clients: "), row.clients) if row.clients else None)
    parts.append(remedy(row, tree))
    if row.also:
        parts.append(tag("ul", [tag("li", text) for text in row.also]))
    parts.append(tag("p", tag("code", f"sslint explain {row.rule.name}"), class_="at"))
    return tag("article", parts, class_=f"finding {row.severity}", id=key)


# -- certificates ---------------------------------------------------------------------------


def timeline(papers: Sequence[Paper], now: datetime) -> Markup:
    """Return the certificates as bars from now to their end, with the days of renewal."""
    known = [paper for paper in papers if paper.ends is not None]
    other = [paper for paper in papers if paper.ends is None]
    parts: list[object] = []
    if known:
        last = max(paper.ends for paper in known if paper.ends is not None)
        span = min(SPAN, max(timedelta(days=100), last - now))
        ticks = [
            tag("i", "now" if not day else f"{day} d", style=f"left:{_at(day, span)}%")
            for day in _TICKS
            if day <= span.days
        ]
        stripe = tag("span", tag("i", class_="due"), class_="key")
        key = ["A bar ends where the certificate expires; ", stripe, ": its renewal is due."]
        parts.append(tag("p", key, class_="at"))
        parts.append(tag("div", ticks, class_="ticks", aria_hidden="true"))
        known.sort(key=lambda paper: paper.ends or now)
        parts.append(tag("ul", [_bar(paper, now, span) for paper in known], class_="time"))
    if other:
        parts.append(tag("p", "Not in the files, so that their days are not known:"))
        parts.append(tag("ul", [tag("li", tag("code", paper.path)) for paper in other]))
    return joined(parts)


def _bar(paper: Paper, now: datetime, span: timedelta) -> Markup:
    assert paper.ends is not None
    assert paper.renews is not None
    end = _at((paper.ends - now).total_seconds() / 86400, span)
    due = _at((paper.renews - now).total_seconds() / 86400, span)
    bars = [tag("i", class_="life", style=f"width:{end}%")]
    if end > due:
        bars.append(tag("i", class_="due", style=f"left:{due}%;width:{round(end - due, 1)}%"))
    name = paper.names[0] if paper.names else paper.path
    past = "expired" if paper.health == "expired" else "expires"
    due_on = "was due" if paper.due else "due"
    dates = f"{past} {paper.ends:%Y-%m-%d}, renewal {due_on} {paper.renews:%Y-%m-%d}"
    words = [tag("b", paper.left), " ", tag("small", dates)]
    label = tag("span", tag("b", name), tag("small", ", ".join(paper.ports)), class_="who")
    track = tag("span", bars, class_="track", aria_hidden="true")
    return tag("li", label, track, tag("span", words, class_="w"), class_=paper.health)


def _at(days: float, span: timedelta) -> float:
    return round(min(100.0, max(0.0, days * 86400 / span.total_seconds() * 100)), 1)


# -- what was not judged --------------------------------------------------------------------


def unjudged(gaps: Sequence[Gap], assumed: Sequence[str]) -> Markup:
    """Return what could not be judged or read, and what was assumed."""
    parts: list[object] = []
    if gaps:
        items = [tag("li", tag("code", str(gap.place)), " ", gap.reason) for gap in gaps]
        parts += [tag("h3", "Not judged"), tag("ul", items)]
    if assumed:
        items = [tag("li", text) for text in assumed]
        parts += [tag("h3", "Assumed"), tag("ul", items)]
    return joined(parts) if parts else tag("p", "Everything that was found was judged.")
