"""Parse a shell script: dash's language, and what bash adds where the script is bash's.

Nothing is run. What the grammar here does not have is NotFollowedError with its line.
"""

from __future__ import annotations

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
    Literal,
    NotFollowedError,
    Pipeline,
    Redirection,
    Simple,
    While,
    Word,
)
from sslint.firewalls.scripts.words import Characters
from sslint.regex import regex
from sslint.source import SourceFile

_SEPARATORS = " \t\n;&|<>()"
_RESERVED = frozenset("if then elif else fi for while until do done case esac { } ! in".split())
_OPERATOR = regex(r"(\d*)(<<<|<<-|<<|<&|<>|<|>>|>&|>\||>)")
_ASSIGNED = regex(r"([A-Za-z_][A-Za-z0-9_]*)(\[)?(\+?=)?")
_FUNCTION = regex(r"([A-Za-z_][\w.:-]*)[ \t]*\([ \t]*\)")


def parse(file: SourceFile, *, bash: bool) -> tuple[Command, ...]:
    """Return the commands of a script. Raise NotFollowedError."""
    return Parser(file, bash=bash).script()


class Parser(Characters):
    """Goes over a script once, from left to right."""

    def script(self) -> tuple[Command, ...]:
        """Return all commands."""
        found = self.commands(frozenset())
        if self.position < len(self.text):
            self.fail(f"`{self.text[self.position]}' stands where a command was expected")
        return found

    # -- lists --------------------------------------------------------------------------------

    def commands(self, ends: frozenset[str]) -> tuple[Command, ...]:
        """Return commands up to one of the words that end them, a `)` or `;;`, or the end."""
        found: list[Command] = []
        with self.nested():
            while True:
                self.blank_lines()
                if self.at_end() or self.peek() == ")" or self.text.startswith(";;", self.position):
                    break
                if self.reserved() in ends:
                    break
                found.append(self.and_or())
        return tuple(found)

    def blank_lines(self) -> None:
        """Skip blanks, comments, newlines and single semicolons."""
        while True:
            self.blanks()
            if self.peek() == "\n":
                self.newline()
            elif self.peek() == ";" and not self.text.startswith(";;", self.position):
                self.position += 1
            else:
                return

    def and_or(self) -> Command:
        """Read pipelines joined by `&&` and `||`."""
        line = self.line()
        first = self.pipeline()
        rest: list[tuple[str, Command]] = []
        while True:
            self.blanks()
            operator = self.text[self.position : self.position + 2]
            if operator not in ("&&", "||"):
                break
            self.position += 2
            self.newlines()
            rest.append((operator, self.pipeline()))
        found: Command = AndOr(first, tuple(rest), line) if rest else first
        if self.peek() == "&":
            self.position += 1
            return Background(found, line)
        follows = _closes(first) and self.reserved() in _AFTER
        if self.peek() not in ("", "\n", ";", ")") and not follows:
            self.fail(f"`{self.peek()}' is not expected")
        return found

    def newlines(self) -> None:
        """Skip blanks and newlines."""
        self.blanks()
        while self.peek() == "\n":
            self.newline()
            self.blanks()

    def pipeline(self) -> Command:
        """Read commands joined by `|`."""
        line = self.line()
        negated = False
        self.blanks()
        while self.reserved() == "!":
            self.word()
            negated = not negated
            self.blanks()
        commands = [self.command()]
        while True:
            self.blanks()
            if self.peek() != "|" or self.text.startswith("||", self.position):
                break
            if self.text.startswith("|&", self.position):
                self.bash_only("`|&'")
                self.position += 1
            self.position += 1
            self.newlines()
            commands.append(self.command())
        if len(commands) == 1 and not negated:
            return commands[0]
        return Pipeline(tuple(commands), negated, line)

    # -- commands -----------------------------------------------------------------------------

    def command(self) -> Command:
        """Read one command, simple or compound."""
        self.blanks()
        line = self.line()
        word = self.reserved()
        if self.peek() == "(":
            if self.text.startswith("((", self.position):
                return self.arithmetic_command(line)
            self.position += 1
            body = self.commands(frozenset())
            self.take(")", "`('")
            return Group(body, True, self.redirections(), line)
        if word == "{":
            self.word()
            body = self.commands(frozenset("}"))
            self.end("}", "`{'")
            return Group(body, False, self.redirections(), line)
        if word == "if":
            return self.if_command(line)
        if word in ("for", "select"):
            return self.for_command(line)
        if word in ("while", "until"):
            self.word()
            condition = self.commands(frozenset({"do"}))
            body = self.do_group(word)
            return While(condition, body, word == "until", self.redirections(), line)
        if word == "case":
            return self.case_command(line)
        if word == "[[":
            return self.conditional(line)
        if word == "function":
            self.bash_only("`function'")
            self.word()
            self.blanks()
            name = self.name_of(self.word())
            self.blanks()
            if self.peek() == "(":
                self.position += 1
                self.take(")", "`('")
            return self.function(name, line)
        found = _FUNCTION.match(self.text, self.position)
        if found and found.group(1) not in _RESERVED:
            self.position = found.end()
            return self.function(found.group(1), line)
        if word in _RESERVED:
            self.fail(f"`{word}' is not expected")
        return self.simple(line)

    def function(self, name: str, line: int) -> Command:
        """Read the body of a function."""
        self.newlines()
        return Function(name, self.command(), line)

    def if_command(self, line: int) -> Command:
        """Read `if` up to `fi`."""
        branches = []
        otherwise: tuple[Command, ...] = ()
        word = "if"
        while word in ("if", "elif"):
            self.word()
            condition = self.commands(frozenset({"then"}))
            self.end("then", f"`{word}'")
            body = self.commands(frozenset(("elif", "else", "fi")))
            branches.append((condition, body))
            word = self.reserved()
        if word == "else":
            self.word()
            otherwise = self.commands(frozenset({"fi"}))
        self.end("fi", "`if'")
        return If(tuple(branches), otherwise, self.redirections(), line)

    def do_group(self, of: str) -> tuple[Command, ...]:
        """Read `do` up to `done`."""
        self.end("do", f"`{of}'")
        body = self.commands(frozenset({"done"}))
        self.end("done", f"`{of}'")
        return body

    def for_command(self, line: int) -> Command:
        """Read `for` up to `done`."""
        keyword = self.reserved()
        self.word()
        self.blanks()
        if keyword == "select" or self.text.startswith("((", self.position):
            self.fail(f"a loop with `{keyword if keyword == 'select' else 'for (('}' is not read")
        name = self.name_of(self.word())
        self.newlines()
        words: tuple[Word, ...] | None = None
        if self.reserved() == "in":
            self.word()
            listed = []
            self.blanks()
            while self.peek() not in ("", "\n", ";", "&", "|", "<", ">", "(", ")"):
                listed.append(self.word())
                self.blanks()
            words = tuple(listed)
        self.blank_lines()
        if self.reserved() == "{":
            self.fail("a loop without `do' is not read")
        return For(name, words, self.do_group("for"), self.redirections(), line)

    def case_command(self, line: int) -> Command:
        """Read `case` up to `esac`."""
        self.word()
        self.blanks()
        word = self.word()
        self.newlines()
        self.end("in", "`case'")
        arms = []
        while True:
            self.blank_lines()
            if self.reserved() == "esac":
                break
            if self.peek() == "(":
                self.position += 1
                self.blanks()
            patterns = [self.word()]
            self.blanks()
            while self.peek() == "|":
                self.position += 1
                self.blanks()
                patterns.append(self.word())
                self.blanks()
            self.take(")", "a pattern of `case'")
            arms.append((tuple(patterns), self.commands(frozenset({"esac"}))))
            if self.text.startswith((";;&", ";&"), self.position):
                self.fail("`case' with `;&' is not read")
            if self.text.startswith(";;", self.position):
                self.position += 2
            elif self.reserved() != "esac":
                self.fail("`;;' is missing")
        self.end("esac", "`case'")
        return Case(word, tuple(arms), self.redirections(), line)

    def conditional(self, line: int) -> Command:
        """Read `[[ ... ]]` as its words; operators are words of their own."""
        self.bash_only("`[['")
        self.word()
        words: list[Word] = []
        while True:
            self.newlines()
            if self.at_end():
                self.fail("`]]' is missing")
            char = self.peek()
            pair = self.text[self.position : self.position + 2]
            if pair in ("&&", "||"):
                self.position += 2
                words.append((Literal(pair),))
            elif char in "()<>":
                self.position += 1
                words.append((Literal(char),))
            elif char in ";&|":
                self.fail(f"`{char}' is not expected in `[['")
            else:
                word = self.pattern() if words and _is_match(words[-1]) else self.word()
                if word == (Literal("]]"),):
                    break
                words.append(word)
        self.redirections()
        return Conditional(tuple(words), False, line)

    def arithmetic_command(self, line: int) -> Command:
        """Read `(( ... ))`."""
        self.bash_only("`(('")
        self.position += 2
        word = self.arithmetic_text()
        self.redirections()
        return Conditional((word,), True, line)

    def simple(self, line: int) -> Command:
        """Read assignments, words and redirections."""
        assignments: list[Assignment] = []
        words: list[Word] = []
        redirections: list[Redirection] = []
        while True:
            self.blanks()
            redirection = self.redirection()
            if redirection is not None:
                redirections += redirection
                continue
            if self.peek() in ("", "\n", ";", "&", "|", ")"):
                break
            assignment = None
            if not words or _declares(words):
                assignment = self.assignment()
            if assignment is not None and not words:
                assignments.append(assignment)
            elif assignment is not None:
                words.append((Literal(f"{assignment.name}="), *_value(assignment)))
                if assignment.array or assignment.append or assignment.index is not None:
                    assignments.append(assignment)
            elif self.peek() == "(":
                self.fail("`(' is not expected")
            else:
                words.append(self.word())
        if not (assignments or words or redirections):
            self.fail(f"a command is missing before `{self.peek()}'")
        return Simple(tuple(assignments), tuple(words), tuple(redirections), line)

    def assignment(self) -> Assignment | None:
        """Read `name=value`, or nothing."""
        found = _ASSIGNED.match(self.text, self.position)
        if found is None or not (found.group(2) or found.group(3)):
            return None
        name, bracket, operator = found.groups()
        index: Word | None = None
        start = self.position
        self.position = found.end()
        if bracket:
            if not self.bash:
                self.position = start
                return None
            index = self.bracketed()
            if index is None or not self.text.startswith(("=", "+="), self.position):
                self.position = start
                return None
            operator = "+=" if self.peek() == "+" else "="
            self.position += len(operator)
        append = operator == "+="
        if append and not self.bash:
            self.position = start
            return None
        if self.peek() == "(":
            self.bash_only("an array")
            self.position += 1
            return Assignment(name, self.array(), append, True)
        value = () if self.peek() in ("", *_SEPARATORS) else self.word()
        return Assignment(name, value, append, False, index)

    def array(self) -> tuple[Word, ...]:
        """Read the words of an array."""
        found: list[Word] = []
        while True:
            self.newlines()
            if self.peek() == ")":
                self.position += 1
                return tuple(found)
            if self.at_end() or self.peek() in ";&|<>(":
                self.fail("an array is not closed")
            if self.peek() == "[":
                self.fail("an array with keys is not read")
            found.append(self.word())

    # -- redirections -------------------------------------------------------------------------

    def redirections(self) -> tuple[Redirection, ...]:
        """Read what follows a compound command."""
        found: list[Redirection] = []
        while True:
            self.blanks()
            redirection = self.redirection()
            if redirection is None:
                return tuple(found)
            found += redirection

    def redirection(self) -> list[Redirection] | None:
        """Read one redirection, or nothing."""
        line = self.line()
        if self.text.startswith(("&>", ">&"), self.position):
            both = self.text.startswith("&>", self.position)
            if both and self.bash:
                self.position += 2
                if self.peek() == ">":
                    self.position += 1
                self.blanks()
                target = self.word()
                return [Redirection(">", target, 1, line), Redirection(">", target, 2, line)]
        found = _OPERATOR.match(self.text, self.position)
        if found is None:
            return None
        number, operator = found.groups()
        if self.text.startswith(("<(", ">("), self.position + len(number)) and operator in "<>":
            self.fail("a process substitution is not read")
        self.position = found.end()
        fd = int(number[:4]) if number else (0 if operator.startswith("<") else 1)
        self.blanks()
        if operator in ("<<", "<<-"):
            return [self.here_document(fd, operator == "<<-", line)]
        if operator == "<<<":
            self.bash_only("`<<<'")
            return [Redirection("<<", (*self.word(), Literal("\n", True)), fd, line)]
        return [Redirection(operator, self.word(), fd, line)]

    # -- words that mean something ------------------------------------------------------------

    def reserved(self) -> str:
        """Return the plain word that stands here, without reading it."""
        end = self.position
        while end < len(self.text) and self.text[end] not in _SEPARATORS:
            end += 1
            if end - self.position > 10:
                return ""
        return self.text[self.position : end]

    def end(self, word: str, of: str) -> None:
        """Read the word that a compound command goes on or ends with."""
        self.blanks()
        if self.reserved() != word:
            self.fail(f"`{word}' is missing, for {of}")
        self.position += len(word)

    def name_of(self, word: Word) -> str:
        """Return a word that is a plain name."""
        if len(word) == 1 and isinstance(word[0], Literal) and not word[0].quoted:
            return word[0].text
        raise NotFollowedError("a name was expected", self.file.at(self.line()))


def _declares(words: list[Word]) -> bool:
    """Tell whether assignments may stand among a command's arguments."""
    first = words[0]
    return len(first) == 1 and first[0] in (
        Literal("export"),
        Literal("local"),
        Literal("readonly"),
        Literal("declare"),
        Literal("typeset"),
    )


def _value(assignment: Assignment) -> Word:
    if assignment.array or assignment.index is not None:
        return ()
    return assignment.value  # type: ignore[return-value]


# Words that may follow the end of a compound command at once: `( list )done`.
_AFTER = frozenset(("do", "done", "then", "else", "elif", "fi", "esac", "}"))


def _closes(command: Command) -> bool:
    return isinstance(command, Group | If | For | While | Case)


def _is_match(word: Word) -> bool:
    return word in ((Literal("=~"),), (Literal("=="),), (Literal("="),), (Literal("!="),))
