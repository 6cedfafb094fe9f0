"""The real firewalld in namespaces of its own, with its own D-Bus, and configurations for it."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

END = "--end--"
START = """
mount --make-rprivate / && mount -t tmpfs tmpfs /run && mkdir -p /run/dbus /run/firewalld
mount --bind {etc} /etc/firewalld && mount -t tmpfs tmpfs /var/log && ip link set lo up
dbus-daemon --system --fork && firewalld --nofork --nopid >/dev/null 2>&1 &
for i in $(seq 100); do
  case $(firewall-cmd --state 2>&1) in running|failed) break;; esac; sleep 0.1
done
"""


class Lab:
    """firewalld with `etc` as its /etc/firewalld. `start` boots it, `load` reloads it."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="sslint-firewalld-"))
        self.etc = self.directory / "etc"
        self.etc.mkdir()
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Lab:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def stop(self) -> None:
        """End the daemon and everything in its namespaces."""
        if self._process is not None:
            with self._process:  # which closes its pipes
                self._process.kill()
            self._process = None

    def write(self, files: dict[str, str]) -> None:
        """Make these the files of /etc/firewalld."""
        for entry in self.etc.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        for path, text in files.items():
            place = self.etc / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)

    def start(self, files: dict[str, str]) -> str:
        """Boot with these files; return `nft list ruleset`."""
        self.stop()
        self.write(files)
        command = ["unshare", "-n", "-m", "--pid", "--fork", "--kill-child", "--mount-proc"]
        self._process = subprocess.Popen(
            [*command, "bash", "-s"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "LC_ALL": "C"},
        )
        self._run(START.format(etc=self.etc))
        return self._run("sleep 0.3; nft -s list ruleset")

    def load(self, files: dict[str, str]) -> tuple[bool, str]:
        """Reload with these files; return whether they were accepted and `nft list ruleset`."""
        self.write(files)
        answer = self._run("firewall-cmd --reload 2>&1 | tail -1; nft -s list ruleset")
        first, _, listing = answer.partition("\n")
        return first.strip() == "success", listing

    def _run(self, command: str) -> str:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{command}\necho {END}\n")
        self._process.stdin.flush()
        lines = []
        deadline = time.monotonic() + 60
        for line in self._process.stdout:
            if line.strip() == END or time.monotonic() > deadline:
                break
            lines.append(line)
        return "".join(lines)


SERVICES = [
    "http",
    "https",
    "smtp",
    "smtps",
    "imaps",
    "pop3s",
    "ssh",
    "dns",
    "ftp",
    "mdns",
    "samba",
    "dhcpv6-client",
    "ipsec",
    "freeipa-4",
    "tftp",
    "smtp-submission",
    "high-availability",
    "gre",
    "kerberos",
    "RH-Satellite-6",
    "mine",
]
PORTS = ["22", "25", "80", "443", "465", "587", "993", "8443", "1000-2000", "440-450", "1-65535"]
PROTOCOLS = ("tcp", "tcp", "tcp", "udp", "sctp")
SOURCES = {
    "ipv4": ["10.0.0.0/8", "192.0.2.0/24", "192.0.2.7", "203.0.113.0/24", "198.51.100.128/25"],
    "ipv6": [
        "2001:db8::/32",
        "2001:db8:1::/48",
        "2001:db8:1::5",
        "fd00::/8",
        "2001:db8:ffff::1/64",
    ],
}
ICMP = {
    "ipv4": ("echo-request", "fragmentation-needed", "redirect", "host-unreachable"),
    "ipv6": ("echo-request", "packet-too-big", "redirect", "no-route"),
    "": ("echo-request", "redirect", "time-exceeded"),
}
ZONES = ("public", "home", "work", "dmz", "aa", "zz", "trusted", "drop", "block")
MINE = (
    '<service><port port="8443" protocol="tcp"/><source-port port="500" protocol="udp"/>'
    '<protocol value="esp"/><include service="https"/>{}</service>'
)


def configuration(rng: random.Random) -> dict[str, str]:
    """Return the files of a random configuration that firewalld accepts."""
    destination = rng.choice(("", '<destination ipv4="198.51.100.0/24" ipv6="2001:db8:1::1"/>'))
    files = {"services/mine.xml": MINE.format(destination)}
    files["ipsets/us.xml"] = (
        '<ipset type="hash:net"><entry>203.0.113.8</entry><entry>192.0.2.0/25</entry></ipset>'
    )
    names = rng.sample(ZONES, rng.randint(1, 4))
    interfaces = rng.sample(("eth0", "eth1", "wg0", "br+"), 4)
    sources = rng.sample(SOURCES["ipv4"] + SOURCES["ipv6"], 10)
    for name in names:
        files[f"zones/{name}.xml"] = _zone(rng, interfaces, sources)
    for number in range(rng.choice((0, 1, 1, 2))):
        files[f"policies/p{number}.xml"] = _policy(rng, names)
    options = [f"DefaultZone={rng.choice(('public', 'drop', 'nosuch', *names))}"]
    options += [f"StrictForwardPorts={rng.choice(('yes', 'no', 'no'))}"]
    filters = ("yes", "no", "loose", "loose-forward", "strict-forward")
    options += [f"IPv6_rpfilter={rng.choice(filters)}"]
    options += [f"LogDenied={rng.choice(('off', 'off', 'all'))}"]
    files["firewalld.conf"] = "\n".join([*options, ""])
    return files


