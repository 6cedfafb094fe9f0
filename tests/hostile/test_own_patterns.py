"""sslint's own regular expressions take time in proportion to the text, whatever stands in it.

The census is of all calls of `re` in the package: each is tried on text made of its own parts.
"""

from __future__ import annotations

import ast
import importlib
import re
import time
from collections.abc import Iterator
from itertools import islice, product
from pathlib import Path
from typing import Any

import pytest

import sslint
from sslint.regex import is_number

CALLS = {"compile", "search", "match", "fullmatch", "sub", "subn", "split", "findall", "finditer"}
PIECES = (" ", "\t", "\n", "a", "1", "a ", " \n", "\\\n", "-", "(", "{", '"', "#", "a.", "a,", "::",
          "/*", "<a ", "$a", "a=")  # fmt: skip
LENGTH, FACTOR = 1_500, 4
SECONDS = 0.003  # of the longer text; a quadratic pattern takes many times this
# Calls whose pattern is no constant of the module: what bounds them stands beside.
MADE = {
    "announcements/zones.py": "one name, anchored, in a message",
    "firewalls/scripts/expansion.py": "fnmatch.translate, and the characters of IFS in brackets",
    "firewalls/scripts/ufw.py": "a text that sed looks for, literal between its ends",
    "firewalls/iptables/dump.py": "texts of a line, escaped, and between them what has no space",
    "firewalls/managers.py": "the switches of managers.MANAGERS, after ^[ \\t]*",
    "firewalls/unseen.py": "the commands of its own list, each on one part of a line",
    "fixes/statements.py": "the name of a setting, anchored",
    "globs.py": "fnmatch.translate: atomic groups",
    "network/packages.py": "the name of a package, anchored",
    "patterns.py": "what a tree or a rule holds, behind its own bound (test_patterns.py)",
    "plain.py": "words of sslint's own, each bounded",
    "policy.py": "fnmatch.translate: atomic groups",
    "regex.py": "those of the census, when they are used",
    "renewal.py": "a key of certbot, anchored",
    "sides.py": "the path of a directory of its own, and one name in it",
    "servers/apache/loader.py": "names, escaped, without repetition",
    "servers/apache/vhosts.py": "fnmatch.translate: atomic groups",
    "servers/nginx/shapes.py": "the text of a block or a file, escaped, and possessive words in its places",
    "servers/programs/unread.py": "the directives of unread.py's table, after ^[ \\t]*",
}
# How patterns are used that a variable stands for.
USED = {
    **{f"firewalls/commands.py {name}": ["fullmatch"] for name in ("_RESTORE", "_NFT", "_IPSET")},
    "firewalls/nftables/tokens.py _TOKEN": ["match"],  # the scanner ends at what is no token
}


class Call:
    """One call of `re` in the package. The pattern is None where it is made at run time."""

    def __init__(self, place: str, node: ast.Call, module: dict[str, Any], text: str) -> None:
        self.place, self.module = place, module
        kind = _kind(node)
        self.methods = [kind if kind in ("match", "fullmatch") else "finditer"]
        index = {"compile": 1, "sub": 4, "subn": 4, "split": 3}.get(kind, 2)
        flags = [k.value for k in node.keywords if k.arg == "flags"] + node.args[index : index + 1]
        try:
            pattern = self._value(node.args[0])
            self.flags = int(self._value(flags[0])) if flags else 0
        except NameError:
            pattern, self.flags = None, 0
        self.pattern = pattern.decode("latin-1") if isinstance(pattern, bytes) else pattern
        self.name = ""
        if kind == "compile":
            file = place.partition(":")[0]
            self.methods = self._uses(node, text)
            self.methods = USED.get(f"{file} {self.name}", self.methods)

    def _value(self, node: ast.expr) -> Any:
        return eval(compile(ast.Expression(node), "census", "eval"), dict(self.module))

    def _uses(self, node: ast.Call, text: str) -> list[str]:
        """Return how a compiled pattern is used: by its name, if it has one, in all modules."""
        for line in ast.walk(ast.parse(text)):
            targets = getattr(line, "targets", None) or [getattr(line, "target", None)]
            value = getattr(line, "value", None)
            same = isinstance(value, ast.Call) and value.lineno == node.lineno
            if same and isinstance(targets[0], ast.Name):
                name = self.name = targets[0].id
                public = ALL if not name.startswith("_") else text
                if len(re.findall(rf"\b{name}\b", public)) == 1 + len(
                    used := re.findall(rf"\b{name}\.(\w+)", public)
                ):
                    plain = {m if m in ("match", "fullmatch") else "finditer" for m in used}
                    return sorted(plain)
        return ["finditer"]


