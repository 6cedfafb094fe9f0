"""A firewall that opens another port than a service listens on is one error, and all else folds."""

from __future__ import annotations

import pytest

from sslint import engine
from sslint.checker import check
from sslint.intent import parse
from tests.cases import Case, load_cases, target

RULE = "open-port-differs-from-listener"
CASES = [c for c in load_cases() if c.rule == RULE and c.fires and c.expect["severity"] == "error"]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_follows_is_folded(case: Case) -> None:
    host = target(case.host, case.edits, intent=parse(case.settings))
    result = check([host], engine.bundled())
    [finding] = [f for f in result.findings if f.rule.name == RULE]
    same = [f.rule.name for f in result.findings if f.fact.subjects & finding.fact.subjects]
    assert same == [RULE]
    folded = {f.rule.name for f in finding.also_affects}
    assert "tls-port-closed" in folded
    assert f"tcp/{finding.fact.port}" in finding.message
    assert f"tcp/{finding.fact.opened}" in finding.message


def test_a_redirect_to_the_open_port_is_folded() -> None:
    edits = (
        {"in": "etc/nginx/sites-enabled/www", "replace": "listen 443 ssl", "by": "listen 8443 ssl"},
        {
            "in": "etc/nginx/sites-enabled/www",
            "replace": "listen [::]:443 ssl",
            "by": "listen [::]:8443 ssl",
        },
    )
    result = check([target("web-nftables", edits)], engine.bundled())
    [finding] = [f for f in result.findings if f.severity == "error"]
    assert finding.rule.name == RULE
    assert {f.rule.name for f in finding.also_affects} == {
        "open-port-no-listener",
        "redirect-to-unserved-port",
        "tls-port-closed",
    }
    places = [f"{s.location.path}:{s.location.line}" for s in (finding.span, *finding.related[:2])]
    assert places == [
        "etc/nginx/sites-enabled/www:14",
        "etc/nftables.conf:18",
        "etc/nftables.conf:11",
    ]
    fix = result.fixes[id(finding)]
    assert fix.title == (
        "open tcp/8443 in this firewall, or let nginx listen on tcp/443"
        " (etc/nginx/sites-enabled/www:14)"
    )
    assert fix.proved
    assert {edit.text.strip() for edit in fix.edits} == {"tcp dport 8443 accept"}
