"""How the owner of a ruleset is told to change it, each in its own words."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from sslint.firewalls import speech
from sslint.firewalls.iptables.dump import Origin
from sslint.host import read
from sslint.targets import Target
from sslint.tree import Tree

HOST = Path(__file__).parents[1] / "sound/web-ufw"


@pytest.mark.parametrize("origin", get_args(Origin))
def test_every_owner_is_spoken_for(origin: str) -> None:
    for what in ("places", "insertion", "removal"):
        assert callable(getattr(speech.of(origin), what))


def test_answers_are_let_in_where_ufw_keeps_its_own_rules() -> None:
    """No command of ufw writes what stands in before.rules, and it is iptables' text there."""
    tree = Tree(HOST)
    rules, settings = "/etc/ufw/before.rules", "/etc/default/ufw"
    lines = tree.read(rules).text.splitlines(keepends=True)
    changed = {
        rules: "".join(line for line in lines if "ESTABLISHED" not in line),
        settings: tree.read(settings).text.replace(
            'OUTPUT_POLICY="ACCEPT"', 'OUTPUT_POLICY="DROP"'
        ),
    }
    firewall = read(Target("host", tree.with_overlay(changed))).firewall
    assert firewall is not None
    suggested = firewall.suggest_open("tcp", 443, 4, places=speech.places)
    assert suggested
    said = [speech.of(one.table.origin).insertion(tree, one) for one in suggested]
    assert [(one.commands, one.text, one.place and one.place.path) for one in said if one] == [
        (
            (),
            "-A ufw-before-output -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
            "etc/ufw/before.rules",
        )
    ]
