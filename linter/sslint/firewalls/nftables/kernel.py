"""The kernel's side: tables, chains, sets and objects as the commands of a file change them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NoReturn

from sslint.firewalls.errors import RulesetError
from sslint.firewalls.nftables import datatypes as t
from sslint.firewalls.nftables.datatypes import DataType, Refused
from sslint.firewalls.nftables.limits import UNLIMITED
from sslint.firewalls.nftables.rules import Need, RuleBuilder
from sslint.firewalls.nftables.syntax import Concat, Expression, Item, SetLiteral
from sslint.firewalls.nftables.values import (
    element,
    flatten,
    interval,
    overlapping,
    single,
)
from sslint.netfilter.addresses import merge
from sslint.netfilter.model import (
    Base,
    Chain,
    Element,
    Interval,
    Intervals,
    Names,
    Rule,
    Set,
    SetRef,
    Table,
    TableFamily,
    UnknownValues,
    Verdict,
    VerdictMap,
)
from sslint.source import Location
from sslint.values import dataclass, field

MAX_WORK = 200_000_000  # rules or elements that commands walk through or move
MAX_SPLIT = 5_000_000  # intervals that deletions in auto-merged sets walk through
MAX_JUMPS = 16  # NFT_JUMP_STACK_SIZE
OBJECTS = frozenset(("counter", "quota", "limit", "secmark", "synproxy", "tunnel"))
CT_OBJECTS = frozenset(("helper", "timeout", "expectation"))

Place = Callable[[int], Location]
"""Turns an element's offset into its location."""


