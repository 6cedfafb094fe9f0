"""What a stranger writes is no command where a report is read, recorded or pasted."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from sslint import plain
from sslint.cli import main
from tests import pki
from tests.hostile import injections
from tests.hostile.registry import KEY, TOKEN, Ground


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\u202eb", "a\\u202eb"),
        ("\x1b[31m", "\\x1b[31m"),
        ("caf\udce9", "caf\\xe9"),
        ("café", "café"),
        ("\u2028", "\\u2028"),
        ("\U000e0041", "\\U000e0041"),
        ("::ffff:1.2.3.4", "::ffff:1.2.3.4"),
    ],
)
def test_what_cannot_be_shown_is_written_out(text: str, shown: str) -> None:
    assert plain.clean(text) == shown


LINES = [line for line in KEY.splitlines() if not line.startswith("-----")]


@pytest.mark.parametrize(
    "text",
    [LINES[0], f"unknown setting {LINES[0]} here", "".join(LINES)],
    ids=["a line", "in a sentence", "all lines"],
)
def test_a_run_of_base64_is_cut(text: str) -> None:
    shown = plain.clean(text)
    assert "characters hidden]" in shown
    assert not any(line[:20] in shown for line in LINES)


@pytest.mark.parametrize(
    "text",
    [
        "/etc/letsencrypt/live/www.example.org/fullchain.pem",
        "etc/nginx/sites-enabled/a-very-long-name-of-a-site.conf",
        "etc/ssl/certificates/of/this/host/and/its/2024/names",
        "etc/ssl/MyCompany2024/Wildcard/Certificates2024/x",
        "a" * 64,
        "0123456789abcdef" * 4,
        "0123456789ABCDEF" * 4,
        "_443._tcp.www.example.org TLSA 3 1 1 " + "0123456789aBcDeF" * 4,
        "2001:db8:1234:5678:9abc:def0:1234:5678",
    ],
)
def test_paths_and_fingerprints_are_not_cut(text: str) -> None:
    assert plain.clean(text) == text


def test_no_line_of_a_file_with_a_key_is_shown(tmp_path: Path, capsys) -> None:
    (tmp_path / "etc/nginx").mkdir(parents=True)
    (tmp_path / "etc/nginx/nginx.conf").write_text(
        f"events {{}}\nhttp {{ server {{ listen 443 ssl; server_name hidden.test; }} }}\n# {KEY}"
    )
    main(["check", str(tmp_path)])
    said = capsys.readouterr().out
    assert "holds a private key and is not shown" in said
    assert "listen 443 ssl" not in said


@pytest.mark.parametrize(
    ("report", "printed"),
    [
        ("::error::x\n", "\\x3a:error::x\n"),
        ("  ::add-mask::x", "  \\x3a:add-mask::x"),
        ("a ##[command]x", "a #\\u0023[command]x"),
        ("##vso[task.x]", "#\\u0023vso[task.x]"),
        ("  ::: etc/x:1:2\n [::]:443 ::/0", "  ::: etc/x:1:2\n [::]:443 ::/0"),
        ("::1 is loopback", "::1 is loopback"),
    ],
)
def test_no_line_of_a_report_commands_a_workflow(report: str, printed: str) -> None:
    assert plain.harmless(report) == printed


def report(ground: Ground, capsys) -> dict:
    main(["check", str(ground.root), "--format", "json"])
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    "name",
    ["nft_table_that_flushes", "nft_chain_that_flushes", "nft_chain_that_is_an_option",
     "nft_names_of_the_shell", "nft_chain_of_two_lines"],
)  # fmt: skip
def test_a_name_that_nft_would_obey_gets_no_command(name: str, tmp_path: Path, capsys) -> None:
    ground = Ground(tmp_path)
    getattr(injections, name)(ground)
    found = report(ground, capsys)["findings"]
    assert found
    commands = [c for f in found if f["fix"] for c in f["fix"]["commands"]]
    assert not [c for c in commands if "nft" in c], commands


def test_a_plain_name_gets_its_command(tmp_path: Path, capsys) -> None:
    ground = Ground(tmp_path)
    injections._named(ground, "filter", "input")
    found = report(ground, capsys)["findings"]
    commands = [c for f in found if f["fix"] for c in f["fix"]["commands"]]
    assert [c for c in commands if c.startswith("nft")]


def test_a_lineage_is_no_option_of_certbot(tmp_path: Path, capsys) -> None:
    ground = Ground(tmp_path)
    injections.certbot_lineage_that_is_an_option(ground)
    for finding in report(ground, capsys)["findings"]:
        advice = (finding["fix"] or {}).get("title", "")
        for line in (advice, *(finding["fix"] or {}).get("commands", ())):
            if "certbot" in line and line.count("'") % 2 == 0:
                words = shlex.split(line)
                assert not [w for w in words if w.startswith("--deploy-hook=")], line


@pytest.mark.parametrize(
    "text",
    [TOKEN, f"fail_on: {TOKEN}", f"expose: {TOKEN}", f"now: '{TOKEN}'", f"host_ip: ['{TOKEN}']",
     f"select: ['{TOKEN}']", f"hosts: {{a: {{nginx: '{TOKEN}'}}}}", f"versions: {{nginx: '{TOKEN}'}}",
     f"firewall: ['{TOKEN}=x']", f"networks: {{a: ['{TOKEN}']}}", f"exclude: ['{TOKEN}']",
     f"nat: ['{TOKEN}']", f"expected_open: ['{TOKEN}']", f"terminated_elsewhere: ['{TOKEN}']",
     f"renewed_elsewhere: ['{TOKEN}']", f"announced: ['{TOKEN}']", f"internal: ['{TOKEN}']",
     f"rules: ['{TOKEN}']", f"baseline: '{TOKEN}'", f"expose: {{443/tcp: ['{TOKEN}']}}"],
)  # fmt: skip
def test_no_message_quotes_a_value_of_the_configuration(text: str, tmp_path: Path, capsys) -> None:
    ground = Ground(tmp_path)
    ground.write("etc/nginx/nginx.conf", "events {}\nhttp { server { listen 80; } }\n")
    ground.write(".sslint.yaml", text + "\n")
    main(["check", str(ground.root)])
    said = capsys.readouterr()
    assert "ghp_Canary" not in said.out + said.err


def test_a_key_that_was_read_is_recognised_in_pieces() -> None:
    plain.remember_key(pki.key_pem("pieces"))
    line = pki.key_pem("pieces").splitlines()[1]
    assert line[3:23] not in plain.clean(f"unexpected {line} here")
