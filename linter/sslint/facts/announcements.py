"""Facts about what is published for clients, joined with the endpoints it names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Literal

from sslint.certificates import covers, load
from sslint.engine import Span
from sslint.facts.fact import Fact, Places, field
from sslint.facts.ports import Listener, Tls, Transport, common_tls, listening
from sslint.facts.reach import Reach, blocking_spans
from sslint.host import owner_of
from sslint.netfilter import addresses
from sslint.netfilter.verdicts import widest

if TYPE_CHECKING:
    from sslint.announcements import model
    from sslint.facts.collection import Facts
    from sslint.host import Host, Socket
    from sslint.servers.model import Dormant

MailProtocol = Literal["imap", "pop3", "sieve", "submission"]
MAIL: dict[str, MailProtocol] = {  # published services, by the protocol of the endpoint
    "imap": "imap", "imaps": "imap", "pop3": "pop3", "pop3s": "pop3", "sieve": "sieve",
    "smtp": "submission", "submission": "submission", "submissions": "submission",
}  # fmt: skip
# The port by which the server of a published service is known.
CONVENTIONAL = {"imap": 143, "pop3": 110, "sieve": 4190, "submission": 587}


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
        self._wildcards = tuple([name for name in self._names if name.startswith("*.")])
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
        return name in self._names or covers(self._wildcards, name)

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


def announcements(facts: Facts) -> list[Announcement]:
    """Return a fact for each place that sends clients somewhere."""
    return [Announcement(facts, told) for told in facts.host.announced.announcements]


def disagreements(found: Sequence[Announcement]) -> dict[int, Announcement]:
    """Return, by identity, the entries that another document for the same service of a domain
    contradicts, each with that document's own; the first entries of both are compared."""
    groups: dict[tuple[str, str], dict[str, list[Announcement]]] = {}
    for told in found:
        if told.domain:
            kinds = groups.setdefault((told.domain, told.service), {})
            kinds.setdefault(told.kind, []).append(told)
    disagreeing = {}
    for kinds in groups.values():
        for kind, other_kind in combinations(sorted(kinds), 2):
            own = min(kinds[kind], key=lambda told: told.rank)
            other = min(kinds[other_kind], key=lambda told: told.rank)
            if _entry(own) not in {_entry(entry) for entry in kinds[other_kind]}:
                disagreeing[id(own)] = other
    return disagreeing


def _entry(told: Announcement) -> tuple[object, ...]:
    return told.host, told.port, told.security


