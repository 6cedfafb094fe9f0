"""A port that speaks the wrong kind of TLS, or none at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.live.evidence.clients import connect, handshake, login_in_clear
from tests.live.evidence.conftest import Start
from tests.live.evidence.lab import Host
from tests.live.evidence.trees import edits
from tests.live.hosts.lab import HOST

pytestmark = pytest.mark.live(
    "ip", "unshare", "openssl", "nft", "nginx", "postfix", "dovecot", "doveadm"
)
Sound = Callable[[str], Host]
FOUR = HOST[4]
MAIL = "mail.example.org"
AUTHENTICATED, TLS_FIRST = 235, 530  # RFC 4954, RFC 3207


def test_tls_port_plaintext(sound: Sound, changed: Start, root: Path) -> None:
    rule, name = "tls-port-plaintext", "www.example.org"
    web = changed(rule, "web-nftables", edits(rule, "listen without ssl"), 443)
    assert web.outside(handshake, FOUR, 443, name, root) == "wrong version number"
    assert sound("web-nftables").outside(handshake, FOUR, 443, name, root) == "OK"

    changes = edits(rule, "465 without wrapper mode") + edits(rule, "imaps in clear")
    mail = changed(rule, "mail-announced", changes, 465, 993)
    for port in (465, 993):
        assert mail.outside(handshake, FOUR, port, MAIL, root) == "wrong version number"
        assert sound("mail-announced").outside(handshake, FOUR, port, MAIL, root) == "OK"


def test_submission_disabled(sound: Sound, changed: Start, root: Path) -> None:
    rule = "submission-disabled"
    host = changed(rule, "mail-announced", edits(rule, "465 is open and commented out"), 587)
    assert host.outside(connect, FOUR, 465) == "ECONNREFUSED"
    assert sound("mail-announced").outside(handshake, FOUR, 465, MAIL, root) == "OK"


def test_submission_tls_not_enforced(sound: Sound, changed: Start) -> None:
    rule = "submission-tls-not-enforced"
    host = changed(rule, "mail-announced", edits(rule, "may, and logins before TLS"), 587, 993)
    assert host.outside(login_in_clear, FOUR, 587) == AUTHENTICATED
    assert sound("mail-announced").outside(login_in_clear, FOUR, 587) == TLS_FIRST


def test_dovecot_24_legacy_setting(sound: Sound, changed: Start, root: Path) -> None:
    rule = "dovecot-24-legacy-setting"
    host = changed(rule, "mail-announced", edits(rule, "2.3 names in a 2.4 file"), 443)
    host.until_logged("Fatal: .*ssl_cert")
    assert host.outside(connect, FOUR, 993) == "ECONNREFUSED"
    assert sound("mail-announced").outside(handshake, FOUR, 993, MAIL, root) == "OK"
