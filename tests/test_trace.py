"""What `sslint trace` says of one port and of one packet, word by word."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sslint import ports
from sslint.cli import main
from tests.cases import SOUND

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
tcp/8443 over IPv4: limited to 10.1.0.0/16: ip saddr 10.1.0.0/16 tcp dport 8443 accept, rules.nft:18
tcp/8443 over IPv6: closed, refused: tcp dport 8443 reject, rules.nft:9
2 rules or policies close it; -v shows them
no server that was read listens on tcp/8443
"""
STEPS = """\
over IPv4:
  the first packet
    hook prerouting (priority -100), table ip nat, chain prerouting
      rules.nft:24  no rule matched: policy accept
    hook input (priority -10), table inet early, chain input
      rules.nft:4  ip saddr 192.0.2.0/24 drop: drops 192.0.2.0/24
      rules.nft:5  tcp dport 8443 jump admin: continues in chain admin for all but 192.0.2.0/24
    hook input (priority -10), table inet early, chain admin
        rules.nft:8  ip saddr 10.0.0.0/8 accept: accepts 10.0.0.0/8
        rules.nft:9  tcp dport 8443 reject: rejects all but 10.0.0.0/8, 192.0.2.0/24
    hook input (priority 0), table inet filter, chain input
      rules.nft:18  ip saddr 10.1.0.0/16 tcp dport 8443 accept: accepts 10.1.0.0/16
      rules.nft:14  no rule matched: policy drop for all but 10.1.0.0/16
  the packets that follow
    hook input (priority -10), table inet early, chain input
      rules.nft:4  ip saddr 192.0.2.0/24 drop: drops 192.0.2.0/24
      rules.nft:5  tcp dport 8443 jump admin: continues in chain admin for all but 192.0.2.0/24
    hook input (priority -10), table inet early, chain admin
        rules.nft:8  ip saddr 10.0.0.0/8 accept: accepts 10.0.0.0/8
        rules.nft:9  tcp dport 8443 reject: rejects all but 10.0.0.0/8, 192.0.2.0/24
    hook input (priority 0), table inet filter, chain input
      rules.nft:15  ct state established,related accept: accepts
  each of these blocks the others:
    rules.nft:4  ip saddr 192.0.2.0/24 drop  [the first packet, hook input (priority -10), table inet early, chain input]
    rules.nft:9  tcp dport 8443 reject  [the first packet, hook input (priority -10), table inet early, chain admin]
    rules.nft:14  type filter hook input priority filter; policy drop;  [the first packet, hook input (priority 0), table inet filter, chain input]
    rules.nft:4  ip saddr 192.0.2.0/24 drop  [the packets that follow, hook input (priority -10), table inet early, chain input]
    rules.nft:9  tcp dport 8443 reject  [the packets that follow, hook input (priority -10), table inet early, chain admin]
"""  # noqa: E501
FROM_ONE = """\
tcp/8443 from 10.1.2.3 over IPv4: open: ip saddr 10.1.0.0/16 tcp dport 8443 accept, rules.nft:18
no server that was read listens on tcp/8443

over IPv4:
  the first packet
    hook prerouting (priority -100), table ip nat, chain prerouting
      rules.nft:24  no rule matched: policy accept
    hook input (priority -10), table inet early, chain input
      rules.nft:5  tcp dport 8443 jump admin: continues in chain admin
    hook input (priority -10), table inet early, chain admin
        rules.nft:8  ip saddr 10.0.0.0/8 accept: accepts
    hook input (priority 0), table inet filter, chain input
      rules.nft:18  ip saddr 10.1.0.0/16 tcp dport 8443 accept: accepts
  the packets that follow
    hook input (priority -10), table inet early, chain input
      rules.nft:5  tcp dport 8443 jump admin: continues in chain admin
    hook input (priority -10), table inet early, chain admin
        rules.nft:8  ip saddr 10.0.0.0/8 accept: accepts
    hook input (priority 0), table inet filter, chain input
      rules.nft:15  ct state established,related accept: accepts
"""


@pytest.fixture
def rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rules.nft").write_text(RULES)
    monkeypatch.chdir(tmp_path)


