"""Many random rulesets, each loaded into the kernel and judged twice."""

from __future__ import annotations

import json
import multiprocessing
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from tests.live.kernel.generators import Case, generate
from tests.live.kernel.judge import Result, compare, load
from tests.live.kernel.lab import Lab, Refused
from tests.live.kernel.managers import FirewalldLab, UfwLab
from tests.live.kernel.minimise import minimise

LABS = {"ufw": UfwLab, "firewalld": FirewalldLab}
# Of every hundred rulesets; what takes a manager's daemon or scripts comes on top.
SHARES = {"nft": 45, "iptables": 25, "ip6tables": 20, "mixed": 10, "ufw": 3, "firewalld": 3}
REPORTS = 5  # disagreements that are minimised and shown

_labs: dict[str, Lab] = {}


@dataclass
class Summary:
    """Figures of a campaign."""

    kind: str
    seed: int
    rulesets: int = 0
    packets: int = 0
    accepted: int = 0
    unknown: int = 0
    refused: int = 0
    pruned: int = 0
    seconds: float = 0.0
    reasons: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    disagreements: int = 0

    def __str__(self) -> str:
        share = 100 * self.unknown / max(1, self.packets)
        passed = 100 * self.accepted / max(1, self.packets)
        return (
            f"{self.kind}: {self.rulesets} rulesets, {self.packets} packets "
            f"({passed:.0f} % accepted), {self.disagreements} disagreements, "
            f"{share:.2f} % unknown, {self.refused} refused, {self.pruned} lines pruned, "
            f"{self.seconds:.0f} s, seed {self.seed}"
        )


@dataclass
class Outcome:
    """What one worker found in one ruleset."""

    result: Result | None = None
    pruned: int = 0
    refused: str = ""
    failure: str = ""


def run(kind: str, count: int, packets: int, seed: int, jobs: int = 1, dump: str = "") -> Summary:
    """Run a campaign on so many processes, each with a lab of its own."""
    summary = Summary(kind, seed)
    started = time.monotonic()
    context = multiprocessing.get_context("fork")
    tasks = [(kind, seed + number, packets, dump) for number in range(count)]
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        for outcome in pool.map(_one, tasks, chunksize=4):
            _count(summary, outcome)
    summary.seconds = time.monotonic() - started
    return summary


def _count(summary: Summary, outcome: Outcome) -> None:
    summary.pruned += outcome.pruned
    summary.refused += bool(outcome.refused)
    if outcome.failure:
        summary.failures.append(outcome.failure)
    if outcome.result is not None:
        summary.rulesets += 1
        summary.packets += outcome.result.packets
        summary.accepted += outcome.result.accepted
        summary.unknown += outcome.result.unknown
        summary.disagreements += len(outcome.result.disagreements)
        summary.reasons.update(outcome.result.reasons)


def _one(task: tuple[str, int, int, str]) -> Outcome:
    """Generate, load, send and judge one ruleset in this process's lab."""
    kind, seed, packets, dump = task
    case = generate(kind, seed, packets)
    try:
        lab = _labs.get(kind)
        if lab is None or lab.is_used_up(case.rulesets):
            lab = _labs[kind] = LABS.get(kind, Lab)()
        try:
            pruned = load(lab, case)
        except Refused as refusal:
            return Outcome(refused=str(refusal))
        accepted = lab.send(case.packets)
        if dump:
            _dump(dump, kind, seed, case, accepted)
        result = compare(case, accepted)
    except Exception:
        return Outcome(failure=f"{kind} seed {seed}:\n{traceback.format_exc()}\n{show(case)}")
    outcome = Outcome(result, pruned)
    if result.disagreements:
        first = result.disagreements[0]
        smaller = minimise(lab, case, first)
        outcome.failure = (
            f"{kind} seed {seed}: {len(result.disagreements)} disagreements, the first:\n"
            f"  {first.packet}\n"
            f"  kernel: {'accepted' if first.accepted else 'not accepted'}\n"
            f"  sslint: {first.ours}, by {first.by}\n{show(smaller)}"
        )
    return outcome


def show(case: Case) -> str:
    """Return a case's texts, indented."""
    parts = []
    for kind, text in case.rulesets.items():
        parts.append(f"  --- {kind}")
        parts += [f"  {line}" for line in text.splitlines()]
    return "\n".join(parts)


def _dump(path: str, kind: str, seed: int, case: Case, accepted: list[bool]) -> None:
    """Append a line from which the case can be judged again without a kernel."""
    line = {
        "kind": kind,
        "seed": seed,
        "rulesets": case.rulesets,
        "files": case.files,
        "packets": [packet.as_dict() for packet in case.packets],
        "accepted": accepted,
    }
    with open(path, "a") as file:
        file.write(json.dumps(line) + "\n")


def replay(path: str) -> Iterator[tuple[int, Case, Result]]:
    """Judge dumped cases again, without a kernel."""
    from tests.live.kernel.packets import Packet

    with open(path) as file:
        for line in file:
            item = json.loads(line)
            packets = [Packet(**packet) for packet in item["packets"]]
            case = Case(item["rulesets"], packets, item["files"])
            yield item["seed"], case, compare(case, item["accepted"])
