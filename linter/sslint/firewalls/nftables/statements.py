"""Statements: a rule's matches, verdicts and side effects."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import cast, get_args

from sslint.firewalls.errors import RulesetError
from sslint.firewalls.nftables import datatypes as t
from sslint.firewalls.nftables import expressions, stateful, xtables
from sslint.firewalls.nftables.cursor import Cursor
from sslint.firewalls.nftables.datatypes import Refused
from sslint.firewalls.nftables.fields import Field
from sslint.firewalls.nftables.kernel import SetState
from sslint.firewalls.nftables.operands import operand
from sslint.firewalls.nftables.rules import Operation, RuleBuilder
from sslint.firewalls.nftables.syntax import VERDICTS, Expression, Item, SetName
from sslint.firewalls.nftables.translations import KINDS, tproxy, translate
from sslint.firewalls.nftables.values import constant
from sslint.netfilter.model import Notrack, Set, Synproxy, Unknown, Unmodelled, Verdict
from sslint.regex import is_number

_COMPARISONS = frozenset(("==", "!=", "<", ">", "<=", ">=", "!"))
_ENDS = frozenset(("\n", ";", "}", ""))
_NAT_FLAGS = frozenset(("random", "fully-random", "persistent"))
_LEVELS = frozenset(["emerg", "alert", "crit", "err", "warn", "notice", "info", "debug", "audit"])
_LOG_OPTIONS = frozenset(("prefix", "group", "snaplen", "queue-threshold", "level", "flags"))
MAX_STATEMENTS = 10_000


def rule(at: Cursor) -> tuple[RuleBuilder, int, int]:
    """Read one rule. Return its builder and its first and last token."""
    first = at.position
    builder = RuleBuilder(at.script.family)
    tokens = at.tokens
    count = 0
    while True:
        lexeme = tokens[at.position]
        if lexeme in _ENDS:
            break
        if lexeme == "comment":
            at.position += 1
            at.string()
            if tokens[at.position] not in _ENDS:
                at.unexpected()
            break
        start = at.position
        if builder.ended:
            at.fail("Statement after terminal statement has no effect")
        try:
            statement(at, builder, lexeme)
        except Refused as error:
            last = max(start, at.position - 1)
            raise RulesetError(str(error), at.span(start, last)) from None
        count += 1
        if count > MAX_STATEMENTS:
            at.fail("a rule of too many statements")
    if not count:
        at.unexpected()
    return builder, first, at.position - 1


def statement(at: Cursor, builder: RuleBuilder, lexeme: str) -> None:
    """Read one statement that begins with `token`."""
    verdict = VERDICTS.get(lexeme)
    if verdict is not None:
        at.position += 1
        builder.verdict(verdict)
        return
    reader = _STATEMENTS.get(lexeme)
    if reader is not None:
        reader(at, builder)
        return
    _match(at, builder)


# -- matches ----------------------------------------------------------------------------------


def _match(at: Cursor, builder: RuleBuilder) -> None:
    start = at.position
    left = expressions.selector(at)
    lexeme = at.tokens[at.position]
    if lexeme == "set":
        at.position += 1
        if type(left) is not Field:
            at.unexpected()
        _assign(at, builder, left)
        return
    if lexeme == "vmap":
        at.position += 1
        builder.verdict_map(left, expressions.map_body(at))
        return
    if isinstance(left, str):
        at.position = start
        at.unexpected()
    operator = ""
    if lexeme in _COMPARISONS:
        operator = lexeme
        at.position += 1
    right = expressions.right_side(at)
    mask: Expression | None = None
    if at.take("/"):
        mask = expressions.right_side(at)
    builder.match(left, operator, right, mask)


def _assign(at: Cursor, builder: RuleBuilder, target: Field) -> None:
    value = expressions.value(at)
    builder.set_field(target, value)


def _ct_statement(at: Cursor, builder: RuleBuilder) -> None:
    following = at.tokens[at.position + 1]
    if following == "count":
        stateful.connection_limit(at, builder)
    elif following in ("timeout", "expectation") and at.tokens[at.position + 2] == "set":
        at.position += 3
        builder.object_reference(f"ct {following}", expressions.value(at))
        if following == "expectation":
            builder.only_unconfirmed()
    else:
        _match(at, builder)


# -- verdicts ---------------------------------------------------------------------------------


def _jump(at: Cursor, builder: RuleBuilder) -> None:
    if at.tokens[at.position + 1] == "{":
        kind = at.tokens[at.position]
        at.position += 1
        name = at.grammar.inner_chain(at)
        builder.add(Verdict("jump" if kind == "jump" else "goto", name))
        return
    verdict = expressions.verdict(at)
    assert verdict is not None
    builder.verdict(verdict)


def _queue(at: Cursor, builder: RuleBuilder) -> None:
    at.position += 1
    bypass = fanout = ranged = False
    while True:
        lexeme = at.tokens[at.position]
        if lexeme == "num":
            at.position += 1
            ranged = _queue_number(at)
        elif lexeme == "to":
            at.position += 1
            if is_number(at.tokens[at.position]) or at.tokens[at.position] == "$":
                ranged = _queue_number(at)
            elif isinstance(expressions.value(at), str):
                at.position -= 1
                at.unexpected()
        elif lexeme in ("flags", ","):
            at.position += 1
        elif lexeme in ("bypass", "fanout"):
            bypass |= lexeme == "bypass"
            fanout |= lexeme == "fanout"
            at.position += 1
        else:
            break
    if fanout and not ranged:
        raise Refused("fanout requires a range to be specified")
    builder.verdict(Verdict("queue", bypass=bypass))


def _queue_number(at: Cursor) -> bool:
    if at.tokens[at.position] == "$":
        expressions.variable(at)
    elif at.number() > 0xFFFF:
        at.fail("queue number exceeds 65535", at.position - 1)
    return at.take("-") and not _queue_number(at)


def _reject(at: Cursor, builder: RuleBuilder) -> None:
    at.position += 1
    if not at.take("with"):
        builder.reject()
        return
    kind = at.choice(("tcp", "icmp", "icmpv6", "icmpx"))
    if kind == "tcp":
        at.expect("reset")
        builder.reject("tcp reset")
        return
    at.take("type")
    code = expressions.primary_constant(at)
    builder.reject(kind, code)


# -- side effects -----------------------------------------------------------------------------


def _log(at: Cursor, builder: RuleBuilder) -> None:
    at.position += 1
    given: set[str] = set()
    audit = False
    while True:
        lexeme = at.tokens[at.position]
        if lexeme not in _LOG_OPTIONS:
            break
        at.position += 1
        given.add(lexeme)
        if lexeme == "prefix":
            _log_prefix(at)
        elif lexeme == "level":
            level = at.string()
            if level not in _LEVELS:
                at.fail("invalid log level", at.position - 1)
            audit = level == "audit"
        elif lexeme == "flags":
            _log_flags(at)
        else:
            at.number()
    if given & {"level", "flags"} and given & {"group", "snaplen", "queue-threshold"}:
        raise Refused("level or flags and group are mutually exclusive")
    if audit and len(given) > 1:
        raise Refused("log level audit doesn't support any further options")


def _log_prefix(at: Cursor) -> None:
    position = at.position
    text = at.string() if at.tokens[position] != "$" else str(expressions.variable(at))
    for name in re.findall(r"\$([A-Za-z0-9_]*)", text):
        if not any(name in scope for scope in at.script.scopes):
            at.fail(f"unknown identifier '{name}'", position)


def _log_flags(at: Cursor) -> None:
    kind = at.choice(("tcp", "ip", "skuid", "ether", "all"))
    if kind == "tcp":
        at.choice(("sequence", "options"))
        while at.take(","):
            at.choice(("sequence", "options"))
    elif kind == "ip":
        at.expect("options")


def _notrack(at: Cursor, builder: RuleBuilder) -> None:
    at.position += 1
    builder.add(Notrack())


def _synproxy(at: Cursor, builder: RuleBuilder) -> None:
    at.position += 1
    if at.take("name"):
        builder.object_reference("synproxy", expressions.value(at))
    else:
        synproxy_options(at)
    builder.needs.append((None, frozenset(("input", "forward"))))
    builder.add(Synproxy())


def synproxy_options(at: Cursor) -> None:
    """Read mss, wscale, timestamp and sack-perm."""
    while True:
        lexeme = at.tokens[at.position]
        if lexeme in ("mss", "maxseg", "wscale"):
            at.position += 1
            at.number()
        elif lexeme in ("timestamp", "sack-perm", "sack-permitted"):
            at.position += 1
        else:
            return


def _flow(at: Cursor, builder: RuleBuilder) -> None:
    at.position += 1
    if at.tokens[at.position] in ("add", "offload"):
        at.position += 1
        at.expect("@")
        builder.objects.append(("flowtable", at.identifier()))
        return
    at.unexpected()


def _duplicate(at: Cursor, builder: RuleBuilder) -> None:
    if at.script.family not in ("ip", "ip6", "netdev"):
        raise Refused("unsupported family")
    at.position += 1
    at.expect("to")
    where = expressions.value(at)
    if at.script.family != "netdev" and isinstance(where, str):
        constant(where, t.IPV4 if at.script.family == "ip" else t.IPV6)
    if at.tokens[at.position] == "device" and at.script.family == "netdev":
        raise Refused("cannot specify device")
    if at.take("device"):
        expressions.value(at)


def _forward(at: Cursor, builder: RuleBuilder) -> None:
    if at.script.family != "netdev":
        raise Refused("unsupported family")
    at.position += 1
    expressions.address_family(at)
    at.expect("to")
    expressions.value(at)
    if at.take("device"):
        expressions.value(at)
    builder.add(Unmodelled("fwd hands the packet to another interface"))
    builder.ended = True


def _reset(at: Cursor, builder: RuleBuilder) -> None:
    at.position += 1
    if at.tokens[at.position : at.position + 2] != ["tcp", "option"]:
        at.unexpected()
    field = expressions.primary_selector(at)
    if not isinstance(field, Field):
        at.unexpected()
    builder.look_at(field)
    builder.tcp_only()


def _xt(at: Cursor, builder: RuleBuilder) -> None:
    if not at.script.listing:
        raise Refused("unsupported xtables compat expression, use iptables-nft")
    at.position += 1
    kind = at.word()
    found = xtables.item(kind, at.string())
    builder.xtables = True
    if found is not None:
        builder.add(found)


# -- NAT --------------------------------------------------------------------------------------


def _nat(at: Cursor, builder: RuleBuilder) -> None:
    kind = KINDS[at.tokens[at.position]]
    at.position += 1
    prefix = False
    following = at.tokens[at.position + 1]
    own = kind in ("dnat", "snat") and following in ("to", "addr", "prefix", "interval")
    family = expressions.address_family(at) if own else 0
    if at.tokens[at.position] in ("prefix", "interval"):
        prefix = at.tokens[at.position] == "prefix"
        at.position += 1
    elif at.take("addr"):
        at.expect(".")
        at.expect("port")
    address: Expression | None = None
    port: Expression | None = None
    to = at.take("to")
    lexeme = at.tokens[at.position]
    if to or (kind in ("dnat", "snat") and lexeme not in _ENDS and lexeme not in _NAT_FLAGS):
        if at.tokens[at.position] != ":":
            address = expressions.value(at)
        if at.take(":"):
            port = expressions.value(at)
    _nat_flags(at)
    if kind in ("dnat", "snat") and address is None and port is None:
        at.unexpected()
    translate(builder, kind, address, port, family, prefix=prefix)


def _nat_flags(at: Cursor) -> None:
    while at.tokens[at.position] in _NAT_FLAGS:
        at.position += 1
        if not at.take(","):
            break


def _tproxy(at: Cursor, builder: RuleBuilder) -> None:
    at.position += 1
    family = expressions.address_family(at)
    at.expect("to")
    address = port = None
    if at.tokens[at.position] != ":":
        address = expressions.value(at)
    if at.take(":"):
        port = expressions.value(at)
    tproxy(builder, address, port, family)


# -- sets -------------------------------------------------------------------------------------


def _set_update(at: Cursor, builder: RuleBuilder) -> None:
    if at.take("set"):  # the old form: set add KEY @name
        operation = _operation(at)
        item = Item(expressions.keys(at))
        timed = at.tokens[at.position] == "timeout"
        expressions.element_options(at, item)
        name = expressions.set_name(at)
        if item.key is None or not isinstance(name, SetName):
            at.unexpected()
        builder.set_update(operation, name.name, item.key, timed=timed)
        return
    operation = _operation(at)
    name = expressions.set_name(at)
    if not isinstance(name, SetName):
        at.unexpected()
    at.expect("{")
    _update_body(at, builder, operation, name.name, declare=False)


def _operation(at: Cursor) -> Operation:
    return cast(Operation, at.choice(get_args(Operation)))


def _update_body(
    at: Cursor,
    builder: RuleBuilder,
    operation: Operation,
    name: str,
    *,
    declare: bool,
) -> None:
    key = expressions.keys(at)
    over = timed = sized = False
    counted: tuple[str, ...] = ()
    while at.tokens[at.position] not in (":", "}"):
        lexeme = at.tokens[at.position]
        if lexeme in ("timeout", "expires"):
            timed = True
            at.position += 1
            expressions.time_span(at)
        elif lexeme == "comment":
            at.position += 1
            at.string()
        else:
            kind, stops = stateful.counting(at)
            counted += (kind,)
            over, sized = over or bool(stops), sized or stops is None
    if at.take(":"):
        data = expressions.value(at)
        builder.look_at(data)
        builder.present(data)
        while at.tokens[at.position] in ("timeout", "expires"):
            at.position += 1
            expressions.time_span(at)
    at.expect("}")
    if declare:
        declare_meter(at, builder, name, key)
        operation = "update" if timed else "add"
    over &= not sized
    builder.set_update(
        operation, name, key, over=over, counted=counted, timed=timed, declare=declare
    )
    if sized:
        builder.add(Unknown(f"a rate in the set {name} depends on the packet's size"))


def _meter(at: Cursor, builder: RuleBuilder) -> None:
    at.position += 1
    name = at.identifier()
    if at.take("size"):
        at.number()
    at.expect("{")
    _update_body(at, builder, "add", name, declare=True)


def declare_meter(at: Cursor, builder: RuleBuilder, name: str, key: Expression) -> None:
    """Make the dynamic set that a meter brings along."""
    table = at.script.table
    if table is None or name in table.sets:
        return
    found = operand(key)
    if found is None:
        return
    dtypes = found[1]
    model = Set(name, tuple(dtype.name for dtype in dtypes), [], dynamic=True)
    model.location = at.here()
    table.sets[name] = SetState(model, dtypes)


_Reader = Callable[[Cursor, RuleBuilder], object]
_STATEMENTS: dict[str, _Reader] = {
    "jump": _jump,
    "goto": _jump,
    "queue": _queue,
    "reject": _reject,
    "counter": stateful.counter,
    "last": stateful.last,
    "limit": stateful.limit,
    "quota": stateful.quota,
    "log": _log,
    "notrack": _notrack,
    "synproxy": _synproxy,
    "flow": _flow,
    "dup": _duplicate,
    "fwd": _forward,
    "reset": _reset,
    "xt": _xt,
    "snat": _nat,
    "dnat": _nat,
    "masquerade": _nat,
    "redirect": _nat,
    "tproxy": _tproxy,
    "set": _set_update,
    "add": _set_update,
    "update": _set_update,
    "delete": _set_update,
    "meter": _meter,
    "ct": _ct_statement,
}
