"""nft itself against the readers: what it loads they read, as it lists it; what it refuses they do.

For a ruleset that loads, the file, `nft list ruleset` and `nft -j list ruleset` are one model.
"""

from __future__ import annotations

import os
import random
import subprocess
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest

from sslint.firewalls.errors import RulesetError
from sslint.netfilter.model import Unmodelled
from tests.firewalls import nft_places, nft_refusals
from tests.firewalls.nft_models import comparable, read_json, read_text

pytestmark = pytest.mark.live("nft", "unshare")

COUNT = int(os.environ.get("SSLINT_COUNT", "40"))

BASE = """table FAMILY t {
 set v4 { type ipv4_addr; flags interval; auto-merge; elements = { 10.0.0.0/8, 10.1.0.0/16 }; }
 set v6 { type ipv6_addr; flags interval; elements = { 2001:db8::/32, ::1 }; }
 set ports { type inet_service; elements = { 80, 443, 25 }; }
 set seen { type ipv4_addr; size 65535; flags dynamic, timeout; timeout 1h; }
 map verdicts { type inet_service : verdict; elements = { 22 : accept, 23 : jump other }; }
 chain other { tcp dport 8443 accept
 return
 }
 chain input {
  type filter hook input priority filter - 5; policy drop;
  RULES
 }
}
"""
MATCHES = [
    "tcp dport 443", "tcp dport { 22, 80-90, 443 }", "tcp dport != 22", "udp dport 53",
    "tcp dport @ports", "tcp sport >= 1024",
    "meta l4proto tcp", 'iifname "eth*"', 'iifname { "lo", "eth0" }', "iif lo", "ct state new",
    "ct state established,related", "ct state != established,related",
    "ct state { new, untracked }",
    "ct status dnat", "ct mark 0x1", "meta mark and 0xff == 0x10", "meta mark != 0x1-0x5",
    "tcp flags syn", "tcp flags & (fin|syn|rst|ack) == syn", "tcp flags syn / syn,ack",
    "fib daddr type local", "fib saddr . iif oif missing", "fib daddr type { local, broadcast }",
    "meta pkttype host", "limit rate 10/minute burst 5 packets", "limit rate over 1 mbytes/second",
    "ct count over 20", "quota over 25 mbytes", "counter", 'log prefix "x "', "meta mark set 0x2",
    "ct mark set meta mark", "meta length 40-100", "tcp option maxseg exists",
    "ct direction original",
    "tcp dport . meta mark { 80 . 0x1, 443-444 . 0x2 }",
]  # fmt: skip
ONLY = {
    "ip": ["ip saddr 10.0.0.0/8", "ip saddr != @v4", "ip saddr . tcp dport { 10.0.0.0/8 . 80 }",
           "ip protocol tcp", "icmp type echo-request", "update @seen { ip saddr }", "ip dscp cs1",
           "ip saddr & 255.255.0.0 == 10.1.0.0", "add @seen { ip saddr limit rate over 5/second }"],
    "ip6": ["ip6 saddr 2001:db8::/32", "ip6 saddr @v6", "ip6 nexthdr tcp", "exthdr frag missing",
            "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert }", "ip6 hoplimit 255"],
    "inet": ["meta nfproto ipv4", "meta protocol ip6"],
}  # fmt: skip
VERDICTS = [
    "accept", "drop", "reject", "jump other", "goto other", "return", "continue",
    "tcp dport vmap { 22 : accept, 80-81 : jump other, * : drop }", "tcp dport vmap @verdicts", "",
    "ct state vmap { established : accept, related : accept, invalid : drop }",
]  # fmt: skip


def run(path: Path, *commands: str) -> subprocess.CompletedProcess[str]:
    """Load a file in a network namespace of its own, then run what follows."""
    script = " && ".join(["nft -f " + str(path), *commands])
    return subprocess.run(
        ["unshare", "-n", "sh", "-c", script], capture_output=True, text=True, check=False
    )


def _decided(told: Any, found: Any) -> Any:
    """Take the file's rule where JSON that nft would not read back leaves it unknown."""
    if not isinstance(told, tuple) or not isinstance(told[-1], list) or found is None:
        return told
    base, rules = told
    pairs = zip_longest(rules, found[-1])
    return base, [other if Unmodelled in (rule or ()) else rule for rule, other in pairs]


def judge(text: str, directory: Path) -> bool:
    """Compare one file with nft; tell whether it loads."""
    path = directory / "rules.nft"
    path.write_text(text)
    again = "{ nft list ruleset | nft -c -f - 2>/dev/null; echo $?; }"
    loaded = run(path, again, "nft list ruleset", "echo =====", "nft -j list ruleset")
    if loaded.returncode:
        with pytest.raises(RulesetError):
            read_text(text)
        return False
    accepted, _, listings = loaded.stdout.partition("\n")
    listing, _, as_json = listings.partition("=====\n")
    found = comparable(read_text(text))
    if accepted == "0":  # nft does not always read back what it prints
        assert comparable(read_text(listing)) == found, text
    told = comparable(read_json(as_json))
    if accepted != "0":
        told = {name: _decided(value, found.get(name)) for name, value in told.items()}
    assert told == found, text
    return True


@pytest.mark.parametrize(("text", "loads"), nft_places.cases())
def test_where_the_kernel_takes_a_statement(text: str, loads: bool, tmp_path: Path) -> None:
    path = tmp_path / "rules.nft"
    path.write_text(text)
    devices = (
        "ip link add eth0 type veth peer name eth1 && ip link set eth0 up && ip link set eth1 up"
    )
    done = subprocess.run(
        ["unshare", "-n", "sh", "-c", f"{devices} && nft -f {path}"], capture_output=True, text=True
    )
    assert (done.returncode == 0) == loads, done.stderr


