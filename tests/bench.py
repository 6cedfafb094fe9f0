"""What sslint costs beside what loads the same files: `make bench`, and `make bench-check`.

Each case is run by turns with the program that it is compared with; what counts is the time of the
processor (user and system), for a machine has other work too. The table lies in docs/benchmarks.md.
"""

from __future__ import annotations

import math
import os
import platform
import random
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

SSLINT = [sys.executable, "-m", "sslint"]
ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
PAGE = ROOT / "docs" / "benchmarks.md"
PICTURE = ROOT / "docs" / "benchmarks.svg"
RUNS = 3
MANY = 10_000  # rules: what takes no longer is measured more often, for it is mostly start-up
WORSE = 1.2  # times a kept ratio, which fails `--check`
Command = Sequence[str | Path]


@dataclass
class Cost:
    """The median cost of a command: seconds of the processor and of the clock, peak MiB."""

    cpu: float
    wall: float
    memory: int


@dataclass
class Case:
    """A command of sslint, what it is compared with, and of what it takes how many."""

    name: str
    command: Command
    reference: Command | None = None
    beside: str = ""
    series: str = ""  # cases of one series grow in one thing alone
    size: int = 0
    runs: int = RUNS
    own: Cost | None = None
    other: Cost | None = None

    @property
    def ratio(self) -> float | None:
        """The time of sslint as a multiple of the other's."""
        return self.own.cpu / self.other.cpu if self.own and self.other else None


def run(command: Command) -> Cost:
    """Run a command once. Raise RuntimeError if it fails."""
    words = [str(word) for word in command]
    with tempfile.TemporaryFile() as output:
        start = time.perf_counter()
        process = subprocess.Popen(words, stdout=output, stderr=output)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in (0, 1):
            output.seek(0)
            said = output.read().decode(errors="replace")[-300:]
            raise RuntimeError(f"{' '.join(words)[:200]}: exit {process.returncode}: {said}")
    return Cost(used.ru_utime + used.ru_stime, wall, used.ru_maxrss >> 10)


def measure(case: Case) -> None:
    """Run a case and what it is compared with by turns."""
    own, other = [], []
    for _ in range(case.runs):
        own.append(run(case.command))
        if case.reference is not None:
            other.append(run(case.reference))
    case.own = _median(own)
    case.other = _median(other) if other else None


def _median(costs: Sequence[Cost]) -> Cost:
    return Cost(
        statistics.median(cost.cpu for cost in costs),
        statistics.median(cost.wall for cost in costs),
        max(cost.memory for cost in costs),
    )


# -- what is read ---------------------------------------------------------------------------------

_SITE = """\
server {{
    listen 80;
    listen [::]:80;
    server_name {name} www.{name};
    location /.well-known/acme-challenge/ {{
        root /var/www/acme;
    }}
    location / {{
        return 301 https://$host$request_uri;
    }}
}}

server {{
    listen 443 ssl;
    listen [::]:443 ssl;
    http2 on;
    server_name {name} www.{name};
    ssl_certificate {pair}.pem;
    ssl_certificate_key {pair}.key;
    root /var/www/{name};
    index index.html;
    location / {{
        proxy_pass http://127.0.0.1:8080;
        proxy_set_header Host $host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    }}
}}
"""
_NFTABLES = """\
table inet filter {
    chain input {
        type filter hook input priority filter; policy drop;
        ct state established,related accept
        iifname lo accept
        meta l4proto ipv6-icmp accept
        tcp dport { 22, 80 } accept
    }
}
"""


def sites(root: Path, number: int, pair: tuple[Path, Path], *, own: bool = False) -> Path:
    """Write an nginx with two server blocks a site, a file each, behind a firewall that forgot 443.

    `own`: each site has files of its own for certificate and key. Return the main file.
    """
    nginx = root / "etc/nginx"
    (nginx / "sites-enabled").mkdir(parents=True)
    (nginx / "nginx.conf").write_text("events {}\nhttp {\n    include sites-enabled/*;\n}\n")
    (root / "etc/nftables.conf").write_text(_NFTABLES)
    for index in range(number):
        name = f"s{index:05}.example.org"
        paired = name if own else "all"
        text = _SITE.format(name=name, pair=paired)
        (nginx / "sites-enabled" / name).write_text(text)
        if own or not index:
            shutil.copy(pair[0], nginx / f"{paired}.pem")
            shutil.copy(pair[1], nginx / f"{paired}.key")
    return nginx / "nginx.conf"


