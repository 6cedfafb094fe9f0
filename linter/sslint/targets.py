"""What PATH means: which files on disk make a host, and under which paths the host knows them."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sslint import tree as trees
from sslint.errors import NothingToCheckError, UsageError, did_you_mean
from sslint.intent import Intent
from sslint.netfilter.model import Ruleset
from sslint.tree import Tree, TreeError
from sslint.values import dataclass, field

if TYPE_CHECKING:
    from sslint.ask import Expectation

Given = tuple[str | None, str]
SKIPPED = frozenset({".git", ".hg", ".svn", "node_modules", ".venv", "__pycache__", ".tox"})
MAX_DEPTH = 8
MAX_DIRECTORIES = 20_000

# What shows that a directory is an etc/: one of these lies in it.
ETC_MARKS = (
    "nginx/nginx.conf",
    "postfix/main.cf",
    "postfix/master.cf",
    "dovecot/dovecot.conf",
    "nftables.conf",
    "nftables.nft",
    "nftables",
    "iptables",
    "sysconfig/iptables",
    "sysconfig/ip6tables",
    "sysconfig/nftables.conf",
    "ufw/ufw.conf",
    "firewalld",
    "csf",
    "shorewall",
    "ferm",
    "firehol",
    "letsencrypt/renewal",
    "haproxy/haproxy.cfg",
    "apache2/apache2.conf",
    "httpd/conf/httpd.conf",
    "caddy/Caddyfile",
    "stunnel",
    "exim4",
)
# Those that name a file, and not a directory that a repository may have for its own reasons.
ETC_FILES = tuple(mark for mark in ETC_MARKS if "/" in mark or "." in mark)
LOOKED_FOR = (
    "nginx, Postfix or Dovecot configuration, or a firewall (iptables, nftables, ufw, firewalld), "
    "in an etc/ directory, in a directory that holds one, or as files"
)
# A server's main file and the directory where the host keeps it.
SERVER_FILES = {
    "nginx": ("nginx.conf", "/etc/nginx"),
    "postfix": ("main.cf", "/etc/postfix"),
    "dovecot": ("dovecot.conf", "/etc/dovecot"),
}
_NFT = re.compile(r"^\s*(table\s+(inet|ip|ip6|netdev|bridge|arp)\s|flush\s+ruleset)", re.M)
_RULESET = re.compile(
    r"^\s*(\*(filter|nat|mangle|raw|security)\s*$|-[APN]\s|:[A-Za-z0-9_.-]+\s+(ACCEPT|DROP|-)"
    r"|add\s+(table|rule|chain|element)\s|create\s+\S+\s+(hash|bitmap|list):"
    r"|\{\s*\"nftables\"|Name:\s|<(?:zone|policy|service|ipset|direct)[\s>])",
    re.M,
)


@dataclass(slots=True)
class Target:
    """One host to read.

    `firewall` are the rulesets that were named, (kind or None, path in the tree); without any,
    those of the tree count, or with `no_firewall` none at all.
    """

    name: str
    tree: Tree
    firewall: tuple[Given, ...] = ()
    no_firewall: bool = False
    addresses: tuple[str, ...] = ()
    announced: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    intent: Intent = field(default_factory=Intent)
    expect: tuple[Expectation, ...] = ()  # stated in the file that lies at `settings`
    settings: str | None = None
    running: Ruleset | None = None  # what the kernel has loaded, if it was asked
    now: datetime | None = None  # when certificates are judged; None: by the clock


def find(
    paths: Sequence[str], *, root: str | None = None, excluded: Sequence[str] = ()
) -> list[Target]:
    """Return the hosts that the paths mean. Raise NothingToCheckError or UsageError."""
    targets: list[Target] = []
    files: list[Path] = []
    for text in paths:
        if os.path.isdir(text):
            targets += _directory(_confined(text), root, excluded)
        elif os.path.isfile(text):
            files.append(_confined(text))
        elif os.path.exists(text):
            raise UsageError(f"{text}: is neither a file nor a directory")
        else:
            raise UsageError(f"{text}: no such file or directory")
    if files:
        targets.append(_loose_files(files, root))
    if not targets:
        raise NothingToCheckError(
            f"{', '.join(paths) or '.'}: nothing to check; looked for {LOOKED_FOR}"
        )
    return targets


def _confined(text: str) -> Path:
    """Return where a PATH leads: a list of changed files may hold links that somebody put there.

    A link may not leave its work tree, or outside of one the etc/ or else the directory that holds
    it. Raise UsageError.
    """
    path, real = Path(os.path.abspath(text)), Path(os.path.realpath(text))
    top = next((up for up in (path, *path.parents) if (up / ".git").exists()), None)
    if top is None:
        top = next((up for up in path.parents if up.name == "etc"), None)
    if top is None and path.is_symlink():
        top = path.parent
    if top is not None:
        within = Path(os.path.realpath(top))
        if real != within and within not in real.parents:
            raise UsageError(
                f"{text}: is a symbolic link that leaves {top}", tip="name what it leads to"
            )
    return real


def _directory(real: Path, root: str | None, excluded: Sequence[str]) -> list[Target]:
    if root is not None:
        base = Path(os.path.realpath(root))
        name = real.name or "etc"
        if real in (base, base / "etc") or (base in real.parents and _marked(base / "etc")):
            return [Target(name, Tree(base))]
        etc = real / "etc" if _marked(real / "etc") else real
        return [Target(name, Tree(base, mounts={"/etc": etc}, base=etc.parent))]
    if real.name == "etc" and (_marked(real) or not _marked(real / "etc")):
        if _marked(real):
            return [Target("etc", Tree(real.parent))]
        return []
    if (real / "etc").is_dir() and _marked(real / "etc"):
        return [_root(real, real.parent, real.name or "/")]
    roots = [] if _marked(real, ETC_FILES) else list(_roots(real, excluded))
    if _marked(real) and not roots:
        return [Target(real.name, Tree(None, mounts={"/etc": real}, base=real.parent))]
    for mark, place in SERVER_FILES.values():
        if mark == "nginx.conf" and _is_site(trees.head(real / mark)):
            return [_loose_files([real / mark], root)]
        if (real / mark).is_file():
            return [Target(real.name, Tree(None, mounts={place: real}, base=real.parent))]
    return [_root(found, real, found.relative_to(real).as_posix()) for found in roots]


def _root(root: Path, within: Path, name: str) -> Target:
    """Return the host of a directory that holds etc/, itself perhaps a link to a place within."""
    etc = root / "etc"
    if etc.is_symlink() and within in (real := Path(os.path.realpath(etc))).parents:
        return Target(name, Tree(root, mounts={"/etc": real}))
    return Target(name, Tree(root))


def _marked(etc: Path, marks: Sequence[str] = ETC_MARKS) -> bool:
    return any(os.path.lexists(etc / mark) for mark in marks)


def _roots(top: Path, excluded: Sequence[str]) -> Iterator[Path]:
    """Yield the directories below `top` whose etc/ has something sslint reads."""
    tree = Tree(top)
    left_out = {Path(os.path.realpath(path)) for path in excluded}
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
            and (tree.exists(etc) or (here / "etc").is_dir())
            and _marked(here / "etc")
        ):
            yield here
            continue
        below = (posixpath.join(path, n) for n in tree.subdirectories(path) if n not in SKIPPED)
        pending += reversed([child for child in below if top / child[1:] not in left_out])
    tree.close()


# -- single files -------------------------------------------------------------------------------


def _loose_files(files: Sequence[Path], root: str | None) -> Target:
    """Make one host of single files, each put where its server looks for it."""
    mounts: dict[str, Path] = {}
    overlay: dict[str, str | None] = {}
    firewall: list[tuple[str | None, str]] = []
    announced: list[str] = []
    fragments: list[str] = []
    for real in files:
        place = _place(real)
        if place is None:
            place = f"/given/{len(mounts)}/{real.name}"
            if _looks_like_ruleset(real):
                firewall.append((None, place))
            else:
                announced.append(place)
        elif place.startswith(NGINX_PARTS):
            fragments.append(place)
        if mounts.setdefault(place, real) != real:
            raise UsageError(
                f"{real}: {mounts[place]} is this host's {place} already",
                tip="one file can have that place; check them one at a time",
            )
    if fragments and "/etc/nginx/nginx.conf" not in mounts:
        overlay["/etc/nginx/nginx.conf"] = _main_of(fragments)
    base = Path.cwd()
    tree = Tree(
        Path(os.path.realpath(root)) if root else None,
        mounts=mounts,
        overlay=overlay,
        base=base,
    )
    return Target(
        files[0].name if len(files) == 1 else "files",
        tree,
        firewall=tuple(firewall),
        announced=tuple(announced),
    )


NGINX_PARTS = ("/etc/nginx/sites/", "/etc/nginx/parts/")  # of http, of the whole


def _main_of(fragments: Sequence[str]) -> str:
    """Return an nginx.conf that includes fragments; what else the host's says is not known."""
    sites, parts = (
        "".join(f"include {place};\n" for place in fragments if place.startswith(head))
        for head in NGINX_PARTS
    )
    rest = 'include "the rest of nginx.conf";\n'
    return f"events {{}}\n{parts}http {{\n{sites}{rest}}}\n"


