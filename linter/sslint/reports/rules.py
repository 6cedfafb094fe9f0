"""The catalogue of rules, and the explanation of one."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from sslint.engine import Rule, described

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
    }


def table(rules: Sequence[Rule]) -> str:
    """Return a line a rule."""
    width = max(len(rule.name) for rule in rules)
    families = max(len(rule.family) for rule in rules)
    ranges = {rule.name: ", ".join(rule.possible) for rule in rules}
    widest = max(map(len, ranges.values()))
    lines = [
        f"{rule.name.ljust(width)}  {rule.family.ljust(families)}  "
        f"{ranges[rule.name].ljust(widest)}  {rule.summary}"
        for rule in rules
    ]
    return "\n".join([*lines, "", f"{len(rules)} rules; sslint explain RULE says more"]) + "\n"


def explain(rule: Rule) -> str:
    """Return why a rule exists, how it looks when it fails, and how to mend."""
    document = rule.document
    lines = [
        f"{rule.name} ({rule.family}, {' or '.join(rule.possible)})",
        "",
        rule.summary,
        "",
        *textwrap.wrap(rule.why, WIDTH),
    ]
    for title, key in (("Bad", "bad"), ("Good", "good")):
        if document.get(key):
            lines += ["", f"{title}:", "", *("    " + x for x in document[key].splitlines())]
    for title, template in (("What a client sees", rule.clients), ("How to mend", rule.advice)):
        if template:
            text = described(template, rule.words)
            lines += ["", f"{title}:", *textwrap.wrap(text, WIDTH)]
    if document.get("references"):
        lines += ["", "References:", *(f"  {url}" for url in document["references"])]
    return "\n".join(lines) + "\n"
