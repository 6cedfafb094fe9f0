"""The HTML page of a diff: what its text and its elements say, without a browser."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from sslint.cli import main
from tests import pki
from tests.cases import EXAMPLES
from tests.reports import hosts
from tests.reports.test_page import Read

NOW = ("--now", "2026-06-01")


def page(capsys: pytest.CaptureFixture[str], *words: object) -> Read:
    capsys.readouterr()
    main(["diff", *map(str, words), "--format", "html"])
    found = Read(capsys.readouterr().out)
    assert len(set(found.ids)) == len(found.ids)
    assert {link.removeprefix("#") for link in found.links} <= set(found.ids)
    assert all(link.startswith("#m-") for link in found.loads), "nothing is loaded"
    assert found.tags.count("script") == 1
    return found


@pytest.fixture
def sides(tmp_path: Path) -> tuple[Path, Path]:
    """The sound example twice."""
    found = tmp_path / "old", tmp_path / "new"
    for one in found:
        shutil.copytree(EXAMPLES / "sound/etc", one / "etc")
    return found


def _edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_who_gets_in_before_and_after_and_by_which_lines(capsys, sides) -> None:
    rules = sides[1] / "etc/nftables.conf"
    _edit(rules, "{ 25, 465, 587, 993 }", "{ 25, 465, 587 }")
    more = (
        "ip saddr 10.0.0.0/8 tcp dport 993 accept",
        "ip saddr { 198.51.100.0/24, 203.0.113.7 } tcp dport 5432 accept",
    )
    _edit(rules, "$mail accept\n", "\n".join(("$mail accept", *more, "")))
    text = page(capsys, *sides).text
    assert "opens over IPv4 to 198.51.100.0/24, 203.0.113.7/32" in text
    assert "Before closed etc/nftables.conf:" in text
    assert "After open ip saddr { 198.51.100.0/24, 203.0.113.7 } tcp dport 5432 accept" in text
    assert "nothing listens" in text
    assert "closes over IPv4 to all but 10.0.0.0/8" in text
    assert "IPv4: 2 networks198.51.100.0/24, 203.0.113.7/32" in text
    assert "closes over IPv6 to everyone" in text
    assert "Decided before by" in text
    assert "warning" in text
    assert "source-restricted-tls-port" in text or "tls-port-closed" in text
    assert "All listeners before and after" in text
    assert "dovecot on [::]:993/tcp with TLS (differs)open over IPv6closed over IPv6" in text


def test_listeners_that_come_go_and_change(capsys, sides) -> None:
    site = sides[1] / "etc/nginx/sites-enabled/www"
    _edit(site, "listen 443 ssl", "listen 443")
    _edit(site, "listen 80", "listen 8080")
    text = page(capsys, *sides).text
    assert "changes nginx on 0.0.0.0:443/tcp" in text
    assert "tls: implicit → none" in text
    assert "listens nginx on 0.0.0.0:8080/tcp" in text
    assert "no longer listens nginx on 0.0.0.0:80/tcp" in text


def test_a_renewed_certificate(capsys, sides) -> None:
    names = ("www.example.org", "example.org")
    for side, left in zip(sides, (40, 80), strict=True):
        file = side / "etc/letsencrypt/live/www.example.org/fullchain.pem"
        file.parent.mkdir(parents=True)
        file.write_text(pki.pem(pki.leaf(names, left=left), pki.authority("Intermediate R1")))
    text = page(capsys, *sides, *NOW).text
    assert "expires 2026-07-11 → 2026-08-20" in text


def test_what_is_not_known_any_more(capsys, sides) -> None:
    rules = sides[1] / "etc/nftables.conf"
    rules.write_text(rules.read_text() + "table inet {\n")
    text = page(capsys, *sides).text
    assert "no longer known" in text
    assert "After not known" in text
    assert "No longer readetc/nftables.conf syntax error" in text


def test_no_difference(capsys, sides) -> None:
    assert "no difference" in page(capsys, *sides).text


def test_rulesets_alone(capsys, tmp_path: Path) -> None:
    text = "table inet f { chain i { type filter hook input priority 0; policy drop;\n%s\n}\n}\n"
    files = [tmp_path / "old.nft", tmp_path / "new.nft"]
    for file, rule in zip(files, ("", "tcp dport 22 limit rate 3/minute accept"), strict=True):
        file.write_text(text % rule)
    words = ["--old-firewall", f"nft={files[0]}", "--new-firewall", f"nft={files[1]}"]
    found = page(capsys, *words)
    assert "Rulesets" in found.text
    assert "opens over IPv4 to everyone" in found.text


def test_many_hosts_are_a_table(capsys, tmp_path: Path) -> None:
    for side in ("old", "new"):
        (tmp_path / side / ".git").mkdir(parents=True)
        for name in ("web", "mail", f"only-{side}"):
            shutil.copytree(EXAMPLES / "sound/etc", tmp_path / side / name / "etc")
    shutil.rmtree(tmp_path / "new/only-new/etc/dovecot")
    _edit(tmp_path / "new/web/etc/nftables.conf", ", 993 }", " }")
    found = page(capsys, tmp_path / "old", tmp_path / "new")
    assert found.tags.count("tbody") > 1
    assert "3 of 4 hosts differ" in found.text
    assert found.text.index("only-new") < found.text.index("mail")


def test_more_than_fits_is_counted(capsys, tmp_path: Path) -> None:
    rule = "ip saddr 198.51.{}.0/24 tcp dport {} accept\n"
    text = (
        "table inet f {{ chain i {{ type filter hook input priority 0; policy drop;\n{}\n}}\n}}\n"
    )
    files = [tmp_path / "old.nft", tmp_path / "new.nft"]
    many = "".join(rule.format(n % 250, 1000 + 2 * n) for n in range(400))
    for file, rules in zip(files, ("", many), strict=True):
        file.write_text(text.format(rules))
    words = ["--old-firewall", f"nft={files[0]}", "--new-firewall", f"nft={files[1]}"]
    found = page(capsys, *words)
    assert "400 opened ports" in found.text
    assert "and 100 more: sslint diff --format json has them all" in found.text


def test_hostile_names_stay_text(capsys, tmp_path: Path) -> None:
    new = hosts.hostile(tmp_path / "repo")
    old = tmp_path / "other"
    shutil.copytree(EXAMPLES / "sound/etc", old / "etc")
    for words in ((old, new), (new, old)):
        found = page(capsys, *words)
        assert "<img src=x onerror=alert(1)>" in found.text
        assert "img" not in found.tags


def test_a_tampered_report_stays_text(capsys, tmp_path: Path, sides) -> None:
    main(["check", str(sides[0]), "--format", "json"])
    data = json.loads(capsys.readouterr().out)
    evil = "</style><script>alert(1)</script>\x1b[31m\u202e\"'"
    for one in data["endpoints"]:
        one.update(server=evil, protocol=evil, service=evil, address=evil, names=[evil])
        one["certificates"] = [{"path": evil, "key": evil, "names": [evil], "location": None}]
        for reach in one["reach"].values():
            if reach is not None:
                reach["reasons"] = [evil]
                reach["decided_by"] = [{"path": evil, "line": 1, "text": evil, "effect": "accept"}]
    data["findings"] = [
        {
            "host": data["judged"][0]["host"], "rule": evil, "family": evil, "severity": "error",
            "message": evil, "clients": evil, "entity": evil, "location": None, "related": [],
            "also_affects": [], "fingerprint": evil, "docs": evil,
            "fix": {"title": evil, "kind": "safe", "edits": [], "commands": [], "proved": False},
        }
    ]  # fmt: skip
    saved = tmp_path / "saved.json"
    saved.write_text(json.dumps(data))
    for words in ((saved, sides[1]), (sides[1], saved)):
        found = page(capsys, *words)
        assert "alert(1)</script>" in found.text
        assert "\x1b" not in found.text
        assert "\u202e" not in found.text
