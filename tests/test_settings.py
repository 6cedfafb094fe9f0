"""Settings: one name as flag, in the environment and in .sslint.yaml; errors in plain words."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from sslint import arguments, yamlfile
from sslint.bundled import schema_text
from sslint.cli import main
from tests.cases import EXAMPLES

CLOSED = EXAMPLES / "web-443-closed"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".git").mkdir()
    shutil.copytree(CLOSED, tmp_path / "host")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str, str]:
    code = main([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


# -- names ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["chek", "."], "unknown command chek; did you mean check?"),
        (["check", ".", "--fail_on", "error"], "unknown option --fail_on; did you mean --fail-on?"),
        (["check", ".", "--fail"], "unknown option --fail; did you mean --fail-on?"),
        (["check", ".", "--fail-on", "hint"], "--fail-on: use error, warning, info, never"),
        (["rules", "--format", "xml"], "--format: use text or json"),
        (["explain", "a", "b"], "unexpected argument b"),
        ([], "no command"),
    ],
)
def test_unknown_words_are_status_2(capsys, words: list[str], said: str) -> None:
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "")
    assert said in err


def test_an_unknown_variable_is_status_2(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSLINT_FAILON", "never")
    code, _, err = run(capsys, "check", CLOSED)
    assert code == 2
    assert "SSLINT_FAILON; did you mean SSLINT_FAIL_ON?" in err


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("FAIL_ON", "never", 0),
        ("FAIL_ON", "sometimes", 2),
        ("IGNORE", "reachability,announcements", 0),
        ("NO_CONFIG", "1", 1),
        ("NO_CONFIG", "perhaps", 2),
        ("NO_IGNORES", "0", 1),
        ("FORMAT", "json", 1),
        ("COLOR", "always", 1),
        ("FIREWALL", "none", 0),
        ("HOST_IP", "198.51.100.1,2001:db8::1", 1),
        ("NOW", "yesterday", 2),
        ("CORPORA", "/nowhere", 1),  # the tests' own
        ("FAIL_ON", "", 1),
    ],
)
def test_the_environment_has_every_flag(
    capsys, monkeypatch: pytest.MonkeyPatch, name: str, value: str, status: int
) -> None:
    monkeypatch.setenv(f"SSLINT_{name}", value)
    code, _, err = run(capsys, "check", CLOSED)
    assert code == status, err


def test_a_flag_wins_over_the_environment_and_that_over_the_file(
    capsys, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / ".sslint.yaml").write_text("fail_on: never\nformat: json\n")
    assert run(capsys, "check", "host")[0] == 0
    monkeypatch.setenv("SSLINT_FAIL_ON", "error")
    code, out, _ = run(capsys, "check", "host")
    assert code == 1
    assert json.loads(out)["summary"]["error"] == 1
    assert run(capsys, "check", "host", "--fail-on", "never", "--format", "text")[0] == 0


# -- the file ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fail-on: never", ".sslint.yaml:1: unknown setting fail-on; did you mean fail_on?"),
        ("# x\n\nfail_on: hint", ".sslint.yaml:3: fail_on must be error, warning, info"),
        ("a: [", ".sslint.yaml:1: is not valid YAML"),
        ("fail_on: never\n\tignore: x", ".sslint.yaml:2: is not valid YAML"),
        ("fail_on: never\nfail_on: info", ":2: fail_on is given twice, first on line 1"),
        (
            "hosts:\n  web:\n    ngnix: x",
            "unknown setting hosts.web.ngnix; did you mean nginx?",
        ),
        ("hosts:\n  web:\n    nginx: [x]", ":3: hosts.web.nginx must be text"),
        ("hosts: {}", ":1: hosts must not be empty"),
        ("ignore: some-rule", ":1: ignore must be a list"),
        ("internal: [443, a/b]", ":1: internal.1 must be a port such as 8443 or 8443/tcp"),
        ("internal: [{}]", ":1: internal.0 must be a port such as 8443 or 8443/tcp"),
        ("expose:\n  443/tcp: [office]", ":2: expose.443/tcp.0 must be a CIDR, public, or a name"),
        ("expose:\n  443/tcp: [10.0.0.0/33]", ":2: expose.443/tcp.0 must be a CIDR"),
        (
            "networks: {public: 10.0.0.0/8}",
            ":1: networks.public must have another name: public is ",
        ),
        ("networks: {office: x}", ":1: networks.office must be a CIDR, or a list of them"),
        ("host_ip: [300.1.1.1]", ":1: host_ip.0 must be an IPv4 or IPv6 address"),
        ("now: tomorrow", ":1: now must be an ISO 8601 date or time"),
        ("firewall: nfx=host/etc/nftables.conf", ":1: firewall must be FILE or KIND=FILE"),
        ("firewall: [host/nowhere]", ":1: firewall.0 names a file or directory that does not"),
        ("firewall: yes", ":1: firewall must be FILE or KIND=FILE, a list of them, or none"),
        ("versions: {nginx: x}", ":1: versions.nginx must be a version such as 1.26.2"),
        ("versions: {exim: 4.98}", ":1: unknown setting versions.exim"),
        ("root: host", ":1: root is not a setting of a file; use --root or SSLINT_ROOT"),
        ("- a", ":1: use lines of the form `name: value`"),
        ("text", ":1: use lines of the form `name: value`"),
        ("now: !!python/object/apply:os.system [id]", ":1: now must"),
        ("now: !secret x", ":1: now must have no YAML tag"),
        ("? [a]\n: b", ":1: has a key that is not text"),
        ("hosts: &a {x: *a}", "holds more than"),
    ],
)
def test_errors_of_the_file(capsys, project: Path, text: str, said: str) -> None:
    (project / ".sslint.yaml").write_text(text + "\n")
    code, out, err = run(capsys, "check", "host")
    assert (code, out) == (2, "")
    assert said in err


def test_no_error_quotes_a_value(capsys, project: Path) -> None:
    secret = "ghp_Canary0123456789Canary0123456789"  # as if the file were something else
    for key in ("fail_on", "now", "hosts", "host_ip", "expose", "internal", "firewall", "versions",
                "networks", "nat", "baseline", "rules", "announced", "select"):  # fmt: skip
        for value in (secret, f"[{secret}]", f"{{{secret}: {secret}}}", f"{{a: [{secret}]}}"):
            (project / ".sslint.yaml").write_text(f"{key}: {value}\n")
            code, out, err = run(capsys, "check", "host")
            if key != "select":
                assert code == 2, (key, value, out, err)
                assert secret not in out + err, (key, value, err)
    (project / ".sslint.yaml").write_text(f"{secret}: 1\n")
    assert secret not in run(capsys, "check", "host")[2]


def test_both_names_of_the_file(capsys, project: Path) -> None:
    (project / ".sslint.yml").write_text("fail_on: never\n")
    assert run(capsys, "check", "host")[0] == 0
    (project / ".sslint.yaml").write_text("fail_on: never\n")
    code, _, err = run(capsys, "check", "host")
    assert code == 2
    assert "holds .sslint.yaml and .sslint.yml; keep one of them" in err


def test_a_version_is_text_and_an_anchor_a_value(project: Path) -> None:
    text = "versions: {nginx: 1.10, ufw: 0}\nhosts: {a: &a {root: h}, b: {<<: *a, host_ip: []}}"
    document = yamlfile.read("x", text.encode())
    yamlfile.validate(document, "config")
    assert document.values["versions"] == {"nginx": "1.10", "ufw": 0}
    assert document.values["hosts"]["b"] == {"root": "h", "host_ip": []}


def test_a_cidr_is_an_audience(capsys, project: Path) -> None:
    (project / ".sslint.yaml").write_text("expose: {443/tcp: [10.0.0.0/8, 2001:db8::/32]}\n")
    assert run(capsys, "check", "host")[0] in (0, 1)


def test_an_exclude_without_effect_is_told(capsys, project: Path) -> None:
    (project / ".sslint.yaml").write_text("exclude:\n  - host/etc/nginx/sites-available\n")
    code, _, err = run(capsys, "check", "host")
    assert code == 1
    assert "warning: .sslint.yaml:2: exclude.0 names no file or directory" in err


def test_a_rule_file_is_refused_in_plain_words(capsys, project: Path) -> None:
    (project / ".sslint.yaml").write_text("rules: [own.yaml]\n")
    (project / "own.yaml").write_text("name: x\nseverity: critical\nmessage: m\n")
    code, _, err = run(capsys, "check", "host")
    assert code == 2
    assert "own.yaml:1: needs summary and each and why" in err
    (project / "own.yaml").write_text(
        "name: x\nseverity: critical\nsummary: s\neach: service\nmessage: m\nwhy: w\n"
    )
    assert "own.yaml:2: severity must be error, warning or info" in run(capsys, "check", "host")[2]


# -- --root, --firewall, rules of one's own ---------------------------------------------------


def test_root_without_a_path_is_its_etc(capsys, project: Path) -> None:
    shutil.copytree(EXAMPLES / "sound", project / "other")
    for command in ("check", "endpoints"):
        code, out, _ = run(capsys, command, "--root", project / "other", "--format", "json")
        assert code == 0
        assert len(json.loads(out)["endpoints"]) == 12
    assert run(capsys, "trace", "--root", "host", "443")[1].strip()
    code, _, err = run(capsys, "check", "--root", project / ".git")
    assert code == 2
    assert ".git/etc: no such directory" in err


def test_an_unknown_kind_of_ruleset_is_status_2_with_the_list(capsys) -> None:
    code, _, err = run(capsys, "check", CLOSED, "--firewall", f"ntf={CLOSED}/etc/nftables.conf")
    assert code == 2
    assert "unknown kind ntf; did you mean nft?" in err
    assert "iptables, ip6tables, nft, nft-json, ufw, firewalld, ipset" in err


@pytest.mark.parametrize(
    "words",
    [["--firewall", "none", "--firewall", f"{CLOSED}/etc/nftables.conf"], ["--root", "/no/such"]],
)
def test_what_cannot_be_meant_is_status_2(capsys, words: list[str]) -> None:
    assert run(capsys, "check", CLOSED, *words)[0] == 2


@pytest.mark.parametrize("kind", ["", "nft=", "nft-json="])
def test_a_command_that_printed_nothing_is_no_ruleset(kind: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sslint", "check", str(CLOSED), "--firewall", f"{kind}-"],
        input="\n", capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert "nothing was read from -" in done.stderr


def test_json_is_valid_where_nothing_was_found(capsys, tmp_path: Path) -> None:
    for command in ("check", "endpoints"):
        code, out, err = run(capsys, command, tmp_path, "--format", "json")
        assert code == 3
        assert "nothing to check" in err
        jsonschema.validate(json.loads(out), json.loads(schema_text("report")))


def test_advice_alone_is_a_fix_in_json(capsys, project: Path) -> None:
    (project / "host/etc/nftables.conf").unlink()
    sites = project / "host/etc/nginx/sites-enabled"
    shutil.copy(sites / "shop", sites / "shop.old")
    _, out, _ = run(capsys, "check", "host", "--format", "json", "--firewall", "none")
    report = json.loads(out)
    assert report["findings"]
    for finding in report["findings"]:
        assert finding["fix"] == {
            "title": finding["fix"]["title"],
            "kind": "advice",
            "edits": [],
            "commands": [],
            "proved": False,
        }
    jsonschema.validate(report, json.loads(schema_text("report")))


def test_explain_and_rules_know_ones_own_rules(capsys, project: Path) -> None:
    (project / ".sslint.yaml").write_text("rules: [own.yaml]\n")
    (project / "own.yaml").write_text(
        "name: no-plain-http\nseverity: error\nsummary: s\neach: service\n"
        "match: {port: 80}\nmessage: '{server} serves plain HTTP'\nwhy: because\n"
    )
    assert "no-plain-http" in run(capsys, "rules")[1]
    code, out, _ = run(capsys, "explain", "no-plain-http")
    assert code == 0
    assert "because" in out
    assert run(capsys, "explain", "no-plain-http", "--no-config")[0] == 2


# -- output -----------------------------------------------------------------------------------


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "words",
    [
        ["check", str(CLOSED)],
        ["rules"],
        ["check", str(CLOSED), "--format=json"],
        ["--help"],
        ["--version"],
        ["trace", "--help"],
    ],
)
def test_a_full_disk_is_status_3_with_a_sentence(words: list[str], unbuffered: str) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "sslint", *words],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )
    assert done.returncode == 3
    assert done.stderr == "sslint: the report cannot be written: No space left on device\n"


@pytest.mark.parametrize("words", ["rules", "--help", "--version"])
def test_a_closed_output_is_status_2(words: str) -> None:
    done = subprocess.run(
        f"{sys.executable} -m sslint {words} >&-", shell=True, stderr=subprocess.PIPE, text=True
    )
    assert done.returncode == 2
    assert "standard output is closed" in done.stderr


def test_a_reader_that_goes_away_changes_no_status() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "sslint", "check", str(CLOSED)], stdout=write, stderr=subprocess.PIPE
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (1, b"")


def test_each_setting_of_the_file_that_is_a_flag_has_its_name() -> None:
    file_only = {"hosts", "exclude", "rules", "networks", "expose", "internal", "expected_open",
                 "terminated_elsewhere", "renewed_elsewhere", "nat", "versions",
                 "expect", "severity", "require_reason", "not_judged"}  # fmt: skip
    assert yamlfile.properties("config") - file_only <= arguments.setting_names()


@pytest.mark.parametrize("paths", [("a", "b"), ("b", "a"), ("b", "a/etc")])
def test_settings_are_not_held_against_another_host(
    capsys, tmp_path: Path, monkeypatch, paths: tuple[str, str]
) -> None:
    for name in ("a", "b"):
        shutil.copytree(EXAMPLES / "web-443-closed", tmp_path / name)
    (tmp_path / ".git").mkdir()
    (tmp_path / "a/.sslint.yaml").write_text("firewall: none\n")
    monkeypatch.chdir(tmp_path)
    assert main(["check", *paths]) == 2
    assert "a/.sslint.yaml: holds settings that are not those of b" in capsys.readouterr().err
    assert main(["check", *paths, "--no-config"]) == 1
    assert main(["check", "b/etc", "b", "b/etc/nginx"]) == 1
