"""The one error type a user meets: what went wrong, where, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable


class SslintError(Exception):
    """Stop with a message; `exit_code` is the process's exit status.

    `tip` says what the user can do. Only `cli.main` turns this into output.
    """

    exit_code = 2

    def __init__(self, message: str, *, tip: str | None = None) -> None:
        super().__init__(message)
        self.tip = tip


class UsageError(SslintError):
    """Wrong arguments, configuration or rule file."""


class NothingToCheckError(SslintError):
    """The paths hold nothing that sslint reads."""

    exit_code = 3


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean X?" where one of the known words is close, else ""."""
    import difflib

    named = {name.lower(): name for name in sorted(known)}
    close = difflib.get_close_matches(word.lower(), named, 1)
    return f"; did you mean {named[close[0]]}?" if close else ""
