"""nginx: configuration text to sockets, TLS, certificates, redirects and upstreams."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

from sslint.reasons import Code, Reason
from sslint.servers.hostnames import resolver
from sslint.servers.model import Endpoint, ServerReading, Site, Transport
from sslint.servers.nginx import ENTRIES, available
from sslint.servers.nginx import certificates as tls
from sslint.servers.nginx import mail as mail_blocks
from sslint.servers.nginx.blocks import KINDS, Configuration, Form, Server, collect
from sslint.servers.nginx.directive import Directive
from sslint.servers.nginx.endpoints import endpoint_of, passed_on
from sslint.servers.nginx.listen import Listen, parse_listen
from sslint.servers.nginx.parsed import Nginx, certificates_for
from sslint.servers.nginx.routes import Groups, connections, redirects, requests, routes
from sslint.servers.nginx.settings import header_dropped, settings
from sslint.servers.nginx.sockets import SocketTable
from sslint.servers.nginx.syntax import REST, Loader
from sslint.servers.nginx.web import NginxWeb
from sslint.source import Location, SourceFile
from sslint.tree import Tree, TreeError
from sslint.values import replace

__all__ = [
    "Nginx",
    "certificates_for",
    "header_dropped",
    "read",
]

Opened = tuple[Transport, str, int, bool]
"""A socket of a block: transport, address, port, and whether the block is its default server."""

MAX_REASONS = 50
TEMPLATE = "a template fills this in"
_REMOVED = frozenset(("http3_push", "http3_max_concurrent_pushes", "quic_mtu"))


def read(
    tree: Tree,
    entry: str | None = None,
    *,
    version: tuple[int, ...] | None = None,
    installed: bool = True,
    debian: bool = False,
) -> ServerReading | None:
    """Read the nginx configuration of a host; None if the tree has none.

    `entry` is the main configuration file, `version` the nginx that reads it, `debian` whether it
    is Debian's own. Where it is not known to be `installed`, what some release takes is taken:
    others build newer ones for old distributions. What cannot be read is reported to the tree, and
    the rest is read.
    """
    path = entry or next((name for name in ENTRIES if tree.exists(name)), None)
    if path is None:
        return None
    reading = ServerReading("nginx", version=version)
    directory = posixpath.dirname(posixpath.normpath(posixpath.join("/", path)))
    assumed = ""
    if tree.exists(available.AVAILABLE) and not tree.exists(available.ENABLED):
        from sslint.servers.available import enable

        assumed = enable(tree, available.DIRECTORY, available.is_stock)
    loader = Loader(tree, directory)
    try:
        statements = loader.load(posixpath.normpath(posixpath.join("/", path)))
    except TreeError as error:
        tree.problem(path, error.reason, code=error.code)
        reading.gaps.append(Reason(error.code, None, error.of(path)))
        return reading
    reading.files = loader.files
    if assumed and any(file.startswith(available.ENABLED) for file in loader.files):
        reading.assumptions.append(assumed)
        reading.sites_assumed = True
    nginx = Nginx(
        Configuration(statements, directory),
        SocketTable(),
        {},
        version,
        templates=loader.templates,
        entry=path,
        forms=version if installed else None,
        supposed=tree.supposed | _enabled(reading),
    )
    for where, reason in loader.fatal:
        nginx.refuse(where, reason)
    if not statements:
        nginx.refuse(tree.read(path).at(1), 'no "events" section in configuration')
    nginx.config = collect(statements, directory, _hostname(tree), nginx.forms, nginx.refuse)
    for where, reason in available.not_loaded(tree, nginx.config) if debian else ():
        nginx.refuse(where, reason)
    reading.config = nginx
    reading.web = NginxWeb(reading)
    _listen(nginx, tree, reading)
    _tls(nginx)
    _fill(nginx, reading)
    _completeness(nginx, loader, reading)
    return reading


def _enabled(reading: ServerReading) -> set[str]:
    """Return the sites that are read because it is not known which of them are enabled."""
    if not reading.sites_assumed:
        return set()
    return {file for file in reading.files if file.startswith(available.ENABLED)}


def _pass_over(
    where: Location,
    text: str,
    code: Code = Code.REFUSED,
    beside: SourceFile | None = None,
) -> None:
    """Refuse nothing."""


def _hostname(tree: Tree) -> str | None:
    file = tree.try_read("/etc/hostname", decisive=False)
    name = file.text.split("\n", 1)[0].strip().lower() if file is not None else ""
    return name or None


def _listen(nginx: Nginx, tree: Tree, reading: ServerReading) -> None:
    """Enter all `listen` statements into the socket table."""
    resolve = resolver(tree)
    # Sites of which perhaps not all are enabled need not go together.
    refuse = _pass_over if reading.sites_assumed else nginx.refuse
    parsed: dict[tuple[str, tuple[str, ...]], Listen] = {}
    for server in nginx.config.servers:
        if nginx.table.add_like(server):
            continue
        sound = True
        for said in server.said("listen"):
            listen = parsed.get((server.kind, said.args))
            if listen is None or said.block is not None:  # thousands of blocks say the same
                directive = server.statement(said)
                listen = parse_listen(directive, server.kind, nginx.forms, resolve)
                parsed[server.kind, said.args] = listen
                tree.budgets.spend("sockets", len(listen.addresses), directive.location)
            if listen.error is not None:
                nginx.refuse(server.place(said), listen.error)
                sound = False
                continue
            if listen.unknown is not None:
                where = server.place(said)
                reading.gaps.append(Reason(Code.UNKNOWN, where, listen.unknown))
                tree.problem(where, listen.unknown, decisive=False)
            server.listens.append(listen)
            for wrong in nginx.table.add(server, listen):
                refuse(server.place(said), wrong)
                sound = False
        if sound and server.listens:
            nginx.table.remember(server)
        if server.has("listen") or server.includes():
            continue
        if server.kind == "http":
            nginx.table.add_default(server)
        else:
            nginx.refuse(server.directive.location, 'no "listen" is defined for server')
    nginx.table.settle()
    if nginx.table.too_many:
        text = "the port ranges name too many sockets"
        reading.gaps.append(Reason(Code.LIMIT, None, text))


def _tls(nginx: Nginx) -> None:
    """Find every block's certificates, and what nginx refuses about TLS."""
    config, version = nginx.config, nginx.version
    inherited: dict[Form, tls.Credentials] = {}
    for server in config.servers:
        form = server.form
        found = inherited.get(form) if form is not None else None
        if found is None:
            refused = len(nginx.refused)
            found = tls.credentials(server, config.directory, nginx.refuse)
            if form is not None and not found.named_here and refused == len(nginx.refused):
                inherited[form] = found
        nginx.credentials[server.number] = found
        if server.kind == "mail":
            mail_blocks.check(server, bool(found.certificates), nginx.refuse)
    for socket in nginx.table.sockets.values():
        if socket.flags & {"ssl", "quic"} and socket.kind != "mail":
            tls.check_default(socket, nginx.credentials, nginx.refuse)
        old_stream = version is not None and version < (1, 25, 5)
        if old_stream and socket.kind == "stream" and len(socket.servers) > 1:
            nginx.refuse(socket.where, f'duplicate "{socket.name}" address and port pair')


