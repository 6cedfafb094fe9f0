"""What to do about a finding: the fix in words, as a diff, and the commands for now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sslint.reports.page.markup import Markup, joined, tag
from sslint.reports.patch import diff

if TYPE_CHECKING:
    from sslint.reports.rows import Row
    from sslint.tree import Tree

_KINDS = {"+": "ins", "-": "del"}


def remedy(row: Row, tree: Tree) -> Markup:
    """Return the fix of a finding; nothing where it has none."""
    parts: list[object] = []
    if row.remedy:
        proved = " (proved)" if row.fix is not None and row.fix.proved else ""
        parts.append(tag("p", tag("b", f"Fix{proved}: "), row.remedy[0]))
    lines = diff(tree, row.fix) if row.fix is not None else []
    if lines:
        body = [_line(line) for line in lines]
        parts.append(tag("pre", joined(body, "\n"), class_="diff", tabindex="0"))
    if row.remedy[1:]:
        parts.append(tag("p", tag("b", "Now: ")))
        parts.append(tag("pre", "\n".join(row.remedy[1:]), tabindex="0"))
    return joined(parts)


def _line(line: str) -> Markup:
    kind = None if line.startswith(("+++", "---")) else _KINDS.get(line[:1])
    return tag(kind, line) if kind is not None else joined([line])
