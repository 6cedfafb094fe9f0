"""The table that firewalld builds from its configuration (firewall/core/nftables.py, 2.3.1).

Chains have firewalld's own names. What has no effect on a verdict is left out: logs, audits,
connection tracking helpers, MSS clamping.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from sslint.budgets import spend
from sslint.firewalls.firewalld import matches as m
from sslint.firewalls.firewalld.chains import Chains
from sslint.firewalls.firewalld.elements import InvalidFile
from sslint.firewalls.firewalld.flows import (
    ANY,
    HOST,
    Binding,
    Flow,
    bindings,
    derived,
    policy_place,
    same_family,
    sort_key,
)
from sslint.firewalls.firewalld.objects import (
    Configuration,
    ForwardPort,
    Named,
    Policy,
    Port,
    Protocol,
    RichRule,
    Service,
    Settings,
    Zone,
)
from sslint.firewalls.firewalld.values import TRANSPORTS, address, mark_value
from sslint.netfilter.model import (
    Assign,
    ChainType,
    CtStatus,
    Hook,
    Intervals,
    Key,
    Limit,
    Match,
    Nat,
    Rule,
    RuleItem,
    Table,
    Unmodelled,
    Verdict,
)
from sslint.source import Location, SourceFile
from sslint.values import replace

SUFFIXES = ("pre", "log", "deny", "allow", "post")
MAX_BINDINGS = 150  # every pair of them is a rule in FORWARD
# A zone without a target ends with a reject. With target="default" written out, firewalld 2.3.1
# adds no end: the packet goes on to the zones that come later.
EXPLICIT_DEFAULT = "default"


def build(configuration: Configuration) -> Table:
    """Return the table. Raise InvalidFile where nft would refuse what firewalld makes."""
    return _Builder(configuration).table()


class _Builder:
    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self.options = configuration.options
        self.location = self.options.location or _NO_FILE.at(1)
        table = Table("inet", "firewalld", origin="firewalld", location=self.location)
        self.chains = Chains(table, self.location)
        self.offset = 10 if self.options.backend == "nftables" else 0
        self.default = self.options.default_zone
        self.bindings = list(bindings(configuration))
        bound = {zone.name for zone in configuration.zones.values() if zone.bound}
        self.active = [*sorted(bound), *({self.default} - bound)]

    def table(self) -> Table:
        table = self.chains.table
        for name, ipset in self.configuration.ipsets.items():
            table.sets[name] = m.ipset(ipset)
        self._base_chains()
        flows = {name: derived(self.configuration.zones[name]) for name in self.active}
        for name in self.active:
            for flow in flows[name]:
                self._settings(flow)
            self._icmp_end(self.configuration.zones[name], flows[name][0])
        self._zone_dispatch({name: flows[name] for name in self.active})
        for policy in self.configuration.policies.values():
            self._policy(policy)
        if self.options.strict_forward_ports:
            for hook in ("INPUT", "FORWARD", "OUTPUT"):
                self.chains.add(f"filter_{hook}_dnat", [m.REJECT])
        self.chains.finish()
        if len(self.bindings) > 1:
            self._doubt_collisions()
        return table

    def _doubt_collisions(self) -> None:
        """Policies of one priority and the same zones are asked in an order that is not known."""
        chains = self.chains
        reason = Unmodelled("two policies have the same priority for the same zones")
        for name, location in chains.collisions.items():
            table, hook, _ = name.split("_")
            prefix = f"{table}_{_KINDS[hook]}_policy_"
            bodies = (
                rules
                for chain, rules in chains.table.chains.items()
                if chain.startswith(prefix) and chain.endswith(SUFFIXES)
            )
            if table == "filter" or any(chain.rules for chain in bodies):
                chains.chain(name).rules.insert(0, Rule((reason,), location))

    # -- the frame ----------------------------------------------------------------------------

    def _base_chains(self) -> None:
        kinds: tuple[tuple[str, ChainType, Hook, int], ...] = (
            ("mangle_PREROUTING", "filter", "prerouting", -150),
            ("nat_PREROUTING", "nat", "prerouting", -100),
            ("nat_POSTROUTING", "nat", "postrouting", 100),
            ("nat_OUTPUT", "nat", "output", -100),
        )
        for name, kind, hook, priority in kinds:
            self.chains.base(name, kind, hook, priority + self.offset)
            self._jump(name, f"{name}_POLICIES")
        self.chains.base("filter_PREROUTING", "filter", "prerouting", self.offset)
        self._reverse_path()
        for name in ("INPUT", "FORWARD", "OUTPUT"):
            self._filter_chain(name)

    def _filter_chain(self, name: str) -> None:
        chain = f"filter_{name}"
        add = self.chains.add
        hooks: dict[str, Hook] = {"INPUT": "input", "FORWARD": "forward", "OUTPUT": "output"}
        self.chains.base(chain, "filter", hooks[name], self.offset)
        if name == "FORWARD" and self.options.ipv6_rpfilter.endswith("-forward"):
            add(chain, self._no_route_back(strict="strict" in self.options.ipv6_rpfilter))
        add(chain, [m.ESTABLISHED, m.ACCEPT])
        translated = Match((Key("ct.status"),), Intervals(((CtStatus.DNAT,) * 2,)), test="any")
        if self.options.strict_forward_ports:
            self._jump(chain, f"{chain}_dnat", translated)
        else:
            add(chain, [translated, m.ACCEPT])
        own = m.interface("meta.oifname" if name == "OUTPUT" else "meta.iifname", "lo")
        add(chain, [own, m.ACCEPT])
        if name != "OUTPUT":
            add(chain, [m.INVALID, m.DROP])
        if name != "INPUT" and self.options.rfc3964:
            add(chain, [_rfc3964(), m.reject("icmp6-addr-unreachable")])
        self._jump(chain, f"{chain}_POLICIES")
        if name != "OUTPUT":
            add(chain, [m.REJECT])

    def _jump(self, chain: str, target: str, *items: RuleItem) -> None:
        self.chains.chain(target)
        self.chains.add(chain, [*items, Verdict("jump", chain=target)])

    def _reverse_path(self) -> None:
        kind = self.options.ipv6_rpfilter
        if kind in ("strict", "loose"):
            discovery = Match((Key("icmpv6.type"),), Intervals(((134, 135),)))
            # Router advertisements and neighbour solicitations come before any route.
            self.chains.add("filter_PREROUTING", [discovery, m.ACCEPT])
            self.chains.add("filter_PREROUTING", self._no_route_back(strict=kind == "strict"))

    def _no_route_back(self, *, strict: bool) -> list[RuleItem]:
        key = Key("fib.saddr.oif", arg="mark iif" if strict else "mark")
        missing = Match((key,), Intervals(((0, 0),)))
        return [m.one("meta.nfproto", m.NFPROTO["ipv6"]), missing, m.DROP]

    # -- zones --------------------------------------------------------------------------------

    def _icmp_end(self, zone: Zone, flow: Flow) -> None:
        """ICMP that nothing has decided is accepted, or rejected if the blocks are inverted."""
        inverted = zone.icmp_block_inversion
        if zone.target in ("DROP", "%%REJECT%%") or (inverted is None and zone.target == "ACCEPT"):
            return
        both = Match((Key("meta.l4proto"),), Intervals(((1, 1), (58, 58))))
        verdict = m.ACCEPT if inverted is None else m.REJECT
        location = inverted or zone.location
        self.chains.add(flow.base("filter"), [both, verdict], location, flow.label)

    def _zone_dispatch(self, flows: dict[str, tuple[Flow, Flow, Flow, Flow]]) -> None:
        for binding in self.bindings:
            spend("pairs", 4, self.configuration.zones[binding.zone].location)
            here, from_here, _, out = flows[binding.zone]
            for last in (False, True):
                self._pair(here, binding, Binding(HOST), last=last)
                self._pair(from_here, Binding(HOST), binding, last=last)
        few = len(self.bindings) <= MAX_BINDINGS
        for ingress in self.bindings:
            spend("pairs", 4 * len(self.bindings) if few else 4)
            for egress in self.bindings if few else self.bindings[:1]:
                if not same_family(self.configuration, ingress, egress):
                    continue
                out, into = flows[ingress.zone][3], flows[egress.zone][2]
                for last in (False, True):
                    self._pair(out, ingress, egress, last=last)
                    self._pair(into, ingress, egress, last=last)
        if not few:
            reason = "forwarding between so many bindings is not modelled"
            for chain in ("filter_FORWARD_POLICIES", "nat_POSTROUTING_POLICIES"):
                self.chains.dispatch.pop(chain, None)
                self.chains.add(chain, [Unmodelled(reason)])
        for name in self.active:
            zone = self.configuration.zones[name]
            if zone.forward is not None:
                self._intra_zone(zone, flows[name][3])

    def _intra_zone(self, zone: Zone, flow: Flow) -> None:
        """Accept what is forwarded from the zone to the zone."""
        allow = f"{flow.base('filter')}_allow"
        assert zone.forward is not None
        for interface in zone.interfaces:
            match = m.interface("meta.oifname", interface.value)
            self.chains.add(allow, [match, m.ACCEPT], zone.forward, flow.label)
        for source in zone.sources:
            item = m.host("daddr", source.value, self.configuration.ipsets)
            self.chains.add(allow, [item, m.ACCEPT], zone.forward, flow.label)

    # -- dispatch -----------------------------------------------------------------------------

    def _pair(self, flow: Flow, ingress: Binding, egress: Binding, *, last: bool = False) -> None:
        """Send packets from one binding to another to the flow's chains, or end them there."""
        for table, chain in flow.place:
            items: list[RuleItem] = []
            before = chain == "PREROUTING"
            if ingress.interface not in ("", "+"):
                items.append(m.interface("meta.iifname", ingress.interface))
            if egress.interface not in ("", "+") and not before:
                items.append(m.interface("meta.oifname", egress.interface))
            ipsets = self.configuration.ipsets
            if ingress.source:
                items.append(m.host("saddr", ingress.source, ipsets))
            if egress.source:
                items.append(m.host("daddr", egress.source, ipsets))
            if not last:
                target = flow.base(table, postrouting=chain == "POSTROUTING")
                items.append(Verdict("jump", chain=target))
            elif table != "filter" or chain in ("PREROUTING", "OUTPUT"):
                items.append(m.RETURN)
            elif flow.target == EXPLICIT_DEFAULT:
                continue
            else:
                items.append(_TARGETS.get(flow.target, m.REJECT))
            place = flow.settings.location if last else ingress.location or egress.location
            key = sort_key(self.configuration, flow, ingress, egress, chain, last=last)
            name = f"{table}_{chain}_POLICIES"
            self.chains.add_dispatch(name, key, items, place or flow.settings.location, flow.label)

    # -- policies -----------------------------------------------------------------------------

    def _policy(self, policy: Policy) -> None:
        ingress = list(dict.fromkeys(zone.value for zone in policy.ingress_zones))
        egress = list(dict.fromkeys(zone.value for zone in policy.egress_zones))
        known = {*self.active, HOST, ANY}
        if not known & set(ingress) or not known & set(egress):
            return
        place = policy_place(self.configuration, set(ingress), set(egress))
        flow = Flow(
            policy.name, ingress, egress, policy.priority, policy.target, policy, None, place
        )
        self._settings(flow)
        starts, ends = self._ends(ingress), self._ends(egress)
        spend("pairs", len(starts) * len(ends), policy.location)
        for start in starts:
            for end in ends:
                both_default = start.interface == "+" and end.interface == "+"
                if not both_default and same_family(self.configuration, start, end):
                    self._pair(flow, start, end)

    def _ends(self, zones: list[str]) -> list[Binding]:
        if zones == [HOST]:
            return [Binding(HOST)]
        names = self.active if zones == [ANY] else [z for z in zones if z in self.active]
        return [binding for binding in self.bindings if binding.zone in names]

    # -- what a zone or a policy allows -----------------------------------------------------------

    def _settings(self, flow: Flow) -> None:
        chains = self.chains
        for table, chain in flow.place:
            base = flow.base(table, postrouting=chain == "POSTROUTING")
            if chains.has(base) and chains.chain(base).rules:
                continue  # POSTROUTING and PREROUTING of one zone
            for suffix in SUFFIXES:
                chains.chain(f"{base}_{suffix}")
                jump = Verdict("jump", chain=f"{base}_{suffix}")
                chains.add(base, [jump], flow.settings.location, flow.label)
            if flow.zone is None and table == "filter" and flow.target in _TARGETS:
                verdict = _TARGETS[flow.target]
                chains.add(base, [verdict], flow.settings.location, flow.label)
        settings = flow.settings
        for service in settings.services:
            self._service(flow, service)
        for items, location in _opened(settings):
            self._allow(flow, items, location, flow.label)
        if settings.masquerade is not None:
            self._masquerade(flow, settings.masquerade, None)
        for port in settings.forward_ports:
            self._forward_port(flow, port, None)
        for block in settings.icmp_blocks:
            self._icmp_block(flow, block)
        for rule in sorted(settings.rules, key=RichRule.sort_key):
            self._rich_rule(flow, rule)

    def _allow(self, flow: Flow, items: list[RuleItem], location: Location, label: str) -> None:
        self.chains.add(f"{flow.base('filter')}_allow", [*items, m.ACCEPT], location, label)

    def _service(self, flow: Flow, named: Named) -> None:
        for service in self.configuration.with_includes(named.value):
            for destination in _destinations(service, ("ipv4", "ipv6")):
                for items, _ in _opened(service):
                    label = f"service {named.value}"
                    self._allow(flow, [*destination, *items], named.location, label)

    def _masquerade(self, flow: Flow, location: Location, rule: RichRule | None) -> None:
        ipv4: list[RuleItem] = [m.one("meta.nfproto", m.NFPROTO["ipv4"])]
        items = ipv4 if rule is None else self._conditions(rule)
        items += [replace(m.interface("meta.oifname", "lo"), negate=True), Nat("masquerade")]
        self._nat(flow, items, location, rule, postrouting=True)

    def _forward_port(self, flow: Flow, port: ForwardPort, rule: RichRule | None) -> None:
        target = address(port.address, single=True) if port.address else None
        family = "ipv6" if target is not None and target[0] == 6 else "ipv4"
        items: list[RuleItem] = (
            [m.one("meta.nfproto", m.NFPROTO[family])] if rule is None else self._conditions(rule)
        )
        items += m.ports(port.protocol, "dport", port.ports)
        if target is None:
            items.append(Nat("redirect", ports=port.to_ports))
        else:
            addresses = Intervals((target[1],))
            number: Literal[4, 6] = 6 if target[0] == 6 else 4
            items.append(Nat("dnat", addresses, port.to_ports, family=number))
        self._nat(flow, items, port.location, rule)
        if self.options.strict_forward_ports:
            chain = "OUTPUT" if HOST in flow.ingress else "FORWARD" if port.address else "INPUT"
            match = Match((Key("ct.original.proto-dst"),), Intervals((port.ports,)))
            self.chains.add(f"filter_{chain}_dnat", [match, m.ACCEPT], port.location, flow.label)

    def _nat(
        self,
        flow: Flow,
        items: list[RuleItem],
        location: Location,
        rule: RichRule | None,
        *,
        postrouting: bool = False,
    ) -> None:
        chain = f"{flow.base('nat', postrouting=postrouting)}_{_suffix(rule)}"
        if not self.chains.has(chain):
            raise InvalidFile(location, "nft refuses it: there is no chain for it")
        self.chains.add_rich(chain, rule.priority if rule else 0, items, location, flow.label)

    def _icmp_block(self, flow: Flow, block: Named) -> None:
        inverted = flow.zone is not None and flow.zone.icmp_block_inversion is not None
        chain = f"{flow.base('filter')}_{'allow' if inverted else 'deny'}"
        for family in self._icmp_families(block.value, ""):
            items = m.icmp(family, block.value)
            if items is not None:
                verdict = m.ACCEPT if inverted else m.REJECT
                self.chains.add(chain, [*items, verdict], block.location, flow.label)

    def _icmp_families(self, name: str, family: str) -> Iterable[str]:
        if family:
            return (family,)
        return self.configuration.icmptypes.get(name) or ("ipv4", "ipv6")

    # -- rich rules ---------------------------------------------------------------------------

    def _conditions(self, rule: RichRule) -> list[RuleItem]:
        items: list[RuleItem] = []
        if rule.family:
            items.append(m.one("meta.nfproto", m.NFPROTO[rule.family]))
        if rule.destination is not None:
            items.append(m.peer("daddr", rule.destination, self.configuration.ipsets))
        if rule.source is not None:
            items.append(m.peer("saddr", rule.source, self.configuration.ipsets))
        return items

    def _rich_rule(self, flow: Flow, rule: RichRule) -> None:
        if rule.kind == "tcp-mss-clamp":
            return
        if rule.kind == "masquerade":
            self._masquerade(flow, rule.location, rule)
        elif isinstance(rule.element, ForwardPort):
            self._forward_port(flow, rule.element, rule)
        elif rule.kind in ("icmp-block", "icmp-type") and isinstance(rule.element, Named):
            self._rich_icmp(flow, rule, rule.element.value)
        elif rule.action is not None:
            for items in self._rich_matches(rule):
                self._rich_action(flow, rule, items)

    def _rich_matches(self, rule: RichRule) -> Iterator[list[RuleItem]]:
        conditions = self._conditions(rule)
        if rule.kind == "service" and isinstance(rule.element, Named):
            families = (rule.family,) if rule.family else self._source_families(rule)
            for service in self.configuration.with_includes(rule.element.value):
                for destination in _destinations(service, families):
                    for items, _ in _opened(service):
                        yield [*conditions, *destination, *items]
        elif isinstance(rule.element, Port):
            side = "dport" if rule.kind == "port" else "sport"
            yield [*conditions, *m.ports(rule.element.protocol, side, rule.element.ports)]
        elif isinstance(rule.element, Protocol):
            yield [*conditions, m.one("meta.l4proto", rule.element.number)]
        else:
            yield conditions

    def _source_families(self, rule: RichRule) -> tuple[str, ...]:
        if rule.source is not None and rule.source.kind == "ipset":
            ipset = self.configuration.ipsets[rule.source.value]
            if ipset.type != "hash:mac":
                return ("ipv4",) if ipset.family == 4 else ("ipv6",)
        return ("ipv4", "ipv6")

    def _rich_icmp(self, flow: Flow, rule: RichRule, name: str) -> None:
        families: Iterable[str] = self._icmp_families(name, rule.family)
        if not rule.family and len(self._source_families(rule)) == 1:
            families = self._source_families(rule)
        for family in families:
            matches = m.icmp(family, name)
            if matches is None:
                raise InvalidFile(rule.location, f"{name} is not an ICMP type of {family}")
            items = [*self._conditions(rule), *matches]
            if rule.action is not None:
                self._rich_action(flow, rule, items)
            elif rule.kind == "icmp-block":
                chain = f"{flow.base('filter')}_{_suffix(rule)}"
                self.chains.add_rich(
                    chain, rule.priority, [*items, m.REJECT], rule.location, flow.label
                )

    def _rich_action(self, flow: Flow, rule: RichRule, items: list[RuleItem]) -> None:
        action = rule.action
        assert action is not None
        if action.limited:
            items = [*items, Limit(first=True, text="limit")]
        table = "filter"
        final: RuleItem
        if action.kind == "mark":
            table = "mangle"
            value, mask = mark_value(action.detail)
            # nftables.py: mark & MASK ^ VALUE
            final = Assign(Key("meta.mark"), mask if mask is not None else 0, value)
        elif action.kind == "accept":
            final = m.ACCEPT
        elif action.kind == "drop":
            final = m.DROP
        else:
            final = m.reject(action.detail)
        if isinstance(final, Verdict) and final.reject_protocol and _transport(items) not in (0, 6):
            raise InvalidFile(rule.location, "nft refuses it: tcp reset without TCP")
        chain = f"{flow.base(table)}_{_suffix(rule)}"
        if not self.chains.has(chain):
            raise InvalidFile(rule.location, "nft refuses it: there is no chain for it")
        self.chains.add_rich(
            chain, rule.priority, [*items, final], rule.location, f"rich rule of {flow.label}"
        )


