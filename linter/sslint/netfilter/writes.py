"""Statements that write a field of the packet, its metadata or its connection.

What is written with a constant reads back as that constant; everything else is unknown from then
on. A statement whose fields the packet lacks ends its rule (NFT_BREAK).
"""

from __future__ import annotations

from sslint.netfilter.model import Assign, CtState, HostNetwork, Key, PktType
from sslint.netfilter.packet import (
    ANYTHING,
    HEADERS,
    ICMP,
    ICMPV6,
    MISSING,
    NO_PORT,
    TEMPLATE,
    PacketState,
    Value,
    Why,
    read,
)

# Fields that say what follows them: once they are rewritten, nothing else in the packet is sure.
_SHAPE = frozenset(
    ("ip.version", "ip.hdrlength", "ip.length", "ip.protocol", "ip.frag-off", "ip6.version",
     "ip6.length", "ip6.nexthdr", "tcp.doff", "udp.length")
)  # fmt: skip
_FRAGMENT = 0x1FFF | 0x2000  # the offset, and "more fragments"
# Where the fields that rules read stand in the headers: (first bit, bits), RFC 791, 8200, 9293.
_PLACES = {
    4: {
        "ip.version": (0, 4), "ip.hdrlength": (4, 4), "ip.dscp": (8, 6), "ip.ecn": (14, 2),
        "ip.length": (16, 16), "ip.id": (32, 16), "ip.frag-off": (48, 16), "ip.ttl": (64, 8),
        "ip.protocol": (72, 8), "ip.checksum": (80, 16), "ip.saddr": (96, 32),
        "ip.daddr": (128, 32),
    },
    6: {
        "ip6.version": (0, 4), "ip6.dscp": (4, 6), "ip6.ecn": (10, 2), "ip6.flowlabel": (12, 20),
        "ip6.length": (32, 16), "ip6.nexthdr": (48, 8), "ip6.hoplimit": (56, 8),
        "ip6.saddr": (64, 128), "ip6.daddr": (192, 128),
    },
}  # fmt: skip
_ZONES = ("zone", "original.zone", "reply.zone")
_PORTS = ("sport", "dport")
# What is certainly there even where its value is not known.
_PRESENT = ("ip.", "ip6.", "tcp.", "udp.", "sctp.", "dccp.", "icmp", "meta.", "numgen.")
_MAYBE = ("option.", "chunk.", "meta.skuid", "meta.skgid", "meta.cgroup")


def breaks(item: Assign, state: PacketState, network: HostNetwork) -> bool | None:
    """Tell whether what is to be copied is not there, which ends the rule; None: it may be."""
    own = (item.source or item.key,) if item.and_mask else ()
    doubt = False
    for key in (*own, *item.needs):
        value = read(key.name, key.arg, state, network)
        if value is MISSING:
            return True
        doubt |= isinstance(value, Why) and not _is_present(key.name)
    return None if doubt else False


def _is_present(name: str) -> bool:
    return name.startswith(_PRESENT) and not any(part in name for part in _MAYBE)


def assign(item: Assign, state: PacketState, network: HostNetwork) -> PacketState:
    """Return the state after writing a key."""
    value = None if item.unknown else _value(item, state, network)
    name = item.key.name
    group, _, field = name.partition(".")
    if name == "meta.mark":
        return state._replace(mark=value)
    if group == "ct":
        return _connection(item.key, value, state)
    if group == "payload":
        return _raw(field, item.key.arg, state)
    if field in _PORTS and group != "ct":
        return _port(field, value, state)
    if group in ("ip", "ip6") and field in ("saddr", "daddr"):
        return _address(name, field, value, state)
    if name == "ip.frag-off" and value is not None and not value & _FRAGMENT:
        return write(state, name, value)
    if name in _SHAPE:
        return write(_early(state), HEADERS, None)._replace(mangled=True)
    if name == "tcp.flags":
        state = _early(state)._replace(mangled=True)
        return write(state, name, None) if value is None else state._replace(flags=value)
    if name in ("icmp.type", "icmpv6.type"):
        state = _early(state)._replace(mangled=True)
        return write(state, name, None) if value is None else state._replace(icmp_type=value)
    if name == "meta.pkttype" and value != PktType.HOST:  # TCP takes no other (tcp_v4_rcv)
        state = state._replace(mangled=True)
    return write(state, name, value)


def forget_all(state: PacketState) -> PacketState:
    """Return the state after a statement that may have written anything."""
    state = state._replace(mark=None, ctmark=None, status=None, mangled=True)
    return write(state, ANYTHING, None)


def write(state: PacketState, name: str, value: int | None) -> PacketState:
    """Remember what a key reads from now on; None: it is not known."""
    written = dict(state.written)
    written[name] = value
    return state._replace(written=tuple(sorted(written.items())))


