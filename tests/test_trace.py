"""What `sslint trace` says of one port and of one packet, word by word."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sslint.cli import main

RULES = """\
table inet early {
	chain input {
		type filter hook input priority -10; policy accept;
		ip saddr 192.0.2.0/24 drop
		tcp dport 8443 jump admin
	}
	chain admin {
		ip saddr 10.0.0.0/8 accept
		tcp dport 8443 reject
	}
}
table inet filter {
	chain input {
		type filter hook input priority filter; policy drop;
		ct state established,related accept
		meta l4proto ipv6-icmp accept
		tcp dport { 80, 443 } accept
		ip saddr 10.1.0.0/16 tcp dport 8443 accept
		tcp dport 993 queue
	}
}
table ip nat {
	chain prerouting {
		type nat hook prerouting priority dstnat;
		tcp dport 4443 redirect to :443
		tcp dport 9443 dnat to 10.9.9.9:443
	}
}
"""
LIMITED = """\
tcp/8443 over IPv4: limited to 10.1.0.0/16
  the first packet
    prerouting -100  ip nat prerouting
      rules.nft:24  type nat hook prerouting priority dstnat;  => policy-accept 0.0.0.0/0
    input -10  inet early input
      rules.nft:4  ip saddr 192.0.2.0/24 drop  => drop 192.0.2.0/24
      rules.nft:5  tcp dport 8443 jump admin  => jump all but 192.0.2.0/24 (admin)
    input -10  inet early admin
        rules.nft:8  ip saddr 10.0.0.0/8 accept  => accept 10.0.0.0/8
        rules.nft:9  tcp dport 8443 reject  => reject all but 10.0.0.0/8, 192.0.2.0/24
    input +0  inet filter input
      rules.nft:18  ip saddr 10.1.0.0/16 tcp dport 8443 accept  => accept 10.1.0.0/16
      rules.nft:14  type filter hook input priority filter; policy drop;  => policy-drop all but 10.1.0.0/16
  the packets that follow
    input -10  inet early input
      rules.nft:4  ip saddr 192.0.2.0/24 drop  => drop 192.0.2.0/24
      rules.nft:5  tcp dport 8443 jump admin  => jump all but 192.0.2.0/24 (admin)
    input -10  inet early admin
        rules.nft:8  ip saddr 10.0.0.0/8 accept  => accept 10.0.0.0/8
        rules.nft:9  tcp dport 8443 reject  => reject all but 10.0.0.0/8, 192.0.2.0/24
    input +0  inet filter input
      rules.nft:15  ct state established,related accept  => accept 0.0.0.0/0
  to open it, all of these must let it pass:
    rules.nft:4  ip saddr 192.0.2.0/24 drop  [inet early input, new]
    rules.nft:9  tcp dport 8443 reject  [inet early admin, new]
    rules.nft:14  type filter hook input priority filter; policy drop;  [inet filter input, new]
    rules.nft:4  ip saddr 192.0.2.0/24 drop  [inet early input, established]
    rules.nft:9  tcp dport 8443 reject  [inet early admin, established]
"""  # noqa: E501
PACKET = """\
tcp/8443 from 10.1.2.3: accept
  the first packet
    prerouting -100  ip nat prerouting
      rules.nft:24  type nat hook prerouting priority dstnat;  => policy-accept
    input -10  inet early input
      rules.nft:5  tcp dport 8443 jump admin  => jump (admin)
    input -10  inet early admin
        rules.nft:8  ip saddr 10.0.0.0/8 accept  => accept
    input +0  inet filter input
      rules.nft:18  ip saddr 10.1.0.0/16 tcp dport 8443 accept  => accept
  decided by rules.nft:18  ip saddr 10.1.0.0/16 tcp dport 8443 accept  [inet filter input, new]
"""


@pytest.fixture
def rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rules.nft").write_text(RULES)
    monkeypatch.chdir(tmp_path)


def traced(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["trace", "--firewall", "rules.nft", *arguments]) == 0
    return capsys.readouterr().out


@pytest.mark.usefixtures("rules")
def test_a_limited_port_is_followed_to_all_that_closes_it(capsys) -> None:
    assert traced(capsys, "8443").partition("\n\n")[0] + "\n" == LIMITED


@pytest.mark.usefixtures("rules")
def test_a_packet_is_followed_to_what_decides(capsys) -> None:
    assert traced(capsys, "8443", "--from", "10.1.2.3", "--iif", "eth0") == PACKET


@pytest.mark.parametrize(
    ("port", "said"),
    [
        ("443", "tcp/443 over IPv4: open\n"),
        ("8443", "tcp/8443 over IPv6: closed, refused\n"),
        ("993", "tcp/993 over IPv6: unknown\n  because a program in user space decides\n"),
        ("4443", "rules.nft:25  tcp dport 4443 redirect to :443  => nat 0.0.0.0/0\n"),
        ("9443", "tcp/9443 over IPv4: open, forwarded to 10.9.9.9:443\n"),
        ("9443", "  assumed: packets to other hosts are forwarded (ip_forward=1)\n"),
        ("443/udp", "no server that was read listens on udp/443\n"),
    ],
)
@pytest.mark.usefixtures("rules")
def test_a_port_in_words(capsys, port: str, said: str) -> None:
    assert said in traced(capsys, port)


@pytest.mark.usefixtures("rules")
def test_a_port_as_json_names_every_rule_to_change(capsys) -> None:
    found = json.loads(traced(capsys, "8443", "--format", "json"))["ipv4"]
    blocked = [(b["line"], b["stage"]) for b in found["blocked_by"]]
    assert blocked == [
        (4, "new"), (9, "new"), (14, "new"), (4, "established"), (9, "established")
    ]  # fmt: skip
