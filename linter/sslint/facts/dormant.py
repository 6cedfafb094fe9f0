"""Facts about listeners that a server does not open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from sslint.engine import Span
from sslint.facts.fact import Places, field
from sslint.facts.ports import Listener, PortFact, Transport, listening
from sslint.host import only_relays

if TYPE_CHECKING:
    from sslint.facts.collection import Facts
    from sslint.servers import model

_WHY = {
    "commented": "is commented out",
    "disabled": "is disabled",
    "absent": "is missing",
    "port-zero": "has port 0",
    "ssl-off": "is disabled by ssl = no",
    "protocol-off": "belongs to a protocol that is not enabled",
}


def dormant(facts: Facts) -> list[Dormant]:
    """Return a fact for each listener that is named or known but not opened."""
    return [
        Dormant(
            facts,
            listener,
            f"{listener.server} {listener.transport}/{listener.port}",
            Span(listener.location, f"{listener.service} {_WHY[listener.reason]}"),
            frozenset({(listener.transport, listener.port)}),
        )
        for reading in facts.started
        if not only_relays(reading)
        for listener in reading.dormant
    ]


class Dormant(PortFact):
    """A listener that a server's files name, or that the server is known for, but that it does not
    open."""

    source: model.Dormant

    server: str
    "The server."
    service: str
    "The server's own word for it."
    protocol: str
    "As of an endpoint."
    transport: Transport
    "The transport."
    port: int
    "The port."
    reason: Literal["commented", "disabled", "absent", "port-zero", "ssl-off", "protocol-off"]
    "Why it is not opened."
    explicit: bool
    "The files say that it is wanted: an explicit port or `ssl`."

    @field
    def wanted_by(self) -> tuple[Literal["firewall", "documents"], ...]:
        """What expects it to be open."""
        firewall: tuple[Literal["firewall"], ...] = ("firewall",) if self.opened_by else ()
        return (*firewall, "documents") if self.announced else firewall

    @field
    def listener(self) -> Listener | None:
        """Whether any program listens on the port."""
        return listening(self._host, self.transport, self.port)

    @field
    def configured(self) -> Places:
        """What asks for it."""
        place = self.source.related
        return (Span(place, "configured here"),) if place else ()
