"""What a configuration says of findings: how severe a rule is, where, and what is accepted."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Any, Literal

from sslint.engine import Finding, Rule
from sslint.errors import UsageError, did_you_mean
from sslint.values import dataclass, field

Becomes = Literal["error", "warning", "info", "ignored"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of `severity`: what findings of a rule or family become below some paths."""

    name: str
    becomes: Becomes
    matches: re.Pattern[str] | None
    reason: str
    place: str

    def is_about(self, finding: Finding) -> bool:
        """Tell whether a finding is one that the entry speaks of."""
        if self.name not in (finding.rule.name, finding.rule.family):
            return False
        if self.matches is None:
            return True
        path = finding.span.location.path if finding.span is not None else finding.fact.entity
        named = (path, f"{finding.host}/{path}", finding.host)
        return any(self.matches.fullmatch(one) for one in named)


@dataclass(frozen=True, slots=True)
class Policy:
    """The entries in their order: the last that is about a finding counts.

    `require_reason`: a comment that ignores, or an entry of the baseline, counts only with one.
    `accepted` are the findings that it silenced, and `met` the numbers of the entries that are
    about some finding.
    """

    entries: tuple[Entry, ...] = ()
    require_reason: bool = False
    accepted: list[Finding] = field(default_factory=list)
    met: set[int] = field(default_factory=set)

    def apply(self, findings: Sequence[Finding]) -> None:
        """Give findings their severities, and silence what is accepted."""
        for finding in findings:
            entry = self._about(finding)
            if entry is not None and entry.becomes == "ignored":
                finding.silenced, finding.excuse = True, entry.reason
                self.accepted.append(finding)
        self.grade(findings)

    def grade(self, findings: Iterable[Finding]) -> None:
        """Give findings their severities, whatever follows from them."""
        for finding in findings:
            entry = self._about(finding)
            if entry is not None and entry.becomes != "ignored":
                finding.severity = entry.becomes

    def _about(self, finding: Finding) -> Entry | None:
        about = [n for n, entry in enumerate(self.entries) if entry.is_about(finding)]
        self.met.update(about)
        return self.entries[about[-1]] if about else None

    def unused(self, met: Container[int]) -> list[str]:
        """Return the entries that accept something and are about no finding, each with its place.

        `met` are the numbers of those that are about one.
        """
        return [
            f"{entry.place}: nothing of {entry.name} is found there any more"
            for number, entry in enumerate(self.entries)
            if number not in met and entry.becomes == "ignored"
        ]


def parse(
    values: Mapping[str, Any],
    refuse: Callable[[tuple[str | int, ...], str], UsageError],
    rules: Sequence[Rule],
) -> Policy:
    """Return the policy of a configuration. Raise UsageError for what it cannot mean.

    `refuse` makes the error that a key (its path) is not what it must be.
    """
    known = {name for rule in rules for name in (rule.name, rule.family)}
    needed = bool(values.get("require_reason"))
    entries = []
    for number, value in enumerate(values.get("severity", ())):
        where = ("severity", number)
        if value["rule"] not in known:
            hint = did_you_mean(value["rule"], known)
            raise refuse(where, f"unknown rule or family {value['rule']}{hint}")
        reason = str(value.get("reason", "")).strip()
        if value["is"] == "ignored" and needed and not reason:
            raise refuse(where, "needs a reason, since require_reason is set")
        path = value.get("path")
        matches = None if path is None else re.compile(fnmatch.translate(path))
        place = str(refuse(where, "")).rstrip(": ")
        entries.append(Entry(value["rule"], value["is"], matches, reason, place))
    return Policy(tuple(entries), needed)
