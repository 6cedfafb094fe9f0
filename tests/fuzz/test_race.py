"""What is exchanged for a link during a run leads no run out of the tree."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import pytest

from sslint.cli import main
from sslint.targets import parts
from tests.fuzz import race

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or not hasattr(ctypes.CDLL(None), "renameat2"),
    reason="needs renameat2 and inotify of Linux",
)


@pytest.mark.parametrize("kind", race.KINDS)
def test_no_run_opens_anything_outside(kind: str, tmp_path: Path) -> None:
    outcome = race.race(kind, 24, tmp_path)
    assert outcome.exchanges > 300
    assert outcome.opened == []
    assert outcome.leaked == []
    assert set(outcome.codes) <= {0, 1, 2, 3}


def test_a_directory_that_leads_out_when_it_is_listed(tmp_path: Path, monkeypatch) -> None:
    """It was a directory when PATH was judged, and is a link when its files are looked for."""
    arena = race.Arena(tmp_path)
    deploy = arena.work / "deploy"
    files = parts._files
    looked: list[object] = []

    def exchanged(*arguments: object) -> object:
        looked.append(arguments)
        deploy.rename(arena.work / "aside")
        deploy.symlink_to(arena.outside / "deploy")
        found = list(files(*arguments))
        deploy.unlink()
        (arena.work / "aside").rename(deploy)
        return found

    monkeypatch.setattr(parts, "_files", exchanged)
    watch = race.Watch(arena.outside)
    main(["endpoints", str(deploy / "nginx"), "--no-config"])
    assert looked
    assert watch.opened() == []
    watch.close()


def test_an_opening_outside_would_be_seen(tmp_path: Path) -> None:
    arena = race.Arena(tmp_path)
    watch = race.Watch(arena.outside)
    assert watch.opened() == []
    (arena.outside / "etc/nftables.conf").read_text()
    assert set(watch.opened()) == {"nftables.conf"}
    list((arena.outside / "lint").iterdir())
    assert "." in watch.opened()
    watch.close()
