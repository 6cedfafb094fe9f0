"""What can be asked of nginx as a web server."""

from __future__ import annotations

from collections.abc import Callable

from sslint.servers.interface import Answer
from sslint.servers.model import CertificateRef, Endpoint, ServerReading
from sslint.servers.nginx.parsed import Nginx, certificates_for
from sslint.servers.nginx.settings import header_dropped
from sslint.source import Location
from sslint.values import dataclass


@dataclass(frozen=True, slots=True)
class NginxWeb:
    """The answers of one reading (`interface.Web`)."""

    reading: ServerReading

    def answer(self, port: int, name: str, uri: str) -> Answer:
        """Return what nginx does with `GET uri` for a host name on a TCP port."""
        from sslint.servers.nginx import routing

        return routing.answer(self.reading, port, name, uri)

    def certificates(
        self, endpoint: Endpoint, name: str | None
    ) -> tuple[CertificateRef, ...] | None:
        """Return the certificates that a client gets for an SNI name at one endpoint."""
        return certificates_for(self.reading, endpoint, name)

    def roots(self) -> list[str]:
        """Return the directories that nginx serves."""
        if self._nginx.roots is None:
            stated = (
                words[0]
                for server in self._nginx.config.servers
                for said in server.in_force("root")
                if (words := server.args(said)) and "$" not in words[0]
            )
            self._nginx.roots = list(dict.fromkeys(stated))
        return self._nginx.roots

    def dropped(self, port: int, header: str, fits: Callable[[str], bool]) -> Location | None:
        """Return where the HTTP/3 block of a port loses a header that fits for `/`."""
        for server in self._nginx.config.servers:
            quic = any(
                number == port and listen.transport == "udp"
                for listen in server.listens
                for _, number in listen.addresses
            )
            headers = [d.args for d in server.effective("add_header") if len(d.args) > 1]
            if quic and any(a[0].lower() == header.lower() and fits(a[1]) for a in headers):
                dropped = header_dropped(server, header)
                if dropped is not None:
                    return dropped.location
        return None

    @property
    def _nginx(self) -> Nginx:
        assert isinstance(self.reading.config, Nginx)
        return self.reading.config
