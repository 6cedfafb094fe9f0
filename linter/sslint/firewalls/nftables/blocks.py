"""Blocks: what stands between braces after table, chain, set and the objects."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sslint.firewalls.errors import RulesetError
from sslint.firewalls.nftables import datatypes as t
from sslint.firewalls.nftables import expressions, hooks, stateful, statements
from sslint.firewalls.nftables.cursor import Cursor, Grammar
from sslint.firewalls.nftables.datatypes import DataType, Refused
from sslint.firewalls.nftables.includes import included
from sslint.firewalls.nftables.kernel import CT_OBJECTS, OBJECTS, SetState, TableState
from sslint.firewalls.nftables.limits import UNLIMITED
from sslint.firewalls.nftables.operands import operand
from sslint.firewalls.nftables.stateful import STATEFUL
from sslint.firewalls.nftables.syntax import Expression, SetLiteral
from sslint.netfilter.model import Base, Chain, Set, TableFamily
from sslint.regex import is_number
from sslint.source import Location
from sslint.values import replace

_SET_FLAGS = ("constant", "interval", "timeout", "dynamic")
MAX_INCLUDE_DEPTH = 16  # nft's own
MAX_INNER_CHAINS = 16
MAX_SCOPES = 4  # SCOPE_NEST_MAX in nft's include/parser.h

_CT_OPTIONS = {
    "ct helper": ("type", "l3proto"),
    "ct timeout": ("protocol", "l3proto", "policy"),
    "ct expectation": ("protocol", "dport", "timeout", "size", "l3proto"),
}
_NEEDED: dict[str, set[str]] = {  # without which there is no object
    "ct helper": {"type"},
    "ct timeout": {"protocol"},
    "ct expectation": {"protocol", "dport", "timeout", "size"},
    "limit": {"rate"},
}


# -- what may stand anywhere ------------------------------------------------------------------


def common(at: Cursor) -> bool:
    """Read include, define, redefine or undefine; tell whether it was one."""
    if at.script.alone:
        return False
    lexeme = at.tokens[at.position]
    if lexeme == "include":
        _include(at)
    elif lexeme in ("define", "redefine"):
        at.position += 1
        start = at.position
        name = at.identifier()
        at.expect("=")
        value = expressions.initializer(at)
        at.separator()
        if lexeme == "define" and any(name in scope for scope in at.script.scopes):
            at.fail(f"redefinition of symbol '{name}'", start)
        at.script.scopes[-1][name] = value
    elif lexeme == "undefine":
        at.position += 1
        start = at.position
        name = at.identifier()
        if not any(name in scope for scope in at.script.scopes):
            at.fail(f"undefined symbol '{name}'", start)
        at.script.scopes[-1].pop(name, None)  # what an outer block defines stays
        at.separator()
    else:
        return False
    return True


def _include(at: Cursor) -> None:
    start = at.position
    at.position += 1
    lexeme = at.tokens[at.position]
    if lexeme[:1] != '"':
        at.unexpected()
    at.position += 1
    pattern = lexeme[1:-1]
    at.separator()
    location = at.span(start, start + 1)
    depth = _depth_at(at, start)
    if depth >= MAX_INCLUDE_DEPTH:
        raise RulesetError("Include nested too deeply", location)
    files = included(at.script.tree, at.script.main.path, pattern, location)
    at.script.files += [file for file in dict.fromkeys(files) if file not in at.script.files]
    at.script.tree.budgets.spend("includes", len(files), location)
    count = sum(at.insert(file) for file in reversed(files))
    at.script.included = [(end + count, held) for end, held in at.script.included]
    at.script.included.append((at.position + count, depth + 1))


def _depth_at(at: Cursor, position: int) -> int:
    at.script.included = [(end, depth) for end, depth in at.script.included if position < end]
    return max((depth for _, depth in at.script.included), default=1)


def _entries(at: Cursor, *once: str) -> Iterator[str]:
    """Yield the first token of each entry of a block, up to the brace that ends it.

    Separators are passed over, and what may stand anywhere is done. An entry that begins with one
    of `once` may not be there twice.
    """
    given: set[str] = set()
    while not at.take("}"):
        lexeme = at.tokens[at.position]
        if lexeme in ("\n", ";"):
            at.position += 1
        elif not common(at):
            if lexeme in once:
                lexeme = "type" if lexeme == "typeof" else lexeme
                if lexeme in given:
                    at.fail("You can only specify this once. This statement is duplicated.")
                given.add(lexeme)
            yield at.tokens[at.position]


# -- tables -----------------------------------------------------------------------------------


def family_spec(at: Cursor) -> TableFamily:
    """Read an address family; ip if none stands there."""
    lexeme = at.tokens[at.position]
    at.script.family = "ip"
    if lexeme in hooks.FAMILIES:
        at.position += 1
        at.script.family = lexeme  # type: ignore[assignment]
    return at.script.family


def table_block(at: Cursor, table: TableState) -> None:
    """Read a table's block after its brace."""
    at.script.scopes.append({})
    at.script.family = table.model.family
    at.script.table = table
    table.model.dormant = False
    for lexeme in _entries(at, "comment"):
        if lexeme == "flags":
            at.position += 1
            _table_flags(at, table)
        elif lexeme == "comment":
            at.position += 1
            at.string()
        else:
            _in_table(at, table, lexeme)
        at.separator()
    at.script.scopes.pop()
    check_pending(at)


