"""Source sets are exact: masks, and the CIDR blocks they are shown as."""

from __future__ import annotations

import random
from ipaddress import collapse_addresses, ip_address, ip_network, summarize_address_range

import pytest

from sslint.netfilter import addresses
from sslint.netfilter.addresses import Universe, preimage


@pytest.mark.parametrize("family", [4, 6])
def test_masks_and_cidrs_agree_with_ipaddress(family: int) -> None:
    rnd = random.Random(7)
    width = addresses.WIDTH[family]
    for _ in range(20):
        intervals = []
        for _ in range(rnd.choice((1, 3, 100))):
            low = rnd.randrange(1 << width)
            intervals.append((low, min(low + (1 << rnd.randrange(width)), (1 << width) - 1)))
        universe = Universe(family, intervals)
        mask = universe.mask(intervals)
        kind = type(ip_address(0 if family == 4 else 1 << 100))
        blocks = [b for a, z in intervals for b in summarize_address_range(kind(a), kind(z))]
        size = sum(network.num_addresses for network in collapse_addresses(blocks))
        assert universe.weight(mask) == size
        for _ in range(20):
            address = rnd.randrange(1 << width)
            inside = any(a <= address <= z for a, z in intervals)
            assert bool(universe.bit(address) & mask) == inside
            if not universe.bit(address) & universe.never:
                shown = any(ip_address(address) in ip_network(c) for c in universe.cidrs(mask)[:50])
                assert inside or not shown


def test_everything_is_one_block() -> None:
    universe = Universe(4, [addresses.network("192.0.2.0/24")[1]])
    assert universe.cidrs(universe.full) == ("0.0.0.0/0",)
    assert universe.cidrs(universe.full & ~universe.never) == ("0.0.0.0/0",)
    assert universe.cidrs(universe.loopback) == ()


def test_public_leaves_out_private_and_special_ranges() -> None:
    def public(text: str) -> bool:
        family, value = addresses.parse(text)
        return addresses.contains(addresses.PUBLIC[family], value)

    inside = ("8.8.8.8", "203.0.113.9", "2001:db8::1", "2a00::1")
    outside = ("10.0.0.1", "100.64.0.1", "127.0.0.1", "169.254.1.1", "172.31.0.1", "192.168.1.1",
               "224.0.0.1", "255.255.255.255", "::1", "fe80::1", "fd00::1", "ff02::1")  # fmt: skip
    assert all(map(public, inside))
    assert not any(map(public, outside))


@pytest.mark.parametrize(
    ("mask", "value"),
    [("255.255.255.0", "192.0.2.0"), ("0.0.0.255", "0.0.0.7"), ("255.0.255.0", "10.0.3.0"),
     ("0.0.0.0", "0.0.0.0"), ("255.255.255.255", "192.0.2.9")],
)  # fmt: skip
def test_masks_that_are_no_prefix(mask: str, value: str) -> None:
    bits, wanted = addresses.parse(mask)[1], addresses.parse(value)[1]
    found = preimage(4, ((wanted, wanted),), bits)
    if found is None:
        assert mask == "0.0.0.255"  # 2**24 of them: not followed
        return
    rnd = random.Random(3)
    for _ in range(200):
        address = rnd.randrange(1 << 32)
        if rnd.random() < 0.5:
            address = address & ~bits | wanted
        assert addresses.contains(found, address) == (address & bits == wanted)


def test_an_address_literal_that_is_none_is_a_value_error() -> None:
    for text in ("", "1.2.3", "x", "1.2.3.4.5", "::g", "\udcff"):
        with pytest.raises(ValueError, match="not an address"):
            addresses.parse(text)