@dataclass(slots=True)
class SetState:
    """A set, map or verdict map while commands change it."""

    model: Set
    dtypes: list[DataType]
    data: list[DataType] | None = None  # types of a map's data
    kind: str = "set"  # set, map, verdict, or the kind of object a map names
    interval: bool = False
    inline: bool = False  # its block holds elements
    timed: bool = True  # an element may have a timeout
    auto_merge: bool = False
    constant: bool = False
    size: int | None = None
    numbers: dict[Interval, None] = field(default_factory=dict)  # of a set with one key
    names: dict[str, None] = field(default_factory=dict)
    entries: dict[Element, object] = field(default_factory=dict)  # of all others
    default: object | None = None
    unknown: str = ""
    checked: bool = False  # since elements were added
    split: int = 0
    statements: tuple[str, ...] = ()  # what counts in each element

    @property
    def plain(self) -> bool:
        """Whether it is a set with one key."""
        return self.kind == "set" and len(self.dtypes) == 1

    def add(self, literal: SetLiteral, place: Place, *, create: bool = False) -> None:
        """Add elements. Raise RulesetError at the element that is wrong."""
        item: Item | None = None
        try:
            for item in flatten(literal):
                self._add(item, create)
        except Refused as error:
            start = item.start if item is not None else -1
            raise RulesetError(str(error), place(start)) from None

    def _add(self, item: Item, create: bool) -> None:
        if item.statements:
            if not (self.statements or self.model.dynamic):
                raise Refused("missing statement in set declaration")
            if wrong := self.miscounted(item.statements):
                raise Refused(wrong)
            self.model.limited |= bool(set(item.statements) - UNLIMITED)
        if item.limited:
            self.unknown = self.unknown or "elements with limits of their own"
            self.model.limited = True
        if self.plain and item.key is not None:
            if item.data is not None:
                raise Refused("a map's element in a set")
            found = interval(item.key, self.dtypes[0])
            if type(found) is tuple:
                if not self.interval and found[0] != found[1]:
                    raise Refused("You must add 'flags interval' to your set declaration")
                if create and found in self.numbers:
                    raise Refused("element exists")
                self.numbers[found] = None
                self.checked = False
            elif isinstance(found, str):
                if not self.interval and _is_pattern(found):
                    raise Refused("You must add 'flags interval' to your set declaration")
                self.names[found] = None
            elif isinstance(found, UnknownValues):
                self.unknown = self.unknown or found.reason
            return
        data = self._data_of(item)
        if item.key is None:
            self.default = True if data is None else data
            return
        key = element(item.key, self.dtypes)
        if not self.interval and any(_is_range(part) for part in key):
            raise Refused("You must add 'flags interval' to your set declaration")
        if key in self.entries and (create or self.entries[key] != data):
            raise Refused("element exists")
        self.entries[key] = data
        self.checked = False

    def miscounted(self, statements: tuple[str, ...]) -> str:
        """Return why an element cannot have these statements of its own."""
        if statements and self.statements not in ((), statements):
            return f"statement mismatch with set {self.model.name}"
        if "ct" in statements and self.timed:
            return "connections are not counted in a set with timeouts"
        return ""

    def _data_of(self, item: Item) -> object:
        if self.kind == "set":
            if item.data is not None:
                raise Refused("a map's element in a set")
            return None
        if item.data is None:
            raise Refused("a set's element in a map")
        if self.kind == "verdict":
            if not isinstance(item.data, Verdict):
                raise Refused("a verdict is expected")
            return item.data
        if isinstance(item.data, Verdict):
            raise Refused("a verdict where a value is expected")
        return map_data(item.data, self.data or [t.STRING])

    def remove(self, literal: SetLiteral, place: Place, *, must_exist: bool) -> None:
        """Delete elements. Raise RulesetError if one is not there."""
        self.check()
        if self.inline and self.interval:  # nft 1.1.3 says nothing and deletes nothing
            self.unknown = "whether nft deletes from a set what its block holds is uncertain"
        item: Item | None = None
        try:
            for item in flatten(literal):
                if not self._remove(item) and must_exist:
                    raise Refused("no such element")
        except Refused as error:
            raise RulesetError(str(error), place(item.start if item else -1)) from None

    def _remove(self, item: Item) -> bool:
        if item.key is None:
            found = self.default is not None
            self.default = None
            return found
        if not self.plain:
            key = element(item.key, self.dtypes)
            return self.entries.pop(key, self) is not self
        value = interval(item.key, self.dtypes[0])
        if isinstance(value, str):
            return self.names.pop(value, self) is not self
        if isinstance(value, UnknownValues):
            self.unknown = self.unknown or value.reason
            return True
        if value in self.numbers:
            del self.numbers[value]
            return True
        if not self.auto_merge:
            return False
        self.split += len(self.numbers)
        if self.split > MAX_SPLIT:
            raise Refused("too many intervals are split")
        low, high = value
        for held in merge(self.numbers):
            if held[0] <= low and high <= held[1]:
                rest = [(held[0], low - 1), (high + 1, held[1])]
                kept = [part for part in merge(self.numbers) if part != held]
                kept += [part for part in rest if part[0] <= part[1]]
                self.numbers = dict.fromkeys(kept)
                return True
        return False

    def verdicts(self) -> Iterator[Verdict]:
        """Yield a verdict map's verdicts."""
        if self.kind == "verdict":
            for verdict in (*self.entries.values(), self.default):
                if isinstance(verdict, Verdict):
                    yield verdict

    def flush(self) -> None:
        """Delete all elements."""
        self.numbers.clear()
        self.names.clear()
        self.entries.clear()
        self.default = None

    def check(self) -> None:
        """Raise RulesetError if elements overlap or are more than the set's size."""
        if self.checked:
            return
        self.checked = True
        count = len(self.entries) + len(self.names) + len(self.numbers)
        if self.size is not None and not self.interval and count > self.size:
            self._refuse(f"the set has more elements than its size {self.size}")
        if self.auto_merge or not self.interval:
            return
        if self.plain:
            found: list[tuple[Interval, object]] = [(number, None) for number in self.numbers]
        else:
            found = [
                (key[0].items[0], data)
                for key, data in self.entries.items()
                if len(key) == 1 and isinstance(key[0], Intervals)
            ]
        if overlapping(found, data=self.kind != "set"):
            self._refuse("conflicting intervals specified (no auto-merge)")

    def _refuse(self, reason: str) -> NoReturn:
        raise RulesetError(f"set {self.model.name}: {reason}", self.model.location)

    def finish(self) -> None:
        """Write the contents into the model's set."""
        self.check()
        model = self.model
        model.default = self.default
        model.unknown = self.unknown
        count = len(self.entries) + len(self.names) + len(self.numbers)
        if self.size is not None and count >= self.size:
            model.adding = model.adding or f"the set {model.name} is full"
        if self.plain:
            model.elements = []
            if self.numbers:
                model.elements.append((Intervals(merge(self.numbers)),))
            if self.names:
                model.elements.append((Names(tuple(sorted(self.names))),))
            return
        model.elements = list(self.entries)
        if self.kind != "set":
            model.data = list(self.entries.values())


