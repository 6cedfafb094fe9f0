"""The HTML page in a real browser: nothing is said, nothing asked for, everybody can use it."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sslint.cli import main
from tests.cases import EXAMPLES, SOUND
from tests.reports import hosts, tools
from tests.reports.chromium import Browser

pytestmark = pytest.mark.live("chromium")
BROKEN = ["web-443-closed", "mail-465-forgotten", "http3-and-ipv6-forgotten"]
NOW = "2026-06-01"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as one:
        yield one


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write the pages that the tests look at."""
    top = tmp_path_factory.mktemp("pages")
    roots = {name: EXAMPLES / name for name in (*BROKEN, "sound")}
    roots["examples"] = EXAMPLES
    roots["hostile"] = hosts.hostile(top / "hostile-host")
    roots["estate"] = hosts.estate(top / "estate")
    roots["everything"] = hosts.everything(top / "everything-host")
    found = {}
    for name, root in roots.items():
        found[name] = top / f"{name}.html"
        main(["check", str(root), "--output", f"html={found[name]}", "--now", NOW])
    for name, (old, new) in {
        "diff": (EXAMPLES / "sound", EXAMPLES / "mail-465-forgotten"),
        "diff-hosts": (_without_sound(top / "some"), EXAMPLES),
        "diff-hostile": (EXAMPLES / "sound", roots["hostile"]),
        "diff-everything": (EXAMPLES / "web-443-closed", roots["everything"]),
    }.items():
        found[name] = top / f"{name}.html"
        with found[name].open("w") as file, contextlib.redirect_stdout(file):
            main(["diff", str(old), str(new), "--format", "html", "--now", NOW])
    return found


def _without_sound(path: Path) -> Path:
    """Copy the examples but for one, and close the ports of another."""
    shutil.copytree(EXAMPLES, path, ignore=shutil.ignore_patterns("sound"))
    (path / ".git").mkdir()
    rules = path / "web-443-closed/etc/nftables.conf"
    rules.write_text(rules.read_text().replace("{ 22, 80 }", "22"))
    return path


DIFFS = ["diff", "diff-hosts", "diff-hostile", "diff-everything"]
ALL = [*BROKEN, "sound", "examples", "hostile", "estate", "everything", *DIFFS]


@pytest.mark.parametrize("name", ALL)
def test_the_browser_has_nothing_to_say(browser: Browser, pages, name: str) -> None:
    browser.open(pages[name])
    assert browser.said == []
    assert len(browser.requested) == 1, "only the page itself is asked for"
    assert browser.run("document.querySelectorAll('script').length") == 1


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [420, 1280, 1920])
@pytest.mark.parametrize(
    "name", ["estate", "examples", "hostile", "everything", *BROKEN[1:2], *DIFFS]
)
def test_axe_finds_nothing(browser: Browser, pages, name: str, width: int, dark: bool) -> None:
    axe = tools.file(tools.AXE).read_text()
    browser.dark = dark
    browser.resize(width, 800)
    for anchor in ("#top", "#h0"):
        browser.open(pages[name], anchor)
        browser.run("document.querySelectorAll('details').forEach(one => one.open = true)")
        browser.run(f"{axe};1")
        found = browser.run("axe.run().then(found => JSON.stringify(found.violations))")
        said = [(one["id"], [node["html"] for node in one["nodes"]]) for one in json.loads(found)]
        assert said == []
    browser.dark = False


@pytest.mark.parametrize("width", [320, 420, 800, 1280, 1920])
@pytest.mark.parametrize("name", ALL)
def test_nothing_is_wider_than_the_window(browser: Browser, pages, name: str, width: int) -> None:
    browser.resize(width, 800)
    browser.open(pages[name])
    assert browser.run("document.documentElement.scrollWidth") <= width


IN_SIGHT = """[...document.querySelectorAll('.flow path.closed')].map(one => {
  const box = one.getBoundingClientRect();
  return box.top >= 0 && box.bottom <= innerHeight && box.width > 20
    && parseFloat(getComputedStyle(one).strokeWidth) >= 6;
})"""


@pytest.mark.parametrize("name", BROKEN)
def test_the_broken_edge_is_red_and_in_sight(browser: Browser, pages, name: str) -> None:
    browser.resize(1280, 800)
    browser.open(pages[name])
    seen = browser.run(IN_SIGHT)
    assert seen
    assert all(seen)
    colour = browser.run("getComputedStyle(document.querySelector('.flow path.closed')).stroke")
    assert colour == "rgb(196, 22, 28)"


