"""Facts about the firewalls that are in force beside each other, and what ufw was told."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from sslint import servers
from sslint.engine import Span
from sslint.facts.fact import Fact, Places, field, of
from sslint.firewalls import ufw_settings
from sslint.netfilter.model import Table
from sslint.regex import regex
from sslint.values import dataclass

if TYPE_CHECKING:
    from sslint.facts.collection import Facts
    from sslint.host import Host
    from sslint.source import Location

_NAMES = {
    "nft": "nftables",
    "nft-json": "nftables",
    "iptables": "iptables",
    "ip6tables": "iptables",
    "ufw": "ufw",
    "firewalld": "firewalld",
}
# Chains and tables that programs make beside a manager: not a firewall of their own.
_HELPERS = regex(r"^(f2b|fail2ban|crowdsec|docker|libvirt|lxc|podman|cni|kube)", re.I)


@dataclass(frozen=True, slots=True)
class _InForce:
    kind: str
    path: str
    place: Location | None
    flushes: Location | None
    replaced: bool = False


def managers(facts: Facts) -> list[Manager]:
    """Return a fact for each firewall that is in force and says something about input."""
    host = facts.host
    found: dict[str, _InForce] = {}
    for source in host.ruleset.sources:
        name = _NAMES.get(source.kind)
        tables = [t for t in host.ruleset.tables if owner(t) == name and _filters(t)]
        if name is not None and tables and name not in found:
            found[name] = _InForce(name, source.path, _first_rule(tables), source.flushes)
    ufw = next((one for one in host.ruleset.sources if one.kind == "ufw"), None)
    if ufw is not None and "iptables" in found and _saved_from_ufw(host):
        enabled = ufw_settings.settings(host.tree).get("ENABLED")
        place = enabled.location if enabled is not None else None
        found["ufw"] = _InForce("ufw", ufw.path, place, None, replaced=True)
    return [Manager(facts, one, list(found.values())) for one in found.values()]


class Manager(Fact):
    """A firewall that is in force on this host."""

    source: _InForce

    kind: str
    "nftables, iptables, ufw or firewalld."
    path: str
    "The file of its rules."

    def __init__(self, facts: Facts, own: _InForce, every: Sequence[_InForce]) -> None:
        span = Span(own.place, f"{own.kind} filters here") if own.place is not None else None
        super().__init__(facts, own, own.kind, span)
        unsure = facts.host.ruleset.alternatives  # not all of them are in force
        self._others = [other for other in every if other is not own and not unsure]
        self._first = own is every[0]

    first: bool = of("_first")
    "It is the first of those in force."

    @field
    def others(self) -> tuple[str, ...] | None:
        """Other firewalls in force."""
        return tuple(other.kind for other in self._others) or None

    @field
    def together(self) -> Literal["each", "dump"]:
        """Which of them decide: each, or the saved dump that replaces what ufw loads."""
        return "dump" if any(other.replaced for other in self._others) else "each"

    @field
    def flushed(self) -> tuple[str, ...] | None:
        """Programs that add rules of their own, which the file deletes whenever it is loaded."""
        if self.source.flushes is None:
            return None
        host = self._host
        state = host.network.unit_state
        found = [name for unit, name in _ADD_RULES.items() if state(unit) == "enabled"]
        if host.published and "Docker" not in found:
            found.insert(0, "Docker")
        return tuple(dict.fromkeys(found)) or None

    @field
    def flushes_at(self) -> Places:
        """Where it does."""
        place = self.source.flushes
        return (Span(place, "deletes all rules"),) if place is not None else ()

    @field
    def others_at(self) -> Places:
        """Where the others filter."""
        return tuple(
            Span(other.place, f"{other.kind} {'is enabled' if other.replaced else 'filters'} here")
            for other in self._others
            if other.place is not None
        )


# Units that add rules when they start, and not again when nftables is restarted.
_ADD_RULES = {
    "docker": "Docker",
    "libvirtd": "libvirt",
    "virtnetworkd": "libvirt",
}
# The units that load a manager's rules at boot.
_UNITS = {
    "nftables": ("nftables",),
    "iptables": ("netfilter-persistent", "iptables", "ip6tables"),
    "ufw": ("ufw",),
    "firewalld": ("firewalld",),
}


def only_possible(facts: Facts) -> frozenset[str]:
    """Return the managers of which the files do not tell whether they are in force.

    One that is alone in a tree without units is assumed to be; of several, any may be unused.
    """
    found = [manager.kind for manager in facts.managers]
    if len(found) < 2 or facts.host.target.firewall:
        return frozenset()
    state = facts.host.network.unit_state
    return frozenset(
        name for name in found if all(state(unit) != "enabled" for unit in _UNITS[name])
    )


def owner(table: Table) -> str:
    """Return the manager that a table is of: nftables, iptables, ufw, firewalld."""
    return {"nft": "nftables", "iptables-legacy": "iptables"}.get(table.origin, table.origin)


def _filters(table: Table) -> bool:
    """Tell whether a table decides about packets that come in, other than by bans of helpers."""
    if _HELPERS.match(table.name):
        return False
    bases = [c for c in table.chains.values() if c.base and c.base.hook == "input"]
    return any(
        (chain.base and chain.base.policy == "drop")
        or any(not _HELPERS.match(rule.label) for rule in chain.rules)
        for chain in bases
    )


def _first_rule(tables: Sequence[Table]) -> Location | None:
    for table in tables:
        for chain in table.chains.values():
            if chain.base is not None and chain.base.hook == "input":
                return chain.base.policy_location or chain.location
    return None


def _saved_from_ufw(host: Host) -> bool:
    """Tell whether a saved dump holds ufw's chains, so that ufw loads nothing itself."""
    return any(
        table.origin == "iptables" and "ufw-user-input" in table.chains
        for table in host.ruleset.tables
    )


# -- what ufw was told ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Profile:
    """A ufw application that is allowed: its ports by transport, and where it is allowed."""

    label: str
    ports: Mapping[str, Sequence[tuple[int, int]]]
    location: Location

    @property
    def shown(self) -> tuple[str, ...]:
        """Its ports as text."""
        return tuple(
            f"{'-'.join(map(str, dict.fromkeys(pair)))}/{name}"
            for name, pairs in self.ports.items()
            for pair in pairs
        )


def profiles(host: Host) -> list[Profile]:
    """Return the ufw applications that are allowed."""
    tables = [table for table in host.ruleset.tables if table.origin == "ufw"]
    if not tables:
        return []
    from sslint.firewalls import ufw

    known = ufw.profiles(host.tree)
    allowed = {
        rule.label: rule.location
        for table in tables
        for chain in table.chains.values()
        for rule in chain.rules
        if rule.label in known
    }
    return [Profile(label, known[label].ports, place) for label, place in allowed.items()]


def narrow_profile(found: Sequence[Profile], server: str, key: tuple[str, int]) -> Profile | None:
    """Return an application that is allowed for a server and lacks a port of it."""
    known = servers.server(server)
    marks = known.profiles if known is not None else ()
    transport, port = key
    lacking = [
        profile
        for profile in found
        if any(mark in profile.label.lower() for mark in marks)
        and not any(a <= port <= b for a, b in profile.ports.get(transport, ()))
    ]
    return lacking[-1] if lacking else None