def _place(path: Path) -> str | None:
    """Return where a host keeps a server's file of this name and content, None if it is none."""
    names = {
        "nginx.conf": "/etc/nginx/nginx.conf",
        "main.cf": "/etc/postfix/main.cf",
        "master.cf": "/etc/postfix/master.cf",
        "dovecot.conf": "/etc/dovecot/dovecot.conf",
        "haproxy.cfg": "/etc/haproxy/haproxy.cfg",
        "Caddyfile": "/etc/caddy/Caddyfile",
    }
    text = trees.head(path)
    is_site = _is_site(text)
    if path.name in names and not (path.name == "nginx.conf" and is_site):
        return names[path.name]
    if is_site:
        return f"/etc/nginx/sites/{_slug(path)}"
    if _NGINX.search(text) and not _NFT.search(text):
        is_whole = re.search(r"^\s*events\s*\{", text, re.M)
        return "/etc/nginx/nginx.conf" if is_whole else f"/etc/nginx/parts/{_slug(path)}"
    if re.search(r"^\S+\s+(inet|unix|pass)\s+[-yn]\s+[-yn]\s+[-yn]\s", text, re.M):
        return "/etc/postfix/master.cf"
    if re.search(r"^\s*(smtpd_|myhostname|mydestination|inet_interfaces)\w*\s*=", text, re.M):
        return "/etc/postfix/main.cf"
    dovecot = r"^\s*(dovecot_config_version\s*=|protocols\s*=|inet_listener\s)"
    is_part = re.match(r"\d\d-", path.name)  # of conf.d: the rest of it decides as well
    if not is_part and re.search(dovecot, text, re.M):
        return "/etc/dovecot/dovecot.conf"
    return None


