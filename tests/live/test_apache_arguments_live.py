"""The arguments of directives: what configtest refuses for their number, or as no flag, is refused.

More: `SSLINT_COUNT=5000 .venv/bin/python -m pytest tests/live/test_apache_arguments_live.py`.
"""

from __future__ import annotations

import random
import re
import subprocess
from pathlib import Path

import pytest

from sslint.servers.apache import arguments
from sslint.servers.apache import reader as apache
from sslint.servers.apache.modules import _directives
from sslint.tree import Tree
from tests.live.apache_configurations import MODULES
from tests.live.conftest import count, expect_none
from tests.live.test_apache_live import VERSION

SAID = re.compile(
    r"takes (?:no|one|two|three|1-2)|requires at least (?:one|two) arg|(?<!value )must be On or"
)
# Those that others need come first; of these only one is loaded, or they need what is not here.
FIRST = "authn_core authz_core proxy dav session cache dbd slotmem_shm xml2enc".split()
LEFT_OUT = ("mpm_prefork", "mpm_worker", "cgid", "cgi", "suexec", "data", "lua", "tls")
WORDS = ["on", "Off", "x", "1", "/tmp", "a:b", "all", "10", "yes", '""', '"a b"']
# Those that are carried out as they are read.
LEAVE = (
    "serverroot",
    "include",
    "includeoptional",
    "loadmodule",
    "loadfile",
    "listen",
    "define",
    "undefine",
)


def loads() -> str:
    """Return statements that load all modules but a few."""
    found = [path.stem.removeprefix("mod_") for path in sorted(Path(MODULES).glob("mod_*.so"))]
    names = [*FIRST, *(name for name in found if name not in (*FIRST, *LEFT_OUT))]
    return "".join(f"LoadModule {name}_module {MODULES}/mod_{name}.so\n" for name in names)


def case(number: int) -> tuple[str, str]:
    """Return the name of a random directive, and a configuration that has it."""
    rng = random.Random(f"arguments {number}")
    places = [place for of in _directives().values() for place in of.items()]
    named = sorted((name, place) for place, names in places for name in names)
    known = [one for one in named if one[0][0] != "<" and one[0] not in LEAVE]
    name, place = rng.choice(known)
    least, wanted, _ = arguments.known().get(name, (1, 1, ""))
    most = least if wanted == arguments.MANY else wanted
    words = [rng.choice(WORDS) for _ in range(rng.choice((most, most, rng.randrange(5))))]
    line = " ".join((name, *words))
    return name, f"<Directory />\n{line}\n</Directory>" if place == "inside" else line


def difference(base: Path, number: int) -> str:
    """Return what sslint and Apache do not agree on."""
    name, text = case(number)
    root = base / str(number)
    path = root / "etc/apache2/apache2.conf"
    path.parent.mkdir(parents=True)
    path.write_text(f"ServerRoot {path.parent}\nServerName a.test\nListen 8443\n{loads()}{text}\n")
    command = ["apache2", "-t", "-f", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    said = done.stderr.strip().splitlines()[-1] if done.returncode else ""
    reading = apache.read(Tree(root), version=VERSION)
    assert reading is not None
    ours = [reason.text for reason in reading.refusals]
    told = f"{number}: {text}\n  Apache: {said}\n  sslint: {ours}"
    if ours and not done.returncode:
        return told
    return told if SAID.search(said) and not ours and name in arguments.known() else ""


@pytest.mark.live("apache2")
def test_random_directives(tmp_path: Path) -> None:
    expect_none(lambda number: difference(tmp_path, number), count(120))
