"""What rules may ask for: the kinds of facts and their fields, as schemas/facts.schema.json says.

That file is written from the classes in `sslint.facts` (`make docs`). Rules are checked against it
when they are written; nobody asks for it when the bundled ones run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from sslint.bundled import schema_text


class MalformedError(Exception):
    """A rule's document is wrong; the message says how."""


@cache
def plural(kind: str) -> str:
    """Return what the facts of a kind are together: `host.services`."""
    if kind in ("dormant", "published"):
        return kind
    return f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}s"


@cache
def _schema() -> dict[str, Any]:
    import json

    schema: dict[str, Any] = json.loads(schema_text("facts"))
    return schema


def check_kind(kind: object) -> None:
    """Raise if there are no facts of a kind."""
    kinds: list[str] = _schema()["kinds"]
    if kind not in kinds:
        raise MalformedError(f"unknown kind of fact {kind!r}{hint(str(kind), kinds)}")


def kind_of(collection: str) -> str:
    """Return the kind of the facts of a collection, or raise."""
    known: dict[str, str] = {f"host.{plural(kind)}": kind for kind in _schema()["kinds"]}
    if collection not in known:
        raise MalformedError(f"unknown collection {collection!r}{hint(collection, known)}")
    return known[collection]


def check_field(kind: str, path: str) -> Mapping[str, Any]:
    """Return the schema of a field of a kind's facts, or raise if there is none."""
    defs = _schema()["$defs"]
    node = defs[kind]
    done: list[str] = []
    for part in path.split("."):
        properties = node.get("properties", {})
        if part not in properties:
            if node.get("additionalProperties") not in (None, False):
                node = node["additionalProperties"]
                break
            where = ".".join(done) or kind
            raise MalformedError(f"{where} has no field {part!r}{hint(part, properties)}")
        node = properties[part]
        if "$ref" in node:
            node = defs[node["$ref"].rsplit("/", 1)[1]]
        done.append(part)
    found: Mapping[str, Any] = node
    return found


def check_value(node: Mapping[str, Any], value: object) -> None:
    """Raise if a field never has a value: one of its codes is misspelt."""
    codes = node.get("enum")
    if codes is not None and value not in codes:
        known = [str(code) for code in codes if code is not None]
        raise MalformedError(f"{value!r} is none of {', '.join(known)}{hint(str(value), known)}")


def check_type(node: Mapping[str, Any], *types: str) -> None:
    """Raise if the values of a field are of other types than an operator takes."""
    found = node.get("type", [])
    own = {found} if isinstance(found, str) else set(found)
    if node and not own - {"null"} <= set(types):
        raise MalformedError(f"the operator needs {' or '.join(types)}, and this field has others")


def check_code(kind: str, path: str, code: str) -> None:
    """Raise if a field, or the items of a list, never have a code for which there is a word."""
    node = check_field(kind, path)
    check_value(node.get("items", node), code)


def check_places(kind: str, path: str) -> None:
    """Raise if a field holds no places."""
    if check_field(kind, path).get("items") != {"$ref": "#/$defs/place"}:
        raise MalformedError(f"{path} holds no places")


def hint(word: str, known: Iterable[str]) -> str:
    """Return ", did you mean ...?" if a word is close to a known one."""
    import difflib

    close = difflib.get_close_matches(word, list(known), 1)
    return f", did you mean {close[0]!r}?" if close else ""
