"""Whole-process times: `make bench`. A table, not a test; compare it with the commit before."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

SSLINT = [sys.executable, "-m", "sslint"]
EXAMPLES = Path(__file__).parent.parent / "examples"


def measure(name: str, command: Sequence[str | Path], runs: int = 5) -> float:
    """Time a command and print a line; the first run is not counted."""
    times = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        done = subprocess.run([str(word) for word in command], capture_output=True, check=False)
        times.append(time.perf_counter() - start)
        if done.returncode not in (0, 1):
            print(f"{name:58} exit {done.returncode}: {done.stderr.decode()[-200:]}")
            return 0.0
    counted = times[1:]
    median = statistics.median(counted)
    print(f"{name:58} {median:8.3f} s   ({min(counted):.3f} to {max(counted):.3f})")
    return median


def dump(rules: int, rule: Callable[[int], str]) -> str:
    """Return an iptables-save dump that accepts 443 after many rules."""
    lines = ["*filter", ":INPUT DROP [0:0]", ":FORWARD DROP [0:0]", ":OUTPUT ACCEPT [0:0]"]
    lines += ["-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"]
    lines += [rule(number) for number in range(rules)]
    lines += ["-A INPUT -p tcp -m tcp --dport 443 -j ACCEPT", "COMMIT", ""]
    return "\n".join(lines)


def source(number: int) -> str:
    """Return one of a hundred thousand public addresses."""
    return f"{20 + (number >> 16)}.{number >> 8 & 255}.{number & 255}.7"


def ban(number: int) -> str:
    """Return a rule that drops one address."""
    return f"-A INPUT -s {source(number)}/32 -j DROP"


def mixed(number: int) -> str:
    """Return a rule as they are found: sources, ports and states."""
    port = number % 60000 + 1
    kinds = (
        ban(number),
        f"-A INPUT -s {source(number)}/32 -p tcp -m tcp --dport {port} -j ACCEPT",
        f"-A INPUT -p tcp -m multiport --dports {port},25 -m state --state NEW -j DROP",
    )
    return kinds[number % 3]


def sites(root: Path, number: int) -> None:
    """Write an nginx with many server blocks, a file each."""
    enabled = root / "etc/nginx/sites-enabled"
    enabled.mkdir(parents=True)
    (root / "etc/nginx/nginx.conf").write_text(
        "events {}\nhttp {\n    include /etc/nginx/sites-enabled/*;\n}\n"
    )
    for index in range(number):
        (enabled / f"site{index:05}").write_text(
            f"server {{\n    listen 443 ssl;\n    listen [::]:443 ssl;\n"
            f"    server_name s{index}.example.org;\n"
            "    ssl_certificate /etc/ssl/all.pem;\n    ssl_certificate_key /etc/ssl/all.key;\n"
            "    location / {\n        proxy_pass http://127.0.0.1:8080;\n    }\n}\n"
        )


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        measure("sslint rules", [*SSLINT, "rules"])
        measure("sslint check, a small host", [*SSLINT, "check", EXAMPLES / "sound"])
        if Path("/etc/nginx").is_dir():
            measure("sslint check /etc, this machine's", [*SSLINT, "check", "/etc"])
        sites(work / "web", 10_000)
        measure("sslint check, 10,000 server blocks", [*SSLINT, "check", work / "web"], 1)
        for rules, rule in (
            (6_000, mixed),
            (100_000, ban),
        ):
            path = work / f"rules{rules}"
            path.write_text(dump(rules, rule))
            measure(
                f"sslint trace 443, {rules:,} rules",
                [*SSLINT, "trace", "--firewall", f"iptables={path}", "443"],
                3,
            )
            restore = shutil.which("iptables-nft-restore")
            if restore and os.geteuid() == 0:
                load = ["unshare", "-n", restore, path]
                measure(f"iptables-nft-restore, the same {rules:,} rules", load, 3)


if __name__ == "__main__":
    main()
