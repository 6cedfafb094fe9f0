"""Facts about the firewall as a whole: its defaults, and the packets that it forgets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from sslint.engine import Span
from sslint.facts.fact import Fact, Places, field, of
from sslint.facts.ports import Family, Transport
from sslint.firewalls import ufw_settings
from sslint.netfilter.survey import compared_ports
from sslint.netfilter.verdicts import Reach

if TYPE_CHECKING:
    from sslint.facts.collection import Facts
    from sslint.facts.services import Service
    from sslint.host import Host
    from sslint.netfilter.loopback import ToLoopback
    from sslint.source import Location

LAST_PORT = 65535
_TO = ("dport", "proto-dst")  # the keys of what a packet is sent to


def hosts(facts: Facts) -> list[WholeHost]:
    """Return the fact of the host as a whole."""
    return [WholeHost(facts)]


class WholeHost(Fact):
    """The host as a whole."""

    source: Host

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts, facts.host, facts.host.name)

    @field
    def span(self) -> Span | None:
        """What decides over ports that no rule names, else a rule that accepts one."""
        decisions = self._ipv4.decided_by
        place = next((d.location for d in decisions if d.location is not None), None)
        if place is not None:
            return Span(place, f"default for IPv4: {self.ipv4_default or self._ipv4.verdict}")
        return next(iter(self.allows or self.accepts), None)

    @field
    def servers(self) -> tuple[str, ...]:
        """The servers that were read."""
        return tuple(reading.server for reading in self.source.readings)

    @field
    def firewalls(self) -> tuple[str, ...]:
        """The kinds of rulesets that were read."""
        return tuple(source.kind for source in self.source.ruleset.sources)

    @field
    def ipv4_default(self) -> Literal["accept", "drop"] | None:
        """What becomes of ports that the firewall does not name."""
        return _word(self._ipv4)

    @field
    def ipv6_default(self) -> Literal["accept", "drop"] | None:
        """The same over IPv6."""
        return _word(self._ipv6)

    @field
    def ipv6_disabled(self) -> bool:
        """IPv6 is off on this host."""
        return self.source.network.network.ipv6 is False

    @field
    def ipv6_listeners(self) -> bool:
        """Some listener can be reached over IPv6."""
        return any(
            s.ipv6 is not None and s.scope != "loopback" and s.endpoint.certain
            for s in self.source.sockets
        )

    @field
    def ipv4_accepts(self) -> bool:
        """A rule accepts a port by name over IPv4."""
        return bool(self.accepts)

    @field
    def ufw_off_with_rules(self) -> bool:
        """ufw has rules and is not enabled."""
        return bool(self.allows)

    @field
    def managers(self) -> int:
        """How many firewalls are in force."""
        return len(self.facts.managers)

    @field
    def accepts(self) -> Places:
        """A rule that accepts a port by name over IPv4."""
        assert self.source.firewall is not None
        return tuple(
            Span(opening.location, "accepts a port that is already open")
            for opening in self.source.firewall.openings()
            if opening.family == 4 and opening.effective
        )[:1]

    @field
    def allows(self) -> Places:
        """What ufw allows, if it is not enabled."""
        place = _ufw_allows(self.source) if _ufw_is_off(self.source) else None
        return (Span(place, "allowed, but never loaded"),) if place is not None else ()

    @field
    def _ipv4(self) -> Reach:
        return self._default(4)

    @field
    def _ipv6(self) -> Reach:
        return self._default(6)

    def _default(self, family: Family) -> Reach:
        """Return what becomes of a port that no rule names; not known where rules name all."""
        assert self.source.firewall is not None
        port = self._unnamed_port
        return Reach("unknown") if port is None else self.source.firewall.glance(port, family)

    @field
    def _unnamed_port(self) -> int | None:
        """The first port that no rule names, in a range neither."""
        compared = compared_ports(self.source.ruleset)
        named = {ports for key, some in compared if key.endswith(_TO) for ports in some}
        port = 1
        for low, high in sorted(named):
            if low > port:
                break
            port = max(port, high + 1)
        return port if port <= LAST_PORT else None


def _word(reach: Reach) -> Literal["accept", "drop"] | None:
    if reach.verdict == "open":
        return "accept"
    return "drop" if reach.verdict == "closed" else None


def _ufw_is_off(host: Host) -> bool:
    there = host.tree.exists(ufw_settings.CONF)
    return there and ufw_settings.is_enabled(host.tree) is False


def _ufw_allows(host: Host) -> Location | None:
    """Return the first rule that ufw's user wrote to allow something."""
    rules = host.tree.try_read("/etc/ufw/user.rules", decisive=False)
    for number in range(1, len(rules.starts) + 1) if rules is not None else ():
        assert rules is not None
        if rules.line(number).startswith("### tuple ### allow"):
            return rules.at(number)
    return None


