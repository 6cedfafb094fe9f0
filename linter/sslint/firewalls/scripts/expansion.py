"""Expand words as sh does: parameters, substitutions, fields, patterns (sh(1), Word Expansions)."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Sequence
from typing import Protocol

from sslint.firewalls.scripts.arithmetic import evaluate
from sslint.firewalls.scripts.partial import HOLE, HOLES, has_hole
from sslint.firewalls.scripts.syntax import (
    Arithmetic,
    Command,
    Literal,
    NotFollowedError,
    Parameter,
    Part,
    Substitution,
    Word,
)
from sslint.regex import regex
from sslint.source import Location
from sslint.tree import Tree

MAX_FIELD = 1_000_000  # characters of one value
MAX_FIELDS = 20_000  # that one word becomes

Value = str | list[str]
_BRACES = regex(r"\{([^{}\s,]*,[^{}\s]*|(\d{1,9})\.\.(\d{1,9}))\}")
# Variables that whoever starts a script may have set.
_ENVIRONMENT = regex(
    r"PATH|HOME|USER|LOGNAME|SHELL|PWD|OLDPWD|TERM|LANG|LC_\w+|HOSTNAME|HOSTTYPE|EDITOR|MAIL|TZ"
    r"|SSH_\w+|SUDO_\w+|RANDOM|SECONDS|LINENO|PPID|BASH\w*|DISPLAY|IFACE|METHOD|MODE|PHASE"
    r"|RUNLEVEL|PREVLEVEL|DEBIAN_\w+|IF_\w+|XDG_\w+|GROUPS|OSTYPE|MACHTYPE|FUNCNAME|VERBOSITY"
    r"|ADDRFAM|LOGICAL|CONNECTION_\w+|DHCP\w*|IP[46]_\w+|DEVICE\w*"
)


class Shell(Protocol):
    """What expanding asks of the interpreter."""

    tree: Tree
    bash: bool

    def parameter(self, name: str) -> Value | None:
        """Return a variable's value, None if it is not set."""

    def assign(self, name: str, value: Value) -> None:
        """Set a variable."""

    def substitute(self, body: tuple[Command, ...]) -> str:
        """Return what commands print."""

    def arguments(self) -> list[str]:
        """Return the positional parameters."""

    def stop(self, status: int) -> None:
        """Leave the shell."""

    def unset(self, name: str) -> None:
        """Leave the shell where it may not expand what is not set."""

    def here(self) -> Location:
        """Return where the command stands."""


Piece = tuple[str, bool]
"""Text, and whether quotes keep it together."""


def fields(word: Word, shell: Shell) -> list[str]:
    """Return the fields that a word becomes."""
    words = _braces(word) if shell.bash else [word]
    found: list[str] = []
    for one in words:
        if len(one) == 1 and isinstance(one[0], Literal):
            plain = one[0]
            found += [plain.text] if plain.quoted else _globbed(plain.text, plain.text, shell)
            continue
        for pieces in _split(one, shell):
            text = "".join(text for text, _ in pieces)
            pattern = "".join(_escaped(text) if quoted else text for text, quoted in pieces)
            found += _globbed(text, pattern, shell)
    if len(found) > MAX_FIELDS:
        raise NotFollowedError(f"a word becomes more than {MAX_FIELDS:,}", shell.here())
    return found


def text(word: Word, shell: Shell) -> str:
    """Return a word as one text, as in assignments and here-documents."""
    found = "".join(piece for part in word for piece, _ in _joined(_expanded(part, shell)))
    if len(found) > MAX_FIELD:
        raise NotFollowedError(f"a value is longer than {MAX_FIELD:,} characters", shell.here())
    return found.replace(HOLES, HOLE)


def pattern(word: Word, shell: Shell) -> str:
    """Return a word as a pattern: what is quoted in it stands for itself."""
    return "".join(
        _escaped(piece) if quoted else piece
        for part in word
        for piece, quoted in _joined(_expanded(part, shell))
    )


def matches(value: str, wanted: str) -> bool | None:
    """Tell whether a value matches a pattern, None if that is not known."""
    if wanted == "*":
        return True
    if has_hole([value, wanted]):
        return None
    if len(value) > 10_000 or wanted.count("*") > 20:
        return None
    return fnmatch.fnmatchcase(value, wanted.replace("[^", "[!"))


# -- inside -----------------------------------------------------------------------------------


def _escaped(literal: str) -> str:
    return re.sub(r"([*?\[\]])", r"[\1]", literal)


