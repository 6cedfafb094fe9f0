"""Facts about the certificates and keys that servers name."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sslint import snakeoil
from sslint.certificates import Certificate, Link, covers, key_in, lifetime_limit, load, missing
from sslint.engine import Span, enumerated
from sslint.facts.fact import Loose
from sslint.host import scope_of
from sslint.renewal import DIRECTORY
from sslint.servers.model import CertificateRef
from sslint.tree import Status

if TYPE_CHECKING:
    from sslint.host import Host
    from sslint.servers.model import Site
    from sslint.source import Location

SKEW = timedelta(hours=1)  # a clock may be off by this much
# Names that no public certificate can have.
INTERNAL_SUFFIXES = (".local", ".lan", ".internal", ".home.arpa", ".localhost", ".test", ".invalid")
SNAKEOIL = ("snakeoil", "localhost", "ubuntu", "debian")


class Later(Mapping[str, Any]):
    """Values that are made when they are first asked for: reading a certificate costs."""

    def __init__(self, make: Callable[[], dict[str, Any]]) -> None:
        self._make = make
        self._values: dict[str, Any] | None = None

    @property
    def values_now(self) -> dict[str, Any]:
        """The values, made if they were not."""
        if self._values is None:
            self._values = self._make()
        return self._values

    def __getitem__(self, key: str) -> Any:
        return self.values_now[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_now)

    def __len__(self) -> int:
        return len(self.values_now)


class Use:
    """One place where a certificate is named: by which server, served by which listeners."""

    __slots__ = ("places", "ports", "ref", "served", "server")

    def __init__(self, server: str, ref: CertificateRef) -> None:
        self.server = server
        self.ref = ref
        self.served = False
        self.places: dict[
            str, Location
        ] = {}  # of each name that it answers for, where that is said
        self.ports: set[tuple[str, int]] = set()


def certificates(host: Host, facts: Mapping[str, Sequence[Loose]]) -> list[Loose]:
    """Return a fact for each pair of certificate and key, with all that use it."""
    pairs: dict[tuple[str | None, str | None], dict[object, Use]] = {}

    def use(server: str, ref: CertificateRef) -> Use:
        uses = pairs.setdefault((ref.path, ref.key), {})
        return uses.setdefault((server, ref.location), Use(server, ref))

    back_ends = _BackEnds(host, facts)
    for reading in host.readings:
        for socket in host.sockets:
            endpoint = socket.endpoint
            if endpoint.server != reading.server:
                continue
            for ref in endpoint.certificates:
                found = use(reading.server, ref)
                for name in ref.names:
                    found.places.setdefault(name, ref.location)
                if socket.scope != "loopback" and endpoint.certain:
                    found.served = True
                    found.ports.add((endpoint.transport, endpoint.port))
        for site in reading.sites:
            asked = site.tls and not site.rejects_handshake and not back_ends.have(site)
            for ref in site.certificates:
                found = use(reading.server, ref)
                place = ref.location if site.own_certificate else site.location
                found.places.update(dict.fromkeys(site.names if asked else (), place))
    told = {
        (a.values["transport"], a.values["port"]) for a in facts["announcement"] if a.values["here"]
    }
    return [
        _certificate(host, path, key, list(uses.values()), told, facts)
        for (path, key), uses in pairs.items()
        if path
    ]


class _BackEnds:
    """Which TLS blocks on loopback only this host's own proxies come to.

    A proxy that passes TLS on shows a block's certificate to everyone.
    """

    def __init__(self, host: Host, facts: Mapping[str, Sequence[Loose]]) -> None:
        self._secure = {
            (socket.endpoint.transport, socket.endpoint.address, socket.endpoint.port)
            for socket in host.sockets
            if socket.endpoint.tls != "none"
        }
        passed = {u.values["port"] for u in facts["upstream"] if u.values["scheme"] == "tcp"}
        self._passed = passed
        unread = (r for r in (*host.readings, *host.programs) if not r.knows.sites)
        self._any = None in passed or any(other.endpoints for other in unread)

    def have(self, site: Site) -> bool:
        """Tell whether a site is one of them."""
        own = [listen[:3] for listen in site.listens if listen[:3] in self._secure]
        return bool(own) and not any(
            self._any or scope_of(address) != "loopback" or port in self._passed
            for _, address, port in own
        )


def _certificate(
    host: Host,
    path: str,
    key: str | None,
    uses: list[Use],
    told: set[tuple[str, int]],
    facts: Mapping[str, Sequence[Loose]],
) -> Loose:
    ref = uses[0].ref
    status = file_status(host, path)
    key_status = file_status(host, key, key=True) if key and key != path else status
    lost = [
        f"{what} {name}"
        for what, name, found in (("certificate", path, status), ("key", key, key_status))
        if found == "absent" and name
    ]
    if key == path:
        lost = lost[:1]
    servers = list(dict.fromkeys(use.server for use in uses))
    location = ref.location
    if status != "absent" and key_status == "absent" and ref.key_location is not None:
        location = ref.key_location
    places = {str(use.ref.location): Span(use.ref.location, "also used here") for use in uses[1:]}
    places.pop(str(location), None)
    ports = sorted({port for use in uses for port in use.ports})
    names = sorted({name for use in uses for name in use.places})
    wanted = [name for name in names if is_public_name(name)]
    return Loose(
        entity=f"certificate {path}",
        values={
            "path": path,
            "key": key,
            "missing": " and ".join(lost) + (" do" if len(lost) > 1 else " does") if lost else None,
            "status": status,
            "key_status": key_status,
            "server": servers[0],
            "servers": servers,
            "used": any(use.served for use in uses),
            "ports": [port for _, port in ports],
            "services": ", ".join(f"{transport}/{port}" for transport, port in ports),
            "announced": bool(told & set(ports)),
            "renewed_elsewhere": path in host.target.intent.renewed_elsewhere
            or any(name in host.target.intent.renewed_elsewhere for name in names),
            "unreadable_by": _unreadable_by(host, servers, [p for p in (path, key) if p]),
            "denied": host.tree.status(path) is Status.UNKNOWN,
            "archived": path.startswith(f"{DIRECTORY}/archive/"),
            "lineage": _lineage_of(path),
            "lineage_known": _lineage_known(host, path),
            "newer_twin": (twin := _newer_twin(host, path, facts)),
            "renewed_words": f"certbot renews {twin} instead"
            if twin
            else f"no lineage {_lineage_of(path)} is renewed",
            "mail_exchanger_only": {port for _, port in ports} <= {25},
            "names": names,
            "content": Later(lambda: _content(host, uses, wanted)),
        },
        span=Span(location, "named here"),
        spans={"uses": tuple(places.values())},
        subjects=frozenset({("certificate", path), *(("certificate", s) for s in (key,) if s)}),
        source=tuple(use.ref for use in uses),
    )


def _unreadable_by(host: Host, servers: Sequence[str], paths: Sequence[str]) -> str | None:
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
                    return f"{server} runs as {user}, which may not read {place}"
    return None


def _identity(host: Host, user: str) -> tuple[int, set[int]] | None:
    """Return a user's id and groups, as /etc/passwd and /etc/group have them."""
    passwd = host.tree.try_read("/etc/passwd", decisive=False)
    group = host.tree.try_read("/etc/group", decisive=False)
    for line in passwd.text.splitlines() if passwd is not None else ():
        fields = line.split(":")
        if len(fields) > 3 and fields[0] == user and fields[2].isdigit() and fields[3].isdigit():
            groups = {int(fields[3])}
            for entry in group.text.splitlines() if group is not None else ():
                parts = entry.split(":")
                if len(parts) > 3 and user in parts[3].split(",") and parts[2].isdigit():
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


