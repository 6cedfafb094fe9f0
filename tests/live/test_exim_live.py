"""Exim on generated files, its own and Debian's: sockets and TLS, as read."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from sslint import servers
from sslint.servers.interface import Context
from sslint.servers.model import Knows, ServerReading
from sslint.tree import Tree
from tests.live.apache_configurations import certificate_files
from tests.live.conftest import count, seed
from tests.live.exim_lab import BLOCKED, COMMAND, ETC, GET, READY, ROOT, Generator
from tests.live.programs_lab import Case, Lab, lab

SEED = seed()
COUNT = count(5)
CERTIFICATES = certificate_files()[0]


def lay(files: dict[str, str], directory: Path) -> None:
    for name, text in {**files, **CERTIFICATES}.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def reading_of(files: dict[str, str], base: Path, *, packaged: bool) -> ServerReading:
    """Return what is read of a host; `packaged`: it has the files of Debian's package, too."""
    if packaged:
        shutil.copytree(ROOT / "etc/exim4", base / "etc/exim4", dirs_exist_ok=True)
    lay(files, base / "etc/exim4")
    if "default" in files:
        (base / "etc/default").mkdir()
        (base / "etc/exim4/default").rename(base / "etc/default/exim4")
    server = servers.server("exim")
    assert server is not None
    reading = server.read(Tree(base), Context())
    return reading or ServerReading("exim", knows=Knows())


def differences(reading: ServerReading, seen: dict[str, Any]) -> list[str]:
    """Return where the sockets and the TLS that were found are not those that were read."""
    read = {(e.address, e.port): e for e in reading.endpoints}
    certain = {place for place, e in read.items() if e.certain}
    real = {(address, port) for _, address, port, _ in seen["sockets"]}
    wrong = [f"no socket {place}" for place in certain - real]
    if reading.complete:
        wrong += [f"not read {place}" for place in real - set(read)]
    for address, port, answer in seen["answers"]:
        wildcard = "::" if ":" in address else "0.0.0.0"
        endpoint = read.get((address, port)) or read.get((wildcard, port))
        if answer["mode"] == "closed":  # its certificate is not there
            answer["mode"] = "implicit"
        if endpoint is not None and endpoint.tls not in ("unknown", answer["mode"]):
            wrong.append(f"{address}:{port}: read {endpoint.tls}, real {answer['mode']}")
    return wrong


def case_of(directory: Path, number: int) -> Case:
    """Return the case that starts Exim with the files of a directory."""
    log = f"/run/exim-log/{number}"
    case = Case(str(directory), ETC, [*COMMAND, log], make=[ETC, log], mail=True, wait=5)
    case.ready, case.blocked, case.log = f"{READY}|{BLOCKED}", BLOCKED, f"{log}/mainlog"
    return case


def compare(running: Lab, base: Path, number: int) -> tuple[list[str], bool]:
    """Return the differences, and whether all was known."""
    rng = random.Random(number)
    files = Generator(rng).write()
    lay(files, base / "lab")
    seen = running.run(case_of(base / "lab", number))
    given = "exim4.conf" in files or rng.random() < 0.8
    reading = reading_of(files, base / "tree", packaged=given)
    wrong = []
    if reading.starts and not seen["started"]:
        wrong = ["does not start: " + seen["log"][-500:]]
    elif seen["started"]:
        wrong = differences(reading, seen)
        wrong += [f"starts, but {reason}" for reason in reading.reasons if not reading.starts]
    text = "\n".join(f"--- {name}\n{content}" for name, content in files.items())
    known = reading.complete and all(e.certain and e.tls != "unknown" for e in reading.endpoints)
    return [f"SSLINT_SEED={number}: {one}\n" for one in wrong] + [text] * bool(wrong), known


@pytest.mark.live("ss", "unshare", "ip")
def test_generated_files(tmp_path: Path) -> None:
    if not ROOT.exists():
        pytest.skip(f"needs Debian's Exim: {GET}")
    print(f"SSLINT_SEED={SEED} SSLINT_COUNT={COUNT}")
    with lab() as running:
        found = [compare(running, tmp_path / str(n), n) for n in range(SEED, SEED + COUNT)]
    known = sum(known for _, known in found)
    print(f"all is known of {known} of {COUNT}")
    wrong = [text for texts, _ in found for text in texts]
    assert not wrong, "\n".join(wrong)
    assert known > COUNT // 10
