"""`expect:` in .sslint.yaml: reachability tests as code."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import jsonschema
import pytest

from sslint.bundled import schema_text
from sslint.cli import main
from tests.cases import EXAMPLES


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".git").mkdir()
    shutil.copytree(EXAMPLES / "sound", tmp_path / "host")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check(capsys: pytest.CaptureFixture[str], text: str, *arguments: str) -> tuple[int, str, str]:
    Path(".sslint.yaml").write_text(text)
    code = main(["check", *(arguments or (".",))])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.usefixtures("project")
def test_what_is_as_expected_is_silent(capsys) -> None:
    code, out, _ = check(
        capsys,
        "networks: {office: 10.0.0.0/8}\n"
        "expect:\n"
        "  - {port: 443, is: open}\n"
        "  - {port: https, from: office, is: open}\n"
        "  - {port: 5432, is: closed}\n"
        "  - {port: 5432, from: 10.0.0.0/8, is: closed, family: ipv4}\n",
    )
    assert (code, "no findings" in out) == (0, True)


@pytest.mark.usefixtures("project")
def test_a_failed_expectation_is_an_error_at_its_line(capsys) -> None:
    code, out, _ = check(
        capsys, "expect:\n  - {port: 443, is: open}\n  - port: 5432\n    is: open\n"
    )
    assert code == 1
    assert "error[expectation-failed]: tcp/5432 is expected to be open, but is closed\n" in out
    assert "--> .sslint.yaml:3:" in out
    assert "no rule accepts tcp/5432; policy drop" in out
    assert "::: host/etc/nftables.conf:" in out


def test_its_path_opens_from_elsewhere_and_json_keeps_its_name(
    capsys, project: Path, monkeypatch
) -> None:
    (project / ".sslint.yaml").write_text("expect: [{port: 5432, is: open}]\n")
    monkeypatch.chdir(project / "host/etc")
    assert main(["check", ".."]) == 1
    assert f"--> {project}/.sslint.yaml:1:" in capsys.readouterr().out
    assert main(["check", "..", "--format", "json"]) == 1
    report = json.loads(capsys.readouterr().out)
    jsonschema.validate(report, json.loads(schema_text("report")))
    [finding] = report["findings"]
    assert finding["location"]["path"] == ".sslint.yaml"
    assert finding["location"]["line"] == 1


def test_one_that_is_not_known_is_status_3(capsys, project: Path) -> None:
    rules = project / "host/etc/nftables.conf"
    text = rules.read_text()
    assert "policy drop;" in text
    queue = "policy drop;\n        tcp dport 5432 queue"
    rules.write_text(text.replace("policy drop;", queue, 1))
    code, out, _ = check(capsys, "expect: [{port: 5432, is: closed}]\n")
    assert code == 3
    last = out.splitlines()[-1]
    assert "whether tcp/5432 is closed is not known: a program in user space decides; " in last
    code, out, _ = check(capsys, "expect: [{port: 5432, is: closed}]\n", ".", "--fail-on", "never")
    assert code == 3
    assert check(capsys, "", ".")[0] == 0
    assert main(["check", ".", "--format", "json"]) == 0


def test_what_fails_over_one_family_is_told_though_the_other_is_not_known(
    capsys, project: Path
) -> None:
    rules = project / "host/etc/nftables.conf"
    queue = "policy drop;\n        meta nfproto ipv6 tcp dport 5432 queue"
    rules.write_text(rules.read_text().replace("policy drop;", queue, 1))
    code, out, _ = check(capsys, "expect: [{port: 5432, is: open}]\n")
    assert code == 1
    assert "tcp/5432 is expected to be open, but is closed over IPv4\n" in out


def test_each_host_has_its_own(capsys, project: Path) -> None:
    shutil.copytree(EXAMPLES / "web-443-closed", project / "web")
    code, out, _ = check(
        capsys,
        "ignore: [tls-port-closed, redirect-to-unserved-port]\n"
        "expect: [{port: 22, is: open}]\n"
        "hosts:\n"
        "  mail: {root: host, expect: [{port: 465, is: open}]}\n"
        "  web: {root: web, expect: [{port: 443, is: closed}, {port: 80, is: closed}]}\n",
    )
    assert code == 1
    assert out.count("error[") == 1
    assert "tcp/80 is expected to be closed, but is open\n" in out
    assert "--> .sslint.yaml:5:" in out


@pytest.mark.usefixtures("project")
def test_a_comment_ignores_one(capsys) -> None:
    code, out, _ = check(
        capsys,
        "expect:\n"
        "  # sslint: ignore[expectation-failed] until the database moves\n"
        "  - {port: 5432, is: open}\n",
    )
    assert (code, "1 ignored" in out) == (0, True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("expect: [{port: 443}]", ".sslint.yaml:1: expect.0 needs is"),
        ("expect: [{port: 443, is: shut}]", ".sslint.yaml:1: expect.0.is must be open, closed or"),
        ("expect:\n  - {port: 443, iss: open, is: open}", ".sslint.yaml:2: unknown setting"),
        ("expect:\n  - {port: sctp, is: open}", ".sslint.yaml:2: 'sctp' is not a port such as 443"),
        ("expect:\n  - {port: 443, is: open, from: offce}", ".sslint.yaml:2: 'offce' is not an"),
        ("expect: [{port: 1, is: open, from: '::1', family: ipv4}]", "of different families"),
        ("expect: 443", "must be a list of expectations such as {port: 443, is: open}"),
    ],
)
@pytest.mark.usefixtures("project")
def test_what_means_nothing_is_wrong_usage(capsys, text: str, said: str) -> None:
    code, _, err = check(capsys, text + "\n")
    assert code == 2
    assert said in err


@pytest.mark.usefixtures("project")
def test_trace_and_endpoints_are_not_about_expectations(capsys) -> None:
    Path(".sslint.yaml").write_text("expect: [{port: 5432, is: open}]\n")
    assert main(["endpoints", "host"]) == 0
    assert main(["trace", "host", "5432"]) == 0
