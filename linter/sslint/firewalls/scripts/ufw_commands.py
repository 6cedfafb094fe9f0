"""What the words of a `ufw` command that is about a rule say (ufw/parser.py of ufw 0.36.2)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

from sslint.firewalls.scripts.ends import UnsureError
from sslint.firewalls.scripts.ufw_applications import (
    IPV4_ONLY,
    known_protocol,
    port_and_protocol,
    ports,
    service_protocol,
    valid_name,
)
from sslint.firewalls.scripts.ufw_rules import ANYWHERE, Families, RefusedError, Rule
from sslint.regex import regex
from sslint.source import Location
from sslint.values import dataclass, replace

ACTIONS = ("allow", "deny", "reject", "limit")
VERBS = frozenset((*ACTIONS, "insert", "delete", "prepend"))
_NUMERIC = regex(r"\d(?:[0-9,:]*\d)?", re.ASCII)
_INTERFACE = regex(r"[\w.+,=%@-]{1,15}", re.ASCII)
_KEYS = frozenset(("proto", "from", "to", "port", "app", "in", "out"))
_AT_MOST = {"to": 1, "from": 1, "proto": 1, "port": 2, "in": 1, "out": 1, "app": 2}


@dataclass(frozen=True, slots=True)
class Command:
    """One command: a rule that is added at a position (0: the end) or removed."""

    rule: Rule
    families: Families
    position: int = 0
    remove: bool = False
    number: int | None = None  # of the rule that is removed


def parsed(words: Sequence[str], where: Location) -> Command:
    """Read `[route] [insert N|prepend|delete] ACTION ...`.

    Raise RefusedError for what ufw does not take, UnsureError for what is not read.
    """
    if words[0].lower() == "route":
        return _route([*words], where)
    return _parsed([*words], where)


def _route(words: list[str], where: Location) -> Command:
    """Read a route rule, which may have two interfaces (`UFWCommandRouteRule`)."""
    if words[0] != "route":
        raise RefusedError
    if "delete" in words:
        follows = words[words.index("delete") + 1 :]
        if not follows or _whole(follows[0]) is not None:
            raise RefusedError
    text = " ".join(words)
    second = interface = ""
    if " in on " in text and " out on " in text:
        if not {"in", "out"} <= set(words):
            raise RefusedError
        second = "in" if words.index("in") > words.index("out") else "out"
        at = words.index(second)
        if len(words) < at + 3:
            raise RefusedError
        interface = words[at + 2]
        del words[at : at + 3]
    elif (
        not re.search(r" (?:in|out) on ", text)
        and not re.search(r" app (?:in|out) ", text)
        and (" in " in text or " out " in text)
    ):
        raise RefusedError
    command = _parsed(words[1:], where)
    rule = replace(command.rule, forward=True)
    if interface:
        rule = _through(rule, second, interface)
    return replace(command, rule=rule)


def _whole(text: str) -> int | None:
    """Return what Python's int() makes of a text, None for what is no number."""
    try:
        return int(text)
    except ValueError:
        return None


def _parsed(words: list[str], where: Location) -> Command:
    words = words[1:] if words[:1] and words[0].lower() == "rule" else words
    verb = words[0].lower() if words else ""
    position, remove = 0, False
    if verb == "delete" and len(words) > 1:
        remove, words = True, words[1:]
        number = _whole(words[0])
        if number is not None:
            return Command(Rule("allow"), "both", remove=True, number=number)
    elif verb == "insert":
        if len(words) < 4 or words[1] in ("0", "-1") or not re.match("[0-9]", words[1]):
            raise RefusedError
        found = _whole(words[1])
        if found is None:
            raise RefusedError
        position, words = found, words[2:]
    elif verb == "prepend":
        position, words = -1, words[1:]
    if len(words) < 2 or words[0] not in ACTIONS:
        raise RefusedError
    rule, words = _options(words, where)
    if len(words) == 2:
        rule, families = _short(rule, words[1])
    else:
        rule, families = _full(rule, words)
    if rule.protocol in IPV4_ONLY:
        if families == "v6":
            raise RefusedError
        families = "v4"
    _verify(rule)
    return Command(rule, families, position, remove)


def _options(words: list[str], where: Location) -> tuple[Rule, list[str]]:
    """Take direction, `on`, log and comment out of the words."""
    words = [*words]
    direction = "in"
    if words[1].lower() in ("in", "out"):
        direction = words[1].lower()
        if len(words) > 2 and words[2] != "on":
            del words[1]
    through = False
    if len(words) > 1 and ("in" in words or "out" in words):
        if words[1].lower() not in ("in", "out") or len(words) < 3 or words[2].lower() != "on":
            raise RefusedError
        del words[2]
        through = True
    log = ""
    if through and len(words) > 3 and words[3].lower() in ("log", "log-all"):
        log = words.pop(3).lower()
    elif len(words) > 2 and words[1].lower() in ("log", "log-all"):
        log = words.pop(1).lower()
    if "log" in words or "log-all" in words:
        raise RefusedError
    comment = ""
    if "comment" in words:
        at = words.index("comment")
        if at == len(words) - 1 or "'" in words[at + 1]:
            raise RefusedError
        comment = words[at + 1]
        del words[at : at + 2]
    if not 2 <= len(words) <= 13:
        raise RefusedError
    return Rule(words[0], log, comment, direction, where=where), words


