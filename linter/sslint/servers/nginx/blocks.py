"""The server blocks of a configuration, with what they inherit."""

from __future__ import annotations

from collections.abc import Sequence

from sslint.reasons import Code
from sslint.servers.nginx.directive import Directive, Part
from sslint.servers.nginx.directives import Refuse, check
from sslint.servers.nginx.listen import Kind, Listen
from sslint.servers.nginx.semicolons import swallowed
from sslint.servers.nginx.shapes import Alike, Shape
from sslint.servers.nginx.syntax import unknown_includes
from sslint.source import Location, SourceFile
from sslint.values import dataclass, field

Index = dict[str, list[Directive]]


@dataclass(slots=True, eq=False)
class Form:
    """A shape in one context: its blocks say the same, but for names."""

    shape: Shape
    sound: bool  # nginx refuses none of its statements by form or place
    flags: dict[str, bool] = field(default_factory=dict)  # which of those asked for are on


@dataclass(slots=True, eq=False)
class Server:
    """One `server` block: `index` are its statements by name, `outer` those around it.

    `index` is None for one of a known shape, which has them itself; `form` is for such alone.
    """

    number: int  # its index in ServerReading.sites
    kind: Kind
    directive: Directive
    index: Index | None
    outer: Index
    form: Form | None = None
    names: tuple[str, ...] = ()
    swallows: bool = False  # a server_name of it has taken the next statement for names
    listens: list[Listen] = field(default_factory=list)
    unknown: Directive | None = None  # an include that may say more, in the block or around it

    def own(self, name: str) -> list[Directive]:
        """Return its own statements of one name."""
        if self.index is not None:
            return self.index.get(name, [])
        assert isinstance(self.directive, Alike)
        return self.directive.named(name)

    def has(self, name: str) -> bool:
        """Tell whether it has a statement of its own of one name."""
        return bool(self.said(name))

    def said(self, name: str) -> Sequence[Directive | Part]:
        """Return its own statements of one name, those of a shape as they stand in all of it."""
        if self.form is not None:
            return self.form.shape.named.get(name, ())
        return self.index.get(name, ()) if self.index is not None else ()

    def in_force(self, name: str) -> Sequence[Directive | Part]:
        """Return the statements of one name that are in force, as `said` returns its own."""
        return self.said(name) or self.outer.get(name, ())

    def statement(self, said: Directive | Part) -> Directive:
        """Return what `said` returned as it stands in this block."""
        if isinstance(said, Directive):
            return said
        assert isinstance(self.directive, Alike)
        return self.directive.statement(said)

    def args(self, said: Directive | Part) -> tuple[str, ...]:
        """Return the words of what `said` returned."""
        return self.directive.words(said)

    def place(self, said: Directive | Part) -> Location:
        """Return where it stands."""
        return self.directive.place(said)

    def includes(self) -> list[Directive]:
        """Return the includes in it that may say more; a shape has none."""
        return unknown_includes(self.index.get("include", [])) if self.index is not None else []

    def effective(self, name: str) -> list[Directive]:
        """Return the statements of one name that are in force: its own, else the inherited."""
        return self.own(name) or self.outer.get(name) or []

    def value(self, name: str) -> str | None:
        """Return the first argument of a statement in force, or None."""
        found = self.in_force(name)
        args = self.args(found[-1]) if found else ()
        return args[0] if args else None

    def on(self, name: str) -> bool:
        """Tell whether a flag is on; nginx reads flags without regard to case."""
        known = self.form.flags.get(name) if self.form is not None else None
        if known is None:
            known = (self.value(name) or "").lower() == "on"
            if self.form is not None:
                self.form.flags[name] = known
        return known


@dataclass(slots=True, eq=False)
class Configuration:
    """A whole parsed configuration; `directory` is what relative file names start from."""

    statements: list[Directive]
    directory: str
    main: Index = field(default_factory=dict)
    contexts: dict[Kind, Directive] = field(default_factory=dict)
    outer: dict[Kind, Index] = field(default_factory=dict)
    servers: list[Server] = field(default_factory=list)
    unknown: list[Directive] = field(default_factory=list)  # includes that may hold listeners


