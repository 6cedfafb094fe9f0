"""Parts of one host that lie apart in a repository: roles/web/files, firewall/rules.v4.

Where a repository has one main file of a server and one ruleset at most of each kind, and nothing
says that a container reads them, they are one host's. Where there are several, none is chosen.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from sslint import tree as trees
from sslint.firewalls.marks import ASIDE, DUMP, TABLE
from sslint.regex import regex
from sslint.servers import servers
from sslint.tree import Status, Tree
from sslint.values import dataclass, field

MAX_DEPTH = 6
MAX_DIRECTORIES = 5_000
MAX_FILES = 400  # that are looked into
_RULESET = regex(r"^(rules\.v[46]|nftables\.conf|.*\.nft|ip6?tables(\.up)?\.rules)$")
# What is there to be read or tried, or is a container's.
_APART = regex(
    r"^(\..*|node_modules|vendor|third.?party|tests?|test.?data|fixtures|examples?|samples?|docs?"
    r"|docker.*|.*docker|containers?|compose|k8s|kubernetes|helm|charts?|fail2ban|filter\.d|action\.d"
    r"|logrotate\.d|sysctl\.d|pam\.d|apparmor\.d|backups?|old|archive)$",
    re.I,
)
# A directory whose directories are hosts, and one that is called as a host or a stage is.
_MACHINES = regex(r"^(hosts|servers|machines|nodes|boxes|inventory|environments|envs)$", re.I)
_MACHINE = regex(
    r"^([\w-]+\.)+[a-z]{2,}$(?<!\.nft)(?<!\.conf)(?<!\.rules)|^(prod(uction)?|stag(e|ing)|dev(elopment)?)$"
    r"|^(web|db|mail|mx|app|proxy|gw|node|host|srv|lb)-?\d+$",
    re.I,
)
_IMAGE = regex(r"^(Dockerfile|Containerfile|(docker-)?compose\b.*\.ya?ml$)", re.I)


@dataclass(slots=True)
class Gathered:
    """What lies below a directory, by kind: a server's name, "nft", "iptables" ..."""

    found: dict[str, list[Path]] = field(default_factory=dict)

    @property
    def is_one_host(self) -> bool:
        """Whether the parts are a server's and a ruleset, each once."""
        named = [kind for kind in self.found if kind in main_files().values()]
        rulesets = [kind for kind in self.found if kind not in named]
        alone = all(len(paths) == 1 for paths in self.found.values())
        both = {"nft", "iptables"} <= set(rulesets)
        return bool(named and rulesets) and alone and not both and not _of_several(self.paths)

    def hosts(self, top: Path) -> list[str]:
        """Return what .sslint.yaml says of them below `hosts:`, for the user to choose from.

        Parts in directories that are called as hosts are make a host for each; else they are one's.
        """
        if not self.found:
            return []
        common = Path(os.path.commonpath(self.paths))
        if not _of_several(self.paths):
            return [f"  {quoted(top.name or 'host')}:", *_host(self.found, top)]
        lines = []
        names = dict.fromkeys(path.relative_to(common).parts[0] for path in self.paths)
        for name in names:
            own = {
                kind: [path for path in paths if path.relative_to(common).parts[0] == name]
                for kind, paths in self.found.items()
            }
            lines += [f"  {quoted(name)}:", *_host(own, top)]
        return lines

    @property
    def paths(self) -> list[Path]:
        """The parts: a server's directory, a ruleset's file."""
        return [path for paths in self.found.values() for path in paths]


def quoted(text: str) -> str:
    """Return a name or a path as YAML has it."""
    return text if re.fullmatch(r"[A-Za-z_./][\w./-]*", text) else json.dumps(text)


def _host(found: Mapping[str, Sequence[Path]], top: Path) -> Iterator[str]:
    rulesets = []
    for kind, paths in found.items():
        shown = [quoted(path.relative_to(top).as_posix()) for path in paths]
        if kind not in main_files().values():
            rulesets += shown
        elif shown:
            first, *others = shown
            yield f"    {kind}: {first}" + (f"  # or {', '.join(others)}" if others else "")
    listed = f"    firewall: [{', '.join(rulesets)}]"
    yield listed if rulesets else "    # firewall: FILE, or none if this host filters nothing"


