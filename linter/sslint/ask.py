"""Who reaches a port of a host: what `sslint trace` asks, and the `expect:` of a configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from sslint import ports
from sslint.errors import UsageError
from sslint.netfilter import addresses
from sslint.netfilter.model import Interval
from sslint.ports import Transport
from sslint.values import dataclass

if TYPE_CHECKING:
    from sslint.host import Host
    from sslint.netfilter.reach import Firewall
    from sslint.netfilter.trace import PortTrace, Step
    from sslint.netfilter.verdicts import Decision
    from sslint.source import Location

Family = Literal[4, 6]
Networks = Mapping[Family, tuple[Interval, ...]]
FAMILIES: tuple[Family, ...] = (4, 6)
PUBLIC = "public"


@dataclass(frozen=True, slots=True)
class Ask:
    """Whether clients reach a port; `networks`: only those of them, which `source` names."""

    transport: Transport
    port: int
    families: tuple[Family, ...] = FAMILIES
    source: str = ""
    networks: Networks | None = None
    destination: str | None = None
    iif: str | None = None

    @property
    def subject(self) -> str:
        """What is asked about, in words."""
        return f"{self.transport}/{self.port}" + (f" from {self.source}" if self.source else "")

    @property
    def is_one_source(self) -> bool:
        """Whether one address alone is asked about."""
        found = [one for some in (self.networks or {}).values() for one in some]
        return len(found) == 1 and found[0][0] == found[0][1]


def ask(
    transport: Transport,
    port: int,
    *,
    source: str | None = None,
    family: str | None = None,
    destination: str | None = None,
    iif: str | None = None,
    named: Mapping[str, Sequence[str]] | None = None,
) -> Ask:
    """Return a question; `family` is ipv4 or ipv6, `named` are networks by name.

    Raise UsageError for sources and a destination that have no family in common.
    """
    families: tuple[Family, ...] = FAMILIES
    if family is not None:
        families = (4,) if family == "ipv4" else (6,)
    networks = None if source is None else sources(source, named or {})
    if networks is not None:
        families = tuple(one for one in families if one in networks)
    if destination is not None:
        try:
            kind = addresses.parse(destination)[0]
        except ValueError:
            raise UsageError(f"{destination!r} is not an address") from None
        families = tuple(one for one in families if one == kind)
    if not families:
        given = " and ".join(text for text in (source, destination, family) if text)
        raise UsageError(f"{given} are of different families")
    return Ask(transport, port, families, source or "", networks, destination, iif)


def networks(named: Mapping[str, object]) -> dict[str, list[str]]:
    """Return a configuration's networks, each a CIDR or a list of them, as lists."""
    return {
        name: [str(item) for item in value] if isinstance(value, list) else [str(value)]
        for name, value in named.items()
    }


def sources(text: str, named: Mapping[str, Sequence[str]]) -> Networks:
    """Return the networks that an address, a CIDR, a name or `public` stands for, by family."""
    if text == PUBLIC:
        return {4: addresses.PUBLIC[4], 6: addresses.PUBLIC[6]}
    found: dict[Family, tuple[Interval, ...]] = {}
    for one in named.get(text, (text,)):
        try:
            kind, interval = addresses.network(one)
        except ValueError:
            names = ", ".join((PUBLIC, *named))
            raise UsageError(f"{one!r} is not an address, a network or a name ({names})") from None
        family: Family = 4 if kind == 4 else 6
        found[family] = (*found.get(family, ()), interval)
    return found


def firewall(host: Host) -> Firewall:
    """Return a host's firewall; one without any rules where none was found."""
    from sslint.netfilter.reach import Firewall

    if isinstance(host.firewall, Firewall):
        return host.firewall
    return Firewall(host.ruleset, host.network.network)


def answers(host: Host, question: Ask) -> dict[Family, PortTrace]:
    """Return who reaches the port, and what decides, by family."""
    asked = firewall(host)
    if question.networks is None:
        return {
            family: asked.trace_port(
                question.transport, question.port, family, question.destination, question.iif
            )
            for family in question.families
        }
    from sslint.netfilter.part import trace_part

    return {
        family: trace_part(
            asked,
            question.transport,
            question.port,
            family,
            question.networks[family],
            question.destination,
            question.iif,
        )
        for family in question.families
    }


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a configuration expects of a port; `line` is its line there, 0 if it has none."""

    question: Ask
    expected: str
    line: int = 0


def expectation(
    entry: Mapping[str, Any], named: Mapping[str, Sequence[str]], line: int = 0
) -> Expectation:
    """Return what an entry of `expect:` means. Raise UsageError."""
    transport, port = ports.parse(str(entry["port"]))
    source, family = entry.get("from"), entry.get("family")
    question = ask(transport, port, source=source, family=family, named=named)
    return Expectation(question, entry["is"], line)


def expected(host: Host) -> list[tuple[Expectation, Mapping[Family, PortTrace]]]:
    """Return the expectations of a host, each with the answers."""
    if host.expected is None:
        host.expected = [(one, answers(host, one.question)) for one in host.target.expect]
    return host.expected


def is_met(found: Mapping[Family, PortTrace], expected: str) -> bool | None:
    """Tell whether every family has the expected verdict; None where one of them is not known."""
    verdicts = [trace.reach.verdict for trace in found.values()]
    if "unknown" in verdicts:
        return None
    return all(verdict == expected for verdict in verdicts)


# -- why ------------------------------------------------------------------------------------

_DECISIVE = {
    "open": ("accept", "policy-accept"),
    "limited": ("accept", "policy-accept"),
    "closed": ("drop", "reject", "policy-drop"),
    "unknown": ("unknown",),
}
_FAILS = {
    "synproxy": "the handshake of SYNPROXY fails: ",
    "answer": "the answer does not get out: ",
    "established": "the packets that follow do not get in: ",
    "neighbour-discovery": "neighbour discovery fails: ",
}
MAX_TEXT = 200  # characters of a rule


def because(trace: PortTrace, what: str) -> tuple[str, Location | None]:
    """Return why a port has its verdict in words, and the line that decides."""
    reach = trace.reach
    decision = _decision(trace)
    place = None if decision is None else decision.location
    if reach.verdict == "unknown" or decision is None:
        return "; ".join(reach.reasons), place
    stage = _FAILS.get(decision.stage, "") if reach.verdict == "closed" else ""
    return stage + _done(decision, what), place


def _decision(trace: PortTrace) -> Decision | Step | None:
    """Return what decides for most: the first of those that close, the last of those that open."""
    reach = trace.reach
    wanted = _DECISIVE[reach.verdict]
    for some in (reach.decided_by, reach.blocked_by, trace.steps):
        found: list[Decision | Step] = [one for one in some if one.effect in wanted]
        if found:
            if wanted[0] == "accept":
                found.reverse()
            return max(found, key=_share)
    return reach.translated_by[0] if reach.translated_by else None


def _share(decision: Decision | Step) -> float:
    from sslint.netfilter.verdicts import Decision

    sources = decision.decides_for if isinstance(decision, Decision) else decision.sources
    return sources.public_share if sources is not None else 0.0


def _done(decision: Decision | Step, what: str) -> str:
    """Say what a rule or a policy does."""
    text = decision.text
    if decision.effect == "policy-drop":
        return f"no rule accepts {what}; policy drop"
    if decision.effect == "policy-accept":
        return f"no rule stops {what}; policy accept"
    if decision.rule is not None and text.startswith("<zone") and decision.effect != "accept":
        label = decision.rule.label
        return f"{label} lists no service or port that covers {what}; its target {decision.effect}s"
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}..."
