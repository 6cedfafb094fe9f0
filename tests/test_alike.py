"""Facts that are alike are asked once: what is found is what asking each would find."""

from __future__ import annotations

import itertools
import random
from collections.abc import Hashable, Sequence
from typing import Any

import pytest

from sslint import host
from sslint.engine import Finding, Many, causes
from sslint.facts.collection import Facts
from sslint.targets import Target
from sslint.tree import Tree
from tests import pki
from tests.cases import SOUND, Case, load_cases
from tests.test_rules import RULES, _host

ENDS = (
    "return 301 https://$host$request_uri;",
    "return 301 https://elsewhere.example.org/;",
    "return 302 https://$host:8443/;",
    "if ($scheme = http) { return 301 https://$server_name$request_uri; }",
    "location / { proxy_pass http://127.0.0.1:8080; }",
    "location / { proxy_pass https://127.0.0.1:80; }",
    "location / { proxy_pass http://127.0.0.1:443; }",
)
PAIR = "ssl_certificate {0}.pem; ssl_certificate_key {0}.key;"
SAID = (
    "http2 on;",
    "ssl_protocols TLSv1 TLSv1.2;",
    "ssl_protocols TLSv1.2;",
    "ssl_stapling on;",
    'add_header Strict-Transport-Security "max-age=63072000; includeSubDomains";',
    "add_header Alt-Svc 'h3=\":443\"; ma=86400';",
    "ssl on;",
    "http2_push /x;",
    "ssl_reject_handshake on;",
)


def _told(found: list[Finding]) -> list[object]:
    return [
        (
            one.rule.name, one.fact.entity, one.severity, one.message, one.clients, one.advice,
            [(str(s.location), s.message) for s in one.related], str(one.span), one.host,
        )
        for one in found
    ]  # fmt: skip


_make = Many.__init__


def _each_apart(self: Many[object], keys: Sequence[Hashable], *given: Any) -> None:
    _make(self, range(len(keys)), *given)


def _same(target: Target, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    read = host.read(target)
    rules = list(RULES.values())
    monkeypatch.setattr(Many, "__init__", _each_apart)
    wanted = _told(causes.run(rules, Facts(read)))
    monkeypatch.undo()
    monkeypatch.setattr(causes, "MANY", 1)
    assert _told(causes.run(rules, Facts(read))) == wanted
    monkeypatch.undo()
    read.tree.close()
    return wanted


@pytest.mark.parametrize("case", load_cases()[::3], ids=str)
def test_of_each_rule(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    _same(_host(case), monkeypatch)


@pytest.mark.parametrize("seed", range(20))
def test_of_many_blocks(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    choose = random.Random(seed)
    blocks = []
    for number in range(30):
        name = f"{choose.choice(('', 'www.', 'a.'))}s{number // 3}.example.org"
        name = choose.choice((name, name, name, name, "_", "~^x$"))
        listen = choose.choice(("80", "443 ssl", "8443 ssl", "[::]:443 ssl", "443 quic"))
        said = choose.sample(SAID, choose.randrange(3))
        pair = choose.choice(("/etc/a", "/etc/b"))
        lines = [f"listen {listen};", f"server_name {name};", *said, choose.choice(ENDS)]
        if choose.random() < 0.8:
            lines.append(choose.choice((PAIR.format(pair), PAIR.format(pair), "include pair;")))
        blocks.append(f"server {{ {' '.join(lines)} }}")
    outer = choose.choice(("", PAIR.format("/etc/b"), "ssl_stapling on;"))
    overlay = {
        "/etc/nginx/nginx.conf": f"events {{}}\nhttp {{\n{outer}\n" + "\n".join(blocks) + "\n}\n",
        "/etc/nginx/pair": f"{PAIR.format('/etc/a')}\n",
        "/etc/nftables.conf": (SOUND / "web-nftables/etc/nftables.conf")
        .read_text()
        .replace("443", choose.choice(("443", "8443", "80"))),
    }
    for pair, names in (("a", ["*.example.org"]), ("b", ["s1.example.org"])):
        chain, key = pki.files({"names": names})
        overlay |= {f"/etc/{pair}.pem": chain, f"/etc/{pair}.key": key}
    tree = Tree(None, overlay=overlay)
    found = _same(Target("host", tree, now=pki.NOW), monkeypatch)
    assert len(found) > 3


def test_that_rules_which_differ_by_block_are_asked_of_each() -> None:
    apart = [(rule.name, sorted(causes._asked(rule)[0])) for rule in RULES.values()]
    asked = dict(itertools.chain(apart))
    assert "misdirected" in asked["redirect-to-other-certificate"]
    assert "hsts" in asked["hsts-subdomain-conflict"]
