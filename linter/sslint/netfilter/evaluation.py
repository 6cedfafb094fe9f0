"""A ruleset on a host's network, ready to be evaluated: the state that every answer shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sslint.netfilter import addresses, interfaces
from sslint.netfilter.addresses import Sources, Universe
from sslint.netfilter.chains import Evaluator
from sslint.netfilter.connections import WILDCARDS, Connections, Question, Sets
from sslint.netfilter.hooks import Hooks
from sslint.netfilter.matching import Matching
from sslint.netfilter.model import HostNetwork, Interval, Ruleset
from sslint.netfilter.notes import Notes
from sslint.netfilter.packet import PacketState
from sslint.netfilter.survey import survey
from sslint.netfilter.verdicts import PacketVerdict, Reach, ReachVerdict

MAX_BANNED = 0.01  # the share of the public that may be banned by name from an open port


class Evaluation:
    """The ruleset must not change afterwards.

    `apart`: networks by family whose sources are told apart from others.
    """

    def __init__(
        self,
        ruleset: Ruleset,
        network: HostNetwork | None = None,
        apart: Mapping[int, Sequence[Interval]] | None = None,
    ) -> None:
        self.ruleset = ruleset
        self.network = network or HostNetwork()
        self.apart = apart or {}
        self.survey = survey(ruleset)
        self.universes: dict[int, Universe] = {}
        for family in (4, 6):
            endpoints = list(self.survey.endpoints[family])
            endpoints += [(address, address) for address in self.network.own(family)]
            endpoints += interfaces.links(self.network, family)
            endpoints += self.apart.get(family, ())
            self.universes[family] = Universe(family, endpoints)
        self.matching = Matching(ruleset, self.network, self.universes)
        self.evaluator = Evaluator(self.matching)
        self.hooks = Hooks(ruleset, self.survey, self.evaluator)
        self.connections = Connections(self.hooks)
        self.public, self.others = interfaces.classes(self.survey, self.network)
        self._alternatives: tuple[Evaluation, ...] | None = None
        # What rules do to a question's packets, by interface, outer port and the rules told apart.
        self.told: dict[tuple[Question, str, int, frozenset[int]], Notes] = {}
        self.judged: dict[tuple[PacketState, int], PacketVerdict] = {}

    def not_judged(self, family: int, address: str | None) -> Reach | None:
        """Return the answer where no packet needs to be followed."""
        everyone = Sources(self.universes[family], self.universes[family].full)
        if address is not None and address not in WILDCARDS:
            kind, value = addresses.parse(address)
            if kind != family:
                reason = f"it does not listen on IPv{family}"
                return Reach("closed", shut=everyone, reasons=(reason,))
            if addresses.contains(addresses.LOOPBACK[kind], value):
                return Reach("closed", shut=everyone, reasons=("it is bound to loopback",))
        if family == 6 and self.network.ipv6 is False:
            return Reach("closed", shut=everyone, reasons=("IPv6 is disabled",))
        reason = ""
        if self.ruleset.empty:
            reason = "no firewall found"
        elif family not in self.ruleset.families and not any(
            family in missing.families for missing in self.ruleset.missing
        ):
            reason = f"no rules for IPv{family} were found"
        elif self.survey.broken:
            reason = next(iter(self.survey.broken))
        if reason:
            return Reach("unknown", doubtful=everyone, reasons=(reason,))
        return None

    def doubted(self, transport: str, port: int, family: int) -> Reach | None:
        """Return the answer for a port of which nothing can be known."""
        for doubt in self.ruleset.unknown_ports:
            about = doubt.transport == transport and port in doubt.ports
            if about and family in doubt.families:
                everyone = Sources(self.universes[family], self.universes[family].full)
                return Reach("unknown", doubtful=everyone, reasons=(doubt.reason,))
        return self._disagreement(transport, port, family)

    def _disagreement(self, transport: str, port: int, family: int) -> Reach | None:
        """Return the answer where one ruleset or another is in force, and these differ."""
        if not self.ruleset.alternatives or transport not in ("tcp", "udp"):
            return None
        if self._alternatives is None:
            self._alternatives = tuple(
                Evaluation(ruleset, self.network, self.apart)
                for ruleset in self.ruleset.alternatives
            )
        found: dict[object, str] = {}
        for one in self._alternatives:
            verdicts, who = one._briefly(transport, port, family)
            names = " with ".join(dict.fromkeys(source.path for source in one.ruleset.sources))
            found.setdefault((verdicts, who), f"{names}: {' or '.join(dict.fromkeys(verdicts))}")
        if len(found) < 2:
            return None
        reason = f"which ruleset is in force is not in the files ({'; '.join(found.values())})"
        everyone = Sources(self.universes[family], self.universes[family].full)
        return Reach("unknown", doubtful=everyone, reasons=(reason,))

    def _briefly(
        self, transport: str, port: int, family: int
    ) -> tuple[tuple[ReachVerdict, ...], tuple[object, ...]]:
        """Return the verdict on an outer port by interface, and who gets in where some do."""
        early = self.not_judged(family, None) or self.doubted(transport, port, family)
        if early is not None:
            return (early.verdict,), ()
        question = self.connections.question(transport, port, family, None, True)
        verdicts, who = [], []
        for iif in self.public:
            sets, _ = self.gate(self.connections.sets(question, iif).sets, family)
            verdict, _ = self.verdict(sets, family)
            verdicts.append(verdict)
            who.append(self.universes[family].cidrs(sets.open) if verdict == "limited" else ())
        return tuple(verdicts), tuple(who)

    def gate(self, sets: Sets, family: int) -> tuple[Sets, list[str]]:
        """Allow for the layers that are not in the input."""
        full = self.universes[family].full
        reasons = []
        certain, possible = sets.open, sets.possible
        for missing in self.ruleset.missing:
            if family in missing.families:
                if missing.may_open:
                    possible = full
                if possible:
                    reasons.append(missing.reason)
                certain = 0
        if family not in self.ruleset.families:
            possible, certain = full, 0
        return Sets(certain, possible), reasons

    def verdict(self, sets: Sets, family: int) -> tuple[ReachVerdict, float]:
        """Return the verdict, and the share of the public that certainly gets in."""
        universe = self.universes[family]
        relevant = universe.full & ~universe.never
        certain, possible = sets.open & relevant, sets.possible & relevant
        public = universe.weight(universe.public)
        share = universe.weight(certain & universe.public) / public
        if universe.weight(universe.public & ~certain) < MAX_BANNED * public:
            return "open", share
        if certain and possible != relevant:
            return "limited", share
        return ("unknown" if possible else "closed"), share
