"""firewalld's XML files to objects, with the checks that firewalld makes when it reads them."""

from __future__ import annotations

import re

from sslint.firewalls.firewalld.elements import End, InvalidFile, Start, check, elements
from sslint.firewalls.firewalld.objects import (
    IpSet,
    Named,
    Port,
    Protocol,
    Service,
)
from sslint.firewalls.firewalld.values import TRANSPORTS, address, port_range, protocol
from sslint.source import Location, SourceFile

# firewall/core/io/{zone,policy,service,ipset,icmptype,helper}.py: the attributes of each element.
Attributes = tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]
_SERVICE: Attributes = (
    {"short": (), "description": (), "service": ()},
    {
        "service": ("name", "version"),
        "port": ("port", "protocol"),
        "protocol": ("value",),
        "module": ("name",),
        "destination": ("ipv4", "ipv6"),
        "source-port": ("port", "protocol"),
        "include": ("service",),
        "helper": ("name",),
    },
)
_IPSET: Attributes = (
    {"short": (), "description": (), "ipset": ("type",), "option": ("name",), "entry": ()},
    {"ipset": ("version",), "option": ("value",)},
)
_ICMPTYPE: Attributes = (
    {"short": (), "description": (), "icmptype": ()},
    {"icmptype": ("name", "version"), "destination": ("ipv4", "ipv6")},
)
_HELPER: Attributes = (
    {"short": (), "description": (), "helper": ("module",)},
    {"helper": ("name", "version", "family"), "port": ("port", "protocol")},
)
_IPSET_TYPES = tuple(
    """
    hash:ip hash:ip,port hash:ip,port,ip hash:ip,port,net hash:ip,mark hash:net hash:net,net
    hash:net,port hash:net,port,net hash:net,iface hash:mac
    """.split()
)


def check_name(name: str, extra: str, longest: int, location: Location) -> None:
    """Refuse a file name that firewalld refuses as an object's name."""
    if not name or any(not char.isalnum() and char not in extra for char in name):
        raise InvalidFile(location, f"{name!r} is not a valid name")
    if longest and len(name.partition("/")[0]) > longest:
        raise InvalidFile(location, f"the name {name} is longer than {longest} characters")


def read_service(file: SourceFile, name: str) -> Service:
    """Return a service. Raise InvalidFile."""
    service = Service(name)
    for event in elements(file):
        if isinstance(event, End):
            continue
        check(event, *_SERVICE)
        if event.name in ("port", "source-port"):
            if event.name == "port" and need(event, "port") == "":
                service.protocols.append(protocol_of(event, "protocol"))
                continue
            ports = service.ports if event.name == "port" else service.source_ports
            ports.append(port_of(event))
        elif event.name == "protocol":
            service.protocols.append(protocol_of(event, "value"))
        elif event.name == "destination":
            for family, number in (("ipv4", 4), ("ipv6", 6)):
                value = event.get(family)
                if value is not None:
                    check_network(value, number, event.location)
                    service.destinations.setdefault(family, value)
        elif event.name == "module":
            module = need(event, "name")
            if module.startswith("nf_conntrack_"):
                module = module.removeprefix("nf_conntrack_").replace("_", "-")
            service.modules.append(Named(module, event.location))
        elif event.name == "include":
            service.includes.append(Named(need(event, "service"), event.location))
        elif event.name == "helper":
            service.helpers.append(Named(need(event, "name"), event.location))
    return service


