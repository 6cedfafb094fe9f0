"""Facts about server blocks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from sslint import certificates
from sslint.engine import Many, Span, Subject
from sslint.facts.fact import Fact, Places, field, of
from sslint.facts.ports import EXPECTED_TLS

if TYPE_CHECKING:
    from sslint.facts.collection import Facts
    from sslint.facts.openings import Opening
    from sslint.servers import model
    from sslint.servers.model import ServerReading, Setting

# What depends on the names of the block and on its certificate, or is another place.
_OF_BLOCKS = frozenset(
    (
        *("names", "name", "certificate", "certificate_ocsp", "borrowed_covers"),
        *("first_owner", "block", "advertised_at", "stapling_at", "default_server"),
    )
)
_ASKED = ("Alt-Svc", "http3", "ssl_stapling")


def sites(facts: Facts) -> Many[Site]:
    """Return a fact for each server block."""
    found: list[tuple[model.Site, _Blocks, int, dict[str, model.Site]]] = []
    keys: list[object] = []
    for reading in facts.started:
        blocks = _Blocks(reading)
        owners = _Owners(reading.sites)
        for number, site in enumerate(reading.sites):
            exact = _exact(site.names)
            taken = {} if reading.sites_assumed else owners.enter(site, exact)
            found.append((site, blocks, number, taken))
            keys.append(
                (
                    id(blocks),
                    blocks.asked.get(number),
                    site.kind,
                    site.tls,
                    id(site.listens),
                    _apart(site),
                    site.own_certificate,
                    site.rejects_handshake,
                    bool(exact),
                    tuple(sorted(taken)) if taken else (),
                )
            )
    return Many(keys, lambda number: Site(facts, *found[number]), _OF_BLOCKS)


def _apart(site: model.Site) -> bool | None:
    """Tell whether the certificate of a block is named in another file; None if it has none."""
    if not site.certificates:
        return None
    return site.certificates[0].location.file is not site.location.file


def _exact(names: Sequence[str]) -> list[str]:
    return [name for name in names if name and name != "_" and name[0] != "~"]


class _Owners:
    """Which of some blocks answers for a name on each socket."""

    def __init__(self, sites: Sequence[model.Site]) -> None:
        every = {id(site.listens): site.listens for site in sites}  # many have the same ones
        users: dict[tuple[str, str, int], list[int]] = {}
        for number, listens in every.items():
            for listen in listens:
                users.setdefault(listen[:3], []).append(number)
        # Sockets of the same blocks have the same names: nearly always those of both families.
        tables: dict[tuple[int, ...], dict[str, model.Site]] = {}
        names = {socket: tables.setdefault(tuple(own), {}) for socket, own in users.items()}
        self._names: dict[int, list[dict[str, model.Site]]] = {}
        for number, listens in every.items():
            last_first = {id(own := names[one[:3]]): own for one in reversed(listens)}
            self._names[number] = [*reversed(last_first.values())]

    def enter(self, site: model.Site, exact: Sequence[str]) -> dict[str, model.Site]:
        """Return the names of a block for which an earlier one answers, and enter the others."""
        taken = {}
        names = [name for name in exact if "$" not in name]
        for known in self._names[id(site.listens)]:
            for name in names:
                owner = known.setdefault(name, site)
                if owner is not site:
                    taken[name] = owner
        return taken


def unserved(facts: Facts) -> list[Opening]:
    """Return the openings of ports of the web with TLS on which nothing listens."""
    with_sites = {reading.server for reading in facts.host.readings if reading.sites}
    return [
        opening
        for opening in facts.openings
        if opening.owner in with_sites
        and opening.transport == "tcp"
        and EXPECTED_TLS.get(opening.port) == "implicit"
        and opening.listener == "none"
        and opening.public
        and not opening.expected
        and opening.effective
    ]


class _Blocks:
    """The server blocks of one reading: what facts ask of each, and who answers by default."""

    def __init__(self, reading: ServerReading) -> None:
        self.settings: dict[int | None, list[Setting]] = {}
        for setting in reading.settings:
            if setting.name in _ASKED:
                self.settings.setdefault(setting.site, []).append(setting)
        self.from_file = any(s.name == "ssl_stapling_file" for s in reading.settings)
        self.asked = {
            number: tuple([(one.name, one.value, one.scope) for one in own])
            for number, own in self.settings.items()
        }
        # By kind and socket: the block with a certificate that comes first, a default before all.
        self._first: dict[tuple[str, str, str, int], tuple[bool, int, model.Site]] = {}
        seen: set[tuple[str, int]] = set()  # kinds and sockets: of the same the first counts
        for number, site in enumerate(reading.sites):
            if not site.certificates or (site.kind, id(site.listens)) in seen:
                continue
            seen.add((site.kind, id(site.listens)))
            for transport, address, port, default in site.listens:
                key = (site.kind, transport, address, port)
                entry = (not default, number, site)
                self._first[key] = min(self._first.get(key, entry), entry, key=lambda e: e[:2])

    def default_of(self, site: model.Site) -> model.Site | None:
        """Return the block that lends its certificate to one without, on the same sockets."""
        lenders = [
            found
            for transport, address, port, _ in site.listens
            if (found := self._first.get((site.kind, transport, address, port))) is not None
        ]
        return min(lenders, key=lambda e: e[:2])[2] if lenders else None


class Site(Fact):
    """A server block of a web server."""

    source: model.Site

    server: str
    "The server."
    kind: Literal["http", "stream", "mail"]
    "What it serves."
    names: tuple[str, ...]
    "Its names, as they are written."
    tls: bool | None
    "Some socket of it is TLS or QUIC, all blocks merged."

    def __init__(
        self,
        facts: Facts,
        source: model.Site,
        blocks: _Blocks,
        number: int,
        taken: dict[str, model.Site],
    ) -> None:
        name = next((name for name in source.names if "$" not in name), "")
        certificate = next(iter(source.certificates), None)
        super().__init__(facts, source, f"{source.server} server block {name}".rstrip())
        self._certificate = certificate
        self._blocks = blocks
        self._number = number
        self._taken = taken

    @field
    def span(self) -> Span:
        """The certificate that it names, else the block."""
        site, certificate = self.source, self._certificate
        if self._taken:
            return Span(site.location, "this block is never used for it")
        own = certificate is not None and site.own_certificate
        return Span(
            certificate.location if certificate is not None and own else site.location,
            "this certificate is never served" if site.tls is False else "this server block",
        )

    @property
    def subjects(self) -> frozenset[Subject]:
        """Its ports, and those that are open and that it does not serve."""
        own = frozenset((transport, port) for transport, _, port, _ in self.source.listens)
        return own.union(*(opening.subjects for opening in self._unserved))

    @property
    def _unserved(self) -> Sequence[Opening]:
        return self.facts.unserved if self.has_certificate and not self.tls else ()

    @field
    def name(self) -> str:
        """The first of its names."""
        return next((name for name in self.names if "$" not in name), "") or "(no name)"

    @field
    def named(self) -> bool:
        """It has a name that is neither a catch-all nor a regular expression."""
        return bool(self._exact)

    @property
    def _exact(self) -> list[str]:
        return _exact(self.names)

    @field
    def ports(self) -> tuple[int, ...]:
        """The ports on which it listens."""
        return tuple(sorted({port for _, _, port, _ in self.source.listens}))

    @field
    def quic(self) -> bool:
        """Some socket of it speaks QUIC."""
        return any(transport == "udp" for transport, _, _, _ in self.source.listens)

    program: str = of("source.server")
    "The server, for words that differ by server."
    has_certificate: bool = of("source.own_certificate")
    "A certificate is set in the block itself."
    certificate: str | None = of("_certificate.path")
    "The path of its certificate."

    @field
    def from_snippet(self) -> bool:
        """The certificate directive stands in an included file shared with others."""
        certificate = self._certificate
        return (
            certificate is not None and certificate.location.file is not self.source.location.file
        )

    @field
    def unserved_port(self) -> int | None:
        """For a block with a certificate and without TLS: a port of the web with TLS that the
        firewall opens to everyone and on which nothing listens."""
        return next((opening.port for opening in self._unserved), None)

    @field
    def opened_at(self) -> Places:
        """The rules that open such ports."""
        return tuple(o.span for o in self._unserved if o.span is not None)

    @field
    def duplicate_names(self) -> tuple[str, ...] | None:
        """Names that another block on the same socket already answers for."""
        return tuple(sorted(self._taken)) or None

    @field
    def first_owner(self) -> Places:
        """The blocks that answer for them."""
        spans = (Span(o.location, "this block is used for it") for o in self._taken.values())
        return tuple({span.location: span for span in spans}.values())

    @field
    def block(self) -> Places:
        """The block itself."""
        return (Span(self.source.location, "no listen of this block has ssl"),)

    @field
    def advertises_h3(self) -> bool:
        """It tells browsers of HTTP/3."""
        return bool(self.advertised_at)

    @field
    def advertised_at(self) -> Places:
        """Where it does."""
        return tuple(
            Span(setting.location, "advertises HTTP/3")
            for setting in self._blocks.settings.get(self._number, ())
            if _advertises_h3(setting)
        )

    @field
    def stapling(self) -> bool:
        """OCSP stapling is on, and not from a file."""
        switches = self._stapling
        return bool(switches) and switches[-1].value == "on" and not self._blocks.from_file

    @field
    def stapling_at(self) -> Places:
        """Where it is switched on."""
        return tuple(Span(s.location, "switched on") for s in self._stapling[-1:])

    @property
    def _stapling(self) -> list[Setting]:
        settings = self._blocks.settings
        both = (*settings.get(None, ()), *settings.get(self._number, ()))
        return [setting for setting in both if setting.name == "ssl_stapling"]

    @field
    def certificate_ocsp(self) -> bool | None:
        """Its certificate names an OCSP responder; asked where stapling is on."""
        if not self.stapling:
            return None
        leaves = [certificates.load(self._host.tree, r).leaf for r in self.source.certificates]
        known = [leaf.ocsp_url is not None for leaf in leaves if leaf is not None]
        return any(known) if known and len(known) == len(leaves) else None

    @field
    def _default(self) -> model.Site | None:
        own = self.source
        return self._blocks.default_of(own) if own.tls and not own.certificates else None

    @field
    def borrowed_certificate(self) -> bool:
        """It has no certificate and is answered with the default server's."""
        return self._default is not None and not self.source.rejects_handshake

    @field
    def borrowed_covers(self) -> bool | None:
        """The default server's certificate has its names."""
        if self._default is None:
            return None
        leaf = certificates.load(self._host.tree, self._default.certificates[0]).leaf
        if leaf is None:
            return None
        return all(certificates.covers(leaf.names, name) for name in self._exact)

    @field
    def default_server(self) -> Places:
        """The default server."""
        default = self._default
        return (Span(default.location, "the default server"),) if default is not None else ()


def _advertises_h3(setting: Setting) -> bool:
    if setting.name == "Alt-Svc":
        return bool(setting.value and re.search(r"\bh3(-\d+)?=", setting.value))
    return setting.name == "http3" and setting.value == "on" and setting.scope == "server"
