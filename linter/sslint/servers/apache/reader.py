"""Apache httpd: the files of a host to sockets, TLS, certificates and sites."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable

from sslint.network.whole import is_whole_etc
from sslint.reasons import Code, Reason
from sslint.regex import regex
from sslint.servers.apache import ENTRIES, environment, faults, refusals, routes
from sslint.servers.apache.addresses import WILDCARDS
from sslint.servers.apache.environment import UNKNOWN
from sslint.servers.apache.hosts import Host, collect
from sslint.servers.apache.listen import Listeners, Record
from sslint.servers.apache.listen import collect as listening
from sslint.servers.apache.loader import Loader
from sslint.servers.apache.modules import Modules
from sslint.servers.apache.syntax import Directive
from sslint.servers.apache.tls import Servers
from sslint.servers.apache.vhosts import Chain, Table, compiled, is_pattern
from sslint.servers.available import enable
from sslint.servers.filled import FILLED_IN
from sslint.servers.hostnames import resolver
from sslint.servers.interface import Answer
from sslint.servers.listening import leads_away
from sslint.servers.model import CertificateRef, Endpoint, ServerReading, Site, Tls, Transport
from sslint.source import Location
from sslint.tree import Tree, TreeError
from sslint.values import dataclass, replace

MAX_REASONS = 50
# Debian's own sites: their text, and what an operator writes into them.
_STOCK = regex(r"^[ \t]*DocumentRoot[ \t]+/var/www/html[ \t]*$", re.M)
_OWN = regex(
    r"^[ \t]*(?:Server(?:Name|Alias)[ \t]|Redirect|Rewrite|Proxy|Include[ \t]"
    r"|SSLCertificateFile[ \t]+(?!/etc/ssl/certs/ssl-cert-snakeoil))",
    re.M,
)
_FORMER = ("namevirtualhost",)  # which an Apache 2.2 needs
_INHERITED = ("redirect", "redirectmatch", "redirectpermanent", "proxypass", "proxypassmatch")
_MODES: dict[str, Tls] = {"on": "implicit", "off": "none", "unknown": "unknown"}


@dataclass(slots=True)
class Apache:
    """The parsed configuration behind a reading."""

    loader: Loader
    statements: list[Directive]
    hosts: list[Host]  # the virtual hosts in their order
    main: Host
    table: Table
    listeners: Listeners
    servers: Servers
    main_name: str | None

    def chain(self, address: str, port: int) -> Chain | None:
        """Return the virtual hosts for connections to an address; None: the main server alone."""
        return self.table.find(address, port)

    def site(self, address: str, port: int, name: str) -> Host:
        """Return the server that answers a request for a host name."""
        chain = self.chain(address, port)
        if chain is None:
            return self.main
        found = chain.find(name, self.main_name) or chain.by_address(name)
        return found or chain.hosts[0]


def read(
    tree: Tree,
    entry: str | None = None,
    *,
    version: tuple[int, ...] | None = None,
    no_ipv6: Location | None = None,
) -> ServerReading | None:
    """Read the Apache configuration of a host; None if the tree has none.

    What cannot be read is reported to the tree, and the rest is read. `no_ipv6`: what leaves the
    kernel without sockets of IPv6.
    """
    path = entry or next((name for name in ENTRIES if tree.exists(name)), None)
    if path is None:
        return _led_away(tree)
    path = posixpath.normpath(path)
    reading = ServerReading("apache", version=version)
    assumed = ""
    if path == ENTRIES[0]:
        assumed = enable(tree, posixpath.dirname(path), _is_stock, ".conf")
    loader = _loader(tree, path, version)
    try:
        statements = loader.load(path)
        if not loader.modules.loads or _lacks_modules(loader, statements):
            # they are linked in, or in files that are not here
            loader = _loader(tree, path, version)
            loader.modules.complete = False
            statements = loader.load(path)
        needing = None if loader.modules.complete else _needing_ssl(loader, statements)
        if needing is not None:
            loader = _loader(tree, path, version)
            loader.modules.complete = False
            loader.modules.load("ssl_module")
            statements = loader.load(path)
            where = f"{needing.path}:{needing.line}"
            said = f"mod_ssl is loaded, since {where} needs it: its LoadModule was not given"
            loader.assumptions.append(said)
    except TreeError as error:
        tree.problem(path, error.reason)
        reading.gaps.append(Reason(Code.UNREADABLE, None, f"{path}: {error.reason}"))
        return reading
    reading.files = loader.files
    resolve = resolver(tree)

    def addresses_of(name: str) -> tuple[str, ...] | None:
        found = resolve(name)
        return tuple(found[0]) if found is not None else None

    main, *hosts = collect(statements, loader, addresses_of, tree.read(path).at(1))
    listeners = listening(statements, loader, addresses_of, no_ipv6)
    servers = Servers(loader, listeners, main, _managed(statements))
    main_name = main.server_name or _hostname(tree)
    table = Table.build(hosts)
    apache = Apache(loader, statements, hosts, main, table, listeners, servers, main_name)
    reading.config = apache
    reading.web = ApacheWeb(reading)
    refusals.check(apache)
    _endpoints(apache, tree, reading)
    _sites(apache, reading)
    _faults(apache, tree, reading)
    _completeness(apache, reading)
    if assumed:
        reading.assumptions.append(assumed)
        reading.sites_assumed = True
        reading.refusals = []  # some of them may not be enabled
        reading.conflicts = []
    return reading


def _is_stock(text: str) -> bool:
    """Tell whether a site is Debian's own, as it came."""
    return bool(_STOCK.search(text)) and not _OWN.search(text)


