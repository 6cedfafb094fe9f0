"""Silencing that survives an audit: severities, reasons, comments of every format, the baseline."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from sslint.cli import main
from tests.cases import EXAMPLES, SOUND

NOW = "2026-11-25"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".git").mkdir()
    shutil.copytree(EXAMPLES / "web-443-closed/etc", tmp_path / "web/etc")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def checked(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any, str]:
    code = main(["check", "web", "--format", "json", "--now", NOW, *words])
    said = capsys.readouterr()
    return code, json.loads(said.out) if said.out else None, said.err


def severities(report: Any) -> dict[str, str]:
    return {finding["rule"]: finding["severity"] for finding in report["findings"]}


# -- severity -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entries", "becomes", "status"),
    [
        ("[{rule: tls-port-closed, is: info}]", "info", 0),
        ("[{rule: reachability, is: warning}]", "warning", 0),
        ("[{rule: reachability, is: info}, {rule: tls-port-closed, is: error}]", "error", 1),
        ("[{rule: tls-port-closed, path: etc/nginx/*, is: info}]", "info", 0),
        ("[{rule: tls-port-closed, path: web/*, is: info}]", "info", 0),
        ("[{rule: tls-port-closed, path: web, is: info}]", "info", 0),
        ("[{rule: tls-port-closed, path: etc/postfix/*, is: info}]", "error", 1),
        ("[{rule: tls-port-closed, path: other/*, is: info}]", "error", 1),
        ("[{rule: tls-port-closed, is: ignored, reason: a tunnel}]", None, 0),
    ],
)
def test_severity_per_rule_and_path(
    capsys, project: Path, entries: str, becomes: str | None, status: int
) -> None:
    (project / ".sslint.yaml").write_text(f"severity: {entries}\n")
    code, report, said = checked(capsys)
    assert (code, severities(report).get("tls-port-closed")) == (status, becomes)
    assert said == ""
    assert report["summary"]["ignored"] == (becomes is None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("severity: [{rule: tls-port-close, is: info}]", "did you mean tls-port-closed?"),
        ("severity: [{rule: tls-port-closed, is: fatal}]", ".sslint.yaml:1: severity"),
        ("severity: [{rule: tls-port-closed}]", ".sslint.yaml:1: severity"),
        ("severity: {tls: info}", "must be a list of entries such as"),
        (
            "require_reason: true\nseverity: [{rule: tls, is: ignored}]",
            ".sslint.yaml:2: severity.0 needs a reason",
        ),
    ],
)
def test_a_wrong_severity_is_status_2(capsys, project: Path, text: str, said: str) -> None:
    (project / ".sslint.yaml").write_text(f"{text}\n")
    assert main(["check", "web"]) == 2
    assert said in capsys.readouterr().err


def test_an_entry_that_accepts_nothing_is_said(capsys, project: Path) -> None:
    (project / ".sslint.yaml").write_text("severity: [{rule: quic-udp-closed, is: ignored}]\n")
    _, _, said = checked(capsys)
    assert ".sslint.yaml:1: severity.0: nothing of quic-udp-closed is found there any more" in said


# -- comments -------------------------------------------------------------------------------------


def silence(project: Path, comment: str) -> None:
    site = project / "web/etc/nginx/sites-enabled/shop"
    line = "    listen 443 ssl;"
    site.write_text(site.read_text().replace(line, f"    # {comment}\n{line}"))


def test_a_comment_without_a_reason_counts_only_where_none_is_required(
    capsys, project: Path
) -> None:
    silence(project, "sslint: ignore[tls-port-closed]")
    assert checked(capsys)[0] == 0
    (project / ".sslint.yaml").write_text("require_reason: true\n")
    code, report, _ = checked(capsys)
    assert code == 1
    assert severities(report) == {"tls-port-closed": "error", "unused-ignore": "warning"}
    [said] = [f["message"] for f in report["findings"] if f["rule"] == "unused-ignore"]
    assert said.endswith("it gives no reason, and require_reason is set")
    (project / "web/etc/nginx/sites-enabled/shop").write_text(
        (EXAMPLES / "web-443-closed/etc/nginx/sites-enabled/shop").read_text()
    )
    silence(project, "sslint: ignore[tls-port-closed] a tunnel")
    assert severities(checked(capsys)[1]) == {}


@pytest.mark.parametrize(
    ("start", "end"), [("; ", ""), ("<!-- ", " -->"), ("# ", ""), ("// ", ""), ("/* ", " */")]
)
def test_every_format_has_its_comment(start: str, end: str) -> None:
    from sslint.silence import _comments
    from sslint.source import SourceFile

    text = f"a\n  {start}sslint: ignore[x, y] why not{end}\nb\n"
    [comment] = _comments(SourceFile("/a", "a", text), reasons=True)
    assert (comment.names, comment.reason, comment.counts) == (("x", "y"), "why not", True)
    [bare] = _comments(SourceFile("/a", "a", f"{start}sslint: ignore[x]{end}\n"), reasons=True)
    assert (bare.reason, bare.counts) == ("", False)


def test_zone_files_and_xml_have_comments(capsys, tmp_path: Path) -> None:
    host = tmp_path / "mail"
    shutil.copytree(SOUND / "mail-announced", host)
    zone = host / "etc/bind/db.example.org"
    document = host / "var/www/mail/mail/config-v1.1.xml"
    moved = zone.read_text().replace("993 mail", "9993 mail")

    def found() -> dict[str, str]:
        main(["check", str(host), "--format", "json"])
        return severities(json.loads(capsys.readouterr().out))

    zone.write_text(moved)
    assert found() == {"client-port-not-served": "error", "client-documents-disagree": "warning"}
    comment = "; sslint: ignore[client-port-not-served] moved soon\n_imaps"
    zone.write_text(moved.replace("_imaps", comment))
    assert found() == {"client-documents-disagree": "warning"}
    comment = "<!-- sslint: ignore[client-documents-disagree] moved soon -->\n      <port>993"
    document.write_text(document.read_text().replace("<port>993", comment))
    assert found() == {}


# -- baseline -------------------------------------------------------------------------------------


def written(capsys, *words: str) -> dict[str, Any]:
    checked(capsys, "--write-baseline", "known.json", *words)
    found = json.loads(Path("known.json").read_text())["findings"]
    assert isinstance(found, dict)
    return found


def keep(**more: str) -> None:
    """Give the one entry of the baseline more to say."""
    data = json.loads(Path("known.json").read_text())
    [(key, what)] = data["findings"].items()
    data["findings"] = {key: {"what": what, **more}}
    Path("known.json").write_text(json.dumps(data))


def test_an_entry_counts_until_its_day(capsys, project: Path) -> None:
    assert list(written(capsys).values()) == ["tls-port-closed: nginx tcp/443"]
    for until, status in (("2026-11-25", 0), ("2026-11-24", 1)):
        written(capsys)
        keep(reason="moves in May", until=until)
        code, report, _ = checked(capsys, "--baseline", "known.json")
        assert code == status
        assert [one["why"] for one in report["stale"]] == ["expired"] * status


def test_a_required_reason(capsys, project: Path) -> None:
    written(capsys)
    (project / ".sslint.yaml").write_text("require_reason: true\n")
    code, report, _ = checked(capsys, "--baseline", "known.json")
    assert (code, report["stale"][0]["why"]) == (1, "no-reason")
    keep(reason="moves in May")
    assert checked(capsys, "--baseline", "known.json")[0] == 0


def test_stale_entries_are_reported_and_removed(capsys, project: Path) -> None:
    written(capsys)
    keep(reason="moves in May")
    data = json.loads(Path("known.json").read_text())
    data["findings"]["0" * 20] = "tls-port-closed: nginx tcp/8443"
    Path("known.json").write_text(json.dumps(data))
    main(["check", "web", "--baseline", "known.json"])
    said = capsys.readouterr().out
    assert "baseline: tls-port-closed: nginx tcp/8443 is not found any more\n" in said
    found = written(capsys, "--baseline", "known.json")
    assert list(found.values()) == [
        {"what": "tls-port-closed: nginx tcp/443", "reason": "moves in May"}
    ]


@pytest.mark.parametrize("entry", ['{"until": "soon"}', "3", '{"reason": 3}', "[]"])
def test_an_entry_that_means_nothing_is_status_2(capsys, project: Path, entry: str) -> None:
    Path("known.json").write_text(f'{{"version": 1, "findings": {{"a": {entry}}}}}')
    assert main(["check", "web", "--baseline", "known.json"]) == 2
    assert "is not an sslint baseline file" in capsys.readouterr().err


def test_sarif_has_what_the_settings_and_the_baseline_accept(capsys, project: Path) -> None:
    written(capsys)
    keep(reason="moves in May")
    main(["check", "web", "--baseline", "known.json", "--format", "sarif"])
    [result] = json.loads(capsys.readouterr().out)["runs"][0]["results"]
    wanted = {"kind": "external", "status": "accepted", "justification": "moves in May"}
    assert result["suppressions"] == [wanted]
    (project / ".sslint.yaml").write_text(
        "severity: [{rule: tls-port-closed, is: ignored, reason: moves in May}]\n"
    )
    main(["check", "web", "--format", "sarif"])
    [result] = json.loads(capsys.readouterr().out)["runs"][0]["results"]
    assert result["suppressions"] == [wanted]
