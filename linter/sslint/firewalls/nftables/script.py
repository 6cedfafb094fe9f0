"""What a file's commands have made so far, and how those to come are to be read."""

from __future__ import annotations

from sslint.firewalls.nftables.kernel import Kernel, TableState
from sslint.firewalls.nftables.rules import RuleBuilder
from sslint.firewalls.nftables.syntax import Expression
from sslint.netfilter.model import TableFamily
from sslint.source import SourceFile
from sslint.tree import Tree
from sslint.values import dataclass, field


@dataclass(slots=True)
class Script:
    """One run of nft: what it reads, what it has defined, and the kernel that it talks to."""

    tree: Tree
    main: SourceFile
    kernel: Kernel
    listing: bool = False  # which may hold what nft itself does not read back
    alone: bool = False  # a statement that can neither include files nor define variables
    files: list[SourceFile] = field(default_factory=list)
    included: list[tuple[int, int]] = field(default_factory=list)  # where each file ends, its depth
    scopes: list[dict[str, Expression]] = field(default_factory=lambda: [{}])
    family: TableFamily = "ip"
    table: TableState | None = None
    first: int = 0  # the command's first token
    depth: int = 0  # of parentheses and sets
    inner: int = 0  # chains without a name of their own, within each other
    pending: list[tuple[TableState, RuleBuilder, int, int]] = field(default_factory=list)
