"""What clients are told, read from a host's own zone and autoconfig file as they read it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import dns.zone

ORIGIN = "example.org"


def addresses(root: Path, name: str, kind: str) -> list[str]:
    """Return a name's addresses; the kind is A or AAAA."""
    return [record.address for record in _records(root, name, kind)]


def service(root: Path, name: str) -> tuple[str, int]:
    """Return where an SRV record leads: host and port."""
    [record] = _records(root, f"{name}.{ORIGIN}", "SRV")
    return record.target.to_text(omit_final_dot=True), record.port


def _records(root: Path, name: str, kind: str) -> list:  # type: ignore[type-arg]
    zone = dns.zone.from_file(str(root / "etc/bind/db.example.org"), ORIGIN, relativize=False)
    return list(zone.find_rdataset(f"{name}.", kind))


@dataclass(frozen=True, slots=True)
class Server:
    """A server of an autoconfig file."""

    type: str
    host: str
    port: int
    security: str


def autoconfig(root: Path) -> list[Server]:
    """Return the servers of the host's autoconfig file."""
    document = ElementTree.parse(root / "var/www/mail/mail/config-v1.1.xml")
    found = []
    for element in document.iter():
        if element.tag in ("incomingServer", "outgoingServer"):
            text = {child.tag: child.text or "" for child in element}
            server = Server(
                element.get("type", ""), text["hostname"], int(text["port"]), text["socketType"]
            )
            found.append(server)
    return found
