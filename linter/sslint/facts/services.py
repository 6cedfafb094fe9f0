"""Facts about sockets, services and listeners that are not opened."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sslint.engine import Span, enumerated
from sslint.facts import alternatives, coexistence, stock
from sslint.facts import reach as reaching
from sslint.facts.fact import Loose
from sslint.facts.proxies import STATEMENTS, only_proxies
from sslint.host import listeners, only_relays, owner_of, scope_of
from sslint.netfilter import addresses

if TYPE_CHECKING:
    from sslint.host import Host, Socket
    from sslint.intent import Intent
    from sslint.servers.model import Dormant, Endpoint

# How clients start on a port of this number: RFC 8314, RFC 9110 section 4.2, RFC 5804, RFC 3207.
EXPECTED_TLS = {
    **dict.fromkeys((443, 465, 993, 995, 8443, 9443), "implicit"),
    **dict.fromkeys((25, 110, 143, 587, 4190), "starttls"),
    80: "none",
}
MAIL_ACCESS = frozenset({"imap", "pop3", "sieve", "submission"})
TLS_WORDS = {
    "implicit": "TLS",
    "starttls": "STARTTLS",
    "none": "no TLS",
    "mixed": "TLS on some addresses",
    "unknown": "?",
}
_LISTENERS = {
    "implicit": "TLS listener",
    "starttls": "STARTTLS listener",
    "none": "listener without TLS",
    "mixed": "listener with TLS on some addresses",
    "unknown": "listener",
}


def endpoints(host: Host) -> list[Loose]:
    """Return a fact for each listening socket."""
    terminated = host.target.intent.terminated_elsewhere
    unsure = {
        listen[:3]
        for reading in host.readings
        for site in reading.sites
        if site.tls is None
        for listen in site.listens
    }
    return [_endpoint(socket, terminated, unsure) for socket in host.sockets]


def _endpoint(
    socket: Socket,
    terminated: frozenset[tuple[str, int]],
    unsure: Container[tuple[str, str, int]],
) -> Loose:
    endpoint = socket.endpoint
    place = (endpoint.transport, endpoint.address, endpoint.port)
    # What a server block includes and was not given may say that it is TLS.
    unknown = endpoint.tls == "unknown" or (endpoint.tls == "none" and place in unsure)
    # On an unusual port, the name of a Dovecot listener says what is meant: `imaps2`.
    secure = endpoint.server == "dovecot" and endpoint.service.startswith(("imaps", "pop3s"))
    by_name = "implicit" if secure and endpoint.port not in EXPECTED_TLS else None
    return Loose(
        entity=f"{endpoint.server} {endpoint.transport}/{endpoint.port}",
        values={
            "server": endpoint.server,
            "program": endpoint.server,
            "service": endpoint.service,
            "protocol": endpoint.protocol,
            "transport": endpoint.transport,
            "address": endpoint.address,
            "port": endpoint.port,
            "family": 6 if ":" in endpoint.address else 4,
            "scope": socket.scope,
            "tls": None if unknown else endpoint.tls,
            "tls_required": endpoint.tls_required,
            "names": list(endpoint.names),
            "certificates": [c.path for c in endpoint.certificates if c.path],
            "certain": endpoint.certain,
            "terminated_elsewhere": (endpoint.transport, endpoint.port) in terminated,
            "proxy_protocol": endpoint.proxy_protocol,
            "passthrough": endpoint.passthrough,
            "settings": dict(endpoint.settings),
            "expects": EXPECTED_TLS.get(endpoint.port) or by_name,
            "named": by_name is not None,
            "reach": reaching.values(socket.ipv4, socket.ipv6),
        },
        span=Span(endpoint.location, _LISTENERS[endpoint.tls]),
        subjects=frozenset({(endpoint.transport, endpoint.port)}),
        source=socket,
    )


# -- services -----------------------------------------------------------------------------------


def services(host: Host, facts: Mapping[str, Sequence[Loose]]) -> list[Loose]:
    """Return a fact for each (server, transport, port), its sockets together."""
    groups: dict[tuple[str, str, int], list[Socket]] = {}
    for socket in host.sockets:
        endpoint = socket.endpoint
        key = (endpoint.server, endpoint.transport, endpoint.port)
        groups.setdefault(key, []).append(socket)
    told = _Told(facts)
    found = [_service(key, sockets, told) for key, sockets in groups.items()]
    possible = coexistence.only_possible(host)
    trusted = any(setting.name in STATEMENTS for r in host.readings for setting in r.settings)
    _add_servers(found, host)
    for fact in found:
        key = (fact.values["server"], fact.values["transport"], fact.values["port"])
        fact.values["other_owner"] = any(
            endpoint.server != key[0] for endpoint in listeners(host, *key[1:])
        )
        fact.values["ipv4_elsewhere"] = 4 not in fact.values["families"] and _is_sent_elsewhere(
            host, groups[key][0].endpoint
        )
        fact.values["behind_proxies"] = fact.values["reach"][
            "public"
        ] == "limited" and only_proxies(host, fact.values["reach"]["open_to"])
        _add_intent(fact, host.target.intent)
        _add_certificate(fact, host)
        fact.values["enforced"] = _is_enforced(groups[key], possible)
        _add_running(fact, host)
        reading = host.reading(key[0])
        known = reading is None or reading.knows.sites
        _add_proxy_header(fact, facts["upstream"], trusted=trusted if known else None)
        if fact.values["protocol"] == "h3":
            _add_http3(fact, host)
    alternatives.add(found)
    return found


def _service(key: tuple[str, str, int], sockets: list[Socket], told: _Told) -> Loose:
    server, transport, port = key
    outward = [s for s in sockets if s.scope == "any"] or [
        s for s in sockets if s.scope == "private"
    ]
    shown = outward or sockets
    first = shown[0].endpoint
    ipv4 = reaching.best(s.ipv4 for s in shown if s.ipv4 is not None)
    ipv6 = reaching.best(s.ipv6 for s in shown if s.ipv6 is not None)
    kinds = {s.endpoint.tls for s in shown}
    tls = kinds.pop() if len(kinds) == 1 else ("unknown" if "unknown" in kinds else "mixed")
    certificates = _unique(c.path for s in shown for c in s.endpoint.certificates if c.path)
    what = f"{transport}/{port}"
    values: dict[str, Any] = {
        "server": server,
        "program": server,
        "service": first.service,
        "protocol": first.protocol,
        "transport": transport,
        "port": port,
        "tls": None if tls == "unknown" else tls,
        "tls_required": first.tls_required,
        "names": _unique(name for s in shown for name in s.endpoint.names),
        "scope": shown[0].scope,
        "addresses": [s.endpoint.address for s in shown],
        "families": [f for f, r in ((4, ipv4), (6, ipv6)) if r is not None],
        "certificates": certificates,
        "certain": any(s.endpoint.certain for s in shown),
        "proxy_protocol": any(s.endpoint.proxy_protocol for s in shown),
        "passthrough": any(s.endpoint.passthrough for s in shown),
        "settings": dict(first.settings),
        "expects": EXPECTED_TLS.get(port),
        "offers_tls": _offers_tls(shown, tls),
        "standard_port": port in EXPECTED_TLS and port not in (8443, 9443),
        "explicit": _is_explicit(first),
        "tls_over": _tls_by_family(shown),
        "tls_differs_by_family": len(set(_tls_by_family(shown).values())) > 1,
        "has_certificate": any(s.endpoint.certificates for s in shown),
        "cleartext_logins": any(_takes_cleartext(s.endpoint) for s in shown),
        "reach": reaching.values(ipv4, ipv6),
    }
    values.update(told.wanted(transport, port))
    message = _LISTENERS[tls]
    if certificates:
        message += f", certificate {certificates[0]}"
    return Loose(
        entity=f"{server} {what}",
        values=values,
        span=Span(first.span or first.location, message),
        spans={
            "decided_by": reaching.blocking_spans((ipv4, ipv6), what),
            "decided_by_ipv6": reaching.blocking_spans((ipv6,), what),
            "deciding": reaching.deciding_spans((ipv4, ipv6)),
            "sockets": tuple(Span(s.endpoint.location, "the same port") for s in shown[1:]),
            "announced_by": told.announced_by(transport, port),
            "opened_by": told.opened_by(transport, port),
        },
        subjects=frozenset({(transport, port)}),
        source=shown,
    )


def _offers_tls(sockets: Sequence[Socket], tls: str) -> bool | None:
    """Tell whether clients speak TLS on a port, to this server or to one that it passes them on."""
    if tls == "unknown":
        return (
            any(
                s.endpoint.passthrough and EXPECTED_TLS.get(s.endpoint.port) == "implicit"
                for s in sockets
            )
            or None
        )
    return tls in ("implicit", "starttls")


def _is_sent_elsewhere(host: Host, endpoint: Endpoint) -> bool:
    """Tell whether NAT leads the IPv4 clients of an endpoint's port away from it."""
    if host.firewall is None:
        return False
    reach = host.firewall.reach(endpoint.transport, endpoint.port, 4)
    return bool(reach.translated_by) and endpoint.port not in reach.reached_as


