"""Facts about what is published for clients, joined with the endpoints it names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

from sslint.certificates import covers, load
from sslint.engine import Span
from sslint.facts import reach as reaching
from sslint.facts.fact import Loose
from sslint.facts.services import EXPECTED_TLS, TLS_WORDS, listening
from sslint.netfilter import addresses

if TYPE_CHECKING:
    from sslint.announcements.model import Announcement
    from sslint.host import Host, Socket

_DOCUMENTS = {"srv": "the SRV record", "mobileconfig": "the Apple profile"}
SECURITY_WORDS = {
    "implicit": "TLS from the first byte",
    "starttls": "STARTTLS",
    "none": "no TLS",
}
MAIL = {  # published services, by the protocol of the endpoint
    "imap": "imap", "imaps": "imap", "pop3": "pop3", "pop3s": "pop3", "sieve": "sieve",
    "smtp": "submission", "submission": "submission", "submissions": "submission",
}  # fmt: skip
OWNERS = {"imap": "dovecot", "pop3": "dovecot", "sieve": "dovecot", "submission": "postfix"}


class Whereabouts:
    """Which names are this host.

    By its addresses if they are known, else by the names that its servers answer for.
    """

    def __init__(self, host: Host) -> None:
        self._announced = host.announced
        network = host.network.network
        self._addresses = {(4, address) for address in network.addresses4}
        self._addresses |= {(6, address) for address in network.addresses6}
        for interface in network.interfaces:
            if interface.virtual:
                continue
            self._addresses |= {(4, address) for address, _ in interface.addresses4}
            self._addresses |= {(6, address) for address, _ in interface.addresses6}
        self._addresses = {
            (family, address)
            for family, address in self._addresses
            if addresses.contains(addresses.PUBLIC[family], address)
        }
        self.families = {family for family, _ in self._addresses}
        self._names = set(_own_names(host))
        self._known: dict[str, bool] = {}

    def here(self, name: str) -> bool:
        """Tell whether a name certainly means this host."""
        name = name.rstrip(".").lower()
        found = self._known.get(name)
        if found is None:
            found = self._known[name] = self._here(name)
        return found

    def _here(self, name: str) -> bool:
        if self._addresses:
            # A record of a family whose addresses are not known decides nothing.
            records = [r for r in self.records(name) if r[0] in self.families]
            if records:
                return any(record in self._addresses for record in records)
        return name in self._names or any(
            covers([own], name) for own in self._names if own.startswith("*.")
        )

    def records(self, name: str) -> list[tuple[int, int]]:
        """Return the addresses that the zones give a name: (family, address)."""
        return [
            addresses.parse(record.data.to_text())
            for kind in ("A", "AAAA")
            for record in self._announced.addresses(name, kind)
        ]

    def over(self, name: str, family: int) -> bool | None:
        """Tell whether a name leads here over a family; None where no zone says."""
        if self._announced.zone_of(name) is None:
            return None
        records = [record for record in self.records(name) if record[0] == family]
        if not records:
            return False
        if family in self.families:
            return any(record in self._addresses for record in records)
        # No address of that family is known: the name's other address decides.
        return self.here(name)


def _own_names(host: Host) -> Iterable[str]:
    for reading in host.readings:
        for site in reading.sites:
            yield from (name.lower() for name in site.names if "." in name and name[0] != "~")
        for setting in reading.settings:
            if setting.name == "myhostname" and setting.value:
                yield setting.value.lower()
    for socket in host.sockets:
        for ref in socket.endpoint.certificates:
            yield from (name.lower() for name in ref.names)
            leaf = load(host.tree, ref).leaf if host.announced.announcements else None
            if leaf is not None:
                yield from leaf.names


def announcements(host: Host, whereabouts: Whereabouts) -> list[Loose]:
    """Return a fact for each place that sends clients somewhere."""
    found = [_announcement(host, whereabouts, told) for told in host.announced.announcements]
    _add_disagreements(found)
    return found


def _add_disagreements(found: Sequence[Loose]) -> None:
    """Say where the first entries of two documents for one service of a domain differ."""
    groups: dict[tuple[str, str], dict[str, list[Loose]]] = {}
    for fact in found:
        if domain := fact.values["domain"]:
            kinds = groups.setdefault((domain, fact.values["service"]), {})
            kinds.setdefault(fact.values["kind"], []).append(fact)
    for kinds in groups.values():
        for kind, other_kind in combinations(sorted(kinds), 2):
            fact = min(kinds[kind], key=lambda f: f.values["rank"])
            other = min(kinds[other_kind], key=lambda f: f.values["rank"])
            if _entry(fact) in {_entry(entry) for entry in kinds[other_kind]}:
                continue
            fact.values["disagrees"] = (
                f"{_DOCUMENTS.get(other_kind, other_kind)} publishes {other.values['host']}:"
                f"{other.values['port']} ({other.values['security_words']})"
            )
            fact.values["both_served"] = bool(fact.values["served"] and other.values["served"])
            if other.span is not None:
                fact.spans["other"] = (Span(other.span.location, "says otherwise"),)


def _entry(fact: Loose) -> tuple[Any, ...]:
    return (fact.values["host"], fact.values["port"], fact.values["security"])


def _announcement(host: Host, whereabouts: Whereabouts, told: Announcement) -> Loose:
    here = whereabouts.here(told.host)
    sockets = [
        socket
        for socket in host.sockets
        if here
        and socket.endpoint.transport == told.transport
        and socket.endpoint.port == told.port
        and socket.scope != "loopback"
    ]
    kinds = {socket.endpoint.tls for socket in sockets}
    served = kinds.pop() if len(kinds) == 1 and "unknown" not in kinds else None
    spoken = {MAIL.get(socket.endpoint.protocol) for socket in sockets}
    other = MAIL.get(told.service) == told.service and len(spoken - {None, told.service}) == 1
    ipv4 = reaching.best(s.ipv4 for s in sockets if s.ipv4 is not None)
    ipv6 = reaching.best(s.ipv6 for s in sockets if s.ipv6 is not None)
    what = f"{told.transport}/{told.port}"
    names, uncovered = _certificate_names(host, sockets, told.host) if here else ([], None)
    values: dict[str, Any] = {
        "kind": told.kind,
        "service": told.service,
        "host": told.host,
        "port": told.port,
        "transport": told.transport,
        "domain": told.domain,
        "label": told.label,
        "rank": told.rank,
        "security": told.security,
        "security_words": SECURITY_WORDS.get(told.security or "", "any kind of TLS"),
        "other_protocol": other if len(spoken) == 1 and None not in spoken else None,
        "means": _words(told.service, told.security, other),
        "has": _words(spoken.pop() or "", served, other) if len(spoken) == 1 else None,
        "ambiguous": told.ambiguous,
        "here": here,
        "ipv4_here": here and whereabouts.over(told.host, 4) is not False,
        "ipv6_here": here and whereabouts.over(told.host, 6) is True,
        "listener": listening(host, told.transport, told.port, OWNERS.get(told.service))
        if here
        else None,
        "served": served,
        "served_words": TLS_WORDS.get(served or "unknown"),
        "conventional": EXPECTED_TLS.get(told.port),
        "certificate_names": names,
        "name_missing": uncovered,
        "reach": reaching.values(ipv4, ipv6) if sockets else None,
        "dormant": next(
            (
                listener.reason
                for reading in host.readings
                for listener in reading.dormant
                if (listener.transport, listener.port) == (told.transport, told.port)
            ),
            None,
        ),
    }
    return Loose(
        entity=f"{told.kind} {told.host} {what}",
        values=values,
        span=Span(told.location, f"{told.label or told.kind}: {told.host}:{told.port}"),
        spans={
            "listening_at": tuple(Span(s.endpoint.location, "listens there") for s in sockets[:1]),
            "decided_by": reaching.blocking_spans((ipv4, ipv6), what),
            "dormant_at": tuple(
                Span(listener.location, f"{listener.service} is not opened")
                for reading in host.readings
                for listener in reading.dormant
                if (listener.transport, listener.port) == (told.transport, told.port)
            )[:1],
        },
        subjects=frozenset({(told.transport, told.port)}),
        source=told,
    )


def _words(service: str, security: str | None, by_name: bool) -> str:
    """Return what is told or served, with the protocol where that is what differs."""
    words = SECURITY_WORDS.get(security or "", "any kind of TLS")
    if not by_name:
        return words
    return f"{service if service == 'submission' else service.upper()} with {words}"


def _certificate_names(
    host: Host, sockets: list[Socket], name: str
) -> tuple[list[str], bool | None]:
    """Return the names of the certificate that a client asking for `name` is served.

    Also whether `name` is missing among them; None where no certificate could be read.
    """
    for socket in sockets:
        refs = socket.endpoint.certificates
        chosen = [ref for ref in refs if any(covers([own], name) for own in ref.names)]
        chosen = chosen or [ref for ref in refs if not ref.names] or list(refs[:1])
        leaves = [leaf for ref in chosen if (leaf := load(host.tree, ref).leaf) is not None]
        if leaves:
            found = [own for leaf in leaves for own in leaf.names]
            found = found or ["no name that clients check"]
            return found, not any(covers(leaf.names, name) for leaf in leaves)
    return [], None
