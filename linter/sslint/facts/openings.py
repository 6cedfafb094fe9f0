"""Facts about the ports that rules of the firewall name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from sslint import servers
from sslint.engine import Span
from sslint.facts.fact import Fact, Places, field, of
from sslint.facts.managers import owner
from sslint.facts.ports import Family, Listener, Transport, listening
from sslint.host import only_relays, owner_of
from sslint.netfilter import addresses

if TYPE_CHECKING:
    from sslint.facts.collection import Facts
    from sslint.host import Host
    from sslint.netfilter import openings as netfilter
    from sslint.netfilter.reach import Decision
    from sslint.servers import model

MOST = 0.99  # of the public sources: more is "everyone", but for those banned by name


def openings(facts: Facts) -> list[Opening]:
    """Return a fact for each rule and port that it names, its families together."""
    firewall = facts.host.firewall
    assert firewall is not None
    groups: dict[tuple[str, int, str, int], list[netfilter.Opening]] = {}
    for opening in firewall.openings():
        place = opening.location
        key = (opening.transport, opening.port, place.path, place.line)
        groups.setdefault(key, []).append(opening)
    return [Opening(facts, group) for group in groups.values()]


class Opening(Fact):
    """A firewall rule that accepts by naming a port."""

    source: netfilter.Opening

    transport: Transport
    "The transport."
    port: int
    "The port."

    def __init__(self, facts: Facts, accepts: Sequence[netfilter.Opening]) -> None:
        first = accepts[0]
        super().__init__(
            facts,
            first,
            f"firewall {first.transport}/{first.port}",
            Span(first.location, f"opens {first.transport}/{first.port}"),
            frozenset({(first.transport, first.port)}),
        )
        self.accepts = accepts  # one a family

    @field
    def families(self) -> tuple[Family, ...]:
        """The families over which it accepts."""
        return tuple(one.family for one in self.accepts)

    kind: str = of("source.table.origin")
    "The firewall that it is written in: nft, iptables, ufw, firewalld."

    @field
    def public(self) -> bool:
        """It accepts every public source."""
        return any(_public_share(one.family, one.sources) >= MOST for one in self.accepts)

    @field
    def effective(self) -> bool:
        """Some source reaches the port because of it."""
        return any(one.effective for one in self.accepts)

    @field
    def needed(self) -> bool:
        """Some source that it accepts is certainly kept out."""
        return any(one.closed for one in self.accepts)

    @field
    def shadowed(self) -> bool:
        """An earlier rule of its own base chain has already decided all that it accepts."""
        return bool(self._shadowing) and not self.effective

    @field
    def blocked_elsewhere(self) -> bool:
        """Another base chain drops what it accepts."""
        return bool(self._blocking) and not self._shadowing

    @field
    def enforced(self) -> bool:
        """What drops it is in force, rather than one of several rulesets that may be."""
        possible = self.facts.only_possible
        blocking = self._blocking
        return not blocking or any(owner(d.table) not in possible for d in blocking)

    @field
    def owner(self) -> str | None:
        """The server that this port is conventionally of."""
        return owner_of(self._host, self.transport, self.port)

    @field
    def owner_read(self) -> bool | None:
        """That server is on this host and was read whole."""
        reading = self._host.reading(self.owner) if self.owner else None
        if reading is None:
            return None
        return reading.complete and not _lacks_services(self._host, self.owner)

    @field
    def listener(self) -> Listener | None:
        """Whether any program listens on the port."""
        return listening(self._host, self.transport, self.port)

    @field
    def translated(self) -> tuple[str, ...] | None:
        """Where NAT sends clients of the port, if they are kept out there."""
        firewall, one = self._host.firewall, self.source
        assert firewall is not None
        if not firewall.translates:
            return None
        reach = firewall.reach(one.transport, one.port, one.family)
        if one.port in reach.reached_as or not reach.translated_by:
            return None
        outer = firewall.reach_outer(one.transport, one.port, one.family)
        return tuple(reach.forwarded_to) if outer.verdict == "closed" else None

    @field
    def both_transports(self) -> bool:
        """One command of ufw opened TCP and UDP: `ufw allow https`."""
        if self.kind != "ufw":
            return False
        from sslint.firewalls import ufw

        written = ufw.written(self.source.location)
        return written is not None and written.both

    @field
    def other_served(self) -> bool:
        """The port is served over the other transport."""
        other: Literal["tcp", "udp"] = "udp" if self.transport == "tcp" else "tcp"
        return listening(self._host, other, self.port) == "certain"

    @field
    def expected(self) -> bool:
        """The configuration says that it is open for a program that is not read."""
        intent = self._host.target.intent
        key = (self.transport, self.port)
        return key in intent.expected_open or key in intent.expose

    @field
    def by(self) -> tuple[str, ...]:
        """The rules or policies that keep it from working."""
        return tuple(dict.fromkeys(_where(d) for d in (*self._shadowing, *self._blocking)))

    @field
    def shadowed_by(self) -> Places:
        """What decides the port first."""
        return _places(self._shadowing, f"decides {self.transport}/{self.port} first")

    @field
    def blocked_by(self) -> Places:
        """What keeps the port closed in another base chain."""
        return _places(self._blocking, f"keeps {self.transport}/{self.port} closed")

    @field
    def dormant_at(self) -> Places:
        """Where a server names the port and does not open it."""
        return tuple(Span(d.location, f"{d.service} is not opened") for d in self._dormant[:1])

    @property
    def _shadowing(self) -> list[Decision]:
        by = ((one, one.shadowed_by) for one in self.accepts)
        return [d for one, d in by if d is not None and _covers(d, one)]

    @property
    def _blocking(self) -> list[Decision]:
        return [d for one in self.accepts for d in one.blocked_by if _covers(d, one)]

    @property
    def _dormant(self) -> Sequence[model.Dormant]:
        return self.facts.dormant_listeners.get((self.transport, self.port), ())


def _lacks_services(host: Host, server: str | None) -> bool:
    """Tell whether a server is none that the ports are opened for.

    It relays this host's mail alone, or what it serves is said by a shipped file.
    """
    known = servers.server(server) if server is not None else None
    reading = host.reading(server) if server is not None else None
    if known is None or reading is None:
        return False
    laid = host.shipped.files if host.shipped is not None else ()
    return known.services_file in laid or only_relays(reading)


def _public_share(family: int, networks: Sequence[str]) -> float:
    """Return the part of the public addresses that lies in networks."""
    public = addresses.PUBLIC[family]
    total = sum(high - low + 1 for low, high in public)
    inside = 0
    for text in networks:
        _, (low, high) = addresses.network(text)
        inside += sum(min(high, b) - max(low, a) + 1 for a, b in public if a <= high and low <= b)
    return inside / total


def _covers(decision: Decision, opening: netfilter.Opening) -> bool:
    """Tell whether a decision is about most sources of an opening, not about a few banned ones."""
    accepted = _size(opening.sources)
    return accepted > 0 and _size(decision.sources) / accepted > 1 - MOST


def _size(networks: Sequence[str]) -> int:
    return sum(high - low + 1 for _, (low, high) in map(addresses.network, networks))


def _where(decision: Decision) -> str:
    place = decision.location
    return decision.text if place is None else f"{place.path}:{place.line}"


def _places(decisions: Iterable[Decision], message: str) -> Places:
    spans = {
        (d.location.path, d.location.line): Span(d.location, message)
        for d in decisions
        if d.location is not None
    }
    return tuple(spans.values())
