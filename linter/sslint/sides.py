"""What `sslint diff OLD NEW` compares: trees, commits, saved reports, or rulesets alone."""

from __future__ import annotations

import json
import os
import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sslint import revisions
from sslint.bundled import schema_text
from sslint.config import FILE_NAMES
from sslint.errors import NothingToCheckError, SslintError, UsageError
from sslint.regex import regex
from sslint.reports.data import check_report
from sslint.tree import TreeError, head, is_stream, read_named, real_path, work_tree
from sslint.values import dataclass

if TYPE_CHECKING:
    from sslint.changes import HostChange
    from sslint.netfilter.model import Ruleset
    from sslint.result import Result

Check = Callable[[str, str | None], "Result"]
"""Checks a PATH, of a commit if it is one's."""
_REPORT = regex(r'\s*\{\s*"version":\s*[0-9]+,\s*"(findings|endpoints)"')
_REPORT_KEYS = ("endpoints", "findings", "judged")


class AbsentError(UsageError):
    """A commit has nothing at a path."""


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison: a report, and the check that it comes from unless it was saved."""

    report: dict[str, Any]
    result: Result | None = None

    @property
    def incomplete(self) -> bool:
        """Whether a host was not judged, or a file that decides could not be read."""
        if self.result is not None:
            return self.result.incomplete
        unread = any(one.get("decisive") for one in self.report.get("unread", ()))
        return unread or not all(one["enough"] for one in self.report["judged"])


def read(text: str, check: Check, directory: Path) -> Side:
    """Return what a word names: a PATH, a saved report, or REV:PATH, written below a directory.

    Raise UsageError.
    """
    path = text
    if not os.path.lexists(text) and text != "-":
        name, colon, within = text.partition(":")
        if not colon:
            raise UsageError(
                f"{text}: no such file or directory", tip=f"name a commit as {text}: or {text}:PATH"
            )
        path = export(Path.cwd(), name, within or ".", directory)
        if not _is_saved(path):
            return _of_commit(check, path, name, directory)
    if _is_saved(path):
        return Side(_saved(path, text))
    return _checked(check, path)


def export(start: Path, name: str, path: str, directory: Path) -> str:
    """Write a work tree as a commit has it below a directory of ours; return where PATH is in it.

    All of it is written, for the settings and what they name lie elsewhere in it; of one that is
    too large or not all there (a partial clone) the PATH alone. The path is relative to the work
    tree's top, or to `start` in git's own form ./PATH. Raise UsageError.
    """
    top = work_tree(start)
    revision = revisions.open_revision(top, name, "diff")
    if path.startswith(("./", "../")):
        path = posixpath.join(real_path(start).relative_to(top).as_posix(), path)
    within = posixpath.normpath(path)
    if within.startswith(("/", "..")):
        raise UsageError(f"{name}:{path}: is not in the work tree")
    target = directory / top.name
    if not revision.has(within):
        raise AbsentError(f"{name}:{path}: no such file or directory")
    try:
        revision.export(".", target)
    except UsageError:
        target = directory / "part"
        for place in (within, *_settings_above(within)):
            if revision.has(place):
                revision.export(place, target / place)
    (target / ".git").mkdir(exist_ok=True)  # a work tree: no link or setting leads out of it
    return str(target / within)


def _settings_above(path: str) -> Iterator[str]:
    while path not in ("", "."):
        path = posixpath.dirname(path)
        yield from (posixpath.join(path, name) for name in FILE_NAMES)


def against(name: str, path: str, check: Check, directory: Path) -> Side:
    """Return what a PATH was in a commit of the work tree that it is in. Raise UsageError."""
    real = real_path(path)
    top = work_tree(real if real.is_dir() else real.parent)
    if not real.is_relative_to(top):
        raise UsageError(f"{path}: is not in a work tree of git")
    try:
        exported = export(top, name, real.relative_to(top).as_posix(), directory)
    except AbsentError:  # the change brings it
        return _nothing()
    return _of_commit(check, exported, name, directory)


def _of_commit(check: Check, path: str, name: str, directory: Path) -> Side:
    """Return what is checked of a commit that is written below a directory of ours."""
    try:
        return _checked(check, path, name)
    except NothingToCheckError:
        return _nothing()
    except SslintError as error:
        message = re.sub(f"{re.escape(str(directory))}/[^/]+/?", f"{name}:", str(error))
        raise type(error)(message, tip=error.tip) from None


def _nothing() -> Side:
    """Return a side without a host: the change brings the first, or takes the last."""
    from sslint.result import Result

    return Side(check_report(Result([])), Result([]))


def compare(old: Side, new: Side) -> list[HostChange]:
    """Return what differs between two sides; of saved reports the traffic is not known.

    Raise NothingToCheckError.
    """
    from sslint import changes

    if not old.report["judged"] and not new.report["judged"]:
        raise NothingToCheckError("neither side holds anything that sslint reads")
    if old.result is None or new.result is None:
        found = changes.of_reports(old.report, new.report)
        for one in found:
            one.notes.append("ports without a listener: a saved report does not hold the rules")
        return found
    return changes.of_results(old.result, new.result, (old.report, new.report))


def ruleset(texts: Sequence[str], flag: str) -> Ruleset:
    """Return the rules that files named on the command line load together. Raise UsageError."""
    from sslint import targets
    from sslint.firewalls import discovery
    from sslint.netfilter.model import Ruleset
    from sslint.network import read_network
    from sslint.tree import Tree

    if "none" in texts:
        if set(texts) != {"none"}:
            raise UsageError(f"{flag} none: cannot be combined with a ruleset")
        return Ruleset(families={4, 6})
    tree = Tree(None, base=Path.cwd())
    given = targets.lay_rulesets(tree, [targets.ruleset(text, flag) for text in texts])
    found = discovery.load(tree, read_network(tree), tuple(given))
    problems = [problem.sentence for problem in tree.problems if problem.decisive]
    if problems or found.empty:
        raise UsageError(f"{flag}: {problems[0] if problems else 'no rules were found'}")
    return found


def _checked(check: Check, path: str, revision: str | None = None) -> Side:
    result = check(path, revision)
    return Side(check_report(result), result)


def _is_saved(text: str) -> bool:
    """Tell whether a word names a saved report, by its ending or its beginning."""
    if is_stream(text):
        return True
    if not os.path.isfile(text):
        return False
    return text.endswith(".json") or _REPORT.match(head(real_path(text))) is not None


def _saved(path: str, name: str) -> dict[str, Any]:
    """Read a saved report, which messages call `name`. Raise UsageError."""
    none = f"{name}: is not a report of sslint check --format json"
    try:
        found = json.loads(read_named(path))
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror}") from None
    except (TreeError, ValueError, RecursionError):
        raise UsageError(none) from None
    if not isinstance(found, dict):
        raise UsageError(none)
    version = found.get("version")
    if isinstance(version, int) and version != 1 and "endpoints" in found:
        raise UsageError(f"{name}: is a report of version {version}, and not of version 1")
    missing = [key for key in _REPORT_KEYS if key not in found]
    if missing and "endpoints" in found:
        raise UsageError(none, tip=f"it lacks {', '.join(missing)}: make it with this sslint check")
    if missing or not _is_valid(found):
        raise UsageError(none)
    return dict(found)


def _is_valid(found: dict[str, Any]) -> bool:
    from ipaddress import ip_network

    from jsonschema import Draft202012Validator

    if not Draft202012Validator(json.loads(schema_text("report"))).is_valid(found):
        return False
    try:
        for one in found["endpoints"]:
            for family, reach in one["reach"].items():
                for text in (*reach["open"], *reach["unknown"]) if reach is not None else ():
                    if ip_network(text).version != int(family[-1]):
                        return False
    except ValueError:
        return False
    return True
