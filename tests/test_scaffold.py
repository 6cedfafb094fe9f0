"""A rule that `sslint rules new` writes is a rule, and its cases hold."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from sslint import engine
from sslint.checker import check
from sslint.cli import main
from sslint.scaffold import CASES
from tests.cases import target

TOP = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)


def test_a_rule_of_ones_own_runs_at_once(capsys, tmp_path: Path) -> None:
    assert main(["rules", "new", "our-port-open"]) == 0
    said = capsys.readouterr().out
    assert (
        said
        == "wrote our-port-open.yaml\nnext: name it in .sslint.yaml: rules: [our-port-open.yaml]\n"
    )
    text = Path("our-port-open.yaml").read_text()
    [schema] = re.findall(r"^# yaml-language-server: \$schema=(.*)$", text, re.M)
    assert json.loads(Path(schema).read_text())["type"] == "object"
    shutil.copytree(TOP / "tests/sound/web-nftables/etc", tmp_path / "web/etc")
    site = tmp_path / "web/etc/nginx/sites-enabled/www"
    site.write_text(
        site.read_text().replace("listen 443 ssl d", "listen 8081;\n    listen 443 ssl d", 1)
    )
    (tmp_path / ".sslint.yaml").write_text("rules: [our-port-open.yaml]\n")
    main(["check", "web"])
    assert "warning[our-port-open]: nginx listens on tcp/8081" in capsys.readouterr().out
    assert main(["explain", "our-port-open"]) == 0
    assert "remove the listener" in capsys.readouterr().out


def test_its_cases_hold(tmp_path: Path) -> None:
    for name in ("rules/sslint", "rules/hygiene", "tests/rules", "schemas"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "schemas/rule.schema.json").write_text("{}")
    assert main(["rules", "new", "our-port-open"]) == 0
    text = (tmp_path / "rules/hygiene/our-port-open.yaml").read_text()
    cases = yaml.safe_load((tmp_path / "tests/rules/our-port-open.yaml").read_text())
    assert cases == yaml.safe_load(CASES)
    rules = engine.load([("our-port-open.yaml", text.encode())])
    for key, fires in (("fires", True), ("silent", False)):
        for case in cases[key]:
            found = check([target(cases["host"], tuple(case["edits"]))], rules).findings
            assert [one.severity for one in found] == ["warning"] * fires


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["new"], "use `sslint rules` or `sslint rules new NAME`"),
        (["old", "our-rule"], "use `sslint rules` or `sslint rules new NAME`"),
        (["new", "Rule"], "a name is words of small letters"),
        (["new", "../our-rule"], "a name is words of small letters"),
        (["new", "quic-udp-closed"], "there is a rule quic-udp-closed"),
        (["new", "our-rule"], "our-rule.yaml exists"),
    ],
)
def test_what_cannot_be_is_status_2(capsys, tmp_path: Path, words: list[str], said: str) -> None:
    (tmp_path / "our-rule.yaml").write_text("mine")
    assert main(["rules", *words]) == 2
    assert said in capsys.readouterr().err
    assert (tmp_path / "our-rule.yaml").read_text() == "mine"
