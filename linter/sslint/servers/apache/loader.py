"""Reading Apache's files as the server does: what is carried out while they are read.

Sources: ap_build_config, process_resource_config (server/config.c), the conditions of
server/core.c, mod_version.c and mod_macro.c. A condition that the files do not decide leaves a
doubt on all that it holds.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from sslint import globs
from sslint.network.whole import is_whole, lacks
from sslint.reasons import Code, Reason
from sslint.regex import regex
from sslint.servers.apache.environment import UNKNOWN, Environment
from sslint.servers.apache.modules import Modules
from sslint.servers.apache.syntax import SPACES, Directive, Line, lines, next_word, split, words
from sslint.servers.apache.versions import compare
from sslint.servers.filled import has_mark
from sslint.source import Location, SourceFile
from sslint.tree import Status, Tree, TreeError
from sslint.values import dataclass, field

MAX_DEPTH = 20  # directories below an included one, AP_MAX_INCLUDE_DIR_DEPTH
MAX_INCLUDES = 64  # nested files
MAX_SECTIONS = 64  # nested in one file
MAX_LINES = 500_000  # of all files and macros
MAX_LENGTH = 16 << 20
MAX_ALIKE = 10_000  # lines whose words are remembered
CERTBOT = "options-ssl-apache.conf"

_VARIABLE = regex(r"\$\{([^}]*)\}")
# Of the files that Apache's makers ship beside httpd.conf, those without sockets, sites and TLS.
_EXTRA = regex(
    r"/extra/(httpd-(autoindex|dav|default|info|languages|manual|mpm|multilang-errordoc|userdir)"
    r"|proxy-html)\.conf$"
)
_ONLY_MODULES = regex(r"mods-enabled|modules?\.d|modules?/")
_CONDITIONS = ("<ifmodule", "<ifdefine", "<iffile", "<ifdirective", "<ifsection", "<ifversion")
_AT_ONCE = frozenset(
    ("include", "includeoptional", "define", "undefine", "loadmodule", "serverroot", "use")
)  # what is carried out while it is read


@dataclass(slots=True)
class _Macro:
    parameters: tuple[str, ...]
    body: list[Line]
    location: Location
    doubt: str


@dataclass(slots=True)
class _Open:
    """A section that is not closed yet; a condition holds no statements of its own."""

    name: str
    block: list[Directive]  # where statements go
    doubt: str
    line: Line


@dataclass(slots=True)
class Loader:
    """Reads a main file with all it includes into one list of statements.

    `fatal`: why Apache certainly refuses these files. `lost`: includes that were not given; each
    stands in the statements, too. `broken`: some file could not be read to its end.
    """

    tree: Tree
    root: str
    modules: Modules
    environment: Environment
    version: tuple[int, ...] | None = None
    read: dict[str, None] = field(default_factory=dict)  # the files, in their order
    fatal: list[Reason] = field(default_factory=list)
    filled_in: list[Location] = field(default_factory=list)  # by templates
    lost: list[Directive] = field(default_factory=list)
    absent: list[Directive] = field(default_factory=list)  # optional ones of absent directories
    dangling: list[tuple[Directive, str]] = field(default_factory=list)
    assumptions: list[str] = field(default_factory=list)
    broken: bool = False
    _variables: dict[str, str | None] = field(default_factory=dict)  # apr_table: lower case
    _defined: dict[str, bool] = field(default_factory=dict)  # False: perhaps
    _macros: dict[str, _Macro] = field(default_factory=dict)
    _open: list[str] = field(default_factory=list)
    _using: list[str] = field(default_factory=list)
    _paths: dict[tuple[str, str], str] = field(default_factory=dict)
    _words: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    _count: int = 0

    @property
    def files(self) -> list[str]:
        """The files that were read, in their order."""
        return list(self.read)

    def load(self, path: str) -> list[Directive]:
        """Return the statements of the main file. Raise TreeError if it cannot be read."""
        for name in self.environment.defines:
            self._defined[name] = True
        file = self.tree.read(path)
        found: list[Directive] = []
        self._file(path, file, found, "")
        return found

    def refuse(
        self, where: Location, text: str, doubt: str = "", code: Code = Code.REFUSED
    ) -> None:
        """Record that Apache does not start; what may not be read, or is another, is no reason."""
        if has_mark(where):
            self.filled_in.append(where)
        elif not doubt:
            self.fatal.append(Reason(code, where, text))

    def path(self, name: str) -> str:
        """Return a path as Apache takes it: below ServerRoot unless it is absolute."""
        path = self._paths.get((self.root, name))
        if path is None:
            path = posixpath.normpath(posixpath.join(self.root, name))
            self._paths[self.root, name] = path
        return path

    def words(self, text: str) -> tuple[str, tuple[str, ...]]:
        """Return a statement's name, in lower case, and its arguments."""
        found = self._words.get(text)
        if found is None:
            word, args = split(text, self.expand)
            found = word.lower(), tuple(args)
            if "$" not in text and len(self._words) < MAX_ALIKE:
                self._words[text] = found
        return found

    def expand(self, text: str) -> str:
        """Put in what variables hold; one that is not set stays as it is (ap_resolve_env)."""
        if "${" not in text:
            return text
        found = _VARIABLE.sub(lambda match: self._value(match[1], match[0]), text)
        return found if len(found) < MAX_LENGTH else UNKNOWN

    def _value(self, name: str, written: str) -> str:
        if name.lower() in self._variables:
            value = self._variables[name.lower()]
            return UNKNOWN if value is None else value
        found = self.environment.value(name)
        if found is not None:
            return found
        return UNKNOWN if self.lost else written

    # -- files ---------------------------------------------------------------------------------

    def _file(self, path: str, file: SourceFile, block: list[Directive], doubt: str) -> None:
        self.read[path] = None
        self._open.append(path)
        _Parser(self, file, block, doubt).run()
        self._open.pop()

    def include(self, directive: Directive, block: list[Directive]) -> None:
        """Read what Include or IncludeOptional names, as process_resource_config does."""
        optional = directive.name == "includeoptional"
        if len(directive.args) != 1:
            said = f"{directive.name} takes one argument"
            self.refuse(directive.location, said, directive.doubt)
            return
        name = directive.value
        if UNKNOWN in name:
            self._lose(directive, block)
            return
        path = self.path(name)
        if globs.is_pattern(name):
            self._pattern(directive, block, "/", path.lstrip("/"), optional)
        else:
            self._one(directive, block, path, optional, 0)

    def _pattern(
        self, directive: Directive, block: list[Directive], above: str, rest: str, optional: bool
    ) -> None:
        head, _, tail = rest.partition("/")
        if not globs.is_pattern(head):
            path = posixpath.join(above, head)
            if tail:
                self._pattern(directive, block, path, tail, optional)
            else:
                self._one(directive, block, path, optional, 0)
            return
        tree = self.tree
        if not self._given(above):
            self._lose(directive, block)
            if tree.status(above) is not Status.DIRECTORY:
                return
        elif tree.status(above) is not Status.DIRECTORY:
            if not optional and lacks(tree, above):
                said = f"the directory {above} does not exist, and Apache does not start without it"
                self.refuse(directive.location, said, directive.doubt)
            elif not optional or (above == f"{self.root}/sites-enabled" and not is_whole(tree)):
                self._lose(directive, block)
            elif not tree.live:
                self.absent.append(directive)
            return
        elif not tree.listable(above):
            tree.problem(directive.location, f"{above} cannot be read")
            self.broken = True
            return
        paths = tree.glob(posixpath.join(above, head))
        if tail:
            paths = [path for path in paths if tree.status(path) is Status.DIRECTORY]
        for path in paths:
            if tail:
                self._pattern(directive, block, path, tail, optional)
            else:
                self._one(directive, block, path, optional, 0)
        if not paths and not optional and self._given(above):
            if not is_whole(tree):
                self._lose(directive, block)
                return
            said = f"no file matches {head} in {above}, and Apache does not start without one"
            self.refuse(directive.location, said, directive.doubt)

    def _given(self, directory: str) -> bool:
        tree = self.tree
        return tree.live or tree.holds(directory, within=self.root)

    def _one(
        self, directive: Directive, block: list[Directive], path: str, optional: bool, depth: int
    ) -> None:
        """Read a file, or all files of a directory, dot-files and those below among them."""
        tree = self.tree
        status = tree.status(path)
        if status is Status.DIRECTORY:
            if depth > MAX_DEPTH:
                said = f"directories are nested more than {MAX_DEPTH} deep"
                self.refuse(directive.location, said, directive.doubt)
                return
            for name in sorted(
                tree.names(path), key=lambda name: name.encode(errors="surrogateescape")
            ):
                self._one(directive, block, posixpath.join(path, name), optional, depth + 1)
            return
        if status is Status.ABSENT:
            self._missing(directive, block, path, optional)
            return
        where = directive.location
        if path in self._open or len(self._open) >= MAX_INCLUDES:
            self.refuse(where, f"includes itself without end: {path}", directive.doubt)
            return
        try:
            file = tree.read(path)
        except TreeError as error:
            tree.problem(where, f"{path} cannot be read: {error.reason}", subject=path)
            self.broken = True
            self._lose(directive, block, told=True)
            return
        self._file(path, file, block, directive.doubt)

    def _missing(
        self, directive: Directive, block: list[Directive], path: str, optional: bool
    ) -> None:
        absent = self.tree.absent(path, within=self.root)
        link = self.tree.link_target(path)
        if link is not None and optional:
            self.dangling.append((directive, path))
        if absent is None and posixpath.basename(path) == CERTBOT:
            said = f"{path} was not given; certbot's has `SSLEngine on`"
            self.assumptions.append(said)
            block.append(
                Directive(
                    "sslengine", ("on",), directive.file, directive.line, None, directive.doubt
                )
            )
        elif optional and (absent or link is not None):
            return
        elif lacks(self.tree, path):
            said = f"{path}: no such file, and Apache does not start without it"
            self.refuse(directive.location, said, directive.doubt)
            self._lose(directive, block, told=True)
        elif _EXTRA.search(path):
            above = posixpath.dirname(path)
            said = f"files of {above} that were not given have no listener, as Apache ships them"
            self.assumptions += [] if said in self.assumptions else [said]
        else:
            self._lose(directive, block)

    def _lose(self, directive: Directive, block: list[Directive], told: bool = False) -> None:
        """Leave a statement in the place of what is not known."""
        what = directive.value.replace(UNKNOWN, "?")
        said = f"{what} was not given, so its content is not known"
        if not told:
            self.tree.problem(directive.location, said, decisive=False)
        self.modules.complete = False
        if _ONLY_MODULES.search(what) and not told:
            return
        lost = Directive("include", directive.args, directive.file, directive.line, None, said)
        self.lost.append(lost)
        block.append(lost)

    def is_piece(self) -> bool:
        """Tell whether Debian's main file includes nothing: it is what an operator adds to it."""
        return (
            not is_whole(self.tree)
            and self.files == ["/etc/apache2/apache2.conf"]
            and not self.modules.loads
        )

    def lose(self, what: str, near: Directive) -> None:
        """Record that something was not given of which no statement tells."""
        said = f"{what} was not given, so its content is not known"
        self.lost.append(Directive("include", (what,), near.file, near.line, None, said))

    # -- what is carried out at once -----------------------------------------------------------

    def define(self, directive: Directive) -> None:
        """Carry out Define; what may not be read leaves the value unknown."""
        args = directive.args
        if not 1 <= len(args) <= 2 or ":" in args[0]:
            said = "Define takes a name without a colon and perhaps a value"
            self.refuse(directive.location, said, directive.doubt)
            return
        sure = not directive.doubt
        self._defined[args[0]] = sure or self._defined.get(args[0], False)
        if len(args) == 2:
            self._variables[args[0].lower()] = args[1] if sure else None

    def undefine(self, directive: Directive) -> None:
        """Carry out UnDefine."""
        if directive.doubt:
            if directive.value in self._defined:
                self._defined[directive.value] = False
            self._variables[directive.value.lower()] = None
        else:
            self._defined.pop(directive.value, None)
            self._variables.pop(directive.value.lower(), None)

    def is_defined(self, name: str) -> bool | None:
        """Answer IfDefine; None where what was not read may define it."""
        found = self._defined.get(name)
        if found is not None:
            return found or None
        return None if self.environment.open or self.lost else False

    def load_module(self, directive: Directive) -> None:
        """Carry out LoadModule; the file of the module is taken to be there."""
        if len(directive.args) != 2:
            said = "LoadModule takes two arguments, a module name and the name of a shared object"
            self.refuse(directive.location, said, directive.doubt)
        elif directive.doubt:
            self.modules.complete = False
            self.modules.loads = True
        else:
            self.modules.loads = True
            self.modules.load(directive.value)

    def condition(self, name: str, text: str) -> bool | None:
        """Answer a condition with the text of its opening tag; None if it is not decided."""
        text = text.strip(SPACES)
        negated = text.startswith("!")
        if name == "<ifversion":
            return self._version(text)
        word, _ = next_word(text.removeprefix("!"), self.expand)
        if UNKNOWN in word:
            return None
        found: bool | None
        if name == "<ifmodule":
            found = self.modules.has(word)
        elif name == "<ifdefine":
            found = self.is_defined(word)
        elif name == "<iffile":
            found = self._exists(self.path(word))
        else:
            section = f"<{word.lower().lstrip('<')}"
            wanted = section if name == "<ifsection" else word.lower()
            found = self.modules.place(wanted) is not None
            found = found or (None if not self.modules.lacks(wanted) else False)
        return found if found is None else found is not negated

    def _exists(self, path: str) -> bool | None:
        if self.tree.exists(path):
            return True
        absent = self.tree.absent(path, within=self.root)
        return False if absent else None

    def _version(self, text: str) -> bool | None:
        operator, rest = next_word(text, self.expand)
        wanted = next_word(rest, self.expand)[0]
        if not wanted:
            operator, wanted = "=", operator
        if UNKNOWN in operator + wanted:
            return None
        return compare(operator, wanted, self.version)

    def macro(self, text: str, body: list[Line], where: Location, doubt: str) -> None:
        """Carry out <Macro>."""
        head = text.strip(SPACES).removesuffix(">")
        found = words(head, lambda word: word)
        if not found:
            self.refuse(where, "a macro without a name", doubt)
            return
        self._macros[found[0].lower()] = _Macro(tuple(found[1:]), body, where, doubt)

    def use(self, directive: Directive) -> Iterator[Line]:
        """Yield the lines of a macro with its arguments put in."""
        name = directive.value.lower()
        macro = self._macros.get(name)
        where = directive.location
        if macro is None:
            if not self.lost:
                self.refuse(where, f"macro {directive.value} is not defined", directive.doubt)
            return
        if len(directive.args) - 1 != len(macro.parameters):
            said = f"macro {directive.value} takes {len(macro.parameters)} arguments"
            self.refuse(where, said, directive.doubt)
            return
        if name in self._using:
            self.refuse(where, f"macro {directive.value} uses itself", directive.doubt)
            return
        values = dict(zip(macro.parameters, directive.args[1:], strict=True))
        names = sorted(values, key=len, reverse=True)
        pattern = re.compile("|".join(map(re.escape, names))) if names else None
        self._using.append(name)
        for line in macro.body:
            text = line.text
            if pattern is not None and ("$" in text or pattern.search(text)):
                text = pattern.sub(lambda match: values[match[0]], text)
            yield Line(text, line.file, line.number)
        self._using.remove(name)

    def count(self, where: Location | None = None) -> bool:
        """Count a line; tell whether there are too many."""
        self._count += 1
        if self._count == MAX_LINES and where is not None:
            self.tree.problem(where, f"more than {MAX_LINES:,} lines with all that they include")
            self.broken = True
        return self._count >= MAX_LINES


