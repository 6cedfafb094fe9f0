"""Fixes: the edits and commands that put a finding right on this host, in its own formats."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sslint.engine import Finding, Rule
from sslint.fixes import firewall, statements
from sslint.fixes.edits import Edit, Fix, Kind, together
from sslint.fixes.proof import Judge, proved
from sslint.host import Host
from sslint.regex import regex
from sslint.values import replace

__all__ = ["Edit", "Fix", "kind_of", "propose"]

_OBEYED = regex(r"[;&|`$<>\\\n\r#(){}!]")  # by a shell
_MAKERS = {**firewall.MAKERS, "live-path": statements.live_path}
Wanted = Callable[[Finding, Fix], bool]
"""Tells whether a fix is to be made; what is not wanted is not proved."""


def propose(
    host: Host,
    findings: Sequence[Finding],
    before: Sequence[Finding],
    judge: Judge,
    wanted: Wanted | None = None,
) -> dict[int, Fix]:
    """Return the fix of each finding that has one, by the finding's identity.

    `before` is what `judge` found on the host, before causes were ordered.
    """
    fixes: dict[int, Fix] = {}
    for finding in findings:
        fix = _fix(host, finding)
        if fix is not None:
            fixes[id(finding)] = fix
    editable = [
        finding
        for finding in findings
        if (fix := fixes.get(id(finding)))
        and fix.edits
        and (wanted is None or wanted(finding, fix))
    ]
    for finding in proved(host, editable, fixes, before, judge):
        fixes[id(finding)] = replace(fixes[id(finding)], proved=True)
    for finding in editable:  # nor do its commands do what its edits do not
        fix = fixes[id(finding)]
        if not fix.proved:
            fixes[id(finding)] = Fix(finding.advice or fix.title, "advice")
    return fixes


def kind_of(rule: Rule) -> Kind | None:
    """Return what the fixes of a rule are at most: "opens" before "safe", and "advice"."""
    if rule.fix == "close-port":
        return "advice"
    steps = [step for one in rule.document.get("edit", ()) for step in _steps(one)]
    if steps or rule.fix:
        safe = "opens" not in steps if steps else rule.fix == "live-path"
        return "safe" if safe else "opens"
    return "advice" if rule.advice else None


def _steps(alternative: object) -> list[object]:
    return alternative if isinstance(alternative, list) else [alternative]


def _fix(host: Host, finding: Finding) -> Fix | None:
    make = _MAKERS.get(finding.rule.fix, statements.fix)
    fix = make(host, finding)
    same = [one for one in finding.also_affects if one.rule is finding.rule]
    if fix is not None and fix.edits and same:
        fix = together([fix, *filter(None, (make(host, one) for one in same))])
    if fix is None:
        # What follows from a finding may be the one thing to change.
        for consequence in finding.also_affects:
            if (other := _fix(host, consequence)) is not None and other.edits:
                return replace(other, title=finding.advice or other.title)
    if fix is None:
        return Fix(finding.advice, "advice") if finding.advice else None
    commands = tuple(c for c in fix.commands if not _OBEYED.search(c))
    # A script is a program of its author's: what to write where is for them to say.
    edits = () if host.ruleset.possible or _holds_key(host, fix.edits) else fix.edits
    # Where a rule knows another remedy, its advice names both.
    return replace(fix, commands=commands, edits=edits, title=finding.advice or fix.title)


def _holds_key(host: Host, edits: Sequence[Edit]) -> bool:
    """Tell whether an edit is of a file that holds a private key: its lines are not shown."""
    return any(host.tree.read(edit.host_path).secret for edit in edits)