_NGINX = re.compile(r"^\s*(http|events|stream|mail)\s*\{", re.M)


def _is_site(text: str) -> bool:
    """Tell whether a file has server blocks alone, for a container's conf.d or sites-enabled."""
    if _NGINX.search(text):
        return False
    blocks = re.search(r"^\s*server\s*\{", text, re.M)
    return bool(blocks and re.search(r"^\s*listen\s", text, re.M))


def _slug(path: Path) -> str:
    """Return a name for a fragment that no other has, and that nginx takes in an include."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", str(path).strip("/"))


def _looks_like_ruleset(path: Path) -> bool:
    text = trees.head(path)
    return bool(_NFT.search(text) or _RULESET.search(text))


@dataclass(frozen=True, slots=True)
class Stream:
    """What came by a pipe that the user names, or by standard input."""

    name: str
    data: bytes


def named(text: str, flag: str) -> Path | Stream:
    """Return what the user names with a flag: where it leads, or what came by a pipe.

    Raise UsageError.
    """
    try:
        if trees.is_stream(text):
            return Stream(text, trees.read_named(text))
        return trees.resolve(text)
    except TreeError as error:
        raise UsageError(f"{flag}: {text}: {error.reason}") from None
    except OSError as error:
        raise UsageError(f"{flag}: {text}: {error.strerror}") from None


def ruleset(text: str) -> tuple[str | None, Path | Stream]:
    """Return the kind and the file of a `[KIND=]FILE`. Raise UsageError."""
    kind, name = kind_and_file(text)
    if kind is not None and kind not in firewall_kinds():
        raise UsageError(
            f"--firewall: unknown kind {kind}{did_you_mean(kind, firewall_kinds())}",
            tip=f"kinds: {', '.join(firewall_kinds())}; or none: this host filters nothing",
        )
    return kind, named(name, "--firewall")


def kind_and_file(text: str, base: Path | None = None) -> tuple[str | None, str]:
    """Return the two parts of a `[KIND=]FILE`; a file may have a `=` in its name."""
    if "=" in text and not os.path.lexists(text if base is None else base / text):
        kind, _, name = text.partition("=")
        return kind, name
    return None, text


def firewall_kinds() -> tuple[str, ...]:
    """Return the kinds of ruleset that can be named."""
    from sslint.firewalls.discovery import KINDS

    return KINDS


def ruleset_place(name: str, index: int, whence: str = "firewall") -> str:
    """Return where a ruleset that was named lies in the tree.

    `whence` "boot": a host loads it when it boots; else it may have been captured.
    """
    return f"/given/{whence}/{index}/{name}"


def lay(tree: Tree, place: str, source: Path | Stream) -> None:
    """Lay what was named over a tree."""
    if isinstance(source, Stream):
        tree.give(place, source.name, source.data)
    else:
        tree.mount(place, source)


def announce(target: Target, files: Iterable[Path | Stream]) -> None:
    """Give a host files that say what clients are told."""
    for source in files:
        # mta-sts.example.org/.well-known/mta-sts.txt: the place says the domain
        real = Path("/stdin") if isinstance(source, Stream) else source
        kept = "/".join(Path(os.path.abspath(real)).parts[1:][-5:])
        place = f"/given/announced/{len(target.announced)}/{kept}"
        lay(target.tree, place, source)
        target.announced = (*target.announced, place)
