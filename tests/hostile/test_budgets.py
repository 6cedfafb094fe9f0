"""What runs out is said with its place, makes its layer unknown, and ends in exit 3: by counts."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sslint import budgets, cli
from tests.hostile import running
from tests.hostile.registry import POLICY_DROP, Ground

FACTOR = running.machine_factor()
SERVER = "server { listen 443 ssl; server_name a.example.org; }\n"


def sites(g: Ground) -> None:
    g.nginx(more="include /etc/nginx/sites-enabled/*;")
    for n in range(9):
        g.write(f"etc/nginx/sites-enabled/s{n}", SERVER.replace("443", str(8443 + n)))


def hosts(g: Ground) -> None:
    g.nginx(SERVER)
    g.write(".sslint.yaml", "hosts: {a: {root: .}, b: {root: .}, c: {root: .}}\n")


def postfix(g: Ground) -> None:
    g.write("etc/postfix/main.cf", "a = mail\nb = $a.$a.$a.$a.example.org\nmyhostname = $b\n")
    g.write("etc/postfix/master.cf", "smtp inet n - y - - smtpd\n")


def compose(g: Ground) -> None:
    g.nginx(SERVER)
    g.write("compose.yaml", "services: {a: {ports: ['1:1', '2:2', '3:3', '4:4']}}\n")


def elements(g: Ground) -> None:
    g.nginx(SERVER)
    g.nft("ip saddr { 10.0.0.1, 10.0.0.2, 10.0.0.3, 10.0.0.4 } tcp dport 443 accept")


def ipset(g: Ground) -> None:
    g.nginx(SERVER)
    lines = "".join(f"add s 10.0.0.{n}\n" for n in range(1, 250, 3))
    g.write("etc/iptables/ipsets", f"create s hash:ip\n{lines}")
    g.write("etc/iptables/rules.v4", "*filter\n:INPUT DROP [0:0]\n"
            "-A INPUT -m set --match-set s src -j ACCEPT\nCOMMIT\n")  # fmt: skip


def chains(g: Ground) -> None:
    g.nginx(SERVER)
    jumps = "\n".join(f"ip saddr 10.0.{n}.0/24 jump c{n}" for n in range(9))
    more = "\n".join(f"chain c{n} {{ tcp dport 443 accept; }}" for n in range(9))
    g.write("etc/nftables.conf", POLICY_DROP.replace(" chain i", f"{more}\n chain i") % jumps)


def firewalld(g: Ground) -> None:
    g.nginx(SERVER)
    g.write("etc/firewalld/firewalld.conf", "DefaultZone=public\nFirewallBackend=nftables\n")
    for n in range(4):
        g.write(f"etc/firewalld/zones/z{n}.xml", f'<zone><source address="10.{n}.0.0/16"/></zone>')
        g.write(f"etc/firewalld/policies/p{n}.xml", '<policy target="CONTINUE"><ingress-zone name='
                '"ANY"/><egress-zone name="HOST"/></policy>')  # fmt: skip


# name: (limit, tree, the place that is named, layer)
Case = tuple[int, Callable[[Ground], None], str, str]
CASES: dict[str, Case] = {
    "hosts": (2, hosts, ".", "host"),
    "bytes": (60, sites, "etc/nginx/nginx.conf", "nginx"),
    "files": (3, sites, "etc/nginx/nginx.conf:3", "nginx"),
    "entries": (5, sites, "etc/nginx", ""),
    "matches": (5, sites, "etc/nginx/nginx.conf:3", "nginx"),
    "includes": (5, sites, "etc/nginx/nginx.conf:3", "nginx"),
    "statements": (9, sites, "etc/nginx/nginx.conf:3", "nginx"),
    "sockets": (5, sites, "etc/nginx/sites-enabled/s5:1", "nginx"),
    "expansions": (3, postfix, "etc/postfix/", "postfix"),
    "published": (2, compose, "compose.yaml", "compose"),
    "elements": (3, elements, "etc/nftables.conf", "nft"),
    "ranges": (30, ipset, "etc/iptables/", "firewall"),
    "pairs": (9, firewalld, "etc/firewalld", "firewalld"),
    "states": (4, chains, "etc/nftables.conf", "firewall"),
    "steps": (15, chains, "etc/nftables.conf", "firewall"),
}


def test_every_budget_is_tried() -> None:
    assert set(CASES) == set(budgets.LIMITS) - {"seconds", "memory"}


@pytest.mark.parametrize("name", CASES)
def test_what_runs_out_is_said(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    limit, make, place, layer = CASES[name]
    ground = Ground(tmp_path)
    make(ground)
    words = ["check", str(ground.root), "--format", "json"]
    whole = cli.main([*words, "--fail-on", "never"])
    capsys.readouterr()
    assert whole == 0, "with the limits of every day it is read"
    assert cli.main([*words, "--limit", f"{name}={limit}", "--fail-on", "never"]) == 3
    out, _ = capsys.readouterr()
    report = json.loads(out)
    said = f"needs more than {limit:,} {budgets.LIMITS[name][1]}"
    told = [one for one in report["unread"] if said in one["reason"]]
    assert told, report["unread"]
    assert any(one["decisive"] for one in told)
    places = [one["path"] + (f":{one['line']}" if "line" in one else "") for one in told]
    assert any(found.startswith(place) for found in places), places
    assert any(layer in one["reason"] for one in told), told


@pytest.mark.parametrize("name", ["elements", "ranges", "pairs", "states", "steps"])
def test_a_firewall_that_runs_out_decides_nothing(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    limit, make, _, _ = CASES[name]
    ground = Ground(tmp_path)
    make(ground)
    cli.main(["endpoints", str(ground.root), "--format", "json", "--limit", f"{name}={limit}"])
    report = json.loads(capsys.readouterr().out)
    verdicts = {
        reach["verdict"]
        for endpoint in report["endpoints"]
        for reach in endpoint["reach"].values()
        if reach is not None
    }
    assert verdicts == {"unknown"}


def test_a_larger_input_may_use_more() -> None:
    one = budgets.Budgets()
    one.read((1, 1), 5 << 20)
    assert one.allowed("steps") == 6 * budgets.LIMITS["steps"][0]
    assert one.allowed("sockets") == budgets.LIMITS["sockets"][0]


def test_what_is_read_again_raises_no_limit() -> None:
    one = budgets.Budgets()
    for _ in range(9):
        one.read((1, 1), 5 << 20)
    assert one.used["bytes"] == 45 << 20
    assert one.allowed("steps") == 6 * budgets.LIMITS["steps"][0]


LARGE = "".join(f"server {{ listen {n}; server_name s{n}; }}\n" for n in range(2000, 20_000))


def _links(g: Ground) -> None:
    """One file of 18,000 server blocks, by sixty names."""
    g.nginx(more="include /etc/nginx/sites-enabled/*;")
    g.write("etc/nginx/sites-available/large", LARGE)
    for n in range(60):
        g.link(f"etc/nginx/sites-enabled/s{n}", "../sites-available/large")


def _hard_links(g: Ground) -> None:
    _links(g)
    sites = g.root / "etc/nginx/sites-enabled"
    for link in sites.iterdir():
        link.unlink()
        link.hardlink_to(g.root / "etc/nginx/sites-available/large")


def _names(g: Ground) -> None:
    """One file, by two hundred hosts."""
    g.nginx(more="include /etc/nginx/sites-enabled/*;")
    g.write("etc/nginx/sites-enabled/large", LARGE)
    names = "".join(f" h{n}: {{root: .}}\n" for n in range(200))
    g.write(".sslint.yaml", f"hosts:\n{names}")


def _linked_hosts(g: Ground) -> None:
    """One file, by hosts whose directories are links."""
    g.nginx(more="include /etc/nginx/sites-enabled/*;")
    g.write("etc/nginx/sites-enabled/large", LARGE)
    for n in range(60):
        g.link(f"hosts/h{n}/etc", "../../etc")


@pytest.mark.parametrize("make", [_links, _hard_links, _names, _linked_hosts])
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_no_link_buys_time(make: Callable[[Ground], None], jobs: str, tmp_path: Path) -> None:
    """A tree of 1 MB has what 1 MB is allowed, by whatever names."""
    ground = Ground(tmp_path)
    make(ground)
    words = [sys.executable, "-I", "-m", "sslint", "check", str(ground.root), "--jobs", jobs]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(words, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 3, done.stderr
    assert "needs more than" in done.stdout + done.stderr
    taken = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert taken < 10 * FACTOR


def test_layers_and_hosts_share_one_budget(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ground = Ground(tmp_path)
    hosts(ground)
    words = ["check", str(ground.root), "--fail-on", "never"]
    assert cli.main([*words, "--limit", "sockets=3"]) == 0
    assert cli.main([*words, "--limit", "sockets=2"]) == 3
    assert "(c)" in capsys.readouterr().out


def test_a_run_leaves_no_budget_behind(tmp_path: Path) -> None:
    ground = Ground(tmp_path)
    sites(ground)
    cli.main(["check", str(ground.root), "--limit", "steps=3"])
    budgets.spend("steps", 4)
