"""What firewalld loads when it starts: /etc/firewalld over /usr/lib/firewalld, and its checks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from sslint.firewalls.firewalld import stock
from sslint.firewalls.firewalld.elements import InvalidFile, NotRead
from sslint.firewalls.firewalld.objects import (
    Configuration,
    ForwardPort,
    Named,
    Options,
    Policy,
    RichRule,
    Service,
    Settings,
    Zone,
)
from sslint.firewalls.firewalld.parsing import (
    check_name,
    read_helper,
    read_icmptype,
    read_ipset,
    read_service,
)
from sslint.firewalls.firewalld.rules import read_policy, read_zone
from sslint.source import Location, SourceFile
from sslint.tree import Status, Tree, TreeError

T = TypeVar("T")
ETC = "/etc/firewalld"
# nftables and iptables limit the names of chains, firewall/functions.py max_zone_name_len().
LONGEST_ZONE = 17
LONGEST_POLICY = 18


class Library:
    """The objects that firewalld ships: the tree's own files, and the bundled facts for others."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.complete = bool(tree.names(f"{stock.DIRECTORY}/services"))

    def names(self, kind: str) -> list[str]:
        """Return the names of all objects of a kind."""
        files = self.tree.names(f"{stock.DIRECTORY}/{kind}")
        own = [name.removesuffix(".xml") for name in files if name.endswith(".xml")]
        return own if self.complete else [*dict.fromkeys([*own, *stock.names(kind)])]

    def file(self, kind: str, name: str) -> SourceFile | None:
        """Return an object's file."""
        path = f"{stock.DIRECTORY}/{kind}/{name}.xml"
        if self.complete or self.tree.exists(path):
            return self.tree.try_read(path, decisive=False)
        return stock.file(kind, name)


class Shipped(Mapping[str, T]):
    """Objects by name; those that firewalld ships are read when they are used."""

    def __init__(
        self,
        library: Library,
        kind: str,
        reader: Callable[[SourceFile, str], T],
        *,
        checked: bool = True,
    ) -> None:
        self._checked = checked
        self._library = library
        self._kind = kind
        self._reader = reader
        self._shipped = set(library.names(kind))
        self._read: dict[str, T] = {}

    def add(self, name: str, item: T) -> None:
        """Add an object of the user's, which may hide a shipped one."""
        self._read[name] = item

    def added(self) -> list[T]:
        """Return the user's objects, and those that were used."""
        return list(self._read.values())

    def __getitem__(self, name: str) -> T:
        if name not in self._read:
            file = self._library.file(self._kind, name) if name in self._shipped else None
            if file is None:
                raise KeyError(name)
            try:
                self._read[name] = self._reader(file, name)
            except (InvalidFile, NotRead):
                if self._checked:
                    raise
                raise KeyError(name) from None
        return self._read[name]

    def __contains__(self, name: object) -> bool:
        return name in self._read or name in self._shipped

    def __iter__(self) -> Iterator[str]:
        return iter(self._shipped | self._read.keys())

    def __len__(self) -> int:
        return len(self._shipped | self._read.keys())


def load(
    tree: Tree, *, user: bool = True, checked: bool = True, applies: bool = True
) -> Configuration:
    """Return the configuration of a start; `user` False: what firewalld falls back to.

    `checked` False: whatever the files say, though firewalld may refuse it as a whole.
    `applies` False: without the checks of applying the rules, which come after all others.

    Raise InvalidFile where firewalld refuses a file, NotRead where it is not known what it does.
    """
    library = Library(tree)
    options = read_options(tree) if user else Options()
    services = Shipped(library, "services", read_service, checked=checked)
    icmptypes = Shipped(library, "icmptypes", read_icmptype, checked=checked)
    helpers = Shipped(library, "helpers", read_helper, checked=checked)
    configuration = Configuration(options, services=services, icmptypes=icmptypes, helpers=helpers)
    _load_library(library, configuration)
    if user:
        for name, file in _user_files(tree, "icmptypes", "_-", 0):
            icmptypes.add(name, read_icmptype(file, name))
        for name, file in _user_files(tree, "helpers", "-.", 0):
            helpers.add(name, read_helper(file, name))
        for name, file in _user_files(tree, "services", "_-", 0):
            services.add(name, read_service(file, name))
        _load_user(tree, configuration)
    _choose_default(configuration, complete=library.complete)
    if checked:
        check(configuration, complete=library.complete)
        if applies:
            check_applied(configuration)
    return configuration


