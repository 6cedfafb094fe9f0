"""What rules may ask for, written from the classes of the facts: the JSON Schema and the manual."""

from __future__ import annotations

import ast
import json
import sys
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

from sslint import facts
from sslint.bundled import schema_text
from sslint.engine import Span
from sslint.engine.vocabulary import plural
from sslint.facts.collection import Facts
from sslint.facts.fact import Fact, Fields
from sslint.servers import servers
from sslint.tree import read_bundled

SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "The facts that rules look at",
    "description": "Written by `make docs` from the classes in linter/sslint/facts. `kinds` are "
    "the kinds of fact (a rule's `each`). A field that is null is not known, and fires no rule.",
}
PLACE = {"type": "object", "description": "A place, for a rule's `related` and `at`."}
_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}
_HEAD = """# Facts

What rules may ask for, written by `make docs` from the classes in `linter/sslint/facts/`. A field
that is not known (`?`) makes no condition true. Fields marked "places" are lines of files, for a
rule's `related` and `at`; `{entity}` is what reports call the fact.
"""


def kinds() -> dict[str, type[Fact]]:
    """Return the class of each kind of fact."""
    found = {}
    for name, made in vars(Facts).items():
        kind = _kind(name) if hasattr(made, "fget") else None
        if kind is not None and made.fget.__annotations__["return"].startswith(("list[", "Many[")):
            [item] = typing.get_args(_hints(made.fget)["return"])
            if issubclass(item, Fact):
                found[kind] = item
    return found


def _kind(collection: str) -> str | None:
    """Return the kind whose facts a property of `Facts` has."""
    for kind in (collection, f"{collection[:-3]}y", collection[:-1]):
        if plural(kind) == collection and not collection.startswith("_"):
            return kind
    return None


def schema() -> str:
    """Return schemas/facts.schema.json."""
    by_class: dict[type, str] = {cls: kind for kind, cls in kinds().items()}
    own = list(by_class.values())
    defs: dict[str, Any] = {"place": PLACE}
    waiting = list(by_class)
    while waiting:
        cls = waiting.pop(0)
        properties = {}
        for name, hint, text in fields(cls):
            for part in _parts(hint):
                if part not in by_class:
                    by_class[part] = _snake(part.__name__)
                    waiting.append(part)
            properties[name] = {**_schema(hint, by_class), "description": text}
        text = _text(cls.__doc__ or "")
        defs[by_class[cls]] = {"type": "object", "description": text, "properties": properties}
    return _shown({**SCHEMA, "kinds": own, "$defs": defs}) + "\n"


def settings_schema() -> str:
    """Return schemas/config.schema.json with the keys of servers as their registry has them."""
    schema = json.loads(schema_text("config"))
    keyed = [one for one in servers() if one.key]
    host, versions = schema["$defs"]["host"], schema["$defs"]["versions"]
    own = {name: one for name, one in host["properties"].items() if one.get("x-server") is None}
    root = {"root": own.pop("root")}
    keys = {one.name: {"type": "string", "description": one.key, "x-server": True} for one in keyed}
    host["properties"] = {**root, **keys, **own}
    named = [*(one.name for one in keyed), "firewalld", "ufw"]
    versions["propertyNames"] = {"enum": named}
    versions["description"] = f"Versions of {', '.join(named)} where the files do not say."
    return json.dumps(schema, indent=2) + "\n"


def _shown(value: Any, depth: int = 0) -> str:
    """Return JSON with a line for each field."""
    if depth == 4 or not isinstance(value, dict):
        return json.dumps(value)
    margin = "  " * (depth + 1)
    items = (f"{margin}{json.dumps(key)}: {_shown(one, depth + 1)}" for key, one in value.items())
    return "{\n" + ",\n".join(items) + "\n" + margin[2:] + "}"


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


def fields(cls: type) -> Iterator[tuple[str, Any, str]]:
    """Yield the fields of a class: name, type and text, in the order of the source."""
    inherited = set(dir(Fact))
    for base in reversed(cls.__mro__):
        if _is_part(base) and base not in (Fact, Fields):
            texts = {**_texts_of_source(base), **_attribute_texts(base)}
            for name, hint in _hints(base).items():
                yield name, hint, texts.get(name, "")
            for name, made in vars(base).items():
                if type(made).__name__ == "field" and name[0] != "_" and name not in inherited:
                    yield name, _hints(made.fget)["return"], _text(made.__doc__)


