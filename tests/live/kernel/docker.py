"""What Docker adds for published ports beside random rulesets: the kernel's word on both."""

from __future__ import annotations

import contextlib
import multiprocessing
import random
import traceback
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Literal

from sslint import values
from sslint.firewalls.docker import BRIDGE, Publication, assume
from sslint.netfilter.reach import Firewall
from sslint.network import read_network
from sslint.source import SourceFile
from tests.live.kernel.campaign import LABS
from tests.live.kernel.generators import Case, generate
from tests.live.kernel.judge import NETWORK, firewall, judge, load
from tests.live.kernel.lab import Lab, Refused, run
from tests.live.kernel.packets import Packet
from tests.support import tree_of

PORTS = (80, 443, 5432, 8443)  # of the container; the host's are these or others
REAL_BRIDGE = "br-0a1b2c3d4e5f"
# As dockerd 26 does when it starts and when it makes a network (moby, libnetwork/iptables).
START = """\
iptables -t nat -N DOCKER
iptables -N DOCKER
iptables -N DOCKER-ISOLATION-STAGE-1
iptables -N DOCKER-ISOLATION-STAGE-2
iptables -A DOCKER-ISOLATION-STAGE-1 -j RETURN
iptables -A DOCKER-ISOLATION-STAGE-2 -j RETURN
iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
iptables -t nat -A OUTPUT -m addrtype --dst-type LOCAL ! --dst 127.0.0.0/8 -j DOCKER
iptables -t nat -I POSTROUTING -s 172.18.0.0/16 ! -o {bridge} -j MASQUERADE
iptables -t nat -I DOCKER -i {bridge} -j RETURN
iptables -I FORWARD -i {bridge} -o {bridge} -j ACCEPT
iptables -I FORWARD -i {bridge} ! -o {bridge} -j ACCEPT
iptables -I FORWARD -o {bridge} -j DOCKER
iptables -I FORWARD -o {bridge} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
iptables -I DOCKER-ISOLATION-STAGE-1 -i {bridge} ! -o {bridge} -j DOCKER-ISOLATION-STAGE-2
iptables -I DOCKER-ISOLATION-STAGE-2 -o {bridge} -j DROP
iptables -I FORWARD -j DOCKER-ISOLATION-STAGE-1
"""
PUBLISH = """\
iptables -t nat -A DOCKER {to}! -i {bridge} -p {proto} --dport {port} -j DNAT \
--to-destination 172.18.0.2:{target}
iptables -A DOCKER -d 172.18.0.2 ! -i {bridge} -o {bridge} -p {proto} --dport {target} -j ACCEPT
iptables -t nat -A POSTROUTING -s 172.18.0.2 -d 172.18.0.2 -p {proto} --dport {target} \
-j MASQUERADE
"""
USER_CHAIN = ("-N DOCKER-USER", "-A DOCKER-USER -j RETURN", "-I FORWARD -j DOCKER-USER")
NETWORKED = f"""\
ip link add {REAL_BRIDGE} type bridge
ip link add inside0 type veth peer name inside1
ip link set inside0 master {REAL_BRIDGE} up
ip link set inside1 up
ip address add 172.18.0.1/16 dev {REAL_BRIDGE}
ip link set {REAL_BRIDGE} up
ip neigh add 172.18.0.2 lladdr 02:42:ac:12:00:02 dev {REAL_BRIDGE}
"""


@dataclass
class Published:
    """The figures of a comparison."""

    kind: str
    seed: int
    rulesets: int = 0
    packets: int = 0
    accepted: int = 0
    unknown: int = 0
    failures: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"docker beside {self.kind}: {self.rulesets} rulesets, {self.packets} packets "
            f"({self.accepted} accepted), {self.unknown} unknown, {len(self.failures)} disagree, "
            f"seed {self.seed}"
        )


def compare(kind: str, count: int, packets: int, seed: int) -> Published:
    """Compare so many random rulesets with published ports, in a process with a lab of its own."""
    found = Published(kind, seed)
    tasks = [(kind, seed + number, packets) for number in range(count)]
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        for number, (verdicts, accepted, failure) in enumerate(pool.map(_one, tasks)):
            found.rulesets += bool(verdicts)
            found.packets += len(verdicts)
            found.accepted += sum(accepted)
            found.unknown += verdicts.count("unknown")
            if failure:
                found.failures.append(f"{kind} seed {seed + number}: {failure}")
    return found


