"""What is said of a live test that cannot run."""

from __future__ import annotations

import sys

import pytest

from tests.live.conftest import why_not


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the platform is the reason")
def test_a_missing_command_is_named_with_the_packages_that_bring_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tests.live.conftest._which", lambda command: None)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert why_not(["nft", "ipset"]) == (
        "needs nft, ipset: sudo apt-get install --yes nftables ipset; "
        "sudo .venv/bin/python -m pytest tests/live"
    )


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the platform is the reason")
def test_root_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert why_not([]) == "needs root: sudo .venv/bin/python -m pytest tests/live"
