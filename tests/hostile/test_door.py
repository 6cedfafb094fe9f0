"""Only tree/ opens files, and what is found in a stranger's tree does not lead out of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import sslint
from sslint.cli import main
from sslint.tree import Tree, TreeError
from tests.cases import EXAMPLES

TOKEN = "https://user:ghp_CanaryCanaryCanary@github.com"
OPENS = re.compile(
    r"(?<![\w.])open\(|\.(open|read_text|read_bytes|write_text|write_bytes|iterdir|rglob)\("
    r"|os\.(open|fdopen|listdir|scandir|walk|fwalk)\(|\bfrom io import|\bio\.open\("
)
NGINX = "events {}\nhttp { server { listen 80; } }\n"


def test_no_other_module_opens_files() -> None:
    package = Path(sslint.__file__).parent
    allowed = re.compile(r"os\.devnull|def open\(|\breach\.open|tree\.read_bytes|^\s*#|  # ")
    found = [
        f"{path.relative_to(package)}: {line.strip()}"
        for path in package.rglob("*.py")
        if path.parent != package / "tree"
        for line in path.read_text().splitlines()
        if OPENS.search(line) and not allowed.search(line)
    ]
    assert found == []


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "home/.git-credentials"
    path.parent.mkdir()
    path.write_text(TOKEN + "\n")
    return path


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Return a work tree with one host."""
    (tmp_path / "work/.git").mkdir(parents=True)
    (tmp_path / "work/etc/nginx").mkdir(parents=True)
    (tmp_path / "work/etc/nginx/nginx.conf").write_text(NGINX)
    return tmp_path / "work"


def said(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    return captured.out + captured.err


def test_a_configuration_that_is_a_link_is_refused(work: Path, secret: Path, capsys) -> None:
    (work / ".sslint.yaml").symlink_to(secret)
    assert main(["check", str(work)]) == 2
    out = said(capsys)
    assert "is a symbolic link" in out
    assert "Canary" not in out


def test_a_configuration_within_is_no_link_either(work: Path, capsys) -> None:
    (work / "other.yaml").write_text("fail_on: never\n")
    (work / ".sslint.yaml").symlink_to("other.yaml")
    assert main(["check", str(work)]) == 2
    assert main(["check", str(work), "--config", str(work / ".sslint.yaml")]) != 2


def test_a_configuration_quotes_no_line_of_what_is_not_yaml(work: Path, capsys) -> None:
    (work / ".sslint.yaml").write_text(f"a: [\n{TOKEN}: {{ghp_Canary\n")
    assert main(["check", str(work)]) == 2
    out = said(capsys)
    assert "not valid YAML" in out
    assert "Canary" not in out


@pytest.mark.parametrize("key", ["rules: [x.yaml]", "rules: [d]", "baseline: x.yaml"])
def test_a_rule_or_baseline_that_is_a_link_is_refused(
    work: Path, secret: Path, capsys, key: str
) -> None:
    (work / ".sslint.yaml").write_text(key + "\n")
    (work / "d").mkdir()
    for link in (work / "x.yaml", work / "d/x.yaml"):
        link.symlink_to(secret)
    assert main(["check", str(work)]) == 2
    assert "Canary" not in said(capsys)
    for link in (work / "x.yaml", work / "d/x.yaml"):
        link.unlink()
        (work / "real").write_text(TOKEN)
        link.symlink_to(work / "real")
    assert main(["check", str(work)]) == 2
    out = said(capsys)
    assert "link" in out
    assert "Canary" not in out


def test_a_baseline_of_the_configuration_lies_beside_it(work: Path, monkeypatch, capsys) -> None:
    (work / ".sslint.yaml").write_text("baseline: known.json\n")
    (work / "known.json").write_text('{"version": 1, "findings": {}}')
    monkeypatch.chdir("/")
    assert main(["check", str(work)]) != 2


@pytest.mark.parametrize("where", ["etc/nginx/sites", "etc", "."])
def test_a_path_that_is_a_link_stays_in_its_work_tree(
    work: Path, secret: Path, capsys, where: str
) -> None:
    (work / where).mkdir(exist_ok=True)
    link = work / where / "changed.conf"
    link.symlink_to(secret)
    assert main(["check", str(link)]) == 2
    out = said(capsys)
    assert "leaves" in out
    assert "Canary" not in out


def test_a_path_that_leads_into_another_work_tree_is_refused(work: Path, capsys) -> None:
    other = work.parent / "other"
    (other / ".git").mkdir(parents=True)
    (other / "etc/nginx").mkdir(parents=True)
    text = "events {} http { server { listen 443 ssl; server_name Canary.example.org; } }\n"
    (other / "etc/nginx/nginx.conf").write_text(text)
    (work / "link").symlink_to(other)
    for path in ("link", "link/etc", "link/etc/nginx/nginx.conf"):
        assert main(["check", str(work / path)]) == 2
        assert "Canary" not in said(capsys)
    (work / "module").mkdir()
    (work / "module/.git").write_text("gitdir: ../.git/modules/module\n")
    (work / "module/etc").symlink_to("../etc")
    assert main(["check", str(work / "module/etc")]) == 2  # a module's work tree is its own
    assert main(["endpoints", str(work / "etc")]) == 0


def test_an_etc_that_is_a_link_stays_in_its_work_tree(work: Path, capsys) -> None:
    host = work.parent / "outside/etc/nginx"
    host.mkdir(parents=True)
    text = "events {} http { server { listen 443 ssl; server_name Canary.example.org; } }\n"
    (host / "nginx.conf").write_text(text)
    (work / "other").mkdir()
    (work / "etc").rename(work / "other/etc")
    for place in (work, work / "hosts/web"):
        place.mkdir(parents=True, exist_ok=True)
        (place / "etc").symlink_to(host.parent)
        main(["check", str(place)])
        main(["endpoints", str(place)])
        assert "anary" not in said(capsys)
    (work / "hosts/web/etc").unlink()
    (work / "hosts/web/etc").symlink_to("../../other/etc")
    assert main(["endpoints", str(work / "hosts/web")]) == 0
    assert "0.0.0.0:80/tcp" in said(capsys)


def test_a_path_without_a_work_tree_stays_in_its_etc(tmp_path: Path, secret: Path, capsys) -> None:
    available = tmp_path / "host/etc/nginx/sites-available"
    enabled = tmp_path / "host/etc/nginx/sites-enabled"
    available.mkdir(parents=True)
    enabled.mkdir()
    (available / "shop").write_text("server {\nlisten 80;\n}\n")
    (enabled / "shop").symlink_to("../sites-available/shop")
    (enabled / "bad").symlink_to(secret)
    assert main(["check", str(enabled / "shop")]) != 2
    assert main(["check", str(enabled / "bad")]) == 2
    (tmp_path / "loose").symlink_to(enabled)
    (tmp_path / "host/out").symlink_to(secret)
    assert main(["check", str(tmp_path / "host/out")]) == 2
    assert "Canary" not in said(capsys)


@pytest.mark.parametrize(
    "text",
    [
        "hosts: {a: {root: .git}}",
        "hosts: {a: {nginx: .git/config}}",
        "hosts: {a: {paths: {/etc/nginx: .git/x/..}}}",
        "hosts: {a: {root: link}}",
        "hosts: {a: {nginx: loop}}",
        'hosts: {a: {nginx: "a\\0b"}}',
        "hosts: {a: {announced: [.git/config], root: .}}",
        f"hosts: {{a: {{nginx: {'x' * 300}}}}}",
    ],
)
def test_hosts_name_nothing_but_files_of_the_work_tree(work: Path, capsys, text: str) -> None:
    (work / ".git/x").mkdir()
    (work / ".git/config").write_text(f"[remote]\nurl = {TOKEN}\n")
    (work / "link").symlink_to(".git")
    (work / "loop").symlink_to("loop")
    (work / ".sslint.yaml").write_text(text + "\n")
    code = main(["check", str(work)])
    assert code == (0 if "/.." in text else 2) or code in (2, 3)
    assert "Canary" not in said(capsys)


def test_doubled_slashes_of_hosts_do_not_loop(work: Path) -> None:
    (work / ".sslint.yaml").write_text("hosts: {a: {root: ., paths: {//etc/ssl: etc}}}\n")
    done = subprocess.run(
        [sys.executable, "-m", "sslint", "check", str(work)], timeout=30, capture_output=True
    )
    assert done.returncode in (0, 1, 3)


RULESET = "table inet f { chain i { type filter hook input priority 0; policy drop; }; }\n"


def sslint_with(data: str, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "sslint", *arguments],
        input=data, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["-", "/dev/stdin", "/dev/fd/0", "nft=-"])
