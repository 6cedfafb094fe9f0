"""Find the hosts that a PATH holds, and the parts of one that it names."""

from __future__ import annotations

import os
import posixpath
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from sslint import servers
from sslint import tree as trees
from sslint.errors import NothingToCheckError, UsageError
from sslint.reasons import Code, Problem
from sslint.targets.given import announce
from sslint.targets.target import Target
from sslint.tree import Status, Tree, TreeError, real_path
from sslint.values import dataclass, field
from sslint.yamlfile import display

if TYPE_CHECKING:
    from sslint.servers.interface import Server
    from sslint.targets.parts import Parts

_UNCLAIMED = "belongs to no host; name its directory, or describe hosts in .sslint.yaml"
_LEAVES = "is a symbolic link that leaves {} and is not followed; name its target"
MAX_LINKS_SHOWN = 10
SKIPPED = frozenset({".git", ".hg", ".svn", "node_modules", ".venv", "__pycache__", ".tox"})
# Directories of other programs, which name a file after the server that it is about.
_OTHERS = frozenset(
    {
        *("fail2ban", "filter.d", "action.d", "jail.d", "logrotate.d", "logcheck", "rsyslog.d"),
        *("sysctl.d", "pam.d", "apparmor.d", "tmpfiles.d", "sudoers.d", "cron.d", "avahi"),
        *("monit", "collectd", "munin", "zabbix", "telegraf"),
    }
)
MAX_DEPTH = 8
MAX_DIRECTORIES = 20_000
MAX_UNCLAIMED_DEPTH = 4
MAX_SHOWN = 3  # of what is not a host's

# What shows that a directory is an etc/ beside the marks of servers: one of these lies in it.
_MARKS = (
    *("nftables.conf", "nftables.nft", "nftables", "iptables", "sysconfig/iptables"),
    *("sysconfig/ip6tables", "sysconfig/nftables.conf", "ufw/ufw.conf", "ufw/user.rules"),
    *("firewalld", "csf", "shorewall", "ferm", "firehol", "letsencrypt/renewal"),
)


def find(
    paths: Sequence[str], *, root: str | None = None, excluded: Sequence[str] = ()
) -> list[Target]:
    """Return the hosts that the paths mean: whole ones, and one of all that are parts of a host.

    Raise NothingToCheckError or UsageError.
    """
    if root is not None and not os.path.isdir(root):
        raise UsageError(f"--root: {root}: no such directory")
    search = _Search(root, excluded)
    for text in paths:
        search.look(text)
    found = search.hosts(paths)
    if not found:
        raise NothingToCheckError(
            f"{', '.join(paths) or '.'}: nothing to check; looked for {looked_for()}",
            tip=_seen(search.problems, paths, excluded),
        )
    for target in found:
        target.assumed = (*target.assumed, *complete(target.tree))
    names = Counter(target.name for target in found)
    for target in found:
        if names[target.name] > 1:  # two that are called etc
            top = target.tree.root or next(iter(target.tree.mounts.values()), None)
            target.name = display(top) if top is not None else target.name
    found[-1].tree.problems += search.problems
    return found


@dataclass(slots=True)
class _Search:
    """What the paths that were looked at mean: whole hosts, and parts of one."""

    root: str | None
    excluded: Sequence[str]
    whole: list[Target] = field(default_factory=list)
    parts: list[Path] = field(default_factory=list)
    gathered: list[Path] = field(default_factory=list)  # of the parts, what lay apart below a path
    problems: list[Problem] = field(default_factory=list)

    def look(self, text: str) -> None:
        """Look at one path. Raise UsageError."""
        try:
            is_directory = _is_directory(text)
        except PermissionError:
            self.problems.append(Problem(text, "permission denied", code=Code.DENIED))
            return
        real = confined(text)
        hosts = _directory(real, self.root, self.excluded) if is_directory else []
        self.whole += hosts
        apart = _apart(real, self.excluded) if is_directory and not hosts else []
        self.gathered += apart
        if not hosts:
            self.parts += apart or [Path(os.path.abspath(text))]
        laid: list[Path] = []
        if len(hosts) == 1 and self.root is None:
            hosts[0].top = real
            laid = _beside(hosts[0], real, self.excluded)
            _projects(hosts[0].tree, real, self.excluded)
        if is_directory and not apart and all(real in host.tree.mounts.values() for host in hosts):
            excluded = (*self.excluded, *map(str, laid))
            unclaimed = _unclaimed(real, bool(hosts), excluded)
            if hosts and _has_server(hosts[0].tree):  # what lies beside it is not in its way
                hosts[0].assumed = (*hosts[0].assumed, *_of_others(unclaimed))
            else:
                self.problems += (
                    Problem(display(p), _UNCLAIMED, code=Code.UNUSABLE) for p in unclaimed
                )

    def hosts(self, paths: Sequence[str]) -> list[Target]:
        """Return the whole hosts, each once, and the one that the parts make."""
        whole = {(one.tree.root, *one.tree.mounts.items()): one for one in self.whole}
        found = list(whole.values())
        parts = dict.fromkeys(self.parts)
        loose = [path for path in parts if not _is_covered(path, self.parts, found)]
        made = self._joined(loose) if loose else None
        if made is not None:
            found.append(made)
            for text in paths if len(found) == 1 else ():
                if os.path.isdir(text):
                    made.top = confined(text)
                    _projects(made.tree, made.top, self.excluded)
        return found

    def _joined(self, loose: Sequence[Path]) -> Target | None:
        """Return the host that parts make, if they have any place on one."""
        from sslint.targets.parts import collect

        parts = collect(loose, confined)
        if len(parts) and self.gathered:
            shown = ", ".join(display(path) for path in self.gathered)
            parts.assumed.append(f"one host has {shown}: there is one of each kind here")
        made = _of_parts(parts, loose, self.root) if len(parts) else None
        self.problems += parts.problems
        return made


