"""Postfix: main.cf and master.cf into endpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sslint.network.packages import Package
from sslint.servers.interface import Context, Server

if TYPE_CHECKING:
    from sslint.servers.interface import Loose
    from sslint.servers.model import ServerReading
    from sslint.tree import Tree


def _read(tree: Tree, context: Context) -> ServerReading | None:
    from sslint.servers.postfix.reader import read

    return read(tree, version=context.version, no_ipv6=context.no_ipv6)


def _loose() -> Loose:
    from sslint.servers.postfix import loose

    return loose


SERVER = Server(
    name="postfix",
    title="Postfix",
    read=_read,
    directories=("/etc/postfix",),
    entries=("/etc/postfix/main.cf",),
    mains=("/etc/postfix/main.cf", "/etc/postfix/master.cf"),
    loose=_loose,
    marks=("postfix/main.cf", "postfix/master.cf"),
    package=Package(
        ("postfix",),
        (
            "debian/10=3.4 debian/11=3.5 debian/12=3.7 debian/13=3.10 ubuntu/18.04=3.3"
            " ubuntu/20.04=3.4 ubuntu/22.04=3.6 ubuntu/24.04=3.8 ubuntu/24.10=3.9"
            " ubuntu/25.10=3.10 rhel/7=2.10.1 rhel/8=3.5.8 rhel/9=3.5 rhel/10=3.8"
            " fedora/41=3.9 fedora/42=3.9 alpine/3.17=3.7 alpine/3.18=3.8 alpine/3.19=3.8"
            " alpine/3.20=3.9 alpine/3.21=3.9 alpine/3.22=3.10"
        ),
    ),
    debian=("ssl-cert-snakeoil", "(Debian"),
    units=("postfix",),
    profiles=("postfix", "smtp", "mail"),
    packaged=("/etc/pki/tls/certs/postfix.pem",),
    services_file="/etc/postfix/master.cf",
    control=("postfix",),
    ports=tuple(("tcp", port) for port in (25, 465, 587)),
    key="A directory with main.cf and master.cf.",
)
