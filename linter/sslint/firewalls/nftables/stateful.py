"""Statements that count: counters, limits, quotas, connections, in rules and in sets' elements."""

from __future__ import annotations

from collections.abc import Callable

from sslint.firewalls.nftables import datatypes as t
from sslint.firewalls.nftables import expressions
from sslint.firewalls.nftables.cursor import Cursor
from sslint.firewalls.nftables.datatypes import Refused
from sslint.firewalls.nftables.limits import capacity_of, quota_stops
from sslint.firewalls.nftables.rules import RuleBuilder
from sslint.netfilter.model import Unknown

_RATE_UNITS = frozenset(("second", "minute", "hour", "day", "week"))
_DATA_FACTORS = {"bytes": 1, "kbytes": 1 << 10, "mbytes": 1 << 20}


def counting(at: Cursor) -> tuple[str, bool | None]:
    """Read a counter, limit, quota, connection count or last of an element.

    Return its kind, and whether it stops the first packet; None: it depends on the packet's size.
    """
    scratch = RuleBuilder(at.script.family)
    lexeme = at.tokens[at.position]
    reader = STATEFUL.get(lexeme)
    if reader is None:
        at.unexpected()
    start = at.position
    reader(at, scratch)
    read = at.tokens[start : at.position]
    of_bytes = lexeme == "limit" and any(one.partition("/")[0] in _DATA_FACTORS for one in read)
    kind = "limit of bytes" if of_bytes else lexeme
    if any(isinstance(item, Unknown) or getattr(item, "capacity", 0) for item in scratch.items):
        return kind, None
    return kind, any(not getattr(item, "first", True) for item in scratch.items)


def counter(at: Cursor, builder: RuleBuilder) -> None:
    """Read `counter`, with what it has counted, or the name of one."""
    at.position += 1
    if at.take("name"):
        builder.object_reference("counter", expressions.value(at))
        return
    while at.tokens[at.position] in ("packets", "bytes"):
        at.position += 1
        at.number()


def last(at: Cursor, builder: RuleBuilder) -> None:
    """Read `last`, with when it was used."""
    at.position += 1
    if at.take("used") and not at.take("never"):
        expressions.time_span(at)


def limit(at: Cursor, builder: RuleBuilder) -> None:
    """Read `limit rate ...`, or the name of one."""
    start = at.position
    at.position += 1
    if at.take("name"):
        _named(at, builder, "limit", start)
        return
    over, capacity = rate(at)
    builder.limit(over, _text(at, start), capacity=capacity)


def rate(at: Cursor) -> tuple[bool, int | None]:
    """Read `rate [over] N/unit [burst N packets]`.

    Return whether it is `over`, and the bytes of the longest packet that it ever passes.
    """
    at.expect("rate")
    over = at.take("over")
    if not over:
        at.take("until")
    rate = at.number()
    if rate == 0:
        at.fail("limit rate must be > 0", at.position - 1)
    if at.take("/"):
        at.choice(_RATE_UNITS)
        _burst(at, {"packets": 1})
        return over, None
    unit, slash, period = at.word().partition("/")  # mbytes/second is one word
    if unit not in _DATA_FACTORS:
        at.position -= 1
        at.unexpected()
    if not slash:
        at.expect("/")
        period = at.word()
    if period not in _RATE_UNITS:
        at.position -= 1
        at.unexpected()
    return over, capacity_of(rate * _DATA_FACTORS[unit], _burst(at, _DATA_FACTORS))


def _burst(at: Cursor, units: dict[str, int]) -> int:
    if not at.take("burst"):
        return 0
    number = at.number()
    unit = at.choice(units)
    if unit == "packets" and not number:
        at.fail("packet limit burst must be > 0", at.position - 2)
    return number * units[unit]


def quota(at: Cursor, builder: RuleBuilder) -> None:
    """Read `quota ...`, or the name of one."""
    start = at.position
    at.position += 1
    if at.take("name"):
        _named(at, builder, "quota", start)
        return
    over = quota_spec(at)
    builder.limit(over, _text(at, start))


def quota_spec(at: Cursor) -> bool | None:
    """Read `[over] N unit [used N unit]`; tell whether the first packet does not pass.

    None: it depends on the packet's size.
    """
    over = at.take("over")
    if not over:
        at.take("until")
    allowed = _amount(at)
    used = _amount(at) if at.take("used") else 0
    if used > allowed:
        at.fail("more is used than the quota allows", at.position - 2)
    return quota_stops(over, allowed, used)


def _amount(at: Cursor) -> int:
    count = at.number()
    return count * _DATA_FACTORS[at.choice(_DATA_FACTORS)]


def _named(at: Cursor, builder: RuleBuilder, kind: str, start: int) -> None:
    value = expressions.value(at)
    if builder.object_reference(kind, value):
        name = t.TEXT.parse(value) if isinstance(value, str) else ""
        builder.limit(object_is_over(at, kind, str(name)), _text(at, start))
    else:
        builder.add(Unknown(f"a {kind} from a map"))


def connection_limit(at: Cursor, builder: RuleBuilder) -> None:
    """Read `ct count [over] N`."""
    if at.script.family == "netdev":
        raise Refused("conntrack is not there in a netdev table")
    start = at.position
    at.position += 2
    over = at.take("over")
    number = at.number()
    if number == 0:  # the first connection is one too many
        over = not over
    builder.limit(over, _text(at, start), number, tracked=True)


def _text(at: Cursor, start: int) -> str:
    return " ".join(at.tokens[start : at.position])


def object_is_over(at: Cursor, kind: str, name: str) -> bool | None:
    """Tell whether a named limit or quota stops the first packet, None where it depends."""
    return at.script.table is not None and at.script.table.objects.get((kind, name), False)


_Reader = Callable[[Cursor, RuleBuilder], object]
STATEFUL: dict[str, _Reader] = {
    "counter": counter,
    "limit": limit,
    "quota": quota,
    "last": last,
    "ct": connection_limit,
}
