"""Facts about the renewal of certificates: lineages, challenges, hooks, and files from lineages."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sslint.certificates import Link, load
from sslint.engine import Span
from sslint.facts import reach as reaching
from sslint.facts.fact import Loose
from sslint.facts.proxies import only_proxies
from sslint.facts.services import listening
from sslint.host import listeners, web_server
from sslint.renewal import DIRECTORY, Hook, Lineage
from sslint.servers.model import CertificateRef

if TYPE_CHECKING:
    from sslint.facts.announcements import Whereabouts
    from sslint.host import Host
    from sslint.servers.interface import Answer, Web

# What a server does with a certificate that was renewed on disk, if it is not reloaded.
KEEPS_OLD = ("nginx", "dovecot", "haproxy")
ACME_PORT = 80
HOOKS = f"{DIRECTORY}/renewal-hooks"
CHALLENGE = "/.well-known/acme-challenge/token"


def lineages(host: Host, whereabouts: Whereabouts) -> list[Loose]:
    """Return a fact for each certificate that certbot renews."""
    latest: dict[object, tuple[datetime, str]] = {}
    for lineage in host.renewal.lineages:
        leaf = _own_certificate(host, lineage).leaf
        if leaf is not None:
            entry = (leaf.not_after, lineage.name)
            kind = _kind(leaf)
            latest[kind] = max(latest.get(kind, entry), entry, key=lambda e: e[0])
    return [_lineage(host, whereabouts, lineage, latest) for lineage in host.renewal.lineages]


def _kind(leaf: Link) -> object:
    """Return what two lineages have in common if one is there instead of the other."""
    return frozenset(leaf.names), leaf.key_algorithm.split("-")[0]


def users(host: Host, lineage: Lineage) -> dict[str, CertificateRef]:
    """Return which servers name a file of a lineage, with one place for each."""
    if host.by_directory is None:
        host.by_directory = {}
        for reading in host.readings:
            refs = [ref for endpoint in reading.endpoints for ref in endpoint.certificates]
            refs += [ref for site in reading.sites for ref in site.certificates]
            for ref in dict.fromkeys(refs):
                if ref.path:
                    servers = host.by_directory.setdefault(_directory(host, ref.path), {})
                    servers.setdefault(reading.server, ref)
    return host.by_directory.get(lineage.live, {})


def _directory(host: Host, path: str) -> str:
    """Return the directory of a certificate, a link into a lineage followed one step."""
    target = host.tree.link_target(path)
    if target is not None and target.startswith(f"{DIRECTORY}/live/"):
        path = target
    return posixpath.dirname(path)


# A container's first process: what it runs may watch the certificates, and there is no systemd.
SUPERVISORS = ("/etc/supervisor/supervisord.conf", "/etc/supervisor/conf.d", "/etc/s6-overlay")


def _own_certificate(host: Host, lineage: Lineage) -> Any:
    reference = CertificateRef(
        f"{lineage.live}/fullchain.pem", None, lineage.location(), lineage.location()
    )
    return load(host.tree, reference)


def _lineage(
    host: Host,
    whereabouts: Whereabouts,
    lineage: Lineage,
    latest: Mapping[object, tuple[datetime, str]],
) -> Loose:
    assert host.firewall is not None
    ipv4 = host.firewall.reach_outer("tcp", ACME_PORT, 4)
    ipv6 = host.firewall.reach_outer("tcp", ACME_PORT, 6)
    using = users(host, lineage)
    reloaded = lineage.reloads()
    certificate = _own_certificate(host, lineage)
    leaf = certificate.leaf
    names = list(lineage.webroots) or (list(leaf.names) if leaf is not None else [])
    hooks = lineage.hooks
    owners = listeners(host, "tcp", lineage.http01_port)
    stops = any(hook.stops(owner.server) for hook in hooks for owner in owners)
    with_aaaa = [
        record
        for name in names
        for record in host.announced.addresses(name, "AAAA")
        if whereabouts.over(name, 6)
    ]
    parameters = lineage.parameters
    lifetime = leaf.lifetime_days if leaf is not None else None
    not_reloaded = [server for server in KEEPS_OLD if server in using and server not in reloaded]
    values: dict[str, Any] = {
        "name": lineage.name,
        "authenticator": lineage.authenticator,
        "installer": parameters.get("installer", "None"),
        "http01": lineage.http01,
        "http01_port": lineage.http01_port,
        "names": names,
        "used": bool(using),
        "used_by": sorted(using),
        "not_reloaded": ", ".join(not_reloaded) or None,
        "opaque_hooks": lineage.opaque()
        or not host.tree.holds(HOOKS)  # certbot makes it: without it, hooks were not given either
        or (not host.network.systemd and any(map(host.tree.exists, SUPERVISORS))),
        "hook_opens_firewall": any(h.kind == "pre" and h.opens_firewall() for h in hooks),
        "port80": reaching.values(ipv4, ipv6),
        "port80_behind_proxies": ipv4.verdict == "limited" and only_proxies(host, ipv4.open),
        "port80_listener": listening(host, "tcp", ACME_PORT),
        "port80_owner": ", ".join(sorted({o.server for o in owners if o.certain})) or None,
        "owner_stopped": stops,
        "port80_redirected": lineage.http01_port != ACME_PORT
        and ACME_PORT in host.firewall.reach("tcp", lineage.http01_port, 4).reached_as,
        "aaaa_here": bool(with_aaaa),
        "staging": lineage.staging,
        "reuse_key": parameters.get("reuse_key", "False") == "True",
        "automatic": lineage.automatic,
        "newer_twin": _newer_twin(leaf, latest),
        "not_after": leaf.not_after.date().isoformat() if leaf is not None else None,
        "window": _window({**lineage.paths, **parameters}, lifetime),
        "lifetime_days": round(lifetime) if lifetime is not None else None,
        "caa": _caa(host, lineage, names),
    }
    span = lineage.location("authenticator")
    return Loose(
        entity=f"lineage {lineage.name}",
        values=values,
        span=Span(span, f"authenticator {lineage.authenticator or 'not set'}"),
        spans={
            "decided_by": reaching.blocking_spans((ipv4,), "tcp/80"),
            "decided_by_ipv6": reaching.blocking_spans((ipv6,), "tcp/80"),
            "used_at": tuple(Span(ref.location, f"{s} uses it") for s, ref in using.items()),
            "owners": tuple(Span(o.location, f"{o.server} listens") for o in owners[:1]),
            "aaaa": tuple(Span(r.location, "IPv6 address") for r in with_aaaa[:1]),
            "caa_records": tuple(
                Span(record.location, "allows these certificate authorities")
                for name in names[:1]
                for record in _caa_records(host, name)
            ),
        },
        subjects=frozenset({("lineage", lineage.name), ("tcp", ACME_PORT)})
        if lineage.http01
        else frozenset({("lineage", lineage.name)}),
        source=lineage,
    )


def _newer_twin(own: Link | None, latest: Mapping[object, tuple[datetime, str]]) -> str | None:
    """Return the lineage (NAME-0001) for the same names that expires last, if that is later."""
    if own is None:
        return None
    not_after, name = latest[_kind(own)]
    return name if not_after > own.not_after else None


def _window(parameters: Mapping[str, str], lifetime: float | None) -> float | None:
    """Return renew_before_expiry as a part of the lifetime."""
    words = parameters.get("renew_before_expiry", "").split()
    if lifetime is None or len(words) != 2 or not words[0].isdecimal() or len(words[0]) > 6:
        return None
    days = {"day": 1.0, "days": 1.0, "hour": 1 / 24, "hours": 1 / 24, "week": 7.0, "weeks": 7.0}
    unit = days.get(words[1].lower())
    return None if unit is None else int(words[0]) * unit / lifetime


# -- CAA: RFC 8659, RFC 8657 ------------------------------------------------------------------

ISSUERS = {
    "letsencrypt.org": "letsencrypt.org",
    "pki.goog": "pki.goog",
    "zerossl.com": "sectigo.com",
    "buypass.com": "buypass.com",
    "sslcom": "ssl.com",
}


def _caa_records(host: Host, name: str) -> list[Any]:
    """Return the CAA records that apply to a name: its own or its closest ancestor's."""
    bare = name.removeprefix("*.")
    zone = host.announced.zone_of(bare)
    while zone is not None and "." in bare:
        records = host.announced.find(bare, "CAA")
        if records:
            return records
        if bare == zone:
            break
        bare = bare.partition(".")[2]
    return []


