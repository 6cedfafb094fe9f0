"""Whatever a tree holds: no traceback, no way out, no raw control character, no key."""

from __future__ import annotations

import os
import random
import shutil
import time
from pathlib import Path

import pytest

from sslint.cli import main
from tests import pki
from tests.cases import EXAMPLES, SOUND

SEED = int(os.environ["SSLINT_SEED"])
PIECES = [b"{", b"}", b";", b'"', b"'", b"\\", b"$", b"${", b"\0", b"\xff", b"\n", b"#", b"@", b"*",
          b"!include x", b"include /etc/*;", b"-A INPUT", b"<!DOCTYPE x>", b"&a;", b"\x1b[2J",
          b"9" * 400, b"(" * 3000, b"{" * 3000, b"jump input", b"%{x}", b"$x" * 50]  # fmt: skip


@pytest.fixture(autouse=True)
def _debug(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSLINT_DEBUG", "1")


def damage(data: bytes, chance: random.Random) -> bytes:
    """Return a file with a few bytes cut, doubled or put in."""
    for _ in range(chance.randrange(1, 6)):
        at, end = sorted(chance.randrange(len(data) + 1) for _ in range(2))
        end = min(end, at + 40)
        kind = chance.randrange(3)
        if kind == 0:
            data = data[:at] + data[end:]
        elif kind == 1:
            data = data[:at] + chance.choice(PIECES) + data[at:]
        else:
            data = data[:end] + data[at:end] + data[end:]
    return data


@pytest.mark.parametrize("host", sorted(p.name for p in SOUND.iterdir() if p.is_dir()))
def test_damaged_files_never_crash(host: str, tmp_path: Path, capsys) -> None:
    chance = random.Random(f"{SEED} {host}")
    for number in range(int(os.environ.get("SSLINT_COUNT") or 12)):
        root = tmp_path / str(number)
        shutil.copytree(SOUND / host, root)
        files = [path for path in root.rglob("*") if path.is_file()]
        for path in chance.sample(files, min(len(files), 2)):
            path.write_bytes(damage(path.read_bytes(), chance))
        for command in (["check"], ["endpoints"], ["trace", "443"]):
            start = time.monotonic()
            code = main([command[0], str(root), *command[1:]])
            said = capsys.readouterr()
            again = f"SSLINT_SEED={SEED} {host} {number}: {command[0]}"
            assert code in (0, 1, 3), again
            assert is_plain(said.out + said.err), again
            assert time.monotonic() - start < 20, again


def test_control_characters_are_never_printed(tmp_path: Path, capsys) -> None:
    nginx, red = tmp_path / "etc/nginx", "\x1b[31m"
    (nginx / "conf.d").mkdir(parents=True)
    (nginx / "nginx.conf").write_text("events {}\nhttp { include conf.d/*.conf; }\n")
    (nginx / f"conf.d/{red}.conf").write_text(f'server {{ listen 443; server_name "{red}"; }}\n')
    (tmp_path / "etc/nftables.conf").write_text(
        "table inet f { chain i {\ntype filter hook input priority 0; policy drop;\n"
        f'tcp dport 443 counter drop comment "{red}"\n}}\n}}\n'
    )
    for command in ("check", "endpoints", "trace 443", "trace 443 --from 203.0.113.9"):
        name, *more = command.split()
        for style in ("text", "json"):
            assert main([name, str(tmp_path), *more, "--format", style]) in (0, 1)
            said = capsys.readouterr()
            assert said.out
            assert is_plain(said.out + said.err), command
    (tmp_path / ".sslint.yaml").write_text('hosts: {"\\e[31m": {nginx: "\\e[31m", "\\e[32m": 1}}\n')
    assert main(["check", str(tmp_path)]) == 2
    assert is_plain(capsys.readouterr().err)


def is_plain(text: str) -> bool:
    return all(c.isprintable() or c == "\n" for c in text)


def test_nothing_outside_is_read(tmp_path: Path, capsys) -> None:
    secret = tmp_path / "secret"
    secret.write_text("listen 8443 ssl; # TOP-SECRET\n")
    root = tmp_path / "host"
    shutil.copytree(EXAMPLES / "web-443-closed", root)
    (root / "etc/nginx/sites-enabled/a").symlink_to(secret)
    (root / "etc/nginx/sites-enabled/b").symlink_to("../../../../secret")
    conf = root / "etc/nginx/nginx.conf"
    conf.write_text(conf.read_text() + f"include {secret};\ninclude ../../../secret;\n")
    (root / "etc/nftables.conf").write_text(f'include "{secret}"\ninclude "../../secret"\n')
    main(["check", str(root), "--format", "json"])
    captured = capsys.readouterr()
    assert "TOP-SECRET" not in captured.out + captured.err


def test_private_keys_are_never_printed(tmp_path: Path, capsys) -> None:
    root = tmp_path / "host"
    shutil.copytree(SOUND / "web-nftables", root)
    live = root / "etc/letsencrypt/live/www.example.org"
    live.mkdir(parents=True)
    key = pki.key_pem("other")
    (live / "fullchain.pem").write_text(key)  # in the wrong file, to tempt the reader
    (live / "privkey.pem").write_text(key)
    site = root / "etc/nginx/sites-enabled/www"
    site.write_text(site.read_text() + key)  # and in a configuration that does not parse
    for style in ("text", "json"):
        main(["check", str(root), "--format", style])
        captured = capsys.readouterr()
        lines = [line for line in key.splitlines() if not line.startswith("-----")]
        assert not any(line in captured.out + captured.err for line in lines[1:])


def test_includes_without_end_are_bounded(tmp_path: Path, capsys) -> None:
    etc = tmp_path / "etc"
    (etc / "nginx").mkdir(parents=True)
    (etc / "nginx/nginx.conf").write_text("events {}\nhttp { include /etc/nginx/*.conf; }\n")
    (etc / "nginx/a.conf").write_text("include /etc/nginx/*.conf;\n" * 50)
    (etc / "nftables.conf").write_text('include "/etc/nftables.conf"\n' * 50)
    (etc / "dovecot").mkdir()
    (etc / "dovecot/dovecot.conf").write_text("!include dovecot.conf\n" * 50)
    (etc / "postfix").mkdir()
    (etc / "postfix/main.cf").write_text("a = $b\nb = $a$a\ninet_interfaces = $a\n")
    start = time.monotonic()
    assert main(["check", str(tmp_path)]) in (1, 3)
    assert time.monotonic() - start < 20
    assert "Traceback" not in capsys.readouterr().err
