"""Facts about the certificates and keys that servers name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from sslint.certificates import missing
from sslint.engine import Span
from sslint.facts.content import Content, Use, lineage_known
from sslint.facts.fact import Fact, Places, field
from sslint.host import scope_of
from sslint.regex import is_number, regex
from sslint.renewal import DIRECTORY
from sslint.tree import Status

if TYPE_CHECKING:
    from sslint.facts.collection import Facts
    from sslint.host import Host
    from sslint.servers import model
    from sslint.servers.model import CertificateRef

# Names that no public certificate can have.
INTERNAL_SUFFIXES = (".local", ".lan", ".internal", ".home.arpa", ".localhost", ".test", ".invalid")
_USUAL = regex(r"[a-z0-9-][a-z0-9.-]*\.[a-z]+")
FileStatus = Literal["present", "absent"]


def certificates(facts: Facts) -> list[Certificate]:
    """Return a fact for each pair of certificate and key, with all that use it."""
    host = facts.host
    if host.uses is None:
        host.uses = _uses(facts)
    return [Certificate(facts, path, key, uses) for (path, key), uses in host.uses.items() if path]


def _uses(facts: Facts) -> dict[tuple[str | None, str | None], list[Use]]:
    """Return who uses each pair of certificate and key; no firewall has a part in it."""
    host = facts.host
    pairs: dict[tuple[str | None, str | None], dict[object, Use]] = {}
    known: dict[tuple[int, str | None, str | None], Use] = {}  # by the identity of a place

    def use(server: str, ref: CertificateRef) -> Use:
        key = (id(ref.location), ref.path, ref.key)
        found = known.get(key)
        if found is None:
            uses = pairs.setdefault((ref.path, ref.key), {})
            found = uses.get((server, ref.location))
            if found is None:
                found = uses[server, ref.location] = Use(server, ref)
            known[key] = found
        return found

    back_ends = _BackEnds(facts)
    for reading in facts.started:
        known.clear()
        seen: set[tuple[object, ...]] = set()  # two families of one port have the same ones
        for socket in host.sockets:
            endpoint = socket.endpoint
            if endpoint.server != reading.server:
                continue
            shown = socket.scope != "loopback" and endpoint.certain
            port = (endpoint.transport, endpoint.port)
            if (id(endpoint.certificates), port, shown) in seen:
                continue
            seen.add((id(endpoint.certificates), port, shown))
            for ref in endpoint.certificates:
                found = use(reading.server, ref)
                for name in ref.names:
                    found.places.setdefault(name, ref.location)
                if shown:
                    found.served = True
                    found.ports.add(port)
        for site in reading.sites:
            if not site.certificates:
                continue
            asked = site.tls and not site.rejects_handshake and not back_ends.have(site)
            for ref in site.certificates:
                found = use(reading.server, ref)
                place = ref.location if site.own_certificate else site.location
                for name in site.names if asked else ():
                    found.places[name] = place
    return {pair: list(uses.values()) for pair, uses in pairs.items()}


class _BackEnds:
    """Which TLS blocks on loopback only this host's own proxies come to.

    A proxy that passes TLS on shows a block's certificate to everyone.
    """

    def __init__(self, facts: Facts) -> None:
        self._secure = {
            (socket.endpoint.transport, socket.endpoint.address, socket.endpoint.port)
            for socket in facts.host.sockets
            if socket.endpoint.tls != "none"
        }
        passed = {u.port for u in facts.upstreams.firsts.values() if u.scheme == "tcp"}
        self._passed = passed
        self._known: dict[int, bool] = {}  # by the identity of the sockets: many have the same ones
        self._any = None in passed or any(other.endpoints for other in facts.without_sites)

    def have(self, site: model.Site) -> bool:
        """Tell whether a site is one of them."""
        found = self._known.get(id(site.listens))
        if found is None:
            own = [listen[:3] for listen in site.listens if listen[:3] in self._secure]
            found = self._known[id(site.listens)] = bool(own) and not any(
                self._any or scope_of(address) != "loopback" or port in self._passed
                for _, address, port in own
            )
        return found


class Certificate(Fact):
    """A certificate that a server's configuration names, with its private key."""

    source: CertificateRef

    path: str
    "The file of the certificate."
    key: str | None
    "The file of the key."

    def __init__(self, facts: Facts, path: str, key: str | None, uses: list[Use]) -> None:
        self.facts = facts
        self.source = uses[0].ref
        self._uses = uses
        place = self.source.location
        if self.status != "absent" and self.key_status == "absent":
            place = self.source.key_location or place
        super().__init__(
            facts,
            self.source,
            f"certificate {path}",
            Span(place, "named here"),
            frozenset({("certificate", path), *(("certificate", one) for one in (key,) if one)}),
        )

    # -- the files ----------------------------------------------------------------------------

    @field
    def status(self) -> FileStatus | None:
        """Whether the certificate's file is there."""
        return _status(self._host, self.path)

    @field
    def key_status(self) -> FileStatus | None:
        """Whether the key's file is there."""
        if not self.key or self.key == self.path:
            return self.status
        return _status(self._host, self.key, key=True)

    @field
    def missing(self) -> Literal["certificate", "key", "both"] | None:
        """Which of the two files is certainly absent."""
        apart = bool(self.key) and self.key != self.path
        lost = self.status == "absent", apart and self.key_status == "absent"
        if all(lost):
            return "both"
        return "certificate" if lost[0] else "key" if lost[1] else None

    @field
    def denied(self) -> bool:
        """The file may not be read."""
        return self._host.tree.status(self.path) is Status.UNKNOWN

    @field
    def unreadable(self) -> Unreadable | None:
        """Which server's user may not read one of the files; None where each may."""
        paths = [path for path in (self.path, self.key) if path]
        return _unreadable(self._host, self.servers, paths)

    @field
    def key_readable_by_all(self) -> bool:
        """Every user of the host may read the private key."""
        return self.key is not None and _readable_by_all(self._host, self.key)

    @field
    def content(self) -> Content:
        """What stands in the files."""
        wanted = [name for name in self.names if is_public_name(name)]
        return Content(self._host, self._uses, wanted)

    # -- who uses it --------------------------------------------------------------------------

    @field
    def server(self) -> str:
        """The first server that names it."""
        return self.servers[0]

    @field
    def servers(self) -> tuple[str, ...]:
        """The servers that name it."""
        return tuple(dict.fromkeys(use.server for use in self._uses))

    @field
    def names(self) -> tuple[str, ...]:
        """The names that servers give it out for."""
        return tuple(sorted({name for use in self._uses for name in use.places}))

    @field
    def used(self) -> bool:
        """A listener serves it."""
        return any(use.served for use in self._uses)

    @field
    def uses(self) -> Places:
        """Where else it is named."""
        own = str(self.span.location) if self.span is not None else ""
        places = {
            str(use.ref.location): Span(use.ref.location, "also used here")
            for use in self._uses[1:]
        }
        return tuple(span for place, span in places.items() if place != own)

    @field
    def _keys(self) -> list[tuple[str, int]]:
        return sorted({port for use in self._uses for port in use.ports})

    @field
    def ports(self) -> tuple[int, ...]:
        """The ports on which it is served."""
        return tuple(port for _, port in self._keys)

    @field
    def services(self) -> tuple[str, ...]:
        """The same with their transport."""
        return tuple(f"{transport}/{port}" for transport, port in self._keys)

    @field
    def mail_exchanger_only(self) -> bool:
        """Only port 25 serves it."""
        return set(self.ports) <= {25}

    @field
    def announced(self) -> bool:
        """Clients are told of a service that serves it."""
        told = self.facts.demand.announcements
        return any(one.here for key in self._keys for one in told.get(key, ()))

    # -- who renews it ------------------------------------------------------------------------

    @field
    def archived(self) -> bool:
        """It is a numbered file of certbot's archive."""
        return self.path.startswith(f"{DIRECTORY}/archive/")

    @field
    def lineage(self) -> str | None:
        """The lineage that its path belongs to."""
        return _lineage_of(self.path)

    @field
    def origin(self) -> Literal["copy", "own"]:
        """Whether it lies in a copy or a repository, for the words on it; the host may differ."""
        return "own" if self._host.tree.live else "copy"

    @field
    def committed(self) -> Committed | None:
        """Since when the repository has it; None on a host.

        None, too, if it had expired by then, or if something there puts it on a host.
        """
        host = self._host
        place = None if host.tree.live or host.running else host.tree.place_on_disk(self.path)
        if place is None:
            return None
        from sslint.committed import committed, is_deployed  # few certificates have expired

        found = committed(place, host.tree.read_bytes(self.path))
        end = self.content.expired or self.content.not_after
        if found is None or end is None or end < found[0] or is_deployed(place):
            return None
        return Committed(found[0], "whole" if found[1] else "shallow")

    @field
    def remedy(self) -> Literal["lineage", "self-signed", "authority"]:
        """Who makes the next one, for the words on it."""
        if self.lineage is not None:
            return "lineage"
        return "self-signed" if self.content.self_signed else "authority"

    @field
    def lineage_known(self) -> bool | None:
        """certbot renews it; not known where renewal/ was not given."""
        return lineage_known(self._host, self.path) if self.lineage is not None else None

    @field
    def newer_twin(self) -> str | None:
        """The lineage for the same names that certbot renews instead."""
        name, lineages = self.lineage, self.facts.lineages
        if name is None:
            return None
        for lineage in lineages:
            if lineage.name == name:
                return lineage.newer_twin
        # NAME is gone and NAME-0001 is there: certbot's own way of naming a second try.
        siblings = [one.name for one in lineages]
        twins = (s for s in siblings if s.rpartition("-")[0] == name and is_number(s[-4:]))
        return next(twins, None)

    @field
    def in_its_place(self) -> Literal["twin", "nothing"]:
        """Whether certbot renews another lineage for the same names, for the words on it."""
        return "nothing" if self.newer_twin is None else "twin"

    @field
    def renewed_elsewhere(self) -> bool:
        """The configuration says that another host renews it."""
        elsewhere = self._host.target.intent.renewed_elsewhere
        return any(one in elsewhere for one in (self.path, *self.names))


