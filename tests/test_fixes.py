"""Fixes: every rule with an edit mends its own case; a patch applies; what is written is whole."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from functools import partial
from pathlib import Path

import pytest

from sslint import checker
from sslint.checker import check
from sslint.cli import main
from sslint.fixes.edits import Edit, apply, hunks
from sslint.fixes.proof import proved
from sslint.patches import Patch
from sslint.tree import Status, Tree, TreeError
from sslint.tree.writing import Replacement, replace_files
from sslint.values import replace
from tests.cases import EXAMPLES, SOUND, target
from tests.test_rules import CASES, RULES, _host

SEED = int(os.environ["SSLINT_SEED"])
MAKERS = {"close-port"}  # two sides could yield: advice alone
EDITABLE = sorted(
    name
    for name, rule in RULES.items()
    if rule.document.get("edit") or (rule.fix and rule.fix not in MAKERS)
)


@pytest.mark.parametrize("name", EDITABLE)
def test_an_edit_mends_the_rule_s_own_case(name: str) -> None:
    """The case is mended, nothing new is found, and a second run finds no more to do."""
    for case in CASES:
        if case.rule != name or not case.fires:
            continue
        host = _host(case)
        result = check([host], list(RULES.values()))
        found = [f for f in result.findings if f.rule.name == name and result.fixes[id(f)].proved]
        if not found:
            result = check([host], [RULES[name]])  # others may say more of the same host
            found = [f for f in result.findings if result.fixes[id(f)].proved]
        if found:
            assert all(result.fixes[id(f)].edits for f in found)
            return
    pytest.fail("no case of it is mended")


def test_forty_rules_have_edits() -> None:
    assert len(EDITABLE) >= 40


SOA = "@ IN SOA ns1.example.net. hostmaster.example.org. "
REST = "7200 3600 1209600 3600 )\n"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (f"{SOA}( 2026060100 {REST}", f"{SOA}( 2026060101 {REST}"),
        (f"{SOA}(\n  41 ; serial\n  {REST}", f"{SOA}(\n  42 ; serial\n  {REST}"),
        (f"{SOA}( ; 1 SOA\n ; 7\n  9\n  {REST}", f"{SOA}( ; 1 SOA\n ; 7\n  10\n  {REST}"),
        (f"{SOA}4294967295 {REST[:-2]}\n", f"{SOA}1 {REST[:-2]}\n"),
    ],
)
def test_a_zone_s_serial_is_raised(
    old: str, new: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(SOUND / "mail-announced", tmp_path / "host")
    zone = tmp_path / "host/etc/bind/db.example.org"
    text = zone.read_text().replace(
        "_submissions._tcp   IN SRV   0 1 465", "_submission._tcp IN SRV 0 1 465"
    )
    lines = [line for line in text.splitlines(keepends=True) if "587" not in line]
    zone.write_text("".join([lines[0], old, *lines[2:]]))
    assert main(["fix", str(tmp_path / "host"), "--write"]) in (0, 1)
    assert new in zone.read_text()
    assert "_submissions._tcp IN SRV 0 1 465" in zone.read_text()


def test_a_comment_behind_a_statement_is_no_hindrance(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """certbot marks its lines so."""
    shutil.copytree(SOUND / "web-iptables", tmp_path / "host")
    file = tmp_path / "host/etc/nginx/nginx.conf"
    six = "        listen [::]:443 ssl; # managed by Certbot\n"
    text = file.read_text().replace("        listen 443 ssl;\n        listen [::]:443 ssl;\n", six)
    file.write_text(text)
    main(["fix", str(tmp_path / "host"), "--write", "--allow-open"])
    assert file.read_text() == text.replace(six, f"        listen 443 ssl;\n{six}")


def test_a_setting_keeps_the_blanks_around_its_equals_sign(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(SOUND / "mail-nftables", tmp_path / "host")
    main_cf, conf = (tmp_path / "host/etc" / n for n in ("postfix/main.cf", "dovecot/dovecot.conf"))
    settings = {main_cf: ("inet_interfaces=loopback-only", "inet_interfaces=all")}
    settings[conf] = ("ssl  =  no", "ssl  =  required")
    for file, (broken, _) in settings.items():
        name = broken.split("=")[0].strip()
        lines = [
            f"{broken}\n" if line.split("=")[0].strip() == name and line[0] != " " else line
            for line in file.read_text().splitlines(keepends=True)
        ]
        file.write_text("".join(lines))
    main(["fix", str(tmp_path / "host"), "--write", "--allow-open"])
    for file, (_, mended) in settings.items():
        assert f"\n{mended}\n" in file.read_text()


def test_what_follows_from_a_finding_may_be_the_one_thing_to_change() -> None:
    case = next(c for c in CASES if c.name == "two firewalls are enabled and one closes the port")
    result = check([_host(case)], list(RULES.values()))
    first = result.findings[0]
    assert (first.rule.name, first.rule.fix) == ("verdict-conflict-between-tables", "")
    assert result.fixes[id(first)].proved


@pytest.mark.parametrize(
    ("accepts", "name", "advice"),
    [
        (
            "ip saddr 104.16.0.0/13 tcp dport 443 accept",
            "tls-port-closed-ipv6",
            "accept tcp/443 from the same clients as over IPv4",
        ),
        (
            "ip saddr 104.16.0.0/13 tcp dport 443 accept",
            "quic-udp-closed",
            "accept udp/443 from the same clients as tcp/443",
        ),
        (
            "ip saddr != 45.0.0.0/8 tcp dport 443 accept",  # bans the smaller part
            "tls-port-closed-ipv6",
            "accept tcp/443",
        ),
    ],
)
def test_no_fix_leads_around_what_keeps_most_clients_out(
    accepts: str, name: str, advice: str
) -> None:
    """A content delivery network alone reaches tcp/443 over IPv4: nobody else shall by a fix."""
    edits = (
        {"in": "etc/nftables.conf", "replace": "udp dport 443 accept", "by": ""},
        {
            "in": "etc/nftables.conf",
            "replace": "tcp dport { http, https } accept",
            "by": f"tcp dport 80 accept\n        {accepts}",
        },
    )
    result = check([target("web-nftables", edits)], list(RULES.values()))
    fixes = {f.rule.name: result.fixes[id(f)] for f in result.findings}
    assert fixes[name].title == advice
    assert bool(fixes[name].edits or fixes[name].commands) == (advice == "accept tcp/443")


# -- patches --------------------------------------------------------------------------------------


LINES = ("a", "b", "", "\tc d", "-e", "+f", "@@ -1 +1 @@", "g\r")


def _random_edits(rng: random.Random, lines: int) -> list[Edit]:
    found = []
    for number in rng.sample(range(1, lines + 1), min(lines, rng.randint(1, 5))):
        action = rng.choice(("before", "after", "replace", "delete"))
        text = rng.choice(("new", "new\nand more", "  x y"))
        found.append(Edit("f", number, action, f"{text} {number}"))
        if action in ("before", "after") and rng.random() < 0.3:
            found.append(Edit("f", number, "replace", f"other {number}"))
    return found


@pytest.mark.parametrize(
    "tool", [["git", "apply"], ["patch", "-s", "-p1", "-i"]], ids=["git", "patch"]
)
def test_a_patch_makes_what_the_edits_make(tool: list[str], tmp_path: Path) -> None:
    if shutil.which(tool[0]) is None:
        pytest.skip(f"needs {tool[0]}")
    rng = random.Random(SEED)
    for number in range(60):
        lines = [
            rng.choice(("a", "b", "", "\tc d", "-e", "+f", "@@ -1 +1 @@", "g\r"))
            for _ in range(rng.randint(1, 40))
        ]
        text = "\n".join(lines) + rng.choice(("\n", "\n", ""))
        if not text.strip("\n"):
            continue
        count = len(text.split("\n")) - text.endswith("\n")
        edits = _random_edits(rng, count)
        again = f"SSLINT_SEED={SEED} {number}"
        directory = tmp_path / f"{number}"
        directory.mkdir()
        (directory / "a b").write_bytes(text.encode())
        patch = Patch(str(directory / "a b"), text, tuple(edits)).diff(str(directory))
        (directory / "p").write_bytes(patch.encode())
        made = apply(text, edits)
        if made == text:
            continue
        subprocess.run(
            [*tool, "p"],
            cwd=directory,
            check=True,
            env={**os.environ, "GIT_CEILING_DIRECTORIES": str(tmp_path)},
        )
        there = directory / "a b"
        assert (there.read_bytes() if there.exists() else b"") == made.encode(), again


def test_edits_of_a_file_with_carriage_returns_keep_them() -> None:
    assert apply("a\r\nb\r\n", [Edit("f", 1, "after", "x")]) == "a\r\nx\r\nb\r\n"


def test_a_last_line_without_a_line_feed_gets_one_where_it_is_edited() -> None:
    assert apply("a\nb", [Edit("f", 2, "after", "c")]) == "a\nb\nc\n"
    assert apply("a\nb", [Edit("f", 1, "replace", "c")]) == "c\nb"
    assert "\\ No newline" in "".join(hunks("a\nb", [Edit("f", 1, "replace", "c")]))


# -- the command ----------------------------------------------------------------------------------


@pytest.fixture
def closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of an example whose port 443 is closed, and the working directory in it."""
    shutil.copytree(EXAMPLES / "web-443-closed", tmp_path / "host")
    monkeypatch.chdir(tmp_path / "host")
    return tmp_path / "host"