def test_random_rulesets(tmp_path: Path) -> None:
    seed = int(os.environ.get("SSLINT_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"SSLINT_SEED={seed}")
    chance = random.Random(seed)
    loaded = 0
    for _ in range(COUNT):
        family = chance.choice(("ip", "ip6", "inet"))
        own = ONLY[family] + (ONLY["ip"] + ONLY["ip6"] if family == "inet" else [])
        rules = []
        for _ in range(chance.randrange(1, 4)):
            matches = chance.sample(MATCHES + own, chance.randrange(1, 3))
            rules.append(" ".join([*matches, chance.choice(VERDICTS)]))
        text = BASE.replace("FAMILY", family).replace("RULES", "\n  ".join(rules))
        loaded += judge(text, tmp_path)
    assert loaded


LOADS = [
    "table inet t {\nchain c {\nmeta l4proto { tcp, udp } th dport 53 accept\n"
    "@th,16,16 53 drop\n}\n}\n",
    "define a = { 1.1.1.1, 2.2.2.2 }\ntable t {\nchain c {\nip saddr { $a, 3.3.3.3 } accept\n"
    "}\n}\n",
    "add table t; add chain t c; add rule t c accept\ninsert rule t c drop\nflush chain t c\n",
    "table inet t {\nchain c {\ntype nat hook prerouting priority dstnat;\n"
    "tcp dport 80 redirect to :8080\ndnat ip to tcp dport map { 22 : 10.0.0.1 . 2222 }\n"
    "ip daddr 192.0.2.1 tcp dport 80 dnat to 10.0.0.1:80-90\n}\n}\n",
    "table ip t {\nmap m {\ntype ipv4_addr : ipv4_addr\nelements = { 10.0.0.1 : 10.0.0.2 }\n}\n"
    "chain c {\ntype nat hook postrouting priority srcnat;\nsnat to ip saddr map @m\n"
    "masquerade\n}\n}\n",
    "table bridge t {\nchain c {\ntype filter hook input priority filter; policy drop;\n}\n}\n",
    "table netdev t {\nchain c {\ntype filter hook ingress device lo priority -500;\n}\n}\n",
    "table inet t {\nset s {\ntypeof ip saddr . tcp dport\nflags interval\n"
    "elements = { 10.0.0.0/8 . 1-1023 }\n}\nchain c {\nip saddr . tcp dport @s accept\n}\n}\n",
    "table t {\nchain c {\nmeter m { ip saddr limit rate over 5/second } drop\n}\n}\n",
    "table t {\nflags dormant\nlimit l {\nrate over 5/second\n}\nquota q {\n10 mbytes\n}\n"
    "chain c {\nlimit name \"l\" drop\nquota name \"q\" accept\n}\n}\n",
    "table inet t {\nchain c {\nreject with icmp host-unreachable\nip6 saddr ::1 reject\n"
    "tcp dport 1 reject with tcp reset\n}\n}\n",
    "table t {\nset s {\ntype inet_service\nflags interval\n}\n}\n"
    "add element t s { 1-10, 20 }\ndelete element t s { 20 }\n",
    # What nft prints of this, and does not take, lacks the family.
    "table inet t {\nchain c {\ntype filter hook input priority 0;\n"
    "ip6 saddr ::1 meta nfproto ipv4 reject\n}\n}\n",
]  # fmt: skip
REFUSED = [
    "table t {\nchain c {\njump d\n}\n}\ntable t {\nchain d {\n}\n}\n",
    "table t {\nchain c {\naccept counter\n}\n}\n",
    "table t { }\n# no line end",
    "table t {\r\n}\r\n",
    "table t {\nset s {\ntype ipv4_addr\nflags interval\n"
    "elements = { 10.0.0.0/8, 10.1.0.0/16 }\n}\n}\n",
    "table t {\nset s {\ntype ipv4_addr\nelements = {\n\n10.0.0.1 }\n}\n}\n",
    "table inet t {\nchain c {\ntype nat hook prerouting priority 0;\ndnat to 10.0.0.1\n}\n}\n",
    "table inet t {\nchain c {\ntype filter hook input priority 0;\n"
    "tcp dport 1 redirect to :2\n}\n}\n",
    "table inet t {\nchain c {\nmeta l4proto { tcp, udp } tcp dport 53\n}\n}\n",
    "table ip t {\nchain c {\nmeta nfproto ipv4\n}\n}\n",
    "table netdev t {\nchain c {\nct state new\n}\n}\n",
    "table t {\nchain c {\ntype filter hook input priority 0;\njump c\n}\n}\n",
    "table t {\nchain c {\n}\n}\ntable t {\nchain c {\ntype filter hook input priority 0;\n}\n}\n",
    "add table t\nadd chain t c\nadd rule t c ip saddr @s accept\n"
    "add set t s { type ipv4_addr; }\n",
]  # fmt: skip


@pytest.mark.parametrize("text", [*LOADS, *nft_refusals.TAKEN.values()])
def test_loads(text: str, tmp_path: Path) -> None:
    assert judge(text, tmp_path)


@pytest.mark.parametrize("text", [*REFUSED, *nft_refusals.REFUSED.values()])
def test_refused(text: str, tmp_path: Path) -> None:
    assert not judge(text, tmp_path)
