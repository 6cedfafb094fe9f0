"""A value class is a dataclass with slots, as far as it goes."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from sslint.values import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Point:
    x: int
    y: int = 2
    seen: list[int] = field(default_factory=list, repr=False)


@dataclass(slots=True)
class Named(Point):
    name: str = "here"


@dataclass(slots=True, eq=False)
class Node:
    text: str


def test_fields_are_given_by_place_or_name_and_have_their_defaults() -> None:
    point = Point(1)
    assert (point.x, point.y, point.seen) == (1, 2, [])
    assert Point(1, y=3, seen=[4]).seen == [4]
    assert Point(1).seen is not Point(1).seen


def test_the_many_are_made_as_the_few_are() -> None:
    @dataclass(slots=True)
    class Pair(Point):
        name: str = ""

    first, *others = [Pair(1, name="a") for _ in range(100)]
    assert (first.x, first.y, first.seen, first.name) == (1, 2, [], "a")
    assert all(one == first for one in others)
    assert others[-1].seen is not others[-2].seen


@pytest.mark.parametrize(
    ("given", "named"),
    [((), {}), ((1,), {"z": 2}), ((1,), {"x": 1}), ((1, 2, [], 4), {}), ((), {"y": 1})],
)
def test_arguments_that_do_not_fit_are_an_error_each_time(
    given: tuple[Any, ...], named: dict[str, Any]
) -> None:
    @dataclass(frozen=True, slots=True)
    class Own(Point):
        pass

    for _ in range(2):
        with pytest.raises(TypeError):
            Own(*given, **named)


def test_a_class_takes_the_fields_of_its_base() -> None:
    named = Named(1, name="there")
    assert (named.x, named.y, named.name) == (1, 2, "there")


def test_equal_values_are_equal_if_they_are_of_one_class() -> None:
    assert Point(1) == Point(1, 2) != Point(2)
    assert Point(1) != Named(1)
    assert Node("a") != Node("a")


def test_a_frozen_class_hashes_by_value_and_another_not_at_all() -> None:
    @dataclass(frozen=True, slots=True)
    class Key:
        name: str

    assert {Key("a"), Key("a")} == {Key("a")}
    with pytest.raises(TypeError):
        hash(Named(1))
    assert len({Node("a"), Node("a")}) == 2


def test_it_shows_its_fields_but_for_those_that_shall_not() -> None:
    assert repr(Point(1)) == "Point(x=1, y=2)"


def test_a_copy_differs_in_what_is_replaced() -> None:
    named = replace(Named(1, name="there"), x=2, name="here")
    assert (named.x, named.y, named.name) == (2, 2, "here")


def test_there_is_no_place_for_other_attributes() -> None:
    with pytest.raises(AttributeError):
        Point(1).z = 1  # type: ignore[attr-defined]
    assert not hasattr(Named(1), "__dict__")


def test_values_are_copied_and_sent_to_other_processes() -> None:
    assert copy.deepcopy(Point(1, seen=[2])).seen == [2]
    assert pickle.loads(pickle.dumps(Point(1, seen=[2]))) == Point(1, seen=[2])
