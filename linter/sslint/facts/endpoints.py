"""Facts about listening sockets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from sslint.engine import Span
from sslint.facts.fact import Fact, field, of
from sslint.facts.ports import EXPECTED_TLS, Tls, Transport
from sslint.facts.reach import Reach
from sslint.host import Scope

if TYPE_CHECKING:
    from sslint.facts.collection import Facts
    from sslint.host import Socket
    from sslint.servers.model import Endpoint as Listener

LISTENERS = {
    "implicit": "TLS listener",
    "starttls": "STARTTLS listener",
    "none": "listener without TLS",
    "mixed": "listener with TLS on some addresses",
    "unknown": "listener",
}


def endpoints(facts: Facts) -> list[Endpoint]:
    """Return a fact for each listening socket."""
    unsure = {
        listen[:3]
        for reading in facts.host.readings
        for site in reading.sites
        if site.tls is None
        for listen in site.listens
    }
    return [
        Endpoint(facts, socket, unsure=(e.transport, e.address, e.port) in unsure)
        for socket in facts.host.sockets
        for e in (socket.endpoint,)
    ]


class Endpoint(Fact):
    """One listening socket."""

    source: Listener

    server: str
    "The server."
    service: str
    "The server's own word for it."
    protocol: str
    "http, https, h3, smtp, submission(s), imap(s), pop3(s), sieve, lmtp, stream ..."
    transport: Transport
    "The transport."
    address: str
    "The address, without brackets."
    port: int
    "The port."
    tls_required: bool | None
    "No credentials before TLS."
    names: tuple[str, ...]
    "The names it answers for."
    certain: bool
    "False: whether it is opened at all is not known."
    proxy_protocol: bool
    "It expects the PROXY header."
    passthrough: bool
    "TLS is passed on undecrypted."

    def __init__(self, facts: Facts, socket: Socket, *, unsure: bool) -> None:
        source = socket.endpoint
        super().__init__(
            facts,
            source,
            f"{source.server} {source.transport}/{source.port}",
            Span(source.location, LISTENERS[source.tls]),
            frozenset({(source.transport, source.port)}),
        )
        self._socket = socket
        self._unsure = unsure  # what its server block includes and was not given may say `ssl`

    program: str = of("source.server")
    "The server, for words that differ by server."

    @field
    def family(self) -> Literal[4, 6]:
        """The family of its address."""
        return 6 if ":" in self.source.address else 4

    scope: Scope = of("_socket.scope")
    "What the address says about who may come to it."

    @field
    def tls(self) -> Tls | None:
        """How it does TLS."""
        tls = self.source.tls
        return None if tls == "unknown" or (tls == "none" and self._unsure) else tls

    @field
    def certificates(self) -> tuple[str, ...]:
        """The paths of its certificates."""
        return tuple(ref.path for ref in self.source.certificates if ref.path)

    @field
    def settings(self) -> Mapping[str, str | None]:
        """Effective values of the server's settings that matter for this socket."""
        return dict(self.source.settings)

    @field
    def named(self) -> bool:
        """It is the listener's name that says how clients start: on an unusual port, `imaps2`."""
        return self.source.named_tls and self.port not in EXPECTED_TLS

    @field
    def expects(self) -> Tls | None:
        """How clients start on a port of this number, or on a listener of this name."""
        return "implicit" if self.named else EXPECTED_TLS.get(self.port)

    @field
    def terminated_elsewhere(self) -> bool:
        """The configuration says that its TLS ends in front of this host."""
        return (self.transport, self.port) in self._host.target.intent.terminated_elsewhere

    @field
    def reach(self) -> Reach:
        """Who reaches it."""
        return Reach((self._socket.ipv4, self._socket.ipv6))
