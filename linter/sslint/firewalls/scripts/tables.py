"""The tables of one iptables while a script fills them, command by command."""

from __future__ import annotations

import re

from sslint.budgets import ExhaustedError
from sslint.firewalls.errors import RulesetError
from sslint.firewalls.iptables import arguments as parser
from sslint.firewalls.iptables.arguments import Arguments
from sslint.firewalls.iptables.dump import Origin, Reader
from sslint.firewalls.iptables.identity import identity, same_rule
from sslint.firewalls.iptables.tables import BASES, Loading, check_table
from sslint.firewalls.scripts import joining
from sslint.firewalls.scripts.partial import Partial, has_hole, parted
from sslint.netfilter.model import (
    Chain,
    Match,
    Missing,
    Rule,
    RuleItem,
    Table,
    Unknown,
    UnknownValues,
    Unmodelled,
    Verdict,
)
from sslint.regex import is_number
from sslint.source import Location, SourceFile
from sslint.values import replace

_NO_SUCH_TABLE, _BAD_ARGUMENTS, _REFUSED = 3, 2, 1


class Iptables:
    """What iptables or ip6tables has been told, nft's or legacy's.

    Commands return their exit status, None where it is not known. `lost` says why nothing is
    known any more.
    """

    def __init__(self, family: int, origin: Origin) -> None:
        self.family = family
        self.origin: Origin = origin
        self.tables: dict[str, Loading] = {}
        self.order = 0
        self.doubtful: dict[str, set[str]] = {}  # of each table, chains that may not be there
        self.policies: set[tuple[str, str]] = set()  # base chains whose policy is not known
        self.lost: Missing | None = None
        self.touched = False
        self._readers: dict[SourceFile, Reader] = {}  # of the script that is followed now
        # What each rule was written as; by its place, which is kept as long.
        self.written: dict[int, tuple[Location, Arguments]] = {}

    def copy(self) -> Iptables:
        """Return a copy that can be changed alone."""
        twin = Iptables(self.family, self.origin)
        twin.tables = {name: loading.copy() for name, loading in self.tables.items()}
        twin.order, twin.lost, twin.touched = self.order, self.lost, self.touched
        twin.doubtful = {name: set(chains) for name, chains in self.doubtful.items()}
        twin.policies, twin.written = set(self.policies), self.written
        return twin

    def size(self) -> int:
        """Return how many rules and chains there are."""
        return sum(
            len(chain.rules) + 1
            for loading in self.tables.values()
            for chain in loading.table.chains.values()
        )

    @property
    def breadth(self) -> int:
        """How many chains there are."""
        return sum(len(loading.table.chains) for loading in self.tables.values())

    def join(self, other: Iptables) -> Iptables:
        """Return what is certain of both states, and what one of them holds as doubtful."""
        joined = self.copy()
        joined.lost = self.lost or other.lost
        joined.touched |= other.touched
        joined.order = max(self.order, other.order)
        joined.policies |= other.policies
        for name in dict.fromkeys((*self.tables, *other.tables)):
            left, right = self.tables.get(name), other.tables.get(name)
            left, right = left or _emptied(right), right or _emptied(left)
            doubtful = joined.doubtful.setdefault(name, set())
            doubtful |= other.doubtful.get(name, set())
            joined.tables[name] = joining.join_tables(left, right, doubtful)
            for chain in left.table.chains.values():
                twin = right.table.chains.get(chain.name)
                if chain.base is None or twin is None or twin.base is None:
                    continue
                if chain.base.policy != twin.base.policy:
                    joined.policies.add((name, chain.name))
        return joined

    def same(self, other: Iptables) -> bool:
        """Tell whether two states decide alike."""
        return (
            (self.lost is None) == (other.lost is None)
            and self.policies == other.policies
            and _contents(self) == _contents(other)
        )

    def finish(self) -> list[Table]:
        """Return the tables as the evaluator reads them."""
        for table, name in self.policies:
            chain = self.tables[table].table.chains[name]
            assert chain.base is not None
            where = chain.base.policy_location or chain.location
            reason = f"the policy that {where.path} sets in line {where.line}"
            chain.rules.append(Rule((Unknown(reason), Verdict("drop")), where))
            chain.base = replace(chain.base, policy="accept")
        return [loading.table for loading in self.tables.values()]

    # -- commands -----------------------------------------------------------------------------

    def lose(self, reason: str, where: Location) -> None:
        """Give up what these tables hold."""
        if self.lost is None:
            self.lost = Missing(reason, (self.family,), where, may_open=True)

    def restore(self, file: SourceFile, *, noflush: bool, where: Location) -> int | None:
        """Run iptables-restore on a file."""
        self.touched = True
        reader = Reader(file, self.family, self.origin, strict=True, order=self.order)
        reader.noflush = noflush
        reader.tables = {name: loading.copy() for name, loading in self.tables.items()}
        reader.split = {id(c) for t in reader.tables.values() for c in t.table.chains.values()}
        try:
            reader.read()
        except RulesetError as error:
            if "COMMIT\n" in file.text or self.doubtful:
                self.lose(f"iptables-restore may refuse what it reads: {error.reason}", where)
                return None
            return _REFUSED
        for missing in reader.missing:
            self.lose(missing.reason, missing.location or where)
        if not noflush:
            for name, loading in reader.tables.items():
                if loading is not self.tables.get(name) and name in _started(file):
                    self.doubtful.pop(name, None)
                    self.policies = {one for one in self.policies if one[0] != name}
        self.tables, self.order = reader.tables, reader.order
        return 0

    def run(self, words: list[str], where: Location) -> int | None:
        """Run a command with arguments, of which some may not be known."""
        self.touched = True
        words = without_waiting(words)
        partial = None
        if has_hole(words):
            partial = parted(words)
            if partial.lost:
                self.lose(f"{partial.lost} is not known", where)
                return None
            words = partial.words
        try:
            arguments = parser.parse(quoted(words), self.family)
            if partial is None:
                parser.check(arguments)
        except RulesetError:
            if partial is None:
                return _BAD_ARGUMENTS
            return self._guess(partial, where)
        if arguments.skip:
            return 0
        name = arguments.table or "filter"
        if name not in BASES:
            return _NO_SUCH_TABLE
        if arguments.command == "E":
            self.lose("a chain is renamed", where)
            return None
        reader = self._reader(name, where)
        try:
            return self._command(reader, arguments, quoted(words), where, partial)
        except RulesetError:
            if partial is not None and arguments.command in "AIR":
                return self._guess(partial, where)
            return _REFUSED if name else _BAD_ARGUMENTS
        finally:
            self.order = reader.order

    def _reader(self, table: str, where: Location) -> Reader:
        reader = self._readers.get(where.file)
        if reader is None:
            reader = Reader(where.file, self.family, self.origin, strict=True)
            self._readers = {where.file: reader}
        reader.order, reader.tables = self.order, self.tables
        if table not in self.tables:
            reader._new_table(table, where.line)
        reader.current = self.tables[table]
        reader.split = {id(chain) for chain in reader.current.table.chains.values()}
        return reader

    def _command(
        self,
        reader: Reader,
        arguments: Arguments,
        text: str,
        where: Location,
        partial: Partial | None,
    ) -> int | None:
        assert reader.current is not None
        loading = reader.current
        table = loading.table.name
        doubtful = self.doubtful.setdefault(table, set())
        chain = loading.table.chains.get(arguments.chain)
        letter = arguments.command
        if letter in "LSZ":
            return 0 if chain is not None or not arguments.chain else _REFUSED
        if letter == "C":
            return self._check(reader, arguments, chain, partial)
        if letter == "N" and arguments.chain in doubtful and chain is not None:
            chain.rules = [joining.maybe(rule) for rule in chain.rules]
            doubtful.discard(arguments.chain)
            return None
        if letter == "X":
            return self._remove(loading, arguments.chain, doubtful)
        if letter == "P" and partial is not None:
            if chain is None or chain.base is None:
                return _REFUSED
            self.policies.add((table, arguments.chain))
            return None
        if letter in "AIDR" and chain is not None:
            return self._edit(reader, arguments, chain, text, where, partial)
        if letter in "AIDR":
            return _REFUSED
        reader.command(text, where.line)
        if letter == "P":
            self.policies.discard((table, arguments.chain))
        return None if arguments.chain in doubtful else 0

    def _edit(
        self,
        reader: Reader,
        arguments: Arguments,
        chain: Chain,
        text: str,
        where: Location,
        partial: Partial | None,
    ) -> int | None:
        """Append, insert, replace or delete a rule."""
        assert reader.current is not None
        loading = reader.current
        letter = arguments.command
        uncertain = partial is not None or chain.name in self.doubtful[loading.table.name]
        if letter == "D" and partial is not None:
            chain.rules = [joining.maybe(rule) for rule in chain.rules]
            return None
        position = int(arguments.operands[0], 0) if arguments.operands else None
        counted = position is not None and (position > 1 or letter != "I")
        if counted and (uncertain or any(_is_doubtful(rule) for rule in chain.rules)):
            self.lose("a rule is placed by a number among rules that may not be there", where)
            return None
        if letter == "D" and position is None:
            return self._delete(reader, arguments, chain)
        at = len(chain.rules)
        before = [] if letter == "A" else list(chain.rules)
        places, jumps = len(loading.places), dict(loading.jumps.get(chain.name, {}))
        try:
            reader.command(text, where.line)
            new = chain.rules[at:] if letter == "A" else _added(before, chain.rules)
            if len(loading.places) > places or _jumps(new):
                check_table(loading)
        except RulesetError:
            chain.rules = chain.rules[:at] if letter == "A" else before
            del loading.places[places:]
            loading.jumps[chain.name] = jumps
            raise
        for rule in new[:1]:
            self.written[id(rule.location)] = rule.location, arguments
        reason = partial.reason(where) if partial is not None else ""
        if reader.missing:
            uncertain, reason = True, reader.missing[0].reason
            reader.missing.clear()
        if uncertain and new:
            first = chain.rules.index(new[0], at if letter == "A" else 0)
            chain.rules[first : first + len(new)] = [
                partial.applied(rule, where) if partial else joining.maybe(rule, reason)
                for rule in new
            ]
        return None if uncertain or any(_needs_a_name(rule) for rule in new) else 0

    def _delete(self, reader: Reader, arguments: Arguments, chain: Chain) -> int | None:
        """Run -D: the first rule that is the same goes; what may be it may be gone."""
        wanted = [tuple(items) for items in reader.rule_items(chain.name, arguments)]
        status: int | None = _REFUSED
        index, width = 0, len(wanted)
        while index + width <= len(chain.rules):
            found = chain.rules[index : index + width]
            same = self._same(found, wanted, arguments)
            if same is False:
                index += 1
                continue
            certain = not any(_is_doubtful(rule) for rule in found)
            if same and (not certain or status is not None):
                del chain.rules[index : index + width]
            else:
                gone = [joining.maybe(rule, "which rule was deleted") for rule in found]
                chain.rules[index : index + width] = gone
                index += width
            if same and certain:
                return 0
            status = None
        return status

    def _same(
        self, found: list[Rule], wanted: list[tuple[RuleItem, ...]], arguments: Arguments
    ) -> bool | None:
        """Tell whether rules are the one that a command names, if they are there."""
        if [_certain(rule) for rule in found] != wanted or not found:
            return False
        place = found[0].location
        if any(rule.location is not place for rule in found):
            return False
        held = self.written.get(id(place))
        if held is None:
            try:
                text = re.sub(r"^\[[^\]]*\]\s*", "", place.file.line(place.line).strip())
                own = identity(parser.parse(text, self.family))
            except RulesetError:
                return None
        else:
            own = identity(held[1])
        return same_rule(own, identity(arguments))

    def _check(
        self, reader: Reader, arguments: Arguments, chain: Chain | None, partial: Partial | None
    ) -> int | None:
        """Run -C: tell whether a rule is there."""
        if chain is None:
            return _REFUSED
        if partial is not None:
            return None if chain.rules else _REFUSED
        wanted = [tuple(items) for items in reader.rule_items(chain.name, arguments)]
        status: int | None = _REFUSED
        for index in range(len(chain.rules) - len(wanted) + 1):
            found = chain.rules[index : index + len(wanted)]
            same = self._same(found, wanted, arguments)
            if same and not any(_is_doubtful(rule) for rule in found):
                return 0
            if same is not False:
                status = None
        return status

    def _remove(self, loading: Loading, name: str, doubtful: set[str]) -> int | None:
        """Run -X, which the kernel refuses for chains that hold rules or are jumped to."""
        chains = loading.table.chains
        names = [name] if name else [c.name for c in chains.values() if c.base is None]
        if name and (name not in chains or chains[name].base is not None):
            return _REFUSED
        used = {
            item.chain
            for chain in chains.values()
            for rule in chain.rules
            for item in rule.items
            if isinstance(item, Verdict) and item.chain
        }
        uncertain = False
        for one in names:
            if not chains[one].rules and one not in used:
                continue
            certain = [rule for rule in chains[one].rules if not _is_doubtful(rule)]
            if certain and one not in doubtful:
                return _REFUSED
            uncertain = True
        if uncertain:  # it may have been refused: what is there may go on being there
            doubtful.update(names)
            return None
        for one in names:
            del chains[one]
            loading.jumps.pop(one, None)
            doubtful.discard(one)
        loading.names = frozenset(chains)
        return 0

    def _guess(self, partial: Partial, where: Location) -> int | None:
        """Add a rule of which no more is known than the chain: it may do anything."""
        reader = self._reader(partial.table, where)
        assert reader.current is not None
        self.order = reader.order
        chain = reader.current.table.chains.get(partial.chain)
        if chain is None or partial.command not in "AI":
            if partial.command in "AICD":
                return None
            self.lose("an argument is not known", where)
            return None
        reason = partial.reason(where)
        rule = Rule((Unknown(reason), partial.verdict() or Unmodelled(reason)), where)
        chain.rules.insert(len(chain.rules) if partial.command == "A" else 0, rule)
        return None


