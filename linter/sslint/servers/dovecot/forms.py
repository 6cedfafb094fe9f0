"""The forms of Dovecot's settings: which there are, and what each may say.

forms.json is what the tables of src/**/*-settings.c (`struct setting_define`) say in the releases
2.2.33 to 2.4.4, with Pigeonhole's. Each row has the section (of 2.3 and before; 2.4 has one name
for a setting wherever it stands), what a value is ("": any text), the first release and the first
that has it no more ("": all), and the settings of this form. `auth` are those that may not stand
in local and remote blocks, `renamed` the older names that 2.2, 2.3 or 2.4.0 take for others
(old-set-parser.c). All of it is checked by doveconf, before anything listens.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from sslint.reasons import Code, Reason
from sslint.regex import is_number, regex
from sslint.servers.dovecot import names
from sslint.servers.dovecot.listeners import split
from sslint.servers.dovecot.settings import Block, Configuration, Named, Value
from sslint.servers.dovecot.upgrade import instead
from sslint.tree.named import read_bundled

Release = tuple[int, ...]
Table = Mapping[str, Mapping[str, str]]

_FILTERS = ("filter", "array")
_UNLIMITED = ("unlimited", "infinite")  # since 2.4
_UNITS_SINCE = (2, 3)  # a time other than 0 without a unit is refused
_NETWORKS = ("local", "remote", "local_name")
_UINT, _UINT64 = (1 << 32) - 1, (1 << 64) - 1
_QUANTITY = regex(r"([0-9]+) *([A-Za-z]*)")
_OCTAL = regex(r"0[0-7]*")
# A unit of time is the beginning of one of these, one of bytes a letter and then `iB`.
_TIMES = (
    (("secs", "seconds"), 1),
    (("mins", "minutes"), 60),
    (("hours",), 3600),
    (("days",), 86400),
    (("weeks",), 604800),
)
_MSECS = ("msecs", "mseconds", "millisecs", "milliseconds")
_SIZE = regex(r"|b|[kmgt]i?b?")
_POWERS = {"k": 10, "m": 20, "g": 30, "t": 40}


class _Place(NamedTuple):
    """What a section makes of the names in it.

    `prefixes`: of the names that a setting is looked for by, before its own. `listing`: the list
    whose items stand here. `table`: the section of forms.json. `known`: it is one of Dovecot's.
    """

    prefixes: tuple[str, ...] = ()
    listing: str = ""
    table: str = ""
    known: bool = True


def check(configuration: Configuration, version: Release | None) -> Iterator[Reason]:
    """Return what Dovecot refuses for a value that is not of the setting's type, or for a name.

    Of an unknown version what some release takes is taken.
    """
    family = "new" if configuration.modern else "old"
    bounds = _bounds(family)
    if version is not None and (version >= (2, 4)) is configuration.modern:
        fits = [release for release in bounds if release <= version[: len(release)]]
        releases = [max(fits, default=min(bounds))]
    else:
        releases = bounds[::-1]
    # The others are made where the first refuses something.
    made: dict[Release, _Check] = {}

    def checks() -> Iterator[_Check]:
        for release in releases:
            if release not in made:
                made[release] = _Check(release, configuration)
            yield made[release]

    for block in configuration.blocks:
        found = _agreed(each.section(block) for each in checks())
        if found and block.location is not None:
            yield Reason(Code.REFUSED, block.location, found)
    for named in configuration.statements:
        found = _agreed(each.setting(named) for each in checks())
        if found:
            yield Reason(Code.REFUSED, named.value.location, found)


def _agreed(answers: Iterable[str]) -> str:
    """Return the first answer; "" if one is empty."""
    first = ""
    for answer in answers:
        if not answer:
            return ""
        first = first or answer
    return first


class _Check:
    """What one release refuses of a configuration."""

    def __init__(self, release: Release, configuration: Configuration) -> None:
        self.release = release
        self.modern = configuration.modern
        self.family = "new" if self.modern else "old"
        self.table = _table(self.family, release)
        self.places: dict[int, _Place] = {}
        # What is not known may well hold the line that says that this is 2.4.
        self.whole = not configuration.gaps and (
            self.modern or all(named.name != names.VERSION for named in configuration.statements)
        )

    def section(self, block: Block) -> str:
        """Say why a section is refused; "" if it is not."""
        if self._place(block).known or block.parent is None or not self._place(block.parent).known:
            return ""
        parent = self._place(block.parent)
        shown = "Unknown section name" if self.modern else "Unknown setting"
        return self._misspelt(block.kind, parent, f"{shown}: {block.kind}")

    def setting(self, named: Named) -> str:
        """Say why a setting is refused; "" if it is not."""
        name, value = named.name, named.value
        if name == names.VERSION or name.startswith("@") or "/" in name:
            return ""
        place = self._place(named.block)
        if named.listing:
            place = place._replace(listing=named.listing)
        if not place.known:
            return ""
        if place.listing:
            kind = self.table[""].get(place.listing, "")
            listed = {"boollist": "bool", "strlist": ""}.get(kind, kind)
            said = self._value(listed, name, value)
            return f"{name}: {said}" if said else ""
        full, what = self._find(name, place)
        if what is None:
            return self._unknown(named, place)
        said = self._value(what, name, value)
        if not said and full in _auth(self.family) and _is_of_network(named.block):
            said = f"Auth settings not supported inside local/remote blocks: {full}"
        return f"{name}: {said}" if said else ""

    # -- names ------------------------------------------------------------------------------

    def _find(self, name: str, place: _Place) -> tuple[str, str | None]:
        """Return a setting's full name and what it is; None: there is none of this name."""
        known = self.table.get(place.table, {})
        for prefix in place.prefixes:
            full = f"{prefix}_{name}"
            kind = known.get(full)
            if kind is not None and kind != "filter":
                return full, kind
        return name, known.get(name)

    def _place(self, block: Block) -> _Place:
        found = self.places.get(id(block))
        if found is None:
            find = self._place_24 if self.modern else self._place_23
            found = self.places[id(block)] = find(block)
        return found

    def _place_24(self, block: Block) -> _Place:
        """Return what a section is (CONFIG_LINE_TYPE_SECTION_BEGIN, config_apply_line_full)."""
        kind, name = block.kind, block.name
        if block.parent is None or kind in names.EVENT_FILTERS:
            return _Place()
        if kind.startswith("@"):
            return _Place((f"{kind[1:]}_{name}", kind[1:]))
        parent = self._place(block.parent)
        if not parent.known:
            return _Place(known=False)
        full, what = self._find(kind, parent)
        if what == "array":
            return _Place((f"{full}_{name}", full))
        if what == "filter":
            return _Place((full,))
        # What is no list is set to what stands in it, too.
        return _Place(parent.prefixes, full, known=what is not None)

    def _place_23(self, block: Block) -> _Place:
        kind = block.kind
        if block.parent is None:
            return _Place()
        if kind in names.EVENT_FILTERS:
            return self._place(block.parent)
        return _Place(table=kind, known=kind in self.table)

    def _unknown(self, named: Named, place: _Place) -> str:
        """Say that a name is none of Dovecot's where no module can have it."""
        name = named.name
        if any(self._full(name, place, known) for known in _every(self.family)):
            return ""  # another release has it
        if instead(named) is not None and self.modern:
            return ""  # is told of with what takes its place
        said = f"{name}: Unknown setting"
        if name in _renamed() or not self.whole:
            return ""
        other = "old" if self.modern else "new"
        if not place.table and name in _all(other):
            return said
        return self._misspelt(name, place, said)

    @staticmethod
    def _full(name: str, place: _Place, table: Table) -> bool:
        known = table.get(place.table, {})
        return name in known or any(f"{prefix}_{name}" in known for prefix in place.prefixes)

    def _misspelt(self, name: str, place: _Place, said: str) -> str:
        from sslint.servers import spelling

        sets = [_short(self.family, place.table, prefix) for prefix in ("", *place.prefixes)]
        near = (spelling.meant(name, known) for known in sets if known)
        meant = next(filter(None, near), None)
        return f"{said}; perhaps {meant} is meant" if meant and meant != name else ""

    # -- values -----------------------------------------------------------------------------

    def _value(self, kind: str, name: str, value: Value) -> str:
        """Say why a value is refused; "" if it is not, or may not be."""
        text = value.text
        if self.modern and kind == "filter":
            return f"Setting is a named filter, use '{name} {{'"
        if text is None or value.read:
            return ""
        if self.modern and kind == "array":
            return f"Setting is a named list filter, use '{name} {text} {{'"
        if self.modern and kind == "strlist":
            return f"Setting is a string list, use '{name} {{'" if text else ""
        if kind == "boollist":
            return f"misplaced quotes in {text}" if split(value, modern=True) is None else ""
        if not kind or (self.modern and "%{" in text):
            return ""
        word, *choices = kind.split(" ")
        return "" if self._takes(word, choices, text) else f"Invalid {_SHOWN[word]}: {text}"

    def _takes(self, kind: str, choices: list[str], text: str) -> bool:
        if kind == "bool":
            return _is_bool(text)
        if kind == "enum":
            return text in choices
        if kind == "port":
            return _is_uint(text, 65535)
        if kind == "uintmax":
            return _is_uint(text, _UINT64)
        if kind not in _SHOWN or (self.modern and text in _UNLIMITED):
            return True
        if kind == "octal" and text.startswith("0"):
            return bool(_OCTAL.fullmatch(text))
        if kind in ("uint", "octal"):
            return _is_uint(text, _UINT)
        if kind == "size":
            return _is_size(text)
        return _is_time(text, milliseconds=kind == "msecs", bare=self.release < _UNITS_SINCE)


