"""Running rules, and ordering what they find: twins are joined, consequences follow their cause."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from sslint.engine.language import Fact, Many, Span, Subject, reader
from sslint.engine.loader import SEVERITIES, Rule, Severity
from sslint.engine.words import fill, placeholders
from sslint.values import dataclass, field

if TYPE_CHECKING:
    from sslint.source import Location

MANY = 64  # facts of a kind, from which on those that are alike are asked once


@dataclass(slots=True)
class Finding:
    """A rule that fired on a fact. `also_affects` are the consequences that it speaks for."""

    rule: Rule
    fact: Fact
    severity: Severity
    message: str
    clients: str
    advice: str
    related: tuple[Span, ...]
    span: Span | None = None
    host: str = ""
    silenced: bool = False  # an ignore, or a rule that was not asked for: it hides what follows
    excuse: str = ""  # the reason that an ignore gives
    also_affects: list[Finding] = field(default_factory=list)
    shown: Sequence[Span] = ()  # `related`, its own place among them

    @property
    def fingerprint(self) -> str:
        """An identity that survives moved lines: rule, host, file, and the text of the line."""
        import hashlib

        place = self.span.location if self.span else None
        parts = (self.rule.name, self.host, self.fact.entity) + (
            (place.path, place.text) if place else ()
        )
        data = "\0".join(parts).encode("utf-8", "surrogateescape")
        return hashlib.sha256(data).hexdigest()[:20]


def run(rules: Iterable[Rule], facts: object) -> list[Finding]:
    """Return the findings of all rules over a host's facts, without ordering causes."""
    groups = _Groups()
    found: list[Finding] = []
    for rule in rules:
        kind = getattr(facts, rule.collection)
        if not kind:
            continue
        if isinstance(kind, Many) and len(kind) >= MANY:
            found += _of_many(rule, kind, groups, facts)
        else:
            found += [
                _finding(rule, fact, facts)
                for fact in groups.fitting(rule, kind)
                if rule.test(fact, facts, None) is True
            ]
    return found


def _of_many(rule: Rule, kind: Many[Fact], groups: _Groups, facts: object) -> Iterator[Finding]:
    """Yield what a rule finds on many facts, asking those once that are alike to it."""
    firsts = groups.fitting(rule, list(kind.firsts.values()), kind.apart)
    asked, shown = _asked(rule) if firsts else (kind.apart, kind.apart)
    same = (kind.apart | _RELATING).isdisjoint(asked)
    if same:
        firsts = [first for first in firsts if rule.test(first, facts, None) is True]
    chosen = set(map(id, firsts))
    keys = {key for key, first in kind.firsts.items() if id(first) in chosen}
    said: dict[int, Finding] = {}
    for number, key in enumerate(kind.keys) if keys else ():
        if key not in keys:
            continue
        fact = kind[number]
        if not same and rule.test(fact, facts, None) is not True:
            continue
        first = said.get(key)
        if first is not None:
            yield _like(first, fact)
            continue
        first = _finding(rule, fact, facts)
        if same and kind.apart.isdisjoint(shown):
            said[key] = first
        yield first


def _asked(rule: Rule) -> tuple[frozenset[str], frozenset[str]]:
    """Return the fields that the test of a rule asks a fact for, and those its findings show.

    What relates a fact to others passes over the fact itself, as if it asked for any field.
    """
    document = rule.document
    tested = {*_fields({k: document[k] for k in _CONDITIONS if k in document})}
    words = (one for own in rule.words.values() for one in _texts(own))
    shown = {*rule.related, rule.at, *rule.words}
    for text in (rule.message, rule.clients, rule.advice, *words):
        shown.update(placeholders(text))
    severity = document["severity"]
    for case in severity if isinstance(severity, list) else ():
        shown.update(_fields(case["when"]) if isinstance(case, Mapping) else ())
    return _first_parts(tested), _first_parts(shown)


_RELATING = frozenset(("any_of", "none_of"))
_CONDITIONS = ("match", "either", "unless", "any_of", "none_of")


def _texts(own: str | Mapping[str, str]) -> Iterable[str]:
    return (own,) if isinstance(own, str) else own.values()


def _fields(condition: object) -> Iterator[str]:
    """Yield every word of a condition that may be a field: more than are does no harm."""
    if isinstance(condition, Mapping):
        for name, inner in condition.items():
            yield str(name)
            yield from _fields(inner)
    elif isinstance(condition, list):
        for inner in condition:
            yield from _fields(inner)
    else:
        yield str(condition)


def _first_parts(names: Iterable[str]) -> frozenset[str]:
    return frozenset(name.partition(".")[0] for name in names)


def _like(first: Finding, fact: Fact) -> Finding:
    """Return what the rule of a finding says of a fact that is alike."""
    own = first.span if first.rule.at else fact.span
    return Finding(
        first.rule,
        fact,
        first.severity,
        first.message,
        first.clients,
        first.advice,
        _without(own, first.shown),
        own,
        shown=first.shown,
    )


