"""nginx's configuration syntax: text to a tree of directives, includes expanded.

The tokenizer is `ngx_conf_read_token`, the includes are `ngx_conf_include`
(src/core/ngx_conf_file.c).
"""

from __future__ import annotations

import posixpath
import re
from sys import intern

from sslint.network.whole import is_whole_etc, lacks
from sslint.reasons import Code
from sslint.regex import regex
from sslint.servers.nginx.directive import Directive
from sslint.servers.nginx.shapes import MAX_NESTED, Shapes
from sslint.servers.nginx.templates import FILLED_IN, masked
from sslint.source import Location, SourceFile
from sslint.tree import Status, Tree, TreeError
from sslint.values import dataclass, field

MAX_TOKEN = 4096  # bytes, NGX_CONF_BUFFER
MAX_DEPTH = 64  # nested blocks in one file, and nested includes
MAX_DIRECTIVES = 250_000  # that are counted one by one, before it is enough

# Blocks whose lines are not directives; nginx refuses a block in them.
_TABLES = frozenset(("types", "map", "geo", "split_clients", "charset_map"))

_SPACES = (" ", "\t", "\r", "\n")
_SPACE = r"[ \t\r\n]"
_PLAIN = r"[^\s;{}#\"'\\]"
# One statement made of plain words, or a closing brace, after spaces and comments. `${` is not
# plain, nor is anything that str.split would split and nginx would not.
_STATEMENT = regex(
    rf"{_SPACE}*+(?:#[^\n]*+\n{_SPACE}*+)*+"
    rf"(?:({_PLAIN}++(?:{_SPACE}++{_PLAIN}++)*+){_SPACE}*+(;|(?<!\$)\{{)|(\}})|\Z)"
)
_SKIP = regex(rf"(?:{_SPACE}++|(#[^\n]*+))")
_WORD = regex(r"(?:[^ \t\r\n;{\\$]++|\\.|\$\{*+)++", re.DOTALL)
_QUOTED = {
    '"': regex(r'"((?:[^"\\]++|\\.)*+)"', re.DOTALL),
    "'": regex(r"'((?:[^'\\]++|\\.)*+)'", re.DOTALL),
}
_ESCAPE = regex(r"\\([\"'\\trn])")
_ESCAPED = {"t": "\t", "r": "\r", "n": "\n"}
_GLOB = regex(r"[*?\[]")
_LUA = regex(
    r"--\[(?P<comment>=*)\[|--[^\n]*|\[(?P<long>=*)\["
    r"|\"(?:[^\"\\\n]|\\.)*+\"|'(?:[^'\\\n]|\\.)*+'|(?P<brace>[{}])",
    re.DOTALL,
)

# Included files that no package or program puts a listener in.
# Directories that a package makes, and leaves empty.
_STOCK = frozenset(
    ("conf.d", "http.d", "vhosts.d", "default.d", "sites-enabled", "modules-enabled", "modules.d")
)
HARMLESS_INCLUDES = frozenset(
    (
        "mime.types",
        "fastcgi.conf",
        "fastcgi-php.conf",
        "fastcgi_params",
        "proxy_params",
        "scgi_params",
        "uwsgi_params",
        "koi-utf",
        "koi-win",
        "win-utf",
        "options-ssl-nginx.conf",
    )
)


REST = "the rest of this file"  # what stands for it is an include that was not given


