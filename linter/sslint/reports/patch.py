"""The edits of a fix as a unified diff."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from sslint.plain import clean
from sslint.tree import TreeError

if TYPE_CHECKING:
    from sslint.fixes.edits import Edit, Fix
    from sslint.tree import Tree

AROUND = 2  # lines shown before and after a change


def diff(tree: Tree, fix: Fix) -> list[str]:
    """Return the lines of a diff; nothing where a file is not at hand."""
    lines: list[str] = []
    for path in dict.fromkeys(edit.path for edit in fix.edits):
        edits = sorted(
            (edit for edit in fix.edits if edit.path == path), key=lambda edit: edit.line
        )
        try:
            source = tree.read(edits[0].host_path or f"/{path}").text.split("\n")
        except TreeError:
            continue
        lines += [f"--- {clean(path)}", f"+++ {clean(path)}", *_hunks(source, edits)]
    return lines


def _hunks(source: Sequence[str], edits: Sequence[Edit]) -> Iterator[str]:
    moved = 0  # how many lines the edits so far have added
    for edit in edits:
        added = [] if edit.action == "delete" else edit.text.split("\n")
        # The lines that stay before the change, and where the change begins (from 0).
        at = edit.line if edit.action == "after" else edit.line - 1
        gone = source[at : at + 1] if edit.action in ("replace", "delete") else []
        before = source[max(0, at - AROUND) : at]
        after = source[at + len(gone) : at + len(gone) + AROUND]
        if after and after[-1] == "" and at + len(gone) + len(after) == len(source):
            after = after[:-1]  # what follows the last line feed is no line
        start = at - len(before) + 1
        old, new = len(before) + len(gone) + len(after), len(before) + len(added) + len(after)
        yield f"@@ -{start},{old} +{start + moved},{new} @@"
        yield from (f" {clean(line)}" for line in before)
        yield from (f"-{clean(line)}" for line in gone)
        yield from (f"+{clean(line)}" for line in added)
        yield from (f" {clean(line)}" for line in after)
        moved += len(added) - len(gone)