def _table_flags(at: Cursor, table: TableState) -> None:
    flags: set[str] = set()
    while True:
        flag = at.word()
        if flag not in ("dormant", "owner", "persist"):
            at.fail(f"unknown table option {flag}", at.position - 1)
        flags.add(flag)
        if not at.take(","):
            break
    table.model.dormant |= "dormant" in flags
    # Such a table goes with the process that made it: here with nft.
    table.owned |= "owner" in flags and "persist" not in flags and not at.script.listing


def _in_table(at: Cursor, table: TableState, lexeme: str) -> None:
    start = at.position
    at.position += 1
    if lexeme == "chain":
        name = at.identifier()
        location = at.span(start, at.position - 1)
        chain, new = declare_chain(at, table, name, location)
        at.expect("{")
        chain_block(at, table, chain, new)
    elif lexeme in ("set", "map"):
        name = at.identifier()
        location = at.span(start, at.position - 1)
        at.expect("{")
        set_block(at, table, name, location, is_map=lexeme == "map")
    elif lexeme == "flowtable":
        declare_object(at, table, "flowtable", at.identifier())
        at.expect("{")
        flowtable_block(at)
    elif lexeme == "ct" or lexeme in OBJECTS:
        kind = f"ct {at.choice(CT_OBJECTS)}" if lexeme == "ct" else lexeme
        name = at.identifier()
        at.expect("{")
        object_block(at, table, kind, name)
    else:
        at.position = start
        at.unexpected()


def check_pending(at: Cursor) -> None:
    """Check the rules read so far against what is declared now."""
    for table, builder, first, last in at.script.pending:
        at.script.kernel.check_rule(table, builder, _lazy(at, first, last))
    at.script.pending.clear()


# -- chains -----------------------------------------------------------------------------------


def declare_chain(
    at: Cursor, table: TableState, name: str, location: Location, *, create: bool = False
) -> tuple[Chain, bool]:
    """Make a chain; tell whether it is new."""
    new = name not in table.model.chains
    at.script.table = table
    return at.script.kernel.add_chain(table, name, location, create=create), new


def chain_block(at: Cursor, table: TableState, chain: Chain, new: bool) -> None:
    """Read a chain's block after its brace."""
    at.script.scopes.append({})
    policy: tuple[str, Location] | None = None
    hooked = False
    for lexeme in _entries(at, "comment"):
        if lexeme == "type":
            if hooked and new:  # of two in one block the last counts
                chain.base = None
            hooked = True
            _hook(at, chain, new)
            at.separator()
        elif lexeme == "policy" and at.tokens[at.position + 1] not in ("==", "!="):
            if policy is not None:
                at.fail("you cannot set chain policy twice")
            policy = _policy(at)
            at.separator()
        elif lexeme == "flags":
            at.position += 1
            at.expect("offload")
            at.separator()
        elif lexeme == "comment":
            at.position += 1
            at.string()
            at.separator()
        else:
            builder, first, last = statements.rule(at)
            at.separator()
            location = at.span(first, last)
            at.script.kernel.add_rule(table, chain, builder, location, len(chain.rules))
            if builder.sets or builder.chains or builder.objects:
                at.script.pending.append((table, builder, first, last))
    at.script.scopes.pop()
    if policy is not None:
        _set_policy(chain, *policy)


