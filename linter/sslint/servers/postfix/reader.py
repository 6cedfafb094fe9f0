"""A Postfix configuration directory, read into endpoints."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from contextlib import contextmanager

from sslint.reasons import Code, Reason
from sslint.regex import regex
from sslint.servers.model import Dormant, Endpoint, ServerReading
from sslint.servers.postfix import defaults, forms, tls
from sslint.servers.postfix.comments import CommentedService, commented_services
from sslint.servers.postfix.expand import ConfigurationError, Unknown, compatibility_level
from sslint.servers.postfix.main_cf import TEMPLATE, MainCf, parse_main_cf
from sslint.servers.postfix.master_cf import MasterCf, Service, parse_master_cf
from sslint.servers.postfix.parameters import Scope
from sslint.servers.postfix.settings import settings
from sslint.servers.postfix.sockets import (
    Resolver,
    address,
    families,
    interfaces,
    known_tcp_ports,
    split_host_port,
)
from sslint.source import Location
from sslint.tree import Status, Tree
from sslint.values import dataclass, replace

MAX_INSTANCES = 100
_SEVERAL = regex(r"[, \t\r\n]")
_VERP = (("default_verp_delimiters", "+="), ("verp_delimiter_filter", "-=+"))
_ROLES = {25: "smtp", 465: "submissions", 587: "submission"}


def read(
    tree: Tree,
    directory: str = "/etc/postfix",
    *,
    version: tuple[int, ...] | None = None,
    no_ipv6: Location | None = None,
) -> ServerReading | None:
    """Read a Postfix configuration directory and the instances it names.

    Return None if it holds neither main.cf nor master.cf. `no_ipv6`: what leaves the kernel without
    sockets of IPv6.
    """
    reading = ServerReading("postfix", version=version)
    instance = _open(tree, directory, reading, no_ipv6)
    if instance is None:
        return None
    instance.read()
    for other in _instances(instance):
        further = _open(tree, other, reading, no_ipv6)
        if further is None:
            said = f"the instance {other} was not given"
            reading.gaps.append(Reason(Code.NOT_GIVEN, None, said))
        elif further.scope.text("multi_instance_enable") == "yes":
            further.certain = bool(instance.scope.text("multi_instance_wrapper"))
            further.read()
    return reading


def _open(
    tree: Tree, directory: str, reading: ServerReading, no_ipv6: Location | None
) -> _Instance | None:
    paths = [posixpath.join(directory, name) for name in ("main.cf", "master.cf")]
    if not any(tree.status(path) in (Status.FILE, Status.OTHER) for path in paths) and not any(
        tree.status(path) is Status.UNKNOWN and tree.status(directory) is Status.DIRECTORY
        for path in paths
    ):
        return None
    main_file, master_file = (tree.try_read(path) for path in paths)
    main = parse_main_cf(main_file) if main_file is not None else MainCf(known=False)
    for path, file in zip(paths, (main_file, master_file), strict=True):
        if file is not None:
            reading.files.append(file.path)
        else:
            reading.gaps.append(_missing(tree, path))
    scope = Scope(main, _built_in(tree, directory, main, reading.version), reading.version)
    master = parse_master_cf(master_file) if master_file is not None else None
    if master is not None and not master.services and not master.template:
        reading.gaps.append(Reason(Code.UNKNOWN, None, f"{paths[1]} has no services"))
    return _Instance(tree, reading, scope, master, Resolver(tree, no_ipv6))


def _missing(tree: Tree, path: str) -> Reason:
    """Say that a file cannot be read, or was not given."""
    if tree.status(path) is Status.ABSENT or tree.is_excluded(path):
        return Reason(Code.NOT_GIVEN, None, f"{path} was not given")
    return Reason(Code.UNREADABLE, None, f"{path} cannot be read")


def _built_in(
    tree: Tree, directory: str, main: MainCf, version: tuple[int, ...] | None
) -> dict[str, str | None]:
    values = {**defaults.SHARED, **defaults.MASTER}
    values["config_directory"] = directory
    values["known_tcp_ports"] = defaults.KNOWN_TCP_PORTS
    if version is not None:
        values["mail_version"] = ".".join(map(str, version))
        if version < (2, 9):
            values["inet_protocols"] = "ipv4"
    hostname = tree.try_read("/etc/hostname", decisive=False)
    if hostname is not None and hostname.text.strip():
        name = hostname.text.split()[0]
        if "." not in name:
            name += ".$mydomain" if "mydomain" in main.parameters else ".localdomain"
        values["myhostname"] = name
    own = main.parameters.get("myhostname")
    host = own.value if own is not None else values["myhostname"]
    if host is not None and "$" not in host:
        values["mydomain"] = host.partition(".")[2] or "localdomain"
    return values


def _instances(instance: _Instance) -> list[str]:
    listed = instance.scope.text("multi_instance_directories") or ""
    return listed.replace(",", " ").split()[:MAX_INSTANCES]


@dataclass(slots=True)
class _Listener:
    """A service of type inet with its resolved port, as master keeps it."""

    service: Service
    host: str
    port: int | None


@dataclass(slots=True)
class _Instance:
    tree: Tree
    reading: ServerReading
    scope: Scope
    master: MasterCf | None
    resolver: Resolver
    certain: bool = True

    def read(self) -> None:
        """Add what this instance opens to the reading."""
        fatal = self.scope.main.fatal
        if fatal is not None:
            self.tree.problem(fatal[0], fatal[1], code=Code.REFUSED)
            self._refuse(fatal[1], fatal[0])
        self._start()
        if self.master is not None:
            if self.master.template:
                self._unsure(f"{self.master.file.name} is a template", code=Code.TEMPLATE)
            self._services(self.master)
        self.reading.settings += settings(self.scope, self.master, self.resolver)
        self.reading.files += [p for p in self.resolver.read if p not in self.reading.files]

    def _refuse(self, text: str, where: Location | None = None, code: Code = Code.REFUSED) -> None:
        self.reading.refusals.append(Reason(code, where, text))

    def _unsure(self, text: str, where: Location | None = None, code: Code = Code.UNKNOWN) -> None:
        gap = Reason(code, where, text)
        if gap not in self.reading.gaps:
            self.reading.gaps.append(gap)

    @contextmanager
    def _judged(self, where: Location | None = None, code: Code = Code.REFUSED) -> Iterator[None]:
        """Say what Postfix refuses, or what is not known, where a block stops at it."""
        try:
            yield
        except ConfigurationError as error:
            self._refuse(str(error), where, code)
        except Unknown as reason:
            self._unsure(str(reason), where)

    def _start(self) -> None:
        """Check what every Postfix program checks first (mail_params.c)."""
        scope = self.scope
        level = scope.text("compatibility_level")
        relay, own = scope.text("relayhost"), scope.text("myhostname")
        with self._judged():
            if level is not None:
                compatibility_level(level)
            for program in ("all", "master"):
                forms.check(scope, program)
            if relay and own and relay.lower() == own.lower():
                raise ConfigurationError("myhostname and relayhost must not be identical")
            if _SEVERAL.search(scope.text("myorigin") or ""):
                raise ConfigurationError("myorigin must not contain multiple values")
            marks, taken = (
                scope.text(name) if scope.explicit(name) is not None else default
                for name, default in _VERP
            )
            if marks and taken is not None and not set(marks) <= set(taken):
                raise ConfigurationError("bad VERP delimiter character: default_verp_delimiters")
            self.resolver.ports = known_tcp_ports(scope)

    # -- services ---------------------------------------------------------------------------

    def _services(self, master: MasterCf) -> None:
        disabled, enabled = self._split_disabled(master)
        for service in enabled:
            if service.error:
                self.tree.problem(service.location, service.error, code=Code.REFUSED)
                self._refuse(service.error, service.location)
            self._report_options(service)
        listeners = self._listeners(enabled)
        passed = {s.name: s for s in enabled if s.type == "pass"}
        try:
            allowed = self.resolver.supported(families(self.scope))
            own, reasons = interfaces(self.scope, self.resolver, allowed)
        except ConfigurationError as error:
            self._refuse(str(error))
            return
        except Unknown as unknown:
            allowed, own, reasons = "46", ["0.0.0.0", "::"], [str(unknown)]  # noqa: S104
        for reason in reasons:
            self._unsure(reason)
        found: list[Endpoint] = []
        open_ports: set[int | None] = set()
        if not allowed:  # master switches all services of type inet off
            disabled += [listener.service for listener in listeners]
            listeners = []
        for listener in listeners:
            open_ports.add(listener.port)
            found += self._endpoints(listener, passed, allowed, own, reasons)
        self.reading.endpoints += _shared(found)
        self.reading.dormant += self._dormant(master, disabled, open_ports)

    def _report_options(self, service: Service) -> None:
        """Report arguments that Postfix does not take as they are meant."""
        stop = _broken(service)
        if stop is not None:
            where, reason = stop
            self.tree.problem(where, f"Postfix's {service.command} stops at this: {reason}")
        for parameter in service.options.all:
            if parameter.name[:1] in ("{", '"', "'"):  # without a blank, `-o{n=v}` names `{n`
                reason = f"this option has no effect: it sets a parameter {parameter.name[:40]}"
                self.tree.problem(parameter.location, reason, decisive=False)

    def _split_disabled(self, master: MasterCf) -> tuple[list[Service], list[Service]]:
        patterns: list[str] = []
        with self._judged():
            patterns = self.scope.get("master_service_disable").replace(",", " ").split()
        disabled = [s for s in master.services if _is_disabled(s, patterns)]
        return disabled, [s for s in master.services if not _is_disabled(s, patterns)]

    def _listeners(self, services: list[Service]) -> list[_Listener]:
        """Return the inet services; of those with one resolved name the last one counts."""
        found: dict[str, _Listener] = {}
        for service in services:
            if service.type != "inet" or service.error:
                continue
            listener = _Listener(service, "", None)
            with self._judged(service.location, Code.SERVICE_NAME):
                listener.host, port = split_host_port(service.name)
                listener.port = self.resolver.port(port)
            if listener.port is None:
                found[service.name] = listener
            else:
                host = address(listener.host) or listener.host
                found[f"[{host}]:{listener.port}"] = listener
        return list(found.values())

    def _endpoints(
        self,
        listener: _Listener,
        passed: dict[str, Service],
        allowed: str,
        own: list[str],
        reasons: list[str],
    ) -> Iterator[Endpoint]:
        if listener.port is None:
            return
        service = listener.service
        addresses = own
        if not own and not reasons and not listener.host:
            self._refuse("inet_interfaces names no address to listen on", service.location)
        if listener.host:
            addresses, reasons = [], []
            with self._judged(service.location):
                addresses = self.resolver.addresses(listener.host, allowed)
        mode = self._mode(service, passed)
        uncertain = [] if self.certain else ["it is not known whether this instance is started"]
        if not service.certain:
            uncertain.append("a template decides about this service")
        if not self.scope.main.known:
            uncertain += reasons
        for each in addresses:
            yield Endpoint(
                server="postfix",
                protocol=_protocol(service, listener.port, mode),
                transport="tcp",
                address=each,
                port=listener.port,
                tls=mode.tls,
                location=service.location,
                tls_required=mode.required,
                certificates=mode.certificates,
                service=service.name,
                proxy_protocol=mode.proxy_protocol,
                certain=not uncertain,
                reasons=(*uncertain, *mode.reasons),
                settings=(*mode.settings, ("command", service.command)),
                explicit=listener.port != 25,  # its own master.cf opens `smtp` alone
                takes_passwords=dict(mode.settings).get("smtpd_sasl_auth_enable") == "yes",
            )

    def _mode(self, service: Service, passed: dict[str, Service]) -> tls.Mode:
        if TEMPLATE.search(service.command):
            return tls.Mode("unknown", reasons=("a template fills its program in",))
        if service.command not in ("smtpd", "postscreen"):
            return tls.Mode("none", required=False)
        stop = _broken(service)
        scope = self.scope.with_overrides(service.options.overrides)
        if stop is not None:
            return tls.broken_mode(f"{stop[0]}: {stop[1]}")
        if service.command == "smtpd":
            return tls.smtpd(scope, self.tree, service.location)
        limit = service.max_proc
        if limit == "-":
            limit = self.scope.text("default_process_limit") or ""
        if limit.rstrip("?") != "1":
            return tls.broken_mode("postscreen requires a process limit of 1 in master.cf")
        behind = passed.get(scope.text("smtpd_service_name") or "smtpd")
        behind_mode = None
        if behind is not None:
            behind_scope = self.scope.with_overrides(behind.options.overrides)
            stop = _broken(behind)
            behind_mode = (
                tls.broken_mode(f"{stop[0]}: {stop[1]}")
                if stop is not None
                else tls.smtpd(behind_scope, self.tree, behind.location)
            )
        return tls.postscreen(scope, self.tree, service.location, behind_mode)

    # -- what is not opened -----------------------------------------------------------------

    def _dormant(
        self, master: MasterCf, disabled: list[Service], open_ports: set[int | None]
    ) -> Iterator[Dormant]:
        commented = commented_services(master.file)
        for port, name in ((465, "submissions"), (587, "submission"), (25, "smtp")):
            if port in open_ports or None in open_ports:
                continue
            off = [s for s in disabled if s.type == "inet" and self._port(s.name) == port]
            lines = [c for c in commented if c.type == "inet" and self._port(c.name) == port]
            if off:
                yield self._dormant_at(port, off[0].name, "disabled", off[0].location)
            elif lines:
                line = _best(lines)
                yield self._dormant_at(port, line.name, "commented", line.location)
            elif port != 25:
                yield self._dormant_at(port, name, "absent", master.file.at(1))

    def _dormant_at(self, port: int, service: str, reason: str, location: Location) -> Dormant:
        return Dormant(
            server="postfix",
            service=service,
            protocol=_ROLES[port],
            transport="tcp",
            port=port,
            reason=reason,  # type: ignore[arg-type]
            location=location,
        )

    def _port(self, name: str) -> int | None:
        try:
            return self.resolver.port(split_host_port(name)[1])
        except (ConfigurationError, Unknown):
            return None


def _shared(endpoints: list[Endpoint]) -> list[Endpoint]:
    """Mark services that bind one address: the kernel spreads clients over them (SO_REUSEPORT)."""
    by_address: dict[tuple[str, int], list[Endpoint]] = {}
    for endpoint in endpoints:
        by_address.setdefault((endpoint.address, endpoint.port), []).append(endpoint)
    found = []
    for endpoint in endpoints:
        group = by_address[endpoint.address, endpoint.port]
        if len({other.tls for other in group}) > 1:
            other = next(o for o in group if o.tls != endpoint.tls)
            reason = f"clients are spread over this service and that of {other.location}"
            endpoint = replace(endpoint, tls="unknown", reasons=(*endpoint.reasons, reason))
        found.append(endpoint)
    return found


def _is_disabled(service: Service, patterns: list[str]) -> bool:
    """Match master_service_disable (match_service.c): the first pattern that fits decides."""
    full = f"{service.name}/{service.type}".lower()
    for pattern in patterns:
        bare = pattern.lstrip("!")
        negated = (len(pattern) - len(bare)) % 2 == 1
        if "/" not in bare and "." in bare:
            head, _, tail = bare.rpartition(".")
            bare = f"{head}/{tail}"
        if bare.lower() == (full if "/" in bare else service.type):
            return not negated
    return False


# What stands after the options is for other programs (pipe, spawn) an argument.
_FLAGS = regex(r"flags=[DORX]*", re.I)  # smtp(8), since Postfix 3.5
_WITHOUT_ARGUMENTS = ("smtpd", "postscreen", "smtp", "lmtp", "qmqpd", "tlsproxy")


def _broken(service: Service) -> tuple[Location, str] | None:
    """Return where and why a daemon stops at its arguments."""
    if service.options.broken is not None:
        return service.options.broken
    if service.command in _WITHOUT_ARGUMENTS:
        rest = service.options.rest
        if service.command in ("smtp", "lmtp"):
            rest = tuple(token for token in rest if not _FLAGS.fullmatch(token.text))
        if not rest:
            return None
        token = rest[0]
        where = service.line.span(token.start, token.end)
        return where, f'unexpected command-line argument "{token.text[:40]}"'
    return None


def _best(lines: list[CommentedService]) -> CommentedService:
    """Prefer a line for all clients over one for the loopback interface only."""
    return next((line for line in lines if ":" not in line.name), lines[0])


def _protocol(service: Service, port: int, mode: tls.Mode) -> str:
    if service.command not in ("smtpd", "postscreen"):
        return service.command
    if port in _ROLES:
        return _ROLES[port]
    if mode.tls == "implicit":
        return "submissions"
    return "submission" if "submission" in service.name else "smtp"
