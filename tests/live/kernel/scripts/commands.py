"""Commands of a manager in a script, held against what the real manager makes of them."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor

from tests.live.conftest import count, seed
from tests.live.kernel.packets import Packet

Outcome = tuple[int, int, list[str]]
"""How many packets were compared, how many are unknown, and what differs."""


def outcome(
    packets: Sequence[Packet], verdicts: Sequence[str], accepted: Sequence[bool], text: str
) -> Outcome:
    """Hold the verdicts on a script, which is shown as `text`, against the kernel's."""
    wrong = [
        f"{packet}: {verdict}, kernel {passed}\n{text}"
        for packet, verdict, passed in zip(packets, verdicts, accepted, strict=True)
        if verdict != "unknown" and (verdict == "accept") != passed
    ]
    return len(packets), verdicts.count("unknown"), wrong


def all_agree(one: Callable[[int], Outcome], default: int) -> None:
    """Try random scripts, each by its number, in a process of their own."""
    first = seed() % 1_000_000_000
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        outcomes = list(pool.map(one, range(first, first + count(default))))
    wrong = [text for _, _, texts in outcomes for text in texts[:2]]
    packets, unknown = (sum(each[index] for each in outcomes) for index in (0, 1))
    print(f"{packets} packets, {unknown} unknown, {len(wrong)} wrong")
    assert not wrong, "\n".join(wrong[:2])
    assert packets
    assert unknown < packets // 2