def _fill(nginx: Nginx, reading: ServerReading) -> None:
    """Fill the reading with what the sockets and blocks amount to."""
    reading.endpoints = [endpoint_of(nginx, socket) for socket in nginx.table.sockets.values()]
    opened = _Opened(nginx, reading.endpoints)
    groups = {kind: Groups(nginx.config, kind) for kind in KINDS}
    for server in nginx.config.servers:
        mine = nginx.credentials[server.number]
        sockets_of, is_tls = opened.by(server)
        reading.sites.append(
            Site(
                "nginx",
                server.kind,
                server.names,
                sockets_of,
                is_tls,
                mine.certificates,
                server.directive.location,
                mine.own,
                mine.rejects,
            )
        )
        if server.kind == "http":
            sending, passing = routes(server)
            if sending:
                reading.redirects += redirects(server, sending)
            if passing:
                reading.upstreams += requests(server, groups["http"], passing)
        elif server.kind == "stream":
            reading.upstreams += connections(server, nginx.config, groups["stream"])
    reading.endpoints = passed_on(nginx, reading.endpoints, reading.upstreams)
    reading.settings += settings(nginx.config)
    if nginx.version is not None and nginx.version >= (1, 26):
        for setting in reading.settings:
            if setting.name in _REMOVED:
                said = f'unknown directive "{setting.name}"'
                nginx.refuse(setting.location, said, Code.OLD_SETTING)
    reading.conflicts = [
        conflict
        for conflict in nginx.table.conflicts()
        if conflict.second_location.file not in nginx.templates and not reading.sites_assumed
    ]
    _decided_by_template(nginx, reading)


