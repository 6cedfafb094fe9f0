"""nginx's socket table: which addresses are opened, with which protocol, and who shares them.

Protocol flags and socket options belong to the address and port, not to the server block
(ngx_http_add_addresses, ngx_http_init_listening; the same in ngx_stream.c and ngx_mail.c).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from sslint.servers.model import BindConflict, CertificateRef, Transport
from sslint.servers.nginx.blocks import Form, Server
from sslint.servers.nginx.listen import ANY_IPV4, WILDCARDS, Kind, Listen
from sslint.servers.nginx.names import VirtualNames
from sslint.source import Location
from sslint.values import dataclass, field

MAX_SIZE = 2_000_000  # addresses times names: port ranges can make many of one line


@dataclass(slots=True, eq=False)
class Socket:
    """One address and port of one kind of block. `bound` False: it shares a wildcard's socket."""

    kind: Kind
    transport: Transport
    address: str
    port: int
    flags: set[str] = field(default_factory=set)  # ssl, quic, http2, proxy_protocol
    servers: list[Server] = field(default_factory=list)
    listens: list[Listen | None] = field(default_factory=list)  # beside each of `servers`
    default: int = 0  # index in `servers`
    explicit_default: bool = False
    options: Listen | None = None  # the one that sets socket options
    ipv6only: bool = True
    sure: bool = True  # that it is opened at all
    doubts: list[Listen] = field(default_factory=list)  # host names that may also mean it
    bound: bool = True
    twin: Socket | None = None  # one of the same servers
    named: tuple[str, ...] | None = None  # its servers' names, once asked
    sent: tuple[CertificateRef, ...] | None = None  # the certificates that it serves, once asked
    virtual: VirtualNames | None = None
    numbered: dict[int, Server] = field(default_factory=dict)  # beside `virtual`

    @property
    def is_ipv6(self) -> bool:
        """Tell the family."""
        return ":" in self.address

    @property
    def wildcard(self) -> bool:
        """Tell whether it stands for all addresses of its family."""
        return self.address in WILDCARDS

    @property
    def explicit(self) -> bool:
        """Tell whether nginx opens a socket of its own even beside a wildcard."""
        return self.options is not None

    @property
    def reuseport(self) -> bool:
        """Tell whether each worker has a socket of its own, beside which others fit."""
        return self.options is not None and "reuseport" in self.options.flags

    @property
    def default_server(self) -> Server:
        """Return the server that answers for all names no other has."""
        return self.servers[self.default]

    @property
    def where(self) -> Location:
        """The statement that stands for the socket: the first that asks for TLS, else the first."""
        listen = next(
            (item for item in self.listens if item and item.flags & {"ssl", "quic"}),
            self.listens[0],
        )
        return listen.directive.location if listen else self.servers[0].directive.location

    @property
    def name(self) -> str:
        """Return the address and port as nginx prints them."""
        host = f"[{self.address}]" if self.is_ipv6 else self.address
        return f"{host}:{self.port}"

    def find(self, name: str) -> Server | None:
        """Return the server that a name (SNI or Host) selects; None if it cannot be decided."""
        if len(self.servers) == 1:
            return self.servers[0]
        number = (self.virtual or self.names_table()).find(name)
        if number is None:
            return self.default_server
        return self.numbered.get(number)

    def names(self) -> tuple[str, ...]:
        """Return the names of its servers, each once."""
        if self.named is None and self.twin is not None:
            self.named = self.twin.names()
        if self.named is None:
            found = dict.fromkeys(chain.from_iterable([one.names for one in self.servers]))
            self.named = tuple([name for name in found if name not in ("", "_")])
        return self.named

    def names_table(self) -> VirtualNames:
        """Return the table of its servers' names."""
        if self.virtual is None and self.twin is not None:
            self.virtual = self.twin.names_table()
            self.numbered = self.twin.numbered
        if self.virtual is None:
            self.virtual = VirtualNames.build((s.number, s.names) for s in self.servers)
            self.numbered = {server.number: server for server in self.servers}
        return self.virtual


Key = tuple[Kind, Transport, str, int]


@dataclass(slots=True, eq=False)
class Joined:
    """Where the blocks of one form listen: what they share, as the first was entered."""

    listens: list[Listen]
    sockets: list[tuple[Socket, Listen]]


