"""What ufw-init really loads, against what is read from the files it loads it from."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Literal

import pytest

from sslint.firewalls import discovery, iptables, ufw
from sslint.netfilter.model import Limit, Ruleset, Table
from sslint.netfilter.reach import Firewall
from sslint.network import read_network
from sslint.source import SourceFile
from sslint.tree import Tree

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(
        os.geteuid() != 0 or shutil.which("ufw") is None or shutil.which("unshare") is None,
        reason="needs root, unshare and ufw: apt-get install ufw",
    ),
]

# A private /etc/ufw, /etc/default/ufw and /run; no sysctl is written.
SETUP = """
set -e
cp -a /etc/ufw "$OUT/stock"
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /etc/ufw
cp -a "$OUT"/stock/. /etc/ufw/
cp /usr/share/ufw/iptables/user*.rules /etc/ufw/ 2>/dev/null || true
cp /etc/default/ufw "$OUT/default"
sed -i 's/^IPT_SYSCTL=.*/IPT_SYSCTL=/' "$OUT/default"
mount --bind "$OUT/default" /etc/default/ufw
ip link set lo up
setting() { sed "s/^$1=.*/$1=$2/" /etc/default/ufw > /run/new; cat /run/new > /etc/default/ufw; }
enable() { sed -i s/ENABLED=no/ENABLED=yes/ /etc/ufw/ufw.conf; }
"""
COLLECT = """
mkdir -p "$OUT/tree/etc/default"
cp -a /etc/ufw "$OUT/tree/etc/ufw"
cp /etc/default/ufw "$OUT/tree/etc/default/ufw"
# what a boot loads: `ufw enable` itself leaves ufw6-user-limit without its REJECT
unshare -n sh -c '/usr/lib/ufw/ufw-init start > "$OUT/log" 2>&1
    iptables-save > "$OUT/v4"; ip6tables-save > "$OUT/v6"' || true
"""

CASES = {
    "stock": "ufw --force enable",
    "allow": "ufw allow 22; ufw allow 443/tcp; ufw allow 'Nginx Full' || ufw allow 'WWW Full';"
    "ufw --force enable",
    "sources": "ufw allow from 192.0.2.0/24 to any port 993 proto tcp;"
    "ufw deny from 2001:db8::/32; ufw reject 25/tcp; ufw --force enable",
    "limit": "ufw limit 587/tcp; ufw --force enable",
    "interfaces": "ufw allow in on eth0 to any port 80 proto tcp; ufw allow out on eth1;"
    "ufw --force enable",
    "route": "ufw route allow in on eth0 out on eth1 to 192.0.2.7 port 80 proto tcp;"
    "ufw --force enable",
    "reject": "ufw default reject incoming; ufw default reject routed; ufw --force enable",
    "accept": "ufw default allow incoming; ufw default deny outgoing; ufw --force enable",
    "ipv6-no": "setting IPV6 no; ufw allow 443; ufw --force enable",
    "logging": "ufw logging full; ufw allow log 443/tcp; ufw --force enable",
    "nat": "{ printf '*nat\\n:PREROUTING ACCEPT [0:0]\\n-A PREROUTING -p tcp --dport 443 "
    "-j REDIRECT --to-ports 8443\\nCOMMIT\\n'; cat /etc/ufw/before.rules; } > /etc/ufw/new;"
    "mv /etc/ufw/new /etc/ufw/before.rules; ufw --force enable",
    "broken-before": "sed -i 's/^COMMIT/-A ufw-before-input --nonsense\\nCOMMIT/'"
    " /etc/ufw/before.rules; ufw allow 443/tcp; enable",
    "broken-second-table": "printf '*nat\\n-A PREROUTING --nonsense\\nCOMMIT\\n'"
    " >> /etc/ufw/before.rules; enable",
    "no-after": "rm /etc/ufw/after.rules; enable",
    "no-user": "rm /etc/ufw/user.rules; enable",
    "lower-case-policy": "setting DEFAULT_INPUT_POLICY drop; enable",
    "policy-twice": "echo DEFAULT_INPUT_POLICY=ACCEPT >> /etc/ufw/ufw.conf; enable",
    "carriage-return-in-a-policy": "ufw allow 443/tcp; enable;"
    "sed 's/^DEFAULT_INPUT.*/&\\r/' /etc/default/ufw > /run/new; cat /run/new > /etc/default/ufw",
    "carriage-returns-in-defaults": "ufw allow 443/tcp; enable;"
    "sed 's/$/\\r/' /etc/default/ufw > /run/new; cat /run/new > /etc/default/ufw",
    "carriage-returns-in-user-rules": "ufw allow 443/tcp; sed -i 's/$/\\r/' /etc/ufw/user.rules;"
    "enable",
    "carriage-returns-in-before-rules": "ufw allow 443/tcp;"
    "sed -i 's/$/\\r/' /etc/ufw/before.rules; enable",
    "no-such-policy": "setting DEFAULT_OUTPUT_POLICY nonsense; enable",
}


@pytest.mark.parametrize("case", CASES)
def test_the_model_is_what_ufw_loads(case: str, tmp_path: Path) -> None:
    script = SETUP + CASES[case] + "\n" + COLLECT
    subprocess.run(
        ["unshare", "-n", "-m", "bash", "-c", script],
        env={**os.environ, "OUT": str(tmp_path)},
        check=True,
        capture_output=True,
        timeout=120,
    )
    ruleset = Ruleset()
    assert ufw.read(Tree(tmp_path / "tree"), ruleset)
    for family, name in ((4, "v4"), (6, "v6")):
        real = Ruleset()
        text = (tmp_path / name).read_text()
        iptables.read(SourceFile(name, name, text), 4 if family == 4 else 6, into=real)
        wanted = "ip" if family == 4 else "ip6"
        ours = [table for table in ruleset.tables if table.family == wanted]
        assert _comparable(ours) == _comparable(real.tables)


def _comparable(tables: list[Table]) -> dict[str, object]:
    """Return policies and rules; a table that filters nothing is as good as none."""
    found: dict[str, object] = {}
    for table in tables:
        for chain in table.chains.values():
            policy = chain.base.policy if chain.base is not None else None
            rules = [
                [
                    type(item) if isinstance(item, Limit) else item  # 3/minute is saved as 3/min
                    for item in rule.items
                ]
                for rule in chain.rules
            ]
            if rules or policy == "drop" or chain.base is None:
                found[f"{table.name} {chain.name}"] = policy, rules
    return found


# A dump that opens 443, and rules of ufw that open 993 in its place.
DUMPED = """
ufw allow 443/tcp; ufw --force enable
mkdir -p "$OUT/tree/etc/iptables" "$OUT/tree/etc/systemd/system/multi-user.target.wants"
for unit in ufw netfilter-persistent ssh; do
    touch "$OUT/tree/etc/systemd/system/multi-user.target.wants/$unit.service"
