"""The edits of a fix as a unified diff to look at; `sslint fix` prints one to apply."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sslint.fixes.edits import hunks
from sslint.plain import clean
from sslint.tree import TreeError

if TYPE_CHECKING:
    from sslint.fixes.edits import Fix
    from sslint.tree import Tree

AROUND = 2  # lines shown before and after a change


def diff(tree: Tree, fix: Fix) -> list[str]:
    """Return the lines of a diff; nothing where a file is not at hand."""
    lines: list[str] = []
    for path in dict.fromkeys(edit.path for edit in fix.edits):
        edits = [edit for edit in fix.edits if edit.path == path]
        try:
            text = tree.read(edits[0].host_path or f"/{path}").text
        except TreeError:
            continue
        body = [line for hunk in hunks(text, edits, AROUND) for line in hunk[:-1].split("\n")]
        if body:
            lines += [f"--- {clean(path)}", f"+++ {clean(path)}"]
            lines += [line[:1] + clean(line[1:].expandtabs(8)) for line in body]
    return lines