def _led_away(tree: Tree) -> ServerReading | None:
    """Return a reading of nothing where the files are behind a link to what was not given."""
    linked = [tree.name(path) for path in ENTRIES if leads_away(tree, path)]
    if not linked:
        return None
    gap = Reason(Code.UNREADABLE, None, f"{linked[0]} cannot be read")
    return ServerReading("apache", gaps=[gap])


def _loader(tree: Tree, path: str, version: tuple[int, ...] | None) -> Loader:
    directory = posixpath.dirname(path)
    root = posixpath.dirname(directory) if directory.endswith("/conf") else directory
    modules = Modules.built_in(debian=path.startswith(("/etc/apache2", "/usr/local")))
    return Loader(tree, root, modules, environment.read(tree, directory), version)


def _lacks_modules(loader: Loader, statements: list[Directive]) -> bool:
    """Tell whether only some of the files that load modules were given.

    No Apache 2.4 is run without mod_authz_core, which Require needs.
    """
    if loader.tree.live or loader.modules.is_current() or is_whole_etc(loader.tree):
        return False
    pending = list(statements)
    for directive in pending:
        pending += directive.block or ()
    return any(each.name == "require" and not each.doubt for each in pending)


def _needing_ssl(loader: Loader, statements: list[Directive]) -> Location | None:
    """Return where a site turns on TLS, for which mod_ssl is loaded where Apache starts."""
    if loader.modules.has("ssl_module"):
        return None
    pending = list(statements)
    for directive in pending:
        if directive.name == "sslengine" and directive.value.lower() == "on":
            return directive.location
        pending += directive.block or ()
    return None


def _hostname(tree: Tree) -> str | None:
    file = tree.try_read("/etc/hostname", decisive=False)
    return (file.text.split("\n", 1)[0].strip().lower() or None) if file is not None else None


def _managed(statements: list[Directive]) -> frozenset[str]:
    """Return the names that mod_md manages."""
    found: set[str] = set()
    for directive in statements:
        if directive.name in ("mdomain", "<mdomain", "<mdomainset", "mdmember", "mdmembers"):
            found.update(word.lower() for word in directive.args)
            for inner in directive.block or ():
                if inner.name in ("mdmember", "mdmembers"):
                    found.update(word.lower() for word in inner.args)
    return frozenset(found)


# -- sockets -----------------------------------------------------------------------------------


def _endpoints(apache: Apache, tree: Tree, reading: ServerReading) -> None:
    listeners = apache.listeners
    open_sockets = {(record.address, record.port) for record in listeners.records}
    for record in listeners.records:
        reading.endpoints.append(_endpoint(apache, record, record.address))
        if record.address in WILDCARDS:
            reading.endpoints += _shared(apache, record, open_sockets)
    for record in listeners.doubtful:
        if (record.address, record.port) not in open_sockets:
            open_sockets.add((record.address, record.port))
            doubt = record.listen.directive.doubt or "whether a host name means it is not known"
            made = _endpoint(apache, record, record.address)
            reading.endpoints.append(replace(made, certain=False, reasons=(*made.reasons, doubt)))
    for endpoint in reading.endpoints:
        tree.budgets.spend("sockets", 1, endpoint.location)


def _shared(apache: Apache, record: Record, taken: set[tuple[str, int]]) -> list[Endpoint]:
    """Return endpoints for addresses that virtual hosts of their own answer on a wildcard's
    socket: their TLS and certificates may differ."""
    found = []
    for address, chains in apache.table.exact.items():
        fits = record.dual or ":" not in address
        named = any(chain.port in (record.port, 0) for chain in chains)
        if fits and named and (address, record.port) not in taken:
            made = _endpoint(apache, record, address)
            shares = (*made.settings, ("shares-socket-of", record.address))
            found.append(replace(made, settings=shares))
    return found