def _is_explicit(endpoint: Endpoint) -> bool:
    """Tell whether the configuration itself names a port.

    Dovecot's listeners have ports by default, and Debian's files name them with empty blocks; it
    has ManageSieve only if it is configured. Postfix's own master.cf opens `smtp` alone.
    """
    if endpoint.server == "postfix":
        return endpoint.port != 25
    name = endpoint.location.text.split("=")[0]
    asked = endpoint.protocol == "sieve" and name.strip() == "protocols"
    return endpoint.server != "dovecot" or "port" in name or asked


def _tls_by_family(sockets: Sequence[Socket]) -> dict[str, str]:
    """Return how TLS stands on the wildcard sockets of each family, where it is known."""
    found = {}
    for socket in sockets:
        endpoint = socket.endpoint
        if endpoint.tls != "unknown" and endpoint.address in ("0.0.0.0", "::"):  # noqa: S104
            family = "ipv6" if ":" in endpoint.address else "ipv4"
            found[family] = TLS_WORDS[endpoint.tls]
    return found


def _takes_cleartext(endpoint: Endpoint) -> bool:
    """Tell whether a listener certainly takes passwords before TLS."""
    if endpoint.tls == "implicit" or endpoint.tls_required is not False:
        return False
    if endpoint.server == "postfix":
        return dict(endpoint.settings).get("smtpd_sasl_auth_enable") == "yes"
    return endpoint.server == "dovecot" and endpoint.protocol in MAIL_ACCESS


