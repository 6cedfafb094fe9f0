"""Fixes: the edits and commands that put a finding right on this host, in its own formats."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sslint.engine import Finding, Rule
from sslint.fixes import firewall
from sslint.fixes.edits import Edit, Fix
from sslint.fixes.proof import proved
from sslint.host import Host
from sslint.values import replace

__all__ = ["Edit", "Fix", "propose"]

_OBEYED = re.compile(r"[;&|`$<>\\\n\r#(){}!]")  # by a shell
_MAKERS = firewall.MAKERS


def propose(host: Host, findings: Sequence[Finding], rules: Sequence[Rule]) -> dict[int, Fix]:
    """Return the fix of each finding that has one, by the finding's identity."""
    fixes: dict[int, Fix] = {}
    for finding in findings:
        make = _MAKERS.get(finding.rule.fix)
        fix = make(host, finding) if make is not None else None
        if fix is not None:
            commands = tuple(c for c in fix.commands if not _OBEYED.search(c))
            fix = replace(fix, commands=commands)
            # Where a rule knows another remedy, its advice names both.
            fixes[id(finding)] = replace(fix, title=finding.advice) if finding.advice else fix
        elif finding.advice:
            fixes[id(finding)] = Fix(finding.advice, "advice")
    editable = [f for f in findings if id(f) in fixes and fixes[id(f)].edits]
    for finding in proved(host, editable, fixes, rules):
        fixes[id(finding)] = replace(fixes[id(finding)], proved=True)
    return fixes
