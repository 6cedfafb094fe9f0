"""One match held against one packet: for which far addresses it certainly, and possibly, holds."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from sslint.netfilter import addresses
from sslint.netfilter.addresses import Universe
from sslint.netfilter.model import (
    CtState,
    Element,
    FibType,
    HostNetwork,
    Interval,
    Intervals,
    Key,
    Limit,
    Match,
    Names,
    Recent,
    Ruleset,
    Set,
    SetRef,
    Table,
    TcpFlag,
    UnknownValues,
    Values,
)
from sslint.netfilter.packet import (
    BANNED,
    FREE,
    FREE_ROUTE,
    FREE_TYPE,
    KNOWN_HOST,
    LOCAL,
    MISSING,
    RATED,
    TCP,
    Entry,
    PacketState,
    Range,
    Value,
    Why,
    read,
)

_DONT_FRAGMENT = 0x4000
_LAST_INDEX = (1 << 31) - 1  # of an interface
FEW = 8  # intervals that are compared one by one
USUAL_MSS = Range(536, 8960)  # RFC 9293, 3.7.1, to that of a jumbo frame

Answer = tuple[int, int, str]
"""(far addresses that certainly match, that possibly match, why the two differ)."""

# The widest network that a rule may name for its own host's: /24, and what a site is given, /48
_OWN_NETWORK = {4: (1 << 8) - 1, 6: (1 << 80) - 1}


class Matching:
    """Answers matches; remembers what it had to assume, and the sets it looked into."""

    def __init__(
        self, ruleset: Ruleset, network: HostNetwork, universes: dict[int, Universe]
    ) -> None:
        self.ruleset = ruleset
        self.network = network
        self.universes = universes
        self.assumptions: dict[str, None] = {}
        self.exact: tuple[int, int] | None = None  # (family, address): only this one is asked for
        self.client = True  # a client connects, as clients do; False: one packet alone is judged
        self._merged: dict[int, Intervals | Names | UnknownValues | None] = {}
        self._looked_up: dict[tuple[object, ...], Answer] = {}
        # Where values begin and end, by the identity of these, which are kept for that.
        self._bounds: dict[int, tuple[tuple[Interval, ...], list[int], list[int]]] = {}

    def full(self, state: PacketState) -> int:
        """Return all far addresses."""
        return self.universes[state.family or 4].full

    # -- matches ----------------------------------------------------------------------------

    def match(self, match: Match, state: PacketState, table: Table) -> Answer:
        """Answer a match."""
        full = self.full(state)
        values = match.values
        found = self.set_of(table, values) if isinstance(values, SetRef) else None
        ipset = found is not None and found.keys[:1] != () and found.keys[0].startswith("ipset:")
        read_values = [self.read(key, state) for key in match.keys]
        if ipset and found is not None:
            read_values, missing = self._ipset_fields(found, read_values)
            if missing:  # an ipset that cannot be asked has not got it: `!` then matches
                return (full, full, "") if match.negate else (0, 0, "")
        elif MISSING in read_values:
            return 0, 0, ""
        if isinstance(values, SetRef):
            if found is None:
                answer = (0, full, f"the set {values.name} is not in the files")
            else:
                answer = self._member(found, match.keys, read_values, state)
        elif isinstance(values, tuple):
            answer = self._look_up(values, (), match.keys, read_values, state)
        else:
            answer = self._compare(read_values[0], match.keys[0], values, match.test, state)
        if match.negate:
            return full & ~answer[1], full & ~answer[0], answer[2]
        return answer

    def read(self, key: Key, state: PacketState) -> Value:
        """Return what a key reads from a packet."""
        if key.name == "ip.frag-off" and key.mask is not None and not key.mask & _DONT_FRAGMENT:
            return 0 if state.family == 4 else MISSING  # conntrack defragments first
        if key.name == "tcp.option.maxseg.size" and self.client and state.proto == TCP:
            return self._segment_size(state)
        return read(key.name, key.arg, state, self.network)

    def _segment_size(self, state: PacketState) -> Value:
        """Return what a client announces: its first packet alone has the option."""
        if not state.flags & TcpFlag.SYN:
            return MISSING
        low, high = USUAL_MSS
        self.assume(f"clients announce a maximum segment size (MSS) of {low} to {high} bytes")
        return USUAL_MSS

    def set_of(self, table: Table, reference: SetRef) -> Set | None:
        """Find a set of the table, or an ipset."""
        return table.sets.get(reference.name) or self.ruleset.ipsets.get(reference.name)

    @staticmethod
    def _ipset_fields(found: Set, values: list[Value]) -> tuple[list[Value], bool]:
        """Drop surplus directions; too few of them, or a missing field, never match."""
        fields = len(found.elements[0]) if found.elements else 0
        if fields and len(values) < fields:
            return values, True
        kept = values[:fields] if fields else values
        return kept, MISSING in kept

    def _member(
        self, found: Set, keys: Sequence[Key], values: Sequence[Value], state: PacketState
    ) -> Answer:
        full = self.full(state)
        answer, entry = self.held(found, keys, values, state)
        if entry is not None and entry.limited:  # a lookup asks the element's limit as well
            return 0, full, f"what a rule adds to the set {found.name} has limits of its own"
        if found.dynamic and entry is None and state.history == BANNED:
            reason = found.unknown or f"the set {found.name} is filled at run time"
            return answer[0], full, reason
        return answer

    def held(
        self, found: Set, keys: Sequence[Key], values: Sequence[Value], state: PacketState
    ) -> tuple[Answer, Entry | None]:
        """Answer whether a set holds a value, and return this packet's own entry that says so."""
        full = self.full(state)
        if found.unknown:
            return (0, full, found.unknown), None
        for entry in state.added:
            same = entry.where == id(found) and _same(entry, keys, values)
            if same is None:
                why = f"this packet's own entry in the set {found.name} has other keys"
                return (0, full, why), entry
            if same:
                return ((0, 0, "") if entry.gone else (full, full, "")), entry
        merged = self._merge(found) if len(values) == 1 and not found.holes else None
        if found.default is not None:
            return (full, full, ""), None
        if merged is not None:
            return self._compare(values[0], keys[0], merged, "in", state), None
        return self._look_up(found.elements, found.holes, keys, values, state), None

    def kept(self, found: Set, entry: Entry | None, sure: int, state: PacketState) -> Answer:
        """Answer whether a rule goes on that adds to a set what it holds already.

        That keeps the statement it came with, its own, the set's or none (nft_dynset_eval). It is
        this packet's own `entry`, if there is one, and held for `sure`.
        """
        full = self.full(state)
        limited = entry.limited if entry is not None else found.limited
        if not limited:
            return full, full, ""
        if state.history == RATED:
            return 0, full, f"the rate kept in {found.name}"
        if found.unknown or (entry is not None and not sure):
            return 0, full, f"elements of the set {found.name} have limits of their own"
        return (full, full, "") if entry is None or entry.first else (0, 0, "")

    def _merge(self, found: Set) -> Intervals | Names | UnknownValues | None:
        """Return a set of one field as one value; None if its elements are of several kinds."""
        known = self._merged.get(id(found), self)
        if known is self:
            known = _merged(found.elements)
            self._merged[id(found)] = known
        assert not isinstance(known, Matching)
        return known

    def _look_up(
        self,
        elements: Sequence[Element],
        holes: Sequence[Element],
        keys: Sequence[Key],
        values: Sequence[Value],
        state: PacketState,
    ) -> Answer:
        """Answer a concatenation; in an ipset the most specific element or hole decides."""
        memo = (id(elements), state.family, state.inbound, *values)
        known = self._looked_up.get(memo)
        if known is not None:
            return known
        full = self.full(state)
        sure, maybe, reason = 0, 0, ""
        ordered: Iterable[tuple[Element, bool]] = ((element, False) for element in elements)
        if holes:
            marked = [*ordered, *((hole, True) for hole in holes)]
            ordered = sorted(marked, key=lambda pair: -_size(pair[0]))
        for element, hole in ordered:
            t, u, why = self.element(element, keys, values, state)
            reason = reason or why
            if hole:
                sure, maybe = sure & ~u, maybe & ~t
            else:
                sure, maybe = sure | t, maybe | u
                if sure == full and not holes:
                    break
        answer = (sure, maybe, reason if sure != maybe else "")
        self._looked_up[memo] = answer
        return answer

    def element(
        self, element: Element, keys: Sequence[Key], values: Sequence[Value], state: PacketState
    ) -> Answer:
        """Answer whether the keys' values are those of one element."""
        full = self.full(state)
        sure, maybe, reason = full, full, ""
        if len(element) > len(values):
            return 0, full, "an element has more fields than the lookup"
        for field, key, value in zip(element, keys, values, strict=False):
            t, u, why = self._compare(value, key, field, "in", state)
            sure, maybe, reason = sure & t, maybe & u, reason or why
            if not maybe:
                return 0, 0, ""
        return sure, maybe, reason

    # -- values -----------------------------------------------------------------------------

    def _compare(
        self, value: Value, key: Key, values: Values, test: str, state: PacketState
    ) -> Answer:
        full = self.full(state)
        if value is MISSING:
            return 0, 0, ""
        if isinstance(values, UnknownValues):
            return 0, full, values.reason
        if value is FREE and isinstance(values, Intervals):
            return self._far(key, values, test, state)
        if value is FREE_TYPE and isinstance(values, Intervals):
            mask = self._typed(values, state)
            return mask, mask, ""
        if value is FREE_ROUTE:
            return self._routed(key, values, state)
        result = self._near(value, key, values, test, state)
        if result is True:
            return full, full, ""
        if result is False:
            return 0, 0, ""
        return 0, full, result

    def _near(
        self, value: Value, key: Key, values: Intervals | Names, test: str, state: PacketState
    ) -> bool | str:
        """Compare a value that does not depend on the far address."""
        if isinstance(values, Names):
            if "*" in values.items:
                return True
            if isinstance(value, str):
                return _named(value, values.items)
            return value.reason if isinstance(value, Why) else f"{key.name} is not a name"
        items = values.items
        if isinstance(value, Why):
            return value.reason
        if isinstance(value, str):
            return _index(value, items)
        if value is LOCAL:
            return self._this_host(items, key, state)
        if isinstance(value, Range):
            return _ranged(value, key, items, test)
        if not isinstance(value, int):
            return f"{key.name} cannot be compared"
        number = apply(key, value)
        if test == "any":
            return any(number & bits for bits, _ in items)
        if len(items) > FEW:
            starts, ends = self._borders(items)
            place = bisect_right(starts, number) - 1
            return place >= 0 and number <= ends[place]
        return any(low <= number <= high for low, high in items)

    def _borders(self, items: tuple[Interval, ...]) -> tuple[list[int], list[int]]:
        """Return where many intervals begin and end, in order."""
        known = self._bounds.get(id(items))
        if known is None:
            merged = addresses.merge(items)
            known = self._bounds[id(items)] = (
                items, [low for low, _ in merged], [high for _, high in merged]
            )  # fmt: skip
        return known[1:]

    def _far(self, key: Key, values: Intervals, test: str, state: PacketState) -> Answer:
        universe = self.universes[state.family]
        if self.exact is not None and self.exact[0] == state.family:
            holds = self._near(self.exact[1], key, values, test, state) is True
            return (universe.full, universe.full, "") if holds else (0, 0, "")
        if test == "any" or key.xor or key.shift:
            return 0, universe.full, "bits of an address are compared"
        items: Sequence[Interval] | None = values.items
        if key.mask is not None:
            items = addresses.preimage(state.family, values.items, key.mask)
            if items is None:
                return 0, universe.full, "a scattered address mask is compared"
        mask = universe.mask(items or ())
        return mask, mask, ""

    def _typed(self, types: Intervals, state: PacketState) -> int:
        """Return the far addresses of some route types, as a host with a default route has them."""
        universe = self.universes[state.family]
        own = self.network.own(state.family)
        local = universe.loopback | universe.covers([(address, address) for address in own])
        multicast = universe.mask(addresses.MULTICAST[state.family])
        broadcast = universe.mask(((0, (1 << 24) - 1), (addresses.LAST[4], addresses.LAST[4])))
        if state.family == 6:
            broadcast = 0
        by_type = {
            FibType.LOCAL: local,
            FibType.MULTICAST: multicast & ~local,
            FibType.BROADCAST: broadcast & ~local,
            FibType.UNICAST: universe.full & ~(local | multicast | broadcast),
        }
        result = 0
        for kind, mask in by_type.items():
            if addresses.contains(types.items, kind):
                result |= mask
        return result

    def routes(self, family: int, iif: str) -> dict[str, int]:
        """Return the far addresses behind each interface; the rest is behind the default route.

        Without a known default route it is assumed to be where the packet came in.
        """
        universe = self.universes[family]
        width = addresses.WIDTH[family]
        found: dict[str, int] = {}
        left = universe.full
        for interface in self.network.interfaces:
            for address, length in interface.addresses(family):
                start = address >> (width - length) << (width - length)
                mask = left & universe.mask(((start, start + (1 << (width - length)) - 1),))
                found[interface.name] = found.get(interface.name, 0) | mask
                left &= ~mask
        # A link-local address is looked for on the interface of the packet alone: each has a route
        # to fe80::/64, the default route's leads to the others.
        default = self.network.public or iif
        scoped = universe.mask(addresses.LINK_LOCAL[6]) if family == 6 else 0
        links = universe.mask((addresses.LINK_LOCAL_ROUTE,)) if family == 6 else 0
        found = {name: mask & ~(links if name == iif else scoped) for name, mask in found.items()}
        behind = left & ~(links if default == iif else scoped)
        found[default] = found.get(default, 0) | behind
        found[iif] = found.get(iif, 0) | links
        return found

    def _routed(self, key: Key, values: Intervals | Names, state: PacketState) -> Answer:
        """Answer the reverse path: by which interface the far addresses are reached.

        With the packet's own interface in the lookup (`iif`) only that one counts; 0 is none.
        """
        universe = self.universes[state.family]
        assert state.iif is not None
        routes = self.routes(state.family, state.iif)
        if "iif" in key.arg.split():
            routes = {state.iif: routes.get(state.iif, 0)}
        else:
            self.assume("the reverse path filter knows a route to every source")
        result = reached = 0
        for name, mask in routes.items():
            reached |= mask
            if isinstance(values, Names):
                hit = _named(name, values.items)
            else:
                hit = any(high > 0 for _, high in values.items)
            result |= mask if hit else 0
        if isinstance(values, Names):
            none = "" in values.items
        else:
            none = addresses.contains(values.items, 0)
        if none:
            result |= universe.full & ~reached
        return result, result, ""

    def _this_host(self, items: Sequence[Interval], key: Key, state: PacketState) -> bool | str:
        """Compare an address of this host that is not known: a public one is assumed to be it."""
        family = state.family
        if key.mask is not None:
            found = addresses.preimage(family, items, key.mask)
            if found is None:
                return "a scattered address mask is compared"
            items = found
        if len(items) == 1 and items[0][0] == 0 and items[0][1] >= addresses.LAST[family]:
            return True
        shown = _show(family, items)
        hits = {addresses.contains(items, address) for address in self.network.own(family)}
        if hits == {True}:
            return True
        if True in hits:
            return f"whether clients use {shown} or another address of this host is not known"
        if all(low == high and low & 255 == 255 for low, high in items) and family == 4:
            self.assume(f"{shown} is a broadcast address")
            return False
        if state.host == KNOWN_HOST:
            return False
        public = [i for i in items if addresses.overlaps(addresses.PUBLIC[family], *i)]
        if any(high - low > _OWN_NETWORK[family] for low, high in public):
            return f"whether {shown} is this host is not in the files"
        if public:
            self.assume(f"{shown}, which a rule names as destination, is this host")
            return True
        if any(addresses.overlaps(addresses.PRIVATE[family], *item) for item in items):
            return f"whether {shown} is this host is not in the files"
        return False

    def assume(self, text: str) -> None:
        """Remember an assumption, once."""
        self.assumptions[text] = None

    # -- xt_recent --------------------------------------------------------------------------

    def recent(self, item: Recent, state: PacketState) -> Answer:
        """Answer xt_recent: its list is empty but for what this packet added."""
        full = self.full(state)
        times = max((entry.times for entry in state.added if entry.where == item.name), default=0)
        listed = times > 0
        if item.action == "set":
            matched = True
        elif item.action == "remove":
            matched = listed
        else:
            matched = listed and item.hitcount <= times
            if (state.history == RATED and item.hitcount > 1) or state.history == BANNED:
                return 0, full, f"the recent list {item.name} is filled at run time"
        return (full, full, "") if matched != item.negate else (0, 0, "")

    # -- counters -----------------------------------------------------------------------------

    def limit(self, item: Limit, state: PacketState) -> Answer:
        """Answer a counter at its start; one of bytes never passes a packet beyond its capacity."""
        full = self.full(state)
        if state.history == RATED and not item.generous:
            return 0, full, item.text or "a rate"
        if item.growing and state.connection != CtState.NEW:
            return 0, full, f"{item.text} counts the packets of a connection"
        first = item.first
        if item.capacity is not None:
            length = read("meta.length", "", state, self.network)
            if not isinstance(length, Range) or length.low <= item.capacity < length.high:
                return 0, full, f"{item.text} depends on the packet's size"
            first ^= length.low > item.capacity
        return (full, full, "") if first else (0, 0, "")


