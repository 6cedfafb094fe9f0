"""Regular expressions of a stranger: judged as before where they are harmless, and never dear."""

from __future__ import annotations

import os
import random
import re
import time

import pytest

from sslint import patterns
from sslint.servers.nginx import regex

SEED = int(os.environ["SSLINT_SEED"])


def pattern(chance: random.Random, depth: int = 3) -> str:
    """Return a random pattern of what both engines know."""
    kind = chance.randrange(9 if depth else 4)
    if kind < 3:
        return chance.choice(["a", "b", "c", ".", "[ab]", "[^a]", r"\w", r"\.", r"\d", "ab", "x"])
    if kind == 3:
        return chance.choice(["^", "$", r"\b", "a", "b"])
    if kind == 4:
        return "|".join(pattern(chance, depth - 1) for _ in range(chance.randrange(2, 4)))
    if kind == 5:
        return f"({pattern(chance, depth - 1)})"
    if kind == 6:
        repeat = chance.choice(["*", "+", "?", "{2}", "{1,3}", "*?", "+?", "{2,}"])
        return f"(?:{pattern(chance, depth - 1)}){repeat}"
    if kind == 7:
        return chance.choice("abc.") + chance.choice("*+?")
    return pattern(chance, depth - 1) + pattern(chance, depth - 1)


def test_the_linear_engine_says_the_same() -> None:
    chance = random.Random(SEED)
    compared = 0
    for _ in range(int(os.environ.get("SSLINT_COUNT") or 3000)):
        text = pattern(chance)
        ignore_case = chance.random() < 0.3
        compiled = re.compile(text, re.I if ignore_case else 0)
        linear = patterns._linear(compiled)
        if linear is None:
            continue
        for _ in range(4):
            word = "".join(chance.choice("aAbBcx.1") for _ in range(chance.randrange(9)))
            found = compiled.search(word)
            expected = found is not None and (found.groups() or True)
            assert linear(word) == expected, f"SSLINT_SEED={SEED}: {text!r} in {word!r}"
            compared += 1
    assert compared > 1000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("^(a+)+$", True),
        ("^(a+)+b$", False),
        ("^(a|a)*$", True),
        (".*a" * 20 + "b", False),
        ("a?" * 40 + "a" * 40, True),
        (r"^(a+)+\1c", None),
        ("(?=(a+)+b)a", None),
        ("^((a{1,50}){1,50}){1,50}b$", None),
        ("(a*)*b", None),
        ("(" * 400 + "a" + ")" * 400, True),
        ("(a{60000}){60000}", None),
    ],
)
def test_dear_patterns_are_judged_in_time_or_not_at_all(text: str, expected: bool | None) -> None:
    start = time.process_time()
    assert regex.search(text, "a" * 200) is expected
    assert time.process_time() - start < 0.5


def test_the_bound_holds_for_what_re_is_given() -> None:
    """What `re` is given ends soon, whatever the pattern: the bound is one."""
    chance = random.Random(SEED)
    for _ in range(300):
        text = "".join(pattern(chance) for _ in range(3))
        compiled = patterns.compile_pattern(text)
        if compiled is None:
            continue
        start = time.process_time()
        compiled.find("a" * 200 + "!")
        assert time.process_time() - start < 0.5, f"SSLINT_SEED={SEED}: {text!r}"


def test_without_the_linear_engine_it_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "re2", None)
    patterns.compile_pattern.cache_clear()
    assert regex.search("^(a+)+$", "a" * 50) is None
    assert regex.search("^(www\\.)?a+$", "www.aaa") is True
    patterns.compile_pattern.cache_clear()
