"""Two network namespaces and a wire: the kernel says which packets a ruleset lets through.

A lab moves the process that makes it: first into a new namespace that becomes the clients', where
it opens its packet sockets, then into a second one, the host's, where it stays. So it must be
made in a process of its own, and nothing is left behind when that process ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import random
import socket
import struct
import subprocess
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from tests.live.kernel.packets import WITH_PORTS, Packet, frame

CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000
MS_REC, MS_PRIVATE = 0x4000, 0x40000

INTERFACES = {  # the host's own addresses; clients are beyond the default route on eth0
    "eth0": ("198.51.100.1/24", "198.51.100.7/24", "2001:db8:1::1/64", "2001:db8:1::7/64"),
    "eth1": ("10.20.0.1/24", "fd20::1/64"),
    "lab0": (),  # no ruleset stops the frame that says that all others have been handled
}
ROUTER4, ROUTER6 = "198.51.100.2", "2001:db8:1::2"
HOST_MAC = {
    "eth0": bytes.fromhex("020000000001"),
    "eth1": bytes.fromhex("020000000101"),
    "lab0": bytes.fromhex("020000000201"),
}
CLIENT_MAC = {
    "eth0": bytes.fromhex("020000000002"),
    "eth1": bytes.fromhex("020000000102"),
    "lab0": bytes.fromhex("020000000202"),
}

BARRIER = 0x88B5  # an EtherType for experiments (IEEE 802)

# The last base chain of all: what reached local delivery, or would have left for another host.
RECORDER = """
table inet sslint_lab {
  set tagged { typeof @th,32,32; flags dynamic; size 65535; }
  set datagrams { typeof @th,64,32; flags dynamic; size 65535; }
  chain input { type filter hook input priority 2147483647; policy accept
    meta l4proto != { udp, udplite } add @tagged { @th,32,32 }
    meta l4proto { udp, udplite } add @datagrams { @th,64,32 }
  }
  chain forward { type filter hook forward priority 2147483647; policy accept
    meta l4proto != { udp, udplite } add @tagged { @th,32,32 }
    meta l4proto { udp, udplite } add @datagrams { @th,64,32 }
  }
}
"""
EMPTY_LEGACY = "".join(
    f"*{table}\n" + "".join(f":{chain} ACCEPT [0:0]\n" for chain in chains) + "COMMIT\n"
    for table, chains in {
        "filter": ("INPUT", "FORWARD", "OUTPUT"),
        "raw": ("PREROUTING", "OUTPUT"),
        "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
        "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
        "security": ("INPUT", "FORWARD", "OUTPUT"),
    }.items()
)
LOADERS = {  # in the order a host would load them; nft goes with the flush, in one transaction
    "ipset": ("ipset", "restore"),
    "legacy4": ("iptables-legacy-restore",),
    "legacy6": ("ip6tables-legacy-restore",),
    "v4": ("iptables-nft-restore",),
    "v6": ("ip6tables-nft-restore",),
}


class Refused(Exception):
    """The kernel or its tool did not load a ruleset; `kind` says which."""

    def __init__(self, message: str, kind: str = "") -> None:
        super().__init__(message)
        self.kind = kind


def namespace() -> None:
    """Move this process into a new network namespace with a working loopback."""
    unshare(CLONE_NEWNET)
    run("ip", "link", "set", "lo", "up")


def unshare(flags: int) -> None:
    """Call unshare(2). Raise OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(flags):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def private_mounts(*directories: str) -> None:
    """Give this process its own mounts, with an empty tmpfs over each directory."""
    unshare(CLONE_NEWNS)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None):
        raise OSError(ctypes.get_errno(), "cannot make mounts private")
    for directory in directories:
        run("mount", "-t", "tmpfs", "tmpfs", directory)


def run(*command: str, text: str | None = None, kind: str = "") -> str:
    """Run a command and return its output. Raise Refused with what it said."""
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise Refused(f"{' '.join(command)}: {said}", kind)
    return done.stdout


