"""Facts about private networks that rules of the firewall accept under a mistyped address."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from sslint.engine import Span
from sslint.facts.fact import Fact, field
from sslint.netfilter import addresses
from sslint.netfilter.model import Intervals, Listing, Match, Rule, Table, Verdict
from sslint.netfilter.survey import fields

if TYPE_CHECKING:
    from sslint.facts.collection import Facts
    from sslint.netfilter.model import Ruleset

# What the kernel makes of a private network with one figure wrong, and the network meant.
_MEANT = {
    "10.0.0.0/32": "10.0.0.0/8",
    "172.16.0.0/32": "172.16.0.0/12",
    "192.168.0.0/32": "192.168.0.0/16",
    "127.16.0.0/12": "172.16.0.0/12",
    "172.0.0.0/8": "172.16.0.0/12",
    "192.0.0.0/8": "192.168.0.0/16",
}
_WRONG = {addresses.network(wrong)[1]: (wrong, meant) for wrong, meant in _MEANT.items()}


def lookalikes(facts: Facts) -> list[Lookalike]:
    """Return a fact for each mistyped network of a rule that accepts."""
    ruleset = facts.host.ruleset
    return [
        Lookalike(facts, rule, wrong, meant)
        for table in ruleset.tables
        if table.family in ("ip", "inet") and not table.dormant
        for chain in table.chains.values()
        for rule in chain.parts
        if not isinstance(rule, Listing)
        for wrong, meant in _wrong(ruleset, table, rule)
    ]


def _wrong(ruleset: Ruleset, table: Table, rule: Rule) -> Iterator[tuple[str, str]]:
    last = rule.items[-1] if rule.items else None
    if not isinstance(last, Verdict) or last.kind != "accept":
        return
    for item in rule.items:
        if not isinstance(item, Match) or item.negate or item.test != "in":
            continue
        if not any(key.name == "ip.saddr" and key.mask is None for key in item.keys):
            continue
        for key, values in fields(ruleset, table, item.keys, item.values):
            if key.name == "ip.saddr" and isinstance(values, Intervals):
                yield from (_WRONG[one] for one in values.items if one in _WRONG)


class Lookalike(Fact):
    """A source network of a rule that accepts, which looks like a private network and is none."""

    source: Rule

    def __init__(self, facts: Facts, rule: Rule, wrong: str, meant: str) -> None:
        span = Span(rule.location, f"accepts {wrong}")
        super().__init__(facts, rule, f"firewall source {wrong}", span)
        self._wrong, self._meant = wrong, meant

    @field
    def network(self) -> str:
        """The network that the rule accepts."""
        return self._wrong

    @field
    def meant(self) -> str:
        """The private network that it resembles."""
        return self._meant

    @field
    def effect(self) -> Literal["one-address", "loopback", "public"]:
        """What the network is: one address, a part of loopback, or mostly public addresses."""
        if self._wrong.endswith("/32"):
            return "one-address"
        return "loopback" if self._wrong.startswith("127.") else "public"