def _is_range(part: object) -> bool:
    if isinstance(part, Names):
        return any(_is_pattern(name) for name in part.items)
    return isinstance(part, Intervals) and part.items[0][0] != part.items[0][1]


def _is_pattern(name: str) -> bool:
    return name.endswith("*") and not name.endswith("\\*")


def map_data(expression: Expression, dtypes: list[DataType]) -> object:
    """Return a map's datum: (addresses, ports) where it is such, else values."""
    names = [dtype.name for dtype in dtypes]
    if names[0] in ("ipv4_addr", "ipv6_addr") and len(names) <= 2:
        if len(names) == 1:
            return single(expression, dtypes[0]), None
        if names[1] == "inet_service" and isinstance(expression, Concat):
            if len(expression.items) != 2:
                raise Refused("an address and a port are expected")
            ports = interval(expression.items[1], dtypes[1])
            if type(ports) is tuple:
                return single(expression.items[0], dtypes[0]), ports
    elif names == ["inet_service"]:
        ports = interval(expression, dtypes[0])
        if type(ports) is tuple:
            return None, ports
    if len(dtypes) == 1:
        return single(expression, dtypes[0])
    return element(expression, dtypes)


@dataclass(slots=True)
class TableState:
    """A table with what the model has no place for."""

    model: Table
    sets: dict[str, SetState] = field(default_factory=dict)
    # Whether a limit or quota stops the first packet; None: it depends on the packet.
    objects: dict[tuple[str, str], bool | None] = field(default_factory=dict)
    handles: dict[str, list[int]] = field(default_factory=dict)  # of each chain's rules
    needs: dict[str, list[tuple[Need, Location]]] = field(default_factory=dict)
    owned: bool = False  # by nft itself, with which it goes
    last_handle: int = 0
    anonymous: int = 0

    def handle(self, count: int = 1) -> int:
        """Return the handle that the next thing made in the table gets."""
        self.last_handle += count
        return self.last_handle