def _caa(host: Host, lineage: Lineage, names: Sequence[str]) -> dict[str, Any] | None:
    server = lineage.parameters.get("server", "https://acme-v02.api.letsencrypt.org/directory")
    issuer = next((issuer for mark, issuer in ISSUERS.items() if mark in server), None)
    if issuer is None or lineage.staging:
        return None
    for name in names:
        allowed: list[str] = []
        parameters = ""
        tag = "issuewild" if name.startswith("*.") else "issue"
        records = _caa_records(host, name)
        if tag == "issuewild" and not any(_tag(r) == "issuewild" for r in records):
            tag = "issue"
        for record in records:
            if _tag(record) == tag:
                value, _, rest = record.data.value.decode("ascii", "replace").partition(";")
                allowed.append(value.strip().lower())
                if value.strip().lower() == issuer:
                    parameters = rest
        if not any(_tag(r) == tag for r in records):
            continue
        if issuer not in allowed:
            return {"blocks": True, "name": name, "allowed": allowed, "issuer": issuer}
        methods = [p.partition("=")[2] for p in parameters.split(";") if "validationmethods" in p]
        if methods and lineage.http01 and "http-01" not in methods[0]:
            return {"blocks": True, "name": name, "allowed": methods, "issuer": f"{issuer} http-01"}
    return {"blocks": False, "name": "", "allowed": [], "issuer": issuer}


