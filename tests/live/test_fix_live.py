"""The commands of a fix, pasted on a host that has the ruleset, open the port."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sslint.checker import check
from sslint.firewalls import iptables, nftables
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
    found = [f for f in result.findings if f.fact.values["port"] == port]
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
