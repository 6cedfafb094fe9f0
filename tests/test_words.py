"""Messages, rules and documentation keep to plain words."""

from __future__ import annotations

import pytest

from tests import words


def test_no_text_has_a_word_of_the_list() -> None:
    assert words.found() == []


@pytest.mark.parametrize(
    "text",
    [
        "the connection does not come about",
        "tcp/80 is meant for nobody",
        "clients are told to use it",
        "README.md is no server configuration",
        "certificates that nobody counts on",
    ],
)
def test_the_list_finds(text: str) -> None:
    assert words.faults(text)


@pytest.mark.parametrize("text", ["nginx no longer supports it", "there is no such service"])
def test_the_list_allows(text: str) -> None:
    assert not words.faults(text)