def _of_several(paths: Sequence[Path]) -> bool:
    """Tell whether parts lie in directories that are called as hosts are, or hold these."""
    common = Path(os.path.commonpath(paths))
    first = {path.relative_to(common).parts[:1] for path in paths}
    if len(first) < 2:
        return False
    named = any(_MACHINE.match(name) for (name, *_) in filter(None, first))
    return named or _MACHINES.match(common.name) is not None


@cache
def main_files() -> dict[str, str]:
    """Return the servers that .sslint.yaml can name, by the name of their main file."""
    return {posixpath.basename(one.entries[0]): one.name for one in servers() if one.key}


def lay(tree: Tree, etc: Path, top: Path, excluded: Sequence[str] = ()) -> list[Path]:
    """Give a host the servers that it has nothing of and that lie once beside its etc/.

    Return their directories.
    """
    laid = []
    own = etc.parent if etc.name == "etc" else etc
    for kind, paths in gather(top, excluded, beside=etc).found.items():
        if kind not in main_files().values() or len(paths) > 1 or _of_several([own, *paths]):
            continue
        place = next(one.directory for one in servers() if one.name == kind)
        if tree.status(place) is Status.ABSENT and tree.link_target(place) is None:
            tree.mount(place, paths[0])
            laid.append(paths[0])
    return laid


def gather(top: Path, excluded: Sequence[str] = (), *, beside: Path | None = None) -> Gathered:
    """Return the parts of hosts below a directory that are no container's.

    `beside` is the etc/ of a host that is there: what it holds itself is not looked at.
    """
    from sslint.firewalls.scripts.possible import NAMES, is_script
    from sslint.targets.parts import is_ruleset, is_whole

    gathered = Gathered()
    scripts: list[Path] = []
    looked = 0
    for directory, name in _files(top, excluded, beside):
        path = directory / name
        server = main_files().get(name)
        script = NAMES.match(name) is not None
        if server is None and not script and not _RULESET.match(name):
            continue
        looked += 1
        if looked > MAX_FILES:
            break
        text = trees.head(path)
        if server is not None:
            if is_whole(server, text):
                gathered.found.setdefault(server, []).append(directory)
        elif script:
            if is_script(name, text):
                scripts.append(path)
        elif is_ruleset(text) and (DUMP.search(text) or TABLE.search(text)):
            gathered.found.setdefault(_kind(name, text), []).append(path)
    if scripts and gathered.found.keys() <= set(main_files().values()):
        gathered.found["script"] = scripts  # only where no ruleset is saved
    for paths in gathered.found.values():
        paths.sort()
    return gathered


def _kind(name: str, text: str) -> str:
    if DUMP.search(text) is None:
        return "nft"
    return "ip6tables" if re.search(r"v6|ip6", name) else "iptables"


def _files(top: Path, excluded: Sequence[str], beside: Path | None) -> Iterator[tuple[Path, str]]:
    from sslint.firewalls.scripts.possible import NAMES
    from sslint.targets.parts import TOPS

    tree = Tree(top)
    tree.exclude(excluded)
    pending, visited = ["/"], 0
    while pending and visited < MAX_DIRECTORIES:
        directory = pending.pop()
        visited += 1
        names = tree.names(directory)
        own = top / directory[1:] == beside
        if any(map(_IMAGE.match, names)) or (own and directory != "/"):
            continue  # what a container is built of, with all below
        below = set(tree.subdirectories(directory))
        if own:  # a directory that is an etc/ by what it holds
            names = sorted(below - TOPS)
        for name in names:
            path = posixpath.join(directory, name)
            if name in below:
                if directory.count("/") < MAX_DEPTH and not _APART.match(name):
                    pending.append(path)
            elif (
                (NAMES.match(name) or not ASIDE.search(name))
                and tree.status(path) is Status.FILE
                and not os.path.islink(top / path[1:])
            ):
                yield top / directory[1:], name
    tree.close()
