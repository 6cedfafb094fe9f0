"""nginx: configuration text to sockets, TLS, certificates, redirects and upstreams."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from sslint.network.packages import Package
from sslint.servers.interface import Context, Server, needs_each

if TYPE_CHECKING:
    from sslint.servers.interface import Including
    from sslint.servers.model import ServerReading
    from sslint.tree import Tree

ENTRIES = (
    "/etc/nginx/nginx.conf",
    "/usr/local/nginx/conf/nginx.conf",
    "/usr/local/etc/nginx/nginx.conf",
    "/usr/local/openresty/nginx/conf/nginx.conf",
    "/opt/nginx/conf/nginx.conf",
)


def _read(tree: Tree, context: Context) -> ServerReading | None:
    from sslint.servers.nginx.reader import read

    debian = context.network is not None and context.network.package_version(_COMMON) is not None
    version, installed = context.version, context.installed
    return read(tree, _entry(context), version=version, installed=installed, debian=debian)


def _entry(context: Context) -> str | None:
    """Return the configuration that nginx's unit names with -c, if it does."""
    for words in context.commands("nginx"):
        for word, following in pairwise(words):
            if word == "-c" and following.startswith("/"):
                return following
    return None


def _including() -> Including:
    from sslint.servers.nginx import loose

    return loose


_DEBIAN = (
    "debian/10=1.14.2 debian/11=1.18.0 debian/12=1.22.1 debian/13=1.26.3"
    " ubuntu/18.04=1.14.0 ubuntu/20.04=1.18.0 ubuntu/22.04=1.18.0 ubuntu/24.04=1.24.0"
    " ubuntu/24.10=1.26.0 ubuntu/25.04=1.26.3 ubuntu/25.10=1.28.0"
)
_COMMON = Package(("nginx-common",), _DEBIAN, "nginx.org")  # of Debian's own build

SERVER = Server(
    name="nginx",
    title="nginx",
    read=_read,
    directories=("/etc/nginx", "/usr/local", "/opt", "/etc/openresty"),
    entries=ENTRIES,
    mains=ENTRIES[:1],
    included=("conf.d/*.conf", "http.d/*.conf", "vhosts.d/*.conf", "sites-enabled/*"),
    folders=("conf.d", "http.d", "vhosts.d", "sites-enabled", "sites-available", "snippets"),
    including=_including,
    marks=("nginx/nginx.conf", "nginx/sites-enabled", "nginx/sites-available", "nginx/conf.d"),
    package=Package(
        ("nginx",),
        (
            f"{_DEBIAN} rhel/10=1.26.3"
            " alpine/3.17=1.22.1 alpine/3.18=1.24.0 alpine/3.19=1.24.0 alpine/3.20=1.26"
            " alpine/3.21=1.26 alpine/3.22=1.28.0"
        ),
        "nginx.org",
    ),
    units=("nginx",),
    profiles=("nginx", "www", "apache"),
    trusting=("set_real_ip_from",),
    control=("nginx -s",),
    ports=(
        *(("tcp", port) for port in (80, 443, 8443, 9443)),
        ("udp", 443),
    ),
    keeps_certificate=True,
    counts_sockets=True,
    needs_ipv6=needs_each,
    key="nginx.conf, or the directory that holds it.",
)
