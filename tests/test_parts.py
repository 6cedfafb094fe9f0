"""Parts of one host that are given by path, and what was named and holds nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from sslint.cli import main
from tests.cases import EXAMPLES

CLOSED = EXAMPLES / "web-443-closed"
NGINX = (CLOSED / "etc/nginx/nginx.conf").read_text()
SHOP = (CLOSED / "etc/nginx/sites-enabled/shop").read_text()
RULES = (CLOSED / "etc/nftables.conf").read_text()
DOVECOT = {
    "conf.d/10-ssl.conf": "ssl = required\nssl_cert = </etc/ssl/x.pem\nssl_key = </etc/ssl/x.key\n",
    "conf.d/20-imap.conf": "protocol imap {\n}\n",
}
WHOLE = {
    "etc/nginx/nginx.conf": NGINX,
    "etc/nginx/sites-enabled/s": SHOP,
    "etc/nftables.conf": RULES,
}
NOBODY = 65534


def lay(top: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)
    return top


def check(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, dict, str]:
    code = main(["check", *map(str, words), "--format", "json"])
    captured = capsys.readouterr()
    return code, json.loads(captured.out), captured.err


def verdicts(report: dict) -> set[tuple[str, int, str]]:
    return {
        (endpoint["host"], endpoint["port"], reach["verdict"])
        for endpoint in report["endpoints"]
        if endpoint["tls"] != "none"
        for reach in endpoint["reach"].values()
        if reach is not None
    }


# files beside each other, what is named, the name of the host
FORMS = {
    "the directories of an etc": (
        WHOLE,
        ["etc/nginx", "etc/nftables.conf"],
    ),
    "its files": (
        WHOLE,
        ["etc/nginx/nginx.conf", "etc/nginx/sites-enabled/s", "etc/nftables.conf"],
    ),
    "a main file with what it includes beside it": (
        WHOLE,
        ["etc/nftables.conf", "etc/nginx/nginx.conf"],
    ),
    "sites and a ruleset": (
        {"etc/nginx/sites-enabled/s": SHOP, "etc/nftables.conf": RULES},
        ["etc/nginx/sites-enabled", "etc/nftables.conf"],
    ),
    "one site and a ruleset": ({"s": SHOP, "r": RULES}, ["s", "r"]),
    "a flat directory": ({"d/nginx.conf": NGINX, "d/s": SHOP, "d/nftables.conf": RULES}, ["d"]),
    "the files of a flat directory": (
        {"d/nginx.conf": NGINX, "d/s": SHOP, "d/nftables.conf": RULES},
        ["d/s", "d/nftables.conf", "d/nginx.conf"],
    ),
    "files of several directories": (
        {"a/nginx.conf": NGINX, "b/shop.conf": SHOP, "c/rules": RULES},
        ["a/nginx.conf", "b/shop.conf", "c/rules"],
    ),
    "several directories": (
        {"a/nginx.conf": NGINX, "b/shop.conf": SHOP, "c/rules.nft": RULES},
        ["a", "b", "c"],
    ),
    "a directory of sites, without an etc": (
        {"web/sites/shop.conf": SHOP, "web/r": RULES},
        ["web/sites", "web/r"],
    ),
    "an etc without nginx.conf": (
        {"etc/nginx/sites-enabled/s": SHOP, "etc/nftables.conf": RULES},
        ["."],
    ),
    "an etc with sites-available alone": (
        {"etc/nginx/sites-available/s": SHOP, "etc/nftables.conf": RULES},
        ["etc"],
    ),
    "a part twice": (
        WHOLE,
        ["etc/nginx", "etc/nginx/", "./etc/nginx/sites-enabled/s", "etc/nftables.conf"],
    ),
    "a host twice, and a part of it": (
        WHOLE,
        ["etc", ".", "etc/nginx"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_what_is_given_together_is_one_host(
    capsys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    files, paths = FORMS[form]
    monkeypatch.chdir(lay(tmp_path, files))
    code, report, err = check(capsys, *paths)
    assert code == 1, err
    assert len({host for host, _, _ in verdicts(report)}) == 1
    assert {(port, verdict) for _, port, verdict in verdicts(report)} == {(443, "closed")}
    assert [finding["rule"] for finding in report["findings"]] == ["tls-port-closed"]
    assert not [unread for unread in report["unread"] if unread["decisive"]]


def test_two_whole_hosts_stay_two(capsys, tmp_path: Path) -> None:
    for name in ("a", "b"):
        shutil.copytree(CLOSED, tmp_path / name)
    _, report, _ = check(capsys, tmp_path / "a/etc", tmp_path / "b")
    assert len({finding["fingerprint"] for finding in report["findings"]}) == 2


def test_two_hosts_are_never_called_the_same(capsys, tmp_path: Path, monkeypatch) -> None:
    for name in ("a", "b"):
        shutil.copytree(CLOSED, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    _, report, _ = check(capsys, "a/etc", "b/etc")
    assert {host for host, _, _ in verdicts(report)} == {"a", "b"}
    assert len({finding["fingerprint"] for finding in report["findings"]}) == 2


def test_a_file_that_no_other_includes_is_not_green(capsys, tmp_path: Path) -> None:
    lay(
        tmp_path,
        {"nginx.conf": NGINX.replace("sites-enabled/*", "x/*.site"), "s": SHOP, "r": RULES},
    )
    code, report, _ = check(capsys, tmp_path / "nginx.conf", tmp_path / "s", tmp_path / "r")
    assert code == 3
    assert [u["reason"] for u in report["unread"] if u["decisive"] and u["path"].endswith("/s")]


def test_a_snippet_that_a_site_includes_is_no_site(capsys, tmp_path: Path) -> None:
    shop = SHOP.replace("listen 443 ssl;", "listen 443 ssl;\n    include snippets/x.conf;")
    lay(tmp_path / "etc/nginx", {"sites-enabled/s": shop, "snippets/x.conf": "gzip on;\n"})
    code, report, _ = check(
        capsys, tmp_path / "etc/nginx/sites-enabled/s", tmp_path / "etc/nginx/snippets/x.conf",
        "--firewall", "none",
    )  # fmt: skip
    assert code == 0
    assert {(port, verdict) for _, port, verdict in verdicts(report)} == {(443, "open")}


@pytest.mark.parametrize("paths", [["conf.d"], ["conf.d/10-ssl.conf", "conf.d/20-imap.conf"]])
def test_fragments_of_dovecot(capsys, tmp_path: Path, paths: list[str]) -> None:
    lay(tmp_path, {**DOVECOT, "r": RULES})
    code, report, _ = check(capsys, *(tmp_path / path for path in paths), tmp_path / "r")
    assert code == 1
    assert {(port, verdict) for _, port, verdict in verdicts(report)} == {
        (143, "closed"),
        (993, "closed"),
    }
    assert any("dovecot.conf is missing" in text for text in report["firewall"][0]["assumptions"])


def test_a_ruleset_that_another_includes_is_read_once(capsys, tmp_path: Path) -> None:
    main_rules = RULES + 'include "/etc/nftables.d/*.nft"\n'
    more = "add rule inet filter input tcp dport 443 accept\n"
    lay(tmp_path, {"s": SHOP, "a/rules.nft": main_rules, "b/web.nft": more})
    code, report, err = check(
        capsys, tmp_path / "s", tmp_path / "b/web.nft", tmp_path / "a/rules.nft"
    )
    assert code == 0, err
    assert {(port, verdict) for _, port, verdict in verdicts(report)} == {(443, "open")}


# -- named and holding nothing ------------------------------------------------------------------


def test_a_directory_that_holds_nothing_is_named(capsys, tmp_path: Path) -> None:
    lay(tmp_path, {"etc/nginx/nginx.conf": NGINX, "etc/nftables.conf": RULES, "empty/x": ""})
    code, report, err = check(capsys, tmp_path / "empty")
    assert (code, report["endpoints"]) == (3, [])
    assert "empty holds no configuration" in err
    for others in (["etc"], ["etc/nftables.conf"]):
        code, report, _ = check(capsys, *(tmp_path / other for other in others), tmp_path / "empty")
        assert code == 3
        assert any("holds no configuration" in unread["reason"] for unread in report["unread"])


def test_servers_that_belong_to_no_host_are_not_green(capsys, tmp_path: Path) -> None:
    lay(tmp_path, {"a/nginx.conf": NGINX, "b/nginx.conf": NGINX, "nftables.conf": RULES})
    code, report, _ = check(capsys, tmp_path)
    assert code == 3
    assert any("belongs to no host" in unread["reason"] for unread in report["unread"])


@pytest.mark.parametrize(
    ("host", "status", "said"),
    [
        ("nginx: sites", 1, None),
        ("nginx: sites/shop.conf", 1, None),
        ("nginx: main.conf", 1, None),
        ("nginx: empty", 3, "holds neither nginx.conf nor files that it would include"),
        ("dovecot: empty", 3, "holds neither dovecot.conf nor files"),
        ("dovecot: mail/conf.d", 1, None),
        ("dovecot: mail/dovecot.conf", 1, None),
        ("postfix: empty", 3, "does not hold main.cf or master.cf"),
        ("root: empty", 3, "holds no etc/"),
    ],
)
def test_what_hosts_names(
    capsys,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    host: str,
    status: int,
    said: str | None,
) -> None:
    dovecot = {f"mail/{name}": text for name, text in DOVECOT.items()}
    dovecot["mail/dovecot.conf"] = "protocols = imap\n!include conf.d/*.conf\n"
    files = {"sites/shop.conf": SHOP, "main.conf": NGINX, "sites-enabled/s": SHOP, "rules": RULES}
    lay(tmp_path, {**files, **dovecot, "empty/README.md": RULES})
    (tmp_path / ".sslint.yaml").write_text(f"hosts: {{web: {{{host}, firewall: rules}}}}\n")
    monkeypatch.chdir(tmp_path)
    code, report, err = check(capsys, ".")
    assert code == status, err
    if said is None:
        assert {verdict for _, _, verdict in verdicts(report)} == {"closed"}
        assert not [unread for unread in report["unread"] if unread["decisive"]]
    else:
        assert any(said in unread["reason"] for unread in report["unread"])


# -- as another user ----------------------------------------------------------------------------


# Python itself may lie where another user cannot look, so all is imported before.
PROGRAM = """
import contextlib, io, locale, os, sys
from sslint.cli import main
words = ["check", "--format", "json", *sys.argv[3:]]
os.chdir(sys.argv[1])
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    main(words)
os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))
sys.exit(main(words))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")
@pytest.mark.parametrize("hidden", ["etc", "etc/nginx", "etc/nginx/nginx.conf",
                                    "etc/nginx/sites-enabled", "etc/nginx/sites-enabled/shop",
                                    "etc/nftables.conf"])  # fmt: skip
