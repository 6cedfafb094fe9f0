"""Which certificates nginx loads for a server block, and which a client is sent.

Sources: ngx_http_ssl_merge_srv_conf, ngx_http_ssl_init and their twins for stream and mail.
"""

from __future__ import annotations

import posixpath
from functools import lru_cache

from sslint.reasons import Code
from sslint.servers.model import CertificateRef
from sslint.servers.nginx.blocks import Server
from sslint.servers.nginx.directive import Directive, Part
from sslint.servers.nginx.directives import Refuse
from sslint.servers.nginx.listen import Version
from sslint.servers.nginx.sockets import Socket
from sslint.values import dataclass

Stated = tuple[str, Directive | Part]


@dataclass(slots=True, eq=False)
class Credentials:
    """The certificates of a server block; `own`: set in the block, not inherited."""

    certificates: tuple[CertificateRef, ...]
    own: bool
    named_here: bool  # a certificate or a key is
    rejects: bool

    def named(self, names: tuple[str, ...]) -> list[CertificateRef]:
        """Return the certificates as clients of some names get them."""
        return [
            CertificateRef(ref.path, ref.key, ref.location, ref.key_location, names,
                           reason=ref.reason)
            for ref in self.certificates
        ]  # fmt: skip


def credentials(server: Server, directory: str, refuse: Refuse) -> Credentials:
    """Return a server's certificates; each of the two statements is inherited on its own."""
    files = _stated(server, "ssl_certificate")
    keys = _stated(server, "ssl_certificate_key")
    uses = server.kind != "mail" or _mail_uses_tls(server)
    if uses and len(keys) < len(files) and server.unknown is None:
        refuse(
            server.place(files[-1][1]),
            f'no "ssl_certificate_key" is defined for certificate "{files[-1][0]}"',
            Code.NO_CERTIFICATE,
        )
    found = []
    for number, certificate in enumerate(files):
        key = keys[number] if number < len(keys) else None
        found.append(_reference(server, certificate, key, directory))
    if not files and server.unknown is not None:
        reason = f"may be set in {' '.join(server.unknown.args)}, which was not given"
        found.append(CertificateRef(None, None, server.unknown.location, reason=reason))
    own = server.has("ssl_certificate")
    rejects = server.kind != "mail" and server.on("ssl_reject_handshake")
    return Credentials(tuple(found), own, own or server.has("ssl_certificate_key"), rejects)


def _stated(server: Server, name: str) -> list[Stated]:
    """Return the first word of each statement of one name that is in force, and the statement."""
    words = server.directive.words
    return [(args[0], said) for said in server.in_force(name) if (args := words(said))]


def uses_starttls(server: Server) -> str:
    """Return a mail server's `starttls` mode: off, on or only."""
    mode = (server.value("starttls") or "off").lower()
    return mode if mode in ("on", "only") else "off"


def _mail_uses_tls(server: Server) -> bool:
    return uses_starttls(server) != "off" or any("ssl" in item.flags for item in server.listens)


def _reference(
    server: Server, certificate: Stated, key: Stated | None, directory: str
) -> CertificateRef:
    place = server.directive.place
    path, reason = _path(certificate[0], directory)
    if key is None:
        return CertificateRef(path, None, place(certificate[1]), reason=reason)
    key_path, _ = _path(key[0], directory)
    return CertificateRef(path, key_path, place(certificate[1]), place(key[1]), reason=reason)


@lru_cache(maxsize=1024)
def _path(value: str, directory: str) -> tuple[str | None, str]:
    if value.startswith("data:"):
        return None, "the certificate is in a variable" if "$" in value else "given inline"
    if "$" in value:
        return None, f"{value} is known only when a client connects"
    if value.startswith(("engine:", "store:")):
        return None, f"{value} is not a file"
    return posixpath.normpath(posixpath.join(directory, value)), ""


def socket_is_tls(socket: Socket, version: Version) -> tuple[bool, str]:
    """Tell whether a socket speaks TLS from the first byte, and what is not sure about it.

    Before 1.25.1 `ssl on` in the default server did so for the whole socket.
    """
    if socket.flags & {"ssl", "quic"}:
        return True, ""
    if _ssl_on(socket.default_server) and (version is None or version < (1, 25, 1)):
        unsure = "" if version else "`ssl on` is refused since nginx 1.25.1"
        return True, unsure
    return False, ""


def _ssl_on(server: Server) -> bool:
    return server.on("ssl") and server.kind in ("http", "mail", "stream")


def served(socket: Socket, known: dict[int, Credentials]) -> tuple[CertificateRef, ...]:
    """Return what a TLS socket serves: the default server's first, then by SNI name."""
    twin = socket.twin
    if twin is not None and twin.sent is not None and twin.default == socket.default:
        return twin.sent
    default = known[socket.default_server.number]
    found: list[CertificateRef] = [] if default.rejects else list(default.certificates)
    if len(socket.servers) == 1 or socket.kind == "mail":
        return tuple(found)
    claimed = socket.names_table().claimed
    for server in dict.fromkeys(socket.servers):
        mine = known[server.number]
        names = tuple(claimed.get(server.number, ()))
        if names and not mine.rejects and (server is not socket.default_server or default.rejects):
            found += mine.named(names)
    socket.sent = tuple(found)
    return socket.sent


def certificates_for(
    socket: Socket, known: dict[int, Credentials], name: str | None
) -> tuple[CertificateRef, ...] | None:
    """Return the certificates a client gets for an SNI name; () where it is turned away.

    None if it cannot be decided (a regular expression).
    """
    default = socket.default_server
    server = socket.find(name) if name and socket.kind != "mail" else default
    if server is None:
        return None
    mine = known[server.number]
    return () if mine.rejects else mine.certificates or known[default.number].certificates


def check_default(socket: Socket, known: dict[int, Credentials], refuse: Refuse) -> None:
    """Refuse a TLS socket whose default server has no certificate, as nginx does."""
    default = socket.default_server
    mine = known[default.number]
    if mine.certificates:
        protocols = [d for d in default.effective("ssl_protocols") if d.args]
        if "quic" in socket.flags and protocols and not any("TLSv1.3" in d.args for d in protocols):
            refuse(protocols[0].location, '"ssl_protocols" must enable TLSv1.3 for "quic"')
        return
    word = "quic" if "quic" in socket.flags else "ssl"
    lacking = [default]
    if mine.rejects:
        lacking = [
            s
            for s in socket.servers
            if not known[s.number].certificates and not known[s.number].rejects
        ]
    for server in lacking:
        refuse(
            server.directive.location,
            f'no "ssl_certificate" is defined for the "listen ... {word}" directive',
            Code.NO_CERTIFICATE,
        )
