"""The table of listeners: TLS, certificate, who reaches each, and what the verdicts rest on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from sslint.facts.told import told
from sslint.judged import judge, tally
from sslint.plain import clean
from sslint.reports.groups import ALL, group_of
from sslint.reports.terminal import Painter, interfaces, places
from sslint.values import dataclass

if TYPE_CHECKING:
    from sslint.host import Host, Socket
    from sslint.netfilter.reach import Reach

HEADS = ["HOST", "ENDPOINT", "TLS", "CERTIFICATE", "IPv4", "IPv6", "ADVERTISED BY"]
# The columns that give way on a narrow terminal, in this order, and what each keeps of its width.
NARROWED = {"HOST": 10, "CERTIFICATE": 10, "ADVERTISED BY": 10, "IPv4": 9, "IPv6": 9}
# The columns that are left out where that is not enough, in this order.
LEFT_OUT = ("ADVERTISED BY", "CERTIFICATE", "TLS")
_VERDICTS = ("IPv4", "IPv6")
_STATES = ("open", "limited", "closed", "unknown")
_CLOSING = ("drop", "reject", "policy-drop", "unknown")


def endpoints_text(hosts: Sequence[Host], width: int | None, paint: Painter | None = None) -> str:
    """Return the report of `sslint endpoints`, its lines cut to `width` characters if given."""
    lines = endpoints_table(hosts, width, paint, grouped=True) or ["no endpoints"]
    lines += ["", *said] if (said := notes(hosts)) else []
    for host in hosts:
        shown = places(host.tree)
        for problem in host.problems:
            where = clean(shown(problem.path))
            if problem.location is not None:
                where += f":{problem.location.line}:{problem.location.column}"
            lines.append(f"unread: {where}: {clean(problem.reason)}")
    lines += ["", clean(tally([judge(host) for host in hosts]))]
    return "\n".join(lines) + "\n"


def endpoints_table(
    hosts: Sequence[Host],
    width: int | None,
    paint: Painter | None = None,
    *,
    only_closed: bool = False,
    grouped: bool = False,
) -> list[str]:
    """Return a line a socket; `only_closed`: those meant for clients that not everyone reaches.

    `grouped`: those of a service together, and of one host under its name.
    """
    found = [row for host in hosts for row in _rows(host, only_closed)]
    if not found:
        return []
    if grouped:
        order = {host.name: number for number, host in enumerate(hosts)}
        found.sort(key=lambda row: (order[row.host], ALL.index(row.group)))
    rows = [HEADS, *(row.cells for row in found)]
    if not any(row[-1] for row in rows[1:]):
        rows = [row[:-1] for row in rows]
    if len(hosts) == 1:
        rows = [row[1:] for row in rows]
    paint = paint or Painter(False)
    head, *lines = _laid_out(rows, width, paint)
    groups = [row.group for row in found]
    if not grouped or len(hosts) > 1 or len(set(groups)) == 1:
        return [head, *lines]
    parts, last = [head], ""
    for group, line in zip(groups, lines, strict=True):
        if group != last:
            parts.append(paint(group, "bold"))
        last = group
        parts.append(line)
    return parts


@dataclass(frozen=True, slots=True)
class _Line:
    """A socket's cells, and what it belongs to."""

    host: str
    group: str
    cells: list[str]


def _rows(host: Host, only_closed: bool) -> Iterator[_Line]:
    by_port = told(host)
    for socket in host.sockets:
        if only_closed and (
            socket.scope == "loopback" or all(r.verdict == "open" for r in socket.reaches)
        ):
            continue
        words = by_port.get((socket.endpoint.transport, socket.endpoint.port), ())
        outward = ", ".join(words) if socket.scope != "loopback" else ""
        cells = [clean(host.name), *_row(host, socket), clean(outward)]
        yield _Line(host.name, group_of(socket.endpoint.protocol), cells)


