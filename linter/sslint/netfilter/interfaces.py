"""Classes of ingress interfaces: which ones the public comes in by."""

from __future__ import annotations

from collections.abc import Iterator

from sslint.netfilter.addresses import WIDTH
from sslint.netfilter.model import HostNetwork, Interval
from sslint.netfilter.survey import Survey

MAX_CLASSES = 256  # interfaces that are judged apart
OTHER = "*"
"""An interface that neither the rules nor the tree name."""

_VIRTUAL = (
    "docker", "br-", "veth", "virbr", "wg", "tun", "tap", "ifb", "dummy", "lxc", "lxd", "podman",
    "cni", "flannel", "cali", "vnet", "zt", "tailscale", "vmbr", "incusbr", "nebula", "nordlynx",
    "ipsec", "vti", "gre", "sit", "ip6tnl", "cilium", "kube", "weave", "macvtap", "vxlan",
)  # fmt: skip
_POINT_TO_POINT = ("ppp", "wg", "tun", "sit", "gre", "ip6tnl", "vti", "wwan", "tailscale")


def is_virtual(name: str) -> bool:
    """Tell whether an interface of this name leads to no outer network."""
    return name.startswith(_VIRTUAL)


def is_point_to_point(name: str) -> bool:
    """Tell whether an interface of this name needs no neighbour discovery."""
    return name.startswith(_POINT_TO_POINT)


def classes(found: Survey, network: HostNetwork) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return (the interfaces the public comes in by, the others), lo in neither."""
    known = {interface.name: interface for interface in network.interfaces}
    left_out = {"lo", *network.inner}
    named = [name for name in dict.fromkeys((*known, *found.interfaces)) if name not in left_out]
    for pattern in found.wildcards:
        if pattern[:-1] and not "lo".startswith(pattern[:-1]):
            # a name the wildcard hides: it matches the wildcard and no exact name
            named.append(pattern)
    if len(named) > MAX_CLASSES:
        del named[MAX_CLASSES:]
        found.broken["the rules name too many interfaces"] = None
    virtual = [
        name for name in named if is_virtual(name) or (name in known and known[name].virtual)
    ]
    if network.public is not None:
        return (network.public,), tuple(name for name in named if name != network.public)
    outer = tuple(name for name in named if name not in virtual)
    if not outer:
        return (OTHER,), tuple(virtual)
    if found.trusted.issuperset(outer):
        # Nobody trusts the Internet: what is named may well be the other side.
        return (*outer, OTHER), tuple(virtual)
    return outer, (*virtual, OTHER)


def links(network: HostNetwork, family: int) -> Iterator[Interval]:
    """Yield the networks that this host's interfaces are in."""
    width = WIDTH[family]
    for interface in network.interfaces:
        for address, length in interface.addresses(family):
            start = address >> (width - length) << (width - length)
            yield start, start + (1 << (width - length)) - 1
