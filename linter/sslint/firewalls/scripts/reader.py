"""Run a script of iptables, nft and ipset commands on paper, and read the ruleset it leaves."""

from __future__ import annotations

from sslint.firewalls.scripts.evaluation import Interpreter
from sslint.firewalls.scripts.parsing import parse
from sslint.firewalls.scripts.programs import is_bash
from sslint.firewalls.scripts.syntax import Case, Command, NotFollowedError, Parameter
from sslint.netfilter.model import Ruleset, Source
from sslint.source import SourceFile
from sslint.tree import Tree

__all__ = ["NotFollowedError", "read"]

MAX_TEXT = 2_000_000


def read(tree: Tree, file: SourceFile, into: Ruleset, *, bash: bool = False) -> bool:
    """Add what a script leaves in the kernel; return False if it tells the firewall nothing.

    `bash`: it is for bash, whatever its first line says. Raise NotFollowedError, with its place,
    where what it does cannot be told.
    """
    dialect = True if bash else is_bash(file)
    if dialect is None:
        raise NotFollowedError("it is not a script of sh or bash", file.at(1))
    if len(file.text) > MAX_TEXT:
        raise NotFollowedError(f"it is longer than {MAX_TEXT:,} characters", file.at(1))
    commands = parse(file, bash=dialect)
    arguments = ["start"] if _starts(commands) else []
    shell = Interpreter(tree, file, arguments, bash=dialect)
    world = shell.script(commands).world
    if not world.touched:
        return False
    world.finish(into)
    into.sources.append(Source("script", file.name))
    as_run = "with `start`" if arguments else "once"
    into.assumptions.append(f"{file.name} is run {as_run} after boot, on an empty ruleset")
    if shell.ends:
        lines = ", ".join(dict.fromkeys(str(where.line) for where in shell.ends[:5]))
        into.assumptions.append(f"{file.name} is run to its end and does not stop at line {lines}")
    into.assumptions += [f"{file.name}: {what}" for what in shell.assumed]
    return True


def _starts(commands: tuple[Command, ...]) -> bool:
    """Tell whether a script asks for `start` as its first argument."""
    pending: list[object] = [*commands]
    while pending:
        one = pending.pop()
        if isinstance(one, Case):
            asked = any(isinstance(part, Parameter) and part.name == "1" for part in one.word)
            named = any(
                getattr(part, "text", "") == "start"
                for patterns, _ in one.arms
                for word in patterns
                for part in word
            )
            if asked and named:
                return True
        if isinstance(one, tuple):
            pending += one
        elif hasattr(one, "__slots__"):
            pending += [getattr(one, name) for name in one.__slots__ if name not in ("line",)]
    return False
