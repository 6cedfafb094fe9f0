"""What live tests need, and what is said where it is missing.

A live test is marked `@pytest.mark.live("nft", "nginx")`: it needs root, Linux network namespaces
and these commands. What cannot run is skipped with the reason and the command that would let it
run; with CI=true in the environment a skipped live test is a failure.

SSLINT_SEED replays what is random; SSLINT_COUNT is how many random rulesets or configurations are
tried.
"""

from __future__ import annotations

import functools
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor

import pytest

PACKAGES = {  # the Debian packages of commands that are not named like theirs
    "nft": "nftables",
    "iptables-nft-restore": "iptables",
    "iptables-legacy-restore": "iptables",
    "firewalld": "firewalld dbus",
    "nginx": "nginx libnginx-mod-stream libnginx-mod-mail",
    "dovecot": "dovecot-imapd dovecot-pop3d dovecot-lmtpd dovecot-managesieved dovecot-submissiond",
    "stunnel": "stunnel4",
    "lighttpd": "lighttpd lighttpd-mod-openssl",
    "ip": "iproute2",
    "ss": "iproute2",
    "unshare": "util-linux",
}
ONE_IN_A_MILLION = 1e-6
AGAIN = "sudo .venv/bin/python -m pytest tests/live"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a live test that cannot run here."""
    marks = list(item.iter_markers("live"))
    if marks:
        reason = why_not(sorted({command for mark in marks for command in mark.args}))
        if reason:
            pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In continuous integration nothing live may be skipped."""
    report = yield
    if report.skipped and os.environ.get("CI") == "true" and item.get_closest_marker("live"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"with CI=true no live test may be skipped: {reason}"
    return report


def seed() -> int:
    """Return the seed of this run, which tests/conftest.py sets where SSLINT_SEED is not given."""
    return int(os.environ["SSLINT_SEED"])


def count(default: int) -> int:
    """Return how many random cases to try: SSLINT_COUNT or the default."""
    return int(os.environ.get("SSLINT_COUNT") or default)


def expect_none(difference: Callable[[int], str], tries: int) -> None:
    """Fail where a random case has a difference, which is "" where it has none."""
    first = seed() % 1_000_000_000
    with ThreadPoolExecutor(2) as pool:
        found = [one for one in pool.map(difference, range(first, first + tries)) if one]
    assert not found, f"{len(found)}\n" + "\n".join(found[:10])


def at_most(share: float, tries: int) -> int:
    """Return how many of `tries` may be what no more than a `share` of all cases is.

    Of few tries it is more than their share: chance alone passes it once in a million runs.
    """
    ways = math.lgamma(tries + 1)
    number, beyond = tries, 0.0
    while number:
        others = tries - number
        log = ways - math.lgamma(number + 1) - math.lgamma(others + 1)
        beyond += math.exp(log + number * math.log(share) + others * math.log(1 - share))
        if beyond > ONE_IN_A_MILLION:
            break
        number -= 1
    return number


def why_not(commands: Iterable[str]) -> str:
    """Return why a test that needs these commands cannot run and what would help, or ""."""
    if sys.platform != "linux":
        return "needs Linux network namespaces; run it in a Linux virtual machine"
    missing = [command for command in commands if not _which(command)]
    install = " ".join(dict.fromkeys(PACKAGES.get(command, command) for command in missing))
    install = f"sudo apt-get install --yes {install}; " if install else ""
    wanted = (["root"] if os.geteuid() else []) + missing
    if wanted:
        return f"needs {', '.join(wanted)}: {install}{AGAIN}"
    return _namespaces()


def _which(command: str) -> str | None:
    return shutil.which(command, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


@functools.cache
def _namespaces() -> str:
    done = subprocess.run(
        ["unshare", "--net", "--mount", "--pid", "--fork", "true"], capture_output=True, text=True
    )
    return f"cannot make namespaces ({done.stderr.strip()}): {AGAIN}" if done.returncode else ""
