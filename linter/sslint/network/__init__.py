"""What a tree says of the host around its servers: interfaces, addresses, units, versions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sslint.netfilter.model import HostNetwork
from sslint.network import sysctl
from sslint.network.interfaces import Address, Links, host_network, parse_address, read_links
from sslint.network.packages import Package, Packages
from sslint.network.units import Command, Units, UnitState
from sslint.regex import regex
from sslint.source import Location
from sslint.tree import Tree
from sslint.values import replace

_PARAMETER = regex(r"(?<![\w.])ipv6\.(disable(?:_ipv6)?)=1\b")
_OPTION = regex(r"(?:^\s*options\s+ipv6\s.*\b|(?<![\w.])ipv6\.)(disable(?:_ipv6)?)=1\b")

__all__ = ["Command", "HostFacts", "UnitState", "read_network"]


class HostFacts:
    """The host around the servers, read when it is asked for.

    `systemd` tells whether the tree says which units start at boot at all.
    """

    def __init__(self, tree: Tree, addresses: Sequence[str] = ()) -> None:
        self.tree = tree
        self.units = Units(tree)
        self.packages = Packages(tree)
        self.ipv6_disabled_by: Location | None = None
        self._given = addresses
        self._links: Links | None = None
        self._network: HostNetwork | None = None

    @property
    def network(self) -> HostNetwork:
        """Interfaces, addresses, the default route's interface, whether IPv6 exists."""
        if self._network is None:
            parsed = (parse_address(text) for text in self._given)
            own: tuple[Address, ...] = tuple(address for address in parsed if address)
            self.ipv6_disabled_by = sysctl.ipv6_disabled(self.tree, systemd=self.systemd) or next(
                (place for place, _ in _kernel_parameters(self.tree)), None
            )
            known = host_network(
                self.links,
                own,
                ipv6=None if self.ipv6_disabled_by is None else False,
                tcp_loose=sysctl.tcp_loose(self.tree, systemd=self.systemd),
            )
            localnet = sysctl.route_localnet(self.tree, systemd=self.systemd)
            self._network = replace(known, route_localnet=tuple(localnet.items()))
        return self._network

    @property
    def no_ipv6_sockets(self) -> Location | None:
        """The line that leaves the kernel without sockets of IPv6: they cannot be opened."""
        found = _kernel_parameters(self.tree)
        return next((place for place, parameter in found if parameter == "disable"), None)

    @property
    def links(self) -> Links:
        """The interfaces as the files write them."""
        if self._links is None:
            self._links = read_links(self.tree)
        return self._links

    @property
    def zones(self) -> dict[str, str]:
        """The firewalld zone that the network's own files give an interface."""
        return {link.name: link.zone for link in self.links.by_name.values() if link.zone}

    @property
    def systemd(self) -> bool:
        """Whether the tree says which systemd units start at boot."""
        return self.units.systemd

    @property
    def distribution(self) -> tuple[str, str]:
        """(family, release), such as ("debian", "13") or ("rhel", "9"); ("", "") if not known."""
        return self.packages.distribution

    def unit_state(self, name: str) -> UnitState:
        """Tell whether a unit starts at boot; "unknown" where the tree does not say."""
        return self.units.state(name)

    def exec_start(self, name: str) -> tuple[Command, ...] | None:
        """Return a unit's ExecStart commands, drop-ins included; None if they are not known."""
        return self.units.commands(name)

    def package_version(self, package: Package) -> str | None:
        """Return the upstream version of a program, None where it is not known."""
        return self.packages.version(package)

    @property
    def lists_packages(self) -> bool:
        """Whether the tree says which packages are installed."""
        return self.packages.listed


def read_network(tree: Tree, *, addresses: Sequence[str] = ()) -> HostFacts:
    """Return the facts of a tree's host; `addresses` are known to be its own."""
    return HostFacts(tree, addresses)


def _kernel_parameters(tree: Tree) -> Iterator[tuple[Location, str]]:
    """Yield the lines that disable IPv6 as the kernel or its module starts, and the parameter.

    `disable` leaves the kernel without sockets of IPv6, `disable_ipv6` interfaces without addresses
    (Documentation/networking/ipv6.rst).
    """
    for path in ("/etc/default/grub", "/etc/kernel/cmdline", *tree.glob("/etc/modprobe.d/*.conf")):
        file = tree.try_read(path, decisive=False)
        if file is None:
            continue
        pattern = _OPTION if "/modprobe.d/" in path else _PARAMETER
        for number, line in enumerate(file.text.split("\n"), 1):
            match = pattern.search(line.partition("#")[0])
            if match:
                yield file.at(number), match.group(1)
