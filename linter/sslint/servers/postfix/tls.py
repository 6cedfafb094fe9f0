"""What a client meets on a Postfix port: plain SMTP, STARTTLS or TLS from the first byte."""

from __future__ import annotations

import re
from contextlib import suppress

from sslint.servers.model import CertificateRef, Tls
from sslint.servers.postfix import forms
from sslint.servers.postfix.certificates import certificates
from sslint.servers.postfix.expand import ConfigurationError, Unknown
from sslint.servers.postfix.parameters import Scope
from sslint.source import Location
from sslint.tree import Tree
from sslint.values import dataclass

# tls_level_lookup() is case-insensitive; smtpd.c turns the client's levels into `encrypt`.
_ENCRYPT = ("encrypt", "verify", "secure", "fingerprint")
_WORDS = (
    "smtpd_tls_security_level",
    "smtpd_tls_wrappermode",
    "smtpd_sasl_auth_enable",
    "smtpd_tls_auth_only",
    "smtpd_use_tls",
    "smtpd_enforce_tls",
)
_REPORTED = (
    *_WORDS,
    "smtpd_tls_cert_file",
    "smtpd_tls_protocols",
    "smtpd_tls_mandatory_protocols",
)

Settings = tuple[tuple[str, "str | None"], ...]


@dataclass(frozen=True, slots=True)
class Mode:
    """The TLS of one service. `broken`: why its program stops before it greets a client."""

    tls: Tls
    required: bool | None = None
    certificates: tuple[CertificateRef, ...] = ()
    settings: Settings = ()
    proxy_protocol: bool = False
    reasons: tuple[str, ...] = ()
    broken: str = ""


def broken_mode(reason: str) -> Mode:
    """Return the mode of a socket that accepts connections and never answers."""
    settings: Settings = tuple((name, None) for name in _REPORTED)
    return Mode("none", settings=(*settings, ("broken", reason)), reasons=(reason,), broken=reason)


def smtpd(scope: Scope, tree: Tree, where: Location) -> Mode:
    """Return what smtpd(8) offers with these parameters (smtpd.c: pre_jail_init)."""
    try:
        forms.check(scope, "smtpd")
        wrapped = scope.flag("smtpd_tls_wrappermode")
        with suppress(Unknown):  # smtpd expands it whether it is of use or not
            scope.get("smtpd_tls_security_level")
        use, enforce = (True, True) if wrapped else level(scope, "smtpd_")
        auth_only = scope.flag("smtpd_tls_auth_only")
        discarded = _words(scope.get("smtpd_discard_ehlo_keywords"))
        # Sessions with TLS have options of their own (smtpd_sasl_tls_security_options).
        secret = "noplaintext" in _words(scope.get("smtpd_sasl_security_options"))
        proxied = bool(scope.get("smtpd_upstream_proxy_protocol"))
    except ConfigurationError as error:
        return broken_mode(f"smtpd stops: {error}")
    except Unknown as reason:
        return Mode("unknown", settings=_settings(scope), reasons=(str(reason),))
    announced = use and "starttls" not in discarded
    refs, reasons = _certificates(scope, tree, where, "smtpd_tls_") if use else ((), ())
    return Mode(
        tls="implicit" if wrapped else "starttls" if announced else "none",
        required=enforce or auth_only or secret,
        certificates=refs,
        settings=_settings(scope),
        proxy_protocol=proxied,
        reasons=reasons,
    )


def _words(value: str) -> list[str]:
    return re.split(r"[, \t\r\n]+", value.lower())


def postscreen(scope: Scope, tree: Tree, where: Location, behind: Mode | None) -> Mode:
    """Return what clients of postscreen(8) meet; `behind` is the smtpd it passes them on to.

    postscreen hands a client that passes its tests to smtpd on the same connection. Only with the
    tests after the greeting it speaks SMTP itself, with STARTTLS through tlsproxy(8).
    """
    try:
        forms.check(scope, "postscreen")
        own, enforce = level(scope, "postscreen_")
        deep = any(
            scope.flag(f"postscreen_{test}_enable")
            for test in ("pipelining", "non_smtp_command", "bare_newline")
        )
        proxied = bool(scope.get("postscreen_upstream_proxy_protocol"))
    except ConfigurationError as error:
        return broken_mode(f"postscreen stops: {error}")
    except Unknown as reason:
        return Mode("unknown", settings=_settings(scope), reasons=(str(reason),))
    if behind is None:
        return broken_mode("postscreen has no smtpd service of type pass to hand clients to")
    if behind.broken:
        return broken_mode(behind.broken)
    itself: Tls = "starttls" if own else "none"
    tls = behind.tls
    reasons = behind.reasons
    if itself != tls and deep:
        tls = "unknown"
        reasons = (
            *reasons,
            "new clients get the TLS level of postscreen, known clients that of smtpd",
        )
    return Mode(
        tls=tls,
        required=behind.required if not deep else behind.required and enforce,
        certificates=behind.certificates,
        settings=behind.settings,
        proxy_protocol=proxied,
        reasons=reasons,
    )


def level(scope: Scope, prefix: str) -> tuple[bool, bool]:
    """Return (STARTTLS is used, it is enforced). Raise ConfigurationError for a bad level."""
    name = prefix + "tls_security_level"
    word = scope.get(name).lower()
    if not word:
        enforce = scope.flag(prefix + "enforce_tls")
        return enforce or scope.flag(prefix + "use_tls"), enforce
    if word in _ENCRYPT:
        return True, True
    if word in ("may", "none"):
        return word == "may", False
    raise ConfigurationError(f'Invalid TLS level "{word[:40]}" in {name}')


def _certificates(
    scope: Scope, tree: Tree, where: Location, prefix: str
) -> tuple[tuple[CertificateRef, ...], tuple[str, ...]]:
    try:
        return certificates(scope, tree, where, prefix)
    except ConfigurationError as error:
        return (), (str(error),)
    except Unknown as reason:  # there may well be one
        return (CertificateRef(None, None, where, reason=str(reason)),), (str(reason),)


def _settings(scope: Scope) -> Settings:
    """Return the effective values; words that Postfix compares without case are in lower case."""
    values = [(name, scope.text(name)) for name in _REPORTED]
    if values[0][1] == "" and scope.text("smtpd_enforce_tls") == "yes":  # without a level it is one
        values[0] = (values[0][0], "encrypt")
    if scope.text("tls_server_sni_maps") != "":
        values.append(("tls_server_sni_maps", scope.text("tls_server_sni_maps")))
    return tuple(
        (name, value.lower() if value is not None and name in _WORDS else value)
        for name, value in values
    )