def _tag(record: Any) -> str:
    return str(record.data.tag.decode("ascii", "replace").lower())


# -- challenges ------------------------------------------------------------------------------


def challenges(host: Host) -> list[Loose]:
    """Return a fact for each web root of a lineage and each way in which it is answered for.

    Whether the directory exists does not matter: certbot makes it, with those above it
    (certbot/_internal/plugins/webroot.py, _create_challenge_dirs).
    """
    reading = web_server(host, ACME_PORT)
    if reading is None or reading.web is None:
        return []
    groups: dict[tuple[object, ...], tuple[Lineage, Answer, list[str]]] = {}
    for lineage in host.renewal.lineages:
        if lineage.authenticator != "webroot":
            continue
        leaf = None if lineage.webroots else _own_certificate(host, lineage).leaf
        for name in lineage.webroots or (leaf.names if leaf is not None else ()):
            webroot = lineage.webroot(name)
            if webroot is None:
                continue
            answer = _answer(reading.web, name)
            served = answer.path.removesuffix(CHALLENGE) if answer.path else None
            key = (lineage.name, webroot, answer.kind, served)
            groups.setdefault(key, (lineage, answer, []))[2].append(name)
    return [_challenge(host, reading.server, *group) for group in groups.values()]


def _answer(web: Web, name: str) -> Answer:
    """Return how a challenge is answered, redirects followed as the authority does."""
    answer = web.answer(ACME_PORT, name.removeprefix("*."), CHALLENGE)
    if answer.kind == "redirect" and (answer.url or "").startswith("https://"):
        # The authority follows redirects to 443 (and nowhere but 80 and 443).
        answer = web.answer(443, name.removeprefix("*."), CHALLENGE)
    return answer


def _challenge(
    host: Host, server: str, lineage: Lineage, answer: Answer, names: Sequence[str]
) -> Loose:
    webroot = lineage.webroot(names[0]) or ""
    served = answer.path.removesuffix(CHALLENGE) if answer.path else None
    place = lineage.location(names[0])
    if place.line == 1:
        place = lineage.location("authenticator")
    return Loose(
        entity=f"challenge {names[0]}",
        values={
            "name": names[0],
            "names": list(names),
            "lineage": lineage.name,
            "webroot": webroot,
            "answer": None if answer.kind == "unknown" else answer.kind,
            "served_from": served,
            "same_root": None if served is None else _same(host, served, webroot),
            "other_owner": any(e.server != server for e in listeners(host, "tcp", ACME_PORT)),
        },
        span=Span(place, "certbot writes challenges here"),
        spans={
            "answered_at": (Span(answer.location, "answers the challenge"),)
            if answer.location is not None
            else ()
        },
        subjects=frozenset({("lineage", lineage.name)}),
    )


def _same(host: Host, one: str, other: str) -> bool:
    def real(path: str) -> str:
        target = host.tree.link_target(path)
        return posixpath.normpath(target if target is not None else path)

    return real(one) == real(other)


def hooks(host: Host) -> list[Loose]:
    """Return a fact for each hook script of certbot's hook directories."""
    return [_hook(hook) for hook in host.renewal.hooks]


def _hook(hook: Hook) -> Loose:
    name = hook.location.path.rsplit("/", 1)[-1]
    ignorable = name.startswith((".", "README")) or name.endswith(
        (".disabled", ".bak", ".orig", ".dpkg-old", ".md", ".txt")
    )
    return Loose(
        entity=f"hook {name}",
        values={
            "name": name,
            "path": hook.location.path,
            "stage": hook.kind,
            "runs": hook.runs if hook.executable is not None else None,
            "script": not ignorable and (hook.text.startswith("#!") or name.endswith(".sh")),
            "backup": name.endswith("~"),
        },
        span=Span(hook.location, f"{hook.kind} hook"),
        source=hook,
    )