def _seen(problems: Sequence[Problem], paths: Sequence[str], excluded: Sequence[str]) -> str | None:
    """Name what was seen and is no host, and the block of .sslint.yaml that would make it one."""
    from sslint.targets.repository import gather

    lines = [problem.sentence for problem in problems]
    for top in (confined(text) for text in paths if os.path.isdir(text)):
        lines += [problem.sentence for problem in islice(_links(top, excluded), MAX_LINKS_SHOWN)]
        gathered = gather(top, excluded)
        if gathered.found:
            said = "to describe the hosts, write into .sslint.yaml (sslint init does):"
            lines += [said, "hosts:", *gathered.hosts(top)]
    return "\n".join(lines) or None


def _links(top: Path, excluded: Sequence[str]) -> Iterator[Problem]:
    """Yield the links below a directory that lead out of it, or to nothing."""
    tree = Tree(top)
    tree.exclude(excluded)
    for directory in _shallow(tree):
        below = set(tree.subdirectories(directory))
        for name in tree.names(directory):
            path = posixpath.join(directory, name)
            linked = name not in below and tree.link_target(path) is not None
            if linked and tree.status(path) is Status.ABSENT:
                yield Problem(
                    display(top / path[1:]), _LEAVES.format(display(top)), code=Code.UNUSABLE
                )
    tree.close()


def settings_below(top: Path, excluded: Sequence[str], names: Sequence[str]) -> Iterator[Path]:
    """Yield the settings files in the directories below one."""
    tree = Tree(top)
    tree.exclude(excluded)
    for directory in _shallow(tree):
        if directory != "/":
            yield from (top / directory[1:] / n for n in tree.names(directory) if n in names)
    tree.close()


def _shallow(tree: Tree) -> Iterator[str]:
    """Yield the directories of a tree near its top, itself first."""
    pending = ["/"]
    for visited, directory in enumerate(pending):
        if visited >= MAX_DIRECTORIES:
            return
        yield directory
        if directory == "/" or directory.count("/") < MAX_UNCLAIMED_DEPTH:
            below = (n for n in tree.subdirectories(directory) if n not in SKIPPED)
            pending += (posixpath.join(directory, name) for name in below)


def _beside(host: Target, top: Path, excluded: Sequence[str]) -> list[Path]:
    """Give a host the servers whose files lie beside its etc/; return where."""
    etc = host.tree.mounts.get("/etc") or (host.tree.root and host.tree.root / "etc")
    if etc is None or top.name == "etc":
        return []
    from sslint.targets.repository import lay

    laid = lay(host.tree, etc, top, excluded)
    if laid:
        shown = ", ".join(display(path) for path in laid)
        host.assumed = (*host.assumed, f"{shown}: this host's, the only one of its kind here")
    return laid


def _projects(tree: Tree, top: Path, excluded: Sequence[str]) -> None:
    """Give the only host of a directory the compose files that lie beside its own."""
    from sslint.servers.programs import containers

    own = [tree.root, *tree.mounts.values()]
    if any(one is not None and (one == top or one in top.parents) for one in own):
        return
    for path in containers.find(top, excluded, tree.root):
        tree.mount(f"{containers.BESIDE}{path.relative_to(top).as_posix()}", path)