def _same(entry: Entry, keys: Sequence[Key], values: Sequence[Value]) -> bool | None:
    """Tell whether a lookup is for what this packet put in the set; None: it may be."""
    if len(entry.keys) != len(keys):
        return None
    certain = True
    for own, key, before, now in zip(entry.keys, keys, entry.values, values, strict=True):
        if isinstance(before, int) and isinstance(now, int):
            if apply(own, before) != apply(key, now):
                return False
        elif own != key or before != now or isinstance(now, Why):
            certain &= isinstance(before, str) and before == now and own.mask == key.mask
    return True if certain else None


def apply(key: Key, value: int) -> int:
    """Return what a key compares of a value: `((value & mask) ^ xor) >> shift`."""
    if key.mask is not None:
        value &= key.mask
    value ^= key.xor
    return value >> key.shift if key.shift >= 0 else value << -key.shift


def _named(name: str, patterns: Sequence[str]) -> bool:
    return any(
        name.startswith(pattern[:-1]) if pattern[-1:] == "*" else name == pattern
        for pattern in patterns
    )


def _index(name: str, items: Sequence[Interval]) -> bool | str:
    """Compare an interface with indices: an absent one is 0, lo is 1."""
    if not name or name == "lo":
        return addresses.contains(items, int(name == "lo"))
    if any(low <= 2 and high >= _LAST_INDEX for low, high in items):
        return True
    if not items or items[-1][1] <= 1:
        return False
    return "interface indices are not in the files"


