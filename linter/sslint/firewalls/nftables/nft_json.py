"""nftables rulesets as JSON: what `nft -j list ruleset` prints, libnftables-json(5).

Tables that iptables-nft wrote lose most of their matches there: `{"xt": ...}` without arguments.
Such a match is unknown.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal, cast

from sslint.firewalls.errors import RulesetError
from sslint.firewalls.nftables import datatypes as t
from sslint.firewalls.nftables import fields as f
from sslint.firewalls.nftables import hooks, xtables
from sslint.firewalls.nftables.datatypes import DataType, Refused
from sslint.firewalls.nftables.kernel import OBJECTS, Kernel, SetState, TableState
from sslint.firewalls.nftables.limits import UNLIMITED, capacity_of, quota_stops
from sslint.firewalls.nftables.operands import operand
from sslint.firewalls.nftables.rules import Operation, RuleBuilder
from sslint.firewalls.nftables.syntax import (
    VERDICTS,
    Binary,
    Concat,
    Expression,
    Item,
    Listing,
    Mapping,
    Prefix,
    Range,
    SetLiteral,
    SetName,
)
from sslint.firewalls.nftables.translations import KINDS, Family, Kind, tproxy, translate
from sslint.netfilter.model import (
    Base,
    Notrack,
    Ruleset,
    Set,
    Source,
    Synproxy,
    Table,
    TableFamily,
    Unknown,
    Unmodelled,
    Verdict,
)
from sslint.regex import regex
from sslint.source import Location, SourceFile
from sslint.values import replace

MAX_DEPTH = 60  # objects within each other in one rule

_LIST = regex(r'\s*\{\s*"nftables"\s*:\s*\[')
_INNER_CHAIN = regex(r"(?:jump|goto)\s*\{").match
_BLANK = regex(r"[\s,]*")
_OBJECTS = frozenset((*OBJECTS, "flowtable"))
_BINARY = frozenset(("&", "|", "^", "<<", ">>"))


def read(file: SourceFile, into: Ruleset) -> None:
    """Add the tables of a JSON listing to a ruleset. Raise RulesetError if it is none."""
    reader = _Reader(file)
    try:
        tables = reader.run()
    except RecursionError:
        raise RulesetError("too many levels of nesting", file.span(0)) from None
    into.tables += tables
    into.sources.append(Source("nft-json", file.name))
    into.families |= {4, 6}


class _Reader:
    def __init__(self, file: SourceFile) -> None:
        self.file = file
        self.kernel = Kernel()
        self.location = file.span(0)

    # -- objects ----------------------------------------------------------------------------------

    def run(self) -> list[Table]:
        for start, end, item in self._objects():
            self.location = self.file.span(start, end)
            for kind, body in item.items():
                if kind in ("add", "insert", "create") and isinstance(body, dict):
                    for inner, inner_body in body.items():
                        self._object(inner, inner_body, start, end)
                elif kind == "flush" and isinstance(body, dict) and "ruleset" in body:
                    self.kernel.tables.clear()
                elif kind != "metainfo":
                    self._object(kind, body, start, end)
        return self.kernel.finish()

    def _objects(self) -> Iterator[tuple[int, int, dict[str, Any]]]:
        """Yield the listing's objects one by one, and where each stands."""
        text = self.file.text
        head = _LIST.match(text)
        if head is None:
            raise RulesetError('expected {"nftables": [...]}', self.file.span(0, 1))
        decode = json.JSONDecoder().raw_decode
        position = head.end()
        while True:
            blank = _BLANK.match(text, position)
            position = blank.end() if blank else position
            if text[position : position + 1] == "]":
                return
            try:
                item, end = decode(text, position)
            except ValueError as error:
                reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
                at = error.pos if isinstance(error, json.JSONDecodeError) else position
                at = min(at, len(text))
                raise RulesetError(f"JSON: {reason}", self.file.span(at, at + 1)) from None
            if not isinstance(item, dict):
                raise RulesetError("expected an object", self.file.span(position, end))
            yield position, end, item
            position = end

    def _object(self, kind: str, body: Any, start: int, end: int) -> None:
        if not isinstance(body, dict):
            raise RulesetError(f"expected an object after {kind}", self.location)
        try:
            if kind == "table":
                self._table(body)
            elif kind == "chain":
                self._chain(body, start, end)
            elif kind == "rule":
                self._rule(body)
            elif kind in ("set", "map", "meter"):
                self._set(body, kind)
            elif kind == "element":
                state = self.kernel.set(self._table_of(body), str(body.get("name")), self.location)
                state.add(self._literal(body.get("elem")), self._place)
            elif kind in _OBJECTS or kind.startswith("ct "):
                over: bool | None = kind in ("limit", "quota") and body.get("inv") is True
                if _capacity(kind, body) is not None:
                    over = None
                if kind == "quota":
                    used = _int(body.get("used", 0))
                    over = quota_stops(bool(over), _int(body.get("bytes")), used)
                self._table_of(body).objects[kind, str(body.get("name"))] = over
            else:
                raise RulesetError(f"unknown object {kind}", self.location)
        except Refused as error:
            raise RulesetError(f"{kind}: {error}", self.location) from None
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError):
            raise RulesetError(f"{kind}: not of the form that nft prints", self.location) from None

    def _place(self, _start: int) -> Location:
        return self.location

    def _table_of(self, body: dict[str, Any]) -> TableState:
        return self.kernel.table(_family(body), str(body.get("table")), self.location)

    def _table(self, body: dict[str, Any]) -> None:
        table = self.kernel.add_table(_family(body), str(body["name"]), self.location)
        flags = body.get("flags", [])
        table.model.dormant = "dormant" in ([flags] if isinstance(flags, str) else flags)

    def _chain(self, body: dict[str, Any], start: int, end: int) -> None:
        table = self._table_of(body)
        chain = self.kernel.add_chain(table, str(body["name"]), self.location)
        if "hook" not in body:
            return
        family = _family(body)
        chain_type, hook = hooks.check(family, str(body.get("type")), str(body["hook"]))
        priority = _int(body.get("prio"))
        devices = body.get("dev", body.get("devices", []))
        names = (devices,) if isinstance(devices, str) else tuple(str(d) for d in devices)
        policy: Literal["accept", "drop"] = "drop" if body.get("policy") == "drop" else "accept"
        at = self.file.text.find('"policy"', start, end)
        where = self.file.span(at, end) if at >= 0 else None
        chain.base = Base(chain_type, hook, priority, policy, names, where)

    def _set(self, body: dict[str, Any], kind: str) -> None:
        table = self._table_of(body)
        name = str(body["name"])
        state = SetState(Set(name, (), [], location=self.location), self._types(body["type"]))
        state.model.keys = tuple(dtype.name for dtype in state.dtypes)
        flags = body.get("flags", [])
        state.interval = "interval" in flags
        state.model.dynamic = kind == "meter" or "dynamic" in flags or "timeout" in flags
        state.auto_merge = True  # the kernel holds it, so it does not conflict
        if "map" in body:
            self._map_type(state, body["map"])
        if self._over(body.get("stmt")):
            state.unknown = state.model.adding = "every element has a limit of its own"
        if any(name not in UNLIMITED for part in body.get("stmt", []) for name in part):
            state.model.limited = True
            state.model.adding = "nft does not list the limit that a rule gives an element"
        if "elem" in body and not state.interval and len(body["elem"]) >= body.get("size", 1 << 32):
            state.model.adding = f"the set {name} is full"
        self.kernel.add_set(table, state, self.location)
        if "elem" in body and any("quota" in part for part in body.get("stmt", [])[1:]):
            state.unknown = "quotas of elements, which the JSON leaves out"
        if "elem" in body:
            state.add(self._literal(body["elem"]), self._place)

    def _map_type(self, state: SetState, data: Any) -> None:
        if data == "verdict":
            state.kind = "verdict"
        elif isinstance(data, str) and data in _OBJECTS:
            state.kind = data
            state.data = [t.STRING]
        else:
            state.kind = "map"
            state.data = self._types(data)

    def _types(self, value: Any) -> list[DataType]:
        if isinstance(value, dict) and "typeof" in value:
            found = operand(self._keys(value["typeof"]))
            if found is None:
                raise Refused("typeof of a computed value")
            return found[1]
        names = [value] if isinstance(value, str) else value
        types = [t.INTEGER if name == "integer" else t.BY_NAME.get(name) for name in names]
        if not types or None in types:
            raise Refused(f"unknown type {value}")
        return [dtype for dtype in types if dtype is not None]

    def _keys(self, value: Any) -> Expression:
        if isinstance(value, list):
            return Concat([self._expression(part) for part in value])
        return self._expression(value)

    # -- rules ------------------------------------------------------------------------------------

    def _rule(self, body: dict[str, Any]) -> None:
        table = self._table_of(body)
        chain = self.kernel.chain(table, str(body.get("chain")), self.location)
        builder = RuleBuilder(_family(body), held=True)
        self.table = table
        for statement in body.get("expr", []):
            try:
                self._statement(builder, statement)
            except (Refused, KeyError, TypeError, AttributeError) as error:
                # The kernel holds the rule, so what is not understood is our own limit.
                builder.items.append(Unmodelled(f"{_short(statement)}: {error}"))
        self.kernel.add_rule(table, chain, builder, self.location, len(chain.rules))

    def _statement(self, builder: RuleBuilder, statement: Any) -> None:
        if isinstance(statement, str) and _INNER_CHAIN(statement):
            self._inner_chain(builder, statement)
            return
        if not isinstance(statement, dict) or len(statement) != 1:
            builder.items.append(Unmodelled(_short(statement)))
            return
        ((kind, body),) = statement.items()
        if kind in VERDICTS or kind in ("jump", "goto"):
            builder.verdict(_verdict(statement))
        elif kind == "match":
            self._match(builder, body)
        elif kind == "vmap":
            builder.verdict_map(self._expression(body["key"]), self._expression(body["data"]))
        elif kind in KINDS:
            self._nat(builder, KINDS[kind], body or {})
        elif kind == "reject":
            self._reject(builder, body)
        elif kind in ("limit", "quota", "ct count"):
            self._stateful(builder, kind, body)
        elif kind == "mangle":
            field = self._expression(body["key"])
            if not isinstance(field, f.Field):
                raise Refused("this cannot be set")
            builder.set_field(field, self._expression(body["value"]))
        elif kind in ("set", "map"):
            self._set_update(builder, kind, body)
        else:
            self._side_effect(builder, kind, body)

    def _inner_chain(self, builder: RuleBuilder, text: str) -> None:
        """Read a jump to an anonymous chain, which nft prints as text, for want of a JSON form."""
        from sslint.firewalls.nftables.lone_statement import read_statement

        made = read_statement(text, builder, self.kernel, self.table)
        for chain in made:
            chain.location = self.location
            chain.rules[:] = [replace(rule, location=self.location) for rule in chain.rules]

    def _side_effect(self, builder: RuleBuilder, kind: str, body: Any) -> None:
        if kind in ("counter", "secmark", "ct helper", "ct timeout", "ct expectation"):
            if isinstance(body, dict) and "map" in body:
                builder.object_reference(kind, self._expression(body))
            if kind == "ct expectation":
                builder.only_unconfirmed()
        elif kind == "synproxy":
            if isinstance(body, dict) and "map" in body:
                builder.object_reference(kind, self._expression(body))
            builder.add(Synproxy())
        elif kind == "notrack":
            builder.add(Notrack())
        elif kind == "queue":
            flags = (body or {}).get("flags", [])
            builder.verdict(Verdict("queue", bypass="bypass" in flags))
        elif kind == "tproxy":
            address, port = self._optional(body, "addr"), self._optional(body, "port")
            tproxy(builder, address, port, _FAMILIES.get(body.get("family"), 0))
        elif kind == "fwd":
            builder.add(Unmodelled("fwd hands the packet to another interface"))
        elif kind == "xt":
            self._xtables(builder, body)
        elif kind == "reset":
            builder.tcp_only()
        elif kind not in ("log", "last", "dup", "flow"):
            builder.items.append(Unmodelled(_short({kind: body})))

    def _xtables(self, builder: RuleBuilder, body: Any) -> None:
        named = isinstance(body, dict) and "name" in body
        kind = str(body.get("type", "match")) if named else "extension"
        found = xtables.item(kind, str(body["name"]) if named else "")
        builder.xtables = True
        if found is not None:
            builder.items.append(found)

    def _match(self, builder: RuleBuilder, body: dict[str, Any]) -> None:
        operator = str(body["op"])
        if operator == "in":
            operator = ""
        left = self._expression(body["left"])
        right = self._expression(body["right"])
        builder.match(left, operator, right)

    def _optional(self, body: dict[str, Any], name: str) -> Expression | None:
        return self._expression(body[name]) if name in body else None

    def _nat(self, builder: RuleBuilder, kind: Kind, body: dict[str, Any]) -> None:
        family = _FAMILIES.get(body.get("family"), 0)
        flags = body.get("type_flags", [])
        address, port = self._optional(body, "addr"), self._optional(body, "port")
        translate(builder, kind, address, port, family, prefix="prefix" in flags)

    def _reject(self, builder: RuleBuilder, body: Any) -> None:
        if not body:
            builder.reject()
        elif body.get("type") == "tcp reset":
            if builder.family == "inet" and not builder.layer3:
                # nft 1.1.3 prints `meta nfproto ipv4 reject with tcp reset` without the family
                builder.add(Unknown("a family that nft may leave out before reject with tcp reset"))
            builder.reject("tcp reset")
        else:
            builder.reject(str(body["type"]), self._optional(body, "expr"))

    def _stateful(self, builder: RuleBuilder, kind: str, body: Any) -> None:
        if isinstance(body, str):
            builder.limit(self.table.objects.get((kind, body)), f"{kind} name {body}")
        elif "map" in body:
            builder.object_reference(kind, self._expression(body))
            builder.add(Unknown(f"a {kind} from a map"))
        else:
            connections = _int(body.get("val", 0)) if kind == "ct count" else 0
            over = body.get("inv") is True if kind == "limit" else _stops(kind, body)
            text, capacity = _limit_text(kind, body), _capacity(kind, body)
            builder.limit(over, text, connections, capacity, tracked=kind == "ct count")

    def _set_update(self, builder: RuleBuilder, kind: str, body: dict[str, Any]) -> None:
        operation: Operation = body["op"]
        if operation not in ("add", "update", "delete"):
            raise Refused(f"unknown operation {operation}")
        key = body["elem"]
        if isinstance(key, dict) and "elem" in key:
            key = key["elem"]["val"]
        if "data" in body:
            builder.present(self._expression(body["data"]))
        statements = body.get("stmt")
        counted = tuple(name for part in statements or [] for name in part)
        stops = [
            _stops(k, b)
            for part in statements or []
            for k, b in part.items()
            if isinstance(b, dict)
        ]
        sized = None in stops
        over = True in stops and not sized
        name = str(body[kind]).removeprefix("@")
        builder.set_update(operation, name, self._expression(key), over=over, counted=counted)
        if sized:
            builder.add(Unknown(f"a rate in the set {name} depends on the packet's size"))

    def _over(self, statements: Any) -> bool:
        return any(
            isinstance(body, dict) and _stops(kind, body) is not False
            for part in statements or []
            for kind, body in part.items()
        )

    # -- expressions ------------------------------------------------------------------------------

    def _expression(self, value: Any, depth: int = 0) -> Expression:
        if depth > MAX_DEPTH:
            raise Refused("too many levels of nesting")
        if value is True or value is False:
            return "exists" if value else "missing"
        if isinstance(value, int):
            return str(value)
        if isinstance(value, str):
            return SetName(value[1:]) if value[:1] == "@" else value
        if isinstance(value, list):
            return Listing([self._expression(part, depth + 1) for part in value])
        if not isinstance(value, dict) or len(value) != 1:
            raise Refused(f"unknown expression {_short(value)}")
        ((kind, body),) = value.items()
        if kind in _BINARY:
            return self._binary(kind, body, depth)
        if kind == "prefix":
            return Prefix(self._expression(body["addr"], depth + 1), _int(body["len"]))
        if kind == "range":
            low, high = body
            return Range(self._expression(low, depth + 1), self._expression(high, depth + 1))
        if kind == "concat":
            return Concat([self._expression(part, depth + 1) for part in body])
        if kind == "set":
            return self._literal(body)
        if kind == "map":
            key = self._expression(body["key"], depth + 1)
            return Mapping(key, self._expression(body["data"], depth + 1))
        if kind == "elem":
            return self._expression(body["val"], depth + 1)
        if kind in VERDICTS or kind in ("jump", "goto"):
            return _verdict(value)
        return _field(kind, body)

    def _binary(self, kind: str, body: list[Any], depth: int) -> Expression:
        found = self._expression(body[0], depth + 1)
        for part in body[1:]:
            found = Binary(kind, found, self._expression(part, depth + 1))
        return found

    def _literal(self, body: Any) -> SetLiteral:
        elements = body if isinstance(body, list) else [body]
        return SetLiteral([self._item(element) for element in elements])

    def _item(self, element: Any) -> Item:
        data: Expression | None = None
        if isinstance(element, list):
            if len(element) != 2:
                raise Refused("a map's element is a pair")
            element, value = element
            data = self._expression(value)
        limited = False
        if isinstance(element, dict) and "elem" in element:
            body = element["elem"]
            statements = [{kind: body[kind]} for kind in ("limit", "quota") if kind in body]
            limited = self._over(statements) or self._over(body.get("stmt"))
            element = body["val"]
        key = None if element == "*" else self._expression(element)
        return Item(key, data, limited=limited)


