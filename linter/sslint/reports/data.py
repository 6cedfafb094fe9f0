"""Findings and endpoints as plain data, in the shape of schemas/report.schema.json."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sslint.facts.told import told
from sslint.judged import Judged, judge
from sslint.plain import clean, holds_key
from sslint.reports.rows import files, page_of
from sslint.source import Location

if TYPE_CHECKING:
    from sslint.engine import Finding
    from sslint.fixes import Edit, Fix
    from sslint.host import Host, Socket
    from sslint.netfilter.reach import Decision, Reach
    from sslint.reasons import Reason
    from sslint.result import Result
    from sslint.revisions import Proposed
    from sslint.servers.model import CertificateRef


def location(place: Location | None) -> dict[str, Any] | None:
    """Return a location as data."""
    if place is None:
        return None
    found: dict[str, Any] = {"path": clean(place.path), "line": place.line, "column": place.column}
    if place.end is not None:
        found["end_column"] = place.end
    return found


def finding_data(finding: Finding, fix: Fix | None) -> dict[str, Any]:
    """Return a finding as data."""
    return {
        "host": clean(finding.host),
        "rule": finding.rule.name,
        "family": finding.rule.family,
        "severity": finding.severity,
        "message": clean(finding.message),
        "clients": clean(finding.clients),
        "entity": clean(finding.fact.entity),
        "location": location(finding.span.location if finding.span else None),
        "related": [
            {"location": location(span.location), "message": clean(span.message)}
            for span in finding.related
        ],
        "also_affects": [
            {"rule": other.rule.name, "entity": clean(other.fact.entity)}
            for other in finding.also_affects
        ],
        "fix": fix_data(fix),
        "fingerprint": finding.fingerprint,
        "docs": page_of(finding.rule),
    }


def fix_data(fix: Fix | None) -> dict[str, Any] | None:
    """Return a fix as data."""
    if fix is None:
        return None
    return {
        "title": clean(fix.title),
        "kind": fix.kind,
        "edits": edits_data(fix.edits),
        "commands": [clean(command) for command in fix.commands],
        "proved": fix.proved,
    }


def edits_data(edits: Sequence[Edit]) -> list[dict[str, Any]]:
    """Return edits as data: raw text, which JSON escapes; none where a line may hold a key."""
    if any(holds_key(edit.path) or holds_key(edit.text) for edit in edits):
        return []
    return [{"path": e.path, "line": e.line, "action": e.action, "text": e.text} for e in edits]


def reach_data(reach: Reach | None) -> dict[str, Any] | None:
    """Return who reaches a socket over one family."""
    if reach is None:
        return None
    return {
        "verdict": reach.verdict,
        "open": list(reach.open),
        "unknown": list(reach.unknown),
        "public_share": reach.public_share,
        "rate_limited": reach.rate_limited,
        "may_be_banned": reach.may_be_banned,
        "via": list(reach.via),
        "decided_by": [
            {
                "path": clean(d.location.path),
                "line": d.location.line,
                "text": clean(d.text),
                "effect": d.effect,
            }
            for d in reach.decided_by
            if d.location is not None
        ],
        "reasons": [clean(reason) for reason in reach.reasons],
    }


def decision_data(decision: Decision | None) -> dict[str, Any] | None:
    """Return the rule or policy that decides, None where it is written nowhere."""
    if decision is None or decision.location is None:
        return None
    return {
        "path": clean(decision.location.path),
        "line": decision.location.line,
        "text": clean(decision.text),
    }


def certificate_data(ref: CertificateRef) -> dict[str, Any]:
    """Return a certificate that an endpoint serves."""
    return {
        "path": None if ref.path is None else clean(ref.path),
        "key": None if ref.key is None else clean(ref.key),
        "names": [clean(name) for name in ref.names],
        "location": location(ref.location),
    }


def endpoint_data(
    host: Host, socket: Socket, by_port: Mapping[tuple[str, int], Sequence[str]]
) -> dict[str, Any]:
    """Return a listening socket and who reaches it."""
    endpoint = socket.endpoint
    reached = sorted({port for reach in socket.reaches for port in reach.reached_as})
    return {
        "host": clean(host.name),
        "server": endpoint.server,
        "service": clean(endpoint.service),
        "protocol": endpoint.protocol,
        "transport": endpoint.transport,
        "address": clean(endpoint.address),
        "port": endpoint.port,
        "ipv6only": endpoint.ipv6only,
        "scope": socket.scope,
        "tls": endpoint.tls,
        "tls_required": endpoint.tls_required,
        "certain": endpoint.certain,
        "names": [clean(name) for name in endpoint.names],
        "certificates": [certificate_data(ref) for ref in endpoint.certificates],
        "location": location(endpoint.location),
        "reached_as": reached,
        "told": [clean(t) for t in by_port.get((endpoint.transport, endpoint.port), ())],
        "reach": {"ipv4": reach_data(socket.ipv4), "ipv6": reach_data(socket.ipv6)},
        "reasons": [clean(reason) for reason in endpoint.reasons],
    }


def firewall_data(host: Host) -> dict[str, Any]:
    """Return which firewalls were read, what is missing and what was assumed."""
    ruleset = host.ruleset
    return {
        "host": clean(host.name),
        "sources": [{"kind": s.kind, "path": clean(s.path)} for s in ruleset.sources],
        "incomplete": [
            *(clean(missing.reason) for missing in ruleset.missing),
            *(clean(doubt.reason) for doubt in ruleset.unknown_ports),
        ],
        "assumptions": [clean(text) for text in host.assumptions],
    }


def judged_data(judged: Judged) -> dict[str, Any]:
    """Return how much of a host was judged."""
    return {
        "host": clean(judged.host),
        "enough": judged.enough,
        "tls_listeners": judged.listeners,
        **judged.counts,
        "certificates": {"read": judged.certificates, "unread": judged.unread_certificates},
        "not_judged": [
            {
                "code": gap.why.value,
                "reason": clean(gap.reason),
                "tls_listeners": gap.listeners,
                "ports": list(gap.ports),
                **({"certificates": [*map(clean, gap.certificates)]} if gap.certificates else {}),
                **({"because": clean(gap.because)} if gap.because else {}),
            }
            for gap in judged.gaps
        ],
    }


def unread_data(hosts: Iterable[Host]) -> list[dict[str, Any]]:
    """Return what could not be read or understood."""
    found = []
    for host in hosts:
        for problem in host.problems:
            entry: dict[str, Any] = {
                "host": clean(host.name),
                "path": clean(problem.path),
                "reason": clean(problem.reason),
                "code": problem.code.value,
                "decisive": problem.decisive,
            }
            if problem.location is not None:
                entry["line"] = problem.location.line
                entry["column"] = problem.location.column
            found.append(entry)
    return found


def files_data(hosts: Iterable[Host]) -> list[dict[str, str]]:
    """Return where in the repository each file lies that was read, links resolved."""
    return [
        {"host": clean(host.name), "path": path, "file": file}
        for host in hosts
        for path, file in files(host).items()
    ]


def _reason(reason: Reason) -> dict[str, Any]:
    found: dict[str, Any] = {"code": reason.code.value, "text": clean(reason.text)}
    if reason.location is not None:
        found |= {"path": clean(reason.location.path), "line": reason.location.line}
    return found


def endpoints_report(hosts: Sequence[Host]) -> dict[str, Any]:
    """Return the report of `sslint endpoints`."""
    return {
        "version": 1,
        "endpoints": [
            endpoint_data(host, socket, by_port)
            for host in hosts
            for by_port in [told(host)]
            for socket in host.sockets
        ],
        "servers": [
            {
                "host": clean(host.name),
                "server": reading.server,
                "starts": reading.starts,
                "complete": reading.complete,
                "reasons": [clean(reason) for reason in reading.reasons],
                "refusals": [_reason(reason) for reason in reading.refusals],
                "gaps": [_reason(reason) for reason in reading.gaps],
                "assumptions": [clean(text) for text in reading.assumptions],
            }
            for host in hosts
            for reading in host.readings
        ],
        "firewall": [firewall_data(host) for host in hosts],
        "judged": [judged_data(judge(host)) for host in hosts],
        "unread": unread_data(hosts),
        "files": files_data(hosts),
    }


def check_report(result: Result) -> dict[str, Any]:
    """Return the report of `sslint check`."""
    summary: dict[str, int] = {"error": 0, "warning": 0, "info": 0}
    for finding in result.findings:
        summary[finding.severity] += 1
    summary["ignored"] = result.ignored
    summary["baselined"] = result.baselined
    summary["unjudged"] = len(result.unjudged)
    return {
        "version": 1,
        "findings": [finding_data(f, result.fixes.get(id(f))) for f in result.findings],
        "summary": summary,
        "stale": [
            {"fingerprint": clean(one.fingerprint), "what": clean(one.what), "why": one.why}
            for one in result.stale
        ],
        **{k: v for k, v in endpoints_report(result.hosts).items() if k != "version"},
        **({} if result.proposed is None else {"configuration": _proposed(result.proposed)}),
    }


def _proposed(proposed: Proposed) -> dict[str, Any]:
    changes = [
        {"key": one.key or None, "change": one.how, "path": one.path or None, "line": one.line}
        for one in proposed.changes
    ]
    return {
        "revision": proposed.revision,
        "commit": proposed.commit,
        "path": proposed.path or None,
        "changes": changes,
    }
