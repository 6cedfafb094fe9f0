"""Fixes are proved on an overlay of the tree: the finding is gone, and nothing new has come."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from sslint.engine import OWN, Finding, Rule
from sslint.fixes.edits import Edit, Fix, apply
from sslint.host import Host, reread
from sslint.values import replace

MAX_READINGS = 32  # of one host, with edits on it

# Where the bundled rules look into these, a firewall has no part in it; or in a few fields alone.
_OF_SERVERS = frozenset(
    ("challenge", "conflict", "endpoint", "hook", "policy", "setting", "site", "upstream")
)
_OF_FIREWALLS = {
    "certificate": frozenset(("announced",)),
    "record": frozenset(("https_problem", "tlsa.listener")),  # behind NAT
    "redirect": frozenset(("attempted", "enforced", "listener", "target_reach", "target_tls")),
}

Judge = Callable[[Host], Sequence[Finding]]
"""What a check finds on a host, before causes are ordered."""


def proved(
    host: Host,
    findings: Sequence[Finding],
    fixes: Mapping[int, Fix],
    before: Sequence[Finding],
    judge: Judge,
) -> list[Finding]:
    """Return the findings that are gone, with nothing new, once all their edits are made together.

    All are tried at once; what does not hold is tried in halves, beside what was found to hold.
    An edit that leaves its finding to those of another rule mends nothing.
    """
    known = {_identity(finding) for finding in before}
    kept: list[Finding] = []
    findings = list(_mended_alone(host, findings, fixes, judge))
    pending = [findings] if findings else []
    for _ in range(MAX_READINGS):
        if not pending:
            break
        group = pending.pop()
        wanted = [*kept, *group]
        changed = edited(host, [e for f in wanted for e in fixes[id(f)].edits])
        after = {_identity(finding) for finding in judge(changed)}
        gone = after.isdisjoint(map(_identity, wanted)) and not (
            changed.differs and any(not asks_firewall(finding.rule) for finding in wanted)
        )
        if gone and after <= known and _keeps(host, changed):
            kept = wanted
        elif len(group) > 1:
            middle = len(group) // 2
            pending += [group[middle:], group[:middle]]
    return kept


def _mended_alone(
    host: Host, findings: Sequence[Finding], fixes: Mapping[int, Fix], judge: Judge
) -> Iterator[Finding]:
    """Yield the findings that the edits of their own rule remove."""
    by_rule: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        by_rule[finding.rule.name].append(finding)
    if len(by_rule) == 1:
        yield from findings
        return
    for group in by_rule.values():
        changed = edited(host, [e for f in group for e in fixes[id(f)].edits])
        left = {_identity(finding) for finding in judge(changed)}
        yield from (finding for finding in group if _identity(finding) not in left)


def _keeps(host: Host, changed: Host) -> bool:
    """Whether an edited host starts, opens its ports and is understood as well as before."""
    return (
        {(p.path, p.text) for p in changed.problems} <= {(p.path, p.text) for p in host.problems}
        and _doubts(changed) <= _doubts(host)
        and _served(host) <= _served(changed)
    )


def _doubts(host: Host) -> set[tuple[str, str]]:
    """Return why servers do not start, or may have listeners that are not known."""
    readings = host.readings
    return {(r.server, one.text) for r in readings for one in (*r.refusals, *r.gaps)}


def _served(host: Host) -> set[tuple[str, str, int]]:
    """Return what each server opens."""
    return {(r.server, one.transport, one.port) for r in host.readings for one in r.endpoints}


def asks_firewall(rule: Rule) -> bool:
    """Tell whether a rule may fire elsewhere behind another firewall."""
    if rule.family == OWN:
        return True
    decided = _OF_FIREWALLS.get(rule.each)
    if decided is None:
        return rule.each not in _OF_SERVERS
    document = rule.document
    parts = (document.get("match", {}), *document.get("either", ()), *document.get("unless", ()))
    related = "any_of" in document or "none_of" in document
    return related or any(not decided.isdisjoint(part) for part in parts)


def brings_nothing(host: Host, edits: Iterable[Edit], judge: Judge) -> bool:
    """Tell whether edits bring no finding to a host that it has not."""
    known = {_identity(finding) for finding in judge(host)}
    changed = edited(host, edits)
    after = {_identity(finding) for finding in judge(changed)}
    return after <= known and _keeps(host, changed)


def _identity(finding: Finding) -> tuple[str, str]:
    return finding.rule.name, finding.fact.entity


def edited(host: Host, edits: Iterable[Edit]) -> Host:
    """Return the host as it is with the edits laid over its files."""
    tree = host.tree
    by_path: dict[str, list[Edit]] = defaultdict(list)
    for edit in edits:  # one file may have two names
        path = tree.resolve(edit.host_path)
        by_path[path].append(replace(edit, path=path, host_path=path))
    texts = {
        path: apply(tree.read(path).text, own)
        for path, own in by_path.items()
        if any(edit.action != "executable" for edit in own)
    }
    executable = [
        path for path, own in by_path.items() if any(edit.action == "executable" for edit in own)
    ]
    return reread(host, texts, executable)
