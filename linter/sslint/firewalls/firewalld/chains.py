"""The chains of firewalld's table: dispatch in sorted order, rich rules by priority."""

from __future__ import annotations

from sslint.firewalls.firewalld.matches import verdict_of
from sslint.netfilter.model import Base, Chain, ChainType, Hook, Rule, RuleItem, Table, Unmodelled
from sslint.source import Location
from sslint.values import dataclass, field

MAX_CONFLICTS = 2500  # pairs of rules of one priority that are told apart
SortKey = tuple[object, ...]


@dataclass(slots=True)
class Chains:
    """A table that is being filled."""

    table: Table
    location: Location
    dispatch: dict[str, dict[SortKey, list[Rule]]] = field(default_factory=dict)
    collisions: dict[str, Location] = field(default_factory=dict)
    by_priority: dict[str, list[tuple[int, Rule]]] = field(default_factory=dict)

    def base(self, name: str, kind: ChainType, hook: Hook, priority: int) -> Chain:
        """Add a base chain; firewalld gives all of them the policy accept."""
        chain = self.chain(name)
        chain.base = Base(kind, hook, priority, policy_location=self.location)
        return chain

    def chain(self, name: str) -> Chain:
        """Return a chain, made if need be."""
        chain = self.table.chains.get(name)
        if chain is None:
            order = len(self.table.chains) + 1
            chain = self.table.chains[name] = Chain(name, self.location, order=order)
        return chain

    def has(self, name: str) -> bool:
        """Tell whether a chain was made."""
        return name in self.table.chains

    def add(
        self, name: str, items: list[RuleItem], location: Location | None = None, label: str = ""
    ) -> None:
        """Append a rule."""
        rule = Rule(tuple(items), location or self.location, label)
        self.chain(name).rules.append(rule)

    def add_dispatch(
        self, name: str, key: SortKey, items: list[RuleItem], location: Location, label: str
    ) -> None:
        """Add a rule at the place that its key gives it; the same one only once.

        Of two policies with one priority the later comes first, and firewalld then loses count:
        what it adds afterwards may come too early.
        """
        rules = self.dispatch.setdefault(name, {}).setdefault(key, [])
        rule = Rule(tuple(items), location, label)
        if all(other.items != rule.items for other in rules):
            if rules:
                self.collisions.setdefault(name, location)
            rules.insert(0, rule)

    def add_rich(
        self, name: str, priority: int, items: list[RuleItem], location: Location, label: str
    ) -> None:
        """Add a rich rule's rule; in chains pre and post they are ordered by priority."""
        rule = Rule(tuple(items), location, label)
        if priority == 0:
            self.chain(name).rules.append(rule)
        else:
            self.by_priority.setdefault(name, []).append((priority, rule))

    def finish(self) -> None:
        """Put the sorted rules into their chains."""
        for name, rules in self.dispatch.items():
            for _, same in sorted(rules.items(), key=lambda item: item[0]):
                self.chain(name).rules.extend(same)
        for name, ranked in self.by_priority.items():
            chain = self.chain(name)
            ranked.sort(key=lambda item: item[0])  # stable: firewalld's own order within one
            for priority in dict.fromkeys(priority for priority, _ in ranked):
                group = [rule for other, rule in ranked if other == priority]
                chain.rules.extend(_conflicts(group))
                chain.rules.extend(group)


def _conflicts(group: list[Rule]) -> list[Rule]:
    """Return rules for the packets that two rules of one priority decide differently.

    firewalld.richlanguage(5): the order of rules with the same priority is undefined.
    """
    opening = [rule for rule in group if _opens(rule) is True]
    closing = [rule for rule in group if _opens(rule) is False]
    reason = Unmodelled("the order of rich rules with the same priority is not defined")
    if len(opening) * len(closing) > MAX_CONFLICTS:
        return [
            Rule((*rule.items[:-1], reason), rule.location, rule.label)
            for rule in min(opening, closing, key=len)
        ]
    return [
        Rule((*opener.items[:-1], *closer.items[:-1], reason), opener.location, opener.label)
        for opener in opening
        for closer in closing
    ]


def _opens(rule: Rule) -> bool | None:
    verdict = verdict_of(rule)
    if verdict is None or verdict.kind not in ("accept", "drop", "reject"):
        return None
    return verdict.kind == "accept"
