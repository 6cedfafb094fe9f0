"""Cases that were once judged wrongly: a directory of ruleset files and the kernel's verdicts.

Files are named by kind (see `Lab.load`), or by their host path below `etc`. `packets.jsonl` holds
a packet a line, with `accepted`, which is what the kernel did, and `unknown` where the files do
not decide it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

from tests.live.kernel.generators import Case
from tests.live.kernel.packets import Packet

DIRECTORY = Path(__file__).with_name("regressions")
PACKETS = "packets.jsonl"


def names() -> list[str]:
    """Return the cases' names."""
    return sorted(path.parent.name for path in DIRECTORY.glob(f"*/{PACKETS}"))


def read(name: str) -> tuple[Case, list[bool], list[bool]]:
    """Return a case, which of its packets the kernel accepted, and which files do not decide."""
    directory = DIRECTORY / name
    rulesets: dict[str, str] = {}
    files: dict[str, str] = {}
    for path in sorted(directory.rglob("*")):
        inside = path.relative_to(directory)
        if not path.is_file() or path.name == PACKETS:
            continue
        if inside.parts[0] == "etc":
            files[f"/{inside}"] = path.read_text()
        else:
            rulesets[path.name] = path.read_text()
    lines = [json.loads(line) for line in (directory / PACKETS).read_text().splitlines()]
    accepted = [line.pop("accepted") for line in lines]
    unknown = [line.pop("unknown", False) for line in lines]
    return Case(rulesets, [Packet(**line) for line in lines], files), accepted, unknown


def write(name: str, case: Case, accepted: list[bool], unknown: Sequence[bool] = ()) -> None:
    """Keep a case; what a manager made of it (`files`) is kept instead of its commands."""
    directory = DIRECTORY / name
    texts = {path.lstrip("/"): text for path, text in case.files.items()} or case.rulesets
    lines = [
        json.dumps({**packet.as_dict(), "accepted": passed, **({"unknown": True} if doubt else {})})
        for packet, passed, doubt in zip_longest(case.packets, accepted, unknown)
    ]
    for path, text in {**texts, PACKETS: "\n".join(lines) + "\n"}.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_text(text)
