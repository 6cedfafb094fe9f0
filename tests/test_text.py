"""The text reports: paths that open, the worst last, widths, certificates."""

from __future__ import annotations

import os
import re
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from sslint.cli import main
from sslint.fixes import Edit, Fix
from sslint.reports.text import _told
from sslint.values import replace
from tests import pki
from tests.cases import EXAMPLES, SOUND

CLOSED = EXAMPLES / "web-443-closed"
NAMED = re.compile(r"(?:-->|:::) (\S+?):\d+:\d+$", re.M)


@pytest.fixture(autouse=True)
def _plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COLUMNS", "NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    main([str(argument) for argument in arguments])
    return capsys.readouterr().out


# -- paths ----------------------------------------------------------------------------------


@pytest.mark.parametrize("here", [".", "examples", "examples/web-443-closed/etc", "docs"])
def test_paths_open_where_the_user_stands(capsys, monkeypatch, here: str) -> None:
    monkeypatch.chdir(EXAMPLES.parent / here)
    report = said(capsys, "check", CLOSED)
    found = NAMED.findall(report)
    assert len(found) == 2
    for path in found:
        assert os.path.isfile(path), path
        assert os.path.isabs(path) is (here == "docs")
    fix = re.search(r"= fix \(proved\): (\S+), after line", report)
    also = re.search(r"= also: .*\((\S+):5\)", report)
    assert fix
    assert os.path.isfile(fix[1])
    assert also
    assert os.path.isfile(also[1])


def test_an_absolute_link_of_a_copied_tree_opens(capsys, tmp_path: Path, monkeypatch) -> None:
    shutil.copytree(CLOSED, tmp_path / "host")
    nginx = tmp_path / "host/etc/nginx"
    (nginx / "sites-available").mkdir()
    (nginx / "sites-enabled/shop").rename(nginx / "sites-available/shop")
    (nginx / "sites-enabled/shop").symlink_to("/etc/nginx/sites-available/shop")
    monkeypatch.chdir(tmp_path)
    report = said(capsys, "check", "host")
    assert "--> host/etc/nginx/sites-available/shop:9:5" in report
    (nginx / "sites-enabled/shop").unlink()
    (nginx / "sites-enabled/shop").symlink_to("../sites-available/shop")
    assert "--> host/etc/nginx/sites-enabled/shop:9:5" in said(capsys, "check", "host")


def test_json_keeps_the_names_of_files(capsys, monkeypatch) -> None:
    reports = []
    for here in (".", "docs"):
        monkeypatch.chdir(EXAMPLES.parent / here)
        reports.append(said(capsys, "check", CLOSED, "--format", "json"))
    assert reports[0] == reports[1]
    assert '"path": "etc/nginx/sites-enabled/shop"' in reports[0]


