"""One HTML page that shows who reaches what: self-contained, readable without its script.

Nothing is loaded from anywhere, and a policy in the page itself forbids it; the script is allowed
by its hash alone, so that no text of a checked file could become one.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from sslint import __version__
from sslint.judged import tally as sentence
from sslint.plain import clean
from sslint.reports.page import findings, matrix
from sslint.reports.page.frame import legend, page, symbols
from sslint.reports.page.markup import Markup, tag
from sslint.reports.page.picture import STANDINGS, Picture, picture
from sslint.reports.page.services import MARKS, mark, services
from sslint.reports.rows import gaps, rows

if TYPE_CHECKING:
    from sslint.host import Host
    from sslint.result import Result


def report(result: Result) -> str:
    """Return the page."""
    found, missing = rows(result), gaps(result)
    hosts = {host.name: host for host in result.hosts}
    pictures = [
        picture(
            host,
            [row for row in found if row.key == name],
            [gap for gap in missing if gap.key == name],
        )
        for name, host in hosts.items()
    ]
    pictures.sort(key=lambda one: (STANDINGS.index(one.standing), -len(one.findings), one.name))
    named = [(f"h{number}", one) for number, one in enumerate(pictures)]
    several = len(named) > 1
    words = clean(sentence(result.judged))
    body = [symbols()]
    if several:
        now = max(one.now for one in pictures)
        body.append(
            tag(
                "header",
                tag("h1", f"{len(named)} hosts"),
                matrix.tally(named),
                tag("p", f"{words}. Checked {now:%Y-%m-%d} by sslint {__version__}."),
                matrix.matrix(named),
                legend({matrix.STATES[one]: word for one, word in matrix.WORDS.items()}),
                id="top",
            )
        )
    body += [_host(key, one, hosts[one.key], alone=not several) for key, one in named]
    if not named:
        body.append(tag("h1", "Nothing to check"))
    title = pictures[0].name if len(named) == 1 else "sslint"
    return page(f"{title}: who reaches what", tag("main", body))


def _host(key: str, one: Picture, host: Host, *, alone: bool) -> Markup:
    numbers = {id(row): number for number, row in enumerate(one.findings)}
    back = None if alone else tag("p", tag("a", "All hosts", href="#top"), class_="back")
    parts = [
        back,
        tag("h1", one.name),
        _summary(one, alone),
        tag("h2", "Services", class_="vh"),
        tag("div", services(one.services, key, host.tree, numbers), class_="picture")
        if one.services
        else tag("p", "No listener was found."),
        legend(MARKS),
        tag("h3", "Findings"),
        findings.findings(one.findings, key, host.tree, numbers),
    ]
    if one.papers:
        parts += [tag("h3", "Certificates"), findings.timeline(one.papers, one.now)]
    parts.append(findings.unjudged(one.gaps, one.assumed))
    return tag("section", parts, class_="host", id=key)


def _summary(one: Picture, alone: bool) -> Markup:
    counts = Counter(service.standing for service in one.services)
    parts = []
    for standing in STANDINGS:
        if counts[standing]:
            state, word = matrix.STATES[standing], _WORDS[standing]
            parts.append(tag("span", mark(state), tag("b", counts[standing]), f" {word}"))
    rules = ", ".join(one.rulesets[:3]) or "no firewall in the files"
    said = [tag("span", f"firewall: {rules}")]
    if alone:
        said.append(tag("span", f"checked {one.now:%Y-%m-%d} by sslint {__version__}"))
    return tag("p", parts, said, class_="tally")


_WORDS = {
    "error": "broken", "warning": "with a warning", "info": "with a remark",
    "unknown": "not judged", "sound": "sound", "quiet": "closed or local",
}  # fmt: skip
