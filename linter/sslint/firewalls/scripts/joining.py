"""Two possible tables as one: what only one of them holds may be there or not."""

from __future__ import annotations

from collections.abc import Sequence

from sslint.firewalls.iptables.tables import Loading
from sslint.netfilter.model import Chain, Match, Nat, Rule, RuleItem, Unknown, Verdict
from sslint.values import replace

MAX_COMPARED = 40_000  # pairs of rules of one chain, to find those that both hold


def maybe(rule: Rule, reason: str = "") -> Rule:
    """Return a rule that may not be there."""
    if rule.items and type(rule.items[0]) is Unknown:
        return rule
    reason = reason or f"whether line {rule.location.line} of {rule.location.path} runs"
    return replace(rule, items=(Unknown(reason), *rule.items))


def join_rules(left: list[Rule], right: list[Rule]) -> list[Rule]:
    """Return the rules of both, in order; those that one side lacks are doubtful."""
    start = 0
    while start < min(len(left), len(right)) and _same(left[start], right[start]):
        start += 1
    end = 0
    limit = min(len(left), len(right)) - start
    while end < limit and _same(left[-1 - end], right[-1 - end]):
        end += 1
    middle = _aligned(left[start : len(left) - end], right[start : len(right) - end])
    joined = left[:start]
    for rule in middle:
        if not _repeats(rule, joined):
            joined.append(rule)
    return joined + left[len(left) - end :]


def _same(one: Rule, other: Rule) -> bool:
    return one is other or one.items == other.items


def _aligned(left: Sequence[Rule], right: Sequence[Rule]) -> list[Rule]:
    """Interleave two lists along a longest common subsequence."""
    if not left or not right or len(left) * len(right) > MAX_COMPARED:
        return [maybe(rule) for rule in (*left, *right)]
    lengths = [[0] * (len(right) + 1) for _ in range(len(left) + 1)]
    for i in reversed(range(len(left))):
        for j in reversed(range(len(right))):
            if _same(left[i], right[j]):
                lengths[i][j] = lengths[i + 1][j + 1] + 1
            else:
                lengths[i][j] = max(lengths[i + 1][j], lengths[i][j + 1])
    found: list[Rule] = []
    i = j = 0
    while i < len(left) and j < len(right):
        if _same(left[i], right[j]):
            found.append(left[i])
            i, j = i + 1, j + 1
        elif lengths[i + 1][j] >= lengths[i][j + 1]:
            found.append(maybe(left[i]))
            i += 1
        else:
            found.append(maybe(right[j]))
            j += 1
    return found + [maybe(rule) for rule in (*left[i:], *right[j:])]


def _repeats(rule: Rule, before: list[Rule]) -> bool:
    """Tell whether a doubtful rule says again what one says with only doubtful ones in between.

    None of them takes a packet for certain, so that the second changes nothing, unless one
    writes what another compares.
    """
    if not (rule.items and type(rule.items[0]) is Unknown):
        return False
    for other in reversed(before):
        if not (other.items and type(other.items[0]) is Unknown and _only_judges(other.items)):
            return False
        if other.items == rule.items:
            return True
    return False


def _only_judges(items: tuple[RuleItem, ...]) -> bool:
    return all(isinstance(item, Match | Unknown | Verdict | Nat) for item in items)


def join_tables(left: Loading, right: Loading, doubtful: set[str]) -> Loading:
    """Return two states of a table as one; chains of one side alone are added to `doubtful`.

    Base chains keep the left side's policy; the caller compares policies.
    """
    joined = left.copy()
    chains = joined.table.chains
    for name, chain in right.table.chains.items():
        own = chains.get(name)
        if own is None:
            chains[name] = chain.copy()
            doubtful.add(name)
        else:
            own.rules = join_rules(own.rules, chain.rules)
    doubtful.update(name for name in chains if name not in right.table.chains)
    joined.places += [place for place in right.places if place not in joined.places]
    for name, targets in right.jumps.items():
        joined.jumps.setdefault(name, {}).update(targets)
    joined.names = frozenset(chains)
    return joined


def empty_twin(chain: Chain) -> Chain:
    """Return a base chain as it is before anything is written into it."""
    assert chain.base is not None
    return replace(chain, parts=[], listed=False, base=replace(chain.base, policy="accept"))
