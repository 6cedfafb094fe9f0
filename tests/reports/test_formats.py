"""Every format of a check: the same bytes twice, the same status, and what takes it accepts it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from sslint.arguments import REPORTS
from sslint.cli import main
from tests.reports import hosts, tools

EXPECTED = Path(__file__).parent / "closed"
ENDINGS = {"json": "json", "sarif": "sarif", "gitlab": "json", "junit": "xml", "markdown": "md",
           "prometheus": "prom", "html": "html"}  # fmt: skip
NOW = "2026-11-25T12:00:00+00:00"
MACHINES = [name for name in REPORTS if name != "text"]


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_ACTIONS", "COLUMNS", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    host = hosts.closed(tmp_path / "repo")
    monkeypatch.chdir(tmp_path / "repo")
    return host


def report(capsys: pytest.CaptureFixture[str], name: str, *words: str) -> str:
    main(["check", *words, "--format", name, "--now", NOW])
    return capsys.readouterr().out


# -- all of them ----------------------------------------------------------------------------------


def _own(name: str, text: str) -> str:
    """Return what of a report is the format's: rules and facts have words of their own."""
    if name not in ("json", "sarif"):
        return text
    found = json.loads(text)
    kept = found["findings"] if name == "json" else found["runs"][0]["results"]
    return json.dumps(kept, indent=2) + "\n"


@pytest.mark.parametrize("name", [name for name in REPORTS if name != "html"])
def test_a_broken_host_gives_this_report(capsys, web: Path, name: str) -> None:
    found = _own(name, report(capsys, name, "web"))
    expected = EXPECTED / f"{name}.{ENDINGS.get(name, 'txt')}"
    if os.environ.get("SSLINT_UPDATE"):
        expected.write_text(found)
    assert found == expected.read_text(), "SSLINT_UPDATE=1 pytest writes it"


def test_another_process_gives_the_same_bytes(web: Path, tmp_path: Path) -> None:
    """Nothing depends on the order of a set, on where the repository lies, or on the time zone."""
    words = [word for name in REPORTS for word in ("--output", f"{name}={{}}/{name}")]
    places = (web.parent, tmp_path / "elsewhere/deep")
    shutil.copytree(web.parent, places[1])
    for number, (place, zone) in enumerate(zip(places, ("UTC", "Asia/Tokyo"), strict=True)):
        out = tmp_path / f"out{number}"
        out.mkdir()
        named = [word.format(out) for word in words]
        command = (sys.executable, "-m", "sslint", "check", "web", "--now", NOW, *named)
        done = tools.run(*command, cwd=place, PYTHONHASHSEED=str(number), TZ=zone)
        (out / "printed").write_text(done.stdout)
    for name in (*REPORTS, "printed"):
        assert (tmp_path / "out0" / name).read_bytes() == (tmp_path / "out1" / name).read_bytes()


def _status(host: Path, status: int) -> list[str]:
    """Return the words that give a status, and make the host for it."""
    if status == 0:
        return ["web", "--firewall", "none"]
    if status == 2:
        return ["web", "--fail-on", "sometimes"]
    if status == 3:
        (host / "etc/nftables.conf").write_text("table inet x {\n")
    return ["web"]


@pytest.mark.parametrize("status", [0, 1, 2, 3])
@pytest.mark.parametrize("name", REPORTS)
def test_the_status_is_that_of_every_format(capsys, web: Path, name: str, status: int) -> None:
    words = ["check", *_status(web, status)]
    assert main([*words, "--format", name]) == status
    assert main([*words, "--output", f"{name}=report"]) == status


@pytest.mark.parametrize("name", REPORTS)
def test_nothing_to_check_is_no_green_report(capsys, tmp_path, monkeypatch, name: str) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    assert main(["check", "empty", "--format", name]) == 3
    found = capsys.readouterr()
    assert "nothing to check" in found.err
    if name == "sarif":
        [run] = json.loads(found.out)["runs"]
        assert run["invocations"][0]["executionSuccessful"] is False
    elif name == "junit":
        assert ElementTree.fromstring(found.out).find("testsuite").get("errors") == "1"
    elif name == "prometheus":
        assert "\nsslint_run_success 0\n" in found.out


