"""At a reader's edge an unexpected error makes its layer unknown, with the place; tests fail on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sslint import cli, yamlfile
from sslint.errors import UsageError
from sslint.servers.nginx import reader, routing
from tests.hostile.registry import Ground
from tests.support import tree_of

CERTIFICATE = "ssl_certificate /etc/ssl/a.pem; ssl_certificate_key /etc/ssl/a.key;"
SERVER = "server { listen 443 ssl; server_name a.example.org; }\n"


def broken(*_: object, **__: object) -> None:
    raise KeyError("a secret of the input")


def test_a_bug_in_a_reader_is_exit_3_with_the_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ground = Ground(tmp_path)
    ground.nginx(SERVER.replace(";", f"; {CERTIFICATE}", 1))
    ground.nft("tcp dport 443 accept")
    monkeypatch.setattr("sslint.firewalls.nftables.read", broken)
    monkeypatch.delenv("SSLINT_DEBUG")
    assert cli.main(["check", str(ground.root), "--format", "json"]) == 3
    out, err = capsys.readouterr()
    unread = [one for one in json.loads(out)["unread"] if "bug" in one["reason"]]
    assert [one["path"] for one in unread] == ["etc/nftables.conf"]
    assert "KeyError" in unread[0]["reason"]
    assert "secret" not in out + err


def test_merges_of_merges_are_counted() -> None:
    """Forty lines of three aliases each stand for 3 ** 39 empty mappings."""
    lines = ["a0: &a0 {}"]
    lines += [f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}, *a{i - 1}]}}" for i in range(1, 40)]
    with pytest.raises(UsageError, match="holds more than a configuration can"):
        yamlfile.read("x.yaml", "\n".join(lines).encode())


def test_it_fails_a_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ground = Ground(tmp_path)
    ground.nft("tcp dport 443 accept")
    ground.nginx(SERVER)
    monkeypatch.setattr("sslint.firewalls.nftables.read", broken)
    monkeypatch.setenv("SSLINT_DEBUG", "1")
    with pytest.raises(KeyError):
        cli.main(["check", str(ground.root)])


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-16"])
def test_an_output_that_is_not_utf8(encoding: str, tmp_path: Path) -> None:
    ground = Ground(tmp_path)
    ground.nginx("server { listen 443 ssl; server_name bücher.例え.example; ssl_certificate é; }")
    done = subprocess.run(
        [sys.executable, "-I", "-m", "sslint", "check", str(ground.root)],
        capture_output=True,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C"} | {"PYTHONIOENCODING": encoding},
    )
    assert done.returncode in (0, 1, 3), done.stderr
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from sslint.cli import main\n"
         f"sys.stdout.reconfigure(encoding={encoding!r}); sys.exit(main({['check', str(ground.root)]!r}))"],
        capture_output=True,
    )  # fmt: skip
    assert done.returncode in (0, 1, 3), done.stderr


def test_variables_captures_and_rewrites_grow_no_further_than_in_nginx() -> None:
    doubled = "".join(f"set $a{n} $a{n - 1}$a{n - 1};" for n in range(1, 60))
    captured = "rewrite ^(.*)$ $1$1;" * 60
    for lines in (f"set $a0 x; {doubled} return 302 /$a59;", captured):
        text = f"events {{}} http {{ server {{ listen 80; server_name a; {lines} }} }}"
        reading = reader.read(tree_of({"/etc/nginx/nginx.conf": text}))
        assert reading is not None
        answer = routing.answer(reading, 80, "a", "/x")
        assert len(answer.url or "") <= routing.MAX_EXPANDED


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a file away")
def test_a_configuration_of_somebody_else_does_not_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ground = Ground(tmp_path)
    ground.nginx(SERVER)
    ground.nft("tcp dport 8443 accept")
    ground.write(".sslint.yaml", "fail_on: never\n")
    assert cli.main(["check", str(ground.root)]) == 0
    os.chown(ground.root / ".sslint.yaml", 65534, 65534)
    assert cli.main(["check", str(ground.root)]) == 1
    capsys.readouterr()