_SHOWN = {
    "bool": "boolean value",
    "enum": "value",
    "port": "port number",
    "uint": "number",
    "uintmax": "number",
    "octal": "number",
    "size": "size",
    "time": "time interval",
    "msecs": "time interval",
}


def _is_of_network(block: Block) -> bool:
    return any(each.kind in _NETWORKS for each in block.path())


def _is_bool(text: str) -> bool:
    return text.lower() in ("yes", "y", "no") or text == "1"


def _is_uint(text: str, most: int) -> bool:
    digits = text.lstrip("0") or text[:1]
    return is_number(text) and len(digits) < 21 and int(digits) <= most


def _is_size(text: str) -> bool:
    """Tell whether a text is a size (str_parse_get_size)."""
    found = _QUANTITY.fullmatch(text)
    if not found:
        return False
    unit = found[2].lower()
    power = _POWERS.get(unit[:1], 0)
    return bool(_SIZE.fullmatch(unit)) and _is_uint(found[1], _UINT64 >> power)


def _is_time(text: str, *, milliseconds: bool, bare: bool) -> bool:
    """Tell whether a text is an interval (str_parse_get_interval_full)."""
    found = _QUANTITY.fullmatch(text)
    if not found or not _is_uint(found[1], _UINT64):
        return False
    number, unit = int(found[1].lstrip("0") or "0"), found[2].lower()
    factor = 1000 if milliseconds else 1
    if not unit:
        return number == 0 or (bare and number * factor <= _UINT)
    for words, seconds in _TIMES:
        if any(word.startswith(unit) for word in words):
            return number * seconds * factor <= _UINT
    if not any(word.startswith(unit) for word in _MSECS):
        return False
    return number <= _UINT if milliseconds else number % 1000 == 0 and number // 1000 <= _UINT


