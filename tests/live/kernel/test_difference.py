"""What is said to differ between two rulesets does so in the kernel, and nothing else does.

Two labs, one for each ruleset, hear the same connections from the borders of what is said and
from elsewhere. The full run is `SSLINT_COUNT=1000 .venv/bin/python -m pytest -s
tests/live/kernel/test_difference.py`.
"""

from __future__ import annotations

import multiprocessing
import random
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from ipaddress import ip_address

import pytest

from sslint.firewalls.errors import RulesetError
from sslint.netfilter import difference
from sslint.netfilter.reach import Firewall
from tests.live.conftest import count, seed
from tests.live.kernel.campaign import LABS
from tests.live.kernel.generators import Case
from tests.live.kernel.judge import NETWORK, firewall, judge, load
from tests.live.kernel.lab import Lab, Refused
from tests.live.kernel.packets import Packet
from tests.live.kernel.pairs import (
    KINDS,
    TRANSLATORS,
    apart,
    at_the_borders,
    is_symmetric,
    pair,
    remembers,
    to_named_ports,
    translated,
)
from tests.live.kernel.talk import Heard, Wire, ports_in
from tests.live.kernel.test_kernel import COMMANDS, RESTORERS

PAIRS = 40
TRANSLATIONS = 6
SHARES = {"nft": 36, "iptables": 18, "ip6tables": 14, "ipset": 10, "ufw": 6, "firewalld": 6,
          "across": 10}  # fmt: skip  # of every hundred pairs
PACKETS = 120
BORDERS = 120
NAMED = 40  # packets to ports that rules name
FIRST_CLIENT_PORT = 1024
MOST_UNKNOWN = 0.25
MANY = 50  # pairs, of which a share is meaningful
assert set(SHARES) == set(KINDS)


@dataclass
class Tally:
    """What came of the pairs of one kind."""

    pairs: int = 0
    refused: int = 0
    alike: int = 0  # pairs of which nothing is said to differ
    packets: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    @property
    def unknown(self) -> float:
        """The share of connections of which one side or both say nothing certain."""
        return self.packets["unknown"] / max(1, sum(self.packets.values()))

    def __str__(self) -> str:
        asked = sum(self.packets.values())
        parts = ", ".join(f"{count} {what}" for what, count in sorted(self.packets.items()))
        return (
            f"{self.pairs} pairs ({self.alike} alike, {self.refused} refused), "
            f"{asked} connections twice ({parts}), {self.unknown:.1%} unknown, "
            f"{len(self.wrong)} wrong, seed {seed()}"
        )


