"""Facts about DNS records, joined with what this host serves."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from sslint.announcements.zones import https_endpoint
from sslint.certificates import Certificate, covers, load
from sslint.engine import Span
from sslint.facts.fact import Fact, Fields, Places, field
from sslint.facts.ports import Listener, listening
from sslint.facts.renewal import users
from sslint.host import web_server
from sslint.regex import regex
from sslint.servers.model import CertificateRef

if TYPE_CHECKING:
    from sslint.announcements.model import Announced
    from sslint.announcements.model import Record as Source
    from sslint.facts.collection import Facts
    from sslint.host import Host, Socket
    from sslint.renewal import Lineage

STS = "mta-sts."
CLIENT_NAMES = ("autoconfig.", "autodiscover.", STS)
_TLSA = regex(r"^_(\d{1,5})\._(tcp|udp)\.(.+)$")
_DNS_HOOK = regex(r"nsupdate|tlsa|dnscontrol|octodns|knotc|rndc", re.I)


def records(facts: Facts) -> list[Record]:
    """Return a fact for each record that rules look at."""
    return [
        Record(
            facts,
            record,
            f"{record.type} {record.name}",
            Span(record.location, f"{record.type} record"),
            frozenset({("record", record.name)}),
        )
        for record in facts.host.announced.records
    ]


class Record(Fact):
    """A DNS record."""

    source: Source

    name: str
    "Its name."
    type: str
    "SRV, MX, AAAA, TLSA, HTTPS ..."
    zone: str
    "The origin that it stands under."

    @field
    def here(self) -> bool:
        """The name is this host's."""
        return self.facts.whereabouts.here(self.name)

    # -- SRV and MX ---------------------------------------------------------------------------

    @field
    def target(self) -> str | None:
        """The host that an SRV or MX record names."""
        return target(self.source) if self.type in ("SRV", "MX") else None

    @field
    def target_problem(self) -> Literal["address", "no-final-dot", "alias", "no-address"] | None:
        """What is wrong with that host: RFC 2782, RFC 2181 section 10.3."""
        name, announced = self.target, self._host.announced
        if not name:
            return None
        if re.fullmatch(r"[0-9.]+", name):
            return "address"
        zone = announced.zone_of(name)
        if zone is None:
            return None
        if zone and name.endswith(f".{zone}.{zone}"):
            return "no-final-dot"
        if announced.find(name, "CNAME"):
            return "alias"
        known = announced.addresses(name, "A") or announced.addresses(name, "AAAA")
        return None if known else "no-address"

    # -- TLSA ---------------------------------------------------------------------------------

    @field
    def tlsa(self) -> Tlsa | None:
        """What a TLSA record is about."""
        match = _TLSA.match(self.name) if self.type == "TLSA" else None
        return Tlsa(self.facts, self.source, match) if match is not None else None

    # -- AAAA ---------------------------------------------------------------------------------

    @field
    def ipv6_unserved(self) -> tuple[str, ...] | None:
        """TLS ports that are served over IPv4 and not over IPv6, for a name with an AAAA record
        here."""
        return tuple(f"{transport}/{port}" for transport, port in sorted(self._lacking)) or None

    @field
    def _lacking(self) -> dict[tuple[str, int], Socket]:
        over = self.facts.whereabouts.over
        if self.type != "AAAA" or not self.here:
            return {}
        if over(self.name, 6) is not True or over(self.name, 4) is False:
            return {}
        return _only_over_ipv4(self._host.sockets, self.name)

    @field
    def other_use(self) -> Literal["domain", "name-server"] | None:
        """What the name is published for beside the services of its host, if anything."""
        if self.name == self.zone:
            return "domain"
        others = (one for one in self._host.announced.records if one.type == "NS")
        return "name-server" if any(target(one) == self.name for one in others) else None

    @field
    def related(self) -> Places:
        """What serves the ports that the record is about."""
        if self.tlsa is not None:
            return self.tlsa.served_at
        sockets = self._lacking.values()
        return tuple(Span(s.endpoint.location, "listens on IPv4 only") for s in sockets)

    # -- names that clients look for ----------------------------------------------------------

    @field
    def unserved_name(self) -> Literal["no-https", "no-certificate", "no-block"] | None:
        """How a name for automatic configuration, or of an MTA-STS policy, is not served."""
        return _unserved(self.facts, self.name) if self._is_asked_for else None

    @property
    def _is_asked_for(self) -> bool:
        if self.type not in ("A", "AAAA", "CNAME") or not self.name.startswith(CLIENT_NAMES):
            return False
        whereabouts, announced = self.facts.whereabouts, self._host.announced
        alias = self.type == "CNAME"
        meant = str(self.source.data.target.to_text()) if alias else self.name
        leads_here = any(whereabouts.over(self.name, family) for family in (4, 6))
        told = not self.name.startswith(STS) or is_told(announced, self.name.removeprefix(STS))
        again = self.type == "AAAA" and bool(announced.find(self.name, "A"))
        return (whereabouts.here(meant) or leads_here) and told and not again

    # -- HTTPS: RFC 9460 ----------------------------------------------------------------------

    @field
    def https_problem(self) -> _HttpsProblem | None:
        """How an HTTPS record differs from what is served."""
        return self._https[0] if self._https is not None else None

    @field
    def https_detail(self) -> str | None:
        """The alias, port or addresses that differ."""
        return self._https[1] if self._https is not None else None

    @field
    def _https(self) -> tuple[_HttpsProblem, str] | None:
        if self.type != "HTTPS":
            return None
        host, record = self._host, self.source
        name, port, alpn = https_endpoint(record)
        if not record.data.priority:
            zone = host.announced.zone_of(name)
            found = zone is not None and any(
                host.announced.addresses(name, kind) for kind in ("A", "AAAA")
            )
            return None if zone is None or found else ("alias-without-address", name)
        if not self.facts.whereabouts.here(name):
            return None
        over_tcp = any(not a.startswith("h3") for a in alpn)
        if over_tcp and listening(host, "tcp", port) == "none":
            return "not-served", f"tcp/{port}"
        if any(a.startswith("h3") for a in alpn) and listening(host, "udp", port) == "none":
            return "no-quic", f"udp/{port}"
        wrong = _wrong_hints(host, record, name)
        return ("wrong-hint", ", ".join(wrong)) if wrong else None


