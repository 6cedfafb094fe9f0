"""Commands: what nft does with a file, one command after the other."""

from __future__ import annotations

from collections.abc import Callable

from sslint.firewalls.errors import RulesetError
from sslint.firewalls.nftables import blocks, hooks, statements
from sslint.firewalls.nftables.cursor import Cursor
from sslint.firewalls.nftables.kernel import CT_OBJECTS, OBJECTS, TableState
from sslint.firewalls.nftables.script import Script
from sslint.netfilter.model import Chain, Table
from sslint.source import Location
from sslint.values import replace

_NOT_IN_FILES = frozenset(("monitor", "export", "import"))
_ENDS = frozenset(("\n", ";", "", "}"))


def run(script: Script) -> list[Table]:
    """Run all commands of a file and return the tables. Raise RulesetError where nft refuses."""
    at = Cursor(script.main, script, blocks.GRAMMAR)
    while True:
        lexeme = at.tokens[at.position]
        if lexeme == "":
            break
        if lexeme in ("\n", ";"):
            at.position += 1
        elif not blocks.common(at):
            _command(at, lexeme)
            if at.tokens[at.position] not in ("\n", ";", ""):
                at.unexpected()
    return script.kernel.finish()


def _command(at: Cursor, lexeme: str) -> None:
    at.script.first = at.position
    if lexeme in _NOT_IN_FILES:
        at.fail(f"{lexeme} does not load rules")
    if lexeme in ("list", "describe"):
        _show(at, lexeme)
        return
    verb = "add"
    if lexeme in _VERBS:
        verb = lexeme
        at.position += 1
    if verb == "flush":
        _flush(at)
    elif verb == "rename":
        at.expect("chain")
        table = _table_spec(at)
        name = at.identifier()
        at.script.kernel.rename_chain(table, name, at.identifier(), _command_location(at))
    elif verb in ("delete", "destroy"):
        _delete(at, must_exist=verb == "delete")
    elif verb in ("get", "reset"):
        _skip_command(at)
    else:
        _add(at, verb)


def _skip_command(at: Cursor) -> None:
    while at.tokens[at.position] not in ("\n", ";", ""):
        at.position += 1


def _show(at: Cursor, verb: str) -> None:
    """Read list or describe, which change nothing; what is listed must exist."""
    at.position += 1
    kind = at.tokens[at.position]
    if verb == "list" and kind in ("table", "chain", "set", "map"):
        at.position += 1
        table = _table_spec(at)
        location = at.here()
        if kind == "chain":
            at.script.kernel.chain(table, at.identifier(), location)
        elif kind != "table":
            at.script.kernel.set(table, at.identifier(), location)
    else:
        _skip_command(at)


def _command_location(at: Cursor) -> Location:
    return at.span(at.script.first, max(at.script.first, at.position - 1))


# -- add, create, insert, replace -------------------------------------------------------------


def _add(at: Cursor, verb: str) -> None:
    lexeme = at.tokens[at.position]
    if lexeme == "rule":
        at.position += 1
        _add_rule(at, verb)
        return
    reader = _ADD.get(lexeme)
    if reader is None:
        if verb == "insert" or verb == "replace" or lexeme in OBJECTS:
            at.unexpected()
        _add_rule(at, verb)
        return
    if verb in ("insert", "replace"):
        at.unexpected()
    at.position += 1
    reader(at, verb == "create")


def _table_spec(at: Cursor) -> TableState:
    family = blocks.family_spec(at)
    return at.script.kernel.table(family, *at.named())


def _add_table(at: Cursor, create: bool) -> None:
    family = blocks.family_spec(at)
    name = at.identifier()
    location = _command_location(at)
    table = at.script.kernel.add_table(family, name, location, create=create)
    if at.take("{"):
        blocks.table_block(at, table)
    else:
        table.model.dormant = False


def _add_chain(at: Cursor, create: bool) -> None:
    table = _table_spec(at)
    name = at.identifier()
    chain, new = blocks.declare_chain(at, table, name, _command_location(at), create=create)
    if at.take("{"):
        blocks.chain_block(at, table, chain, new)
        blocks.check_pending(at)


def _add_rule(at: Cursor, verb: str) -> None:
    table = _table_spec(at)
    chain = at.script.kernel.chain(table, *at.named())
    index = _position(at, table, chain, verb)
    builder, first, last = statements.rule(at)
    blocks.check_pending(at)
    at.script.kernel.check_rule(table, builder, lambda: at.span(first, last))
    location = at.span(first, last)
    if verb == "replace":
        del chain.rules[index], table.handles[chain.name][index]
    at.script.kernel.add_rule(table, chain, builder, location, index)


def _position(at: Cursor, table: TableState, chain: Chain, verb: str) -> int:
    """Return the index at which a rule is to be put."""
    kind = at.tokens[at.position]
    count = len(chain.rules)
    if kind == "index" and verb != "replace":
        at.position += 1
        index = at.number()
        if index >= count:
            at.fail(f"no rule at index {index}", at.position - 1)
    elif kind in ("handle", "position"):
        at.position += 1
        handle = at.number()
        where = at.span(at.position - 1, at.position - 1)
        index = at.script.kernel.index_of(table, chain, handle, where)
    elif verb == "replace":
        at.unexpected()
    else:
        return 0 if verb == "insert" else count
    return index + 1 if verb == "add" else index


def _add_set(at: Cursor, create: bool) -> None:
    _set_or_map(at, create, is_map=False)


def _add_map(at: Cursor, create: bool) -> None:
    _set_or_map(at, create, is_map=True)


