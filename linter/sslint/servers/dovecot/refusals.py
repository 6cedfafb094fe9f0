"""Why Dovecot would certainly refuse to start with these settings.

Sources: src/config/config-parser.c, src/master/master-settings.c, src/login-common/
login-settings.c; each was seen with 2.4.1. What the form of a setting says is in forms.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sslint.certificates import missing
from sslint.reasons import Code, Reason
from sslint.regex import is_number
from sslint.servers.dovecot import forms, names
from sslint.servers.dovecot.listeners import ROOT, Listening, Protocols, boolean
from sslint.servers.dovecot.settings import Configuration, Lookup, Value
from sslint.servers.dovecot.upgrade import instead
from sslint.servers.model import BindConflict, Endpoint
from sslint.tree import Tree

_WILDCARDS = ("0.0.0.0", "::")  # noqa: S104
_OTHER_FILES = ("dh_file", "ssl_dh", "ca_file", "ssl_ca")  # of which no rule speaks


def find(
    tree: Tree,
    lookup: Lookup,
    protocols: Protocols,
    conflicts: Iterable[BindConflict],
    version: tuple[int, ...] | None,
) -> list[Reason]:
    """Return every reason that is certain, with its place."""
    configuration = lookup.configuration
    return [
        *_version(lookup, version),
        *_values(configuration),
        *forms.check(configuration, version),
        *_protocols(configuration, protocols),
        *_files(tree, configuration),
        *(conflict.reason for conflict in conflicts),
    ]


def _version(lookup: Lookup, version: tuple[int, ...] | None) -> Iterator[Reason]:
    """2.4 wants a version line, and 2.3 has no such setting."""
    configuration = lookup.configuration
    first = configuration.first
    if not configuration.modern:
        if version is not None and version >= (2, 4):
            yield Reason(Code.REFUSED, first, "The first setting must be dovecot_config_version")
        return
    place = next(
        (s.value.location for s in configuration.statements if s.name == names.VERSION), first
    )
    if version is not None and version < (2, 4):
        yield Reason(Code.REFUSED, place, f"{names.VERSION}: Unknown setting")
    wanted = _numbers(configuration.version)
    if configuration.version == names.UNKNOWN_VERSION:
        return
    if wanted is None or wanted < (2, 4):
        yield Reason(Code.REFUSED, place, f"Invalid {names.VERSION}: {configuration.version}")
    if lookup.value("dovecot_storage_version", ROOT) is None:
        yield Reason(Code.REFUSED, place, "dovecot_storage_version setting must be set")


def _numbers(text: str) -> tuple[int, ...] | None:
    parts = text.split(".")
    if len(parts) > 4 or not all(is_number(p) and len(p) < 9 for p in parts):
        return None
    return tuple(int(part) for part in parts)


def _values(configuration: Configuration) -> Iterator[Reason]:
    """Values and names that the parser refuses, wherever they stand."""
    if configuration.modern:
        for named in configuration.statements:
            if instead(named) is not None:
                yield Reason(
                    Code.OLD_SETTING, named.value.location, f"{named.name}: Unknown setting"
                )
    for name, value in configuration.assigned:
        text = value.text
        if text is None or value.read or "%{" in text:
            continue
        if configuration.modern and name == "pop3_uidl_format":
            yield Reason(
                Code.REFUSED,
                value.location,
                "pop3_uidl_format setting doesn't contain any %{variables}.",
            )
    for block in configuration.blocks:
        ssl, cleartext = (block.values.get(name) for name in ("ssl", "auth_allow_cleartext"))
        required = configuration.modern and ssl is not None and ssl.text == "required"
        if required and cleartext is not None and boolean(cleartext):
            yield Reason(
                Code.REFUSED,
                cleartext.location,
                "auth_allow_cleartext=yes has no effect with ssl=required",
            )


def _protocols(configuration: Configuration, protocols: Protocols) -> Iterator[Reason]:
    known: set[str | None] = {service.protocol for service in names.SERVICES.values()}
    for block in configuration.blocks:
        if block.kind == "service" and "service_protocol" in block.values:
            known.add(block.values["service_protocol"].text)
    for protocol, value in protocols.enabled.items():
        if protocol not in known and None not in known and value is not None:
            yield Reason(Code.REFUSED, value.location, f"protocols: Unknown protocol: {protocol}")


def conflicts(endpoints: list[Endpoint], listening: Listening) -> list[BindConflict]:
    """Return the sockets that cannot be opened beside another; one stops the whole daemon."""
    reusing = {(s.service, s.listener) for s in listening.sockets if s.reuse_port}
    shared = {listener for _, listener in reusing}
    taken: dict[tuple[int, bool], dict[str, Endpoint]] = {}
    found = []
    for endpoint in endpoints:
        if not endpoint.certain or endpoint.service in shared:
            continue
        others = taken.setdefault((endpoint.port, ":" in endpoint.address), {})
        other = others.get(endpoint.address)
        if other is None and others:
            wildcard = next((others[w] for w in _WILDCARDS if w in others), None)
            other = next(iter(others.values())) if endpoint.address in _WILDCARDS else wildcard
        if other is not None:
            found.append(
                BindConflict(
                    "tcp",
                    endpoint.port,
                    _shown(other),
                    _shown(endpoint),
                    other.location,
                    endpoint.location,
                )
            )
        others.setdefault(endpoint.address, endpoint)
    return found


def _shown(endpoint: Endpoint) -> str:
    address = f"[{endpoint.address}]" if ":" in endpoint.address else endpoint.address
    return f"{address}:{endpoint.port}"


def _files(tree: Tree, configuration: Configuration) -> Iterator[Reason]:
    """A certificate or key that certainly is not there is fatal, whether it is used or not."""
    for name, value in configuration.assigned:
        if name in names.FILES:
            if value.read:
                yield Reason(
                    Code.FILE_PREFIX,
                    value.location,
                    f"{name} takes a path: `<` reads one out of the file",
                )
                continue
        elif not (value.read and name.startswith("ssl_")):
            continue
        if _certainly_absent(tree, name, value):
            code = Code.REFUSED if name.endswith(_OTHER_FILES) else Code.NO_CERTIFICATE
            yield Reason(code, value.location, f"{name}: no such file: {value.text}")


def _certainly_absent(tree: Tree, name: str, value: Value) -> bool:
    """Tell whether a file is missing on the host, and not only from the copy that was given."""
    path = value.text
    if not path or path.startswith(names.INLINE):
        return False
    return missing(tree, path, key="key" in name) is True
