"""The way of a packet: every base chain of every table at each hook, conntrack and NAT between."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from sslint.netfilter import addresses, nat
from sslint.netfilter.chains import Evaluator, Flow, add, few
from sslint.netfilter.matching import Matching
from sslint.netfilter.model import (
    CONNTRACK_PRIORITY,
    PRIORITIES,
    Chain,
    CtState,
    CtStatus,
    Hook,
    Key,
    PktType,
    Ruleset,
    Table,
)
from sslint.netfilter.notes import Note, Notes, Stage
from sslint.netfilter.packet import (
    ANSWERED,
    ARP,
    FREE,
    HEADERS,
    ICMPV6,
    TEMPLATE,
    PacketState,
    at_hook,
)
from sslint.netfilter.survey import Survey
from sslint.values import dataclass, field

Member = tuple[Table, Chain]
# What is not a source beside own addresses and the loopback (ip_route_input_slow)
_NO_SOURCE = ((0, 0), *addresses.MULTICAST[4], (0xFFFFFFFF, 0xFFFFFFFF))
_MARTIAN = (
    "the kernel drops connections that a rule sends to 127.0.0.0/8, because no sysctl file sets "
    "route_localnet=1"
)
# Its route is looked for behind the ingress interface alone (rt6_need_strict).
_MARTIAN6 = "the kernel delivers nothing to ::1 that came in by another interface than lo"
_LOCALHOST6 = 1
# It is delivered, but TCP answers nobody there (tcp_v4_conn_request, ipv6_unicast_destination).
_SHARED = "a rule sends connections to a broadcast address, or to the anycast address of routers"
_ND_TYPES = range(133, 138)  # RFC 4861: never tracked, nf_conntrack_proto_icmpv6.c
# include/uapi/linux/netfilter/nf_conntrack_common.h
_SRC_NAT_DONE, _DST_NAT_DONE = 128, 256


@dataclass(slots=True)
class Log:
    """What was dropped on the way; with `notes`, also by which rule.

    `through`: what is dropped goes on all the same, to find all that would drop it.
    """

    drop: int = 0
    notes: Notes | None = None
    through: bool = False
    stage: Stage = "new"


@dataclass(frozen=True, slots=True)
class _Step:
    """One stop at a hook; nat base chains share one, at NAT's own priority."""

    kind: Literal["base", "conntrack", "nat"]
    members: tuple[Member, ...] = ()


@dataclass(slots=True)
class Arrival:
    """Where packets may arrive: at this host's sockets, or through it at another host."""

    local: Flow = field(default_factory=dict)
    forward: Flow = field(default_factory=dict)


