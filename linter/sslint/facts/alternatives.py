"""Facts about the other ports on which clients of a service may find it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sslint.engine import Fact

IMPLICIT_SIBLING = {143: 993, 110: 995, 587: 465}
# Ports of one kind of service: whoever cannot use one may use another.
PORTS = {
    "web": (443, 8443, 9443, 80),
    "imap": (993, 143),
    "pop3": (995, 110),
    "submission": (465, 587),
    "sieve": (4190, 2000),
}
_BY_PORT = {port: kind for kind, ports in PORTS.items() for port in ports}
_MAIL = frozenset({"imap", "pop3", "submission", "sieve", "smtp", "lmtp"})


def kind_of(fact: Fact) -> str:
    """Return the kind of a service: web, imap, pop3, submission, sieve, smtp, lmtp, stream."""
    protocol: str = fact.values["protocol"]
    bare = protocol.removesuffix("s")
    # Of a stream its port alone tells; nginx calls what it proxies for mail clients smtp, and so
    # does Postfix what stands on a port of the operator's choice.
    if protocol in ("stream", "smtp"):
        return _BY_PORT.get(fact.values["port"], protocol)
    return bare if bare in _MAIL else "web"


def add(found: list[Fact]) -> None:
    """Say of each service which other ports serve the same clients."""
    usable = [(fact, truth) for fact in found if (truth := _is_usable(fact)) is not False]
    for fact in found:
        ways = [(other, truth) for other, truth in usable if other is not fact]
        own = [way for way in ways if way[0].values["server"] == fact.values["server"]]
        kind = kind_of(fact)
        same = [way for way in ways if kind_of(way[0]) == kind]
        if fact.values["protocol"] == "stream":
            same = []  # what one leads to, no other does
        elif kind == "web":
            same = [way for way in same if way in own]
        sibling = IMPLICIT_SIBLING.get(fact.values["port"])
        twins = [way for way in ways if way[0].values["port"] == sibling]
        fact.values.update(
            {
                "alternative_open": _any(same),
                "server_open": _any(own),
                "names_elsewhere": _names_elsewhere(fact, same) if kind == "web" else None,
                "implicit_sibling_usable": _any(twins),
                "implicit_sibling_open": any(
                    other.values["reach"]["public"] == "open" for other, _ in twins
                ),
                "sibling_announced": any(other.values["announced"] for other, _ in twins),
            }
        )
    _group_closed(found)


_Way = tuple["Fact", bool | None]


def _any(ways: Sequence[_Way]) -> bool | None:
    """Tell whether one of the ports is certainly a way; None where only some may be."""
    return any(truth for _, truth in ways) or (None if ways else False)


def _is_usable(fact: Fact) -> bool | None:
    """Tell whether those who are meant reach a TLS port; whom a declaration means, it says."""
    values = fact.values
    if values["transport"] != "tcp" or values["tls"] == "none" or values["scope"] == "loopback":
        return False
    if values["internal"] or values["terminated_elsewhere"] or values["for_some"]:
        return True
    reach = values["reach"]["public"]
    if reach == "closed":
        return False
    return True if reach is not None and values["tls"] is not None and values["certain"] else None


def _names_elsewhere(fact: Fact, ways: Sequence[_Way]) -> bool | None:
    """Tell whether all of a service's names are answered on other open ports as well."""

    def answered(some: Sequence[_Way]) -> bool:
        names = {name for other, _ in some for name in other.values["names"]}
        return all(
            name in names or f"*.{name.partition('.')[2]}" in names
            for name in fact.values["names"]
            if "." in name and not name.startswith("~")
        )

    if answered([way for way in ways if way[1]]):
        return True
    return None if answered(ways) else False


# Which port a finding about all of a server's ports stands on: what clients try first.
_PREFERRED = (443, 993, 465, 995, 8443, 587, 143, 110, 25)


def _group_closed(found: list[Fact]) -> None:
    """Give the ports of a server that are all closed, or all on loopback, a common subject.

    It is one cause. A port that a rule names to open it is closed for a reason of its own.
    """
    closed: dict[str, list[Fact]] = {}
    over_ipv6: dict[str, list[Fact]] = {}
    inside: dict[str, list[Fact]] = {}
    for fact in found:
        server = fact.values["server"]
        if _is_meant_for_all(fact):
            closed.setdefault(server, []).append(fact)
            if fact.values["reach"]["ipv6"] is not None and not _is_closed(fact):
                over_ipv6.setdefault(server, []).append(fact)
        if fact.values["scope"] == "loopback" and _is_asked_for(fact):
            inside.setdefault(server, []).append(fact)
    for server, facts in closed.items():
        if all(_is_closed(fact) for fact in facts):
            _join(found, [f for f in facts if not _is_attempted(f)], "closed ports", server)
    for server, facts in over_ipv6.items():
        if all(fact.values["reach"]["ipv6"]["public"] == "closed" for fact in facts):
            _join(found, facts, "ports closed over IPv6", server)
    for server, facts in inside.items():
        _join(found, facts, "ports on loopback", server)


def _join(found: list[Fact], group: list[Fact], subject: str, server: str) -> None:
    """Give facts a common subject, and put the one that speaks for them in front."""
    if len(group) < 2:
        return
    for fact in group:
        fact.subjects |= {(subject, server)}
    first = min(group, key=_order)
    found.remove(first)
    found.insert(0, first)


def _is_closed(fact: Fact) -> bool:
    reach = fact.values["reach"]
    ipv4 = reach["ipv4"] is not None and reach["ipv4"]["public"] == "closed"
    return reach["public"] == "closed" or (ipv4 and not reach["partly"])


def _is_attempted(fact: Fact) -> bool:
    """Tell whether a rule names a port to open it over a family over which it is closed."""
    reach = fact.values["reach"]
    return any(
        reach[family] is not None
        and reach[family]["public"] == "closed"
        and fact.values[f"attempted_{family}"]
        for family in ("ipv4", "ipv6")
    )


def _is_asked_for(fact: Fact) -> bool:
    return bool(fact.values["attempted"] or fact.values["announced"])


def _is_meant_for_all(fact: Fact) -> bool:
    values = fact.values
    return (
        values["transport"] == "tcp"
        and values["offers_tls"]
        and values["scope"] == "any"
        and values["certain"]
        and values["protocol"] != "lmtp"
        and not values["internal"]
        and not values["terminated_elsewhere"]
    )


def _order(fact: Fact) -> tuple[bool, int, int]:
    port = fact.values["port"]
    rank = _PREFERRED.index(port) if port in _PREFERRED else len(_PREFERRED)
    return not fact.values["announced"], rank, port
