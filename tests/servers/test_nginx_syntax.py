"""nginx's tokenizer and includes; each expectation was measured with nginx 1.26.3."""

from __future__ import annotations

from pathlib import Path

import pytest

from sslint.budgets import ExhaustedError
from sslint.servers.nginx import reader as nginx
from sslint.servers.nginx.directive import Directive
from sslint.servers.nginx.syntax import Loader
from sslint.tree import Tree
from tests.support import WHOLE, tree_of


def load(text: str, **others: str) -> tuple[list[Directive], Loader]:
    files = {f"/etc/nginx/{name.replace('__', '/')}.conf": body for name, body in others.items()}
    loader = Loader(tree_of({"/etc/nginx/nginx.conf": text, **files}), "/etc/nginx")
    return loader.load("/etc/nginx/nginx.conf"), loader


def words(text: str) -> list[tuple[str, ...]]:
    statements, loader = load(text)
    assert not loader.fatal
    return [(d.name, *d.args) for d in statements]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b c;", ("a", "b", "c")),
        ("a b}c#d;", ("a", "b}c#d")),
        ("a ${b}c$d;", ("a", "${b}c$d")),
        ("a ${{{b;", ("a", "${{{b")),
        ('a "b; {c}" \'d"\';', ("a", "b; {c}", 'd"')),
        ('"a" b;', ("a", "b")),
        (r"a \;b\{c;", ("a", r"\;b\{c")),
        (r'a "\"\\\t\n\x" \ b;', ("a", '"\\\t\n\\x', "\\ b")),
        (r"a b\\;", ("a", "b\\")),
        ('if ($x = "y") {}', ("if", "($x", "=", "y", ")")),
        ("a b'c\"d;", ("a", "b'c\"d")),
        ("# } ;\n\ta\r\n# x\nb;", ("a", "b")),
        ("a b# c\n;", ("a", "b#", "c")),
        ("a \x0b\x85b;", ("a", "\x0b\x85b")),
        ("a " + "x" * 4094 + " y;", ("a", "x" * 4094, "y")),
        ("a " + "x" * 4095 + ";", ("a", "x" * 4095)),
    ],
)
def test_words(text: str, expected: tuple[str, ...]) -> None:
    assert words(text) == [expected]


@pytest.mark.parametrize(
    ("text", "reason", "place"),
    [
        ('a "b"c;', "after a quote", "1:6"),
        ("a {\n b c;\n", 'no closing "}"', "1:1"),
        ("a b;\n}", 'unexpected "}"', "2:1"),
        ("a b\n}", "has no", "2:1"),
        ("; a;", 'unexpected ";"', "1:1"),
        ("{", 'unexpected "{"', "1:1"),
        ("a b;\nc d", 'expecting ";"', "2:1"),
        ("a 'b;\nc;", "not closed", "1:3"),
        ("a b\\", "unexpected end", "1:1"),
        ("\ufeffa b;", "byte order mark", "1:1"),
        ("a " + "x" * 4096 + ";", "4096", "1:3"),
        ("a " + "x" * 4095 + " b;", "4096", "1:3"),
        ("a '" + "é" * 2048 + "';", "4096", "1:3"),
        ("#" + "x" * 4096 + "\na;", "4096", "1:1"),
        ("types { a { b; } }", "in types", "1:9"),
        ("x_by_lua_block { a = '}'", "Lua", "1:1"),
    ],
)
def test_what_nginx_refuses_is_reported_with_its_place(text: str, reason: str, place: str) -> None:
    _, loader = load(text)
    where, said = loader.fatal[0]
    assert reason in said
    assert str(where) == f"etc/nginx/nginx.conf:{place}"
    assert loader.tree.problems[0].decisive


def test_what_was_read_before_an_error_stays() -> None:
    statements, _ = load("a;\nhttp { server { listen 1; }\n} }\nb;")
    assert [d.name for d in statements] == ["a", "http"]


def test_lua_blocks_are_skipped() -> None:
    text = """content_by_lua_block {
        -- a comment with }
        --[==[ } ]] ]==] local a = "}" .. '}' .. [[ } ]]
        if x then y = { z = "\\"}" } end
    } listen 80;"""
    assert words(text) == [("content_by_lua_block",), ("listen", "80")]


def test_statement_places() -> None:
    statements, _ = load("a;\n  listen  443\n ssl;\nserver  {}\n")
    assert [str(d.location) for d in statements] == [
        "etc/nginx/nginx.conf:1:1",
        "etc/nginx/nginx.conf:2:3",
        "etc/nginx/nginx.conf:4:1",
    ]
    assert statements[1].argument("ssl").line == 3
    assert statements[0].location.end == 3


