"""Fixes are proved on an overlay of the tree: the finding is gone, and nothing new has come."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from sslint.engine import Finding, Rule
from sslint.engine import run as run_rules
from sslint.fixes.edits import Edit, Fix, apply
from sslint.host import Host, read
from sslint.targets import Target
from sslint.values import replace

MAX_PROVED = 64  # fixes that are proved one by one when they do not hold together


def proved(
    host: Host, findings: Sequence[Finding], fixes: dict[int, Fix], rules: Sequence[Rule]
) -> list[Finding]:
    """Return the findings that are gone, with nothing new, once their edits are made.

    All edits are tried together; if that does not hold, in halves.
    """
    if not findings or len(findings) > MAX_PROVED:
        return []
    before = {_identity(f) for f in _findings(host, rules)}
    changed = edited(host, [edit for f in findings for edit in fixes[id(f)].edits])
    after = {_identity(f) for f in _findings(read(changed), rules)}
    gone = all(_identity(finding) not in after for finding in findings)
    if gone and after <= before and len(changed.tree.problems) <= len(host.problems):
        return list(findings)
    if len(findings) == 1:
        return []
    middle = len(findings) // 2
    return [
        *proved(host, findings[:middle], fixes, rules),
        *proved(host, findings[middle:], fixes, rules),
    ]


def _findings(host: Host, rules: Sequence[Rule]) -> list[Finding]:
    from sslint import facts

    return run_rules(rules, facts.Facts(host))


def _identity(finding: Finding) -> tuple[str, str]:
    return finding.rule.name, finding.fact.entity


def edited(host: Host, edits: Iterable[Edit]) -> Target:
    """Return the host with the edits laid over its files."""
    by_path: dict[str, set[Edit]] = defaultdict(set)
    for edit in edits:
        by_path[edit.host_path].add(edit)
    overlay: dict[str, str | None] = {}
    for path, wanted in by_path.items():
        tree = host.tree
        overlay[tree.resolve(path)] = apply(tree.read(path).text, wanted)
    return replace(host.target, tree=host.tree.with_overlay(overlay))
