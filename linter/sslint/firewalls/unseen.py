"""What changes the ruleset at boot beside its managers, and what may and is not in the tree.

WireGuard, OpenVPN and cloud-init run commands of their own. A script that a unit, rc.local or cron
starts may load rules; where it is not in the tree, that a host loads none is not known.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator

from sslint.firewalls.commands import CHANGES
from sslint.netfilter.model import Missing
from sslint.network import HostFacts
from sslint.network.interfaces import interfaces_files
from sslint.network.units import ETC
from sslint.regex import regex
from sslint.source import Location, SourceFile
from sslint.tree import Status, Tree

MAX_DEPTH = 4  # of scripts that call scripts
MAX_SCRIPTS = 200
# A program in the place of a command, if need be behind an interpreter.
_CALLED = regex(
    r"(?:^|[;&|(`]|\b(?:then|do|else|exec|nohup|sudo|nice|setsid|source)\b|(?:^|\s)\.(?=\s))\s*"
    r"(?P<shell>(?:/\S*/|/usr/bin/env\s+)?(?:ba|da|k|z)?sh\s+(?:-[a-z]+\s+)*)?[\"']?"
    r"(?P<path>/[^\s;&|<>()'\"$`*]++)(?![$`*])"
)
_INTERPRETER = regex(r"(?:/\S*/)?(?:(?:ba|da|k|z)?sh|python[\d.]*|perl|ruby|node|php[\d.]*)")
# Where distributions keep programs, which are known by their units; and /etc, which is all there.
_SYSTEM = regex(r"/usr/(s?bin|lib\w*|share)/|/(s?bin|lib\w*|dev|proc|sys|run|etc)/")
_WG_STARTS = regex(r"^[ \t]*(?:PreUp|PostUp)[ \t]*=[ \t]*(.+)$", re.M | re.I)
_OPENVPN_UP = regex(r"^[ \t]*up[ \t]+[\"']?(\S+?)[\"']?(?:\s.*)?$", re.M)
# Forwarding from or to a tunnel and the address of what leaves through one: nobody from outside
# gets in or is kept out by these.
_IPTABLES = r"(?:/\S*/)?ip6?tables(?:-legacy|-nft)?(?:\s+(?:-w|--wait)(?:\s+\d+)?)*\s+"
_OF_A_TUNNEL = (
    rf"{_IPTABLES}(?:-t\s+filter\s+)?-[AI]\s+(?:FORWARD|INPUT)\s+(?:\d+\s+)?(?=.*-i\s+TUNNEL\b)[^;&|]*-j\s+ACCEPT\s*",
    rf"{_IPTABLES}(?:-t\s+filter\s+)?-[AI]\s+FORWARD\s+(?:\d+\s+)?(?=.*-o\s+TUNNEL\b)[^;&|]*-j\s+ACCEPT\s*",
    rf"{_IPTABLES}-t\s+nat\s+-[AI]\s+POSTROUTING\s[^;&|]*-j\s+(?:MASQUERADE|SNAT\s+--to-source\s+\S+)\s*",
    rf"{_IPTABLES}-t\s+mangle\s+-[AI]\s+\w+\s[^;&|]*-j\s+TCPMSS\s[^;&|]*",
)


def changes(tree: Tree, network: HostFacts) -> Iterator[Missing]:
    """Yield what tunnels and cloud-init do to the ruleset when a host boots."""
    for path in tree.glob("/etc/wireguard/*.conf"):
        name = posixpath.basename(path).removesuffix(".conf")
        if network.unit_state(f"wg-quick@{name}") not in ("disabled", "masked"):
            for file in _texts(tree, [path]):
                for match in _WG_STARTS.finditer(file.text):
                    if not _is_of_tunnel(match[1], name):
                        yield from _change(match[1], file.span(match.start()))
    for file in _texts(tree, tree.glob("/etc/openvpn/*.conf") + tree.glob("/etc/openvpn/server/*")):
        for match in _OPENVPN_UP.finditer(file.text):
            for script in _texts(tree, [posixpath.join("/etc/openvpn", match[1])]):
                yield from _change(script.text, script.at(1))
    clouds = ["/etc/cloud/cloud.cfg", *tree.glob("/etc/cloud/cloud.cfg.d/*.cfg")]
    for file in _texts(tree, [*clouds, *tree.glob("/var/lib/cloud/scripts/per-boot/*")]):
        for number in range(1, len(file.starts) + 1):
            line = re.sub(r"[\[\],\"']", " ", file.line(number).strip())  # a list is a command, too
            if not line.startswith("#"):
                yield from _change(line.removeprefix("- ").strip(), file.at(number))


def scripts(tree: Tree, network: HostFacts) -> Iterator[Missing]:
    """Yield the scripts that start at boot and are not in the tree."""
    seen: set[str] = set()
    for line, location, any_program in _lines(tree, network):
        for path, where in _absent(tree, line, location, any_program, seen, 0):
            reason = f"{where} runs {path}, which is not in the files"
            yield Missing(reason, (4, 6), where, may_open=True)


# -- inside ---------------------------------------------------------------------------------------


def _texts(tree: Tree, paths: Iterable[str]) -> Iterator[SourceFile]:
    for path in paths:
        file = tree.try_read(path, decisive=False) if tree.status(path) is Status.FILE else None
        if file is not None:
            yield file


def _change(text: str, location: Location) -> Iterator[Missing]:
    if CHANGES.search(f"{text} "):
        where = f"{location.path}:{location.line}"
        yield Missing(f"{where} changes the firewall", (4, 6), location, may_open=True)


def _is_of_tunnel(line: str, name: str) -> bool:
    """Tell whether commands change nothing for those who do not come through a tunnel."""
    patterns = [one.replace("TUNNEL", f"(?:%i|{re.escape(name)})") for one in _OF_A_TUNNEL]
    return all(
        not CHANGES.search(f" {part} ") or any(re.fullmatch(one, part.strip()) for one in patterns)
        for part in re.split(r";|&&|\|\|", line)
    )


def _lines(tree: Tree, network: HostFacts) -> Iterator[tuple[str, Location, bool]]:
    """Yield the commands that run at boot, and whether any program there may be a script.

    Of a unit's own command only one that ends may be; another is a daemon.
    """
    for name in tree.names(ETC):
        path = f"{ETC}/{name}"
        own = name.endswith(".service") and tree.link_target(path) is None
        if own and network.unit_state(name) in ("enabled", "unknown"):
            ends = any(
                command.words[:1] in (("oneshot",), ("yes",), ("true",))
                for key in ("Type", "RemainAfterExit")
                for command in network.units.commands(name, key, whole=False) or ()
            )
            for key in ("ExecStartPre", "ExecStart", "ExecStartPost"):
                for command in network.units.commands(name, key, whole=False) or ():
                    words = command.words
                    once = ends or key != "ExecStart"
                    yield " ".join(words), command.location, once
                    if once and words and _INTERPRETER.fullmatch(words[0]):
                        yield from ((word, command.location, True) for word in words[1:])
    for path in ("/etc/rc.local", "/etc/rc.d/rc.local", *_scripts_of_boot(tree, network)):
        for file in _texts(tree, [path]):
            any_program = path.endswith("rc.local")  # an init script starts a daemon
            yield from ((line, where, any_program) for line, where in _commands(file))
    for file in _texts(tree, ["/etc/crontab", *tree.glob("/etc/cron.d/*")]):
        for line, where in _commands(file):
            if line.startswith("@reboot"):
                yield line.replace("\t", " ").split(" ", 2)[-1].strip(), where, True
    for file in interfaces_files(tree):
        for line, where in _commands(file):
            word, _, hook = line.partition(" ")
            if word in ("pre-up", "up", "post-up"):
                yield hook.strip(), where, True


def _scripts_of_boot(tree: Tree, network: HostFacts) -> Iterator[str]:
    yield from (f"/etc/init.d/{name}" for name in network.units.init_scripts())
    for pattern in (
        "/etc/network/if-pre-up.d/*",
        "/etc/network/if-up.d/*",
        "/etc/NetworkManager/dispatcher.d/*",
        "/etc/networkd-dispatcher/*.d/*",
    ):
        yield from tree.glob(pattern)


def _commands(file: SourceFile) -> Iterator[tuple[str, Location]]:
    for number in range(1, len(file.starts) + 1):
        line = file.line(number).strip()
        if line and not line.startswith("#"):
            yield line, file.at(number)


def _absent(
    tree: Tree, line: str, where: Location, any_program: bool, seen: set[str], depth: int
) -> Iterator[tuple[str, Location]]:
    """Yield the scripts that a line runs, or that those run, and that the tree does not hold."""
    for match in _CALLED.finditer(line):
        path = match["path"]
        there = tree.status(path) is Status.FILE
        if path in seen or len(seen) > MAX_SCRIPTS or (_SYSTEM.match(path) and not there):
            continue
        seen.add(path)
        if there:
            for file in _texts(tree, [path]) if depth < MAX_DEPTH else ():
                if "\0" not in file.text[:512]:
                    for called, place in _commands(file):
                        yield from _absent(tree, called, place, True, seen, depth + 1)
        elif any_program or match["shell"] or path.endswith(".sh"):
            yield path, where
