"""The trace of a port or a packet: what decides, step by step."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal

from sslint.errors import UsageError
from sslint.netfilter.reach import Firewall
from sslint.netfilter.trace import Packet, PacketVerdict, PortTrace, Step
from sslint.reports.data import clean, reach_data

if TYPE_CHECKING:
    from sslint.host import Host
    from sslint.netfilter.reach import Decision

Transport = Literal["tcp", "udp"]
MAX_SOURCES = 4  # networks that one line names
MAX_LINE = 1 << 16  # characters of a line of --packets
# Where a packet goes when nobody says: documentation addresses, taken to be this host.
HERE = {4: "198.51.100.1", 6: "2001:db8::1"}
_STAGES = {
    "new": "the first packet",
    "synproxy": "the handshakes of SYNPROXY",
    "answer": "the answer",
    "established": "the packets that follow",
    "neighbour-discovery": "neighbour discovery",
}


def _firewall(host: Host) -> Firewall:
    """Return the host's firewall; one without any rules where none was found."""
    if isinstance(host.firewall, Firewall):
        return host.firewall
    return Firewall(host.ruleset, host.network.network)


# -- a port ---------------------------------------------------------------------------------------


def port(
    host: Host,
    transport: Transport,
    number: int,
    destination: str | None,
    iif: str | None,
    *,
    as_json: bool,
) -> str:
    """Return what decides for the clients of a port, over both families or the destination's."""
    firewall = _firewall(host)
    families: tuple[Literal[4, 6], ...] = (4, 6)
    if destination is not None:
        families = (_family(destination),)
    traces = {
        family: firewall.trace_port(transport, number, family, destination, iif)
        for family in families
    }
    if as_json:
        data = {
            "version": 1,
            "host": host.name,
            "transport": transport,
            "port": number,
            "assumptions": [clean(text) for text in host.ruleset.assumptions],
            **{f"ipv{family}": _port_data(trace) for family, trace in traces.items()},
        }
        return json.dumps(data, indent=2) + "\n"
    lines = [
        line
        for family, trace in traces.items()
        for line in _port_text(f"{transport}/{number} over IPv{family}", trace)
    ]
    listening = [
        clean(f"{s.endpoint.server} listens on {s.endpoint.address} ({s.endpoint.location})")
        for s in host.sockets
        if (s.endpoint.transport, s.endpoint.port) == (transport, number)
    ]
    lines += listening or [f"no server that was read listens on {transport}/{number}"]
    lines += [f"assumed: {clean(text)}" for text in host.ruleset.assumptions]
    return "\n".join(lines) + "\n"


def _port_text(title: str, trace: PortTrace) -> list[str]:
    reach = trace.reach
    lines = [f"{title}: {_verdict(trace)}"]
    lines += [f"  because {clean(reason)}" for reason in reach.reasons]
    lines += _steps(trace.steps)
    if reach.verdict in ("closed", "limited") and reach.blocked_by:
        lines.append("  to open it, all of these must let it pass:")
        lines += [f"    {_decision(d)}" for d in reach.blocked_by]
    if reach.rate_limited:
        lines.append("  a rate limit applies: this is the answer for the first connection")
    if reach.may_be_banned:
        lines.append("  sources may be banned at run time")
    lines += [f"  assumed: {clean(text)}" for text in reach.assumptions]
    return [*lines, ""]


def _verdict(trace: PortTrace) -> str:
    reach = trace.reach
    text: str = reach.verdict
    if reach.verdict == "limited":
        text += f" to {reach.opened.brief(MAX_SOURCES)}" if reach.opened is not None else ""
    elif reach.verdict == "closed":
        text += ", " + ("refused" if reach.rejected else "dropped")
    if reach.via:
        text += f" via {', '.join(reach.via)}"
    if reach.forwarded_to:
        text += f", forwarded to {', '.join(reach.forwarded_to)}"
    return text


def _steps(steps: Iterable[Step]) -> list[str]:
    lines: list[str] = []
    stage = where = ""
    for step in steps:
        if step.stage != stage:
            stage, where = step.stage, ""
            lines.append(f"  {_STAGES.get(stage, stage)}")
        place = f"{step.hook} {step.priority:+d}"
        chain = f"{step.table.family} {step.table.name} {step.chain.name}"
        if (here := f"{place} {chain}") != where:
            where = here
            lines.append(f"    {place}  {clean(chain)}")
        line = "      " + "  " * step.depth
        if step.location is not None:
            line += f"{clean(step.location.path)}:{step.location.line}  "
        line += f"{clean(step.text)}  => {step.effect}"
        if step.more:
            line += f" (and {step.more} rules like it)"
        if step.sources is not None:
            line += f" {step.sources.brief(MAX_SOURCES)}"
        if step.reason:
            line += f" ({clean(step.reason)})"
        lines.append(line)
    return lines