def _set_or_map(at: Cursor, create: bool, *, is_map: bool) -> None:
    table = _table_spec(at)
    name = at.identifier()
    location = _command_location(at)
    if create and name in table.sets:
        raise RulesetError(f"set {name} exists", location)
    at.expect("{")
    blocks.set_block(at, table, name, location, is_map=is_map)


def _add_element(at: Cursor, create: bool) -> None:
    table = _table_spec(at)
    start = at.position
    state = at.script.kernel.set(table, *at.named())
    state.add(blocks.elements(at), blocks.place_in(at, start), create=create)


def _add_flowtable(at: Cursor, create: bool) -> None:
    table = _table_spec(at)
    blocks.declare_object(at, table, "flowtable", at.identifier(), create=create)
    if at.take("{"):
        blocks.flowtable_block(at)


def _add_ct_object(at: Cursor, create: bool) -> None:
    kind = f"ct {at.choice(CT_OBJECTS)}"
    table = _table_spec(at)
    name = at.identifier()
    at.expect("{")
    blocks.object_block(at, table, kind, name, create=create)


def _add_object(at: Cursor, create: bool) -> None:
    kind = at.tokens[at.position - 1]
    if at.tokens[at.position] in _ENDS:
        at.position -= 1
        _add_rule(at, "add")
        return
    table = _table_spec(at)
    name = at.identifier()
    if at.take("{"):
        blocks.object_block(at, table, kind, name, create=create)
    else:
        bare = kind == "counter" and at.tokens[at.position] in _ENDS
        over = False if bare else blocks.object_config(at, kind)
        blocks.declare_object(at, table, kind, name, over=over, create=create)


# -- delete, flush ----------------------------------------------------------------------------


def _delete(at: Cursor, *, must_exist: bool) -> None:
    kind = at.tokens[at.position]
    at.position += 1
    if kind == "ct":
        kind = f"ct {at.word()}"
    family = blocks.family_spec(at)
    if at.tokens[at.position] == "handle" and kind == "table":
        at.fail("a table's handle is not known from a file")
    name, location = at.named()
    table = at.script.kernel.tables.get((family, name))
    if kind == "table":
        if table is None and must_exist:
            raise RulesetError(f"no such table: {name}", location)
        at.script.kernel.tables.pop((family, name), None)
        return
    if table is None:
        if must_exist:
            raise RulesetError(f"no such table: {name}", location)
        _skip_command(at)
        return
    _delete_in(at, table, kind, must_exist)


def _delete_in(at: Cursor, table: TableState, kind: str, must_exist: bool) -> None:
    if at.tokens[at.position] == "handle":
        at.fail("the handle is not known from a file")
    start = at.position
    name, location = at.named()
    if kind == "chain":
        if must_exist or name in table.model.chains:
            if at.take("{"):
                _delete_devices(at, at.script.kernel.chain(table, name, location))
            else:
                at.script.kernel.delete_chain(table, name, location)
    elif kind == "rule":
        chain = at.script.kernel.chain(table, name, location)
        at.expect("handle")
        handle = at.number()
        if handle in table.handles[name] or must_exist:
            index = at.script.kernel.index_of(table, chain, handle, at.span(start, start + 2))
            del chain.rules[index], table.handles[name][index]
    elif kind in ("set", "map"):
        if must_exist:
            at.script.kernel.set(table, name, location)
        table.sets.pop(name, None)
    elif kind == "element":
        state = table.sets.get(name)
        if state is None:
            raise RulesetError(f"no such set: {name}", location)
        state.remove(blocks.elements(at), blocks.place_in(at, start), must_exist=must_exist)
    elif kind in OBJECTS or kind == "flowtable" or kind.startswith("ct "):
        if table.objects.pop((kind, name), None) is None and must_exist:
            raise RulesetError(f"no such {kind}: {name}", location)
        if at.take("{"):
            blocks.flowtable_block(at)
    else:
        at.unexpected()


def _delete_devices(at: Cursor, chain: Chain) -> None:
    removed: set[str] = set()
    while not at.take("}"):
        if at.tokens[at.position] in ("device", "devices"):
            removed.update(blocks.devices(at))
        elif not at.tokens[at.position]:
            at.unexpected()
        else:  # the hook and its priority, which say nothing new
            at.position += 1
    if chain.base is not None:
        kept = tuple(name for name in chain.base.devices if name not in removed)
        chain.base = replace(chain.base, devices=kept)


def _flush(at: Cursor) -> None:
    kind = at.word()
    if kind == "ruleset":
        family = at.tokens[at.position]
        known = family in hooks.FAMILIES
        at.position += known
        at.script.kernel.flush(family if known else "", _command_location(at))
        return
    table = _table_spec(at)
    if kind == "table":
        for chain in table.model.chains.values():
            _flush_chain(table, chain)
        return
    name, location = at.named()
    if kind == "chain":
        _flush_chain(table, at.script.kernel.chain(table, name, location))
    elif kind in ("set", "map", "meter"):
        at.script.kernel.set(table, name, location).flush()
    else:
        at.position = at.script.first + 1
        at.unexpected()


def _flush_chain(table: TableState, chain: Chain) -> None:
    chain.rules.clear()
    table.handles[chain.name].clear()
    table.needs.pop(chain.name, None)


_VERBS = frozenset(
    ["add", "create", "insert", "replace", "delete", "destroy", "flush", "rename", "get", "reset"]
)
_Reader = Callable[[Cursor, bool], None]
_ADD: dict[str, _Reader] = {
    "table": _add_table,
    "chain": _add_chain,
    "set": _add_set,
    "map": _add_map,
    "element": _add_element,
    "flowtable": _add_flowtable,
    "ct": _add_ct_object,
    **dict.fromkeys(OBJECTS, _add_object),
}
