"""Whole connections: the first packet, the answer, the next packet.

The clients beyond the wire answer as any host and router would: they resolve addresses, complete
handshakes, and take connections that a ruleset forwards to them. On the host every port that is
asked about listens. What counts is that the client's second packet was delivered.
"""

from __future__ import annotations

import contextlib
import re
import select
import socket
import struct
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from tests.live.kernel.lab import (
    CLIENT_MAC,
    HOST_MAC,
    ROUTER4,
    Lab,
    Refused,
    flush_connections,
    run,
    set_sysctl,
)
from tests.live.kernel.packets import Packet, checksum, frame, in_ethernet

ETH_P_ALL, ETH_P_ARP, ETH_P_IP, ETH_P_IPV6 = 0x0003, 0x0806, 0x0800, 0x86DD
PACKET_OUTGOING = 4
SO_RCVBUFFORCE = 33
IP_PKTINFO, IPV6_PKTINFO, IPV6_RECVPKTINFO = 8, 50, 49
SYN, ACK, SYN_ACK = 0x02, 0x10, 0x12
ROUTER = ip_address("fe80::2")
GATEWAY = ip_address(ROUTER4)
QUIET = 0.02  # seconds without a packet after which none is on its way
MOST_FRAMES = 20_000
BACKLOG = 512
_NUMBER = re.compile(r"(?<![0-9a-f.x])[0-9]{1,5}(?![0-9a-f.:/])")


@dataclass(frozen=True, slots=True)
class Heard:
    """What each packet came to."""

    first: list[bool]  # it was delivered or forwarded
    connected: list[bool]  # and so was the next one, after an answer


@dataclass(frozen=True, slots=True)
class _Seen:
    """A TCP segment or datagram on the clients' side of the wire."""

    interface: str
    protocol: int
    src: bytes
    dst: bytes
    sport: int
    dport: int
    body: bytes


def ports_in(texts: Mapping[str, str]) -> set[int]:
    """Return the numbers in rulesets that may be ports."""
    found = {int(word) for text in texts.values() for word in _NUMBER.findall(text)}
    return {number for number in found if 0 < number < 65536}


