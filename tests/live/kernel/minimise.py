"""Drop what a disagreement does not need."""

from __future__ import annotations

from sslint.errors import SslintError
from sslint.firewalls.errors import RulesetError
from tests.live.kernel.generators import Case
from tests.live.kernel.judge import Disagreement, compare
from tests.live.kernel.lab import Lab, Refused

TRIES = 400


def minimise(lab: Lab, case: Case, disagreement: Disagreement) -> Case:
    """Return the case with only the lines without which the judges agree."""
    sets = disagreement.by == "reach"
    best = Case(dict(case.rulesets), [disagreement.packet], case.files)
    if not _differs(lab, best, sets):
        return case  # it takes more than this packet
    tries = 0
    for kind in list(best.rulesets):
        if len(best.rulesets) > 1 and kind not in ("firewalld.conf", "ufw"):
            smaller = Case({k: v for k, v in best.rulesets.items() if k != kind}, best.packets)
            if _differs(lab, smaller, sets):
                best = smaller
                continue
        lines = best.rulesets[kind].split("\n")
        size = max(1, len(lines) // 2)
        while size and tries < TRIES:
            start = 0
            while start < len(lines) and tries < TRIES:
                tries += 1
                kept = lines[:start] + lines[start + size :]
                smaller = Case({**best.rulesets, kind: "\n".join(kept)}, best.packets)
                if _differs(lab, smaller, sets):
                    lines, best = kept, smaller
                else:
                    start += size
            size //= 2
    return best


def _differs(lab: Lab, case: Case, sets: bool) -> bool:
    """Tell whether the judges still differ, on the packet or on the `sets` of sources."""
    try:
        lab.load(case.rulesets)
        case.files = lab.files()
        found = compare(case, lab.send(case.packets)).disagreements
        return any((each.by == "reach") == sets for each in found)
    except (Refused, RulesetError, SslintError):
        return False
