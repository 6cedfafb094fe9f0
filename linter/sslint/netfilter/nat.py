"""Translation of a packet's destination."""

from __future__ import annotations

from collections.abc import Iterator

from sslint.netfilter import addresses
from sslint.netfilter.matching import Matching
from sslint.netfilter.model import (
    CtStatus,
    HostNetwork,
    Intervals,
    Nat,
    NatTarget,
    SetRef,
    Table,
    UnknownValues,
    Values,
)
from sslint.netfilter.packet import (
    ARP,
    KNOWN_HOST,
    MISSING,
    NO_PORT,
    THIS_HOST,
    PacketState,
    Why,
    read,
)
from sslint.netfilter.writes import write

MAX_TARGETS = 16  # addresses of one dnat that are followed apart


def translations(
    item: Nat, state: PacketState, possible: int, table: Table, matching: Matching
) -> Iterator[tuple[int, int, PacketState, str]]:
    """Yield (far addresses, those of them certainly translated, the new state, why not known)."""
    if item.family not in (0, state.family):
        return
    # NETMAP is of either kind, by its hook; anything else loads at its own hooks alone.
    if item.kind in ("snat", "masquerade") or state.hook in ("input", "postrouting"):
        yield possible, possible, state._replace(translated=True), ""
        return
    if item.unknown:
        yield possible, possible, _somewhere(state), item.unknown
        return
    if item.mapping is None:
        ports = item.ports
        if item.kind == "redirect":
            after = _redirected(state, ports, item.port_shift, matching.network)
            yield possible, possible, after, ""
            return
        yield from _targets(item, (item.addresses, ports), state, possible, possible)
        return
    yield from _mapped(item, state, possible, table, matching)


def _mapped(
    item: Nat, state: PacketState, possible: int, table: Table, matching: Matching
) -> Iterator[tuple[int, int, PacketState, str]]:
    values = [matching.read(key, state) for key in item.keys]
    if MISSING in values:
        return
    mapping = item.mapping
    default: object = None
    if isinstance(mapping, SetRef):
        found = table.sets.get(mapping.name)
        if found is None or found.unknown or found.data is None:
            reason = (found and found.unknown) or f"the map {mapping.name} is not in the files"
            yield possible, 0, _somewhere(state), reason
            return
        entries = list(zip(found.elements, found.data, strict=False))
        default = found.default
    else:
        entries = list(mapping or ())
    left = possible
    for element, data in entries:
        sure, maybe, _ = matching.element(element, item.keys, values, state)
        if left & maybe:
            yield from _to(item, data, state, left & maybe, left & sure, matching)
            left &= ~sure
    if default is not None and default is not True and left:
        yield from _to(item, default, state, left, left, matching)


def _to(
    item: Nat, data: object, state: PacketState, maybe: int, sure: int, matching: Matching
) -> Iterator[tuple[int, int, PacketState, str]]:
    if not isinstance(data, tuple) or len(data) != 2:
        yield maybe, sure, _somewhere(state), "the map's target is not modelled"
    elif item.kind == "redirect":
        after = _redirected(state, data[1], None, matching.network)
        yield maybe, sure, after, ""
    else:
        yield from _targets(item, data, state, maybe, sure)


def _targets(
    item: Nat, target: NatTarget, state: PacketState, maybe: int, sure: int
) -> Iterator[tuple[int, int, PacketState, str]]:
    where: Values | None = target[0] if target[0] is not None else item.addresses
    ports = target[1] if target[1] is not None else item.ports
    port = _port(state.dport, ports, item.port_shift)
    if where is None:
        yield maybe, sure, _moved(state, state.host, port), ""
        return
    if isinstance(where, UnknownValues) or not isinstance(where, Intervals) or not where.items:
        reason = where.reason if isinstance(where, UnknownValues) else "an address is missing"
        yield maybe, sure, _somewhere(state), reason
        return
    total = sum(high - low + 1 for low, high in where.items)
    if total > MAX_TARGETS:
        yield maybe, sure, _somewhere(state), "it has too many destinations"
        return
    if item.mask is not None:
        low = where.items[0][0]
        if state.host < 0:
            yield maybe, sure, _somewhere(state), "a network is mapped to another"
        else:
            yield maybe, sure, _moved(state, state.host & ~item.mask | low & item.mask, port), ""
        return
    for low, high in where.items:
        for address in range(low, high + 1):
            yield maybe, sure, _moved(state, address, port), ""


def _somewhere(state: PacketState) -> PacketState:
    """Translate to an address and a port that are not known."""
    after = state._replace(
        original=state.original or (state.host, state.dport),
        translated=True, status=None, mangled=True,
    )  # fmt: skip
    names = ["ip.daddr" if state.family == 4 else "ip6.daddr", "ct.reply.saddr"]
    names += ["th.dport", "ct.reply.proto-src"] if state.dport != NO_PORT else []
    for name in names:
        after = write(after, name, None)
    return after


def _port(port: int, ports: tuple[int, int] | None, shift: int | None) -> int:
    """Return the port a destination gets (nf_nat_l4proto_unique_tuple)."""
    if ports is None or port == NO_PORT:
        return port
    low, high = ports
    if shift is not None:
        return low + (port - shift) % (high - low + 1)
    return port if low <= port <= high else low


def _moved(state: PacketState, host: int, port: int) -> PacketState:
    changed = (host, port) != (state.host, state.dport)
    status = state.status
    if changed and status is not None:
        status |= CtStatus.DNAT
    return state._replace(
        host=host,
        dport=port,
        original=(state.host, state.dport),
        translated=True,
        status=status,
    )


def _redirected(
    state: PacketState,
    ports: tuple[int, int] | None,
    shift: int | None,
    network: HostNetwork,
) -> PacketState:
    """Send to the ingress interface's first address; over IPv6 it may be any of them."""
    host = THIS_HOST
    for interface in network.interfaces:
        known = interface.addresses(state.family)
        if interface.name == state.iif and known:
            host = known[0][0] if state.family == 4 or len(known) == 1 else KNOWN_HOST
    port = _port(state.dport, ports, shift)
    after = _moved(state, host, port)
    if port == state.dport and (host < 0 or state.host < 0):  # it may be the same address
        return after._replace(status=None)
    return after


def local(state: PacketState, own: tuple[int, ...], matching: Matching) -> bool | None:
    """Tell whether a packet's destination is this host; None if it may or may not be."""
    host, family = state.host, state.family
    if family == ARP:
        return True
    if state.written:
        name = "ip.daddr" if family == 4 else "ip6.daddr"
        if isinstance(read(name, "", state, matching.network), Why):
            return None
    if host < 0 or host in own:
        return True
    if addresses.contains(addresses.MULTICAST[family], host):
        return True
    if host in matching.network.shared(family):
        return None
    if addresses.contains(addresses.LOOPBACK[family], host):
        return True
    if matching.network.own(family):
        return False
    if addresses.contains(addresses.PRIVATE[family], host):
        shown = addresses.show(family, host)
        matching.assume(f"{shown}, which NAT sends connections to, is another host")
        return False
    return None