def test_what_has_no_file_keeps_its_name(capsys, tmp_path: Path, monkeypatch) -> None:
    shutil.copy(CLOSED / "etc/nginx/sites-enabled/shop", tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop").write_text("server {\n  listen 443 ssl\n}\n")
    report = said(capsys, "check", "shop")
    assert NAMED.findall(report) == ["shop"]


def test_an_unreadable_file_is_named_as_it_opens(capsys, tmp_path: Path, monkeypatch) -> None:
    shutil.copytree(CLOSED, tmp_path / "host")
    (tmp_path / "host/etc/nftables.conf").write_text("table inet x {\n")
    monkeypatch.chdir(tmp_path)
    assert "unread: host/etc/nftables.conf:" in said(capsys, "endpoints", "host")


def test_traces_name_files_as_they_open(capsys, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(EXAMPLES)
    packets = tmp_path / "packets"
    packets.write_text('{"proto": "tcp", "src": "192.0.2.1", "dst": "192.0.2.2", "dport": 443}\n')
    place = "web-443-closed/etc/nftables.conf:7"
    assert said(capsys, "trace", CLOSED, "--packets", packets) == f"1: drop  {place}\n"
    report = said(capsys, "trace", CLOSED, "https", "-v")
    assert f"policy drop, {place}\n" in report
    assert "listens on 0.0.0.0 (web-443-closed/etc/nginx/sites-enabled/shop:9)\n" in report
    assert not re.search(r"(?<!web-443-closed/)etc/", report)


# -- order ----------------------------------------------------------------------------------


def test_the_worst_is_last_and_the_tally_the_last_line(capsys, tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES / "http3-and-ipv6-forgotten", tmp_path / "a")
    site = (CLOSED / "etc/nginx/sites-enabled/shop").read_text()
    with (tmp_path / "a/etc/nginx/nginx.conf").open("a") as file:
        file.write("# sslint: ignore[nothing]\n")
    shutil.copytree(CLOSED, tmp_path / "b")
    (tmp_path / "b/etc/nginx/sites-enabled/shop").write_text(site + "# sslint: ignore[x]\n")
    report = said(capsys, "check", tmp_path)
    severities = re.findall(r"^(error|warning|info)\[", report, re.M)
    assert severities == sorted(severities, key=["info", "warning", "error"].index)
    assert severities[-1] == "error"
    assert report.index("== a\n") < report.index("== b\n")
    assert report.count("sslint explain") == 1
    assert "more about a rule: sslint explain tls-port-closed\n" in report
    assert re.search(r"\n1 error, 4 warnings in 2 hosts .*\n6 TLS listeners: .*\n\Z", report)


def test_a_host_with_the_worst_finding_comes_last(capsys, tmp_path: Path) -> None:
    shutil.copytree(CLOSED, tmp_path / "a")
    shutil.copytree(EXAMPLES / "http3-and-ipv6-forgotten", tmp_path / "b")
    report = said(capsys, "check", tmp_path)
    assert report.index("== b\n") < report.index("== a\n")


def test_findings_of_one_line_are_shown_together(capsys, tmp_path: Path) -> None:
    shutil.copytree(SOUND / "web-ufw", tmp_path / "host")
    ports = 'services:\n  mail:\n    image: mail\n    ports: ["25:25", "465:465", "587:587"]\n'
    (tmp_path / "host/docker-compose.yml").write_text(ports)
    report = said(capsys, "check", tmp_path / "host")
    heads = re.findall(r"^warning\[docker-bypasses-firewall\]: .* (tcp/\d+)", report, re.M)
    assert heads == ["tcp/25", "tcp/465", "tcp/587"]
    assert len(NAMED.findall(report)) == 1
    for note, times in (("clients: ", 1), ("fix: publish it on 127.0.0.1:465,", 1)):
        assert report.count(f" = {note}") == times
    assert "\n3 warnings in 1 host" in report


def test_many_consequences_are_counted(capsys, tmp_path: Path) -> None:
    shutil.copytree(CLOSED, tmp_path / "host")
    site = tmp_path / "host/etc/nginx/sites-enabled/shop"
    redirect = "server {{ listen 80; server_name s{0}.test; return 301 https://s{0}.test$uri; }}\n"
    site.write_text(site.read_text() + "".join(map(redirect.format, range(30))))
    report = said(capsys, "check", tmp_path / "host")
    told = re.findall(r"^ *= also: (.*)$", report, re.M)
    assert len(told) == 21
    assert re.fullmatch(r"\d+ more; --format json has them all", told[-1])


# -- the table ------------------------------------------------------------------------------


def test_check_shows_the_listeners_that_are_not_open(capsys) -> None:
    assert "ENDPOINT" not in said(capsys, "check", EXAMPLES / "sound")
    rows = re.findall(r"^nginx .*:(\d+)/", said(capsys, "check", CLOSED), re.M)
    assert rows == ["443", "443"]
    rows = re.findall(r"^nginx .*:(\d+)/", said(capsys, "check", "-v", CLOSED), re.M)
    assert rows == ["80", "80", "443", "443"]


def test_several_hosts_have_a_column(capsys, monkeypatch) -> None:
    report = said(capsys, "endpoints", EXAMPLES)
    assert report.startswith("HOST  ")
    assert re.search(r"^web-443-closed +nginx    0\.0\.0\.0:443/tcp  implicit ", report, re.M)
    monkeypatch.setenv("COLUMNS", "100")
    table = said(capsys, "endpoints", EXAMPLES).partition("\n\n")[0]
    assert max(map(len, table.splitlines())) <= 100


def test_a_loopback_listener_is_not_missed(capsys, tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES / "sound", tmp_path / "host")
    site = tmp_path / "host/etc/nginx/sites-enabled/www"
    site.write_text(site.read_text() + "server { listen 127.0.0.1:8080; }\n")
    assert "ENDPOINT" not in said(capsys, "check", tmp_path / "host")
    assert "127.0.0.1:8080/tcp" in said(capsys, "check", "-v", tmp_path / "host")


@pytest.mark.parametrize("columns", [48, 56, 64, 80, 100, 120, 200])
def test_lines_of_the_table_fit_into_columns(capsys, monkeypatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    table = said(capsys, "endpoints", CLOSED).splitlines()
    assert table[5:] == ["", "2 TLS listeners: 2 closed; certificates: 0 of 1 read"]
    assert max(map(len, table[:5])) <= columns
    whole = [row for row in table if re.match(r"nginx    (0\.0\.0\.0|\[::\]):\d+/tcp", row)]
    assert len(whole) == 4, "an endpoint is never cut"


@pytest.mark.parametrize("columns", ["", "0", "-3", "x", "9" * 40])
def test_columns_that_mean_nothing_cut_nothing(capsys, monkeypatch, columns: str) -> None:
    whole = said(capsys, "endpoints", CLOSED)
    monkeypatch.setenv("COLUMNS", columns)
    assert said(capsys, "endpoints", CLOSED) == whole
    assert "/etc/letsencrypt/live/shop.example.org/fullchain.pem" in whole


def test_source_lines_are_cut_to_columns(capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    report = said(capsys, "check", EXAMPLES / "mail-465-forgotten")
    shown = re.findall(r"^ *\d+ \| .*", report, re.M)
    assert [len(line) for line in shown] == [53, 60, 60]
    assert "\n   | " + "^" * 55 + " submissions is commented out\n" in report


@pytest.mark.parametrize(
    ("days", "words"),
    [
        (0, "www.example.org, 60 days"),
        (59, "www.example.org, 1 day"),
        (59.9, "www.example.org, less than a day"),
        (60.1, "www.example.org, expired today"),
        (63, "www.example.org, expired 3 days ago"),
    ],
)
def test_a_certificate_is_its_name_and_the_days_left(
    capsys, tmp_path: Path, days: float, words: str
) -> None:
    shutil.copytree(SOUND / "web-nftables", tmp_path / "host")
    chain, key = pki.files({"names": ["www.example.org"]})
    live = tmp_path / "host/etc/letsencrypt/live/www.example.org"
    live.mkdir(parents=True, exist_ok=True)
    (live / "fullchain.pem").write_text(chain)
    (live / "privkey.pem").write_text(key)
    now = (pki.NOW + timedelta(days=days)).isoformat()
    report = said(capsys, "endpoints", tmp_path / "host", "--now", now)
    assert f"implicit  {words}  " in report


# -- colour ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("term", "coloured"), [("xterm-256color", True), ("dumb", False), (None, True)]
)
def test_a_dumb_terminal_gets_no_colour(monkeypatch, term: str | None, coloured: bool) -> None:
    from sslint.reports import terminal

    if term is not None:
        monkeypatch.setenv("TERM", term)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert terminal.coloured("auto") is coloured
    assert terminal.coloured("always")
    monkeypatch.setenv("NO_COLOR", "1")
    assert not terminal.coloured("auto")


# -- rules ----------------------------------------------------------------------------------


def test_a_rule_of_a_stranger_prints_no_control_characters(
    capsys, tmp_path: Path, monkeypatch
) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".sslint.yaml").write_text("rules: [own.yaml]\n")
    (tmp_path / "own.yaml").write_text(
        'name: own-rule\nseverity: error\nsummary: "s\\e[31m"\neach: service\n'
        'match: {port: 80}\nmessage: m\nwhy: "w\\a"\nclients: "c\\e]0;x\\a"\nbad: "b\\e[2J\\tx"\n'
    )
    monkeypatch.chdir(tmp_path)
    for command in (["explain", "own-rule"], ["rules"]):
        report = said(capsys, *command)
        assert "s\\x1b[31m" in report
        assert report.replace("\n", "").isprintable()


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_rules_are_shown_as_wide_as_the_terminal(capsys, monkeypatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert max(map(len, said(capsys, "rules").splitlines())) <= columns
    prose = said(capsys, "explain", "tls-port-closed").partition("Bad:")[0]
    assert max(map(len, prose.splitlines())) <= min(columns, 96) or columns == 40
    assert "(reachability, error, warning or info)" in prose


# -- many edits -----------------------------------------------------------------------------


def test_the_command_that_makes_many_edits_is_named_only_if_it_does() -> None:
    edits = tuple(Edit("etc/nftables.conf", 41, "before", f"edit {n}") for n in range(9))
    fix = Fix("accept", "opens", edits, proved=True)
    assert list(_told(edits, fix)) == [
        "etc/nftables.conf, line 41: sslint fix --allow-open shows the edit"
    ]
    unproved = list(_told(edits, replace(fix, proved=False)))
    assert unproved[0].endswith("edit 0")
    assert unproved[-1].endswith("more; --format json has them all")


# -- interfaces -----------------------------------------------------------------------------


def test_an_interface_that_no_rule_names_has_words(tmp_path: Path, capsys) -> None:
    shutil.copytree(CLOSED, tmp_path / "host")
    file = tmp_path / "host/etc/nftables.conf"
    dropped = '        iifname "eth1" drop\n        tcp dport 443 accept\n'
    text = file.read_text()
    file.write_text(text.replace("        tcp dport { 22, 80 } accept\n", dropped))
    report = said(capsys, "trace", tmp_path / "host", "443")
    assert "via any other interface" in report