@pytest.mark.parametrize("paths", [["."], ["etc"], ["etc/nginx", "etc/nftables.conf"],
                                   ["etc/nginx/nginx.conf", "etc/nftables.conf"],
                                   ["etc/nginx/sites-enabled", "etc/nftables.conf"]])  # fmt: skip
def test_what_may_not_be_read_is_not_green(hidden: str, paths: list[str]) -> None:
    with tempfile.TemporaryDirectory() as top:
        shutil.copytree(CLOSED, top, dirs_exist_ok=True)
        os.chmod(top, 0o755)
        os.chmod(Path(top, hidden), 0)
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, top, str(NOBODY), *paths],
            capture_output=True,
            text=True,
        )
    if hidden == "etc/nginx/nginx.conf" and "etc/nginx/sites-enabled" in paths:
        assert done.returncode == 1  # it was not named
        return
    assert done.returncode == 3, done.stderr
    report = json.loads(done.stdout)
    told = done.stderr + json.dumps(report["unread"]) + json.dumps(report.get("judged"))
    assert "cannot be read" in told or "ermission denied" in told


WEB = (
    "events {}\nhttp {\n  server {\n    listen 443 ssl;\n    ssl_certificate /etc/ssl/x.pem;\n"
    "    ssl_certificate_key /etc/ssl/x.key;\n  }\n}\n"
)
DUMP = "*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp --dport 443 -j ACCEPT\nCOMMIT\n"