def _some(rng: random.Random, most: int) -> range:
    return range(rng.randint(0, most))


def _port(rng: random.Random, name: str = "port") -> str:
    return f'<{name} port="{rng.choice(PORTS)}" protocol="{rng.choice(PROTOCOLS)}"/>'


def _zone(rng: random.Random, interfaces: list[str], sources: list[str]) -> str:
    inner = [f'<interface name="{interfaces.pop()}"/>' for _ in _some(rng, 1) if interfaces]
    inner += [f'<source address="{sources.pop()}"/>' for _ in _some(rng, 2)]
    inner += [f'<service name="{rng.choice(SERVICES)}"/>' for _ in _some(rng, 3)]
    inner += [_port(rng) for _ in _some(rng, 2)] + [
        _port(rng, "source-port") for _ in _some(rng, 1)
    ]
    inner += [f'<icmp-block name="{rng.choice(ICMP[""])}"/>' for _ in _some(rng, 1)]
    inner += [_forward(rng, "ipv4") for _ in _some(rng, 1)]
    inner += [_rule(rng) for _ in _some(rng, 4)]
    for element in ("icmp-block-inversion", "masquerade", "forward"):
        if rng.random() < 0.2:
            inner.append(f"<{element}/>")
    rng.shuffle(inner)
    targets = ("", "", ' target="ACCEPT"', ' target="DROP"', ' target="%%REJECT%%"')
    attributes = rng.choice((*targets, ' target="default"'))
    attributes += rng.choice(("", "", ' ingress-priority="-10"', ' ingress-priority="5"'))
    return f"<zone{attributes}>\n" + "\n".join(inner) + "\n</zone>\n"


def _policy(rng: random.Random, zones: list[str]) -> str:
    ingress, egress = rng.choice((("ANY", "HOST"), ("z", "HOST"), ("HOST", "ANY"), ("ANY", "z")))
    zone = rng.choice(zones)
    ends = [f'<ingress-zone name="{zone if ingress == "z" else ingress}"/>']
    ends += [f'<egress-zone name="{zone if egress == "z" else egress}"/>']
    inner = [f'<service name="{rng.choice(SERVICES)}"/>' for _ in _some(rng, 2)]
    inner += [_port(rng) for _ in _some(rng, 1)]
    inner += [_rule(rng, plain=True) for _ in _some(rng, 2)]
    target = rng.choice(("CONTINUE", "CONTINUE", "ACCEPT", "REJECT", "DROP"))
    priority = rng.choice((-200, -1, 5, 100))
    lines = "\n".join(ends + inner)
    return f'<policy target="{target}" priority="{priority}">\n{lines}\n</policy>\n'


def _forward(rng: random.Random, family: str) -> str:
    target = ' to-port="8443"'
    if rng.random() < 0.3:
        target = f' to-addr="{"10.1.2.3" if family == "ipv4" else "2001:db8:9::1"}"'
    return f'<forward-port port="{rng.choice(PORTS[:8])}" protocol="tcp"{target}/>'


def _rule(rng: random.Random, *, plain: bool = False) -> str:
    family = rng.choice(("", "ipv4", "ipv4", "ipv6"))
    priority = rng.choice((0, 0, 0, -5, -100, 7, 32767))
    parts = []
    if family and rng.random() < 0.6:
        invert = rng.choice(("", "", "", ' invert="True"'))
        parts.append(f'<source address="{rng.choice(SOURCES[family])}"{invert}/>')
    elif family != "ipv6" and rng.random() < 0.3:
        parts.append('<source ipset="us"/>')
    if family and rng.random() < 0.15:
        here = "198.51.100.1" if family == "ipv4" else "2001:db8:1::1"
        parts.append(f'<destination address="{here}"/>')
    action = rng.choice(("<accept/>", "<accept/>", "<drop/>", "<reject/>", '<mark set="3"/>'))
    if plain and "mark" in action:
        action = "<drop/>"
    kinds = ("service", "port", "port", "protocol", "source-port", "icmp-type", "forward-port")
    kind = rng.choice(kinds[:-1] if plain or not family else kinds)
    if kind == "service":
        parts.append('<service name="https"/>')
    elif kind == "protocol":
        parts.append(f'<protocol value="{rng.choice(("tcp", "udp", "icmp", "esp"))}"/>')
    elif kind == "icmp-type":
        parts.append(f'<icmp-type name="{rng.choice(ICMP[family])}"/>')
    elif kind == "forward-port":
        parts.append(_forward(rng, family))
        action = ""
    else:
        parts.append(_port(rng, kind))
    attributes = (f' family="{family}"' if family else "") + (
        f' priority="{priority}"' if priority else ""
    )
    return f"<rule{attributes}>{''.join(parts)}{action}</rule>"
