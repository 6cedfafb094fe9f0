"""The language of rules: conditions on the fields of a fact.

Its logic is three-valued: a field that is not known makes a condition neither true nor false, and
a rule fires only on what is certainly true.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from operator import attrgetter
from typing import Any, Generic, Protocol, TypeVar

from sslint.engine.vocabulary import (
    MalformedError,
    check_field,
    check_type,
    check_value,
    hint,
    kind_of,
)
from sslint.patterns import compile_pattern
from sslint.source import Location
from sslint.values import dataclass

Truth = bool | None  # None: not known
Subject = tuple[str, object]


@dataclass(frozen=True, slots=True)
class Span:
    """A place with a word on what stands there."""

    location: Location
    message: str = ""


class Fact(Protocol):
    """Something that is so on this host; its other attributes are the fields that rules ask for.

    `entity` is what reports call it. Two findings with a common subject are about the same thing.
    """

    @property
    def entity(self) -> str:
        """Its name in reports."""

    @property
    def span(self) -> Span | None:
        """Its own place."""

    @property
    def subjects(self) -> frozenset[Subject]:
        """What it is about."""


Made = TypeVar("Made")


class Many(Generic[Made]):
    """Facts of one kind in their order, each made when it is asked for.

    `keys` say of each what it has in common with others whose fields have the same values, but for
    those fields that are `apart`; what is kept for it is the number of the first that is alike.
    """

    def __init__(
        self,
        keys: Iterable[Hashable],
        make: Callable[[int], Made],
        apart: frozenset[str] = frozenset(),
    ) -> None:
        first: dict[Hashable, int] = {}
        self.keys = [first.setdefault(key, number) for number, key in enumerate(keys)]
        self.apart = apart
        self._make = make
        self._made: dict[int, Made] = {}
        self._firsts: dict[int, Made] | None = None

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, number: int) -> Made:
        found = self._made.get(number)
        if found is None:
            found = self._made[number] = self._make(number)
        return found

    def __iter__(self) -> Iterator[Made]:
        return map(self.__getitem__, range(len(self.keys)))

    @property
    def firsts(self) -> dict[int, Made]:
        """The first of those that are alike, by its number."""
        if self._firsts is None:
            self._firsts = {number: self[number] for number in dict.fromkeys(self.keys)}
        return self._firsts

    def having(self, keys: Container[int]) -> Iterator[Made]:
        """Yield the facts that have one of some keys."""
        return (self[number] for number, key in enumerate(self.keys) if key in keys)

    def where(self, test: Callable[[Made], bool]) -> list[Made]:
        """Return the facts that a test takes, which asks for nothing that is apart."""
        keys = {key for key, first in self.firsts.items() if test(first)}
        return list(self.having(keys)) if keys else []


Matcher = Callable[[Any, object, Any], Truth]
"""Takes a fact, the host's facts, and the fact that asks if this one is related to it."""
_Test = Callable[[Any, Any], Truth]
"""Takes a field's value, and the fact with which `same_as` and `covers` compare."""


_MAPPINGS: dict[type, bool] = {}


def _is_mapping(kind: type) -> bool:
    """Tell whether values of a type have fields by key; to ask an ABC each time costs more."""
    known = _MAPPINGS.get(kind)
    if known is None:
        known = _MAPPINGS[kind] = issubclass(kind, Mapping)
    return known


@cache
def reader(path: str) -> Callable[[Any], Any]:
    """Return what takes the value at a dotted path from a fact, None where it is not known."""
    parts = path.split(".")
    if len(parts) == 1:
        return attrgetter(path)

    def read(value: Any) -> Any:
        for part in parts:
            if value is None:
                return None
            value = value.get(part) if _is_mapping(type(value)) else getattr(value, part)
        return value

    return read


def negation(truth: Truth) -> Truth:
    """Return the contrary; of what is not known, that it is not known."""
    return None if truth is None else not truth


def conjunction(truths: Iterable[Truth]) -> Truth:
    """Tell whether all are true: certainly not as soon as one is not."""
    result: Truth = True
    for truth in truths:
        if truth is False:
            return False
        if truth is None:
            result = None
    return result


def disjunction(truths: Iterable[Truth]) -> Truth:
    """Tell whether one is true: certainly as soon as one is."""
    result: Truth = False
    for truth in truths:
        if truth is True:
            return True
        if truth is None:
            result = None
    return result