def _short(rule: Rule, text: str) -> tuple[Rule, Families]:
    """Read `ufw allow WHAT`."""
    if valid_name(text) and service_protocol(text) is None:
        return replace(rule, application=text, port=text), "both"
    port, protocol = port_and_protocol(text)
    service = ""
    if not _NUMERIC.fullmatch(port):
        if set(port) & set(",:"):
            raise RefusedError
        service = port
    rule = replace(rule, protocol=known_protocol(protocol), port=ports(port))
    return _of_services(rule, service, ""), "both"


def _full(rule: Rule, words: list[str]) -> tuple[Rule, Families]:
    """Read `ufw allow from ... to ...`."""
    if len(words) % 2 == 0 or not {"from", "to", "in", "out"} & set(words):
        raise RefusedError
    counts = {key: words.count(key) for key in _AT_MOST}
    if any(counts[key] > most for key, most in _AT_MOST.items()):
        raise RefusedError
    if counts["app"] and counts["proto"]:
        raise RefusedError
    if any(word not in _KEYS for word in words[1::2]):
        raise RefusedError
    if any(word in _KEYS for word in words[2::2]):  # ufw takes it for a key as well
        raise UnsureError("a word of ufw stands where a value does")
    side = ""
    kinds = {"from": "any", "to": "any"}
    named: dict[str, str] = {}
    told: set[str] = set()
    for key, value in zip(words[1::2], words[2::2], strict=True):
        if key == "proto":
            rule = replace(rule, protocol=known_protocol(value))
        elif key in ("in", "out"):
            rule = _through(rule, key, value)
        elif key in ("from", "to"):
            side = key
            kinds[key], address = _address(value.lower())
            rule = _with(rule, "source" if key == "from" else "destination", address)
        else:
            if not side:
                raise RefusedError
            if side in told:
                raise UnsureError("a side of a rule has two ports")
            told.add(side)
            rule = _with_port(rule, side, value, named, application=key == "app")
    rule = _of_services(rule, named.get("to", ""), named.get("from", ""))
    chosen = {kind for kind in kinds.values() if kind != "any"}
    if len(chosen) > 1:
        raise RefusedError
    return rule, "both" if not chosen else "v6" if "v6" in chosen else "v4"


def _with(rule: Rule, field: str, value: str) -> Rule:
    return replace(rule, **{field: value})  # type: ignore[arg-type]


def _with_port(
    rule: Rule, side: str, value: str, named: dict[str, str], *, application: bool
) -> Rule:
    field = "source_port" if side == "from" else "port"
    if application:
        name = "source_application" if side == "from" else "application"
        if not value:
            raise RefusedError
        return _with(_with(rule, name, value), field, value)
    if not _NUMERIC.fullmatch(value):
        if set(value) & set(",:"):
            raise RefusedError
        named[side] = value
    return _with(rule, field, ports(value))


def _of_services(rule: Rule, to: str, source: str) -> Rule:
    """Set the protocol of a rule that names services. Raise RefusedError."""
    if not (to or source):
        return rule
    found = [service_protocol(name) for name in (to, source) if name]
    if None in found:
        raise RefusedError
    said = {one for one in found if one not in (None, "any")}
    if len(said) > 1:
        raise RefusedError
    protocol = said.pop() if said else "any"
    assert protocol is not None
    if rule.protocol == "any":
        return replace(rule, protocol=protocol)
    if protocol not in ("any", rule.protocol):
        raise RefusedError
    return rule


def _through(rule: Rule, direction: str, name: str) -> Rule:
    if not _INTERFACE.fullmatch(name) or name in (".", ".."):
        raise RefusedError
    if not re.match(r"\w", name, re.ASCII):
        raise UnsureError("an interface's name is not read")
    field = "interface_in" if direction == "in" else "interface_out"
    return _with(rule, field, name)


def _address(text: str) -> tuple[str, str]:
    """Return the family of an address and the address. Raise RefusedError."""
    if text == "any":
        return "any", ANYWHERE[4]
    host, slash, bits = text.partition("/")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise RefusedError from None
    if "%" in host or len(text) > (43 if address.version == 6 else 31):
        raise RefusedError
    if slash and not _mask(bits, address.version):
        raise RefusedError
    # What `UFWRule.set_src` keeps of ::/0 is IPv4's, until the family is set.
    return f"v{address.version}", ANYWHERE[4] if text == ANYWHERE[6] else text


def _mask(text: str, version: int) -> bool:
    if re.fullmatch("[0-9]+", text):
        return int(text) <= (32 if version == 4 else 128)
    if version == 6:
        return False
    quads = text.split(".")
    return len(quads) == 4 and all(
        re.fullmatch("[0-9]+", one) is not None and int(one) < 256 for one in quads
    )


def _verify(rule: Rule) -> None:
    applied = bool(rule.application or rule.source_application)
    if rule.protocol != "any" and applied:
        raise RefusedError
    if rule.protocol not in ("any", "tcp", "udp") and (rule.port, rule.source_port) != (
        "any",
        "any",
    ):
        raise RefusedError
