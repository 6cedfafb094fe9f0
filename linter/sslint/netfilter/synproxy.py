"""The two handshakes of SYNPROXY: its own with the client, then the client's with the server.

It answers the SYN and waits for the ACK that fits. Only then it sends a SYN to the server, with
the client's address: out of this host and, for a socket of its own, in again by the loopback. All
of it passes the rules (nf_synproxy_core.c, nft_synproxy.c, ipt_SYNPROXY.c).
"""

from __future__ import annotations

from sslint.netfilter.chains import Flow, add
from sslint.netfilter.hooks import Hooks, Log
from sslint.netfilter.model import CtState, CtStatus, Hook, TcpFlag
from sslint.netfilter.notes import Note
from sslint.netfilter.packet import ANSWERED, COOKIE, PacketState

_INWARD: tuple[Hook, ...] = ("ingress", "prerouting", "input")
_LOST = "the client's ACK does not come back to SYNPROXY, and nothing else knows the connection"
_LOOSE = (
    "SYNPROXY needs net.netfilter.nf_conntrack_tcp_loose=0, or the client's ACK is a new "
    "connection to conntrack; no sysctl file sets it"
)
_LOOP = "SYNPROXY answers the SYN that it sends to the server itself"
_MISSED = "the server's answer is not tracked, so that SYNPROXY does not see it"
_TRANSLATED = "SYNPROXY beside a translation of addresses is not modelled"


def handshake(
    hooks: Hooks, start: PacketState, first: PacketState, reply: PacketState, mask: int,
    own: tuple[int, ...], log: Log, here: bool,
) -> Flow:  # fmt: skip
    """Return the SYN as the server gets it, for the clients whose handshake may succeed.

    `first` is the client's SYN where it was answered, `reply` the answer. `here`: the server is
    this host; others are behind a translation. Who may fail is added to `log.drop`.
    """
    log.stage = "synproxy"
    if first.original is not None or not here:
        _note(log, mask, "unknown", _TRANSLATED)
        log.drop |= mask
        return {first._replace(ct=CtState.NEW, tracked=True, notrack=False, synproxy=0): mask}
    left = 0
    for passed in hooks.leave({reply: mask}, log).values():
        left |= passed
    syn = PacketState(
        first.family, first.proto, first.sport, first.dport, first.host, True, "", "lo", "output",
        TcpFlag.SYN, ct=CtState.NEW, tracked=True, added=first.added, history=first.history,
    )  # fmt: skip
    answered = _acknowledged(hooks, start, first, left, own, log)
    delivered: Flow = {}
    for state, passed in _sent(hooks, syn, answered, log).items():
        if state.synproxy == ANSWERED:
            _note(log, passed, "drop", _LOOP)
            log.drop |= passed
            continue
        server = state._replace(
            iif=first.iif, oif="", hook=first.hook, host=first.host, original=None, binding=None,
            tproxy=first.tproxy,
        )  # fmt: skip
        add(delivered, server, passed)
    return delivered


def miss(log: Log, mask: int) -> None:
    """Lose the server's answer, which goes to the client as it is where conntrack is passed by."""
    _note(log, mask, "drop", _MISSED)
    log.drop |= mask


def _acknowledged(
    hooks: Hooks, start: PacketState, first: PacketState, mask: int, own: tuple[int, ...], log: Log
) -> int:
    """Return whose ACK may come back to SYNPROXY. Any other socket answers it with a reset.

    conntrack knows nothing of the SYN, whose way never came to its end, so that the ACK is INVALID
    or, for a loose conntrack, NEW.
    """
    loose = hooks.matching.network.tcp_loose
    if loose is False:  # sysctl.d(5): parameters of a module that is not loaded yet are lost
        hooks.matching.assume("conntrack is loaded when nf_conntrack_tcp_loose is set")
    effect, reason = ("unknown", _LOOSE) if loose is None else ("reject", _LOST)
    states = {None: (CtState.INVALID, CtState.NEW), True: (CtState.NEW,), False: (CtState.INVALID,)}
    answered = 0
    for connection in states[loose]:
        ack = start._replace(
            flags=TcpFlag.ACK, connection=connection, synproxy=COOKIE, added=first.added
        )
        arrival = hooks.arrive({ack: mask}, own, log)
        back = 0
        for state, reached in arrival.local.items():
            to = state.host, state.dport  # its cookie fits only these
            if state.synproxy == ANSWERED and to == (first.host, first.dport):
                back |= reached
        answered |= back
        lost = mask & ~back
        log.drop |= lost
        _note(log, lost, effect, reason)
    return mask if log.through else answered


def _sent(hooks: Hooks, syn: PacketState, mask: int, log: Log) -> Flow:
    """Send the SYN to the server. NAT asks its rules where it leaves, and never again."""
    flow: Flow = {}
    for state, passed in hooks.leave({syn: mask}, log).items():
        if state.original is not None:
            _note(log, passed, "unknown", _TRANSLATED)
            log.drop |= passed
        status = None if state.status is None else state.status | CtStatus.CONFIRMED
        add(flow, state._replace(status=status), passed)
    for hook in _INWARD:
        bound: Flow = {}
        for state, passed in flow.items():
            binding = state.host, state.dport
            add(bound, state._replace(iif="lo", oif="", binding=binding, original=None), passed)
        flow = hooks.run(hook, bound, log)
    return flow


def _note(log: Log, mask: int, effect: str, reason: str) -> None:
    """Say at SYNPROXY's own rule why a handshake fails, or may fail."""
    for note in reversed(log.notes or ()):
        if note.effect == "accept" and note.state.synproxy == ANSWERED and note.mask & mask:
            assert log.notes is not None
            log.notes.append(
                Note(
                    effect, note.mask & mask, note.table, note.chain, note.rule, note.state,
                    reason, note.depth, stage=log.stage, base=note.base,
                )
            )  # fmt: skip
            return
