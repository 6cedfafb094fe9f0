"""Commands that load a ruleset at boot, wherever a host writes them."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterable, Iterator

from sslint.network import HostFacts
from sslint.network.interfaces import interfaces_files
from sslint.network.units import ETC, Command
from sslint.regex import regex
from sslint.source import Location, SourceFile
from sslint.tree import Status, Tree
from sslint.values import dataclass

# iptables-restore(8), nft(8), ipset(8): one file, the whole of it, nothing else on the line.
_RESTORE = regex(
    r"(?:/\S*/)?(?P<name>iptables|ip6tables)(?:-legacy|-nft)?-restore"
    r"(?:\s+(?:-w|--wait|-c|--counters)(?:\s+\d+)?)*\s*(?:\s<\s*|\s)(?P<path>/[^\s;&|<>$`]+)"
)
_NFT = regex(r"(?:/\S*/)?nft\s+(?:-f|--file)[\s=]\s*(?P<path>/[^\s;&|<>$`]+)")
_IPSET = regex(
    r"(?:/\S*/)?ipset(?:\s+(?:-exist|-!))*\s+(?:restore|-R)(?:\s+(?:-exist|-!))*\s*"
    r"(?:<|-f|-file)\s*(?P<path>/[^\s;&|<>$`]+)"
)
# A command that changes the ruleset, in a line of a script.
CHANGES = regex(
    r"(?:^|[\s;&|(`\"'=])(?:/\S*/)?(?:ip6?tables(?:-legacy|-nft)?(?:-restore)?|nft|ipset)[\s\"']"
    r"(?!\s*(?:-t\s+\S+\s+)?(?:-n\s+|-v\s+)*(?:-[nv]*[LS]\b|-C\b|-V\b|--list|--check|--version|list\b))"
    r"|\bfirewall-cmd\s(?!.*--(?:permanent|state|list|get|query|reload))"
    r"|\b(?:systemctl|service|invoke-rc\.d)\s(?=[^;&|]*\b(?:stop|start|disable|mask)\b)[^;&|]*"
    r"\b(?:firewalld|nftables|ip6?tables|netfilter-persistent|ufw|shorewall|ferm)\b"
)
# A line that only says something.
_SAYS = regex(r"(?:echo|printf|logger|log_\w+)\b[^;&|`$]*")
# Words by which a script that is not in the tree says what it is for.
_NAMED = regex(r"(?:^|[-_.])(?:firewall|iptables|ip6tables|nftables|fw)(?:[-_.]|$)")
_IDLE = regex(
    r"(?:set\s+-[a-z]+|exit(?:\s+0)?|:|true|(?:export\s+)?PATH=\S*|fi|done|\.\s+/lib/lsb/\S*)"
)


@dataclass(frozen=True, slots=True)
class Load:
    """One file that a command loads at boot; `kind` is the format."""

    kind: str
    path: str
    location: Location


@dataclass(frozen=True, slots=True)
class Script:
    """Something that changes the ruleset at boot and cannot be read as a ruleset.

    `path` is the shell script that it is, "" where it is a line of something else.
    """

    name: str
    location: Location
    path: str = ""


def load_of(command: str, location: Location) -> Load | None:
    """Return what a single command loads, if it is a plain restore of one file."""
    command = command.strip()
    for pattern, kind in ((_RESTORE, ""), (_NFT, "nft"), (_IPSET, "ipset")):
        found = pattern.fullmatch(command)
        if found:
            return Load(kind or found.group("name"), found.group("path"), location)
    return None


def boot_commands(
    tree: Tree, network: HostFacts, known: Collection[str] = ()
) -> Iterator[Load | Script]:
    """Yield what units, init scripts, hooks of networks, cron and rc.local load or change at boot.

    `known` are the services of which it is known what they load.
    """
    yield from _units(tree, network)
    for name in network.units.init_scripts():
        path = f"/etc/init.d/{name}"
        if name not in known and name not in _OWN_PLACES and tree.status(path) is Status.FILE:
            yield from script(tree, path)
    if network.unit_state("networking") not in ("disabled", "masked"):
        yield from _interfaces(tree)
    for unit, pattern in _DISPATCHERS:
        if network.unit_state(unit) not in ("disabled", "masked"):
            for path in tree.glob(pattern):
                if _executable(tree, path):
                    yield from _hook(tree, path)
    yield from _cron(tree)
    for path in ("/etc/rc.local", "/etc/rc.d/rc.local"):
        if tree.link_target(path) is None and _executable(tree, path):
            yield from script(tree, path)


def unit_loads(tree: Tree, network: HostFacts, unit: str) -> list[Load | Script] | None:
    """Return what a unit's ExecStart loads, or None where that is not known."""
    commands = network.exec_start(unit)
    return None if commands is None else _run_by(tree, commands)


def _run_by(tree: Tree, commands: Iterable[Command]) -> list[Load | Script]:
    """Return what the commands of a unit load."""
    found: list[Load | Script] = []
    for command in commands:
        words = command.words
        if len(words) > 2 and words[0].endswith("sh") and words[1] == "-c":
            line = words[2]
        else:
            line = " ".join(words)
        found += _command(tree, line, command.location)
    return found


def script(tree: Tree, path: str) -> list[Load | Script]:
    """Return what a shell script loads: the files, if it does nothing else; else itself."""
    file = tree.try_read(path, decisive=False)
    if file is None:
        return []
    loads: list[Load | Script] = []
    changes: Location | None = None
    plain = True
    for number, line in enumerate(file.text.split("\n"), 1):
        line = line.strip()
        if not line or line[0] == "#" or _IDLE.fullmatch(line) or _SAYS.fullmatch(line):
            continue
        load = load_of(line, file.at(number))
        if load is not None:
            loads.append(load)
        elif CHANGES.search(line + " ") or _is_named(line):
            changes = changes or file.at(number)
        elif not re.match(r"(echo|logger|sleep|touch|mkdir|/usr/bin/\S+|/bin/\S+)\b", line):
            plain = False  # a condition or a variable may decide about the load
    if changes is not None or (loads and not plain):
        return [Script(path, changes or loads[0].location, path)]
    return loads


