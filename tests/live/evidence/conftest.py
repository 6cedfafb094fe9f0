"""Fixtures: sound hosts, each started once, and changed ones."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests import pki
from tests.live.evidence import trees
from tests.live.evidence.lab import Host, running

# What listens on a sound host.
PORTS = {
    "web-nftables": (80, 443),
    "web-iptables": (80, 443, 8443),
    "web-ufw": (80, 443),
    "web-certbot": (80, 443),
    "mail-announced": (25, 80, 443, 465, 587, 993),
}


class Start(Protocol):
    """Starts a host on which a rule fires, or not, and waits for the ports that are served."""

    def __call__(
        self, rule: str, host: str, changes: trees.Edits, *ports: int, fires: bool = True
    ) -> Host: ...


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Host]]:
    """Return the sound host of a name, running."""
    hosts: dict[str, Host] = {}
    with contextlib.ExitStack() as stack:

        def start(name: str) -> Host:
            if name not in hosts:
                tree = trees.sound(name, tmp_path_factory.mktemp("sound") / name)
                hosts[name] = stack.enter_context(running(tree))
                hosts[name].until_listening(*PORTS[name])
            return hosts[name]

        yield start


@pytest.fixture
def changed(tmp_path: Path) -> Iterator[Start]:
    """Return what starts a sound host with changes on it."""
    with contextlib.ExitStack() as stack:

        def start(
            rule: str, host: str, changes: trees.Edits, *ports: int, fires: bool = True
        ) -> Host:
            number = len(list(tmp_path.iterdir()))
            tree = trees.changed(rule, host, changes, fires, tmp_path / f"{host}-{number}")
            started = stack.enter_context(running(tree))
            started.until_listening(*ports)
            return started

        yield start


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of the root certificate that clients trust."""
    path = tmp_path_factory.mktemp("trust") / "root.pem"
    path.write_text(pki.pem(pki.authority("Root X1")))
    return path
