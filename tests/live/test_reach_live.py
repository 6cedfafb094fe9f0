"""Real connections through a router to a host behind real rules: what `reach` says must come true.

The kernel's verdict on a first packet is judged in `kernel`; here the answer has to get back, the
next packet in, and the neighbours have to find each other.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from sslint.firewalls import nftables
from sslint.netfilter.addresses import parse
from sslint.netfilter.model import Ruleset
from sslint.netfilter.reach import Firewall, Reach
from sslint.values import replace
from tests.live.conftest import at_most, count, seed
from tests.netfilter.models import network
from tests.support import tree_of

pytestmark = pytest.mark.live("nft", "ip")

SEED = seed()

PORTS = (443, 8443)
ROUNDS = count(40)
CLIENT6 = "2001:db8:2::2"
HOST4, HOST6 = "198.51.100.1", "2001:db8:1::1"
LINKS = {  # (namespace, interface, its addresses)
    ("host", "eth0"): (f"{HOST4}/24", f"{HOST6}/64"),
    ("router", "near"): ("198.51.100.2/24", "2001:db8:1::2/64"),
    ("router", "far"): ("203.0.113.1/24", "2001:db8:2::1/64"),
    ("client", "eth0"): ("203.0.113.2/24", "2001:db8:2::2/64"),
}
SERVER = """
import asyncio
class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport): self.transport = transport
    def datagram_received(self, data, peer): self.transport.sendto(data, peer)
async def echo(reader, writer):
    writer.write(await reader.read(9)); writer.close()