def _early(state: PacketState) -> PacketState:
    """Make unknown what conntrack will call a packet of another shape, if it has yet to see it."""
    if state.tracked or state.notrack:
        return state
    return write(state, "ct.state", None)


def _connection(key: Key, value: int | None, state: PacketState) -> PacketState:
    """Write to the connection; only a zone may be written before there is one."""
    field = key.name.removeprefix("ct.")
    if field in _ZONES or field == "template":
        # nft_ct_set_zone_eval, xt_ct_target: it has a connection or a template, or to iptables
        # will have no connection.
        told = any(name == TEMPLATE for name, _ in state.written)
        if state.tracked or told or (state.notrack and key.arg):
            return state
        # A template takes the place of an earlier notrack.
        ct = CtState.INVALID if state.notrack else state.ct
        state = write(state, TEMPLATE, None)._replace(notrack=False, ct=ct)
        if field == "template":
            return state
        state = state._replace(mangled=True)
        for side in _ZONES:  # one of a direction is read without one, but not as the other's
            state = write(state, f"ct.{side}", value if side in ("zone", field) else 0)
        if field == "zone":
            state = write(write(state, "ct.original.zone", value), "ct.reply.zone", value)
        return state
    if not state.tracked:
        return state
    if field == "mark":
        return state._replace(ctmark=value)
    return write(state, f"ct.{field}", None)  # a label is added to those that are set


def _port(field: str, value: int | None, state: PacketState) -> PacketState:
    if state.sport == NO_PORT:
        name = "icmp" if state.proto == ICMP else "icmpv6" if state.proto == ICMPV6 else ""
        state = write(_early(state), f"{name}.type", None) if name else _early(state)
        return write(state, HEADERS, None)._replace(mangled=True)
    near = (field == "dport") == state.inbound
    state = _kept(state, "proto-dst" if near else "proto-src")._replace(mangled=True)
    if value is None:
        if not state.tracked:
            for side in ("original", "reply"):
                state = write(state, f"ct.{side}.proto-{'dst' if near else 'src'}", None)
        return write(state, f"th.{field}", None)
    kept = tuple(pair for pair in state.written if pair[0] != f"th.{field}")
    state = state._replace(written=kept)
    return state._replace(dport=value) if field == "dport" else state._replace(sport=value)


def _address(name: str, field: str, value: int | None, state: PacketState) -> PacketState:
    near = (field == "daddr") == state.inbound
    if near:
        state = _kept(state, "daddr" if not state.ours else "saddr")
    state = state._replace(mangled=True)
    if not state.tracked and not state.notrack:  # conntrack will see the packet as it is now
        for side in ("original", "reply"):
            for part in ("saddr", "daddr"):
                state = write(state, f"ct.{side}.{part}", None)
    if near and value is not None:
        kept = tuple(pair for pair in state.written if pair[0] != name)
        return state._replace(host=value, written=kept)
    return write(state, name, value)


def _kept(state: PacketState, part: str) -> PacketState:
    """Make unknown what conntrack holds of a field that is rewritten after it saw the packet."""
    if state.tracked:
        for side in ("original", "reply"):
            if all(name != f"ct.{side}.{part}" for name, _ in state.written):
                state = write(state, f"ct.{side}.{part}", None)
    return state


def _raw(base: str, place: str, state: PacketState) -> PacketState:
    """Write raw bytes: every field that they overlap is unknown; checksums are not updated."""
    offset, _, length = place.partition(",")
    first, last = int(offset), int(offset) + int(length) - 1
    if base == "nh":
        if state.hook == "ingress":
            state = write(state, HEADERS, None)._replace(mangled=True)
        for name, (start, bits) in _PLACES.get(state.family, {}).items():
            if start <= last and first < start + bits:
                field = name.partition(".")[2]
                if field in ("saddr", "daddr"):
                    state = _address(name, field, None, state)
                elif name in _SHAPE:
                    state = write(_early(state), HEADERS, None)._replace(mangled=True)
                else:
                    state = write(state, name, None)
        if last >= (160 if state.family == 4 else 320):
            state = write(_early(state), HEADERS, None)._replace(mangled=True)
    elif base == "th":
        state = write(_early(state), HEADERS, None)._replace(mangled=True)
    return state


def _value(item: Assign, state: PacketState, network: HostNetwork) -> int | None:
    if not item.and_mask:
        return item.xor
    key: Key = item.source or item.key
    value: Value = read(key.name, key.arg, state, network)
    if not isinstance(value, int):
        return None
    if key.mask is not None:
        value &= key.mask
    value ^= key.xor
    value = value >> key.shift if key.shift >= 0 else value << -key.shift
    return (value & item.and_mask) ^ item.xor
