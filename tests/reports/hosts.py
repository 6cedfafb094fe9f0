"""Hosts for the reports: one whose files are hostile, one with every kind of quiet finding."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.cases import EXAMPLES

CLOSED = EXAMPLES / "web-443-closed"
NAME = "'\"><script>alert(1)&|`a`[x](http:evil)@team #1 %0A::error::x,y ]]>"
TEXT = (
    "</script><img src=x onerror=alert(1)> ::error::owned ##[error]owned ]]> <!-- `` ``` "
    "@team [x](http://evil.example) http://evil.example www.evil.example {{7*7}} \x1b[31m \u202e"
)


def closed(path: Path) -> Path:
    """Copy the example whose port is closed to a directory of a repository; return it."""
    path.mkdir(parents=True, exist_ok=True)
    (path / ".git").mkdir()
    shutil.copytree(CLOSED / "etc", path / "web/etc")
    return path / "web"


def hostile(path: Path) -> Path:
    """Make a host whose names and lines try to be more than text; return its directory."""
    (path / ".git").mkdir(parents=True)
    root = path / NAME
    shutil.copytree(CLOSED / "etc", root / "etc")
    sites = root / "etc/nginx/sites-enabled"
    site = (sites / "shop").read_text().replace("443 ssl;", f"443 ssl; # {TEXT}")
    (sites / "shop").unlink()
    (sites / NAME).write_text(site)
    rules = root / "etc/nftables.conf"
    rules.write_text(rules.read_text().replace("policy drop;", f"policy drop; # {TEXT}"))
    return root


def estate(path: Path) -> Path:
    """Make a repository of hosts with hostile names; return its directory."""
    (path / ".git").mkdir(parents=True)
    names = [NAME, "<svg onload=alert(1)>", "javascript:alert(1)", "a" * 250, "#top", "h0"]
    for name in (*names, "\u05d0\u202e\x1b[31mx", "&lt;b&gt;", "\udcff</title>"):
        shutil.copytree(CLOSED / "etc", path / name / "etc")
    return path


def everything(path: Path) -> Path:
    """Make a host with a service in every state; return its directory."""
    from tests import pki

    (path / ".git").mkdir(parents=True)
    root = path / "shop"
    shutil.copytree(CLOSED / "etc", root / "etc")
    for name, certificate in (
        ("shop.example.org", {"names": ["shop.example.org"]}),
        ("old.example.org", {"names": ["old.example.org"], "left": 5}),
        ("gone.example.org", {"names": ["gone.example.org"], "left": -3}),
    ):
        live = root / f"etc/letsencrypt/live/{name}"
        live.mkdir(parents=True)
        chain, key = pki.files(certificate)
        (live / "fullchain.pem").write_text(chain)
        (live / "privkey.pem").write_text(key)

    def server(listen: str, name: str) -> str:
        live = f"/etc/letsencrypt/live/{name}"
        return (
            f"server {{ {listen} server_name {name};\n  ssl_certificate {live}/fullchain.pem;\n"
            f"  ssl_certificate_key {live}/privkey.pem; }}\n"
        )

    (root / "etc/nginx/sites-enabled/more").write_text(
        server("listen 443 ssl;", "old.example.org")
        + server("listen 8443 ssl; listen [::]:8443 ssl;", "gone.example.org")
        + server("listen 9443 ssl;", "shop.example.org")
        + server("listen 7443 ssl;", "shop.example.org")
        + server("listen 6443 ssl;", "shop.example.org")
        + "server { listen 9090; }\nserver { listen 127.0.0.1:8080; }\n"
    )
    (root / "etc/nftables.conf").write_text(
        "#!/usr/sbin/nft -f\nflush ruleset\ntable inet filter {\n  chain input {\n"
        "    type filter hook input priority filter; policy drop;\n"
        "    iif lo accept\n    ct state established,related accept\n"
        "    meta l4proto { icmp, ipv6-icmp } accept\n    tcp dport { 22, 80, 9090 } accept\n"
        "    meta nfproto ipv4 tcp dport 8443 accept\n"
        "    ip saddr 10.0.0.0/8 tcp dport { 6443, 9443 } accept\n"
        "    ip saddr 198.51.100.0/24 tcp dport 9443 accept\n"
        "    tcp dport 7443 meta cgroup 42 accept\n  }\n}\n"
    )
    (path / ".sslint.yaml").write_text(
        "networks: {office: [10.0.0.0/8], shops: [198.51.100.0/24]}\n"
        "internal: [9090]\nnat: {8444: 8443}\n"
    )
    return root
