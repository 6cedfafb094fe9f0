"""Parts of one host that were given by path: each is laid where the host keeps it.

A file or directory has the place that its own path says (`.../etc/ufw/user.rules`), else
the one that its name and content say. What no file that is given includes is included by a main
file that sslint makes, and says so.
"""

from __future__ import annotations

import fnmatch
import os
import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sslint import servers
from sslint import tree as trees
from sslint.errors import UsageError
from sslint.firewalls.marks import NFT
from sslint.reasons import Code, Problem
from sslint.regex import regex
from sslint.tree import Tree
from sslint.values import dataclass, field
from sslint.yamlfile import display

if TYPE_CHECKING:
    from sslint.servers.interface import Server

MAX_FILES = 2_000  # of one directory that was given
_READ = (
    "letsencrypt ssl pki nftables nftables.d nftables.conf nftables.nft iptables sysconfig ufw"
    " firewalld default csf shorewall ferm firehol docker systemd network netplan sysctl.d"
    " sysctl.conf hosts hostname"
)
TOPS = servers.tops().union(_READ.split())  # of an etc/, what readers look for
RULESETS = regex(
    r"/etc/(nftables(\.d/.*|/.*|\.conf|\.nft)|iptables/.*|sysconfig/(ip6?tables|nftables).*"
    r"|ufw/(ufw\.conf|(user|before|after)6?\.rules)|firewalld/.*)"
)
MANAGERS = ("/etc/ufw/", "/etc/firewalld/")
OF_RULESETS = ("iptables", "nftables", "nftables.d", "firewall")
# What may be configuration in a directory; a README may quote some.
SUFFIXES = frozenset(
    ("", ".conf", ".cf", ".nft", ".rules", ".v4", ".v6", ".json", ".ipset", ".vhost", ".site")
)
# What describes configuration: papers by their names, notes by the shell's prompt before a command.
_PAPER = regex(r"(README|INSTALL|CHANGELOG|NEWS|COPYING|LICENSE|AUTHORS|TODO|NOTES)(\.|$)")
_NOTES = regex(r"^[$] (sudo )?[a-z]", re.M)
_RULESET = regex(
    r"^[ \t]*(\*(filter|nat|mangle|raw|security)[ \t]*$|-[APN][ \t]"
    r"|:[A-Za-z0-9_.-]+[ \t]+(ACCEPT|DROP|-)"
    r"|(-exist[ \t]+)?add[ \t]+(table|rule|chain|element)[ \t]"
    r"|(-exist[ \t]+)?(create|add)[ \t]+\S+[ \t]+(hash|bitmap|list):"
    r"|\{[ \t]*\"nftables\"|Name:[ \t]|<(zone|policy|service|ipset|direct)[\s>])",
    re.M,
)


@dataclass(slots=True)
class Parts:
    """What was given of one host, as far as it has a place."""

    mounts: dict[str, Path] = field(default_factory=dict)
    beside: dict[str, Path] = field(default_factory=dict)  # where a main file's includes may lie
    rulesets: list[Path] = field(default_factory=list)
    documents: list[Path] = field(default_factory=list)
    fragments: dict[str, list[tuple[str, Path]]] = field(default_factory=dict)  # by server
    asked: dict[str, Path] = field(default_factory=dict)  # place of what must be read
    whole: set[str] = field(default_factory=set)  # included directories: what is given is all
    problems: list[Problem] = field(default_factory=list)
    assumed: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        """Return how many parts were found."""
        fragments = sum(map(len, self.fragments.values()))
        return len(self.mounts) + len(self.rulesets) + len(self.documents) + fragments

    def mount(self, place: str, real: Path) -> None:
        """Give a file or directory its place. Raise UsageError if another one has it."""
        if self.mounts.setdefault(place, real) != real:
            raise UsageError(
                f"{real}: {self.mounts[place]} is already this host's {place}",
                tip="only one file can be at that path; check them separately",
            )

    def refuse(self, path: Path | str, reason: str) -> None:
        """Record what was given and is not judged."""
        self.problems.append(Problem(display(Path(path)), reason, code=Code.UNUSABLE))


