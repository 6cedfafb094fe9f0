"""What the text reports take from where they are shown: colour, width, the working directory."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from sslint.regex import is_number

if TYPE_CHECKING:
    from sslint.tree import Tree

_COLOURS = {
    "error": "1;31", "warning": "1;33", "info": "1;36", "gutter": "1;34", "bold": "1",
    "closed": "1;31", "limited": "33", "unknown": "1;35", "open": "32",
}  # fmt: skip
# What terminals that follow links say of themselves; another shows the bytes, or nothing.
_LINKING = ("VTE_VERSION", "KITTY_WINDOW_ID", "WT_SESSION", "KONSOLE_VERSION", "TERM_PROGRAM")


class Painter:
    """Put colour and links around text, or leave it."""

    def __init__(self, enabled: bool, *, linked: bool = False) -> None:
        self.enabled = enabled
        self.linked = linked

    def link(self, text: str, path: str) -> str:
        """Return text that opens a file where the terminal can."""
        if not self.linked:
            return text
        from socket import gethostname
        from urllib.parse import quote

        url = f"file://{quote(gethostname())}{quote(os.path.abspath(path))}"
        return f"\x1b]8;;{url}\x1b\\{text}\x1b]8;;\x1b\\"

    def __call__(self, text: str, colour: str) -> str:
        """Return the text in a colour."""
        return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if self.enabled else text


def coloured(choice: str) -> bool:
    """Tell whether to colour: as chosen, else by NO_COLOR, FORCE_COLOR and what the terminal is."""
    if choice != "auto":
        return choice == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return sys.stdout is not None and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def linked() -> bool:
    """Tell whether the terminal follows links (OSC 8); FORCE_HYPERLINK says so, or 0 that not."""
    forced = os.environ.get("FORCE_HYPERLINK")
    if forced is not None:
        return forced not in ("", "0")
    if sys.stdout is None or not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        return False
    return any(os.environ.get(name) for name in _LINKING)


def columns() -> int | None:
    """Return how wide a line may be: COLUMNS, else the terminal's width; None on a pipe."""
    text = os.environ.get("COLUMNS", "")
    if is_number(text) and 0 < len(text) < 6 and int(text):
        return int(text)
    if sys.stdout is None:  # closed by who runs it
        return None
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or None
    except (OSError, ValueError):  # a pipe; a stream that is not a file
        return None


Places = Callable[[str], str]
"""From the name that a report uses for a file to a path that opens where the user stands."""


def places(tree: Tree) -> Places:
    """Return a function from the names of a host's files to paths that open from here.

    They are relative below the working directory and absolute elsewhere. A name without a file on
    disk (an overlay, standard input, a manager's built-in table) stays as it is.
    """
    from_files = {file.name: file.path for file in tree.files()}
    try:
        here = os.getcwd().rstrip("/") + "/"
    except OSError:  # the directory is gone
        here = ""
    known: dict[str, str] = {}

    def place(name: str) -> str:
        if name not in known:
            real = tree.on_disk(from_files.get(name), name)
            known[name] = name if real is None else real
            if here and real is not None and real.startswith(here):
                known[name] = real[len(here) :]
        return known[name]

    return place


def interfaces(via: Iterable[str]) -> list[str]:
    """Return the interfaces of `Reach.via` as a person reads them."""
    return ["any other interface" if name == "*" else name for name in via]
