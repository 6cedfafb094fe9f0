"""Apache httpd: sockets, TLS by local address, certificates, sites and refusals."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from sslint.network.packages import Package
from sslint.regex import regex
from sslint.servers.interface import Context, Server

if TYPE_CHECKING:
    from sslint.servers.model import ServerReading
    from sslint.tree import Tree

ENTRIES = (
    "/etc/apache2/apache2.conf",
    "/etc/apache2/httpd.conf",
    "/etc/httpd/conf/httpd.conf",
    "/usr/local/apache2/conf/httpd.conf",
    "/usr/local/etc/apache24/httpd.conf",
)


def _read(tree: Tree, context: Context) -> ServerReading | None:
    from sslint.servers.apache.reader import read

    return read(tree, _entry(context), version=context.version, no_ipv6=context.no_ipv6)


def _entry(context: Context) -> str | None:
    """Return the configuration that a unit names with -f, if it does."""
    for unit in ("apache2", "httpd"):
        for words in context.commands(unit):
            for word, following in pairwise(words):
                if word == "-f" and following.startswith("/"):
                    return following
    return None


SERVER = Server(
    name="apache",
    title="Apache",
    read=_read,
    directories=("/etc/apache2", "/etc/httpd", "/usr/local/apache2", "/usr/local/etc/apache24"),
    entries=ENTRIES,
    mains=ENTRIES[:1],
    shows=regex(r"^[ \t]*(ServerRoot|Listen|LoadModule|Include|IncludeOptional)[ \t]", re.M | re.I),
    marks=(
        "apache2/apache2.conf",
        "apache2/ports.conf",
        "apache2/sites-enabled",
        "apache2/sites-available",
        "httpd/conf/httpd.conf",
    ),
    package=Package(("apache2", "httpd")),
    units=("apache2", "httpd"),
    control=("apachectl", "apache2ctl"),
    reloads=("graceful",),
    ports=(("tcp", 80), ("tcp", 443), ("tcp", 8443)),
    profiles=("apache", "www"),
    packaged=("/etc/pki/tls/certs/localhost.crt",),
    keeps_certificate=True,
    counts_sockets=True,
    key="apache2.conf, or the directory that holds it.",
)
