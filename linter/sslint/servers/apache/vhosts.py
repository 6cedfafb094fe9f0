"""Which virtual hosts answer at a local address and port, and which of them for a name.

Sources: ap_fini_vhost_config, ap_update_vhost_given_ip, update_server_from_aliases
(server/vhost.c).
"""

from __future__ import annotations

import fnmatch
import re

from sslint.regex import regex
from sslint.servers.apache.addresses import WILDCARDS
from sslint.servers.apache.hosts import Address, Host
from sslint.values import dataclass, field

_WILD = regex(r"[*?]+")
_Key = tuple[bool, str]  # whether a pattern ends with the text, or starts with it


@dataclass(slots=True, eq=False)
class Chain:
    """The virtual hosts of one address and port in their order; the first is the default."""

    port: int  # 0: every port
    hosts: list[Host] = field(default_factory=list)
    written: list[str] = field(default_factory=list)  # beside each of them
    _table: dict[str, tuple[int, Host]] | None = None  # the first that has a name, and its place
    # Patterns by what they end with, or else start with, and how long that is.
    _patterns: dict[_Key, list[tuple[int, Host, re.Pattern[str]]]] = field(default_factory=dict)
    _lengths: set[tuple[bool, int]] = field(default_factory=set)
    _doubtful: bool | None = None

    def add(self, host: Host, address: Address) -> None:
        """Put a host before those that are there: they are entered from the last to the first."""
        if not self.hosts or self.hosts[-1] is not host:
            self.hosts.append(host)
            self.written.append(address.written.lower())

    def settle(self) -> None:
        """Turn the order round."""
        self.hosts.reverse()
        self.written.reverse()

    @property
    def doubtful(self) -> bool:
        """Whether it is not known of one of the hosts that it is there."""
        if self._doubtful is None:
            self._doubtful = any(host.doubt for host in self.hosts)
        return self._doubtful

    def find(self, name: str, main_name: str | None) -> Host | None:
        """Return the host that a name selects; None if none has it.

        `main_name` is that of the main server, which a host without ServerName on a wildcard has.
        """
        name = name.lower()
        if self._table is None:
            self._build(main_name)
            assert self._table is not None
        number, host = self._table.get(name, (len(self.hosts), None))
        for ends, length in self._lengths:
            part = name[max(0, len(name) - length) :] if ends else name[:length]
            for position, other, pattern in self._patterns.get((ends, part), ()):
                if position >= number:
                    break
                if pattern.match(name):
                    number, host = position, other
                    break
        return host

    def by_address(self, name: str) -> Host | None:
        """Return the host whose <VirtualHost> names the host that was asked for."""
        name = name.lower()
        return next((h for h, w in zip(self.hosts, self.written, strict=True) if w == name), None)

    def claimed(self, main_name: str | None) -> dict[int, tuple[str, ...]]:
        """Return the names that each host answers to, the first to claim one keeps it."""
        seen: set[str] = set()
        found: dict[int, tuple[str, ...]] = {}
        for host in self.hosts:
            names = _names(host, main_name)
            if not seen.isdisjoint(names):
                names = tuple(name for name in names if name not in seen)
            seen.update(names)
            found[host.number] = names
        return found

    def _build(self, main_name: str | None) -> None:
        self._table = {}
        for position, host in enumerate(self.hosts):
            for name in _names(host, main_name):
                if not is_pattern(name):
                    self._table.setdefault(name, (position, host))
                else:
                    first, *_, last = _WILD.split(name)
                    key = (bool(last), last or first)
                    self._lengths.add((key[0], len(key[1])))
                    self._patterns.setdefault(key, []).append((position, host, compiled(name)))


def is_pattern(name: str) -> bool:
    """Tell whether a ServerAlias has a wildcard."""
    return "*" in name or "?" in name


def compiled(pattern: str) -> re.Pattern[str]:
    """Return what ap_strcasecmp_match tries: `*` any characters, `?` one."""
    return re.compile(fnmatch.translate(pattern.lower().replace("[", "[[]")))


def _names(host: Host, main_name: str | None) -> tuple[str, ...]:
    if not main_name or "servername" in host.own:
        return host.names
    wild = any(one.address in WILDCARDS for one in host.addresses)
    return (main_name, *host.names) if wild else host.names


@dataclass(slots=True)
class Table:
    """All chains: those of exact addresses, and the default ones by port."""

    exact: dict[str, list[Chain]] = field(default_factory=dict)
    default: list[Chain] = field(default_factory=list)

    @classmethod
    def build(cls, hosts: list[Host]) -> Table:
        """Enter the virtual hosts, as the server does, from the last to the first."""
        table = cls()
        ports: dict[tuple[str, int], Chain] = {}
        for host in reversed(hosts):
            for address in host.addresses:
                wild = address.address in WILDCARDS
                key = ("" if wild else address.address, address.port)
                chain = ports.get(key)
                if chain is None:
                    chain = ports[key] = Chain(address.port)
                    group = table.default if wild else table.exact.setdefault(key[0], [])
                    group.insert(0, chain)
                chain.add(host, address)
        for chain in ports.values():
            chain.settle()
        return table

    def find(self, address: str, port: int) -> Chain | None:
        """Return the chain for a connection to an address and port; None: the main server."""
        for group in (self.exact.get(address, ()), self.default):
            for wanted in (port, 0):
                found = next((chain for chain in group if chain.port == wanted), None)
                if found is not None:
                    return found
        return None