def test_each_part_opens_its_evidence(browser: Browser, pages) -> None:
    browser.resize(1280, 800)
    browser.open(pages["web-443-closed"])
    parts = browser.run("[...document.querySelectorAll('article.error .row a')].length")
    assert parts == 4, "the lane, the listener, the certificate, what is published"
    for number in range(parts):
        browser.open(pages["web-443-closed"])
        browser.run(f"document.querySelectorAll('article.error .row a')[{number}].focus()")
        browser.press("Enter", 13)
        time.sleep(0.1)
        assert browser.run("document.querySelectorAll('details[open]').length") == 1
        assert browser.run("document.activeElement.closest('details') !== null")
        browser.press("Escape", 27)
        assert browser.run("document.querySelectorAll('details[open]').length") == 0


def test_the_table_opens_the_page_of_a_host(browser: Browser, pages) -> None:
    browser.resize(1280, 800)
    browser.open(pages["examples"])
    shown = "[...document.querySelectorAll('.host')].filter(one => one.offsetHeight).length"
    assert browser.run(shown) == 0
    browser.run("document.querySelector('tbody th a').click()")
    time.sleep(0.1)
    assert browser.run(shown) == 1
    assert browser.run("document.querySelector('#top').offsetHeight") == 0
    browser.press("Escape", 27)
    time.sleep(0.1)
    assert browser.run("document.querySelector('#top').offsetHeight") > 100
    browser.run(
        "const box = document.querySelector('#find'); box.value = 'sound';"
        "box.dispatchEvent(new Event('input'))"
    )
    rows = "[...document.querySelectorAll('tbody tr')].filter(one => one.offsetHeight).length"
    assert browser.run(rows) == 1


def test_each_of_many_hostile_hosts_opens(browser: Browser, pages) -> None:
    browser.resize(1280, 800)
    browser.open(pages["estate"])
    assert browser.run("document.querySelectorAll('tbody tr').length") == 9
    for number in range(9):
        browser.run("location.hash = '#top'")
        time.sleep(0.05)
        browser.run(f"document.querySelectorAll('tbody th a')[{number}].click()")
        time.sleep(0.05)
        [name] = browser.run(
            "[...document.querySelectorAll('.host')].filter(one => one.offsetHeight)"
            ".map(one => one.querySelector('h1').textContent)"
        )
        assert name == browser.run(f"document.querySelectorAll('tbody th a')[{number}].textContent")
    assert browser.said == []


def test_it_reads_without_script(browser: Browser, pages) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.go(pages["examples"].as_uri())
        text = browser.text()
        for said in ("4 hosts", "no rule accepts tcp/443; policy drop", "Nothing listens"):
            assert said in text
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)


def test_a_diff_reads_without_script(browser: Browser, pages) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.go(pages["diff-hosts"].as_uri())
        text = browser.text()
        for said in ("hosts differ", "opens", "appear", "Before", "After"):
            assert said in text
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)


def test_a_part_of_a_diff_opens_its_evidence(browser: Browser, pages) -> None:
    browser.resize(1280, 800)
    browser.open(pages["diff"])
    browser.run("document.querySelector('.diff article .row a').focus()")
    browser.press("Enter", 13)
    time.sleep(0.1)
    assert browser.run("document.querySelectorAll('details[open]').length") == 1
    assert browser.run("document.activeElement.closest('details') !== null")


def test_it_prints_with_its_evidence(browser: Browser, pages) -> None:
    import base64

    browser.open(pages["web-443-closed"])
    data = browser.call("Page.printToPDF", printBackground=True)["data"]
    assert base64.b64decode(data).startswith(b"%PDF")
    browser.run("dispatchEvent(new Event('beforeprint'))")
    assert browser.run("document.querySelectorAll('details:not([open])').length") == 0
    browser.run("dispatchEvent(new Event('afterprint'))")
    assert browser.run("document.querySelectorAll('details[open]').length") == 0


def test_200_hosts_open_in_two_seconds(browser: Browser, tmp_path: Path) -> None:
    kinds = [*(EXAMPLES / name for name in BROKEN), EXAMPLES / "sound", SOUND / "mail-announced"]
    (tmp_path / "repo/.git").mkdir(parents=True)
    for number in range(200):
        root = tmp_path / f"repo/host{number:03}.example.org"
        shutil.copytree(kinds[number % len(kinds)] / "etc", root / "etc")
    page = tmp_path / "page.html"
    main(["check", str(tmp_path / "repo"), "--output", f"html={page}"])
    assert page.stat().st_size < 5_000_000
    browser.resize(1280, 800)
    assert min(browser.open(page) for _ in range(3)) < 2
    assert browser.run("document.querySelectorAll('tbody tr').length") == 200