def _endpoint(apache: Apache, record: Record, address: str) -> Endpoint:
    port = record.port
    chain = apache.chain(address, port)
    base = chain.hosts[0] if chain is not None else apache.main
    mode, reasons = _mode(apache, chain, base)
    hosts = chain.hosts if chain is not None else [apache.main]
    names = dict.fromkeys(name for host in hosts for name in host.names)
    encrypted = mode == "implicit"
    return Endpoint(
        "apache",
        "https" if encrypted else "http",
        "tcp",
        address,
        port,
        mode,
        record.listen.directive.location,
        ipv6only=address != "::",
        tls_required=True if encrypted else None if mode == "unknown" else False,
        names=tuple(names),
        certificates=apache.servers.served(chain, apache.main_name) if encrypted else (),
        service="http",
        proxy_protocol=base.on("remoteipproxyprotocol"),
        reasons=reasons,
        settings=_settings(base),
    )


def _settings(base: Host) -> tuple[tuple[str, str | None], ...]:
    protocols = base.last("protocols")
    if protocols is not None and "h2" in (word.lower() for word in protocols.args):
        return (("http2", "on"),)
    return ()


def _mode(apache: Apache, chain: Chain | None, base: Host) -> tuple[Tls, tuple[str, ...]]:
    """Return how a connection to an address begins, and why that is not known."""
    lost = next((d for d in apache.loader.lost if _may_hold_hosts(d, apache)), None)
    if lost is not None:
        return "unknown", (lost.doubt,)
    deciding = [base]
    if chain is not None and base.doubt:  # the first that is certainly there, else the main server
        certain = next((n for n, host in enumerate(chain.hosts) if not host.doubt), None)
        deciding = (
            chain.hosts[: certain + 1] if certain is not None else [*chain.hosts, apache.main]
        )
    unsure = [host for host in apache.hosts if host.unsure]
    engines = [apache.servers.engine(host) for host in (*deciding, *unsure)]
    modes = {_MODES[engine.state] for engine in engines}
    if len(modes) == 1 and "unknown" not in modes:
        return modes.pop(), ()
    said = [engine.reason for engine in engines] + [host.doubt or host.unsure for host in deciding]
    said += [host.unsure for host in unsure]
    return "unknown", tuple(dict.fromkeys(text for text in said if text))


def _may_hold_hosts(directive: Directive, apache: Apache) -> bool:
    """Tell whether an include that was not given stands where virtual hosts may."""
    return any(directive is one for one in apache.main.own.get("include", ()))


# -- sites -------------------------------------------------------------------------------------


def _sites(apache: Apache, reading: ServerReading) -> None:
    """Add the virtual hosts, and the main server where it answers at some socket."""
    listens: dict[int, list[tuple[Transport, str, int, bool]]] = {}
    modes: dict[int, set[Tls]] = {}
    for endpoint in reading.endpoints:
        chain = apache.chain(endpoint.address, endpoint.port)
        hosts = chain.hosts if chain is not None else [apache.main]
        for host in hosts:
            listens.setdefault(host.number, []).append(
                (endpoint.transport, endpoint.address, endpoint.port, host is hosts[0])
            )
            modes.setdefault(host.number, set()).add(endpoint.tls)
    inherits = any(
        "implicit" in modes.get(host.number, ()) and not host.own.get("sslcertificatefile")
        for host in apache.hosts
    )
    apache.main.number = len(apache.hosts)
    listens[apache.main.number] = listens.get(-1, [])
    modes[apache.main.number] = modes.get(-1, set())
    for host in (*apache.hosts, apache.main):
        tls = modes.get(host.number, set())
        reading.sites.append(
            Site(
                "apache",
                "http",
                host.names,
                tuple(listens.get(host.number, ())),
                True if "implicit" in tls else None if "unknown" in tls or host.unsure else False,
                apache.servers.certificates(host),
                host.where,
                bool(host.own.get("sslcertificatefile")) and not (host is apache.main and inherits),
            )
        )
    _routes(apache, reading, modes)


def _routes(apache: Apache, reading: ServerReading, modes: dict[int, set[Tls]]) -> None:
    """Add what redirects, passes on and tells, of each server that answers."""
    balancers = routes.balancers((apache.main, *apache.hosts))
    current = apache.loader.modules.is_current()
    inherited = [d for d in apache.statements if d.name in _INHERITED]
    for host in (*apache.hosts, apache.main):
        main = host is apache.main
        block = apache.statements if main else (host.directive and host.directive.block) or []
        if routes.may_hold(host, routes.SETTINGS):
            settings = routes.settings(host, block, None if main else host.number)
            reading.settings += [one for one in settings if current or one.name not in _FORMER]
        tls = modes.get(host.number, set())
        if not tls:
            continue
        secure = None if len(tls) > 1 or "unknown" in tls else "implicit" in tls
        block = block if main else [*block, *inherited]
        if inherited or routes.may_hold(host, routes.REDIRECTS):
            reading.redirects += routes.redirects(host, block, secure)
        if inherited or routes.may_hold(host, routes.UPSTREAMS):
            reading.upstreams += routes.upstreams(host, block, balancers)


