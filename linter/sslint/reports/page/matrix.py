"""Many hosts at once: a table of hosts by services, each cell a link into the host's picture."""

from __future__ import annotations

from collections.abc import Sequence

from sslint.reports.groups import ALL
from sslint.reports.page.markup import Markup, joined, tag
from sslint.reports.page.picture import STANDINGS, Picture, Service
from sslint.reports.page.services import key_of, mark

STATES = {
    "error": "error", "warning": "warning", "info": "info", "unknown": "unknown",
    "sound": "open", "quiet": "calm",
}  # fmt: skip
WORDS = {
    "error": "error", "warning": "warning", "info": "info", "unknown": "not judged",
    "sound": "sound", "quiet": "closed or local",
}  # fmt: skip


def matrix(pictures: Sequence[tuple[str, Picture]]) -> Markup:
    """Return the table; `pictures` are by the id of their host, the worst first."""
    used = [
        group for group in ALL if any(s.group == group for _, p in pictures for s in p.services)
    ]
    dated = any(paper.days is not None for _, one in pictures for paper in one.papers)
    heads = ["Host", "Standing", *used, *(["Certificate"] if dated else [])]
    head = tag("tr", [tag("th", text, scope="col") for text in heads])
    rows = [_row(key, one, used, dated) for key, one in pictures]
    table = tag("table", tag("thead", head), tag("tbody", rows))
    return tag("div", table, class_="matrix", tabindex="0", role="region", aria_label="Hosts")


def _row(key: str, one: Picture, groups: Sequence[str], dated: bool) -> Markup:
    standing = one.standing
    cells = [
        tag("th", tag("a", one.name, href=f"#{key}"), scope="row"),
        tag("td", mark(STATES[standing]), " ", WORDS[standing]),
    ]
    for group in groups:
        chips = [_chip(key, service) for service in one.services if service.group == group]
        cells.append(tag("td", joined(chips, " ")))
    days = [paper for paper in one.papers if paper.days is not None]
    worst = min(days, key=lambda paper: paper.days or 0, default=None)
    left = tag("b", worst.left, class_=f"days {worst.health}") if worst is not None else None
    cells += [tag("td", left)] if dated else []
    return tag("tr", cells, class_=standing)


def _chip(key: str, service: Service) -> Markup:
    state = STATES[service.standing]
    port = str(service.port) if service.transport == "tcp" else f"{service.port}/udp"
    word = tag("span", f" {WORDS[service.standing]}", class_="vh")
    where = f"#{key_of(key, service)}"
    return tag("a", mark(state), port, word, class_=f"chip {service.standing}", href=where)


def tally(pictures: Sequence[tuple[str, Picture]]) -> Markup:
    """Return how many hosts stand how."""
    found = [one.standing for _, one in pictures]
    parts = []
    for standing in STANDINGS:
        count = found.count(standing)
        if count:
            noun = "host" if count == 1 else "hosts"
            words = WORDS[standing]
            parts.append(tag("span", mark(STATES[standing]), tag("b", count), f" {noun}: {words}"))
    return tag("p", parts, class_="tally")