class _Groups:
    """The facts of a host by the values of their fields, grouped as rules ask for them.

    No fact is asked for a field that a rule would not ask it for that tests one after the other.
    """

    def __init__(self) -> None:
        self._made: dict[tuple[object, ...], dict[object, list[Fact]]] = {}

    def fitting(
        self, rule: Rule, found: Sequence[Fact], apart: frozenset[str] = frozenset()
    ) -> Sequence[Fact]:
        """Return the facts that have the values which the first conditions of a rule name.

        Those of fields that are `apart`, and what follows them, are left to its test.
        """
        path: tuple[object, ...] = (rule.collection,)
        for name, value in rule.values:
            if not found or name in apart:
                break
            path = (*path, name)
            groups = self._made.get(path)
            if groups is None:
                groups = self._made[path] = _grouped(found, name)
            found = groups.get(value, ())
            path = (*path, value)
        return found


def _grouped(facts: Iterable[Fact], name: str) -> dict[object, list[Fact]]:
    groups: dict[object, list[Fact]] = {}
    read = reader(name)
    for fact in facts:
        value = read(fact)
        if value.__hash__:  # a mapping has none, and no rule names one
            groups.setdefault(value, []).append(fact)
    return groups


def _finding(rule: Rule, fact: Fact, facts: object) -> Finding:
    at: Sequence[Span] = (reader(rule.at)(fact) or ()) if rule.at else ()
    own = at[0] if at else fact.span
    related = [span for name in rule.related for span in reader(name)(fact) or ()]
    shown = _each_once((*at, *related))
    return Finding(
        rule=rule,
        fact=fact,
        severity=rule.severity(fact, facts),
        message=fill(rule.message, fact, rule.words),
        clients=fill(rule.clients, fact, rule.words),
        advice=fill(rule.advice, fact, rule.words, to_paste=True),
        related=_without(own, shown),
        span=own,
        shown=shown,
    )


def _elsewhere(own: Span | None, spans: Iterable[Span]) -> tuple[Span, ...]:
    """Return the places beside a finding's own, each once."""
    return _without(own, _each_once(spans))


def _each_once(spans: Iterable[Span]) -> Sequence[Span]:
    return tuple({span.location: span for span in spans}.values())


def _without(own: Span | None, spans: Sequence[Span]) -> tuple[Span, ...]:
    if own is None:
        return tuple(spans)
    place, file = own.location, own.location.file
    return tuple(
        [span for span in spans if span.location.file is not file or span.location != place]
    )


def merge_twins(findings: Sequence[Finding]) -> list[Finding]:
    """Join findings that say the same thing of the same entity: the two families of one port."""
    first: dict[tuple[str, str, str, str, str], Finding] = {}
    more: dict[int, list[Span]] = {}  # by the first one's identity
    for finding in findings:
        key = (
            finding.host,
            finding.rule.name,
            finding.fact.entity,
            finding.message,
            finding.severity,
        )
        twin = first.setdefault(key, finding)
        if twin is not finding:
            spans = more.setdefault(id(twin), list(twin.related))
            spans += [finding.span] if finding.span else []
            spans += finding.related
    for twin in first.values():
        if id(twin) in more:
            twin.related = _elsewhere(twin.span, more[id(twin)])
    return list(first.values())


def line_of(location: Location) -> Subject:
    """Return the subject that a line of a file is."""
    return "line", (location.path, location.line)


def order_causes(findings: Sequence[Finding]) -> list[Finding]:
    """Fold what follows from another finding into that finding, and sort the rest.

    A finding follows from another whose rule it names in `consequence_of` and with which it shares
    a subject; a chain is folded into its root. What is silenced is left out, with all that follows
    from it. A line that a finding names is a subject of it, for the facts that ask for it.
    """
    first: dict[tuple[str, Subject], int] = {}
    for number, finding in enumerate(findings):
        spans = [*([finding.span] if finding.span else []), *finding.related]
        lines = {line_of(span.location) for span in spans}
        for subject in finding.fact.subjects | lines:
            first.setdefault((finding.rule.name, subject), number)
    cause: dict[int, Finding] = {}
    for finding in findings:
        for name in sorted(finding.rule.consequence_of):
            found = [
                first[name, subject]
                for subject in finding.fact.subjects
                if (name, subject) in first and findings[first[name, subject]] is not finding
            ]
            if found:
                cause[id(finding)] = findings[min(found)]
                break
    roots = []
    for finding in findings:
        root, seen = finding, {id(finding)}
        while (above := cause.get(id(root))) is not None and id(above) not in seen:
            seen.add(id(above))
            root = above
        if finding.silenced or root.silenced:
            continue
        if root is finding:
            roots.append(finding)
        else:
            root.also_affects.append(finding)
            if SEVERITIES.index(finding.severity) < SEVERITIES.index(root.severity):
                root.severity = finding.severity
    return sorted(roots, key=_place)


def _place(finding: Finding) -> tuple[str, str, int, int, str]:
    where = finding.span.location if finding.span else None
    name = finding.rule.name
    if where is None:
        return (finding.host, "", 0, 0, name)
    return (finding.host, where.path, where.line, where.column, name)
