"""The way of a packet through the firewall, as places to look at one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sslint import ask
from sslint.reports.trace import STAGES, chain_of, did
from sslint.source import Location
from sslint.values import dataclass

if TYPE_CHECKING:
    from sslint.engine import Finding
    from sslint.host import Host
    from sslint.netfilter.trace import PortTrace
    from sslint.ports import Transport

MAX_STEPS = 40


@dataclass(frozen=True, slots=True)
class Turn:
    """What one rule or policy did to the packets of a port; `chain` is where it stands."""

    location: Location | None
    chain: str
    text: str
    effect: str


def port_of(finding: Finding) -> tuple[Transport, int] | None:
    """Return the port that a finding is about."""
    transport = getattr(finding.fact, "transport", None)
    port = getattr(finding.fact, "port", None)
    if transport not in ("tcp", "udp") or not isinstance(port, int) or not 0 < port < 65536:
        return None
    return transport, port


def traces(host: Host, transport: Transport, port: int) -> dict[int, PortTrace]:
    """Return the answer for a port and each family, with its steps."""
    return dict(ask.answers(host, ask.ask(transport, port)).items())


def turns(trace: PortTrace) -> list[Turn]:
    """Return the steps of an answer; those of a closed port end with the packet that fails."""
    found = []
    stages = list(dict.fromkeys(step.stage for step in trace.steps))
    if trace.reach.verdict == "closed":
        fails = trace.reach.stage or "new"
        stages = stages[: stages.index(fails) + 1] if fails in stages else stages
    for step in [step for step in trace.steps if step.stage in stages][:MAX_STEPS]:
        stage = STAGES.get(step.stage, step.stage)
        chain = f"{stage}, {chain_of(step)}"
        found.append(Turn(step.location, chain, did(step, trace.asked), step.effect))
    return found


def way(host: Host, finding: Finding) -> list[Turn]:
    """Return the way to the port of a finding, over the family that has it worst."""
    port = port_of(finding)
    if port is None:
        return []
    found = traces(host, *port)
    if not found:
        return []
    bad = ("closed", "limited", "unknown", "open")
    return turns(min(found.values(), key=lambda trace: bad.index(trace.reach.verdict)))
