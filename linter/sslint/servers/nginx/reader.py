"""nginx: configuration text to sockets, TLS, certificates, redirects and upstreams."""

from __future__ import annotations

import posixpath

from sslint.reasons import Code, Reason
from sslint.servers.hostnames import resolver
from sslint.servers.model import ServerReading, Site, Transport
from sslint.servers.nginx import ENTRIES, available
from sslint.servers.nginx import certificates as tls
from sslint.servers.nginx import mail as mail_blocks
from sslint.servers.nginx.blocks import KINDS, Configuration, Server, collect
from sslint.servers.nginx.directive import Directive
from sslint.servers.nginx.endpoints import endpoint_of, passed_on
from sslint.servers.nginx.listen import Listen, parse_listen
from sslint.servers.nginx.parsed import Nginx, certificates_for
from sslint.servers.nginx.routes import connections, redirects, requests, routes, upstream_groups
from sslint.servers.nginx.settings import header_dropped, settings
from sslint.servers.nginx.sockets import SocketTable
from sslint.servers.nginx.syntax import REST, Loader
from sslint.servers.nginx.web import NginxWeb
from sslint.source import Location
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
_SINCE = {"http2": (1, 25, 1), "http3": (1, 25, 0), "ssl_reject_handshake": (1, 19, 4)}
TEMPLATE = "a template fills this in"
_REMOVED = frozenset(("http3_push", "http3_max_concurrent_pushes", "quic_mtu"))


def read(
    tree: Tree, entry: str | None = None, *, version: tuple[int, ...] | None = None
) -> ServerReading | None:
    """Read the nginx configuration of a host; None if the tree has none.

    `entry` is the main configuration file, `version` the nginx that reads it. What cannot be
    read is reported to the tree, and the rest is read.
    """
    path = entry or next((name for name in ENTRIES if tree.exists(name)), None)
    if path is None:
        return None
    reading = ServerReading("nginx", version=version)
    directory = posixpath.dirname(posixpath.normpath(posixpath.join("/", path)))
    assumed = available.enable(tree)
    loader = Loader(tree, directory, available.ENABLED if assumed else "")
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
    )
    for where, reason in loader.fatal:
        nginx.refuse(where, reason)
    if not statements:
        nginx.refuse(tree.read(path).at(1), 'no "events" section in configuration')
    nginx.config = collect(statements, directory, _hostname(tree), nginx.refuse)
    reading.config = nginx
    reading.web = NginxWeb(reading)
    _listen(nginx, tree, reading)
    _tls(nginx)
    _fill(nginx, reading)
    _completeness(nginx, loader, reading)
    return reading


def _pass_over(where: Location, text: str, code: Code = Code.REFUSED) -> None:
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
        for said in server.said("listen"):
            listen = parsed.get((server.kind, said.args))
            if listen is None or said.block is not None:  # thousands of blocks say the same
                directive = server.statement(said)
                listen = parse_listen(directive, server.kind, nginx.version, resolve)
                parsed[server.kind, said.args] = listen
                tree.budgets.spend("sockets", len(listen.addresses), directive.location)
            if listen.error is not None:
                nginx.refuse(server.statement(said).location, listen.error)
                continue
            if listen.unknown is not None:
                where = server.statement(said).location
                reading.gaps.append(Reason(Code.UNKNOWN, where, listen.unknown))
                tree.problem(where, listen.unknown, decisive=False)
            server.listens.append(listen)
            for wrong in nginx.table.add(server, listen):
                refuse(server.statement(said).location, wrong)
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
    for server in config.servers:
        found = tls.credentials(server, config.directory, nginx.refuse)
        nginx.credentials[server.number] = found
        if server.kind == "mail":
            mail_blocks.check(server, bool(found.certificates), nginx.refuse)
        if version is None:
            continue
        old = server.effective("ssl")
        if old and version >= (1, 25, 1):
            said = '"ssl" directive was removed in 1.25.1'
            nginx.refuse(old[0].location, said, Code.OLD_SETTING)
        for name, since in _SINCE.items():
            if version < since and (new := server.effective(name)):
                nginx.refuse(new[0].location, f'unknown directive "{name}"')
    for socket in nginx.table.sockets.values():
        if socket.flags & {"ssl", "quic"} and socket.kind != "mail":
            tls.check_default(socket, nginx.credentials, nginx.refuse)
        old_stream = version is not None and version < (1, 25, 5)
        if old_stream and socket.kind == "stream" and len(socket.servers) > 1:
            nginx.refuse(socket.where, f'duplicate "{socket.name}" address and port pair')


def _fill(nginx: Nginx, reading: ServerReading) -> None:
    """Fill the reading with what the sockets and blocks amount to."""
    tls_sites: set[int] = set()
    listens: dict[int, list[Opened]] = {}
    alike: dict[tuple[Opened, ...], tuple[Opened, ...]] = {}
    sockets = list(nginx.table.sockets.values())
    reading.endpoints = [endpoint_of(nginx, socket) for socket in sockets]
    for socket, endpoint in zip(sockets, reading.endpoints, strict=True):
        default = socket.default_server
        place = socket.transport, socket.address, socket.port
        opened, first = (*place, False), (*place, True)
        for server in dict.fromkeys(socket.servers):
            listens.setdefault(server.number, []).append(first if server is default else opened)
        if endpoint.tls in ("implicit", "starttls"):
            tls_sites.update(server.number for server in socket.servers)
    groups = {kind: upstream_groups(nginx.config, kind) for kind in KINDS}
    for server in nginx.config.servers:
        mine = nginx.credentials[server.number]
        sockets_of = tuple(listens.get(server.number, ()))
        reading.sites.append(
            Site(
                "nginx",
                server.kind,
                server.names,
                alike.setdefault(sockets_of, sockets_of),
                server.number in tls_sites or (None if _may_listen(server) else False),
                mine.certificates,
                server.directive.location,
                mine.own,
                mine.rejects,
            )
        )
        if server.kind == "http":
            statements = routes(server)
            reading.redirects += redirects(server, statements)
            reading.upstreams += requests(server, groups["http"], statements)
        elif server.kind == "stream":
            reading.upstreams += connections(server, nginx.config, groups["stream"])
    reading.endpoints = passed_on(nginx, reading.endpoints, reading.upstreams)
    reading.settings += settings(nginx.config)
    if nginx.version is not None and nginx.version >= (1, 26):
        for setting in reading.settings:
            if setting.name in _REMOVED or setting.name.startswith("spdy_"):
                said = f'unknown directive "{setting.name}"'
                nginx.refuse(setting.location, said, Code.OLD_SETTING)
    reading.conflicts = [
        conflict
        for conflict in nginx.table.conflicts()
        if conflict.second_location.file not in nginx.templates and not reading.sites_assumed
    ]
    _decided_by_template(nginx, reading)


def _may_listen(server: Server) -> bool:
    """Tell whether a block may have sockets that are not known."""
    return bool(server.includes()) or any(listen.unknown for listen in server.listens)


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


def _not_given(include: Directive) -> Reason:
    if not include.args:
        return Reason(Code.TEMPLATE, include.location, TEMPLATE)
    return Reason(Code.NOT_GIVEN, include.location, f"{' '.join(include.args)} was not given")
