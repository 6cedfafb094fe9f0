"""What flags and settings name, put where a host's tree has it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from sslint import tree as trees
from sslint.errors import UsageError, did_you_mean
from sslint.targets.target import Given, Target
from sslint.tree import Tree, TreeError
from sslint.values import dataclass


@dataclass(frozen=True, slots=True)
class Stream:
    """What came by a pipe that the user names, or by standard input."""

    name: str
    data: bytes


def named(text: str, flag: str) -> Path | Stream:
    """Return what the user names with a flag: where it leads, or what came by a pipe.

    Raise UsageError.
    """
    if not text:
        raise UsageError(f"{flag}: name a file")
    try:
        if trees.is_stream(text):
            return Stream(text, trees.read_named(text))
        return trees.resolve(text)
    except TreeError as error:
        raise UsageError(f"{flag}: {text}: {error.reason}") from None
    except OSError as error:
        raise UsageError(f"{flag}: {text}: {error.strerror}") from None


def ruleset(text: str, flag: str = "--firewall") -> tuple[str | None, Path | Stream]:
    """Return the kind and the file of a `[KIND=]FILE`. Raise UsageError."""
    kind, name = kind_and_file(text)
    if kind is not None and kind not in firewall_kinds():
        raise UsageError(
            f"{flag}: unknown kind {kind}{did_you_mean(kind, firewall_kinds())}",
            tip=f"kinds: {', '.join(firewall_kinds())}; or none: this host filters nothing",
        )
    source = named(name, flag)
    if isinstance(source, Stream) and not source.data.strip():
        # What came to nothing is a command that failed more often than a host without a firewall.
        raise UsageError(
            f"{flag}: nothing was read from {name}",
            tip=f"use {flag} none if this host filters nothing",
        )
    return kind, source


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


def lay_rulesets(tree: Tree, rulesets: Iterable[tuple[str | None, Path | Stream]]) -> list[Given]:
    """Lay rulesets that the user names over a tree, and return the kind and place of each."""
    given: list[Given] = []
    for index, (kind, source) in enumerate(rulesets):
        name = "stdin" if isinstance(source, Stream) else source.name
        place = ruleset_place(name, index)
        lay(tree, place, source)
        given.append((kind, place))
    return given


def announce(target: Target, files: Iterable[Path | Stream]) -> None:
    """Give a host the files that are published for clients."""
    for source in files:
        # mta-sts.example.org/.well-known/mta-sts.txt: the place says the domain
        real = Path("/stdin") if isinstance(source, Stream) else source
        kept = "/".join(Path(os.path.abspath(real)).parts[1:][-5:])
        place = f"/given/announced/{len(target.announced)}/{kept}"
        lay(target.tree, place, source)
        target.announced = (*target.announced, place)