class Committed(NamedTuple):
    """Since when a repository has a file as it is."""

    date: str
    "The day of the commit that brought it."
    history: Literal["whole", "shallow"]
    "Whether that commit is there; in a shallow history the date is that of the oldest one."


class Unreadable(NamedTuple):
    """A file that a server's user may not read."""

    server: str
    "The server."
    user: str
    "The user that it runs as."
    path: str
    "The file, or a directory above it."


def _unreadable(host: Host, servers: Sequence[str], paths: Sequence[str]) -> Unreadable | None:
    """Return the user that a server starts as and that may not read a file; None for root.

    Owners are known only on the host itself: a checkout belongs to the user who made it.
    """
    for server in servers:
        units = host.network.units.commands(server, "User") or ()
        user = next((unit.words[0] for unit in units if unit.words), "root")
        identity = None if user in ("root", "0") else _identity(host, user)
        if identity is None:
            continue
        for path in paths:
            parts = path.split("/")
            for end in range(2, len(parts) + 1):
                place = "/".join(parts[:end])
                if not _may(host, place, *identity, last=end == len(parts)):
                    return Unreadable(server, user, place)
    return None


def _readable_by_all(host: Host, path: str) -> bool:
    """Tell whether a user who owns nothing and is in no group may read a file."""
    if not path or host.tree.owner(path) is None:
        return False
    parts = host.tree.destination(path).split("/")
    places = ["/".join(parts[:end]) for end in range(2, len(parts) + 1)]
    return all(_may(host, place, -1, set(), last=place is places[-1]) for place in places)


