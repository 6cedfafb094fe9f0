"""Clients that do as they are told and do not get there.

Where only what they are told is changed, they ask the sound host, whose servers are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.live.evidence import trees
from tests.live.evidence.announced import Server, addresses, autoconfig, service
from tests.live.evidence.clients import SILENCE, connect, handshake
from tests.live.evidence.conftest import Start
from tests.live.evidence.lab import Host
from tests.live.evidence.trees import edits

pytestmark = pytest.mark.live("ip", "unshare", "openssl", "nft", "nginx", "postfix", "dovecot")
Sound = Callable[[str], Host]


def test_client_port_not_served(tmp_path: Path, sound: Sound, changed: Start, root: Path) -> None:
    rule, well = "client-port-not-served", sound("mail-announced")
    record = edits(rule, "an SRV record for a port that is not served")
    told = trees.changed(rule, "mail-announced", record, True, tmp_path / "told")
    name, port = service(told, "_pop3s._tcp")
    assert {well.outside(connect, each, port) for each in _both(told, name)} == {"timed out"}

    opened = {"in": "etc/nftables.conf", "replace": "587, 993", "by": "587, 993, 995"}
    host = changed(rule, "mail-announced", (*record, opened), 993)
    assert {host.outside(connect, each, port) for each in _both(told, name)} == {"ECONNREFUSED"}

    name, port = service(well.root, "_imaps._tcp")
    for address in _both(well.root, name):
        assert well.outside(handshake, address, port, name, root) == "OK"


def test_client_socket_type_mismatch(tmp_path: Path, sound: Sound, root: Path) -> None:
    rule, well = "client-socket-type-mismatch", sound("mail-announced")
    for case, said in (("STARTTLS on 465", "timed out"), ("SSL on 587", "wrong version number")):
        told = trees.changed(rule, "mail-announced", edits(rule, case), True, tmp_path / case)
        imap, smtp = autoconfig(told)
        assert _follow(well, imap, root) == "OK"
        assert _follow(well, smtp, root) == said
    assert [_follow(well, server, root) for server in autoconfig(well.root)] == ["OK", "OK"]


def _both(root: Path, name: str) -> list[str]:
    return [*addresses(root, name, "A"), *addresses(root, name, "AAAA")]


def _follow(host: Host, server: Server, root: Path) -> str:
    """Connect as a server's description says."""
    [address] = addresses(host.root, server.host, "A")
    starttls = server.type if server.security == "STARTTLS" else ""
    return host.outside(
        handshake, address, server.port, server.host, root, starttls=starttls, patience=SILENCE
    )