def _braces(word: Word) -> list[Word]:
    """Expand `{a,b}` and `{1..9}`, as bash does."""
    pending, done = [word], []
    while pending:
        one = pending.pop(0)
        for index, part in enumerate(one):
            if not isinstance(part, Literal) or part.quoted or "{" not in part.text:
                continue
            found = _BRACES.search(part.text)
            if found is None:
                continue
            if found.group(2):
                low, high = int(found.group(2)), int(found.group(3))
                step = 1 if low <= high else -1
                if abs(high - low) > MAX_FIELDS:
                    return [word] * (MAX_FIELDS + 1)
                items = [str(n) for n in range(low, high + step, step)]
            else:
                items = found.group(1).split(",")
            head, tail = part.text[: found.start()], part.text[found.end() :]
            pending[:0] = [
                (*one[:index], Literal(head + item + tail), *one[index + 1 :]) for item in items
            ]
            break
        else:
            done.append(one)
        if len(pending) + len(done) > MAX_FIELDS:
            break
    return done + pending


def _globbed(plain: str, wanted: str, shell: Shell) -> list[str]:
    """Expand a path with wildcards over the tree; what matches nothing stays as it is."""
    if not any(char in wanted for char in "*?[") or wanted == plain.replace("[", "[[]"):
        return [plain]
    if not re.search(r"(?<!\[)[*?]|\[(?![*?\[\]]\])", wanted):
        return [plain]
    if not wanted.startswith("/") or has_hole([wanted]):
        return [plain]
    return shell.tree.glob(wanted) or [HOLES]


def _split(word: Word, shell: Shell) -> list[list[Piece]]:
    """Split what unquoted expansions give into fields."""
    separators = shell.parameter("IFS")
    separators = " \t\n" if not isinstance(separators, str) else separators
    if has_hole([separators]):
        raise NotFollowedError("IFS is not known", shell.here())
    done: list[list[Piece]] = []
    current: list[Piece] = []
    for part in word:
        expanded = _expanded(part, shell)
        for number, pieces in enumerate(expanded):
            if number:  # "$@" makes fields of its own
                done.append(current)
                current = []
            for value, quoted in pieces:
                if quoted or isinstance(part, Literal):
                    current.append((value, quoted or (isinstance(part, Literal) and part.quoted)))
                    continue
                for chunk, separated in _chunks(value.replace(HOLE, HOLES), separators):
                    if separated and current:
                        done.append(current)
                        current = []
                    if chunk:
                        current.append((chunk, False))
    if current:
        done.append(current)
    return [pieces for pieces in done if pieces]


def _chunks(value: str, separators: str) -> list[tuple[str, bool]]:
    """Return the texts between separators, and whether one stands before each."""
    if not separators:
        return [(value, False)]
    blank = "".join(char for char in separators if char in " \t\n")
    other = "".join(char for char in separators if char not in " \t\n")
    expression = f"[{re.escape(blank)}]+" if blank else r"(?!)"
    if other:
        around = f"[{re.escape(blank)}]*" if blank else ""
        expression = f"{around}[{re.escape(other)}]{around}|{expression}"
    found = re.split(expression, value)
    return [(chunk, index > 0) for index, chunk in enumerate(found)]


def _joined(expanded: list[list[Piece]]) -> list[Piece]:
    """Put the fields of `$@` together with blanks, where one text is wanted."""
    found: list[Piece] = []
    for number, pieces in enumerate(expanded):
        if number:
            found.append((" ", True))
        found += pieces
    return found


def _expanded(part: Part, shell: Shell) -> list[list[Piece]]:
    """Return what one part becomes: one list of pieces, or one for each field of `"$@"`."""
    if isinstance(part, Literal):
        return [[(part.text, part.quoted)]]
    if isinstance(part, Arithmetic):
        return [[(arithmetic(part.word, shell), part.quoted)]]
    if isinstance(part, Substitution):
        return [[(shell.substitute(part.body), part.quoted)]]
    return _parameter(part, shell)


def arithmetic(word: Word, shell: Shell) -> str:
    """Return the value of an arithmetic expression; it may assign, in bash and dash."""
    value = evaluate(text(word, shell), shell.parameter, shell.assign)
    return HOLE if value is None else str(value)


def _parameter(part: Parameter, shell: Shell) -> list[list[Piece]]:
    if part.name in ("@", "*") or part.index is not None:
        values = _several(part, shell)
        if values is not None:
            return values
    value = _value(part, shell)
    operator = part.operator
    if value is None and not operator.endswith(("-", "=", "+", "?")):
        shell.unset(part.name)
    if operator == "#length":
        length = HOLE if has_hole([value or ""]) else str(len(value or ""))
        return [[(length, part.quoted)]]
    if not operator:
        return [[(value or "", part.quoted)]]
    if operator in (":-", "-", ":=", "=", ":+", "+", ":?", "?"):
        return _default(part, value, shell)
    if operator in ("#", "##", "%", "%%"):
        return [[(_trimmed(value or "", operator, pattern(part.word, shell)), part.quoted)]]
    return [[(_of_bash(value or "", operator, part.word, shell), part.quoted)]]


