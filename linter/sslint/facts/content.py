"""What stands in the files of a certificate and its key. Reading them costs, so it is done late."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from sslint import snakeoil
from sslint.certificates import Certificate, Link, covers, key_in, lifetime_limit, load
from sslint.engine import Span, enumerated
from sslint.facts.fact import Fields, Places, field, of
from sslint.renewal import DIRECTORY
from sslint.servers.model import CertificateRef

if TYPE_CHECKING:
    from sslint.host import Host
    from sslint.source import Location

SKEW = timedelta(hours=1)  # a clock may be off by this much
Chain = Literal[
    "complete", "leaf-only", "misordered", "issuer-first", "self-signed", "issued-by-root-unknown"
]


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


class Content(Fields):
    """What stands in the files; one that is not there leaves everything unknown."""

    source: Sequence[Use]

    def __init__(self, host: Host, source: Sequence[Use], wanted: Sequence[str]) -> None:
        super().__init__(source)
        self._host = host
        self._path = source[0].ref.path or ""
        self._wanted = wanted  # the public names that servers give it out for

    @field
    def _snakeoil(self) -> tuple[datetime, datetime] | None:
        """When Debian's snakeoil certificate begins and ends, if it is that."""
        tree = self._host.tree
        if not self._path or not snakeoil.is_pair(tree, self._path, self.source[0].ref.key):
            return None
        return snakeoil.validity(tree, self._path)

    @field
    def _certificate(self) -> Certificate:
        return load(self._host.tree, self.source[0].ref)

    @field
    def _leaf(self) -> Link | None:
        return None if self._snakeoil is not None else self._certificate.leaf

    @field
    def _dates(self) -> tuple[datetime, datetime] | None:
        leaf = self._leaf
        return self._snakeoil or ((leaf.not_before, leaf.not_after) if leaf is not None else None)

    @field
    def problem(self) -> str | None:
        """Why it cannot be read."""
        return (self._certificate.problem or None) if self._snakeoil is None else None

    @field
    def key_matches(self) -> bool | None:
        """The key is the certificate's."""
        if self._snakeoil is not None:
            return True
        return _key_matches(self._host, self._certificate, self.source)

    # -- the chain ----------------------------------------------------------------------------

    @field
    def _worst(self) -> tuple[str, list[tuple[str, int]]]:
        """The worst chain that is sent, and where: a server may add what the file lacks."""
        served = [use for use in self.source if use.served] or self.source
        statuses = [load(self._host.tree, use.ref).chain_status for use in served]
        short = [status in ("leaf-only", "issued-by-root-unknown") for status in statuses]
        worst = statuses[short.index(True)] if any(short) else statuses[0]
        pairs = zip(served, short, strict=True)
        return worst, sorted({port for use, is_short in pairs if is_short for port in use.ports})

    @field
    def chain(self) -> Chain | None:
        """What is sent with the certificate."""
        if self._snakeoil is not None:
            return "self-signed"
        return None if self._worst[0] == "unknown" else self._worst[0]  # type: ignore[return-value]

    @field
    def short_on(self) -> tuple[str, ...]:
        """The ports on which no certificate of the issuer is sent."""
        return tuple(f"{transport}/{port}" for transport, port in self._worst[1])

    # -- dates --------------------------------------------------------------------------------

    @field
    def not_before(self) -> str | None:
        """The first day on which it is valid."""
        return self._dates[0].date().isoformat() if self._dates is not None else None

    @field
    def not_after(self) -> str | None:
        """The last."""
        return self._dates[1].date().isoformat() if self._dates is not None else None

    @field
    def expired(self) -> str | None:
        """When the leaf or its issuer expired."""
        now = self._host.now
        ends = [self._dates[1]] if self._dates is not None else []
        if self._leaf is not None:
            issuers = [link for link in self._certificate.sent[1:] if not link.self_signed]
            ends += [link.not_after for link in issuers[:1]]
        return next((end.date().isoformat() for end in ends if end < now), None)

    @field
    def not_yet_valid(self) -> bool | None:
        """It begins in the future."""
        return self._dates[0] > self._host.now + SKEW if self._dates is not None else None

    @field
    def days_left(self) -> int | None:
        """For how many days it is still valid."""
        return (self._dates[1] - self._host.now).days if self._dates is not None else None

    @field
    def fraction_left(self) -> float | None:
        """The part of its lifetime that is left."""
        if self._dates is None:
            return None
        return (self._dates[1] - self._host.now) / (self._dates[1] - self._dates[0])

    @field
    def lifetime_days(self) -> int | None:
        """For how many days it is valid."""
        if self._leaf is not None:
            return round(self._leaf.lifetime_days)
        return (self._dates[1] - self._dates[0]).days if self._dates is not None else None

    @field
    def lifetime_limit(self) -> int | None:
        """How many browsers allowed when it was issued."""
        return lifetime_limit(self._leaf.not_before) if self._leaf is not None else None

    @field
    def over_limit(self) -> bool | None:
        """It is valid for longer than that."""
        leaf, limit = self._leaf, self.lifetime_limit
        if leaf is None:
            return None
        return limit is not None and leaf.lifetime_days > limit + 1

    # -- who issued it ------------------------------------------------------------------------

    @field
    def san(self) -> tuple[str, ...] | None:
        """Its names."""
        return tuple(self._leaf.names) if self._leaf is not None else None

    subject: str | None = of("_leaf.subject")
    "Its subject."
    issuer: str | None = of("_leaf.issuer")
    "Its issuer."

    key_algorithm: str | None = of("_leaf.key_algorithm")
    "The algorithm of its key, with the size or curve."

    @field
    def self_signed(self) -> bool | None:
        """It is its own issuer."""
        if self._snakeoil is not None:
            return True
        return self._leaf.self_signed if self._leaf is not None else None

    @field
    def staging(self) -> bool | None:
        """A test authority issued it."""
        if self._snakeoil is not None:
            return False
        return self._certificate.staging if self._leaf is not None else None

    server_auth: bool | None = of("_leaf.server_auth")
    "Its extended key usages have serverAuth, or it has none."

    @field
    def public_issuer(self) -> bool | None:
        """It says where its issuer's certificate is, as those of public authorities do."""
        return self._leaf.ca_issuers is not None if self._leaf is not None else None

    # -- names --------------------------------------------------------------------------------

    @field
    def uncovered(self) -> tuple[str, ...] | None:
        """Names it is given out for and does not have."""
        if self._leaf is None:
            return None
        own = self._leaf.names
        return tuple(n for n in self._wanted if not covers(own, n) and not _is_listed(n, own))

    @field
    def uncovered_at(self) -> Places:
        """The places that give it out for them, each with its own."""
        order = {name: number for number, name in enumerate(self.uncovered or ())}
        found: dict[Location, dict[str, None]] = {}
        for use in self.source:  # thousands, of a few names each
            for name in sorted(order.keys() & use.places.keys(), key=order.__getitem__):
                found.setdefault(use.places[name], {})[name] = None
        return tuple(Span(at, f"answers for {enumerated([*own])}") for at, own in found.items())

    # -- renewal ------------------------------------------------------------------------------

    @field
    def stale_copy_of(self) -> str | None:
        """A lineage of which a file outside of live/ is an older copy."""
        own = self._leaf
        target = self._host.tree.link_target(self._path) or self._path
        if own is None or target.startswith(f"{DIRECTORY}/"):
            return None
        for name, leaf in _lineage_leaves(self._host):
            if set(leaf.names) == set(own.names) and leaf.not_after > own.not_after:
                return name
        return None

    @field
    def renewed(self) -> bool | None:
        """Something on this host renews it; not known where other programs may."""
        renewal, own = self._host.renewal, self._leaf
        if own is None or renewal.others or not renewal.known:
            return None
        if lineage_known(self._host, self._path):
            return True
        leaves = _lineage_leaves(self._host)
        return any(set(leaf.names) == set(own.names) for _, leaf in leaves)