class Lab:
    """A host of our own and the wire to it."""

    def __init__(self) -> None:
        namespace()
        self.wires: dict[str, socket.socket] = {}  # the clients' ends, by interface
        with open("/proc/self/ns/net") as clients:
            namespace()
            path = f"/proc/{os.getpid()}/fd/{clients.fileno()}"
            for interface, addresses in INTERFACES.items():
                self._wire(interface, addresses, path)
            for setting in ("ipv4.conf.all.forwarding", "ipv6.conf.all.forwarding"):
                set_sysctl(f"net.{setting}", "1")
            run("ip", "route", "add", "default", "via", ROUTER4)
            run("ip", "-6", "route", "add", "default", "via", ROUTER6)
            self._client_sockets(clients.fileno())
        self._barrier = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(BARRIER))
        self._barrier.bind(("lab0", BARRIER))
        self._barrier.settimeout(10)
        self._legacy = self._ipset = False
        self._had_legacy = False

    def is_used_up(self, rulesets: Mapping[str, str]) -> bool:
        """Tell whether the order of the hooks is no longer a new host's.

        iptables-legacy registers a table's chains once, and keeps them when it is emptied.
        """
        return self._had_legacy and "nft" in rulesets

    def _wire(self, interface: str, addresses: Iterable[str], client_namespace: str) -> None:
        host, client = HOST_MAC[interface].hex(":"), CLIENT_MAC[interface].hex(":")
        run("ip", "link", "add", interface, "address", host, "type", "veth", "peer", "name",
            interface, "address", client, "netns", client_namespace)  # fmt: skip
        for setting in ("all", interface):
            set_sysctl(f"net.ipv4.conf.{setting}.rp_filter", "0")
        # Duplicate address detection would hold the addresses back for a second.
        set_sysctl(f"net.ipv6.conf.{interface}.accept_dad", "0")
        set_sysctl(f"net.ipv6.conf.{interface}.accept_ra", "0")
        run("ip", "link", "set", interface, "up")
        for address in addresses:
            nodad = ("nodad",) if ":" in address else ()
            run("ip", "address", "add", address, "dev", interface, *nodad)
        if interface == "eth0":
            for router in (ROUTER4, ROUTER6):
                run("ip", "neigh", "add", router, "lladdr", client, "dev", interface)

    def _client_sockets(self, clients: int) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/proc/self/ns/net") as host:
            if libc.setns(clients, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
            try:
                for interface in INTERFACES:
                    run("ip", "link", "set", interface, "up")
                    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
                    wire.bind((interface, 0))
                    self.wires[interface] = wire
            finally:
                if libc.setns(host.fileno(), CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")

    def load(self, rulesets: Mapping[str, str]) -> None:
        """Replace every ruleset by these texts, by kind. Raise Refused.

        The kinds are nft, v4, v6, legacy4, legacy6 and ipset.
        """
        if self._legacy:
            for restore in (LOADERS["legacy4"], LOADERS["legacy6"]):
                run(*restore, text=EMPTY_LEGACY)
            self._legacy = False
        text = f"flush ruleset\n{rulesets.get('nft', '')}\n{RECORDER}"
        run("nft", "-f", "-", text=text, kind="nft")
        if self._ipset:
            run("ipset", "flush")  # a set that is listed in another one is in use
            self._destroy_ipsets()
        self._ipset = "ipset" in rulesets
        for kind, command in LOADERS.items():
            if kind in rulesets:
                self._legacy |= kind.startswith("legacy")
                self._had_legacy |= self._legacy
                run(*command, text=rulesets[kind], kind=kind)

    def files(self) -> dict[str, str]:
        """Return what a manager made of the ruleset, by host path: here nothing."""
        return {}

    def _destroy_ipsets(self) -> None:
        for _ in range(200):  # the kernel frees the flushed rules that use them a moment later
            with contextlib.suppress(Refused):
                run("ipset", "destroy")
                return
            time.sleep(0.005)
        run("ipset", "destroy")

    def send(self, packets: Sequence[Packet]) -> list[bool]:
        """Send each packet once, as the first of its connection, and tell which got through.

        Without ports two connections of one client cannot be told apart once NAT has led them to
        one address, and the second is dropped: it is sent again by itself.
        """
        passed = self._send(packets)
        clients = Counter((packet.proto, packet.src) for packet in packets)
        for index, packet in enumerate(packets):
            alike = clients[packet.proto, packet.src] > 1 and packet.proto not in WITH_PORTS
            if alike and not passed[index]:
                (passed[index],) = self._send([packet])
        return passed

    def _send(self, packets: Sequence[Packet]) -> list[bool]:
        flush_connections()
        with contextlib.suppress(Refused):  # firewalld's reload leaves the recorder in place
            run("nft", "-f", "-", text="flush set inet sslint_lab tagged\n"
                "flush set inet sslint_lab datagrams\n")  # fmt: skip
        # On one processor a backlog is worked off in order, so the last frame comes last.
        processors = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {random.choice(sorted(processors))})
        try:
            tags = [number << 16 | number for number in range(1, len(packets) + 1)]
            # The upper half is an echo's identifier: were it the same for all, NAT would change it
            # where two of them come to meet at one address.
            for tag, packet in zip(tags, packets, strict=True):
                data = frame(packet, tag, CLIENT_MAC[packet.iif], HOST_MAC[packet.iif])
                self.wires[packet.iif].send(data)
            last = HOST_MAC["lab0"] + CLIENT_MAC["lab0"] + struct.pack("!H46x", BARRIER)
            self.wires["lab0"].send(last)
            self._barrier.recv(64)
        finally:
            os.sched_setaffinity(0, processors)
        seen = self.seen()
        return [tag in seen for tag in tags]

    def seen(self) -> set[int]:
        """Return what the recorder has: the tags of packets that were delivered or forwarded."""
        listed = json.loads(run("nft", "-j", "list", "table", "inet", "sslint_lab"))
        seen: set[int] = set()
        for item in listed["nftables"]:
            seen.update(item.get("set", {}).get("elem", ()))
        return seen


def set_sysctl(name: str, value: str) -> None:
    """Set a kernel setting of this namespace, such as `net.ipv4.ip_forward`."""
    with open("/proc/sys/" + name.replace(".", "/"), "w") as setting:
        setting.write(value)


def flush_connections() -> None:
    """Forget every tracked connection (IPCTNL_MSG_CT_DELETE without a tuple)."""
    request, acknowledge = 1, 4
    message_type = (1 << 8) | 2  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_DELETE
    header = struct.pack("=IHHII", 20, message_type, request | acknowledge, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as netfilter:  # NETLINK_NETFILTER
        netfilter.settimeout(5)
        netfilter.send(header + struct.pack("=BBH", socket.AF_UNSPEC, 0, 0))
        netfilter.recv(4096)