def certificate(directory: Path) -> tuple[Path, Path]:
    """Write a certificate for *.example.org and its RSA key; return both."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.x509.oid import NameOID

    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "*.example.org")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(
            name, name, key.public_key(), 1, now, now.replace(year=now.year + 1)
        )
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("*.example.org")]), False)
        .sign(key, hashes.SHA256())
    )
    paths = directory / "pair.pem", directory / "pair.key"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths


def _source(choose: random.Random) -> str:
    return f"{choose.randrange(1, 224)}." + ".".join(str(choose.randrange(256)) for _ in range(3))


def _mixed(choose: random.Random, _: int) -> str:
    target = choose.choice(("ACCEPT", "DROP"))
    port = choose.randrange(1, 65536)
    return f"-A INPUT -s {_source(choose)}/32 -p tcp -m tcp --dport {port} -j {target}"


def _turns(choose: random.Random, number: int) -> str:
    return f"-A INPUT -s {_source(choose)}/32 -j {'ACCEPT' if number % 2 else 'DROP'}"


def _ban(choose: random.Random, _: int) -> str:
    return f"-A INPUT -s {_source(choose)}/32 -j DROP"


def dump(path: Path, number: int, rule: Callable[[random.Random, int], str]) -> Path:
    """Write an iptables-save dump that accepts 443 after many rules."""
    choose = random.Random(number)
    lines = ["*filter", ":INPUT DROP [0:0]", ":FORWARD DROP [0:0]", ":OUTPUT ACCEPT [0:0]"]
    lines += ["-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"]
    lines += [rule(choose, index) for index in range(number)]
    lines += ["-A INPUT -p tcp -m tcp --dport 443 -j ACCEPT", "COMMIT", ""]
    path.write_text("\n".join(lines))
    return path


def banned_set(path: Path, number: int) -> Path:
    """Write an nftables ruleset with a set of many addresses."""
    choose = random.Random(number)
    elements = ", ".join(sorted({_source(choose) for _ in range(number)}))
    path.write_text(
        "table inet f {\n set banned {\n  type ipv4_addr\n"
        f"  elements = {{ {elements} }}\n }}\n"
        " chain input {\n  type filter hook input priority 0; policy drop;\n"
        "  ip saddr @banned drop\n  tcp dport 443 accept\n }\n}\n"
    )
    return path


def ports(root: Path, listeners: int, rules: int) -> Path:
    """Write an nginx on many ports behind many rules."""
    nginx = root / "etc/nginx"
    nginx.mkdir(parents=True)
    listens = "".join(f"        listen {10_000 + index};\n" for index in range(listeners))
    (nginx / "nginx.conf").write_text(f"events {{}}\nhttp {{\n    server {{\n{listens}    }}\n}}\n")
    (root / "etc/iptables").mkdir()
    dump(root / "etc/iptables/rules.v4", rules, _mixed)
    return root


def many_hosts(root: Path, number: int) -> Path:
    """Write many small hosts: the sound ones again and again."""
    sound = sorted((ROOT / "tests" / "sound").iterdir())
    for index in range(number):
        shutil.copytree(sound[index % len(sound)], root / f"host{index:04}", symlinks=True)
    return root


# -- the cases ------------------------------------------------------------------------------------


def cases(work: Path) -> Iterator[Case]:
    """Yield each case, its files written."""
    bare = [sys.executable, "-c", "import argparse; argparse.ArgumentParser().parse_args()"]
    yield Case("sslint --version", [*SSLINT, "--version"], bare, "Python and argparse", runs=9)
    yield Case("a small host", [*SSLINT, "check", EXAMPLES / "sound"], runs=9)
    yield from _site_cases(work)
    yield from _rule_cases(work)
    for number in (10, 100, 400):
        root = many_hosts(work / f"hosts{number}", number)
        command = [*SSLINT, "check", root, "--jobs", "1"]
        yield Case(f"{number:,} small hosts", command, series="hosts", size=number, runs=1)
    for number in (100, 1_000, 10_000):
        root = ports(work / f"ports{number}", number, 10_000)
        command = [*SSLINT, "endpoints", root]
        yield Case(f"{number:,} endpoints, 10,000 rules", command, series="endpoints", size=number,
                   runs=1)  # fmt: skip


def _site_cases(work: Path) -> Iterator[Case]:
    pair = certificate(work)
    nginx = shutil.which("nginx")
    for number, own in ((100, False), (1_000, False), (10_000, False), (10_000, True)):
        root = work / f"sites{number}{own}"
        main = sites(root, number, pair, own=own)
        pid = f"pid {work}/nginx.pid; error_log stderr;"
        yield Case(
            f"{number:,} nginx sites" + (", a certificate and key each" if own else ""),
            [*SSLINT, "check", root],
            [nginx, "-t", "-q", "-g", pid, "-c", main] if nginx else None,
            "nginx -t",
            "" if own else "sites",
            number,
            1 if own else RUNS,
        )
        shutil.rmtree(root)


def _rule_cases(work: Path) -> Iterator[Case]:
    alone = ["unshare", "-n"] if os.geteuid() == 0 else None
    restore, nft = shutil.which("iptables-nft-restore"), shutil.which("nft")
    kinds = (("mixed", _mixed), ("by turns accept and drop", _turns), ("bans", _ban))
    for kind, rule in kinds:
        for number in (1_000, 10_000, 100_000):
            path = dump(work / f"{rule.__name__}{number}", number, rule)
            yield Case(
                f"{number:,} iptables rules, {kind}",
                [*SSLINT, "trace", "--firewall", f"iptables={path}", "443"],
                [*alone, restore, path] if alone and restore else None,
                "iptables-nft-restore",
                f"rules ({kind})",
                number,
                RUNS if number > MANY else 9,
            )
    for number in (1_000, 10_000, 100_000):
        path = banned_set(work / f"set{number}", number)
        yield Case(
            f"an nftables set of {number:,}",
            [*SSLINT, "trace", "--firewall", f"nft={path}", "443"],
            [*alone, nft, "-f", path] if alone and nft else None,
            "nft -f",
            "set elements",
            number,
            RUNS if number > MANY else 9,
        )


# -- the table ------------------------------------------------------------------------------------


@dataclass
class Table:
    """The cases that were run."""

    cases: list[Case] = field(default_factory=list)

    def exponents(self) -> dict[str, float]:
        """Return by series how time grows with size, from what comes on top of the smallest."""
        found: dict[str, list[tuple[int, float]]] = {}
        for case in self.cases:
            if case.series and case.own:
                found.setdefault(case.series, []).append((case.size, case.own.cpu))
        return {
            series: _exponent(points)
            for series, points in found.items()
            if len(points) > 2 and points[0][1] < points[-2][1] < points[-1][1]
        }

    def lines(self) -> list[str]:
        """Return the table in Markdown."""
        rows = ["| read | sslint | beside | ratio | peak memory |", "|---|---|---|---|---|"]
        for case in self.cases:
            assert case.own is not None
            other = f"{case.beside}: {case.other.cpu:.2f} s" if case.other else "-"
            ratio = f"{case.ratio:.2f}" if case.ratio is not None else "-"
            own = f"{case.own.cpu:.2f} s", other, ratio, f"{case.own.memory} MiB"
            rows.append(f"| {' | '.join((case.name, *own))} |")
        grows = [f"{series} {exponent:.2f}" for series, exponent in self.exponents().items()]
        return [*rows, "", f"Time grows with this power of the number: {', '.join(grows)}."]


def _exponent(points: Sequence[tuple[int, float]]) -> float:
    (least, start), (size, cost), (most, last) = points[0], points[-2], points[-1]
    return math.log((last - start) / (cost - start)) / math.log((most - least) / (size - least))


FOUND = """\
## Where the time goes

