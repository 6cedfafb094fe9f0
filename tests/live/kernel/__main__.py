"""Run a campaign: `python -m tests.live.kernel --kind nft --count 10000 --packets 200`."""

from __future__ import annotations

import argparse
import os

from tests.live.kernel.campaign import SHARES, replay, run


def main() -> int:
    """Print each disagreement and a line of figures for each kind."""
    parser = argparse.ArgumentParser(prog="python -m tests.live.kernel")
    parser.add_argument("--kind", choices=sorted(SHARES), action="append")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--packets", type=int, default=200)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--dump", default="", help="append the cases and the kernel's verdicts")
    parser.add_argument("--replay", help="judge the cases of a dump again, without a kernel")
    parser.add_argument("--reasons", action="store_true", help="count why verdicts are unknown")
    options = parser.parse_args()
    if options.replay:
        wrong = 0
        for seed, _, result in replay(options.replay):
            wrong += len(result.disagreements)
            for disagreement in result.disagreements:
                print(seed, disagreement)
        return 1 if wrong else 0
    failed = False
    for kind in options.kind or SHARES:
        summary = run(
            kind, options.count, options.packets, options.seed, options.jobs, options.dump
        )
        for failure in summary.failures:
            print(failure)
        if options.reasons:
            for reason, number in summary.reasons.most_common(20):
                print(f"{number:8} {reason}")
        print(summary, flush=True)
        failed |= bool(summary.failures)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
