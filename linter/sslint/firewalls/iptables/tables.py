"""iptables' tables: their base chains, and what can only be checked when a table is whole."""

from __future__ import annotations

from collections.abc import Iterator

from sslint.firewalls.errors import RulesetError
from sslint.netfilter.model import (
    Chain,
    Hook,
    Intervals,
    Key,
    Match,
    Names,
    RuleItem,
    Table,
    Verdict,
)
from sslint.source import Location
from sslint.values import dataclass, field, replace

# Base chains of each table: name, hook, priority (iptables' own, net/ipv4/netfilter/iptable_*.c).
_RAW, _MANGLE, _DSTNAT, _SRCNAT, _FILTER, _SECURITY = -300, -150, -100, 100, 0, 50
BASES: dict[str, tuple[tuple[str, Hook, int], ...]] = {
    "raw": (("PREROUTING", "prerouting", _RAW), ("OUTPUT", "output", _RAW)),
    "mangle": (
        ("PREROUTING", "prerouting", _MANGLE),
        ("INPUT", "input", _MANGLE),
        ("FORWARD", "forward", _MANGLE),
        ("OUTPUT", "output", _MANGLE),
        ("POSTROUTING", "postrouting", _MANGLE),
    ),
    "nat": (
        ("PREROUTING", "prerouting", _DSTNAT),
        ("INPUT", "input", _SRCNAT),
        ("OUTPUT", "output", _DSTNAT),
        ("POSTROUTING", "postrouting", _SRCNAT),
    ),
    "filter": (
        ("INPUT", "input", _FILTER),
        ("FORWARD", "forward", _FILTER),
        ("OUTPUT", "output", _FILTER),
    ),
    "security": (
        ("INPUT", "input", _SECURITY),
        ("FORWARD", "forward", _SECURITY),
        ("OUTPUT", "output", _SECURITY),
    ),
}

TARGETS = ("ACCEPT", "DROP", "RETURN")

BASE_NAMES = {name: frozenset(base[0] for base in bases) for name, bases in BASES.items()}


@dataclass(slots=True)
class Place:
    """A rule that only some base chains may reach."""

    chain: str
    location: Location
    what: str
    allowed: tuple[str, ...]
    own_chain_alone: bool = False


@dataclass(frozen=True, slots=True)
class Slot:
    """A match of a rule that other lines fill with an address or a port; `known`: the ports."""

    place: int
    addressed: bool
    keys: tuple[Key, ...]
    negate: bool
    known: dict[str, Match] = field(default_factory=dict)


@dataclass(slots=True)
class Template:
    """A rule of which other lines differ in the values of some slots alone.

    `parts`: what its line has between the values, the option before each apart. `wait`: how many
    more lines are to be like it before those that follow are looked at together.
    """

    parts: tuple[str, ...]
    items: tuple[RuleItem, ...]
    slots: tuple[Slot, ...]
    chain: Chain
    wait: int

    @property
    def target(self) -> str:
        """The word after -j, if its line ends in that."""
        return self.parts[-1].rpartition(" -j ")[2]

    def differs_in_target(self, other: Template) -> bool:
        """Tell whether another's rules are this one's but for the values and a plain verdict."""
        ours, theirs = self.items, other.items
        places = {slot.place for slot in self.slots}
        kinds = [(slot.place, slot.addressed, slot.keys, slot.negate) for slot in self.slots]
        return (
            kinds == [(slot.place, slot.addressed, slot.keys, slot.negate) for slot in other.slots]
            and len(ours) == len(theirs)
            and isinstance(theirs[-1], Verdict)
            and theirs[-1].kind in ("accept", "drop", "return")
            and all(
                place in places or (item == ours[place] and is_plain(item))
                for place, item in enumerate(theirs[:-1])
            )
        )


@dataclass(slots=True)
class Loading:
    """A table that is being filled, and what can only be checked once it is whole."""

    table: Table
    places: list[Place] = field(default_factory=list)
    jumps: dict[str, dict[str, Location]] = field(default_factory=dict)  # caller -> chains
    templates: dict[tuple[str, ...], Template] = field(default_factory=dict)
    names: frozenset[str] = frozenset()

    def endings(self, template: Template) -> dict[str, Verdict]:
        """Return the verdicts of the rules that differ from a template's in that at most.

        They are named by their targets, of those that were seen; none if it has no plain verdict.
        """
        found: dict[str, Verdict] = {}
        text = "".join(template.parts)
        if template.slots and template.target in TARGETS and '"' not in text:
            for target in TARGETS:
                last = template.parts[-1].removesuffix(template.target) + target
                other = self.templates.get((*template.parts[:-1], last))
                if other is not None and template.differs_in_target(other):
                    found[target] = other.items[-1]  # type: ignore[assignment]
        return found

    def copy(self) -> Loading:
        """Return a copy that can be added to without changing this one."""
        table = replace(
            self.table,
            chains={name: chain.copy() for name, chain in self.table.chains.items()},
        )
        jumps = {name: dict(targets) for name, targets in self.jumps.items()}
        return Loading(table, list(self.places), jumps, {}, self.names)


def is_plain(item: RuleItem) -> bool:
    """Tell whether an item compares one field with what the rule itself says."""
    return (
        isinstance(item, Match)
        and len(item.keys) == 1
        and isinstance(item.values, (Intervals, Names))
    )


def check_table(loading: Loading) -> None:
    """Raise RulesetError for loops, dangling jumps and targets that their hook does not allow."""
    chains = loading.table.chains
    reached: dict[str, set[str]] = {}
    for base in [chain.name for chain in chains.values() if chain.base is not None]:
        for name in _walk(loading, base):
            reached.setdefault(name, set()).add(base)
    for place in loading.places:
        sources = reached.get(place.chain, set())
        if place.own_chain_alone:
            sources = sources & {place.chain}
        wrong = sorted(sources - set(place.allowed))
        if wrong:
            raise RulesetError(f"{place.what} cannot be used in {wrong[0]}", place.location)


def _walk(loading: Loading, base: str) -> Iterator[str]:
    """Yield the chains that a base chain reaches. Raise RulesetError for a loop."""
    done: set[str] = set()
    path = {base}
    stack: list[tuple[str, list[tuple[str, Location]]]] = [(base, _jumps(loading, base))]
    while stack:
        name, jumps = stack[-1]
        if not jumps:
            stack.pop()
            path.discard(name)
            done.add(name)
            yield name
            continue
        target, location = jumps.pop()
        if target in path:
            raise RulesetError(f"the chains loop back to {target}", location)
        chain = loading.table.chains.get(target)
        if chain is None:
            raise RulesetError(f"Chain '{target}' does not exist", location)
        if target not in done:
            path.add(target)
            stack.append((target, _jumps(loading, target)))


def _jumps(loading: Loading, name: str) -> list[tuple[str, Location]]:
    return list(loading.jumps.get(name, {}).items())
