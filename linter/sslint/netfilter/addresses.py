"""Exact sets of addresses: bit masks over the atoms that a ruleset's own endpoints cut out."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton

from sslint.netfilter.model import Interval
from sslint.values import dataclass, field

WIDTH = {4: 32, 6: 128}
LAST = {4: (1 << 32) - 1, 6: (1 << 128) - 1}
MANY = 64  # intervals from which a mask is built byte by byte


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
        "_cidrs", "_weights", "atoms", "family", "full", "loopback", "never", "public", "starts",
    )  # fmt: skip

    def __init__(self, family: int, intervals: Iterable[Interval]) -> None:
        self.family = family
        points = {0}
        for table in (PUBLIC, NEVER_A_SOURCE, LINK_LOCAL, PRIVATE, MULTICAST, LOOPBACK):
            for low, high in table[family]:
                points.update((low, high + 1))
        if family == 6:
            points.update((SOLICITED_NODES[0], SOLICITED_NODES[1] + 1))
            points.update((LINK_LOCAL_ROUTE[0], LINK_LOCAL_ROUTE[1] + 1))
        else:
            points.add(LAST[4])
        for low, high in intervals:
            points.add(low)
            points.add(high + 1)
        last = LAST[family]
        self.starts = sorted(point for point in points if 0 <= point <= last)
        self.atoms = len(self.starts)
        self.full = (1 << self.atoms) - 1
        self.public = self.mask(PUBLIC[family])
        self.never = self.mask(NEVER_A_SOURCE[family])
        self.loopback = self.mask(LOOPBACK[family])
        self._cidrs: dict[int, tuple[str, ...]] = {}
        self._weights: dict[int, int] = {}

    def bit(self, address: int) -> int:
        """Return the mask of the one atom that holds an address."""
        return 1 << (bisect_right(self.starts, address) - 1)

    def mask(self, intervals: Sequence[Interval]) -> int:
        """Return the atoms that lie in the intervals."""
        if len(intervals) <= MANY:
            result = 0
            for low, high in intervals:
                first, end = self._indices(low, high)
                if end > first:
                    result |= (1 << end) - (1 << first)
            return result
        filled = bytearray(self.atoms + 1)
        for low, high in intervals:
            first, end = self._indices(low, high)
            if end > first:
                filled[first:end] = b"\1" * (end - first)
        return int(filled[::-1].translate(_DIGITS), 2)

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

    def _indices(self, low: int, high: int) -> tuple[int, int]:
        starts = self.starts
        first = bisect_left(starts, low)
        if high >= LAST[self.family]:
            return first, self.atoms
        return first, bisect_right(starts, high + 1) - 1

    def intervals(self, mask: int) -> list[Interval]:
        """Return a set as sorted, disjoint, merged intervals of addresses."""
        digits = bin(mask)[:1:-1]
        starts, found = self.starts, []
        first = digits.find("1")
        while first >= 0:
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
            known = sum(high - low + 1 for low, high in self.intervals(mask))
            self._weights[mask] = known
        return known

    def cidrs(self, mask: int) -> tuple[str, ...]:
        """Return a set as the fewest CIDR blocks.

        Sources that never arrive are counted in or out, whichever makes the list shorter.
        """
        if not mask & ~self.never:
            return ()
        known = self._cidrs.get(mask)
        if known is None:
            choices = (mask, mask | self.never, mask & ~self.never)
            blocks = min(([*self._blocks(choice)] for choice in choices), key=len)
            known = tuple(f"{show(self.family, start)}/{length}" for start, length in blocks)
            self._cidrs[mask] = known
        return known

    def _blocks(self, mask: int) -> Iterable[Interval]:
        width = WIDTH[self.family]
        for low, high in self.intervals(mask):
            start = low
            while start <= high:
                size = (start & -start).bit_length() - 1 if start else width
                size = min(size, (high - start + 1).bit_length() - 1)
                yield start, width - size
                start += 1 << size


@dataclass(frozen=True, slots=True)
class Sources:
    """A set of addresses; its blocks are only worked out when they are asked for."""

    universe: Universe = field(repr=False)
    mask: int

    @property
    def cidrs(self) -> tuple[str, ...]:
        """The fewest CIDR blocks that make up the set."""
        return self.universe.cidrs(self.mask)

    @property
    def public_share(self) -> float:
        """The part of the public that the set holds."""
        universe = self.universe
        return universe.weight(self.mask & universe.public) / universe.weight(universe.public)

    def __bool__(self) -> bool:
        return bool(self.mask & ~self.universe.never)


_DIGITS = bytes.maketrans(b"\0\1", b"01")


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
