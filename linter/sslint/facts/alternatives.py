"""Facts about the other ports on which clients of a service may find it."""

from __future__ import annotations

from collections.abc import Iterable
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
    """Return the kind of a service: web, imap, pop3, submission, sieve, smtp, or another name."""
    protocol: str = fact.values["protocol"]
    bare = protocol.removesuffix("s")
    if bare not in _MAIL:
        return "web"
    # nginx calls whatever it proxies for a mail client smtp, and Postfix what stands on a port
    # of the operator's choice.
    return _BY_PORT.get(fact.values["port"], bare) if bare == "smtp" else bare


def add(found: list[Fact]) -> None:
    """Say of each service which other ports serve the same clients."""
    usable = [fact for fact in found if _is_open(fact)]
    for fact in found:
        others = [other for other in usable if other is not fact]
        own = [other for other in others if other.values["server"] == fact.values["server"]]
        kind = kind_of(fact)
        same = own if kind == "web" else [other for other in others if kind_of(other) == kind]
        fact.values["alternative_open"] = bool(same)
        fact.values["server_open"] = bool(own)
        fact.values["names_elsewhere"] = _names_elsewhere(fact, own) if kind == "web" else None
        sibling = IMPLICIT_SIBLING.get(fact.values["port"])
        twins = [other for other in others if other.values["port"] == sibling]
        fact.values["implicit_sibling_open"] = bool(twins)
        fact.values["sibling_announced"] = any(other.values["announced"] for other in twins)
    _group_closed(found)


def _is_open(fact: Fact) -> bool:
    return (
        fact.values["transport"] == "tcp"
        and fact.values["tls"] in ("implicit", "starttls")
        and fact.values["reach"]["public"] == "open"
    )


def _names_elsewhere(fact: Fact, others: Iterable[Fact]) -> bool:
    """Tell whether all of a service's names are answered on other open ports as well."""
    answered = {name for other in others for name in other.values["names"]}
    return all(
        name in answered or f"*.{name.partition('.')[2]}" in answered
        for name in fact.values["names"]
        if "." in name and not name.startswith("~")
    )


# Which port a finding about all of a server's ports stands on: what clients try first.
_PREFERRED = (443, 993, 465, 995, 8443, 587, 143, 110, 25)


def _group_closed(found: list[Fact]) -> None:
    """Give the ports of a server that are all closed, or all on loopback, a common subject.

    It is one cause. A port that a rule names to open it is closed for a reason of its own.
    """
    closed: dict[str, list[Fact]] = {}
    inside: dict[str, list[Fact]] = {}
    for fact in found:
        server = fact.values["server"]
        if _is_meant_for_all(fact):
            closed.setdefault(server, []).append(fact)
        if fact.values["scope"] == "loopback" and _is_asked_for(fact):
            inside.setdefault(server, []).append(fact)
    for server, facts in closed.items():
        if all(_is_closed(fact) for fact in facts):
            _join(found, [f for f in facts if not _is_attempted(f)], "closed ports", server)
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
        and values["tls"] in ("implicit", "starttls")
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