def _set_policy(chain: Chain, policy: str, location: Location) -> None:
    if chain.base is None:
        raise RulesetError("a policy without a hook", location)
    chain.base = replace(
        chain.base, policy="drop" if policy == "drop" else "accept", policy_location=location
    )


def _policy(at: Cursor) -> tuple[str, Location]:
    start = at.position
    at.position += 1
    if at.tokens[at.position] == "$":
        value = expressions.variable(at)
        policy = value.strip('"') if isinstance(value, str) else ""
    else:
        policy = at.tokens[at.position]
        at.position += 1
    if policy not in ("accept", "drop"):
        at.fail(f"invalid policy {policy}", at.position - 1)
    return policy, at.span(start, at.position - 1)


def _hook(at: Cursor, chain: Chain, new: bool) -> None:
    start = at.position
    at.position += 1
    kind = at.word()
    at.expect("hook")
    hook = at.word()
    named = devices(at)
    at.expect("priority")
    try:
        chain_type, place = hooks.check(at.script.family, kind, hook)
        priority = _priority(at, hook)
        hooks.check_priority(kind, priority)
    except Refused as error:
        raise RulesetError(str(error), at.span(start, at.position - 1)) from None
    location = at.span(start, at.position - 1)
    base = Base(chain_type, place, priority, "accept", named, location)
    at.script.kernel.attach(chain, base, location, new=new and chain.base is None)


def _priority(at: Cursor, hook: str) -> int:
    if at.tokens[at.position] == "$":
        value = expressions.variable(at)
        text = value.strip('"') if isinstance(value, str) else ""
        number = _signed(text)
        if number is not None:
            return number
        name, _, rest = text.partition(" ")
        offset = rest.replace(" ", "")
    elif at.take("-"):
        return -at.number()
    elif is_number(at.tokens[at.position]):
        return at.number()
    else:
        name = at.word()
        offset = ""
        if at.tokens[at.position] in ("+", "-"):
            sign = at.tokens[at.position]
            at.position += 1
            offset = f"{sign}{at.number()}"
    base = hooks.named_priority(at.script.family, hook, name)
    if not offset:
        return base
    shift = _signed(offset)
    if shift is None:
        raise Refused("invalid priority expression value in this context")
    return base + shift


def devices(at: Cursor) -> tuple[str, ...]:
    """Read `device NAME` or `devices = { ... }`, or nothing."""
    if at.take("device"):
        if at.tokens[at.position] == "$":
            return _device_names(at, expressions.variable(at))
        return (at.string(),)
    if at.take("devices"):
        at.expect("=")
        value = (
            expressions.variable(at)
            if at.tokens[at.position] == "$"
            else expressions.set_literal(at)
        )
        return _device_names(at, value)
    return ()


def _device_names(at: Cursor, value: Expression) -> tuple[str, ...]:
    found: list[str] = []
    pending = [value]
    while pending:
        one = pending.pop(0)
        if isinstance(one, str):
            found.append(one.strip('"'))
        elif isinstance(one, SetLiteral) and len(found) + len(pending) < 10_000:
            pending.extend(item.key for item in one.items if item.key is not None)
        else:
            at.fail("a device name is expected", at.position - 1)
    return tuple(dict.fromkeys(found))


def inner_chain(at: Cursor) -> str:
    """Read `{ rules }` after jump or goto into a chain without a name of its own."""
    table = at.script.table
    if table is None:
        at.unexpected()
    location = at.here()
    at.expect("{")
    at.script.inner += 1
    if at.script.inner > MAX_INNER_CHAINS or len(at.script.scopes) >= MAX_SCOPES:
        at.fail("too many levels of nesting")
    name = f"__chain{table.anonymous}"
    table.anonymous += 1
    chain = at.script.kernel.add_chain(table, name, location)
    chain_block(at, table, chain, True)
    at.script.inner -= 1
    return name


# -- sets -------------------------------------------------------------------------------------


def elements(at: Cursor) -> SetLiteral:
    """Read the elements of a set: `{ ... }` or a variable."""
    if at.tokens[at.position] == "$":
        value = expressions.variable(at)
        if not isinstance(value, SetLiteral):
            at.fail("a set is expected", at.position - 1)
        return value
    return expressions.set_literal(at)