def _texts_of_source(cls: type) -> Mapping[str, str]:
    """Return the texts of another fact that a class is made of."""
    made_of = _namespace().get(str(cls.__annotations__.get("source")))
    if made_of is None or not _is_part(made_of):
        return {}
    return {name: text for name, _, text in fields(made_of)}


def _attribute_texts(cls: type) -> Mapping[str, str]:
    """Return the text below each annotation of a class."""
    source = read_bundled(Path(str(sys.modules[cls.__module__].__file__)))
    classes = {n.name: n.body for n in ast.parse(source).body if isinstance(n, ast.ClassDef)}
    body = classes[cls.__name__]
    return {
        node.target.id: _text(str(below.value.value))
        for node, below in pairwise(body)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
    }


def _text(docstring: str) -> str:
    return " ".join(docstring.partition("\n\n")[0].split())


def _hints(thing: Any) -> dict[str, Any]:
    """Return the types of a class's annotations or of what a function returns."""
    names = {**_namespace(), **vars(sys.modules[thing.__module__])}
    return {
        name: eval(getattr(text, "__forward_arg__", text), names)  # noqa: S307 # nosec B307
        for name, text in thing.__annotations__.items()
        if name != "source"
    }


@cache
def _namespace() -> dict[str, Any]:
    """Return what the modules of the facts import for the type checker alone."""
    found: dict[str, Any] = {}
    own: dict[str, Any] = {}
    for info in iter_modules(facts.__path__):
        module = import_module(f"sslint.facts.{info.name}")
        found |= vars(module)
        for name, made in vars(module).items():
            if getattr(made, "__module__", "") == module.__name__:
                own[name] = made
    return found | own


def _is_part(hint: Any) -> bool:
    """Tell whether a type has fields of its own."""
    return isinstance(hint, type) and (issubclass(hint, Fields) or hasattr(hint, "_fields"))


def _parts(hint: Any) -> Iterable[type]:
    if _is_part(hint):
        yield hint
    for item in typing.get_args(hint):
        yield from _parts(item)


def _schema(hint: Any, names: Mapping[type, str]) -> dict[str, Any]:
    """Return the JSON Schema of a type."""
    origin, items = typing.get_origin(hint), typing.get_args(hint)
    if hint in _TYPES:
        return {"type": _TYPES[hint]}
    if hint is Span:
        return {"$ref": "#/$defs/place"}
    if _is_part(hint):
        return {"$ref": f"#/$defs/{names[hint]}"}
    if origin is typing.Literal:
        return {"enum": list(items)}
    if origin in (typing.Union, types.UnionType):
        return _either([_schema(item, names) for item in items])
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _schema(items[1], names)}
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return {"type": "array", "items": _schema(items[0], names)}
    raise TypeError(f"a field of type {hint}: rules cannot ask for it")


def _either(schemas: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Join the schemas of a union: codes, or a type that may be null."""
    null = {"type": "null"}
    some = [one for one in schemas if one != null]
    if all("enum" in one for one in some):
        codes = [code for one in some for code in one["enum"]]
        return {"enum": codes + ([None] if null in schemas else [])}
    [only] = some
    if "$ref" in only or null not in schemas:
        return only
    return {**only, "type": [only["type"], "null"]}


def manual() -> str:
    """Return docs/facts.md."""
    document = json.loads(schema())
    lines = [_HEAD]
    parts = [name for name in document["$defs"] if name not in (*document["kinds"], "place")]
    for title, names in (("Kinds of fact", document["kinds"]), ("Parts of facts", parts)):
        lines += [f"## {title}", ""]
        for name in names:
            node = document["$defs"][name]
            lines += [f"### {name}", "", node["description"], "", "| field | what | values |"]
            lines += ["|---|---|---|"]
            lines += [
                f"| `{field}` | {said['description']} | {_values(said)} |"
                for field, said in node["properties"].items()
            ]
            lines += [""]
    return "\n".join(lines).rstrip("\n") + "\n"


def _values(said: Mapping[str, Any]) -> str:
    """Return what the values of a field may be, for the manual."""
    if "$ref" in said:
        return f"[{(name := said['$ref'].rsplit('/', 1)[1])}](#{name})"
    if "enum" in said:
        return ", ".join("?" if one is None else f"`{one}`" for one in said["enum"])
    types_ = [said["type"]] if isinstance(said["type"], str) else said["type"]
    if "array" in types_:
        of = "places" if said["items"].get("$ref") else f"list: {_values(said['items'])}"
        return of + (", ?" if "null" in types_ else "")
    return ", ".join("?" if one == "null" else one for one in types_)
