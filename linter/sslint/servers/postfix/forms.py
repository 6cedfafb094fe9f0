"""The forms of parameters: what Postfix refuses of a number, a time, a yes or no, a text's length.

forms.json is what the tables (`CONFIG_INT_TABLE` and the like) of mail_params.c ("all": read by
every program, master too), master, smtpd and postscreen say in Postfix 2.8 to 3.11. Each row has
the program, what a value is, the unit of a time without one, the least and the largest value (0:
none; of a text its length), the first release and the first that has it no more ("": all), and the
parameters of this form. A program that reads a value that is not of its form stops.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

from sslint.regex import regex
from sslint.servers.postfix.defaults import SHARED
from sslint.servers.postfix.expand import ConfigurationError, Unknown
from sslint.servers.postfix.parameters import Scope
from sslint.tree.named import read_bundled

Release = tuple[int, ...]

_INT, _LONG = (1 << 31) - 1, (1 << 63) - 1
_NUMBER = regex(r"[ \t\n\v\f\r]*([+-]?[0-9]{1,30})")
_REFERENCE = regex(r"\$[({]?(\w*)")
# Numbers that are another one by default, with a least value of their own.
_DEFAULTS = {
    "postscreen_pre_queue_limit": "default_process_limit",
    "postscreen_post_queue_limit": "default_process_limit",
}
# msg_syslog.c.
_FACILITIES = frozenset(
    "auth authpriv cron daemon ftp kern lpr mail news syslog user uucp".split()
) | {f"local{number}" for number in range(8)}
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


class Form(NamedTuple):
    """What a parameter may be set to."""

    kind: str
    unit: str
    least: int
    most: int


def check(scope: Scope, program: str) -> None:
    """Raise ConfigurationError if a program stops at the form of a parameter that is set.

    Of a service's own options those count, too, that master has not seen.
    """
    for name in _table(program, scope.version):
        if scope.explicit(name) is not None:
            _check(scope, name, program)
    for name in scope.overrides:
        _check(scope, name, "all")
    for name, source in _DEFAULTS.items():
        if scope.explicit(name) is None:
            _check(scope, name, program, source)


def _check(scope: Scope, name: str, program: str, source: str = "") -> None:
    """Raise ConfigurationError if a parameter's value, or `source`'s, is not of its form."""
    forms = _table(program, scope.version).get(name)
    if forms is None:
        return
    try:
        if forms[0].kind == "bool":
            scope.flag(name)
            return
        parameter = scope.explicit(source or name)
        # The order of SHARED is known, and with it what a reference stands for.
        if parameter is None or not (name in SHARED or _is_known(parameter.value, scope)):
            return
        value = scope.get(source or name)
    except Unknown:
        return
    said = [_wrong(form, name, value) for form in forms]
    if all(said):
        raise ConfigurationError(said[0])


def _is_known(raw: str, scope: Scope) -> bool:
    """Tell whether a value rests on nothing but what is set.

    Other defaults are not all known here, and which of them a program has read yet is not either.
    """
    names = _REFERENCE.findall(raw)
    return all(name == "stress" or _is_plain(name, scope) for name in names)


def _is_plain(name: str, scope: Scope) -> bool:
    parameter = scope.explicit(name)
    return parameter is not None and "$" not in parameter.value


def _wrong(form: Form, name: str, value: str) -> str:
    """Say why a value is refused; "" if it is not."""
    shown = value[:40]
    if name == "syslog_facility" and value and value not in _FACILITIES:
        return f"unknown syslog facility: {shown}"
    if form.kind == "text":
        size = len(value.encode("utf-8", "surrogateescape"))
        if size < form.least:
            return f"bad string length {size} < {form.least}: {name} = {shown}"
        return f"bad string length {size} > {form.most}: {name} =" if 0 < form.most < size else ""
    if form.kind == "time":
        number = _seconds(value, form.unit)
        if number is None:
            return f"parameter {name}: bad time value or unit: {shown}"
    else:
        found = _NUMBER.fullmatch(value)
        most = _INT if form.kind == "int" else _LONG
        if not found or not -most - 1 <= int(found[1]) <= most:
            return f"bad numerical configuration: {name} = {shown}"
        number = int(found[1])
    if form.least and number < form.least:
        return f"invalid {name} parameter value {number} < {form.least}"
    return (
        f"invalid {name} parameter value {number} > {form.most}" if 0 < form.most < number else ""
    )


def _seconds(value: str, unit: str) -> int | None:
    """Return an interval in seconds; None if it is none (conv_time.c: the rest has no effect)."""
    found = _NUMBER.match(value)
    if not found:
        # strtol(3) takes what has no digits for 0, and its unit is what stands there.
        number, rest = 0, value
        if not value:
            return None
    else:
        number, rest = int(found[1]), value[found.end() :]
    factor = _SECONDS.get(rest[:1] or unit)
    if factor is None or not 0 <= number <= _INT:
        return None
    if factor > 1 and number >= _INT // factor:
        return None
    return number * factor


@cache
def _rows() -> list[tuple[str, str, str, int, int, str, str, str]]:
    text = read_bundled(Path(__file__).with_name("forms.json"))
    return [tuple(row) for row in json.loads(text)]


@lru_cache(maxsize=32)
def _table(program: str, version: Release | None) -> Mapping[str, tuple[Form, ...]]:
    """Return the forms of a program's parameters; of an unknown version all that there were."""
    found: dict[str, tuple[Form, ...]] = {}
    now: set[str] = set()
    for of, kind, unit, least, most, since, until, names in _rows():
        if of == program and _has(since, until, version):
            for name in names.split():
                found[name] = (*found.get(name, ()), Form(kind, unit, least, most))
            now.update(() if until and version is None else names.split())
    return {name: forms for name, forms in found.items() if name in now}


def _has(since: str, until: str, version: Release | None) -> bool:
    if version is None:
        return True
    return (not since or _release(since) <= version) and (not until or version < _release(until))


def _release(text: str) -> Release:
    return tuple(int(part) for part in text.split("."))
