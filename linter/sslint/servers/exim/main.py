"""The main section of Exim's configuration, as far as it decides sockets and TLS.

Sources: the specification's 6.2 (comments, continued lines), 6.3 (include), 6.4 to 6.7 (macros and
conditions), 6.9 to 6.12 (options), and readconf.c where it says less.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from sslint.reasons import Code, Reason
from sslint.regex import regex
from sslint.source import Location, SourceFile
from sslint.tree import Status, Tree
from sslint.values import dataclass, field

MAX_VALUE = 10_000  # characters of a line whose macros are replaced
MAX_NESTING = 100  # of conditions
MAX_DEPTH = 20  # of included files
MAX_MACROS = 1_000
NAMES = "daemon_smtp_ports?|tls_on_connect_ports|local_interfaces|tls_advertise_hosts|disable_ipv6"
_OPTION = regex(rf"(?:hide\s+)?({NAMES})\s*=\s*(.*)", re.S)
_SWITCH = regex(r"(?:hide\s+)?(no_|not_)?(disable_ipv6)$")
_MACRO = regex(r"([A-Z]\w*)\s*==?\s*(.*)", re.S)
_START = regex(r"_?[A-Z]")


@dataclass(frozen=True, slots=True)
class Option:
    """An option's value; `certain` False: a condition that is not known may leave it out."""

    value: str
    location: Location
    certain: bool = True


@dataclass(slots=True)
class Branch:
    """An open condition: whether its branch is taken, and whether one before it was."""

    taken: bool | None  # None: not known
    done: bool | None

    def another(self, truth: bool | None) -> None:
        """Go on with the next branch, whose own condition is `truth`."""
        free = None if self.done is None else not self.done
        self.taken = False if free is False or truth is False else free and truth
        if self.done is not True:
            self.done = None if None in (self.done, truth) and truth is not True else truth


@dataclass(slots=True)
class Main:
    """The main section, macros replaced; whether one of Exim's own (`_...`) is set is not known.

    `seeds` are macros that are put in, if they are not yet defined, behind that called `mark`.
    """

    tree: Tree
    first: Location
    mark: str = ""
    seeds: dict[str, str] = field(default_factory=dict)
    macros: dict[str, str] = field(default_factory=dict)
    options: dict[str, Option] = field(default_factory=dict)
    gaps: list[Reason] = field(default_factory=list)
    branches: list[Branch] = field(default_factory=list)
    ended: bool = False

    def read(self, file: SourceFile, depth: int = 0) -> None:
        """Read a part of the configuration up to its first `begin`."""
        for location, text in _logical(file):
            if self.ended:
                return
            if text.startswith("."):
                self._directive(text, location, depth)
            elif self._taken is not False:
                self._statement(text, location)

    @property
    def _taken(self) -> bool | None:
        """Whether the statements here are read; None: not known."""
        branches = {branch.taken for branch in self.branches}
        return False if False in branches else None if None in branches else True

    def _directive(self, text: str, location: Location, depth: int) -> None:
        word, _, rest = text.partition(" ")
        rest = rest.strip()
        if word in (".ifdef", ".ifndef"):
            if len(self.branches) >= MAX_NESTING:
                self._lost(location, "conditions within conditions")
                self.ended = True
                return
            truth = self._defined(rest, negated=word == ".ifndef")
            self.branches.append(Branch(truth, truth))
        elif word in (".elifdef", ".elifndef") and self.branches:
            self.branches[-1].another(self._defined(rest, negated=word == ".elifndef"))
        elif word == ".else" and self.branches:
            self.branches[-1].another(True)
        elif word == ".endif" and self.branches:
            self.branches.pop()
        elif word in (".include", ".include_if_exists") and self._taken is not False:
            self._include(self._expand(rest).strip('"'), word, location, depth)

    def _include(self, path: str, word: str, location: Location, depth: int) -> None:
        absent = self.tree.status(path) is Status.ABSENT and self.tree.absent(path)
        if absent and word == ".include_if_exists":
            return
        file = self.tree.try_read(path, decisive=False) if path.startswith("/") else None
        if file is None or depth >= MAX_DEPTH:
            self._lost(location, f"what {path} holds")
            return
        self.tree.budgets.spend("includes", 1, location)
        self.read(file, depth + 1)

    def _lost(self, location: Location, what: str) -> None:
        self.gaps.append(Reason(Code.UNKNOWN, location, f"{what[:80]} is not known"))

    def _defined(self, text: str, *, negated: bool) -> bool | None:
        """Tell whether a condition holds: some macro is replaced in its text."""
        if self._expand(text) != text or any(name in text for name in self.macros):
            return not negated
        return None if text.startswith("_") else negated

    def _statement(self, text: str, location: Location) -> None:
        if re.match(r"begin\s", text):
            self.ended = True
            return
        macro = _MACRO.match(text)
        if macro:
            if len(self.macros) < MAX_MACROS:
                self.macros[macro[1]] = self._expand(macro[2])
            if macro[1] == self.mark:
                self.macros = {**self.seeds, **self.macros}
            return
        text = self._expand(text)
        option, switch = _OPTION.match(text), _SWITCH.match(text)
        if option:
            self._set(option[1], option[2], location)
        elif switch:
            self._set(switch[2], "no" if switch[1] else "yes", location)

    def _set(self, name: str, value: str, location: Location) -> None:
        if value.startswith('"'):
            value = value[1:].partition('"')[0]
        name = "daemon_smtp_ports" if name == "daemon_smtp_port" else name
        self.options[name] = Option(value.strip(), location, self._taken is True)

    def _expand(self, text: str) -> str:
        """Replace each macro, in the order of their definitions, wherever its name stands."""
        found = _START.search(text)
        if found is None:
            return text
        head, text = text[: found.start()], text[found.start() :]
        for name, value in self.macros.items():
            if name in text:
                often = MAX_VALUE // max(1, len(value)) + 1
                text = text.replace(name, value, often)[:MAX_VALUE]
        return head + text


def _logical(file: SourceFile) -> Iterator[tuple[Location, str]]:
    """Yield the lines, those that end with a backslash joined to the next that is no comment."""
    begun: tuple[Location, str] | None = None
    for index in range(1, len(file.starts) + 1):
        text = file.line(index).strip()
        if text.startswith("#") or not (text or begun):
            continue
        location, before = begun or (file.at(index), "")
        begun = None
        if text.endswith("\\") and len(before) < MAX_VALUE:
            begun = location, before + text[:-1]
            continue
        yield location, before + text
    if begun:
        yield begun
