"""Facts about server blocks, redirects, proxies and single settings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from sslint import certificates
from sslint.engine import Span, Subject
from sslint.facts import services
from sslint.facts.certificates import is_public_name
from sslint.facts.fact import Loose
from sslint.host import listeners, scope_of

if TYPE_CHECKING:
    from sslint.facts.announcements import Whereabouts
    from sslint.host import Host
    from sslint.servers.model import (
        CertificateRef,
        Endpoint,
        Redirect,
        ServerReading,
        Setting,
        Site,
        Upstream,
    )

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1", "[::1]"})

# What stands there, for settings that have a name of sslint's own.
_LABELS = {
    "listen.http2": "the http2 parameter",
    "master.cf.orphan-options": "these options",
    "master.cf.unknown-service": "the service name",
    "relay": "relayhost",
}


def sites(host: Host) -> list[Loose]:
    """Return a fact for each server block."""
    found = []
    for reading in host.readings:
        blocks = _Blocks(reading)
        owners: dict[tuple[str, str, str, int], Site] = {}
        for number, site in enumerate(reading.sites):
            if reading.sites_assumed:
                owners = {}
            fact = _site(blocks.settings.get(number, ()), site, owners)
            _add_certificate(host, blocks, number, site, fact)
            found.append(fact)
    return found


class _Blocks:
    """The server blocks of one reading: what each says, and who answers by default."""

    def __init__(self, reading: ServerReading) -> None:
        self.settings: dict[int | None, list[Setting]] = {}
        for setting in reading.settings:
            self.settings.setdefault(setting.site, []).append(setting)
        self.from_file = any(s.name == "ssl_stapling_file" for s in reading.settings)
        # By kind and socket: the block with a certificate that comes first, a default before all.
        self._first: dict[tuple[str, str, str, int], tuple[bool, int, Site]] = {}
        for number, site in enumerate(reading.sites):
            for transport, address, port, default in site.listens if site.certificates else ():
                key = (site.kind, transport, address, port)
                entry = (not default, number, site)
                self._first[key] = min(self._first.get(key, entry), entry, key=lambda e: e[:2])

    def default_of(self, site: Site) -> Site | None:
        """Return the block that lends its certificate to one without, on the same sockets."""
        lenders = [
            found
            for transport, address, port, _ in site.listens
            if (found := self._first.get((site.kind, transport, address, port))) is not None
        ]
        return min(lenders, key=lambda e: e[:2])[2] if lenders else None


def _site(
    settings: Sequence[Setting],
    site: Site,
    owners: dict[tuple[str, str, str, int], Site],
) -> Loose:
    certificate = next(iter(site.certificates), None)
    name = next((name for name in site.names if "$" not in name), "")
    taken: dict[str, Site] = {}
    for transport, address, port, _default in site.listens:
        for own in site.names:
            if own in ("", "_") or own.startswith("~") or "$" in own:
                continue
            owner = owners.setdefault((own, transport, address, port), site)
            if owner is not site:
                taken[own] = owner
    advertised = [
        Span(setting.location, "advertises HTTP/3")
        for setting in settings
        if _advertises_h3(setting)
    ]
    sockets = {(transport, port) for transport, _, port, _ in site.listens}
    return Loose(
        entity=f"{site.server} server block {name}".rstrip(),
        values={
            "server": site.server,
            "kind": site.kind,
            "names": list(site.names),
            "name": name or "(no name)",
            "ports": sorted({port for _, _, port, _ in site.listens}),
            "tls": site.tls,
            "has_certificate": site.own_certificate,
            "from_snippet": certificate is not None
            and certificate.location.file is not site.location.file,
            "certificate": certificate.path if certificate else None,
            "duplicate_names": ", ".join(sorted(taken)) or None,
            "advertises_h3": bool(advertised),
            "quic": any(transport == "udp" for transport, _ in sockets),
        },
        span=Span(
            certificate.location if certificate and site.own_certificate else site.location,
            "this certificate is never served" if site.tls is False else "this server block",
        )
        if not taken
        else Span(site.location, "this block is never used for it"),
        spans={
            "block": (Span(site.location, "no listen of this block has ssl"),),
            "first_owner": tuple(
                {
                    o.location: Span(o.location, "this block is used for it")
                    for o in taken.values()
                }.values()
            ),
            "advertised_at": tuple(advertised),
        },
        subjects=frozenset(sockets),
        source=site,
    )


def _add_certificate(host: Host, blocks: _Blocks, number: int, site: Site, fact: Loose) -> None:
    """Say which certificate a block without one is answered with, and what is stapled."""
    stapling = [
        setting
        for scope in (None, number)
        for setting in blocks.settings.get(scope, ())
        if setting.name == "ssl_stapling"
    ]
    switched_on = bool(stapling) and stapling[-1].value == "on" and not blocks.from_file
    default = blocks.default_of(site) if site.tls and not site.certificates else None
    named = [name for name in site.names if name not in ("", "_") and not name.startswith("~")]
    fact.values.update(
        {
            "stapling": switched_on,
            "certificate_ocsp": _ocsp(host, site) if switched_on else None,
            "named": bool(named),
            "borrowed_certificate": default is not None and not site.rejects_handshake,
            "borrowed_covers": _covered(host, default, named) if default is not None else None,
        }
    )
    fact.spans["stapling_at"] = tuple(Span(s.location, "switched on") for s in stapling[-1:])
    if default is not None:
        fact.spans["default_server"] = (Span(default.location, "the default server"),)


def _covered(host: Host, default: Site, names: Sequence[str]) -> bool | None:
    leaf = certificates.load(host.tree, default.certificates[0]).leaf
    return None if leaf is None else all(certificates.covers(leaf.names, name) for name in names)


def _ocsp(host: Host, site: Site) -> bool | None:
    leaves = [certificates.load(host.tree, ref).leaf for ref in site.certificates]
    known = [leaf.ocsp_url is not None for leaf in leaves if leaf is not None]
    return any(known) if known and len(known) == len(leaves) else None


def _advertises_h3(setting: Setting) -> bool:
    if setting.name == "Alt-Svc":
        return bool(setting.value and re.search(r"\bh3(-\d+)?=", setting.value))
    return setting.name == "http3" and setting.value == "on" and setting.scope == "server"


def redirects(host: Host, whereabouts: Whereabouts) -> list[Loose]:
    """Return a fact for each redirect to another URL."""
    return [
        _redirect(host, whereabouts, reading, redirect)
        for reading in host.readings
        for redirect in reading.redirects
    ]


def _redirect(
    host: Host, whereabouts: Whereabouts, reading: ServerReading, redirect: Redirect
) -> Loose:
    port = redirect.port
    site = reading.sites[redirect.site] if redirect.site < len(reading.sites) else None
    own = redirect.own_name or bool(site and redirect.host in site.names)
    target = redirect.host or ("its own name" if own else "another name")
    names = list(site.names) if redirect.own_name and site else [redirect.host or ""]
    wrong = _misdirected(host, whereabouts, reading, redirect, names)
    subjects: set[Subject] = {("tcp", port)} if port else set()
    subjects |= {("certificate", ref.path) for _, ref in wrong if ref is not None and ref.path}
    return Loose(
        entity=f"{reading.server} redirect to {redirect.scheme or '?'} on {target}",
        values={
            "scheme": redirect.scheme,
            "host": redirect.host,
            "port": port,
            "own_name": own,
            "conditional": redirect.conditional,
            "from_ports": sorted({p for _, _, p, _ in site.listens}) if site else None,
            "listener": services.listening(host, "tcp", port) if port else None,
            "misdirected": [name for name, _ in wrong],
            "answer": None if not wrong else "rejected" if wrong[0][1] is None else "other",
        },
        span=Span(redirect.location, "redirects clients"),
        spans={
            "answered_at": tuple(
                {r.location: Span(r.location, "answers there") for _, r in wrong if r}.values()
            )
        },
        subjects=frozenset(subjects),
        source=redirect,
    )


def _misdirected(
    host: Host,
    whereabouts: Whereabouts,
    reading: ServerReading,
    redirect: Redirect,
    names: Sequence[str],
) -> list[tuple[str, CertificateRef | None]]:
    """Return the names of this host to which https leads and for which another site answers.

    Each with the certificate that does, None where the handshake is rejected.
    """
    port = redirect.port
    if redirect.scheme != "https" or not port:
        return []
    if ("tcp", port) in host.target.intent.terminated_elsewhere:
        return []
    endpoints = [
        socket.endpoint
        for socket in host.sockets
        if socket.endpoint.server == reading.server
        and (socket.endpoint.transport, socket.endpoint.port) == ("tcp", port)
        and socket.endpoint.tls != "none"
        and socket.scope != "loopback"
    ]
    if not endpoints or any(e.server != reading.server for e in listeners(host, "tcp", port)):
        return []
    served = {name for site in reading.sites for name in site.names}
    found = []
    for name in names:
        if not is_public_name(name) or "*" in name:
            continue
        if name not in served and not whereabouts.here(name):
            continue
        answers = [_wrong_answer(host, reading, endpoint, name) for endpoint in endpoints]
        if all(wrong is not False for wrong in answers):
            found.append((name, next((a for a in answers if a), None)))
    return found


def _wrong_answer(
    host: Host, reading: ServerReading, endpoint: Endpoint, name: str
) -> CertificateRef | Literal[False] | None:
    """Return the certificate of another site that answers for a name, None for a rejection.

    False where the right one does, or where it cannot be said.
    """
    refs = reading.web.certificates(endpoint, name) if reading.web is not None else None
    if refs is None or not endpoint.certain:
        return False
    leaves = [certificates.load(host.tree, ref).leaf for ref in refs]
    for leaf in leaves:
        if leaf is None or leaf.self_signed or certificates.covers(leaf.names, name):
            return False
    return refs[0] if refs else None


def upstreams(host: Host) -> list[Loose]:
    """Return a fact for each place that requests are passed on to."""
    own = set(host.target.addresses) | LOCAL_NAMES
    return [
        _upstream(host, reading, upstream, own)
        for reading in (*host.readings, *host.programs)
        for upstream in reading.upstreams
    ]


def _upstream(host: Host, reading: ServerReading, upstream: Upstream, own: set[str]) -> Loose:
    local = None if upstream.host is None else upstream.host in own
    targets = [
        socket.endpoint
        for socket in host.sockets
        if local
        and socket.endpoint.transport == "tcp"
        and socket.endpoint.port == upstream.port
        and socket.endpoint.certain
    ]
    kinds = {target.tls for target in targets}
    site = reading.sites[upstream.site] if upstream.site < len(reading.sites) else None
    return Loose(
        entity=f"{reading.server} upstream {upstream.host or '?'}:{upstream.port or '?'}",
        values={
            "scheme": upstream.scheme,
            "host": upstream.host,
            "port": upstream.port,
            "local": local,
            "passes_tls": site is not None and site.kind == "stream",
            "target_words": "TLS" if kinds == {"implicit"} else "plain text",
            "target_tls": kinds.pop() if len(kinds) == 1 and "unknown" not in kinds else None,
            "target_protocol": targets[0].protocol if targets else None,
            "target_known": bool(targets),
            "target_proxy_protocol": any(target.proxy_protocol for target in targets),
            "sends_proxy_protocol": upstream.proxy_protocol,
        },
        span=Span(upstream.location, "proxies requests"),
        spans={"target": tuple(Span(t.location, "listens there") for t in targets[:1])},
        source=upstream,
    )


# -- single statements ------------------------------------------------------------------------

_LEGACY = re.compile(r"(?<![!\w.])(SSLv2|SSLv3|TLSv1(?:\.[01])?)(?![\w.])")
_MINIMUM = re.compile(r">=?\s*(SSLv3|TLSv1(?:\.[01])?)(?![\w.])")


def settings(host: Host) -> list[Loose]:
    """Return a fact for each statement that a rule may ask for.

    A statement of a file that the distribution ships, and the tree does not hold, is judged only by
    what comes of it: nobody chose it, and its release may be a guess.
    """
    theirs = host.shipped.files if host.shipped is not None else ()
    quic = _quic_ports(host)
    found = []
    for reading in host.readings:
        plain = _plain_names(reading)
        found += [
            _setting(host, reading, setting, plain, quic)
            for setting in reading.settings
            if setting.location.file.path not in theirs
        ]
    return found


def _setting(
    host: Host,
    reading: ServerReading,
    setting: Setting,
    plain: Mapping[str, Sequence[str]],
    quic: Sequence[int],
) -> Loose:
    values: dict[str, Any] = {
        "server": setting.server,
        "name": setting.name,
        "value": setting.value,
        "scope": setting.scope,
        "arguments": list(setting.arguments),
        "server_version": reading.version,
        "legacy_protocols": _legacy_protocols(setting),
        "relay": _relay(setting),
        "alt_svc": _alt_svc(setting, quic),
        **_client_authority(host, reading, setting),
        "hsts": _hsts(reading, setting, plain),
        **_postmap(host, setting),
    }
    related = (Span(setting.related, "here"),) if setting.related is not None else ()
    return Loose(
        entity=f"{setting.server} {setting.name}",
        values=values,
        span=Span(setting.location, _LABELS.get(setting.name, setting.name)),
        spans={"related": related},
        source=setting,
    )


def _legacy_protocols(setting: Setting) -> str | None:
    """Return the outdated versions that a statement names positively."""
    if setting.value is None or "protocol" not in setting.name:
        return None
    text = " ".join((setting.value, *setting.arguments))
    # Postfix's client side has parameters of the same form; they offer nothing to anyone.
    if setting.server == "postfix" and not setting.name.startswith(("smtpd_", "tlsproxy_")):
        return None
    if setting.name == "ssl_min_protocol":
        text = f">={text}"
    found = _MINIMUM.findall(text) if ">" in text else _LEGACY.findall(text)
    return ", ".join(dict.fromkeys(found)) or None


def _relay(setting: Setting) -> dict[str, Any] | None:
    if setting.name != "relay" or len(setting.arguments) < 3:
        return None
    host, port, wrapped = setting.arguments[:3]
    return {
        "loopback": scope_of(host) == "loopback" or host == "localhost",
        "port": int(port) if port.isdigit() else None,
        "wrapped": wrapped == "yes",
    }


def _client_authority(host: Host, reading: ServerReading, setting: Setting) -> dict[str, Any]:
    """Say whether Dovecot's authority file stands where the chain belongs."""
    if setting.name not in ("ssl_ca", "ssl_server_ca_file"):
        return {}
    switches = ("ssl_verify_client_cert", "ssl_server_request_client_cert")
    statuses = {
        certificates.load(host.tree, ref).chain_status
        for endpoint in reading.endpoints
        for ref in endpoint.certificates
    }
    return {
        "client_certificates": any(
            s.name in (*switches, "auth_ssl_require_client_cert") and s.value == "yes"
            for s in reading.settings
        ),
        "leaf_only": None if statuses <= {"unknown"} else "leaf-only" in statuses,
    }


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


