"""The trace of a port: the answer in its first line, and step by step what leads to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sslint import ask
from sslint.ask import Ask, Family
from sslint.errors import UsageError
from sslint.plain import clean
from sslint.reports.data import decision_data, reach_data
from sslint.reports.terminal import Places, interfaces, places

if TYPE_CHECKING:
    from sslint.host import Host
    from sslint.netfilter.addresses import Sources
    from sslint.netfilter.trace import PortTrace, Step
    from sslint.netfilter.verdicts import Decision, Reach
    from sslint.source import Location

Answers = Mapping[Family, "PortTrace"]
MAX_SOURCES = 4  # networks that one line names
# Where a packet goes when nobody says: documentation addresses, taken to be this host.
HERE = {4: "198.51.100.1", 6: "2001:db8::1"}
STAGES = {
    "new": "the first packet",
    "synproxy": "the handshakes of SYNPROXY",
    "answer": "the answer",
    "established": "the packets that follow",
    "neighbour-discovery": "neighbour discovery",
}
_DOES = {
    "accept": "accepts",
    "drop": "drops",
    "reject": "rejects",
    "policy-accept": "policy accept",
    "policy-drop": "policy drop",
    "return": "returns to the calling chain",
    "nat": "translates",
    "unknown": "not known",
    "set": "sets a mark",
    "notrack": "exempts from connection tracking",
    "tproxy": "redirects to a local socket",
}


def text(
    host: Host,
    question: Ask,
    answers: Answers,
    *,
    verbose: bool = False,
    expected: str | None = None,
) -> str:
    """Return what `sslint trace` prints of a port."""
    shown = places(host.tree)
    said: dict[str, list[str]] = {}
    for family, trace in answers.items():
        said.setdefault(_answer(question, trace, shown), []).append(f"IPv{family}")
    source = f" from {clean(question.source)}" if question.source else ""
    port = f"{question.transport}/{question.port}"
    lines = [
        f"{port}{source} over {' and '.join(names)}: {answer}" for answer, names in said.items()
    ]
    lines += _remarks(host, answers)
    lines += _listeners(host, question, shown)
    if verbose:
        for family, trace in answers.items():
            steps = _steps(trace, shown)
            lines += ["", f"over IPv{family}:", *steps] if steps else []
    if expected is not None and not ask.is_met(answers, expected):
        lines.append(f"expected: {expected}")
    return "\n".join(lines) + "\n"


def _answer(question: Ask, trace: PortTrace, shown: Places) -> str:
    """Return the verdict and why in one line."""
    verdict = _verdict(trace)
    why, place = ask.because(trace, f"{question.transport}/{question.port}")
    if not why:
        return verdict
    return f"{verdict}: {clean(why)}" + (f", {_place(place, shown)}" if place is not None else "")


def _place(place: Location, shown: Places) -> str:
    return f"{clean(shown(place.path))}:{place.line}"


def _verdict(trace: PortTrace) -> str:
    reach = trace.reach
    words: str = reach.verdict
    if reach.verdict == "limited":
        words += f" to {reach.opened.brief(MAX_SOURCES)}" if reach.opened is not None else ""
    elif reach.verdict == "closed" and reach.rejected:
        words += ", refused"
    if reach.via:
        words += f" via {', '.join(interfaces(reach.via))}"
    if reach.forwarded_to:
        words += f", forwarded to {', '.join(reach.forwarded_to)}"
    return clean(words)


def _remarks(host: Host, answers: Answers) -> list[str]:
    """Return what else the answers rest on."""
    remarks: dict[str, None] = {}
    for trace in answers.values():
        reach = trace.reach
        closing = {(d.location, d.text) for d in reach.blocked_by if _closes(reach, d)}
        if len(closing) > 1:
            remarks[f"{len(closing)} rules or policies close it; -v shows them"] = None
        if reach.rate_limited:
            remarks["a rate limit applies: this is the answer for the first connection"] = None
        if reach.may_be_banned:
            remarks["sources may be banned at run time"] = None
        remarks |= dict.fromkeys(f"assumed: {clean(assumed)}" for assumed in reach.assumptions)
    remarks |= dict.fromkeys(f"assumed: {clean(text)}" for text in host.ruleset.assumptions)
    return list(remarks)


def _closes(reach: Reach, decision: Decision) -> bool:
    """Tell whether a rule alone would keep a closed port closed to everyone."""
    if reach.verdict != "closed" or reach.shut is None:
        return False
    never = decision.decides_for.universe.never
    return not reach.shut.mask & ~never & ~decision.decides_for.mask


def _listeners(host: Host, question: Ask, shown: Places) -> list[str]:
    found = []
    for socket in host.sockets:
        endpoint = socket.endpoint
        here = endpoint.port == question.port
        if endpoint.transport != question.transport:
            continue
        if here or any(question.port in reach.reached_as for reach in socket.reaches):
            address = clean(endpoint.address)
            address += "" if here else f" port {endpoint.port}, to which NAT takes it"
            where = _place(endpoint.location, shown)
            found.append(f"{endpoint.server} listens on {address} ({where})")
            if (one := socket.container) is not None:
                found[-1] += f" in the container {clean(one.service)}, "
                found[-1] += f"which publishes {one.published}"
    found += [
        f"a container publishes it ({_place(one.location, shown)})"
        for one in host.published
        if one.takes(question.transport, question.port)
    ]
    return found or [f"no server that was read listens on {question.transport}/{question.port}"]


# -- the steps ------------------------------------------------------------------------------


def _steps(trace: PortTrace, shown: Places) -> list[str]:
    """Return what each rule did, by the chain in which it stands."""
    lines: list[str] = []
    stage = where = ""
    for step in trace.steps:
        if step.stage != stage:
            stage, where = step.stage, ""
            lines.append(f"  {STAGES.get(stage, stage)}")
        if (here := chain_of(step)) != where:
            where = here
            lines.append(f"    {clean(here)}")
        place = "" if step.location is None else f"{_place(step.location, shown)}  "
        lines.append(f"      {'  ' * step.depth}{place}{did(step, trace.asked)}")
    blocked = trace.reach.blocked_by
    if trace.reach.verdict in ("closed", "limited") and blocked:
        closes = "closes it" if trace.reach.verdict == "closed" else "blocks the others"
        lines.append(f"  each of these {closes}:")
        lines += [f"    {_decision(decision, shown)}" for decision in blocked]
    return lines


def chain_of(step: Step | Decision) -> str:
    """Return where a rule stands: hook, priority, table and chain."""
    return (
        f"hook {step.hook} (priority {step.priority}), "
        f"table {step.table.family} {step.table.name}, chain {step.chain.name}"
    )


def did(step: Step, asked: Sources | None) -> str:
    """Return a rule, what it did, and to which sources."""
    policy = step.effect.startswith("policy-")
    does = _DOES.get(step.effect, step.effect)
    if step.effect in ("jump", "goto"):
        does = f"continues in chain {step.reason}"
    line = f"{'no rule matched' if policy else step.text}: {does}"
    if step.sources is not None and not _all(step, asked):
        line += f"{' for' if policy or not does.endswith('s') else ''} "
        line += step.sources.brief(MAX_SOURCES)
    if step.more:
        line += f" (and {step.more} rules like it)"
    if step.reason and step.effect not in ("jump", "goto"):
        line += f" ({step.reason})"
    return clean(line)


def _all(step: Step, asked: Sources | None) -> bool:
    """Tell whether a rule did it to everyone that is asked about."""
    if step.sources is None:
        return True
    universe = step.sources.universe
    everyone = universe.full if asked is None else asked.mask
    return not everyone & ~universe.never & ~step.sources.mask


def _decision(decision: Decision, shown: Places) -> str:
    where = f"{STAGES.get(decision.stage, '')}, {chain_of(decision)}"
    if decision.location is None:
        return clean(f"{decision.text} [{where}]")
    more = f" (and {decision.more} more)" if decision.more else ""
    place = _place(decision.location, shown)
    return f"{place}  {clean(decision.text)}{more}  [{clean(where)}]"


# -- data -----------------------------------------------------------------------------------


def data(
    host: Host, question: Ask, answers: Answers, *, expected: str | None = None
) -> dict[str, Any]:
    """Return the answers as data; for a single source, the verdict on its first packet too."""
    found: dict[str, Any] = {
        "version": 1,
        "host": clean(host.name),
        "transport": question.transport,
        "port": question.port,
        "assumptions": [clean(text) for text in host.ruleset.assumptions],
        **({"from": question.source} if question.source else {}),
        **{f"ipv{family}": _port_data(trace) for family, trace in answers.items()},
    }
    if expected is not None:
        found |= {"expected": expected, "met": ask.is_met(answers, expected)}
    return found


def packet_data(host: Host, question: Ask) -> dict[str, Any]:
    """Return what becomes of the first packet of a question's one source, step by step."""
    from sslint.netfilter.trace import Packet
    from sslint.reports.packets import verdict_data

    firewall = ask.firewall(host)
    [family] = question.families
    target = question.destination or HERE[family]
    sent = Packet(question.transport, question.source, target, 40000, question.port, question.iif)
    try:
        verdict = firewall.judge(sent)
        steps = firewall.trace_packet(sent)
    except ValueError as error:
        raise UsageError(str(error)) from None
    return {**verdict_data(None, verdict), "steps": [_step_data(step) for step in steps]}


def _port_data(trace: PortTrace) -> dict[str, Any]:
    found = reach_data(trace.reach) or {}
    found["blocked_by"] = [
        {**(decision_data(d) or {}), "stage": d.stage, "chain": clean(d.chain.name)}
        for d in trace.reach.blocked_by
    ]
    found["forwarded_to"] = list(trace.reach.forwarded_to)
    found["steps"] = [_step_data(step) for step in trace.steps]
    return found


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
