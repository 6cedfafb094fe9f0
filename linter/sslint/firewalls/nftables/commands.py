"""Commands: what nft does with a file, one command after the other."""

from __future__ import annotations

from collections.abc import Callable

from sslint.firewalls.errors import RulesetError
from sslint.firewalls.nftables import hooks
from sslint.firewalls.nftables.blocks import BlockParser
from sslint.firewalls.nftables.kernel import TableState
from sslint.netfilter.model import Chain, Table
from sslint.source import Location
from sslint.values import replace

_NOT_IN_FILES = frozenset(("monitor", "export", "import"))
_OBJECTS = frozenset(("counter", "quota", "limit", "secmark", "synproxy", "tunnel"))
_ENDS = frozenset(("\n", ";", "", "}"))


class CommandParser(BlockParser):
    """Runs a file's commands on an empty kernel."""

    def run(self) -> list[Table]:
        """Run all commands and return the tables. Raise RulesetError where nft refuses."""
        while True:
            lexeme = self.tokens[self.position]
            if lexeme == "":
                break
            if lexeme in ("\n", ";"):
                self.position += 1
            elif not self.common():
                self._command(lexeme)
                if self.tokens[self.position] not in ("\n", ";", ""):
                    self.unexpected()
        return self.kernel.finish()

    def _command(self, lexeme: str) -> None:
        self.first = self.position
        if lexeme in _NOT_IN_FILES:
            self.fail(f"{lexeme} does not load rules")
        if lexeme in ("list", "describe"):
            self._show(lexeme)
            return
        verb = "add"
        if lexeme in _VERBS:
            verb = lexeme
            self.position += 1
        self.verb = verb
        if verb == "flush":
            self._flush()
        elif verb == "rename":
            self.expect("chain")
            table = self._table_spec()
            name = self.identifier()
            self.kernel.rename_chain(table, name, self.identifier(), self._command_location())
        elif verb in ("delete", "destroy"):
            self._delete(must_exist=verb == "delete")
        elif verb in ("get", "reset"):
            self._skip_command()
        else:
            self._add(verb)

    def _skip_command(self) -> None:
        while self.tokens[self.position] not in ("\n", ";", ""):
            self.position += 1

    def _show(self, verb: str) -> None:
        """Read list or describe, which change nothing; what is listed must exist."""
        self.position += 1
        kind = self.tokens[self.position]
        if verb == "list" and kind in ("table", "chain", "set", "map"):
            self.position += 1
            table = self._table_spec()
            location = self.here()
            if kind == "chain":
                self.kernel.chain(table, self.identifier(), location)
            elif kind != "table":
                self.kernel.set(table, self.identifier(), location)
        else:
            self._skip_command()

    def _command_location(self) -> Location:
        return self.span(self.first, max(self.first, self.position - 1))

    # -- add, create, insert, replace -------------------------------------------------------------

    def _add(self, verb: str) -> None:
        lexeme = self.tokens[self.position]
        if lexeme == "rule":
            self.position += 1
            self._add_rule(verb)
            return
        reader = _ADD.get(lexeme)
        if reader is None:
            if verb == "insert" or verb == "replace" or lexeme in _OBJECTS:
                self.unexpected()
            self._add_rule(verb)
            return
        if verb in ("insert", "replace"):
            self.unexpected()
        self.position += 1
        reader(self, verb == "create")

    def _table_spec(self) -> TableState:
        family = self.family_spec()
        start = self.position
        name = self.identifier()
        return self.kernel.table(family, name, self.span(start, start))

    def _add_table(self, create: bool) -> None:
        family = self.family_spec()
        name = self.identifier()
        location = self._command_location()
        table = self.kernel.add_table(family, name, location, create=create)
        if self.take("{"):
            self.table_block(table)
        else:
            table.model.dormant = False

    def _add_chain(self, create: bool) -> None:
        table = self._table_spec()
        name = self.identifier()
        chain, new = self.declare_chain(table, name, self._command_location(), create=create)
        if self.take("{"):
            self.chain_block(table, chain, new)
            self.check_pending()

    def _add_rule(self, verb: str) -> None:
        table = self._table_spec()
        start = self.position
        chain = self.kernel.chain(table, self.identifier(), self.span(start, start))
        index = self._position(table, chain, verb)
        builder, first, last = self.rule()
        self.check_pending()
        self.kernel.check_rule(table, builder, lambda: self.span(first, last))
        location = self.span(first, last)
        if verb == "replace":
            del chain.rules[index], table.handles[chain.name][index]
        self.kernel.add_rule(table, chain, builder, location, index)

    def _position(self, table: TableState, chain: Chain, verb: str) -> int:
        """Return the index at which a rule is to be put."""
        kind = self.tokens[self.position]
        count = len(chain.rules)
        if kind == "index" and verb != "replace":
            self.position += 1
            index = self.number()
            if index >= count:
                self.fail(f"no rule at index {index}", self.position - 1)
        elif kind in ("handle", "position"):
            self.position += 1
            handle = self.number()
            where = self.span(self.position - 1, self.position - 1)
            index = self.kernel.index_of(table, chain, handle, where)
        elif verb == "replace":
            self.unexpected()
        else:
            return 0 if verb == "insert" else count
        return index + 1 if verb == "add" else index

    def _add_set(self, create: bool) -> None:
        self._set_or_map(create, is_map=False)

    def _add_map(self, create: bool) -> None:
        self._set_or_map(create, is_map=True)

    def _set_or_map(self, create: bool, *, is_map: bool) -> None:
        table = self._table_spec()
        name = self.identifier()
        location = self._command_location()
        if create and name in table.sets:
            raise RulesetError(f"set {name} exists", location)
        self.expect("{")
        self.set_block(table, name, location, is_map=is_map)

    def _add_element(self, create: bool) -> None:
        table = self._table_spec()
        start = self.position
        state = self.kernel.set(table, self.identifier(), self.span(start, start))
        state.add(self.elements(), self.place(start), create=create)

    def _add_flowtable(self, create: bool) -> None:
        table = self._table_spec()
        self.declare_object(table, "flowtable", self.identifier(), create=create)
        if self.take("{"):
            self.flowtable_block()

    def _add_ct_object(self, create: bool) -> None:
        kind = f"ct {self.word()}"
        if kind not in ("ct helper", "ct timeout", "ct expectation"):
            self.position -= 1
            self.unexpected()
        table = self._table_spec()
        name = self.identifier()
        self.expect("{")
        self.object_block(table, kind, name, create=create)

    def _add_object(self, create: bool) -> None:
        kind = self.tokens[self.position - 1]
        if not self._is_object():
            self.position -= 1
            self._add_rule("add")
            return
        table = self._table_spec()
        name = self.identifier()
        if self.take("{"):
            self.object_block(table, kind, name, create=create)
        else:
            bare = kind == "counter" and self.tokens[self.position] in _ENDS
            over = False if bare else self.object_config(kind)
            self.declare_object(table, kind, name, over=over, create=create)

    def _is_object(self) -> bool:
        return self.tokens[self.position] not in _ENDS

    # -- delete, flush ----------------------------------------------------------------------------

    def _delete(self, *, must_exist: bool) -> None:
        kind = self.tokens[self.position]
        self.position += 1
        if kind == "ct":
            kind = f"ct {self.word()}"
        family = self.family_spec()
        if self.tokens[self.position] == "handle" and kind == "table":
            self.fail("a table's handle is not known from a file")
        start = self.position
        name = self.identifier()
        location = self.span(start, start)
        table = self.kernel.tables.get((family, name))
        if kind == "table":
            if table is None and must_exist:
                raise RulesetError(f"no such table: {name}", location)
            self.kernel.tables.pop((family, name), None)
            return
        if table is None:
            if must_exist:
                raise RulesetError(f"no such table: {name}", location)
            self._skip_command()
            return
        self._delete_in(table, kind, must_exist)

    def _delete_in(self, table: TableState, kind: str, must_exist: bool) -> None:
        if self.tokens[self.position] == "handle":
            self.fail("the handle is not known from a file")
        start = self.position
        name = self.identifier()
        location = self.span(start, start)
        if kind == "chain":
            if must_exist or name in table.model.chains:
                if self.take("{"):
                    self._delete_devices(self.kernel.chain(table, name, location))
                    return
                self.kernel.delete_chain(table, name, location)
        elif kind == "rule":
            chain = self.kernel.chain(table, name, location)
            self.expect("handle")
            handle = self.number()
            if handle in table.handles[name] or must_exist:
                index = self.kernel.index_of(table, chain, handle, self.span(start, start + 2))
                del chain.rules[index], table.handles[name][index]
        elif kind in ("set", "map"):
            if must_exist:
                self.kernel.set(table, name, location)
            table.sets.pop(name, None)
        elif kind == "element":
            state = table.sets.get(name)
            if state is None:
                raise RulesetError(f"no such set: {name}", location)
            state.remove(self.elements(), self.place(start), must_exist=must_exist)
        elif kind in _OBJECTS or kind == "flowtable" or kind.startswith("ct "):
            if table.objects.pop((kind, name), None) is None and must_exist:
                raise RulesetError(f"no such {kind}: {name}", location)
            if self.take("{"):
                self.flowtable_block()
        else:
            self.unexpected()

    def _delete_devices(self, chain: Chain) -> None:
        removed: set[str] = set()
        while not self.take("}"):
            if self.tokens[self.position] in ("device", "devices"):
                removed.update(self.devices())
            elif not self.tokens[self.position]:
                self.unexpected()
            else:  # the hook and its priority, which say nothing new
                self.position += 1
        if chain.base is not None:
            kept = tuple(name for name in chain.base.devices if name not in removed)
            chain.base = replace(chain.base, devices=kept)

    def _flush(self) -> None:
        kind = self.word()
        if kind == "ruleset":
            family = self.tokens[self.position]
            known = family in hooks.FAMILIES
            self.position += known
            self.kernel.flush(family if known else "", self._command_location())
            return
        table = self._table_spec()
        if kind == "table":
            for chain in table.model.chains.values():
                self._flush_chain(table, chain)
            return
        start = self.position
        name = self.identifier()
        location = self.span(start, start)
        if kind == "chain":
            self._flush_chain(table, self.kernel.chain(table, name, location))
        elif kind in ("set", "map", "meter"):
            self.kernel.set(table, name, location).flush()
        else:
            self.position = self.first + 1
            self.unexpected()

    def _flush_chain(self, table: TableState, chain: Chain) -> None:
        chain.rules.clear()
        table.handles[chain.name].clear()
        table.needs.pop(chain.name, None)


_VERBS = frozenset(
    ["add", "create", "insert", "replace", "delete", "destroy", "flush", "rename", "get", "reset"]
)
_Reader = Callable[[CommandParser, bool], None]
_ADD: dict[str, _Reader] = {
    "table": CommandParser._add_table,
    "chain": CommandParser._add_chain,
    "set": CommandParser._add_set,
    "map": CommandParser._add_map,
    "element": CommandParser._add_element,
    "flowtable": CommandParser._add_flowtable,
    "ct": CommandParser._add_ct_object,
    **dict.fromkeys(_OBJECTS, CommandParser._add_object),
}