class _Told:
    """What expects a port to be served: firewall rules, records, redirects, proxies."""

    def __init__(self, facts: Mapping[str, Sequence[Loose]]) -> None:
        self._openings = _by_port(facts["opening"])
        self._announcements = _by_port(facts["announcement"])
        self._redirects: dict[int, list[Loose]] = {}
        self._redirecting: set[int] = set()
        for redirect in facts["redirect"]:
            self._redirects.setdefault(redirect.values["port"], []).append(redirect)
            self._redirecting.update(redirect.values["from_ports"] or ())
        self._upstreams: dict[int, list[Loose]] = {}
        for upstream in facts["upstream"]:
            self._upstreams.setdefault(upstream.values["port"], []).append(upstream)
        self._any_ipv6 = any(6 in o.values["families"] for o in facts["opening"])
        self._http01 = any(lineage.values.get("http01") for lineage in facts["lineage"])

    def wanted(self, transport: str, port: int) -> dict[str, Any]:
        """Return the facts of a port."""
        attempts = [o.values for o in self._openings.get((transport, port), ())]
        announcements = [
            a.values for a in self._announcements.get((transport, port), ()) if a.values.get("here")
        ]
        tcp = transport == "tcp"
        redirects = self._redirects.get(port, ())
        upstreams = self._upstreams.get(port, ())
        return {
            "attempted": bool(attempts),
            "attempted_ipv4": any(4 in o["families"] for o in attempts),
            "attempted_ipv6": any(6 in o["families"] for o in attempts),
            "any_ipv6_attempted": self._any_ipv6,
            "announced": bool(announcements),
            "announced_ipv4": any(a.get("ipv4_here") for a in announcements),
            "announced_ipv6": any(a.get("ipv6_here") for a in announcements) or None,
            "redirect_target": tcp
            and any(r.values["own_name"] and not r.values["conditional"] for r in redirects),
            "redirects": tcp and port in self._redirecting,
            "upstream_target": any(u.values["local"] for u in upstreams),
            "documents_given": bool(self._announcements),
            "told_anywhere": bool(announcements or redirects or upstreams),
            "http01": port == 80 and self._http01,
        }

    def opened_by(self, transport: str, port: int) -> tuple[Span, ...]:
        """Return the rules of the firewall that name a port to open it."""
        return _places(self._openings, transport, port, f"opens {transport}/{port}")

    def announced_by(self, transport: str, port: int) -> tuple[Span, ...]:
        """Return where a port is published for clients."""
        return _places(self._announcements, transport, port, "it is published for clients")


