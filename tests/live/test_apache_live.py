"""Generated configurations, started by the real Apache, against what is read from their files."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sslint.servers.apache import reader as apache
from sslint.servers.model import ServerReading
from sslint.tree import Tree
from tests.live.apache_configurations import NAMES, Generator, certificate_files
from tests.live.conftest import at_most, count, seed
from tests.live.programs_lab import Case, Lab, lab

pytestmark = pytest.mark.live("apache2", "ss", "unshare", "ip")

SEED = seed()
COUNT = count(40)
LABS = 2
UNGIVEN = "was not given, so its content is not known"
VERSION = (2, 4, 71)
COMMAND = ["sh", "-c", ". /etc/apache2/envvars; exec apache2 -DFOREGROUND"]


def case_of(directory: Path, files: dict[str, str], **more: Any) -> Case:
    """Write files and return the case that starts Apache with them as /etc/apache2."""
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if text.startswith("-> "):
            path.symlink_to(text[3:])
        else:
            path.write_text(text)
    return Case(
        str(directory),
        "/etc/apache2",
        COMMAND,
        ready="resuming normal operations",
        log=str(directory / "error.log"),
        make=["/run/apache2", "/run/lock/apache2", "/var/log/apache2"],
        **more,
    )


def is_not_proved(reading: ServerReading, log: str) -> bool:
    """Tell whether Apache lacks what a part of /etc may lack as well.

    An empty directory is not kept by git, and what a link leads to may lie elsewhere.
    """
    lost = any(UNGIVEN in one for one in reading.reasons)
    link = "Could not open configuration file /etc/apache2/mods-enabled/gone.load" in log
    return link or (lost and ("Could not open " in log or "No matches for the wildcard" in log))


@dataclass
class Judge:
    """Compares one reading with what clients were given."""

    reading: ServerReading
    digests: dict[str, str]
    problems: list[str] = field(default_factory=list)

    def compare(self, seen: dict[str, Any]) -> list[str]:
        reading = self.reading
        if reading.starts != seen["started"]:
            if reading.starts and is_not_proved(reading, seen["log"]):
                return []
            log = [line for line in seen["log"].splitlines() if "AH00558" not in line]
            log = [line for line in log if "notice" not in line and ":warn" not in line]
            return [f"starts: read {reading.starts} {reading.reasons}, real {log[:4]}"]
        if not seen["started"]:
            return []
        expected = {
            (e.transport, e.address, e.port, e.address == "::")
            for e in reading.endpoints
            if e.certain and "shares-socket-of" not in dict(e.settings)
        }
        real = {tuple(item) for item in seen["sockets"]}
        if expected != real:
            self.say(f"sockets: only read {expected - real}, only real {real - expected}")
        for address, port, answer in seen["answers"]:
            self.judge(address, port, answer)
        return self.problems

    def say(self, text: str) -> None:
        self.problems.append(text)

    def judge(self, address: str, port: int, answer: dict[str, Any]) -> None:
        found = {(e.address, e.port): e for e in self.reading.endpoints}
        wildcards = ("::",) if ":" in address else ("0.0.0.0", "::")
        places = [(address, port), *((wild, port) for wild in wildcards)]
        endpoint = next((found[place] for place in places if place in found), None)
        if endpoint is None:
            return self.say(f"{address}:{port}: not read")
        place = f"{address}:{port}"
        mode = {"tls": "implicit", "none": "none", "alert": "alert"}[answer["mode"]]
        if any("nosuch.invalid" in reason for reason in endpoint.reasons):
            return None  # the files do not say that it has no address
        if endpoint.tls != mode:
            return self.say(f"{place}: read {endpoint.tls} {endpoint.reasons}, real {mode}")
        for name, real in answer["served"].items():
            served = apache.certificates_for(self.reading, endpoint, name or None)
            if served is None:
                self.say(f"{place}: {name}: the certificate is not known")
                continue
            wanted = {self.digests[Path(c.path or "").name] for c in served}
            if real not in wanted:
                read = [c.path for c in served]
                real = next((n for n, d in self.digests.items() if d == real), real)
                self.say(f"{place}: {name!r} is served {real}, read {read}")
        config = self.reading.config
        assert isinstance(config, apache.Apache)
        for name, site in answer["sites"].items():
            host = config.site(address, port, name or "unnamed.invalid")
            read = host.last("header")
            if site and read is not None and site != read.args[-1]:
                self.say(f"{place}: {name!r} is answered by {site}, read {read.args[-1]}")
        return None


def test_generated_configurations(tmp_path: Path) -> None:
    pems, digests = certificate_files()
    print(f"SSLINT_SEED={SEED} SSLINT_COUNT={COUNT}")
    started = []

    def part(lab_number: int) -> list[str]:
        wrong = []
        with lab() as running:
            for number in range(SEED + lab_number, SEED + COUNT, LABS):
                wrong += [f"SSLINT_SEED={number}: {text}" for text in one(running, number)]
        return wrong

    def one(running: Lab, number: int) -> list[str]:
        files = {**Generator(random.Random(number)).write(), **pems}
        root = tmp_path / str(number)
        seen = running.run(case_of(root / "etc/apache2", files, names=NAMES))
        started.append(seen["started"])
        reading = apache.read(Tree(root), version=VERSION)
        assert reading is not None
        return Judge(reading, digests).compare(seen)

    with ThreadPoolExecutor(LABS) as pool:
        wrong = [text for part_of in pool.map(part, range(LABS)) for text in part_of]
    print(f"{sum(started)} of {len(started)} started")
    assert not wrong, "\n".join(wrong)
    assert started.count(False) <= at_most(0.6, len(started))
