"""The edits of a run as one unified diff that `git apply` and `patch -p1` take, or written."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sslint.engine import Finding, Rule
from sslint.errors import UsageError
from sslint.fixes.edits import Edit, Fix, apply, hunks
from sslint.fixes.proof import brings_nothing
from sslint.plain import clean, harmless
from sslint.regex import regex
from sslint.tree import Tree, TreeError, work_tree
from sslint.tree.writing import (
    PartlyWrittenError,
    Replacement,
    remove_remains,
    replace_files,
)
from sslint.values import dataclass, replace

if TYPE_CHECKING:
    from sslint.fixes import Wanted
    from sslint.fixes.proof import Judge
    from sslint.host import Host
    from sslint.result import Result

# How a program says at the top of a file that it will write it again.
_MADE = regex(
    r"(?i)\bdo not (edit|modify|change)\b|\b(managed|maintained) (by|with|from)\b"
    r"|\bgenerated (by|from) (?!ip6?tables-save|nginxconfig)"  # once, and kept by hand
)
MAX_NAMED = 20  # findings that are named
_HEAD = 10  # lines at the top of a file


@dataclass(frozen=True, slots=True)
class Patch:
    """What is to be changed of one file, by its real path on this machine."""

    path: str
    text: str
    edits: tuple[Edit, ...]

    @property
    def executable(self) -> bool:
        """Whether the file is to be made executable."""
        return any(edit.action == "executable" for edit in self.edits)

    @property
    def hidden(self) -> str:
        """Why a diff cannot have the file's lines, which would have to be exact; "" if it can."""
        shown = "".join(hunks(self.text, self.edits))
        lines = shown.replace("\r\n", "\n").replace("\t", " ").split("\n")
        if clean(self.path) != self.path or harmless(self.path) != self.path:
            return "its name cannot be printed"
        if any("\r" in line or not line.isprintable() for line in lines):
            return "the lines around it have characters that cannot be printed"
        if any(clean(line) != line for line in lines):
            return "the lines around it may hold a key"
        if harmless(shown) != shown:
            return "a line around it would be a command to the program that records the output"
        return ""

    @property
    def maker(self) -> str:
        """Return the comment at the file's top that says that a program writes it, or ""."""
        for line in self.text.split("\n", _HEAD)[:_HEAD]:
            if line.lstrip().startswith(("#", ";", "<!--", "//")) and _MADE.search(line):
                return line.strip()
        return ""

    def diff(self, base: str, *, header: bool = False) -> str:
        """Return the diff of the file, with its name relative to a directory.

        With git's `header` git takes names as relative to the top of its work tree.
        """
        name = os.path.relpath(self.path, base)
        old, new = _quoted(f"a/{name}"), _quoted(f"b/{name}")
        lines = [f"diff --git {old} {new}"] if header else []
        if self.executable:
            lines += ["old mode 100644", "new mode 100755"]
        body = "".join(hunks(self.text, self.edits))
        if body:
            lines += [f"--- {old}", f"+++ {new}"]
        return "\n".join(lines) + "\n" + body


def write(patches: Iterable[Patch]) -> None:
    """Put the edits into the files, or into none. Raise UsageError if one cannot be changed."""
    changes = [
        Replacement(patch.path, patch.text, apply(patch.text, patch.edits), patch.executable)
        for patch in patches
    ]
    try:
        replace_files(changes)
    except TreeError as error:
        tip = "no file was changed" if len(changes) > 1 else None
        if isinstance(error, PartlyWrittenError):
            tip = f"changed, and could not be put back: {', '.join(error.changed)}"
        raise UsageError(f"{error.path}: cannot be changed: {error.reason}", tip=tip) from None


def clean_up(hosts: Iterable[Host]) -> None:
    """Remove what a killed run that wrote edits left beside the files that were read."""
    places = {
        os.path.dirname(place)
        for host in hosts
        for file in host.tree.files()
        if (place := host.tree.place_on_disk(file.path)) is not None
    }
    remove_remains(sorted(places))


@dataclass(frozen=True, slots=True)
class Made:
    """What a run can edit: patches, what is said of the rest, and how many findings are left.

    `hints` are about the diff alone, and mean nothing where the edits are written.
    """

    patches: tuple[Patch, ...]
    diff: str
    hints: tuple[str, ...]
    notes: tuple[str, ...]
    left: int


def wanted(rules: Iterable[Rule], *, allow_open: bool) -> Wanted:
    """Return what tells whether a finding is to be fixed: one of these rules', or its cause.

    What opens a port is only with leave.
    """
    names = {rule.name for rule in rules}
    kinds = ("safe", "opens") if allow_open else ("safe",)

    def is_wanted(finding: Finding, fix: Fix) -> bool:
        spoken_for = {one.rule.name for one in (finding, *finding.also_affects)}
        return not names.isdisjoint(spoken_for) and fix.kind in kinds

    return is_wanted


def ask(result: Result, among: Wanted, answer: Callable[[str], bool]) -> Wanted:
    """Return what tells whether a finding is among those that the user says yes to.

    The edits must be those that were shown: the files may change while somebody thinks.
    """
    chosen = {
        (_identity(finding), fix.edits)
        for finding in result.findings
        if (fix := result.fixes.get(id(finding))) and fix.proved and among(finding, fix)
        if answer("\n".join([clean(finding.message), *(f"  {clean(str(e))}" for e in fix.edits)]))
    }
    return lambda finding, fix: among(finding, fix) and (_identity(finding), fix.edits) in chosen


