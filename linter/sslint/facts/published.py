"""Facts about the ports that containers publish."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from sslint.engine import Span
from sslint.facts.fact import Fact, field, of
from sslint.netfilter.model import Match

if TYPE_CHECKING:
    from sslint.facts.collection import Facts
    from sslint.firewalls.docker import Publication
    from sslint.netfilter.model import Rule


def published(facts: Facts) -> list[Published]:
    """Return a fact for each port that a container publishes to the world."""
    if facts.host.firewall is None:
        return []
    return [
        Published(
            facts,
            one,
            f"container {one.transport}/{one.text}",
            Span(one.location, "published to the whole Internet"),
            frozenset({one.key}),
        )
        for one in facts.host.published
        if not one.floating
    ]


class Published(Fact):
    """A port that a container publishes."""

    source: Publication

    transport: str
    "The transport."
    port: int
    "The port of this host."
    ports: str = of("source.text")
    "The port, or the range as `5430-5440`; `port` is its first."

    @field
    def opened(self) -> bool:
        """The firewall names the port to accept it."""
        return self.source.key in self.facts.demand.openings

    @field
    def reach(self) -> Literal["open", "limited", "closed", "unknown"]:
        """Who reaches it over IPv4, with the rules that Docker adds."""
        assert self._host.firewall is not None
        return self._host.firewall.reach_outer(*self.source.key, 4).verdict

    @field
    def routed(self) -> bool:
        """A rule of the firewall itself lets it through by its port: `ufw route allow`, say."""
        assert self._host.firewall is not None
        found = self._host.firewall.reach_outer(*self.source.key, 4).decided_by
        own = [d.rule for d in found if d.effect == "accept" and d.hook == "forward"]
        compose = self.source.location.file  # Docker's rules are said to stand there
        return any(
            rule is not None and rule.location.file is not compose and _names_a_port(rule)
            for rule in own
        )

    @field
    def manager(self) -> str | None:
        """The firewall that filters what comes to the host itself."""
        kinds = ("ufw", "firewalld", "iptables")
        return next((one.kind for one in self.facts.managers if one.kind in kinds), None)

    @field
    def input_closed(self) -> bool:
        """A program of the host itself would not be reached there."""
        return self.facts.without_docker.reach_outer(*self.source.key, 4).verdict == "closed"


def _names_a_port(rule: Rule) -> bool:
    return any(
        isinstance(item, Match) and any(key.name.endswith(".dport") for key in item.keys)
        for item in rule.items
    )