def read_options(tree: Tree) -> Options:
    """Return firewalld.conf(5); wrong values are ignored as firewalld ignores them."""
    options = Options()
    file = _try(tree, f"{ETC}/firewalld.conf")
    if file is None:
        return options
    values: dict[str, str] = {}
    for number, line in enumerate(file.text.split("\n"), 1):
        line = line.strip()
        pair = [part.strip() for part in line.split("=")]
        if line[:1] in ("", "#", ";") or len(pair) != 2 or not pair[1]:
            continue
        if values.setdefault(pair[0], pair[1]) is pair[1] and pair[0] == "DefaultZone":
            options.location = file.at(number)

    def enabled(key: str, default: bool) -> bool:
        value = values.get(key, "").lower()
        return value in ("yes", "true") if value in ("yes", "true", "no", "false") else default

    options.default_zone = values.get("DefaultZone", options.default_zone)
    filters = {"no": "no", "false": "no", "yes": "strict", "true": "strict"}
    filters |= {name: name for name in ("strict", "loose", "loose-forward", "strict-forward")}
    options.ipv6_rpfilter = filters.get(values.get("IPv6_rpfilter", "").lower(), "strict")
    backend = values.get("FirewallBackend", "nftables")
    options.backend = "iptables" if backend == "iptables" else "nftables"
    if backend.lower() in ("iptables", "nftables") and backend != backend.lower():
        raise InvalidFile(file.at(1), f"there is no backend {backend}")
    if options.backend == "iptables" and options.ipv6_rpfilter.endswith("-forward"):
        return Options()  # the two exclude each other: the whole file is left aside
    options.strict_forward_ports = enabled("StrictForwardPorts", False)
    options.rfc3964 = enabled("RFC3964_IPv4", True)
    options.zone_drifting = enabled("AllowZoneDrifting", False)
    options.table_owner = enabled("NftablesTableOwner", True)
    return options


def unknown_services(configuration: Configuration) -> list[Named]:
    """Return where zones, policies and services name a service that is not there."""
    services = configuration.services
    named = [
        service
        for settings in _all_settings(configuration)
        for service in (*settings.services, *_rule_services(settings))
    ]
    return [service for service in named if service.value not in services]


# -- loading ----------------------------------------------------------------------------------


def _load_library(library: Library, configuration: Configuration) -> None:
    for name in library.names("zones"):
        if (file := library.file("zones", name)) is not None:
            configuration.zones[name] = read_zone(file, name)
    for name in library.names("policies"):
        if (file := library.file("policies", name)) is not None:
            configuration.policies[name] = read_policy(file, name)


def _load_user(tree: Tree, configuration: Configuration) -> None:
    for name, file in _user_files(tree, "ipsets", "_-", 0):
        configuration.ipsets[name] = read_ipset(file, name)
    for name, file in _user_files(tree, "zones", "_-", LONGEST_ZONE):
        configuration.zones[name] = read_zone(file, name)
    for name in tree.names(f"{ETC}/zones"):
        if not name.endswith(".xml") and tree.status(f"{ETC}/zones/{name}") is Status.DIRECTORY:
            _combine(tree, name, configuration)
    for name, file in _user_files(tree, "policies", "_-", LONGEST_POLICY):
        configuration.policies[name] = read_policy(file, name)


