"""What keeps a finding quiet keeps its consequences quiet, and says when it is of no use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sslint import engine, silence
from sslint.checker import check
from sslint.result import Result
from tests.cases import target

SITE = "etc/nginx/nginx.conf"
CLOSED = (
    {"in": "etc/iptables/rules.v4", "replace": "--dports 80,443", "by": "--dports 80"},
    {"in": "etc/iptables/rules.v6", "replace": "--dports 80,443", "by": "--dports 80"},
)


def checked(*edits: dict[str, Any], select: tuple = (), ignore: tuple = ()) -> Result:
    rules, deselected = engine.select(engine.bundled(), select, ignore)
    return check([target("web-iptables", edits)], rules, deselected=deselected)


def names(result: Result) -> list[str]:
    return [finding.rule.name for finding in result.findings]


def comment(text: str) -> dict[str, str]:
    """Return the edit that puts a comment above the listener whose port is closed."""
    line = "listen 443 ssl;"
    return {"in": SITE, "replace": f"        {line}", "by": f"        # {text}\n        {line}"}


def test_an_ignored_cause_keeps_its_consequences_to_itself() -> None:
    assert "tls-port-closed" in names(checked(*CLOSED))
    result = checked(*CLOSED, comment("sslint: ignore[tls-port-closed] behind a tunnel"))
    assert names(result) == []
    assert result.ignored == 1


def test_a_deselected_cause_keeps_its_consequences_to_itself() -> None:
    assert names(checked(*CLOSED, ignore=("tls-port-closed",))) == []
    assert names(checked(*CLOSED, ignore=("reachability",))) == []


def test_a_selected_consequence_is_reported_without_its_cause() -> None:
    chosen = ("redirect-to-unserved-port",)
    assert names(checked(*CLOSED, select=chosen)) == ["redirect-to-unserved-port"]


def test_a_family_is_ignored_by_its_name() -> None:
    assert names(checked(*CLOSED, comment("sslint: ignore[reachability] a tunnel"))) == []


@pytest.mark.parametrize(
    "text", ["sslint: ignore", "sslint: ignore[]", "sslint: ignore a tunnel", "sslint:ignore[ ]"]
)
def test_a_bare_ignore_ignores_nothing_and_is_reported(text: str) -> None:
    result = checked(*CLOSED, comment(text))
    assert {"tls-port-closed", "unused-ignore"} == set(names(result))
    found = next(f for f in result.findings if f.rule.name == "unused-ignore")
    assert found.message.startswith("`sslint:")


@pytest.mark.parametrize("text", ["sslint: ignored here", "see sslint"])
def test_prose_is_no_comment_of_ours(text: str) -> None:
    assert "unused-ignore" not in names(checked(comment(text)))


def test_a_comment_for_a_rule_that_was_not_asked_for_is_not_without_use() -> None:
    edit = comment("sslint: ignore[tls-port-closed] behind a tunnel")
    assert names(checked(edit)) == ["unused-ignore"]
    assert names(checked(*CLOSED, edit, select=("sslint", "tls"))) == []
    assert names(checked(*CLOSED, edit, ignore=("tls-port-closed",))) == []


def test_a_misspelt_name_is_reported_whatever_was_asked_for() -> None:
    edit = comment("sslint: ignore[tls-port-close]")
    assert names(checked(edit, select=("sslint",))) == ["unused-ignore"]


def test_a_cause_in_the_baseline_keeps_its_consequences_to_itself(tmp_path: Path) -> None:
    baseline = str(tmp_path / "baseline.json")
    silence.write_baseline(checked(*CLOSED), baseline)
    again = checked(*CLOSED)
    silence.apply_baseline(again, baseline, Path(baseline).read_bytes())
    assert names(again) == []
    assert again.baselined == 1


GAMMA = """server {
    listen 443 ssl;
    server_name gamma.example.org;
    # sslint: ignore[cert-name-mismatch] moves next week
    ssl_certificate /etc/letsencrypt/live/www.example.org/fullchain.pem;
    ssl_certificate_key /etc/letsencrypt/live/www.example.org/privkey.pem;
}
"""


def test_a_name_that_is_not_covered_is_ignored_in_its_own_block() -> None:
    live = "etc/letsencrypt/live/www.example.org"
    own = ["www.example.org", "example.org"]
    edits = (
        {
            "certificate": {"names": own},
            "chain": f"{live}/fullchain.pem",
            "key": f"{live}/privkey.pem",
        },
        {"in": "etc/nginx/sites-enabled/www", "append": GAMMA},
    )
    rules, _ = engine.select(engine.bundled(), ["cert-name-mismatch", "sslint"])
    result = check([target("web-nftables", edits)], rules)
    assert names(result) == []
    assert result.ignored == 1
