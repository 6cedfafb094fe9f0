"""The main server and the virtual hosts: what each says, and what it inherits."""

from __future__ import annotations

from collections.abc import Iterator

from sslint.regex import is_number
from sslint.servers.apache import addresses
from sslint.servers.apache.addresses import Resolve
from sslint.servers.apache.environment import UNKNOWN
from sslint.servers.apache.loader import Loader
from sslint.servers.apache.syntax import Directive
from sslint.source import Location
from sslint.values import dataclass, field

Index = dict[str, list[Directive]]


@dataclass(frozen=True, slots=True)
class Address:
    """One of a virtual host's addresses; port 0: every port. `written`: the name it stands for."""

    address: str
    port: int
    written: str


@dataclass(slots=True, eq=False)
class Host:
    """The main server (number -1) or a virtual host.

    `doubts`: why it is not known whether it is there or what it says. `unsure`: an address of it
    is not known.
    """

    number: int
    directive: Directive | None
    own: Index
    where: Location  # of its <VirtualHost>; of the main server its first statement
    addresses: list[Address] = field(default_factory=list)
    unsure: str = ""
    main: Host | None = None
    _names: tuple[str, ...] | None = None

    @property
    def doubt(self) -> str:
        """Why it is not known whether it is there at all."""
        return self.directive.doubt if self.directive is not None else ""

    def last(self, name: str) -> Directive | None:
        """Return the statement that counts here, its own or the main server's."""
        own = self.own.get(name)
        if own:
            return own[-1]
        return self.main.last(name) if self.main is not None else None

    def all(self, name: str) -> list[Directive]:
        """Return its own statements, or else the main server's."""
        own = self.own.get(name)
        if own:
            return own
        return self.main.all(name) if self.main is not None else []

    def on(self, name: str) -> bool:
        """Tell whether a switch is on."""
        found = self.last(name)
        return found is not None and found.value.lower() == "on"

    @property
    def lost(self) -> Directive | None:
        """An include in it whose content is not known."""
        found = self.own.get("include")
        return found[0] if found else None

    @property
    def server_name(self) -> str | None:
        """The name of its own ServerName, in lower case and without scheme or port."""
        found = self.own.get("servername")
        return name_of(found[-1].value) if found else None

    @property
    def names(self) -> tuple[str, ...]:
        """ServerName and ServerAlias, in lower case."""
        if self._names is None:
            self._names = self._all_names()
        return self._names

    def _all_names(self) -> tuple[str, ...]:
        found = [self.server_name] if self.server_name else []
        for directive in self.own.get("serveralias", ()):
            found += [name.lower() for name in directive.args]
        return tuple(dict.fromkeys(found))


def name_of(text: str) -> str:
    """Return the host of `scheme://name:port`, as ServerName takes it."""
    rest = text.partition("://")[2] or text
    host, colon, port = rest.rpartition(":")
    if colon and is_number(port):
        rest = host
    return rest.lower()


def port_of(text: str) -> int | None:
    """Return the port that a ServerName names."""
    port = text.rpartition(":")[2]
    return int(port) if ":" in text and is_number(port) and len(port) < 6 else None


def index(statements: list[Directive]) -> Index:
    """Return the statements of a block by name; those of sections in it are not looked at."""
    found: Index = {}
    for directive in statements:
        found.setdefault(directive.name, []).append(directive)
    return found


def collect(
    statements: list[Directive], loader: Loader, resolve: Resolve, where: Location
) -> list[Host]:
    """Return the main server, which stands at `where`, and then the virtual hosts in order."""
    main = Host(-1, None, index(statements), where)
    found = [main]
    port = 0
    for directive in statements:
        if directive.name == "servername" and directive.args:
            port = port_of(directive.value) or port
        elif directive.name == "<virtualhost":
            assert directive.block is not None
            own = index(directive.block)
            host = Host(len(found) - 1, directive, own, directive.location, main=main)
            _addresses(host, directive, port, loader, resolve)
            found.append(host)
    return found


def _addresses(
    host: Host, directive: Directive, inherited: int, loader: Loader, resolve: Resolve
) -> None:
    """Enter what <VirtualHost> names (get_addresses in server/vhost.c)."""
    if not directive.args:
        said = "<VirtualHost> directive requires additional arguments"
        loader.refuse(directive.location, said, directive.doubt)
    for word in directive.args:
        if UNKNOWN in word:
            host.unsure = "the address of a virtual host is not known"
            continue
        every = word == "*" or word.endswith(":*")
        spec = addresses.parse(word.removesuffix(":*") if word != "*" else word)
        if spec is None or spec.host is None:
            said = "the address or port is invalid" if spec is None else "missing address"
            loader.refuse(directive.location, f"<VirtualHost {word}>: {said}", directive.doubt)
            continue
        port = 0 if every else spec.port or inherited
        for address in _of(spec.host, host, resolve):
            host.addresses.append(Address(address, port, spec.host))


def _of(name: str, host: Host, resolve: Resolve) -> Iterator[str]:
    if name == "*" or name.lower() == "_default_":
        yield from addresses.WILDCARDS
        return
    found = addresses.resolved(name, resolve)
    if found is None:
        host.unsure = f"the address of {name[:80]} is not known"
    yield from found or ()
