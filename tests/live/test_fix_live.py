"""The commands of a fix, pasted on a host that has the ruleset, open the port."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sslint.checker import check
from sslint.firewalls import iptables, nftables, ufw
from sslint.netfilter.model import Ruleset
from sslint.netfilter.reach import Firewall
from sslint.source import SourceFile
from sslint.tree import Tree
from tests.cases import target
from tests.test_rules import RULES

pytestmark = pytest.mark.live("nft", "iptables-restore", "ip6tables-restore", "unshare")

NFT, V4, V6 = "etc/nftables.conf", "etc/iptables/rules.v4", "etc/iptables/rules.v6"
CASES: list[tuple[str, str, int, list[dict[str, Any]]]] = [
    ("tls-port-closed", "web-nftables", 443, [
        {"in": NFT, "replace": "tcp dport { http, https } accept", "by": "tcp dport http accept"}]),
    ("tls-port-closed", "mail-nftables", 993, [
        {"in": NFT, "replace": "25, 465, 587, 993", "by": "25, 465, 587"}]),
    ("tls-port-closed", "web-iptables", 8443, [
        {"in": path, "replace": "-A services -p tcp -m tcp --dport 8443 -j ACCEPT\n", "by": ""}
        for path in (V4, V6)]),
    ("tls-port-closed-ipv6", "web-iptables", 443, [
        {"in": V6, "replace": "--dports 80,443", "by": "--dports 80"}]),
    ("tls-port-closed", "web-nftables", 443, [
        {"in": NFT, "append": "table inet other {\n chain input {\n  type filter hook input "
         "priority 10; policy drop;\n  ct state established,related accept\n"
         "  meta l4proto { icmp, icmpv6 } accept\n }\n}\n"}]),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "host", "port", "edits"), CASES)
def test_commands_open_the_port(
    rule: str, host: str, port: int, edits: list[dict[str, Any]], tmp_path: Path
) -> None:
    edited = target(host, tuple(edits))
    result = check([edited], [RULES[rule]])
    found = [f for f in result.findings if f.fact.port == port]
    commands = [c for f in found for c in result.fixes[id(f)].commands]
    assert commands
    assert all(result.fixes[id(f)].proved for f in found if result.fixes[id(f)].edits)
    lines = []
    loaders = {NFT: "nft -f", V4: "iptables-restore", V6: "ip6tables-restore"}
    for path, loader in loaders.items():
        if edited.tree.exists(path):
            copy = tmp_path / path.rsplit("/", 1)[-1]
            copy.write_text(edited.tree.read(path).text)
            lines.append(f"{loader} {shlex.quote(str(copy))}")
    is_nft = edited.tree.exists(NFT)
    listings = ["nft list ruleset"] if is_nft else ["iptables-save", "ip6tables-save"]
    lines += commands + [f"{c} > {tmp_path}/listing{n}" for n, c in enumerate(listings)]
    subprocess.run(["unshare", "-n", "sh", "-ec", "\n".join(lines)], check=True)
    ruleset = Ruleset(families={4, 6})
    for number, family in enumerate((4, 6) if not is_nft else (0,)):
        text = (tmp_path / f"listing{number}").read_text()
        if family in (4, 6):
            file = SourceFile(f"/listing{number}", "listing", text)
            iptables.read(file, 4 if family == 4 else 6, into=ruleset)
        else:
            nftables.read(Tree(None, overlay={"/listing": text}), "/listing", ruleset, listing=True)
    firewall = Firewall(ruleset)
    assert [firewall.reach("tcp", port, family).verdict for family in (4, 6)] == ["open", "open"]


TYPED = (
    "allow https", "allow 993", "allow 25/tcp", "limit 22/tcp", "allow 'Nginx Full'",
    "allow 60000:60010/udp", "deny 8443/tcp", "allow log 995/tcp", "limit log-all 143/tcp",
)  # fmt: skip


@pytest.mark.live("ufw", "unshare", "mount")
def test_ufw_deletes_what_is_read_back_from_its_rules(tmp_path: Path) -> None:
    """`ufw delete` knows a rule by what was typed, not by the port that it opens."""
    kept = tmp_path / "kept"
    script = [
        f"cp -a /etc/ufw {tmp_path}/ufw",
        f"mount --bind {tmp_path}/ufw /etc/ufw",
        *(f"ufw {typed}" for typed in TYPED),
        f"cp /etc/ufw/user.rules {kept}",
    ]
    subprocess.run(["unshare", "-m", "-n", "sh", "-ec", "\n".join(script)], check=True)
    file = SourceFile("/etc/ufw/user.rules", "user.rules", kept.read_text())
    lines = enumerate(file.text.split("\n"), 1)
    found = [ufw.written(file.at(number)) for number, line in lines if line.startswith("-A ufw-u")]
    commands = dict.fromkeys(f"ufw delete {w.action} {w.what}" for w in found if w is not None)
    assert len(commands) == len(TYPED)
    script += [*commands, f"cp /etc/ufw/user.rules {kept}"]
    script[0] = f"rm -r {tmp_path}/ufw; {script[0]}"
    subprocess.run(["unshare", "-m", "-n", "sh", "-ec", "\n".join(script)], check=True)
    assert "### tuple ###" not in kept.read_text()


ZONE = '<?xml version="1.0" encoding="utf-8"?>\n<zone{}>\n  <service name="ssh"/>\n{}</zone>\n'
HTTPS = '  <service name="https"/>\n'
RICH = '  <rule priority="-{}">\n    <port port="443" protocol="tcp"/>\n    <drop/>\n  </rule>\n'
ZONES: dict[str, dict[str, str]] = {
    "public": {"public": ZONE.format("", "")},
    "another-zone": {
        "public": ZONE.format("", HTTPS.replace("https", "http")),
        "dmz": ZONE.format("", '  <interface name="eth0"/>\n'),
    },
    "source": {
        "public": ZONE.format("", HTTPS),
        "drop": ZONE.format(' target="DROP"', '  <source address="0.0.0.0/0"/>\n'),
    },
    "banned": {
        "public": ZONE.format("", ""),
        "drop": ZONE.format(' target="DROP"', '  <source address="203.0.113.0/24"/>\n'),
    },
    "priority": {"public": ZONE.format("", HTTPS + RICH.format(10) + RICH.format(3))},
    "rich": {"public": ZONE.format("", HTTPS + RICH.replace(' priority="-{}"', ""))},
}


@pytest.mark.live("firewall-offline-cmd")
@pytest.mark.parametrize("name", ZONES)
def test_firewalld_s_commands_and_edits_open_the_port(name: str, tmp_path: Path) -> None:
    """firewall-offline-cmd(1) takes what firewall-cmd(1) takes, and writes the same files."""
    zones = {f"etc/firewalld/zones/{zone}.xml": text for zone, text in ZONES[name].items()}
    host = tuple({"write": path, "text": text} for path, text in zones.items())
    rules = [RULES["tls-port-closed"], RULES["shadowed-accept"]]
    result = check([target("web-firewalld", host)], rules)
    fixes = [result.fixes[id(finding)] for finding in result.findings]
    assert fixes
    assert all(fix.proved for fix in fixes)
    for path, text in zones.items():
        place = tmp_path / path.removeprefix("etc/firewalld/")
        place.parent.mkdir(exist_ok=True)
        place.write_text(text)
    (tmp_path / "firewalld.conf").write_text("DefaultZone=public\nIPv6_rpfilter=yes\n")
    offline = ["firewall-offline-cmd", "--system-config", str(tmp_path)]
    commands = [shlex.split(c) for c in dict.fromkeys(c for fix in fixes for c in fix.commands)]
    for program, *words in commands:
        if words != ["--reload"]:
            assert (program, words.pop(0)) == ("firewall-cmd", "--permanent")
            subprocess.run([*offline, *words], check=True, capture_output=True)
    assert commands[-1] == ["firewall-cmd", "--reload"]
    subprocess.run([*offline, "--check-config"], check=True, capture_output=True)
    now = tuple(
        {"write": path, "text": (tmp_path / path.removeprefix("etc/firewalld/")).read_text()}
        for path in zones
    )
    assert not check([target("web-firewalld", now)], rules).findings