Of 10,000 sites a seventh is reading files, a twentieth their statements, a quarter what sockets,
sites and redirects are made of them, over a third facts and rules, a tenth start-up. Server blocks,
and files of them, that differ from others by names alone are found by a pattern of what they have
in common; what all of them say is asked once, and so is one of facts that are alike. What is left
is four calls of the system a file, and some thirty Python objects a site: server, site, names,
redirect, upstream, certificate, and their places. nginx spends over half of its time on
certificates: it loads one for each block, where sslint loads the same file once. With a certificate
and key each, three fifths of sslint's time is reading and parsing these, over half of that in the
library for them: a quarter on the signatures of those that are their own issuers.

Of 100,000 iptables rules with ports two fifths is reading, a quarter sorting the addresses and
ports that they mention, a twentieth finding the rules that name the packet's port; an eighth is
start-up. Where rules accept and drop by turns, a quarter is reading, a fifth sorting the addresses,
a fifth giving each to its first rule, once for the answer and once to explain it. Lines that differ
in a few numbers and the verdict alone are kept as columns, and a rule is made of one when somebody
asks for it. What is left is a Python integer for each address, and the search for it in a table of
200,000, which no cache of the processor holds: so a tenth as many take less than a tenth.

Of many small hosts a quarter is following packets through their rules, a quarter facts and rules,
and up to a third looking for files that are not there and reading those that are: units, packages,
compose files. The search for cycles is off in a run: it took a tenth of the time, and the memory is
bounded by the limits. On two processors that have nothing else to do, two processes judge 1,000
small hosts in 4.6 s where one takes 7.8 s; sending what is found costs an eighth of the time.
""".splitlines()


def page(table: Table) -> str:
    """Return docs/benchmarks.md."""
    today = datetime.now(UTC).date().isoformat()
    return "\n".join(
        [
            "# Benchmarks",
            "",
            "What sslint costs beside the program that loads the same files, run by turns on one",
            "machine: seconds of the processor, user and system, the median of several runs. What",
            "the kernel and the servers do is not what sslint does: they load, it answers who",
            "reaches what. `make bench` writes this page, and `make bench-check` fails where a",
            "ratio has become worse by a fifth.",
            "",
            "![The ratios as bars](benchmarks.svg)",
            "",
            *table.lines(),
            "",
            *FOUND,
            "",
            f"{today}; {_machine()}; {', '.join(_versions())}.",
            "",
        ]
    )


def _machine() -> str:
    found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    name = found[1] if found else platform.machine()
    return f"{name}, {os.cpu_count()} processors, Linux {platform.release()}"


def _versions() -> Iterator[str]:
    yield f"Python {platform.python_version()}"
    for command in (["nginx", "-v"], ["iptables", "--version"], ["nft", "--version"]):
        if shutil.which(command[0]):
            done = subprocess.run(command, capture_output=True, check=False, text=True)
            yield (done.stdout + done.stderr).strip().removeprefix("nginx version: ")


def picture(table: Table) -> str:
    """Return the ratios as bars; the line is where both take the same time."""
    shown = [case for case in table.cases if case.ratio is not None]
    scale = 300 / max(2.0, *(min(case.ratio or 0, 4.0) for case in shown))
    height = 24 * len(shown) + 30
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 {height}" font-size="13"'
        ' font-family="sans-serif" role="img" aria-label="Ratios of time">',
        f'<rect width="760" height="{height}" fill="#ffffff"/>',
    ]
    for row, case in enumerate(shown):
        ratio = case.ratio or 0
        top = 24 * row + 8
        parts += [
            f'<text x="330" y="{top + 13}" text-anchor="end">{case.name}</text>',
            f'<rect x="340" y="{top}" width="{min(ratio, 4.0) * scale:.0f}" height="16"'
            f' fill="{"#2f7d4f" if ratio <= 1 else "#b5651d"}"/>',
            f'<text x="{346 + min(ratio, 4.0) * scale:.0f}" y="{top + 13}">{ratio:.2f}'
            f" of {case.beside}</text>",
        ]
    parts += [
        f'<line x1="{340 + scale:.0f}" x2="{340 + scale:.0f}" y1="0" y2="{height - 22}"'
        ' stroke="#555555" stroke-dasharray="3 3"/>',
        f'<text x="{340 + scale:.0f}" y="{height - 8}" text-anchor="middle">as long</text>',
        "</svg>\n",
    ]
    return "\n".join(parts)


def worse(table: Table, kept: str) -> list[str]:
    """Say which ratios are worse than those of the page by a fifth."""
    known = dict(re.findall(r"^\| ([^|]+?) \|[^|]*\|[^|]*\| ([\d.]+) \|", kept, re.M))
    return [
        f"{case.name}: {case.ratio:.2f}, and {known[case.name]} before"
        for case in table.cases
        if case.ratio is not None
        and case.name in known
        and case.ratio > float(known[case.name]) * WORSE + 0.02
    ]


def main() -> int:
    """Measure, and write the page, or with --check compare with it."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed sslint is compiled
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    )
    table = Table()
    with tempfile.TemporaryDirectory() as name:
        for case in cases(Path(name)):
            measure(case)
            table.cases.append(case)
            assert case.own is not None
            ratio = f"{case.ratio:6.2f} of {case.beside}" if case.ratio is not None else ""
            print(
                f"{case.name:52} {case.own.cpu:7.2f} s {case.own.memory:5} MiB {ratio}", flush=True
            )
    print("\n".join(table.lines()[-1:]))
    if "--check" in sys.argv:
        found = worse(table, PAGE.read_text())
        print("\n".join(found))
        return 1 if found else 0
    PAGE.write_text(page(table))
    PICTURE.write_text(picture(table))
    return 0


if __name__ == "__main__":
    sys.exit(main())
