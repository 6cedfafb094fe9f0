"""The reports by the name of their format, each imported when it is asked for."""

from __future__ import annotations

import json
from importlib import import_module
from typing import TYPE_CHECKING

from sslint.errors import UsageError
from sslint.plain import harmless

if TYPE_CHECKING:
    from sslint.result import Result

_MODULES = {
    "concise": "concise",
    "sarif": "sarif",
    "github": "github",
    "gitlab": "gitlab",
    "junit": "junit",
    "markdown": "comment",
    "prometheus": "prometheus",
    "html": "page",
}


def report(result: Result, name: str, *, verbose: bool = False) -> str:
    """Return the report of a check in a format; text without colour and of any width."""
    if name == "json":
        from sslint.reports.data import check_report

        return json.dumps(check_report(result), indent=2) + "\n"
    if name == "text":
        from sslint.reports.terminal import Painter
        from sslint.reports.text import check_text

        return harmless(check_text(result, Painter(False), verbose=verbose))
    made: str = import_module(f"sslint.reports.{_MODULES[name]}").report(result)
    return made


def write(result: Result, name: str, path: str, *, verbose: bool = False) -> None:
    """Write a report to a file that the user names. Raise UsageError if it cannot be written."""
    from sslint.tree import replace_named

    try:
        replace_named(path, report(result, name, verbose=verbose))
    except OSError as error:
        raise UsageError(f"output: {path}: {error.strerror}") from None
