"""Which sockets the Listen statements open: the lists and the order of server/listen.c.

Apache reads its configuration twice before it serves, and the second pass meets the sockets of the
first; that decides what `Listen [::]:443` and `Listen 443` are together.
"""

from __future__ import annotations

from itertools import pairwise

from sslint.budgets import spend
from sslint.servers.apache import addresses
from sslint.servers.apache.addresses import ANY_IPV4, ANY_IPV6, Resolve
from sslint.servers.apache.environment import UNKNOWN
from sslint.servers.apache.loader import Loader
from sslint.servers.apache.syntax import Directive
from sslint.servers.model import BindConflict
from sslint.source import Location
from sslint.values import dataclass, field


@dataclass(frozen=True, slots=True)
class Listen:
    """One Listen statement. `host` None: all addresses; `protocol` decides TLS by default."""

    directive: Directive
    host: str | None
    port: int
    protocol: str
    addresses: tuple[str, ...]
    sure: bool = True  # False: whether the name is these addresses is not known


@dataclass(slots=True, eq=False)
class Record:
    """A socket that is to be opened (ap_listen_rec)."""

    listen: Listen
    address: str
    bound: bool = False
    next: Record | None = None
    shut: bool = False  # taken out of the list: it stands for no IPv6 any more

    @property
    def port(self) -> int:
        """Its port."""
        return self.listen.port

    @property
    def dual(self) -> bool:
        """Tell whether it takes IPv4 and IPv6."""
        return self.address == ANY_IPV6


@dataclass(slots=True)
class Listeners:
    """The sockets that are open in the end, those that may be, and what is not known."""

    records: list[Record] = field(default_factory=list)
    doubtful: list[Record] = field(default_factory=list)
    unknown: list[Directive] = field(default_factory=list)
    conflicts: list[BindConflict] = field(default_factory=list)


def collect(
    statements: list[Directive], loader: Loader, resolve: Resolve, no_ipv6: Location | None = None
) -> Listeners:
    """Open the sockets of all Listen statements of the main server.

    `no_ipv6`: what leaves the kernel without sockets of IPv6. Apache asks it for one as it reads a
    statement that names such an address, and ends; one that names none falls back to IPv4.
    """
    found = Listeners()
    listens: list[Listen] = []
    for directive in statements:
        if directive.name != "listen":
            continue
        parsed = _parse(directive, loader, resolve)
        if parsed is None:
            found.unknown.append(directive)
            continue
        if no_ipv6 and parsed.host and parsed.addresses and all(":" in a for a in parsed.addresses):
            place = f"{no_ipv6.path}:{no_ipv6.line}"
            said = f"it listens on [{parsed.addresses[0]}], and {place} disables IPv6"
            loader.refuse(directive.location, said, directive.doubt)
        if directive.doubt or not parsed.sure:
            wide = parsed.host is None  # one socket takes both families
            found.doubtful += [Record(parsed, a) for a in parsed.addresses[1 if wide else 0 :]]
        elif parsed.port:
            listens.append(parsed)
    first = _pass(listens, [], found, loader)
    bound = [record for record in _pass(listens, first, found, loader) if record.bound]
    found.conflicts = list(dict.fromkeys(found.conflicts))
    loader.fatal += [conflict.reason for conflict in found.conflicts]
    found.records = sorted(bound, key=lambda record: listens.index(record.listen))
    if not (found.records or found.doubtful or found.unknown or loader.lost or loader.broken):
        if statements and loader.is_piece():
            loader.lose("what apache2.conf includes", statements[0])
        elif statements and not loader.fatal:
            said = "no Listen opens a socket, and Apache does not start without one"
            loader.refuse(statements[0].location, said)
    return found


def _parse(directive: Directive, loader: Loader, resolve: Resolve) -> Listen | None:
    """Return what a statement says, with port 0 where Apache refuses it; None if not known."""
    args = directive.args
    if any(UNKNOWN in word for word in args):
        return None
    refused = Listen(directive, None, 0, "", ())
    where, doubt = directive.location, directive.doubt
    if not 1 <= len(args) <= 2:
        loader.refuse(where, "Listen requires 1 or 2 arguments", doubt)
        return refused
    spec = addresses.parse(args[0])
    if spec is None or spec.port is None:
        said = "invalid address or port" if spec is None else "port must be specified"
        loader.refuse(where, f"Listen {args[0]}: {said}", doubt)
        return refused
    host = None if spec.host == "*" else spec.host
    protocol = args[1].lower() if len(args) == 2 else "https" if spec.port == 443 else "http"
    found = addresses.resolved(host, resolve)
    literal = host is None or addresses.canonical(host) is not None
    if found is None:
        return None
    return Listen(directive, host, spec.port, protocol, found, literal or len(found) == 1)


