"""Zones, policies and their rich rules, with the checks that firewalld makes when it reads them."""

from __future__ import annotations

import re
from typing import Literal, cast

from sslint.firewalls.firewalld.elements import End, InvalidFile, Start, check, elements
from sslint.firewalls.firewalld.objects import (
    Action,
    Family,
    ForwardPort,
    Named,
    Peer,
    Policy,
    Port,
    Protocol,
    RichRule,
    Settings,
    Zone,
)
from sslint.firewalls.firewalld.parsing import (
    Attributes,
    check_network,
    port_of,
    protocol_of,
)
from sslint.firewalls.firewalld.values import address, integer, is_mac, port_range
from sslint.regex import is_number
from sslint.source import SourceFile

# firewall/core/io/zone.py and policy.py: the attributes of each element.
_COMMON_REQUIRED: dict[str, tuple[str, ...]] = {
    "short": (),
    "description": (),
    "service": ("name",),
    "port": ("port", "protocol"),
    "icmp-block": ("name",),
    "icmp-type": ("name",),
    "forward-port": ("port", "protocol"),
    "rule": (),
    "source": (),
    "destination": (),
    "protocol": ("value",),
    "source-port": ("port", "protocol"),
    "log": (),
    "nflog": (),
    "audit": (),
    "accept": (),
    "reject": (),
    "drop": (),
    "mark": ("set",),
    "limit": ("value",),
}
_COMMON_OPTIONAL: dict[str, tuple[str, ...]] = {
    "forward-port": ("to-port", "to-addr"),
    "rule": ("family", "priority"),
    "source": ("address", "mac", "invert", "family", "ipset"),
    "destination": ("address", "invert", "ipset"),
    "log": ("prefix", "level"),
    "nflog": ("group", "prefix", "queue-size"),
    "reject": ("type",),
    "limit": ("burst",),
    "tcp-mss-clamp": ("value",),
}
_ZONE: Attributes = (
    _COMMON_REQUIRED
    | {"zone": (), "forward": (), "interface": ("name",), "icmp-block-inversion": ()},
    _COMMON_OPTIONAL
    | {
        "zone": ("name", "immutable", "target", "version", "ingress-priority", "egress-priority"),
        "masquerade": ("enabled",),
    },
)
_POLICY: Attributes = (
    _COMMON_REQUIRED
    | {
        "policy": ("target",),
        "masquerade": (),
        "ingress-zone": ("name",),
        "egress-zone": ("name",),
    },
    _COMMON_OPTIONAL | {"policy": ("version", "priority")},
)
_ZONE_TARGETS = ("ACCEPT", "%%REJECT%%", "DROP", "{chain}_{zone}", "default")
_POLICY_TARGETS = ("ACCEPT", "REJECT", "DROP", "CONTINUE")
_LOG_LEVELS = ("emerg", "alert", "crit", "error", "warning", "notice", "info", "debug")
_REJECT_TYPES = {  # firewall/core/base.py
    "ipv4": (
        "icmp-host-prohibited host-prohib icmp-net-unreachable net-unreach icmp-host-unreachable "
        "host-unreach icmp-port-unreachable port-unreach icmp-proto-unreachable proto-unreach "
        "icmp-net-prohibited net-prohib tcp-reset tcp-rst icmp-admin-prohibited admin-prohib"
    ),
    "ipv6": (
        "icmp6-adm-prohibited adm-prohibited icmp6-no-route no-route icmp6-addr-unreachable "
        "addr-unreach icmp6-port-unreachable port-unreach tcp-reset"
    ),
}
_PER = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def read_zone(file: SourceFile, name: str) -> Zone:
    """Return a zone. Raise InvalidFile."""
    zone = Zone(name, file.at(1))
    reader = _SettingsReader(zone)
    for event in elements(file):
        if isinstance(event, End):
            reader.end(event)
            continue
        check(event, *_ZONE)
        if reader.start(event):
            continue
        if event.name == "zone":
            zone.location = event.location
            target = event.get("target")
            if target is not None and target not in _ZONE_TARGETS:
                raise InvalidFile(event.location, f"{target!r} is not a valid target")
            zone.target = "" if target is None or "{" in target else target
            zone.ingress_priority = _priority(event, "ingress-priority", 0)
            zone.egress_priority = _priority(event, "egress-priority", 0)
        elif event.name == "interface":
            if reader.rule is not None:
                raise InvalidFile(event.location, "an interface inside a rule")
            zone.interfaces.append(Named(event.attributes["name"], event.location))
        elif event.name == "source":
            _zone_source(zone, event)
        elif event.name == "forward":
            zone.forward = event.location
        elif event.name == "icmp-block-inversion":
            zone.icmp_block_inversion = event.location
    return zone


