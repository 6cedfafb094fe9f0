"""Parts of one host that were given by path: each is laid where the host keeps it.

A file or directory has the place that its own path says (`.../etc/nginx/sites-enabled/shop`), else
the one that its name and content say. What no file that is given includes is included by a main
file that sslint makes, and says so.
"""

from __future__ import annotations

import fnmatch
import os
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from sslint import tree as trees
from sslint.errors import UsageError
from sslint.reasons import Code, Problem
from sslint.targets import is_there
from sslint.tree import Status, Tree
from sslint.values import dataclass, field
from sslint.yamlfile import display

MAX_FILES = 2_000  # of one directory that was given
_READ = (
    "nginx openresty postfix dovecot haproxy apache2 httpd caddy stunnel exim4 letsencrypt ssl pki"
    " nftables nftables.d nftables.conf nftables.nft iptables sysconfig ufw firewalld default csf"
    " shorewall ferm firehol docker systemd network netplan sysctl.d sysctl.conf hosts hostname"
)
TOPS = frozenset(_READ.split())  # of an etc/, what readers look for
RULESETS = re.compile(
    r"/etc/(nftables(\.d/.*|/.*|\.conf|\.nft)|iptables/.*|sysconfig/(ip6?tables|nftables).*"
    r"|ufw/(ufw\.conf|(user|before|after)6?\.rules)|firewalld/.*)"
)
MANAGERS = ("/etc/ufw/", "/etc/firewalld/")
MAINS = {
    "nginx.conf": "/etc/nginx/nginx.conf",
    "main.cf": "/etc/postfix/main.cf",
    "master.cf": "/etc/postfix/master.cf",
    "dovecot.conf": "/etc/dovecot/dovecot.conf",
    "haproxy.cfg": "/etc/haproxy/haproxy.cfg",
    "Caddyfile": "/etc/caddy/Caddyfile",
}
# Where a distribution's main file includes from, and which names.
INCLUDED = {
    "nginx": ("conf.d/*.conf", "http.d/*.conf", "vhosts.d/*.conf", "sites-enabled/*"),
    "dovecot": ("conf.d/*.conf",),
}
BESIDE = ("conf.d", "http.d", "vhosts.d", "sites-enabled", "sites-available", "snippets")
OF_RULESETS = ("iptables", "nftables", "nftables.d", "firewall")
# What may be configuration in a directory; a README may quote some.
SUFFIXES = (
    "",
    ".conf",
    ".cf",
    ".nft",
    ".rules",
    ".v4",
    ".v6",
    ".json",
    ".ipset",
    ".vhost",
    ".site",
)
_INCLUDE = {
    "nginx": re.compile(r"^[ \t]*include[ \t]+[\"']?([^;\"'\n]{1,400})[\"']?[ \t]*;", re.M),
    "dovecot": re.compile(r"^[ \t]*!include(?:_try)?[ \t]+(\S{1,400})", re.M),
    "nft": re.compile(r'^[ \t]*include[ \t]+"([^"\n]{1,400})"', re.M),
}
_DIRECTORY = {"nginx": "/etc/nginx", "dovecot": "/etc/dovecot", "nft": "/etc"}
_NFT = re.compile(
    r"^[ \t]*(table[ \t]+(inet|ip|ip6|netdev|bridge|arp)[ \t]|flush[ \t]+ruleset)", re.M
)
_RULESET = re.compile(
    r"^[ \t]*(\*(filter|nat|mangle|raw|security)[ \t]*$|-[APN][ \t]"
    r"|:[A-Za-z0-9_.-]+[ \t]+(ACCEPT|DROP|-)"
    r"|(-exist[ \t]+)?add[ \t]+(table|rule|chain|element)[ \t]"
    r"|(-exist[ \t]+)?(create|add)[ \t]+\S+[ \t]+(hash|bitmap|list):"
    r"|\{[ \t]*\"nftables\"|Name:[ \t]|<(zone|policy|service|ipset|direct)[\s>])",
    re.M,
)
_BLOCK = re.compile(r"^[ \t]*(http|events|stream|mail)[ \t]*\{", re.M)
_EVENTS = re.compile(r"^[ \t]*events[ \t]*\{", re.M)
_SITE = re.compile(r"^[ \t]*server[ \t]*\{", re.M)
_LISTEN = re.compile(r"^[ \t]*listen[ \t]", re.M)
_MASTER = re.compile(r"^\S+[ \t]+(inet|unix|pass)[ \t]+[-yn][ \t]+[-yn][ \t]+[-yn][ \t]", re.M)
_POSTFIX = re.compile(r"^[ \t]*(smtpd_|myhostname|mydestination|inet_interfaces)\w*[ \t]*=", re.M)
_DOVECOT_MAIN = re.compile(r"^[ \t]*(dovecot_config_version[ \t]*=|!include[ \t]+conf\.d)", re.M)
_DOVECOT = re.compile(
    r"^[ \t]*(protocols[ \t]*=|inet_listener[ \t]|service[ \t]+\S+[ \t]*\{|ssl_(server_)?cert"
    r"(_file)?[ \t]*=|protocol[ \t]+\S+[ \t]*\{)",
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
        for name, to in MAINS.items()
        if os.path.isfile(real / name)
        and not (name == "nginx.conf" and _server_by_content(trees.head(real / name)) == "nginx")
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
        if place is not None and place == _DIRECTORY.get(server or ""):
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
            elif path.parent == directory and _server_by_content(text) == "nginx":
                _add_fragment(parts, "nginx", path, real, named=True)
        else:
            _add_file(parts, path, real, named=False)


def _files(parts: Parts, directory: Path, real: Path) -> Iterator[Path]:
    tree = Tree(real)
    below_it = [n for n in (*BESIDE, *OF_RULESETS) if n in tree.subdirectories("/")]
    for top in ("/", *(f"/{name}" for name in below_it)):
        if not tree.listable(top):
            parts.refuse(directory / top[1:], "cannot be read")
        names = [name for name in tree.names(top) if not name.startswith(".")]
        below = set(tree.subdirectories(top))
        for name in names[:MAX_FILES]:
            path = directory / top[1:] / name
            if name not in below and path.suffix in SUFFIXES and os.path.isfile(path):
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
    text = trees.head(real)
    named_so = MAINS.get(path.name)
    if named_so == MAINS["nginx.conf"] and _server_by_content(text) == "nginx":
        named_so = None  # a site, for a container's conf.d
    place = place_of(path) or named_so
    server = server_of(place)
    if place is None:
        place = _main_by_content(text)
        server = server_of(place) or _server_by_content(text)
    if (place is None and is_ruleset(text)) or (place and RULESETS.fullmatch(place)):
        if named or is_ruleset(text):
            parts.rulesets.append(real)
    elif server is None or place == MAINS[f"{server}.conf"]:
        if place is None:
            return False
        parts.mount(place, real)
        if server is not None:
            parts.beside.setdefault(_DIRECTORY[server], real.parent)
    elif named or _is_included(server, path, text):
        _add_fragment(parts, server, path, real, named=named)
    return True


def server_of(place: str | None) -> str | None:
    """Return the server of whose files a place is one, if they may be fragments."""
    for server in INCLUDED:
        if place is not None and f"{place}/".startswith(f"/etc/{server}/"):
            return server
    return None


def _main_by_content(text: str) -> str | None:
    if _is_nginx(text) and _EVENTS.search(text):
        return MAINS["nginx.conf"]
    if _MASTER.search(text):
        return MAINS["master.cf"]
    if _POSTFIX.search(text):
        return MAINS["main.cf"]
    if _DOVECOT_MAIN.search(text):
        return MAINS["dovecot.conf"]
    return None


def _is_nginx(text: str) -> bool:
    return _BLOCK.search(text) is not None and _NFT.search(text) is None


def _server_by_content(text: str) -> str | None:
    if _main_by_content(text) is not None:
        return None
    if _is_nginx(text) or (_SITE.search(text) and _LISTEN.search(text)):
        return "nginx"
    if _DOVECOT.search(text) and not _NFT.search(text):
        return "dovecot"
    return None


def is_ruleset(text: str) -> bool:
    """Tell whether a text looks like a ruleset of iptables, nftables or ipset."""
    return bool(_NFT.search(text) or _RULESET.search(text))


def _is_included(server: str, path: Path, text: str) -> bool:
    """Tell whether a file of a directory is one that its server's stock main file includes."""
    known = {posixpath.dirname(p): posixpath.basename(p) for p in INCLUDED[server]}
    pattern = known.get(path.parent.name)
    if pattern is not None:
        return fnmatch.fnmatchcase(path.name, pattern)
    return server != "nginx" or _SITE.search(text) is not None or _is_nginx(text)


def _add_fragment(
    parts: Parts, server: str, path: Path, real: Path, *, named: bool = False
) -> None:
    place = place_of(path)
    if place is None:
        above = path.parent.name if path.parent.name in BESIDE else "given"
        place = f"{_DIRECTORY[server]}/{above}/{path.name}"
        if parts.mounts.get(place, real) != real:
            place = f"{_DIRECTORY[server]}/{above}/{slug(path)}"
    parts.fragments.setdefault(server, []).append((place, real))
    if named:
        parts.asked[place] = real


def slug(path: Path) -> str:
    """Return a name for a file that no other has, and that every server takes in an include."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", str(path).strip("/"))


def _patterns(server: str, text: str) -> list[str]:
    """Return what a text includes, relative to the server's directory; others are left out."""
    found = []
    for match in _INCLUDE[server].finditer(text):
        pattern = posixpath.normpath(posixpath.join(_DIRECTORY[server], match[1].strip()))
        if pattern.startswith(f"{_DIRECTORY[server]}/"):
            found.append(pattern[len(_DIRECTORY[server]) + 1 :])
    return found


# -- joining --------------------------------------------------------------------------------------


def join(parts: Parts, tree: Tree) -> list[str]:
    """Lay the parts over a tree, and return the places of the rulesets that are to be read."""
    for server, fragments in parts.fragments.items():
        _join_fragments(parts, server, fragments, tree)
    for place, real in parts.beside.items():
        if place not in parts.mounts:
            tree.mount(place, real, partial=True)
    for place, real in parts.mounts.items():
        above = parts.mounts.get(posixpath.dirname(place))
        if above is None or above / posixpath.basename(place) != real:
            tree.mount(place, real)
    for directory in parts.whole:
        tree.vouch(directory)
    return _join_rulesets(parts, tree)


def _join_fragments(
    parts: Parts, server: str, fragments: Sequence[tuple[str, Path]], tree: Tree
) -> None:
    """Lay a server's fragments where its main file includes them; make one where there is none."""
    main = MAINS[f"{server}.conf"]
    real = parts.mounts.get(main)
    if real is None and _DIRECTORY[server] in parts.mounts:
        real = parts.mounts[_DIRECTORY[server]] / posixpath.basename(main)
        real = real if os.path.isfile(real) else None
    if real is None and tree.status(main) is not Status.ABSENT:
        return  # a root has it
    patterns = [] if real is None else _patterns(server, trees.head(real))
    for place, file in fragments:
        if real is None:
            parts.mount(place, file)
            continue
        found = _included_as(_DIRECTORY[server], patterns, place)
        if found is not None and found != place:
            parts.whole.add(posixpath.dirname(found))
        parts.mounts[found or place] = file
        if found is None and place in parts.asked and not _is_mentioned(parts, place):
            name = display(real)
            parts.refuse(
                file, f"is not included by any file that was given; {name} is its main file"
            )
    if real is None:
        texts = (trees.head(file) for _, file in fragments)
        make_main(parts, tree, server, [place for place, _ in fragments], texts)


def _included_as(directory: str, patterns: Sequence[str], place: str) -> str | None:
    """Return the place at which one of the patterns includes a file, None if none does."""
    relative = place.removeprefix(f"{directory}/")
    if any(fnmatch.fnmatchcase(relative, pattern) for pattern in patterns):
        return place
    name = posixpath.basename(place)
    fitting = [
        parent
        for parent, last in map(posixpath.split, patterns)
        if fnmatch.fnmatchcase(name, last)
        and not any(char in parent for char in "*?[{")
        and not parent.startswith("modules")
    ]
    same = [
        p for p in fitting if posixpath.basename(p) == posixpath.basename(posixpath.dirname(place))
    ]
    return posixpath.join(directory, (same or fitting)[0], name) if fitting else None


def _is_mentioned(parts: Parts, place: str) -> bool:
    """Tell whether another file that was given names a file, as a site does a snippet."""
    name = posixpath.basename(place)
    files = (real for some in parts.fragments.values() for other, real in some if other != place)
    return any(name in trees.head(real) for real in files)


def make_main(
    parts: Parts, tree: Tree, server: str, places: Sequence[str], texts: Iterable[str]
) -> None:
    """Lay a main file over a tree that includes some files, whose texts are given."""
    main = MAINS[f"{server}.conf"]
    known = list(texts)
    make = _nginx_main if server == "nginx" else _dovecot_main
    text = make(places, known)
    tree.give(main, main.lstrip("/"), text.encode("utf-8", "surrogateescape"))
    block = "its http block" if server == "nginx" else "it"
    name = posixpath.basename(main)
    parts.assumed.append(f"{name} is missing; {block} includes the files that were given")


def _nginx_main(places: Sequence[str], texts: Sequence[str]) -> str:
    """Return an nginx.conf that includes its parts; what else the host's says is not known."""
    blocks: dict[str, str] = {"": "events {}\n", "http": "", "stream": ""}
    for place, text in zip(places, texts, strict=True):
        above = posixpath.basename(posixpath.dirname(place))
        block = "" if _is_nginx(text) else "stream" if "stream" in above else "http"
        blocks[block] += f"include {_quoted(place)};\n"
    own = any(re.search(r"^[ \t]*http[ \t]*\{", text, re.M) for text in texts)  # a block of its own
    blocks["" if own else "http"] += 'include "/elsewhere/the rest of nginx.conf";\n'
    return "".join(
        f"{name} {{\n{lines}}}\n" if name else lines for name, lines in blocks.items() if lines
    )


def _dovecot_main(places: Sequence[str], texts: Sequence[str]) -> str:
    """Return a dovecot.conf that includes its parts.

    The protocols are those whose packages have files there; the certificate may be in the rest.
    """
    named = re.findall(r"/\d\d-(imap|pop3|lmtp|submission|managesieve)\.conf", " ".join(places))
    protocols = " ".join(name.replace("managesieve", "sieve") for name in dict.fromkeys(named))
    lines = [f"protocols = {protocols}"] if protocols else []
    if any("ssl_server_cert_file" in text for text in texts):
        version = "2.4.0"
        lines = [f"dovecot_{what}_version = {version}" for what in ("config", "storage")] + lines
    lines += [f"!include {place}" for place in places]
    if not any(re.search(r"^[ \t]*ssl_(server_)?cert", text, re.M) for text in texts):
        lines.append("!include /elsewhere/the-rest-of-dovecot.conf")
    return "\n".join(lines) + "\n"


def _quoted(place: str) -> str:
    return (
        place
        if re.fullmatch(r"[\w./-]+", place)
        else '"' + re.sub(r'(["\\])', r"\\\1", place) + '"'
    )


def _join_rulesets(parts: Parts, tree: Tree) -> list[str]:
    """Lay the rulesets over a tree; one that another includes is not read twice."""
    texts = {
        real: trees.head(real) for real in dict.fromkeys(parts.rulesets) if not os.path.isdir(real)
    }
    patterns = {
        real: _patterns("nft", text)
        for real, text in texts.items()
        if _NFT.search(text) or "include" in text
    }
    places = []
    ordered = sorted(dict.fromkeys(parts.rulesets), key=lambda r: not _NFT.search(texts.get(r, "")))
    for index, real in enumerate(ordered):
        own = place_of(real) or f"/etc/given/{real.name}"
        included = next(
            (
                at
                for other, some in patterns.items()
                if other != real and (at := _included_as("/etc", some, own)) is not None
            ),
            None,
        )
        if included is not None:
            tree.mount(included, real)
            continue
        place = f"/given/boot/{index}/{real.name}"
        tree.mount(place, real)
        places.append(place)
    return places


# -- what the configuration names -----------------------------------------------------------------


def serve(tree: Tree, server: str, real: Path, confine: Callable[[str], Path]) -> list[str]:
    """Lay the files of one server over a tree: its main file, or a directory of its files.

    Return what is assumed; what holds nothing is a problem of the tree.
    """
    parts = Parts()
    mains = [place for place in MAINS.values() if place.startswith(f"/etc/{server}/")]
    if not os.path.isdir(real) and _server_by_content(trees.head(real)) == server:
        _add_fragment(parts, server, real, real)
    elif not os.path.isdir(real):
        parts.mount(mains[0], real)
        parts.beside[f"/etc/{server}"] = real.parent
    elif server not in INCLUDED or any(is_there(real / Path(main).name) for main in mains):
        parts.mount(f"/etc/{server}", real)
        if not any(is_there(real / Path(main).name) for main in mains):
            parts.refuse(real, f"does not hold {' or '.join(Path(main).name for main in mains)}")
    else:
        found = Parts()
        add_files(found, real, confine)
        parts.problems = found.problems
        fragments = found.fragments.get(server, [])
        parts.fragments = {server: fragments} if fragments else {}
        if not fragments and not parts.problems:
            name = Path(mains[0]).name
            parts.mount(f"/etc/{server}", real)
            parts.refuse(real, f"holds neither {name} nor files that it would include")
    join(parts, tree)
    tree.problems += parts.problems
    return parts.assumed


# -- a directory without its main file ------------------------------------------------------------


def complete(tree: Tree) -> list[str]:
    """Make the main file of a server of which a tree has only what it includes.

    Return what is assumed. On the machine itself, and in a whole /etc, what is not there is not.
    """
    from sslint.network.whole import is_whole_etc

    probe = tree.with_overlay({})
    parts = Parts()
    for server, patterns in INCLUDED.items():
        directory = _DIRECTORY[server]
        main = MAINS[f"{server}.conf"]
        if (
            probe.status(main) is not Status.ABSENT
            or probe.status(directory) is not Status.DIRECTORY
        ):
            continue
        if tree.live or is_whole_etc(probe) or any(probe.exists(e) for e in ELSEWHERE[server]):
            continue
        places = [f"{directory}/{p}" for p in patterns if probe.glob(f"{directory}/{p}")]
        if server == "nginx" and not any("sites-enabled" in place for place in places):
            from sslint.servers.nginx import available

            places += [f"{directory}/sites-available/{name}" for name in available.sites(probe)]
        if server == "nginx":
            places += [p for p in probe.glob(f"{directory}/*") if _is_site(probe, p)]
        if places:
            texts = []
            for pattern in places:
                files = [probe.try_read(path, decisive=False) for path in probe.glob(pattern)]
                texts.append("\n".join(file.text for file in files if file is not None))
            make_main(parts, tree, server, places, texts)
    return parts.assumed


ELSEWHERE = {
    "nginx": (
        "/usr/local/nginx/conf/nginx.conf",
        "/usr/local/etc/nginx/nginx.conf",
        "/usr/local/openresty/nginx/conf/nginx.conf",
        "/opt/nginx/conf/nginx.conf",
    ),
    "dovecot": ("/usr/local/etc/dovecot/dovecot.conf",),
}


def _is_site(tree: Tree, path: str) -> bool:
    if tree.status(path) is not Status.FILE:
        return False
    file = tree.try_read(path, decisive=False)
    return file is not None and _server_by_content(file.text[:65536]) == "nginx"
