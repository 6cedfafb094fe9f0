"""The addresses, ports and names that a random ruleset mentions, and packets from their edges."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface

from tests.live.kernel.lab import INTERFACES
from tests.live.kernel.packets import Packet

PORTS = (1, 22, 25, 53, 80, 110, 143, 443, 465, 587, 993, 995, 1023, 1024, 8443, 49152, 65535)
CENTRES = {
    4: ("10.0.0.0", "10.20.0.0", "100.64.0.0", "172.16.0.0", "192.168.1.0", "198.51.100.0",
        "203.0.113.0", "8.8.8.0", "52.0.0.0", "198.18.0.0"),
    6: ("2001:db8:1::", "2001:db8:9::", "2a00:1450::", "fd20::", "fd00:aa::", "fe80::1:0",
        "2600::", "fc00::"),
}  # fmt: skip
LENGTHS = {
    4: (1, 4, 8, 8, 12, 16, 16, 20, 23, 24, 24, 25, 28, 30, 31, 32, 32),
    6: (3, 7, 8, 10, 16, 32, 48, 56, 64, 64, 96, 112, 126, 127, 128, 128),
}
BITS = {4: 32, 6: 128}
OWN = {
    family: tuple(
        str(ip_interface(text).ip)
        for addresses in INTERFACES.values()
        for text in addresses
        if ip_interface(text).version == family
    )
    for family in (4, 6)
}
_NETWORKS = [ip_interface(text).network for each in INTERFACES.values() for text in each]
# What the kernel would never take as a source: its own addresses, and its networks' ends.
_REFUSED = (
    {int(ip_address(text)) for own in OWN.values() for text in own}
    | {int(network[0]) for network in _NETWORKS}
    | {int(network[-1]) for network in _NETWORKS}
    | {int(ip_address("fe80::"))}  # every router's own anycast address
)


def address_text(family: int, value: int) -> str:
    """Return an address as text."""
    return str(IPv4Address(value) if family == 4 else IPv6Address(value))


def routable(family: int, value: int) -> bool:
    """Tell whether a packet from this address reaches the first hook and passes routing."""
    if value in _REFUSED or value < 0 or value >= 1 << BITS[family]:
        return False
    if family == 4:
        return value >> 24 not in (0, 127) and value >> 24 < 224
    return value >> 125 == 1 or value >> 121 == 0x7E or value >> 118 == 0x3FA


@dataclass
class Vocabulary:
    """Draws the words of one ruleset and remembers them."""

    random: random.Random
    families: tuple[int, ...] = (4, 6)  # of the packets
    # Whether what the files cannot decide may occur: the hop limit, the packet's size ...
    undecidable: bool = False
    ranges: dict[int, list[tuple[int, int]]] = field(default_factory=lambda: {4: [], 6: []})
    ports: list[int] = field(default_factory=list)
    source_ports: list[int] = field(default_factory=list)
    last: tuple[int, int] = (0, 0)  # what was mentioned last
    # Whether statements that write to the packet, and other rare ones, may occur.
    rare: bool = False
    # A rule's outcome depends on earlier packets of the same source (xt_recent, dynamic sets).
    remembers_sources: bool = False

    def chance(self, probability: float) -> bool:
        """Return True with this probability."""
        return self.random.random() < probability

    def _mention(self, family: int, low: int, high: int) -> None:
        self.ranges[family].append((low, high))
        self.last = (low, high)

    def _start(self, family: int) -> int:
        """Return an address that is near others that are mentioned."""
        if self.ranges[family] and self.chance(0.5):
            low, high = self.random.choice(self.ranges[family])
            base = self.random.choice((low, high))
        else:
            base = int(ip_address(self.random.choice(CENTRES[family])))
        return min(base + self.random.choice((0, 0, 1, 2, 5, 64, 200)), (1 << BITS[family]) - 1)

    def prefix(self, family: int) -> str:
        """Return a network or a single address."""
        length = self.random.choice(LENGTHS[family])
        size = BITS[family] - length
        low = self._start(family) >> size << size
        self._mention(family, low, low + (1 << size) - 1)
        text = address_text(family, low)
        return text if size == 0 and self.chance(0.7) else f"{text}/{length}"

    def address(self, family: int) -> str:
        """Return a single address."""
        value = self._start(family)
        self._mention(family, value, value)
        return address_text(family, value)

    def range(self, family: int) -> str:
        """Return `first-last`."""
        low = self._start(family)
        high = min(low + self.random.choice((1, 7, 255, 1000, 1 << 20)), (1 << BITS[family]) - 1)
        self._mention(family, low, high)
        return f"{address_text(family, low)}-{address_text(family, high)}"

    def port(self) -> int:
        """Return a port; half the time one that is already mentioned."""
        if self.ports and self.chance(0.5):
            port = self.random.choice(self.ports)
        else:
            port = self.random.choice(PORTS)
            self.ports.append(port)
        self.last = (port, port)
        return port

    def port_range(self) -> tuple[int, int]:
        """Return the first and the last port of a range."""
        low = self.port()
        high = min(low + self.random.choice((1, 2, 10, 100, 900, 20000)), 65535)
        self.ports.append(high)
        self.last = (low, high)
        return low, high

    def disjoint(self, make: Callable[[], str], most: int) -> list[str]:
        """Return up to `most` words of which no two overlap."""
        made: dict[str, tuple[int, int]] = {}
        for _ in range(self.random.randint(1, most)):
            self.last = (-1, -1)
            text = make()
            low, high = self.last
            if low < 0:  # not a number: two are different if they are written differently
                made.setdefault(text, (-1, -1))
            elif all(high < first or last < low for first, last in made.values()):
                made[text] = (low, high)
        return list(made)

    def source_port_range(self) -> tuple[int, int]:
        """Return a range of source ports: often all that clients use, or a trap."""
        low, high = self.random.choice(
            ((1024, 65535), (1, 65535), (443, 443), (32768, 60999), (40000, 40000), (1023, 1024))
        )
        self.source_ports += [low, high]
        return low, high

    # -- packets --------------------------------------------------------------------------------

    def packets(self, count: int) -> list[Packet]:
        """Return distinct packets from the edges of what the ruleset mentions."""
        packets: dict[tuple[object, ...], Packet] = {}
        for _ in range(count * 3):
            if len(packets) == count:
                break
            packet = self._packet()
            key: tuple[object, ...] = (packet.src,)
            if not self.remembers_sources:
                key = (packet.proto, packet.src, packet.sport, packet.dst, packet.dport)
            packets.setdefault(key, packet)
        return list(packets.values())

    def _packet(self) -> Packet:
        family = self.random.choice(self.families)
        interface = "eth0" if self.chance(0.8) else "eth1"
        destination = self._destination(family)
        kind = self.random.choices(("tcp", "udp", "icmp", "other"), (14, 6, 2, int(self.rare)))[0]
        if kind == "other":  # AH is an extension header in IPv6: none is of that protocol
            others = ("esp", "gre", "ipcomp", "ah") if family == 4 else ("esp", "gre", "ipcomp")
            return Packet(self.random.choice(others), self._source(family), destination, interface)
        if kind == "icmp":
            return Packet(
                "icmp" if family == 4 else "icmpv6", self._source(family), destination, interface
            )
        return Packet(
            kind, self._source(family), destination, interface, self._sport(), self._dport()
        )

    def _destination(self, family: int) -> str:
        return OWN[family][0] if self.chance(0.7) else self.random.choice(OWN[family])

    def _source(self, family: int) -> str:
        while True:
            if self.ranges[family] and self.chance(0.8):
                low, high = self.random.choice(self.ranges[family])
                inside = self.random.randint(low, high)
                value = self.random.choice(
                    (low - 1, low, low, inside, inside, high, high, high + 1)
                )
            else:
                base = int(ip_address(self.random.choice(CENTRES[family])))
                value = base + self.random.randint(1, 1 << 16)
            if routable(family, value):
                return address_text(family, value)

    def _sport(self) -> int:
        if self.source_ports and self.chance(0.4):
            port = self.random.choice(self.source_ports) + self.random.choice((-1, 0, 0, 1))
            return min(max(port, 1), 65535)
        return self.random.randint(1024, 65535)

    def _dport(self) -> int:
        if self.ports and self.chance(0.9):
            port = self.random.choice(self.ports) + self.random.choice((-1, 0, 0, 0, 0, 1))
            return min(max(port, 1), 65535)
        return self.random.choice(PORTS)
