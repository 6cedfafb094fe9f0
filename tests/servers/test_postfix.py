"""main.cf and master.cf as text: logical lines, expansion, options."""

from __future__ import annotations

import pytest

from sslint.servers.postfix.expand import ConfigurationError, Unknown, expand
from sslint.servers.postfix.main_cf import logical_lines, parse_main_cf
from sslint.servers.postfix.master_cf import Service, parse_master_cf
from sslint.source import SourceFile


def source(text: str) -> SourceFile:
    return SourceFile("/etc/postfix/x.cf", "etc/postfix/x.cf", text)


def lines(text: str) -> list[str]:
    return [line.text for line in logical_lines(source(text))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = b\n c\n", ["a = b c"]),
        ("a = b\n\n# comment\n   # another\n c\nd = e", ["a = b c", "d = e"]),
        ("# c\n\na=b", ["a=b"]),
        ("a = b # no comment\n", ["a = b # no comment"]),
        ("a = b\r\n c\r\n", ["a = b\r c\r"]),
        (" stray\n more\na=b\n", [" stray more", "a=b"]),
        ("a = b\0 = c\n", ["a = b"]),
        ("a = b\n\u00a0x = y\n", ["a = b", "\u00a0x = y"]),  # not a blank to Postfix
        ("", []),
    ],
)
def test_logical_lines(text: str, expected: list[str]) -> None:
    assert lines(text) == expected


def test_a_place_in_a_continued_line_is_on_its_own_line() -> None:
    (line,) = logical_lines(source("a = b\n# comment\n   c d\n"))
    start = line.text.index("c")
    location = line.span(start, start + 1)
    assert (location.line, location.column, location.end) == (3, 4, 5)
    assert line.span().end == 6


def test_the_last_definition_counts() -> None:
    main = parse_main_cf(source("a = 1\nb=2\na =  3 \n"))
    assert {name: p.value for name, p in main.parameters.items()} == {"a": "3", "b": "2"}
    ((first, second),) = main.overridden
    assert (first.location.line, second.location.line) == (1, 3)


@pytest.mark.parametrize("text", ["no equals sign\n", "= x\n"])
def test_a_line_that_is_no_definition_is_fatal(text: str) -> None:
    main = parse_main_cf(source(text))
    assert main.fatal is not None
    assert main.fatal[0].line == 1


def test_a_template_decides_about_what_stands_in_its_blocks() -> None:
    main = parse_main_cf(source("{% if x %}\na = 1\n{% endif %}\nb = 2\n"))
    assert main.fatal is None
    assert main.template
    assert [p.certain for p in main.parameters.values()] == [False, True]


def test_a_line_that_a_template_fills_in_is_not_fatal() -> None:
    main = parse_main_cf(source("%{milters}\n{{ more }}\nb = 2\n"))
    assert main.fatal is None
    assert main.template


# -- expansion ------------------------------------------------------------------------------

VALUES = {"a": "x", "empty": "", "nested": "$a-${a}", "level": "3.6", "n": "9", "loop": "$loop"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$a ${a} $(a)", "x x x"),
        ("$a.b $undefined.", "x.b ."),
        ("$$a", "$a"),
        ("${nested}", "x-x"),
        ("${a?yes}${empty?no}", "yes"),
        ("${a:no}${empty:yes}", "yes"),
        ("${a?{1}:{2}}${empty?{1}:{2}}", "12"),
        ("${ a ? {1} : {2} }", "1"),
        ("${a??b:{c}}", "?b:{c}"),  # without braces all that follows is the value
        ("${{$a} == {x} ? {1} : {2}}", "1"),
        ("${{$n} < {10} ? {number} : {text}}", "number"),
        ("${{9a} < {10} ? {number} : {text}}", "text"),
        ("${{$level} >=level {3.10} ? {new} : {old}}", "old"),
        ("${{a} != {b}}", "true"),
        ("${{a} == {b}}", ""),
        ("${empty:${a}}", "x"),
    ],
)
def test_expansion(text: str, expected: str) -> None:
    assert expand(text, VALUES.get) == expected


@pytest.mark.parametrize(
    "text",
    ["$", "${a", "${}", "$(a", "${a b}", "${{a} = {b}}", "${{a} == b}", "${a?{1}x}", "$loop"],
)
def test_what_postfix_stops_at(text: str) -> None:
    with pytest.raises(ConfigurationError):
        expand(text, VALUES.get)


def test_exponential_growth_is_given_up() -> None:
    values = {f"v{n}": f"$v{n + 1}$v{n + 1}" for n in range(60)}
    with pytest.raises(Unknown):
        expand("$v0", values.get)


# -- master.cf ------------------------------------------------------------------------------


def service(text: str) -> Service:
    return parse_master_cf(source(text)).services[0]


@pytest.mark.parametrize(
    "option",
    [
        "-o name=value",
        "-oname=value",
        "-o { name = value }",
        "{-o name=value}",
        "{ -oname = value }",
        "-vo name=value",
        "-v -D -o name=value",
        "-- -o name=value",
        "\n  -o name=value",
        "\n# comment\n\n\t-o name=value",
    ],
)
def test_spellings_of_an_option(option: str) -> None:
    found = service(f"smtp inet n - n - - smtpd {option}\n")
    assert not found.error
    assert found.options.broken is None
    expected = {} if "--" in option else {"name": "value"}
    assert {k: p.value for k, p in found.options.overrides.items()} == expected


@pytest.mark.parametrize("option", ["-o name = value", "-o", "-o =v", "-x", "-z1"])
def test_options_that_stop_the_program(option: str) -> None:
    assert service(f"smtp inet n - n - - smtpd {option}\n").options.broken is not None


@pytest.mark.parametrize("option", ["-o n= v", "-o n=v # x", "word"])
def test_words_that_are_left_over(option: str) -> None:
    found = service(f"smtp inet n - n - - smtpd {option}\n")
    assert found.options.broken is None
    assert found.options.rest


@pytest.mark.parametrize("option", ["-o{n=v}", '-o "n=v"'])
def test_options_that_set_something_else(option: str) -> None:
    found = service(f"smtp inet n - n - - smtpd {option}\n")
    assert found.options.broken is None
    assert "n" not in found.options.overrides


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("smtp inet n - n - -", 'missing "command" field'),
        ("smtp", 'missing "type" field'),
        ("smtp tcp n - n - - smtpd", "bad transport type: tcp"),
        ("smtp inet - - n - - smtpd", "inet service cannot be private"),
        ("smtp inet n x n - - smtpd", 'field "unprivileged": bad value: "x"'),
        ("smtp inet n - n - x smtpd", 'field "max_proc": bad value: "x"'),
        ("smtp inet n - n - - smtpd -o { a = b", 'missing "}" in "{ a = b"'),
        ("smtp inet n - n 60? 1 smtpd", ""),
        ("smtp inet n - n - {{ n }} smtpd", ""),
    ],
)
def test_entries_that_master_stops_at(text: str, error: str) -> None:
    assert service(text).error == error
