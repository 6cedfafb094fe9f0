"""Blocks: what stands between braces after table, chain, set and the objects."""

from __future__ import annotations

from collections.abc import Callable

from sslint.firewalls.errors import RulesetError
from sslint.firewalls.nftables import datatypes as t
from sslint.firewalls.nftables import hooks
from sslint.firewalls.nftables.datatypes import DataType, Refused
from sslint.firewalls.nftables.includes import included
from sslint.firewalls.nftables.kernel import Kernel, SetState, TableState
from sslint.firewalls.nftables.operands import operand
from sslint.firewalls.nftables.rules import RuleBuilder
from sslint.firewalls.nftables.statements import STATEFUL, StatementParser
from sslint.firewalls.nftables.syntax import Expression, SetLiteral
from sslint.netfilter.model import Base, Chain, Set, TableFamily
from sslint.source import Location, SourceFile
from sslint.tree import Tree

MAX_INCLUDE_DEPTH = 16  # nft's own
MAX_INNER_CHAINS = 16
MAX_SCOPES = 4  # SCOPE_NEST_MAX in nft's include/parser.h

_CT_OBJECTS = frozenset(("helper", "timeout", "expectation"))
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
_CONFIG_OBJECTS = ("counter", "quota", "limit", "secmark", "synproxy", "tunnel")


