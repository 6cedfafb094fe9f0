"""What is made of the rules and facts: `python -m sslint.reports.markdown docs` writes a
page for each rule, and the list of fields with its JSON Schema."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from sslint import engine
from sslint.bundled import schema_path
from sslint.engine import Rule
from sslint.fixes import kind_of
from sslint.reports import fields
from sslint.reports.rules import EDITED, severities
from sslint.tree import write_named

WIDTH = 100


def page(rule: Rule) -> str:
    """Return the page of one rule."""
    document = rule.document
    lines = [
        f"# {rule.name}",
        "",
        f"{rule.summary}.",
        "",
        f"Family {rule.family}, severity {severities(rule)}, "
        f"since {document.get('since', 'unreleased')}.",
        "",
        "## Why",
        "",
        *textwrap.wrap(rule.why, WIDTH, break_long_words=False),
    ]
    for title, key in (("Bad", "bad"), ("Good", "good")):
        if document.get(key):
            lines += ["", f"## {title}", "", "```", *document[key].rstrip("\n").split("\n"), "```"]
    if rule.clients:
        lines += ["", "## What a client sees", "", *_wrapped(rule, rule.clients)]
    if rule.advice:
        lines += ["", "## How to fix it", "", *_wrapped(rule, rule.advice)]
    if edited := EDITED.get(kind_of(rule) or ""):
        lines += ["", *([] if rule.advice else ["## How to fix it", ""]), edited]
    if document.get("guards"):
        lines += [
            "",
            "## When it stays silent",
            "",
            *(f"- {guard}" for guard in document["guards"]),
        ]
    if rule.consequence_of:
        causes = ", ".join(f"`{name}`" for name in sorted(rule.consequence_of))
        text = (
            f"If one of these is reported for the same port, this one is listed below it: {causes}."
        )
        lines += ["", "## Causes", "", *textwrap.wrap(text, WIDTH, break_on_hyphens=False)]
    if document.get("references"):
        lines += ["", "## References", "", *(f"- <{url}>" for url in document["references"])]
    return "\n".join(lines) + "\n"


def _wrapped(rule: Rule, template: str) -> list[str]:
    text = engine.described(template, rule.words)
    return textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def index(rules: Sequence[Rule]) -> str:
    """Return the list of all rules by family."""
    lines = ["# Rules", "", f"{len(rules)} rules. `sslint explain RULE` prints the same."]
    for family in dict.fromkeys(rule.family for rule in rules):
        lines += ["", f"## {family}", "", "| rule | severity | what it finds |", "|---|---|---|"]
        lines += [
            f"| [{rule.name}]({rule.name}.md) | {', '.join(rule.possible)} | {rule.summary} |"
            for rule in rules
            if rule.family == family
        ]
    return "\n".join(lines) + "\n"


def pages(rules: Sequence[Rule]) -> Mapping[str, str]:
    """Return every page by its file name."""
    return {"README.md": index(rules), **{f"{rule.name}.md": page(rule) for rule in rules}}


def main(docs: str) -> None:
    """Write what is made of the rules and of the facts' classes.

    Pages of rules that are gone are removed.
    """
    write_named(str(schema_path("facts")), fields.schema())
    write_named(str(schema_path("config")), fields.settings_schema())
    write_named(str(Path(docs) / "facts.md"), fields.manual())
    target = Path(docs) / "rules"
    target.mkdir(parents=True, exist_ok=True)
    wanted = pages(engine.bundled())
    for old in target.glob("*.md"):
        if old.name not in wanted:
            old.unlink()
    for name, text in wanted.items():
        write_named(str(target / name), text)


if __name__ == "__main__":
    main(sys.argv[1])
