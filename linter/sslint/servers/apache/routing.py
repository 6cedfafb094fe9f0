"""How a virtual host answers a request: the order of mod_rewrite, mod_proxy, mod_alias and core.

Each takes the request or leaves it to the next: rewrite rules of the server, ProxyPass, Redirect,
Alias, DocumentRoot; then Require decides. What a directory's own rules do is not known.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterator, Mapping

from sslint import globs
from sslint.patterns import compile_pattern
from sslint.regex import is_number, regex
from sslint.servers.apache import routes
from sslint.servers.apache.environment import UNKNOWN
from sslint.servers.apache.hosts import Host
from sslint.servers.apache.loader import Loader
from sslint.servers.apache.syntax import Directive
from sslint.servers.interface import Answer
from sslint.values import dataclass

_REDIRECTS = ("redirect", "redirectmatch", "redirectpermanent", "redirecttemp")
_ALIASES = ("alias", "aliasmatch", "scriptalias", "scriptaliasmatch")
_VARIABLE = regex(r"%\{([^}]*)\}|%(\d)|\$(\d)")
_CONDITIONAL = ("<if", "<elseif", "<else")
_RIGHTS = ("require", "deny")
_DECIDES = (*_REDIRECTS, *_RIGHTS, "rewriterule", "proxypass", "sethandler", "alias")
MAX_RULES = 2_000


class _UnknownError(Exception):
    """The files do not decide it."""

    def __init__(self, reason: str, directive: Directive | None = None) -> None:
        super().__init__(reason)
        self.directive = directive


@dataclass(slots=True)
class Request:
    """One request of a client for a name on a port."""

    name: str
    port: int
    uri: str
    secure: bool
    matched: tuple[str | None, ...] = ()  # of the last RewriteCond
    groups: tuple[str | None, ...] = ()  # of the RewriteRule
    first: str = ""  # the URI before it is rewritten: by it <Location> is found at first

    def variable(self, name: str) -> str:
        """Return a server variable. Raise _UnknownError for what a client decides."""
        default = 443 if self.secure else 80
        known = {
            "HTTPS": "on" if self.secure else "off",
            "HTTP_HOST": self.name + ("" if self.port == default else f":{self.port}"),
            "SERVER_NAME": self.name,
            "SERVER_PORT": str(self.port),
            "REQUEST_SCHEME": "https" if self.secure else "http",
            "REQUEST_URI": self.uri,
            "REQUEST_METHOD": "GET",
            "QUERY_STRING": "",
            "THE_REQUEST": f"GET {self.uri} HTTP/1.1",
        }
        found = known.get(name.upper())
        if found is None:
            raise _UnknownError(f"%{{{name}}} is known only when a client asks")
        return found

    def expand(self, text: str) -> str:
        """Put in variables and back references."""

        def put(match: re.Match[str]) -> str:
            if match[1] is not None:
                return self.variable(match[1])
            groups = self.matched if match[2] is not None else self.groups
            number = int(match[2] if match[2] is not None else match[3])
            return (groups[number] or "") if number < len(groups) else ""

        if UNKNOWN in text:
            raise _UnknownError("a variable is not known")
        return _VARIABLE.sub(put, text)


@dataclass(frozen=True, slots=True)
class Router:
    """Answers for one server."""

    loader: Loader
    host: Host
    secure: bool

    def answer(self, name: str, port: int, uri: str) -> Answer:
        """Return what is done with a request."""
        request = Request(name, port, uri, self.secure, first=uri)
        try:
            found = self._answer(request)
        except _UnknownError as unknown:
            where = unknown.directive.location if unknown.directive is not None else None
            return Answer("unknown", self.host.number, where, reason=str(unknown))
        return found

    def _answer(self, request: Request) -> Answer:
        host = self.host
        if host.doubt or host.lost is not None or (host.main is not None and host.main.lost):
            raise _UnknownError("the files of the server are not all known")
        if request.uri.startswith("/.well-known/acme-challenge/") and self._managed():
            raise _UnknownError("mod_md answers challenges of its own")
        rewritten = self._rewritten(request)
        if rewritten is not None:
            self._undisturbed(request.first, _DECIDES)
        elif request.uri != request.first:  # passed through, and looked up again
            self._undisturbed(request.uri, set(_DECIDES) - set(_RIGHTS))
        proxied = self._proxied(request) if rewritten is None else None
        located = self._located(request) if rewritten is None else None
        if proxied is not None and located is not None:  # the redirect comes after the rights
            return self._denied(request.uri, proxied) or located
        answer = rewritten or located or proxied or self._redirected(request) or self._file(request)
        if answer.kind in ("file", "proxy"):
            # A rule without PT changes the file that is served and not the URI of the request.
            asked = request.uri if rewritten is None else request.first
            denied = self._denied(asked, answer)
            if denied is not None:
                return denied
        return answer

    def _undisturbed(self, uri: str, names: Collection[str]) -> None:
        """Raise if a <Location> may change what the rewrite rules of the server have decided."""
        for section in self._locations(uri):
            for directive in section.block or ():
                if directive.name in names:
                    raise _UnknownError("a <Location> may decide beside the rules", directive)

    def _managed(self) -> bool:
        statements = self.host.main.own if self.host.main is not None else self.host.own
        return any(name in statements for name in ("mdomain", "<mdomain", "<mdomainset"))

    def _given(self, answer: Answer, directive: Directive) -> Answer:
        if directive.doubt:
            raise _UnknownError(directive.doubt, directive)
        return answer

    # -- mod_rewrite -------------------------------------------------------------------------

    def _rewritten(self, request: Request) -> Answer | None:
        engine = self.host.own.get("rewriteengine")
        if not engine or engine[-1].value.lower() != "on":
            return None
        if self.host.own.get("rewriteoptions") or self.host.own.get("rewritemap"):
            raise _UnknownError("RewriteOptions or RewriteMap decide", engine[-1])
        conditions: list[Directive] = []
        original = request.uri
        through = False
        for count, directive in enumerate(self._statements("rewritecond", "rewriterule")):
            if count > MAX_RULES:
                raise _UnknownError("there are too many rules", directive)
            if directive.doubt:
                raise _UnknownError(directive.doubt, directive)
            if directive.name == "rewritecond":
                conditions.append(directive)
                continue
            mine, conditions = conditions, []
            if len(directive.args) < 2 or not self._applies(request, directive, mine):
                continue
            flags = routes.flags_of(directive)
            if set(flags) & {"N", "NEXT", "C", "CHAIN", "S", "SKIP", "H", "HANDLER"}:
                raise _UnknownError("the flags of a RewriteRule are not followed", directive)
            ended = self._applied(request, directive, flags)
            if ended is not None:
                return ended
            through = through or bool(set(flags) & {"PT", "PASSTHROUGH"})
            if through or set(flags) & {"L", "LAST", "END"}:
                break
        if request.uri == original or through:
            return None
        if not request.uri.startswith("/"):
            raise _UnknownError("a rewritten URI without a slash before it")
        first = "/" + request.uri.split("/")[1]
        if self.loader.tree.exists(first):
            path = request.uri
            return Answer("file", self.host.number, self.host.where, path=path, root="/")
        return self._document(request)

    def _statements(self, *names: str) -> Iterator[Directive]:
        """Yield statements of the server itself, in their order."""
        block = self.host.directive.block if self.host.directive is not None else None
        if block is not None:
            yield from (d for d in block if d.name in names)
            return
        found = [d for name in names for d in self.host.own.get(name, ())]
        yield from sorted(found, key=lambda d: (d.file.path, d.line))

    def _applies(self, request: Request, rule: Directive, conditions: list[Directive]) -> bool:
        pattern = rule.args[0]
        negated = pattern.startswith("!")
        groups = _match(pattern.removeprefix("!"), request.uri, routes.flags_of(rule), rule)
        if (groups is None) is not negated:
            return False
        request.groups = groups or ()
        request.matched = ()
        held = True
        alternative = False  # the conditions before it are joined by OR, and one of them holds
        for condition in conditions:
            joined = bool(set(routes.flags_of(condition)) & {"OR", "ORNEXT"})
            if alternative:
                alternative = joined
                continue
            held = self._holds(request, condition)
            if held and joined:
                alternative = True
            elif not held and not joined:
                return False
        return held or not conditions

    def _holds(self, request: Request, condition: Directive) -> bool:
        if len(condition.args) < 2:
            raise _UnknownError("a RewriteCond without a pattern", condition)
        text = request.expand(condition.args[0])
        wanted = condition.args[1]
        negated = wanted.startswith("!")
        wanted = wanted.removeprefix("!")
        flags = routes.flags_of(condition)
        if wanted.startswith("="):
            value = wanted[1:].strip('"')
            same = text.lower() == value.lower() if "NC" in flags else text == value
            return same is not negated
        if wanted[:1] in "<>" or (wanted.startswith("-") and len(wanted) < 5) or text == "expr":
            raise _UnknownError(
                "a RewriteCond asks for what a client or the disk decides", condition
            )
        groups = _match(wanted, text, flags, condition)
        if groups is not None and not negated:
            request.matched = groups
        return (groups is None) is negated

    def _applied(
        self, request: Request, rule: Directive, flags: Mapping[str, str]
    ) -> Answer | None:
        """Carry out a rule; return what ends the request."""
        where = rule.location
        if set(flags) & {"F", "FORBIDDEN"}:
            return Answer("deny", self.host.number, where, status=403)
        if set(flags) & {"G", "GONE"}:
            return Answer("return", self.host.number, where, status=410)
        code = flags.get("R", flags.get("REDIRECT"))
        target = rule.args[1]
        if target == "-":
            return None
        expanded = request.expand(target)
        if routes.is_proxied(rule):
            return Answer("proxy", self.host.number, where, url=expanded)
        absolute = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", expanded) is not None
        if code is None and not absolute:
            request.uri = expanded.partition("?")[0]
            return None
        if code is None:
            raise _UnknownError("a RewriteRule to a URL without R", rule)
        number = {"": "302", **{k: str(v) for k, v in routes.STATUSES.items()}}.get(code, code)
        if not is_number(number):
            raise _UnknownError("the status of a RewriteRule is not known", rule)
        status = int(number)
        if not 300 <= status < 400:
            return Answer("return", self.host.number, where, status=status)
        if not set(flags) & {"L", "LAST", "END"}:
            raise _UnknownError("later rules may change a redirect", rule)
        url = expanded if absolute else self._own_url(request, expanded)
        return Answer("redirect", self.host.number, where, url=url, status=status)

    def _own_url(self, request: Request, path: str) -> str:
        """Return a URL of the same server (ap_construct_url)."""
        scheme = "https" if request.secure else "http"
        canonical = self.host.last("usecanonicalname")
        if canonical is not None and canonical.value.lower() != "off":
            raise _UnknownError("UseCanonicalName decides the name", canonical)
        default = request.port == (443 if request.secure else 80)
        port = "" if default else f":{request.port}"
        return f"{scheme}://{request.name}{port}{path if path.startswith('/') else '/' + path}"

    # -- mod_proxy ---------------------------------------------------------------------------

    def _proxied(self, request: Request) -> Answer | None:
        for section in self._locations(request.first):
            for directive in section.block or ():
                if directive.name == "proxypass" and directive.args:
                    if directive.value == "!":
                        return None
                    url = directive.value
                    return self._given(
                        Answer("proxy", self.host.number, directive.location, url=url), directive
                    )
        for directive in self._all("proxypass", "proxypassmatch"):
            if len(directive.args) < 2:
                continue
            path, target = directive.args[0], directive.args[1]
            if directive.name == "proxypassmatch":
                fits = _match(path, request.uri, {}, directive) is not None
            else:
                fits = _prefix(path, request.uri) is not None
            if fits:
                if target == "!":
                    return self._given(Answer("none"), directive) and None
                url = target + request.uri[len(path) :] if "$" not in target else target
                where = directive.location
                return self._given(Answer("proxy", self.host.number, where, url=url), directive)
        return None

    def _inherited(self, *names: str) -> Iterator[Directive]:
        """Yield the server's own statements, then those of the main server."""
        yield from self._statements(*names)
        if self.host.main is not None:
            yield from Router(self.loader, self.host.main, self.secure)._statements(*names)

    # -- mod_alias ---------------------------------------------------------------------------

    def _redirected(self, request: Request) -> Answer | None:
        for directive in self._inherited(*_REDIRECTS):
            status, path, target = routes.redirect_of(directive, False)
            if path is None or UNKNOWN in path + (target or ""):
                raise _UnknownError("a Redirect is not known", directive)
            rest = ""
            if directive.name == "redirectmatch":
                groups = _match(path, request.uri, {}, directive)
                if groups is None:
                    continue
                request.groups = groups
                target = _references(target, groups)
            else:
                found = _prefix(path, request.uri)
                if found is None:
                    continue
                rest = found
            return self._given(self._sent(request, directive, status, target, rest), directive)
        return None

    def _sent(
        self, request: Request, directive: Directive, status: int, target: str | None, rest: str
    ) -> Answer:
        where = directive.location
        if not 300 <= status < 400:
            kind = "deny" if status in (401, 403) else "return"
            return Answer(kind, self.host.number, where, status=status)  # type: ignore[arg-type]
        url = (target or "") + rest
        if "://" not in url.partition("/")[0] + "//" and url.startswith("/"):
            url = self._own_url(request, url)
        return Answer("redirect", self.host.number, where, url=url, status=status)

    def _located(self, request: Request) -> Answer | None:
        """Return the redirect of a <Location>, which comes before those of the server."""
        found = None
        for section in self._locations(request.first):
            for directive in section.block or ():
                if directive.name in _REDIRECTS:
                    status, path, target = routes.redirect_of(directive, True)
                    if path is not None:
                        raise _UnknownError("a Redirect with a path in a <Location>", directive)
                    found = self._given(
                        self._sent(request, directive, status, target, ""), directive
                    )
                elif directive.name == "sethandler" and directive.value.lower() != "none":
                    raise _UnknownError("SetHandler decides", directive)
        return found

    def _file(self, request: Request) -> Answer:
        for directive in self._inherited(*_ALIASES):
            if len(directive.args) < 2:
                continue
            path, target = directive.args[0], directive.args[1]
            if directive.name.endswith("match"):
                groups = _match(path, request.uri, {}, directive)
                if groups is None:
                    continue
                file = _references(target, groups) or ""
                root = None
            else:
                rest = _prefix(path, request.uri)
                if rest is None:
                    continue
                file, root = target + rest, target
            if UNKNOWN in file:
                raise _UnknownError("an Alias is not known", directive)
            found = Answer(
                "file",
                self.host.number,
                directive.location,
                path=self.loader.path(file),
                root=self.loader.path(root) if root is not None else None,
            )
            return self._given(found, directive)
        return self._document(request)

    def _document(self, request: Request) -> Answer:
        directive = self.host.last("documentroot")
        if self.host.last("virtualdocumentroot") is not None:
            raise _UnknownError(
                "VirtualDocumentRoot decides", self.host.last("virtualdocumentroot")
            )
        if directive is None or not directive.value or UNKNOWN in directive.value:
            raise _UnknownError("DocumentRoot is not known", directive)
        root = self.loader.path(directive.value)
        path = root.rstrip("/") + request.uri
        found = Answer("file", self.host.number, directive.location, path=path, root=root)
        return self._given(found, directive)

    # -- rights --------------------------------------------------------------------------------

    def _denied(self, uri: str, answer: Answer) -> Answer | None:
        """Return the refusal of a request that Require does not grant."""
        decided: Directive | None = None
        sections = list(self._directories(answer.path)) if answer.path else []
        sections += self._locations(uri)
        for section in sections:
            for directive in section.block or ():
                if directive.name in ("require", "deny", "order", "<requireall", "<requireany"):
                    decided = directive
                elif directive.name in _CONDITIONAL and _matters(directive):
                    raise _UnknownError("a condition decides", directive)
                elif directive.name == "rewriterule" and directive is not section:
                    raise _UnknownError("rules of a directory are not followed", directive)
        if decided is None:
            return None
        if decided.doubt:
            raise _UnknownError(decided.doubt, decided)
        words = tuple(word.lower() for word in decided.args)
        if decided.name == "require" and words == ("all", "granted"):
            return None
        if decided.name == "require" and words == ("all", "denied"):
            return Answer("deny", self.host.number, decided.location, status=403)
        if decided.name == "require" and words[:1] in (("valid-user",), ("user",), ("group",)):
            return Answer("auth", self.host.number, decided.location, status=401)
        raise _UnknownError("who may ask is not known", decided)

    def _directories(self, path: str) -> Iterator[Directive]:
        """Yield the <Directory> sections of a file, the shortest first, then those by pattern."""
        directory = posixpath.dirname(path)
        plain: list[tuple[int, Directive]] = []
        patterns: list[Directive] = []
        for section in self._all("<directory", "<directorymatch"):
            args = section.args
            if section.name == "<directorymatch" or args[:1] == ("~",):
                pattern = args[-1] if args else ""
                if any(
                    _match(pattern, part, {}, section) is not None for part in _parents(directory)
                ):
                    patterns.append(section)
                continue
            name = args[0].rstrip("/") if args else ""
            if UNKNOWN in name:
                raise _UnknownError("a <Directory> is not known", section)
            if globs.is_pattern(name):
                if _fits(name, directory, section):
                    plain.append((name.count("/"), section))
            elif f"{directory}/".startswith(f"{name}/"):
                plain.append((name.count("/") if name else 0, section))
        yield from (section for _, section in sorted(plain, key=lambda one: one[0]))
        yield from patterns

    def _locations(self, uri: str) -> list[Directive]:
        """Return the <Location> sections that fit a URI, in their order."""
        found = []
        for section in self._all("<location", "<locationmatch"):
            args = section.args
            if not args:
                continue
            if section.name.endswith("match") or args[0] == "~":
                fits = _match(args[-1], uri, {}, section) is not None
            elif globs.is_pattern(args[0]):
                fits = _fits(args[0], uri, section)
            else:
                fits = _prefix(args[0], uri) is not None
            if fits:
                found.append(section)
        return found

    def _all(self, *names: str) -> Iterator[Directive]:
        """Yield the main server's statements or sections, then those of the host."""
        if self.host.main is not None:
            yield from Router(self.loader, self.host.main, self.secure)._statements(*names)
        yield from self._statements(*names)