def _newer_twin(host: Host, path: str, facts: Mapping[str, Sequence[Loose]]) -> str | None:
    """Return the lineage for the same names that certbot renews instead of a path's."""
    name = _lineage_of(path)
    if name is None:
        return None
    for lineage in facts["lineage"]:
        if lineage.values["name"] == name:
            twin: str | None = lineage.values["newer_twin"]
            return twin
    # NAME is gone and NAME-0001 is there: certbot's own way of naming a second try.
    siblings = [n.values["name"] for n in facts["lineage"]]
    return next((s for s in siblings if s.rpartition("-")[0] == name and s[-4:].isdigit()), None)


def _lineage_known(host: Host, path: str) -> bool | None:
    """Tell whether certbot renews a live path; None where renewal/ was not given."""
    name = _lineage_of(path)
    if name is None or not host.renewal.known:
        return None
    directory = posixpath.dirname(path)
    return any(lineage.live == directory for lineage in host.renewal.lineages)


def _content(host: Host, uses: list[Use], wanted: list[str]) -> dict[str, Any]:
    """Return what stands in the files; a file that is not there leaves everything unknown."""
    ref = uses[0].ref
    if ref.path is not None and snakeoil.is_pair(host.tree, ref.path, ref.key):
        dates = snakeoil.validity(host.tree, ref.path)
        if dates is not None:
            return _snakeoil(host, *dates)
    certificate = load(host.tree, ref)
    values: dict[str, Any] = {
        "problem": certificate.problem or None,
        "key_matches": _key_matches(host, certificate, uses),
        **_chain(host, uses),
    }
    leaf = certificate.leaf
    if leaf is None:
        return values
    now = host.now
    left = leaf.not_after - now
    limit = lifetime_limit(leaf.not_before)
    uncovered = [
        name for name in wanted if not covers(leaf.names, name) and not _is_listed(name, leaf.names)
    ]
    issuers = [link for link in certificate.sent[1:] if not link.self_signed]
    expired = [link for link in [leaf, *issuers[:1]] if link.not_after < now]
    values.update(
        {
            "san": list(leaf.names),
            "subject": leaf.subject,
            "issuer": leaf.issuer,
            "key_algorithm": leaf.key_algorithm,
            "expired": expired[0].not_after.date().isoformat() if expired else None,
            "not_after": leaf.not_after.date().isoformat(),
            "not_before": leaf.not_before.date().isoformat(),
            "days_left": left.days,
            "fraction_left": left / (leaf.not_after - leaf.not_before),
            "not_yet_valid": leaf.not_before > now + SKEW,
            "self_signed": leaf.self_signed,
            "distribution_default": any(word in leaf.subject.lower() for word in SNAKEOIL)
            or "snakeoil" in (uses[0].ref.path or ""),
            "staging": certificate.staging,
            "server_auth": leaf.server_auth,
            "ocsp": leaf.ocsp_url is not None,
            "ca_issuers": leaf.ca_issuers is not None,
            "lifetime_days": round(leaf.lifetime_days),
            "lifetime_limit": limit,
            "over_limit": limit is not None and leaf.lifetime_days > limit + 1,
            "public_issuer": leaf.ca_issuers is not None,
            "uncovered": uncovered,
            "uncovered_at": _places(uses, uncovered),
            "covered": len(wanted) - len(uncovered),
            "stale_copy_of": _stale_copy_of(host, uses[0].ref.path or "", certificate),
            "renewed": _is_renewed(host, uses[0].ref.path or "", leaf.names),
        }
    )
    return values


