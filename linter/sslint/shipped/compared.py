"""A host read as several releases complete it: what they do not agree on is not certain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sslint.servers.model import Endpoint, ServerReading
from sslint.tree import Tree
from sslint.values import replace


def compare(
    mine: list[ServerReading], theirs: Iterable[ServerReading], releases: Iterable[str]
) -> None:
    """Make what the servers of another release do not open uncertain, TLS that differs unknown."""
    reason = f"{title(releases)} differ in it, and the files do not say which this host runs"
    others = {reading.server: reading for reading in theirs}
    for reading in mine:
        other = others.pop(reading.server, None)
        theirs_here = other.endpoints if other is not None else []
        reading.endpoints = _agreed(reading.endpoints, theirs_here, reason)
    for other in others.values():
        other.endpoints = _agreed([], other.endpoints, reason)
        mine.append(other)


def _agreed(mine: Sequence[Endpoint], theirs: Sequence[Endpoint], reason: str) -> list[Endpoint]:
    def doubted(endpoint: Endpoint) -> Endpoint:
        return replace(endpoint, certain=False, reasons=(*endpoint.reasons, reason))

    known = {_key(endpoint) for endpoint in mine}
    others = {_key(endpoint): endpoint for endpoint in theirs}
    found = []
    for endpoint in mine:
        twin = others.get(_key(endpoint))
        if twin is None:
            endpoint = doubted(endpoint)
        elif twin.tls != endpoint.tls:
            endpoint = doubted(replace(endpoint, tls="unknown", tls_required=None))
        found.append(endpoint)
    return found + [doubted(endpoint) for key, endpoint in others.items() if key not in known]


def _key(endpoint: Endpoint) -> tuple[str, str, int]:
    return endpoint.transport, endpoint.address, endpoint.port


def forget_dormant(tree: Tree, files: Mapping[str, str], readings: Sequence[ServerReading]) -> None:
    """Forget what is not opened in the files that were laid: the operator did not leave it out."""
    theirs = {file.name for file in tree.files() if file.path in files}
    for reading in readings:
        reading.dormant = [one for one in reading.dormant if one.location.path not in theirs]


def title(releases: Iterable[str]) -> str:
    """Return what reports call releases: "Debian 13", "Debian 12 and 13"."""
    return "Debian " + " and ".join(sorted(each.partition("/")[2] for each in releases))
