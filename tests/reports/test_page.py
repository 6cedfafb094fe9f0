"""The HTML page: what its text and its elements say, without a browser."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from sslint.cli import main
from sslint.reports.page.markup import Markup, joined, tag
from sslint.reports.page.services import rule_of
from sslint.reports.rows import Place
from tests.cases import EXAMPLES
from tests.reports import hosts

VOID = {"meta", "wbr"}


class Read(HTMLParser):
    """Read a page: its elements, its text, its ids and links; fail where it is not well formed."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(name)
        if name not in VOID:
            self.open.append(name)
        for key, value in attributes:
            assert not key.startswith("on"), key
            if key == "id":
                self.ids.append(str(value))
            elif key == "href" and name == "a":
                self.links.append(str(value))
            elif key in ("src", "srcset", "action", "data", "href"):
                self.loads.append(str(value))

    def handle_startendtag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(name, attributes)
        if name not in VOID:
            self.open.pop()

    def handle_endtag(self, name: str) -> None:
        assert self.open.pop() == name

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


def page(capsys: pytest.CaptureFixture[str], *words: object) -> Read:
    main(["check", *map(str, words), "--format", "html", "--now", "2026-06-01"])
    return Read(capsys.readouterr().out)


def test_markup_escapes_what_is_no_markup() -> None:
    made = tag("b", "<i>", Markup("<u/>"), None, ["&", tag("s")], title="\"'>", hidden=True, x=None)
    assert made == '<b title="&quot;&#x27;&gt;" hidden>&lt;i&gt;<u/>&amp;<s></s></b>'
    assert joined(["<", "b"], ", ") == "&lt;, b"


@pytest.mark.parametrize("name", ["web-443-closed", "mail-465-forgotten", "sound", ""])
def test_every_link_leads_somewhere(capsys, name: str) -> None:
    found = page(capsys, EXAMPLES / name)
    assert len(set(found.ids)) == len(found.ids)
    assert {link.removeprefix("#") for link in found.links} <= set(found.ids)
    assert all(link.startswith("#m-") for link in found.loads), "nothing is loaded"


def test_the_closed_port_is_said_with_its_clients_and_its_line(capsys) -> None:
    text = page(capsys, EXAMPLES / "web-443-closed").text
    assert re.search(
        r"HTTPS 443/tcp ?Internet IPv4 and IPv6 closed no rule accepts tcp/443; policy drop "
        r"etc/nftables.conf:7 policy drop",
        text,
    )
    assert "+ tcp dport 443 accept" in text
    assert "this redirect sends clients to https on tcp/443" in text


def test_a_port_without_a_listener_has_a_row(capsys) -> None:
    text = page(capsys, EXAMPLES / "mail-465-forgotten").text
    assert "Nothing listens submissions is commented out etc/postfix/master.cf:11" in text
    assert "open -p tcp --dports 25,465,587,993 -j ACCEPT etc/iptables/rules.v4:9" in text


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("-A INPUT -p tcp -m tcp --dport 25 -j ACCEPT", "-p tcp --dport 25 -j ACCEPT"),
        ("-A INPUT -m socket -j ACCEPT", "-m socket -j ACCEPT"),
        ("-A INPUT -m socket --transparent -j ACCEPT", "--transparent -j ACCEPT"),
        ("  tcp dport  { 22,\t80 } accept", "tcp dport { 22, 80 } accept"),
        ("-A", ""),
        ("-m", "-m"),
    ],
)
def test_a_rule_is_short_and_keeps_what_it_matches(line: str, shown: str) -> None:
    assert rule_of(Place("rules.v4", "rules.v4", text=line)) == shown


def test_a_service_in_every_state(capsys, tmp_path: Path) -> None:
    found = page(capsys, hosts.everything(tmp_path / "repo"))
    text = found.text
    for said in (
        "Internet IPv4 unknown meta cgroup",
        "office IPv4 open",
        "Internet IPv4 limited to 10.0.0.0/8, 198.51.100.0/24",
        "This host IPv4 this host only",
        "Internet IPv4 closed to the Internet open only to 10.0.0.0/8",
        "router: 8444 → 8443",
        "expired 3 days ago",
        "5 days expires 2026-06-06, renewal was due 2026-05-07",
        "expired 3 days ago expired 2026-05-29, renewal was due 2026-04-29",
        "open tcp dport { 22, 80, 9090 } accept etc/nftables.conf:9",
        "Not judged",
    ):
        assert said in text, said
    order = [text.index(f"{port}/tcp") for port in (443, 8443, 9090, 7443, 80, 8080)]
    assert order == sorted(order), "the broken ones come first"


def test_many_hosts_are_a_table(capsys) -> None:
    found = page(capsys, EXAMPLES)
    assert "4 hosts" in found.text
    assert found.tags.count("table") == 1
    assert found.text.index("web-443-closed") < found.text.index("soundsound")


def test_hostile_names_stay_text(capsys, tmp_path: Path) -> None:
    found = page(capsys, hosts.hostile(tmp_path / "repo"))
    assert " ".join(hosts.NAME.split()) in found.text
    assert "<img src=x onerror=alert(1)>" in found.text
    assert found.tags.count("script") == 1
    assert "img" not in found.tags
    assert all(link.startswith("#m-") for link in found.loads)


def test_hostile_names_of_many_hosts_stay_text(capsys, tmp_path: Path) -> None:
    found = page(capsys, hosts.estate(tmp_path / "repo"))
    for name in (hosts.NAME, "<svg onload=alert(1)>", "javascript:alert(1)", "\\xff</title>"):
        assert name in " ".join(found.words)
    assert found.tags.count("script") == found.tags.count("title") == 1
    assert len(set(found.ids)) == len(found.ids)
    assert {link.removeprefix("#") for link in found.links} <= set(found.ids)


def test_a_port_with_many_addresses_shows_the_worst(capsys, tmp_path: Path) -> None:
    root = hosts.closed(tmp_path / "repo")
    site = root / "etc/nginx/sites-enabled/shop"
    listens = "".join(f"    listen 203.0.113.{number}:8443 ssl;\n" for number in range(1, 41))
    site.write_text(
        site.read_text().replace("    listen 443 ssl;\n", f"    listen 443 ssl;\n{listens}")
    )
    rules = root / "etc/nftables.conf"
    text = rules.read_text().replace(
        "tcp dport { 22, 80 } accept",
        "tcp dport { 22, 80 } accept\n        ip daddr != 203.0.113.40 tcp dport 8443 accept",
    )
    rules.write_text(text)
    found = page(capsys, root)
    assert "203.0.113.1, 203.0.113.2 and 38 more" in found.text
    assert "no rule accepts tcp/8443; policy drop etc/nftables.conf:7 to 203.0.113.40" in found.text
    assert found.tags.count("li") < 60
