"""What of nginx is known by its text: nginx.conf, a site, what includes what."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence

from sslint.firewalls.marks import NFT
from sslint.regex import regex
from sslint.tree import Status, Tree

DIRECTORY = "/etc/nginx"
MAIN = f"{DIRECTORY}/nginx.conf"
HOLDER = "its http block"
SITES = True
_BLOCK = regex(r"^[ \t]*(http|events|stream|mail)[ \t]*\{", re.M)
_EVENTS = regex(r"^[ \t]*events[ \t]*\{", re.M)
_HTTP = regex(r"^[ \t]*http[ \t]*\{", re.M)
_SITE = regex(r"^[ \t]*server[ \t]*\{", re.M)
_LISTEN = regex(r"^[ \t]*listen[ \t]", re.M)
_INCLUDE = regex(r"^[ \t]*include[ \t]+[\"']?([^;\"'\n]{1,400})[\"']?[ \t]*;", re.M)


def recognise(text: str) -> str | None:
    """Return the place of nginx.conf, its directory for a part of it, None for another text."""
    if _has_block(text):
        return MAIN if _EVENTS.search(text) else DIRECTORY
    return DIRECTORY if _SITE.search(text) and _LISTEN.search(text) else None


def is_main(text: str) -> bool:
    """Tell whether a file that is called nginx.conf is one: it may be a site of a container's."""
    return recognise(text) != DIRECTORY


def includes(text: str) -> list[str]:
    """Return what the `include` statements name."""
    return [match[1] for match in _INCLUDE.finditer(text)]


def belongs(text: str) -> bool:
    """Tell whether a file in a directory that is not known is a part of a configuration."""
    return _SITE.search(text) is not None or _has_block(text)


def further(tree: Tree, known: Sequence[str]) -> list[str]:
    """Return what a nginx.conf that is not there may include beside the usual places.

    Sites that are available where none is enabled, and those in the directory itself.
    """
    from sslint.servers.available import sites
    from sslint.servers.nginx.available import is_stock

    places = []
    if not any("sites-enabled" in place for place in known):
        places += [
            f"{DIRECTORY}/sites-available/{name}" for name in sites(tree, DIRECTORY, is_stock)
        ]
    return places + [path for path in tree.glob(f"{DIRECTORY}/*") if _is_part(tree, path)]


def main(places: Sequence[str], texts: Sequence[str]) -> str:
    """Return a nginx.conf that includes its parts; what else the host's says is not known."""
    blocks: dict[str, str] = {"": "events {}\n", "http": "", "stream": ""}
    for place, text in zip(places, texts, strict=True):
        above = posixpath.basename(posixpath.dirname(place))
        block = "" if _has_block(text) else "stream" if "stream" in above else "http"
        blocks[block] += f"include {_quoted(place)};\n"
    own = any(_HTTP.search(text) for text in texts)  # a block of its own
    blocks["" if own else "http"] += 'include "/elsewhere/the rest of nginx.conf";\n'
    return "".join(
        f"{name} {{\n{lines}}}\n" if name else lines for name, lines in blocks.items() if lines
    )


def _has_block(text: str) -> bool:
    return _BLOCK.search(text) is not None and NFT.search(text) is None


def _is_part(tree: Tree, path: str) -> bool:
    if tree.status(path) is not Status.FILE:
        return False
    file = tree.try_read(path, decisive=False)
    return file is not None and recognise(file.text[:65536]) == DIRECTORY


def _quoted(place: str) -> str:
    if re.fullmatch(r"[\w./-]+", place):
        return place
    return '"' + re.sub(r'(["\\])', r"\\\1", place) + '"'
