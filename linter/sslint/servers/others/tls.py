"""Which of the programs beside nginx, Postfix and Dovecot may serve TLS to others."""

from __future__ import annotations

from sslint.servers.model import Endpoint
from sslint.servers.others.unread import PROGRAMS

# Programs whose listeners are shown, with the units that start them.
UNITS: dict[str, tuple[str, ...]] = {
    "haproxy": ("haproxy",),
    "apache": ("apache2", "httpd"),
    "caddy": ("caddy", "caddy-api"),
    "lighttpd": ("lighttpd",),
    "exim": ("exim4", "exim"),
    "cyrus": ("cyrus-imapd", "cyrus-imap"),
    "stunnel": ("stunnel4", "stunnel"),
}
for program in PROGRAMS:
    UNITS[program.name] = (*UNITS.get(program.name, ()), *program.units)
# What a container or a socket unit behind one of these ports speaks is TLS, or can become it.
MAIL = (25, 110, 143, 465, 587, 993, 995, 4190)
WEB = (443, 6443, 8443, 8448, 9090, 9443, 10443)
OTHERS = (563, 636, 853, 989, 990, 992, 994, 3269, 5061, 5222, 5223, 5269, 5349, 5671, 6697, 8883)
TLS_PORTS = frozenset((*MAIL, *WEB, *OTHERS))
_BY_PORT = ("docker", "systemd")


def may_serve_tls(endpoint: Endpoint) -> bool:
    """Tell whether a listener of another program may speak TLS, or pass it on."""
    if endpoint.server in UNITS or endpoint.server in ("named", "unbound"):
        return endpoint.tls != "none"
    if endpoint.server in _BY_PORT:
        return endpoint.tls == "implicit" or (
            endpoint.tls == "unknown" and endpoint.port in TLS_PORTS
        )
    return False
