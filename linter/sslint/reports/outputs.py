"""The reports by the name of their format, each imported when it is asked for."""

from __future__ import annotations

import json
import os
from importlib import import_module
from typing import TYPE_CHECKING

from sslint.errors import UsageError
from sslint.plain import harmless

if TYPE_CHECKING:
    from sslint.host import Host
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
    """Return the report of a check in a format; text without colour and of any width.

    But for those of "github", no line of it is a command, even if the job's log shows the file.
    """
    if name == "json":
        from sslint.reports.data import check_report

        return harmless(json.dumps(check_report(result), indent=2) + "\n")
    if name == "text":
        from sslint.reports.terminal import Painter
        from sslint.reports.text import check_text

        return harmless(check_text(result, Painter(False), verbose=verbose))
    made: str = import_module(f"sslint.reports.{_MODULES[name]}").report(result)
    return made if name == "github" else harmless(made)


def write(result: Result, name: str, path: str, *, verbose: bool = False) -> None:
    """Write a report to a file that the user names.

    Raise UsageError if it cannot be written, or if it is a file that was checked.
    """
    from sslint.tree import not_written, replace_named

    if os.path.lexists(path) and any(_is_read(path, host) for host in result.hosts):
        raise UsageError(f"output: {path} is one of the files that were checked")
    try:
        replace_named(path, report(result, name, verbose=verbose))
    except OSError as error:
        raise UsageError(f"output: {path}: {not_written(error)}") from None


def _is_read(path: str, host: Host) -> bool:
    from sslint.tree import real_path

    places = (host.tree.on_disk(file.path, file.name) for file in host.tree.files())
    return real_path(path) in (real_path(place) for place in places if place is not None)
