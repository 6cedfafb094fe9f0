"""What a firewall reader raises when the real tool would refuse the whole file."""

from __future__ import annotations

from sslint.reasons import Code
from sslint.source import Location


class RulesetError(Exception):
    """A ruleset that cannot be loaded: its whole layer is unknown.

    `location` is the place of the error, None only where the caller adds it. `code`: the real tool
    refuses it, or a file of it cannot be read.
    """

    def __init__(
        self, reason: str, location: Location | None = None, code: Code = Code.REFUSED
    ) -> None:
        super().__init__(f"{location}: {reason}" if location else reason)
        self.reason = reason
        self.location = location
        self.code = code


class UnreadError(RulesetError):
    """A ruleset of which a part may not be read or was not given: it may well load."""
