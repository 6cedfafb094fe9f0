"""Sockets to endpoints: what a client finds at an address and port."""

from __future__ import annotations

from sslint.servers.model import Endpoint, Tls, Upstream
from sslint.servers.nginx import certificates, mail
from sslint.servers.nginx.listen import ANY_IPV4, ANY_IPV6
from sslint.servers.nginx.parsed import Nginx
from sslint.servers.nginx.sockets import Socket
from sslint.values import replace


def endpoint_of(nginx: Nginx, socket: Socket) -> Endpoint:
    """Return the endpoint of one socket; a stream proxy's TLS is unknown (see `passed_on`)."""
    implicit, doubt = certificates.socket_is_tls(socket, nginx.version)
    mode, required = _mode(socket, implicit)
    reasons = [doubt] if doubt else []
    if not socket.sure:
        reasons.append("whether a host name means this address is not in the files")
    if socket.doubts:
        name = socket.doubts[0].directive.args[0]
        reasons.append(f"`listen {name}` may also mean this address, and is not counted in")
        if any((item.flags - socket.flags) & {"ssl", "proxy_protocol"} for item in socket.doubts):
            mode, required = "unknown", None
    encrypted = mode in ("implicit", "starttls")
    return Endpoint(
        "nginx",
        _protocol(socket, implicit),
        socket.transport,
        socket.address,
        socket.port,
        mode,
        socket.where,
        ipv6only=socket.ipv6only,
        tls_required=required,
        names=socket.names(),
        certificates=certificates.served(socket, nginx.credentials) if encrypted else (),
        service=socket.kind,
        proxy_protocol="proxy_protocol" in socket.flags,
        passthrough=mode == "unknown" and _passes(socket),
        certain=socket.sure and not doubt,
        reasons=tuple(reasons),
        settings=_settings(socket),
    )


def passed_on(nginx: Nginx, endpoints: list[Endpoint], upstreams: list[Upstream]) -> list[Endpoint]:
    """Give each stream proxy to this host's own nginx the TLS of what it passes to."""
    if not any(endpoint.passthrough for endpoint in endpoints):
        return endpoints
    known = dict(zip(nginx.table.sockets.values(), endpoints, strict=True))
    targets: dict[int, set[tuple[str | None, str | None, int | None, bool]]] = {}
    for up in upstreams:
        targets.setdefault(up.site, set()).add((up.scheme, up.host, up.port, up.proxy_protocol))
    found = []
    for socket, endpoint in known.items():
        to = targets.get(socket.default_server.number, set())
        if endpoint.passthrough and len(to) == 1:
            scheme, host, port, header = next(iter(to))
            behind = _own(nginx, host, port) if scheme == "tcp" else None
            other = known[behind] if behind is not None else None
            if other and not other.passthrough and other.proxy_protocol is header:
                endpoint = replace(
                    endpoint,
                    tls=other.tls,
                    tls_required=other.tls_required,
                    certificates=other.certificates,
                    names=endpoint.names or other.names,
                )
        found.append(endpoint)
    return found


def _own(nginx: Nginx, host: str | None, port: int | None) -> Socket | None:
    """Return this nginx's socket behind a loopback address."""
    host = "127.0.0.1" if host == "localhost" else host
    if host is None or port is None or not (host.startswith("127.") or host == "::1"):
        return None
    return nginx.socket("tcp", host, port)


def _mode(socket: Socket, implicit: bool) -> tuple[Tls, bool | None]:
    """Return the TLS mode and whether TLS comes before anything else."""
    if implicit:
        return "implicit", True
    if socket.kind == "mail":
        starttls = certificates.uses_starttls(socket.default_server)
        if starttls != "off":
            return "starttls", starttls == "only"
    if socket.kind == "stream" and _passes(socket):
        return "unknown", None
    return "none", False


def _passes(socket: Socket) -> bool:
    """Tell whether a stream socket hands its TCP connections on undecrypted."""
    own = socket.default_server.own
    return (
        socket.kind == "stream"
        and socket.transport == "tcp"
        and bool(own("proxy_pass") or own("pass"))
    )


def _protocol(socket: Socket, implicit: bool) -> str:
    if "quic" in socket.flags:
        return "h3"
    if socket.kind == "mail":
        return mail.endpoint_protocol(socket.default_server, socket, implicit)
    if socket.kind == "stream":
        return "stream"
    return "https" if implicit else "http"


def _settings(socket: Socket) -> tuple[tuple[str, str | None], ...]:
    found: list[tuple[str, str | None]] = []
    if "http2" in socket.flags or socket.default_server.on("http2"):
        found.append(("http2", "on"))
    if "quic" in socket.flags:
        off = (socket.default_server.value("http3") or "on").lower() == "off"
        found.append(("http3", "off" if off else "on"))
    if not socket.bound:
        found.append(("shares-socket-of", ANY_IPV6 if socket.is_ipv6 else ANY_IPV4))
    return tuple(found)
