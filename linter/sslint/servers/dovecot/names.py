"""The names of Dovecot's settings, services and listeners that decide sockets and TLS."""

from __future__ import annotations

from sslint.regex import regex
from sslint.values import dataclass

# From the outermost to the innermost that Dovecot allows (config_filter_parse).
EVENT_FILTERS = ("local", "local_name", "remote", "protocol")
LIST_FILTERS = frozenset(
    {
        "service",
        "inet_listener",
        "unix_listener",
        "fifo_listener",
    }
)
# Sections that have to have a name in 2.4, and the ones that are gone.
NAMED_SECTIONS = LIST_FILTERS | {"passdb", "userdb", "namespace", "mailbox"}
GONE_SECTIONS = frozenset({"plugin"})
CHOICES = frozenset({"protocols", "listen"})
FILES = frozenset(
    """
    ssl_server_cert_file ssl_server_key_file ssl_server_alt_cert_file ssl_server_alt_key_file
    ssl_server_ca_file ssl_server_dh_file cert_file key_file alt_cert_file alt_key_file ca_file
    dh_file
    """.split()
)
INLINE = "inline:"
TEMPLATE = regex(
    r"\{\{|\{%|<%|@[A-Z][A-Z0-9_]*@|__[A-Z][A-Z0-9_]+__|\bPH_[A-Z0-9_]+\b|\$\{[A-Za-z_]"
    r"|%%?[A-Z][A-Z0-9_]{2,60}%"
)
UNKNOWN_VERSION = "unknown"
VERSION = "dovecot_config_version"
# Full names that a shorter one stands for inside the filter of that name.
PREFIXED = frozenset(
    {
        *(f"inet_listener_{k}" for k in ("port", "ssl", "haproxy", "reuse_port", "type", "name")),
        "inet_listener_address",  # 2.3
        *(f"service_{k}" for k in ("protocol", "type", "executable", "name")),
        *(f"ssl_server_{k}" for k in ("cert_file", "key_file", "alt_cert_file", "alt_key_file")),
        *(f"ssl_server_{k}" for k in ("ca_file", "dh_file", "key_password", "prefer_ciphers")),
        *(f"ssl_server_{k}" for k in ("request_client_cert", "require_crl", "cert_username_field")),
    }
)
DEFAULTS = {
    "ssl": "yes",
    "ssl_min_protocol": "TLSv1.2",
    "ssl_server_cert_file": "",
    "ssl_server_key_file": "",
    "ssl_server_alt_cert_file": "",
    "ssl_server_alt_key_file": "",
    "ssl_server_ca_file": "",
    "listen": "*, ::",  # 2.3; in 2.4 a list, which no variable may stand for
    "base_dir": "/var/run/dovecot",
    "auth_allow_cleartext": "no",
    "disable_plaintext_auth": "yes",
}


@dataclass(frozen=True, slots=True)
class Listener:
    """A listener that Dovecot has without being told."""

    name: str
    port: int
    ssl: bool = False


@dataclass(frozen=True, slots=True)
class Service:
    """A service that Dovecot has without being told; `protocol` must be enabled for it to run.

    `login`: clients log in here, so TLS before the login matters.
    """

    protocol: str = ""
    listeners: tuple[Listener, ...] = ()
    login: bool = False


_SUBMISSION = Listener("submission", 587)
_PLAIN = (
    "aggregator anvil auth auth-worker config dict dict-async dict-expire director dns-client "
    "dns_client doveadm health-check indexer indexer-worker ipc log old-stats replicator stats "
    "tcpwrap"
)
SERVICES = {
    "imap-login": Service("imap", (Listener("imap", 143), Listener("imaps", 993, True)), True),
    "pop3-login": Service("pop3", (Listener("pop3", 110), Listener("pop3s", 995, True)), True),
    "submission-login": Service(
        "submission", (_SUBMISSION, Listener("submissions", 465, True)), True
    ),
    "managesieve-login": Service("sieve", (Listener("sieve", 4190),), True),
    "lmtp": Service("lmtp"),
    "imap": Service("imap"),
    "pop3": Service("pop3"),
    "submission": Service("submission"),
    "managesieve": Service("sieve"),
    "imap-hibernate": Service("imap"),
    "imap-urlauth": Service("imap"),
    "imap-urlauth-login": Service("imap"),
    "imap-urlauth-worker": Service("imap"),
    **{name: Service() for name in _PLAIN.split()},
}
# submission-login of 2.3 knows 465 and does not open it (submission-login-settings.c).
SUBMISSION_23 = Service("submission", (_SUBMISSION,), True)
# Services besides the logins that speak TLS on a listener with `ssl = yes`; so does any HTTP one.
TLS_SERVICES = frozenset({"lmtp", "doveadm"})
WELL_KNOWN = ("imap", "pop3", "submission", "sieve")


def old_section(kind: str, name: str) -> tuple[str, str]:
    """Return what 2.3 takes a section of an older name for."""
    renamed = {
        ("protocol", "managesieve"): ("protocol", "sieve"),
        ("service", "dns_client"): ("service", "dns-client"),
    }
    return renamed.get((kind, name), (kind, name))