def _places(uses: Sequence[Use], names: Sequence[str]) -> list[Span]:
    """Return where it is said that a certificate answers for names, each place with its own."""
    found: dict[Location, list[str]] = {}
    for use in uses:
        for name in names:
            if name in use.places and name not in found.setdefault(use.places[name], []):
                found[use.places[name]].append(name)
    return [Span(place, f"answers for {enumerated(own)}") for place, own in found.items()]


def _chain(host: Host, uses: list[Use]) -> dict[str, Any]:
    """Return the worst chain that is sent and where: a server may add what the file lacks."""
    served = [use for use in uses if use.served] or uses
    statuses = [load(host.tree, use.ref).chain_status for use in served]
    short = [status in ("leaf-only", "issued-by-root-unknown") for status in statuses]
    worst = statuses[short.index(True)] if any(short) else statuses[0]
    ports = sorted(
        {p for use, is_short in zip(served, short, strict=True) if is_short for p in use.ports}
    )
    return {
        "chain": None if worst == "unknown" else worst,
        "short_on": ", ".join(f"{transport}/{port}" for transport, port in ports),
    }


def _snakeoil(host: Host, start: datetime, end: datetime) -> dict[str, Any]:
    """Return what is to be said of Debian's snakeoil certificate."""
    return {
        "key_matches": True,
        "chain": "self-signed",
        "self_signed": True,
        "distribution_default": True,
        "staging": False,
        "expired": end.date().isoformat() if end < host.now else None,
        "not_after": end.date().isoformat(),
        "not_before": start.date().isoformat(),
        "days_left": (end - host.now).days,
        "fraction_left": (end - host.now) / (end - start),
        "not_yet_valid": start > host.now + SKEW,
        "lifetime_days": (end - start).days,
    }


