"""The example of docs/new-server becomes a server by one folder and one line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TOP = Path(__file__).parent.parent.parent
EXAMPLE = TOP / "docs/new-server/tlsd"
TLSD = (
    "listen 443 tls\nlisten 127.0.0.1:8080\n"
    "certificate /etc/ssl/shop/fullchain.pem /etc/ssl/shop/privkey.pem\n"
)
DROP = (
    "table inet filter {\n chain input {\n  type filter hook input priority 0; policy drop;\n"
    "  ct state established,related accept\n  icmpv6 type != echo-request accept\n"
    "  tcp dport { 22, 80 } accept\n }\n}\n"
)
RENEWAL = (
    "fullchain = /etc/letsencrypt/live/shop/fullchain.pem\n[renewalparams]\n"
    "authenticator = standalone\nrenew_hook = {}\n"
)


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where sslint lies with the example in it."""
    place = tmp_path_factory.mktemp("extended")
    package = place / "sslint"
    shutil.copytree(TOP / "linter/sslint", package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("rules", "schemas"):
        shutil.copytree(TOP / name, package / name)
    shutil.copytree(EXAMPLE, package / "servers/tlsd")
    registry = package / "servers/__init__.py"
    text = registry.read_text()
    line = '    "stunnel",\n'
    assert text.count(line) == 1
    registry.write_text(text.replace(line, f'{line}    "tlsd",\n'))
    return place


def run(extended: Path, host: Path, files: dict[str, str], *paths: str) -> dict[str, Any]:
    """Return the report of a host of these files."""
    for name, text in files.items():
        (host / name).parent.mkdir(parents=True, exist_ok=True)
        (host / name).write_text(text)
    code = (
        "import sys; sys.path.insert(0, sys.argv.pop(1));"
        "from sslint.cli import main; sys.exit(main())"
    )
    command = (sys.executable, "-I", "-c", code, str(extended), "check", "--format", "json")
    environment = {**os.environ, "SSLINT_DEBUG": "1"}
    done = subprocess.run(
        [*command, *paths], capture_output=True, text=True, cwd=host, env=environment, check=False
    )
    assert done.returncode in (0, 1, 3), done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_closed_port_is_an_error_with_both_lines_and_a_fix(extended: Path, tmp_path: Path):
    files = {"etc/tlsd/tlsd.conf": TLSD, "etc/nftables.conf": DROP}
    found = run(extended, tmp_path, files, "etc")
    (finding,) = [one for one in found["findings"] if one["rule"] == "tls-port-closed"]
    assert (finding["entity"], finding["severity"]) == ("tlsd tcp/443", "error")
    assert finding["location"]["path"].endswith("tlsd/tlsd.conf")
    assert finding["related"][0]["location"]["path"].endswith("nftables.conf")
    assert finding["fix"]["edits"][0]["text"].strip() == "tcp dport 443 accept"
    shown = {(one["server"], one["port"], one["tls"]) for one in found["endpoints"]}
    assert shown == {("tlsd", 443, "implicit"), ("tlsd", 8080, "none")}


def test_its_certificate_is_judged(extended: Path, tmp_path: Path):
    found = run(extended, tmp_path, {"etc/tlsd/tlsd.conf": TLSD, "etc/nftables.conf": DROP}, "etc")
    (endpoint,) = {
        json.dumps(one["certificates"]) for one in found["endpoints"] if one["tls"] == "implicit"
    }
    assert "/etc/ssl/shop/fullchain.pem" in endpoint
    codes = [one["code"] for one in found["judged"][0]["not_judged"]]
    assert codes == ["certificates-unread"]  # the file is not there


def test_its_file_is_known_by_its_name(extended: Path, tmp_path: Path):
    files = {"tlsd.conf": TLSD, "rules.nft": DROP}
    found = run(extended, tmp_path, files, "tlsd.conf", "rules.nft")
    assert "tls-port-closed" in {one["rule"] for one in found["findings"]}


@pytest.mark.parametrize(
    ("hook", "fires"), [("systemctl reload tlsd", False), ("systemctl reload nginx", True)]
)
def test_a_hook_reloads_it(hook: str, fires: bool, extended: Path, tmp_path: Path):
    files = {
        "etc/tlsd/tlsd.conf": TLSD.replace("/etc/ssl/shop/", "/etc/letsencrypt/live/shop/"),
        "etc/nftables.conf": DROP.replace("22, 80", "22, 80, 443"),
        "etc/letsencrypt/renewal/shop.conf": RENEWAL.format(hook),
        "etc/letsencrypt/renewal-hooks/deploy/.keep": "",
    }
    found = run(extended, tmp_path, files, "etc")
    assert ("renewal-no-reload" in {one["rule"] for one in found["findings"]}) is fires


def test_where_its_ports_are_not_known_nothing_passes_for_judged(extended: Path, tmp_path: Path):
    files = {"etc/tlsd/tlsd.conf": "listen $PORT tls\n", "etc/nftables.conf": DROP}
    found = run(extended, tmp_path, files, "etc")
    assert [one["code"] for one in found["judged"][0]["not_judged"]] == ["server-unread"]
