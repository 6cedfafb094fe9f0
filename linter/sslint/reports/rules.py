"""The catalogue of rules, and the explanation of one."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from sslint.engine import Rule, described
from sslint.fixes import kind_of
from sslint.plain import clean

WIDTH = 96


def rule_data(rule: Rule) -> dict[str, Any]:
    """Return a rule as data."""
    document = rule.document
    return {
        "name": rule.name,
        "family": rule.family,
        "severity": rule.default_severity,
        "severities": list(rule.possible),
        "summary": rule.summary,
        "why": rule.why,
        "bad": document.get("bad"),
        "good": document.get("good"),
        "since": document.get("since"),
        "references": list(document.get("references", ())),
        "fix": kind_of(rule),
    }


# How a rule's edit is made, by the kind of the fix.
EDITED = {
    "safe": "`sslint fix` makes the edit if it can prove it.",
    "opens": "`sslint fix --allow-open` makes the edit if it can prove it. It lets clients in.",
}


def table(rules: Sequence[Rule], width: int | None = None) -> str:
    """Return a line a rule, cut to `width` characters if given."""
    names = max(len(rule.name) for rule in rules)
    families = max(len(rule.family) for rule in rules)
    ranges = {rule.name: ", ".join(rule.possible) for rule in rules}
    widest = max(map(len, ranges.values()))
    lines = [
        f"{rule.name.ljust(names)}  {rule.family.ljust(families)}  "
        f"{ranges[rule.name].ljust(widest)}  {clean(rule.summary)}"
        for rule in rules
    ]
    if width is not None:
        lines = [line if len(line) <= width else line[: width - 3] + "..." for line in lines]
    return "\n".join([*lines, "", f"{len(rules)} rules; sslint explain RULE says more"]) + "\n"


def explain(rule: Rule, width: int | None = None) -> str:
    """Return why a rule exists, how it looks when it fails, and how to fix it."""
    document = rule.document
    room = min(WIDTH, width or WIDTH)

    def wrapped(text: str, indent: str = "") -> list[str]:
        return textwrap.wrap(
            text, room, initial_indent=indent, subsequent_indent="  " if indent else ""
        )

    head = f"{rule.name} ({rule.family}, {severities(rule)})"
    lines = [head, "", rule.summary, "", *wrapped(rule.why)]
    for title, key in (("Bad", "bad"), ("Good", "good")):
        if document.get(key):
            lines += ["", f"{title}:", "", *("    " + x for x in document[key].splitlines())]
    for title, template in (("What a client sees", rule.clients), ("How to fix it", rule.advice)):
        if template:
            lines += ["", f"{title}:", *wrapped(described(template, rule.words))]
    if edited := EDITED.get(kind_of(rule) or ""):
        lines += ["", *wrapped(edited.replace("`", ""))]
    if document.get("guards"):
        lines += ["", "When it stays silent:"]
        lines += [line for guard in document["guards"] for line in wrapped(guard, "- ")]
    if document.get("references"):
        lines += ["", "References:", *(f"  {url}" for url in document["references"])]
    return "\n".join(clean(line.expandtabs(4)) for line in lines) + "\n"


def severities(rule: Rule) -> str:
    """Return the severities that a rule can have in words, the worst first."""
    *others, last = rule.possible
    return f"{', '.join(others)} or {last}" if others else last
