"""The ruleset that a script would leave, where nothing saved is in force: assumed, and said so."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from sslint.edges import Edge
from sslint.firewalls.errors import RulesetError
from sslint.firewalls.marks import ASIDE, DUMP
from sslint.firewalls.scripts.blocks import shell_of
from sslint.netfilter.model import Missing, Ruleset, Source
from sslint.network.whole import is_whole_etc
from sslint.reasons import Code
from sslint.regex import regex
from sslint.source import Location, SourceFile
from sslint.tree import Status, Tree

# Where people keep a script that nothing in the tree runs.
_PLACES = (
    "/etc/firewall*",
    "/etc/firewall/*",
    "/etc/iptables*",
    "/etc/ip6tables*",
    "/etc/iptables/*",
    "/etc/network/*",
    "/etc/network/if-*.d/*",
    "/etc/nftables*",
    "/etc/*.sh",
    "/etc/rc.local",
    "/etc/rc.d/rc.local",
    "/etc/rc.d/rc.firewall*",
    "/etc/init.d/*firewall*",
    "/etc/init.d/*iptables*",
    "/root/*firewall*",
    "/root/*iptables*",
    "/usr/local/bin/*firewall*",
    "/usr/local/bin/*iptables*",
    "/usr/local/sbin/*firewall*",
    "/usr/local/sbin/*iptables*",
    "/opt/*firewall*",
    "/opt/*iptables*",
)
# A line that adds to a ruleset, or sets a policy; with the tool's name in a variable as well.
_TELLS = regex(
    r"^[ \t]*(?:sudo[ \t]+)?[\"']?(?P<tool>\$?\{?[\w/-]{1,60})\}?[\"']?[ \t]+"
    r"(?:-t[ \t]*\w{1,20}[ \t]+|-w[ \t]+)?"
    r"(?:-[AIP][ \t]*\w|--append|--insert|--policy|add[ \t]+rule|-f[ \t]+-|allow\b|default\b)",
    re.M,
)
_TOOL = regex(r"ip6?t|fw|nft", re.I)
MIN_LINES = 3
_STOPS = regex(r"(?<![a-z])(?:stop|down|off|disable|flush|reset|clear)(?![a-z])", re.I)


def load(tree: Tree, path: str, into: Ruleset, ran: Location | None = None) -> None:
    """Add what a script leaves; where it is not followed, its layer is unknown.

    `ran` is the line that runs it, None if nothing in the tree does.
    """
    from sslint.firewalls.scripts.reader import read

    part = Ruleset()
    missing: Missing | None = None
    with Edge(tree, "script:", path) as edge:
        file = tree.try_read(path)
        if file is None:
            missing = Missing(f"the script {path} manages the firewall", (4, 6), ran, may_open=True)
        else:
            try:
                block = shell_of(file)
                read(tree, block or file, part, bash=block is not None)
            except RulesetError as error:
                missing = _not_followed(path, error.reason, error.location or ran)
    if edge.reason:
        reason = f"the script {path} manages the firewall and {edge.reason}"
        missing = Missing(reason, (4, 6), edge.location or ran, may_open=True)
    if missing is not None:
        tree.problem(missing.location or path, missing.reason, code=Code.UNKNOWN)
        part = Ruleset(missing=[missing], sources=[Source("script", tree.name(path))])
    elif (
        part.sources
        and not part.missing
        and not _says_who_enters(part)
        and (ran is None or not is_whole_etc(tree))  # which shows all else that is loaded
    ):
        name = tree.name(path)
        reason = f"{name} has no rules for input: what else is loaded is not in the files"
        part = Ruleset(missing=[Missing(reason, (4, 6), ran, may_open=True)], sources=part.sources)
    else:
        part.missing = [
            _not_followed(path, one.reason, one.location, one.families) for one in part.missing
        ]
    if part.sources and ran is None:
        name = tree.name(path)
        part.assumptions.append(f"{name} is run at boot: what runs it is not in these files")
    into.add(part)


def _says_who_enters(ruleset: Ruleset) -> bool:
    """Tell whether a ruleset says anything of what comes in, and is not a piece of another."""
    return any(
        chain.base is not None
        and chain.base.hook in ("input", "prerouting")
        and chain.base.type != "nat"
        and (chain.rules or chain.base.policy == "drop")
        for table in ruleset.tables
        for chain in table.chains.values()
    )


def _not_followed(
    path: str, reason: str, location: Location | None, families: tuple[int, ...] = (4, 6)
) -> Missing:
    where = f" at {location.path}:{location.line}" if location is not None else ""
    said = f"the script {path} manages the firewall and is not followed{where}: {reason}"
    return Missing(said, families, location, may_open=True)


def kept(tree: Tree) -> list[SourceFile]:
    """Return the scripts of firewall commands that lie in the tree, whatever runs them."""
    return [file for file in _files(tree) if tells(file)]


def stops(path: str) -> bool:
    """Tell whether a script's name says that it takes the firewall down."""
    return _STOPS.search(posixpath.basename(path)) is not None


def tells(file: SourceFile) -> bool:
    """Tell whether a file is a shell script that fills a ruleset."""
    block = shell_of(file)
    text = (block or file).text[:200_000]
    first = text.split("\n", 1)[0]
    if first.startswith("#!") and not re.match(r"#!.*\b(?:ba|da|a)?sh\b", first):
        return False
    if not first.startswith("#!") and DUMP.search(text):
        return False
    found = (match for match in _TELLS.finditer(text) if _TOOL.search(match["tool"]))
    return any(count == MIN_LINES for count, _ in enumerate(found, 1))


# What scripts of a firewall are called in a repository, and files that hold commands.
NAMES = regex(
    r"^((firewall|ip6?tables|nftables|fw)([-_.]?\w{1,20})?\.sh|rc\.(local|firewall)|firewall"
    r"|Vagrantfile|user-data|cloud-init\.ya?ml)$"
)


def is_script(name: str, text: str) -> bool:
    """Tell whether a file of a repository holds commands that fill a ruleset."""
    return tells(SourceFile(name, name, text))


def _files(tree: Tree) -> Iterator[SourceFile]:
    for path in dict.fromkeys(path for pattern in _PLACES for path in tree.glob(pattern)):
        name = posixpath.basename(path)
        aside = ASIDE.search(name.removesuffix(".sh"))
        if not aside and tree.status(path) is Status.FILE and tree.link_target(path) is None:
            file = tree.try_read(path, decisive=False)
            if file is not None:
                yield file
