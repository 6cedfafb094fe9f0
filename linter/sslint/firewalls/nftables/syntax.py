"""What an expression is before its type is known: constants, and how they are put together."""

from __future__ import annotations

from sslint.firewalls.nftables.fields import Field
from sslint.netfilter.model import Verdict
from sslint.values import dataclass

VERDICTS = {word: Verdict(word) for word in ("accept", "drop", "continue", "return")}


@dataclass(slots=True)
class Prefix:
    """`base/length`."""

    base: Expression
    length: int


@dataclass(slots=True)
class Range:
    """`low-high`."""

    low: Expression
    high: Expression


@dataclass(slots=True)
class Listing:
    """`a,b`: flags."""

    items: list[Expression]


@dataclass(slots=True)
class Item:
    """One element of a set, with its data in a map. `key` None is `*`."""

    key: Expression | None
    data: Expression | None = None
    start: int = -1
    statements: tuple[str, ...] = ()  # what counts in the element itself
    limited: bool = False  # of which one may stop the first packet


@dataclass(slots=True)
class SetLiteral:
    """`{ ... }`."""

    items: list[Item]


@dataclass(slots=True)
class Concat:
    """`a . b`."""

    items: list[Expression]


@dataclass(slots=True)
class Binary:
    """An operation on two operands: & | ^ << >>."""

    operator: str
    left: Expression
    right: Expression


@dataclass(slots=True)
class SetName:
    """`@name`."""

    name: str


@dataclass(slots=True)
class Mapping:
    """`key map {...}` or `key map @name`."""

    key: Expression
    map: Expression


Expression = (
    str
    | Field
    | Verdict
    | Prefix
    | Range
    | Listing
    | SetLiteral
    | Concat
    | Binary
    | SetName
    | Mapping
)
"""A constant is the token itself."""
