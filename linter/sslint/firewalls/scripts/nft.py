"""What a script tells nft and ipset: a list of what the kernel took, which can be told again."""

from __future__ import annotations

import re

from sslint.firewalls import ipset
from sslint.firewalls.errors import RulesetError
from sslint.firewalls.ipset import Definition
from sslint.firewalls.nftables import commands
from sslint.firewalls.nftables.kernel import Kernel
from sslint.firewalls.nftables.script import Script
from sslint.firewalls.scripts import joining
from sslint.firewalls.scripts.partial import has_hole
from sslint.netfilter.model import Missing, Rule, Ruleset, Table, Unknown, Unmodelled, Verdict
from sslint.regex import regex
from sslint.source import Location, SourceFile
from sslint.tree import Tree
from sslint.values import dataclass, replace

_ADDS = regex(r"\s*(?:add\s+|insert\s+)?rule\s+(?!.*[;\n]\s*\S)", re.S)
_SPEC = regex(
    r"\s*(?P<verb>add|insert)\s+rule\s+(?:(?P<family>ip6?|inet|netdev|arp|bridge)\s+)?"
    r"(?P<table>[\w./-]+)\s+(?P<chain>[\w./-]+)\s"
)
_LISTS = regex(r"\s*(?:list|describe)\b|\s*$")
_XTABLES = frozenset(("filter", "nat", "mangle", "raw", "security"))


@dataclass(frozen=True, slots=True)
class Entry:
    """A file that nft loaded, and why it may be that it did not."""

    file: SourceFile
    doubt: str = ""
    guess: tuple[str, str, str, bool, Rule] | None = None  # table, chain, at the top, rule


def placed(text: str, where: Location) -> SourceFile:
    """Return a text as a file whose lines are numbered as where it stands in the script."""
    return SourceFile(where.file.path, where.file.name, "\n" * (where.line - 1) + text)


