"""YAML that people write: plain data, the line of every key, and errors that quote no value."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sslint.errors import UsageError, did_you_mean
from sslint.regex import regex
from sslint.values import dataclass, field

if TYPE_CHECKING:
    from yaml.nodes import MappingNode, Node, ScalarNode

MAX_SIZE = 1 << 18  # bytes; the parser takes some seconds for a megabyte
MAX_VALUES = 50_000  # with what aliases repeat
MAX_DEPTH = 32
_TAG = "tag:yaml.org,2002:"
_INTEGER = regex(r"[-+]?(0|[1-9][0-9]{0,17})")
_FLOAT = regex(r"[-+]?[0-9]{1,17}\.[0-9]{1,17}")
_SHOWN = regex(r"[\w./:*-]{1,32}")
_TRUE = frozenset({"yes", "true", "on"})

Where = tuple[str | int, ...]
"""A key's path, such as ("hosts", "web", "firewall", 0)."""


@dataclass(slots=True)
class Document:
    """What a file says, and the line (from 1) on which each key stands."""

    name: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[Where, int] = field(default_factory=dict)

    def line(self, where: Where) -> int:
        """Return the line of a key, or of the nearest one above it; 0 where there is none."""
        while where and where not in self.lines:
            where = where[:-1]
        return self.lines.get(where, 0)

    def error(self, where: Where, sentence: str) -> UsageError:
        """Return the error of a key: "FILE:LINE: SENTENCE"."""
        line = self.line(where)
        place = f"{self.name}:{line}: " if line else f"{self.name}: " if self.name else ""
        return UsageError(place + sentence)

    def refuse(self, where: Where, text: str) -> UsageError:
        """Return the error that a key is not what it must be: "FILE:LINE: KEY TEXT"."""
        return self.error(where, f"{dotted(where)} {text}" if where else text)


def dotted(where: Where) -> str:
    """Return a key's path as messages name it; what may be anything else is not quoted."""
    return ".".join(str(part) if _SHOWN.fullmatch(str(part)) else "..." for part in where)


def display(path: Path) -> str:
    """Return what messages call a file: from where the user stands if it lies below."""
    try:
        return path.relative_to(os.getcwd()).as_posix()
    except ValueError:
        return str(path)


def read(name: str, data: bytes, *, fractions: bool = False) -> Document:
    """Return what a file says. Raise UsageError.

    All scalars but null, booleans and decimal integers are text as written (1.10 is a version);
    with `fractions` decimal fractions are numbers too.
    """
    return _Reader(name, fractions).read(data)


class _Reader:
    def __init__(self, name: str, fractions: bool) -> None:
        self.document = Document(name)
        self.fractions = fractions
        self.left = MAX_VALUES
        self.merging = 0  # merges of merges of ...

    def read(self, data: bytes) -> Document:
        import yaml

        name = self.document.name
        try:
            text = data.decode("utf-8-sig")
            node = yaml.compose(text, Loader=yaml.SafeLoader)
        except UnicodeDecodeError:
            raise UsageError(f"{name}: is not UTF-8 text") from None
        except (ValueError, yaml.YAMLError, RecursionError) as error:
            place = f"{name}:{_line(text, error)}"
            tabs = any(line.startswith("\t") for line in text.split("\n"))
            tip = "YAML is indented by spaces, not by tabs" if tabs else None
            raise UsageError(f"{place}: is not valid YAML", tip=tip) from None
        if node is not None:
            self.document.values = self.value(node, ())
        if not isinstance(self.document.values, dict):
            raise UsageError(f"{name}:1: use lines of the form `name: value`")
        return self.document

    def value(self, node: Node, where: Where) -> Any:
        import yaml

        self.count(len(where))
        self.document.lines.setdefault(where, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, where)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*where, index)) for index, item in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)
        return self.scalar(node, where)

    def count(self, depth: int) -> None:
        """Count a value, or a mapping that is merged into another. Raise UsageError."""
        self.left -= 1
        if self.left < 0 or depth > MAX_DEPTH:
            raise self.document.refuse((), "holds more than a configuration can")

    def mapping(self, node: MappingNode, where: Where) -> dict[str, Any]:
        found: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        first: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.tag == f"{_TAG}merge":
                several = value.value if value.id == "sequence" else [value]
                if any(one.id != "mapping" for one in several):
                    self.document.lines[*where, "<<"] = line
                    raise self.document.refuse((*where, "<<"), "must be a mapping or some of them")
                self.merging += 1
                for one in several:
                    self.count(self.merging)
                    merged = {**self.mapping(one, where), **merged}
                self.merging -= 1
                continue
            name = key.value if key.id == "scalar" else ""
            if not isinstance(name, str) or not name:
                self.document.lines[where] = line
                raise self.document.refuse(where, "has a key that is not text")
            self.document.lines[*where, name] = line
            if name in first:
                raise self.document.refuse(
                    (*where, name), f"is given twice, first on line {first[name]}"
                )
            first[name] = line
            found[name] = self.value(value, (*where, name))
        return {**merged, **found}

    def scalar(self, node: ScalarNode, where: Where) -> Any:
        text: str = node.value
        kind = node.tag.removeprefix(_TAG)
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() in _TRUE
        if kind == "int" and _INTEGER.fullmatch(text):
            return int(text)
        if kind == "float" and self.fractions and _FLOAT.fullmatch(text):
            return float(text)
        if kind not in ("str", "int", "float", "timestamp", "value"):
            raise self.document.refuse(where, "must have no YAML tag")
        return text