def _user_files(
    tree: Tree, kind: str, extra: str, longest: int
) -> Iterable[tuple[str, SourceFile]]:
    directory = f"{ETC}/{kind}"
    for entry in tree.names(directory):
        if entry.endswith(".xml"):
            file = _try(tree, f"{directory}/{entry}")
            if file is not None:
                name = entry.removesuffix(".xml")
                check_name(name, extra, longest, file.at(1))
                yield name, file
    if tree.status(directory) is Status.UNKNOWN:
        raise NotRead(None, f"{directory} cannot be read")


def _try(tree: Tree, path: str) -> SourceFile | None:
    """Return a file, None if it is absent; one that may not be read leaves everything open."""
    try:
        return tree.read(path)
    except TreeError as error:
        if error.status is Status.ABSENT:
            return None
        raise NotRead(None, error.of(path), error.code) from None


def _combine(tree: Tree, name: str, configuration: Configuration) -> None:
    """Join the files of zones/NAME/ into one zone; its target and priorities are the default."""
    parts = []
    for entry in tree.names(f"{ETC}/zones/{name}"):
        file = _try(tree, f"{ETC}/zones/{name}/{entry}") if entry.endswith(".xml") else None
        if file is not None:
            part = entry.removesuffix(".xml")
            check_name(f"{name}/{part}", "_-/", LONGEST_ZONE, file.at(1))
            parts.append(read_zone(file, name))
    if not parts:
        return
    whole = Zone(name, parts[0].location)
    for zone in parts:
        for field in """
            services ports source_ports protocols icmp_blocks forward_ports rules interfaces sources
        """.split():
            getattr(whole, field).extend(getattr(zone, field))
        whole.masquerade = whole.masquerade or zone.masquerade
        whole.forward = whole.forward or zone.forward
        whole.icmp_block_inversion = whole.icmp_block_inversion or zone.icmp_block_inversion
    configuration.zones[name] = whole


def _choose_default(configuration: Configuration, *, complete: bool) -> None:
    zones, options = configuration.zones, configuration.options
    if options.default_zone not in zones:
        if not complete and options.location is not None:
            reason = f"there is no zone {options.default_zone} in {ETC} or among the stock ones"
            raise NotRead(options.location, reason)
        options.default_zone = next(
            (name for name in ("public", "external") if name in zones), "block"
        )
        if options.default_zone not in zones:
            place = SourceFile("/usr/lib/firewalld/zones", "usr/lib/firewalld/zones", "").at(1)
            raise NotRead(options.location or place, "some stock zones are missing")


# -- checking ---------------------------------------------------------------------------------


def check(configuration: Configuration, *, complete: bool) -> None:
    """Make the checks of Firewall.full_check_config().

    `complete`: the tree holds what packages ship, so that what is not there does not exist.
    """
    for zone in configuration.zones.values():
        if zone.name in configuration.policies:
            raise InvalidFile(zone.location, f"{zone.name} names a zone and a policy")
    _check_bindings(configuration)
    for settings in _all_settings(configuration):
        _check_settings(configuration, settings, complete)
    for policy in configuration.policies.values():
        _check_policy(configuration, policy)
    for service in _user_services(configuration):
        for include in service.includes:
            _check_service(configuration, include, complete)


def check_applied(configuration: Configuration) -> None:
    """Make the checks of applying the rules, which come when the old ones are flushed."""
    for settings in applied(configuration):
        for named in (*settings.services, *_rule_services(settings, "accept")):
            _check_helpers(configuration, named)
        for rule in settings.rules:
            _check_applied_rule(configuration, rule)
        if isinstance(settings, Policy):
            _check_applied_policy(settings)


def applied(configuration: Configuration) -> list[Settings]:
    """Return the zones and policies of which rules are made; the others are only checked."""
    zones = configuration.zones
    active = {zone.name for zone in zones.values() if zone.bound}
    active.add(configuration.options.default_zone)
    known = active | {"ANY", "HOST"}
    policies = [
        policy
        for policy in configuration.policies.values()
        if known & {zone.value for zone in policy.ingress_zones}
        and known & {zone.value for zone in policy.egress_zones}
    ]
    return [*(zones[name] for name in sorted(active)), *policies]


