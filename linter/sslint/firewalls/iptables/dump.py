"""Read iptables-save and `iptables -S` text line by line into tables (iptables-restore(8))."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import takewhile
from socket import AF_INET, AF_INET6, inet_pton
from typing import Any, Literal

from sslint.budgets import ExhaustedError
from sslint.firewalls.errors import RulesetError
from sslint.firewalls.iptables import arguments as parser
from sslint.firewalls.iptables import refusals
from sslint.firewalls.iptables.arguments import Arguments
from sslint.firewalls.iptables.identity import identity, same_rule
from sslint.firewalls.iptables.matches import OWN_CHAIN_ALONE, base_chains, rule_matches
from sslint.firewalls.iptables.options import FOREIGN_MATCHES, FOREIGN_TARGETS
from sslint.firewalls.iptables.tables import (
    BASE_NAMES,
    BASES,
    Loading,
    Place,
    Slot,
    Template,
    check_table,
)
from sslint.firewalls.iptables.targets import base_chains as target_chains
from sslint.firewalls.iptables.targets import rule_target
from sslint.netfilter.model import (
    Base,
    Chain,
    ChainType,
    Column,
    Intervals,
    Key,
    Listing,
    Match,
    Missing,
    Rule,
    RuleItem,
    Table,
    Verdict,
)
from sslint.regex import is_number, regex
from sslint.source import Location, SourceFile

Origin = Literal["nft", "iptables", "iptables-legacy", "ufw", "firewalld"]

MAX_TEMPLATES = 10_000
MANY = 64  # lines that are alike, from which on they are read together
MAX_COMPARED = 2_000_000  # rules, to find those that -D names
MAX_LINE = 10239  # iptables-restore's buffer


class Reader:
    """Reads the lines of one file.

    With `noflush` tables that are there already are added to, as `iptables-restore -n` does.
    `label_of` gives the label that a comment puts on the rules up to the next empty line. Lines
    from `last_line` on are left out.
    With `strict` only what iptables-restore itself takes is read: no prompts, no `iptables -S`,
    no carriage returns.
    """

    def __init__(
        self,
        file: SourceFile,
        family: int,
        origin: Origin,
        *,
        strict: bool = False,
        order: int = 0,
        tables: dict[str, Loading] | None = None,
        noflush: bool = False,
        label_of: Callable[[str], str] | None = None,
        last_line: int | None = None,
    ) -> None:
        self.file = file
        self.family = family
        self.origin: Origin = origin
        self.strict = strict
        self.order = order
        self.noflush = noflush
        self.tables: dict[str, Loading] = dict(tables or {})
        self.missing: list[Missing] = []
        self.current: Loading | None = None
        self.saved = False  # in a `*table ... COMMIT` block
        self.prompted = "filter"
        self.prompts = False
        self.forgiven: dict[str, int] = {}  # what iptables-restore refuses, and the first line
        self.generated = _is_generated(file.text)
        self.label_of = label_of
        self.label = ""
        # The chains in which one line may be several rules, and what -D has compared.
        self.split = {id(c) for t in self.tables.values() for c in t.table.chains.values()}
        self.compared = 0
        self.edited = False  # a rule was inserted, replaced or deleted
        self.whole = "/32" if family == 4 else "/128"
        self.keys: dict[tuple[Key, ...], tuple[Key, ...]] = {}  # those of all templates
        self.socket_family = AF_INET if family == 4 else AF_INET6
        self.last_line = last_line

    # -- lines --------------------------------------------------------------------------------

    def read(self) -> dict[str, Loading]:
        """Read the file. Raise RulesetError, with its place, if it cannot be loaded."""
        number = 0
        start = 0
        text = self.file.text
        captured = not self.strict and "\r" in text
        if captured:
            self.forgive("carriage returns", text.count("\n", 0, text.index("\r")) + 1)
        try:
            while start <= len(text):
                end = text.find("\n", start)
                line = text[start:end] if end >= 0 else text[start:]
                start = end + 1 if end >= 0 else len(text) + 1
                number += 1
                if captured:
                    line = line.rstrip("\r")
                if line[:3] == "-A " and self.saved:
                    if template := self.fast(line, number, len(line)):
                        if template.wait <= 0 and (more := self.listing(template, number, start)):
                            number += more
                            start = self.file.starts[number]
                        continue
                elif line[:1] == "[" and self.saved:
                    if self.fast(_COUNTERS.sub("", line), number, len(line)):
                        continue
                elif not line:
                    self.label = ""
                    continue
                if number == self.last_line:
                    break
                self.line(line, number)
            if self.saved:
                raise RulesetError("COMMIT is missing at the end: this table is not loaded")
            if not self.tables and self.prompts:
                raise RulesetError("the file holds no table")
            for loading in self.tables.values():
                check_table(loading)
        except RulesetError as error:
            if error.location is not None:
                raise
            last = min(number, len(self.file.starts))
            raise RulesetError(error.reason, self.file.at(max(last, 1))) from None
        return self.tables

    def fast(self, line: str, number: int, width: int) -> Template | None:
        """Append a rule that differs from an earlier one only in plain addresses and ports."""
        assert self.current is not None
        parts = _parts(line)
        texts = parts[2::3]
        del parts[2::3]
        template = self.current.templates.get(tuple(parts))
        if template is None:
            return None
        items = template.items
        if template.slots:
            filled = list(items)
            for slot, text in zip(template.slots, texts, strict=True):
                match = slot.known.get(text)
                if match is None:
                    interval = self.network(text) if slot.addressed else _decimal_port(text)
                    if interval is None:
                        return None
                    match = Match(slot.keys, Intervals((interval,)), slot.negate)
                    if not slot.addressed:  # rules share the few ports there are
                        slot.known[text] = match
                filled[slot.place] = match
            items = tuple(filled)
        location = Location(self.file, number, 1, width + 1)
        template.chain.parts.append(Rule(items, location, self.label))
        template.wait -= 1
        return template

    def listing(self, template: Template, number: int, start: int) -> int:
        """Append the rules of the lines after one that differ from it as little; count them.

        `start`: where in the text they begin.
        """
        template.wait = MANY
        found = None if self.edited else self._listed(template, number, start)
        if found is None:
            return 0
        template.chain.parts.append(found)
        template.chain.listed = True
        return len(found)

    def _listed(self, template: Template, number: int, start: int) -> Listing | None:
        assert self.current is not None
        endings = self.current.endings(template)
        if not endings:
            return None
        pattern = _line_pattern(template, list(endings), self.family)
        alike = re.compile(f"(?:{pattern})++").match(self.file.text, start)
        if alike is None:
            return None
        rows = re.compile(pattern).findall(self.file.text, start, alike.end())
        *columns, targets = zip(*rows, strict=True)
        most = len(rows) if self.last_line is None else self.last_line - 1 - number
        values = [
            self.networks(texts) if slot.addressed else _decimal_ports(texts)
            for slot, texts in zip(template.slots, columns, strict=True)
        ]
        length = min(most, *(len(lows) for lows, _ in values))
        if length < MANY:
            return None
        numbers = {target: number for number, target in enumerate(endings)}
        return Listing(
            self.file,
            number + 1,
            self.label,
            template.items,
            tuple(
                _column(slot, lows, highs, length)
                for slot, (lows, highs) in zip(template.slots, values, strict=True)
            ),
            tuple(endings.values()),
            bytes(map(numbers.__getitem__, targets[:length])),
        )

    def remember_shape(self, line: str, rule: Rule, chain: Chain) -> None:
        """Keep a rule as the template of those that differ only in plain addresses and ports."""
        assert self.current is not None
        parts = _parts(line)
        slots: list[Slot] = []
        for option, text in zip(parts[1::3], parts[2::3], strict=True):
            field = _SLOT_FIELDS[option.strip(" -")]
            addressed = field.endswith("addr")
            wanted = self.network(text) if addressed else _decimal_port(text)
            found = [
                index
                for index, item in enumerate(rule.items)
                if type(item) is Match
                and item.keys[0].name.endswith(field)
                and item.keys[0].mask is None
                and item.values == Intervals((wanted or (0, -1),))
            ]
            if len(found) != 1:
                return
            match = rule.items[found[0]]
            assert isinstance(match, Match)
            keys = self.keys.setdefault(match.keys, match.keys)
            slots.append(Slot(found[0], addressed, keys, match.negate))
        places = {slot.place for slot in slots}
        if len(places) == len(slots) and len(self.current.templates) < MAX_TEMPLATES:
            del parts[2::3]
            key = tuple(parts)
            self.current.templates[key] = Template(key, rule.items, tuple(slots), chain, MANY)

    def network(self, text: str) -> tuple[int, int] | None:
        """Read a plain address or network, the shape that dumps are full of."""
        host, slash, length = text.removesuffix(self.whole), "", ""
        if len(host) == len(text):
            host, slash, length = text.partition("/")
        try:
            value = int.from_bytes(inet_pton(self.socket_family, host), "big")
            if not slash:
                return value, value
            bits = int(self.whole[1:]) - _BYTES[length]
        except (ValueError, KeyError, OSError):
            return None
        if bits <= 0 or length == "0":  # /0 matches everything and is not a match at all
            return None
        host_bits = (1 << bits) - 1
        return value & ~host_bits, value | host_bits

    def networks(self, texts: Sequence[str]) -> tuple[Sequence[int], Sequence[int]]:
        """Read plain addresses and networks up to the first that is none: (first, last) of each."""
        whole = self.whole
        try:
            packed = [inet_pton(self.socket_family, text.removesuffix(whole)) for text in texts]
        except OSError:
            lows, highs = [], []
            for interval in map(self.network, texts):
                if interval is None:
                    break
                lows.append(interval[0])
                highs.append(interval[1])
            return lows, highs
        lows = [int.from_bytes(address, "big") for address in packed]
        return lows, lows

    def line(self, line: str, number: int) -> None:
        """Read any line."""
        if len(line) > MAX_LINE:
            raise RulesetError("the line is longer than iptables-restore reads at once")
        if line.startswith("#"):
            self.comment(line, number)
        elif self.saved and line == "COMMIT":
            self.saved = False
            self.current = None
        elif line.startswith("*") and not self.saved:
            self._start(line, number)
        elif line.startswith(":") and self.saved:
            self.declare(line, number)
        elif self.saved:
            self.command(line, number)
        elif self.strict:
            raise RulesetError("the line stands outside a table")
        else:
            self.outside(line, number)

    def _start(self, line: str, number: int) -> None:
        words = _words(line[1:])
        name = words[0] if words else ""
        if name not in BASES:
            raise RulesetError(f"table name '{name.rstrip()}' invalid")
        self.saved = True
        if self.noflush and name in self.tables:
            self.current = self.tables[name]
        else:  # a second block of a table flushes the first; policies stay
            self.current = self._new_table(name, number)

    def _new_table(self, name: str, number: int) -> Loading:
        location = self.file.at(number)
        table = Table(
            "ip" if self.family == 4 else "ip6", name, origin=self.origin, location=location
        )
        old = self.tables.get(name)
        for chain, hook, priority in BASES[name]:
            kind: ChainType = "nat" if name == "nat" else "filter"
            if name == "mangle" and hook == "output":
                kind = "route"
            base = Base(kind, hook, priority, policy_location=location)
            if old is not None and (before := old.table.chains[chain].base) is not None:
                base = before
            self.order += 1
            table.chains[chain] = Chain(chain, location, base, order=self.order)
        loading = Loading(table)
        self.tables[name] = loading
        self.renamed(loading)
        return loading

    def renamed(self, loading: Loading) -> None:
        """Forget what depends on which chains there are."""
        loading.names = frozenset(loading.table.chains)
        loading.templates.clear()

    def declare(self, line: str, number: int) -> None:
        """Read `:CHAIN POLICY [packets:bytes]`."""
        words = _words(line[1:])
        if len(words) < 2:
            raise RulesetError("chain or policy invalid" if not words else "policy invalid")
        self._policy(words[0], words[1], number, declared=True)

    def _policy(self, name: str, policy: str, number: int, *, declared: bool) -> None:
        assert self.current is not None
        chains = self.current.table.chains
        chain = chains.get(name)
        location = self.file.at(number)
        if chain is not None and chain.base is not None:
            if policy not in ("ACCEPT", "DROP") and not (declared and policy == "-"):
                raise RulesetError("Bad policy name")
            if policy != "-":
                base = chain.base
                kind: Literal["accept", "drop"] = "accept" if policy == "ACCEPT" else "drop"
                chain.base = Base(
                    base.type, base.hook, base.priority, kind, policy_location=location
                )
            return
        if not declared:
            raise RulesetError(f"-P needs a built-in chain, not `{name}'")
        if chain is not None:  # declared again: it is flushed
            chain.rules.clear()
            self.current.jumps.pop(name, None)
            return
        self._new_chain(name, location)

    def _new_chain(self, name: str, location: Location) -> None:
        assert self.current is not None
        if len(name) > parser.MAX_CHAIN_NAME:
            raise RulesetError(f"chain name `{name[:60]}' is too long (28 characters at most)")
        if not name or name[0] in "-!":
            raise RulesetError("chain name not allowed to start with `-' or `!'")
        if name in self.current.table.chains:
            raise RulesetError(f"Chain `{name}' already exists")
        self.order += 1
        self.current.table.chains[name] = Chain(name, location, order=self.order)
        self.renamed(self.current)

    # -- around the rules ---------------------------------------------------------------------

    def comment(self, line: str, number: int) -> None:
        """Look for the warnings that iptables-save prints about other firewalls."""
        if self.label_of is not None:
            self.label = self.label_of(line)
        warning = _WARNING.search(line)
        if warning:
            self.missing.append(
                Missing(
                    f"the dump says: {line.lstrip('# ')}",
                    (self.family,),
                    self.file.at(number),
                    may_open=True,
                )
            )
        elif not self.saved and not self.strict and _LISTING.search(line):
            self.prompt(line)

    def outside(self, line: str, number: int) -> None:
        """Read a line outside `*table` blocks: `iptables -S` output, a prompt, or noise."""
        bare = line.strip()
        self.forgive("a line outside its tables", number)
        if _WARNING.search(bare):
            self.comment("# " + bare, number)
            return
        if bare.startswith(("-P ", "-N ", "-A ")):
            name = self.prompted
            if name not in self.tables:
                self._new_table(name, number)
            self.current = self.tables[name]
            self.command(bare, number)
            self.current = None
            return
        if bare:
            self.prompts = True
            if not self.prompt(bare) and not _NOISE.match(bare):
                raise RulesetError("the line stands outside a table")

    def forgive(self, what: str, number: int) -> None:
        """Note what a captured dump may hold, and iptables-restore refuses."""
        self.forgiven.setdefault(what, number)

    def prompt(self, line: str) -> bool:
        """Remember the table that a typed `iptables -t TABLE -S` lists."""
        prompt = _PROMPT.match(line)
        if prompt is None:
            return False
        if _LISTING.search(line) is None:
            raise RulesetError("a command, where a dump was expected")
        if (prompt.group("six") == "6") != (self.family == 6):
            raise RulesetError("the file holds dumps of both iptables and ip6tables")
        table = re.search(r"(?:-t|--table)[ =]?(\w+)", prompt.group("rest") or "")
        self.prompted = table.group(1) if table else "filter"
        if self.prompted not in BASES:
            raise RulesetError(f"table name '{self.prompted[:40]}' invalid")
        return True

    # -- commands -----------------------------------------------------------------------------

    def command(self, line: str, number: int) -> None:
        """Run one command of a table."""
        loading = self.current
        assert loading is not None
        arguments = parser.parse(_COUNTERS.sub("", line), self.family)
        if arguments.skip:
            return
        parser.check(arguments)
        if arguments.old_negation and self.strict:
            self._version_decides("takes `!` after its option (1.8.11 does not)", number)
        elif arguments.old_negation:
            self.forgive("`!` after its option", number)
        if self.strict and self.origin != "iptables-legacy" and _excludes_all(arguments):
            self._version_decides("takes `!` before every address (iptables-nft does not)", number)
        if arguments.table is not None and self.saved:
            raise RulesetError("The -t option cannot be used in iptables-restore")
        name = arguments.chain
        if arguments.command == "P":
            self._policy(name, arguments.operands[0], number, declared=False)
        elif arguments.command == "N":
            self._new_chain(name, self.file.at(number))
        elif arguments.command in "FXZ":
            self.sweep(arguments)
        elif arguments.command in "AIDR":
            chain = loading.table.chains.get(name)
            if chain is None:
                raise RulesetError(f"Chain '{name[:60]}' does not exist")
            self._edit(chain, arguments, line, number)
        elif arguments.command not in "LSC":  # those only look
            raise RulesetError(f"-{arguments.command} is not read")

    def _edit(self, chain: Chain, arguments: Arguments, line: str, number: int) -> None:
        assert self.current is not None
        position = int(arguments.operands[0], 0) if arguments.operands else None
        self.edited |= arguments.command != "A"
        if arguments.command == "D":
            self._delete(chain, arguments, position)
            return
        alternatives = self.rule_items(chain.name, arguments)
        start = len(line) - len(line.lstrip())
        location = Location(self.file, number, start + 1, len(line.rstrip()) + 1)
        self._doubt(arguments, location)
        rules = [Rule(tuple(items), location, self.label) for items in alternatives]
        if len(rules) != 1:
            self.split.add(id(chain))
        self.remember(chain.name, arguments, location, rules)
        if arguments.command == "A":
            chain.parts += rules
            text = _COUNTERS.sub("", line)
            if len(rules) == 1 and text.startswith("-A "):
                self.remember_shape(text, rules[0], chain)
            return
        places = self._places(chain)
        index = (position or 1) - 1
        if index > len(places) or (arguments.command == "R" and index >= len(places)):
            raise RulesetError("Index of insertion too big")
        at = places[index][0] if index < len(places) else len(chain.rules)
        if arguments.command == "R":
            del chain.rules[places[index][0] : places[index][1]]
        chain.rules[at:at] = rules

    def _places(self, chain: Chain) -> Sequence[tuple[int, int]]:
        """Return where each written rule starts and ends; alternatives are one rule."""
        return _positions(chain) if id(chain) in self.split else _Single(len(chain.rules))

    def _doubt(self, arguments: Arguments, location: Location) -> None:
        """Note extensions that iptables may not know: then it would refuse the whole file.

        What a dump holds has been loaded; what is written by hand may be misspelt.
        """
        if self.generated:
            return
        names = [f"-m {match.name}" for match in arguments.matches if match.options is None]
        target = arguments.target
        for extension in (*arguments.matches, *([target] if target else [])):
            if extension.options is not None and refusals.host_decides(extension):
                word = "-j" if extension is target else "-m"
                reason = f"if this host cannot load {word} {extension.name}, it loads nothing"
                self.missing.append(Missing(reason, (self.family,), location, may_open=True))
        if target is not None and target.options is None and target.name not in FOREIGN_TARGETS:
            names.append(f"-j {target.name}")
        for name in names:
            if name.removeprefix("-m ") not in FOREIGN_MATCHES:
                reason = f"if {name} is not known to this host's iptables, it loads nothing"
                self.missing.append(Missing(reason, (self.family,), location, may_open=True))

    def _version_decides(self, what: str, number: int) -> None:
        """Say what one iptables loads and another does not; once."""
        reason = f"unless this host's iptables {what}, it loads nothing"
        if all(missing.reason != reason for missing in self.missing):
            self.missing.append(
                Missing(reason, (self.family,), self.file.at(number), may_open=True)
            )

    def rule_items(self, chain: str, arguments: Arguments) -> list[list[RuleItem]]:
        """Return the alternatives of a rule. Raise RulesetError as iptables would refuse it."""
        assert self.current is not None
        if chain in ("PREROUTING", "INPUT") and arguments.out_interface is not None:
            raise RulesetError(f"Can't use -o with {chain}")
        if chain in ("POSTROUTING", "OUTPUT") and arguments.in_interface is not None:
            raise RulesetError(f"Can't use -i with {chain}")
        table = self.current.table.name
        target = rule_target(arguments, table, self.current.names)
        if self.origin == "iptables-legacy":
            refusals.legacy(arguments, table)
        if arguments.jump in BASE_NAMES[table]:
            raise RulesetError(f"a jump to the built-in chain {arguments.jump}")
        if table == "nat" and arguments.jump == "DROP" and arguments.target is not None:
            raise RulesetError('The "nat" table is not intended for filtering')
        return [[*items, *target] for items in rule_matches(arguments)]

    def remember(
        self, chain: str, arguments: Arguments, location: Location, rules: list[Rule]
    ) -> None:
        """Note what can only be checked when the table is whole."""
        assert self.current is not None
        last = rules[0].items[-1] if rules and rules[0].items else None
        if isinstance(last, Verdict) and last.kind in ("jump", "goto"):
            self.current.jumps.setdefault(chain, {}).setdefault(last.chain, location)
        elif arguments.target is not None:
            allowed = target_chains(arguments.target)
            if allowed:
                self._place(chain, location, arguments.jump, allowed)
        for match in arguments.matches:
            allowed = base_chains(match)
            if allowed:
                self._place(chain, location, f"-m {match.name}", allowed)

    def _place(self, chain: str, location: Location, what: str, allowed: tuple[str, ...]) -> None:
        """Note where the kernel lets a rule be: from iptables-nft some look at their own chain."""
        assert self.current is not None
        own = what in OWN_CHAIN_ALONE and self.origin != "iptables-legacy"
        self.current.places.append(Place(chain, location, what, allowed, own))

    def _delete(self, chain: Chain, arguments: Arguments, position: int | None) -> None:
        places = self._places(chain)
        if position is not None:
            if not 1 <= position <= len(places):
                raise RulesetError("Index of deletion too big")
            start, end = places[position - 1]
            del chain.rules[start:end]
            return
        wanted = [tuple(items) for items in self.rule_items(chain.name, arguments)]
        for start, end in places:
            self.compared += 1
            if self.compared > MAX_COMPARED:
                raise ExhaustedError(f"compares more than {MAX_COMPARED:,} rules for -D")
            found = chain.rules[start:end]
            if [rule.items for rule in found] == wanted and self._is_it(found, arguments):
                del chain.rules[start:end]
                return
        raise RulesetError("does a matching rule exist in that chain?")

    def _is_it(self, rules: list[Rule], arguments: Arguments) -> bool:
        """Tell whether a rule that matches the same packets is the one that -D names."""
        if not rules:
            return True
        where = rules[0].location
        text = _COUNTERS.sub("", where.file.line(where.line).strip())
        try:
            written = parser.parse(text, self.family)
        except RulesetError:
            return True
        return same_rule(identity(written), identity(arguments)) is not False

    def sweep(self, arguments: Arguments) -> None:
        """Run -F, -X or -Z for one chain or all."""
        assert self.current is not None
        chains = self.current.table.chains
        if arguments.chain and arguments.chain not in chains:
            raise RulesetError(f"Chain '{arguments.chain[:60]}' does not exist")
        names = [arguments.chain] if arguments.chain else list(chains)
        if arguments.command == "F":
            for name in names:
                chains[name].rules.clear()
                self.current.jumps.pop(name, None)
        elif arguments.command == "X":
            for name in names:
                if chains[name].base is None:
                    del chains[name]
                elif arguments.chain:
                    raise RulesetError(f"the built-in chain {name} cannot be deleted")
            self.renamed(self.current)


# What a template leaves open: a plain address or port between these options and a space.
_SLOTS = regex(r"( -[sd] | --[sd]port )([0-9a-f.:/]+)(?= )")
_SLOT_FIELDS = {"s": "saddr", "d": "daddr", "sport": "sport", "dport": "dport"}


# A comment means nothing, where it stands: one without escapes is cut from between its quotes.
_COMMENT = regex(r'( -m comment --comment ")[ !#-\[\]-~]+(?=" )')


def _parts(line: str) -> list[str]:
    """Split a rule into text, option, open value, text, option, open value, text ..."""
    if '"' in line:
        line = _COMMENT.sub(r"\1", line)
        if line.count('"') != line.count(' -m comment --comment "" ') * 2:
            return [line]
    return _SLOTS.split(line)


def _decimal_port(text: str) -> tuple[int, int] | None:
    if not is_number(text) or text[0] == "0" or len(text) > 5:  # a leading zero is octal
        return None
    port = int(text)
    return (port, port) if port < 65536 else None


def _decimal_ports(texts: Sequence[str]) -> tuple[Sequence[int], Sequence[int]]:
    """Read ports up to the first that is none: (first, last) of each."""
    ports = [*takewhile((65536).__gt__, map(int, texts))]
    return ports, ports


# Values that a template's line may have in a listing: one that is not read after all is refused.
_BYTE = r"(?:0|[1-9][0-9]{0,2}+)"
_ADDRESS = {
    4: rf"{_BYTE}(?:\.{_BYTE}){{3}}(?:/[1-9][0-9]?+)?+",
    6: r"[0-9a-f]{0,4}+:[0-9a-f:.]*+(?:/[1-9][0-9]{0,2}+)?+",
}
_PORT = r"[1-9][0-9]{0,4}+"


def _line_pattern(template: Template, targets: Sequence[str], family: int) -> str:
    """Return the pattern of the lines that differ from a template's in its values and target."""
    text = re.escape(template.parts[0])
    rest = zip(template.slots, template.parts[1::2], template.parts[2::2], strict=True)
    for slot, option, after in rest:
        value = _ADDRESS[family] if slot.addressed else _PORT
        text += f"{re.escape(option)}({value}){re.escape(after)}"
    return text.removesuffix(template.target) + f"({'|'.join(targets)})\\n"


