"""Which addresses and ports a master.cf entry listens on (master_ent.c, own_inet_addr.c)."""

from __future__ import annotations

import re

from sslint.network import hosts, services
from sslint.regex import is_number, regex
from sslint.servers.postfix import defaults
from sslint.servers.postfix.expand import ConfigurationError, Unknown
from sslint.servers.postfix.main_cf import TEMPLATE
from sslint.servers.postfix.parameters import Scope
from sslint.source import Location
from sslint.tree import Tree
from sslint.values import dataclass, field

_BLANKS = " \t\r\n"
_LABEL = regex(r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?\Z|[A-Za-z0-9_]\Z", re.ASCII)


@dataclass(slots=True)
class Resolver:
    """Names of hosts and services, as far as the tree's files and the built-in table say."""

    tree: Tree
    no_ipv6: Location | None = None  # what leaves the kernel without sockets of IPv6
    ports: dict[str, int] = field(default_factory=dict)  # known_tcp_ports
    read: list[str] = field(default_factory=list)
    _services: dict[str, int] | None = None
    _hosts: hosts.Hosts | None = None

    def supported(self, enabled: str) -> str:
        """Return the families that the kernel has, of those that are enabled (inet_proto.c)."""
        return enabled if self.no_ipv6 is None else enabled.replace("6", "")

    def port(self, name: str) -> int:
        """Return a port. Raise ConfigurationError if nothing resolves it, Unknown if unsure."""
        if TEMPLATE.search(name):
            raise Unknown("a template fills its port in")
        number = self.ports.get(name)
        if number is None and is_number(name):
            # getaddrinfo(3) keeps the low 16 bits: 99999 listens on 34463.
            number = (int(name) if len(name) < 20 else -1) & 0xFFFF
        if number is None:
            number = self._listed(name)
        if number == 0:
            raise Unknown("the kernel chooses a port where it is 0")
        return number

    def _listed(self, name: str) -> int:
        """Return the port of a service by its name."""
        if self._services is None:
            self._services = self._read_services()
        number = self._services.get(name)
        if number is None and not self._services:
            number = services.port_number(name)
            if number is None:
                raise Unknown(f'service name "{name[:40]}" is not in the files that were given')
        if number is None:
            raise ConfigurationError(f'service name "{name[:40]}" is not in /etc/services')
        return number

    def addresses(self, host: str, families: str) -> list[str]:
        """Return the addresses of a host of the families "46", "4" or "6".

        Raise ConfigurationError if it has none of them, Unknown if only DNS can tell.
        """
        literal = address(host)
        if literal is not None:
            found = [literal]
        else:
            if self._hosts is None:
                self._hosts = hosts.Hosts(self.tree)
            known = self._hosts.addresses(host, families)
            if self._hosts.file is not None and hosts.PATH not in self.read:
                self.read.append(hosts.PATH)
            if known is None:
                raise Unknown(f'the address is known to DNS only: "{host[:80]}"')
            found = known
        found = [a for a in found if ("6" if ":" in a else "4") in families]
        if not found:
            place = self.no_ipv6
            what = "inet_protocols" if place is None else f"{place.path}:{place.line}"
            raise ConfigurationError(f"{what} excludes the address of {host[:80]}")
        return list(dict.fromkeys(found))

    def _read_services(self) -> dict[str, int]:
        file = self.tree.try_read("/etc/services", decisive=False)
        if file is None:
            return {}
        self.read.append(file.path)
        return services.tcp_ports(file.text)


def address(text: str) -> str | None:
    """Return an address in its canonical spelling, or None if it is none."""
    text = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    return hosts.scoped(text[5:] if text[:5].lower() == "ipv6:" else text)


def split_host_port(name: str) -> tuple[str, str]:
    """Split `[host:]port` as host_port.c does. Raise ConfigurationError if it is malformed."""
    if name.startswith("["):
        host, bracket, rest = name[1:].partition("]")
        if not bracket:
            raise ConfigurationError('missing "]"')
        if rest[:1] not in ("", ":"):
            raise ConfigurationError('garbage after "]"')
        port = rest[1:]
    else:
        host, _, port = name.rpartition(":")
    if TEMPLATE.search(name):
        return host, port
    if host and address(host) is None and not _valid_hostname(host):
        raise ConfigurationError("valid hostname or network address required")
    if not port:
        raise ConfigurationError("missing service information")
    if "0" <= port[0] <= "9" and not is_number(port):
        raise ConfigurationError("garbage after numerical service")
    return host, port


def _valid_hostname(host: str) -> bool:
    labels = host.rstrip(".").split(".")
    return (
        0 < len(host) < 256
        and all(_LABEL.match(label) or not label.isascii() for label in labels)
        and not is_number(host.replace(".", ""))
    )


def known_tcp_ports(scope: Scope) -> dict[str, int]:
    """Return known_tcp_ports; what is malformed is skipped (config_known_tcp_ports.c)."""
    if scope.version is not None and scope.version < defaults.SINCE["known_tcp_ports"]:
        return {}
    found: dict[str, int] = {}
    for association in scope.get("known_tcp_ports").split(","):
        *names, port = (word.strip(_BLANKS) for word in association.split("="))
        if not is_number(port) or not port.isascii() or len(port) > 5 or int(port) > 65535:
            continue
        for name in names:
            if name and not is_number(name) and not any(c in _BLANKS for c in name):
                found.setdefault(name, int(port))
    return found


def families(scope: Scope) -> str:
    """Return the enabled families "46", "4", "6" or "" (inet_proto.c)."""
    found = ""
    for word in scope.get("inet_protocols").replace(",", " ").split():
        if word not in ("all", "ipv4", "ipv6"):
            raise ConfigurationError(f'inet_protocols: unknown value "{word[:40]}"')
        found += {"all": "46", "ipv4": "4", "ipv6": "6"}[word]
    return "".join(family for family in "46" if family in found)


def interfaces(scope: Scope, resolver: Resolver, enabled: str) -> tuple[list[str], list[str]]:
    """Return (addresses, reasons why some are not known) of services without a host part.

    Raise ConfigurationError where every Postfix program stops.
    """
    value = scope.get("inet_interfaces")
    wildcard = {"4": "0.0.0.0", "6": "::"}  # noqa: S104 - what the server binds
    loopback = {"4": "127.0.0.1", "6": "::1"}
    if value == "all":
        return [wildcard[family] for family in enabled], []
    if value == "loopback-only":
        return [loopback[family] for family in enabled], []
    found: list[str] = []
    reasons: list[str] = []
    for host in value.replace(",", " ").split():
        try:
            found += resolver.addresses(host, enabled)
        except Unknown as reason:
            reasons.append(f"inet_interfaces: {reason}")
        except ConfigurationError as error:
            raise ConfigurationError(f"inet_interfaces: host not found: {error}") from None
    if "all" in value.lower().replace(",", " ").split():
        raise ConfigurationError("inet_interfaces: host not found: all")
    return list(dict.fromkeys(found)), reasons