def make(result: Result, chosen: Wanted, judge: Judge, *, allow_open: bool) -> Made:
    """Return the edits of the chosen findings; the rest is counted, and said."""
    trees = {host.name: host.tree for host in result.hosts}
    fixed: list[tuple[Finding, Fix]] = []
    opens, left = 0, 0
    for finding in result.findings:
        fix = result.fixes.get(id(finding))
        if fix is not None and fix.proved and chosen(finding, fix):
            tree = trees[finding.host]
            if all(tree.place_on_disk(edit.host_path) is not None for edit in fix.edits):
                fixed.append((finding, fix))
                continue
        left += 1
        opens += bool(fix and fix.kind == "opens" and fix.edits and not allow_open)
    parted = set(map(id, _parted(result.hosts, fixed, judge)))
    fixed = [one for one in fixed if id(one[0]) not in parted]
    left += len(parted)
    found = _patches(trees, fixed)
    shown = [patch for patch in found if not patch.hidden]
    base, header = base_of(shown)
    hints = [
        f"{patch.path}: its edit is not shown: {patch.hidden}; --write makes it"
        for patch in found
        if patch.hidden
    ]
    if shown and base != os.getcwd():
        hints.append(
            f"the names are relative to {base}: apply it with patch -p1 -d {shlex.quote(base)}"
        )
    notes = [f"fixes {one.rule.name}: {one.message}" for one, _ in fixed[:MAX_NAMED]]
    if len(fixed) > MAX_NAMED:
        notes.append(f"fixes {len(fixed) - MAX_NAMED} more findings")
    notes += [
        f"{patch.path} may be written again by a program, and the edit lost: it says {patch.maker}"
        for patch in found
        if patch.maker
    ]
    if parted:
        notes.append(
            f"{_count(len(parted), 'more edit')} would harm another host that reads the same file"
        )
    notes.append(_tally(len(fixed), left))
    if opens:
        notes.append(
            f"{_count(opens, 'more edit')} would open a port: see {_them(opens)} with --allow-open"
        )
    diff = "".join(patch.diff(base, header=header) for patch in shown)
    return Made(tuple(found), diff, tuple(hints), tuple(notes), left)


def _parted(
    hosts: Sequence[Host], fixed: Sequence[tuple[Finding, Fix]], judge: Judge
) -> Iterator[Finding]:
    """Yield the findings whose edits bring something new to another host that reads the file."""
    if len(hosts) == 1:
        return
    trees = {host.name: host.tree for host in hosts}
    for host in hosts:
        read = {host.tree.place_on_disk(file.path): file.path for file in host.tree.files()}
        theirs: list[tuple[Finding, list[Edit]]] = []
        every: dict[Edit, None] = {}
        for finding, fix in fixed:
            real = [(trees[finding.host].place_on_disk(e.host_path), e) for e in fix.edits]
            edits = [replace(e, path=r, host_path=read[r]) for r, e in real if r and r in read]
            every.update(dict.fromkeys(edits))
            if edits and finding.host != host.name:
                theirs.append((finding, edits))
        if theirs and not brings_nothing(host, every, judge):
            yield from (finding for finding, _ in theirs)


def base_of(patches: Sequence[Patch]) -> tuple[str, bool]:
    """Return the directory that names are relative to, and whether git's header is wanted.

    It alone has modes. Below the top of a work tree git takes names with it as relative to the
    top, and leaves out in silence what is not there; patch takes them as relative to where it is.
    """
    here = os.getcwd()
    top = str(work_tree(Path(here)))
    header = any(patch.executable for patch in patches)
    for base in (here, top):
        within = all(patch.path.startswith(f"{base.rstrip('/')}/") for patch in patches)
        if within and (base == top or not header):
            return base, base == top
    return "/", True


def _tally(fixed: int, left: int) -> str:
    if not fixed:
        return f"no edit to make, {_count(left, 'finding')} left" if left else "no findings"
    said = f"{_count(fixed, 'finding')} fixed by {'this edit' if fixed == 1 else 'these edits'}"
    return f"{said}, {left} left" if left else said


def _them(count: int) -> str:
    return "it" if count == 1 else "them"


def _quoted(name: str) -> str:
    """Return a name as a diff has it: what would end it or begin an escape is quoted."""
    if not re.search(r'[ "\\]', name):
        return name
    return '"' + re.sub(r'(["\\])', r"\\\1", name) + '"'


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _identity(finding: Finding) -> tuple[str, str, str]:
    return finding.host, finding.rule.name, finding.fact.entity


def _patches(trees: Mapping[str, Tree], chosen: Iterable[tuple[Finding, Fix]]) -> list[Patch]:
    """Return what the fixes change, one patch a file, by path: two hosts may read one file."""
    edits: dict[str, dict[Edit, None]] = {}
    texts: dict[str, str] = {}
    for finding, fix in chosen:
        tree = trees[finding.host]
        for edit in fix.edits:
            real = tree.place_on_disk(edit.host_path)
            if real is not None:
                texts[real] = tree.read(edit.host_path).text
                edits.setdefault(real, {})[replace(edit, path=real, host_path="")] = None
    return [Patch(real, texts[real], tuple(edits[real])) for real in sorted(edits)]
