"""The benchmark's page is what its check compares with."""

from __future__ import annotations

from tests.bench import Case, Cost, Table, page, picture, worse


def table(seconds: float) -> Table:
    measured = Case("100 things", ["sslint"], ["other"], "other", "things", 100)
    measured.own, measured.other = Cost(seconds, seconds, 20), Cost(2.0, 2.0, 30)
    alone = Case("a thing", ["sslint"], own=Cost(seconds, seconds, 20))
    return Table([measured, alone])


def test_a_ratio_that_is_worse_by_a_fifth_is_told() -> None:
    kept = page(table(1.0))
    assert "| 100 things | 1.00 s | other: 2.00 s | 0.50 | 20 MiB |" in kept
    assert worse(table(1.1), kept) == []
    assert worse(table(1.4), kept) == ["100 things: 0.70, and 0.50 before"]


def test_the_picture_has_a_bar_for_each_ratio() -> None:
    assert picture(table(1.0)).count("of other") == 1


def test_growth_is_told_of_what_comes_on_top_of_the_smallest() -> None:
    made = Table()
    for size in (100, 200, 400):
        own = Cost(1 + (size - 100) ** 2, 1.0, 20)
        made.cases.append(Case(f"{size} things", ["sslint"], series="things", size=size, own=own))
    assert made.exponents() == {"things": 2.0}
