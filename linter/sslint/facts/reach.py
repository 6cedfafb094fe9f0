"""Who reaches a port, as facts and in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from sslint.engine import Span
from sslint.facts.fact import Fields, Places, field, of

if TYPE_CHECKING:
    from sslint.netfilter import verdicts

Verdict = Literal["open", "limited", "closed"]


class FamilyReach(Fields):
    """Who reaches a port over one family."""

    source: verdicts.Reach

    rejected: bool
    "A client is refused, rather than left waiting."
    rate_limited: bool
    "New connections are accepted only up to a rate."
    may_be_banned: bool
    "Some sources may be banned for a while."
    via: tuple[str, ...]
    "The only interfaces through which it is reached."

    @field
    def public(self) -> Verdict | None:
        """The verdict."""
        return None if self.source.verdict == "unknown" else self.source.verdict

    @field
    def share(self) -> float | None:
        """The part of the public addresses that certainly reaches it, 0 to 1."""
        return None if self.source.verdict == "unknown" else self.source.public_share

    open_to: tuple[str, ...] = of("source.open")
    "The networks that certainly reach it."

    @field
    def stage(self) -> str | None:
        """What fails when it is closed: new, synproxy, answer, established, neighbour-discovery,
        loopback."""
        return self.source.stage or None


class Reach(Fields):
    """Who reaches a port, over the families that its sockets take."""

    source: tuple[verdicts.Reach | None, verdicts.Reach | None]

    @property
    def _present(self) -> list[verdicts.Reach]:
        return [reach for reach in self.source if reach is not None]

    @property
    def _closed(self) -> list[verdicts.Reach]:
        return [reach for reach in self._present if reach.verdict == "closed"]

    @field
    def public(self) -> Verdict | None:
        """The verdict over all its families."""
        return combined([reach.verdict for reach in self._present])

    @field
    def outcome(self) -> Literal["times-out", "rejected"]:
        """What becomes of a client's connection where it is closed."""
        # A family that is off decides nothing: a client takes the other one.
        closed = [reach for reach in self._closed if reach.blocked_by] or self._closed
        return "rejected" if closed and all(r.rejected for r in closed) else "times-out"

    @field
    def closed_over(self) -> Literal["ipv4", "ipv6", "all"]:
        """The family over which alone it is closed."""
        closed = self._closed
        if not closed or len(closed) == len(self._present):
            return "all"
        return "ipv4" if closed[0] is self.source[0] else "ipv6"

    @field
    def open_to(self) -> tuple[str, ...]:
        """The networks that certainly reach it."""
        return tuple(sorted({network for reach in self._present for network in reach.open}))

    @field
    def partly(self) -> bool:
        """Over one family some sources or interfaces get in, and others do not."""
        return any(reach.verdict == "limited" for reach in self._present)

    @field
    def rate_limited(self) -> bool:
        """New connections are accepted only up to a rate."""
        return any(reach.rate_limited for reach in self._present)

    @field
    def ipv4(self) -> FamilyReach | None:
        """Over IPv4; not known where no socket takes it."""
        return FamilyReach(self.source[0]) if self.source[0] is not None else None

    @field
    def ipv6(self) -> FamilyReach | None:
        """Over IPv6; not known where no socket takes it."""
        return FamilyReach(self.source[1]) if self.source[1] is not None else None

    def over(self, family: int) -> FamilyReach | None:
        """Return who reaches it over a family."""
        return self.ipv4 if family == 4 else self.ipv6

    def closed_families(self) -> list[Literal[4, 6]]:
        """Return the families over which it is certainly closed."""
        every: tuple[Literal[4, 6], ...] = (4, 6)
        return [
            family
            for family, reach in zip(every, self.source, strict=True)
            if reach is not None and reach.verdict == "closed"
        ]


def combined(verdicts: Sequence[str]) -> Verdict | None:
    """Join the verdicts of a socket's families into one, None where it is not known."""
    found = set(verdicts)
    if not found or found == {"unknown"}:
        return None
    if "unknown" in found:
        return "limited" if "limited" in found else None
    if found == {"open"}:
        return "open"
    return "closed" if found == {"closed"} else "limited"


def blocking_spans(reaches: Iterable[verdicts.Reach | None], what: str) -> Places:
    """Return the lines that keep a port closed, each once, with what they do."""
    spans: dict[tuple[str, int], Span] = {}
    for reach in reaches:
        if reach is None or reach.verdict not in ("closed", "limited"):
            continue
        for decision in reach.decided_by:
            if decision.location is None:
                continue
            if decision.effect == "policy-drop":
                message = f"no rule before the policy accepts {what}"
            elif decision.effect in ("drop", "reject"):
                message = f"{decision.effect}s {what}"
            else:
                continue
            key = (decision.location.path, decision.location.line)
            spans.setdefault(key, Span(decision.location, message))
        for decision in reach.translated_by if not reach.reached_as else ():
            if decision.location is not None:
                key = (decision.location.path, decision.location.line)
                spans.setdefault(
                    key, Span(decision.location, f"translates {what} to another destination")
                )
    return tuple(spans.values())


def deciding_spans(reaches: Iterable[verdicts.Reach | None]) -> Places:
    """Return every line that decides, whatever it decides."""
    spans: dict[tuple[str, int], Span] = {}
    for reach in reaches:
        for decision in reach.decided_by if reach is not None else ():
            if decision.location is not None:
                key = (decision.location.path, decision.location.line)
                spans.setdefault(key, Span(decision.location, decision.effect.replace("-", " ")))
    return tuple(spans.values())
