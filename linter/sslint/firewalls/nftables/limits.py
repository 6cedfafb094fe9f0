"""What a counter at its start makes of the first packet."""

from __future__ import annotations

UNLIMITED = frozenset(("counter", "last"))  # what counts and stops nothing
_FIRST_PACKET = 140  # bytes; no SYN is longer
_LONGEST_PACKET = 65575  # bytes, of IPv6 without a jumbogram


def capacity_of(rate: int, burst: int) -> int | None:
    """Return the bytes of the longest packet that a rate of bytes ever passes; None: of any.

    Both are in one unit of time (nft_limit_init, nft_limit_eval in net/netfilter/nft_limit.c).
    """
    return rate + burst if rate + burst < _LONGEST_PACKET else None


def quota_stops(over: bool, allowed: int, used: int) -> bool | None:
    """Tell whether a quota does not pass the first packet; None: it depends on its size."""
    if allowed <= used:
        return not over
    return over if allowed - used >= _FIRST_PACKET else None
