"""The parsed configuration behind a reading, and what can be asked of it."""

from __future__ import annotations

from sslint.reasons import Code, Reason
from sslint.servers.model import CertificateRef, Endpoint, ServerReading, Transport
from sslint.servers.nginx import certificates as tls
from sslint.servers.nginx.blocks import KINDS, Configuration
from sslint.servers.nginx.listen import ANY_IPV4, ANY_IPV6, Version
from sslint.servers.nginx.sockets import Socket, SocketTable
from sslint.source import Location, SourceFile
from sslint.values import dataclass, field


@dataclass(slots=True)
class Nginx:
    """The parsed configuration behind a reading: `ServerReading.config` of an nginx."""

    config: Configuration
    table: SocketTable
    credentials: dict[int, tls.Credentials]
    version: Version
    refused: list[Reason] = field(default_factory=list)
    templates: set[SourceFile] = field(default_factory=set)
    entry: str = ""
    forms: Version = None  # the version by which statements are refused
    supposed: set[str] = field(default_factory=set)  # paths of files that may be others
    roots: list[str] | None = None  # the directories that are served, once somebody has asked
    _sockets: dict[tuple[Transport, str, int], Socket | None] = field(default_factory=dict)

    def refuse(
        self,
        where: Location,
        text: str,
        code: Code = Code.REFUSED,
        beside: SourceFile | None = None,
    ) -> None:
        """Record that nginx does not start, and why, `beside` what another file says.

        What a template makes is not known, nor what the host says where its files are supposed:
        what does not go together is a reason to think that they are others.
        """
        files = {where.file, beside or where.file}
        if len(files) > 1 and not self.supposed.isdisjoint({self.entry, *(f.path for f in files)}):
            return
        if self.templates.isdisjoint(files):
            self.refused.append(Reason(code, where, text))

    def socket(self, transport: Transport, address: str, port: int) -> Socket | None:
        """Return the socket that takes connections to an address: its own, else the wildcard."""
        place = (transport, address, port)
        if place not in self._sockets:
            self._sockets[place] = self._socket(*place)
        return self._sockets[place]

    def _socket(self, transport: Transport, address: str, port: int) -> Socket | None:
        wildcard = ANY_IPV6 if ":" in address else ANY_IPV4
        for kind in KINDS:
            for candidate in dict.fromkeys((address, wildcard)):
                socket = self.table.sockets.get((kind, transport, candidate, port))
                if socket is not None:
                    return socket
        return None


def certificates_for(
    reading: ServerReading, endpoint: Endpoint, name: str | None
) -> tuple[CertificateRef, ...] | None:
    """Return the certificates that a client gets for an SNI name at one endpoint of a reading.

    () where its handshake is turned away, None where it cannot be decided.
    """
    nginx = reading.config
    if not isinstance(nginx, Nginx) or endpoint.passthrough:
        return None
    socket = nginx.socket(endpoint.transport, endpoint.address, endpoint.port)
    return None if socket is None else tls.certificates_for(socket, nginx.credentials, name)