def _pass(
    listens: list[Listen], old: list[Record], found: Listeners, loader: Loader
) -> list[Record]:
    """Read the statements once and open what is not open; `old` are the sockets so far."""
    records: list[Record] = []
    for listen in listens:
        spend("steps", len(records) + len(old), listen.directive.location)
        if any(_same(record, listen) for record in records):
            said = "cannot define multiple Listeners on the same IP:port"
            loader.refuse(listen.directive.location, said)
            continue
        kept = [record for record in old if _same(record, listen)]
        if kept:
            old = [record for record in old if not _same(record, listen)]
            records[:0] = reversed(kept)
        else:
            records += [Record(listen, address) for address in listen.addresses]
    return _open(records, found.conflicts)


def _same(record: Record, listen: Listen) -> bool:
    return record.port == listen.port and record.listen.host == listen.host


def _open(records: list[Record], conflicts: list[BindConflict]) -> list[Record]:
    """Bind what is not bound (open_listeners, statement by statement).

    The list is a linked one there, and what is taken out of it still leads on: both matter.
    """
    for record, following in pairwise((*records, None)):
        assert record is not None
        record.next = following
    opening = _Opening(records[0] if records else None, [r for r in records if r.bound], conflicts)
    opening.run()
    found: list[Record] = []
    record = opening.head
    while record is not None and len(found) <= len(records):
        found.append(record)
        record = record.next
    return found


@dataclass(slots=True)
class _Opening:
    """The state of open_listeners."""

    head: Record | None
    bound: list[Record]
    conflicts: list[BindConflict]

    def run(self) -> None:
        previous: Record | None = None
        record = self.head
        while record is not None:
            if not record.bound:
                record = self.swapped(record, previous)
                if record.address == ANY_IPV4 and previous and self.taken(record):
                    previous.next = record.next
                    record = previous.next
                    continue
                if not self.bind(record) and not self.tolerated(record, previous):
                    return
            previous, record = record, record.next

    def swapped(self, record: Record, previous: Record | None) -> Record:
        """Put `[::]` before 0.0.0.0 of its port, and return which of the two comes first now."""
        following = record.next
        if record.address != ANY_IPV4 or following is None or not _any6(following, record.port):
            return record
        record.next, following.next = following.next, record
        if previous is not None:
            previous.next = following
        else:
            self.head = following
        return following

    def taken(self, record: Record) -> bool:
        """Tell whether an open `[::]` before it in the list takes IPv4, too."""
        other = self.head
        while other is not None and other is not record:
            if _any6(other, record.port) and other.bound:
                return True
            other = other.next
        return False

    def bind(self, record: Record) -> bool:
        if record.bound:  # binding it again fails, and closes it
            record.bound = False
            self.bound.remove(record)
            return False
        rival = next((o for o in self.bound if o.port == record.port and _overlap(record, o)), None)
        if rival is not None:
            if not self.before_ipv4(record):
                self.conflicts.append(_conflict(record, rival))
            return False
        record.bound = True
        self.bound.append(record)
        return True

    def before_ipv4(self, record: Record) -> bool:
        """Tell whether it is `[::]`, and 0.0.0.0 of its port follows: then it may fail."""
        following = record.next
        return (
            record.address == ANY_IPV6
            and following is not None
            and following.address == ANY_IPV4
            and following.port == record.port
        )

    def tolerated(self, record: Record, previous: Record | None) -> bool:
        if not self.before_ipv4(record):
            return False
        if previous is not None:
            previous.next = record.next
        else:
            self.head = record.next
        record.shut = True
        return True


def _any6(record: Record, port: int) -> bool:
    return record.address == ANY_IPV6 and record.port == port and not record.shut


def _overlap(one: Record, other: Record) -> bool:
    for first, second in ((one, other), (other, one)):
        if first.address == ANY_IPV6:
            return True
        if first.address == ANY_IPV4 and ":" not in second.address:
            return True
    return one.address == other.address


def _conflict(record: Record, rival: Record) -> BindConflict:
    places = [one.listen.directive.location for one in (rival, record)]
    return BindConflict("tcp", record.port, _shown(rival), _shown(record), *places)


def _shown(record: Record) -> str:
    host = f"[{record.address}]" if ":" in record.address else record.address
    return f"{host}:{record.port}"
