"""Whether a tree holds all of a host's /etc, so that what is not in it is not on the host.

A part of it (a repository, a copy of some directories) never has all of these; a copy that an
unprivileged user made lacks /etc/shadow, and with it perhaps a ruleset that only root may read.
"""

from __future__ import annotations

from sslint.network.units import Units
from sslint.regex import regex
from sslint.tree import Status, Tree

# Every installed system has them: base-passwd, base-files and debian-installer on Debian; setup,
# shadow-utils and anaconda on Fedora; alpine-baselayout.
_BASE = ("passwd", "group", "shadow", "hosts", "fstab", "profile", "shells")
_RELEASE = ("debian_version", "redhat-release", "alpine-release", "arch-release", "os-release")
# What starts at boot stands here: systemd, System V, OpenRC.
_BOOT = ("systemd/system/multi-user.target.wants", "rc2.d", "rc.d/rc3.d", "runlevels/default")
_FIREWALL = regex(
    r"fire-?wall|\bfw\b|\bnft\b|iptables|ip6tables|nftables|netfilter|ipset|\bufw\b|\bcsf\b|\blfd\b"
    r"|shorewall|\bferm\b|firehol|uruk|\bapf\b|foomuuri|vuurmuur|\bawall\b|imunify|bitninja"
)


def is_whole_etc(tree: Tree) -> bool:
    """Tell whether a tree holds a host's whole /etc."""
    return (
        all(_is_there(tree, name) for name in _BASE)
        and any(_is_there(tree, name) for name in _RELEASE)
        and any(tree.names(f"/etc/{name}") for name in _BOOT)
    )


def is_whole(tree: Tree) -> bool:
    """Tell whether a tree is the machine itself, or holds a host's whole /etc."""
    return tree.live or is_whole_etc(tree)


def lacks(tree: Tree, path: str) -> bool:
    """Tell whether a host certainly has no file at a path, so that what needs it fails.

    A part of /etc never shows that: scripts make links, packages bring files, and git keeps
    neither what is secret nor submodules and directories that are empty.
    """
    return is_whole(tree) and tree.absent(path, within="/etc") is True


def firewall_units(units: Units) -> list[str]:
    """Return the units that start at boot and are a firewall's by their name."""
    return [name for name in units.at_boot() if _FIREWALL.search(name)]


def _is_there(tree: Tree, name: str) -> bool:
    """Tell whether a name is in /etc; a link that leads out of a copied /etc counts."""
    path = f"/etc/{name}"
    return tree.status(path) is not Status.ABSENT or tree.link_target(path) is not None
