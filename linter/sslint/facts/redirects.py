"""Facts about redirects, and about where servers pass requests on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Literal

from sslint import certificates
from sslint.engine import Many, Span, Subject
from sslint.facts.certificates import is_public_name
from sslint.facts.fact import Fact, Places, field, of
from sslint.facts.ports import Listener, Tls, common_tls, listening
from sslint.facts.reach import Verdict
from sslint.host import listeners

if TYPE_CHECKING:
    from sslint.facts.collection import Facts
    from sslint.facts.services import Service
    from sslint.host import Host
    from sslint.servers import model
    from sslint.servers.model import CertificateRef, Endpoint, ServerReading

# What depends on the names and sockets of the block.
_OF_BLOCKS = frozenset(("answer", "answered_at", "from_ports", "misdirected"))
_Said = tuple["model.Redirect", "ServerReading", "model.Site | None", set[str]]
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1", "[::1]"})


def redirects(facts: Facts) -> Many[Redirect]:
    """Return a fact for each redirect to another URL."""
    found: list[_Said] = []
    keys: list[object] = []
    for reading in facts.started:
        served = set(chain.from_iterable([site.names for site in reading.sites]))
        for one in reading.redirects:
            site = _site(reading, one)
            own = one.own_name or (site is not None and one.host in site.names)
            found.append((one, reading, site, served))
            keys.append(
                (id(reading), one.scheme, one.host, one.port, one.conditional, one.own_name, own)
            )
    return Many(keys, lambda number: Redirect(facts, *found[number]), _OF_BLOCKS)


def _site(reading: ServerReading, said: model.Redirect | model.Upstream) -> model.Site | None:
    return reading.sites[said.site] if said.site < len(reading.sites) else None


def secure_endpoints(host: Host) -> dict[tuple[str, int], list[Endpoint]]:
    """Return the TCP sockets that speak TLS to others than this host, by server and port.

    Those of ports on which several programs listen, or one may not, are left out, and those where
    TLS ends elsewhere.
    """
    found: dict[tuple[str, int], list[Endpoint]] = {}
    for socket in host.sockets:
        endpoint = socket.endpoint
        if endpoint.transport == "tcp" and endpoint.tls != "none" and socket.scope != "loopback":
            found.setdefault((endpoint.server, endpoint.port), []).append(endpoint)
    return {
        (server, port): endpoints
        for (server, port), endpoints in found.items()
        if all(other.server == server for other in listeners(host, "tcp", port))
        and all(endpoint.certain for endpoint in endpoints)
        and ("tcp", port) not in host.target.intent.terminated_elsewhere
    }


class Redirect(Fact):
    """A redirect that a web server answers with."""

    source: model.Redirect

    scheme: str | None
    "http or https; not known where a variable says it."
    host: str | None
    "The host that it sends clients to."
    port: int | None
    "The port that it sends clients to."
    conditional: bool
    "It stands under an `if`."

    def __init__(
        self,
        facts: Facts,
        source: model.Redirect,
        reading: ServerReading,
        site: model.Site | None,
        served: set[str],
    ) -> None:
        self._reading = reading
        self._served = served  # the names of all its server blocks
        self._site = site
        self.source = source
        target = source.host or ("its own name" if self.own_name else "another name")
        entity = f"{reading.server} redirect to {source.scheme or '?'} on {target}"
        super().__init__(facts, source, entity)

    @field
    def span(self) -> Span:
        """The statement."""
        return Span(self.source.location, "redirects clients")

    @property
    def subjects(self) -> frozenset[Subject]:
        """The port that it sends clients to, and the certificates that answer there."""
        port = self.source.port
        found: set[Subject] = {("tcp", port)} if port else set()
        found |= {("certificate", ref.path) for _, ref in self._wrong if ref and ref.path}
        return frozenset(found)

    @field
    def own_name(self) -> bool:
        """It sends clients to a name of its own server block."""
        named = self._site is not None and self.source.host in self._site.names
        return self.source.own_name or named

    @field
    def from_ports(self) -> tuple[int, ...] | None:
        """The ports on which it is answered."""
        if self._site is None:
            return None
        return tuple(sorted({port for _, _, port, _ in self._site.listens}))

    @field
    def listener(self) -> Listener | None:
        """Whether any program listens on the port that it sends clients to.

        Where sites are only taken for enabled, the one that serves it may not have been given.
        """
        found = listening(self._host, "tcp", self.port) if self.port else None
        return None if found == "none" and self._reading.assumptions else found

    @field
    def attempted(self) -> bool:
        """A firewall rule names the port that it sends clients to."""
        return ("tcp", self.port) in self.facts.demand.openings

    @field
    def terminated_elsewhere(self) -> bool:
        """The configuration says that TLS ends elsewhere for that port."""
        return ("tcp", self.port) in self._host.target.intent.terminated_elsewhere

    any_tls: bool = of("facts.serves_https")
    "This host serves https at all."

    # -- the service there --------------------------------------------------------------------

    @property
    def _target(self) -> Service | None:
        found = self.facts.service_on("tcp", self.source.port)
        return found if found is not None and found.certain else None

    target_tls: Literal["implicit", "starttls", "none", "mixed"] | None = of("_target.tls")
    "How TLS stands on that port."
    target_reach: Verdict | None = of("_target.reach.public")
    "Who reaches that port."

    enforced: bool | None = of("_target.enforced")
    "The ruleset that decides there is in force, rather than one of several that may be."

    @field
    def decided_by(self) -> Places:
        """The lines that keep that port closed."""
        return self._target.decided_by if self._target is not None else ()

    # -- the certificate there ----------------------------------------------------------------

    @field
    def misdirected(self) -> tuple[str, ...]:
        """Names of this host that it leads to and that the certificate there does not cover."""
        return tuple(name for name, _ in self._wrong)

    @field
    def answer(self) -> Literal["other", "rejected"] | None:
        """What answers for them: another site's certificate, or a rejected handshake."""
        if not self._wrong:
            return None
        return "rejected" if self._wrong[0][1] is None else "other"

    @field
    def answered_at(self) -> Places:
        """The certificates that answer for them."""
        spans = (Span(ref.location, "answers there") for _, ref in self._wrong if ref)
        return tuple({span.location: span for span in spans}.values())

    @field
    def _wrong(self) -> Sequence[tuple[str, CertificateRef | None]]:
        """The names of this host to which https leads and for which another site answers.

        Each with the certificate that does, None where the handshake is rejected.
        """
        reading, source = self._reading, self.source
        if source.scheme != "https" or source.port is None:
            return ()
        endpoints = self.facts.secure_endpoints.get((reading.server, source.port))
        web = reading.web
        if endpoints is None or web is None:
            return ()
        found = []
        for name in self._names:
            if not is_public_name(name) or "*" in name:
                continue
            if name not in self._served and not self.facts.whereabouts.here(name):
                continue
            answers: list[CertificateRef] = []
            for endpoint in endpoints:
                refs = web.certificates(endpoint, name)
                if refs is None or self._right(refs, name):
                    break
                answers += refs[:1]
            else:
                found.append((name, answers[0] if answers else None))
        return found

    @property
    def _names(self) -> Sequence[str]:
        if self.source.own_name and self._site is not None:
            return self._site.names
        return (self.source.host or "",)

    def _right(self, refs: Sequence[CertificateRef], name: str) -> bool:
        """Tell whether one of several certificates has a name, or may have it."""
        known = self.facts.sent.get(id(refs))
        if known is None:
            leaves = [certificates.load(self._host.tree, ref).leaf for ref in refs]
            known = self.facts.sent[id(refs)] = refs, leaves
        for leaf in known[1]:
            if leaf is None or leaf.self_signed or certificates.covers(leaf.names, name):
                return True
        return False


