"""What every machine's report is made of: a row a finding, a gap for what was not judged.

The rows are in the order in which a reader wants them, the worst first; each place has its path
twice: as JSON has it, and as the repository does.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sslint.engine import OWN, SEVERITIES, Finding, Rule, Severity
from sslint.judged import Why
from sslint.plain import clean
from sslint.source import Location
from sslint.tree import real_path, work_tree
from sslint.values import dataclass, field

if TYPE_CHECKING:
    from sslint.fixes import Fix
    from sslint.host import Host
    from sslint.result import Result
    from sslint.tree import Tree

DOCS = "docs/rules/"  # the pages of the rules, in the repository of sslint
MAX_LINE = 400  # characters of a source line
Where = Literal["source", "settings", "baseline"]


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file. `path` is relative to the host's root, `file` to the repository.

    Lines and columns count from 1, `end` is the column after the last character. `text` is the
    line as it may be shown, `mark` the part of it that is meant (from 0, end exclusive).
    """

    path: str
    file: str
    line: int = 1
    column: int = 1
    end: int = 2
    text: str = ""
    message: str = ""
    mark: tuple[int, int] = (0, 0)

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


@dataclass(frozen=True, slots=True)
class Row:
    """One finding. `kept` says what keeps it quiet, if anything does, and `reason` why.

    `key` is the host's name as it is, `host` as it may be shown.
    """

    key: str
    host: str
    rule: Rule
    severity: Severity
    message: str
    clients: str
    entity: str
    place: Place
    fingerprint: str
    related: tuple[Place, ...] = ()
    also: tuple[str, ...] = ()
    fix: Fix | None = None
    advice: str = ""
    kept: Where | None = None
    reason: str = ""
    finding: Finding | None = field(default=None, repr=False)

    @property
    def remedy(self) -> list[str]:
        """What to do, a line a step."""
        if self.fix is None:
            return [self.advice] if self.advice else []
        title = [clean(self.fix.title)] if self.fix.title else []
        return [*title, *(clean(command) for command in self.fix.commands)]


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that was not judged; `decisive`: the run is incomplete for it (exit status 3)."""

    key: str
    host: str
    reason: str
    place: Place
    decisive: bool
    code: str = ""


def rows(result: Result, *, quiet: bool = False) -> list[Row]:
    """Return the findings, the worst first; with `quiet` then those that are silenced."""
    makers = {host.name: _Maker(host) for host in result.hosts}
    shown = [makers[f.host].row(f, result.fixes.get(id(f))) for f in result.findings]
    shown.sort(key=lambda row: SEVERITIES.index(row.severity))
    if quiet:
        shown += [makers[f.host].row(f, None, "source") for f in result.silenced]
        shown += [makers[f.host].row(f, None, "settings") for f in result.accepted]
        shown += [makers[f.host].row(f, None, "baseline") for f in result.known]
    return shown


def gaps(result: Result) -> list[Gap]:
    """Return what was not judged, what makes the run incomplete first."""
    found = [gap for host in result.hosts for gap in _gaps(host)]
    return sorted(found, key=lambda gap: not gap.decisive)


def files(host: Host) -> dict[str, str]:
    """Return the repository's path of each file of a host that was read, by what JSON calls it.

    Links are resolved. What lies in no repository, or on no disk, is not there.
    """
    filed = _Files(host.tree)
    found = ((file.name, filed.find(file.path, file.name)) for file in host.tree.files())
    return {clean(name): clean(path) for name, path in found if path is not None}


def placer(host: Host) -> Callable[[Location, str], Place]:
    """Return a function from a location of a host and a word on it to a place."""
    return _Maker(host).place


# -- inside ---------------------------------------------------------------------------------


class _Files:
    """Where a host's files lie in the repository."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.known: dict[tuple[str | None, str], str | None] = {}
        self.tops: dict[str, Path | None] = {}
        try:
            here: Path | None = Path.cwd()
        except OSError:  # it is gone
            here = None
        self.here = here
        self.own = None if here is None else self._top(here)

    def find(self, path: str | None, name: str) -> str | None:
        if (path, name) not in self.known:
            self.known[path, name] = self._find(path, name)
        return self.known[path, name]

    def _find(self, path: str | None, name: str) -> str | None:
        lies = self.tree.on_disk(path, name)
        if lies is None:
            return None
        real = real_path(lies)
        for top in (self.own, self._top(real.parent), self.here):
            if top is not None and top != Path("/") and real.is_relative_to(top):
                return real.relative_to(top).as_posix()
        return None

    def _top(self, directory: Path) -> Path | None:
        key = str(directory)
        if key not in self.tops:
            top = work_tree(directory)
            self.tops[key] = top if os.path.exists(top / ".git") else None
        return self.tops[key]