def _words(text: str) -> list[str]:
    """Split as iptables-restore does: a carriage return is a part of the word."""
    return [word for word in re.split(r"[ \t]+", text) if word]


_BYTES = {str(byte): byte for byte in range(256)}
_COUNTERS = regex(r"\A\[[^\]:]*:[^\]]*\][ \t]*")
_SHELL = r"[^$#>%\n]{0,100}[$#>%]"
_PROMPT = regex(
    rf"(?:{_SHELL}\s*)?(?:sudo\s+)?(?:/\S{{0,80}}/)?ip(?P<six>6?)tables(?P<rest>[-\s].*)?$"
)
_WARNING = regex(
    r"contains incompatible base-chains|is incompatible, use 'nft'|iptables-legacy tables present",
)
_GENERATED = regex(r"^# Generated by ip6?tables|^-P [A-Z]+ [A-Z]+\r?$", re.MULTILINE)
_LISTING = regex(r"tables(?:-\w{1,9}){0,3}-save\b|\s-S\b|--list-rules")
# Lines that come with a captured dump and say nothing of the ruleset: other prompts too.
_NOISE = regex(
    r"Script (?:started|done)|\[sudo\] |exit$|logout$|```|"
    rf"(?![-*:]|COMMIT|\[\d*:){_SHELL}(?:\s(?!.*(?:tables|nft)).*)?$"
)


