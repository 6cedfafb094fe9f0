"""What is published for clients, in any document: the model that all readers fill."""

from __future__ import annotations

from typing import Any, Literal

from sslint.source import Location
from sslint.values import dataclass, field

Security = Literal["implicit", "starttls", "none"]
Kind = Literal["srv", "mx", "https-record", "autoconfig", "autodiscover", "mobileconfig", "mta-sts"]


@dataclass(frozen=True, slots=True)
class Announcement:
    """One place that sends clients to a host and port.

    `service` is imap, pop3, submission, smtp, sieve, https, xmpp, caldav or carddav. `security`
    None: the document does not say. `domain` is whose it is. `label`: the document's
    own word (`_imaps`, `SSL`). `rank` orders entries for the same service: the first is preferred.
    """

    kind: Kind
    service: str
    host: str
    port: int
    security: Security | None
    location: Location
    domain: str = ""
    label: str = ""
    transport: Literal["tcp", "udp"] = "tcp"
    rank: int = 0
    ambiguous: bool = False  # old clients read `security` in two ways


@dataclass(frozen=True, slots=True)
class Record:
    """A resource record; `data` is dnspython's rdata. `zone` is the origin it stands under."""

    name: str
    type: str
    data: Any
    location: Location
    zone: str


@dataclass(frozen=True, slots=True)
class StsPolicy:
    """An MTA-STS policy (RFC 8461); `domain` is "" where the file's place does not say it."""

    mode: str
    mx: tuple[str, ...]
    location: Location
    mode_location: Location
    domain: str = ""


@dataclass(slots=True)
class Announced:
    """Everything published for clients. Not all records of `incomplete` zones are known."""

    announcements: list[Announcement] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    policies: list[StsPolicy] = field(default_factory=list)
    zones: set[str] = field(default_factory=set)
    incomplete: set[str] = field(default_factory=set)
    _by_name: dict[tuple[str, str], list[Record]] = field(default_factory=dict)
    _names: set[str] = field(default_factory=set)  # that exist, with what lies between them

    def add(self, record: Record) -> None:
        """Add a record."""
        self.records.append(record)
        self._by_name.setdefault((record.name, record.type), []).append(record)
        name = record.name
        while name and name not in self._names:
            self._names.add(name)
            name = name.partition(".")[2]

    def find(self, name: str, kind: str) -> list[Record]:
        """Return the records of a name, a wildcard's if there is no such name (RFC 4592)."""
        name = name.rstrip(".").lower()
        if name in self._names:
            return self._by_name.get((name, kind), [])
        while "." in name:
            name = name.partition(".")[2]
            if f"*.{name}" in self._names or name in self._names:  # the closest encloser
                return self._by_name.get((f"*.{name}", kind), [])
        return []

    def zone_of(self, name: str) -> str | None:
        """Return the zone given here that says all of a name, None if none does."""
        name = name.rstrip(".").lower()
        parent = name
        while parent and parent not in self.zones:
            # A delegation: the child's records are elsewhere.
            if (parent, "NS") in self._by_name:
                return None
            parent = parent.partition(".")[2]
        return parent if parent and parent not in self.incomplete else None

    def addresses(self, name: str, kind: Literal["A", "AAAA"]) -> list[Record]:
        """Return the address records of a name, CNAMEs followed within the zones given."""
        for _ in range(8):
            found = self.find(name, kind)
            if found:
                return found
            alias = self.find(name, "CNAME")
            if not alias:
                return []
            name = str(alias[0].data.target).rstrip(".").lower()
        return []