class Nft:
    """The tables of nft. Commands return the exit status, None where it is not known."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.entries: list[Entry] = []
        self.lost: Missing | None = None
        self.touched = False
        self.weight = 0  # about how many rules there are
        self._kernel: Kernel | None = None
        self._tables: list[Table] = []

    def copy(self) -> Nft:
        """Return a copy that can be changed alone."""
        twin = Nft(self.tree)
        twin.entries, twin.lost, twin.touched = list(self.entries), self.lost, self.touched
        twin.weight = self.weight
        return twin

    def size(self) -> int:
        """Return what it costs to tell everything again."""
        return self.weight

    def lose(self, reason: str, where: Location) -> None:
        """Give up what nft holds."""
        if self.lost is None:
            self.lost = Missing(reason, (4, 6), where, may_open=True)

    def join(self, other: Nft, where: Location) -> Nft:
        """Return what is certain of both states; rules that one of them has are doubtful."""
        joined = self.copy()
        joined.lost = self.lost or other.lost
        joined.touched |= other.touched
        joined.weight = self.weight + other.weight
        common = 0
        shorter = min(len(self.entries), len(other.entries))
        while common < shorter and _alike(self.entries[common], other.entries[common]):
            common += 1
        for entry in (*self.entries[common:], *other.entries[common:]):
            if not entry.guess and not _ADDS.match(entry.file.text):
                joined.lose("it is not known which tables of nft there are", where)
        reason = f"whether line {where.line} of {where.path} is followed"
        joined.entries = self.entries[:common]
        for entry in (*self.entries[common:], *other.entries[common:]):
            found = entry if entry.doubt else replace(entry, doubt=reason)
            if not any(_alike(found, one) for one in joined.entries[common:]):
                joined.entries.append(found)
        if len(joined.entries) == len(self.entries) == common:
            joined._kernel, joined._tables = self._kernel, self._tables
        return joined

    def same(self, other: Nft) -> bool:
        """Tell whether two states decide alike."""
        return (self.lost is None) == (other.lost is None) and [
            (one.file.text.strip(), one.doubt) for one in self.entries
        ] == [(one.file.text.strip(), one.doubt) for one in other.entries]

    def finish(self) -> list[Table]:
        """Return the tables as the evaluator reads them."""
        self._replay()
        return self._tables

    def run(self, text: str, where: Location) -> int | None:
        """Run what `nft -f` reads, at once or not at all."""
        if has_hole([text]):
            return self._guess(text, where)
        if _LISTS.match(text) and "\n" not in text.strip():
            return self._listed(text, where)
        self.touched = True
        entry = Entry(placed(text, where))
        try:
            self._replay()
            self._load(entry)
        except RulesetError:
            self._kernel = None
            if any(one.doubt for one in self.entries):
                return self._perhaps(where)
            return 1
        self.entries.append(entry)
        self.weight += 1 + len(text) // 50
        return 0

    def _listed(self, text: str, where: Location) -> int | None:
        """Run `list`, which fails if what it lists is not there."""
        if self.lost is not None or any(one.doubt for one in self.entries):
            return None
        self._replay()
        assert self._kernel is not None
        try:
            listed = SourceFile(where.file.path, "", text)
            commands.run(Script(self.tree, listed, self._kernel))
        except RulesetError:
            return 1
        return 0

    def _perhaps(self, where: Location) -> int | None:
        self.lose("it is not known whether nft takes this", where)
        return None

    def _guess(self, text: str, where: Location) -> int | None:
        """Add a rule of which a part is not known."""
        self.touched = True
        spec = _SPEC.match(text)
        if spec is None or ";" in text or "\n" in text.strip() or has_hole([spec.group()]):
            self.lose("a value that nft is told is not known", where)
            return None
        self._replay()
        assert self._kernel is not None
        key = (spec["family"] or "ip", spec["table"])
        state = self._kernel.tables.get(key)  # type: ignore[arg-type]
        if state is None or spec["chain"] not in state.model.chains:
            return 1
        if re.match(r"\s*(?:index|position|handle)\b", text[spec.end() :]):
            self.lose("the place of a rule is not known", where)
            return None
        reason = f"a value in line {where.line} of {where.path}"
        last = text.split()[-1]
        kind = last if last in ("accept", "drop", "reject", "return") else ""
        done = Verdict(kind) if kind else Unmodelled(reason)  # type: ignore[arg-type]
        rule = Rule((Unknown(reason), done), where)
        entry = Entry(where.file, reason, (*key, spec["chain"], spec["verb"] == "insert", rule))
        self._load(entry)
        self.entries.append(entry)
        return None

    def _replay(self) -> None:
        if self._kernel is None:
            self._kernel, self._tables = Kernel(), []
            for entry in self.entries:
                self._load(entry)

    def _load(self, entry: Entry) -> None:
        """Tell the kernel one thing more. Raise RulesetError where nft or it refuses."""
        assert self._kernel is not None
        if entry.guess is not None:
            family, name, chain, top, rule = entry.guess
            state = self._kernel.tables[family, name]  # type: ignore[index]
            rules = state.model.chains[chain].rules
            at = 0 if top else len(rules)
            rules.insert(at, rule)
            state.handles[chain].insert(at, state.handle())
            return
        try:
            self._tables = commands.run(Script(self.tree, entry.file, self._kernel))
        except RecursionError:
            raise RulesetError("too many levels of nesting", entry.file.span(0)) from None
        if any(table.name in _XTABLES and table.family in ("ip", "ip6") for table in self._tables):
            for table in self._tables:
                table.origin = "nft"
        if entry.doubt:
            for table in self._tables:
                for one in table.chains.values():
                    one.rules[:] = [
                        joining.maybe(rule, entry.doubt)
                        if rule.location.file is entry.file
                        else rule
                        for rule in one.rules
                    ]


def _alike(one: Entry, other: Entry) -> bool:
    if one is other:
        return True
    same = one.file.text.strip() == other.file.text.strip() and one.doubt == other.doubt
    return same and (one.guess and one.guess[4].items) == (other.guess and other.guess[4].items)


@dataclass(frozen=True, slots=True)
class _Told:
    words: tuple[str, ...]
    where: Location
    doubt: bool = False


class Ipset:
    """The sets of ipset."""

    def __init__(self) -> None:
        self.told: list[_Told] = []
        self._sets: dict[str, Definition] | None = {}

    def copy(self) -> Ipset:
        """Return a copy that can be changed alone."""
        twin = Ipset()
        twin.told, twin._sets = list(self.told), None
        return twin

    def join(self, other: Ipset) -> Ipset:
        """Return both; what one alone was told is doubtful."""
        joined = self.copy()
        common = 0
        shorter = min(len(self.told), len(other.told))
        while common < shorter and _told_alike(self.told[common], other.told[common]):
            common += 1
        joined.told = self.told[:common]
        for one in (*self.told[common:], *other.told[common:]):
            joined.told.append(replace(one, doubt=True))
        return joined

    def run(self, words: list[str], where: Location) -> int | None:
        """Run a command."""
        words = [word for word in words if word not in ("-q", "-quiet", "--quiet")]
        verbs = [word for word in words if word not in ("-exist", "-!", "--exist")]
        if not verbs or verbs[0] in ("list", "-L", "--list", "save", "-S", "test", "-T", "version"):
            return None
        told = _Told(tuple(words), where, has_hole(words))
        if told.doubt:
            self.told.append(told)
            return None
        try:
            ipset.command(self._replayed(), words, where.file, where.line)
        except RulesetError:
            self._sets = None
            return None if any(one.doubt for one in self.told) else 1
        self.told.append(told)
        return 0

    def _replayed(self) -> dict[str, Definition]:
        if self._sets is None:
            self._sets = {}
            for one in self.told:
                self._tell(self._sets, one)
        return self._sets

    def _tell(self, sets: dict[str, Definition], one: _Told) -> None:
        """Tell one thing; a set about which anything is doubtful is not known."""
        bare = [word for word in one.words if word not in ("-exist", "-!", "--exist")]
        if one.doubt:
            reason = f"what line {one.where.line} of {one.where.path} puts into the set"
            named = bare[1] if len(bare) > 1 else ""
            for name, definition in sets.items():
                if name in bare or has_hole([named]) or not named:
                    definition.set.unknown = reason
            if bare[0] not in ("create", "-N", "--create") or has_hole(bare):
                return
        try:
            ipset.command(sets, list(one.words), one.where.file, one.where.line)
        except RulesetError:
            return
        if one.doubt and len(bare) > 1 and bare[1] in sets:
            sets[bare[1]].set.unknown = f"whether line {one.where.line} of {one.where.path} runs"

    def finish(self, into: Ruleset) -> None:
        """Put the sets into a ruleset."""
        if not self.told:
            return
        self._sets = None
        sets = self._replayed()
        for name, definition in sets.items():
            ipset.flatten(definition)
            into.ipsets[name] = definition.set


def _told_alike(one: _Told, other: _Told) -> bool:
    return one is other or (one.words == other.words and one.doubt == other.doubt)
