"""Statements of main.cf and master.cf that rules may ask for, wherever they stand."""

from __future__ import annotations

from collections.abc import Iterator

from sslint.servers.model import Setting
from sslint.servers.postfix.comments import CommentedService, commented_services, orphan_options
from sslint.servers.postfix.expand import ConfigurationError, Unknown
from sslint.servers.postfix.main_cf import TEMPLATE, Parameter
from sslint.servers.postfix.master_cf import MasterCf, Service
from sslint.servers.postfix.parameters import Scope
from sslint.servers.postfix.sockets import Resolver, split_host_port
from sslint.source import Location

_NAMES = tuple(
    """
    compatibility_level default_transport inet_interfaces inet_protocols known_tcp_ports
    master_service_disable mydomain myhostname relayhost smtpd_sasl_auth_enable
    smtpd_upstream_proxy_protocol postscreen_upstream_proxy_protocol
    """.split()
)


_LEVEL = "set {} = {}, which takes precedence if both are set"
# What to do about what is obsolete: https://www.postfix.org/DEPRECATION_README.html
_OBSOLETE = {
    **{
        f"{program}_{word}_tls": _LEVEL.format(f"{program}_tls_security_level", level)
        for program in ("smtpd", "smtp", "lmtp")
        for word, level in (("use", "may"), ("enforce", "encrypt"))
    },
    "tlsproxy_client_use_tls": _LEVEL.format("tlsproxy_client_security_level", "may"),
    "tlsproxy_use_tls": _LEVEL.format("tlsproxy_tls_security_level", "may"),
    "tlsproxy_enforce_tls": _LEVEL.format("tlsproxy_tls_security_level", "encrypt"),
    "smtp_tls_per_site": "move it to smtp_tls_policy_maps",
    "lmtp_tls_per_site": "move it to lmtp_tls_policy_maps",
    "smtpd_tls_dh1024_param_file": "remove it: Postfix has better built-in parameters",
    "smtpd_tls_eecdh_grade": "remove it: Postfix chooses the curves itself",
}


def settings(scope: Scope, master: MasterCf | None, resolver: Resolver) -> list[Setting]:
    """Return the explicit settings of one instance; values are expanded, None if not known."""
    found = [
        _setting(
            parameter.name,
            scope.text(parameter.name),
            parameter.location,
            arguments=_todo(parameter.name),
        )
        for parameter in scope.main.parameters.values()
        if _reported(parameter.name)
    ]
    for first, second in scope.main.overridden:
        found.append(
            _setting("main.cf.duplicate", second.name, second.location, related=first.location)
        )
    found += _relay(scope, master, resolver)
    if master is not None:
        for service in master.services:
            found += _service(scope, service, resolver)
        found += _orphans(master, resolver)
    return found


def _reported(name: str) -> bool:
    return name in _NAMES or "tls" in name.lower() or name.startswith("relayhost")


def _setting(
    name: str,
    value: str | None,
    location: Location,
    *,
    scope: str = "",
    arguments: tuple[str, ...] = (),
    related: Location | None = None,
) -> Setting:
    # The client side has parameters of the same form.
    offered = name.startswith(("smtpd_", "tlsproxy_"))
    return Setting(
        "postfix", name, value, location, scope, arguments, related=related, offered=offered
    )


def _relay(scope: Scope, master: MasterCf | None, resolver: Resolver) -> Iterator[Setting]:
    """Yield where mail is relayed to: arguments are host, port and the wrapper mode used."""
    parameter = scope.explicit("relayhost")
    value = scope.text("relayhost")
    if parameter is None or not value:
        return
    host, port = _destination(value, resolver)
    transport = (scope.text("default_transport") or "smtp").partition(":")[0]
    client = scope
    for service in master.services if master is not None else ():
        if service.type == "unix" and service.name == transport:
            client = scope.with_overrides(service.options.overrides)
    wrapped = (client.text("smtp_tls_wrappermode") or "no").lower()
    level = client.text("smtp_tls_security_level") or ""
    yield _setting(
        "relay", value, parameter.location, arguments=(host, str(port or ""), wrapped, level)
    )


def _destination(value: str, resolver: Resolver) -> tuple[str, int | None]:
    """Split a next hop `[host]:port`, `host:port` or `host`."""
    hop = value.split()[0].split(",")[0] if value.split() else value
    head, colon, tail = hop.rpartition(":")
    host, service = (head, tail) if colon and "]" not in tail and head else (hop, "smtp")
    try:
        port: int | None = resolver.port(service)
    except (ConfigurationError, Unknown):
        port = None
    return host.strip("[]"), port


def _service(scope: Scope, service: Service, resolver: Resolver) -> Iterator[Setting]:
    own = scope.with_overrides(service.options.overrides)
    for parameter in service.options.all:
        if _reported(parameter.name):
            yield _option(own, parameter, service)
    if service.type == "inet" and not TEMPLATE.search(service.name):
        try:
            resolver.port(split_host_port(service.name)[1])
        except (ConfigurationError, Unknown) as error:
            yield _setting(
                "master.cf.unknown-service",
                service.name,
                service.location,
                scope=service.name,
                arguments=(str(error),),
            )


def _option(scope: Scope, parameter: Parameter, service: Service) -> Setting:
    return _setting(
        parameter.name,
        scope.text(parameter.name),
        parameter.location,
        scope=service.name,
        arguments=_todo(parameter.name),
    )


def _todo(name: str) -> tuple[str, ...]:
    return (_OBSOLETE[name],) if name in _OBSOLETE else ()


def _orphans(master: MasterCf, resolver: Resolver) -> Iterator[Setting]:
    """Yield options that belong to another service than the commented one they stand below."""
    reported: set[int] = set()
    for orphan in orphan_options(master, commented_services(master.file)):
        commented = orphan.commented
        owner = orphan.owner
        words = owner.text[:1000].split() if owner is not None else []
        if commented.at in reported or (
            len(words) > 1 and _same(words[0], words[1], commented, resolver)
        ):
            continue
        reported.add(commented.at)
        yield _setting(
            "master.cf.orphan-options",
            words[0] if words else "",
            orphan.location,
            scope=commented.name,
            related=commented.location,
        )


def _same(name: str, kind: str, commented: CommentedService, resolver: Resolver) -> bool:
    if kind != commented.type:
        return False
    if kind != "inet":
        return name == commented.name
    try:
        return resolver.port(split_host_port(name)[1]) == resolver.port(
            split_host_port(commented.name)[1]
        )
    except (ConfigurationError, Unknown):
        return False
