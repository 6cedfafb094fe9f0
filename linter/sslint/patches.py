"""The edits of a run as one unified diff that `git apply` and `patch -p1` take, or written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from sslint.engine import Finding, Rule
from sslint.errors import UsageError
from sslint.fixes.edits import Edit, Fix, apply, hunks
from sslint.plain import clean, harmless
from sslint.tree import Tree, TreeError, real_path, replace_file
from sslint.values import dataclass, replace

if TYPE_CHECKING:
    from sslint.fixes import Wanted
    from sslint.result import Result


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
    def can_be_shown(self) -> bool:
        """Whether a patch can have its lines: it would have to be exact, and a report is cut."""
        shown = "".join(hunks(self.text, self.edits))
        lines = [self.path, *shown.replace("\t", " ").replace("\r", "").split("\n")]
        return harmless(shown) == shown and all(clean(line) == line for line in lines)

    def diff(self, base: str) -> str:
        """Return the diff of the file, with its name relative to a directory."""
        name = os.path.relpath(self.path, base)
        lines = [f"diff --git a/{name} b/{name}"]
        if self.executable:
            lines += ["old mode 100644", "new mode 100755"]
        body = "".join(hunks(self.text, self.edits))
        if body:
            tab = "\t" if " " in name else ""  # which ends a name with blanks
            lines += [f"--- a/{name}{tab}", f"+++ b/{name}{tab}"]
        return "\n".join(lines) + "\n" + body

    def write(self) -> None:
        """Put the edits into the file, in one step. Raise UsageError if that cannot be done."""
        made = apply(self.text, self.edits)
        try:
            replace_file(self.path, self.text, made, executable=self.executable)
        except TreeError as error:
            raise UsageError(f"{self.path}: cannot be changed: {error.reason}") from None


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
    """Return what tells whether a finding is to be fixed: one of these rules'.

    What opens a port is only with leave.
    """
    names = {rule.name for rule in rules}
    kinds = ("safe", "opens") if allow_open else ("safe",)

    def is_wanted(finding: Finding, fix: Fix) -> bool:
        return finding.rule.name in names and fix.kind in kinds

    return is_wanted


def ask(result: Result, among: Wanted, answer: Callable[[str], bool]) -> Wanted:
    """Return what tells whether a finding is among those that the user says yes to."""
    chosen = {
        _identity(finding)
        for finding in result.findings
        if (fix := result.fixes.get(id(finding))) and fix.proved and among(finding, fix)
        if answer("\n".join([clean(finding.message), *(f"  {clean(str(e))}" for e in fix.edits)]))
    }
    return lambda finding, fix: among(finding, fix) and _identity(finding) in chosen


def make(result: Result, chosen: Wanted, *, allow_open: bool) -> Made:
    """Return the edits of the chosen findings; the rest is counted, and said."""
    trees = {host.name: host.tree for host in result.hosts}
    fixed, opens, left = [], 0, 0
    for finding in result.findings:
        fix = result.fixes.get(id(finding))
        if fix is not None and fix.proved and chosen(finding, fix):
            tree = trees[finding.host]
            if all(_on_disk(tree, edit) is not None for edit in fix.edits):
                fixed.append((finding, fix))
                continue
        left += 1
        opens += bool(fix and fix.kind == "opens" and fix.edits and not allow_open)
    found = _patches(trees, fixed)
    shown = [patch for patch in found if patch.can_be_shown]
    hints = [
        f"{clean(patch.path)}: the edit cannot be shown: the file has control characters"
        for patch in found
        if patch not in shown
    ]
    here = os.getcwd()
    base = here if all(patch.path.startswith(f"{here.rstrip('/')}/") for patch in shown) else "/"
    if shown and base != here:
        hints.append("the names are relative to /: apply it with patch -p1 -d /")
    total = _count(len(result.findings), "finding")
    notes = [f"{total}: {len(fixed)} have an edit that fixes them, {left} not"]
    if opens:
        notes.append(f"{_count(opens, 'more edit')} would open a port: give --allow-open for these")
    diff = "".join(patch.diff(base) for patch in shown)
    return Made(tuple(found), diff, tuple(hints), tuple(notes), left)


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
            real = _on_disk(tree, edit)
            if real is not None:
                texts[real] = tree.read(edit.host_path).text
                edits.setdefault(real, {})[replace(edit, path=real, host_path="")] = None
    return [Patch(real, texts[real], tuple(edits[real])) for real in sorted(edits)]


def _on_disk(tree: Tree, edit: Edit) -> str | None:
    """Return the real path of the file that an edit changes, None if there is none on disk."""
    try:
        named = tree.on_disk(tree.resolve(edit.host_path), edit.path)
    except TreeError:
        return None
    return None if named is None else str(real_path(named))