class Hooks:
    """Runs packets through the hooks of one host."""

    def __init__(self, ruleset: Ruleset, found: Survey, evaluator: Evaluator) -> None:
        self.ruleset = ruleset
        self.survey = found
        self.evaluator = evaluator
        self.matching: Matching = evaluator.matching
        self._steps: dict[tuple[int, Hook, str | None], list[_Step]] = {}
        # When NAT was registered, by family: with the first nat chain, at every hook at once
        # (nf_nat_register_fn).
        self.nat_orders: dict[int, int] = {}
        for table, chain in self.bases():
            if chain.base is not None and chain.base.type == "nat":
                for family in {"ip": (4,), "ip6": (6,), "inet": (4, 6)}.get(table.family, ()):
                    first = self.nat_orders.get(family, chain.order)
                    self.nat_orders[family] = min(first, chain.order)

    def bases(self) -> list[Member]:
        """Return the base chains in force."""
        return [
            (table, chain)
            for table in self.ruleset.tables
            if not table.dormant
            for chain in table.chains.values()
            if chain.base is not None
        ]

    # -- the whole way ------------------------------------------------------------------------

    def arrive(self, flow: Flow, own: tuple[int, ...], log: Log) -> Arrival:
        """Take incoming packets to the sockets of this host, or out of it again."""
        flow = self.run("ingress", flow, log)
        for state, mask in flow.items():
            if (HEADERS, None) in state.written:  # the IP header is looked at next (ip_rcv)
                log.drop |= mask
        flow = self._for_this_host(flow, log)
        flow = self.run("prerouting", flow, log)
        here: Flow = {}
        there: Flow = {}
        for state, mask in flow.items():
            martian, reason = self._martian(state)
            if state.mangled and martian is False:
                martian = self._is_martian_source(state)
            if martian is not False:
                _note(log, mask, state, "drop" if martian else "unknown", reason)
                log.drop |= mask
                if martian and not log.through:
                    continue
            where = nat.local(state, own, self.matching)
            if where is not False:
                add(here, state, mask)
            if where is not True:
                out = self._way_out(state)
                bound = mask & self._bound_to_a_link(state) if out != state.iif else 0
                log.drop |= bound
                kept = mask & ~bound if out is not None else mask
                add(there, state._replace(oif=out, translated=True), kept)
        arrival = Arrival()
        arrival.local = self.run("input", here, log)
        if there:
            self.matching.assume("packets to other hosts are forwarded (ip_forward=1)")
            there = self.run("forward", there, log)
            there = self.run("postrouting", there, log)
            arrival.forward = self.run("egress", there, log)
        return arrival

    def _for_this_host(self, flow: Flow, log: Log) -> Flow:
        """Leave out what an ingress rule has made another host's (PACKET_OTHERHOST, ip_rcv)."""
        if not any(state.written for state in flow):
            return flow
        kept: Flow = {}
        for state, mask in flow.items():
            kind = dict(state.written).get("meta.pkttype", PktType.HOST)
            if kind in (None, PktType.OTHER):
                log.drop |= mask
            if kind != PktType.OTHER:
                add(kept, state, mask)
        return kept

    def _is_martian_source(self, state: PacketState) -> bool | None:
        """Tell whether routing drops a packet for the source that a rule gave it; None: it may."""
        source = self.matching.read(Key("ip.saddr"), state)
        if state.family == 6 or source is FREE:
            return False
        if not isinstance(source, int):
            return None
        return source in self.matching.network.own(4) or any(
            addresses.contains(ranges, source) for ranges in (addresses.LOOPBACK[4], _NO_SOURCE)
        )

    def _bound_to_a_link(self, state: PacketState) -> int:
        """Return the far addresses that are not forwarded to another link (ip6_forward)."""
        if state.family != 6:
            return 0
        return self.matching.universes[6].mask(addresses.LINK_LOCAL[6])

    def _martian(self, state: PacketState) -> tuple[bool | None, str]:
        """Tell whether a packet is dropped for where a rule sent it, or may be (None), and why.

        Source: ip_route_input_slow (net/ipv4/route.c), ip6_route_input (net/ipv6/route.c).
        """
        network, host = self.matching.network, state.host
        if state.family == ARP:
            return False, ""
        if host in network.shared(state.family) and host not in network.own(state.family):
            return None, _SHARED
        if state.family == 6:
            return host == _LOCALHOST6 and state.iif != "lo", _MARTIAN6
        if host == 0:
            return True, _MARTIAN
        if not addresses.contains(addresses.LOOPBACK[4], host) or state.iif == "lo":
            return False, _MARTIAN
        routed = network.localnet(state.iif)
        return (None if routed is None else not routed), _MARTIAN

    def leave(self, flow: Flow, log: Log) -> Flow:
        """Take packets of this host's own out of it."""
        for hook in _OUTWARD:
            flow = self.run(hook, flow, log)
        return flow

    def pass_back(self, flow: Flow, log: Log) -> Flow:
        """Take another host's answers through this one, to the client."""
        for hook in _BACKWARD:
            flow = self.run(hook, flow, log)
        return flow

    def _way_out(self, state: PacketState) -> str | None:
        """Return the interface that leads to a host, as the tree or the rules themselves say."""
        for interface in self.matching.network.interfaces:
            width = 32 if state.family == 4 else 128
            for address, length in interface.addresses(state.family):
                if (address ^ state.host) >> (width - length) == 0:
                    return interface.name
        behind = self.survey.links[state.family]
        said = {name for (low, high), name in behind if low <= state.host <= high}
        if len(said) != 1:
            return None
        (name,) = said
        shown = addresses.show(state.family, state.host)
        self.matching.assume(f"{shown} is behind {name}, as the rules say")
        return name

    # -- one hook -----------------------------------------------------------------------------

    def run(self, hook: Hook, flow: Flow, log: Log) -> Flow:
        """Run packets through one hook; return what may pass it."""
        if not flow:
            return flow
        first = next(iter(flow))
        device = None
        if hook in ("ingress", "egress"):
            device = first.iif if hook == "ingress" else first.oif
            apart: dict[str | None, Flow] = {}
            for state, mask in flow.items():
                add(
                    apart.setdefault(state.iif if hook == "ingress" else state.oif, {}), state, mask
                )
            if len(apart) > 1:
                runs = [self.run(hook, part, log) for part in apart.values()]
                return _merged((s, m) for run in runs for s, m in run.items())
        answered: Flow = {}  # by SYNPROXY, before the rest of the hook
        steps = self.steps(first.family, hook, device)
        flow = _merged([(at_hook(state, hook), mask) for state, mask in few(flow).items()])
        for step in steps:
            if self.survey.synproxy:
                for state in [s for s in flow if s.synproxy == ANSWERED]:
                    add(answered, state, flow.pop(state))
            if not flow:
                break
            if step.kind == "conntrack":
                flow = _merged((track(state), mask) for state, mask in flow.items())
            elif step.kind == "nat":
                flow = self._nat(step, hook, flow, log)
            else:
                (member,) = step.members
                flow = self._base(member, flow, log)
        for state, mask in answered.items():
            add(flow, state, mask)
        return flow

    def steps(self, family: int, hook: Hook, device: str | None) -> list[_Step]:
        """Return the stops at a hook in the order in which the kernel makes them.

        At equal priority the chain registered last runs first (nf_hook_entries_grow).
        """
        memo = (family, hook, device)
        known = self._steps.get(memo)
        if known is not None:
            return known
        ordered: list[tuple[int, int, int, _Step]] = []
        translating: list[tuple[int, int, int, Member]] = []
        for index, (table, chain) in enumerate(self.bases()):
            base = chain.base
            assert base is not None
            if base.hook != hook or not _sees(table, family, hook):
                continue
            if hook in ("ingress", "egress") and not _on(base.devices, device):
                continue
            place = (base.priority, -chain.order, -index)
            if base.type == "nat":
                translating.append((*place, (table, chain)))
            else:
                ordered.append((*place, _Step("base", ((table, chain),))))
        if hook in ("prerouting", "output") and family != ARP:
            # Registered when the first rule that needs it is read, so before the chains:
            # at its own priority they run first.
            ordered.append((CONNTRACK_PRIORITY, 1, 0, _Step("conntrack")))
        if family in self.nat_orders and hook in _NAT_PRIORITY:
            translating.sort(key=lambda entry: entry[:3])
            members = tuple(entry[3] for entry in translating)
            place = (_NAT_PRIORITY[hook], -self.nat_orders[family], 0)
            ordered.append((*place, _Step("nat", members)))
        ordered.sort(key=lambda entry: entry[:3])
        known = self._steps[memo] = [entry[3] for entry in ordered]
        return known

    def _base(self, member: Member, flow: Flow, log: Log) -> Flow:
        table, chain = member
        base = chain.base
        assert base is not None
        passed: Flow = {}
        returned: Flow = {}
        before = log.drop
        dropped = 0
        if log.notes is None:
            for state, mask in flow.items():
                outcome = self.evaluator.outcome(table, chain, state)
                for after, accepted in outcome.accept.items():
                    add(passed, after, accepted & mask)
                for after, fallen in outcome.returns.items():
                    add(returned, after, fallen & mask)
                dropped |= outcome.drop & mask
        else:
            first = len(log.notes)
            outcome = self.evaluator.explain(table, chain, flow, log.notes)
            passed, returned, dropped = outcome.accept, outcome.returns, outcome.drop
            for state, mask in returned.items():
                log.notes.append(Note(f"policy-{base.policy}", mask, table, chain, None, state))
            for note in log.notes[first:]:
                note.stage, note.base = log.stage, chain
        if base.policy == "drop":
            for mask in returned.values():
                dropped |= mask
        else:
            for state, mask in returned.items():
                add(passed, state, mask)
        log.drop = before | dropped
        if log.through and dropped:
            kept = 0
            for mask in passed.values():
                kept |= mask
            for state, mask in flow.items():
                add(passed, state, mask & dropped & ~kept)
        return passed

    def _nat(self, step: _Step, hook: Hook, flow: Flow, log: Log) -> Flow:
        """Translate: only a tracked connection's first packet asks the rules."""
        done: Flow = {}
        for state, mask in flow.items():
            if not state.tracked or state.family not in self.survey.conntrack:
                add(done, state, mask)
                continue
            if state.ct != CtState.NEW or state.binding is not None:
                add(done, _retranslated(state, hook), mask)
                continue
            if ("ct.state", None) in state.written:  # it may be of no connection after all
                add(done, state, mask)
            current: Flow = {state: mask}
            for member in step.members:
                waiting = {s: m for s, m in current.items() if not s.translated}
                current = {s: m for s, m in current.items() if s.translated}
                if waiting:
                    for after, passed in self._base(member, waiting, log).items():
                        add(current, after, passed)
            bit = _DST_NAT_DONE if hook in ("prerouting", "output") else _SRC_NAT_DONE
            for after, passed in current.items():
                status = None if after.status is None else after.status | bit
                add(done, after._replace(status=status, translated=False), passed)
        return done


