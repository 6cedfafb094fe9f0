"""What `firewall-cmd` commands make of firewalld as it is shipped (firewall-cmd(1)).

Only what is permanent lasts beyond the next boot: the commands of a script become the zone files
that firewalld would write, and firewalld's reader reads these.
"""

from __future__ import annotations

from sslint.firewalls.firewalld import read, stock
from sslint.firewalls.scripts.ends import UnsureError
from sslint.firewalls.scripts.firewalld_options import USAGE, Options, only_looks, options
from sslint.firewalls.scripts.firewalld_zones import (
    FLAGS,
    RefusedError,
    Zone,
    shipped,
    value_of,
)
from sslint.firewalls.scripts.partial import has_hole
from sslint.netfilter.model import Missing, Ruleset
from sslint.regex import regex
from sslint.source import Location
from sslint.tree import Tree

_TARGETS = {
    "default": "default",
    "{chain}_{zone}": "default",
    "ACCEPT": "ACCEPT",
    "DROP": "DROP",
    "REJECT": "%%REJECT%%",
    "%%REJECT%%": "%%REJECT%%",
}
_NAME = regex(r"[A-Za-z0-9_-]{1,17}")
ZONE_CONFLICT, NAME_CONFLICT, INVALID_TARGET, INVALID_ZONE = 18, 26, 110, 112
UNKNOWN_ERROR = 254


