"""Rich rules as `firewall-cmd --add-rich-rule` takes them (firewalld.richlanguage(5))."""

from __future__ import annotations

import shlex
from xml.sax.saxutils import quoteattr  # nosec B406

from sslint.firewalls.firewalld import stock
from sslint.firewalls.firewalld.elements import InvalidFile
from sslint.firewalls.firewalld.rules import read_zone
from sslint.firewalls.scripts.ends import UnsureError
from sslint.source import SourceFile

_LIMITED = frozenset(("log", "audit", "accept", "reject", "drop"))
_ATTRIBUTES: dict[str, frozenset[str]] = {
    "rule": frozenset(("family", "priority")),
    "source": frozenset(("address", "mac", "not", "NOT")),
    "destination": frozenset(("address", "not", "NOT")),
    "service": frozenset(("name",)),
    "port": frozenset(("port", "protocol")),
    "source-port": frozenset(("port", "protocol")),
    "protocol": frozenset(("value",)),
    "icmp-block": frozenset(("name",)),
    "masquerade": frozenset(),
    "forward-port": frozenset(("port", "protocol", "to-port", "to-addr")),
    "log": frozenset(("prefix", "level")),
    "audit": frozenset(),
    "accept": frozenset(),
    "reject": frozenset(("type",)),
    "drop": frozenset(),
    "limit": frozenset(("value", "burst")),
}
_KNOWN = {"service": "services", "icmp-block": "icmptypes"}
_NOT_READ = UnsureError("a rich rule that firewall-cmd is told is not read")


def element(text: str) -> str:
    """Return a rich rule as an element of a zone file; rules that are one are alike.

    Raise UnsureError for what is not read, or what firewalld would refuse.
    """
    parts = _parts(text)
    known = all(
        dict(attributes).get("name") in stock.names(kind)
        for name, kind in _KNOWN.items()
        for attributes in (parts.get((name, "")),)
        if attributes is not None
    )
    if not known:
        raise _NOT_READ
    order = list(_ATTRIBUTES)
    inner = ""
    for (name, within), attributes in sorted(parts.items(), key=lambda one: order.index(one[0][0])):
        if name == "rule" or within:
            continue
        limit = parts.get(("limit", name))
        inside = _written("limit", limit) + "/>" if limit is not None else ""
        opened = _written(name, attributes)
        inner += f"{opened}>{inside}</{name}>" if inside else f"{opened}/>"
    found = f"{_written('rule', parts['rule', ''])}>{inner}</rule>"
    try:
        read_zone(SourceFile("zone.xml", "zone.xml", f"<zone>\n{found}\n</zone>\n"), "zone")
    except InvalidFile:
        raise _NOT_READ from None
    return found


def _parts(text: str) -> dict[tuple[str, str], dict[str, str]]:
    """Return the attributes of each element, by its name and the one that it limits."""
    try:
        words = shlex.split(text)
    except ValueError:
        raise _NOT_READ from None
    if words[:1] != ["rule"] or not text.isprintable():
        raise _NOT_READ
    here: dict[str, str] = {}
    parts = {("rule", ""): here}
    name = "rule"
    for word in words[1:]:
        key, equals, value = word.partition("=")
        if equals or word in ("not", "NOT"):
            if (
                key not in _ATTRIBUTES[name]
                or key in here
                or "=" in value
                or (equals and not value)
            ):
                raise _NOT_READ
            here["invert" if not equals else key] = value or "true"
            continue
        within = name if word == "limit" else ""
        if (
            word not in _ATTRIBUTES
            or (word, within) in parts
            or (within and within not in _LIMITED)
        ):
            raise _NOT_READ
        name, here = word, {}
        parts[word, within] = here
    return parts


def _written(name: str, attributes: dict[str, str]) -> str:
    pairs = (f"{key}={quoteattr(value)}" for key, value in sorted(attributes.items()))
    return " ".join((f"<{name}", *pairs))


def priority(rule: str) -> str:
    """Return the priority that an element of a zone file is written with."""
    _, found, rest = rule.partition(">")[0].partition("priority=")
    return rest.strip("'\"") if found else "0"
