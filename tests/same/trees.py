"""The trees to compare on: examples, sound hosts, rules' cases, hostile trees, generated hosts."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
from collections.abc import Mapping
from pathlib import Path

os.environ.setdefault("SSLINT_SEED", "0")  # the generators' modules ask for it

from tests import pki
from tests.cases import EXAMPLES, SOUND, Case, load_cases
from tests.hostile import crashes, escapes, injections, secrets  # noqa: F401 - they register trees
from tests.hostile.registry import TREES, Ground
from tests.live import apache_configurations, dovecot_configurations, exim_lab
from tests.live import test_nginx_live as nginx
from tests.live import test_postfix_live as postfix
from tests.live import test_programs_live as programs
from tests.live.kernel import generators


def write_all(directory: Path, seeds: int) -> int:
    """Write every tree below a directory and return how many there are."""
    for base in (EXAMPLES, SOUND):
        for host in sorted(base.iterdir()):
            if host.is_dir():
                shutil.copytree(host, directory / f"{base.name}-{host.name}", symlinks=True)
    for number, case in enumerate(load_cases()):
        _write_case(directory / f"case-{number:04}-{case.rule}", case)
    for name, make in TREES.items():
        _write_hostile(directory / f"hostile-{name}", name, make)
    for seed in range(seeds):
        _write_host(directory / f"host-{seed:05}", seed)
    for place in filter(None, os.environ.get("SSLINT_TREES", "").split(":")):
        for tree in sorted(Path(place).iterdir()):
            if tree.is_dir():
                shutil.copytree(tree, directory / f"given-{tree.name}", symlinks=True)
    return sum(1 for _ in directory.iterdir())


def _write_case(place: Path, case: Case) -> None:
    shutil.copytree(SOUND / case.host, place, symlinks=True)
    for edit in case.edits:
        if "remove" in edit:
            (place / edit["remove"]).unlink()
        elif "certificate" in edit:
            chain, key = pki.files(edit["certificate"])
            _put(place, edit["chain"], chain)
            if "key" in edit:
                _put(place, edit["key"], key)
        elif "write" in edit:
            _put(place, edit["write"], edit["text"])
        elif "mode" in edit:
            with contextlib.suppress(FileNotFoundError):  # of a directory that only the test has
                (place / edit["mode"]).chmod(edit["is"])
        elif "in" in edit:
            text = (place / edit["in"]).read_text()
            text = edit.get("prepend", "") + text + edit.get("append", "")
            _put(place, edit["in"], text.replace(edit.get("replace") or "\x00", edit.get("by", "")))


def _write_hostile(place: Path, name: str, make: object) -> None:
    place.mkdir()
    ground = Ground(place)
    try:
        TREES[name](ground)
    except OSError:  # only root makes such a tree
        shutil.rmtree(place)


def _write_host(place: Path, seed: int) -> None:
    """Write a host of one generated server and one generated ruleset."""
    files = dict(SERVERS[seed % len(SERVERS)](seed))
    kind = generators.KINDS[seed % len(generators.KINDS)]
    case = generators.generate(kind, seed, 0)
    files.update(case.files)
    for name, text in case.rulesets.items():
        if name in RULESETS:
            files[RULESETS[name]] = text
    for path, text in files.items():
        _put(place, path.lstrip("/"), text)


def _put(place: Path, path: str, text: str) -> None:
    target = place / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)


RULESETS = {
    "v4": "etc/iptables/rules.v4",
    "v6": "etc/iptables/rules.v6",
    "nft": "etc/nftables.conf",
    "ipset": "etc/ipset.conf",
}


def _exim(seed: int) -> Mapping[str, str]:
    files = exim_lab.Generator(random.Random(seed)).write()
    return {
        "etc/default/exim4" if name == "default" else f"etc/exim4/{name}": text
        for name, text in files.items()
    }


def _program(name: str) -> object:
    def write(seed: int) -> Mapping[str, str]:
        make, file = programs.NAMES[name]
        place, text, _ = make(random.Random(seed))
        return {f"{place}/{file}": text}

    return write


SERVERS = [
    nginx.generate,
    postfix.generated,
    lambda seed: apache_configurations.Generator(random.Random(seed)).write(),
    lambda seed: dovecot_configurations.Generator(random.Random(seed)).generate().files,
    _exim,
    *(_program(name) for name in programs.NAMES),
]
