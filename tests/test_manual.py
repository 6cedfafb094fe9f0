"""The manual page and the completions say what the parser reads."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sslint import arguments
from sslint.reports import manual

SHARE = Path(__file__).parent.parent / "share"
MAN, BASH, ZSH, FISH = (SHARE / path for path in manual.PAGES)


def test_they_are_current() -> None:
    found = {path: (SHARE / path).read_text() for path in manual.PAGES}
    assert found == manual.pages(), "run `make docs`"


def test_the_wheel_installs_them() -> None:
    project = (SHARE.parent / "pyproject.toml").read_text()
    for path in manual.PAGES:
        assert f'"share/{Path(path).parent}" = ["share/{path}"]' in project


@pytest.mark.parametrize("page", [MAN, BASH, ZSH, FISH], ids=lambda path: path.name)
def test_every_command_and_flag_is_in_it(page: Path) -> None:
    text = re.sub(r"\\f[BIR]", " ", page.read_text().replace("\\-", "-"))
    _, commands = arguments.parsers()
    for name, command in commands.items():
        assert name in text
        for action in command._actions:
            for option in action.option_strings:
                shown = option.lstrip("-") if page == FISH else option
                assert re.search(rf"(?<![\w]){re.escape(shown)}(?![\w-])", text), option


def complete(*words: str) -> list[str]:
    """Return what bash offers for the last of some words."""
    script = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _sslint; '
    script += 'printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(
        ["bash", "-c", script, "bash", str(BASH), "sslint", *words],
        capture_output=True, text=True, check=True, cwd=SHARE.parent,
    )  # fmt: skip
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["ch"], ["check"]),
        (["check", "--form"], ["--format"]),
        (["check", "--format", "sa"], ["sarif"]),
        (["endpoints", "--format", ""], ["text", "json"]),
        (["check", "--fail-on", "w"], ["warning"]),
        (["explain", "tls-port-closed-"], ["tls-port-closed-ipv6"]),
        (["check", "--baseline", "READ"], ["README.md"]),
        (["check", "READ"], ["README.md"]),
        (["trace", "--from", ""], []),
    ],
)
def test_bash_offers(words: list[str], offered: list[str]) -> None:
    assert complete(*words) == offered


@pytest.mark.parametrize(("shell", "page"), [("bash", BASH), ("zsh", ZSH), ("fish", FISH)])
def test_the_shells_can_read_them(shell: str, page: Path) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    subprocess.run([program, "-n", str(page)], check=True)


def test_the_manual_page_has_nothing_to_warn_of() -> None:
    program = shutil.which("groff")
    if program is None:
        pytest.skip("groff is not installed")
    done = subprocess.run(
        [program, "-ww", "-man", "-Tutf8", str(MAN)], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert "EXIT STATUS" in done.stdout
