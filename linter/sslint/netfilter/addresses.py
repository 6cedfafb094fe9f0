"""Exact sets of addresses: bit masks over the atoms that a ruleset's own endpoints cut out."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import compress, islice
from operator import sub
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton

from sslint.budgets import spend
from sslint.netfilter.model import Interval
from sslint.values import dataclass, field

WIDTH = {4: 32, 6: 128}
LAST = {4: (1 << 32) - 1, 6: (1 << 128) - 1}
MANY = 64  # intervals from which a mask is built byte by byte
FEW = 16  # atoms that are looked at one by one


def parse(text: str) -> tuple[int, int]:
    """Return (family, address) of an address literal; a zone (`%eth0`) is ignored.

    Raise ValueError if it is none.
    """
    try:
        if ":" in text:
            return 6, int.from_bytes(inet_pton(AF_INET6, text.partition("%")[0]), "big")
        return 4, int.from_bytes(inet_pton(AF_INET, text), "big")
    except (OSError, UnicodeError):
        raise ValueError(f"not an address: {text!r}") from None


def show(family: int, address: int) -> str:
    """Return an address as text."""
    kind = AF_INET if family == 4 else AF_INET6
    return inet_ntop(kind, address.to_bytes(WIDTH[family] // 8, "big"))


def network(text: str) -> tuple[int, Interval]:
    """Return (family, interval) of `ADDRESS/LENGTH`."""
    address, _, length = text.partition("/")
    family, value = parse(address)
    size = WIDTH[family] - int(length or WIDTH[family])
    start = value >> size << size
    return family, (start, start + (1 << size) - 1)


def _networks(*texts: str) -> tuple[Interval, ...]:
    return tuple(network(text)[1] for text in texts)


LOOPBACK = {4: _networks("127.0.0.0/8"), 6: _networks("::1/128")}
LINK_LOCAL = {4: _networks("169.254.0.0/16"), 6: _networks("fe80::/10")}
LINK_LOCAL_ROUTE = _networks("fe80::/64")[0]  # the route that every interface has
MULTICAST = {4: _networks("224.0.0.0/4"), 6: _networks("ff00::/8")}
PRIVATE = {
    4: _networks("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16"),
    6: _networks("fc00::/7", "fec0::/10"),
}
SOLICITED_NODES = _networks("ff02::1:ff00:0/104")[0]  # RFC 4291 2.7.1
# Sources that no packet of a client carries: the kernel drops them as martians
# (fib_validate_source, ip6_rcv_core), whatever the firewall says.
NEVER_A_SOURCE = {
    4: _networks("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/4", "240.0.0.0/4"),
    6: _networks("::/127", "::ffff:0:0/96", "ff00::/8"),
}
# IANA has delegated 2000::/3 alone for global unicast; NAT64 clients come from 64:ff9b::/96.
_PUBLIC6 = _networks("64:ff9b::/96", "2000::/3")


def complement(family: int, intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    """Return the addresses outside of intervals."""
    gaps, position = [], 0
    for low, high in sorted(intervals):
        if low > position:
            gaps.append((position, low - 1))
        position = max(position, high + 1)
    if position <= LAST[family]:
        gaps.append((position, LAST[family]))
    return tuple(gaps)


PUBLIC = {
    4: complement(4, NEVER_A_SOURCE[4] + LINK_LOCAL[4] + PRIVATE[4]),
    6: _PUBLIC6,
}


def merge(items: Iterable[Interval]) -> tuple[Interval, ...]:
    """Return sorted, disjoint intervals of the same numbers; adjacent ones become one."""
    merged: list[Interval] = []
    low = high = -2
    for start, end in sorted(items):
        if start <= high + 1 and merged:
            if end > high:
                high = end
                merged[-1] = (low, high)
        else:
            low, high = start, end
            merged.append((low, high))
    return tuple(merged)


def contains(intervals: Iterable[Interval], value: int) -> bool:
    """Tell whether any of the intervals holds a value."""
    return any(low <= value <= high for low, high in intervals)


def overlaps(intervals: Iterable[Interval], low: int, high: int) -> bool:
    """Tell whether any of the intervals meets another one."""
    return any(a <= high and low <= b for a, b in intervals)


class Universe:
    """The address space of one family, cut into atoms; a set is an int with a bit for each.

    All addresses of an atom are alike to every rule whose endpoints it was built from.
    """

    __slots__ = (
        "_cidrs", "_places", "_sizes", "_weights", "atoms", "family", "full", "loopback", "never",
        "public", "starts",
    )  # fmt: skip

    def __init__(self, family: int, intervals: Collection[Interval]) -> None:
        self.family = family
        spend("ranges", len(intervals))
        points = {0}
        for table in (PUBLIC, NEVER_A_SOURCE, LINK_LOCAL, PRIVATE, MULTICAST, LOOPBACK):
            for low, high in table[family]:
                points.update((low, high + 1))
        if family == 6:
            points.update((SOLICITED_NODES[0], SOLICITED_NODES[1] + 1))
            points.update((LINK_LOCAL_ROUTE[0], LINK_LOCAL_ROUTE[1] + 1))
        else:
            points.add(LAST[4])
        points.update([low for low, _ in intervals])
        points.update([high + 1 for _, high in intervals])
        self.starts = sorted(points)
        del self.starts[bisect_right(self.starts, LAST[family]) :]
        self.atoms = len(self.starts)
        self.full = (1 << self.atoms) - 1
        self.public = self.mask(PUBLIC[family])
        self.never = self.mask(NEVER_A_SOURCE[family])
        self.loopback = self.mask(LOOPBACK[family])
        self._cidrs: dict[int, tuple[str, ...]] = {}
        self._places: dict[int, int] | None = None
        self._sizes: list[int] = []  # addresses of each atom
        self._weights: dict[int, int] = {}

    def bit(self, address: int) -> int:
        """Return the mask of the one atom that holds an address."""
        return 1 << (bisect_right(self.starts, address) - 1)

    def mask(self, intervals: Sequence[Interval]) -> int:
        """Return the atoms that lie in the intervals."""
        return self.joined(self.spans(*zip(*intervals, strict=True))) if intervals else 0

    def spans(self, lows: Sequence[int], highs: Sequence[int]) -> list[Interval]:
        """Return the first atom of each of many intervals, and the one after its last."""
        if len(lows) <= MANY or (self._places is None and len(lows) << 3 < self.atoms):
            return [*map(self.span, lows, highs)]  # sooner than `places` is made
        place = self.places.get
        found = []
        for low, high in zip(lows, highs, strict=True):
            first, after = place(low), place(high + 1)
            if first is None or after is None:
                first, after = self.span(low, high)
            found.append((first, after))
        return found

    def joined(self, spans: Sequence[Interval]) -> int:
        """Return the atoms of spans, as a mask."""
        if len(spans) <= MANY:
            result = 0
            for first, end in spans:
                if end > first:
                    result |= (1 << end) - (1 << first)
            return result
        filled = bytearray(self.atoms + 1)
        for first, end in spans:
            if end == first + 1:
                filled[first] = 1
            elif end > first:
                filled[first:end] = b"\1" * (end - first)
        return int(filled[::-1].translate(_DIGITS), 2)

    def points(self, addresses: Collection[int]) -> int:
        """Return the atoms of addresses that are one each, as a mask."""
        if len(addresses) <= MANY:
            return self.joined([self.span(address, address) for address in addresses])
        held = set(addresses)
        filled = bytes(map(held.__contains__, reversed(self.starts)))
        return int(filled.translate(_DIGITS), 2)

    def covers(self, intervals: Sequence[Interval]) -> int:
        """Return the atoms that the intervals touch; where they are endpoints, `mask`."""
        result = 0
        starts = self.starts
        for low, high in intervals:
            if high < 0 or low > LAST[self.family]:
                continue
            first = bisect_right(starts, max(low, 0)) - 1
            end = bisect_left(starts, high + 1)
            result |= (1 << end) - (1 << first)
        return result

    def span(self, low: int, high: int) -> tuple[int, int]:
        """Return the first atom of an interval, and the one after its last."""
        starts = self.starts
        first = bisect_left(starts, low)
        if high >= LAST[self.family]:
            return first, self.atoms
        return first, bisect_right(starts, high + 1) - 1

    def intervals(self, mask: int, most: int | None = None) -> list[Interval]:
        """Return a set as sorted, disjoint, merged intervals; only the first `most`."""
        digits = bin(mask)[:1:-1]
        starts = self.starts
        found: list[Interval] = []
        first = digits.find("1")
        while first >= 0 and (most is None or len(found) < most):
            end = digits.find("0", first)
            if end < 0:
                end = len(digits)
            high = starts[end] - 1 if end < self.atoms else LAST[self.family]
            found.append((starts[first], high))
            first = digits.find("1", end)
        return found

    def weight(self, mask: int) -> int:
        """Return the number of addresses in a set."""
        known = self._weights.get(mask)
        if known is None:
            if not self._sizes:
                ends = (*self.starts[1:], LAST[self.family] + 1)
                self._sizes = list(map(sub, ends, self.starts))
            if mask.bit_count() <= FEW:
                known = 0
                rest = mask
                while rest:
                    atom = rest.bit_length() - 1
                    known += self._sizes[atom]
                    rest ^= 1 << atom
            else:
                bits = bin(mask)[:1:-1].encode().translate(_BITS)
                known = sum(compress(self._sizes, bits))
            self._weights[mask] = known
        return known

    @property
    def places(self) -> dict[int, int]:
        """Return which atom starts at an address; whoever asks for many asks it once."""
        if self._places is None:
            self._places = dict(zip(self.starts, range(self.atoms), strict=True))
        return self._places

    def cidrs(self, mask: int) -> tuple[str, ...]:
        """Return a set as the fewest CIDR blocks.

        Sources that never arrive are counted in or out, whichever makes the list shorter.
        """
        if not mask & ~self.never:
            return ()
        known = self._cidrs.get(mask)
        if known is None:
            choices = (self.intervals(choice) for choice in self._alike(mask))
            blocks = min(([*self._blocks(choice)] for choice in choices), key=len)
            known = tuple(self._cidr(block) for block in blocks)
            self._cidrs[mask] = known
        return known

    def brief(self, mask: int, most: int) -> str:
        """Return the first CIDR blocks of a set, or of those left out, whichever are fewer ranges.

        A set may have a million blocks: no more than `most` are worked out.
        """
        if not mask & ~self.never:
            return ""
        choices = [(_runs(choice), "", choice) for choice in self._alike(mask)]
        others = self.full & ~mask
        if others & ~self.never:
            choices += [(_runs(choice), "all but ", choice) for choice in self._alike(others)]
        runs, start, chosen = min(choices)
        ranges = self.intervals(chosen, most + 1)
        blocks = list(islice(self._blocks(ranges), most + 1))
        text = start + ", ".join(self._cidr(block) for block in blocks[:most])
        if len(blocks) > most:
            shown = sum(low <= high < blocks[most][0] for low, high in ranges)
            text += f" and {runs - shown} more"
        return text

    def _alike(self, mask: int) -> tuple[int, int, int]:
        """Return a set, and the set with and without the sources that never arrive."""
        return mask, mask | self.never, mask & ~self.never

    def _cidr(self, block: tuple[int, int]) -> str:
        return f"{show(self.family, block[0])}/{block[1]}"

    def _blocks(self, intervals: Iterable[Interval]) -> Iterator[tuple[int, int]]:
        width = WIDTH[self.family]
        for low, high in intervals:
            start = low
            while start <= high:
                size = (start & -start).bit_length() - 1 if start else width
                size = min(size, (high - start + 1).bit_length() - 1)
                yield start, width - size
                start += 1 << size


def _runs(mask: int) -> int:
    """Return how many runs of ones a mask has."""
    return (mask & ~(mask << 1)).bit_count()


@dataclass(frozen=True, slots=True)
class Sources:
    """A set of addresses; its blocks are only worked out when they are asked for."""

    universe: Universe = field(repr=False)
    mask: int

    @property
    def cidrs(self) -> tuple[str, ...]:
        """The fewest CIDR blocks that make up the set."""
        return self.universe.cidrs(self.mask)

    def brief(self, most: int) -> str:
        """Return the first CIDR blocks of the set, or of those left out, and how many follow."""
        return self.universe.brief(self.mask, most)

    @property
    def public_share(self) -> float:
        """The part of the public that the set holds."""
        universe = self.universe
        return universe.weight(self.mask & universe.public) / universe.weight(universe.public)

    def __bool__(self) -> bool:
        return bool(self.mask & ~self.universe.never)


_DIGITS = bytes.maketrans(b"\0\1", b"01")
_BITS = bytes.maketrans(b"01", b"\0\1")


def preimage(
    family: int, values: Sequence[Interval], mask: int, limit: int = 256
) -> tuple[Interval, ...] | None:
    """Return the addresses A for which A & mask lies in the values; None if they are too many."""
    width = WIDTH[family]
    every = LAST[family]
    mask &= every
    if not mask:
        return ((0, every),) if contains(values, 0) else ()
    low_bits = (mask & -mask).bit_length() - 1
    block = 1 << low_bits
    free = [bit for bit in range(low_bits, width) if not mask >> bit & 1]
    if not free:
        found = []
        for low, high in values:
            start = -(-low // block) * block
            end = min(high, every) // block * block + block - 1
            if start <= end:
                found.append((start, end))
        return tuple(found)
    if len(free) > limit.bit_length() - 1 or any(low != high for low, high in values):
        return None
    if len(values) << len(free) > limit:
        return None
    scattered = [0]
    for bit in free:
        scattered += [base | 1 << bit for base in scattered]
    return tuple(
        sorted(
            (low | extra, low + block - 1 | extra)
            for low, _ in values
            if not low & ~mask and low <= every
            for extra in scattered
        )
    )
