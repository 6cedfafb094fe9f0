"""Each example prints the report beside it: wording is reviewed like code."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sslint.cli import main

TOP = Path(__file__).parent.parent
EXAMPLES = TOP / "examples"


@pytest.mark.parametrize("name", sorted(p.name for p in EXAMPLES.iterdir() if p.is_dir()))
def test_report(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(TOP)
    monkeypatch.delenv("COLUMNS", raising=False)
    code = main(["check", f"examples/{name}"])
    report = capsys.readouterr().out + f"exit {code}\n"
    expected = EXAMPLES / name / "report.txt"
    if os.environ.get("SSLINT_UPDATE"):
        expected.write_text(report)
    assert report == expected.read_text(), "SSLINT_UPDATE=1 pytest writes it anew"


def test_sound_example_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(EXAMPLES / "sound"), "--fail-on", "info"]) == 0
    assert "no findings" in capsys.readouterr().out