def read_ipset(file: SourceFile, name: str) -> IpSet:
    """Return an ipset; entries that do not fit its type are ignored. Raise InvalidFile."""
    ipset = IpSet(name, "", file.at(1))
    options: dict[str, str] = {}
    opened: Location | None = None
    for event in elements(file):
        if isinstance(event, End):
            if event.name == "entry":
                ipset.entries.append(Named(event.text, opened or event.location))
            continue
        check(event, *_IPSET)
        opened = event.location
        if event.name == "ipset":
            ipset.type = event.attributes["type"]
            ipset.location = event.location
            if ipset.type not in _IPSET_TYPES:
                raise InvalidFile(event.location, f"{ipset.type} is not a valid ipset type")
        elif event.name == "option":
            _ipset_option(ipset, options, event)
    if not ipset.type:
        raise InvalidFile(ipset.location, "an ipset without a type")
    ipset.family = 6 if options.get("family") == "inet6" else 4
    ipset.timeout = options.get("timeout", "0") != "0"
    if ipset.timeout:  # entries are added at run time only
        ipset.entries.clear()
    limit = int(options.get("maxelem", 1 << 31))
    if len(ipset.entries) > limit:
        raise InvalidFile(ipset.location, f"more than {limit} entries")
    return ipset


def read_icmptype(file: SourceFile, _name: str) -> tuple[str, ...]:
    """Return the families of an ICMP type; () means both. Raise InvalidFile."""
    families: tuple[str, ...] = ()
    for event in elements(file):
        if isinstance(event, Start):
            check(event, *_ICMPTYPE)
            if event.name == "destination":
                families += tuple(
                    family
                    for family in ("ipv4", "ipv6")
                    if (event.get(family) or "").lower() in ("yes", "true")
                )
    return families


def read_helper(file: SourceFile, _name: str) -> str:
    """Return the kernel module of a connection tracking helper. Raise InvalidFile."""
    module = ""
    for event in elements(file):
        if isinstance(event, End):
            continue
        check(event, *_HELPER)
        if event.name == "helper":
            module = event.attributes["module"]
            if not module.startswith("nf_conntrack_") or module == "nf_conntrack_":
                raise InvalidFile(event.location, f"{module} is not a helper module")
            if event.get("family") not in (None, "ipv4", "ipv6"):
                raise InvalidFile(event.location, "family is neither ipv4 nor ipv6")
        elif event.name == "port":
            port_of(event)
    return module


# -- values -----------------------------------------------------------------------------------


def need(event: Start, name: str) -> str:
    """Return an attribute that may not be missing."""
    value = event.get(name)
    if value is None:
        raise InvalidFile(event.location, f"{event.name} lacks the attribute {name}")
    return value


def port_of(event: Start) -> Port:
    """Return the ports of an element with `port` and `protocol`."""
    ports = port_range(need(event, "port"))
    if ports is None:
        raise InvalidFile(event.location, f"{event.get('port')} is not a valid port")
    return Port(ports, _transport(event), event.location)


def _transport(event: Start) -> str:
    name = need(event, "protocol")
    if name not in TRANSPORTS:
        raise InvalidFile(event.location, f"{name} is not one of tcp, udp, sctp, dccp")
    return name


def protocol_of(event: Start, attribute: str) -> Protocol:
    """Return the protocol that an attribute names."""
    number = protocol(need(event, attribute))
    if number is None:
        raise InvalidFile(event.location, f"{event.get(attribute)} is not a protocol")
    return Protocol(number, event.location)


def check_network(text: str, family: int, location: Location) -> None:
    """Refuse an address of another family."""
    found = address(text)
    if found is None or found[0] != family:
        raise InvalidFile(location, f"{text} is not an address of the rule's family")


def _ipset_option(ipset: IpSet, options: dict[str, str], event: Start) -> None:
    name, value = event.attributes["name"], event.get("value") or ""
    if name not in ("family", "timeout", "hashsize", "maxelem"):
        raise InvalidFile(event.location, f"{name} is not an ipset option")
    if not value or (ipset.type == "hash:mac" and name == "family"):
        raise InvalidFile(event.location, f"the option {name} is not valid here")
    if name == "family":
        if value not in ("inet", "inet6"):
            raise InvalidFile(event.location, f"{value} is neither inet nor inet6")
    elif not re.fullmatch(r"\s*\+?\d{1,9}\s*", value):
        raise InvalidFile(event.location, f"{value} is not a number")
    options.setdefault(name, value)
