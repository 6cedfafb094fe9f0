"""Short forms of the matches that most of iptables' options come to."""

from __future__ import annotations

from sslint.firewalls.iptables import values
from sslint.netfilter.model import Constant, Intervals, Key, Match, RuleItem, UnknownValues

Alternatives = list[list[RuleItem]]
"""A disjunction of conjunctions, of which at most one is true."""


def compare(
    name: str, low: int, high: int | None = None, *, negate: bool = False, mask: int | None = None
) -> Match:
    """Return the match of one key with one interval of integers."""
    interval = (low, low if high is None else high)
    return Match((Key(name, mask),), Intervals((interval,)), negate)


def any_of(name: str, bits: int, negate: bool = False) -> Match:
    """Return the match of a key that has one of some bits."""
    return Match((Key(name),), Intervals(((bits, bits),)), negate, "any")


def network(
    key: str, given: tuple[int | UnknownValues, int], negate: bool, family: int
) -> list[RuleItem]:
    """Return the match of one network; the one that holds every address matches all."""
    value, mask = given
    if isinstance(value, UnknownValues):
        return [Match((Key(key),), value, negate)]
    if mask == 0:
        return [Constant(False, "! of every address")] if negate else []
    if not values.contiguous(mask, family):
        return [compare(key, value, negate=negate, mask=mask)]
    inverse = mask ^ ((1 << values.width(family)) - 1)
    return [compare(key, value, value | inverse, negate=negate)]
