"""One host to read: its tree, and what was named for it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sslint.intent import Intent
from sslint.netfilter.model import Ruleset
from sslint.tree import Tree
from sslint.values import dataclass, field

if TYPE_CHECKING:
    from sslint.ask import Expectation

Given = tuple[str | None, str]
"""A ruleset that was named: its kind, and its place in the tree."""


@dataclass(slots=True)
class Target:
    """One host to read.

    `firewall` are the rulesets that were named, (kind or None, path in the tree); without any,
    those of the tree count, or with `no_firewall` none at all.
    """

    name: str
    tree: Tree
    firewall: tuple[Given, ...] = ()
    no_firewall: bool = False
    addresses: tuple[str, ...] = ()
    announced: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    intent: Intent = field(default_factory=Intent)
    expect: tuple[Expectation, ...] = ()  # stated in the file that lies at `settings`
    settings: str | None = None
    running: Ruleset | None = None  # what the kernel has loaded, if it was asked
    now: datetime | None = None  # when certificates are judged; None: by the clock
    assumed: tuple[str, ...] = ()  # what the files were completed with
    top: Path | None = None  # the directory that was given and holds no other host
    unclaimed: tuple[str, ...] | None = None  # what may serve TLS there; made when it is asked
