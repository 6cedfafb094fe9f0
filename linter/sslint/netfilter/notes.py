"""What rules did to a packet, kept to explain an answer."""

from __future__ import annotations

from typing import Literal

from sslint.netfilter.model import Chain, Rule, Table
from sslint.netfilter.packet import PacketState
from sslint.values import dataclass

Stage = Literal["", "new", "synproxy", "answer", "established", "neighbour-discovery"]
"""Which packet of a connection it is about."""

MAX_CREDITED = 64  # rules of one chain that are told apart in an explanation


@dataclass(slots=True)
class Note:
    """What one rule (or policy) did: for the far addresses `mask`, in `state`.

    `more`: further rules of the same kind beside this one that did the same.
    """

    effect: str
    mask: int
    table: Table
    chain: Chain
    rule: Rule | None
    state: PacketState
    reason: str = ""
    depth: int = 0
    more: int = 0
    stage: Stage = ""
    base: Chain | None = None


class Notes(list[Note]):
    """All notes of one run. Of one chain only so many rules are told apart, and the `wanted`."""

    def __init__(self, wanted: frozenset[int] = frozenset()) -> None:
        super().__init__()
        self.wanted = wanted
        self._counts: dict[tuple[int, str, PacketState], list[Note]] = {}

    @property
    def bounded(self) -> bool:
        """Tell whether some rules are not told apart."""
        return any(len(known) >= MAX_CREDITED for known in self._counts.values())

    def full(self, chain: Chain, effect: str, state: PacketState) -> bool:
        """Tell whether no more rules of a chain are told apart."""
        return len(self._counts.get((id(chain), effect, state), ())) >= MAX_CREDITED

    def credit(self, note: Note, *, apart: bool = False) -> None:
        """Note what a rule did; beyond a bound, unless `apart`, with another that did the same."""
        key = (id(note.chain), note.effect, note.state)
        known = self._counts.setdefault(key, [])
        if apart or id(note.rule) in self.wanted:
            self.append(note)
        elif len(known) < MAX_CREDITED:
            known.append(note)
            self.append(note)
        else:
            last = known[MAX_CREDITED - 1]
            last.mask |= note.mask
            last.more += 1 + note.more

    def add(self, chain: Chain, effect: str, state: PacketState, mask: int, rules: int) -> None:
        """Note what so many more rules did, of an effect of which no more are told apart."""
        last = self._counts[id(chain), effect, state][MAX_CREDITED - 1]
        last.mask |= mask
        last.more += rules
