"""Who can reach a port: the sets of sources that certainly do, certainly do not, or may.

What explains an answer is imported when it is asked for: most runs ask for little of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from sslint.netfilter.evaluation import Evaluation
from sslint.netfilter.model import HostNetwork, Interval, Ruleset
from sslint.netfilter.verdicts import Decision, Reach, ReachVerdict

if TYPE_CHECKING:
    from sslint.netfilter.openings import Opening
    from sslint.netfilter.suggest import Places, Suggestion
    from sslint.netfilter.trace import Packet, PacketVerdict, PortTrace, Step

__all__ = ["Decision", "Firewall", "Reach", "ReachVerdict"]


class Firewall(Evaluation):
    """One host's firewall, as the rest of sslint asks it; it must not change afterwards."""

    def __init__(
        self,
        ruleset: Ruleset,
        network: HostNetwork | None = None,
        apart: Mapping[int, Sequence[Interval]] | None = None,
    ) -> None:
        super().__init__(ruleset, network, apart)
        self._reaches: dict[tuple[object, ...], Reach] = {}
        self._openings: tuple[Opening, ...] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Be sent as what it is made of."""
        return _Sent, (self.ruleset, self.network, self.apart)

    def reach(
        self,
        transport: Literal["tcp", "udp"],
        port: int,
        family: Literal[4, 6],
        address: str | None = None,
    ) -> Reach:
        """Return who reaches a listener on `address` (None or a wildcard: any) and `port`."""
        memo = (transport, port, family, address)
        known = self._reaches.get(memo)
        if known is None:
            from sslint.netfilter import explain

            known = explain.reach(self, transport, port, family, address)
            if address is not None and family == 4 and self.translates:
                known = self._by_nat(transport, port, address) or known
            self._reaches[memo] = known
        return known

    def _by_nat(self, transport: Literal["tcp", "udp"], port: int, address: str) -> Reach | None:
        """Return who reaches a listener on the loopback; None if no rule leads there."""
        from sslint.netfilter import loopback

        return loopback.reach(self, transport, port, address)

    @property
    def translates(self) -> bool:
        """Whether a rule translates addresses or ports."""
        return self.survey.nats

    def glance(self, port: int, family: Literal[4, 6]) -> Reach:
        """Return who reaches a TCP port for which alone the verdict counts, in most cases."""
        from sslint.netfilter import explain

        known = self._reaches.get(("tcp", port, family, None))
        return known or explain.reach(self, "tcp", port, family, brief=True)

    def reach_outer(
        self,
        transport: Literal["tcp", "udp"],
        port: int,
        family: Literal[4, 6],
        address: str | None = None,
    ) -> Reach:
        """Return who gets through to whatever NAT puts behind an outer port."""
        from sslint.netfilter import explain

        return explain.reach(self, transport, port, family, address, outer=True)

    def judge(self, packet: Packet) -> PacketVerdict:
        """Judge one packet alone."""
        from sslint.netfilter import trace

        return trace.judge(self, packet)

    def trace_packet(self, packet: Packet) -> list[Step]:
        """Return what each rule does to a packet, in order."""
        from sslint.netfilter import trace

        return trace.trace_packet(self, packet)

    def trace_port(
        self,
        transport: Literal["tcp", "udp"],
        port: int,
        family: Literal[4, 6],
        address: str | None = None,
        iif: str | None = None,
    ) -> PortTrace:
        """Return what decides for the clients of a port, step by step."""
        from sslint.netfilter import trace

        return trace.trace_port(self, transport, port, family, address, iif)

    def openings(self) -> tuple[Opening, ...]:
        """Return the rules that name a port to accept it."""
        from sslint.netfilter import openings

        if self._openings is None:
            self._openings = openings.openings(self)
        return self._openings

    def suggest_open(
        self,
        transport: Literal["tcp", "udp"],
        port: int,
        *families: Literal[4, 6],
        places: Places | None = None,
    ) -> tuple[Suggestion, ...] | None:
        """Return the rules that, inserted, open a port to the public; None if none do."""
        from sslint.netfilter import suggest

        places = places or suggest.anywhere
        return suggest.suggest_open(self, transport, port, *families, places=places)


class _Sent(Firewall):
    """A firewall from another process, made again when it is asked: few reports do."""

    def __init__(self, *given: Any) -> None:
        self._given = given

    def __getattr__(self, name: str) -> Any:
        """Be made, once."""
        if name.startswith("__") or "survey" in self.__dict__:
            raise AttributeError(name)
        self.__dict__.update(Firewall(*self._given).__dict__)
        return getattr(self, name)