def read_policy(file: SourceFile, name: str) -> Policy:
    """Return a policy. Raise InvalidFile."""
    policy = Policy(name, file.at(1), target="CONTINUE")
    reader = _SettingsReader(policy)
    for event in elements(file):
        if isinstance(event, End):
            reader.end(event)
            continue
        check(event, *_POLICY)
        if reader.start(event):
            continue
        if event.name == "policy":
            policy.target = event.attributes["target"]
            policy.location = event.location
            if policy.target not in _POLICY_TARGETS:
                raise InvalidFile(event.location, f"{policy.target} is not a valid target")
            policy.priority = _priority(event, "priority", -1)
            if policy.priority == 0:
                raise InvalidFile(event.location, "priority 0 is reserved")
        elif event.name == "ingress-zone":
            policy.ingress_zones.append(Named(event.attributes["name"], event.location))
        elif event.name == "egress-zone":
            policy.egress_zones.append(Named(event.attributes["name"], event.location))
        else:
            raise InvalidFile(event.location, f"{event.name} outside of a rule")
    return policy


# -- settings of zones and policies -----------------------------------------------------------


class _SettingsReader:
    """Read what zones and policies share; inside `<rule>` elements belong to the rich rule."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.rule: RichRule | None = None
        self.limitable: str = ""  # the part of the rule that a <limit> would belong to

    def start(self, event: Start) -> bool:
        """Take an element; tell whether it is one of the shared ones."""
        name = event.name
        if name == "rule":
            family = event.get("family") or ""
            if family not in ("", "ipv4", "ipv6"):
                raise InvalidFile(event.location, f"{family} is neither ipv4 nor ipv6")
            self.rule = RichRule(
                event.location, cast(Family, family), _priority(event, "priority", 0)
            )
            return True
        if name in ("short", "description"):
            return True
        if name in _ELEMENTS:
            self._element(event)
            return True
        if name == "source":
            if self.rule is None:
                return False
            if self.rule.source is not None:
                raise InvalidFile(event.location, "a rule has more than one source")
            self.rule.source = _peer(event)
            return True
        if name in ("destination", "accept", "reject", "drop", "mark", "log", "nflog", "audit"):
            if self.rule is None:
                raise InvalidFile(event.location, f"{name} outside of a rule")
            self._part(event, self.rule)
            return True
        if name == "limit":
            self._limit(event)
            return True
        return False

    def end(self, event: End) -> None:
        """Take a closing tag."""
        if event.name == "rule" and self.rule is not None:
            _check_rule(self.rule)
            self.settings.rules.append(self.rule)
            self.rule = None
        elif event.name in ("accept", "reject", "drop", "mark", "log", "audit"):
            self.limitable = ""

    def _element(self, event: Start) -> None:
        element: Named | Port | Protocol | ForwardPort
        if event.name in ("port", "source-port"):
            element = port_of(event)
        elif event.name == "protocol":
            element = protocol_of(event, "value")
        elif event.name == "forward-port":
            element = _forward_port(event)
        else:
            element = Named(event.get("name") or event.get("value") or "", event.location)
        if self.rule is not None:
            if self.rule.kind:
                raise InvalidFile(event.location, "a rule has more than one element")
            if event.name in ("icmp-block", "icmp-type") and not event.attributes["name"]:
                raise InvalidFile(event.location, "an ICMP type without a name")
            if event.name == "tcp-mss-clamp":
                _check_mss(event)
            self.rule.kind, self.rule.element = event.name, element
            return
        settings = self.settings
        if isinstance(element, ForwardPort):
            settings.forward_ports.append(element)
        elif isinstance(element, Port):
            ports = settings.ports if event.name == "port" else settings.source_ports
            ports.append(element)
        elif isinstance(element, Protocol):
            settings.protocols.append(element)
        elif event.name == "service":
            settings.services.append(element)
        elif event.name == "icmp-block":
            settings.icmp_blocks.append(element)
        elif event.name == "masquerade":
            settings.masquerade = event.location
        else:
            raise InvalidFile(event.location, f"{event.name} outside of a rule")

    def _part(self, event: Start, rule: RichRule) -> None:
        name = event.name
        if name == "destination":
            if rule.destination is not None:
                raise InvalidFile(event.location, "a rule has more than one destination")
            rule.destination = _peer(event)
            return
        self.limitable = name
        if name in ("log", "nflog"):
            _check_log(event)
            if rule.logs:
                raise InvalidFile(event.location, "a rule has more than one log")
            rule.logs = True
        elif name == "audit":
            if rule.audits:
                raise InvalidFile(event.location, "a rule has more than one audit")
            rule.audits = True
        else:
            if rule.action is not None:
                raise InvalidFile(event.location, "a rule has more than one action")
            if name == "mark":
                _check_mark(event)
            detail = event.get("type") or event.get("set") or ""
            rule.action = Action(cast(Literal["accept", "reject", "drop", "mark"], name), detail)

    def _limit(self, event: Start) -> None:
        if not self.limitable or self.rule is None:
            raise InvalidFile(event.location, "a limit outside of action, log and audit")
        _check_limit(event)
        action = self.rule.action
        if action is not None and self.limitable == action.kind:
            if action.limited:
                raise InvalidFile(event.location, "more than one limit")
            self.rule.action = Action(action.kind, action.detail, limited=True)


_ELEMENTS = tuple(
    """
    service port protocol tcp-mss-clamp icmp-block icmp-type masquerade forward-port source-port
    """.split()
)


def _check_rule(rule: RichRule) -> None:
    """Rich_Rule.check() of firewall/core/rich.py."""

    def refuse(reason: str) -> InvalidFile:
        return InvalidFile(rule.location, reason)

    source, destination = rule.source, rule.destination
    if not rule.family and (
        (source is not None and source.kind == "address")
        or destination is not None
        or rule.kind == "forward-port"
    ):
        raise refuse("the rule needs a family")
    if not rule.kind and (not rule.logs or rule.priority == 0):
        if rule.action is None:
            raise refuse("the rule has neither element nor action")
        if source is None and destination is None and rule.priority == 0:
            raise refuse("the rule has no element, no source and no destination")
    passive = ("icmp-block", "forward-port", "masquerade", "tcp-mss-clamp")
    if rule.kind not in passive and not (rule.logs or rule.audits or rule.action):
        raise refuse("the rule has no action, no log and no audit")
    number = {"ipv4": 4, "ipv6": 6}.get(rule.family, 0)
    for peer in (source, destination):
        if peer is not None and peer.kind == "address":
            check_network(peer.value, number, rule.location)
    if rule.kind in passive and rule.action is not None:
        raise refuse(f"{rule.kind} and an action exclude each other")
    if rule.kind == "masquerade" and source is not None and source.kind == "mac":
        raise refuse("masquerade and a MAC source exclude each other")
    if isinstance(rule.element, ForwardPort) and rule.element.address:
        target = address(rule.element.address, single=True)
        if target is None or target[0] != number:
            raise refuse(f"{rule.element.address} is not an address of the rule's family")
    if rule.audits and (rule.action is None or rule.action.kind == "mark"):
        raise refuse("audit needs accept, reject or drop")
    reject = rule.action.detail if rule.action and rule.action.kind == "reject" else ""
    if reject and reject not in _REJECT_TYPES.get(rule.family, "").split():
        raise refuse(f"{reject} is not a reject type of the rule's family")


# -- parts of a rule -----


def _forward_port(event: Start) -> ForwardPort:
    port = port_of(event)
    to_port, to_address = event.get("to-port") or "", event.get("to-addr") or ""
    target = port_range(to_port) if to_port else None
    if to_port and target is None:
        raise InvalidFile(event.location, f"{to_port} is not a valid port")
    if to_address and address(to_address, single=True) is None:
        raise InvalidFile(event.location, f"{to_address} is not an address")
    if not to_port and not to_address:
        raise InvalidFile(event.location, "forward-port needs to-port or to-addr")
    return ForwardPort(port.ports, port.protocol, target, to_address, event.location)


def _peer(event: Start) -> Peer:
    invert = (event.get("invert") or "").lower() in ("yes", "true")
    given = [(kind, value) for kind in ("address", "mac", "ipset") if (value := event.get(kind))]
    if len(given) != 1:
        raise InvalidFile(event.location, f"{event.name} needs one address or ipset")
    kind, value = given[0]
    if kind == "mac" and not is_mac(value):
        raise InvalidFile(event.location, f"{value} is not a MAC address")
    if kind == "ipset" and len(value) > 32:
        raise InvalidFile(event.location, f"{value} is not the name of an ipset")
    return Peer(cast(Literal["address", "mac", "ipset"], kind), value, invert)


def _zone_source(zone: Zone, event: Start) -> None:
    value, ipset = event.get("address"), event.get("ipset")
    if (value is None) == (ipset is None):
        raise InvalidFile(event.location, "a source needs either address or ipset")
    if event.get("invert") is not None:
        raise InvalidFile(event.location, "a zone's source cannot be inverted")
    if event.get("mac") is not None and value is None and ipset is None:
        raise InvalidFile(event.location, "a MAC source stands in address")
    if value is not None and address(value) is None and not is_mac(value):
        raise InvalidFile(event.location, f"{value} is not an address")
    zone.sources.append(Named(value if value is not None else f"ipset:{ipset}", event.location))


def _check_limit(event: Start) -> None:
    rate, slash, per = event.attributes["value"].partition("/")
    unit = per.strip()
    unit = unit[:1] if unit in ("second", "minute", "hour", "day") else unit
    burst = event.get("burst")
    if (
        not slash
        or not re.fullmatch(r"\s*\+?\d{1,9}\s*", rate)
        or int(rate) < 1
        or unit not in _PER
        or 10000 * _PER[unit] // int(rate) == 0
        or (int(rate) == 1 and unit == "d")
        or (burst is not None and not (re.fullmatch(r"\s*\+?\d{1,8}\s*", burst)))
    ):
        raise InvalidFile(event.location, f"{event.attributes['value']} is not a valid limit")


def _check_log(event: Start) -> None:
    if len(event.get("prefix") or "") > 127:
        raise InvalidFile(event.location, "the log prefix is longer than 127 characters")
    level = event.get("level")
    if level and level not in _LOG_LEVELS:
        raise InvalidFile(event.location, f"{level} is not a log level")
    for name in ("group", "queue-size"):
        number = event.get(name)
        if number and (integer(number) is None or (integer(number) or 0) > 65535):
            raise InvalidFile(event.location, f"{number} is not between 0 and 65535")


def _check_mark(event: Start) -> None:
    parts = event.attributes["set"].split("/")
    if len(parts) > 2 or any(
        (number := integer(part)) is None or number > 0xFFFFFFFF for part in parts
    ):
        raise InvalidFile(event.location, f"{event.attributes['set']} is not a valid mark")


def _check_mss(event: Start) -> None:
    value = event.get("value") or ""
    if is_number(value):
        if int(value[:9]) < 536:
            raise InvalidFile(event.location, f"{value} is less than 536")
    elif value not in ("", "None", "pmtu"):
        raise InvalidFile(event.location, f"{value} is not a valid tcp-mss-clamp")


def _priority(event: Start, name: str, default: int) -> int:
    text = event.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"\s*[+-]?\d{1,9}\s*", text) or not -32768 <= int(text) <= 32767:
        raise InvalidFile(event.location, f"{text} is not a valid priority")
    return int(text)