# -- inside -----------------------------------------------------------------------------------


def _command(tree: Tree, line: str, location: Location) -> list[Load | Script]:
    load = load_of(line, location)
    if load is not None:
        return [load]
    if CHANGES.search(f"{line} "):
        return [Script(location.file.path, location)]
    words = line.split()
    if words and words[0].rpartition("/")[2] in ("sh", "bash", "dash") and len(words) > 1:
        words = words[1:]
    if not words or not words[0].startswith("/"):
        return []
    if tree.status(words[0]) is Status.FILE:
        return script(tree, words[0]) if _is_script(tree, words[0]) else []
    if _NAMED.search(posixpath.basename(words[0])):
        return [Script(words[0], location)]
    return []


def _is_named(line: str) -> bool:
    """Tell whether a line runs a program that is called a firewall."""
    word = line.partition(" ")[0]
    return word.startswith("/") and _NAMED.search(posixpath.basename(word)) is not None


def _is_script(tree: Tree, path: str) -> bool:
    if path.startswith(("/usr/bin/", "/usr/sbin/", "/usr/lib/", "/bin/", "/sbin/")):
        return False  # a distribution's own programs are known by their units
    file = tree.try_read(path, decisive=False)
    return file is not None and "\0" not in file.text[:512]


# Services that load what lies in places of their own, whatever starts them.
_OWN_PLACES = (
    "nftables", "ipset", "ufw", "firewalld", "netfilter-persistent", "iptables-persistent"
)  # fmt: skip
_KNOWN = (*_OWN_PLACES, "iptables", "ip6tables")


def _units(tree: Tree, network: HostFacts) -> Iterator[Load | Script]:
    """The units an administrator wrote: regular files in /etc/systemd/system, and drop-ins."""
    for name in tree.names(ETC):
        stem, _, suffix = name.removesuffix(".d").rpartition(".")
        path = f"{ETC}/{name}"
        if suffix == "service" and tree.link_target(path) is None:
            unit = f"{stem}.service"
            if network.unit_state(unit) in ("enabled", "unknown"):
                yield from _beside(tree, network, unit)
        if suffix != "service" or stem in _KNOWN or tree.link_target(path) is not None:
            continue
        if tree.status(path) is Status.FILE and network.unit_state(name) in ("enabled", "unknown"):
            yield from unit_loads(tree, network, name) or ()


def _beside(tree: Tree, network: HostFacts, unit: str) -> list[Load | Script]:
    """Return what an administrator lets a unit run before and after its own command."""
    found: list[Load | Script] = []
    for key in ("ExecStartPre", "ExecStartPost"):
        commands = network.units.commands(unit, key, whole=False) or ()
        found += _run_by(tree, (c for c in commands if c.location.file.path.startswith(ETC)))
    return found


# What runs when a network comes up, beside the hooks of ifupdown.
_DISPATCHERS = (
    ("NetworkManager", "/etc/NetworkManager/dispatcher.d/*"),
    ("NetworkManager", "/etc/NetworkManager/dispatcher.d/pre-up.d/*"),
    ("networkd-dispatcher", "/etc/networkd-dispatcher/*.d/*"),
)


def _cron(tree: Tree) -> Iterator[Load | Script]:
    """What cron runs when it starts, crontab(5); lines of users' own tables name no user."""
    own = tree.glob("/var/spool/cron/*") + tree.glob("/var/spool/cron/crontabs/*")
    for path in ["/etc/crontab", *tree.glob("/etc/cron.d/*"), *own]:
        file = tree.try_read(path, decisive=False) if tree.status(path) is Status.FILE else None
        if file is None:
            continue
        for number, line in enumerate(file.text.split("\n"), 1):
            if line.lstrip().startswith("@reboot"):
                _, _, command = line.strip().partition("@reboot")
                if path not in own:
                    _, _, command = command.strip().replace("\t", " ").partition(" ")
                yield from _command(tree, command.strip(), file.at(number))


def _interfaces(tree: Tree) -> Iterator[Load | Script]:
    files = interfaces_files(tree)
    for file in files:
        for number, line in enumerate(file.text.split("\n"), 1):
            word, _, command = line.strip().partition(" ")
            if word in ("pre-up", "up", "post-up"):
                yield from _command(tree, command.strip(), file.at(number))
    if files:
        for directory in ("/etc/network/if-pre-up.d", "/etc/network/if-up.d"):
            for name in tree.names(directory):
                path = f"{directory}/{name}"
                if re.fullmatch(r"[a-zA-Z0-9_-]+", name) and _executable(tree, path):
                    yield from _hook(tree, path)


def _hook(tree: Tree, path: str) -> Iterator[Load | Script]:
    """Return what a hook loads; what running it for each interface adds up to is not read."""
    for found in script(tree, path):
        yield found if isinstance(found, Load) else Script(found.name, found.location)


def _executable(tree: Tree, path: str) -> bool:
    if tree.status(path) is not Status.FILE:
        return False
    mode = tree.mode(path)
    return mode is None or bool(mode & 0o111)


def is_empty(file: SourceFile) -> bool:
    """Tell whether a ruleset file holds nothing but comments."""
    return all(line.strip()[:1] in ("", "#") for line in file.text.split("\n"))
