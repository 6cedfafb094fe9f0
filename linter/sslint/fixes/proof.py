"""Fixes are proved on an overlay of the tree: the finding is gone, and nothing new has come."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

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
    """
    known = {_identity(finding) for finding in before}
    kept: list[Finding] = []
    pending = [list(findings)] if findings else []
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
        if gone and after <= known and len(changed.problems) <= len(host.problems):
            kept = wanted
        elif len(group) > 1:
            middle = len(group) // 2
            pending += [group[middle:], group[:middle]]
    return kept


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
    return after <= known and len(changed.problems) <= len(host.problems)


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
