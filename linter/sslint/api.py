"""The public face for Python: one function and what it returns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sslint import engine, targets
from sslint.checker import check as run
from sslint.engine import Finding
from sslint.result import Result
from sslint.values import dataclass


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found. `data()` is the report as `sslint check --format json` prints it."""

    findings: tuple[Finding, ...]
    incomplete: bool
    result: Result

    def data(self) -> dict[str, Any]:
        """Return the report as plain data (schemas/report.schema.json)."""
        from sslint.reports.data import check_report

        return check_report(self.result)


def check(
    path: str | Path,
    *,
    root: str | Path | None = None,
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
) -> Report:
    """Check what a path holds: an etc/, a root, a repository of hosts, or a file.

    Raise SslintError if there is nothing to check or a rule is not known.
    """
    found = targets.find([str(path)], root=None if root is None else str(root))
    rules, deselected = engine.select(engine.bundled(), select, ignore)
    result = run(found, rules, deselected=deselected)
    return Report(tuple(result.findings), result.incomplete, result)
