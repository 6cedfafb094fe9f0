"""Files by which something may serve TLS, and that belong to no server that was read.

A firewall in etc/ and an nginx.conf elsewhere in the repository, a site of Apache without its
apache2.conf, a submodule that is not checked out: where no TLS listener was judged, they say that
there may be one.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sslint import tree as trees
from sslint.regex import regex
from sslint.tree import Status, Tree

if TYPE_CHECKING:
    from sslint.host import Host

MAX_DEPTH = 6
MAX_DIRECTORIES = 3_000
MAX_FILES = 1_000  # that are looked into
MAX_SHOWN = 3
# What is there to be tried or read, or says nothing of listeners; and what a system ships.
_APART = regex(
    r"^(\..*|node_modules|vendor|third.?party|tests?|test.?data|fixtures|examples?|samples?|docs?"
    r"|backups?|old|archive|__pycache__|letsencrypt|ssl|pki|ca-certificates|fail2ban|logrotate\.d"
    r"|apparmor(\.d)?|alternatives|cron\..*|pam\.d|skel|init\.d|rc\d\.d|X11|apt|yum.*|dnf|k8s|helm)$",
    re.I,
)
_SYSTEM = regex(r"/(usr|proc|sys|dev|boot|run|tmp|bin|sbin|lib|lib32|lib64|var)")
_NAMES = regex(
    r"^Caddyfile$|^[^.]+$|\.(conf|cfg|cf|xml|ya?ml|toml|json|nix|caddy|site|vhost|tf)$"
    r"|\.(j2|jinja2?|erb|epp|tmpl|template|tpl|in)$",
    re.I,
)
# How the files of servers say that they serve TLS, each at the start of a line.
_SHOWS = regex(
    r"[ \t]*+(?:"
    r"listen[ \t][^;#\n]*\b(?:ssl|quic|443)\b|ssl_certificate[ \t]"  # nginx and its kin
    r"|SSLEngine[ \t]+on\b|SSLCertificateFile[ \t]|<VirtualHost[ \t][^>\n]*:443\b"  # Apache
    r"|bind[ \t][^#\n]*\bssl[ \t]+crt\b"  # HAProxy
    r"|smtpd_tls_(?:cert_file|chain_files)[ \t]*=|ssl_(?:server_)?cert(?:_file)?[ \t]*="
    r"|tls_certificate[ \t]*=|\$?ssl\.(?:engine|pemfile)[ \t]*=|\$SERVER\[\"socket\"\].*:443"
    r"|(?:enableACME|forceSSL|addSSL|onlySSL)[ \t]*=[ \t]*true"  # NixOS
    r"|.*<Connector\b[^>]*SSLEnabled=\"true\""  # Tomcat
    r"|-[ \t]*[\"']?(?:[\d.]+:)?(?:443|465|587|993|995|8443):\d+"  # a published port
    r"|.*\b(?:certResolver|certFile|websecure):"  # Traefik
    r"|.*\"(?:tls_connection_policies\":|listen\":[ \t]?\[\"[\w.]{0,60}:443\")"  # Caddy's JSON
    r")",
    re.I,
)
_SUBMODULE = regex(r"^[ \t]*path[ \t]*=[ \t]*(\S.*?)[ \t]*$", re.M)


def find(host: Host) -> list[str]:
    """Return what may serve TLS and was not read, as sentences; the first few of them."""
    top = host.target.top
    found = []
    if top is not None:
        found += list(_submodules(host, top))
        found += list(_beside(host, top))
    found += list(_of_host(host))
    return list(dict.fromkeys(found))


# -- inside ---------------------------------------------------------------------------------------


def _beside(host: Host, top: Path) -> Iterator[str]:
    """Yield the files below a directory that are outside the host's own etc/."""
    tree = Tree(top)
    tree.exclude([str(path) for path in host.tree.excluded])
    read = _read(host)
    own = _etc(host)
    for path in _files(tree, "/"):
        real = top / path[1:]
        if real not in read and (own is None or own not in real.parents) and _shows(real):
            yield f"{path[1:]} may serve TLS and belongs to no host"
    tree.close()


def _of_host(host: Host) -> Iterator[str]:
    """Yield the files below /etc, in directories of which nothing was read."""
    tree = host.tree
    known = {file.path.split("/")[2] for file in tree.files() if file.path.startswith("/etc/")}
    known |= {reading.server for reading in (*host.readings, *host.programs)}
    for name in tree.names("/etc"):
        directory = f"/etc/{name}"
        if name in known or _APART.match(name) or tree.status(directory) is not Status.DIRECTORY:
            continue
        for path in _files(tree, directory):
            where = tree.on_disk(path, tree.name(path))
            stock = posixpath.basename(path) == "default-ssl.conf"
            if where and not stock and (name == "traefik" or _shows(Path(where))):
                yield f"{tree.name(path)} may serve TLS, and no server here reads it"
                break


def _submodules(host: Host, top: Path) -> Iterator[str]:
    """Yield the submodules of a work tree that hold nothing: they are not checked out."""
    for match in _SUBMODULE.finditer(trees.head(top / ".gitmodules")):
        tree = Tree(top)
        if not tree.names(f"/{match[1]}") and not tree.is_excluded(f"/{match[1]}"):
            yield f"{match[1]} is a submodule that is not checked out"
        tree.close()


def _read(host: Host) -> set[Path]:
    places = ((file.path, file.name) for file in host.tree.files())
    found = (host.tree.on_disk(path, name) for path, name in places)
    return {Path(one) for one in found if one}


def _etc(host: Host) -> Path | None:
    if "/etc" in host.tree.mounts:
        return host.tree.mounts["/etc"]
    return None if host.tree.root is None else host.tree.root / "etc"


def _files(tree: Tree, start: str) -> Iterator[str]:
    pending, looked = [start], 0
    for visited, directory in enumerate(pending):
        if visited >= MAX_DIRECTORIES:
            return
        below = set(tree.subdirectories(directory))
        for name in tree.names(directory):
            path = posixpath.join(directory, name)
            if name in below:
                if not (_APART.match(name) or _SYSTEM.fullmatch(path) or _deep(path)):
                    pending.append(path)
            elif _NAMES.search(name) and tree.status(path) is Status.FILE:
                looked += 1
                if looked > MAX_FILES:
                    return
                yield path


def _deep(path: str) -> bool:
    return path.count("/") >= MAX_DEPTH


def _shows(path: Path) -> bool:
    if path.is_symlink():
        return False
    text = trees.head(path)
    if (path.name == "Caddyfile" or path.suffix == ".caddy") and not text.startswith("#!"):
        return True
    return any(_SHOWS.match(line) for line in _uncommented(text).split("\n"))


def _uncommented(text: str) -> str:
    """Return an XML text without its comments; another text as it is."""
    first, *rest = text.split("<!--")
    return first + "".join(part.partition("-->")[2] for part in rest)


def said(found: Sequence[str]) -> str:
    """Return the first few as one reason."""
    more = len(found) - MAX_SHOWN
    return "; ".join(found[:MAX_SHOWN]) + (f"; and {more} more" if more > 0 else "")
