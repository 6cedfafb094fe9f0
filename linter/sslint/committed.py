"""Copies of a host's files in a repository: since when they are there, and who deploys them."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from sslint import revisions
from sslint.errors import UsageError
from sslint.regex import regex
from sslint.tree import Tree, head, work_tree

MAX_FILES = 400  # that may deploy others, and are looked into
MAX_DIRECTORIES = 5_000
_DEPLOYING = regex(r"(Docker|Container)file|\.(ya?ml|service)$", re.I)
# COPY and ADD from the context to an image; what Ansible copies, a volume, what a unit starts.
_COPIED = regex(r"^[ \t]*(?:COPY|ADD)[ \t](?!.*--from=)(.+)$", re.M | re.I)
_NAMED = regex(
    r"""\b(?:src|source)[ \t]*[:=](.+)|^[ \t]*-[ \t]*["']?([^\s:"']+):/|^Exec\w+[ \t]*=(.+)""", re.M
)
_WORD = regex(r"""[^\s"'\[\],]+""")


def committed(place: str, data: bytes) -> tuple[str, bool] | None:
    """Return the day of the commit that brought a file of this machine; None if HEAD lacks it.

    And whether the history goes so far: of a shallow one it is the day of the oldest commit.
    """
    top = work_tree(Path(place).parent)
    path = os.path.relpath(place, top)
    try:
        revision = revisions.open_revision(top, "HEAD")
        if revision.read(path, len(data)) != data:
            return None
        when, whole = revisions.last_changed(revision, path)
    except UsageError:  # no work tree, no commit, no git
        return None
    return when.date().isoformat(), whole


def is_deployed(place: str) -> bool:
    """Tell whether an image, playbook or unit of a file's repository names it or its directory."""
    top = work_tree(Path(place).parent)
    path = Path(place).relative_to(top)
    wanted = {path.as_posix(), *map(Path.as_posix, path.parents)} - {"."}
    for name in islice(_deploying(Tree(top)), MAX_FILES):
        own = posixpath.dirname(name)
        starts = ("", own, f"{own}/files", f"{own}/../files")
        for word in _sources(head(top / name)):
            if any(posixpath.normpath(posixpath.join(start, word)) in wanted for start in starts):
                return True
    return False


def _sources(text: str) -> Iterator[str]:
    """Yield the files and directories that a text has copied or mounted, perhaps with others."""
    for found in _COPIED.finditer(text):
        yield from _WORD.findall(found[1])[:-1]
    for found in _NAMED.finditer(text):
        yield from _WORD.findall("".join(filter(None, found.groups())))


def _deploying(tree: Tree) -> Iterator[str]:
    """Yield the files of a repository that may deploy others, by their path from its top."""
    pending = ["/"]
    for _ in range(MAX_DIRECTORIES):
        if not pending:
            break
        directory = pending.pop()
        below = tree.subdirectories(directory)
        pending += [posixpath.join(directory, name) for name in below if name != ".git"]
        names = set(tree.names(directory)) - set(below)
        yield from (
            posixpath.join(directory, name)[1:] for name in sorted(names) if _DEPLOYING.search(name)
        )
    tree.close()
