"""What the real ipset saves and holds, against what is read from its text."""

from __future__ import annotations

import os
import random
import shutil
import subprocess

import pytest

from sslint.firewalls import ipset, iptables
from sslint.netfilter.model import Ruleset
from sslint.netfilter.reach import Firewall
from sslint.netfilter.trace import Packet, judge
from sslint.source import SourceFile
from tests.firewalls.test_ipset import OTHER_FAMILY, SIZES

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(
        os.geteuid() != 0 or shutil.which("ipset") is None,
        reason="needs root and ipset: apt-get install ipset",
    ),
]

EVERY_TYPE = """create ip hash:ip timeout 600 comment counters
add ip 192.0.2.1 timeout 60 comment "a b nomatch"
add ip 192.0.2.16/30
create ip6 hash:ip family inet6
add ip6 2001:db8::1
create masked hash:ip netmask 24
add masked 192.0.2.77
create net hash:net
add net 192.0.2.0/24
add net 192.0.2.128/25 nomatch
create ipport hash:ip,port
add ipport 192.0.2.1,443
add ipport 192.0.2.1,udp:53
add ipport 192.0.2.1,icmp:ping
create netport hash:net,port
add netport 192.0.2.0/24,tcp:80
create netnet hash:net,net
add netnet 192.0.2.0/24,198.51.100.0/24
create ipportip hash:ip,port,ip
add ipportip 192.0.2.1,tcp:80,198.51.100.1
create ipportnet hash:ip,port,net
add ipportnet 192.0.2.1,tcp:80,198.51.100.0/24
create netportnet hash:net,port,net
add netportnet 192.0.2.0/24,tcp:80,198.51.100.0/24
create netiface hash:net,iface
add netiface 192.0.2.0/24,eth0
create mac hash:mac
add mac 00:11:22:33:44:55
create ipmac hash:ip,mac
add ipmac 192.0.2.1,00:11:22:33:44:55
create ipmark hash:ip,mark
add ipmark 192.0.2.1,0x10
create bitip bitmap:ip range 192.0.2.0/24
add bitip 192.0.2.5-192.0.2.7
create bitmac bitmap:ip,mac range 192.0.2.0/24
add bitmac 192.0.2.5,00:11:22:33:44:55
create bitport bitmap:port range 0-65535
add bitport 443-445
create list list:set
add list net
add list ip
"""


def run(script: str, text: str) -> str:
    result = subprocess.run(
        ["unshare", "-n", "bash", "-c", script],
        input=text,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return result.stdout


def read(text: str) -> Ruleset:
    ruleset = Ruleset()
    ipset.read(SourceFile("/s", "s", text), ruleset)
    return ruleset


def test_save_list_and_xml_of_every_type_are_one() -> None:
    one_by_one = "".join(  # a kernel may lack some types
        f"ipset restore 2>/dev/null <<'END' || true\ncreate {text}END\n"
        for text in EVERY_TYPE.split("create ")[1:]
    )
    outputs = [
        run(one_by_one + command, "")
        for command in ("ipset save", "ipset list", "ipset list -o xml")
    ]
    shapes = []
    for output in outputs:
        found = read(output).ipsets
        assert not [name for name, one in found.items() if one.unknown]
        shapes.append(
            {
                name: (one.keys, sorted(map(repr, one.elements)), sorted(map(repr, one.holes)))
                for name, one in found.items()
            }
        )
    assert len(shapes[0]) > EVERY_TYPE.count("create ") / 2
    assert shapes[0] == shapes[1] == shapes[2]


def networks(source: random.Random) -> str:
    length = source.choice([8, 15, 16, 17, 24, 30, 31, 32])
    octets = [10, source.randrange(2), source.randrange(3), source.randrange(256)]
    return f"{'.'.join(map(str, octets))}/{length}"


KINDS = {
    "hash:net": ("src", lambda s: networks(s), True),
    "hash:net,port": ("src,dst", lambda s: f"{networks(s)},tcp:{s.choice([80, 443])}", True),
    "hash:ip": ("src", lambda s: networks(s).partition("/")[0], False),
    "hash:ip netmask 16": ("src", lambda s: networks(s).partition("/")[0], False),
    "hash:ip,port": ("src,dst", lambda s: f"{networks(s).partition('/')[0]},tcp:80-443", False),
}


@pytest.mark.parametrize("kind", KINDS)
def test_membership_is_the_kernels(kind: str) -> None:
    source = random.Random(os.environ.get("SSLINT_SEED", "1") + kind)
    directions, element, holes = KINDS[kind]
    lines = [f"create s {kind}"]
    for _ in range(25):
        hole = " nomatch" if holes and source.random() < 0.4 else ""
        lines.append(f"add -exist s {element(source)}{hole}")
    saved = run("ipset restore && ipset save", "\n".join(lines) + "\n")
    addresses = [
        f"10.{source.randrange(2)}.{source.randrange(3)}.{source.randrange(256)}" for _ in range(60)
    ]
    queries = [(address, source.choice([80, 443])) for address in addresses]
    ported = "port" in kind
    asked = "\n".join(
        f"ipset test s {address}{f',tcp:{port}' if ported else ''} 2>/dev/null && echo y || echo n"
        for address, port in queries
    )
    answers = run(f"ipset restore\n{asked}", saved).split()
    ruleset = read(saved)
    dump = f"*filter\n:INPUT DROP\n-A INPUT -m set --match-set s {directions} -j ACCEPT\nCOMMIT\n"
    iptables.read(SourceFile("/r", "r", dump), 4, into=ruleset)
    ipset.resolve(ruleset)
    firewall = Firewall(ruleset)
    for (address, port), answer in zip(queries, answers, strict=True):
        packet = Packet("tcp", address, "198.51.100.1", 40000, port)
        wanted = "accept" if answer == "y" else "drop"
        assert judge(firewall, packet).verdict == wanted, (saved, address, port)


def status(command: str, given: str) -> bool:
    done = subprocess.run(
        ["unshare", "-n", "bash", "-c", command], input=given, capture_output=True, text=True
    )
    return done.returncode == 0


@pytest.mark.parametrize(("text", "loads"), SIZES)
def test_sizes(text: str, loads: bool) -> None:
    assert status("ipset restore", text) == loads


@pytest.mark.parametrize(("family", "kind", "rule", "refused"), OTHER_FAMILY)
@pytest.mark.parametrize("backend", ["nft", "legacy"])
def test_families(backend: str, family: int, kind: str, rule: str, refused: bool) -> None:
    tool = f"ip{'6' if family == 6 else ''}tables-{backend}-restore"
    dump = f"*filter\n-A INPUT {rule}\nCOMMIT\n"
    assert status(f"ipset create s {kind} && {tool}", dump) != refused
