"""The syntax of nginx's directives: where each may stand, and what it may say.

directives.json is what the tables of src/**/*.c (`ngx_command_t`) say in the releases 1.14.0 to
1.31.4. Each row has contexts, numbers of arguments, what they are, the first release and the first
that has it no more ("": all), and the directives of this syntax. Those of others' modules are not
in it. max_headers and xml_external_entities are in all: distributions bring them to older releases.
limit_req_zone, server_tokens, slice and sticky are what nginx Plus, Tengine and the module that had
`sticky` before nginx take of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple, Protocol

from sslint.reasons import Code
from sslint.regex import is_number, regex
from sslint.servers.nginx.directive import Directive
from sslint.servers.nginx.shapes import Alike
from sslint.source import Location, SourceFile
from sslint.tree.named import read_bundled

Version = tuple[int, ...]

MAX_DEPTH = 64
# The contexts of blocks in a context, but for server blocks, which stand for themselves.
_INNER = {
    ("main", "events"): "events",
    ("http", "upstream"): "upstream",
    ("stream", "upstream"): "stream-upstream",
    ("server", "location"): "location",
    ("server", "if"): "server-if",
    ("location", "location"): "location",
    ("location", "if"): "location-if",
    ("location", "limit_except"): "limit_except",
}
_SHOWN = {"server-if": "if", "location-if": "if", "stream-server": "server"}
_SHOWN |= {"mail-server": "server", "stream-upstream": "upstream"}
_SAME = {"alias": "root"}  # which cannot both be
# Directives whose names are nearly those of nginx's own: of widespread modules, and of the branch
# that had QUIC before 1.25.
_OTHERS = (
    "subs_filter",
    "subs_filter_types",
    "geoip2_proxy",
    "geoip2_proxy_recursive",
    "http3_push",
)

_FIRST = (1, 14, 0)
_MAX = (1 << 63) - 1
_UNITS = {"k": 10, "m": 20, "g": 30}  # as powers of two
# ngx_parse_time: units from the largest to the smallest; a blank ends seconds, too.
_TIME = regex(
    r"(?:[0-9]*+w *+)?(?:[0-9]*+d *+)?(?:[0-9]*+h *+)?(?:[0-9]*+m(?!s) *+)?"
    r"(?:[0-9]*+s *+(?:[0-9]*+ms *+)?|[0-9]*+ms *+|[0-9]*+ ++)?[0-9]*+"
)
_SECONDS = regex(
    r"(?:[0-9]*+y *+)?(?:[0-9]*+M *+)?(?:[0-9]*+w *+)?(?:[0-9]*+d *+)?(?:[0-9]*+h *+)?"
    r"(?:[0-9]*+m(?!s) *+)?(?:[0-9]*+s *+|[0-9]*+ ++)?[0-9]*+"
)
_DIGIT = regex(r"[0-9]")


class Refuse(Protocol):
    """Record that nginx does not start, and why."""

    def __call__(
        self,
        where: Location,
        text: str,
        code: Code = Code.REFUSED,
        beside: SourceFile | None = None,
    ) -> None:
        """Record a reason; `beside`: the file of another statement that it takes for it."""


class Syntax(NamedTuple):
    """What nginx takes of a directive in a context.

    `counts`: a bit for each number of arguments. `kind`: what its arguments are, "" if its module
    looks at them itself. `once`: a second one in the same block is refused.
    """

    counts: int
    block: bool
    kind: str
    once: bool


def check(
    statements: Sequence[Directive],
    context: str,
    version: Version | None,
    refuse: Refuse,
    depth: int = 0,
) -> None:
    """Refuse what nginx refuses by syntax or place in a block, and in the blocks of it.

    Server blocks in it are left out. `context`: of directives.json; `server` is one of HTTP.
    `version`: None if it is not known; then what some release takes is taken.
    """
    table = _table(version)
    known = table[context]
    seen: dict[str, SourceFile] = {}
    for directive in statements:
        name, args = directive.name, directive.args
        block = isinstance(directive, Alike) or directive.block is not None
        syntax = known.get(name)
        if syntax is None:
            if wrong := _misplaced(name, context, version):
                refuse(directive.location, *wrong)
        elif syntax.block is not block:
            wanted = 'has no opening "{"' if syntax.block else 'is not terminated by ";"'
            refuse(directive.location, f'directive "{name}" {wanted}')
        elif not syntax.counts >> len(args) & 1:
            refuse(directive.location, f'invalid number of arguments in "{name}" directive')
        elif syntax.once and _SAME.get(name, name) in seen:
            first = seen[_SAME.get(name, name)]
            refuse(directive.location, f'"{name}" directive is duplicate', beside=first)
        elif syntax.kind and not _takes(syntax.kind, args):
            said = " ".join(args)
            refuse(directive.location, f'invalid value "{said}" in "{name}" directive')
        elif syntax.block and depth < MAX_DEPTH and (inner := _INNER.get((context, name))):
            check(directive.block or (), inner, version, refuse, depth + 1)
        seen.setdefault(_SAME.get(name, name), directive.file)


@cache
def _rows() -> list[tuple[str, Syntax, Version, Version, list[str]]]:
    """Return the rows of directives.json."""
    text = read_bundled(Path(__file__).with_name("directives.json"))
    rows = []
    for contexts, counts, kind, since, until, names in json.loads(text):
        block = kind.startswith("block")
        once = kind not in ("", "block") and not kind.startswith("bits")
        typed = kind if kind not in ("", "once") and not block else ""
        syntax = Syntax(_counts(counts), block, typed, once)
        rows.append((contexts, syntax, _release(since), _release(until), names.split()))
    return rows


@lru_cache(maxsize=32)
def _table(version: Version | None) -> Mapping[str, Mapping[str, Syntax]]:
    """Return the syntax of all directives by context and name; of all releases the last one."""
    found: dict[str, dict[str, Syntax]] = {}
    known = max(version, _FIRST) if version is not None else None
    for contexts, syntax, since, until, names in _rows():
        if known is None or (since <= known and (not until or known < until)):
            for context in contexts.split():
                found.setdefault(context, {}).update(dict.fromkeys(names, syntax))
    everywhere = found.pop("any")
    return {context: {**everywhere, **own} for context, own in found.items()}


@cache
def _release(text: str) -> Version:
    return tuple(int(part) for part in text.split(".")) if text else ()


@cache
def _counts(text: str) -> int:
    """Return the bits of `0`, `1-2`, `1,3` or `2+`."""
    if text.endswith("+"):
        return -1 << int(text[:-1])
    bits = 0
    for part in text.split(","):
        first, _, last = part.partition("-")
        for number in range(int(first), int(last or first) + 1):
            bits |= 1 << number
    return bits


@lru_cache(maxsize=1024)
def _misplaced(name: str, context: str, version: Version | None) -> tuple[str, Code] | None:
    """Say why nginx refuses what a context does not have; None if another module may have it."""
    from sslint.servers import spelling

    table = _table(version)
    if any(name in known for known in table.values()):
        shown = _SHOWN.get(context, context)
        return f'"{name}" directive is not allowed in {shown}', Code.REFUSED
    ends = [until for *_, until, names in _rows() if name in names]
    if ends:
        removed = version is not None and all(end and end <= version for end in ends)
        if not removed:
            return f'unknown directive "{name}"', Code.REFUSED
        release = ".".join(map(str, max(ends)))
        return f'"{name}" directive was removed in {release}', Code.OLD_SETTING
    if name in _OTHERS or (meant := spelling.meant(name, frozenset(table[context]))) is None:
        return None
    return f'unknown directive "{name}"; perhaps "{meant}" is meant', Code.REFUSED


@lru_cache(maxsize=4096)
def _takes(kind: str, args: tuple[str, ...]) -> bool:
    """Tell whether nginx takes arguments for what they are to be."""
    name, *rest = kind.split()
    first = args[0]
    if name == "flag":
        return first.lower() in ("on", "off")
    if name == "enum":
        return first.lower() in [word.lower() for word in rest]
    if name == "bits":
        return {word.lower() for word in args} <= {word.lower() for word in rest}
    if name == "buffers":
        return all(
            _is_size(word, unit) and word.strip("kKmM0")
            for word, unit in zip(args, ("", "km"), strict=True)
        )
    if name == "number":
        low, high = map(int, rest) if rest else (0, _MAX)
        return _is_size(first, "") and low <= int(first.lstrip("0") or "0") <= high
    if name in ("time", "seconds"):
        pattern = _TIME if name == "time" else _SECONDS
        return bool(pattern.fullmatch(first) and _DIGIT.search(first))
    if rest and "$" in first:  # a variable
        return True
    return _is_size(first, "km" if name == "size" else "kmg")


def _is_size(text: str, units: str) -> bool:
    """Tell whether a text is a number, with one of the units or none."""
    unit = text[-1:].lower()
    power = _UNITS[unit] if unit and unit in units else 0
    digits = (text[:-1] if power else text).lstrip("0") or text[:1]
    return is_number(digits) and len(digits) < 20 and int(digits) <= _MAX >> power
