"""Interfaces, addresses and default routes, from the tools that bring the network up.

ifupdown and ifupdown-ng (interfaces(5)), netplan (netplan(5)), systemd-networkd
(systemd.network(5)), NetworkManager (nm-settings-keyfile(5)) and ifcfg files (RHEL, SUSE).
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from typing import Any

from sslint import inifile
from sslint.inifile import Section
from sslint.netfilter.model import HostNetwork, Interface
from sslint.network.units import by_name
from sslint.reasons import Code
from sslint.regex import is_number, regex
from sslint.source import SourceFile
from sslint.tree import Tree
from sslint.values import dataclass, field

Address = tuple[int, int, int]  # family, address, prefix length
MAX_INTERFACES = 10_000

# Interfaces that carry no packets of the outside by themselves.
_VIRTUAL = regex(
    r"(lo|docker|br-[0-9a-f]{6}|veth|virbr|vnet|wg|tun|tap|dummy|cni|flannel|cali|lxc|lxdbr|"
    r"podman|ifb|gre|sit|ip6tnl|ppp-|tailscale|zt|nebula|vxlan|kube-|ipsec)"
)


@dataclass(slots=True)
class Link:
    """What the files say of one interface; `slave`: a member of a bridge or a bond."""

    name: str
    addresses: list[Address] = field(default_factory=list)
    gateway: bool = False
    metric: int | None = None
    dhcp: bool = False
    virtual: bool = False
    slave: bool = False
    zone: str = ""


class Links:
    """All interfaces of a tree. A pattern of names (`en*`) keeps only its addresses."""

    def __init__(self) -> None:
        self.by_name: dict[str, Link] = {}
        self.nameless = Link("")

    def get(self, name: str) -> Link:
        """Return the interface of this name, made if need be."""
        name = name.strip().strip("\"'")
        if not name or any(char in name for char in "*?[! /$"):
            return self.nameless
        if name not in self.by_name and len(self.by_name) >= MAX_INTERFACES:
            return self.nameless
        return self.by_name.setdefault(name, Link(name))


def read_links(tree: Tree) -> Links:
    """Read every file that configures interfaces."""
    links = Links()
    for reader in (_ifupdown, _netplan, _networkd, _network_manager, _ifcfg):
        reader(tree, links)
    return links


def host_network(
    links: Links, own: tuple[Address, ...], *, ipv6: bool | None, tcp_loose: bool | None
) -> HostNetwork:
    """Join what the files say with the addresses that were given."""
    interfaces = tuple(
        Interface(
            link.name,
            tuple((a, p) for f, a, p in link.addresses if f == 4),
            tuple((a, p) for f, a, p in link.addresses if f == 6),
            link.virtual or link.slave or _VIRTUAL.match(link.name) is not None,
        )
        for link in links.by_name.values()
    )
    known = [*own, *(address for link in _all(links) for address in link.addresses)]
    return HostNetwork(
        interfaces,
        _public(links),
        tuple(dict.fromkeys(a for f, a, _ in known if f == 4)),
        tuple(dict.fromkeys(a for f, a, _ in known if f == 6)),
        ipv6,
        tcp_loose,
        inner=tuple(link.name for link in links.by_name.values() if link.slave),
    )


def parse_address(text: str, prefix: str = "") -> Address | None:
    """Return (family, address, prefix length) of `192.0.2.1/24`; None for anything else."""
    text = text.strip().strip("\"'")
    if "/" in text:
        text, _, prefix = text.partition("/")
    family = 6 if ":" in text else 4
    try:
        raw = socket.inet_pton(socket.AF_INET6 if family == 6 else socket.AF_INET, text)
    except (OSError, ValueError):
        return None
    return family, int.from_bytes(raw, "big"), _prefix(prefix.strip().strip("\"'"), family)


# -- inside -----------------------------------------------------------------------------------


def _all(links: Links) -> list[Link]:
    return [*links.by_name.values(), links.nameless]


def _public(links: Links) -> str | None:
    """Name the interface of the default route if the files leave no doubt."""
    if links.nameless.gateway:
        return None
    candidates = [link for link in links.by_name.values() if link.gateway and not link.slave]
    if not candidates and not links.nameless.dhcp:
        candidates = [
            link
            for link in links.by_name.values()
            if link.dhcp and not link.slave and not _VIRTUAL.match(link.name)
        ]
    if len(candidates) > 1 and all(link.metric is not None for link in candidates):
        candidates.sort(key=lambda link: link.metric or 0)
        if candidates[0].metric != candidates[1].metric:
            return candidates[0].name
    return candidates[0].name if len(candidates) == 1 else None


def _prefix(text: str, family: int) -> int:
    full = 128 if family == 6 else 32
    if is_number(text) and len(text) < 4:
        return min(int(text), full)
    if family == 4 and text:
        try:
            return int.from_bytes(socket.inet_pton(socket.AF_INET, text), "big").bit_count()
        except (OSError, ValueError):
            pass
    return full


def _add(link: Link, text: str, prefix: str = "") -> None:
    address = parse_address(text, prefix)
    if address is not None and address not in link.addresses:
        link.addresses.append(address)


# ifupdown ------------------------------------------------------------------------------------


def _ifupdown(tree: Tree, links: Links) -> None:
    for file in interfaces_files(tree):
        link: Link | None = None
        netmask: str = ""
        pending: list[str] = []

        def finish(link: Link | None, pending: list[str], netmask: str) -> None:
            if link is not None:
                for text in pending:
                    _add(link, text, netmask)

        for words in _interfaces_lines(file.text):
            word, rest = words[0], words[1:]
            if word == "iface" and rest:
                finish(link, pending, netmask)
                link, pending, netmask = links.get(rest[0].partition(":")[0]), [], ""
                link.dhcp = link.dhcp or "dhcp" in rest
            elif word in ("auto", "mapping", "source", "source-directory", "no-auto-down") or (
                word.startswith("allow-")
            ):
                finish(link, pending, netmask)
                link, pending = None, []
            elif link is not None and rest:
                netmask = _ifupdown_option(links, link, word, rest, pending) or netmask
        finish(link, pending, netmask)


def _ifupdown_option(
    links: Links, link: Link, word: str, rest: list[str], pending: list[str]
) -> str:
    """Apply one option of an iface stanza; return a netmask if it is one."""
    if word == "address":
        pending.append(rest[0])
    elif word == "netmask":
        return rest[0]
    elif word == "gateway":
        link.gateway = True
    elif word == "metric" and is_number(rest[0]):
        link.metric = int(rest[0])
    elif word in ("bridge_ports", "bridge-ports", "bond-slaves", "bond_slaves", "slaves"):
        for name in rest:
            if name not in ("none", "all", "regex"):
                links.get(name).slave = True
    elif word in ("up", "post-up") and "route" in rest and "default" in rest:
        device = rest[rest.index("dev") + 1] if "dev" in rest[:-1] else link.name
        links.get(device.replace("$IFACE", link.name)).gateway = True
    return ""


def interfaces_files(tree: Tree) -> list[SourceFile]:
    """Return /etc/network/interfaces and what it includes, in order."""
    files: list[SourceFile] = []
    pending = ["/etc/network/interfaces"]
    seen: set[str] = set()
    while pending and len(files) < 1000:
        path = pending.pop(0)
        if path in seen:
            continue
        seen.add(path)
        file = tree.try_read(path, decisive=False)
        if file is None:
            continue
        files.append(file)
        directory = path.rpartition("/")[0]
        for words in _interfaces_lines(file.text):
            if words[0] == "source" and len(words) > 1:
                pattern = words[1] if words[1].startswith("/") else f"{directory}/{words[1]}"
                pending += tree.glob(pattern)
            elif words[0] == "source-directory" and len(words) > 1:
                pending += [
                    f"{words[1].rstrip('/')}/{name}"
                    for name in tree.names(words[1])
                    if re.fullmatch(r"[a-zA-Z0-9_-]+", name)  # as run-parts(8) names them
                ]
    return files


def _interfaces_lines(text: str) -> Iterator[list[str]]:
    for line in re.sub(r"\\\n", " ", text).split("\n"):
        words = line.split()
        if words and not words[0].startswith("#"):
            yield words


# netplan -------------------------------------------------------------------------------------

_NETPLAN_KINDS = ("ethernets", "wifis", "modems", "bonds", "bridges", "vlans", "vrfs")
_NETPLAN_VIRTUAL = ("tunnels", "dummy-devices", "virtual-ethernets", "vrfs")


def _netplan(tree: Tree, links: Links) -> None:
    for path in by_name(tree, ("/usr/lib/netplan", "/etc/netplan"), ".yaml"):
        file = tree.try_read(path, decisive=False)
        network = _yaml(tree, file).get("network") if file is not None else None
        if not isinstance(network, dict):
            continue
        for kind in (*_NETPLAN_KINDS, *_NETPLAN_VIRTUAL):
            definitions = network.get(kind)
            for key, value in definitions.items() if isinstance(definitions, dict) else ():
                if isinstance(value, dict):
                    _netplan_device(links, str(key), value, kind)


def _yaml(tree: Tree, file: SourceFile) -> dict[Any, Any]:
    import yaml

    # Merge keys of merge keys grow without bound, and netplan has no use for them.
    if len(file.text) > 1 << 20 or "<<" in file.text:
        tree.problem(
            file, "is not read: too large, or YAML merge keys", decisive=False, code=Code.UNUSABLE
        )
        return {}
    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        content = yaml.load(file.text, loader)  # noqa: S506 - a safe loader # nosec B506
    except (yaml.YAMLError, ValueError, RecursionError, TypeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = file.at(mark.line + 1) if mark is not None else file
        tree.problem(where, "is not valid YAML", decisive=False, code=Code.UNUSABLE)
        return {}
    return content if isinstance(content, dict) else {}


def _netplan_device(links: Links, key: str, value: dict[Any, Any], kind: str) -> None:
    name = key
    match = value.get("match")
    if isinstance(match, dict):
        name = str(value.get("set-name") or match.get("name") or "*")
    link = links.get(name)
    link.virtual = link.virtual or kind in _NETPLAN_VIRTUAL
    link.dhcp = link.dhcp or value.get("dhcp4") is True or value.get("dhcp6") is True
    for address in _list(value.get("addresses")):
        if isinstance(address, dict):  # {"192.0.2.1/24": {label: ...}}
            address = next(iter(address), "")
        _add(link, str(address))
    if value.get("gateway4") or value.get("gateway6"):
        link.gateway = True
    for route in _list(value.get("routes")):
        if isinstance(route, dict) and str(route.get("to")) in ("default", "0.0.0.0/0", "::/0"):
            if route.get("table") not in (None, 254, "main"):
                continue
            link.gateway = True
            metric = route.get("metric")
            link.metric = metric if isinstance(metric, int) else link.metric
    if kind in ("bridges", "bonds"):
        for member in _list(value.get("interfaces")):
            links.get(str(member)).slave = True


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


# systemd-networkd ----------------------------------------------------------------------------


def _networkd(tree: Tree, links: Links) -> None:
    directories = ("/usr/lib/systemd/network", "/etc/systemd/network")
    for path in by_name(tree, directories, ".network"):
        if tree.link_target(path) == "/dev/null" or path.startswith("/usr/lib"):
            continue  # vendor files speak of containers and of interfaces by type
        file = tree.try_read(path, decisive=False)
        if file is None:
            continue
        sections = inifile.sections(file.text, systemd=True)
        names = [
            word
            for section in sections
            if section.title == "Match"
            for entry in section.entries
            if entry.key == "Name"
            for word in entry.value.split()
        ] or ["*"]
        for interface in names:
            _networkd_file(links, links.get(interface), sections)


def _networkd_file(links: Links, link: Link, sections: list[Section]) -> None:
    for section in sections:
        title, values = section.title, section.values
        if title == "Network":
            for key, value in ((entry.key, entry.value) for entry in section.entries):
                if key == "Address":
                    _add(link, value)
                elif key == "Gateway" and value:
                    link.gateway = True
                elif key == "DHCP" and value.lower() in ("yes", "true", "ipv4", "ipv6", "both"):
                    link.dhcp = True
                elif key in ("Bridge", "Bond"):
                    link.slave = True
                    links.get(value)
        elif title == "Address" and values.get("Address"):
            _add(link, values["Address"])
        elif title == "Route" and "Table" not in values:
            destination = values.get("Destination", "0.0.0.0/0")
            if values.get("Gateway") and destination in ("0.0.0.0/0", "::/0"):
                link.gateway = True
                if is_number(values.get("Metric", "")):
                    link.metric = int(values["Metric"])


# NetworkManager ------------------------------------------------------------------------------

_VIRTUAL_TYPES = ("wireguard", "tun", "dummy", "vpn", "ip-tunnel", "veth", "vxlan", "loopback")


def _network_manager(tree: Tree, links: Links) -> None:
    for directory in ("/usr/lib/NetworkManager", "/etc/NetworkManager"):
        directory += "/system-connections"
        for name in tree.names(directory):
            file = tree.try_read(f"{directory}/{name}", decisive=False)
            if file is None or name.startswith(".") or name.endswith(("~", ".bak", ".rpmnew")):
                continue
            sections = {one.title: one.values for one in inifile.sections(file.text)}
            connection = sections.get("connection", {})
            interface = connection.get("interface-name", "")
            if not connection:
                continue
            link = links.get(interface or "*")
            kind = connection.get("type", "")
            link.virtual = link.virtual or kind in _VIRTUAL_TYPES
            link.zone = connection.get("zone", "") or link.zone
            if connection.get("master") or connection.get("controller"):
                link.slave = True
            for family in ("ipv4", "ipv6"):
                _keyfile_addresses(link, sections.get(family, {}))


def _keyfile_addresses(link: Link, settings: dict[str, str]) -> None:
    never = settings.get("never-default", "").lower() in ("true", "yes", "1", "on")
    if settings.get("method") == "auto" and not never:
        link.dhcp = True
    if settings.get("gateway") and not never:
        link.gateway = True
    if is_number(settings.get("route-metric", "")):
        link.metric = int(settings["route-metric"])
    for key, value in settings.items():
        if re.fullmatch(r"address\d*", key):
            address, _, gateway = value.partition(",")
            _add(link, address)
            link.gateway = link.gateway or (bool(gateway) and not never)
        elif re.fullmatch(r"route\d+", key):
            destination, _, gateway = value.partition(",")
            if destination in ("0.0.0.0/0", "::/0") and gateway:
                link.gateway = True


# ifcfg ---------------------------------------------------------------------------------------


def _ifcfg(tree: Tree, links: Links) -> None:
    for directory in ("/etc/sysconfig/network-scripts", "/etc/sysconfig/network"):
        for name in tree.names(directory):
            if not name.startswith("ifcfg-") or name.endswith((".bak", "~", ".rpmsave", ".orig")):
                continue
            file = tree.try_read(f"{directory}/{name}", decisive=False)
            if file is not None:
                _ifcfg_file(links, _assignments(file.text), name.removeprefix("ifcfg-"))
        for name in tree.names(directory):  # SUSE: routes, ifroute-eth0
            file = None
            if name == "routes" or name.startswith("ifroute-"):
                file = tree.try_read(f"{directory}/{name}", decisive=False)
            for line in file.text.split("\n") if file is not None else ():
                words = line.split()
                device = words[3] if len(words) > 3 else name.partition("-")[2]
                if words and words[0] == "default" and device not in ("", "-"):
                    links.get(device).gateway = True
    file = (
        tree.try_read("/etc/sysconfig/network", decisive=False)
        if (tree.exists("/etc/sysconfig/network") and not tree.names("/etc/sysconfig/network"))
        else None
    )
    if file is not None:
        device = _assignments(file.text).get("GATEWAYDEV", "")
        if device:
            links.get(device).gateway = True


def _ifcfg_file(links: Links, values: dict[str, str], name: str) -> None:
    link = links.get((values.get("DEVICE") or name).partition(":")[0])
    link.zone = values.get("ZONE", "") or link.zone
    never = values.get("DEFROUTE", "").lower() == "no"
    if values.get("BOOTPROTO", "").lower().startswith(("dhcp", "auto")) and not never:
        link.dhcp = True
    if any(values.get(key) for key in ("GATEWAY", "GATEWAY0", "IPV6_DEFAULTGW")) and not never:
        link.gateway = True
    if any(values.get(key) for key in ("BRIDGE", "MASTER", "TEAM_MASTER")):
        link.slave = True
    for key, value in values.items():
        number = re.fullmatch(r"IPADDR(_?\w*)", key)
        if number:
            suffix = number.group(1)
            _add(link, value, values.get(f"PREFIX{suffix}") or values.get(f"NETMASK{suffix}", ""))
        elif key == "IPV6ADDR":
            _add(link, value)
        elif key == "IPV6ADDR_SECONDARIES":
            for address in value.split():
                _add(link, address)


def _assignments(text: str) -> dict[str, str]:
    """Return the plain assignments of a shell fragment."""
    values = {}
    for line in text.split("\n"):
        key, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and key.isidentifier():
            values[key] = value.partition(" #")[0].strip().strip("\"'")
    return values