@pytest.mark.parametrize(
    "files",
    [
        {"roles/nginx/files/nginx.conf": WEB, "roles/firewall/files/rules.v4": DUMP},
        {"nginx/config/nginx.conf": WEB, "firewall/host.nft": RULES},
        {"web/nginx.conf": WEB, "nftables.conf": RULES},
        {"server/nginx/nginx.conf": WEB, "server/iptables/rules.v4": DUMP},
        {"etc/nftables.conf": RULES, "nginx/nginx.conf": WEB},
    ],
)
def test_parts_that_lie_apart_are_one_host(capsys, tmp_path: Path, files: dict[str, str]) -> None:
    lay(tmp_path, files)
    _code, report, err = check(capsys, tmp_path)
    assert not err
    assert {end["port"]: end["reach"]["ipv4"]["verdict"] for end in report["endpoints"]} != {}
    assert all(end["reach"]["ipv4"]["verdict"] != "unknown" for end in report["endpoints"])
    assumed = report["firewall"][0]["assumptions"]
    assert any(
        "one of each kind here" in text or "only one of its kind" in text for text in assumed
    )


@pytest.mark.parametrize(
    "more",
    [
        {"roles/web2/files/nginx.conf": WEB},
        {"roles/firewall2/files/rules.v4": DUMP},
        {"roles/nginx/files/Dockerfile": "FROM nginx\n"},
        {"Dockerfile": "FROM nginx\n"},
        {"docker-compose.yml": "services: {}\n"},
    ],
)
def test_parts_of_several_hosts_or_of_containers_are_not_joined(
    capsys, tmp_path: Path, more: dict[str, str]
) -> None:
    apart = {"roles/nginx/files/nginx.conf": WEB, "roles/firewall/files/rules.v4": DUMP}
    lay(tmp_path, apart | more)
    code, report, err = check(capsys, tmp_path)
    assert (code, report["endpoints"]) == (3, [])
    assert "roles/nginx/files/nginx.conf belongs to no host" in err


