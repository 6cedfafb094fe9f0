"""Rulesets that are named: put where a host keeps them, with what belongs to them beside them.

ufw and firewalld are directories of the host. One that is named is laid over the host's own place
and read there, so that a name gives the verdicts of the tree. What belongs to it and lies outside
(ufw's default policy is in ../default/ufw) is taken along if it is within what was given.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from sslint.netfilter.model import Missing
from sslint.regex import regex
from sslint.source import SourceFile
from sslint.tree import Status, Tree, TreeError, work_tree
from sslint.values import dataclass, field

BOOT = "/given/boot"
"""Where what the configuration names is mounted: a host loads it when it boots."""

PIECES = regex(r"(?:user|before|after)6?\.rules|ufw\.conf")
_OF_UFW = regex(r"^(?:-A|:)\s*ufw6?-(?:user|before|after)-(?:input|output|forward)\b", re.M)
_DIRECTORIES = {
    "zone": "zones",
    "service": "services",
    "policy": "policies",
    "ipset": "ipsets",
    "icmptype": "icmptypes",
    "helper": "helpers",
}
_ELEMENT = regex(rf"<({'|'.join((*_DIRECTORIES, 'direct'))})\b")
_INCLUDE = regex(r'^[ \t]*include[ \t]+"(/etc/[^"\n]{1,400})"', re.M)
_BOOT_FILES = regex(
    r"/etc/(?:iptables/(?:rules\.v[46]|ip6?tables\.rules|rules6?-save)|sysconfig/ip6?tables"
    r"|(?:sysconfig/)?nftables\.(?:conf|nft))$|/var/lib/(?:ip6?tables|nftables)/rules-save$"
)
MAX_INCLUDED = 1_000  # files whose include statements are looked at


@dataclass(slots=True)
class Named:
    """A ruleset that was named, and where it is read; `boot`: the real tool loads it."""

    kind: str
    path: str
    boot: bool = False
    missing: list[Missing] = field(default_factory=list)
    assumptions: list[str] = field(default_factory=list)


def settle(tree: Tree, kind: str, path: str) -> Named:
    """Put a named ruleset where the host keeps it, and return what is to be read instead."""
    boot = _loaded_at_boot(tree, path)
    around = _around(tree, path)
    if kind == "ufw":
        return _ufw(tree, around, boot)
    if kind == "firewalld":
        return _firewalld(tree, around, boot)
    if kind == "nft":
        missing = _includes(tree, around)
        return Named(kind, around, boot, missing)
    named = Named(kind, path, boot)
    if kind in ("iptables", "ip6tables"):
        file = tree.try_read(path)
        if file is not None and is_piece_of_ufw(file.text):
            reason = f"{file.name} is a part of ufw's rules: name its directory as ufw=DIRECTORY"
            named.missing.append(Missing(reason, may_open=True))
    return named


def _loaded_at_boot(tree: Tree, path: str) -> bool:
    """Tell whether a host loads a file: the configuration names it, or PATH in its own place."""
    real = tree.mounts.get(path)
    if real is None or path.startswith("/given/firewall/"):
        return False
    return path.startswith(f"{BOOT}/") or _BOOT_FILES.search(real.as_posix()) is not None


def kind_of_directory(tree: Tree, path: str) -> str | None:
    """Return whose configuration a directory is, if a manager's; an etc/ may hold several."""
    if _ufw_directory(tree, path) == path:
        return "ufw"
    zones = _holds_zones(tree, path)  # which stands for what it lies in
    return "firewalld" if zones or _firewalld_directory(tree, path) == path else None


def kind_of_file(file: SourceFile) -> str | None:
    """Return which manager a file is a part of, if one."""
    name = posixpath.basename(file.path)
    if PIECES.fullmatch(name) or is_piece_of_ufw(file.text[:200_000]):
        return "ufw"
    if name == "firewalld.conf":
        return "firewalld"
    return None


def is_piece_of_ufw(text: str) -> bool:
    """Tell whether a text fills ufw's chains and no built-in one: a dump has INPUT as well."""
    filled = "ufw" in text and _OF_UFW.search(text) is not None
    return filled and re.search(r"^:INPUT ", text, re.M) is None


# -- what lies around ------------------------------------------------------------------------------


def _around(tree: Tree, path: str) -> str:
    """Return the same file or directory with its surroundings, as far as they were given.

    They were if the tree's root, the reports' base or the work tree holds them. Nothing else of
    these is mounted, so that no link leads further.
    """
    real = tree.mounts.get(path)
    if real is None:
        return path
    own = work_tree(real if real.is_dir() else real.parent)
    within = [tree.root, tree.base, work_tree(Path.cwd()), own]
    for top in _tops(real):
        if any(bound == top or bound in top.parents for bound in within if bound is not None):
            place = posixpath.join("/given/around", top.as_posix().lstrip("/"))
            tree.mount(place, top)
            return posixpath.join(place, real.relative_to(top).as_posix())
    return path


def _tops(real: Path) -> Iterator[Path]:
    """Yield what may hold the siblings of a file or directory, the root of its etc/ first."""
    for etc in real.parents:
        if etc.name == "etc":
            yield etc.parent
            yield etc
            break
    yield real.parent.parent
    yield real.parent


def _is_given(tree: Tree, path: str) -> bool:
    """Tell whether a directory was given, and not only something in it."""
    within = (path, *(path[:end] for end, char in enumerate(path) if char == "/"))
    own = tree.root is not None and not path.startswith("/given/")
    return own or any(place in tree.mounts for place in within)


def _lay(tree: Tree, place: str, path: str) -> bool:
    """Lay a file or directory of the tree over a host path; return False if there is none."""
    if path == place:
        return True
    try:
        tree.lay(place, path)
    except TreeError:
        return False
    return True