def test_a_ruleset_by_standard_input(name: str) -> None:
    code, out = sslint_with(RULESET, "trace", "443", "--firewall", name)
    assert "drop" in out
    assert code == 0


def test_a_ruleset_by_a_pipe(tmp_path: Path, capsys) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_text(RULESET))
    writer.start()
    assert main(["trace", "443", "--firewall", str(pipe)]) == 0
    writer.join()
    assert "drop" in said(capsys)


def test_an_announcement_and_a_configuration_by_standard_input(tmp_path: Path) -> None:
    host = str(EXAMPLES / "sound")
    code, out = sslint_with("$ORIGIN example.org.\n@ MX ten mail\n", "check", host,
                            "--announced", "-", "--format", "json")  # fmt: skip
    assert code in (0, 1)
    assert any(u["line"] == 2 for u in json.loads(out)["unread"])
    assert sslint_with("fail_on: never\n", "check", host, "--config", "-")[0] == 0
    assert sslint_with("no: such setting\n", "check", host, "--config", "-")[0] == 2
    assert sslint_with("{}", "check", host, "--baseline", "-")[0] == 2


@pytest.mark.parametrize("flag", ["--config", "--baseline", "--firewall", "--announced"])
def test_what_has_no_end_is_refused(flag: str, capsys) -> None:
    assert main(["check", str(EXAMPLES / "sound"), flag, "/dev/zero"]) == 2
    assert "is larger than" in said(capsys)


def test_a_file_that_is_too_large_is_told_by_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sparse one of 300 MiB took all of a run's time to read."""
    with (tmp_path / "a").open("wb") as file:
        file.truncate((64 << 20) + 1)
    monkeypatch.setattr(os, "read", lambda *_: pytest.fail("it is read"))
    with pytest.raises(TreeError, match="is larger than 64 MiB"):
        Tree(tmp_path).read("/a")


def test_a_baseline_is_not_written_through_a_link(work: Path, secret: Path) -> None:
    (work / "known.json").symlink_to(secret)
    assert main(["check", str(work), "--write-baseline", str(work / "known.json")]) == 2
    assert TOKEN in secret.read_text()