class Kernel:
    """All tables. Methods are the commands; they raise RulesetError where the kernel refuses."""

    def __init__(self) -> None:
        self.tables: dict[tuple[TableFamily, str], TableState] = {}
        self.order = 0
        self.flushed: Location | None = None  # where the tables of all families were deleted
        self._work = 0

    def flush(self, family: str, location: Location) -> None:
        """Delete all tables, or those of one family."""
        self._spend(10 * len(self.tables), location)
        if not family:
            self.flushed = location
        self.tables = {
            key: table for key, table in self.tables.items() if family and key[0] != family
        }

    def _spend(self, amount: int, location: Location) -> None:
        """Bound what commands that walk through rules cost in all."""
        self._work += amount
        if self._work > MAX_WORK:
            raise RulesetError("too many commands on too many rules", location)

    # -- tables -----------------------------------------------------------------------------------

    def table(self, family: TableFamily, name: str, location: Location) -> TableState:
        """Return a table that must exist."""
        found = self.tables.get((family, name))
        if found is None:
            raise RulesetError(f"no such table: {family} {name}", location)
        return found

    def add_table(
        self, family: TableFamily, name: str, location: Location, *, create: bool = False
    ) -> TableState:
        """Make a table, or return the one there is."""
        found = self.tables.get((family, name))
        if found is not None:
            if create:
                raise RulesetError(f"table {family} {name} exists", location)
            return found
        model = Table(family, name, location=location)
        if name == "firewalld":
            model.origin = "firewalld"
        state = self.tables[family, name] = TableState(model)
        return state

    # -- chains -----------------------------------------------------------------------------------

    def add_chain(
        self, table: TableState, name: str, location: Location, *, create: bool = False
    ) -> Chain:
        """Make a chain, or return the one there is."""
        found = table.model.chains.get(name)
        if found is not None:
            if create:
                raise RulesetError(f"chain {name} exists", location)
            return found
        self.order += 1
        chain = Chain(name, location, order=self.order)
        table.model.chains[name] = chain
        table.handles[name] = []
        table.handle()
        return chain

    def attach(self, chain: Chain, base: Base, location: Location, *, new: bool) -> None:
        """Make a chain a base chain; an old one must be attached alike."""
        old = chain.base
        if old is None:
            if not new:
                raise RulesetError(f"chain {chain.name} exists and is not a base chain", location)
            chain.base = base
            return
        same = (old.type, old.hook, old.priority) == (base.type, base.hook, base.priority)
        if not same:
            raise RulesetError(f"chain {chain.name} exists with another type or priority", location)
        devices = old.devices + tuple(d for d in base.devices if d not in old.devices)
        chain.base = Base(
            old.type, old.hook, old.priority, old.policy, devices, old.policy_location
        )

    def chain(self, table: TableState, name: str, location: Location) -> Chain:
        """Return a chain that must exist."""
        found = table.model.chains.get(name)
        if found is None:
            raise RulesetError(f"no such chain: {name}", location)
        return found

    def delete_chain(self, table: TableState, name: str, location: Location) -> None:
        """Delete a chain that no rule jumps to."""
        chain = self.chain(table, name, location)
        self._spend(20 * sum(len(c.rules) + 1 for c in table.model.chains.values()), location)
        for other in table.model.chains.values():
            if other is not chain and any(name in jumps(rule) for rule in other.rules):
                raise RulesetError(f"chain {name} is in use", location)
        del table.model.chains[name]
        del table.handles[name]
        table.needs.pop(name, None)

    def rename_chain(self, table: TableState, name: str, new: str, location: Location) -> None:
        """Rename a chain; the rules that jump to it follow."""
        chain = self.chain(table, name, location)
        self._spend(20 * sum(len(c.rules) + 1 for c in table.model.chains.values()), location)
        if new in table.model.chains:
            raise RulesetError(f"chain {new} exists", location)
        if any(
            name in jumps(rule) for other in table.model.chains.values() for rule in other.rules
        ):
            raise RulesetError("renaming a chain that is jumped to is not followed", location)
        chain.name = new
        table.model.chains = {
            (new if key == name else key): held for key, held in table.model.chains.items()
        }
        table.handles[new] = table.handles.pop(name)

    # -- rules ------------------------------------------------------------------------------------

    def add_rule(
        self, table: TableState, chain: Chain, builder: RuleBuilder, location: Location, at: int
    ) -> None:
        """Put a rule in a chain at an index."""
        handle = table.handle(builder.anonymous + 1)
        rule = Rule(tuple(builder.items), location)
        if builder.xtables:
            table.model.origin = "iptables"
        for need in builder.needs:
            table.needs.setdefault(chain.name, []).append((need, location))
        if at == len(chain.rules):
            chain.rules.append(rule)
            table.handles[chain.name].append(handle)
        else:
            self._spend((len(chain.rules) - at) // 16, location)  # a move is cheap
            chain.rules.insert(at, rule)
            table.handles[chain.name].insert(at, handle)

    def index_of(self, table: TableState, chain: Chain, handle: int, location: Location) -> int:
        """Return where the rule with a handle stands."""
        self._spend(len(chain.rules), location)
        try:
            return table.handles[chain.name].index(handle)
        except ValueError:
            raise RulesetError(f"no rule with handle {handle}", location) from None

    def check_rule(
        self, table: TableState, builder: RuleBuilder, place: Callable[[], Location]
    ) -> None:
        """Raise RulesetError if a rule names a set, chain or object that is not there."""
        for name, dtypes, is_map in builder.sets:
            state = table.sets.get(name)
            if state is None:
                raise RulesetError(f"no such set: {name}", place())
            if dtypes is not None and not compatible(dtypes, state.dtypes):
                raise RulesetError(f"datatype mismatch with set {name}", place())
            if is_map and state.kind == "set":
                raise RulesetError(f"{name} is not a map", place())
        for name, timed, counted in builder.updates:  # nft_dynset_init
            state = table.sets[name]
            if state.interval or state.constant or (timed and not state.timed):
                raise RulesetError(f"set {name} is not for what rules add", place())
            if wrong := state.miscounted(counted):
                raise RulesetError(wrong, place())
            state.model.dynamic = True  # nft sets the flag
        for name in builder.chains:
            chain = table.model.chains.get(name)
            if chain is None:
                raise RulesetError(f"no such chain: {name}", place())
            if chain.base is not None:
                raise RulesetError(f"a jump to the base chain {name}", place())
        for kind, name in builder.objects:
            if (kind, name) not in table.objects:
                raise RulesetError(f"no such {kind}: {name}", place())

    # -- sets -------------------------------------------------------------------------------------

    def set(self, table: TableState, name: str, location: Location) -> SetState:
        """Return a set or map that must exist."""
        found = table.sets.get(name)
        if found is None:
            raise RulesetError(f"no such set: {name}", location)
        return found

    def add_set(self, table: TableState, state: SetState, location: Location) -> SetState:
        """Make a set; one of that name must be of the same types. Return the set to fill."""
        name = state.model.name
        old = table.sets.get(name)
        if old is None:
            table.sets[name] = state
            table.handle()
            return state
        old_types = [dtype.name for dtype in old.dtypes]
        same = old_types == [dtype.name for dtype in state.dtypes] and old.kind == state.kind
        if not same or old.interval != state.interval:
            raise RulesetError(f"set {name} exists and is another", location)
        return old

    def finish(self) -> list[Table]:
        """Return the tables, with the contents of their sets in place."""
        found = []
        for table in self.tables.values():
            self._validate(table)
            if table.owned:
                continue
            for state in table.sets.values():
                state.finish()
                for name in _chains(state.verdicts()):
                    if name not in table.model.chains:
                        raise RulesetError(f"no such chain: {name}", state.model.location)
                table.model.sets[state.model.name] = state.model
            found.append(table.model)
        return found

    def _validate(self, table: TableState) -> None:
        """Follow the jumps of every base chain as the kernel does, nft_table_validate."""
        targets: dict[str, list[str]] = {}
        of_maps = {name: _chains(state.verdicts()) for name, state in table.sets.items()}
        for chain in table.model.chains.values():
            found: dict[str, None] = {}
            for rule in chain.rules:
                for item in rule.items:
                    if type(item) is Verdict and item.chain:
                        found[item.chain] = None
                    elif type(item) is VerdictMap:
                        found.update(_map_targets(item, of_maps))
            targets[chain.name] = list(found)
        walked: dict[tuple[str, str], dict[str, int]] = {}
        for chain in table.model.chains.values():
            base = chain.base
            if base is not None:
                seen = walked.setdefault((base.hook, base.type), {})
                self._follow(table, chain, base, targets, seen)

    def _follow(
        self,
        table: TableState,
        start: Chain,
        base: Base,
        targets: dict[str, list[str]],
        seen: dict[str, int],
    ) -> None:
        """Walk the jumps from one base chain; `seen` holds the deepest level of each chain."""
        path: list[str] = [start.name]
        pending = [iter(targets[start.name])]
        self._check_needs(table, start.name, base)
        while pending:
            name = next(pending[-1], None)
            if name is None:
                pending.pop()
                path.pop()
                continue
            if name in path:
                raise RulesetError(f"a loop of jumps through {name}", start.location)
            if len(path) >= MAX_JUMPS:
                raise RulesetError(f"too many levels of jumps, at {name}", start.location)
            if name not in targets or seen.get(name, 0) > len(path):
                continue
            self._check_needs(table, name, base)
            path.append(name)
            seen[name] = len(path)
            pending.append(iter(targets[name]))

    def _check_needs(self, table: TableState, name: str, base: Base) -> None:
        for (chain_type, hooks), location in table.needs.get(name, ()):
            if base.hook not in hooks or chain_type not in (None, base.type):
                raise RulesetError(f"not supported at hook {base.hook}, type {base.type}", location)


def _chains(verdicts: Iterable[Verdict]) -> dict[str, None]:
    return dict.fromkeys(verdict.chain for verdict in verdicts if verdict.chain)


def _map_targets(item: VerdictMap, of_maps: dict[str, dict[str, None]]) -> dict[str, None]:
    if isinstance(item.entries, SetRef):
        return of_maps.get(item.entries.name, {})
    default = () if item.default is None else (item.default,)
    return _chains((*(verdict for _, verdict in item.entries), *default))


def compatible(left: list[DataType], right: list[DataType]) -> bool:
    """Tell whether a set with types `right` may be asked with keys of types `left`."""
    if len(left) != len(right):
        return False
    for one, other in zip(left, right, strict=True):
        if one.name != other.name and "integer" not in (one.name, other.name):
            return False
    return True


def jumps(rule: Rule) -> set[str]:
    """Return the chains a rule can go to."""
    found = set()
    for item in rule.items:
        if isinstance(item, Verdict) and item.chain:
            found.add(item.chain)
        for _, verdict in getattr(item, "entries", None) or () if _is_map(item) else ():
            if verdict.chain:
                found.add(verdict.chain)
        default = getattr(item, "default", None)
        if isinstance(default, Verdict) and default.chain:
            found.add(default.chain)
    return found


def _is_map(item: object) -> bool:
    return isinstance(getattr(item, "entries", None), tuple)