def place_of(path: Path) -> str | None:
    """Return the place on the host that a path's own `etc/...` says, None if it says none."""
    parts = path.parts
    for index in range(len(parts) - 1, 0, -1):
        if parts[index] == "etc" and parts[index + 1 : index + 2] and parts[index + 1] in TOPS:
            local = parts[index - 2 : index] == ("usr", "local")
            return posixpath.join("/usr/local/etc" if local else "/etc", *parts[index + 1 :])
    return None


def root_of(path: Path) -> Path | None:
    """Return the directory that stands for / by a path's own `etc/...`."""
    place = place_of(path)
    return None if place is None else Path(str(path)[: -len(place)] or "/")


# -- collecting -----------------------------------------------------------------------------------


def collect(paths: Sequence[Path], confine: Callable[[str], Path]) -> Parts:
    """Return the parts that paths name (absolute, as given). Raise UsageError.

    `confine` returns where a path leads, or raises UsageError if a link leaves what holds it.
    """
    parts = Parts()
    for path in paths:
        if os.path.isdir(path):
            _add_directory(parts, path, confine)
        elif not _add_file(parts, path, confine(str(path))):
            parts.documents.append(confine(str(path)))
    return parts


def _add_directory(parts: Parts, path: Path, confine: Callable[[str], Path]) -> None:
    real = confine(str(path))
    place = place_of(path)
    server = server_of(place)
    mains = [
        to
        for name, to in servers.mains().items()
        if os.path.isfile(real / name) and is_main(to, trees.head(real / name))
    ]
    before = len(parts)
    of_manager = place is not None and f"{place}/".startswith(MANAGERS)
    if of_manager or (place is None and _is_manager(real)):
        parts.rulesets.append(real)
    elif place is None and mains:
        for main in mains:
            parts.mount(posixpath.dirname(main), real)
        add_files(parts, path, confine, beside_main=True)
    elif place is None or RULESETS.fullmatch(f"{place}/") or server is not None:
        if place is not None and server is not None and place == server.directory:
            parts.mount(place, real)
        else:
            add_files(parts, path, confine)
    else:
        parts.mount(place, real)
    if len(parts) == before:
        parts.refuse(path, "holds no configuration that sslint reads")


def add_files(
    parts: Parts,
    directory: Path,
    confine: Callable[[str], Path],
    *,
    beside_main: bool = False,
) -> None:
    """Read a lone directory as its files are one by one, and its known subdirectories.

    `beside_main`: only rulesets, and sites that lie beside a main file, which must include them.
    """
    for path in _files(parts, directory, confine(str(directory))):
        try:
            real = trees.confined(str(path))
        except trees.TreeError as error:
            parts.refuse(path, error.reason)
            continue
        if not os.access(real, os.R_OK):
            parts.refuse(path, "cannot be read")
        elif beside_main:
            text = trees.head(real)
            if is_ruleset(text):
                parts.rulesets.append(real)
            elif path.parent == directory and (server := _site_of(text)) is not None:
                add_fragment(parts, server, path, real, named=True)
        else:
            _add_file(parts, path, real, named=False)


def _files(parts: Parts, directory: Path, real: Path) -> Iterator[Path]:
    tree = Tree(real)
    folders = [folder for server in servers.servers() for folder in server.folders]
    known = dict.fromkeys((*folders, *OF_RULESETS))
    below_it = [name for name in known if name in tree.subdirectories("/")]
    for top in ("/", *(f"/{name}" for name in below_it)):
        if not tree.listable(top):
            parts.refuse(directory / top[1:], "cannot be read")
        names = [name for name in tree.names(top) if not name.startswith(".")]
        below = set(tree.subdirectories(top))
        for name in names[:MAX_FILES]:
            path = directory / top[1:] / name
            told = path.suffix in SUFFIXES and not _PAPER.match(name)
            if name not in below and told and os.path.isfile(path):
                yield path
    tree.close()


def _is_manager(directory: Path) -> bool:
    """Tell whether a directory is ufw's or firewalld's."""
    from sslint.firewalls.naming import kind_of_directory

    tree = Tree(None, mounts={f"/{directory.name}": directory})
    return kind_of_directory(tree, f"/{directory.name}") is not None


