"""Which modules are there, by both of their names, and which directives they bring."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal

from sslint.tree import read_bundled
from sslint.values import dataclass, field

Place = Literal["anywhere", "inside", "outside"]  # of <Directory>, <Files>, <Location> or <If>

_FILES = {  # the source file of a module that is not mod_NAME.c of NAME_module
    "core_module": "core.c",
    "http_module": "http_core.c",
    "ldap_module": "util_ldap.c",
    "mpm_event_module": "event.c",
    "mpm_prefork_module": "prefork.c",
    "mpm_worker_module": "worker.c",
    "systemd_module": "mod_systemd.c",
}
_EVERYWHERE = ("core_module", "http_module", "so_module")
_DEBIAN = ("watchdog_module", "log_config_module", "logio_module", "version_module", "unixd_module")


def source_of(module: str) -> str:
    """Return the source file by which IfModule knows a module, too."""
    return _FILES.get(module) or f"mod_{module.removesuffix('_module')}.c"


@cache
def _directives() -> Mapping[str, Mapping[Place, frozenset[str]]]:
    """Return the directives of httpd 2.4.71 by module and place, as `apache2 -L` lists them."""
    text = read_bundled(Path(__file__).with_name("directives.json"))
    return {
        module: {place: frozenset(names) for place, names in places.items()}
        for module, places in json.loads(text).items()
    }


@dataclass(slots=True)
class Modules:
    """The modules that are loaded so far.

    `complete` False: more may be loaded by files that were not given. `loads`: some LoadModule was
    read. `foreign`: one that httpd does not ship is, so a directive that is not known may be its
    own.
    """

    names: set[str] = field(default_factory=set)
    sources: set[str] = field(default_factory=set)
    complete: bool = True
    loads: bool = False
    foreign: bool = False
    _known: dict[str, Place] = field(default_factory=dict)

    @classmethod
    def built_in(cls, debian: bool) -> Modules:
        """Return what is compiled in; elsewhere than on Debian most modules are loaded."""
        found = cls()
        for module in (*_EVERYWHERE, *(_DEBIAN if debian else ())):
            found.load(module)
        return found

    def load(self, module: str) -> None:
        """Add a module by the name that LoadModule has for it."""
        source = source_of(module)
        self.names.add(module)
        self.sources.add(source)
        found = _directives().get(source)
        if found is None:
            self.foreign = self.foreign or module not in _WITHOUT
            return
        for place, names in found.items():
            self._known.update(dict.fromkeys(names, place))

    def has(self, name: str) -> bool | None:
        """Answer IfModule; None if a file that was not given may load it."""
        if name in self.names or name in self.sources:
            return True
        return False if self.complete else None

    def place(self, directive: str) -> Place | None:
        """Return where a directive may stand; None if no loaded module has it."""
        return self._known.get(directive)

    def allowed(self, inside: bool) -> frozenset[str]:
        """Return the directives that may stand inside of <Directory> and its like, or outside."""
        fits = ("anywhere", "inside" if inside else "outside")
        return frozenset(name for name, place in self._known.items() if place in fits)

    def is_core(self, directive: str) -> bool:
        """Tell whether a directive is the core's."""
        return any(directive in names for names in _directives()["core.c"].values())

    def is_current(self) -> bool:
        """Tell whether the modules are those of an Apache 2.4: 2.2 has no mod_authz_core."""
        return "authz_core_module" in self.names

    def lacks(self, directive: str) -> bool:
        """Tell whether certainly no loaded module has a directive."""
        return directive not in self._known and self.complete and not self.foreign


# Modules of httpd that have no directives.
_WITHOUT = frozenset(
    f"{name}_module"
    for name in (
        *("asis", "authz_host", "authz_owner", "authz_user", "data", "systemd", "unique_id"),
        *("lbmethod_bybusyness", "lbmethod_byrequests", "lbmethod_bytraffic", "proxy_ajp"),
        *("proxy_balancer", "proxy_fdpass", "proxy_http", "proxy_http2", "proxy_uwsgi"),
        *(
            "bucketeer",
            "ratelimit",
            "slotmem_plain",
            "slotmem_shm",
            "socache_dbm",
            "socache_shmcb",
            "status",
        ),
    )
)