def _laid_out(rows: Sequence[Sequence[str]], width: int | None, paint: Painter) -> list[str]:
    """Align the columns, narrowed until a line fits into `width` or no column can give way."""
    heads = rows[0]
    widths = [max(len(row[i]) for row in rows) for i in range(len(heads))]
    excess = 0 if width is None else sum(widths) + 2 * (len(widths) - 1) - width
    for head, least in NARROWED.items():
        if head in heads and excess > 0:
            index = heads.index(head)
            given = max(0, min(excess, widths[index] - least))
            widths[index] -= given
            excess -= given
    gone = set()
    for head in LEFT_OUT:
        if head in heads and excess > 0:
            gone.add(head)
            excess -= widths[heads.index(head)] + 2
    return [
        "  ".join(
            _painted(_cut(cell, room).ljust(room), paint, head in _VERDICTS)
            for cell, room, head in zip(row, widths, heads, strict=True)
            if head not in gone
        ).rstrip()
        for row in rows
    ]


def _painted(cell: str, paint: Painter, verdict: bool) -> str:
    """Return a cell in the colour of its verdict."""
    word = cell.split(" ", 1)[0]
    return paint(cell, word) if verdict and word in _STATES else cell


def _cut(cell: str, width: int) -> str:
    """Shorten a cell: a path to its end, other text to its start."""
    if len(cell) <= width:
        return cell
    return "..." + cell[3 - width :] if cell.startswith("/") else cell[: width - 3] + "..."


def _row(host: Host, socket: Socket) -> list[str]:
    endpoint = socket.endpoint
    address = f"[{endpoint.address}]" if ":" in endpoint.address else endpoint.address
    tls = {"starttls": "STARTTLS", "none": "-", "unknown": "?"}.get(endpoint.tls, endpoint.tls)
    if endpoint.tls == "starttls" and endpoint.tls_required:
        tls += "!"
    if endpoint.passthrough:
        tls = "passed on"
    name = f"{endpoint.server:8} {clean(address)}:{endpoint.port}/{endpoint.transport}"
    if not endpoint.certain:
        name += " ?"
    return [name, tls, certificate(host, socket), _reach(socket.ipv4), _reach(socket.ipv6)]


def certificate(host: Host, socket: Socket) -> str:
    """Return a socket's first certificate: its first name and the days that are left.

    Where the file does not say, the path as it is configured.
    """
    references = socket.endpoint.certificates
    if not references:
        return "-"
    first = references[0]
    shown = clean(first.path or "?")
    if first.path is not None:
        from sslint.certificates import load

        leaf = load(host.tree, first).leaf
        if leaf is not None:
            name = leaf.names[0] if leaf.names else leaf.common_name
            left = (leaf.not_after - host.now).total_seconds() / 86400
            shown = f"{clean(name) if name else shown}, {_days(left)}"
    others = len({reference.path for reference in references} - {first.path})
    return f"{shown} (and {others} more)" if others else shown


def _days(left: float) -> str:
    """Return the days that are left of a certificate in words."""
    days = int(abs(left))
    counted = f"{days} day{'' if days == 1 else 's'}"
    if left < 0:
        return f"expired {counted} ago" if days else "expired today"
    return counted if days else "less than a day"


def _reach(reach: Reach | None) -> str:
    if reach is None:
        return "-"
    text: str = reach.verdict
    if reach.verdict == "limited":
        shown = list(reach.open[:2])
        text += " " + ",".join(shown) + (",..." if len(reach.open) > 2 else "")
    if reach.via:
        text += " via " + ",".join(interfaces(reach.via))
    decisive = (d.location for d in reach.decided_by if d.effect in _CLOSING)
    place = next((where for where in decisive if where is not None), None)
    if reach.verdict in ("closed", "unknown") and place is not None:
        text += f" ({place.path.rsplit('/', 1)[-1]}:{place.line})"
    if reach.rate_limited:
        text += " (rate limited)"
    return clean(text)


def notes(hosts: Sequence[Host]) -> list[str]:
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
        reasons |= dict.fromkeys(doubt.reason for doubt in host.ruleset.unknown_ports)
        if not host.sockets:  # what lies there and was not judged is named all the same
            reasons |= dict.fromkeys(missing.reason for missing in host.ruleset.missing)
        lines += [f"{prefix}unknown: {clean(reason)}" for reason in reasons]
        unsure = dict.fromkeys(
            reason
            for socket in host.sockets
            if not socket.endpoint.certain
            for reason in socket.endpoint.reasons
        )
        lines += [f"{prefix}not certain: {clean(reason)}" for reason in unsure]
        lines += [f"{prefix}assumed: {clean(text)}" for text in host.assumptions]
    return lines
