"""Which units start at boot, and with which commands: systemd, OpenRC and System V alike."""

from __future__ import annotations

import fnmatch
import posixpath
import shlex
from collections.abc import Sequence
from typing import Literal

from sslint.inifile import sections
from sslint.regex import is_number, regex
from sslint.source import Location
from sslint.tree import Status, Tree
from sslint.values import dataclass

UnitState = Literal["enabled", "disabled", "masked", "unknown"]

# systemd.unit(5), UNIT FILE LOAD PATH, highest precedence first; /run is not configuration.
ETC = "/etc/systemd/system"
UNIT_PATH = (
    ETC,
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)
# Targets that are not part of a boot.
NOT_AT_BOOT = ("rescue.", "emergency.", "shutdown.", "reboot.", "poweroff.", "halt.", "kexec.")
ASLEEP = ("sleep.", "suspend.", "hibernate.", "hybrid-sleep.", "suspend-then-hibernate.")
_LEVELS = ("sysinit", "boot", "default")  # OpenRC's runlevels of a boot
# What an installation itself enables: where one of these is listed, all that starts is listed. An
# administrator's own unit in a repository says nothing about the units of packages.
_INSTALLED = regex(
    r"(crond?|sshd?|rsyslog|syslog-ng|networking|NetworkManager|systemd-(networkd|resolved|timesyncd"
    r"|pstore)|chronyd?|ntp|auditd|dbus-broker|e2scrub_reap|console-setup|keyboard-setup|atd"
    r"|unattended-upgrades|apparmor|irqbalance|getty@\w+|sshd?@\w+|wtmpdb-update-boot)\.service"
    r"|(remote-fs|remote-cryptsetup|nfs-client)\.target"
    r"|(apt-daily|fstrim|logrotate|man-db|dpkg-db-backup|e2scrub_all|dnf-makecache)\.timer"
)


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a unit: its words, without systemd's prefixes (`-`, `@`, `+` ...)."""

    words: tuple[str, ...]
    location: Location


