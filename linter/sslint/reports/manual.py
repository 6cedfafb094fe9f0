"""The manual page and the completions of the shells, made of the parser that reads the flags.

`python -m sslint.reports.manual DIRECTORY` writes them as the wheel installs them (`make docs`).
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sslint import arguments, engine
from sslint.tree import write_named

Commands = Mapping[str, argparse.ArgumentParser]
FILES = ("FILE", "DIR", "PATH")  # what a metavar ends with that stands for a path
NOTE = "Made by `make docs` from the parser of the command line."
PAGES = {
    "man/man1/sslint.1": "man",
    "bash-completion/completions/sslint": "bash",
    "zsh/site-functions/_sslint": "zsh",
    "fish/vendor_completions.d/sslint.fish": "fish",
}


def pages() -> dict[str, str]:
    """Return each file by its path below share/."""
    parser, commands = arguments.parsers()
    rules = [rule.name for rule in engine.bundled()]
    made = {
        "man": man(parser, commands),
        "bash": bash(commands, rules),
        "zsh": zsh(commands, rules),
        "fish": fish(commands, rules),
    }
    return {path: made[kind] for path, kind in PAGES.items()}


def _flags(command: argparse.ArgumentParser) -> list[argparse.Action]:
    return [action for action in command._actions if action.option_strings]


def _choices(action: argparse.Action) -> list[str]:
    """Return the words that a flag takes, where it takes only these."""
    text = action.metavar if isinstance(action.metavar, str) else ""
    words = text.split("|")
    return words if len(words) > 1 and text.islower() else []


def _takes_path(action: argparse.Action) -> bool:
    text = action.metavar if isinstance(action.metavar, str) else ""
    return text.endswith(FILES)


def _takes_value(action: argparse.Action) -> bool:
    return action.nargs != 0


# -- the manual page ------------------------------------------------------------------------


def man(parser: argparse.ArgumentParser, commands: Commands) -> str:
    """Return sslint(1)."""
    lines = [
        f'.\\" {NOTE}',
        '.TH SSLINT 1 "" "sslint" "User Commands"',
        ".SH NAME",
        "sslint \\- check that clients reach the TLS services of a host",
        ".SH SYNOPSIS",
    ]
    for name, command in commands.items():
        lines += [".br", f".B sslint {name}", _roff(_positionals(command))]
    lines += [".SH DESCRIPTION", _roff(parser.description or ""), ".SH COMMANDS"]
    for name, command in commands.items():
        lines += [f'.SS "sslint {name}"', _roff(command.description or "")]
        for action in _flags(command):
            lines += _option(action)
    for title, text in _sections(parser.epilog or ""):
        lines += [f'.SH "{title.upper()}"', ".nf", *(_roff(line) for line in text), ".fi"]
    lines += [".SH FILES", ".I .sslint.yaml", "settings, beside PATH or above it"]
    return "\n".join(line for line in lines if line) + "\n"


def _option(action: argparse.Action) -> list[str]:
    names = ", ".join(f"\\fB{_roff(name)}\\fR" for name in action.option_strings)
    value = f" \\fI{_roff(str(action.metavar))}\\fR" if _takes_value(action) else ""
    return [".TP", f"{names}{value}", _roff(_help(action))]


def _help(action: argparse.Action) -> str:
    return (action.help or "").replace("%%", "%").strip()


def _positionals(command: argparse.ArgumentParser) -> str:
    return " ".join(map(_positional, (one for one in command._actions if not one.option_strings)))


def _positional(action: argparse.Action) -> str:
    name = str(action.metavar)
    if action.nargs not in ("*", "?") or not name.isalpha():  # such as [new NAME]
        return name
    return f"[{name}...]" if action.nargs == "*" else f"[{name}]"


def _sections(epilog: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the sections of an epilog: a line that ends with a colon, and what is indented."""
    title, lines = "", list[str]()
    for line in epilog.splitlines():
        if line.endswith(":") and not line.startswith(" "):
            if title:
                yield title, lines
            title, lines = line[:-1], []
        elif line.strip():
            lines.append(line)
    if title:
        yield title, lines


