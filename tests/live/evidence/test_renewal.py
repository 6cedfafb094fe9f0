"""Certificates that will not be renewed, or are and nobody sees it."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from tests.cases import SOUND
from tests.live.evidence import certbot
from tests.live.evidence.certbot import PROOF, http01
from tests.live.evidence.clients import served
from tests.live.evidence.conftest import Start
from tests.live.evidence.lab import ELSEWHERE, Host, until
from tests.live.evidence.trees import certificate, edits
from tests.live.hosts.lab import CLIENT, HOST

pytestmark = pytest.mark.live(
    "ip", "unshare", "nsenter", "openssl", "nft", "nginx", "postfix", "dovecot"
)
Sound = Callable[[str], Host]
WWW, MAIL = "www.example.org", "mail.example.org"


def test_acme_http01_port_closed(sound: Sound, changed: Start) -> None:
    rule = "acme-http01-port-closed"
    host = changed(rule, "web-certbot", edits(rule, "80 is not accepted"), 80)
    assert http01(host, WWW) == (0, "timed out")
    assert http01(sound("web-certbot"), WWW) == (200, PROOF)

    office = changed(rule, "web-certbot", edits(rule, "80 is open to an office alone"), 80)
    assert http01(office, WWW, CLIENT[4]) == (200, PROOF)
    assert http01(office, WWW, ELSEWHERE) == (0, "timed out")
    assert http01(sound("web-certbot"), WWW, ELSEWHERE) == (200, PROOF)


def test_standalone_port_conflict(sound: Sound, changed: Start) -> None:
    rule = "standalone-port-conflict"
    host = changed(rule, "web-certbot", edits(rule, "nginx has port 80"), 80)
    with pytest.raises(OSError, match="in use") as raised:
        http01(host, WWW)
    assert raised.value.errno == errno.EADDRINUSE
    assert http01(sound("web-certbot"), WWW) == (200, PROOF)

    one_family = {"in": "etc/nginx/nginx.conf", "replace": "listen [::]:80;", "by": ""}
    changes = (one_family, *edits(rule, "nginx has port 80"))
    half = changed(rule, "web-certbot", changes, 80)
    assert http01(half, WWW)[0] == 404  # certbot has [::]:80, and nginx answers over IPv4

    stops = (
        {
            "in": f"etc/letsencrypt/renewal/{WWW}.conf",
            "replace": "authenticator = webroot",
            "by": "authenticator = standalone\n"
            "pre_hook = systemctl stop nginx\npost_hook = systemctl start nginx",
        },
    )
    hooked = changed(rule, "web-certbot", stops, 80, fires=False)
    assert http01(hooked, WWW) == (200, PROOF)


def test_webroot_mismatch(sound: Sound, changed: Start) -> None:
    rule = "webroot-mismatch"
    host = changed(rule, "web-certbot", edits(rule, "nginx serves another directory"), 80)
    status, text = http01(host, WWW)
    assert status == 404
    assert PROOF not in text
    assert http01(sound("web-certbot"), WWW) == (200, PROOF)


def test_renewal_no_reload(changed: Start) -> None:
    rule = "renewal-no-reload"
    host = changed(rule, "web-certbot", edits(rule, "no hook"), 443)
    _sees_only_a_reload(host, "nginx", WWW, 443)
    well = changed(rule, "web-certbot", (), 443, fires=False)
    _sees_the_renewal(well, WWW, 443)


def test_renewal_no_reload_of_dovecot(changed: Start) -> None:
    rule, conf = "renewal-no-reload", f"etc/letsencrypt/renewal/{MAIL}.conf"
    text = (SOUND / f"web-certbot/etc/letsencrypt/renewal/{WWW}.conf").read_text()
    text = text.replace(WWW, MAIL).replace("= webroot", "= dns-rfc2136")
    nginx, both = (
        text.replace("key_type", f"renew_hook = {hook}\nkey_type")
        for hook in ("systemctl reload nginx", "systemctl reload nginx && systemctl reload dovecot")
    )
    host = changed(rule, "mail-announced", ({"write": conf, "text": nginx},), 993)
    _sees_only_a_reload(host, "dovecot", MAIL, 993)
    well = changed(rule, "mail-announced", ({"write": conf, "text": both},), 993, fires=False)
    _sees_the_renewal(well, MAIL, 993)


def test_lineage_mismatch(changed: Start) -> None:
    rule = "lineage-mismatch"
    changes = (certificate("old.example.org", WWW), *edits(rule, "certbot renews another lineage"))
    host = changed(rule, "web-certbot", changes, 443)
    old, workers = _served(host, 443), certbot.workers(host)
    new = certbot.renew(host, WWW)
    certbot.until_reloaded(host, workers)
    assert _served(host, 443) == old
    assert old not in new

    well = changed(rule, "web-certbot", (), 443, fires=False)
    _sees_the_renewal(well, WWW, 443)


def _sees_only_a_reload(host: Host, server: str, name: str, port: int) -> None:
    old = _served(host, port)
    new = certbot.renew(host, name)
    assert _served(host, port) == old
    certbot.reload(host, server)  # nothing else is missing
    until(lambda: _served(host, port) in new)


def _sees_the_renewal(host: Host, name: str, port: int) -> None:
    old = _served(host, port)
    new = certbot.renew(host, name)
    assert old not in new
    until(lambda: _served(host, port) in new)


def _served(host: Host, port: int) -> str:
    return host.outside(served, HOST[4], port)
