"""master.cf: services and the arguments of their programs (master(5), Postfix's master_ent.c)."""

from __future__ import annotations

from collections.abc import Iterator

from sslint.budgets import ExhaustedError
from sslint.servers.postfix.main_cf import (
    TEMPLATE,
    Conditional,
    LogicalLine,
    Parameter,
    logical_lines,
    split_name_value,
)
from sslint.source import Location, SourceFile
from sslint.values import dataclass, field

MAX_LINES = 20_000  # logical ones; Debian's has sixty
_SPACE = " \t\r\n"
_FIELDS = ("name", "type", "private", "unprivileged", "chroot", "wakeup", "max_proc", "command")
_TYPES = ("inet", "unix", "unix-dgram", "fifo", "pass")
_WITH_VALUE = "ilmnost"  # getopt(3) letters of Postfix's daemons that take an argument
_PLAIN = "cdDSuvVz"


@dataclass(frozen=True, slots=True)
class Token:
    """One word of a logical line; braces are stripped, `start` and `end` include them."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Options:
    """What a daemon makes of its arguments.

    `broken`: the first argument it stops at, with the reason; clients then get no banner.
    """

    overrides: dict[str, Parameter]
    all: tuple[Parameter, ...] = ()
    rest: tuple[Token, ...] = ()  # what getopt leaves
    broken: tuple[Location, str] | None = None


@dataclass(frozen=True, slots=True)
class Service:
    """One entry. `error`: the reason why master stops at it, unless it is disabled."""

    name: str
    type: str
    command: str
    max_proc: str
    line: LogicalLine
    location: Location
    options: Options
    error: str = ""
    certain: bool = True  # False: a template decides about it


@dataclass(slots=True)
class MasterCf:
    """All entries in file order, and continuation lines that continue nothing."""

    file: SourceFile
    services: list[Service] = field(default_factory=list)
    stray: list[LogicalLine] = field(default_factory=list)
    template: bool = False


def parse_master_cf(file: SourceFile) -> MasterCf:
    """Read a master.cf."""
    master = MasterCf(file)
    conditional = Conditional()
    for count, line in enumerate(logical_lines(file)):
        if count >= MAX_LINES:
            raise ExhaustedError(f"has more than {MAX_LINES:,} lines in master.cf", line.span())
        if conditional.statement(line.text):
            continue
        if line.stray:
            master.stray.append(line)
        elif line.text:
            master.services.append(_service(line, not conditional.depth))
    master.template = conditional.seen
    return master


def tokens(text: str, start: int = 0) -> Iterator[Token]:
    """Split at blanks outside braces (mystrtok.c: mystrtokq)."""
    position = start
    while True:
        while position < len(text) and text[position] in _SPACE:
            position += 1
        if position >= len(text):
            return
        first, level = position, 0
        while position < len(text):
            char = text[position]
            if char == "{":
                level += 1
            elif char == "}" and level > 0:
                level -= 1
            elif level == 0 and char in _SPACE:
                break
            position += 1
        yield Token(text[first:position], first, position)


def _service(line: LogicalLine, certain: bool) -> Service:
    words: list[Token] = []
    position = 0
    text = line.text
    for _ in _FIELDS:
        while position < len(text) and text[position] in _SPACE:
            position += 1
        start = position
        while position < len(text) and text[position] not in _SPACE:
            position += 1
        if position > start:
            words.append(Token(text[start:position], start, position))
    values = [word.text for word in words] + [""] * (len(_FIELDS) - len(words))
    arguments = []
    error = _field_error(values)
    for token in tokens(text, position):
        if token.text.startswith("{"):
            inner, problem = _brace(token.text)
            error = error or problem
            token = Token(inner, token.start, token.end)
        arguments.append(token)
    end = words[-1].end if words else 0
    return Service(
        name=values[0],
        type=values[1],
        command=values[7],
        max_proc=values[6],
        line=line,
        location=line.span(0, end),
        options=_options(line, arguments),
        error=error,
        certain=certain and not any(TEMPLATE.search(value) for value in values),
    )


def _field_error(values: list[str]) -> str:
    if any(TEMPLATE.search(value) for value in values):
        return ""
    for name, value in zip(_FIELDS, values, strict=True):
        if not value:
            return f'missing "{name}" field'
    _, kind, private, unprivileged, chroot, wakeup, max_proc, command = values
    if kind == "-" or kind not in _TYPES:
        return f"bad transport type: {kind}"
    for name, value in (
        ("private", private),
        ("unprivileged", unprivileged),
        ("chroot", chroot),
    ):
        if value not in ("y", "n", "-"):
            return f'field "{name}": bad value: "{value}"'
    if kind == "inet" and private != "n":
        return "inet service cannot be private"
    for name, value in (("wakeup_time", wakeup), ("max_proc", max_proc)):
        if value != "-" and not ("0" <= value[0] <= "9"):
            return f'field "{name}": bad value: "{value}"'
    return 'field "command" has no default value' if command == "-" else ""


def _brace(text: str) -> tuple[str, str]:
    """Return what `{...}` holds, and why master stops if it is malformed (extpar.c)."""
    level = 0
    for index, char in enumerate(text):
        level += (char == "{") - (char == "}")
        if level == 0:
            if index + 1 < len(text):
                return text, f'syntax error after "}}" in "{text[:80]}"'
            return text[1:index].strip(_SPACE + "\v\f"), ""
    return text, f'missing "}}" in "{text[:80]}"'


def _options(line: LogicalLine, arguments: list[Token]) -> Options:
    """Do what getopt(3) does with "+" and the daemons' option letters."""
    parameters: list[Parameter] = []
    broken: tuple[Location, str] | None = None
    index = 0
    while index < len(arguments) and broken is None:
        token = arguments[index]
        if not token.text.startswith("-") or token.text == "-":
            break
        index += 1
        if token.text == "--":
            break
        letters = token.text[1:]
        while letters and broken is None:
            letter, letters = letters[0], letters[1:]
            if letter in _PLAIN:
                continue
            where = line.span(token.start, token.end)
            if letter not in _WITH_VALUE:
                broken = where, f"invalid option: {letter}"
                continue
            value = letters
            end = token.end
            if not value and index < len(arguments):
                value, end = arguments[index].text, arguments[index].end
                index += 1
            elif not value:
                broken = where, f"option -{letter} lacks its value"
            letters = ""
            if letter == "o" and broken is None:
                where = line.span(token.start, end)
                split = split_name_value(value)
                if isinstance(split, str):
                    broken = where, f'invalid "-o {value[:40]}" option value: {split}'
                else:
                    parameters.append(Parameter(split[0], split[1], where))
    return Options(
        overrides={parameter.name: parameter for parameter in parameters},
        all=tuple(parameters),
        rest=tuple(arguments[index:]),
        broken=broken,
    )