class Side:
    """One of the two hosts: a process for each kind of lab."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._pools: dict[str, ProcessPoolExecutor] = {}

    def load(self, case: Case) -> Case | None:
        """Load a ruleset and return what was taken of it, None if nothing was."""
        return self._pool(case).submit(_load, case).result()

    def talk(self, case: Case, packets: Sequence[Packet]) -> Heard:
        """Hold connections with the host that has this ruleset."""
        return self._pool(case).submit(_talk, packets, ports_in(case.rulesets)).result()

    def _pool(self, case: Case) -> ProcessPoolExecutor:
        kind = _lab_of(case)
        if kind not in self._pools:
            context = multiprocessing.get_context("fork")
            pool = ProcessPoolExecutor(1, mp_context=context)
            self._pools[kind] = self._stack.enter_context(pool)
        return self._pools[kind]


def _lab_of(case: Case) -> str:
    if "ufw" in case.rulesets:
        return "ufw"
    return "firewalld" if "firewalld.conf" in case.rulesets else ""


_wires: list[Wire] = []  # of a worker's process


def _load(case: Case) -> Case | None:
    if not _wires:
        _wires.append(Wire(LABS.get(_lab_of(case), Lab)()))
    try:
        load(_wires[0].lab, case)
    except Refused:
        return None
    return case


def _talk(packets: Sequence[Packet], ports: set[int]) -> Heard:
    return _wires[0].talk(packets, ports)


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=pytest.mark.live(*COMMANDS.get(kind, RESTORERS)))
        for kind in SHARES
        if kind != "across"
    ]
    + [pytest.param("across", marks=pytest.mark.live(*COMMANDS["ufw"], *COMMANDS["firewalld"]))],
)
def test_random_edits(kind: str) -> None:
    tally = Tally()
    with ExitStack() as stack:
        sides = (Side(stack), Side(stack))
        for number in range(max(2, count(PAIRS) * SHARES[kind] // 100)):
            _compare(kind, seed() % 10**6 + number, sides, tally)
    print(f"{kind}: {tally}")
    assert tally.wrong == [], "\n".join([str(tally), *tally.wrong[:5]])
    assert tally.pairs
    assert tally.pairs < MANY or tally.unknown <= MOST_UNKNOWN, str(tally)


NO_ARP = """\
table netdev early {
  chain ingress {
    type filter hook ingress device "eth0" priority 0; policy drop;
    tcp dport 443 accept
  }
}
"""


@pytest.mark.live(*COMMANDS["nft"])
def test_a_router_that_does_not_find_the_host_sends_nothing() -> None:
    packet = Packet("tcp", "203.0.113.1", "198.51.100.1", "eth0", 40000, 443)
    found = {}
    with ExitStack() as stack:
        side = Side(stack)
        for text in (NO_ARP, NO_ARP.replace("tcp", "ether type arp accept\n    tcp")):
            case = side.load(Case({"nft": text}, [packet]))
            assert case is not None
            said = _said(firewall(case), packet, [(FIRST_CLIENT_PORT, 65535)])
            found[said] = side.talk(case, [packet]).connected
    assert found == {"shut": [False], "open": [True]}


@pytest.mark.live(*RESTORERS, *TRANSLATORS.values())
def test_translations() -> None:
    """What iptables' own translators make of rulesets differs from them as is said.

    The full run is that with SSLINT_COUNT=200.
    """
    tally = Tally()
    with ExitStack() as stack:
        sides = (Side(stack), Side(stack))
        for number in range(count(TRANSLATIONS)):
            _compare("translated", seed() % 10**6 + number, sides, tally)
    print(f"translations: {tally}")
    assert tally.wrong == [], "\n".join([str(tally), *tally.wrong[:5]])
    assert tally.pairs


def _compare(kind: str, number: int, sides: tuple[Side, Side], tally: Tally) -> None:
    try:
        rulesets = (translated if kind == "translated" else partial(pair, kind))(number, PACKETS)
    except Refused:
        tally.refused += 1
        return
    cases = [side.load(case) for side, case in zip(sides, rulesets, strict=True)]
    one, two = cases
    if one is None or two is None:
        tally.refused += 1
        return
    try:
        old, new = difference.pair(firewall(one).ruleset, firewall(two).ruleset, NETWORK, NETWORK)
    except RulesetError:
        tally.refused += 1
        return
    tally.pairs += 1
    found = list(difference.differences(old, new))
    tally.alike += not found
    rng = random.Random(f"packets {kind} {number}")
    ports = ports_in(one.rulesets) | ports_in(two.rulesets)
    asked = [
        *at_the_borders(found, rng, BORDERS),
        *to_named_ports(one.packets, ports, rng, NAMED),
        *one.packets,
    ]
    packets = apart(asked, one, two)
    packets = [packet for packet in packets if _is_asked_about(packet, old, new)]
    heard = [side.talk(case, packets) for side, case in zip(sides, (one, two), strict=True)]
    classes = difference._source_ports(old, new)
    low = difference.low_ports(old, new) or []
    same = difference._content(old.ruleset) == difference._content(new.ruleset)
    again = f"SSLINT_SEED={number} SSLINT_COUNT=1 -k {kind}"
    for n, packet in enumerate(packets):
        as_client = replace(packet, sport=FIRST_CLIENT_PORT)
        meant = packet if low or packet.sport >= FIRST_CLIENT_PORT else as_client
        verdicts, usual = [], []
        for firewall_, each in zip((old, new), heard, strict=True):
            said = _said(firewall_, meant, [*low, *classes])
            usual.append(_said(firewall_, as_client, classes))
            verdicts.append(said)
            if wrong := _wrong(firewall_, packet, said, each.first[n], each.connected[n]):
                tally.wrong.append(f"{again}: {packet}: {wrong}")
        expected = set() if same else _EXPECTED.get((verdicts[0], verdicts[1]), set())
        claimed = _claimed(meant, found)
        if meant.sport < FIRST_CLIENT_PORT and not claimed and usual == verdicts:
            claimed = _claimed(as_client, found)
        if expected == {"unclear"} and not claimed:  # the packet meets the same rules on both sides
            expected = set()
            if len({each.first[n] for each in heard}) > 1 and not remembers(one, two):
                tally.wrong.append(f"{again}: {packet}: the same rules, and they differ")
        if claimed != expected:
            tally.wrong.append(f"{again}: {packet}: {verdicts} but {claimed or 'nothing'} is said")
        tally.packets["unknown" if "unknown" in verdicts else " -> ".join(verdicts)] += 1


_EXPECTED = {
    ("shut", "open"): {"opens"}, ("open", "shut"): {"closes"}, ("open", "unknown"): {"doubts"},
    ("shut", "unknown"): {"doubts"}, ("unknown", "open"): {"settles"},
    ("unknown", "shut"): {"settles"}, ("unknown", "unknown"): {"unclear"},
}  # fmt: skip


def _is_asked_about(packet: Packet, old: Firewall, new: Firewall) -> bool:
    """Tell whether it is a client's packet to an address that clients are meant to use.

    Where rules compute with ports, those below 1024 are said not to be compared.
    """
    source, destination = int(ip_address(packet.src)), int(ip_address(packet.dst))
    universe = new.universes[packet.family]
    computed = old.survey.port_sums or new.survey.port_sums
    return (
        packet.sport >= (FIRST_CLIENT_PORT if computed else 1)
        and not universe.bit(source) & universe.never
        and destination in new.connections.clients_use(packet.family)
        and old.network == new.network
    )


def _said(one: Firewall, packet: Packet, classes: Sequence[tuple[int, int]]) -> str:
    """Return what the comparison holds of a packet under one ruleset."""
    iif = difference._known_as(one, packet.iif)
    first = next(low for low, high in classes if low <= packet.sport <= high)
    apart = first != FIRST_CLIENT_PORT or classes[-1][0] != FIRST_CLIENT_PORT
    asked = difference._Asked(
        packet.proto, packet.family, packet.dport, packet.dst, first if apart else None
    )
    exposure = difference._exposure(one, asked, iif)
    bit = one.universes[packet.family].bit(int(ip_address(packet.src)))
    return "open" if exposure.open & bit else "unknown" if exposure.possible & bit else "shut"


def _claimed(packet: Packet, found: Sequence[difference.Difference]) -> set[str]:
    """Return what the differences say of a packet."""
    source = int(ip_address(packet.src))
    return {
        name
        for one in found
        if (one.transport, one.family) == (packet.proto, packet.family)
        if one.first <= packet.dport <= one.last
        if one.source_ports[0] <= packet.sport <= one.source_ports[1]
        if not one.interfaces or packet.iif in one.interfaces
        if not one.destinations or packet.dst in one.destinations
        for name in ("opens", "closes", "doubts", "settles", "unclear")
        if getattr(one, name).mask & getattr(one, name).universe.bit(source)
    }


def _wrong(one: Firewall, packet: Packet, said: str, first: bool, connected: bool) -> str:
    """Return how the kernel contradicts what is said of a packet, or what is said itself."""
    verdict = judge(one, packet).verdict
    if said == "open" and (verdict not in ("accept", "unknown") or not first):
        return f"open, but trace says {verdict} and the kernel {'passes' if first else 'drops'} it"
    if is_symmetric(packet) and said != "unknown" and connected != (said == "open"):
        return f"{said}, but the kernel {'' if connected else 'does not '}let it connect"
    return ""
