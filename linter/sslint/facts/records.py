"""Facts about DNS records and MTA-STS policies, joined with what this host serves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from sslint.announcements.zones import https_endpoint
from sslint.certificates import Certificate, covers, load
from sslint.engine import Span
from sslint.facts.fact import Loose
from sslint.facts.renewal import users
from sslint.facts.services import listening
from sslint.host import web_server
from sslint.servers.model import CertificateRef

if TYPE_CHECKING:
    from sslint.announcements.model import Record, StsPolicy
    from sslint.facts.announcements import Whereabouts
    from sslint.host import Host, Socket

STS = "mta-sts."
CLIENT_NAMES = ("autoconfig.", "autodiscover.", STS)
_TLSA = re.compile(r"^_(\d{1,5})\._(tcp|udp)\.(.+)$")
_DNS_HOOK = re.compile(r"nsupdate|tlsa|dnscontrol|octodns|knotc|rndc", re.I)


def records(host: Host, whereabouts: Whereabouts) -> list[Loose]:
    """Return a fact for each record that rules look at."""
    return [_record(host, whereabouts, record) for record in host.announced.records]


def _record(host: Host, whereabouts: Whereabouts, record: Record) -> Loose:
    here = whereabouts.here(record.name)
    related: tuple[Span, ...] = ()
    values: dict[str, Any] = {
        "name": record.name,
        "type": record.type,
        "zone": record.zone,
        "here": here,
        "target": None,
        "target_problem": None,
        "tlsa": None,
        "ipv6_unserved": None,
        "unserved_name": None,
        "https_problem": None,
        "https_detail": None,
    }
    if record.type in ("SRV", "MX"):
        target = _target(record)
        values["target"] = target
        values["target_problem"] = _target_problem(host, record, target)
    elif record.type == "TLSA":
        values["tlsa"], related = _tlsa(host, whereabouts, record)
    elif record.type == "AAAA" and here:
        values["ipv6_unserved"], related = _ipv6_unserved(host, whereabouts, record)
    elif record.type == "HTTPS":
        values["https_problem"], values["https_detail"] = _https_problem(host, whereabouts, record)
    if record.type in ("A", "AAAA", "CNAME") and record.name.startswith(CLIENT_NAMES):
        alias = record.type == "CNAME"
        target = str(record.data.target.to_text()) if alias else record.name
        points_here = whereabouts.here(target) or _points_here(whereabouts, record.name)
        asked = not record.name.startswith(STS) or _sts_told(host, record.name.removeprefix(STS))
        again = record.type == "AAAA" and bool(host.announced.find(record.name, "A"))
        if points_here and asked and not again:
            values["unserved_name"] = _unserved(host, record.name)
    return Loose(
        entity=f"{record.type} {record.name}",
        values=values,
        span=Span(record.location, f"{record.type} record"),
        spans={"related": related},
        subjects=frozenset({("record", record.name)}),
        source=record,
    )


def _target(record: Record) -> str:
    name = record.data.target if record.type == "SRV" else record.data.exchange
    return str(name.to_text()).rstrip(".").lower()


def _target_problem(host: Host, record: Record, target: str) -> str | None:
    """Say what is wrong with a target: RFC 2782, RFC 2181 section 10.3."""
    if not target:
        return None
    if re.fullmatch(r"[0-9.]+", target):
        return "is an address, but must be a name"
    zone = host.announced.zone_of(target)
    if zone is None:
        return None
    if zone and target.endswith(f".{zone}.{zone}"):
        return "lacks its final dot, so it has the zone's name twice"
    if host.announced.find(target, "CNAME"):
        return "is an alias (CNAME), but must be a name with addresses"
    if not host.announced.addresses(target, "A") and not host.announced.addresses(target, "AAAA"):
        return "has no address in the zone"
    return None


def _points_here(whereabouts: Whereabouts, name: str) -> bool:
    return any(whereabouts.over(name, family) for family in (4, 6))


# -- TLSA: RFC 6698, RFC 7671, RFC 7672 ------------------------------------------------------------


def _tlsa(
    host: Host, whereabouts: Whereabouts, record: Record
) -> tuple[dict[str, Any] | None, tuple[Span, ...]]:
    match = _TLSA.match(record.name)
    if match is None:
        return None, ()
    port, transport, name = int(match.group(1)), match.group(2), match.group(3)
    here = whereabouts.here(name) and not host.announced.find(record.name, "CNAME")
    data = record.data
    values: dict[str, Any] = {
        "usage": data.usage,
        "selector": data.selector,
        "matching": data.mtype,
        "port": port,
        "host": name,
        "smtp": port == 25,
        "listener": listening(host, transport, port) if here else None,
        "matches": None,
        "rotates": None,
        "updated": False,
        "lineage": "",
    }
    if not here:
        return values, ()
    sockets = [
        s
        for s in host.sockets
        if (s.endpoint.transport, s.endpoint.port) == (transport, port) and s.scope != "loopback"
    ]
    refs = list(dict.fromkeys(ref for s in sockets for ref in _served(s, name)))
    served = [c for ref in refs if (c := load(host.tree, ref)).leaf is not None]
    siblings = [r.data for r in host.announced.find(record.name, "TLSA")]
    if refs and len(served) == len(refs):
        # Each certificate that may be served (RSA and ECDSA) needs a record of its own.
        values["matches"] = all(any(_matches(s, c) for s in siblings) for c in served)
    for lineage in host.renewal.lineages:
        used = users(host, lineage).values()
        if any(ref.path == own.path for ref in refs for own in used):
            values["lineage"] = lineage.name
            values["updated"] = len(siblings) > 1 or any(
                _DNS_HOOK.search(hook.text) for hook in lineage.hooks
            )
            if data.usage == 3:
                reuse = lineage.parameters.get("reuse_key", "False") == "True"
                values["rotates"] = data.selector == 0 or not reuse
    return values, tuple(Span(s.endpoint.location, "served here") for s in sockets[:1])


def _served(socket: Socket, name: str) -> list[CertificateRef]:
    refs = socket.endpoint.certificates
    named = [ref for ref in refs if any(covers([own], name) for own in ref.names)]
    return named or [ref for ref in refs if not ref.names] or list(refs[:1])


def _matches(data: Any, certificate: Certificate) -> bool:
    """Tell whether a record fits a chain: usage 3 and 1 the leaf, 2 and 0 an issuer."""
    links = certificate.sent[:1] if data.usage in (1, 3) else certificate.sent
    return any(link.association(data.selector, data.mtype) == data.cert for link in links)


# -- names -----------------------------------------------------------------------------------


def _ipv6_unserved(
    host: Host, whereabouts: Whereabouts, record: Record
) -> tuple[str | None, tuple[Span, ...]]:
    """Return the TLS ports of a name that are served over IPv4 alone."""
    if whereabouts.over(record.name, 6) is not True or whereabouts.over(record.name, 4) is False:
        return None, ()
    by_port: dict[tuple[str, int], set[int]] = {}
    first: dict[tuple[str, int], Socket] = {}
    for socket in host.sockets:
        endpoint = socket.endpoint
        key = (endpoint.transport, endpoint.port)
        if socket.scope == "loopback" or endpoint.transport != "tcp":
            continue
        families = by_port.setdefault(key, set())
        families |= {6} if socket.ipv6 is not None else set()
        families |= {4} if socket.ipv4 is not None else set()
        if endpoint.tls in ("implicit", "starttls") and endpoint.certain:
            serves = not endpoint.names or any(covers([n], record.name) for n in endpoint.names)
            if serves:
                first.setdefault(key, socket)
    lacking = [key for key in first if by_port[key] == {4}]
    text = ", ".join(f"{transport}/{port}" for transport, port in sorted(lacking))
    spans = tuple(Span(first[key].endpoint.location, "listens on IPv4 only") for key in lacking)
    return text or None, spans


def _unserved(host: Host, name: str) -> str | None:
    """Say how a name that clients ask over HTTPS is not served; None where all is well."""
    secure = [
        s.endpoint
        for s in host.sockets
        if s.endpoint.protocol == "https" and s.endpoint.port == 443 and s.scope != "loopback"
    ]
    reading = web_server(host, 443)
    unread = (r for r in (*host.readings, *host.programs) if not r.knows.sites)
    others = (endpoint for other in unread for endpoint in other.endpoints)
    if reading is None or not reading.complete or any(e.port == 443 for e in others):
        return None
    if not secure:
        return "nothing serves HTTPS here"
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
        return "no served certificate covers the name"
    if not named and not leaves:
        return None  # the default server answers, with a certificate that is not known
    if not named and not any(covers(leaf.names, name) for leaf in leaves):
        return "no server block has the name"
    return None


_Problem = tuple[str | None, str | None]
_NO_PROBLEM: _Problem = (None, None)


def _https_problem(host: Host, whereabouts: Whereabouts, record: Record) -> _Problem:
    """Return how an HTTPS record differs from what is served: a code and its detail (RFC 9460)."""
    target, port, alpn = https_endpoint(record)
    if not record.data.priority:
        zone = host.announced.zone_of(target)
        found = zone is not None and any(
            host.announced.addresses(target, kind) for kind in ("A", "AAAA")
        )
        return _NO_PROBLEM if zone is None or found else ("alias-without-address", target)
    if not whereabouts.here(target):
        return _NO_PROBLEM
    over_tcp = any(not a.startswith("h3") for a in alpn)
    if over_tcp and listening(host, "tcp", port) == "none":
        return "not-served", f"tcp/{port}"
    if any(a.startswith("h3") for a in alpn) and listening(host, "udp", port) == "none":
        return "no-quic", f"udp/{port}"
    parameters = {int(key): value for key, value in record.data.params.items()}
    for key, kind in ((4, "A"), (6, "AAAA")):
        hints = {str(a) for a in getattr(parameters.get(key), "addresses", ())}
        known = {r.data.to_text() for r in host.announced.addresses(target, kind)}  # type: ignore[arg-type]
        if hints and known and not hints <= known:
            return "wrong-hint", ", ".join(sorted(hints - known))
    return _NO_PROBLEM


# -- MTA-STS: RFC 8461 -----------------------------------------------------------------------


def policies(host: Host, whereabouts: Whereabouts) -> list[Loose]:
    """Return a fact for each MTA-STS policy."""
    return [_policy(host, whereabouts, policy) for policy in host.announced.policies]


def _policy(host: Host, whereabouts: Whereabouts, policy: StsPolicy) -> Loose:
    domain = policy.domain or _only_domain(host)
    exchanges = [_target(record) for record in host.announced.find(domain, "MX")] if domain else []
    problem = None
    uncovered = [name for name in exchanges if not _sts_match(policy.mx, name)]
    if not _sts_told(host, domain):
        pass  # nobody asks for the policy
    elif uncovered:
        problem = f"the mail exchanger {uncovered[0]} is not in its mx lines"
    else:
        problem = _sts_certificate(host, whereabouts, exchanges or policy.mx)
    return Loose(
        entity=f"MTA-STS policy {domain}".rstrip(),
        values={"mode": policy.mode, "domain": domain, "problem": problem},
        span=Span(policy.location, "mail exchangers"),
        spans={"mode_at": (Span(policy.mode_location, "the mode"),)},
        source=policy,
    )


def _sts_told(host: Host, domain: str) -> bool:
    """Tell whether a record announces a policy, as far as the zones say (RFC 8461, 3.1)."""
    name = f"_mta-sts.{domain}"
    if not domain or host.announced.zone_of(name) is None:
        return True
    return bool(host.announced.find(name, "TXT") or host.announced.find(name, "CNAME"))


def _only_domain(host: Host) -> str:
    domains = {record.name for record in host.announced.records if record.type == "MX"}
    return domains.pop() if len(domains) == 1 else ""


def _sts_match(patterns: Iterable[str], name: str) -> bool:
    """Match as RFC 8461, section 4.1 does: `*.` stands for one label."""
    return any(
        pattern == name or (pattern.startswith("*.") and pattern[2:] == name.partition(".")[2])
        for pattern in patterns
    )


def _sts_certificate(host: Host, whereabouts: Whereabouts, names: Sequence[str]) -> str | None:
    for name in names:
        if name.startswith("*.") or not whereabouts.here(name):
            continue
        for socket in host.sockets:
            endpoint = socket.endpoint
            if (endpoint.transport, endpoint.port) != ("tcp", 25) or socket.scope == "loopback":
                continue
            if endpoint.tls == "none":
                return f"{name} does not offer STARTTLS on tcp/25"
            found = [c for ref in _served(socket, name) if (c := load(host.tree, ref)).leaf]
            if found and not any(covers(c.names, name) for c in found):
                return f"the certificate of {name} on tcp/25 does not cover the name"
            if found and all(c.chain_status in ("leaf-only", "self-signed") for c in found):
                return f"the certificate of {name} on tcp/25 is not trusted"
    return None
