"""tlsd.conf: `listen [ADDRESS:]PORT [tls]` and `certificate FILE KEY`."""

from __future__ import annotations

from collections.abc import Iterator

from sslint.servers.tlsd import MAIN

from sslint.servers.listening import (
    Listener,
    collect,
    lines,
    not_known,
    number,
    split_address,
    words,
)
from sslint.servers.model import CertificateRef, Knows, ServerReading
from sslint.source import SourceFile
from sslint.tree import Tree
from sslint.values import replace


def read(tree: Tree, *, version: tuple[int, ...] | None = None) -> ServerReading | None:
    """Read tlsd's configuration; None if the tree has none."""
    file = tree.try_read(MAIN)
    found = _listeners(file) if file is not None else ()
    reading = collect(tree, "tlsd", found, mains=(MAIN,), knows=Knows(sites=False))
    if reading is None or file is None:
        return reading
    reading.version = version
    served = tuple(_certificates(file))
    reading.endpoints = [
        replace(one, certificates=served) if one.tls == "implicit" else one
        for one in reading.endpoints
    ]
    return reading


def _listeners(file: SourceFile) -> Iterator[Listener]:
    for index, text in lines(file):
        parts = words(text)
        if parts[:1] != ["listen"] or len(parts) < 2:
            continue
        host, port_text = split_address(parts[1])
        port = number(port_text)
        if port is None:
            yield not_known("tlsd", file.at(index), text)
            continue
        secure = "tls" in parts[2:]
        yield Listener(
            "tlsd",
            "https" if secure else "http",
            port,
            file.at(index),
            host=host,
            tls="implicit" if secure else "none",
        )


def _certificates(file: SourceFile) -> Iterator[CertificateRef]:
    for index, text in lines(file):
        parts = words(text)
        if parts[:1] == ["certificate"] and len(parts) > 2:
            place = file.at(index)
            yield CertificateRef(parts[1], parts[2], place, place)