def _add_file(parts: Parts, path: Path, real: Path, *, named: bool = True) -> bool:
    """Give a file its place; return False if nothing tells that it has one.

    `named`: it was given itself, and not found in a directory.
    """
    from sslint.firewalls.scripts.possible import is_script

    text = trees.head(real)
    if not named and _NOTES.search(text):
        return False
    named_so = servers.mains().get(path.name)
    if named_so is not None and not is_main(named_so, text):
        named_so = None  # a site, for a container's conf.d
    place = place_of(path) or named_so
    server = server_of(place)
    if place is None:
        place = _main_by_content(text)
        server = server_of(place) or part_of(text)
    if place is None and named and is_script(path.name, text):
        parts.rulesets.append(real)
    elif (place is None and is_ruleset(text)) or (place and RULESETS.fullmatch(place)):
        if named or is_ruleset(text):
            parts.rulesets.append(real)
    elif server is None or place == server.entries[0]:
        if place is None:
            return False
        parts.mount(place, real)
        if server is not None:
            parts.beside.setdefault(server.directory, real.parent)
    elif named or _is_included(server, path, text):
        add_fragment(parts, server, path, real, named=named)
    return True


# -- by name and content --------------------------------------------------------------------------


def server_of(place: str | None) -> Server | None:
    """Return the server of whose files a place is one, if they may be fragments."""
    if place is None:
        return None
    found = (s for s in servers.servers() if f"{place}/".startswith(f"{s.directory}/"))
    return next((server for server in found if server.including is not None), None)


def is_main(place: str, text: str) -> bool:
    """Tell whether a file that is called like the main file at a place is one by its text."""
    server = server_of(place)
    if server is None or server.including is None or _main_by_content(text) is not None:
        return True
    return server.including().is_main(text)


def is_whole(name: str, text: str) -> bool:
    """Tell whether a main file of a server, by its name, is no part by its text, nor a snippet."""
    server = servers.server(name)
    if server is None or (server.shows is not None and not server.shows.search(text)):
        return False
    sites = server.including is not None and server.including().SITES
    return not sites or server.recognise(text) == server.entries[0]


def _main_by_content(text: str) -> str | None:
    for server in servers.servers():
        place = server.recognise(text)
        if place is not None and place != server.directory:
            return place
    return None


def part_of(text: str) -> Server | None:
    """Return the server that includes a text, if the text shows it."""
    if _main_by_content(text) is not None:
        return None
    found = (s for s in servers.servers() if s.including and s.recognise(text) == s.directory)
    return next(found, None)


def _site_of(text: str) -> Server | None:
    """Return the server of a part that its main file, where there is one, must include."""
    server = part_of(text)
    return server if server and server.including and server.including().SITES else None


def is_ruleset(text: str) -> bool:
    """Tell whether a text looks like a ruleset of iptables, nftables or ipset."""
    return bool(NFT.search(text) or _RULESET.search(text))


def _is_included(server: Server, path: Path, text: str) -> bool:
    """Tell whether a file of a directory is one that its server's stock main file includes."""
    known = {posixpath.dirname(p): posixpath.basename(p) for p in server.included}
    pattern = known.get(path.parent.name)
    if pattern is not None:
        return fnmatch.fnmatchcase(path.name, pattern)
    return server.including is None or server.including().belongs(text)


def add_fragment(
    parts: Parts, server: Server, path: Path, real: Path, *, named: bool = False
) -> None:
    """Give a part of a configuration its place; `named`: it must be read."""
    place = place_of(path)
    if place is None:
        folders = {folder for one in servers.servers() for folder in one.folders}
        above = path.parent.name if path.parent.name in folders else "given"
        place = f"{server.directory}/{above}/{path.name}"
        if parts.mounts.get(place, real) != real:
            place = f"{server.directory}/{above}/{slug(path)}"
    parts.fragments.setdefault(server.name, []).append((place, real))
    if named:
        parts.asked[place] = real


def slug(path: Path) -> str:
    """Return a name for a file that no other has, and that every server takes in an include."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", str(path).strip("/"))