_HttpsProblem = Literal["alias-without-address", "not-served", "no-quic", "wrong-hint"]


def target(record: Source) -> str:
    """Return the host that an SRV, NS or MX record names."""
    name = record.data.exchange if record.type == "MX" else record.data.target
    return str(name.to_text()).rstrip(".").lower()


def is_told(announced: Announced, domain: str) -> bool:
    """Tell whether a record announces a policy, as far as the zones say (RFC 8461, 3.1)."""
    name = f"_mta-sts.{domain}"
    if not domain or announced.zone_of(name) is None:
        return True
    return bool(announced.find(name, "TXT") or announced.find(name, "CNAME"))


def _wrong_hints(host: Host, record: Source, name: str) -> list[str]:
    """Return the address hints of an HTTPS record that are no addresses of its target."""
    parameters = {int(key): value for key, value in record.data.params.items()}
    kinds: tuple[tuple[int, Literal["A", "AAAA"]], ...] = ((4, "A"), (6, "AAAA"))
    for key, kind in kinds:
        hints = {str(a) for a in getattr(parameters.get(key), "addresses", ())}
        known = {r.data.to_text() for r in host.announced.addresses(name, kind)}
        if hints and known and not hints <= known:
            return sorted(hints - known)
    return []


def _only_over_ipv4(sockets: Sequence[Socket], name: str) -> dict[tuple[str, int], Socket]:
    """Return the TLS ports of a name that are served over IPv4 alone, each with a socket.

    Those of private addresses are not for the clients who look the name up.
    """
    families: dict[tuple[str, int], set[int]] = {}
    first: dict[tuple[str, int], Socket] = {}
    for socket in sockets:
        endpoint = socket.endpoint
        key = (endpoint.transport, endpoint.port)
        if socket.scope == "loopback" or endpoint.transport != "tcp":
            continue
        found = families.setdefault(key, set())
        found |= {6} if socket.ipv6 is not None or _proxied(socket) else set()
        found |= {4} if socket.ipv4 is not None else set()
        serves = not endpoint.names or any(covers([n], name) for n in endpoint.names)
        if endpoint.tls not in ("implicit", "starttls") or socket.scope != "any":
            continue
        if endpoint.certain and serves:
            first.setdefault(key, socket)
    return {key: socket for key, socket in first.items() if families[key] == {4}}


def _proxied(socket: Socket) -> bool:
    """Tell whether Docker's proxy may take IPv6 to a container's socket (firewalls/docker.py)."""
    if socket.container is None:
        return False
    outside = socket.container.outside(socket.endpoint.transport, socket.endpoint.port)
    return not outside or any(not address or ":" in address for address, _ in outside)


