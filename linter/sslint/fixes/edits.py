"""What a fix is: edits of the host's files, commands, advice."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from sslint.values import dataclass


@dataclass(frozen=True, slots=True)
class Edit:
    """One edit of a file: insert `text` before or after `line`, replace the line, or delete it."""

    path: str
    line: int
    action: Literal["before", "after", "replace", "delete"]
    text: str
    host_path: str = ""

    def __str__(self) -> str:
        if self.action == "delete":
            return f"{self.path}, delete line {self.line}: {self.text.strip()}"
        return f"{self.path}, {self.action} line {self.line}: {self.text.strip()}"


@dataclass(frozen=True, slots=True)
class Fix:
    """The fix of a finding. `proved`: the edits remove the finding and add none."""

    title: str
    kind: Literal["safe", "opens", "advice"]
    edits: tuple[Edit, ...] = ()
    commands: tuple[str, ...] = ()
    proved: bool = False


def apply(text: str, edits: Iterable[Edit]) -> str:
    """Return a text with edits made; their lines are those of the text as it is."""
    lines = text.split("\n")
    for edit in sorted(edits, key=lambda e: (e.line, e.action), reverse=True):
        index = edit.line - 1
        if edit.action == "before":
            lines.insert(index, edit.text)
        elif edit.action == "after":
            lines.insert(index + 1, edit.text)
        elif edit.action == "delete":
            del lines[index]
        else:
            lines[index] = edit.text
    return "\n".join(lines)
