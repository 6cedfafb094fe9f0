"""The files of /etc that a distribution ships, for trees that hold only what was edited.

files.json has their settings, line by line where the package has them and without its comments:
release -> package -> host path -> text. tests/live/shipped.py writes it from the packages.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path

from sslint.network import HostFacts
from sslint.network.packages import FIREWALLS
from sslint.network.whole import is_whole_etc
from sslint.regex import regex
from sslint.servers import servers
from sslint.shipped.compared import compare, forget_dormant, title
from sslint.tree import Status, Tree, read_bundled
from sslint.values import dataclass

__all__ = ["Shipped", "compare", "complete", "differ", "fitting", "forget_dormant", "title"]

# A package's files count only where the tree has something of the program.
_PROGRAMS = {
    "nginx-common": "/etc/nginx",
    "python3-certbot-nginx": "/etc/nginx",
    "apache2": "/etc/apache2",
    "dovecot-core": "/etc/dovecot",
    "postfix": "/etc/postfix",
    "ufw": "/etc/ufw",
}
# What Debian's packages alone have, and what only other distributions have.
_DEBIAN = (
    "/etc/apt",
    "/etc/dpkg",
    "/etc/network/interfaces",
    "/etc/nginx/sites-available",
    "/etc/nginx/sites-enabled",
    "/etc/nginx/modules-enabled",
    "/etc/nginx/snippets",
    "/etc/apache2/ports.conf",
    "/etc/apache2/sites-available",
    "/etc/apache2/sites-enabled",
    "/etc/iptables/rules.v4",
    "/etc/iptables/rules.v6",
    "/etc/default/ufw",
    "/etc/ufw",
    "/etc/exim4",
)
_OTHERS = (
    "/etc/sysconfig",
    "/etc/httpd",
    "/etc/apache2/httpd.conf",
    "/etc/apache2/vhosts.d",
    "/etc/yum.repos.d",
    "/etc/dnf",
    "/etc/pki/tls",
    "/etc/pacman.conf",
    "/etc/pacman.d",
    "/etc/apk",
    "/etc/portage",
    "/etc/runlevels",
    "/etc/nixos",
    "/usr/local/etc",
)
_DERIVED = regex(r"ubuntu|raspbian|linuxmint|devuan|kali|armbian", re.I)


@dataclass(frozen=True, slots=True)
class Shipped:
    """The files that were laid into a tree, by host path, and the release that ships them."""

    release: str
    files: Mapping[str, str]

    def used(self, tree: Tree) -> list[str]:
        """Return those of the files that were read."""
        return sorted(file.path for file in tree.files() if file.path in self.files)


def fitting(tree: Tree, network: HostFacts, versions: Mapping[str, str]) -> list[str]:
    """Return the releases of the table that a tree may be of, the newest first.

    None for the machine itself and for a whole /etc: what is not there does not exist.
    """
    programs = dict.fromkeys(_PROGRAMS.values())
    if tree.live or not any(tree.exists(path) for path in programs) or is_whole_etc(tree):
        return []
    name, release = network.distribution
    if name not in ("debian", ""):
        return []
    if not name and not _looks_like_debian(tree):
        return []
    syntaxes = _syntaxes(tree)
    found = [
        each
        for each in _table()
        if (not release or each.partition("/")[2] == release)
        and _has_versions(shipped := _versions(each), versions)
        and all(shipped[server].startswith(syntax) for server, syntax in syntaxes.items())
    ]
    return sorted(found, reverse=True)


def complete(tree: Tree, release: str) -> Shipped:
    """Lay what a release ships into a tree wherever the tree has nothing."""
    laid = {}
    for path, text in _files(tree, release).items():
        if tree.status(path) is Status.ABSENT and tree.link_target(path) is None:
            tree.give(path, f"{path.lstrip('/')}[{release.replace('/', '-')}]", text.encode())
            tree.supposed.add(path)
            laid[path] = text
    return Shipped(release, laid)


def differ(tree: Tree, used: Sequence[str], first: str, second: str) -> bool:
    """Tell whether two releases ship different files where one of them was read."""
    one, other = _files(tree, first), _files(tree, second)
    directories = {posixpath.dirname(path) for path in used}
    return any(
        one.get(path) != other.get(path)
        for path in one.keys() | other.keys()
        if path in used or (posixpath.dirname(path) in directories and path not in one)
    )


def assumptions(tree: Tree, shipped: Shipped, releases: Sequence[str]) -> list[str]:
    """Return what is taken for granted by reading the files of a release, a line a directory."""
    by_directory: dict[str, list[str]] = {}
    for path in shipped.used(tree):
        directory, name = posixpath.split(path.lstrip("/"))
        by_directory.setdefault(directory, []).append(name)
    ship = f"as {title(releases)} {'ships' if len(releases) == 1 else 'ship'}"
    return [
        f"{directory}/{names[0]}: {ship} it"
        if len(names) == 1
        else f"{directory}: {', '.join(names)} {ship} them"
        for directory, names in by_directory.items()
    ]


# -- inside ---------------------------------------------------------------------------------------


@cache
def _table() -> dict[str, dict[str, dict[str, str]]]:
    text = read_bundled(Path(__file__).with_name("files.json"))
    loaded: dict[str, dict[str, dict[str, str]]] = json.loads(text)
    return loaded


def _files(tree: Tree, release: str) -> dict[str, str]:
    """Return the files of the packages whose program the tree has something of."""
    return {
        path: text
        for package, files in _table()[release].items()
        if tree.exists(_PROGRAMS[package])
        for path, text in files.items()
    }


def _looks_like_debian(tree: Tree) -> bool:
    if any(tree.exists(path) for path in _OTHERS) or _names_another(tree):
        return False
    if any(tree.exists(path) for path in _DEBIAN):
        return True
    return any(
        sign in text
        for server in servers()
        if server.debian
        for text in _texts(tree, server.directory)
        for sign in server.debian
    )


@lru_cache(maxsize=64)
def _versions(release: str) -> dict[str, str]:
    """Return the versions that a release ships, by server and firewall."""
    key = (release.partition("/")[0], release.partition("/")[2])
    packages = {**FIREWALLS, **{server.name: server.package for server in servers()}}
    known = {name: package.of_release(key) for name, package in packages.items()}
    return {name: version for name, version in known.items() if version is not None}


def _syntaxes(tree: Tree) -> dict[str, str]:
    """Return the versions whose syntax the files of servers have, where they tell."""
    found = {
        server.name: server.syntax(list(_texts(tree, server.directory)))
        for server in servers()
        if server.syntax is not None
    }
    return {server: version for server, version in found.items() if version}


def _names_another(tree: Tree) -> bool:
    """Tell whether a file names a distribution that is made of Debian and ships other files."""
    sources = tree.glob("/etc/apt/sources.list.d/*")
    for path in ("/etc/lsb-release", "/etc/issue", "/etc/apt/sources.list", *sources):
        file = tree.try_read(path, decisive=False) if tree.status(path) is Status.FILE else None
        if file is not None and _DERIVED.search(file.text):
            return True
    return False


def _has_versions(shipped: Mapping[str, str], versions: Mapping[str, str]) -> bool:
    """Tell whether a release ships the versions that the configuration names."""
    return all(
        _agree(shipped[name], str(version)) for name, version in versions.items() if name in shipped
    )


def _agree(one: str, other: str) -> bool:
    """Tell whether two versions are the same as far as both are written."""
    return all(a == b for a, b in zip(one.split("."), other.split("."), strict=False))


def _texts(tree: Tree, directory: str) -> Iterable[str]:
    for pattern in ("*.conf", "*.cf", "conf.d/*.conf"):
        for path in tree.glob(f"{directory}/{pattern}"):
            file = tree.try_read(path, decisive=False)
            if file is not None:
                yield file.text