_OUTWARD: tuple[Hook, ...] = ("output", "postrouting", "egress")
_BACKWARD: tuple[Hook, ...] = ("ingress", "prerouting", "forward", "postrouting", "egress")
_NAT_PRIORITY: dict[Hook, int] = {
    "prerouting": PRIORITIES["dstnat"],
    "output": PRIORITIES["dstnat"],
    "input": PRIORITIES["srcnat"],
    "postrouting": PRIORITIES["srcnat"],
}


def doubt(log: Log, mask: int, state: PacketState, reason: str) -> None:
    """Note that nothing is known of what became of a packet."""
    _note(log, mask, state, "unknown", reason)


def _note(log: Log, mask: int, state: PacketState, effect: str, reason: str) -> None:
    """Say at the last rule that rewrote a packet what became of it."""
    for note in reversed(log.notes or ()):
        if note.effect in ("nat", "set") and note.mask & mask:
            assert log.notes is not None
            log.notes.append(
                Note(
                    effect, note.mask & mask, note.table, note.chain, note.rule, state,
                    reason, note.depth, stage=log.stage, base=note.base,
                )
            )  # fmt: skip
            return


def _merged(pairs: Iterable[tuple[PacketState, int]]) -> Flow:
    flow: Flow = {}
    for state, mask in pairs:
        if mask:
            flow[state] = flow.get(state, 0) | mask if flow else mask
    return flow


