"""What the configuration expects of ports, and what they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from sslint import ask
from sslint.ask import Ask, Expectation, Family
from sslint.engine import Span
from sslint.facts.fact import Loose

if TYPE_CHECKING:
    from sslint.host import Host
    from sslint.netfilter.trace import PortTrace

MAX_SOURCES = 4  # networks that a message names


def expectations(host: Host) -> list[Loose]:
    """Return a fact for each entry of `expect`."""
    return [_expectation(host, one, answers) for one, answers in ask.expected(host)]


def _expectation(host: Host, one: Expectation, answers: Mapping[Family, PortTrace]) -> Loose:
    question = one.question
    otherwise = {
        family: trace
        for family, trace in answers.items()
        if trace.reach.verdict not in (one.expected, "unknown")
    }
    file = host.tree.try_read(host.target.settings) if host.target.settings else None
    span = None if file is None else Span(file.at(one.line), f"expects {one.expected}")
    return Loose(
        entity=f"{question.subject} {one.expected}",
        values={
            "transport": question.transport,
            "port": question.port,
            "subject": question.subject,
            "expected": one.expected,
            "failed": bool(otherwise),
            "found": _found(otherwise, everywhere=len(otherwise) == len(answers)),
        },
        span=span,
        spans={"decided_by": tuple(_deciding(question, otherwise))},
    )


def _found(otherwise: Mapping[Family, PortTrace], *, everywhere: bool) -> str:
    """Return what a port is, over which families."""
    verdicts: dict[str, list[str]] = {}
    for family, trace in otherwise.items():
        verdict: str = trace.reach.verdict
        if verdict == "limited" and trace.reach.opened is not None:
            verdict += f" to {trace.reach.opened.brief(MAX_SOURCES)}"
        if trace.reach.via:
            verdict += f" via {', '.join(trace.reach.via)}"
        verdicts.setdefault(verdict, []).append(f"IPv{family}")
    if everywhere and len(verdicts) == 1:
        return next(iter(verdicts))
    return " and ".join(f"{verdict} over {' and '.join(f)}" for verdict, f in verdicts.items())


def _deciding(question: Ask, otherwise: Mapping[Family, PortTrace]) -> Iterator[Span]:
    what = f"{question.transport}/{question.port}"
    for trace in otherwise.values():
        why, place = ask.because(trace, what)
        if place is not None:
            yield Span(place, why if why != place.text else f"decides {what}")