def _decision(decision: Decision) -> str:
    where = f"{decision.family} {decision.table.name} {decision.chain.name}"
    if decision.location is None:
        return f"{where}: {clean(decision.text)}"
    more = f" (and {decision.more} more)" if decision.more else ""
    place = f"{clean(decision.location.path)}:{decision.location.line}"
    return f"{place}  {clean(decision.text)}{more}  [{clean(where)}, {decision.stage}]"


def _port_data(trace: PortTrace) -> dict[str, Any]:
    data = reach_data(trace.reach) or {}
    data["blocked_by"] = [
        {**(_by(d) or {}), "stage": d.stage, "chain": clean(d.chain.name)}
        for d in trace.reach.blocked_by
    ]
    data["forwarded_to"] = list(trace.reach.forwarded_to)
    data["steps"] = [_step_data(step) for step in trace.steps]
    return data


def _step_data(step: Step) -> dict[str, Any]:
    return {
        "stage": step.stage,
        "hook": step.hook,
        "priority": step.priority,
        "family": step.table.family,
        "table": clean(step.table.name),
        "chain": clean(step.chain.name),
        "path": clean(step.location.path) if step.location else None,
        "line": step.location.line if step.location else None,
        "text": clean(step.text),
        "effect": step.effect,
        "sources": list(step.sources.cidrs) if step.sources is not None else [],
        "reason": clean(step.reason) or None,
    }


# -- packets --------------------------------------------------------------------------------------


def packet(
    host: Host,
    transport: Transport,
    number: int,
    source: str,
    destination: str | None,
    iif: str | None,
    *,
    as_json: bool,
) -> str:
    """Return what each rule does to one packet."""
    firewall = _firewall(host)
    family = _family(source)
    wanted = Packet(transport, source, destination or HERE[family], 40000, number, iif)
    try:
        verdict = firewall.judge(wanted)
        steps = firewall.trace_packet(wanted)
    except ValueError as error:
        raise UsageError(str(error)) from None
    if as_json:
        data = {"version": 1, "host": host.name, **_verdict_data(None, verdict)}
        data["steps"] = [_step_data(step) for step in steps]
        return json.dumps(data, indent=2) + "\n"
    lines = [f"{transport}/{number} from {source}: {verdict.verdict}"]
    if verdict.reason:
        lines.append(f"  because {clean(verdict.reason)}")
    lines += _steps(steps)
    if verdict.by is not None:
        lines.append(f"  decided by {_decision(verdict.by)}")
    return "\n".join(lines) + "\n"


def packets(host: Host, lines: Iterable[str], *, as_json: bool) -> Iterator[str]:
    """Yield one verdict for each line of JSON. Raise UsageError for what is no packet."""
    firewall = _firewall(host)
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            if len(line) > MAX_LINE:
                raise ValueError("the line is too long")
            data = json.loads(line)
            if not isinstance(data, dict):
                raise ValueError("not an object")
            verdict = firewall.judge(
                Packet(
                    data["proto"],
                    data["src"],
                    data["dst"],
                    _number(data.get("sport")),
                    _number(data.get("dport")),
                    data.get("iif"),
                )
            )
        except KeyError as error:
            raise UsageError(f"--packets, line {number}: {error} is missing") from None
        except (ValueError, TypeError, RecursionError) as error:
            raise UsageError(f"--packets, line {number}: {error}") from None
        found = _verdict_data(data.get("id"), verdict)
        if as_json:
            yield json.dumps(found)
        else:
            by = f"  {found['by']['path']}:{found['by']['line']}" if found["by"] else ""
            reason = f"  {found['reason']}" if found["reason"] else ""
            name = number if found["id"] is None else found["id"]
            yield f"{name}: {found['verdict']}{by}{reason}"


def _number(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 65535:
        raise ValueError(f"{value!r} is not a port")
    return value


def _verdict_data(identity: object, verdict: PacketVerdict) -> dict[str, Any]:
    return {
        "id": identity,
        "verdict": verdict.verdict,
        "by": _by(verdict.by),
        "reason": None if verdict.reason is None else clean(verdict.reason),
    }


def _by(decision: Decision | None) -> dict[str, Any] | None:
    if decision is None or decision.location is None:
        return None
    return {
        "path": clean(decision.location.path),
        "line": decision.location.line,
        "text": clean(decision.text),
    }


def _family(text: str) -> Literal[4, 6]:
    import ipaddress

    try:
        return 4 if ipaddress.ip_address(text).version == 4 else 6
    except ValueError:
        raise UsageError(f"{text!r} is not an address") from None
