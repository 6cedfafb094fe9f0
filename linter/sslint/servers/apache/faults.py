"""What Apache alone gets wrong: statements that configtest passes and that do not do what they say.

Each is a setting with a name of its own, which a rule asks for.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from sslint.regex import is_number, regex
from sslint.servers.apache.addresses import ANY_IPV6
from sslint.servers.apache.syntax import Directive
from sslint.servers.model import Setting
from sslint.tree import Status, Tree

if TYPE_CHECKING:
    from sslint.servers.apache.hosts import Host
    from sslint.servers.apache.reader import Apache

PLAIN_FIRST = "virtualhost.plain-first"
IPV6_LOST = "listen.ipv6-lost"
NOT_INCLUDED = "site.not-included"
DANGLING = "site.dangling"
_SITE = regex(r"^[ \t]*<VirtualHost\b", re.M | re.I)
_BACKUP = regex(
    r"(?:~|\.(?:bak|old|orig|save|disabled|off|dpkg-\w+|rpm\w+|swp|txt|md|template))$|^\."
)


def faults(apache: Apache, tree: Tree) -> Iterator[Setting]:
    """Yield what is certainly wrong with a configuration that starts."""
    yield from _lost_ipv6(apache)
    yield from _plain_first(apache)
    yield from _dangling(apache, tree)
    yield from _not_included(apache, tree)


def _plain_first(apache: Apache) -> Iterator[Setting]:
    """Yield the first virtual hosts without TLS of ports on which a later one has it."""
    told = set()
    for record in apache.listeners.records:
        chain = apache.chain(record.address, record.port)
        if chain is None or chain in told or any(host.doubt for host in chain.hosts):
            continue
        told.add(chain)
        first = chain.hosts[0]
        secure = next((h for h in chain.hosts if apache.servers.engine(h).state == "on"), None)
        if secure is not None and apache.servers.engine(first).state == "off":
            yield _about(PLAIN_FIRST, str(record.port), first, secure)


def _about(name: str, value: str, host: Host, other: Host) -> Setting:
    return Setting(
        "apache", name, value, host.where, "server", site=host.number, related=other.where
    )


def _lost_ipv6(apache: Apache) -> Iterator[Setting]:
    """Yield Listen statements for all addresses whose port is open over IPv4 alone."""
    records = apache.listeners.records
    open_to = {(record.address, record.port) for record in records}
    asked: dict[tuple[str, str], Directive] = {}
    for directive in apache.statements:
        if directive.name == "listen" and not directive.doubt:
            host, _, port = directive.value.rpartition(":")
            asked.setdefault((host, port), directive)
    for (host, port), directive in asked.items():
        number = int(port) if is_number(port) and len(port) < 6 else 0
        other = asked.get(("", port)) or asked.get(("*", port))
        if host.strip("[]") == ANY_IPV6 and other is not None and (ANY_IPV6, number) not in open_to:
            place = directive.location
            yield Setting("apache", IPV6_LOST, port, place, related=other.location)


def _dangling(apache: Apache, tree: Tree) -> Iterator[Setting]:
    """Yield links among the sites that lead to nothing; Apache passes over them."""
    for directive, path in apache.loader.dangling:
        target = tree.link_target(path)
        if target is not None and not directive.doubt and tree.absent(target):
            shown = f"{tree.name(path)} -> {target}"
            yield Setting("apache", DANGLING, shown, directive.location)


def _not_included(apache: Apache, tree: Tree) -> Iterator[Setting]:
    """Yield files with virtual hosts beside the sites that no Include takes."""
    if apache.loader.is_piece():
        return
    read = set(apache.loader.files)
    folders = {posixpath.dirname(path) for path in read}
    folders |= {f"{apache.loader.root}/sites-enabled"}
    for folder in sorted(folders):
        if posixpath.basename(folder) not in ("sites-enabled", "conf.d", "vhosts.d"):
            continue
        for name in tree.names(folder):
            path = posixpath.join(folder, name)
            if path in read or _BACKUP.search(name) or tree.status(path) is not Status.FILE:
                continue
            file = tree.try_read(path, decisive=False)
            match = _SITE.search(file.text) if file is not None else None
            if file is not None and match is not None:
                yield Setting("apache", NOT_INCLUDED, name, file.span(match.start(), match.end()))