@pytest.mark.parametrize(
    ("web", "firewall"),
    [
        ("hosts/web/nginx/nginx.conf", "hosts/db/rules.v4"),
        ("servers/a/nginx.conf", "servers/b/rules.v4"),
        ("web.example.org/nginx.conf", "db.example.org/rules.v4"),
        ("prod/nginx.conf", "staging/rules.v4"),
        ("web1/files/nginx.conf", "db1/files/rules.v4"),
    ],
)
def test_parts_of_hosts_by_their_names_are_not_joined(
    capsys, tmp_path: Path, web: str, firewall: str
) -> None:
    lay(tmp_path, {web: WEB, firewall: DUMP})
    code, report, err = check(capsys, tmp_path)
    assert (code, report["endpoints"]) == (3, [])
    assert f"{web} belongs to no host" in err


def test_parts_below_one_host_are_joined(capsys, tmp_path: Path) -> None:
    lay(tmp_path, {"hosts/web/nginx/nginx.conf": WEB, "hosts/web/firewall/rules.v4": DUMP})
    code, report, _ = check(capsys, tmp_path)
    assert code != 3
    assert report["endpoints"]


def test_what_belongs_to_no_host_is_shown_as_a_block_to_paste(capsys, tmp_path: Path) -> None:
    lay(
        tmp_path,
        {
            "a/nginx.conf": WEB,
            "b/nginx.conf": WEB,
            "fw/rules.v4": DUMP,
        },
    )
    _, _, err = check(capsys, tmp_path)
    lines = [line.strip() for line in err.splitlines()]
    start = lines.index("hosts:")
    assert lines[start + 1 : start + 4] == [
        f"{tmp_path.name}:",
        "nginx: a  # or b",
        "firewall: [fw/rules.v4]",
    ]
    block = "\n".join(err.splitlines()[start:])
    (tmp_path / ".sslint.yaml").write_text(block)
    _code, report, _ = check(capsys, tmp_path)
    assert [end["port"] for end in report["endpoints"]]


@pytest.mark.parametrize("place", ["fail2ban/filter.d/dovecot.conf", "logrotate.d/nginx.conf"])
def test_files_of_other_programs_are_nobodys_main_file(capsys, tmp_path: Path, place: str) -> None:
    lay(tmp_path, {"nginx/nginx.conf": WEB, "nftables.conf": RULES, place: "[Definition]\n"})
    _, report, _ = check(capsys, tmp_path)
    assert report["unread"] == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("README", "Firewall\n---\n*filter\n:INPUT DROP\n"),
        ("nginx", "$ sudo nano /etc/nginx/conf.d/app.conf\nserver {\n    listen 80;\n}\n"),
    ],
)
def test_papers_and_notes_about_a_server_are_no_configuration(
    capsys, tmp_path: Path, name: str, text: str
) -> None:
    lay(tmp_path, {name: text, "update.sh": "echo\n"})
    assert main(["check", str(tmp_path)]) == 3
    assert "nothing to check" in capsys.readouterr().err


@pytest.mark.parametrize("enabled", [False, True])
def test_a_redirect_may_lead_to_a_site_that_was_not_given(
    capsys, tmp_path: Path, enabled: bool
) -> None:
    away = "server {\n    listen 80;\n    server_name a.test;\n    return 301 https://a.test/;\n}\n"
    place = "enabled" if enabled else "available"
    lay(tmp_path, {f"etc/nginx/sites-{place}/a": away, "etc/nftables.conf": RULES})
    lay(tmp_path, {f"etc/nginx/sites-{place}/README": "One file a site.\n"} if not enabled else {})
    _, report, _ = check(capsys, tmp_path)
    rules = [one["rule"] for one in report["findings"]]
    assert ("redirect-to-unserved-port" in rules) is enabled
    assert report["unread"] == [] or enabled


def test_a_site_that_is_taken_for_enabled_conflicts_with_no_other_server(
    capsys, tmp_path: Path
) -> None:
    haproxy = "frontend f\n    mode http\n    bind 0.0.0.0:80\n"
    site = "server {\n    listen 80;\n}\n"
    lay(tmp_path, {"etc/haproxy/haproxy.cfg": haproxy, "etc/nginx/sites-available/x": site})
    rules = [one["rule"] for one in check(capsys, tmp_path)[1]["findings"]]
    assert "listen-bind-conflict" not in rules
    lay(tmp_path, {"etc/nginx/sites-enabled/x": site})
    rules = [one["rule"] for one in check(capsys, tmp_path)[1]["findings"]]
    assert "listen-bind-conflict" in rules