@dataclass(slots=True)
class SocketTable:
    """All sockets of a configuration by kind, transport, address and port."""

    sockets: dict[Key, Socket] = field(default_factory=dict)
    too_many: bool = False
    _size: int = 0
    _unsure: list[tuple[Server, Listen, str, int]] = field(default_factory=list)
    joined: dict[Form, Joined] = field(default_factory=dict)

    def add_like(self, server: Server) -> Joined | None:
        """Enter a server where another of its form was; None if that has to be looked at."""
        joined = self.joined.get(server.form) if server.form is not None else None
        if joined is None:
            return None
        size = self._size + len(joined.sockets) * (1 + len(server.names))
        if size > MAX_SIZE:
            return None
        self._size = size
        server.listens = joined.listens
        for socket, listen in joined.sockets:
            socket.servers.append(server)
            socket.listens.append(listen)
        return joined

    def remember(self, server: Server) -> None:
        """Let others of a server's form be entered like it, if nginx refuses none of them."""
        if server.form is None or server.kind == "mail" or self.too_many:
            return
        sockets = []
        for listen in server.listens:
            if listen.unknown or listen.explicit or "default_server" in listen.flags:
                return
            for address, port in listen.addresses:
                if address in listen.unsure:
                    return
                socket = self.sockets[server.kind, listen.transport, address, port]
                sockets.append((socket, listen))
        self.joined[server.form] = Joined(server.listens, sockets)

    def add(self, server: Server, listen: Listen) -> Sequence[str]:
        """Enter every address of a `listen` statement of a server; return what nginx refuses."""
        self._size += len(listen.addresses) * (1 + len(server.names))
        if self._size > MAX_SIZE:
            self.too_many = True
            return ()
        wrong: list[str] = []
        for address, port in listen.addresses:
            if address in listen.unsure:
                self._unsure.append((server, listen, address, port))
                continue
            key = (server.kind, listen.transport, address, port)
            socket = self.sockets.get(key)
            if socket is None:
                socket = Socket(server.kind, listen.transport, address, port)
                self.sockets[key] = socket
            else:
                wrong += _wrong_again(socket, server, listen)
            _merge(socket, server, listen)
        return wrong

    def add_default(self, server: Server) -> None:
        """Enter `*:80`, which an http server without `listen` gets when root starts nginx."""
        key: Key = ("http", "tcp", ANY_IPV4, 80)
        socket = self.sockets.setdefault(key, Socket(*key))
        socket.servers.append(server)
        socket.listens.append(None)

    def settle(self) -> None:
        """Decide which addresses share the socket of a wildcard of their family and port."""
        for server, listen, address, port in self._unsure:
            key = (server.kind, listen.transport, address, port)
            socket = self.sockets.setdefault(key, Socket(*key, sure=False))
            if socket.sure:
                socket.doubts.append(listen)
            elif server not in socket.servers:
                _merge(socket, server, listen)
        firsts: dict[tuple[int, int], Socket] = {}
        for socket in self.sockets.values():
            if len(socket.servers) > 1:
                first = firsts.setdefault((len(socket.servers), id(socket.servers[0])), socket)
                if first is not socket and first.servers == socket.servers:
                    socket.twin = first
        wildcards = {
            (s.kind, s.transport, s.is_ipv6, s.port) for s in self.sockets.values() if s.wildcard
        }
        for socket in self.sockets.values():
            if not socket.wildcard and not socket.explicit:
                group = (socket.kind, socket.transport, socket.is_ipv6, socket.port)
                socket.bound = group not in wildcards

    def conflicts(self) -> list[BindConflict]:
        """Return the pairs of sockets that the kernel does not open beside each other.

        Measured: two UDP sockets of one nginx always are (SO_REUSEADDR), two TCP sockets only
        if both have `reuseport`; `nginx -t` sees none of it.
        """
        by_port: dict[int, list[Socket]] = {}
        for socket in self.sockets.values():
            if socket.bound and socket.sure and socket.transport == "tcp":
                by_port.setdefault(socket.port, []).append(socket)
        found = []
        for port, group in by_port.items():
            for first, second in _pairs(group):
                if not (first.reuseport and second.reuseport):
                    found.append(
                        BindConflict(
                            "tcp", port, first.name, second.name, first.where, second.where
                        )
                    )
        return found


def _pairs(group: list[Socket]) -> Iterable[tuple[Socket, Socket]]:
    """Yield the pairs of one port whose addresses overlap; nearly always there are none."""
    wide = [socket for socket in group if socket.wildcard]
    seen: dict[str, Socket] = {}
    for socket in group:
        if not socket.wildcard:
            if socket.address in seen:
                yield seen[socket.address], socket
            seen.setdefault(socket.address, socket)
    for position, socket in enumerate(wide):
        for other in [*wide[position + 1 :], *(s for s in group if not s.wildcard)]:
            if _overlap(socket, other):
                yield socket, other


def _overlap(wildcard: Socket, other: Socket) -> bool:
    """Tell whether a wildcard takes another's address: its family's, or IPv4 by `ipv6only=off`."""
    if wildcard.is_ipv6 == other.is_ipv6:
        return True
    six = wildcard if wildcard.is_ipv6 else other
    return six.wildcard and not six.ipv6only


def _wrong_again(socket: Socket, server: Server, listen: Listen) -> Iterator[str]:
    if socket.servers and socket.servers[-1] is server:
        yield f"a duplicate listen {socket.name}"
    if server.kind == "mail":
        yield f'duplicate "{socket.name}" address and port pair'
    if listen.explicit and socket.options is not None:
        yield f"duplicate listen options for {socket.name}"
    if "default_server" in listen.flags and socket.explicit_default:
        yield f"a duplicate default server for {socket.name}"


def _merge(socket: Socket, server: Server, listen: Listen) -> None:
    if socket.listens and socket.listens[-1] is listen:  # it adds nothing but the server
        socket.servers.append(server)
        socket.listens.append(listen)
        return
    if "default_server" in listen.flags and not socket.explicit_default:
        socket.explicit_default = True
        socket.default = len(socket.servers)
    socket.servers.append(server)
    socket.listens.append(listen)
    socket.flags |= listen.flags & {"ssl", "quic", "http2", "proxy_protocol"}
    if listen.explicit and socket.options is None:
        socket.options = listen
        socket.ipv6only = listen.ipv6only
