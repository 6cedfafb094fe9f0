"""Read one line of iptables arguments as iptables' own parser does (xshared.c, getopt_long(3)).

The result still speaks of options; matches.py and targets.py say what they mean.
"""

from __future__ import annotations

from sslint.firewalls.errors import RulesetError
from sslint.firewalls.iptables import options as tables
from sslint.firewalls.iptables import values
from sslint.firewalls.iptables.options import Option
from sslint.regex import is_number, regex
from sslint.values import dataclass, field

MAX_CHAIN_NAME = 28  # XT_EXTENSION_MAXNAMELEN - 1
MAX_INTERFACE_NAME = 15  # IFNAMSIZ - 1


@dataclass(slots=True)
class Given:
    """An option as it stands in a rule; `second` is the other argument of those that take two."""

    value: object
    negate: bool = False
    second: str = ""


@dataclass(slots=True)
class Extension:
    """A match or target of a rule. `options` None: not known, `words` are its arguments."""

    name: str
    options: dict[str, Option] | None
    given: dict[str, list[Given]] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)

    def first(self, *names: str) -> Given | None:
        """Return the first of the named options that is given, else None."""
        for name in names:
            if name in self.given:
                return self.given[name][0]
        return None


@dataclass(slots=True)
class Arguments:
    """One command: what to do with which chain, and the rule."""

    family: int
    command: str = ""  # A I D R N X F P E Z S, as the short options
    chain: str = ""
    operands: list[str] = field(default_factory=list)  # rule number, policy, new name
    table: str | None = None
    source: tuple[str, bool] | None = None
    destination: tuple[str, bool] | None = None
    in_interface: tuple[str, bool] | None = None
    out_interface: tuple[str, bool] | None = None
    protocol: tuple[int, bool] | None = None
    fragment: bool | None = None  # negated?
    matches: list[Extension] = field(default_factory=list)
    jump: str = ""
    goto: bool = False
    target: Extension | None = None
    skip: bool = False  # the rule is for the other family (-4, -6)
    old_negation: bool = False  # `-s ! ADDRESS`, as iptables before 1.4.3 wrote it

    @property
    def only_protocol(self) -> int | None:
        """The protocol that every packet of the rule has, or None."""
        if self.protocol is None or self.protocol[1]:
            return None
        return self.protocol[0] or None


_LONG = {
    "append": "A",
    "check": "C",
    "delete": "D",
    "delete-chain": "X",
    "destination": "d",
    "dst": "d",
    "flush": "F",
    "fragments": "f",
    "goto": "g",
    "in-interface": "i",
    "insert": "I",
    "ipv4": "4",
    "ipv6": "6",
    "jump": "j",
    "list": "L",
    "list-rules": "S",
    "match": "m",
    "new-chain": "N",
    "numeric": "n",
    "out-interface": "o",
    "policy": "P",
    "protocol": "p",
    "rename-chain": "E",
    "replace": "R",
    "set-counters": "c",
    "source": "s",
    "src": "s",
    "table": "t",
    "verbose": "v",
    "zero": "Z",
}
_WITHOUT_ARGUMENT = frozenset("fnvx46LSFZX")
_COMMANDS = frozenset("ACDILSFZNXEPR")
_NEGATABLE = frozenset("psdiof")
_CHAINLESS = frozenset("LSFZX")
_MARKS = ("-", "!")


def split(line: str) -> list[str]:
    """Split a line into arguments as iptables-restore does: `"` quotes, `\\` escapes inside them.

    A closing quote ends the argument; an unclosed one takes in the rest and the line's end.
    """
    if '"' not in line:
        return [word for word in line.replace("\t", " ").split(" ") if word]
    words: list[str] = []
    word: list[str] = []
    quoted = escaped = False
    for char in line:
        if quoted:
            if escaped:
                word.append(char)
                escaped = False
            elif char == "\\":
                escaped = True
            elif char == '"':
                quoted = False
                words.append("".join(word))
                word = []
            else:
                word.append(char)
        elif char == '"':
            quoted = True
        elif char in " \t":
            if word:
                words.append("".join(word))
                word = []
        else:
            word.append(char)
    if quoted:
        word.append("\n")
    if word:
        words.append("".join(word))
    return words


