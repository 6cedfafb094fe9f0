"""What every page has: its head, its marks, its style and script; nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sslint.reports.page.markup import Markup, tag
from sslint.reports.page.services import mark
from sslint.tree import read_bundled

HERE = Path(__file__).parent


def page(title: str, body: Markup) -> str:
    """Return a page that loads nothing; a policy in it allows no script but its own."""
    style, script = read_bundled(HERE / "page.css"), read_bundled(HERE / "page.js")
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{_hash(script)}'"
    head = [
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width,initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Markup(style)),
    ]
    code = tag("script", Markup(script))
    page = tag("html", tag("head", head), tag("body", body, code), lang="en")
    return f"<!doctype html>\n{page}\n"


def _hash(script: str) -> str:
    from base64 import b64encode
    from hashlib import sha256

    return b64encode(sha256(script.encode()).digest()).decode()


def legend(marks: Mapping[str, str]) -> Markup:
    """Return what the marks mean."""
    parts = [tag("span", mark(state), text) for state, text in marks.items()]
    return tag("p", parts, class_="legend")


def symbols() -> Markup:
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