# -- ufw ----------------------------------------------------------------------------


def _ufw_directory(tree: Tree, path: str) -> str | None:
    """Return the etc/ufw that a directory is, or holds as an etc/ or a root does."""
    for directory in (path, f"{path}/ufw", f"{path}/etc/ufw"):
        names = tree.names(directory)
        if any(PIECES.fullmatch(name) for name in names):
            return directory
    return path if posixpath.basename(path) == "ufw" and tree.names(path) else None


def _ufw(tree: Tree, path: str, boot: bool) -> Named:
    named = Named("ufw", "/etc/ufw", boot)
    if tree.status(path) is Status.DIRECTORY:
        directory = _ufw_directory(tree, path) or path
    elif PIECES.fullmatch(posixpath.basename(path)):
        directory = posixpath.dirname(path)
    else:  # a file of another name that holds the rules of ufw
        suffix = "6" if re.search(r"\bufw6-", _text(tree, path)) else ""
        _lay(tree, f"/etc/ufw/user{suffix}.rules", path)
        return named
    beside = posixpath.join(posixpath.dirname(directory), "default/ufw")
    _lay(tree, "/etc/ufw", directory)
    if tree.status(beside) is Status.FILE:
        _lay(tree, "/etc/default/ufw", beside)
    elif tree.exists("/etc/default/ufw"):
        own = tree.name("/etc/default/ufw")
        named.assumptions.append(f"ufw's default policy is this host's, from {own}")
    return named


def _text(tree: Tree, path: str) -> str:
    file = tree.try_read(path)
    return "" if file is None else file.text


# -- firewalld ----------------------------------------------------------------------------


def _firewalld_directory(tree: Tree, path: str) -> str | None:
    """Return the etc/firewalld that a directory is, or holds as an etc/ or a root does."""
    for directory in (path, f"{path}/firewalld", f"{path}/etc/firewalld"):
        names = tree.names(directory)
        if {"firewalld.conf", "direct.xml", "zones", "policies"} & set(names):
            return directory
    if _holds_zones(tree, path):
        above = posixpath.dirname(path)
        return above if _is_given(tree, above) else None
    return path if posixpath.basename(path) == "firewalld" and tree.names(path) else None


def _holds_zones(tree: Tree, path: str) -> bool:
    names = tree.names(path) if posixpath.basename(path) == "zones" else []
    return any(name.endswith(".xml") for name in names)


def _firewalld(tree: Tree, path: str, boot: bool) -> Named:
    named = Named("firewalld", "/etc/firewalld", boot)
    if tree.status(path) is not Status.DIRECTORY:
        directory = _whole(tree, path)
        files = [] if directory else [path]
    else:
        directory = _firewalld_directory(tree, path)
        files = [] if directory else [f"{path}/{name}" for name in tree.names(path)]
    if directory is None:
        if not sum(_lay_part(tree, file) for file in files):
            reason = f"{tree.name(path)} holds no configuration of firewalld"
            named.missing.append(Missing(reason, may_open=True))
        return named
    _lay(tree, "/etc/firewalld", directory)
    shipped = posixpath.normpath(posixpath.join(directory, "../../usr/lib/firewalld"))
    if tree.names(f"{shipped}/services"):
        _lay(tree, "/usr/lib/firewalld", shipped)
    return named


def _lay_part(tree: Tree, path: str) -> bool:
    """Lay a file of firewalld's where its element belongs; return False if it is none."""
    element = _ELEMENT.search(_text(tree, path)) if tree.status(path) is Status.FILE else None
    if element is None:
        return False
    if element.group(1) == "direct":
        return _lay(tree, "/etc/firewalld/direct.xml", path)
    directory = _DIRECTORIES[element.group(1)]
    return _lay(tree, f"/etc/firewalld/{directory}/{posixpath.basename(path)}", path)


def _whole(tree: Tree, path: str) -> str | None:
    """Return the etc/firewalld that a file lies in, as firewalld lays it out, if it was given."""
    directory, name = posixpath.split(path)
    if name in ("firewalld.conf", "direct.xml"):
        return directory
    above, last = posixpath.split(directory)
    if last not in _DIRECTORIES.values():
        above, last = posixpath.split(above)  # zones/NAME/part.xml
        if last != "zones":
            return None
    return above if _is_given(tree, above) else None


# -- nftables ----------------------------------------------------------------------------


def _includes(tree: Tree, path: str) -> list[Missing]:
    """Lay what a ruleset includes by absolute names over the host's /etc, from the etc it lies in.

    Return what is not known: the files of a pattern whose directory is missing.
    """
    etc = _etc(path)
    missing: list[Missing] = []
    pending, seen = [path], set[str]()
    while pending and len(seen) < MAX_INCLUDED:
        current = pending.pop()
        if current in seen or tree.status(current) is not Status.FILE:
            continue
        seen.add(current)
        file = tree.try_read(current)
        for match in _INCLUDE.finditer(file.text if file is not None else ""):
            pattern = match.group(1)
            top = "/".join(pattern.split("/")[:3])
            if etc is not None and not any(char in top for char in "*?["):
                _lay(tree, top, posixpath.join(etc, top.removeprefix("/etc/")))
            directory = posixpath.dirname(pattern)
            wildcard = any(char in pattern for char in "*?[")
            if wildcard and etc is None and not tree.exists(directory) and file is not None:
                reason = f"{pattern} is included, and {directory.lstrip('/')} is missing"
                missing.append(Missing(reason, location=file.span(match.start(1)), may_open=True))
            pending += tree.glob(pattern)
    return missing


def _etc(path: str) -> str | None:
    """Return the innermost directory called etc that a path lies in."""
    head, found, _ = path.rpartition("/etc/")
    return f"{head}/etc" if found else None