class BlockParser(StatementParser):
    """Reads blocks and runs them on a kernel."""

    def __init__(self, tree: Tree, file: SourceFile, kernel: Kernel) -> None:
        super().__init__(file)
        self.tree = tree
        self.kernel = kernel
        self.files: list[SourceFile] = [file]
        self.first = 0  # the command's first token
        self.verb = "add"
        self._main = file
        self._depths: list[tuple[int, int]] = []  # where an included file ends, its depth
        self._table: TableState | None = None
        self._inner = 0
        self._pending: list[tuple[TableState, RuleBuilder, int, int]] = []

    # -- what may stand anywhere ------------------------------------------------------------------

    def common(self) -> bool:
        """Read include, define, redefine or undefine; tell whether it was one."""
        lexeme = self.tokens[self.position]
        if lexeme == "include":
            self._include()
        elif lexeme in ("define", "redefine"):
            self.position += 1
            start = self.position
            name = self.word()
            self.expect("=")
            value = self.initializer()
            self.separator()
            if lexeme == "define" and name in self.scopes[-1]:
                self.fail(f"redefinition of symbol '{name}'", start)
            self.scopes[-1][name] = value
        elif lexeme == "undefine":
            self.position += 1
            start = self.position
            name = self.word()
            if self.scopes[-1].pop(name, None) is None:
                self.fail(f"undefined symbol '{name}'", start)
            self.separator()
        else:
            return False
        return True

    def _include(self) -> None:
        start = self.position
        self.position += 1
        lexeme = self.tokens[self.position]
        if lexeme[:1] != '"':
            self.unexpected()
        self.position += 1
        pattern = lexeme[1:-1]
        self.separator()
        location = self.span(start, start + 1)
        depth = self._depth_at(start)
        if depth >= MAX_INCLUDE_DEPTH:
            raise RulesetError("Include nested too deeply", location)
        files = included(self.tree, self._main.path, pattern, location)
        self.files += [file for file in dict.fromkeys(files) if file not in self.files]
        self.tree.budgets.spend("includes", len(files), location)
        count = sum(self.insert(file) for file in reversed(files))
        self._depths = [(end + count, held) for end, held in self._depths]
        self._depths.append((self.position + count, depth + 1))

    def _depth_at(self, position: int) -> int:
        self._depths = [(end, depth) for end, depth in self._depths if position < end]
        return max((depth for _, depth in self._depths), default=1)

    # -- tables -----------------------------------------------------------------------------------

    def family_spec(self) -> TableFamily:
        """Read an address family; ip if none stands there."""
        lexeme = self.tokens[self.position]
        self.family = "ip"
        if lexeme in hooks.FAMILIES:
            self.position += 1
            self.family = lexeme  # type: ignore[assignment]
        return self.family

    def table_block(self, table: TableState) -> None:
        """Read a table's block after its brace."""
        self.scopes.append({})
        self.family = table.model.family
        self._table = table
        table.model.dormant = False
        while not self.take("}"):
            lexeme = self.tokens[self.position]
            if lexeme in ("\n", ";"):
                self.position += 1
            elif lexeme == "flags":
                self.position += 1
                self._table_flags(table)
                self.separator()
            elif lexeme == "comment":
                self.position += 1
                self.string()
                self.separator()
            elif not self.common():
                self._in_table(table, lexeme)
                self.separator()
        self.scopes.pop()
        self.check_pending()

    def _table_flags(self, table: TableState) -> None:
        flags: set[str] = set()
        while True:
            flag = self.word()
            if flag not in ("dormant", "owner", "persist"):
                self.fail(f"unknown table option {flag}", self.position - 1)
            flags.add(flag)
            if not self.take(","):
                break
        table.model.dormant |= "dormant" in flags
        # Such a table goes with the process that made it: here with nft.
        table.owned |= "owner" in flags and "persist" not in flags and not self.listing

    def _in_table(self, table: TableState, lexeme: str) -> None:
        start = self.position
        self.position += 1
        if lexeme == "chain":
            name = self.identifier()
            location = self.span(start, self.position - 1)
            chain, new = self.declare_chain(table, name, location)
            self.expect("{")
            self.chain_block(table, chain, new)
        elif lexeme in ("set", "map"):
            name = self.identifier()
            location = self.span(start, self.position - 1)
            self.expect("{")
            self.set_block(table, name, location, is_map=lexeme == "map")
        elif lexeme == "flowtable":
            self.declare_object(table, "flowtable", self.identifier())
            self.expect("{")
            self.flowtable_block()
        elif lexeme == "ct":
            kind = f"ct {self.word()}"
            if kind.removeprefix("ct ") not in _CT_OBJECTS:
                self.position -= 1
                self.unexpected()
            name = self.identifier()
            self.expect("{")
            self.object_block(table, kind, name)
        elif lexeme in _CONFIG_OBJECTS:
            name = self.identifier()
            self.expect("{")
            self.object_block(table, lexeme, name)
        else:
            self.position = start
            self.unexpected()

    def check_pending(self) -> None:
        """Check the rules read so far against what is declared now."""
        for table, builder, first, last in self._pending:
            self.kernel.check_rule(table, builder, _lazy(self, first, last))
        self._pending.clear()

    # -- chains -----------------------------------------------------------------------------------

    def declare_chain(
        self, table: TableState, name: str, location: Location, *, create: bool = False
    ) -> tuple[Chain, bool]:
        """Make a chain; tell whether it is new."""
        new = name not in table.model.chains
        self._table = table
        return self.kernel.add_chain(table, name, location, create=create), new

    def chain_block(self, table: TableState, chain: Chain, new: bool) -> None:
        """Read a chain's block after its brace."""
        self.scopes.append({})
        policy: tuple[str, Location] | None = None
        hooked = False
        tokens = self.tokens
        while True:
            lexeme = tokens[self.position]
            if lexeme in ("\n", ";"):
                self.position += 1
                continue
            if lexeme == "}":
                self.position += 1
                break
            if lexeme == "type":
                if hooked and new:  # of two in one block the last counts
                    chain.base = None
                hooked = True
                self._hook(chain, new)
                self.separator()
            elif lexeme == "policy" and self.tokens[self.position + 1] not in ("==", "!="):
                if policy is not None:
                    self.fail("you cannot set chain policy twice")
                policy = self._policy()
                self.separator()
            elif lexeme == "flags":
                self.position += 1
                self.expect("offload")
                self.separator()
            elif lexeme == "comment":
                self.position += 1
                self.string()
                self.separator()
            elif not self.common():
                builder, first, last = self.rule()
                self.separator()
                location = self.span(first, last)
                self.kernel.add_rule(table, chain, builder, location, len(chain.rules))
                if builder.sets or builder.chains or builder.objects:
                    self._pending.append((table, builder, first, last))
        self.scopes.pop()
        if policy is not None:
            self._set_policy(chain, *policy)

    def _set_policy(self, chain: Chain, policy: str, location: Location) -> None:
        base = chain.base
        if base is None:
            raise RulesetError("a policy without a hook", location)
        chain.base = Base(
            base.type,
            base.hook,
            base.priority,
            "drop" if policy == "drop" else "accept",
            base.devices,
            location,
        )

    def _policy(self) -> tuple[str, Location]:
        start = self.position
        self.position += 1
        if self.tokens[self.position] == "$":
            value = self.variable()
            policy = value.strip('"') if isinstance(value, str) else ""
        else:
            policy = self.tokens[self.position]
            self.position += 1
        if policy not in ("accept", "drop"):
            self.fail(f"invalid policy {policy}", self.position - 1)
        return policy, self.span(start, self.position - 1)

    def _hook(self, chain: Chain, new: bool) -> None:
        start = self.position
        self.position += 1
        kind = self.word()
        self.expect("hook")
        hook = self.word()
        devices = self.devices()
        self.expect("priority")
        try:
            chain_type, at = hooks.check(self.family, kind, hook)
            priority = self._priority(hook)
            hooks.check_priority(kind, priority)
        except Refused as error:
            raise RulesetError(str(error), self.span(start, self.position - 1)) from None
        location = self.span(start, self.position - 1)
        base = Base(chain_type, at, priority, "accept", devices, location)
        self.kernel.attach(chain, base, location, new=new and chain.base is None)

    def _priority(self, hook: str) -> int:
        if self.tokens[self.position] == "$":
            value = self.variable()
            text = value.strip('"') if isinstance(value, str) else ""
            number = _signed(text)
            if number is not None:
                return number
            name, _, rest = text.partition(" ")
            offset = rest.replace(" ", "")
        elif self.take("-"):
            return -self.number()
        elif self.tokens[self.position].isdigit():
            return self.number()
        else:
            name = self.word()
            offset = ""
            if self.tokens[self.position] in ("+", "-"):
                sign = self.tokens[self.position]
                self.position += 1
                offset = f"{sign}{self.number()}"
        base = hooks.named_priority(self.family, hook, name)
        if not offset:
            return base
        shift = _signed(offset)
        if shift is None:
            raise Refused("invalid priority expression value in this context")
        return base + shift

    def devices(self) -> tuple[str, ...]:
        """Read `device NAME` or `devices = { ... }`, or nothing."""
        if self.take("device"):
            if self.tokens[self.position] == "$":
                return self._device_names(self.variable())
            return (self.string(),)
        if self.take("devices"):
            self.expect("=")
            value = self.variable() if self.tokens[self.position] == "$" else self.set_literal()
            return self._device_names(value)
        return ()

    def _device_names(self, value: Expression) -> tuple[str, ...]:
        found: list[str] = []
        pending = [value]
        while pending:
            one = pending.pop(0)
            if isinstance(one, str):
                found.append(one.strip('"'))
            elif isinstance(one, SetLiteral) and len(found) + len(pending) < 10_000:
                pending.extend(item.key for item in one.items if item.key is not None)
            else:
                self.fail("a device name is expected", self.position - 1)
        return tuple(dict.fromkeys(found))

    def inner_chain(self) -> str:
        """Read `{ rules }` after jump or goto into a chain without a name of its own."""
        table = self._table
        if table is None:
            self.unexpected()
        location = self.here()
        self.expect("{")
        self._inner += 1
        if self._inner > MAX_INNER_CHAINS or len(self.scopes) >= MAX_SCOPES:
            self.fail("too many levels of nesting")
        name = f"__chain{table.anonymous}"
        table.anonymous += 1
        chain = self.kernel.add_chain(table, name, location)
        self.chain_block(table, chain, True)
        self._inner -= 1
        return name

    # -- sets -------------------------------------------------------------------------------------

    def elements(self) -> SetLiteral:
        """Read the elements of a set: `{ ... }` or a variable."""
        if self.tokens[self.position] == "$":
            value = self.variable()
            if not isinstance(value, SetLiteral):
                self.fail("a set is expected", self.position - 1)
            return value
        return self.set_literal()

    def place(self, lexeme: int) -> Callable[[int], Location]:
        """Return what turns an element's offset into its location; `token` where it has none."""

        def locate(start: int) -> Location:
            if start < 0:
                return self.span(lexeme, lexeme)
            file, offset = self.file_of(start)
            line_end = file.text.find("\n", offset)
            end = offset
            for end in range(offset, len(file.text) if line_end < 0 else line_end):
                if file.text[end] in ",}":
                    break
            return file.span(offset, max(end, offset + 1))

        return locate

    def set_block(self, table: TableState, name: str, location: Location, *, is_map: bool) -> None:
        """Read a set's or map's block after its brace."""
        state = SetState(Set(name, (), [], location=location), [])
        state.kind = "map" if is_map else "set"
        literals: list[SetLiteral] = []
        start = self.position
        flags: set[str] = set()
        self.scopes.append({})
        while not self.take("}"):
            lexeme = self.tokens[self.position]
            if lexeme in ("\n", ";"):
                self.position += 1
            elif lexeme in ("type", "typeof"):
                self.position += 1
                self._set_type(state, is_map, lexeme == "typeof")
                self.separator()
            elif lexeme == "elements":
                self.position += 1
                self.expect("=")
                literals.append(self.elements())
            elif lexeme == "auto-merge":
                self.position += 1
                state.auto_merge = True
            elif lexeme == "flags":
                self.position += 1
                flags |= self._set_flags()
                self.separator()
            elif not self.common():
                self._set_option(state, lexeme, flags)
                self.separator()
        self.scopes.pop()
        if not state.dtypes:
            raise RulesetError(f"set {name} has no type", location)
        state.model.keys = tuple(dtype.name for dtype in state.dtypes)
        state.interval = "interval" in flags
        state.constant = "constant" in flags
        state.timed = "timeout" in flags
        if state.interval and "dynamic" in flags:
            raise RulesetError(f"set {name} cannot be of intervals and dynamic", location)
        state.inline = bool(literals)
        state.model.dynamic = bool(flags & {"dynamic", "timeout"})
        target = self.kernel.add_set(table, state, location)
        for literal in literals:
            target.add(literal, self.place(start))

    def _set_flags(self) -> set[str]:
        found = set()
        while True:
            flag = self.word()
            if flag not in ("constant", "interval", "timeout", "dynamic"):
                self.position -= 1
                self.unexpected()
            found.add(flag)
            if not self.take(","):
                return found

    def _set_option(self, state: SetState, lexeme: str, flags: set[str]) -> None:
        self.position += 1
        if lexeme in ("timeout", "gc-interval"):
            self.time()
            flags.add("timeout")
        elif lexeme == "size":
            state.size = self.number()
        elif lexeme == "policy":
            if self.word() not in ("performance", "memory"):
                self.position -= 1
                self.unexpected()
        elif lexeme == "comment":
            self.string()
        else:
            self.position -= 1
            while self.tokens[self.position] in STATEFUL:
                state.model.limited |= self.tokens[self.position] not in ("counter", "last")
                if self.stateful() is not False:
                    state.unknown = "every element has a limit of its own"
                    state.model.adding = state.unknown
            if self.tokens[self.position] == lexeme:
                self.unexpected()

    def _set_type(self, state: SetState, is_map: bool, by_example: bool) -> None:
        state.dtypes = self._types(by_example)
        if not is_map:
            return
        self.expect(":")
        self.take("interval")
        lexeme = self.tokens[self.position]
        if lexeme == "verdict":
            self.position += 1
            state.kind = "verdict"
        elif lexeme in _CONFIG_OBJECTS:
            self.position += 1
            state.kind = lexeme
            state.data = [t.STRING]
        elif by_example and lexeme == "ct" and self.tokens[self.position + 1] in _CT_OBJECTS:
            state.kind = f"ct {self.tokens[self.position + 1]}"
            state.data = [t.STRING]
            self.position += 2
        else:
            state.data = self._types(by_example)

    def _types(self, by_example: bool) -> list[DataType]:
        if by_example:
            start = self.position
            found = operand(self.keys())
            if found is None:
                self.fail("primary expression type lacks typeof serialization", start)
            return found[1]
        found_types = [self._type()]
        while self.take("."):
            found_types.append(self._type())
        return found_types

    def _type(self) -> DataType:
        lexeme = self.tokens[self.position]
        dtype = t.BY_NAME.get(lexeme)
        if dtype is None:
            self.fail(f"unknown datatype {lexeme}")
        self.position += 1
        return dtype

    def declare_meter(self, builder: RuleBuilder, name: str, key: Expression) -> None:
        """Make the dynamic set that a meter brings along."""
        table = self._table
        if table is None or name in table.sets:
            return
        found = operand(key)
        if found is None:
            return
        dtypes = found[1]
        model = Set(name, tuple(dtype.name for dtype in dtypes), [], dynamic=True)
        model.location = self.here()
        table.sets[name] = SetState(model, dtypes)

    # -- objects ----------------------------------------------------------------------------------

    def declare_object(
        self,
        table: TableState,
        kind: str,
        name: str,
        *,
        over: bool | None = False,
        create: bool = False,
    ) -> None:
        """Make a named object."""
        if create and (kind, name) in table.objects:
            self.fail(f"{kind} {name} exists", self.position - 1)
        if (kind, name) not in table.objects:
            table.handle()
        table.objects[kind, name] = over
        self._table = table

    def object_is_over(self, kind: str, name: str) -> bool | None:
        """Tell whether a named limit or quota stops the first packet, None where it depends."""
        return self._table is not None and self._table.objects.get((kind, name), False)

    def object_block(
        self, table: TableState, kind: str, name: str, *, create: bool = False
    ) -> None:
        """Read an object's block after its brace."""
        over: bool | None = False
        given: set[str] = set()
        while not self.take("}"):
            lexeme = self.tokens[self.position]
            if lexeme in ("\n", ";"):
                self.position += 1
            elif lexeme == "comment":
                self.position += 1
                self.string()
            elif not self.common():
                given.add(lexeme)
                over = self.object_config(kind)
        missing = _NEEDED.get(kind, set()) - given
        if kind == "ct expectation" and table.model.family == "inet" and "l3proto" not in given:
            missing.add("l3proto")
        if missing:
            self.fail(f"{kind} {name}: missing options", self.position - 1)
        self.declare_object(table, kind, name, over=over, create=create)

    def object_config(self, kind: str) -> bool | None:
        """Read what an object is made of; tell whether it stops the first packet."""
        if kind == "limit":
            over, capacity = self.rate()
            return over if capacity is None else None
        if kind == "quota":
            return self.quota_spec()
        if kind == "counter":
            for word in ("packets", "bytes"):
                self.expect(word)
                self.number()
        elif kind == "secmark":
            self.string()
        elif kind == "synproxy":
            start = self.position
            self.synproxy_options()
            if self.position == start:
                self.unexpected()
        elif kind == "tunnel":
            self._skip_balanced()
        else:
            self._ct_config(kind)
        return False

    def _ct_config(self, kind: str) -> None:
        lexeme = self.tokens[self.position]
        if lexeme not in _CT_OPTIONS[kind]:
            self.unexpected()
        self.position += 1
        if lexeme == "type":
            self.string()
            self.expect("protocol")
            self.word()
        elif lexeme in ("protocol", "l3proto"):
            self.word()
        elif lexeme in ("dport", "size"):
            self.number()
        elif lexeme == "timeout":
            self.time()
        else:
            self.expect("=")
            self._skip_balanced()
        self.separator()

    def _skip_balanced(self) -> None:
        depth = 0
        while True:
            lexeme = self.tokens[self.position]
            if lexeme == "" or (lexeme == "}" and depth == 0):
                return
            depth += (lexeme == "{") - (lexeme == "}")
            self.position += 1
            if depth == 0 and lexeme in ("}", "\n", ";"):
                return

    def flowtable_block(self) -> None:
        """Read a flowtable's block after its brace."""
        while not self.take("}"):
            lexeme = self.tokens[self.position]
            if lexeme in ("\n", ";"):
                self.position += 1
            elif lexeme == "hook":
                self.position += 1
                self.word()
                self.expect("priority")
                try:
                    self._priority("ingress")
                except Refused as error:
                    self.fail(str(error), self.position - 1)
            elif lexeme == "devices":
                self.devices()
            elif lexeme == "counter":
                self.position += 1
            elif lexeme == "flags":
                self.position += 1
                self.expect("offload")
            elif not self.common():
                self.unexpected()


def _lazy(parser: BlockParser, first: int, last: int) -> Callable[[], Location]:
    return lambda: parser.span(first, last)


def _signed(text: str) -> int | None:
    digits = text[1:] if text[:1] in "+-" else text
    if not digits.isdigit() or len(digits) > 10:
        return None
    return -int(digits) if text[0] == "-" else int(digits)
