"""Facts about the other ports on which clients of a service may find it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sslint.facts.fact import Loose

IMPLICIT_SIBLING = {143: 993, 110: 995, 587: 465}
# Ports of one kind of service: a client that cannot use one may use another.
PORTS = {
    "web": (443, 8443, 9443, 80),
    "imap": (993, 143),
    "pop3": (995, 110),
    "submission": (465, 587),
    "sieve": (4190, 2000),
}
_BY_PORT = {port: kind for kind, ports in PORTS.items() for port in ports}
_WEB = frozenset({"http", "h3"})
_MAIL = frozenset({"imap", "pop3", "submission", "sieve", "smtp", "lmtp"})


def kind_of(fact: Loose) -> str:
    """Return the kind of a service: web, imap, pop3, submission, sieve, smtp, lmtp, stream."""
    protocol: str = fact.values["protocol"]
    bare = protocol.removesuffix("s")
    # Of a stream its port alone tells; nginx calls what it proxies for mail clients smtp, and so
    # does Postfix what stands on a port of the operator's choice.
    if protocol in ("stream", "smtp"):
        return _BY_PORT.get(fact.values["port"], protocol)
    return bare if bare in _MAIL else "web" if bare in _WEB else protocol


def add(found: list[Loose]) -> None:
    """Say of each service which other ports serve the same clients."""
    ways = _Ways(found)
    for fact in found:
        server, kind = fact.values["server"], kind_of(fact)
        # What one stream leads to, no other does.
        alone = fact.values["protocol"] == "stream"
        sibling = IMPLICIT_SIBLING.get(fact.values["port"])
        twins = ways.by_port.get(sibling, ()) if sibling is not None else ()
        fact.values.update(
            {
                "alternative_open": False if alone else ways.beside(fact, _kind_key(fact)),
                "server_open": ways.beside(fact, ("server", server)),
                "names_elsewhere": ways.answer_names(fact) if kind == "web" else None,
                "implicit_sibling_usable": _any([truth for _, truth in twins]),
                "implicit_sibling_open": any(
                    other.values["reach"]["public"] == "open" for other, _ in twins
                ),
                "sibling_announced": any(other.values["announced"] for other, _ in twins),
            }
        )
    _group_closed(found)


def _kind_key(fact: Loose) -> tuple[str, ...]:
    """Return what the ports of one kind have in common; sites are each server's own."""
    kind = kind_of(fact)
    return (kind, fact.values["server"]) if kind == "web" else (kind,)


def _any(truths: Collection[bool | None]) -> bool | None:
    """Tell whether one is certainly so; None where one may be."""
    return True in truths or (None if None in truths else False)


class _Ways:
    """The ports that those who are meant reach or may reach, counted by what they have in common.

    A web server may listen on thousands of ports: each is asked of, and none looked at again.
    """

    def __init__(self, found: Sequence[Loose]) -> None:
        self.by_port: dict[int, list[tuple[Loose, bool | None]]] = {}
        self._truths: dict[int, bool | None] = {}
        self._keys: dict[int, set[tuple[str, ...]]] = {}
        self._count: Counter[tuple[object, bool | None]] = Counter()
        for fact in found:
            truth = self._truths[id(fact)] = _is_usable(fact)
            server = fact.values["server"]
            names = {("name", server, name) for name in fact.values["names"]}
            self._keys[id(fact)] = {("server", server), _kind_key(fact), *names}
            if truth is not False:
                self.by_port.setdefault(fact.values["port"], []).append((fact, truth))
                self._count.update((key, truth) for key in self._keys[id(fact)])

    def beside(self, fact: Loose, key: tuple[str, ...]) -> bool | None:
        """Tell whether another port than a service's own has something in common with it."""
        own = self._truths[id(fact)] if key in self._keys[id(fact)] else False
        return _any([t for t in (True, None) if self._count[key, t] > (own is t)])

    def answer_names(self, fact: Loose) -> bool | None:
        """Tell whether all of a service's names are answered on other ports as well."""
        server = fact.values["server"]
        answers = [
            _any(
                [
                    self.beside(fact, ("name", server, name)),
                    self.beside(fact, ("name", server, f"*.{name.partition('.')[2]}")),
                ]
            )
            for name in fact.values["names"]
            if "." in name and not name.startswith("~")
        ]
        return False if False in answers else None if None in answers else True


def _is_usable(fact: Loose) -> bool | None:
    """Tell whether the intended clients reach a TLS port; None where they may."""
    values = fact.values
    if values["transport"] != "tcp" or values["tls"] == "none" or values["scope"] == "loopback":
        return False
    if values["internal"] or values["terminated_elsewhere"] or values["for_some"]:
        return True
    reach = values["reach"]["public"]
    if reach == "closed":
        return False
    return True if reach is not None and values["tls"] is not None and values["certain"] else None


# Which port a finding about all of a server's ports stands on: what clients try first.
_PREFERRED = (443, 993, 465, 995, 8443, 587, 143, 110, 25)


def _group_closed(found: list[Loose]) -> None:
    """Give the ports of a server that are all closed, or all on loopback, a common subject.

    It is one cause. A port that a rule names to open it is closed for a reason of its own.
    """
    closed: dict[str, list[Loose]] = {}
    over_ipv6: dict[str, list[Loose]] = {}
    inside: dict[str, list[Loose]] = {}
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


def _join(found: list[Loose], group: list[Loose], subject: str, server: str) -> None:
    """Give facts a common subject, and put the one that speaks for them in front."""
    if len(group) < 2:
        return
    for fact in group:
        fact.subjects |= {(subject, server)}
    first = min(group, key=_order)
    found.remove(first)
    found.insert(0, first)


def _is_closed(fact: Loose) -> bool:
    reach = fact.values["reach"]
    ipv4 = reach["ipv4"] is not None and reach["ipv4"]["public"] == "closed"
    return reach["public"] == "closed" or (ipv4 and not reach["partly"])


def _is_attempted(fact: Loose) -> bool:
    """Tell whether a rule names a port to open it over a family over which it is closed."""
    reach = fact.values["reach"]
    return any(
        reach[family] is not None
        and reach[family]["public"] == "closed"
        and fact.values[f"attempted_{family}"]
        for family in ("ipv4", "ipv6")
    )


def _is_asked_for(fact: Loose) -> bool:
    return bool(fact.values["attempted"] or fact.values["announced"])


def _is_meant_for_all(fact: Loose) -> bool:
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


def _order(fact: Loose) -> tuple[bool, int, int]:
    port = fact.values["port"]
    rank = _PREFERRED.index(port) if port in _PREFERRED else len(_PREFERRED)
    return not fact.values["announced"], rank, port
