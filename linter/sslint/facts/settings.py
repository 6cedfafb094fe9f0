"""Facts about single statements of servers' configurations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from sslint import certificates
from sslint.engine import Many, Span, Subject
from sslint.facts.fact import Fact, Fields, Places, field
from sslint.host import scope_of
from sslint.regex import is_number, regex

if TYPE_CHECKING:
    from sslint.facts.collection import Facts
    from sslint.host import Host
    from sslint.renewal import Hook
    from sslint.servers import model
    from sslint.servers.model import ServerReading

# What stands there, for settings that have a name of sslint's own.
_LABELS = {
    "listen.http2": "the http2 parameter",
    "master.cf.orphan-options": "these options",
    "master.cf.unknown-service": "the service name",
    "relay": "relayhost",
    "virtualhost.plain-first": "this virtual host comes first",
    "listen.ipv6-lost": "this socket is lost",
    "site.not-included": "no Include reads this",
    "site.dangling": "this passes over the link",
    "server_name.swallowed": "no ; ends this line",
}


# What depends on the names of the block, or is another place.
_OF_BLOCKS = frozenset(("hsts", "related"))
_ABOUT_PORTS = ("virtualhost.plain-first", "listen.ipv6-lost")
_LEGACY = regex(r"(?<![!\w.-])(SSLv2|SSLv3|TLSv1(?:\.[01])?)(?![\w.])")
_MINIMUM = regex(r">=?\s*(SSLv3|TLSv1(?:\.[01])?)(?![\w.])")


def settings(facts: Facts) -> Many[Setting]:
    """Return a fact for each statement that a rule may ask for.

    A statement of a file that the distribution ships, and the tree does not hold, is judged only by
    what comes of it: nobody chose it, and its release may be a guess.
    """
    shipped = facts.host.shipped
    theirs = shipped.files if shipped is not None else ()
    found = [
        (setting, context)
        for context in (_Context(facts.host, reading) for reading in facts.started)
        for setting in context.reading.settings
        if setting.location.file.path not in theirs
    ]
    keys = [
        (id(context), one.name, one.value, one.scope, one.arguments, one.offered)
        for one, context in found
    ]
    return Many(keys, lambda number: Setting(facts, *found[number]), _OF_BLOCKS)


class _Context:
    """What the statements of one server are asked with."""

    def __init__(self, host: Host, reading: ServerReading) -> None:
        self.host = host
        self.reading = reading

    @field
    def plain(self) -> Mapping[str, Sequence[str]]:
        """The names that are served over HTTP alone, by each domain that they are below."""
        return _plain_names(self.reading)

    @field
    def quic(self) -> Sequence[int]:
        """The UDP ports on which clients reach HTTP/3, those that NAT maps to one among them."""
        ports = {s.endpoint.port for s in self.host.sockets if s.endpoint.protocol == "h3"}
        nat = self.host.target.intent.nat
        outer = {o for (kind, o), inner in nat.items() if kind == "udp" and inner[1] in ports}
        return sorted(ports | outer)

    @field
    def hooks(self) -> Sequence[Hook]:
        """Every hook of certbot."""
        renewal = self.host.renewal
        return [*renewal.hooks, *(hook for lineage in renewal.lineages for hook in lineage.hooks)]


class Setting(Fact):
    """A statement of a server's configuration."""

    source: model.Setting

    server: str
    "The server."
    name: str
    "Its name."
    value: str | None
    "Its value."
    scope: str
    "The server's own word for where it stands."
    arguments: tuple[str, ...]
    "Its other words."

    def __init__(self, facts: Facts, source: model.Setting, context: _Context) -> None:
        entity = f"{source.server} {source.name}"
        # What is wrong with a port explains what else is found there.
        port = source.value or "" if source.name in _ABOUT_PORTS else ""
        about: frozenset[Subject] = frozenset({("tcp", int(port))} if is_number(port) else ())
        if source.name == "server_name.swallowed" and source.site is not None:
            listens = context.reading.sites[source.site].listens
            about = frozenset((transport, number) for transport, _, number, _ in listens)
        super().__init__(facts, source, entity, subjects=about)
        self._context = context

    @field
    def span(self) -> Span:
        """The statement."""
        return Span(self.source.location, _LABELS.get(self.source.name, self.source.name))

    @field
    def server_version(self) -> tuple[int, ...] | None:
        """The version of the server."""
        return self._context.reading.version or None

    @field
    def any_tls(self) -> bool:
        """A listener of the server offers TLS."""
        return any(one.tls != "none" for one in self._context.reading.endpoints)

    @field
    def related(self) -> Places:
        """The other place that it is about."""
        place = self.source.related
        return (Span(place, "here"),) if place is not None else ()

    @field
    def legacy_protocols(self) -> tuple[str, ...] | None:
        """Outdated TLS versions that it names positively."""
        if self.value is None or "protocol" not in self.name:
            return None
        text = " ".join((self.value, *self.arguments))
        if not self.source.offered:
            return None
        if self.name == "ssl_min_protocol":
            text = f">={text}"
        found = _MINIMUM.findall(text) if ">" in text else _LEGACY.findall(text)
        return tuple(dict.fromkeys(found)) or None

    @field
    def relay(self) -> Relay | None:
        """Where a mail server relays to."""
        if self.name != "relay" or len(self.arguments) < 3:
            return None
        name, port, wrapped = self.arguments[:3]
        own = scope_of(name) == "loopback" or name == "localhost"
        return Relay(own, int(port) if is_number(port) else None, wrapped == "yes")

    @field
    def alt_svc(self) -> AltSvc | None:
        """What an Alt-Svc header says."""
        if self.name != "Alt-Svc" or self.value is None:
            return None
        return AltSvc(self.value, self._context.quic)

    @field
    def hsts(self) -> Hsts | None:
        """What Strict-Transport-Security demands (RFC 6797)."""
        if self.name != "Strict-Transport-Security" or self.value is None:
            return None
        number = self.source.site
        sites = self._context.reading.sites
        names = sites[number].names if number is not None else ()
        return Hsts(self.value, names, self._context.plain)

    @property
    def _is_authority(self) -> bool:
        return self.name in ("ssl_ca", "ssl_server_ca_file")

    @field
    def client_certificates(self) -> bool | None:
        """For a file of authorities: client certificates are asked for."""
        switches = ("ssl_verify_client_cert", "ssl_server_request_client_cert")
        wanted = (*switches, "auth_ssl_require_client_cert")
        settings = self._context.reading.settings
        asked = any(s.name in wanted and s.value == "yes" for s in settings)
        return asked if self._is_authority else None

    @field
    def leaf_only(self) -> bool | None:
        """For the same: a certificate of the server is served without its issuer's."""
        if not self._is_authority:
            return None
        statuses = {
            certificates.load(self._host.tree, ref).chain_status
            for endpoint in self._context.reading.endpoints
            for ref in endpoint.certificates
        }
        return None if statuses <= {"unknown"} else "leaf-only" in statuses

    @field
    def postmap_hook(self) -> bool | None:
        """For a map of certificates by name: a hook runs postmap -F."""
        if self.name != "tls_server_sni_maps":
            return None
        return any("postmap" in hook.text and hook.runs for hook in self._context.hooks)

    @field
    def postmap_hook_opaque(self) -> bool | None:
        """For the same: a hook does what is not seen, or the hooks were not given."""
        if self.name != "tls_server_sni_maps":
            return None
        opaque = any(hook.opaque() for hook in self._context.hooks if hook.runs)
        return opaque or not self._host.renewal.known