@pytest.mark.parametrize("name", REPORTS)
def test_a_file_holds_what_would_be_printed(capsys, web: Path, name: str) -> None:
    printed = report(capsys, name, "web")
    Path("report").write_text("what was there before\n" * 10_000)
    main(["check", "web", "--now", NOW, "--output", f"{name}=report", "--output", "json=r.json"])
    assert capsys.readouterr().out == report(capsys, "text", "web")
    assert Path("report").read_text() == printed
    assert json.loads(Path("r.json").read_text())["summary"]["error"] == 1
    assert not [path.name for path in Path.cwd().iterdir() if path.name.endswith(".new")]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("sarif", "use FORMAT=FILE"),
        ("sarif=", "use FORMAT=FILE"),
        ("serif=x", "unknown format serif; did you mean sarif?"),
        ("sarif=no/such/x", "No such file or directory"),
        ("sarif=.", "Is a directory"),
        ("=x", "use FORMAT=FILE"),
        ("JSON=x", "unknown format JSON; did you mean json?"),
        ("json=-", "names no file\n  to print it: --format json"),
        ("json=link", "link: is a link or leads through one, which is not followed"),
        ("json=web/etc/nftables.conf", "is one of the files that were checked"),
        ("json=directory/nginx/../nftables.conf", "is one of the files that were checked"),
    ],
)
def test_an_output_that_cannot_be_is_status_2(capsys, web: Path, word: str, said: str) -> None:
    Path("link").symlink_to("elsewhere")
    Path("directory").symlink_to("web/etc")
    before = (web / "etc/nftables.conf").read_bytes()
    assert main(["check", "web", "--output", word]) == 2
    found = capsys.readouterr()
    assert said in found.err
    assert found.out == ""
    assert (web / "etc/nftables.conf").read_bytes() == before
    assert not Path("elsewhere").exists()


def test_an_output_on_a_full_disk_is_status_3(capsys, web: Path) -> None:
    assert main(["check", "web", "--output", "json=/dev/full"]) == 3
    assert capsys.readouterr().err == "sslint: output: /dev/full: No space left on device\n"


def test_a_file_is_for_one_report(capsys, web: Path) -> None:
    assert main(["check", "web", "--output", "json=x", "--output", "html=web/../x"]) == 2
    assert "--output: web/../x is named twice" in capsys.readouterr().err
    assert not Path("x").exists()
    nowhere = ("--output", "json=/dev/null", "--output", "html=/dev/null")
    assert main(["check", "web", *nowhere]) == 1


def test_a_report_in_the_checked_tree_changes_nothing(capsys, web: Path) -> None:
    words = [word for name in REPORTS for word in ("--output", f"{name}=report.{name}")]
    first = second = {}
    for _ in range(2):
        main(["check", ".", "--now", NOW, *words])
        first, second = second, {name: Path(f"report.{name}").read_bytes() for name in REPORTS}
    assert first == second


def test_a_pipe_takes_a_report(capsys, web: Path) -> None:
    os.mkfifo("pipe")
    with subprocess.Popen(["cat", "pipe"], stdout=subprocess.PIPE) as reader:
        main(["check", "web", "--output", "gitlab=pipe", "--quiet"])
        out, _ = reader.communicate(timeout=30)
    assert json.loads(out)[0]["check_name"] == "tls-port-closed"


@pytest.mark.parametrize("word", ["jsom", "JSON"])
def test_a_format_that_is_unknown_is_guessed(capsys, web: Path, word: str) -> None:
    assert main(["check", "web", "--format", word]) == 2
    assert "did you mean json?" in capsys.readouterr().err


def test_a_link_is_not_written_through(capsys, web: Path) -> None:
    Path("theirs").write_text("theirs")
    Path("report").symlink_to("theirs")
    main(["check", "web", "--output", "json=report"])
    assert Path("theirs").read_text() == "theirs"


def test_the_environment_and_the_file_choose(capsys, web: Path, monkeypatch) -> None:
    monkeypatch.setenv("SSLINT_FORMAT", "concise")
    monkeypatch.setenv("SSLINT_OUTPUT", "gitlab=a.json,junit=b.xml")
    main(["check", "web"])
    assert "error[tls-port-closed]" in capsys.readouterr().out
    assert Path("a.json").is_file()
    assert Path("b.xml").is_file()
    assert main(["rules"]) == 0
    capsys.readouterr()
    monkeypatch.delenv("SSLINT_FORMAT")
    monkeypatch.delenv("SSLINT_OUTPUT")
    Path(".sslint.yaml").write_text("format: gitlab\n")
    main(["check", "web"])
    assert json.loads(capsys.readouterr().out)[0]["check_name"] == "tls-port-closed"
    assert main(["trace", "web", "443"]) == 0
    assert capsys.readouterr().out.startswith("tcp/443 ")