@dataclass(slots=True)
class Loader:
    """Reads a main configuration file with all it includes; nothing is read twice.

    `fatal`: nginx certainly refuses these files; `missing`: includes that could not be read.
    A statement `include` that stays in the tree stands for what is not known.
    """

    tree: Tree
    directory: str
    files: list[str] = field(default_factory=list)
    fatal: list[tuple[Location, str]] = field(default_factory=list)
    broken: bool = False  # some file could not be read to its end
    absent: list[Directive] = field(default_factory=list)  # includes of absent directories
    templates: set[SourceFile] = field(default_factory=set)
    _loaded: dict[str, list[Directive]] = field(default_factory=dict)
    _weights: dict[str, int] = field(default_factory=dict)
    _open: list[str] = field(default_factory=list)
    # Statements by their text: sites say the same.
    words: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    shapes: Shapes = field(default_factory=Shapes)

    def load(self, path: str) -> list[Directive]:
        """Return the statements of a file. Raise TreeError if it cannot be read."""
        known = self._loaded.get(path)
        if known is None:
            file = self.tree.read(path)
            self.files.append(path)
            whole = self.shapes.whole(file)
            if whole is not None:
                known, self._weights[path] = whole
                self._loaded[path] = known
                return known
            fatal = len(self.fatal)
            self._open.append(path)
            text, is_template = masked(file.text)
            if is_template:
                self.templates.add(file)
            try:
                shapes = None if is_template else self.shapes
                known = _Parser(file, text, self, shapes).parse()
            finally:
                self._open.pop()
            self._loaded[path] = known
            if "include" not in text:
                weight = self._weights[path] = text.count(";") + text.count("{")
                if not is_template and len(self.fatal) == fatal:
                    self.shapes.learn_whole(file, known, weight)
        return known

    def _weight(self, path: str, statements: list[Directive]) -> int:
        """Return how many statements a file stands for."""
        found = self._weights.get(path)
        if found is None:
            found = self._weights[path] = _weight(statements)
        return found

    def error(self, where: Location, reason: str) -> None:
        """Record what nginx refuses to read."""
        self.broken = True
        if where.file in self.templates:
            self.tree.problem(where, f"in a template: {reason}", decisive=False, code=Code.TEMPLATE)
            return
        self.tree.problem(where, reason, code=Code.REFUSED)
        self.fatal.append((where, reason))

    def include(self, directive: Directive) -> list[Directive]:
        """Return what an include statement stands for; itself where that is not known."""
        pattern = posixpath.join(self.directory, directive.args[0])
        if FILLED_IN in pattern:
            return [directive]
        if "\0" in pattern:
            self.error(directive.location, "a NUL byte in a file name")
            return [directive]
        if not _GLOB.search(pattern):
            return self._include_file(directive, pattern, directive.location)
        parent = posixpath.dirname(pattern)
        paths = self.tree.glob(pattern, location=directive.location)
        more: list[Directive] = []  # stands for what is not known
        if not _GLOB.search(parent):
            if not self.tree.holds(parent, within=self.directory) or self._links_lost(parent):
                said = "was not given, so its content is not known"
                if paths:
                    said = "was given only in part, so the rest of it is not known"
                self.tree.problem(
                    directive.location, f"{parent} {said}", decisive=False, code=Code.NOT_GIVEN
                )
                more = [directive]
            elif not self.tree.listable(parent):
                self.tree.problem(
                    directive.location, f"{parent} cannot be read", code=Code.UNREADABLE
                )
                self.broken = True
                return [directive]
            elif not self.tree.live and self.tree.status(parent) is Status.ABSENT:
                self.absent.append(directive)
                if posixpath.basename(parent) not in _STOCK and not is_whole_etc(self.tree):
                    more = [directive]  # the operator's own, and git keeps no empty directories
        found: list[Directive] = []
        where = directive.location
        for path in paths:
            found += self._include_file(directive, path, where)
        return found + more

    def _include_file(self, directive: Directive, path: str, where: Location) -> list[Directive]:
        if path in self._open or len(self._open) >= MAX_DEPTH:
            self.error(directive.location, f"includes itself without end: {path}")
            return [directive]
        try:
            statements = self.load(path)
        except TreeError as error:
            self._missing(directive, path, error)
            return [directive]
        self.tree.budgets.spend("includes", 1, where)
        self.tree.budgets.spend("statements", self._weight(path, statements), where)
        return statements

    def _missing(self, directive: Directive, path: str, error: TreeError) -> None:
        where = directive.location
        if error.status in (Status.DIRECTORY, Status.OTHER):
            self.error(where, f"{path} {error.reason}: nginx does not start")
        elif error.status is Status.UNKNOWN:
            self.tree.problem(where, error.reason, subject=path, code=error.code)
            self.broken = True
        elif posixpath.basename(path) in HARMLESS_INCLUDES:
            self.tree.problem(where, f"{path} was not given", decisive=False, code=Code.NOT_GIVEN)
        elif lacks(self.tree, path):
            said = f"{path}: no such file, and nginx does not start without it"
            self.tree.problem(where, said, code=Code.REFUSED)
            self.broken = True
        else:
            said = f"{path} was not given, so its content is not known"
            self.tree.problem(where, said, decisive=False, code=Code.NOT_GIVEN)

    def _links_lost(self, directory: str) -> bool:
        """Tell whether the sites are there and the directory of links to them is not."""
        available = posixpath.join(posixpath.dirname(directory), "sites-available")
        return (
            posixpath.basename(directory) == "sites-enabled"
            and self.tree.status(directory) is Status.ABSENT
            and self.tree.status(available) is Status.DIRECTORY
        )


