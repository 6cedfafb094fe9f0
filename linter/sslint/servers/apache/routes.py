"""Where Apache sends clients and requests, and the headers that tell them something."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

from sslint.regex import is_number
from sslint.servers.apache import urls
from sslint.servers.apache.environment import UNKNOWN
from sslint.servers.apache.hosts import Host
from sslint.servers.apache.syntax import Directive
from sslint.servers.model import Redirect, Setting, Upstream

STATUSES = {"permanent": 301, "temp": 302, "seeother": 303, "gone": 410}
_HEADERS = {"alt-svc": "Alt-Svc", "strict-transport-security": "Strict-Transport-Security"}
_SETS = ("set", "append", "add", "merge", "setifempty")
_WANTED = (
    *("sslprotocol", "sslciphersuite", "sslusestapling", "sslverifyclient", "sslcacertificatefile"),
    *("sslstaplingcache", "sslstrictsnivhostcheck", "sslproxyengine", "sslengine", "protocols"),
    *("remoteipproxyprotocol", "namevirtualhost", "mdomain", "sslhonorcipherorder"),
)
REDIRECTS = ("rewriterule", "redirect", "redirectmatch", "redirectpermanent", "redirecttemp")
UPSTREAMS = ("proxypass", "proxypassmatch", "rewriterule", "sethandler")
SETTINGS = (*_WANTED, "header")
_HTTP = {"ws": "http", "wss": "https", "h2": "https", "h2c": "http"}
MAX_DEPTH = 16


def walk(
    block: list[Directive], names: tuple[str, ...], conditional: bool = False, depth: int = 0
) -> Iterator[tuple[Directive, bool, bool]]:
    """Yield some statements with whether they may not apply, and whether a section holds them."""
    for directive in block:
        if directive.block is None:
            if directive.name in names:
                yield directive, conditional or bool(directive.doubt), depth > 0
        elif directive.name != "<virtualhost" and depth < MAX_DEPTH:
            inside = conditional or directive.name in ("<if", "<elseif", "<else", "<limit")
            yield from walk(directive.block, names, inside, depth + 1)


def may_hold(host: Host, names: tuple[str, ...]) -> bool:
    """Tell whether a server has one of some statements, or a section that may hold one."""
    own = host.own
    return any(name in own for name in names) or any(name.startswith("<") for name in own)


def redirects(host: Host, block: list[Directive], secure: bool | None) -> Iterator[Redirect]:
    """Yield the redirects of a server to an absolute URL; `secure`: it is reached over TLS."""
    conditions: list[Directive] = []
    rewriting = host.own.get("rewriteengine")
    rewrites = bool(rewriting) and rewriting[-1].value.lower() == "on"  # type: ignore[index]
    for directive, conditional, inside in walk(block, (*REDIRECTS, "rewritecond")):
        name = directive.name
        target = ""
        doubtful = conditional
        if name == "rewritecond":
            conditions.append(directive)
            continue
        if name == "rewriterule":
            target = directive.args[1] if len(directive.args) > 1 and rewrites else ""
            if is_proxied(directive):
                target = ""
            answers = [_holds(condition, secure) for condition in conditions]
            conditions = []
            if False in answers:
                continue
            doubtful = doubtful or None in answers
        elif name in REDIRECTS:
            target = redirect_of(directive, inside)[2] or ""
        url = urls.parse(target) if target else None
        if url is not None and url.scheme in ("http", "https", None):
            yield Redirect(
                host.number, url.scheme, url.host, url.port, directive.location, doubtful, url.own
            )


def _holds(condition: Directive, secure: bool | None) -> bool | None:
    """Answer a RewriteCond that asks whether a client came over TLS; None for any other."""
    if len(condition.args) < 2 or secure is None:
        return None
    test, wanted = condition.args[0].upper(), condition.args[1]
    negated = wanted.startswith("!")
    pattern = wanted.lstrip("!=").strip("^$").lower()
    known = {"%{HTTPS}": {"on": secure, "off": not secure}}
    known["%{REQUEST_SCHEME}"] = {"https": secure, "http": not secure}
    found = known.get(test, {}).get(pattern)
    return found if found is None else found is not negated


def redirect_of(directive: Directive, inside: bool) -> tuple[int, str | None, str | None]:
    """Return status, path and target of a Redirect; None for a part that it does not have."""
    args = list(directive.args)
    status = {"redirectpermanent": 301}.get(directive.name, 302)
    if directive.name in ("redirect", "redirectmatch") and args:
        word = args[0].lower()
        if word in STATUSES:
            status = STATUSES[word]
            args = args[1:]
        elif is_number(word) and len(word) < 4:
            status = int(word)
            args = args[1:]
    if inside and len(args) < 2:
        return status, None, args[0] if args else None
    return status, args[0] if args else None, args[1] if len(args) > 1 else None


def flags_of(rule: Directive) -> Mapping[str, str]:
    """Return the flags of a RewriteRule or RewriteCond, by upper-case name."""
    return _flags(rule.args[2]) if len(rule.args) > 2 else {}


@lru_cache(1_000)
def _flags(text: str) -> Mapping[str, str]:
    found = {}
    for part in text.strip("[]").split(","):
        name, _, value = part.strip().partition("=")
        found[name.upper()] = value
    return found


def is_proxied(rule: Directive) -> bool:
    """Tell whether a RewriteRule passes the request on."""
    flags = flags_of(rule)
    return "P" in flags or "PROXY" in flags


# -- back ends ---------------------------------------------------------------------------------


def upstreams(
    host: Host, block: list[Directive], balancers: dict[str, list[Directive]]
) -> Iterator[Upstream]:
    """Yield where a server passes requests on; `balancers` are those of <Proxy balancer://...>."""
    for directive, _, inside in walk(block, UPSTREAMS):
        target = _target(directive, inside)
        if target is None or target == "!":
            continue
        if target.lower().startswith("balancer://"):
            for member in balancers.get(balancer_name(target), ()):
                yield from _upstream(host, member.value, member)
        else:
            yield from _upstream(host, target, directive)