done
iptables-save > "$OUT/rules.v4"; ip6tables-save > "$OUT/rules.v6"
for dump in $DUMPS; do cp "$OUT/$dump" "$OUT/tree/etc/iptables/"; done
ufw --force delete allow 443/tcp; ufw allow 993/tcp
mkdir -p "$OUT/tree/etc/default"
cp -a /etc/ufw "$OUT/tree/etc/ufw"; cp /etc/default/ufw "$OUT/tree/etc/default/ufw"
cd "$OUT/tree/etc/iptables"
for order in "restore; start" "start; restore"; do
    unshare -n bash -c "
        start() { /usr/lib/ufw/ufw-init start; }
        restore() {
            if test -e rules.v4; then iptables-restore < rules.v4; fi
            if test -e rules.v6; then ip6tables-restore < rules.v6; fi
        }
        $order
        iptables-save > '$OUT/${order%%;*}.v4'; ip6tables-save > '$OUT/${order%%;*}.v6'"
done
"""


@pytest.mark.parametrize("dumps", ["rules.v4 rules.v6", "rules.v4", "rules.v6"])
def test_ufw_beside_a_dump_of_its_chains_is_what_both_orders_load(
    dumps: str, tmp_path: Path
) -> None:
    subprocess.run(
        ["unshare", "-n", "-m", "bash", "-c", SETUP + DUMPED],
        env={**os.environ, "OUT": str(tmp_path), "DUMPS": dumps},
        check=True,
        capture_output=True,
        timeout=120,
    )
    tree = Tree(tmp_path / "tree")
    ours = Firewall(discovery.load(tree, read_network(tree)))
    loaded = []
    for order in ("restore", "start"):
        ruleset = Ruleset()
        families: tuple[Literal[4, 6], ...] = (4, 6)
        for family in families:
            path = tmp_path / f"{order}.v{family}"
            iptables.read(SourceFile(path.name, path.name, path.read_text()), family, into=ruleset)
        loaded.append(Firewall(ruleset))
    for port in (443, 993):
        for family in (4, 6):
            real = {firewall.reach("tcp", port, family).verdict for firewall in loaded}
            said = ours.reach("tcp", port, family).verdict
            known = "rules.v4" in dumps and f"rules.v{family}" in dumps
            assert real == {said} if known else said in ("unknown", *real), (port, family)
            assert known or family == 4 or said == "unknown"
