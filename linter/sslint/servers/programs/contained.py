"""Servers in containers: a compose file mounts their configuration and publishes their ports."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from sslint.regex import regex
from sslint.values import dataclass, replace

if TYPE_CHECKING:
    from sslint.firewalls.docker import Publication
    from sslint.source import Location

Transport = Literal["tcp", "udp"]
MAX_SHARING = 8  # containers with one mount, of which it is asked

_SHARED = {"/opt", "/usr/local", "/usr/local/etc"}
_NAMED = regex(r"(/opt|/usr/local)(/etc)?/(nginx|openresty|haproxy)/")


@dataclass(frozen=True, slots=True)
class Container:
    """A service of a compose file, with the files and directories that are mounted into it.

    `mounts` are names as in reports, each with its path in the container. `reason` says why it is
    not known what it publishes, or is "". `optional`: only whether its file is used is not known.
    """

    service: str
    location: Location  # of its `ports`, or where they would stand
    mounts: tuple[tuple[str, str], ...] = ()
    publications: tuple[Publication, ...] = ()
    reason: str = ""
    optional: bool = False
    known_as: tuple[tuple[str, str], ...] = ()
    """Directories and names of the service itself and of those that it extends."""
    others: tuple[Publication, ...] = ()
    """What is published by containers that may be this one, or run the same server."""
    around: tuple[Publication, ...] = ()
    """What all other containers publish."""

    def serves(self, ports: Collection[tuple[str, int]]) -> bool:
        """Tell whether it publishes one of a server's ports: the server runs there.

        What mounts a configuration and publishes none of its ports tests, saves or watches it.
        """
        return any(_leads(one, *port) for one in self.publications for port in ports)

    def outside(self, transport: Transport, port: int) -> list[tuple[str, int]] | None:
        """Return the host's addresses ("" for all) and ports that lead to a port of the container.

        None: it is not known.
        """
        if self.reason or not all(one.target for one in self.publications):
            return None
        meant = [one for one in self.publications if _leads(one, transport, port)]
        places = {one: (one.host, one.port + port - one.target) for one in meant}
        doubtful = [one for one in meant if one.floating or one.reason or one.unbound]
        found = list(dict.fromkeys(places[one] for one in meant if one not in doubtful))
        if any(one.floating or one.unbound or places[one] not in found for one in doubtful):
            return None
        if found:
            return found
        elsewhere = any(not one.target or _leads(one, transport, port) for one in self.others)
        in_front = any(one.transport == transport and port in one.ports for one in self.around)
        return None if elsewhere or in_front else []  # who is in front may pass its clients on

    @property
    def published(self) -> str:
        """What it publishes, in the words of a report."""
        shown = {}
        for one in self.publications:
            inside = _inside(one)
            if inside:
                last = f"-{inside[-1]}" if len(inside) > 1 else ""
                shown[f"{one.transport}/{inside[0]}{last}"] = 0
        return ", ".join(shown)


def _inside(one: Publication) -> range:
    """Return the ports of the container, none where they are not known."""
    return range(
        one.target, one.target + (1 if one.floating else len(one.ports)) * bool(one.target)
    )


def _leads(one: Publication, transport: str, port: int) -> bool:
    """Tell whether a publication leads to a port of its container."""
    return one.transport == transport and port in _inside(one)


class Containers:
    """The containers of a host, by what is mounted into them."""

    def __init__(
        self, containers: Iterable[Container] = (), among: Collection[Container] = ()
    ) -> None:
        listed = tuple(containers)
        self._among = among or listed
        self._known: dict[tuple[Collection[str], frozenset[int]], Container] = {}
        self._mounted: dict[str, list[tuple[str, Container]]] = {}
        for container in listed:
            for source, target in container.mounts:
                sharing = self._mounted.setdefault(source, [])
                if len(sharing) < MAX_SHARING:
                    sharing.append((target, container))

    def serving(self, ports: Collection[tuple[str, int]]) -> Containers:
        """Return those that publish one of a server's ports."""
        return Containers((one for one in self._among if one.serves(ports)), self._among)

    def of(self, name: str, directories: Collection[str]) -> Container | None:
        """Return the container in which a server reads a file, given its name in reports.

        `directories` are the server's own: a project that is mounted as a whole to /app is no
        configuration of a server there. Several containers with one file are told as one.
        """
        found: dict[int, Container] = {}
        for source in _ancestors(name):
            for target, container in self._mounted.get(source, ()):
                path = posixpath.normpath(f"{target}/{posixpath.relpath(name, source)}")
                if _holds(directories, path):
                    found[id(container)] = container
        if not found:
            return None
        if (key := (directories, frozenset(found))) not in self._known:
            self._known[key] = _together(list(found.values()), self._among, directories)
        return self._known[key]


def _together(
    mine: Sequence[Container], among: Iterable[Container], directories: Collection[str]
) -> Container:
    """Return the containers with one file as one, and what others publish that may be these."""
    certain = [one for one in mine if not one.optional] or mine
    names = {name for one in mine for name in one.known_as}
    around = [one for one in among if not any(one is known for known in mine)]
    others = (
        one
        for one in around
        if not names.isdisjoint(one.known_as)
        or any(_holds(directories, f"{target}/") for _, target in one.mounts)
    )
    return replace(
        mine[0],
        publications=_publications(mine),
        reason=next((one.reason for one in certain if one.reason), ""),
        others=_publications(others),
        around=_publications(around),
    )


def _publications(containers: Iterable[Container]) -> tuple[Publication, ...]:
    return tuple(publication for one in containers for publication in one.publications)


def _holds(directories: Collection[str], path: str) -> bool:
    """Tell whether a path lies in a server's directories; many programs have /opt to themselves."""
    return any(
        path.startswith(f"{one}/") and (one not in _SHARED or _NAMED.match(path) is not None)
        for one in directories
    )


def _ancestors(name: str) -> Iterator[str]:
    """Yield a path and the directories it lies in, itself first and `.` last."""
    while name not in ("", "/"):
        yield name
        name = posixpath.dirname(name)
    yield "."


def bind(source: str, target: str, beside: str, *, always: bool = False) -> tuple[str, str] | None:
    """Return the name and the target of a bind mount; `beside` is the compose file's directory.

    None: it is a volume, unless it is `always` a path, or a directory of the machine itself, which
    other programs read as well (compose-spec, 05-services.md).
    """
    relative = source[:1] == "." or (always and source[:1] not in ("", "/", "~"))
    if not relative or target[:1] != "/":
        return None
    return posixpath.normpath(posixpath.join(beside, source)), posixpath.normpath(target)
