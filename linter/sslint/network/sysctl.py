"""Kernel parameters as the files set them at boot (sysctl.d(5))."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase

from sslint.network.units import by_name
from sslint.regex import is_number, regex
from sslint.source import Location
from sslint.tree import Tree

_ASSIGNMENT = regex(r"\s*(?:-\s*)?([^\s=#;]+)\s*=\s*(\S+)")
_LOCALNET = "route_localnet"
# Where a command may set a parameter once the interface is up; ufw's file is for IPT_SYSCTL.
_SCRIPTS = ("/etc/network/interfaces", "/etc/rc.local", "/etc/ufw/sysctl.conf")
_DIGITS = 10  # of a number that is too large for the kernel, which then changes nothing
_LOOSE = "net/netfilter/nf_conntrack_tcp_loose"


def ipv6_disabled(tree: Tree, *, systemd: bool) -> Location | None:
    """Return the line that disables IPv6 for the whole host, if one certainly does."""
    disabled: Location | None = None
    for name, value, location in _assignments(tree, "disable_ipv6", systemd):
        interface = _interface(name, "ipv6", "disable_ipv6")
        if interface is None or interface == "lo":
            continue
        if not (is_number(value) and len(value) < _DIGITS and value.strip("0")):
            disabled = None  # at least one interface may have it again
        elif interface == "all":
            disabled = location
    return disabled


def tcp_loose(tree: Tree, *, systemd: bool) -> bool | None:
    """Tell whether conntrack takes an ACK for a new connection; None where no file says it."""
    loose = None
    for name, value, _ in _assignments(tree, "tcp_loose", systemd):
        if name == _LOOSE:
            loose = value.strip("\"'") != "0"
    return loose


def route_localnet(tree: Tree, *, systemd: bool) -> dict[str, bool]:
    """Return route_localnet by name in net.ipv4.conf; "" is there if a script may set it."""
    found: dict[str, bool] = {}
    for name, value, _ in _assignments(tree, _LOCALNET, systemd):
        interface = _interface(name, "ipv4", _LOCALNET)
        if interface is not None:
            found[interface] = value.strip("\"'") != "0"
    scripts = (*_SCRIPTS, *tree.glob("/etc/network/interfaces.d/*"))
    texts = (tree.try_read(path, decisive=False) for path in scripts)
    if any(file is not None and _LOCALNET in file.text for file in texts):
        found[""] = True
    return found


def _interface(name: str, family: str, parameter: str) -> str | None:
    """Return whose parameter a key of net.FAMILY.conf is: "all", an interface's, "" of some.

    A key with a part too many, or too few, is none.
    """
    match name.split("/"):
        case ["net", version, "conf", interface, last] if (version, last) == (family, parameter):
            if "*" not in interface:
                return interface
            return "all" if fnmatchcase("all", interface) else ""
    return None


def _assignments(tree: Tree, word: str, systemd: bool) -> Iterator[tuple[str, str, Location]]:
    """Yield what is set in the order in which it is: files by name, /etc over /usr/lib.

    Names have slashes, `net/ipv4/ip_forward`. Only files that hold the word are looked at.
    """
    directories = ("/usr/lib/sysctl.d", "/usr/local/lib/sysctl.d", "/etc/sysctl.d")
    ordered = by_name(tree, directories, ".conf")
    # systemd-sysctl reads /etc/sysctl.conf only through a link such as 99-sysctl.conf.
    if not systemd:
        ordered.append("/etc/sysctl.conf")
    for path in ordered:
        file = tree.try_read(path, decisive=False)
        if file is None or word not in file.text:
            continue
        for number, line in enumerate(file.text.split("\n"), 1):
            found = _ASSIGNMENT.match(line)
            if found is not None:
                yield _slashed(found[1]), found[2], file.at(number)


def _slashed(name: str) -> str:
    """Return a name with slashes; the first separator decides which of the two it is."""
    first = re.search(r"[./]", name)
    if first is not None and first[0] == ".":
        name = name.translate(str.maketrans("./", "/."))
    return "/".join(filter(None, name.split("/")))