def _line(text: str, error: Exception) -> int:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is not None:
        return min(int(mark.line), text.rstrip().count("\n")) + 1
    position = getattr(error, "position", 0)
    return text.count("\n", 0, position if isinstance(position, int) else 0) + 1


# -- what a schema refuses, in plain words --------------------------------------------------------


def properties(schema: str) -> set[str]:
    """Return the keys that one of sslint's schemas has at its top."""
    import json

    from sslint.bundled import schema_text

    return set(json.loads(schema_text(schema))["properties"])


def validate(document: Document, schema: str) -> None:
    """Check a document against one of sslint's schemas. Raise UsageError for its first error."""
    import json

    import jsonschema

    from sslint.bundled import schema_text

    validator = jsonschema.Draft202012Validator(json.loads(schema_text(schema)))
    errors = [found for error in validator.iter_errors(document.values) for found in _said(error)]
    if errors:
        raise document.error(*min(errors, key=lambda error: document.line(error[0])))


def _said(error: Any) -> Iterator[tuple[Where, str]]:
    """Yield where an error of jsonschema is and a sentence; its own words quote values."""
    where: Where = tuple(error.absolute_path)
    schema, keyword, limit = error.schema, error.validator, error.validator_value
    must = _expected(schema, keyword, limit, error.instance)
    if keyword == "additionalProperties":
        known = schema.get("properties", {})
        for key in error.instance:
            if key not in known:
                yield (*where, key), _unknown((*where, key), known)
    elif "propertyNames" in error.schema_path:
        key = (*where, error.instance)
        yield key, _unknown(key, limit) if keyword == "enum" else f"{dotted(key)} {must}"
    else:
        yield where, f"{dotted(where)} {must}".lstrip()


def _unknown(where: Where, known: Iterable[str]) -> str:
    return f"unknown setting {dotted(where)}{did_you_mean(str(where[-1]), known)}"


def _expected(schema: Any, keyword: str, limit: Any, value: Any) -> str:
    if keyword == "required":
        return f"needs {' and '.join(key for key in limit if key not in value)}"
    if "expected" in schema:
        return f"must be {schema['expected']}"
    if keyword in ("minItems", "minProperties", "minLength"):
        return "must not be empty"
    if keyword == "enum":
        return f"must be {_either(limit)}"
    if keyword == "type":
        names = [limit] if isinstance(limit, str) else limit
        return f"must be {_either([_TYPES[name] for name in names])}"
    return "has a value that is not valid here"


def _either(items: Sequence[object]) -> str:
    *others, last = map(str, items)
    return f"{', '.join(others)} or {last}" if others else last


_TYPES = {
    "array": "a list",
    "object": "a mapping",
    "string": "text",
    "integer": "a number",
    "number": "a number",
    "boolean": "yes or no",
    "null": "empty",
}
