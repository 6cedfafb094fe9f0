"""First packets of connections, as raw Ethernet frames."""

from __future__ import annotations

import struct
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from typing import Any

PROTOCOLS = {
    "tcp": 6, "udp": 17, "icmp": 1, "icmpv6": 58,
    "gre": 47, "esp": 50, "ah": 51, "ipcomp": 108, "sctp": 132, "udplite": 136,
}  # fmt: skip
WITH_PORTS = frozenset(("tcp", "udp", "sctp", "udplite"))
SYN_OPTIONS = bytes.fromhex("020405b4 0402 080a 00000001 00000000 01 030307")
HOP_LIMIT = 64


@dataclass(frozen=True, slots=True)
class Packet:
    """The first packet of a connection: a plain SYN, a datagram or an echo request.

    The fields are those of `sslint trace --packets`.
    """

    proto: str  # a name of PROTOCOLS
    src: str
    dst: str
    iif: str = "eth0"
    sport: int = 0
    dport: int = 0

    @property
    def family(self) -> int:
        """4 or 6."""
        return 6 if ":" in self.src else 4

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON object of `sslint trace --packets`."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.iif} {self.proto} {self.src}:{self.sport} -> {self.dst}:{self.dport}"


def checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def frame(packet: Packet, tag: int, source_mac: bytes, destination_mac: bytes) -> bytes:
    """Return the Ethernet frame. `tag` (32 bits) survives every translation.

    It is the TCP sequence number, the echo's identifier and sequence, the datagram's payload, or
    what stands 32 bits into any other header: ESP's sequence, AH's and GRE's index, SCTP's tag.
    """
    src, dst = ip_address(packet.src).packed, ip_address(packet.dst).packed
    proto = PROTOCOLS[packet.proto]
    body = _transport(packet, tag)
    covered = body
    if packet.proto != "icmp":
        covered = src + dst + struct.pack("!II", len(body), proto) + body
    position = {"tcp": 16, "udp": 6, "icmp": 2, "icmpv6": 2, "udplite": 6}.get(packet.proto)
    if position is not None:
        body = body[:position] + struct.pack("!H", checksum(covered)) + body[position + 2 :]
    return in_ethernet(src, dst, proto, body, destination_mac + source_mac)


def in_ethernet(
    src: bytes, dst: bytes, proto: int, body: bytes, macs: bytes, hops: int = HOP_LIMIT
) -> bytes:
    """Return a frame with a transport header and payload; `macs`: destination, then source."""
    if len(src) == 4:
        ethertype = 0x0800
        length = 20 + len(body)
        head = struct.pack("!BBHHHBBH", 0x45, 0, length, 0, 0x4000, hops, proto, 0)
        head = head[:10] + struct.pack("!H", checksum(head + src + dst)) + src + dst
    else:
        ethertype = 0x86DD
        head = struct.pack("!IHBB", 0x60000000, len(body), proto, hops) + src + dst
    return macs + struct.pack("!H", ethertype) + head + body


def _transport(packet: Packet, tag: int) -> bytes:
    """Return the transport header and payload with a zero checksum."""
    ports = struct.pack("!HH", packet.sport, packet.dport)
    if packet.proto == "tcp":
        length = (20 + len(SYN_OPTIONS)) // 4 << 4
        rest = struct.pack("!IIBBHHH", tag, 0, length, 2, 64240, 0, 0)
        return ports + rest + SYN_OPTIONS
    if packet.proto in ("udp", "udplite"):
        return ports + struct.pack("!HHI", 12, 0, tag)
    if packet.proto == "sctp":  # an INIT chunk; conntrack looks at no checksum
        return ports + struct.pack("!IIBBHIIHHI", tag, 0, 1, 0, 20, 1, 65536, 1, 1, 1)
    if packet.proto == "gre":
        return struct.pack("!HHI", 0x2000, 0x0800, tag)
    if packet.proto == "esp":
        return struct.pack("!II8x", 0x1001, tag)
    if packet.proto == "ah":
        return struct.pack("!BBHII12x", 59, 4, 0, tag, 1)
    if packet.proto == "ipcomp":
        return struct.pack("!BBHI", 59, 0, 2, tag)
    kind = 8 if packet.proto == "icmp" else 128
    return struct.pack("!BBHI", kind, 0, 0, tag)
