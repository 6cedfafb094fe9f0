"""What a terminal shows and a pipe does not: progress, links, colours; -q and --help."""

from __future__ import annotations

import io
import os
import re
import shutil
import termios
from pathlib import Path

import pytest

from sslint.cli import main
from sslint.reports.progress import Progress
from sslint.reports.terminal import Painter, linked
from tests.cases import EXAMPLES

CLOSED = EXAMPLES / "web-443-closed"


def said(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    main([str(word) for word in words])
    return capsys.readouterr().out


def test_progress_is_silent_for_a_second_and_clears_its_line(monkeypatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    stream = io.StringIO()
    progress = Progress(stream)
    for when, text in ((0.5, "early"), (1.2, "a\x1b[31m"), (1.25, "too soon"), (1.4, "b" * 200)):
        now[0] = when
        progress(text)
    progress.clear()
    shown = stream.getvalue().split("\r\x1b[K")
    assert shown == ["", "a\\x1b[31m", "b" * 79, ""]


def test_progress_is_one_line_of_a_narrow_terminal(monkeypatch) -> None:
    monkeypatch.setattr("sslint.reports.progress.AFTER", 0.0)
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 40))
    with open(theirs, "w") as stream:
        Progress(stream)("b" * 200)
        assert os.read(ours, 1000) == b"\r\x1b[K" + b"b" * 39
    os.close(ours)


def test_progress_is_on_a_terminal_alone(capsys, monkeypatch) -> None:
    monkeypatch.setattr("sslint.reports.progress.AFTER", 0.0)
    said(capsys, "check", CLOSED)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    main(["check", str(CLOSED)])
    shown = capsys.readouterr().err
    assert "checking 1 of 1: web-443-closed" in shown
    assert shown.endswith("\r\x1b[K")
    monkeypatch.setenv("TERM", "dumb")
    main(["check", str(CLOSED)])
    assert capsys.readouterr().err == ""


def test_quiet_shows_the_findings_and_the_tally(capsys) -> None:
    report = said(capsys, "check", CLOSED, "-q")
    assert report.startswith("error[tls-port-closed]")
    assert report.endswith("2 TLS listeners: 2 closed; certificates: 0 of 1 read\n")
    assert "sslint explain" not in report
    assert said(capsys, "check", CLOSED, "-q", "-v").startswith("ENDPOINT")


@pytest.mark.parametrize(
    ("variables", "follows"),
    [
        ({"VTE_VERSION": "7600"}, True),
        ({"TERM_PROGRAM": "WezTerm"}, True),
        ({}, False),
        ({"VTE_VERSION": "7600", "TERM": "dumb"}, False),
        ({"VTE_VERSION": "7600", "FORCE_HYPERLINK": "0"}, False),
        ({"FORCE_HYPERLINK": "1"}, True),
    ],
)
def test_links_where_the_terminal_follows_them(monkeypatch, variables, follows: bool) -> None:
    for name in ("VTE_VERSION", "KITTY_WINDOW_ID", "WT_SESSION", "KONSOLE_VERSION",
                 "TERM_PROGRAM", "FORCE_HYPERLINK", "TERM"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert linked() is follows
    monkeypatch.setattr("sys.stdout.isatty", lambda: False)
    assert linked() is (variables.get("FORCE_HYPERLINK") == "1")


def test_a_link_opens_the_file_and_nothing_else(capsys, tmp_path: Path, monkeypatch) -> None:
    shutil.copytree(CLOSED / "etc", tmp_path / "we b\x07%/etc")
    monkeypatch.setenv("FORCE_HYPERLINK", "1")
    report = said(capsys, "check", tmp_path / "we b\x07%")
    links = re.findall(r"\x1b\]8;;(file://[!-~]+)\x1b\\", report)
    assert len(links) == 2
    assert all("/we%20b%07%25/etc/" in link for link in links)
    assert Painter(False).link("a", "b") == "a"


def test_endpoints_colours_verdicts_and_groups_services(capsys, monkeypatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    report = said(capsys, "endpoints", CLOSED, "--color", "always")
    assert "\x1b[1;31mclosed (nftables.conf:7)" in report
    assert "\x1b[32mopen" in report
    plain = said(capsys, "endpoints", EXAMPLES / "mail-465-forgotten")
    heads = [line for line in plain.splitlines() if re.fullmatch(r"[A-Z][a-z ]+", line)]
    assert heads == ["Mail between servers", "Sending mail", "Mailboxes"]
    assert not re.search(r"^[A-Z][a-z ]+$", said(capsys, "endpoints", CLOSED), re.M)


@pytest.mark.parametrize("command", ["check", "endpoints", "trace", "explain", "rules"])
def test_help_teaches_by_example(capsys, command: str) -> None:
    assert main([command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"examples:\n  sslint {command}" in shown
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"exit status:\n  0  .*\n  1  .*\n  2  .*\n  3  .*\n  4  ", shown)


def test_the_examples_of_help_are_understood() -> None:
    import shlex

    from sslint import arguments, usage

    shown = "\n".join([usage.EXAMPLES, *usage.OF_COMMANDS.values()])
    found = re.findall(r"^  (sslint .*?)(?:  .*)?$", shown, re.M)
    assert len(found) > 15
    for line in found:
        assert arguments.parse(shlex.split(line)[1:], {}).command
