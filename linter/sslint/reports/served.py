"""The certificates that a host serves, each once."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from sslint.plain import clean
from sslint.values import dataclass

if TYPE_CHECKING:
    from sslint.host import Host
    from sslint.servers.model import CertificateRef


@dataclass(frozen=True, slots=True)
class Served:
    """A certificate by its path; `not_after` is None where the file is not at hand.

    `real` is the path as the configuration has it, `path` as reports show it. `ports` are those
    that serve it ("tcp/443"), `begins` is when it becomes valid.
    """

    real: str
    path: str
    names: tuple[str, ...] = ()
    begins: datetime | None = None
    not_after: datetime | None = None
    ports: tuple[str, ...] = ()


def served(host: Host) -> list[Served]:
    """Return the certificates, in the order in which listeners name them."""
    from sslint.certificates import load

    ports: dict[str, dict[str, None]] = {}
    first: dict[str, CertificateRef] = {}
    for socket in host.sockets:
        endpoint = socket.endpoint
        for ref in endpoint.certificates:
            if ref.path is not None:
                first.setdefault(ref.path, ref)
                ports.setdefault(ref.path, {})[f"{endpoint.transport}/{endpoint.port}"] = None
    found = []
    for path, ref in first.items():
        leaf = load(host.tree, ref).leaf
        names: tuple[str, ...] = ()
        if leaf is not None:
            names = tuple(
                map(clean, leaf.names or ([leaf.common_name] if leaf.common_name else []))
            )
        begins = leaf.not_before if leaf is not None else None
        until = leaf.not_after if leaf is not None else None
        found.append(Served(path, clean(path), names, begins, until, tuple(ports[path])))
    return found
