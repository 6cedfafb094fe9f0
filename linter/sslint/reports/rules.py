"""The catalogue of rules, and the explanation of one."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from typing import Any

from sslint.engine import Rule

WIDTH = 96


def rule_data(rule: Rule) -> dict[str, Any]:
    """Return a rule as data."""
    document = rule.document
    return {
        "name": rule.name,
        "family": rule.family,
        "severity": rule.default_severity,
        "severities": sorted({s for _, s in rule.severities} | {rule.default_severity}),
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
    lines = [
        f"{rule.name.ljust(width)}  {rule.family.ljust(families)}  "
        f"{rule.default_severity.ljust(7)}  {rule.summary}"
        for rule in rules
    ]
    return "\n".join([*lines, "", f"{len(rules)} rules; sslint explain RULE says more"]) + "\n"


def explain(rule: Rule) -> str:
    """Return why a rule exists, how it looks when it fails, and how to mend."""
    document = rule.document
    severities = [rule.default_severity, *(s for _, s in rule.severities)]
    lines = [
        f"{rule.name} ({rule.family}, {' or '.join(dict.fromkeys(severities))})",
        "",
        rule.summary,
        "",
        *textwrap.wrap(rule.why, WIDTH),
    ]
    for title, key in (("Bad", "bad"), ("Good", "good")):
        if document.get(key):
            lines += ["", f"{title}:", "", *("    " + x for x in document[key].splitlines())]
    if rule.clients:
        lines += ["", "What a client sees:", *textwrap.wrap(plain(rule.clients), WIDTH)]
    if rule.advice:
        lines += ["", "How to mend:", *textwrap.wrap(plain(rule.advice), WIDTH)]
    if document.get("references"):
        lines += ["", "References:", *(f"  {url}" for url in document["references"])]
    return "\n".join(lines) + "\n"


def plain(template: str) -> str:
    """Show a template's placeholders as words."""
    return re.sub(r"\{([a-z_.0-9]+)\}", lambda m: m.group(1).rsplit(".", 1)[-1].upper(), template)
