"""What an answer is made of: the verdict on a port, and the rules and policies that decide."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal, cast

from sslint.netfilter.addresses import Sources, Universe
from sslint.netfilter.model import Chain, Rule, Table
from sslint.netfilter.notes import Note, Stage
from sslint.source import Location
from sslint.values import dataclass, field

ReachVerdict = Literal["open", "limited", "closed", "unknown"]
Effect = Literal["accept", "drop", "reject", "policy-drop", "policy-accept", "translate", "unknown"]


@dataclass(frozen=True, slots=True)
class Decision:
    """A rule or policy that decides for some sources; `more` rules beside it do the same.

    `decides_for` holds the sources, `sources` their CIDR blocks.

    `location` is None only where a policy is written nowhere.
    """

    location: Location | None
    text: str
    effect: Effect
    decides_for: Sources
    table: Table = field(repr=False)
    chain: Chain = field(repr=False)
    rule: Rule | None = field(default=None, repr=False)
    base: Chain | None = field(default=None, repr=False)
    stage: Stage = "new"
    reason: str = ""
    more: int = 0

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources it decides for, as minimal CIDRs."""
        return self.decides_for.cidrs

    @property
    def hook(self) -> str:
        """The hook of the base chain that the decision was made under."""
        base = self.base.base if self.base is not None else None
        return base.hook if base is not None else ""

    @property
    def priority(self) -> int:
        """The priority of that base chain."""
        base = self.base.base if self.base is not None else None
        return base.priority if base is not None else 0

    @property
    def family(self) -> str:
        """The table's family: ip, ip6, inet, netdev."""
        return self.table.family


@dataclass(frozen=True, slots=True)
class Reach:
    """Who reaches a port over one family.

    `decided_by`: the rules that decide the verdict; `blocked_by`: every rule and policy that would
    have to change for it to open. `reached_as`: the outer ports that NAT maps to the port; without
    the port itself, a rule sends its clients elsewhere (`translated_by`).
    `stage`: at which packet a closed port fails.
    """

    verdict: ReachVerdict
    opened: Sources | None = None
    shut: Sources | None = None
    doubtful: Sources | None = None
    public_share: float = 0.0
    rate_limited: bool = False
    may_be_banned: bool = False
    via: tuple[str, ...] = ()
    decided_by: tuple[Decision, ...] = ()
    blocked_by: tuple[Decision, ...] = ()
    reasons: tuple[str, ...] = ()
    reached_as: tuple[int, ...] = ()
    forwarded_to: tuple[str, ...] = ()
    translated_by: tuple[Decision, ...] = ()
    rejected: bool = False
    stage: Stage = ""
    assumptions: tuple[str, ...] = ()

    @property
    def open(self) -> tuple[str, ...]:
        """The sources that certainly reach it, as minimal CIDRs."""
        return self.opened.cidrs if self.opened is not None else ()

    @property
    def closed(self) -> tuple[str, ...]:
        """The sources that certainly do not, as minimal CIDRs."""
        return self.shut.cidrs if self.shut is not None else ()

    @property
    def unknown(self) -> tuple[str, ...]:
        """The sources of which neither can be said, as minimal CIDRs."""
        return self.doubtful.cidrs if self.doubtful is not None else ()


def widest(reaches: Iterable[Reach | None]) -> Reach | None:
    """Return what most sources get through, of several sockets of one family and port."""
    rank = {"open": 0, "limited": 1, "unknown": 2, "closed": 3}
    present = (reach for reach in reaches if reach is not None)
    return min(present, key=lambda reach: rank[reach.verdict], default=None)


class Untold(Reach):
    """An answer that says by which rules when it is asked: most answers never are."""

    __slots__ = ("_tell",)

    def __init__(self, tell: Callable[[], Reach] | None = None, **known: Any) -> None:
        """Take what is known already; `tell` returns the whole answer."""
        super().__init__(**known)
        if tell is not None:
            self._tell = tell
            for name in _TOLD:
                delattr(self, name)

    def __getattr__(self, name: str) -> Any:
        """Have the story told once."""
        if name not in _TOLD:
            raise AttributeError(name)
        whole = self._tell()
        for each in _TOLD:
            object.__setattr__(self, each, getattr(whole, each))
        return getattr(self, name)

    def __reduce__(self) -> tuple[Any, ...]:
        """Be sent as the whole answer."""
        return Reach, tuple(getattr(self, name) for name in Reach.__slots__)


_TOLD = ("decided_by", "blocked_by", "translated_by", "rejected", "stage")


@dataclass(frozen=True, slots=True)
class PacketVerdict:
    """What becomes of a packet; `by` dropped it, or was the last to accept it."""

    verdict: Literal["accept", "drop", "reject", "unknown"]
    by: Decision | None = None
    reason: str | None = None


def decision(universe: Universe, note: Note, mask: int) -> Decision:
    """Make a decision of what a rule did."""
    effect: Effect = "translate" if note.effect == "nat" else cast("Effect", note.effect)
    base = note.chain.base
    if note.rule is not None:
        location: Location | None = note.rule.location
        text = note.rule.text
    else:
        location = (base and base.policy_location) or note.chain.location
        text = location.shown if location is not None else ""
    return Decision(
        location, text, effect, Sources(universe, mask), note.table, note.chain,
        note.rule, note.base, note.stage, note.reason, note.more,
    )  # fmt: skip
