"""Named cases: what the kernel did is on file, so that they run anywhere, and asked again live."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest

from tests.live.kernel import regressions
from tests.live.kernel.judge import compare, firewall, judge
from tests.live.kernel.lab import Lab


@pytest.mark.parametrize("name", regressions.names())
def test_agrees_with_what_the_kernel_did(name: str) -> None:
    case, accepted, unknown = regressions.read(name)
    result = compare(case, accepted)
    assert not result.disagreements
    judged = firewall(case)
    found = [judge(judged, packet).verdict == "unknown" for packet in case.packets]
    assert found == unknown, result.reasons


def _ask_all(names: list[str]) -> list[str]:
    lab = Lab()
    wrong = []
    for name in names:
        case, accepted, _ = regressions.read(name)
        if case.files:  # a manager's own work; its files alone do not say how it loads them
            continue
        lab.load(case.rulesets)
        if lab.send(case.packets) != accepted:
            wrong.append(name)
    return wrong


@pytest.mark.live("ip", "nft", "iptables-nft-restore", "iptables-legacy-restore", "ipset")
def test_the_kernel_still_does_what_is_on_file() -> None:
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        assert pool.submit(_ask_all, regressions.names()).result() == []
