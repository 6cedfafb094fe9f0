"""A single statement of a rule in nft's language, as JSON listings hold it."""

from __future__ import annotations

from sslint.firewalls.errors import RulesetError
from sslint.firewalls.nftables.blocks import BlockParser
from sslint.firewalls.nftables.datatypes import Refused
from sslint.firewalls.nftables.kernel import Kernel, TableState
from sslint.firewalls.nftables.rules import RuleBuilder
from sslint.netfilter.model import Chain
from sslint.source import SourceFile
from sslint.tree import Tree


class _InnerParser(BlockParser):
    """Reads statements that can neither include files nor define variables."""

    def common(self) -> bool:
        return False


def read_statement(
    text: str, builder: RuleBuilder, kernel: Kernel, table: TableState
) -> list[Chain]:
    """Add a statement to a rule and return the chains that it brings. Raise Refused."""
    parser = _InnerParser(Tree(None), SourceFile("", "", text + "\n"), kernel)
    parser.listing = True
    parser.family = table.model.family
    parser._table = table
    before = set(table.model.chains)
    try:
        parser.statement(builder, parser.tokens[parser.position])
        parser.check_pending()
    except RulesetError as error:
        raise Refused(error.reason) from None
    return [chain for name, chain in table.model.chains.items() if name not in before]
