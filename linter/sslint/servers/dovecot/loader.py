"""Read dovecot.conf and its includes into filters and their settings.

Source: src/config/config-parser.c of 2.4.1 and of 2.3.21, and old-set-parser.c of 2.3.21.
"""

from __future__ import annotations

import contextlib
import posixpath
import re

from sslint.network.whole import is_whole
from sslint.reasons import Code, Reason
from sslint.regex import regex
from sslint.servers.dovecot import names
from sslint.servers.dovecot.settings import (
    Block,
    Choices,
    Configuration,
    Named,
    Value,
    default_protocols,
)
from sslint.servers.dovecot.syntax import Kind, Line, Reader
from sslint.source import Location, SourceFile
from sslint.tree import Status, Tree, TreeError
from sslint.values import dataclass

# What conf.d/10-auth.conf includes lies there with the package; a checkout may well lack it.
_PACKAGED = regex(r"/conf\.d/auth-[\w-]+\.conf\.ext$")
_OF_TLS = regex(r"^(ssl\s*=|[ \t]*ssl_\w+\s*=)", re.M)  # not an inet_listener's
_STOCK = "/etc/dovecot/conf.d/*.conf"
MAX_DEPTH = 100
MAX_VALUE = 1 << 20  # characters; `$setting` can double a value again and again


class _StopError(Exception):
    """The rest of the configuration is not read."""


@dataclass(slots=True)
class _Section:
    block: Block
    listing: str  # the list whose items stand here, "" in a filter
    location: Location | None
    ignored: bool = False


def load(tree: Tree, entry: SourceFile) -> Configuration:
    """Return everything that a configuration and its includes set."""
    modern = _is_modern(entry)
    root = Block("", "", None, 0, None)
    configuration = Configuration(root, modern, Location(entry, 1), blocks=[root])
    with contextlib.suppress(_StopError):
        _Loader(tree, configuration, entry).run()
    return configuration


def _is_modern(entry: SourceFile) -> bool:
    """Tell 2.4 syntax by its version line, which must be the first setting of the main file."""
    if "dovecot_config_version" not in entry.text:
        return False
    reader, pending = Reader(entry, modern=True), list[str]()
    while line := reader.next(pending):
        if line.key == "dovecot_config_version":
            return True
    return False