class Firewalld:
    """The zones. Commands return the exit status, None where it is not known."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.zones: dict[str, Zone] = {}  # those that are changed
        self.loaded = {*stock.names("zones")}
        self.default = "public"
        self.follows = False  # an interface may be in whatever zone is the default
        self.last: Location | None = None
        self.written: Location | None = None  # where a file of its is changed
        self.lost: Missing | None = None

    @property
    def touched(self) -> bool:
        """Whether firewalld was told anything."""
        return self.last is not None

    def copy(self) -> Firewalld:
        """Return a copy that can be changed alone."""
        twin = Firewalld(self.tree)
        twin.zones = {name: zone.copy() for name, zone in self.zones.items()}
        twin.loaded, twin.default, twin.follows = {*self.loaded}, self.default, self.follows
        twin.last, twin.written, twin.lost = self.last, self.written, self.lost
        return twin

    def same(self, other: Firewalld) -> bool:
        """Tell whether two states decide alike."""
        return all(
            mine == theirs
            for mine, theirs in (
                (self.zones, other.zones),
                (self.loaded, other.loaded),
                (self.default, other.default),
                (self.follows, other.follows),
                (self.written is None, other.written is None),
                (self.lost is None, other.lost is None),
            )
        )

    def join(self, other: Firewalld, where: Location) -> Firewalld:
        """Return both, if they are alike; else nothing is known."""
        joined = self.copy()
        joined.last, joined.written = self.last or other.last, self.written or other.written
        if not self.same(other):
            joined.lose("what firewall-cmd is told is not known", where)
        return joined

    def lose(self, reason: str, where: Location) -> None:
        """Give up what firewalld holds."""
        self.last = self.last or where
        self.lost = self.lost or Missing(reason, (4, 6), where, may_open=True)

    # -- commands -----------------------------------------------------------------------------

    def run(self, words: list[str], where: Location) -> int | None:
        """Run a command."""
        if not words:
            return USAGE
        if only_looks(words):
            return self._asked(words)
        self.last = where
        if has_hole(words):
            self.lose("a value that firewall-cmd is told is not known", where)
            return None
        try:
            return self._run(options(words))
        except RefusedError as error:
            return error.status
        except UnsureError as error:
            self.lose(str(error), where)
            return None

    def _asked(self, words: list[str]) -> int | None:
        """Return the status of a command that asks for a service or a port."""
        try:
            given = options(words) if not has_hole(words) else Options()
            kind = given.query.removeprefix("--query-")
            values = given.given.get(given.query, [])
            name = given.last("--zone") or self.default
            zone = self.zones[name] if name in self.zones else shipped(name)
            if self.lost or not given.permanent or kind not in ("service", "port") or values[1:]:
                return None
            return int(not zone.has(kind, value_of(kind, values[0])))
        except (RefusedError, UnsureError, KeyError):
            return None

    def _run(self, given: Options) -> int:
        """Run a command that changes something. Raise RefusedError, UnsureError."""
        if given.alone == "--set-default-zone":
            self._set_default(given.last("--set-default-zone"))
        elif given.alone:
            self.loaded |= self.zones.keys()
        elif "--new-zone" in given.given:
            self._new_zone(given.last("--new-zone"))
        elif not given.permanent:
            raise UnsureError("firewall-cmd without --permanent lasts until the next boot")
        else:
            name = given.last("--zone") or self.default
            return self._edit(name, given)
        return 0

    def _set_default(self, name: str) -> None:
        if name not in self.loaded:
            raise RefusedError(INVALID_ZONE)
        if self.follows and name != self.default:
            raise UnsureError("an interface may be in the default zone, which changes")
        self.default = name

    def _new_zone(self, name: str) -> None:
        if name in self.zones or name in self.loaded:
            raise RefusedError(NAME_CONFLICT)
        if not _NAME.fullmatch(name) or name in stock.names("policies"):
            raise UnsureError("the name of a zone is not read")
        self.zones[name] = Zone()

    def _zone(self, name: str) -> Zone:
        """Return a zone. Raise RefusedError."""
        if name not in self.zones:
            if name not in self.loaded:
                raise RefusedError(INVALID_ZONE)
            self.zones[name] = shipped(name)
        return self.zones[name]

    def _edit(self, name: str, given: Options) -> int:
        """Change a zone, and return the status. Raise RefusedError, UnsureError."""
        zone = self._zone(name)
        verb, _, kind = given.edit.removeprefix("--").partition("-")
        values = given.given[given.edit]
        if kind == "target":
            if values[-1] not in _TARGETS:
                raise RefusedError(INVALID_TARGET)
            zone.target = _TARGETS[values[-1]]
            return 0
        if kind in FLAGS:
            zone.held[kind] = [""] if verb == "add" else []
            return 0
        if kind == "interface":
            self.follows = self.follows or "--zone" not in given.given
        if verb == "change":
            for value in values:
                self._move(zone, kind, value)
            return 0
        return self._sequence(zone, verb, kind, values)

    def _sequence(self, zone: Zone, verb: str, kind: str, values: list[str]) -> int:
        """Add or remove values; one that is taken makes the command succeed."""
        failed: list[int] = []
        for value in values:
            try:
                if verb == "add":
                    self._add(zone, kind, value)
                else:
                    self._remove(zone, kind, value)
            except RefusedError as error:
                failed.append(error.status)
        if len(failed) < len(values):
            return 0
        return failed[0] if len(set(failed)) == 1 else UNKNOWN_ERROR

    def _add(self, zone: Zone, kind: str, text: str) -> None:
        value = value_of(kind, text)
        if kind in ("interface", "source") and self._elsewhere(zone, kind, value):
            if kind == "interface":
                raise UnsureError(
                    "an interface is given to a second zone: firewalld refuses it, and "
                    "NetworkManager moves it"
                )
            raise RefusedError(ZONE_CONFLICT)
        if kind == "rich-rule" and not zone.has(kind, value) and self._ties(zone, value):
            raise UnsureError("rich rules of one priority are in an order that is not known")
        zone.add(kind, value)

    @staticmethod
    def _ties(zone: Zone, rule: str) -> bool:
        from sslint.firewalls.scripts.firewalld_rich import priority

        mine = priority(rule)
        return mine != "0" and any(priority(one) == mine for one in zone.of("rich-rule"))

    def _remove(self, zone: Zone, kind: str, text: str) -> None:
        if kind in ("service", "icmp-block", "interface", "source", "protocol"):
            if kind == "interface" and self._elsewhere(zone, kind, text):
                raise UnsureError("an interface is taken from a zone that does not have it")
            value = text  # whatever it is, it is there or not
        else:
            value = value_of(kind, text)
        zone.remove(kind, value)

    def _move(self, zone: Zone, kind: str, text: str) -> None:
        value = value_of(kind, text)
        for other in self.zones.values():
            if other is not zone:
                other.remove(kind, value)
        zone.add(kind, value)

    def _elsewhere(self, zone: Zone, kind: str, value: str) -> bool:
        """Tell whether another zone has an interface or a source; none does that is shipped."""
        return any(other.has(kind, value) for other in self.zones.values() if other is not zone)

    # -- what is loaded -----------------------------------------------------------------------

    def finish(self, into: Ruleset) -> None:
        """Put what firewalld loads into a ruleset."""
        if self.written is not None:
            self.lose("the script changes a file of firewalld", self.written)
        if self.lost is not None:
            into.missing.append(self.lost)
            return
        files = {"/etc/firewalld/firewalld.conf": f"DefaultZone={self.default}\n"}
        for name, zone in self.zones.items():
            files[f"/etc/firewalld/zones/{name}.xml"] = zone.file()
        part = Ruleset()
        read(self.tree.with_overlay(files), part)
        part.sources.clear()  # the script is the source
        into.add(part)
        into.assumptions.append(
            "firewalld's zones are as it ships them, with the default zone public"
        )
