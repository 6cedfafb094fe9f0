"""Managers of a ruleset that are not read, and programs that change it while it runs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sslint.netfilter.model import Missing
from sslint.network import HostFacts
from sslint.source import Location, SourceFile
from sslint.tree import Status, Tree
from sslint.values import dataclass


@dataclass(frozen=True, slots=True)
class Manager:
    """A manager: where its configuration is, its unit, and what switches it off.

    `switch` is (file, pattern of the line that enables it, whether it is off without that line).
    """

    name: str
    path: str
    units: tuple[str, ...]
    families: tuple[int, ...] = (4, 6)
    switch: tuple[str, str, bool] | None = None
    off_if: str = ""


MANAGERS = (
    Manager("CSF", "/etc/csf/csf.conf", ("csf",), off_if="/etc/csf/csf.disable"),
    Manager(
        "Shorewall",
        "/etc/shorewall/shorewall.conf",
        ("shorewall",),
        (4,),
        ("/etc/shorewall/shorewall.conf", r"STARTUP_ENABLED=[\"']?[Yy]es", True),
    ),
    Manager(
        "Shorewall6",
        "/etc/shorewall6/shorewall6.conf",
        ("shorewall6",),
        (6,),
        ("/etc/shorewall6/shorewall6.conf", r"STARTUP_ENABLED=[\"']?[Yy]es", True),
    ),
    Manager(
        "ferm",
        "/etc/ferm/ferm.conf",
        ("ferm",),
        switch=("/etc/default/ferm", r"ENABLED=[\"']?yes", False),
    ),
    Manager(
        "FireHOL",
        "/etc/firehol/firehol.conf",
        ("firehol",),
        switch=("/etc/default/firehol", r"START_FIREHOL=[\"']?(?i:yes)", False),
    ),
    Manager(
        "arno-iptables-firewall",
        "/etc/arno-iptables-firewall/firewall.conf",
        ("arno-iptables-firewall",),
    ),
    Manager("uruk", "/etc/uruk/rc", ("uruk",)),
    Manager("APF", "/etc/apf/conf.apf", ("apf",)),
    Manager("SuSEfirewall2", "/etc/sysconfig/SuSEfirewall2", ("SuSEfirewall2",)),
    Manager("foomuuri", "/etc/foomuuri", ("foomuuri",)),
    Manager("Vuurmuur", "/etc/vuurmuur/config.conf", ("vuurmuur",)),
    Manager("OpenWrt's firewall", "/etc/config/firewall", ("firewall",)),
    Manager(
        "Proxmox VE's firewall",
        "/etc/pve/firewall/cluster.fw",
        ("pve-firewall",),
        switch=("/etc/pve/firewall/cluster.fw", r"\s*enable:\s*1", True),
    ),
)


def unread(tree: Tree, network: HostFacts) -> Iterator[Missing]:
    """Yield the managers in force whose configuration is not read. They own the whole ruleset."""
    for manager in MANAGERS:
        if _is_there(tree, manager.path) and _in_force(tree, network, manager):
            yield Missing(
                f"managed by {manager.name}",
                manager.families,
                _location(tree, manager.path),
                may_open=True,
            )
    if tree.exists("/etc/awall") and not tree.exists("/etc/iptables/rules-save"):
        private = any(tree.names(f"/etc/awall/{name}") for name in ("optional", "private", "."))
        if private:
            yield Missing("managed by awall", (4, 6), None, may_open=True)


def assumptions(tree: Tree, network: HostFacts) -> Iterator[str]:
    """Yield what is assumed of programs that change the ruleset while it runs."""
    if _runs(tree, network, "docker", "/etc/docker"):
        yield "Docker adds chains of its own when it runs; ports it publishes are not in the files"
    for name in ("fail2ban", "crowdsec"):
        if _runs(tree, network, name, f"/etc/{name}"):
            yield f"{name} bans addresses at run time; a first connection is not banned"
    if _runs(tree, network, "sshguard", "/etc/sshguard"):
        yield "sshguard bans addresses at run time; a first connection is not banned"


# -- inside -----------------------------------------------------------------------------------


def _is_there(tree: Tree, path: str) -> bool:
    """What may not be looked at is there as well: its rules are unknown, not absent."""
    return tree.status(path) not in (Status.ABSENT, Status.OTHER)


def _in_force(tree: Tree, network: HostFacts, manager: Manager) -> bool:
    if manager.off_if and tree.exists(manager.off_if):
        return False
    states = {network.unit_state(unit) for unit in manager.units}
    if not states & {"enabled", "unknown"}:
        return False
    if manager.switch is not None:
        path, pattern, off_without = manager.switch
        file = tree.try_read(path, decisive=False)
        if file is None:
            return not off_without or _is_there(tree, path)
        return re.search(rf"^[ \t]*{pattern}", file.text, re.M) is not None
    return True


def _location(tree: Tree, path: str) -> Location | None:
    file: SourceFile | None = None
    if not tree.names(path):
        file = tree.try_read(path, decisive=False)
    return None if file is None else file.at(1)


def _runs(tree: Tree, network: HostFacts, unit: str, path: str) -> bool:
    state = network.unit_state(unit)
    return state == "enabled" or (state == "unknown" and tree.exists(path))
