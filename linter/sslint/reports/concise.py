"""One line a finding, as grep prints: path, line, column, severity, rule and message."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sslint.plain import clean
from sslint.reports.rows import gaps, rows
from sslint.reports.terminal import places

if TYPE_CHECKING:
    from sslint.result import Result


def report(result: Result) -> str:
    """Return the report; paths open from the working directory."""
    shown = {host.name: places(host.tree) for host in result.hosts}
    lines = [
        f"{clean(shown[row.key](row.place.path))}:{row.place.line}:{row.place.column}: "
        f"{row.severity}[{row.rule.name}] {row.message}"
        for row in rows(result)
    ]
    lines += [
        f"{clean(shown[gap.key](gap.place.path))}:{gap.place.line}:{gap.place.column}: "
        f"not judged[{gap.code}] {gap.reason}"
        for gap in gaps(result)
        if gap.decisive
    ]
    return "".join(f"{line}\n" for line in lines)