class Relay(NamedTuple):
    """Where a mail server relays to."""

    loopback: bool
    "It is this host."
    port: int | None
    "Its port."
    wrapped: bool
    "smtp_tls_wrappermode is on."


class AltSvc(Fields):
    """An Alt-Svc header."""

    source: str

    def __init__(self, source: str, quic: Sequence[int]) -> None:
        super().__init__(source)
        self._quic = quic

    @field
    def _first(self) -> tuple[str | None, int | None] | None:
        from sslint.servers.headers import alternatives

        named = ((name, port) for kind, name, port in alternatives(self.source) if kind == "h3")
        return next(named, None)

    @field
    def h3_port(self) -> int | None:
        """The port of its first offer of h3."""
        return self._first[1] if self._first is not None else None

    @field
    def own_host(self) -> bool:
        """That offer names no other host."""
        return self._first is not None and not self._first[0]

    @field
    def quic_ports(self) -> tuple[int, ...]:
        """The UDP ports on which clients reach HTTP/3."""
        return tuple(self._quic)

    @field
    def any_quic(self) -> bool:
        """There is such a port."""
        return bool(self._quic)

    @field
    def served(self) -> bool | None:
        """HTTP/3 is served on the port that it offers."""
        return self.h3_port in self._quic if self.h3_port is not None else None


class Hsts(Fields):
    """A Strict-Transport-Security header."""

    source: str

    def __init__(
        self, source: str, names: Sequence[str], plain: Mapping[str, Sequence[str]]
    ) -> None:
        super().__init__(source)
        self._directives = [part.strip().lower() for part in source.split(";")]
        self._names = names
        self._plain = plain

    @field
    def subdomains(self) -> bool:
        """It has includeSubDomains."""
        return "includesubdomains" in self._directives

    @field
    def max_age(self) -> int | None:
        """Its max-age in seconds."""
        ages = [d.partition("=")[2].strip('" ') for d in self._directives if d[:7] == "max-age"]
        known = ages and is_number(ages[0]) and len(ages[0]) < 12
        return int(ages[0]) if known else None

    @field
    def unserved(self) -> str | None:
        """A name below those of its server block that is served over HTTP only."""
        below = (name for d in self._names for name in self._plain.get(f".{d.lower()}", ()))
        return next(below, None)


def _plain_names(reading: ServerReading) -> dict[str, list[str]]:
    """Return the names that are served over HTTP alone, by each domain that they are below."""
    exact: set[str] = set()
    suffixes: set[str] = set()
    for site in reading.sites:
        for name in site.names if site.tls else ():
            if name.startswith("~"):
                return {}  # what a regular expression means is not judged
            if name.startswith((".", "*.")):
                suffixes.add(name.lstrip("*").lower())  # of any depth: ngx_http_core_module
            exact.add(name.removeprefix(".").lower())
    found: dict[str, list[str]] = {}
    for site in reading.sites:
        for name in site.names if not site.tls else ():
            if name.startswith(("~", ".")) or "*" in name or name.lower() in exact:
                continue
            above = [name.lower()[at:] for at, letter in enumerate(name) if letter == "."]
            if not suffixes.intersection(above):
                for domain in above:
                    found.setdefault(domain, []).append(name)
    return found