def _hsts(
    reading: ServerReading, setting: Setting, plain: Mapping[str, Sequence[str]]
) -> dict[str, Any] | None:
    """Return what Strict-Transport-Security demands (RFC 6797), and a name that breaks under it."""
    if setting.name != "Strict-Transport-Security" or setting.value is None:
        return None
    directives = [part.strip().lower() for part in setting.value.split(";")]
    ages = [part.partition("=")[2].strip('" ') for part in directives if part.startswith("max-age")]
    age = int(ages[0]) if ages and ages[0].isdecimal() and len(ages[0]) < 12 else None
    domains = reading.sites[setting.site].names if setting.site is not None else ()
    unserved = next((name for d in domains for name in plain.get(f".{d.lower()}", ())), None)
    return {"subdomains": "includesubdomains" in directives, "max_age": age, "unserved": unserved}


def _postmap(host: Host, setting: Setting) -> dict[str, bool]:
    """Say whether a hook rebuilds Postfix's map of certificates."""
    if setting.name != "tls_server_sni_maps":
        return {}
    hooks = list(host.renewal.hooks)
    hooks += [hook for lineage in host.renewal.lineages for hook in lineage.hooks]
    return {
        "postmap_hook": any("postmap" in hook.text and hook.runs for hook in hooks),
        "postmap_hook_opaque": not host.renewal.known
        or any(hook.opaque() for hook in hooks if hook.runs),
    }


def _quic_ports(host: Host) -> list[int]:
    """Return the UDP ports on which clients reach HTTP/3, those that NAT maps to one among them."""
    ports = {socket.endpoint.port for socket in host.sockets if socket.endpoint.protocol == "h3"}
    nat = host.target.intent.nat
    outer = {o for (kind, o), inner in nat.items() if kind == "udp" and inner[1] in ports}
    return sorted(ports | outer)


def _alt_svc(setting: Setting, quic: Sequence[int]) -> dict[str, Any] | None:
    if setting.name != "Alt-Svc" or setting.value is None:
        return None
    from sslint.servers.nginx.settings import alternatives

    named = [
        (name, port) for protocol, name, port in alternatives(setting.value) if protocol == "h3"
    ]
    port = named[0][1] if named else None
    return {
        "h3_port": port,
        "own_host": bool(named) and not named[0][0],
        "any_quic": bool(quic),
        "quic_ports": list(quic),
        "served": port in quic if port is not None else None,
    }