class _Parser:
    """The state of getopt over one rule's words."""

    def __init__(self, words: list[str], family: int) -> None:
        self.words = words
        self.position = 0
        self.result = Arguments(family)
        self.negate = False
        self.seen: set[str] = set()
        self.protocol_name = ""
        self.protocol_loaded = False

    def run(self) -> Arguments:
        words = self.words
        while self.position < len(words):
            word = words[self.position]
            self.position += 1
            if word == "!":
                if self.negate:
                    raise RulesetError("multiple consecutive ! not allowed")
                self.negate = True
                continue
            if word.startswith("--") and len(word) > 2:
                self.long(word[2:])
            elif word.startswith("-") and len(word) > 1:
                self.short(word[1:])
            else:
                raise RulesetError(f"Bad argument `{word}'")
            if self.result.skip:
                return self.result  # what follows is the other family's, and not looked at
            self.negate = False
        if self.negate:
            raise RulesetError("nothing appropriate following !")
        if not self.result.command:
            raise RulesetError("no command specified")
        return self.result

    # -- options of iptables itself -----------------------------------------------------------

    def long(self, text: str) -> None:
        name, equals, attached = text.partition("=")
        argument = attached if equals else None
        found = self.extension_option(name)
        if found is not None:
            self.take(*found, argument)
            return
        letter = _LONG.get(name)
        if letter is None:
            unknown = self.unknown_extension()
            if unknown is not None:
                self.unknown_word("--" + text)
                return
            letter = self.abbreviated(name, argument)
            if letter is None:
                return
        if letter in _WITHOUT_ARGUMENT:
            if argument is not None and letter not in _CHAINLESS:
                raise RulesetError(f"option `--{name}' takes no argument")
            if argument is not None:
                self.words.insert(self.position, argument)
            self.flag(letter)
        else:
            self.option(letter, argument if argument is not None else self.next(name))

    def short(self, letters: str) -> None:
        while letters:
            letter, letters = letters[0], letters[1:]
            if letter in _WITHOUT_ARGUMENT:
                if letter in _CHAINLESS and letters:
                    self.words.insert(self.position, letters)
                    letters = ""
                self.flag(letter)
            elif letter in "ACDINEPRpsdjgiomtc":
                self.option(letter, letters or self.next(letter))
                return
            else:
                raise RulesetError(f'unknown option "-{letter}"')

    def next(self, name: str) -> str:
        if self.position >= len(self.words):
            raise RulesetError(f'option "{name}" requires an argument')
        self.position += 1
        return self.words[self.position - 1]

    def operand(self) -> str | None:
        """Take the next word if it is not an option (xs_has_arg)."""
        if self.position < len(self.words) and self.words[self.position][:1] not in _MARKS:
            self.position += 1
            return self.words[self.position - 1]
        return None

    def once(self, letter: str) -> None:
        if letter in self.seen:
            raise RulesetError(f"multiple -{letter} flags not allowed")
        self.seen.add(letter)
        if self.negate and letter not in _NEGATABLE:
            raise RulesetError(f"unexpected ! flag before -{letter}")

    def command(self, letter: str, chain: str) -> None:
        if self.result.command or self.negate:
            raise RulesetError(f"Cannot use -{letter} with -{self.result.command or '!'}")
        self.result.command = letter
        self.result.chain = chain

    def flag(self, letter: str) -> None:
        if letter in _CHAINLESS:
            self.command(letter, self.operand() or "")
            if letter in "LSZ":
                self.operand()
        elif letter == "f":
            self.once("f")
            if self.result.family == 6:
                raise RulesetError("`-f' is not supported in IPv6, use -m frag instead")
            self.result.fragment = self.negate
        elif letter in "46":
            self.result.skip = self.result.skip or int(letter) != self.result.family

    def option(self, letter: str, argument: str) -> None:
        result = self.result
        if letter in _COMMANDS:
            self.command(letter, argument)
            self.operands(letter)
            return
        if letter in "jg":
            self.once("j")
            if not argument or argument[0] in "-!" or len(argument) > MAX_CHAIN_NAME:
                raise RulesetError(f"Invalid target name `{argument[:60]}'")
            result.jump = argument
            result.goto = letter == "g"
            if letter == "j" and argument == "CONTINUE":
                result.jump = ""
            elif letter == "j":
                known = tables.target_options(argument, result.family)
                if known is not None:
                    result.target = Extension(argument, known)
            return
        if letter == "m":
            if self.negate:
                raise RulesetError("unexpected ! flag before --match")
            self.load(argument)
            return
        if letter == "t":
            result.table = argument
            return
        if letter == "c":
            if "," not in argument:
                argument += "," + (self.operand() or "")
            if not all(is_number(part) for part in argument.split(",", 1)):
                raise RulesetError("-c requires packet and byte counter")
            return
        if argument == "!" and not self.negate and self.position < len(self.words):
            self.negate = result.old_negation = True
            argument = self.next(letter)
        self.once(letter)
        if letter == "p":
            self.protocol(argument)
        elif letter == "s":
            result.source = argument, self.negate
        elif letter == "d":
            result.destination = argument, self.negate
        elif letter == "i":
            result.in_interface = _interface(argument), self.negate
        else:
            result.out_interface = _interface(argument), self.negate

    def operands(self, letter: str) -> None:
        word = self.operand() if letter in "DIRPE" else None
        if word is not None:
            self.result.operands.append(word)
        elif letter in "RPE":
            raise RulesetError(f"-{letter} requires another argument")
        if letter in "DIR" and word is not None:
            values.integer(word, 1)

    def protocol(self, argument: str) -> None:
        number = values.protocol(argument)
        if number == 0 and self.negate:
            raise RulesetError("rule would never match protocol")
        self.result.protocol = number, self.negate
        self.protocol_name = _PROTOCOL_MATCHES.get(number, "")

    # -- options of extensions ----------------------------------------------------------------

    def load(self, name: str) -> Extension:
        name = tables.ALIASES.get(name, name)
        if self.result.family == 4 and name == "icmp6":
            raise RulesetError("Couldn't load match `icmpv6'")
        known = tables.match_options(name, self.result.family)
        if known is None and tables.match_options(name, 10 - self.result.family) is not None:
            raise RulesetError(f"Couldn't load match `{name}'")
        if known is None and _MODULE(name) is None:
            raise RulesetError(f"Couldn't load match `{name[:60]}'")
        extension = Extension(name, known)
        self.result.matches.append(extension)
        return extension

    def unknown_extension(self) -> Extension | None:
        """Return the extension that an unknown word may belong to."""
        target = self.result.target
        if target is None and self.result.jump and not self.result.goto:
            return Extension(self.result.jump, None)
        if self.result.matches and self.result.matches[-1].options is None:
            return self.result.matches[-1]
        return None

    def unknown_word(self, word: str) -> None:
        extension = self.unknown_extension()
        assert extension is not None
        if self.result.matches and extension is self.result.matches[-1]:
            extension.words.append(word)
        else:  # the target is not a chain then: it takes arguments
            if self.result.target is None:
                self.result.target = Extension(self.result.jump, None)
            self.result.target.words.append(word)
        while (argument := self.operand()) is not None:
            extension.words.append(argument)

    def extension_option(self, name: str) -> tuple[Extension, Option] | None:
        """Find the loaded extension that has an option; load the protocol's match if need be."""
        target = self.result.target
        if target is not None and target.options is not None and name in target.options:
            return target, target.options[name]
        for extension in reversed(self.result.matches):
            if extension.options is not None and name in extension.options:
                return extension, extension.options[name]
        if name in _LONG or not self.protocol_name or self.protocol_loaded:
            return None
        if len(self.beginning(name)) == 1:  # an abbreviation of what is loaded comes first
            return None
        known = tables.match_options(self.protocol_name, self.result.family)
        if known is None or name not in known:
            return None
        self.protocol_loaded = True
        return self.load(self.protocol_name), known[name]

    def beginning(self, name: str) -> dict[str, tuple[Extension, Option] | None]:
        """Return the options of what is loaded that a text is the beginning of."""
        found: dict[str, tuple[Extension, Option] | None] = {
            long: None for long in _LONG if long.startswith(name)
        }
        extensions = list(self.result.matches)
        if self.result.target is not None:
            extensions.append(self.result.target)
        for extension in extensions:
            for long, option in (extension.options or {}).items():
                if long.startswith(name):
                    found[long] = extension, option
        return found

    def abbreviated(self, name: str, argument: str | None) -> str | None:
        """Resolve an unambiguous beginning of an option's name, as getopt_long(3) does."""
        found = self.beginning(name)
        extensions = list(self.result.matches)
        if self.result.target is not None:
            extensions.append(self.result.target)
        if len(found) != 1:
            loaded = any(extension.name == self.protocol_name for extension in extensions)
            if not found and self.protocol_name and not self.protocol_loaded and not loaded:
                self.protocol_loaded = True
                if tables.match_options(self.protocol_name, self.result.family) is not None:
                    self.load(self.protocol_name)
                    return self.abbreviated(name, argument)
            raise RulesetError(f'unknown option "--{name}"')
        long, place = next(iter(found.items()))
        if place is None:
            return _LONG[long]
        self.take(*place, argument)
        return None

    def take(self, extension: Extension, option: Option, argument: str | None) -> None:
        given = extension.given.setdefault(option.name, [])
        if given and not option.repeatable:
            raise RulesetError(f"--{option.name} can only be given once")
        second = ""
        value: object = None
        if not option.kind:
            if argument is not None:
                raise RulesetError(f"option `--{option.name}' takes no argument")
        else:
            text = argument if argument is not None else self.next("--" + option.name)
            if text == "!" and option.negatable and self.position < len(self.words):
                self.negate = self.result.old_negation = True
                text = self.next("--" + option.name)
            if option.kind == "two":
                if self.position >= len(self.words) or self.words[self.position][:1] in _MARKS:
                    raise RulesetError(f"--{option.name} requires two args")
                second = self.next("--" + option.name)
            value = tables.argument(option, text, self.result.family)
        if self.negate and not option.negatable:
            raise RulesetError(f"option `--{option.name}' cannot be inverted")
        given.append(Given(value, self.negate, second))