# -- inside -----------------------------------------------------------------------------------


def quoted(words: list[str]) -> str:
    """Write arguments as iptables-restore reads them."""
    return " ".join(
        word
        if word and not any(char in word for char in ' \t"\\\n')
        else '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'
        for word in words
    )


def without_waiting(words: list[str]) -> list[str]:
    """Leave out what only says how iptables works: -w, -W, -n, -v, -x and --line-numbers."""
    kept: list[str] = []
    skip = False
    for index, word in enumerate(words):
        if skip:
            skip = False
            continue
        following = words[index + 1] if index + 1 < len(words) else ""
        if word in ("-w", "--wait", "-W", "--wait-interval"):
            skip = is_number(following)
        elif word in ("-M", "--modprobe"):
            skip = True
        elif word not in ("--line-numbers", "--line", "--exact") and not (
            word.startswith(("--wait=", "--wait-interval=", "--modprobe="))
            or (word[:2] == "-w" and is_number(word[2:]))
        ):
            kept.append(word)
    return kept


def _emptied(loading: Loading | None) -> Loading:
    """Return a table of this name to which nothing has been added."""
    assert loading is not None
    chains = {
        name: joining.empty_twin(chain)
        for name, chain in loading.table.chains.items()
        if chain.base is not None
    }
    return Loading(replace(loading.table, chains=chains), names=frozenset(chains))


