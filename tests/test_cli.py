"""The command line's contract: exit status, JSON, what PATH may be, settings."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from sslint.bundled import schema_text
from sslint.cli import main
from tests.cases import EXAMPLES, SOUND, sound_hosts


@pytest.mark.parametrize("words", [
    ["check", "."], ["endpoints", "."], ["trace", ".", "443"], ["explain", "tls-port-closed"],
    ["rules"],
])  # fmt: skip
def test_a_closed_output_is_no_bug(words: list[str]) -> None:
    closed = 'exec "$0" "$@" >&-'
    run = [sys.executable, "-m", "sslint"]
    done = subprocess.run(
        ["sh", "-c", closed, *run, *words],
        cwd=EXAMPLES / "web-443-closed",
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (
        2,
        "sslint: the report cannot be written: standard output is closed\n",
    )


def test_a_closed_input_is_no_bug() -> None:
    words = [sys.executable, "-m", "sslint", "check", ".", "--firewall", "-"]
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" "$@" <&-', *words],
        cwd=EXAMPLES / "web-443-closed",
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (2, "sslint: --firewall: -: Bad file descriptor\n")


def test_a_working_directory_that_is_gone(tmp_path: Path, monkeypatch, capsys) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert main(["check"]) == 2
    assert "the working directory is gone" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path)


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict:
    _, out, _ = run(capsys, *arguments, "--format", "json")
    return json.loads(out)


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("SSLINT_") and name != "SSLINT_DEBUG":
            monkeypatch.delenv(name)


# -- exit status ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["check", EXAMPLES / "sound"], 0),
        (["check", EXAMPLES / "web-443-closed"], 1),
        (["check", EXAMPLES / "web-443-closed", "--fail-on", "never"], 0),
        (["check", EXAMPLES / "http3-and-ipv6-forgotten"], 0),
        (["check", EXAMPLES / "http3-and-ipv6-forgotten", "--fail-on", "warning"], 1),
        (["check", EXAMPLES / "sound", "--select", "no-such-rule"], 2),
        (["check", "/no/such/path"], 2),
        (["trace", EXAMPLES / "sound", "443/sctp"], 2),
        (["trace", EXAMPLES / "sound", "70000"], 2),
        (["explain", "no-such-rule"], 2),
        (["rules"], 0),
    ],
)
def test_exit_status(capsys, arguments: list, status: int) -> None:
    code, _, err = run(capsys, *arguments)
    assert code == status, err
    assert "Traceback" not in err


def test_the_status_is_the_same_for_every_format(capsys) -> None:
    for style in ("text", "json"):
        assert run(capsys, "check", EXAMPLES / "web-443-closed", "--format", style)[0] == 1


def test_an_empty_directory_is_not_green(capsys, tmp_path: Path) -> None:
    code, out, err = run(capsys, "check", tmp_path)
    assert (code, out) == (3, "")
    assert "looked for nginx, Apache, Postfix or Dovecot" in err


@pytest.mark.parametrize(
    ("text", "line", "status"),
    [
        ("events {}\nhttp {\n  server {\n    listen 443 ssl\n    server_name x;\n  }\n}\n", 4, 1),
        ("events {}\nhttp {\n  server {\n    listen 443 ssl;\n", 3, 3),
        ("events {}\nhttp {\n  }\n}\n", 4, 3),
        ('events {}\nhttp {\n  log_format a "b\n', 3, 3),
    ],
)
def test_a_broken_file_has_its_place_and_the_rest_is_checked(
    capsys, tmp_path: Path, text: str, line: int, status: int
) -> None:
    etc = tmp_path / "etc"
    (etc / "nginx").mkdir(parents=True)
    (etc / "nginx/nginx.conf").write_text(text)
    shutil.copytree(EXAMPLES / "sound/etc/dovecot", etc / "dovecot")
    code, out, _ = run(capsys, "check", tmp_path)
    assert code == status
    assert f"etc/nginx/nginx.conf:{line}:" in out
    assert "dovecot  [::]:993/tcp" in out


def test_a_bug_is_status_4_and_no_traceback(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments: object, **_settings: object) -> None:
        raise ZeroDivisionError("x")

    monkeypatch.setattr("sslint.checker.check", broken)
    monkeypatch.delenv("SSLINT_DEBUG", raising=False)
    code, _, err = run(capsys, "check", EXAMPLES / "sound")
    assert code == 4
    assert "internal error: ZeroDivisionError" in err


# -- JSON -------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", [*sound_hosts(), "../../examples/web-443-closed"])
def test_reports_follow_the_schema(capsys, host: str) -> None:
    schema = json.loads(schema_text("report"))
    jsonschema.validate(run_json(capsys, "check", SOUND / host), schema)
    jsonschema.validate(run_json(capsys, "endpoints", SOUND / host), schema)


def test_a_finding_has_both_sides_and_a_proved_fix(capsys) -> None:
    report = run_json(capsys, "check", EXAMPLES / "web-443-closed")
    finding = report["findings"][0]
    assert finding["rule"] == "tls-port-closed"
    assert finding["location"]["path"] == "etc/nginx/sites-enabled/shop"
    assert finding["related"][0]["location"]["path"] == "etc/nftables.conf"
    assert finding["fix"]["kind"] == "opens"
    assert finding["fix"]["proved"] is True
    assert finding["also_affects"][0]["rule"] == "redirect-to-unserved-port"


def test_a_socket_that_takes_one_family_has_null_for_the_other(capsys) -> None:
    report = run_json(capsys, "endpoints", EXAMPLES / "sound")
    by_address = {(e["address"], e["port"]): e for e in report["endpoints"]}
    assert by_address["0.0.0.0", 443]["reach"]["ipv6"] is None
    assert by_address["::", 443]["reach"]["ipv4"] is None
    assert by_address["::", 443]["reach"]["ipv6"]["open"] == ["::/0"]


# -- PATH -------------------------------------------------------------------------------------


def test_an_etc_and_its_root_are_the_same_host(capsys) -> None:
    first = run_json(capsys, "endpoints", EXAMPLES / "sound")
    second = run_json(capsys, "endpoints", EXAMPLES / "sound/etc")
    assert [e["location"] for e in first["endpoints"]] == [
        e["location"] for e in second["endpoints"]
    ]


def test_a_repository_of_several_hosts(capsys) -> None:
    report = run_json(capsys, "check", EXAMPLES)
    assert {e["host"] for e in report["endpoints"]} == {
        p.name for p in EXAMPLES.iterdir() if p.is_dir()
    }
    assert {f["host"] for f in report["findings"]} == {
        "web-443-closed",
        "mail-465-forgotten",
        "http3-and-ipv6-forgotten",
    }


def test_single_files_are_one_host(capsys) -> None:
    host = EXAMPLES / "web-443-closed/etc"
    report = run_json(capsys, "check", host / "nginx/sites-enabled/shop", host / "nftables.conf")
    assert [f["rule"] for f in report["findings"]] == ["tls-port-closed"]


def test_a_server_directory_alone(capsys) -> None:
    report = run_json(capsys, "endpoints", EXAMPLES / "sound/etc/postfix")
    assert {e["port"] for e in report["endpoints"]} == {25, 465, 587}


def test_firewall_from_elsewhere_replaces_the_trees(capsys, tmp_path: Path) -> None:
    ruleset = tmp_path / "listing"
    ruleset.write_text(
        "table inet filter {\n\tchain input {\n"
        "\t\ttype filter hook input priority filter; policy accept;\n\t}\n}\n"
    )
    code, *_ = run(capsys, "check", EXAMPLES / "web-443-closed", "--firewall", f"nft={ruleset}")
    assert code == 0
    assert run(capsys, "trace", "--firewall", ruleset, "443")[0] == 0


def test_a_ruleset_that_lies_there_unused_is_named(capsys, tmp_path: Path) -> None:
    wants = tmp_path / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True)
    (wants / "ssh.service").write_text("")
    (tmp_path / "etc/nftables.conf").write_text("flush ruleset\n")
    for command in ("check", "endpoints"):
        code, _, err = run(capsys, command, tmp_path)
        assert code == 3
        assert "etc/nftables.conf is not in force: nftables.service is disabled" in err


def test_a_finding_without_any_server_is_told(capsys, tmp_path: Path) -> None:
    shutil.copytree(SOUND / "web-ufw/etc/ufw", tmp_path / "etc/ufw")
    (tmp_path / "etc/ufw/ufw.conf").write_text("ENABLED=no\n")
    code, out, _ = run(capsys, "check", tmp_path)
    assert code == 0
    assert out.count("etc/ufw/user.rules:18") == 1
    assert "warning[firewall-inactive]" in out


# -- trace ------------------------------------------------------------------------------------


def test_packets_get_one_verdict_a_line(capsys, tmp_path: Path) -> None:
    packets = tmp_path / "packets"
    base = {"proto": "tcp", "src": "203.0.113.9", "sport": 40000, "dst": "198.51.100.1"}
    packets.write_text(
        "".join(json.dumps({"id": port, "dport": port, **base}) + "\n" for port in (22, 443))
    )
    code, out, _ = run(
        capsys, "trace", EXAMPLES / "web-443-closed", "--packets", packets, "--format", "json"
    )
    found = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [(v["id"], v["verdict"]) for v in found] == [(22, "accept"), (443, "drop")]
    assert found[1]["by"] == {
        "path": "etc/nftables.conf",
        "line": 7,
        "text": "type filter hook input priority filter; policy drop;",
    }


@pytest.mark.parametrize("line", ["x", "[]", "{}", '{"proto": "tcp"}', '{"proto":1e999}'])
def test_what_is_no_packet_is_wrong_usage(capsys, tmp_path: Path, line: str) -> None:
    packets = tmp_path / "packets"
    packets.write_text(line + "\n")
    code, _, err = run(capsys, "trace", EXAMPLES / "sound", "--packets", packets)
    assert code == 2
    assert "line 1" in err


# -- settings ---------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / ".git").mkdir()
    shutil.copytree(EXAMPLES / "web-443-closed", tmp_path / "host")
    return tmp_path


def test_the_configuration_is_found_above_the_path(capsys, project: Path) -> None:
    (project / ".sslint.yaml").write_text("ignore: [reachability, announcements]\n")
    assert run(capsys, "check", project / "host")[0] == 0
    assert run(capsys, "check", project / "host", "--no-config")[0] == 1


def test_hosts_of_the_configuration(capsys, project: Path) -> None:
    (project / "rules.nft").write_text((project / "host/etc/nftables.conf").read_text())
    (project / ".sslint.yaml").write_text(
        "hosts:\n  shop:\n    nginx: host/etc/nginx\n    firewall: [rules.nft]\n"
    )
    report = run_json(capsys, "check", project)
    finding = report["findings"][0]
    assert finding["host"] == "shop"
    assert finding["location"]["path"] == "host/etc/nginx/sites-enabled/shop"
    assert finding["related"][0]["location"]["path"] == "rules.nft"


DOVECOT = """dovecot_config_version = 2.4.1
dovecot_storage_version = 2.4.1
protocols = imap
!include conf.d/*.conf
"""
DOVECOT_TLS = """ssl_server_cert_file = /etc/letsencrypt/live/x/fullchain.pem
ssl_server_key_file = /etc/letsencrypt/live/x/privkey.pem
"""


def test_what_a_file_of_the_configuration_includes_lies_beside_it(capsys, project: Path) -> None:
    (project / "deploy/conf.d").mkdir(parents=True)
    (project / "deploy/dovecot.conf").write_text(DOVECOT)
    (project / "deploy/conf.d/10-ssl.conf").write_text(DOVECOT_TLS)
    (project / ".sslint.yaml").write_text(
        "hosts: {mail: {dovecot: deploy/dovecot.conf, firewall: none}}\n"
    )
    report = run_json(capsys, "check", project)
    assert report["findings"] == []
    assert {e["certificates"][0]["path"] for e in report["endpoints"]} == {
        "/etc/letsencrypt/live/x/fullchain.pem"
    }


def test_a_certificate_may_be_in_an_include_that_was_not_given(capsys, project: Path) -> None:
    (project / "dovecot.conf").write_text(DOVECOT)
    report = run_json(capsys, "check", project / "dovecot.conf")
    assert report["endpoints"]
    assert report["findings"] == []


def test_no_firewall_by_configuration_is_open(capsys, project: Path) -> None:
    (project / ".sslint.yaml").write_text("firewall: none\n")
    report = run_json(capsys, "endpoints", project / "host")
    assert {e["reach"]["ipv4"]["verdict"] for e in report["endpoints"] if e["reach"]["ipv4"]} == {
        "open"
    }


@pytest.mark.parametrize(
    "text",
    [
        "hosts: {x: {nginx: ../outside}}",
        "hosts: {x: {root: /etc}}",
        "fail_on: sometimes",
        "unknown: 1",
        "a: [",
        "!!python/object/apply:os.system [id]",
        "expose: {8443/tcp: [office]}",
    ],
)
def test_a_wrong_configuration_is_status_2(capsys, project: Path, text: str) -> None:
    (project / ".sslint.yaml").write_text(text + "\n")
    code, _, err = run(capsys, "check", project)
    assert code == 2, err
    assert "Traceback" not in err


def test_the_environment_has_every_setting(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSLINT_FAIL_ON", "never")
    assert run(capsys, "check", EXAMPLES / "web-443-closed")[0] == 0


def test_a_comment_silences_a_line(capsys, project: Path) -> None:
    site = project / "host/etc/nginx/sites-enabled/shop"
    text = site.read_text()
    silenced = "    # sslint: ignore[tls-port-closed] behind a tunnel\n    listen 443 ssl;"
    site.write_text(text.replace("    listen 443 ssl;", silenced))
    _, out, _ = run(capsys, "check", project / "host")
    assert "error[tls-port-closed]" not in out
    assert "1 ignored" in out
    assert "redirect-to-unserved-port" not in out  # a silenced cause hides what follows from it


def test_a_baseline_leaves_known_findings_out(capsys, project: Path) -> None:
    baseline = project / "baseline.json"
    run(capsys, "check", project / "host", "--write-baseline", baseline)
    code, out, _ = run(capsys, "check", project / "host", "--baseline", baseline)
    assert code == 0
    assert "1 in the baseline" in out


def test_a_users_own_rule(capsys, project: Path) -> None:
    (project / "own.yaml").write_text(
        "name: no-plain-http\nseverity: error\nsummary: s\neach: service\n"
        "match: {port: 80}\nmessage: '{server} serves plain HTTP'\nwhy: w\n"
    )
    (project / ".sslint.yaml").write_text("rules: [own.yaml]\n")
    _, out, _ = run(capsys, "check", project / "host")
    assert "error[no-plain-http]: nginx serves plain HTTP" in out
    (project / "own.yaml").write_text("name: x\nseverity: error\nmatch: {prot: 80}\n")
    assert run(capsys, "check", project / "host")[0] == 2


# -- output -----------------------------------------------------------------------------------


def test_colour_only_when_asked(capsys) -> None:
    assert "\x1b" not in run(capsys, "check", EXAMPLES / "web-443-closed")[1]
    assert "\x1b" in run(capsys, "check", EXAMPLES / "web-443-closed", "--color", "always")[1]


def test_control_characters_are_never_printed_raw(capsys, project: Path) -> None:
    site = project / "host/etc/nginx/sites-enabled/shop"
    site.write_text(site.read_text().replace("listen 443 ssl;", "listen 443 ssl; # \x1b[2J\x07"))
    _, out, _ = run(capsys, "check", project / "host")
    assert "\x1b" not in out
    assert "\x07" not in out


def test_explain_and_rules_agree_on_the_catalogue(capsys) -> None:
    names = [
        rule["name"] for rule in json.loads(run(capsys, "rules", "--format", "json")[1])["rules"]
    ]
    for name in names:
        code, out, _ = run(capsys, "explain", name)
        assert code == 0
        assert out.startswith(name)