# -- the table ------------------------------------------------------------------------------


@cache
def _data() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(read_bundled(Path(__file__).with_name("forms.json")))
    return found


@cache
def _release(text: str) -> Release:
    return tuple(int(part) for part in text.split("."))


@cache
def _bounds(family: str) -> list[Release]:
    """Return the first release of a family and all that changed something, in order."""
    rows = _data()[family]["rows"]
    texts = {text for row in rows for text in row[2:4] if text}
    return sorted({_release("2.4.0" if family == "new" else "2.2.33"), *map(_release, texts)})


@cache
def _table(family: str, release: Release) -> Table:
    """Return what every setting of a release is, by section and name."""
    found: dict[str, dict[str, str]] = {}
    for section, kind, since, until, words in _data()[family]["rows"]:
        if (not since or _release(since) <= release) and (not until or release < _release(until)):
            found.setdefault(section, {}).update(dict.fromkeys(words.split(), kind))
    return found


@cache
def _every(family: str) -> list[Table]:
    return [_table(family, release) for release in _bounds(family)]


@cache
def _all(family: str) -> frozenset[str]:
    return frozenset(name for table in _every(family) for known in table.values() for name in known)


@lru_cache(maxsize=1024)
def _short(family: str, section: str, prefix: str) -> frozenset[str]:
    """Return all names that there were in a section; with a prefix, what follows it."""
    known = {name for table in _every(family) for name in table.get(section, ())} | _renamed()
    if not prefix:
        return frozenset(known)
    start = f"{prefix}_"
    return frozenset(name.removeprefix(start) for name in known if name.startswith(start))


@cache
def _auth(family: str) -> frozenset[str]:
    return frozenset(_data()[family]["auth"].split())


@cache
def _renamed() -> frozenset[str]:
    return frozenset(_data()["renamed"].split())
