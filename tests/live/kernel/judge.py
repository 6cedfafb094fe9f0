"""The two judges side by side: the kernel's verdict on each packet, and ours."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_interface, ip_network

from sslint.firewalls import ipset, iptables, nftables
from sslint.netfilter import trace
from sslint.netfilter.model import HostNetwork, Interface, Ruleset
from sslint.netfilter.reach import Firewall, Reach
from sslint.source import SourceFile
from tests.live.kernel.generators import Case
from tests.live.kernel.lab import INTERFACES, Lab, Refused
from tests.live.kernel.packets import PROTOCOLS, WITH_PORTS, Packet
from tests.support import tree_of

_NFT_ERROR = re.compile(r"/dev/stdin:(\d+):")
_RESTORE_ERROR = re.compile(r"(?:Error occurred at line:|line) (\d+)")
PRUNINGS = 12
REACHES = 2  # ports of a ruleset whose source sets are held against the packets


def _addresses(interface: str, version: int) -> tuple[tuple[int, int], ...]:
    parsed = [ip_interface(text) for text in INTERFACES[interface]]
    return tuple((int(a.ip), a.network.prefixlen) for a in parsed if a.version == version)


NETWORK = HostNetwork(
    interfaces=tuple(Interface(n, _addresses(n, 4), _addresses(n, 6)) for n in INTERFACES),
    public="eth0",
)


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A packet on which the judges differ."""

    packet: Packet
    accepted: bool  # by the kernel
    ours: str
    by: str


@dataclass(slots=True)
class Result:
    """What became of one case."""

    packets: int = 0
    accepted: int = 0
    unknown: int = 0
    reasons: list[str] = field(default_factory=list)
    disagreements: list[Disagreement] = field(default_factory=list)


def load(lab: Lab, case: Case) -> int:
    """Load a case and return how many lines the kernel did not take; they are left out of it.

    Raise Refused if what is left still does not load.
    """
    lost = 0
    for _ in range(PRUNINGS):
        try:
            lab.load(case.rulesets)
            case.files = lab.files()
            return lost
        except Refused as refusal:
            lost += _prune(case, refusal)
    lab.load(case.rulesets)
    return lost


def _prune(case: Case, refusal: Refused) -> int:
    """Remove the lines that a tool complains of. Raise the refusal if it names none."""
    kind, message = refusal.kind, str(refusal)
    # The flush before an nft ruleset is its first line.
    pattern, first = (_NFT_ERROR, 2) if kind == "nft" else (_RESTORE_ERROR, 1)
    numbers = {int(number) - first for number in pattern.findall(message)}
    lines = case.rulesets.get(kind, "").split("\n")
    kept = [
        line
        for number, line in enumerate(lines)
        if number not in numbers or line.startswith(("table", "chain", "}", "type", "*", "COMMIT"))
    ]
    if len(kept) == len(lines):
        raise refusal
    case.rulesets[kind] = "\n".join(kept)
    return len(lines) - len(kept)


def firewall(case: Case) -> Firewall:
    """Read a case as sslint does, in the order in which the lab loads it."""
    ruleset = Ruleset()
    texts = case.rulesets
    if "/etc/default/ufw" in case.files:
        from sslint.firewalls import ufw

        ufw.read(tree_of(case.files), into=ruleset)
        return Firewall(ruleset, NETWORK)
    if "/etc/firewalld/firewalld.conf" in case.files:
        from sslint.firewalls import firewalld

        firewalld.read(tree_of(case.files), into=ruleset)
        return Firewall(ruleset, NETWORK)
    if "nft" in texts:
        nftables.read(tree_of({"/etc/nftables.conf": texts["nft"]}), "/etc/nftables.conf", ruleset)
    if "ipset" in texts:
        ipset.read(SourceFile("/etc/ipset.conf", "ipset", texts["ipset"]), ruleset)
    if "legacy4" in texts:
        iptables.read(_file("legacy4", texts), 4, origin="iptables-legacy", into=ruleset)
    if "legacy6" in texts:
        iptables.read(_file("legacy6", texts), 6, origin="iptables-legacy", into=ruleset)
    if "v4" in texts:
        iptables.read(_file("v4", texts), 4, into=ruleset)
    if "v6" in texts:
        iptables.read(_file("v6", texts), 6, into=ruleset)
    ipset.resolve(ruleset)
    return Firewall(ruleset, NETWORK)


def _file(kind: str, texts: dict[str, str]) -> SourceFile:
    return SourceFile(f"/etc/iptables/{kind}", kind, texts[kind])


def judge(judged: Firewall, packet: Packet) -> trace.PacketVerdict:
    """Return our verdict on a packet."""
    sport, dport = (packet.sport, packet.dport) if packet.proto in WITH_PORTS else (None, None)
    return judged.judge(
        trace.Packet(PROTOCOLS[packet.proto], packet.src, packet.dst, sport, dport, packet.iif)
    )


def compare(case: Case, accepted: list[bool]) -> Result:
    """Hold our verdicts against the kernel's."""
    result = Result(len(accepted), sum(accepted))
    judged = firewall(case)
    for packet, passed in zip(case.packets, accepted, strict=True):
        verdict = judge(judged, packet)
        if verdict.verdict == "unknown":
            result.unknown += 1
            result.reasons.append(verdict.reason or "no reason given")
        elif (verdict.verdict == "accept") != passed:
            by = f"{verdict.by.location}: {verdict.by.text}" if verdict.by else "nothing"
            result.disagreements.append(Disagreement(packet, passed, verdict.verdict, by))
    result.disagreements += _reaches(judged, case.packets, accepted)
    return result


def _reaches(judged: Firewall, packets: list[Packet], accepted: list[bool]) -> list[Disagreement]:
    """Hold the source sets of a few ports against the packets: what is open must have passed."""
    wrong: list[Disagreement] = []
    asked: dict[tuple[str, int, str], Reach] = {}
    for packet, passed in zip(packets, accepted, strict=True):
        port = (packet.proto, packet.dport, packet.dst)
        client = packet.iif == "eth0" and packet.sport >= 1024
        if packet.proto not in ("tcp", "udp") or not client:
            continue
        if port not in asked and len(asked) == REACHES:
            continue
        if port not in asked:
            asked[port] = judged.reach_outer(packet.proto, packet.dport, packet.family, packet.dst)
        reach = asked[port]
        # Closed may mean that the answer does not get out; open by one interface of several is
        # not said of this one.
        if _among(packet.src, reach.open) and not passed and not reach.via:
            wrong.append(Disagreement(packet, passed, f"reach: open to {reach.open}", "reach"))
    return wrong


def _among(source: str, networks: tuple[str, ...]) -> bool:
    address = ip_address(source)
    return any(address in ip_network(network) for network in networks)
