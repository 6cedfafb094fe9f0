"""The server blocks of a configuration, with what they inherit."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

from sslint.reasons import Code
from sslint.regex import regex
from sslint.servers.nginx.directive import Directive, Part
from sslint.servers.nginx.listen import Kind, Listen
from sslint.servers.nginx.semicolons import swallowed
from sslint.servers.nginx.shapes import Alike, Shape
from sslint.servers.nginx.syntax import unknown_includes
from sslint.source import Location
from sslint.values import dataclass, field

Index = dict[str, list[Directive]]


class Refuse(Protocol):
    """Record that nginx does not start, and why."""

    def __call__(self, where: Location, text: str, code: Code = Code.REFUSED) -> None:
        """Record a reason."""


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
        if self.index is not None:
            return name in self.index
        assert isinstance(self.directive, Alike)
        return name in self.directive.shape.named

    def said(self, name: str) -> Sequence[Directive | Part]:
        """Return its own statements of one name, those of a shape as they stand in all of it."""
        if self.index is not None:
            return self.index.get(name, ())
        assert isinstance(self.directive, Alike)
        return self.directive.shape.named.get(name, ())

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

_MANY = 1 << 20


def _shapes(least: int, most: int, block: bool, names: str) -> dict[str, tuple[int, int, bool]]:
    return dict.fromkeys(names.split(), (least, most, block))


# name: (least, most arguments, a block), of statements whose form is the same in all modules
# and versions; nginx refuses any other. A forgotten semicolon mostly shows here.
_SHAPES: dict[str, tuple[int, int, bool]] = {
    **_shapes(0, 0, True, "events http stream mail server types"),
    **_shapes(1, 1, True, "upstream"),
    **_shapes(1, 2, True, "location"),
    **_shapes(1, _MANY, True, "if limit_except"),
    **_shapes(2, 2, True, "map"),
    **_shapes(0, 0, False, "break internal"),
    **_shapes(
        1,
        1,
        False,
        "ssl_certificate ssl_certificate_key ssl_reject_handshake ssl_stapling ssl_preread"
        " ssl_ciphers ssl_dhparam ssl_trusted_certificate ssl_stapling_verify ssl_session_timeout"
        " ssl_prefer_server_ciphers ssl_session_tickets root alias include http2 http3 starttls"
        " protocol proxy_pass grpc_pass fastcgi_pass uwsgi_pass allow deny auth_basic"
        " auth_basic_user_file client_max_body_size server_tokens sendfile gzip autoindex satisfy"
        " set_real_ip_from proxy_http_version default_type",
    ),
    **_shapes(1, 2, False, "return ssl_session_cache expires keepalive_timeout proxy_redirect"),
    **_shapes(2, 2, False, "set proxy_set_header"),
    **_shapes(2, 3, False, "rewrite add_header fastcgi_param"),
    **_shapes(
        1, _MANY, False, "server_name listen ssl_protocols index access_log error_log resolver"
    ),
    **_shapes(2, _MANY, False, "try_files error_page log_format"),
}
_FLAGS = ("ssl_reject_handshake", "ssl_stapling", "http2", "http3", "ssl_preread")
_CONTEXTS: dict[str, frozenset[str]] = {
    "listen": frozenset(("server",)),
    "server": frozenset(("http", "stream", "mail", "upstream")),
    "server_name": frozenset(("server",)),
    "location": frozenset(("server", "location")),
    "if": frozenset(("server", "location")),
    "try_files": frozenset(("server", "location")),
    "http": frozenset(("main",)),
    "stream": frozenset(("main",)),
    "mail": frozenset(("main",)),
    "events": frozenset(("main",)),
    "ssl_certificate": frozenset(("http", "stream", "mail", "server")),
    "ssl_certificate_key": frozenset(("http", "stream", "mail", "server")),
}


@lru_cache(maxsize=1024)
def _misshapen(name: str, context: str, arguments: int, has_block: bool) -> str:
    """Say why nginx refuses a statement by its place, arguments or block; "" if it does not."""
    if name not in _SHAPES or (name == "server" and context == "upstream"):
        return ""
    least, most, block = _SHAPES[name]
    where = _CONTEXTS.get(name)
    if where is not None and context not in where:
        return f'"{name}" directive is not allowed in {context}'
    if block is not has_block:
        wanted = 'has no opening "{"' if block else 'is not terminated by ";"'
        return f'directive "{name}" {wanted}'
    if not least <= arguments <= most:
        return f'invalid number of arguments in "{name}" directive'
    return ""


_INNER = ("location", "if", "limit_except")
MAX_DEPTH = 64


def index(statements: list[Directive], context: str, refuse: Refuse) -> Index:
    """Group statements by name, refusing those that nginx refuses by form or place."""
    found: Index = {}
    for directive in statements:
        name = directive.name
        group = found.get(name)
        if group is None:
            found[name] = [directive]
        else:
            group.append(directive)
        block = isinstance(directive, Alike) or directive.block is not None
        if _misshapen(name, context, len(directive.args), block) or name in _FLAGS:
            _check_shape(directive, context, refuse)
    return found


def check_locations(statements: list[Directive], refuse: Refuse, depth: int = 0) -> None:
    """Refuse what nginx refuses by form or place in the locations of a server block."""
    for directive in statements:
        if directive.block and directive.name in _INNER and depth < MAX_DEPTH:
            for inner in directive.block:
                name, block = inner.name, inner.block is not None
                if _misshapen(name, directive.name, len(inner.args), block) or name in _FLAGS:
                    _check_shape(inner, directive.name, refuse)
            check_locations(directive.block, refuse, depth + 1)


def _check_shape(directive: Directive, context: str, refuse: Refuse) -> None:
    name = directive.name
    wrong = _misshapen(name, context, len(directive.args), directive.block is not None)
    if wrong:
        refuse(directive.location, wrong)
    elif name in _FLAGS and directive.args[0].lower() not in ("on", "off"):
        refuse(directive.location, f'invalid value "{directive.args[0]}" in "{name}" directive')


def collect(
    statements: list[Directive], directory: str, hostname: str | None, refuse: Refuse
) -> Configuration:
    """Find the server blocks of a configuration in the order nginx meets them."""
    config = Configuration(statements, directory, index(statements, "main", refuse))
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
        outer = index(blocks[0].block or [], kind, refuse)
        config.outer[kind] = outer
        around = unknown_includes(outer.get("include", []))
        config.unknown += around
        forms: dict[Shape, Form] = {}
        for directive in outer.get("server", []):
            form = _form(directive, kind, forms) if isinstance(directive, Alike) else None
            if form is not None and form.sound:
                server = Server(len(config.servers), kind, directive, None, outer, form)
            elif directive.block is not None:
                own = _index(directive, kind, refuse)
                server = Server(len(config.servers), kind, directive, own, outer)
            else:
                continue
            server.names = _names(server, hostname, refuse)
            inside = server.includes()
            config.unknown += inside
            server.unknown = next(iter(inside or around), None)
            config.servers.append(server)
    return config


def _index(directive: Directive, kind: Kind, refuse: Refuse) -> Index:
    """Return the statements of a server block by name, refusing what nginx refuses in it."""
    own = index(directive.block or [], "server", refuse)
    if kind == "http":
        check_locations(directive.block or [], refuse)
    return own


def _form(block: Alike, kind: Kind, forms: dict[Shape, Form]) -> Form:
    """Return the form of a block, and remember it for others."""
    found = forms.get(block.shape)
    if found is None:
        refused: list[Location] = []

        def refuse(where: Location, text: str, code: Code = Code.REFUSED) -> None:
            refused.append(where)

        _index(block, kind, refuse)
        found = forms[block.shape] = Form(block.shape, not refused)
    return found


# One or two names that are what they say, in lower case: no statement is among them.
_PLAIN = regex(r"[a-z0-9-][a-z0-9.-]*+(?:[ \t\r\n]++[a-z0-9-][a-z0-9.-]*+)?+")


def _names(server: Server, hostname: str | None, refuse: Refuse) -> tuple[str, ...]:
    """Return the names of a server in lower case, regular expressions as they are written."""
    names: list[str] = []
    block = server.directive
    for said in server.said("server_name"):
        text = block.text(said)
        if text is not None and _PLAIN.fullmatch(text):
            names += text.split()
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