def _is_generated(text: str) -> bool:
    """Tell whether a text is iptables' own; what is found in no time is looked for first."""
    likely = "# Generated by ip" in text or "-P " in text
    return likely and _GENERATED.search(text) is not None


def _column(slot: Slot, lows: Sequence[int], highs: Sequence[int], length: int) -> Column:
    """Return the first values of a slot as a column; one sequence where each is a single one."""
    first = lows[:length]
    last = first if lows is highs else highs[:length]
    return Column(slot.place, slot.keys, slot.negate, first, last)


class _Single(Sequence[tuple[int, int]]):
    """The places of rules that are one each."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        if index >= self._count:
            raise IndexError(index)
        return index, index + 1


def _excludes_all(arguments: Arguments) -> bool:
    """Tell whether a rule says `! -s 0.0.0.0/0`, which iptables-nft cannot append."""
    for given in (arguments.source, arguments.destination):
        text = given[0] if given is not None and given[1] else ""
        if text.partition("/")[2] in ("0", "0.0.0.0", "::"):  # noqa: S104
            return True
    return False


def _positions(chain: Chain) -> list[tuple[int, int]]:
    """Return where each written rule starts and ends; alternatives are one rule."""
    places: list[tuple[int, int]] = []
    for index, rule in enumerate(chain.rules):
        if places and chain.rules[places[-1][0]].location is rule.location:
            places[-1] = places[-1][0], index + 1
        else:
            places.append((index, index + 1))
    return places
