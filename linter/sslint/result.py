"""All that one run found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from sslint.judged import Judged, judge
from sslint.values import dataclass, field

if TYPE_CHECKING:
    from sslint.engine import Finding
    from sslint.fixes import Fix
    from sslint.host import Host
    from sslint.revisions import Proposed

UNREAD_RULE = "input-unread"  # what it says was not judged: exit status 3, and not 1


@dataclass(frozen=True, slots=True)
class Stale:
    """An entry of a baseline that does not count: nothing is found for it, or its time is over."""

    fingerprint: str
    what: str
    why: Literal["unused", "expired", "no-reason"]


@dataclass(slots=True)
class Result:
    """All that one run found. `fixes` are by the identity of their finding.

    `silenced` are the findings that comments ignore, `accepted` those that the configuration does,
    `known` those of the baseline, and `stale` is what of the baseline does not count. `met` are the
    numbers of the policy's entries that are about some finding. `failing` are the severities that
    make the exit status 1.
    """

    hosts: list[Host]
    findings: list[Finding] = field(default_factory=list)
    fixes: dict[int, Fix] = field(default_factory=dict)
    ignored: int = 0
    baselined: int = 0
    silenced: list[Finding] = field(default_factory=list)
    accepted: list[Finding] = field(default_factory=list)
    known: list[Finding] = field(default_factory=list)
    stale: list[Stale] = field(default_factory=list)
    met: set[int] = field(default_factory=set)
    proposed: Proposed | None = None
    failing: frozenset[str] = frozenset({"error"})
    _judged: list[Judged] | None = None

    def add(self, other: Result) -> None:
        """Take what a check found on other hosts."""
        self.hosts += other.hosts
        self.findings += other.findings
        self.fixes.update(other.fixes)
        self.ignored += other.ignored
        self.silenced += other.silenced
        self.accepted += other.accepted
        self.met |= other.met

    def __reduce__(self) -> tuple[Any, ...]:
        """Let what a check found be sent to another process, where an identity is another."""
        fixes = [self.fixes.get(id(finding)) for finding in self.findings]
        told = (self.hosts, self.findings, fixes, self.ignored, self.silenced, self.accepted)
        return _received, (*told, self.met)

    @property
    def judged(self) -> list[Judged]:
        """What of each host was judged."""
        if self._judged is None:
            self._judged = [judge(host) for host in self.hosts]
        return self._judged

    @property
    def certain(self) -> list[Finding]:
        """The findings that say what is wrong, and not what could not be read."""
        return [finding for finding in self.findings if finding.rule.name != UNREAD_RULE]

    @property
    def incomplete(self) -> bool:
        """Whether a host was not judged (exit status 3)."""
        return bool(self.unjudged)

    @property
    def unjudged(self) -> list[Host]:
        """The hosts that were not judged."""
        return [h for h, one in zip(self.hosts, self.judged, strict=True) if not one.enough]

    @property
    def stale_acknowledgements(self) -> list[str]:
        """The entries of `not_judged` that are about nothing any more, each with its place."""
        entries = self.hosts[0].target.intent.not_judged if self.hosts else ()
        met = {number for one in self.judged for number in one.met}
        return [
            f"{entry.place}: {' and '.join([entry.code, *sorted(entry.ports)])} is judged, or not "
            "there any more; remove the entry"
            for number, entry in enumerate(entries)
            if number not in met
        ]

    @property
    def doubtful(self) -> bool:
        """Whether anything at all was not judged."""
        return any(not gap.because for one in self.judged for gap in one.gaps)

    @property
    def empty(self) -> bool:
        """Whether nothing was found that could be checked."""
        nothing = all(
            not host.readings
            and not host.target.announced
            and (host.ruleset.empty or host.target.no_firewall)
            and not host.problems
            for host in self.hosts
        )
        return nothing and not self.findings and all(one.enough for one in self.judged)


def _received(hosts: list[Host], findings: list[Finding], fixes: list[Fix | None],
              *more: Any) -> Result:  # fmt: skip
    by_identity = {id(one): fix for one, fix in zip(findings, fixes, strict=True) if fix}
    ignored, silenced, accepted, met = more
    return Result(hosts, findings, by_identity, ignored, silenced=silenced, accepted=accepted,
                  met=met)  # fmt: skip