# -- packets after the first ------------------------------------------------------------------

_STAGES = {
    "answer": "the answer is dropped on the way out",
    "established": "packets after the first one are dropped",
    "neighbour-discovery": "neighbour discovery is blocked",
}


def breakages(facts: Facts) -> list[Breakage]:
    """Return a fact for each packet after the first that the firewall drops."""
    found: dict[str, list[tuple[Family, Service]]] = {}
    for service in facts.services:
        if service.scope == "loopback" or not service.certain:
            continue
        for family in service.reach.closed_families():
            reach = service.reach.over(family)
            if reach is not None and reach.stage in _STAGES:
                found.setdefault(reach.stage, []).append((family, service))
    return [Breakage(facts, stage, broken) for stage, broken in found.items()]


class Breakage(Fact):
    """A packet after the first one of a connection that the firewall drops.

    The ports that die of it are its subjects: it is the one cause of them all.
    """

    source: Sequence[Service]

    def __init__(self, facts: Facts, stage: str, broken: Sequence[tuple[Family, Service]]) -> None:
        services = list({id(service): service for _, service in broken}.values())
        spans = [p for s in services for p in (*s.decided_by, *s.decided_by_ipv6)]
        super().__init__(
            facts,
            services,
            f"firewall {stage}",
            Span(spans[0].location, _STAGES[stage]) if spans else None,
            frozenset(subject for service in services for subject in service.subjects),
        )
        self._stage = stage
        self._families = sorted({family for family, _ in broken})

    @field
    def stage(self) -> Literal["answer", "established", "neighbour-discovery"]:
        """Which packet it is."""
        return self._stage  # type: ignore[return-value]

    @field
    def services(self) -> tuple[str, ...]:
        """The ports that it makes unreachable."""
        return tuple(dict.fromkeys(f"{s.transport}/{s.port}" for s in self.source))

    @field
    def families(self) -> tuple[Family, ...]:
        """The families over which it does."""
        return tuple(self._families)

    @field
    def wanted(self) -> bool:
        """A firewall rule or a published record names one of them."""
        return any(s.attempted or s.announced or s.announced_ipv6 for s in self.source)

    @field
    def ipv6_wanted(self) -> bool:
        """A firewall rule or a published record names one of them over IPv6."""
        return any(s.attempted_ipv6 or s.announced_ipv6 for s in self.source)

    @field
    def services_at(self) -> Places:
        """The services that it makes unreachable."""
        return tuple(s.span for s in self.source if s.span is not None)[:4]


# -- translations -----------------------------------------------------------------------------


def translations(facts: Facts) -> list[Translation]:
    """Return a fact for each port that a rule sends to a loopback address."""
    from sslint.netfilter.no_ruleset import NoFirewall

    firewall = facts.host.firewall
    if firewall is None or isinstance(firewall, NoFirewall):
        return []
    from sslint.netfilter.loopback import to_loopback

    return [
        Translation(
            facts,
            found,
            f"firewall {found.transport}/{found.port}",
            Span(found.location, f"sends {found.transport}/{found.port} to {found.address}"),
            frozenset({(found.transport, found.port)}),
        )
        for found in to_loopback(firewall)
    ]


class Translation(Fact):
    """A port that a rule of the firewall sends to a loopback address."""

    source: ToLoopback

    transport: Transport
    "The transport."
    port: int
    "The port that clients connect to."
    dropped: bool
    "The kernel drops what the rule sends, as a martian."

    @field
    def to(self) -> str:
        """Where it is sent: address and port."""
        return f"{self.source.address}:{self.source.inner}"

    inner_port: int = of("source.inner")
    "The port that it is sent to."
