"""The text report: each finding with the lines on both sides, then the table of endpoints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from sslint.engine import SEVERITIES, Finding, Span
from sslint.facts.told import told
from sslint.reports.data import clean

if TYPE_CHECKING:
    from sslint.checker import Result
    from sslint.fix import Fix
    from sslint.host import Host, Socket
    from sslint.netfilter.reach import Reach

MAX_WIDTH = 160  # characters of a source line that are shown

_COLOURS = {"error": "1;31", "warning": "1;33", "info": "1;36", "gutter": "1;34", "bold": "1"}


class Painter:
    """Put colour around text, or leave it."""

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled

    def __call__(self, text: str, colour: str) -> str:
        """Return the text in a colour."""
        return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if self.enabled else text


def check_text(result: Result, paint: Painter) -> str:
    """Return the report of `sslint check`."""
    lines: list[str] = []
    for host in result.hosts:
        found = [finding for finding in result.findings if finding.host == host.name]
        if len(result.hosts) > 1 and found:
            lines += [paint(f"== {clean(host.name)}", "bold"), ""]
        for finding in found:
            lines += _finding(finding, result.fixes.get(id(finding)), paint)
            lines.append("")
    lines.append(_summary(result))
    table = endpoints_table(result.hosts)
    if table:
        lines += ["", *table]
    lines += _notes(result.hosts)
    return "\n".join(lines) + "\n"


# -- one finding ----------------------------------------------------------------------------


def _finding(finding: Finding, fix: Fix | None, paint: Painter) -> list[str]:
    head = paint(f"{finding.severity}[{finding.rule.name}]", finding.severity)
    lines = [f"{head}: {paint(clean(finding.message), 'bold')}"]
    spans = [span for span in (finding.span, *finding.related) if span is not None]
    width = max((len(str(span.location.line)) for span in spans), default=1)
    for index, span in enumerate(spans):
        lines += _excerpt(span, width, paint, primary=index == 0, severity=finding.severity)
    margin = " " * width
    if not spans:
        lines.append(f"{margin} {paint('-->', 'gutter')} {clean(finding.fact.name)}")
    lines.append(f"{margin} {paint('|', 'gutter')}")
    notes = []
    if finding.clients:
        notes.append(("clients", finding.clients))
    notes += _fix_notes(fix, finding)
    also = (f"{other.fact.name}: {other.message}" for other in finding.also_affects)
    notes += [("also affects", text) for text in dict.fromkeys(also)]
    notes.append(("explain", f"sslint explain {finding.rule.name}"))
    bullet = paint("=", "gutter")
    lines += [f"{margin} {bullet} {paint(name, 'bold')}: {clean(text)}" for name, text in notes]
    return lines


def _fix_notes(fix: Fix | None, finding: Finding) -> list[tuple[str, str]]:
    if fix is None:
        return [("fix", finding.advice)] if finding.advice else []
    notes = [("fix", str(edit)) for edit in fix.edits]
    if not fix.edits and fix.title:
        notes.append(("fix", fix.title))
    notes += [("now", command) for command in fix.commands]
    return notes


def _excerpt(span: Span, width: int, paint: Painter, *, primary: bool, severity: str) -> list[str]:
    place = span.location
    margin = " " * width
    bar = paint("|", "gutter")
    arrow = paint("-->" if primary else ":::", "gutter")
    where = f"{clean(place.path)}:{place.line}:{place.column}"
    raw = place.file.line(place.line)
    # Cut first: a hostile line may be megabytes long.
    raw = raw[: place.column + 2 * MAX_WIDTH]
    before = clean(raw[: place.column - 1].expandtabs(8))
    end = place.end if place.end is not None else place.column + len(raw[place.column - 1 :])
    marked = clean(raw[place.column - 1 : end - 1].expandtabs(8))
    after = clean(raw[end - 1 :].expandtabs(8))
    text = (before + marked + after)[:MAX_WIDTH]
    if len(before) >= MAX_WIDTH:
        before, text = "", (marked + after)[:MAX_WIDTH]
    carets = ("^" if primary else "-") * max(1, min(len(marked), MAX_WIDTH - len(before)))
    number = paint(str(place.line).rjust(width), "gutter")
    label = paint(f"{carets} {clean(span.message)}".rstrip(), severity if primary else "gutter")
    return [
        f"{margin} {arrow} {where}",
        f"{margin} {bar}",
        f"{number} {bar} {text}".rstrip(),
        f"{margin} {bar} {' ' * len(before)}{label}",
    ]


# -- the sums ---------------------------------------------------------


def _summary(result: Result) -> str:
    counts = [
        _count(sum(f.severity == severity for f in result.findings), severity)
        for severity in SEVERITIES
    ]
    found = ", ".join(text for text in counts if text) or "no findings"
    files = {r for host in result.hosts for r in _files(host)}
    endpoints = sum(len(host.sockets) for host in result.hosts)
    rulesets = sum(len(host.ruleset.sources) for host in result.hosts)
    parts = [
        _count(len(files), "file"),
        _count(endpoints, "endpoint") or "no endpoint",
        _count(rulesets, "ruleset") or "no ruleset",
    ]
    where = _count(len(result.hosts), "host")
    tail = f"; {result.ignored} ignored" if result.ignored else ""
    tail += f"; {result.baselined} in the baseline" if result.baselined else ""
    unread = sum(problem.decisive for host in result.hosts for problem in host.problems)
    tail += f"; {_count(unread, 'place')} could not be read" if unread else ""
    return f"{found} in {where} ({', '.join(p for p in parts if p)}){tail}"


def _files(host: Host) -> Iterable[tuple[str, str]]:
    for reading in host.readings:
        for path in reading.files:
            yield host.name, path
    for source in host.ruleset.sources:
        yield host.name, source.path


def _count(number: int, noun: str) -> str:
    if not number:
        return ""
    plural = noun if number == 1 or noun == "info" else f"{noun}s"
    return f"{number} {plural}"


# -- the table ------------------------------------------------------------------------------


def endpoints_text(hosts: Sequence[Host]) -> str:
    """Return the report of `sslint endpoints`."""
    lines = endpoints_table(hosts) or ["no endpoints"]
    lines += _notes(hosts)
    for host in hosts:
        for problem in host.problems:
            where = str(problem.location) if problem.location else problem.path
            lines.append(f"unread: {clean(where)}: {clean(problem.reason)}")
    return "\n".join(lines) + "\n"


def endpoints_table(hosts: Sequence[Host]) -> list[str]:
    """Return the table of endpoints, one line a socket."""
    several = len(hosts) > 1
    rows = [["ENDPOINT", "TLS", "CERTIFICATE", "IPv4", "IPv6", "CLIENTS ARE TOLD"]]
    for host in hosts:
        prefix = f"{clean(host.name)} " if several else ""
        by_port = told(host)
        for socket in host.sockets:
            words = by_port.get((socket.endpoint.transport, socket.endpoint.port), ())
            outward = ", ".join(words) if socket.scope != "loopback" else ""
            rows.append([*_row(socket, prefix), clean(outward)])
    if len(rows) == 1:
        return []
    if not any(row[-1] for row in rows[1:]):
        rows = [row[:-1] for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _row(socket: Socket, prefix: str) -> list[str]:
    endpoint = socket.endpoint
    address = f"[{endpoint.address}]" if ":" in endpoint.address else endpoint.address
    tls = {"starttls": "STARTTLS", "none": "-", "unknown": "?"}.get(endpoint.tls, endpoint.tls)
    if endpoint.tls == "starttls" and endpoint.tls_required:
        tls += "!"
    if endpoint.passthrough:
        tls = "passed on"
    certificate = next((ref.path or "?" for ref in endpoint.certificates), "-")
    name = f"{prefix}{endpoint.server:8} {clean(address)}:{endpoint.port}/{endpoint.transport}"
    if not endpoint.certain:
        name += " ?"
    return [name, tls, clean(certificate), _reach(socket.ipv4), _reach(socket.ipv6)]


def _reach(reach: Reach | None) -> str:
    if reach is None:
        return "-"
    text: str = reach.verdict
    if reach.verdict == "limited":
        shown = list(reach.open[:2])
        text += " " + ",".join(shown) + (",..." if len(reach.open) > 2 else "")
    if reach.via:
        text += " via " + ",".join(reach.via)
    places = [
        f"{d.location.path.rsplit('/', 1)[-1]}:{d.location.line}"
        for d in reach.decided_by
        if d.location is not None and d.effect in ("drop", "reject", "policy-drop", "unknown")
    ]
    if reach.verdict in ("closed", "unknown") and places:
        text += f"  {places[0]}"
    if reach.rate_limited:
        text += " (rate limited)"
    return clean(text)


def _notes(hosts: Sequence[Host]) -> list[str]:
    """Return what the verdicts rest on: reasons for unknowns, missing layers, assumptions."""
    lines: list[str] = []
    for host in hosts:
        prefix = f"{clean(host.name)}: " if len(hosts) > 1 else ""
        reasons = dict.fromkeys(
            reason
            for socket in host.sockets
            for reach in socket.reaches
            if reach.verdict == "unknown"
            for reason in reach.reasons
        )
        lines += [f"{prefix}unknown: {clean(reason)}" for reason in reasons]
        unsure = dict.fromkeys(
            reason
            for socket in host.sockets
            if not socket.endpoint.certain
            for reason in socket.endpoint.reasons
        )
        lines += [f"{prefix}not certain: {clean(reason)}" for reason in unsure]
        lines += [f"{prefix}assumed: {clean(text)}" for text in host.assumptions]
    return ["", *lines] if lines else []
