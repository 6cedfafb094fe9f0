"""firewalld: /etc/firewalld over what it ships, read into the table it builds when it starts."""

from __future__ import annotations

from collections.abc import Mapping

from sslint.firewalls.firewalld.build import build
from sslint.firewalls.firewalld.configuration import ETC, load, unknown_services
from sslint.firewalls.firewalld.elements import InvalidFile, NotRead
from sslint.firewalls.firewalld.objects import Configuration, Named
from sslint.netfilter.model import Missing, Ruleset, Source, Table
from sslint.network.whole import is_whole_etc
from sslint.reasons import Code
from sslint.regex import is_number
from sslint.source import Location
from sslint.tree import Status, Tree

__all__ = ["Configuration", "read", "read_configuration", "unknown_services"]

# Since 1.2 a start that fails loads the stock configuration; since 2.2 every fault in a file
# makes it fail. Before, a fault was logged and the element left out.
STRICT_SINCE = (2, 2)
ZONE_DRIFTING_UNTIL = (1, 0)


def read(
    tree: Tree,
    into: Ruleset,
    *,
    version: str | None = None,
    zones: Mapping[str, str] | None = None,
) -> bool:
    """Read firewalld's configuration; `zones` are interfaces bound by NetworkManager or ifcfg.

    A configuration that firewalld refuses is a problem of the tree, and the stock configuration
    is what is read; where it is not known what firewalld does, the layer is missing.
    """
    into.sources.append(Source("firewalld", tree.name("/etc/firewalld")))
    into.families |= {4, 6}
    into.assumptions.append(
        "firewalld's running configuration matches its files; interfaces "
        "without a zone belong to the default zone"
    )
    try:
        loaded = load(tree)
        _bind(loaded, zones or {})
        table = build(loaded)
    except NotRead as error:
        _missing(tree, into, error.location, error.reason, error.code)
        return True
    except InvalidFile as error:
        reason = f"firewalld rejects it: {error.reason}"
        if version is not None and _number(version) < STRICT_SINCE:
            _missing(tree, into, error.location, reason, Code.REFUSED)
            return True
        try:
            if _stays_empty(tree):
                tree.problem(error.location, f"{reason}, and exits: nothing filters")
                into.tables.append(Table("inet", "firewalld", origin="firewalld"))
                return True
            tree.problem(error.location, f"{reason}, and loads its stock configuration instead")
            table = build(load(tree, user=False))
        except (InvalidFile, NotRead) as worse:
            _missing(tree, into, worse.location, worse.reason, worse.code)
            return True
        into.tables.append(table)
        return True
    into.tables.append(table)
    _default_zone(tree, loaded, into)
    _zone_drifting(loaded, into, version)
    _direct(tree, loaded, into)
    return True


def read_configuration(tree: Tree, zones: Mapping[str, str] | None = None) -> Configuration | None:
    """Return what firewalld's files say, refused as a whole or not; None where one is not read."""
    try:
        loaded = load(tree, checked=False)
    except (InvalidFile, NotRead):
        return None
    _bind(loaded, zones or {})
    return loaded


# -- inside -----------------------------------------------------------------------------------


def _bind(loaded: Configuration, zones: Mapping[str, str]) -> None:
    """Bind interfaces as NetworkManager does; its word is later than that of the XML files."""
    for interface, name in zones.items():
        if name not in loaded.zones:
            continue
        for zone in loaded.zones.values():
            zone.interfaces = [other for other in zone.interfaces if other.value != interface]
        owner = loaded.zones[name]
        owner.interfaces.append(Named(interface, owner.location))


def _stays_empty(tree: Tree) -> bool:
    """Whether the stock configuration cannot replace one that firewalld refuses.

    What is refused when it is applied, not when it is loaded, leaves an empty table. The stock
    configuration owns its table, and the kernel refuses an owner for one that has none.
    """
    try:
        loaded = load(tree, applies=False)
    except InvalidFile:
        return False
    return loaded.options.backend == "nftables" and not loaded.options.table_owner


def _default_zone(tree: Tree, loaded: Configuration, into: Ruleset) -> None:
    """Without firewalld.conf its defaults hold, unless it is only not among these files."""
    if tree.live or tree.status(f"{ETC}/firewalld.conf") is not Status.ABSENT:
        return
    default = loaded.options.default_zone
    for zone in loaded.zones.values():
        own = zone.location.file.path.startswith(f"{ETC}/")
        if own and not zone.bound and zone.name != default:
            reason = (
                f"whether {zone.name} is the default zone is in firewalld.conf, which is missing"
            )
            into.missing.append(Missing(reason, (4, 6), zone.location, may_open=True))
            return
    own = any(one.location.file.path.startswith(f"{ETC}/") for one in loaded.zones.values())
    if not own and not is_whole_etc(tree) and tree.exists(ETC):
        reason = f"the zone {default} and firewalld.conf are not in {tree.name(ETC)}"
        into.missing.append(Missing(reason, (4, 6), None, may_open=True))
        return
    into.assumptions.append(
        f"firewalld.conf is missing; its defaults apply, and the default zone is {default}"
    )


def _zone_drifting(loaded: Configuration, into: Ruleset, version: str | None) -> None:
    """Before 1.0 packets of a source's zone could go on to the interface's zone."""
    if not loaded.options.zone_drifting or not any(z.sources for z in loaded.zones.values()):
        return
    if version is None:
        into.assumptions.append(
            "firewalld is 1.0 or newer, where AllowZoneDrifting=yes has no effect"
        )
    elif _number(version) < ZONE_DRIFTING_UNTIL:
        for zone in loaded.zones.values():
            for source in zone.sources[:1]:
                into.missing.append(
                    Missing(
                        "AllowZoneDrifting=yes: packets of a source's zone may go on to the "
                        "zone of their interface",
                        (4, 6),
                        source.location,
                        may_open=True,
                    )
                )
                return


def _direct(tree: Tree, loaded: Configuration, into: Ruleset) -> None:
    if tree.exists("/etc/firewalld/direct.xml"):
        from sslint.firewalls.firewalld.direct import read as read_direct

        try:
            read_direct(tree, loaded.options.backend, into)
        except (NotRead, InvalidFile) as error:
            _missing(tree, into, error.location, error.reason, error.code)


def _missing(tree: Tree, into: Ruleset, location: Location | None, reason: str, code: Code) -> None:
    tree.problem(location or "/etc/firewalld", reason, code=code)
    place = location or tree.name("/etc/firewalld")
    into.missing.append(Missing(f"firewalld: {place}: {reason}", (4, 6), location, may_open=True))


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if is_number(part))