class _Parser:
    """Reads the lines of one file (ap_build_config)."""

    def __init__(
        self, loader: Loader, file: SourceFile, block: list[Directive], doubt: str
    ) -> None:
        self.loader = loader
        self.file = file
        self.sources: list[Iterator[Line]] = [lines(file)]
        self.block = block
        self.doubt = doubt
        self.open: list[_Open] = []

    def run(self) -> None:
        """Read the whole file; the lines of a macro come before the rest."""
        loader = self.loader
        while self.sources:
            source = self.sources[-1]
            for line in source:
                if loader.count():
                    loader.count(line.file.at(line.number))
                    return
                if line.text[0] == "<":
                    self.section(line)
                else:
                    self.statement(line)
                if not self.sources or self.sources[-1] is not source:
                    break
            else:
                self.sources.pop()
        for one in reversed(self.open):
            if one.name in _CONDITIONS:
                continue  # one that holds may stay open to the end (ap_build_cont_config)
            loader.refuse(one.line.place, f"{one.name}> was not closed", one.doubt)

    def next(self) -> Line | None:
        """Return the next line."""
        while self.sources:
            line = next(self.sources[-1], None)
            if line is not None:
                return line
            self.sources.pop()
        return None

    def statement(self, line: Line) -> None:
        text, column = line.text, line.column
        name, args = self.loader.words(text)
        end = column + len(text)
        made = Directive(name, args, line.file, line.number, None, self.doubt, column, end)
        if name not in _AT_ONCE:
            self.block.append(made)
            return
        loader = self.loader
        if name in ("include", "includeoptional"):
            loader.include(made, self.block)
        elif name == "define":
            loader.define(made)
        elif name == "undefine":
            loader.undefine(made)
        elif name == "loadmodule":
            loader.load_module(made)
        elif name == "serverroot":
            if made.value.startswith("/") and not self.doubt:
                loader.root = posixpath.normpath(made.value)
        elif name == "use" and loader.modules.place("use") is not None:
            self.sources.append(loader.use(made))
        else:
            self.block.append(made)

    def section(self, line: Line) -> None:
        word, rest = next_word(line.text, self.loader.expand)
        loader = self.loader
        if word.startswith("</"):
            self.close(word, line)
            return
        name = word.lower()
        closed = name.endswith(">")  # <RequireAll>
        if closed:
            name = name[:-1]
        if name == "<":
            loader.refuse(line.place, "a section without a name", self.doubt)
            return
        if name in _CONDITIONS and loader.modules.place(name) is not None:
            self.condition(name, rest, line)
        elif name == "<macro" and loader.modules.place(name) is not None:
            loader.macro(rest, self.body(name), line.place, self.doubt)
        else:
            end = rest.rfind(">")
            if end < 0 and not closed:
                loader.refuse(line.place, f"{word}> directive missing closing '>'", self.doubt)
            text = rest[:end] if end >= 0 else rest
            args = tuple(words(text, loader.expand))
            block: list[Directive] = []
            end = line.column + len(line.text)
            self.block.append(
                Directive(name, args, line.file, line.number, block, self.doubt, line.column, end)
            )
            self.enter(name, line)
            self.block = block

    def enter(self, name: str, line: Line) -> None:
        if len(self.open) >= MAX_SECTIONS:
            said = f"sections are nested more than {MAX_SECTIONS} deep"
            self.loader.refuse(line.place, said, self.doubt)
            self.sources.clear()
            return
        self.open.append(_Open(name, self.block, self.doubt, line))

    def condition(self, name: str, text: str, line: Line) -> None:
        end = text.rfind(">")
        if end < 0 or not text[:end].strip(SPACES).lstrip("!"):
            self.loader.refuse(
                line.place, f"{name}> needs an argument and a closing '>'", self.doubt
            )
            return
        holds = self.loader.condition(name, text[:end])
        if holds is False:
            self.body(name)
            return
        self.enter(name, line)
        if holds is None and not self.doubt:
            what = text[:end].strip(SPACES).replace(UNKNOWN, "?")
            shown = {"<ifmodule": "IfModule", "<ifdefine": "IfDefine", "<iffile": "IfFile"}
            said = f"it is inside <{shown.get(name, name[1:])} {what}>"
            self.doubt = f"{said}, which the files do not decide"

    def close(self, word: str, line: Line) -> None:
        loader = self.loader
        if not word.endswith(">"):
            loader.refuse(line.place, f"{word}> directive missing closing '>'", self.doubt)
            return
        name = f"<{word[2:-1].lower()}"
        if not self.open:
            loader.refuse(line.place, f"{word} without matching {name}> section", self.doubt)
            return
        top = self.open[-1]
        if top.name != name:
            said = f"expected </{top.name[1:]}> but saw {word}"
            loader.refuse(line.place, said, self.doubt)
            if all(one.name != name for one in self.open):
                return
            while self.open[-1].name != name:
                self.open.pop()
        top = self.open.pop()
        self.block, self.doubt = top.block, top.doubt

    def body(self, name: str) -> list[Line]:
        """Return the lines up to the end of a section, nested ones among them."""
        found: list[Line] = []
        expected = [name]
        while (line := self.next()) is not None:
            if self.loader.count():
                return found
            if line.text[0] == "<":
                word = line.text.split(None, 1)[0].lower().removesuffix(">")
                if not word.startswith("</"):
                    expected.append(word)
                elif word[2:] == expected[-1][1:]:
                    expected.pop()
                    if not expected:
                        return found
                else:
                    said = f"expected </{expected[-1][1:]}> but saw {word}>"
                    self.loader.refuse(line.file.at(line.number), said, self.doubt)
                    return found
            found.append(line)
        said = f"expected </{name[1:]}> before end of configuration"
        self.loader.refuse(self.file.at(len(self.file.starts)), said, self.doubt)
        return found