def _by_port(facts: Iterable[Loose]) -> dict[tuple[str, int], list[Loose]]:
    found: dict[tuple[str, int], list[Loose]] = {}
    for fact in facts:
        found.setdefault((fact.values["transport"], fact.values["port"]), []).append(fact)
    return found


def _places(
    facts: Mapping[tuple[str, int], Sequence[Loose]], transport: str, port: int, message: str
) -> tuple[Span, ...]:
    found = facts.get((transport, port), ())
    return tuple(Span(fact.span.location, message) for fact in found if fact.span)


def _add_proxy_header(fact: Loose, upstreams: Sequence[Loose], *, trusted: bool | None) -> None:
    """Say who comes with a PROXY header that is not expected here, or without one that is.

    `trusted`: some load balancer is named whose header is believed; None where that is not read.
    """
    expected = fact.values["proxy_protocol"]
    senders = [
        upstream
        for upstream in upstreams
        if upstream.values["local"]
        and upstream.values["target_known"]
        and upstream.values["port"] == fact.values["port"]
        and fact.values["transport"] == "tcp"
        and upstream.values["sends_proxy_protocol"] != expected
    ]
    fact.values["proxy_pair_broken"] = bool(senders)
    fact.values["proxy_unexplained"] = None if trusted is None else expected and not trusted
    if not expected:
        words = "does not expect the PROXY header that the proxy on this host sends"
    elif senders:
        words = "expects the PROXY header, but the proxy on this host sends none"
    else:
        words = "expects the PROXY header, but everyone can connect without one"
    fact.values["proxy_words"] = words
    fact.spans["proxy_senders"] = tuple(u.span for u in senders if u.span is not None)


def _add_http3(fact: Loose, host: Host) -> None:
    """Say whether HTTP/3 is advertised on this port, and whether it is enabled."""
    reading = host.reading(fact.values["server"])
    if reading is not None and not reading.knows.sites:
        fact.values.update({"alt_svc": None, "http3": None, "alt_svc_gap": None})
        return
    settings = reading.settings if reading is not None else []
    told = [s for s in settings if s.name == "Alt-Svc" and s.value]
    port = fact.values["port"]
    fact.values["alt_svc"] = any(_names_http3(setting.value or "", port) for setting in told)
    switches = {setting.value for setting in settings if setting.name == "http3"}
    fact.values["http3"] = "off" if switches == {"off"} else "on"
    fact.values["alt_svc_gap"] = "no Alt-Svc header or HTTPS record advertises it"
    web = reading.web if reading is not None else None
    if web is None or any(setting.scope == "location" for setting in told):
        return
    dropped = web.dropped(port, "Alt-Svc", lambda value: _names_http3(value, port))
    if dropped is not None:
        fact.values["alt_svc_gap"] = "`location /` drops the Alt-Svc header"
        fact.values["alt_svc_dropped"] = True
        said = "this add_header stops the inheritance of the others"
        fact.spans["alt_svc_dropped_at"] = (Span(dropped, said),)


def _names_http3(value: str, port: int) -> bool:
    """Tell whether an Alt-Svc value offers h3 on this port, or may: browsers know no draft of it.

    A variable may be any port, and another host's port is not ours to judge.
    """
    from sslint.servers.nginx.settings import alternatives

    return any(
        protocol == "h3" and (host != "" or number in (None, port))
        for protocol, host, number in alternatives(value)
    )


