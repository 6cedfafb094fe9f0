"""One HTML page that shows who reaches what: self-contained, readable without its script.

Nothing is loaded from anywhere, and a policy in the page itself forbids it; the script is allowed
by its hash alone, so that no text of a checked file could become one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from sslint import __version__
from sslint.judged import tally as sentence
from sslint.plain import clean
from sslint.reports.page import findings, matrix
from sslint.reports.page.markup import Markup, tag
from sslint.reports.page.picture import STANDINGS, Picture, picture
from sslint.reports.page.services import MARKS, mark, services
from sslint.reports.rows import gaps, rows
from sslint.tree import read_bundled

if TYPE_CHECKING:
    from sslint.host import Host
    from sslint.result import Result

HERE = Path(__file__).parent


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
    body = [_symbols()]
    if several:
        now = max(one.now for one in pictures)
        body.append(
            tag(
                "header",
                tag("h1", f"{len(named)} hosts"),
                matrix.tally(named),
                tag("p", f"{words}. Checked {now:%Y-%m-%d} by sslint {__version__}."),
                matrix.matrix(named),
                _legend({matrix.STATES[one]: word for one, word in matrix.WORDS.items()}),
                id="top",
            )
        )
    body += [_host(key, one, hosts[one.key], alone=not several) for key, one in named]
    if not named:
        body.append(tag("h1", "Nothing to check"))
    title = pictures[0].name if len(named) == 1 else "sslint"
    return _page(title, tag("main", body))


def _page(title: str, body: Markup) -> str:
    style, script = read_bundled(HERE / "page.css"), read_bundled(HERE / "page.js")
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{_hash(script)}'"
    head = [
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width,initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{title}: who reaches what"),
        tag("style", Markup(style)),
    ]
    code = tag("script", Markup(script))
    page = tag("html", tag("head", head), tag("body", body, code), lang="en")
    return f"<!doctype html>\n{page}\n"


def _hash(script: str) -> str:
    from base64 import b64encode
    from hashlib import sha256

    return b64encode(sha256(script.encode()).digest()).decode()


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
        _legend(MARKS),
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


def _legend(marks: Mapping[str, str]) -> Markup:
    parts = [tag("span", mark(state), text) for state, text in marks.items()]
    return tag("p", parts, class_="legend")


def _symbols() -> Markup:
    """Return the marks: each has a form of its own, so that none depends on its colour."""
    found = [
        tag(
            "symbol",
            Markup(_SHAPES.get(state, _DISC)),
            tag("path", d=line),
            id=f"m-{state}",
            viewBox="0 0 20 20",
        )
        for state, line in _FORMS.items()
    ]
    return tag("svg", found, hidden=True, aria_hidden="true")


_DISC = '<circle cx="10" cy="10" r="9.5"/>'
_SHAPES = {
    "error": '<path class="f" d="M6 .5H14L19.5 6V14L14 19.5H6L.5 14V6Z"/>',
    "warning": '<path class="f" d="M10 1L19.8 19H.2Z"/>',
}
_FORMS = {
    "error": "M10 4V11.5M10 14.6V15.6",
    "warning": "M10 7V12.5M10 15.6V16.2",
    "info": "M10 9V15M10 5.2V5.8",
    "closed": "M6 6L14 14M14 6L6 14",
    "breach": "M10 4V11.5M10 14.2V16",
    "limited": "M10 4.2A5.8 5.8 0 0 1 10 15.8Z",
    "unknown": "M7 7.6A3 3 0 1 1 10 11V12.4M10 14.6V16.2",
    "open": "M5.4 10.4L8.8 13.8L14.8 6.8",
    "calm": "M5.5 10H14.5",
}
