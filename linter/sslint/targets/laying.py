"""Parts of one host laid over a tree, where its servers' main files include them.

What no file that is given includes is included by a main file that sslint makes, and says so.
"""

from __future__ import annotations

import fnmatch
import os
import posixpath
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sslint import servers
from sslint import tree as trees
from sslint.firewalls.marks import NFT
from sslint.regex import regex
from sslint.targets.parts import Parts, add_files, add_fragment, part_of, place_of
from sslint.tree import Status, Tree
from sslint.yamlfile import display

if TYPE_CHECKING:
    from sslint.servers.interface import Server

_INCLUDE = regex(r'^[ \t]*include[ \t]+"([^"\n]{1,400})"', re.M)  # of nft


def join(parts: Parts, tree: Tree) -> list[str]:
    """Lay the parts over a tree, and return the places of the rulesets that are to be read."""
    for server in servers.servers():
        if server.name in parts.fragments:
            _join_fragments(parts, server, parts.fragments[server.name], tree)
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
    parts: Parts, server: Server, fragments: Sequence[tuple[str, Path]], tree: Tree
) -> None:
    """Lay a server's fragments where its main file includes them; make one where there is none."""
    main = server.entries[0]
    real = parts.mounts.get(main)
    if real is None and server.directory in parts.mounts:
        real = parts.mounts[server.directory] / posixpath.basename(main)
        real = real if os.path.isfile(real) else None
    if real is None and tree.status(main) is not Status.ABSENT:
        return  # a root has it
    patterns = [] if real is None else _patterns(server, trees.head(real))
    for place, file in fragments:
        if real is None:
            parts.mount(place, file)
            continue
        found = _included_as(server.directory, patterns, place)
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
    parts: Parts, tree: Tree, server: Server, places: Sequence[str], texts: Iterable[str]
) -> None:
    """Lay a main file over a tree that includes some files, whose texts are given."""
    assert server.including is not None
    including, main = server.including(), server.entries[0]
    text = including.main(places, list(texts))
    tree.give(main, main.lstrip("/"), text.encode("utf-8", "surrogateescape"))
    tree.supposed.add(main)
    name, holder = posixpath.basename(main), including.HOLDER
    parts.assumed.append(f"{name} is missing; {holder} includes the files that were given")


def _patterns(server: Server, text: str) -> list[str]:
    """Return what a main file includes, relative to the server's directory; no others."""
    assert server.including is not None
    return _relative(server.directory, server.including().includes(text))


def _relative(directory: str, included: Iterable[str]) -> list[str]:
    paths = (posixpath.normpath(posixpath.join(directory, text.strip())) for text in included)
    return [path[len(directory) + 1 :] for path in paths if path.startswith(f"{directory}/")]


def _join_rulesets(parts: Parts, tree: Tree) -> list[str]:
    """Lay the rulesets over a tree; one that another includes is not read twice."""
    texts = {
        real: trees.head(real) for real in dict.fromkeys(parts.rulesets) if not os.path.isdir(real)
    }
    patterns = {
        real: _relative("/etc", _INCLUDE.findall(text))
        for real, text in texts.items()
        if NFT.search(text) or "include" in text
    }
    places = []
    ordered = sorted(dict.fromkeys(parts.rulesets), key=lambda r: not NFT.search(texts.get(r, "")))
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


def serve(tree: Tree, server: Server, real: Path, confine: Callable[[str], Path]) -> list[str]:
    """Lay the files of one server over a tree: its main file, or a directory of its files.

    Return what is assumed; what holds nothing is a problem of the tree.
    """
    parts = Parts()
    names = [posixpath.basename(place) for place in server.mains]
    holds_main = any(trees.is_there(real / name) for name in names)
    if not os.path.isdir(real):
        _serve_file(parts, server, real)
    elif server.including is None or holds_main:
        parts.mount(server.directory, real)
        if not holds_main:
            parts.refuse(real, f"does not hold {' or '.join(names)}")
    else:
        found = Parts()
        add_files(found, real, confine)
        parts.problems = found.problems
        fragments = found.fragments.get(server.name, [])
        parts.fragments = {server.name: fragments} if fragments else {}
        if not fragments and not parts.problems:
            parts.mount(server.directory, real)
            parts.refuse(real, f"holds neither {names[0]} nor files that it would include")
    join(parts, tree)
    tree.problems += parts.problems
    return parts.assumed


def _serve_file(parts: Parts, server: Server, real: Path) -> None:
    part = part_of(trees.head(real))
    if part is server:
        add_fragment(parts, server, real, real)
    else:
        parts.mount(server.entries[0], real)
        parts.beside[server.directory] = real.parent


# -- a directory without its main file ------------------------------------------------------------


def complete(tree: Tree) -> list[str]:
    """Make the main file of a server of which a tree has only what it includes.

    Return what is assumed. On the machine itself, and in a whole /etc, what is not there is not.
    """
    from sslint.network.whole import is_whole_etc

    probe = tree.with_overlay({})
    parts = Parts()
    for server in servers.servers():
        if server.including is None or not server.lacks_main(probe):
            continue
        if tree.live or is_whole_etc(probe) or any(map(probe.exists, server.entries[1:])):
            continue
        patterns = [f"{server.directory}/{pattern}" for pattern in server.included]
        places = [pattern for pattern in patterns if probe.glob(pattern)]
        places += server.including().further(probe, places)
        if places:
            texts = []
            for pattern in places:
                files = [probe.try_read(path, decisive=False) for path in probe.glob(pattern)]
                texts.append("\n".join(file.text for file in files if file is not None))
            make_main(parts, tree, server, places, texts)
    return parts.assumed