def _identity(host: Host, user: str) -> tuple[int, set[int]] | None:
    """Return a user's id and groups, as /etc/passwd and /etc/group have them."""
    passwd = host.tree.try_read("/etc/passwd", decisive=False)
    group = host.tree.try_read("/etc/group", decisive=False)
    for line in passwd.text.splitlines() if passwd is not None else ():
        fields = line.split(":")
        if len(fields) > 3 and fields[0] == user and is_number(fields[2]) and is_number(fields[3]):
            groups = {int(fields[3])}
            for entry in group.text.splitlines() if group is not None else ():
                parts = entry.split(":")
                if len(parts) > 3 and user in parts[3].split(",") and is_number(parts[2]):
                    groups.add(int(parts[2]))
            return int(fields[2]), groups
    return None


def _may(host: Host, path: str, user: int, groups: set[int], *, last: bool) -> bool:
    """Tell whether a user may read a file or pass a directory; what is not known is allowed."""
    owner, mode = host.tree.owner(path), host.tree.mode(path)
    if owner is None or mode is None:
        return True
    bit = 0o4 if last else 0o1
    if owner[0] == user:
        return bool(mode & bit << 6)
    return bool(mode & (bit << 3 if owner[1] in groups else bit))


def _lineage_of(path: str) -> str | None:
    """Return the lineage that a path of certbot's live directory belongs to."""
    head = f"{DIRECTORY}/live/"
    return path.removeprefix(head).partition("/")[0] if path.startswith(head) else None


def is_public_name(name: str) -> bool:
    """Tell whether a server name is one that a certificate is expected to have."""
    if _USUAL.fullmatch(name):
        return not name.endswith(INTERNAL_SUFFIXES)
    if not name or name == "_" or name.startswith(("~", ".")) or name.endswith(".*"):
        return False
    bare = name.removeprefix("*.").rstrip(".").lower()
    if "." not in bare or bare.endswith(INTERNAL_SUFFIXES):
        return False
    return not is_number(bare.replace(".", "")) and ":" not in bare and "$" not in bare


def _status(host: Host, path: str, *, key: bool = False) -> FileStatus | None:
    """Return present, absent, or None where the tree cannot tell."""
    absent = missing(host.tree, path, key=key)
    if absent is None and not key:
        absent = _is_of_no_lineage(host, path) or None
    if absent is None:
        return None
    return "absent" if absent else "present" if host.tree.status(path) is Status.FILE else None


def _is_of_no_lineage(host: Host, path: str) -> bool:
    """Tell whether certbot's directories have other lineages, and not the one of a path."""
    live, lineage = f"{DIRECTORY}/live", _lineage_of(path)
    others = set(host.tree.names(live)) - {"README"}
    lacks = bool(others) and lineage is not None and lineage not in others
    return lacks and host.tree.holds(live) and lineage_known(host, path) is False
