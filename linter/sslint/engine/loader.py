"""Rules: what a document says, checked and compiled into what runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from itertools import takewhile
from typing import Any, Literal

from sslint.bundled import directory
from sslint.engine import compiled
from sslint.engine.language import CONNECTIVES, Compiler, Fact, Matcher, later
from sslint.engine.vocabulary import (
    MalformedError,
    check_code,
    check_field,
    check_kind,
    check_places,
    hint,
    plural,
)
from sslint.engine.words import Words, placeholders
from sslint.errors import UsageError
from sslint.regex import regex
from sslint.values import dataclass

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")
MAX_RULE = 1 << 20  # bytes of a user's rule
OWN = "own"  # the family of a user's rules
_NAME = regex(r"[a-z0-9-]{1,60}")  # another may be anything, and is not repeated


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, compiled. `each` is the kind of fact it looks at.

    `at` names the places of which the first is where a finding stands; "" means the fact's own.
    `words` say in English what the codes of a field mean, or what a field is where its value is
    not known. `values` are the first of its conditions, as far as they name one value of a field.
    """

    name: str
    family: str
    each: str
    summary: str
    why: str
    test: Matcher
    severities: tuple[tuple[Matcher, Severity], ...]
    default_severity: Severity
    message: str
    clients: str
    fix: str
    advice: str
    related: tuple[str, ...]
    at: str
    words: Words
    consequence_of: frozenset[str]
    values: tuple[tuple[str, Any], ...]
    document: Mapping[str, Any]

    def severity(self, fact: Fact, facts: object) -> Severity:
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

    @property
    def collection(self) -> str:
        """The facts that it looks at, as the host has them: `services`."""
        return plural(self.each)


_NEEDED = ("name", "severity", "summary", "each", "message", "why")
_SAID = ("message", "clients", "advice")
_MANUAL = ("bad", "good", "since", "references", "guards")
_SHOWN = ("related", "at", "words", "fix", "edit", "consequence_of")
_KEYS = frozenset((*_NEEDED, "match", *CONNECTIVES, *_SAID, *_SHOWN, *_MANUAL))


def compile_rule(document: Mapping[str, Any], family: str) -> Rule:
    """Compile a rule's document. Raise UsageError if it is malformed."""
    try:
        _check(document)
        return _build(document, family, Compiler(strict=True).matcher)
    except MalformedError as error:
        raise UsageError(f"rule {document.get('name', '?')}: {error}") from None


def _check(document: Mapping[str, Any]) -> None:
    """Raise if a document has a key, a severity or a placeholder that means nothing."""
    for key in document:
        if key not in _KEYS:
            raise MalformedError(f"unknown key {key!r}{hint(key, _KEYS)}")
    for key in _NEEDED:
        if key not in document:
            raise MalformedError(f"{key!r} is missing")
    each = document["each"]
    check_kind(each)
    cases, default = _severities(document)
    if any(not isinstance(case, Mapping) or "when" not in case for case in cases):
        raise MalformedError("severity: all but the last need `when` and `is`")
    if default not in SEVERITIES or any(case.get("is") not in SEVERITIES for case in cases):
        raise MalformedError(f"a severity is one of {', '.join(SEVERITIES)}")
    for name in (*document.get("related", ()), *([document["at"]] if "at" in document else [])):
        check_places(each, name)
    words: Words = document.get("words", {})
    templates = [document.get(key, "") for key in _SAID]
    for name, own in words.items():
        check_field(each, name)
        templates += [own] if isinstance(own, str) else own.values()
        for code in () if isinstance(own, str) else {*own} - {"*", "unknown"}:
            check_code(each, name, code)
    for placeholder in (name for template in templates for name in placeholders(template)):
        if placeholder != "entity":
            check_field(each, placeholder)


def _severities(document: Mapping[str, Any]) -> tuple[list[Any], Any]:
    severity = document["severity"]
    cases = [severity] if isinstance(severity, str) else list(severity)
    return cases[:-1], cases[-1]


def _build(document: Mapping[str, Any], family: str, match: Callable[[Any, str], Matcher]) -> Rule:
    each = document["each"]
    conditions = dict(document.get("match", {}))
    conditions.update({k: document[k] for k in CONNECTIVES if k in document})
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
        values=tuple(takewhile(_names_value, conditions.items())),
        document=document,
    )


def _names_value(condition: tuple[str, Any]) -> bool:
    """Tell whether a condition is that a field of the fact itself has one value."""
    name, expected = condition
    return "." not in name and isinstance(expected, str | int)


@cache
def bundled() -> tuple[Rule, ...]:
    """Return the rules that come with sslint, by family and name.

    Their conditions are compiled when they are needed: it would be a fifth of the time of a run.
    The tests check each of them.
    """
    return tuple(
        _build(document, family, later)
        for family, documents in compiled.documents(directory("rules")).items()
        for document in documents
    )


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
            raise UsageError(f"no rule or family is {shown}{hint(name[:80], known)}")
    wanted: list[Rule] = []
    deselected: list[Rule] = []
    for rule in rules:
        names = {rule.name, rule.family}
        if not chosen or names.intersection(chosen):
            (deselected if names.intersection(ignored) else wanted).append(rule)
    return wanted, deselected