KINDS: tuple[Kind, ...] = ("http", "stream", "mail")
_CONTEXTS = {"http": "server", "stream": "stream-server", "mail": "mail-server"}


def index(statements: list[Directive]) -> Index:
    """Group statements by name."""
    found: Index = {}
    for directive in statements:
        group = found.get(directive.name)
        if group is None:
            found[directive.name] = [directive]
        else:
            group.append(directive)
    return found


def collect(
    statements: list[Directive],
    directory: str,
    hostname: str | None,
    version: tuple[int, ...] | None,
    refuse: Refuse,
) -> Configuration:
    """Find the server blocks of a configuration in the order nginx meets them."""
    config = Configuration(statements, directory, index(statements))
    check(statements, "main", version, refuse)
    config.unknown = unknown_includes(config.main.get("include", []))
    if "events" not in config.main and not config.unknown:
        place = statements[0].location if statements else None
        if place is not None:
            refuse(place, 'no "events" section in configuration')
    for kind in KINDS:
        blocks = [d for d in config.main.get(kind, []) if d.block is not None]
        for again in blocks[1:]:
            refuse(again.location, f'"{kind}" directive is duplicate')
        if not blocks:
            continue
        config.contexts[kind] = blocks[0]
        outer = index(blocks[0].block or [])
        check(blocks[0].block or [], kind, version, refuse)
        config.outer[kind] = outer
        around = unknown_includes(outer.get("include", []))
        config.unknown += around
        forms: dict[Shape, Form] = {}
        for directive in outer.get("server", []):
            form = _form(directive, kind, version, forms) if isinstance(directive, Alike) else None
            if form is not None and form.sound:
                server = Server(len(config.servers), kind, directive, None, outer, form)
            elif directive.block is not None:
                own = index(directive.block)
                check(directive.block, _CONTEXTS[kind], version, refuse)
                server = Server(len(config.servers), kind, directive, own, outer)
            else:
                continue
            server.names = _names(server, hostname, refuse)
            unknown = around
            if server.form is None and (inside := server.includes()):
                config.unknown += inside
                unknown = inside
            server.unknown = unknown[0] if unknown else None
            config.servers.append(server)
    return config


def _form(
    block: Alike, kind: Kind, version: tuple[int, ...] | None, forms: dict[Shape, Form]
) -> Form:
    """Return the form of a block, and remember it for others."""
    found = forms.get(block.shape)
    if found is None:
        refused: list[Location] = []

        def refuse(
            where: Location,
            text: str,
            code: Code = Code.REFUSED,
            beside: SourceFile | None = None,
        ) -> None:
            refused.append(where)

        check(block.block or (), _CONTEXTS[kind], version, refuse)
        found = forms[block.shape] = Form(block.shape, not refused)
    return found


# What names are made of that are what they say, in lower case, and the space between them.
_PLAIN = "abcdefghijklmnopqrstuvwxyz0123456789.- \t\r\n"


def _names(server: Server, hostname: str | None, refuse: Refuse) -> tuple[str, ...]:
    """Return the names of a server in lower case, regular expressions as they are written."""
    names: list[str] = []
    block = server.directive
    for said in server.said("server_name"):
        text = block.text(said)
        if text is not None and not text.strip(_PLAIN):
            plain = text.split()
            if len(plain) < 3 and "." not in plain:  # no statement is among them
                names += plain
                continue
        words = block.words(said)
        if (end := swallowed(words)) is not None:
            server.swallows, words = True, words[:end]
        for name in words:
            if name.startswith("~"):
                names.append(name)
                continue
            lowered = name.lower()
            if lowered == "$hostname" and hostname is not None:
                lowered = hostname
            if server.kind != "mail" and (
                (lowered.startswith("*") and (len(lowered) < 3 or lowered[1] != "."))
                or lowered == "."
            ):
                refuse(server.place(said), f'server name "{name}" is invalid')
            names.append(lowered)
    return tuple(dict.fromkeys(names))
