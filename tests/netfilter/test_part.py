"""The answer for some sources alone agrees with the answer for everyone, address by address."""

from __future__ import annotations

import random
from ipaddress import ip_address, ip_network

import pytest

from sslint.netfilter import addresses
from sslint.netfilter.model import Doubt, Ruleset
from sslint.netfilter.part import trace_part
from sslint.netfilter.reach import Firewall
from sslint.netfilter.verdicts import Reach
from tests.netfilter.models import ACCEPT, DROP, ESTABLISHED, firewall, incoming, source, table, tcp
from tests.netfilter.test_properties import PORTS, random_chains
from tests.netfilter.test_reach import iif

HTTPS = tcp(443)
ASKED = (
    "0.0.0.0/0", "10.0.0.0/7", "10.20.0.0/16", "203.0.113.0/25", "203.0.112.0/20",
    "198.51.100.7/32", "198.51.100.0/24", "64.0.0.0/2",
)  # fmt: skip


def part(judged: Firewall, net: str, port: int = 443) -> Reach:
    return trace_part(judged, "tcp", port, 4, (addresses.network(net)[1],)).reach


def expected(whole: Reach, net: str) -> str:
    """Return the verdict that the whole answer's own networks give."""
    asked = ip_network(net)
    opened = [ip_network(one) for one in whole.open]
    closed = [ip_network(one) for one in whole.closed]
    edges = {asked[0], asked[-1]}
    for other in (*opened, *closed, *map(ip_network, whole.unknown)):
        around = (int(other[0]) - 1, int(other[0]), int(other[-1]), int(other[-1]) + 1)
        edges |= {ip_address(n) for n in around if int(asked[0]) <= n <= int(asked[-1])}
    never = [range(low, high + 1) for low, high in addresses.NEVER_A_SOURCE[4]]
    kinds = set()
    for ip in edges:
        if any(int(ip) in some for some in never):
            continue
        kinds.add(
            "open" if any(ip in one for one in opened)
            else "closed" if any(ip in one for one in closed) else "unknown"
        )  # fmt: skip
    if kinds == {"open", "unknown"}:
        return "unknown"
    if len(kinds) == 1:
        return kinds.pop()
    return "limited" if "open" in kinds else "unknown"


@pytest.mark.parametrize("seed", range(40))
def test_a_part_is_what_the_whole_says_of_it(seed: int) -> None:
    judged = firewall(table(*random_chains(random.Random(3000 + seed)), family="ip"))
    for port in PORTS:
        whole = judged.reach("tcp", port, 4)
        for net in ASKED[1:]:
            assert part(judged, net, port).verdict == expected(whole, net), (port, net)


def test_everyone_is_the_whole() -> None:
    judged = firewall(incoming(ESTABLISHED, (source("192.0.2.0/24"), DROP), (HTTPS, ACCEPT)))
    assert judged.reach("tcp", 443, 4).verdict == "open"  # banned by name
    assert part(judged, "0.0.0.0/0").verdict == "open"
    assert part(judged, "192.0.2.0/23").verdict == "limited"
    assert part(judged, "192.0.2.0/23").open == ("192.0.3.0/24",)


def test_a_part_is_as_exact_as_its_network() -> None:
    judged = firewall(incoming(ESTABLISHED, (source("10.0.0.0/8"), HTTPS, ACCEPT)))
    found = part(judged, "10.1.2.0/24")
    assert (found.verdict, found.open) == ("open", ("10.1.2.0/24",))
    assert [d.sources for d in found.decided_by] == [("10.1.2.0/24",)]
    assert part(judged, "11.0.0.0/8").verdict == "closed"
    assert part(judged, "10.0.0.0/7").verdict == "limited"


@pytest.mark.parametrize(
    ("net", "verdict", "via"),
    [
        ("10.1.0.0/16", "open", ("lan0",)),  # a private network lies behind one interface
        ("203.0.113.0/24", "limited", ("lan0",)),  # the Internet may come in by both
        ("8.0.0.0/7", "limited", ("lan0",)),
    ],
)
def test_interfaces_that_differ(net: str, verdict: str, via: tuple[str, ...]) -> None:
    judged = firewall(
        incoming(ESTABLISHED, (iif("lan0"), HTTPS, ACCEPT), (iif("wan0"), tcp(80), ACCEPT))
    )
    found = part(judged, net)
    assert (found.verdict, found.via) == (verdict, via)
    assert trace_part(judged, "tcp", 443, 4, (addresses.network(net)[1],), None, "wan0").reach.verdict == "closed"  # noqa: E501  # fmt: skip


def test_what_is_closed_is_closed_on_tunnels_too() -> None:
    judged = firewall(
        incoming(ESTABLISHED, (iif("wg0"), HTTPS, ACCEPT), (iif("eth0"), tcp(22), ACCEPT))
    )
    assert part(judged, "10.0.0.0/8").verdict == "open"
    assert part(judged, "10.0.0.0/8").via == ("wg0",)
    assert part(judged, "203.0.113.0/24").verdict == "limited"
    assert part(judged, "203.0.113.0/24", 25).verdict == "closed"


def test_no_packet_has_such_a_source() -> None:
    judged = firewall(incoming(ESTABLISHED, (HTTPS, ACCEPT)))
    assert part(judged, "127.0.0.0/8").verdict == "closed"
    assert part(judged, str(ip_address("224.0.0.1")) + "/32").verdict == "closed"


def test_what_is_not_known_of_a_port_is_not_known_of_a_part() -> None:
    judged = firewall(incoming(ESTABLISHED, (HTTPS, ACCEPT)))
    judged.ruleset.unknown_ports.append(Doubt("tcp", range(443, 444), "a network of its own"))
    assert part(judged, "10.0.0.0/8").reasons == ("a network of its own",)
    assert part(judged, "10.0.0.0/8").verdict == "unknown"
    assert part(judged, "10.0.0.0/8", 80).verdict == "closed"
    nothing = Firewall(Ruleset())
    assert part(nothing, "10.0.0.0/8").verdict == "unknown"
    assert part(nothing, "10.0.0.0/8").reasons == ("no firewall found",)
