"""Why Apache does not start: what configtest says, and what only a start finds out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sslint import certificates
from sslint.reasons import Code
from sslint.servers.apache import arguments
from sslint.servers.apache.environment import UNKNOWN
from sslint.servers.apache.hosts import Host
from sslint.servers.apache.loader import Loader
from sslint.servers.apache.syntax import Directive
from sslint.tree import Status, Tree, TreeError

if TYPE_CHECKING:
    from sslint.servers.apache.reader import Apache

_INSIDE = (
    *("<directory", "<directorymatch", "<location", "<locationmatch", "<files", "<filesmatch"),
    *("<if", "<elseif", "<else", "<proxy", "<proxymatch", "<limit", "<limitexcept"),
)
# Sections whose statements are not those of the table.
_OTHER = tuple(
    "<requireall <requireany <requirenone <mdomain <mdomainset <authnprovideralias".split()
)
_FILES = tuple(
    """
    sslcertificatefile sslcertificatekeyfile sslcertificatechainfile sslcacertificatefile
    sslcarevocationfile sslcadnrequestfile sslproxycacertificatefile sslproxycarevocationfile
    sslproxymachinecertificatefile sslproxymachinecertificatechainfile sslsessionticketkeyfile
    """.split()
)
_COMMANDS = ("certificate", "dhparameters", "privatekey")  # of SSLOpenSSLConfCmd that name a file
_KEYS = ("sslcertificatekeyfile", "sslsessionticketkeyfile", "sslproxymachinecertificatefile")
_CACHES = ("sslsessioncache", "sslstaplingcache")  # kept by a module of their own
# The statements of which more is asked than where they stand.
_JUDGED = frozenset((*_FILES, *_CACHES, "sslengine", "sslopensslconfcmd", "listen", "<virtualhost"))
_PROTOCOLS = ("all", "sslv2", "sslv3", "tlsv1", "tlsv1.1", "tlsv1.2", "tlsv1.3")
# Where distributions load what others link in.
_LOADED = ("/etc/apache2/mods-enabled", "/etc/httpd/conf.modules.d")
_MPMS = ("mpm_event_module", "mpm_worker_module", "mpm_prefork_module")


def check(apache: Apache) -> None:
    """Refuse what Apache refuses, as far as the files say it."""
    loader = apache.loader
    modules = loader.modules
    loaded = modules.names.intersection(_MPMS)
    if not loaded:
        modules.load("mpm_event_module")  # linked in, else it is refused below
    plain = {inside: modules.allowed(inside) - _JUDGED for inside in (False, True)}
    _walk(loader, apache.statements, {}, plain, inside=False, virtual=False)
    if len(loaded) > 1:
        loader.refuse(apache.main.where, "more than one MPM is loaded")
    elif (
        not loaded
        and modules.complete
        and modules.is_current()
        and any(map(loader.tree.names, _LOADED))
    ):
        loader.refuse(apache.main.where, "no MPM is loaded")
    _managed(loader, apache.statements)
    if modules.has("ssl_module"):
        sound: set[tuple[str | None, str | None]] = set()
        for host in (apache.main, *apache.hosts):
            _server(apache, host, sound)


def _walk(
    loader: Loader,
    block: list[Directive],
    files: dict[str, bool],
    plain: Mapping[bool, frozenset[str]],
    inside: bool,
    virtual: bool,
) -> None:
    """Judge statements; `plain` are those of which only the place is asked."""
    modules = loader.modules
    sound, known = plain[inside], arguments.known()
    for directive in block:
        name = directive.name
        if directive.doubt:
            continue
        args, wanted = directive.args, known.get(name)
        wrong = wanted is not None and not (
            wanted[0] <= len(args) <= wanted[1] and arguments.fit(wanted, args)
        )
        if name in sound and not directive.block and not wrong:
            continue
        place = modules.place(name)
        if place is None:
            if name != "include" and UNKNOWN not in name and modules.lacks(name):
                _invalid(loader, directive)
                continue
        elif (place == "outside" and inside) or (place == "inside" and not inside):
            loader.refuse(directive.location, f"{_shown(directive)} not allowed here")
        elif virtual and name in ("listen", "<virtualhost"):
            said = "not allowed in <VirtualHost>" if name == "listen" else "cannot be nested"
            loader.refuse(directive.location, f"{_shown(directive)} {said}")
        if wanted and wrong and not any(UNKNOWN in word for word in args):
            loader.refuse(directive.location, f"{_shown(directive)} {wanted[2]}")
        elif name == "sslengine" and directive.value.lower() not in ("on", "off", "optional"):
            if UNKNOWN not in directive.value:
                said = "SSLEngine: argument must be On, Off, or Optional"
                loader.refuse(directive.location, said)
        elif name in _FILES and place is not None:
            _file(loader, directive, directive.args, files)
        elif name == "sslopensslconfcmd" and directive.value.lower() in _COMMANDS:
            _file(loader, directive, directive.args[1:], files)
        elif name in _CACHES and place is not None:
            _cache(loader, directive)
        if directive.block and name not in _OTHER:
            _walk(
                loader,
                directive.block,
                files,
                plain,
                inside or name in _INSIDE,
                virtual or name == "<virtualhost",
            )


def _shown(directive: Directive) -> str:
    written = directive.file.line(directive.line).split()
    word = written[0] if written else directive.name
    word = word.rstrip(">")
    return word if word.lower() == directive.name else directive.name


def _invalid(loader: Loader, directive: Directive) -> None:
    said = f"invalid command {_shown(directive)}: no module that is loaded has it"
    loader.refuse(directive.location, said)


def _file(
    loader: Loader, directive: Directive, args: Sequence[str], known: dict[str, bool]
) -> None:
    """Refuse a file that is missing or empty, as configtest does."""
    if len(args) != 1 or UNKNOWN in args[0] or args[0].lower().startswith("pkcs11:"):
        return
    path = loader.path(args[0])
    if path not in known:
        key = directive.name in _KEYS or directive.value.lower() in _COMMANDS[1:]
        missing = certificates.missing(loader.tree, path, key=key)
        known[path] = missing or (missing is False and _is_empty(loader.tree, path)) or False
    if known[path]:
        said = f"{_shown(directive)}: file {path} does not exist or is empty"
        loader.refuse(directive.location, said, code=Code.NO_CERTIFICATE)


def _cache(loader: Loader, directive: Directive) -> None:
    """Refuse a cache whose module, mod_socache_TYPE, is certainly not loaded."""
    kind = directive.value.partition(":")[0].lower()
    if kind in ("none", "nonenotnull") or UNKNOWN in kind:
        return
    if loader.modules.has(f"socache_{kind}_module") is False and not loader.modules.foreign:
        said = f"{_shown(directive)}: '{kind}' needs mod_socache_{kind}, which is not loaded"
        loader.refuse(directive.location, said)


def _managed(loader: Loader, statements: list[Directive]) -> None:
    """Refuse a name that two managed domains of mod_md share; configtest does not see it."""
    taken: dict[str, Directive] = {}
    for domain in statements:
        if domain.doubt or domain.name not in ("mdomain", "<mdomain", "<mdomainset"):
            continue
        members = [one for one in domain.block or () if one.name in ("mdmember", "mdmembers")]
        words = {word.lower() for each in (domain, *members) for word in each.args}
        for name in sorted(words - {"auto", "manual"}):
            first = taken.setdefault(name, domain)
            if first is not domain and UNKNOWN not in name:
                place = f"{first.location.path}:{first.location.line}"
                said = f"{name} is in two managed domains, the other is at {place}"
                loader.refuse(domain.location, said)


def _server(apache: Apache, host: Host, sound: set[tuple[str | None, str | None]]) -> None:
    """Refuse what the initialisation of TLS refuses; `sound` are pairs that fit each other."""
    loader = apache.loader
    protocols = host.last("sslprotocol")
    if protocols is not None and not protocols.doubt:
        _protocols(loader, protocols)
    if host.doubt or apache.servers.engine(host).state != "on":
        return
    references = apache.servers.certificates(host)
    if not references and not host.all("sslopensslconfcmd"):
        switches = host.own.get("sslengine")
        where = switches[-1].location if switches else host.where
        said = "SSLEngine is on without SSLCertificateFile"
        loader.refuse(where, said, code=_code(apache, host))
    for reference in references:
        pair = (reference.path, reference.key)
        if reference.path is None or pair in sound:
            continue
        found = certificates.load(loader.tree, reference)
        if found.status == "present" and found.leaf is None and found.problem:
            said = f"certificate {reference.path} cannot be loaded"
            loader.refuse(reference.location, said)
        elif found.key_status == "present" and not found.public_keys:
            said = f"no private key can be loaded from {reference.key}: {found.key_problem}"
            loader.refuse(reference.key_location or reference.location, said)
        elif found.key_matches is False:
            said = f"certificate and private key {reference.key} do not match"
            place = reference.key_location or reference.location
            loader.refuse(place, said, code=_code(apache, host))
        else:
            sound.add(pair)
    if protocols is not None and not protocols.doubt and not _enabled(protocols):
        loader.refuse(protocols.location, "SSLProtocol: no SSL protocols available")


def _code(apache: Apache, host: Host) -> Code:
    """Return the code for what is wrong with a certificate: rules judge that of a socket."""
    ports = {record.port for record in apache.listeners.records}
    served = host is apache.main or any(one.port in (0, *ports) for one in host.addresses)
    return Code.NO_CERTIFICATE if ports and served else Code.REFUSED


def _protocols(loader: Loader, directive: Directive) -> None:
    """Refuse a word that is no protocol, whether TLS is on or off."""
    for word in directive.args:
        if word.lstrip("+-").lower() not in _PROTOCOLS and UNKNOWN not in word:
            loader.refuse(directive.location, f"SSLProtocol: illegal protocol '{word}'")


def _enabled(directive: Directive) -> set[str]:
    """Return the protocols that an SSLProtocol leaves (ssl_cmd_protocol_parse)."""
    enabled: set[str] = set()
    for word in directive.args:
        name = word.lstrip("+-").lower()
        named = set(_PROTOCOLS[2:]) if name == "all" else {name}
        if word.startswith("-"):
            enabled -= named
        elif word.startswith("+"):
            enabled |= named
        else:
            enabled = named
    return enabled


def _is_empty(tree: Tree, path: str) -> bool:
    """Tell whether a file is there and has no content."""
    try:
        return not tree.read_bytes(path)
    except TreeError as error:
        return error.status is Status.DIRECTORY