def _faults(apache: Apache, tree: Tree, reading: ServerReading) -> None:
    """Add what is wrong with a server that starts, and mark the sockets that it is about."""
    if apache.loader.fatal:
        return
    found = list(faults.faults(apache, tree))
    reading.settings += found
    plain = {setting.value for setting in found if setting.name == faults.PLAIN_FIRST}
    for number, endpoint in enumerate(reading.endpoints):
        if str(endpoint.port) in plain and endpoint.tls == "none":
            mark = ("plain_first", "yes")
            reading.endpoints[number] = replace(endpoint, settings=(*endpoint.settings, mark))


# -- what is missing ---------------------------------------------------------------------------


def _completeness(apache: Apache, reading: ServerReading) -> None:
    loader = apache.loader
    reading.refusals = list(dict.fromkeys(loader.fatal))[:MAX_REASONS]
    reading.conflicts = apache.listeners.conflicts
    reading.assumptions += loader.assumptions
    if loader.broken:
        said = "a file that Apache reads could not be read completely"
        reading.gaps.append(Reason(Code.UNREADABLE, None, said))
    for directive in loader.lost[:MAX_REASONS]:
        reading.gaps.append(Reason(Code.NOT_GIVEN, directive.location, directive.doubt))
    for directive in apache.listeners.unknown[:MAX_REASONS]:
        said = f"Listen {directive.value} is not known".replace(UNKNOWN, "?")
        reading.gaps.append(Reason(Code.UNKNOWN, directive.location, said))
    for where in loader.filled_in[:MAX_REASONS]:
        reading.gaps.append(Reason(Code.TEMPLATE, where, FILLED_IN))
    if loader.absent and not apache.hosts:
        first = loader.absent[0]
        said = f"{first.value} was not given"
        reading.gaps.append(Reason(Code.NOT_GIVEN, first.location, said))


def certificates_for(
    reading: ServerReading, endpoint: Endpoint, name: str | None
) -> tuple[CertificateRef, ...] | None:
    """Return what a client gets for an SNI name at one endpoint; None if not known."""
    apache = reading.config
    if not isinstance(apache, Apache) or endpoint.tls != "implicit":
        return None
    chain = apache.chain(endpoint.address, endpoint.port)
    return apache.servers.for_name(chain, name, apache.main_name)


@dataclass(frozen=True, slots=True)
class ApacheWeb:
    """The answers of one reading (`interface.Web`)."""

    reading: ServerReading

    def answer(self, port: int, name: str, uri: str) -> Answer:
        """Return what is done with `GET uri` for a host name on a TCP port."""
        from sslint.servers.apache.routing import Router

        apache = self.reading.config
        assert isinstance(apache, Apache)
        here = [e for e in self.reading.endpoints if e.port == port]
        if not here:
            if self.reading.gaps:
                return Answer("unknown", reason="not all of its sockets are known")
            return Answer("none", reason=f"Apache does not listen on {port}")
        if any(e.tls == "unknown" for e in here):
            return Answer("unknown", reason="which virtual host answers is not known")
        found = {apache.site(e.address, port, name).number: e for e in here}
        named = {n: e for n, e in found.items() if _has(apache, n, name)} or found
        if len(named) > 1:
            return Answer("unknown", reason="which virtual host answers depends on the address")
        ((_, endpoint),) = named.items()
        host = apache.site(endpoint.address, port, name)
        return Router(apache.loader, host, endpoint.tls == "implicit").answer(name, port, uri)

    def certificates(
        self, endpoint: Endpoint, name: str | None
    ) -> tuple[CertificateRef, ...] | None:
        """Return the certificates that a client gets for an SNI name at one endpoint."""
        return certificates_for(self.reading, endpoint, name)

    def roots(self) -> list[str]:
        """Return the directories that Apache serves."""
        apache = self.reading.config
        assert isinstance(apache, Apache)
        found = (
            d for host in (apache.main, *apache.hosts) for d in host.own.get("documentroot", ())
        )
        known = (d.value for d in found if d.value and UNKNOWN not in d.value)
        return list(dict.fromkeys(apache.loader.path(value) for value in known))

    def dropped(self, port: int, header: str, fits: Callable[[str], bool]) -> Location | None:
        """Return None: Apache has no HTTP/3."""
        return None


def _has(apache: Apache, number: int, name: str) -> bool:
    """Tell whether a virtual host has a name, or a pattern that it fits."""
    if number >= len(apache.hosts):
        return False
    names = apache.hosts[number].names
    return any(n == name or (is_pattern(n) and compiled(n).match(name)) for n in names)
