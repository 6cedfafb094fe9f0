"""Facts about the zones of firewalld."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sslint.engine import Span
from sslint.facts.fact import Fact, field
from sslint.values import dataclass

if TYPE_CHECKING:
    from sslint.facts.collection import Facts
    from sslint.source import Location

Ports = Sequence[tuple[str, tuple[int, int]]]


@dataclass(frozen=True, slots=True)
class _Entry:
    zone: str | None
    opens: str
    location: Location
    active: bool | None
    ports: Ports = ()


def zones(facts: Facts) -> list[Zone]:
    """Return a fact for each service or port that a firewalld zone opens, or fails to name."""
    host = facts.host
    if not any(source.kind == "firewalld" for source in host.ruleset.sources):
        return []
    from sslint.firewalls import firewalld

    configuration = firewalld.read_configuration(host.tree, host.network.zones)
    if configuration is None:
        return []
    entries = []
    for zone in configuration.zones.values():
        active = zone.bound or zone.name == configuration.options.default_zone
        for service in zone.services:
            known = configuration.services.get(service.value)
            ports = [(one.protocol, one.ports) for one in (known.ports if known else ())]
            entries.append(_Entry(zone.name, service.value, service.location, active, ports))
        for port in zone.ports:
            name = f"{'-'.join(map(str, dict.fromkeys(port.ports)))}/{port.protocol}"
            own = [(port.protocol, port.ports)]
            entries.append(_Entry(zone.name, name, port.location, active, own))
    unknown = firewalld.unknown_services(configuration)
    entries += [_Entry(None, service.value, service.location, None) for service in unknown]
    return [Zone(facts, entry) for entry in entries]


class Zone(Fact):
    """A service or port in a zone of firewalld."""

    source: _Entry

    zone: str | None
    "The zone."
    opens: str
    "The service or port."
    active: bool | None
    "The zone has an interface or a source, or is the default."

    def __init__(self, facts: Facts, source: _Entry) -> None:
        unknown = source.zone is None
        self._needed = sorted(
            (transport, port)
            for transport, port in facts.closed_ports
            if any(transport == t and a <= port <= b for t, (a, b) in source.ports)
        )
        super().__init__(
            facts,
            source,
            f"firewalld service {source.opens}" if unknown else f"firewalld zone {source.zone}",
            Span(
                source.location, "no such service" if unknown else f"opened in zone {source.zone}"
            ),
            frozenset(self._needed),
        )

    @field
    def unknown(self) -> bool:
        """firewalld has no such service."""
        return self.source.zone is None

    @field
    def stock(self) -> bool:
        """It stands in a file of firewalld's own."""
        return self.source.location.path.startswith("usr/lib/firewalld")

    @field
    def needed(self) -> bool | None:
        """A service of this host is closed that it would open."""
        return None if self.unknown else bool(self._needed)

    @field
    def ports(self) -> tuple[str, ...]:
        """The closed ports that it would open."""
        return tuple(f"{transport}/{port}" for transport, port in self._needed)

    @field
    def vendor_seen(self) -> bool:
        """firewalld's own services are in the tree."""
        return self._host.tree.exists("/usr/lib/firewalld/services")
