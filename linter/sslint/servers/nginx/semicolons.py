"""Statements that took the next one for arguments of theirs, for want of a `;`.

nginx starts with these: server_name takes any words.
"""

from __future__ import annotations

from collections.abc import Sequence

from sslint.regex import regex

# A directive that no host name or file is called, and others where a value of theirs follows.
_DIRECTIVE = regex(
    r"(?:ssl|proxy|fastcgi|client|access|error|auth|add|server|try|keepalive|gzip)_[a-z0-9_]+"
)
_SHORT = frozenset(("root", "include", "listen", "return", "alias", "index", "charset"))
_VALUE = regex(r"[/\d*\[]|on$|off$|index\.|https?:|utf-8$")


def swallowed(args: Sequence[str]) -> int | None:
    """Return which argument of a server_name is the directive that follows it, if one is."""
    if len(args) < 3:
        return None
    for index, word in enumerate(args[1:], 1):
        following = args[index + 1] if index + 1 < len(args) else ""
        if following and (
            _DIRECTIVE.fullmatch(word) or (word in _SHORT and _VALUE.match(following))
        ):
            return index
    return None