def _unserved(facts: Facts, name: str) -> Literal["no-https", "no-certificate", "no-block"] | None:
    """Say how a name that clients ask over HTTPS is not served; None where all is well."""
    host = facts.host
    secure = [
        s.endpoint
        for s in host.sockets
        if s.endpoint.protocol == "https" and s.endpoint.port == 443 and s.scope != "loopback"
    ]
    reading = web_server(host, 443)
    others = (endpoint for other in facts.without_sites for endpoint in other.endpoints)
    if reading is None or not reading.complete or any(e.port == 443 for e in others):
        return None
    if not secure:
        return "no-https"
    named = any(
        covers([own], name)
        for site in reading.sites
        if site.tls
        for own in site.names
        if "." in own
    )
    leaves = [
        leaf
        for endpoint in secure
        for ref in endpoint.certificates
        if (leaf := load(host.tree, ref).leaf) is not None
    ]
    if leaves and not any(covers(leaf.names, name) for leaf in leaves):
        return "no-certificate"
    if not named and not leaves:
        return None  # the default server answers, with a certificate that is not known
    if not named and not any(covers(leaf.names, name) for leaf in leaves):
        return "no-block"
    return None


# -- TLSA: RFC 6698, RFC 7671, RFC 7672 ------------------------------------------------------------


class Tlsa(Fields):
    """What a TLSA record is about."""

    source: Source

    def __init__(self, facts: Facts, source: Source, match: re.Match[str]) -> None:
        super().__init__(source)
        self._facts = facts
        self._transport = match[2]
        self._match = match

    @field
    def usage(self) -> int:
        """Which certificate it names: 0 to 3."""
        return int(self.source.data.usage)

    @field
    def selector(self) -> int:
        """1: the public key alone."""
        return int(self.source.data.selector)

    @field
    def matching(self) -> int:
        """How it is hashed."""
        return int(self.source.data.mtype)

    @field
    def port(self) -> int:
        """The port."""
        return int(self._match[1])

    @field
    def host(self) -> str:
        """The name of the host."""
        return self._match[3]

    @field
    def smtp(self) -> bool:
        """It is for mail: other clients do not ask."""
        return self.port == 25

    @field
    def _is_here(self) -> bool:
        announced = self._facts.host.announced
        here = self._facts.whereabouts.here(self.host)
        return here and not announced.find(self.source.name, "CNAME")

    @field
    def listener(self) -> Listener | None:
        """Whether any program listens there."""
        host = self._facts.host
        return listening(host, self._transport, self.port) if self._is_here else None

    @field
    def _sockets(self) -> list[Socket]:
        key = (self._transport, self.port)
        return [
            socket
            for socket in (self._facts.host.sockets if self._is_here else ())
            if (socket.endpoint.transport, socket.endpoint.port) == key
            and socket.scope != "loopback"
        ]

    @field
    def _refs(self) -> list[CertificateRef]:
        return list(dict.fromkeys(ref for s in self._sockets for ref in served(s, self.host)))

    @field
    def _siblings(self) -> list[Any]:
        return [r.data for r in self._facts.host.announced.find(self.source.name, "TLSA")]

    @field
    def matches(self) -> bool | None:
        """Some record of the same name matches what is served.

        Each certificate that may be served (RSA and ECDSA) needs a record of its own.
        """
        tree = self._facts.host.tree
        known = [c for ref in self._refs if (c := load(tree, ref)).leaf is not None]
        if not self._refs or len(known) != len(self._refs):
            return None
        return all(any(_matches(s, c) for s in self._siblings) for c in known)

    @field
    def _lineage(self) -> Lineage | None:
        found = None
        for lineage in self._facts.host.renewal.lineages if self._refs else ():
            used = users(self._facts.host, lineage).values()
            if any(ref.path == own.path for ref in self._refs for own in used):
                found = lineage
        return found

    @field
    def lineage(self) -> str:
        """The lineage of the certificate that is served, or ""."""
        return self._lineage.name if self._lineage is not None else ""

    @field
    def rotates(self) -> bool | None:
        """Its key is replaced at each renewal."""
        if self._lineage is None or self.usage != 3:
            return None
        reuse = self._lineage.parameters.get("reuse_key", "False") == "True"
        return self.selector == 0 or not reuse

    @field
    def updated(self) -> bool:
        """There is a second record, or a hook updates it."""
        if self._lineage is None:
            return False
        hooks = self._lineage.hooks
        return len(self._siblings) > 1 or any(_DNS_HOOK.search(hook.text) for hook in hooks)

    @field
    def served_at(self) -> Places:
        """What serves the certificate."""
        return tuple(Span(s.endpoint.location, "served here") for s in self._sockets[:1])


def served(socket: Socket, name: str) -> list[CertificateRef]:
    """Return the certificates that a client asking for a name may be served."""
    refs = socket.endpoint.certificates
    named = [ref for ref in refs if any(covers([own], name) for own in ref.names)]
    return named or [ref for ref in refs if not ref.names] or list(refs[:1])


def _matches(data: Any, certificate: Certificate) -> bool:
    """Tell whether a record fits a chain: usage 3 and 1 the leaf, 2 and 0 an issuer."""
    links = certificate.sent[:1] if data.usage in (1, 3) else certificate.sent
    return any(link.association(data.selector, data.mtype) == data.cert for link in links)