def _sees(table: Table, family: int, hook: Hook) -> bool:
    if table.family == "netdev":
        return hook in ("ingress", "egress")
    if family == ARP:
        return table.family == "arp"
    return table.family == "inet" or table.family == ("ip" if family == 4 else "ip6")


def _on(devices: tuple[str, ...], device: str | None) -> bool:
    return device is not None and any(
        device.startswith(name[:-1]) if name.endswith("*") else device == name for name in devices
    )


def track(state: PacketState) -> PacketState:
    """Look the packet's connection up (nf_conntrack_in), which ends a template."""
    if state.ct != CtState.INVALID or state.tracked:  # notrack, or tracked at an earlier hook
        return state
    written = tuple(item for item in state.written if item[0] != TEMPLATE)
    if len(written) < len(state.written):
        if state.connection == CtState.INVALID:
            written = tuple(item for item in written if not item[0].startswith("ct."))
        state = state._replace(written=written)
    if state.proto == ICMPV6 and state.icmp_type in _ND_TYPES:
        return state._replace(ct=CtState.UNTRACKED)
    if state.connection == CtState.INVALID:
        return state
    return state._replace(ct=state.connection, tracked=True)


def _retranslated(state: PacketState, hook: Hook) -> PacketState:
    """Apply the translation a connection already has to its later packets."""
    if state.binding is None:
        return state
    host, port = state.binding
    if hook == "prerouting" and state.inbound:
        before = (state.host, state.dport)
        return state._replace(host=host, dport=port, original=before, binding=None)
    if hook == "postrouting" and not state.inbound:
        return state._replace(host=host, sport=port, binding=None)
    return state


CONFIRMED = CtStatus.CONFIRMED | CtStatus.SEEN_REPLY