class _Maker:
    """Make the rows of one host."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.files = _Files(host.tree)

    def row(self, finding: Finding, fix: Fix | None, kept: Where | None = None) -> Row:
        related = tuple(self.place(span.location, span.message) for span in finding.related)
        span = finding.span
        own = self.place(span.location, span.message) if span else self._fallback(finding, related)
        also = (clean(self._consequence(other)) for other in finding.also_affects)
        return Row(
            key=finding.host,
            host=clean(finding.host),
            rule=finding.rule,
            severity=finding.severity,
            message=clean(finding.message),
            clients=clean(finding.clients),
            entity=clean(finding.fact.entity),
            place=own,
            fingerprint=finding.fingerprint,
            related=related,
            also=tuple(dict.fromkeys(also)),
            fix=fix,
            advice=clean(finding.advice),
            kept=kept,
            reason=clean(finding.excuse),
            finding=finding,
        )

    def place(self, place: Location, message: str = "") -> Place:
        """Return a place of a file that was read."""
        raw = place.file.shown(place.line)
        end = place.end if place.end is not None else len(raw) + 1
        cuts = (0, min(place.column - 1, MAX_LINE), min(end - 1, MAX_LINE), MAX_LINE)
        parts = [clean(raw[low:high].expandtabs(8)) for low, high in pairwise(cuts)]
        return Place(
            clean(place.path),
            clean(self.files.find(place.file.path, place.file.name) or place.path),
            place.line,
            place.column,
            max(end, place.column + 1),
            "".join(parts),
            clean(message),
            (len(parts[0]), len(parts[0]) + len(parts[1])),
        )

    def named(self, name: str) -> Place:
        """Return the start of a file that is only known by what reports call it."""
        return Place(clean(name), clean(self.files.find(None, name) or name))

    def _fallback(self, finding: Finding, related: Sequence[Place]) -> Place:
        """Return a place for a finding about something that is written nowhere."""
        if finding.rule.each == "problem":
            return self.named(finding.fact.entity)
        return related[0] if related else self.whole()

    def whole(self) -> Place:
        """Return a place that stands for the host: its first server's file or its ruleset."""
        for reading in self.host.readings:
            for path in reading.files:
                name = self.host.tree.name(path)
                return Place(clean(name), clean(self.files.find(path, name) or name))
        for source in self.host.ruleset.sources:
            return self.named(source.path)
        return self.named(self.host.name)

    def _consequence(self, other: Finding) -> str:
        if other.span is None:
            return other.message
        return f"{other.message} ({other.span.location.path}:{other.span.location.line})"


def _gaps(host: Host) -> Iterator[Gap]:
    from sslint.judged import judge

    make, name = _Maker(host), clean(host.name)
    for problem in host.problems:
        where = problem.location
        place = make.place(where) if where is not None else make.named(problem.path)
        yield Gap(host.name, name, clean(problem.reason), place, problem.decisive, "unread")
    judged = judge(host)
    for gap in judged.gaps:
        if gap.why is not Why.FILE_UNREAD:
            place = _listener(host, gap.ports, make.place) or make.whole()
            yield Gap(host.name, name, clean(gap.reason), place, gap.decisive, gap.why.value)


def _listener(host: Host, ports: Sequence[str], place: Callable[[Location], Place]) -> Place | None:
    """Return where the first listener on one of some ports is configured."""
    for socket in host.sockets:
        endpoint = socket.endpoint
        if f"{endpoint.transport}/{endpoint.port}" in ports:
            return place(endpoint.location)
    return None


def page_of(rule: Rule) -> str:
    """Return the page of a rule in the repository of sslint, "" for a rule of one's own."""
    return f"{DOCS}{rule.name}.md" if rule.family != OWN else ""