class Units:
    """The units of a tree.

    `systemd`: whether systemd starts this host. `recorded`: whether the tree lists all that it
    starts, so that what is not listed does not start.
    """

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.systemd = tree.status(ETC) is Status.DIRECTORY and _has_units(tree)
        self.recorded = self.systemd and any(
            _INSTALLED.fullmatch(unit)
            for entry in tree.names(ETC)
            if entry.endswith(".wants")
            for unit in tree.names(f"{ETC}/{entry}")
        )
        self._wanted: set[str] | None = None
        self._states: dict[str, UnitState] = {}
        self._init_scripts: list[str] | None = None
        self._presets: list[str] | None = None

    def state(self, name: str) -> UnitState:
        """Tell whether a unit (`ufw` or `ufw.service`) starts at boot."""
        if "." not in name:
            name += ".service"
        state = self._states.get(name)
        if state is None:
            state = self._states[name] = self._state(name)
        return state

    def at_boot(self) -> list[str]:
        """Return the names of the units and the init scripts that start at boot."""
        return sorted({*self._wants(), *self.init_scripts()})

    def commands(
        self, name: str, key: str = "ExecStart", *, whole: bool = True
    ) -> tuple[Command, ...] | None:
        """Return what a unit runs, drop-ins included; None where the tree does not hold it all.

        With `whole` False what the tree holds is returned, and may be a part.
        """
        if "." not in name:
            name += ".service"
        found: list[Command] = []
        known = False
        for path in self._files(name):
            file = self.tree.try_read(path, decisive=False)
            if file is None:
                continue
            known = known or not path.endswith(".conf")
            service = (s for s in sections(file.text, systemd=True) if s.title == "Service")
            for entry in (entry for section in service for entry in section.entries):
                if entry.key != key:
                    continue
                if not entry.value:  # an empty assignment resets the list, systemd.service(5)
                    found, known = [], True
                    continue
                found.append(Command(_words(entry.value), file.at(entry.line)))
        return tuple(found) if known or not whole else None

    def drop_ins(self, name: str) -> list[str]:
        """Return the drop-in files of a unit, in the order in which they apply."""
        if "." not in name:
            name += ".service"
        return [path for path in self._files(name) if path.endswith(".conf")]

    def init_scripts(self) -> list[str]:
        """Return the scripts of /etc/init.d that start at boot.

        Under systemd a unit of the name comes first, and one that is masked is not started.
        """
        if self._init_scripts is None:
            names = [
                entry[3:]
                for level in "S2345"
                for prefix in ("/etc", "/etc/rc.d")
                for entry in self.tree.names(f"{prefix}/rc{level}.d")
                if entry[0] == "S" and is_number(entry[1:3])
            ]
            if self.systemd:
                names = [name for name in names if not self._replaced(f"{name}.service")]
            else:
                names += [
                    n for level in _LEVELS for n in self.tree.names(f"/etc/runlevels/{level}")
                ]
            self._init_scripts = list(dict.fromkeys(names))
        return self._init_scripts

    # -- inside -----------------------------------------------------------------------------

    def _state(self, name: str) -> UnitState:
        own = f"{ETC}/{name}"
        target = self.tree.link_target(own)
        if target == "/dev/null" or (
            target is None and self.tree.exists(own) and self._is_empty(own)
        ):
            return "masked"
        if target is not None and posixpath.basename(target) != name:
            return (
                self.state(posixpath.basename(target))
                if target.endswith(".service")
                else ("unknown")
            )
        wanted = self._wants()
        if name in wanted or self._aliased(name):
            return "enabled"
        if name.removesuffix(".service") in self.init_scripts():
            return "enabled"
        openrc = self.tree.status("/etc/runlevels") is Status.DIRECTORY
        return "disabled" if self.recorded or openrc or self._preset_off(name) else "unknown"

    def _preset_off(self, name: str) -> bool:
        """Tell whether a preset of the administrator's disables a unit, systemd.preset(5)."""
        if self._presets is None:
            self._presets = self.tree.glob(f"{posixpath.dirname(ETC)}/system-preset/*.preset")
        for path in self._presets:
            file = self.tree.try_read(path, decisive=False)
            for line in file.text.split("\n") if file is not None else ():
                words = line.split()
                is_rule = len(words) >= 2 and words[0] in ("enable", "disable")
                if is_rule and fnmatch.fnmatchcase(name, words[1]):
                    return words[0] == "disable"
        return False

    def _is_empty(self, path: str) -> bool:
        file = self.tree.try_read(path, decisive=False)
        return file is not None and not file.text

    def _wants(self) -> set[str]:
        if self._wanted is None:
            self._wanted = set()
            for directory in UNIT_PATH:
                for entry in self.tree.names(directory):
                    if entry.endswith((".wants", ".requires")) and not entry.startswith(
                        NOT_AT_BOOT + ASLEEP
                    ):
                        self._wanted.update(self.tree.names(f"{directory}/{entry}"))
        return self._wanted

    def _aliased(self, name: str) -> bool:
        """Tell whether a unit is wanted under another name, or is activated by its socket."""
        for entry in self.tree.names(ETC):
            if entry in self._wants() and entry != name:
                target = self.tree.link_target(f"{ETC}/{entry}")
                if target is not None and posixpath.basename(target) == name:
                    return True
        return False

    def _own(self, name: str) -> str:
        """Return a unit's own file, or "" where none is in the tree."""
        paths = (f"{directory}/{name}" for directory in UNIT_PATH)
        return next((path for path in paths if self.tree.status(path) is Status.FILE), "")

    def _replaced(self, name: str) -> bool:
        return bool(self._own(name)) or self.tree.link_target(f"{ETC}/{name}") == "/dev/null"

    def _files(self, name: str) -> list[str]:
        """Return a unit's own file and its drop-ins, systemd.unit(5)."""
        own = self._own(name)
        names = [name]
        if "@" in name:
            stem, _, suffix = name.partition("@")
            names.append(f"{stem}@.{suffix.rpartition('.')[2]}")
        places = [f"{directory}/{unit}.d" for directory in UNIT_PATH for unit in names]
        drop_ins = by_name(self.tree, places[::-1], ".conf")
        return [own, *drop_ins] if own else drop_ins


def by_name(tree: Tree, directories: Sequence[str], suffix: str) -> list[str]:
    """Return the files of directories in the order of their names; the last one's hides others."""
    found = {
        name: f"{directory}/{name}"
        for directory in directories
        for name in tree.names(directory)
        if name.endswith(suffix)
    }
    return [found[name] for name in sorted(found)]


def _has_units(tree: Tree) -> bool:
    """Tell whether the tree has what only a host of systemd's has.

    An excerpt of a host, or a repository, has units and drop-ins of its own and no links to start.
    """
    names = tree.names(ETC)
    return not names or any(name.endswith((".wants", ".requires")) for name in names)


def _words(value: str) -> tuple[str, ...]:
    value = value.lstrip("@-:+!|")
    try:
        return tuple(shlex.split(value))
    except ValueError:
        return tuple(value.split())