def test_what_opens_a_port_needs_leave(closed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fix", "etc"]) == 1
    out = capsys.readouterr()
    assert out.out == ""
    assert "--allow-open" in out.err
    assert main(["fix", "etc", "--allow-open"]) == 1
    out = capsys.readouterr()
    assert out.out.startswith("diff --git a/etc/nftables.conf b/etc/nftables.conf\n")
    assert "+        tcp dport 443 accept\n" in out.out


def test_a_rule_does_not_part_another_from_its_comment(
    closed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = closed / "etc/nftables.conf"
    comment = "        # the rest is refused\n        reject with icmpx admin-prohibited\n"
    text = file.read_text()
    file.write_text(text.replace("    }\n    chain forward", f"{comment}    }}\n    chain forward"))
    assert main(["fix", "etc", "--allow-open", "--write"]) == 0
    assert f"        tcp dport 443 accept\n{comment}" in file.read_text()


def test_a_rule_stands_behind_one_of_several_lines(
    closed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = closed / "etc/nftables.conf"
    several = (
        "        tcp dport { # {\n            22, 80,\n        } accept\n"
        "        tcp dport 25 \\\n        accept\n"
    )
    text = file.read_text().replace("        tcp dport { 22, 80 } accept\n", several)
    file.write_text(text)
    assert main(["fix", "etc", "--allow-open", "--write"]) == 0
    mended = text.replace(several, f"{several}        tcp dport 443 accept\n")
    assert file.read_text() == mended


def test_an_accept_is_moved_with_its_comment(
    closed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = closed / "etc/nftables.conf"
    rules = (
        "        # nothing else\n        drop\n        # the shop\n        tcp dport 443 accept\n"
    )
    text = file.read_text()
    file.write_text(text.replace("    }\n    chain forward", f"{rules}    }}\n    chain forward"))
    assert main(["fix", "etc", "--allow-open", "--write"]) == 0
    moved = (
        "        # the shop\n        tcp dport 443 accept\n        # nothing else\n        drop\n"
    )
    assert moved in file.read_text()


def test_a_second_run_changes_nothing(closed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = closed / "etc/nftables.conf"
    file.chmod(0o640)
    assert main(["fix", "etc", "--allow-open", "--write"]) == 0
    written = file.read_text()
    assert "tcp dport 443 accept" in written
    assert file.stat().st_mode & 0o777 == 0o640
    capsys.readouterr()
    assert main(["fix", "etc", "--allow-open", "--write"]) == 0
    assert main(["fix", "etc", "--allow-open"]) == 0
    assert capsys.readouterr().out == ""
    assert file.read_text() == written
    assert sorted(p.name for p in (closed / "etc").iterdir()) == sorted(
        p.name for p in (EXAMPLES / "web-443-closed/etc").iterdir()
    )


def test_a_link_is_followed_to_the_file_and_stays_a_link(
    closed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, real = closed / "etc/nftables.conf", closed / "etc/real.nft"
    file.rename(real)
    file.symlink_to("real.nft")
    assert main(["fix", "etc", "--allow-open", "--write"]) == 0
    assert file.is_symlink()
    assert "tcp dport 443 accept" in real.read_text()


def test_a_diff_says_what_it_fixes(closed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (closed / "etc/nftables.conf").rename(closed / "etc/more.nft")
    (closed / "etc/nftables.conf").write_text('include "/etc/more.nft"\ninclude "/etc/none.nft"\n')
    main(["fix", "etc", "--allow-open"])
    assert "not all could be judged" in capsys.readouterr().err
    (closed / "etc/nftables.conf").write_text('include "/etc/more.nft"\n')
    assert main(["fix", "etc", "--allow-open"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith(
        "sslint: fixes tls-port-closed: nginx serves https with TLS on tcp/443"
    )
    assert said[-1] == "sslint: 1 finding fixed by this edit"


def test_only_the_rules_named_are_mended(closed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fix", "etc", "--allow-open", "--rule", "renewal"]) == 1
    assert capsys.readouterr().out == ""


def test_each_finding_is_asked_for(
    closed: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("sslint.cli._answer_of", lambda question: bool(asked.append(question)))
    assert main(["fix", "etc", "--allow-open", "--interactive"]) == 1
    assert capsys.readouterr().out == ""
    assert len(asked) == 1
    monkeypatch.setattr("sslint.cli._answer_of", lambda question: True)
    assert main(["fix", "etc", "--allow-open", "--interactive"]) == 1
    assert capsys.readouterr().out.startswith("diff --git")


def test_a_file_whose_lines_cannot_be_shown_is_named(
    closed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = closed / "etc/nftables.conf"
    file.write_text(file.read_text().replace("tcp dport {", "# \x1b[31m\n        tcp dport {"))
    assert main(["fix", "etc", "--allow-open"]) == 1
    out = capsys.readouterr()
    assert "\x1b" not in out.out + out.err
    assert "characters that cannot be printed" in out.err


def test_a_file_that_changed_meanwhile_is_left(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("new")
    with pytest.raises(TreeError):
        replace_files([Replacement(str(file), "old", "other")])
    assert file.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/f").write_text("old")
    (tmp_path / "link").symlink_to("d")
    (tmp_path / "file").symlink_to("d/f")
    for name in ("link/f", "file"):
        with pytest.raises(TreeError):
            replace_files([Replacement(str(tmp_path / name), "old", "other")])
    assert (tmp_path / "d/f").read_text() == "old"


def test_a_script_is_made_executable(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("x")
    file.chmod(0o640)
    replace_files([Replacement(str(file), "x", "x", True)])
    assert file.stat().st_mode & 0o777 == 0o750
    tree = Tree(tmp_path)
    tree.make_executable("/f")
    assert tree.with_overlay({}).mode("/f") == 0o751


def test_what_does_not_hold_beside_the_rest_is_left_out() -> None:
    case = next(c for c in CASES if c.rule == "tls-port-closed" and c.fires)
    result = check([_host(case)], [RULES["tls-port-closed"]])
    (host,), (good,) = result.hosts, result.findings
    fix = result.fixes[id(good)]
    broken = replace(fix, edits=(replace(fix.edits[0], action="replace", text="table {"),))
    bad = replace(good)
    fixes = {id(good): fix, id(bad): broken}
    judge = partial(checker.findings, rules=[RULES["tls-port-closed"]])
    assert proved(host, [bad, good], fixes, [good], judge) == [good]


def test_a_file_that_cannot_be_written_is_said(
    closed: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise TreeError("f", "read-only file system", Status.UNKNOWN)

    monkeypatch.setattr("sslint.patches.replace_files", refuse)
    assert main(["fix", "etc", "--allow-open", "--write"]) == 2
    assert "cannot be changed: read-only file system" in capsys.readouterr().err


def _site(*listens: str) -> tuple[dict[str, str], ...]:
    """Return the edits that give the web server of web-iptables these listen statements."""
    old = "        listen 8443 ssl;\n        listen [::]:8443 ssl;"
    new = "\n".join(f"        {one}" for one in listens)
    return ({"in": "etc/nginx/nginx.conf", "replace": old, "by": new},)


@pytest.mark.parametrize(
    ("listens", "line"),
    [
        (("listen 8443;", "listen [::]:8443 ssl;"), "listen 8443 ssl;"),
        (("listen 8443 ssl;", "listen [::]:8443;"), "listen [::]:8443 ssl;"),
    ],
)
def test_the_listen_without_ssl_gets_it_and_no_other(listens: tuple[str, ...], line: str) -> None:
    result = check([target("web-iptables", _site(*listens))], list(RULES.values()))
    edits = [e for fix in result.fixes.values() if fix.proved for e in fix.edits]
    assert {edit.text.strip() for edit in edits} == {line}


def test_an_edit_that_only_another_rule_s_mends_is_not_proved() -> None:
    edits = _site("listen 8443;", "listen [::]:8443 ssl;")
    rules = [RULES[name] for name in ("tls-flag-differs-by-family", "tls-port-plaintext")]
    result = check([target("web-iptables", edits)], rules)
    (host,) = result.hosts
    (differs,) = (f for f in result.findings if f.rule is rules[0])
    (plain,) = (f for f in result.findings if f.rule is rules[1])
    fix = result.fixes[id(plain)]
    idle = replace(fix.edits[0], action="before", text="#")
    fixes = {id(plain): fix, id(differs): replace(fix, edits=(idle,))}
    judge = partial(checker.findings, rules=rules)
    assert proved(host, [differs, plain], fixes, [differs, plain], judge) == [plain]


HAPROXY = "defaults\n    mode http\nfrontend f\n    bind {} ssl crt /etc/ssl/a.pem\n"


@pytest.mark.parametrize("given", ["127.0.0.1:8443", "ipv4@127.0.0.1:8443"])
def test_an_edit_is_of_the_server_s_own_syntax(given: str) -> None:
    haproxy = {"write": "etc/haproxy/haproxy.cfg", "text": HAPROXY.format(given)}
    nginx = {"remove": "etc/nginx/nginx.conf"}
    result = check([target("web-iptables", (nginx, haproxy))], [RULES["listener-loopback-only"]])
    (finding,) = result.findings
    fix = result.fixes[id(finding)]
    bind = given.replace("127.0.0.1", "")
    assert fix.proved
    assert [e.text.strip() for e in fix.edits] == [f"bind {bind} ssl crt /etc/ssl/a.pem"]
    assert fix.title == "remove the address from its bind"


@pytest.mark.parametrize("broken", ["8443", "ipv4@8443", "127.0.0.1"])
def test_an_edit_that_the_server_refuses_is_not_proved(broken: str) -> None:
    text = HAPROXY.format("127.0.0.1:8443")
    haproxy = {"write": "etc/haproxy/haproxy.cfg", "text": text}
    nginx = {"remove": "etc/nginx/nginx.conf"}
    rules = [RULES["listener-loopback-only"]]
    result = check([target("web-iptables", (nginx, haproxy))], rules)
    (host,), (finding,) = result.hosts, result.findings
    fix = result.fixes[id(finding)]
    line = HAPROXY.format(broken).split("\n")[3]
    fixes = {id(finding): replace(fix, edits=(replace(fix.edits[0], text=line),))}
    judge = partial(checker.findings, rules=rules)
    assert proved(host, [finding], fixes, [finding], judge) == []


def test_an_edit_of_a_rule_for_all_servers_names_its_own() -> None:
    """Else it writes one server's words into the file of another."""
    loose = []
    for name in EDITABLE:
        document = RULES[name].document
        if document["each"] not in ("endpoint", "service", "upstream", "site"):
            continue
        for alternative in document.get("edit", ()):
            steps = alternative if isinstance(alternative, list) else [alternative]
            words = {key for step in steps if isinstance(step, dict) for key in step}
            if not words & {"server", "set", "change", "has"} and "server" not in document["match"]:
                loose.append((name, steps))
    assert loose == [("ocsp-stapling-dead", ["related", "delete"])]  # a line of any of them


def test_advice_has_a_sentence_for_every_server() -> None:
    for rule in RULES.values():
        advice = rule.document.get("advice", "")
        for name in ("program", "server"):
            if advice == f"{{{name}}}" and "server" not in rule.document["match"]:
                assert "*" in rule.words[name], rule.name