def place_in(at: Cursor, lexeme: int) -> Callable[[int], Location]:
    """Return what turns an element's offset into its location; `token` where it has none."""

    def locate(start: int) -> Location:
        if start < 0:
            return at.span(lexeme, lexeme)
        file, offset = at.file_of(start)
        line_end = file.text.find("\n", offset)
        end = offset
        for end in range(offset, len(file.text) if line_end < 0 else line_end):
            if file.text[end] in ",}":
                break
        return file.span(offset, max(end, offset + 1))

    return locate


def set_block(
    at: Cursor, table: TableState, name: str, location: Location, *, is_map: bool
) -> None:
    """Read a set's or map's block after its brace."""
    state = SetState(Set(name, (), [], location=location), [])
    state.kind = "map" if is_map else "set"
    literal: SetLiteral | None = None
    start = at.position
    flags: set[str] = set()
    at.script.scopes.append({})
    once = ("type", "typeof", "comment", "" if is_map else "elements")
    for lexeme in _entries(at, *once):
        if lexeme in ("type", "typeof"):
            at.position += 1
            _set_type(at, state, is_map, lexeme == "typeof")
            at.separator()
        elif lexeme == "elements":
            at.position += 1
            at.expect("=")
            literal = elements(at)  # of two in a map the last counts
        elif lexeme == "auto-merge":
            at.position += 1
            state.auto_merge = True
        elif lexeme == "flags":
            at.position += 1
            flags |= _set_flags(at)
            at.separator()
        else:
            _set_option(at, state, lexeme, flags)
            at.separator()
    at.script.scopes.pop()
    if not state.dtypes:
        raise RulesetError(f"set {name} has no type", location)
    state.model.keys = tuple(dtype.name for dtype in state.dtypes)
    state.interval = "interval" in flags
    state.constant = "constant" in flags
    state.timed = "timeout" in flags
    if state.interval and "dynamic" in flags:
        raise RulesetError(f"set {name} cannot be of intervals and dynamic", location)
    if state.timed and "ct" in state.statements:
        raise RulesetError("connections are not counted in a set with timeouts", location)
    state.inline = literal is not None
    state.model.dynamic = bool(flags & {"dynamic", "timeout"})
    target = at.script.kernel.add_set(table, state, location)
    if literal is not None:
        target.add(literal, place_in(at, start))


def _set_flags(at: Cursor) -> set[str]:
    found = {at.choice(_SET_FLAGS)}
    while at.take(","):
        found.add(at.choice(_SET_FLAGS))
    return found


def _set_option(at: Cursor, state: SetState, lexeme: str, flags: set[str]) -> None:
    at.position += 1
    if lexeme in ("timeout", "gc-interval"):
        expressions.time_span(at)
        flags.add("timeout")
    elif lexeme == "size":
        state.size = at.number()
    elif lexeme == "policy":
        at.choice(("performance", "memory"))
    elif lexeme == "comment":
        at.string()
    else:
        at.position -= 1
        while at.tokens[at.position] in STATEFUL:
            kind, stops = stateful.counting(at)
            state.statements += (kind,)
            state.model.limited |= kind not in UNLIMITED
            if stops is not False:
                state.unknown = state.model.adding = "every element has a limit of its own"
            elif state.model.limited and at.script.listing:
                state.model.adding = "nft does not list the limit that a rule gives an element"
        if at.tokens[at.position] == lexeme:
            at.unexpected()


def _set_type(at: Cursor, state: SetState, is_map: bool, by_example: bool) -> None:
    state.dtypes = _types(at, by_example)
    if not is_map:
        return
    at.expect(":")
    at.take("interval")
    lexeme = at.tokens[at.position]
    if lexeme == "verdict":
        at.position += 1
        state.kind = "verdict"
    elif lexeme in OBJECTS:
        at.position += 1
        state.kind = lexeme
        state.data = [t.STRING]
    elif by_example and lexeme == "ct" and at.tokens[at.position + 1] in CT_OBJECTS:
        state.kind = f"ct {at.tokens[at.position + 1]}"
        state.data = [t.STRING]
        at.position += 2
    else:
        state.data = _types(at, by_example)


