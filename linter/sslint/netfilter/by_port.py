"""Long chains of rules that name a port each: which of them concern a packet.

A rule that compares the packet's port with another does nothing to it, and need not even be made
ready. That is looked at once a chain, at the cost of a glance at each rule.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from sslint.netfilter.matching import Matching
from sslint.netfilter.model import Chain, Constant, Intervals, Key, Listing, Match, Rule, Verdict
from sslint.netfilter.packet import MISSING, PacketState
from sslint.values import dataclass, field

LONG = 256  # rules of a chain that is worth it
# So few concern a packet that all are told apart in an explanation (`MAX_CREDITED`).
MOST = 32
_PORTS = ("tcp.dport", "tcp.sport", "udp.dport", "udp.sport", "th.dport", "th.sport")
# What a packet certainly has or has not, whatever happened to it before.
_SURE = frozenset(("ip.saddr", "ip.daddr", "ip6.saddr", "ip6.daddr", "meta.l4proto", *_PORTS))
_PLAIN = frozenset(("accept", "drop", "return"))


@dataclass(slots=True)
class PortRules:
    """The numbers of a chain's rules by field and port, and of those that name none.

    `starts`: the number of the first rule of each of the chain's `parts`.
    """

    parts: Sequence[Rule | Listing]
    starts: list[int] = field(default_factory=list)
    by_port: dict[str, dict[int, list[int]]] = field(default_factory=dict)
    others: list[int] = field(default_factory=list)

    def concerned(self, states: Iterable[PacketState], matching: Matching) -> Sequence[int] | None:
        """Return the rules that packets may meet, in order; None if those may be many."""
        found = set(self.others)
        for state in states:
            if state.mangled:
                return None
            for name, by_port in self.by_port.items():
                value = matching.read(Key(name), state)
                if isinstance(value, int):
                    found.update(by_port.get(value, ()))
                elif value is not MISSING:
                    return None
        return sorted(found) if len(found) <= MOST else None

    def rule(self, number: int) -> Rule:
        """Return a rule by its number."""
        place = bisect_right(self.starts, number) - 1
        part = self.parts[place]
        return part.rule(number - self.starts[place]) if isinstance(part, Listing) else part


def port_rules(chain: Chain) -> PortRules | None:
    """Sort the rules of a chain by the ports they name; None where too few of them do."""
    if chain.length < LONG:
        return None
    found = PortRules(chain.parts)
    named: dict[int, str] = {}  # by the identity of keys: the port's field, "" for another
    number = 0
    for part in chain.parts:
        found.starts.append(number)
        if isinstance(part, Listing):
            ports = _ports(part)
            if ports is None:
                return None
            name, values = ports
            by_port = found.by_port.setdefault(name, {})
            for at, port in enumerate(values, number):
                by_port.setdefault(port, []).append(at)
        elif (place := _port(part, named)) is not None:
            name, port = place
            found.by_port.setdefault(name, {}).setdefault(port, []).append(number)
        else:
            found.others.append(number)
            if len(found.others) > MOST or not _is_plain(part):
                return None
        number += len(part) if isinstance(part, Listing) else 1
    return found


def _ports(listing: Listing) -> tuple[str, Sequence[int]] | None:
    """Return the one port without which each rule of a listing certainly does nothing."""
    first = _port(listing.rule(0), {})
    for column in reversed(listing.columns):
        single = column.lows is column.highs
        if first is not None and column.keys[0].name == first[0] and single and not column.negate:
            return first[0], column.lows
    return (first[0], [first[1]] * len(listing)) if first is not None else None


def _port(rule: Rule, named: dict[int, str]) -> tuple[str, int] | None:
    """Return the one port without which a rule certainly does nothing, if there is one."""
    *matches, verdict = rule.items or (None,)
    if type(verdict) is not Verdict or verdict.kind not in _PLAIN:
        return None
    found = None
    for match in matches:
        if type(match) is not Match or type(match.values) is not Intervals:
            return None
        name = named.get(id(match.keys))
        if name is None:
            if not _is_sure(match):
                return None
            key = match.keys[0].name
            name = named[id(match.keys)] = key if key in _PORTS else ""
        if name and not match.negate:
            ((low, high), *more) = match.values.items or ((0, 1),)
            if low == high and not more:
                found = name, low
    return found


def _is_plain(rule: Rule) -> bool:
    """Tell whether a rule leaves every packet as it is: no later one sees another port."""
    last = rule.items[-1] if rule.items else None
    return (
        isinstance(last, Verdict)
        and last.kind not in ("jump", "goto")
        and all(isinstance(item, (Match, Constant)) for item in rule.items[:-1])
    )


def _is_sure(match: Match) -> bool:
    """Tell whether a match reads one plain field that no packet leaves open."""
    key = match.keys[0]
    plain = key == Key(key.name)
    return len(match.keys) == 1 and plain and match.test == "in" and key.name in _SURE