def _apart(top: Path, excluded: Sequence[str]) -> list[Path]:
    """Return the parts of one host that lie apart below a directory, if they are one host's."""
    if any(os.path.isfile(top / posixpath.basename(one.entries[0])) for one in keyed()):
        return []
    from sslint.targets.repository import gather

    gathered = gather(top, excluded)
    return gathered.paths if gathered.is_one_host else []


def complete(tree: Tree) -> list[str]:
    """Make the main file of a server of which a tree has only what it includes.

    Return what is assumed. Where the distribution is known, its own file is read instead (shipped).
    """
    probe = tree.with_overlay({})
    if not any(server.lacks_main(probe) for server in servers.servers()):
        return []
    from sslint.targets import laying

    return [] if _is_shipped(probe) else laying.complete(tree)


def _is_shipped(tree: Tree) -> bool:
    """Tell whether a distribution is known that ships the main files."""
    from sslint import shipped
    from sslint.network import read_network

    return bool(shipped.fitting(tree, read_network(tree), {}))


def _unclaimed(top: Path, is_etc: bool, excluded: Sequence[str]) -> Iterator[Path]:
    """Yield the main files of servers below a directory that no host has.

    Below an etc/ other programs have files of these names, and only what is one by its text counts.
    """
    from sslint.targets.parts import TOPS, is_whole

    tree = Tree(top)
    tree.exclude(excluded)
    pending, visited = ["/"], 0
    while pending and visited < MAX_DIRECTORIES:
        directory = pending.pop()
        visited += 1
        names = directory.split("/")[1:] if directory != "/" else []
        if len(names) > MAX_UNCLAIMED_DEPTH or (is_etc and names and names[0] in TOPS):
            continue
        claimed = not is_etc and not names
        for name in set(tree.names(directory)).intersection(() if claimed else servers.mains()):
            path = posixpath.join(directory, name)
            real = top / path[1:]
            if tree.status(path) is not Status.FILE:
                continue
            if not is_etc or is_whole(_owner(name), trees.head(real)):
                yield real
        pending += [
            posixpath.join(directory, name)
            for name in tree.subdirectories(directory)
            if name not in SKIPPED and name not in _OTHERS
        ]
    tree.close()


def _has_server(tree: Tree) -> bool:
    return any(tree.exists(entry) for one in servers.servers() for entry in one.entries)


def _owner(main: str) -> str:
    """Return the server whose main file has a name."""
    place = servers.mains()[main]
    return next(server.name for server in servers.servers() if place in server.mains)


def _of_others(paths: Iterable[Path]) -> Iterator[str]:
    """Yield one sentence for main files that are taken for those of other hosts."""
    found = [display(path) for path in paths]
    if found:
        more = len(found) - MAX_SHOWN
        shown = ", ".join(found[:MAX_SHOWN]) + (f" and {more} more" if more > 0 else "")
        yield f"{shown}: not of this host"


def keyed() -> list[Server]:
    """Return the servers that .sslint.yaml has a key for."""
    return [server for server in servers.servers() if server.key]


def looked_for() -> str:
    """Return what is looked for where a path is given."""
    *titles, last = [server.title for server in keyed()]
    return (
        f"{', '.join(titles)} or {last} configuration, or a firewall (iptables, nftables, ufw, "
        "firewalld), in an etc/ directory, in a directory that holds one, or as files"
    )


def _is_directory(text: str) -> bool:
    """Tell whether a PATH is a directory, or a file. Raise UsageError if it is neither.

    Raise PermissionError where one may not look.
    """
    try:
        mode = os.stat(text).st_mode
    except PermissionError:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no such file or directory"
        raise UsageError(f"{text}: {reason[0].lower()}{reason[1:]}") from None
    if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
        raise UsageError(f"{text}: is neither a file nor a directory")
    return stat.S_ISDIR(mode)


def _is_covered(path: Path, others: Sequence[Path], hosts: Sequence[Target]) -> bool:
    """Tell whether what else was given holds a path."""
    real = real_path(path)
    whole = [
        directory
        for one in hosts
        for directory in (one.tree.root and one.tree.root / "etc", *one.tree.mounts.values())
        if directory is not None
    ]
    return any(other in path.parents for other in others if os.path.isdir(other)) or any(
        directory in real.parents for directory in whole
    )


def _of_parts(parts: Parts, paths: Sequence[Path], root: str | None) -> Target:
    """Make one host of parts, its paths relative to the root that they lie in, if they do."""
    from sslint.targets.laying import join
    from sslint.targets.parts import root_of

    roots = {root_of(path) for path in paths}
    base = roots.pop() if len(roots) == 1 else None
    tree = Tree(
        real_path(root) if root else None,
        base=real_path(base) if base is not None else Path.cwd(),
    )
    rulesets = join(parts, tree)
    target = Target(
        paths[0].name if len(paths) == 1 else "files",
        tree,
        firewall=tuple((None, place) for place in rulesets),
        assumed=tuple(parts.assumed),
    )
    announce(target, parts.documents)
    return target


