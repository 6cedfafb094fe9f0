"""What is said to open or close between two rulesets does so in the kernel."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from ipaddress import ip_address

import pytest

from sslint.netfilter import difference
from tests.live.conftest import count, seed
from tests.live.kernel.generators import Case, generate
from tests.live.kernel.judge import NETWORK, firewall, load
from tests.live.kernel.lab import Lab, Refused

PACKETS = 150
FIRST_CLIENT_PORT = 1024


@pytest.mark.live("ip", "nft", "iptables-nft-restore", "ipset")
@pytest.mark.parametrize("kind", ["nft", "iptables", "ip6tables"])
def test_random(kind: str) -> None:
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        wrong, asked = pool.submit(_compare, kind, count(8), seed() % 10**6).result()
    assert wrong == []
    assert asked


def _compare(kind: str, pairs: int, first: int) -> tuple[list[str], int]:
    """Return what is wrong of so many pairs, and how many packets were asked about."""
    lab = Lab()
    wrong: list[str] = []
    asked = 0
    for number in range(pairs):
        one, two = (generate(kind, first + 2 * number + n, PACKETS) for n in (0, 1))
        two.packets = one.packets
        try:
            passed = [_passed(lab, case) for case in (one, two)]
        except Refused:
            continue
        old, new = difference.pair(firewall(one).ruleset, firewall(two).ruleset, NETWORK, NETWORK)
        found = list(difference.differences(old, new))
        for packet, before, after in zip(one.packets, *passed, strict=True):
            if packet.proto not in ("tcp", "udp") or packet.sport < FIRST_CLIENT_PORT:
                continue
            for each in found:
                if (each.transport, each.family) != (packet.proto, packet.family):
                    continue
                if not each.first <= packet.dport <= each.last:
                    continue
                if each.interfaces and packet.iif not in each.interfaces:
                    continue
                asked_for = new.connections.question(packet.proto, 1, packet.family, None, True)
                if int(ip_address(packet.dst)) not in asked_for.destinations:
                    continue  # not an address that clients are meant to use
                asked += 1
                bit = each.opens.universe.bit(int(ip_address(packet.src)))
                if (each.opens.mask & bit and not after) or (each.closes.mask & bit and not before):
                    wrong.append(f"SSLINT_SEED={seed()} {kind} {number}: {packet}: {each}")
    return wrong, asked


def _passed(lab: Lab, case: Case) -> list[bool]:
    load(lab, case)
    return lab.send(case.packets)
