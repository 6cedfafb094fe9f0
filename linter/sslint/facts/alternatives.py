"""The other ports on which clients may find a service, and what closed ones have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from sslint.engine import Subject

if TYPE_CHECKING:
    from sslint.facts.services import Service

IMPLICIT_SIBLING = {143: 993, 110: 995, 587: 465}
STARTTLS_SIBLING = {implicit: starttls for starttls, implicit in IMPLICIT_SIBLING.items()}
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


def kind_of(service: Service) -> str:
    """Return the kind of a service: web, imap, pop3, submission, sieve, smtp, lmtp, stream."""
    protocol = service.protocol
    bare = protocol.removesuffix("s")
    # Of a stream its port alone tells; a proxy of mail clients calls what it speaks smtp, and
    # so does a mail server what stands on a port of the operator's choice.
    if protocol in ("stream", "smtp"):
        return _BY_PORT.get(service.port, protocol)
    return bare if bare in _MAIL else "web" if bare in _WEB else protocol


def kind_key(service: Service) -> tuple[str, ...]:
    """Return what the ports of one kind have in common; sites are each server's own."""
    kind = kind_of(service)
    return (kind, service.server) if kind == "web" else (kind,)


def any_of(truths: Iterable[bool | None]) -> bool | None:
    """Tell whether one is certainly so; None where one may be."""
    found = set(truths)
    return True in found or (None if None in found else False)


class Ways:
    """The ports that those who are meant reach or may reach, counted by what they have in common.

    A web server may listen on thousands of ports: each is asked of, and none looked at again.
    """

    def __init__(self, found: Sequence[Service]) -> None:
        self.by_port: dict[int, list[tuple[Service, bool | None]]] = {}
        self._truths: dict[int, bool | None] = {}
        self._keys: dict[int, set[tuple[str, ...]]] = {}
        self._count: Counter[tuple[object, bool | None]] = Counter()
        for service in found:
            truth = self._truths[id(service)] = _is_usable(service)
            names = {("name", service.server, name) for name in service.names}
            keys = {("server", service.server), kind_key(service), *names}
            self._keys[id(service)] = keys
            if truth is not False:
                self.by_port.setdefault(service.port, []).append((service, truth))
                self._count.update((key, truth) for key in keys)

    def beside(self, service: Service, key: tuple[str, ...]) -> bool | None:
        """Tell whether another port than a service's own has something in common with it."""
        own = self._truths[id(service)] if key in self._keys[id(service)] else False
        return any_of(t for t in (True, None) if self._count[key, t] > (own is t))

    def answer_names(self, service: Service) -> bool | None:
        """Tell whether all of a service's names are answered on other ports as well."""
        answers = {
            any_of(
                self.beside(service, ("name", service.server, text))
                for text in (name, f"*.{name.partition('.')[2]}")
            )
            for name in service.names
            if "." in name and not name.startswith("~")
        }
        return False if False in answers else None if None in answers else True


def _is_usable(service: Service) -> bool | None:
    """Tell whether the intended clients reach a TLS port; None where they may."""
    if service.transport != "tcp" or service.tls == "none" or service.scope == "loopback":
        return False
    if service.internal or service.terminated_elsewhere or service.for_some:
        return True
    reach = service.reach.public
    if reach == "closed":
        return False
    return True if reach is not None and service.tls is not None and service.certain else None


# Which port a finding about all of a server's ports stands on: what clients try first.
_PREFERRED = (443, 993, 465, 995, 8443, 587, 143, 110, 25)


class Grouping:
    """Which ports of a server are closed, on loopback or without TLS for one cause.

    They get a common subject (`subjects`, by identity), and the one that speaks for them stands in
    front of the others (`order`). A port that redirects to TLS goes with those that serve it: it is
    of no use without them. A port that a rule names to open it is closed for a reason of
    its own.
    """

    def __init__(self, found: Sequence[Service]) -> None:
        self.order = list(found)
        self.subjects: dict[int, frozenset[Subject]] = {}
        closed: dict[str, list[Service]] = {}
        over_ipv6: dict[str, list[Service]] = {}
        inside: dict[str, list[Service]] = {}
        redirecting: dict[str, list[Service]] = {}
        without_tls: dict[str, list[Service]] = {}
        for service in found:
            if service.tls == "none" and service.scope == "any" and kind_of(service) in _MAIL:
                without_tls.setdefault(service.server, []).append(service)
            if service.redirects and service.scope == "any" and service.certain:
                redirecting.setdefault(service.server, []).append(service)
            if _is_meant_for_all(service):
                closed.setdefault(service.server, []).append(service)
                if service.reach.ipv6 is not None and not _is_closed(service):
                    over_ipv6.setdefault(service.server, []).append(service)
            if service.scope == "loopback" and _is_asked_for(service):
                inside.setdefault(service.server, []).append(service)
        for server, group in closed.items():
            if all(_is_closed(service) for service in group):
                group = [*group, *(s for s in redirecting.get(server, ()) if _is_closed(s))]
                self._join([s for s in group if not _is_attempted(s)], ("closed ports", server))
        for server, group in over_ipv6.items():
            if all(_is_closed_over_ipv6(service) for service in group):
                group = [
                    *group,
                    *(s for s in redirecting.get(server, ()) if _is_closed_over_ipv6(s)),
                ]
                self._join(group, ("ports closed over IPv6", server))
        for server, group in inside.items():
            self._join(group, ("ports on loopback", server))
        for server, group in without_tls.items():
            self._join(group, ("mail ports without TLS", server))

    def _join(self, group: list[Service], subject: Subject) -> None:
        if len(group) < 2:
            return
        for service in group:
            own = self.subjects.get(id(service), frozenset())
            self.subjects[id(service)] = own | {subject}
        first = min(group, key=_rank)
        self.order.remove(first)
        self.order.insert(0, first)


def _is_closed(service: Service) -> bool:
    reach = service.reach
    ipv4 = 4 in reach.closed_families()
    return reach.public == "closed" or (ipv4 and not reach.partly)


def _is_closed_over_ipv6(service: Service) -> bool:
    return 6 in service.reach.closed_families()


def _is_attempted(service: Service) -> bool:
    """Tell whether a rule names a port to open it over a family over which it is closed."""
    attempted = {4: service.attempted_ipv4, 6: service.attempted_ipv6}
    return any(attempted[family] for family in service.reach.closed_families())


def _is_asked_for(service: Service) -> bool:
    return service.attempted or service.announced


def _is_meant_for_all(service: Service) -> bool:
    return (
        service.transport == "tcp"
        and bool(service.offers_tls)
        and service.scope == "any"
        and service.certain
        and service.protocol != "lmtp"
        and not service.internal
        and not service.terminated_elsewhere
    )


def _rank(service: Service) -> tuple[bool, int, int]:
    port = service.port
    rank = _PREFERRED.index(port) if port in _PREFERRED else len(_PREFERRED)
    return not service.announced, rank, port