class Announcement(Fact):
    """Something that sends clients to a host and port."""

    source: model.Announcement

    kind: Literal["srv", "mx", "https-record", "autoconfig", "autodiscover", "mobileconfig"]
    "The kind of document."
    service: str
    "imap, pop3, submission, smtp, sieve, https, xmpp, caldav or carddav."
    host: str
    "The host that it names."
    port: int
    "The port that it names."
    transport: Transport
    "The transport."
    domain: str
    "Whose it is."
    label: str
    "The document's own word: `_imaps`, `SSL`."
    rank: int
    "Of several entries for a service the lowest is preferred."
    security: Tls | None
    "How clients start; None if the document does not say."
    ambiguous: bool
    "Old clients read the security in two ways."

    def __init__(self, facts: Facts, source: model.Announcement) -> None:
        what = f"{source.transport}/{source.port}"
        super().__init__(
            facts,
            source,
            f"{source.kind} {source.host} {what}",
            Span(source.location, f"{source.label or source.kind}: {source.host}:{source.port}"),
            frozenset({(source.transport, source.port)}),
        )

    # -- where it leads -----------------------------------------------------------------------

    @field
    def here(self) -> bool:
        """The host is this one."""
        return self.facts.whereabouts.here(self.host)

    @field
    def ipv4_here(self) -> bool:
        """Over IPv4 it is, as far as the zones say."""
        return self.here and self.facts.whereabouts.over(self.host, 4) is not False

    @field
    def ipv6_here(self) -> bool:
        """A zone says that over IPv6 it is."""
        return self.here and self.facts.whereabouts.over(self.host, 6) is True

    @field
    def _sockets(self) -> list[Socket]:
        if not self.here:
            return []
        found = [
            socket
            for socket in self._host.sockets
            if socket.endpoint.transport == self.transport and socket.endpoint.port == self.port
        ]
        if not found and (behind := self.facts.service_on(self.transport, self.port)) is not None:
            found = list(behind.every)  # NAT takes the clients there
        return [socket for socket in found if socket.scope != "loopback"]

    @field
    def listener(self) -> Listener | None:
        """Whether any program listens there."""
        if not self.here:
            return None
        known = CONVENTIONAL.get(self.service)
        owner = owner_of(self._host, "tcp", known) if known is not None else None
        return listening(self._host, self.transport, self.port, owner)

    @field
    def listening_at(self) -> Places:
        """What listens there."""
        return tuple(Span(s.endpoint.location, "listens there") for s in self._sockets[:1])

    @property
    def _dormant(self) -> Sequence[Dormant]:
        return self.facts.dormant_listeners.get((self.transport, self.port), ())

    @field
    def dormant_at(self) -> Places:
        """Where a server names the port and does not open it."""
        return tuple(Span(d.location, f"{d.service} is not opened") for d in self._dormant[:1])

    # -- who reaches it -----------------------------------------------------------------------

    @field
    def reach(self) -> Reach | None:
        """Who reaches what listens there."""
        ipv4 = widest(s.ipv4 for s in self._sockets)
        ipv6 = widest(s.ipv6 for s in self._sockets)
        return Reach((ipv4, ipv6)) if self._sockets else None

    @field
    def decided_by(self) -> Places:
        """The lines that keep it closed."""
        what = f"{self.transport}/{self.port}"
        return blocking_spans(self.reach.source, what) if self.reach is not None else ()

    @field
    def enforced(self) -> bool:
        """The ruleset that decides there is in force, rather than one of several that may be."""
        target = self.facts.service_on(self.transport, self.port)
        return target is None or target.enforced

    # -- what is served there -----------------------------------------------------------------

    @field
    def served(self) -> Tls | None:
        """How TLS stands on the listeners there."""
        return common_tls(socket.endpoint for socket in self._sockets)

    @property
    def _spoken(self) -> list[MailProtocol | None]:
        return list({MAIL.get(socket.endpoint.protocol) for socket in self._sockets})

    @field
    def other_protocol(self) -> bool | None:
        """Another mail protocol is served there than clients are told."""
        spoken = self._spoken
        if len(spoken) != 1 or spoken[0] is None:
            return None
        return MAIL.get(self.service) == self.service != spoken[0]

    @field
    def told_protocol(self) -> MailProtocol | Literal[""]:
        """The protocol that clients are told, if another is served; else ""."""
        return MAIL[self.service] if self.other_protocol else ""

    @field
    def served_protocol(self) -> MailProtocol | Literal[""]:
        """The protocol that is served, if clients are told another; else ""."""
        return (self._spoken[0] or "") if self.other_protocol else ""

    @field
    def _certificate_names(self) -> tuple[tuple[str, ...], bool | None]:
        return _names_served(self._host, self._sockets, self.host)

    @field
    def certificate_names(self) -> tuple[str, ...]:
        """The names of the certificate that a client asking for the host is served."""
        return self._certificate_names[0]

    @field
    def name_missing(self) -> bool | None:
        """That certificate does not have the name."""
        return self._certificate_names[1]

    # -- what other documents say -------------------------------------------------------------

    @field
    def contradicted_by(self) -> Announcement | None:
        """The entry of another document for the same service that says otherwise."""
        return self.facts.disagreements.get(id(self))

    @field
    def both_served(self) -> bool | None:
        """What either document says is served."""
        other = self.contradicted_by
        return bool(self.served and other.served) if other is not None else None

    @field
    def contradicted_at(self) -> Places:
        """That entry."""
        other = self.contradicted_by
        place = other.span if other is not None else None
        return (Span(place.location, "says otherwise"),) if place is not None else ()


def _names_served(
    host: Host, sockets: Sequence[Socket], name: str
) -> tuple[tuple[str, ...], bool | None]:
    """Return the names of the certificate that a client asking for `name` is served.

    Also whether `name` is missing among them; None where no certificate could be read.
    """
    for socket in sockets:
        refs = socket.endpoint.certificates
        chosen = [ref for ref in refs if any(covers([own], name) for own in ref.names)]
        chosen = chosen or [ref for ref in refs if not ref.names] or list(refs[:1])
        leaves = [leaf for ref in chosen if (leaf := load(host.tree, ref).leaf) is not None]
        if leaves:
            found = tuple(own for leaf in leaves for own in leaf.names)
            missing = not any(covers(leaf.names, name) for leaf in leaves)
            return found or ("no name that clients check",), missing
    return (), None