class Compiler:
    """Makes matchers of documents.

    `strict`: every field, code and collection is looked up in the vocabulary, for rules that
    nobody has checked yet.
    """

    def __init__(self, *, strict: bool) -> None:
        self._strict = strict

    def matcher(self, document: Any, kind: str, outer: str | None = None) -> Matcher:
        """Compile a mapping of field -> condition; all must hold. `outer` is the kind that asks.

        `either` is a list of such mappings of which one must hold, `unless` one of which none may;
        `any_of` and `none_of` relate this fact to others of the host.
        """
        if not isinstance(document, Mapping):
            raise MalformedError(f"expected a mapping of facts to conditions, not {document!r}")
        tests = [self._clause(name, clause, kind, outer) for name, clause in document.items()]
        if len(tests) == 1:
            return tests[0]

        def every(fact: Any, facts: object, related: Any) -> Truth:  # `conjunction`, in place
            result: Truth = True
            for test in tests:
                truth = test(fact, facts, related)
                if truth is False:
                    return False
                if truth is None:
                    result = None
            return result

        return every

    def _clause(self, name: str, clause: Any, kind: str, outer: str | None) -> Matcher:
        if name in ("either", "unless"):
            parts = [self.matcher(part, kind, outer) for part in clause]
            return _either(parts, unless=name == "unless")
        if name in ("any_of", "none_of"):
            return self._relation(clause, kind, negate=name == "none_of")
        node = check_field(kind, name) if self._strict else {}
        test = self._condition(node, clause, outer or kind)
        read = reader(name)
        if not isinstance(clause, (Mapping, list)):
            return _equal(read, clause)
        return lambda fact, facts, related: test(read(fact), fact if related is None else related)

    def _relation(self, document: Any, kind: str, *, negate: bool) -> Matcher:
        parts = []
        for name, condition in document.items():
            other = kind_of(name) if self._strict else ""
            parts.append((name.removeprefix("host."), self.matcher(condition, other, kind)))

        def relation(fact: Any, facts: object, _related: Any) -> Truth:
            found = disjunction(
                test(candidate, facts, fact)
                for collection, test in parts
                for candidate in getattr(facts, collection)
                if candidate is not fact
            )
            return negation(found) if negate else found

        return relation

    def _condition(self, node: Mapping[str, Any], condition: Any, other: str) -> _Test:
        """Compile the condition on one field; `other` is the kind of the fact it compares with."""
        if isinstance(condition, Mapping):
            tests = [self._operator(node, *item, other) for item in condition.items()]
            if len(tests) == 1:
                return tests[0]
            return lambda value, fact: conjunction(test(value, fact) for test in tests)
        several = isinstance(condition, list)
        for expected in condition if several else [condition]:
            check_value(node, expected)
        if several:
            return lambda value, fact: None if value is None else value in condition
        return lambda value, fact: None if value is None else bool(value == condition)

    def _operator(self, node: Mapping[str, Any], name: str, expected: Any, other: str) -> _Test:
        if name == "exists":
            return lambda value, fact: (value is not None) is bool(expected)
        if name == "not":
            inner = self._condition(node, expected, other)
            return lambda value, fact: negation(inner(value, fact))
        if name in ("same_as", "covers"):
            if self._strict:
                check_field(other, expected)
            return _comparison(reader(expected), covers=name == "covers")
        if name in ("any", "none"):
            check_type(node, "array")
            item = self._condition(node.get("items", {}), expected, other)

            def each(value: Any, fact: Any) -> Truth:
                if value is None:
                    return None
                found = disjunction(item(one, fact) for one in value)
                return found if name == "any" else negation(found)

            return each
        compare = _compare(node, name, expected)
        return lambda value, fact: None if value is None else compare(value)


def _either(parts: Sequence[Matcher], *, unless: bool) -> Matcher:
    """Return the test that one of several matchers holds, `unless` that none does."""

    def either(fact: Any, facts: object, related: Any) -> Truth:  # `disjunction`, in place
        result: Truth = False
        for part in parts:
            truth = part(fact, facts, related)
            if truth is True:
                return not unless
            if truth is None:
                result = None
        return None if result is None else unless

    return either


def _equal(read: Callable[[Any], Any], expected: object) -> Matcher:
    """Return the test that a field has one value, by far the most frequent."""

    def equal(fact: Any, _facts: object, _related: Any) -> Truth:
        value = read(fact)
        return None if value is None else bool(value == expected)

    return equal


def _comparison(read: Callable[[Any], Any], *, covers: bool) -> _Test:
    """Return the test of a value against the field of another fact."""

    def compare(value: Any, fact: Any) -> Truth:
        found = read(fact)
        if value is None or found is None:
            return None
        return bool(found in value if covers else value == found)

    return compare


def _compare(node: Mapping[str, Any], operator: str, expected: Any) -> Callable[[Any], Truth]:
    """Return the test of one value (not None) against a constant."""
    if operator in ("lt", "gt"):
        if isinstance(expected, list):
            check_type(node, "array")
            check_type(node.get("items", {}), "integer", "number")
            expected = tuple(expected)
        else:
            check_type(node, "integer", "number")
        if operator == "lt":
            return lambda value: bool(value < expected)
        return lambda value: bool(value > expected)
    if operator == "matches":
        pattern = compile_pattern(expected) if isinstance(expected, str) else None
        if pattern is None:
            raise MalformedError("matches needs a regular expression of at most 1000 characters")
        return lambda value: pattern.matches(str(value))
    raise MalformedError(f"unknown operator {operator!r}{hint(operator, OPERATORS)}")


OPERATORS = ("not", "lt", "gt", "exists", "matches", "same_as", "covers", "any", "none")
CONNECTIVES = ("either", "unless", "any_of", "none_of")


def later(document: Any, kind: str) -> Matcher:
    """Compile a checked rule's conditions when they are first asked: most never meet a fact."""
    made: list[Matcher] = []

    def test(fact: Any, facts: object, related: Any) -> Truth:
        if not made:
            made.append(Compiler(strict=False).matcher(document, kind))
        return made[0](fact, facts, related)

    return test
