"""Containers that systemd starts: Podman's quadlets, and `docker run` or `podman run` in a unit."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from sslint.firewalls.docker import Publication
from sslint.inifile import sections
from sslint.regex import regex
from sslint.servers.listening import Listener, files
from sslint.servers.programs.publishing import NAMES, UNSET, may_be_tls, published
from sslint.source import Location
from sslint.tree import Status, Tree

if TYPE_CHECKING:
    from sslint.network.units import Units

_UNITS = "/etc/systemd/system"
_QUADLETS = "/etc/containers/systemd"
_ENGINE = regex(r"(?:/\S*/)?(docker|podman)")
_COMPOSE = regex(
    r"(?:/\S*/)?(?:docker-compose|podman-compose|(?:docker|podman)\s+compose)\s.*\bup\b"
)
# What systemd and a shell would set, systemd.unit(5), SPECIFIERS.
_SET_LATER = regex(r"\$\{?\w+\}?|%\w")


def container_units(tree: Tree) -> Iterator[Publication | Listener]:
    """Yield the ports that such containers publish; a listener stands for what is not known."""
    from sslint.network.units import Units

    units = Units(tree)
    for directory in (_QUADLETS, *(f"{_QUADLETS}/{n}" for n in tree.subdirectories(_QUADLETS))):
        for name in tree.names(directory):
            if name.endswith((".container", ".pod")):
                yield from _quadlet(tree, posixpath.join(directory, name))
    for name in tree.names(_UNITS):
        own = name.endswith(".service") and tree.status(f"{_UNITS}/{name}") is Status.FILE
        if own and units.state(name) not in ("disabled", "masked"):
            yield from _service(units, name)


def _quadlet(tree: Tree, path: str) -> Iterator[Publication | Listener]:
    """podman-systemd.unit(5); drop-ins come after the file itself."""
    service = posixpath.basename(path)
    for file in files(tree, path, f"{path}.d/*.conf"):
        for entry in (e for s in sections(file.text, systemd=True) for e in s.entries):
            key, value, place = entry.key, entry.value, file.at(entry.line)
            if key == "PublishPort":
                yield from _published("podman", value, service, place)
            elif key in ("Network", "PodmanArgs") and re.search(r"(^|[\s=])host$", value):
                yield _of_the_host("podman", place)


def _service(units: Units, name: str) -> Iterator[Publication | Listener]:
    for command in units.commands(name) or ():
        words = list(command.words)
        engine = _ENGINE.fullmatch(words[0]) if words else None
        if engine is not None and "run" in words[1:4]:
            yield from _run(engine.group(1), words, name, command.location)
        elif words and _COMPOSE.match(" ".join(words)) and not _is_read(units, name, words):
            yield _of_the_host(
                "docker", command.location, "is of a compose file that is not in the files"
            )


def _is_read(units: Units, name: str, words: Sequence[str]) -> bool:
    """Tell whether the compose file that a unit starts is where it is read."""
    named = [value for flag, value in pairwise(words) if flag in ("-f", "--file")]
    directories = units.commands(name, "WorkingDirectory") or ()
    directory = directories[-1].words[0] if directories and directories[-1].words else "/"
    paths = [posixpath.join(directory, path) for path in named or NAMES]
    return any(map(units.tree.exists, paths))


def _run(
    engine: str, words: Sequence[str], service: str, where: Location
) -> Iterator[Publication | Listener]:
    """docker-run(1): what `-p` and `--publish` publish, and the network of the host."""
    joined = [
        part for word in words for part in (word.split("=", 1) if word[:2] == "--" else [word])
    ]
    for flag, value in pairwise(joined):
        if flag in ("-p", "--publish"):
            yield from _published(engine, value, service, where)
        elif flag in ("--net", "--network") and value == "host":
            yield _of_the_host(engine, where)
    yield from (
        item
        for word in words
        if re.fullmatch(r"-p[\d\[].*", word)
        for item in _published(engine, word[2:], service, where)
    )
    if any(word in ("-P", "--publish-all") for word in words):
        yield _of_the_host(engine, where, "publishes every port of its image")


def _published(
    engine: str, text: str, service: str, where: Location
) -> Iterator[Publication | Listener]:
    text = _SET_LATER.sub(UNSET, text)
    reason = "" if engine == "docker" else "Podman publishes it"
    for one in published(text, service, where, "docker0", reason):
        yield one
        if one.floating and may_be_tls(text):
            yield _of_the_host("docker", where, where.text[:80].strip())


def _of_the_host(
    engine: str, where: Location, what: str = "uses the network of the host"
) -> Listener:
    reason = f"{where.path}:{where.line}: a container of {engine.capitalize()} {what}"
    return Listener("docker", "container", 0, where, certain=False, reasons=(reason,))
