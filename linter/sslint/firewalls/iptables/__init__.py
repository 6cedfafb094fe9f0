"""iptables-save, ip6tables-save and `iptables -S` text: to the ruleset model."""

from __future__ import annotations

import gc
from typing import Literal

from sslint.firewalls.iptables.dump import Origin, Reader
from sslint.netfilter.model import Ruleset, Source
from sslint.source import SourceFile

__all__ = ["read"]


def read(
    file: SourceFile,
    family: Literal[4, 6],
    *,
    origin: Origin = "iptables",
    into: Ruleset,
    strict: bool = False,
) -> None:
    """Add the tables of a dump to a ruleset.

    Raise RulesetError with its place, and add nothing, if iptables-restore would refuse it.
    `strict` also refuses what only comes with a captured dump: prompts, carriage returns and the
    form of `iptables -S`.
    """
    order = max((c.order for table in into.tables for c in table.chains.values()), default=0)
    reader = Reader(file, family, origin, strict=strict, order=order)
    collecting = gc.isenabled()
    gc.disable()  # it walks the growing rules again and again: half of the time for 100,000
    try:
        tables = reader.read()
    finally:
        if collecting:
            gc.enable()
    into.tables += [loading.table for loading in tables.values()]
    into.missing += reader.missing
    if reader.forgiven:
        faults = [f"{what} (line {line})" for what, line in reader.forgiven.items()]
        into.assumptions.append(
            f"{file.name} shows what is loaded, although iptables-restore rejects "
            + " and ".join(faults)
        )
    into.families.add(family)
    kind = "iptables" if family == 4 else "ip6tables"
    source = Source(kind, file.name)
    if source not in into.sources:
        into.sources.append(source)
