"""Rules that do not do what they seem to: the kernel counts who gets where."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from tests.live.evidence.clients import connect, handshake
from tests.live.evidence.conftest import Start
from tests.live.evidence.lab import Host
from tests.live.evidence.trees import edits
from tests.live.hosts.lab import HOST
from tests.live.kernel.lab import namespace, run

pytestmark = pytest.mark.live(
    "ip", "unshare", "nsenter", "openssl", "iptables-nft-restore", "ufw", "nginx"
)
Sound = Callable[[str], Host]
FOUR = HOST[4]
# What the Docker daemon sets up for its default bridge, and for each published port.
BRIDGE = """\
ip link add docker0 type bridge
ip address add 172.17.0.1/16 dev docker0
ip link set docker0 up
ip link add veth0 type veth peer name eth0 netns {container}
ip link set veth0 master docker0 up
sysctl -qw net.ipv4.ip_forward=1
iptables -t nat -N DOCKER
iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
iptables -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
iptables -N DOCKER
iptables -I FORWARD -o docker0 -j DOCKER
iptables -I FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
iptables -I FORWARD -i docker0 ! -o docker0 -j ACCEPT
"""
PUBLISH = """\
iptables -t nat -A DOCKER -d {to} ! -i docker0 -p tcp --dport {outer} -j DNAT --to {inner}
iptables -A DOCKER -d 172.17.0.2 ! -i docker0 -o docker0 -p tcp --dport {port} -j ACCEPT
"""
INSIDE = """\
ip address add 172.17.0.2/16 dev eth0
ip link set eth0 up
ip route add default via 172.17.0.1
"""


def test_docker_bypasses_firewall(changed: Start) -> None:
    rule = "docker-bypasses-firewall"
    [published] = edits(rule, "a port is published")
    host = changed(rule, "web-ufw", (published,), 443)
    with _container(host, published["text"], 5432), _listener(host, 5432):
        assert host.outside(connect, FOUR, 5432) == "connected"

    loopback = published["text"].replace("5432:5432", "127.0.0.1:5432:5432")
    kept = changed(rule, "web-ufw", ({**published, "text": loopback},), 443, fires=False)
    with _container(kept, loopback, 5432), _listener(kept, 5432):
        assert kept.outside(connect, FOUR, 5432) == "timed out"  # INPUT decides


def test_shadowed_accept(sound: Sound, changed: Start, root: Path) -> None:
    rule = "shadowed-accept"
    host = changed(rule, "web-iptables", edits(rule, "appended after the catch-all"), 443)
    assert host.outside(connect, FOUR, 443) == "EHOSTUNREACH"
    rules = host.run("iptables-nft-save", "-c").splitlines()
    assert "[0:0] -A INPUT -p tcp -m tcp --dport 443 -j ACCEPT" in rules
    reject = "-A INPUT -j REJECT --reject-with icmp-host-prohibited"
    assert any(line.endswith(reject) and not line.startswith("[0:0]") for line in rules)
    assert sound("web-iptables").outside(handshake, FOUR, 443, "shop.example.org", root) == "OK"


@contextlib.contextmanager
def _container(host: Host, compose: str, port: int) -> Iterator[None]:
    """Run a container that listens, its ports published as the compose file says."""
    with ThreadPoolExecutor(1) as container:
        container.submit(namespace).result()
        with container.submit(open, "/proc/thread-self/ns/net").result() as there:
            path = f"/proc/{os.getpid()}/fd/{there.fileno()}"
            host.inside(_commands, BRIDGE.format(container=path) + _publications(compose))
        container.submit(_commands, INSIDE).result()
        with container.submit(socket.create_server, ("", port)).result():
            yield


def _publications(compose: str) -> str:
    """Return what Docker does to publish the ports of a compose file."""
    commands = ""
    for service in yaml.safe_load(compose)["services"].values():
        for entry in service["ports"]:
            *address, outer, port = entry.split(":")
            to, inner = (address or ["0.0.0.0/0"])[0], f"172.17.0.2:{port}"
            commands += PUBLISH.format(to=to, outer=outer, inner=inner, port=port)
    return commands


def _commands(lines: str) -> None:
    for line in lines.splitlines():
        run(*line.split())


@contextlib.contextmanager
def _listener(host: Host, port: int) -> Iterator[None]:
    """Listen on the host itself, so that a silence is the firewall's."""
    with host.inside(socket.create_server, ("", port)):
        assert host.inside(connect, "127.0.0.1", port) == "connected"
        yield
