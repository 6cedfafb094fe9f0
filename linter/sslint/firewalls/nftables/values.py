"""Constants to the model's values: numbers, intervals and names of a known type."""

from __future__ import annotations

from collections.abc import Iterable

from sslint.budgets import LIMITS, ExhaustedError, spend
from sslint.firewalls.nftables.datatypes import Constant, DataType, Refused
from sslint.firewalls.nftables.syntax import (
    Binary,
    Concat,
    Expression,
    Item,
    Listing,
    Prefix,
    Range,
    SetLiteral,
)
from sslint.netfilter.addresses import merge
from sslint.netfilter.model import (
    Element,
    Interval,
    Intervals,
    Names,
    UnknownValues,
    Values,
    Verdict,
)


def constant(expression: Expression, dtype: DataType) -> Constant:
    """Return one constant. Raise Refused if the expression is something else."""
    kind = type(expression)
    if kind is str:
        return dtype.parse(expression)  # type: ignore[arg-type]
    if kind is Binary:
        assert isinstance(expression, Binary)
        shift = expression.operator in ("<<", ">>")
        left = constant(expression.left, dtype)
        right = constant(expression.right, _COUNT if shift else dtype)
        if isinstance(left, UnknownValues):
            return left
        if isinstance(right, UnknownValues):
            return right
        if isinstance(left, str) or isinstance(right, str):
            raise Refused("a name is not an operand")
        if shift and right > 128:
            raise Refused("shift beyond the value's width")
        return _OPERATIONS[expression.operator](left, right) & dtype.top
    if kind is Listing:
        assert isinstance(expression, Listing)
        return bits(expression.items, dtype)
    raise Refused("expected a constant")


_COUNT = DataType("integer", 32)
_OPERATIONS = {
    "&": int.__and__,
    "|": int.__or__,
    "^": int.__xor__,
    "<<": int.__lshift__,
    ">>": int.__rshift__,
}


def bits(items: list[Expression], dtype: DataType) -> int | UnknownValues:
    """Return flags that were written with commas between them."""
    if dtype.base != "bitmask":
        raise Refused(f"Basetype of type {dtype.name} is not bitmask")
    total = 0
    for item in items:
        value = constant(item, dtype)
        if isinstance(value, UnknownValues):
            return value
        if isinstance(value, str):
            raise Refused("a name is not a flag")
        total |= value
    return total


def interval(expression: Expression, dtype: DataType) -> Interval | str | UnknownValues:
    """Return one constant, prefix or range."""
    kind = type(expression)
    if kind is str:
        value = dtype.parse(expression)  # type: ignore[arg-type]
        return (value, value) if isinstance(value, int) else value
    if kind is Prefix:
        assert isinstance(expression, Prefix)
        inner = expression.base
        base = dtype.parse(inner) if type(inner) is str else constant(inner, dtype)
        if isinstance(base, UnknownValues):
            return base
        if isinstance(base, str) or not 0 <= expression.length <= dtype.bits:
            raise Refused(f"prefix length {expression.length} is invalid for {dtype.name}")
        rest = (1 << (dtype.bits - expression.length)) - 1
        low = base & ~rest
        return low, low | rest
    if kind is Range:
        assert isinstance(expression, Range)
        first = constant(expression.low, dtype)
        last = constant(expression.high, dtype)
        if isinstance(first, UnknownValues):
            return first
        if isinstance(last, UnknownValues):
            return last
        if isinstance(first, str) or isinstance(last, str):
            raise Refused("a range of names")
        if first > last:
            if dtype.name != "hour":
                raise Refused("Range negative size")
            return UnknownValues("hours past midnight")
        return first, last
    value = constant(expression, dtype)
    return (value, value) if isinstance(value, int) else value


