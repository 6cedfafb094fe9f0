"""Servers of which ports and TLS are read: rules see these, and stay silent on all else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sslint.cli import main

DROP = (
    "table inet filter {\n chain input {\n  type filter hook input priority 0; policy drop;\n"
    "  ct state established,related accept\n  icmpv6 type != echo-request accept\n"
    "  tcp dport { 22, 80 } accept\n }\n}\n"
)
ACCEPT = DROP.replace("policy drop", "policy accept")
HAPROXY = "etc/haproxy/haproxy.cfg"
CADDY = "etc/caddy/Caddyfile"
EXIM = "etc/exim4/exim4.conf"
LIGHTTPD = "etc/lighttpd/lighttpd.conf"
CLOSED = (
    ("haproxy", HAPROXY, "frontend x\n bind :443 ssl crt /x.pem\n", 2, 443),
    (
        "haproxy",
        HAPROXY,
        "frontend x\n bind :443\n use_backend y if { req.ssl_sni -i a.example }\n",
        2,
        443,
    ),
    ("caddy", CADDY, "shop.example.org {\n}\n", 1, 443),
    ("stunnel", "etc/stunnel/a.conf", "[imaps]\naccept = 993\nconnect = 143\n", 2, 993),
    ("stunnel", "etc/stunnel/a.conf", "[x]\naccept = 25\nprotocol = smtp\n", 2, 25),
    ("exim", EXIM, "daemon_smtp_ports = 465\ntls_on_connect_ports = 465\n", 1, 465),
    ("exim", EXIM, "daemon_smtp_ports = 25\n", 1, 25),
    ("lighttpd", LIGHTTPD, 'server.port = 443\nssl.engine = "enable"\n', 1, 443),
    (
        "cyrus",
        "etc/cyrus.conf",
        'SERVICES {\n imaps cmd="imapd -s" listen="imaps"\n}\n',
        2,
        993,
    ),
)
SILENT = (
    (HAPROXY, "frontend x\n bind :443\n"),
    (HAPROXY, "frontend x\n bind :443 ssl crt /x.pem\n"),
    (HAPROXY, "frontend x\n bind :443 ssl crt /x.pem accept-proxy\n"),
    (HAPROXY, "frontend x\n mode http\n bind :80\n redirect scheme https\n"),
    (HAPROXY, "frontend x\n bind quic4@:443 ssl crt /x.pem\n bind :443 ssl crt /x.pem\n"),
    (HAPROXY, "frontend x\n bind :993\n bind :143\n"),
    (HAPROXY, "frontend x\n.if 0\n mode http\n bind :443\n.endif\n"),
    (CADDY, "shop.example.org {\n}\n"),
    (CADDY, ":8443 {\n import other\n}\n"),
    (CADDY, "{\n servers {\n  protocols h3\n }\n}\na.example.org {\n}\n"),
    ("etc/stunnel/a.conf", "[imaps]\naccept = 993\nconnect = 143\n"),
    ("etc/stunnel/a.conf", "client = yes\n[x]\naccept = 25\nconnect = mx.example.org:465\n"),
    (EXIM, "daemon_smtp_ports = 25 : 465 : 587\ntls_on_connect_ports = 465\n"),
    (EXIM, "tls_advertise_hosts = 192.0.2.0/24\n"),
    (EXIM, ".include /etc/exim4/tls\n.ifdef _HAVE_X\ndaemon_smtp_ports = 465\n.endif\n"),
    ("etc/exim4/update-exim4.conf.conf", "dc_local_interfaces=''\n"),
    ("etc/exim4/update-exim4.conf.conf", "dc_local_interfaces='127.0.0.1 ; ::1'\n"),
    (LIGHTTPD, 'server.port = 443\ninclude "tls.conf"\n'),
    (LIGHTTPD, 'server.port = 443\nssl.engine = "enable"\n'),
    (
        "etc/cyrus.conf",
        'SERVICES {\n a cmd="imapd" listen="imap"\n b cmd="pop3d" listen="pop3"\n}\n',
    ),
    ("etc/vsftpd.conf", "ssl_enable=YES\n"),
    ("etc/default/slapd", 'SLAPD_SERVICES="ldaps:///"\n'),
)


def report(base: Path, capsys: pytest.CaptureFixture[str], files: dict[str, str]) -> dict[str, Any]:
    """Return the report of a host of these files."""
    for name, text in files.items():
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_text(text)
    assert main(["check", str(base / "etc"), "--format", "json"]) != 4
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def found_of_servers(found: dict[str, Any]) -> list[str]:
    """Return the rules that fired, but for what is said of the firewall alone."""
    rules = [finding["rule"] for finding in found["findings"]]
    return [rule for rule in rules if rule != "firewall-inactive"]


@pytest.mark.parametrize(("server", "path", "text", "line", "port"), CLOSED)
def test_a_closed_tls_port_has_both_lines_and_a_fix(
    server: str, path: str, text: str, line: int, port: int, tmp_path: Path, capsys
) -> None:
    (finding,) = report(tmp_path, capsys, {path: text, "etc/nftables.conf": DROP})["findings"]
    assert finding["rule"] == "tls-port-closed"
    assert finding["entity"] == f"{server} tcp/{port}"
    place = finding["location"]
    assert (f"etc/{place['path']}", place["line"]) in ((path, line), (f"etc/{path}", line))
    assert [one["location"]["line"] for one in finding["related"]] == [3]
    assert finding["fix"]["edits"][0]["text"].strip() == f"tcp dport {port} accept"


@pytest.mark.parametrize(("path", "text"), SILENT)
def test_what_is_not_known_is_not_judged(path: str, text: str, tmp_path: Path, capsys) -> None:
    found = report(tmp_path, capsys, {path: text, "etc/nftables.conf": ACCEPT})
    assert found_of_servers(found) == []


def test_a_plain_port_where_tls_is_expected_is_seen(tmp_path: Path, capsys) -> None:
    files = {HAPROXY: "frontend x\n mode http\n bind :443\n bind :444 ssl crt /x.pem\n"}
    found = report(tmp_path, capsys, {**files, "etc/nftables.conf": ACCEPT})
    assert found_of_servers(found) == ["tls-port-plaintext"]


def test_a_server_that_is_partly_read_stands_in_the_reach_table(tmp_path: Path, capsys) -> None:
    files = {HAPROXY: CLOSED[0][2], "etc/nftables.conf": DROP}
    (endpoint,) = report(tmp_path, capsys, files)["endpoints"]
    assert (endpoint["server"], endpoint["tls"]) == ("haproxy", "implicit")
    assert endpoint["reach"]["ipv4"]["verdict"] == "closed"
