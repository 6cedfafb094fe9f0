"""What is published for clients: zone files, autoconfig, autodiscover, mobileconfig, MTA-STS."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator

from sslint.announcements.model import Announced
from sslint.budgets import ExhaustedError
from sslint.reasons import Code
from sslint.regex import regex
from sslint.source import SourceFile
from sslint.tree import Tree

__all__ = ["read"]

MAX_ZONES = 10_000
MAX_FILES = 1_000  # of one name server's configuration
_DOCUMENTS = (
    "mail/config-v1.1.xml",
    ".well-known/autoconfig/mail/config-v1.1.xml",
    "autodiscover/autodiscover.xml",
    "Autodiscover/Autodiscover.xml",
    ".well-known/mta-sts.txt",
)
_NAMED = ("/etc/bind/named.conf", "/etc/named.conf")
_NSD = ("/etc/nsd/nsd.conf", "/etc/knot/knot.conf")
_ZONE = regex(r"\bzone\s+\"?([^\s\";{]+)\"?\s*(?:IN\s*)?\{", re.I)
_FILE = regex(r"\bfile\s+\"([^\"]+)\"", re.I)
_INCLUDE = regex(r"^[ \t]*include\s+\"([^\"\n]+)\"", re.M)
_NSD_INCLUDE = regex(r"^[ \t]*(?:-[ \t]*)?include:[ \t]*\"?([^\s\"#]+)", re.M)
_HASH = regex(r"(\"[^\"\n]*\")|#[^\n]*")
# Strings are kept: `zones/*.conf` begins no comment.
_COMMENT = regex(r"(\"[^\"\n]*\")|/\*.*?(?:\*/|\Z)|(?://|#)[^\n]*", re.S)
_DIRECTORY = regex(r"^[ \t]*directory\s+\"([^\"]+)\"", re.M)


def read(tree: Tree, given: Iterable[str] = (), roots: Iterable[str] = ()) -> Announced:
    """Return what is published for clients in the files named and in those at well-known places.

    `roots` are directories that a web server of this host serves.
    """
    announced = Announced()
    seen: set[str] = set()
    for path in given:
        if path in seen:
            continue
        seen.add(path)
        # Somebody named it: an answer without it is not the one that was asked for.
        file = tree.try_read(path)
        if file is not None and not _one(tree, file, announced):
            tree.problem(
                file,
                "is not a server configuration, ruleset, zone file or client document",
                code=Code.UNUSABLE,
            )
    for path, origin in _zones(tree):
        if path not in seen:
            seen.add(path)
            file = tree.try_read(path, decisive=False)
            if file is not None:
                _zone(tree, file, announced, origin)
    there = list(tree.existing(roots))  # thousands of sites, and none is
    for path in sorted({posixpath.join(root, name) for root in there for name in _DOCUMENTS}):
        if path not in seen and tree.exists(path):
            seen.add(path)
            file = tree.try_read(path, decisive=False)
            if file is not None:
                _one(tree, file, announced)
    return announced


def _one(tree: Tree, file: SourceFile, into: Announced) -> bool:
    from sslint.announcements import documents, zones

    if documents.read(tree, file, into, _domain(file.path)):
        return True
    if zones.looks_like_zone(file.text):
        zones.read(tree, file, into)
        return True
    return False


def _zone(tree: Tree, file: SourceFile, into: Announced, origin: str) -> None:
    from sslint.announcements import zones

    zones.read(tree, file, into, origin)


def _domain(path: str) -> str:
    """Return the domain that a document's place names: .../mta-sts.example.org/..."""
    for part in reversed(path.split("/")[:-1]):
        for prefix in ("mta-sts.", "autoconfig.", "autodiscover."):
            if part.startswith(prefix):
                return part.removeprefix(prefix)
    return ""


def _zones(tree: Tree) -> Iterator[tuple[str, str]]:
    """Yield (path, origin) of the zone files that BIND, NSD or Knot load."""
    for entry in _NAMED:
        texts = list(_included(tree, entry, _INCLUDE, _COMMENT))
        directories = [d for text in texts for d in _DIRECTORY.findall(text)]
        base = directories[0] if directories else "/var/cache/bind"
        for text in texts:
            looked_at = 0
            for match in list(_ZONE.finditer(text))[:MAX_ZONES]:
                origin, body = match.group(1), _block(text, match.end())
                looked_at += len(body)
                if looked_at > 4 * len(text) + 65536:  # each in the one before
                    raise ExhaustedError("zones are nested too deeply")
                name = _FILE.search(body)
                kind = re.search(r"\btype\s+(\w+)", body)
                if name and (kind is None or kind.group(1) in ("master", "primary")):
                    yield posixpath.join(base, name.group(1)), origin
    for entry in _NSD:
        base = "/etc/nsd" if "nsd" in entry else "/var/lib/knot"
        yield from _nsd("\n".join(_included(tree, entry, _NSD_INCLUDE, _HASH)), base)


def _block(text: str, start: int) -> str:
    """Return what stands up to the brace that closes the one before `start`."""
    depth = 1
    for match in re.finditer(r"[{}]", text[start : start + 65536]):
        depth += 1 if match.group() == "{" else -1
        if not depth:
            return text[start : start + match.start()]
    return text[start : start + 65536]


def _included(
    tree: Tree, entry: str, include: re.Pattern[str], comment: re.Pattern[str]
) -> Iterator[str]:
    """Yield a configuration's text, without comments, and what it includes; names may be patterns.

    Of one name server at most MAX_FILES are looked at.
    """
    pending = [entry]
    known = {entry}
    while pending:
        file = tree.try_read(pending.pop(), decisive=False)
        if file is None:
            continue
        text = comment.sub(r"\1", file.text)
        yield text
        for name in include.findall(text):
            wanted = posixpath.join(posixpath.dirname(entry), name)
            if wanted in known or len(known) >= MAX_FILES:
                continue
            known.add(wanted)
            for path in tree.glob(wanted) if re.search(r"[*?\[]", wanted) else [wanted]:
                if path == wanted or (path not in known and len(known) < MAX_FILES):
                    known.add(path)
                    pending.append(path)


def _nsd(text: str, base: str) -> Iterator[tuple[str, str]]:
    origin = ""
    for line in text.splitlines():
        key, separator, value = line.split("#", 1)[0].partition(":")
        key, value = key.strip().lstrip("- "), value.strip().strip('"')
        if not separator:
            continue
        if key in ("zonesdir", "storage"):
            base = value
        elif key in ("name", "domain"):
            origin = value
        elif key in ("zonefile", "file") and origin:
            yield posixpath.join(base, value.replace("%s", origin)), origin
            origin = ""