async def main():
    loop = asyncio.get_running_loop()
    for port in (443, 8443):
        for host in ("198.51.100.1", "2001:db8:1::1"):
            await asyncio.start_server(echo, host, port)
            await loop.create_datagram_endpoint(Echo, (host, port))
    print("ready", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""
CLIENT = """
import asyncio, json, sys
class Once(asyncio.DatagramProtocol):
    def __init__(self, queue): self.queue = queue
    def datagram_received(self, data, peer): self.queue.put_nowait(data)
async def tcp(host, port):
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"x")
    data = await reader.read(9)
    writer.close()
    return data == b"x"
async def udp(host, port):
    queue = asyncio.Queue()
    loop = asyncio.get_running_loop()
    made = loop.create_datagram_endpoint(lambda: Once(queue), remote_addr=(host, port))
    transport, _ = await made
    for _ in range(2):
        transport.sendto(b"x")
        await queue.get()
    return True
async def one(kind, host, port):
    try:
        return await asyncio.wait_for({"tcp": tcp, "udp": udp}[kind](host, port), 0.9)
    except (OSError, asyncio.TimeoutError):
        return False
async def main():
    asked = [(k, h, p) for k in ("tcp", "udp") for h in ("198.51.100.1", "2001:db8:1::1")
             for p in (443, 8443)]
    print(json.dumps(await asyncio.gather(*(one(*a) for a in asked))))
asyncio.run(main())
"""


def run(*command: str, text: str | None = None) -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


class Road:
    """A client, a router and a host, each in its own network namespace."""

    def __init__(self) -> None:
        tag = f"{random.randrange(1 << 32):08x}"
        self.names = {name: f"sslint-{name[0]}{tag}" for name in ("host", "router", "client")}
        self.server: subprocess.Popen[str] | None = None

    def build(self) -> None:
        for name in self.names.values():
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        for (one, a), (other, b) in ((("host", "eth0"), ("router", "near")),
                                     (("client", "eth0"), ("router", "far"))):  # fmt: skip
            run("ip", "-n", self.names[one], "link", "add", a, "type", "veth",
                "peer", "name", b, "netns", self.names[other])  # fmt: skip
        for (where, interface), addresses in LINKS.items():
            space = self.names[where]
            self.sysctl(where, f"net.ipv6.conf.{interface}.accept_dad", "0")
            run("ip", "-n", space, "link", "set", interface, "up")
            for address in addresses:
                nodad = ("nodad",) if ":" in address else ()
                run("ip", "-n", space, "addr", "add", address, "dev", interface, *nodad)
        # A router advertises its link-local address, so that is what hosts send to (RFC 4861).
        run("ip", "-n", self.names["router"], "addr", "add", "fe80::1/64", "dev", "near", "nodad")
        for where, via in (
            ("host", ("198.51.100.2", "fe80::1")),
            ("client", ("203.0.113.1", "2001:db8:2::1")),
        ):
            for address in via:
                route = ("route", "add", "default", "via", address, "dev", "eth0")
                run("ip", "-n", self.names[where], *route)
        self.sysctl("router", "net.ipv4.ip_forward", "1")
        self.sysctl("router", "net.ipv6.conf.all.forwarding", "1")
        # What the host sends again for an earlier ruleset would teach the router its neighbour.
        for name, value in (("synack_retries", "0"), ("orphan_retries", "1"), ("retries2", "1")):
            self.sysctl("host", f"net.ipv4.tcp_{name}", value)
        self.server = subprocess.Popen(
            ["ip", "netns", "exec", self.names["host"], sys.executable, "-c", SERVER],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.server.stdout is not None
        assert self.server.stdout.readline() == "ready\n"

    def sysctl(self, where: str, name: str, value: str) -> None:
        run("ip", "netns", "exec", self.names[where], "sysctl", "-qw", f"{name}={value}")

    def load(self, rules: str) -> None:
        space = self.names["host"]
        run("ip", "netns", "exec", space, "nft", "flush", "ruleset")
        run("ip", "netns", "exec", space, "nft", "-f", "-", text=rules)
        for where in ("host", "router"):
            run("ip", "-n", self.names[where], "neigh", "flush", "all")

    def connect(self) -> dict[tuple[str, int, int], bool]:
        out = run("ip", "netns", "exec", self.names["client"], sys.executable, "-c", CLIENT)
        asked = [(k, f, p) for k in ("tcp", "udp") for f in (4, 6) for p in PORTS]
        return dict(zip(asked, json.loads(out), strict=True))

    def remove(self) -> None:
        if self.server is not None:
            with self.server:  # which closes its pipe
                self.server.kill()
        for name in self.names.values():
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


@pytest.fixture(scope="module")
def road() -> Iterator[Road]:
    made = Road()
    try:
        made.build()
        time.sleep(0.2)
        yield made
    finally:
        made.remove()


INPUT = (
    "ct state established,related accept", "ct state invalid drop", "ct state new drop",
    "th dport { 443, 8443 } accept", "tcp dport 443 accept", "th dport 8443 accept",
    "ct status dnat accept", "meta mark 7 accept", "ct mark 9 accept", "ct state untracked accept",
    "meta l4proto ipv6-icmp accept",
    "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept",
    "icmpv6 type nd-neighbor-solicit accept", "icmpv6 type nd-neighbor-advert accept",
    "ip6 saddr fe80::/10 accept", "ip6 hoplimit 255 meta l4proto icmpv6 accept",
    "ct direction reply drop", "ct original proto-dst 443 accept", "tcp flags syn / syn,ack accept",
    "tcp flags & (fin|syn|rst|ack) == ack accept", "ct status assured accept",
    "ct status confirmed accept", "fib daddr type local th dport 443 accept",
)  # fmt: skip
OUTPUT = (
    "ct state established,related accept", "ct state invalid drop", "ct state new accept",
    "th sport 443 accept", "th sport 8443 accept", "ct state untracked accept",
    "meta l4proto ipv6-icmp accept", "icmpv6 type nd-neighbor-advert accept",
    "icmpv6 type nd-neighbor-solicit accept", "ct direction reply accept", "ct mark 9 accept",
    "ct original proto-dst 443 accept", "ct status dnat accept", "oifname eth0 accept",
)  # fmt: skip


SYNPROXY = tuple(
    f"{match} synproxy mss 1460 wscale 7 timestamp sack-perm"
    for match in (
        "tcp dport 443 ct state invalid,untracked", "tcp dport { 443, 8443 } ct state untracked",
        "meta l4proto tcp ct state { invalid, untracked }", "iifname eth0 tcp dport 443",
        "tcp dport 443", "tcp dport 443 tcp flags syn", "tcp dport 443 ct state new",
        "ip saddr 203.0.113.0/24 tcp dport 443 ct state invalid,untracked",
    )
)  # fmt: skip
BESIDE = ("iif lo accept", "iif lo tcp dport 443 ct state new accept", "tcp dport 443 accept",
          "iif lo drop", "ct state established accept")  # fmt: skip


def ruleset(rnd: random.Random, *, synproxy: bool = False) -> str:
    """Return random rules in which most connections succeed; with `synproxy` by way of it."""

    def some(rules: tuple[str, ...], least: int, most: int) -> list[str]:
        return rnd.sample(rules, rnd.randint(least, most))

    def base(name: str, hook: str, priority: int, rules: list[str], policy: str = "accept",
             kind: str = "filter") -> str:  # fmt: skip
        body = "".join(f"  {rule}\n" for rule in rules)
        return (
            f" chain {name} {{\n  type {kind} hook {hook} priority {priority}; policy {policy};\n"
            f"{body} }}\n"
        )

    chains = []
    if synproxy and rnd.random() < 0.8:
        matches = ("tcp dport 443 tcp flags syn", "tcp flags syn", "tcp dport 443",
                   "iifname eth0 tcp dport { 443, 8443 } tcp flags syn / syn,ack")  # fmt: skip
        chains.append(base("raw", "prerouting", -300, [f"{rnd.choice(matches)} notrack"]))
    elif rnd.random() < 0.35:
        matches = ("th dport 443", "tcp dport { 443, 8443 }", "udp dport 443", "meta l4proto tcp")
        chains.append(base("raw", "prerouting", -300, [f"{rnd.choice(matches)} notrack"]))
    if rnd.random() < 0.3:
        matches = ("th sport 443", "tcp sport { 443, 8443 }", "udp sport 443")
        chains.append(base("rawout", "output", -300, [f"{rnd.choice(matches)} notrack"]))
    if rnd.random() < 0.4:
        marks = ("th dport 443 meta mark set 7", "ct state new ct mark set 9",
                 "meta mark set ct mark", "ct mark 9 meta mark set 7")  # fmt: skip
        chains.append(base("mangle", "prerouting", -150, rnd.sample(marks, 2)))
    if rnd.random() < 0.4:
        targets = ("tcp dport 443 redirect to :8443", "udp dport 443 redirect to :8443",
                   "meta nfproto ipv4 tcp dport 443 redirect to :8443",
                   "tcp dport 8443 redirect to :443",
                   f"meta nfproto ipv4 tcp dport 443 dnat ip to {HOST4}:8443")  # fmt: skip
        chains.append(base("nat", "prerouting", -100, [rnd.choice(targets)], kind="nat"))
    sound = [INPUT[0], INPUT[10]] if rnd.random() < 0.6 else []
    rules = sound + some(INPUT, 2, 8)
    if rnd.random() < 0.5:
        rnd.shuffle(rules)
    if synproxy:
        rules = some(INPUT, 0, 3) + some(BESIDE, 0, 2) + some(SYNPROXY, 1, 2) + [INPUT[1]] + rules
        if rnd.random() < 0.8:
            rules = [*sound, BESIDE[rnd.randrange(2)], *rules]
    chains.append(base("input", "input", 0, rules, rnd.choice(("drop", "drop", "accept"))))
    if rnd.random() < 0.5:
        policy = rnd.choice(("drop", "accept"))
        chains.append(base("output", "output", 0, some(OUTPUT, 1, 6), policy))
    if rnd.random() < 0.2:
        rule = f"th sport {rnd.choice(PORTS)} drop"
        chains.append(base("post", "postrouting", rnd.choice((50, 150)), [rule]))
    text = f"table inet t {{\n{''.join(chains)}}}\n"
    if rnd.random() < 0.15:
        hook = rnd.choice(("ingress", "egress"))
        kept = rnd.choice(("meta protocol { ip, arp } accept", "meta protocol { ip, ip6 } accept",
                           "meta protocol { ip, ip6, arp } accept",
                           "meta l4proto tcp accept"))  # fmt: skip
        text += (
            f"table netdev n {{\n chain c {{\n  type filter hook {hook} device eth0 priority 0; "
            f"policy drop;\n  {kept}\n }}\n}}\n"
        )
    return text


def judged(rules: str, loose: bool | None = None) -> Firewall:
    read = Ruleset()
    nftables.read(tree_of({"/etc/nftables.conf": rules}), "/etc/nftables.conf", read)
    known = network(public="eth0", interfaces={"eth0": (f"{HOST4}/24", f"{HOST6}/64")})
    return Firewall(read, replace(known, tcp_loose=loose))


def verdict(firewall: Firewall, transport: Any, family: int, port: int) -> tuple[str, Reach]:
    """Return what is said of the client's own address."""
    reach = firewall.reach_outer(transport, port, 4 if family == 4 else 6)
    client = firewall.universes[family].bit(parse("203.0.113.2" if family == 4 else CLIENT6)[1])
    for answer, sources in (("open", reach.opened), ("closed", reach.shut)):
        if sources is not None and sources.mask & client:
            return answer, reach
    return "unknown", reach


@pytest.mark.parametrize("synproxy", [False, True], ids=["plain", "synproxy"])
def test_reach_is_what_clients_get(road: Road, synproxy: bool) -> None:
    counts = {"open": 0, "closed": 0, "unknown": 0}
    for number in range(ROUNDS):
        rnd = random.Random(f"{SEED} {number}")
        rules = ruleset(rnd, synproxy=synproxy)
        loose = rnd.random() < (0.25 if synproxy else 0.8)
        road.load(rules)
        road.sysctl("host", "net.netfilter.nf_conntrack_tcp_loose", str(int(loose)))
        firewall = judged(rules, loose)
        connections = road.connect()
        for (transport, family, port), connected in connections.items():
            answer, reach = verdict(firewall, transport, family, port)
            counts[answer] += 1
            if answer != "unknown":
                if connected != (answer == "open"):  # a busy machine is late, or has late packets
                    time.sleep(2)
                    road.load(rules)
                    connected = road.connect()[transport, family, port]
                told = f"SSLINT_SEED={SEED}, {number}: {transport}/{port} over IPv{family}"
                assert connected == (answer == "open"), f"{told}: {reach}\n{rules}"
    print(counts)
    assert min(counts["open"], counts["closed"]) > ROUNDS / 2
    assert counts["unknown"] <= len(PORTS) * 4 * at_most(0.1, ROUNDS)


def test_a_router_remembers_a_host_that_talks(road: Road) -> None:
    """Without solicitations a host is found after it has looked for the router, and not before."""
    rules = (
        "table inet t {\n chain i {\n  type filter hook input priority 0; policy drop;\n"
        "  ct state established accept\n  icmpv6 type nd-neighbor-advert accept\n"
        "  tcp dport 443 accept\n }\n}\n"
    )
    assert verdict(judged(rules), "tcp", 6, 443)[0] == "unknown"
    road.load(rules)
    assert not road.connect()["tcp", 6, 443]
    road.load(rules)
    said = f"import socket; socket.socket(10, 2).sendto(b'x', ('{CLIENT6}', 9))"
    run("ip", "netns", "exec", road.names["host"], sys.executable, "-c", said)
    time.sleep(0.5)
    assert road.connect()["tcp", 6, 443]
