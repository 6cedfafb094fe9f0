"""What `firewall-cmd` commands make of firewalld as it is shipped (firewall-cmd(1)).

Only what is permanent lasts beyond the next boot: zones get services, ports, sources, interfaces
and targets; other commands are not read.
"""

from __future__ import annotations

import re

from sslint.firewalls.firewalld import read, stock
from sslint.firewalls.scripts.partial import has_hole
from sslint.netfilter.model import Missing, Ruleset
from sslint.regex import regex
from sslint.source import Location
from sslint.tree import Tree

_LOOKS = regex(r"--(?:state|version|help|check-config|get-.*|list-.*|query-.*|info-.*)(?:=.*)?")
_EDITS = regex(
    r"--(?P<verb>add|remove|change)-(?P<kind>service|port|source|interface|protocol)=(?P<value>.+)"
)
_ELEMENTS = {
    "service": r'<service name="{}"/>',
    "source": r'<source address="{}"/>',
    "interface": r'<interface name="{}"/>',
    "protocol": r'<protocol value="{}"/>',
}
_PORT = regex(r"(\d{1,5}(?:-\d{1,5})?)/(tcp|udp|sctp|dccp)")
_PLAIN = regex(r"[\w./:@-]{1,100}", re.ASCII)
_TARGET = regex(r'<zone target="([^"]*)"')  # as stock.file writes it
_TARGETS = frozenset(("default", "ACCEPT", "DROP", "REJECT"))


class Firewalld:
    """The zones. Commands return the exit status, None where it is not known."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.zones: dict[str, list[str]] = {}  # elements of those that are changed
        self.targets: dict[str, str] = {}
        self.default = "public"
        self.places: dict[tuple[str, str], Location] = {}
        self.last: Location | None = None
        self.lost: Missing | None = None

    @property
    def touched(self) -> bool:
        """Whether firewalld was told anything."""
        return self.last is not None

    def copy(self) -> Firewalld:
        """Return a copy that can be changed alone."""
        twin = Firewalld(self.tree)
        twin.zones = {name: list(lines) for name, lines in self.zones.items()}
        twin.targets, twin.default = dict(self.targets), self.default
        twin.places, twin.last, twin.lost = dict(self.places), self.last, self.lost
        return twin

    def same(self, other: Firewalld) -> bool:
        """Tell whether two states decide alike."""
        mine = (self.zones, self.targets, self.default, self.lost is None)
        return mine == (other.zones, other.targets, other.default, other.lost is None)

    def join(self, other: Firewalld, where: Location) -> Firewalld:
        """Return both, if they are alike; else nothing is known."""
        joined = self.copy()
        joined.last = self.last or other.last
        if not self.same(other):
            joined.lose("what firewall-cmd is told is not known", where)
        return joined

    def lose(self, reason: str, where: Location) -> None:
        """Give up what firewalld holds."""
        self.last = self.last or where
        self.lost = self.lost or Missing(reason, (4, 6), where, may_open=True)

    def run(self, words: list[str], where: Location) -> int | None:
        """Run a command."""
        words = _with_equals(word for word in words if word not in ("-q", "--quiet"))
        if not words or all(_LOOKS.fullmatch(word) or word == "--permanent" for word in words):
            return None
        self.last = where
        if has_hole(words):
            self.lose("a value that firewall-cmd is told is not known", where)
            return None
        zone, edits, permanent = self.default, [], False
        for word in words:
            option, _, value = word.partition("=")
            if option == "--zone":
                zone = value
            elif word == "--permanent":
                permanent = True
            elif option == "--set-default-zone":
                if value not in stock.names("zones"):
                    return 1
                self.default = value
                permanent = True
            elif word in ("--reload", "--complete-reload"):
                permanent = True
            elif option == "--set-target" or _EDITS.fullmatch(word):
                edits.append(word)
            else:
                self.lose(f"firewall-cmd with {_shown(option)} is not read", where)
                return None
        if not permanent:
            self.lose("firewall-cmd without --permanent lasts until the next boot", where)
            return None
        if zone not in stock.names("zones"):
            return 112  # INVALID_ZONE
        return self._edit(zone, edits, where)

    def _edit(self, zone: str, edits: list[str], where: Location) -> int | None:
        if not edits:
            return 0
        file = stock.file("zones", zone)
        assert file is not None
        lines = self.zones.setdefault(zone, re.findall(r"<(?!/?zone|\?xml)[^<>]*/>", file.text))
        target = _TARGET.match(file.text)
        self.targets.setdefault(zone, target[1] if target else "default")
        status = 0
        for edit in edits:
            if edit.startswith("--set-target="):
                value = edit.partition("=")[2]
                if value not in _TARGETS:
                    return 110  # INVALID_TARGET
                self.targets[zone] = "%%REJECT%%" if value == "REJECT" else value
                continue
            found = _EDITS.fullmatch(edit)
            assert found is not None
            element = _element(found["kind"], found["value"])
            if element is None:
                self.lose("a value that firewall-cmd is told is not read", where)
                return None
            if found["kind"] == "service" and found["value"] not in stock.names("services"):
                self.lose("a service is not firewalld's own", where)
                return None
            if found["verb"] == "remove":
                status = 0 if element in lines else status
                lines[:] = [line for line in lines if line != element]
            elif found["kind"] in ("interface", "source") and self._elsewhere(zone, element):
                if found["verb"] == "change" or len(edits) > 1:
                    self.lose(f"a {found['kind']} is moved to another zone", where)
                    return None
                return 18  # ZONE_CONFLICT: it is in one zone only
            elif element not in lines:
                lines.append(element)
                self.places[zone, element] = where
        return status

    def _elsewhere(self, zone: str, element: str) -> bool:
        return any(element in lines for name, lines in self.zones.items() if name != zone)

    def finish(self, into: Ruleset) -> None:
        """Put what firewalld loads into a ruleset."""
        if self.lost is not None:
            into.missing.append(self.lost)
            return
        files = {"/etc/firewalld/firewalld.conf": f"DefaultZone={self.default}\n"}
        for zone, lines in self.zones.items():
            target = self.targets[zone]
            attribute = "" if target == "default" else f' target="{target}"'
            body = "\n".join(lines)
            files[f"/etc/firewalld/zones/{zone}.xml"] = f"<zone{attribute}>\n{body}\n</zone>\n"
        part = Ruleset()
        read(self.tree.with_overlay(files), part)
        into.tables += part.tables
        into.missing += part.missing
        into.families |= {4, 6}
        into.assumptions += part.assumptions
        into.assumptions.append(
            "firewalld's zones are as it ships them, with the default zone public"
        )


def _with_equals(words: object) -> list[str]:
    """Write `--zone public` as `--zone=public`."""
    found: list[str] = []
    for word in words:  # type: ignore[attr-defined]
        alone = found and re.fullmatch(r"--(?:zone|set-|add-|remove-|change-)[\w-]*", found[-1])
        if alone and not word.startswith("--"):
            found[-1] += f"={word}"
        else:
            found.append(word)
    return found


def _element(kind: str, value: str) -> str | None:
    if kind == "port":
        port = _PORT.fullmatch(value)
        return f'<port port="{port[1]}" protocol="{port[2]}"/>' if port else None
    return _ELEMENTS[kind].format(value) if _PLAIN.fullmatch(value) else None


def _shown(option: str) -> str:
    return option if re.fullmatch(r"-{1,2}[a-z-]{1,40}", option) else "an option"