def _add_intent(fact: Loose, intent: Intent) -> None:
    """Say who is meant to reach a port, and who does beside them."""
    key = (fact.values["transport"], fact.values["port"])
    fact.values["internal"] = key in intent.internal or intent.expose.get(key) == ()
    fact.values["terminated_elsewhere"] = key in intent.terminated_elsewhere
    audience = intent.expose.get(key)
    fact.values["for_some"] = False
    if key not in intent.expose and key not in intent.internal:
        return
    fact.values["audience"] = "public" if audience is None else ", ".join(audience) or "nobody"
    fact.values["for_some"] = audience is not None
    if key in intent.internal:
        audience, fact.values["audience"] = (), "nobody"
    if audience is None:
        return
    allowed = [addresses.network(text) for text in audience]
    beyond = [
        text
        for text in fact.values["reach"]["open_to"]
        if not _within(addresses.network(text), allowed)
    ]
    fact.values["beyond_audience"] = _networks(beyond)


def _networks(open_to: Sequence[str]) -> str | None:
    """Name the networks that reach a port; None where none does."""
    world = {"0.0.0.0/0": "IPv4", "::/0": "IPv6"}
    families = [world[text] for text in open_to if text in world]
    named = [text for text in open_to if text not in world][: 3 - len(families)]
    if families:
        over = f" over {families[0]}" if len(families) < len(world) else ""
        named.insert(0, f"the whole Internet{over}")
    return enumerated(named) or None


def _is_enforced(sockets: Sequence[Socket], possible: frozenset[str]) -> bool:
    """Tell whether a closed port is so by a ruleset that is in force, not one that may be."""
    closing = {
        coexistence.owner(decision.table)
        for socket in sockets
        if socket.scope != "loopback"
        for reach in socket.reaches
        for decision in reach.blocked_by
    }
    return not closing or bool(closing - possible)


def _add_certificate(fact: Loose, host: Host) -> None:
    """Say whose certificate is served."""
    reading = host.reading(fact.values["server"])
    if reading is not None and not reading.knows.certificates:
        fact.values["operator_certificate"] = None
        return
    sockets: Sequence[Socket] = fact.source  # type: ignore[assignment]
    references = (ref for socket in sockets for ref in socket.endpoint.certificates)
    fact.values["operator_certificate"] = stock.chosen_by_operator(host.tree, references)


def _add_running(fact: Loose, host: Host) -> None:
    """Say what the running firewall does with a port, where it was asked and differs."""
    if host.running is None:
        return
    verdicts: list[str] = []
    sockets: Sequence[Socket] = fact.source  # type: ignore[assignment]
    for socket in sockets:
        transport, port = socket.endpoint.transport, socket.endpoint.port
        if socket.ipv4 is not None:
            verdicts.append(host.running.reach(transport, port, 4).verdict)
        if socket.ipv6 is not None:
            verdicts.append(host.running.reach(transport, port, 6).verdict)
    fact.values["running"] = reaching.combined(verdicts)
    written = fact.values["reach"]["public"]
    words = {("open", "closed"): "closes", ("closed", "open"): "opens"}
    fact.values["drift"] = words.get((fact.values["running"], written))


def _within(
    network: tuple[int, tuple[int, int]], allowed: Sequence[tuple[int, tuple[int, int]]]
) -> bool:
    family, (low, high) = network
    return any(f == family and a <= low and high <= b for f, (a, b) in allowed)


def _add_servers(found: Sequence[Loose], host: Host) -> None:
    """Say what a server's own statements say about TLS on each of its ports."""
    rejecting: dict[str, set[int]] = {}
    modules: set[str] = set()
    incomplete = {
        reading.server
        for reading in host.readings
        if not reading.complete or not reading.knows.certificates
    }
    for reading in host.readings:
        for site in reading.sites:
            if site.rejects_handshake:
                ports = rejecting.setdefault(reading.server, set())
                ports.update(port for _, _, port, _ in site.listens)
        if any(setting.name == "more_set_headers" for setting in reading.settings):
            modules.add(reading.server)
    for fact in found:
        server = fact.values["server"]
        if server in incomplete and not fact.values["has_certificate"]:
            fact.values["has_certificate"] = None  # it may be in what was not given
        fact.values["rejects_handshake"] = fact.values["port"] in rejecting.get(server, ())
        fact.values["header_module"] = server in modules


