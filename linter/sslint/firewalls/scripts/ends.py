"""How a command ends that does not just return: it leaves the shell, or what it does is unknown."""

from __future__ import annotations

from typing import Literal

Status = int | None  # None where it is not known
Kind = Literal["exit", "return", "break", "continue"]


class Leave(Exception):  # noqa: N818 - no error, but a way out
    """Leave a loop, a function, or the shell."""

    def __init__(self, kind: Kind, status: Status, levels: int = 1) -> None:
        super().__init__(kind)
        self.kind: Kind = kind
        self.status = status
        self.levels = levels


class UnsureError(Exception):
    """It is not known what ufw or firewalld makes of a command."""
