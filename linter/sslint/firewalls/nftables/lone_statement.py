"""A single statement of a rule in nft's language, as JSON listings hold it."""

from __future__ import annotations

from sslint.firewalls.errors import RulesetError
from sslint.firewalls.nftables import blocks, statements
from sslint.firewalls.nftables.cursor import Cursor
from sslint.firewalls.nftables.datatypes import Refused
from sslint.firewalls.nftables.kernel import Kernel, TableState
from sslint.firewalls.nftables.rules import RuleBuilder
from sslint.firewalls.nftables.script import Script
from sslint.netfilter.model import Chain
from sslint.source import SourceFile
from sslint.tree import Tree


def read_statement(
    text: str, builder: RuleBuilder, kernel: Kernel, table: TableState
) -> list[Chain]:
    """Add a statement to a rule and return the chains that it brings. Raise Refused."""
    file = SourceFile("", "", text + "\n")
    script = Script(Tree(None), file, kernel, listing=True, alone=True)
    script.family, script.table = table.model.family, table
    at = Cursor(file, script, blocks.GRAMMAR)
    before = set(table.model.chains)
    try:
        statements.statement(at, builder, at.tokens[at.position])
        blocks.check_pending(at)
    except RulesetError as error:
        raise Refused(error.reason) from None
    return [chain for name, chain in table.model.chains.items() if name not in before]