def add_targets(host: Host, facts: Mapping[str, Sequence[Loose]]) -> None:
    """Say of redirects and announcements how the port that they send clients to is served."""
    by_port = {(f.values["transport"], f.values["port"]): f for f in facts["service"]}
    secure = any(
        fact.values["tls"] in ("implicit", "mixed") and fact.values["protocol"] == "https"
        for fact in facts["service"]
    )
    opened = {f.values["port"] for f in facts["opening"] if f.values["transport"] == "tcp"}
    for redirect in facts["redirect"]:
        port = redirect.values["port"]
        redirect.values["attempted"] = port in opened
        elsewhere = host.target.intent.terminated_elsewhere
        redirect.values["terminated_elsewhere"] = ("tcp", port) in elsewhere
        redirect.values["any_tls"] = secure
        target = by_port.get(("tcp", port))
        if target is not None:
            redirect.values["target_tls"] = target.values["tls"]
            redirect.values["target_reach"] = target.values["reach"]["public"]
            redirect.values["enforced"] = target.values["enforced"]
            redirect.spans["decided_by"] = target.spans["decided_by"]
    for told in facts["announcement"]:
        target = by_port.get((told.values["transport"], told.values["port"]))
        told.values["enforced"] = target is None or target.values["enforced"]


def add_unserved(facts: Mapping[str, Sequence[Loose]]) -> None:
    """Say of each server block without TLS which open port of the web has no listener."""
    unserved = [
        fact
        for fact in facts["opening"]
        if fact.values["owner"] == "nginx"
        and fact.values["transport"] == "tcp"
        and EXPECTED_TLS[fact.values["port"]] == "implicit"
        and fact.values["listener"] == "none"
        and fact.values["effective"]
        and fact.values["public"]
        and not fact.values["expected"]
    ]
    for site in facts["site"] if unserved else ():
        if site.values["has_certificate"] and not site.values["tls"]:
            site.values["unserved_port"] = unserved[0].values["port"]
            site.spans["opened_at"] = tuple(f.span for f in unserved if f.span is not None)
            site.subjects |= frozenset(subject for fact in unserved for subject in fact.subjects)


# -- dormant listeners --------------------------------------------------------------------------

_WHY = {
    "commented": "is commented out",
    "disabled": "is disabled",
    "absent": "is missing",
    "port-zero": "has port 0",
    "ssl-off": "is disabled by ssl = no",
    "protocol-off": "belongs to a protocol that is not enabled",
}


def dormant(host: Host, facts: Mapping[str, Sequence[Loose]]) -> list[Loose]:
    """Return a fact for each listener that is named or known but not opened."""
    told = _Told(facts)
    return [
        _dormant(host, listener, told)
        for reading in host.readings
        if not only_relays(reading)
        for listener in reading.dormant
    ]


def _dormant(host: Host, listener: Dormant, told: _Told) -> Loose:
    transport, port = listener.transport, listener.port
    wanted = told.wanted(transport, port)
    openings = told.opened_by(transport, port)
    by = [
        *(["the firewall opens it"] if openings else []),
        *(["it is published for clients"] if wanted["announced"] else []),
    ]
    related = listener.related
    return Loose(
        entity=f"{listener.server} {transport}/{port}",
        values={
            "server": listener.server,
            "service": listener.service,
            "protocol": listener.protocol,
            "transport": transport,
            "port": port,
            "reason": listener.reason,
            "why": _WHY[listener.reason],
            "explicit": listener.explicit,
            "announced": wanted["announced"],
            "attempted": wanted["attempted"],
            "wanted_by": " and ".join(by),
            "listener": listening(host, transport, port),
        },
        span=Span(listener.location, f"{listener.service} {_WHY[listener.reason]}"),
        spans={
            "openings": openings,
            "announced_by": told.announced_by(transport, port),
            "configured": (Span(related, "configured here"),) if related else (),
        },
        subjects=frozenset({(transport, port)}),
        source=listener,
    )


def listening(host: Host, transport: str, port: int, owner: str | None = None) -> str | None:
    """Return whether any program listens on a port: certain, loopback, none, or None (unknown).

    `owner` is the server that would, where the port alone does not say it.
    """
    found = listeners(host, transport, port)
    if any(e.certain and scope_of(e.address) != "loopback" for e in found):
        return "certain"
    if any(not e.certain for e in found):
        return None
    owner = owner_of(host, transport, port) or owner
    reading = host.reading(owner) if owner else None
    if reading is None or not all(r.complete for r in (*host.readings, *host.programs)):
        return None
    return "loopback" if found else "none"


def _unique(items: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(items))