_MODULE = regex(r"[A-Za-z][A-Za-z0-9_-]{0,27}").fullmatch
_PROTOCOL_MATCHES = {
    1: "icmp",
    6: "tcp",
    17: "udp",
    33: "dccp",
    50: "esp",
    51: "ah",
    58: "icmp6",
    108: "ipcomp",
    132: "sctp",
    135: "mh",
}


def _interface(name: str) -> str:
    if not name:
        raise RulesetError("Empty interface is likely to be undesired")
    if len(name) > MAX_INTERFACE_NAME:
        raise RulesetError(f"interface name `{name}' must be shorter than 16 characters")
    return name


def parse(line: str, family: int) -> Arguments:
    """Parse one command line. Raise RulesetError, without a place, if iptables would refuse it."""
    return _Parser(split(line), family).run()


def check(arguments: Arguments) -> None:
    """Raise RulesetError for what iptables finds once a command is read whole."""
    if arguments.command not in "AIDRC":
        if arguments.jump or any(
            given is not None
            for given in (
                arguments.source,
                arguments.destination,
                arguments.in_interface,
                arguments.out_interface,
                arguments.protocol,
                arguments.fragment,
            )
        ):
            raise RulesetError(f"-{arguments.command} takes no rule")
        return
    extensions = list(arguments.matches)
    if arguments.target is not None:
        extensions.append(arguments.target)
    for extension in extensions:
        for option in (extension.options or {}).values():
            if option.required and option.name not in extension.given:
                raise RulesetError(f"{extension.name}: option `--{option.name}' must be given")
    for extension in arguments.matches:
        needed = tables.PROTOCOLS.get(extension.name)
        if needed and arguments.only_protocol not in needed and not _excused(extension, arguments):
            raise RulesetError(f"match `{extension.name}' requires its protocol with -p")


def _excused(extension: Extension, arguments: Arguments) -> bool:
    """Tell whether a match may stand without its protocol."""
    if extension.name == "ah":  # an extension header in IPv6
        return arguments.family == 6
    # iptables-nft takes `! -p tcp --dport 22`: it compares the bytes of whatever protocol it is
    return extension.name in ("tcp", "udp") and arguments.protocol in ((6, True), (17, True))