def values(expressions: Iterable[Expression], dtype: DataType) -> Values:
    """Return one set of values of all the constants, prefixes and ranges."""
    numbers: list[Interval] = []
    names: list[str] = []
    unknown: UnknownValues | None = None
    for expression in expressions:
        found = interval(expression, dtype)
        if type(found) is tuple:
            numbers.append(found)
        elif isinstance(found, str):
            names.append(found)
        elif isinstance(found, UnknownValues):
            unknown = found
    if unknown is not None:
        return unknown
    if dtype.base == "string":
        return Names(tuple(sorted(set(names))))
    if len(numbers) == 1:
        return Intervals((numbers[0],))
    return Intervals(merge(numbers))


def single(expression: Expression, dtype: DataType) -> Values:
    """Return the values of one constant, prefix or range."""
    found = interval(expression, dtype)
    if type(found) is tuple:
        return Intervals((found,))
    if isinstance(found, str):
        return Names((found,))
    assert isinstance(found, UnknownValues)
    return found


def element(expression: Expression, dtypes: list[DataType]) -> Element:
    """Return one element of a set with these keys."""
    if len(dtypes) == 1:
        return (single(expression, dtypes[0]),)
    if not isinstance(expression, Concat) or len(expression.items) != len(dtypes):
        raise Refused(f"an element of {len(dtypes)} values is expected")
    return tuple(single(part, dtype) for part, dtype in zip(expression.items, dtypes, strict=True))


def flatten(literal: SetLiteral) -> list[Item]:
    """Return the items of a set with the sets in it (from variables) opened."""
    spend("elements", len(literal.items))
    if all(type(item.key) is not SetLiteral for item in literal.items):
        return literal.items
    found: list[Item] = []
    most = LIMITS["elements"][0]
    pending = list(reversed(literal.items))
    while pending:
        item = pending.pop()
        if isinstance(item.key, SetLiteral):
            if item.data is not None:
                raise Refused("a set is not a key")
            spend("elements", len(item.key.items))
            pending.extend(reversed(item.key.items))
        else:
            found.append(item)
        if len(found) + len(pending) > most:  # also where no run counts
            raise ExhaustedError(f"has a set of more than {most:,} elements")
    return found


def overlapping(items: Iterable[tuple[Interval, object]], *, data: bool) -> bool:
    """Tell whether two different intervals overlap: nft refuses them without auto-merge."""
    previous: Interval | None = None
    held: object = None
    for found, value in sorted(items, key=_first):
        if previous is not None and found[0] <= previous[1]:
            if found != previous or (data and value != held):
                return True
        else:
            previous, held = found, value
    return False


def _first(item: tuple[Interval, object]) -> Interval:
    return item[0]


def elements(found: list[Element]) -> Values | tuple[Element, ...]:
    """Return the elements of a set: of single fields as one set of values."""
    if all(len(item) == 1 for item in found):
        return union([item[0] for item in found])
    return tuple(dict.fromkeys(found))


def union(parts: list[Values]) -> Values:
    """Return the union of sets of values of one type."""
    for part in parts:
        if isinstance(part, UnknownValues):
            return part
    names = [name for part in parts if isinstance(part, Names) for name in part.items]
    if names:
        return Names(tuple(sorted(set(names))))
    return Intervals(merge(i for part in parts if isinstance(part, Intervals) for i in part.items))


def verdict_entries(
    items: list[Item], dtypes: list[DataType]
) -> tuple[tuple[tuple[Element, Verdict], ...], Verdict | None]:
    """Return a verdict map's entries and what its `*` says. Raise Refused if they conflict."""
    entries: list[tuple[Element, Verdict]] = []
    default: Verdict | None = None
    for item in items:
        if not isinstance(item.data, Verdict):
            raise Refused("a verdict is expected")
        if item.key is None:
            default = item.data
        else:
            entries.append((element(item.key, dtypes), item.data))
    refuse_conflicts(entries)
    return tuple(dict.fromkeys(entries)), default


def refuse_conflicts(entries: list[tuple[Element, Verdict]]) -> None:
    """Raise Refused if entries of a map overlap and differ."""
    found = [
        (part[0].items[0], data)
        for part, data in entries
        if len(part) == 1 and isinstance(part[0], Intervals)
    ]
    if overlapping(found, data=True):
        raise Refused("conflicting intervals specified")