def _prefix(path: str, uri: str) -> str | None:
    """Return what follows a path that a URI starts with (alias_matches); None if it does not."""
    if not uri.startswith(path):
        return None
    rest = uri[len(path) :]
    return rest if path.endswith("/") or not rest or rest.startswith("/") else None


def _match(
    pattern: str, text: str, flags: Mapping[str, str], directive: Directive
) -> tuple[str | None, ...] | None:
    """Return the groups of a match, the whole first; None without one. Raise _UnknownError."""
    nocase = bool(set(flags) & {"NC", "NOCASE"})
    compiled = compile_pattern(f"({pattern})" if pattern else "()", nocase)
    found = compiled.find(text) if compiled is not None else None
    if found is None:
        raise _UnknownError("a pattern is not judged", directive)
    return None if found is False or found is True else found


def _references(target: str | None, groups: tuple[str | None, ...]) -> str | None:
    """Put groups into the target of a RedirectMatch or AliasMatch."""
    if target is None:
        return None

    def put(match: re.Match[str]) -> str:
        number = int(match[1])
        return (groups[number] or "") if number < len(groups) else ""

    return re.sub(r"\$(\d)", put, target)


def _parents(directory: str) -> list[str]:
    parts = directory.strip("/").split("/")
    return ["/" + "/".join(parts[:n]) + "/" for n in range(1, len(parts) + 1)]


def _fits(pattern: str, path: str, directive: Directive) -> bool:
    """Tell whether a path starts with what a glob matches; a wildcard matches no slash."""
    shape = (
        "[^/]*" if char == "*" else "[^/]" if char == "?" else re.escape(char) for char in pattern
    )
    return _match("^" + "".join(shape) + "(?:/|$)", path, {}, directive) is not None


def _matters(directive: Directive) -> bool:
    return any(inner.name in _DECIDES for inner in directive.block or ())
