"""What the command line and the environment say: commands, their flags, and SSLINT_NAME."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Container, Mapping, Sequence
from typing import TYPE_CHECKING, NoReturn

from sslint import __version__, usage
from sslint.errors import UsageError, did_you_mean
from sslint.regex import is_number
from sslint.reports.terminal import columns

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

FAIL_ON = ("error", "warning", "info", "never", "unknown")
FORMATS = ("text", "json")
# What a check can be reported as as well; every one has a module in reports/.
REPORTS = (
    "text", "concise", "json", "sarif", "github", "gitlab", "junit", "markdown", "prometheus",
    "html",
)  # fmt: skip
DIFF_FORMATS = ("text", "json", "markdown", "html")
COLOURS = ("auto", "always", "never")
# What is asked of one run only: not a setting of the environment.
_QUESTIONS = frozenset({
    "help", "source", "destination", "iif", "family", "expect", "packets",
    "write", "interactive", "allow_open", "rule",
    "against", "old_firewall", "new_firewall",
})  # fmt: skip
_OTHER_VARIABLES = frozenset({"DEBUG", "CORPORA", "COUNT", "SEED", "UPDATE"})  # the tests' own


def parse(
    arguments: Sequence[str], environment: Mapping[str, str] = os.environ
) -> argparse.Namespace:
    """Return the options of a run, with what the environment says where no flag does.

    What neither says is None. Raise UsageError.
    """
    first = arguments[0] if arguments else ""
    if not first.startswith("-") and first not in _COMMANDS:
        what = f"unknown command {first}{did_you_mean(first, _COMMANDS)}" if first else "no command"
        raise UsageError(what, tip=f"commands: {', '.join(_COMMANDS)}; see sslint --help")
    alone = first in _COMMANDS or first == "--version"
    parser, commands = parsers({first} if alone else None)
    options, unknown = parser.parse_known_args(arguments)
    command = commands[options.command]
    flags = {flag for action in command._actions for flag in action.option_strings}
    for word in unknown:
        flag = word.split("=")[0]
        raise UsageError(
            f"unknown option {flag}{did_you_mean(flag, flags)}"
            if word.startswith("-")
            else f"unexpected argument {word}",
            tip=f"see sslint {options.command} --help",
        )
    named = {name: text for name, text in environment.items() if name.startswith("SSLINT_")}
    if named:
        _environment(options, command, named)
    return options


def setting_names() -> set[str]:
    """Return the names of all settings that can be given as a flag or in the environment."""
    return {
        action.dest
        for parser in parsers()[1].values()
        for action in parser._actions
        if action.option_strings and action.dest not in _QUESTIONS
    }


def _environment(
    options: argparse.Namespace,
    command: argparse.ArgumentParser,
    environment: Mapping[str, str],
) -> None:
    """Fill in what the environment says. Raise UsageError for a name that means nothing."""
    known = {f"SSLINT_{name.upper()}" for name in setting_names()}
    for variable in environment:
        if variable not in known:
            if variable.removeprefix("SSLINT_") in _OTHER_VARIABLES:
                continue
            hint = did_you_mean(variable, known)
            raise UsageError(
                f"unknown environment variable {variable}{hint}",
                tip="SSLINT_NAME is the flag --name: SSLINT_FAIL_ON for --fail-on",
            )
    for action in command._actions:
        variable = f"SSLINT_{action.dest.upper()}"
        text = environment.get(variable, "")
        if action.dest == "format" and options.command != "check" and text in REPORTS:
            text = text if text in FORMATS else ""  # it is about the reports of a check
        if text and variable in known and getattr(options, action.dest) is None:
            setattr(options, action.dest, _typed(variable, text, action))


def _typed(variable: str, text: str, action: argparse.Action) -> object:
    if action.nargs == 0:
        if text.lower() in ("1", "yes", "true", "on"):
            return True
        if text.lower() in ("0", "no", "false", "off"):
            return None
        raise UsageError(f"{variable}: use 1 or 0")
    if isinstance(action, Repeated):
        return [part for part in text.split(",") if part]
    try:
        return action.type(text) if callable(action.type) else text
    except argparse.ArgumentTypeError as error:
        raise UsageError(f"{variable}: {error}") from None


class Repeated(argparse.Action):
    """A flag that may be given several times."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        """Add a value to those before."""
        setattr(namespace, self.dest, [*(getattr(namespace, self.dest) or ()), str(values)])


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Lay out a help text; argparse would import shutil for the width, at each start."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=(columns() or 80) - 2)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message.removeprefix("argument "), tip=f"see {self.prog} --help")

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        """Print help or the version; raise what argparse passes over, an output that is full."""
        if file is None:
            raise UsageError("the report cannot be written: standard output is closed")
        file.write(message)


def _number(text: str) -> int:
    if not is_number(text) or len(text) > 4 or not int(text):
        raise argparse.ArgumentTypeError("use a number from 1 to 9999")
    return int(text)


def _one_of(choices: Sequence[str]) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text not in choices:
            known = f"use {', '.join(choices[:-1])} or {choices[-1]}"
            raise argparse.ArgumentTypeError(f"{known}{did_you_mean(text, choices)}")
        return text

    return check


def parsers(wanted: Container[str] | None = None) -> tuple[_Parser, dict[str, _Parser]]:
    """Return the parser of the command line, and that of each wanted command by its name.

    All are wanted by default. A run asks for one: making eight takes longer than parsing.
    """
    parser = _Parser(
        prog="sslint",
        description=usage.DESCRIPTION,
        epilog=usage.EXAMPLES,
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"sslint {__version__}")
    group = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", prog=parser.prog
    )
    commands = {}
    for name, (text, add_flags) in _COMMANDS.items():
        if wanted is None or name in wanted:
            commands[name] = group.add_parser(
                name,
                help=text,
                description=f"{text[0].upper()}{text[1:]}.",
                epilog=usage.OF_COMMANDS.get(name),
                formatter_class=_Formatter,
                allow_abbrev=False,
            )
            add_flags(commands[name])
    return parser, commands


def _check(parser: _Parser) -> None:
    parser.add_argument(
        "paths",
        nargs="*",
        metavar="PATH",
        help="an etc/ directory, a root directory, a repository, or files of one host",
    )
    _reading(parser)
    _printing(parser, REPORTS)
    parser.add_argument(
        "--output",
        action=Repeated,
        metavar="FORMAT=FILE",
        help="also write a report to FILE, whatever is printed (repeatable)",
    )
    parser.add_argument(
        "--select", action=Repeated, metavar="NAME|FAMILY", help="report only these rules"
    )
    parser.add_argument(
        "--ignore", action=Repeated, metavar="NAME|FAMILY", help="do not report these rules"
    )
    parser.add_argument("--baseline", metavar="FILE", help="leave out findings that are in FILE")
    parser.add_argument("--against", metavar="REV", help="only what a commit did not have already")
    parser.add_argument("--write-baseline", metavar="FILE", help="write the findings to FILE")
    _switch(parser, "--no-ignores", "report findings that a comment ignores, too")
    fail_on = (
        "exit 1 for findings of this severity or worse; "
        "unknown: as error, and exit 3 if anything is not judged"
    )
    _choice(parser, "--fail-on", FAIL_ON, fail_on)
    _jobs(parser)
    _switch(parser, "--verbose", "show every endpoint", "-v")
    _switch(parser, "--quiet", "show the findings alone", "-q")


def _endpoints(parser: _Parser) -> None:
    parser.add_argument("paths", nargs="*", metavar="PATH")
    _reading(parser)
    _jobs(parser)
    _printing(parser)


def _trace(parser: _Parser) -> None:
    parser.add_argument("words", nargs="*", metavar="[PATH...] PORT[/udp]")
    parser.add_argument(
        "--from",
        dest="source",
        metavar="ADDR|CIDR",
        help="only these clients; `public` is the whole Internet",
    )
    parser.add_argument("--to", dest="destination", metavar="ADDR", help="an address of this host")
    parser.add_argument("--iif", metavar="IFACE", help="the interface their packets arrive on")
    _choice(parser, "--family", ("ipv4", "ipv6"), "default: both")
    _choice(parser, "--expect", ("open", "closed", "limited"), "exit 1 if the answer differs")
    _switch(parser, "--verbose", "show each rule on the way", "-v")
    parser.add_argument("--packets", metavar="FILE", help="judge the packets of a JSON-lines file")
    _reading(parser)
    _printing(parser)


def _fix(parser: _Parser) -> None:
    parser.add_argument("paths", nargs="*", metavar="PATH")
    _switch(parser, "--write", "make the edits in the files")
    _switch(parser, "--interactive", "ask for each finding whether to make its edit")
    _switch(parser, "--allow-open", "also open ports in the firewall")
    parser.add_argument("--rule", action=Repeated, metavar="NAME|FAMILY", help="only these rules")
    _reading(parser)


def _diff(parser: _Parser) -> None:
    parser.add_argument(
        "paths", nargs="*", metavar="OLD NEW", help="a PATH, REV:PATH, or a report in JSON"
    )
    against = "compare PATH, or the work tree, with that of a commit"
    parser.add_argument("--against", metavar="REV", help=against)
    for side in ("old", "new"):
        parser.add_argument(
            f"--{side}-firewall",
            action=Repeated,
            metavar="[KIND=]FILE",
            help=f"compare rulesets alone: one of the {side} ones (repeatable)",
        )
    _choice(parser, "--fail-on", FAIL_ON[:4], "exit 1 for new findings of this severity or worse")
    parser.add_argument(
        "--fail-on-open",
        metavar="PORTS|any",
        help="exit 1 if more sources can connect to these ports: 5432,8000-8010,53/udp",
    )
    _reading(parser)
    _printing(parser, DIFF_FORMATS)


def _init(parser: _Parser) -> None:
    parser.add_argument("path", nargs="?", default=".", metavar="PATH")


def _explain(parser: _Parser) -> None:
    parser.add_argument("rule", metavar="RULE")
    _configuration(parser)
    _printing(parser)


def _rules(parser: _Parser) -> None:
    parser.add_argument(
        "words", nargs="*", metavar="[new NAME]", help="write a rule to begin with to NAME.yaml"
    )
    _configuration(parser)
    _printing(parser)


def _switch(parser: _Parser, name: str, text: str, short: str | None = None) -> None:
    """Add a flag without a value; None where it is not given."""
    names = (name,) if short is None else (short, name)
    parser.add_argument(*names, action="store_const", const=True, help=text)


def _reading(parser: _Parser) -> None:
    parser.add_argument(
        "--root", metavar="DIR", help="directory that stands for / in absolute paths"
    )
    parser.add_argument(
        "--firewall",
        action=Repeated,
        metavar="[KIND=]FILE",
        help="use this ruleset instead of the host's own (repeatable; - reads standard input); "
        "none: the host filters nothing",
    )
    parser.add_argument(
        "--announced",
        action=Repeated,
        metavar="FILE",
        help="what is published for clients: a zone file, autoconfig, autodiscover, mobileconfig "
        "or MTA-STS policy (repeatable)",
    )
    parser.add_argument(
        "--host-ip", action=Repeated, metavar="ADDR", help="an address of this host (repeatable)"
    )
    _switch(parser, "--live", "also compare with the running firewall (needs root)")
    parser.add_argument(
        "--limit",
        action=Repeated,
        metavar="NAME=NUMBER",
        help="how much a run may read and count before it answers unknown (repeatable)",
    )
    parser.add_argument("--now", metavar="DATE", help="judge certificates at this time (ISO 8601)")
    _configuration(parser)


def _jobs(parser: _Parser) -> None:
    parser.add_argument(
        "--jobs",
        type=_number,
        metavar="N",
        help="judge many hosts in up to N processes (default: one per processor)",
    )


def _configuration(parser: _Parser) -> None:
    parser.add_argument("--config", metavar="FILE", help="default: .sslint.yaml beside PATH")
    parser.add_argument(
        "--config-from", metavar="REV", help="the .sslint.yaml of a commit, such as origin/main"
    )
    _switch(parser, "--no-config", "read no configuration")


def _printing(parser: _Parser, formats: Sequence[str] = FORMATS) -> None:
    for name, choices in (("--format", formats), ("--color", COLOURS)):
        _choice(parser, name, choices, f"default: {choices[0]}")


def outputs(texts: Sequence[str] | None) -> list[tuple[str, str]]:
    """Return the format and the file of each --output. Raise UsageError."""
    found: list[tuple[str, str]] = []
    for text in texts or ():
        name, _, path = text.partition("=")
        if not name or not path:
            raise UsageError("--output: use FORMAT=FILE, such as sarif=sslint.sarif")
        if name not in REPORTS:
            hint = did_you_mean(name, REPORTS)
            known = f"use {', '.join(REPORTS[:-1])} or {REPORTS[-1]}"
            raise UsageError(f"--output: unknown format {name}{hint}", tip=known)
        if path == "-":
            raise UsageError(f"--output: {text} names no file", tip=f"to print it: --format {name}")
        where = os.path.abspath(path)
        if not where.startswith("/dev/") and where in (os.path.abspath(one) for _, one in found):
            raise UsageError(f"--output: {path} is named twice")
        found.append((name, path))
    return found


def _choice(parser: _Parser, name: str, choices: Sequence[str], text: str) -> None:
    parser.add_argument(name, type=_one_of(choices), metavar="|".join(choices), help=text)


_COMMANDS: dict[str, tuple[str, Callable[[_Parser], None]]] = {
    "check": ("find mismatches between certificates, services, firewall and DNS", _check),
    "endpoints": ("show each listener and who reaches it", _endpoints),
    "trace": ("show who can reach a port, and which rule decides", _trace),
    "fix": ("print the edits that fix findings as a diff, or make them", _fix),
    "diff": ("show what a change opens, closes, breaks and puts right", _diff),
    "init": ("write a .sslint.yaml from the files that are seen", _init),
    "explain": ("explain a rule and its fix", _explain),
    "rules": ("list the rules, or write a new one", _rules),
}
