"""What is exchanged while it is read leads nowhere outside: files, directories and links.

SSLINT_COUNT sets the runs of each; the suite makes a few.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from sslint.tree import Tree, TreeError, door

RUNS = int(os.environ.get("SSLINT_COUNT") or 40)


def swap(place: Path, other: Path, outside: Path, stop: Event) -> None:
    """Let a name be what it is, and a link to what lies outside, in turn and without a pause."""
    aside = place.with_name("aside")
    while not stop.is_set():
        os.rename(place, aside)
        os.symlink(outside, place)
        os.unlink(place)
        os.rename(aside, place)
        if other.is_symlink():  # a link that leads inside, and outside
            os.unlink(other)
            os.symlink(outside, other)
            os.unlink(other)
            os.symlink(place.name, other)


@pytest.mark.parametrize("how", ["openat2", "part by part"])
@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_what_is_exchanged_is_not_read(
    kind: str, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how == "part by part":
        monkeypatch.setattr(door, "openat2_call", lambda: None)
    inside, outside = tmp_path / "root/etc/a/b", tmp_path / "outside"
    for directory, text in ((inside, "inside"), (outside, "OUTSIDE")):
        directory.mkdir(parents=True)
        (directory / "file").write_text(text)
        (directory / text).touch()
    link = inside.parent / "link"
    link.symlink_to("b")
    place, target = (inside / "file", outside / "file") if kind == "file" else (inside, outside)
    stop = multiprocessing.Event()
    other = link if kind == "link" else tmp_path / "none"
    process = multiprocessing.Process(target=swap, args=(place, other, target, stop))
    process.start()
    try:
        for _ in range(RUNS):
            tree = Tree(tmp_path / "root")
            for path in ("/etc/a/b/file", "/etc/a/link/file"):
                with contextlib.suppress(TreeError):
                    assert tree.read(path).text == "inside"
                assert "OUTSIDE" not in tree.names(os.path.dirname(path))
                assert "/etc/a/b/OUTSIDE" not in tree.glob("/etc/a/*/*")
            tree.close()
    finally:
        stop.set()
        process.join()
