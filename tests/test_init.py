"""`sslint init`: the settings that it writes are read, and name the hosts that are there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from sslint import config, init
from sslint.cli import main

SITE = "server {\n listen 443 ssl;\n ssl_certificate /a.pem;\n ssl_certificate_key /a.key;\n}\n"
TLS = f"events {{}}\nhttp {{\n{SITE}}}\n"
NFT = "table inet f {\n chain i {\n  type filter hook input priority 0; policy accept;\n }\n}\n"


def written(repository: Path) -> str:
    return (repository / ".sslint.yaml").read_text()


def lay(base: Path, files: dict[str, str]) -> Path:
    for name, text in ({".git/HEAD": ""} | files).items():
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_text(text)
    return base


@pytest.mark.parametrize(
    ("files", "hosts"),
    [
        (
            {"web1/nginx.conf": TLS, "web1/a.nft": NFT, "web2/nginx.conf": TLS, "web2/b.nft": NFT},
            {
                "web1": {"nginx": "web1", "firewall": ["web1/a.nft"]},
                "web2": {"nginx": "web2", "firewall": ["web2/b.nft"]},
            },
        ),
        (
            {"hosts/a/etc/nginx/nginx.conf": TLS, "hosts/b/etc/nftables.conf": NFT},
            {"hosts/a": {"root": "hosts/a"}, "hosts/b": {"root": "hosts/b"}},
        ),
        (
            {"roles/nginx/files/nginx.conf": TLS, "roles/fw/files/rules.nft": NFT},
            {"repo": {"nginx": "roles/nginx/files", "firewall": ["roles/fw/files/rules.nft"]}},
        ),
        (
            {"conf/a b/nginx.conf": TLS, "x.nft": NFT, "y.nft": NFT},
            {"repo": {"nginx": "conf/a b", "firewall": ["x.nft", "y.nft"]}},
        ),
        (
            {"h/etc/nftables.conf": NFT, "web/nginx.conf": TLS},
            {"h": {"root": "h", "nginx": "web"}},
        ),
    ],
)
def test_what_it_writes_names_the_hosts(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    files: dict[str, str],
    hosts: dict[str, object],
) -> None:
    repository = lay(tmp_path / "repo", files)
    assert main(["init", str(repository)]) == 0
    assert ".sslint.yaml" in capsys.readouterr().out
    [schema] = re.findall(r"^# yaml-language-server: \$schema=(.*)$", written(repository), re.M)
    assert json.loads(Path(schema).read_text())["type"] == "object"
    assert config.load([str(repository)]).values["hosts"] == hosts
    assert main(["check", str(repository), "--fail-on", "never"]) in (0, 3)
    assert "nothing to check" not in capsys.readouterr().err


def test_an_unclear_server_is_left_to_choose(tmp_path: Path) -> None:
    files = {"blue/nginx.conf": TLS, "green/nginx.conf": TLS, "rules.nft": NFT}
    text = init.text(lay(tmp_path / "repo", files))
    assert "    nginx: blue  # or green\n" in text


def test_what_lies_there_is_not_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lay(tmp_path, {"etc/nginx/nginx.conf": TLS, ".sslint.yml": "firewall: none\n"})
    assert main(["init", str(tmp_path)]) == 2
    assert "exists" in capsys.readouterr().err
    assert not (tmp_path / ".sslint.yaml").exists()


def test_nothing_is_written_where_no_host_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lay(tmp_path, {"README": "text\n"})
    assert main(["init", str(tmp_path)]) == 3
    assert "nothing to describe" in capsys.readouterr().err
    assert not (tmp_path / ".sslint.yaml").exists()
    assert main(["init", str(tmp_path / "README")]) == 2
