"""The syntax of a shell script as a tree: what words are made of, and commands (sh(1))."""

from __future__ import annotations

from sslint.firewalls.errors import RulesetError
from sslint.values import dataclass


class NotFollowedError(RulesetError):
    """What a script does from `location` on cannot be told."""


# -- words ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Literal:
    """Text that stands for itself."""

    text: str
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Parameter:
    """`$name` or `${name OPERATOR word}`; `index` is what stands in brackets, in bash."""

    name: str
    quoted: bool = False
    operator: str = ""
    word: Word = ()
    index: Word | None = None


@dataclass(frozen=True, slots=True)
class Substitution:
    """`$(body)`: what the commands print."""

    body: tuple[Command, ...]
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """`$((expression))`, with the parameters in it."""

    word: Word
    quoted: bool = False


Part = Literal | Parameter | Substitution | Arithmetic
Word = tuple[Part, ...]


# -- commands ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Redirection:
    """`fd OPERATOR target`; a here-document is `<<` with its text, and the line it starts on."""

    operator: str
    target: Word
    fd: int
    line: int


@dataclass(frozen=True, slots=True)
class Assignment:
    """`name=value`, `name+=value`, or an array of words."""

    name: str
    value: Word | tuple[Word, ...]
    append: bool = False
    array: bool = False
    index: Word | None = None


@dataclass(frozen=True, slots=True)
class Simple:
    """Assignments, a command and its arguments."""

    assignments: tuple[Assignment, ...]
    words: tuple[Word, ...]
    redirections: tuple[Redirection, ...]
    line: int


@dataclass(frozen=True, slots=True)
class Group:
    """`{ body }`, or a subshell `( body )`."""

    body: tuple[Command, ...]
    subshell: bool
    redirections: tuple[Redirection, ...]
    line: int


@dataclass(frozen=True, slots=True)
class If:
    """Conditions with what is run where they hold; `otherwise` may be empty."""

    branches: tuple[tuple[tuple[Command, ...], tuple[Command, ...]], ...]
    otherwise: tuple[Command, ...]
    redirections: tuple[Redirection, ...]
    line: int


@dataclass(frozen=True, slots=True)
class For:
    """`for name in words`; without `in` it goes through the arguments."""

    name: str
    words: tuple[Word, ...] | None
    body: tuple[Command, ...]
    redirections: tuple[Redirection, ...]
    line: int


@dataclass(frozen=True, slots=True)
class While:
    """`while condition`, or `until` one holds."""

    condition: tuple[Command, ...]
    body: tuple[Command, ...]
    until: bool
    redirections: tuple[Redirection, ...]
    line: int


@dataclass(frozen=True, slots=True)
class Case:
    """`case word in` with patterns, the commands of each, and whether `;&` goes on."""

    word: Word
    arms: tuple[tuple[tuple[Word, ...], tuple[Command, ...]], ...]
    redirections: tuple[Redirection, ...]
    line: int


@dataclass(frozen=True, slots=True)
class Function:
    """A definition."""

    name: str
    body: Command
    line: int


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Commands joined by `|`, and whether `!` turns the outcome round."""

    commands: tuple[Command, ...]
    negated: bool
    line: int


@dataclass(frozen=True, slots=True)
class AndOr:
    """Commands joined by `&&` and `||`, from left to right."""

    first: Command
    rest: tuple[tuple[str, Command], ...]
    line: int


@dataclass(frozen=True, slots=True)
class Background:
    """A command that is not waited for."""

    command: Command
    line: int


@dataclass(frozen=True, slots=True)
class Conditional:
    """`[[ expression ]]` of bash: its words, or `(( expression ))`."""

    words: tuple[Word, ...]
    arithmetic: bool
    line: int


Command = (
    Simple
    | Group
    | If
    | For
    | While
    | Case
    | Function
    | Pipeline
    | AndOr
    | Background
    | Conditional
)
