"""What does not reach a TLS port times out, is turned away, or finds nobody."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.live.evidence.announced import addresses
from tests.live.evidence.clients import SILENCE, connect, handshake
from tests.live.evidence.conftest import Start
from tests.live.evidence.lab import Host
from tests.live.evidence.trees import edits
from tests.live.hosts.lab import HOST

pytestmark = pytest.mark.live(
    "ip", "unshare", "openssl", "nft", "iptables-nft-restore", "nginx", "postfix", "dovecot"
)
Sound = Callable[[str], Host]
FOUR, SIX = HOST[4], HOST[6]


def test_tls_port_closed(sound: Sound, changed: Start, root: Path) -> None:
    rule, name = "tls-port-closed", "www.example.org"
    dropped = changed(
        rule, "web-nftables", edits(rule, "443 is not accepted and the policy drops it"), 443
    )
    assert dropped.outside(connect, FOUR, 443) == "timed out"
    assert dropped.inside(handshake, FOUR, 443, name, root) == "OK"  # nginx itself is well
    assert sound("web-nftables").outside(handshake, FOUR, 443, name, root) == "OK"

    rejected = changed(rule, "web-iptables", edits(rule, "a reject is a refusal"), 443)
    assert rejected.outside(connect, FOUR, 443) == "EHOSTUNREACH"  # icmp-host-prohibited
    assert rejected.outside(connect, SIX, 443) == "EACCES"  # icmp6-adm-prohibited
    name = "shop.example.org"
    assert sound("web-iptables").outside(handshake, FOUR, 443, name, root) == "OK"
    assert sound("web-iptables").outside(handshake, SIX, 443, name, root) == "OK"


def test_tls_port_closed_ipv6(sound: Sound, changed: Start, root: Path) -> None:
    rule = "tls-port-closed-ipv6"
    rejected = changed(rule, "web-iptables", edits(rule, "rules.v6 lacks the accept"), 443)
    assert rejected.outside(connect, SIX, 443) == "EACCES"
    assert rejected.outside(handshake, FOUR, 443, "shop.example.org", root) == "OK"
    assert sound("web-iptables").outside(handshake, SIX, 443, "shop.example.org", root) == "OK"

    dropped = changed(rule, "web-nftables", edits(rule, "nftables accepts for IPv4 alone"), 443)
    assert dropped.outside(connect, SIX, 443) == "timed out"
    assert dropped.outside(handshake, FOUR, 443, "www.example.org", root) == "OK"
    assert sound("web-nftables").outside(handshake, SIX, 443, "www.example.org", root) == "OK"


def test_aaaa_without_listener(sound: Sound, changed: Start, root: Path) -> None:
    rule, name = "aaaa-without-listener", "mail.example.org"
    web = changed(rule, "mail-announced", edits(rule, "nginx listens over IPv4 alone"), 443)
    [four], [six] = addresses(web.root, name, "A"), addresses(web.root, name, "AAAA")
    assert web.outside(connect, six, 443) == "ECONNREFUSED"
    assert web.outside(handshake, four, 443, name, root) == "OK"
    assert sound("mail-announced").outside(handshake, six, 443, name, root) == "OK"

    mail = changed(rule, "mail-announced", edits(rule, "Postfix speaks IPv4 alone"), 25)
    assert mail.outside(connect, six, 25) == "ECONNREFUSED"
    assert mail.outside(connect, four, 25) == "connected"
    assert sound("mail-announced").outside(connect, six, 25) == "connected"


def test_quic_udp_closed(sound: Sound, changed: Start, root: Path) -> None:
    rule, name = "quic-udp-closed", "www.example.org"
    closed = changed(rule, "web-nftables", edits(rule, "the firewall opens TCP alone"), 443)
    assert (
        closed.outside(handshake, FOUR, 443, name, root, quic=True, patience=SILENCE) == "timed out"
    )
    assert closed.outside(handshake, FOUR, 443, name, root) == "OK"  # HTTP/2 is left
    for address in (FOUR, SIX):
        assert sound("web-nftables").outside(handshake, address, 443, name, root, quic=True) == "OK"