def lineage_known(host: Host, path: str) -> bool | None:
    """Tell whether certbot renews a live path; None where renewal/ was not given."""
    if not host.renewal.known:
        return None
    directory = posixpath.dirname(path)
    return any(lineage.live == directory for lineage in host.renewal.lineages)


def _lineage_leaves(host: Host) -> Iterator[tuple[str, Link]]:
    for lineage in host.renewal.lineages:
        reference = CertificateRef(f"{lineage.live}/fullchain.pem", None, lineage.location())
        leaf = load(host.tree, reference).leaf
        if leaf is not None:
            yield lineage.name, leaf


def _key_matches(host: Host, certificate: Certificate, uses: Sequence[Use]) -> bool | None:
    """Compare with all keys of the same server block: RSA and ECDSA pairs come in any order."""
    if certificate.key_matches is not False:
        return certificate.key_matches
    own = {use.ref for use in uses}
    siblings = [
        ref
        for reading in host.readings
        for site in reading.sites
        if not own.isdisjoint(site.certificates)
        for ref in site.certificates
    ]
    if len(siblings) < 2:
        return False
    return key_in(certificate, [load(host.tree, ref) for ref in siblings])


def _is_listed(name: str, names: Sequence[str]) -> bool:
    """Tell whether a server name `*.x` stands for names right below x that are in a certificate."""
    return name.startswith("*.") and any(covers([name], other) for other in names)
