"""What every server's configuration is read into: sockets, sites and what is not opened.

A reader never judges; it says what the server would do with these files, and what cannot be known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from sslint.reasons import Code, Reason
from sslint.source import Location
from sslint.values import dataclass, field

if TYPE_CHECKING:
    from sslint.servers.interface import Web

Tls = Literal["implicit", "starttls", "none", "unknown"]
Transport = Literal["tcp", "udp"]


@dataclass(frozen=True, slots=True)
class CertificateRef:
    """A certificate as a server's configuration names it.

    `path` and `key` are host paths; None where they are not known before run time (a variable,
    `data:`). `names` are the SNI names that get it; () means it is the default for the socket.
    `chain_files`: other files whose certificates are sent with it. `issuer_files`: where the server
    looks for the issuer of a certificate that comes without one. `address`: only connections to
    this address or network get it (a Dovecot `local` block), before all without; "" means all.
    """

    path: str | None
    key: str | None
    location: Location
    key_location: Location | None = None
    names: tuple[str, ...] = ()
    chain_files: tuple[str, ...] = ()
    issuer_files: tuple[str, ...] = ()
    reason: str = ""  # why path is not known
    address: str = ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One listening socket, as `ss -ltnu` shows it (an nginx address that shares a wildcard's
    socket has an entry of its own).

    `tls_required`: no credentials before TLS; None = unknown. `certain` False: whether it is
    opened at all is not known, `reasons` says why. `names`: the names it answers for.
    `tls` "starttls" means STARTTLS is announced.
    """

    server: str
    protocol: str
    transport: Transport
    address: str  # textual, without brackets: "0.0.0.0", "::", "203.0.113.9"
    port: int
    tls: Tls
    location: Location
    ipv6only: bool = True
    tls_required: bool | None = None
    names: tuple[str, ...] = ()
    certificates: tuple[CertificateRef, ...] = ()
    service: str = ""  # the server's own word: submission, imaps, a unit
    proxy_protocol: bool = False
    passthrough: bool = False  # TLS is passed on undecrypted (ssl_preread, a TCP proxy)
    certain: bool = True
    reasons: tuple[str, ...] = ()
    settings: tuple[tuple[str, str | None], ...] = ()  # effective values that rules ask for
    span: Location | None = None  # the statement to change, if not `location`
    explicit: bool = True  # the configuration itself names the port
    named_tls: bool = False  # its name says that TLS is meant from the first byte: `imaps2`
    takes_passwords: bool = False


@dataclass(frozen=True, slots=True)
class Dormant:
    """A listener that the configuration names or the server is known for, but does not open."""

    server: str
    service: str
    protocol: str
    transport: Transport
    port: int
    reason: Literal["commented", "disabled", "absent", "port-zero", "ssl-off", "protocol-off"]
    location: Location
    explicit: bool = False  # the files say that it is wanted (an explicit port or ssl)
    related: Location | None = None  # e.g. the explicit inet_listener that `ssl = no` removes


@dataclass(frozen=True, slots=True)
class Site:
    """An nginx server block (http, stream or mail): names, sockets, certificates.

    `listens` are (transport, address, port, default_server). `tls` says whether any of its
    sockets is TLS or QUIC once all blocks are merged; None where not all of them are known.
    """

    server: str
    kind: Literal["http", "stream", "mail"]
    names: tuple[str, ...]
    listens: tuple[tuple[Transport, str, int, bool], ...]
    tls: bool | None
    certificates: tuple[CertificateRef, ...]
    location: Location
    own_certificate: bool = False  # set in the block itself, not inherited
    rejects_handshake: bool = False


@dataclass(frozen=True, slots=True)
class Redirect:
    """A redirect to another URL; None = not known (a variable), `conditional`: under an `if`."""

    site: int  # index in ServerReading.sites
    scheme: str | None
    host: str | None
    port: int | None
    location: Location
    conditional: bool = False
    own_name: bool = False  # $host, $server_name, $http_host


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where a server passes requests on: scheme http/https/tcp/tls/..., host and port.

    `passes_tls`: what clients send is passed on as it is, TLS too.
    """

    site: int
    scheme: str | None
    host: str | None
    port: int | None
    location: Location
    proxy_protocol: bool = False
    passes_tls: bool = False


@dataclass(frozen=True, slots=True)
class Setting:
    """A statement of a configuration that a rule may ask for, with its value where it is known."""

    server: str
    name: str
    value: str | None
    location: Location
    scope: str = ""  # the server's own word for where it stands: "", "server", "imap-login" ...
    arguments: tuple[str, ...] = ()
    site: int | None = None
    related: Location | None = None  # the other place it is about
    offered: bool = True  # to clients; False: it is about the server's own connections


@dataclass(frozen=True, slots=True)
class BindConflict:
    """Two listeners of one server that the kernel does not open beside each other."""

    transport: Transport
    port: int
    first: str  # address and port as they are shown: "0.0.0.0:443", "[::]:443"
    second: str
    first_location: Location
    second_location: Location

    @property
    def reason(self) -> Reason:
        """Why the server stops at the second of them."""
        place = f"{self.first_location.path}:{self.first_location.line}"
        text = f"{self.second} cannot be opened beside {self.first} ({place})"
        return Reason(Code.BIND_CONFLICT, self.second_location, text)


@dataclass(frozen=True, slots=True)
class Knows:
    """How much a reading understands: no rule fires on what it does not.

    `ports`: its sockets. `tls`: which of them speak TLS, where `Endpoint.tls` says so.
    `certificates`: what they serve. `sites`: which names are answered, where and how.
    """

    ports: bool = True
    tls: bool = True
    certificates: bool = True
    sites: bool = True


@dataclass(slots=True)
class ServerReading:
    """All that was understood of one server on one host.

    `refusals`: why the server certainly does not start with these files. `gaps`: why listeners may
    exist that are not in `endpoints` (an include that was not given, a file that does not parse,
    protocols that the package decides).
    `assumptions`: what was taken for granted because the files do not hold it. `sites_assumed`:
    among them which sites are enabled, so that two of them need not stand beside each other.
    `web`: what only a web server can answer; None for others. `enabled` False: nothing starts it at
    boot. `keys_apart`: it starts without a setting for the key, and never takes it from the
    certificate's file.
    """

    server: str
    endpoints: list[Endpoint] = field(default_factory=list)
    dormant: list[Dormant] = field(default_factory=list)
    sites: list[Site] = field(default_factory=list)
    redirects: list[Redirect] = field(default_factory=list)
    upstreams: list[Upstream] = field(default_factory=list)
    settings: list[Setting] = field(default_factory=list)
    refusals: list[Reason] = field(default_factory=list)
    gaps: list[Reason] = field(default_factory=list)
    assumptions: list[str] = field(default_factory=list)
    sites_assumed: bool = False
    files: list[str] = field(default_factory=list)
    version: tuple[int, ...] | None = None
    conflicts: list[BindConflict] = field(default_factory=list)
    config: object | None = None  # the server's own parsed form, for its own package
    knows: Knows = Knows()
    web: Web | None = None
    enabled: bool = True
    keys_apart: bool = False

    @property
    def starts(self) -> bool:
        """Whether the server may start with these files."""
        return not self.refusals

    @property
    def complete(self) -> bool:
        """Whether `endpoints` has every listener."""
        return not self.gaps

    @property
    def reasons(self) -> list[str]:
        """Why it does not start, then what is not known, each once."""
        return list(dict.fromkeys(map(str, (*self.refusals, *self.gaps))))
