"""The services, zones, policies, ICMP types and helpers that firewalld itself ships.

They stand in stock.json, as facts: of version 2.3.1 and, for the zones of Fedora, of its package,
for trees that hold only etc/. A service is
one line of words: `443/tcp`, `sport:137/udp`, `proto:47`, `include:`, `helper:`, `module:`,
`ipv4:` and `ipv6:` for a destination.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from sslint.source import SourceFile
from sslint.tree import read_bundled

DIRECTORY = "/usr/lib/firewalld"
_WORDS = {
    "include": ("include", "service"),
    "helper": ("helper", "name"),
    "module": ("module", "name"),
    "proto": ("protocol", "value"),
    "ipv4": ("destination", "ipv4"),
    "ipv6": ("destination", "ipv6"),
}


@cache
def facts() -> dict[str, Any]:
    """Return the bundled table."""
    text = read_bundled(Path(__file__).with_name("stock.json"))
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def names(kind: str) -> list[str]:
    """Return the names of all stock objects of a kind: services, zones, icmptypes ..."""
    return list(facts()[kind])


def file(kind: str, name: str) -> SourceFile | None:
    """Return a stock object as firewalld would write it, or None if there is no such one."""
    fact = facts()[kind].get(name)
    if fact is None:
        return None
    path = f"{DIRECTORY}/{kind}/{name}.xml"
    return SourceFile(path, path.lstrip("/"), _WRITERS[kind](fact))


def _element(tag: str, attributes: dict[str, str]) -> str:
    words = [tag, *(f'{key}="{value}"' for key, value in attributes.items())]
    return f"<{' '.join(words)}/>"


def _service(fact: str) -> str:
    lines = ["<service>"]
    for word in fact.split():
        kind, colon, value = word.partition(":")
        if colon and kind in _WORDS:
            element, attribute = _WORDS[kind]
            lines.append("  " + _element(element, {attribute: value}))
        else:
            port, _, protocol = (value if colon else word).partition("/")
            element = "source-port" if colon else "port"
            lines.append("  " + _element(element, {"port": port, "protocol": protocol}))
    return "\n".join([*lines, "</service>", ""])


def _rules(fact: dict[str, Any]) -> str:
    """Write a zone or policy; `elements` are [name, attributes, inner elements]."""

    return "\n".join([*_tree(fact["element"], ""), ""])


def _tree(element: Any, indent: str) -> list[str]:
    name, attributes, inner = element
    if not inner:
        return [indent + _element(name, attributes)]
    lines = [indent + _element(name, attributes)[:-2] + ">"]
    for child in inner:
        lines += _tree(child, indent + "  ")
    return [*lines, f"{indent}</{name}>"]


def _icmptype(fact: str) -> str:
    if not fact:
        return "<icmptype/>\n"
    families = dict.fromkeys(fact.split(), "yes")
    return f"<icmptype>\n  {_element('destination', families)}\n</icmptype>\n"


def _helper(fact: str) -> str:
    return _element("helper", {"module": fact}) + "\n"


_WRITERS: dict[str, Callable[[Any], str]] = {
    "services": _service,
    "zones": _rules,
    "policies": _rules,
    "icmptypes": _icmptype,
    "helpers": _helper,
}