def _check_bindings(configuration: Configuration) -> None:
    """An interface or a source belongs to one zone."""
    owners: dict[str, str] = {}
    for zone in configuration.zones.values():
        for interface in zone.interfaces:
            name = interface.value
            if not name or len(name) > 16 or any(char in name for char in " /!*"):
                raise InvalidFile(interface.location, f"{name} is not a valid interface")
        for binding in (*zone.interfaces, *zone.sources):
            owner = owners.setdefault(binding.value, zone.name)
            if owner != zone.name:
                raise InvalidFile(
                    binding.location, f"{binding.value} is already bound to zone {owner}"
                )
        for source in zone.sources:
            if source.value.startswith("ipset:"):
                _check_source_ipset(configuration, source.value[6:], source.location)


def _check_source_ipset(configuration: Configuration, name: str, location: Location) -> None:
    ipset = configuration.ipsets.get(name)
    if ipset is None:
        raise InvalidFile(location, f"there is no ipset {name}")
    if ipset.type not in _SOURCE_TYPES:
        raise InvalidFile(location, f"an ipset of type {ipset.type} cannot be a source")


# firewall/core/base.py SOURCE_IPSET_TYPES
_SOURCE_TYPES = tuple(
    """
    hash:ip hash:ip,port hash:ip,mark hash:net hash:net,port hash:net,iface hash:mac
    """.split()
)


def _check_settings(configuration: Configuration, settings: Settings, complete: bool) -> None:
    for service in (*settings.services, *_rule_services(settings)):
        _check_service(configuration, service, complete)
    for rule in settings.rules:
        _check_rule(configuration, rule)
    for block in settings.icmp_blocks:
        if block.value not in configuration.icmptypes:
            raise InvalidFile(block.location, f"there is no ICMP type {block.value}")


def _check_service(configuration: Configuration, service: Named, complete: bool) -> None:
    pending, seen = [service], {service.value}
    while pending:
        named = pending.pop()
        if named.value not in configuration.services:
            reason = f"there is no service {named.value}"
            if complete:
                raise InvalidFile(named.location, reason)
            raise NotRead(named.location, f"{reason} in /etc/firewalld or among the stock ones")
        for include in configuration.services[named.value].includes:
            if include.value not in seen:
                seen.add(include.value)
                pending.append(include)


def _check_rule(configuration: Configuration, rule: RichRule) -> None:
    """common_check_config() of firewall/core/io/policy.py; the rest only matters if applied."""
    if rule.kind in ("icmp-block", "icmp-type"):
        name = rule.element.value if isinstance(rule.element, Named) else ""
        if name not in configuration.icmptypes:
            raise InvalidFile(rule.location, f"there is no ICMP type {name}")
    elif rule.kind != "service":
        _check_rule_ipsets(configuration, rule)


def _check_rule_ipsets(configuration: Configuration, rule: RichRule) -> None:
    for peer in (rule.source, rule.destination):
        if peer is not None and peer.kind == "ipset" and peer.value not in configuration.ipsets:
            raise InvalidFile(rule.location, f"there is no ipset {peer.value}")


def _check_applied_rule(configuration: Configuration, rule: RichRule) -> None:
    """FirewallPolicy._rule_prepare() of firewall/core/fw_policy.py."""
    _check_rule_ipsets(configuration, rule)
    source = rule.source
    if source is not None and source.kind == "ipset":
        _check_source_ipset(configuration, source.value, rule.location)
        ipset = configuration.ipsets[source.value]
        family = "" if ipset.type == "hash:mac" else "ipv4" if ipset.family == 4 else "ipv6"
        if rule.family and family and family != rule.family:
            raise InvalidFile(rule.location, "the source is not of the rule's family")
    name = rule.element.value if isinstance(rule.element, Named) else ""
    if rule.kind in ("icmp-block", "icmp-type"):
        families = configuration.icmptypes[name]
        if rule.family and families and rule.family not in families:
            raise InvalidFile(rule.location, f"{name} is not of the rule's family")
    both = rule.kind == "service" and rule.destination is not None
    if both and any(one.destinations for one in configuration.with_includes(name)):
        raise InvalidFile(rule.location, "the rule and its service both have a destination")


