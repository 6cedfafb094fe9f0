"""Check hosts: read them, run the rules over their facts, order the causes, propose the fixes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sslint import engine, facts
from sslint import host as hosts
from sslint.engine import Finding, Rule
from sslint.host import Host
from sslint.targets import Target
from sslint.values import dataclass, field

if TYPE_CHECKING:
    from sslint.fix import Fix


@dataclass(slots=True)
class Result:
    """All that one run found. `fixes` are by the identity of their finding."""

    hosts: list[Host]
    findings: list[Finding] = field(default_factory=list)
    fixes: dict[int, Fix] = field(default_factory=dict)
    ignored: int = 0
    baselined: int = 0

    @property
    def incomplete(self) -> bool:
        """Whether a file that decides a socket or a ruleset could not be read."""
        return any(problem.decisive for host in self.hosts for problem in host.problems)

    @property
    def empty(self) -> bool:
        """Whether nothing was found that could be checked."""
        return not self.findings and all(
            not host.readings and host.ruleset.empty and not host.problems for host in self.hosts
        )


def check(targets: Sequence[Target], rules: Sequence[Rule], *, ignores: bool = True) -> Result:
    """Check each target under the rules. Without `ignores`, comments silence nothing."""
    from sslint import silence

    result = Result([hosts.read(target) for target in targets])
    for host in result.hosts:
        kept = found = findings(host, rules)
        if ignores:
            kept, unused = silence.apply_ignores(found, host.tree.files())
            result.ignored += len(found) - len(kept)
            kept += _run(host, rules, {"ignore": unused})
        ordered = engine.order_causes(engine.merge_twins(kept))
        result.findings += ordered
        if ordered:
            from sslint import fix

            result.fixes.update(fix.propose(host, ordered, rules))
    return result


def findings(host: Host, rules: Sequence[Rule]) -> list[Finding]:
    """Return what the rules find on a host, before causes are ordered."""
    return _run(host, rules, facts.build(host))


def _run(host: Host, rules: Sequence[Rule], known: engine.Facts) -> list[Finding]:
    found = engine.run(rules, known)
    for finding in found:
        finding.host = host.name
    return found