def _roff(text: str) -> str:
    """Return text in which roff finds nothing to act on."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


# -- completions ----------------------------------------------------------------------------


def bash(commands: Commands, rules: Sequence[str]) -> str:
    """Return the completion for bash."""
    values, paths, other, flags = [], list[str](), list[str](), []
    for name, command in commands.items():
        for action in _flags(command):
            cases = "|".join(f"{name}/{option}" for option in action.option_strings)
            if _choices(action):
                values.append(f"        {cases}) words='{' '.join(_choices(action))}' ;;")
            elif _takes_path(action):
                paths.append(cases)
            elif _takes_value(action):
                other.append(cases)
        options = " ".join(option for action in _flags(command) for option in action.option_strings)
        flags.append(f"        {name}) flags='{options}' ;;")
    return "\n".join(
        [
            f"# {NOTE}",
            "_sslint() {",
            "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}",
            "    local command=${COMP_WORDS[1]} words='' flags=''",
            "    COMPREPLY=()",
            '    if [ "$COMP_CWORD" -eq 1 ]; then',
            f"        mapfile -t COMPREPLY < <(compgen -W '{' '.join(commands)} --help --version' "
            '-- "$cur")',
            "        return",
            "    fi",
            '    case "$command/$prev" in',
            *values,
            f'        {"|".join(paths)}) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;',
            f"        {'|'.join(other)}) return ;;",
            "    esac",
            '    case "$command" in',
            *flags,
            "    esac",
            '    if [ -z "$words" ] && [[ "$cur" == -* ]]; then',
            "        words=$flags",
            '    elif [ -z "$words" ] && [ "$command" = explain ]; then',
            f"        words='{' '.join(rules)}'",
            "    fi",
            '    if [ -n "$words" ]; then',
            '        mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")',
            "    else",
            '        mapfile -t COMPREPLY < <(compgen -f -- "$cur")',
            "    fi",
            "}",
            "complete -o filenames -F _sslint sslint",
            "",
        ]
    )


def zsh(commands: Commands, rules: Sequence[str]) -> str:
    """Return the completion for zsh."""
    lines = ["#compdef sslint", f"# {NOTE}", "_sslint() {", "  local -a commands", "  commands=("]
    lines += [f"    '{name}:{_bare(_summary(command))}'" for name, command in commands.items()]
    lines += [
        "  )",
        "  if (( CURRENT == 2 )); then",
        "    _describe command commands",
        "    return",
        "  fi",
        "  local command=$words[2]",
        "  shift words; (( CURRENT-- ))",
        "  case $command in",
    ]
    for name, command in commands.items():
        rest = f"1:rule:({' '.join(rules)})" if name == "explain" else "*:path:_files"
        lines.append(f"    {name})")
        specs = [f"      {spec} \\" for action in _flags(command) for spec in _zsh_specs(action)]
        lines += ["      _arguments \\", *specs, f"      '{rest}' ;;"]
    return "\n".join([*lines, "  esac", "}", '_sslint "$@"', ""])


def _zsh_specs(action: argparse.Action) -> Iterator[str]:
    value = ""
    if _choices(action):
        value = f":value:({' '.join(_choices(action))})"
    elif _takes_value(action):
        value = ":file:_files" if _takes_path(action) else ":value:"
    star = "*" if isinstance(action, arguments.Repeated) else ""
    for option in action.option_strings:
        equals = "=" if value and option.startswith("--") else ""
        yield f"'{star}{option}{equals}[{_bare(_help(action))}]{value}'"


def fish(commands: Commands, rules: Sequence[str]) -> str:
    """Return the completion for fish."""
    lines = [f"# {NOTE}"]
    for name, command in commands.items():
        text = _bare(_summary(command))
        lines.append(f"complete -c sslint -n __fish_use_subcommand -f -a {name} -d '{text}'")
        for action in _flags(command):
            names = [
                f"-l {option[2:]}" if option.startswith("--") else f"-s {option[1:]}"
                for option in action.option_strings
            ]
            value = ""
            if _choices(action):
                value = f" -x -a '{' '.join(_choices(action))}'"
            elif _takes_value(action):
                value = " -r" if _takes_path(action) else " -x"
            within = f"-n '__fish_seen_subcommand_from {name}'"
            text = _bare(_help(action))
            lines.append(f"complete -c sslint {within} {' '.join(names)}{value} -d '{text}'")
    named = "-n '__fish_seen_subcommand_from explain'"
    lines.append(f"complete -c sslint {named} -f -a '{' '.join(rules)}'")
    return "\n".join([*lines, ""])


def _summary(command: argparse.ArgumentParser) -> str:
    return command.description or ""


def _bare(text: str) -> str:
    """Return text without what a shell's completion obeys."""
    return re.sub(r"[\[\]'\"\\:`$]", "", text.replace("\n", " "))


def main(directory: str) -> None:
    """Write all of it below a directory."""
    for path, text in pages().items():
        target = Path(directory) / path
        target.parent.mkdir(parents=True, exist_ok=True)
        write_named(str(target), text)


if __name__ == "__main__":
    main(sys.argv[1])