def _check_helpers(configuration: Configuration, service: Named) -> None:
    for found in configuration.with_includes(service.value):
        for helper in (*found.helpers, *found.modules):
            if helper.value not in configuration.helpers:
                raise InvalidFile(helper.location, f"there is no helper {helper.value}")


def _check_policy(configuration: Configuration, policy: Policy) -> None:
    ingress = {zone.value for zone in policy.ingress_zones}
    egress = {zone.value for zone in policy.egress_zones}
    for zone in (*policy.ingress_zones, *policy.egress_zones):
        if zone.value not in ("ANY", "HOST") and zone.value not in configuration.zones:
            raise InvalidFile(zone.location, f"there is no zone {zone.value}")
    for names in (ingress, egress):
        if names & {"ANY", "HOST"} and len(names) > 1:
            raise InvalidFile(policy.location, "ANY and HOST must be used alone")
    if "HOST" in ingress and "HOST" in egress:
        raise InvalidFile(policy.location, "HOST is both ingress and egress zone")
    masquerades = policy.masquerade or next(
        (rule.location for rule in policy.rules if rule.kind == "masquerade"), None
    )
    if masquerades and "HOST" in ingress | egress:
        raise InvalidFile(masquerades, "masquerade and HOST exclude each other")
    bound = [name for name in egress - {"ANY", "HOST"} if configuration.zones[name].interfaces]
    for location, target in _forwards(policy):
        if egress and "HOST" not in egress and not target:
            raise InvalidFile(location, "forward-port needs to-addr for this egress zone")
        if bound:
            raise InvalidFile(location, f"the egress zone {bound[0]} has interfaces")
    for rule in policy.rules:
        if rule.action is not None and rule.action.kind == "mark" and bound:
            raise InvalidFile(rule.location, f"the egress zone {bound[0]} has interfaces")


def _check_applied_policy(policy: Policy) -> None:
    """A policy from a zone to HOST has no prerouting chain, which these need: nft refuses them.

    FirewallPolicy._get_table_chains_for_policy_dispatch() of firewall/core/fw_policy.py.
    """
    if {zone.value for zone in policy.egress_zones} != {"HOST"} or any(
        zone.value == "ANY" for zone in policy.ingress_zones
    ):
        return
    needing = [(location, "forward-port") for location, _ in _forwards(policy)]
    needing += [
        (rule.location, "mark")
        for rule in policy.rules
        if rule.action is not None and rule.action.kind == "mark"
    ]
    if needing:
        location, what = needing[0]
        raise InvalidFile(location, f"{what} does not load in a policy from a zone to HOST")


def _forwards(policy: Policy) -> list[tuple[Location, str]]:
    """Return where a policy forwards ports, and to which address ("" for none)."""
    forwards = [(port.location, port.address) for port in policy.forward_ports]
    forwards += [
        (rule.location, rule.element.address)
        for rule in policy.rules
        if isinstance(rule.element, ForwardPort)
    ]
    return forwards


def _all_settings(configuration: Configuration) -> list[Settings]:
    return [*configuration.zones.values(), *configuration.policies.values()]


def _user_services(configuration: Configuration) -> Iterable[Service]:
    services = configuration.services
    return services.added() if isinstance(services, Shipped) else services.values()


def _rule_services(settings: Settings, action: str = "") -> list[Named]:
    """Return the services that rich rules name, with an action only those of its rules."""
    return [
        rule.element
        for rule in settings.rules
        if rule.kind == "service" and isinstance(rule.element, Named)
        if not action or (rule.action is not None and rule.action.kind == action)
    ]
