"""What a firewalld configuration is made of, as its files write it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from sslint.netfilter.model import Interval
from sslint.source import Location
from sslint.values import dataclass, field

Family = Literal["", "ipv4", "ipv6"]


@dataclass(frozen=True, slots=True)
class Named:
    """A name or value and where it is written."""

    value: str
    location: Location


@dataclass(frozen=True, slots=True)
class Port:
    """Ports of a transport protocol."""

    ports: Interval
    protocol: str
    location: Location


@dataclass(frozen=True, slots=True)
class Protocol:
    """An IP protocol by number."""

    number: int
    location: Location


@dataclass(frozen=True, slots=True)
class ForwardPort:
    """Ports that are redirected, to this host or to `address`."""

    ports: Interval
    protocol: str
    to_ports: Interval | None
    address: str
    location: Location


@dataclass(frozen=True, slots=True)
class Peer:
    """A rich rule's source or destination: an address, a MAC or an ipset."""

    kind: Literal["address", "mac", "ipset"]
    value: str
    invert: bool = False


@dataclass(frozen=True, slots=True)
class Action:
    """What a rich rule does: `detail` is the reject type or the mark."""

    kind: Literal["accept", "reject", "drop", "mark"]
    detail: str = ""
    limited: bool = False


Element = Named | Port | Protocol | ForwardPort | None


@dataclass(slots=True)
class RichRule:
    """A rich rule, firewalld.richlanguage(5). `kind` is the element's name, "" if it has none."""

    location: Location
    family: Family = ""
    priority: int = 0
    source: Peer | None = None
    destination: Peer | None = None
    kind: str = ""
    element: Element = None
    logs: bool = False
    audits: bool = False
    action: Action | None = None

    def sort_key(self) -> tuple[object, ...]:
        """Order rules as firewalld 2.3 does (firewall/core/rich.py, Rich_Rule.__lt__)."""

        def peer(value: Peer | None) -> tuple[object, ...]:
            if value is None:
                return (0,)
            fields = tuple(
                value.value if value.kind == kind else "" for kind in ("address", "mac", "ipset")
            )
            return (1, *fields, value.invert)

        element = (0,) if not self.kind else (1, _CLASSES.get(self.kind, ""), _text(self.element))
        action = (0,) if self.action is None else (1, self.action.kind, self.action.detail)
        place = (self.priority, self.family)
        return (*place, peer(self.source), peer(self.destination), element, action)


_CLASSES = {
    "forward-port": "ForwardPort",
    "icmp-block": "IcmpBlock",
    "icmp-type": "IcmpType",
    "masquerade": "Masquerade",
    "port": "Port",
    "protocol": "Protocol",
    "service": "Service",
    "source-port": "SourcePort",
    "tcp-mss-clamp": "Tcp_Mss_Clamp",
}


def _text(element: Element) -> str:
    if isinstance(element, Named):
        return element.value
    if isinstance(element, Protocol):
        return str(element.number)
    if isinstance(element, Port):
        return f"{element.ports} {element.protocol}"
    if isinstance(element, ForwardPort):
        return f"{element.ports} {element.protocol} {element.to_ports} {element.address}"
    return ""


@dataclass(slots=True)
class Settings:
    """What zones and policies have in common."""

    name: str
    location: Location
    target: str = ""
    services: list[Named] = field(default_factory=list)
    ports: list[Port] = field(default_factory=list)
    source_ports: list[Port] = field(default_factory=list)
    protocols: list[Protocol] = field(default_factory=list)
    icmp_blocks: list[Named] = field(default_factory=list)
    masquerade: Location | None = None
    forward_ports: list[ForwardPort] = field(default_factory=list)
    rules: list[RichRule] = field(default_factory=list)


@dataclass(slots=True)
class Zone(Settings):
    """A zone, firewalld.zone(5)."""

    interfaces: list[Named] = field(default_factory=list)
    sources: list[Named] = field(default_factory=list)  # an address, a MAC or ipset:NAME
    icmp_block_inversion: Location | None = None
    forward: Location | None = None
    ingress_priority: int = 0
    egress_priority: int = 0

    @property
    def bound(self) -> bool:
        """Whether the zone has interfaces or sources."""
        return bool(self.interfaces or self.sources)


@dataclass(slots=True)
class Policy(Settings):
    """A policy, firewalld.policy(5)."""

    priority: int = -1
    ingress_zones: list[Named] = field(default_factory=list)
    egress_zones: list[Named] = field(default_factory=list)


@dataclass(slots=True)
class Service:
    """A service, firewalld.service(5); `destinations` by family."""

    name: str
    ports: list[Port] = field(default_factory=list)
    source_ports: list[Port] = field(default_factory=list)
    protocols: list[Protocol] = field(default_factory=list)
    destinations: dict[str, str] = field(default_factory=dict)
    includes: list[Named] = field(default_factory=list)
    helpers: list[Named] = field(default_factory=list)
    modules: list[Named] = field(default_factory=list)


@dataclass(slots=True)
class IpSet:
    """An ipset, firewalld.ipset(5)."""

    name: str
    type: str
    location: Location
    family: int = 4
    timeout: bool = False
    entries: list[Named] = field(default_factory=list)

    @property
    def fields(self) -> list[str]:
        """The fields of an entry: ip, net, port, mark, iface, mac."""
        return self.type.partition(":")[2].split(",")


@dataclass(slots=True)
class Options:
    """The settings of firewalld.conf(5) that decide rules; with their defaults."""

    default_zone: str = "public"
    ipv6_rpfilter: str = "strict"
    backend: Literal["nftables", "iptables"] = "nftables"
    strict_forward_ports: bool = False
    rfc3964: bool = True
    zone_drifting: bool = False
    table_owner: bool = True
    location: Location | None = None


@dataclass(slots=True)
class Configuration:
    """Everything that firewalld loads when it starts."""

    options: Options
    zones: dict[str, Zone] = field(default_factory=dict)
    policies: dict[str, Policy] = field(default_factory=dict)
    services: Mapping[str, Service] = field(default_factory=dict)
    ipsets: dict[str, IpSet] = field(default_factory=dict)
    icmptypes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # name -> families
    helpers: Mapping[str, str] = field(default_factory=dict)  # name -> module

    def with_includes(self, name: str) -> Iterator[Service]:
        """Yield a service and all that it includes, each once. Raise KeyError."""
        pending = [name]
        seen = {name}
        while pending:
            service = self.services[pending.pop()]
            yield service
            new = [one.value for one in service.includes if one.value not in seen]
            seen.update(new)
            pending += dict.fromkeys(new)
