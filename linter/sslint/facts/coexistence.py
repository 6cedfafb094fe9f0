"""Facts about firewalls beside each other, and about what their managers were told."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from sslint.engine import Span
from sslint.facts.fact import Loose
from sslint.netfilter.model import Table

if TYPE_CHECKING:
    from sslint.host import Host
    from sslint.netfilter.nothing import NoFirewall
    from sslint.netfilter.reach import Firewall
    from sslint.source import Location

Family = Literal[4, 6]
_NAMES = {
    "nft": "nftables",
    "nft-json": "nftables",
    "iptables": "iptables",
    "ip6tables": "iptables",
    "ufw": "ufw",
    "firewalld": "firewalld",
}
# Chains and tables that programs make beside a manager: not a firewall of their own.
_HELPERS = re.compile(r"^(f2b|fail2ban|crowdsec|docker|libvirt|lxc|podman|cni|kube)", re.I)
_SERVERS_OF_PROFILES = {
    "nginx": ("nginx", "www", "apache"),
    "postfix": ("postfix", "smtp", "mail"),
    "dovecot": ("dovecot", "imap", "pop3", "mail"),
}
STAGES = {
    "answer": "the answer is dropped on the way out",
    "established": "packets after the first one are dropped",
    "neighbour-discovery": "neighbour discovery is blocked",
}


def breakages(host: Host, facts: Mapping[str, Sequence[Loose]]) -> list[Loose]:
    """Return a fact for each packet after the first that the firewall drops.

    The ports that die of it are its subjects: it is the one cause of them all.
    """
    groups: dict[tuple[str, Family], list[Loose]] = {}
    for fact in facts["service"]:
        if fact.values["scope"] == "loopback" or not fact.values["certain"]:
            continue
        for family, key in ((4, "ipv4"), (6, "ipv6")):
            reach = fact.values["reach"][key]
            if reach is not None and reach["public"] == "closed" and reach["stage"] in STAGES:
                groups.setdefault((reach["stage"], family), []).append(fact)  # type: ignore[arg-type]
    joined: dict[str, list[tuple[Family, list[Loose]]]] = {}
    for (stage, family), found in groups.items():
        joined.setdefault(stage, []).append((family, found))
    return [_breakage(stage, families) for stage, families in joined.items()]


def _breakage(stage: str, families: list[tuple[Family, list[Loose]]]) -> Loose:
    services = {id(fact): fact for _, found in families for fact in found}.values()
    names = list(dict.fromkeys(f"{f.values['transport']}/{f.values['port']}" for f in services))
    spans = [
        span
        for fact in services
        for name in ("decided_by", "decided_by_ipv6")
        for span in fact.spans.get(name, ())
    ]
    place = spans[0].location if spans else None
    return Loose(
        entity=f"firewall {stage}",
        values={
            "stage": stage,
            "why": STAGES[stage],
            "services": names,
            "families": " and ".join(f"IPv{family}" for family, _ in sorted(families)),
            "wanted": any(
                f.values["attempted"] or f.values["announced"] or f.values["announced_ipv6"]
                for f in services
            ),
            "ipv6_wanted": any(
                f.values["attempted_ipv6"] or f.values["announced_ipv6"] for f in services
            ),
        },
        span=Span(place, STAGES[stage]) if place is not None else None,
        spans={
            "services_at": tuple(f.span for f in services if f.span is not None)[:4],
        },
        subjects=frozenset(s for fact in services for s in fact.subjects),
        source=tuple(services),
    )


# -- managers ---------------------------------------------------------------------------------


def managers(host: Host) -> list[Loose]:
    """Return a fact for each firewall that is in force and says something about input."""
    found: dict[str, tuple[str, Location | None]] = {}
    for source in host.ruleset.sources:
        name = _NAMES.get(source.kind)
        tables = [t for t in host.ruleset.tables if owner(t) == name and _filters(t)]
        if name is not None and tables and name not in found:
            found[name] = (source.path, _first_rule(tables))
    if "ufw" in found and "iptables" in found and _saved_from_ufw(host):
        del found["iptables"]
    others = {name: [o for o in found if o != name] for name in found}
    return [
        Loose(
            entity=name,
            values={
                "kind": name,
                "path": path,
                "others": ", ".join(others[name]) or None,
                "first": name == next(iter(found)),
            },
            span=Span(place, f"{name} filters here") if place is not None else None,
            spans={
                "others_at": tuple(
                    Span(other, f"{o} filters here")
                    for o in others[name]
                    if (other := found[o][1]) is not None
                )
            },
        )
        for name, (path, place) in found.items()
    ]


# The units that load a manager's rules at boot.
_UNITS = {
    "nftables": ("nftables",),
    "iptables": ("netfilter-persistent", "iptables", "ip6tables"),
    "ufw": ("ufw",),
    "firewalld": ("firewalld",),
}


def only_possible(host: Host) -> frozenset[str]:
    """Return the managers of which the files do not tell whether they are in force.

    One that is alone in a tree without units is assumed to be; of several, any may be unused.
    """
    found = [fact.values["kind"] for fact in managers(host)]
    if len(found) < 2 or host.target.firewall:
        return frozenset()
    return frozenset(
        name
        for name in found
        if all(host.network.unit_state(unit) != "enabled" for unit in _UNITS[name])
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
    """Tell whether rules.v4 is a dump of what ufw had loaded."""
    return any(
        name.startswith(("ufw-", "ufw6-"))
        for table in host.ruleset.tables
        if table.origin == "iptables"
        for name in table.chains
    )


# -- what managers were told --------------------------------------------------------------------


def add_profiles(host: Host, facts: Mapping[str, Sequence[Loose]]) -> None:
    """Say of a service which ufw application is allowed for its server, and lacks its port."""
    tables = [table for table in host.ruleset.tables if table.origin == "ufw"]
    if not tables:
        return
    from sslint.firewalls import ufw

    profiles = ufw.profiles(host.tree)
    allowed = {
        rule.label: rule.location
        for table in tables
        for chain in table.chains.values()
        for rule in chain.rules
        if rule.label in profiles
    }
    for fact in facts["service"]:
        marks = _SERVERS_OF_PROFILES.get(fact.values["server"], ())
        transport, port = fact.values["transport"], fact.values["port"]
        for label, location in allowed.items():
            ports = profiles[label].ports.get(transport, ())
            if any(m in label.lower() for m in marks) and not any(a <= port <= b for a, b in ports):
                shown = ", ".join(
                    f"{'-'.join(map(str, dict.fromkeys(pair)))}/{name}"
                    for name, pairs in profiles[label].ports.items()
                    for pair in pairs
                )
                fact.values["narrow_profile"] = label
                fact.values["narrow_profile_ports"] = shown
                fact.spans["profile_at"] = (Span(location, f"allows {label}"),)


def zones(host: Host, facts: Mapping[str, Sequence[Loose]]) -> list[Loose]:
    """Return a fact for each service or port that a firewalld zone opens, or fails to name."""
    if not any(source.kind == "firewalld" for source in host.ruleset.sources):
        return []
    from sslint.firewalls import firewalld

    configuration = firewalld.read_configuration(host.tree, host.network.zones)
    if configuration is None:
        return []
    found = []
    default = configuration.options.default_zone
    closed = {
        (f.values["transport"], f.values["port"])
        for f in facts["service"]
        if f.values["reach"]["public"] == "closed" and f.values["scope"] != "loopback"
    }
    for zone in configuration.zones.values():
        active = zone.bound or zone.name == default
        for service in zone.services:
            known = configuration.services.get(service.value)
            ports = [
                (port.protocol, port.ports) for port in (known.ports if known is not None else ())
            ]
            found.append(_zone(zone.name, service.value, service.location, active, ports, closed))
        for port in zone.ports:
            text = "-".join(str(p) for p in dict.fromkeys(port.ports))
            name = f"{text}/{port.protocol}"
            pairs = [(port.protocol, port.ports)]
            found.append(_zone(zone.name, name, port.location, active, pairs, closed))
    for service in firewalld.unknown_services(configuration):
        found.append(
            Loose(
                entity=f"firewalld service {service.value}",
                values={
                    "opens": service.value,
                    "unknown": True,
                    "active": None,
                    "vendor_seen": host.tree.exists("/usr/lib/firewalld/services"),
                    "needed": None,
                },
                span=Span(service.location, "no such service"),
            )
        )
    return found


def _zone(
    zone: str,
    opens: str,
    location: Location,
    active: bool,
    ports: Sequence[tuple[str, tuple[int, int]]],
    closed: set[tuple[str, int]],
) -> Loose:
    needed = {
        (transport, port)
        for transport, port in closed
        if any(transport == t and a <= port <= b for t, (a, b) in ports)
    }
    return Loose(
        entity=f"firewalld zone {zone}",
        values={
            "zone": zone,
            "opens": opens,
            "unknown": False,
            "active": active,
            "stock": location.path.startswith("usr/lib/firewalld"),
            "needed": bool(needed),
            "ports": ", ".join(f"{t}/{p}" for t, p in sorted(needed)),
        },
        span=Span(location, f"opened in zone {zone}"),
        subjects=frozenset(needed),
    )


def published(host: Host, facts: Mapping[str, Sequence[Loose]]) -> list[Loose]:
    """Return a fact for each port that a container publishes to the world."""
    if not host.published or host.firewall is None:
        return []
    opened = {(f.values["transport"], f.values["port"]) for f in facts["opening"]}
    filters = [f for f in managers(host) if f.values["kind"] in ("ufw", "firewalld", "iptables")]
    listening = _without_docker(host)
    found = []
    for one in host.published:
        if one.floating:
            continue
        reach = host.firewall.reach_outer(*one.key, 4)
        values: dict[str, Any] = {
            "transport": one.transport,
            "port": one.port,
            "ports": one.text,
            "loopback": one.loopback,
            "opened": one.key in opened,
            "reach": reach.verdict,
            "guarded": reach.verdict == "closed",
            "manager": filters[0].values["kind"] if filters else None,
            "input_closed": listening.reach_outer(*one.key, 4).verdict == "closed",
        }
        found.append(
            Loose(
                entity=f"container {one.transport}/{one.text}",
                values=values,
                span=Span(one.location, "published to the whole Internet"),
                subjects=frozenset({one.key}),
            )
        )
    return found


def _without_docker(host: Host) -> Firewall | NoFirewall:
    """Return the firewall that decides for what listens on the host itself."""
    assert host.firewall is not None
    if host.own_ruleset is None or host.own_ruleset is host.ruleset:
        return host.firewall
    from sslint.netfilter.reach import Firewall

    return Firewall(host.own_ruleset, host.network.network)


# -- the host as a whole --------------------------------------------------------------------------


def add_host(host: Host, fact: Loose) -> None:
    """Say whether a firewall is written and not in force, or lets everything in."""
    tree = host.tree
    user_rules = tree.try_read("/etc/ufw/user.rules", decisive=False)
    switch = tree.try_read("/etc/ufw/ufw.conf", decisive=False)
    allows = None
    if user_rules is not None:
        for number in range(1, len(user_rules.starts) + 1):
            line = user_rules.line(number)
            if line.startswith("### tuple ### allow"):
                allows = user_rules.at(number)
                break
    ufw_off = (
        switch is not None
        and re.search(r"^[ \t]*ENABLED\s*=\s*[\"']?no", switch.text, re.M | re.I) is not None
    )
    fact.values["ufw_off_with_rules"] = bool(ufw_off and allows is not None)
    if ufw_off and allows is not None:
        fact.spans["allows"] = (Span(allows, "allowed, but never loaded"),)
    fact.values["managers"] = len(managers(host))
