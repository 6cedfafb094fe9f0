"""What iptables takes and refuses, without asking it; tests/live asks."""

from __future__ import annotations

import pytest

from sslint.firewalls import iptables
from sslint.firewalls.errors import RulesetError
from sslint.netfilter.model import Ruleset
from sslint.source import SourceFile
from tests.firewalls.iptables_rules import ACCEPTED, REFUSED


def dump(table: str, command: str) -> SourceFile:
    return SourceFile("/r", "r", f"*{table}\n:c1 - [0:0]\n{command}\nCOMMIT\n")


@pytest.mark.parametrize(("family", "table", "command"), ACCEPTED)
def test_taken(family: int, table: str, command: str) -> None:
    ruleset = Ruleset()
    iptables.read(dump(table, command), 6 if family == 6 else 4, into=ruleset, strict=True)
    assert [found.name for found in ruleset.tables] == [table]


@pytest.mark.parametrize(("family", "table", "command"), REFUSED)
def test_refused(family: int, table: str, command: str) -> None:
    ruleset = Ruleset()
    with pytest.raises(RulesetError) as error:
        iptables.read(dump(table, command), 6 if family == 6 else 4, into=ruleset, strict=True)
    assert error.value.location is not None
    assert error.value.location.line == 3
    assert ruleset == Ruleset()
