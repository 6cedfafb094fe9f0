"""Servers in containers: a compose file mounts their configuration and publishes their ports."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Literal

from sslint.values import dataclass, replace

if TYPE_CHECKING:
    from sslint.firewalls.docker import Publication
    from sslint.source import Location

Transport = Literal["tcp", "udp"]
MAX_SHARING = 8  # containers with one mount, of which it is asked


@dataclass(frozen=True, slots=True)
class Container:
    """A service of a compose file, with the files and directories that are mounted into it.

    `mounts` are names as in reports, each with its path in the container. `reason` says why it is
    not known what it publishes, or is "".
    """

    service: str
    location: Location  # of its `ports`, or where they would stand
    mounts: tuple[tuple[str, str], ...]
    publications: tuple[Publication, ...] = ()
    reason: str = ""

    def serves(self, ports: Collection[tuple[str, int]]) -> bool:
        """Tell whether it publishes one of a server's ports: the server runs there.

        What mounts a configuration and publishes none of its ports tests, saves or watches it.
        """
        return any(
            one.target and any(t == one.transport and p in _inside(one) for t, p in ports)
            for one in self.publications
        )

    def outside(self, transport: Transport, port: int) -> list[tuple[str, int]] | None:
        """Return the host's addresses ("" for all) and ports that lead to a port of the container.

        None: it is not known.
        """
        found, doubtful = [], bool(self.reason)
        for one in self.publications:
            meant = one.transport == transport and port in _inside(one)
            if not one.target or (meant and (one.floating or one.reason or one.unbound)):
                doubtful = True
            elif meant:
                found.append((one.host, one.port + port - one.target))
        return None if doubtful else found

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


class Containers:
    """The containers of a host, by what is mounted into them."""

    def __init__(self, containers: Iterable[Container] = ()) -> None:
        self._every = tuple(containers)
        self._mounted: dict[str, list[tuple[str, Container]]] = {}
        for container in self._every:
            for source, target in container.mounts:
                sharing = self._mounted.setdefault(source, [])
                if len(sharing) < MAX_SHARING:
                    sharing.append((target, container))

    def serving(self, ports: Collection[tuple[str, int]]) -> Containers:
        """Return those that publish one of a server's ports."""
        return Containers(one for one in self._every if one.serves(ports))

    def of(self, name: str, directories: Collection[str]) -> Container | None:
        """Return the container in which a server reads a file, given its name in reports.

        `directories` are the server's own: a project that is mounted as a whole to /app is no
        configuration of a server there. Several containers with one file are told as one.
        """
        found: dict[int, Container] = {}
        for source in _ancestors(name):
            for target, container in self._mounted.get(source, ()):
                path = posixpath.normpath(f"{target}/{posixpath.relpath(name, source)}")
                if any(path.startswith(f"{directory}/") for directory in directories):
                    found[id(container)] = container
        if not found:
            return None
        first, *others = found.values()
        every = tuple(one for container in found.values() for one in container.publications)
        reason = next((one.reason for one in found.values() if one.reason), "")
        return replace(first, publications=every, reason=reason) if others else first


def _ancestors(name: str) -> Iterator[str]:
    """Yield a path and the directories it lies in, itself first and `.` last."""
    while name not in ("", "/"):
        yield name
        name = posixpath.dirname(name)
    yield "."


def bind(source: str, target: str, beside: str) -> tuple[str, str] | None:
    """Return the name and the target of a bind mount; `beside` is the compose file's directory.

    None: it is a volume, or a directory of the machine itself, which other programs read as well
    (compose-spec, 05-services.md).
    """
    if source[:1] != "." or target[:1] != "/":
        return None
    return posixpath.normpath(posixpath.join(beside, source)), posixpath.normpath(target)
