"""Check hosts: read them, run the rules over their facts, order the causes, propose the fixes."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from sslint import engine
from sslint import host as hosts
from sslint.edges import Edge
from sslint.engine import Finding, Rule
from sslint.host import Host
from sslint.result import Result
from sslint.targets import Target
from sslint.values import dataclass, replace

if TYPE_CHECKING:
    from sslint.facts.collection import Facts
    from sslint.fixes import Wanted
    from sslint.policy import Policy


def check(
    targets: Sequence[Target],
    rules: Sequence[Rule],
    *,
    deselected: Sequence[Rule] = (),
    ignores: bool = True,
    wanted: Wanted | None = None,
    policy: Policy | None = None,
    told: Callable[[str], None] | None = None,
    jobs: int | None = 1,
) -> Result:
    """Check each target under the rules. Without `ignores`, comments silence nothing.

    Findings of `deselected` rules are not reported, nor is what only follows from them. `wanted`
    chooses the fixes that are proved; all are by default. `policy` says how severe they are;
    `told` hears how far the run is; `jobs` are as `sslint.jobs.each` takes them.
    """
    every = [*rules, *deselected]
    course = _Course(every, {id(rule) for rule in deselected}, ignores, wanted, policy)
    result = Result([])
    if len(targets) == 1:
        if told is not None:
            told(f"checking 1 of 1: {targets[0].name}")
        result.add(course.check(targets[0]))
    else:
        from sslint.jobs import each

        for one in each(targets, course.check, jobs=jobs, shared=every, told=told):
            result.add(one)
    return result


@dataclass(slots=True)
class _Course:
    """How each host of a run is checked."""

    every: Sequence[Rule]
    silent: Container[int]  # the identities of rules
    ignores: bool
    wanted: Wanted | None
    policy: Policy | None

    def check(self, target: Target) -> Result:
        """Read a host and check it."""
        host, every = hosts.read(target), self.every
        result = Result([host])
        before = findings(host, every)
        found = list(before)
        policy = None if self.policy is None else replace(self.policy, accepted=[], met=set())
        if self.ignores:
            reasons = policy is not None and policy.require_reason
            found += _ignored(host, found, every, result, reasons=reasons)
        if policy is not None:
            policy.apply([one for one in found if not one.silenced])
        for finding in found:
            finding.silenced |= id(finding.rule) in self.silent
        ordered = engine.order_causes(engine.merge_twins(found))
        if host.ruleset.possible:
            ordered = list(_certain_apart(ordered))
        if policy is not None:
            policy.grade(ordered)
            result.accepted, result.met = engine.merge_twins(policy.accepted), policy.met
            result.ignored += len(policy.accepted)
        result.findings = ordered
        if ordered:
            from sslint import fixes

            with Edge(host.tree, "fixes:", "/"):
                judge = partial(findings, rules=every)
                result.fixes = fixes.propose(host, ordered, before, judge, self.wanted)
        return result


def _ignored(
    host: Host, found: Sequence[Finding], rules: Sequence[Rule], result: Result, *, reasons: bool
) -> list[Finding]:
    """Silence what comments ignore, and return the findings about comments without use."""
    from sslint import silence

    unused = silence.mark_ignored(found, host.tree.files(), rules, reasons=reasons)
    silenced = [finding for finding in found if finding.silenced]
    result.ignored += len(silenced)
    result.silenced += engine.merge_twins(silenced)
    from sslint.facts.collection import Facts

    about = [rule for rule in rules if rule.each == "ignore"] if unused else []
    return _run(host, about, Facts(host, unused))


def findings(host: Host, rules: Sequence[Rule]) -> list[Finding]:
    """Return what the rules find on a host, before causes are ordered.

    Of one that differs from another by its firewall, only what may have become different.
    """
    if host.differs:
        from sslint.fixes.proof import asks_firewall

        rules = [rule for rule in rules if asks_firewall(rule)]
    with Edge(host.tree, "rules:", "/"):
        from sslint.facts.collection import Facts

        return _run(host, rules, Facts(host))
    return []


def _run(host: Host, rules: Sequence[Rule], known: Facts) -> list[Finding]:
    found = engine.run(rules, known)
    possible = host.ruleset.possible
    for finding in found:
        finding.host = host.name
        if possible and finding.severity == "error" and _asks_firewall(finding.rule):
            finding.severity = "warning"
    return found


def _certain_apart(findings: Sequence[Finding]) -> Iterator[Finding]:
    """Take what is certainly wrong out of findings that only a possible ruleset makes."""
    for finding in findings:
        certain = []
        if _asks_firewall(finding.rule):
            certain = [one for one in finding.also_affects if one.severity == "error"]
            finding.also_affects = [one for one in finding.also_affects if one not in certain]
            finding.severity = max(finding.severity, "warning", key=engine.SEVERITIES.index)
        yield finding
        yield from certain


_FIREWALLS = frozenset(("firewall", "exposure"))
_CONDITIONS = ("match", "either", "unless", "any_of", "none_of", "severity")


def _asks_firewall(rule: engine.Rule) -> bool:
    """Tell whether a rule's findings rest on who reaches a port, or on a ruleset's own lines."""
    asked = [rule.document[key] for key in _CONDITIONS if key in rule.document]
    return rule.family in _FIREWALLS or rule.each == "opening" or "reach." in str(asked)
