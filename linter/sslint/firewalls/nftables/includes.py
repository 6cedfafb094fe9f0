"""Which files an include statement of nft names, and what is known of them."""

from __future__ import annotations

import posixpath

from sslint.firewalls.errors import RulesetError, UnreadError
from sslint.network.whole import is_whole_etc, lacks
from sslint.reasons import Code
from sslint.source import Location, SourceFile
from sslint.tree import Status, Tree, TreeError

INCLUDE_PATH = "/etc"


def included(tree: Tree, main: str, pattern: str, location: Location) -> list[SourceFile]:
    """Return the files of a statement at a place, in a ruleset whose main file is `main`.

    Raise RulesetError where nft finds none, UnreadError where it may.
    """
    if pattern.startswith(("/", "./", "../")):
        candidates = [posixpath.join("/", pattern)]
    else:
        own = posixpath.dirname(main)
        candidates = [posixpath.join(place, pattern) for place in (own, INCLUDE_PATH)]
    wildcard = any(char in pattern for char in "*?[")
    for candidate in candidates:
        directory = posixpath.dirname(candidate)
        if wildcard and not tree.listable(directory):
            raise UnreadError(f"{directory} cannot be read", location, Code.UNREADABLE)
        paths = tree.glob(candidate, location=location) if wildcard else [candidate]
        found = [path for path in paths if _is_there(tree, path, wildcard)]
        files = [_read(tree, path, location) for path in found]
        if found:
            return [file for file in files if file is not None]
    if not wildcard:
        path = candidates[0]
        if all(lacks(tree, candidate) for candidate in candidates):
            raise RulesetError(f"File not found: {path}", location)
        raise UnreadError(f"{path} is not in the files", location, Code.NOT_GIVEN)
    directories = [posixpath.dirname(candidate) for candidate in candidates]
    if not any(tree.holds(directory) or is_whole_etc(tree) for directory in directories):
        raise UnreadError(f"{directories[0]} is not in the files", location, Code.NOT_GIVEN)
    return []


def _is_there(tree: Tree, path: str, wildcard: bool) -> bool:
    status = tree.status(path)
    return status is not Status.ABSENT or (wildcard and tree.link_target(path) is not None)


def _read(tree: Tree, path: str, location: Location) -> SourceFile | None:
    if tree.status(path) is Status.DIRECTORY:
        return None
    try:
        return tree.read(path)
    except TreeError as error:
        raise UnreadError(error.of(path), location, error.code) from None