class _Loader:
    """Read files in Dovecot's order: an include is read where it stands, in its block."""

    def __init__(self, tree: Tree, configuration: Configuration, entry: SourceFile) -> None:
        self.tree = tree
        self.configuration = configuration
        self.files: list[Reader | str] = [Reader(entry, modern=configuration.modern)]
        self.sections = [_Section(configuration.root, "", None)]
        self.main = configuration.first
        self.unnamed = 0
        self.misplaced = False
        configuration.files.append(entry.path)

    @property
    def block(self) -> Block:
        return self.sections[-1].block

    def run(self) -> None:
        """Read everything; errors are noted and, unlike in Dovecot, the rest is still read."""
        pending: list[str] = []
        last: Line | None = None
        while self.files:
            reader = self.files[-1]
            if isinstance(reader, str):
                self._open(reader, last)
                continue
            line = reader.next(pending)
            if line is None:
                self.files.pop()
                continue
            if last is None:
                self.configuration.first = line.location
            last = line
            self.tree.budgets.spend("statements", 1, line.location)
            self._apply(line)
        if len(self.sections) > 1:
            opened = self.sections[-1].location
            assert opened is not None
            self._error(opened, "this section is never closed: Missing '}'")
        self._look_beside(self.main)

    def _look_beside(self, main: Location) -> None:
        """Note a main file that has settings to add to the package's, and so includes nothing."""
        if len(self.configuration.files) > 1 or is_whole(self.tree):
            return
        beside = (path for path in self.tree.glob(_STOCK) if path not in self.tree.supposed)
        files = (self.tree.try_read(path, decisive=False) for path in beside)
        tls = any(file is not None and _OF_TLS.search(file.text) for file in files)
        if tls and not _OF_TLS.search(main.file.text):
            said = f"{main.file.path} does not include {_STOCK}, where TLS is configured"
            self._gap(main, f"{said}: it may be a part of the file", Code.NOT_GIVEN)

    def _error(self, location: Location, text: str) -> None:
        self.configuration.errors.append(Reason(Code.REFUSED, location, text))

    def _gap(self, location: Location, text: str, code: Code) -> None:
        self.configuration.gaps.append(Reason(code, location, text))

    # -- files ------------------------------------------------------------------------------

    def _open(self, path: str, last: Line | None) -> None:
        """Put a file's reader in the place of its path."""
        self.files.pop()
        if self.tree.status(path) is Status.DIRECTORY:  # open(2) succeeds, read(2) ends at once
            return
        try:
            file = self.tree.read(path)
        except TreeError as error:
            if last is not None:
                self._gap(last.location, error.of(path), error.code)
            return
        self.files.append(Reader(file, modern=self.configuration.modern))
        if path not in self.configuration.files:
            self.configuration.files.append(path)

    def _include(self, line: Line) -> None:
        current = self.files[-1]
        assert isinstance(current, Reader)
        pattern = posixpath.join(posixpath.dirname(current.file.path), line.value)
        packaged = "/protocols.d/" in pattern
        if packaged:
            self.configuration.packaged = line.location
        directory = posixpath.dirname(pattern)
        if not self.tree.listable(directory):
            self._gap(line.location, f"{directory} cannot be read", Code.UNREADABLE)
            return
        paths = self.tree.glob(pattern, braces=True, location=line.location)
        if not paths:
            required = line.kind is Kind.INCLUDE and not is_whole(self.tree)
            if required or not _vouched(self.tree, pattern) or _PACKAGED.search(pattern):
                if packaged and self._assume_packages(line):
                    return
                said = f"{line.value} is outside the files that were given"
                self._gap(line.location, said, Code.NOT_GIVEN)
                if self.block.parent is None and not packaged:
                    _choices(self.block, "protocols").unknown = True
            elif line.kind is Kind.INCLUDE:
                self._error(line.location, f"!include {line.value}: No matches")
            return
        if pattern == _STOCK and self._is_part(paths):
            said = f"{line.value} was given only in part: nothing in it is about TLS"
            self._gap(line.location, said, Code.NOT_GIVEN)
        self.tree.budgets.spend("includes", len(paths), line.location)
        opened = {r if isinstance(r, str) else r.file.path for r in self.files}
        for path in reversed(paths):
            if path in opened:
                self._error(line.location, f"Recursive include file: {path}")
                continue
            opened.add(path)
            self.files.append(path)

    def _is_part(self, paths: list[str]) -> bool:
        """Tell whether some of the package's conf.d lie in a part of /etc, without 10-ssl.conf."""
        if is_whole(self.tree):
            return False
        read = (*self.configuration.files, *paths)
        files = (self.tree.try_read(path, decisive=False) for path in read)
        return not any(file is not None and _OF_TLS.search(file.text) for file in files)

    def _assume_packages(self, line: Line) -> bool:
        """Enable what Debian's packages enable; tell whether that is all that can be enabled."""
        from sslint.servers.dovecot.packaged import installed

        choices = _choices(self.block, "protocols")
        packaged = installed(self.tree, self.main.file)
        choices.unknown = not packaged.whole
        choices.shown = bool(packaged.protocols)
        if packaged.protocols:
            names = ", ".join(packaged.protocols)
            self.configuration.assumed = (
                f"Debian's packages enable {names} ({packaged.evidence}); "
                f"{posixpath.dirname(line.value)} was not given"
            )
            if self.configuration.modern:
                choices.items |= {name: Value("yes", line.location) for name in packaged.protocols}
            else:  # protocols = $protocols imap
                choices.whole = Value(" ".join(packaged.protocols), line.location)
            choices.last = line.location
        return packaged.whole

    # -- lines ------------------------------------------------------------------------------

    def _apply(self, line: Line) -> None:
        kind = line.kind
        if self.configuration.modern and self._version(line):
            return
        if kind is Kind.ERROR and names.TEMPLATE.search(line.location.text):
            self._gap(line.location, "a template fills this in", Code.TEMPLATE)
        elif kind is Kind.ERROR:
            self._error(line.location, line.value)
            if line.value.startswith("Garbage"):
                self._push(line, ignored=True)
        elif kind in (Kind.INCLUDE, Kind.INCLUDE_TRY):
            self._include(line)
        elif kind is Kind.CLOSE:
            if len(self.sections) > 1:
                self.sections.pop()
            else:
                self._error(line.location, "Unexpected '}'")
        elif kind in (Kind.OPEN, Kind.GROUP):
            self._section(line)
        else:
            self._setting(line)

    def _version(self, line: Line) -> bool:
        """Handle `dovecot_config_version`, which must be the first setting."""
        configuration = self.configuration
        if line.key == "dovecot_config_version" and line.kind is Kind.VALUE:
            if configuration.version and configuration.version != line.value:
                self._error(line.location, "dovecot_config_version can't be changed once set")
            configuration.version = configuration.version or line.value
            self._note(line, Value(line.value, line.location))
            if names.TEMPLATE.search(line.value):
                configuration.version = names.UNKNOWN_VERSION
            return True
        if not configuration.version and line.kind is not Kind.ERROR and not self.misplaced:
            self.misplaced = True
            self._error(line.location, "The first setting must be dovecot_config_version")
        return False

    def _note(self, line: Line, value: Value) -> None:
        block = self.block
        scope = " ".join(p for b in block.path() for p in (b.kind, b.name) if p)
        listing = self.sections[-1].listing
        self.configuration.statements.append(Named(line.key, value, scope, block, listing))

    def _push(self, line: Line, *, ignored: bool = False) -> None:
        if len(self.sections) > MAX_DEPTH:
            self._gap(line.location, "sections are nested too deeply", Code.LIMIT)
            raise _StopError
        self.sections.append(_Section(self.block, "", line.location, ignored))

    def _section(self, line: Line) -> None:
        section = self.sections[-1]
        self._push(line, ignored=section.ignored)
        if section.ignored:
            return
        kind, name = line.key, line.value
        if not self.configuration.modern:
            kind, name = names.old_section(kind, name)
            if not name and kind in names.LIST_FILTERS:
                self.unnamed += 1
                name = str(self.unnamed)
        if not name and kind in names.CHOICES:
            self.sections[-1].listing = kind
            return
        if self.configuration.modern and f"{section.block.kind}_{kind}" in names.PREFIXED:
            self.sections[-1].ignored = True  # a setting's name: what stands here has no effect
            return
        reason = self._refused(kind, name, section.block)
        if reason:
            self._error(line.location, reason)
            self.sections[-1].ignored = True
            return
        self.sections[-1].block = self._child(section.block, kind, name, line.location)

    def _refused(self, kind: str, name: str, parent: Block) -> str:
        """Say why a section is not allowed here; "" if it is (config_filter_parse)."""
        kinds = [block.kind for block in parent.path()]
        if kind in names.EVENT_FILTERS:
            later = names.EVENT_FILTERS[names.EVENT_FILTERS.index(kind) + 1 :]
            for outer in kinds:
                if outer in later:
                    return f"{outer} {{ {kind} {{ .. }} }} not allowed"
                if kind == "protocol" == outer:
                    return "Nested protocol { protocol { .. } } block not allowed"
                if outer not in names.EVENT_FILTERS and self.configuration.modern:
                    return f"{outer} {{ {kind} {{ .. }} }} not allowed"
            if kind == "local_name" and " " in name and self.configuration.modern:
                return "Multiple names no longer supported in local_name value"
        elif self.configuration.modern:
            if kind.startswith("@") and kinds:
                return "groups must defined at top-level, not under filters"
            if kind in names.NAMED_SECTIONS and not name:
                return f"{kind} {{ }} is missing section name"
            if kind in names.GONE_SECTIONS:
                return f"Unknown section name: {kind}"
            if kind == "service" and kinds and parent.lists and not kinds[0].startswith("@"):
                return f"service {{ .. }} not allowed under {parent.kind} {{ .. }}"
        return ""

    def _child(self, parent: Block, kind: str, name: str, location: Location) -> Block:
        key = (kind, name.lower() if kind == "local_name" else name)
        child = parent.children.get(key)
        if child is None:
            listed = bool(name) and kind not in names.EVENT_FILTERS
            child = Block(
                kind,
                key[1],
                parent,
                len(self.configuration.blocks),
                location,
                parent.lists + listed,
                parent.named + (not name and kind not in names.EVENT_FILTERS),
            )
            parent.children[key] = child
            self.configuration.blocks.append(child)
        return child

    def _setting(self, line: Line) -> None:
        section = self.sections[-1]
        if section.ignored:
            return
        value = self._value(line)
        self._note(line, value)
        key, block = line.key, section.block
        if self.configuration.modern and key.startswith("@"):
            if block.path() and block.path()[0].kind.startswith("@"):
                self._error(line.location, "Recursive include groups not allowed")
            elif value.text is None:
                self._gap(line.location, value.reason, value.code)
            else:
                block.groups[key] = (value.text, line.location)
            return
        if section.listing:
            key = f"{section.listing}/{key}"
        if not self.configuration.modern and self._old(line, key, value):
            return
        while "/" in key and self.configuration.modern:
            kind, _, rest = key.partition("/")
            if kind in names.CHOICES:
                break
            name = ""
            if kind in names.LIST_FILTERS and "/" in rest:
                name, _, rest = rest.partition("/")
            block, key = self._child(block, kind, name, line.location), rest
        self._set(block, key, value)

    def _set(self, block: Block, key: str, value: Value) -> None:
        block, key = _prefixed(block, key)
        self.configuration.assigned.append((key, value))
        listing, _, item = key.partition("/")
        if item and listing in names.CHOICES:
            choices = _choices(block, listing)
            choices.items[item] = value
            choices.last = value.location
        elif key in names.CHOICES:
            before = block.choices.get(key)
            unknown = before is not None and before.unknown and f"${key}" in value.location.text
            block.choices[key] = Choices({}, value, value.location, unknown)
        else:
            block.values[key] = value

    def _value(self, line: Line) -> Value:
        if line.kind is Kind.FILE:
            return Value(self._relative(line.value), line.location, read=True)
        if line.kind is not Kind.VARIABLE:
            text = line.value
            if names.TEMPLATE.search(text):
                said = f"{text} is filled in by a template"
                return Value(None, line.location, said, code=Code.TEMPLATE)
            if line.key in names.FILES and text and not text.startswith(names.INLINE):
                if "%{" in text:
                    return Value(None, line.location, f"{text} is expanded at run time")
                text = self._relative(text)
            return Value(text, line.location, quoted=line.quoted)
        return self._expanded(line)

    def _relative(self, path: str) -> str:
        current = self.files[-1]
        assert isinstance(current, Reader)
        return posixpath.join(posixpath.dirname(current.file.path), path)

    def _expanded(self, line: Line) -> Value:
        """Expand `$SET:name` (2.4) or `$name` (2.3) and `$ENV:name`, a word at a time."""
        mark = "$SET:" if self.configuration.modern else "$"
        words: list[str] = []
        for word in line.value.split():
            if word.startswith("$ENV:"):
                return Value(None, line.location, f"{word} is taken from the environment")
            if not word.startswith(mark):
                words.append(word)
                continue
            found = self._lookup(word[len(mark) :], line)
            if found.text is None or found.read:
                if found.read and len(line.value.split()) == 1:
                    return Value(found.text, line.location, read=True)
                said = found.reason or f"{word} is a file's contents"
                return Value(None, line.location, said, code=found.code)
            else:
                words.append(found.text)
        text = " ".join(words)
        if len(text) > MAX_VALUE:
            return Value(None, line.location, "the expanded value is too long")
        return Value(text, line.location)

    def _lookup(self, name: str, line: Line) -> Value:
        """Return what a variable stands for (config_get_value)."""
        modern = self.configuration.modern
        if name in names.CHOICES:
            if modern:
                self._error(line.location, f"$SET:{name}: can't be expanded to string")
                return Value("", line.location)
            choices = self.configuration.root.choices.get(name)
            if choices is not None and choices.whole is not None:
                return choices.whole
            if name == "protocols":
                return Value(default_protocols(self.configuration), line.location)
        block: Block | None = self.block
        while not modern and block is not None and block.kind in names.LIST_FILTERS:
            block = block.parent
        while block is not None:
            target, key = _prefixed(block, name)
            found = target.values.get(key)
            if found is not None:
                return found
            if name != line.key:
                break
            block = block.parent
        default = names.DEFAULTS.get(name)
        if default is not None:
            return Value(default, line.location)
        return Value(None, line.location, f"the default of {name} is not known here")

    def _old(self, line: Line, key: str, value: Value) -> bool:
        """Apply a 2.3 name that stands for other settings (src/config/old-set-parser.c)."""
        block = self.block
        if block.path() and block.path()[0].kind not in names.EVENT_FILTERS:
            return False
        text = value.text or ""
        if key == "protocols" and block.parent is None and not value.read:
            words = text.split()
            for old, new in (("imaps", "imap"), ("pop3s", "pop3")):
                if old in words and new not in words:
                    words.append(new)
                    service = self._child(block, "service", f"{new}-login", line.location)
                    listener = self._child(service, "inet_listener", new, line.location)
                    listener.values["inet_listener_port"] = Value("0", line.location)
            words = ["sieve" if word == "managesieve" else word for word in words]
            words = [word for word in words if word not in ("imaps", "pop3s")]
            if value.text is not None:
                value = Value(" ".join(words), value.location)
            self._set(block, key, value)
            return True
        if key in ("ssl_cert_file", "ssl_key_file", "ssl_ca_file"):
            if text:
                path = Value(self._relative(text), value.location, read=True)
                self._set(block, key.removesuffix("_file"), path)
            return True
        if key == "ssl_disable":
            flipped = {"yes": "no", "no": "yes"}.get(text.lower(), text)
            self._set(block, "ssl", Value(flipped, value.location))
            return True
        if key == "ssl_listen" or (key == "listen" and _has_port(text)):
            said = f"{key} with a port is the syntax of Dovecot 1"
            self._gap(line.location, said, Code.UNKNOWN)
            return True
        return False


def _has_port(text: str) -> bool:
    addresses = text.replace(",", " ").split()
    return any(":" in a and a.count(":") == 1 for a in addresses)


def _choices(block: Block, key: str) -> Choices:
    return block.choices.setdefault(key, Choices())


def _prefixed(block: Block, key: str) -> tuple[Block, str]:
    """Return where a key inside a filter really belongs, and its full name.

    `inet_listener imaps { port }` is inet_listener_port there, `ssl_server { cert_file }` is
    ssl_server_cert_file outside.
    """
    if not block.kind or block.kind in names.EVENT_FILTERS:
        return block, key
    kind = block.kind
    if block.name:
        full = f"{kind}_{key}"
        return (block, full) if full in names.PREFIXED else (block, key)
    full = key if key.startswith(f"{kind}_") else f"{kind}_{key}"
    if full in names.PREFIXED and block.parent is not None:
        return block.parent, full
    return block, key


def _vouched(tree: Tree, pattern: str) -> bool:
    """Tell whether what is missing from the tree is missing on the host."""
    head = pattern
    for char in "*?[{":
        head = head.split(char, 1)[0]
    return tree.holds(posixpath.dirname(posixpath.normpath(head + "x")))