class _Opened:
    """Which sockets each block has, and whether one of them is TLS.

    Of the blocks of a form that are entered alike, one is asked that is no default server.
    """

    def __init__(self, nginx: Nginx, endpoints: Sequence[Endpoint]) -> None:
        table = nginx.table
        joined = {} if table.too_many else table.joined
        defaults = {socket.default_server for socket in table.sockets.values()}
        standing: dict[Form | None, Server] = {}
        asked = set()
        for server in nginx.config.servers:
            if server.form not in joined or server in defaults:
                asked.add(server)
            elif server.form not in standing:
                standing[server.form] = server
                asked.add(server)
        listens: dict[Server, list[Opened]] = {server: [] for server in asked}
        tls: set[Server] = set()
        for socket, endpoint in zip(table.sockets.values(), endpoints, strict=True):
            place = socket.transport, socket.address, socket.port
            opened, first = (*place, False), (*place, True)
            here = asked.intersection(socket.servers)
            for server in here:
                listens[server].append(first if server is socket.default_server else opened)
            if endpoint.tls in ("implicit", "starttls"):
                tls |= here
        same: dict[tuple[Opened, ...], tuple[Opened, ...]] = {}
        self._known = {
            server: (
                same.setdefault(found := tuple(own), found),
                server in tls or (None if _may_listen(server) else False),
            )
            for server, own in listens.items()
        }
        self._alike = {form: self._known[server] for form, server in standing.items()}

    def by(self, server: Server) -> tuple[tuple[Opened, ...], bool | None]:
        """Return the sockets of a block, and whether one of them is TLS: None if not known."""
        return self._known.get(server) or self._alike[server.form]


def _may_listen(server: Server) -> bool:
    """Tell whether a block may have sockets that are not known, or that are no ports (`unix:`)."""
    return bool(server.includes()) or any(
        listen.unknown or not listen.addresses for listen in server.listens
    )


def _decided_by_template(nginx: Nginx, reading: ServerReading) -> None:
    """Take the sockets of a template for possible alone where it has statements of its own."""
    unsure = {d.file for d in nginx.config.unknown if not d.args and d.file in nginx.templates}
    reading.endpoints = [
        replace(endpoint, certain=False, reasons=(*endpoint.reasons, TEMPLATE))
        if endpoint.location.file in unsure
        else endpoint
        for endpoint in reading.endpoints
    ]


def _completeness(nginx: Nginx, loader: Loader, reading: ServerReading) -> None:
    """Say what is missing and why nginx would not start."""
    sites = _enabled(reading)
    if len(sites) > 1:  # what nginx does not start with is perhaps not enabled
        wrong = [one for one in nginx.refused if one.location and one.location.file.path in sites]
        nginx.refused = [one for one in nginx.refused if one not in wrong]
        _doubt(reading, wrong[:MAX_REASONS])
    if loader.absent:  # where a certificate for all sites may be
        bare = [one for one in nginx.refused if one.code is Code.NO_CERTIFICATE]
        nginx.refused = [one for one in nginx.refused if one not in bare]
        reading.gaps += [_not_given(loader.absent[0])] if bare else []
    reading.refusals += nginx.refused[:MAX_REASONS]
    for conflict in reading.conflicts[:MAX_REASONS]:
        reading.refusals.append(conflict.reason)
    gaps = reading.gaps
    if loader.broken:
        said = "a file that nginx reads could not be read completely"
        gaps.append(Reason(Code.UNREADABLE, None, said))
    for directive in nginx.config.unknown[:MAX_REASONS]:
        if directive.args != (REST,):  # the error that cut it is told
            gaps.append(_not_given(directive))
    if loader.absent and not reading.endpoints:  # no site at all: more likely they were not given
        gaps.append(_not_given(loader.absent[0]))


def _doubt(reading: ServerReading, wrong: Sequence[Reason]) -> None:
    """Leave open whether nginx starts: not where a site with an error in it is enabled."""
    reading.gaps += wrong
    if wrong:
        reading.endpoints = [
            replace(one, certain=False, reasons=(*one.reasons, str(wrong[0])))
            for one in reading.endpoints
        ]


def _not_given(include: Directive) -> Reason:
    if not include.args:
        return Reason(Code.TEMPLATE, include.location, TEMPLATE)
    return Reason(Code.NOT_GIVEN, include.location, f"{' '.join(include.args)} was not given")
