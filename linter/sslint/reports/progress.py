"""How far a run is, on one line of a terminal that is cleared at the end."""

from __future__ import annotations

import os
import time
from typing import TextIO

from sslint.plain import clean, harmless

AFTER = 1.0  # seconds of silence
EVERY = 0.1  # seconds between two lines
WIDTH = 80  # where the terminal does not say


class Progress:
    """Show what is done, from a second after the start on."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.next = time.monotonic() + AFTER
        self.shown = False

    def __call__(self, text: str) -> None:
        """Say what is being done now."""
        now = time.monotonic()
        if now >= self.next:
            self.next = now + EVERY
            self.shown = True
            self._write(f"\r\x1b[K{harmless(clean(text))[: self._columns() - 1]}")

    def clear(self) -> None:
        """Leave the line as it was."""
        if self.shown:
            self._write("\r\x1b[K")

    def _columns(self) -> int:
        """Return how wide the terminal is now: what is longer is not cleared."""
        try:
            return os.get_terminal_size(self.stream.fileno()).columns or WIDTH
        except (OSError, ValueError):
            return WIDTH

    def _write(self, text: str) -> None:
        try:
            self.stream.write(text)
            self.stream.flush()
        except OSError:  # the terminal has gone
            self.next = float("inf")
