"""Certificates that clients refuse: openssl verifies them against the root alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.live.evidence.announced import addresses, service
from tests.live.evidence.clients import anonymous, connect, handshake
from tests.live.evidence.conftest import Start
from tests.live.evidence.lab import Host
from tests.live.evidence.trees import MAIL_NAMES, certificate, edits
from tests.live.hosts.lab import HOST

pytestmark = pytest.mark.live("ip", "unshare", "openssl", "nft", "nginx", "postfix", "dovecot")
Sound = Callable[[str], Host]
FOUR = HOST[4]
WWW, BARE, MAIL = "www.example.org", "example.org", "mail.example.org"


def test_cert_expired(sound: Sound, changed: Start, root: Path) -> None:
    host = changed("cert-expired", "web-nftables", edits("cert-expired", "expired yesterday"), 443)
    assert host.outside(handshake, FOUR, 443, WWW, root) == "certificate has expired"
    assert sound("web-nftables").outside(handshake, FOUR, 443, WWW, root) == "OK"


def test_cert_name_mismatch(sound: Sound, changed: Start, root: Path) -> None:
    rule = "cert-name-mismatch"
    host = changed(rule, "web-nftables", edits(rule, "a name is missing"), 443)
    assert host.outside(handshake, FOUR, 443, BARE, root) == "hostname mismatch"
    assert sound("web-nftables").outside(handshake, FOUR, 443, BARE, root) == "OK"

    changes = edits(rule, "a wildcard stands for one label")
    wildcard = changed(rule, "web-nftables", changes, 443)
    assert wildcard.outside(handshake, FOUR, 443, f"a.{WWW}", root) == "hostname mismatch"
    assert wildcard.outside(handshake, FOUR, 443, WWW, root) == "OK"


def test_mail_host_not_in_cert(sound: Sound, changed: Start, root: Path) -> None:
    rule = "mail-host-not-in-cert"
    host = changed(rule, "mail-announced", edits(rule, "SRV alone"), 465, 587, 993)
    for record, starttls in (("_imaps", ""), ("_submissions", ""), ("_submission", "smtp")):
        name, port = service(host.root, f"{record}._tcp")
        [address] = addresses(host.root, name, "A")
        asked = (address, port, name, root)
        assert host.outside(handshake, *asked, starttls=starttls) == "hostname mismatch"
        assert sound("mail-announced").outside(handshake, *asked, starttls=starttls) == "OK"


def test_chain_incomplete(sound: Sound, changed: Start, root: Path) -> None:
    rule, refused = "chain-incomplete", "unable to get local issuer certificate"
    host = changed(rule, "web-nftables", edits(rule, "the leaf alone"), 443)
    assert host.outside(handshake, FOUR, 443, WWW, root) == refused
    assert sound("web-nftables").outside(handshake, FOUR, 443, WWW, root) == "OK"

    for case in (
        "Postfix alone completes the chain",
        "Postfix finds the issuer by its hash, and the others send none of what they trust",
    ):
        mail = changed(rule, "mail-announced", edits(rule, case), 443, 465, 587, 993)
        for port in (443, 993):
            assert mail.outside(handshake, FOUR, port, MAIL, root) == refused
            assert sound("mail-announced").outside(handshake, FOUR, port, MAIL, root) == "OK"
        assert mail.outside(handshake, FOUR, 465, MAIL, root) == "OK"
        assert mail.outside(handshake, FOUR, 587, MAIL, root, starttls="smtp") == "OK"


def test_key_mismatch(sound: Sound, changed: Start, root: Path) -> None:
    rule = "key-mismatch"
    host = changed(rule, "web-nftables", edits(rule, "another key"))
    host.until_logged("key values mismatch")
    assert host.outside(connect, FOUR, 443) == "ECONNREFUSED"

    changes = edits(rule, "a key of another algorithm, which nginx -t passes")
    starts = changed(rule, "web-nftables", changes, 443)
    starts.run("nginx", "-t")
    assert "alert handshake failure" in starts.outside(handshake, FOUR, 443, WWW, root)
    assert sound("web-nftables").outside(handshake, FOUR, 443, WWW, root) == "OK"

    changes = (certificate(MAIL, *MAIL_NAMES, key="other"),)
    mail = changed(rule, "mail-announced", changes, 465, 587, 993)
    for port, starttls, said in (
        (993, "", "closed"),
        (465, "", "closed"),
        (587, "smtp", "wrong version number"),  # STARTTLS is offered, and answered with 454
    ):
        asked = (FOUR, port, MAIL, root)
        assert mail.outside(handshake, *asked, starttls=starttls) == said
        assert sound("mail-announced").outside(handshake, *asked, starttls=starttls) == "OK"


def test_tls_listener_no_certificate(sound: Sound, changed: Start, root: Path) -> None:
    """Without a certificate TLS works for mail servers alone, and only if that is said."""
    rule, named = "tls-listener-no-certificate", "smtpd_tls_cert_file = /etc/letsencrypt/live/"
    changes = edits(rule, "Postfix announces STARTTLS and has none")
    host = changed(rule, "mail-announced", changes, 25, 465)
    assert host.outside(handshake, FOUR, 25, MAIL, root, starttls="smtp") == "wrong version number"

    none = {"in": "etc/postfix/main.cf", "replace": f"{named}{MAIL}/fullchain.pem", "by": ""}
    changes = ({**none, "by": "smtpd_tls_cert_file = none"},)
    host = changed(rule, "mail-announced", changes, 25, 465)
    refused = "ssl/tls alert handshake failure"
    assert host.outside(handshake, FOUR, 25, MAIL, root, starttls="smtp") == refused
    assert host.outside(handshake, FOUR, 465, MAIL, root) == refused
    assert "ADH" in host.outside(anonymous, FOUR, 25, MAIL)
    assert sound("mail-announced").outside(handshake, FOUR, 465, MAIL, root) == "OK"