def test_a_checked_tree_names_no_file_to_write(capsys, web: Path) -> None:
    Path(".sslint.yaml").write_text("output: [json=report]\n")
    assert main(["check", "web"]) == 2
    assert not Path("report").exists()


def test_text_imports_no_other_report(web: Path) -> None:
    code = (
        "import sys; from sslint.cli import main; main(['check', 'web']); "
        "print(*(m for m in sys.modules if m.startswith('sslint.reports.')), file=sys.stderr)"
    )
    done = tools.run(sys.executable, "-c", code)
    loaded = {name.removeprefix("sslint.reports.") for name in done.stderr.split()}
    assert loaded == {"terminal", "text", "table", "groups"}


# -- paths ----------------------------------------------------------------------------------------


def test_paths_are_those_of_the_repository(capsys, web: Path, monkeypatch) -> None:
    """A pull request shows an alert in the file that is in the repository."""
    nginx = web / "etc/nginx"
    (nginx / "sites-available").mkdir()
    (nginx / "sites-enabled/shop").rename(nginx / "sites-available/shop")
    (nginx / "sites-enabled/shop").symlink_to("../sites-available/shop")
    for here in (web.parent, web, web.parent.parent):
        monkeypatch.chdir(here)
        data = json.loads(report(capsys, "json", str(web)))
        files = {one["path"]: one["file"] for one in data["files"]}
        own = data["findings"][0]["location"]["path"]
        assert own == "etc/nginx/sites-enabled/shop"
        assert files[own] == "web/etc/nginx/sites-available/shop"
        assert files["etc/nftables.conf"] == "web/etc/nftables.conf"
        [run] = json.loads(report(capsys, "sarif", str(web)))["runs"]
        place = run["results"][0]["locations"][0]["physicalLocation"]
        assert place["artifactLocation"]["uri"] == "web/etc/nginx/sites-available/shop"
        for name in ("github", "gitlab", "junit", "markdown"):
            assert "web/etc/nginx/sites-available/shop" in report(capsys, name, str(web)), name


# -- SARIF ----------------------------------------------------------------------------------------