class Wire:
    """The clients of a lab, and the listeners on its host."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._round = 0
        self._found: set[tuple[str, bytes]] = set()  # by ARP: interface and address
        for interface, wire in lab.wires.items():
            wire.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 23)
            wire.bind((interface, ETH_P_ALL))
            wire.setblocking(False)
        for name, value in (
            ("ipv4.tcp_synack_retries", "0"), ("ipv4.tcp_syncookies", "0"),
            ("ipv4.icmp_ratelimit", "0"), ("ipv6.icmp.ratelimit", "0"),
        ):  # fmt: skip
            set_sysctl(f"net.{name}", value)
        run("ip", "-6", "route", "replace", "default", "via", str(ROUTER), "dev", "eth0")

    def talk(self, packets: Sequence[Packet], ports: Collection[int]) -> Heard:
        """Send each packet as the first of a connection, and go on where there is an answer."""
        flush_connections()
        with contextlib.suppress(Refused):  # firewalld's reload leaves the recorder in place
            run("nft", "-f", "-", text="flush set inet sslint_lab tagged\n"
                "flush set inet sslint_lab datagrams\n")  # fmt: skip
        self._round = (self._round + 1) % 0x7F
        tags = [self._round << 24 | number << 8 for number in range(1, len(packets) + 1)]
        with _listening({*ports, *(packet.dport for packet in packets)}) as sockets:
            self._drain(sockets, {}, act=False)
            self._resolve(sockets, packets)
            # The host solicits its router from the address that is about to answer, and whether
            # that succeeds may depend on it.
            for destination in dict.fromkeys(packet.dst for packet in packets):
                run("ip", "-6", "neigh", "flush", "dev", "eth0")
                some = {
                    tag: packet
                    for tag, packet in zip(tags, packets, strict=True)
                    if packet.dst == destination
                }
                for tag, packet in some.items():
                    address = ip_address(packet.dst)
                    if address.version == 4 and (packet.iif, address.packed) not in self._found:
                        continue
                    data = frame(packet, tag, CLIENT_MAC[packet.iif], HOST_MAC[packet.iif])
                    self.lab.wires[packet.iif].send(data)
                self._drain(sockets, some)
        seen = self.lab.seen()
        return Heard([tag in seen for tag in tags], [tag + 1 in seen for tag in tags])

    def _resolve(self, sockets: Collection[socket.socket], packets: Sequence[Packet]) -> None:
        """Ask for the host's IPv4 addresses, as a router does before it sends the first packet."""
        self._found.clear()
        for interface, text in dict.fromkeys((packet.iif, packet.dst) for packet in packets):
            address = ip_address(text)
            if address.version == 4:
                mac = CLIENT_MAC[interface]
                request = struct.pack("!HHBBH", 1, ETH_P_IP, 6, 4, 1) + mac + GATEWAY.packed
                request += bytes(6) + address.packed
                self._send(interface, b"\xff" * 6 + mac + struct.pack("!H", ETH_P_ARP) + request)
        self._drain(sockets, {})

    def _drain(
        self,
        sockets: Collection[socket.socket],
        packets: Mapping[int, Packet],
        *,
        act: bool = True,
    ) -> None:
        """Answer all that is heard until nothing more is."""
        poll = select.epoll()
        named = {wire.fileno(): (name, wire) for name, wire in self.lab.wires.items()}
        servers = {server.fileno(): server for server in sockets}
        for number in (*named, *servers):
            poll.register(number, select.EPOLLIN)
        answered: set[int] = set()
        frames = 0
        with poll:
            while frames < MOST_FRAMES and (ready := poll.poll(QUIET if act else 0)):
                for number, _ in ready:
                    frames += 1
                    if number in servers:
                        _echo(servers[number])
                        continue
                    name, wire = named[number]
                    with contextlib.suppress(BlockingIOError):
                        data, where = wire.recvfrom(4096)
                        if act and where[2] != PACKET_OUTGOING:
                            self._heard(name, data, packets, answered)

    def _heard(
        self, interface: str, data: bytes, packets: Mapping[int, Packet], answered: set[int]
    ) -> None:
        kind = int.from_bytes(data[12:14], "big")
        if kind == ETH_P_ARP and data[20:22] == b"\0\1":
            mac = CLIENT_MAC[interface]
            reply = data[14:20] + b"\0\2" + mac + data[38:42] + data[22:32]
            self._send(interface, data[6:12] + mac + data[12:14] + reply)
            return
        if kind == ETH_P_ARP:
            self._found.add((interface, data[28:32]))
            return
        one = _parsed(interface, kind, data[14:])
        if one is None:
            if kind == ETH_P_IPV6 and data[20] == 58 and data[54] == 135:
                self._advertise(interface, data[14:])
        elif one.protocol == 6:
            self._segment(one, packets, answered)
        else:
            self._datagram(one, packets, answered)

    def _advertise(self, interface: str, data: bytes) -> None:
        """Answer a neighbour solicitation, as a router does: from its link-local address."""
        target = data[48:64]
        body = (
            struct.pack("!BBHI", 136, 0, 0, 0xE0000000) + target + b"\2\1" + CLIENT_MAC[interface]
        )
        src = ROUTER.packed if target == ROUTER.packed else target
        self._send(interface, _ethernet(interface, src, data[8:24], 58, body, hops=255))

    def _segment(self, one: _Seen, packets: Mapping[int, Packet], answered: set[int]) -> None:
        sequence, acknowledged, _, flags = struct.unpack("!IIBB", one.body[4:14])
        first = packets.get(acknowledged - 1)
        if flags & SYN_ACK == SYN_ACK and first is not None and acknowledged not in answered:
            if not _is_answer(one, first):
                return
            answered.add(acknowledged)
            self._send(
                first.iif,
                _ethernet(
                    first.iif, one.dst, one.src, 6,
                    _tcp(one.dport, one.sport, acknowledged, sequence + 1, ACK),
                ),
            )  # fmt: skip
        elif flags & SYN_ACK == SYN:  # a ruleset has sent it on to us
            self._send(
                one.interface,
                _ethernet(
                    one.interface, one.dst, one.src, 6,
                    _tcp(one.dport, one.sport, 1, sequence + 1, SYN_ACK),
                ),
            )  # fmt: skip

    def _datagram(self, one: _Seen, packets: Mapping[int, Packet], answered: set[int]) -> None:
        tag = int.from_bytes(one.body[8:12], "big")
        first = packets.get(tag)
        if first is None or tag in answered:
            return
        if _is_answer(one, first):
            answered.add(tag)
            datagram = struct.pack("!HHHHI", one.dport, one.sport, 12, 0, tag + 1)
            self._send(first.iif, _ethernet(first.iif, one.dst, one.src, 17, datagram))
        else:
            datagram = struct.pack("!HHHHI", one.dport, one.sport, 12, 0, tag)
            self._send(one.interface, _ethernet(one.interface, one.dst, one.src, 17, datagram))

    def _send(self, interface: str, data: bytes) -> None:
        self.lab.wires[interface].send(data)


