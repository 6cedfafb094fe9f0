"""Regular expressions of sslint's own, each compiled when it is used for the first time.

`re` compiles in Python, 0.15 ms each; there are over two hundred and fifty, and a run uses a third.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

__all__ = ["is_number", "regex"]

if TYPE_CHECKING:
    from re import compile as regex
else:

    class regex:  # noqa: N801 - to its users it is re.compile
        """A pattern whose methods are there as soon as one asks for them."""

        def __init__(self, text: str | bytes, flags: int = 0) -> None:
            self._text = text
            self._flags = flags

        def __getattr__(self, name: str) -> Any:
            found = getattr(re.compile(self._text, self._flags), name)
            setattr(self, name, found)
            return found


def is_number(text: str) -> bool:
    """Tell whether a text is one or more of the digits 0 to 9, as strtoul(3) knows them.

    `str.isdigit` is true for those of other scripts too, and for a raised two, which `int` refuses.
    """
    return text.isascii() and text.isdigit()
