"""Blocks that are found by a shape are what the parser makes of them."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator

import pytest

from sslint.servers.nginx import reader as nginx
from sslint.servers.nginx import shapes
from sslint.servers.nginx.directive import Directive
from sslint.servers.nginx.syntax import Loader
from sslint.source import SourceFile
from tests.support import tree_of

MAIN = "events {}\nhttp {\n    include sites/*;\n}\n"
SITE = """\
# a site
server {
    listen 80;  # plain
    server_name NAME www.NAME;
    location / { return 301 https://NAME$request_uri; }
}
server {
    listen 443 ssl;
    http2 on;
    server_name NAME
                www.NAME;
    ssl_certificate /etc/ssl/NAME.pem;
    ssl_certificate_key /etc/ssl/NAME.key;
    location / {
        proxy_pass http://127.0.0.1:8080;
        add_header X-Site "a; b";
        location /deep { root /srv/NAME; }
    }
}
"""
# What a copy may say otherwise; some of it no server reads.
EDITS = [
    ("NAME www.NAME", "NAME"),
    ("NAME www.NAME", "NAME www.NAME shop.NAME"),
    ("NAME www.NAME", '"NAME" www.NAME'),
    ("/etc/ssl/NAME.key", '"/etc/ssl/NAME.key"'),
    ("NAME www.NAME", "NAME # www.NAME\n"),
    ("NAME www.NAME", "NAME\\ www"),
    ("NAME www.NAME", "${NAME}"),
    ("NAME www.NAME", "NAME\x0bb"),
    ("NAME www.NAME", "NA}ME"),
    ("NAME www.NAME", "NAME www.NAME }"),
    ("NAME www.NAME", "x" * 5000),
    ("NAME www.NAME", "*NAME"),
    ("NAME www.NAME", "NAME root /srv"),
    ("301 ", ""),
    ("301 ", "301 a "),
    ("/etc/ssl/NAME.pem;", "/etc/ssl/NAME.pem ;"),
    ("/etc/ssl/NAME.pem;", "/etc/ssl/NAME.pem\n"),
    ("/etc/ssl/NAME.pem;", "/etc/ssl/NAME.pem again;"),
    ("/etc/ssl/NAME.pem;", "/etc/ssl/$ssl_server_name.pem;"),
    ("http2 on;", "http2 maybe;"),
    ("http2 on;", "include more;"),
    ("listen 443 ssl;", "listen 443 ssl default_server;"),
    ("listen 443 ssl;", "listen 443;"),
    ("listen 80; ", "listen 80;"),
    ("    }\n}\n", "    }\n"),
    ("    }\n}\n", "    }\n}\n}\n"),
    ("location /deep {", "location /deep"),
    ("server {", "{% if tls %}\nserver {"),
    ("NAME www.NAME", "NAME __SITE__"),
    ("/srv/NAME", "/srv/%NAME_OF_SITE%"),
    ("/srv/NAME", "/srv/@SITE@"),
    ("/srv/NAME", "/srv/n\u00e4me"),
    ("# a site", "\ufeff# a site"),
    ("# a site", "gzip on;"),
    ("# a site", "# another site"),
]
ENDS = ["", "", "", "", "}\n", "server {\n", "gzip on;\n", "# the end\n"]


def written(seed: int) -> dict[str, str]:
    choose = random.Random(seed)
    files = {"/etc/nginx/nginx.conf": MAIN, "/etc/nginx/more": "gzip on;\n"}
    for number in range(45):
        text = SITE
        for _ in range(choose.choice((0, 0, 0, 1, 1, 2))):
            text = text.replace(*choose.choice(EDITS))
        text += choose.choice(ENDS)
        name = f"s{number}.{'long-' * choose.choice((0, 0, 20))}example.org"
        files[f"/etc/nginx/sites/{number:02}"] = text.replace("NAME", name)
    return files


def flat(statements: Iterable[Directive]) -> Iterator[tuple[object, ...]]:
    for one in statements:
        yield one.name, one.args, one.file.name, one.start, one.end, one.block is None
        yield from flat(one.block or ())


def loaded(files: dict[str, str]) -> object:
    loader = Loader(tree_of(files), "/etc/nginx")
    found = list(flat(loader.load("/etc/nginx/nginx.conf")))
    return found, [(str(where), said) for where, said in loader.fatal]


def read(files: dict[str, str]) -> str:
    reading = nginx.read(tree_of(files))
    assert reading is not None
    parts = (
        *(reading.endpoints, reading.sites, reading.redirects, reading.upstreams),
        *(reading.settings, reading.refusals, reading.gaps, reading.conflicts),
    )
    return "\n".join(map(repr, parts))


@pytest.mark.parametrize("seed", range(40))
def test_blocks_of_a_shape_are_what_the_parser_makes_of_them(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = written(seed)
    monkeypatch.setattr(shapes, "_OFTEN", ())
    parsed, reading = loaded(files), read(files)
    monkeypatch.setattr(shapes, "_OFTEN", (2, 5, 9))
    found = 0
    make = shapes.Alike.__init__

    def counted(self: shapes.Alike, *given: object) -> None:
        nonlocal found
        found += 1
        make(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(shapes.Alike, "__init__", counted)
    assert loaded(files) == parsed
    assert read(files) == reading
    assert found > 20


def plain(number: int) -> dict[str, str]:
    files = {"/etc/nginx/nginx.conf": MAIN}
    for site in range(number):
        files[f"/etc/nginx/sites/{site:02}"] = SITE.replace("NAME", f"s{site}.example.org")
    return files


def test_a_file_of_shapes_is_found_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    made = shapes.Whole.made
    found: list[str] = []

    def noted(self: shapes.Whole, file: SourceFile, match: re.Match[str]) -> list[Directive]:
        found.append(file.path)
        return made(self, file, match)

    monkeypatch.setattr(shapes.Whole, "made", noted)
    monkeypatch.setattr(shapes, "_OFTEN", (2,))
    files = plain(9)
    files["/etc/nginx/sites/05"] += "}\n"
    loaded(files)
    assert found == [f"/etc/nginx/sites/{site:02}" for site in (4, 6, 7, 8)]


def test_a_file_with_an_error_is_none_that_others_are_like() -> None:
    files = {path: f"{text}}}\n" for path, text in plain(60).items() if "sites" in path}
    files["/etc/nginx/nginx.conf"] = MAIN
    _, fatal = loaded(files)  # type: ignore[misc]
    assert len(fatal) == 60


def test_a_statement_of_a_block_is_one_object() -> None:
    http = Loader(tree_of(plain(40)), "/etc/nginx").load("/etc/nginx/nginx.conf")[1]
    assert http.block is not None
    last = http.block[-1]
    assert isinstance(last, shapes.Alike)
    (names,) = last.named("server_name")
    assert names.args == ("s39.example.org", "www.s39.example.org")
    assert last.block is not None
    assert names in last.block
    assert [one for one in last.block if one.name == "location"] == last.named("location")
    assert last.named("root") == []
