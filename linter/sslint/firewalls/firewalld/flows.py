"""Which packets go to which zone or policy, and in which order firewalld asks."""

from __future__ import annotations

from collections.abc import Iterator

from sslint.firewalls.firewalld.objects import Configuration, Settings, Zone
from sslint.firewalls.firewalld.values import address, is_mac
from sslint.source import Location
from sslint.values import dataclass, field

PRIORITY_MAX = 32767
TableChain = tuple[str, str]
ANY, HOST = "ANY", "HOST"


@dataclass(frozen=True, slots=True)
class Binding:
    """What puts a packet into a zone: an interface (`+` is every other one) or a source."""

    zone: str
    interface: str = ""
    source: str = ""
    location: Location | None = None


@dataclass(slots=True)
class Flow:
    """A policy, or one of the four that firewalld derives from a zone (`zone` is then set)."""

    name: str
    ingress: list[str]
    egress: list[str]
    priority: int
    target: str
    settings: Settings
    zone: Zone | None = None
    place: list[TableChain] = field(default_factory=list)

    def base(self, table: str, *, postrouting: bool = False) -> str:
        """Return the name of its chain in a table, FirewallPolicy.policy_base_chain_name()."""
        suffix = self.zone.name if self.zone is not None else f"policy_{self.name}"
        if table == "filter":
            kind = "IN" if HOST in self.egress else "OUT" if HOST in self.ingress else "FWD"
        elif table == "nat" and HOST in self.ingress:
            kind = "OUT"
        else:
            kind = "POST" if postrouting else "PRE"
        return f"{table}_{kind}_{suffix}"

    @property
    def label(self) -> str:
        """The name in firewalld's own words."""
        return f"zone {self.zone.name}" if self.zone is not None else f"policy {self.name}"


def bindings(configuration: Configuration) -> Iterator[Binding]:
    """Yield what puts packets into zones, the default zone's rest included."""
    default = configuration.options.default_zone
    for name in sorted(configuration.zones):
        zone = configuration.zones[name]
        for interface in zone.interfaces:
            yield Binding(name, interface=interface.value, location=interface.location)
        for source in zone.sources:
            yield Binding(name, source=source.value, location=source.location)
        if name == default and all(i.value != "+" for i in zone.interfaces):
            yield Binding(name, interface="+", location=configuration.options.location)


def derived(zone: Zone) -> tuple[Flow, Flow, Flow, Flow]:
    """Split a zone into zone to HOST, HOST to zone, ANY to zone, zone to ANY."""
    parts = [Settings(zone.name, zone.location, zone.target) for _ in range(4)]
    here, _, into, out = parts
    here.services, here.ports, here.source_ports = zone.services, zone.ports, zone.source_ports
    here.protocols, here.icmp_blocks = zone.protocols, zone.icmp_blocks
    into.masquerade = zone.masquerade
    out.forward_ports = zone.forward_ports
    for rule in zone.rules:
        marks = rule.action is not None and rule.action.kind == "mark"
        if marks or rule.kind in ("forward-port", "tcp-mss-clamp"):
            out.rules.append(rule)
        elif rule.kind == "masquerade":
            into.rules.append(rule)
        else:
            here.rules.append(rule)
    places: tuple[list[TableChain], ...] = (
        [("filter", "INPUT")],
        [("filter", "OUTPUT"), ("nat", "OUTPUT")],
        [("nat", "POSTROUTING")],
        [("filter", "FORWARD"), ("nat", "PREROUTING"), ("mangle", "PREROUTING")],
    )
    ends = (([zone.name], [HOST]), ([HOST], [zone.name]), ([ANY], [zone.name]))
    flows = [
        Flow(zone.name, ingress, egress, 0, zone.target, part, zone, place)
        for (ingress, egress), part, place in zip(
            (*ends, ([zone.name], [ANY])), parts, places, strict=True
        )
    ]
    return flows[0], flows[1], flows[2], flows[3]


def policy_place(
    configuration: Configuration, ingress: set[str], egress: set[str]
) -> list[TableChain]:
    """FirewallPolicy._get_table_chains_for_policy_dispatch() with the nftables backend."""
    pre: list[TableChain] = [("nat", "PREROUTING"), ("mangle", "PREROUTING")]
    if HOST in egress:
        return [("filter", "INPUT"), *(pre if ANY in ingress else [])]
    if HOST in ingress:
        return [("filter", "OUTPUT"), ("nat", "OUTPUT")]
    forward: list[TableChain] = [("filter", "FORWARD"), ("nat", "POSTROUTING")]
    if ANY in egress:
        return [*forward, *pre]
    zones = configuration.zones
    bound = any(zones[name].interfaces for name in egress)
    return forward if bound else [*forward, *pre]


def sort_key(
    configuration: Configuration,
    flow: Flow,
    ingress: Binding,
    egress: Binding,
    chain: str,
    *,
    last: bool,
) -> tuple[object, ...]:
    """nftables._policy_dispatch_sort_key(): sources before interfaces, zones by name."""
    zones = configuration.zones
    first = 0 if ingress.zone == HOST else zones[ingress.zone].ingress_priority
    second = 0 if egress.zone == HOST else zones[egress.zone].egress_priority
    ingress_order = 1 if ingress.source else 2 if ingress.interface else 0
    egress_order = 1 if egress.source else 0
    egress_zone, egress_interface = egress.zone, egress.interface
    if not egress.source and (
        egress.interface or (flow.zone is not None and chain == "PREROUTING")
    ):
        egress_order = 2
        if chain == "PREROUTING":
            egress_zone = egress_interface = ""
    if ingress.interface == "+":
        first = PRIORITY_MAX + 1
    if egress_interface == "+":
        second = PRIORITY_MAX + 1
    one = (first, ingress_order, ingress.zone, ingress.source, _star(ingress.interface))
    two = (second, egress_order, egress_zone, egress.source, _star(egress_interface))
    pair = (*two, *one) if chain == "POSTROUTING" else (*one, *two)
    return (*pair, 2 if last else 0, flow.priority)


def same_family(configuration: Configuration, one: Binding, other: Binding) -> bool:
    """Two sources are paired only if both are IPv4, IPv6, or of no family."""
    if not one.source or not other.source:
        return True
    return _family(configuration, one.source) == _family(configuration, other.source)


def _family(configuration: Configuration, source: str) -> int:
    if source.startswith("ipset:"):
        ipset = configuration.ipsets[source[6:]]
        return 0 if ipset.type == "hash:mac" else ipset.family
    if is_mac(source):
        return 0
    found = address(source)
    return found[0] if found is not None else 0


def _star(interface: str) -> str:
    return interface[:-1] + "*" if interface.endswith("+") else interface
