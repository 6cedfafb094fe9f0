"""What each part of a host was read from: after an edit, what it does not touch is not read again.

A part is read through a view of the tree, whose record has each file that it saw the contents, the
mode or the owner of, and all that it reported; also what it reads when it is asked for more later.
An edit changes files that are there, so that no path comes, goes or leads elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

from sslint.tree import Record, Tree
from sslint.values import dataclass

T = TypeVar("T")


@dataclass(slots=True)
class _Part:
    given: object
    result: Any
    record: Record


class Parts:
    """The parts of a host's reading, in the order in which they are read."""

    def __init__(self, known: Mapping[str, _Part] | None = None) -> None:
        self._known = known or {}
        self._read: dict[str, _Part] = {}
        self.again: list[str] = []  # which were not known

    def __reduce__(self) -> tuple[Any, ...]:
        """Stay behind where a host is sent to another process: nothing of it is edited there."""
        return Parts, ()

    def read(self, name: str, tree: Tree, given: object, make: Callable[[Tree], T]) -> T:
        """Return what `make` reads of a tree, or what it did before of the same.

        `given` is what the part rests on beside the files: it is read again where that differs.
        """
        part = self._read.get(name)
        if part is None or part.given != given:
            part = self._known.get(name)
            if part is not None and part.given == given:
                tree.repeat(part.record)
            else:
                view = tree.view()
                part = _Part(given, make(view), view.record)
                self.again.append(name)
            self._read[name] = part
        result: T = part.result
        return result

    def forget(self, name: str) -> None:
        """Have a part read again in any case."""
        self._read.pop(name, None)

    def has(self, name: str) -> bool:
        """Tell whether a part is known."""
        return name in self._known

    def without(self, tree: Tree, paths: Collection[str]) -> Parts:
        """Return the parts that hold for a tree in which files at some resolved paths differ."""
        return Parts(
            {
                name: part
                for name, part in self._read.items()
                if not tree.lead_to(part.record.files, paths)
            }
        )