def unknown_includes(statements: list[Directive]) -> list[Directive]:
    """Return the includes whose files are not known and may hold what matters here."""
    if not statements:
        return []
    return [
        directive
        for directive in statements
        if directive.name == "include"
        and not (
            directive.args
            and (
                posixpath.basename(directive.args[0]) in HARMLESS_INCLUDES
                or "/modules" in directive.args[0]
            )
        )
    ]


def _weight(statements: list[Directive]) -> int:
    """Count statements with all below them, shared ones as often as they occur."""
    count = 0
    pending = [statements]
    while pending and count <= MAX_DIRECTIVES:
        block = pending.pop()
        count += len(block)
        pending += [d.block for d in block if d.block]
    return count


class _Parser:
    """Parses one file; an error ends it there and keeps what was read."""

    def __init__(self, file: SourceFile, text: str, loader: Loader, shapes: Shapes | None) -> None:
        self.file = file
        self.text = text
        self.loader = loader
        self.shapes = shapes

    def fail(self, position: int, reason: str) -> None:
        position = min(position, len(self.text))
        self.loader.error(self.file.span(position, position + 1), reason)

    def parse(self) -> list[Directive]:
        text, file = self.text, self.file
        scan = _STATEMENT.match
        known = self.loader.words
        shapes = self.shapes
        short = MAX_TOKEN // 4
        name: str = ""
        args: tuple[str, ...] = ()
        top: list[Directive] = []
        current = top
        stack: list[tuple[list[Directive], str]] = []
        position = 0
        inside = ""
        if text.startswith("\ufeff"):
            self.fail(0, "a byte order mark, which nginx takes for part of the first word")
            position = 1
        while True:
            match = scan(text, position)
            if match is not None and (end := match.end()) - position < short:
                whole, end_char, closing = match.groups()
                start, position = match.start(1), end
                if whole is None:
                    end_char = "}" if closing else ""
                    start = end - 1
                elif (statement := known.get(whole)) is not None:
                    name, args = statement
                else:
                    name, *rest = whole.split()
                    name, args = known[whole] = intern(name), tuple(rest)
            else:
                found = self._words(position)
                if found is None:
                    if stack:  # the block may say more: without a listen it has no default one
                        current.append(Directive("include", (REST,), file, position, position))
                    return top
                words, start, position, end_char = found
                name, args = (intern(words[0]), tuple(words[1:])) if words else ("", ())
            if end_char == ";":
                directive = Directive(name, args, file, start, position)
                if name == "include" and len(args) == 1:
                    current.extend(self.loader.include(directive))
                else:
                    current.append(directive)
            elif end_char == "{":
                is_server = name == "server" and not args and len(stack) < MAX_NESTED
                if is_server and shapes is not None and inside not in _TABLES:
                    alike = shapes.find(file, text, start, position)
                    if alike is not None:
                        current.append(alike[0])
                        position = alike[1]
                        continue
                directive = Directive(name, args, file, start, position, [])
                current.append(directive)
                if name.endswith("_by_lua_block"):
                    closed = _skip_lua(text, position)
                    if closed is None:
                        self.fail(start, 'unexpected end of file, expecting "}" of a Lua block')
                        return top
                    position = closed
                    continue
                if inside in _TABLES or len(stack) >= MAX_DEPTH:
                    self.fail(start, f'unexpected "{{" in {inside}')
                    return top
                stack.append((current, inside))
                assert directive.block is not None
                current, inside = directive.block, name
            elif end_char == "}":
                if not stack:
                    self.fail(start, 'unexpected "}"')
                    return top
                ended = inside
                current, inside = stack.pop()
                if ended == "server" and shapes is not None:
                    shapes.learn(text, current[-1], position)
            else:
                if stack:
                    opened = stack[-1][0][-1].start
                    self.fail(opened, 'unexpected end of file: this block has no closing "}"')
                return top

    def _words(self, position: int) -> tuple[list[str], int, int, str] | None:
        """Read the words of one statement, any of them; None after an error."""
        text, length = self.text, len(self.text)
        words: list[str] = []
        first = -1
        while True:
            while skipped := _SKIP.match(text, position):
                # Only a comment that ends the file may fill the buffer.
                if skipped[1] and _bytes(skipped[1]) - (skipped.end() == length) >= MAX_TOKEN:
                    self.fail(position, "a comment longer than 4096 bytes")
                    return None
                position = skipped.end()
            if position >= length:
                if words:
                    self.fail(first, 'unexpected end of file, expecting ";" or "}"')
                    return None
                return words, position, position, ""
            char = text[position]
            if char in ";{":
                if not words:
                    self.fail(position, f'unexpected "{char}"')
                    return None
                return words, first, position + 1, char
            if char == "}":
                if words:
                    self.fail(position, 'unexpected "}": the statement before it has no ";"')
                    return None
                return words, position, position + 1, char
            if first < 0:
                first = position
            quoted = _QUOTED.get(char)
            match = (quoted or _WORD).match(text, position)
            if match is None or (not quoted and match.end() == length):
                self._unterminated(position if quoted else first, quoted is not None)
                return None
            raw = match[1] if quoted else match[0]
            words.append(_unescape(raw) if "\\" in raw else raw)
            position = match.end()
            # The buffer holds the word, its closing quote, and a space that follows it.
            space = text[position : position + 1] in _SPACES
            if _bytes(raw) + bool(quoted) + space >= MAX_TOKEN:
                self.fail(match.start(), "a word longer than 4096 bytes")
                return None
            if quoted and position < length and text[position] not in " \t\r\n;{)":
                self.fail(position, f'unexpected "{_shown(text[position])}" after a quote')
                return None

    def _unterminated(self, position: int, quoted: bool) -> None:
        if quoted:
            self.fail(position, "a quote that is not closed")
        else:
            self.fail(position, 'unexpected end of file, expecting ";" or "}"')


def _bytes(raw: str) -> int:
    """Return the size of a text in UTF-8, not exact where it is certainly small."""
    if len(raw) * 4 < MAX_TOKEN - 4:
        return len(raw)
    return len(raw.encode("utf-8", "surrogateescape"))


def _unescape(raw: str) -> str:
    return _ESCAPE.sub(lambda match: _ESCAPED.get(match[1], match[1]), raw)


def _shown(char: str) -> str:
    return char if char.isprintable() else f"\\x{ord(char):02x}"


def _skip_lua(text: str, position: int) -> int | None:
    """Return the offset after the brace that closes a Lua block, or None."""
    depth = 1
    while match := _LUA.search(text, position):
        position = match.end()
        level = match["comment"] if match["comment"] is not None else match["long"]
        if level is not None:
            close = text.find(f"]{level}]", position)
            if close < 0:
                return None
            position = close + len(level) + 2
        elif match["brace"]:
            depth += 1 if match["brace"] == "{" else -1
            if not depth:
                return position
    return None
