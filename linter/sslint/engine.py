"""The rule engine: rules are data, facts are data, and this matches one with the other.

It knows no server and no format. Logic is three-valued: a fact that is not known makes a condition
neither true nor false, and a rule fires only on what is certainly true.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from sslint.errors import UsageError
from sslint.patterns import compile_pattern
from sslint.source import Location
from sslint.tree import read_bundled
from sslint.values import dataclass, field

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")
MAX_RULE = 1 << 20  # bytes of a user's rule
Truth = bool | None  # None: not known
Subject = tuple[str, object]


@dataclass(frozen=True, slots=True)
class Span:
    """A place with a word on what stands there."""

    location: Location
    message: str = ""


@dataclass(slots=True, eq=False)
class Fact:
    """Something that is so on this host; `values` is nested, a missing or None value is unknown.

    `span` is its own place; `spans` are the places that explain it, by the name under which a
    rule's `related` asks for them. Two findings with a common subject are about the same thing.
    `source` is the object the fact was made of, for those who write fixes.
    """

    kind: str
    name: str
    values: dict[str, Any]
    span: Span | None = None
    spans: MutableMapping[str, tuple[Span, ...]] = field(default_factory=dict)
    subjects: frozenset[Subject] = frozenset()
    source: object = None


Facts = Mapping[str, Sequence[Fact]]


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

    @property
    def fingerprint(self) -> str:
        """An identity that survives moved lines: rule, host, file, and the text of the line."""
        import hashlib

        place = self.span.location if self.span else None
        parts = (self.rule.name, self.host, self.fact.name) + (
            (place.path, place.text) if place else ()
        )
        data = "\0".join(parts).encode("utf-8", "surrogateescape")
        return hashlib.sha256(data).hexdigest()[:20]


_Matcher = Callable[[Fact, Facts, Fact | None], Truth]
_FieldTest = Callable[[Any, Fact, Fact | None], Truth]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, compiled. `each` is the kind of fact it looks at.

    `at` names the spans of which the first is where a finding stands; "" means the fact's own.
    `words` say in English what the codes of a field mean, or what a field is where its value is
    not known.
    """

    name: str
    family: str
    each: str
    summary: str
    why: str
    test: _Matcher
    severities: tuple[tuple[_Matcher, Severity], ...]
    default_severity: Severity
    message: str
    clients: str
    fix: str
    advice: str
    related: tuple[str, ...]
    at: str
    words: Mapping[str, str | Mapping[str, str]]
    consequence_of: frozenset[str]
    document: Mapping[str, Any]

    def severity(self, fact: Fact, facts: Facts) -> Severity:
        """Return the severity for a fact: the first case that certainly holds, or the default."""
        for test, severity in self.severities:
            if test(fact, facts, None) is True:
                return severity
        return self.default_severity

    @property
    def possible(self) -> tuple[Severity, ...]:
        """The severities that its findings may have, worst first."""
        may = {self.default_severity, *(severity for _, severity in self.severities)}
        return tuple(severity for severity in SEVERITIES if severity in may)


# -- running ------------------------------------------------------------------------------------


def run(rules: Iterable[Rule], facts: Facts) -> list[Finding]:
    """Return the findings of all rules over all facts, without ordering causes."""
    return [
        _finding(rule, fact, facts)
        for rule in rules
        for fact in facts.get(rule.each, ())
        if rule.test(fact, facts, None) is True
    ]


def _finding(rule: Rule, fact: Fact, facts: Facts) -> Finding:
    named = [span for name in (rule.at, *rule.related) for span in _spans(fact, name)]
    own = next(iter(_spans(fact, rule.at)), fact.span)
    return Finding(
        rule=rule,
        fact=fact,
        severity=rule.severity(fact, facts),
        message=fill(rule.message, fact, rule.words),
        clients=fill(rule.clients, fact, rule.words),
        advice=fill(rule.advice, fact, rule.words, to_paste=True),
        related=_elsewhere(own, named),
        span=own,
    )


def _spans(fact: Fact, name: str) -> Iterable[Span]:
    """Return the places of a name: of the fact, or among its values where they are made late."""
    found = fact.spans.get(name)
    return found if found is not None else lookup(fact, name) or ()


def _elsewhere(own: Span | None, spans: Iterable[Span]) -> tuple[Span, ...]:
    """Return the places beside a finding's own, each once."""
    place = own.location if own else None
    return tuple({s.location: s for s in spans if s.location != place}.values())