PACKAGE = Path(sslint.__file__).parent
TEXTS = {path: path.read_text() for path in sorted(PACKAGE.rglob("*.py"))}
ALL = "\n".join(TEXTS.values())


def census() -> Iterator[Call]:
    """Yield every call of `re` in the package."""
    for path, text in TEXTS.items():
        if "import re\n" not in text and "import regex\n" not in text:
            continue
        name = path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", ".")
        module = vars(importlib.import_module(f"sslint.{name}".removesuffix(".__init__")))
        for node in ast.walk(ast.parse(text)):
            if _is_call(node):
                assert isinstance(node, ast.Call)
                place = f"{path.relative_to(PACKAGE)}:{node.lineno}"
                call = Call(place, node, module, text)
                if not isinstance(call.pattern, re.Pattern):
                    yield call


def _is_call(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and _kind(node) in CALLS and bool(node.args)


def _kind(call: ast.Call) -> str:
    """Return which function of `re` is called; `regex` compiles when it is used."""
    match call.func:
        case ast.Attribute(value=ast.Name(id="re"), attr=name):
            return name
        case ast.Name(id="regex"):
            return "compile"
    return ""


CENSUS = list(census())
PATTERNS = {
    f"{one.place} {one.pattern[:50]}": (one.pattern, one.flags, one.methods)
    for one in CENSUS
    if one.pattern is not None
}


def sample(parsed: Any) -> str:
    """Return a text that a parsed pattern matches, about."""
    out = []
    for operation, argument in parsed:
        name = str(operation)
        if name == "LITERAL":
            out.append(chr(argument))
        elif name == "NOT_LITERAL":
            out.append("a" if argument != ord("a") else "b")
        elif name == "ANY":
            out.append("a")
        elif name == "IN":
            out.append(_one_of(argument))
        elif name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            out.append(sample(argument[2]) * max(1, min(int(argument[0]), 20)))
        elif name == "BRANCH":
            out.append(sample(argument[1][0]))
        elif name == "SUBPATTERN":
            out.append(sample(argument[-1]))
        elif name == "ATOMIC_GROUP":
            out.append(sample(argument))
    return "".join(out)


def _one_of(items: Any) -> str:
    candidates = ["a", "1", " ", "/", "-", "_", "A", "\n", ".", ",", ":", '"', "\\", "=", "é", "\0"]
    for operation, argument in items:
        if str(operation) == "LITERAL":
            candidates.insert(0, chr(argument))
        elif str(operation) == "RANGE":
            candidates.insert(0, chr(argument[0]))
    compiled = re._compiler.compile(_parsed_class(items))  # type: ignore[attr-defined]
    return next((one for one in candidates if compiled.fullmatch(one)), "a")


def _parsed_class(items: Any) -> Any:
    empty = re._parser.parse("")  # type: ignore[attr-defined]
    empty.append((re._constants.IN, items))  # type: ignore[attr-defined]
    return empty


def pieces(pattern: str, flags: int) -> Iterator[str]:
    """Yield what one repeat of the pattern takes, or all up to it: texts of it go on and on."""
    yield from PIECES
    pending = [re._parser.parse(pattern, flags)]  # type: ignore[attr-defined]
    while pending:
        items = list(pending.pop())
        for at, (operation, argument) in enumerate(items):
            name = str(operation)
            if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
                if int(argument[1]) > 200:
                    yield from {sample(argument[2]), sample(items[: at + 1])} - {""}
                pending.append(argument[2])
            elif name == "BRANCH":
                pending += argument[1]
            elif name in ("SUBPATTERN", "ASSERT", "ASSERT_NOT"):
                pending.append(argument[-1])
            elif name == "ATOMIC_GROUP":
                pending.append(argument)


def runs(pattern: str, flags: int) -> Iterator[tuple[str, str]]:
    """Yield each repeat's beginning, a text that leads to it, with every literal of the pattern."""
    parsed = re._parser.parse(pattern, flags)  # type: ignore[attr-defined]
    heads, literals = {""}, dict.fromkeys(_literals(parsed))
    pending = [("", parsed)]
    while pending:
        head, parsed = pending.pop()
        items = list(parsed)
        for at, (operation, argument) in enumerate(items):
            name, before = str(operation), head + sample(items[:at])
            if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
                heads |= {before} if int(argument[1]) > 200 else set()
                pending.append((before, argument[2]))
            elif name == "BRANCH":
                pending += [(before, one) for one in argument[1]]
            elif name in ("SUBPATTERN", "ASSERT", "ASSERT_NOT"):
                pending.append((before, argument[-1]))
            elif name == "ATOMIC_GROUP":
                pending.append((before, argument))
    yield from product(sorted(heads), literals)


def _literals(parsed: Any) -> Iterator[str]:
    """Yield the characters that stand in a parsed pattern, in classes too."""
    for part in parsed:
        if isinstance(part, tuple) and str(part[0]) in ("LITERAL", "NOT_LITERAL"):
            yield chr(part[1])
        elif isinstance(part, (tuple, list)) or hasattr(part, "pattern"):
            yield from _literals(part)
        elif hasattr(part, "data"):
            yield from _literals(part.data)


def seconds(compiled: re.Pattern[str], method: str, text: str) -> float:
    start = time.process_time()
    if method == "finditer":
        for _ in islice(compiled.finditer(text), 100_000):
            pass
    else:
        getattr(compiled, method)(text)
    return time.process_time() - start


def is_slow(compiled: re.Pattern[str], method: str, piece: str) -> bool:
    """Whether more of a piece takes more than in proportion longer."""

    def taken(length: int) -> float:
        return seconds(compiled, method, piece * (length // len(piece) + 1) + "\0!")

    if any(taken(length) > 10 * SECONDS for length in (24, 100, LENGTH)):
        return True
    if taken(FACTOR * LENGTH) < SECONDS:
        return False
    short = min(taken(LENGTH) for _ in range(3))
    long = min(taken(FACTOR * LENGTH) for _ in range(2))
    return long > SECONDS and long > 2 * FACTOR * short


def test_the_census_is_whole() -> None:
    assert len(PATTERNS) > 250
    made = {one.place for one in CENSUS if one.pattern is None}
    assert {place.partition(":")[0] for place in made} == set(MADE)


@pytest.mark.parametrize("name", sorted(PATTERNS))
def test_a_pattern_is_linear(name: str) -> None:
    pattern, flags, methods = PATTERNS[name]
    compiled = re.compile(pattern, flags)
    slow = [
        (method, piece)
        for method in methods
        for piece in dict.fromkeys(pieces(pattern, flags))
        if is_slow(compiled, method, piece)
    ]
    slow += [
        (method, f"{head} {piece}")
        for method in methods
        for head, piece in runs(pattern, flags)
        if seconds(compiled, method, f"{head}{piece * 24}\0!") > 10 * SECONDS
    ]
    assert slow == []


@pytest.mark.parametrize("pattern", [r"^\s*x", r"^(a+)+b", r"a*a*b", r"\s*x", r"[^,]*;"])
def test_a_pattern_that_is_not_is_found(pattern: str) -> None:
    compiled = re.compile(pattern, re.M)
    assert any(is_slow(compiled, "finditer", piece) for piece in pieces(pattern, re.M))


def test_a_pattern_that_is_slow_behind_its_beginning_is_found() -> None:
    compiled = re.compile(r"\{[^{}\s]*(?:,[^{}\s]*)+\}")
    assert any(
        seconds(compiled, "finditer", f"{head}{piece * 24}!") > 10 * SECONDS
        for head, piece in runs(compiled.pattern, 0)
    )


def test_digits_are_those_of_ascii() -> None:
    """`str.isdigit` and its kin are true for characters that `int` refuses or servers do not know."""
    used = [
        f"{path.name}:{node.lineno}"
        for path in Path(sslint.__path__[0]).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("isdigit", "isdecimal", "isnumeric")
    ]
    assert [place.partition(":")[0] for place in used] == ["regex.py"]
    assert [is_number(text) for text in ("0123456789", "", "4²", "٤٤٣", "４４３")] == [
        True, False, False, False, False
    ]  # fmt: skip