# -- proxies ----------------------------------------------------------------------------------


def upstreams(facts: Facts) -> Many[Upstream]:
    """Return a fact for each place that requests are passed on to."""
    host = facts.host
    own = {*host.target.addresses, *LOCAL_NAMES}
    found = [
        (upstream, reading, _site(reading, upstream))
        for reading in (*host.readings, *host.programs)
        for upstream in reading.upstreams
    ]
    keys = [
        (
            *(reading.server, site and site.kind, one.scheme, one.host, one.port),
            *(one.proxy_protocol, one.passes_tls),
        )
        for one, reading, site in found
    ]
    return Many(keys, lambda number: Upstream(facts, *found[number], own))


class Upstream(Fact):
    """Where a server passes requests on."""

    source: model.Upstream

    scheme: str | None
    "http, https, tcp, tls, or the server's word."
    host: str | None
    "The host."
    port: int | None
    "The port."

    def __init__(
        self,
        facts: Facts,
        source: model.Upstream,
        reading: ServerReading,
        site: model.Site | None,
        own: set[str],
    ) -> None:
        entity = f"{reading.server} upstream {source.host or '?'}:{source.port or '?'}"
        super().__init__(facts, source, entity)
        self._own = own  # the addresses and names of this host
        self._site = site

    @field
    def span(self) -> Span:
        """The statement."""
        return Span(self.source.location, "proxies requests")

    @field
    def local(self) -> bool | None:
        """It is this host."""
        return None if self.host is None else self.host in self._own

    @field
    def passes_tls(self) -> bool:
        """A proxy of TCP connections, which passes TLS on as it is."""
        in_stream = self._site is not None and self._site.kind == "stream"
        return in_stream or self.source.passes_tls

    sends_proxy_protocol: bool = of("source.proxy_protocol")
    "It sends the PROXY header."

    @field
    def _targets(self) -> list[Endpoint]:
        if not self.local or self.port is None:
            return []
        return [e for e in self.facts.tcp_endpoints.get(self.port, ()) if e.certain]

    @field
    def target_tls(self) -> Tls | None:
        """How TLS stands on the listeners there."""
        return common_tls(self._targets)

    @field
    def target_protocol(self) -> str | None:
        """What the listener there speaks."""
        return self._targets[0].protocol if self._targets else None

    @field
    def target_known(self) -> bool:
        """Its listener is on this host."""
        return bool(self._targets)

    @field
    def header_fits(self) -> bool:
        """It sends the PROXY header where the listeners there expect it, and only there."""
        return {target.proxy_protocol for target in self._targets} == {self.sends_proxy_protocol}

    @field
    def target(self) -> Places:
        """The listener there."""
        return tuple(Span(t.location, "listens there") for t in self._targets[:1])
