"""Go over the hosts of a run: one after the other, or in several processes where there are many."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from sslint.targets import Target

T = TypeVar("T")

ALONE = 0.25  # seconds of judging, before others help
SHARE = 0.1  # seconds of judging that are worth another process


def each(
    targets: Sequence[Target],
    work: Callable[[Target], T],
    *,
    jobs: int | None = 1,
    shared: Sequence[object] = (),
    told: Callable[[str], None] | None = None,
) -> Iterator[T]:
    """Yield what is made of each host, in their order.

    `jobs` are the most processes that judge, None: as many as processors, as far as they pay; only
    one does until the hosts have taken a while. `shared`: what the results refer to, and that is
    no host's own.
    """
    start = time.monotonic()
    for number, target in enumerate(targets):
        left = len(targets) - number
        taken = time.monotonic() - start if jobs != 1 else 0
        if number and left > 1 and jobs != 1 and taken >= ALONE:
            count = min(jobs or _worth(left * taken / number), left)
            if count > 1 and hasattr(os, "memfd_create"):
                from sslint.workers import Run

                yield from Run(targets, number, work, shared, told).results(count)
                return
        if told is not None:
            told(f"checking {number + 1} of {len(targets)}: {target.name}")
        yield work(target)


def _worth(left: float) -> int:
    """Return how many processes are worth what is left, in seconds of one."""
    return min(_processors(), 1 + int(left / SHARE))


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1
