"""The matches `state` and `conntrack` of iptables (net/netfilter/xt_conntrack.c)."""

from __future__ import annotations

from typing import cast

from sslint.firewalls.errors import RulesetError
from sslint.firewalls.iptables.arguments import Arguments, Extension
from sslint.firewalls.iptables.terms import Alternatives, any_of, network
from sslint.netfilter.model import (
    CtState,
    CtStatus,
    Interval,
    Intervals,
    Key,
    Match,
    RuleItem,
    Unknown,
    UnknownValues,
)

_STATES = {
    "INVALID": CtState.INVALID,
    "NEW": CtState.NEW,
    "ESTABLISHED": CtState.ESTABLISHED,
    "RELATED": CtState.RELATED,
    "UNTRACKED": CtState.UNTRACKED,
}
_TRANSLATED = {"SNAT": CtStatus.SNAT, "DNAT": CtStatus.DNAT}
_STATUSES = {
    "NONE": 0,
    "EXPECTED": CtStatus.EXPECTED,
    "SEEN_REPLY": CtStatus.SEEN_REPLY,
    "ASSURED": CtStatus.ASSURED,
    "CONFIRMED": CtStatus.CONFIRMED,
}
# Packets without a connection: of every option of the match, only the state can be true for them.
_NO_CONNECTION = CtState.INVALID | CtState.UNTRACKED


def _bits(text: str, names: dict[str, int], what: str) -> int:
    """Read names separated by commas; their beginnings do, in any case (strncasecmp)."""
    bits = 0
    for word in text.split(","):
        found = [bit for name, bit in names.items() if word and name.startswith(word.upper())]
        if not found:
            raise RulesetError(f"Bad {what} `{word}'")
        bits |= found[0]
    return bits


def state(extension: Extension, arguments: Arguments) -> Alternatives:
    """Return the match of `-m state --state`."""
    given = extension.given["state"][0]
    return [[any_of("ct.state", _bits(str(given.value), _STATES, "state"), given.negate)]]


def conntrack(extension: Extension, arguments: Arguments) -> Alternatives:
    """Return the alternatives of `-m conntrack`."""
    if not extension.given:
        raise RulesetError("conntrack: at least one option is required")
    others = _others(extension, arguments)
    given = extension.first("ctstate")
    if given is None:
        return [others]
    names = {name: bit << 8 for name, bit in _TRANSLATED.items()}
    bits = _bits(str(given.value), {**_STATES, **names}, "ctstate")
    states, translated = bits & 0xFF, bits >> 8
    alternatives = _states(states, translated, given.negate)
    if not others:
        return alternatives
    lone = _NO_CONNECTION & (~states if given.negate else states)
    tracked = [
        [any_of("ct.state", _NO_CONNECTION, True), *alternative, *others]
        for alternative in alternatives
    ]
    return [[any_of("ct.state", lone)], *tracked] if lone else [[*a, *others] for a in alternatives]


def _states(states: int, translated: int, negate: bool) -> Alternatives:
    """Return the alternatives of `--ctstate`, where SNAT and DNAT are bits of the status."""
    if not translated:
        return [[any_of("ct.state", states, negate)]]
    if not negate:
        status: RuleItem = any_of("ct.status", translated)
        if not states:
            return [[status]]
        return [[any_of("ct.state", states)], [any_of("ct.state", states, True), status]]
    alternatives: Alternatives = []
    if _NO_CONNECTION & ~states:
        alternatives.append([any_of("ct.state", _NO_CONNECTION & ~states)])
    tracked = any_of("ct.state", states | _NO_CONNECTION, True)
    alternatives.append([tracked, any_of("ct.status", translated, True)])
    return alternatives


_ADDRESSES = {
    "ctorigsrc": "original.saddr",
    "ctorigdst": "original.daddr",
    "ctreplsrc": "reply.saddr",
    "ctrepldst": "reply.daddr",
}
_PORTS = {
    "ctorigsrcport": "original.proto-src",
    "ctorigdstport": "original.proto-dst",
    "ctreplsrcport": "reply.proto-src",
    "ctrepldstport": "reply.proto-dst",
}


def _others(extension: Extension, arguments: Arguments) -> list[RuleItem]:
    items: list[RuleItem] = []
    for name, several in extension.given.items():
        given = several[0]
        if name in _ADDRESSES:
            pair = cast("tuple[int | UnknownValues, int]", given.value)
            items += network(f"ct.{_ADDRESSES[name]}", pair, given.negate, arguments.family)
        elif name in _PORTS:
            ports = Intervals((cast(Interval, given.value),))
            items.append(Match((Key(f"ct.{_PORTS[name]}"),), ports, given.negate))
        elif name == "ctproto":
            number = cast(int, given.value)
            if number == 0 and given.negate:
                raise RulesetError("conntrack: rule would never match protocol")
            items.append(Match((Key("ct.protocol"),), Intervals(((number, number),)), given.negate))
        elif name == "ctstatus":
            bits = _bits(str(given.value), _STATUSES, "ctstatus")
            items.append(any_of("ct.status", bits, given.negate))
        elif name == "ctdir":
            direction = str(given.value).upper()
            if direction not in ("ORIGINAL", "REPLY"):
                raise RulesetError(f"Bad ctdir `{given.value}'")
            number = int(direction == "REPLY")
            items.append(Match((Key("ct.direction"),), Intervals(((number, number),))))
        elif name == "ctexpire":
            items.append(Unknown("--ctexpire compares the time a connection has left"))
    return items