def _several(part: Parameter, shell: Shell) -> list[list[Piece]] | None:
    """Expand `$@`, `$*` and whole arrays."""
    if part.name in ("@", "*"):
        values, all_of = shell.arguments(), part.name
    else:
        held = shell.parameter(part.name)
        all_of = text(part.index or (), shell)
        if all_of not in ("@", "*"):
            return None
        values = held if isinstance(held, list) else [] if held is None else [held]
    if part.operator == "#length":
        return [[(str(len(values)), part.quoted)]]
    if part.operator in ("-", ":-") and not values:
        return [[(text(part.word, shell), part.quoted)]]
    if part.operator in ("+", ":+"):
        if not values:
            return [[("", part.quoted)]]
        return [[(text(part.word, shell), part.quoted)]]
    if part.operator not in ("", "-", ":-"):
        return [[(HOLE, part.quoted)]]
    if part.quoted and all_of == "*":
        separators = shell.parameter("IFS")
        between = separators[:1] if isinstance(separators, str) else " "
        return [[(between.join(values), True)]]
    if not values:
        return []
    return [[(value, part.quoted)] for value in values]


def _value(part: Parameter, shell: Shell) -> str | None:
    if part.operator.startswith("!"):
        return HOLE
    value = shell.parameter(part.name)
    if part.index is not None:
        index = arithmetic(part.index, shell)
        if has_hole([index]) or not isinstance(value, list):
            return value if isinstance(value, str) and index == "0" else HOLE
        number = int(index)
        return value[number] if -len(value) <= number < len(value) else None
    if isinstance(value, list):
        return value[0] if value else None
    return value


def _default(part: Parameter, value: str | None, shell: Shell) -> list[list[Piece]]:
    operator = part.operator
    empty = value is None or (operator[0] == ":" and value == "")
    unknown = value is not None and value in (HOLE, HOLES)
    kind = operator[-1]
    if unknown:
        return [[(HOLE, part.quoted)]]
    if kind == "+":
        if empty:
            return [[("", part.quoted)]]
        return _word_pieces(part, shell)
    if not empty:
        return [[(value or "", part.quoted)]]
    if kind == "?":
        shell.stop(2)
    if kind == "=":
        given = text(part.word, shell)
        shell.assign(part.name, given)
        return [[(given, part.quoted)]]
    return _word_pieces(part, shell)


def _word_pieces(part: Parameter, shell: Shell) -> list[list[Piece]]:
    if part.quoted:
        return [[(text(part.word, shell), True)]]
    found: list[Piece] = []
    for one in part.word:
        for piece in _joined(_expanded(one, shell)):
            found.append(piece)
    return [found]


def _trimmed(value: str, operator: str, wanted: str) -> str:
    """Take the shortest or longest part that matches from the front or the back."""
    if has_hole([value, wanted]) or len(value) > 2_000 or wanted.count("*") > 10:
        return HOLE
    expression = re.compile(fnmatch.translate(wanted.replace("[^", "[!")))
    lengths: Sequence[int] = range(len(value) + 1)
    if operator in ("##", "%%"):
        lengths = lengths[::-1]
    for length in lengths:
        if operator[0] == "#" and expression.match(value[:length]):
            return value[length:]
        if operator[0] == "%" and expression.match(value[len(value) - length :]):
            return value[: len(value) - length]
    return value


def _of_bash(value: str, operator: str, word: Word, shell: Shell) -> str:
    """Replace, cut and change case, as bash does; what is not read is not known."""
    if has_hole([value]):
        return HOLE
    changes: dict[str, Callable[[str], str]] = {"^^": str.upper, ",,": str.lower}
    if operator in changes and not word:
        return changes[operator](value) if value.isascii() else HOLE
    given = text(word, shell)
    if operator in ("/", "//") and not has_hole([given]):
        old, _, new = given.partition("/")
        if old and not any(char in old for char in "*?[\\"):
            return value.replace(old, new, 1 if operator == "/" else -1)
    if operator == ":" and re.fullmatch(r"\d{1,6}(:\d{1,6})?", given):
        start, colon, length = given.partition(":")
        return value[int(start) :][: int(length) if colon else None]
    return HOLE


def of_environment(name: str) -> bool:
    """Tell whether a variable that a script does not set may have a value."""
    return _ENVIRONMENT.fullmatch(name) is not None
