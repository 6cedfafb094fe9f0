"""Follow a shell script as sh would run it, without running anything.

What decides and is not in the files is followed both ways; a loop of unknown length is followed
until nothing new comes of it. The outcome is one state in which some rules are doubtful.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

from sslint.budgets import ExhaustedError
from sslint.firewalls.scripts import builtins, expansion, programs
from sslint.firewalls.scripts.ends import Kind, Leave, Status
from sslint.firewalls.scripts.partial import HOLE, HOLES, has_hole
from sslint.firewalls.scripts.state import State, Value, first_state
from sslint.firewalls.scripts.syntax import (
    AndOr,
    Assignment,
    Background,
    Case,
    Command,
    Conditional,
    For,
    Function,
    Group,
    If,
    NotFollowedError,
    Pipeline,
    Redirection,
    Simple,
    While,
)
from sslint.firewalls.scripts.world import World
from sslint.regex import is_number
from sslint.source import Location, SourceFile
from sslint.tree import Tree
from sslint.values import dataclass

MAX_STEPS = 30_000  # commands; a copy of a state counts by its size
MAX_CALLS = 24  # of functions and scripts in each other
MAX_LEVELS = 90  # of compound commands in each other, over all calls
PASSES = 4  # over a loop of unknown length


@dataclass(slots=True)
class Input:
    """What a command reads; `text` is None where it is not known."""

    text: str | None
    position: int = 0


class Interpreter:
    """Follows one script."""

    def __init__(
        self, tree: Tree, file: SourceFile, arguments: Sequence[str], *, bash: bool
    ) -> None:
        self.tree = tree
        self.file = file
        self.bash = bash
        self.state: State = first_state(World(tree), list(arguments))
        self.steps = 0
        self.line = 1
        self.assumed: dict[str, None] = {}
        self.ends: list[Location] = []  # where the script may give up, which is left out
        self.outputs: list[list[str]] = []
        self.input = Input(None)
        self.calls = self.levels = 0
        self.tested = 0  # conditions in which a failure ends nothing
        self._held: list[tuple[Leave, State]] = []
        self._locals: list[dict[str, Value | None]] = []

    # -- what expansion asks ------------------------------------------------------------------

    def here(self) -> Location:
        """Return where the command stands."""
        return self.file.at(self.line)

    def arguments(self) -> list[str]:
        """Return the positional parameters."""
        return self.state.arguments

    def parameter(self, name: str) -> Value | None:
        """Return a parameter's value, None if it is not set."""
        if is_number(name):
            number = int(name) if len(name) < 6 else 99_999
            if number == 0:
                return self.file.path
            arguments = self.state.arguments
            if number <= len(arguments):
                return arguments[number - 1]
            return HOLE if HOLES in arguments else None
        if name in ("#", "?", "$", "!", "-"):
            if name == "#" and HOLES not in self.state.arguments:
                return str(len(self.state.arguments))
            if name == "?" and self.state.status is not None:
                return str(self.state.status)
            return HOLE
        if name in self.state.variables:
            return self.state.variables[name]
        if name == "IFS":
            return None  # blanks and newlines, whatever the environment says
        if name in ("UID", "EUID") and self.bash:
            return "0"
        if self.state.opaque or expansion.of_environment(name):
            if self.state.nounset:  # it may not be set
                self.may_end(self.here())
            return HOLE
        return None

    def unset(self, name: str) -> None:
        """Leave the shell where `set -u` forbids to expand what is not set."""
        if self.state.nounset:
            self.stop(2)

    def assign(self, name: str, value: Value) -> None:
        """Set a variable."""
        self.state.variables[name] = value

    def substitute(self, body: tuple[Command, ...]) -> str:
        """Return what commands print, without newlines at the end."""
        self.outputs.append([])
        status = self.subshell(lambda: self.run(body))
        found = "".join(self.outputs.pop())
        self.state.status = status
        return found.rstrip("\n").replace(HOLES, HOLE)

    def stop(self, status: int) -> NoReturn:
        """Leave the shell."""
        raise Leave("exit", status)

    def print(self, text: str) -> None:
        """Take what a command prints, if anything reads it."""
        if self.outputs:
            self.outputs[-1].append(text)
            if sum(map(len, self.outputs[-1])) > expansion.MAX_FIELD:
                self.fail("prints too much")

    def fail(self, reason: str) -> NoReturn:
        """Raise NotFollowedError at the command."""
        raise NotFollowedError(reason, self.here())

    def assume(self, what: str) -> None:
        """Note what is assumed; it is said once."""
        self.assumed.setdefault(what, None)

    def spend(self, steps: int) -> None:
        """Count. Raise ExhaustedError where a script goes on for too long."""
        self.steps += steps
        if self.steps > MAX_STEPS:
            raise ExhaustedError(f"a script runs more than {MAX_STEPS:,} commands", self.here())

    # -- ways that part and meet --------------------------------------------------------------

    def either(self, *ways: Callable[[], Status]) -> Status:
        """Follow several ways from here, of which one is taken."""
        start, where = self.state, self.here()
        ended: list[tuple[Status, State]] = []
        left: list[tuple[Leave, State]] = []
        for number, way in enumerate(ways):
            self.spend(1 + start.size() // 20)
            self.state = start.copy() if number < len(ways) - 1 else start
            try:
                ended.append((way(), self.state))
            except Leave as leave:
                left.append((leave, self.state))
            self.line = where.line
        kept = [one for one in left if not self._gives_up(one[0], where)]
        if not ended and not kept:
            kept = left[-1:]
        if not ended:
            last, self.state = kept.pop()
            self._held += kept
            raise last
        self._held += kept
        return self._join(ended, where)

    def _gives_up(self, leave: Leave, where: Location) -> bool:
        """Tell whether a way ends the script with an error: it is taken not to be gone."""
        if leave.kind != "exit" or leave.status in (0, None):
            return False
        self.may_end(where)
        return True

    def may_end(self, where: Location) -> None:
        """Note where the script may stop, which is assumed not to happen."""
        if where not in self.ends:
            self.ends.append(where)

    def _join(self, ended: Sequence[tuple[Status, State]], where: Location) -> Status:
        status, state = ended[0]
        for other_status, other in ended[1:]:
            self.spend(1 + state.size() // 20)
            state = state.join(other, where)
            status = status if status == other_status else None
        self.state = state
        self.state.status = status
        return status

    def frame(self, body: Callable[[], Status], kinds: tuple[Kind, ...]) -> Status:
        """Run a body that some ways of leaving end; they meet behind it."""
        mark = len(self._held)
        where = self.here()
        ended: list[tuple[Status, State]] = []
        last: Leave | None = None
        try:
            ended.append((body(), self.state))
        except Leave as leave:
            if _ends(leave, kinds):
                ended.append((leave.status, self.state))
            else:
                last = leave
        held, self._held[mark:] = self._held[mark:], []
        for way, state in held:
            if _ends(way, kinds):
                ended.append((way.status, state))
            else:
                self._held.append((way, state))
        if not ended:
            assert last is not None
            raise last
        if last is not None and not self._gives_up(last, where):
            self._held.append((last, self.state))
        return self._join(ended, where)

    def subshell(self, body: Callable[[], Status]) -> Status:
        """Run a body whose variables are lost, and whose exit is its own."""
        outer = self.state
        kept = (
            dict(outer.variables), dict(outer.functions), list(outer.arguments),
            outer.errexit, outer.nounset, outer.opaque,
        )  # fmt: skip
        status = self.frame(body, ("exit", "return", "break", "continue"))
        inner = self.state
        (inner.variables, inner.functions, inner.arguments,
         inner.errexit, inner.nounset, inner.opaque) = kept  # fmt: skip
        inner.status = status
        return status

    # -- commands -----------------------------------------------------------------------------

    def script(self, commands: tuple[Command, ...]) -> State:
        """Follow a whole script, and return what there is at its end."""
        self.frame(lambda: self.run(commands), ("exit", "return", "break", "continue"))
        return self.state

    def run(self, commands: Sequence[Command]) -> Status:
        """Run commands one after the other."""
        status: Status = 0
        for command in commands:
            status = self.command(command)
        return status

    def command(self, command: Command) -> Status:
        """Run one command."""
        self.spend(1)
        with self._deeper():
            self.line = command.line
            status = self._command(command)
        self.state.status = status
        return status

    @contextmanager
    def _deeper(self) -> Iterator[None]:
        """Count a level of commands within each other."""
        self.levels += 1
        try:
            if self.levels > MAX_LEVELS:
                self.fail("too many levels of nesting")
            yield
        finally:
            self.levels -= 1

    def _command(self, command: Command) -> Status:
        if isinstance(command, Simple):
            return self._checked(self._simple(command))
        if isinstance(command, AndOr):
            return self._and_or(command)
        if isinstance(command, Pipeline):
            return self._checked(self._pipeline(command))
        if isinstance(command, Function):
            self.state.functions[command.name] = (command,)
            return 0
        if isinstance(command, Background):
            return self._background(command)
        if isinstance(command, Conditional):
            return self._checked(builtins.conditional(self, command))
        return self._redirected(command)

    def _redirected(self, command: Group | If | For | While | Case) -> Status:
        """Run a compound command, which may read and write files."""
        outer = self.input
        self._redirect(command.redirections)
        silent = any(
            one.operator in (">", ">>", ">|") and one.fd == 1 for one in command.redirections
        )
        if silent:
            self.outputs.append([])
        try:
            if isinstance(command, Group):
                if not command.subshell:
                    return self.run(command.body)
                return self._checked(self.subshell(lambda: self.run(command.body)))
            if isinstance(command, If):
                return self._if(command.branches, command.otherwise)
            if isinstance(command, For):
                return self._for(command)
            if isinstance(command, While):
                return self._while(command)
            return self._case(command)
        finally:
            self.input = outer
            if silent:
                self.outputs.pop()

    def _checked(self, status: Status) -> Status:
        """End the script where a command fails under `set -e`."""
        if not self.state.errexit or self.tested or status == 0:
            return status
        if status is None:
            self.may_end(self.here())
            return 0
        raise Leave("exit", status)

    def condition(self, commands: Sequence[Command]) -> Status:
        """Run commands whose failure ends nothing."""
        self.tested += 1
        try:
            return self.run(commands)
        finally:
            self.tested -= 1

    def _if(
        self,
        branches: tuple[tuple[tuple[Command, ...], tuple[Command, ...]], ...],
        otherwise: tuple[Command, ...],
    ) -> Status:
        for number, (condition, body) in enumerate(branches):
            status = self.condition(condition)
            if status == 0:
                return self.run(body)
            if status is None:
                rest = branches[number + 1 :]
                with self._deeper():
                    return self.either(
                        lambda: self.run(body),  # noqa: B023 - called at once
                        lambda: self._if(rest, otherwise),  # noqa: B023
                    )
        return self.run(otherwise)

    def _and_or(self, command: AndOr) -> Status:
        chain = [("", command.first), *command.rest]
        return self._links(chain, 0, 0)

    def _links(self, chain: list[tuple[str, Command]], start: int, status: Status) -> Status:
        for number in range(start, len(chain)):
            operator, link = chain[number]
            if (operator == "&&" and status) or (operator == "||" and status == 0):
                continue
            if operator and status is None:
                with self._deeper():
                    return self.either(
                        lambda: self._links(chain, number, 0),  # noqa: B023 - called at once
                        lambda: self._links(chain, number, 1),  # noqa: B023
                    )
            last = number == len(chain) - 1
            status = self.command(link) if last else self.condition((link,))
        return status

    def _pipeline(self, command: Pipeline) -> Status:
        if command.negated:
            self.tested += 1
        outer = self.input
        try:
            for number, part in enumerate(command.commands):
                last = number == len(command.commands) - 1
                if last and len(command.commands) == 1:
                    status = self.command(part)
                elif last:
                    status = self.subshell(lambda: self.command(part))  # noqa: B023
                else:
                    self.outputs.append([])
                    self.subshell(lambda: self.condition((part,)))  # noqa: B023
                    printed = "".join(self.outputs.pop())
                    self.input = Input(None if has_hole([printed]) else printed)
        finally:
            self.input = outer
            if command.negated:
                self.tested -= 1
        if command.negated:
            return None if status is None else int(status == 0)
        return status

    def _background(self, command: Background) -> Status:
        before = self.state.copy()
        self.spend(1 + before.size() // 20)
        self.subshell(lambda: self.condition((command.command,)))
        if not self.state.world.same(before.world):
            self.line = command.line
            self.fail("the ruleset is changed in the background")
        self.state = before
        return 0

    def _for(self, command: For) -> Status:
        if command.words is None:
            items = list(self.state.arguments)
        else:
            items = [one for word in command.words for one in expansion.fields(word, self)]
        variable = command.name

        def once(item: str) -> Status:
            self.state.variables[variable] = item.replace(HOLES, HOLE)
            return self.run(command.body)

        def whole() -> Status:
            status: Status = 0
            for item in items:
                self.spend(1)
                if HOLES in item:
                    status = self._unknown_times(lambda: once(HOLE))
                else:
                    status = self.frame(lambda: once(item), ("continue",))  # noqa: B023
            return status

        return self.frame(whole, ("break",))

    def _unknown_times(self, body: Callable[[], Status]) -> Status:
        """Run a body any number of times."""
        for _ in range(PASSES):
            before = self.state.copy()
            self.spend(1 + before.size() // 20)
            self.either(lambda: self.frame(body, ("continue",)), lambda: 0)
            if self.state.same(before):
                return None
        self.fail("a loop of unknown length is not followed")

    def _while(self, command: While) -> Status:
        def whole() -> Status:
            status: Status = 0
            while True:
                self.spend(1)
                self.line = command.line
                met = self.condition(command.condition)
                if met is None:
                    return self._unknown_while(command)
                if (met == 0) == command.until:
                    return status
                status = self.frame(lambda: self.run(command.body), ("continue",))

        return self.frame(whole, ("break",))

    def _unknown_while(self, command: While) -> Status:
        def again() -> Status:
            self.run(command.body)
            return self.condition(command.condition)

        return self._unknown_times(again)

    def _case(self, command: Case) -> Status:
        word = expansion.text(command.word, self)
        possible: list[tuple[Command, ...]] = []
        for patterns, body in command.arms:
            found = [expansion.matches(word, expansion.pattern(one, self)) for one in patterns]
            if True in found:
                if not possible:
                    return self.run(body)
                possible.append(body)
                break
            if None in found:
                possible.append(body)
        else:
            possible.append(())
        if len(possible) == 1:
            return self.run(possible[0])
        ways: list[Callable[[], Status]] = [
            (lambda chosen: lambda: self.run(chosen))(body) for body in possible
        ]
        return self.either(*ways)

    # -- simple commands ----------------------------------------------------------------------

    def _simple(self, command: Simple) -> Status:
        self.state.status = 0
        words = [one for word in command.words for one in expansion.fields(word, self)]
        substituted = self.state.status
        outer = self.input
        self._redirect(command.redirections)
        silent = any(
            one.operator in (">", ">>", ">|", ">&") and one.fd == 1 for one in command.redirections
        )
        if silent:
            self.outputs.append([])
        try:
            if not words:
                self.state.status = 0
                for one in command.assignments:
                    self._assign(one)
                return self.state.status if not command.words else substituted
            if not all(one.array or one.append or one.index for one in command.assignments):
                return self._with(command.assignments, words)
            for one in command.assignments:
                self._assign(one)
            return programs.run(self, words)
        finally:
            self.input = outer
            if silent:
                self.outputs.pop()

    def _with(self, assignments: Sequence[Assignment], words: list[str]) -> Status:
        """Run a command with variables of its own."""
        before = {one.name: self.state.variables.get(one.name) for one in assignments}
        were = {name for name in before if name in self.state.variables}
        exported = before.keys() - self.state.exported
        for one in assignments:
            self._assign(one)
        self.state.exported |= exported
        try:
            return programs.run(self, words)
        finally:
            self.state.exported -= exported
            for name, value in before.items():
                if name in were:
                    self.state.variables[name] = value
                else:
                    self.state.variables.pop(name, None)

    def _assign(self, one: Assignment) -> None:
        old = self.state.variables.get(one.name)
        if one.array:
            items = [
                field
                for word in one.value
                for field in expansion.fields(word, self)  # type: ignore[arg-type]
            ]
            if one.append:
                before = old if isinstance(old, list) else [] if old is None else [old]
                items = [*before, *items]
            self.state.variables[one.name] = items
            return
        value = expansion.text(one.value, self)  # type: ignore[arg-type]
        if one.index is not None:
            self.state.variables[one.name] = HOLE
            return
        if one.append:
            if isinstance(old, list):
                old = [*old[:-1], (old[-1] if old else "") + value]
                self.state.variables[one.name] = old
                return
            value = (old or "") + value
        self.state.variables[one.name] = value

    def _redirect(self, redirections: Sequence[Redirection]) -> None:
        """Open what a command reads; what it writes is nobody's input."""
        for one in redirections:
            if one.operator == "<<" and one.fd == 0:
                found = expansion.text(one.target, self)
                self.input = Input(None if has_hole([found]) else found)
                self.line = one.line
            elif one.operator == "<" and one.fd == 0:
                path = expansion.text(one.target, self)
                self.input = Input(programs.read(self, path))
            else:
                path = expansion.text(one.target, self)
                if one.operator in (">", ">>", ">|", "<>", "&>", "&>>"):
                    self.state.world.write(path, self.here())

    # -- functions and files ------------------------------------------------------------------

    def call(self, function: Function, arguments: list[str]) -> Status:
        """Call a function."""
        self.calls += 1
        if self.calls > MAX_CALLS:
            self.fail("functions call each other too deeply")
        kept, self.state.arguments = self.state.arguments, arguments
        self._locals.append({})
        line = self.line
        try:
            status = self.frame(lambda: self.command(function.body), ("return",))
        finally:
            self.calls -= 1
            for name, value in self._locals.pop().items():
                self.state.variables[name] = value
            self.state.arguments = kept
        self.line = line
        return status

    def local(self, name: str) -> None:
        """Let a function have a variable of its own."""
        if self._locals:
            self._locals[-1].setdefault(name, self.state.variables.get(name))

    def source(self, file: SourceFile, commands: tuple[Command, ...]) -> Status:
        """Run a file in this shell."""
        return self._in_file(file, lambda: self.frame(lambda: self.run(commands), ("return",)))

    def child(
        self, file: SourceFile, commands: tuple[Command, ...], arguments: list[str]
    ) -> Status:
        """Run a script of its own, which has the exported variables."""

        def whole() -> Status:
            state = self.state
            state.variables = {
                name: value
                for name, value in state.variables.items()
                if name in state.exported and isinstance(value, str)
            }
            state.functions, state.arguments = {}, arguments
            state.errexit = state.nounset = False
            return self.run(commands)

        tested, self.tested = self.tested, 0
        try:
            return self._in_file(file, lambda: self.subshell(whole))
        finally:
            self.tested = tested

    def _in_file(self, file: SourceFile, body: Callable[[], Status]) -> Status:
        self.calls += 1
        if self.calls > MAX_CALLS:
            self.fail("scripts call each other too deeply")
        kept, line = self.file, self.line
        self.file = file
        try:
            return body()
        finally:
            self.calls -= 1
            self.file, self.line = kept, line


def _ends(leave: Leave, kinds: tuple[Kind, ...]) -> bool:
    """Tell whether a frame is what is left; `break 2` leaves one loop more."""
    if leave.kind in ("break", "continue") and leave.levels > 1:
        if "exit" in kinds:
            return True
        if kinds == ("break",):  # one loop is left
            leave.levels -= 1
        return False
    return leave.kind in kinds