_labs: dict[str, Lab] = {}


def _one(task: tuple[str, int, int]) -> tuple[list[str], list[bool], str]:
    kind, seed, packets = task
    case = generate(kind, seed, packets)
    words = random.Random(f"docker {kind} {seed}")
    published = [_publication(words) for _ in range(words.randint(1, 3))]
    published = list({one.key: one for one in published}.values())
    _with_user_chain(case, words)
    try:
        lab = _labs.get(kind)
        if lab is None:
            lab = _labs[kind] = LABS.get(kind, Lab)()
            _commands(NETWORKED)
        _clear()
        load(lab, case)
        _commands(START.format(bridge=REAL_BRIDGE))
        for one in published:
            to = f"-d {one.host} " if one.host else ""
            _commands(
                PUBLISH.format(
                    to=to, bridge=REAL_BRIDGE, proto=one.transport, port=one.port, target=one.target
                )
            )
        for line in USER_CHAIN if "DOCKER-USER" not in run("iptables-nft-save") else USER_CHAIN[2:]:
            run("iptables-nft", *line.split())
        case.packets = _aimed(case.packets, published, words)
        accepted = lab.send(case.packets)
    except Refused:
        return [], [], ""
    try:
        return _judged(case, published, accepted)
    except Exception:
        return [], [], f"{traceback.format_exc()}\n{case.rulesets}\n{published}"


def _judged(
    case: Case, published: list[Publication], accepted: list[bool]
) -> tuple[list[str], list[bool], str]:
    tree = tree_of({})
    whole = assume(tree, read_network(tree), firewall(case).ruleset, published)
    judged = Firewall(whole, values.replace(NETWORK, inner=(BRIDGE,)))
    verdicts = [judge(judged, packet).verdict for packet in case.packets]
    for packet, verdict, passed in zip(case.packets, verdicts, accepted, strict=True):
        if verdict != "unknown" and (verdict == "accept") != passed:
            texts = "\n".join(f"--- {kind}\n{text}" for kind, text in case.rulesets.items())
            places = [(one.transport, one.host, one.port, one.target) for one in published]
            return verdicts, accepted, f"{packet}: {verdict}, not the kernel\n{places}\n{texts}"
    return verdicts, accepted, ""


def _publication(words: random.Random) -> Publication:
    port = words.choice((*PORTS, 22, 993))
    host = words.choice(("", "", "", "198.51.100.1", "10.20.0.1"))
    transport: Literal["tcp", "udp"] = "udp" if words.random() < 0.2 else "tcp"
    place = SourceFile("/srv/compose.yml", "srv/compose.yml", f'- "{host}:{port}"\n').at(1)
    return Publication(transport, port, words.choice(PORTS), host, "web", place)


def _with_user_chain(case: Case, words: random.Random) -> None:
    """Give an administrator's rules for iptables a DOCKER-USER, as Docker's manual says."""
    text = case.rulesets.get("v4", "")
    if "*filter\n" in text and words.random() < 0.6:
        rule = words.choice(
            (
                "-s 203.0.113.0/24 -j DROP",
                f"-p tcp --dport {words.choice(PORTS)} -j DROP",
                f"-p tcp -m conntrack --ctorigdstport {words.choice(PORTS)} -j REJECT",
                "-i eth1 -j RETURN\n-A DOCKER-USER -j DROP",
            )
        )
        head, _, rest = text.partition("*filter\n")
        chain = f":DOCKER-USER - [0:0]\n-A DOCKER-USER {rule}\n"
        rules, commit, rest = rest.partition("COMMIT\n")
        case.rulesets["v4"] = f"{head}*filter\n{rules}{chain}{commit}{rest}"


def _aimed(
    packets: list[Packet], published: list[Publication], words: random.Random
) -> list[Packet]:
    """Send half of the packets to published ports."""
    aimed = []
    for packet in packets:
        if packet.family == 4 and packet.proto in ("tcp", "udp") and words.random() < 0.7:
            one = words.choice(published)
            packet = replace(packet, proto=one.transport, dport=one.port)
        aimed.append(packet)
    return aimed


def _commands(lines: str) -> None:
    for line in lines.splitlines():
        run(*line.replace("iptables ", "iptables-nft ", 1).split())


def _clear() -> None:
    """Remove what was added beside a manager's own tables."""
    for table in ("filter", "nat"):
        with contextlib.suppress(Refused):
            run("nft", "delete", "table", "ip", table)
