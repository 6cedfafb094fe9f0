"""What is built into the shell: test, echo, set, read and the like (sh(1), Builtins)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sslint.firewalls.scripts import expansion
from sslint.firewalls.scripts.partial import HOLE, HOLES, has_hole
from sslint.firewalls.scripts.syntax import Conditional
from sslint.regex import is_number, regex
from sslint.tree import Status as FileStatus

if TYPE_CHECKING:
    from sslint.firewalls.scripts.evaluation import Interpreter

Status = int | None
_INTEGERS: dict[str, Callable[[int, int], bool]] = {
    "-eq": int.__eq__,
    "-ne": int.__ne__,
    "-lt": int.__lt__,
    "-le": int.__le__,
    "-gt": int.__gt__,
    "-ge": int.__ge__,
}
_BINARY = frozenset((*_INTEGERS, "=", "==", "!=", "<", ">", "=~", "-nt", "-ot", "-ef"))
_TOOLS = regex(r"(?:/\S*/)?(?:ip6?tables(?:-\w+)*|nft|ipset|ufw|firewall-cmd|sh|bash)")
MAX_TERMS = 100


# -- test -------------------------------------------------------------------------------------


def test(shell: Interpreter, words: list[str]) -> Status:
    """Run `test`."""
    if any(word == HOLES for word in words):
        return None  # it may be any number of words
    if len(words) > MAX_TERMS:
        return None
    result = _Test(shell, words, glob=False).run()
    return None if result is None else int(not result)


def conditional(shell: Interpreter, command: Conditional) -> Status:
    """Run `[[ ]]` or `(( ))`."""
    if command.arithmetic:
        value = expansion.arithmetic(command.words[0], shell)
        return None if has_hole([value]) else int(value == "0")
    words: list[str] = []
    for number, word in enumerate(command.words):
        before = words[-1] if words else ""
        if number and before in ("=", "==", "!="):
            words.append(expansion.pattern(word, shell))
        else:
            words.append(expansion.text(word, shell))
    if len(words) > MAX_TERMS:
        return None
    result = _Test(shell, words, glob=True).run()
    return None if result is None else int(not result)


class _Test:
    """Evaluates an expression; None is not known."""

    def __init__(self, shell: Interpreter, words: list[str], *, glob: bool) -> None:
        self.shell, self.words, self.glob = shell, words, glob
        self.position = 0

    def run(self) -> bool | None:
        words = self.words
        if not words:
            return False
        if len(words) == 1:
            return _has_text(words[0])
        if not self.glob and len(words) == 3 and words[1] in _BINARY:
            return self.binary(*words)
        found = self.either()
        return found if self.position >= len(words) else None

    def peek(self) -> str:
        return self.words[self.position] if self.position < len(self.words) else ""

    def either(self) -> bool | None:
        found = self.both()
        while self.peek() in ("||", "-o"):
            self.position += 1
            other = self.both()
            found = True if True in (found, other) else None if None in (found, other) else False
        return found

    def both(self) -> bool | None:
        found = self.negated()
        while self.peek() in ("&&", "-a"):
            self.position += 1
            other = self.negated()
            found = False if False in (found, other) else None if None in (found, other) else True
        return found

    def negated(self) -> bool | None:
        turned = False
        while self.peek() == "!" and self.position + 1 < len(self.words):
            self.position += 1
            turned = not turned
        found = self.term()
        return found if found is None or not turned else not found

    def term(self) -> bool | None:
        words, at = self.words, self.position
        if at >= len(words):
            self.position = len(words) + 1
            return None
        if at + 2 < len(words) and words[at + 1] in _BINARY:
            self.position += 3
            return self.binary(words[at], words[at + 1], words[at + 2])
        if words[at] == "(":
            self.position += 1
            found = self.either()
            if self.peek() != ")":
                self.position = len(words) + 1
            self.position += 1
            return found
        if re.fullmatch(r"-[a-zA-Z]", words[at]) and at + 1 < len(words):
            self.position += 2
            return self.unary(words[at], words[at + 1])
        self.position += 1
        return _has_text(words[at])

    def unary(self, operator: str, word: str) -> bool | None:
        if operator == "-n":
            return _has_text(word)
        if operator == "-z":
            found = _has_text(word)
            return None if found is None else not found
        if operator in "-f-e-r-x-s-d-L-h":
            return self.file(operator, word)
        return None

    def file(self, operator: str, path: str) -> bool | None:
        if has_hole([path]):
            return None
        if operator in ("-x", "-f", "-e", "-r") and _TOOLS.fullmatch(path) and "/" in path:
            return True
        if not path.startswith("/"):
            return None if path else False
        status = self.shell.tree.status(path)
        if status is FileStatus.FILE and operator in ("-f", "-e", "-r"):
            return True
        if status is FileStatus.DIRECTORY and operator in ("-d", "-e", "-r", "-x"):
            return True
        return None

    def binary(self, left: str, operator: str, right: str) -> bool | None:
        if operator in _INTEGERS:
            try:
                one, other = _integer(left), _integer(right)
            except ValueError:
                return None if has_hole([left, right]) or self.glob else False
            return _INTEGERS[operator](one, other)
        if operator in ("=", "==", "!="):
            if operator == "==" and not self.glob and not self.shell.bash:
                return None
            found = self.equal(left, right)
            return found if operator != "!=" or found is None else not found
        return None

    def equal(self, left: str, right: str) -> bool | None:
        if self.glob:
            return expansion.matches(left, right)
        if has_hole([left, right]):
            return None if _may_be(left, right) else False
        return left == right


def _integer(text: str) -> int:
    text = text.strip()
    if not re.fullmatch(r"[+-]?\d{1,18}", text, re.ASCII):
        raise ValueError
    return int(text)


def _may_be(left: str, right: str) -> bool:
    """Tell whether two texts with unknown parts may be the same, by how they begin."""
    for one, other in ((left, right), (right, left)):
        if not has_hole([other]):
            known = re.split(f"[{HOLE}{HOLES}]", one)
            return other.startswith(known[0]) and other.endswith(known[-1])
    return True


def _has_text(word: str) -> bool | None:
    if word.strip(HOLE + HOLES):
        return True
    return None if word else False


# -- what they print --------------------------------------------------------------------------


def echo(shell: Interpreter, words: list[str]) -> Status:
    """Run `echo`."""
    newline = "\n"
    while words and re.fullmatch(r"-[neE]+", words[0]):
        if "e" in words[0] and not shell.bash:
            shell.print(HOLE)
            return 0
        if "n" in words[0]:
            newline = ""
        if "e" in words[0]:
            words = [one.replace("\\n", "\n").replace("\\t", "\t") for one in words]
            if any("\\" in one for one in words[1:]):
                shell.print(HOLE)
                return 0
        words = words[1:]
    text = " ".join(words)
    if "\\" in text and not shell.bash:  # dash reads escapes
        text = HOLE
    shell.print(text + newline)
    return 0


def printf(shell: Interpreter, words: list[str]) -> Status:
    """Run `printf`."""
    if words and words[0] == "--":
        words = words[1:]
    if not words:
        return 2
    form, values = words[0], words[1:]
    if words[0] == "-v" or has_hole([form]) or re.search(r"%(?![%sd])|\\(?![nt\\])", form):
        shell.print(HOLE)
        if words[0] == "-v" and len(words) > 1:
            shell.assign(words[1], HOLE)
        return None
    escapes = {"\\n": "\n", "\\t": "\t", "\\\\": "\\", "%%": "%"}
    pieces = re.split(r"(\\[nt\\]|%[%sd])", form)
    taken = len([piece for piece in pieces if piece in ("%s", "%d")])
    while True:
        given = iter(values)
        shell.print(
            "".join(
                next(given, "") if piece in ("%s", "%d") else escapes.get(piece, piece)
                for piece in pieces
            )
        )
        values = values[taken:]
        shell.spend(1)
        if not values or not taken:
            return 0


def read(shell: Interpreter, words: list[str]) -> Status:
    """Run `read`: take a line of the input."""
    options = [word for word in words if word.startswith("-")]
    names = [word for word in words if not word.startswith("-")] or ["REPLY"]
    source = shell.input
    plain = all(option == "-r" for option in options) and not has_hole(words)
    text = source.text
    if not plain or text is None or ("\\" in text and "-r" not in options):
        for name in names:
            shell.assign(name, HOLE)
        return None
    end = text.find("\n", source.position)
    if end < 0:
        rest, source.position = text[source.position :], len(text)
    else:
        rest, source.position = text[source.position : end], end + 1
    held = shell.parameter("IFS")
    for name, value in zip(names, _fields(rest, len(names), held), strict=True):
        shell.assign(name, value)
    return 0 if end >= 0 else 1


def _fields(line: str, count: int, held: object) -> list[str]:
    """Split a line into so many fields; the last takes the rest."""
    separators = held if isinstance(held, str) else " \t\n"
    if has_hole([separators]):
        return [HOLE] * count
    blank = "".join(char for char in separators if char in " \t\n")
    line = line.strip(blank) if blank else line
    found: list[str] = []
    while len(found) < count - 1:
        at = next((index for index, char in enumerate(line) if char in separators), len(line))
        found.append(line[:at])
        line = line[at:].lstrip(blank) if blank else line[at:]
        if line[:1] and line[0] in separators and line[0] not in blank:
            line = line[1:].lstrip(blank) if blank else line[1:]
    other = separators.replace(" ", "").replace("\t", "").replace("\n", "")
    if line[-1:] and line[-1] in other and not any(char in other for char in line[:-1]):
        line = line[:-1].rstrip(blank) if blank else line[:-1]  # one at the end ends the field
    return [*found, line]


# -- options and parameters -------------------------------------------------------------------


def set_options(shell: Interpreter, words: list[str]) -> Status:
    """Run `set`."""
    state = shell.state
    index = 0
    while index < len(words):
        word = words[index]
        if word in ("--", "-") or not re.match(r"[-+]", word):
            state.arguments = words[index + (word in ("--", "-")) :]
            break
        on = word[0] == "-"
        letters = word[1:]
        if has_hole([word]):
            shell.fail("options of the shell are not known")
        if "o" in letters and index + 1 < len(words):
            index += 1
            letters = letters.replace("o", "") + {
                "errexit": "e", "nounset": "u", "noexec": "n", "pipefail": "P"
            }.get(words[index], "")  # fmt: skip
        if "e" in letters:
            state.errexit = on
        if "u" in letters:
            state.nounset = on
        if set(letters) & set("nf") and on:
            shell.fail(f"`set {word}' is not followed")
        index += 1
    return 0


def declare(shell: Interpreter, words: list[str], *, local: bool, export: bool) -> Status:
    """Run export, readonly, local, declare."""
    for word in words:
        if word.startswith("-"):
            if re.search(r"[An]", word):
                shell.fail("a kind of variable is not read")
            continue
        name, equals, value = word.partition("=")
        if has_hole([name]):
            shell.fail("the name of a variable is not known")
        if local:
            shell.local(name)
        if equals and not isinstance(shell.state.variables.get(name), list):
            shell.assign(name, value.replace(HOLES, HOLE))
        elif local and not equals:
            shell.state.variables[name] = None
        if export:
            shell.state.exported.add(name)
    return 0


def unset(shell: Interpreter, words: Sequence[str]) -> Status:
    """Run `unset`."""
    for word in words:
        if word == "-f":
            for name in words:
                shell.state.functions.pop(name, None)
            return 0
        if not word.startswith("-"):
            shell.state.variables[word.partition("[")[0]] = None
    return 0


def shift(shell: Interpreter, words: list[str]) -> Status:
    """Run `shift`."""
    arguments = shell.state.arguments
    if has_hole(words) or (has_hole(arguments) and HOLES in arguments):
        shell.state.arguments = [HOLE]
        return None
    count = int(words[0]) if words and is_number(words[0]) and len(words[0]) < 6 else 1
    if count > len(arguments):
        return 1
    shell.state.arguments = arguments[count:]
    return 0
