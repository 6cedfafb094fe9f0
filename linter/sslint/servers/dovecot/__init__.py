"""Dovecot, 2.3 and 2.4: what it listens on, with which TLS and which certificates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sslint.network.packages import Package
from sslint.servers.interface import Context, Server, needs_each

if TYPE_CHECKING:
    from sslint.servers.interface import Including
    from sslint.servers.model import ServerReading
    from sslint.tree import Tree


def _read(tree: Tree, context: Context) -> ServerReading | None:
    from sslint.servers.dovecot.reading import read

    return read(tree, version=context.version)


def _syntax(texts: Sequence[str]) -> str:
    from sslint.servers.dovecot.loose import syntax

    return syntax(texts)


def _including() -> Including:
    from sslint.servers.dovecot import loose

    return loose


SERVER = Server(
    name="dovecot",
    title="Dovecot",
    read=_read,
    directories=("/etc/dovecot", "/usr/local/etc/dovecot"),
    entries=("/etc/dovecot/dovecot.conf", "/usr/local/etc/dovecot/dovecot.conf"),
    mains=("/etc/dovecot/dovecot.conf",),
    included=("conf.d/*.conf",),
    folders=("conf.d",),
    including=_including,
    marks=("dovecot/dovecot.conf", "dovecot/conf.d"),
    package=Package(
        ("dovecot-core", "dovecot"),
        (
            "debian/10=2.3.4 debian/11=2.3.13 debian/12=2.3.19 debian/13=2.4.1"
            " ubuntu/18.04=2.2.33 ubuntu/20.04=2.3.7 ubuntu/22.04=2.3.16 ubuntu/24.04=2.3.21"
            " ubuntu/24.10=2.3.21 ubuntu/25.10=2.4.1 rhel/7=2.2.36 rhel/8=2.3.16 rhel/9=2.3.16"
            " rhel/10=2.3.21 fedora/41=2.3.21 fedora/42=2.3.21 alpine/3.17=2.3.20"
            " alpine/3.18=2.3.20 alpine/3.19=2.3.21 alpine/3.20=2.3.21 alpine/3.21=2.3.21"
        ),
        "repo.dovecot.org",
    ),
    syntax=_syntax,
    debian=("/usr/share/dovecot/protocols.d", "ssl-cert-snakeoil"),
    units=("dovecot",),
    profiles=("dovecot", "imap", "pop3", "mail"),
    packaged=(  # mkcert.sh on Fedora, Debian, Alpine and openSUSE
        "/etc/pki/dovecot/certs/dovecot.pem",
        "/etc/dovecot/private/dovecot.pem",
        "/etc/dovecot/dovecot.pem",
        "/etc/ssl/certs/dovecot.pem",
        "/etc/ssl/private/dovecot.crt",
        "/etc/ssl/dovecot/server.pem",
    ),
    trusting=("haproxy_trusted_networks",),
    control=("dovecot", "doveadm"),
    ports=tuple(("tcp", port) for port in (110, 143, 993, 995, 4190)),
    keeps_certificate=True,
    needs_ipv6=needs_each,
    key="dovecot.conf, or the directory that holds it.",
)
