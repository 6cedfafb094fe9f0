"""Several managers of which it is not known which one is in force: each is judged by itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sslint.cli import main
from sslint.host import read
from sslint.netfilter.trace import Packet
from sslint.targets import Target
from tests.support import tree_of

NFT = """table inet f {
 chain i { type filter hook input priority 0; policy drop;
  %s
 }
}
"""
V4 = "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n%sCOMMIT\n"
ACCEPT = "-A INPUT -p tcp --dport 443 -j ACCEPT\n"
STOCK = (
    "flush ruleset\ntable inet filter {\n chain input { type filter hook input priority 0; }\n}\n"
)
UFW = {
    "etc/ufw/user.rules": "*filter\n:ufw-user-input - [0:0]\n### RULES ###\n"
    "-A ufw-user-input -p tcp --dport 443 -j ACCEPT\nCOMMIT\n",
    "etc/ufw/user6.rules": "*filter\n:ufw6-user-input - [0:0]\n### RULES ###\nCOMMIT\n",
    "etc/default/ufw": 'IPV6=yes\nDEFAULT_INPUT_POLICY="DROP"\nDEFAULT_FORWARD_POLICY="DROP"\n'
    'DEFAULT_OUTPUT_POLICY="ACCEPT"\n',
}
ZONE = "etc/firewalld/zones/public.xml"
OPEN = {
    "etc/nftables.conf": NFT % "tcp dport 443 accept",
    "etc/iptables/rules.v4": V4 % ACCEPT,
    ZONE: '<zone><service name="https"/></zone>',
}
SHUT = {"etc/nftables.conf": NFT % "", "etc/iptables/rules.v4": V4 % "", ZONE: "<zone/>"}
NFTABLES, IPTABLES = "etc/nftables.conf", "etc/iptables/rules.v4"
WANTS = "etc/systemd/system/multi-user.target.wants"


def verdict(files: dict[str, str], port: int = 443) -> tuple[str, str]:
    host = read(Target("h", tree_of(files)))
    assert host.firewall is not None
    reach = host.firewall.reach("tcp", port, 4)
    packet = host.firewall.judge(Packet("tcp", "203.0.113.9", "192.0.2.1", 40000, port))
    judged = {"open": ("accept",), "closed": ("drop", "reject"), "unknown": ("unknown",)}
    assert packet.verdict in judged[reach.verdict]
    return reach.verdict, reach.reasons[0] if reach.verdict == "unknown" else ""


def pick(source: dict[str, str], *paths: str) -> dict[str, str]:
    return {path: source[path] for path in paths}


@pytest.mark.parametrize("paths", [(NFTABLES, IPTABLES), (NFTABLES, ZONE), (IPTABLES, ZONE)])
def test_what_all_agree_on_is_the_verdict(paths: tuple[str, str]) -> None:
    one, other = paths
    assert verdict(pick(OPEN, *paths))[0] == "open"
    assert verdict(pick(SHUT, *paths))[0] == "closed"
    for files in (pick(OPEN, one) | pick(SHUT, other), pick(SHUT, one) | pick(OPEN, other)):
        found, reason = verdict(files)
        assert found == "unknown"
        assert reason.startswith("which ruleset is in force is not in the files (")
        assert all(path.removesuffix("/zones/public.xml") in reason for path in paths)
        assert verdict(files, 25)[0] == "closed"  # on which they agree


def test_one_that_lets_everything_in_is_no_other() -> None:
    for path in (IPTABLES, ZONE):
        assert verdict({NFTABLES: STOCK} | pick(SHUT, path))[0] == "closed"
        assert verdict({NFTABLES: STOCK} | pick(OPEN, path))[0] == "open"


def test_one_that_is_known_to_be_in_force_is_beside_each() -> None:
    enabled = {"etc/ufw/ufw.conf": "ENABLED=yes\n", **UFW}
    assert verdict({**enabled, NFTABLES: NFT % "tcp dport 443 accept"})[0] == "open"
    found, reason = verdict({**enabled, NFTABLES: NFT % ""})
    assert (found, reason) == (
        "unknown",
        "which ruleset is in force is not in the files "
        "(etc/ufw: open; etc/ufw with etc/nftables.conf: closed)",
    )
    assert verdict({**enabled, NFTABLES: NFT % ""}, 25)[0] == "closed"


def test_what_is_recorded_is_known() -> None:
    files = {f"{WANTS}/cron.service": "", f"{WANTS}/nftables.service": ""}
    assert verdict(pick(SHUT, NFTABLES) | pick(OPEN, IPTABLES) | files)[0] == "closed"
    both = files | {f"{WANTS}/netfilter-persistent.service": ""}
    assert verdict(pick(SHUT, NFTABLES) | pick(OPEN, IPTABLES) | both)[0] == "closed"


def test_check_and_trace_say_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = "listen 443 ssl; ssl_certificate a.pem; ssl_certificate_key a.key;"
    nginx = f"events {{}}\nhttp {{ server {{ {site} }} }}\n"
    files = {"etc/nginx/nginx.conf": nginx} | pick(SHUT, NFTABLES) | pick(OPEN, IPTABLES)
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    assert main(["check", str(tmp_path), "--fail-on", "never"]) == 3
    last = capsys.readouterr().out.rstrip().rpartition("\n")[2]
    assert "(etc/nftables.conf: closed; etc/iptables/rules.v4: open)" in last
    main(["trace", str(tmp_path), "443", "--format", "json"])
    assert json.loads(capsys.readouterr().out)["ipv4"]["verdict"] == "unknown"


def test_a_ruleset_that_is_set_aside_is_named_with_why() -> None:
    wants = {f"{WANTS}/cron.service": "", f"{WANTS}/netfilter-persistent.service": ""}
    files = pick(SHUT, NFTABLES) | pick(OPEN, IPTABLES) | wants
    host = read(Target("h", tree_of(files)))
    said = "etc/nftables.conf is not in force: nftables.service is disabled"
    assert said in host.ruleset.assumptions
    stock = read(Target("h", tree_of({**files, NFTABLES: STOCK})))
    assert not any("nftables" in text for text in stock.ruleset.assumptions)


def test_firewalld_that_is_set_aside_is_named_and_no_file_that_is_not_read() -> None:
    wants = {f"{WANTS}/cron.service": "", f"{WANTS}/nftables.service": ""}
    tree = tree_of(pick(OPEN, NFTABLES, ZONE) | wants)
    host = read(Target("h", tree))
    assert "etc/firewalld is not in force: firewalld.service is disabled" in (
        host.ruleset.assumptions
    )
    assert tree.problems == []


def test_a_ruleset_kept_aside_counts_beside_one_that_lets_everything_in() -> None:
    kept = {"etc/iptables.rules": V4 % ""}
    assert verdict(kept)[0] == "closed"
    assert verdict({NFTABLES: STOCK, **kept})[0] == "closed"
    assert verdict({"etc/ufw/ufw.conf": "ENABLED=no\n", **kept})[0] == "closed"
    assert verdict({NFTABLES: NFT % "tcp dport 443 accept", **kept})[0] == "open"


def test_a_script_of_a_whole_etc_is_all_that_is_loaded() -> None:
    names = ("passwd", "group", "shadow", "hosts", "fstab", "profile", "shells", "debian_version")
    script = "#!/bin/sh\niptables -t nat -A POSTROUTING -o eth0 -j MASQUERADE\n"
    part = {"etc/init.d/nat": script, "etc/rc2.d/S01nat": script, "etc/rc2.d/S02cron": ""}
    assert verdict(part)[1].endswith("what else is loaded is not in the files")
    assert verdict(part | {f"etc/{name}": "" for name in names})[0] == "open"