def traced(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> str:
    assert main(["trace", "--firewall", "rules.nft", *arguments]) == status
    return capsys.readouterr().out


@pytest.mark.usefixtures("rules")
def test_the_first_lines_answer(capsys) -> None:
    assert traced(capsys, "8443") == LIMITED


@pytest.mark.usefixtures("rules")
def test_a_limited_port_is_followed_to_all_that_closes_it(capsys) -> None:
    report = traced(capsys, "8443", "-v")
    assert report.startswith(LIMITED + "\n" + STEPS + "\nover IPv6:\n")


@pytest.mark.usefixtures("rules")
def test_one_source_is_followed_to_what_decides(capsys) -> None:
    assert traced(capsys, "8443", "--from", "10.1.2.3", "--iif", "eth0", "-v") == FROM_ONE


@pytest.mark.parametrize(
    ("port", "said"),
    [
        (
            "443",
            "tcp/443 over IPv4 and IPv6: open: tcp dport { 80, 443 } accept, rules.nft:17\n",
        ),
        (
            "993",
            "tcp/993 over IPv4 and IPv6: unknown: a program in user space decides, rules.nft:19\n",
        ),
        ("4443", "tcp/4443 over IPv4: open: tcp dport { 80, 443 } accept, rules.nft:17\n"),
        (
            "9443",
            "tcp/9443 over IPv4: open, forwarded to 10.9.9.9:443: "
            "tcp dport 9443 dnat to 10.9.9.9:443, rules.nft:26\n",
        ),
        ("9443", "assumed: packets to other hosts are forwarded (ip_forward=1)\n"),
        (
            "443/udp",
            "udp/443 over IPv4 and IPv6: closed: "
            "no rule accepts udp/443; policy drop, rules.nft:14\n",
        ),
        ("443/udp", "no server that was read listens on udp/443\n"),
    ],
)
@pytest.mark.usefixtures("rules")
def test_a_port_in_words(capsys, port: str, said: str) -> None:
    assert said in traced(capsys, port)


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("web-ufw", "closed: no rule accepts tcp/993; policy drop, etc/default/ufw:2\n"),
        (
            "web-firewalld",
            "closed, refused: zone public lists no service or port that covers tcp/993; "
            "its target rejects, etc/firewalld/zones/public.xml:2\n",
        ),
        (
            "web-nftables",
            "closed: no rule accepts tcp/993; policy drop, etc/nftables.conf:11\n",
        ),
    ],
)
def test_each_firewall_answers_in_its_words(capsys, monkeypatch, host: str, said: str) -> None:
    monkeypatch.chdir(SOUND / host)
    assert main(["trace", ".", "imaps"]) == 0
    report = capsys.readouterr().out
    assert report.startswith(f"tcp/993 over IPv4 and IPv6: {said}")


# -- what may be asked ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "port"),
    [
        ("443", ("tcp", 443)),
        ("443/udp", ("udp", 443)),
        ("https", ("tcp", 443)),
        ("https/udp", ("udp", 443)),
        ("imaps", ("tcp", 993)),
        ("submissions", ("tcp", 465)),
        ("managesieve/tcp", ("tcp", 4190)),
    ],
)
def test_a_port_may_be_a_service(monkeypatch, word: str, port: tuple[str, int]) -> None:
    monkeypatch.setattr("socket.getservbyname", None)  # no /etc/services is asked for these
    assert ports.parse(word) == port


def test_other_services_are_the_machines(monkeypatch) -> None:
    monkeypatch.setattr("socket.getservbyname", lambda name, transport: {"xmpp-client": 5222}[name])
    assert ports.parse("xmpp-client") == ("tcp", 5222)


@pytest.mark.parametrize(
    "word",
    [
        "",
        "0",
        "65536",
        "443/",
        "443/sctp",
        "-1",
        "no-such-service",
        "https/",
        "\0",
        "1" * 5000,
        "²",
    ],
)
def test_what_is_no_port_is_wrong_usage(capsys, word: str) -> None:
    assert main(["trace", "examples/sound", f" {word}"[word != "" :]]) == 2
    assert "is not a port such as 443, 443/udp or https" in capsys.readouterr().err


def test_a_path_without_a_port_is_wrong_usage(capsys) -> None:
    assert main(["trace", str(SOUND / "web-ufw")]) == 2
    assert "trace needs a PORT after PATH" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--from", "10.0.0.0/8"), "from 10.0.0.0/8 over IPv4: limited to 10.1.0.0/16: "),
        (("--from", "10.1.0.0/17"), "from 10.1.0.0/17 over IPv4: open: "),
        (("--from", "192.0.2.0/23"), "from 192.0.2.0/23 over IPv4: closed: "),
        (("--from", "2001:db8::/32"), "from 2001:db8::/32 over IPv6: closed, refused: "),
        (("--from", "public"), "from public over IPv4 and IPv6: closed, refused: "),
        (("--from", "127.0.0.1"), "closed: no packet from outside has such a source"),
        (("--family", "ipv6"), "tcp/8443 over IPv6: closed"),
        (("--to", "198.51.100.9"), "tcp/8443 over IPv4: limited"),
    ],
)
@pytest.mark.usefixtures("rules")
def test_only_some_clients_are_asked_about(capsys, arguments: tuple[str, ...], said: str) -> None:
    assert said in traced(capsys, "8443", *arguments).partition("\n")[0]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--from", "10.0.0.0/33"),
        ("--from", "office"),
        ("--from", "10.0.0.1", "--to", "::1"),
        ("--from", "10.0.0.1", "--family", "ipv6"),
        ("--to", "here"),
    ],
)
@pytest.mark.usefixtures("rules")
def test_what_nobody_can_be_asked_about(capsys, arguments: tuple[str, ...]) -> None:
    traced(capsys, "8443", *arguments, status=2)