def _contents(state: Iptables) -> object:
    return {
        name: {
            chain.name: (
                chain.base.policy if chain.base is not None else "",
                [rule.items for rule in chain.rules],
            )
            for chain in loading.table.chains.values()
        }
        for name, loading in state.tables.items()
        if any(chain.rules for chain in loading.table.chains.values())
    }


def _started(file: SourceFile) -> set[str]:
    return {line[1:].strip() for line in file.text.split("\n") if line[:1] == "*"}


def _certain(rule: Rule) -> tuple[RuleItem, ...]:
    return rule.items[1:] if _is_doubtful(rule) else rule.items


def _is_doubtful(rule: Rule) -> bool:
    return bool(rule.items) and type(rule.items[0]) is Unknown


def _added(before: list[Rule], now: list[Rule]) -> list[Rule]:
    known = {id(rule) for rule in before}
    return [rule for rule in now if id(rule) not in known]


def _jumps(rules: list[Rule]) -> bool:
    return any(
        isinstance(item, Verdict) and bool(item.chain) for rule in rules for item in rule.items
    )


def _needs_a_name(rule: Rule) -> bool:
    """Tell whether a name server decides what a rule compares, and whether it is added at all."""
    return any(
        isinstance(item, Match) and isinstance(item.values, UnknownValues) for item in rule.items
    )


def spent(words: list[str]) -> int:
    """Return what a command costs, in commands. Raise ExhaustedError."""
    size = sum(map(len, words))
    if size > 1_000_000:
        raise ExhaustedError("a command of a script is longer than 1,000,000 characters")
    return 1 + size // 2000
