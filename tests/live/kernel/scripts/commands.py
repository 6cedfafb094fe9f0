"""Commands of a manager in a script, held against what the real manager makes of them."""

from __future__ import annotations

import json
import multiprocessing
import shlex
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from tests.live.conftest import at_most, count, seed
from tests.live.kernel.packets import Packet

UNKNOWN = 0.15  # of the scripts, at most
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
    most = max(each[0] for each in outcomes)
    assert unknown <= most * at_most(UNKNOWN, len(outcomes))


def all_written_alike(
    scripts: Sequence[list[list[str]]],
    answers: Sequence[str],
    difference: Callable[[list[list[str]], Any], str | None],
) -> None:
    """Hold what scripts of commands leave against the files that the real manager wrote.

    `answers` are what it wrote, as JSON. `difference` says what the two sides do not agree on, ""
    for nothing, and None where it is not known what the commands do.
    """
    found = [
        difference(script, json.loads(answer))
        for script, answer in zip(scripts, answers, strict=True)
    ]
    print(f"{len(scripts)} scripts, {found.count(None)} unknown")
    wrong = [
        "\n".join((said, *map(shlex.join, script)))
        for said, script in zip(found, scripts, strict=True)
        if said
    ]
    assert not wrong, "\n\n".join(wrong[:3])
    assert found.count(None) <= at_most(UNKNOWN, len(scripts))