def sarif(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    log = json.loads(report(capsys, "sarif", *words))
    assert log["version"] == "2.1.0"
    [run] = log["runs"]
    assert isinstance(run, dict)
    return run


def test_sarif_is_what_code_scanning_reads(capsys, web: Path) -> None:
    run = sarif(capsys, "web")
    [result] = run["results"]
    rule = run["tool"]["driver"]["rules"][result["ruleIndex"]]
    assert rule["id"] == result["ruleId"] == "tls-port-closed"
    assert rule["help"]["markdown"].startswith("# tls-port-closed")
    assert len(rule["fullDescription"]["text"]) <= 1024
    region = result["locations"][0]["physicalLocation"]["region"]
    keys = ("startLine", "startColumn", "endLine", "endColumn")
    assert [region[key] for key in keys] == [9, 5, 9, 20]
    [related] = result["relatedLocations"]
    assert f"[web/etc/nftables.conf:7]({related['id']})" in result["message"]["text"]
    assert result["partialFingerprints"].keys() == {"sslint/v1"}
    [flow] = result["codeFlows"][0]["threadFlows"]
    said = [step["location"]["message"]["text"] for step in flow["locations"]]
    assert "no rule matched: policy drop" in said[-2]
    assert said[-1].startswith("TLS listener")


def test_sarif_carries_what_is_silenced(capsys, web: Path) -> None:
    site = web / "etc/nginx/sites-enabled/shop"
    text = site.read_text()
    site.write_text(
        text.replace(
            "    listen 443", "    # sslint: ignore[tls-port-closed] by design\n    listen 443", 1
        )
    )
    [result] = sarif(capsys, "web")["results"]
    assert result["suppressions"] == [
        {"kind": "inSource", "status": "accepted", "justification": "by design"}
    ]
    site.write_text(text)
    main(["check", "web", "--write-baseline", "known.json"])
    capsys.readouterr()
    [result] = sarif(capsys, "web", "--baseline", "known.json")["results"]
    assert result["suppressions"] == [{"kind": "external", "status": "accepted"}]


def test_sarif_says_what_was_not_judged(capsys, web: Path) -> None:
    (web / "etc/nftables.conf").write_text("table inet x {\n")
    [invocation] = sarif(capsys, "web")["invocations"]
    assert invocation["executionSuccessful"] is False
    [first, *_] = invocation["toolExecutionNotifications"]
    assert first["level"] == "error"
    uri = first["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert uri == "web/etc/nftables.conf"


def test_sarif_has_no_more_results_than_github_takes(capsys, web: Path, monkeypatch) -> None:
    site = web / "etc/nginx/sites-enabled/shop"
    site.write_text(site.read_text() + "# sslint: ignore[x]\n# sslint: ignore[y]\n")
    monkeypatch.setattr("sslint.reports.sarif.MAX_RESULTS", 1)
    run = sarif(capsys, "web")
    assert [result["ruleId"] for result in run["results"]] == ["tls-port-closed"]
    told = [one["message"]["text"] for one in run["invocations"][0]["toolExecutionNotifications"]]
    assert any(text.startswith("2 more results are left out") for text in told)


@pytest.mark.parametrize("kind", ["closed", "hostile", "unread", "silenced", "examples", "many"])
def test_sarif_passes_the_official_schema_and_validator(
    capsys, tmp_path: Path, monkeypatch, kind: str
) -> None:
    make = hosts.hostile if kind == "hostile" else hosts.closed
    root = tools.TOP / "examples" if kind == "examples" else make(tmp_path / "repo")
    monkeypatch.chdir(root.parent)
    if kind == "unread":
        (root / "etc/nftables.conf").write_text("table inet x {\n")
    if kind == "many":
        site = root / "etc/nginx/sites-enabled/shop"
        site.write_text(site.read_text() + "# sslint: ignore[x]\n")
        monkeypatch.setattr("sslint.reports.sarif.MAX_RESULTS", 1)
    if kind == "silenced":
        site = root / "etc/nginx/sites-enabled/shop"
        site.write_text(site.read_text().replace("ssl;", "ssl; # sslint: ignore[tls-port-closed]"))
    text = report(capsys, "sarif", str(root))
    schema = json.loads(tools.file(tools.MULTITOOL / "sarif-2.1.0.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(json.loads(text))
    log, found = tmp_path / "log.sarif", tmp_path / "found.sarif"
    log.write_text(text)
    program = tools.file(tools.MULTITOOL / "Sarif.Multitool")
    program.chmod(0o755)
    done = tools.run(
        *(program, "validate", log, "--rule-kind", "Sarif;Ghas", "--level", "Error;Warning;Note"),
        *("--output", found, "--log", "ForceOverwrite"),
        DOTNET_SYSTEM_GLOBALIZATION_INVARIANT="1",
    )
    assert "Analysis completed successfully" in done.stdout
    [run] = json.loads(found.read_text("utf-8-sig"))["runs"]
    said = [
        (result["ruleId"], result["message"])
        for result in run["results"]
        if result.get("level", "warning") != "note"
        and result["ruleId"] != "SARIF2005"  # informationUri: sslint has no site
    ]
    assert said == []


# -- the others -----------------------------------------------------------------------------------


def test_annotations_are_the_worst_ten_of_each_kind(capsys, web: Path) -> None:
    site = web / "etc/nginx/sites-enabled/shop"
    ports = "".join(f"    listen {port} ssl;\n" for port in range(8443, 8460))
    site.write_text(
        site.read_text().replace("    listen 443 ssl;\n", f"    listen 443 ssl;\n{ports}")
    )
    lines = report(capsys, "github", "web").splitlines()
    kinds = [line.split(" ")[0] for line in lines]
    assert max(kinds.count(kind) for kind in set(kinds)) <= 10
    ranks = [("::error", "::warning", "::notice").index(kind) for kind in kinds if kind[0] == ":"]
    assert ranks == sorted(ranks)
    data = json.loads(report(capsys, "json", "web"))
    left = len(data["findings"]) - sum(line.startswith("::") for line in lines)
    if left:
        assert lines[-1].startswith(f"{left} more without an annotation: GitHub shows 10")


def test_the_limit_is_said(capsys, web: Path) -> None:
    text = "".join(f"# sslint: ignore[x{number}]\n" for number in range(25))
    site = web / "etc/nginx/sites-enabled/shop"
    site.write_text(site.read_text() + text)
    lines = report(capsys, "github", "web").splitlines()
    assert [line.startswith("::") for line in lines] == [True] * 11 + [False]
    assert lines[-1] == "15 more without an annotation: GitHub shows 10 of a kind a step"


def test_github_gets_annotations_by_itself(capsys, web: Path, monkeypatch) -> None:
    plain = report(capsys, "text", "web")
    commands = report(capsys, "github", "web")
    main(["check", "web", "--now", NOW])
    assert capsys.readouterr().out == plain
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    main(["check", "web", "--now", NOW])
    assert capsys.readouterr().out == plain + commands
    assert report(capsys, "text", "web") == plain, "who names a format gets that one"
    assert report(capsys, "json", "web").startswith("{")


def test_gitlab_finds_its_keys(capsys, web: Path) -> None:
    twin = web.parent / "twin"
    subprocess.run(["cp", "-r", web, twin], check=True)
    (twin / "etc/nftables.conf").write_text("table inet x {\n")
    text = report(capsys, "gitlab", ".")
    assert text[0] == "["
    entries = json.loads(text)
    for entry in entries:
        assert entry.keys() == {"description", "check_name", "fingerprint", "severity", "location"}
        assert entry["severity"] in ("info", "minor", "major", "critical", "blocker")
        assert (Path.cwd() / entry["location"]["path"]).is_file()
        assert entry["location"]["lines"]["begin"] >= 1
        assert entry["description"]
    assert len({entry["fingerprint"] for entry in entries}) == len(entries)
    assert {entry["check_name"] for entry in entries} >= {"tls-port-closed", "not-judged"}


@pytest.mark.parametrize("kind", ["closed", "hostile", "unread", "sound"])
def test_junit_is_valid(capsys, tmp_path: Path, monkeypatch, kind: str) -> None:
    make = hosts.hostile if kind == "hostile" else hosts.closed
    root = tools.TOP / "examples/sound" if kind == "sound" else make(tmp_path / "repo")
    if kind == "unread":
        (root / "etc/nftables.conf").write_text("table inet x {\n")
    text = report(capsys, "junit", str(root))
    schema = Path(__file__).parent / "junit.xsd"
    done = tools.run(tools.program("xmllint"), "--noout", "--schema", schema, "-", text=text)
    assert done.returncode == 0, done.stderr
    [suite] = ElementTree.fromstring(text)
    for key, tag in (("failures", "failure"), ("errors", "error"), ("tests", "")):
        found = suite.findall(f"testcase/{tag}" if tag else "testcase")
        assert int(suite.get(key, "")) == len(found)
    wanted = {"closed": "failures", "hostile": "failures", "unread": "errors"}.get(kind)
    assert wanted is None or int(suite.get(wanted, "0")) > 0


@pytest.mark.parametrize(("fail_on", "failures"), [("error", "1"), ("never", "0")])
def test_a_case_of_junit_fails_as_the_run_does(
    capsys, web: Path, fail_on: str, failures: str
) -> None:
    text = report(capsys, "junit", "web", "--fail-on", fail_on)
    suite = ElementTree.fromstring(text).find("testsuite")
    assert suite is not None
    assert suite.get("failures") == failures
    (case,) = [one for one in suite if "tls-port-closed" in one.get("name", "")]
    assert [one.tag for one in case] == ["failure" if failures == "1" else "system-out"]
    assert "the firewall closes the port" in "".join(case.itertext())


@pytest.mark.parametrize("kind", ["closed", "hostile", "examples"])
def test_promtool_takes_the_metrics(capsys, tmp_path: Path, kind: str) -> None:
    make = hosts.hostile if kind == "hostile" else hosts.closed
    root = tools.TOP / "examples" if kind == "examples" else make(tmp_path / "repo")
    text = report(capsys, "prometheus", str(root))
    done = tools.run(tools.program("promtool"), "check", "metrics", text=text)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r'^sslint_findings\{.*rule="tls-port-closed".*\} 1$', text, re.M)
    assert not re.search(r" \d{13}$", text, re.M), "no timestamps"


def test_certificates_have_their_expiry(capsys, tmp_path: Path) -> None:
    from datetime import timedelta

    from tests import pki

    root = hosts.closed(tmp_path / "repo")
    live = root / "etc/letsencrypt/live/shop.example.org"
    live.mkdir(parents=True)
    chain, key = pki.files({"names": ["shop.example.org"]})
    (live / "fullchain.pem").write_text(chain)
    (live / "privkey.pem").write_text(key)
    text = report(capsys, "prometheus", str(root))
    [seconds] = re.findall(r"^sslint_certificate_not_after_seconds\{.*\} (\d+)$", text, re.M)
    assert abs(int(seconds) - (pki.NOW + timedelta(days=60)).timestamp()) < 86400


# -- hostile --------------------------------------------------------------------------------------


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = hosts.hostile(tmp_path / "repo")
    monkeypatch.chdir(root.parent)
    return root


@pytest.mark.parametrize("name", MACHINES)
def test_hostile_names_stay_text(capsys, hostile: Path, name: str) -> None:
    text = report(capsys, name, str(hostile))
    assert "tls-port-closed" in text
    shown = text.replace("\n", "").replace("\ufe0f", "")
    assert shown.isprintable(), "no control character and none that turns text around"
    if name != "github":
        assert not re.search(r"^\s*::", text, re.M)
    assert "##[" not in text
    if name in ("json", "sarif", "gitlab"):
        assert hosts.NAME in json.dumps(json.loads(text), ensure_ascii=False).replace('\\"', '"')
    if name == "junit":
        [suite] = ElementTree.fromstring(text)
        assert suite.get("name") == hosts.NAME
        assert {element.tag for element in suite.iter()} == {"testsuite", "testcase", "failure"}
    if name == "concise":
        assert len(text.splitlines()) == 1


def test_hostile_names_are_no_commands(capsys, hostile: Path) -> None:
    lines = report(capsys, "github", str(hostile)).splitlines()
    assert len(lines) == 1
    found = re.fullmatch(r"::error ((?:[a-zA-Z]+=[^,:]*,?)+)::(.*)", lines[0])
    assert found
    settings = dict(part.split("=", 1) for part in found[1].split(","))
    assert settings.keys() == {"file", "line", "endLine", "col", "endColumn", "title"}
    for percent, char in (("%2C", ","), ("%3A", ":"), ("%25", "%")):
        settings["file"] = settings["file"].replace(percent, char)
    assert hosts.NAME in settings["file"]


def test_hostile_names_are_no_markdown(capsys, hostile: Path) -> None:
    markdown_it = tools.module("markdown_it")
    tools.module("linkify_it")
    text = report(capsys, "markdown", str(hostile))
    tokens = markdown_it.MarkdownIt("gfm-like").parse(text)
    inline = [child for token in tokens for child in token.children or ()]
    kinds = {token.type for token in (*tokens, *inline)}
    assert not kinds & {"link_open", "image", "em_open"}
    html = {token.content.strip() for token in (*tokens, *inline) if "html" in token.type}
    allowed = re.compile(r"(</?details>|<summary>.*</summary>|<!-- -->|</?code>)(\n.*)?", re.S)
    for piece in html:
        assert allowed.fullmatch(piece), piece
        assert not re.search(r"<(?!/?(details|summary|code)>|!-- -->)", piece), piece
    assert not any("@team" in child.content for child in inline if child.type == "text")
    assert hosts.NAME in "".join(child.content for child in inline if child.type == "code_inline")


def test_a_name_with_a_pipe_stays_in_its_cell(capsys, web: Path) -> None:
    """GitHub's parser ends a cell at a pipe after two backslashes; Python's does not."""
    site = web / "etc/nginx/sites-enabled/shop"
    site.rename(site.with_name("a\\|![x](http:evil) it's gh-3"))
    text = report(capsys, "markdown", "web")
    [row] = [line for line in text.splitlines() if "`tls-port-closed` |" in line]
    plain = re.sub(r"\\[^\n]", "", row)
    assert plain.count("|") == 5, "three cells more than the first, whatever is escaped"
    assert "![" not in row
    assert "a\\|![x](http:evil) it's gh-3:9` TLS listener" in text
    [summary] = re.findall("<summary>(.*)</summary>", text)
    assert "it's gh<!-- -->-3" in summary


def test_a_comment_has_room_for_very_many_findings(capsys, web: Path) -> None:
    site = web / "etc/nginx/sites-enabled/shop"
    comments = "".join(f"# sslint: ignore[x{number}]\n" for number in range(2000))
    site.write_text(site.read_text() + comments)
    text = report(capsys, "markdown", "web")
    assert len(text) < 65_536
    assert "1 error, 2000 warnings in 1 host" in text
    assert re.search(r"\n\n\d+ more are not shown here\.\n", text)
    assert re.search(r"\n\d+ more without details\.\n$", text)


def test_two_hosts_that_are_shown_alike_are_two(capsys, tmp_path: Path, monkeypatch) -> None:
    repo = tmp_path / "repo"
    hosts.closed(repo)
    (repo / "web").rename(repo / "a\x01")
    shutil.copytree(tools.TOP / "examples/sound/etc", repo / "a\\x01/etc")
    monkeypatch.chdir(repo)
    page = report(capsys, "html", ".")
    assert page.count('class="host"') == 2
    assert "no rule accepts tcp/443; policy drop" in page
    assert [line.split(":")[1] for line in report(capsys, "concise", ".").splitlines()] == ["9"]
    series = [line.rpartition(" ")[0] for line in report(capsys, "prometheus", ".").splitlines()]
    assert len(set(series)) == len(series)


@pytest.mark.parametrize("name", MACHINES)
def test_what_was_not_judged_is_shown_without_what_turns_text_around(
    capsys, tmp_path: Path, monkeypatch, name: str
) -> None:
    hosts.closed(tmp_path / "repo").rename(tmp_path / "repo/a\u202e\x1b[31m")
    shutil.copytree(tools.TOP / "examples/sound/etc", tmp_path / "repo/b/etc")
    (tmp_path / "repo/a\u202e\x1b[31m/etc/nftables.conf").unlink()
    monkeypatch.chdir(tmp_path / "repo")
    text = report(capsys, name, ".")
    assert text.replace("\n", "").replace("\ufe0f", "").isprintable()


# -- the fix --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mail-465-forgotten", "http3-and-ipv6-forgotten"])
def test_the_diff_of_a_fix_can_be_applied(capsys, tmp_path: Path, name: str) -> None:
    """Lines that follow each other are one hunk: hunks that overlap are no diff."""
    shutil.copytree(tools.TOP / "examples" / name / "etc", tmp_path / "host/etc")
    text = report(capsys, "markdown", str(tmp_path / "host"))
    diffs = re.findall(r"```diff\n(.*?)```", text, re.S)
    assert diffs
    for number, diff in enumerate(diffs):
        done = tools.run("git", "apply", "-p0", "--check", "-", text=diff, cwd=tmp_path / "host")
        assert done.returncode == 0, (number, done.stderr)


def test_a_diff_has_tabs_as_spaces(capsys, web: Path) -> None:
    rules = web / "etc/nftables.conf"
    rules.write_text(rules.read_text().replace("        tcp", "\ttcp"))
    text = report(capsys, "markdown", "web")
    assert "\n         tcp dport { 22, 80 } accept\n+        tcp dport 443 accept\n" in text
    assert "\\x09" not in text


def test_edits_in_json_are_the_text_of_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A program applies them; what a terminal shows is cleaned."""
    (tmp_path / "etc/nginx").mkdir(parents=True)
    site = "ssl_certificate /etc/ssl/a.pem; ssl_certificate_key /etc/ssl/a.key;"
    listen = "\tlisten\t443 default_server; # \x1b[1m\n"
    text = f"events {{}}\nhttp {{\nserver {{\n{listen}{site}\n}}\n}}\n"
    (tmp_path / "etc/nginx/nginx.conf").write_text(text)
    main(["check", str(tmp_path), "--format", "json"])
    report = json.loads(capsys.readouterr().out)
    edits = [edit for found in report["findings"] for edit in found["fix"]["edits"]]
    assert {edit["text"] for edit in edits} == {listen[:-1].replace("server;", "server ssl;")}
    main(["check", str(tmp_path)])
    assert "\x1b" not in capsys.readouterr().out
