"""nftables rulesets as text: what `nft -f` reads and `nft list ruleset` prints.

A `Script` is one run of nft: variables, and the `Kernel` that commands change. A `Cursor` stands at
a token of it. What reads the grammar are functions of a cursor: `commands`, the `blocks` between
braces, the `statements` of a rule (`stateful`: those that count), its `expressions`. What
statements say goes to a `RuleBuilder`.
"""

from __future__ import annotations

import re

from sslint.firewalls.errors import RulesetError
from sslint.firewalls.nftables import commands
from sslint.firewalls.nftables.kernel import Kernel
from sslint.firewalls.nftables.script import Script
from sslint.netfilter.model import Ruleset, Source
from sslint.regex import regex
from sslint.source import SourceFile
from sslint.tree import Tree

# What `nft list ruleset` never prints; it names the program that owns a table.
_UNLISTED = regex(
    r"^#!|^[ \t]*(?:flush|define|redefine|undefine|include|create|insert|destroy|replace|rename)\s"
    r"|^[ \t]*(?:add|delete)\s+[^@\s]"
    r"|^table [^#\n{]*\{[ \t]*\n[ \t]*flags [^\n]*\bowner\b",
    re.MULTILINE,
)
_MANAGED = regex(r"^# Warning: table (\S+) (\S+) is managed by iptables-nft", re.MULTILINE)


def read(tree: Tree, path: str, into: Ruleset, *, listing: bool | None = None) -> list[SourceFile]:
    """Run a file as `nft -f` does on an empty kernel, and add its tables to a ruleset.

    Return the files that were read. Raise TreeError where the file cannot be read, RulesetError
    where nft refuses it: nothing is loaded then.
    `listing`: the file is what `nft list ruleset` printed, which may hold remnants of iptables
    rules that nft prints and does not read back. None takes files below /etc and /var for what is
    loaded at boot, and others for listings. What a listing never says makes a file none.
    """
    file = tree.read(path)
    if listing is None:
        listing = not path.startswith(("/etc/", "/var/"))
    listing = listing and _UNLISTED.search(file.text) is None
    script = Script(tree, file, Kernel(), listing=listing, files=[file])
    try:
        tables = commands.run(script)
    except RecursionError:
        raise RulesetError("too many levels of nesting", file.span(0)) from None
    managed = {
        (family, name) for read in script.files for family, name in _MANAGED.findall(read.text)
    }
    for table in tables:
        if (table.family, table.name) in managed:
            table.origin = "iptables"
    into.tables += tables
    into.sources.append(Source("nft", file.name, script.kernel.flushed))
    into.families |= {4, 6}
    return script.files