def _lineage_leaves(host: Host) -> Iterator[tuple[str, Link]]:
    for lineage in host.renewal.lineages:
        reference = CertificateRef(f"{lineage.live}/fullchain.pem", None, lineage.location())
        leaf = load(host.tree, reference).leaf
        if leaf is not None:
            yield lineage.name, leaf


def _stale_copy_of(host: Host, path: str, certificate: Certificate) -> str | None:
    """Return the lineage of which a file outside of live/ is an older copy."""
    own = certificate.leaf
    target = host.tree.link_target(path) or path
    if own is None or target.startswith(f"{DIRECTORY}/"):
        return None
    for name, leaf in _lineage_leaves(host):
        if set(leaf.names) == set(own.names) and leaf.not_after > own.not_after:
            return name
    return None


def _is_renewed(host: Host, path: str, names: Sequence[str]) -> bool | None:
    """Tell whether something on this host renews a certificate; None where it cannot be said."""
    if host.renewal.others or not host.renewal.known:
        return None
    if _lineage_known(host, path):
        return True
    return any(set(leaf.names) == set(names) for _, leaf in _lineage_leaves(host))


def _key_matches(host: Host, certificate: Certificate, uses: list[Use]) -> bool | None:
    """Compare with all keys of the same server block: RSA and ECDSA pairs come in any order."""
    if certificate.key_matches is not False:
        return certificate.key_matches
    siblings = [
        ref
        for reading in host.readings
        for site in reading.sites
        if any(ref == use.ref for ref in site.certificates for use in uses)
        for ref in site.certificates
    ]
    if len(siblings) < 2:
        return False
    return key_in(certificate, [load(host.tree, ref) for ref in siblings])


def is_public_name(name: str) -> bool:
    """Tell whether a server name is one that a certificate is expected to have."""
    if not name or name == "_" or name.startswith(("~", ".")) or name.endswith(".*"):
        return False
    bare = name.removeprefix("*.").rstrip(".").lower()
    if "." not in bare or bare.endswith(INTERNAL_SUFFIXES):
        return False
    return not bare.replace(".", "").isdigit() and ":" not in bare and "$" not in bare


def _is_listed(name: str, names: Sequence[str]) -> bool:
    """Tell whether a server name `*.x` stands for names right below x that are in a certificate."""
    return name.startswith("*.") and any(covers([name], other) for other in names)


def file_status(host: Host, path: str, *, key: bool = False) -> str | None:
    """Return present, absent, or None where the tree cannot tell."""
    absent = missing(host.tree, path, key=key)
    if absent is None:
        return None
    return "absent" if absent else "present" if host.tree.status(path) is Status.FILE else None