def merge_twins(findings: Sequence[Finding]) -> list[Finding]:
    """Join findings that say the same thing of the same entity: the two families of one port."""
    first: dict[tuple[str, str, str, str, str], Finding] = {}
    more: dict[int, list[Span]] = {}  # by the first one's identity
    for finding in findings:
        key = (
            finding.host,
            finding.rule.name,
            finding.fact.name,
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


def order_causes(findings: Sequence[Finding]) -> list[Finding]:
    """Fold what follows from another finding into that finding, and sort the rest.

    A finding follows from another whose rule it names in `consequence_of` and with which it shares
    a subject; a chain is folded into its root. What is silenced is left out, with all that follows
    from it.
    """
    first: dict[tuple[str, Subject], int] = {}
    for number, finding in enumerate(findings):
        for subject in finding.fact.subjects:
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


_NAME = re.compile(r"[a-z0-9-]{1,60}")  # another may be anything, and is not repeated
_PLACEHOLDER = re.compile(r"\{([a-z_][a-z0-9_.]*)(?:\|(and|or))?\}")
_OBEYED = re.compile(r"[;&|`$<>\\\n'\"#!]|\s-")
MAX_NAMED = 5  # names of a list that a sentence tells before it only counts them

Words = Mapping[str, str | Mapping[str, str]]


def fill(
    template: str, fact: Fact, words: Words = MappingProxyType({}), *, to_paste: bool = False
) -> str:
    """Fill `{field}` placeholders from a fact.

    A list is joined by commas, as `{field|or}` with "or" before its last item. `words` are the
    rule's: what a code means, and what is written for a value that is not known (else `?`).
    `to_paste`: it may be pasted into a shell, so what a shell would obey is quoted.
    """

    def value(match: re.Match[str]) -> str:
        text = _filled(match[1], match[2], fact, words)
        own = words.get(match[1], {})
        if text in ((own,) if isinstance(own, str) else own.values()):
            return text  # the rule's own words
        if to_paste and text.startswith("-"):  # quotes keep no option from being one
            return "NAME"
        if not to_paste or not _OBEYED.search(text):
            return text
        from shlex import quote

        return quote(text)

    return _PLACEHOLDER.sub(value, template)


def _filled(name: str, conjunction: str | None, fact: Fact, words: Words) -> str:
    if name in fact.spans:
        spans = fact.spans[name]
        return ", ".join(f"{s.location.path}:{s.location.line}" for s in spans) or "?"
    found = fact.name if name == "entity" else lookup(fact, name)
    meaning = words.get(name, {})
    if isinstance(found, (list, tuple)):
        return enumerated(found, conjunction) if conjunction else ", ".join(map(str, found))
    if found is None:
        return meaning if isinstance(meaning, str) else "?"
    return str(found) if isinstance(meaning, str) else meaning.get(str(found), str(found))


def enumerated(items: Sequence[object], conjunction: str = "and") -> str:
    """Return a list as a sentence has it: "a, b and c"; of a long one only the first names."""
    texts = [str(item) for item in items]
    if len(texts) > MAX_NAMED + 1:
        texts = [*texts[:MAX_NAMED], f"{len(texts) - MAX_NAMED} more"]
        conjunction = "and"
    head, last = ", ".join(texts[:-1]), texts[-1:]
    return f" {conjunction} ".join([*([head] if head else []), *last])


def described(template: str, words: Words) -> str:
    """Return a template for the manual: its fields as what they mean, not as one host has them."""

    def meaning(match: re.Match[str]) -> str:
        found = words.get(match[1])
        if found is None:  # a user's own rule
            return "the " + match[1].rsplit(".", 1)[-1].replace("_", " ")
        return found if isinstance(found, str) else ", or ".join(dict.fromkeys(found.values()))

    return _PLACEHOLDER.sub(meaning, template)


def lookup(fact: Fact, path: str) -> Any:
    """Return the value at a dotted path, None where it is not known."""
    return _walk(fact.values, path.split("."))


def _walk(value: Any, path: Sequence[str]) -> Any:
    for part in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(part)
    return value


# -- compiling ----------------------------------------------------------------------------------


class _MalformedError(Exception):
    """A rule's document is wrong; the message says how."""


def _not(truth: Truth) -> Truth:
    return None if truth is None else not truth


def _conjunction(truths: Iterable[Truth]) -> Truth:
    result: Truth = True
    for truth in truths:
        if truth is False:
            return False
        if truth is None:
            result = None
    return result


def _disjunction(truths: Iterable[Truth]) -> Truth:
    return _not(_conjunction(_not(truth) for truth in truths))


def _compare(operator: str, expected: Any) -> Callable[[Any], Truth]:
    """Return the test of one value (not None) under an operator of the rule language."""
    if operator == "equals":
        return lambda value: bool(value == expected)
    if operator == "in":
        allowed = list(expected)
        return lambda value: value in allowed
    if operator == "lt":
        return lambda value: bool(value < expected)
    if operator == "gt":
        return lambda value: bool(value > expected)
    if operator == "contains":
        return lambda value: expected in value
    if operator == "matches":
        pattern = compile_pattern(expected) if isinstance(expected, str) else None
        if pattern is None:
            raise _MalformedError("matches needs a regular expression of at most 1000 characters")
        return lambda value: pattern.matches(str(value))
    raise _MalformedError(f"unknown operator {operator!r}{_hint(operator, _OPERATORS)}")


_OPERATORS = (
    "not",
    "lt",
    "gt",
    "exists",
    "contains",
    "matches",
    "same_as",
    "within",
    "covers",
    "any",
    "none",
    "all",
)


def _condition(path: str, condition: Any, outer: str | None, kind: str) -> _FieldTest:
    """Compile the condition on one field."""
    if isinstance(condition, list):
        compare = _compare("in", condition)
    elif not isinstance(condition, Mapping):
        compare = _compare("equals", condition)
    else:
        tests = [
            _operator(path, operator, expected, outer, kind)
            for operator, expected in condition.items()
        ]

        return lambda value, fact, related: _conjunction(
            test(value, fact, related) for test in tests
        )

    def known(value: Any, fact: Fact, related: Fact | None) -> Truth:
        return None if value is None else compare(value)

    return known


def _operator(path: str, operator: str, expected: Any, outer: str | None, kind: str) -> _FieldTest:
    if operator == "exists":
        return lambda value, fact, related: (value is not None) is bool(expected)
    if operator == "not":
        inner = _condition(path, expected, outer, kind)
        return lambda value, fact, related: _not(inner(value, fact, related))
    if operator in ("same_as", "within", "covers"):
        if outer is None:
            other_kind = kind
        else:
            other_kind = outer
        check_field(other_kind, expected)

        def relation(value: Any, fact: Fact, related: Fact | None) -> Truth:
            other = lookup(related if related is not None else fact, expected)
            if value is None or other is None:
                return None
            if operator == "same_as":
                return bool(value == other)
            if operator == "within":
                return value in other if not isinstance(value, list) else set(value) <= set(other)
            return set(other) <= set(value) if isinstance(other, list) else other in value

        return relation
    if operator in ("any", "none", "all"):
        inner = _condition(path, expected, outer, kind)

        def each(value: Any, fact: Fact, related: Fact | None) -> Truth:
            if not isinstance(value, (list, tuple)):
                return None
            truths = (inner(item, fact, related) for item in value)
            if operator == "all":
                return _conjunction(truths)
            found = _disjunction(truths)
            return found if operator == "any" else _not(found)

        return each
    compare = _compare(operator, expected)
    return lambda value, fact, related: None if value is None else compare(value)


_CONNECTIVES = ("either", "unless", "any_of", "none_of")


def _matcher(document: Any, kind: str, outer: str | None = None) -> _Matcher:
    """Compile a mapping of field -> condition; all must hold.

    `either` is a list of such mappings of which one must hold, `unless` one of which none may;
    `any_of` and `none_of` relate this fact to others of the host.
    """
    if not isinstance(document, Mapping):
        raise _MalformedError(f"expected a mapping of facts to conditions, not {document!r}")
    tests = [_clause(name, clause, kind, outer) for name, clause in document.items()]
    if len(tests) == 1:
        return tests[0]
    return lambda fact, facts, related: _conjunction(t(fact, facts, related) for t in tests)


def _clause(name: str, clause: Any, kind: str, outer: str | None) -> _Matcher:
    if name in ("either", "unless"):
        parts = [_matcher(part, kind, outer) for part in clause]
        negate = name == "unless"

        def connect(fact: Fact, facts: Facts, related: Fact | None) -> Truth:
            found = _disjunction(part(fact, facts, related) for part in parts)
            return _not(found) if negate else found

        return connect
    if name in ("any_of", "none_of"):
        return _relation(clause, kind, negate=name == "none_of")
    check_field(kind, name)
    test = _condition(name, clause, outer, kind)
    path = name.split(".")
    return lambda fact, facts, related: test(_walk(fact.values, path), fact, related)


def _relation(document: Any, kind: str, *, negate: bool) -> _Matcher:
    parts = []
    for name, condition in document.items():
        collection = name.removeprefix("host.")
        other = COLLECTIONS.get(collection)
        if other is None:
            raise _MalformedError(f"unknown collection {name!r}{_hint(collection, COLLECTIONS)}")
        parts.append((other, _matcher(condition, other, outer=kind)))

    def relation(fact: Fact, facts: Facts, _related: Fact | None) -> Truth:
        found = _disjunction(
            test(candidate, facts, fact)
            for other, test in parts
            for candidate in facts.get(other, ())
            if candidate is not fact
        )
        return _not(found) if negate else found

    return relation


COLLECTIONS = {
    "services": "service",
    "endpoints": "endpoint",
    "certificates": "certificate",
    "lineages": "lineage",
    "announcements": "announcement",
    "openings": "opening",
    "port_pairs": "port_pair",
    "settings": "setting",
    "dormant": "dormant",
    "sites": "site",
    "redirects": "redirect",
    "upstreams": "upstream",
    "problems": "problem",
    "ignores": "ignore",
    "breakages": "breakage",
    "zones": "zone",
    "published": "published",
    "records": "record",
    "policies": "policy",
    "challenges": "challenge",
    "hooks": "hook",
    "conflicts": "conflict",
    "managers": "manager",
    "expectations": "expectation",
    "translations": "translation",
    "hosts": "host",
}


@cache
def _schema() -> dict[str, Any]:
    import json

    schema: dict[str, Any] = json.loads(schema_text("facts"))["$defs"]
    return schema


def check_kind(kind: str) -> None:
    """Raise if there are no facts of a kind."""
    if kind not in COLLECTIONS.values():
        hint = _hint(str(kind), COLLECTIONS.values())
        raise _MalformedError(f"unknown kind of fact {kind!r}{hint}")


def check_field(kind: str, path: str) -> None:
    """Raise if facts of a kind have no such field (schemas/facts.schema.json)."""
    schema = _schema()
    node = schema[kind]
    done: list[str] = []
    for part in path.split("."):
        while "$ref" in node:
            node = schema[node["$ref"].rsplit("/", 1)[1]]
        properties = node.get("properties", {})
        if part not in properties:
            if node.get("additionalProperties") not in (None, False):
                return
            where = ".".join(done) or kind
            raise _MalformedError(f"{where} has no field {part!r}{_hint(part, properties)}")
        node = properties[part]
        done.append(part)


def _hint(word: str, known: Iterable[str]) -> str:
    import difflib

    close = difflib.get_close_matches(word, list(known), 1)
    return f", did you mean {close[0]!r}?" if close else ""


_KEYS = frozenset(
    {
        "name",
        "severity",
        "summary",
        "each",
        "match",
        "message",
        "clients",
        "related",
        "at",
        "words",
        "fix",
        "advice",
        "why",
        "bad",
        "good",
        "since",
        "references",
        "consequence_of",
        "guards",
        "fails",
        *_CONNECTIVES,
    }
)


def compile_rule(document: Mapping[str, Any], family: str) -> Rule:
    """Compile a rule's document. Raise UsageError if it is malformed."""
    try:
        _check(document)
        rule = _build(document, family, _matcher)
    except _MalformedError as error:
        raise UsageError(f"rule {document.get('name', '?')}: {error}") from None
    return rule


def _check(document: Mapping[str, Any]) -> None:
    """Raise if a document has a key, a severity or a placeholder that means nothing."""
    for key in document:
        if key not in _KEYS:
            raise _MalformedError(f"unknown key {key!r}{_hint(key, _KEYS)}")
    for key in ("name", "severity", "summary", "each", "message", "why"):
        if key not in document:
            raise _MalformedError(f"{key!r} is missing")
    each = document["each"]
    check_kind(each)
    cases, default = _severities(document)
    if any(not isinstance(case, Mapping) or "when" not in case for case in cases):
        raise _MalformedError("severity: all but the last need `when` and `is`")
    if default not in SEVERITIES or any(case.get("is") not in SEVERITIES for case in cases):
        raise _MalformedError(f"a severity is one of {', '.join(SEVERITIES)}")
    for key in ("message", "clients", "advice"):
        for placeholder in placeholders(document.get(key, "")):
            if placeholder not in ("entity", *document.get("related", ())):
                check_field(each, placeholder)


def placeholders(template: str) -> list[str]:
    """Return the fields that a template names."""
    return [match[1] for match in _PLACEHOLDER.finditer(template)]


def _severities(document: Mapping[str, Any]) -> tuple[list[Any], Any]:
    severity = document["severity"]
    cases = [severity] if isinstance(severity, str) else list(severity)
    return cases[:-1], cases[-1]


def _build(document: Mapping[str, Any], family: str, match: Callable[[Any, str], _Matcher]) -> Rule:
    each = document["each"]
    conditions = dict(document.get("match", {}))
    conditions.update({k: document[k] for k in _CONNECTIVES if k in document})
    cases, default = _severities(document)
    return Rule(
        name=document["name"],
        family=family,
        each=each,
        summary=document["summary"],
        why=document["why"],
        test=match(conditions, each),
        severities=tuple((match(case["when"], each), case["is"]) for case in cases),
        default_severity=default,
        message=document["message"],
        clients=document.get("clients", ""),
        fix=document.get("fix", ""),
        advice=document.get("advice", ""),
        related=tuple(document.get("related", ())),
        at=document.get("at", ""),
        words=document.get("words", {}),
        consequence_of=frozenset(document.get("consequence_of", ())),
        document=document,
    )


def _later(document: Any, kind: str) -> _Matcher:
    """Compile a matcher when it is first asked: most rules never meet a fact."""
    made: list[_Matcher] = []

    def test(fact: Fact, facts: Facts, related: Fact | None) -> Truth:
        if not made:
            made.append(_matcher(document, kind))
        return made[0](fact, facts, related)

    return test


COMPILED = "compiled.json"
OWN = "own"  # the family of a user's rules


@cache
def bundled() -> tuple[Rule, ...]:
    """Return the rules that come with sslint, by family and name.

    They are read from one JSON file that `make docs` makes of the YAML files, and compiled when
    they are needed: it would be a fifth of the time of a run. The tests check each of them.
    """
    import json

    text = read_bundled(compiled_path())
    return tuple(
        _build(document, family, _later)
        for family, documents in json.loads(text).items()
        for document in documents
    )


def compiled_path() -> Path:
    """Return where the compiled rules lie."""
    return _directory("rules") / COMPILED


def sources() -> dict[str, list[dict[str, Any]]]:
    """Return the documents of the bundled rules as their YAML files have them, by family."""
    import yaml

    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(_directory("rules").glob("*/*.yaml")):
        document = yaml.safe_load(read_bundled(path))
        found.setdefault(path.parent.name, []).append(document)
    return found


def _directory(name: str) -> Path:
    """Return where the data of a package lies; importlib.resources would cost 10 ms at start."""
    from importlib import import_module

    return Path(import_module(f"sslint.{name}").__path__[0])


def schema_text(name: str) -> str:
    """Return one of the JSON Schemas that come with sslint."""
    return read_bundled(_directory("schemas") / f"{name}.schema.json")


def load(files: Iterable[tuple[str, bytes]]) -> list[Rule]:
    """Return a user's rules, one a file.

    A user's rule is checked against schemas/rule.schema.json. Raise UsageError.
    """
    from sslint import yamlfile

    rules = []
    for name, data in files:
        document = yamlfile.read(name, data, fractions=True)
        yamlfile.validate(document, "rule")
        try:
            rules.append(compile_rule(document.values, OWN))
        except UsageError as error:
            raise UsageError(f"{document.name}: {error}") from None
    return rules


def select(
    rules: Sequence[Rule], chosen: Sequence[str] = (), ignored: Sequence[str] = ()
) -> tuple[list[Rule], list[Rule]]:
    """Return the rules named (by rule or family) in `chosen`, all if empty, in two lists: those
    that are not in `ignored`, and those that are.

    Raise UsageError for a name that is neither.
    """
    known = {r.name for r in rules} | {r.family for r in rules}
    for name in (*chosen, *ignored):
        if name not in known:
            shown = f"named {name!r}" if _NAME.fullmatch(name) else "of a name that was given"
            raise UsageError(f"no rule or family is {shown}{_hint(name[:80], known)}")
    wanted: list[Rule] = []
    deselected: list[Rule] = []
    for rule in rules:
        names = {rule.name, rule.family}
        if not chosen or names.intersection(chosen):
            (deselected if names.intersection(ignored) else wanted).append(rule)
    return wanted, deselected