@pytest.mark.usefixtures("rules")
def test_a_network_of_the_configuration_has_a_name(capsys) -> None:
    Path(".sslint.yaml").write_text("networks: {office: [10.1.0.0/16, 192.0.2.0/24]}\n")
    said = traced(capsys, "8443", "--from", "office")
    assert said.startswith("tcp/8443 from office over IPv4: limited to 10.1.0.0/16: ")


# -- expectations ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("port", "expected", "status"),
    [
        ("443", "open", 0),
        ("443", "closed", 1),
        ("25", "closed", 0),
        ("25", "open", 1),
        ("8443", "limited", 1),  # closed over IPv6
        ("993", "open", 3),
        ("993", "closed", 3),
    ],
)
@pytest.mark.usefixtures("rules")
def test_the_status_says_whether_it_is_as_expected(
    capsys, port: str, expected: str, status: int
) -> None:
    report = traced(capsys, port, "--expect", expected, status=status)
    assert (f"expected: {expected}\n" in report) is (status != 0)
    found = json.loads(
        traced(capsys, port, "--expect", expected, "--format", "json", status=status)
    )
    assert found["expected"] == expected
    assert found["met"] is {0: True, 1: False, 3: None}[status]


@pytest.mark.usefixtures("rules")
def test_an_expectation_of_one_family_or_some_clients(capsys) -> None:
    traced(capsys, "8443", "--expect", "limited", "--family", "ipv4")
    traced(capsys, "8443", "--expect", "open", "--from", "10.1.0.0/16")
    traced(capsys, "8443", "--expect", "closed", "--from", "10.2.0.0/16")
    traced(capsys, "8443", "--expect", "closed", "--from", "10.1.2.3", status=1)


def test_what_cannot_be_read_is_not_as_expected(capsys, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/nftables.conf").write_text("table inet x {\n")
    assert main(["trace", str(tmp_path), "443", "--expect", "closed"]) == 3


# -- JSON -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("rules")
def test_a_single_source_as_json_keeps_the_verdict_on_its_packet(capsys) -> None:
    found = json.loads(traced(capsys, "8443", "--from", "192.0.2.1", "--format", "json"))
    assert found["verdict"] == "drop"
    assert found["by"]["line"] == 4
    assert [step["effect"] for step in found["steps"]] == ["policy-accept", "drop"]
    assert found["from"] == "192.0.2.1"
    assert found["ipv4"]["verdict"] == "closed"


@pytest.mark.usefixtures("rules")
def test_a_port_as_json_names_every_rule_to_change(capsys) -> None:
    found = json.loads(traced(capsys, "8443", "--format", "json"))["ipv4"]
    blocked = [(b["line"], b["stage"]) for b in found["blocked_by"]]
    assert blocked == [
        (4, "new"), (9, "new"), (14, "new"), (4, "established"), (9, "established")
    ]  # fmt: skip


def test_protocols_of_packets_by_name_and_number(tmp_path, capsys) -> None:
    ruleset = tmp_path / "r.nft"
    ruleset.write_text(
        "table ip f { chain i { type filter hook input priority 0; policy drop;\n"
        " meta l4proto { esp, 47 } accept; }\n}\n"
    )
    packet = {"src": "203.0.113.9", "dst": "198.51.100.1"}
    lines = [
        {"id": n, "proto": proto, **packet} for n, proto in enumerate(("esp", "gre", "50", 51))
    ]
    file = tmp_path / "packets"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert main(["trace", "--firewall", f"nft={ruleset}", "--packets", str(file)]) == 0
    found = [line.split()[1] for line in capsys.readouterr().out.splitlines()]
    assert found == ["accept", "accept", "accept", "drop"]
    file.write_text(json.dumps({"proto": "quic", **packet}))
    assert main(["trace", "--firewall", f"nft={ruleset}", "--packets", str(file)]) == 2
    assert "proto must be a protocol's number or one of tcp" in capsys.readouterr().err


def test_what_listens_behind_nat_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    etc = tmp_path / "host/etc"
    (etc / "nginx").mkdir(parents=True)
    tls = "listen 8443 ssl; ssl_certificate /a.pem; ssl_certificate_key /a.key;"
    (etc / "nginx/nginx.conf").write_text(f"events {{}}\nhttp {{ server {{ {tls} }} }}\n")
    (etc / "nftables.conf").write_text(
        "table ip nat {\n chain pre { type nat hook prerouting priority dstnat;\n"
        "  tcp dport 443 redirect to :8443\n }\n}\n"
    )
    main(["trace", str(tmp_path / "host"), "443"])
    assert "nginx listens on 0.0.0.0 port 8443, to which NAT takes it" in capsys.readouterr().out