def test_includes_are_relative_to_the_main_file_and_in_byte_order() -> None:
    statements, loader = load(
        "include sub/*.conf; http { include sub/b.conf; }",
        sub__b="include deep.conf;",
        sub__B="capital;",
        sub__a="small;",
        deep="deep;",
    )
    assert [d.name for d in statements[:3]] == ["capital", "small", "deep"]
    assert [d.name for d in statements[3].block or []] == ["deep"]
    assert not loader.tree.problems


@pytest.mark.parametrize("where", ["server", "location /", "types", "if ($a)"])
def test_includes_work_in_every_block(where: str) -> None:
    statements, _ = load(f"{where} {{ include x.conf; }}", x="y z;")
    assert [d.name for d in statements[0].block or []] == ["y"]


def test_include_cycles_and_bombs_end() -> None:
    _, loader = load("include a.conf;", a="x; include a.conf;")
    assert "without end" in loader.fatal[0][1]
    bomb = {f"f{n}": f"include f{n + 1}.conf;" * 10 for n in range(20)}
    with pytest.raises(ExhaustedError, match="statements"):
        load("include f0.conf;", **bomb, f20="x;")


def test_missing_includes() -> None:
    text = "include missing.conf; include none/*.conf; include missing-?.conf;"
    for more, said, decisive in (
        (WHOLE, ": no such file, and", True),
        ({}, " was not given", False),
    ):
        loader = Loader(tree_of({"/etc/nginx/nginx.conf": text, **more}), "/etc/nginx")
        loader.load("/etc/nginx/nginx.conf")
        (problem,) = loader.tree.problems
        assert problem.reason.startswith(f"/etc/nginx/missing.conf{said}")
        assert (problem.decisive, loader.broken) == (decisive, decisive)
    outside = "include /usr/share/nginx/modules/*.conf; include /etc/letsencrypt/x.conf;"
    _, loader = load(outside + "include mime.types;")
    assert [p.decisive for p in loader.tree.problems] == [False] * 3
    assert not loader.broken


def test_missing_include_makes_a_reading_incomplete_only_where_it_may_listen() -> None:
    files = {"/etc/nginx/nginx.conf": "events {} http { %s server { listen 80; %s } }"}

    def complete(in_http: str, in_server: str) -> bool:
        text = files["/etc/nginx/nginx.conf"] % (in_http, in_server)
        reading = nginx.read(tree_of({"/etc/nginx/nginx.conf": text}))
        assert reading is not None
        assert len(reading.endpoints) == 1
        return reading.complete

    assert complete("", "include /etc/letsencrypt/options-ssl-nginx.conf;")
    assert complete("include mime.types;", "location / { include /opt/x/php.conf; }")
    assert not complete("include /opt/sites/*.conf;", "")
    assert not complete("", "include /opt/x/server.conf;")
    assert not complete("include sites.conf;", "")


def test_any_bytes_are_read_without_a_crash() -> None:
    for text in (
        "\0" * 50,
        "a" * 100_000,
        "{" * 100_000,
        "a{" * 100_000,
        '"' * 9_999,
        "\\" * 9_999,
    ):
        load(text)
        load(text + ";")
    include, _ = load("include \0;")
    assert len(include) == 1


@pytest.mark.parametrize(
    ("target", "whole", "decisive"),
    [
        ("/usr/share/nginx/modules-available/mod-stream.conf", True, False),  # of a package
        ("../sites-available/gone", True, True),
        ("../sites-available/gone", False, False),  # a template's, or a submodule's
    ],
)
def test_a_link_to_what_was_not_copied(
    tmp_path: Path, target: str, whole: bool, decisive: bool
) -> None:
    for name in WHOLE if whole else ():
        (tmp_path / name[1:]).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name[1:]).touch()
    etc = tmp_path / "etc/nginx"
    (etc / "modules-enabled").mkdir(parents=True)
    (etc / "sites-available").mkdir()
    (etc / "sites-available/other").touch()
    (etc / "nginx.conf").write_text("include modules-enabled/*.conf;\nevents {}\nhttp {}\n")
    (etc / "modules-enabled/50.conf").symlink_to(target)
    tree = Tree(tmp_path)
    assert nginx.read(tree) is not None
    assert [problem.decisive for problem in tree.problems] == [decisive]