_FAMILIES: dict[Any, Family] = {"ip": 4, "ip6": 6}


def _family(body: dict[str, Any]) -> TableFamily:
    family = str(body.get("family"))
    if family not in hooks.FAMILIES:
        raise Refused(f"unknown family {family}")
    return cast(TableFamily, family)


def _verdict(value: dict[str, Any]) -> Verdict:
    kind: Any
    ((kind, body),) = value.items()
    if kind in VERDICTS:
        return VERDICTS[kind]
    target = body["target"]
    if not isinstance(target, str):
        raise Refused("a chain's name is expected")
    return Verdict(kind, target)


def _int(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise Refused("a number is expected")
    return value


def _stops(kind: str, body: dict[str, Any]) -> bool | None:
    """Tell whether a limit, quota or connection count does not pass the first packet."""
    over = body.get("inv") is True
    if kind != "quota":
        if _capacity(kind, body) is not None:
            return None
        if kind == "ct count" and not body.get("val"):  # the first connection is one too many
            over = not over
        return over and kind in ("limit", "ct count")
    allowed = _int(body.get("val", 0)) * _FACTORS.get(str(body.get("val_unit")), 1)
    used = _int(body.get("used", 0)) * _FACTORS.get(str(body.get("used_unit")), 1)
    return quota_stops(over, allowed, used)


_FACTORS = {"bytes": 1, "kbytes": 1 << 10, "mbytes": 1 << 20}


def _capacity(kind: str, body: Any) -> int | None:
    """Return the bytes of the longest packet that a limit passes; None: it counts packets."""
    if kind != "limit" or not isinstance(body, dict):
        return None
    unit = str(body.get("rate_unit", "packets"))
    if unit not in _FACTORS:
        return None
    burst = _int(body.get("burst", 0)) * _FACTORS.get(str(body.get("burst_unit", "bytes")), 1)
    return capacity_of(_int(body.get("rate")) * _FACTORS[unit], burst)


def _limit_text(kind: str, body: dict[str, Any]) -> str:
    over = "over " if body.get("inv") else ""
    if kind == "limit":
        unit = body.get("rate_unit", "")
        amount = f"{body.get('rate')} {unit}/" if unit and unit != "packets" else ""
        return f"limit rate {over}{amount or str(body.get('rate')) + '/'}{body.get('per')}"
    return f"{kind} {over}{body.get('val')} {body.get('val_unit', '')}".strip()


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _field(kind: str, body: Any) -> Expression:
    """Return what is looked at. Raise Refused if it is not known."""
    found: f.Field | None = None
    if kind == "payload":
        found = _payload(body)
    elif kind == "meta":
        found = f.meta(str(body["key"]))
    elif kind == "ct":
        found = _ct(body)
    elif kind == "fib":
        flags = body.get("flags", [])
        flags = [flags] if isinstance(flags, str) else flags
        found = f.fib(str(body["result"]), tuple(str(flag) for flag in flags))
    elif kind == "exthdr":
        name = str(body["name"])
        part = body.get("field")
        found = f.presence(f"exthdr.{name}", 6) if part is None else f.header(name, str(part))
    elif kind == "tcp option" and "base" in body:
        name, offset, length = str(body["base"]), _int(body["offset"]), _int(body["len"])
        found = f.tcp_option(name, None)
        if (offset, length) != (0, 8):  # else the option's kind: whether it is there
            found = f.other(f"tcp.option.{name}.@", t.integer(length), str(offset), 6)
    elif kind in ("tcp option", "ip option"):
        part = body.get("field")
        option = f.tcp_option if kind == "tcp option" else f.ip_option
        found = option(str(body["name"]), None if part is None else str(part))
    elif kind == "sctp chunk":
        part = body.get("field")
        found = f.sctp_chunk(str(body["name"]), None if part is None else str(part))
    elif kind == "dccp option":
        found = f.presence(f"dccp.option.{body['type']}", layer4=33)
    elif kind == "rt":
        found = f.routing(str(body["key"]), _FAMILIES.get(body.get("family"), 0))
    elif kind in ("socket", "osf", "ipsec", "numgen", "jhash", "symhash"):
        found = _computed(kind, body)
    if found is None:
        raise Refused(f"unknown expression {_short({kind: body})}")
    return found


def _payload(body: dict[str, Any]) -> f.Field | None:
    if "base" in body:
        return f.raw(str(body["base"]), _int(body["offset"]), _int(body["len"]))
    protocol, name = str(body["protocol"]), str(body["field"])
    inner = f.header(protocol, name)
    if "tunnel" in body and inner is not None:
        return f.other(f"{body['tunnel']}.{inner.key.name}", inner.dtype)
    return inner


def _ct(body: dict[str, Any]) -> f.Field | None:
    name = str(body["key"])
    family = _FAMILIES.get(body.get("family"), 0)
    if " " in name:
        word, _, name = name.partition(" ")
        family = _FAMILIES.get(word, 0)
    return f.ct(name, str(body.get("dir", "")), family)


def _computed(kind: str, body: dict[str, Any]) -> f.Field | None:
    if kind == "socket":
        found = f.socket(str(body["key"]))
        if found is not None and "level" in body:
            return f.other(found.key.name, found.dtype, str(body["level"]))
        return found
    if kind == "osf":
        return f.other(f"osf.{body['key']}", t.STRING, str(body.get("ttl", "")))
    if kind == "ipsec":
        family = _FAMILIES.get(body.get("family"), 0)
        return f.ipsec(str(body["dir"]), str(body["key"]), family, _int(body.get("spnum", 0)))
    name = f"numgen.{body['mode']}" if kind == "numgen" else kind
    return f.other(name, arg=f"{body['mod']},{body.get('offset', 0)}")