def _types(at: Cursor, by_example: bool) -> list[DataType]:
    if by_example:
        start = at.position
        found = operand(expressions.keys(at))
        if found is None:
            at.fail("primary expression type lacks typeof serialization", start)
        return found[1]
    found_types = [_type(at)]
    while at.take("."):
        found_types.append(_type(at))
    return found_types


def _type(at: Cursor) -> DataType:
    lexeme = at.tokens[at.position]
    dtype = t.BY_NAME.get(lexeme)
    if dtype is None:
        at.fail(f"unknown datatype {lexeme}")
    at.position += 1
    return dtype


# -- objects ----------------------------------------------------------------------------------


def declare_object(
    at: Cursor,
    table: TableState,
    kind: str,
    name: str,
    *,
    over: bool | None = False,
    create: bool = False,
) -> None:
    """Make a named object."""
    if create and (kind, name) in table.objects:
        at.fail(f"{kind} {name} exists", at.position - 1)
    if (kind, name) not in table.objects:
        table.handle()
    table.objects[kind, name] = over
    at.script.table = table


def object_block(
    at: Cursor, table: TableState, kind: str, name: str, *, create: bool = False
) -> None:
    """Read an object's block after its brace."""
    over: bool | None = False
    given: set[str] = set()
    once = ("comment", "type") if kind == "ct helper" else ("comment",)
    for lexeme in _entries(at, *once):
        if lexeme == "comment":
            at.position += 1
            at.string()
        else:
            given.add(lexeme)
            over = object_config(at, kind)
    missing = _NEEDED.get(kind, set()) - given
    if kind == "ct expectation" and table.model.family == "inet" and "l3proto" not in given:
        missing.add("l3proto")
    if missing:
        at.fail(f"{kind} {name}: missing options", at.position - 1)
    declare_object(at, table, kind, name, over=over, create=create)


def object_config(at: Cursor, kind: str) -> bool | None:
    """Read what an object is made of; tell whether it stops the first packet."""
    if kind == "limit":
        over, capacity = stateful.rate(at)
        return over if capacity is None else None
    if kind == "quota":
        return stateful.quota_spec(at)
    if kind == "counter":
        for word in ("packets", "bytes"):
            at.expect(word)
            at.number()
    elif kind == "secmark":
        at.string()
    elif kind == "synproxy":
        start = at.position
        statements.synproxy_options(at)
        if at.position == start:
            at.unexpected()
    elif kind == "tunnel":
        _skip_balanced(at)
    else:
        _ct_config(at, kind)
    return False


def _ct_config(at: Cursor, kind: str) -> None:
    lexeme = at.tokens[at.position]
    if lexeme not in _CT_OPTIONS[kind]:
        at.unexpected()
    at.position += 1
    if lexeme == "type":
        at.string()
        at.expect("protocol")
        at.word()
    elif lexeme in ("protocol", "l3proto"):
        at.word()
    elif lexeme in ("dport", "size"):
        at.number()
    elif lexeme == "timeout":
        expressions.time_span(at)
    else:
        at.expect("=")
        _skip_balanced(at)
    at.separator()


def _skip_balanced(at: Cursor) -> None:
    depth = 0
    while True:
        lexeme = at.tokens[at.position]
        if lexeme == "" or (lexeme == "}" and depth == 0):
            return
        depth += (lexeme == "{") - (lexeme == "}")
        at.position += 1
        if depth == 0 and lexeme in ("}", "\n", ";"):
            return


def flowtable_block(at: Cursor) -> None:
    """Read a flowtable's block after its brace."""
    for lexeme in _entries(at):
        if lexeme == "hook":
            at.position += 1
            at.word()
            at.expect("priority")
            try:
                _priority(at, "ingress")
            except Refused as error:
                at.fail(str(error), at.position - 1)
        elif lexeme == "devices":
            devices(at)
        elif lexeme == "counter":
            at.position += 1
        elif lexeme == "flags":
            at.position += 1
            at.expect("offload")
        else:
            at.unexpected()


def _lazy(at: Cursor, first: int, last: int) -> Callable[[], Location]:
    return lambda: at.span(first, last)


GRAMMAR = Grammar(stateful.counting, inner_chain)


def _signed(text: str) -> int | None:
    digits = text[1:] if text[:1] in "+-" else text
    if not is_number(digits) or len(digits) > 10:
        return None
    return -int(digits) if text[0] == "-" else int(digits)
