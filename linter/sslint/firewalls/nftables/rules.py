"""Statements to the model's matches and statements, whether they were text or JSON."""

from __future__ import annotations

from typing import Literal

from sslint.firewalls.nftables import datatypes as t
from sslint.firewalls.nftables import fields as f
from sslint.firewalls.nftables.datatypes import DataType, Refused
from sslint.firewalls.nftables.fields import Field
from sslint.firewalls.nftables.hooks import allowed
from sslint.firewalls.nftables.limits import UNLIMITED
from sslint.firewalls.nftables.operands import (
    canonical,
    computed,
    element_keys,
    flag_value,
    keys_in,
    operand,
    order,
)
from sslint.firewalls.nftables.syntax import (
    Binary,
    Concat,
    Expression,
    Mapping,
    Prefix,
    Range,
    SetLiteral,
    SetName,
)
from sslint.firewalls.nftables.values import (
    bits,
    constant,
    element,
    elements,
    flatten,
    interval,
    single,
    values,
    verdict_entries,
)
from sslint.netfilter.model import (
    Assign,
    CtStatus,
    Element,
    Intervals,
    Key,
    Limit,
    Match,
    Names,
    RuleItem,
    SetRef,
    SetUpdate,
    TableFamily,
    Unknown,
    UnknownValues,
    Unmodelled,
    Values,
    Verdict,
    VerdictMap,
)

Operation = Literal["add", "update", "delete"]
_NOT_COMPARED = frozenset(("meta.nftrace", "meta.secmark", "ct.secmark", "ct.event"))
_COMPARED: dict[tuple[Field, str, str], RuleItem] = {}
_MAX_COMPARED = 20_000
_PROTOCOLS_TOLD = ("proto", ".protocol", ".nexthdr", ".type")

# Statements after which nft allows no other.
_TERMINAL = frozenset(("accept", "drop", "reject", "return", "jump", "goto", "queue"))

_FAMILY = {"ip": 4, "ip6": 6, "arp": f.ARP}
_REJECT_HOOKS = frozenset(("ingress", "prerouting", "input", "forward", "output"))
_PROTOCOLS = ("meta.l4proto", "ip.protocol", "ip6.nexthdr")
_NFPROTO = {4: 2, 6: 10}
_TOLD_BY_SETS = {
    **dict.fromkeys(_PROTOCOLS, t.PROTOCOL),
    **dict.fromkeys(("meta.nfproto", "ct.l3proto"), t.NFPROTO),
}
_LAYER3 = {0x800: 4, 0x86DD: 6, f.ARP: f.ARP}


Need = tuple[str | None, frozenset[str]]
"""A chain type and the hooks that a rule needs; the kernel refuses it elsewhere."""


