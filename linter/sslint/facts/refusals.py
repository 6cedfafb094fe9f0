"""Facts about servers that certainly do not start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sslint.engine import Span, enumerated, line_of
from sslint.facts.fact import Fact, Places, field
from sslint.reasons import Code

if TYPE_CHECKING:
    from sslint.engine.language import Subject
    from sslint.facts.collection import Facts
    from sslint.reasons import Reason
    from sslint.servers.model import Endpoint, ServerReading, Site
    from sslint.source import Location


def refusals(facts: Facts) -> list[Refusal]:
    """Return a fact for each line that certainly stops a server.

    What else stands in a file that could not be read is not known; that is a problem already.
    """
    unread = {problem.location.path for problem in facts.host.problems if problem.location}
    found: dict[tuple[str, Location], Refusal] = {}
    for reading in facts.started:
        for reason in reading.refusals:
            place = reason.location or _main(facts, reading)
            if place is not None and place.path not in unread:
                found.setdefault((reading.server, place), Refusal(facts, reading, reason, place))
    return list(found.values())


def _main(facts: Facts, reading: ServerReading) -> Location | None:
    """Return the head of the main file, for a reason without a line."""
    file = facts.host.tree.try_read(reading.files[0]) if reading.files else None
    return file.at(1) if file is not None else None


class Refusal(Fact):
    """A line for which a server certainly does not start."""

    source: Reason

    def __init__(
        self, facts: Facts, reading: ServerReading, reason: Reason, place: Location
    ) -> None:
        super().__init__(
            facts,
            reason,
            f"{reading.server} {place.path}:{place.line}",
            Span(place, f"{reading.server} stops here"),
            frozenset({line_of(place)}),
        )
        self._reading = reading

    @property
    def subjects(self) -> frozenset[Subject]:
        """Its line, the certificates that it names, and the TLS ports that have none."""
        reading, place = self._reading, self._span and self._span.location
        holders: tuple[Endpoint | Site, ...] = (*reading.endpoints, *reading.sites)
        named = {
            ("certificate", one.path)
            for holder in holders
            for one in holder.certificates
            if place in (one.location, one.key_location)
        }
        bare = {
            (one.transport, one.port)
            for one in reading.endpoints
            if self.source.code is Code.NO_CERTIFICATE
            and one.tls != "none"
            and not one.certificates
        }
        return self._subjects | named | bare

    @field
    def server(self) -> str:
        """The server."""
        return self._reading.server

    @field
    def reason(self) -> str:
        """What it stops at."""
        return self.source.text

    @field
    def ports(self) -> str | None:
        """The ports that are dark for it, as in "tcp/80 and tcp/443"; None where none are known."""
        return enumerated([f"{transport}/{port}" for transport, port in self._dark]) or None

    @field
    def dark(self) -> Places:
        """Where the listeners are configured that it does not open, one for each port."""
        return tuple(
            Span(endpoint.location, f"{transport}/{port} is not opened")
            for (transport, port), endpoint in self._dark.items()
        )

    @field
    def _dark(self) -> dict[tuple[str, int], Endpoint]:
        found: dict[tuple[str, int], Endpoint] = {}
        for endpoint in self._reading.endpoints:
            found.setdefault((endpoint.transport, endpoint.port), endpoint)
        return found