def confined(text: str) -> Path:
    """Return where a PATH leads. Raise UsageError if it is a link that leaves where it lies."""
    try:
        return trees.confined(text)
    except TreeError as error:
        raise UsageError(f"{text}: {error.reason}", tip="name its target") from None


def _directory(real: Path, root: str | None, excluded: Sequence[str]) -> list[Target]:
    if root is not None:
        base = real_path(root)
        name = real.name or "etc"
        if real in (base, base / "etc") or (base in real.parents and _marked(base / "etc")):
            return [Target(name, Tree(base))]
        etc = real / "etc" if _marked(real / "etc") else real
        if not _marked(etc):
            return []
        return [Target(name, Tree(base, mounts={"/etc": etc}, base=etc.parent))]
    for etc in (real, real / "etc"):
        if etc.name == "etc" and os.path.isdir(etc) and not os.access(etc, os.R_OK | os.X_OK):
            return [_unreadable(etc)]
    if real.name == "etc" and (_marked(real) or not _marked(real / "etc")):
        if _marked(real):
            return [Target("etc", Tree(real.parent))]
        return []
    if os.path.isdir(real / "etc") and _marked(real / "etc"):
        return [_root(real, trees.work_tree(real), real.name or "/")]
    roots = [] if _marked(real, _is_file) else list(_roots(real, excluded))
    if _marked(real) and not roots and (_marked(real, _is_strong) or not holds_servers(real)):
        return [Target(real.name, Tree(None, mounts={"/etc": real}, base=real.parent))]
    return [_root(found, real, found.relative_to(real).as_posix()) for found in roots]


def _unreadable(etc: Path) -> Target:
    tree = Tree(None, base=etc.parent)
    tree.problems.append(Problem(display(etc), "permission denied", code=Code.DENIED))
    return Target(etc.parent.name or "etc", tree)


def _root(root: Path, within: Path, name: str) -> Target:
    """Return the host of a directory that holds etc/, itself perhaps a link to a place within."""
    etc = root / "etc"
    if etc.is_symlink() and within in (real := real_path(etc)).parents:
        return Target(name, Tree(root, mounts={"/etc": real}))
    tree = Tree(root)
    if etc.is_symlink() and tree.status("/etc") is not Status.DIRECTORY:
        tree = Tree(None, base=root)
        tree.problems.append(
            Problem(display(etc), _LEAVES.format(display(root)), code=Code.UNUSABLE)
        )
    return Target(name, tree)


def holds_servers(directory: Path) -> bool:
    """Tell whether the files of servers lie in a directory itself."""
    from sslint.targets.parts import collect

    parts = collect([directory], confined)
    return bool(parts.fragments) or any("/given/" not in place for place in parts.mounts)


def is_root(directory: Path) -> bool:
    """Tell whether a directory holds an etc/ with what sslint reads."""
    return _marked(directory / "etc")


def _marked(etc: Path, fits: Callable[[str], bool] | None = None) -> bool:
    """Tell whether a directory has one of the marks, or has it where it cannot be looked at."""
    marks = (*servers.marks(), *_MARKS)
    return any(trees.is_there(etc / mark) for mark in marks if fits is None or fits(mark))


def _is_strong(mark: str) -> bool:
    """Tell whether no flat directory has a mark, with main files and rulesets side by side."""
    return "/" in mark


def _is_file(mark: str) -> bool:
    """Tell whether a mark is a file, not a directory that a repository has for its own reasons."""
    folders = {folder for server in servers.servers() for folder in server.folders}
    return ("/" in mark or "." in mark) and mark.rpartition("/")[2] not in folders


def _roots(top: Path, excluded: Sequence[str]) -> Iterator[Path]:
    """Yield the directories below `top` whose etc/ has something sslint reads."""
    tree = Tree(top)
    left_out = {real_path(path) for path in excluded}
    pending, visited = ["/"], 0
    while pending and visited < MAX_DIRECTORIES:
        path = pending.pop()
        here = top / path[1:]
        visited += 1
        if path.count("/") > MAX_DEPTH:
            continue
        etc = posixpath.join(path, "etc")
        if (
            here / "etc" not in left_out
            and (tree.exists(etc) or os.path.isdir(here / "etc"))
            and _marked(here / "etc")
        ):
            yield here
            continue
        below = (posixpath.join(path, n) for n in tree.subdirectories(path) if n not in SKIPPED)
        pending += reversed([child for child in below if top / child[1:] not in left_out])
    tree.close()