class RuleBuilder:
    """The items of one rule, in order, and what its matches have said of the protocols."""

    def __init__(self, family: TableFamily, *, held: bool = False) -> None:
        self.family = family
        self.held = held  # the kernel holds the rule, whatever nft says of what it prints
        self.items: list[RuleItem] = []
        self.layer3 = _FAMILY.get(family, 0)
        self.layer4 = 0
        self.sets: list[tuple[str, list[DataType] | None, bool]] = []  # name, types, is a map
        # Name of a set, with a timeout, statements
        self.updates: list[tuple[str, bool, tuple[str, ...]]] = []
        self.chains: list[str] = []
        self.objects: list[tuple[str, str]] = []
        self.anonymous = 0  # sets that get a handle of their own
        self.needs: list[Need] = []
        self.xtables = False  # iptables-nft wrote the rule
        self.several = False  # the last match named several protocols, layer4 the last of them
        self.mixed = False  # the last match of the family named more than one
        self.protocols: set[int] = set()  # all that matches have named
        self.ended = False

    # -- protocols ------------------------------------------------------------------------------

    def look_at(self, expression: Expression) -> None:
        """Note which protocols an expression depends on. Raise Refused if they contradict."""
        if type(expression) is Field:
            layer3, layer4 = expression.layer3, expression.layer4
            if layer3 and self.mixed:
                self.items.append(Unknown("nft adds no match on the family after a set of several"))
            if (
                expression.plain
                and (not layer3 or layer3 == self.layer3)
                and (not layer4 or (layer4 == self.layer4 and len(self.protocols) == 1))
            ):
                return
            if layer3 and self.layer3 != layer3:
                if not self.layer3 and not (layer3 == f.ARP and self.family == "inet"):
                    self.layer3 = layer3
                elif not (expression.weak or self.held):
                    raise Refused("conflicting network layer protocols specified")
            if layer4:
                tunnelled = expression.key.name.startswith(("vxlan.", "geneve."))
                if tunnelled and not (self.layer4 or self.held):
                    raise Refused("no transport protocol specified")
                if self.protocols - {layer4} and not self.held:
                    raise Refused("conflicting transport layer protocols specified")
                self.protocols.add(layer4)
                self.layer4 = layer4
            name = expression.key.name
            if not self.held:
                self._place(expression)
            if name == "meta.nfproto" and self.family != "inet":
                raise Refused("meta nfproto is only useful in the inet family")
            if self.family == "netdev" and name.startswith("ct."):
                raise Refused("conntrack is not there in a netdev table")
            if expression.guard and self.layer3 != expression.guard:
                if self.layer3:
                    raise Refused("conflicting network layer protocols specified")
                self.look_at_family(expression.guard)
        elif isinstance(expression, Concat):
            for part in expression.items:
                self.look_at(part)
        elif isinstance(expression, Binary):
            self.look_at(expression.left)
            self.look_at(expression.right)
        elif isinstance(expression, Mapping):
            self.look_at(expression.key)

    def _place(self, field: Field) -> None:
        """Note at which hooks the kernel takes a field. Raise Refused if it never does."""
        name = field.key.name
        hooks = allowed(name, self.family)
        if field.hooks is not None:
            hooks = field.hooks
            if self.family == "netdev":
                hooks = frozenset(("ingress" if "prerouting" in hooks else "egress",))
        if hooks is not None:
            self.needs.append((None, hooks))
        if field.dtype is t.ADDRESS and not self.layer3:
            raise Refused("cannot determine ip protocol version")

    def _family_is(self, family: int) -> None:
        number = _NFPROTO[family]
        self.items.append(Match((Key("meta.nfproto"),), Intervals(((number, number),))))

    def typed(self, field: Field) -> Field:
        """Return an address that is of the family which earlier matches named."""
        if self.layer3 in (4, 6):
            dtype = t.IPV4 if self.layer3 == 4 else t.IPV6
            return Field(field.key.name, dtype, arg=field.key.arg)
        return field

    def look_at_family(self, family: int) -> None:
        """Note that what follows concerns packets of one address family only."""
        self.layer3 = family
        self._family_is(family)

    def _learn(self, name: str, number: int) -> None:
        """A comparison with one value says which protocol follows."""
        if name in _PROTOCOLS:
            self.layer4, self.several = number, False
            self.protocols.add(number)
        elif name in ("meta.protocol", "ether.type") and self.family != "inet":
            self._learn_family(_LAYER3.get(number, 0))
        elif name == "meta.nfproto" or (name == "ct.l3proto" and self.family == "inet"):
            self.mixed = False
            self._learn_family({2: 4, 10: 6}.get(number, 0))

    def _learn_family(self, layer3: int) -> None:
        if layer3 and self.family in ("inet", "bridge", "netdev"):
            self.layer3 = layer3

    # -- matches --------------------------------------------------------------------------------

    def add(self, item: RuleItem) -> None:
        """Append an item. Raise Refused after a verdict that ends the rule."""
        if self.ended:
            raise Refused("Statement after terminal statement has no effect")
        self.items.append(item)

    def match(
        self, left: Expression, operator: str, right: Expression, mask: Expression | None = None
    ) -> None:
        """Add a comparison; `operator` "" is the implicit one, `mask` the part after a slash."""
        if self.ended:
            raise Refused("Statement after terminal statement has no effect")
        if type(left) is Field and left.key.name in _NOT_COMPARED and not self.held:
            raise Refused(f"{left.key.name.replace('.', ' ')} is written, not compared")
        if type(left) is Field and left.dtype is t.ADDRESS:
            left = self.typed(left)
        self.look_at(left)
        if type(left) is Field and type(right) is str and mask is None:
            self._compare_one(left, operator, right)
            return
        found = operand(left)
        if found is None:
            if isinstance(right, SetName):
                self.sets.append((right.name, None, False))
            self.present(left)
            self.add(Unknown("a comparison with a computed value"))
            return
        keys, dtypes = found
        if isinstance(right, SetName):
            if operator not in ("", "==", "!="):
                raise Refused("a set is only compared for equality")
            self.sets.append((right.name, dtypes, False))
            self.items.append(Match(keys, SetRef(right.name), operator == "!="))
            return
        if operand(right) is not None:
            self.present(left)
            self.present(right)
            self.items.append(Unknown("a comparison of two fields"))
            return
        if isinstance(right, SetLiteral):
            self._several(keys, right, operator)
            if operator not in ("", "==", "!="):
                raise Refused("a set is only compared for equality")
            self.anonymous += 1
            self.items.append(Match(keys, self.literal(right, dtypes), operator == "!="))
            return
        if len(keys) > 1:
            if operator not in ("", "==", "!="):
                raise Refused("a concatenation is only compared for equality")
            self.items.append(Match(keys, (element(right, dtypes),), operator == "!="))
            return
        if mask is not None:
            self._flags(keys[0], dtypes[0], operator, right, mask)
            return
        self._compare(left, keys[0], dtypes[0], operator, right)

    def present(self, expression: Expression) -> None:
        """Add that a packet has all that an expression looks at; without it the rule ends."""
        for key, dtype in keys_in(expression):
            anything = Names(("*",)) if dtype.base == "string" else Intervals(((0, dtype.top),))
            self.items.append(Match((Key(key.name, arg=key.arg),), anything))

    def _compare_one(self, left: Field, operator: str, right: str) -> None:
        """Compare with one constant; rules repeat themselves, so what was built is kept."""
        known = _COMPARED.get((left, operator, right))
        if known is None:
            before = len(self.items)
            self._compare(left, left.key, left.dtype, operator, right)
            if len(self.items) == before + 1 and not left.key.name.endswith(_PROTOCOLS_TOLD):
                if len(_COMPARED) >= _MAX_COMPARED:
                    _COMPARED.clear()
                _COMPARED[left, operator, right] = self.items[-1]
        else:
            self.items.append(known)

    def _several(self, keys: tuple[Key, ...], right: SetLiteral, operator: str) -> None:
        """Of a set of protocols nft goes by the last one written (relational_expr_pctx_update)."""
        dtype = _TOLD_BY_SETS.get(keys[0].name)
        if operator == "!=" or dtype is None or len(keys) > 1:
            return
        found = [interval(item.key, dtype) for item in flatten(right) if item.key is not None]
        numbers = [pair[0] for pair in found if isinstance(pair, tuple) and pair[0] == pair[1]]
        if not numbers:
            return
        self._learn(keys[0].name, numbers[-1])
        if dtype is t.PROTOCOL:
            self.several = len(found) > 1
            self.protocols.update(numbers)
        else:
            self.mixed = len(found) > 1

    def literal(self, literal: SetLiteral, dtypes: list[DataType]) -> Values | tuple[Element, ...]:
        """Return the contents of an anonymous set."""
        items = flatten(literal)
        if not items:
            raise Refused("Set is empty")
        if any(item.data is not None for item in items):
            raise Refused("a map where a set is expected")
        if any(item.key is None for item in items):
            if len(dtypes) > 1 or dtypes[0].base == "string":
                return UnknownValues("a set with a catch-all element")
            return Intervals(((0, dtypes[0].top),))
        if len(dtypes) == 1:
            return values([item.key for item in items if item.key is not None], dtypes[0])
        return tuple(
            dict.fromkeys(element(item.key, dtypes) for item in items if item.key is not None)
        )

    def _flags(
        self, key: Key, dtype: DataType, operator: str, right: Expression, mask: Expression
    ) -> None:
        """`tcp flags syn / syn,ack`: the flags right of the slash are looked at."""
        if operator not in ("", "==", "!="):
            raise Refused("invalid operator for a comparison of flags")
        wanted = flag_value(right, dtype)
        among = flag_value(mask, dtype)
        if isinstance(wanted, UnknownValues) or isinstance(among, UnknownValues):
            self.items.append(Unknown("flags whose numbers only the host knows"))
            return
        key = Key(key.name, among, key.xor, key.shift, key.arg)
        self._bits(key, wanted, operator == "!=", dtype.top)

    def _bits(self, key: Key, wanted: int, negate: bool, top: int) -> None:
        """Compare flags under a mask; a test of one or of no bit has one form of its own."""
        mask = key.mask
        if mask == top and not key.xor and not key.shift:
            key = Key(key.name, arg=key.arg)
            self.items.append(Match((key,), Intervals(((wanted, wanted),)), negate))
            return
        plain = mask is not None and not key.xor and not key.shift
        if plain and mask and (wanted == 0 or (wanted == mask and mask & (mask - 1) == 0)):
            flag = Intervals(((mask, mask),))
            self.items.append(
                Match((Key(key.name, arg=key.arg),), flag, negate ^ (wanted == 0), "any")
            )
            return
        self.items.append(Match((key,), Intervals(((wanted, wanted),)), negate))

    def _compare(
        self, left: Expression, key: Key, dtype: DataType, operator: str, right: Expression
    ) -> None:
        if right in ("exists", "missing") and type(left) is Field:
            if not left.presence:
                raise Refused(f"{right} does not apply to {key.name}")
            present = int(right == "exists") ^ (operator == "!=")
            self.items.append(Match((key,), Intervals(((present, present),))))
            return
        if operator in ("<", "<=", ">", ">="):
            self.items.append(Match((key,), order(operator, right, dtype)))
            return
        bitmask = dtype.base == "bitmask"
        flag = bitmask and not isinstance(right, (Prefix, Range))
        if operator == "!" and key.mask is not None:
            raise Refused("cannot combine negation with binary expression")
        if flag and (operator == "!" or (operator == "" and key.mask is None)):
            wanted = bits([right], dtype)
            unknown = isinstance(wanted, UnknownValues)
            found = wanted if isinstance(wanted, UnknownValues) else Intervals(((wanted, wanted),))
            if unknown or wanted:
                self.items.append(Match((key,), found, operator == "!", "any"))
            else:
                self.items.append(Match((key,), found, operator == "!"))
            return
        if operator == "!":
            raise Refused(f"! is not a comparison for {dtype.name}")
        if bitmask and key.mask is not None:
            number = constant(right, dtype)
            if isinstance(number, int):
                self._bits(key, number, operator == "!=", dtype.top)
                return
        key, known = canonical(key, single(right, dtype), dtype)
        self.items.append(Match((key,), known, operator == "!="))
        if operator != "!=" and isinstance(known, Intervals):
            low, high = known.items[0]
            if low == high and key.mask is None:
                self._learn(key.name, low)

    # -- verdicts -------------------------------------------------------------------------------

    def verdict(self, verdict: Verdict) -> None:
        """Add a verdict, which ends the rule."""
        self.add(verdict)
        if verdict.chain:
            self.chains.append(verdict.chain)
        self.ended = verdict.kind in _TERMINAL

    def verdict_map(self, key: Expression, table: Expression) -> None:
        """Add `KEY vmap {...}` or `KEY vmap @name`."""
        self.look_at(key)
        found = operand(key)
        if found is None:
            self.present(key)
            self.add(Unmodelled("a verdict map keyed by a computed value"))
            return
        keys, dtypes = found
        if isinstance(table, SetName):
            self.sets.append((table.name, dtypes, True))
            self.add(VerdictMap(keys, SetRef(table.name)))
            return
        if not isinstance(table, SetLiteral):
            raise Refused("a verdict map is expected")
        self.anonymous += 1
        entries, default = verdict_entries(flatten(table), dtypes)
        self.chains += [verdict.chain for _, verdict in entries if verdict.chain]
        if default is not None and default.chain:
            self.chains.append(default.chain)
        self.add(VerdictMap(keys, entries, default))

    def reject(self, kind: str = "", code: Expression | None = None) -> None:
        """Add `reject [with KIND CODE]`; KIND is "", icmp, icmpv6, icmpx or "tcp reset"."""
        if self.layer3 == f.ARP:
            raise Refused("cannot reject this network family")
        if kind == "icmpx" and self.family in ("ip", "ip6") and not self.held:
            raise Refused("abstracted ICMP unreachable not supported")
        self.needs.append((None, _REJECT_HOOKS))
        if kind == "tcp reset":
            listed = self.several and 6 in self.protocols  # what the kernel prints is sorted
            if self.layer4 not in (0, 6) and not (self.held and listed):
                raise Refused("you cannot use tcp reset with this protocol")
            if not self.layer4:
                self._only_for("meta.l4proto", 6)
            # After `meta l4proto { udp, tcp }` nft adds no match on TCP: the others are dropped.
            protocol = None if self.several else 6
            self.verdict(Verdict("reject", reject_protocol=protocol))
            return
        if not kind:
            kind = {4: "icmp", 6: "icmpv6"}.get(self.layer3, "icmpx")
            code = "port-unreachable"
        family = {"icmp": 4, "icmpv6": 6}.get(kind) if not self.mixed else None
        if family and self.layer3 and family != self.layer3:
            raise Refused("conflicting network protocol specified")
        if family and not self.layer3:
            if self.family == "inet":
                self._only_for("meta.nfproto", _NFPROTO[family])
            else:
                self._only_for("meta.protocol", 0x800 if family == 4 else 0x86DD)
        dtype = {"icmp": t.ICMP_CODE, "icmpv6": t.ICMPV6_CODE, "icmpx": t.ICMPX_CODE}[kind]
        constant("port-unreachable" if code is None else code, dtype)
        self.verdict(Verdict("reject", reject_family=family))

    def _only_for(self, name: str, number: int) -> None:
        """Put a match in front of the whole rule, where nft puts what a reject depends on."""
        self.items.insert(0, Match((Key(name),), Intervals(((number, number),))))

    # -- statements that write --------------------------------------------------------------------

    def set_field(self, target: Field, value: Expression) -> None:
        """Add `FIELD set VALUE`. What names an object, or no rule asks, leaves no trace."""
        name = target.key.name
        if self.ended:
            raise Refused("Statement after terminal statement has no effect")
        if not f.is_settable(target.key):
            raise Refused(f"{name.replace('.', ' ')} cannot be set")
        if name == "ct.event":
            self.look_at(target)
        if name == "ct.helper":
            self.object_reference("ct helper", value)
        elif name == "meta.secmark" and not isinstance(value, Field):
            self.object_reference("secmark", value)
        elif name != "ct.event":
            self.assign(target, value)

    def assign(self, target: Field, value: Expression) -> None:
        """Add `meta mark set ...` and its like."""
        if type(target) is not Field:
            raise Refused("this cannot be set")
        key = target.key
        self.look_at(target)
        if key.name == "meta.pkttype":
            hook = "ingress" if self.family == "netdev" else "prerouting"
            self.needs.append((None, frozenset((hook,))))
        if key.name.startswith("tcp.option."):  # nft adds nothing; the kernel looks for the header
            if target.dtype.bits not in (16, 32):  # nft_exthdr_tcp_set_init
                raise Refused("a TCP option of this length cannot be set")
            self.tcp_only()
        if target.layer4:
            number = target.layer4
            self.add(Match((Key("meta.l4proto"),), Intervals(((number, number),))))
        elif target.layer3 in _NFPROTO and _FAMILY.get(self.family, 0) != target.layer3:
            self._family_is(target.layer3)
        if isinstance(value, Mapping):
            self._assign_map(key, target.dtype, value)
            return
        self.look_at(value)
        name = type(value) is Field and value.dtype.base == "string"
        index = type(value) is Field and value.dtype is t.IFINDEX and target.dtype is t.MARK
        if name and not index and not self.held:
            raise Refused("datatype mismatch: a number is expected, not a name")
        needs = tuple(Key(found.name, arg=found.arg) for found, _ in keys_in(value))
        if needs:
            found = operand(value, target.dtype.bits)
            if found is None:
                self.add(Assign(key, unknown="a computed value", needs=needs))
            else:
                self.add(computed(key, target.dtype, found, needs))
            return
        number_or_name = constant(value, target.dtype)
        if isinstance(number_or_name, int):
            self.add(Assign(key, xor=number_or_name))
        else:
            text = getattr(number_or_name, "reason", number_or_name)
            self.add(Assign(key, unknown=str(text)))

    def tcp_only(self) -> None:
        """Add what a write to TCP's options does not say: that packets without TCP leave."""
        self.add(Match((Key("meta.l4proto"),), Intervals(((6, 6),))))

    def _assign_map(self, key: Key, dtype: DataType, value: Mapping) -> None:
        entries = self.lookup(value, dtype)
        if entries is None:
            self.add(Assign(key, unknown="a value from a map"))
            return
        found = {data.items for _, data in entries if isinstance(data, Intervals)}
        if len(found) == 1 and all(isinstance(data, Intervals) for _, data in entries):
            ((low, high),) = next(iter(found))
            if low == high:
                self.add(Assign(key, xor=low))
                return
        self.add(Assign(key, unknown="a value from a map"))

    def lookup(self, value: Mapping, dtype: DataType) -> list[tuple[Element, Values]] | None:
        """Add the match that a map implies (a miss ends the rule), and return its entries.

        None if the entries are not to be had here: a named map, a computed key.
        """
        self.look_at(value.key)
        found = operand(value.key)
        if found is None:
            self.present(value.key)
            self.add(Unknown("a lookup by a computed value"))
            return None
        keys, dtypes = found
        if isinstance(value.map, SetName):
            self.sets.append((value.map.name, dtypes, True))
            self.add(Match(keys, SetRef(value.map.name)))
            return None
        if not isinstance(value.map, SetLiteral):
            raise Refused("a map is expected")
        self.anonymous += 1
        entries: list[tuple[Element, Values]] = []
        default = False
        for item in flatten(value.map):
            if item.data is None:
                raise Refused("a set where a map is expected")
            data = single(item.data, dtype)
            if item.key is None:
                default = True
                entries.append(((), data))
            else:
                entries.append((element(item.key, dtypes), data))
        if default:  # a packet without the keys breaks all the same
            nothing: tuple[Element, ...] | Intervals = () if len(keys) > 1 else Intervals(())
            self.add(Match(keys, nothing, negate=True))
            return entries
        self.add(Match(keys, elements([found for found, _ in entries])))
        return entries

    def object_reference(self, kind: str, value: Expression) -> bool:
        """Add what `counter name ...` implies; tell whether the name is known (one constant)."""
        if isinstance(value, Mapping):
            self.lookup(value, t.STRING)
            return False
        name = constant(value, t.TEXT)
        if isinstance(name, str):
            self.objects.append((kind, name))
        return True

    def only_unconfirmed(self) -> None:
        """Add what `ct expectation set` does not say: that packets leave which are of no connection
        or of a confirmed one (nft_ct_expect_obj_eval)."""
        confirmed = Intervals(((CtStatus.CONFIRMED, CtStatus.CONFIRMED),))
        self.add(Match((Key("ct.status"),), confirmed, negate=True, test="any"))

    def limit(
        self,
        over: bool | None,
        text: str,
        connections: int = 0,
        capacity: int | None = None,
        *,
        tracked: bool = False,
    ) -> None:
        """Add a rate, a quota or a number of connections at its start.

        `over` None: it depends on the packet's size whether the first packet passes.
        """
        if over is None:
            self.add(Unknown(f"{text} depends on the packet's size"))
        else:
            self.add(Limit(not over, text, connections, capacity, tracked))

    def set_update(
        self,
        operation: Operation,
        name: str,
        key: Expression,
        *,
        over: bool = False,
        counted: tuple[str, ...] = (),
        timed: bool = False,
        declare: bool = False,
    ) -> None:
        """Add `add @name { KEY ... }`. `declare`: a meter brings its set along."""
        self.look_at(key)
        found = element_keys(key)
        if found is None:
            self.present(key)
        keys = found[0] if found else (Key("computed"),)
        if not declare:
            self.sets.append((name, found[1] if found else None, False))
            self.updates.append((name, timed, counted))
        limited = bool(set(counted) - UNLIMITED)
        self.add(SetUpdate(SetRef(name), keys, operation, not over, limited))
