"""Where base chains may be attached, nft(8) "ADDRESS FAMILIES" and "CHAINS"."""

from __future__ import annotations

from typing import cast, get_args

from sslint.firewalls.nftables.datatypes import Refused
from sslint.netfilter.model import PRIORITIES, ChainType, Hook, TableFamily

FAMILIES = frozenset(get_args(TableFamily))

_IP_HOOKS = frozenset(("prerouting", "input", "forward", "output", "postrouting"))
_HOOKS: dict[str, frozenset[str]] = {
    "ip": _IP_HOOKS,
    "ip6": _IP_HOOKS,
    "inet": _IP_HOOKS | {"ingress"},
    "bridge": _IP_HOOKS,
    "arp": frozenset(("input", "output")),
    "netdev": frozenset(("ingress", "egress")),
}
_NAT_HOOKS = frozenset(("prerouting", "input", "output", "postrouting"))
_BRIDGE_PRIORITIES = {"dstnat": -300, "filter": -200, "out": 100, "srcnat": 300}
# Measured with nft 1.1.3; the manual lists prerouting and postrouting alone.
_ONLY_AT = {
    "dstnat": ("prerouting", "output"),
    "srcnat": ("input", "postrouting"),
    "out": ("output",),
}
_BRIDGE_ONLY_AT = {"dstnat": ("prerouting",), "srcnat": ("postrouting",), "out": ("output",)}
_CONNTRACK = -200


_INWARD = frozenset(("prerouting", "input", "forward"))
_OUTWARD = frozenset(("forward", "output", "postrouting"))
_IP = ("ip", "ip6", "inet")
_BRIDGED = ("meta.ibr", "meta.obr", "meta.broute")


def allowed(name: str, family: str) -> frozenset[str] | None:
    """Return the hooks at which the kernel lets a rule look at a key, None for all of its family.

    Raise Refused if the family has none (the validate functions in net/netfilter/nft_*.c).
    """
    if name.startswith(_BRIDGED):
        if family != "bridge":
            raise Refused(f"{name.replace('.', ' ')} is for bridges only")
    elif name.startswith(("ipsec.", "route.", "socket.")) and family not in _IP:
        raise Refused(f"{name.partition('.')[0]} is not supported in family {family}")
    elif name == "meta.ipsec" or name.startswith("ipsec.in."):
        return frozenset(("ingress",)) if family == "netdev" else _INWARD
    elif name.startswith("ipsec.out."):
        return _OUTWARD
    elif name.startswith("osf."):
        return _INWARD
    elif name.startswith("socket."):
        return frozenset(("prerouting", "input", "output"))
    elif name in ("meta.sdif", "meta.sdifname"):  # nft_meta_get_validate_sdif
        return frozenset(("input", "forward"))
    elif name.startswith("fib.") and family == "inet":
        return _IP_HOOKS
    return None


def check(family: str, chain_type: str, hook: str) -> tuple[ChainType, Hook]:
    """Return type and hook of a base chain. Raise Refused if they do not go together."""
    if chain_type not in get_args(ChainType):
        raise Refused(f"unknown chain type {chain_type}")
    if hook not in get_args(Hook):
        raise Refused(f"unknown chain hook {hook}")
    allowed = hook in _HOOKS[family]
    if chain_type == "nat":
        allowed = family in ("ip", "ip6", "inet") and hook in _NAT_HOOKS
    elif chain_type == "route":
        allowed = family in ("ip", "ip6", "inet") and hook == "output"
    if not allowed:
        raise Refused(f"family {family} has no {chain_type} chains at hook {hook}")
    return cast(ChainType, chain_type), cast(Hook, hook)


def check_priority(chain_type: str, priority: int) -> None:
    """Raise Refused for a priority that the kernel does not take."""
    if not -(1 << 31) <= priority < 1 << 31:
        raise Refused("priority out of range")
    if chain_type == "nat" and priority <= _CONNTRACK:
        raise Refused("a nat chain comes after connection tracking (priority -200)")


def named_priority(family: str, hook: str, name: str) -> int:
    """Return the number behind a priority's name. Raise Refused."""
    names = _BRIDGE_PRIORITIES if family == "bridge" else PRIORITIES
    if family in ("arp", "netdev"):
        names = {"filter": 0}
    found = names.get(name)
    only = _BRIDGE_ONLY_AT if family == "bridge" else _ONLY_AT
    if found is None or hook not in only.get(name, (hook,)):
        raise Refused(f"'{name}' is invalid priority in this context")
    return found