def _is_answer(one: _Seen, first: Packet) -> bool:
    """Tell whether a client takes it for the answer to its packet."""
    return (ip_address(one.dst), one.dport, ip_address(one.src), one.sport) == (
        ip_address(first.src), first.sport, ip_address(first.dst), first.dport,
    )  # fmt: skip


def _parsed(interface: str, kind: int, data: bytes) -> _Seen | None:
    if kind == ETH_P_IP:
        head, protocol, src, dst = (data[0] & 15) * 4, data[9], data[12:16], data[16:20]
    elif kind == ETH_P_IPV6:
        head, protocol, src, dst = 40, data[6], data[8:24], data[24:40]
    else:
        return None
    if protocol not in (6, 17):
        return None
    sport, dport = struct.unpack("!HH", data[head : head + 4])
    return _Seen(interface, protocol, src, dst, sport, dport, data[head:])


def _tcp(sport: int, dport: int, sequence: int, acknowledged: int, flags: int) -> bytes:
    numbers = (sequence & 0xFFFFFFFF, acknowledged & 0xFFFFFFFF)
    return struct.pack("!HHIIBBHHH", sport, dport, *numbers, 5 << 4, flags, 64240, 0, 0)


def _ethernet(
    interface: str, src: bytes, dst: bytes, protocol: int, body: bytes, hops: int = 64
) -> bytes:
    covered = src + dst + struct.pack("!II", len(body), protocol) + body
    at = {6: 16, 17: 6, 58: 2}[protocol]
    body = body[:at] + struct.pack("!H", checksum(covered)) + body[at + 2 :]
    macs = HOST_MAC[interface] + CLIENT_MAC[interface]
    return in_ethernet(src, dst, protocol, body, macs, hops)


@contextlib.contextmanager
def _listening(ports: Collection[int]) -> Iterator[list[socket.socket]]:
    """Listen on TCP ports, and yield sockets of the UDP ones, whose datagrams are to be echoed."""
    servers: list[socket.socket] = []
    listeners: list[socket.socket] = []
    try:
        for port in ports:
            for family in (socket.AF_INET, socket.AF_INET6):
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    one = socket.socket(family, kind)
                    (servers if kind == socket.SOCK_DGRAM else listeners).append(one)
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    if family == socket.AF_INET6:
                        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                    one.bind(("", port))
                    if kind == socket.SOCK_STREAM:
                        one.listen(BACKLOG)
                        continue
                    one.setblocking(False)
                    if family == socket.AF_INET:
                        one.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
                    else:
                        one.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
        yield servers
    finally:
        for one in (*servers, *listeners):
            one.close()


def _echo(server: socket.socket) -> None:
    """Send a datagram back from the address that it came to."""
    with contextlib.suppress(OSError):
        data, ancillary, _, where = server.recvmsg(2048, 256)
        answering = []
        for level, kind, info in ancillary:
            if kind == IP_PKTINFO and level == socket.IPPROTO_IP:
                answering = [(level, kind, struct.pack("=i4s4s", 0, info[4:8], b"\0" * 4))]
            elif kind == IPV6_PKTINFO:
                answering = [(level, kind, info[:16] + struct.pack("=i", 0))]
        server.sendmsg([data], answering, 0, where)