_NO_FILE = SourceFile("/etc/firewalld/firewalld.conf", "etc/firewalld/firewalld.conf", "")
_KINDS = {"PREROUTING": "PRE", "POSTROUTING": "POST", "OUTPUT": "OUT"}
_KINDS |= {"INPUT": "IN", "FORWARD": "FWD"}
_TARGETS = {
    "ACCEPT": m.ACCEPT,
    "DROP": m.DROP,
    "REJECT": m.REJECT,
    "%%REJECT%%": m.REJECT,
}


def _suffix(rule: RichRule | None) -> str:
    """Choose pre, deny, allow or post, nftables._rich_rule_chain_suffix()."""
    if rule is None:
        return "allow"
    if rule.priority:
        return "pre" if rule.priority < 0 else "post"
    closes = rule.action is not None and rule.action.kind in ("reject", "drop")
    return "deny" if closes or rule.kind == "icmp-block" else "allow"


def _transport(items: list[RuleItem]) -> int:
    """Return the IP protocol that the matches imply, 0 if none."""
    for item in items:
        if isinstance(item, Match):
            name = item.keys[0].name
            if name == "meta.l4proto" and isinstance(item.values, Intervals):
                return item.values.items[0][0]
            if name.partition(".")[0] in TRANSPORTS:
                return TRANSPORTS[name.partition(".")[0]]
            if name.startswith("icmp"):
                return 58 if name.startswith("icmpv6") else 1
    return 0


def _opened(source: Settings | Service) -> Iterator[tuple[list[RuleItem], Location]]:
    for port in source.ports:
        yield m.ports(port.protocol, "dport", port.ports), port.location
    for protocol in source.protocols:
        yield [m.one("meta.l4proto", protocol.number)], protocol.location
    for port in source.source_ports:
        yield m.ports(port.protocol, "sport", port.ports), port.location


def _destinations(service: Service, families: tuple[str, ...]) -> Iterator[list[RuleItem]]:
    if not service.destinations:
        yield []
    for family in families:
        if family in service.destinations:
            yield [m.host("daddr", service.destinations[family], {})]


def _rfc3964() -> Match:
    """6to4 and IPv4-mapped destinations that firewalld rejects, RFC 3964 section 5.1."""
    blocks = "::/96 ::ffff:0:0/96 2002::/24 2002:a00::/24 2002:7f00::/24 2002:a9fe::/32"
    blocks += " 2002:ac10::/28 2002:c0a8::/32 2002:e000::/19"
    found = (address(block) for block in blocks.split())
    return Match((Key("ip6.daddr"),), Intervals(tuple(sorted(f[1] for f in found if f))))
