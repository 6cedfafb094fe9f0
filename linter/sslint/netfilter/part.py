"""What some sources alone get of a port: an answer for everyone, narrowed to their networks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from sslint.netfilter.addresses import Sources, Universe
from sslint.netfilter.evaluation import Evaluation
from sslint.netfilter.model import Interval
from sslint.netfilter.trace import PortTrace, Step, trace_port
from sslint.netfilter.verdicts import Decision, Reach, ReachVerdict
from sslint.values import replace


def trace_part(
    firewall: Evaluation,
    transport: Literal["tcp", "udp"],
    port: int,
    family: Literal[4, 6],
    networks: Sequence[Interval],
    address: str | None = None,
    iif: str | None = None,
) -> PortTrace:
    """Return what decides for the sources of some networks, and who of them reaches a port.

    Where the interfaces that they may come in by differ: a private network may lie behind any one
    of them, so that what gets in by one is open, `via` that one; for public sources it is limited.
    """
    whole = Evaluation(firewall.ruleset, firewall.network, apart={family: networks})
    if len(networks) == 1 and networks[0][0] == networks[0][1] and whole.survey.scattered:
        whole.matching.exact = (family, networks[0][0])
    universe = whole.universes[family]
    asked = universe.mask(networks) & ~universe.never
    if not asked:
        nobody = Reach("closed", reasons=("no packet from outside has such a source",))
        return PortTrace(nobody, (), whole.public[0])
    if whole.not_judged(family, address) or whole.doubted(transport, port, family):
        trace = trace_port(whole, transport, port, family, address, iif)
        return _narrow(trace, universe, asked)
    question = whole.connections.question(transport, port, family, address, True)

    def alike(faces: Iterable[str]) -> dict[tuple[int, int], list[str]]:
        """Group interfaces by who of those asked about certainly and possibly gets in."""
        found: dict[tuple[int, int], list[str]] = {}
        for face in faces:
            sets, _ = whole.gate(whole.connections.sets(question, face).sets, family)
            found.setdefault((sets.open & asked, sets.possible & asked), []).append(face)
        return found

    groups = alike((iif,) if iif is not None else whole.public)
    if iif is None and not any(possible for _, possible in groups):
        others = alike(whole.others)  # what is closed must be closed there too
        groups |= {masks: faces for masks, faces in others.items() if masks[1]}
    traces = [
        _narrow(trace_port(whole, transport, port, family, address, faces[0]), universe, asked)
        for faces in groups.values()
    ]
    via = tuple(face for (certain, _), faces in groups.items() if certain for face in faces)
    return _joined(traces, via, public=bool(asked & universe.public))


def _joined(traces: Sequence[PortTrace], via: tuple[str, ...], *, public: bool) -> PortTrace:
    """Join the answers of interfaces, of which `via` let some of the sources in."""
    verdicts = {trace.reach.verdict for trace in traces}
    if len(verdicts) == 1:
        return traces[0]
    if not via:
        return next(trace for trace in traces if trace.reach.verdict == "unknown")
    best = min(traces, key=lambda trace: _WIDEST.index(trace.reach.verdict))
    verdict = best.reach.verdict
    if public:
        verdict = "limited" if verdicts & {"closed", "limited"} else "unknown"
    return replace(best, reach=replace(best.reach, verdict=verdict, via=via))


_WIDEST = ("open", "limited", "unknown", "closed")


def _narrow(trace: PortTrace, universe: Universe, asked: int) -> PortTrace:
    """Return an answer for those asked about alone."""
    reach = trace.reach
    certain = _mask(reach.opened) & asked
    possible = certain | _mask(reach.doubtful) & asked
    everyone = reach.verdict == "open" and asked & universe.public == universe.public
    verdict = "open" if everyone else _verdict(certain, possible, asked)
    steps = _steps(trace.steps, asked)
    narrowed = replace(
        reach,
        verdict=verdict,
        opened=Sources(universe, certain),
        shut=Sources(universe, asked & ~possible),
        doubtful=Sources(universe, possible & ~certain),
        public_share=Sources(universe, certain).public_share,
        decided_by=_decisions(reach.decided_by, asked),
        blocked_by=_decisions(reach.blocked_by, asked),
        reasons=reach.reasons if verdict in ("unknown", reach.verdict) else (),
        via=(),
        rejected=verdict == "closed" and _rejected(steps, asked),
        stage=reach.stage if verdict == "closed" else "",
    )
    return replace(trace, reach=narrowed, steps=steps, asked=Sources(universe, asked))


def _rejected(steps: Iterable[Step], left: int) -> bool:
    """Tell whether what first closes the port to most of the sources `left` rejects them."""
    rejects, most = False, -1
    for step in steps:
        if step.sources is not None and step.effect in ("drop", "reject", "policy-drop"):
            weight = step.sources.universe.weight(step.sources.mask & left)
            left &= ~step.sources.mask
            if weight > most:
                rejects, most = step.effect == "reject", weight
    return rejects


def _verdict(certain: int, possible: int, asked: int) -> ReachVerdict:
    if certain == asked:
        return "open"
    if certain and possible != asked:
        return "limited"
    return "unknown" if possible else "closed"


def _mask(sources: Sources | None) -> int:
    return sources.mask if sources is not None else 0


def _steps(steps: Iterable[Step], asked: int) -> tuple[Step, ...]:
    return tuple(
        replace(step, sources=Sources(step.sources.universe, step.sources.mask & asked))
        for step in steps
        if step.sources is not None and step.sources.mask & asked
    )


def _decisions(decisions: Iterable[Decision], asked: int) -> tuple[Decision, ...]:
    return tuple(
        replace(d, decides_for=Sources(d.decides_for.universe, d.decides_for.mask & asked))
        for d in decisions
        if d.decides_for.mask & asked
    )
