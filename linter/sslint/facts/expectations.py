"""What the configuration expects of ports, and what they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Literal

from sslint import ask
from sslint.ask import Ask, Expectation, Family
from sslint.engine import Span
from sslint.facts.fact import Fact, Places, field, of
from sslint.facts.ports import Transport

if TYPE_CHECKING:
    from sslint.facts.collection import Facts
    from sslint.netfilter.trace import PortTrace

MAX_SOURCES = 4  # networks that a message names


def expectations(facts: Facts) -> list[Expected]:
    """Return a fact for each entry of `expect`."""
    if not facts.host.target.expect:
        return []
    return [Expected(facts, one, answers) for one, answers in ask.expected(facts.host)]


class Expected(Fact):
    """An entry of `expect` in the configuration."""

    source: Expectation

    expected: Literal["open", "closed", "limited"]
    "What the port should be."

    def __init__(
        self, facts: Facts, source: Expectation, answers: Mapping[Family, PortTrace]
    ) -> None:
        target = facts.host.target
        file = target.tree.try_read(target.settings) if target.settings else None
        super().__init__(
            facts,
            source,
            f"{source.question.subject} {source.expected}",
            Span(file.at(source.line), f"expects {source.expected}") if file is not None else None,
        )
        self._otherwise = {
            family: trace
            for family, trace in answers.items()
            if trace.reach.verdict not in (source.expected, "unknown")
        }
        self._everywhere = len(self._otherwise) == len(answers)

    transport: Transport = of("source.question.transport")
    "The transport of the port."
    port: int = of("source.question.port")
    "The port."

    subject: str = of("source.question.subject")
    "The port, and the clients if only some are meant."

    @field
    def failed(self) -> bool:
        """Over some family it is certainly otherwise."""
        return bool(self._otherwise)

    @field
    def found(self) -> str:
        """The verdicts where they are otherwise, with sources, interfaces and families."""
        return _found(self._otherwise, everywhere=self._everywhere)

    @field
    def decided_by(self) -> Places:
        """What decides where it is otherwise."""
        return tuple(_deciding(self.source.question, self._otherwise))


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
