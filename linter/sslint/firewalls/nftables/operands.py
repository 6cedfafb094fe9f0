"""What stands left of a comparison: the keys that an expression looks at, and how it reads them."""

from __future__ import annotations

from collections.abc import Iterator

from sslint.firewalls.nftables import datatypes as t
from sslint.firewalls.nftables.datatypes import DataType, Refused
from sslint.firewalls.nftables.fields import Field
from sslint.firewalls.nftables.syntax import Binary, Concat, Expression, Listing, Mapping
from sslint.firewalls.nftables.values import bits, constant, interval
from sslint.netfilter.model import Assign, Intervals, Key, UnknownValues, Values

_HOST_ORDER = frozenset(("meta.mark", "ct.mark"))

Operand = tuple[tuple[Key, ...], list[DataType]]
"""Keys and their types: one, or several of a concatenation."""


def operand(expression: Expression, width: int = 0) -> Operand | None:
    """Return the keys of what stands left of a comparison, or None if it is not modelled.

    `width`: the bits of what a statement writes, where a field is widened to them.
    """
    if type(expression) is Field:
        return (expression.key,), [expression.dtype]
    if isinstance(expression, Concat):
        keys: list[Key] = []
        dtypes: list[DataType] = []
        for part in expression.items:
            found = operand(part)
            if found is None:
                return None
            keys += found[0]
            dtypes += found[1]
        return tuple(keys), dtypes
    if isinstance(expression, Binary):
        return _masked(expression, width)
    return None


def keys_in(expression: Expression) -> Iterator[tuple[Key, DataType]]:
    """Yield all that an expression looks at."""
    if type(expression) is Field:
        yield expression.key, expression.dtype
    elif isinstance(expression, Concat):
        for part in expression.items:
            yield from keys_in(part)
    elif isinstance(expression, Binary):
        yield from keys_in(expression.left)
        yield from keys_in(expression.right)
    elif isinstance(expression, Mapping):
        yield from keys_in(expression.key)


def _masked(expression: Binary, width: int) -> Operand | None:
    """`((value & mask) ^ xor) >> shift` is closed under the operations with constants."""
    inner = operand(expression.left, width)
    if inner is None or len(inner[0]) != 1:
        return None
    key, dtype = inner[0][0], inner[1][0]
    operator = expression.operator
    shifting = operator in ("<<", ">>")
    if operator == ">>" or (shifting and key.name not in _HOST_ORDER):
        # The kernel shifts a register, whatever the order of the field's bytes; to the right nft
        # 1.1.3 takes in the register beside it, or is refused where nothing has been loaded there.
        return None
    wide = t.INTEGER if shifting else t.integer(width) if width > dtype.bits else dtype
    try:
        number = constant(expression.right, wide)
    except Refused:
        if operand(expression.right) is not None:
            return None
        raise
    if not isinstance(number, int):
        return None
    if shifting and number > 128:
        raise Refused("shift beyond the value's width")
    mask, xor, shift = dtype.top if key.mask is None else key.mask, key.xor, key.shift
    if shifting:
        shift += number if operator == ">>" else -number
        if shift < 0 and dtype.bits >= 32:  # a narrower field is widened first
            mask &= dtype.top >> -shift
    else:
        number = number << shift if shift >= 0 else number >> -shift
        if operator == "&":
            mask, xor = mask & number, xor & number
        elif operator == "^":
            xor ^= number
        else:
            mask, xor = mask & ~number, xor & ~number | number
    return (Key(key.name, mask, xor, shift, key.arg),), [dtype]


def element_keys(expression: Expression) -> Operand | None:
    """Return the keys of what a rule adds to a set, where constants may stand among fields."""
    if not isinstance(expression, Concat):
        return operand(expression)
    keys: list[Key] = []
    dtypes: list[DataType] = []
    for part in expression.items:
        found = operand(part)
        if found is None and isinstance(part, str):
            number = next((n for n in _constants(part)), None)
            if number is not None:
                found = (Key("constant", 0, number),), [t.INTEGER]
        if found is None:
            return None
        keys += found[0]
        dtypes += found[1]
    return tuple(keys), dtypes


def _constants(text: str) -> Iterator[int]:
    """Yield what a constant of a kind that its text alone tells is."""
    for dtype in (t.SERVICE, t.IPV4, t.IPV6, t.INTEGER):
        try:
            found = dtype.parse(text)
        except Refused:
            continue
        if isinstance(found, int):
            yield found


def canonical(key: Key, known: Values, dtype: DataType) -> tuple[Key, Values]:
    """Undo a mask that leaves an interval: `ip saddr & 255.0.0.0 == 10.0.0.0`."""
    mask = key.mask
    if mask is None or key.shift or not isinstance(known, Intervals) or len(known.items) != 1:
        return key, known
    low, high = known.items[0]
    rest = dtype.top & ~mask
    if low != high or rest & (rest + 1):
        return key, known
    wanted = low ^ key.xor
    if wanted & rest:
        return key, known
    return Key(key.name, arg=key.arg), Intervals(((wanted, wanted | rest),))


def flag_value(expression: Expression, dtype: DataType) -> int | UnknownValues:
    """Return the bits that one flag or a list of them names."""
    return bits(expression.items if isinstance(expression, Listing) else [expression], dtype)


def order(operator: str, right: Expression, dtype: DataType) -> Values:
    """Return the numbers that are less or greater than a constant. Raise Refused."""
    if dtype is t.IFINDEX and type(right) is str:
        if t.number(right) is None:
            return UnknownValues(f"the index of the interface {right}")
        dtype = t.INTEGER
    if dtype.base == "string":
        raise Refused(f"{operator} is not a comparison for {dtype.name}")
    found = interval(right, dtype)
    if isinstance(found, UnknownValues):
        return found
    if isinstance(found, str) or found[0] != found[1]:
        raise Refused(f"{operator} compares with one number")
    number = found[0]
    low, high = {
        "<": (0, number - 1),
        "<=": (0, number),
        ">": (number + 1, dtype.top),
        ">=": (number, dtype.top),
    }[operator]
    return Intervals(((low, high),) if low <= high else ())


def computed(key: Key, dtype: DataType, found: Operand, needs: tuple[Key, ...]) -> Assign:
    """`meta mark set ct mark & 0xff`: a mask and an xor of another key."""
    source = found[0][0]
    known = ("meta.mark", "ct.mark", "meta.priority", "ct.zone")
    if len(found[0]) != 1 or source.shift or source.name not in known:
        shown = " . ".join(part.name.replace(".", " ") for part in found[0])
        return Assign(key, unknown=f"the value of {shown}", needs=needs)
    name = Key(source.name, arg=source.arg)
    mask = dtype.top if source.mask is None else source.mask
    if not mask:
        return Assign(key, xor=source.xor, needs=needs)
    return Assign(key, mask, source.xor, None if name == key else name)