def _target(directive: Directive, inside: bool) -> str | None:
    name, args = directive.name, directive.args
    if name in ("proxypass", "proxypassmatch"):
        values = [word for word in args if "=" not in word.partition("://")[0]]
        position = 0 if inside and "://" in (values or [""])[0] else 1
        return values[position] if len(values) > position else None
    if name == "rewriterule" and len(args) > 1 and is_proxied(directive):
        return args[1]
    if name == "sethandler" and args and args[0].lower().startswith("proxy:"):
        return args[0][6:]
    return None


def balancer_name(target: str) -> str:
    """Return the name of a balancer, as <Proxy> and ProxyPass write it."""
    return target.lower().removeprefix("balancer://").partition("/")[0]


def _upstream(host: Host, target: str, directive: Directive) -> Iterator[Upstream]:
    if target.lower().startswith("unix:"):
        return
    url = urls.parse(target)
    if url is None:
        yield Upstream(host.number, None, None, None, directive.location)
        return
    scheme = _HTTP.get(url.scheme or "", url.scheme)
    yield Upstream(host.number, scheme, url.host, url.port, directive.location)


def balancers(hosts: Iterable[Host]) -> dict[str, list[Directive]]:
    """Return the members of the balancers of all servers by name."""
    found: dict[str, list[Directive]] = {}
    for host in hosts:
        for directive in host.own.get("<proxy", ()):
            if directive.value.lower().startswith("balancer://"):
                members = [d for d in directive.block or () if d.name == "balancermember"]
                found.setdefault(balancer_name(directive.value), []).extend(members)
    return found


# -- settings ----------------------------------------------------------------------------------


def settings(host: Host, block: list[Directive], site: int | None) -> Iterator[Setting]:
    """Yield the statements that a rule may ask for."""
    for directive, _, inside in walk(block, SETTINGS):
        scope = "location" if inside else "server"
        args = directive.args
        if directive.name == "header":
            words = args[1:] if args and args[0].lower() in ("always", "onsuccess") else args
            if len(words) < 3 or words[0].lower() not in _SETS:
                continue
            header = _HEADERS.get(words[1].lower().rstrip(":"))
            if header is not None and UNKNOWN not in words[2]:
                place = directive.location
                yield Setting("apache", header, words[2], place, scope, words[1:], site)
        else:
            value = args[0] if args else None
            yield Setting("apache", directive.name, value, directive.location, scope, args, site)
