"""Places in files: lines are counted when they are asked for, and say the same as at once."""

from __future__ import annotations

import random

import pytest

from sslint.source import SMALL, Location, SourceFile


@pytest.mark.parametrize("size", [0, 1, 40, SMALL - 1, SMALL * 3])
def test_a_span_is_counted_when_it_is_asked(size: int) -> None:
    choose = random.Random(size)
    text = "".join(choose.choice("ab \n") for _ in range(size))
    file = SourceFile("/f", "f", text)
    for _ in range(200):
        start = choose.randrange(size + 1)
        end = choose.choice((None, start, start + choose.randrange(20)))
        before, rest = text[:start], text[start:].split("\n")[0]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        last = None if end is None else max(min(end - start, len(rest)), 0) + column
        found, wanted = file.span(start, end), Location(file, line, column, last)
        assert str(found) == f"f:{line}:{column}"
        assert found == wanted
        assert hash(file.span(start, end)) == hash(wanted)
        assert file.span(start, end) in {wanted}
        assert file.span(start, end).end == last


def test_places_of_two_files_differ() -> None:
    one, other = SourceFile("/f", "f", "a\n"), SourceFile("/f", "f", "a\n")
    assert one.span(0, 1) != other.span(0, 1)
    assert one.span(0, 1) != "f:1:1"
    with pytest.raises(AttributeError):
        _ = one.span(0, 1).lines