def _ranged(value: Range, key: Key, items: Sequence[Interval], test: str) -> bool | str:
    reason = "it depends on the source port" if value == (1024, 65535) else f"{key.name} varies"
    if test == "any" or key.xor or key.shift:
        return reason
    low, high = value
    if key.mask is not None:
        span = low ^ high
        prefix = ~((1 << span.bit_length()) - 1)
        if key.mask & ~prefix:
            return reason
        low, high = low & key.mask, low & key.mask
    if any(a <= low and high <= b for a, b in items):
        return True
    return reason if addresses.overlaps(items, low, high) else False


def _show(family: int, items: Sequence[Interval]) -> str:
    shown = [
        addresses.show(family, low) + ("" if low == high else f"-{addresses.show(family, high)}")
        for low, high in items[:3]
    ]
    return ", ".join(shown) + (" ..." if len(items) > 3 else "")


def _size(element: Element) -> int:
    first = element[0] if element else None
    return max((b - a for a, b in first.items), default=0) if isinstance(first, Intervals) else 0


def _merged(elements: Sequence[Element]) -> Intervals | Names | UnknownValues | None:
    intervals: list[Interval] = []
    names: list[str] = []
    for element in elements:
        if len(element) != 1:
            return None
        field = element[0]
        if isinstance(field, Intervals):
            intervals += field.items
        elif isinstance(field, Names):
            names += field.items
        else:
            return None
    if names:
        return None if intervals else Names(tuple(names))
    return Intervals(tuple(sorted(intervals)))
